"""Runs an ONNX graph in torch with its weights as parameters, so that a published network can be trained on.

Only the operators that small convolutional detectors use. Sizes that exporters froze into the graph (channel
shuffles as reshape, transpose, reshape) are read back as what they mean, so any height and width work.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn
from torch.nn import functional

from models.training.errors import TrainingError

Step = tuple[str, tuple[str, ...], tuple[str, ...], dict[str, Any]]
"""Operator, names it reads, names it writes, attributes."""


class GraphNetwork(nn.Module):
    """An ONNX graph as a module: `forward(image) -> {name: tensor}` for the names asked for."""

    def __init__(self, path: Path, outputs: Sequence[str]) -> None:
        """Raises `TrainingError` when the file cannot be read or the graph holds an unknown operator."""
        super().__init__()
        try:
            graph = onnx.load(str(path)).graph
        except (OSError, ValueError, onnx.onnx_cpp2py_export.checker.ValidationError) as error:
            raise TrainingError(f"{path}: is no ONNX file that can be read ({error})") from error
        constants = _constants(graph)
        self.input_name = next(value.name for value in graph.input if value.name not in constants)
        self.output_names = tuple(outputs)
        self.steps = _needed(_fuse_shuffle(_fuse_hardswish(_steps(graph), constants), constants), outputs)
        self.constants = constants
        self.parameter_of: dict[str, str] = {}
        for name in _weights(self.steps):
            if name in constants and name not in self.parameter_of:
                key = f"p{len(self.parameter_of)}"
                self.parameter_of[name] = key
                self.register_parameter(key, nn.Parameter(torch.from_numpy(constants[name].copy())))
        unknown = sorted({step[0] for step in self.steps} - set(RUN))
        if unknown:
            raise TrainingError(
                f"{path}: operator {unknown[0]} cannot be trained; known are {', '.join(RUN)}"
            )

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Outputs by name for an image batch (N, C, H, W) scaled as the graph wants it."""
        values: dict[str, Tensor] = {self.input_name: image}

        def get(name: str) -> Any:
            if name in values:
                return values[name]
            key = self.parameter_of.get(name)
            return getattr(self, key) if key else self.constants[name]

        for operator, reads, writes, attributes in self.steps:
            made = RUN[operator]([get(name) for name in reads if name], attributes)
            for name, value in zip(writes, made if isinstance(made, tuple | list) else (made,), strict=False):
                values[name] = value
        return {name: values[name] for name in self.output_names}


def final_splits(path: Path) -> list[tuple[str, tuple[int, ...]]]:
    """Names and sizes of tensors that the graph cuts in two unequal parts: the heads of a GFL detector."""
    found: list[tuple[str, tuple[int, ...]]] = []
    for node in onnx.load(str(path)).graph.node:
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        sizes = tuple(attributes.get("split", ()))
        if node.op_type == "Split" and len(sizes) == 2 and sizes[0] != sizes[1]:
            found.append((node.input[0], sizes))
    return found


