"""Areas of plots as they were told against the scenario's own outlines."""

import math
from collections.abc import Sequence

import msgspec
import numpy as np

from sim.range.score.truth import METRES_PER_DEG, RunTruth
from sim.range.watch import Watched
from skywarden.messages import Plot

NEAR_SHARE = 1.0
"""A plot is about an outline whose middle lies within the radius of a circle of that area."""


class Areas(msgspec.Struct, frozen=True, kw_only=True):
    """Plots that were seen whole: error of the area in percent of the true one, by root mean square and mean.

    `inside_90` is the share whose true area lay between what was told as its bounds.
    """

    true_plots: int
    told: int
    matched: int
    rms_percent: float | None = None
    mean_percent: float | None = None
    inside_90: float | None = None


def areas(truth: RunTruth, watched: Watched) -> Areas | None:
    """Every plot that was told as whole, against the outline that it is about; `None` without outlines."""
    true_plots = {plot.id for there in truth.visits.values() for plot in there.plots}
    if not true_plots:
        return None
    told = 0
    errors, inside = [], []
    for flight, plots in watched.plots.items():
        outlines = {plot.id: plot.outline for plot in truth.visits[flight].plots}
        for plot in plots:
            told += plot.is_complete
            name = _about(truth, outlines, plot) if plot.is_complete else None
            if name is None:
                continue
            true_m2 = ring_area_m2(outlines[name])
            area, low, high = plot.area_m2
            errors.append(100.0 * (area - true_m2) / true_m2)
            inside.append(low <= true_m2 <= high)
    if not errors:
        return Areas(true_plots=len(true_plots), told=told, matched=0)
    return Areas(
        true_plots=len(true_plots),
        told=told,
        matched=len(errors),
        rms_percent=round(float(np.sqrt(np.mean(np.square(errors)))), 2),
        mean_percent=round(float(np.mean(errors)), 2),
        inside_90=round(float(np.mean(inside)), 4),
    )


def ring_area_m2(outline: Sequence[tuple[float, float]]) -> float:
    """Area of a simple ring of points in metres (the shoelace formula)."""
    points = np.asarray(outline, np.float64)
    x, y = points[:, 0] - points[0, 0], points[:, 1] - points[0, 1]
    return abs(float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))) / 2.0


def _about(truth: RunTruth, outlines: dict[str, tuple[tuple[float, float], ...]], plot: Plot) -> str | None:
    place = truth.scenario.place
    scale = METRES_PER_DEG * math.cos(math.radians(place.latitude_deg))
    east = (plot.position.longitude_deg - place.longitude_deg) * scale
    north = (plot.position.latitude_deg - place.latitude_deg) * METRES_PER_DEG
    best: tuple[float, str] | None = None
    for name, outline in outlines.items():
        middle = np.asarray(outline, np.float64).mean(axis=0)
        away_m = math.hypot(east - middle[0], north - middle[1])
        reach_m = NEAR_SHARE * math.sqrt(ring_area_m2(outline) / math.pi)
        if away_m <= max(reach_m, 5.0) and (best is None or away_m < best[0]):
            best = (away_m, name)
    return None if best is None else best[1]
