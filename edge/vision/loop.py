"""The working loop of one sensor in two threads: one looks at the newest frame, one does all the rest.

Reading the network's answer, the wait for the pose, location, tracking, packing and sending run beside the
next inference, which leaves the interpreter's lock while it computes. Between the two stands a queue of one:
when the second thread is late the first waits, so nothing piles up and the next frame taken is the newest.
"""

import queue
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import cv2
import structlog

from edge.bus import Alive, Control, ImageNote
from edge.cameras.frame import CameraFrame
from edge.looks.maker import LookMaker
from edge.models_aboard.desk import ModelDesk
from edge.models_aboard.orders import ModelsReport
from edge.pose.telemetry import TelemetryNode
from edge.triage.frame_keeper import FrameKeeper
from edge.vision.pending import PendingFrames
from edge.vision.pipeline import Frame, Look, VisionNode
from skywarden.clock import NS_PER_S, Clock
from skywarden.messages import Health, Message

log = structlog.get_logger("edge.vision.pipeline")

HANG_NS = 8 * NS_PER_S
QUEUE_WAIT_S = 0.2
REPORT_PERIOD_NS = NS_PER_S // 2
SWITCH_S = 0.0005


class FrameTaker(Protocol):
    """Where frames come from."""

    @property
    def dropped_count(self) -> int:
        """Frames that were passed over for newer ones."""
        ...

    @property
    def is_finished(self) -> bool:
        """Whether nothing will come any more."""
        ...

    def take(self, timeout_s: float) -> CameraFrame | None:
        """The newest frame not yet taken, or `None`."""
        ...

    def health(self, platform_id: str) -> list[Health]:
        """What began or ended with the camera since the last call."""
        ...


class Bus(Protocol):
    """Where telemetry comes from and where everything goes."""

    def telemetry(self) -> list[tuple[int, bytes]]:
        """MAVLink frames that wait, with their reception times."""
        ...

    def message(self, message: Message) -> None:
        """Hand on one message."""
        ...

    def alive(self, alive: Alive) -> None:
        """Give a sign of life."""
        ...

    def image(self, note: ImageNote, data: bytes) -> None:
        """Hand on an image for the recording."""
        ...


@runtime_checkable
class ControlBus(Protocol):
    """A bus by which the core says what it wants."""

    def control(self) -> Control | None:
        """What it last wanted, once."""
        ...


@runtime_checkable
class ReportBus(Protocol):
    """A bus that also takes how the models are."""

    def models(self, report: ModelsReport) -> None:
        """Hand it on."""
        ...


@runtime_checkable
class GroupBus(Protocol):
    """A bus that also takes all that a frame came to at once, so that the core wakes once for it."""

    def send_together(self, messages: Sequence[Message]) -> None:
        """Hand on several messages, in order."""
        ...


@dataclass(frozen=True, kw_only=True)
class LoopSettings:
    """`record_fps` 0 records no images; `first_frame` is where frame numbers begin."""

    platform_id: str
    first_frame: int = 0
    record_fps: float = 0.0
    jpeg_quality: int = 90


@dataclass(slots=True)
class _Counts:
    frames: int = 0
    detections: int = 0
    last_number: int = 0
    inference_ms: float = 0.0


