"""Rays over mosaics, over ridges they only just clear, and beside a march in decimetres on a real tile."""

from pathlib import Path

import numpy as np
import pymap3d
import pytest

from edge.geolocation import raycast
from skywarden.geometry import geodesy
from skywarden.geometry.terrain import FormulaSurface, Terrain, TerrainMosaic, load_terrain


def _tile_at(north: float, west: float, rows: int, columns: int, step: float) -> Terrain:
    latitudes, longitudes = north - np.arange(rows) * step, west + np.arange(columns) * step
    heights = 200.0 + 50.0 * np.sin(latitudes[:, None] * 900.0) * np.cos(longitudes[None, :] * 700.0)
    return Terrain(
        heights.astype(np.float32),
        north_deg=north,
        west_deg=west,
        step_latitude_deg=step,
        step_longitude_deg=step,
    )


def test_a_ray_runs_on_from_tile_to_tile_and_stops_where_one_is_missing() -> None:
    """Above the highest ground that is known a ray passes over a missing tile; below it, it does not."""
    step, side = 0.001, 40
    west, middle, east = (_tile_at(42.0, 12.0 + i * side * step, side, side, step) for i in range(3))
    camera = geodesy.ecef_from_geodetic(41.98, 12.005, 700.0)
    ray = (geodesy.ecef_from_geodetic(41.98, 12.115, 100.0) - camera)[None]
    ray /= np.linalg.norm(ray)
    whole = _tile_at(42.0, 12.0, side, 3 * side, step)
    expected, _ = raycast.first_crossings(whole, camera, ray, 50_000.0)
    found, code = raycast.first_crossings(TerrainMosaic([east, west, middle]), camera, ray, 50_000.0)
    assert code[0] == raycast.HIT
    assert found[0] == pytest.approx(expected[0], abs=1e-3)
    assert raycast.first_crossings(TerrainMosaic([east, west]), camera, ray, 50_000.0)[1][0] == raycast.HIT
    into_the_gap = (geodesy.ecef_from_geodetic(41.98, 12.06, 100.0) - camera)[None]
    into_the_gap /= np.linalg.norm(into_the_gap)
    _, code = raycast.first_crossings(TerrainMosaic([east, west]), camera, into_the_gap, 50_000.0)
    assert code[0] == raycast.OUTSIDE_TERRAIN


def test_a_level_ray_and_a_rising_one_hit_a_mountain_and_one_above_it_none() -> None:
    def peak(latitude: np.ndarray, longitude: np.ndarray) -> np.ndarray:
        north, east = (latitude - 7.03) * 111_320.0, (longitude + 72.9) * 111_320.0
        return 100.0 + 900.0 * np.exp(-(north**2 + east**2) / (2 * 400.0**2))

    surface = FormulaSurface(peak, spacing_m=60.0, height_range_hae_m=(100.0, 1000.0))
    camera = geodesy.ecef_from_geodetic(7.0, -72.9, 300.0)
    rise = np.radians([0.0, 5.0, 10.0, 12.3, 15.0])
    in_ned = np.stack([np.cos(rise), 0 * rise, -np.sin(rise)], axis=1)
    rays = in_ned @ geodesy.ecef_from_ned(7.0, -72.9).T
    ranges, codes = raycast.first_crossings(surface, camera, rays, 50_000.0)
    assert codes[:3].tolist() == [raycast.HIT] * 3
    assert codes[4] in (raycast.ABOVE_HORIZON, raycast.NO_INTERSECTION)
    for number in range(3):
        place = pymap3d.ecef2geodetic(*(camera + ranges[number] * rays[number]))
        assert place[2] == pytest.approx(float(peak(np.array(place[0]), np.array(place[1]))), abs=1e-3)
        before = pymap3d.ecef2geodetic(*(camera + 0.98 * ranges[number] * rays[number]))
        assert before[2] > float(peak(np.array(before[0]), np.array(before[1])))


@pytest.mark.real_data
@pytest.mark.slow
@pytest.mark.parametrize("name", ["S36E149_srtm3.tif", "N44W072.hgt", "Rome-30m-DEM.tif"])
def test_first_crossings_on_real_terrain_are_those_of_a_march_in_decimetres(
    real_data: Path, name: str
) -> None:
    """0.1 m steps in another library's axes, rays from straight down to 4 degrees below the horizontal."""
    tile = load_terrain(real_data / "terrain" / name)
    assert isinstance(tile, Terrain)
    rng = np.random.default_rng(3)
    latitude = (tile.north_deg + tile.south_deg) / 2 + rng.uniform(-0.1, 0.1) * (
        tile.north_deg - tile.south_deg
    )
    longitude = tile.west_deg + tile.width_deg * rng.uniform(0.4, 0.6)
    alt = float(tile.height_hae_m(latitude, longitude)) + 250.0
    elevation = np.radians(np.concatenate([rng.uniform(-88, -20, 12), rng.uniform(-20, -4, 12)]))
    azimuth = rng.uniform(0, 2 * np.pi, elevation.size)
    level = np.cos(elevation)
    in_ned = np.stack([level * np.cos(azimuth), level * np.sin(azimuth), -np.sin(elevation)], axis=1)
    camera = geodesy.ecef_from_geodetic(latitude, longitude, alt)
    rays = in_ned @ geodesy.ecef_from_ned(latitude, longitude).T
    found, codes = raycast.first_crossings(tile, camera, rays, 50_000.0)
    for ray, code, range_m in zip(rays, codes, found, strict=True):
        reach = 6_000.0 if code != raycast.HIT else min(range_m + 50.0, 6_000.0)
        t = np.arange(0.0, reach, 0.1)
        lat, lon, up = pymap3d.ecef2geodetic(*(camera[:, None] + ray[:, None] * t))
        under = np.flatnonzero(~(up > tile.height_hae_m(lat, lon)))
        if code == raycast.HIT and range_m < 6_000.0:
            assert under.size
            assert range_m == pytest.approx(t[under[0]], abs=0.5)
        else:
            assert not under.size or np.isnan(tile.height_hae_m(lat[under[0]], lon[under[0]]))
