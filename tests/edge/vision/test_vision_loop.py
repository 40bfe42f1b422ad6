"""The two threads of one sensor: newest frame only, an honest sign of life, a quick stop, no hidden error."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pytest

from edge.bus import Alive, ImageNote
from edge.cameras.frame import BgrPixels, CameraFrame, FrameFlag
from edge.mavlink_port import MavlinkConfig
from edge.pose.telemetry import TelemetryNode
from edge.vision.loop import LoopSettings, VisionLoop, fault_of
from edge.vision.pending import PendingFrames
from edge.vision.pipeline import VisionNode
from models.detector import Inference
from skywarden.clock import SystemClock
from skywarden.errors import ModelError, WireError
from skywarden.geometry.pose import CameraPose, NoPose
from skywarden.mavlink.synth import MessageMaker
from skywarden.messages import Detections, FrameInfo, Health, Message, Sighting, Track
from tests.edge import eyes
from tests.samples import EVERY

pytestmark = pytest.mark.slow

MessageT = TypeVar("MessageT", bound=Message)
S = eyes.S
CLOCK = SystemClock()


class Camera:
    """A `FrameTaker` of frames that a test makes; keeps only the newest, as the grabber does."""

    def __init__(self, frames: Sequence[CameraFrame] = (), *, keep_all: bool = False) -> None:
        self._slot = deque(frames, maxlen=None if keep_all or frames else 1)
        self._changed = threading.Condition()
        self.dropped_count = 0
        self.is_finished = False
        self.told: list[Health] = []

    def put(self, frame: CameraFrame) -> None:
        with self._changed:
            self.dropped_count += len(self._slot) == self._slot.maxlen
            self._slot.append(frame)
            self._changed.notify()

    def take(self, timeout_s: float) -> CameraFrame | None:
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._slot) > 0, timeout_s):
                return None
            return self._slot.popleft()

    def health(self, platform_id: str) -> list[Health]:
        told, self.told = self.told, []
        return told


class Collected:
    """A `Bus` that keeps what it is given, and lets a test wait for it."""

    def __init__(self, telemetry: Sequence[tuple[int, bytes]] = ()) -> None:
        self._telemetry = list(telemetry)
        self._changed = threading.Condition()
        self.messages: list[Message] = []
        self.signs: list[Alive] = []
        self.images: list[tuple[ImageNote, bytes]] = []
        self.threads: set[str] = set()
        self.refuses = False

    def telemetry(self) -> list[tuple[int, bytes]]:
        given, self._telemetry = self._telemetry, []
        return given

    def message(self, message: Message) -> None:
        if self.refuses:
            raise WireError("the worker's core took nothing for 5 s")
        self._note(self.messages, message)

    def alive(self, alive: Alive) -> None:
        self._note(self.signs, alive)

    def image(self, note: ImageNote, data: bytes) -> None:
        self._note(self.images, (note, data))

    def _note(self, kept: list[Any], item: object) -> None:
        with self._changed:
            kept.append(item)
            self.threads.add(threading.current_thread().name)
            self._changed.notify_all()

    def of(self, kind: type[MessageT]) -> list[MessageT]:
        return [message for message in self.messages if isinstance(message, kind)]

    def wait_for(self, holds: Callable[[], bool], limit_s: float = 10.0) -> None:
        with self._changed:
            assert self._changed.wait_for(holds, limit_s), f"not within {limit_s} s"


class Grouping(Collected):
    """A bus that also takes several messages at once."""

    def __init__(self) -> None:
        super().__init__()
        self.groups: list[list[Message]] = []

    def send_together(self, messages: Sequence[Message]) -> None:
        self.groups.append(list(messages))
        self._note(self.messages, messages[0])


class Poses:
    """A `PoseSource` that knows every pose at once."""

    def covers(self, time_ns: int) -> bool:
        return True

    def pose_at(self, time_ns: int) -> CameraPose | NoPose:
        return eyes.pose(time_ns)


class Running:
    """A loop in a thread of its own."""

    def __init__(
        self,
        camera: Camera,
        bus: Collected,
        detector: eyes.ScriptedDetector,
        *,
        is_orphan: Callable[[], bool] = lambda: False,
        **changes: Any,
    ) -> None:
        self.telemetry = TelemetryNode(MavlinkConfig())
        self.loop = VisionLoop(
            LoopSettings(platform_id="uav07", **changes),
            VisionNode(eyes.IDS, eyes.settings(), detector),
            camera,
            self.telemetry,
            PendingFrames(Poses(), wait_s=0.6),
            bus,
            CLOCK,
        )
        self.error: BaseException | None = None
        self._is_orphan = is_orphan
        self.thread = threading.Thread(target=self._run, name="rest")
        self.thread.start()

    def _run(self) -> None:
        try:
            self.loop.run(self._is_orphan)
        except (ModelError, WireError) as error:
            self.error = error

    def stop(self) -> float:
        """Stop it; the seconds that took."""
        begun_s = time.monotonic()
        self.loop.stop()
        self.thread.join(10.0)
        assert not self.thread.is_alive()
        return time.monotonic() - begun_s


Start = Callable[..., Running]


@pytest.fixture
def start() -> Iterator[Start]:
    running: list[Running] = []

    def begin(*args: Any, **changes: Any) -> Running:
        running.append(Running(*args, **changes))
        return running[-1]

    yield begin
    for each in running:
        each.stop()


def picture(number: int, *flags: FrameFlag, stamp_s: float | None = None) -> CameraFrame:
    """A frame of the camera, ten a second."""
    made = eyes.frame(number, scale=0.2)
    return CameraFrame(
        sensor_id="eo",
        frame_number=number,
        time_ns=made.time_ns,
        stamp_ns=made.time_ns if stamp_s is None else eyes.T0 + round(stamp_s * S),
        received_ns=made.received_ns,
        pts_s=None,
        time_basis="arrival",
        pixels=BgrPixels(made.image),
        flags=flags,
    )


def objects(count: int) -> list[eyes.Row]:
    return [eyes.box(64.0, 48.0)]


def test_frames_become_messages_in_their_order(start: Start) -> None:
    bus = Collected()
    start(
        Camera([picture(number) for number in range(20)]),
        bus,
        eyes.ScriptedDetector(objects),
        first_frame=1000,
    )
    bus.wait_for(lambda: len(bus.of(FrameInfo)) == 20)
    numbers = [info.frame_number for info in bus.of(FrameInfo)]
    assert numbers == list(range(1000, 1020))
    assert bus.of(Track)
    assert bus.of(Sighting)
    assert bus.threads == {"rest"}, "one thread has the bus"


def test_a_bus_that_takes_groups_gets_all_that_a_frame_came_to_at_once(start: Start) -> None:
    bus = Grouping()
    start(Camera([picture(number) for number in range(6)]), bus, eyes.ScriptedDetector(objects))
    bus.wait_for(lambda: len(bus.groups) == 6)
    for number, group in enumerate(bus.groups):
        infos = [message for message in group if isinstance(message, FrameInfo)]
        assert [info.frame_number for info in infos] == [number]
    assert any(isinstance(message, Sighting) for group in bus.groups for message in group)


def test_telemetry_is_taken_in_and_the_cameras_conditions_go_out(start: Start) -> None:
    maker = MessageMaker(1, 1)
    telemetry = [
        (eyes.T0 + n, maker.attitude(time_boot_ms=n, roll_deg=0, pitch_deg=0, heading_deg=0))
        for n in range(50)
    ]
    bus, camera, health = Collected(telemetry), Camera(), EVERY["health"]
    assert isinstance(health, Health)
    camera.told = [health]
    running = start(camera, bus, eyes.ScriptedDetector(objects))
    bus.wait_for(lambda: bus.messages == [health] and len(bus.signs) == 1)
    assert running.telemetry.counts["frames"] == 50


def test_while_one_frame_is_looked_at_only_the_newest_of_the_rest_is_kept(start: Start) -> None:
    entered, release = threading.Event(), threading.Event()

    class Slow(eyes.ScriptedDetector):
        def infer(self, image_bgr_u8: npt.NDArray[np.uint8]) -> Inference:
            entered.set()
            assert release.wait(10.0)
            return super().infer(image_bgr_u8)

    bus, camera = Collected(), Camera()
    start(camera, bus, Slow(objects))
    camera.put(picture(0))
    assert entered.wait(5.0)
    for number in range(1, 50):
        camera.put(picture(number))
    release.set()
    bus.wait_for(lambda: len(bus.of(FrameInfo)) == 2)
    assert [info.frame_number for info in bus.of(FrameInfo)] == [0, 49]
    bus.wait_for(lambda: bool(bus.signs) and bus.signs[-1].frame_count == 2)
    assert bus.signs[-1].dropped_count == 48


def test_a_slow_second_half_makes_the_first_wait_and_nothing_pile_up(start: Start) -> None:
    gate = threading.Semaphore(0)

    class Held(Collected):
        def message(self, message: Message) -> None:
            if isinstance(message, Detections):
                assert gate.acquire(timeout=10.0)
            super().message(message)

    detector = eyes.ScriptedDetector(objects)
    bus = Held()
    camera = Camera([picture(number) for number in range(100)])
    start(camera, bus, detector)
    gate.release()
    bus.wait_for(lambda: len(bus.of(FrameInfo)) == 1)
    # one is being sent, one waits in the queue, one has been looked at and waits for the queue
    end = time.monotonic() + 5.0
    while detector.infer_count < 4 and time.monotonic() < end:
        threading.Event().wait(0.01)
    threading.Event().wait(0.1)
    assert detector.infer_count <= 4
    gate.release(200)
    bus.wait_for(lambda: len(bus.of(FrameInfo)) == 100)


def test_it_stops_within_two_seconds_idle_and_at_work(start: Start) -> None:
    assert start(Camera(), Collected(), eyes.ScriptedDetector(objects)).stop() < 2.0
    busy = start(Camera([picture(n) for n in range(2000)]), Collected(), eyes.ScriptedDetector(objects))
    assert busy.stop() < 2.0


def test_what_was_looked_at_before_the_stop_is_still_told(start: Start) -> None:
    class Never(Poses):
        def covers(self, time_ns: int) -> bool:
            return False

    bus = Collected()
    detector = eyes.ScriptedDetector(objects)
    loop = VisionLoop(
        LoopSettings(platform_id="uav07"),
        VisionNode(eyes.IDS, eyes.settings(), detector),
        Camera([picture(0), picture(1)]),
        TelemetryNode(MavlinkConfig()),
        PendingFrames(Never(), wait_s=3600.0),
        bus,
        CLOCK,
    )
    thread = threading.Thread(target=loop.run)
    thread.start()
    bus.wait_for(lambda: bool(bus.signs) and bus.signs[-1].frame_count == 2)
    assert bus.messages == []
    loop.stop()
    thread.join(5.0)
    assert [info.frame_number for info in bus.of(FrameInfo)] == [0, 1]


def test_an_error_while_looking_comes_out_of_run(start: Start) -> None:
    def broken(count: int) -> list[eyes.Row]:
        if count == 3:
            raise ModelError("inference failed in the fourth frame")
        return objects(count)

    bus = Collected()
    running = start(Camera([picture(n) for n in range(10)]), bus, eyes.ScriptedDetector(broken))
    running.thread.join(5.0)
    assert not running.thread.is_alive()
    assert isinstance(running.error, ModelError)
    assert len(bus.of(FrameInfo)) == 3, "what was seen before is told"


def test_an_error_of_the_bus_ends_both_threads(start: Start) -> None:
    bus = Collected()
    bus.refuses = True
    running = start(Camera([picture(n) for n in range(10)]), bus, eyes.ScriptedDetector(objects))
    running.thread.join(5.0)
    assert isinstance(running.error, WireError)
    assert not [thread for thread in threading.enumerate() if thread.name == "look"]


def test_it_ends_when_the_core_is_gone(start: Start) -> None:
    gone = threading.Event()
    running = start(Camera(), Collected(), eyes.ScriptedDetector(objects), is_orphan=gone.is_set)
    gone.set()
    running.thread.join(2.0)
    assert not running.thread.is_alive()


class Leaping:
    """A clock whose monotonic side a test moves."""

    def __init__(self) -> None:
        self.now_ns = 100 * S

    def utc_ns(self) -> int:
        return eyes.T0

    def monotonic_ns(self) -> int:
        return self.now_ns


def test_signs_of_life_stop_when_looking_hangs_and_come_back_with_it() -> None:
    entered, release = threading.Event(), threading.Event()

    class Hanging(eyes.ScriptedDetector):
        def infer(self, image_bgr_u8: npt.NDArray[np.uint8]) -> Inference:
            entered.set()
            assert release.wait(20.0)
            return super().infer(image_bgr_u8)

    clock, bus, camera = Leaping(), Collected(), Camera()
    loop = VisionLoop(
        LoopSettings(platform_id="uav07"),
        VisionNode(eyes.IDS, eyes.settings(), Hanging(objects)),
        camera,
        TelemetryNode(MavlinkConfig()),
        PendingFrames(Poses(), wait_s=0.6),
        bus,
        clock,
    )
    thread = threading.Thread(target=loop.run)
    thread.start()
    try:
        bus.wait_for(lambda: len(bus.signs) == 1)
        camera.put(picture(0))
        assert entered.wait(5.0)
        clock.now_ns += 2 * S
        bus.wait_for(lambda: len(bus.signs) == 2)
        clock.now_ns += 20 * S
        threading.Event().wait(0.5)  # many turns of the loop
        assert len(bus.signs) == 2
        release.set()
        bus.wait_for(lambda: len(bus.signs) == 3)
    finally:
        release.set()
        loop.stop()
        thread.join(5.0)
    assert not thread.is_alive()


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ((), None),
        (("dark", "overexposed", "resolution_changed"), None),
        (("frozen",), "frozen"),
        (("black", "dark"), "black"),
        (("corrupt",), "corrupt"),
        (("repeated",), "repeated"),
        (("frozen_suspected", "repeated"), "frozen_suspected"),
    ],
)
def test_a_cameras_doubts_become_the_frames_fault(flags: tuple[FrameFlag, ...], expected: str | None) -> None:
    assert fault_of(picture(0, *flags)) == expected


def test_faulty_frames_are_told_and_not_looked_at(start: Start) -> None:
    bus, detector = Collected(), eyes.ScriptedDetector(objects)
    start(Camera([picture(0), picture(1, "black"), picture(2, "frozen")]), bus, detector)
    bus.wait_for(lambda: len(bus.of(FrameInfo)) == 3)
    reasons = [info.no_position_reason for info in bus.of(FrameInfo)]
    assert reasons == [None, "black", "frozen"]
    assert detector.infer_count == 1


def _recorded(start: Start, frames: Sequence[CameraFrame], rate: float) -> list[float]:
    bus = Collected()
    running = start(Camera(frames), bus, eyes.ScriptedDetector(lambda _: []), record_fps=rate)
    bus.wait_for(lambda: len(bus.of(FrameInfo)) == len(frames))
    running.stop()
    assert all(data.startswith(b"\xff\xd8") for _, data in bus.images)
    return [(note.stamp_ns - eyes.T0) / S for note, _ in bus.images]


def test_pictures_are_recorded_at_the_stated_rate_and_no_more(start: Start) -> None:
    frames = [picture(number, stamp_s=number / 30) for number in range(301)]
    assert len(_recorded(start, frames, 2.0)) == 21
    assert len(_recorded(start, frames, 7.0)) == 71
    assert len(_recorded(start, frames, 60.0)) == 301
    assert _recorded(start, frames, 0.0) == []


def test_a_slow_camera_is_recorded_whole_and_pauses_make_no_burst(start: Start) -> None:
    times = [0.0, 0.51, 0.99, 1.5, 9.0, 9.1, 9.2, 9.5]
    frames = [picture(number, stamp_s=stamp_s) for number, stamp_s in enumerate(times)]
    assert _recorded(start, frames, 2.0) == [0.0, 0.51, 0.99, 1.5, 9.0, 9.5]


def test_a_clock_that_is_set_back_does_not_end_the_recording(start: Start) -> None:
    times = [3600.0, 3600.5, 3601.0, 0.0, 0.1, 0.5, 1.0]
    frames = [picture(number, stamp_s=stamp_s) for number, stamp_s in enumerate(times)]
    assert _recorded(start, frames, 2.0) == [3600.0, 3600.5, 3601.0, 0.0, 0.5, 1.0]
