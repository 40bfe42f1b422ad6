"""How good boxes are: average precision as COCO counts it, recall at one false alarm, intervals."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

IOU_STEPS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
RECALL_POINTS = np.linspace(0, 1, 101)
MAX_BOXES = 300


@dataclass(frozen=True, kw_only=True, eq=False)
class Judged:
    """One image: what was found and what is there.

    Attributes:
        found: (D, 4) edges in image pixels; score: (D,).
        truth: (G, 4) edges; ignored: (G,) bool, boxes that neither help nor harm.
    """

    found: Array
    score: Array
    truth: Array
    ignored: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class _Matches:
    """Per image, for one overlap and one size: scores, hit or miss, and how many were to be found."""

    scores: list[Array]
    hits: list[npt.NDArray[np.bool_]]
    counts: npt.NDArray[np.int64]


def overlap(found: Array, truth: Array) -> Array:
    """IoU (D, G) of edges."""
    low = np.maximum(found[:, None, :2], truth[None, :, :2])
    high = np.minimum(found[:, None, 2:], truth[None, :, 2:])
    cut = np.clip(high - low, 0, None).prod(axis=2)
    area = np.clip(found[:, 2:] - found[:, :2], 0, None).prod(axis=1)
    other = np.clip(truth[:, 2:] - truth[:, :2], 0, None).prod(axis=1)
    return np.asarray(cut / np.maximum(area[:, None] + other - cut, 1e-9))


def average_precision(matches: _Matches, images: Sequence[int] | None = None) -> float:
    """Area under precision over recall at 101 points, as COCO has it; nan when nothing was to be found."""
    chosen = range(len(matches.scores)) if images is None else images
    count = int(sum(matches.counts[at] for at in chosen))
    if not count:
        return float("nan")
    score = np.concatenate([matches.scores[at] for at in chosen] or [np.zeros(0)])
    hit = np.concatenate([matches.hits[at] for at in chosen] or [np.zeros(0, dtype=bool)])
    order = np.argsort(-score, kind="stable")
    right = np.cumsum(hit[order])
    precision = right / np.arange(1, len(order) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    at = np.searchsorted(right / count, RECALL_POINTS, side="left")
    return float(np.append(precision, 0.0)[np.minimum(at, len(precision))].mean())


def recall_at(matches: _Matches, false_per_image: float, images: Sequence[int] | None = None) -> float:
    """Share found when the threshold lets through that many false boxes per image."""
    chosen = list(range(len(matches.scores)) if images is None else images)
    count = int(sum(matches.counts[at] for at in chosen))
    if not count:
        return float("nan")
    score = np.concatenate([matches.scores[at] for at in chosen])
    hit = np.concatenate([matches.hits[at] for at in chosen])
    order = np.argsort(-score, kind="stable")
    allowed = np.cumsum(~hit[order]) <= false_per_image * len(chosen)
    return float(np.cumsum(hit[order])[allowed].max(initial=0) / count)


def threshold_at_recall(matches: _Matches, recall: float) -> float:
    """The highest threshold at which that share of all is found; 0 when it never is."""
    score, hit = np.concatenate(matches.scores), np.concatenate(matches.hits)
    order = np.argsort(-score, kind="stable")
    enough = np.flatnonzero(np.cumsum(hit[order]) >= recall * matches.counts.sum())
    return float(score[order][enough[0]]) if len(enough) else 0.0


def match(images: Sequence[Judged], iou: float, over_px: float = 0.0) -> _Matches:
    """Best score first, each box takes the free truth it overlaps most, if by `iou` or more.

    Truth whose long side is `over_px` or less is ignored, and so are unmatched boxes of that size, and boxes
    that lie on ignored truth.
    """
    scores, hits, counts = [], [], []
    for image in images:
        ignored = image.ignored | (_long_side(image.truth) <= over_px)
        order = np.argsort(-image.score, kind="stable")[:MAX_BOXES]
        found, score = image.found[order], image.score[order]
        kept, hit = _match_one(found, image.truth, ignored, iou, over_px)
        scores.append(score[kept])
        hits.append(hit[kept])
        counts.append(int((~ignored).sum()))
    return _Matches(scores, hits, np.array(counts, dtype=np.int64))


def _match_one(
    found: Array, truth: Array, ignored: npt.NDArray[np.bool_], iou: float, over_px: float
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    kept, hit = np.ones(len(found), dtype=bool), np.zeros(len(found), dtype=bool)
    if not len(found):
        return kept, hit
    if len(truth):
        shared = overlap(found, truth)
        inside = _cover(found, truth[ignored]) if ignored.any() else None
        free = ~ignored
        for at in range(len(found)):
            candidates = np.where(free, shared[at], -1.0)
            best = int(np.argmax(candidates))
            if candidates[best] >= iou:
                hit[at], free[best] = True, False
            elif (shared[at][ignored] >= iou).any() or (inside is not None and (inside[at] > 0.5).any()):
                kept[at] = False
    kept &= hit | (_long_side(found) > over_px)
    return kept, hit


def _cover(found: Array, truth: Array) -> Array:
    """Which share of each found box (D, G) lies in each truth."""
    low = np.maximum(found[:, None, :2], truth[None, :, :2])
    high = np.minimum(found[:, None, 2:], truth[None, :, 2:])
    cut = np.clip(high - low, 0, None).prod(axis=2)
    area = np.clip(found[:, 2:] - found[:, :2], 1e-6, None).prod(axis=1)
    return np.asarray(cut / area[:, None])


def _long_side(boxes: Array) -> Array:
    return np.asarray((boxes[:, 2:] - boxes[:, :2]).max(axis=1, initial=0.0))


def figures(images: Sequence[Judged], over_px: float = 24.0, draws: int = 300) -> dict[str, Any]:
    """AP50, AP50-95, AP at IoU 0.3, recall at one false alarm: all sizes and over `over_px`.

    Each is (value, low, high): the middle 90 % of `draws` bootstrap draws of whole images.
    """
    rng = np.random.default_rng(7)
    drawn = [rng.integers(len(images), size=len(images)).tolist() for _ in range(draws)]
    report: dict[str, Any] = {"images": len(images)}
    for name, size in (("", 0.0), (f"_over_{over_px:.0f}px", over_px)):
        by_iou = {iou: match(images, iou, size) for iou in (0.3, *IOU_STEPS)}
        half = by_iou[0.5]
        report[f"boxes{name}"] = int(half.counts.sum())
        report[f"ap50{name}"] = _spread([average_precision(half, d) for d in [None, *drawn]])
        report[f"ap30{name}"] = _spread([average_precision(by_iou[0.3], d) for d in [None, *drawn]])
        means = [np.mean([average_precision(by_iou[i], d) for i in IOU_STEPS]) for d in [None, *drawn[:60]]]
        report[f"ap50_95{name}"] = _spread([float(value) for value in means])
        report[f"recall_at_1fp{name}"] = _spread([recall_at(half, 1.0, d) for d in [None, *drawn]])
    return report


def _spread(values: list[float]) -> tuple[float, float, float]:
    known = np.array(values[1:])
    known = known[np.isfinite(known)]
    low, high = np.quantile(known, [0.05, 0.95]) if len(known) else (float("nan"), float("nan"))
    return round(values[0], 4), round(float(low), 4), round(float(high), 4)
