"""From one frame and one pose to messages: detect, locate, track, log. A plain object; time is in the frames.

`look` is the costly part; `read` may run beside the next `look`; `finish` needs the pose at the frame's own
instant, which the caller may have to wait for. Same frames and poses in, same messages out.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from edge.chart.keep_off import KeepOff
from edge.gaze.outlook import Outlook, OutlookMaker
from edge.geolocation.box_errors import box_sigma_px, free_edges
from edge.geolocation.locate import Locations, Locator, bearing_message, position_message
from edge.models_aboard.bank import DetectorBank, PartLook
from edge.plots.merge import PlotState
from edge.plots.node import PlotFrame, PlotNode, PlotSettings, plot_message, surface_under
from edge.track import Measurements, TrackerConfig, TrackState, measurements_of
from edge.track.plane import LocalPlane
from edge.vision.chips import cut_chip
from edge.vision.followers import Followers, Sight
from edge.vision.sightings import SightingLog
from models.detection import DetectionBatch
from models.detector import Detector, Inference
from skywarden import messages
from skywarden.clock import NS_PER_S
from skywarden.errors import InputError, ModelError
from skywarden.geometry.camera import CameraModel
from skywarden.geometry.pose import CameraPose, NoPose
from skywarden.geometry.terrain import LEVEL_SIGMA_M, Surface
from skywarden.geometry.uncertainty import ce90_m, le90_m
from skywarden.messages import Message

MAX_LOCATORS = 8
TRACK_PERIOD_NS = NS_PER_S // 2
MAX_BACK_NS = NS_PER_S
"""A frame that is older than one before by less than this counts as of the same time; more is a set clock."""

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class SensorIds:
    """Whose frames these are.

    `incarnation` counts restarts of the process and `clock_steps` how often time ran back in it, so that ids
    never repeat within a sortie.
    """

    platform_id: str
    sortie_id: str
    sensor_id: str
    incarnation: int = 0
    clock_steps: int = 0

    @property
    def prefix(self) -> str:
        """What track and sighting ids begin with."""
        restarted = f".r{self.incarnation}" if self.incarnation else ""
        stepped = f".c{self.clock_steps}" if self.clock_steps else ""
        return f"{self.sortie_id}.{self.sensor_id}{restarted}{stepped}"


@dataclass(frozen=True, kw_only=True)
class VisionSettings:
    """What one sensor's chain is made of.

    Attributes:
        camera: lens model, `None` for an uncalibrated camera: detections without positions.
        surface: what rays meet; `None` for level ground at the height that the pose names.
        level_sigma_m: height error of that level ground.
        pixel_sigma_px: where in the image an object stands, one sigma; shares of its box are added.
        plots: how detections that come with a shape become plots.
        keep_off: what a chart says cannot be where it seems to be; it is counted and not told.
    """

    camera: CameraModel | None
    surface: Surface | None = None
    level_sigma_m: float = LEVEL_SIGMA_M
    pixel_sigma_px: float = 2.0
    min_score: float = 0.0
    max_detections: int = 100
    sighting_interval_s: float = 0.5
    chip_interval_s: float = 10.0
    is_exercise: bool = False
    plots: PlotSettings = field(default_factory=PlotSettings)
    keep_off: KeepOff | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Frame:
    """One image, (H, W, 3) BGR uint8; `time_ns` is the exposure as best known, lag taken off.

    `fault` says why the image must not be trusted (frozen, black, corrupt).
    """

    frame_number: int
    time_ns: int
    received_ns: int
    image: npt.NDArray[np.uint8]
    fault: str | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Look:
    """A frame and the network's raw answer; `None` for a frame that must not be trusted."""

    frame: Frame
    inference: Inference | None


