"""Edge and ground over real UDP sockets, through bad weather: nothing lost, nothing twice."""

from pathlib import Path

import pytest

from edge.link.datagram_port import PathChooser
from edge.link.downlink import Downlink, LinkConfig
from edge.link.outbox import Outbox
from ground.serve import GroundHandle
from ground.store.reading import Filter
from sim.faults.netem import UdpProxy, Weather
from skywarden import evidence
from skywarden.link import keys
from tests.ground.scenes import chip, position, put, running_ground, sighting, until


def _edge(folder: Path, ground: GroundHandle, address: str) -> tuple[Outbox, Downlink]:
    pair = keys.load_or_create_key_file(folder / "keys" / "link.key")
    signer = evidence.load_or_create_evidence_key(folder / "keys" / "link.evidence.key")
    ground.enrol("uav07", evidence.enrolment_line(pair, signer))
    outbox = Outbox(folder / "outbox.sqlite", "uav07")
    config = LinkConfig(
        ground=address,
        ground_public_key=ground.server_public_key,
        transport="datagram",
        heartbeat_s=0.2,
        retry_min_s=0.5,
        silence_s=2.0,
    )
    downlink = Downlink(config, outbox, pair, evidence_key=signer)
    return outbox, downlink


@pytest.mark.slow
def test_records_arrive_once_over_datagrams_in_bad_weather(tmp_path: Path) -> None:
    weather = Weather(delay_s=0.03, jitter_s=0.01, loss=0.3, double=0.02, reorder=0.02)
    with running_ground(tmp_path) as ground:
        host, port = ground.link_address.split(":")
        proxy = UdpProxy((host, int(port)), weather)
        outbox, downlink = _edge(tmp_path, ground, f"127.0.0.1:{proxy.address[1]}")
        seen = [sighting(number=number, place=position()) for number in range(100)]
        put(outbox, *seen, chip(seen[0], size=40_000))
        downlink.start()
        try:
            until(lambda: outbox.state().held == 0, 20.0)
        finally:
            downlink.stop()
            outbox.close()
            proxy.close()
        stored, matched = ground.store.sightings(Filter(limit=200))
        assert matched == len(seen)
        assert {one.sighting.sighting_id for one in stored} == {one.sighting_id for one in seen}
        assert ground.receiver.counts.forks == 0


def test_tcp_is_left_when_it_starves_and_taken_again_after_a_minute_without_loss() -> None:
    chooser = PathChooser()
    assert not chooser.must_leave_tcp(1.0, is_up=True, silent_s=1.0, delay_s=0.3)
    assert chooser.must_leave_tcp(2.0, is_up=True, silent_s=5.0, delay_s=0.3)
    assert chooser.must_leave_tcp(2.0, is_up=True, silent_s=1.0, delay_s=6.0)
    chooser.turn()
    assert chooser.path == "datagram"
    last_s = {"at": 2.0}

    def leaves(now_s: float, loss: float | None) -> bool:
        last_s["at"] = now_s
        return chooser.must_leave_datagrams(
            now_s, opened_s=2.0, is_answered=True, is_refused=False, loss=loss
        )

    assert not leaves(3.0, 0.0)
    assert not leaves(50.0, 0.3)
    assert not leaves(55.0, 0.0)
    assert not leaves(114.0, 0.0)
    assert leaves(116.0, 0.0)


def test_datagrams_are_tried_while_tcp_is_slow_and_kept_when_they_carry_more() -> None:
    for goodput, leaves in ((9_000.0, False), (3_000.0, True)):
        chooser = PathChooser()
        slow = [
            chooser.must_leave_tcp(float(at), is_up=True, silent_s=0.5, delay_s=1.0, goodput=5_000.0)
            for at in range(9)
        ]
        assert slow == [False] * 8 + [True]
        chooser.turn()
        assert not chooser.must_leave_datagrams(
            20.0, opened_s=9.0, is_answered=True, is_refused=False, loss=0.3, goodput=0.0
        )
        after = chooser.must_leave_datagrams(
            24.0, opened_s=9.0, is_answered=True, is_refused=False, loss=0.3, goodput=goodput
        )
        assert after == leaves
        chooser.turn()
        again = [
            chooser.must_leave_tcp(float(at), is_up=True, silent_s=0.5, delay_s=1.0, goodput=5_000.0)
            for at in range(25, 60)
        ]
        assert any(again) != leaves


def test_datagrams_that_nobody_answers_are_given_up() -> None:
    chooser = PathChooser(path="datagram")
    assert not chooser.must_leave_datagrams(1.0, opened_s=0.0, is_answered=False, is_refused=False, loss=None)
    assert chooser.must_leave_datagrams(1.0, opened_s=0.0, is_answered=False, is_refused=True, loss=None)
    assert chooser.must_leave_datagrams(5.0, opened_s=0.0, is_answered=False, is_refused=False, loss=None)
    forced = PathChooser(mode="datagram")
    assert not forced.must_leave_datagrams(50.0, opened_s=0.0, is_answered=False, is_refused=True, loss=None)
