"""CE90 where a ray meets the ground so flatly that the range is no longer a straight line of the angle.

First order says: the error on the ground is the slope of range over elevation times the error of elevation.
At a grazing angle of a few sigmas that is wrong: rays raised by one sigma go much farther than rays lowered
by one come nearer, and some miss. There the rays themselves are cast again, raised and lowered by up to four
sigmas, and the 90 % radius is read off what they do. Misses count as infinitely far.
"""

import functools
from collections.abc import Callable
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from skywarden.uncertainty import ce90_m

FloatArray = npt.NDArray[np.float64]

BEND_LIMIT = 0.1
"""Sigma of elevation times (bend over slope) of range over elevation, from which on rays are cast again;
first order is then still good to about 1 %."""

FAR_FACTOR = 12.0
"""A ray raised so that it goes so many times as far counts as a miss."""

NO_RADIUS_M = 1e7
"""No error on the earth is larger."""

_REACH_SIGMAS = 4.0
_CASTS = 9
_DRAWS = 1024
_FARTHEST_M = 1e9


def bend(
    along_m: FloatArray, slant_m: FloatArray, grazing_rad: FloatArray, elevation_rad: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """How bent range over elevation is within one sigma, and that sigma (radians), each of shape (N,).

    `along_m` is the first-order sigma along the ray's ground track. A ray raised by d moves the crossing by
    slant d / sin(grazing); over level ground d grazing / d elevation is elevation / grazing on the curved
    earth and one where it is flat.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        sine = np.sin(grazing_rad)
        sigma_rad = along_m * sine / slant_m
        steepest = np.maximum(np.abs(elevation_rad), grazing_rad)
        return sigma_rad * steepest / np.maximum(sine, 1e-6) ** 2, sigma_rad


def offsets_rad(sigma_rad: FloatArray) -> FloatArray:
    """Elevations, shape (N, K), by which rays are raised to be cast again."""
    return sigma_rad[:, None] * np.linspace(-_REACH_SIGMAS, _REACH_SIGMAS, _CASTS)


def stretched(
    covariance_enu_m2: FloatArray, along_enu: FloatArray, start_m: FloatArray, level_m: FloatArray
) -> FloatArray:
    """Covariances (N, 3, 3) stretched along a horizontal direction (N, 3) until their CE90 is the true one.

    `start_m` (N,) is the level distance of the crossing, `level_m` (N, K) those of the rays of `offsets_rad`,
    NaN for a miss. Where a tenth of all rays misses there is no such radius: CE90 is beyond `NO_RADIUS_M`.
    """
    true_m = _ce90(covariance_enu_m2, along_enu, start_m, level_m)
    result = covariance_enu_m2
    scale = np.ones(len(result))
    for _ in range(4):
        scale = scale * true_m / np.maximum(ce90_m(result), 1e-9)
        by = np.eye(3) + (scale - 1.0)[:, None, None] * along_enu[:, :, None] * along_enu[:, None, :]
        result = by @ covariance_enu_m2 @ np.swapaxes(by, 1, 2)
    return result


def _ce90(covariance: FloatArray, along: FloatArray, start_m: FloatArray, level_m: FloatArray) -> FloatArray:
    """The 90 % radii, by draws that fill the plane evenly; the error along is a function of one normal.

    Between the rays that were cast one over the distance is interpolated: over flat ground it is a line.
    """
    flat = covariance[:, :2, :2]
    ahead = along[:, :2]
    beside = np.stack([along[:, 1], -along[:, 0]], axis=1)
    aa, cc, ac = (
        np.einsum("ni,nij,nj->n", one, flat, other)
        for one, other in ((ahead, ahead), (beside, beside), (ahead, beside))
    )
    aa, cc = np.maximum(aa, 0.0), np.maximum(cc, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        together = np.clip(np.nan_to_num(ac / np.sqrt(aa * cc)), -1.0, 1.0)
        nearness = np.nan_to_num(1.0 / level_m, nan=0.0)
    first, second = _draws()
    nodes = np.linspace(-_REACH_SIGMAS, _REACH_SIGMAS, level_m.shape[1])
    exact_m = ce90_m(covariance)
    radii = np.empty(len(level_m))
    for row, near in enumerate(nearness):
        ray_m = 1.0 / np.maximum(np.interp(first, nodes, near), 1.0 / _FARTHEST_M) - start_m[row]
        sideways_m = np.sqrt(cc[row]) * (together[row] * first + np.sqrt(1.0 - together[row] ** 2) * second)
        # The same draws give first order's radius too, whose true value is known: that takes their error out.
        straight_m = np.hypot(np.sqrt(aa[row]) * first, sideways_m)
        true_m, drawn_m = np.quantile(np.stack([np.hypot(ray_m, sideways_m), straight_m]), 0.9, axis=1)
        radii[row] = exact_m[row] * true_m / drawn_m
    return radii


@functools.cache
def _draws() -> tuple[FloatArray, FloatArray]:
    """Pairs of standard normals that fill the plane evenly (Roberts' R2 sequence), mirrored four ways."""
    number = np.arange(_DRAWS // 4) + 0.5
    golden = 1.32471795724474602596
    inverse: Callable[[float], float] = NormalDist().inv_cdf
    quarter = [
        np.array([inverse(float(0.5 + 0.5 * part)) for part in np.mod(number / golden**power, 1.0)])
        for power in (1, 2)
    ]
    signs = ((1, 1), (1, -1), (-1, 1), (-1, -1))
    return (
        np.concatenate([one * quarter[0] for one, _ in signs]),
        np.concatenate([two * quarter[1] for _, two in signs]),
    )
