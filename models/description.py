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

MAX_DESCRIPTION_BYTES = 256 * 1024

_END_TO_END_COLUMNS = ("x0", "y0", "x1", "y1", "score", "class")

Fraction = Annotated[float, Meta(ge=0.0, le=1.0)]
SidePx = Annotated[int, Meta(ge=16, le=16_384)]
PositiveFloat = Annotated[float, Meta(gt=0.0, le=1e6)]
Strides = Annotated[tuple[Annotated[int, Meta(ge=1, le=256)], ...], Meta(min_length=1, max_length=8)]
CandidateCount = Annotated[int, Meta(ge=1, le=100_000)]
BoxCount = Annotated[int, Meta(ge=1, le=4096)]
LabelText = Annotated[str, Meta(min_length=1, max_length=64)]


class InputDescription(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How an image becomes the network's input.

    `fit` is "letterbox" (shrunk or grown to width x height, at the top left, the rest filled with `fill`),
    "stretch" (to width x height, whatever the aspect), "scale" (grown or shrunk by `scale`, then filled up to
    sides that `multiple_px` divides; shrunk further where the long side would be over `long_side_px`; for
    networks whose sides are free) or "reduce" (any size; shrunk by a whole number until the long side is at
    most `long_side_px`). `tensor` is "u8_hwc" (H, W, 3), "u8_nhwc" (1, H, W, 3), "u8_nchw" (1, 3, H, W) or
    "f32_nchw" (1, 3, H, W). Channels are BGR unless `channels` says "rgb". Floats are (value - mean) / std,
    channel by channel in that order; 0 and 1 leave 0 to 255 as it is.
    """

    fit: Literal["letterbox", "reduce", "scale", "stretch"]
    tensor: Literal["u8_hwc", "u8_nhwc", "u8_nchw", "f32_nchw"]
    channels: Literal["bgr", "rgb"] = "bgr"
    width_px: SidePx | None = None
    height_px: SidePx | None = None
    fill: Annotated[int, Meta(ge=0, le=255)] = 114
    long_side_px: SidePx = 1280
    scale: Annotated[float, Meta(ge=0.05, le=8.0)] = 1.0
    multiple_px: Annotated[int, Meta(ge=1, le=256)] = 32
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[PositiveFloat, PositiveFloat, PositiveFloat] = (1.0, 1.0, 1.0)

    @property
    def is_normalised(self) -> bool:
        """Whether mean or std change anything."""
        return self.mean != (0.0, 0.0, 0.0) or self.std != (1.0, 1.0, 1.0)

    @property
    def has_fixed_size(self) -> bool:
        """Whether every image becomes a tensor of the same size."""
        return self.fit in ("letterbox", "stretch")


class YoloxDescription(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to read a YOLOX head: boxes relative to the cells of grids with these strides.

    `is_decoded` says that the network has already made centres and sizes in pixels of them.
    """

    strides: Strides = (8, 16, 32)
    is_decoded: bool = False
    nms_iou: Fraction = 0.45
    max_candidates: CandidateCount = 2000
    max_boxes: BoxCount = 300


class GflDescription(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to read a head of generalised focal loss (NanoDet, PicoDet): scores, and side distances as bins.

    `bins` is how many there are for each side. `cell_offset` is where in its cell a point stands: 0.5 for its
    middle (PicoDet, NanoDet), 0 for its corner (NanoDet-Plus). `is_logit`: scores have not been through the
    sigmoid yet.
    """

    strides: Strides = (8, 16, 32, 64)
    bins: Annotated[int, Meta(ge=2, le=64)] = 8
    cell_offset: Fraction = 0.5
    is_logit: bool = False
    nms_iou: Fraction = 0.5
    max_candidates: CandidateCount = 2000
    max_boxes: BoxCount = 300


class RowsDescription(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to read rows of centre, size and scores that the network has decoded itself.

    `is_normalised`: the sides of the network's input are 1, not their pixels.
    """

    is_normalised: bool = False
    nms_iou: Fraction = 0.5
    max_candidates: CandidateCount = 2000
    max_boxes: BoxCount = 300


class EndToEndDescription(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to read rows that have been through suppression: x0, y0, x1, y1, score, class, in this order.

    `columns` names another order, as in "batch x0 y0 x1 y1 class score".
    """

    columns: Annotated[
        tuple[Literal["batch", "x0", "y0", "x1", "y1", "score", "class"], ...],
        Meta(min_length=6, max_length=7),
    ] = ("x0", "y0", "x1", "y1", "score", "class")
    is_normalised: bool = False
    max_boxes: BoxCount = 300


class DetrDescription(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to read a transformer's queries: boxes as centre and size (sides of the input are 1), and scores.

    `activation` is what makes scores of the second output: "sigmoid" (RT-DETR, D-FINE, Deformable DETR),
    "softmax" (DETR; its last class is "nothing") or "none" when they are scores already.
    """

    activation: Literal["sigmoid", "softmax", "none"] = "sigmoid"
    max_boxes: BoxCount = 300


class FastestDetDescription(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to read a FastestDet head: one map of objectness, box and class scores."""

    nms_iou: Fraction = 0.45
    max_candidates: CandidateCount = 2000
    max_boxes: BoxCount = 300


class SegmentDescription(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to read maps of areas: one label, told apart from its neighbours by boundary and distance.

    `channels` says what each map of the output is: "interior", "boundary", "distance" (to the boundary, up to
    `distance_px` of the input) or "other". Cells over `threshold` of the description inside and under
    `boundary_limit` on the boundary, with at least `seed_distance` of the greatest distance, are seeds; they
    grow over the rest of the inside. Areas below `min_area_px` (of the input) are dropped, holes below
    `min_hole_px` are filled, outlines are simplified to within `simplify_px`.

    An input with a side over `tile_px` is looked at in tiles that share at least `overlap_px`, their maps
    blended into one (0: never; for networks whose sides are free). `flips` averages the maps of 1, 2 or 4
    mirrored looks, at as many times the cost.
    """

    channels: Annotated[
        tuple[Literal["interior", "boundary", "distance", "other"], ...], Meta(min_length=1, max_length=16)
    ] = ("interior",)
    activation: Literal["sigmoid", "none"] = "none"
    boundary_limit: Fraction = 0.5
    seed_distance: Fraction = 0.35
    distance_px: PositiveFloat = 1.0
    min_area_px: Annotated[float, Meta(ge=0.0, le=1e6)] = 60.0
    min_hole_px: Annotated[float, Meta(ge=0.0, le=1e6)] = 60.0
    simplify_px: Annotated[float, Meta(ge=0.0, le=64.0)] = 0.7
    max_boxes: BoxCount = 1000
    tile_px: Annotated[int, Meta(ge=0, le=16_384)] = 0
    overlap_px: Annotated[int, Meta(ge=0, le=4096)] = 128
    flips: Literal[1, 2, 4] = 1


class ClassifyDescription(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to read a classifier: one score for each label, or one score alone for the one label."""

    activation: Literal["sigmoid", "softmax", "none"] = "none"


class AnomalyDescription(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to read score maps; sizes are in pixels of the image handed in, areas in pixels of a map."""

    scales: Annotated[tuple[Annotated[int, Meta(ge=1, le=64)], ...], Meta(min_length=1, max_length=4)]
    grow_threshold: Fraction
    min_area: Annotated[int, Meta(ge=1, le=10_000)] = 3
    min_side_px: Annotated[float, Meta(ge=0.0, le=1000.0)] = 0.0
    max_side_share: Fraction = 0.5
    max_boxes: BoxCount = 100


class StandDescription(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How single plants become stands aboard: areas called `label`, for which plots are told.

    Plants at most `reach` spacings apart belong together; a stand has at least `least_count` of them, and
    distances to the nearest neighbour that spread by at most `irregularity` of their mean (a grid: 0, chance:
    about 0.5).
    """

    label: LabelText
    least_count: Annotated[int, Meta(ge=3, le=1000)] = 12
    reach: Annotated[float, Meta(ge=1.1, le=5.0)] = 1.8
    irregularity: Annotated[float, Meta(ge=0.05, le=1.0)] = 0.4


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
    anything else sees it. `threshold` is the least score that leaves, `temperature` then makes scores what
    they claim to be: `models.evaluation.calibration` finds it, 1 leaves them alone.
    """

    name: Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._\-]{0,63}$")]
    version: Annotated[str, Meta(min_length=1, max_length=32)]
    summary: Annotated[str, Meta(min_length=1, max_length=300)]
    licence: Annotated[str, Meta(min_length=1, max_length=100)]
    task: Literal["classify", "detect", "segment"]
    file: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.\-]{0,127}$")] = "model.onnx"
    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]
    decode: Literal[
        "anomaly",
        "classify",
        "detr",
        "end_to_end",
        "fastestdet",
        "gfl",
        "segment",
        "yolov5",
        "yolov8",
        "yolox",
    ]
    labels: Annotated[tuple[LabelText, ...], Meta(min_length=1, max_length=256)]
    allow: Annotated[dict[LabelText, LabelText], Meta(min_length=1, max_length=256)]
    threshold: Fraction
    input: InputDescription
    temperature: Annotated[float, Meta(ge=0.05, le=20.0)] = 1.0
    gsd_m: Annotated[tuple[PositiveFloat, PositiveFloat] | None, Meta(description="finest, coarsest")] = None
    yolox: YoloxDescription | None = None
    anomaly: AnomalyDescription | None = None
    gfl: GflDescription = GflDescription()
    yolov5: RowsDescription = RowsDescription()
    yolov8: RowsDescription = RowsDescription()
    end_to_end: EndToEndDescription = EndToEndDescription()
    detr: DetrDescription = DetrDescription()
    fastestdet: FastestDetDescription = FastestDetDescription()
    segment: SegmentDescription = SegmentDescription()
    classify: ClassifyDescription = ClassifyDescription()
    stand: StandDescription | None = None
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
        size = path.stat().st_size
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror})") from error
    if size > MAX_DESCRIPTION_BYTES:
        raise ModelError(f"{path}: {size} bytes; a description has at most {MAX_DESCRIPTION_BYTES}")
    try:
        description = load_config(ModelDescription, path, prefix="MODEL", environ={})
    except ConfigError as error:
        raise ModelError(str(error)) from error
    require_consistent(description, str(path))
    return description


def require_consistent(description: ModelDescription, origin: str) -> None:
    """Raise `ModelError`, naming `origin`, when parts of a description do not fit together."""
    for check in (_label_problem, _input_problem, _decode_problem):
        problem = check(description)
        if problem:
            raise ModelError(f"{origin}: {problem}")


def _label_problem(description: ModelDescription) -> str | None:
    stand = () if description.stand is None else (description.stand.label,)
    for name in (*description.allow, *description.allow.values(), *stand):
        if FORBIDDEN_LABELS & set(re.split(r"[^a-z]+", name.lower())):
            return f"allow names {name!r}; people and weapons are never let through. Take it out of [allow]"
    unknown = sorted(set(description.allow) - set(description.labels))
    if unknown:
        return f"allow names {unknown[0]!r}, which is not among its {len(description.labels)} labels"
    if len(set(description.labels)) != len(description.labels):
        return "labels holds a label twice"
    return None


def _input_problem(description: ModelDescription) -> str | None:
    image = description.input
    if image.has_fixed_size and (image.width_px is None or image.height_px is None):
        return f'input.fit = "{image.fit}" needs width_px and height_px'
    if (image.fit == "reduce") != (image.tensor == "u8_hwc"):
        return f'input.fit = "{image.fit}" does not go with input.tensor = "{image.tensor}"'
    if image.is_normalised and image.tensor != "f32_nchw":
        return f'input.mean and input.std do not go with input.tensor = "{image.tensor}"'
    return None


def _decode_problem(description: ModelDescription) -> str | None:
    if getattr(description, description.decode) is None:
        return f'decode = "{description.decode}" needs a section [{description.decode}]'
    rules = description.anomaly
    if rules is not None and rules.grow_threshold > description.threshold:
        return f"anomaly.grow_threshold {rules.grow_threshold} is over threshold {description.threshold}"
    if (description.decode == "anomaly") != (description.input.fit == "reduce"):
        return f'decode = "{description.decode}" does not go with input.fit = "{description.input.fit}"'
    task = {"segment": "segment", "classify": "classify"}.get(description.decode, "detect")
    if description.task != task:
        return f'decode = "{description.decode}" is the task "{task}", not "{description.task}"'
    columns = description.end_to_end.columns
    if len(set(columns)) != len(columns) or {"batch", *columns} != {"batch", *_END_TO_END_COLUMNS}:
        return f"end_to_end.columns are {' '.join(columns)}; each of {' '.join(_END_TO_END_COLUMNS)} once"
    areas = description.segment.channels
    if areas.count("interior") != 1 or areas.count("boundary") > 1 or areas.count("distance") > 1:
        return f"segment.channels are {' '.join(areas)}; one interior, at most one boundary and distance"
    tile, overlap, step = description.segment.tile_px, description.segment.overlap_px, description.input
    if description.decode == "segment" and tile and (step.has_fixed_size or tile % step.multiple_px):
        return f"segment.tile_px {tile} goes with free sides only, and is a multiple of input.multiple_px"
    if description.decode == "segment" and tile and not 0 < overlap <= tile - step.multiple_px:
        return f"segment.overlap_px {overlap} with tiles of {tile} px"
    finest, coarsest = description.gsd_m or (0.0, 0.0)
    return f"gsd_m is {finest} to {coarsest}; the finest comes first" if finest > coarsest else None
