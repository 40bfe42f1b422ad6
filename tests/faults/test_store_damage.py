"""Scenario S16, small: what damages a store is found, and nothing damaged is handed out."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from sim.faults import store_damage
from sim.faults.store_damage import Found


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    yield
    structlog.configure(**before)


def _all_found(found: Found) -> None:
    assert found.effective > 0
    assert (found.found, found.served_wrong) == (found.effective, 0), found


@pytest.mark.slow
def test_s16_every_flipped_bit_that_changes_something_is_found(tmp_path: Path) -> None:
    found = store_damage.flips(tmp_path / "store", 40, 1)
    _all_found(found)
    assert found.by_sqlite < found.effective / 2


def test_s16_a_cut_or_missing_log_is_found(tmp_path: Path) -> None:
    _all_found(store_damage.cuts(tmp_path / "store", 10, 1))


def test_s16_an_older_copy_is_found(tmp_path: Path) -> None:
    _all_found(store_damage.older(tmp_path / "store", 4, 1))


def test_s16_a_second_writer_is_refused(tmp_path: Path) -> None:
    assert store_damage.second_writers(tmp_path / "store") == 2
