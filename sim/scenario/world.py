"""The place of a scenario: its relief and its coast, on a grid that is regular in latitude and longitude.

Grid axes: x metres east and y metres north of the origin, defined by a fixed linear map to longitude and
latitude (radii of curvature at the origin), so that a regular grid here is a regular grid there. Heights are
above mean sea level (EGM96) or above the ellipsoid, and say which.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from sim.scenario.description import Scenario
from sim.scenario.fleet.behaviour import Fleet
from sim.scenario.land.noise import FloatImage, generator, smooth_noise, smoothstep
from sim.scenario.path import distance_to_line, rounded
from sim.scenario.tables.land import Hill, Island
from skywarden.errors import InputError
from skywarden.geometry.geodesy import radii_of_curvature_m
from skywarden.geometry.geoid import undulation_m
from skywarden.geometry.terrain import Terrain, load_terrain

FloatArray = npt.NDArray[np.float64]

CELL_M = 5.0
"""Spacing of the relief; the terrain file that the edge reads has the same posts."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Grid:
    """The linear map between grid metres and degrees."""

    latitude_deg: float
    longitude_deg: float
    north_m_per_deg: float
    east_m_per_deg: float

    @classmethod
    def at(cls, latitude_deg: float, longitude_deg: float) -> "Grid":
        """The grid whose origin lies there."""
        meridional_m, transverse_m = radii_of_curvature_m(latitude_deg)
        return cls(
            latitude_deg=latitude_deg,
            longitude_deg=longitude_deg,
            north_m_per_deg=math.radians(meridional_m),
            east_m_per_deg=math.radians(transverse_m * math.cos(math.radians(latitude_deg))),
        )

    def geodetic(self, x_m: npt.ArrayLike, y_m: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Latitude and longitude (degrees) of grid points."""
        latitude = self.latitude_deg + np.asarray(y_m, np.float64) / self.north_m_per_deg
        longitude = self.longitude_deg + np.asarray(x_m, np.float64) / self.east_m_per_deg
        return latitude, (longitude + 180.0) % 360.0 - 180.0

    def metres(
        self, latitude_deg: npt.ArrayLike, longitude_deg: npt.ArrayLike
    ) -> tuple[FloatArray, FloatArray]:
        """Grid metres (x, y) of geodetic points."""
        east_deg = (np.asarray(longitude_deg, np.float64) - self.longitude_deg + 180.0) % 360.0 - 180.0
        y = (np.asarray(latitude_deg, np.float64) - self.latitude_deg) * self.north_m_per_deg
        return east_deg * self.east_m_per_deg, y


class World:
    """Relief of one scenario; everything in it follows from the description and its seed.

    Arrays have row 0 in the south; post (row, column) lies at `south_m + row * CELL_M`,
    `west_m + column * CELL_M`.
    """

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        place = scenario.place
        self.grid = Grid.at(place.latitude_deg, place.longitude_deg)
        self.west_m, self.south_m = place.west_m, place.south_m
        self.columns = int((place.east_m - place.west_m) / CELL_M) + 1
        self.rows = int((place.north_m - place.south_m) / CELL_M) + 1
        x = self.west_m + CELL_M * np.arange(self.columns, dtype=np.float32)
        y = self.south_m + CELL_M * np.arange(self.rows, dtype=np.float32)
        self.x_m, self.y_m = np.meshgrid(x, y)
        self._dem_msl_m = self._dem()
        self.inland_m = self._inland()
        self.elevation_msl_m = self._elevation()

    @cached_property
    def surface_hae_m(self) -> FloatImage:
        """Height of land and sea surface above the ellipsoid at the posts, shape (rows, columns)."""
        latitude, longitude = self.grid.geodetic(self.x_m, self.y_m)
        undulation = undulation_m(latitude.ravel(), longitude.ravel()).reshape(self.x_m.shape)
        return np.asarray(np.maximum(self.elevation_msl_m, 0.0) + undulation, np.float32)

    def sample(self, field: FloatImage, x_m: npt.ArrayLike, y_m: npt.ArrayLike) -> FloatImage:
        """`field` between its posts, bilinear, at grid points of any shape; the edge continues outside."""
        x = np.asarray(x_m, np.float32)
        columns = ((x - np.float32(self.west_m)) / np.float32(CELL_M)).reshape(
            -1, x.shape[-1] if x.ndim else 1
        )
        rows = ((np.asarray(y_m, np.float32) - np.float32(self.south_m)) / np.float32(CELL_M)).reshape(
            columns.shape
        )
        sampled = cv2.remap(field, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(sampled, np.float32).reshape(x.shape)

    def surface_at(self, x_m: npt.ArrayLike, y_m: npt.ArrayLike) -> FloatArray:
        """Height of the surface above the ellipsoid at grid points, exact bilinear in double precision."""
        return _bilinear(self.surface_hae_m, self.west_m, self.south_m, x_m, y_m)

    @property
    def highest_hae_m(self) -> float:
        """The highest point of the relief."""
        return float(self.surface_hae_m.max())

    def terrain(self) -> Terrain:
        """The surface as the edge's terrain model: the same posts, heights above the ellipsoid."""
        north_m = self.south_m + CELL_M * (self.rows - 1)
        north_deg, west_deg = self.grid.geodetic(self.west_m, north_m)
        return Terrain(
            np.ascontiguousarray(self.surface_hae_m[::-1]),
            north_deg=float(north_deg),
            west_deg=float(west_deg),
            step_latitude_deg=CELL_M / self.grid.north_m_per_deg,
            step_longitude_deg=CELL_M / self.grid.east_m_per_deg,
            sigma_m=0.5,
            name=self.scenario.name,
        )

    def inland_at(self, x_m: float, y_m: float) -> float:
        """Roughly the distance to the shore at one grid point, positive on land."""
        column = min(max((x_m - self.west_m) / CELL_M, 0.0), self.columns - 1.001)
        row = min(max((y_m - self.south_m) / CELL_M, 0.0), self.rows - 1.001)
        i, j = int(row), int(column)
        u, v = column - j, row - i
        field = self.inland_m
        lower = float(field[i, j]) * (1.0 - u) + float(field[i, j + 1]) * u
        upper = float(field[i + 1, j]) * (1.0 - u) + float(field[i + 1, j + 1]) * u
        return lower * (1.0 - v) + upper * v

    @cached_property
    def fleet(self) -> Fleet:
        """What every vessel does."""
        return Fleet(self.scenario, self)

    def hides(
        self,
        x_m: npt.ArrayLike,
        y_m: npt.ArrayLike,
        height_hae_m: npt.ArrayLike,
        state_xyh: tuple[float, float, float],
    ) -> npt.NDArray[np.bool_]:
        """Whether the relief stands between points, shape () or (N,), and a camera (grid x, y, height above
        the ellipsoid)."""
        share = np.linspace(0.02, 0.97, 40)
        from_x, from_y, from_height = (np.asarray(v, np.float64)[..., None] for v in (x_m, y_m, height_hae_m))
        x = from_x + share * (state_xyh[0] - from_x)
        y = from_y + share * (state_xyh[1] - from_y)
        height = from_height + share * (state_xyh[2] - from_height)
        return np.asarray((self.surface_at(x, y) > height + 1.5).any(axis=-1))

    def _inland(self) -> FloatImage:
        """Roughly the distance to the shore, positive on land."""
        land = self.scenario.land
        rng = generator(self.scenario.land_seed, "coast")
        phases = rng.uniform(0.0, 2.0 * math.pi, 4)
        ragged = smooth_noise(rng, self.rows, self.columns, 90.0 / CELL_M, 3) * np.float32(4.0)
        if self._dem_msl_m is None:
            inland = self._coast(phases) + ragged
        else:
            inland = _distance_to_shore(self._dem_msl_m)
        for island in land.islands:
            inland = np.maximum(inland, self._island(island) + np.float32(2.0) * ragged)
        for river in land.rivers:
            line = rounded(np.array(river.line, np.float64))
            away = distance_to_line(line, self.x_m, self.y_m) - np.float32(river.width_m / 2.0)
            inland = np.minimum(inland, away + np.float32(0.7) * ragged)
        self.built_m = np.full(inland.shape, -1e4, np.float32)
        for wall in land.breakwaters:
            away = distance_to_line(np.array(wall.line, np.float64), self.x_m, self.y_m)
            np.maximum(self.built_m, np.float32(wall.width_m / 2.0) - away, out=self.built_m)
        for quay in land.quays:
            np.maximum(self.built_m, self._inside(quay), out=self.built_m)
        return np.asarray(np.maximum(inland, self.built_m), np.float32)

    def _coast(self, phases: FloatArray) -> FloatImage:
        """North of the coast line, metres."""
        land = self.scenario.land
        swing = np.zeros_like(self.x_m)
        for phase, wavelength, share in zip(
            phases, (2900.0, 1340.0, 610.0, 270.0), (0.9, 0.5, 0.2, 0.09), strict=True
        ):
            swing += np.float32(share) * np.sin(2.0 * np.pi * self.x_m / wavelength + phase).astype(
                np.float32
            )
        north = self.y_m - np.float32(land.coast_north_m) - np.float32(land.coast_swing_m) * swing
        return np.asarray(north, np.float32)

    def _island(self, island: Island) -> FloatImage:
        """Distance to the edge of an ellipse, positive inside (its gradient is 1 along the shorter axis)."""
        azimuth = math.radians(island.azimuth_deg)
        east, north = self.x_m - np.float32(island.at[0]), self.y_m - np.float32(island.at[1])
        along = east * np.float32(math.sin(azimuth)) + north * np.float32(math.cos(azimuth))
        across = east * np.float32(math.cos(azimuth)) - north * np.float32(math.sin(azimuth))
        radius = np.hypot(along / np.float32(island.length_m / 2), across / np.float32(island.width_m / 2))
        return np.asarray((1.0 - radius) * (min(island.length_m, island.width_m) / 2.0), np.float32)

    def _inside(self, outline: tuple[tuple[float, float], ...]) -> FloatImage:
        """Distance to the edge of a polygon, positive inside."""
        ring = np.array([*outline, outline[0]], np.float64)
        away = distance_to_line(ring, self.x_m, self.y_m)
        pixels = np.round((ring - (self.west_m, self.south_m)) / CELL_M).astype(np.int32)
        mask = np.zeros(self.x_m.shape, np.uint8)
        cv2.fillPoly(mask, [pixels], 1)
        return np.asarray(np.where(mask > 0, away, -away), np.float32)

    def _dem(self) -> FloatImage | None:
        """The user's heights above mean sea level at the posts; `None` without a file."""
        if not self.scenario.place.terrain:
            return None
        latitude, longitude = self.grid.geodetic(self.x_m, self.y_m)
        surface = load_terrain(Path(self.scenario.place.terrain))
        heights = surface.height_hae_m(latitude.ravel(), longitude.ravel())
        heights = heights - undulation_m(latitude.ravel(), longitude.ravel())
        if not np.isfinite(heights).all():
            raise InputError(
                f"{self.scenario.place.terrain}: does not cover the place of scenario {self.scenario.name}: "
                f"{int((~np.isfinite(heights)).sum())} of {heights.size} posts have no height"
            )
        return np.asarray(heights.reshape(self.x_m.shape), np.float32)

    def _elevation(self) -> FloatImage:
        """Metres above mean sea level; the sea floor is negative."""
        land = self.scenario.land
        rng = generator(self.scenario.land_seed, "relief")
        inland = self.inland_m
        floor = np.minimum(inland, 0.0) * 0.035
        if self._dem_msl_m is not None:
            total = np.maximum(self._dem_msl_m, 0.02)
        else:
            beach = np.clip(inland, 0.0, 28.0) * 0.06
            plain = smoothstep(20.0, 320.0, inland) * 9.0
            rough = smooth_noise(rng, self.rows, self.columns, 420.0 / CELL_M, 5, 0.42)
            total = beach + plain + smoothstep(25.0, 500.0, inland) * (5.0 + land.relief_m * rough)
            for hill in land.hills:
                total += self._hill(hill) * (1.0 + 0.09 * rough) * smoothstep(30.0, 420.0, inland)
        built = smoothstep(0.0, 4.0, self.built_m) * 2.6
        total = np.where(self.built_m > 0.0, np.maximum(total, built), total)
        return np.asarray(np.where(inland > 0.0, np.maximum(total, 0.02), floor), np.float32)

    def _hill(self, hill: Hill) -> FloatImage:
        azimuth = math.radians(hill.azimuth_deg)
        east, north = self.x_m - hill.at[0], self.y_m - hill.at[1]
        along = east * math.sin(azimuth) + north * math.cos(azimuth)
        across = east * math.cos(azimuth) - north * math.sin(azimuth)
        bell = np.exp(-0.5 * ((along / hill.length_m) ** 2 + (across / hill.width_m) ** 2))
        return np.asarray(hill.height_m * bell, np.float32)


def _distance_to_shore(height_msl_m: FloatImage) -> FloatImage:
    """Distance to where the land begins to rise above the sea, positive on land."""
    is_land = (height_msl_m > 0.3).astype(np.uint8)
    if is_land.all() or not is_land.any():
        return np.full(height_msl_m.shape, 5_000.0 if is_land.all() else -5_000.0, np.float32)
    on_land = cv2.distanceTransform(is_land, cv2.DIST_L2, 5)
    at_sea = cv2.distanceTransform(1 - is_land, cv2.DIST_L2, 5)
    return np.asarray((on_land - at_sea) * CELL_M, np.float32)


def _bilinear(
    field: FloatImage, west_m: float, south_m: float, x_m: npt.ArrayLike, y_m: npt.ArrayLike
) -> FloatArray:
    column = np.clip((np.asarray(x_m, np.float64) - west_m) / CELL_M, 0.0, field.shape[1] - 1.000001)
    row = np.clip((np.asarray(y_m, np.float64) - south_m) / CELL_M, 0.0, field.shape[0] - 1.000001)
    i, j = row.astype(np.int64), column.astype(np.int64)
    u, v = column - j, row - i
    lower = field[i, j] * (1.0 - u) + field[i, j + 1] * u
    upper = field[i + 1, j] * (1.0 - u) + field[i + 1, j + 1] * u
    return np.asarray(lower * (1.0 - v) + upper * v, np.float64)
