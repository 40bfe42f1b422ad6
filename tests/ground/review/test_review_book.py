"""What decisions come to, when contacts grow, merge and are decided about by several people."""

from pathlib import Path
from typing import Any

import apsw
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ground.review import cli as review_cli
from ground.review.book import ReviewBook
from ground.review.entries import Decision, Entry, Pattern
from ground.review.log import ReviewLog, read_entries, verify_entries
from ground.station.options import StationFiles
from skywarden.errors import StoreError


def _decided(
    number: int, *tracks: str, decision: Decision = "confirmed", account: str = "ana", **more: Any
) -> Entry:
    return Entry(
        number=number,
        time_ns=number,
        account=account,
        kind="decision",
        decision=decision,
        track_ids=tracks,
        contact_id="c-1",
        **more,
    )


def _undone(number: int, of: int) -> Entry:
    return Entry(number=number, time_ns=number, account="ben", kind="undo", undoes=of)


def test_everything_is_unreviewed_until_somebody_decides() -> None:
    review = ReviewBook().of_contact(("t1", "t2"))
    assert (review.state, review.version, review.was, review.decision) == ("unreviewed", 0, None, None)


def test_a_contact_is_what_all_of_its_tracks_are() -> None:
    book = ReviewBook([_decided(1, "t1")])
    assert book.of_contact(("t1",)).state == "confirmed"
    grown = book.of_contact(("t1", "t2"))
    assert (grown.state, grown.was, grown.new_tracks) == ("unreviewed", "confirmed", 1)
    book.take(_decided(2, "t2", decision="rejected"))
    torn = book.of_contact(("t1", "t2"))
    assert (torn.state, torn.was, torn.new_tracks) == ("unreviewed", "rejected", 0)
    book.take(_decided(3, "t1", "t2", decision="more"))
    assert book.of_contact(("t1", "t2")).state == "more"


def test_an_undone_decision_gives_way_to_the_one_before() -> None:
    book = ReviewBook([_decided(1, "t1"), _decided(2, "t1", decision="rejected"), _undone(3, 2)])
    review = book.of_contact(("t1",))
    assert (review.state, review.version) == ("confirmed", 3)
    book.take(_undone(4, 1))
    assert book.of_contact(("t1",)).state == "unreviewed"
    with pytest.raises(ValueError, match="undoes 1"):
        book.take(_undone(5, 1))


def test_the_past_of_a_track_knows_when_each_word_was_said_and_taken_back() -> None:
    comment = Entry(number=2, time_ns=2, account="a", kind="comment", track_ids=("t1",), text="a buoy?")
    again, other = _decided(3, "t1"), _decided(4, "t1", decision="rejected")
    book = ReviewBook([_decided(1, "t1"), comment, again, other, _undone(5, 3), _undone(6, 4), _undone(7, 1)])
    assert book.steps_of("t1") == [(1, "confirmed"), (4, "rejected"), (6, "confirmed"), (7, "unreviewed")]
    assert book.steps_of("t2") == []


def test_a_sighting_may_differ_from_its_track() -> None:
    alone = Entry(
        number=2, time_ns=2, account="ana", kind="decision", decision="rejected", sighting_ids=("s9",)
    )
    book = ReviewBook([_decided(1, "t1"), alone])
    assert book.of_sighting("s9", "t1") == "rejected"
    assert book.of_sighting("s1", "t1") == "confirmed"
    assert book.of_sighting("s1", "t7") == "unreviewed"


def test_comments_do_not_change_the_version_and_assignments_do() -> None:
    book = ReviewBook([_decided(1, "t1")])
    book.take(Entry(number=2, time_ns=2, account="a", kind="comment", track_ids=("t1",), text="a buoy?"))
    assert book.of_contact(("t1",)).version == 1
    book.take(Entry(number=3, time_ns=3, account="a", kind="assignment", track_ids=("t1",), assignee="eva"))
    review = book.of_contact(("t1",))
    assert (review.version, review.assignee) == (3, "eva")
    assert [one.number for one in book.history(("t1",))] == [3, 2, 1]


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sets(st.sampled_from("abcd"), min_size=1), st.booleans()), max_size=12))
def test_undoing_everything_leads_back_to_the_beginning(steps: list[tuple[set[str], bool]]) -> None:
    book = ReviewBook()
    for tracks, is_good in steps:
        decision: Decision = "confirmed" if is_good else "rejected"
        book.take(_decided(book.last_number + 1, *sorted(tracks), decision=decision))
    for number in range(1, len(steps) + 1):
        book.take(_undone(book.last_number + 1, number))
    assert book.of_contact("abcd").state == "unreviewed"
    assert book.of_contact("abcd").decision is None


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(
    st.floats(-89.0, 89.0),
    st.floats(-180.0, 180.0),
    st.floats(1.0, 5_000.0),
    st.floats(-1, 1),
    st.floats(-1, 1),
)
def test_the_box_of_a_pattern_holds_its_circle(
    latitude: float, longitude: float, radius_m: float, north: float, east: float
) -> None:
    pattern = Pattern(centre=(latitude, longitude), radius_m=radius_m)
    place = latitude + north * radius_m / 111_000, (longitude + east * 0.5 + 180.0) % 360.0 - 180.0
    west, south, east_deg, top = pattern.box() or (0.0, 0.0, 0.0, 0.0)
    if -90 <= place[0] <= 90 and pattern.holds_at(*place):
        assert south - 1e-9 <= place[0] <= top + 1e-9
        if west <= east_deg:
            assert west - 1e-9 <= place[1] <= east_deg + 1e-9
        else:
            assert place[1] >= west - 1e-9 or place[1] <= east_deg + 1e-9


def test_the_log_keeps_entries_in_order_and_shows_what_was_changed(tmp_path: Path) -> None:
    path = tmp_path / "review.sqlite"
    log = ReviewLog(path)
    try:
        log.append(_decided(1, "t1"))
        log.append(_decided(2, "t2", decision="rejected", text="wave"))
        with pytest.raises(StoreError, match="does not follow"):
            log.append(_decided(2, "t3"))
        assert [one.text for one in log.entries()] == ["", "wave"]
        assert read_entries(path) == log.entries()
    finally:
        log.close()
    count, head, problems = verify_entries(path)
    assert (count, len(head), problems) == (2, 64, [])
    db = apsw.Connection(str(path))
    with pytest.raises(apsw.ConstraintError, match="append-only"):
        db.execute("UPDATE entries SET entry = '' WHERE number = 1")
    db.execute("DROP TRIGGER entries_are_final")
    forged = msgspec.json.encode(_decided(1, "t1", decision="rejected")).decode()
    db.execute("UPDATE entries SET entry = ? WHERE number = 1", (forged,))
    db.close()
    assert "entry 1 is not what was written" in verify_entries(path)[2][0]
    with pytest.raises(StoreError, match="changed or is damaged"):
        read_entries(path)


def test_a_station_without_decisions_has_none_to_read(tmp_path: Path) -> None:
    assert read_entries(tmp_path / "review.sqlite") == []


def test_the_command_line_shows_the_log_and_says_whether_it_holds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert review_cli.verify(station=StationFiles(state=tmp_path)) == 0
    log = ReviewLog(tmp_path / "review.sqlite")
    try:
        log.append(_decided(1, "t1", text="nets"))
    finally:
        log.close()
    assert review_cli.log(station=StationFiles(state=tmp_path)) == 0
    assert "ana decision confirmed c-1 'nets'" in capsys.readouterr().out
    assert review_cli.verify(station=StationFiles(state=tmp_path), json=True) == 0
    assert '"entries":1' in capsys.readouterr().out
