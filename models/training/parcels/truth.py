"""Paints outlined fields as the maps that the network learns: interior, boundary, distance to it."""

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from models.training.parcels.fields import Ring

Maps = npt.NDArray[np.float32]

BOUNDARY_PX = 5.0
"""Width of the painted boundary."""
DISTANCE_PX = 20.0
"""Distances are clipped here and taught as shares of it."""
AT_EDGE_PX = 5.0
"""An outline that ends this close to the image's edge goes on beyond it: hands stop short of the edge."""
BEYOND_PX = 30.0
_FRACTION_BITS = 6


def carried_over_edge(ring: Ring, size_px: tuple[int, int]) -> Ring:
    """The ring with corners at the edge of an image of width, height moved well outside."""
    limit = np.array(size_px, dtype=np.float32)
    low, high = ring <= AT_EDGE_PX, ring >= limit - AT_EDGE_PX
    return np.where(low, -BEYOND_PX, np.where(high, limit + BEYOND_PX, ring)).astype(np.float32)


def paint(rings: Sequence[Ring], size_px: tuple[int, int]) -> Maps:
    """(3, H, W) from 0 to 1: interior, boundary, and distance / `DISTANCE_PX` inside, 0 outside."""
    width, height = size_px
    interior = np.zeros((height, width), dtype=np.uint8)
    no_line = np.full((height, width), 1, dtype=np.uint8)
    corners = [_fixed(ring) for ring in rings]
    for points in corners:
        cv2.fillPoly(interior, [points], 1, cv2.LINE_8, _FRACTION_BITS)
    for points in corners:
        cv2.polylines(no_line, [points], True, 0, 1, cv2.LINE_8, _FRACTION_BITS)
    if not corners:
        return np.zeros((3, height, width), dtype=np.float32)
    away = cv2.distanceTransform(no_line, cv2.DIST_L2, cv2.DIST_MASK_5)
    boundary = away <= BOUNDARY_PX / 2
    distance = np.minimum(away / DISTANCE_PX, 1.0) * interior
    return np.stack([interior.astype(np.float32), boundary.astype(np.float32), distance.astype(np.float32)])


def _fixed(ring: Ring) -> npt.NDArray[np.int32]:
    """Corners as OpenCV wants them: fixed point, 0 at the middle of the first pixel."""
    near = np.clip(ring - 0.5, -8192.0, 8192.0)
    return np.asarray(np.round(near * 2**_FRACTION_BITS), dtype=np.int32)
