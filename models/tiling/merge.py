"""One answer from the tiles and the whole frame: nothing twice, nothing cut in two."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from models.detection import DetectionBatch, Shape, make_batch
from models.nms import keep_best
from models.tiling.grid import Tile

F32 = npt.NDArray[np.float32]

EDGE_PX = 2.0
"""A box that comes so near to an inner edge of its tile may be cut there."""

SAME_IOU = 0.5
_COVERED = 0.5
_JOINED_OVERLAP = 0.5


def merge_tiles(
    parts: Sequence[tuple[Tile | None, DetectionBatch]], size_px: tuple[int, int], labels: tuple[str, ...]
) -> DetectionBatch:
    """Detections of tiles and of the whole frame (`None`), all in pixels of the image, as one batch.

    A box that its tile's inner edge cuts gives way to one of the same label that is not cut and holds more
    than half of it; two cut boxes that meet at an edge become one. What remains twice is suppressed as usual.
    """
    box, score, label, shapes, cut = _columns(parts, size_px)
    kept = _uncovered(box, score, label, cut)
    box, score, label, cut = box[kept], score[kept], label[kept], cut[kept]
    shapes = [shapes[at] for at in kept.tolist()]
    box, score, label, shapes = _joined(box, score, label, cut, shapes)
    best = keep_best(box, score, label, iou_limit=SAME_IOU)
    return make_batch(
        box[best],
        score[best],
        label[best],
        labels,
        size_px,
        [shapes[at] for at in best.tolist()] if any(shape is not None for shape in shapes) else (),
    )


def cut_sides(box: F32, tile: Tile | None, size_px: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Which sides (N, 4: left, top, right, bottom) of boxes an inner edge of their tile may have cut."""
    if tile is None:
        return np.zeros((len(box), 4), dtype=bool)
    left = (box[:, 0] + 0.5 <= tile.x0 + EDGE_PX) & (tile.x0 > 0)
    top = (box[:, 1] + 0.5 <= tile.y0 + EDGE_PX) & (tile.y0 > 0)
    right = (box[:, 2] + 0.5 >= tile.x1 - EDGE_PX) & (tile.x1 < size_px[0])
    bottom = (box[:, 3] + 0.5 >= tile.y1 - EDGE_PX) & (tile.y1 < size_px[1])
    return np.stack([left, top, right, bottom], axis=1)


def _columns(
    parts: Sequence[tuple[Tile | None, DetectionBatch]], size_px: tuple[int, int]
) -> tuple[F32, F32, npt.NDArray[np.intp], list[Shape | None], npt.NDArray[np.bool_]]:
    boxes = [np.zeros((0, 4), dtype=np.float32), *(batch.box_px for _, batch in parts)]
    cuts = [cut_sides(batch.box_px, tile, size_px) for tile, batch in parts]
    shapes: list[Shape | None] = []
    for _, batch in parts:
        shapes += batch.shapes or [None] * len(batch)
    return (
        np.concatenate(boxes),
        np.concatenate([np.zeros(0, dtype=np.float32), *(batch.score for _, batch in parts)]),
        np.concatenate([np.zeros(0, dtype=np.intp), *(b.label_index.astype(np.intp) for _, b in parts)]),
        shapes,
        np.concatenate([np.zeros((0, 4), dtype=bool), *cuts]),
    )


def _uncovered(
    box: F32, score: F32, label: npt.NDArray[np.intp], cut: npt.NDArray[np.bool_]
) -> npt.NDArray[np.intp]:
    """Places of the boxes that are whole, and of the cut ones that no whole one holds."""
    is_cut = cut.any(axis=1)
    whole, parts = np.flatnonzero(~is_cut), np.flatnonzero(is_cut)
    if not len(whole) or not len(parts):
        return np.arange(len(score))
    shared = _shared(box[parts], box[whole])
    # A faint whole box does not take the place of a sure part.
    rules = (label[parts, None] == label[None, whole]) & (score[None, whole] >= 0.5 * score[parts, None])
    held = (shared > _COVERED * _area(box[parts])[:, None]) & rules
    return np.sort(np.concatenate([whole, parts[~held.any(axis=1)]]))


def _joined(
    box: F32,
    score: F32,
    label: npt.NDArray[np.intp],
    cut: npt.NDArray[np.bool_],
    shapes: list[Shape | None],
) -> tuple[F32, F32, npt.NDArray[np.intp], list[Shape | None]]:
    """Two halves of one thing, each cut where the other goes on, as one box with the better score."""
    box, score = box.copy(), score.copy()
    alive = np.ones(len(score), dtype=bool)
    order = [at for at in np.argsort(-score, kind="stable").tolist() if cut[at].any()]
    for place, first in enumerate(order):
        if not alive[first]:
            continue
        for second in order[place + 1 :]:
            if alive[second] and label[first] == label[second] and _meet(box, cut, first, second):
                box[first, :2] = np.minimum(box[first, :2], box[second, :2])
                box[first, 2:] = np.maximum(box[first, 2:], box[second, 2:])
                cut[first] &= cut[second] | (box[first] != box[second])
                alive[second] = False
                shapes[first] = None  # an outline of half of it would be wrong
    kept = np.flatnonzero(alive)
    return box[kept], score[kept], label[kept], [shapes[at] for at in kept.tolist()]


def _meet(box: F32, cut: npt.NDArray[np.bool_], first: int, second: int) -> bool:
    """Whether one box ends in an edge where the other, cut at the opposite side, goes on beside it."""
    for axis in (0, 1):
        across = 1 - axis
        for one, other in ((first, second), (second, first)):
            ends, begins = cut[one, axis + 2], cut[other, axis]
            touches = box[other, axis] <= box[one, axis + 2] + EDGE_PX
            if not (ends and begins and touches and box[other, axis] >= box[one, axis]):
                continue
            low = max(box[one, across], box[other, across])
            high = min(box[one, across + 2], box[other, across + 2])
            widths = [float(box[at, across + 2] - box[at, across]) for at in (one, other)]
            if high - low >= _JOINED_OVERLAP * max(widths):
                return True
    return False


def _area(box: F32) -> F32:
    return np.asarray((box[:, 2:] - box[:, :2]).prod(axis=1), dtype=np.float32)


def _shared(a: F32, b: F32) -> F32:
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    return np.asarray(np.clip(high - low, 0.0, None).prod(axis=2), dtype=np.float32)
