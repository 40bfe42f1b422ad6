"""The score's own GOSPA and SIAP give what Stone Soup gives, on pictures of every kind."""

import numpy as np
import pytest

from sim.range.score.moments import judged_moments
from sim.range.score.referee import States, refereed_moments

CUT_M = 30.0


def _picture(seed: int, moments: int = 24) -> tuple[list[States], list[States]]:
    """Things that drift, come and go; tracks of them that are off, swap, are lost, or are of nothing."""
    rng = np.random.default_rng(seed)
    places = rng.uniform(0.0, 120.0, (5, 2))
    speeds = rng.normal(0.0, 1.5, (5, 2))
    shown: list[States] = []
    there: list[States] = []
    of = rng.integers(0, 5, 6)
    for _ in range(moments):
        places = places + speeds
        real = {f"thing-{k}": _state(places[k], speeds[k]) for k in range(5) if rng.random() < 0.93}
        change = rng.random(6) < 0.08
        of = np.where(change, rng.integers(0, 5, 6), of)
        off = rng.normal(0.0, 9.0, (6, 2))
        here = {f"track-{k}": _state(places[of[k]] + off[k]) for k in range(6) if rng.random() < 0.9}
        there.append(real if rng.random() < 0.95 else {})
        shown.append(here if rng.random() < 0.95 else {})
    return shown, there


def _state(place: np.ndarray, speed: np.ndarray | None = None) -> np.ndarray:
    east, north = (0.0, 0.0) if speed is None else speed
    return np.array([place[0], east, place[1], north])


@pytest.mark.parametrize("seed", range(8))
def test_a_picture_gets_the_figures_that_stone_soup_gives_it(seed: int) -> None:
    shown, there = _picture(seed)
    times_ns = [1_769_000_000_000_000_000 + k * 1_000_000_000 for k in range(len(shown))]
    mine = judged_moments(shown, there, cut_m=CUT_M)
    theirs = refereed_moments(times_ns, shown, there, cut_m=CUT_M)
    assert mine.gospa_m == pytest.approx(theirs.gospa_m, abs=1e-6)
    assert mine.completeness == pytest.approx(theirs.completeness, abs=1e-9)
    assert mine.ambiguity == pytest.approx(theirs.ambiguity, abs=1e-9)
    assert mine.spuriousness == pytest.approx(theirs.spuriousness, abs=1e-9)
    assert mine.position_accuracy_m == pytest.approx(theirs.position_accuracy_m, abs=1e-6)


def test_a_map_that_stays_empty_misses_everything_and_says_nothing_of_errors() -> None:
    _, there = _picture(1)
    verdict = judged_moments([{} for _ in there], there, cut_m=CUT_M)
    assert (verdict.gospa_m, verdict.completeness, verdict.spuriousness) == (None, 0.0, 0.0)


def test_tracks_of_nothing_are_all_spurious() -> None:
    shown, _ = _picture(2)
    verdict = judged_moments(shown, [{} for _ in shown], cut_m=CUT_M)
    assert (verdict.completeness, verdict.spuriousness) == (0.0, 1.0)
    assert verdict.gospa_m is not None
    assert verdict.gospa_m > CUT_M
