"""Which look belongs to which vessel: one to one, as probabilities.

Each look comes from at most one vessel and each vessel gives at most one look. The probability of each pair
under that rule is a ratio of sums over all ways to pair them up, which is not to be had for dozens; loopy
belief propagation comes within a fraction of a percent of it and always converges (Williams and Lau,
Approximate evaluation of marginal association probabilities with belief propagation, IEEE TAES 50(4), 2014).
"""

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

CHI_SQUARE_2_9999 = 18.420680743952367
"""The squared Mahalanobis distance inside which 99.99 % of a bivariate Gaussian lies: the gate."""

_TAIL_SHARE, _TAIL_SCALE = 0.05, 9.0


def pair_weights(weights: npt.ArrayLike, *, rounds: int = 60, tolerance: float = 1e-6) -> FloatArray:
    """Probabilities of pairs, shape (looks, vessels), from weights of that shape.

    A weight is how much likelier the look is as that vessel than as none, times the odds that the vessel
    would be seen. Rows and columns each sum to at most one; what a row lacks is the look that is no
    vessel's.
    """
    given = np.asarray(weights, dtype=np.float64)
    if given.size == 0:
        return np.zeros(given.shape)
    back = np.ones_like(given)
    for _ in range(rounds):
        flow = given * back
        there = given / (1.0 + flow.sum(axis=1, keepdims=True) - flow)
        new = 1.0 / (1.0 + there.sum(axis=0, keepdims=True) - there)
        change = float(np.abs(new - back).max())
        back = new
        if change < tolerance:
            break
    flow = given * back
    found: FloatArray = flow / (1.0 + flow.sum(axis=1, keepdims=True))
    return found


def tailed_density(squared: float, determinant: float) -> float:
    """Density (1/m^2) at a squared Mahalanobis distance: a Gaussian, and one in twenty from one three times
    as wide.

    Stated covariances are too small now and then; without the tail one such case outweighs everything.
    """
    scale = 1.0 / (2.0 * np.pi * np.sqrt(determinant))
    inner = (1.0 - _TAIL_SHARE) * np.exp(-0.5 * squared)
    outer = _TAIL_SHARE / _TAIL_SCALE * np.exp(-0.5 * squared / _TAIL_SCALE)
    return float(scale * (inner + outer))


def is_in_gate(squared: float) -> bool:
    """Whether a pair is looked at: inside 99.99 % of the wider of the two Gaussians."""
    return squared <= CHI_SQUARE_2_9999 * _TAIL_SCALE
