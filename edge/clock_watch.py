"""How good the platform's UTC is, judged by its monotonic clock: a plain object that is handed both."""

from skywarden.wire import ClockQuality

UNKNOWN: ClockQuality = 0
STEADY: ClockQuality = 1
JUMPED: ClockQuality = 2
NEVER_SET: ClockQuality = 3

_FIRST_PLAUSIBLE_NS = 1_735_689_600_000_000_000  # 2025-01-01
_LAST_PLAUSIBLE_NS = 3_155_760_000_000_000_000  # 2070-01-01
_JUMP_NS = 1_000_000_000
_SLEW = 1e-3


class ClockWatch:
    """Compares each reading with the one before: UTC may drift against the monotonic clock, never leap.

    After a leap of more than a second the clock counts as jumped until it has leapt back (a copy of a wrong
    time is over) or until the process starts again. A clock before 2025 was never set; the leap that sets
    it is none.
    """

    def __init__(self) -> None:
        self._before: tuple[int, int] | None = None
        self._leapt_ns = 0

    def judge(self, utc_ns: int, mono_ns: int) -> ClockQuality:
        """The quality of a reading of both clocks, taken together."""
        if not _FIRST_PLAUSIBLE_NS <= utc_ns <= _LAST_PLAUSIBLE_NS:
            return NEVER_SET
        before, self._before = self._before, (utc_ns, mono_ns)
        if before is not None:
            passed_ns = mono_ns - before[1]
            leap_ns = (utc_ns - before[0]) - passed_ns
            if abs(leap_ns) > _JUMP_NS + _SLEW * abs(passed_ns):
                self._leapt_ns += leap_ns
        return JUMPED if abs(self._leapt_ns) > _JUMP_NS else STEADY
