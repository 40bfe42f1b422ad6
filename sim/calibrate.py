"""Calibrate a sensor from a recorded flight: its time, boresight and heading, and the proof that it helps.

Looks come from the flight's own tracks: at surveyed points, at vessels that report themselves, or again and
again at things that stand still. The time offset comes from the motion of the picture first.
"""

import hashlib
import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from edge.calibration.attitude import AttitudeHistory
from edge.calibration.control_points import (
    ControlPoint,
    VesselTrack,
    associate,
    read_control_points,
)
from edge.calibration.image_motion import ImageMotionEstimator
from edge.calibration.looks import LASTING, PARAMETERS, Looks, LooksBuilder, Place, slopes
from edge.calibration.record import Calibration, held_out, lasting_part, remaining_noise_deg
from edge.calibration.solver import (
    PRIOR_SIGMAS,
    Estimate,
    Lie,
    Proof,
    SolverConfig,
    estimate,
    find_lies,
    is_significant,
    one_sided,
    prove,
)
from edge.calibration.time_offset import TimeOffset, estimate_time_offset
from edge.config import MountConfig, SigmaConfig
from edge.geolocation.locate import Locator
from edge.mavlink_port import MavlinkConfig
from edge.pose.buffer import PoseBuffer
from edge.pose.telemetry import TelemetryNode
from edge.vision.pipeline import Frame, SensorIds, VisionNode, VisionSettings
from models.catalogue import load_detector
from sim.ais_file import read_ais
from sim.calibrate_marks import CONFIG as MARKS_CONFIG
from sim.calibrate_marks import estimate_marks, prove_marks, read_marks
from skywarden import __version__
from skywarden.clock import NS_PER_S
from skywarden.errors import FlightError, InputError
from skywarden.flight.reader import FlightReader, FrameRef
from skywarden.flight.schema import AIS, FixedMount, Sensor
from skywarden.geometry.camera import CameraModel
from skywarden.geometry.geoid import undulation_m
from skywarden.geometry.pose import CameraPose, NoPose
from skywarden.geometry.terrain import Surface
from skywarden.messages import Sighting, Track

IntArray = npt.NDArray[np.intp]
Progress = Callable[[int, int, str], None]

LOOKAHEAD_NS = NS_PER_S
MIN_LOOKS = 4
COARSE_SIGMAS = 4.0
STILL_SIGMA_M = 300.0
"""Where a thing of unknown place may be: so wide that only its looks tell."""

SPLITS = 5


@dataclass(frozen=True, kw_only=True)
class CalibrateOptions:
    """What a calibration may change against the flight's own description.

    Attributes:
        control: file of surveyed points; ais: file of reports, else the flight's own.
        sensor_id: which camera; needed where there are several.
        surface: what rays meet; `None` is level ground at the take-off height.
        model, threads, min_score: detector and its settings.
        sea_hae_m: height of the sea; `None` takes the geoid.
        made: time that the record states; now when not given.
    """

    control: Path | None = None
    ais: Path | None = None
    sensor_id: str | None = None
    model: str = "anomaly"
    threads: int = 1
    min_score: float = 0.0
    surface: Surface | None = None
    sea_hae_m: float | None = None
    made: str | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class CalibrateReport:
    """What was found. `calibration` is `None` when it did not prove itself; `verdict` says why."""

    flight: str
    sensor_id: str
    source: str
    looks: Looks
    found: Estimate
    proof: Proof
    lies: tuple[Lie, ...]
    time_offset: TimeOffset | None
    calibration: Calibration | None
    verdict: str
    notes: tuple[str, ...] = ()


def calibrate(
    flight: Path, options: CalibrateOptions | None = None, progress: Progress | None = None
) -> CalibrateReport:
    """Calibrate from a flight folder, or from a JSON file of stills with marks.

    Raises `FlightError` when the flight cannot be read, `InputError` when there is nothing to calibrate from.
    """
    options = options or CalibrateOptions()
    if flight.is_file():
        return _from_marks(flight, options)
    reader = FlightReader(flight)
    sensor = _chosen(reader, options.sensor_id)
    seen = _watch(reader, sensor, options, progress)
    source, looks, notes = _looks(reader, sensor, seen, options)
    return _concluded(reader, sensor, seen, source, looks, notes, options)


