"""Scenario S24: thousands of seeds of the deterministic simulation, on all cores."""

import multiprocessing
import os
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import structlog

from sim.faults.bugs import BUGS, Bug
from sim.faults.checker import Verdict
from sim.faults.result import Profile, Result
from sim.faults.world import SOMETIMES, Outcome, run_seed

SEEDS: dict[Profile, int] = {"quick": 60, "full": 2_000, "soak": 50_000}
_BUG_SEEDS = 12
_CHUNK = 20


def run(profile: Profile, seed: int) -> Result:
    """Seeds from `seed` on without bugs; each planted bug; one seed twice for the same trace."""
    result = Result("S24", profile, seed)
    count = SEEDS[profile]
    began_s = time.monotonic()
    outcomes = run_seeds(range(seed, seed + count))
    seconds = time.monotonic() - began_s
    add_outcomes(result, outcomes)
    result.observe("seeds a second", count / seconds)
    if profile == "full":
        result.expect_at_most("seconds for 2,000 seeds", seconds, 300.0)
    found = [find_bug(bug, seed) for bug in BUGS]
    result.expect_equal("planted bugs found", sum(one is not None for one in found), len(BUGS))
    result.expect_equal("the same seed gives the same trace", len(set(_traces(seed))), 1)
    result.seconds = time.monotonic() - began_s
    return result


def add_outcomes(result: Result, outcomes: list[Outcome]) -> None:
    """The invariants over all seeds, and what has happened at least once."""
    total, happened = Verdict(), Counter[str]()
    for outcome in outcomes:
        total.add(outcome.verdict)
        happened.update(outcome.sometimes)
    bad = [outcome for outcome in outcomes if not outcome.is_good]
    result.expect_zero("seeds with a broken invariant", len(bad))
    result.notes += [f"seed {one.seed}: {one.verdict.examples[:2]} {one.problems[:2]}" for one in bad[:10]]
    result.observe("records stored once", total.stored_once)
    result.observe("records given up, with a gap record", total.given_up)
    result.observe("records gone with an old image or never confirmed", total.excused)
    result.observe("records resent after an old image", total.resent_after_rollback)
    result.expect_zero("stored twice", total.stored_twice)
    result.expect_zero("acknowledged and lost", total.acknowledged_and_lost)
    result.expect_zero("lost", total.lost)
    result.expect_zero("forged", total.forged)
    result.observe("slowest recovery after the last fault, s", max(one.recovered_s for one in outcomes))
    result.expect_zero("faults that never happened", sum(not happened[name] for name in SOMETIMES))
    result.notes.append(", ".join(f"{name}: {happened[name]}" for name in SOMETIMES))


def run_seeds(seeds: range) -> list[Outcome]:
    """Outcomes in the order of seeds."""
    chunks = [seeds[start : start + _CHUNK] for start in range(0, len(seeds), _CHUNK)]
    workers = min(os.cpu_count() or 1, len(chunks))
    if workers == 1:
        return run_chunk(seeds)
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=spawn) as pool:
        return [outcome for chunk in pool.map(run_chunk, chunks) for outcome in chunk]


def run_chunk(seeds: range, bugs: frozenset[Bug] = frozenset()) -> list[Outcome]:
    """Some seeds in this process, on files in memory where the machine has them."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    try:
        with tempfile.TemporaryDirectory(prefix="skywarden-sim-", dir=_fast_folder()) as folder:
            return [run_seed(seed, Path(folder), bugs) for seed in seeds]
    finally:
        structlog.configure(**before)


def find_bug(bug: Bug, seed: int) -> int | None:
    """The first of some seeds at which this planted bug is found."""
    for one in range(seed, seed + 4 * _BUG_SEEDS):
        if not run_chunk(range(one, one + 1), frozenset((bug,)))[0].is_good:
            return one
    return None


def _traces(seed: int) -> list[str]:
    return [outcome.trace for _ in range(2) for outcome in run_chunk(range(seed, seed + 3))][::3]


def _fast_folder() -> str | None:
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
