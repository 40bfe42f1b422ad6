"""Terrain: files in, heights above the ellipsoid out, holes and hostile files refused."""

import zipfile
from pathlib import Path

import numpy as np
import pytest

from skywarden.errors import InputError
from skywarden.geometry import geodesy, geoid, terrain
from skywarden.geometry.terrain import (
    FormulaSurface,
    LevelSurface,
    SeaSurface,
    ShelvedTile,
    Terrain,
    TerrainMosaic,
    load_terrain,
    save_tile,
)


def _tile(heights: np.ndarray, **changes: float) -> Terrain:
    grid = {
        "north_deg": 46.0,
        "west_deg": 7.0,
        "step_latitude_deg": 0.01,
        "step_longitude_deg": 0.01,
    } | changes
    return Terrain(heights.astype(np.float32), **grid)


def _ramp() -> np.ndarray:
    return np.add.outer(np.arange(11) * 10.0, np.arange(21) * 3.0)


def _write_hgt(folder: Path, name: str, heights: np.ndarray) -> Path:
    path = folder / name
    heights.astype(">i2").tofile(path)
    return path


def test_heights_between_nodes_are_bilinear_up_to_the_very_edge() -> None:
    tile = _tile(_ramp())
    np.testing.assert_allclose(
        tile.height_hae_m([46.0, 45.9, 45.955], [7.0, 7.2, 7.105]), [0.0, 160.0, 76.5], atol=1e-4
    )
    assert tile.height_hae_m(46.0, 7.0).shape == ()
    assert tile.height_hae_m(np.zeros((2, 3)) + 45.95, 7.1).shape == (2, 3)


def test_outside_and_beside_a_hole_nobody_knows() -> None:
    heights = _ramp()
    heights[5, 5] = np.nan
    tile = _tile(heights)
    unknown = tile.height_hae_m(
        [46.001, 45.899, 45.95, 45.95, 45.955, np.nan], [7.1, 7.1, 6.999, 7.201, 7.055, 7.1]
    )
    assert np.isnan(unknown).all()
    assert np.isfinite(tile.height_hae_m(45.975, 7.055))


def test_a_tile_may_lie_across_the_antimeridian() -> None:
    tile = _tile(_ramp(), west_deg=179.9)
    np.testing.assert_allclose(
        tile.height_hae_m(46.0, [179.9, 180.0, -180.0, -179.95]), [0.0, 30.0, 30.0, 45.0], atol=1e-3
    )


@pytest.mark.slow
def test_an_srtm_file_becomes_heights_above_the_ellipsoid(tmp_path: Path) -> None:
    heights = np.full((1201, 1201), 500)
    heights[0, 0] = -32768
    tile = load_terrain(_write_hgt(tmp_path, "N45E007.hgt", heights))
    assert isinstance(tile, Terrain)
    assert tile.height_hae_m(45.5, 7.5) == pytest.approx(
        500.0 + float(geoid.undulation_m(45.5, 7.5)), abs=1e-3
    )
    assert np.isnan(tile.height_hae_m(45.9999, 7.0001))
    assert np.isfinite(tile.height_hae_m(45.0, 8.0))
    assert 60.0 < tile.spacing_m < 70.0


def test_a_saved_tile_is_mapped_and_says_the_same(tmp_path: Path) -> None:
    tile = _tile(_ramp())
    save_tile(tile, tmp_path / "tile.npz")
    again = load_terrain(tmp_path / "tile.npz")
    assert isinstance(again, Terrain)
    assert isinstance(again.heights, np.memmap)
    lat, lon = np.random.default_rng(0).uniform([[45.9], [7.0]], [[46.0], [7.2]], (2, 50))
    np.testing.assert_array_equal(again.height_hae_m(lat, lon), tile.height_hae_m(lat, lon))
    assert again.height_range_hae_m == tile.height_range_hae_m
    assert again.sigma_m == tile.sigma_m
    assert load_terrain(tmp_path / "tile.npz", sigma_m=0.25).sigma_m == 0.25


def test_a_folder_is_one_surface_and_the_finer_tile_answers(tmp_path: Path) -> None:
    save_tile(_tile(_ramp()), tmp_path / "coarse.npz")
    fine = np.full((11, 11), 1000.0)
    save_tile(_tile(fine, step_latitude_deg=0.001, step_longitude_deg=0.001), tmp_path / "fine.npz")
    whole = load_terrain(tmp_path)
    assert isinstance(whole, TerrainMosaic)
    np.testing.assert_allclose(
        whole.height_hae_m([45.995, 45.9, 40.0], [7.005, 7.2, 7.0]), [1000.0, 160.0, np.nan], atol=1e-3
    )
    assert whole.height_range_hae_m == (0.0, 1000.0)


