"""Vessels seen by several platforms whose errors are drawn by source: sightings as the edge would send them.

Truth is a group of vessels, some under way and some at anchor, round a point of the sea, and platforms that
pass or circle and keep their camera on that point. What each platform believes of itself is wrong: boresight,
time, lens last its flight; of tilt, heading and GNSS half the variance lasts and half wanders. The height of
the sea is one draw for all. Pixels go through `edge.geolocation.locate` and `edge.track` as aboard, with
missed detections, false ones and a camera that looks away for a while, and the logged looks become sightings.
"""

import math
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from edge.geolocation.locate import Locations, Locator, position_message
from edge.track import Tracker, TrackerConfig, TrackState, measurements_of
from edge.track.plane import LocalPlane
from edge.vision.sightings import SightingLog
from sim.accuracy.truth.short_flight import CAMERA, FOCAL_PX, Errors, ErrorSet, draw_errors
from skywarden.clock import NS_PER_S
from skywarden.geometry import geodesy, rotations
from skywarden.geometry.pose import CameraPose
from skywarden.geometry.terrain import LevelSurface
from skywarden.messages import Sighting

FloatArray = npt.NDArray[np.float64]

ORIGIN = (12.0, -75.0)
START_NS = 1_790_000_000 * NS_PER_S
PLATFORM_MPS = 15.0
_WANDER_S = {"tilt": 20.0, "heading": 60.0, "gnss": 60.0}
_MISSED = 0.05
_FALSE_PER_FRAME = 0.05


@dataclass(frozen=True, kw_only=True)
class Sea:
    """Vessels as straight courses: places (V, 2) at the middle of the watch and velocities (V, 2), metres
    east and north of `ORIGIN`."""

    places: FloatArray
    velocities: FloatArray
    height_m: float
    seconds: float

    def at(self, t: float) -> FloatArray:
        """(V, 2) at `t` seconds from the begin."""
        where: FloatArray = self.places + self.velocities * (t - self.seconds / 2)
        return where


@dataclass(frozen=True, kw_only=True)
class Flight:
    """How one platform flies: where it looks from (degrees from north, seen from the point), how steeply."""

    platform_id: str
    azimuth_deg: float
    off_nadir_deg: float
    height_m: float = 300.0
    path: Literal["passing", "circling", "hovering"] = "passing"
    away_s: tuple[float, float] = (0.0, 0.0)
    """From when to when its camera looks elsewhere."""


def make_sea(
    rng: np.random.Generator, *, vessels: int, at_anchor: int, half_m: float, sea_m: float, seconds: float
) -> Sea:
    """Vessels in a square of twice `half_m`, at least 45 m apart at the middle of the watch."""
    places: list[FloatArray] = []
    while len(places) < vessels:
        place = rng.uniform(-half_m, half_m, 2)
        if all(np.hypot(*(place - other)) > 45.0 for other in places):
            places.append(place)
    course = rng.uniform(0.0, 2.0 * math.pi, vessels)
    speed = rng.uniform(1.5, 6.0, vessels)
    speed[:at_anchor] = 0.0
    velocities = speed[:, None] * np.stack([np.sin(course), np.cos(course)], axis=1)
    return Sea(
        places=np.array(places),
        velocities=velocities,
        height_m=float(rng.normal(0.0, sea_m)),
        seconds=seconds,
    )


def sightings_of(
    rng: np.random.Generator, sea: Sea, flight: Flight, errors: ErrorSet, *, frames_per_s: float = 2.0
) -> list[Sighting]:
    """What the platform logs and sends, in the order of time."""
    platform = _Platform(rng, flight, errors, sea.seconds, 1.0 / frames_per_s)
    locator = Locator(CAMERA, LevelSurface(0.0, sigma_m=errors.sea_m))
    watch = _Watch(flight.platform_id, errors)
    found: list[Sighting] = []
    for frame in range(int(sea.seconds * frames_per_s) + 1):
        t = frame / frames_per_s
        pose, pixels = platform.look(t, sea)
        if flight.away_s[0] <= t < flight.away_s[1]:
            continue
        seen = pixels[rng.random(len(pixels)) >= _MISSED]
        seen = seen + rng.normal(0.0, errors.pixel_px, seen.shape)
        false = rng.poisson(_FALSE_PER_FRAME)
        middle = np.array([CAMERA.cx, CAMERA.cy])
        seen = np.concatenate([seen, middle + rng.uniform(-250.0, 250.0, (false, 2))])
        found += watch.frame(frame, pose, locator.locate(pose, seen, errors.pixel_px), len(seen))
    return found


