"""Every message that crosses a process or a link, as frozen structs.

Encoded as msgpack arrays (field order is the wire format): a new field goes to the END of its struct and has
a default; a field's meaning never changes; a reader ignores fields beyond those it knows. Times are UTC
nanoseconds. Altitudes name their datum. Floats are finite: NaN and infinity are refused on decoding.
Quaternions are (w, x, y, z) and named `q_TO_FROM`.
"""

from typing import Annotated, Literal

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Meta

Id = Annotated[str, Meta(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9_.:\-]+$")]
Name = Annotated[str, Meta(min_length=1, max_length=128)]
"""An `Id` whose characters `wire.decode` checks, all of a message at once: patterns were half of its cost."""
Label = Annotated[str, Meta(min_length=1, max_length=64)]
GENERIC_LABELS = frozenset({"anomaly", "object", "unknown"})
"""Said by detectors that know that something is there and not what."""
Text = Annotated[str, Meta(max_length=512)]
TimeNs = Annotated[int, Meta(ge=0, le=4_102_444_800_000_000_000)]  # 1970 .. 2100
Finite = Annotated[float, Meta(ge=-1e12, le=1e12)]
NonNegative = Annotated[float, Meta(ge=0.0, le=1e12)]
Latitude = Annotated[float, Meta(ge=-90.0, le=90.0)]
Longitude = Annotated[float, Meta(ge=-180.0, le=180.0)]
Unit = Annotated[float, Meta(ge=0.0, le=1.0)]
Count = Annotated[int, Meta(ge=0, le=2**53)]
Pixels = Annotated[int, Meta(ge=1, le=65_535)]
Blob = Annotated[bytes, Meta(max_length=262_144)]
Quaternion = tuple[Finite, Finite, Finite, Finite]
LatLon = tuple[Latitude, Longitude]
BoxPx = tuple[Finite, Finite, Finite, Finite]

Surface = Literal["terrain", "sea", "level"]
"""What the ray met: a terrain model, the sea surface, or level ground at a stated height."""


Motion = Literal["moving", "standing", "undecided"]
"""What is known of a track: that it moves, that it does not, or neither."""


class Message(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """Base of all messages; they hold no cycles, so that the garbage collector need not look at them."""


class Position(Message, frozen=True, kw_only=True, array_like=True):
    """A place on WGS 84 with its full uncertainty.

    `covariance_enu_m2` is the upper triangle (ee, en, eu, nn, nu, uu) of the covariance in local
    east-north-up metres. `ce90_m` and `le90_m` are the radius and half-height that hold the truth in 90 %
    of cases (MISB ST 0601 tags 45, 46).
    """

    latitude_deg: Latitude
    longitude_deg: Longitude
    alt_hae_m: Finite
    covariance_enu_m2: tuple[NonNegative, Finite, Finite, NonNegative, Finite, NonNegative]
    ce90_m: NonNegative
    le90_m: NonNegative
    surface: Surface


class Bearing(Message, frozen=True, kw_only=True, array_like=True):
    """Direction from the platform when there is no position: true azimuth, elevation above the horizon."""

    azimuth_deg: Annotated[float, Meta(ge=0.0, le=360.0)]
    elevation_deg: Annotated[float, Meta(ge=-90.0, le=90.0)]
    sigma_deg: NonNegative


class PlatformPose(Message, frozen=True, kw_only=True, array_like=True):
    """Where the platform is and how it lies at `time_ns`; `None` is "not known", never a zero."""

    platform_id: Id
    sortie_id: Id
    time_ns: TimeNs
    received_ns: TimeNs
    latitude_deg: Latitude | None
    longitude_deg: Longitude | None
    alt_hae_m: Finite | None
    alt_msl_m: Finite | None
    alt_rel_m: Finite | None
    heading_deg: Finite | None
    course_deg: Finite | None
    speed_mps: NonNegative | None
    climb_mps: Finite | None
    q_ned_body: Quaternion | None
    reason: Text | None = None


class GimbalPose(Message, frozen=True, kw_only=True, array_like=True):
    """How one sensor's gimbal points in north-east-down, resolved from whatever convention was heard."""

    platform_id: Id
    sensor_id: Id
    time_ns: TimeNs
    q_ned_gimbal: Quaternion
    source: Label


class FrameInfo(Message, frozen=True, kw_only=True, array_like=True):
    """One image, without its pixels; footprint corners go round the image from its upper left."""

    platform_id: Id
    sortie_id: Id
    sensor_id: Id
    frame_number: Count
    time_ns: TimeNs
    received_ns: TimeNs
    width_px: Pixels
    height_px: Pixels
    footprint: Annotated[tuple[LatLon, ...], Meta(max_length=16)] = ()
    frame_centre: LatLon | None = None
    no_position_reason: Text | None = None


class Detections(Message, frozen=True, kw_only=True, array_like=True):
    """All detections of one frame as columns (little-endian).

    Boxes are float32 (N, 4), scores float32 (N,), label indices uint8 (N,). Boxes are
    x0, y0, x1, y1 in pixels, origin at the centre of the upper-left pixel. Where several models looked at the
    frame, `model_ids` names them and `model_index_u8`, uint8 (N,), says whose each row is; `model_id` is
    then the first of them. Both are empty where one model looked.
    """

    platform_id: Id
    sortie_id: Id
    sensor_id: Id
    frame_number: Count
    time_ns: TimeNs
    model_id: Id
    labels: Annotated[tuple[Label, ...], Meta(max_length=256)]
    box_px_f32: Annotated[bytes, Meta(max_length=16 * 4096)]
    score_f32: Annotated[bytes, Meta(max_length=4 * 4096)]
    label_index_u8: Annotated[bytes, Meta(max_length=4096)]
    model_ids: Annotated[tuple[Id, ...], Meta(max_length=64)] = ()
    model_index_u8: Annotated[bytes, Meta(max_length=4096)] = b""

    def __post_init__(self) -> None:
        """Refuse columns of unequal length, non-finite numbers and what is not in its table."""
        count = len(self.label_index_u8)
        if len(self.box_px_f32) != 16 * count or len(self.score_f32) != 4 * count:
            raise ValueError(
                f"columns disagree: {len(self.box_px_f32)} box bytes, {len(self.score_f32)} score bytes, "
                f"{count} labels"
            )
        if count and max(self.label_index_u8) >= len(self.labels):
            raise ValueError(f"label index {max(self.label_index_u8)} but only {len(self.labels)} labels")
        if self.model_ids or self.model_index_u8:
            if len(self.model_index_u8) != count:
                raise ValueError(f"columns disagree: {len(self.model_index_u8)} models, {count} labels")
            if count and max(self.model_index_u8) >= len(self.model_ids):
                raise ValueError(
                    f"model index {max(self.model_index_u8)} but only {len(self.model_ids)} models"
                )
        if not (np.isfinite(self.box_px).all() and np.isfinite(self.score).all()):
            raise ValueError("a box or score is not finite")

    @property
    def box_px(self) -> npt.NDArray[np.float32]:
        """Boxes, shape (N, 4), read-only view."""
        return np.frombuffer(self.box_px_f32, dtype="<f4").reshape(-1, 4)

    @property
    def score(self) -> npt.NDArray[np.float32]:
        """Scores 0..1, shape (N,), read-only view."""
        return np.frombuffer(self.score_f32, dtype="<f4")

    @property
    def label_index(self) -> npt.NDArray[np.uint8]:
        """Index into `labels`, shape (N,), read-only view."""
        return np.frombuffer(self.label_index_u8, dtype=np.uint8)


TrackStatus = Literal["tentative", "confirmed", "coasting", "dropped"]


class Track(Message, frozen=True, kw_only=True, array_like=True):
    """One object through time as one platform sees it; position and velocity are the filter's estimate.

    `model_id` is the model whose detection it was last given; `None`: not told (platforms before 2026-12).
    """

    track_id: Id
    platform_id: Id
    sortie_id: Id
    sensor_id: Id
    time_ns: TimeNs
    first_ns: TimeNs
    status: TrackStatus
    label: Label
    score: Unit
    look_count: Count
    position: Position | None
    course_deg: Finite | None = None
    speed_mps: NonNegative | None = None
    velocity_covariance_en_m2ps2: tuple[NonNegative, Finite, NonNegative] | None = None
    model_id: Id | None = None


class Sighting(Message, frozen=True, kw_only=True, array_like=True):
    """A logged observation of a track: when, where (or which way and why no place), how sure, by what.

    `sighting_id` is deterministic: platform, sortie, sensor, track number and frame number.
    `position_doubt` is why the platform's own position was suspect when the place was found (a reason word
    such as gnss_disagree); the covariance is widened accordingly. None: it was not, or there is no place.
    `motion` is what its track, of which it is a look, was known to do by then: moving or standing beyond
    doubt, or undecided; None: not told. `velocity_en_mps` is the track's velocity then, where it is moving:
    east, north, and the covariance ee, en, nn in (m/s) squared.
    """

    sighting_id: Name
    track_id: Name
    platform_id: Name
    sortie_id: Name
    sensor_id: Name
    frame_number: Count
    time_ns: TimeNs
    label: Label
    score: Unit
    model_id: Name
    box_px: BoxPx
    position: Position | None
    bearing: Bearing | None
    no_position_reason: Text | None
    slant_range_m: NonNegative | None = None
    platform_position: tuple[Latitude, Longitude, Finite] | None = None
    size_m: tuple[NonNegative, NonNegative] | None = None
    is_exercise: bool = False
    position_doubt: Label | None = None
    motion: Motion | None = None
    velocity_en_mps: tuple[Finite, Finite, NonNegative, Finite, NonNegative] | None = None


class Chip(Message, frozen=True, kw_only=True, array_like=True):
    """The image cut out around a detection; `box_in_chip_px` frames the object inside it."""

    chip_id: Id
    sighting_id: Id
    platform_id: Id
    time_ns: TimeNs
    media_type: Literal["image/jpeg", "image/webp", "image/png"]
    width_px: Pixels
    height_px: Pixels
    box_in_chip_px: BoxPx
    data: Blob


HealthState = Literal["ok", "degraded", "failed"]


class Health(Message, frozen=True, kw_only=True, array_like=True):
    """One condition of one component: when it began, when it was last true, what to do about it.

    `component` is such as `camera.eo`, `mavlink`, `vision`, `outbox`, `downlink`, `recorder`, `clock`;
    `condition` is such as `stalled`, `frozen`, `black`, `resolution_changed`, `telemetry_stale`. A condition
    that ended is sent once more with state `ok`. `values` are plain numbers (fps, delay, depth, bytes).
    """

    platform_id: Id
    component: Id
    condition: Id
    state: HealthState
    time_ns: TimeNs
    since_ns: TimeNs
    text: Text
    values: Annotated[dict[Label, Finite], Meta(max_length=64)] = {}


class Ack(Message, frozen=True, kw_only=True, array_like=True):
    """The ground has committed every record of `boot_id` up to `contiguous_seq`, except the missing ranges.

    `missing` are inclusive (first, last) pairs beyond `contiguous_seq` that the ground has not got; the last
    one is open-ended (to 2**53): what no range speaks of is not acknowledged.
    """

    platform_id: Id
    boot_id: Id
    contiguous_seq: Count
    missing: Annotated[tuple[tuple[Count, Count], ...], Meta(max_length=256)] = ()


MAX_LIVE_PER_S = 4.0
"""A live view is a slow one: it is for knowing what the camera looks at, not for watching motion."""
MIN_LOOK_PX, MAX_LOOK_PX = 160, 640


class ModelRequest(Message, frozen=True, kw_only=True, array_like=True):
    """What to do about the model of one detector aboard.

    `model` is what to stage: the name of a model that is aboard already; files never travel this way.
    `detector` may be left out where the camera has one. `is_forced` promotes against the shadow's verdict.
    """

    action: Literal["stage", "promote", "rollback"]
    model: Id | None = None
    detector: Id | None = None
    is_forced: bool = False


class Tasking(Message, frozen=True, kw_only=True, array_like=True):
    """An operator's request to a platform, with an id under which its receipt comes back.

    `is_whole_frame` asks for the whole source frame instead of the region round the sighting. A "live_view"
    asks for looks of `sensor_id` (`None`: every camera) until `expires_ns`, at most `frames_per_s` of them
    and `width_px` wide; 0 a second ends it. A "model" does what `model_order` says for `sensor_id` (`None`:
    the only camera).
    """

    tasking_id: Id
    platform_id: Id
    time_ns: TimeNs
    expires_ns: TimeNs
    kind: Literal["full_resolution", "threshold", "mute_area", "follow", "live_view", "model"]
    sighting_id: Id | None = None
    label: Label | None = None
    score: Unit | None = None
    area: Annotated[tuple[LatLon, ...], Meta(max_length=256)] = ()
    is_whole_frame: bool = False
    sensor_id: Id | None = None
    frames_per_s: Annotated[float, Meta(ge=0.0, le=MAX_LIVE_PER_S)] | None = None
    width_px: Annotated[int, Meta(ge=MIN_LOOK_PX, le=MAX_LOOK_PX)] | None = None
    model_order: ModelRequest | None = None


class TaskingReceipt(Message, frozen=True, kw_only=True, array_like=True):
    """What became of a tasking."""

    tasking_id: Id
    platform_id: Id
    time_ns: TimeNs
    state: Literal["accepted", "refused", "done"]
    text: Text = ""


class Gap(Message, frozen=True, kw_only=True, array_like=True):
    """Records of one outbox that were given up for want of space; itself a record, chained and signed.

    `ranges` are (first number, last number, chain after the last): with the chain's value behind the hole the
    order of what is left can still be proved. `counts` says how many of which topic went. Without ranges
    they were lost before they had a number (the disk refused and memory was full).
    """

    platform_id: Id
    boot_id: Id
    time_ns: TimeNs
    reason: Literal["outbox_full", "memory_full"]
    counts: Annotated[dict[Label, Count], Meta(max_length=64)]
    ranges: Annotated[
        tuple[tuple[Count, Count, Annotated[bytes, Meta(min_length=32, max_length=32)]], ...],
        Meta(max_length=1000),
    ] = ()


class ClockReport(Message, frozen=True, kw_only=True, array_like=True):
    """How far a platform's UTC is from its ground station's, as the platform found by round trips.

    `offset_s` is the platform's clock minus the ground's; the truth is within `bound_s` of it, however
    unequal the two ways of the link are. `drift_ppm` is how fast it grows, `None` while that is not known.
    `time_ns` is by the platform's clock.
    """

    platform_id: Id
    time_ns: TimeNs
    offset_s: Finite
    bound_s: NonNegative
    round_trip_s: NonNegative
    drift_ppm: Finite | None = None
    drift_bound_ppm: NonNegative | None = None


SizeM2 = tuple[NonNegative, NonNegative, NonNegative]
"""Square metres: the value, and the interval that holds the truth in 90 % of cases."""

MAX_RING_VERTICES = 512
MAX_PLOT_VERTICES = 1024


class Plot(Message, frozen=True, kw_only=True, array_like=True):
    """A polygon of suspected cultivation as one platform knows it by now; later ones of its id are better.

    `rings_e7_i32` are the outer ring (counter-clockwise) and its holes (clockwise), not closed: columns of
    little-endian int32 (latitude, longitude) in units of 1e-7 degrees, 1 cm. `position` is the middle.
    `area_m2` is planimetric on the ellipsoid, `surface_area_m2` along the slope. Of a plot that `is_complete`
    does not say, only a part has been seen, and the areas are of that part.
    """

    plot_id: Id
    platform_id: Id
    sortie_id: Id
    sensor_id: Id
    time_ns: TimeNs
    first_ns: TimeNs
    label: Label
    score: Unit
    look_count: Count
    model_id: Id
    rings_e7_i32: Annotated[
        tuple[Annotated[bytes, Meta(min_length=24, max_length=8 * MAX_RING_VERTICES)], ...],
        Meta(min_length=1, max_length=33),
    ]
    is_complete: bool
    position: Position
    area_m2: SizeM2
    surface_area_m2: SizeM2
    slope_deg: Annotated[float, Meta(ge=0.0, le=90.0)]
    is_exercise: bool = False

    def __post_init__(self) -> None:
        """Refuse half vertices, too many of them, places off the earth and intervals without their value."""
        if any(len(ring) % 8 for ring in self.rings_e7_i32):
            raise ValueError("a ring is not a whole number of vertices")
        if sum(len(ring) for ring in self.rings_e7_i32) > 8 * MAX_PLOT_VERTICES:
            raise ValueError(f"more than {MAX_PLOT_VERTICES} vertices in a plot")
        for ring in self.rings_deg:
            if not (np.abs(ring) <= (90.0, 180.0)).all():
                raise ValueError("a vertex of a plot is not on the earth")
        for value, low, high in (self.area_m2, self.surface_area_m2):
            if not low <= value <= high:
                raise ValueError(f"an area of {value} m2 is not within {low} to {high} m2")

    @property
    def rings_deg(self) -> tuple[npt.NDArray[np.float64], ...]:
        """Latitude and longitude in degrees, (N, 2), of the outer ring and the holes."""
        return tuple(np.frombuffer(ring, dtype="<i4").reshape(-1, 2) * 1e-7 for ring in self.rings_e7_i32)


MAX_LOOK_BOXES = 64
_IMAGE_BEGINS = {"image/jpeg": b"\xff\xd8\xff", "image/webp": b"RIFF"}
"""The first bytes of what a media type promises."""


class Look(Message, frozen=True, kw_only=True, array_like=True):
    """What a camera sees now, small: one whole frame with the boxes of its detections. It is no evidence.

    The image is at most `MAX_LOOK_PX` wide, of a frame of `frame_width_px` by `frame_height_px`. Columns, at
    most `MAX_LOOK_BOXES` of the `detection_count` detections, best score first: `box_u16` are left, top,
    right, bottom (N, 4) as little-endian uint16 in 65535ths of the frame's width and height, `score_u8`
    255ths, `label_index_u8` points into `labels`, `track_number` is 0 where no confirmed track took the
    detection; with `track_prefix` it makes the track's id. `footprint` goes round the image from its upper
    left; `ce90_m` is the horizontal uncertainty of the frame's centre; `no_position_reason` says why there is
    no place, `position_doubt` why it is suspect. `is_live`: somebody asked for a live view.
    """

    platform_id: Id
    sortie_id: Id
    sensor_id: Id
    frame_number: Count
    time_ns: TimeNs
    kind: Literal["eo", "thermal"]
    media_type: Literal["image/jpeg", "image/webp"]
    width_px: Annotated[int, Meta(ge=1, le=MAX_LOOK_PX)]
    height_px: Annotated[int, Meta(ge=1, le=4 * MAX_LOOK_PX)]
    frame_width_px: Pixels
    frame_height_px: Pixels
    data: Annotated[bytes, Meta(min_length=12, max_length=65_536)]
    labels: Annotated[tuple[Label, ...], Meta(max_length=MAX_LOOK_BOXES)] = ()
    box_u16: Annotated[bytes, Meta(max_length=8 * MAX_LOOK_BOXES)] = b""
    score_u8: Annotated[bytes, Meta(max_length=MAX_LOOK_BOXES)] = b""
    label_index_u8: Annotated[bytes, Meta(max_length=MAX_LOOK_BOXES)] = b""
    track_number: Annotated[tuple[Count, ...], Meta(max_length=MAX_LOOK_BOXES)] = ()
    track_prefix: Id | None = None
    detection_count: Count = 0
    footprint: Annotated[tuple[LatLon, ...], Meta(max_length=4)] = ()
    frame_centre: LatLon | None = None
    ce90_m: NonNegative | None = None
    no_position_reason: Text | None = None
    position_doubt: Label | None = None
    is_live: bool = False
    is_exercise: bool = False

    def __post_init__(self) -> None:
        """Refuse columns that disagree, boxes inside out, and bytes that are not the image they promise."""
        count = len(self.label_index_u8)
        if len(self.box_u16) != 8 * count or len(self.score_u8) != count or len(self.track_number) != count:
            raise ValueError(
                f"columns disagree: {len(self.box_u16)} box bytes, {len(self.score_u8)} scores, "
                f"{len(self.track_number)} tracks, {count} labels"
            )
        if count and max(self.label_index_u8) >= len(self.labels):
            raise ValueError(f"label index {max(self.label_index_u8)} but only {len(self.labels)} labels")
        if any(self.track_number) and self.track_prefix is None:
            raise ValueError("track numbers without what their ids begin with")
        boxes = self.box_share
        if (boxes[:, :2] > boxes[:, 2:]).any():
            raise ValueError("a box is inside out")
        begins = _IMAGE_BEGINS[self.media_type]
        is_webp = self.media_type == "image/webp"
        if not self.data.startswith(begins) or (is_webp and self.data[8:12] != b"WEBP"):
            raise ValueError(f"the image does not begin as {self.media_type} does")

    @property
    def box_share(self) -> npt.NDArray[np.float64]:
        """Left, top, right, bottom as shares 0..1 of the frame's width and height, shape (N, 4)."""
        return np.frombuffer(self.box_u16, dtype="<u2").reshape(-1, 4) / 65_535.0

    def track_id(self, index: int) -> str | None:
        """The id of the track that took detection `index`, if one did."""
        number = self.track_number[index]
        return f"{self.track_prefix}.t{number}" if number else None
