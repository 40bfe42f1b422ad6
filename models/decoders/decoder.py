"""The seam between a network's raw outputs and detections."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from models.detection import DetectionBatch
from models.letterbox import Placement
from models.session import TensorSpec


class Decoder(Protocol):
    """Reads the outputs of one kind of network. Pure: the same outputs give the same batch."""

    def check_outputs(self, outputs: Sequence[TensorSpec], origin: str) -> None:
        """Raise `ModelError`, naming `origin`, when the network's outputs are not what this decoder reads."""
        ...

    def decode(self, outputs: Sequence[npt.NDArray[np.float32]], placement: Placement) -> DetectionBatch:
        """Detections in the image's pixels, only of labels that are allowed."""
        ...
