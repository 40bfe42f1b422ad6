"""Reads a FastestDet head: one map (1, 5 + classes, h, w), a box in each cell.

Channels as its authors publish them: objectness (after the sigmoid), centre offsets (before tanh), sizes as
shares of the input (before the sigmoid), classes (after softmax). The score is objectness^0.6 class^0.4.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from models.decoders.candidates import Candidates, edges_of_centres, sigmoid
from models.decoders.shapes import require_outputs, require_shape
from models.description import ModelDescription
from models.detection import DetectionBatch
from models.letterbox import Placement
from models.session import TensorSpec

_HEAD = 5
_OBJECT_SHARE, _CLASS_SHARE = 0.6, 0.4


class FastestDetDecoder:
    """One box for each cell."""

    def __init__(self, description: ModelDescription) -> None:
        rules = description.fastestdet
        self._candidates = Candidates(
            description,
            max_candidates=rules.max_candidates,
            max_boxes=rules.max_boxes,
            nms_iou=rules.nms_iou,
        )

    def check_outputs(self, outputs: Sequence[TensorSpec], origin: str) -> None:
        """One float32 (1, 5 + classes, h, w)."""
        require_outputs(outputs, [(1, _HEAD + self._candidates.class_count, None, None)], origin)

    def decode(self, outputs: Sequence[npt.NDArray[np.float32]], placement: Placement) -> DetectionBatch:
        """As `Decoder` says."""
        require_shape(outputs[0], (1, _HEAD + self._candidates.class_count, None, None))
        rows_count, columns_count = outputs[0].shape[2:]
        rows = outputs[0][0].reshape(outputs[0].shape[1], -1).T
        score = np.clip(rows[:, :1], 0.0, 1.0) ** np.float32(_OBJECT_SHARE)
        score = score * np.clip(rows[:, _HEAD:], 0.0, 1.0) ** np.float32(_CLASS_SHARE)
        chosen, best, label = self._candidates.pick(score)
        rows = rows[chosen]
        cell = np.stack([chosen % columns_count, chosen // columns_count], axis=1)
        shape = np.array([columns_count, rows_count], dtype=np.float32)
        centre = (np.tanh(rows[:, 1:3]) + cell) / shape
        size = sigmoid(rows[:, 3:5])
        sides = np.array(placement.input_size_px, dtype=np.float32)
        both = np.concatenate([centre * sides, size * sides], axis=1).astype(np.float32)
        return self._candidates.finish(edges_of_centres(both), best, label, placement)
