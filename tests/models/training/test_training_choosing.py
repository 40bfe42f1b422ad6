"""After training: temperatures, thresholds, learning curves, eight bits."""

import json
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

from models.evaluation.calibration import fit_temperature as fitted_by_evaluation
from models.training.choosing.curve import learning_curve, read_curve
from models.training.choosing.eight_bit import quantise
from models.training.choosing.temperature import (
    calibration_error,
    fit_temperature,
    scores_and_hits,
    with_temperature,
)
from models.training.choosing.threshold import choose, operating_points
from models.training.errors import TrainingError
from models.training.judge import Looker
from models.training.sample import Sample
from models.training.score import Judged


def _judged(found: list[list[float]], score: list[float], truth: list[list[float]]) -> Judged:
    return Judged(
        found=np.array(found, dtype=float).reshape(-1, 4),
        score=np.array(score),
        truth=np.array(truth, dtype=float).reshape(-1, 4),
        ignored=np.zeros(len(truth), dtype=bool),
    )


def test_a_temperature_is_found_again_and_mends_the_scores() -> None:
    rng = np.random.default_rng(1)
    chance = rng.uniform(0.02, 0.98, 4000)
    hit = rng.random(4000) < chance
    said = with_temperature(chance, 0.4)
    temperature = fit_temperature(said, hit)
    assert temperature == pytest.approx(1 / 0.4, rel=0.1)
    assert temperature == pytest.approx(fitted_by_evaluation(said, hit), rel=1e-3)
    assert calibration_error(with_temperature(said, temperature), hit) < 0.03 < calibration_error(said, hit)


def test_with_hardly_any_hits_no_temperature_is_fitted() -> None:
    one = _judged([[0, 0, 10, 10], [30, 30, 40, 40]], [0.9, 0.4], [[0, 0, 10, 10]])
    score, hit = scores_and_hits([one])
    assert hit.tolist() == [True, False]
    assert fit_temperature(score, hit) is None


def test_the_threshold_keeps_land_quiet_first_and_is_the_best_of_what_is_left() -> None:
    boat, wrong = [0.0, 0, 10, 10], [30.0, 30, 40, 40]
    judged = [_judged([boat, wrong], [score, 0.2], [boat]) for score in (0.9, 0.8, 0.7, 0.3)]
    land = [np.array([0.25, 0.55]), np.zeros(0)]
    points = operating_points(judged, land)
    free, strict = choose(points, 1.0), choose(points, 0.0)
    assert (free.threshold, free.recall, free.precision) == (0.21, 1.0, 1.0)
    assert strict.threshold == 0.56
    assert (strict.recall, strict.false_per_land_image) == (0.75, 0.0)
    assert choose(operating_points(judged, [np.full(9, 0.99)]), 0.0).threshold == 0.95


def test_a_learning_curve_has_a_row_for_each_checkpoint_and_is_read_again(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((60, 80, 3), np.uint8))
    boat = np.array([[1, 1, 40, 30]], np.float32)
    sample = Sample(path=tmp_path / "a.png", boxes=boat, classes=np.array([0]))

    def look_of(folder: Path | None) -> Looker:
        found = boat.astype(float) if folder else np.array([[50.0, 40, 60, 50]])
        return lambda image: (found, np.array([0.5]))

    rows = learning_curve([(0, None), (700, tmp_path)], [sample], look_of)
    assert [row["ap50"] for row in rows] == [0.0, 1.0]
    (tmp_path / "curve.json").write_text(json.dumps(rows))
    assert read_curve(tmp_path / "curve.json") == rows
    (tmp_path / "curve.json").write_text('[{"crops": 1}]')
    with pytest.raises(TrainingError, match="no learning curve"):
        read_curve(tmp_path / "curve.json")


def test_a_file_goes_to_eight_bits_and_still_says_nearly_the_same(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    weight = numpy_helper.from_array(rng.normal(0, 0.2, (8, 3, 3, 3)).astype(np.float32), "w")
    nodes = [
        helper.make_node("Transpose", ["images"], ["t"], name="t", perm=[0, 3, 1, 2]),
        helper.make_node("Cast", ["t"], ["f"], name="f", to=onnx.TensorProto.FLOAT),
        helper.make_node("Conv", ["f", "w"], ["c"], name="c", pads=[1] * 4, kernel_shape=[3, 3]),
        helper.make_node("Sigmoid", ["c"], ["output0"], name="s"),
    ]
    graph = helper.make_graph(
        nodes, "small",
        [helper.make_tensor_value_info("images", onnx.TensorProto.UINT8, [1, 32, 64, 3])],
        [helper.make_tensor_value_info("output0", onnx.TensorProto.FLOAT, [1, 8, 32, 64])],
        [weight],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(tmp_path / "a.onnx"))
    samples = []
    for number in range(3):
        path = tmp_path / f"{number}.png"
        cv2.imwrite(str(path), rng.integers(0, 255, (32, 64, 3), dtype=np.uint8))
        samples.append(Sample(path=path))
    report = quantise(tmp_path / "a.onnx", tmp_path / "b.onnx", samples)
    assert report["bytes"] == (tmp_path / "b.onnx").stat().st_size
    image = {"images": cv2.imread(str(samples[0].path))[None]}
    before, after = (
        onnxruntime.InferenceSession(str(tmp_path / name), providers=["CPUExecutionProvider"]).run(
            None, image
        )[0]
        for name in ("a.onnx", "b.onnx")
    )
    assert 0 < np.abs(before - after).mean() < 0.02
