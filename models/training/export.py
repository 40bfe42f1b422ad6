"""From a trained network to the file that flies: ONNX with bytes in, boxes out, and its papers inside."""

import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from models.training.errors import TrainingError
from models.training.network import BINS, MULTIPLE_PX, STRIDES, VesselNetwork

OPSET = 17
MAX_BYTES = 6 * 1024 * 1024


class Flying(nn.Module):
    """The network with its preparation and its reading inside.

    Input `images`: uint8 (1, H, W, 3), blue first. Output `output0`: float32 (1, A, 5 + C), a row per
    anchor as YOLOX has it: centre relative to the cell, logarithm of width and height in strides, best
    score, and each class's share of it.
    """

    def __init__(self, network: VesselNetwork, size_px: tuple[int, int], temperature: float = 1.0) -> None:
        """`temperature` divides the log-odds of scores. Raises `TrainingError` for sizes that do not fit."""
        super().__init__()
        if not 0.05 <= temperature <= 20.0:
            raise TrainingError(f"a temperature of {temperature}; 0.05 to 20 is possible")
        if size_px[0] % MULTIPLE_PX or size_px[1] % MULTIPLE_PX:
            raise TrainingError(
                f"an input of {size_px[0]} x {size_px[1]} px; sides are multiples of {MULTIPLE_PX}"
            )
        self.network, self._gain = network, 1.0 / temperature

    def forward(self, images: Tensor) -> Tensor:
        """As the class says."""
        logits, sides = self.network(images.permute(0, 3, 1, 2).float())
        chance = sides.reshape(1, -1, 4, BINS).softmax(-1)
        steps = torch.arange(BINS, dtype=torch.float32)
        near, far = (chance * steps).sum(-1).split(2, dim=-1)
        centre = (far - near) * 0.5 + 0.5
        size = torch.log(torch.clamp(near + far, min=1e-3))
        scores = (logits * self._gain).sigmoid() if self._gain != 1.0 else logits.sigmoid()
        best = scores.amax(-1, keepdim=True)
        return torch.cat([centre, size, best, scores / torch.clamp(best, min=1e-9)], dim=-1)


def export(
    network: VesselNetwork,
    size_px: tuple[int, int],
    path: Path,
    about: Mapping[str, str],
    temperature: float = 1.0,
) -> dict[str, float]:
    """Write the ONNX file for an input of width, height. Returns its size and how many nodes slimming took.

    Scores are those of the network, their log-odds divided by `temperature`.

    Raises `TrainingError` when the file comes out over 6 MB.
    """
    flying = Flying(network, size_px, temperature).eval()
    example = torch.zeros((1, size_px[1], size_px[0], 3), dtype=torch.uint8)
    with warnings.catch_warnings():
        # The tracing exporter says that it is deprecated; the new one needs a package more.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            flying, (example,), str(path), opset_version=OPSET, dynamo=False, do_constant_folding=True,
            input_names=["images"], output_names=["output0"],
        )  # fmt: skip
    model = onnx.load(str(path))
    before = len(model.graph.node)
    slim(model)
    size = write_with_papers(model, path, network.classes, size_px, about)
    return {"bytes": size, "nodes_before": before, "nodes": len(model.graph.node)}


def write_with_papers(
    model: onnx.ModelProto,
    path: Path,
    classes: Sequence[str],
    size_px: tuple[int, int],
    about: Mapping[str, str],
) -> int:
    """Write a model of a width and height with what readers must know inside; its size in bytes.

    Raises `TrainingError` when it comes out over 6 MB.
    """
    written = {
        "task": "detect",
        "names": repr(dict(enumerate(classes))),
        "stride": str(max(STRIDES)),
        "batch": "1",
        "imgsz": repr([size_px[1], size_px[0]]),
        "skywarden.preprocess": json.dumps(
            {"order": "bgr", "tensor": "u8_nhwc", "letterbox": "top-left", "fill": 114}
        ),
        "skywarden.decode": json.dumps({"kind": "yolox", "strides": list(STRIDES)}),
        **about,
    }
    onnx.helper.set_model_props(model, {key: str(value) for key, value in written.items()})
    model.producer_name, model.producer_version = "skywarden", "1"
    onnx.checker.check_model(model, full_check=True)
    data = model.SerializeToString(deterministic=True)
    if len(data) > MAX_BYTES:
        raise TrainingError(f"{path}: {len(data)} bytes; a model that flies has at most {MAX_BYTES}")
    path.write_bytes(data)
    return len(data)


def slim(model: onnx.ModelProto) -> None:
    """Take out what does nothing: identities, doubles of constants, weights that no node reads."""
    graph = model.graph
    renamed: dict[str, str] = {}
    kept = []
    outputs = {value.name for value in graph.output}
    for node in graph.node:
        if node.op_type == "Identity" and node.output[0] not in outputs:
            renamed[node.output[0]] = renamed.get(node.input[0], node.input[0])
            continue
        node.input[:] = [renamed.get(name, name) for name in node.input]
        kept.append(node)
    kept = _without_double_constants(kept, outputs)
    del graph.node[:]
    graph.node.extend(kept)
    read = {name for node in kept for name in node.input}
    used = [weight for weight in graph.initializer if weight.name in read]
    del graph.initializer[:]
    graph.initializer.extend(used)
    for node in graph.node:
        node.doc_string = ""


def _without_double_constants(nodes: list[onnx.NodeProto], outputs: set[str]) -> list[onnx.NodeProto]:
    first: dict[tuple[str, tuple[int, ...], bytes], str] = {}
    renamed: dict[str, str] = {}
    kept = []
    for node in nodes:
        if node.op_type == "Constant" and node.attribute[0].name == "value" and node.output[0] not in outputs:
            value = numpy_helper.to_array(node.attribute[0].t)
            key = (str(value.dtype), value.shape, np.ascontiguousarray(value).tobytes())
            if key in first:
                renamed[node.output[0]] = first[key]
                continue
            first[key] = node.output[0]
        node.input[:] = [renamed.get(name, name) for name in node.input]
        kept.append(node)
    return kept
