"""Do scores mean what they say: reliability curve, expected error, and a temperature that mends them.

Guo et al. 2017, "On calibration of modern neural networks": log-odds are divided by one number, found on
images that the judgement does not use.
"""

import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models.evaluation.matching import Matched

F64 = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

BINS = 10
_LEAST_HITS = 20
_LOG_RANGE = 3.0
_STEPS = 60


def reliability(score: F64, is_hit: Bools) -> tuple[list[dict[str, float | int]], float]:
    """For each tenth of the scores that has any: count, mean score, share of hits; and the mean gap between
    the two, weighted by counts (expected calibration error)."""
    curve: list[dict[str, float | int]] = []
    gap = 0.0
    place = np.minimum((score * BINS).astype(int), BINS - 1)
    for number in range(BINS):
        mine = place == number
        count = int(mine.sum())
        if not count:
            continue
        mean, share = float(score[mine].mean()), float(is_hit[mine].mean())
        gap += count * abs(mean - share)
        curve.append({"count": count, "score": round(mean, 4), "hits": round(share, 4)})
    return curve, gap / max(1, len(score))


def fit_temperature(score: F64, is_hit: Bools) -> float:
    """The temperature under which hits and misses are most likely, between 0.05 and 20."""
    odds = _log_odds(score)
    low, high = -_LOG_RANGE, _LOG_RANGE
    ratio = (np.sqrt(5.0) - 1.0) / 2.0
    for _ in range(_STEPS):  # golden section: the loss has one valley
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        if _loss(odds, is_hit, np.exp(left)) < _loss(odds, is_hit, np.exp(right)):
            high = right
        else:
            low = left
    return float(np.clip(np.exp((low + high) / 2.0), 0.05, 20.0))


def with_temperature(score: F64, temperature: float) -> F64:
    """Scores whose log-odds are divided by `temperature`."""
    return np.asarray(1.0 / (1.0 + np.exp(-_log_odds(score) / temperature)))


def is_for_fitting(path: Path) -> bool:
    """Whether an image belongs to the half that fits the temperature: told by its name, the same always."""
    return zlib.crc32(path.name.encode("utf-8", "replace")) % 2 == 0


def calibration_figures(matched: Matched, paths: Sequence[Path]) -> dict[str, Any] | None:
    """Curve and error as they are, and on the half that did not fit the temperature before and after it.

    `None` with fewer than 20 hits or misses in either half: that says nothing.
    """
    kept = ~matched.is_ignored
    score, is_hit = matched.score[kept], matched.is_hit[kept]
    fits = np.array([is_for_fitting(path) for path in paths], dtype=bool)[matched.image_index[kept]]
    for half in (fits, ~fits):
        if min(int(is_hit[half].sum()), int((~is_hit[half]).sum())) < _LEAST_HITS:
            return None
    temperature = fit_temperature(score[fits], is_hit[fits])
    curve, error = reliability(score, is_hit)
    _, before = reliability(score[~fits], is_hit[~fits])
    _, after = reliability(with_temperature(score[~fits], temperature), is_hit[~fits])
    return {
        "reliability": curve,
        "error": round(error, 4),
        "temperature": round(temperature, 4),
        "fitted_on": int(fits.sum()),
        "judged_on": int((~fits).sum()),
        "error_before": round(before, 4),
        "error_after": round(after, 4),
    }


def _log_odds(score: F64) -> F64:
    held = np.clip(score.astype(np.float64), 1e-6, 1.0 - 1e-6)
    return np.asarray(np.log(held / (1.0 - held)))


def _loss(odds: F64, is_hit: Bools, temperature: float) -> float:
    signed = np.where(is_hit, -odds, odds) / temperature
    return float(np.logaddexp(0.0, signed).mean())
