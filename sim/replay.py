"""Plays a recorded flight into real sockets and folders, so that the edge cannot tell it from life.

The bytes are those of the recording. `Timeline` and `Schedule` are plain objects that say what is due when;
`Replay` is the rim that waits, sends and stops. A loop begins the flight anew: by default with unmodified
bytes, which to the edge is an autopilot that was switched off and on; with `boot_time="continue"` the clocks
inside the messages run on.

`as_live` names pictures by the present (spacing kept), as a camera would; the messages' own boot clock needs
no change, since a receiver ties it to the moment of arrival. It is for rate 1 only: at another rate the boot
clock and the wall clock would disagree about how fast time passes, and no honest receiver would believe them.
"""

import heapq
import queue
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Literal

from sim.boot_time import shifted
from sim.replay_outputs import FolderOutput, FrameOutput, MavlinkOutput, Picture
from skywarden.clock import NS_PER_S, Clock, SystemClock
from skywarden.errors import FlightError, UsageError
from skywarden.flight.reader import FlightReader
from skywarden.flight.schema import VideoFile

Progress = Callable[[int, int, str], None]
BootTime = Literal["keep", "continue"]

RESTART_GAP_S = 3.0
"""Silence between two rounds with `boot_time="keep"`: as long as an autopilot takes to come back."""
LOOP_GAP_S = 0.1
"""Silence between two rounds with `boot_time="continue"`."""
_LONGEST_WAIT_S = 0.2
_DRAIN_TO_END = 1 << 63
_AHEAD = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """One thing to play: a MAVLink frame (`raw`) or a picture of `sensor_id`, recorded at `time_ns` (UTC)."""

    time_ns: int
    raw: bytes | None = None
    sensor_id: str = ""
    frame_number: int = 0
    picture: Picture | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Timeline:
    """Ties recorded time to two clocks: the monotonic one says when something is due, UTC what to call it.

    `rate` 2 plays twice as fast; `None` as fast as it goes (everything is due at once).
    """

    recorded_ns: int
    monotonic_ns: int
    utc_ns: int
    rate: float | None

    def due_ns(self, recorded_ns: int) -> int:
        """Monotonic time at which what was recorded then is due."""
        if self.rate is None:
            return self.monotonic_ns
        return self.monotonic_ns + round((recorded_ns - self.recorded_ns) / self.rate)

    def live_ns(self, recorded_ns: int) -> int:
        """The present that stands for that recorded moment, spacing kept."""
        return self.utc_ns + recorded_ns - self.recorded_ns


class Schedule:
    """What is due, in recorded order; holds no clock and no socket."""

    def __init__(self, items: Iterator[Item], timeline: Timeline) -> None:
        self._items = items
        self._timeline = timeline
        self._next = next(items, None)

    @property
    def next_due_ns(self) -> int | None:
        """Monotonic time at which the next item is due; `None` when all were played."""
        return None if self._next is None else self._timeline.due_ns(self._next.time_ns)

    def due(self, monotonic_ns: int) -> Iterator[Item]:
        """Items due by then, each once."""
        while self._next is not None and self._timeline.due_ns(self._next.time_ns) <= monotonic_ns:
            item = self._next
            self._next = next(self._items, None)
            yield item


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplayReport:
    """What was played: MAVLink frames, their bytes, pictures, rounds; the greatest lateness; if stopped."""

    telemetry_count: int
    telemetry_bytes: int
    frame_count: int
    rounds: int
    latest_s: float
    is_stopped: bool


