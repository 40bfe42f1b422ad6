"""Cutting the image of a detection out of its frame, with some surroundings, small enough for a radio.

A chip is at most 256 pixels wide; a region has the source's own pixels; both are made to fit a number of
bytes by a search on quality, then on size.
"""

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from skywarden.messages import BoxPx, Chip

MIN_SIDE_PX = 96
MAX_SIDE_PX = 256
JPEG_QUALITY = 85
REGION_MIN_SIDE_PX = 320
MAX_REGION_BYTES = 240_000

_REGION_QUALITY = 92
_GOOD_QUALITY = 40
_LEAST_QUALITY = 10
_SCALES = (1.0, 0.75, 0.5, 0.375, 0.25, 0.125)
_ROUNDS = 4

MediaType = Literal["image/jpeg", "image/webp"]
Image = npt.NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True, slots=True)
class Encoded:
    """An image as bytes; `scale` is its size beside the one that was given."""

    data: bytes
    media_type: MediaType
    width_px: int
    height_px: int
    scale: float


def cut_chip(
    image: Image,
    box_px: BoxPx,
    *,
    sighting_id: str,
    platform_id: str,
    time_ns: int,
    max_bytes: int | None = None,
) -> Chip:
    """The square around `box_px`, twice as wide as the box, between 96 and 256 pixels a side.

    `image` is (H, W, 3) BGR uint8; the square is moved, not padded, where it would leave the frame, and only
    a frame that is too narrow for it makes it a rectangle. The longer side is then at most 256 pixels. With
    `max_bytes` quality, then size, are lowered until it fits; without, it is a JPEG of good quality.
    """
    cut, left, top = _square(image, box_px, int(max(MIN_SIDE_PX, 2.0 * _longer(box_px))))
    scale = min(1.0, MAX_SIDE_PX / max(cut.shape[:2]))
    encoded = encode_within(_scaled(cut, scale), max_bytes, best_quality=JPEG_QUALITY)
    return _chip(
        encoded, box_px, (left, top), scale, f"{sighting_id}.chip", sighting_id, platform_id, time_ns
    )


def cut_region(
    image: Image,
    box_px: BoxPx | None,
    *,
    sighting_id: str,
    platform_id: str,
    time_ns: int,
    max_bytes: int = MAX_REGION_BYTES,
) -> Chip:
    """The source's own pixels around `box_px`, three times as wide as the box and at least 320 pixels.

    Without a box the whole frame, with one that covers the frame. Only what does not fit `max_bytes` at an
    acceptable quality is made smaller.
    """
    if box_px is None:
        height_px, width_px = image.shape[:2]
        box_px, cut, left, top = (-0.5, -0.5, width_px - 0.5, height_px - 0.5), image, 0, 0
        chip_id = f"{sighting_id}.frame"
    else:
        cut, left, top = _square(image, box_px, int(max(REGION_MIN_SIDE_PX, 3.0 * _longer(box_px))))
        chip_id = f"{sighting_id}.region"
    encoded = encode_within(cut, max_bytes, best_quality=_REGION_QUALITY)
    return _chip(encoded, box_px, (left, top), 1.0, chip_id, sighting_id, platform_id, time_ns)


def encode_within(image: Image, max_bytes: int | None, *, best_quality: int = JPEG_QUALITY) -> Encoded:
    """The image in at most `max_bytes`, if that can be: a JPEG when a good one fits, else WebP.

    Of WebP the largest size at which an acceptable quality fits, and there the best quality that fits. When
    nothing fits, the smallest that can be made comes back, over the limit.
    """
    data = _encode(image, ".jpg", best_quality)
    if max_bytes is None or len(data) <= max_bytes:
        return _encoded(data, "image/jpeg", image, 1.0)
    smallest = None
    for scale in _SCALES:
        small = _scaled(image, scale)
        worst = _encode(small, ".webp", _GOOD_QUALITY)
        if len(worst) <= max_bytes:
            data = _best_within(small, max_bytes, worst, best_quality)
            return _encoded(data, "image/webp", small, scale)
        smallest = small, scale
    assert smallest is not None, "there are scales"
    data = _encode(smallest[0], ".webp", _LEAST_QUALITY)
    return _encoded(data, "image/webp", *smallest)


def _best_within(image: Image, max_bytes: int, known: bytes, best_quality: int) -> bytes:
    """The best quality that fits, by halving between what fits and what does not."""
    low, high, best = _GOOD_QUALITY, best_quality + 1, known
    for _ in range(_ROUNDS):
        middle = (low + high) // 2
        data = _encode(image, ".webp", middle)
        if len(data) <= max_bytes:
            low, best = middle, data
        else:
            high = middle
    return best


def _encode(image: Image, suffix: str, quality: int) -> bytes:
    flag = cv2.IMWRITE_JPEG_QUALITY if suffix == ".jpg" else cv2.IMWRITE_WEBP_QUALITY
    ok, data = cv2.imencode(suffix, image, [flag, quality])
    assert ok, "OpenCV always encodes a BGR uint8 image as JPEG and WebP"
    return data.tobytes()


def _encoded(data: bytes, media_type: MediaType, image: Image, scale: float) -> Encoded:
    height_px, width_px = image.shape[:2]
    return Encoded(data=data, media_type=media_type, width_px=width_px, height_px=height_px, scale=scale)


def _scaled(image: Image, scale: float) -> Image:
    if scale >= 1.0:
        return image
    height_px, width_px = image.shape[:2]
    size = (max(1, round(width_px * scale)), max(1, round(height_px * scale)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _chip(
    encoded: Encoded,
    box_px: BoxPx,
    corner_px: tuple[int, int],
    scale: float,
    chip_id: str,
    sighting_id: str,
    platform_id: str,
    time_ns: int,
) -> Chip:
    left, top = corner_px[0] - 0.5, corner_px[1] - 0.5  # half a pixel before the first centre
    whole = scale * encoded.scale
    box = tuple((value - edge) * whole - 0.5 for value, edge in zip(box_px, (left, top) * 2, strict=True))
    return Chip(
        chip_id=chip_id,
        sighting_id=sighting_id,
        platform_id=platform_id,
        time_ns=time_ns,
        media_type=encoded.media_type,
        width_px=encoded.width_px,
        height_px=encoded.height_px,
        box_in_chip_px=(box[0], box[1], box[2], box[3]),
        data=encoded.data,
    )


def _longer(box_px: BoxPx) -> float:
    x0, y0, x1, y1 = box_px
    return max(x1 - x0, y1 - y0)


def _square(image: Image, box_px: BoxPx, side_px: int) -> tuple[Image, int, int]:
    """The cut and its left and top."""
    left, right = _span(image.shape[1], box_px[0], box_px[2], side_px)
    top, bottom = _span(image.shape[0], box_px[1], box_px[3], side_px)
    return image[top:bottom, left:right], left, top


def _span(size_px: int, low: float, high: float, side_px: int) -> tuple[int, int]:
    side = min(side_px, size_px)
    start = min(max(round((low + high) / 2 - side / 2), 0), size_px - side)
    return start, start + side