# --------------------------------------------------------------------------------------------- the flight


@dataclass(frozen=True, kw_only=True, eq=False)
class TrackLook:
    """One look at one track: the frame's pose as told, the middle of the box and its sigma."""

    pose: CameraPose
    pixel: tuple[float, float]
    sigma_px: float


@dataclass(frozen=True, kw_only=True, eq=False)
class _Seen:
    """What one pass over a flight gave: looks by track, which tracks moved, and the time offset."""

    camera: CameraModel
    tracks: Mapping[str, Sequence[TrackLook]]
    moving: frozenset[str]
    time_offset: TimeOffset | None
    digest: str


def _chosen(reader: FlightReader, sensor_id: str | None) -> Sensor:
    sensors = [sensor for sensor in reader.info.sensors if sensor.media]
    names = ", ".join(sensor.sensor_id for sensor in sensors)
    if sensor_id is not None:
        sensors = [sensor for sensor in sensors if sensor.sensor_id == sensor_id]
    if not sensors:
        raise FlightError(
            f"{reader.path}: no images of {sensor_id or 'any sensor'}; there are {names or 'none'}"
        )
    if len(sensors) > 1:
        raise InputError(f"{reader.path}: several sensors ({names}); name one with --sensor")
    return sensors[0]


class _Watch:
    """One pass over the frames: tracks, poses and the motion of the picture."""

    def __init__(self, reader: FlightReader, sensor: Sensor, options: CalibrateOptions) -> None:
        camera = reader.camera(sensor.sensor_id)
        if camera is None:
            raise FlightError(
                f"{reader.path}: sensor {sensor.sensor_id} has no camera model; nothing to calibrate"
            )
        self.camera = camera
        sigma = SigmaConfig.of_flight(sensor)
        self.telemetry = TelemetryNode(MavlinkConfig())
        self.poses: PoseBuffer = self.telemetry.pose_buffer(mount=_mount(sensor), sigmas=sigma.pose())
        ids = SensorIds(
            platform_id=reader.info.platform_id, sortie_id=reader.info.sortie_id, sensor_id=sensor.sensor_id
        )
        settings = VisionSettings(
            camera=camera,
            surface=options.surface,
            pixel_sigma_px=sigma.pixel_px,
            min_score=options.min_score,
            sighting_interval_s=0.0,
        )
        self.pixel_px = sigma.pixel_px
        self.node = VisionNode(ids, settings, load_detector(options.model, threads=options.threads))
        self.motion = ImageMotionEstimator(camera)
        self.attitudes: dict[int, CameraPose] = {}
        self.waiting: list[int] = []
        self.tracks: dict[str, dict[int, TrackLook]] = defaultdict(dict)
        self.by_number: dict[int, CameraPose] = {}
        self.speeds: dict[str, bool] = {}
        self.digest = hashlib.sha256()

    def hear(self, received_ns: int, frame: bytes) -> None:
        """Telemetry; the camera's pose is noted once per attitude sample, when what brackets it is there."""
        self.telemetry.handle(received_ns, frame)
        self.digest.update(frame)
        history = self.telemetry.history
        latest = None if history is None else history.attitudes.latest
        if latest is not None and (not self.waiting or latest.time_ns > self.waiting[-1]):
            self.waiting.append(latest.time_ns)
        while len(self.waiting) > 1 and self.poses.covers(self.waiting[0]):
            pose = self.poses.pose_at(self.waiting.pop(0))
            if isinstance(pose, CameraPose):
                self.attitudes[pose.time_ns] = pose

    def see(self, ref: FrameRef, time_ns: int, image: npt.NDArray[np.uint8]) -> None:
        """One frame."""
        self.digest.update(f"{ref.sensor_id} {ref.frame_number} {ref.time_ns}\n".encode())
        if image.shape[:2] == (self.camera.height_px, self.camera.width_px):
            self.motion.add(time_ns, image)
        frame = Frame(frame_number=ref.frame_number, time_ns=time_ns, received_ns=ref.time_ns, image=image)
        pose = self.poses.pose_at(time_ns)
        outcome = self.node.finish(self.node.detect(frame), pose)
        if isinstance(pose, NoPose):
            return
        self.by_number[ref.frame_number] = pose
        for message in outcome.messages:
            if isinstance(message, Track):
                self.speeds[message.track_id] = message.speed_mps is not None
            elif isinstance(message, Sighting) and message.position is not None:
                self._look(message)

    def _look(self, sighting: Sighting) -> None:
        """Sightings of a track's first looks come late: each with the pose of its own frame."""
        pose = self.by_number.get(sighting.frame_number)
        if pose is not None:
            x0, y0, x1, y1 = sighting.box_px
            self.tracks[sighting.track_id][sighting.frame_number] = TrackLook(
                pose=pose,
                pixel=((x0 + x1) / 2, (y0 + y1) / 2),
                sigma_px=math.hypot(self.pixel_px, 0.1 * min(x1 - x0, y1 - y0)),
            )

    def time_offset(self) -> TimeOffset | None:
        """What the picture's motion says; `None` where there is too little of either."""
        try:
            return estimate_time_offset(
                self.motion.motion(), AttitudeHistory.from_poses(self.attitudes.values())
            )
        except InputError:
            return None


