"""Tiles of an image: evenly spaced, overlapping by what must not be cut, the last one at the edge."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

MAX_TILES = 4096


@dataclass(frozen=True, kw_only=True, slots=True)
class Tile:
    """A rectangle of the image: whole pixels, x1 and y1 beyond the last; `number` counts row by row."""

    number: int
    x0: int
    y0: int
    x1: int
    y1: int

    @property
    def centre_px(self) -> tuple[float, float]:
        """Middle, as edges count."""
        return (self.x0 + self.x1) / 2.0, (self.y0 + self.y1) / 2.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Band:
    """Rows y0 to y1 (beyond the last) of an image, and pixels of the network for each pixel in them."""

    y0: int
    y1: int
    scale: float


def banded_grid(
    size_px: tuple[int, int], bands: Sequence[Band], input_px: tuple[int, int], overlap_share: float
) -> tuple[Tile, ...]:
    """Tiles of every band at its own scale, as one grid; each shows `input_px` pixels of the network.

    A band reaches into the one above it by the overlap of its own tiles, so that what stands on the border
    and is no larger lies whole in one of them. Raises `ValueError` as `tile_grid` does.
    """
    tiles: list[Tile] = []
    for band in bands:
        side = max(16, round(input_px[0] / band.scale)), max(16, round(input_px[1] / band.scale))
        overlap = round(overlap_share * min(side))
        top = max(0, band.y0 - overlap)
        for tile in tile_grid((size_px[0], band.y1 - top), side, overlap):
            tiles.append(Tile(number=len(tiles), x0=tile.x0, y0=tile.y0 + top, x1=tile.x1, y1=tile.y1 + top))
    if len(tiles) > MAX_TILES:
        raise ValueError(f"{len(tiles)} tiles; at most {MAX_TILES}")
    return tuple(tiles)


def tile_grid(size_px: tuple[int, int], tile_px: tuple[int, int], overlap_px: int) -> tuple[Tile, ...]:
    """Tiles of `tile_px` that cover an image of `size_px` and share at least `overlap_px` with neighbours.

    Whatever is at most `overlap_px` wide lies whole in one of them. An image that fits gives one tile. Raises
    `ValueError` when the overlap leaves no step, or when there would be more than 4096 tiles.
    """
    columns = _starts(size_px[0], tile_px[0], overlap_px)
    rows = _starts(size_px[1], tile_px[1], overlap_px)
    if len(columns) * len(rows) > MAX_TILES:
        raise ValueError(f"{len(columns)} x {len(rows)} tiles; at most {MAX_TILES}")
    tiles: list[Tile] = []
    for y in rows:
        for x in columns:
            right, bottom = min(size_px[0], x + tile_px[0]), min(size_px[1], y + tile_px[1])
            tiles.append(Tile(number=len(tiles), x0=x, y0=y, x1=right, y1=bottom))
    return tuple(tiles)


def _starts(length: int, tile: int, overlap: int) -> list[int]:
    if tile >= length:
        return [0]
    step = tile - overlap
    if step < 1:
        raise ValueError(f"tiles of {tile} px that overlap by {overlap}")
    count = -(-(length - overlap) // step)
    return [int(start) for start in np.linspace(0, length - tile, count).round()]
