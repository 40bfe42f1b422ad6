"""Tracks that rest cost nothing, and change nothing: what is woken is what it was, to the last bit."""

import random
from pathlib import Path

import pytest

from ground.config import ContactsConfig
from ground.fusion.book import ContactBook
from ground.fusion.contact import Contact
from ground.fusion.shelf import TrackShelf
from ground.store.reading import Filter
from ground.store.sqlite import SqliteStore
from skywarden.errors import StoreError
from skywarden.messages import Sighting
from tests.ground.scenes import arrival, position, sighting

HOUR_S = 3_600.0


def _walk(track: str, at_s: float, north_m: float, looks: int = 12) -> list[Sighting]:
    platform = track.partition("-")[0]
    places = [position(north_m + 3.0 * step) for step in range(looks)]
    return [
        sighting(track, number, at_s=at_s + number, place=place, platform=platform)
        for number, place in enumerate(places)
    ]


def _day() -> list[Sighting]:
    """Vessels that come and go for hours, some of them seen by two platforms."""
    found: list[Sighting] = []
    for hour in range(4):
        for lane in range(6):
            north_m = 2_000.0 * lane
            found += _walk(f"a-{hour}.{lane}", hour * HOUR_S, north_m)
            if lane % 2:
                found += _walk(f"b-{hour}.{lane}", hour * HOUR_S + 0.5, north_m + 1.5)
    found += [sighting(f"c-{hour}", 1, at_s=hour * HOUR_S, platform="c") for hour in range(4)]
    return found


class _Settled:
    """A book fed in steps, which rests after each when it is told to."""

    def __init__(self, *, rests: bool, kept: list[Sighting], step_s: float = HOUR_S) -> None:
        self.book = ContactBook(ContactsConfig())
        self.contacts: dict[str, Contact] = {}
        self.asked: list[str] = []
        self._rests, self._kept, self._now_s, self._step_s = rests, kept, 0.0, step_s

    def feed(self, sightings: list[Sighting]) -> None:
        for one in sightings:
            self.book.add(one)
        changes = self.book.settle()
        for contact_id in changes.removed:
            self.contacts.pop(contact_id, None)
        self.contacts.update({one.contact_id: one for one in changes.changed})
        self._now_s += self._step_s
        if self._rests:
            self.book.rest(self._now_s, self._recalled)

    def _recalled(self, track_id: str) -> list[Sighting]:
        self.asked.append(track_id)
        return [one for one in self._kept if one.track_id == track_id]


def test_a_track_that_cannot_be_read_back_is_looked_at_again_at_the_next_settle() -> None:
    early, late = _walk("a-early", 0.0, 0.0), _walk("b-late", 20.0, 45.0)
    book, whole = ContactBook(ContactsConfig()), ContactBook(ContactsConfig())
    faults = [StoreError("the disk is gone for a moment")]

    def recalled(track_id: str) -> list[Sighting]:
        if faults:
            raise faults.pop()
        return [one for one in early if one.track_id == track_id]

    for one in early:
        book.add(one)
    first = book.settle().changed
    for now_s in (0.0, 10_000.0):
        book.rest(now_s, recalled)
    for one in late:
        book.add(one)
    with pytest.raises(StoreError):
        book.settle()
    changes = book.settle()
    for one in early + late:
        whole.add(one)
    assert whole.settle().changed == changes.changed
    assert changes.changed[0].track_ids == ("a-early", "b-late")
    assert len(first) == 1


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("is_ahead", [True, False])
def test_resting_changes_no_contact_whatever_comes_when(seed: int, is_ahead: bool) -> None:
    chance = random.Random(seed)
    day = _day()
    chance.shuffle(day)
    kept: list[Sighting] = list(day) if is_ahead else []
    resting, awake = _Settled(rests=True, kept=kept), _Settled(rests=False, kept=[])
    while day:
        some = [day.pop() for _ in range(min(len(day), chance.randrange(1, 40)))]
        if not is_ahead:
            kept += some
        resting.feed(some)
        awake.feed(some)
        if not is_ahead:  # what a recall knows beforehand shows beforehand, too
            assert resting.contacts == awake.contacts
    resting.feed([])
    assert resting.contacts == awake.contacts
    assert resting.asked