@pytest.mark.slow
@pytest.mark.real_data
def test_real_tiles_agree_with_what_is_known_of_their_places(real_data: Path) -> None:
    pytest.importorskip("rasterio")
    field = load_terrain(real_data / "terrain" / "S36E149_srtm3.tif")
    msl = float(field.height_hae_m(-35.363026, 149.164328)) - float(
        geoid.undulation_m(-35.363026, 149.164328)
    )
    assert msl == pytest.approx(583.0, abs=3.0)
    hgt = load_terrain(real_data / "terrain" / "N44W072.hgt")
    washington = float(hgt.height_hae_m(44.2706, -71.3033)) - float(geoid.undulation_m(44.2706, -71.3033))
    assert washington == pytest.approx(1900.0, abs=40.0)
    rome = load_terrain(real_data / "terrain" / "Rome-30m-DEM.tif")
    assert isinstance(rome, Terrain)
    assert rome.north_deg == pytest.approx(42.0, abs=1e-9)  # the centre of the first cell, not its corner


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("N45E007.hgt", b"\x00" * 1000),
        ("nameless.hgt", b"\x00" * (1201 * 1201 * 2)),
        ("empty.npz", b""),
        ("junk.npz", b"PK\x03\x04" + b"x" * 200),
        ("junk.tif", b"II*\x00" + b"y" * 200),
        ("notes.txt", b"hello"),
    ],
)
def test_files_that_are_not_what_they_claim_are_refused(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=name.split(".")[0]):
        load_terrain(path)


def test_missing_files_and_empty_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        load_terrain(tmp_path / "absent.npz")
    with pytest.raises(InputError, match="no terrain files"):
        load_terrain(tmp_path)


def test_a_tile_with_foreign_or_oversized_members_is_refused(tmp_path: Path) -> None:
    save_tile(_tile(_ramp()), tmp_path / "tile.npz")
    with zipfile.ZipFile(tmp_path / "tile.npz", "a") as archive:
        archive.writestr("more.npy", b"x")
    with pytest.raises(InputError, match="not a terrain tile"):
        load_terrain(tmp_path / "tile.npz")
    np.savez_compressed(tmp_path / "packed.npz", format=np.int32(1), grid=np.zeros(7), heights_hae_m=_ramp())
    with pytest.raises(InputError):
        load_terrain(tmp_path / "packed.npz")
    np.savez(tmp_path / "object.npz", format=np.int32(1), grid=np.array([{}] * 7), heights_hae_m=_ramp())
    with pytest.raises(InputError):
        load_terrain(tmp_path / "object.npz")


