"""Average precision as COCO's own program computes it, and figures of sets whose answer is known."""

import contextlib
import io
from pathlib import Path

import numpy as np
import pytest

from models.detection import make_batch
from models.evaluation.areas import AreaTally
from models.evaluation.calibration import calibration_figures, fit_temperature, reliability
from models.evaluation.dataset import Truth
from models.evaluation.figures import detection_figures, false_alarms
from models.evaluation.matching import IOUS, Found, Matched, average_precision, match_all


def made_set(seed: int, images: int = 12, labels: int = 2) -> tuple[list[Found], list[Truth]]:
    """Boxes, and detections near some of them, of all kinds: doubles, misses, crowds, equal scores."""
    random = np.random.default_rng(seed)
    found, truth = [], []
    for _ in range(images):
        count = int(random.integers(0, 9))
        corner = random.uniform(0, 300, (count, 2))
        box = np.concatenate([corner, corner + random.uniform(4, 80, (count, 2))], axis=1)
        label = random.integers(0, labels, count)
        crowd = random.random(count) < 0.1
        rings = tuple(() for _ in range(count))
        truth.append(Truth(box=box, label_index=label.astype(np.intp), is_ignored=crowd, rings=rings))
        near = np.repeat(box, 2, axis=0) + random.normal(0, 4, (2 * count, 4))
        near_label = np.repeat(label, 2)
        stray = random.uniform(0, 300, (4, 2))
        boxes = np.concatenate([near, np.concatenate([stray, stray + random.uniform(5, 60, (4, 2))], axis=1)])
        boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 1.0)
        labelled = np.concatenate([near_label, random.integers(0, labels, 4)]).astype(np.intp)
        score = np.round(random.random(len(boxes)), 2)
        found.append(Found(box=boxes, score=score, label_index=labelled))
    return found, truth


