"""A chart comes from a GeoPackage or GeoJSON in degrees; what is no chart is refused with a sentence."""

import json
from contextlib import closing, suppress
from pathlib import Path

import apsw
import pytest
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.chart.config import ChartConfig
from edge.chart.keep_off import read_keep_off
from edge.chart.polygons import read_polygons
from skywarden.errors import ConfigError, InputError

SQUARE = [[[7.0, 45.0], [7.1, 45.0], [7.1, 45.1], [7.0, 45.1], [7.0, 45.0]]]
OTHER = [[[8.0, 45.0], [8.1, 45.0], [8.1, 45.1], [8.0, 45.0]]]


def geojson(path: Path, *geometries: object, **more: object) -> Path:
    """A feature collection of these geometries."""
    features = [{"type": "Feature", "properties": {"a": 1}, "geometry": one} for one in geometries]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features, **more}), encoding="utf-8")
    return path


def geopackage(path: Path, layers: dict[str, list[shapely.Polygon]], srs: int = 4326) -> Path:
    """A GeoPackage with the tables that a reader of features needs."""
    with closing(apsw.Connection(str(path))) as base:
        base.pragma("application_id", 0x47504B47)
        base.execute(
            "CREATE TABLE gpkg_spatial_ref_sys (srs_id INTEGER, organization TEXT, organization_coordsys_id);"
            "CREATE TABLE gpkg_geometry_columns (table_name TEXT, column_name TEXT, srs_id INTEGER);"
            "INSERT INTO gpkg_spatial_ref_sys VALUES (4326, 'EPSG', 4326), (32630, 'EPSG', 32630)"
        )
        for name, polygons in layers.items():
            base.execute(f'CREATE TABLE "{name}" (fid INTEGER PRIMARY KEY, geom BLOB)')
            base.execute("INSERT INTO gpkg_geometry_columns VALUES (?, 'geom', ?)", (name, srs))
            for polygon in polygons:
                blob = b"GP\0\1" + srs.to_bytes(4, "little") + shapely.to_wkb(polygon)
                base.execute(f'INSERT INTO "{name}" (geom) VALUES (?)', (blob,))
    return path


def test_polygons_of_every_kind_are_read_and_lines_are_passed_over(tmp_path: Path) -> None:
    collection = {"type": "GeometryCollection", "geometries": [{"type": "Polygon", "coordinates": OTHER}]}
    path = geojson(
        tmp_path / "land.geojson",
        {"type": "Polygon", "coordinates": SQUARE},
        {"type": "MultiPolygon", "coordinates": [SQUARE, OTHER]},
        {"type": "LineString", "coordinates": [[7.0, 45.0], [7.1, 45.0]]},
        collection,
        None,
    )
    assert len(read_polygons(path)) == 4
    alone = tmp_path / "alone.geojson"
    alone.write_text(json.dumps({"type": "Polygon", "coordinates": SQUARE}), encoding="utf-8")
    assert read_polygons(alone)[0].bounds == (7.0, 45.0, 7.1, 45.1)


def test_a_polygon_that_crosses_itself_is_mended(tmp_path: Path) -> None:
    bow = [[[7.0, 45.0], [7.1, 45.1], [7.1, 45.0], [7.0, 45.1], [7.0, 45.0]]]
    (first, second) = read_polygons(geojson(tmp_path / "a.json", {"type": "Polygon", "coordinates": bow}))
    assert first.is_valid
    assert second.is_valid


def test_a_geopackage_is_read_by_its_only_layer_or_by_name(tmp_path: Path) -> None:
    land, lake = shapely.box(7.0, 45.0, 7.1, 45.1), shapely.box(8.0, 45.0, 8.2, 45.1)
    one = geopackage(tmp_path / "one.gpkg", {"land": [land]})
    assert read_polygons(one) == [land]
    two = geopackage(tmp_path / "two.gpkg", {"land": [land], "lakes": [lake]})
    assert read_polygons(two, "lakes") == [lake]
    with pytest.raises(InputError, match=r"name one layer in chart\.layer; it has lakes, land|land, lakes"):
        read_polygons(two)


def test_a_geopackage_of_pyogrio_is_read(tmp_path: Path) -> None:
    pyogrio = pytest.importorskip("pyogrio.raw")
    import numpy as np

    land = shapely.box(7.0, 45.0, 7.1, 45.1)
    path = tmp_path / "made.gpkg"
    pyogrio.write(
        path, np.array([shapely.to_wkb(land)], dtype=object), [], [], geometry_type="Polygon", crs="EPSG:4326"
    )
    (found,) = read_polygons(path)
    assert found.equals(land)


def test_what_is_no_chart_is_refused_with_a_sentence(tmp_path: Path) -> None:
    polygon = {"type": "Polygon", "coordinates": SQUARE}
    metres = {"type": "Polygon", "coordinates": [[[5e5, 5e6], [5e5, 5.1e6], [6e5, 5e6], [5e5, 5e6]]]}
    land = shapely.box(7.0, 45.0, 7.1, 45.1)
    cases = {
        "holds no polygon": geojson(tmp_path / "empty.json"),
        "no longitude and latitude": geojson(tmp_path / "metres.json", metres),
        "not WGS 84": geojson(tmp_path / "utm.json", polygon, crs={"properties": {"name": "EPSG:32630"}}),
        "EPSG:32630; write it anew": geopackage(tmp_path / "utm.gpkg", {"land": [land]}, srs=32630),
        "cannot be read": tmp_path / "absent.gpkg",
    }
    junk = tmp_path / "junk.json"
    junk.write_bytes(b'{"type": "FeatureCollection", "features": [{"geometry": 7}]}')
    cases["neither a GeoPackage nor sound GeoJSON"] = junk
    for sentence, path in cases.items():
        with pytest.raises(InputError, match=sentence):
            read_polygons(path)
        with pytest.raises(ConfigError, match=r"^chart: "):
            read_keep_off(ChartConfig(path=str(path)))
    assert read_keep_off(ChartConfig()) is None


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 400), byte=st.integers(0, 255), cut=st.integers(0, 400))
def test_a_damaged_file_gives_polygons_or_one_kind_of_error(
    tmp_path: Path, at: int, byte: int, cut: int
) -> None:
    whole = geojson(
        tmp_path / "w.json", {"type": "MultiPolygon", "coordinates": [SQUARE, OTHER]}
    ).read_bytes()
    data = bytearray(whole[: len(whole) - cut if cut % 3 == 0 else len(whole)])
    if data:
        data[at % len(data)] = byte
    path = tmp_path / "damaged.json"
    path.write_bytes(bytes(data))
    with suppress(InputError):
        assert all(polygon.is_valid for polygon in read_polygons(path))


def test_a_damaged_geopackage_is_refused(tmp_path: Path) -> None:
    whole = geopackage(tmp_path / "w.gpkg", {"land": [shapely.box(7.0, 45.0, 7.1, 45.1)]}).read_bytes()
    for number in range(0, len(whole), len(whole) // 40):
        path = tmp_path / f"{number}.gpkg"
        path.write_bytes(whole[:number] + b"\xff" * 64 + whole[number + 64 :])
        try:
            read_polygons(path)
        except InputError:
            continue
