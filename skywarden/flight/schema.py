"""What stands in a flight folder: `flight.json`, the lines of `frames.jsonl`, and which paths are safe.

    20261121T184210Z_uav07/
      flight.json       who, which cameras, which clock, from what          (this module's `FlightInfo`)
      telemetry.tlog    MAVLink as it was heard, each frame with its time   (8-byte big-endian us, raw frame)
      frames/SENSOR/    images, bytes untouched
      video/SENSOR.ts   or a video, bytes untouched
      frames.jsonl      one line an image: sensor, number, UTC, file or pts (`FrameLine`)
      ais.nmea  plan.plan  truth.geojson                                    optional
      MANIFEST.sha256   written last, as `sha256sum` reads it

Unknown keys are ignored, so that an older program reads a newer flight of the same schema version.
"""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from skywarden.errors import FlightError
from skywarden.messages import Count, Finite, Id, NonNegative, Pixels, Text, TimeNs

SCHEMA_VERSION = 1
MAX_FLIGHT_JSON_BYTES = 4_000_000
MAX_LINE_BYTES = 4_096
MAX_PATH_CHARS = 512
MAX_IMAGE_BYTES = 256_000_000
MAX_MANIFEST_BYTES = 256_000_000

FLIGHT_JSON = "flight.json"
TELEMETRY = "telemetry.tlog"
FRAMES = "frames.jsonl"
AIS = "ais.nmea"
MANIFEST = "MANIFEST.sha256"

RelativePath = Annotated[str, Meta(min_length=1, max_length=MAX_PATH_CHARS)]
Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]
CameraTree = dict[str, int | float | str | list[float] | None]

_UNSAFE = re.compile(r"[\x00-\x1f\x7f\\]")
_WINDOWS_DRIVE = re.compile(r"^[A-Za-z]:")


class FixedMount(msgspec.Struct, frozen=True, kw_only=True, tag="fixed"):
    """A camera bolted to the airframe: boresight against the body as roll, pitch, yaw in degrees.

    The angles turn a camera that looks along the nose with image up = body up (as MAVLink's gimbals
    count them), yaw first, then pitch, then roll: pitch -90 looks straight down with image up = forward.
    """

    roll_deg: Finite = 0.0
    pitch_deg: Finite = 0.0
    yaw_deg: Finite = 0.0


class GimbalMount(msgspec.Struct, frozen=True, kw_only=True, tag="gimbal"):
    """A camera on a gimbal; how it points stands in the telemetry, where the gimbal told it.

    `gimbal_device_id` is the MAVLink component that tells (`None`: the only one that is heard).
    """

    gimbal_device_id: Annotated[int, Meta(ge=0, le=255)] | None = None


Mount = FixedMount | GimbalMount


class ImageFolder(msgspec.Struct, frozen=True, kw_only=True, tag="images"):
    """Images, one file each, named by the lines of `frames.jsonl`."""

    path: RelativePath


class VideoFile(msgspec.Struct, frozen=True, kw_only=True, tag="video"):
    """One video stream in one file; `frames.jsonl` gives UTC for each presentation time stamp.

    A pts counts units of `time_base` (numerator, denominator) seconds. `frames` is how many pictures the
    container holds, where that was counted.
    """

    path: RelativePath
    stream_index: Annotated[int, Meta(ge=0, le=1024)] = 0
    time_base: tuple[Annotated[int, Meta(ge=1)], Annotated[int, Meta(ge=1)]]
    codec: Annotated[str, Meta(max_length=64)] = ""
    frames: Count | None = None


Media = ImageFolder | VideoFile


class SensorSigma(msgspec.Struct, frozen=True, kw_only=True):
    """One-sigma errors of a sensor's looks, as the edge that recorded it was configured.

    The names are those of the edge's `sensor.sigma`; the time offset stands in `Sensor.frame_lag_sigma_s`.
    `surface_m` is `None` where the surface knows its own.
    """

    horizontal_m: NonNegative
    vertical_m: NonNegative
    tilt_deg: NonNegative
    heading_deg: NonNegative
    boresight_deg: NonNegative
    pixel_px: NonNegative
    focal_percent: NonNegative
    principal_px: NonNegative
    surface_m: NonNegative | None = None


class Sensor(msgspec.Struct, frozen=True, kw_only=True):
    """One camera of the flight.

    Attributes:
        camera: intrinsics as `skywarden.geometry.camera.CameraModel.to_jsonable` gives them; `None` is
            uncalibrated.
        camera_note: where the intrinsics come from, or why there are none.
        frame_lag_s: how much later a frame's time stamp says than the image was taken; the image shows the
            world at `time_ns - frame_lag_s`.
        frame_lag_sigma_s: one sigma of it.
        sigma: the error budget of its looks; `None` where nobody stated one.
    """

    sensor_id: Id
    kind: Literal["eo", "thermal"] = "eo"
    width_px: Pixels | None = None
    height_px: Pixels | None = None
    camera: CameraTree | None = None
    camera_note: Text = ""
    mount: Mount
    frame_lag_s: Finite = 0.0
    frame_lag_sigma_s: NonNegative = 0.1
    sigma: SensorSigma | None = None
    media: Annotated[tuple[Media, ...], Meta(max_length=1024)] = ()


class SourceFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file that the flight was made from, so that it can be traced back."""

    name: RelativePath
    sha256: Sha256
    size_bytes: Count


class ClockNote(msgspec.Struct, frozen=True, kw_only=True):
    """Where the flight's UTC comes from, and how far it may be off.

    With `is_utc_known` false only the spacing of times holds: they count from 1970-01-01, or are local times
    of a zone that is not known; `source` says which.
    """

    source: Text
    is_utc_known: bool = True
    sigma_s: NonNegative | None = None
    notes: Annotated[tuple[Text, ...], Meta(max_length=64)] = ()


class FlightInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The content of `flight.json`.

    `state` is "recording" until the flight is closed; a flight that was cut off keeps it. Counts are those
    at closing time and `None` before.
    """

    format: Literal["skywarden-flight"] = "skywarden-flight"
    schema_version: Annotated[int, Meta(ge=1)] = SCHEMA_VERSION
    state: Literal["recording", "complete"] = "recording"
    sortie_id: Id
    platform_id: Id
    created_by: Text = "skywarden"
    telemetry_source: Annotated[str, Meta(max_length=2048)]
    clock: ClockNote
    sensors: Annotated[tuple[Sensor, ...], Meta(max_length=64)] = ()
    sources: Annotated[tuple[SourceFile, ...], Meta(max_length=200_000)] = ()
    notes: Annotated[tuple[Annotated[str, Meta(max_length=2048)], ...], Meta(max_length=256)] = ()
    start_ns: TimeNs | None = None
    end_ns: TimeNs | None = None
    telemetry_count: Count | None = None
    frame_counts: dict[Id, Count] | None = None

    def sensor(self, sensor_id: str) -> Sensor:
        """The sensor called `sensor_id`; raises `FlightError` when the flight has none of that name."""
        for sensor in self.sensors:
            if sensor.sensor_id == sensor_id:
                return sensor
        known = ", ".join(sensor.sensor_id for sensor in self.sensors) or "none"
        raise FlightError(f"the flight has no sensor {sensor_id[:64]!r}; it has: {known}")


class FrameLine(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of `frames.jsonl`: an image file of its own, or a picture inside a video."""

    sensor_id: Id
    frame_number: Count
    time_ns: TimeNs
    file: RelativePath | None = None
    video: RelativePath | None = None
    pts: int | None = None

    def __post_init__(self) -> None:
        """Refuse a line that names neither or both of an image and a picture in a video."""
        is_image = self.file is not None and self.video is None and self.pts is None
        is_in_video = self.file is None and self.video is not None and self.pts is not None
        if is_image == is_in_video:
            raise ValueError("a frame names either a file or a video and its pts")


_info_decoder = msgspec.json.Decoder(FlightInfo)


def decode_info(data: bytes, origin: str) -> FlightInfo:
    """`flight.json` from bytes; raises `FlightError` naming `origin` and the key that does not fit."""
    if len(data) > MAX_FLIGHT_JSON_BYTES:
        raise FlightError(f"{origin}: {len(data)} bytes is over the limit of {MAX_FLIGHT_JSON_BYTES}")
    try:
        info = _info_decoder.decode(data)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise FlightError(f"{origin}: not a flight description: {error}") from error
    if info.schema_version > SCHEMA_VERSION:
        raise FlightError(
            f"{origin}: written by schema version {info.schema_version}, this program reads up to "
            f"{SCHEMA_VERSION}; update skywarden"
        )
    names = [sensor.sensor_id for sensor in info.sensors]
    if len(set(names)) != len(names):
        raise FlightError(f"{origin}: two sensors share a name among {', '.join(names)}")
    for sensor in info.sensors:
        for media in sensor.media:
            check_relative(media.path)
    return info


def encode_info(info: FlightInfo) -> bytes:
    """`flight.json` for people and programs: indented JSON with a final newline."""
    return msgspec.json.format(msgspec.json.encode(info), indent=2) + b"\n"


def check_relative(path: str) -> str:
    """`path` itself when it is a plain path below the folder; raises `FlightError` otherwise.

    Refused: absolute paths, `..`, empty parts, backslashes, drive letters, control characters, over length.
    """
    parts = path.split("/")
    if (
        not path
        or len(path) > MAX_PATH_CHARS
        or _UNSAFE.search(path)
        or _WINDOWS_DRIVE.match(path)
        or any(part in ("", ".", "..") for part in parts)
    ):
        raise FlightError(f"{path[:80]!r} is not a plain path inside the flight folder")
    return path


def safe_path(root: Path, path: str) -> Path:
    """Where `path` lies under `root`; raises `FlightError` when it would leave it, also through a link."""
    full = root / check_relative(path)
    home = root.resolve()
    if not full.resolve().is_relative_to(home):
        raise FlightError(f"{path[:80]!r} leads out of the flight folder through a symbolic link")
    return full


def flight_folder_name(start_ns: int, platform_id: str) -> str:
    """The usual name of a flight's folder: UTC in basic ISO 8601 and the platform."""
    start = datetime.fromtimestamp(start_ns // 1_000_000_000, UTC)
    return f"{start:%Y%m%dT%H%M%SZ}_{platform_id}"
