"""A detector made for eight bits is taught, keeps its answers when equalised, and flies as it was rounded."""

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs the extra `models`")
pytest.importorskip("onnx")

import onnx
import torch

from models.training.augment import View
from models.training.eight.compare import compare
from models.training.eight.distil import Distillation, taught_loss
from models.training.eight.grid import on_byte_grid, on_weight_grid, range_of
from models.training.eight.plain import PlainNetwork
from models.training.eight.told import read_compared
from models.training.eight.write import over_fours, write_eight
from models.training.errors import TrainingError
from models.training.export import Flying
from models.training.mix import Mix, Source
from models.training.network import BINS, VesselNetwork
from models.training.run import LOG, Settings
from models.training.sample import Sample


def _gated_detector(path: Path) -> Path:
    """A GFL detector with all that is rewritten: hard swish, gate, depthwise layers, shuffle, split, join."""
    rng = np.random.default_rng(4)
    weights: dict[str, np.ndarray] = {"s5": np.array([1, 2, 4, 32, 32]), "s4": np.array([1, 8, 32, 32])}
    nodes: list[object] = []

    def node(kind: str, reads: list[str], *writes: str, **attributes: object) -> str:
        nodes.append(onnx.helper.make_node(kind, reads, list(writes), **attributes))
        return writes[0]

    def conv(
        below: str, name: str, out: int, inside: int, size: int = 1, stride: int = 1, group: int = 1
    ) -> str:
        weights[f"w{name}"] = rng.normal(0, 0.5, (out, inside, size, size)).astype(np.float32)
        weights[f"b{name}"] = rng.normal(0, 0.2, out).astype(np.float32)
        reads = [below, f"w{name}", f"b{name}"]
        return node("Conv", reads, f"c{name}", strides=[stride] * 2, pads=[size // 2] * 4,
                    kernel_shape=[size] * 2, group=group)  # fmt: skip

    def swish(below: str) -> str:
        return node("HardSwish", [below], f"{below}s")

    below = swish(conv("image", "0", 8, 3, 3, 2))
    below = node("MaxPool", [below], "pool", strides=[2, 2], pads=[1] * 4, kernel_shape=[3, 3])
    deep = conv(swish(conv(below, "1", 8, 8)), "2", 8, 1, 3, 1, 8)
    mean = node("GlobalAveragePool", [deep], "mean")
    gate = node("HardSigmoid", [conv(node("Relu", [conv(mean, "3", 4, 8)], "r"), "4", 8, 4)], "gate")
    gated = swish(conv(node("Mul", [deep, gate], "gated"), "5", 8, 8))
    node("Split", [gated], "left", "right", axis=1, split=[4, 4])
    joined = node("Concat", ["left", swish(conv("right", "6", 4, 4))], "joined", axis=1)
    node("Reshape", [joined, "s5"], "r5")
    node("Transpose", ["r5"], "t5", perm=[0, 2, 1, 3, 4])
    below = node("Reshape", ["t5", "s4"], "shuffled")
    other = swish(conv(below, "7", 8, 1, 3, 1, 8))
    below = node("Add", [swish(conv(other, "8", 8, 8)), swish(conv(below, "9", 8, 8))], "sum")
    for at in range(4):
        below = swish(conv(below, f"d{at}", 8, 8, 3, 2))
        answer = conv(below, f"h{at}", 3 + 4 * BINS, 8)
        node("Split", [answer], f"k{at}", f"l{at}", axis=1, split=[3, 4 * BINS])
    kinds = [onnx.helper.make_tensor_value_info("image", 1, [1, 3, 128, 128])]
    outs = [onnx.helper.make_tensor_value_info(f"{name}{at}", 1, None) for at in range(4) for name in "kl"]
    initial = [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()]
    graph = onnx.helper.make_graph(nodes, "gated", kinds, outs, initial)
    opsets = [onnx.helper.make_opsetid("", 14)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8), str(path))
    return path


@pytest.fixture
def start(tmp_path: Path) -> Path:
    return _gated_detector(tmp_path / "start.onnx")


def _pupil(start: Path) -> tuple[VesselNetwork, PlainNetwork, list[object]]:
    torch.manual_seed(3)
    images = [torch.randint(0, 256, (1, 3, 128, 128)).float() for _ in range(3)]
    teacher = VesselNetwork(start, ["vessel"], [[1]]).eval()
    pupil = PlainNetwork(start, ["vessel"], [[1]]).eval()
    pupil.learn_from(teacher, images)
    return teacher, pupil, images