def _watch(
    reader: FlightReader, sensor: Sensor, options: CalibrateOptions, progress: Progress | None
) -> _Seen:
    watch = _Watch(reader, sensor, options)
    lag_ns = round(sensor.frame_lag_s * NS_PER_S)
    total = (reader.info.frame_counts or {}).get(sensor.sensor_id, 0)
    heard = reader.telemetry()
    waiting = next(heard, None)
    for count, (ref, image) in enumerate(reader.images(sensor.sensor_id), 1):
        time_ns = ref.time_ns - lag_ns
        while waiting is not None and waiting[0] <= time_ns + LOOKAHEAD_NS:
            watch.hear(*waiting)
            waiting = next(heard, None)
        watch.see(ref, time_ns, image)
        if progress is not None:
            progress(count, total, f"{sensor.sensor_id} frame {ref.frame_number}")
    while waiting is not None:
        watch.hear(*waiting)
        waiting = next(heard, None)
    offset = watch.time_offset()
    tracks = {name: [looks[number] for number in sorted(looks)] for name, looks in watch.tracks.items()}
    return _Seen(
        camera=watch.camera,
        tracks=_retimed(tracks, offset, watch, reader, sensor),
        moving=frozenset(name for name, is_moving in watch.speeds.items() if is_moving),
        time_offset=offset,
        digest=watch.digest.hexdigest(),
    )


def _retimed(
    tracks: dict[str, list[TrackLook]],
    offset: TimeOffset | None,
    watch: _Watch,
    reader: FlightReader,
    sensor: Sensor,
) -> dict[str, list[TrackLook]]:
    """Looks with poses of the instant that the picture's motion found; unchanged where it found none."""
    if offset is None or not offset.is_observable or offset.offset_s is None:
        return tracks
    wanted = sorted({look.pose.time_ns for looks in tracks.values() for look in looks})
    late_ns = round(offset.offset_s * NS_PER_S)
    found: dict[int, CameraPose] = {}
    telemetry = TelemetryNode(MavlinkConfig())
    poses = telemetry.pose_buffer(mount=_mount(sensor), sigmas=SigmaConfig.of_flight(sensor).pose())
    heard = reader.telemetry()
    waiting = next(heard, None)
    for time_ns in wanted:
        while waiting is not None and waiting[0] <= time_ns - late_ns + LOOKAHEAD_NS:
            telemetry.handle(*waiting)
            waiting = next(heard, None)
        pose = poses.pose_at(time_ns - late_ns)
        if isinstance(pose, CameraPose):
            found[time_ns] = replace(pose, time_ns=time_ns)
    return {
        name: [replace(look, pose=found[look.pose.time_ns]) for look in looks if look.pose.time_ns in found]
        for name, looks in tracks.items()
    }


