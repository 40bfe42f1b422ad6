"""How large to make the image for the network, so that a boat has a useful size at any height and zoom."""

from collections.abc import Sequence

import numpy as np

USEFUL_SIDE_PX = 80.0
"""Longer side at which our vessel networks find best (docs/accuracy.md, "Where to look"): under 12 px they
guess, at 40 px they find two thirds of what they find at 80, over half the input is cut."""

OBJECT_LENGTH_M = 12.0
LIMITS = (0.25, 3.0)
_STEP = 2.0**0.5


def scale_for_object(
    gsd_m: float,
    *,
    length_m: float = OBJECT_LENGTH_M,
    useful_px: float = USEFUL_SIDE_PX,
    limits: tuple[float, float] = LIMITS,
) -> float:
    """Pixels of the network for each of the image, so that `length_m` on the ground becomes `useful_px`.

    `gsd_m` is metres per pixel of the image at the place of interest. Not beyond `limits`: pixels that
    are not there cannot be made. Raises `ValueError` for a GSD that is not positive.
    """
    if not gsd_m > 0.0:
        raise ValueError(f"a ground sample distance of {gsd_m} m")
    return float(np.clip(useful_px * gsd_m / length_m, *limits))


def scale_for_model(gsd_m: float, model_gsd_m: tuple[float, float] | None) -> float:
    """The smallest change that brings the image into the GSDs that a model is made for (finest, coarsest)."""
    if model_gsd_m is None:
        return scale_for_object(gsd_m)
    finest, coarsest = model_gsd_m
    wanted = min(max(gsd_m, finest), coarsest)
    return float(np.clip(gsd_m / wanted, *LIMITS))


def steady_scale(wanted: float, before: float | None) -> float:
    """`wanted` rounded to a half octave, kept as `before` until it is well off: tiles do not jitter."""
    if before is not None and 1.0 / _STEP <= wanted / before <= _STEP:
        return before
    return float(_STEP ** np.round(np.log(wanted) / np.log(_STEP)))


def gsd_m(slant_range_m: float, focal_px: float) -> float:
    """Metres across the line of sight for each pixel at this distance."""
    return slant_range_m / focal_px


def median_gsd_m(slant_ranges_m: Sequence[float], focal_px: float) -> float | None:
    """Of several points of an image, those with a range; `None` when none has one."""
    known = [one for one in slant_ranges_m if np.isfinite(one) and one > 0.0]
    return gsd_m(float(np.median(known)), focal_px) if known else None
