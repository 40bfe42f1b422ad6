"""The seam between the edge and every kind of detector."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from models.detection import DetectionBatch
from models.letterbox import Placement


@dataclass(frozen=True, slots=True, eq=False)
class Inference:
    """What a network said about one image, not yet read: raw outputs, and where the image lay in it."""

    outputs: list[npt.NDArray[np.float32]]
    placement: Placement


class Detector(Protocol):
    """Finds objects in single images. One thread at a time: a detector reuses its buffers.

    Attributes:
        model_id: the model's name, a colon and the first 16 hex digits of its file's sha256, as in
            `anomaly:0123456789abcdef`; fits the `Id` of the messages.
        labels: every label it can answer with.
    """

    @property
    def model_id(self) -> str: ...

    @property
    def labels(self) -> tuple[str, ...]: ...

    def detect(self, image_bgr_u8: npt.NDArray[np.uint8]) -> DetectionBatch:
        """Detections in one image of shape (H, W, 3), 8 bit, blue first: `read(infer(image))`.

        Raises `InputError` when the array is not such an image, `ModelError` when inference fails.
        """
        ...

    def infer(self, image_bgr_u8: npt.NDArray[np.uint8]) -> Inference:
        """The costly first part of `detect`; the answer stays valid, so another thread may read it."""
        ...

    def read(self, inference: Inference) -> DetectionBatch:
        """The second part: boxes, scores and labels from raw outputs. May run beside the next `infer`."""
        ...

    def warm_up(self) -> None:
        """Run once on an empty image, so that the first real frame meets no start-up work."""
        ...