def test_a_pupil_begins_as_its_teacher_but_for_the_gates(start: Path) -> None:
    teacher, pupil, images = _pupil(start)
    pupil.morph = 0.0
    with torch.no_grad():
        due, found = teacher(images[0])[0], pupil(images[0])[0]
    assert not {step[0] for step in pupil.graph.steps} & {"Mul", "GlobalAveragePool", "HardSwish"}
    inside = (due - found)[:, :200].abs()
    assert inside.median() < 0.05 * due.abs().max()
    pupil.morph = 1.0
    with torch.no_grad():
        assert (pupil(images[0])[0] - found).abs().max() > 1e-3


def test_equalising_changes_no_answer_and_makes_channels_reach_alike(start: Path) -> None:
    _, pupil, images = _pupil(start)
    with torch.no_grad():
        before = pupil(images[0])
        pupil.equalise(images)
        after = pupil(images[0])
        values = pupil.values(images[1])
    for was, now in zip(before, after, strict=True):
        assert (was - now).abs().max() < 1e-3 * was.abs().max()
    reach = values[next(step[2][0] for step in pupil.graph.steps if step[0] == "Plain")].amax((0, 2, 3))
    assert 2.0 < reach.min() <= reach.max() < 8.0


def test_the_file_in_eight_bits_says_what_the_rounded_network_says(start: Path, tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    _, pupil, images = _pupil(start)
    with pytest.raises(TrainingError, match="no ranges"):
        write_eight(pupil, (192, 128), tmp_path / "a.onnx", {})
    pupil.equalise(images)
    pupil.measure(images)
    pupil.is_on_grid = True
    with pytest.raises(TrainingError, match="multiples of 64"):
        write_eight(pupil, (100, 128), tmp_path / "a.onnx", {})
    report = write_eight(pupil, (192, 128), tmp_path / "a.onnx", {"license": "Apache-2.0"}, 0.5)
    assert report["bytes"] == (tmp_path / "a.onnx").stat().st_size
    image = np.random.default_rng(5).integers(0, 255, (1, 128, 192, 3), dtype=np.uint8)
    session = runtime.InferenceSession(str(tmp_path / "a.onnx"), providers=["CPUExecutionProvider"])
    found = session.run(None, {"images": image})[0]
    with torch.no_grad():
        due = Flying(pupil, (192, 128), 0.5)(torch.from_numpy(image)).numpy()
    assert found.shape == due.shape
    # Sums in another order fall on the other side of a rounding here and there.
    assert np.abs(found - due).mean() < 0.06
    assert np.corrcoef(found[0, :, 4], due[0, :, 4])[0, 1] > 0.99
    kinds = {node.op_type for node in onnx.load(str(tmp_path / "a.onnx")).graph.node}
    assert not kinds & {"HardSwish", "GlobalAveragePool", "Relu"}


def test_a_convolution_over_four_pixels_is_the_one_over_single_pixels() -> None:
    weight = torch.randn(5, 3, 3, 3)
    image = torch.randn(1, 3, 8, 16)
    due = torch.nn.functional.conv2d(image, weight, stride=2, padding=1)
    fours = image.permute(0, 2, 3, 1).reshape(1, 8, 4, 12).permute(0, 3, 1, 2)
    padded = torch.nn.functional.pad(fours, (1, 0, 1, 1))
    found = torch.nn.functional.conv2d(padded, torch.from_numpy(over_fours(weight.numpy())), stride=(2, 1))
    back = found.permute(0, 2, 3, 1).reshape(1, 4, 8, 5).permute(0, 3, 1, 2)
    assert (back - due).abs().max() < 1e-5
    with pytest.raises(TrainingError, match="is due"):
        over_fours(np.zeros((5, 3, 5, 5), np.float32))


def test_rounding_lies_on_its_grid_and_lets_gradients_through_where_nothing_is_cut() -> None:
    values = torch.linspace(-2, 6, 400, requires_grad=True)
    low, high = torch.tensor(-1.0), torch.tensor(4.1)
    rounded = on_byte_grid(values, low, high)
    step = 5.1 / 255
    assert (rounded / step - torch.round(rounded / step)).abs().max() < 1e-3
    assert rounded.min() >= -1.0 - step
    assert rounded.max() <= 4.1 + step
    assert on_byte_grid(torch.zeros(1), low, high).item() == 0.0
    rounded.sum().backward()
    inside = (values > -0.95) & (values < 4.05)
    assert bool((values.grad[inside] == 1).all())
    assert values.grad[-1] == 0
    weight = torch.randn(4, 3, 1, 1)
    assert (on_weight_grid(weight) - weight).abs().max() <= weight.abs().max() / 127


def test_a_range_cuts_off_a_lone_outlier() -> None:
    spread = torch.cat([torch.rand(400_000), torch.tensor([2.0])])
    low, high = range_of(spread)
    assert low == 0.0
    assert high < 1.8
    assert range_of(torch.zeros(4)) == (0.0, 1e-6)


def test_a_run_with_a_teacher_goes_onto_its_grid_and_is_there_again_after_a_stop(
    start: Path, tmp_path: Path
) -> None:
    cv2 = pytest.importorskip("cv2")
    rng = np.random.default_rng(1)
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), rng.integers(0, 255, (160, 200, 3), dtype=np.uint8))
    boxes = np.array([[40, 40, 90, 80]], dtype=np.float32)
    sample = Sample(path=path, boxes=boxes, classes=np.zeros(1, dtype=np.int64), site="a")
    view = View(long_side_px=(128.0, 200.0), is_overhead=True)
    mix = Mix([Source(name="one", samples=[sample], share=1.0, view=view)], 1)
    teacher, pupil, _ = _pupil(start)

    def run_of(steps: int) -> Distillation:
        settings = Settings(steps=steps, batch=1, sizes_px=(128,), warm_up=1, checkpoint_every=1)
        return Distillation(pupil, teacher, mix, settings, tmp_path / "run", grid_from=1)

    first = run_of(2)
    first.begin()
    first.train(lambda row: None, lambda: False)
    assert first.network.is_on_grid
    assert bool((first.network.high > first.network.low).all())
    second = run_of(3)
    assert second.resume()
    assert second.network.is_on_grid
    assert second.step == 2
    with pytest.raises(TrainingError, match="only a new one begins"):
        second.begin()
    second.train(lambda row: None, lambda: False)
    rows = [json.loads(line) for line in (tmp_path / "run" / LOG).read_text().splitlines()]
    losses = [row for row in rows if row["event"] == "step"]
    assert losses[0]["alike"] > 0
    assert losses[1]["alike"] == 0
    assert all(np.isfinite(row["total"]) for row in losses)
    with pytest.raises(TrainingError, match="equalised at step 9"):
        Distillation(pupil, teacher, mix, Settings(steps=2), tmp_path / "other", grid_from=1, equal_from=9)


