"""What a shutter does to a moving picture: smear during the exposure, and rows that are read one by one.

Over one frame the ground moves across the picture by a field that is nearly affine in the pixel: it is found
from the places that a few pixels show, projected again a moment later. Picture and truth use the same field.
Smear from the exposure: Potmesil and Chakravarty, "Modeling motion blur" (SIGGRAPH 1983); rows: the frame's
middle row is exposed at the frame's time, the first half a readout earlier.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from sim.scenario.land.noise import FloatImage
from sim.scenario.platform import PlatformTruth
from sim.scenario.sight import project, seen_places
from sim.scenario.world import World

FloatArray = npt.NDArray[np.float64]

_MOMENT_S = 0.01
_LEAST_PX = 0.6
_LONGEST_PX = 61


@dataclass(frozen=True, slots=True, eq=False)
class Flow:
    """How fast the ground moves across the picture: `matrix` (2, 3) gives px/s from (column, row, 1)."""

    matrix: FloatArray
    size_px: tuple[int, int]

    def at(self, pixels: FloatArray) -> FloatArray:
        """Velocity (N, 2), px/s, at pixels (N, 2)."""
        return np.asarray(pixels @ self.matrix[:, :2].T + self.matrix[:, 2], np.float64)

    def read_out(self, pixels: FloatArray, readout_s: float) -> FloatArray:
        """Where points, that an instant shutter would show at `pixels` (N, 2), appear with a rolling one."""
        if readout_s == 0.0:
            return pixels
        moved = pixels
        for _ in range(2):
            delay = (moved[:, 1:] / self.size_px[1] - 0.5) * readout_s
            moved = pixels + self.at(pixels) * delay
        return moved


def image_flow(world: World, truth: PlatformTruth, time_s: float) -> Flow:
    """The field of one instant; still where a camera sees no ground."""
    camera = truth.camera_model
    size = (camera.width_px, camera.height_px)
    columns = np.linspace(0.08, 0.92, 4) * size[0]
    rows = np.linspace(0.08, 0.92, 4) * size[1]
    pixels = np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 2)
    places, is_ground = seen_places(world, camera, truth.camera_at(time_s), pixels)
    if int(is_ground.sum()) < 4:
        return Flow(np.zeros((2, 3)), size)
    before, _, _ = project(world, camera, truth.camera_at(time_s - _MOMENT_S), places[is_ground])
    after, _, _ = project(world, camera, truth.camera_at(time_s + _MOMENT_S), places[is_ground])
    velocity = (after - before) / (2.0 * _MOMENT_S)
    design = np.column_stack([pixels[is_ground], np.ones(int(is_ground.sum()))])
    found, *_ = np.linalg.lstsq(design, velocity, rcond=None)
    return Flow(np.asarray(found.T, np.float64), size)


class Shutter:
    """One camera's shutter: how long it is open, and how long it takes from the first row to the last."""

    def __init__(self, exposure_s: float, readout_s: float) -> None:
        self._exposure_s, self._readout_s = exposure_s, readout_s

    @property
    def is_instant(self) -> bool:
        """Whether it does nothing to a picture."""
        return self._exposure_s == 0.0 and self._readout_s == 0.0

    def smeared(self, image: FloatImage, flow: Flow) -> FloatImage:
        """The picture as the shutter gives it: rows displaced, then smeared along the middle's motion."""
        height, width = image.shape[:2]
        if self._readout_s > 0.0:
            image = self._displaced(image, flow)
        middle = flow.at(np.array([[width / 2.0, height / 2.0]]))[0] * self._exposure_s
        kernel = _line_kernel(float(middle[0]), float(middle[1]))
        if kernel is None:
            return image
        return np.asarray(cv2.filter2D(image, -1, kernel, borderType=cv2.BORDER_REPLICATE), np.float32)

    def _displaced(self, image: FloatImage, flow: Flow) -> FloatImage:
        height, width = image.shape[:2]
        delay = ((np.arange(height) / height - 0.5) * self._readout_s).astype(np.float32)[:, None]
        column = np.arange(width, dtype=np.float32)[None, :]
        row = np.arange(height, dtype=np.float32)[:, None]
        m = flow.matrix.astype(np.float32)
        from_x = column - delay * (m[0, 0] * column + (m[0, 1] * row + m[0, 2]))
        from_y = row - delay * (m[1, 0] * column + (m[1, 1] * row + m[1, 2]))
        flags = cv2.INTER_LINEAR
        moved = cv2.remap(image, from_x, from_y, flags, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(moved, np.float32)


def _line_kernel(dx: float, dy: float) -> npt.NDArray[np.float32] | None:
    """Weights along a line of that length in pixels, centred; `None` where it is too short to show."""
    length = math.hypot(dx, dy)
    if length < _LEAST_PX:
        return None
    scale = min(1.0, _LONGEST_PX / length)
    half = math.ceil(max(abs(dx), abs(dy)) * scale / 2.0) + 1
    kernel = np.zeros((2 * half + 1, 2 * half + 1), np.float64)
    for share in np.linspace(-0.5, 0.5, max(8 * half, 9)):
        x, y = half + share * dx * scale, half + share * dy * scale
        i, j = int(y), int(x)
        u, v = y - i, x - j
        kernel[i : i + 2, j : j + 2] += np.outer((1.0 - u, u), (1.0 - v, v))
    return np.asarray(kernel / kernel.sum(), np.float32)
