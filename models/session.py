"""The one place that makes onnxruntime sessions: size and contents are checked first."""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from models.onnx_scan import scan, without_defaults_among_inputs
from skywarden.errors import ModelError

MAX_MODEL_BYTES = 256 * 1024 * 1024
MAX_THREADS = 64

PROVIDERS = {
    "tensorrt": "TensorrtExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "openvino_bf16": "OpenVINOExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "xnnpack": "XnnpackExecutionProvider",
    "cpu": "CPUExecutionProvider",
}
"""Names of execution providers as users write them; `openvino_bf16` computes with 8 bits of mantissa."""

LOW_PRECISION = frozenset({"openvino_bf16"})
"""Providers that are asked to compute coarsely: about a half of the time on processors with AMX."""

AUTO_PROVIDERS = ("tensorrt", "cuda", "openvino", "coreml", "xnnpack", "cpu")
"""What "auto" asks for: the fastest first, the CPU last; those that this machine lacks are passed over."""

_DTYPES = {"tensor(uint8)": "uint8", "tensor(float)": "float32"}


@dataclass(frozen=True, kw_only=True, slots=True)
class TensorSpec:
    """An input or output of a network: `None` in the shape is a size that may vary."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]

    def __str__(self) -> str:
        """As in "images float32 (1, 3, 416, 416)"."""
        return f"{self.name} {self.dtype} ({', '.join('any' if n is None else str(n) for n in self.shape)})"


@dataclass(frozen=True, kw_only=True, slots=True)
class ProviderReport:
    """Which execution providers were asked for, which the session got, and why the others were not."""

    wanted: tuple[str, ...]
    used: tuple[str, ...]
    refused: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        """As in "used cpu; cuda: not in this build of onnxruntime"."""
        return "; ".join([f"used {', '.join(self.used)}", *(f"{name}: {why}" for name, why in self.refused)])


def threads_beside_others() -> int:
    """All processor cores that this process may use but one, which is left to video, MAVLink and the link."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity is not None else os.cpu_count() or 1
    return max(1, min(MAX_THREADS, cores - 1))


def expand_providers(providers: Sequence[str]) -> tuple[str, ...]:
    """Providers in order, each once, "auto" written out, the CPU last."""
    named = [one for name in providers for one in (AUTO_PROVIDERS if name == "auto" else (name,))]
    return tuple(dict.fromkeys([*(name for name in named if name != "cpu"), "cpu"]))


def read_model(path: Path) -> bytes:
    """The file's bytes, its size checked first. Raises `ModelError` when it is absent, empty or too large."""
    try:
        size = path.stat().st_size
        if not 0 < size <= MAX_MODEL_BYTES:
            raise ModelError(f"{path}: {size} bytes; a model has 1 to {MAX_MODEL_BYTES}")
        with path.open("rb") as file:
            data = file.read(MAX_MODEL_BYTES + 1)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror})") from error
    if len(data) > MAX_MODEL_BYTES:
        raise ModelError(f"{path}: grew over {MAX_MODEL_BYTES} bytes while it was read")
    return data


def sha256_of(data: bytes) -> str:
    """The sha256 in 64 lower-case hex digits: a model's identity."""
    return hashlib.sha256(data).hexdigest()


class ModelSession:
    """A network ready to run, with its inputs and outputs described."""

    def __init__(
        self,
        data: bytes,
        *,
        origin: str,
        threads: int = 1,
        providers: Sequence[str] = ("cpu",),
        deterministic: bool = True,
    ) -> None:
        """Load the ONNX model in `data`; `origin` names it in errors.

        `threads` is the exact number of threads for one inference; 0 takes `threads_beside_others`.
        `providers` are keys of `PROVIDERS` in order of preference, or "auto"; the CPU comes last without
        being named. Raises `ModelError`.
        """
        threads = threads or threads_beside_others()
        if not 1 <= threads <= MAX_THREADS:
            raise ModelError(f"{origin}: {threads} threads asked for, 1 to {MAX_THREADS} are possible")
        if len(data) > MAX_MODEL_BYTES:
            raise ModelError(f"{origin}: {len(data)} bytes, the limit is {MAX_MODEL_BYTES}")
        scan(data, origin)
        self.origin = origin
        self.threads = threads
        ready = without_defaults_among_inputs(data)
        self._session, self.provider_report = _open(ready, origin, threads, providers, deterministic)
        self.inputs = tuple(_spec(node, origin) for node in self._session.get_inputs())
        self.outputs = tuple(_spec(node, origin) for node in self._session.get_outputs())
        self.metadata: dict[str, str] = dict(self._session.get_modelmeta().custom_metadata_map)
        self._output_names = [spec.name for spec in self.outputs]
        if len(self.inputs) != 1:
            names = ", ".join(str(spec) for spec in self.inputs)
            raise ModelError(
                f"{origin}: has {len(self.inputs)} inputs ({names}); one image is all there is to give"
            )

    def run(self, tensor: npt.NDArray[Any]) -> list[npt.NDArray[np.float32]]:
        """The outputs for one input tensor, in the order of `outputs`; raises `ModelError` if it fails."""
        try:
            outputs: list[npt.NDArray[np.float32]] = self._session.run(
                self._output_names, {self.inputs[0].name: tensor}
            )
        except _ORT_ERRORS as error:
            raise ModelError(f"{self.origin}: inference failed: {_first_line(error)}") from error
        return outputs

    def require_input(self, dtype: str, shape: tuple[int | None, ...]) -> None:
        """Raise `ModelError` unless the input is `dtype` and `shape`; `None` asks for a free size."""
        spec = self.inputs[0]
        fits = len(spec.shape) == len(shape) and all(
            have is None or have == want for have, want in zip(spec.shape, shape, strict=True)
        )
        if spec.dtype != dtype or not fits:
            wanted = TensorSpec(name="image", dtype=dtype, shape=shape)
            raise ModelError(f"{self.origin}: its input is {spec}, its description says {wanted}")