@dataclass(frozen=True, kw_only=True, eq=False)
class Seen:
    """A frame and what the detectors answered, waiting for the pose at `frame.time_ns`.

    `looks` says which of them looked, for what, and at which part of the frame.
    """

    frame: Frame
    batch: DetectionBatch
    looks: tuple[PartLook, ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class Outcome:
    """What one frame came to: the messages to hand on, and where each of its detections lies.

    `locations` is `None` when nothing could be located; `reasons` then holds why, one word per detection.
    `plots` has what became of shapes, `None` when no detection came with one. `track_ids` are those of the
    confirmed tracks that took detections, by detection; `position_doubt` is why places are suspect.
    """

    messages: list[Message]
    batch: DetectionBatch
    locations: Locations | None
    reasons: list[str]
    plots: PlotFrame | None = None
    track_ids: dict[int, str] = field(default_factory=dict)
    position_doubt: str | None = None


class OutlookListener(Protocol):
    """Who decides where to look."""

    def tell(self, outlook: Outlook | None) -> None:
        """What the last finished frame showed; `None` when its pose was not known."""
        ...


class VisionNode:
    """The chain of one sensor: detectors, locator, trackers, sighting log."""

    def __init__(
        self,
        ids: SensorIds,
        settings: VisionSettings,
        detector: Detector,
        tracker: TrackerConfig | None = None,
        gaze: OutlookListener | None = None,
    ) -> None:
        """`gaze` hears after every frame what is known of the next one. Of a `DetectorBank` each slot's own
        limits hold in place of those in `settings`."""
        self._gaze = gaze
        self._outlooks = OutlookMaker()
        self._ids = ids
        self._settings = settings
        self._bank = DetectorBank.of(
            detector, min_score=settings.min_score, max_detections=settings.max_detections
        )
        self._tracker_config = tracker or TrackerConfig()
        self._followers = Followers(self._tracker_config)
        for slot in self._bank.slots:
            self._followers.claim(slot.labels)
        self._tracked_ns: int | None = None
        self._plane: LocalPlane | None = None
        self._log = SightingLog(interval_s=settings.sighting_interval_s)
        self._chip_ns: dict[int, int] = {}
        self._told_ns: dict[int, int] = {}
        self._heights: dict[int, tuple[float, float, messages.Surface]] = {}
        self._locators: dict[tuple[int, int], Locator] = {}
        self._plots = PlotNode(settings.plots)
        self.misplaced_count = 0
        self._picture_bytes: int | None = None
        self._track_models: dict[int, str] = {}
        self._plot_models: dict[int, str] = {}
        self._taken: dict[int, str] = {}

    def want(self, *, picture_bytes: int | None, min_scores: dict[str, float]) -> None:
        """From now on: chips of at most so many bytes, detections from these scores on.

        `min_scores` is by label, "" for labels that are not named; without either the settings hold.
        """
        self._picture_bytes, self._bank.min_scores = picture_bytes, min_scores

    def look(self, frame: Frame) -> Look:
        """Run the network, the costly part; a frame with a fault is not looked at.

        An image that no detector takes (too small, too large) becomes a frame with the fault "unusable".
        """
        if frame.fault is not None:
            return Look(frame=frame, inference=None)
        try:
            return Look(frame=frame, inference=self._bank.infer(frame.image))
        except ModelError:  # the network failed, not the image
            raise
        except InputError:
            return Look(frame=replace(frame, fault="unusable"), inference=None)

    def read(self, look: Look) -> Seen:
        """Read the network's answer; may run in another thread than the next `look`."""
        if look.inference is None:
            return Seen(frame=look.frame, batch=_nothing(self._bank.labels))
        batch, looks = self._bank.read_parts(look.inference)
        for each in looks:
            self._followers.claim(each.labels)
        return Seen(frame=look.frame, batch=batch, looks=looks)

    def detect(self, frame: Frame) -> Seen:
        """`look` and `read` in one step."""
        return self.read(self.look(frame))

    def finish(self, seen: Seen, pose: CameraPose | NoPose) -> Outcome:
        """Everything that the frame says once its pose is known (or known to be unknown)."""
        frame, batch = seen.frame, seen.batch
        # A frame that was nobody's turn says nothing about what is in it.
        out: list[Message] = [self._detections(seen)] if seen.looks or frame.fault is not None else []
        if frame.fault is not None:  # no look at the world: it shows no ground, and no track was missed in it
            out.append(self._frame_info(frame, reason=frame.fault))
            return Outcome(messages=out, batch=batch, locations=None, reasons=[frame.fault] * len(batch))
        locator = self._locator(frame, pose)
        if isinstance(pose, NoPose) or locator is None:
            reason = pose.reason if isinstance(pose, NoPose) else "uncalibrated_camera"
            reasons = [reason] * len(batch)
            if self._gaze is not None:
                self._gaze.tell(None)
            known = None if isinstance(pose, NoPose) else pose
            out.append(self._frame_info(frame, reason=reason))
            named = np.flatnonzero(~self._followers.explained(batch, None))
            out.extend(self._unlocated(seen, named.tolist(), reasons, None, known))
            return Outcome(messages=out, batch=batch, locations=None, reasons=reasons)
        points, sigmas = self._points(batch, pose, locator)
        locations = locator.locate(pose, points, sigmas)
        out.append(self._frame_info(frame, locations=locations))
        sight = self._sight(pose, locator)
        explained = self._followers.explained(batch, sight)
        misplaced = self._misplaced(batch, locations, pose, locator)
        explained |= misplaced
        out.extend(self._track(seen, sight, locations, explained))
        reasons = list(locations.status[: len(batch)])
        lost = [index for index, reason in enumerate(reasons) if reason != "ok" and not explained[index]]
        out.extend(self._unlocated(seen, lost, reasons, locations, pose))
        plots = None
        if any(batch.shapes) and (surface := self._surface_under(pose)) is not None:
            shaped = _without_shapes(batch, misplaced)
            plots = self._plots.handle(shaped, locator, pose, surface, frame.frame_number)
            for (row, _), number in plots.numbers.items():
                self._plot_models[number] = self._model_of(batch, row)
            out.extend(self._plot_message(state, surface) for state in plots.news)
        if self._gaze is not None:
            self._gaze.tell(self._outlooks.make(locator, pose, self._followers.expected_boxes(sight)))
        return Outcome(
            messages=out,
            batch=batch,
            locations=locations,
            reasons=reasons,
            plots=plots,
            track_ids=self._taken,
            position_doubt=pose.doubt,
        )

    def plots(self) -> list[messages.Plot]:
        """Every confirmed plot as it is known by now."""
        surface = self._plots.surface
        return [self._plot_message(state, surface) for state in self._plots.states()] if surface else []

    def _misplaced(
        self, batch: DetectionBatch, locations: Locations, pose: CameraPose, locator: Locator
    ) -> npt.NDArray[np.bool_]:
        """Detections that the chart says cannot be there; none while the position is in doubt."""
        rule = self._settings.keep_off
        if rule is None or pose.doubt is not None or not len(batch):
            return np.zeros(len(batch), dtype=bool)
        wrong = rule.misplaced(batch, locations, locator.camera.fx)
        self.misplaced_count += int(wrong.sum())
        return wrong

    def _surface_under(self, pose: CameraPose) -> Surface | None:
        return surface_under(self._settings.surface, pose, self._settings.level_sigma_m)

    def _plot_message(self, state: PlotState, surface: Surface) -> messages.Plot:
        return plot_message(
            state,
            surface,
            prefix=self._ids.prefix,
            platform_id=self._ids.platform_id,
            sortie_id=self._ids.sortie_id,
            sensor_id=self._ids.sensor_id,
            model_id=self._plot_models.get(state.number) or self._bank.model_id,
            is_exercise=self._settings.is_exercise,
        )

    def _sight(self, pose: CameraPose, locator: Locator) -> Sight:
        if self._plane is None:
            self._plane = LocalPlane(pose.latitude_deg, pose.longitude_deg)
        return Sight(locator, self._plane, pose)

    def _model_of(self, batch: DetectionBatch, row: int) -> str:
        return batch.model_of(row) or self._bank.model_id

    def _track(
        self, seen: Seen, sight: Sight, locations: Locations, explained: npt.NDArray[np.bool_]
    ) -> list[Message]:
        pose = sight.pose
        measurements = self._measurements(seen, sight, locations)
        if explained.any():
            measurements = measurements.taken(np.flatnonzero(~explained[measurements.detection_index]))
        time_ns = self._tracking_time(seen.frame.time_ns)
        states = self._followers.update(time_ns, measurements, seen.looks, sight)
        self._taken = {
            state.detection_index: f"{self._ids.prefix}.t{state.number}"
            for state in states
            if state.detection_index is not None and state.status == "confirmed"
        }
        heights, circles = _heights(locations), locations.ce90_m.tolist()
        for state in states:
            if state.detection_index is not None:
                self._heights[state.number] = heights[state.detection_index]
                self._track_models[state.number] = self._model_of(seen.batch, state.detection_index)
        is_partial = any(look.looked is not None for look in seen.looks)
        if self._gaze is not None or is_partial or not self._followers.is_single:
            up_m = [self._heights[state.number][0] for state in states]
            self._followers.remember(states, up_m, seen.batch.box_px.astype(np.float64))
        out: list[Message] = list(self._track_messages([state for state in states if self._is_told(state)]))
        for state in states:
            index = state.detection_index
            if index is None:
                continue
            if not self._log.wants(state.number, seen.frame.time_ns, circles[index]):
                continue
            look = _with_motion(self._look(seen, index, f"t{state.number}", locations, pose), state)
            logged = self._log.look(state.number, look, is_confirmed=state.status == "confirmed")
            out.extend(logged)
            if logged and self._chip_due(state, seen.frame.time_ns):
                out.append(self._chip(seen.frame, logged[-1]))
        dropped = {state.number for state in states if state.status == "dropped"}
        if dropped:
            self._forget(dropped)
        return out

    def _tracking_time(self, time_ns: int) -> int:
        """The frame's time, but never before that of the last; a clock that was set back begins anew."""
        if self._tracked_ns is not None and time_ns < self._tracked_ns - MAX_BACK_NS:
            self._ids = replace(self._ids, clock_steps=self._ids.clock_steps + 1)
            self._followers.forget()
            self._log = SightingLog(interval_s=self._settings.sighting_interval_s)
            for memory in (
                self._chip_ns,
                self._told_ns,
                self._heights,
                self._track_models,
                self._plot_models,
            ):
                memory.clear()
            self._plots.begin_anew()
            self._outlooks.begin_anew()
            self._tracked_ns = None
        self._tracked_ns = max(time_ns, self._tracked_ns or 0)
        return self._tracked_ns

    def _measurements(self, seen: Seen, sight: Sight, locations: Locations) -> Measurements:
        pose, camera = sight.pose, sight.locator.camera
        boxes = seen.batch.box_px.astype(np.float64)
        return measurements_of(
            sight.plane,
            pose,
            locations,
            pixel_rad=self._pixel_sigma(seen.batch, pose, camera) / camera.fx,
            score=np.clip(seen.batch.score, 0.0, 1.0),
            label_index=seen.batch.label_index,
            labels=seen.batch.labels,
            config=self._tracker_config,
            half_box_rad=(boxes[:, 2:] - boxes[:, :2]) / (2.0 * camera.fx),
            free=free_edges(boxes, camera),
        )

    def _track_messages(self, states: Sequence[TrackState]) -> Iterator[messages.Track]:
        if states:
            circles = ce90_m(np.stack([state.covariance_m2 for state in states]))
            for state, circle in zip(states, circles.tolist(), strict=True):
                yield self._track_message(state, circle)

    def _track_message(self, state: TrackState, circle_m: float) -> messages.Track:
        assert self._plane is not None
        latitude_deg, longitude_deg = self._plane.geodetic(state.east_m, state.north_m)
        (east_m2, east_north_m2), (_, north_m2) = state.covariance_m2.tolist()
        height_m, up_m2, surface = self._heights[state.number]
        (vel_ee, vel_en), (_, vel_nn) = state.velocity_covariance_m2ps2.tolist()
        return messages.Track(
            track_id=f"{self._ids.prefix}.t{state.number}",
            platform_id=self._ids.platform_id,
            sortie_id=self._ids.sortie_id,
            sensor_id=self._ids.sensor_id,
            time_ns=state.time_ns,
            first_ns=state.first_ns,
            status=state.status,
            label=state.label,
            score=min(1.0, max(0.0, state.score)),
            look_count=state.look_count,
            position=messages.Position(
                latitude_deg=latitude_deg,
                longitude_deg=longitude_deg,
                alt_hae_m=height_m,
                covariance_enu_m2=(
                    east_m2,
                    east_north_m2,
                    0.0,
                    north_m2,
                    0.0,
                    up_m2,
                ),
                ce90_m=circle_m,
                le90_m=float(le90_m(up_m2)),
                surface=surface,
            ),
            course_deg=state.course_deg if state.is_moving else None,
            speed_mps=state.speed_mps if state.is_moving else None,
            velocity_covariance_en_m2ps2=(vel_ee, vel_en, vel_nn),
            model_id=self._track_models.get(state.number),
        )

    def _look(
        self, seen: Seen, index: int, track_suffix: str, locations: Locations | None, pose: CameraPose | None
    ) -> messages.Sighting:
        frame, batch = seen.frame, seen.batch
        x0, y0, x1, y1 = batch.box_px[index].tolist()
        position = bearing = slant_range_m = size_m = place = None
        reason: str | None = "no_telemetry"
        if locations is not None:
            position = position_message(locations, index)
            bearing = None if position else bearing_message(locations, index)
            reason = None if position else locations.status[index]
        if locations is not None and position is not None:
            slant_range_m = float(locations.slant_range_m[index])
            size_m = self._size_m(frame, x1 - x0, y1 - y0, slant_range_m)
        if pose is not None:
            place = (pose.latitude_deg, pose.longitude_deg, pose.alt_hae_m)
        return messages.Sighting(
            sighting_id=f"{self._ids.prefix}.{track_suffix}.f{frame.frame_number}",
            track_id=f"{self._ids.prefix}.{track_suffix}",
            platform_id=self._ids.platform_id,
            sortie_id=self._ids.sortie_id,
            sensor_id=self._ids.sensor_id,
            frame_number=frame.frame_number,
            time_ns=frame.time_ns,
            label=batch.labels[batch.label_index[index]],
            score=min(1.0, max(0.0, float(batch.score[index]))),
            model_id=self._model_of(batch, index),
            box_px=(x0, y0, x1, y1),
            position=position,
            bearing=bearing,
            no_position_reason=reason,
            slant_range_m=slant_range_m,
            platform_position=place,
            size_m=size_m,
            is_exercise=self._settings.is_exercise,
            position_doubt=pose.doubt if pose is not None and position is not None else None,
        )

    def _unlocated(
        self,
        seen: Seen,
        indices: Iterable[int],
        reasons: Sequence[str],
        locations: Locations | None,
        pose: CameraPose | None,
    ) -> list[Message]:
        out: list[Message] = []
        for index in indices:
            look = self._look(seen, index, f"u{seen.frame.frame_number}-{index}", locations, pose)
            look = msgspec.structs.replace(look, no_position_reason=reasons[index])
            logged = self._log.unlocated(look, look.bearing.azimuth_deg if look.bearing else None)
            for sighting in logged:  # without a place the picture is all that a person has
                out += [sighting, self._cut(seen.frame, sighting)]
        return out

    def _size_m(
        self, frame: Frame, width_px: float, height_px: float, slant_range_m: float
    ) -> tuple[float, float]:
        camera = self._locators[frame.image.shape[1], frame.image.shape[0]].camera
        return (slant_range_m * width_px / camera.fx, slant_range_m * height_px / camera.fy)

    def _chip_due(self, state: TrackState, time_ns: int) -> bool:
        last_ns = self._chip_ns.get(state.number)
        return last_ns is None or time_ns - last_ns >= self._settings.chip_interval_s * NS_PER_S

    def _chip(self, frame: Frame, sighting: messages.Sighting) -> messages.Chip:
        number = int(sighting.track_id.rpartition(".t")[2])
        self._chip_ns[number] = frame.time_ns
        return self._cut(frame, sighting)

    def _cut(self, frame: Frame, sighting: messages.Sighting) -> messages.Chip:
        return cut_chip(
            frame.image,
            sighting.box_px,
            sighting_id=sighting.sighting_id,
            platform_id=self._ids.platform_id,
            time_ns=frame.time_ns,
            max_bytes=self._picture_bytes,
        )

    def _forget(self, numbers: set[int]) -> None:
        self._log.forget(numbers)
        for number in numbers:
            self._chip_ns.pop(number, None)
            self._heights.pop(number, None)
            self._told_ns.pop(number, None)
            self._track_models.pop(number, None)

    def _detections(self, seen: Seen) -> messages.Detections:
        batch = seen.batch
        return messages.Detections(
            platform_id=self._ids.platform_id,
            sortie_id=self._ids.sortie_id,
            sensor_id=self._ids.sensor_id,
            frame_number=seen.frame.frame_number,
            time_ns=seen.frame.time_ns,
            model_id=batch.model_id or self._bank.model_id,
            labels=batch.labels,
            box_px_f32=batch.box_px.astype("<f4").tobytes(),
            score_f32=batch.score.astype("<f4").tobytes(),
            label_index_u8=batch.label_index.tobytes(),
            model_ids=batch.model_ids,
            model_index_u8=b"" if batch.model_index is None else batch.model_index.tobytes(),
        )

    def _frame_info(
        self,
        frame: Frame,
        *,
        locations: Locations | None = None,
        reason: str | None = None,
    ) -> messages.FrameInfo:
        footprint: tuple[messages.LatLon, ...] = ()
        centre = None
        if locations is not None:
            *corners, centre = (_place(locations, len(locations) - back) for back in (5, 4, 3, 2, 1))
            # A footprint that reaches the horizon has no end.
            footprint = tuple(corner for corner in corners if corner is not None)
            footprint = footprint if len(footprint) == 4 else ()
        return messages.FrameInfo(
            platform_id=self._ids.platform_id,
            sortie_id=self._ids.sortie_id,
            sensor_id=self._ids.sensor_id,
            frame_number=frame.frame_number,
            time_ns=frame.time_ns,
            received_ns=frame.received_ns,
            width_px=frame.image.shape[1],
            height_px=frame.image.shape[0],
            footprint=footprint,
            frame_centre=centre,
            no_position_reason=reason or frame.fault,
        )

    def _locator(self, frame: Frame, pose: CameraPose | NoPose) -> Locator | None:
        camera = self._settings.camera
        if camera is None or isinstance(pose, NoPose):
            return None
        height_px, width_px = frame.image.shape[:2]
        key = (width_px, height_px)
        if key not in self._locators:
            if len(self._locators) >= MAX_LOCATORS:
                self._locators.clear()
            self._locators[key] = Locator(
                camera.scaled_to(width_px, height_px),
                self._settings.surface,
                level_sigma_m=self._settings.level_sigma_m,
            )
        return self._locators[key]

    def _points(
        self, batch: DetectionBatch, pose: CameraPose, locator: Locator
    ) -> tuple[FloatArray, FloatArray]:
        """Every detection, then the four corners and the centre of the image: one ray cast for all."""
        camera = locator.camera
        marks = np.vstack([camera.corners_px, [[camera.cx, camera.cy]]])
        points = np.vstack([_centres(batch), marks])
        sigmas = np.vstack([self._pixel_sigma(batch, pose, camera), np.ones(marks.shape)])
        return points, sigmas

    def _is_told(self, state: TrackState) -> bool:
        """Whether the ground hears of this track now: its begin and end at once, the rest twice a second."""
        if state.status == "tentative" or (state.status == "dropped" and not state.was_confirmed):
            return False
        last_ns = self._told_ns.get(state.number)
        is_early = last_ns is not None and state.time_ns - last_ns < TRACK_PERIOD_NS
        if is_early and state.status != "dropped":
            return False
        self._told_ns[state.number] = state.time_ns
        return True

    def _pixel_sigma(self, batch: DetectionBatch, pose: CameraPose, camera: CameraModel) -> FloatArray:
        return box_sigma_px(batch.box_px, pose, camera, self._settings.pixel_sigma_px)


def _with_motion(look: messages.Sighting, state: TrackState) -> messages.Sighting:
    """The look, with what its track is known to do."""
    if not state.is_moving:
        return msgspec.structs.replace(look, motion=state.motion)
    (ee, en), (_, nn) = state.velocity_covariance_m2ps2.tolist()
    velocity = (state.east_mps, state.north_mps, ee, en, nn)
    return msgspec.structs.replace(look, motion="moving", velocity_en_mps=velocity)


def _nothing(labels: tuple[str, ...]) -> DetectionBatch:
    return DetectionBatch(
        box_px=np.zeros((0, 4), dtype=np.float32),
        score=np.zeros(0, dtype=np.float32),
        label_index=np.zeros(0, dtype=np.uint8),
        labels=labels,
    )


def _without_shapes(batch: DetectionBatch, left_out: npt.NDArray[np.bool_]) -> DetectionBatch:
    if not left_out.any():
        return batch
    shapes = (None if out else shape for shape, out in zip(batch.shapes, left_out, strict=True))
    return replace(batch, shapes=tuple(shapes))


def _place(locations: Locations, index: int) -> messages.LatLon | None:
    if locations.status[index] != "ok":
        return None
    return float(locations.latitude_deg[index]), float(locations.longitude_deg[index])


def _heights(locations: Locations) -> list[tuple[float, float, messages.Surface]]:
    """Height above the ellipsoid of every place, its variance, and what was met."""
    up_m2 = locations.covariance_enu_m2[:, 2, 2].tolist()
    surface = locations.surface
    return [(alt, up, surface) for alt, up in zip(locations.alt_hae_m.tolist(), up_m2, strict=True)]


def _centres(batch: DetectionBatch) -> FloatArray:
    boxes = batch.box_px.astype(np.float64)
    return np.stack([(boxes[:, 0] + boxes[:, 2]) / 2, (boxes[:, 1] + boxes[:, 3]) / 2], axis=1)