def _mount(sensor: Sensor) -> MountConfig:
    mount = sensor.mount
    if isinstance(mount, FixedMount):
        return MountConfig(
            kind="fixed", roll_deg=mount.roll_deg, pitch_deg=mount.pitch_deg, yaw_deg=mount.yaw_deg
        )
    return MountConfig(kind="gimbal", gimbal_device_id=mount.gimbal_device_id or None)


# ---------------------------------------------------------------------------------------------- the looks


def _looks(
    reader: FlightReader, sensor: Sensor, seen: _Seen, options: CalibrateOptions
) -> tuple[str, Looks, tuple[str, ...]]:
    """Looks at known places where there are any, else at what stands still."""
    tracks = {name: looks for name, looks in seen.tracks.items() if len(looks) >= MIN_LOOKS}
    if not tracks:
        raise InputError(
            f"{reader.path}: no track of {MIN_LOOKS} looks or more among {len(seen.tracks)}; "
            "fly over something that stands still, several times, or give stills with marks"
        )
    first = next(iter(tracks.values()))[0].pose
    sea = options.sea_hae_m
    if sea is None:
        sea = float(undulation_m(first.latitude_deg, first.longitude_deg))
    has_ais = options.ais is not None or (reader.path / AIS).is_file()
    if has_ais:
        reports = read_ais(options.ais or reader.path / AIS)
        vessels = {name: VesselTrack(rows, surface_hae_m=sea) for name, rows in reports.items()}
        known, missing = vessel_looks(tracks, vessels, seen.camera)
        return "vessels on AIS", known, missing
    if options.control is not None:
        points = read_control_points(options.control)
        return "surveyed points", *point_looks(tracks, points, seen.camera, options.surface)
    still = {name: looks for name, looks in tracks.items() if name not in seen.moving}
    if not still:
        raise InputError(f"{reader.path}: all {len(tracks)} tracks move; give --control or --ais")
    return "repeated looks at what stands still", still_looks(still, seen.camera, options.surface), ()


def vessel_looks(
    tracks: Mapping[str, Sequence[TrackLook]], vessels: Mapping[str, VesselTrack], camera: CameraModel
) -> tuple[Looks, tuple[str, ...]]:
    """Looks at vessels, and a sentence per track that was told to be one; raises `InputError` without any."""
    origin = _origin(tracks)
    pairs: dict[str, tuple[str, str]] = {}
    builder = LooksBuilder(origin)
    for track, looks in tracks.items():
        for vessel, reports in vessels.items():
            if _add_vessel(builder, f"{track} {vessel}", looks, reports, camera):
                pairs[f"{track} {vessel}"] = (track, vessel)
    if not len(builder):
        raise InputError("no vessel on AIS was near any track at the time of a look")
    chosen = associate(_near(builder.build()), pairs)
    if not chosen:
        raise InputError("no track could be told to be one of the vessels on AIS")
    final = LooksBuilder(origin)
    for track, vessel in sorted(chosen.items()):
        _add_vessel(final, vessel, tracks[track], vessels[vessel], camera)
    notes = tuple(f"{track} is vessel {vessel}" for track, vessel in sorted(chosen.items()))
    return final.build(), notes


