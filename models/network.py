"""A detector that is a network: fit the image in, run it, decode what comes out."""

from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from models.areas.stitch import MapLook
from models.decoders import make_decoder
from models.description import InputDescription, ModelDescription
from models.detection import DetectionBatch
from models.detector import Inference
from models.golden import verify
from models.letterbox import Placement, make_fit, require_image
from models.session import ModelSession, ProviderReport
from skywarden.errors import ModelError


class NetworkDetector:
    """A `Detector` from a session and a description; checks at once that the two fit each other."""

    def __init__(
        self, description: ModelDescription, session: ModelSession, *, self_test: bool = True
    ) -> None:
        """Raises `ModelError` when inputs or outputs are not as described, or the golden image fails."""
        self.description = description
        self._session = session
        self._fit = make_fit(description.input)
        self._decoder = make_decoder(description)
        session.require_input(*_input_due(description.input))
        self._decoder.check_outputs(session.outputs, session.origin)
        self._maps: MapLook | None = None
        if description.decode == "segment":
            self._maps = self._map_look(description.segment.flips)
        if self_test:
            verify(session, self._fit, description.golden)

    @property
    def model_id(self) -> str:
        """Name, colon, first 16 hex digits of the file's sha256."""
        return self.description.model_id

    @property
    def labels(self) -> tuple[str, ...]:
        """Every label it can answer with."""
        return self.description.allowed_labels

    @property
    def threads(self) -> int:
        """Threads of one inference."""
        return self._session.threads

    @property
    def provider_report(self) -> ProviderReport:
        """Which execution providers were asked for and which are used."""
        return self._session.provider_report

    def detect(self, image_bgr_u8: npt.NDArray[np.uint8]) -> DetectionBatch:
        """As `Detector.detect` says."""
        return self.read(self.infer(image_bgr_u8))

    def infer(self, image_bgr_u8: npt.NDArray[np.uint8]) -> Inference:
        """As `Detector.infer` says."""
        tensor, placement = self.place(image_bgr_u8)
        return Inference(self.run_network(tensor), placement)

    def read(self, inference: Inference) -> DetectionBatch:
        """As `Detector.read` says."""
        batch = self._decoder.decode(inference.outputs, inference.placement)
        return replace(tempered(batch, self.description.temperature), model_id=self.model_id)

    def place(self, image_bgr_u8: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[Any], Placement]:
        """First part of `infer`: the input tensor, valid until the next call, and where the image lies."""
        require_image(image_bgr_u8)
        return self._fit.place(image_bgr_u8)

    def run_network(self, tensor: npt.NDArray[Any]) -> list[npt.NDArray[np.float32]]:
        """Second part of `infer`: the network's raw outputs for an input tensor."""
        return self._session.run(tensor) if self._maps is None else self._maps.run(tensor)

    @property
    def is_seamless(self) -> bool:
        """Whether it looks at any size in tiles of its own: maps flow together, nothing is left to merge."""
        return self._maps is not None and self.description.input.fit == "scale"

    def set_scale(self, scale: float) -> None:
        """Pixels of the network for each of the image, from the next image on.

        Raises `ModelError` for a network whose input has one size, and for scales outside 0.05 to 8.
        """
        rules = self.description.input
        if rules.fit != "scale" or not 0.05 <= scale <= 8.0:
            raise ModelError(f"{self.model_id}: scale {scale}; 0.05 to 8, where input.fit is scale")
        self._fit = make_fit(msgspec.structs.replace(rules, scale=scale))

    def set_flips(self, flips: int) -> None:
        """Average so many mirrored looks (1, 2 or 4). Raises `ModelError` for a network without maps."""
        if self._maps is None:
            raise ModelError(f"{self.model_id}: makes no maps; mirrored looks cannot be averaged")
        self._maps = self._map_look(flips)

    def _map_look(self, flips: int) -> MapLook:
        rules, image = self.description.segment, self.description.input
        return MapLook(
            self._session.run,
            tile_px=rules.tile_px,
            overlap_px=rules.overlap_px,
            step_px=image.multiple_px,
            flips=flips,
            is_nhwc=image.tensor == "u8_nhwc",
        )

    def warm_up(self) -> None:
        """Run once on an empty image."""
        self.detect(np.zeros((480, 640, 3), dtype=np.uint8))


def tempered(batch: DetectionBatch, temperature: float) -> DetectionBatch:
    """The same detections with log-odds divided by `temperature` (Guo et al. 2017, "On calibration of modern
    neural networks"); the order stays."""
    if temperature == 1.0 or not len(batch):
        return batch
    odds = np.clip(batch.score.astype(np.float64), 1e-6, 1.0 - 1e-6)
    score = 1.0 / (1.0 + ((1.0 - odds) / odds) ** (1.0 / temperature))
    return replace(batch, score=score.astype(np.float32))


def _input_due(description: InputDescription) -> tuple[str, tuple[int | None, ...]]:
    """Type and shape of the input that a description speaks of."""
    height, width = description.height_px, description.width_px
    if not description.has_fixed_size:
        height = width = None
    if description.tensor == "u8_hwc":
        return "uint8", (None, None, 3)
    if description.tensor == "u8_nhwc":
        return "uint8", (1, height, width, 3)
    return "uint8" if description.tensor == "u8_nchw" else "float32", (1, 3, height, width)
