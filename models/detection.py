"""What a detector answers about one image: boxes, scores and labels as columns."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from skywarden.errors import InputError

MAX_BOXES = 4096


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class MaskShape:
    """What of the image belongs to an object, (rows, columns) of bool, uint8 (0..255) or float (0..1).

    The centre of cell (0, 0) lies at `left_top_px` of the image and cells are `step_px` apart, so that a
    coarse mask or the crop of a box goes out as it is. Contents are checked where outlines are made of it.
    """

    values: npt.NDArray[np.generic]
    left_top_px: tuple[float, float] = (0.0, 0.0)
    step_px: tuple[float, float] = (1.0, 1.0)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class PolygonShape:
    """An object's outline: corners (N, 2) in pixels of the image, and those of its holes."""

    exterior: npt.NDArray[np.float64]
    holes: tuple[npt.NDArray[np.float64], ...] = ()


Shape = MaskShape | PolygonShape


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class DetectionBatch:
    """All detections of one image, best first; ties stand in order of the box: equal input, equal order.

    Attributes:
        box_px: float32 (N, 4), x0, y0, x1, y1 in pixels of the image handed in, origin at the centre of its
            upper-left pixel; a box round that one pixel is (-0.5, -0.5, 0.5, 0.5).
        score: float32 (N,), 0..1.
        label_index: uint8 (N,), index into `labels`.
        labels: every label this detector can answer with.
        shapes: what is known of each object beyond its box, `None` for a box alone; empty when the detector
            knows boxes only. Raises `InputError` when there are some but not N.
        model_id: which model said so; empty where that is plain from elsewhere.
        model_ids: where several models looked, all of them; empty for one.
        model_index: uint8 (N,), whose row it is among `model_ids`; `None` for one model. Raises `InputError`
            when there are not N.
    """

    box_px: npt.NDArray[np.float32]
    score: npt.NDArray[np.float32]
    label_index: npt.NDArray[np.uint8]
    labels: tuple[str, ...]
    shapes: tuple[Shape | None, ...] = ()
    model_id: str = ""
    model_ids: tuple[str, ...] = ()
    model_index: npt.NDArray[np.uint8] | None = None

    def __post_init__(self) -> None:
        """Refuse shapes or models that are not one for each box."""
        if self.shapes and len(self.shapes) != len(self.score):
            raise InputError(f"{len(self.shapes)} shapes for {len(self.score)} boxes")
        if self.model_index is not None and len(self.model_index) != len(self.score):
            raise InputError(f"{len(self.model_index)} models for {len(self.score)} boxes")

    def __len__(self) -> int:
        """How many detections there are."""
        return len(self.score)

    def model_of(self, row: int) -> str:
        """Which model said this row; empty where that is plain from elsewhere."""
        return self.model_id if self.model_index is None else self.model_ids[self.model_index[row]]

    def taken(self, rows: npt.NDArray[np.intp]) -> "DetectionBatch":
        """Only these rows, in this order."""
        return DetectionBatch(
            box_px=self.box_px[rows],
            score=self.score[rows],
            label_index=self.label_index[rows],
            labels=self.labels,
            shapes=tuple(self.shapes[row] for row in rows.tolist()) if self.shapes else (),
            model_id=self.model_id,
            model_ids=self.model_ids,
            model_index=None if self.model_index is None else self.model_index[rows],
        )


def make_batch(
    box_px: npt.NDArray[np.floating],
    score: npt.NDArray[np.floating],
    label_index: npt.NDArray[np.integer],
    labels: tuple[str, ...],
    image_size_px: tuple[int, int],
    shapes: Sequence[Shape | None] = (),
) -> DetectionBatch:
    """Sort, cut to the image (width, height) and drop what is not finite or has no area in the image.

    Shapes as in `DetectionBatch`. Scores are limited to 0..1; at most `MAX_BOXES` are kept, the best ones,
    each with its shape. Raises `InputError` when there are shapes, but not one for each box.
    """
    box = np.asarray(box_px, dtype=np.float32).reshape(-1, 4)
    points = np.asarray(score, dtype=np.float32).reshape(-1)
    index = np.asarray(label_index, dtype=np.uint8).reshape(-1)
    if shapes and len(shapes) != len(points):
        raise InputError(f"{len(shapes)} shapes for {len(points)} boxes")
    source = np.arange(len(points))
    finite = np.isfinite(box).all(axis=1) & np.isfinite(points)
    box, points, index, source = box[finite], points[finite], index[finite], source[finite]
    limit = np.array([image_size_px[0], image_size_px[1]] * 2, dtype=np.float32) - np.float32(0.5)
    box = np.clip(box, np.float32(-0.5), limit)
    solid = (box[:, 2] > box[:, 0]) & (box[:, 3] > box[:, 1])
    box, points, index, source = box[solid], np.clip(points[solid], 0.0, 1.0), index[solid], source[solid]
    order = np.lexsort((index, box[:, 3], box[:, 2], box[:, 1], box[:, 0], -points))[:MAX_BOXES]
    return DetectionBatch(
        box_px=box[order],
        score=points[order],
        label_index=index[order],
        labels=labels,
        shapes=tuple(shapes[at] for at in source[order].tolist()) if shapes else (),
    )
