"""One flight past two vessels, with an error drawn for every source: what the tracker makes of 30 seconds.

Truth is a platform at 300 m that closes in, passes, or circles, and a gimbal that follows a vessel 60 degrees
off nadir which makes way, beside one at anchor. What the platform believes is wrong by draws that last the
flight (boresight, time, height of the sea, lens) and by others of which half the variance lasts and half
wanders (tilt, heading, GNSS), with correlation times that the tracker is not told. Pixels go through
`edge.locate` with the believed pose, and what it answers through `edge.track`.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from edge.locate import Locator
from edge.plane import LocalPlane
from edge.track import Tracker, TrackerConfig, TrackState, measurements_of
from sim.accuracy.short_flight import CAMERA, FOCAL_PX, Errors, ErrorSet, draw_errors
from skywarden import geodesy, rotations
from skywarden.clock import NS_PER_S
from skywarden.pose import CameraPose
from skywarden.terrain import LevelSurface

FloatArray = npt.NDArray[np.float64]

Path_ = Literal["closing", "passing", "circling"]
PATHS: tuple[Path_, ...] = ("closing", "passing", "circling")

HEIGHT_M = 300.0
GROUND_RANGE_M = HEIGHT_M * math.tan(math.radians(60.0))
PLATFORM_MPS = 15.0
VESSEL_MPS = 6.0
SECONDS = 30.0
START_NS = 1_790_000_000 * NS_PER_S
_ORIGIN = (12.0, -75.0)
_WANDER_S = {"tilt": 20.0, "heading": 60.0, "gnss": 60.0}
_RATE_STEP_S = 0.05


@dataclass(frozen=True, kw_only=True)
class VesselResult:
    """One vessel at the end of the flight: what the tracker said against truth.

    Attributes:
        velocity_error_mps: (2,), east and north, estimate less truth.
        state: the track; `None` when there is not exactly one.
        moving_share: share of the frames after the tenth second in which it was called moving.
        tracks: how many numbers it was given.
    """

    name: str
    east_mps: float
    north_mps: float
    state: TrackState | None
    moving_share: float
    tracks: int


class _Wander:
    """First-order Gauss-Markov columns at evenly spaced times, half of whose variance never changes."""

    def __init__(self, rng: np.random.Generator, constant: FloatArray, time_s: float, step_s: float) -> None:
        self._rng, self._time = rng, math.exp(-step_s / time_s)
        self._constant = constant * math.sqrt(0.5)
        self._now = rng.normal(0.0, 1.0, constant.shape)

    def next(self, sigma: npt.ArrayLike) -> FloatArray:
        """The value now; moves on by one step."""
        value: FloatArray = self._constant + math.sqrt(0.5) * np.asarray(sigma) * self._now
        fresh = self._rng.normal(0.0, 1.0, self._now.shape)
        self._now = self._time * self._now + math.sqrt(1.0 - self._time**2) * fresh
        return value


def fly(
    seed: int,
    errors: ErrorSet,
    path: Path_,
    *,
    frames_per_s: float = 2.0,
    seconds: float = SECONDS,
    config: TrackerConfig | None = None,
) -> list[VesselResult]:
    """One flight: what became of the vessel that makes way and of the one at anchor, in this order."""
    rng = np.random.default_rng([seed, PATHS.index(path), ord(errors.name)])
    truth = _Truth(rng, path)
    drawn = draw_errors(rng, errors, is_sea=True)
    believed = _Beliefs(rng, errors, drawn, truth, 1.0 / frames_per_s)
    locator = Locator(CAMERA, LevelSurface(0.0, sigma_m=errors.sea_m))
    config = config or TrackerConfig()
    tracker, plane = Tracker(config), LocalPlane(*_ORIGIN)
    numbers: list[set[int]] = [set(), set()]
    moving = [0, 0]
    last: list[TrackState | None] = [None, None]
    frames = int(seconds * frames_per_s) + 1
    for frame in range(frames):
        t = frame / frames_per_s
        pixels = believed.pixels(t)
        locations = locator.locate(believed.pose(t), pixels, np.full(2, errors.pixel_px))
        seen = measurements_of(
            plane,
            believed.pose_of_last,
            locations,
            pixel_rad=np.full(2, errors.pixel_px / FOCAL_PX),
            score=np.full(2, 0.9),
            label_index=np.zeros(2, dtype=np.intp),
            labels=("vessel",),
            config=config,
        )
        for state in tracker.update(START_NS + round(t * NS_PER_S), seen):
            which = state.detection_index
            if which is not None:
                numbers[which].add(state.number)
                last[which] = state
                moving[which] += state.is_moving and t > 10.0
    late = max(1, sum(frame / frames_per_s > 10.0 for frame in range(frames)))
    velocities = (truth.vessel_mps, np.zeros(2))
    return [
        VesselResult(
            name=name,
            east_mps=float(velocity[0]),
            north_mps=float(velocity[1]),
            state=last[which] if len(numbers[which]) == 1 else None,
            moving_share=moving[which] / late,
            tracks=len(numbers[which]),
        )
        for which, (name, velocity) in enumerate(zip(("under way", "at anchor"), velocities, strict=True))
    ]


class _Truth:
    """Where everything is at a time: metres east and north of the origin."""

    def __init__(self, rng: np.random.Generator, path: Path_) -> None:
        self._path = path
        self._azimuth = float(rng.uniform(0.0, 2.0 * math.pi))
        course = float(rng.uniform(0.0, 2.0 * math.pi))
        self.vessel_mps = VESSEL_MPS * np.array([math.sin(course), math.cos(course)])
        self._anchored = rng.uniform(-1.0, 1.0, 2) * 20.0 + 30.0 * np.array([1.0, 1.0])
        self._side = 1.0 if rng.random() < 0.5 else -1.0

    def vessels(self, t: float) -> FloatArray:
        """(2, 2): the one under way, which crosses the origin halfway, and the one at anchor."""
        return np.array([self.vessel_mps * (t - SECONDS / 2), self._anchored])

    def platform(self, t: float) -> tuple[FloatArray, FloatArray]:
        """Place and velocity, east and north."""
        since = t - SECONDS / 2
        if self._path == "circling":
            turn = self._side * PLATFORM_MPS / GROUND_RANGE_M
            angle = self._azimuth + turn * since
            place = GROUND_RANGE_M * np.array([math.sin(angle), math.cos(angle)])
            return place, GROUND_RANGE_M * turn * np.array([math.cos(angle), -math.sin(angle)])
        ahead = np.array([math.sin(self._azimuth), math.cos(self._azimuth)])
        across = np.array([ahead[1], -ahead[0]])
        along = ahead if self._path == "closing" else across
        return -GROUND_RANGE_M * ahead + PLATFORM_MPS * since * along, PLATFORM_MPS * along

    def rotation(self, t: float) -> FloatArray:
        """`rotation_ned_from_camera` of a gimbal that follows the vessel under way, its image upright."""
        away = self.vessels(t)[0] - self.platform(t)[0]
        forward = np.array([away[1], away[0], HEIGHT_M])
        forward /= np.linalg.norm(forward)
        right = np.array([-forward[1], forward[0], 0.0])
        right /= np.linalg.norm(right)
        return np.stack([right, np.cross(forward, right), forward], axis=1)


class _Beliefs:
    """What the platform says of itself, frame by frame in order, and the pixels it sees."""

    def __init__(
        self, rng: np.random.Generator, errors: ErrorSet, drawn: Errors, truth: _Truth, step_s: float
    ) -> None:
        self._rng, self._set, self._drawn, self._truth = rng, errors, drawn, truth
        self._plane = LocalPlane(*_ORIGIN)
        heading = np.array([drawn.heading_rad])
        self._tilt = _Wander(rng, drawn.tilt_rad, _WANDER_S["tilt"], step_s)
        self._heading = _Wander(rng, heading, _WANDER_S["heading"], step_s)
        self._gnss = _Wander(rng, drawn.gnss_ned_m, _WANDER_S["gnss"], step_s)

    def pixels(self, t: float) -> FloatArray:
        """(2, 2): where both vessels stand in the image, to the error of a pixel."""
        place = self._plane.geodetic(*self._truth.platform(t)[0])
        rotation = self._truth.rotation(t)
        out = []
        for vessel in self._truth.vessels(t):
            there = (*self._plane.geodetic(*vessel), self._drawn.surface_m)
            ned = np.asarray(geodesy.ned_from_geodetic(there, *place, HEIGHT_M))
            x, y, z = rotation.T @ ned
            focal = FOCAL_PX * (1.0 + self._drawn.focal_share)
            out.append([CAMERA.cx + focal * x / z, CAMERA.cy + focal * y / z])
        return np.array(out) + self._rng.normal(0.0, self._set.pixel_px, (2, 2))

    def pose(self, t: float) -> CameraPose:
        """What is believed of the pose at `t`; also kept as `pose_of_last`."""
        sigmas = self._set.pose
        told = t + self._drawn.time_s
        place, velocity = self._truth.platform(told)
        gnss = self._gnss.next([sigmas.horizontal_m, sigmas.horizontal_m, sigmas.vertical_m])
        tilt = self._tilt.next(np.full(3, math.radians(sigmas.tilt_deg)))
        heading = float(self._heading.next(math.radians(sigmas.heading_deg))[0])
        true = self._truth.rotation(told)
        camera = true @ rotations.matrix_from_vector_rad(self._drawn.boresight_rad)
        turned = rotations.matrix_from_vector_rad(_level(tilt, true[:, 2])) @ camera
        latitude_deg, longitude_deg = self._plane.geodetic(place[0] + gnss[1], place[1] + gnss[0])
        before = self._truth.rotation(told - _RATE_STEP_S)
        rate = _rotation_vector(true @ before.T) / _RATE_STEP_S
        self.pose_of_last = CameraPose(
            time_ns=START_NS + round(t * NS_PER_S),
            latitude_deg=latitude_deg,
            longitude_deg=longitude_deg,
            alt_hae_m=HEIGHT_M + gnss[2],
            rotation_ned_from_camera=rotations.matrix_from_vector_rad([0.0, 0.0, heading]) @ turned,
            velocity_ned_mps=np.array([velocity[1], velocity[0], 0.0]),
            angular_rate_dps=float(np.degrees(np.linalg.norm(rate))),
            sigmas=sigmas,
            level_alt_hae_m=None,
            source="truth with drawn errors",
            angular_velocity_ned_dps=np.degrees(rate),
        )
        return self.pose_of_last


def _level(vector: FloatArray, axis: FloatArray) -> FloatArray:
    """Without its part along the optical axis: tilt is a matter of the line of sight."""
    across: FloatArray = vector - axis * float(vector @ axis)
    return across


def _rotation_vector(matrix: FloatArray) -> FloatArray:
    """Of a small rotation."""
    return 0.5 * np.array(
        [matrix[2, 1] - matrix[1, 2], matrix[0, 2] - matrix[2, 0], matrix[1, 0] - matrix[0, 1]]
    )
