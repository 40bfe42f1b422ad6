"""Covariance intersection: fusing estimates of which nobody knows what they share."""

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

_WEIGHTS = 33


def intersected(
    one: FloatArray, one_covariance: FloatArray, two: FloatArray, two_covariance: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """State and covariance of two estimates of one thing (Julier & Uhlmann, ACC 1997).

    Never surer than is true, whatever the two share; the weight of least trace of the place, on a grid of
    1/32. States (n,) begin with east and north. Equal estimates leave the first one as it is.
    """
    first, second = np.linalg.inv(one_covariance), np.linalg.inv(two_covariance)
    weights = np.linspace(0.0, 1.0, _WEIGHTS)
    candidates = np.linalg.inv(weights[:, None, None] * first + (1.0 - weights[:, None, None]) * second)
    spread = candidates[:, 0, 0] + candidates[:, 1, 1]
    # The larger weight wins a tie, so that equal estimates leave the first one as it is.
    chosen = _WEIGHTS - 1 - int(np.argmin(spread[::-1]))
    weight, covariance = float(weights[chosen]), candidates[chosen]
    state = covariance @ (weight * first @ one + (1.0 - weight) * second @ two)
    return state, (covariance + covariance.T) / 2
