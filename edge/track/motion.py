"""The tracker's filter: where tracks go, what a measurement says of them, and which of them move.

State of a track, shape (4 + K,): east, north (m), their rates (m/s), and K shared errors of variance one
(see `edge.track.measurements`). Motion is of constant velocity with white acceleration; shared errors are
first-order Gauss-Markov. It is an augmented Kalman filter: shared errors are estimated with the state, so far
as the geometry lets them be, and where it does not, position and velocity keep the uncertainty they cause.
All functions work on all tracks at once, in place: x (N, 4 + K), p (N, 4 + K, 4 + K).
"""

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
IndexArray = npt.NDArray[np.intp]

IDLE_S = 5.0
"""The velocity of what stands and is out of sight dies away with this time constant."""

MANOEUVRE_MEMORY_S = 2.0
MANOEUVRE_GATE = 18.0
"""Squared length of the smoothed, whitened innovation (two dimensions of variance one while the model holds)
above which an object is taken to have turned; by chance once in 8000 independent looks."""


def predict(
    x: FloatArray, p: FloatArray, dt_s: float, steady_m2ps3: float, keep: FloatArray, is_idle: BoolArray
) -> None:
    """Carry all tracks on by `dt_s`; `keep` (K,) is what is left of each shared error."""
    x[:, :2] += dt_s * x[:, 2:4]
    p[:, :2] += dt_s * p[:, 2:4]
    p[:, :, :2] += dt_s * p[:, :, 2:4]
    if is_idle.any():
        _let_fade(x, p, dt_s, is_idle)
    x[:, 4:] *= keep
    p[:, 4:] *= keep[:, None]
    p[:, :, 4:] *= keep
    count = x.shape[1]
    q = np.zeros((count, count))
    place, rate = np.arange(2), np.arange(2, 4)
    q[place, place] = steady_m2ps3 * dt_s**3 / 3
    q[place, rate] = q[rate, place] = steady_m2ps3 * dt_s**2 / 2
    q[rate, rate] = steady_m2ps3 * dt_s
    shared = np.arange(4, count)
    q[shared, shared] = 1.0 - keep * keep
    p += q


def _let_fade(x: FloatArray, p: FloatArray, dt_s: float, is_idle: BoolArray) -> None:
    """Take back what an unabated velocity did to idle tracks, and let it die away instead."""
    fade = float(np.exp(-dt_s / IDLE_S))
    too_far_s = IDLE_S * (1.0 - fade) - dt_s
    rows = np.flatnonzero(is_idle)
    change = np.eye(x.shape[1])
    change[[0, 1], [2, 3]] = too_far_s
    change[[2, 3], [2, 3]] = fade
    x[rows] = x[rows] @ change.T
    p[rows] = change @ p[rows] @ change.T


def innovation_covariance(
    p_place: FloatArray, p_cross: FloatArray, p_shared: FloatArray, factor: FloatArray
) -> FloatArray:
    """H P H^T, (M, 2, 2), with H = [1 0 B], from the blocks of P (M, 2, 2), (M, 2, K), (M, K, K) and B."""
    part = p_cross + factor @ p_shared
    across = factor @ p_cross.transpose(0, 2, 1)
    result: FloatArray = p_place + part @ factor.transpose(0, 2, 1) + across
    return result


def correct(
    x: FloatArray, p: FloatArray, rows: IndexArray, points: FloatArray, own: FloatArray, factor: FloatArray
) -> FloatArray:
    """Take one measurement per row of `rows`; answers with the whitened innovations (M, 2).

    With S = L L^T and W = P H^T L^-T the covariance falls by W W^T, which keeps it symmetric.
    """
    of, before = p[rows], x[rows]
    gain = of[:, :, :2] + of[:, :, 4:] @ factor.transpose(0, 2, 1)
    s = gain[:, :2] + factor @ gain[:, 4:] + own
    away = points - before[:, :2] - (factor @ before[:, 4:, None])[:, :, 0]
    l00 = np.sqrt(s[:, 0, 0])
    l10 = s[:, 1, 0] / l00
    l11 = np.sqrt(np.maximum(s[:, 1, 1] - l10 * l10, 1e-12))
    white = np.empty_like(away)
    white[:, 0] = away[:, 0] / l00
    white[:, 1] = (away[:, 1] - l10 * white[:, 0]) / l11
    gain[:, :, 0] /= l00[:, None]
    gain[:, :, 1] = (gain[:, :, 1] - gain[:, :, 0] * l10[:, None]) / l11[:, None]
    x[rows] = before + (gain @ white[:, :, None])[:, :, 0]
    p[rows] = of - gain @ gain.transpose(0, 2, 1)
    return white


def remember_surprise(surprise: FloatArray, white: FloatArray, dt_s: float) -> BoolArray:
    """Smooth whitened innovations into `surprise` (M, 2), and say which objects have turned.

    While the model holds, a smoothed value has variance one per axis whatever the frame rate; an object that
    turns pushes it steadily to one side.
    """
    keep = float(np.exp(-dt_s / MANOEUVRE_MEMORY_S))
    surprise *= keep
    surprise += np.sqrt(1.0 - keep * keep) * white
    turned: BoolArray = np.einsum("ij,ij->i", surprise, surprise) > MANOEUVRE_GATE
    return turned


def motion_log_odds(x: FloatArray, p: FloatArray, prior_mps: float) -> FloatArray:
    """Logarithm of how much better "it moves" explains what was seen than "it stands", (N,).

    "It stands" is "it moves" with a velocity of zero, so the ratio of their evidences is the density of
    the velocity at zero before (normal, `prior_mps` per axis) over that after all looks (Dickey 1971).
    """
    ee, en, nn = p[:, 2, 2], p[:, 2, 3], p[:, 3, 3]
    determinant = np.maximum(ee * nn - en * en, 1e-12)
    ve, vn = x[:, 2], x[:, 3]
    squared = (nn * ve * ve - 2.0 * en * ve * vn + ee * vn * vn) / determinant
    odds: FloatArray = 0.5 * (squared + np.log(determinant)) - 2.0 * np.log(prior_mps)
    return odds