def _ort_errors() -> tuple[type[Exception], ...]:
    names = (
        "Fail",
        "InvalidArgument",
        "InvalidGraph",
        "InvalidProtobuf",
        "NotImplemented",
        "RuntimeException",
    )
    module = ort.capi.onnxruntime_pybind11_state
    found = (getattr(module, name) for name in (*names, "NoSuchFile", "EPFail") if hasattr(module, name))
    return (RuntimeError, ValueError, *found)


_ORT_ERRORS = _ort_errors()


def _open(
    data: bytes, origin: str, threads: int, providers: Sequence[str], deterministic: bool
) -> tuple[ort.InferenceSession, ProviderReport]:
    unknown = [name for name in providers if name not in PROVIDERS and name != "auto"]
    if unknown:
        known = ", ".join(("auto", *PROVIDERS))
        raise ModelError(f"{origin}: unknown execution provider {unknown[0][:40]!r}; known are {known}")
    wanted = expand_providers(providers)
    present = set(ort.get_available_providers())
    refused = {name: "not in this build of onnxruntime" for name in wanted if PROVIDERS[name] not in present}
    options = _options(threads, deterministic)
    usable = [name for name in wanted if name not in refused]
    for name in usable[:]:  # onnxruntime takes each provider once: the first way asked for holds
        first = next(one for one in usable if PROVIDERS[one] == PROVIDERS[name])
        if first != name:
            usable.remove(name)
            refused[name] = f"{first} comes before it"
    while True:
        try:
            ways = [(PROVIDERS[name], _provider_options(name, threads)) for name in usable]
            session = ort.InferenceSession(data, options, providers=ways)
            break
        except _ORT_ERRORS as error:
            if usable == ["cpu"]:
                raise ModelError(f"{origin}: onnxruntime refuses it: {_first_line(error)}") from error
            refused[usable.pop(0)] = _first_line(error)
    got = set(session.get_providers())
    used = tuple(name for name in usable if PROVIDERS[name] in got)
    refused.update({name: "onnxruntime left it out" for name in usable if name not in used})
    return session, ProviderReport(wanted=wanted, used=used, refused=tuple(sorted(refused.items())))


def _provider_options(name: str, threads: int) -> dict[str, str]:
    """What a provider is told beyond the session's options: OpenVINO has threads and precision of its own."""
    if PROVIDERS[name] != PROVIDERS["openvino"]:
        return {}
    precision = "bf16" if name in LOW_PRECISION else "f32"
    # onnxruntime hands this to OpenVINO as it is; its own "precision" knows no bf16 on a CPU.
    config = {"CPU": {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": str(threads)}}
    return {"load_config": json.dumps(config)}


def _options(threads: int, deterministic: bool) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.use_deterministic_compute = deterministic
    options.log_severity_level = 3
    # Spinning threads double the time of an inference beside a busy video decoder (docs/decisions/0007).
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def _spec(node: ort.NodeArg, origin: str) -> TensorSpec:
    if node.type not in _DTYPES:
        raise ModelError(
            f"{origin}: {node.name} is {node.type}; only {', '.join(sorted(_DTYPES))} are understood"
        )
    shape = tuple(size if isinstance(size, int) and size > 0 else None for size in node.shape)
    return TensorSpec(name=node.name, dtype=_DTYPES[node.type], shape=shape)


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0][:300]
