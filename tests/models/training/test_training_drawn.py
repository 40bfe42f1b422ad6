"""Drawn worlds, overhead images seen aslant, boxes that a person added, crops round false alarms."""

import json
import tomllib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.training.augment import View, draw_crop, tilted
from models.training.errors import TrainingError
from models.training.mix import Mix, Source
from models.training.rendered.aslant import write_aslant
from models.training.rendered.thermal import as_thermal, disturb_thermal, write_as_thermal
from models.training.rendered.worlds import PLATFORM, world
from models.training.sample import IGNORED, Sample
from models.training.vessels import SEEN, with_seen
from sim.scenario.description import load_scenario


@pytest.mark.parametrize("seed", range(12))
def test_a_drawn_world_is_a_scenario_that_the_simulator_takes(seed: int, tmp_path: Path) -> None:
    (tmp_path / "world.toml").write_text(world(seed))
    scenario = load_scenario(tmp_path / "world.toml")
    assert scenario.platform(PLATFORM).camera.width_px == 960
    assert (len(scenario.vessels) == 0) == (seed % 8 == 7)


def test_a_drawn_world_can_be_seen_by_a_thermal_camera(tmp_path: Path) -> None:
    (tmp_path / "world.toml").write_text(world(5, is_thermal=True))
    camera = load_scenario(tmp_path / "world.toml").platform(PLATFORM).camera
    assert (camera.kind, camera.width_px, camera.height_px) == ("thermal", 640, 512)


def test_the_same_seed_draws_the_same_world_and_another_seed_another() -> None:
    assert world(3) == world(3)
    assert world(3) != world(6)
    assert tomllib.loads(world(3))["name"] == "drawn-3"


@given(st.integers(0, 2**32))
def test_an_image_seen_aslant_keeps_a_boat_inside_its_box(seed: int) -> None:
    image = np.full((240, 300, 3), 40, dtype=np.uint8)
    cv2.ellipse(image, (160, 120), (40, 12), 0, 0, 360, (250, 250, 250), -1)
    box, kind = np.array([[119.5, 107.5, 201.5, 133.5]], np.float32), np.array([0])
    seen, boxes, classes = tilted(image, box, kind, (25.0, 72.0), np.random.default_rng(seed))
    assert seen.shape[1] == 300
    assert seen.shape[0] < 260
    bright = np.argwhere(seen[:, :, 0] > 150)
    if not len(bright) or not len(boxes) or classes[0] == IGNORED:
        return
    low, high = bright.min(axis=0)[::-1], bright.max(axis=0)[::-1] + 1
    assert (np.abs(boxes[0, :2] - low) < 8).all()
    assert (np.abs(boxes[0, 2:] - high) < 8).all()


def test_crops_are_drawn_around_a_lure_where_there_is_one() -> None:
    image = np.zeros((400, 400, 3), dtype=np.uint8)
    image[300:320, 300:320] = 255
    view = View(long_side_px=(400, 401), near_object=1.0)
    lure = np.array([[300, 300, 320, 320]], np.float32)
    boat = np.array([[5, 5, 20, 20]], np.float32)
    for seed in range(8):
        rng = np.random.default_rng(seed)
        crop, _, classes = draw_crop(image, boat, np.array([0]), 128, view, rng, lure)
        assert crop.max() > 200
        assert not (classes == 0).any()


def test_boxes_that_a_person_saw_are_added_to_what_a_label_file_says(tmp_path: Path) -> None:
    (tmp_path / "seen.json").write_text(
        json.dumps({"set": {"a.png": {"vessel": [[1, 2, 9, 9]], "ignored": [[20, 20, 30, 30]]}}})
    )
    known = Sample(
        path=tmp_path / "a.png", boxes=np.array([[40, 40, 50, 50]], np.float32), classes=np.array([0])
    )
    other = Sample(path=tmp_path / "b.png")
    first, second = with_seen([known, other], "set", tmp_path / "seen.json")
    assert first.boxes.tolist() == [[40, 40, 50, 50], [1, 2, 9, 9], [20, 20, 30, 30]]
    assert first.classes.tolist() == [0, 0, IGNORED]
    assert second is other


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"set": []}', '{"set": {"a.png": {"vessel": [[1]], "ignored": []}}}']
)
def test_a_broken_list_of_added_boxes_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "seen.json").write_text(text)
    with pytest.raises(TrainingError, match="holds no boxes for set"):
        with_seen([], "set", tmp_path / "seen.json")


def test_the_list_of_added_boxes_is_whole() -> None:
    rows = json.loads(SEEN.read_text(encoding="utf-8"))
    assert sorted(rows) == ["drone_extra", "ships"]
    boxes = [
        box for files in rows.values() for told in files.values() for kind in told.values() for box in kind
    ]
    assert all(x0 < x1 and y0 < y1 for x0, y0, x1, y1 in boxes)


@given(st.integers(0, 2**32))
def test_a_day_picture_shown_as_thermal_is_grey_and_the_boat_stands_out(seed: int) -> None:
    image = np.full((120, 160, 3), (90, 70, 40), dtype=np.uint8)
    cv2.ellipse(image, (80, 60), (30, 9), 20, 0, 360, (220, 225, 230), -1)
    rng = np.random.default_rng(seed)
    box = np.array([[50, 45, 111, 76]], np.float32)
    grey = as_thermal(image, box, np.array([0]), rng)
    assert grey.dtype == np.uint8
    assert (grey == grey[:, :, :1]).all()
    plain = as_thermal(image, box, np.array([IGNORED]), np.random.default_rng(seed))
    assert (grey[:40] == plain[:40]).all()
    assert (grey != plain).any()
    shown = disturb_thermal(grey, rng)
    assert shown.shape == image.shape
    assert (shown == shown[:, :, :1]).all()


def test_a_set_shown_as_thermal_is_the_same_every_time(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.jpg"), np.full((40, 60, 3), 99, np.uint8))
    sample = Sample(
        path=tmp_path / "a.jpg", boxes=np.array([[9, 9, 20, 20]], np.float32), classes=np.array([0])
    )
    (one,) = write_as_thermal([sample], tmp_path / "one")
    (two,) = write_as_thermal([sample], tmp_path / "two")
    assert one.path.read_bytes() == two.path.read_bytes()
    assert one.boxes is sample.boxes


def test_a_source_may_change_its_crops_and_the_mix_ends_with_its_air(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.full((64, 64, 3), 99, np.uint8))
    source = Source(
        name="a", samples=[Sample(path=tmp_path / "a.png")], share=1.0, view=View(long_side_px=(400, 401)),
        change=lambda image, boxes, classes, rng: np.zeros_like(image),
    )  # fmt: skip
    images, _ = Mix([source], 1, air=lambda image, rng: image + np.uint8(7)).batch(0, 64, 2, 0.0)
    assert [int(image.min()) for image in images] == [7, 7]


def test_a_set_seen_aslant_holds_the_images_that_hold_something(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.jpg"), np.full((80, 120, 3), 99, np.uint8))
    boat = Sample(
        path=tmp_path / "a.jpg", boxes=np.array([[50, 30, 70, 45]], np.float32), classes=np.array([0])
    )
    (one,) = write_aslant([boat, Sample(path=tmp_path / "a.jpg")], tmp_path / "made")
    height, width = cv2.imread(str(one.path)).shape[:2]
    assert (width, height < 84) == (120, True)
    assert (one.boxes >= 0).all()
    assert (one.boxes <= [width, height] * 2).all()
