"""Training of maps: runs resume as if never stopped, losses fall, the file answers as what was trained."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs the extra `models`")
pytest.importorskip("onnx")

import onnx
import torch

from models.training.errors import TrainingError
from models.training.parcels.crops import FieldMix, FieldSource
from models.training.parcels.export import FlyingMaps, export_maps
from models.training.parcels.fields import FieldSample
from models.training.parcels.loss import map_losses
from models.training.parcels.network import ParcelNetwork
from models.training.parcels.run import AreaRun, AreaSettings
from models.training.run import LOG, averaged_weights

BACKBONE = (("r0", 4), ("r1", 4), ("r2", 4), ("r3", 4), ("r4", 4))
RING = np.array([[20.0, 20.0], [80.0, 20.0], [80.0, 80.0], [20.0, 80.0]], dtype=np.float32)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Small tensors: a second thread only waits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def small_backbone(path: Path) -> Path:
    """Five layers that halve the image each time."""
    rng = np.random.default_rng(1)
    nodes, weights, below, channels = [], [], "image", 3
    for at in range(5):
        for name, value in (
            (f"w{at}", rng.normal(0, 0.4, (4, channels, 3, 3)).astype(np.float32)),
            (f"b{at}", np.zeros(4, np.float32)),
        ):
            weights.append(onnx.numpy_helper.from_array(value, name))
        nodes.append(onnx.helper.make_node(
            "Conv", [below, f"w{at}", f"b{at}"], [f"c{at}"], strides=[2, 2], pads=[1] * 4, kernel_shape=[3, 3]
        ))  # fmt: skip
        nodes.append(onnx.helper.make_node("Relu", [f"c{at}"], [f"r{at}"]))
        below, channels = f"r{at}", 4
    given = onnx.helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, [1, 3, 64, 64])
    made = onnx.helper.make_tensor_value_info("r4", onnx.TensorProto.FLOAT, None)
    graph = onnx.helper.make_graph(nodes, "small", [given], [made], weights)
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)]), str(path))
    return path


def network(folder: Path) -> ParcelNetwork:
    torch.manual_seed(1)
    return ParcelNetwork(small_backbone(folder / "start.onnx"), BACKBONE, (4, 6, 8, 8, 8))


def mix(folder: Path) -> FieldMix:
    image = np.full((100, 100, 3), (60, 110, 80), dtype=np.uint8)
    image[20:80, 20:80] = (40, 200, 220)
    assert cv2.imwrite(str(folder / "one.png"), image)
    sample = FieldSample(path=folder / "one.png", rings=(RING,), site="one")
    return FieldMix([FieldSource(name="fields", samples=[sample], share=1.0, scale=(0.9, 1.1))], 1)


def plain(steps: int) -> AreaSettings:
    return AreaSettings(steps=steps, batch=2, sizes_px=(64,), warm_up=2, checkpoint_every=3)


def test_a_run_that_was_stopped_ends_as_one_that_never_was(tmp_path: Path) -> None:
    whole = AreaRun(network(tmp_path), mix(tmp_path), plain(6), tmp_path / "whole")
    whole.train(lambda row: None, lambda: False)
    first = AreaRun(network(tmp_path), mix(tmp_path), plain(6), tmp_path / "parts")
    first.train(lambda row: None, lambda: first.step >= 3)
    second = AreaRun(network(tmp_path), mix(tmp_path), plain(6), tmp_path / "parts")
    assert second.resume()
    second.train(lambda row: None, lambda: False)
    a, b = averaged_weights(tmp_path / "whole"), averaged_weights(tmp_path / "parts")
    assert all(torch.equal(a[name], b[name]) for name in a)
    rows = [json.loads(line) for line in (tmp_path / "parts" / LOG).read_text().splitlines()]
    assert [row["event"] for row in rows].count("start") == 2
    assert {"interior", "boundary", "distance", "total"} <= set(rows[1])


def test_learning_makes_the_loss_smaller(tmp_path: Path) -> None:
    totals: list[float] = []
    run = AreaRun(network(tmp_path), mix(tmp_path), replace(plain(45), rate=3e-3), tmp_path / "run")
    run.train(lambda row: totals.append(row["total"]), lambda: False)
    assert np.mean(totals[-3:]) < 0.93 * np.mean(totals[:3])


def test_the_right_maps_have_hardly_any_loss_and_unknown_pixels_none() -> None:
    truth = torch.zeros((1, 4, 32, 32))
    truth[0, 0, 8:24, 8:24] = 1.0
    truth[0, 1, 8:24, 8:10] = 1.0
    truth[0, 2] = truth[0, 0]
    truth[0, 3] = 1.0
    right = (truth[:, :3] - 0.5) * 40.0
    assert float(map_losses(right, truth).total) < 0.05
    wrong = right.clone()
    wrong[:, :, :, 16:] *= -1.0
    assert float(map_losses(wrong, truth).total) > 1.0
    truth[..., 16:] = 0.0
    assert float(map_losses(wrong, truth).total) < 0.05


def test_the_file_answers_as_the_network_at_any_size(tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    made = network(tmp_path).eval()
    path = tmp_path / "model.onnx"
    report = export_maps(made, path, {"license": "none"})
    assert report["bytes"] < 100_000
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for height, width in ((64, 96), (160, 32)):
        image = np.random.default_rng(1).integers(0, 255, (1, height, width, 3)).astype(np.uint8)
        (maps,) = session.run(None, {"images": image})
        with torch.no_grad():
            due = FlyingMaps(made)(torch.from_numpy(image)).numpy()
        assert maps.shape == (1, 3, height, width)
        assert np.abs(maps - due).max() < 1e-3
    papers = {entry.key: entry.value for entry in onnx.load(str(path)).metadata_props}
    assert papers["task"] == "segment"
    assert json.loads(papers["skywarden.decode"])["distance_px"] == 20.0


def test_a_size_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="multiples of 32"):
        network(tmp_path)(torch.zeros((1, 3, 40, 64)))
