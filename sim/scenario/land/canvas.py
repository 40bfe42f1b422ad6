"""The full-resolution picture of the ground while it is being painted: grain, roads, fields, trees."""

import math

import cv2
import numpy as np
import numpy.typing as npt

from sim.scenario.land.fields import Area, Piece
from sim.scenario.land.noise import FloatImage, band_tile, generator, smooth_noise, smoothstep
from sim.scenario.land.palette import Palette
from sim.scenario.optics.look import LOWEST_SUN_DEG, direct_share
from sim.scenario.path import rounded
from sim.scenario.tables.land import Parcel, Plot
from sim.scenario.world import World

ByteImage = npt.NDArray[np.uint8]
FloatArray = npt.NDArray[np.float64]

MACRO_M = 2.0
"""Land cover is mixed at this spacing and then drawn out; edges get their raggedness from fine grain."""
_CROWN_M = (0.7, 1.0, 1.3, 1.7, 2.2, 2.7, 3.2, 3.8, 4.6)


class Canvas:
    """The full-resolution picture while it is being painted."""

    def __init__(
        self,
        world: World,
        palette: Palette,
        colour: ByteImage,
        shore: ByteImage,
        west: float,
        south: float,
        texel_m: float,
    ) -> None:
        self.world, self.palette, self.colour, self.shore = world, palette, colour, shore
        self.west, self.south, self.texel_m = west, south, texel_m

    def pixel(self, x_m: npt.ArrayLike, y_m: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Texel coordinates (column, row), shape (N, 2), of grid points."""
        columns = (np.asarray(x_m, np.float64) - self.west) / self.texel_m
        return np.stack([columns, (np.asarray(y_m, np.float64) - self.south) / self.texel_m], axis=-1)

    def grain(self, rng: np.random.Generator) -> None:
        """Fine unevenness of land, in two bands: tufts of metres and grains of a texel or two."""
        if not (self.shore > 128).any():
            return
        size = 1024
        bands = ((0.035, 2.0, 4.0), (0.04, 3.0, 9.0), (0.05, 8.0, 30.0), (0.05, 25.0, 120.0))
        strength = np.float32(0.25 if self.palette.is_thermal else 1.0)
        tile = sum(
            (strength * share * band_tile(rng, size, low, high) for share, low, high in bands),
            np.float32(0.0),
        )
        columns = self.colour.shape[1]
        strip = np.tile(tile, (1, columns // size + 1))[:, :columns]
        for top in range(0, self.colour.shape[0], size):
            rows = slice(top, min(top + size, self.colour.shape[0]))
            is_land = self.shore[rows] > 128
            if not is_land.any():
                continue
            factor = 1.0 + strip[: rows.stop - rows.start] * is_land
            factor = np.clip(128.0 * factor, 0, 255).astype(np.uint8)
            self.colour[rows] = cv2.multiply(self.colour[rows], cv2.merge([factor] * 3), scale=1.0 / 128.0)

    def roads(self) -> None:
        """Earth tracks with two worn ruts, paved roads with a broken middle line, quays of concrete."""
        land, palette = self.world.scenario.land, self.palette
        for quay in land.quays:
            points = np.array(quay, np.float64)
            cv2.fillPoly(self.colour, [self._sub(points)], palette.concrete, cv2.LINE_AA, 4)
            cv2.polylines(
                self.colour, [self._sub(points)], True, palette.stone, self._width(1.2), cv2.LINE_AA, 4
            )
        tracks = ((5.0, palette.road_edge), (3.6, palette.road), (0.8, palette.road_rut))
        paved = ((9.0, palette.asphalt_edge), (6.6, palette.asphalt))
        for lines, layers in ((land.roads, tracks), (land.paved, paved)):
            for line in lines:
                pixels = self._sub(rounded(np.array(line, np.float64)))
                for width_m, tone in layers:
                    cv2.polylines(self.colour, [pixels], False, tone, self._width(width_m), cv2.LINE_AA, 4)
        if self.texel_m <= 0.5:
            for line in land.paved:
                self._dashes(rounded(np.array(line, np.float64)))

    def plot(self, plot: Plot) -> None:
        """Cleared soil inside a slightly ragged outline, with rows of plants."""
        area = self._area(plot.outline, 3.0)
        if area is None:
            return
        rng = generator(self.world.scenario.land_seed, "plot", plot.id)
        piece = Piece(self.palette, self.texel_m, area.inside(rng), rng)
        painted = piece.rows(plot.row_azimuth_deg, plot.row_spacing_m, plot.growth)
        area.blend(painted, piece.inside)

    def parcel(self, parcel: Parcel) -> None:
        """A lawful field, paddock, orchard, pond or burnt piece."""
        area = self._area(parcel.outline, 3.0)
        if area is None:
            return
        rng = generator(self.world.scenario.land_seed, "parcel", parcel.id)
        piece = Piece(self.palette, self.texel_m, area.inside(rng), rng)
        area.blend(piece.used(parcel.use, parcel.row_azimuth_deg, parcel.growth), piece.inside)

    def _area(self, outline: tuple[tuple[float, float], ...], margin_m: float) -> "Area | None":
        """The part of the picture round an outline; `None` where it does not lie whole in the picture."""
        points = np.array(outline, np.float64)
        low = self.pixel(points[:, 0].min() - margin_m, points[:, 1].min() - margin_m)
        high = self.pixel(points[:, 0].max() + margin_m, points[:, 1].max() + margin_m)
        lower, upper = np.floor(low).astype(int), np.ceil(high).astype(int)
        height, width = self.colour.shape[:2]
        if lower.min() < 0 or upper[0] >= width or upper[1] >= height:
            return None
        colour = self.colour[lower[1] : upper[1], lower[0] : upper[0]]
        return Area(
            colour, np.round(self.pixel(points[:, 0], points[:, 1]) - lower).astype(np.int32), self.texel_m
        )

    def _sub(self, points: FloatArray) -> npt.NDArray[np.int32]:
        """Texel coordinates of grid points in sixteenths, as OpenCV draws them."""
        return np.asarray(np.round(self.pixel(points[:, 0], points[:, 1]) * 16).astype(np.int32))

    def _width(self, width_m: float) -> int:
        return max(round(width_m / self.texel_m), 1)

    def _dashes(self, line: FloatArray) -> None:
        """A broken middle line: three metres in nine."""
        steps = np.hypot(*np.diff(line, axis=0).T)
        reached = np.concatenate([[0.0], np.cumsum(steps)])
        for start in np.arange(0.0, reached[-1] - 3.0, 9.0):
            at = np.array([start, start + 3.0])
            ends = np.column_stack([np.interp(at, reached, line[:, k]) for k in (0, 1)])
            cv2.polylines(self.colour, [self._sub(ends)], False, self.palette.marking, 1, cv2.LINE_AA, 4)

    def trees(self, forest: FloatImage, scrub: FloatImage, inland: FloatImage) -> None:
        """Crowns with shadows: dense in forest, a few elsewhere, none on plots, roads or sand."""
        rng = generator(self.world.scenario.land_seed, "trees", f"{self.west:.0f}:{self.south:.0f}")
        height, width = self.colour.shape[:2]
        spacing_m = 4.6 if self.texel_m <= 0.36 else 6.4 if self.texel_m <= 0.55 else 9.0
        count = int(width * height * self.texel_m**2 / spacing_m**2)
        x, y = rng.uniform(0.0, width - 1.0, count), rng.uniform(0.0, height - 1.0, count)
        chance, size = rng.uniform(0.0, 1.0, count), rng.uniform(0.0, 1.0, count)
        column = np.minimum((x * self.texel_m / MACRO_M).astype(int), forest.shape[1] - 1)
        row = np.minimum((y * self.texel_m / MACRO_M).astype(int), forest.shape[0] - 1)
        is_forest = chance < 0.9 * forest[row, column] + 0.004
        is_bush = ~is_forest & (chance < 0.3 * scrub[row, column] + 0.02)
        clear_m = 12.0 if self.world.scenario.sea.is_sheltered else 36.0
        stands = (is_forest | is_bush) & (inland[row, column] > clear_m)
        stands &= ~self._kept_clear()[row, column]
        crowns = _crowns(rng, self.texel_m, self.palette)
        order = np.flatnonzero(stands)
        radius_m = np.where(is_bush, 0.6 + 1.0 * size, 1.7 + 2.9 * size**1.5)
        if not self.palette.is_thermal:
            self._shadows(x[order], y[order], radius_m[order])
        for i in order:
            sprites = crowns[
                int(np.searchsorted(_CROWN_M, radius_m[i])) if radius_m[i] < _CROWN_M[-1] else -1
            ]
            self._stamp(sprites[i % len(sprites)], int(x[i]), int(y[i]))

    def sea_weight(self) -> ByteImage:
        """0 on land, 255 on water, with a soft water line."""
        weight = smoothstep(131.0, 124.0, np.arange(256, dtype=np.float32)) * 255.0
        return np.asarray(cv2.LUT(self.shore, np.round(weight).astype(np.uint8)), np.uint8)

    def _kept_clear(self) -> npt.NDArray[np.bool_]:
        """Where no tree may stand, at macro spacing: plots, structures and roads with a margin."""
        height, width = self.colour.shape[:2]
        shape = (int(height * self.texel_m / MACRO_M) + 2, int(width * self.texel_m / MACRO_M) + 2)
        mask = np.zeros(shape, np.uint8)
        scenario = self.world.scenario
        outlines = [plot.outline for plot in scenario.plots]
        outlines += [parcel.outline for parcel in scenario.parcels] + list(scenario.land.quays)
        for outline in outlines:
            points = np.round((np.array(outline) - (self.west, self.south)) / MACRO_M).astype(np.int32)
            cv2.fillPoly(mask, [points], 1)
            cv2.polylines(mask, [points], True, 1, 5)
        for line in (*scenario.land.roads, *scenario.land.paved):
            points = np.round((rounded(np.array(line)) - (self.west, self.south)) / MACRO_M).astype(np.int32)
            cv2.polylines(mask, [points], False, 1, 5)
        solids = [(one.at, one.length_m) for one in scenario.structures]
        solids += [(one.at, one.length_m) for one in scenario.decoys]
        for at, length_m in solids:
            centre = np.round((np.array(at) - (self.west, self.south)) / MACRO_M).astype(int)
            radius = max(6, round(0.5 * length_m / MACRO_M) + 2)
            cv2.circle(mask, (int(centre[0]), int(centre[1])), radius, 1, -1)
        return mask.astype(np.bool_)

    def _shadows(self, x: FloatArray, y: FloatArray, radius_m: FloatArray) -> None:
        light = self.world.scenario.light
        reach = 1.3 / math.tan(math.radians(max(light.sun_elevation_deg, 2.0 * LOWEST_SUN_DEG)))
        away = math.radians(light.sun_azimuth_deg + 180.0)
        depth = round(30.0 + 66.0 * direct_share(light))
        mask = np.zeros(self.colour.shape[:2], np.uint8)
        for column, row, radius in zip(x, y, radius_m / self.texel_m, strict=True):
            centre = (
                int(column + reach * radius * math.sin(away)),
                int(row + reach * radius * math.cos(away)),
            )
            axes = (max(int(radius * (1.0 + 0.35 * reach)), 1), max(int(radius * 0.95), 1))
            cv2.ellipse(mask, centre, axes, 90.0 - light.sun_azimuth_deg, 0, 360, depth, -1)
        mask = np.asarray(cv2.blur(mask, (3, 3)))
        self.colour[:] = cv2.multiply(self.colour, cv2.merge([255 - mask] * 3), scale=1.0 / 255.0)

    def _stamp(self, sprite: FloatImage, column: int, row: int) -> None:
        half = sprite.shape[0] // 2
        height, width = self.colour.shape[:2]
        if not (half <= column < width - half - 1 and half <= row < height - half - 1):
            return
        area = self.colour[row - half : row + half + 1, column - half : column + half + 1]
        before = area.astype(np.float32)
        area[:] = (before + (sprite[..., :3] - before) * sprite[..., 3:]).astype(np.uint8)


def _crowns(rng: np.random.Generator, texel_m: float, palette: Palette) -> list[list[FloatImage]]:
    """Pictures of tree crowns, by size: float BGR 0..255 and cover 0..1, square with odd sides."""
    banks: list[list[FloatImage]] = []
    for radius_m in _CROWN_M:
        radius = radius_m / texel_m
        half = math.ceil(radius * 1.2)
        offset = np.arange(-half, half + 1, dtype=np.float32)
        column, row = np.meshgrid(offset, offset)
        bank = []
        for _ in range(8):
            noise = smooth_noise(rng, 2 * half + 1, 2 * half + 1, max(radius * 0.5, 1.0), 2)
            distance = np.hypot(column, row) / radius + 0.12 * noise
            cover = smoothstep(1.05, 0.8, distance)
            lit = 0.8 + 0.22 * (-0.6 * column + 0.55 * row) / radius + 0.13 * noise
            tone = np.array(palette.crown) * rng.uniform(0.8, 1.25) + rng.uniform(-8, 10, 3)
            if palette.is_thermal:
                lit = np.asarray(1.0 + 0.04 * noise, np.float32)
                tone = np.array(palette.crown) * rng.uniform(0.96, 1.04)
            picture = np.clip(tone * lit[..., None], 0, 255)
            bank.append(np.asarray(np.dstack([picture, cover]), np.float32))
        banks.append(bank)
    return banks
