"""What a receiver of TAK events is told when: new, changed, again, and gone."""

from dataclasses import replace
from pathlib import Path

import pytest

from ground.tak.event import CotEvent, CotPoint
from ground.tak.feed import Feed
from ground.tak.memory import MemoryFile, SentMemory

S = 1_000_000_000
T0 = 1_763_000_000 * S


def _event(uid: str = "a", *, at_s: float = 0.0, remarks: str = "r", valid_s: float = 600.0) -> CotEvent:
    start_ns = T0 + round(at_s * S)
    return CotEvent(
        uid=uid,
        type="a-u-S-X",
        how="m-f",
        time_ns=start_ns,
        start_ns=start_ns,
        stale_ns=start_ns + round(valid_s * S),
        point=CotPoint(latitude_deg=1.0, longitude_deg=2.0),
        remarks=remarks,
    )


def _feed(max_per_s: float = 100.0) -> Feed:
    return Feed(interval_s=2.0, repeat_s=60.0, max_per_s=max_per_s)


def _uids(events: list[CotEvent]) -> list[str]:
    return [one.uid for one in events]


def test_a_thing_is_said_once_until_it_changes_and_not_more_often_than_the_interval() -> None:
    feed = _feed()
    assert _uids(feed.due([_event()], (), T0)) == ["a"]
    assert feed.due([_event()], (), T0 + S) == []
    changed = _event(remarks="new")
    assert feed.due([changed], (), T0 + S) == []
    (said,) = feed.due([changed], (), T0 + 2 * S)
    assert (said.remarks, said.time_ns) == ("new", T0 + 2 * S)


def test_what_holds_is_repeated_with_the_same_end_and_not_beyond_it() -> None:
    feed = _feed()
    (first,) = feed.due([_event()], (), T0)
    (again,) = feed.due([_event()], (), T0 + 60 * S)
    assert again.stale_ns == first.stale_ns
    assert feed.due([_event()], (), T0 + 601 * S) == []
    assert feed.due([_event()], (), T0 + 3_600 * S) == []


def test_what_is_confirmed_late_still_holds_for_five_minutes() -> None:
    feed = _feed()
    late_ns = T0 + 7_200 * S
    (said,) = feed.due([_event()], (), late_ns)
    assert said.stale_ns == late_ns + 300 * S
    assert said.start_ns == T0
    (again,) = feed.due([_event()], (), late_ns + 100 * S)
    assert again.stale_ns == said.stale_ns


def test_what_is_rejected_or_merged_is_taken_off_the_map_three_times() -> None:
    feed = _feed()
    feed.due([_event()], (), T0)
    gone = [feed.due([], (), T0 + second * S) for second in range(1, 30)]
    said = [one for events in gone for one in events]
    assert [one.type for one in said] == ["t-x-d-d"] * 3
    assert dict(said[0].details[0].attributes)["uid"] == "a"


def test_what_is_held_back_is_neither_said_nor_taken_away() -> None:
    feed = _feed()
    feed.due([_event()], (), T0)
    assert feed.due([], {"a"}, T0 + 100 * S) == []
    assert _uids(feed.due([], (), T0 + 101 * S)) == ["a.gone"]


def test_what_ended_by_itself_needs_no_taking_away() -> None:
    feed = _feed()
    feed.due([_event()], (), T0)
    assert feed.due([], (), T0 + 601 * S) == []


def test_what_comes_back_is_not_taken_away_any_more() -> None:
    feed = _feed()
    feed.due([_event()], (), T0)
    assert _uids(feed.due([], (), T0 + S)) == ["a.gone"]
    assert _uids(feed.due([_event()], (), T0 + 6 * S)) == ["a"]
    assert feed.due([_event()], (), T0 + 30 * S) == []


def test_over_the_rate_the_newest_goes_first_and_nothing_is_lost() -> None:
    feed = _feed(max_per_s=2.0)
    offers = [_event(str(number), at_s=number) for number in range(7)]
    said = []
    for turn in range(8):
        found = _uids(feed.due(offers, (), T0 + (10 + turn) * S // 1))
        assert len(found) <= 2
        said += found
    assert said[:7] == ["6", "5", "4", "3", "2", "1", "0"]
    assert feed.waiting == 0


def test_who_comes_back_is_told_what_was_taken_away_meanwhile() -> None:
    memory = SentMemory.of()
    first = Feed(interval_s=2.0, repeat_s=60.0, max_per_s=100.0, memory=memory)
    first.due([_event("stays"), _event("held"), _event("goes"), _event("brief", valid_s=30.0)], (), T0)
    later = Feed(interval_s=2.0, repeat_s=60.0, max_per_s=100.0, memory=memory)
    assert _uids(later.due([_event("stays")], {"held"}, T0 + 100 * S)) == ["goes.gone", "stays"]
    stale = Feed(interval_s=2.0, repeat_s=60.0, max_per_s=100.0, memory=memory)
    assert stale.due([], (), T0 + 700 * S) == []


def test_what_was_told_is_remembered_over_a_restart(tmp_path: Path) -> None:
    file = MemoryFile(tmp_path / "tak" / "x.json")
    assert file.read().standing(T0) == []
    memory = SentMemory.of()
    _feed_with(memory).due([_event("a"), _event("b")], (), T0)
    file.write(memory.standing(T0))
    again = _feed_with(file.read())
    assert _uids(again.due([_event("b")], (), T0 + 10 * S)) == ["a.gone", "b"]


def _feed_with(memory: SentMemory) -> Feed:
    return Feed(interval_s=2.0, repeat_s=60.0, max_per_s=100.0, memory=memory)


@pytest.mark.parametrize("data", [b"", b"{}", b"[[1]]", b"\xff" * 100, b"x" * 8_000_001])
def test_a_damaged_memory_is_passed_over(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.json").write_bytes(data)
    assert MemoryFile(tmp_path / "x.json").read().standing(T0) == []


def test_taking_away_comes_before_news() -> None:
    feed = _feed(max_per_s=1.0)
    feed.due([_event("old")], (), T0)
    offers = [_event(f"new{number}") for number in range(5)]
    assert _uids(feed.due(offers, (), T0 + S)) == ["old.gone"]


def test_where_something_was_a_while_ago_is_not_said_late() -> None:
    feed = _feed()
    brief = _event(valid_s=30.0)
    assert feed.due([brief], (), T0 + 31 * S) == []
    assert feed.due([replace(brief, stale_ns=T0 + 60 * S)], (), T0 + 31 * S) != []
