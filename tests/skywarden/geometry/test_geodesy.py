"""Geodesy: our closed forms against pymap3d and geographiclib, which share no code with them."""

import numpy as np
import pymap3d
import pytest
from geographiclib.geodesic import Geodesic
from hypothesis import given
from hypothesis import strategies as st

from skywarden.errors import InputError
from skywarden.geometry import geodesy

latitudes = st.floats(-90.0, 90.0)
longitudes = st.floats(-180.0, 180.0)
heights = st.floats(-500.0, 30_000.0)


@given(lat=latitudes, lon=longitudes, alt=heights)
def test_a_place_survives_the_way_through_ecef(lat: float, lon: float, alt: float) -> None:
    point = geodesy.ecef_from_geodetic(lat, lon, alt)
    np.testing.assert_allclose(point, pymap3d.geodetic2ecef(lat, lon, alt), atol=1e-8)
    back = geodesy.ecef_from_geodetic(*geodesy.geodetic_from_ecef(point))
    np.testing.assert_allclose(back, point, atol=1e-6)


@given(lat=latitudes, lon=longitudes)
def test_local_axes_are_those_of_pymap3d(lat: float, lon: float) -> None:
    points = np.array([[100.0, 0.0, 0.0], [0.0, 100.0, 0.0], [30.0, -40.0, 500.0]])
    ours = geodesy.ecef_from_geodetic(lat, lon, 120.0) + points @ geodesy.ecef_from_ned(lat, lon).T
    theirs = np.stack(pymap3d.ned2ecef(*points.T, lat, lon, 120.0), axis=1)
    np.testing.assert_allclose(ours, theirs, atol=1e-6)
    enu = points @ geodesy.NED_FROM_ENU
    np.testing.assert_allclose(
        geodesy.ecef_from_enu(lat, lon) @ enu.T, geodesy.ecef_from_ned(lat, lon) @ points.T
    )


def test_offsets_lead_there_and_back_also_across_the_antimeridian_and_at_a_pole() -> None:
    for place in ((-17.2, 179.9999, 50.0), (90.0, 0.0, 120.0), (4.6, -74.5, 2600.0)):
        there = geodesy.geodetic_from_ned([300.0, 400.0, -20.0], *place)
        np.testing.assert_allclose(geodesy.ned_from_geodetic(there, *place), [300.0, 400.0, -20.0], atol=1e-6)
        up = geodesy.geodetic_from_enu([400.0, 300.0, 20.0], *place)
        np.testing.assert_allclose(geodesy.enu_from_geodetic(up, *place), [400.0, 300.0, 20.0], atol=1e-6)
        np.testing.assert_allclose(up, there, atol=1e-9)


def test_a_short_offset_is_as_long_as_the_geodesic() -> None:
    lat, lon, _ = geodesy.geodetic_from_ned([300.0, 400.0, 0.0], 51.0, 7.0, 0.0)
    line = Geodesic.WGS84.Inverse(51.0, 7.0, float(lat), float(lon))
    assert line["s12"] == pytest.approx(500.0, abs=1e-3)
    assert line["azi1"] == pytest.approx(np.degrees(np.arctan2(400.0, 300.0)), abs=1e-3)


def test_longitudes_and_headings_are_brought_into_their_circles() -> None:
    np.testing.assert_array_equal(
        geodesy.wrap_longitude_deg([180.0, -180.0, 540.0, 0.0]), [-180, -180, -180, 0]
    )
    np.testing.assert_array_equal(geodesy.wrap_heading_deg([-90.0, 360.0, -1e-18]), [270.0, 0.0, 0.0])


def test_radii_of_curvature_fit_the_length_of_a_small_arc() -> None:
    meridian, normal = geodesy.radii_of_curvature_m(51.0)
    north = Geodesic.WGS84.Inverse(50.999, 7.0, 51.001, 7.0)["s12"]
    assert north == pytest.approx(meridian * np.radians(0.002), rel=1e-8)
    east = Geodesic.WGS84.Inverse(51.0, 7.0, 51.0, 7.001)["s12"]
    assert east == pytest.approx(normal * np.cos(np.radians(51.0)) * np.radians(0.001), rel=1e-8)


def test_what_is_not_finite_stays_visible() -> None:
    assert np.isnan(geodesy.geodetic_from_ecef([np.nan, 0.0, 0.0])).all()


@pytest.mark.parametrize(
    "place", [(91.0, 0.0, 0.0), (0.0, float("nan"), 0.0), (0.0, 0.0, 1e6), (0.0, 0.0, -5e3)]
)
def test_impossible_places_are_refused(place: tuple[float, float, float]) -> None:
    with pytest.raises(InputError):
        geodesy.check_place(*place)
