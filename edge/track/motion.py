"""The tracker's filter: where tracks go, what a measurement says of them, and which of them move.

State of a track, shape (4 + K,): east, north (m), their rates (m/s), and K shared errors of variance one
(see `edge.track.measurements`). Motion is of constant velocity with white acceleration; shared errors are
first-order Gauss-Markov. It is an augmented Kalman filter: shared errors are estimated with the state, so far
as the geometry lets them be, and where it does not, position and velocity keep the uncertainty they cause.

All functions work on all tracks at once, in place. State x and covariance P stand side by side in one array,
z = [x P] of shape (N, 4 + K, 5 + K): what a matrix from the left does to x it does to P in the same call,
and the gain that takes an innovation into x takes H P out of P.
"""

import math

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


def predict(z: FloatArray, dt_s: float, steady_m2ps3: float, keep: FloatArray, idle: IndexArray) -> None:
    """Carry all tracks on by `dt_s`; `keep` (K,) is what is left of each shared error, `idle` the rows of
    tracks that stand and are out of sight."""
    count, size = z.shape[:2]
    if len(idle):
        _let_fade(z, dt_s, idle)
    onward = np.zeros((size + 1, size + 1))
    diagonal = onward.reshape(-1)[:: size + 2]
    diagonal[:5] = 1.0
    diagonal[5:] = keep
    onward[1, 3] = onward[2, 4] = dt_s
    turned = z.reshape(count * size, size + 1) @ onward.T
    np.matmul(onward[1:, 1:], turned.reshape(z.shape), out=z)
    z += _process_noise(dt_s, steady_m2ps3, keep)


def _process_noise(dt_s: float, steady_m2ps3: float, keep: FloatArray) -> FloatArray:
    size = 4 + len(keep)
    q = np.zeros((size, size + 1))
    q[0, 1] = q[1, 2] = steady_m2ps3 * dt_s**3 / 3
    q[0, 3] = q[2, 1] = q[1, 4] = q[3, 2] = steady_m2ps3 * dt_s**2 / 2
    q[2, 3] = q[3, 4] = steady_m2ps3 * dt_s
    q.reshape(-1)[4 * size + 9 :: size + 2] = 1.0 - keep * keep
    return q


def _let_fade(z: FloatArray, dt_s: float, idle: IndexArray) -> None:
    """Take back, before it happens, what an unabated velocity does to idle tracks: it dies away instead."""
    fade = math.exp(-dt_s / IDLE_S)
    change = np.eye(z.shape[1])
    change[[0, 1], [2, 3]] = IDLE_S * (1.0 - fade) - dt_s * fade
    change[[2, 3], [2, 3]] = fade
    faded = change @ z[idle]
    faded[:, :, 1:] = faded[:, :, 1:] @ change.T
    z[idle] = faded


def first_look(unknown: FloatArray, points: FloatArray, total: FloatArray, factor: FloatArray) -> FloatArray:
    """[x P] of objects of which one measurement each is known, with its whole error `total` (N, 2, 2), and
    `unknown` (4 + K, 5 + K) before that."""
    z = np.repeat(unknown[None], len(points), axis=0)
    z[:, :2, 0] = points
    z[:, :2, 1:3] = total
    z[:, :2, 5:] = -factor  # place = measured - shared error - own error
    z[:, 4:, 1:3] = z[:, :2, 5:].transpose(0, 2, 1)
    return z


