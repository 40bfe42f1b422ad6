"""Scores: pycocotools is the referee; false alarms, hard negatives, the picture of failures."""

import contextlib
import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from models.training.errors import TrainingError
from models.training.judge import false_alarms, judge, place, suppress
from models.training.mine import around_alarms, mine, read_alarms, write_alarms
from models.training.sample import Sample
from models.training.score import Judged, average_precision, figures, match, recall_at, threshold_at_recall
from models.training.sheet import contact_sheet, worst_first, write_picture


def _random_images(count: int) -> list[Judged]:
    rng = np.random.default_rng(3)
    images = []
    for _ in range(count):
        number = int(rng.integers(0, 8))
        low = rng.random((number, 2)) * 300
        truth = np.concatenate([low, low + rng.uniform(5, 80, (number, 2))], axis=1)
        near = truth + rng.normal(0, 3, truth.shape)
        wrong = rng.random((int(rng.integers(0, 5)), 2)) * 300
        found = np.concatenate([near, np.concatenate([wrong, wrong + 20], axis=1)])
        found = found[(found[:, 2:] > found[:, :2] + 1).all(axis=1)]
        score = rng.permutation(len(found)) / 10 + rng.random(len(found)) / 100
        images.append(Judged(found=found, score=score, truth=truth, ignored=np.zeros(number, dtype=bool)))
    return images


def _coco_says(images: list[Judged]) -> Any:
    coco = pytest.importorskip("pycocotools.coco")
    evaluation = pytest.importorskip("pycocotools.cocoeval")
    truth, found = [], []
    for at, image in enumerate(images):
        for x0, y0, x1, y1 in image.truth.tolist():
            box = {"bbox": [x0, y0, x1 - x0, y1 - y0], "area": (x1 - x0) * (y1 - y0), "iscrowd": 0}
            truth.append({"id": len(truth) + 1, "image_id": at, "category_id": 1, **box})
        for (x0, y0, x1, y1), score in zip(image.found.tolist(), image.score.tolist(), strict=True):
            found.append(
                {"image_id": at, "category_id": 1, "bbox": [x0, y0, x1 - x0, y1 - y0], "score": score}
            )
    with contextlib.redirect_stdout(io.StringIO()):
        data = coco.COCO()
        categories = [{"id": 1, "name": "vessel"}]
        data.dataset = {"images": [{"id": at} for at in range(len(images))], "annotations": truth}
        data.dataset["categories"] = categories
        data.createIndex()
        judged = evaluation.COCOeval(data, data.loadRes(found), "bbox")
        judged.evaluate()
        judged.accumulate()
        judged.summarize()
    return judged.stats


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_average_precision_is_what_pycocotools_says() -> None:
    images = _random_images(40)
    ours = figures(images, draws=5)
    stats = _coco_says(images)
    assert ours["ap50_95"][0] == pytest.approx(stats[0], abs=2e-3)
    assert ours["ap50"][0] == pytest.approx(stats[1], abs=2e-3)


def _one(
    found: list[list[float]], score: list[float], truth: list[list[float]], ignored: list[bool]
) -> Judged:
    return Judged(
        found=np.array(found, dtype=float).reshape(-1, 4),
        score=np.array(score),
        truth=np.array(truth, dtype=float).reshape(-1, 4),
        ignored=np.array(ignored, dtype=bool),
    )


def test_a_box_on_ignored_truth_neither_helps_nor_harms() -> None:
    image = _one(
        [[0, 0, 10, 10], [50, 50, 60, 60]], [0.9, 0.8], [[0, 0, 10, 10], [50, 50, 60, 60]], [True, False]
    )
    matches = match([image], 0.5)
    assert matches.counts.tolist() == [1]
    assert matches.hits[0].tolist() == [True]
    assert average_precision(matches) == 1.0


def test_small_truth_and_small_boxes_do_not_count_in_the_figures_for_large_ones() -> None:
    image = _one(
        [[0, 0, 40, 9], [60, 60, 66, 66]], [0.5, 0.9], [[0, 0, 40, 9], [80, 80, 86, 86]], [False, False]
    )
    assert average_precision(match([image], 0.5, 24.0)) == 1.0
    assert recall_at(match([image], 0.5), 1.0) == 0.5


def test_a_threshold_lets_through_the_recall_it_was_chosen_for() -> None:
    matches = match(_random_images(40), 0.5)
    limit = threshold_at_recall(matches, 0.3)
    hits = sum(
        int(hit[score >= limit].sum()) for hit, score in zip(matches.hits, matches.scores, strict=True)
    )
    assert hits / matches.counts.sum() >= 0.3


def test_an_image_is_placed_at_the_upper_left_and_doubles_are_suppressed() -> None:
    canvas, scale = place(np.zeros((50, 100, 3), np.uint8), (200, 200))
    assert scale == (2.0, 2.0)
    assert canvas[99, 199].tolist() == [0, 0, 0]
    assert canvas[100, 0].tolist() == [114, 114, 114]
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [30, 30, 40, 40]], dtype=float)
    assert suppress(boxes, np.array([0.5, 0.9, 0.3]), 0.6) == [1, 2]


def test_false_alarms_are_counted_mined_kept_and_drawn_again(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((60, 80, 3), np.uint8))
    sample = Sample(
        path=tmp_path / "a.png", boxes=np.array([[0, 0, 9, 9]], np.float32), classes=np.array([0])
    )

    def look(image: Any) -> tuple[Any, Any]:
        return np.array([[0.0, 0, 9, 9], [30, 30, 40, 40], [50, 20, 55, 30]]), np.array([0.9, 0.8, 0.1])

    assert false_alarms([sample], look, [0.5, 0.05]) == [2.0, 3.0]
    alarms = mine([sample], look, 0.3)
    assert [alarm.box for alarm in alarms] == [(30, 30, 40, 40)]
    write_alarms(alarms, tmp_path / "alarms.jsonl")
    assert read_alarms(tmp_path / "alarms.jsonl") == alarms
    again = around_alarms([sample], alarms)
    assert [(one.path, one.lures.tolist()) for one in again] == [(sample.path, [[30, 30, 40, 40]])]
    judged = judge([sample], look)
    assert worst_first(judged, 0.3) == [0]
    write_picture(tmp_path / "sheet.jpg", contact_sheet([sample], judged, 0.3, columns=2))
    assert cv2.imread(str(tmp_path / "sheet.jpg")).shape == (320, 640, 3)


@pytest.mark.parametrize("text", ["{", "[]", '{"path": "a"}', '{"path": "a", "box": [1], "score": 0}'])
def test_what_is_no_list_of_false_alarms_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.jsonl").write_text(text + "\n")
    with pytest.raises(TrainingError, match="no list of false alarms"):
        read_alarms(tmp_path / "x.jsonl")
