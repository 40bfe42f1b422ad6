"""A platform that is held back says so, soon, and soon not any more."""

from edge.throttle_watch import ThrottleCounters, ThrottleWatch, read_counters


def test_a_quota_that_bites_is_said_within_seconds_and_forgotten_after_it() -> None:
    watch = ThrottleWatch()
    assert watch.look(ThrottleCounters(100, 90), 0.0) is None  # before our time
    assert watch.look(ThrottleCounters(110, 90), 1.0) is None
    assert (
        watch.look(ThrottleCounters(120, 99), 2.0) == "out of its quota of processor time in 90 % of the time"
    )
    assert watch.look(ThrottleCounters(121, 99), 2.2) is not None  # too early to look again
    assert watch.look(ThrottleCounters(130, 100), 3.0) is not None  # one in ten is enough to go on
    assert [watch.look(ThrottleCounters(130 + n, 100), 3.0 + n) is None for n in (1, 2, 3, 4)] == [
        False,
        False,
        False,
        True,
    ]


def test_what_the_firmware_says_counts_without_any_quota() -> None:
    watch = ThrottleWatch()
    assert watch.look(ThrottleCounters(firmware=("too hot",)), 0.0) == "the computer says: too hot"
    assert watch.look(ThrottleCounters(), 2.0) is not None
    assert watch.look(ThrottleCounters(), 5.0) is None


def test_counters_are_read_or_left_out_and_never_raise() -> None:
    counters = read_counters()
    assert 0 <= counters.throttled <= counters.periods or counters.periods == 0
