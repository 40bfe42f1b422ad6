"""Maps of a large image from overlapping tiles, blended so that no seam is left; mirrored looks averaged.

Works on the network's own input and output, before anything is made of the maps: an area that lies across
several tiles is one area, and there is nothing to merge afterwards.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from models.tiling.grid import Tile, tile_grid
from skywarden.errors import ModelError

F32 = npt.NDArray[np.float32]
Tensor = npt.NDArray[Any]
Run = Callable[[Tensor], list[F32]]
"""A network: input tensor in, raw outputs out."""


class MapLook:
    """Runs a network of maps over a tensor of any size.

    The tensor is (1, H, W, 3) or (1, 3, H, W), the outputs are (1, maps, h, w) of one share of its size.
    """

    def __init__(
        self,
        run: Run,
        *,
        tile_px: int = 0,
        overlap_px: int = 0,
        step_px: int = 1,
        flips: int = 1,
        is_nhwc: bool = True,
    ) -> None:
        """Tiles of `tile_px` that share at least `overlap_px` where a side is longer; 0 is never.

        Tiles begin at multiples of `step_px`, which divides the tensor's sides and the tile's. `flips`: 1
        looks once, 2 also mirrored left to right, 4 also upside down and both. Raises `ModelError` when the
        overlap leaves no step.
        """
        if tile_px and (tile_px % step_px or not 0 < overlap_px <= tile_px - step_px):
            raise ModelError(f"tiles of {tile_px} px that overlap by {overlap_px} px")
        if flips not in (1, 2, 4):
            raise ModelError(f"{flips} mirrored looks; 1, 2 or 4 are possible")
        self._run = run
        self._tile_px, self._overlap_px, self._step_px = tile_px, overlap_px, step_px
        self._flips = flips
        self._axes = (1, 2) if is_nhwc else (2, 3)

    def run(self, tensor: Tensor) -> list[F32]:
        """Outputs for the whole tensor; raises `ModelError` when a tile's maps are not as the others'."""
        height, width = (int(tensor.shape[axis]) for axis in self._axes)
        if not self._tile_px or max(height, width) <= self._tile_px:
            return self._mirrored(tensor)
        canvas: _Canvas | None = None
        for tile in self._tiles(width, height):
            outputs = self._mirrored(self._cut(tensor, tile))
            if canvas is None:
                canvas = _Canvas((width, height), tile, outputs)
            canvas.add(outputs, tile, self._overlap_px)
        assert canvas is not None
        return canvas.done()

    def _tiles(self, width: int, height: int) -> list[Tile]:
        step = self._step_px
        size, side = (width // step, height // step), self._tile_px // step
        return [
            Tile(number=at, x0=one.x0 * step, y0=one.y0 * step, x1=one.x1 * step, y1=one.y1 * step)
            for at, one in enumerate(tile_grid(size, (side, side), -(-self._overlap_px // step)))
        ]

    def _cut(self, tensor: Tensor, tile: Tile) -> Tensor:
        if self._axes == (1, 2):
            return np.ascontiguousarray(tensor[:, tile.y0 : tile.y1, tile.x0 : tile.x1])
        return np.ascontiguousarray(tensor[:, :, tile.y0 : tile.y1, tile.x0 : tile.x1])

    def _mirrored(self, tensor: Tensor) -> list[F32]:
        """The mean over mirrored looks, each turned back."""
        total = self._run(tensor)
        ways: Sequence[tuple[bool, bool]] = ((False, True), (True, False), (True, True))
        for down, across in ways[: self._flips - 1]:
            axes = tuple(
                axis for axis, is_turned in zip(self._axes, (down, across), strict=True) if is_turned
            )
            looked = self._run(np.ascontiguousarray(np.flip(tensor, axes)))
            back = tuple(axis for axis, is_turned in zip((2, 3), (down, across), strict=True) if is_turned)
            total = [sum_ + np.flip(one, back) for sum_, one in zip(total, looked, strict=True)]
        if self._flips == 1:
            return total
        return [np.asarray(one / np.float32(self._flips), dtype=np.float32) for one in total]


class _Canvas:
    """Sums of weighted maps, and of the weights."""

    def __init__(self, size_px: tuple[int, int], tile: Tile, outputs: Sequence[F32]) -> None:
        self._cell = _cell_of(tile, outputs)
        columns, rows = (-(-side // self._cell) for side in size_px)
        self._sums = [np.zeros((1, one.shape[1], rows, columns), dtype=np.float32) for one in outputs]
        self._weight = np.zeros((rows, columns), dtype=np.float32)
        self._size_px = size_px

    def add(self, outputs: Sequence[F32], tile: Tile, overlap_px: int) -> None:
        """Lay a tile's maps over what is there: fully in its middle, less and less towards inner edges."""
        if _cell_of(tile, outputs) != self._cell:
            raise ModelError(f"a tile's maps have cells of {_cell_of(tile, outputs)} px, not {self._cell}")
        width, height = self._size_px
        ramp = max(1, overlap_px // self._cell)
        across = _slope(outputs[0].shape[3], ramp, tile.x0 > 0, tile.x1 < width)
        down = _slope(outputs[0].shape[2], ramp, tile.y0 > 0, tile.y1 < height)
        weight = np.outer(down, across).astype(np.float32)
        y, x = tile.y0 // self._cell, tile.x0 // self._cell
        rows, columns = slice(y, y + weight.shape[0]), slice(x, x + weight.shape[1])
        for sums, one in zip(self._sums, outputs, strict=True):
            sums[:, :, rows, columns] += one * weight
        self._weight[rows, columns] += weight

    def done(self) -> list[F32]:
        """The maps of the whole."""
        for sums in self._sums:
            sums /= self._weight
        return self._sums


def _cell_of(tile: Tile, outputs: Sequence[F32]) -> int:
    """Pixels of the input for each cell of the maps. Raises `ModelError` unless that is a whole number."""
    shapes = {one.shape[2:] for one in outputs if one.ndim == 4}
    if len(shapes) != 1 or any(one.ndim != 4 for one in outputs):
        raise ModelError(f"outputs of {[one.shape for one in outputs]}; maps of one size are due")
    rows, columns = shapes.pop()
    width, height = tile.x1 - tile.x0, tile.y1 - tile.y0
    cell = width // columns if columns else 0
    if cell < 1 or cell * columns != width or cell * rows != height or tile.x0 % cell or tile.y0 % cell:
        raise ModelError(f"maps of {columns} x {rows} cells for a tile of {width} x {height} px")
    return int(cell)


def _slope(cells: int, ramp: int, low_is_inner: bool, high_is_inner: bool) -> npt.NDArray[np.float64]:
    """Weights along a side: 1, and rising from next to nothing over `ramp` cells at inner edges."""
    at = np.arange(cells) + 0.5
    weight = np.ones(cells)
    if low_is_inner:
        weight = np.minimum(weight, at / ramp)
    if high_is_inner:
        weight = np.minimum(weight, (cells - at) / ramp)
    return weight