class VisionLoop:
    """`run` works until `stop`, or until `is_orphan` says that the core is gone. One thread has the bus."""

    def __init__(
        self,
        settings: LoopSettings,
        node: VisionNode,
        frames: FrameTaker,
        telemetry: TelemetryNode,
        pending: PendingFrames,
        bus: Bus,
        clock: Clock,
        keeper: FrameKeeper | None = None,
        looks: LookMaker | None = None,
        desk: ModelDesk | None = None,
    ) -> None:
        self._settings = settings
        self._node = node
        self._frames = frames
        self._telemetry = telemetry
        self._pending = pending
        self._bus = bus
        self._control_bus = bus if isinstance(bus, ControlBus) else None
        self._keeper = keeper
        self._look_maker = looks
        self._desk = desk
        self._group_bus = bus if isinstance(bus, GroupBus) else None
        self._report_bus = bus if isinstance(bus, ReportBus) else None
        self._next_report_ns = 0
        self._clock = clock
        self._looks: queue.Queue[tuple[Look, CameraFrame]] = queue.Queue(maxsize=1)
        self._stop = threading.Event()
        self._counts = _Counts(last_number=settings.first_frame)
        self._turned_ns = clock.monotonic_ns()
        self._next_alive_ns = 0
        self._rate = (0, clock.monotonic_ns())
        self._record_due_ns: int | None = None
        self._fault: BaseException | None = None

    def stop(self) -> None:
        """Ask both threads to end; may be called from anywhere."""
        self._stop.set()

    def run(self, is_orphan: Callable[[], bool] = lambda: False) -> None:
        """Look in a thread of its own, do the rest in the caller's; raises what either of them raised."""
        # Inference is over: the looking thread must not wait 5 ms (Python's default) for the interpreter.
        sys.setswitchinterval(SWITCH_S)
        looker = threading.Thread(target=self._look_forever, name="look", daemon=True)
        looker.start()
        try:
            while not self._stop.is_set() and not is_orphan():
                self._turn()
        finally:
            self._stop.set()
            looker.join(2.0)
            self._finish_all()
        if self._fault is not None:
            raise self._fault

    def _look_forever(self) -> None:
        try:
            while not self._stop.is_set():
                self._turned_ns = self._clock.monotonic_ns()
                camera_frame = self._frames.take(timeout_s=QUEUE_WAIT_S)
                if camera_frame is not None:
                    self._put(self._looked(camera_frame), camera_frame)
        except BaseException as error:  # noqa: BLE001 (outermost loop; `run` raises it again)
            self._fault = error
            self._stop.set()

    def _looked(self, camera_frame: CameraFrame) -> Look:
        frame = Frame(
            frame_number=self._settings.first_frame + camera_frame.frame_number,
            time_ns=camera_frame.time_ns,
            received_ns=camera_frame.received_ns,
            image=camera_frame.image,
            fault=fault_of(camera_frame),
        )
        start_ns = self._clock.monotonic_ns()
        look = self._node.look(frame)
        self._counts.inference_ms = (self._clock.monotonic_ns() - start_ns) / 1e6
        return look

    def _put(self, look: Look, camera_frame: CameraFrame) -> None:
        while not self._stop.is_set():
            try:
                self._looks.put((look, camera_frame), timeout=QUEUE_WAIT_S)
                return
            except queue.Full:
                self._turned_ns = self._clock.monotonic_ns()

    def _turn(self) -> None:
        item = self._next(0.005 if len(self._pending) else 0.05)
        for received_ns, raw in self._bus.telemetry():
            self._telemetry.handle(received_ns, raw)
        control = self._control_bus.control() if self._control_bus is not None else None
        if control is not None:
            self._node.want(picture_bytes=control.picture_bytes, min_scores=control.min_scores)
            if self._look_maker is not None:
                self._look_maker.want(control.looks)
            if self._desk is not None:
                for order in control.model_orders:
                    self._desk.order(order)
        for health in self._frames.health(self._settings.platform_id):
            self._bus.message(health)
        if item is not None:
            self._read(*item)
        self._hand_over()
        if self._look_maker is not None and (made := self._look_maker.finished()) is not None:
            self._bus.message(made)
        self._tell_of_models()
        now_ns = self._clock.monotonic_ns()
        if now_ns >= self._next_alive_ns and now_ns - self._turned_ns < HANG_NS:
            self._give_sign(now_ns)

    def _tell_of_models(self) -> None:
        """What changed, at once; how all of it is, twice a second."""
        if self._desk is None:
            return
        for health in self._desk.take_health():
            self._bus.message(health)
        now_ns = self._clock.monotonic_ns()
        if self._report_bus is not None and now_ns >= self._next_report_ns:
            self._next_report_ns = now_ns + REPORT_PERIOD_NS
            self._report_bus.models(self._desk.report())

    def _next(self, timeout_s: float) -> tuple[Look, CameraFrame] | None:
        try:
            return self._looks.get(timeout=timeout_s)
        except queue.Empty:
            return None

    def _read(self, look: Look, camera_frame: CameraFrame) -> None:
        seen = self._node.read(look)
        self._counts.frames += 1
        self._counts.detections += len(seen.batch)
        self._counts.last_number = look.frame.frame_number
        self._pending.add(seen, self._clock.monotonic_ns())
        self._hand_over()
        self._record(camera_frame, look.frame)

    def _hand_over(self, *, is_last: bool = False) -> None:
        for seen, pose in self._pending.due(self._clock.monotonic_ns(), is_last=is_last):
            outcome = self._node.finish(seen, pose)
            together = outcome.messages
            if self._keeper is not None:
                self._keeper.consider(seen.frame, together)
            if self._group_bus is not None:
                self._group_bus.send_together(together)
            else:
                for message in together:
                    self._bus.message(message)
            if self._look_maker is not None:
                self._look_maker.consider(seen.frame, outcome, self._clock.monotonic_ns())

    def _finish_all(self) -> None:
        item = self._next(0.001)
        if item is not None:
            self._read(*item)
        self._hand_over(is_last=True)

    def _record(self, camera_frame: CameraFrame, frame: Frame) -> None:
        rate = self._settings.record_fps
        if rate <= 0.0:
            return
        period_ns, stamp_ns = round(NS_PER_S / rate), camera_frame.stamp_ns
        due_ns = self._record_due_ns
        if due_ns is None or not due_ns - 2 * period_ns < stamp_ns < due_ns + period_ns:
            due_ns = stamp_ns  # the first, one after a pause, or a clock that was set
        if stamp_ns < due_ns - period_ns // 10:
            return
        self._record_due_ns = due_ns + period_ns
        ok, data = cv2.imencode(".jpg", frame.image, [cv2.IMWRITE_JPEG_QUALITY, self._settings.jpeg_quality])
        if ok:
            note = ImageNote(frame_number=frame.frame_number, stamp_ns=camera_frame.stamp_ns, suffix=".jpg")
            self._bus.image(note, data.tobytes())

    def _give_sign(self, now_ns: int) -> None:
        count, since_ns = self._rate
        elapsed_s = max(1e-3, (now_ns - since_ns) / NS_PER_S)
        self._rate = (self._counts.frames, now_ns)
        self._next_alive_ns = now_ns + NS_PER_S
        self._bus.alive(
            Alive(
                last_frame_number=self._counts.last_number,
                frame_count=self._counts.frames,
                dropped_count=self._frames.dropped_count,
                detection_count=self._counts.detections,
                frames_per_s=(self._counts.frames - count) / elapsed_s,
                inference_ms=self._counts.inference_ms,
                is_finished=self._frames.is_finished,
                misplaced_count=self._node.misplaced_count,
            )
        )


def fault_of(frame: CameraFrame) -> str | None:
    """Why a frame is no new look at the world, `None` for a good one."""
    for flag in ("frozen", "frozen_suspected", "black", "corrupt", "repeated"):
        if flag in frame.flags:
            return flag
    return None
