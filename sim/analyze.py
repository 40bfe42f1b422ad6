"""Run the edge chain over a recorded flight, offline on a virtual clock: same flight in, same bytes out."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from edge.calibration.record import Calibration
from edge.config import MountConfig, SigmaConfig
from edge.mavlink_port import MavlinkConfig
from edge.pose.buffer import PoseBuffer
from edge.pose.telemetry import TelemetryNode
from edge.vision.pipeline import Frame, Outcome, SensorIds, VisionNode, VisionSettings
from models.catalogue import load_detector
from models.detector import Detector
from skywarden.clock import NS_PER_S
from skywarden.errors import FlightError
from skywarden.flight.decoding import Image
from skywarden.flight.reader import FlightReader, FrameRef
from skywarden.flight.schema import FixedMount, Sensor
from skywarden.geometry.camera import CameraModel
from skywarden.geometry.plot_geojson import plot_feature
from skywarden.geometry.pose import CameraPose, NoPose
from skywarden.geometry.terrain import LEVEL_SIGMA_M, Surface
from skywarden.messages import PlatformPose, Plot, Sighting, Track
from skywarden.times import rfc3339

LOOKAHEAD_NS = NS_PER_S
"""Telemetry is fed so far beyond each frame, as a live worker waits for the samples that bracket it."""

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, kw_only=True)
class AnalyzeOptions:
    """What an analysis may change against the flight's own description.

    Attributes:
        model: name of a detector of the zoo, or the folder of one.
        surface: what rays meet; `None` is level ground at the take-off height.
        frame_lag_s: overrides the lag that the flight states.
        sigma: error budget; `None` is the flight's own, and the usual one where the flight states none.
        calibration: what `skywarden calibrate` found; it counts for the sensor that it names.
    """

    model: str = "anomaly"
    threads: int = 1
    min_score: float = 0.0
    surface: Surface | None = None
    frame_lag_s: float | None = None
    sigma: SigmaConfig | None = None
    calibration: Calibration | None = None


@dataclass(frozen=True, kw_only=True)
class AnalyzeReport:
    """What was found, and the SHA-256 of each file written."""

    flight: str
    frames: int
    detections: int
    located: int
    tracks: int
    sightings: int
    plots: int
    problems: tuple[str, ...]
    sha256: dict[str, str]


def analyze(
    flight: Path, out: Path, options: AnalyzeOptions | None = None, progress: Progress | None = None
) -> AnalyzeReport:
    """Write `detections.jsonl`, `tracks.jsonl`, `sightings.geojson`, `plots.geojson` and their
    `MANIFEST.sha256` into `out`.

    Raises `FlightError` when the flight has no images or cannot be read, `ModelError` for the model.
    """
    options = options or AnalyzeOptions()
    reader = FlightReader(flight)
    sensors = [sensor for sensor in reader.info.sensors if sensor.media]
    if not sensors:
        raise FlightError(f"{flight}: the flight has telemetry but no images; there is nothing to look at")
    detector = load_detector(options.model, threads=options.threads)
    total = sum((reader.info.frame_counts or {}).values())
    book = _Book()
    for sensor in sensors:
        node = sensor_node(reader, sensor, detector, options)
        for outcome, ref, time_ns in _outcomes(reader, sensor, node, options):
            book.add(outcome, ref, time_ns, reader)
            if progress is not None:
                progress(book.frames, total, f"{sensor.sensor_id} frame {ref.frame_number}")
        book.plots.extend(node.plots())
    files = book.files(reader)
    out.mkdir(parents=True, exist_ok=True)
    sums = {}
    for name, data in files.items():
        (out / name).write_bytes(data)
        sums[name] = hashlib.sha256(data).hexdigest()
    manifest = "".join(f"{digest}  {name}\n" for name, digest in sorted(sums.items()))
    (out / "MANIFEST.sha256").write_text(manifest, encoding="ascii")
    return AnalyzeReport(
        flight=reader.info.sortie_id,
        frames=book.frames,
        detections=len(book.detections),
        located=book.located,
        tracks=len(book.tracks),
        sightings=len(book.sightings),
        plots=len(book.plots),
        problems=tuple(reader.problems),
        sha256=sums,
    )


def outcomes(flight: Path, options: AnalyzeOptions | None = None) -> Iterator[Outcome]:
    """What the chain says of each frame of a flight, sensor by sensor; raises what `analyze` does."""
    options = options or AnalyzeOptions()
    reader = FlightReader(flight)
    detector = load_detector(options.model, threads=options.threads)
    for sensor in reader.info.sensors:
        if sensor.media:
            node = sensor_node(reader, sensor, detector, options)
            for outcome, _, _ in _outcomes(reader, sensor, node, options):
                yield outcome


@dataclass(frozen=True, kw_only=True, eq=False)
class LookedAt:
    """One picture of a flight, (H, W, 3) uint8 BGR, with everything that the chain knows of it.

    `time_ns` is the exposure as best known; `camera` the lens model in force, `None` uncalibrated.
    """

    sensor: Sensor
    camera: CameraModel | None
    time_ns: int
    image: Image
    pose: CameraPose | NoPose
    platform: PlatformPose
    outcome: Outcome


def looks(flight: Path, sensor_id: str, options: AnalyzeOptions | None = None) -> Iterator[LookedAt]:
    """Every picture of one sensor, in order; raises what `analyze` does."""
    options = options or AnalyzeOptions()
    reader = FlightReader(flight)
    sensor = reader.info.sensor(sensor_id)
    node = sensor_node(reader, sensor, load_detector(options.model, threads=options.threads), options)
    ids = {"platform_id": reader.info.platform_id, "sortie_id": reader.info.sortie_id}
    for outcome, _, time_ns, image, poses in _seen(reader, sensor, node, options):
        yield LookedAt(
            sensor=sensor,
            camera=reader.camera(sensor_id),
            time_ns=time_ns,
            image=image,
            pose=poses.pose_at(time_ns),
            platform=poses.platform_pose_at(time_ns, **ids),
            outcome=outcome,
        )


def sensor_node(
    reader: FlightReader, sensor: Sensor, detector: Detector, options: AnalyzeOptions
) -> VisionNode:
    """The chain of one sensor as the flight describes it and the options change it."""
    sigma = options.sigma or SigmaConfig.of_flight(sensor)
    surface = options.surface
    if surface is not None and sigma.surface_m is not None:
        surface = _Restated(surface, sigma.surface_m)
    camera, found = reader.camera(sensor.sensor_id), calibration_of(sensor, options)
    settings = VisionSettings(
        camera=camera if camera is None or found is None else found.camera(camera),
        surface=surface,
        level_sigma_m=LEVEL_SIGMA_M if sigma.surface_m is None else sigma.surface_m,
        pixel_sigma_px=sigma.pixel_px,
        min_score=options.min_score,
    )
    ids = SensorIds(
        platform_id=reader.info.platform_id, sortie_id=reader.info.sortie_id, sensor_id=sensor.sensor_id
    )
    return VisionNode(ids, settings, detector)


def _outcomes(
    reader: FlightReader, sensor: Sensor, node: VisionNode, options: AnalyzeOptions
) -> Iterator[tuple[Outcome, FrameRef, int]]:
    for outcome, ref, time_ns, _, _ in _seen(reader, sensor, node, options):
        yield outcome, ref, time_ns


def _seen(
    reader: FlightReader, sensor: Sensor, node: VisionNode, options: AnalyzeOptions
) -> Iterator[tuple[Outcome, FrameRef, int, Image, PoseBuffer]]:
    heard = HeardTelemetry(reader, sensor, options)
    for ref, image in reader.images(sensor.sensor_id):
        time_ns = heard.up_to(ref.time_ns)
        frame = Frame(frame_number=ref.frame_number, time_ns=time_ns, received_ns=ref.time_ns, image=image)
        seen = node.detect(frame)
        yield node.finish(seen, heard.poses.pose_at(time_ns)), ref, time_ns, image, heard.poses


class HeardTelemetry:
    """The telemetry of a recorded flight as a worker hears it, in step with one sensor's frames.

    `watch`, where there is one, is shown the node after each message that was heard.
    """

    def __init__(
        self,
        reader: FlightReader,
        sensor: Sensor,
        options: AnalyzeOptions,
        *,
        watch: Callable[[TelemetryNode, int], None] | None = None,
    ) -> None:
        self._node = TelemetryNode(MavlinkConfig())
        self._watch = watch
        sigma = options.sigma or SigmaConfig.of_flight(sensor)
        self.poses: PoseBuffer = self._node.pose_buffer(
            mount=_mount(sensor), sigmas=sigma.pose(), calibration=calibration_of(sensor, options)
        )
        lag_s = sensor.frame_lag_s if options.frame_lag_s is None else options.frame_lag_s
        self._lag_ns = round(lag_s * NS_PER_S)
        self._heard = reader.telemetry()
        self._waiting = next(self._heard, None)

    def up_to(self, stamp_ns: int) -> int:
        """Take what was heard until a little after a frame's stamp; the time at which it was exposed."""
        time_ns = stamp_ns - self._lag_ns
        while self._waiting is not None and self._waiting[0] <= time_ns + LOOKAHEAD_NS:
            self._node.handle(*self._waiting)
            if self._watch is not None:
                self._watch(self._node, self._waiting[0])
            self._waiting = next(self._heard, None)
        if self._watch is not None:
            self._watch(self._node, time_ns)
        return time_ns


