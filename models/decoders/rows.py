"""Reads rows that the network has decoded itself: YOLOv5 and v7 with objectness, YOLOv8, v9, 11, 12 without.

YOLOv5 writes (1, rows, 5 + classes), YOLOv8 and later (1, 4 + classes, rows). What comes after the classes
(mask coefficients of the -seg models) is left unread.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from models.decoders.candidates import Candidates, edges_of_centres
from models.decoders.shapes import require_outputs, require_shape
from models.description import ModelDescription, RowsDescription
from models.detection import DetectionBatch
from models.letterbox import Placement
from models.session import TensorSpec

F32 = npt.NDArray[np.float32]


class _RowsDecoder:
    """Rows of centre, size and scores, in the network's input."""

    def __init__(self, description: ModelDescription, rules: RowsDescription) -> None:
        self._is_normalised = rules.is_normalised
        self._candidates = Candidates(
            description,
            max_candidates=rules.max_candidates,
            max_boxes=rules.max_boxes,
            nms_iou=rules.nms_iou,
        )

    def _read(self, centre_size: F32, scores: F32, placement: Placement) -> DetectionBatch:
        chosen, score, label = self._candidates.pick(np.clip(scores, 0.0, 1.0))
        rows = np.asarray(centre_size[chosen], dtype=np.float32)
        if self._is_normalised:
            width, height = placement.input_size_px
            rows = rows * np.array([width, height, width, height], dtype=np.float32)
        return self._candidates.finish(edges_of_centres(rows), score, label, placement)


class YoloV5Decoder(_RowsDecoder):
    """Rows of centre, size, objectness and class scores."""

    def __init__(self, description: ModelDescription) -> None:
        super().__init__(description, description.yolov5)

    def check_outputs(self, outputs: Sequence[TensorSpec], origin: str) -> None:
        """First output float32 (1, rows, 5 + classes); others are left unread."""
        require_outputs(outputs[:1], [(1, None, 5 + self._candidates.class_count)], origin)

    def decode(self, outputs: Sequence[F32], placement: Placement) -> DetectionBatch:
        """As `Decoder` says."""
        require_shape(outputs[0], (1, None, 5 + self._candidates.class_count))
        rows = outputs[0][0]
        rows = rows[rows[:, 4] >= self._candidates.threshold]
        return self._read(rows[:, :4], rows[:, 4:5] * rows[:, 5:], placement)


class YoloV8Decoder(_RowsDecoder):
    """Columns of centre, size and class scores."""

    def __init__(self, description: ModelDescription) -> None:
        super().__init__(description, description.yolov8)

    def check_outputs(self, outputs: Sequence[TensorSpec], origin: str) -> None:
        """First output float32 (1, 4 + classes, rows); with mask coefficients, up to 32 lines more."""
        lines = 4 + self._candidates.class_count
        more = outputs[0].shape[1] if len(outputs) == 2 and len(outputs[0].shape) == 3 else None
        require_outputs(outputs[:1], [(1, lines + 32 if more == lines + 32 else lines, None)], origin)

    def decode(self, outputs: Sequence[F32], placement: Placement) -> DetectionBatch:
        """As `Decoder` says."""
        require_shape(outputs[0], (1, None, None))
        lines = outputs[0][0]
        lines = lines[: 4 + self._candidates.class_count]
        require_shape(lines, (4 + self._candidates.class_count, None))
        # Few columns score at all: turn only those, not the whole of 84 x 8400.
        some = np.flatnonzero(lines[4:].max(axis=0) >= self._candidates.threshold)
        rows = np.ascontiguousarray(lines[:, some].T)
        return self._read(rows[:, :4], rows[:, 4:], placement)
