"""The seam between the edge and every kind of detector."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from models.detection import DetectionBatch
from models.letterbox import Placement

LEAST_SIDE_PX = 12.0
"""A thing whose longer side is less for the network counts as not looked at: there it would be a guess."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Looked:
    """What part of an image was looked at: tiles (N, 4) as edges count (0 at the left), and the whole frame
    at `whole_scale` pixels of the network for each of the image, `None` when it was not."""

    size_px: tuple[int, int]
    tiles_px: npt.NDArray[np.float64]
    whole_scale: float | None

    def saw(self, box_px: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
        """Which of boxes (N, 4) in pixels of the image lie whole in a tile, or are large in the whole."""
        limit = np.array([*self.size_px, *self.size_px], dtype=np.float64)
        box = np.clip(box_px.reshape(-1, 4) + 0.5, 0.0, limit)
        seen = np.zeros(len(box), dtype=bool)
        for tile in self.tiles_px:
            seen |= ((box[:, :2] >= tile[:2]) & (box[:, 2:] <= tile[2:])).all(axis=1)
        if self.whole_scale is not None:
            longer = (box[:, 2:] - box[:, :2]).max(axis=1, initial=0.0)
            seen |= longer * self.whole_scale >= LEAST_SIDE_PX
        return seen


@dataclass(frozen=True, slots=True, eq=False)
class Inference:
    """What a network said about one image, not yet read: raw outputs, and where the image lay in it."""

    outputs: list[npt.NDArray[np.float32]]
    placement: Placement

    @property
    def looked(self) -> Looked | None:
        """What part of the image was looked at; `None` for all of it."""
        return None


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
