"""A station says what is wrong with it, and stops saying so when it is over."""

import os
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edge.link.datagram_port import DatagramChannel
from ground.config import GroundConfig
from ground.link.admission import Rates
from ground.link.datagram_port import DatagramPort
from ground.link.intake import ReceiverCounts
from ground.link.thin_link import ThinLinkConfig
from ground.problems import Rising, StationProblems
from ground.serve import start_ground
from skywarden.link import keys
from skywarden.link.datagram_session import Gate
from tests.ground.scenes import until


def _part(**more: Any) -> Any:
    return SimpleNamespace(is_alive=True, **more)


def _receiver() -> Any:
    return _part(
        counts=ReceiverCounts(),
        door=_part(accept_failures=0),
        store_problem=None,
        intake=SimpleNamespace(untrusted={}, alarms=[]),
    )


def test_what_can_be_counted_only_is_a_problem_while_it_rises_and_a_minute_after() -> None:
    rising = Rising()
    assert rising.look(0, 0.0) == 0
    assert rising.look(5, 1.0) == 5
    assert rising.look(7, 30.0) == 7
    assert rising.look(7, 62.0) == 2
    assert rising.look(7, 91.0) == 0


def test_every_part_that_fails_is_named_and_nothing_is_said_of_one_that_works() -> None:
    clock = {"s": 0.0}
    receiver, authenticator = _receiver(), _part()
    datagrams, thin = _part(fault=None, rates=Rates()), _part(fault=None)
    problems = StationProblems(
        receiver, authenticator, lambda: clock["s"], datagrams=datagrams, thin=thin, store_warnings=()
    )
    assert problems() == []
    datagrams.fault, thin.fault = "OSError: no buffer space", "no such device /dev/ttyUSB0"
    receiver.counts.refused_rate, datagrams.rates.refused, receiver.door.accept_failures = 3, 4, 2
    said = problems()
    assert [
        next(one for one in said if word in one) for word in ("no buffer", "ttyUSB0", "7 messages", "2 con")
    ]
    assert len(said) == 4
    assert problems.is_working
    clock["s"] = 61.0
    datagrams.fault = thin.fault = None
    assert problems() == []
    for part in (receiver, authenticator, datagrams, thin, receiver.door):
        part.is_alive = False
        assert len(problems()) == 1
        assert problems.is_working == (part not in (receiver, authenticator))
        part.is_alive = True
    problems.others.append(lambda: ["and this"])
    assert problems() == ["and this"]


@pytest.mark.slow
def test_a_telemetry_radio_that_cannot_be_read_makes_the_station_say_so(tmp_path: Path) -> None:
    ground = start_ground(
        GroundConfig(
            state=str(tmp_path / "ground"),
            http="127.0.0.1:0",
            link="127.0.0.1:0",
            thin_link=ThinLinkConfig(connection=f"serial:{tmp_path}/no-radio:57600"),
        )
    )
    try:
        until(lambda: any("telemetry radio" in one for one in ground.problems()), 30.0)
        status = 200
        try:
            with urllib.request.urlopen(f"{ground.http_url}/readyz", timeout=30) as answer:
                status = answer.status
        except urllib.error.HTTPError as error:
            with error:
                status = error.code
        assert status == 503
        assert ground.is_working
    finally:
        ground.stop()


def test_datagrams_of_one_platform_are_held_to_its_rate_and_counted() -> None:
    station, own = keys.new_key_pair(), keys.new_key_pair()
    gate = Gate(station.secret, station.public, {own.public: "uav07"}.get, os.urandom)
    port = DatagramPort(gate, Rates(messages_per_s=0.001, bytes_per_s=5_000.0))
    bound = port.bind("127.0.0.1", 0)
    port.start()
    try:
        with DatagramChannel("127.0.0.1", bound, own, station.public) as channel:

            def is_answered() -> bool:
                channel.tend(time.monotonic())
                channel.receive(time.monotonic())
                return channel.dial.flow is not None

            until(is_answered, 30.0)
            for _ in range(5):
                channel.send(b"B", bytes(100))

            def is_over() -> bool:
                is_answered()
                return channel.dial.flow is not None and channel.dial.flow.under_way == 0

            until(is_over, 30.0)
        assert port.take() == []
        assert port.rates.refused == 5
    finally:
        port.stop()
