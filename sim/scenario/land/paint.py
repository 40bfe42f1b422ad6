"""Paints the ground from above, once before a flight: cover, beach, shallows, trees, roads and plots."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from sim.scenario.land.blend import mixed, over
from sim.scenario.land.canvas import MACRO_M, Canvas
from sim.scenario.land.noise import FloatImage, generator, smooth_noise, smoothstep
from sim.scenario.land.palette import Palette, eo_palette
from sim.scenario.optics.look import direct_share, sun_direction
from sim.scenario.world import CELL_M, World

ByteImage = npt.NDArray[np.uint8]

_OPEN_SEA_M = -250.0
"""With the shore farther away than this everywhere there is nothing but water to paint."""


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


def paint_ground(
    world: World,
    look_area: tuple[float, float, float, float],
    texel_m: float,
    palette: Palette | None = None,
) -> Ground:
    """Paint `look_area` (west, south, east, north in grid metres) with texels of `texel_m`.

    `palette` says in what colours; the scenario's own of a day when not given.
    """
    scenario = world.scenario
    palette = palette or eo_palette(scenario.sea, scenario.land.greenness)
    if float(world.inland_m.max()) < _OPEN_SEA_M:
        return _open_sea(world, palette)
    west, south, east, north = look_area
    columns, rows = int((east - west) / texel_m) + 1, int((north - south) / texel_m) + 1
    macro = _Macro(
        world, palette, west, south, int((east - west) / MACRO_M) + 2, int((north - south) / MACRO_M) + 2
    )
    matrix = np.array([[texel_m / MACRO_M, 0.0, 0.0], [0.0, texel_m / MACRO_M, 0.0]])

    def drawn_out(image: ByteImage) -> ByteImage:
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        warped = cv2.warpAffine(image, matrix, (columns, rows), flags=flags, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(warped, np.uint8)

    rng = generator(world.scenario.land_seed, "grain")
    colour = drawn_out(macro.colour)
    shore = drawn_out(macro.shore)
    canvas = Canvas(world, palette, colour, shore, west, south, texel_m)
    canvas.grain(rng)
    for parcel in world.scenario.parcels:
        canvas.parcel(parcel)
    canvas.roads()
    for plot in world.scenario.plots:
        canvas.plot(plot)
    if float(macro.inland.max()) > 0.0:
        canvas.trees(macro.forest, macro.scrub, macro.inland)
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


def _open_sea(world: World, palette: Palette) -> Ground:
    """Deep water all over, at the spacing of the relief."""
    rng = generator(world.scenario.land_seed, "cover")
    broad = smooth_noise(rng, world.rows, world.columns, 360.0 / CELL_M, 4)
    colour = (
        np.array(palette.deep, np.float32)
        * (1.0 + (0.001 if palette.is_thermal else 0.05) * broad)[..., None]
    )
    dither = rng.uniform(0.0, 1.0, broad.shape) if palette.is_thermal else np.zeros_like(broad)
    painted = np.clip(colour + dither[..., None], 0, 255).astype(np.uint8)
    level = np.dstack([painted, np.full(broad.shape, 255, np.uint8)])
    half = cv2.resize(level, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    return Ground(
        west_m=world.west_m,
        south_m=world.south_m,
        texel_m=CELL_M,
        levels=(level, np.asarray(half, np.uint8)),
        shore=np.zeros((2, 2), np.uint8),
        shore_m=MACRO_M,
    )


class _Macro:
    """Cover at 2 m: colour (uint8 BGR), distance to the shore, and how much forest stands where."""

    def __init__(
        self, world: World, palette: Palette, west: float, south: float, columns: int, rows: int
    ) -> None:
        x = np.float32(west) + np.float32(MACRO_M) * np.arange(columns, dtype=np.float32)
        y = np.float32(south) + np.float32(MACRO_M) * np.arange(rows, dtype=np.float32)
        grid_x, grid_y = np.meshgrid(x, y)
        rng = generator(world.scenario.land_seed, "cover")
        shape = (world.rows, world.columns)
        broad, patch, fine = (smooth_noise(rng, *shape, size / CELL_M, 4) for size in (360.0, 90.0, 28.0))

        def at(field: FloatImage) -> FloatImage:
            return world.sample(field, grid_x, grid_y)

        inland, height = at(world.inland_m), at(world.elevation_msl_m)
        broad, patch, fine = at(broad), at(patch), at(fine)
        light = _sunlight(height, world, palette)
        land = mixed(palette.dry_grass, palette.green_grass, smoothstep(-0.9, 0.9, broad + 0.5 * fine))
        land = over(land, palette.soil, 0.75 * smoothstep(0.9, 1.9, patch - 0.3 * broad + 0.4 * fine))
        self.scrub = smoothstep(0.0, 1.1, 0.6 * patch + 0.6 * broad + 0.45 * fine)
        land = over(land, palette.scrub, 0.62 * self.scrub)
        cover = world.scenario.land.forest_cover
        threshold = 1.6 - 2.8 * cover
        wooded = 0.75 * broad + 0.75 * patch + 0.2 * fine + 2.7 * smoothstep(16.0, 42.0, height)
        self.forest = smoothstep(threshold, threshold + 0.5, wooded)
        self.forest *= (
            smoothstep(12.0, 40.0, inland)
            if world.scenario.sea.is_sheltered
            else smoothstep(38.0, 80.0, inland)
        )
        land = over(land, palette.forest, 0.92 * self.forest)
        beach = 0.25 if world.scenario.sea.is_sheltered else 1.0
        land = over(
            land, palette.rock, smoothstep(1.1, 1.8, broad) * smoothstep(34.0, 8.0, inland + 6.0 * fine)
        )
        sand = smoothstep(31.0, 20.0, inland + 5.0 * patch + 2.5 * fine) * beach
        land = over(land, palette.sand, sand)
        land = over(land, palette.wet_sand, 0.8 * smoothstep(5.5, 1.5, inland + 1.2 * fine))
        built = at(world.built_m)
        land = over(land, palette.stone, smoothstep(-2.0, 1.0, built))
        grain = 0.93 + (0.012 if palette.is_thermal else 0.06) * fine
        land *= grain[..., None] * light[..., None]
        water = mixed(
            palette.deep,
            palette.shallow,
            np.exp(np.minimum(inland + 9.0 * patch, 0.0) / 42.0).astype(np.float32),
        )
        water = over(
            water, palette.sand_under_water, np.exp(np.minimum(inland, 0.0) / 9.0).astype(np.float32) * 0.8
        )
        water *= (1.0 + 0.05 * broad)[..., None]
        painted = np.where((inland > 0.0)[..., None], land, water)
        if palette.is_thermal:  # a level is 0.08 K: without this, calm water would show its steps
            painted += generator(world.scenario.land_seed, "dither").uniform(0.0, 1.0, painted.shape[:2])[
                ..., None
            ]
        self.colour: ByteImage = np.clip(painted, 0, 255).astype(np.uint8)
        self.shore: ByteImage = np.clip(128.0 + 2.0 * inland, 0, 255).astype(np.uint8)
        self.inland = inland


def _sunlight(height_m: FloatImage, world: World, palette: Palette) -> FloatImage:
    """Lambert's cosine of the relief against level ground, for the scenario's sun."""
    light = world.scenario.light
    if palette.is_thermal:
        return np.ones_like(height_m)
    to_east, to_north, to_sky = sun_direction(light)
    north, east = np.gradient(height_m, MACRO_M)
    lit = (to_sky - to_east * east - to_north * north) / np.sqrt(1.0 + north**2 + east**2) / to_sky
    shaded = np.clip(0.25 + 0.75 * lit, 0.3, 1.35)
    return np.asarray(1.0 + (shaded - 1.0) * direct_share(light), np.float32)
