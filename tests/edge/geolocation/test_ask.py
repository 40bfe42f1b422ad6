"""One pixel's place, against geodesics worked out by another library; a bearing where there is no place."""

import math
from pathlib import Path
from typing import Any

import pytest
from pymap3d.los import lookAtSpheroid

from edge.geolocation.ask import LocateQuestion, answer
from skywarden.errors import InputError, SkywardenError
from skywarden.geometry.geoid import undulation_m


def _question(**changes: Any) -> LocateQuestion:
    given: dict[str, Any] = {
        "latitude_deg": 41.8,
        "longitude_deg": 12.6,
        "alt_hae_m": 600.0,
        "alt_msl_m": None,
        "euler_deg": (0.0, -45.0, 315.0),
        "size_px": (1920, 1080),
        "hfov_deg": 60.0,
        "pixel": None,
        "terrain": None,
        "level_hae_m": 100.0,
    }
    return LocateQuestion(**(given | changes))


def test_the_boresight_meets_level_ground_where_geometry_says() -> None:
    found = answer(_question())
    latitude, longitude, slant_m = lookAtSpheroid(41.8, 12.6, 500.0, 315.0, 45.0)
    assert found["status"] == "ok"
    assert found["latitude_deg"] == pytest.approx(latitude, abs=2e-6)
    assert found["longitude_deg"] == pytest.approx(longitude, abs=2e-6)
    assert found["alt_hae_m"] == pytest.approx(100.0, abs=0.1)
    assert found["slant_range_m"] == pytest.approx(slant_m, abs=0.5)
    assert found["azimuth_deg"] == pytest.approx(315.0, abs=1e-3)
    assert found["elevation_deg"] == pytest.approx(-45.0, abs=1e-3)
    assert 10.0 < found["ce90_m"] < 80.0
    assert found["le90_m"] > 0.0


def test_a_height_above_the_sea_is_taken_to_the_ellipsoid() -> None:
    undulation = float(undulation_m(41.8, 12.6))
    above_geoid = answer(_question(alt_hae_m=None, alt_msl_m=600.0 - undulation))
    assert above_geoid == answer(_question())


def test_a_pixel_right_of_the_centre_lies_clockwise() -> None:
    centre, right = answer(_question()), answer(_question(pixel=(1919.0, 539.5)))
    off_deg = math.degrees(math.atan((1919.0 - 959.5) / (960 / math.tan(math.radians(30.0)))))
    assert right["azimuth_deg"] > centre["azimuth_deg"] + off_deg
    assert answer(_question(pixel=(959.5, 539.5))) == centre


def test_the_first_pixel_is_a_pixel() -> None:
    assert answer(_question(pixel=(0.0, 0.0)))["azimuth_deg"] < 300.0


def test_over_the_sea_the_ray_ends_at_the_geoid() -> None:
    found = answer(_question(latitude_deg=41.0, longitude_deg=11.0, level_hae_m=None))
    assert found["alt_hae_m"] == pytest.approx(float(undulation_m(41.0, 11.0)), abs=0.3)


def test_a_ray_into_the_sky_has_a_bearing_only() -> None:
    found = answer(_question(euler_deg=(0.0, 10.0, 90.0)))
    assert found["status"] == "above_horizon"
    assert (found["azimuth_deg"], found["elevation_deg"]) == (90.0, 10.0)
    assert "latitude_deg" not in found


@pytest.mark.parametrize(
    "changes",
    [
        {"latitude_deg": 91.0},
        {"longitude_deg": math.nan},
        {"alt_hae_m": math.inf},
        {"hfov_deg": 0.0},
        {"size_px": (0, 1080)},
        {"euler_deg": (0.0, math.nan, 0.0)},
    ],
)
def test_questions_about_nowhere_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(InputError):
        answer(_question(**changes))


def test_terrain_that_cannot_be_read_is_an_error_of_ours(tmp_path: Path) -> None:
    with pytest.raises(SkywardenError):
        answer(_question(terrain=tmp_path / "nothing.tif", level_hae_m=None))


def test_the_tide_lifts_the_sea_and_its_error_counts() -> None:
    at_sea = {"latitude_deg": 41.0, "longitude_deg": 11.0, "level_hae_m": None}
    calm, high = answer(_question(**at_sea)), answer(_question(**at_sea, tide_m=4.0, tide_sigma_m=5.0))
    assert high["alt_hae_m"] == pytest.approx(calm["alt_hae_m"] + 4.0, abs=0.11)
    assert high["slant_range_m"] < calm["slant_range_m"]
    assert high["le90_m"] > calm["le90_m"] + 3.0
