"""From the anomaly graph's score maps to boxes: grow regions, cut wakes off, join scales, keep the best."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
Pixels = npt.NDArray[np.intp]

_PEAK_PIXELS = 3
_SMALL_ON_COARSE_PX = 6
# A region whose parts on the finer maps cover this share of it says nothing new.
_EXPLAINED_SHARE = 0.7
# A region that fills less of its narrowest rectangle is a line or several things that touch.
_SOLID_FILL = 0.5
# A wake: longer than wide, or far from an ellipse; its core has this share of the peak's odds, and is small.
_WAKE_MIN_AREA = 30
_WAKE_ELONGATION = 3.0
_WAKE_SOLIDITY = 0.7
_CORE_ODDS_SHARE = 0.3
_CORE_MAX_AREA_SHARE = 0.35
# Foam: a core this long to its width. What is before it is the vessel, if it is of a length that fits.
_FOAM_ELONGATION = 2.0
_HEAD_MIN_PX = 6.0
_HEAD_MAX_CORE_SHARE = 1.5
_HEAD_MAX_FAR_SHARE = 0.5
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


@dataclass(frozen=True, kw_only=True, slots=True)
class _Regions:
    """Regions of one map: edges (N, 4) in its pixels, scores (N,), areas (N,), shares filled (N,)."""

    box: F32
    score: F32
    area: F32
    fill: F32


def boxes_from_maps(maps: Sequence[F32], scales: Sequence[int], rules: RegionRules) -> tuple[F32, F32]:
    """Boxes (N, 4) as edges x0, y0, x1, y1 in pixels of scale 1 (0 is the left edge), and scores (N,).

    `maps` cover the same view, finest first; a pixel of one at scale s is s pixels wide. What is small on a
    coarser map is left to the finer ones where they see it too; what is large there takes the place of its
    parts on the finer maps, unless these cover most of it or it is no solid thing. Best first, at most
    `max_boxes`.
    """
    box, score = np.zeros((0, 4), dtype=np.float32), np.zeros(0, dtype=np.float32)
    for score_map, scale in zip(maps, scales, strict=True):
        box, score = _joined((box, score), _regions(score_map, rules), scale)
    best = np.argsort(-score, kind="stable")[: rules.max_boxes]
    return box[best], score[best]


def _joined(fine: tuple[F32, F32], coarse: _Regions, scale: int) -> tuple[F32, F32]:
    """Regions of two scales as one list; coarse pixels are `scale` wide."""
    fine_box, fine_score = fine
    large = (coarse.box[:, 2:] - coarse.box[:, :2]).max(axis=1, initial=0.0) > _SMALL_ON_COARSE_PX
    coarse_box = coarse.box * np.float32(scale)
    inside = _centres_inside(fine_box, coarse_box)
    has_parts = inside.any(axis=0)
    covered = (_overlaps(fine_box, coarse_box) * inside).sum(axis=0)
    explained = covered > _EXPLAINED_SHARE * np.float32(scale * scale) * coarse.area
    takes_place = large & ~(has_parts & (explained | (coarse.fill < _SOLID_FILL)))
    fine_kept = ~inside[:, takes_place].any(axis=1)
    coarse_kept = takes_place | ~has_parts
    part_score = np.where(inside, fine_score[:, None], np.float32(0.0)).max(axis=0, initial=0.0)
    coarse_score = np.maximum(coarse.score, part_score)
    box = np.concatenate([fine_box[fine_kept], coarse_box[coarse_kept]])
    return box, np.concatenate([fine_score[fine_kept], coarse_score[coarse_kept]])


def _regions(score_map: F32, rules: RegionRules) -> _Regions:
    """Regions of one map that pass the rules.

    Works on the few pixels over the limit only: OpenCV's own statistics of components walk the whole map.
    """
    # Not a number is never over a limit, so such pixels drop out here.
    over = score_map >= np.float32(rules.grow_threshold)
    closed = np.asarray(cv2.morphologyEx(over.view(np.uint8), cv2.MORPH_CLOSE, _CLOSING), dtype=np.uint8)
    where = np.flatnonzero(closed.view(np.bool_))
    if where.size == 0:
        none = np.zeros(0, dtype=np.float32)
        return _Regions(box=np.zeros((0, 4), dtype=np.float32), score=none, area=none, fill=none)
    _, labels = cv2.connectedComponents(closed, connectivity=8, ltype=cv2.CV_32S)
    label, value = np.asarray(labels).ravel()[where], score_map.ravel()[where]
    value = np.where(over.ravel()[where], value, np.float32(0.0))
    order = np.lexsort((-value, label))
    where, label, value = where[order], label[order], value[order]
    first = np.flatnonzero(np.diff(label, prepend=-1))
    score, area = _scores(value, first)
    last = np.append(first[1:], where.size)
    chosen = np.flatnonzero((score >= rules.threshold) & (area >= rules.min_area))
    found = []
    for index in chosen:
        pixels = slice(first[index], last[index])
        y, x = np.divmod(where[pixels], score_map.shape[1])
        found.append(_shape(np.stack([x, y], axis=1), value[pixels]))
    shape = np.array(found, dtype=np.float32).reshape(-1, 6)
    side_limit = rules.max_side_share * np.array([score_map.shape[1], score_map.shape[0]])
    fits = (shape[:, 2:4] - shape[:, :2] <= side_limit).all(axis=1)
    shape = shape[fits]
    return _Regions(box=shape[:, :4], score=score[chosen][fits], area=shape[:, 4], fill=shape[:, 5])


def _shape(xy: Pixels, value: F32) -> tuple[float, ...]:
    """Edges, number of pixels and fill of a region with pixels (N, 2) of value (N,), highest first.

    Of a wake only the core is left, the vessel, or what is before it where the core is foam.
    """
    if len(xy) >= _WAKE_MIN_AREA and _is_drawn_out(xy):
        xy = _core(xy, value)
    low, high = xy.min(axis=0), xy.max(axis=0) + 1
    if (high - low).max() <= _SMALL_ON_COARSE_PX:
        fill = 1.0
    else:
        _, (width, height), _ = cv2.minAreaRect(xy.astype(np.float32))
        fill = len(xy) / ((width + 1.0) * (height + 1.0))
    return (*low.tolist(), *high.tolist(), float(len(xy)), fill)


def _is_drawn_out(xy: Pixels) -> bool:
    """Whether pixels (N, 2) form a line or a fork: long, or few for an ellipse of the same moments."""
    offset = xy - xy.mean(axis=0)
    # A pixel has a variance of its own, a twelfth.
    xx, yy = (offset**2).mean(axis=0) + 1.0 / 12.0
    xy_mean = (offset[:, 0] * offset[:, 1]).mean()
    determinant = max(xx * yy - xy_mean**2, 1e-9)
    half, root = (xx + yy) / 2.0, np.sqrt(((xx - yy) / 2.0) ** 2 + xy_mean**2)
    elongation = np.sqrt((half + root) ** 2 / determinant)
    solidity = len(xy) / (4.0 * np.pi * np.sqrt(determinant))
    return bool(elongation >= _WAKE_ELONGATION or solidity <= _WAKE_SOLIDITY)


def _core(xy: Pixels, value: F32) -> Pixels:
    """The pixels around the peak with a fair share of its odds, where they are few; otherwise all of them.

    Where these pixels are a streak of foam, the vessel before it in their stead.
    """
    odds = value / np.maximum(np.float32(1.0) - value, np.float32(1e-6))
    strong = odds >= _CORE_ODDS_SHARE * odds[:_PEAK_PIXELS].mean()
    if strong.sum() > _CORE_MAX_AREA_SHARE * len(xy):
        return xy
    corner = xy.min(axis=0)
    mask = np.zeros((xy.max(axis=0) - corner + 1)[::-1], dtype=np.uint8)
    mask[tuple((xy[strong] - corner).T[::-1])] = 1
    closed = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, _CLOSING)
    _, labels = cv2.connectedComponents(closed, connectivity=8, ltype=cv2.CV_32S)
    labels = np.asarray(labels)
    peak_x, peak_y = xy[0] - corner
    rows, columns = np.nonzero(labels == labels[peak_y, peak_x])
    return _head(xy, np.asarray(np.stack([columns, rows], axis=1) + corner, dtype=np.intp))


def _head(xy: Pixels, core: Pixels) -> Pixels:
    """What a region has before a long core near its one end, as a boat before its foam; else the core."""
    along, across = _along_and_across(xy, core)
    whole = _along_and_across(xy, xy)[0]
    before, behind = along.min() - whole.min(), whole.max() - along.max()
    near, far = min(before, behind), max(before, behind)
    length, width = np.ptp(along) + 1.0, np.ptp(across) + 1.0
    is_foam = length >= _FOAM_ELONGATION * width and near <= _HEAD_MAX_FAR_SHARE * far
    if not (is_foam and _HEAD_MIN_PX <= near <= _HEAD_MAX_CORE_SHARE * length):
        return core
    is_head = whole < along.min() if before < behind else whole > along.max()
    return np.asarray(xy[is_head], dtype=np.intp)


def _along_and_across(region: Pixels, xy: Pixels) -> tuple[F64, F64]:
    """Coordinates of pixels (N, 2) along the main axis of a region, and across it, from its middle."""
    middle = region.mean(axis=0)
    offset = region - middle
    xx, yy = (offset**2).mean(axis=0)
    angle = 0.5 * np.arctan2(2.0 * (offset[:, 0] * offset[:, 1]).mean(), xx - yy)
    along = np.array([np.cos(angle), np.sin(angle)])
    return (xy - middle) @ along, (xy - middle) @ np.array([-along[1], along[0]])


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


def _overlaps(a: F32, b: F32) -> F32:
    """Area that each of N boxes shares with each of M: (N, M)."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    return np.asarray(np.maximum(high - low, np.float32(0.0)).prod(axis=2))
