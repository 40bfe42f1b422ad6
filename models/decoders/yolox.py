"""Reads a YOLOX head: rows of x, y, log w, log h, objectness, class scores, one per cell of three grids.

The layout is that of the public exports of YOLOX ("decode in inference" off): centres are offsets from the
cell in cells, sizes are logarithms in cells, objectness and classes have been through the sigmoid. With
`is_decoded` centres and sizes are in pixels already.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from models.decoders.candidates import MAX_LOG_SIZE, Candidates, Grids, edges_of_centres
from models.decoders.shapes import require_outputs, require_shape
from models.description import ModelDescription
from models.detection import DetectionBatch
from models.letterbox import Placement
from models.session import TensorSpec

_HEAD = 5


class YoloxDecoder:
    """Keeps rows whose best class is allowed and scores enough, then suppresses doubles class by class."""

    def __init__(self, description: ModelDescription) -> None:
        assert description.yolox is not None
        rules = description.yolox
        self._is_decoded = rules.is_decoded
        self._threshold = description.threshold
        self._grids = Grids(rules.strides)
        image = description.input
        self._size = (image.width_px, image.height_px) if image.has_fixed_size else None
        self._candidates = Candidates(
            description,
            max_candidates=rules.max_candidates,
            max_boxes=rules.max_boxes,
            nms_iou=rules.nms_iou,
        )

    def check_outputs(self, outputs: Sequence[TensorSpec], origin: str) -> None:
        """One float32 (1, cells, 5 + classes)."""
        cells = None
        if self._size is not None:
            cells = len(self._cells(None)[1])
        require_outputs(outputs, [(1, cells, _HEAD + self._candidates.class_count)], origin)

    def decode(self, outputs: Sequence[npt.NDArray[np.float32]], placement: Placement) -> DetectionBatch:
        """As `Decoder` says."""
        cell, stride = self._cells(placement)
        require_shape(outputs[0], (1, len(stride), _HEAD + self._candidates.class_count))
        rows = outputs[0][0]
        place = np.flatnonzero(rows[:, 4] >= self._threshold)
        rows = rows[place]
        certainty = np.clip(rows[:, _HEAD:], 0.0, 1.0)
        chosen, score, label = self._candidates.pick(np.clip(rows[:, 4:5], 0.0, 1.0) * certainty)
        rows, place = rows[chosen], place[chosen]
        if self._is_decoded:
            edges = edges_of_centres(rows)
        else:
            width = stride[place, None]
            size = np.exp(np.minimum(rows[:, 2:4], MAX_LOG_SIZE)) * width
            edges = edges_of_centres(np.concatenate([(rows[:, :2] + cell[place]) * width, size], axis=1))
        return self._candidates.finish(edges, score, label, placement)

    def _cells(self, placement: Placement | None) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        size = self._size
        if size is None:
            assert placement is not None
            size = placement.input_size_px
        return self._grids.of((size[0] or 0, size[1] or 0))