def reach_m(
    z: FloatArray, points: FloatArray, own: FloatArray, factor: FloatArray, sigmas: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """About where tracks are expected to be seen (N, 2), and how far from there, in metres, tracks (N,) and
    measurements (M,) may be from each other at so many sigmas.

    The columns of shared errors are taken for a level or slanting plane over the scene, through which tracks
    are looked at; each measurement answers for its own difference from it. By the triangle inequality that
    bounds the gate, where shared errors have a variance of one, and of two after they were drawn anew.
    """
    count, size = z.shape[:2]
    middle, columns = _plane(points, factor)
    centred = np.ones((count, 3))
    centred[:, 1:] = z[:, :2, 0] - middle
    h = np.zeros((count, 2, size))
    h[:, 0, 0] = h[:, 1, 1] = 1.0
    h[:, :, 4:] = (centred @ columns).reshape(count, 2, size - 4)
    hz = h @ z
    trace = np.einsum("nij,nij->n", hz[:, :, 1:], h)
    centred = np.ones((len(points), 3))
    centred[:, 1:] = points - middle
    other = factor.reshape(len(points), -1) - centred @ columns
    differs = np.sqrt(np.einsum("ij,ij->i", other, other))
    largest = float(np.sqrt(np.einsum("ij,ij->i", z[:, 4:, 0], z[:, 4:, 0]).max()))
    seen = sigmas * np.sqrt(own[:, 0, 0] + own[:, 1, 1]) + (sigmas * 2.0**0.5 + largest) * differs
    return hz[:, :, 0], sigmas * np.sqrt(np.maximum(trace, 0.0)), seen


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


def upper(matrices: FloatArray) -> FloatArray:
    """(3, M): the elements 00, 01, 11 of symmetric matrices (M, 2, 2)."""
    return matrices.reshape(len(matrices), 4).T[[0, 1, 3]]


def add_products(total: FloatArray, a: FloatArray, b: FloatArray) -> None:
    """Add A B^T, where that is symmetric, to `total` (3, M) as `upper` has it; A, B (M, 2, K)."""
    diagonal = np.vecdot(a, b)
    total[0] += diagonal[:, 0]
    total[1] += np.vecdot(a[:, 0], b[:, 1])
    total[2] += diagonal[:, 1]


def without(total: FloatArray, part: FloatArray) -> FloatArray:
    """Covariances less a part of theirs, all as `upper` has them (3, M); whole where that leaves nothing."""
    less = total - part
    is_left = (less[0] > 0.0) & (less[0] * less[2] > less[1] * less[1])
    left: FloatArray = np.where(is_left, less, total)
    return left


def innovations(
    z: FloatArray, points: FloatArray, own: FloatArray, factor: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """What M tracks predict against M measurements: [H x - measured, H P] (M, 2, 5 + K), and the covariance S
    of the difference, `upper` (3, M) as `own` is; H = [1 0 B] with B the shared errors' columns (M, 2, K)."""
    hz = factor @ z[:, 4:]
    hz += z[:, :2]
    s = own.copy()
    add_products(s, hz[:, :, 5:], factor)
    s[0] += hz[:, 0, 1]
    s[1] += hz[:, 0, 2]
    s[2] += hz[:, 1, 2]
    hz[:, :, 0] -= points
    return hz, s


def roots(s: FloatArray) -> FloatArray:
    """(3, M): the lower triangular L with S = L L^T, as l00, l10, l11."""
    root = np.empty_like(s)
    l00, l10, l11 = root
    np.sqrt(s[0], out=l00)
    np.divide(s[1], l00, out=l10)
    np.multiply(l10, l10, out=l11)
    np.subtract(s[2], l11, out=l11)
    np.maximum(l11, 1e-12, out=l11)
    np.sqrt(l11, out=l11)
    return root


def squared_distances(hz: FloatArray, root: FloatArray) -> FloatArray:
    """Squared Mahalanobis distances (M,) of innovations with these roots."""
    l00, l10, l11 = root
    first = hz[:, 0, 0] / l00
    second = hz[:, 1, 0] - l10 * first
    second /= l11
    squared: FloatArray = first * first
    second *= second
    squared += second
    return squared


def correct(z: FloatArray, rows: IndexArray, hz: FloatArray, root: FloatArray) -> FloatArray:
    """Take one innovation per row of `rows`; `hz` is used up. Answers with them whitened (M, 2), sign turned.

    With S = L L^T and W = L^-1 [H x - measured, H P], z falls by (W's P part)^T W, which keeps P symmetric.
    """
    l00, l10, l11 = root[:, :, None]
    first, second = hz[:, 0], hz[:, 1]
    first /= l00
    second -= l10 * first
    second /= l11
    if 2 * len(rows) > len(z):
        w = np.zeros((len(z), *hz.shape[1:]))
        w[rows] = hz
        z -= w[:, :, 1:].transpose(0, 2, 1) @ w
    else:
        z[rows] -= hz[:, :, 1:].transpose(0, 2, 1) @ hz
    white: FloatArray = hz[:, :, 0]
    return white


def remember_surprise(surprise: FloatArray, white: FloatArray, dt_s: float) -> IndexArray:
    """Smooth whitened innovations into `surprise` (M, 2), and say in which rows objects have turned.

    While the model holds, a smoothed value has variance one per axis whatever the frame rate; an object that
    turns pushes it steadily to one side.
    """
    keep = math.exp(-dt_s / MANOEUVRE_MEMORY_S)
    surprise *= keep
    surprise += math.sqrt(1.0 - keep * keep) * white
    squared = surprise * surprise
    return (squared[:, 0] + squared[:, 1] > MANOEUVRE_GATE).nonzero()[0]


def motion_log_odds(z: FloatArray, prior_mps: float) -> FloatArray:
    """Logarithm of how much better "it moves" explains what was seen than "it stands", (N,).

    "It stands" is "it moves" with a velocity of zero, so the ratio of their evidences is the density of
    the velocity at zero before (normal, `prior_mps` per axis) over that after all looks (Dickey 1971).
    """
    ve, vn, ee, en = z[:, 2, 0], z[:, 3, 0], z[:, 2, 3], z[:, 2, 4]
    slope = en / ee
    determinant = z[:, 3, 4] - slope * en  # over ee: what is left of north's variance once east is known
    np.maximum(determinant, 1e-12, out=determinant)
    across = vn - slope * ve
    odds = ve * ve
    odds /= ee
    across *= across
    across /= determinant
    odds += across
    determinant *= ee
    odds += np.log(determinant, out=determinant)
    odds *= 0.5
    odds -= 2.0 * math.log(prior_mps)
    return odds
