"""Paints the ground from above, once before a flight: cover, beach, shallows, trees, roads and plots."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from sim.scenario.land.noise import FloatImage, band_tile, generator, smooth_noise, smoothstep
from sim.scenario.tables.land import Plot
from sim.scenario.world import CELL_M, World

ByteImage = npt.NDArray[np.uint8]
FloatArray = npt.NDArray[np.float64]

MACRO_M = 2.0
_CROWN_M = (0.7, 1.0, 1.3, 1.7, 2.2, 2.7, 3.2, 3.8, 4.6)
"""Land cover is mixed at this spacing and then drawn out; edges get their raggedness from fine grain."""

# Blue, green, red as a camera would show them at noon.
_DRY_GRASS = (84, 142, 150)
_GREEN_GRASS = (66, 124, 112)
_SCRUB = (52, 94, 82)
_FOREST = (34, 62, 46)
_SOIL = (94, 126, 158)
_ROCK = (118, 126, 132)
_SAND = (164, 194, 212)
_WET_SAND = (112, 142, 160)
_DEEP = (66, 44, 17)
_SHALLOW = (128, 124, 62)
_SAND_UNDER_WATER = (150, 168, 142)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Ground:
    """The painted ground, row 0 in the south.

    `levels[k]` is blue, green, red, sea weight, uint8 (rows, columns, 4). Texel (row, column) of level 0 is
    centred at `south_m + row * texel_m`, `west_m + column * texel_m`; each level halves the one before.
    `shore` holds the distance to the coast line, 128 + 2 per metre (more is inland), `shore_m` apart.
    """

    west_m: float
    south_m: float
    texel_m: float
    levels: tuple[ByteImage, ...]
    shore: ByteImage
    shore_m: float


def paint_ground(world: World, look_area: tuple[float, float, float, float], texel_m: float) -> Ground:
    """Paint `look_area` (west, south, east, north in grid metres) with texels of `texel_m`."""
    west, south, east, north = look_area
    columns, rows = int((east - west) / texel_m) + 1, int((north - south) / texel_m) + 1
    macro = _Macro(world, west, south, int((east - west) / MACRO_M) + 2, int((north - south) / MACRO_M) + 2)
    matrix = np.array([[texel_m / MACRO_M, 0.0, 0.0], [0.0, texel_m / MACRO_M, 0.0]])

    def drawn_out(image: ByteImage) -> ByteImage:
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        warped = cv2.warpAffine(image, matrix, (columns, rows), flags=flags, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(warped, np.uint8)

    rng = generator(world.scenario.seed, "grain")
    colour = drawn_out(macro.colour)
    shore = drawn_out(macro.shore)
    canvas = _Canvas(world, colour, shore, west, south, texel_m)
    canvas.grain(rng)
    canvas.roads()
    for plot in world.scenario.plots:
        canvas.plot(plot)
    canvas.trees(macro)
    levels = [np.dstack([canvas.colour, canvas.sea_weight()])]
    while min(levels[-1].shape[:2]) > 64 and len(levels) < 6:
        levels.append(np.asarray(cv2.resize(levels[-1], None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)))
    return Ground(
        west_m=west,
        south_m=south,
        texel_m=texel_m,
        levels=tuple(levels),
        shore=macro.shore,
        shore_m=MACRO_M,
    )


class _Macro:
    """Cover at 2 m: colour (uint8 BGR), distance to the shore, and how much forest stands where."""

    def __init__(self, world: World, west: float, south: float, columns: int, rows: int) -> None:
        x = np.float32(west) + np.float32(MACRO_M) * np.arange(columns, dtype=np.float32)
        y = np.float32(south) + np.float32(MACRO_M) * np.arange(rows, dtype=np.float32)
        grid_x, grid_y = np.meshgrid(x, y)
        rng = generator(world.scenario.seed, "cover")
        shape = (world.rows, world.columns)
        broad, patch, fine = (smooth_noise(rng, *shape, size / CELL_M, 4) for size in (360.0, 90.0, 28.0))

        def at(field: FloatImage) -> FloatImage:
            return world.sample(field, grid_x, grid_y)

        inland, height = at(world.inland_m), at(world.elevation_msl_m)
        broad, patch, fine = at(broad), at(patch), at(fine)
        light = _sunlight(height, world)
        land = _mixed(_DRY_GRASS, _GREEN_GRASS, smoothstep(-0.9, 0.9, broad + 0.5 * fine))
        land = _over(land, _SOIL, 0.75 * smoothstep(0.9, 1.9, patch - 0.3 * broad + 0.4 * fine))
        self.scrub = smoothstep(0.0, 1.1, 0.6 * patch + 0.6 * broad + 0.45 * fine)
        land = _over(land, _SCRUB, 0.62 * self.scrub)
        cover = world.scenario.land.forest_cover
        threshold = 1.6 - 2.8 * cover
        wooded = 0.75 * broad + 0.75 * patch + 0.2 * fine + 2.7 * smoothstep(16.0, 42.0, height)
        self.forest = smoothstep(threshold, threshold + 0.5, wooded)
        self.forest *= smoothstep(38.0, 80.0, inland)
        land = _over(land, _FOREST, 0.92 * self.forest)
        land = _over(land, _ROCK, smoothstep(1.1, 1.8, broad) * smoothstep(34.0, 8.0, inland + 6.0 * fine))
        sand = smoothstep(31.0, 20.0, inland + 5.0 * patch + 2.5 * fine)
        land = _over(land, _SAND, sand)
        land = _over(land, _WET_SAND, 0.8 * smoothstep(5.5, 1.5, inland + 1.2 * fine))
        land *= (0.93 + 0.06 * fine)[..., None] * light[..., None]
        water = _mixed(
            _DEEP, _SHALLOW, np.exp(np.minimum(inland + 9.0 * patch, 0.0) / 42.0).astype(np.float32)
        )
        water = _over(
            water, _SAND_UNDER_WATER, np.exp(np.minimum(inland, 0.0) / 9.0).astype(np.float32) * 0.8
        )
        water *= (1.0 + 0.05 * broad)[..., None]
        mixed = np.where((inland > 0.0)[..., None], land, water)
        self.colour: ByteImage = np.clip(mixed, 0, 255).astype(np.uint8)
        self.shore: ByteImage = np.clip(128.0 + 2.0 * inland, 0, 255).astype(np.uint8)
        self.inland = inland


class _Canvas:
    """The full-resolution picture while it is being painted."""

    def __init__(
        self, world: World, colour: ByteImage, shore: ByteImage, west: float, south: float, texel_m: float
    ) -> None:
        self.world, self.colour, self.shore = world, colour, shore
        self.west, self.south, self.texel_m = west, south, texel_m

    def pixel(self, x_m: npt.ArrayLike, y_m: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Texel coordinates (column, row), shape (N, 2), of grid points."""
        columns = (np.asarray(x_m, np.float64) - self.west) / self.texel_m
        return np.stack([columns, (np.asarray(y_m, np.float64) - self.south) / self.texel_m], axis=-1)

    def grain(self, rng: np.random.Generator) -> None:
        """Fine unevenness of land, in two bands: tufts of metres and grains of a texel or two."""
        size = 1024
        bands = ((0.035, 2.0, 4.0), (0.04, 3.0, 9.0), (0.05, 8.0, 30.0), (0.05, 25.0, 120.0))
        tile = sum((share * band_tile(rng, size, low, high) for share, low, high in bands), np.float32(0.0))
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
        """Earth roads and tracks, 4 m wide, with two worn ruts."""
        scale = 1 << 4
        for line in self.world.scenario.land.roads:
            points = _rounded(np.array(line, np.float64))
            pixels = np.round(self.pixel(points[:, 0], points[:, 1]) * scale).astype(np.int32)
            for width_m, tone in ((5.0, (104, 140, 160)), (3.6, (138, 172, 192)), (0.8, (118, 152, 172))):
                width = max(round(width_m / self.texel_m), 1)
                cv2.polylines(self.colour, [pixels], False, tone, width, cv2.LINE_AA, 4)

    def plot(self, plot: Plot) -> None:
        """Cleared soil inside a slightly ragged outline, with rows of plants."""
        outline = np.array(plot.outline, np.float64)
        margin = 3.0
        lower = np.floor(self.pixel(outline[:, 0].min() - margin, outline[:, 1].min() - margin)).astype(int)
        upper = np.ceil(self.pixel(outline[:, 0].max() + margin, outline[:, 1].max() + margin)).astype(int)
        height, width = self.colour.shape[:2]
        if lower.min() < 0 or upper[0] >= width or upper[1] >= height:
            return
        area = (slice(lower[1], upper[1]), slice(lower[0], upper[0]))
        shape = (upper[1] - lower[1], upper[0] - lower[0])
        rng = generator(self.world.scenario.seed, "plot", plot.id)
        mask = np.zeros(shape, np.uint8)
        cv2.fillPoly(mask, [np.round(self.pixel(outline[:, 0], outline[:, 1]) - lower).astype(np.int32)], 255)
        soft = cv2.GaussianBlur(mask, (0, 0), 0.7 / self.texel_m).astype(np.float32) / 255.0
        rough = smooth_noise(rng, *shape, 2.5 / self.texel_m, 3)
        inside = smoothstep(0.35, 0.65, soft + 0.12 * rough * (soft * (1 - soft) * 4))
        column, row = np.meshgrid(
            np.arange(shape[1], dtype=np.float32), np.arange(shape[0], dtype=np.float32)
        )
        azimuth = math.radians(plot.row_azimuth_deg)
        across = (column * math.cos(azimuth) - row * math.sin(azimuth)) * self.texel_m
        across += 0.5 * smooth_noise(rng, *shape, 14.0 / self.texel_m, 1)
        ridge = 0.5 + 0.5 * np.cos(2.0 * np.pi * across / plot.row_spacing_m)
        bushes = 0.6 * smooth_noise(rng, *shape, 1.1 / self.texel_m, 2)
        bare = 0.8 - 0.62 * plot.growth
        plants = smoothstep(bare, bare + 0.28, (ridge + 0.3 * bushes).astype(np.float32))
        gaps = smoothstep(1.9, 1.2, smooth_noise(rng, *shape, 6.0 / self.texel_m, 2))
        soil = _mixed((148, 186, 214), (126, 166, 198), smoothstep(-1.0, 1.0, rough))
        soil *= (0.94 + 0.06 * ridge)[..., None]
        painted = _over(soil, (56, 128, 84), 0.9 * plants * gaps)
        before = self.colour[area].astype(np.float32)
        self.colour[area] = np.clip(before + (painted - before) * inside[..., None], 0, 255).astype(np.uint8)

    def trees(self, macro: _Macro) -> None:
        """Crowns with shadows: dense in forest, a few elsewhere, none on plots, roads or sand."""
        rng = generator(self.world.scenario.seed, "trees", f"{self.west:.0f}:{self.south:.0f}")
        height, width = self.colour.shape[:2]
        spacing_m = 4.6 if self.texel_m <= 0.36 else 9.0
        count = int(width * height * self.texel_m**2 / spacing_m**2)
        x, y = rng.uniform(0.0, width - 1.0, count), rng.uniform(0.0, height - 1.0, count)
        chance, size = rng.uniform(0.0, 1.0, count), rng.uniform(0.0, 1.0, count)
        column = np.minimum((x * self.texel_m / MACRO_M).astype(int), macro.forest.shape[1] - 1)
        row = np.minimum((y * self.texel_m / MACRO_M).astype(int), macro.forest.shape[0] - 1)
        is_forest = chance < 0.9 * macro.forest[row, column] + 0.004
        is_bush = ~is_forest & (chance < 0.3 * macro.scrub[row, column] + 0.02)
        stands = (is_forest | is_bush) & (macro.inland[row, column] > 36.0)
        stands &= ~self._kept_clear()[row, column]
        crowns = _crowns(rng, self.texel_m)
        order = np.flatnonzero(stands)
        radius_m = np.where(is_bush, 0.6 + 1.0 * size, 1.7 + 2.9 * size**1.5)
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
        for outline in (plot.outline for plot in scenario.plots):
            points = np.round((np.array(outline) - (self.west, self.south)) / MACRO_M).astype(np.int32)
            cv2.fillPoly(mask, [points], 1)
            cv2.polylines(mask, [points], True, 1, 5)
        for line in scenario.land.roads:
            points = np.round((_rounded(np.array(line)) - (self.west, self.south)) / MACRO_M).astype(np.int32)
            cv2.polylines(mask, [points], False, 1, 5)
        for structure in scenario.structures:
            centre = np.round((np.array(structure.at) - (self.west, self.south)) / MACRO_M).astype(int)
            cv2.circle(mask, (int(centre[0]), int(centre[1])), 6, 1, -1)
        return mask.astype(np.bool_)

    def _shadows(self, x: FloatArray, y: FloatArray, radius_m: FloatArray) -> None:
        light = self.world.scenario.light
        reach = 1.3 / math.tan(math.radians(light.sun_elevation_deg))
        away = math.radians(light.sun_azimuth_deg + 180.0)
        mask = np.zeros(self.colour.shape[:2], np.uint8)
        for column, row, radius in zip(x, y, radius_m / self.texel_m, strict=True):
            centre = (
                int(column + reach * radius * math.sin(away)),
                int(row + reach * radius * math.cos(away)),
            )
            axes = (max(int(radius * (1.0 + 0.35 * reach)), 1), max(int(radius * 0.95), 1))
            cv2.ellipse(mask, centre, axes, 90.0 - light.sun_azimuth_deg, 0, 360, 96, -1)
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


