"""Every file format, read back by somebody else's reader; what nobody confirmed says so on its face."""

import csv
import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gpxpy
import msgspec
import numpy as np
import pyogrio.raw
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from ground.exports.files import FORMATS, Format, check_layers, write_export
from ground.exports.markup import xml_text
from ground.exports.rows import sighting_row, track_row
from ground.exports.selection import Selection
from ground.exports.shapes import ellipse_geometry, ellipse_ring, line_geometry
from ground.exports.spreadsheet import write_csv
from ground.exports.tables import LAYERS, TABLES, Layer, properties_of
from ground.store.reading import StoredSighting
from skywarden.errors import UsageError
from skywarden.times import parse_rfc3339
from tests.ground.exports.made import FORMULA, ExportScene
from tests.ground.scenes import START_NS, position, sighting


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExportScene]:
    made = ExportScene(tmp_path_factory.mktemp("exports"))
    yield made
    made.close()


def _written(
    scene: ExportScene, folder: Path, form: Format, *layers: Layer, **asked: Any
) -> tuple[Path, dict[str, int]]:
    path = folder / f"made.{form}"
    found = write_export(form, layers, scene.source(), Selection(**asked), path, time_ns=START_NS)
    return path, found.counts


def _read(path: Path, layer: str) -> tuple[dict[str, Any], list[Any]]:
    meta, _, geometry, fields = pyogrio.raw.read(path, layer=layer)
    columns = dict(zip(meta["fields"], fields, strict=True))
    shapes = [shapely.from_wkb(one) if one is not None else None for one in geometry]
    return columns, shapes


@pytest.mark.parametrize("form", FORMATS)
def test_only_what_people_confirmed_leaves_in_any_format(
    scene: ExportScene, tmp_path: Path, form: Format
) -> None:
    layers: tuple[Layer, ...] = (
        ("contacts",) if form == "csv" else ("contacts", "sightings", "tracks", "plots")
    )
    path, counts = _written(scene, tmp_path, form, *layers)
    assert counts["contacts"] == 1
    if form != "csv":
        assert counts == {"contacts": 1, "sightings": 3, "tracks": 1, "plots": 1}
    data = path.read_bytes()
    if form == "kmz":
        data = zipfile.ZipFile(path).read("doc.kml")
    assert b"eo.t0" in data
    assert b"eo.t1" not in data
    assert b"eo.t3" not in data
    assert b"UNREVIEWED" not in data


@pytest.mark.parametrize("form", FORMATS)
def test_what_nobody_confirmed_says_so_on_its_face_and_what_was_rejected_stays(
    scene: ExportScene, tmp_path: Path, form: Format
) -> None:
    layers: tuple[Layer, ...] = (
        ("contacts",) if form == "csv" else ("contacts", "sightings", "tracks", "plots")
    )
    path, counts = _written(scene, tmp_path, form, *layers, with_unreviewed=True)
    assert counts["contacts"] == (3 if form == "gpx" else 4)  # one has no place
    data = path.read_bytes()
    if form == "kmz":
        data = zipfile.ZipFile(path).read("doc.kml")
    assert b"NOT CONFIRMED (unreviewed)" in data
    assert b"NOT CONFIRMED (more)" in data
    assert b"eo.t1" not in data
    if form != "csv":
        assert b"UNREVIEWED" in data


