"""The tracker's plane: exactly back, right in metres against geodesics, whole across the date line."""

import math

import numpy as np
import pytest
from geographiclib.geodesic import Geodesic
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.track.plane import LocalPlane


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(
    latitude=st.floats(-85, 85),
    longitude=st.floats(-180, 180),
    east=st.floats(-50_000, 50_000),
    north=st.floats(-50_000, 50_000),
)
def test_what_goes_out_comes_back(latitude: float, longitude: float, east: float, north: float) -> None:
    plane = LocalPlane(latitude, longitude)
    back = plane.east_north_m(*plane.geodetic(east, north))
    assert back == pytest.approx([east, north], abs=1e-5)


@pytest.mark.parametrize("latitude", [-70.0, -35.0, 0.0, 45.0, 60.0])
@pytest.mark.parametrize("azimuth", [0.0, 45.0, 90.0, 200.0])
@pytest.mark.parametrize(("distance_m", "share"), [(1_000.0, 1e-3), (5_000.0, 1.2e-3), (50_000.0, 2.2e-2)])
def test_metres_are_as_right_as_promised(
    latitude: float, azimuth: float, distance_m: float, share: float
) -> None:
    there = Geodesic.WGS84.Direct(latitude, 10.0, azimuth, distance_m)
    east, north = LocalPlane(latitude, 10.0).east_north_m(there["lat2"], there["lon2"])
    right = distance_m * np.array([math.sin(math.radians(azimuth)), math.cos(math.radians(azimuth))])
    assert math.hypot(east - right[0], north - right[1]) <= share * distance_m


def test_the_date_line_is_no_border() -> None:
    plane = LocalPlane(10.0, 179.9999)
    east_north = plane.east_north_m(np.array([10.0, 10.0]), np.array([-179.9999, 179.9998]))
    assert east_north[:, 0] == pytest.approx([21.9, -10.95], abs=0.1)
    latitude, longitude = plane.geodetic(21.9, 0.0)
    assert (latitude, longitude) == pytest.approx((10.0, -179.9999), abs=1e-5)
