"""From what a model found and what there was: the figures of an evaluation, as one tree of plain numbers."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from models.evaluation.dataset import Truth
from models.evaluation.matching import (
    IOUS,
    Found,
    Matched,
    average_precision,
    bootstrap,
    match_all,
    recall_at_false_alarms,
    score_at_recall,
)

SIZES_PX: dict[str, tuple[float, float]] = {
    "up_to_12px": (0.0, 12.0),
    "12_to_24px": (12.0, 24.0),
    "over_24px": (24.0, np.inf),
}
"""By the longer side of the box in the image as it is, from (excluded) and up to (included)."""

_ROUGH_IOU = 0.3
_FEW = 25


def detection_figures(
    found: Sequence[Found], truth: Sequence[Truth], labels: Sequence[str], *, intervals: bool = True
) -> dict[str, Any]:
    """`ap50`, `ap50_95`, `ap30`, `recall_at_1fp`, `recall_at_25_boxes` and the same by size; `None` where a
    set holds nothing to find. Several labels are averaged, as COCO does; recalls are of the pooled labels."""
    used = [at for at in range(len(labels)) if any((one.label_index == at).any() for one in truth)]
    tree: dict[str, Any] = _figures(found, truth, used, (0.0, np.inf))
    tree["by_size"] = {
        name: {key: value for key, value in _figures(found, truth, used, size).items() if key != "images"}
        for name, size in SIZES_PX.items()
    }
    if len(used) > 1:
        tree["by_label"] = {
            labels[at]: {"ap50": _rounded(average_precision(match_all(found, truth, at, 0.5)))} for at in used
        }
    whole = pooled(found, truth, 0.5)
    limits = bootstrap(whole) if intervals else None
    if limits is not None:
        tree["ap50_interval"] = [round(value, 4) for value in limits.average_precision]
        tree["recall_at_1fp_interval"] = [round(value, 4) for value in limits.recall_at_1fp]
    large = pooled(found, truth, 0.5, SIZES_PX["over_24px"])
    tree["score_at_80_recall"] = _rounded(score_at_recall(whole, 0.8))
    tree["score_at_80_recall_over_24px"] = _rounded(score_at_recall(large, 0.8))
    return tree


def false_alarms(found: Sequence[Found], truth: Sequence[Truth], scores: dict[str, float | None]) -> Any:
    """Boxes per image on the images without objects, at each of the named scores; `None` without such."""
    empty = [seen for seen, known in zip(found, truth, strict=True) if not len(known.box)]
    if not empty:
        return None
    tree: dict[str, Any] = {"images": len(empty)}
    for name, score in scores.items():
        counts = [int((seen.score >= score).sum()) for seen in empty] if score is not None else None
        tree[name] = None if counts is None else round(float(np.mean(counts)), 4)
    return tree


def pooled(
    found: Sequence[Found],
    truth: Sequence[Truth],
    least_iou: float,
    side_px: tuple[float, float] = (0.0, np.inf),
    max_detections: int = 100,
) -> Matched:
    """Matches of all labels taken as one: finding a thing under another name still finds it."""
    zero = [Found(box=s.box, score=s.score, label_index=np.zeros_like(s.label_index)) for s in found]
    known = [
        Truth(
            box=one.box,
            label_index=np.minimum(one.label_index, 0),
            is_ignored=one.is_ignored,
            rings=one.rings,
        )
        for one in truth
    ]
    return match_all(zero, known, 0, least_iou, side_px=side_px, max_detections=max_detections)


def _figures(
    found: Sequence[Found], truth: Sequence[Truth], used: Sequence[int], side_px: tuple[float, float]
) -> dict[str, Any]:
    at_50 = pooled(found, truth, 0.5, side_px)
    few = pooled(found, truth, 0.5, side_px, _FEW)
    by_iou = {
        iou: [average_precision(match_all(found, truth, at, iou, side_px=side_px)) for at in used]
        for iou in (_ROUGH_IOU, *IOUS)
    }
    return {
        "images": len(found),
        "objects": at_50.truth_count,
        "ap50": _mean(by_iou[0.5]),
        "ap50_95": _mean([value for iou in IOUS for value in by_iou[iou]]),
        "ap30": _mean(by_iou[_ROUGH_IOU]),
        "recall_at_1fp": _rounded(recall_at_false_alarms(at_50)),
        "recall_at_25_boxes": _rounded(
            float(few.is_hit.sum() / few.truth_count) if few.truth_count else None
        ),
    }


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(float(np.mean(known)), 4) if known else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
