"""Sorties as STAC Items and MCAP, read by pystac, a JSON Schema of our own making, and mcap's reader."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pystac
import pytest
import shapely
from mcap.reader import make_reader

from ground.catalogue.folder import write_stac_folder
from ground.catalogue.sorties import Sortie, SortieShelf
from ground.catalogue.stac import extent_of
from ground.cli import app
from ground.recording.sortie_mcap import write_sortie_mcap
from ground.store.reading import StoredSighting
from skywarden.errors import InputError
from skywarden.messages import Position
from tests.ground.exports.made import ExportScene
from tests.ground.scenes import START_NS, arrival, position, sighting


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExportScene]:
    made = ExportScene(tmp_path_factory.mktemp("sorties"))
    second = sighting("uav09-s1-eo.t1", 1, at_s=500, place=position(), platform="uav09", sortie="s1")
    third = sighting("uav09-s2-eo.t1", 1, at_s=900, place=position(), platform="uav09", sortie="s2")
    made.store.ingest([arrival(second, 1, platform="uav09"), arrival(third, 2, platform="uav09")])
    made.store.settle(1)
    yield made
    made.close()


def test_sorties_are_found_by_what_was_seen_on_them(scene: ExportScene) -> None:
    shelf = SortieShelf(scene.store)
    found = shelf.sorties()
    assert [one.item_id for one in found] == ["uav09_s2", "uav09_s1", "uav07_s1"]
    oldest = found[-1]
    assert (oldest.track_count, oldest.sighting_count) == (5, 13)
    assert (oldest.first_ns, oldest.last_ns) == (START_NS + 10**9, START_NS + 60 * 10**9)
    assert shelf.sorties() == found, "and again from memory"
    assert shelf.named("s2").platform_id == "uav09"
    with pytest.raises(InputError, match="several platforms"):
        shelf.named("s1")
    with pytest.raises(InputError, match="no sortie"):
        shelf.named("../../etc")


def test_a_sortie_that_would_leave_its_folder_is_named_otherwise() -> None:
    odd = Sortie(platform_id=".", sortie_id="..", first_ns=0, last_ns=0, sighting_count=0, track_count=0)
    assert odd.item_id == "sortie.."


def _folder(scene: ExportScene, out: Path, *, with_unreviewed: bool, name: str = "uav07_s1") -> Path:
    one = SortieShelf(scene.store).named(name)
    made = write_stac_folder(
        scene.source(), one, out, with_unreviewed=with_unreviewed, made_ns=START_NS + 10**12
    )
    return made.item


def test_an_item_is_what_pystac_understands(scene: ExportScene, tmp_path: Path) -> None:
    _folder(scene, tmp_path, with_unreviewed=False)
    _folder(scene, tmp_path, with_unreviewed=True, name="uav09_s2")
    catalogue = pystac.Catalog.from_file(str(tmp_path / "catalog.json"))
    items = {one.id: one for one in catalogue.get_items()}
    assert set(items) == {"uav07_s1", "uav09_s2"}
    item = items["uav07_s1"]
    assert item.common_metadata.start_datetime is not None
    assert item.common_metadata.start_datetime.timestamp() == (START_NS + 10**9) / 1e9
    assert item.common_metadata.platform == "uav07"
    assert item.common_metadata.instruments == ["eo"]
    assert item.properties["skywarden:sightings"] == 3
    shape = shapely.geometry.shape(item.geometry)
    assert shape.is_valid
    assert shape.covers(shapely.Point(20.0, 2 / 111_319.49).buffer(1e-7))
    assert item.bbox == pytest.approx(shape.bounds, abs=1e-6)
    assert items["uav09_s2"].properties["title"].startswith("UNREVIEWED")
    assert "UNREVIEWED-sightings.geojson" in items["uav09_s2"].assets["sightings"].href
    for asset in item.assets.values():
        path = Path(asset.get_absolute_href() or "")
        assert path.stat().st_size == asset.extra_fields["file:size"]
        assert asset.extra_fields["file:checksum"].startswith("1220")
    assert b"eo.t3" not in Path(item.assets["sightings"].get_absolute_href() or "").read_bytes()


def test_an_item_has_all_that_the_standard_asks_for(scene: ExportScene, tmp_path: Path) -> None:
    tree = json.loads(_folder(scene, tmp_path, with_unreviewed=True).read_text("utf-8"))
    assert set(tree) >= {"type", "stac_version", "id", "geometry", "bbox", "properties", "links", "assets"}
    assert tree["properties"]["datetime"] is None
    assert {"start_datetime", "end_datetime"} <= set(tree["properties"])
    assert {"self", "root", "parent"} <= {one["rel"] for one in tree["links"]}
    assert "collection" not in tree


def test_a_flight_folder_brings_its_files_along(scene: ExportScene, tmp_path: Path) -> None:
    flight = tmp_path / "flight"
    (flight / "video").mkdir(parents=True)
    (flight / "flight.json").write_text("{}")
    (flight / "telemetry.tlog").write_bytes(b"12345")
    (flight / "video" / "eo.ts").write_bytes(b"123")
    (flight / "MANIFEST.sha256").write_text(f"{'ab' * 32}  telemetry.tlog\nnonsense\n")
    one = SortieShelf(scene.store).named("uav07_s1")
    made = write_stac_folder(
        scene.source(), one, tmp_path / "out", with_unreviewed=False, made_ns=START_NS, flight=flight
    )
    assets = json.loads(made.item.read_text("utf-8"))["assets"]
    assert assets["flight-telemetry.tlog"]["file:checksum"] == f"1220{'ab' * 32}"
    assert assets["flight-video-eo.ts"]["type"] == "video/mp2t"
    with pytest.raises(InputError, match="no flight folder"):
        write_stac_folder(
            scene.source(), one, tmp_path / "out", with_unreviewed=False, made_ns=0, flight=tmp_path
        )


def test_another_catalogue_is_left_alone(scene: ExportScene, tmp_path: Path) -> None:
    (tmp_path / "catalog.json").write_text('{"id": "mine", "links": []}')
    with pytest.raises(InputError, match="catalogue of something else"):
        _folder(scene, tmp_path, with_unreviewed=False)
    (tmp_path / "catalog.json").write_text("[]")
    with pytest.raises(InputError, match="no STAC catalogue"):
        _folder(scene, tmp_path, with_unreviewed=False)


def _at(latitude: float, longitude: float) -> StoredSighting:
    place = Position(
        latitude_deg=latitude, longitude_deg=longitude, alt_hae_m=0.0,
        covariance_enu_m2=(1.0, 0.0, 0.0, 1.0, 0.0, 1.0),
        ce90_m=2.0, le90_m=2.0, surface="sea",
    )  # fmt: skip
    seen = sighting(place=place)
    return StoredSighting(sighting=_without_platform(seen), received_ns=0, contact_id=None, chip_id=None)


def _without_platform(seen: Any) -> Any:
    import msgspec

    return msgspec.structs.replace(seen, platform_position=None)


def test_a_footprint_over_the_antimeridian_is_cut_and_its_box_crosses_it() -> None:
    extent = extent_of([_at(0.0, 179.9), _at(0.2, -179.9), _at(0.1, 179.95)])
    assert extent.geometry is not None
    assert extent.geometry["type"] == "MultiPolygon"
    assert extent.bbox == pytest.approx((179.9, 0.0, -179.9, 0.2), abs=1e-6)
    assert extent_of([_at(1.0, 2.0)]).geometry is not None
    assert extent_of([]).geometry is None


def test_a_recording_is_what_mcap_reads_in_order_of_time(scene: ExportScene, tmp_path: Path) -> None:
    one = SortieShelf(scene.store).named("uav07_s1")
    path = tmp_path / "a.mcap"
    counts = write_sortie_mcap(scene.source(), one, path, with_unreviewed=False)
    assert counts == {
        "/chips": 1, "/notice": 1, "/platform/fix": 3, "/plots": 1, "/sightings": 3, "/sightings/fix": 3,
        "/tracks": 1,
    }  # fmt: skip
    with path.open("rb") as file:
        reader = make_reader(file, validate_crcs=True)
        found = list(reader.iter_messages(log_time_order=True))
        (metadata,) = reader.iter_metadata()
    assert metadata.metadata["notice"] == "Everything in here has been confirmed by a person"
    times = [message.log_time for _, _, message in found]
    assert times == sorted(times)
    assert [schema.name for schema, channel, _ in found if channel.topic == "/notice"] == ["foxglove.Log"]
    fixes = [json.loads(message.data) for _, channel, message in found if channel.topic == "/sightings/fix"]
    assert fixes[0]["position_covariance"] == [16.0, 0, 0, 0, 16.0, 0, 0, 0, 9.0]
    assert fixes[0]["position_covariance_type"] == 3
    (track,) = [json.loads(message.data) for _, channel, message in found if channel.topic == "/tracks"]
    assert json.loads(track["geojson"])["geometry"]["type"] == "LineString"


def test_a_recording_with_open_things_says_so(scene: ExportScene, tmp_path: Path) -> None:
    one = SortieShelf(scene.store).named("uav07_s1")
    write_sortie_mcap(scene.source(), one, tmp_path / "a.mcap", with_unreviewed=True)
    with (tmp_path / "a.mcap").open("rb") as file:
        found = [json.loads(one.data) for _, _, one in make_reader(file).iter_messages(topics=["/notice"])]
        file.seek(0)
        marks = [
            json.loads(one.data)["mark"] for _, _, one in make_reader(file).iter_messages(["/sightings"])
        ]
    assert found[0]["message"].startswith("UNREVIEWED")
    assert found[0]["level"] == 3
    assert "NOT CONFIRMED (more)" in marks


def test_the_commands_write_folders_and_recordings(
    scene: ExportScene, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = ("--state", str(scene.state_dir))
    assert app(["sorties", "--json", *state], result_action="return_value") == 0
    listed = [json.loads(line)["item_id"] for line in capsys.readouterr().out.splitlines()]
    assert listed == ["uav09_s2", "uav09_s1", "uav07_s1"]
    words = ["export", "stac", "uav07_s1", "--out", str(tmp_path / "c"), "--json", *state]
    assert app(words, result_action="return_value") == 0
    assert json.loads(capsys.readouterr().out)["assets"] == ["sightings", "tracks", "recording", "thumbnail"]
    words = ["export", "mcap", "uav07_s1", "--out", str(tmp_path / "s.mcap"), *state]
    assert app(words, result_action="return_value") == 0
    assert (tmp_path / "s.mcap").stat().st_size > 0
