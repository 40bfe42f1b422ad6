"""Zones out of people's files; whatever else is in them is refused by name and hurts nothing."""

import contextlib
import json
import sqlite3
import struct
from pathlib import Path
from typing import Any

import pytest
import shapely
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ground.alerts.zone_files import AsZones, parse_zones, read_zones
from ground.alerts.zones import Zone, ZoneShape
from skywarden.errors import InputError
from tests.ground.scenes import position

RING = [[19.99, -0.01], [20.01, -0.01], [20.01, 0.01], [19.99, 0.01], [19.99, -0.01]]
LINE = [[19.99, 0.0], [20.0, 0.0], [20.01, 0.001]]
AS = AsZones(source="test")


def _feature(kind: str, coordinates: Any, **properties: Any) -> dict[str, Any]:
    geometry = {"type": kind, "coordinates": coordinates}
    return {"type": "Feature", "properties": properties, "geometry": geometry}


def _collection(*features: dict[str, Any]) -> bytes:
    return json.dumps({"type": "FeatureCollection", "features": features}).encode()


def _holds_the_middle(zone: Zone) -> bool:
    return ZoneShape(zone).probability(position()) == 1.0


def test_geojson_of_all_kinds() -> None:
    data = _collection(
        _feature("Polygon", [RING], name="Bay"),
        _feature("MultiPolygon", [[RING]], name="Bay", zone_kind="mute"),
        _feature("LineString", LINE, name="Lane"),
        _feature("Point", [20.0, 0.0], name="Buoy"),
        {"type": "Feature", "properties": None, "geometry": None},
    )
    found = parse_zones(data, AS)
    assert [(zone.name, zone.kind) for zone in found] == [("Bay", "area"), ("Bay", "mute"), ("Lane", "line")]
    assert len({zone.zone_id for zone in found}) == 3
    assert _holds_the_middle(found[0])
    assert parse_zones(data, AS) == found
    (lane,) = parse_zones(_collection(_feature("LineString", LINE)), AsZones(width_m=400.0))
    assert (lane.kind, lane.width_m) == ("corridor", 400.0)
    assert _holds_the_middle(lane)


def test_kml_with_holes_folders_and_names() -> None:
    ring = " ".join(f"{lon},{lat},0" for lon, lat in RING)
    hole = "20.001,0.001 20.002,0.001 20.002,0.002 20.001,0.001"
    kml = f"""<?xml version="1.0"?><kml xmlns="http://www.opengis.net/kml/2.2"><Document><Folder>
      <Placemark><name>Cala &lt;Norte&gt;</name><Polygon><outerBoundaryIs><LinearRing><coordinates>
      {ring}</coordinates></LinearRing></outerBoundaryIs><innerBoundaryIs><LinearRing><coordinates>{hole}
      </coordinates></LinearRing></innerBoundaryIs></Polygon></Placemark>
      <Placemark><LineString><coordinates>19.9,0 20.1,0</coordinates></LineString></Placemark>
      <Placemark><name>no shape</name><Point><coordinates>20,0</coordinates></Point></Placemark>
      </Folder></Document></kml>"""
    bay, line = parse_zones(kml.encode(), AS)
    assert bay.name == "Cala <Norte>"
    assert len(bay.polygons[0]) == 2
    assert _holds_the_middle(bay)
    assert line.kind == "line"


def test_a_plan_of_qgroundcontrol() -> None:
    pairs = [[lat, lon] for lon, lat in RING[:-1]]
    plan = {
        "fileType": "Plan",
        "version": 1,
        "geoFence": {
            "version": 2,
            "polygons": [{"inclusion": True, "polygon": pairs, "version": 1}],
            "circles": [{"circle": {"center": [0.0, 20.0], "radius": 300.0}, "inclusion": False}],
        },
        "mission": {
            "version": 2,
            "items": [
                {"type": "SimpleItem", "command": 16, "params": [0, 0, 0, None, 0.0, 20.0, 50]},
                {"type": "ComplexItem", "complexItemType": "survey", "polygon": pairs},
                {"type": "ComplexItem", "complexItemType": "CorridorScan", "polyline": pairs[:2]},
            ],
        },
    }
    found = parse_zones(json.dumps(plan).encode(), AS, name="north")
    assert [(zone.name, zone.kind) for zone in found] == [
        ("north fence 1", "area"),
        ("north circle 1", "area"),
        ("north survey 2", "area"),
        ("north CorridorScan 3", "line"),
    ]
    assert all(_holds_the_middle(zone) for zone in found[:3])


