"""From a network on its grid of eight bits to the file that flies: every tensor's grid stands in it (QDQ).

Written so that ONNX Runtime finds nothing but convolutions, sums and joins of bytes between the image and the
last layers. Channel shuffles and splits are never carried out: the convolution that reads the outcome gets
its weights in the order in which the channels lie, and channels that only pass by are picked out by a
convolution with ones. The first convolution reads four pixels at a time.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from models.training.eight.grid import byte_grid, weight_steps
from models.training.eight.plain import PIXEL_UNIT, PIXEL_ZERO, PlainNetwork, joined
from models.training.errors import TrainingError
from models.training.export import OPSET, write_with_papers
from models.training.graph import Step
from models.training.network import BINS, MULTIPLE_PX, STRIDES

Array = npt.NDArray[Any]
MOST_BIAS = 2.0**30
"""In steps of the sum that it is added to."""
MOST_LOGIT = 30.0
"""Side logits are cut there before their exponential is taken: nothing that was trained comes near."""


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """A tensor of the network: channels `order` of the bytes `name`, on the grid `scale`, `zero`."""

    name: str
    scale: float
    zero: int
    order: Array
    channels: int

    @property
    def is_whole(self) -> bool:
        """Whether the channels lie as the network counts them."""
        return len(self.order) == self.channels and bool((self.order == np.arange(self.channels)).all())


def write_eight(
    network: PlainNetwork,
    size_px: tuple[int, int],
    path: Path,
    about: Mapping[str, str],
    temperature: float = 1.0,
) -> dict[str, int]:
    """Write the file of a network whose ranges stand, for an input of width, height. Returns size and nodes.

    In and out as `models.training.export.Flying` has it; class log-odds are divided by `temperature`.
    Raises `TrainingError` for sizes that do not fit and for a network that was never measured.
    """
    if size_px[0] % MULTIPLE_PX or size_px[1] % MULTIPLE_PX:
        raise TrainingError(
            f"an input of {size_px[0]} x {size_px[1]} px; sides are multiples of {MULTIPLE_PX}"
        )
    if not bool((network.high > network.low).all()):
        raise TrainingError("the network has no ranges yet: train it past the step from which it is rounded")
    graph = Writer(network=network, size_px=size_px, gain=1.0 / temperature).graph()
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)
    size = write_with_papers(model, path, network.classes, size_px, about)
    return {"bytes": size, "nodes": len(graph.node)}


@dataclass(kw_only=True)
class Writer:
    """Collects the nodes of one file. `size_px`: width, height; `gain` multiplies the class logits."""

    network: PlainNetwork
    size_px: tuple[int, int]
    gain: float
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    weights: list[onnx.TensorProto] = field(default_factory=list)
    views: dict[str, View] = field(default_factory=dict)
    _names: Counter[str] = field(default_factory=Counter)

    def graph(self) -> onnx.GraphProto:
        """The whole graph: `images` uint8 (1, H, W, 3) to `output0` float32 (1, A, 5 + C)."""
        network = self.network
        rectified = {step[1][0]: step[2][0] for step in network.graph.steps if step[0] == "Plain"}
        grids = {name: at for at, name in enumerate(network.rounded)}
        grids |= {name: grids[join] for name, join in joined(network.graph.steps).items()}
        for step in network.graph.steps:
            operator, reads, writes, attributes = step
            if operator == "Conv" and writes[0] in network.graph.output_names:
                continue
            if reads[0] == network.graph.input_name:
                name = rectified[writes[0]]
                self.views[name] = self._first(step, grids[name])
            elif operator == "Conv":
                name = rectified.get(writes[0], writes[0])
                self.views[name] = self._conv(step, grids[name], name != writes[0])
            elif operator in {"Add", "Concat"}:
                self.views[writes[0]] = self._several(step, grids[writes[0]])
            elif operator in {"MaxPool", "Resize"}:
                self.views[writes[0]] = self._moved(step)
            elif operator == "Shuffle":
                self.views[writes[0]] = _ordered(self.views[reads[0]], attributes["groups"])
            elif operator == "Split":
                self._split(step)
            elif operator != "Plain":
                raise TrainingError(f"operator {operator} has no form in eight bits here")
        self._answer()
        anchors = sum((self.size_px[0] // stride) * (self.size_px[1] // stride) for stride in STRIDES)
        image, rows = [1, *self.size_px[::-1], 3], [1, anchors, 5 + len(network.classes)]
        given = helper.make_tensor_value_info("images", TensorProto.UINT8, image)
        made = helper.make_tensor_value_info("output0", TensorProto.FLOAT, rows)
        return helper.make_graph(self.nodes, "vessels in eight bits", [given], [made], self.weights)

    def _conv(self, step: Step, grid: int, is_rectified: bool) -> View:
        _, reads, _, attributes = step
        group, pads = int(attributes.get("group", 1)), list(attributes.get("pads", [0] * 4))
        weight = self.network.weight_of(step).detach().numpy()
        bias = self.network.bias_of(step).detach().numpy()
        strides = list(attributes["strides"])
        order = np.arange(len(weight))
        if group == 1:
            seen = self.views[reads[0]]
            spread = np.zeros((len(weight), seen.channels, *weight.shape[2:]), dtype=np.float32)
            spread[:, seen.order] = weight
            weight = spread
        else:
            seen = self._picked(self.views[reads[0]], None)
            order = seen.order
            weight, bias = _put(weight, order), _put(bias, order)
            group = len(weight)
        scale, zero = self._grid(grid)
        made = self._convolved(seen, weight, bias, strides, pads, group)
        if is_rectified and zero:
            # On a grid that begins at 0 cutting to the grid is the rectifier.
            made = self._node("Relu", [made])
        return View(self._onto_bytes(made, scale, zero), scale, zero, order, len(order))

    def _convolved(
        self, seen: View, weight: Array, bias: Array, strides: Sequence[int], pads: Sequence[int], group: int
    ) -> str:
        steps = weight_steps(torch.from_numpy(weight)).numpy().astype(np.float32)
        # Channels that died have weights of nearly 0, and a bias that must still fit into 32 bits.
        steps = np.maximum(steps, np.abs(bias) / np.float32(seen.scale * MOST_BIAS)).astype(np.float32)
        whole = np.round(weight / steps.reshape(-1, *[1] * (weight.ndim - 1))).clip(-127, 127).astype(np.int8)
        unit = (steps * np.float32(seen.scale)).astype(np.float32)
        bias_whole = np.round(bias.astype(np.float64) / unit).clip(-(2**31) + 1, 2**31 - 1).astype(np.int32)
        reads = [
            self._from_bytes(seen),
            self._kept_bytes("w", whole, steps),
            self._kept_bytes("b", bias_whole, unit),
        ]
        kernel = list(weight.shape[2:])
        return self._node(
            "Conv", reads, kernel_shape=kernel, strides=list(strides), pads=list(pads), group=group
        )

    def _picked(self, view: View, grid: int | None) -> View:
        """The view, its channels lying as counted, where picking is needed: a convolution with ones.

        Without a `grid` a mere other order is left as it is: who reads it channel by channel can follow.
        """
        if view.is_whole or (grid is None and len(view.order) == view.channels):
            return view
        scale, zero = (view.scale, view.zero) if grid is None else self._grid(grid)
        ones = np.zeros((len(view.order), view.channels, 1, 1), dtype=np.float32)
        ones[np.arange(len(view.order)), view.order] = 1.0
        made = self._convolved(view, ones, np.zeros(len(ones), np.float32), [1, 1], [0] * 4, 1)
        name = self._onto_bytes(made, scale, zero)
        return View(name, scale, zero, np.arange(len(ones)), len(ones))

    def _several(self, step: Step, grid: int) -> View:
        operator, reads, _, _ = step
        views = [self._picked(self.views[name], grid) for name in reads]
        scale, zero = self._grid(grid)
        made = self._node(operator, [self._from_bytes(view) for view in views],
                          **({"axis": 1} if operator == "Concat" else {}))  # fmt: skip
        count = sum(view.channels for view in views) if operator == "Concat" else views[0].channels
        return View(self._onto_bytes(made, scale, zero), scale, zero, np.arange(count), count)

    def _moved(self, step: Step) -> View:
        operator, reads, _, attributes = step
        view = self.views[reads[0]]
        if operator == "MaxPool":
            made = self._node("MaxPool", [view.name], kernel_shape=list(attributes["kernel_shape"]),
                              strides=list(attributes["strides"]), pads=list(attributes["pads"]))  # fmt: skip
        else:
            scales = np.array([1, 1, 2, 2], dtype=np.float32)
            made = self._node("Resize", [view.name, "", self._kept("scales", scales)], mode="nearest",
                              coordinate_transformation_mode="asymmetric", nearest_mode="floor")  # fmt: skip
        return View(made, view.scale, view.zero, view.order, view.channels)

    def _split(self, step: Step) -> None:
        _, reads, writes, attributes = step
        view, start = self.views[reads[0]], 0
        for name, count in zip(writes, attributes["split"], strict=True):
            part = view.order[start : start + count]
            self.views[name] = View(view.name, view.scale, view.zero, part, view.channels)
            start += count

    def _first(self, step: Step, grid: int) -> View:
        """The first convolution, over four pixels at a time: 12 channels in, two columns of the outcome out.

        Over the 3 channels of one pixel it takes as long in bytes as half of the network. No byte is moved
        for this: rows of an image are rows of its fours, and the outcome is cut into columns in the same way.
        """
        width, height = self.size_px
        weight = self.network.weight_of(step).detach().numpy()
        bias = self.network.bias_of(step).detach().numpy()
        fours = np.array([1, height, width // 4, 12], dtype=np.int64)
        read = self._node("Reshape", ["images", self._kept("shape", fours)])
        turned = self._node("Transpose", [read], perm=[0, 3, 1, 2])
        seen = View(turned, 1.0 / PIXEL_UNIT, PIXEL_ZERO, np.arange(12), 12)
        made = self._convolved(seen, over_fours(weight), np.tile(bias, 2), [2, 1], [1, 1, 1, 0], 1)
        scale, zero = self._grid(grid)
        back = self._node("Transpose", [self._onto_bytes(made, scale, zero)], perm=[0, 2, 3, 1])
        columns = np.array([1, height // 2, width // 2, len(weight)], dtype=np.int64)
        name = self._node("Transpose", [self._node("Reshape", [back, self._kept("shape", columns)])],
                          perm=[0, 3, 1, 2])  # fmt: skip
        return View(name, scale, zero, np.arange(len(weight)), len(weight))

    def _answer(self) -> None:
        """The last convolutions, and their reading as YOLOX has it."""
        network, classes = self.network, len(self.network.classes)
        scores, sides = [], []
        for step in network.graph.steps:
            if step[2][0] not in network.graph.output_names:
                continue
            view = self.views[step[1][0]]
            weight = network.weight_of(step).detach().numpy()[:, :, 0, 0]
            bias = network.bias_of(step).detach().numpy()
            turned = self._node("Transpose", [view.name], perm=[0, 2, 3, 1])
            flat = np.array([-1, view.channels], dtype=np.int64)
            rows = self._from_bytes(
                View(
                    self._node("Reshape", [turned, self._kept("flat", flat)]),
                    view.scale,
                    view.zero,
                    view.order,
                    0,
                )
            )
            gained = weight[:classes] * self.gain, bias[:classes] * self.gain
            scores.append(self._linear(rows, *gained, (1, classes)))
            sides.append(self._linear(rows, weight[classes:], bias[classes:], (4, BINS)))
        self._read(self._node("Concat", scores, axis=0), self._node("Concat", sides, axis=0), classes)

    def _linear(self, rows: str, weight: Array, bias: Array, shape: tuple[int, int]) -> str:
        """Rows times weights (O, C) in bytes, to floats (A, *shape). The bias comes after the new shape: an
        addition right after the product would make ONNX Runtime do both in floats."""
        steps = np.maximum(np.abs(weight).max(1), 1e-8).astype(np.float32) / np.float32(127)
        whole = np.round(weight / steps[:, None]).clip(-127, 127).astype(np.int8).T.copy()
        made = self._node("MatMul", [rows, self._kept_bytes("m", whole, steps, axis=1)])
        due = self._kept("due", np.array([-1, *shape], dtype=np.int64))
        added = self._kept("bias", bias.astype(np.float32).reshape(shape))
        return self._node("Add", [self._node("Reshape", [made, due]), added])

    def _read(self, logits: str, sides: str, classes: int) -> None:
        """Expectation of each side over its bins, a quotient of two sums of exponentials, and the scores."""
        f32 = np.float32
        bins = self._node("Reshape", [sides, self._kept("bins", np.array([-1, BINS], dtype=np.int64))])
        cut = self._node("Clip", [bins, self._kept("l", f32(-MOST_LOGIT)), self._kept("h", f32(MOST_LOGIT))])
        sums = np.stack([np.arange(BINS), np.ones(BINS)], axis=1).astype(f32)
        both = self._node("MatMul", [self._node("Exp", [cut]), self._kept("sums", sums)])
        above, below = self._split_last(both, [1, 1])
        four = self._kept("four", np.array([1, -1, 4], dtype=np.int64))
        near, far = self._split_last(self._node("Reshape", [self._node("Div", [above, below]), four]), [2, 2])
        half = self._kept("half", f32(0.5))
        middle = self._node("Add", [self._node("Mul", [self._node("Sub", [far, near]), half]), half])
        width = self._node("Clip", [self._node("Add", [near, far]), self._kept("least", f32(1e-3)), ""])
        size = self._node("Log", [width])
        rows = self._kept("rows", np.array([1, -1, classes], dtype=np.int64))
        score = self._node("Sigmoid", [self._node("Reshape", [logits, rows])])
        best = self._node("ReduceMax", [score], axes=[-1], keepdims=1)
        share = self._node("Div", [score, self._node("Clip", [best, self._kept("tiny", f32(1e-9)), ""])])
        self.nodes.append(
            helper.make_node("Concat", [middle, size, best, share], ["output0"], name="output0", axis=-1)
        )

    def _split_last(self, name: str, sizes: Sequence[int]) -> list[str]:
        made = [self._name("part") for _ in sizes]
        given = self._kept("sizes", np.array(sizes, dtype=np.int64))
        self.nodes.append(helper.make_node("Split", [name, given], made, name=made[0], axis=-1))
        return made

    def _grid(self, at: int) -> tuple[float, int]:
        scale, zero = byte_grid(self.network.low[at], self.network.high[at])
        return float(scale), int(zero)

    def _onto_bytes(self, name: str, scale: float, zero: int) -> str:
        return self._node(
            "QuantizeLinear", [name, self._kept("s", np.float32(scale)), self._kept("z", np.uint8(zero))]
        )

    def _from_bytes(self, view: View) -> str:
        grid = [self._kept("s", np.float32(view.scale)), self._kept("z", np.uint8(view.zero))]
        return self._node("DequantizeLinear", [view.name, *grid])

    def _kept_bytes(self, what: str, values: Array, steps: Array, axis: int = 0) -> str:
        zeros = np.zeros(len(steps), dtype=values.dtype)
        reads = [self._kept(what, values), self._kept("s", steps), self._kept("z", zeros)]
        return self._node("DequantizeLinear", reads, axis=axis)

    def _kept(self, what: str, values: Any) -> str:
        name = self._name(what)
        self.weights.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def _node(self, operator: str, reads: Sequence[str], **attributes: Any) -> str:
        name = self._name(operator)
        self.nodes.append(helper.make_node(operator, list(reads), [name], name=name, **attributes))
        return name

    def _name(self, what: str) -> str:
        self._names[what] += 1
        return f"{what}_{self._names[what]}"


def over_fours(weight: Array) -> Array:
    """Weights (O, 3, 3, 3) of a convolution with stride 2 and a border of 1, over four pixels at a time.

    The outcome (2 * O, 12, 3, 2) makes even columns first.
    """
    if weight.shape[1:] != (3, 3, 3):
        raise TrainingError(f"the first convolution has weights {weight.shape}; (O, 3, 3, 3) is due")
    outputs = len(weight)
    made = np.zeros((2 * outputs, 12, 3, 2), dtype=np.float32)
    for column in range(3):
        # Of even columns the first tap is the last pixel of the four to the left.
        even, odd = (column - 1) % 4, column + 1
        made[:outputs, even * 3 : even * 3 + 3, :, int(column > 0)] = weight[..., column]
        made[outputs:, odd * 3 : odd * 3 + 3, :, 1] = weight[..., column]
    return made


def _ordered(view: View, groups: int) -> View:
    """A channel shuffle, as another order."""
    order = view.order.reshape(groups, -1).T.reshape(-1)
    return View(view.name, view.scale, view.zero, order, view.channels)


def _put(values: Array, order: Array) -> Array:
    made = np.zeros_like(values)
    made[order] = values
    return made
