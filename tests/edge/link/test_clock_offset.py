"""The bound on the difference of two clocks holds, whatever the radio does to either way."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.link.clock_offset import ClockFilter

UTC_NS = 1_780_000_000_000_000_000


def _run(
    clocks: ClockFilter,
    rng: random.Random,
    *,
    ahead_s: float,
    drift: float,
    seconds: float,
    up_s: float = 0.05,
    down_s: float = 0.05,
    jitter_s: float = 0.2,
    start_s: float = 1_000.0,
) -> float:
    """Round trips over so many seconds; how far the platform is ahead of the ground at their end."""
    now_s = start_s
    while now_s < start_s + seconds:
        sent_s = now_s
        there_s = sent_s + up_s + rng.expovariate(1 / jitter_s) if jitter_s else sent_s + up_s
        heard_s = there_s + down_s + (rng.expovariate(1 / jitter_s) if jitter_s else 0.0)
        clocks.note(sent_s, heard_s, _ground_ns(there_s, ahead_s, drift, start_s))
        now_s = heard_s + rng.uniform(0.2, 2.0)
    return ahead_s + drift * (now_s - start_s)


def _ground_ns(mono_s: float, ahead_s: float, drift: float, start_s: float) -> int:
    """The ground's UTC; the platform's is UTC_NS plus its monotonic clock."""
    return UTC_NS + round((mono_s - ahead_s - drift * (mono_s - start_s)) * 1e9)


def _platform_ns(mono_s: float) -> int:
    return UTC_NS + round(mono_s * 1e9)


def test_nothing_is_known_before_the_first_reply() -> None:
    assert ClockFilter().difference(1.0, UTC_NS) is None


def test_the_difference_and_its_drift_come_out_of_a_jittery_link() -> None:
    clocks = ClockFilter()
    rng = random.Random(1)
    _run(clocks, rng, ahead_s=2.5, drift=40e-6, seconds=5_000.0)
    end_s = 6_000.0
    found = clocks.difference(end_s, _platform_ns(end_s))
    assert found is not None
    truth_s = 2.5 + 40e-6 * 5_000.0
    assert abs(found.offset_s - truth_s) <= found.bound_s
    assert found.bound_s < 0.08
    assert found.drift_ppm is not None
    assert found.drift_bound_ppm is not None
    assert abs(found.drift_ppm - 40.0) <= found.drift_bound_ppm
    assert abs(found.offset_s - truth_s) < 0.02


def test_a_one_sided_link_is_bounded_by_its_delay_and_not_believed_beyond() -> None:
    clocks = ClockFilter()
    _run(clocks, random.Random(2), ahead_s=0.0, drift=0.0, seconds=300.0, up_s=1.0, down_s=0.05)
    found = clocks.difference(1_300.0, _platform_ns(1_300.0))
    assert found is not None
    assert abs(found.offset_s) <= found.bound_s
    assert found.bound_s > 0.5


def test_our_own_clock_may_leap_and_the_difference_leaps_with_it() -> None:
    clocks = ClockFilter()
    _run(clocks, random.Random(3), ahead_s=0.5, drift=0.0, seconds=100.0)
    before, after = (
        clocks.difference(1_100.0, _platform_ns(1_100.0) + leap_ns) for leap_ns in (0, 3_600 * 10**9)
    )
    assert before is not None
    assert after is not None
    assert after.offset_s - before.offset_s == pytest.approx(3_600.0)


def test_after_a_leap_of_the_ground_the_old_is_forgotten() -> None:
    clocks = ClockFilter()
    _run(clocks, random.Random(4), ahead_s=0.0, drift=0.0, seconds=300.0)
    _run(clocks, random.Random(5), ahead_s=7.0, drift=0.0, seconds=60.0, start_s=1_301.0)
    found = clocks.difference(1_365.0, _platform_ns(1_365.0))
    assert found is not None
    assert abs(found.offset_s - 7.0) <= found.bound_s < 0.5


@given(
    seed=st.integers(0, 2**32),
    ahead_s=st.floats(-1e6, 1e6),
    drift=st.floats(-9e-5, 9e-5),
    seconds=st.floats(1.0, 900.0),
    up_s=st.floats(0.0, 2.0),
    down_s=st.floats(0.0, 2.0),
    jitter_s=st.floats(0.0, 3.0),
)
def test_the_bound_holds_for_any_drift_and_any_delays(
    seed: int, ahead_s: float, drift: float, seconds: float, up_s: float, down_s: float, jitter_s: float
) -> None:
    clocks, rng = ClockFilter(), random.Random(seed)
    _run(
        clocks,
        rng,
        ahead_s=ahead_s,
        drift=drift,
        seconds=seconds,
        up_s=up_s,
        down_s=down_s,
        jitter_s=jitter_s,
    )
    at_s = 1_000.0 + seconds + rng.uniform(0.0, 60.0)
    found = clocks.difference(at_s, _platform_ns(at_s))
    assert found is not None
    truth_s = ahead_s + drift * (at_s - 1_000.0)
    assert abs(found.offset_s - truth_s) <= found.bound_s + 1e-5
    if found.drift_ppm is not None and found.drift_bound_ppm is not None:
        assert abs(found.drift_ppm - drift * 1e6) <= found.drift_bound_ppm + 0.2