def test_a_pupil_that_says_what_its_teacher_says_has_nothing_to_learn() -> None:
    goal, sides = torch.randn(2, 30, 1) + 1.0, torch.randn(2, 30, 4 * BINS)
    assert taught_loss(goal, sides, goal, sides).abs() < 1e-6
    assert taught_loss(goal - 2, sides, goal, sides) > 0.01
    assert taught_loss(goal, sides.flip(-1), goal, sides) > 0.01


def test_files_are_compared_on_the_same_images_and_read_back(start: Path, tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2")
    _, pupil, images = _pupil(start)
    pupil.measure(images)
    pupil.is_on_grid = True
    write_eight(pupil, (128, 128), tmp_path / "a.onnx", {})
    cv2.imwrite(str(tmp_path / "a.png"), np.full((90, 120, 3), 90, np.uint8))
    boxes = np.array([[40, 40, 70, 60]], dtype=np.float32)
    sample = Sample(path=tmp_path / "a.png", boxes=boxes, classes=np.zeros(1, dtype=np.int64))
    files = {"one": tmp_path / "a.onnx", "again": tmp_path / "a.onnx"}
    rows = compare(files, [sample], 2)
    assert [row["name"] for row in rows] == ["one", "again"]
    assert rows[0]["speed"] == 1.0
    assert rows[0]["ap50"] == rows[1]["ap50"]
    (tmp_path / "eight.json").write_text(json.dumps(rows))
    assert read_compared(tmp_path / "eight.json") == rows
    (tmp_path / "eight.json").write_text('[{"name": 1}]')
    with pytest.raises(TrainingError, match="no files compared"):
        read_compared(tmp_path / "eight.json")
    with pytest.raises(TrainingError, match="are due"):
        compare({}, [sample], 2)