@pytest.mark.parametrize("seed", range(4))
def test_quiet_tracks_are_packed_and_change_no_contact_whatever_comes_when(seed: int) -> None:
    chance = random.Random(seed)
    day = _day()
    chance.shuffle(day)
    packed = _Settled(rests=True, kept=[], step_s=6.0)  # nothing rests so soon
    whole = _Settled(rests=False, kept=[])
    while day:
        some = [day.pop() for _ in range(min(len(day), chance.randrange(110, 200)))]
        packed.feed(some)
        whole.feed(some)
        assert packed.contacts == whole.contacts
    assert not packed.asked


def test_what_is_awake_stays_what_was_used_lately() -> None:
    shelf = TrackShelf()
    for hour in range(50):
        for one in _walk(f"a-{hour}", hour * HOUR_S, 0.0):
            shelf.take(one)
        shelf.rest(hour * 60.0, 150.0, lambda _: (), but=())
    assert shelf.awake_count == 3
    assert len(list(shelf)) == 50
    assert "a-7" in shelf


def test_what_is_asked_for_stays_awake_however_long_a_turn_takes() -> None:
    shelf = TrackShelf()
    for one in _walk("a-1", 0.0, 0.0) + _walk("a-2", 0.0, 900.0):
        shelf.take(one)
    for turn in range(6):
        shelf.rest(100.0 * turn, 30.0, lambda _: (), but=())
        assert shelf.wake("a-1")
    assert shelf.awake_count == 1
    assert shelf["a-1"].kept.is_packed
    assert "a-2" in shelf


def test_a_track_that_is_being_worked_on_does_not_rest() -> None:
    shelf = TrackShelf()
    for one in _walk("a-1", 0.0, 0.0) + _walk("a-2", 0.0, 900.0):
        shelf.take(one)
    assert shelf.rest(0.0, 10.0, lambda _: (), but=()) == 0
    assert shelf.rest(1_000.0, 10.0, lambda _: (), but=["a-2"]) == 1
    assert shelf["a-2"].track_id == "a-2"


def test_what_nothing_is_left_of_is_known_no_more() -> None:
    settled = _Settled(rests=True, kept=[])
    settled.feed(_walk("a-1", 0.0, 0.0))
    assert settled.book.knows("a-1")
    settled.feed([])
    settled.feed(_walk("b-1", 20.0, 30.0))
    assert settled.asked == ["a-1"]
    assert not settled.book.knows("a-1")
    assert settled.contacts["c-b-1"].track_ids == ("b-1",)


def test_a_station_recalls_a_track_from_its_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 0.0
    monkeypatch.setattr("time.monotonic", lambda: now_s)
    book = ContactBook(ContactsConfig())
    store = SqliteStore(tmp_path / "store.sqlite", book)
    number = 1

    def take(sightings: list[Sighting]) -> None:
        nonlocal number, now_s
        store.ingest([arrival(one, number + place) for place, one in enumerate(sightings)])
        number += len(sightings)
        store.settle(number)
        now_s += 400.0

    first = _walk("a-1", 0.0, 0.0)
    take(first[:-2])
    for hour in range(1, 4):
        take(_walk(f"a-{hour + 1}", hour * HOUR_S, 9_000.0))
    take(first[-2:])  # two of its looks come hours late
    found = {one.contact.contact_id: one.contact for one in store.contacts(Filter())[0]}
    assert found["c-a-1"].sighting_count == len(first)
    assert found["c-a-1"].last_ns == first[-1].time_ns
    store.close()
    alone = ContactBook(ContactsConfig())
    for one in first:
        alone.add(one)
    assert alone.settle().changed == (found["c-a-1"],)
