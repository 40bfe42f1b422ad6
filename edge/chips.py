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
    """A square JPEG around `box_px`, twice as wide as the box, between 96 and 256 pixels a side.

    `image` is (H, W, 3) BGR uint8; the square is moved, not padded, where it would leave the frame.
    """
    x0, y0, side = _square(image.shape[1], image.shape[0], box_px)
    cut = image[y0 : y0 + side, x0 : x0 + side]
    height_px, width_px = cut.shape[:2]
    scale = min(1.0, MAX_SIDE_PX / max(height_px, width_px))
    if scale < 1.0:
        size = (max(1, round(width_px * scale)), max(1, round(height_px * scale)))
        cut = np.asarray(cv2.resize(cut, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    ok, data = cv2.imencode(".jpg", cut, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    assert ok, "OpenCV always encodes a BGR uint8 image as JPEG"
    box = tuple((value - origin) * scale for value, origin in zip(box_px, (x0, y0, x0, y0), strict=True))
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


def _square(width_px: int, height_px: int, box_px: BoxPx) -> tuple[int, int, int]:
    x0, y0, x1, y1 = box_px
    side = int(max(MIN_SIDE_PX, 2.0 * max(x1 - x0, y1 - y0)))
    side = min(side, width_px, height_px)
    left = round((x0 + x1) / 2 - side / 2)
    top = round((y0 + y1) / 2 - side / 2)
    return min(max(left, 0), width_px - side), min(max(top, 0), height_px - side), side
