"""Merges, splits and names are kept; people's words survive a restart and are followed."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ground.config import ContactsConfig
from ground.fusion.book import ContactBook
from ground.fusion.contact import ContactEvent, EventKind
from ground.fusion.history import ContactHistory, RecordedBook
from ground.fusion.rulings import Ruling
from skywarden.clock import SystemClock
from skywarden.errors import InputError, StoreError
from tests.ground.scenes import position, sighting


@pytest.fixture
def history(tmp_path: Path) -> Iterator[ContactHistory]:
    made = ContactHistory(tmp_path / "contacts.sqlite")
    try:
        yield made
    finally:
        made.close()


def _event(kind: EventKind, before: tuple[str, ...], after: tuple[str, ...]) -> ContactEvent:
    return ContactEvent(kind=kind, time_ns=5, before=before, after=after, track_ids=("t1", "t2"))


def test_what_became_of_a_contact_is_found_from_both_ends(history: ContactHistory) -> None:
    event = _event("merged", ("c-a", "c-b"), ("c-a",))
    history.note([event], 7)
    assert [one.event for one in history.events_of("c-b")] == [event]
    assert history.events_of("c-a")[0].noted_ns == 7
    assert history.events_of("c-z") == []


def test_an_old_name_leads_to_what_is_there_now(history: ContactHistory) -> None:
    history.note([_event("merged", ("c-a", "c-b"), ("c-a",))], 1)
    history.note([_event("renamed", ("c-a",), ("c-0",))], 2)
    history.note([_event("split", ("c-0",), ("c-0", "c-9"))], 3)
    assert history.heirs_of("c-b") == ("c-0",)
    assert history.heirs_of("c-0") == ("c-0",)
    assert history.heirs_of("c-z") == ("c-z",)


def test_a_name_that_comes_and_goes_leads_nowhere_for_ever(history: ContactHistory) -> None:
    for _ in range(3):
        history.note([_event("merged", ("c-a", "c-b"), ("c-a",))], 1)
        history.note([_event("renamed", ("c-a",), ("c-b",))], 2)
        history.note([_event("renamed", ("c-b",), ("c-a",))], 2)
    assert history.heirs_of("c-b") == ("c-a",)


def test_a_persons_word_joins_and_is_followed_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "contacts.sqlite"
    looks = [sighting("a-1", 1, place=position(), platform="a")]
    looks.append(sighting("b-1", 1, at_s=4_000, place=position(3_000), platform="b"))
    for turn in range(2):
        history = ContactHistory(path)
        try:
            book = RecordedBook(ContactBook(ContactsConfig()), history, SystemClock())
            for one in looks:
                book.add(one)
            if turn == 0:
                assert len(book.settle().changed) == 2
                book.rule(Ruling(word="together", one="a-1", two="b-1", account="eva", time_ns=9))
            assert [one.track_ids for one in book.settle().changed] == [("a-1", "b-1")]
            assert [one.event.kind for one in history.events_of("c-b-1")] == ["merged"]
            assert history.said()[0].account == "eva"
        finally:
            history.close()


def test_a_word_on_a_track_and_itself_is_refused(history: ContactHistory) -> None:
    with pytest.raises(InputError, match="itself"):
        history.say(Ruling(word="apart", one="a", two="a", account="eva", time_ns=1))


def test_another_programs_file_is_left_alone(tmp_path: Path) -> None:
    import apsw

    other = apsw.Connection(str(tmp_path / "contacts.sqlite"))
    other.execute("CREATE TABLE theirs(x)")
    other.close()
    with pytest.raises(StoreError, match="another program"):
        ContactHistory(tmp_path / "contacts.sqlite")
