"""Reads maps of areas into outlines: seeds inside, grown to the boundaries, holes kept, neighbours apart."""

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from models.decoders.candidates import Candidates, sigmoid
from models.decoders.shapes import require_outputs, require_shape
from models.description import ModelDescription, SegmentDescription
from models.detection import DetectionBatch, PolygonShape, make_batch
from models.letterbox import Placement
from models.session import TensorSpec

F32 = npt.NDArray[np.float32]
I32 = npt.NDArray[np.int32]

_MAX_AREAS = 20_000
_FINER = 3
_LEAST_SEED = 0.25
"""Of the least area: a smaller seed beside a larger one in the same inside is noise, not a field."""


class SegmentDecoder:
    """One output (1, maps, h, w), or one (1, 1, h, w) for each map; a batch with one polygon for each box."""

    def __init__(self, description: ModelDescription) -> None:
        self._rules = description.segment
        self._threshold = description.threshold
        # One label: a map says where, not what.
        self._labels = Candidates(description, max_candidates=1, max_boxes=1, nms_iou=None).labels

    def check_outputs(self, outputs: Sequence[TensorSpec], origin: str) -> None:
        """Float32 maps, as many as are described."""
        count = len(self._rules.channels)
        if len(outputs) == 1:
            require_outputs(outputs, [(1, count, None, None)], origin)
        else:
            require_outputs(outputs, [(1, 1, None, None)] * count, origin)

    def decode(self, outputs: Sequence[F32], placement: Placement) -> DetectionBatch:
        """As `Decoder` says; the score is the mean of the interior map over the area."""
        maps = outputs[0] if len(outputs) == 1 else np.concatenate(list(outputs), axis=1)
        require_shape(maps, (1, len(self._rules.channels), None, None))
        maps = np.nan_to_num(maps[0], nan=0.0, posinf=1.0, neginf=0.0)
        by_name: dict[str, F32] = {name: maps[at] for at, name in enumerate(self._rules.channels)}
        if self._rules.activation == "sigmoid":
            by_name |= {name: sigmoid(by_name[name]) for name in ("interior", "boundary") if name in by_name}
        # Pixels of the network's input for each cell of a map; what lies beyond the image is padding.
        cell = (placement.input_size_px[0] / maps.shape[2], placement.input_size_px[1] / maps.shape[1])
        columns = min(maps.shape[2], round(placement.placed_size_px[0] / cell[0]))
        rows = min(maps.shape[1], round(placement.placed_size_px[1] / cell[1]))
        by_name = {name: one[:rows, :columns] for name, one in by_name.items()}
        numbers = areas(by_name, self._threshold, self._rules, cell[0] * cell[1])
        return self._batch(numbers, by_name["interior"], cell, placement)

    def _batch(
        self, numbers: I32, interior: F32, cell: tuple[float, float], placement: Placement
    ) -> DetectionBatch:
        found, box, score = [], [], []
        cell_area = cell[0] * cell[1]
        count = int(numbers.max(initial=0))
        total = np.bincount(numbers.ravel(), weights=interior.ravel(), minlength=count + 1)
        size = np.bincount(numbers.ravel(), minlength=count + 1)
        for number, left_top, window in _windows(numbers, size, self._rules.min_area_px / cell_area):
            shape = _outline(window, left_top, cell, placement, self._rules)
            if shape is None:
                continue
            found.append(shape)
            box.append([*shape.exterior.min(axis=0), *shape.exterior.max(axis=0)])
            score.append(min(1.0, max(0.0, total[number] / size[number])))
        return _best(found, box, score, self._labels, placement, self._rules.max_boxes)


def areas(
    maps: dict[str, F32], threshold: float, rules: SegmentDescription, cell_area_px: float = 1.0
) -> I32:
    """Which area each cell of so many pixels belongs to (h, w), 0 for none.

    Seeds are told apart by boundary and distance; each grows over the rest of the inside, lowest boundary
    first (Meyer 1992, watershed).
    """
    inside = (maps["interior"] >= threshold).astype(np.uint8)
    seed = inside.copy()
    barrier = maps.get("boundary")
    if barrier is not None:
        seed &= (barrier < rules.boundary_limit).astype(np.uint8)
    if "distance" in maps:
        reach = maps["distance"] / rules.distance_px
        seed &= (reach >= rules.seed_distance).astype(np.uint8)
        barrier = 1.0 - np.clip(reach, 0.0, 1.0) if barrier is None else barrier
    whole = np.asarray(cv2.connectedComponents(inside, connectivity=4)[1], dtype=np.int32)
    if barrier is None:
        return whole
    count, seeds = _seeds(seed, whole, _LEAST_SEED * rules.min_area_px / cell_area_px)
    # An inside without any seed is an area of its own: thin ones have no middle.
    seeded = np.zeros(int(whole.max()) + 1, dtype=bool)
    seeded[np.unique(whole[seeds > 0])] = True
    lone = (inside > 0) & ~seeded[whole]
    markers = seeds.astype(np.int32)
    markers[lone] = count + whole[lone]
    # The outside is a seed too, so that nothing grows over it.
    outside = int(markers.max()) + 1
    markers[inside == 0] = outside
    relief = np.repeat((np.clip(barrier, 0.0, 1.0) * 255.0).astype(np.uint8)[..., None], 3, axis=2)
    grown = np.asarray(cv2.watershed(relief, markers), dtype=np.int32)
    grown = _without_ridges(grown)
    grown[(grown == outside) | (inside == 0)] = 0
    return _given_back(grown, inside)


