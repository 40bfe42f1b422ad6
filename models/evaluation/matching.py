"""Which detections are hits: greedy matching, precision, recall and average precision as COCO defines them.

The rules are those of COCO's own evaluation (Lin et al. 2014; cocodataset.org/#detection-eval): best score
first, each object is taken once, ignored objects count neither way, and average precision is the mean of the
highest precision at or beyond 101 recalls. pycocotools referees it in the tests.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.evaluation.dataset import Truth

F64 = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

IOUS: tuple[float, ...] = tuple(np.round(np.arange(0.5, 1.0, 0.05), 2).tolist())
MAX_DETECTIONS = 100
"""Best detections of one image that count, as in COCO."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Found:
    """What a model says about one image: edges (N, 4) with 0 at the image's left edge, scores, labels."""

    box: F64
    score: F64
    label_index: npt.NDArray[np.intp]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Matched:
    """Detections of many images at one overlap: score, hit, ignored, and which image (N,).

    `truth_by_image` is how many objects of each image must be found.
    """

    score: F64
    is_hit: Bools
    is_ignored: Bools
    image_index: npt.NDArray[np.intp]
    truth_by_image: npt.NDArray[np.intp]

    @property
    def truth_count(self) -> int:
        """Objects that must be found."""
        return int(self.truth_by_image.sum())

    @property
    def counting(self) -> "Matched":
        """Without the ignored, best first."""
        kept = np.flatnonzero(~self.is_ignored)
        kept = kept[np.argsort(-self.score[kept], kind="stable")]
        return Matched(
            score=self.score[kept],
            is_hit=self.is_hit[kept],
            is_ignored=self.is_ignored[kept],
            image_index=self.image_index[kept],
            truth_by_image=self.truth_by_image,
        )


def overlaps(found: F64, truth: F64, is_crowd: Bools) -> F64:
    """Intersection over union (N, M) of boxes; over the detection alone where the object is a crowd."""
    low = np.maximum(found[:, None, :2], truth[None, :, :2])
    high = np.minimum(found[:, None, 2:], truth[None, :, 2:])
    shared = np.clip(high - low, 0.0, None).prod(axis=2)
    own = (found[:, 2:] - found[:, :2]).prod(axis=1)[:, None]
    other = (truth[:, 2:] - truth[:, :2]).prod(axis=1)[None]
    whole = np.where(is_crowd[None], own, own + other - shared)
    return np.asarray(shared / np.maximum(whole, 1e-12))


def match_image(
    iou: F64, is_ignored: Bools, is_crowd: Bools, least_iou: float
) -> tuple[npt.NDArray[np.intp], Bools]:
    """Which object each detection (best first) takes, -1 for none, and whether that one is to be ignored."""
    taken = np.zeros(len(is_ignored), dtype=bool)
    match = np.full(len(iou), -1, dtype=np.intp)
    ignored = np.zeros(len(iou), dtype=bool)
    limit = min(least_iou, 1.0 - 1e-10)
    for row in np.flatnonzero((iou >= limit).any(axis=1)).tolist():
        free = (iou[row] >= limit) & (~taken | is_crowd)
        # An object that counts comes before one that does not, however much better that one fits.
        for group in (free & ~is_ignored, free & is_ignored):
            places = np.flatnonzero(group)
            if places.size:
                # Of equal overlaps the last: so does pycocotools.
                best = int(places[len(places) - 1 - np.argmax(iou[row, places][::-1])])
                match[row], ignored[row] = best, bool(is_ignored[best])
                taken[best] = True
                break
    return match, ignored


