"""Reads a head of generalised focal loss, as NanoDet and PicoDet have: scores, and four distances as bins.

Li et al. 2020, "Generalized focal loss" (NeurIPS): each side's distance from the cell's point is the mean of
a distribution over whole numbers of strides.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from models.decoders.candidates import Candidates, Grids, sigmoid, softmax
from models.description import ModelDescription
from models.detection import DetectionBatch
from models.letterbox import Placement
from models.session import TensorSpec
from skywarden.errors import ModelError

F32 = npt.NDArray[np.float32]


class GflDecoder:
    """Outputs are one (1, cells, classes + 4 bins), or a pair for each stride: scores and distances."""

    def __init__(self, description: ModelDescription) -> None:
        rules = description.gfl
        self._rules = rules
        self._grids = Grids(rules.strides)
        self._bins = np.arange(rules.bins, dtype=np.float32)
        self._candidates = Candidates(
            description,
            max_candidates=rules.max_candidates,
            max_boxes=rules.max_boxes,
            nms_iou=rules.nms_iou,
        )
        self._order: tuple[tuple[int, ...], tuple[int, ...]] | None = None

    def check_outputs(self, outputs: Sequence[TensorSpec], origin: str) -> None:
        """Tells scores from distances by their last size; with as many of both, scores come first."""
        classes, sides = self._candidates.class_count, 4 * self._rules.bins
        count = len(self._rules.strides)
        last = [spec.shape[-1] if len(spec.shape) == 3 else 0 for spec in outputs]
        is_float = all(spec.dtype == "float32" for spec in outputs)
        if is_float and len(outputs) == 1 and last[0] in (None, classes + sides):
            self._order = None
            return
        if is_float and len(outputs) == 2 * count and set(last) <= {classes, sides}:
            order = range(2 * count)
            if classes == sides:
                self._order = (tuple(order)[:count], tuple(order)[count:])
                return
            scores = tuple(place for place in order if last[place] == classes)
            if len(scores) == count:
                self._order = (scores, tuple(place for place in order if last[place] == sides))
                return
        found = ", ".join(str(spec) for spec in outputs)
        raise ModelError(
            f"{origin}: outputs are {found}; its description asks for float32 (1, any, {classes + sides}) or "
            f"{count} pairs of (1, any, {classes}) and (1, any, {sides})"
        )

    def decode(self, outputs: Sequence[F32], placement: Placement) -> DetectionBatch:
        """As `Decoder` says."""
        classes = self._candidates.class_count
        if self._order is None:
            scores, sides = outputs[0][0, :, :classes], outputs[0][0, :, classes:]
        else:
            scores = _joined(outputs, self._order[0])
            sides = _joined(outputs, self._order[1])
        cell, stride = self._grids.of(placement.input_size_px)
        if len(scores) != len(stride) or sides.shape != (len(stride), 4 * self._rules.bins):
            raise ModelError(f"outputs of {scores.shape} and {sides.shape}; {len(stride)} cells are due")
        if self._rules.is_logit:
            scores = sigmoid(scores)
        chosen, score, label = self._candidates.pick(np.clip(scores, 0.0, 1.0))
        share = softmax(sides[chosen].reshape(-1, 4, self._rules.bins))
        width = stride[chosen, None]
        distance = (share @ self._bins) * width
        point = (cell[chosen] + np.float32(self._rules.cell_offset)) * width
        edges = np.concatenate([point - distance[:, :2], point + distance[:, 2:]], axis=1)
        return self._candidates.finish(edges.astype(np.float32), score, label, placement)


def _joined(outputs: Sequence[F32], places: tuple[int, ...]) -> F32:
    """The outputs at these places, the one with most cells first: strides grow."""
    parts = sorted((outputs[place][0] for place in places), key=len, reverse=True)
    return np.concatenate(parts)