def _seeds(seed: npt.NDArray[np.uint8], whole: I32, least: float) -> tuple[int, I32]:
    """Connected seeds, numbered; specks are left out wherever their inside has a seed of a useful size."""
    count, seeds, stats, _ = cv2.connectedComponentsWithStats(seed, connectivity=4)
    useful = stats[:, cv2.CC_STAT_AREA] >= least
    useful[0] = False
    has_useful = np.zeros(int(whole.max()) + 1, dtype=bool)
    has_useful[np.unique(whole[useful[seeds]])] = True
    speck = (seeds > 0) & ~useful[seeds] & has_useful[whole]
    return int(count), np.where(speck, 0, seeds).astype(np.int32)


def _given_back(numbers: I32, inside: npt.NDArray[np.uint8]) -> I32:
    """Cells of the inside that the outside has flooded, up to the crest of the boundary, to the nearest area.

    The crest runs along the middle of a painted boundary, the field reaches its outer side: without this
    every field loses its headland.
    """
    lost = (numbers == 0) & (inside > 0)
    if not lost.any() or not (numbers > 0).any():
        return numbers
    _, nearest = cv2.distanceTransformWithLabels(
        (numbers == 0).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    # Labels of cells are numbers of zero cells in an order of OpenCV's own: read it off those cells.
    owner = np.zeros(int(nearest.max()) + 1, dtype=np.int32)
    known = numbers > 0
    owner[nearest[known]] = numbers[known]
    return np.where(lost, owner[nearest], numbers).astype(np.int32)


def _without_ridges(numbers: I32) -> I32:
    """Gives cells that the watershed left between areas (-1) to a neighbour, the same one every time."""
    positive = np.where(numbers > 0, numbers, 0).astype(np.float32)
    spread = cv2.dilate(positive, np.ones((3, 3), dtype=np.uint8))
    return np.where(numbers == -1, spread.astype(np.int32), numbers)


def _windows(
    numbers: I32, size: npt.NDArray[np.intp], least: float
) -> list[tuple[int, tuple[int, int], npt.NDArray[np.uint8]]]:
    """Number, place and mask of each area of enough cells, with one empty cell around."""
    height, width = numbers.shape
    wanted = np.flatnonzero(size[1:] >= max(1.0, least))[:_MAX_AREAS] + 1
    if not wanted.size:
        return []
    place_y, place_x = np.nonzero(numbers > 0)
    owner = numbers[place_y, place_x]
    low = np.full((len(size), 2), max(height, width), dtype=np.intp)
    high = np.zeros((len(size), 2), dtype=np.intp)
    for column, place in enumerate((place_x, place_y)):
        np.minimum.at(low[:, column], owner, place)
        np.maximum.at(high[:, column], owner, place)
    out = []
    for number in wanted.tolist():
        (x0, y0), (x1, y1) = low[number], high[number]
        mask = (numbers[y0 : y1 + 1, x0 : x1 + 1] == number).astype(np.uint8)
        out.append((number, (int(x0) - 1, int(y0) - 1), cv2.copyMakeBorder(mask, 1, 1, 1, 1, 0)))
    return out


def _outline(
    mask: npt.NDArray[np.uint8],
    left_top: tuple[int, int],
    cell: tuple[float, float],
    placement: Placement,
    rules: SegmentDescription,
) -> PolygonShape | None:
    """The largest outline in a mask with its holes, in pixels of the image; `None` when it has no area.

    Contours run through the centres of cells, so each cell is cut in `_FINER` first: outlines are then right
    to within 1 / (2 `_FINER`) of a cell.
    """
    fine = np.repeat(np.repeat(mask, _FINER, axis=0), _FINER, axis=1)
    contours, tree = cv2.findContours(fine, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    rings = [np.asarray(one, dtype=np.int32).reshape(-1, 2) for one in contours]
    if not rings:
        return None
    parents = np.asarray(tree).reshape(-1, 4)[:, 3].tolist()
    outer = [at for at in range(len(rings)) if parents[at] < 0]
    best = max(outer, key=lambda at: cv2.contourArea(rings[at]))
    step = (cell[0] / _FINER, cell[1] / _FINER)
    corner = (left_top[0] * _FINER, left_top[1] * _FINER)
    exterior = _ring(rings[best], corner, step, placement, rules.simplify_px)
    if exterior is None:
        return None
    least = rules.min_hole_px / (step[0] * step[1])
    holes = [
        _ring(rings[at], corner, step, placement, rules.simplify_px)
        for at in range(len(rings))
        if parents[at] == best and cv2.contourArea(rings[at]) >= least
    ]
    return PolygonShape(exterior=exterior, holes=tuple(hole for hole in holes if hole is not None))


def _ring(
    points: I32,
    corner: tuple[int, int],
    step: tuple[float, float],
    placement: Placement,
    simplify_px: float,
) -> npt.NDArray[np.float64] | None:
    """Cells of a contour as a ring in the image; `None` when less than a triangle is left."""
    simple = cv2.approxPolyDP(points.reshape(-1, 1, 2), simplify_px / step[0], True)
    ring = np.asarray(simple, dtype=np.float64).reshape(-1, 2)
    if len(ring) < 3:
        return None
    edges = (ring + np.array(corner) + 0.5) * np.array(step)
    return placement.to_image(np.tile(edges, (1, 2)))[:, :2].astype(np.float64)


def _best(
    found: list[PolygonShape],
    box: list[list[float]],
    score: list[float],
    labels: tuple[str, ...],
    placement: Placement,
    max_boxes: int,
) -> DetectionBatch:
    order = np.argsort(-np.array(score), kind="stable")[:max_boxes].tolist()
    return make_batch(
        np.array([box[at] for at in order], dtype=np.float32).reshape(-1, 4),
        np.array([score[at] for at in order], dtype=np.float32),
        np.zeros(len(order), dtype=np.uint8),
        labels,
        placement.image_size_px,
        [found[at] for at in order],
    )
