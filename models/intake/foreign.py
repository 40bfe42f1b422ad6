"""Writes the `model.toml` of somebody else's ONNX file from what the file itself says.

Read are the metadata that Ultralytics' exporter writes (`names`, `imgsz`, `task`, `stride`), those of our own
(`skywarden.decode`, `skywarden.preprocess`), and the sizes of inputs and outputs. What remains open has to be
said by whoever brings the model; nothing is guessed silently.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from models.decoders.candidates import grid
from models.description import FORBIDDEN_LABELS, InputDescription, ModelDescription, require_consistent
from models.golden import as_toml, golden_image, measure
from models.intake.literals import read_names
from models.letterbox import make_fit
from models.network import NetworkDetector
from models.session import ModelSession, TensorSpec, sha256_of
from skywarden.errors import ModelError

VESSEL_WORDS = frozenset(
    {
        "barge",
        "boat",
        "dinghy",
        "ferry",
        "lifeboat",
        "motorboat",
        "panga",
        "sailboat",
        "ship",
        "skiff",
        "speedboat",
        "tanker",
        "trawler",
        "tugboat",
        "vessel",
        "warship",
        "yacht",
    }
)
"""Last words of classes that become "vessel" when nobody says what may leave."""

OWN_LABELS = frozenset({"vessel", "anomaly", "parcel", "plot", "plant", "palm", "plantation", "field"})


_IMAGENET_MEAN_RGB = (123.675, 116.28, 103.53)
_IMAGENET_STD_RGB = (58.395, 57.12, 57.375)
_MAX_NOTE = 10_000
_GRIDS = ((8, 16, 32), (8, 16, 32, 64))


@dataclass(frozen=True, kw_only=True, slots=True)
class Wishes:
    """What the person who brings a model says about it; `None` leaves it to the file.

    `allow` is class = label for what may leave. `size_px` is needed where the file's own size is free.
    """

    name: str
    version: str = "1"
    summary: str = "Described from its own metadata"
    licence: str | None = None
    allow: Mapping[str, str] = field(default_factory=dict)
    labels: Sequence[str] = ()
    decode: str | None = None
    threshold: float = 0.3
    size_px: tuple[int, int] | None = None
    channels: str | None = None
    normalise: str | None = None


def is_vessel(label: str) -> bool:
    """Whether a class is some vessel by its last word: "fishing boats", not "boat house"."""
    words = re.findall(r"[a-z]+", label.lower())
    return bool(words) and bool({words[-1], words[-1].removesuffix("s")} & VESSEL_WORDS)


def describe_foreign(data: bytes, origin: str, wishes: Wishes, *, file_name: str) -> str:
    """The text of a `model.toml` for an ONNX file; its golden section is computed here and now.

    Raises `ModelError` that says what the file leaves open, and how to say it.
    """
    session = ModelSession(data, origin=origin)
    labels = tuple(wishes.labels) or _labels(session.metadata, origin)
    said = _said(session.metadata, "skywarden.decode", origin)
    rules = {key: value for key, value in said.items() if key != "kind"}
    if wishes.decode not in (None, said.get("kind")):
        rules = {}
    image = _input_tree(session.inputs[0], session.metadata, wishes, origin)
    kind = wishes.decode or said.get("kind")
    if kind is None:
        kind = _decode_kind(session.outputs, session.metadata, len(labels), origin)
        rules = {}
    if kind in ("rows", "yolox") and not rules:
        kind, rules = _of_rows(session, image, kind, origin)
    if kind == "gfl" and not rules:
        rules = _of_bins(session, image, len(labels), origin)
    tree: dict[str, Any] = {
        "name": wishes.name,
        "version": wishes.version,
        "summary": wishes.summary,
        "licence": (wishes.licence or session.metadata.get("license") or "not stated")[:100],
        "task": {"classify": "classify", "segment": "segment"}.get(kind, "detect"),
        "file": file_name,
        "sha256": sha256_of(data),
        "decode": kind,
        "labels": list(labels),
        "threshold": wishes.threshold,
        "allow": dict(wishes.allow) or _default_allow(labels, origin),
        "input": image,
    }
    if rules or kind == "yolox":
        tree[kind] = rules
    return _with_golden(tree, session, origin)


def _with_golden(tree: dict[str, Any], session: ModelSession, origin: str) -> str:
    """The tree as TOML, checked, with the golden section that this network makes."""
    due = {"name": "x", "shape": [1], "mean": 0.0, "greatest": 0.0, "samples": [0.0]}
    draft = {**tree, "golden": {"recipe": "patches", "outputs": [due]}}
    try:
        description = msgspec.convert(draft, ModelDescription)
    except msgspec.ValidationError as error:
        raise ModelError(f"{origin}: {error}") from error
    require_consistent(description, origin)
    NetworkDetector(description, session, self_test=False)  # does what was said fit the file?
    golden = as_toml(measure(session, make_fit(description.input)))
    return f"{to_toml(tree)}\n{golden}"


def _labels(metadata: Mapping[str, str], origin: str) -> tuple[str, ...]:
    if "names" not in metadata:
        raise ModelError(
            f"{origin}: its metadata names no classes; say them in order with --labels boat,buoy,..."
        )
    try:
        names = read_names(metadata["names"])
    except ModelError as error:
        raise ModelError(f"{origin}: its metadata's names: {error}") from error
    if not 1 <= len(names) <= 256:
        raise ModelError(f"{origin}: {len(names)} classes; 1 to 256 are possible")
    return names


def _default_allow(labels: Sequence[str], origin: str) -> dict[str, str]:
    found = {
        label: "vessel" if is_vessel(label) else label.lower()
        for label in labels
        if (is_vessel(label) or label.lower() in OWN_LABELS) and label.lower() not in FORBIDDEN_LABELS
    }
    if not found:
        shown = ", ".join(labels[:12])
        raise ModelError(
            f"{origin}: none of its classes ({shown}) is known here; say which may leave and as what, as in "
            "--allow CLASS=vessel"
        )
    return found


def _decode_kind(
    outputs: Sequence[TensorSpec], metadata: Mapping[str, str], class_count: int, origin: str
) -> str:
    task = metadata.get("task", "").strip().strip("'\"")
    if task == "classify":
        return "classify"
    kind = _kind_by_shape([spec.shape for spec in outputs], class_count)
    if kind is None or task not in ("", "detect", "segment"):
        found = ", ".join(str(spec) for spec in outputs)
        raise ModelError(
            f"{origin}: how to read its outputs ({found}; {class_count} classes) is not plain; say it with "
            "--decode yolox|gfl|yolov5|yolov8|end_to_end|detr|fastestdet|segment|classify"
        )
    return kind


def _of_rows(
    session: ModelSession, image: Mapping[str, Any], kind: str, origin: str
) -> tuple[str, dict[str, Any]]:
    """YOLOX writes one row of 5 + classes for each cell, YOLOv5 three: which it is, the strides, and whether
    YOLOX's rows are in pixels already, is told by what the network makes of the golden image."""
    outputs, size_px = _golden_run(session, image, origin)
    rows = outputs[0].reshape(-1, outputs[0].shape[-1])
    for strides in _GRIDS:
        cells = len(grid(size_px, strides)[1])
        if len(rows) == 3 * cells and kind == "rows":
            return "yolov5", {}
        if len(rows) == cells:
            is_decoded = bool(rows[:, 0].max() > size_px[0] / 2)
            return "yolox", {"strides": list(strides), "is_decoded": is_decoded}
    if kind == "yolox":
        return "yolox", {}
    raise ModelError(
        f"{origin}: {len(rows)} rows at {size_px[0]} x {size_px[1]} are neither YOLOX's nor YOLOv5's; say "
        "how to read them with --decode"
    )


