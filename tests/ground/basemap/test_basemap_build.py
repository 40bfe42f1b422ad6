"""Basemaps: what is written is read back by GDAL and by the plain rules of the format."""

import gzip
import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import apsw
import numpy as np
import pytest

from ground.basemap.archive import Tile, read_about, tile_id, write_pmtiles
from ground.basemap.build import build
from skywarden.errors import InputError

_SQUARE = {
    "type": "FeatureCollection",
    "features": [
        {
            "type": "Feature",
            "properties": {"name": "Harbour"},
            "geometry": {
                "type": "Polygon",
                "coordinates": [
                    [[-3.43, 36.70], [-3.41, 36.70], [-3.41, 36.71], [-3.43, 36.71], [-3.43, 36.70]]
                ],
            },
        }
    ],
}


def test_tile_numbers_are_those_of_the_specification() -> None:
    assert [tile_id(one) for one in ((0, 0, 0), (1, 0, 0), (1, 0, 1), (1, 1, 1), (1, 1, 0), (2, 0, 0))] == [
        0,
        1,
        2,
        3,
        4,
        5,
    ]
    assert tile_id((12, 3423, 1763)) == 19_078_479
    for zoom in (2, 3, 5):
        side = range(1 << zoom)
        numbers = sorted((tile_id((zoom, x, y)), x, y) for x in side for y in side)
        first = (4**zoom - 1) // 3
        assert [one[0] for one in numbers] == list(range(first, first + 4**zoom))
        steps = [abs(a[1] - b[1]) + abs(a[2] - b[2]) for a, b in pairwise(numbers)]
        assert set(steps) == {1}  # a Hilbert curve goes from neighbour to neighbour
    with pytest.raises(InputError):
        tile_id((1, 2, 0))


def test_a_tile_that_comes_twice_or_none_at_all_is_refused(tmp_path: Path) -> None:
    def made(tiles: list[tuple[Tile, bytes]]) -> None:
        write_pmtiles(tmp_path / "x.pmtiles", tiles, kind="png", bounds=(0, 0, 1, 1), metadata={})

    with pytest.raises(InputError, match="not one tile"):
        made([])
    with pytest.raises(InputError, match="twice"):
        made([((1, 0, 0), b"a"), ((1, 0, 0), b"b")])


def test_a_vector_file_becomes_tiles_that_gdal_reads(tmp_path: Path) -> None:
    import pyogrio

    source = tmp_path / "harbour.geojson"
    source.write_text(json.dumps(_SQUARE), encoding="utf-8")
    built = build(source, tmp_path / "harbour.pmtiles", title="Harbour limits", max_zoom=10)
    assert (built.kind, built.layers) == ("vector", ("harbour",))
    assert json.loads((tmp_path / "harbour.json").read_text(encoding="utf-8")) == {
        "title": "Harbour limits",
        "style": {"tiles": "vector", "layers": ["harbour"]},
    }
    meta, _, shapes, _ = pyogrio.raw.read(tmp_path / "harbour.pmtiles")
    assert len(shapes) >= 1
    assert "name" in meta["fields"]


def test_mbtiles_keep_their_bytes_and_turn_their_rows(tmp_path: Path) -> None:
    source = tmp_path / "old.mbtiles"
    _write_mbtiles(source, [(1, 0, 0, b"south-west"), (1, 1, 1, b"north-east")], {"format": "png"})
    built = build(source, tmp_path / "old.pmtiles")
    assert (built.kind, built.tiles) == ("raster", 2)
    found = dict(_tiles(tmp_path / "old.pmtiles"))
    assert found == {tile_id((1, 0, 1)): b"south-west", tile_id((1, 1, 0)): b"north-east"}


def test_many_tiles_go_into_leaves_and_all_are_found_again(tmp_path: Path) -> None:
    side = 1 << 7
    tiles = [((7, x, y), f"{x}/{y}/{'x' * (x * y % 97)}".encode()) for x in range(side) for y in range(side)]
    write_pmtiles(tmp_path / "many.pmtiles", tiles, kind="png", bounds=(-180, -85, 180, 85), metadata={})
    assert dict(_tiles(tmp_path / "many.pmtiles")) == {tile_id(tile): data for tile, data in tiles}


@pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")
def test_a_picture_with_a_place_becomes_tiles(tmp_path: Path) -> None:
    import rasterio
    from rasterio.transform import from_bounds

    pixels = np.random.default_rng(1).integers(0, 255, (3, 300, 400), dtype=np.uint8)
    with rasterio.open(
        tmp_path / "photo.tif",
        "w",
        driver="GTiff",
        width=400,
        height=300,
        count=3,
        dtype="uint8",
        crs="EPSG:4326",
        transform=from_bounds(-3.43, 36.70, -3.41, 36.71, 400, 300),
    ) as image:
        image.write(pixels)
    built = build(tmp_path / "photo.tif", tmp_path / "photo.pmtiles", max_zoom=14)
    assert built.kind == "raster"
    found = list(_tiles(tmp_path / "photo.pmtiles"))
    assert len(found) == built.tiles >= 9
    assert all(data[:4] == b"\x89PNG" for _, data in found)


@pytest.mark.parametrize("name", ["x.txt", "x.mbtiles", "x.tif", "x.gpkg"])
def test_what_is_no_map_is_refused_with_a_sentence(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"this is not a map")
    with pytest.raises(InputError):
        build(tmp_path / name, tmp_path / "out.pmtiles")
    assert not (tmp_path / "out.pmtiles").exists()


def _write_mbtiles(path: Path, tiles: list[tuple[int, int, int, bytes]], about: dict[str, str]) -> None:
    db = apsw.Connection(str(path))
    try:
        db.execute(
            "CREATE TABLE metadata(name, value);"
            "CREATE TABLE tiles(zoom_level, tile_column, tile_row, tile_data)"
        )
        db.executemany("INSERT INTO metadata VALUES(?, ?)", list(about.items()))
        db.executemany("INSERT INTO tiles VALUES(?, ?, ?, ?)", tiles)
    finally:
        db.close()


def _tiles(path: Path) -> Iterator[tuple[int, bytes]]:
    """A reader of its own, straight from the specification."""
    with path.open("rb") as file:
        read_about(file)
    data = path.read_bytes()
    root_at, root_size, _, _, leaves_at, _, tiles_at, _ = (
        int.from_bytes(data[8 + 8 * index : 16 + 8 * index], "little") for index in range(8)
    )

    def entries(packed: bytes) -> Iterator[tuple[int, int, int, int]]:
        raw = gzip.decompress(packed)
        at = 0

        def number() -> int:
            nonlocal at
            value = shift = 0
            while True:
                byte = raw[at]
                at += 1
                value |= (byte & 0x7F) << shift
                shift += 7
                if byte < 0x80:
                    return value

        count = number()
        ids = np.cumsum([number() for _ in range(count)]).tolist()
        runs, lengths = [number() for _ in range(count)], [number() for _ in range(count)]
        offset = 0
        for index in range(count):
            told = number()
            offset = offset + lengths[index - 1] if told == 0 else told - 1
            yield ids[index], runs[index], lengths[index], offset

    def walk(packed: bytes) -> Iterator[tuple[int, bytes]]:
        for number, run, length, offset in entries(packed):
            if run == 0:
                yield from walk(data[leaves_at + offset : leaves_at + offset + length])
            for step in range(run):
                yield number + step, data[tiles_at + offset : tiles_at + offset + length]

    yield from walk(data[root_at : root_at + root_size])
