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
    """Regions of one map that pass the rules: boxes (N, 4) as edges in its own pixels, and scores (N,)."""
    over = (score_map >= rules.grow_threshold).astype(np.uint8)
    closed = cv2.morphologyEx(over, cv2.MORPH_CLOSE, _CLOSING)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(closed, connectivity=8, ltype=cv2.CV_32S)
    score, area = _scores(score_map, over, np.asarray(labels, dtype=np.int32), count)
    side_limit = rules.max_side_share * np.array([score_map.shape[1], score_map.shape[0]])
    passes = (score >= rules.threshold) & (area >= rules.min_area)
    passes &= (stats[:, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]] <= side_limit).all(axis=1)
    passes[0] = False
    corner = stats[:, [cv2.CC_STAT_LEFT, cv2.CC_STAT_TOP]]
    size = stats[:, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]]
    box = np.concatenate([corner, corner + size], axis=1)[passes].astype(np.float32)
    return box, score[passes]


def _scores(
    score_map: F32, over: npt.NDArray[np.uint8], labels: npt.NDArray[np.int32], count: int
) -> tuple[F32, npt.NDArray[np.int64]]:
    """Of each of `count` labels: the mean of its highest pixels, and how many it has over the limit."""
    where = np.flatnonzero(over)
    label, value = labels.ravel()[where], score_map.ravel()[where]
    order = np.lexsort((-value, label))
    label, value = label[order], value[order]
    area = np.bincount(label, minlength=count)
    first = np.concatenate([[0], np.cumsum(area)[:-1]])
    rank = np.arange(label.size) - first[label]
    top = rank < _PEAK_PIXELS
    total = np.bincount(label[top], weights=value[top], minlength=count)
    score = total / np.maximum(np.minimum(area, _PEAK_PIXELS), 1)
    return score.astype(np.float32), area


def _centres_inside(inner: F32, outer: F32) -> npt.NDArray[np.bool_]:
    """Whether the centre of each of N inner boxes lies in each of M outer boxes: (N, M)."""
    centre = 0.5 * (inner[:, :2] + inner[:, 2:])
    return np.asarray(
        ((centre[:, None] >= outer[None, :, :2]) & (centre[:, None] <= outer[None, :, 2:])).all(axis=2)
    )
