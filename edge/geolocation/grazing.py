"""CE90 where a ray meets the ground so flatly that the range is no longer a straight line of the angle.

First order says: the error on the ground is the slope of range over elevation times the error of elevation.
At a grazing angle of a few sigmas that is wrong: rays raised by one sigma go much farther than rays lowered
by one come nearer, and some miss. There the range is taken as it is, over ground that is a plane through the
crossing, bent like the earth: with A the sine of the angle at the camera between ray and plane and H the
camera's height above it, a ray that falls by A meets it at 2 H / (A + sqrt(A^2 - 2 H / R)). The 90 % radius
is read off draws. Misses count as infinitely far.
"""

import functools
from collections.abc import Callable
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from skywarden.geometry.uncertainty import ce90_m

FloatArray = npt.NDArray[np.float64]

BEND_LIMIT = 0.1
"""Sigma of elevation times (bend over slope) of range over elevation, from which on the range is taken as it
is; first order is then still good to about 1 %."""
STEEPEST_SINE = 0.35
"""Rays that come in steeper than 20 degrees are first order for every sigma that makes sense."""
NO_RADIUS_M = 1e7
"""No error on the earth is larger."""

_EARTH_RADIUS_M = 6_371_000.0
_DRAWS = 1024
_FARTHEST_M = 1e9


def sigma_and_bend(
    along_m: FloatArray, slant_m: FloatArray, sine: FloatArray, elevation_rad: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """The sigma of elevation (radians) that stands for the whole error along the ray's ground track, and how
    bent range over elevation is within it; each of shape (N,).

    `along_m` is the first-order sigma along the track, `sine` that of the grazing angle. A ray raised by d
    moves the crossing by slant d / sine, and over level ground its grazing angle by d elevation / grazing.
    """
    sigma_rad = along_m * sine / slant_m
    return sigma_rad, sigma_rad * np.maximum(np.abs(elevation_rad), sine) / (sine * sine)


def stretched(
    covariance_enu_m2: FloatArray,
    along_enu: FloatArray,
    slant_m: FloatArray,
    sine: FloatArray,
    sigma_rad: FloatArray,
) -> FloatArray:
    """Covariances (N, 3, 3) stretched along a horizontal direction (N, 3) until their CE90 is the true one.

    Where a tenth of all rays misses there is no such radius: CE90 is then beyond `NO_RADIUS_M`.
    """
    true_m = _ce90(covariance_enu_m2, along_enu, slant_m, sine, sigma_rad)
    result = covariance_enu_m2
    scale = np.ones(len(result))
    for _ in range(3):
        scale = scale * true_m / np.maximum(ce90_m(result), 1e-9)
        by = np.eye(3) + (scale - 1.0)[:, None, None] * along_enu[:, :, None] * along_enu[:, None, :]
        result = by @ covariance_enu_m2 @ np.swapaxes(by, 1, 2)
    return result


def _ce90(
    covariance: FloatArray, along: FloatArray, slant_m: FloatArray, sine: FloatArray, sigma_rad: FloatArray
) -> FloatArray:
    """The 90 % radii, shape (N,), by draws that fill the plane evenly.

    The same draws give first order's radius too, whose true value is known: that takes their own error out.
    """
    flat, ahead = covariance[:, :2, :2], along[:, :2]
    beside = np.stack([along[:, 1], -along[:, 0]], axis=1)
    aa, bb, ab = (
        np.einsum("ni,nij,nj->n", one, flat, other)
        for one, other in ((ahead, ahead), (beside, beside), (ahead, beside))
    )
    along_m = np.sqrt(np.maximum(aa, 1e-12))
    shared = ab / along_m
    own = np.sqrt(np.maximum(bb - shared * shared, 0.0))
    first, second = _draws()
    sideways_m = shared[:, None] * first + own[:, None] * second
    straight_m = along_m[:, None] * first
    moved_m = _moved_m(slant_m, sine, sigma_rad)
    radii = np.quantile(np.hypot(np.stack([moved_m, straight_m]), sideways_m), 0.9, axis=2)
    radius_m: FloatArray = ce90_m(covariance) * radii[0] / radii[1]
    return radius_m


def _moved_m(slant_m: FloatArray, sine: FloatArray, sigma_rad: FloatArray) -> FloatArray:
    """How much farther than the crossing rays raised by the draws go along themselves, shape (N, draws)."""
    first, _ = _draws()
    fall = sine + slant_m / _EARTH_RADIUS_M  # at the camera, against the plane
    height_m = slant_m * (sine + fall) / 2
    raised = np.sin(np.arcsin(np.minimum(fall, 1.0))[:, None] - sigma_rad[:, None] * first)
    with np.errstate(invalid="ignore", divide="ignore"):
        root = np.sqrt(raised * raised - (2 * height_m / _EARTH_RADIUS_M)[:, None])
        range_m = 2 * height_m[:, None] / (raised + root)
    is_hit = (raised > 0.0) & (range_m < _FARTHEST_M)
    return np.where(is_hit, range_m, _FARTHEST_M) - slant_m[:, None]


@functools.cache
def _draws() -> tuple[FloatArray, FloatArray]:
    """Pairs of standard normals that fill the plane evenly (Roberts' R2 sequence), mirrored four ways."""
    number = np.arange(_DRAWS // 4) + 0.5
    plastic = 1.32471795724474602596
    inverse: Callable[[float], float] = NormalDist().inv_cdf
    quarter = [
        np.array([inverse(float(0.5 + 0.5 * part)) for part in np.mod(number / plastic**power, 1.0)])
        for power in (1, 2)
    ]
    signs = ((1, 1), (1, -1), (-1, 1), (-1, -1))
    return (
        np.concatenate([one * quarter[0] for one, _ in signs]),
        np.concatenate([two * quarter[1] for _, two in signs]),
    )
