"""Contacts in the store: the same after a restart, whole, and on another day."""

from pathlib import Path

from ground.config import ContactsConfig
from ground.fusion.book import ContactBook
from ground.store.reading import Filter
from ground.store.sqlite import SqliteStore
from skywarden.messages import Sighting
from tests.ground.scenes import arrival, position, sighting

DAY_S = 86_400.0


def _store(folder: Path) -> SqliteStore:
    return SqliteStore(folder / "store.sqlite", ContactBook(ContactsConfig()))


def _take(store: SqliteStore, sightings: list[Sighting], first: int) -> None:
    store.ingest([arrival(one, first + number) for number, one in enumerate(sightings)])
    store.settle(first)


def _tracks(store: SqliteStore) -> dict[str, tuple[str, ...]]:
    return {one.contact.contact_id: one.contact.track_ids for one in store.contacts(Filter())[0]}


def test_a_contact_keeps_its_name_over_restarts_while_its_first_track_grows_old(tmp_path: Path) -> None:
    begun = DAY_S - 30.0
    store = _store(tmp_path)
    _take(store, [sighting("a-1", n, at_s=float(n), place=position()) for n in range(20)], 1)
    _take(store, [sighting("a-2", n, at_s=60.0 + n, place=position()) for n in range(20)], 21)
    assert _tracks(store) == {"c-a-1": ("a-1", "a-2")}
    _take(store, [sighting("z", 1, at_s=begun + 70.0, place=position(90_000.0))], 41)
    store.close()
    store = _store(tmp_path)  # a-1 ended before the horizon, a-2 did not
    _take(store, [sighting("a-2", 99, at_s=90.0, place=position())], 42)
    assert _tracks(store)["c-a-1"] == ("a-1", "a-2")
    assert "c-a-2" not in _tracks(store)
    store.close()


def test_a_late_look_of_a_forgotten_track_brings_its_whole_contact_back(tmp_path: Path) -> None:
    store = _store(tmp_path)
    _take(store, [sighting("a-1", n, at_s=float(n), place=position()) for n in range(20)], 1)
    _take(store, [sighting("a-2", n, at_s=60.0 + n, place=position()) for n in range(20)], 21)
    _take(store, [sighting("z", 1, at_s=3 * DAY_S, place=position(90_000.0))], 41)
    _take(store, [sighting("a-2", 99, at_s=90.0, place=position())], 42)
    assert _tracks(store)["c-a-1"] == ("a-1", "a-2")
    store.close()


def test_a_plot_is_known_again_a_month_and_a_restart_later(tmp_path: Path) -> None:
    store = _store(tmp_path)
    _take(store, [sighting("a-1", 1, place=position(), label="plot")], 1)
    _take(store, [sighting("z", 1, at_s=3 * DAY_S, place=position(90_000.0))], 2)
    store.close()
    store = _store(tmp_path)
    again = sighting("b-1", 1, at_s=30 * DAY_S, place=position(2.0), label="plot", sortie="s9")
    _take(store, [again], 3)
    assert _tracks(store)["c-a-1"] == ("a-1", "b-1")
    store.close()
