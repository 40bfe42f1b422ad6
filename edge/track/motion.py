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

_LEAST_FOR_PLANE = 8

MANOEUVRE_MEMORY_S = 2.0
MANOEUVRE_GATE = 18.0
"""Squared length of the smoothed, whitened innovation (two dimensions of variance one while the model holds)
above which an object is taken to have turned; by chance once in 8000 independent looks."""


def predict(
    x: FloatArray, p: FloatArray, dt_s: float, steady_m2ps3: float, keep: FloatArray, is_idle: BoolArray
) -> None:
    """Carry all tracks on by `dt_s`; `keep` (K,) is what is left of each shared error."""
    count, size = x.shape
    lasts = np.ones(size)
    lasts[4:] = keep
    x[:, :2] += dt_s * x[:, 2:4]
    x *= lasts
    rows = p.reshape(count, size * size)
    rows[:, : 2 * size] += dt_s * rows[:, 2 * size : 4 * size]
    p[:, :2, :2] += dt_s * p[:, :2, 2:4]
    p[:, 2:, :2] = p[:, :2, 2:].transpose(0, 2, 1)
    if is_idle.any():
        _let_fade(x, p, dt_s, is_idle)
    p *= np.outer(lasts, lasts)
    p += _process_noise(dt_s, steady_m2ps3, lasts)


def _process_noise(dt_s: float, steady_m2ps3: float, lasts: FloatArray) -> FloatArray:
    q = np.diag(1.0 - lasts * lasts)
    q[0, 0] = q[1, 1] = steady_m2ps3 * dt_s**3 / 3
    q[0, 2] = q[2, 0] = q[1, 3] = q[3, 1] = steady_m2ps3 * dt_s**2 / 2
    q[2, 2] = q[3, 3] = steady_m2ps3 * dt_s
    return q


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


def reach_m(
    x: FloatArray, p: FloatArray, points: FloatArray, own: FloatArray, factor: FloatArray, sigmas: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """About where tracks are expected to be seen (N, 2), and how far from there, in metres, tracks (N,) and
    measurements (M,) may be from each other at so many sigmas.

    The columns of shared errors are taken for a level or slanting plane over the scene, through which tracks
    are looked at; each measurement answers for its own difference from it. By the triangle inequality that
    bounds the gate, where shared errors have a variance of one, and of two after they were drawn anew.
    """
    count, size = x.shape
    middle, columns = _plane(points, factor)
    centred = np.ones((count, 3))
    centred[:, 1:] = x[:, :2] - middle
    h = np.zeros((count, 2, size))
    h[:, 0, 0] = h[:, 1, 1] = 1.0
    h[:, :, 4:] = (centred @ columns).reshape(count, 2, size - 4)
    trace = np.einsum("nij,nij->n", h @ p, h)
    centre = (h @ x[:, :, None])[:, :, 0]
    centred = np.ones((len(points), 3))
    centred[:, 1:] = points - middle
    other = factor.reshape(len(points), -1) - centred @ columns
    differs = np.sqrt(np.einsum("ij,ij->i", other, other))
    largest = float(np.sqrt(np.einsum("ij,ij->i", x[:, 4:], x[:, 4:]).max()))
    seen = sigmas * np.sqrt(own[:, 0, 0] + own[:, 1, 1]) + (sigmas * 2.0**0.5 + largest) * differs
    return centre, sigmas * np.sqrt(np.maximum(trace, 0.0)), seen


def _plane(points: FloatArray, factor: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Middle of the scene and coefficients (3, 2 K) of the plane that fits the columns best; level where few
    points do not span one."""
    table = factor.reshape(len(points), -1)
    middle = points.mean(axis=0)
    coefficients = np.zeros((3, table.shape[1]))
    coefficients[0] = table.mean(axis=0)
    if len(points) >= _LEAST_FOR_PLANE:
        away = points - middle
        (ee, en), (_, nn) = (away.T @ away).tolist()
        determinant = ee * nn - en * en
        if determinant > 1e-3 * ee * nn:
            inverse = np.array([[nn, -en], [-en, ee]]) / determinant
            coefficients[1:] = inverse @ (away.T @ table)
    return middle, coefficients


def innovations(
    x: FloatArray, p: FloatArray, points: FloatArray, own: FloatArray, factor: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """What M measurements differ from what M tracks predict (M, 2), the covariance S of that (M, 2, 2), and
    H P (M, 2, 4 + K), with H = [1 0 B] and B the shared errors' columns (M, 2, K)."""
    hp = factor @ p[:, 4:]
    hp += p[:, :2]
    s = hp[:, :, 4:] @ factor.transpose(0, 2, 1)
    s += hp[:, :, :2]
    s += own
    away = points - x[:, :2]
    away -= (factor @ x[:, 4:, None])[:, :, 0]
    return away, s, hp


def correct(
    x: FloatArray, p: FloatArray, rows: IndexArray, away: FloatArray, s: FloatArray, hp: FloatArray
) -> FloatArray:
    """Take one measurement per row of `rows`, as `innovations` gives it; answers with the whitened (M, 2).

    With S = L L^T and W = L^-1 H P the covariance falls by W^T W, which keeps it symmetric.
    """
    l00 = np.sqrt(s[:, 0, 0])
    l10 = s[:, 1, 0] / l00
    l11 = np.sqrt(np.maximum(s[:, 1, 1] - l10 * l10, 1e-12))
    unroot = np.zeros((len(rows), 2, 2))  # L^-1
    unroot[:, 0, 0] = 1.0 / l00
    unroot[:, 1, 1] = 1.0 / l11
    unroot[:, 1, 0] = -l10 / (l00 * l11)
    w = unroot @ hp
    white: FloatArray = unroot @ away[:, :, None]
    w_t = w.transpose(0, 2, 1)
    x[rows] += (w_t @ white)[:, :, 0]
    p[rows] -= w_t @ w
    return white[:, :, 0]


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
