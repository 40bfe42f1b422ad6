"""The worker's side of orders about models, and its local socket: answers, deaths, nonsense."""

import contextlib
import itertools
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.models_aboard.control_socket import (
    MAX_QUESTION_BYTES,
    NAME,
    Answer,
    ControlSocket,
    Question,
    ask_worker,
    read_line,
)
from edge.models_aboard.core import PATIENCE_NS, ModelsCore
from edge.models_aboard.orders import MAX_ORDERS, ModelsReport, OrderAnswer, SlotReport
from skywarden.errors import InputError, LinkError, PeerUnavailableError

SLOT = SlotReport(slot="anomaly", state="single", model_id="anomaly:0123456789abcdef", since_ns=1)


def report(*answers: OrderAnswer) -> ModelsReport:
    return ModelsReport(incarnation=0, slots=(SLOT,), answers=answers)


def test_an_order_is_told_until_its_sensor_answers() -> None:
    core = ModelsCore(["eo", "ir"], lambda: 0)
    given_ = core.submit("stage", sensor_id="eo", model="vessel-nadir")
    (order,) = core.orders()
    answer = OrderAnswer(order_id=order.order_id, is_done=True, text="it looks")
    core.heard("ir", report(answer))
    assert not given_.done(), "another sensor cannot answer for it"
    core.heard("eo", report(answer))
    core.heard("eo", report(answer))
    assert given_.result(0).text == "it looks"
    assert core.orders() == ()


def test_an_order_over_which_the_process_dies_is_not_given_to_the_next_one() -> None:
    core = ModelsCore(["eo"], lambda: 0)
    given_ = core.submit("stage", model="m")
    core.tend({"eo": 1})
    core.tend({"eo": 1})
    assert not given_.done()
    core.tend({"eo": 2})
    assert "started anew" in given_.result(0).text
    assert core.orders() == ()


def test_orders_end_when_nobody_answers_and_when_the_worker_stops() -> None:
    times = itertools.chain([0, 0, PATIENCE_NS + 1], itertools.repeat(PATIENCE_NS + 1))
    core = ModelsCore(["eo"], times.__next__)
    late = core.submit("promote")
    core.tend({"eo": 1})
    core.tend({"eo": 1})
    assert "no answer within" in late.result(0).text
    open_ = core.submit("rollback")
    core.close()
    assert "stops" in open_.result(0).text


def test_orders_that_nobody_can_carry_out_are_refused_at_once() -> None:
    core = ModelsCore(["eo", "ir"], lambda: 0)
    with pytest.raises(InputError, match="say which with --sensor"):
        core.submit("promote")
    with pytest.raises(InputError, match="there are eo, ir"):
        core.submit("promote", sensor_id="uv")
    with pytest.raises(InputError, match="model list"):
        core.submit("stage", sensor_id="eo")
    for _ in range(MAX_ORDERS):
        core.submit("promote", sensor_id="eo")
    with pytest.raises(InputError, match="wait already"):
        core.submit("promote", sensor_id="eo")


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A state folder whose name no socket's path has room for, and a worker's socket in it."""
    folder = tmp_path_factory.mktemp("state") / ("long" * 30)
    folder.mkdir()
    core = ModelsCore(["eo"], lambda: 0)
    core.heard("eo", report())
    served = ControlSocket(folder, core)
    served.start()
    try:
        yield folder
    finally:
        core.close()
        served.stop()
        assert not (folder / NAME).exists()


def test_the_socket_tells_how_it_is_and_belongs_to_its_owner(state: Path) -> None:
    answer = ask_worker(state, Question(ask="status"), timeout_s=30.0)
    assert answer.is_done
    assert [one.model_id for one in answer.detectors] == ["anomaly:0123456789abcdef"]
    assert (state / NAME).stat().st_mode & 0o777 == 0o600
    refused = ask_worker(state, Question(ask="promote", sensor="uv"), timeout_s=30.0)
    assert not refused.is_done
    assert "there are eo" in refused.text


def test_without_a_worker_the_question_fails_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(PeerUnavailableError, match="skywarden edge run"):
        ask_worker(tmp_path, Question(ask="status"))
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as dead:
        dead.bind(str(tmp_path / NAME))
    with pytest.raises(PeerUnavailableError, match="no worker runs"):
        ask_worker(tmp_path, Question(ask="status"))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300) | st.just(b"[" * 5000) | st.just(b"x" * (MAX_QUESTION_BYTES + 10)))
def test_nonsense_gets_a_sentence_or_silence_and_hurts_nobody(state: Path, data: bytes) -> None:
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as caller, contextlib.chdir(state):
        caller.settimeout(30.0)
        caller.connect(NAME)
        with contextlib.suppress(OSError):
            caller.sendall(data.replace(b"\n", b"") + b"\n")
            caller.shutdown(socket.SHUT_WR)
        told = b""
        with contextlib.suppress(OSError):
            while part := caller.recv(4096):
                told += part
        assert not told or not msgspec.json.decode(told, type=Answer).is_done


def test_the_core_that_keeps_the_flight_alive_loads_no_engine() -> None:
    code = "import sys, edge.worker; print('onnxruntime' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout.strip() == "False"


def test_a_line_that_has_no_end_is_cut() -> None:
    one, two = socket.socketpair()
    with one, two:
        one.sendall(b"x" * 50)
        with pytest.raises(LinkError, match="over 20 bytes"):
            read_line(two, 20)
