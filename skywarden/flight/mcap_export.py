"""A flight as one MCAP file with Foxglove's well-known schemas, for Foxglove and every other MCAP reader.

Topics: `/mavlink` (raw frames, untouched), `/platform/N/fix` (foxglove.LocationFix), `/tf`
(foxglove.FrameTransform from east-north-up at the first fix to the body of system N), and for each sensor
`/camera/SENSOR/image` (foxglove.CompressedImage; pictures of a video become JPEG) and
`/camera/SENSOR/calibration`. Log time is the flight's UTC. Messages are JSON with JSON Schema, which Foxglove
reads without a plug-in. The Python package `mcap` (extra `sim`) is needed.
"""

import base64
import heapq
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
from mcap.writer import Writer

from skywarden.errors import FlightError
from skywarden.flight.reader import FlightReader, FrameRef
from skywarden.flight.schema import ImageFolder
from skywarden.geometry.geodesy import enu_from_geodetic
from skywarden.geometry.geoid import undulation_m
from skywarden.geometry.rotations import multiply
from skywarden.mavlink import decode
from skywarden.mavlink.framing import Frame, parse_frame

Progress = Callable[[int, int, str], None]

JPEG_QUALITY = 90
_FORMATS = {".jpg": "jpeg", ".jpeg": "jpeg", ".png": "png", ".webp": "webp"}
_Q_ENU_NED = (0.0, 0.7071067811865476, 0.7071067811865476, 0.0)
_POSITION_AGE_NS = 1_000_000_000
_UNKNOWN_COVARIANCE = 0

_TIME = {"type": "object", "properties": {"sec": {"type": "integer"}, "nsec": {"type": "integer"}}}
_BYTES = {"type": "string", "contentEncoding": "base64"}
_NUMBER: dict[str, Any] = {"type": "number"}
_TEXT: dict[str, Any] = {"type": "string"}
_NUMBERS = {"type": "array", "items": _NUMBER}
_VECTOR = {"type": "object", "properties": dict.fromkeys("xyz", _NUMBER)}
_QUATERNION = {"type": "object", "properties": dict.fromkeys("xyzw", _NUMBER)}

SCHEMAS: dict[str, dict[str, Any]] = {
    "foxglove.LocationFix": {
        "timestamp": _TIME, "frame_id": _TEXT, "latitude": _NUMBER, "longitude": _NUMBER,
        "altitude": _NUMBER, "position_covariance": _NUMBERS, "position_covariance_type": {"type": "integer"},
    },
    "foxglove.FrameTransform": {
        "timestamp": _TIME, "parent_frame_id": _TEXT, "child_frame_id": _TEXT,
        "translation": _VECTOR, "rotation": _QUATERNION,
    },
    "foxglove.CompressedImage": {
        "timestamp": _TIME, "frame_id": _TEXT, "data": _BYTES, "format": _TEXT,
    },
    "foxglove.CameraCalibration": {
        "timestamp": _TIME, "frame_id": _TEXT, "width": {"type": "integer"}, "height": {"type": "integer"},
        "distortion_model": _TEXT, "D": _NUMBERS, "K": _NUMBERS, "R": _NUMBERS, "P": _NUMBERS,
    },
}  # fmt: skip
"""Properties of each schema that is written, as Foxglove publishes them."""


@dataclass(frozen=True, kw_only=True)
class McapReport:
    """How many messages were written, by topic, and what was left out."""

    path: str
    counts: dict[str, int]
    problems: tuple[str, ...]


def export_mcap(
    path: Path, out: Path, *, with_images: bool = True, progress: Progress | None = None
) -> McapReport:
    """Write the flight at `path` into the new file `out`.

    Raises `FlightError` when the flight cannot be read, `out` exists or cannot be written; a half-written
    file is removed.
    """
    reader = FlightReader(path)
    if out.exists():
        raise FlightError(f"{out}: is already there; name a new file")
    part = out.with_name(out.name + ".part")
    try:
        with part.open("wb") as file:
            writer: Any = Writer(file)
            writer.start(profile="", library="skywarden")
            export = _Export(writer, reader)
            export.run(with_images=with_images, progress=progress)
            writer.add_metadata("flight", _metadata(reader))
            writer.finish()
        part.rename(out)
    except OSError as error:
        raise FlightError(f"{out}: cannot be written ({error.strerror or error})") from error
    finally:
        part.unlink(missing_ok=True)
    counts = dict(sorted(export.counts.items()))
    return McapReport(path=str(out), counts=counts, problems=tuple(reader.problems))


