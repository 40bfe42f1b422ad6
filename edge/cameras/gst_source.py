"""GStreamer pipelines through a `gst-launch-1.0` child process, for CSI cameras and hardware decoders."""

import contextlib
import os
import select
import shlex
import shutil
import subprocess
from collections import deque
from dataclasses import dataclass

import cv2
import numpy as np

from edge.cameras.config import CameraConfig
from edge.cameras.frame import (
    U8,
    BgrPixels,
    CameraFrame,
    ConvertedPixels,
    GreyPixels,
    Pixels,
)
from edge.cameras.gain import GainControl
from edge.cameras.source import FrameMaker
from edge.environment import clean_environment
from edge.supervisor import kill_and_collect
from skywarden.clock import NS_PER_S, Clock
from skywarden.errors import CameraError, ConfigError

_STOP_S = 0.5
_STDERR_BYTES = 4096
_PIPE_BYTES = 1_048_576
_F_SETPIPE_SZ = 1031


@dataclass(frozen=True, kw_only=True, slots=True)
class RawLayout:
    """How GStreamer lays out one raw frame: rows are padded to multiples of four bytes (gst-plugins-base,
    "Raw video formats")."""

    format: str
    width_px: int
    height_px: int

    @property
    def row_bytes(self) -> int:
        """Bytes of one row of the first plane, padding included."""
        per_pixel = {"I420": 1, "GRAY8": 1, "GRAY16_LE": 2, "BGR": 3}[self.format]
        return _up(self.width_px * per_pixel, 4)

    @property
    def frame_bytes(self) -> int:
        """Bytes of one frame."""
        if self.format != "I420":
            return self.row_bytes * self.height_px
        rows = _up(self.height_px, 2)
        return self.row_bytes * rows + 2 * self._chroma_row_bytes * (rows // 2)

    @property
    def _chroma_row_bytes(self) -> int:
        return _up(_up(self.width_px, 2) // 2, 4)

    def first_plane(self, data: U8) -> U8:
        """View of the first plane of `data` (`frame_bytes` long), shape (H, row bytes), padding included."""
        return data[: self.row_bytes * self.height_px].reshape(self.height_px, self.row_bytes)

    def chroma_planes(self, data: U8) -> tuple[U8, U8]:
        """Views of U and V of an I420 frame, each shape (ceil(H/2), ceil(W/2))."""
        rows = _up(self.height_px, 2)
        start, size = self.row_bytes * rows, self._chroma_row_bytes * (rows // 2)
        half_width = _up(self.width_px, 2) // 2
        u, v = (
            data[at : at + size].reshape(rows // 2, self._chroma_row_bytes)[:, :half_width]
            for at in (start, start + size)
        )
        return u, v


class I420Pixels(ConvertedPixels):
    """An I420 frame (video range, matrix BT.601)."""

    def __init__(self, data: U8, layout: RawLayout) -> None:
        super().__init__(layout.width_px, layout.height_px)
        self._data = data
        self._layout = layout

    def luma(self) -> U8:
        """A view of the Y plane."""
        return self._layout.first_plane(self._data)[:, : self._layout.width_px]

    def _converted(self) -> U8:
        # OpenCV wants even sizes and no padding: pack into an even buffer, convert, cut off.
        height, width = self.height_px, self.width_px
        rows, columns = _up(height, 2), _up(width, 2)
        packed = np.empty(rows * columns * 3 // 2, np.uint8)
        y = packed[: rows * columns].reshape(rows, columns)
        y[:height, :width] = self.luma()
        y[height:, :width] = y[height - 1 : height, :width]
        y[:, width:] = y[:, width - 1 : width]
        u, v = self._layout.chroma_planes(self._data)
        packed[rows * columns : rows * columns * 5 // 4] = u.reshape(-1)
        packed[rows * columns * 5 // 4 :] = v.reshape(-1)
        image = cv2.cvtColor(packed.reshape(rows * 3 // 2, columns), cv2.COLOR_YUV2BGR_I420)
        result: U8 = np.ascontiguousarray(image[:height, :width])
        return result


class GstSource:
    """Raw frames from the standard output of `gst-launch-1.0`; a dead or silent child is a `CameraError`."""

    def __init__(self, config: CameraConfig, pipeline: str, clock: Clock) -> None:
        if config.width_px is None or config.height_px is None:
            raise ConfigError("a gst: camera needs width_px and height_px: raw frames do not tell their size")
        self._config = config
        self._layout = RawLayout(
            format=config.gst_format, width_px=config.width_px, height_px=config.height_px
        )
        self._pipeline = pipeline
        self._clock = clock
        self._maker = FrameMaker(config)
        self._gain = GainControl(config.gain)
        self._child: subprocess.Popen[bytes] | None = None
        self._buffer = np.empty(self._layout.frame_bytes, np.uint8)
        self._filled = 0
        self._stderr: deque[int] = deque(maxlen=_STDERR_BYTES)

    @property
    def is_finished(self) -> bool:
        """A pipeline is live: its end is an error."""
        return False

    @property
    def waits_for_demand(self) -> bool:
        """Frames are read as they come."""
        return False

    @property
    def received_count(self) -> int:
        """Frames since `open`."""
        return self._maker.count

    @property
    def damaged_count(self) -> int:
        """Not known: GStreamer conceals damage."""
        return 0

    def open(self) -> None:
        """Start the child; raises `CameraError` when there is no `gst-launch-1.0`."""
        program = shutil.which("gst-launch-1.0")
        if program is None:
            raise CameraError("gst-launch-1.0 is not installed; apt-get install gstreamer1.0-tools")
        self._child = subprocess.Popen(
            [program, *self.arguments()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=clean_environment(),
            bufsize=0,
            start_new_session=True,
        )
        assert self._child.stdout is not None
        assert self._child.stderr is not None
        os.set_blocking(self._child.stdout.fileno(), False)
        os.set_blocking(self._child.stderr.fileno(), False)
        self._enlarge_pipe(self._child.stdout.fileno())

    def arguments(self) -> list[str]:
        """The words after `gst-launch-1.0`; no shell is involved."""
        layout = self._layout
        caps = f"video/x-raw,format={layout.format},width={layout.width_px},height={layout.height_px}"
        try:
            words = shlex.split(self._pipeline)
        except ValueError as error:
            raise ConfigError(f"camera pipeline {self._pipeline!r}: {error}") from error
        return ["-q", *words, "!", "videoconvert", "!", caps, "!", "fdsink", "fd=1", "sync=false"]

    def read(self, wait_s: float) -> CameraFrame | None:
        """The next frame; raises `CameraError` with the child's last words when it ended."""
        child = self._child
        if child is None or child.stdout is None or child.stderr is None:
            raise CameraError(f"gst:{self._pipeline}: is not open")
        until_ns = self._clock.monotonic_ns() + round(wait_s * NS_PER_S)
        out, err = child.stdout.fileno(), child.stderr.fileno()
        while True:
            left_s = max(0.0, (until_ns - self._clock.monotonic_ns()) / NS_PER_S)
            ready, _, _ = select.select([out, err], [], [], left_s)
            if err in ready:
                self._keep_words(err)
            if out in ready and self._fill(out):
                return self._made()
            if not ready or left_s == 0.0:
                return None

    def poll(self) -> None:
        """Nothing to do: `read` keeps the counts."""

    def abort(self) -> None:
        """End the child; a waiting `read` then raises."""
        child = self._child
        if child is not None and child.poll() is None:
            child.kill()

    def close(self) -> None:
        """End the child: asked first, killed after half a second."""
        child, self._child = self._child, None
        if child is None:
            return
        child.terminate()
        try:
            child.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            kill_and_collect(child, wait_s=_STOP_S * 4)
        for pipe in (child.stdout, child.stderr):
            if pipe is not None:
                pipe.close()

    def _fill(self, descriptor: int) -> bool:
        """Read what is there; true when a frame is complete."""
        view = self._buffer[self._filled :].data
        try:
            count = os.readv(descriptor, [view])
        except BlockingIOError:
            return False
        if count == 0:
            raise CameraError(
                f"gst:{self._pipeline}: ended after {self._maker.count} frames: {self._last_words()}"
            )
        self._filled += count
        return self._filled == len(self._buffer)

    def _made(self) -> CameraFrame:
        data, self._buffer, self._filled = self._buffer, np.empty_like(self._buffer), 0
        received_ns = self._clock.utc_ns()
        stamp_ns = received_ns - round(self._config.latency_s * NS_PER_S)
        return self._maker.make(
            self._pixels(data, stamp_ns), stamp_ns=stamp_ns, received_ns=received_ns, basis="arrival"
        )

    def _pixels(self, data: U8, stamp_ns: int) -> Pixels:
        layout = self._layout
        if layout.format == "I420":
            return I420Pixels(data, layout)
        rows = layout.first_plane(data)
        if layout.format == "GRAY8":
            return GreyPixels(rows[:, : layout.width_px])
        if layout.format == "GRAY16_LE":
            return self._gain.apply(rows.view("<u2")[:, : layout.width_px], stamp_ns)
        packed = rows[:, : 3 * layout.width_px].reshape(layout.height_px, layout.width_px, 3)
        return BgrPixels(np.ascontiguousarray(packed))

    def _keep_words(self, descriptor: int) -> None:
        try:
            self._stderr.extend(os.read(descriptor, _STDERR_BYTES))
        except BlockingIOError:
            return

    def _last_words(self) -> str:
        child = self._child
        if child is not None and child.stderr is not None:
            self._keep_words(child.stderr.fileno())
        lines = bytes(self._stderr).decode("utf-8", "replace").split("\n")
        words = next((line.strip() for line in lines if "ERROR" in line or "erroneous" in line), "")
        return (words or "it said nothing")[:300]

    def _enlarge_pipe(self, descriptor: int) -> None:
        import fcntl

        # A refused larger pipe (limit of the user) only costs speed.
        with contextlib.suppress(OSError):
            fcntl.fcntl(descriptor, _F_SETPIPE_SZ, _PIPE_BYTES)


def _up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple
