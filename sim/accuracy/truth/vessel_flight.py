"""One flight past two vessels, with an error drawn for every source: what the tracker makes of 30 seconds.

Truth is a platform at 300 m that closes in, passes, or circles, and a gimbal that follows a vessel 60 degrees
off nadir which makes way, beside one at anchor. What the platform believes is wrong by draws that last the
flight (boresight, time, height of the sea, lens) and by others of which half the variance lasts and half
wanders (tilt, heading, GNSS), with correlation times that the tracker is not told. Pixels go through
`edge.geolocation.locate` with the believed pose, and what it answers through `edge.track`.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from edge.geolocation.locate import Locator
from edge.track import Tracker, TrackerConfig, TrackState, measurements_of
from edge.track.plane import LocalPlane
from sim.accuracy.truth.short_flight import CAMERA, FOCAL_PX, Errors, ErrorSet, draw_errors
from skywarden.clock import NS_PER_S
from skywarden.geometry import geodesy, rotations
from skywarden.geometry.pose import CameraPose
from skywarden.geometry.terrain import LevelSurface

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
    times_s = np.arange(int(seconds * frames_per_s) + 1) / frames_per_s
    believed = _Beliefs(rng, errors, drawn, truth, times_s)
    locator = Locator(CAMERA, LevelSurface(0.0, sigma_m=errors.sea_m))
    config = config or TrackerConfig()
    tracker, plane = Tracker(config), LocalPlane(*_ORIGIN)
    numbers: list[set[int]] = [set(), set()]
    moving = [0, 0]
    last: list[TrackState | None] = [None, None]
    for frame, t in enumerate(times_s.tolist()):
        pixels, pose = believed.pixels(frame), believed.pose(frame)
        locations = locator.locate(pose, pixels, np.full(2, errors.pixel_px))
        seen = measurements_of(
            plane,
            pose,
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
    late = max(1, int(np.count_nonzero(times_s > 10.0)))
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
    """Where everything is at times (T,): metres east and north of the origin."""

    def __init__(self, rng: np.random.Generator, path: Path_) -> None:
        self._path = path
        self._azimuth = float(rng.uniform(0.0, 2.0 * math.pi))
        course = float(rng.uniform(0.0, 2.0 * math.pi))
        self.vessel_mps = VESSEL_MPS * np.array([math.sin(course), math.cos(course)])
        self._anchored = rng.uniform(-1.0, 1.0, 2) * 20.0 + 30.0 * np.array([1.0, 1.0])
        self._side = 1.0 if rng.random() < 0.5 else -1.0

    def vessels(self, t: FloatArray) -> FloatArray:
        """(T, 2, 2): the one under way, which crosses the origin halfway, and the one at anchor."""
        under_way = self.vessel_mps * (t[:, None] - SECONDS / 2)
        return np.stack([under_way, np.broadcast_to(self._anchored, under_way.shape)], axis=1)

    def platform(self, t: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Place and velocity, east and north, both (T, 2)."""
        since = t - SECONDS / 2
        if self._path == "circling":
            turn = self._side * PLATFORM_MPS / GROUND_RANGE_M
            angle = self._azimuth + turn * since
            place = GROUND_RANGE_M * np.stack([np.sin(angle), np.cos(angle)], axis=1)
            return place, turn * np.stack([place[:, 1], -place[:, 0]], axis=1)
        ahead = np.array([math.sin(self._azimuth), math.cos(self._azimuth)])
        across = np.array([ahead[1], -ahead[0]])
        velocity = PLATFORM_MPS * (ahead if self._path == "closing" else across)
        return since[:, None] * velocity - GROUND_RANGE_M * ahead, np.broadcast_to(velocity, (len(t), 2))

    def rotation(self, t: FloatArray) -> FloatArray:
        """(T, 3, 3), `rotation_ned_from_camera` of a gimbal that follows the vessel under way, its image
        upright."""
        away = self.vessels(t)[:, 0] - self.platform(t)[0]
        level_m = np.hypot(away[:, 0], away[:, 1])
        slant_m = np.hypot(level_m, HEIGHT_M)
        north, east = away[:, 1] / level_m, away[:, 0] / level_m
        level, down, zero = level_m / slant_m, HEIGHT_M / slant_m, np.zeros(len(t))
        right = np.stack([-east, north, zero], axis=1)
        below = np.stack([-down * north, -down * east, level], axis=1)  # forward cross right
        forward = np.stack([level * north, level * east, down], axis=1)
        return np.stack([right, below, forward], axis=2)


class _Beliefs:
    """What the platform says of itself, frame by frame in order, and the pixels it sees."""

    def __init__(
        self, rng: np.random.Generator, errors: ErrorSet, drawn: Errors, truth: _Truth, times_s: FloatArray
    ) -> None:
        self._rng, self._set, self._drawn, self._times_s = rng, errors, drawn, times_s
        self._plane = LocalPlane(*_ORIGIN)
        step_s = float(times_s[1] - times_s[0])
        heading = np.array([drawn.heading_rad])
        self._tilt = _Wander(rng, drawn.tilt_rad, _WANDER_S["tilt"], step_s)
        self._heading = _Wander(rng, heading, _WANDER_S["heading"], step_s)
        self._gnss = _Wander(rng, drawn.gnss_ned_m, _WANDER_S["gnss"], step_s)
        self._pixels = self._exact_pixels(truth)
        told = times_s + drawn.time_s
        self._place, self._velocity = truth.platform(told)
        self._rotation = truth.rotation(told)
        before = truth.rotation(told - _RATE_STEP_S)
        self._rate = _rotation_vectors(self._rotation @ before.transpose(0, 2, 1)) / _RATE_STEP_S
        self._boresight = rotations.matrix_from_vector_rad(drawn.boresight_rad)

    def _exact_pixels(self, truth: _Truth) -> FloatArray:
        """(T, 2, 2): where both vessels stand in the image."""
        places, vessels = truth.platform(self._times_s)[0].tolist(), truth.vessels(self._times_s).tolist()
        heights_m = np.full(2, self._drawn.surface_m)
        ned = np.empty((len(places), 2, 3))
        for frame, (place, seen) in enumerate(zip(places, vessels, strict=True)):
            latitudes, longitudes = np.array([self._plane.geodetic(*vessel) for vessel in seen]).T
            there = (latitudes, longitudes, heights_m)
            ned[frame] = geodesy.ned_from_geodetic(there, *self._plane.geodetic(*place), HEIGHT_M)
        x, y, z = (ned @ truth.rotation(self._times_s)).transpose(2, 0, 1)
        focal = FOCAL_PX * (1.0 + self._drawn.focal_share)
        return np.stack([CAMERA.cx + focal * x / z, CAMERA.cy + focal * y / z], axis=2)

    def pixels(self, frame: int) -> FloatArray:
        """(2, 2): where both vessels stand in the image, to the error of a pixel."""
        noise = self._rng.normal(0.0, self._set.pixel_px, (2, 2))
        seen: FloatArray = self._pixels[frame] + noise
        return seen

    def pose(self, frame: int) -> CameraPose:
        """What is believed of the pose."""
        sigmas = self._set.pose
        gnss = self._gnss.next([sigmas.horizontal_m, sigmas.horizontal_m, sigmas.vertical_m])
        tilt = self._tilt.next(np.full(3, math.radians(sigmas.tilt_deg)))
        heading = float(self._heading.next(math.radians(sigmas.heading_deg))[0])
        true, rate = self._rotation[frame], self._rate[frame]
        turned = rotations.matrix_from_vector_rad(_level(tilt, true[:, 2])) @ true @ self._boresight
        east, north = self._place[frame]
        latitude_deg, longitude_deg = self._plane.geodetic(east + gnss[1], north + gnss[0])
        return CameraPose(
            time_ns=START_NS + round(self._times_s[frame] * NS_PER_S),
            latitude_deg=latitude_deg,
            longitude_deg=longitude_deg,
            alt_hae_m=HEIGHT_M + gnss[2],
            rotation_ned_from_camera=rotations.matrix_from_vector_rad([0.0, 0.0, heading]) @ turned,
            velocity_ned_mps=np.array([self._velocity[frame, 1], self._velocity[frame, 0], 0.0]),
            angular_rate_dps=float(np.degrees(np.linalg.norm(rate))),
            sigmas=sigmas,
            level_alt_hae_m=None,
            source="truth with drawn errors",
            angular_velocity_ned_dps=np.degrees(rate),
        )


def _level(vector: FloatArray, axis: FloatArray) -> FloatArray:
    """Without its part along the optical axis: tilt is a matter of the line of sight."""
    across: FloatArray = vector - axis * float(vector @ axis)
    return across


def _rotation_vectors(matrices: FloatArray) -> FloatArray:
    """(T, 3), of small rotations (T, 3, 3)."""
    m = matrices
    pairs = [m[:, 2, 1] - m[:, 1, 2], m[:, 0, 2] - m[:, 2, 0], m[:, 1, 0] - m[:, 0, 1]]
    return 0.5 * np.stack(pairs, axis=1)
