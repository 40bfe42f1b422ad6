"""Elevation tiles: the heights that go in come out again, at every zoom and at the edges."""

import math
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from ground.basemap.archive import tile_id
from ground.basemap.build import build
from ground.basemap.relief import encoded
from skywarden.cli import run
from skywarden.errors import InputError
from skywarden.geometry.terrain import Terrain, save_tile
from tests.ground.basemap.test_basemap_build import _tiles as tiles_in

SOUTH, WEST, STEP = 41.8, 12.4, 0.0005
NODES = 240


def _slope(latitude: NDArray[np.float64], longitude: NDArray[np.float64]) -> NDArray[np.float64]:
    """A plane that rises to the north-east."""
    return 100.0 + 2_000.0 * (latitude - SOUTH) + 1_000.0 * (longitude - WEST)


def _terrain(hole: bool = False) -> Terrain:
    north = SOUTH + STEP * (NODES - 1)
    latitudes = np.linspace(north, SOUTH, NODES, dtype=np.float64)
    longitudes = np.linspace(WEST, WEST + STEP * (NODES - 1), NODES, dtype=np.float64)
    heights = _slope(latitudes[:, None], longitudes[None, :]).astype(np.float32)
    if hole:
        heights[100:140, 100:140] = np.nan
    return Terrain(heights, north_deg=north, west_deg=WEST, step_latitude_deg=STEP, step_longitude_deg=STEP)


def _decoded(data: bytes) -> NDArray[np.float64]:
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert pixels is not None
    blue, green, red = np.moveaxis(pixels.astype(np.float64), -1, 0)
    decoded: NDArray[np.float64] = red * 256 + green + blue / 256 - 32_768
    return decoded


def _place(zoom: int, latitude: float, longitude: float) -> tuple[int, int, int, int]:
    """Tile and pixel of a place."""
    x = (longitude + 180.0) / 360.0 * (256 << zoom)
    y = (1.0 - math.asinh(math.tan(math.radians(latitude))) / math.pi) / 2.0 * (256 << zoom)
    return int(x) // 256, int(y) // 256, int(x) % 256, int(y) % 256


@pytest.mark.parametrize("step_m", [0.0, 0.4, -431.25, 8_848.86])
def test_heights_survive_the_encoding(step_m: float) -> None:
    heights = np.full((256, 256), step_m, dtype=np.float32)
    assert _decoded(encoded(heights, 1.0)) == pytest.approx(step_m, abs=1 / 256)
    assert _decoded(encoded(heights, 38.0)) == pytest.approx(step_m, abs=38 / 256)


def test_a_plane_is_the_same_plane_at_every_zoom(tmp_path: Path) -> None:
    save_tile(_terrain(), tmp_path / "plane.npz")
    built = build(tmp_path / "plane.npz", tmp_path / "plane.pmtiles", is_terrain=True)
    assert built.kind == "terrain"
    found = dict(tiles_in(tmp_path / "plane.pmtiles"))
    assert len(found) == built.tiles
    latitude, longitude = SOUTH + 0.06, WEST + 0.06
    checked = 0
    for zoom in range(12):
        column, row, x, y = _place(zoom, latitude, longitude)
        data = found.get(tile_id((zoom, column, row)))
        if data is None:
            continue
        grain_deg = 360.0 / (256 << zoom)
        truth = float(_slope(np.array(latitude), np.array(longitude)))
        assert _decoded(data)[y, x] == pytest.approx(truth, abs=3_000.0 * grain_deg + 1.0)
        checked += 1
    assert checked >= 5


def test_beyond_the_edge_and_in_holes_there_is_no_cliff(tmp_path: Path) -> None:
    save_tile(_terrain(hole=True), tmp_path / "hole.npz")
    build(tmp_path / "hole.npz", tmp_path / "hole.pmtiles", is_terrain=True, max_zoom=11)
    for number, data in tiles_in(tmp_path / "hole.pmtiles"):
        if number < tile_id((11, 0, 0)):
            continue
        heights = _decoded(data)
        assert heights.min() > 99.0
        assert np.abs(np.diff(heights, axis=0)).max() < 30.0


@pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")
def test_a_raster_in_metres_of_its_own_grid_is_read_too(tmp_path: Path) -> None:
    import rasterio
    from rasterio.transform import from_origin

    heights = np.add.outer(np.arange(90.0)[::-1], np.arange(80.0)).astype(np.float32) + 500.0
    with rasterio.open(
        tmp_path / "utm.tif",
        "w",
        driver="GTiff",
        width=80,
        height=90,
        count=1,
        dtype="float32",
        crs="EPSG:32633",
        nodata=-9999.0,
        transform=from_origin(290_000.0, 4_640_000.0, 30.0, 30.0),
    ) as image:
        image.write(heights, 1)
    assert (
        run(
            [
                "basemap",
                "build",
                str(tmp_path / "utm.tif"),
                "--terrain",
                "--out",
                str(tmp_path / "utm.pmtiles"),
            ]
        )
        == 0
    )
    found = [_decoded(data) for _, data in tiles_in(tmp_path / "utm.pmtiles")]
    assert 495 < min(one.min() for one in found) < max(one.max() for one in found) < 680
    with pytest.raises(InputError, match="--terrain"):
        build(tmp_path / "utm.tif", tmp_path / "picture.pmtiles")


@pytest.mark.real_data
@pytest.mark.slow
def test_a_real_elevation_model_becomes_tiles_of_its_own_heights(real_data: Path, tmp_path: Path) -> None:
    built = build(
        real_data / "terrain" / "Rome-30m-DEM.tif",
        tmp_path / "rome.pmtiles",
        is_terrain=True,
        max_zoom=10,
    )
    heights = [_decoded(data) for _, data in tiles_in(tmp_path / "rome.pmtiles")]
    assert built.tiles == len(heights) > 0
    assert all(-60 < one.min() <= one.max() < 2_600 for one in heights)


def test_what_holds_no_heights_is_refused_with_a_sentence(tmp_path: Path) -> None:
    for name in ("x.tif", "x.hgt", "x.npz", "x.txt"):
        (tmp_path / name).write_bytes(b"this is not a relief")
        with pytest.raises(InputError):
            build(tmp_path / name, tmp_path / "out.pmtiles", is_terrain=True)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no terrain files"):
        build(tmp_path / "empty", tmp_path / "out.pmtiles", is_terrain=True)
    assert not (tmp_path / "out.pmtiles").exists()
