"""Reads a classifier: a label for the whole image, as a box around all of it."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from models.decoders.candidates import Candidates, sigmoid, softmax
from models.decoders.shapes import require_outputs, require_shape
from models.description import ModelDescription
from models.detection import DetectionBatch
from models.letterbox import Placement
from models.session import TensorSpec


class ClassifyDecoder:
    """The best label if it is allowed and scores enough, else nothing."""

    def __init__(self, description: ModelDescription) -> None:
        self._activation = description.classify.activation
        self._candidates = Candidates(description, max_candidates=1, max_boxes=1, nms_iou=None)

    def check_outputs(self, outputs: Sequence[TensorSpec], origin: str) -> None:
        """One float32 (1, classes)."""
        require_outputs(outputs, [(1, self._candidates.class_count)], origin)

    def decode(self, outputs: Sequence[npt.NDArray[np.float32]], placement: Placement) -> DetectionBatch:
        """As `Decoder` says."""
        scores = outputs[0]
        require_shape(scores, (1, self._candidates.class_count))
        if self._activation == "sigmoid":
            scores = sigmoid(scores)
        elif self._activation == "softmax":
            scores = softmax(scores)
        chosen, score, label = self._candidates.pick(np.clip(scores, 0.0, 1.0))
        width, height = placement.placed_size_px
        edges = np.tile(np.array([0, 0, width, height], dtype=np.float32), (len(chosen), 1))
        return self._candidates.finish(edges, score, label, placement)
