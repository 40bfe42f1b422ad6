"""The grabber: newest frame only, recovery from every way a camera fails, and an end within 2 s."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edge.cameras.child_source import ChildSource
from edge.cameras.config import CameraConfig, WatchConfig
from edge.cameras.frame import BgrPixels, CameraFrame
from edge.cameras.grabber import NewestFrameGrabber
from edge.cameras.slot import FrameSlot
from edge.cameras.source import FrameMaker, frames_of, make_source
from skywarden.clock import SystemClock
from skywarden.errors import CameraError
from tests.edge.camera_servers import RtspServer, TsSender, moving_image
from tests.edge.cameras.test_cameras_sources import write_video

pytestmark = pytest.mark.slow

CLOCK = SystemClock()
QUICK: dict[str, Any] = {"reopen_min_s": 0.1, "reopen_max_s": 0.5, "watch": WatchConfig(stall_after_s=1.0)}
Started = Callable[[NewestFrameGrabber], NewestFrameGrabber]


@pytest.fixture
def started() -> Iterator[Started]:
    grabbers: list[NewestFrameGrabber] = []

    def start(grabber: NewestFrameGrabber) -> NewestFrameGrabber:
        grabbers.append(grabber)
        grabber.start()
        return grabber

    yield start
    for grabber in grabbers:
        grabber.stop()


@pytest.fixture
def rtsp() -> Iterator[RtspServer]:
    server = RtspServer()
    yield server
    server.close()


def taken_when(
    grabber: NewestFrameGrabber, is_right: Callable[[CameraFrame], bool], limit_s: float = 15.0
) -> CameraFrame:
    """The first frame that `is_right`, or a failure after `limit_s`."""
    until_s = time.monotonic() + limit_s
    while time.monotonic() < until_s:
        frame = grabber.take(0.5)
        if frame is not None and is_right(frame):
            return frame
    raise AssertionError(f"no such frame within {limit_s} s; last error: {grabber.last_error}")


class Endless:
    """A source that makes a frame every 5 ms, or hangs when told so."""

    def __init__(self, hangs: threading.Event | None = None) -> None:
        self._maker = FrameMaker(CameraConfig(url="gst:x"))
        self._hangs = hangs
        self.is_finished = False
        self.waits_for_demand = False
        self.damaged_count = 0

    @property
    def received_count(self) -> int:
        return self._maker.count

    def open(self) -> None:
        """Nothing to open."""

    def read(self, wait_s: float) -> CameraFrame | None:
        if self._hangs is not None:
            self._hangs.wait(30)
        threading.Event().wait(0.005)
        pixels = BgrPixels(moving_image(self._maker.count % 5, 64, 48))
        now_ns = CLOCK.utc_ns()
        return self._maker.make(pixels, stamp_ns=now_ns, received_ns=now_ns, basis="arrival")

    def poll(self) -> None:
        """Nothing to do."""

    def abort(self) -> None:
        """A hang in native code cannot be interrupted."""

    def close(self) -> None:
        """Nothing to close."""


def test_a_slow_taker_gets_the_newest_frame_and_the_rest_is_counted(started: Started) -> None:
    grabber = started(NewestFrameGrabber(CameraConfig(url="gst:x"), CLOCK, make=Endless))
    first = grabber.take(2.0)
    threading.Event().wait(0.3)
    second = grabber.take(2.0)
    assert first is not None
    assert second is not None
    assert second.frame_number - first.frame_number > 5
    assert CLOCK.utc_ns() - second.received_ns < 100_000_000
    assert grabber.dropped_count >= second.frame_number - first.frame_number - 1
    assert grabber.stop()


def test_a_thread_that_hangs_in_native_code_does_not_hold_the_stop() -> None:
    release = threading.Event()
    grabber = NewestFrameGrabber(CameraConfig(url="gst:x"), CLOCK, make=lambda: Endless(release))
    grabber.start()
    assert grabber.take(0.1) is None
    begun_s = time.monotonic()
    assert not grabber.stop()
    assert time.monotonic() - begun_s < 2.0
    release.set()


def test_every_frame_is_handed_over_in_replay(tmp_path: Path, started: Started) -> None:
    write_video(tmp_path / "a.mp4", [moving_image(i, 160, 120) for i in range(40)])
    for isolation in ("thread", "process"):
        config = CameraConfig(url=str(tmp_path / "a.mp4"), pacing="none", isolation=isolation)
        grabber = started(NewestFrameGrabber(config, CLOCK, policy="all"))
        numbers = []
        while not grabber.is_finished:
            frame = grabber.take(5.0)
            if frame is not None:
                numbers.append(frame.frame_number)
        assert numbers == list(range(40))
        assert grabber.dropped_count == 0


def test_a_file_played_as_live_keeps_its_pace(tmp_path: Path, started: Started) -> None:
    write_video(tmp_path / "a.mp4", [moving_image(i, 160, 120) for i in range(25)])
    begun_s = time.monotonic()
    grabber = started(NewestFrameGrabber(CameraConfig(url=str(tmp_path / "a.mp4")), CLOCK))
    while not grabber.is_finished:
        grabber.take(0.2)
    assert 0.9 <= time.monotonic() - begun_s < 3.0
    assert grabber.received_count == 25


@pytest.mark.slow
def test_a_camera_that_falls_silent_is_told_opened_again_and_recovers(
    rtsp: RtspServer, started: Started
) -> None:
    config = CameraConfig(url=rtsp.url, **QUICK)
    grabber = started(NewestFrameGrabber(config, CLOCK))
    before = taken_when(grabber, lambda frame: frame.frame_number >= 5)
    rtsp.pace.silent.set()
    silent_s, told = time.monotonic(), []
    while not told and time.monotonic() - silent_s < 5.0:
        grabber.take(0.1)
        told = grabber.health("uav07")
    assert [(health.component, health.condition, health.state) for health in told] == [
        ("camera.eo", "stalled", "failed")
    ]
    assert time.monotonic() - silent_s < 3.0
    assert abs(told[0].time_ns - CLOCK.utc_ns()) < 2_000_000_000
    rtsp.pace.silent.clear()
    after = taken_when(grabber, lambda frame: frame.frame_number > before.frame_number)
    assert after.time_ns > before.time_ns
    assert rtsp.connection_count >= 2
    assert grabber.open_count >= 2
    ended = [health for health in grabber.health("uav07") if health.condition == "stalled"]
    assert ended[-1].state == "ok"
    assert grabber.last_error is not None
    assert "secret" not in grabber.last_error
    begun_s = time.monotonic()
    assert grabber.stop()
    assert time.monotonic() - begun_s < 2.0


def test_a_decoder_that_crashes_takes_only_its_own_process_along(rtsp: RtspServer, started: Started) -> None:
    config = CameraConfig(url=rtsp.url, **QUICK)
    made: list[ChildSource] = []

    def make() -> ChildSource:
        made.append(ChildSource(config))
        return made[-1]

    grabber = started(NewestFrameGrabber(config, CLOCK, make=make))
    before = taken_when(grabber, lambda frame: True)
    process_id = made[0].process_id
    assert process_id is not None
    os.kill(process_id, signal.SIGSEGV)
    after = taken_when(grabber, lambda frame: len(made) > 1)
    assert after.frame_number > before.frame_number
    assert grabber.last_error is not None
    assert "signal 11" in grabber.last_error


@pytest.mark.slow
def test_a_stopped_process_is_noticed_and_replaced(rtsp: RtspServer, started: Started) -> None:
    config = CameraConfig(url=rtsp.url, **QUICK)
    made: list[ChildSource] = []

    def make() -> ChildSource:
        made.append(ChildSource(config))
        return made[-1]

    grabber = started(NewestFrameGrabber(config, CLOCK, make=make))
    taken_when(grabber, lambda frame: True)
    process_id = made[0].process_id
    assert process_id is not None
    os.kill(process_id, signal.SIGSTOP)
    taken_when(grabber, lambda frame: len(made) > 1)
    assert grabber.last_error is not None
    assert "did not answer" in grabber.last_error
    assert made[0].process_id is None


def test_a_sender_that_changes_its_resolution_is_told(started: Started) -> None:
    sender = TsSender()
    try:
        config = CameraConfig(url=sender.url, **QUICK)
        grabber = started(NewestFrameGrabber(config, CLOCK))
        taken_when(grabber, lambda frame: frame.width_px == 320)
        sender.size = (480, 360)
        changed = taken_when(grabber, lambda frame: frame.width_px == 480)
        assert "resolution_changed" in changed.flags
        assert "resolution_changed" in [condition.name for condition in grabber.active_conditions()]
    finally:
        sender.close()


def test_a_camera_that_is_not_there_yet_is_found_when_it_comes(tmp_path: Path, started: Started) -> None:
    folder = tmp_path / "frames"
    config = CameraConfig(url=f"{folder}/", follow=True, include_existing=True, **QUICK)
    grabber = started(NewestFrameGrabber(config, CLOCK))
    assert grabber.take(0.3) is None
    assert grabber.last_error is not None
    assert "is not a folder" in grabber.last_error
    folder.mkdir()
    (folder / "1533430844000.jpg").write_bytes(jpeg(1))
    frame = taken_when(grabber, lambda frame: True)
    assert frame.time_ns == 1_533_430_844_000_000_000


def test_a_process_hands_over_16_bit_counts_unchanged(tmp_path: Path) -> None:
    import cv2
    import numpy as np

    counts = np.random.default_rng(2).integers(28_000, 33_000, (122, 161)).astype(np.uint16)
    cv2.imwrite(str(tmp_path / "1533430844000.png"), counts)
    config = CameraConfig(url=str(tmp_path), pacing="none", kind="thermal", isolation="process")
    here = CameraConfig(url=str(tmp_path), pacing="none", kind="thermal", isolation="thread")
    (far,) = list(frames_of(make_source(config, CLOCK, keep_all=True)))
    (near,) = list(frames_of(make_source(here, CLOCK)))
    assert far.raw16 is not None
    np.testing.assert_array_equal(far.raw16, counts)
    np.testing.assert_array_equal(far.image, near.image)
    assert far.gain == near.gain


def test_a_process_whose_file_is_missing_says_so() -> None:
    source = ChildSource(CameraConfig(url="/nowhere/a.mp4", isolation="process"))
    with pytest.raises(CameraError, match=r"/nowhere/a\.mp4: cannot be opened"):
        source.open()
    source.close()


def test_a_closed_slot_lets_everyone_go() -> None:
    slot = FrameSlot(keep_all=True)
    slot.close()
    begun_s = time.monotonic()
    assert slot.take(10.0) is None
    assert time.monotonic() - begun_s < 1.0


def jpeg(index: int) -> bytes:
    """A small JPEG."""
    import cv2

    return bytes(cv2.imencode(".jpg", moving_image(index, 64, 48))[1].tobytes())
