"""The two local sockets, between two real processes: order, backpressure, limits, and garbage refused."""

import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest
import zmq

from edge.bus import (
    ALIVE,
    IMAGE,
    MAX_LOCAL_BYTES,
    MESSAGE,
    TELEMETRY,
    Alive,
    CoreBus,
    Endpoints,
    ImageNote,
    VisionBus,
    decode_alive,
    decode_note,
    split_result,
)
from edge.environment import clean_environment
from skywarden import wire
from skywarden.errors import WireError
from skywarden.messages import Sighting
from tests.samples import EVERY, SIGHTING

pytestmark = pytest.mark.slow

CHILD = """
import msgspec, sys
from edge.bus import Alive, Endpoints, ImageNote, VisionBus
from tests.samples import SIGHTING
bus = VisionBus(Endpoints(telemetry=sys.argv[1], results=sys.argv[2]), "eo")
"""
SEND_MANY = (
    CHILD
    + """
import select
from skywarden.errors import WireError
for number in range(int(sys.argv[3])):
    while True:
        try:
            bus.message(msgspec.structs.replace(SIGHTING, frame_number=number))
            break
        except WireError:  # a core that a busy computer held up for 5 s: nothing was taken, so once more
            pass
bus.alive(Alive(last_frame_number=7, frame_count=8, dropped_count=2, detection_count=3, frames_per_s=4.5,
                inference_ms=30.25))
bus.image(ImageNote(frame_number=7, stamp_ns=123, suffix=".jpg"), b"\\xff\\xd8 a picture")
while not bus.telemetry():  # all has come: what waits longer than a second after the end is let go
    select.select([], [], [], 0.01)
bus.close()
"""
)
ECHO = (
    CHILD
    + """
import select
bus.alive(Alive(last_frame_number=0, frame_count=0, dropped_count=0, detection_count=0, frames_per_s=0.0,
                inference_ms=0.0))
got = []
while len(got) < int(sys.argv[3]):
    got += bus.telemetry()
    select.select([], [], [], 0.002)
assert [t for t, _ in got] == list(range(len(got))), "order"
assert all(raw == bytes([t % 256]) * 20 for t, raw in got), "content"
bus.message(SIGHTING)
while not bus.telemetry():
    select.select([], [], [], 0.01)
bus.close()
"""
)
Start = Callable[[str, int], subprocess.Popen[bytes]]


@pytest.fixture
def endpoints() -> Iterator[Endpoints]:
    with tempfile.TemporaryDirectory(prefix="sw-") as folder:
        yield Endpoints.in_folder(Path(folder))


@pytest.fixture
def core(endpoints: Endpoints) -> Iterator[CoreBus]:
    bus = CoreBus(endpoints)
    yield bus
    bus.close()


@pytest.fixture
def vision(endpoints: Endpoints, core: CoreBus) -> Iterator[VisionBus]:
    bus = VisionBus(endpoints, "eo")
    yield bus
    bus.close()


@pytest.fixture
def start(endpoints: Endpoints) -> Iterator[Start]:
    """Starts vision processes; none is left."""
    with ExitStack() as stack:

        def begin(code: str, count: int) -> subprocess.Popen[bytes]:
            argv = [sys.executable, "-c", code, endpoints.telemetry, endpoints.results, str(count)]
            process = subprocess.Popen(argv, env=clean_environment(), cwd=Path(__file__).parents[2])
            stack.callback(process.wait)
            stack.callback(process.kill)
            return process

        yield begin


def _end(core: CoreBus, process: subprocess.Popen[bytes]) -> None:
    """Let a vision process go that waits for telemetry; it must end well."""
    limit_s = time.monotonic() + 60.0
    while process.poll() is None:
        assert time.monotonic() < limit_s, "the vision process did not end"
        core.publish(0, b"go")
        core.receive(timeout_ms=50)
    assert process.returncode == 0


def _receive(core: CoreBus, count: int, limit_s: float = 60.0) -> list[list[bytes]]:
    """At least `count` results."""
    got: list[list[bytes]] = []
    end = time.monotonic() + limit_s
    while len(got) < count:
        assert time.monotonic() < end, f"{len(got)} of {count} came"
        got += core.receive(timeout_ms=100)
    return got


