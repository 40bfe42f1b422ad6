"""Where cameras have looked: cells of the ground with when each was last seen and how sharply."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ground.past.notes import METRES_PER_DEG, NotedFootprint
from skywarden.errors import InputError

BBox = tuple[float, float, float, float]

MAX_CELLS = 250_000


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Coverage:
    """Cells that were seen, as columns of one length, south to north, then west to east.

    Attributes:
        west, south: of the whole grid, degrees.
        step_lon_deg, step_lat_deg: of one cell; about square on the ground.
        column, row: of each cell, counted from west and south.
        last_ns: UTC of the newest look whose footprint holds the cell's centre.
        gsd_m: best (smallest) metres per pixel of all looks; NaN where none is known.
        looks: how many footprints held it.
    """

    west: float
    south: float
    step_lon_deg: float
    step_lat_deg: float
    column: NDArray[np.int32]
    row: NDArray[np.int32]
    last_ns: NDArray[np.int64]
    gsd_m: NDArray[np.float64]
    looks: NDArray[np.int32]


class CoverageGrid:
    """A grid over a box (west, south, east, north; west > east crosses 180) of about `cell_m` cells, coarser
    where that would be more than 250,000. Raises `InputError` for a box without a surface.
    """

    def __init__(self, bbox: BBox, cell_m: float) -> None:
        west, south, east, north = bbox
        width = east - west if east > west else east - west + 360.0
        if not (north > south and width > 0 and cell_m > 0):
            raise InputError(f"a box {bbox} with cells of {cell_m} m has no surface")
        squeeze = max(0.01, math.cos(math.radians((south + north) / 2)))
        step_lat = cell_m / METRES_PER_DEG
        step_lat *= max(1.0, math.sqrt(width * squeeze * (north - south) / step_lat**2 / MAX_CELLS))
        self._west, self._south = west, south
        self._step_lat, self._step_lon = step_lat, step_lat / squeeze
        # in steps of the grid the count must not pass the limit by rounding up
        rows = max(1, math.floor((north - south) / step_lat))
        columns = max(1, math.floor(width / self._step_lon))
        self._step_lat, self._step_lon = (north - south) / rows, width / columns
        self._last = np.zeros((rows, columns), dtype=np.int64)
        self._gsd = np.full((rows, columns), np.inf)
        self._looks = np.zeros((rows, columns), dtype=np.int32)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self._last.shape[0], self._last.shape[1]

    def add(self, footprints: Iterable[NotedFootprint]) -> None:
        """Mark every cell whose centre lies inside a footprint."""
        for one in footprints:
            self._add(one)

    def seen(self) -> Coverage:
        """The cells that were seen at all."""
        row, column = np.nonzero(self._looks)
        gsd = self._gsd[row, column]
        return Coverage(
            west=self._west,
            south=self._south,
            step_lon_deg=self._step_lon,
            step_lat_deg=self._step_lat,
            column=column.astype(np.int32),
            row=row.astype(np.int32),
            last_ns=self._last[row, column],
            gsd_m=np.where(np.isinf(gsd), np.nan, gsd),
            looks=self._looks[row, column],
        )

    def _add(self, one: NotedFootprint) -> None:
        ring = np.array(one.ring, dtype=np.float64)
        # longitudes as steps east of the grid's edge, so that a ring across 180 degrees stays in one piece
        first = (ring[0, 1] - self._west + 180.0) % 360.0 - 180.0
        east = first + (ring[:, 1] - ring[0, 1] + 180.0) % 360.0 - 180.0
        rows, columns = self.shape
        if east.max() < 0:  # the grid may be wider than half the globe
            east += 360.0
        x, y = east / self._step_lon - 0.5, (ring[:, 0] - self._south) / self._step_lat - 0.5
        left, right = max(0, math.ceil(x.min())), min(columns - 1, math.floor(x.max()))
        low, high = max(0, math.ceil(y.min())), min(rows - 1, math.floor(y.max()))
        if left > right or low > high:
            return
        inside = _inside(x, y, np.arange(left, right + 1), np.arange(low, high + 1))
        window = np.s_[low : high + 1, left : right + 1]
        self._looks[window] += inside
        last, gsd = self._last[window], self._gsd[window]
        np.maximum(last, one.time_ns, out=last, where=inside)
        if one.gsd_m is not None:
            np.minimum(gsd, one.gsd_m, out=gsd, where=inside)


def _inside(
    x: NDArray[np.float64], y: NDArray[np.float64], at_x: NDArray[np.int64], at_y: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Which points of a grid lie in a ring, by the even-odd rule; (len(at_y), len(at_x))."""
    inside = np.zeros((len(at_y), len(at_x)), dtype=np.bool_)
    for index in range(len(x)):
        before = index - 1
        crosses = (y[index] > at_y) != (y[before] > at_y)
        if not crosses.any():
            continue
        share = (at_y[crosses] - y[index]) / (y[before] - y[index])
        edge = x[index] + share * (x[before] - x[index])
        inside[crosses] ^= at_x[None, :] < edge[:, None]
    return inside