class _Restated:
    """The same surface with the height error that the flight states."""

    def __init__(self, surface: Surface, sigma_m: float) -> None:
        self.kind, self.spacing_m, self.sigma_m = surface.kind, surface.spacing_m, sigma_m
        self.height_range_hae_m = surface.height_range_hae_m
        self.height_hae_m = surface.height_hae_m


def calibration_of(sensor: Sensor, options: AnalyzeOptions) -> Calibration | None:
    """The calibration that the options hold, for the sensor that it names alone."""
    found = options.calibration
    return found if found is not None and found.sensor_id == sensor.sensor_id else None


def _mount(sensor: Sensor) -> MountConfig:
    if isinstance(sensor.mount, FixedMount):
        return MountConfig(
            kind="fixed",
            roll_deg=sensor.mount.roll_deg,
            pitch_deg=sensor.mount.pitch_deg,
            yaw_deg=sensor.mount.yaw_deg,
        )
    return MountConfig(kind="gimbal", gimbal_device_id=sensor.mount.gimbal_device_id or None)


class _Book:
    """Collects what comes out, in the order in which it comes."""

    def __init__(self) -> None:
        self.frames = 0
        self.located = 0
        self.detections: list[dict[str, Any]] = []
        self.sightings: list[Sighting] = []
        self.tracks: dict[str, list[Track]] = {}
        self.plots: list[Plot] = []

    def add(self, outcome: Outcome, ref: FrameRef, time_ns: int, reader: FlightReader) -> None:
        self.frames += 1
        for index in range(len(outcome.batch)):
            row = _detection_row(outcome, index, ref, time_ns, reader)
            self.located += row["position"] is not None
            self.detections.append(row)
        for message in outcome.messages:
            if isinstance(message, Sighting):
                self.sightings.append(message)
            elif isinstance(message, Track):
                self.tracks.setdefault(message.track_id, []).append(message)

    def files(self, reader: FlightReader) -> dict[str, bytes]:
        tracks = [_track_row(track_id, states) for track_id, states in sorted(self.tracks.items())]
        sightings = [sighting_feature(sighting) for sighting in self.sightings]
        plots = [plot_feature(plot) for plot in self.plots]
        return {
            "detections.jsonl": _lines(self.detections),
            "tracks.jsonl": _lines(tracks),
            "sightings.geojson": _collection(sightings),
            "plots.geojson": _collection(plots),
        }