def _constants(graph: onnx.GraphProto) -> dict[str, np.ndarray]:
    constants = {value.name: numpy_helper.to_array(value) for value in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant":
            constants[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
    return constants


def _steps(graph: onnx.GraphProto) -> list[Step]:
    return [
        (
            node.op_type,
            tuple(node.input),
            tuple(node.output),
            {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute},
        )
        for node in graph.node
        if node.op_type != "Constant"
    ]


def _fuse_hardswish(steps: list[Step], constants: dict[str, np.ndarray]) -> list[Step]:
    """x * clip(x + 3, 0, 6) / 6 in four steps becomes one."""
    fused: list[Step] = []
    position = 0
    while position < len(steps):
        four = steps[position : position + 4]
        if [step[0] for step in four] == ["Add", "Clip", "Mul", "Div"]:
            add, clip, times, divide = four
            numbers = [constants.get(name) for name in (*add[1][1:], *divide[1][1:])]
            if clip[1][0] == add[2][0] and times[1][0] == add[1][0] and _are(numbers, [3.0, 6.0]):
                fused.append(("HardSwish", add[1][:1], divide[2], {}))
                position += 4
                continue
        fused.append(steps[position])
        position += 1
    return fused


def _fuse_shuffle(steps: list[Step], constants: dict[str, np.ndarray]) -> list[Step]:
    """Reshape to five axes, swap two, reshape to four: a channel shuffle, whatever the height and width."""
    fused: list[Step] = []
    position = 0
    while position < len(steps):
        three = steps[position : position + 3]
        if [step[0] for step in three] == ["Reshape", "Transpose", "Reshape"]:
            shape = constants.get(three[0][1][1])
            if shape is not None and shape.size == 5 and list(three[1][3]["perm"]) == [0, 2, 1, 3, 4]:
                fused.append(("Shuffle", three[0][1][:1], three[2][2], {"groups": int(shape[1])}))
                position += 3
                continue
        fused.append(steps[position])
        position += 1
    return fused


def _needed(steps: list[Step], outputs: Sequence[str]) -> list[Step]:
    """The steps that the outputs depend on, in their order."""
    wanted = set(outputs)
    kept: list[Step] = []
    for step in reversed(steps):
        if wanted & set(step[2]):
            kept.append(step)
            wanted |= set(step[1])
    made = {name for step in kept for name in step[2]}
    missing = [name for name in outputs if name not in made]
    if missing:
        raise TrainingError(f"the graph makes no {missing[0]!r}")
    return kept[::-1]


def _weights(steps: list[Step]) -> list[str]:
    """Names that are weights: second and later inputs of convolutions, addends that are constants."""
    names = [name for step in steps if step[0] == "Conv" for name in step[1][1:]]
    return names + [name for step in steps if step[0] == "Add" for name in step[1]]


def _are(found: Sequence[np.ndarray | None], wanted: Sequence[float]) -> bool:
    return len(found) == len(wanted) and all(
        value is not None and value.size == 1 and abs(float(value) - number) < 1e-6
        for value, number in zip(found, wanted, strict=True)
    )


def _conv(values: list[Any], a: dict[str, Any]) -> Tensor:
    pads = a.get("pads", [0, 0, 0, 0])
    if pads[0] != pads[2] or pads[1] != pads[3]:
        raise TrainingError(f"a convolution with uneven padding {pads}")
    bias = values[2] if len(values) > 2 else None
    return functional.conv2d(
        values[0], values[1], bias, a["strides"], pads[:2], a.get("dilations", [1, 1]), a.get("group", 1)
    )


def _max_pool(values: list[Any], a: dict[str, Any]) -> Tensor:
    pads = a.get("pads", [0, 0, 0, 0])
    return functional.max_pool2d(values[0], a["kernel_shape"], a["strides"], pads[:2])


def _shuffle(values: list[Any], a: dict[str, Any]) -> Tensor:
    n, channels, height, width = values[0].shape
    groups = a["groups"]
    parts = values[0].reshape(n, groups, channels // groups, height, width)
    return parts.transpose(1, 2).reshape(n, channels, height, width)


def _hard_sigmoid(values: list[Any], a: dict[str, Any]) -> Tensor:
    return torch.clamp(values[0] * a.get("alpha", 0.2) + a.get("beta", 0.5), 0.0, 1.0)


def _resize(values: list[Any], a: dict[str, Any]) -> Tensor:
    scale = float(np.asarray(values[-1]).reshape(-1)[-1])
    return functional.interpolate(values[0], scale_factor=scale, mode="nearest")


RUN: dict[str, Callable[[list[Any], dict[str, Any]], Any]] = {
    "Conv": _conv,
    "Add": lambda values, a: values[0] + values[1],
    "Mul": lambda values, a: values[0] * values[1],
    "Relu": lambda values, a: functional.relu(values[0]),
    "LeakyRelu": lambda values, a: functional.leaky_relu(values[0], a.get("alpha", 0.01)),
    "Sigmoid": lambda values, a: torch.sigmoid(values[0]),
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": lambda values, a: functional.hardswish(values[0]),
    "GlobalAveragePool": lambda values, a: values[0].mean((2, 3), keepdim=True),
    "MaxPool": _max_pool,
    "Concat": lambda values, a: torch.cat(values, dim=a["axis"]),
    "Split": lambda values, a: torch.split(values[0], list(a["split"]), dim=a["axis"]),
    "Shuffle": _shuffle,
    "Resize": _resize,
}
