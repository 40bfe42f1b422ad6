"""Keeps one camera running: a named thread opens, reads, watches and re-opens it, and hands over frames."""

import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from edge.cameras.address import parse_address, redacted
from edge.cameras.config import CameraConfig
from edge.cameras.frame import CameraFrame
from edge.cameras.slot import FrameSlot
from edge.cameras.source import CameraSource, make_source
from edge.cameras.statistics import measure
from edge.cameras.watch import CameraWatch, Condition
from skywarden.clock import NS_PER_S, Clock
from skywarden.errors import CameraError, SkywardenError
from skywarden.messages import Health

GrabPolicy = Literal["newest", "all"]

_READ_S = 0.25
_STOP_S = 1.8
_log = logging.getLogger(__name__)


class NewestFrameGrabber:
    """Frames of one camera for one taker.

    Policy "newest" (live): `take` answers with the newest frame, older ones are dropped unconverted and
    counted. Policy "all" (replay): every frame, the source waits until each is taken.

    Nothing that native code does can keep `stop` from ending within 2 s. Cameras whose native reads may hang
    (network, USB) are read in a process of their own, which is killed; a GStreamer pipeline is a process too;
    files and folders are read in the thread here, and should one hang (a dead network share), the thread is
    left behind as a daemon that holds nothing but its own source, and `stop` says so.
    """

    def __init__(
        self,
        config: CameraConfig,
        clock: Clock,
        *,
        policy: GrabPolicy = "newest",
        make: Callable[[], CameraSource] | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._config = config
        self._clock = clock
        self._policy = policy
        self._make = make or (lambda: make_source(config, clock, keep_all=policy == "all"))
        self._jitter = jitter
        self._is_live = make is not None or parse_address(config.url).is_live
        self._slot = FrameSlot(keep_all=policy == "all")
        self._wanted = threading.Event()
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._source: CameraSource | None = None
        size = (config.width_px, config.height_px)
        expected = None if size[0] is None or size[1] is None else (size[0], size[1])
        self._watch = CameraWatch(config.watch, started_ns=clock.monotonic_ns(), expected_size_px=expected)
        self._last_error: str | None = None
        self._number_offset = 0
        self._received = 0
        self._damaged = 0
        self._taken = 0
        self._open_count = 0
        self._is_finished = False
        self._thread = threading.Thread(target=self._run, name=f"camera-{config.sensor_id}", daemon=True)

    @property
    def is_finished(self) -> bool:
        """A file or folder was delivered to its end and its last frame was taken."""
        return self._is_finished and not self._slot.is_full

    @property
    def received_count(self) -> int:
        """Frames received since the start, over all openings."""
        return self._received

    @property
    def taken_count(self) -> int:
        """Frames that `take` gave."""
        return self._taken

    @property
    def dropped_count(self) -> int:
        """Frames that were received and never taken."""
        return max(0, self._received - self._taken - int(self._slot.is_full))

    @property
    def damaged_count(self) -> int:
        """Pictures or packets that did not decode."""
        return self._damaged

    @property
    def open_count(self) -> int:
        """How often the source was opened with success; more than 1 means that it was opened again."""
        return self._open_count

    @property
    def last_error(self) -> str | None:
        """Why the source is not open, or was opened again; `None` when all went well so far."""
        return self._last_error

    def start(self) -> None:
        """Begin; errors of the camera become conditions, not exceptions."""
        self._thread.start()

    def take(self, timeout_s: float) -> CameraFrame | None:
        """The newest frame not yet taken, judged and flagged, or `None` when none came within `timeout_s`."""
        self._wanted.set()
        frame = self._slot.take(timeout_s)
        if frame is None:
            self._wanted.clear()  # a frame fetched for nobody would be old when it is taken
            return None
        self._taken += 1
        statistics = measure(frame)
        # Replay must flag alike on every run, so its time is the frames' own.
        at_ns = frame.stamp_ns if self._policy == "all" else self._clock.monotonic_ns()
        with self._lock:
            flags = self._watch.observe(at_ns, statistics)
        return replace(frame, flags=tuple(sorted({*frame.flags, *flags})))

    def conditions(self) -> list[Condition]:
        """What began or ended since the last call."""
        with self._lock:
            return self._watch.drain()

    def active_conditions(self) -> tuple[Condition, ...]:
        """What holds now."""
        with self._lock:
            return self._watch.active

    def health(self, platform_id: str) -> list[Health]:
        """`conditions()` as messages of component `camera.SENSOR`, times in UTC."""
        changes = self.conditions()
        shift_ns = 0 if self._policy == "all" else self._clock.utc_ns() - self._clock.monotonic_ns()
        return [self._health(platform_id, change, shift_ns) for change in changes]

    def stop(self) -> bool:
        """End within 2 s; false when a native read still hangs and its thread was left behind."""
        self._stop.set()
        self._wanted.set()
        self._slot.close()
        source = self._source
        if source is not None:
            source.abort()
        if self._thread.ident is not None:
            self._thread.join(_STOP_S)
        if self._thread.is_alive():
            _log.error("camera %s: a read hangs, its thread was left behind", self._config.sensor_id)
            return False
        return True

    def _health(self, platform_id: str, change: Condition, shift_ns: int) -> Health:
        text = change.text
        if change.name == "stalled" and change.state != "ok" and self._last_error:
            text = f"{text}; last: {self._last_error}"
        counts = {"received": float(self._received), "dropped": float(self.dropped_count)}
        return Health(
            platform_id=platform_id,
            component=f"camera.{self._config.sensor_id}",
            condition=change.name,
            state=change.state,
            time_ns=change.time_ns + shift_ns,
            since_ns=change.since_ns + shift_ns,
            text=text[:512],
            values={**change.values, **counts},
        )

    def _run(self) -> None:
        failures = 0
        while not self._stop.is_set() and not self._is_finished:
            received_before = self._received
            try:
                self._run_source()
            except SkywardenError as error:
                self._note(str(error))
            except Exception as error:  # noqa: BLE001 (outermost loop of this worker)
                self._note(f"{type(error).__name__}: {error}")
                _log.exception("camera %s: unexpected", self._config.sensor_id)
            if self._is_finished or self._stop.is_set():
                break
            failures = 0 if self._received > received_before else failures + 1
            self._wait_before_reopening(failures)
        self._slot.close()

    def _run_source(self) -> None:
        source = self._make()
        self._source = source
        received_before, damaged_before = self._received, self._damaged
        self._number_offset = received_before
        try:
            if self._stop.is_set():
                return
            source.open()
            self._open_count += 1
            _log.info("camera %s: open (%s)", self._config.sensor_id, redacted(self._config.url))
            self._pump(source, received_before, damaged_before)
        finally:
            self._source = None
            source.close()

    def _pump(self, source: CameraSource, received_before: int, damaged_before: int) -> None:
        silent_since_ns = self._clock.monotonic_ns()
        while not self._stop.is_set():
            frame = self._next(source)
            now_ns = self._clock.monotonic_ns()
            received = received_before + source.received_count
            self._damaged = damaged_before + source.damaged_count
            if received > self._received:
                self._received, silent_since_ns = received, now_ns
                with self._lock:
                    self._watch.received(now_ns)
            if frame is not None:
                number = self._number_offset + frame.frame_number
                if not self._slot.put(replace(frame, frame_number=number)):
                    return
                silent_since_ns = now_ns if self._policy == "newest" else self._clock.monotonic_ns()
            if source.is_finished:
                self._is_finished = True
                return
            self._check_silence(now_ns - silent_since_ns)

    def _next(self, source: CameraSource) -> CameraFrame | None:
        if not source.waits_for_demand:
            return source.read(_READ_S)
        if not self._wanted.wait(_READ_S):
            source.poll()
            return None
        if self._stop.is_set():
            return None
        frame = source.read(_READ_S)
        if frame is not None:
            self._wanted.clear()
        return frame

    def _check_silence(self, silent_ns: int) -> None:
        self._tick()
        if self._is_live and silent_ns > self._config.watch.stall_after_s * NS_PER_S:
            raise CameraError(
                f"{redacted(self._config.url)}: open, but no frame for {silent_ns / NS_PER_S:.1f} s"
            )

    def _tick(self) -> None:
        if self._policy == "newest":
            with self._lock:
                self._watch.tick(self._clock.monotonic_ns())

    def _note(self, text: str) -> None:
        if not self._stop.is_set():
            self._last_error = redacted(text)
            _log.warning("camera %s: %s", self._config.sensor_id, self._last_error)

    def _wait_before_reopening(self, failures: int) -> None:
        config = self._config
        wait_s = min(config.reopen_max_s, config.reopen_min_s * 2.0 ** min(failures, 16))
        until_s = time.monotonic() + wait_s * (0.75 + 0.25 * self._jitter())
        while (left_s := until_s - time.monotonic()) > 0 and not self._stop.wait(min(left_s, _READ_S)):
            self._tick()
