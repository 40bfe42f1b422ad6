"""16-bit thermal counts to 8-bit grey with a stated gain: two percentiles that follow the scene smoothly."""

import math

import numpy as np

from edge.cameras.config import GainConfig
from edge.cameras.frame import U8, U16, AppliedGain, GreyPixels
from skywarden.clock import NS_PER_S

_SAMPLES_PER_SIDE = 256


class GainControl:
    """Keeps the two limits between frames; one object per camera, fed in the order of frames."""

    def __init__(self, config: GainConfig) -> None:
        self._config = config
        self._limits: tuple[float, float] | None = None
        self._time_ns: int | None = None

    def apply(self, raw: U16, time_ns: int) -> GreyPixels:
        """Grey picture of `raw`, shape (H, W) counts, at `time_ns`; a jump back in time starts afresh."""
        applied = self._follow(raw, time_ns)
        return GreyPixels(_stretched(raw, applied), raw=raw, gain=applied)

    def _follow(self, raw: U16, time_ns: int) -> AppliedGain:
        config = self._config
        sample = raw[
            :: max(1, raw.shape[0] // _SAMPLES_PER_SIDE), :: max(1, raw.shape[1] // _SAMPLES_PER_SIDE)
        ]
        low, high = (float(v) for v in np.percentile(sample, (config.low_percentile, config.high_percentile)))
        if self._limits is not None and self._time_ns is not None and time_ns >= self._time_ns:
            weight = _weight((time_ns - self._time_ns) / NS_PER_S, config.smoothing_s)
            low = self._limits[0] + weight * (low - self._limits[0])
            high = self._limits[1] + weight * (high - self._limits[1])
        self._limits, self._time_ns = (low, high), time_ns
        missing = config.min_span_counts - (high - low)
        if missing > 0:
            low, high = low - missing / 2, high + missing / 2
        return AppliedGain(
            low_count=low,
            high_count=high,
            low_percentile=config.low_percentile,
            high_percentile=config.high_percentile,
            is_inverted=config.is_inverted,
        )


def _weight(passed_s: float, smoothing_s: float) -> float:
    return 1.0 if smoothing_s <= 0 else 1.0 - math.exp(-passed_s / smoothing_s)


def _stretched(raw: U16, gain: AppliedGain) -> U8:
    scale = 255.0 / (gain.high_count - gain.low_count)
    counts = np.arange(65_536, dtype=np.float32)
    table = np.clip((counts - gain.low_count) * scale, 0, 255)
    if gain.is_inverted:
        table = 255 - table
    grey: U8 = np.rint(table).astype(np.uint8)[raw]
    return grey
