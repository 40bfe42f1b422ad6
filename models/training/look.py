"""Detectors to look with: a network in torch, and the ONNX file that was made of it."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from models.training.errors import TrainingError
from models.training.judge import MOST_BOXES, MOST_CANDIDATES, Array, place, suppress
from models.training.network import anchor_points, boxes_of
from models.training.sample import Image

LEAST = 0.002
NMS_IOU = 0.6


class TorchLooker:
    """A `Looker` for a network of this room."""

    def __init__(
        self, network: nn.Module, canvas_px: tuple[int, int], least: float = LEAST, iou: float = NMS_IOU
    ) -> None:
        self._network, self._canvas_px = network.eval(), canvas_px
        self._least, self._iou = least, iou

    @torch.no_grad()
    def __call__(self, image: Image) -> tuple[Array, Array]:
        """Edges in image pixels and scores over `least`, at most `MOST_BOXES`."""
        canvas, scale = place(image, self._canvas_px)
        batch = torch.from_numpy(canvas).permute(2, 0, 1)[None].float()
        chances, boxes = boxes_of(self._network, batch.contiguous(memory_format=torch.channels_last))
        best = chances[0].amax(1)
        rows = torch.nonzero(best >= self._least).squeeze(1)
        rows = rows[best[rows].argsort(descending=True)[:MOST_CANDIDATES]]
        found, score = boxes[0, rows].double().numpy(), best[rows].double().numpy()
        if not len(score):
            return np.zeros((0, 4)), np.zeros(0)
        kept = suppress(found, score, self._iou)[:MOST_BOXES]
        return found[kept] / np.array([scale[0], scale[1]] * 2), score[kept]


class OnnxLooker:
    """A `Looker` for an exported file; needs onnxruntime, which training itself does without."""

    def __init__(self, path: Path, least: float = LEAST, iou: float = NMS_IOU) -> None:
        """Raises `TrainingError` when onnxruntime is not installed or refuses the file."""
        try:
            import onnxruntime
        except ImportError as error:
            raise TrainingError("onnxruntime is not installed; install it to judge exported files") from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except (RuntimeError, OSError) as error:
            raise TrainingError(f"{path}: onnxruntime refuses it ({error})") from error
        _, height, width, _ = self._session.get_inputs()[0].shape
        self.canvas_px = (int(width), int(height))
        centres, strides = anchor_points(self.canvas_px)
        self._strides = strides.double().numpy()[:, None]
        self._cells = centres.double().numpy() / self._strides - 0.5
        self._least, self._iou = least, iou

    def __call__(self, image: Image) -> tuple[Array, Array]:
        """As `TorchLooker`."""
        canvas, scale = place(image, self.canvas_px)
        rows = self.run(canvas).astype(np.float64)
        chosen = np.flatnonzero(rows[:, 4] >= self._least)
        chosen = chosen[np.argsort(-rows[chosen, 4], kind="stable")[:MOST_CANDIDATES]]
        if not len(chosen):
            return np.zeros((0, 4)), np.zeros(0)
        centre = (rows[chosen, :2] + self._cells[chosen]) * self._strides[chosen]
        half = np.exp(rows[chosen, 2:4]) * self._strides[chosen] / 2
        found, score = np.concatenate([centre - half, centre + half], axis=1), rows[chosen, 4]
        kept = suppress(found, score, self._iou)[:MOST_BOXES]
        return found[kept] / np.array([scale[0], scale[1]] * 2), score[kept]

    def run(self, canvas: Image) -> npt.NDArray[np.float32]:
        """The bare network's rows (A, 5 + C) for an image of its own size."""
        return np.asarray(self._session.run(None, {"images": canvas[None]})[0][0], dtype=np.float32)
