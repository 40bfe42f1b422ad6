"""From a trained network of maps to the file that flies: bytes in, maps out, its papers inside."""

import json
import warnings
from collections.abc import Mapping
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

from models.training.errors import TrainingError
from models.training.export import MAX_BYTES, OPSET, slim
from models.training.parcels.network import MULTIPLE_PX, ParcelNetwork
from models.training.parcels.truth import DISTANCE_PX


class FlyingMaps(nn.Module):
    """The network with its preparation and its reading inside.

    Input `images`: uint8 (1, H, W, 3), blue first. Output `maps`: float32 (1, 3, H, W): interior and boundary
    as chances, distance to the boundary in pixels of the input up to `DISTANCE_PX`.
    """

    def __init__(self, network: ParcelNetwork) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("gain", torch.tensor([1.0, 1.0, DISTANCE_PX]).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """As the class says."""
        maps: Tensor = self.network(images.permute(0, 3, 1, 2).float()).sigmoid() * self.gain
        return maps


def export_maps(network: ParcelNetwork, path: Path, about: Mapping[str, str]) -> dict[str, float]:
    """Write the ONNX file for inputs of any height and width that 32 divides; returns its size and nodes.

    Raises `TrainingError` when the file comes out over 6 MB.
    """
    flying = FlyingMaps(network).eval()
    example = torch.zeros((1, 8 * MULTIPLE_PX, 10 * MULTIPLE_PX, 3), dtype=torch.uint8)
    with warnings.catch_warnings():
        # The tracing exporter says that it is deprecated; the new one needs a package more.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            flying, (example,), str(path), opset_version=OPSET, dynamo=False, do_constant_folding=True,
            input_names=["images"], output_names=["maps"],
            dynamic_axes={"images": {1: "height", 2: "width"}, "maps": {2: "height", 3: "width"}},
        )  # fmt: skip
    model = onnx.load(str(path))
    before = len(model.graph.node)
    slim(model)
    written = {
        "task": "segment",
        "names": repr({0: "parcel"}),
        "stride": str(MULTIPLE_PX),
        "batch": "1",
        "skywarden.preprocess": json.dumps({"order": "bgr", "tensor": "u8_nhwc", "multiple_px": MULTIPLE_PX}),
        "skywarden.decode": json.dumps(
            {"kind": "segment", "channels": list(network.maps), "distance_px": DISTANCE_PX}
        ),
        **about,
    }
    onnx.helper.set_model_props(model, {key: str(value) for key, value in written.items()})
    model.producer_name, model.producer_version = "skywarden", "1"
    onnx.checker.check_model(model, full_check=True)
    data = model.SerializeToString(deterministic=True)
    if len(data) > MAX_BYTES:
        raise TrainingError(f"{path}: {len(data)} bytes; a model that flies has at most {MAX_BYTES}")
    path.write_bytes(data)
    return {"bytes": len(data), "nodes_before": before, "nodes": len(model.graph.node)}