def _collection(features: list[dict[str, Any]]) -> bytes:
    collection = {"type": "FeatureCollection", "features": features}
    return msgspec.json.format(msgspec.json.encode(collection), indent=1) + b"\n"


def _lines(rows: list[dict[str, Any]]) -> bytes:
    return b"".join(msgspec.json.encode(row) + b"\n" for row in rows)


def _detection_row(
    outcome: Outcome, index: int, ref: FrameRef, time_ns: int, reader: FlightReader
) -> dict[str, Any]:
    batch, locations = outcome.batch, outcome.locations
    row: dict[str, Any] = {
        "platform_id": reader.info.platform_id,
        "sortie_id": reader.info.sortie_id,
        "sensor_id": ref.sensor_id,
        "frame_number": ref.frame_number,
        "time": rfc3339(time_ns),
        "label": batch.labels[batch.label_index[index]],
        "score": round(float(batch.score[index]), 4),
        "box_px": [round(float(value), 2) for value in batch.box_px[index]],
        "position": None,
        "no_position_reason": None if outcome.reasons[index] == "ok" else outcome.reasons[index],
    }
    if locations is not None and outcome.reasons[index] == "ok":
        row["position"] = {
            "latitude_deg": round(float(locations.latitude_deg[index]), 8),
            "longitude_deg": round(float(locations.longitude_deg[index]), 8),
            "alt_hae_m": round(float(locations.alt_hae_m[index]), 2),
            "ce90_m": round(float(locations.ce90_m[index]), 2),
            "le90_m": round(float(locations.le90_m[index]), 2),
        }
    return row


