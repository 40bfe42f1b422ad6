"""What need not be looked at: the sky, the aircraft's own parts."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from models.detection import DetectionBatch
from models.tiling.grid import Tile
from skywarden.geometry.camera import CameraModel

GRID = (64, 36)
"""Columns and rows of a mask, for any size of image."""

_SKY_MARGIN_RAD = 0.005


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ImageMask:
    """Cells (rows, columns) of bool that cover the image evenly: true is where nothing is looked for."""

    cells: npt.NDArray[np.bool_]

    def __or__(self, other: "ImageMask") -> "ImageMask":
        """Left out by either."""
        return ImageMask(cells=self.cells | other.cells)

    def share(self, tile: Tile, size_px: tuple[int, int]) -> float:
        """How much of a tile is left out, 0 to 1."""
        rows, columns = self.cells.shape
        left, right = tile.x0 * columns // size_px[0], -(-tile.x1 * columns // size_px[0])
        top, bottom = tile.y0 * rows // size_px[1], -(-tile.y1 * rows // size_px[1])
        return float(self.cells[top : max(bottom, top + 1), left : max(right, left + 1)].mean())

    def without(self, batch: DetectionBatch, size_px: tuple[int, int]) -> DetectionBatch:
        """Only detections whose middle is not left out; of several cells under a box, that of its middle."""
        rows, columns = self.cells.shape
        centre = (batch.box_px[:, :2] + batch.box_px[:, 2:]) / 2.0 + 0.5
        column = np.clip(centre[:, 0] * columns / size_px[0], 0, columns - 1).astype(int)
        row = np.clip(centre[:, 1] * rows / size_px[1], 0, rows - 1).astype(int)
        return chosen_of(batch, np.flatnonzero(~self.cells[row, column]))


def nothing_masked() -> ImageMask:
    """A mask that leaves nothing out."""
    return ImageMask(cells=np.zeros(GRID[::-1], dtype=bool))


def polygon_mask(polygons: Sequence[npt.ArrayLike], size_px: tuple[int, int]) -> ImageMask:
    """Left out: cells that lie wholly inside of polygons (N, 2) in pixels of an image of `size_px`.

    For parts of the aircraft in view.
    """
    fine = 8
    picture = np.zeros((GRID[1] * fine, GRID[0] * fine), dtype=np.uint8)
    factor = np.array([GRID[0] * fine / size_px[0], GRID[1] * fine / size_px[1]])
    for polygon in polygons:
        points = np.clip(np.asarray(polygon, dtype=np.float64) * factor, -1e5, 1e5)
        if len(points) >= 3:
            cv2.fillPoly(picture, [np.round(points * 16).astype(np.int32)], 1, cv2.LINE_8, 4)
    cells = picture.reshape(GRID[1], fine, GRID[0], fine).min(axis=(1, 3)) > 0
    return ImageMask(cells=np.asarray(cells, dtype=bool))


def sky_mask(
    camera: CameraModel,
    rotation_ned_from_camera: npt.NDArray[np.float64],
    *,
    margin_rad: float = _SKY_MARGIN_RAD,
) -> ImageMask:
    """Left out: cells whose four corners look more than `margin_rad` (0.3 degrees) above the level.

    The horizon itself lies below the level from any height, so what stands on it is kept.
    """
    x = np.linspace(-0.5, camera.width_px - 0.5, GRID[0] + 1)
    y = np.linspace(-0.5, camera.height_px - 0.5, GRID[1] + 1)
    points = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    rays, is_known = camera.rays(points)
    down = rays @ np.asarray(rotation_ned_from_camera, dtype=np.float64)[2]
    above = np.zeros(len(points), dtype=bool)
    above[is_known] = down[is_known] < -np.sin(margin_rad) * np.linalg.norm(rays[is_known], axis=1)
    corner = above.reshape(GRID[1] + 1, GRID[0] + 1)
    return ImageMask(cells=corner[:-1, :-1] & corner[1:, :-1] & corner[:-1, 1:] & corner[1:, 1:])


def chosen_of(batch: DetectionBatch, places: npt.NDArray[np.intp]) -> DetectionBatch:
    """The detections at these places, in this order."""
    return replace(
        batch,
        box_px=batch.box_px[places],
        score=batch.score[places],
        label_index=batch.label_index[places],
        shapes=tuple(batch.shapes[at] for at in places.tolist()) if batch.shapes else (),
    )
