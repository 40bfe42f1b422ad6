"""`skywarden ground export` and `query` on a store: files, filters, refusals, the access log."""

import json
from collections.abc import Iterator
from pathlib import Path

import pyogrio.raw
import pytest

from ground.accounts.access_log import read_events
from ground.accounts.database import AccountsDatabase, accounts_path
from ground.cli import app
from skywarden.errors import InputError, UsageError
from tests.ground.exports.made import FORMULA, ExportScene


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExportScene]:
    made = ExportScene(tmp_path_factory.mktemp("commands"))
    yield made
    made.close()


def _run(scene: ExportScene, *words: str) -> int:
    found = app([*words, "--state", str(scene.state_dir)], result_action="return_value")
    assert isinstance(found, int)
    return found


def test_a_geopackage_comes_as_a_file_and_says_what_is_in_it(
    scene: ExportScene, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "made.gpkg"
    assert _run(scene, "export", "gpkg", "--unreviewed", "--out", str(out), "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["counts"] == {"contacts": 4, "tracks": 3, "plots": 2}
    assert said["notice"].startswith("UNREVIEWED")
    assert "contacts_UNREVIEWED" in dict(pyogrio.list_layers(out))
    assert [one.name for one in tmp_path.iterdir()] == ["made.gpkg"], "nothing half-written stays"


def test_box_class_time_and_state_narrow_what_goes_to_standard_output(
    scene: ExportScene, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    words = ("--layer", "contacts", "--box", "19.9,-0.1,20.06,0.1", "--since", "2025-01-01T00:00:00Z")
    assert _run(scene, "export", "geojson", *words) == 0
    tree = json.loads(capsysbinary.readouterr().out)
    assert [one["id"] for one in tree["features"]] == ["c-uav07-s1-eo.t0"]
    words = ("--unreviewed", "--layer", "contacts", "--class", FORMULA, "--review", "unreviewed")
    assert _run(scene, "export", "geojson", *words) == 0
    captured = capsysbinary.readouterr()
    assert [one["id"] for one in json.loads(captured.out)["features"]] == ["c-uav07-s1-eo.t3"]
    assert b"UNREVIEWED" in captured.err


def test_every_export_is_in_the_access_log_with_what_was_asked(scene: ExportScene, tmp_path: Path) -> None:
    _run(scene, "export", "kmz", "--class", "vessel", "--limit", "7", "--out", str(tmp_path / "a.kmz"))
    found = [one for one in _log(scene) if "export kmz" in one]
    assert found == ["ground export kmz --class vessel --limit 7: 2"]


def _log(scene: ExportScene) -> list[str]:
    database = AccountsDatabase(accounts_path(scene.state_dir))
    try:
        return [one.event.what for one in read_events(database)]
    finally:
        database.close()


def test_what_cannot_be_written_is_refused_in_words(scene: ExportScene) -> None:
    with pytest.raises(UsageError, match="GeoPackage needs a file"):
        _run(scene, "export", "gpkg")
    with pytest.raises(UsageError, match="rejected does not leave"):
        _run(scene, "export", "csv", "--unreviewed", "--review", "rejected")
    with pytest.raises(InputError, match="not west,south,east,north"):
        _run(scene, "export", "csv", "--box", "here")


def test_the_older_words_still_work(scene: ExportScene, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    assert _run(scene, "export", "contacts", "--format", "cot") == 0
    assert capsysbinary.readouterr().out.count(b"<event") == 1


def test_a_query_shows_everything_with_its_state(
    scene: ExportScene, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(scene, "query", "contacts", "--json") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {one["review"] for one in lines} == {"confirmed", "rejected", "more", "unreviewed"}
    assert _run(scene, "query", "sightings", "--review", "rejected", "--json") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {one["track_id"] for one in lines} == {"uav07-s1-eo.t1"}
    assert _run(scene, "query", "contacts", "--contact", "c-uav07-s1-eo.t0") == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert "confirmed" in line
    assert "±" in line
