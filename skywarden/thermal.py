"""16-bit thermal counts to 8-bit grey: the one rule for cameras aboard, for evaluation and for training."""

import numpy as np
import numpy.typing as npt

U8 = npt.NDArray[np.uint8]
U16 = npt.NDArray[np.uint16]

LOW_PERCENTILE = 1.0
HIGH_PERCENTILE = 99.5
MIN_SPAN_COUNTS = 64.0
"""The limits never come closer, so that noise of an even scene (open sea) is not stretched into objects."""

_SAMPLES_PER_SIDE = 256


def count_limits(
    raw: U16, low_percentile: float = LOW_PERCENTILE, high_percentile: float = HIGH_PERCENTILE
) -> tuple[float, float]:
    """Two percentiles of the counts (H, W), of every n-th row and column so that it costs no time."""
    rows, columns = (max(1, side // _SAMPLES_PER_SIDE) for side in raw.shape)
    low, high = np.percentile(raw[::rows, ::columns], (low_percentile, high_percentile))
    return float(low), float(high)


def widened(low: float, high: float, min_span_counts: float = MIN_SPAN_COUNTS) -> tuple[float, float]:
    """The limits, moved apart evenly where they are closer than that."""
    missing = max(0.0, min_span_counts - (high - low)) / 2
    return low - missing, high + missing


def grey_from_counts(raw: U16, low: float, high: float, *, is_inverted: bool = False) -> U8:
    """Grey (H, W): `low` counts and less become 0, `high` and more 255, straight between; inverted: 255 less.

    `high` lies above `low`.
    """
    table = np.clip((np.arange(65_536, dtype=np.float32) - low) * (255.0 / (high - low)), 0, 255)
    grey: U8 = np.rint(255 - table if is_inverted else table).astype(np.uint8)[raw]
    return grey


def grey_picture(raw: U16) -> U8:
    """One picture by itself, white hot, as a camera that has just been switched on shows it (H, W)."""
    return grey_from_counts(raw, *widened(*count_limits(raw)))