def _number(body: bytes) -> int:
    sighting = wire.decode("sighting", body)
    assert isinstance(sighting, Sighting)
    return sighting.frame_number


def test_what_one_process_sends_another_gets_whole_and_in_order(core: CoreBus, start: Start) -> None:
    child = start(SEND_MANY, 3000)
    got = _receive(core, 3002)
    _end(core, child)
    assert all(sensor_id == "eo" for _, sensor_id, _ in map(split_result, got))
    bodies = [rest for kind, _, rest in map(split_result, got[:3000]) if kind == MESSAGE]
    assert {topic for topic, _ in bodies} == {b"sighting"}
    numbers = [_number(body) for _, body in bodies]
    assert numbers == list(range(3000))
    kind, _, (body,) = split_result(got[3000])
    assert kind == ALIVE
    assert decode_alive(body).inference_ms == 30.25
    kind, _, (note, picture) = split_result(got[3001])
    assert kind == IMAGE
    assert decode_note(note) == ImageNote(frame_number=7, stamp_ns=123, suffix=".jpg")
    assert picture == b"\xff\xd8 a picture"


def test_what_is_sent_together_arrives_together_and_one_by_one(core: CoreBus, vision: VisionBus) -> None:
    vision.send_together([])
    vision.send_together([msgspec.structs.replace(SIGHTING, frame_number=number) for number in range(450)])
    vision.message(msgspec.structs.replace(SIGHTING, frame_number=450))
    first = core.receive(timeout_ms=30_000)
    got = first + _receive(core, 451 - len(first))
    told = [split_result(parts) for parts in got]
    assert {(kind, sensor_id, topic) for kind, sensor_id, (topic, _) in told} == {
        (MESSAGE, "eo", b"sighting")
    }
    numbers = [_number(body) for _, _, (_, body) in told]
    assert numbers == list(range(451))
    assert len(first) >= 200


def test_the_picture_does_not_wait_for_what_must_be_committed(endpoints: Endpoints) -> None:
    context = zmq.Context()
    try:
        core = context.socket(zmq.PULL)
        core.bind(endpoints.results)
        bus = VisionBus(endpoints, "eo")
        bus.send_together([EVERY["detections"], EVERY["frame"], SIGHTING, SIGHTING])
        pieces = []
        for _ in range(2):
            assert core.poll(30_000)
            pieces.append(core.recv_multipart()[2::2])
        assert pieces == [[b"detections", b"frame"], [b"sighting", b"sighting"]]
        bus.close()
    finally:
        context.destroy(linger=0)


def test_a_group_that_is_none_is_handed_on_to_be_refused(core: CoreBus, endpoints: Endpoints) -> None:
    context = zmq.Context()
    try:
        hostile = context.socket(zmq.PUSH)
        hostile.setsockopt(zmq.LINGER, 0)
        hostile.connect(endpoints.results)
        for parts in ([MESSAGE, b"eo", *[b""] * 5], [MESSAGE, *[b"eo"] * 2001], [ALIVE, b"eo", *[b""] * 4]):
            hostile.send_multipart(parts)
            (got,) = _receive(core, 1)
            assert got == parts
            with pytest.raises(WireError):
                split_result(got)
    finally:
        context.destroy(linger=0)


def test_telemetry_reaches_a_vision_process_in_order_with_its_times(core: CoreBus, start: Start) -> None:
    child = start(ECHO, 2000)
    _receive(core, 1)  # it is connected
    for number in range(2000):
        core.publish(number, bytes([number % 256]) * 20)
        if number % 200 == 0:
            core.receive(timeout_ms=5)
    (last,) = _receive(core, 1)
    assert split_result(last)[0] == MESSAGE
    _end(core, child)


def test_a_vision_process_that_lags_does_not_hold_up_the_core(core: CoreBus, vision: VisionBus) -> None:
    vision.alive(_alive())
    _receive(core, 1)
    for number in range(60_000):  # far more than the queues hold: one that waited would never end
        core.publish(number, bytes(40))


