"""From which score to speak up: chosen on sites that were neither learnt from nor are reported on."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from models.training.choosing.temperature import Bools
from models.training.judge import Array
from models.training.score import Judged, match


@dataclass(frozen=True, kw_only=True)
class Operating:
    """What a threshold gives: `recall` and `precision` where there are vessels, boxes per image on land."""

    threshold: float
    recall: float
    precision: float
    false_per_land_image: float

    def row(self) -> dict[str, float]:
        """For a report."""
        return {name: round(float(value), 4) for name, value in asdict(self).items()}


def operating_points(
    judged: Sequence[Judged], land_scores: Sequence[Array], over_px: float = 0.0
) -> list[Operating]:
    """One for every hundredth of the scores, 0.05 to 0.95."""
    matches = match(judged, 0.5, over_px)
    score, hit = np.concatenate(matches.scores), np.concatenate(matches.hits)
    count = max(1, int(matches.counts.sum()))
    points = []
    for step in range(5, 96):
        limit = step / 100
        over: Bools = score >= limit
        false = float(np.mean([(one >= limit).sum() for one in land_scores])) if land_scores else 0.0
        points.append(
            Operating(
                threshold=limit,
                recall=float(hit[over].sum() / count),
                precision=float(hit[over].mean()) if over.any() else 1.0,
                false_per_land_image=false,
            )
        )
    return points


def choose(points: Sequence[Operating], most_false: float) -> Operating:
    """Of the points with at most so many boxes per land image the one with the best F1 (else the last)."""
    allowed = [point for point in points if point.false_per_land_image <= most_false] or [points[-1]]
    return max(allowed, key=lambda point: (_f1(point), -point.threshold))


def _f1(point: Operating) -> float:
    return 2 * point.recall * point.precision / max(1e-9, point.recall + point.precision)
