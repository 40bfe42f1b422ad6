"""The vessel models of the zoo load, stay small, have their papers, find boats in images they never saw."""

from pathlib import Path

import numpy as np
import pytest

from models.catalogue import load_detector
from models.training.judge import judge
from models.training.score import match, recall_at
from models.training.vessels import read_set

ZOO = Path(__file__).resolve().parents[3] / "models" / "zoo"
NAMES = sorted(folder.name for folder in ZOO.glob("vessel-*"))


@pytest.mark.parametrize("name", NAMES)
def test_a_vessel_model_is_small_and_has_its_papers(name: str) -> None:
    folder = ZOO / name
    assert (folder / "model.onnx").stat().st_size <= 6 * 1024 * 1024
    card = (folder / "CARD.md").read_text(encoding="utf-8")
    for due in ("Licence", "PicoDet", "held back", "Limits", "failures.jpg"):
        assert due.lower() in card.lower()
    assert (folder / "failures.jpg").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_vessel_model_loads_with_its_golden_image_and_says_vessel_alone(name: str) -> None:
    detector = load_detector(name)
    assert detector.labels == ("vessel",)
    batch = detector.detect(np.full((360, 640, 3), 90, dtype=np.uint8))
    assert len(batch) == 0


@pytest.mark.real_data
@pytest.mark.slow
def test_it_finds_boats_from_above_in_images_that_were_held_back(real_data: Path) -> None:
    held = read_set(real_data / "imagery", "ships")[1][:16]
    detector = load_detector("vessel-nadir", threshold=0.05)

    def look(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        batch = detector.detect(image)
        return batch.box_px.astype(np.float64) + 0.5, batch.score.astype(np.float64)

    assert recall_at(match(judge(held, look), 0.5, 24.0), 1.0) >= 0.85
