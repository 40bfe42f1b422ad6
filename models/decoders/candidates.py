"""What all readers of boxes share: allowed classes, the best of many, suppression, and back to the image."""

import numpy as np
import numpy.typing as npt

from models.description import ModelDescription
from models.detection import DetectionBatch, make_batch
from models.letterbox import Placement
from models.nms import keep_best

F32 = npt.NDArray[np.float32]

MAX_EDGE = 1e6
"""Edges beyond this (in pixels of the network's input) are nonsense and dropped."""

MAX_LOG_SIZE = 12.0


class Candidates:
    """Turns edges, scores and classes of candidates into a batch, by the rules of a description."""

    def __init__(
        self,
        description: ModelDescription,
        *,
        max_candidates: int,
        max_boxes: int,
        nms_iou: float | None,
    ) -> None:
        """`nms_iou` `None` leaves overlaps alone: the network has settled them itself."""
        self.threshold = description.threshold
        self.class_count = len(description.labels)
        self.labels = description.allowed_labels
        self.label_of_class = np.array(
            [
                self.labels.index(description.allow[label]) if label in description.allow else -1
                for label in description.labels
            ],
            dtype=np.intp,
        )
        self._max_candidates = max_candidates
        self._max_boxes = max_boxes
        self._nms_iou = nms_iou

    def pick(self, score_by_class: F32) -> tuple[npt.NDArray[np.intp], F32, npt.NDArray[np.intp]]:
        """Of scores (N, C): the rows to read, at most `max_candidates`, their scores, and their labels.

        A row whose best class is not allowed is dropped: what is most likely a person is not the boat that it
        is a little less likely.
        """
        best = np.argmax(score_by_class, axis=1)
        score = score_by_class[np.arange(len(score_by_class)), best]
        label = self.label_of_class[best]
        chosen = np.flatnonzero((score >= self.threshold) & (label >= 0) & np.isfinite(score))
        if chosen.size > self._max_candidates:
            chosen = chosen[np.argsort(-score[chosen], kind="stable")[: self._max_candidates]]
        return chosen, score[chosen].astype(np.float32), label[chosen]

    def finish(
        self, edges: F32, score: F32, label: npt.NDArray[np.intp], placement: Placement
    ) -> DetectionBatch:
        """The batch of candidates' edges (N, 4) in pixels of the network's input."""
        sound = np.isfinite(edges).all(axis=1) & (np.abs(edges) < MAX_EDGE).all(axis=1)
        edges, score, label = edges[sound], score[sound], label[sound]
        if self._nms_iou is None:
            kept = np.argsort(-score, kind="stable")
        else:
            kept = keep_best(edges, score, label, iou_limit=self._nms_iou)
        kept = kept[: self._max_boxes]
        box = placement.to_image(edges[kept])
        return make_batch(box, score[kept], label[kept], self.labels, placement.image_size_px)


def grid(
    size_px: tuple[int, int], strides: tuple[int, ...]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Column and row of every cell (N, 2), and its stride (N,), grid after grid, row by row.

    Grids have as many cells as begin within width x height: rounded up, as convolutions with padding give.
    """
    cells, widths = [], []
    for stride in strides:
        columns, rows = -(-size_px[0] // stride), -(-size_px[1] // stride)
        x, y = np.meshgrid(np.arange(columns), np.arange(rows))
        cells.append(np.stack([x.ravel(), y.ravel()], axis=1))
        widths.append(np.full(columns * rows, stride))
    return np.concatenate(cells).astype(np.float32), np.concatenate(widths).astype(np.float32)


class Grids:
    """Grids by input size, the last few kept."""

    def __init__(self, strides: tuple[int, ...]) -> None:
        self._strides = strides
        self._known: dict[tuple[int, int], tuple[F32, F32]] = {}

    def of(self, size_px: tuple[int, int]) -> tuple[F32, F32]:
        """As `grid` says."""
        if size_px not in self._known:
            if len(self._known) >= 8:
                self._known.clear()
            self._known[size_px] = grid(size_px, self._strides)
        return self._known[size_px]


def edges_of_centres(centre_size: F32) -> F32:
    """Edges (N, 4) of boxes given as centre and size."""
    half = centre_size[:, 2:4] * np.float32(0.5)
    return np.concatenate([centre_size[:, :2] - half, centre_size[:, :2] + half], axis=1)


def sigmoid(logit: F32) -> F32:
    """1 / (1 + exp(-x)), without overflow."""
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(logit, -60.0, 60.0))), dtype=np.float32)


def softmax(logit: F32, axis: int = -1) -> F32:
    """exp(x) / sum exp(x), without overflow."""
    raised = np.exp(logit - logit.max(axis=axis, keepdims=True))
    return np.asarray(raised / raised.sum(axis=axis, keepdims=True), dtype=np.float32)
