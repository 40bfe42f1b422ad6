"""USB and other V4L2 cameras through OpenCV, as the driver's raw buffers: decoded only when used."""

from typing import cast

import cv2
import numpy as np
import numpy.typing as npt

from edge.cameras import exif
from edge.cameras.config import CameraConfig
from edge.cameras.frame import (
    U8,
    U16,
    AppliedGain,
    BgrPixels,
    CameraFrame,
    ConvertedPixels,
    GreyPixels,
    Pixels,
)
from edge.cameras.gain import GainControl
from edge.cameras.source import FrameMaker
from edge.cameras.timeline import driver_stamp_ns
from skywarden.clock import NS_PER_S, Clock
from skywarden.errors import CameraError, InputError


class JpegPixels(ConvertedPixels):
    """A compressed frame of a USB camera, decoded once, when asked for."""

    def __init__(self, data: bytes, header: exif.ImageHeader) -> None:
        super().__init__(header.width_px, header.height_px)
        self._data = data

    def luma(self) -> U8:
        """The green channel."""
        return self.bgr()[:, :, 1]

    def _converted(self) -> U8:
        flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
        image = cv2.imdecode(np.frombuffer(self._data, np.uint8), flags)
        if image is None:
            raise CameraError(f"a JPEG frame of {len(self._data)} bytes does not decode")
        return image.astype(np.uint8, copy=False)


class YuyvPixels:
    """A YUYV frame, shape (H, W, 2); `luma` is a view, `bgr` is converted once."""

    def __init__(self, data: U8) -> None:
        self._data = data
        self._bgr: U8 | None = None

    @property
    def width_px(self) -> int:
        """Columns."""
        return int(self._data.shape[1])

    @property
    def height_px(self) -> int:
        """Rows."""
        return int(self._data.shape[0])

    @property
    def is_converted(self) -> bool:
        """Whether `bgr` was called."""
        return self._bgr is not None

    def bgr(self) -> U8:
        """Shape (H, W, 3)."""
        if self._bgr is None:
            self._bgr = cv2.cvtColor(self._data, cv2.COLOR_YUV2BGR_YUYV).astype(np.uint8, copy=False)
        return self._bgr

    def luma(self) -> U8:
        """Every first byte."""
        return self._data[:, :, 0]

    def raw16(self) -> U16 | None:
        """There are none."""
        return None

    def gain(self) -> AppliedGain | None:
        """There is none."""
        return None


def pixels_of_buffer(
    buffer: npt.NDArray[np.uint8] | npt.NDArray[np.uint16],
    fourcc: str,
    *,
    max_pixels: int,
    gain: GainControl,
    stamp_ns: int,
) -> Pixels:
    """What a driver's buffer shows. Known: MJPG, JPEG, YUYV, Y16, GREY, and BGR as OpenCV converts the rest.

    Raises `InputError` on a buffer that does not fit its format or is over `max_pixels`.
    """
    if fourcc in ("MJPG", "JPEG"):
        data = buffer.tobytes()
        header = exif.read_header(data)
        if header is None or not 0 < header.width_px * header.height_px <= max_pixels:
            raise InputError(
                f"a {fourcc} buffer of {len(data)} bytes is no JPEG of at most {max_pixels} pixels"
            )
        return JpegPixels(data, header)
    if buffer.ndim < 2 or buffer.shape[0] * buffer.shape[1] > max_pixels:
        raise InputError(
            f"a {fourcc} buffer of shape {buffer.shape} is no picture of at most {max_pixels} pixels"
        )
    if buffer.dtype == np.uint16:
        return gain.apply(buffer.reshape(buffer.shape[:2]).astype(np.uint16, copy=False), stamp_ns)
    picture = buffer.astype(np.uint8, copy=False)
    channels = 1 if picture.ndim == 2 else picture.shape[2]
    if fourcc == "Y16 " and channels == 2:
        return gain.apply(np.ascontiguousarray(picture).view("<u2")[:, :, 0], stamp_ns)
    if channels == 3:
        return BgrPixels(picture)
    if channels == 2:
        return YuyvPixels(picture)
    if channels == 1:
        return GreyPixels(picture.reshape(picture.shape[:2]))
    raise InputError(f"a {fourcc} buffer of shape {buffer.shape} is not understood")