@dataclass
class _Export:
    writer: Writer
    reader: FlightReader
    counts: dict[str, int] = field(default_factory=dict)
    channels: dict[str, int] = field(default_factory=dict)
    schemas: dict[str, int] = field(default_factory=dict)
    origin: tuple[float, float, float] | None = None
    places: dict[int, tuple[int, dict[str, float]]] = field(default_factory=dict)

    def run(self, *, with_images: bool, progress: Progress | None) -> None:
        """Everything in order of time."""
        info = self.reader.info
        streams: list[Iterator[tuple[int, int, Any]]] = [
            ((time_ns, 0, raw) for time_ns, raw in self.reader.telemetry())
        ]
        if with_images:
            for number, sensor in enumerate(info.sensors, start=1):
                streams.append(self._images(sensor.sensor_id, number))
        total = sum((info.frame_counts or {}).values()) + (info.telemetry_count or 0)
        for done, (time_ns, kind, item) in enumerate(heapq.merge(*streams, key=lambda each: each[:2])):
            if kind == 0:
                self._telemetry(time_ns, item)
            else:
                self._image(time_ns, *item)
            if progress is not None and done % 500 == 0:
                progress(done, total, "writing MCAP")

    def _images(self, sensor_id: str, number: int) -> Iterator[tuple[int, int, Any]]:
        self._calibration(sensor_id)
        for frame in self._encoded(sensor_id):
            yield frame[0].time_ns, number, frame

    def _encoded(self, sensor_id: str) -> Iterator[tuple[FrameRef, str, bytes]]:
        """Image files as they are where Foxglove knows the format, everything else as JPEG."""
        media = self.reader.info.sensor(sensor_id).media
        if all(isinstance(each, ImageFolder) for each in media):
            frames = list(self.reader.frames(sensor_id))
            if all(frame.path.suffix.lower() in _FORMATS and frame.path.is_file() for frame in frames):
                for frame in frames:
                    yield frame, _FORMATS[frame.path.suffix.lower()], frame.path.read_bytes()
                return
        for frame, image in self.reader.images(sensor_id):
            done, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
            if done:
                yield frame, "jpeg", data.tobytes()

    def _image(self, time_ns: int, frame: FrameRef, image_format: str, data: bytes) -> None:
        self._write(
            f"/camera/{frame.sensor_id}/image",
            "foxglove.CompressedImage",
            time_ns,
            {
                "frame_id": frame.sensor_id,
                "data": base64.b64encode(data).decode("ascii"),
                "format": image_format,
            },
        )

    def _calibration(self, sensor_id: str) -> None:
        camera = self.reader.camera(sensor_id)
        if camera is None:
            return
        self._write(
            f"/camera/{sensor_id}/calibration",
            "foxglove.CameraCalibration",
            self.reader.info.start_ns or 0,
            {
                "frame_id": sensor_id,
                "width": camera.width_px,
                "height": camera.height_px,
                "distortion_model": "plumb_bob",
                "D": [*camera.distortion, 0.0, 0.0, 0.0, 0.0, 0.0][:5],
                "K": [camera.fx, 0.0, camera.cx, 0.0, camera.fy, camera.cy, 0.0, 0.0, 1.0],
                "R": [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
                "P": [camera.fx, 0.0, camera.cx, 0.0, 0.0, camera.fy, camera.cy, 0.0, 0.0, 0.0, 1.0, 0.0],
            },
        )

    def _telemetry(self, time_ns: int, raw: bytes) -> None:
        self._raw("/mavlink", time_ns, raw)
        frame = parse_frame(raw)
        if frame is None or not frame.is_known:
            return
        if frame.msgid == decode.GLOBAL_POSITION_INT:
            self._fix(time_ns, frame)
        elif frame.msgid in (decode.ATTITUDE, decode.ATTITUDE_QUATERNION):
            self._transform(time_ns, frame)

    def _fix(self, time_ns: int, frame: Frame) -> None:
        place = decode.global_position(frame)
        if place is None:
            return
        latitude, longitude = place.latitude_deg, place.longitude_deg
        height = place.alt_msl_m + float(undulation_m(latitude, longitude))
        self.origin = self.origin or (latitude, longitude, height)
        east, north, up = enu_from_geodetic((latitude, longitude, height), *self.origin).tolist()
        self.places[frame.sysid] = (time_ns, {"x": east, "y": north, "z": up})
        self._write(
            f"/platform/{frame.sysid}/fix",
            "foxglove.LocationFix",
            time_ns,
            {
                "frame_id": f"body_{frame.sysid}",
                "latitude": latitude,
                "longitude": longitude,
                "altitude": height,
                "position_covariance": [0.0] * 9,
                "position_covariance_type": _UNKNOWN_COVARIANCE,
            },
        )

    def _transform(self, time_ns: int, frame: Frame) -> None:
        attitude = decode.attitude(frame)
        place = self.places.get(frame.sysid)
        if attitude is None or place is None or abs(time_ns - place[0]) > _POSITION_AGE_NS:
            return
        w, x, y, z = multiply(_Q_ENU_NED, attitude.q_ned_body).tolist()
        self._write(
            "/tf",
            "foxglove.FrameTransform",
            time_ns,
            {
                "parent_frame_id": "enu",
                "child_frame_id": f"body_{frame.sysid}",
                "translation": place[1],
                "rotation": {"x": x, "y": y, "z": z, "w": w},
            },
        )

    def _raw(self, topic: str, time_ns: int, data: bytes) -> None:
        if topic not in self.channels:
            self.channels[topic] = self.writer.register_channel(topic, "mavlink", 0)
        self._add(topic, time_ns, data)

    def _write(self, topic: str, schema: str, time_ns: int, content: dict[str, Any]) -> None:
        if schema not in self.schemas:
            tree = {"title": schema, "type": "object", "properties": SCHEMAS[schema]}
            self.schemas[schema] = self.writer.register_schema(
                schema, "jsonschema", json.dumps(tree).encode()
            )
        if topic not in self.channels:
            self.channels[topic] = self.writer.register_channel(topic, "json", self.schemas[schema])
        stamp = {"sec": time_ns // 1_000_000_000, "nsec": time_ns % 1_000_000_000}
        self._add(topic, time_ns, json.dumps({"timestamp": stamp, **content}).encode())

    def _add(self, topic: str, time_ns: int, data: bytes) -> None:
        self.counts[topic] = self.counts.get(topic, 0) + 1
        self.writer.add_message(
            self.channels[topic],
            log_time=time_ns,
            data=data,
            publish_time=time_ns,
            sequence=self.counts[topic] & 0xFFFF_FFFF,
        )


def _metadata(reader: FlightReader) -> dict[str, str]:
    info = reader.info
    return {
        "sortie_id": info.sortie_id,
        "platform_id": info.platform_id,
        "telemetry_source": info.telemetry_source,
        "clock": info.clock.source,
    }
