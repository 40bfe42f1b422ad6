"""Reads a YOLOX head: rows of x, y, log w, log h, objectness, class scores, one per cell of three grids.

The layout is that of the public exports of YOLOX ("decode in inference" off): centres are offsets from the
cell in cells, sizes are logarithms in cells, objectness and classes have been through the sigmoid.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from models.description import ModelDescription
from models.detection import DetectionBatch, make_batch
from models.letterbox import Placement
from models.nms import keep_best
from models.session import TensorSpec
from skywarden.errors import ModelError

_MAX_LOG_SIZE = 12.0
_MAX_OFFSET = 1e6
_HEAD = 5


class YoloxDecoder:
    """Keeps rows whose best class is allowed and scores enough, then suppresses doubles class by class."""

    def __init__(self, description: ModelDescription) -> None:
        assert description.yolox is not None
        assert description.input.width_px is not None
        assert description.input.height_px is not None
        self._rules = description.yolox
        self._threshold = description.threshold
        self._labels = description.allowed_labels
        self._class_count = len(description.labels)
        self._label_of_class = np.array(
            [
                self._labels.index(description.allow[label]) if label in description.allow else -1
                for label in description.labels
            ],
            dtype=np.intp,
        )
        size = (description.input.width_px, description.input.height_px)
        self._cell, self._stride = _grid(size, self._rules.strides)

    def check_outputs(self, outputs: Sequence[TensorSpec], origin: str) -> None:
        """One float32 (1, cells, 5 + classes)."""
        wanted = (1, len(self._stride), _HEAD + self._class_count)
        fits = len(outputs) == 1 and outputs[0].dtype == "float32" and len(outputs[0].shape) == 3
        if not fits or any(h not in (None, w) for h, w in zip(outputs[0].shape, wanted, strict=True)):
            found = ", ".join(str(spec) for spec in outputs)
            raise ModelError(f"{origin}: outputs are {found}; its description asks for one float32 {wanted}")

    def decode(self, outputs: Sequence[npt.NDArray[np.float32]], placement: Placement) -> DetectionBatch:
        """As `Decoder` says."""
        rows = outputs[0][0]
        if rows.shape != (len(self._stride), _HEAD + self._class_count):
            raise ModelError(f"an output of {rows.shape}; {len(self._stride)} cells are due")
        place = np.flatnonzero(rows[:, 4] >= self._threshold)
        rows = rows[place]
        best = np.argmax(rows[:, _HEAD:], axis=1)
        certainty = np.clip(rows[np.arange(len(rows)), _HEAD + best], 0.0, 1.0)
        score = np.clip(rows[:, 4], 0.0, 1.0) * certainty
        label = self._label_of_class[best]
        chosen = np.flatnonzero(
            (score >= self._threshold) & (label >= 0) & (np.abs(rows[:, :4]) < _MAX_OFFSET).all(axis=1)
        )
        if chosen.size > self._rules.max_candidates:
            chosen = chosen[np.argsort(-score[chosen], kind="stable")[: self._rules.max_candidates]]
        edges = self._edges(rows[chosen], place[chosen])
        score, label = score[chosen], label[chosen]
        kept = keep_best(edges, score, label, iou_limit=self._rules.nms_iou)[: self._rules.max_boxes]
        box = placement.to_image(edges[kept])
        return make_batch(box, score[kept], label[kept], self._labels, placement.image_size_px)

    def _edges(self, rows: npt.NDArray[np.float32], place: npt.NDArray[np.intp]) -> npt.NDArray[np.float32]:
        """Box edges (N, 4) in pixels of the network's input."""
        stride = self._stride[place, None]
        centre = (rows[:, :2] + self._cell[place]) * stride
        half = np.exp(np.minimum(rows[:, 2:4], _MAX_LOG_SIZE)) * stride * np.float32(0.5)
        return np.concatenate([centre - half, centre + half], axis=1)


def _grid(
    size_px: tuple[int, int], strides: tuple[int, ...]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Column and row of every cell (N, 2), and its stride (N,), grid after grid, row by row."""
    cells, widths = [], []
    for stride in strides:
        columns, rows = size_px[0] // stride, size_px[1] // stride
        x, y = np.meshgrid(np.arange(columns), np.arange(rows))
        cells.append(np.stack([x.ravel(), y.ravel()], axis=1))
        widths.append(np.full(columns * rows, stride))
    return np.concatenate(cells).astype(np.float32), np.concatenate(widths).astype(np.float32)
