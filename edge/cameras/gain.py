"""16-bit thermal counts to 8-bit grey with a stated gain: two percentiles that follow the scene smoothly."""

import math

from edge.cameras.config import GainConfig
from edge.cameras.frame import U16, AppliedGain, GreyPixels
from skywarden.clock import NS_PER_S
from skywarden.thermal import count_limits, grey_from_counts, widened


class GainControl:
    """Keeps the two limits between frames; one object per camera, fed in the order of frames."""

    def __init__(self, config: GainConfig) -> None:
        self._config = config
        self._limits: tuple[float, float] | None = None
        self._time_ns: int | None = None

    def apply(self, raw: U16, time_ns: int) -> GreyPixels:
        """Grey picture of `raw`, shape (H, W) counts, at `time_ns`; a jump back in time starts afresh."""
        applied = self._follow(raw, time_ns)
        grey = grey_from_counts(
            raw, applied.low_count, applied.high_count, is_inverted=self._config.is_inverted
        )
        return GreyPixels(grey, raw=raw, gain=applied)

    def _follow(self, raw: U16, time_ns: int) -> AppliedGain:
        config = self._config
        low, high = count_limits(raw, config.low_percentile, config.high_percentile)
        if self._limits is not None and self._time_ns is not None and time_ns >= self._time_ns:
            weight = _weight((time_ns - self._time_ns) / NS_PER_S, config.smoothing_s)
            low = self._limits[0] + weight * (low - self._limits[0])
            high = self._limits[1] + weight * (high - self._limits[1])
        self._limits, self._time_ns = (low, high), time_ns
        low, high = widened(low, high, config.min_span_counts)
        return AppliedGain(
            low_count=low,
            high_count=high,
            low_percentile=config.low_percentile,
            high_percentile=config.high_percentile,
            is_inverted=config.is_inverted,
        )


def _weight(passed_s: float, smoothing_s: float) -> float:
    return 1.0 if smoothing_s <= 0 else 1.0 - math.exp(-passed_s / smoothing_s)