def _near(looks: Looks) -> Looks:
    """Pairs whose direction differs by no more than prior errors explain: 4 sigma of heading and of tilt."""
    residual = slopes(looks, np.zeros(len(PARAMETERS)), np.zeros((len(looks), 3))).residual
    keep = np.zeros(len(looks), dtype=np.bool_)
    limit = math.radians(COARSE_SIGMAS * PRIOR_SIGMAS["heading_deg"])
    for thing in np.unique(looks.thing):
        mine = looks.thing == thing
        keep[mine] = float(np.median(np.linalg.norm(residual[mine], axis=1))) < limit
    if not keep.any():
        raise InputError(f"no vessel on AIS within {math.degrees(limit):.0f} deg of where a track was seen")
    return looks.of(keep)


def _add_vessel(
    builder: LooksBuilder,
    name: str,
    looks: Sequence[TrackLook],
    reports: VesselTrack,
    camera: CameraModel,
) -> int:
    """Add what is near a report; looks that share one share its error, so each counts for less."""
    places = [(look, reports.at(look.pose.time_ns)) for look in looks]
    shared: dict[int, int] = defaultdict(int)
    for _, there in places:
        if there is not None:
            shared[there.report] += 1
    added = 0
    for look, there in places:
        if there is not None:
            added += builder.add(
                look.pose,
                camera,
                look.pixel,
                sigma_px=look.sigma_px,
                thing=name,
                place=there.place,
                place_covariance_enu_m2=there.covariance_enu_m2 * shared[there.report],
                thing_sigma_m=there.shared_sigma_m,
                thing_velocity_enu_mps=there.velocity_enu_mps,
            )
    return added


def point_looks(
    tracks: Mapping[str, Sequence[TrackLook]],
    points: Sequence[ControlPoint],
    camera: CameraModel,
    surface: Surface | None,
) -> tuple[Looks, tuple[str, ...]]:
    """Surveyed points are vessels that lie still and know their place."""
    origin = _origin(tracks)
    locator = Locator(camera, surface)
    pairs: dict[str, tuple[str, str]] = {}
    builder = LooksBuilder(origin)
    heights = {point.id: _height(point, locator, tracks) for point in points}
    for track, looks in tracks.items():
        for point in points:
            place = (point.lat_deg, point.lon_deg, heights[point.id])
            if _add_point(builder, f"{track} {point.id}", looks, place, point.sigma_m, camera):
                pairs[f"{track} {point.id}"] = (track, point.id)
    chosen = associate(_near(builder.build()), pairs)
    if not chosen:
        raise InputError("no track could be told to be one of the surveyed points")
    by_id = {point.id: point for point in points}
    final = LooksBuilder(origin)
    for track, name in sorted(chosen.items()):
        point = by_id[name]
        place = (point.lat_deg, point.lon_deg, heights[name])
        _add_point(final, name, tracks[track], place, point.sigma_m, camera)
    return final.build(), tuple(f"{track} is point {name}" for track, name in sorted(chosen.items()))


def _height(point: ControlPoint, locator: Locator, tracks: Mapping[str, Sequence[TrackLook]]) -> float:
    if point.hae_m is not None:
        return point.hae_m
    look = next(iter(tracks.values()))[0]
    found = locator.locate(look.pose, [look.pixel])
    return float(found.alt_hae_m[0]) if found.status[0] == "ok" else float(look.pose.level_alt_hae_m or 0.0)


def _add_point(
    builder: LooksBuilder,
    name: str,
    looks: Sequence[TrackLook],
    place: Place,
    sigma_m: float,
    camera: CameraModel,
) -> int:
    return sum(
        builder.add(
            look.pose,
            camera,
            look.pixel,
            sigma_px=look.sigma_px,
            thing=name,
            place=place,
            thing_sigma_m=(sigma_m, sigma_m, max(sigma_m, 0.5)),
        )
        for look in looks
    )


