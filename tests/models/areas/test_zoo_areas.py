"""Parcel and plantation models of the zoo: small, with papers, and right on images that they never saw."""

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from models.catalogue import load_detector
from models.detection import PolygonShape
from models.evaluation.counts import count_figures
from models.evaluation.pictures import read_image
from models.evaluation.reading import read_dataset
from models.evaluation.run import evaluate, look_at
from models.training.parcels.fields import read_fields, split_fields, write_fields
from models.training.plants.palms import read_palms

ZOO = Path(__file__).resolve().parents[3] / "models" / "zoo"


@pytest.mark.parametrize("name", ["parcel", "plantation"])
def test_a_model_is_small_and_has_its_papers(name: str) -> None:
    folder = ZOO / name
    assert (folder / "model.onnx").stat().st_size <= 6 * 1024 * 1024
    card = (folder / "CARD.md").read_text(encoding="utf-8").lower()
    for due in ("licence", "picodet", "held back", "limits", "failures.jpg", "per pixel"):
        assert due in card
    assert "illicit" not in card
    assert (folder / "failures.jpg").stat().st_size < 1_000_000


@pytest.mark.slow
@pytest.mark.parametrize(("name", "label"), [("parcel", "parcel"), ("plantation", "plant")])
def test_it_loads_with_its_golden_image_and_finds_nothing_on_water(name: str, label: str) -> None:
    detector = load_detector(name)
    assert detector.labels == (label,)
    water = np.random.default_rng(1).normal((120, 90, 60), 6.0, (384, 512, 3)).clip(0, 255).astype(np.uint8)
    assert len(detector.detect(water)) <= 1


@pytest.mark.real_data
@pytest.mark.slow
def test_fields_that_were_held_back_are_outlined(real_data: Path, tmp_path: Path) -> None:
    held = split_fields(read_fields(real_data / "imagery" / "parcels-agoro-naip"))[1]
    write_fields(held[2::3], tmp_path)
    detector = load_detector("parcel")
    looked = look_at(detector, read_dataset(tmp_path))
    tree = evaluate(looked, task="segment", threshold=detector.description.threshold)
    assert tree["field_iou"] > 0.85
    assert tree["boundary_f1"] > 0.5
    assert tree["instance_ap50"] > 0.4
    assert all(isinstance(shape, PolygonShape) for batch in looked.batches for shape in batch.shapes)


@pytest.mark.real_data
@pytest.mark.slow
def test_a_field_across_tiles_is_the_field_of_the_whole_image(real_data: Path) -> None:
    held = split_fields(read_fields(real_data / "imagery" / "parcels-agoro-naip"))[1]
    image = read_image(held[4].path)[:512]
    detector = load_detector("parcel")
    whole = detector.infer(image).outputs[0]
    rules = detector.description.segment
    assert max(image.shape) <= rules.tile_px
    tiled = load_detector("parcel")
    rules = msgspec.structs.replace(rules, tile_px=512, overlap_px=256)
    tiled.description = msgspec.structs.replace(tiled.description, segment=rules)
    tiled.set_flips(1)
    maps = tiled.infer(image).outputs[0]
    assert maps.shape == whole.shape
    inside, apart = whole[0, 0] >= 0.5, maps[0, 0] >= 0.5
    assert (inside & apart).sum() / (inside | apart).sum() > 0.93
    step = np.abs(np.diff(maps[0, 0] - whole[0, 0], axis=1)).mean(axis=0)
    assert step.max() < 0.02


@pytest.mark.real_data
@pytest.mark.slow
def test_palms_that_were_held_back_are_counted(real_data: Path) -> None:
    folder = real_data / "imagery" / "plants-oilpalm"
    held = {sample.path.name for sample in read_palms(folder)[1][::4]}
    every = read_dataset(folder)
    detector = load_detector("plantation")
    few = replace(every, images=tuple(one for one in every.images if one.path.name in held))
    looked = look_at(detector, few, mapping=dict.fromkeys(every.labels, "plant"))
    tree = count_figures(looked.found, looked.truth, detector.description.threshold)
    assert tree["count_error"] < 0.12