class _Platform:
    """Truth and belief of one platform, frame by frame in order."""

    def __init__(
        self, rng: np.random.Generator, flight: Flight, errors: ErrorSet, seconds: float, step_s: float
    ) -> None:
        self._rng, self._flight, self._set, self._seconds = rng, flight, errors, seconds
        self._plane = LocalPlane(*ORIGIN)
        self._drawn: Errors = draw_errors(rng, errors, is_sea=True)
        self._range_m = flight.height_m * math.tan(math.radians(flight.off_nadir_deg))
        self._boresight = rotations.matrix_from_vector_rad(self._drawn.boresight_rad)
        self._tilt = _Wander(rng, self._drawn.tilt_rad, _WANDER_S["tilt"], step_s)
        self._heading = _Wander(rng, np.array([self._drawn.heading_rad]), _WANDER_S["heading"], step_s)
        self._gnss = _Wander(rng, self._drawn.gnss_ned_m, _WANDER_S["gnss"], step_s)

    def look(self, t: float, sea: Sea) -> tuple[CameraPose, FloatArray]:
        """What it believes of its pose, and where the vessels truly stand in the image (V, 2)."""
        pixels = self._pixels(t, sea)
        told = t + self._drawn.time_s
        place, velocity = self._course(told)
        rotation = self._rotation(told)
        sigmas = self._set.pose
        tilt = self._tilt.next(np.full(3, math.radians(sigmas.tilt_deg)))
        tilt = tilt - rotation[:, 2] * float(tilt @ rotation[:, 2])
        heading = float(self._heading.next(np.array([math.radians(sigmas.heading_deg)]))[0])
        gnss = self._gnss.next(np.array([sigmas.horizontal_m, sigmas.horizontal_m, sigmas.vertical_m]))
        turned = rotations.matrix_from_vector_rad([0.0, 0.0, heading]) @ (
            rotations.matrix_from_vector_rad(tilt) @ rotation @ self._boresight
        )
        before = self._rotation(told - 0.05)
        rate = rotation @ before.T
        rate_rad = np.array([rate[2, 1] - rate[1, 2], rate[0, 2] - rate[2, 0], rate[1, 0] - rate[0, 1]]) / 0.1
        latitude_deg, longitude_deg = self._plane.geodetic(place[0] + gnss[1], place[1] + gnss[0])
        pose = CameraPose(
            time_ns=START_NS + round(t * NS_PER_S),
            latitude_deg=latitude_deg,
            longitude_deg=longitude_deg,
            alt_hae_m=self._flight.height_m + gnss[2],
            rotation_ned_from_camera=turned,
            velocity_ned_mps=np.array([velocity[1], velocity[0], 0.0]),
            angular_rate_dps=float(np.degrees(np.linalg.norm(rate_rad))),
            sigmas=sigmas,
            level_alt_hae_m=None,
            source="truth with drawn errors",
            angular_velocity_ned_dps=np.degrees(rate_rad),
        )
        return pose, pixels

    def _course(self, t: float) -> tuple[FloatArray, FloatArray]:
        """Place and velocity, east and north."""
        azimuth = math.radians(self._flight.azimuth_deg)
        since = t - self._seconds / 2
        if self._flight.path == "circling":
            turn = PLATFORM_MPS / self._range_m
            angle = azimuth + turn * since
            place = self._range_m * np.array([math.sin(angle), math.cos(angle)])
            return place, turn * np.array([place[1], -place[0]])
        outward = np.array([math.sin(azimuth), math.cos(azimuth)])
        speed = PLATFORM_MPS if self._flight.path == "passing" else 0.0
        across = speed * np.array([outward[1], -outward[0]])
        return self._range_m * outward + since * across, across

    def _rotation(self, t: float) -> FloatArray:
        """`rotation_ned_from_camera` of a level image whose middle is the point."""
        place = self._course(t)[0]
        level_m = float(np.hypot(*place))
        slant_m = math.hypot(level_m, self._flight.height_m)
        north, east = -place[1] / level_m, -place[0] / level_m
        level, down = level_m / slant_m, self._flight.height_m / slant_m
        right = np.array([-east, north, 0.0])
        forward = np.array([level * north, level * east, down])
        return np.stack([right, np.cross(forward, right), forward], axis=1)

    def _pixels(self, t: float, sea: Sea) -> FloatArray:
        there = sea.at(t)
        latitudes, longitudes = np.array([self._plane.geodetic(*one) for one in there.tolist()]).T
        here = self._plane.geodetic(*self._course(t)[0])
        heights = np.full(len(there), sea.height_m)
        ned = geodesy.ned_from_geodetic((latitudes, longitudes, heights), *here, self._flight.height_m)
        x, y, z = (ned @ self._rotation(t)).T
        focal = FOCAL_PX * (1.0 + self._drawn.focal_share)
        return np.stack([CAMERA.cx + focal * x / z, CAMERA.cy + focal * y / z], axis=1)


