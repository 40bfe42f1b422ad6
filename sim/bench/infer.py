"""What a detection costs beside its network: frames to boxes, against bare `session.run`."""

import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from models.catalogue import load_detector
from models.description import InputDescription
from models.golden import as_toml, measure
from models.letterbox import Letterbox
from models.network import NetworkDetector
from models.session import ModelSession, sha256_of
from models.speed import made_up_frame

GOAL = {640: 0.97, 320: 0.95}
"""Least throughput of a whole detection over that of the bare network, by input size."""

STRIDES = (8, 16, 32)
_LABELS = ("vessel", "plot", "buoy", "wake")
_FRAME_SIZE_PX = (1440, 1440)
_CANDIDATES = 200


def run(*, rounds: int = 15, threads: int = 1, sizes: Sequence[int] = (640, 320)) -> dict[str, Any]:
    """Throughput of `detector.detect` over bare `session.run`, medians of interleaved rounds.

    Frames have as many pixels as 1080p, and are square so that no part of the input is empty.

    The network is shaped like YOLOX with random weights, about 6 GFLOP at 640, u8 input; its threshold is put
    so that about 200 cells are candidates; `ratio_640` and `ratio_320` are to reach `goal_640` and
    `goal_320`.
    """
    frames = [np.roll(made_up_frame(_FRAME_SIZE_PX), shift, axis=1) for shift in (0, 37, 211, 640)]
    figures: dict[str, Any] = {"frames": "1440x1440", "rounds": rounds, "threads": threads}
    cv2_threads = cv2.getNumThreads()
    cv2.setNumThreads(threads)
    try:
        with tempfile.TemporaryDirectory() as folder:
            for size in sizes:
                write_model(Path(folder) / f"random-{size}", size, frames[0])
                detector = load_detector(Path(folder) / f"random-{size}", threads=threads)
                figures |= _measure(detector, size, frames, rounds)
    finally:
        cv2.setNumThreads(cv2_threads)
    return figures


def _measure(
    detector: NetworkDetector, size: int, frames: Sequence[npt.NDArray[np.uint8]], rounds: int
) -> dict[str, float | int]:
    tensors = [detector.place(frame)[0].copy() for frame in frames]
    boxes = [len(detector.detect(frame)) for frame in frames]
    bare_s: list[float] = []
    whole_s: list[float] = []
    for number in range(rounds):
        for index, (tensor, frame) in enumerate(zip(tensors, frames, strict=True)):
            ways = [(whole_s, detector.detect, frame), (bare_s, detector.run_network, tensor)]
            for times, way, argument in ways if (number + index) % 2 else reversed(ways):
                start = time.perf_counter()
                way(argument)
                times.append(time.perf_counter() - start)
    bare, whole = statistics.median(bare_s), statistics.median(whole_s)
    return {
        f"bare_ms_{size}": round(bare * 1e3, 2),
        f"detect_ms_{size}": round(whole * 1e3, 2),
        f"boxes_{size}": int(statistics.median(boxes)),
        f"ratio_{size}": round(bare / whole, 4),
        f"goal_{size}": GOAL.get(size, 0.95),
    }


def write_model(folder: Path, size: int, frame: npt.NDArray[np.uint8]) -> None:
    """A model folder (`model.onnx`, `model.toml`) with a random network of `size` x `size` input."""
    folder.mkdir()
    data = random_network(size).SerializeToString()
    (folder / "model.onnx").write_bytes(data)
    session = ModelSession(data, origin="random network")
    shape = InputDescription(fit="letterbox", tensor="u8_nhwc", width_px=size, height_px=size)
    fit = Letterbox(shape)
    rows = session.run(fit.place(frame)[0])[0][0]
    score = rows[:, 4] * rows[:, 5:].max(axis=1)
    threshold = float(np.sort(score)[-_CANDIDATES])
    labels = ", ".join(f'"{label}"' for label in _LABELS)
    allow = "\n".join(f'{label} = "{label}"' for label in _LABELS)
    text = (
        f'name = "random-{size}"\nversion = "1"\nsummary = "Random weights"\nlicence = "Apache-2.0"\n'
        f'task = "detect"\nsha256 = "{sha256_of(data)}"\ndecode = "yolox"\nlabels = [{labels}]\n'
        f'threshold = {threshold:.6f}\n[allow]\n{allow}\n[input]\nfit = "letterbox"\ntensor = "u8_nhwc"\n'
        f"width_px = {size}\nheight_px = {size}\n[yolox]\nstrides = {list(STRIDES)}\n"
    )
    (folder / "model.toml").write_text(text + as_toml(measure(session, fit)), encoding="utf-8")


class _Network:
    """Collects convolutions with random weights."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self._random = np.random.default_rng(11)

    def node(self, kind: str, inputs: list[str], **attributes: Any) -> str:
        name = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name

    def constant(self, value: npt.ArrayLike, dtype: npt.DTypeLike = np.float32) -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(value, dtype=dtype), name))
        return name

    def conv(
        self,
        x: str,
        inputs: int,
        outputs: int,
        *,
        side: int = 3,
        stride: int = 1,
        gain: float = 1.0,
        bias: float = 0,
    ) -> str:
        spread = gain * np.sqrt(2.0 / (inputs * side * side))
        weight = self.constant(self._random.normal(0, spread, (outputs, inputs, side, side)))
        shift = self.constant(np.full(outputs, bias))
        pads = [side // 2] * 4
        return self.node(
            "Conv", [x, weight, shift], kernel_shape=[side, side], strides=[stride] * 2, pads=pads
        )

    def block(self, x: str, inputs: int, outputs: int, stride: int = 1) -> str:
        return self.node("Relu", [self.conv(x, inputs, outputs, stride=stride)])

    def head(self, x: str, channels: int) -> str:
        """Rows (1, cells, 5 + classes) of one grid."""
        x = self.block(self.block(x, channels, 64), 64, 64)
        box = self.conv(x, 64, 4, side=1, gain=2.0, bias=1.2)
        sure = self.node("Sigmoid", [self.conv(x, 64, 1 + len(_LABELS), side=1, gain=30.0)])
        both = self.node("Concat", [box, sure], axis=1)
        flat = self.node("Reshape", [both, self.constant([1, 5 + len(_LABELS), -1], np.int64)])
        return self.node("Transpose", [flat], perm=[0, 2, 1])


def random_network(size: int) -> onnx.ModelProto:
    """YOLOX-like: u8 (1, size, size, 3) in, float32 (1, cells, 5 + classes) out, 1/255 folded in."""
    net = _Network()
    planes = net.node("Transpose", ["image"], perm=[0, 3, 1, 2])
    x = net.node("Cast", [planes], to=TensorProto.FLOAT)
    x = net.node("Relu", [net.conv(x, 3, 16, stride=2, gain=1 / 255)])
    x = net.block(x, 16, 32, stride=2)
    x = net.block(net.block(x, 32, 32), 32, 32)
    heads = []
    channels = 32
    for _ in STRIDES:
        x = net.block(x, channels, channels * 2, stride=2)
        channels *= 2
        x = net.block(net.block(x, channels, channels), channels, channels)
        heads.append(net.head(x, channels))
    cells = sum((size // stride) ** 2 for stride in STRIDES)
    net.nodes.append(helper.make_node("Concat", heads, ["output"], axis=1))
    graph = helper.make_graph(
        net.nodes,
        "random",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, [1, size, size, 3])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, cells, 5 + len(_LABELS)])],
        initializer=net.weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
