"""One picture of a camera: its pixels, converted only when asked for, its times and its doubts."""

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

U8 = npt.NDArray[np.uint8]
U16 = npt.NDArray[np.uint16]

FrameFlag = Literal[
    "repeated", "frozen_suspected", "frozen", "black", "dark", "overexposed", "resolution_changed", "corrupt"
]
SUSPECT_FLAGS: frozenset[str] = frozenset({"frozen_suspected", "frozen", "black", "corrupt"})
"""With one of these a frame is no new look at the world, and a detection in it must not count as one.

"repeated" (no visible change since the frame taken before) alone is not suspect: at a low bit rate a live
picture also repeats for some frames; after a second without change it becomes "frozen_suspected".
"""

TimeBasis = Literal[
    "name", "exif", "listing", "config", "container", "driver", "arrival", "modified", "opened"
]
"""Where a frame's time comes from. "opened" (a file that tells no time, as if it began when it was opened)
and "modified" (an image file's own date) are guesses; the others are worth their clock."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AppliedGain:
    """The gain control that made 8-bit grey of 16-bit counts: `low_count` shows as 0, `high_count` as 255."""

    low_count: float
    high_count: float
    low_percentile: float
    high_percentile: float
    is_inverted: bool


class Pixels(Protocol):
    """A picture in whatever form it came; conversions are made once, on demand, and kept."""

    @property
    def width_px(self) -> int:
        """Columns."""
        ...

    @property
    def height_px(self) -> int:
        """Rows."""
        ...

    @property
    def is_converted(self) -> bool:
        """Whether the BGR form exists already."""
        ...

    def bgr(self) -> U8:
        """Shape (H, W, 3), blue-green-red."""
        ...

    def luma(self) -> U8:
        """Shape (H, W), brightness 0..255 as stored (16 may be black); a view if possible."""
        ...

    def raw16(self) -> U16 | None:
        """Shape (H, W), a thermal camera's counts; `None` for an 8-bit picture."""
        ...

    def gain(self) -> AppliedGain | None:
        """The gain control behind `bgr`; `None` for an 8-bit picture."""
        ...


class BgrPixels:
    """A picture that came as BGR, shape (H, W, 3)."""

    def __init__(self, image: U8) -> None:
        self._image = image

    @property
    def width_px(self) -> int:
        """Columns."""
        return int(self._image.shape[1])

    @property
    def height_px(self) -> int:
        """Rows."""
        return int(self._image.shape[0])

    @property
    def is_converted(self) -> bool:
        """It came so."""
        return True

    def bgr(self) -> U8:
        """The picture itself."""
        return self._image

    def luma(self) -> U8:
        """The green channel: a view, and close enough to brightness for watching a picture."""
        return self._image[:, :, 1]

    def raw16(self) -> U16 | None:
        """There are none."""
        return None

    def gain(self) -> AppliedGain | None:
        """There is none."""
        return None


class ConvertedPixels:
    """A picture of 8 bits whose BGR form is made once, when asked for; subclasses say how."""

    def __init__(self, width_px: int, height_px: int) -> None:
        self._width_px = width_px
        self._height_px = height_px
        self._bgr: U8 | None = None

    @property
    def width_px(self) -> int:
        """Columns."""
        return self._width_px

    @property
    def height_px(self) -> int:
        """Rows."""
        return self._height_px

    @property
    def is_converted(self) -> bool:
        """Whether `bgr` was called."""
        return self._bgr is not None

    def bgr(self) -> U8:
        """Shape (H, W, 3); raises `CameraError` when the camera sent a damaged picture."""
        if self._bgr is None:
            self._bgr = self._converted()
        return self._bgr

    def raw16(self) -> U16 | None:
        """There are none."""
        return None

    def gain(self) -> AppliedGain | None:
        """There is none."""
        return None

    def _converted(self) -> U8:
        raise NotImplementedError


class GreyPixels:
    """A grey picture, shape (H, W): 8-bit thermal, or 16-bit counts with the gain that was applied."""

    def __init__(self, grey: U8, *, raw: U16 | None = None, gain: AppliedGain | None = None) -> None:
        self._grey = grey
        self._raw = raw
        self._gain = gain
        self._bgr: U8 | None = None

    @property
    def width_px(self) -> int:
        """Columns."""
        return int(self._grey.shape[1])

    @property
    def height_px(self) -> int:
        """Rows."""
        return int(self._grey.shape[0])

    @property
    def is_converted(self) -> bool:
        """Whether three channels were asked for already."""
        return self._bgr is not None

    def bgr(self) -> U8:
        """Three equal channels."""
        if self._bgr is None:
            self._bgr = np.repeat(self._grey[:, :, np.newaxis], 3, axis=2)
        return self._bgr

    def luma(self) -> U8:
        """The grey picture."""
        return self._grey

    def raw16(self) -> U16 | None:
        """The counts, if it was a 16-bit picture."""
        return self._raw

    def gain(self) -> AppliedGain | None:
        """The gain control that made the grey picture."""
        return self._gain


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class CameraFrame:
    """One frame of one sensor. Dropping it costs nothing more; `image` converts.

    Attributes:
        sensor_id: which sensor.
        frame_number: counts every frame that was received since the camera was started, also dropped ones.
        time_ns: UTC at exposure as best known: `stamp_ns` less the configured `frame_lag_s`.
        stamp_ns: UTC as the source told it (live: smoothed arrival less `latency_s`), for recordings.
        received_ns: UTC when it reached us.
        pts_s: presentation time of the stream, seconds; `None` where there is none.
        time_basis: where `stamp_ns` comes from.
        pixels: the picture.
        flags: what is doubtful, sorted; empty is good. See `is_suspect`.
        name: file name for a folder of images, otherwise "".
    """

    sensor_id: str
    frame_number: int
    time_ns: int
    stamp_ns: int
    received_ns: int
    pts_s: float | None
    time_basis: TimeBasis
    pixels: Pixels
    flags: tuple[FrameFlag, ...] = ()
    name: str = ""

    @property
    def image(self) -> U8:
        """Shape (H, W, 3), BGR; converted at the first call and kept. Do not write into it."""
        return self.pixels.bgr()

    @property
    def raw16(self) -> U16 | None:
        """A thermal camera's counts, shape (H, W), or `None`."""
        return self.pixels.raw16()

    @property
    def gain(self) -> AppliedGain | None:
        """How counts became grey, or `None` for an 8-bit picture."""
        return self.pixels.gain()

    @property
    def width_px(self) -> int:
        """Columns."""
        return self.pixels.width_px

    @property
    def height_px(self) -> int:
        """Rows."""
        return self.pixels.height_px

    @property
    def is_converted(self) -> bool:
        """Whether the BGR form has been paid for."""
        return self.pixels.is_converted

    @property
    def is_suspect(self) -> bool:
        """Whether the frame is no new look at the world (frozen, black, damaged)."""
        return not SUSPECT_FLAGS.isdisjoint(self.flags)