def _crowns(rng: np.random.Generator, texel_m: float) -> list[list[FloatImage]]:
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
            tone = np.array((46, 92, 66), np.float32) * rng.uniform(0.8, 1.25) + rng.uniform(-8, 10, 3)
            picture = np.clip(tone * lit[..., None], 0, 255)
            bank.append(np.asarray(np.dstack([picture, cover]), np.float32))
        banks.append(bank)
    return banks


def _rounded(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """A polyline with its corners cut three times (Chaikin, 1974)."""
    for _ in range(3):
        first, second = points[:-1], points[1:]
        inner = np.stack([0.75 * first + 0.25 * second, 0.25 * first + 0.75 * second], axis=1).reshape(-1, 2)
        points = np.vstack([points[:1], inner, points[-1:]])
    return points


def _sunlight(height_m: FloatImage, world: World) -> FloatImage:
    """Lambert's cosine of the relief against level ground, for the scenario's sun."""
    light = world.scenario.light
    azimuth, elevation = math.radians(light.sun_azimuth_deg), math.radians(light.sun_elevation_deg)
    north, east = np.gradient(height_m, MACRO_M)
    dot = math.sin(elevation) - math.cos(elevation) * (math.sin(azimuth) * east + math.cos(azimuth) * north)
    lit = dot / np.sqrt(1.0 + north**2 + east**2) / math.sin(elevation)
    return np.asarray(np.clip(0.25 + 0.75 * lit, 0.3, 1.35), np.float32)


def _mixed(first: tuple[int, int, int], second: tuple[int, int, int], share: FloatImage) -> FloatImage:
    low, high = np.array(first, np.float32), np.array(second, np.float32)
    return np.asarray(low + (high - low) * share[..., None], np.float32)


def _over(image: FloatImage, colour: tuple[int, int, int], cover: FloatImage) -> FloatImage:
    return np.asarray(image + (np.array(colour, np.float32) - image) * cover[..., None], np.float32)
