"""Metres east and north of an origin, and exactly back, for the tracker."""

import math

import numpy as np
import numpy.typing as npt

from skywarden.geometry.geodesy import radii_of_curvature_m, wrap_longitude_deg

FloatArray = npt.NDArray[np.float64]


class LocalPlane:
    """Latitude and longitude times the local radii of curvature at the origin.

    Exactly invertible; distances are right to 1 in 1000 within 5 km of the origin's parallel and to 1 in 100
    within 50 km, which a tracker's gates do not notice. Not for use beyond 85 degrees of latitude.
    """

    def __init__(self, latitude_deg: float, longitude_deg: float) -> None:
        self._origin = (latitude_deg, longitude_deg)
        meridian_m, normal_m = radii_of_curvature_m(latitude_deg)
        self._north_m_per_deg = math.radians(meridian_m)
        self._east_m_per_deg = math.radians(normal_m) * math.cos(math.radians(latitude_deg))

    def east_north_m(self, latitude_deg: npt.ArrayLike, longitude_deg: npt.ArrayLike) -> FloatArray:
        """Shape (..., 2), metres."""
        delta_deg = np.asarray(longitude_deg, dtype=np.float64) - self._origin[1]
        east_m = wrap_longitude_deg(delta_deg) * self._east_m_per_deg
        north_m = (np.asarray(latitude_deg, dtype=np.float64) - self._origin[0]) * self._north_m_per_deg
        return np.stack([east_m, north_m], axis=-1)

    def geodetic(self, east_m: float, north_m: float) -> tuple[float, float]:
        """Latitude and longitude in degrees."""
        longitude_deg = wrap_longitude_deg(self._origin[1] + east_m / self._east_m_per_deg)
        return self._origin[0] + north_m / self._north_m_per_deg, float(longitude_deg)