def _of_bins(
    session: ModelSession, image: Mapping[str, Any], class_count: int, origin: str
) -> dict[str, Any]:
    """Strides and bins of a GFL head by the sizes of what it writes; nothing where they fit no grid."""
    outputs, size_px = _golden_run(session, image, origin)
    sizes = [one.shape for one in outputs if one.ndim == 3]
    scores = [shape[1] for shape in sizes if shape[2] == class_count]
    sides = {shape[2] for shape in sizes if shape[2] != class_count} or {class_count}
    for strides in _GRIDS:
        cells = [len(grid(size_px, (stride,))[1]) for stride in strides]
        if len(sizes) == 2 * len(strides) and len(sides) == 1 and scores[: len(cells)] == cells:
            return {"strides": list(strides), "bins": sides.pop() // 4}
        if len(sizes) == 1 and sizes[0][1] == sum(cells):
            return {"strides": list(strides), "bins": (sizes[0][2] - class_count) // 4}
    return {}


def _golden_run(
    session: ModelSession, image: Mapping[str, Any], origin: str
) -> tuple[list[npt.NDArray[np.float32]], tuple[int, int]]:
    """What the network makes of the golden image, and the width and height that it was shown."""
    try:
        fit = make_fit(msgspec.convert(image, InputDescription))
    except msgspec.ValidationError as error:
        raise ModelError(f"{origin}: {error}") from error
    size_px = int(image["width_px"]), int(image["height_px"])
    return session.run(fit.place(golden_image())[0]), size_px


def _kind_by_shape(shapes: Sequence[tuple[int | None, ...]], class_count: int) -> str | None:
    """What only one kind of network writes, told by sizes; `None` where it is not plain."""
    first = shapes[0]
    if len(shapes) == 1 and first == (1, class_count):
        return "classify"
    if len(shapes) == 2 and {shapes[0][-1], shapes[1][-1]} == {4, class_count} and class_count != 4:
        return "detr"
    if len(first) == 4 and len(shapes) == 1 and first[1] == 5 + class_count:
        return "fastestdet"
    if len(first) != 3:
        return None
    last = {shape[-1] for shape in shapes}
    if (
        len(shapes) in (6, 8)
        and class_count in last
        and all(side and side % 4 == 0 for side in last - {class_count})
    ):
        return "gfl"
    fits = {
        "yolov8": first[1] in (4 + class_count, 4 + class_count + 32) and first[2] not in (6, 7),
        "end_to_end": first[2] == 6 and first[1] != 4 + class_count,
        "rows": first[2] == 5 + class_count != 6,
    }
    found = [kind for kind, is_so in fits.items() if is_so]
    return found[0] if len(found) == 1 else None


def _input_tree(spec: TensorSpec, metadata: Mapping[str, str], wishes: Wishes, origin: str) -> dict[str, Any]:
    is_float = spec.dtype == "float32"
    if len(spec.shape) != 4 or (is_float and spec.shape[1] != 3):
        raise ModelError(f"{origin}: its input is {spec}; (1, 3, H, W) or, of bytes, (1, H, W, 3) can be fed")
    planes = spec.shape[1] == 3
    height, width = spec.shape[2:] if planes else spec.shape[1:3]
    if wishes.size_px is not None:
        width, height = wishes.size_px
    elif width is None or height is None:
        width, height = _size_said(metadata, origin)
    tree: dict[str, Any] = {
        "fit": "letterbox",
        "tensor": "f32_nchw" if is_float else "u8_nchw" if planes else "u8_nhwc",
        "width_px": width,
        "height_px": height,
    }
    said = _said(metadata, "skywarden.preprocess", origin)
    is_ultralytics = "names" in metadata and "stride" in metadata
    order = wishes.channels or said.get("order") or ("rgb" if is_ultralytics else "bgr")
    tree["channels"] = str(order).lower()
    kind = wishes.normalise
    if is_float and kind is None:
        tree |= {name: said[name] for name in ("mean", "std") if name in said}
        kind = "255" if is_ultralytics and "mean" not in said else None
    if is_float and kind == "255":
        tree["std"] = [255.0, 255.0, 255.0]
    elif is_float and kind == "imagenet":
        turn = 1 if tree["channels"] == "rgb" else -1
        tree |= {"mean": list(_IMAGENET_MEAN_RGB)[::turn], "std": list(_IMAGENET_STD_RGB)[::turn]}
    return tree


def _size_said(metadata: Mapping[str, str], origin: str) -> tuple[int, int]:
    found = re.fullmatch(r"\s*[\[(]\s*(\d{2,5})\s*,\s*(\d{2,5})\s*[\])]\s*", metadata.get("imgsz", ""))
    if found is None:
        raise ModelError(f"{origin}: its input may have any size; say one with --size 640x640")
    return int(found.group(2)), int(found.group(1))


def _said(metadata: Mapping[str, str], key: str, origin: str) -> dict[str, Any]:
    """What our own exporter noted under a key, as an object; a bare word is its "kind"."""
    text = metadata.get(key, "").strip()
    if not text:
        return {}
    if re.fullmatch(r"[a-z0-9_]{1,32}", text):
        return {"kind": text}
    if len(text) > _MAX_NOTE:
        raise ModelError(f"{origin}: {key} has {len(text)} characters; at most {_MAX_NOTE} are read")
    try:
        tree = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ModelError(f"{origin}: its {key} is no JSON") from error
    return tree if isinstance(tree, dict) else {}


def to_toml(tree: Mapping[str, Any]) -> str:
    """A description's tree as TOML: plain keys first, then one section for each table."""
    plain = [f"{key} = {_value(value)}" for key, value in tree.items() if not isinstance(value, Mapping)]
    lines = ["# Written by `skywarden models describe`; read it, and correct it where it is wrong.", *plain]
    for key, value in tree.items():
        if isinstance(value, Mapping):
            lines += ["", f"[{key}]", *(f"{_key(name)} = {_value(one)}" for name, one in value.items())]
    return "\n".join(lines) + "\n"


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _value(name)


def _value(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(_value(one) for one in value)}]"
    # JSON's strings, numbers and words are TOML's too, but for what JSON leaves as it is above U+007F.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