class Replay:
    """One flight, played once or in a loop."""

    def __init__(
        self,
        flight: Path | FlightReader,
        *,
        mavlink: MavlinkOutput | None = None,
        frames: Mapping[str, FrameOutput] | None = None,
        rate: float | None = 1.0,
        as_live: bool = False,
        loop: bool = False,
        boot_time: BootTime = "keep",
        start_s: float = 0.0,
        seconds: float | None = None,
        clock: Clock | None = None,
        progress: Progress | None = None,
    ) -> None:
        """`frames` maps sensor ids to outputs; sensors that are not named are not played.

        `start_s` and `seconds` cut a piece out of the flight. Raises `UsageError` where the words do not fit
        together, `FlightError` for a flight that cannot be read or has nothing to play.
        """
        if rate is not None and not 0.01 <= rate <= 1000.0:
            raise UsageError(f"a rate of {rate:g}; give 0.01 to 1000, or max")
        if as_live and rate != 1.0:
            raise UsageError("as live keeps the spacing of a flight, so it needs rate 1")
        if start_s < 0.0 or (seconds is not None and seconds <= 0.0):
            raise UsageError(f"from {start_s:g} s for {seconds} s is no piece of a flight")
        self._reader = FlightReader(flight) if isinstance(flight, Path) else flight
        self._mavlink, self._frames = mavlink, dict(frames or {})
        for sensor_id in self._frames:
            self._reader.info.sensor(sensor_id)
        self._rate, self._as_live, self._loop, self._boot_time = rate, as_live, loop, boot_time
        self._clock = clock or SystemClock()
        self._progress = progress
        first_ns, last_ns = self._span()
        self._first_ns = first_ns + round(start_s * NS_PER_S)
        self._last_ns = (
            last_ns if seconds is None else min(last_ns, self._first_ns + round(seconds * NS_PER_S))
        )
        if self._first_ns > self._last_ns:
            raise UsageError(
                f"the flight lasts {(last_ns - first_ns) / NS_PER_S:.1f} s; "
                f"nothing is left from {start_s:g} s on"
            )
        self._telemetry_count = self._telemetry_bytes = self._frame_count = self._latest_ns = 0

    @property
    def duration_s(self) -> float:
        """How long one round lasts at rate 1."""
        return (self._last_ns - self._first_ns) / NS_PER_S

    def items(self) -> Iterator[Item]:
        """Everything to play in one round, in recorded order; time never steps back within a stream."""
        streams = [self._telemetry()] if self._mavlink is not None else []
        streams += [self._pictures(sensor_id) for sensor_id in sorted(self._frames)]
        return heapq.merge(*streams, key=lambda item: item.time_ns)

    def run(self, stop: threading.Event | None = None) -> ReplayReport:
        """Play until the end (or, in a loop, for ever) or until `stop` is set; closes the outputs.

        Raises `LinkError` when the other end of a stream goes away, `FlightError` when a picture cannot be
        shown.
        """
        stop = stop or threading.Event()
        rounds = 0
        try:
            if self._mavlink is not None:
                self._mavlink.open(stop)
            start_ns, start_utc_ns = self._clock.monotonic_ns(), self._clock.utc_ns()
            gap_s = RESTART_GAP_S if self._boot_time == "keep" else LOOP_GAP_S
            round_ns = self._last_ns - self._first_ns + round(gap_s * NS_PER_S)
            while not stop.is_set():
                passed_ns = rounds * round_ns
                timeline = Timeline(
                    recorded_ns=self._first_ns,
                    monotonic_ns=start_ns + round(passed_ns / (self._rate or 1e9)),
                    utc_ns=start_utc_ns + passed_ns,
                    rate=self._rate,
                )
                offset_ms = passed_ns // 1_000_000 if self._boot_time == "continue" else 0
                self._play(timeline, offset_ms, stop)
                rounds += 1
                if not self._loop:
                    break
        finally:
            if self._mavlink is not None:
                self._mavlink.close()
            for output in self._frames.values():
                output.close()
        return ReplayReport(
            telemetry_count=self._telemetry_count,
            telemetry_bytes=self._telemetry_bytes,
            frame_count=self._frame_count,
            rounds=rounds,
            latest_s=self._latest_ns / NS_PER_S,
            is_stopped=stop.is_set(),
        )

    def _play(self, timeline: Timeline, offset_ms: int, stop: threading.Event) -> None:
        schedule = Schedule(self.items(), timeline)
        told_s = -1
        while not stop.is_set():
            due_ns = schedule.next_due_ns
            if due_ns is None:
                return
            now_ns = self._clock.monotonic_ns() if self._rate is not None else _DRAIN_TO_END
            if due_ns > now_ns:
                stop.wait(min((due_ns - now_ns) / NS_PER_S, _LONGEST_WAIT_S))
                continue
            if self._rate is not None:
                self._latest_ns = max(self._latest_ns, now_ns - due_ns)
            for item in schedule.due(now_ns):
                self._show(item, timeline, offset_ms)
                done_s = (item.time_ns - self._first_ns) // NS_PER_S
                if self._progress is not None and done_s > told_s:
                    told_s = done_s
                    self._progress(int(done_s), int(self.duration_s), f"{self._frame_count} frames")
                if stop.is_set():
                    return

    def _show(self, item: Item, timeline: Timeline, offset_ms: int) -> None:
        if item.raw is not None:
            assert self._mavlink is not None
            self._mavlink.send(shifted(item.raw, offset_ms) if offset_ms else item.raw)
            self._telemetry_count += 1
            self._telemetry_bytes += len(item.raw)
        elif item.picture is not None:
            time_ns = timeline.live_ns(item.time_ns) if self._as_live else item.time_ns
            self._frames[item.sensor_id].put(time_ns, item.frame_number, item.picture)
            self._frame_count += 1

    def _telemetry(self) -> Iterator[Item]:
        reached_ns = self._first_ns
        for time_ns, raw in self._reader.telemetry():
            if time_ns < self._first_ns:
                continue
            if time_ns > self._last_ns:
                return
            reached_ns = max(reached_ns, time_ns)
            yield Item(time_ns=reached_ns, raw=raw)

    def _pictures(self, sensor_id: str) -> Iterator[Item]:
        is_video = any(isinstance(media, VideoFile) for media in self._reader.info.sensor(sensor_id).media)
        reached_ns = self._first_ns
        for item in _ahead(self._decoded(sensor_id)) if is_video else self._files(sensor_id):
            if item.time_ns < self._first_ns:
                continue
            if item.time_ns > self._last_ns:
                return
            reached_ns = max(reached_ns, item.time_ns)
            yield Item(
                time_ns=reached_ns, sensor_id=sensor_id, frame_number=item.frame_number, picture=item.picture
            )

    def _files(self, sensor_id: str) -> Iterator[Item]:
        for frame in self._reader.frames(sensor_id):
            yield Item(
                time_ns=frame.time_ns, frame_number=frame.frame_number, picture=Picture(path=frame.path)
            )

    def _decoded(self, sensor_id: str) -> Iterator[Item]:
        for frame, pixels in self._reader.images(sensor_id):
            yield Item(time_ns=frame.time_ns, frame_number=frame.frame_number, picture=Picture(pixels=pixels))

    def _span(self) -> tuple[int, int]:
        """First and last recorded time of what will be played."""
        first: list[int] = []
        last: list[int] = []
        if self._mavlink is not None:
            times = [time_ns for time_ns, _ in self._reader.telemetry()]
            first, last = times[:1], [max(times)] if times else []
        for sensor_id in self._frames:
            frame_times = [frame.time_ns for frame in self._reader.frames(sensor_id)]
            first += frame_times[:1]
            last += [max(frame_times)] if frame_times else []
        if not first:
            raise FlightError(f"{self._reader.path}: has neither telemetry nor pictures to play")
        return min(first), max(last)


