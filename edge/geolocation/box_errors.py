"""How far the middle of a detection's box lies from where its thing stands on the ground, in pixels."""

import math

import numpy as np
import numpy.typing as npt

from skywarden.geometry.camera import CameraModel
from skywarden.geometry.pose import CameraPose

FloatArray = npt.NDArray[np.float64]

LOOSE_SHARE = 0.1
"""Boxes are drawn loosely: one sigma in either direction is so much of the shorter side."""
FOOT_SHARE = 0.2
"""What stands up and is seen from the side has its foot below the middle: of the height, times the cosine of
how far down one looks. Measured on rendered vessels seen 32 degrees down: 0.22 in all."""
CUT_SHARE = 0.5
BESIDE_CUT_SHARE = 0.25
"""What the image cuts off is missing, and nobody knows how much it is: a corner that comes into the picture
may belong to anything. In the direction that is cut one sigma is so much of the longer side, for a thing is
about as wide as it is long; in the other, where the corner need not stand in the middle, half as much.
Measured on rendered plots, huts and vessels at any share seen: 0.3 to 0.6, and 0.1 to 0.5 (1.2 where less
than a quarter is seen, 0.05 where more than three are)."""

NO_EDGE_FREE = 2


def box_sigma_px(box_px: npt.ArrayLike, pose: CameraPose, camera: CameraModel, pixel_px: float) -> FloatArray:
    """One-sigma errors across and down, shape (N, 2), of the middles of boxes (N, 4: x0, y0, x1, y1).

    `pixel_px` is the configured error, to which those of the boxes are added in squares.
    """
    boxes = np.asarray(box_px, dtype=np.float64).reshape(-1, 4)
    low, high = boxes[:, :2], boxes[:, 2:]
    sides = high - low
    cut = is_cut(boxes, camera)
    down = float(pose.rotation_ned_from_camera[2, 2])  # sine of how far down the optical axis points
    level = math.sqrt(max(0.0, 1.0 - down * down))
    square = pixel_px**2 + (LOOSE_SHARE * sides.min(axis=1, initial=np.inf)) ** 2
    share = np.where(cut, CUT_SHARE, BESIDE_CUT_SHARE * cut[:, ::-1])
    sigma_square: FloatArray = square[:, None] + (share * sides.max(axis=1, initial=0.0)[:, None]) ** 2
    sigma_square[:, 1] += (FOOT_SHARE * level * sides[:, 1]) ** 2
    sigma: FloatArray = np.sqrt(sigma_square)
    return sigma


def is_cut(box_px: npt.ArrayLike, camera: CameraModel) -> npt.NDArray[np.bool_]:
    """Whether the image's edge cuts boxes (N, 4) across and down, (N, 2)."""
    cut: npt.NDArray[np.bool_] = free_edges(box_px, camera) != 0
    return cut


def free_edges(box_px: npt.ArrayLike, camera: CameraModel) -> npt.NDArray[np.int8]:
    """Which edges of boxes (N, 4) stand free of the image's edge across and down, (N, 2): 0 both, 1 only the
    right or lower one, -1 only the left or upper one, `NO_EDGE_FREE` neither."""
    boxes = np.asarray(box_px, dtype=np.float64).reshape(-1, 4)
    last = np.array([camera.width_px, camera.height_px]) - 1.0
    low, high = boxes[:, :2] <= 0.0, boxes[:, 2:] >= last
    free: npt.NDArray[np.int8] = low.view(np.int8) - high.view(np.int8)
    free[low & high] = NO_EDGE_FREE
    return free
