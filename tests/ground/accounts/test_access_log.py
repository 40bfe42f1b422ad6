"""The access log: append-only, chained, one line an event."""

import sqlite3
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ground.accounts.access_log import AccessEvent, StoredEvent, one_line, read_events, verify_log
from ground.accounts.doorkeeper import Doorkeeper
from skywarden.errors import StoreError
from tests.ground.accounts.conftest import TurnedClock, opened


def _fill(keeper: Doorkeeper, count: int) -> None:
    written = [keeper.log.write(AccessEvent(action="export", what=f"number {n}")) for n in range(count)]
    for one in written:
        one.result(10.0)


def test_entries_are_durable_when_the_future_is_done_and_stay_in_order(keeper: Doorkeeper) -> None:
    _fill(keeper, 700)
    found = read_events(keeper.database)
    assert [one.event.what for one in found] == [f"number {n}" for n in range(700)]
    assert [one.number for one in found] == list(range(1, 701))
    assert [one.number for one in read_events(keeper.database, newest=2, before=10)] == [8, 9]
    assert verify_log(keeper.database).problems == []


def test_the_file_refuses_to_change_or_remove_an_entry(keeper: Doorkeeper) -> None:
    _fill(keeper, 3)
    for statement in ("UPDATE access_log SET event = ''", "DELETE FROM access_log"):
        with pytest.raises(StoreError, match="append-only"), keeper.database.writing() as db:
            db.execute(statement)


@pytest.mark.parametrize(
    ("statement", "word"),
    [
        ("UPDATE access_log SET event = replace(event, 'number 3', 'number 9')", "not what was written"),
        ("UPDATE access_log SET time_ns = time_ns + 1 WHERE number = 4", "not what was written"),
        ("DELETE FROM access_log WHERE number = 3", "missing"),
        ("UPDATE access_log SET number = number + 1 WHERE number = 6", "missing"),
    ],
)
def test_who_changes_the_file_itself_is_found(
    tmp_path: Path, clock: TurnedClock, statement: str, word: str
) -> None:
    keeper = opened(tmp_path, clock)
    _fill(keeper, 6)
    keeper.close()
    with sqlite3.connect(tmp_path / "accounts.sqlite") as db:
        db.execute("DROP TRIGGER access_log_is_kept")
        db.execute("DROP TRIGGER access_log_is_final")
        db.execute(statement)
    db.close()
    again = opened(tmp_path, clock)
    assert word in " ".join(verify_log(again.database).problems)
    again.close()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(st.text(max_size=400))
def test_whatever_is_written_is_one_line_and_nothing_in_it_turns_or_hides_text(
    keeper: Doorkeeper, text: str
) -> None:
    keeper.log.write(AccessEvent(action="denied", account=text, address=text, what=text)).result(10.0)
    stored = read_events(keeper.database, newest=1)[0]
    line = one_line(stored, "2026-01-01T00:00:00Z")
    assert len(line.splitlines()) == 1
    assert line.isprintable()


def test_line_ends_and_marks_of_direction_are_shown_as_escapes() -> None:
    event = AccessEvent(action="denied", what="a\nforged line\u2028\u202eb\x1b[2J")
    line = one_line(StoredEvent(number=1, time_ns=0, event=event), "T")
    assert "a\\nforged line\\u2028\\u202eb\\x1b[2J" in line


def test_an_entry_after_the_end_is_refused_and_not_lost_in_silence(keeper: Doorkeeper) -> None:
    keeper.log.close()
    with pytest.raises(StoreError, match="closed"):
        keeper.log.write(AccessEvent(action="export")).result(1.0)


def test_two_programs_write_one_chain(tmp_path: Path, clock: TurnedClock) -> None:
    one, other = opened(tmp_path, clock), opened(tmp_path, clock)
    for number in range(20):
        (one if number % 3 else other).note_local("export", f"number {number}")
    assert verify_log(one.database).entries == 20
    assert verify_log(one.database).problems == []
    one.close()
    other.close()
