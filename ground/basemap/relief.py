"""Elevation tiles for the console's shading: heights as colours, in the encoding of Terrarium.

Height in metres is red * 256 + green + blue / 256 - 32768 (Mapzen, "Terrarium" of the terrain tiles on AWS,
https://github.com/tilezen/joerd/blob/master/docs/formats.md).
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from ground.basemap.archive import Tile, tiles_of_zoom, write_pmtiles
from skywarden.errors import InputError
from skywarden.geometry.terrain import Terrain, TerrainMosaic, load_terrain

TILE_PX = 256
MAX_TILES = 200_000
_HALF_M = 20_037_508.342789244
_EARTH_M = 6_378_137.0
_DEEPEST_ZOOM = 16
_STEPS_OF_ZOOMS = 9
_MOST_LATITUDE_DEG = 85.0
_COARSE = 512
_LEVEL_PX = 6.0

Heights = npt.NDArray[np.float32]


def write_relief(source: Path, out: Path, *, max_zoom: int | None = None) -> int:
    """Write the elevations of `source` (GeoTIFF, .hgt, .npz tile, or a folder of them) as tiles; how many.

    Raises `InputError` when they cannot be read, or would be too many tiles.
    """
    return write_surface(_loaded(source), out, name=source.stem, max_zoom=max_zoom)


def write_surface(
    surface: Terrain | TerrainMosaic, out: Path, *, name: str, max_zoom: int | None = None
) -> int:
    """The same of a surface that is there already. Raises `InputError`."""
    box = _box_deg(surface)
    deepest = max_zoom if max_zoom is not None else _zoom_of(surface)
    first = max(0, deepest - _STEPS_OF_ZOOMS + 1)
    metres = _mercator(box)
    amount = sum(1 for zoom in range(first, deepest + 1) for _ in tiles_of_zoom(metres, zoom))
    if amount > MAX_TILES:
        raise InputError(
            f"that would be {amount:,} tiles, more than {MAX_TILES:,}; give a smaller --max-zoom"
        )
    made = _Pyramid(surface, metres, deepest)
    tiles = (one for top in tiles_of_zoom(metres, first) for one in made.tiles(top))
    about = {"name": name, "encoding": "terrarium"}
    return write_pmtiles(out, tiles, kind="png", bounds=box, metadata=about)


class _Pyramid:
    """Tiles from the finest up; a coarser one is the mean of its four, so that no ridge is stepped over."""

    def __init__(
        self, surface: Terrain | TerrainMosaic, box_m: tuple[float, float, float, float], deepest: int
    ) -> None:
        self._surface, self._deepest = surface, deepest
        self._box = {zoom: set(tiles_of_zoom(box_m, zoom)) for zoom in range(deepest + 1)}
        self._heights: dict[Tile, Heights] = {}
        self._beyond = _Beyond(surface, box_m)

    def tiles(self, top: Tile) -> Iterator[tuple[Tile, bytes]]:
        """`top` and all below it that hold a height, as PNG."""
        if top not in self._box[top[0]]:
            return
        if top[0] == self._deepest:
            heights = self._sampled(top)
        else:
            heights = np.full((TILE_PX, TILE_PX), np.nan, dtype=np.float32)
            half = TILE_PX // 2
            for down in (0, 1):
                for across in (0, 1):
                    child = (top[0] + 1, 2 * top[1] + across, 2 * top[2] + down)
                    yield from self.tiles(child)
                    part = self._heights.pop(child, None)
                    if part is not None:
                        heights[down * half :, across * half :][:half, :half] = _halved(part)
        if np.isnan(heights).all():
            return
        self._heights[top] = heights
        yield top, encoded(self._beyond.filled(top, heights), 2 * _HALF_M / TILE_PX / (1 << top[0]))

    def _sampled(self, tile: Tile) -> Heights:
        side = TILE_PX << tile[0]
        across = (tile[1] * TILE_PX + np.arange(TILE_PX) + 0.5) / side
        down = (tile[2] * TILE_PX + np.arange(TILE_PX) + 0.5) / side
        longitudes = across * 360.0 - 180.0
        latitudes = np.degrees(np.arctan(np.sinh(math.pi * (1.0 - 2.0 * down))))
        where = np.meshgrid(latitudes, longitudes, indexing="ij")
        return self._surface.height_hae_m(where[0], where[1]).astype(np.float32)


def encoded(heights: Heights, grain_m: float) -> bytes:
    """Heights, all of them known, as a PNG. Raises `InputError`.

    Steps are about 1/256 of a pixel's side on the ground: finer ones cost room and cannot be seen.
    """
    step = 2.0 ** -min(8, max(0, round(8 - math.log2(max(1.0, grain_m)))))
    known = np.round(heights.astype(np.float64) / step) * step
    value = np.clip(np.round((known + 32_768.0) * 256.0), 0, (1 << 24) - 1).astype(np.uint32)
    blue_green_red = np.stack([value & 255, (value >> 8) & 255, value >> 16], axis=-1).astype(np.uint8)
    done, data = cv2.imencode(".png", blue_green_red, [cv2.IMWRITE_PNG_COMPRESSION, 9])
    if not done:
        raise InputError("a tile of heights cannot be written as PNG")
    return bytes(data)


class _Beyond:
    """What stands in for heights that nobody knows: it goes on from the edge and levels out within a few
    pixels, the same for neighbouring tiles, so that neither cliffs nor streaks are shaded there.
    """

    def __init__(self, surface: Terrain | TerrainMosaic, box_m: tuple[float, float, float, float]) -> None:
        west, south, east, north = box_m
        pad = max(east - west, north - south) / 2
        self._west, self._north = west - pad, north + pad
        self._cell_m = (max(east - west, north - south) + 2 * pad) / _COARSE
        steps = (np.arange(_COARSE) + 0.5) * self._cell_m
        latitudes = np.degrees(np.arctan(np.sinh((self._north - steps) / _EARTH_M)))
        longitudes = (self._west + steps) / _HALF_M * 180.0
        where = np.meshgrid(latitudes, longitudes, indexing="ij")
        known = surface.height_hae_m(where[0], where[1]).astype(np.float32)
        self._heights = _levelled(known)

    def filled(self, tile: Tile, heights: Heights) -> Heights:
        """`heights` (NaN: none) of a tile without gaps."""
        is_void = np.isnan(heights)
        if not is_void.any():
            return heights
        away_px, nearest = cv2.distanceTransformWithLabels(
            is_void.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
        )
        of_label = np.zeros(int(nearest.max()) + 1, dtype=np.float32)
        of_label[nearest[~is_void]] = heights[~is_void]
        weight = np.exp(-np.asarray(away_px) / _LEVEL_PX)
        stood_in = weight * of_label[nearest] + (1.0 - weight) * self._of(tile)
        return np.where(is_void, stood_in, heights).astype(np.float32)

    def _of(self, tile: Tile) -> Heights:
        grain_m = 2 * _HALF_M / (TILE_PX << tile[0])
        pixels = np.arange(TILE_PX) + 0.5
        across = (tile[1] * TILE_PX + pixels) * grain_m - _HALF_M - self._west
        down = self._north - (_HALF_M - (tile[2] * TILE_PX + pixels) * grain_m)
        columns, rows = np.meshgrid(across / self._cell_m - 0.5, down / self._cell_m - 0.5)
        taken: Heights = cv2.remap(
            self._heights,
            np.clip(columns, 0, _COARSE - 1).astype(np.float32),
            np.clip(rows, 0, _COARSE - 1).astype(np.float32),
            cv2.INTER_LINEAR,
        ).astype(np.float32)
        return taken


def _levelled(heights: Heights) -> Heights:
    """NaN filled from ever coarser means, so that what is far from everything known is level."""
    is_void = np.isnan(heights)
    if not is_void.any() or len(heights) == 1:
        return np.where(is_void, np.float32(0.0), heights)
    coarse = _levelled(_halved(heights))
    wide: Heights = cv2.resize(coarse, heights.shape[::-1], interpolation=cv2.INTER_LINEAR).astype(np.float32)
    return np.where(is_void, wide, heights)


def _halved(heights: Heights) -> Heights:
    """Means of two by two, of those that are known."""
    half = len(heights) // 2
    blocks = heights.reshape(half, 2, half, 2)
    is_known = ~np.isnan(blocks)
    count = is_known.sum(axis=(1, 3))
    total = np.where(is_known, blocks, 0.0).sum(axis=(1, 3))
    return np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)


def _loaded(source: Path) -> Terrain | TerrainMosaic:
    """The elevations in degrees, turned into them where the file has metres of its own grid."""
    if source.is_dir() or source.suffix.lower() not in (".tif", ".tiff", ".vrt"):
        return load_terrain(source)
    import rasterio
    from rasterio.errors import RasterioError
    from rasterio.vrt import WarpedVRT

    try:
        with rasterio.open(source) as image:
            if image.crs is None:
                raise InputError(f"{source.name} does not say where it lies (no coordinate system)")
            if image.count != 1:
                raise InputError(f"{source.name} has {image.count} bands; elevations are one band")
            if image.crs.is_geographic and source.suffix.lower() != ".vrt":
                return load_terrain(source)
            with WarpedVRT(image, crs="EPSG:4326", resampling=rasterio.enums.Resampling.bilinear) as warped:
                return _of_raster(warped, source.name)
    except RasterioError as error:
        raise InputError(f"{source.name} cannot be read ({error})") from error


def _of_raster(image: Any, name: str) -> Terrain:
    if image.width * image.height > 400_000_000:
        raise InputError(f"{name} has {image.width} x {image.height} heights; cut it to 400,000,000")
    place = image.transform
    heights = image.read(1).astype(np.float32)
    heights[image.read_masks(1) == 0] = np.nan
    return Terrain(
        heights,
        north_deg=place.f + place.e / 2,
        west_deg=place.c + place.a / 2,
        step_latitude_deg=-place.e,
        step_longitude_deg=place.a,
        name=name,
    )


def _box_deg(surface: Terrain | TerrainMosaic) -> tuple[float, float, float, float]:
    """West, south, east, north. Raises `InputError` across 180 degrees: tiles do not go on there."""
    tiles = [surface] if isinstance(surface, Terrain) else surface.tiles
    boxes = [one.box_deg for one in tiles]
    west = min(longitude - half for _, longitude, _, half in boxes)
    east = max(longitude + half for _, longitude, _, half in boxes)
    south = max(-_MOST_LATITUDE_DEG, min(latitude - half for latitude, _, half, _ in boxes))
    north = min(_MOST_LATITUDE_DEG, max(latitude + half for latitude, _, half, _ in boxes))
    if west < -180.0 or east > 180.0 + 1e-6:
        raise InputError(f"elevations from {west:.3f} to {east:.3f} degrees cross 180; cut them there")
    if not south < north:
        raise InputError("elevations beyond 85 degrees have no place on this map")
    return west, south, min(180.0, east), north


def _mercator(box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    def north_m(latitude: float) -> float:
        return _EARTH_M * math.asinh(math.tan(math.radians(latitude)))

    west, south, east, north = box
    return west / 180.0 * _HALF_M, north_m(south), east / 180.0 * _HALF_M, north_m(north)


def _zoom_of(surface: Terrain | TerrainMosaic) -> int:
    """The zoom whose pixels are about as large as the spacing of the heights, at most 16."""
    tiles = [surface] if isinstance(surface, Terrain) else list(surface.tiles)
    finest = min(tiles, key=lambda one: one.spacing_m)
    stretch = math.cos(math.radians(finest.box_deg[0]))
    pixel_m = finest.spacing_m / max(0.05, stretch)
    return max(0, min(_DEEPEST_ZOOM, round(math.log2(2 * _HALF_M / TILE_PX / pixel_m))))
