"""Makes scores mean chances: log-odds over one number, found where nothing was learnt (Guo et al. 2017)."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from models.training.judge import Array
from models.training.score import Judged, match

Bools = npt.NDArray[np.bool_]
LEAST_EACH = 20
"""With fewer hits or misses than this, nothing is fitted."""


def scores_and_hits(judged: Sequence[Judged], iou: float = 0.5) -> tuple[Array, Bools]:
    """All found boxes of all images: their scores, and whether each is a hit. Ignored ones are left out."""
    matches = match(judged, iou)
    return np.concatenate(matches.scores), np.concatenate(matches.hits)


def fit_temperature(score: Array, is_hit: Bools) -> float | None:
    """The temperature, 0.05 to 20, under which hits and misses are most likely; `None` with too few."""
    if min(int(is_hit.sum()), int((~is_hit).sum())) < LEAST_EACH:
        return None
    low, high = np.log(0.05), np.log(20.0)
    for _ in range(60):  # the loss has one valley
        first, second = low + (high - low) / 3, high - (high - low) / 3
        if _loss(score, is_hit, float(np.exp(first))) < _loss(score, is_hit, float(np.exp(second))):
            high = second
        else:
            low = first
    return float(np.exp((low + high) / 2))


def with_temperature(score: Array, temperature: float) -> Array:
    """Scores whose log-odds are divided by `temperature`."""
    return np.asarray(1.0 / (1.0 + np.exp(-_log_odds(score) / temperature)))


def calibration_error(score: Array, is_hit: Bools, bins: int = 10) -> float:
    """Mean gap between score and share of hits over tenths of the scores, weighted by their counts."""
    place = np.minimum((score * bins).astype(int), bins - 1)
    gaps = [
        (place == number).sum() * abs(score[place == number].mean() - is_hit[place == number].mean())
        for number in np.unique(place)
    ]
    return float(np.sum(gaps) / max(1, len(score)))


def _loss(score: Array, is_hit: Bools, temperature: float) -> float:
    signed = np.where(is_hit, 1.0, -1.0) * _log_odds(score) / temperature
    return float(np.logaddexp(0.0, -signed).mean())


def _log_odds(score: Array) -> Array:
    clipped = np.clip(score, 1e-6, 1 - 1e-6)
    return np.asarray(np.log(clipped / (1 - clipped)))
