"""Boot time to UTC: under jitter, drift, restarts, steps and nonsense; and which autopilot is ours."""

import random

import pytest

from skywarden.mavlink.autopilot import AutopilotPicker
from skywarden.mavlink.bootclock import BootClock
from skywarden.mavlink.framing import Frame, parse_frame
from skywarden.mavlink.synth import MessageMaker

T0 = 1_760_000_000_000_000_000
S = 1_000_000_000
MS = 1_000_000


def _run(clock: BootClock, seconds: float, *, drift: float = 0.0, seed: int = 1, start_s: float = 0.0) -> int:
    """Ten pairs a second with 10 ms least delay and a long tail; returns the last boot time."""
    chance = random.Random(seed)
    boot_ms = 0
    for number in range(round(seconds * 10)):
        boot_ms = round(start_s * 1000) + number * 100
        delay_s = 0.010 + chance.expovariate(1 / 0.08)
        clock.observe(boot_ms, T0 + round(boot_ms * (1 + drift) * MS) + round(delay_s * S))
    return boot_ms


def _error_ms(clock: BootClock, boot_ms: int, drift: float = 0.0) -> float:
    utc_ns = clock.utc_ns(boot_ms)
    assert utc_ns is not None
    return (utc_ns - T0 - boot_ms * (1 + drift) * MS) / MS - 10.0


def test_the_least_delay_is_found_under_a_long_tail() -> None:
    clock = BootClock()
    assert abs(_error_ms(clock, _run(clock, 20))) < 5.0


@pytest.mark.slow
@pytest.mark.parametrize("ppm", [-100.0, -20.0, 20.0, 100.0])
def test_drift_is_followed_for_a_quarter_of_an_hour(ppm: float) -> None:
    clock = BootClock()
    last = _run(clock, 900, drift=ppm * 1e-6)
    assert abs(_error_ms(clock, last, ppm * 1e-6)) < 8.0
    assert clock.drift_ppm == pytest.approx(ppm, abs=40.0)
    assert clock.restart_count == 0


def test_single_wild_pairs_are_refused_and_change_nothing() -> None:
    clock = BootClock()
    last = _run(clock, 20)
    before = clock.utc_ns(last)
    for boot_ms, received_ns in ((4_294_967_295, T0), (0, T0 + 9 * 10**18), (last, 0), (5, T0 + 3600 * S)):
        assert clock.observe(boot_ms, received_ns) is None
    assert clock.utc_ns(last) == before
    assert clock.refused_count == 4


def test_a_reboot_is_believed_after_five_pairs_that_agree() -> None:
    clock = BootClock()
    _run(clock, 20)
    answers = [
        clock.observe(boot_ms, T0 + 25 * S + boot_ms * MS) for boot_ms in (1000, 1100, 1200, 1300, 1400, 1500)
    ]
    assert answers[:4] == [None] * 4
    assert answers[4] == T0 + 25 * S + 1400 * MS
    assert clock.restart_count == 1


def test_a_step_of_our_clock_is_followed_and_a_congested_link_is_not_one() -> None:
    stepped, congested = BootClock(), BootClock()
    for clock in (stepped, congested):
        _run(clock, 20)
    chance = random.Random(3)
    for number in range(100):
        boot_ms = 20_000 + number * 100
        stepped.observe(boot_ms, T0 + boot_ms * MS + 2 * S + chance.randrange(50) * MS)
        congested.observe(boot_ms, T0 + boot_ms * MS + chance.randrange(600, 3000) * MS)
    assert stepped.restart_count == 1
    assert abs(_error_ms(stepped, 30_000) - 2_000) < 20
    assert congested.restart_count == 0
    assert abs(_error_ms(congested, 30_000)) < 10


def test_boot_time_may_wrap_after_fifty_days() -> None:
    clock = BootClock()
    wrap = 1 << 32
    for number in range(100):
        boot_ms = wrap - 5_000 + number * 100
        utc_ns = clock.observe(boot_ms % wrap, T0 + number * 100 * MS)
        assert utc_ns == T0 + number * 100 * MS
    assert clock.restart_count == 0
    assert clock.utc_ns(wrap - 1_000) == T0 + 4_000 * MS


def test_pairs_out_of_order_get_the_time_they_are_of() -> None:
    clock = BootClock()
    last = _run(clock, 10)
    late = clock.observe(last - 2_000, T0 + (last + 500) * MS)
    assert late is not None
    assert abs(late - (T0 + (last - 2_000) * MS)) < 20 * MS


def _heartbeat(sysid: int, compid: int = 1, autopilot: int = 3) -> Frame:
    frame = parse_frame(MessageMaker(sysid, compid).heartbeat(autopilot=autopilot))
    assert frame is not None
    return frame


def test_the_one_autopilot_is_taken_and_settles_in_three_seconds() -> None:
    picker = AutopilotPicker()
    picker.observe(_heartbeat(255, 190, autopilot=8), T0)
    assert picker.address is None
    picker.observe(_heartbeat(9, autopilot=12), T0)
    assert (picker.address, picker.kind) == ((9, 1), 12)
    assert not picker.is_settled(T0 + 2 * S)
    assert picker.is_settled(T0 + 3 * S)


def test_a_second_autopilot_within_three_seconds_makes_it_ambiguous_and_later_ones_do_not() -> None:
    early, late = AutopilotPicker(), AutopilotPicker()
    for picker, second_s in ((early, 2), (late, 4)):
        for at_s in range(8):
            picker.observe(_heartbeat(1), T0 + at_s * S)
            if at_s >= second_s:
                picker.observe(_heartbeat(2), T0 + at_s * S)
    assert early.address is None
    assert early.is_ambiguous
    assert late.address == (1, 1)


def test_the_survivor_of_two_is_taken_when_the_other_falls_silent() -> None:
    picker = AutopilotPicker()
    for at_s in range(12):
        picker.observe(_heartbeat(2), T0 + at_s * S)
        if at_s < 4:
            picker.observe(_heartbeat(1), T0 + at_s * S)
    assert picker.address == (2, 1)


def test_thousands_of_autopilots_stay_a_short_list() -> None:
    picker = AutopilotPicker()
    for sysid in range(1, 256):
        for compid in (1, 2):
            picker.observe(_heartbeat(sysid, compid), T0)
    assert len(picker.candidates) <= 16
    assert picker.address is None