def _track_row(track_id: str, states: list[Track]) -> dict[str, Any]:
    last = states[-1]
    path = [
        {
            "time": rfc3339(state.time_ns),
            "status": state.status,
            "latitude_deg": round(state.position.latitude_deg, 8),
            "longitude_deg": round(state.position.longitude_deg, 8),
            "ce90_m": round(state.position.ce90_m, 2),
        }
        for state in states
        if state.position is not None
    ]
    return {
        "track_id": track_id,
        "platform_id": last.platform_id,
        "sortie_id": last.sortie_id,
        "sensor_id": last.sensor_id,
        "label": last.label,
        "score": round(last.score, 4),
        "status": last.status,
        "first": rfc3339(last.first_ns),
        "last": rfc3339(last.time_ns),
        "look_count": last.look_count,
        "course_deg": last.course_deg,
        "speed_mps": last.speed_mps,
        "path": path,
    }


def sighting_feature(sighting: Sighting) -> dict[str, Any]:
    """One sighting as an RFC 7946 feature; without a position its geometry is null and the reason is told."""
    position = sighting.position
    properties: dict[str, Any] = {
        "sighting_id": sighting.sighting_id,
        "track_id": sighting.track_id,
        "platform_id": sighting.platform_id,
        "sensor_id": sighting.sensor_id,
        "frame_number": sighting.frame_number,
        "time": rfc3339(sighting.time_ns),
        "label": sighting.label,
        "score": round(sighting.score, 4),
        "model_id": sighting.model_id,
        "review": "unreviewed",
        "no_position_reason": sighting.no_position_reason,
        "position_doubt": sighting.position_doubt,
        "is_exercise": sighting.is_exercise,
    }
    geometry = None
    if position is not None:
        properties |= {
            "ce90_m": round(position.ce90_m, 2),
            "le90_m": round(position.le90_m, 2),
            "covariance_enu_m2": list(position.covariance_enu_m2),
            "surface": position.surface,
        }
        geometry = {
            "type": "Point",
            "coordinates": [
                round(position.longitude_deg, 8),
                round(position.latitude_deg, 8),
                round(position.alt_hae_m, 2),
            ],
        }
    if sighting.bearing is not None:
        properties |= {
            "bearing_deg": round(sighting.bearing.azimuth_deg, 3),
            "bearing_sigma_deg": round(sighting.bearing.sigma_deg, 3),
        }
    return {"type": "Feature", "id": sighting.sighting_id, "geometry": geometry, "properties": properties}
