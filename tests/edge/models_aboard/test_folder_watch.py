"""A model in the folder that the configuration names is new once; the configuration decides who may sign."""

from pathlib import Path

import numpy as np
import pytest

from edge.config import ModelConfig
from edge.models_aboard.folder_watch import PERIOD_NS, FolderWatch
from edge.vision.detectors import configured_detector
from skywarden.errors import ModelError
from skywarden.evidence import EvidenceKey


def test_a_model_in_the_folder_is_new_once_and_again_when_it_changes(tmp_path: Path) -> None:
    watch = FolderWatch(tmp_path)
    assert not watch.is_new(0)
    (tmp_path / "model.toml").write_text("x", encoding="utf-8")
    assert not watch.is_new(PERIOD_NS - 1), "it looks every ten seconds"
    assert watch.is_new(PERIOD_NS)
    assert not watch.is_new(2 * PERIOD_NS)
    (tmp_path / "model.onnx").write_bytes(b"xy")
    assert watch.is_new(3 * PERIOD_NS)


def test_a_folder_that_is_not_there_has_nothing_new(tmp_path: Path) -> None:
    assert not FolderWatch(tmp_path / "absent").is_new(0)


@pytest.mark.slow
def test_the_configuration_decides_who_may_sign_and_how_it_is_looked() -> None:
    key = EvidenceKey.from_secret(bytes(range(32)))
    detector = configured_detector(ModelConfig(trusted_keys=key.public_text, tile_scale=1.0, threads=0))
    assert detector.labels == ("anomaly",)
    batch = detector.detect(np.zeros((64, 64, 3), dtype=np.uint8))
    assert batch.model_id == detector.model_id
    with pytest.raises(ModelError, match="holds no public key"):
        configured_detector(ModelConfig(trusted_keys="/dev/null"))
