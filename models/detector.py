"""The seam between the edge and every kind of detector."""

from typing import Protocol

import numpy as np
import numpy.typing as npt

from models.detection import DetectionBatch


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
        """Detections in one image of shape (H, W, 3), 8 bit, blue first.

        Raises `InputError` when the array is not such an image, `ModelError` when inference fails.
        """
        ...

    def warm_up(self) -> None:
        """Run once on an empty image, so that the first real frame meets no start-up work."""
        ...
