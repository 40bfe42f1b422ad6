"""How well things are counted: found over the threshold against labelled, image by image."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from models.evaluation.dataset import Truth
from models.evaluation.matching import Found

BOOTSTRAPS = 1000


def count_figures(found: Sequence[Found], truth: Sequence[Truth], threshold: float) -> dict[str, Any]:
    """`count_error`: mean over images with objects of |found - labelled| / labelled, with a 95 % bootstrap.

    `count_bias` is the sum of what was found over the sum of what is labelled, less one: errors of single
    images that cancel over a plantation. All `None` where no image holds an object.
    """
    pairs = [
        (int((seen.score >= threshold).sum()), known.count)
        for seen, known in zip(found, truth, strict=True)
        if known.count
    ]
    if not pairs:
        return {"count_error": None, "count_error_interval": None, "count_bias": None}
    have, want = np.array(pairs, dtype=np.float64).T
    errors = np.abs(have - want) / want
    draws = np.random.default_rng(1).choice(errors, (BOOTSTRAPS, len(errors))).mean(axis=1)
    return {
        "count_error": round(float(errors.mean()), 4),
        "count_error_interval": [round(float(value), 4) for value in np.quantile(draws, [0.025, 0.975])],
        "count_bias": round(float(have.sum() / want.sum() - 1.0), 4),
    }
