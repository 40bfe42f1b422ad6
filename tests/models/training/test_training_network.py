"""Training: a graph in torch answers as in ONNX, runs resume, exported files answer as what was trained."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs the extra `models`")
pytest.importorskip("onnx")

import onnx
import torch

from models.training.assign import assign, losses, pairwise_iou
from models.training.augment import View
from models.training.errors import TrainingError
from models.training.export import export, slim
from models.training.graph import GraphNetwork, final_splits
from models.training.look import OnnxLooker, TorchLooker
from models.training.mix import Mix, Source
from models.training.network import BINS, VesselNetwork, anchor_points, boxes_from_sides
from models.training.run import LOG, Run, Settings, averaged_weights, rate_at
from models.training.sample import Sample

OLD_CLASSES = 3


def _node(kind: str, reads: list[str], write: str | list[str], **attributes: object) -> object:
    return onnx.helper.make_node(kind, reads, [write] if isinstance(write, str) else write, **attributes)


def small_detector(path: Path) -> Path:
    """A GFL detector of a few layers: four grids, hardswish in four steps, a frozen channel shuffle."""
    rng = np.random.default_rng(1)
    weights = {
        "three": np.float32(3), "six": np.float32(6), "zero": np.float32(0),
        "s5": np.array([1, 2, 4, 8, 8]), "s4": np.array([1, 8, 8, 8]),
    }  # fmt: skip
    nodes, below, channels = [], "image", 3
    for at in range(6):
        weights[f"w{at}"] = rng.normal(0, 0.3, (8, channels, 3, 3)).astype(np.float32)
        weights[f"b{at}"] = np.zeros(8, np.float32)
        nodes.append(
            _node(
                "Conv",
                [below, f"w{at}", f"b{at}"],
                f"c{at}",
                strides=[2, 2],
                pads=[1] * 4,
                kernel_shape=[3, 3],
            )
        )
        nodes += [
            _node("Add", [f"c{at}", "three"], f"a{at}"),
            _node("Clip", [f"a{at}", "zero", "six"], f"l{at}"),
            _node("Mul", [f"c{at}", f"l{at}"], f"m{at}"),
            _node("Div", [f"m{at}", "six"], f"f{at}"),
        ]
        below, channels = f"f{at}", 8
        if at >= 2:
            weights[f"h{at}"] = rng.normal(0, 0.3, (OLD_CLASSES + 4 * BINS, 8, 1, 1)).astype(np.float32)
            weights[f"hb{at}"] = rng.normal(0, 0.3, OLD_CLASSES + 4 * BINS).astype(np.float32)
            feature = below
            if at == 2:
                nodes += [
                    _node("Reshape", [below, "s5"], "r5"),
                    _node("Transpose", ["r5"], "t5", perm=[0, 2, 1, 3, 4]),
                    _node("Reshape", ["t5", "s4"], "shuffled"),
                ]
                feature = "shuffled"
            nodes.append(
                _node(
                    "Conv",
                    [feature, f"h{at}", f"hb{at}"],
                    f"o{at}",
                    strides=[1, 1],
                    pads=[0] * 4,
                    kernel_shape=[1, 1],
                )
            )
            nodes.append(
                _node("Split", [f"o{at}"], [f"k{at}", f"d{at}"], axis=1, split=[OLD_CLASSES, 4 * BINS])
            )
    kinds = [onnx.helper.make_tensor_value_info("image", 1, [1, 3, 64, 64])]
    outputs = [
        onnx.helper.make_tensor_value_info(f"{name}{at}", 1, None) for at in range(2, 6) for name in "kd"
    ]
    initial = [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()]
    graph = onnx.helper.make_graph(nodes, "small", kinds, outputs, initial)
    onnx.save(
        onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 11)], ir_version=8),
        str(path),
    )
    return path


@pytest.fixture
def network(tmp_path: Path) -> VesselNetwork:
    return VesselNetwork(small_detector(tmp_path / "start.onnx"), ["vessel"], [[1]])


def test_a_graph_answers_in_torch_as_in_onnx(tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    path = small_detector(tmp_path / "start.onnx")
    heads = final_splits(path)
    assert [sizes for _, sizes in heads] == [(OLD_CLASSES, 4 * BINS)] * 4
    graph = GraphNetwork(path, [name for name, _ in heads])
    image = np.random.default_rng(2).normal(size=(1, 3, 64, 64)).astype(np.float32)
    due = runtime.InferenceSession(str(path)).run(None, {"image": image})
    with torch.no_grad():
        found = graph(torch.from_numpy(image))
    for at, (name, _) in enumerate(heads):
        joined = np.concatenate([due[2 * at], due[2 * at + 1]], axis=1)
        assert np.abs(found[name].numpy() - joined).max() < 1e-4
    assert graph(torch.zeros(2, 3, 128, 192))[heads[0][0]].shape[2:] == (16, 24)


def test_a_network_without_gfl_heads_is_refused(tmp_path: Path) -> None:
    node = _node("Relu", ["image"], "out")
    kinds = [onnx.helper.make_tensor_value_info(name, 1, [1, 3, 8, 8]) for name in ("image", "out")]
    graph = onnx.helper.make_graph([node], "none", kinds[:1], kinds[1:])
    onnx.save(onnx.helper.make_model(graph), str(tmp_path / "none.onnx"))
    with pytest.raises(TrainingError, match="0 heads"):
        VesselNetwork(tmp_path / "none.onnx", ["vessel"], [[0]])


def test_sides_become_boxes_round_their_anchor() -> None:
    centres, strides = anchor_points((128, 64))
    assert len(centres) == 16 * 8 + 8 * 4 + 4 * 2 + 2
    sides = torch.full((len(centres), 4, BINS), -50.0)
    sides[:, :, 2] = 50.0
    boxes = boxes_from_sides(sides.flatten(1), centres, strides)
    assert torch.allclose(boxes[0], torch.tensor([4.0 - 16, 4.0 - 16, 4.0 + 16, 4.0 + 16]))


def test_anchors_that_answer_lie_in_or_near_their_box_and_serve_one_box_each() -> None:
    centres, strides = anchor_points((256, 256))
    boxes = torch.tensor([[40.0, 40, 80, 70], [60.0, 50, 100, 90], [200.0, 200, 206, 206]])
    found = torch.cat([centres - 1.5 * strides[:, None], centres + 1.5 * strides[:, None]], 1)
    rows, owner, iou = assign(
        torch.zeros(len(centres), 1), found, centres, strides, boxes, torch.zeros(3, dtype=torch.long)
    )
    assert len(rows) == len(set(rows.tolist()))
    assert set(owner.tolist()) == {0, 1, 2}
    assert torch.allclose(iou, pairwise_iou(found[rows], boxes)[torch.arange(len(rows)), owner])


def test_ignored_boxes_teach_nothing() -> None:
    centres, strides = anchor_points((128, 128))
    logits = torch.full((1, len(centres), 1), -9.0)
    sides = torch.zeros(1, len(centres), 4 * BINS)
    inside = ((centres > 20) & (centres < 60)).all(1)
    logits[0, inside] = 5.0
    box = torch.tensor([[20.0, 20, 60, 60]])
    taught = losses(logits, sides, centres, strides, [(torch.zeros(0, 4), torch.zeros(0, dtype=torch.long))])
    ignored = losses(logits, sides, centres, strides, [(box, torch.tensor([-1]))])
    assert float(taught.score) > 10
    assert float(ignored.score) < 0.01


def test_the_rate_climbs_stays_and_falls() -> None:
    settings = Settings(steps=100, warm_up=10, cool_down=0.5)
    rates = [rate_at(step, settings) for step in range(100)]
    assert rates[0] < rates[5] < rates[10] == rates[49] > rates[60] > rates[99] > 0


def _mix(folder: Path) -> Mix:
    image = np.full((96, 96, 3), 60, np.uint8)
    image[40:56, 30:62] = 240
    cv2.imwrite(str(folder / "boat.png"), image)
    sample = Sample(
        path=folder / "boat.png", boxes=np.array([[30, 40, 62, 56]], np.float32), classes=np.array([0])
    )
    view = View(long_side_px=(64, 128))
    return Mix([Source(name="boat", samples=[sample], share=1.0, view=view)], 3)


def _settings(steps: int) -> Settings:
    return Settings(steps=steps, batch=2, sizes_px=(64,), warm_up=2, checkpoint_every=2)


def test_a_resumed_run_ends_as_one_that_was_never_stopped(tmp_path: Path) -> None:
    start, ends = small_detector(tmp_path / "start.onnx"), []
    for name, parts in (("whole", [4]), ("parts", [2, 4])):
        for stop_at in parts:
            torch.manual_seed(1)
            run = Run(VesselNetwork(start, ["vessel"], [[1]]), _mix(tmp_path), _settings(4), tmp_path / name)
            assert run.resume() == (stop_at == 4 and name == "parts")
            run.train(lambda row: None, lambda run=run, stop_at=stop_at: run.step >= stop_at)
        ends.append(averaged_weights(tmp_path / name))
    assert all(torch.allclose(ends[0][key], ends[1][key], atol=1e-6) for key in ends[0])
    rows = [json.loads(line) for line in (tmp_path / "parts" / LOG).read_text().splitlines()]
    assert [row["event"] for row in rows] == ["start", "step", "start", "step"]


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    (tmp_path / "checkpoint.pt").write_bytes(b"nothing of ours")
    with pytest.raises(TrainingError, match="no checkpoint"):
        averaged_weights(tmp_path)


def test_what_is_exported_finds_what_the_trained_network_finds(
    tmp_path: Path, network: VesselNetwork
) -> None:
    pytest.importorskip("onnxruntime")
    report = export(network, (128, 64), tmp_path / "out.onnx", {"license": "x"})
    assert report["nodes"] <= report["nodes_before"]
    image = np.asarray(np.random.default_rng(4).integers(0, 255, (50, 90, 3)), dtype=np.uint8)
    boxes, scores = TorchLooker(network, (128, 64), 0.3)(image)
    again, scores_again = OnnxLooker(tmp_path / "out.onnx", 0.3)(image)
    assert len(boxes) == len(again) > 0
    assert np.abs(boxes - again).max() < 1e-2
    assert np.abs(scores - scores_again).max() < 1e-4
    written = {p.key: p.value for p in onnx.load(str(tmp_path / "out.onnx")).metadata_props}
    assert written["names"] == "{0: 'vessel'}"
    assert written["license"] == "x"


def test_an_input_that_the_grids_do_not_divide_is_refused(tmp_path: Path, network: VesselNetwork) -> None:
    with pytest.raises(TrainingError, match="multiples of 64"):
        export(network, (100, 64), tmp_path / "out.onnx", {})


def test_slimming_takes_out_what_nothing_reads(tmp_path: Path) -> None:
    kinds = [onnx.helper.make_tensor_value_info(name, 1, [4]) for name in ("x", "y")]
    nodes = [_node("Identity", ["x"], "same"), _node("Relu", ["same"], "y")]
    unread = onnx.numpy_helper.from_array(np.zeros(9, np.float32), "unread")
    model = onnx.helper.make_model(onnx.helper.make_graph(nodes, "g", kinds[:1], kinds[1:], [unread]))
    slim(model)
    assert [node.op_type for node in model.graph.node] == ["Relu"]
    assert not model.graph.initializer