@dataclass
class _Watch:
    """The tracker and the log of one camera."""

    platform_id: str
    errors: ErrorSet
    tracker: Tracker = field(default_factory=Tracker)
    log: SightingLog = field(default_factory=SightingLog)

    def frame(self, number: int, pose: CameraPose, locations: Locations, count: int) -> list[Sighting]:
        """The sightings that a frame brings."""
        seen = measurements_of(
            LocalPlane(*ORIGIN),
            pose,
            locations,
            pixel_rad=np.full(count, self.errors.pixel_px / FOCAL_PX),
            score=np.full(count, 0.9),
            label_index=np.zeros(count, dtype=np.intp),
            labels=("vessel",),
            config=TrackerConfig(),
        )
        found: list[Sighting] = []
        for state in self.tracker.update(pose.time_ns, seen):
            index = state.detection_index
            if index is None:
                continue
            position = position_message(locations, index)
            track_id = f"{self.platform_id}.t{state.number}"
            look = Sighting(
                sighting_id=f"{track_id}.f{number}",
                track_id=track_id,
                platform_id=self.platform_id,
                sortie_id="s1",
                sensor_id="eo",
                frame_number=number,
                time_ns=pose.time_ns,
                label="vessel",
                score=0.9,
                model_id="drawn",
                box_px=(0.0, 0.0, 1.0, 1.0),
                position=position,
                bearing=None,
                no_position_reason=None,
                platform_position=(pose.latitude_deg, pose.longitude_deg, pose.alt_hae_m),
                motion=state.motion,
                velocity_en_mps=_velocity(state),
            )
            found += self.log.look(state.number, look, is_confirmed=state.status == "confirmed")
        return found


def _velocity(state: TrackState) -> tuple[float, float, float, float, float] | None:
    if not state.is_moving:
        return None
    (ee, en), (_, nn) = state.velocity_covariance_m2ps2.tolist()
    return (state.east_mps, state.north_mps, ee, en, nn)


class _Wander:
    """A first-order Gauss-Markov column, half of whose variance never changes."""

    def __init__(self, rng: np.random.Generator, constant: FloatArray, time_s: float, step_s: float) -> None:
        self._rng, self._constant = rng, constant * math.sqrt(0.5)
        self._keeps = math.exp(-step_s / time_s)
        self._now = rng.normal(0.0, 1.0, constant.shape)

    def next(self, sigma: FloatArray) -> FloatArray:
        """The value now; moves on by one step."""
        value: FloatArray = self._constant + math.sqrt(0.5) * sigma * self._now
        fresh = self._rng.normal(0.0, 1.0, self._now.shape)
        self._now = self._keeps * self._now + math.sqrt(1.0 - self._keeps**2) * fresh
        return value
