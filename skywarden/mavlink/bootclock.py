"""An autopilot's time since boot to UTC: the line under all delays, with drift, deaf to nonsense.

Each message pairs a boot time with the UTC time of its reception. Reception = truth + delay, and delays are
never negative, so the truth is the lower edge of all (reception - boot) over boot time: a minimum-delay fit.
The line is the edge of the lower convex hull below the mean time, which minimises the mean height of the
points above it (Moon, Skelly, Towsley, "Estimation and removal of clock skew", INFOCOM 1999, section 3).

UTC here is the clock that stamped the reception (in a telemetry log: the log's stamps), because that clock
stamps the images too. SYSTEM_TIME is never put in its place: a real log claims the year 2908.
"""

from collections import deque
from itertools import pairwise

from skywarden.clock import NS_PER_S

NS_PER_MS = 1_000_000
BIN_S = 1.0
MAX_BINS = 180
DRIFT_SPAN_S = 30.0
MAX_DRIFT = 200e-6
EARLY_S = 0.25
LATE_S = 10.0
STEP_S = 0.5
STEP_FOR_S = 5.0
EVEN_S = 0.3
CONFIRMATIONS = 5
AGREEMENT_S = 1.0
_WRAP_MS = 1 << 32


class BootClock:
    """Maps one component's `time_boot_ms` to UTC; notices its restarts and steps of our own clock.

    A pair that cannot be (earlier than the fit by 0.25 s, later by 10 s) is refused; five in a row that agree
    among themselves start the fit anew, as does an even delay of more than 0.5 s that lasts 5 s (an uneven
    one is a congested link).
    """

    def __init__(self) -> None:
        self.restart_count = 0
        self.refused_count = 0
        self._reset()

    def observe(self, boot_ms: int, received_ns: int) -> int | None:
        """Take one pair; returns the UTC nanoseconds of `boot_ms`, or None while the pair is not believed."""
        boot_ms = self._unwrapped(boot_ms)
        offset_ns = received_ns - boot_ms * NS_PER_MS
        if self._base_ns is None:
            self._start(boot_ms, offset_ns)
            return received_ns
        excess_s = self._offset_s(boot_ms, offset_ns) - self._fit(boot_ms)
        if excess_s < -EARLY_S or excess_s > LATE_S:
            if not self._is_confirmed(offset_ns):
                self.refused_count += 1
                return None
            self._restart(boot_ms, offset_ns)
        elif self._is_step(excess_s, received_ns):
            self._restart(boot_ms, offset_ns)
        else:
            self._suspects.clear()
            self._last_boot_ms = boot_ms
            self._take(boot_ms, offset_ns)
        return self._utc_ns(boot_ms)

    def utc_ns(self, boot_ms: int) -> int | None:
        """UTC nanoseconds of a boot time; None before the first pair."""
        return None if self._base_ns is None else self._utc_ns(self._unwrapped(boot_ms))

    @property
    def drift_ppm(self) -> float:
        """How much faster UTC runs than the component's clock, in parts per million."""
        return self._slope * 1e6

    def _reset(self) -> None:
        self._base_ns: int | None = None
        self._base_boot_ms = 0
        self._last_boot_ms = 0
        self._intercept_s = 0.0
        self._slope = 0.0
        self._bins: deque[tuple[float, float]] = deque(maxlen=MAX_BINS)
        self._suspects: deque[int] = deque(maxlen=CONFIRMATIONS)
        self._late_since_ns: int | None = None
        self._late_count = 0
        self._late_s = (0.0, 0.0)

    def _start(self, boot_ms: int, offset_ns: int) -> None:
        self._base_ns = offset_ns
        self._base_boot_ms = self._last_boot_ms = boot_ms
        self._bins.append((0.0, 0.0))

    def _restart(self, boot_ms: int, offset_ns: int) -> None:
        self.restart_count += 1
        self._reset()
        self._start(boot_ms, offset_ns)

    def _unwrapped(self, boot_ms: int) -> int:
        """Boot milliseconds are 32 bits: after 49.7 days they begin again."""
        turns, low = divmod(self._last_boot_ms, _WRAP_MS)
        if low - boot_ms > _WRAP_MS // 2:
            turns += 1
        elif boot_ms - low > _WRAP_MS // 2 and turns:
            turns -= 1
        return boot_ms % _WRAP_MS + turns * _WRAP_MS

    def _utc_ns(self, boot_ms: int) -> int:
        """As `utc_ns`, for milliseconds that do not wrap."""
        assert self._base_ns is not None
        return self._base_ns + boot_ms * NS_PER_MS + round(self._fit(boot_ms) * NS_PER_S)

    def _offset_s(self, boot_ms: int, offset_ns: int) -> float:
        assert self._base_ns is not None
        return (offset_ns - self._base_ns) / NS_PER_S

    def _fit(self, boot_ms: int) -> float:
        return self._intercept_s + self._slope * (boot_ms - self._base_boot_ms) / 1e3

    def _is_confirmed(self, offset_ns: int) -> bool:
        self._suspects.append(offset_ns)
        spread_ns = max(self._suspects) - min(self._suspects)
        return len(self._suspects) == CONFIRMATIONS and spread_ns < AGREEMENT_S * NS_PER_S

    def _is_step(self, excess_s: float, received_ns: int) -> bool:
        """Whether every message has been late for so long that our clock must have stepped."""
        if excess_s <= STEP_S:
            self._late_since_ns = None
            return False
        lowest, highest = min(self._late_s[0], excess_s), max(self._late_s[1], excess_s)
        if self._late_since_ns is None or highest - lowest > EVEN_S:
            self._late_since_ns, self._late_count = received_ns, 0
            lowest = highest = excess_s
        self._late_s = (lowest, highest)
        self._late_count += 1
        return (
            self._late_count >= 2 * CONFIRMATIONS
            and received_ns - self._late_since_ns >= STEP_FOR_S * NS_PER_S
        )

    def _take(self, boot_ms: int, offset_ns: int) -> None:
        boot_s = (boot_ms - self._base_boot_ms) / 1e3
        offset_s = self._offset_s(boot_ms, offset_ns)
        last_s, lowest_s = self._bins[-1]
        if boot_s // BIN_S > last_s // BIN_S:
            self._bins.append((boot_s, offset_s))
        elif offset_s < lowest_s and boot_s // BIN_S == last_s // BIN_S:
            self._bins[-1] = (boot_s, offset_s)
        else:
            return
        self._refit()

    def _refit(self) -> None:
        if self._bins[-1][0] - self._bins[0][0] < DRIFT_SPAN_S:
            self._slope = 0.0
        else:
            slope = _slope_below_mean(list(self._bins))
            self._slope = max(-MAX_DRIFT, min(MAX_DRIFT, slope))
        self._intercept_s = min(offset - self._slope * boot for boot, offset in self._bins)


def _slope_below_mean(points: list[tuple[float, float]]) -> float:
    """Slope of the lower convex hull (monotone chain; x increases) below the mean of x."""
    hull: list[tuple[float, float]] = []
    for point in points:
        while len(hull) >= 2 and _turn(hull[-2], hull[-1], point) <= 0:
            hull.pop()
        hull.append(point)
    mean = sum(x for x, _ in points) / len(points)
    for (x0, y0), (x1, y1) in pairwise(hull):
        if x0 <= mean <= x1 and x1 > x0:
            return (y1 - y0) / (x1 - x0)
    return 0.0


def _turn(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> float:
    """Positive when a, b, c turn to the left."""
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
