"""Deciding at the desk: two people at once, patterns, undoing, and what may leave afterwards."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ground.config import ContactsConfig
from ground.fusion.book import ContactBook
from ground.review.desk import ReviewConflictError, ReviewDesk
from ground.review.entries import Decision, Pattern, State
from ground.review.harvest import reviewed
from ground.review.log import ReviewLog
from ground.review.release import released_contacts, released_sightings
from ground.store.reading import Filter, StoredContact
from ground.store.sqlite import SqliteStore
from skywarden.errors import InputError
from skywarden.messages import Message
from tests.ground.scenes import START_NS, arrival, chip, position, sighting

FAR_M = 3_000.0


class Scene:
    """Four contacts 3 km apart, two looks each, a chip of the first look."""

    def __init__(self, folder: Path) -> None:
        self.store = SqliteStore(folder / "store.sqlite", ContactBook(ContactsConfig()))
        messages: list[Message] = []
        for index in range(4):
            for number in (1, 2):
                look = sighting(
                    f"uav07-s1-eo.t{index}",
                    number,
                    at_s=index * 10 + number,
                    place=position(east_m=index * FAR_M),
                    label="vessel" if index < 3 else "plot",
                    score=0.5 + 0.1 * index,
                )
                messages += [look, chip(look, 50)] if number == 1 else [look]
        self.store.ingest([arrival(one, number + 1) for number, one in enumerate(messages)])
        self.store.settle(1)
        self.told: list[str] = []
        self.log = ReviewLog(folder / "review.sqlite")
        self.desk = ReviewDesk(self.log, self.store, self.told.extend)

    def contact(self, index: int) -> StoredContact:
        found = self.store.contact(f"c-uav07-s1-eo.t{index}")
        assert found is not None
        return found

    def decide(self, index: int, decision: Decision, account: str = "ana", version: int = 0) -> int:
        entry = self.desk.decide(
            self.contact(index),
            decision,
            account=account,
            version=version,
            utc_ns=START_NS,
        )
        return entry.number


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path)
    yield made
    made.desk.close()
    made.store.close()


def test_the_second_of_two_people_is_told_and_overwrites_nothing(scene: Scene) -> None:
    scene.decide(0, "confirmed", "ana")
    with pytest.raises(ReviewConflictError, match="ana was first: it is confirmed now") as caught:
        scene.decide(0, "rejected", "ben")
    assert caught.value.current is not None
    assert caught.value.current.state == "confirmed"
    scene.decide(0, "rejected", "ben", version=caught.value.current.version)
    assert scene.desk.of_contact(scene.contact(0).contact.track_ids).state == "rejected"
    assert scene.told == ["c-uav07-s1-eo.t0"] * 2


def test_a_track_that_was_not_shown_is_not_decided_about(scene: Scene) -> None:
    contact = scene.contact(0)
    with pytest.raises(InputError, match="none of these tracks"):
        scene.desk.decide(
            contact, "confirmed", account="ana", version=0, utc_ns=START_NS, seen_tracks=["another"]
        )


def test_undo_brings_back_what_was_before_and_only_once(scene: Scene) -> None:
    first = scene.decide(0, "confirmed")
    second = scene.decide(0, "rejected", version=first)
    with pytest.raises(ReviewConflictError, match="decided anew"):
        scene.desk.undo(first, account="ben", utc_ns=START_NS)
    scene.desk.undo(second, account="ben", utc_ns=START_NS)
    assert scene.desk.of_contact(scene.contact(0).contact.track_ids).state == "confirmed"
    with pytest.raises(ReviewConflictError, match="ben took this decision back"):
        scene.desk.undo(second, account="ana", utc_ns=START_NS)
    with pytest.raises(InputError, match="no decision"):
        scene.desk.undo(99, account="ana", utc_ns=START_NS)


def test_a_pattern_shows_how_many_rejects_those_and_is_taken_back_as_one(scene: Scene) -> None:
    preview = scene.desk.preview(Pattern(label="vessel", score_max=0.65), START_NS)
    assert sorted(preview.tracks_of) == ["c-uav07-s1-eo.t0", "c-uav07-s1-eo.t1"]
    assert preview.sighting_count == 4
    scene.decide(1, "confirmed", "ben")  # meanwhile
    entry = scene.desk.reject_pattern(preview.preview_id, account="ana", utc_ns=START_NS, text="waves")
    assert entry.contact_ids == ("c-uav07-s1-eo.t0",)
    states = [scene.desk.of_contact(scene.contact(index).contact.track_ids).state for index in range(4)]
    assert states == ["rejected", "confirmed", "unreviewed", "unreviewed"]
    scene.desk.undo(entry.number, account="ana", utc_ns=START_NS)
    assert scene.desk.of_contact(scene.contact(0).contact.track_ids).state == "unreviewed"
    with pytest.raises(InputError, match="not known any more"):
        scene.desk.reject_pattern(preview.preview_id, account="ana", utc_ns=START_NS)


def test_a_pattern_of_a_place_holds_for_what_lies_there(scene: Scene) -> None:
    here = scene.contact(2).contact.position
    assert here is not None
    preview = scene.desk.preview(
        Pattern(centre=(here.latitude_deg, here.longitude_deg), radius_m=200.0), START_NS
    )
    assert list(preview.tracks_of) == ["c-uav07-s1-eo.t2"]
    with pytest.raises(InputError, match="needs a place"):
        scene.desk.preview(Pattern(score_max=0.5), START_NS)


def test_an_old_preview_rejects_nothing(scene: Scene) -> None:
    preview = scene.desk.preview(Pattern(label="vessel"), START_NS)
    with pytest.raises(InputError, match="not known any more"):
        scene.desk.reject_pattern(preview.preview_id, account="ana", utc_ns=START_NS + 601 * 10**9)


def test_decisions_outlive_the_station(scene: Scene, tmp_path: Path) -> None:
    scene.decide(0, "confirmed")
    scene.desk.comment(scene.contact(0), "blue hull\x00", account="ben", utc_ns=START_NS)
    again = ReviewDesk(scene.log, scene.store)
    assert again.of_contact(scene.contact(0).contact.track_ids).state == "confirmed"
    assert [one.text for one in again.history(scene.contact(0).contact.track_ids)] == ["blue hull", ""]


def test_only_confirmed_things_leave_unless_it_is_said(scene: Scene) -> None:
    scene.decide(0, "confirmed")
    scene.decide(1, "rejected")
    book = scene.desk.book()
    contacts = released_contacts(scene.store, book, Filter(), with_unreviewed=False)
    assert [(one.contact.contact_id, state) for one, state in contacts.items] == [
        ("c-uav07-s1-eo.t0", "confirmed")
    ]
    assert not contacts.has_unreviewed
    looks = released_sightings(scene.store, book, Filter(), with_unreviewed=False)
    assert {one.sighting.track_id for one, _ in looks.items} == {"uav07-s1-eo.t0"}
    assert (len(looks.items), looks.matched) == (2, 2)
    everything = released_contacts(scene.store, book, Filter(), with_unreviewed=True)
    assert {state for _, state in everything.items} == {"confirmed", "unreviewed"}
    assert len(everything.items) == 3, "the rejected one stays here"
    assert everything.prefix == "UNREVIEWED-"
    assert released_contacts(scene.store, book, Filter(label="plot"), with_unreviewed=False).items == ()


def test_a_sighting_that_was_rejected_alone_does_not_leave_with_its_contact(scene: Scene) -> None:
    scene.decide(0, "confirmed")
    bad = "uav07-s1-eo.t0-2"
    scene.desk.decide_sighting(bad, "c-uav07-s1-eo.t0", "rejected", account="ana", version=0, utc_ns=1)
    with pytest.raises(ReviewConflictError):
        scene.desk.decide_sighting(bad, None, "confirmed", account="ben", version=0, utc_ns=1)
    looks = released_sightings(scene.store, scene.desk.book(), Filter(), with_unreviewed=False)
    assert [one.sighting.sighting_id for one, _ in looks.items] == ["uav07-s1-eo.t0-1"]


@pytest.mark.slow
def test_long_exports_go_through_all_pages_of_equal_times(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.sqlite", ContactBook(ContactsConfig()))
    log = ReviewLog(tmp_path / "review.sqlite")
    try:
        looks = [sighting(number=n, at_s=n // 700, place=position()) for n in range(1, 2_301)]
        store.ingest([arrival(one, number + 1) for number, one in enumerate(looks)])
        store.settle(1)
        desk = ReviewDesk(log, store)
        everything = released_sightings(store, desk.book(), Filter(limit=10_000), with_unreviewed=True)
        assert len(everything.items) == 2_300
        times = [one.sighting.time_ns for one, _ in everything.items]
        assert times == sorted(times, reverse=True)
    finally:
        log.close()
        store.close()


def test_harvest_gets_what_people_decided_with_its_image(scene: Scene) -> None:
    scene.decide(0, "confirmed")
    scene.decide(1, "rejected", "ben")
    cases = list(reviewed(scene.store, scene.desk.book()))
    assert {(one.stored.sighting.track_id, one.state, one.decided_by) for one in cases} == {
        ("uav07-s1-eo.t0", "confirmed", "ana"),
        ("uav07-s1-eo.t1", "rejected", "ben"),
    }
    assert all(one.stored.chip_id is not None for one in cases)
    rest: tuple[State, ...] = ("unreviewed",)
    assert len(list(reviewed(scene.store, scene.desk.book(), states=rest, with_chip=False))) == 4
