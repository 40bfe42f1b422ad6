"""Holding and releasing from beside a station that has its store open."""

import json
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from ground.cli import app
from ground.config import ContactsConfig
from ground.fusion.book import ContactBook
from ground.store.sqlite import SqliteStore
from ground.upkeep import holds
from skywarden.errors import StoreError, UsageError
from tests.ground.scenes import START_NS, arrival, sighting


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    made = SqliteStore(tmp_path / "store.sqlite", ContactBook(ContactsConfig()))
    yield made
    made.close()


def test_what_is_held_beside_a_station_stays_when_it_erases(store: SqliteStore, tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    store.ingest([arrival(sighting(f"t{number % 2}", number), number) for number in range(1, 7)])
    assert holds.hold(path, "track", "t1", "case 4711", START_NS) == 1
    erased = store.erase((1, 2, 3, 4, 5, 6), START_NS)
    assert (erased.by_topic, erased.held) == ({"sighting": 3}, 3)
    assert [(one.name, one.reason) for one in store.holds()] == [("t1", "case 4711")]
    assert holds.release(path, "track", "t1")
    assert not holds.release(path, "track", "t1")
    assert store.erase((1, 2, 3, 4, 5, 6), START_NS).by_topic == {"sighting": 3}
    store.ingest([arrival(sighting("t9", 9), 9)])
    assert holds.holds(path) == []


def test_the_command_holds_lists_and_is_in_the_access_log(
    store: SqliteStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*words: str) -> str:
        assert app([*words, "--state", str(tmp_path)], exit_on_error=False, result_action="return_value") == 0
        return capsys.readouterr().out

    assert "nothing is held" in run("holds")
    assert "1 things are held" in run("hold", "contact", "c-t1", "--reason", "case 4711")
    (held,) = json.loads(run("holds", "--json"))["holds"]
    assert (held["kind"], held["name"], held["reason"]) == ("contact", "c-t1", "case 4711")
    assert "contact c-t1 held: case 4711" in run("access-log")
    with pytest.raises(UsageError, match="128 characters"):
        run("hold", "contact", "x" * 129, "--reason", "y")
    run("hold", "contact", "c-t1", "--release")
    with pytest.raises(UsageError, match="is not held"):
        run("hold", "contact", "c-t1", "--release")


def test_only_a_store_of_this_version_is_written_beside(tmp_path: Path) -> None:
    path = tmp_path / "none.sqlite"
    with pytest.raises(StoreError, match="no store yet"):
        holds.hold(path, "track", "t1", "why", 1)
    assert not path.exists()
    other = apsw.Connection(str(path))
    other.execute("CREATE TABLE holds(kind, name, reason, since_ns)")
    other.close()
    with pytest.raises(StoreError, match="another program"):
        holds.hold(path, "track", "t1", "why", 1)