def test_a_core_that_is_busy_holds_up_vision_until_it_takes_again(core: CoreBus, start: Start) -> None:
    child = start(SEND_MANY, 6_000)
    first = _receive(core, 1)
    with pytest.raises(subprocess.TimeoutExpired):  # far more than the queues hold: it must wait
        child.wait(timeout=2.0)
    got = first + _receive(core, 6_002 - len(first))
    _end(core, child)
    numbers = [_number(rest[1]) for kind, _, rest in map(split_result, got) if kind == MESSAGE]
    assert numbers == list(range(6_000))


@pytest.mark.slow
def test_a_core_that_is_gone_is_told_after_five_seconds(endpoints: Endpoints) -> None:
    bus = VisionBus(endpoints, "eo")
    begun_s = time.monotonic()
    with pytest.raises(WireError, match="took nothing for 5 s"):
        _poll(lambda: bus.message(SIGHTING), limit_s=60.0)
    assert time.monotonic() - begun_s > 4.5
    bus.close()


def test_one_call_gives_at_most_500_results(core: CoreBus, vision: VisionBus) -> None:
    for _ in range(900):
        vision.alive(_alive())
    first = core.receive(timeout_ms=30_000)
    assert 1 <= len(first) <= 500
    assert len(first + _receive(core, 900 - len(first))) == 900


def test_an_oversize_result_is_not_even_taken_in(core: CoreBus, endpoints: Endpoints) -> None:
    context = zmq.Context()
    try:
        hostile = context.socket(zmq.PUSH)
        hostile.setsockopt(zmq.LINGER, 0)
        hostile.connect(endpoints.results)
        hostile.send_multipart((IMAGE, b"eo", b"", bytes(MAX_LOCAL_BYTES + 1)))
        assert core.receive(timeout_ms=1000) == []
        honest = VisionBus(endpoints, "eo")
        honest.alive(_alive())
        assert len(_receive(core, 1)) == 1
        honest.close()
    finally:
        context.destroy(linger=0)


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [b""],
        [MESSAGE],
        [MESSAGE, b"eo"],
        [MESSAGE, b"eo", b"sighting"],
        [MESSAGE, b"eo", b"sighting", b"", b"more"],
        [ALIVE, b"eo"],
        [ALIVE, b"eo", b"", b""],
        [IMAGE, b"eo", b""],
        [b"X", b"eo", b"", b""],
        [MESSAGE, b"\xff\xfe", b"sighting", b""],
        [b"M" * 1_000_000, b"eo"],
    ],
    ids=range(12),
)
def test_results_that_are_none_are_refused(parts: list[bytes]) -> None:
    with pytest.raises(WireError) as caught:
        split_result(parts)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x90", b"\x93\x01\x02\x03", bytes(1000), b"\x91" * 5000])
def test_garbage_is_neither_a_sign_of_life_nor_a_note(data: bytes) -> None:
    with pytest.raises(WireError):
        decode_alive(data)
    with pytest.raises(WireError):
        decode_note(data)


@pytest.mark.parametrize("suffix", ["", ".exe", "/../x", ".jpg/"])
def test_a_note_names_a_picture_and_no_path(suffix: str) -> None:
    with pytest.raises(WireError):
        decode_note(msgspec.msgpack.encode([7, 123, suffix]))


@pytest.mark.parametrize(
    "parts", [(TELEMETRY,), (TELEMETRY, b"short", b"raw"), (TELEMETRY, bytes(8), b"raw", b"more")]
)
def test_telemetry_that_is_none_is_refused(endpoints: Endpoints, parts: tuple[bytes, ...]) -> None:
    context = zmq.Context()
    try:
        publisher = context.socket(zmq.PUB)
        publisher.bind(endpoints.telemetry)
        vision = VisionBus(endpoints, "eo")
        with pytest.raises(WireError, match="telemetry from the core"):
            _poll(lambda: (publisher.send_multipart(parts), vision.telemetry()))
        publisher.send_multipart((TELEMETRY, struct.pack("<q", 5), b"raw"))
        vision.close()
    finally:
        context.destroy(linger=0)


def _poll(step: Callable[[], object], limit_s: float = 30.0) -> None:
    """Do `step` until it raises, for so long at most."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        step()


def _alive() -> Alive:
    return Alive(
        last_frame_number=1,
        frame_count=2,
        dropped_count=0,
        detection_count=0,
        frames_per_s=1.0,
        inference_ms=1.0,
    )
