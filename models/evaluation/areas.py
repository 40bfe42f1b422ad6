"""How well areas are found: overlap of the whole, of the boundaries, and of each area by itself."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from models.detection import DetectionBatch, MaskShape, PolygonShape
from models.evaluation.dataset import Truth
from models.evaluation.matching import Matched, average_precision, bootstrap

U8 = npt.NDArray[np.uint8]
F64 = npt.NDArray[np.float64]
BOUNDARY_REACH_PX = 3
BOOTSTRAPS = 400


class AreaTally:
    """Adds up images; `figures` then says `field_iou`, `boundary_f1` (at 3 px) and `instance_ap50`."""

    def __init__(self) -> None:
        self._union: list[tuple[int, int]] = []
        self._precision: list[tuple[int, int]] = []
        self._recall: list[tuple[int, int]] = []
        self._score: list[float] = []
        self._is_hit: list[bool] = []
        self._image: list[int] = []
        self._counts: list[int] = []

    def add(self, batch: DetectionBatch, truth: Truth, size_px: tuple[int, int]) -> None:
        """One image of width and height `size_px`."""
        found = [mask_of_shape(shape, box, size_px) for shape, box in _shapes(batch)]
        due = [
            mask_of_rings(rings or (_corners(box),), size_px)
            for rings, box, skipped in zip(truth.rings, truth.box, truth.is_ignored, strict=True)
            if not skipped
        ]
        self._add_union(found, due, size_px)
        self._add_boundaries(found, due, size_px)
        self._add_instances(found, due, batch.score.tolist())

    def figures(self) -> dict[str, Any]:
        """Pooled over all images, with 95 % bootstraps over them; `None` where there was nothing to find."""
        matched = Matched(
            score=np.array(self._score, dtype=np.float64),
            is_hit=np.array(self._is_hit, dtype=bool),
            is_ignored=np.zeros(len(self._score), dtype=bool),
            image_index=np.array(self._image, dtype=np.intp),
            truth_by_image=np.array(self._counts, dtype=np.intp),
        )
        instance = average_precision(matched)
        by_image = [shared / whole for shared, whole in self._union if whole]
        every = np.ones(len(self._counts))
        tree: dict[str, Any] = {
            "images": len(self._counts),
            "objects": matched.truth_count,
            "field_iou": self._field_iou(every),
            "field_iou_by_image": round(float(np.mean(by_image)), 4) if by_image else None,
            "boundary_f1": self._boundary_f1(every) if matched.truth_count or self._score else None,
            "instance_ap50": None if instance is None else round(instance, 4),
        }
        limits = bootstrap(matched, BOOTSTRAPS)
        if limits is not None:
            tree["instance_ap50_interval"] = [round(value, 4) for value in limits.average_precision]
            rng = np.random.default_rng(1)
            drawn = rng.multinomial(len(every), every / len(every), BOOTSTRAPS).astype(np.float64)
            for name, figure in (("field_iou", self._field_iou), ("boundary_f1", self._boundary_f1)):
                values = [value for value in map(figure, drawn) if value is not None]
                tree[f"{name}_interval"] = [
                    round(float(value), 4) for value in np.quantile(values, [0.025, 0.975])
                ]
        return tree

    def _field_iou(self, weight: F64) -> float | None:
        shared, whole = weight @ np.array(self._union, dtype=np.float64).reshape(-1, 2)
        return round(float(shared / whole), 4) if whole else None

    def _boundary_f1(self, weight: F64) -> float | None:
        near, have = weight @ np.array(self._precision, dtype=np.float64).reshape(-1, 2)
        found, due = weight @ np.array(self._recall, dtype=np.float64).reshape(-1, 2)
        precision, recall = near / max(1.0, have), found / max(1.0, due)
        both = precision + recall
        return round(float(2.0 * precision * recall / both), 4) if both > 0.0 else 0.0

    def _add_union(self, found: Sequence["_Mask"], due: Sequence["_Mask"], size_px: tuple[int, int]) -> None:
        have, want = (_painted(masks, size_px, 0) for masks in (found, due))
        self._union.append((int((have & want).sum()), int((have | want).sum())))

    def _add_boundaries(
        self, found: Sequence["_Mask"], due: Sequence["_Mask"], size_px: tuple[int, int]
    ) -> None:
        reach = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * BOUNDARY_REACH_PX + 1,) * 2)
        have, want = (_painted(masks, size_px, 1) for masks in (found, due))
        near_want: U8 = np.asarray(cv2.dilate(want, reach), dtype=np.uint8)
        near_have: U8 = np.asarray(cv2.dilate(have, reach), dtype=np.uint8)
        self._precision.append((int((have & near_want).sum()), int(have.sum())))
        self._recall.append((int((want & near_have).sum()), int(want.sum())))

    def _add_instances(
        self, found: Sequence["_Mask"], due: Sequence["_Mask"], scores: Sequence[float]
    ) -> None:
        taken = [False] * len(due)
        for place in sorted(range(len(found)), key=lambda at: -scores[at]):
            overlap = [0.0 if taken[at] else found[place].overlap(one) for at, one in enumerate(due)]
            best = int(np.argmax(overlap)) if overlap else -1
            is_hit = best >= 0 and overlap[best] >= 0.5
            if is_hit:
                taken[best] = True
            self._score.append(scores[place])
            self._is_hit.append(is_hit)
            self._image.append(len(self._counts))
        self._counts.append(len(due))


class _Mask:
    """A small mask and where in the image it lies."""

    def __init__(self, pixels: U8, left: int, top: int) -> None:
        self.pixels, self.left, self.top = pixels, left, top
        self.area = int(pixels.sum())

    def overlap(self, other: "_Mask") -> float:
        """Intersection over union."""
        left, top = max(self.left, other.left), max(self.top, other.top)
        right = min(self.left + self.pixels.shape[1], other.left + other.pixels.shape[1])
        bottom = min(self.top + self.pixels.shape[0], other.top + other.pixels.shape[0])
        if right <= left or bottom <= top:
            return 0.0
        shared = int((self._part(left, top, right, bottom) & other._part(left, top, right, bottom)).sum())
        return shared / max(1, self.area + other.area - shared)

    def _part(self, left: int, top: int, right: int, bottom: int) -> U8:
        rows = slice(top - self.top, bottom - self.top)
        return self.pixels[rows, left - self.left : right - self.left]


def mask_of_rings(rings: Sequence[npt.NDArray[np.float64]], size_px: tuple[int, int]) -> _Mask:
    """The pixels whose centres lie in an odd number of rings (0 is the image's left edge)."""
    every = np.concatenate(list(rings))
    low = np.clip(np.floor(every.min(axis=0)) - 1, 0, size_px).astype(int)
    high = np.clip(np.ceil(every.max(axis=0)) + 1, 0, size_px).astype(int)
    width, height = np.maximum(high - low, 1).tolist()
    pixels = np.zeros((height, width), dtype=np.uint8)
    fixed = [np.round((np.clip(ring, -1e5, 1e5) - low - 0.5) * 256.0).astype(np.int32) for ring in rings]
    cv2.fillPoly(pixels, fixed, 1, cv2.LINE_8, 8)
    return _Mask(pixels, int(low[0]), int(low[1]))


def mask_of_shape(shape: object, box: npt.NDArray[np.float32], size_px: tuple[int, int]) -> _Mask:
    """The pixels of a detection's shape; of its box when it has none."""
    if isinstance(shape, PolygonShape):
        return mask_of_rings([ring + 0.5 for ring in (shape.exterior, *shape.holes)], size_px)
    if isinstance(shape, MaskShape):
        values = np.asarray(shape.values)
        half = 1 if values.dtype == np.bool_ else 0.5 if np.issubdtype(values.dtype, np.floating) else 128
        inside = (values >= half).astype(np.uint8)
        step, corner = shape.step_px, shape.left_top_px
        x = np.round((np.arange(size_px[0]) - corner[0]) / step[0]).astype(int)
        y = np.round((np.arange(size_px[1]) - corner[1]) / step[1]).astype(int)
        whole = np.zeros((size_px[1], size_px[0]), dtype=np.uint8)
        ok_x, ok_y = (x >= 0) & (x < inside.shape[1]), (y >= 0) & (y < inside.shape[0])
        whole[np.ix_(ok_y, ok_x)] = inside[np.ix_(y[ok_y], x[ok_x])]
        return _Mask(whole, 0, 0)
    return mask_of_rings([_corners(box.astype(np.float64) + 0.5)], size_px)


def _shapes(batch: DetectionBatch) -> list[tuple[object, npt.NDArray[np.float32]]]:
    shapes = batch.shapes or (None,) * len(batch)
    return list(zip(shapes, batch.box_px, strict=True))


def _corners(box: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    x0, y0, x1, y1 = box.tolist()
    return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])


def _painted(masks: Sequence[_Mask], size_px: tuple[int, int], border: int) -> U8:
    """All masks in one picture; with `border` only the rims inside each."""
    whole = np.zeros((size_px[1], size_px[0]), dtype=np.uint8)
    for mask in masks:
        pixels = mask.pixels
        if border:
            inner = np.asarray(cv2.erode(pixels, np.ones((3, 3), dtype=np.uint8)), dtype=np.uint8)
            pixels = pixels - inner
        rows = slice(mask.top, mask.top + pixels.shape[0])
        part = whole[rows, mask.left : mask.left + pixels.shape[1]]
        np.maximum(part, pixels[: part.shape[0], : part.shape[1]], out=part)
    return whole