def geopackage(path: Path, blob: bytes, *, epsg: int = 4326) -> Path:
    """A GeoPackage of one feature."""
    db = sqlite3.connect(path)
    try:
        db.executescript(
            "CREATE TABLE gpkg_spatial_ref_sys(srs_id INTEGER, organization TEXT, "
            "organization_coordsys_id INTEGER);"
            "CREATE TABLE gpkg_contents(table_name TEXT, data_type TEXT);"
            "CREATE TABLE gpkg_geometry_columns(table_name TEXT, column_name TEXT, srs_id INTEGER);"
            'CREATE TABLE "my areas"(fid INTEGER PRIMARY KEY, geom BLOB, Name TEXT);'
            "INSERT INTO gpkg_contents VALUES ('my areas', 'features');"
            "INSERT INTO gpkg_geometry_columns VALUES ('my areas', 'geom', 7);"
        )
        db.execute("INSERT INTO gpkg_spatial_ref_sys VALUES (7, 'EPSG', ?)", (epsg,))
        db.execute("INSERT INTO \"my areas\"(geom, Name) VALUES (?, 'Reserve')", (blob,))
        db.commit()
    finally:
        db.close()
    return path


def gpkg_blob(geometry: shapely.Geometry, *, has_envelope: bool = True) -> bytes:
    """A geometry as a GeoPackage keeps it."""
    flags = 1 | (2 if has_envelope else 0)
    envelope = struct.pack("<4d", *geometry.bounds) if has_envelope else b""
    body: bytes = shapely.to_wkb(geometry)
    return b"GP\0" + bytes([flags]) + struct.pack("<i", 7) + envelope + body


def test_a_geopackage_in_degrees_and_in_metres(tmp_path: Path) -> None:
    (zone,) = read_zones(geopackage(tmp_path / "a.gpkg", gpkg_blob(shapely.Polygon(RING))))
    assert zone.name == "Reserve"
    assert _holds_the_middle(zone)
    metres = shapely.box(2_226_389.8 - 900, -900, 2_226_389.8 + 900, 900)  # 20 E 0 N in Web Mercator
    blob = gpkg_blob(metres, has_envelope=False)
    (zone,) = read_zones(geopackage(tmp_path / "b.gpkg", blob, epsg=3857))
    assert _holds_the_middle(zone)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "neither GeoJSON"),
        (b"PK\3\4", "neither GeoJSON"),
        (b"{", "not valid JSON"),
        (b"[" * 100_000, "neither GeoJSON"),
        (b'{"a":' * 100_000, "not valid JSON"),
        (_collection(), "no area"),
        (_collection(_feature("Polygon", [[[500_000.0, 4_000_000.0]] * 4])), "metres"),
        (_collection(_feature("Polygon", [[[True, 1.0]] * 4])), "no number"),
        (_collection(_feature("Polygon", "here")), "no list"),
        (_collection(_feature("LineString", [[1.0]])), "one number"),
        (_collection(_feature("LineString", [[20.0, 0.0]] * 30_000)), "at most"),
        (b"<html/>", "not KML"),
        (b"<kml", "not valid XML"),
        (b'<!DOCTYPE kml [<!ENTITY a "b">]><kml/>', "document type"),
        (b"<kml><Placemark><LineString><coordinates>a,b</coordinates></LineString></Placemark></kml>", "a,b"),
        (b'{"fileType": "Plan", "geoFence": {"circles": [{"circle": {"center": [0, 0]}}]}}', "radius"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_reason(data: bytes, words: str) -> None:
    with pytest.raises(InputError, match=words):
        parse_zones(data, AS)


def test_a_geopackage_that_is_none_or_damaged_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.gpkg"
    sqlite3.connect(path).execute("CREATE TABLE a(b)").connection.close()
    with pytest.raises(InputError, match="GeoPackage"):
        read_zones(path)
    with pytest.raises(InputError, match="header"):
        read_zones(geopackage(tmp_path / "y.gpkg", b"nonsense"))
    with pytest.raises(InputError, match="damaged"):
        read_zones(geopackage(tmp_path / "z.gpkg", b"GP\0\1" + bytes(4) + b"\1\3"))
    path.write_bytes(b"SQLite format 3\0" + bytes(200))
    with pytest.raises(InputError):
        read_zones(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_zones(tmp_path / "missing")


_json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5) | st.integers(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(
    kind=st.sampled_from(["Polygon", "MultiPolygon", "LineString", "Feature", "FeatureCollection"]),
    value=_json_values,
    key=st.sampled_from(["coordinates", "features", "geometry", "geoFence", "mission", "properties"]),
    file_type=st.sampled_from(["Plan", "x"]),
)
@example(kind="MultiPolygon", value=[[]], key="coordinates", file_type="x")
@example(kind="MultiPolygon", value=[], key="coordinates", file_type="x")
def test_no_json_does_more_than_be_refused(kind: str, value: Any, key: str, file_type: str) -> None:
    data = json.dumps({"type": kind, "fileType": file_type, key: value}).encode()
    with contextlib.suppress(InputError):
        parse_zones(data, AS)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_do_more_than_be_refused(data: bytes) -> None:
    for head in (b"", b"<kml>", b"{"):
        with pytest.raises(InputError):
            parse_zones(head + data, AS)