def still_looks(
    tracks: Mapping[str, Sequence[TrackLook]], camera: CameraModel, surface: Surface | None
) -> Looks:
    """What stands still lies anywhere on the ground; its first place is the mean of where its looks fall."""
    locator = Locator(camera, surface)
    builder = LooksBuilder(_origin(tracks))
    for name, looks in sorted(tracks.items()):
        found = [locator.locate(look.pose, [look.pixel]) for look in looks]
        rows = [
            (float(each.latitude_deg[0]), float(each.longitude_deg[0]), float(each.alt_hae_m[0]))
            for each in found
            if each.status[0] == "ok"
        ]
        if len(rows) < MIN_LOOKS:
            continue
        latitude, longitude, height = np.array(rows).mean(axis=0).tolist()
        for look in looks:
            builder.add(
                look.pose,
                camera,
                look.pixel,
                sigma_px=look.sigma_px,
                thing=name,
                place=(latitude, longitude, height),
                thing_sigma_m=(STILL_SIGMA_M, STILL_SIGMA_M, 3.0),
            )
    return builder.build()


def _origin(tracks: Mapping[str, Sequence[TrackLook]]) -> Place:
    pose = next(iter(tracks.values()))[0].pose
    return pose.latitude_deg, pose.longitude_deg, pose.alt_hae_m


# ---------------------------------------------------------------------------------------- the conclusion


def _concluded(
    reader: FlightReader,
    sensor: Sensor,
    seen: _Seen,
    source: str,
    looks: Looks,
    notes: tuple[str, ...],
    options: CalibrateOptions,
) -> CalibrateReport:
    sigma = SigmaConfig.of_flight(sensor)
    config = SolverConfig(prior_sigmas=priors_of(sigma) | _time_prior(seen.time_offset))
    lies: list[Lie] = [] if source.startswith("repeated") else find_lies(looks, config)
    for lie in lies:
        looks = looks.of(looks.thing != looks.things.index(lie.thing))
    found = estimate(looks, config)
    fold, block = folds_and_blocks(looks)
    proof = prove(looks, config, fold_of=fold, block_of=block, is_lasting_only=True)
    found = _with_picture(found, seen.time_offset)
    verdict = _verdict(looks, found, proof, source)
    report = CalibrateReport(
        flight=reader.info.sortie_id,
        sensor_id=sensor.sensor_id,
        source=source,
        looks=looks,
        found=found,
        proof=proof,
        lies=tuple(lies),
        time_offset=seen.time_offset,
        calibration=None,
        verdict=verdict,
        notes=notes,
    )
    if not verdict.startswith("accepted"):
        return report
    made = options.made or datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return replace(report, calibration=_recorded(report, reader, sensor, seen, config, made))


def priors_of(sigma: SigmaConfig) -> dict[str, float]:
    """What the error budget says is not known: the solver's prior sigmas.

    Attitude errors of a flight are mostly the same from look to look, so they count with the boresight.
    """
    attitude_deg = math.hypot(sigma.boresight_deg, sigma.tilt_deg)
    told = {
        "boresight_roll_deg": attitude_deg,
        "boresight_pitch_deg": attitude_deg,
        "heading_deg": sigma.heading_deg,
        "time_offset_s": sigma.time_offset_s,
        "north_m": sigma.horizontal_m,
        "east_m": sigma.horizontal_m,
        "down_m": math.hypot(sigma.vertical_m, sigma.surface_m or 0.0),
    }
    return {name: value for name, value in told.items() if value > 0.0}


def _time_prior(offset: TimeOffset | None) -> dict[str, float]:
    """Poses are already those of the instant that the picture found; what remains is its sigma."""
    if offset is None or not offset.is_observable or offset.sigma_s is None:
        return {}
    return {"time_offset_s": max(offset.sigma_s, 1e-3)}


def _with_picture(found: Estimate, offset: TimeOffset | None) -> Estimate:
    """The looks' correction comes on top of the picture's; what the picture told counts as told."""
    if offset is None or not offset.is_observable or offset.offset_s is None:
        return found
    values = found.values.copy()
    values[found.names.index("time_offset_s")] += offset.offset_s
    rest = {name: why for name, why in found.unobservable.items() if name != "time_offset_s"}
    return replace(found, values=values, unobservable=rest)


