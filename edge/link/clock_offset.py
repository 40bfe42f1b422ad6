"""How far the ground's clock is from this platform's, from the round trips of acknowledgements.

A reply that carries the ground's UTC was made between our sending and our hearing: so the ground's clock,
seen against our monotonic one, lies in an interval as wide as the round trip. The narrowest interval of each
stretch of time is kept (a minimum-delay filter, as in RFC 5905 section 10, but for both ways apart), and they
are intersected, widened by what clocks can drift. The result is a bound that holds however unequal the two
ways are, as long as neither clock leaps; after a leap the intervals contradict each other, and the old go.
"""

from collections import deque
from dataclasses import dataclass

_STRETCH_S = 45.0
_MOST = 120
_MOST_DRIFT = 2e-4
"""Crystals stay within 100 ppm of the truth, so two of them within 200 of each other."""
_WANDER = 1e-5
"""Drift changes with temperature, and where a clock is disciplined: what was is believed within this."""


@dataclass(frozen=True, slots=True)
class ClockDifference:
    """The platform's UTC minus the ground's, seconds; the truth is within `bound_s` of `offset_s`.

    `drift_ppm` is how fast that grows, within `drift_bound_ppm`; `None` while too little is known.
    """

    offset_s: float
    bound_s: float
    drift_ppm: float | None
    drift_bound_ppm: float | None
    round_trip_s: float


@dataclass(slots=True)
class _Interval:
    """The ground's UTC minus our monotonic clock, less `_base_ns`, at `at_s` (monotonic): between these."""

    at_s: float
    low_s: float
    high_s: float

    @property
    def width_s(self) -> float:
        return self.high_s - self.low_s


class ClockFilter:
    """See the module: a plain object, handed round trips and asked for the difference."""

    def __init__(self) -> None:
        self._base_ns: int | None = None
        self._stretches: deque[_Interval] = deque(maxlen=_MOST)
        self._began_s = 0.0
        self._round_trip_s = 0.0

    def note(self, sent_s: float, heard_s: float, ground_ns: int) -> None:
        """A reply that was stamped `ground_ns` (UTC) came; monotonic seconds of sending and hearing."""
        if heard_s < sent_s:
            return
        if self._base_ns is None:
            self._base_ns = ground_ns - round(heard_s * 1e9)
        truth_s = (ground_ns - self._base_ns) / 1e9
        fresh = _Interval(0.5 * (sent_s + heard_s), truth_s - heard_s, truth_s - sent_s)
        self._round_trip_s = heard_s - sent_s
        newest = self._stretches[-1] if self._stretches else None
        if newest is None or heard_s - self._began_s >= _STRETCH_S:
            self._began_s = heard_s
            self._stretches.append(fresh)
            return
        low_s, high_s = _grown(newest, fresh.at_s, -_MOST_DRIFT, _MOST_DRIFT)
        if fresh.low_s > high_s or fresh.high_s < low_s:  # a clock leapt
            self._stretches.clear()
            self._began_s = heard_s
            self._stretches.append(fresh)
        elif fresh.width_s <= newest.width_s:
            self._stretches[-1] = fresh

    def difference(self, now_s: float, utc_ns: int) -> ClockDifference | None:
        """As of now, by both of our clocks; `None` before the first reply."""
        if self._base_ns is None:
            return None
        while True:
            slopes = self._slopes()
            found = self._intersection(now_s, slopes[0] - _WANDER, slopes[1] + _WANDER) if slopes else None
            if found is not None:
                break
            self._stretches.popleft()  # the newest alone never contradicts itself
        low_s, high_s = found
        assert slopes is not None
        drift, drift_bound = -0.5 * (slopes[0] + slopes[1]), 0.5 * (slopes[1] - slopes[0])
        is_known = drift_bound < 0.5 * _MOST_DRIFT
        ours_s = (utc_ns - self._base_ns) / 1e9 - now_s
        return ClockDifference(
            offset_s=ours_s - 0.5 * (low_s + high_s),
            bound_s=0.5 * (high_s - low_s),
            drift_ppm=drift * 1e6 if is_known else None,
            drift_bound_ppm=drift_bound * 1e6 if is_known else None,
            round_trip_s=self._round_trip_s,
        )

    def _slopes(self) -> tuple[float, float] | None:
        """The drifts (seconds a second) that no pair of intervals rules out, `None` when there is none."""
        lowest, highest = -_MOST_DRIFT, _MOST_DRIFT
        kept = list(self._stretches)
        for place, later in enumerate(kept):
            for earlier in kept[:place]:
                passed_s = later.at_s - earlier.at_s
                if passed_s < _STRETCH_S / 2:
                    continue
                highest = min(highest, (later.high_s - earlier.low_s) / passed_s)
                lowest = max(lowest, (later.low_s - earlier.high_s) / passed_s)
        return (lowest, highest) if lowest <= highest else None

    def _intersection(self, now_s: float, lowest: float, highest: float) -> tuple[float, float] | None:
        grown = [_grown(one, now_s, lowest, highest) for one in self._stretches]
        low_s, high_s = max(low for low, _ in grown), min(high for _, high in grown)
        return (low_s, high_s) if low_s <= high_s else None


def _grown(one: _Interval, at_s: float, lowest: float, highest: float) -> tuple[float, float]:
    """The interval as it is at another time, when the drift is between these."""
    passed_s = at_s - one.at_s
    if passed_s < 0.0:
        lowest, highest = highest, lowest
    return one.low_s + lowest * passed_s, one.high_s + highest * passed_s
