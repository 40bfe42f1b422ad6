"""`model.toml`: what a model file is, how to feed and read it, and which labels may leave it."""

import re
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta

from skywarden.config import Config, load_config
from skywarden.errors import ConfigError, ModelError

FORBIDDEN_LABELS = frozenset(
    {
        "adult",
        "boy",
        "child",
        "crowd",
        "face",
        "girl",
        "gun",
        "head",
        "human",
        "man",
        "men",
        "pedestrian",
        "people",
        "person",
        "persons",
        "pistol",
        "rider",
        "rifle",
        "soldier",
        "swimmer",
        "torso",
        "walker",
        "weapon",
        "woman",
        "women",
    }
)
"""Words that may neither be let through nor be made up: people stay out of the picture."""

Fraction = Annotated[float, Meta(ge=0.0, le=1.0)]
SidePx = Annotated[int, Meta(ge=16, le=16_384)]
LabelText = Annotated[str, Meta(min_length=1, max_length=64)]


class InputDescription(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How an image becomes the network's input.

    `fit` is "letterbox" (shrunk or grown to width x height, at the top left, the rest filled with `fill`) or
    "reduce" (any size; shrunk by a whole number until the long side is at most `long_side_px`). `tensor` is
    "u8_hwc" (H, W, 3), "u8_nhwc" (1, H, W, 3) or "f32_nchw" (1, 3, H, W) of 0 to 255. Channels are BGR
    unless `channels` says "rgb".
    """

    fit: Literal["letterbox", "reduce"]
    tensor: Literal["u8_hwc", "u8_nhwc", "f32_nchw"]
    channels: Literal["bgr", "rgb"] = "bgr"
    width_px: SidePx | None = None
    height_px: SidePx | None = None
    fill: Annotated[int, Meta(ge=0, le=255)] = 114
    long_side_px: SidePx = 1280


class YoloxDescription(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to read a YOLOX head: boxes relative to the cells of grids with these strides."""

    strides: Annotated[tuple[Annotated[int, Meta(ge=1, le=256)], ...], Meta(min_length=1, max_length=8)] = (
        8,
        16,
        32,
    )
    nms_iou: Fraction = 0.45
    max_candidates: Annotated[int, Meta(ge=1, le=100_000)] = 2000
    max_boxes: Annotated[int, Meta(ge=1, le=4096)] = 300


class AnomalyDescription(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to read score maps; sizes are in pixels of the image handed in, areas in pixels of a map."""

    scales: Annotated[tuple[Annotated[int, Meta(ge=1, le=64)], ...], Meta(min_length=1, max_length=4)]
    grow_threshold: Fraction
    min_area: Annotated[int, Meta(ge=1, le=10_000)] = 3
    min_side_px: Annotated[float, Meta(ge=0.0, le=1000.0)] = 0.0
    max_side_share: Fraction = 0.5
    max_boxes: Annotated[int, Meta(ge=1, le=4096)] = 100


class GoldenOutput(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one output must be on the golden image: shape, mean, greatest value, evenly spaced samples."""

    name: str
    shape: tuple[int, ...]
    mean: float
    greatest: float
    samples: Annotated[tuple[float, ...], Meta(min_length=1, max_length=256)]


class GoldenDescription(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The self-test after loading: which image (see `models.golden`) and what the network must make of it."""

    recipe: Literal["patches"]
    tolerance: Annotated[float, Meta(gt=0.0, le=0.1)] = 1e-3
    outputs: Annotated[tuple[GoldenOutput, ...], Meta(min_length=1, max_length=32)]


class ModelDescription(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One model. `sha256` is its identity; `labels` are the network's classes in order.

    `allow` names, for each class that may leave, what it is called then; every other class is dropped before
    anything else sees it. `threshold` is the least score that leaves.
    """

    name: Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._\-]{0,63}$")]
    version: Annotated[str, Meta(min_length=1, max_length=32)]
    summary: Annotated[str, Meta(min_length=1, max_length=300)]
    licence: Annotated[str, Meta(min_length=1, max_length=100)]
    task: Literal["detect"]
    file: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.\-]{0,127}$")] = "model.onnx"
    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]
    decode: Literal["anomaly", "yolox"]
    labels: Annotated[tuple[LabelText, ...], Meta(min_length=1, max_length=256)]
    allow: Annotated[dict[LabelText, LabelText], Meta(min_length=1, max_length=256)]
    threshold: Fraction
    input: InputDescription
    yolox: YoloxDescription | None = None
    anomaly: AnomalyDescription | None = None
    golden: GoldenDescription

    @property
    def model_id(self) -> str:
        """Name, colon, first 16 hex digits of the sha256."""
        return f"{self.name}:{self.sha256[:16]}"

    @property
    def allowed_labels(self) -> tuple[str, ...]:
        """What a detection may be called, in the order of the network's classes, each once."""
        return tuple(dict.fromkeys(self.allow[label] for label in self.labels if label in self.allow))


def load_description(path: Path) -> ModelDescription:
    """Read and check a `model.toml`; raises `ModelError` with the file and what is wrong."""
    try:
        description = load_config(ModelDescription, path, prefix="MODEL", environ={})
    except ConfigError as error:
        raise ModelError(str(error)) from error
    problem = _problem(description)
    if problem:
        raise ModelError(f"{path}: {problem}")
    return description


def _problem(description: ModelDescription) -> str | None:
    """What in a description does not fit together, or `None`."""
    for name in (*description.allow, *description.allow.values()):
        if FORBIDDEN_LABELS & set(re.split(r"[^a-z]+", name.lower())):
            return f"allow names {name!r}; people and weapons are never let through. Take it out of [allow]"
    unknown = sorted(set(description.allow) - set(description.labels))
    if unknown:
        return f"allow names {unknown[0]!r}, which is not among its {len(description.labels)} labels"
    if len(set(description.labels)) != len(description.labels):
        return "labels holds a label twice"
    if getattr(description, description.decode) is None:
        return f'decode = "{description.decode}" needs a section [{description.decode}]'
    image = description.input
    if image.fit == "letterbox" and (image.width_px is None or image.height_px is None):
        return 'input.fit = "letterbox" needs width_px and height_px'
    if (image.fit == "reduce") != (image.tensor == "u8_hwc"):
        return f'input.fit = "{image.fit}" does not go with input.tensor = "{image.tensor}"'
    rules = description.anomaly
    if rules is not None and rules.grow_threshold > description.threshold:
        return f"anomaly.grow_threshold {rules.grow_threshold} is over threshold {description.threshold}"
    return None