def folds_and_blocks(looks: Looks) -> tuple[IntArray, IntArray]:
    """Which looks are held out together, and which hang together, shape (N,) each.

    Folds are whole things where there are three or more, else quarters of the flight; a block is a thing's
    quarter of its looks.
    """
    quarter = np.zeros(len(looks), dtype=np.intp)
    for thing in np.unique(looks.thing):
        mine = np.flatnonzero(looks.thing == thing)
        order = mine[np.argsort(looks.time_s[mine], kind="stable")]
        quarter[order] = np.arange(len(order)) * 4 // len(order)
    things = np.unique(looks.thing)
    if len(things) >= 3:
        numbers = np.searchsorted(things, looks.thing)
        fold = numbers % min(len(things), 2 * SPLITS)
    else:
        fold = np.searchsorted(np.quantile(looks.time_s, [0.25, 0.5, 0.75]), looks.time_s)
    return fold.astype(np.intp), (looks.thing * 4 + quarter).astype(np.intp)


def _verdict(looks: Looks, found: Estimate, proof: Proof, source: str) -> str:
    """One sentence: accepted, or refused and why."""
    told = [name for name in found.names if name not in found.unobservable and not name.endswith("_m")]
    if not told:
        reasons = "; ".join(f"{name}: {why}" for name, why in found.unobservable.items())
        return f"refused: the looks tell none of the parameters ({reasons})"
    if (side := one_sided(looks)) is not None:
        return f"refused: {side}"
    if source == "vessels on AIS" and len(np.unique(looks.thing)) < 3:
        count = len(np.unique(looks.thing))
        return f"refused: {count} vessels on AIS cannot vouch for each other, three are needed"
    if proof.is_passed and not is_significant(found):
        return (
            "refused: the corrections do not differ from none by more than chance (1 %), though "
            f"{proof.sentence.removeprefix('accepted: ')}"
        )
    return proof.sentence


def _recorded(
    report: CalibrateReport,
    reader: FlightReader,
    sensor: Sensor,
    seen: _Seen,
    config: SolverConfig,
    made: str,
) -> Calibration:
    names, values, covariance = lasting_part(report.found)
    return Calibration(
        sensor_id=sensor.sensor_id,
        platform_id=reader.info.platform_id,
        sortie_id=reader.info.sortie_id,
        made=made,
        software=f"skywarden {__version__}",
        source=report.source,
        data_sha256=seen.digest,
        frame_lag_s=sensor.frame_lag_s,
        noise_deg=remaining_noise_deg(report.found, config),
        names=names,
        values=values,
        covariance=covariance,
        unobservable=dict(report.found.unobservable),
        left_out=tuple(lie.thing for lie in report.lies),
        held_out=held_out(report.proof),
    )


def _from_marks(path: Path, options: CalibrateOptions) -> CalibrateReport:
    """Stills with marks: no time, no telemetry; folds are whole images."""
    marks = read_marks(path, options.control)
    found = estimate_marks(marks)
    count = len(marks.looks.moments)
    fold = np.arange(count, dtype=np.intp) % SPLITS
    proof = prove_marks(marks, fold, is_lasting_only=True)
    whole = prove_marks(marks, fold)
    looks = marks.joined(found.corrections())
    verdict = _verdict(looks, found, proof, "marks in stills")
    report = CalibrateReport(
        flight=path.stem,
        sensor_id=options.sensor_id or "camera",
        source="marks in stills",
        looks=looks,
        found=found,
        proof=proof,
        lies=(),
        time_offset=None,
        calibration=None,
        verdict=verdict,
        notes=(f"with this flight's own position corrected too: {whole.sentence}",),
    )
    if not verdict.startswith("accepted"):
        return report
    names, values, covariance = lasting_part(found)
    made = options.made or datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    calibration = Calibration(
        sensor_id=report.sensor_id,
        platform_id="",
        sortie_id=path.stem,
        made=made,
        software=f"skywarden {__version__}",
        source=report.source,
        data_sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        noise_deg=remaining_noise_deg(found, MARKS_CONFIG),
        names=names,
        values=values,
        covariance=covariance,
        unobservable=dict(found.unobservable),
        held_out=held_out(proof),
    )
    return replace(report, calibration=calibration)


