"""How high the ground is below a path: a terrain model, or what the sighting itself says of its ground."""

import itertools
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ground.fusion.plane import Plane
from ground.plans.plan_file import Waypoint
from skywarden.errors import InputError
from skywarden.geometry import geoid
from skywarden.geometry.terrain import Surface
from skywarden.messages import Position

FloatArray = npt.NDArray[np.float64]

_STEP_M = 20.0
_MAX_SAMPLES = 20_000


@dataclass(frozen=True, kw_only=True)
class GroundBelow:
    """Heights of the ground above the geoid, from above: what is not known for sure counts as high.

    Without a `surface`, the ground is taken to rise from `centre` on all sides by `slope_deg`, and to be
    higher than stated by three sigma of its height.
    """

    centre: Position
    slope_deg: float = 0.0
    surface: Surface | None = None

    @property
    def source(self) -> str:
        """Where the heights come from, in words."""
        if self.surface is not None:
            return f"ground heights from the terrain model (sigma {self.surface.sigma_m:.0f} m)"
        return (
            "no terrain model: the ground is taken from the sighting"
            f"{f', rising by {self.slope_deg:.0f} degrees' if self.slope_deg else ''}; obstacles are unknown"
        )

    def heights_msl_m(self, latitude_deg: FloatArray, longitude_deg: FloatArray) -> FloatArray:
        """Heights at places, shape (N,); raises `InputError` where the terrain model has none."""
        undulation = np.asarray(geoid.undulation_m(latitude_deg, longitude_deg))
        if self.surface is not None:
            heights = self.surface.height_hae_m(latitude_deg, longitude_deg)
            if not np.isfinite(heights).all():
                bad = int(np.flatnonzero(~np.isfinite(heights))[0])
                raise InputError(
                    f"the terrain model has no height at {latitude_deg[bad]:.5f}, {longitude_deg[bad]:.5f}; "
                    "give one that covers the area"
                )
            return np.asarray(heights - undulation + 3.0 * self.surface.sigma_m)
        plane = Plane(self.centre.latitude_deg, self.centre.longitude_deg)
        away = np.array(
            [
                math.hypot(*plane.east_north_m(float(lat), float(lon)))
                for lat, lon in zip(latitude_deg, longitude_deg, strict=True)
            ]
        )
        sigma_m = math.sqrt(self.centre.covariance_enu_m2[5])
        rise = away * math.tan(math.radians(self.slope_deg))
        return np.asarray(self.centre.alt_hae_m + 3.0 * sigma_m + rise - undulation)

    def range_msl_m(self, path: list[tuple[float, float]]) -> tuple[float, float]:
        """Lowest and highest ground along a path of (latitude, longitude), sampled each 20 m."""
        latitudes, longitudes = _sampled(path)
        heights = self.heights_msl_m(latitudes, longitudes)
        return float(heights.min()), float(heights.max())

    def centre_msl_m(self) -> float:
        """The stated height of the thing itself."""
        latitude, longitude = self.centre.latitude_deg, self.centre.longitude_deg
        return self.centre.alt_hae_m - float(geoid.undulation_m(latitude, longitude))


def length_m(path: list[Waypoint]) -> float:
    """How far it is along a path."""
    return sum(
        math.hypot(
            *Plane(one.latitude_deg, one.longitude_deg).east_north_m(two.latitude_deg, two.longitude_deg)
        )
        for one, two in itertools.pairwise(path)
    )


def _sampled(path: list[tuple[float, float]]) -> tuple[FloatArray, FloatArray]:
    plane = Plane(*path[0])
    points = np.array([plane.east_north_m(*one) for one in path])
    pieces = [points[:1]]
    for one, two in itertools.pairwise(points):
        count = max(1, math.ceil(float(np.linalg.norm(two - one)) / _STEP_M))
        pieces.append(one + (two - one) * (np.arange(1, count + 1) / count)[:, None])
    every = np.concatenate(pieces)
    if len(every) > _MAX_SAMPLES:
        raise InputError(f"the path is {len(every) * _STEP_M / 1000:.0f} km long; divide the area")
    places = np.array([plane.geodetic(float(east), float(north)) for east, north in every])
    return places[:, 0], places[:, 1]
