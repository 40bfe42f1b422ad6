"""The geoid table against NGA's published values."""

import json
from pathlib import Path

import numpy as np
import pytest

from skywarden.geometry import geoid

NGA_INTPT = (  # latitude, longitude, undulation: sample output OUTINTPT.DAT of NGA's program INTPT.F
    (38.628155, 269.779155, -31.628),
    (-14.621217, 305.021114, -2.969),
    (46.874319, 102.448729, -43.575),
    (-23.617446, 133.874712, 15.871),
    (38.625473, 359.9995, 50.066),
    (-0.466744, 0.0023, 17.329),
)


@pytest.mark.parametrize(("lat", "lon", "undulation"), NGA_INTPT)
def test_the_table_agrees_with_ngas_program_within_a_centimetre(
    lat: float, lon: float, undulation: float
) -> None:
    assert geoid.undulation_m(lat, lon) == pytest.approx(undulation, abs=0.01)


@pytest.mark.slow
@pytest.mark.real_data
def test_every_node_of_the_source_grid_is_kept_to_half_a_count(real_data: Path) -> None:
    rasterio = pytest.importorskip("rasterio")
    with rasterio.open(real_data / "terrain" / "us_nga_egm96_15.tif") as source:
        grid = source.read(1)
    latitudes, longitudes = 90 - np.arange(721) / 4, -180 + np.arange(1440) / 4
    ours = geoid.undulation_m(latitudes[::4, None], longitudes[None, ::4])
    np.testing.assert_allclose(ours, grid[::4, ::4], atol=0.003)
    vectors = json.loads((real_data / "geolocation" / "pixel_to_ground_cases.json").read_text())
    for lat, lon, undulation in vectors["geoid_vectors"]["lat_lon_east_N"]:
        assert geoid.undulation_m(lat, lon) == pytest.approx(undulation, abs=0.1)


def test_it_is_smooth_across_the_antimeridian_and_one_number_at_each_pole() -> None:
    np.testing.assert_allclose(
        geoid.undulation_m(10.0, 179.9999), geoid.undulation_m(10.0, -179.9999), atol=0.01
    )
    np.testing.assert_allclose(geoid.undulation_m(10.0, 540.0), geoid.undulation_m(10.0, 180.0), atol=1e-9)
    for pole in (90.0, -90.0):
        around = geoid.undulation_m(pole, np.linspace(-180, 180, 37))
        assert np.ptp(around) < 0.01
        beside = geoid.undulation_m(np.sign(pole) * 89.9999, np.linspace(-180, 180, 37))
        np.testing.assert_allclose(beside, around, atol=0.02)


def test_shapes_broadcast_and_nan_stays_nan() -> None:
    assert geoid.undulation_m([[10.0], [20.0]], [1.0, 2.0, 3.0]).shape == (2, 3)
    assert np.isnan(geoid.undulation_m(np.nan, 0.0))
