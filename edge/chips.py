"""Cutting the image of a detection out of its frame, with some surroundings, small enough for a radio."""

import cv2
import numpy as np
import numpy.typing as npt

from skywarden.messages import BoxPx, Chip

MIN_SIDE_PX = 96
MAX_SIDE_PX = 256
JPEG_QUALITY = 85


def cut_chip(
    image: npt.NDArray[np.uint8], box_px: BoxPx, *, sighting_id: str, platform_id: str, time_ns: int
) -> Chip:
    """A JPEG of the square around `box_px`, twice as wide as the box, between 96 and 256 pixels a side.

    `image` is (H, W, 3) BGR uint8; the square is moved, not padded, where it would leave the frame, and only
    a frame that is too narrow for it makes it a rectangle. The longer side is then at most 256 pixels.
    """
    left, right = _span(image.shape[1], box_px[0], box_px[2], _side_px(box_px))
    top, bottom = _span(image.shape[0], box_px[1], box_px[3], _side_px(box_px))
    cut = image[top:bottom, left:right]
    height_px, width_px = cut.shape[:2]
    scale = min(1.0, MAX_SIDE_PX / max(height_px, width_px))
    if scale < 1.0:
        size = (max(1, round(width_px * scale)), max(1, round(height_px * scale)))
        cut = np.asarray(cv2.resize(cut, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    ok, data = cv2.imencode(".jpg", cut, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    assert ok, "OpenCV always encodes a BGR uint8 image as JPEG"
    corner = (left - 0.5, top - 0.5, left - 0.5, top - 0.5)  # half a pixel before the first centre
    box = tuple((value - edge) * scale - 0.5 for value, edge in zip(box_px, corner, strict=True))
    return Chip(
        chip_id=f"{sighting_id}.chip",
        sighting_id=sighting_id,
        platform_id=platform_id,
        time_ns=time_ns,
        media_type="image/jpeg",
        width_px=cut.shape[1],
        height_px=cut.shape[0],
        box_in_chip_px=(box[0], box[1], box[2], box[3]),
        data=data.tobytes(),
    )


def _side_px(box_px: BoxPx) -> int:
    x0, y0, x1, y1 = box_px
    return int(max(MIN_SIDE_PX, 2.0 * max(x1 - x0, y1 - y0)))


def _span(size_px: int, low: float, high: float, side_px: int) -> tuple[int, int]:
    side = min(side_px, size_px)
    start = min(max(round((low + high) / 2 - side / 2), 0), size_px - side)
    return start, start + side