def folder_outputs(reader: FlightReader, folder: Path, *, keep: int | None = None) -> dict[str, FrameOutput]:
    """An output for every sensor of the flight: `folder` itself for a single one, else a folder each."""
    sensors = [sensor.sensor_id for sensor in reader.info.sensors]
    if len(sensors) == 1:
        return {sensors[0]: FolderOutput(folder, keep=keep)}
    return {sensor_id: FolderOutput(folder / sensor_id, keep=keep) for sensor_id in sensors}


class StopEvent(threading.Event):
    """Set by a signal, whose number it then holds."""

    number: int | None = None


@contextmanager
def stop_on_signals() -> Iterator[StopEvent]:
    """An event that SIGINT and SIGTERM set, for the main thread of a command."""
    stop = StopEvent()

    def heard(number: int, frame: FrameType | None) -> None:
        stop.number = number
        stop.set()

    before = {number: signal.signal(number, heard) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ahead(items: Iterator[Item]) -> Iterator[Item]:
    """The same items, decoded a few ahead in a thread, so that decoding holds up no telemetry."""
    waiting: queue.Queue[Item | BaseException | None] = queue.Queue(_AHEAD)
    gone = threading.Event()

    def offer(thing: Item | BaseException | None) -> None:
        while not gone.is_set():
            try:
                waiting.put(thing, timeout=0.2)
                return
            except queue.Full:
                continue

    def decode() -> None:
        try:
            for item in items:
                offer(item)
                if gone.is_set():
                    return
            offer(None)
        except FlightError as error:
            offer(error)

    thread = threading.Thread(target=decode, name="replay-decode", daemon=True)
    thread.start()
    try:
        while (thing := waiting.get()) is not None:
            if isinstance(thing, BaseException):
                raise thing
            yield thing
    finally:
        gone.set()
        thread.join(2.0)
