"""All faults mixed, by seed: nothing lost, nothing twice, nothing forged; and planted mistakes are found."""

from collections import Counter
from pathlib import Path

import pytest

from sim.faults.bugs import BUGS, Bug
from sim.faults.simulation import find_bug, run_chunk
from sim.faults.world import SOMETIMES, run_seed

SEEDS = range(1_000, 1_030)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_no_seed_loses_doubles_or_believes_a_forgery_and_every_fault_happens() -> None:
    outcomes = run_chunk(SEEDS)
    bad = {one.seed: (one.verdict.examples[:3], one.problems[:3]) for one in outcomes if not one.is_good}
    assert bad == {}
    happened: Counter[str] = Counter()
    for one in outcomes:
        happened.update(one.sometimes)
    assert [name for name in SOMETIMES if not happened[name]] == []
    assert sum(one.verdict.stored_once for one in outcomes) > 2_500


@pytest.mark.slow
@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_mistake_is_found(bug: Bug) -> None:
    assert find_bug(bug, 0) is not None


@pytest.mark.slow
def test_a_seed_replays_to_the_same_trace(tmp_path: Path) -> None:
    one, again, other = (run_seed(seed, tmp_path / str(turn)) for turn, seed in enumerate((6, 6, 7)))
    assert one.trace == again.trace
    assert one.verdict == again.verdict
    assert one.sometimes == again.sometimes
    assert other.trace != one.trace
