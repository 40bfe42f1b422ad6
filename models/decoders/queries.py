"""Reads networks that settle overlaps themselves: transformers with queries, and rows after suppression."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from models.decoders.candidates import Candidates, edges_of_centres, sigmoid, softmax
from models.decoders.shapes import require_outputs, require_shape
from models.description import ModelDescription
from models.detection import DetectionBatch
from models.letterbox import Placement
from models.session import TensorSpec
from skywarden.errors import ModelError

F32 = npt.NDArray[np.float32]


class EndToEndDecoder:
    """Rows of edges, score and class: YOLOv10, YOLO26, and exports with suppression inside the graph."""

    def __init__(self, description: ModelDescription) -> None:
        rules = description.end_to_end
        self._is_normalised = rules.is_normalised
        self._columns = [rules.columns.index(name) for name in ("x0", "y0", "x1", "y1")]
        self._score = rules.columns.index("score")
        self._class = rules.columns.index("class")
        self._width = len(rules.columns)
        self._candidates = Candidates(
            description, max_candidates=100_000, max_boxes=rules.max_boxes, nms_iou=None
        )

    def check_outputs(self, outputs: Sequence[TensorSpec], origin: str) -> None:
        """One float32 (1, rows, columns) or (rows, columns)."""
        is_flat = len(outputs) == 1 and len(outputs[0].shape) == 2
        wanted = (None, self._width) if is_flat else (1, None, self._width)
        require_outputs(outputs, [wanted], origin)

    def decode(self, outputs: Sequence[F32], placement: Placement) -> DetectionBatch:
        """As `Decoder` says; a class that is no whole number of the labels is dropped."""
        rows = outputs[0].reshape(-1, outputs[0].shape[-1])
        require_shape(rows, (None, self._width))
        rows = rows[np.isfinite(rows).all(axis=1)]
        number = np.rint(rows[:, self._class])
        known = (number >= 0) & (number < self._candidates.class_count)
        rows, number = rows[known], number[known].astype(np.intp)
        label = self._candidates.label_of_class[number]
        score = rows[:, self._score]
        chosen = np.flatnonzero((score >= self._candidates.threshold) & (label >= 0))
        edges = rows[chosen][:, self._columns]
        if self._is_normalised:
            width, height = placement.input_size_px
            edges = edges * np.array([width, height, width, height], dtype=np.float32)
        return self._candidates.finish(edges, np.clip(score[chosen], 0.0, 1.0), label[chosen], placement)


class DetrDecoder:
    """Queries: boxes (1, Q, 4) and scores (1, Q, C), or both in one (1, Q, 4 + C)."""

    def __init__(self, description: ModelDescription) -> None:
        rules = description.detr
        self._activation = rules.activation
        self._candidates = Candidates(
            description, max_candidates=100_000, max_boxes=rules.max_boxes, nms_iou=None
        )
        self._classes = self._candidates.class_count + (rules.activation == "softmax")
        self._boxes_at: int | None = None

    def check_outputs(self, outputs: Sequence[TensorSpec], origin: str) -> None:
        """One float32 (1, Q, 4 + C), or two; which of them holds the boxes is told by their last sizes."""
        if len(outputs) == 1:
            require_outputs(outputs, [(1, None, 4 + self._classes)], origin)
            return
        last = [spec.shape[-1] if spec.shape else None for spec in outputs]
        if len(outputs) == 2 and 4 in last:
            names = [spec.name for spec in outputs]
            first_is_box = last[0] == 4 and (self._classes != 4 or "box" in names[0])
            self._boxes_at = 0 if first_is_box else 1
        due: list[tuple[int | None, ...]] = [(1, None, 4), (1, None, self._classes)]
        require_outputs(outputs, due if self._boxes_at == 0 else due[::-1], origin)

    def decode(self, outputs: Sequence[F32], placement: Placement) -> DetectionBatch:
        """As `Decoder` says."""
        if self._boxes_at is None:
            require_shape(outputs[0], (1, None, 4 + self._classes))
            boxes, scores = outputs[0][0, :, :4], outputs[0][0, :, 4:]
        else:
            boxes, scores = outputs[self._boxes_at][0], outputs[1 - self._boxes_at][0]
            require_shape(boxes, (None, 4))
            require_shape(scores, (len(boxes), self._classes))
        if len(boxes) == 0:
            raise ModelError("no queries at all in the network's output")
        if self._activation == "sigmoid":
            scores = sigmoid(scores)
        elif self._activation == "softmax":
            scores = softmax(scores)[:, :-1]
        chosen, score, label = self._candidates.pick(np.clip(scores, 0.0, 1.0))
        width, height = placement.input_size_px
        sides = np.array([width, height, width, height], dtype=np.float32)
        edges = edges_of_centres(np.asarray(boxes[chosen] * sides, dtype=np.float32))
        return self._candidates.finish(edges, score, label, placement)
