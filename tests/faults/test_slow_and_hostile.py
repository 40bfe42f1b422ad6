"""Scenarios S15 and S18, small: slow readers, a locked store, a frozen station; hostile text everywhere."""

from pathlib import Path

import pytest

from ground.config import ContactsConfig
from ground.fusion.book import ContactBook
from ground.store.sqlite import SqliteStore
from sim.faults import hostile_text, slow_consumers
from sim.faults.checker import Checker
from sim.faults.cli import SCENARIOS
from sim.faults.hostile_texts import hostile_texts
from sim.faults.processes import held_in, is_sound
from tests.faults.verdicts import require_passed


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_s15_slow_readers_a_lock_and_a_frozen_station_cost_no_record_and_hide_nothing() -> None:
    plan = slow_consumers.Plan(8, 8, 1, 300, 0.5, 1.0, 1, 20.0)
    require_passed(slow_consumers.run("quick", 1, plan), "p99", "drained after s", "memory grown")


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_s18_hostile_text_stays_text_in_every_sink() -> None:
    require_passed(hostile_text.run("quick", 1, with_console=False))


def test_there_are_enough_hostile_texts_and_each_is_another() -> None:
    texts = list(hostile_texts())
    assert len(set(texts)) >= 500
    assert {"S15", "S18", "S23"} <= set(SCENARIOS)


def test_what_a_platform_still_holds_is_neither_stored_nor_lost(tmp_path: Path) -> None:

    SqliteStore(tmp_path / "store.sqlite", ContactBook(ContactsConfig())).close()
    checker = Checker()
    for seq, body in enumerate((b"one", b"two"), 1):
        checker.promise(checker.attempt("uav07", body), "boot", seq)
    checker.note_waiting("boot", 1)
    verdict = checker.judge(tmp_path / "store.sqlite")
    assert (verdict.waiting, verdict.lost, verdict.is_good) == (1, 1, False)
    assert held_in(tmp_path / "none.sqlite") == []
    assert is_sound(tmp_path / "none.sqlite")
    (tmp_path / "bad.sqlite").write_bytes(b"x" * 8_192)
    assert not is_sound(tmp_path / "bad.sqlite")