# ------------------------------------------------------------------------------------------- for people


def report_text(report: CalibrateReport) -> str:
    """What was found as a table for a terminal."""
    found, proof = report.found, report.proof
    things = len(np.unique(report.looks.thing))
    lines = [
        f"{report.flight}, sensor {report.sensor_id}: {len(report.looks)} looks at {things} things "
        f"({report.source}), {len(np.unique(report.looks.moment))} frames"
    ]
    if report.time_offset is not None:
        lines.append(f"time offset by the motion of the picture: {_offset_text(report.time_offset)}")
    lines += [f"  {note}" for note in report.notes]
    lines.append(f"\n  {'parameter':<22}{'correction':>12}{'sigma':>10}{'before':>10}")
    for name, value, sigma, prior in zip(
        found.names, found.values, found.sigmas, found.prior_sigmas, strict=True
    ):
        told = "not told" if name in found.unobservable else f"{value:+.4f}"
        lasting = "" if name in LASTING else "   (this flight only)"
        lines.append(f"  {name:<22}{told:>12}{sigma:>10.4f}{prior:>10.4f}{lasting}")
    lines += [f"  {name}: {why}" for name, why in found.unobservable.items()]
    lines += [
        f"  {lie.thing} is {lie.offset_m:.0f} m from where the others see it (chi-square "
        f"{lie.chi_square:.0f}), left out"
        for lie in report.lies
    ]
    if found.scale > 1.3:
        lines.append(f"  residuals are {found.scale:.1f} times what the stated errors explain")
    lines.append(
        f"\nheld-out looks: {proof.looks} in {proof.folds} folds; RMS {proof.before_rms_m:.2f} m before, "
        f"{proof.after_rms_m:.2f} m after; CE90 {proof.before_ce90_m:.2f} m and {proof.after_ce90_m:.2f} m"
    )
    lines.append(report.verdict)
    return "\n".join(lines) + "\n"


def _offset_text(offset: TimeOffset) -> str:
    if not offset.is_observable or offset.offset_s is None or offset.sigma_s is None:
        return f"not observable ({offset.reason})"
    return (
        f"{1e3 * offset.offset_s:+.0f} ms on top of the stated lag, sigma {1e3 * offset.sigma_s:.0f} ms "
        f"({offset.reason})"
    )


def report_json(report: CalibrateReport) -> dict[str, Any]:
    """The same for programs; what is not known is null."""
    found, proof, offset = report.found, report.proof, report.time_offset
    is_known = offset is not None and offset.is_observable
    return {
        "flight": report.flight,
        "sensor_id": report.sensor_id,
        "source": report.source,
        "is_accepted": report.calibration is not None,
        "verdict": report.verdict,
        "looks": len(report.looks),
        "things": [report.looks.things[number] for number in np.unique(report.looks.thing)],
        "notes": list(report.notes),
        "time_offset": None
        if offset is None
        else {
            "is_observable": offset.is_observable,
            "offset_s": offset.offset_s if is_known else None,
            "sigma_s": offset.sigma_s if is_known else None,
            "reason": offset.reason,
        },
        "parameters": [
            {
                "name": name,
                "value": float(value),
                "sigma": float(sigma),
                "prior_sigma": float(prior),
                "is_lasting": name in LASTING,
                "is_observable": name not in found.unobservable,
                "reason": found.unobservable.get(name),
            }
            for name, value, sigma, prior in zip(
                found.names, found.values, found.sigmas, found.prior_sigmas, strict=True
            )
        ],
        "covariance": [[float(cell) for cell in row] for row in found.covariance],
        "left_out": [{"thing": lie.thing, "offset_m": lie.offset_m} for lie in report.lies],
        "held_out": None if proof.looks == 0 else msgspec.to_builtins(held_out(proof)),
    }
