"""Static INT8 of an exported file (U8 activations, S8 weights per channel), to measure what it costs."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from models.training.errors import TrainingError
from models.training.judge import place
from models.training.sample import Sample, read_image

OPERATORS = ("Conv", "Add", "Mul", "Concat", "Resize", "MaxPool", "Split", "Reshape", "Transpose")
"""What goes to eight bits between the first and the last convolution; before and after, boxes would move."""


def quantise(
    source: Path, made: Path, samples: Sequence[Sample], operators: Sequence[str] = OPERATORS
) -> dict[str, int]:
    """Write `made`, calibrated on whole images of `samples`: ranges are the least and the greatest value.

    Raises `TrainingError` when onnxruntime (with its quantisation tools) is not installed.
    """
    try:
        from onnxruntime import quantization
        from onnxruntime.quantization.calibrate import CalibrationDataReader
    except ImportError as error:
        raise TrainingError("onnxruntime is not installed; install it to quantise files") from error
    graph = onnx.load(str(source)).graph
    name, shape = graph.input[0].name, [side.dim_value for side in graph.input[0].type.tensor_type.shape.dim]

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self._left: Iterator[Sample] = iter(samples)

        def get_next(self) -> dict[str, Any] | None:
            sample = next(self._left, None)
            if sample is None:
                return None
            canvas, _ = place(read_image(sample.path), (shape[2], shape[1]))
            return {name: np.ascontiguousarray(canvas[None])}

    quantization.quantize_static(
        str(source), str(made), Reader(),
        quant_format=quantization.QuantFormat.QDQ,
        op_types_to_quantize=list(operators),
        nodes_to_exclude=_outside(graph),
        activation_type=quantization.QuantType.QUInt8, weight_type=quantization.QuantType.QInt8,
        per_channel=True, calibrate_method=quantization.CalibrationMethod.MinMax,
    )  # fmt: skip
    return {"bytes_before": source.stat().st_size, "bytes": made.stat().st_size}


def _outside(graph: onnx.GraphProto) -> list[str]:
    """Nodes before the first and after the last convolution."""
    convolutions = [at for at, node in enumerate(graph.node) if node.op_type == "Conv"]
    if not convolutions:
        return [node.name for node in graph.node]
    return [node.name for node in [*graph.node[: convolutions[0]], *graph.node[convolutions[-1] + 1 :]]]
