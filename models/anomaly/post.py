"""From the anomaly graph's score maps to boxes: grow regions around peaks, join the scales, keep the best."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]

_PEAK_PIXELS = 3
_SMALL_ON_COARSE_PX = 6
_CLOSING = np.ones((3, 3), dtype=np.uint8)


@dataclass(frozen=True, kw_only=True, slots=True)
class RegionRules:
    """What makes a region of the score maps a detection.

    Attributes:
        threshold: least score of a region, the mean of its three highest pixels.
        grow_threshold: pixels at least this high and joined to each other make one region; below `threshold`.
        min_area: least number of pixels of a region, on the map it was found on.
        max_side_share: a region wider or taller than this share of the map is ground, not an object.
        max_boxes: the best that are kept in one frame.
    """

    threshold: float
    grow_threshold: float
    min_area: int
    max_side_share: float
    max_boxes: int


def boxes_from_maps(maps: Sequence[F32], scales: Sequence[int], rules: RegionRules) -> tuple[F32, F32]:
    """Boxes (N, 4) as edges x0, y0, x1, y1 in pixels of scale 1 (0 is the left edge), and scores (N,).

    `maps` cover the same view, finest first; a pixel of one at scale s is s pixels wide. What is small on a
    coarser map is left to the finer ones where they see it too; what is large there takes the place of its
    parts on the finer maps. Best first, at most `max_boxes`.
    """
    box, score = np.zeros((0, 4), dtype=np.float32), np.zeros(0, dtype=np.float32)
    for score_map, scale in zip(maps, scales, strict=True):
        box, score = _joined((box, score), _regions(score_map, rules), scale)
    best = np.argsort(-score, kind="stable")[: rules.max_boxes]
    return box[best], score[best]


def _joined(fine: tuple[F32, F32], coarse: tuple[F32, F32], scale: int) -> tuple[F32, F32]:
    """Regions of two scales as one list; coarse pixels are `scale` wide."""
    fine_box, fine_score = fine
    coarse_box, coarse_score = coarse
    large = (coarse_box[:, 2:] - coarse_box[:, :2]).max(axis=1, initial=0.0) > _SMALL_ON_COARSE_PX
    coarse_box = coarse_box * np.float32(scale)
    inside = _centres_inside(fine_box, coarse_box)
    fine_kept = ~inside[:, large].any(axis=1)
    coarse_kept = large | ~inside.any(axis=0)
    part_score = np.where(inside, fine_score[:, None], np.float32(0.0)).max(axis=0, initial=0.0)
    coarse_score = np.maximum(coarse_score, part_score)
    box = np.concatenate([fine_box[fine_kept], coarse_box[coarse_kept]])
    return box, np.concatenate([fine_score[fine_kept], coarse_score[coarse_kept]])


def _regions(score_map: F32, rules: RegionRules) -> tuple[F32, F32]:
    """Regions of one map that pass the rules: boxes (N, 4) as edges in its own pixels, and scores (N,).

    Works on the few pixels over the limit only: OpenCV's own statistics of components walk the whole map.
    """
    # Not a number is never over a limit, so such pixels drop out here.
    over = score_map >= np.float32(rules.grow_threshold)
    closed = np.asarray(cv2.morphologyEx(over.view(np.uint8), cv2.MORPH_CLOSE, _CLOSING), dtype=np.uint8)
    where = np.flatnonzero(closed.view(np.bool_))
    if where.size == 0:
        return np.zeros((0, 4), dtype=np.float32), np.zeros(0, dtype=np.float32)
    _, labels = cv2.connectedComponents(closed, connectivity=8, ltype=cv2.CV_32S)
    label, value = np.asarray(labels).ravel()[where], score_map.ravel()[where]
    value = np.where(over.ravel()[where], value, np.float32(0.0))
    order = np.lexsort((-value, label))
    where, label, value = where[order], label[order], value[order]
    first = np.flatnonzero(np.diff(label, prepend=-1))
    y, x = np.divmod(where, score_map.shape[1])
    low = np.stack([np.minimum.reduceat(x, first), np.minimum.reduceat(y, first)], axis=1)
    high = np.stack([np.maximum.reduceat(x, first), np.maximum.reduceat(y, first)], axis=1) + 1
    score, area = _scores(value, first)
    side_limit = rules.max_side_share * np.array([score_map.shape[1], score_map.shape[0]])
    passes = (score >= rules.threshold) & (area >= rules.min_area) & (high - low <= side_limit).all(axis=1)
    return np.concatenate([low, high], axis=1)[passes].astype(np.float32), score[passes]


def _scores(value: F32, first: npt.NDArray[np.intp]) -> tuple[F32, npt.NDArray[np.intp]]:
    """Mean of the highest pixels of each region, and how many of its pixels are over the limit.

    `value` holds the regions' pixels one region after the other, highest first, zero where a pixel was only
    closed over; `first` is where each region begins.
    """
    area = np.add.reduceat((value > 0.0).astype(np.intp), first)
    rank = np.arange(value.size) - np.repeat(first, np.diff(first, append=value.size))
    total = np.add.reduceat(np.where(rank < _PEAK_PIXELS, value, np.float32(0.0)), first)
    score = total / np.clip(area, 1, _PEAK_PIXELS)
    return score.astype(np.float32), area


def _centres_inside(inner: F32, outer: F32) -> npt.NDArray[np.bool_]:
    """Whether the centre of each of N inner boxes lies in each of M outer boxes: (N, M)."""
    centre = 0.5 * (inner[:, :2] + inner[:, 2:])
    return np.asarray(
        ((centre[:, None] >= outer[None, :, :2]) & (centre[:, None] <= outer[None, :, 2:])).all(axis=2)
    )