def match_all(
    found: Sequence[Found],
    truth: Sequence[Truth],
    label: int,
    least_iou: float,
    *,
    side_px: tuple[float, float] = (0.0, np.inf),
    max_detections: int = MAX_DETECTIONS,
) -> Matched:
    """Matches of one label in all images.

    Objects whose longer side is outside of `side_px` (from, up to) are ignored, and so are detections of such
    a size that match nothing.
    """
    parts: list[tuple[F64, Bools, Bools, npt.NDArray[np.intp]]] = []
    counts = np.zeros(len(truth), dtype=np.intp)
    for number, (seen, known) in enumerate(zip(found, truth, strict=True)):
        mine = np.flatnonzero(seen.label_index == label)
        mine = mine[np.argsort(-seen.score[mine], kind="stable")][:max_detections]
        # Where nobody has looked (-1) holds for every label.
        theirs = np.flatnonzero((known.label_index == label) | (known.label_index < 0))
        boxes, crowd = known.box[theirs], known.is_ignored[theirs]
        skipped = crowd | ~_is_within(boxes, side_px)
        counts[number] = int((~skipped).sum())
        iou = overlaps(seen.box[mine], boxes, crowd)
        match, is_ignored = match_image(iou, skipped, crowd, least_iou)
        is_ignored |= (match < 0) & ~_is_within(seen.box[mine], side_px)
        place = np.full(len(mine), number, dtype=np.intp)
        parts.append((seen.score[mine], (match >= 0) & ~is_ignored, is_ignored, place))
    return Matched(
        score=np.concatenate([np.zeros(0), *(part[0] for part in parts)]),
        is_hit=np.concatenate([np.zeros(0, dtype=bool), *(part[1] for part in parts)]),
        is_ignored=np.concatenate([np.zeros(0, dtype=bool), *(part[2] for part in parts)]),
        image_index=np.concatenate([np.zeros(0, dtype=np.intp), *(part[3] for part in parts)]),
        truth_by_image=counts,
    )


def average_precision(matched: Matched) -> float | None:
    """Mean of the highest precision at or beyond 101 recalls; `None` where there is nothing to find."""
    counting = matched.counting
    ones = np.ones(len(matched.truth_by_image))
    return _average_precision(counting, ones) if matched.truth_count else None


def _average_precision(counting: Matched, weight_of_image: F64) -> float:
    """Of detections sorted best first, each image counting as often as its weight says."""
    total = float(weight_of_image @ counting.truth_by_image)
    weight = weight_of_image[counting.image_index]
    hits, seen = np.cumsum(weight * counting.is_hit), np.cumsum(weight)
    if not len(hits) or total <= 0.0:
        return 0.0
    precision = hits / np.maximum(seen, 1e-12)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    place = np.searchsorted(hits / total, np.linspace(0.0, 1.0, 101), side="left")
    found = np.where(place < len(envelope), envelope[np.minimum(place, len(envelope) - 1)], 0.0)
    return float(found.mean())


def _recall_at(counting: Matched, weight_of_image: F64, per_image: float) -> float:
    total = float(weight_of_image @ counting.truth_by_image)
    weight = weight_of_image[counting.image_index]
    allowed = np.cumsum(weight * ~counting.is_hit) <= per_image * weight_of_image.sum() + 1e-9
    found = np.cumsum(weight * counting.is_hit)[allowed]
    return float(found.max(initial=0.0) / total) if total > 0.0 else 0.0


def recall_at_false_alarms(matched: Matched, per_image: float = 1.0) -> float | None:
    """Greatest recall with at most so many false alarms per image on average; `None` with nothing to find."""
    ones = np.ones(len(matched.truth_by_image))
    return _recall_at(matched.counting, ones, per_image) if matched.truth_count else None


def score_at_recall(matched: Matched, recall: float) -> float | None:
    """The highest score at which so much is found; `None` where the model never finds so much."""
    if not matched.truth_count:
        return None
    counting = matched.counting
    reached = np.flatnonzero(np.cumsum(counting.is_hit) >= recall * matched.truth_count - 1e-9)
    return float(counting.score[reached[0]]) if reached.size else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Intervals:
    """95 % bootstrap intervals over images."""

    average_precision: tuple[float, float]
    recall_at_1fp: tuple[float, float]


def bootstrap(matched: Matched, draws: int = 200, *, seed: int = 1) -> Intervals | None:
    """Intervals of average precision and of recall at one false alarm per image, images drawn anew."""
    image_count = len(matched.truth_by_image)
    if not matched.truth_count or image_count < 2:
        return None
    counting = matched.counting
    random = np.random.default_rng(seed)
    weights = random.multinomial(image_count, np.full(image_count, 1.0 / image_count), draws).astype(float)
    weights = weights[(weights @ counting.truth_by_image) > 0]
    precisions = [_average_precision(counting, one) for one in weights]
    recalls = [_recall_at(counting, one, 1.0) for one in weights]
    low_ap, high_ap = np.quantile(precisions, [0.025, 0.975]).tolist()
    low_recall, high_recall = np.quantile(recalls, [0.025, 0.975]).tolist()
    return Intervals(average_precision=(low_ap, high_ap), recall_at_1fp=(low_recall, high_recall))


def _is_within(box: F64, side_px: tuple[float, float]) -> Bools:
    longer = (box[:, 2:] - box[:, :2]).max(axis=1, initial=0.0)
    return np.asarray((longer > side_px[0]) & (longer <= side_px[1]))
