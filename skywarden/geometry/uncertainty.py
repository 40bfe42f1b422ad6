"""From a covariance to the numbers people read: CE90, LE90 and the error ellipse.

CE90 is the radius about the estimate that holds the truth in 90 % of cases, the exact quantile of the
bivariate Gaussian and not 2.146 sigma, which is right only for a circle (MISB ST 0601 tag 45; Greenwalt &
Shultz, ACIC TR-96, 1962). LE90 is the half-height that does the same for height (tag 46).
"""

import functools

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

LE90_PER_SIGMA = 1.6448536269514722
CE90_PER_SIGMA_CIRCULAR = 2.145966026289347
CHI_SQUARE_2_90 = 4.605170185988092
"""The squared Mahalanobis distance that holds 90 % of a bivariate Gaussian: scale of the 90 % ellipse."""

_RATIO_NODES = 257
_ANGLES = 512


def ce90_m(covariance_m2: npt.ArrayLike) -> FloatArray:
    """CE90 in metres, shape (...), of horizontal covariances (..., 2, 2) or larger, of which the first two
    axes count. NaN in, NaN out."""
    major, minor, _ = _principal(np.asarray(covariance_m2, dtype=np.float64))
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.where(major > 0.0, minor / major, 1.0)
    ratios, factors = _factor_table()
    factor = np.interp(ratio, ratios, factors)
    return np.where(np.isfinite(major), factor * major, np.nan)


def le90_m(variance_m2: npt.ArrayLike) -> FloatArray:
    """LE90 in metres of height variances, any shape."""
    sigma: FloatArray = np.sqrt(np.maximum(np.asarray(variance_m2, dtype=np.float64), 0.0))
    return LE90_PER_SIGMA * sigma


def ellipse_90(covariance_en_m2: npt.ArrayLike) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Half axes in metres, major and minor, and the major axis' azimuth (degrees from north, [0, 180)) of the
    ellipses that hold 90 %, of covariances (..., 2, 2) in east, north."""
    major, minor, azimuth = _principal(np.asarray(covariance_en_m2, dtype=np.float64))
    scale = np.sqrt(CHI_SQUARE_2_90)
    return scale * major, scale * minor, azimuth


def _principal(covariance: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """One-sigma half axes and azimuth of the major one from the second axis (north) towards the first."""
    ee, en, nn = covariance[..., 0, 0], covariance[..., 0, 1], covariance[..., 1, 1]
    mean, half = (ee + nn) / 2, np.hypot((ee - nn) / 2, en)
    major = np.sqrt(np.maximum(mean + half, 0.0))
    minor = np.sqrt(np.maximum(mean - half, 0.0))
    azimuth = np.mod(np.degrees(0.5 * np.arctan2(2 * en, nn - ee)), 180.0)
    return major, minor, azimuth


@functools.cache
def _factor_table() -> tuple[FloatArray, FloatArray]:
    """CE90 over the major sigma for ratios minor/major 0..1; interpolated it is good to 5e-6.

    With r = radius, q(a) = cos^2 a / s1^2 + sin^2 a / s2^2, the mass inside r is the mean over the angle a of
    (1 - exp(-r^2 q / 2)) / (s1 s2 q); Newton finds the r of 90 %. Ratios below the first node are next to a
    line, whose factor is that of LE90.
    """
    ratios = np.linspace(0.0, 1.0, _RATIO_NODES)
    # Angles are taken evenly in the parameter of the ellipse, where the weight 1 / (s1 s2 q) becomes even:
    # a point at (s1 cos e, s2 sin e) has 1 / q = s1^2 cos^2 e + s2^2 sin^2 e.
    eccentric = (np.arange(_ANGLES) + 0.5) * (np.pi / 2 / _ANGLES)
    factor = np.full(_RATIO_NODES, CE90_PER_SIGMA_CIRCULAR)
    spread = np.cos(eccentric) ** 2 + np.outer(ratios**2, np.sin(eccentric) ** 2)
    for _ in range(10):
        inside = np.exp(-(factor[:, None] ** 2) / (2 * spread))
        mass = 1 - inside.mean(axis=1)
        density = (factor[:, None] * inside / spread).mean(axis=1)
        factor = factor - (mass - 0.9) / density
    factor[0] = LE90_PER_SIGMA
    return ratios, factor
