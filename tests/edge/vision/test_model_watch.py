"""A model put into the folder is tried once, beside the one in charge; refused, it changes nothing."""

from pathlib import Path

import numpy as np
import pytest

from edge.config import ModelConfig
from edge.vision.detectors import ModelWatch, configured_detector
from models.detection import DetectionBatch, make_batch
from models.detector import Detector, Inference
from models.letterbox import Placement
from models.swap import SwappableDetector
from skywarden.errors import ModelError
from skywarden.evidence import EvidenceKey


class Named:
    """A detector that finds nothing, under a name."""

    labels = ("vessel",)

    def __init__(self, name: str) -> None:
        self.model_id = f"{name}:0123456789abcdef"

    def detect(self, image_bgr_u8: np.ndarray) -> DetectionBatch:
        return self.read(self.infer(image_bgr_u8))

    def infer(self, image_bgr_u8: np.ndarray) -> Inference:
        return Inference([], Placement(image_size_px=(64, 64), placed_size_px=(64, 64)))

    def read(self, inference: Inference) -> DetectionBatch:
        none = np.zeros(0)
        return make_batch(none.reshape(0, 4), none, none.astype(np.uint8), self.labels, (64, 64))

    def warm_up(self) -> None:
        pass


def test_a_model_in_the_folder_is_offered_once_and_again_when_it_changes(tmp_path: Path) -> None:
    loaded: list[str] = []

    def load(place: str) -> Detector:
        loaded.append(place)
        return Named("new")

    swappable = SwappableDetector(Named("old"))
    watch = ModelWatch(tmp_path, swappable, load)
    watch.look()
    assert swappable.state == "single"
    (tmp_path / "model.toml").write_text("x", encoding="utf-8")
    watch.look()
    watch.look()
    assert loaded == [str(tmp_path)]
    assert swappable.report() is not None
    (tmp_path / "model.onnx").write_bytes(b"xy")
    watch.look()
    assert len(loaded) == 2


def test_a_model_that_is_refused_leaves_the_one_in_charge(tmp_path: Path) -> None:
    def load(place: str) -> Detector:
        raise ModelError(f"{place}: nobody stands for it")

    swappable = SwappableDetector(Named("old"))
    watch = ModelWatch(tmp_path, swappable, load)
    (tmp_path / "model.toml").write_text("x", encoding="utf-8")
    watch.look()
    assert swappable.state == "single"
    assert swappable.model_id.startswith("old")


def test_the_watching_thread_ends_when_it_is_told_to(tmp_path: Path) -> None:
    watch = ModelWatch(tmp_path / "absent", SwappableDetector(Named("old")), lambda place: Named("new"))
    watch.start()
    watch.stop()


@pytest.mark.slow
def test_the_configuration_decides_who_may_sign_and_how_it_is_looked() -> None:
    key = EvidenceKey.from_secret(bytes(range(32)))
    detector = configured_detector(ModelConfig(trusted_keys=key.public_text, tile_scale=1.0, threads=0))
    assert detector.labels == ("anomaly",)
    batch = detector.detect(np.zeros((64, 64, 3), dtype=np.uint8))
    assert batch.model_id == detector.model_id
    with pytest.raises(ModelError, match="holds no public key"):
        configured_detector(ModelConfig(trusted_keys="/dev/null"))