def referee(found: list[Found], truth: list[Truth], labels: int) -> list[float]:
    """The twelve numbers of pycocotools."""
    coco = pytest.importorskip("pycocotools.coco")
    judge = pytest.importorskip("pycocotools.cocoeval")
    annotations: list[dict[str, object]] = []
    results: list[dict[str, object]] = []
    for number, (seen, known) in enumerate(zip(found, truth, strict=True), 1):
        for box, label, crowd in zip(known.box, known.label_index, known.is_ignored, strict=True):
            x, y, x1, y1 = box.tolist()
            area = [x, y, x1 - x, y1 - y]
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": int(label) + 1,
                    "bbox": area,
                    "area": area[2] * area[3],
                    "iscrowd": int(crowd),
                }
            )
        for box, label, score in zip(seen.box, seen.label_index, seen.score, strict=True):
            x, y, x1, y1 = box.tolist()
            results.append(
                {
                    "image_id": number,
                    "category_id": int(label) + 1,
                    "bbox": [x, y, x1 - x, y1 - y],
                    "score": float(score),
                }
            )
    with contextlib.redirect_stdout(io.StringIO()):
        ground = coco.COCO()
        ground.dataset = {
            "images": [{"id": number} for number in range(1, len(found) + 1)],
            "categories": [{"id": number} for number in range(1, labels + 1)],
            "annotations": annotations,
        }
        ground.createIndex()
        evaluation = judge.COCOeval(ground, ground.loadRes(results), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return [float(value) for value in evaluation.stats]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_average_precision_is_what_pycocotools_says(seed: int) -> None:
    found, truth = made_set(seed)
    stats = referee(found, truth, 2)
    tree = detection_figures(found, truth, ("vessel", "buoy"), intervals=False)
    assert tree["ap50_95"] == pytest.approx(stats[0], abs=1e-4)
    assert tree["ap50"] == pytest.approx(stats[1], abs=1e-4)
    by_iou = [average_precision(match_all(found, truth, at, 0.75)) for at in (0, 1)]
    assert np.mean([one for one in by_iou if one is not None]) == pytest.approx(stats[2], abs=1e-6)
    assert len(IOUS) == 10


def two_images() -> tuple[list[Found], list[Truth]]:
    box = np.array([[10.0, 10.0, 20.0, 20.0], [50.0, 50.0, 90.0, 90.0]])
    truth = [
        Truth(box=box, label_index=np.zeros(2, dtype=np.intp), is_ignored=np.zeros(2, bool), rings=((), ())),
        Truth(
            box=np.zeros((0, 4)),
            label_index=np.zeros(0, dtype=np.intp),
            is_ignored=np.zeros(0, bool),
            rings=(),
        ),
    ]
    stray = np.array([[0.0, 0.0, 30.0, 30.0]])
    found = [
        Found(box=box, score=np.array([0.4, 0.9]), label_index=np.zeros(2, dtype=np.intp)),
        Found(
            box=np.concatenate([stray, stray + 40, stray + 80]),
            score=np.array([0.8, 0.7, 0.6]),
            label_index=np.zeros(3, dtype=np.intp),
        ),
    ]
    return found, truth


def test_recall_stops_where_false_alarms_pass_one_an_image() -> None:
    tree = detection_figures(*two_images(), ("vessel",))
    assert tree["recall_at_1fp"] == 0.5  # the small boat scores below the third stray box
    assert tree["by_size"]["over_24px"]["objects"] == 1
    assert tree["by_size"]["over_24px"]["recall_at_1fp"] == 1.0
    assert tree["by_size"]["12_to_24px"]["ap50"] is None
    assert tree["score_at_80_recall"] == 0.4
    low, high = tree["ap50_interval"]
    assert 0.0 <= low <= tree["ap50"] <= high <= 1.0


def test_false_alarms_are_counted_on_the_images_without_objects() -> None:
    found, truth = two_images()
    assert false_alarms(found, truth, {"per_image": 0.65, "none": None}) == {
        "images": 1,
        "per_image": 2.0,
        "none": None,
    }
    assert false_alarms(found[:1], truth[:1], {"per_image": 0.5}) is None


def test_a_set_without_objects_has_no_average_precision() -> None:
    found, truth = two_images()
    tree = detection_figures(found[1:], truth[1:], ("vessel",))
    assert tree["ap50"] is None
    assert tree["recall_at_1fp"] is None


def test_scores_that_claim_too_much_are_mended_by_a_temperature() -> None:
    random = np.random.default_rng(3)
    honest = random.uniform(0.05, 0.95, 4000)
    is_hit = random.random(4000) < honest
    odds = np.log(honest / (1 - honest)) * 2.5
    score = 1 / (1 + np.exp(-odds))
    assert fit_temperature(score, is_hit) == pytest.approx(2.5, rel=0.1)
    assert reliability(score, is_hit)[1] > 0.08
    paths = [Path(f"{number}.jpg") for number in range(200)]
    matched = Matched(
        score=score,
        is_hit=is_hit,
        is_ignored=np.zeros(4000, dtype=bool),
        image_index=np.arange(4000, dtype=np.intp) % 200,
        truth_by_image=np.full(200, 10, dtype=np.intp),
    )
    tree = calibration_figures(matched, paths)
    assert tree is not None
    assert tree["error_after"] < 0.04 < tree["error_before"]
    assert tree["fitted_on"] + tree["judged_on"] == 4000


def test_areas_that_are_right_score_one_and_shifted_ones_less() -> None:
    ring = np.array([[10.0, 10.0], [60.0, 10.0], [60.0, 50.0], [10.0, 50.0]])
    truth = Truth(
        box=np.array([[10.0, 10.0, 60.0, 50.0]]),
        label_index=np.zeros(1, dtype=np.intp),
        is_ignored=np.zeros(1, bool),
        rings=((ring,),),
    )

    def figures(shift: float) -> dict[str, float]:
        box = np.array([[9.5, 9.5, 59.5, 49.5]]) + np.array([shift, 0, shift, 0])
        batch = make_batch(box, np.array([0.9]), np.zeros(1, dtype=np.uint8), ("parcel",), (128, 128))
        tally = AreaTally()
        tally.add(batch, truth, (128, 128))
        return tally.figures()

    right = figures(0.0)
    assert right["field_iou"] == right["boundary_f1"] == right["instance_ap50"] == 1.0
    off = figures(10.0)
    assert off["field_iou"] == pytest.approx(40 / 60, abs=0.02)
    assert off["boundary_f1"] < 0.8
    assert figures(30.0)["instance_ap50"] == 0.0