def test_a_geopackage_has_a_layer_for_each_kind_and_ellipses_and_times(
    scene: ExportScene, tmp_path: Path
) -> None:
    path, _ = _written(scene, tmp_path, "gpkg", *LAYERS, with_unreviewed=True)
    layers = dict(pyogrio.list_layers(path))
    assert layers["contacts_UNREVIEWED"] == "Point Z"
    assert layers["contacts_ellipse_90_UNREVIEWED"] == "MultiPolygon"
    assert set(layers) >= {"tracks_UNREVIEWED", "plots_UNREVIEWED", "ais_as_transmitted"}
    columns, shapes = _read(path, "sightings_UNREVIEWED")
    (index,) = np.flatnonzero(columns["sighting_id"] == "uav07-s1-eo.t0-2")
    assert columns["time_utc"][index] == np.datetime64(START_NS // 10**6 + 2_000, "ms")
    assert columns["frame_number"][index] == 2
    assert columns["ce90_m"][index] == pytest.approx(8.58, abs=0.01)
    assert (shapes[index].x, shapes[index].y, shapes[index].z) == pytest.approx(
        (20.0, 2 / 111_319.49, 12.0), abs=1e-8
    )
    assert shapes[list(columns["sighting_id"]).index("uav07-s1-eo.t9-1")] is None
    ellipses, rings = _read(path, "contacts_ellipse_90_UNREVIEWED")
    assert len(rings) == 3
    assert all(one.is_valid for one in rings)
    assert list(ellipses["label"]).count("vessel") == 2
    plots, outlines = _read(path, "plots_UNREVIEWED")
    assert len(outlines[0].geoms[0].interiors) == 1
    assert plots["area_m2"][0] == 19_600.0
    ais, _ = _read(path, "ais_as_transmitted")
    assert set(ais["name"]) == {"+MARIA"}
    assert set(ais["mark"]) == {"AS TRANSMITTED, NOT VERIFIED"}


def test_a_geopackage_without_anything_in_it_opens(scene: ExportScene, tmp_path: Path) -> None:
    path, counts = _written(scene, tmp_path, "gpkg", "contacts", labels=("nothing",))
    assert counts == {"contacts": 0}
    assert len(_read(path, "contacts")[1]) == 0


def test_a_kml_has_folders_times_ellipses_and_data_for_gdal(scene: ExportScene, tmp_path: Path) -> None:
    path, _ = _written(scene, tmp_path, "kml", "contacts", "sightings", "tracks", "plots", "ais")
    assert [name for name, _ in pyogrio.list_layers(path)] == [
        "Contacts", "Contacts: 90 % ellipses", "Sightings", "Sightings: 90 % ellipses", "Tracks", "Plots",
        "AIS, as transmitted",
    ]  # fmt: skip
    columns, shapes = _read(path, "Sightings")
    assert columns["ce90_m"][0] == pytest.approx(8.58, abs=0.01)
    assert columns["label"][0] == "vessel"
    assert shapes[0].x == pytest.approx(20.0)
    contacts, _ = _read(path, "Contacts")
    assert contacts["begin"][0] == np.datetime64(START_NS // 10**6 + 1_000, "ms")
    assert contacts["end"][0] == np.datetime64(START_NS // 10**6 + 3_000, "ms")
    _, rings = _read(path, "Contacts: 90 % ellipses")
    assert rings[0].geom_type == "Polygon"
    _, lines = _read(path, "Tracks")
    assert shapely.get_num_coordinates(lines[0]) == 3
    _, plots = _read(path, "Plots")
    assert len(plots[0].interiors) == 1


def test_a_kml_is_what_the_schema_of_kml_expects_in_order(scene: ExportScene, tmp_path: Path) -> None:
    path, _ = _written(scene, tmp_path, "kml", "contacts", "tracks", with_unreviewed=True)
    tree = etree.parse(path)
    names = {"k": "http://www.opengis.net/kml/2.2", "gx": "http://www.google.com/kml/ext/2.2"}
    assert tree.findtext("k:Document/k:name", namespaces=names).startswith("Skywarden. UNREVIEWED")
    order = ["name", "description", "TimeSpan", "TimeStamp", "styleUrl", "ExtendedData"]
    for mark in tree.iterfind(".//k:Placemark", names):
        found = [etree.QName(one).localname for one in mark]
        known = [one for one in found if one in order]
        assert known == sorted(known, key=order.index)
    track = tree.find(".//gx:Track", names)
    assert len(track.findall("k:when", names)) == len(track.findall("gx:coord", names)) == 3
    styles = {one.text for one in tree.iterfind(".//k:styleUrl", names)}
    assert styles == {"#confirmed", "#open"}


def test_a_kmz_carries_the_images_that_its_balloons_show(scene: ExportScene, tmp_path: Path) -> None:
    path, _ = _written(scene, tmp_path, "kmz", "contacts")
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert archive.read("chips/000001.jpg").startswith(b"\xff\xd8\xff")
        assert b"chips/000001.jpg" in archive.read("doc.kml")
    columns, _ = _read(path, "Contacts")
    assert columns["contact_id"][0] == "c-uav07-s1-eo.t0"


def test_a_csv_has_one_header_with_units_and_runs_nothing(scene: ExportScene, tmp_path: Path) -> None:
    path, _ = _written(scene, tmp_path, "csv", "contacts", with_unreviewed=True)
    lines = list(csv.DictReader(io.StringIO(path.read_text("utf-8"), newline="")))
    assert list(lines[0]) == [one.name for one in TABLES["contacts"]]
    (odd,) = [one for one in lines if one["contact_id"] == "c-uav07-s1-eo.t3"]
    assert odd["label"] == f"'{FORMULA}"
    assert odd["mark"] == "NOT CONFIRMED (unreviewed)"
    (sure,) = [one for one in lines if one["review"] == "confirmed"]
    assert parse_rfc3339(sure["last_seen_utc"]) == START_NS + 3 * 10**9
    assert float(sure["ce90_m"]) > 0
    (lost,) = [one for one in lines if one["latitude_deg"] == ""]
    assert lost["no_position_reason"] == "telemetry_stale"


def test_a_gpx_has_waypoints_tracks_and_outlines(scene: ExportScene, tmp_path: Path) -> None:
    path, _ = _written(scene, tmp_path, "gpx", "contacts", "tracks", "plots", with_unreviewed=True)
    found = gpxpy.parse(path.read_text("utf-8"))
    assert found.description.startswith("UNREVIEWED")
    assert {one.name.split(":")[0] for one in found.waypoints} >= {"NOT CONFIRMED (more)"}
    (sure,) = [one for one in found.waypoints if not one.name.startswith("NOT")]
    assert sure.latitude == pytest.approx(position(north_m=2.0).latitude_deg, abs=1e-4)
    assert "CE90" in (sure.description or "")
    track = next(one for one in found.tracks if "eo.t0" in (one.name or ""))
    assert [point.time.timestamp() for point in track.segments[0].points] == [
        (START_NS + n * 10**9) / 1e9 for n in (1, 2, 3)
    ]
    outline = next(one for one in found.tracks if "eo.p1" in (one.name or ""))
    assert len(outline.segments) == 2


def test_geojson_features_are_the_tables_and_gdal_reads_them(scene: ExportScene, tmp_path: Path) -> None:
    path, _ = _written(scene, tmp_path, "geojson", "contacts", "plots")
    tree = json.loads(path.read_text("utf-8"))
    assert tree["notice"] == "Everything in here has been confirmed by a person"
    assert tree["numberReturned"] == len(tree["features"]) == 2
    assert [one["properties"]["layer"] for one in tree["features"]] == ["contacts", "plots"]
    assert len(_read(path, "made")[1]) == 2


def test_rows_have_the_columns_of_their_table_and_no_others(scene: ExportScene) -> None:
    source = scene.source()
    for layer in LAYERS:
        rows = list(source.rows(layer, Selection(with_unreviewed=True)))
        assert rows
        for row in rows:
            assert set(row.values) == {one.name for one in TABLES[layer]}
            json.dumps(properties_of(row, layer), allow_nan=False)


def test_box_time_class_and_state_are_asked_of_every_layer(scene: ExportScene) -> None:
    source = scene.source()

    def ids(layer: Layer, **asked: Any) -> set[str]:
        return {one.feature_id for one in source.rows(layer, Selection(with_unreviewed=True, **asked))}

    assert ids("contacts", labels=(FORMULA,)) == {"c-uav07-s1-eo.t3"}
    assert ids("contacts", states=("more",)) == {"c-uav07-s1-eo.t2"}
    assert ids("contacts", labels=(FORMULA, "vessel"), states=("confirmed", "unreviewed")) == {
        "c-uav07-s1-eo.t0", "c-uav07-s1-eo.t3", "c-uav07-s1-eo.t9",
    }  # fmt: skip
    near = (19.999, -0.001, 20.001, 0.001)
    assert ids("tracks", bbox=near) == {"uav07-s1-eo.t0"}
    assert ids("sightings", bbox=near, since_ns=START_NS + 2 * 10**9) == {
        "uav07-s1-eo.t0-2", "uav07-s1-eo.t0-3",
    }  # fmt: skip
    assert len(ids("ais", since_ns=START_NS + 2 * 10**9)) == 3
    assert len(ids("ais", bbox=(20.0035, 0.0, 21.0, 1.0))) == 1
    assert len(ids("sightings", limit=4)) == 4
    assert ids("plots", states=("confirmed",)) == {"uav07-s1-eo.p1"}


def test_a_selection_that_would_let_something_slip_out_is_refused() -> None:
    with pytest.raises(UsageError, match="rejected does not leave"):
        Selection(states=("rejected",), with_unreviewed=True)
    with pytest.raises(UsageError, match="not been confirmed"):
        Selection(states=("more",))
    with pytest.raises(UsageError, match="ends before"):
        Selection(since_ns=2, until_ns=1)
    with pytest.raises(UsageError, match="nothing to write"):
        Selection(limit=0)
    with pytest.raises(UsageError, match="one table"):
        check_layers("csv", ("contacts", "plots"))


def test_a_track_is_confirmed_only_where_each_of_its_places_is() -> None:
    looks = [
        StoredSighting(sighting=sighting(number=n, at_s=n, place=position(east_m=n)), received_ns=0,
                       contact_id="c", chip_id=None)
        for n in (1, 2)
    ]  # fmt: skip
    sure = track_row([(looks[0], "confirmed"), (looks[1], "confirmed")])
    open_one = track_row([(looks[0], "unreviewed"), (looks[1], "confirmed")])
    assert sure is not None
    assert open_one is not None
    assert (sure.values["mark"], open_one.values["mark"]) == ("", "NOT CONFIRMED (unreviewed)")
    lost = StoredSighting(sighting=sighting(number=3), received_ns=0, contact_id="c", chip_id=None)
    assert track_row([(lost, "confirmed")]) is None


def test_a_line_over_the_antimeridian_is_cut_there() -> None:
    line = line_geometry(((0, 179.9, 10.0, 0.0), (1, -179.9, 10.2, 0.0), (2, -179.8, 10.2, 0.0)))
    assert line["type"] == "MultiLineString"
    assert line["coordinates"][0][-1] == [180.0, 10.1, 0.0]
    assert line["coordinates"][1][0] == [-180.0, 10.1, 0.0]


def test_an_ellipse_goes_round_counter_clockwise_and_has_its_axes() -> None:
    place = position(latitude_deg=45.0, sigma_m=10.0)
    ring = shapely.LinearRing(ellipse_ring(place))
    assert ring.is_ccw
    north = max(lat for _, lat in ellipse_ring(place)) - place.latitude_deg
    assert north * 111_132.0 == pytest.approx(10.0 * np.sqrt(4.605170186), rel=0.01)


@given(st.text(max_size=60))
def test_no_text_breaks_xml(text: str) -> None:
    tree = etree.fromstring(f'<a b="{xml_text(text)}">{xml_text(text)}</a>'.encode())
    assert len(tree.get("b")) == len(text)


@given(st.text(min_size=1, max_size=60))
def test_no_text_becomes_a_formula_or_another_row(text: str) -> None:
    seen = sighting(place=position(), label="x")
    row = sighting_row(StoredSighting(sighting=seen, received_ns=0, contact_id=None, chip_id=None), "more")
    values = {**row.values, "label": text}
    out = io.BytesIO()
    hostile = type(row)(feature_id="x", title=text, geometry=None, values=values, first_ns=0, last_ns=0,
                        state="more")  # fmt: skip
    write_csv("sightings", [hostile], out)
    lines = list(csv.DictReader(io.StringIO(out.getvalue().decode("utf-8", "replace"), newline="")))
    assert len(lines) == 1
    assert not lines[0]["label"].lstrip().startswith(("=", "+", "-", "@", "|", "%"))


def test_an_ellipse_over_the_antimeridian_is_cut_in_two() -> None:
    place = msgspec.structs.replace(position(sigma_m=500.0), longitude_deg=179.999)
    found = shapely.from_geojson(json.dumps(ellipse_geometry(place)))
    assert found.geom_type == "MultiPolygon"
    assert found.is_valid
    west, _, east, _ = found.bounds
    assert (west, east) == (-180.0, 180.0)
