"""Metres east and north of an origin; contacts are at most some kilometres across."""

import math
from functools import lru_cache
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from skywarden.geometry.geodesy import radii_of_curvature_m

_Degrees = TypeVar("_Degrees", float, npt.NDArray[np.float64])

_FARTHEST_DEG = 89.9


class Plane:
    """Latitude and longitude times the radii of curvature at the origin; exactly invertible."""

    __slots__ = ("east_m_per_deg", "latitude_deg", "longitude_deg", "north_m_per_deg")

    def __init__(self, latitude_deg: float, longitude_deg: float) -> None:
        self.latitude_deg, self.longitude_deg = latitude_deg, longitude_deg
        self.north_m_per_deg, self.east_m_per_deg = metres_per_degree(latitude_deg)

    def east_north_m(self, latitude_deg: float, longitude_deg: float) -> tuple[float, float]:
        """Where a place lies."""
        east = wrapped_deg(longitude_deg - self.longitude_deg) * self.east_m_per_deg
        return east, (latitude_deg - self.latitude_deg) * self.north_m_per_deg

    def geodetic(self, east_m: float, north_m: float) -> tuple[float, float]:
        """Latitude and longitude in degrees."""
        latitude_deg = self.latitude_deg + north_m / self.north_m_per_deg
        longitude_deg = wrapped_deg(self.longitude_deg + east_m / self.east_m_per_deg)
        return min(90.0, max(-90.0, latitude_deg)), longitude_deg


@lru_cache(maxsize=2_048)
def metres_per_degree(latitude_deg: float) -> tuple[float, float]:
    """Of latitude and of longitude, on WGS 84; beyond 89.9 degrees as there."""
    latitude_deg = min(_FARTHEST_DEG, max(-_FARTHEST_DEG, latitude_deg))
    meridian_m, normal_m = radii_of_curvature_m(latitude_deg)
    return math.radians(meridian_m), math.radians(normal_m) * math.cos(math.radians(latitude_deg))


def wrapped_deg(longitude_deg: _Degrees) -> _Degrees:
    """In [-180, 180), one or many."""
    return (longitude_deg + 180.0) % 360.0 - 180.0
