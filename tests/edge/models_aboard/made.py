"""Detectors by script for tests of several at once."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from models.detection import DetectionBatch, make_batch
from models.detector import Inference
from models.letterbox import Placement
from skywarden.errors import ModelError
from tests.edge.eyes import Row


class Made:
    """Answers by `script`, under a name and labels of its own; fails at the looks that `fails` names."""

    def __init__(
        self,
        name: str,
        script: Callable[[int], Sequence[Row]] = lambda _: [],
        *,
        labels: tuple[str, ...] = ("vessel",),
        fails: Callable[[int], bool] = lambda _: False,
    ) -> None:
        self.model_id = f"{name}:0123456789abcdef"
        self.labels = labels
        self._script = script
        self._fails = fails
        self.looks = 0

    def detect(self, image_bgr_u8: npt.NDArray[np.uint8]) -> DetectionBatch:
        return self.read(self.infer(image_bgr_u8))

    def infer(self, image_bgr_u8: npt.NDArray[np.uint8]) -> Inference:
        self.looks += 1
        if self._fails(self.looks - 1):
            raise ModelError(f"{self.model_id}: out of memory")
        rows = np.array(self._script(self.looks - 1), dtype=np.float32).reshape(-1, 6)
        size = (image_bgr_u8.shape[1], image_bgr_u8.shape[0])
        return Inference([rows], Placement(image_size_px=size, placed_size_px=size))

    def read(self, inference: Inference) -> DetectionBatch:
        rows = inference.outputs[0]
        return make_batch(
            rows[:, :4],
            rows[:, 4],
            rows[:, 5].astype(np.uint8),
            self.labels,
            inference.placement.image_size_px,
        )

    def warm_up(self) -> None:
        pass