def test_a_cut_off_tile_is_refused_at_every_length(tmp_path: Path) -> None:
    save_tile(_tile(_ramp()), tmp_path / "tile.npz")
    whole = (tmp_path / "tile.npz").read_bytes()
    for length in range(0, len(whole), max(1, len(whole) // 40)):
        (tmp_path / "cut.npz").write_bytes(whole[:length])
        with pytest.raises(InputError):
            load_terrain(tmp_path / "cut.npz")


def test_grids_that_are_not_on_the_earth_are_refused() -> None:
    for changes in ({"north_deg": 95.0}, {"step_latitude_deg": 0.0}, {"step_longitude_deg": float("nan")}):
        with pytest.raises(InputError):
            _tile(_ramp(), **changes)
    with pytest.raises(InputError, match="not one usable height"):
        _tile(np.full((5, 5), np.nan))
    with pytest.raises(InputError):
        _tile(np.zeros((1, 5)))


def test_level_ground_the_sea_and_a_formula_are_surfaces_too() -> None:
    assert LevelSurface(80.0).height_hae_m([1.0, 2.0], 3.0).tolist() == [80.0, 80.0]
    sea = SeaSurface(1.2)
    assert float(sea.height_hae_m(38.5, -28.6)) == pytest.approx(float(geoid.undulation_m(38.5, -28.6)) + 1.2)
    slope = FormulaSurface(lambda lat, lon: lat * 2.0 + lon, spacing_m=10.0)
    assert float(slope.height_hae_m(3.0, 4.0)) == 10.0
    surfaces: list[terrain.Surface] = [LevelSurface(0.0), sea, slope, _tile(_ramp())]
    assert [surface.kind for surface in surfaces] == ["level", "sea", "terrain", "terrain"]
    for bad in (float("nan"), 1e6):
        with pytest.raises(InputError):
            LevelSurface(bad)
    with pytest.raises(InputError):
        SeaSurface(100.0)
    with pytest.raises(InputError):
        LevelSurface(0.0, sigma_m=-1.0)


def _hills(latitude: np.ndarray, longitude: np.ndarray) -> np.ndarray:
    return 200.0 + 50.0 * np.sin(latitude * 900.0) * np.cos(longitude * 700.0)


def _tile_at(north: float, west: float, rows: int, columns: int, step: float, **more: object) -> Terrain:
    latitudes, longitudes = north - np.arange(rows) * step, west + np.arange(columns) * step
    heights = _hills(latitudes[:, None], longitudes[None, :]).astype(np.float32)
    return Terrain(
        heights, north_deg=north, west_deg=west, step_latitude_deg=step, step_longitude_deg=step, **more
    )


def test_tiles_that_follow_each_other_without_sharing_nodes_leave_no_gap() -> None:
    """Four rasters of areas round one corner are one surface: as one raster of all their nodes."""
    step, side = 0.001, 20
    for west in (12.0, 179.99):  # the second lies across the antimeridian
        whole = _tile_at(42.0, west, 2 * side, 2 * side, step)
        parts = [
            _tile_at(42.0 - down * side * step, west + right * side * step, side, side, step)
            for down in (0, 1)
            for right in (0, 1)
        ]
        mosaic = TerrainMosaic(parts)
        rng = np.random.default_rng(4)
        latitude = 42.0 - rng.uniform(0, (2 * side - 1) * step, 4000)
        longitude = geodesy.wrap_longitude_deg(west + rng.uniform(0, (2 * side - 1) * step, 4000))
        np.testing.assert_allclose(
            mosaic.height_hae_m(latitude, longitude), whole.height_hae_m(latitude, longitude), atol=1e-3
        )
        assert np.isnan(mosaic.height_hae_m(42.0 + step, west))  # beyond the rim of all, nobody knows
        gone = TerrainMosaic(parts[:3])
        missing = np.array([42.0 - 1.5 * side * step]), np.array([west + 1.5 * side * step])
        assert np.isnan(gone.height_hae_m(*missing)).all()


@pytest.mark.slow
def test_a_folder_larger_than_memory_is_read_tile_by_tile(tmp_path: Path) -> None:
    for number in range(4):
        raw = np.full((1201, 1201), 100 * number, dtype=">i2")
        raw.tofile(tmp_path / f"N4{number}E012.hgt")
    all_at_once = load_terrain(tmp_path)
    shelved = load_terrain(tmp_path, max_nodes_in_memory=2 * 1201 * 1201)
    assert isinstance(shelved, TerrainMosaic)
    assert sum(isinstance(tile, ShelvedTile) for tile in shelved.tiles) == 3
    latitude = np.array([40.5, 41.5, 42.5, 43.5, 40.2, 43.9, 45.5])
    np.testing.assert_array_equal(
        shelved.height_hae_m(latitude, 12.5), all_at_once.height_hae_m(latitude, 12.5)
    )
    assert shelved.height_range_hae_m == all_at_once.height_range_hae_m


@pytest.mark.slow
def test_an_srtm_tile_of_the_north_has_half_as_many_columns(tmp_path: Path) -> None:
    raw = np.zeros((3601, 1801), dtype=">i2")
    raw[:, 900] = 500
    raw.tofile(tmp_path / "N60E010.hgt")
    tile = load_terrain(tmp_path / "N60E010.hgt")
    undulation = float(geoid.undulation_m(60.5, 10.5))
    assert tile.height_hae_m(60.5, 10.5) == pytest.approx(500.0 + undulation, abs=0.01)


def test_the_sea_is_the_geoid_with_a_tide_whose_error_counts() -> None:
    sea = SeaSurface(1.2, sigma_m=0.3, tide_sigma_m=0.4)
    assert sea.sigma_m == pytest.approx(0.5)
    assert sea.height_hae_m(38.5, -28.6) == pytest.approx(float(geoid.undulation_m(38.5, -28.6)) + 1.2)
    latitude, longitude = np.meshgrid(np.linspace(-90, 90, 91), np.linspace(-180, 180, 91))
    heights = sea.height_hae_m(latitude, longitude)
    assert sea.height_range_hae_m[0] < heights.min() < heights.max() < sea.height_range_hae_m[1]
    with pytest.raises(InputError, match="height error"):
        SeaSurface(0.0, tide_sigma_m=-1.0)


def test_a_geotiff_that_says_so_holds_heights_above_the_ellipsoid(tmp_path: Path) -> None:
    rasterio = pytest.importorskip("rasterio")
    found = {}
    for crs in ("EPSG:4326", "EPSG:4979", "EPSG:32633"):
        path = tmp_path / f"{crs[5:]}.tif"
        with rasterio.open(
            path,
            "w",
            driver="GTiff",
            width=4,
            height=4,
            count=1,
            dtype="float32",
            crs=crs,
            transform=rasterio.Affine(0.001, 0.0, 12.0, 0.0, -0.001, 42.0),
        ) as file:
            file.write(np.full((4, 4), 100.0, dtype=np.float32), 1)
        if crs == "EPSG:32633":
            with pytest.raises(InputError, match="expected latitudes and longitudes"):
                load_terrain(path)
        else:
            found[crs] = float(load_terrain(path).height_hae_m(41.998, 12.002))
    undulation = float(geoid.undulation_m(41.998, 12.002))
    assert found["EPSG:4326"] == pytest.approx(100.0 + undulation, abs=0.01)
    assert found["EPSG:4979"] == pytest.approx(100.0, abs=1e-3)