class V4l2Source:
    """One `/dev/videoN`. Native reads may hang when a camera is pulled out: runs in a process of its own."""

    _RAW_FORMATS = frozenset({"MJPG", "JPEG", "YUYV", "Y16 "})

    def __init__(self, config: CameraConfig, device: int, clock: Clock) -> None:
        self._config = config
        self._device = device
        self._clock = clock
        self._maker = FrameMaker(config)
        self._gain = GainControl(config.gain)
        self._capture: cv2.VideoCapture | None = None
        self._fourcc = ""
        self._damaged = 0

    @property
    def is_finished(self) -> bool:
        """A device never finishes."""
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
        """Buffers that were no picture."""
        return self._damaged

    def open(self) -> None:
        """Open the device and ask for the configured format; raises `CameraError`."""
        config = self._config
        capture = cv2.VideoCapture(self._device, cv2.CAP_V4L2)
        if not capture.isOpened():
            raise CameraError(
                f"/dev/video{self._device}: cannot be opened; is it plugged in, in use elsewhere, or is this "
                "user missing in group video?"
            )
        self._capture = capture
        wanted = (
            (cv2.CAP_PROP_FOURCC, float(cv2.VideoWriter.fourcc(*config.fourcc)) if config.fourcc else None),
            (cv2.CAP_PROP_FRAME_WIDTH, config.width_px),
            (cv2.CAP_PROP_FRAME_HEIGHT, config.height_px),
            (cv2.CAP_PROP_FPS, config.fps),
            (cv2.CAP_PROP_BUFFERSIZE, 2),
        )
        for key, value in wanted:
            if value is not None:
                capture.set(key, float(value))
        code = int(capture.get(cv2.CAP_PROP_FOURCC))
        self._fourcc = "".join(chr((code >> (8 * index)) & 0x7F) for index in range(4))
        capture.set(cv2.CAP_PROP_CONVERT_RGB, 0.0 if self._fourcc in self._RAW_FORMATS else 1.0)

    def read(self, wait_s: float) -> CameraFrame | None:
        """The next frame; OpenCV waits for it as long as it likes (10 s), whatever `wait_s` says."""
        if self._capture is None:
            raise CameraError(f"/dev/video{self._device}: is not open")
        has_frame, buffer = self._capture.read()
        if not has_frame:
            raise CameraError(
                f"/dev/video{self._device}: gave no frame after {self._maker.count}; unplugged?"
            )
        received_ns = self._clock.utc_ns()
        driver_ns = driver_stamp_ns(
            received_ns, self._clock.monotonic_ns(), self._capture.get(cv2.CAP_PROP_POS_MSEC)
        )
        stamp_ns = (received_ns if driver_ns is None else driver_ns) - round(
            self._config.latency_s * NS_PER_S
        )
        try:
            pixels = pixels_of_buffer(
                cast(U8, buffer),
                self._fourcc,
                max_pixels=self._config.max_pixels,
                gain=self._gain,
                stamp_ns=stamp_ns,
            )
        except InputError:
            self._damaged += 1
            return None
        return self._maker.make(
            pixels,
            stamp_ns=stamp_ns,
            received_ns=received_ns,
            basis="arrival" if driver_ns is None else "driver",
        )

    def poll(self) -> None:
        """Nothing to do: `read` keeps the counts."""

    def abort(self) -> None:
        """A native read cannot be interrupted; the process around it is killed instead."""

    def close(self) -> None:
        """Release the device."""
        capture, self._capture = self._capture, None
        if capture is not None:
            capture.release()
