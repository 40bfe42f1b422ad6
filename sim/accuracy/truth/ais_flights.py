"""Simulated flights among vessels on AIS, with truth, for the accuracy of self-calibration."""

import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from edge.calibration.control_points import KNOT_MPS, VesselReport, VesselTrack
from edge.calibration.looks import Looks, LooksBuilder, Place
from skywarden.clock import NS_PER_S
from skywarden.errors import GeometryError
from skywarden.geometry import geodesy, rotations
from skywarden.geometry.camera import CameraModel
from skywarden.geometry.pose import CameraPose, PoseSigmas

FloatArray = npt.NDArray[np.float64]

START_NS = 1_700_000_000 * NS_PER_S


@dataclass(frozen=True, kw_only=True)
class AisFlight:
    """What one simulated flight is made of; biases are drawn from set A of the error budget.

    Attributes:
        vessels: that report themselves, one of them spoofed when `is_spoofed`; `looks` at each.
        spread_deg: over which sector of bearings from the flight's middle the vessels lie.
        turn_dps: RMS turn of the camera during looks.
        is_biased: whether there is anything to find.
        gnss_m: sigma of the platform's position, held for the flight: horizontal, vertical.
        fastest_mps: vessels go no faster.
    """

    seed: int
    vessels: int = 5
    looks: int = 20
    silent: int = 4
    is_spoofed: bool = True
    spread_deg: float = 360.0
    reach_m: tuple[float, float] = (150.0, 1000.0)
    turn_dps: float = 5.0
    height_m: float = 300.0
    seconds: float = 600.0
    is_hovering: bool = False
    is_biased: bool = True
    gnss_m: tuple[float, float] = (1.5, 3.0)
    fastest_mps: float = 3.0


@dataclass(frozen=True, kw_only=True, eq=False)
class SimulatedFlight:
    """Looks at reporting and at silent vessels (against their true places), and the truth."""

    looks: Looks
    silent: Looks
    spoofed: str | None
    truth: dict[str, float] = field(default_factory=dict)
    silent_poses: tuple[CameraPose, ...] = ()
    silent_pixels: FloatArray = field(default_factory=lambda: np.zeros((0, 2)))
    silent_places: tuple[Place, ...] = ()


CAMERA = CameraModel(width_px=1920, height_px=1080, fx=1500.0, fy=1500.0, cx=959.5, cy=539.5)
ORIGIN: Place = (43.2, 5.1, 49.0)


@dataclass(eq=False)
class _Vessel:
    """Straight course from `start_m` (east, north) at t = 0; its report differs by what is spoofed."""

    name: str
    start_m: FloatArray
    velocity_mps: FloatArray
    reports: list[VesselReport]

    def at(self, time_s: float) -> FloatArray:
        return self.start_m + self.velocity_mps * time_s


class _World:
    """Draws one flight."""

    def __init__(self, flight: AisFlight) -> None:
        self.flight = flight
        self.rng = np.random.default_rng(flight.seed)
        rng, on = self.rng, 1.0 if flight.is_biased else 0.0
        self.bias = {
            "boresight_roll_deg": on * rng.normal(0, 0.58),
            "boresight_pitch_deg": on * rng.normal(0, 0.58),
            "heading_deg": on * rng.normal(0, 2.0),
            "time_offset_s": on * rng.normal(0, 0.1),
        }
        self.gnss_m = rng.normal(0, [flight.gnss_m[0], *flight.gnss_m])
        middle_deg = rng.uniform(0, 360)
        self.vessels = [
            self._vessel(f"{247_000_000 + k}", middle_deg, flight.spread_deg, flight.reach_m)
            for k in range(flight.vessels)
        ]
        self.silent = [self._vessel(f"silent {k}", 0.0, 360.0, (150.0, 1000.0)) for k in range(flight.silent)]
        self.spoofed = None
        if flight.is_spoofed:
            liar = self.vessels[int(rng.integers(flight.vessels))]
            self.spoofed = liar.name
            liar.reports = self._reports(liar, is_spoofed=True)
        for vessel in self.vessels:
            vessel.reports = vessel.reports or self._reports(vessel, is_spoofed=False)
        self.leg_deg = rng.uniform(0, 360)

    def _vessel(
        self, name: str, middle_deg: float, spread_deg: float, reach_m: tuple[float, float]
    ) -> _Vessel:
        rng, flight = self.rng, self.flight
        bearing = math.radians(middle_deg + rng.uniform(-0.5, 0.5) * spread_deg)
        reach = rng.uniform(*reach_m)
        speed, course = rng.uniform(0, flight.fastest_mps), rng.uniform(0, 2 * math.pi)
        velocity = speed * np.array([math.sin(course), math.cos(course)])
        start = reach * np.array([math.sin(bearing), math.cos(bearing)]) - velocity * flight.seconds / 2
        return _Vessel(name, start, velocity, [])

    def _reports(self, vessel: _Vessel, *, is_spoofed: bool) -> list[VesselReport]:
        """AIS as receivers get it: 4 m of GNSS (half of its variance slow), 2 m of antenna, all rounded."""
        rng = self.rng
        slow = rng.normal(0, 4.0 * math.sqrt(0.5), 2) + rng.normal(0, 2.0, 2)
        away = rng.uniform(40.0, 400.0) * _unit(rng.uniform(0, 2 * math.pi)) if is_spoofed else np.zeros(2)
        drift = rng.uniform(0.0, 0.5) * _unit(rng.uniform(0, 2 * math.pi)) if is_spoofed else np.zeros(2)
        velocity = vessel.velocity_mps + drift
        reports = []
        time_s = -rng.uniform(0, 10)
        while time_s < self.flight.seconds + 10:
            told = vessel.at(time_s) + slow + away + drift * time_s + rng.normal(0, 4.0 * math.sqrt(0.5), 2)
            latitude, longitude, _ = geodesy.geodetic_from_enu(np.array([*told, 0.0]), *ORIGIN)
            speed = float(np.hypot(*velocity)) + rng.normal(0, 0.1)
            course = math.degrees(math.atan2(velocity[0], velocity[1])) + rng.normal(0, 2.0)
            reports.append(
                VesselReport(
                    mmsi=int(vessel.name),
                    time_ns=START_NS + math.floor(time_s) * NS_PER_S,
                    latitude_deg=round(float(latitude) * 600_000) / 600_000,
                    longitude_deg=round(float(longitude) * 600_000) / 600_000,
                    sog_mps=max(0.0, round(speed / KNOT_MPS, 1)) * KNOT_MPS,
                    cog_deg=round(course % 360.0, 1),
                    heading_deg=float(round(course % 360.0)),
                    is_accurate=True,
                    to_bow_m=10.0,
                    to_stern_m=10.0,
                    to_port_m=3.0,
                    to_starboard_m=3.0,
                )
            )
            time_s += rng.uniform(6.0, 10.0)
        return reports

    def look(self, vessel: _Vessel) -> tuple[CameraPose, tuple[float, float], float] | None:
        """One frame with the vessel in it: the pose that telemetry tells, the pixel and the true time."""
        rng, flight = self.rng, self.flight
        time_s = rng.uniform(0, flight.seconds)
        camera, velocity = self._platform(time_s)
        to = np.array([*vessel.at(time_s), 1.0]) - camera
        if not 60.0 < float(np.hypot(to[0], to[1])) < 1150.0:
            return None
        azimuth = math.degrees(math.atan2(to[0], to[1])) + rng.uniform(-12, 12)
        pitch = math.degrees(math.atan2(to[2], math.hypot(to[0], to[1]))) + rng.uniform(-8, 8)
        ned_from_camera = rotations.matrix_from_euler_deg(0, max(pitch, -88), azimuth) @ _HOUSING
        in_camera = ned_from_camera.T @ np.array([to[1], to[0], -to[2]])
        pixels, seen = CAMERA.project(in_camera[None])
        pixel = pixels[0] + rng.normal(0, 2.0, 2)
        if not seen[0] or not CAMERA.contains(pixel[None])[0]:
            return None
        pose = self._told(time_s, camera, velocity, ned_from_camera)
        return pose, (float(pixel[0]), float(pixel[1])), time_s

    def _platform(self, time_s: float) -> tuple[FloatArray, FloatArray]:
        """A racetrack of 15 m/s: east-north-up place and velocity."""
        if self.flight.is_hovering:
            return np.array([0.0, 0.0, self.flight.height_m]), np.zeros(3)
        angle = math.radians(self.leg_deg) + 15.0 * time_s / 350.0
        place = np.array([350.0 * math.sin(angle), 350.0 * math.cos(angle), self.flight.height_m])
        return place, 15.0 * np.array([math.cos(angle), -math.sin(angle), 0.0])

    def _told(
        self, time_s: float, camera: FloatArray, velocity: FloatArray, ned_from_camera: FloatArray
    ) -> CameraPose:
        """The truth at the frame's (late) stamp, with every bias and noise put in backwards."""
        rng, bias = self.rng, self.bias
        late_s = bias["time_offset_s"]
        turn_dps = rng.normal(0, 1.0, 3) * np.array([0.2, 0.2, 1.0]) * self.flight.turn_dps
        turned = rotations.matrix_from_vector_rad(np.radians(turn_dps) * late_s) @ ned_from_camera
        boresight = np.radians([bias["boresight_roll_deg"], bias["boresight_pitch_deg"], 0.0])
        in_housing = _HOUSING.T @ rotations.matrix_from_vector_rad(boresight) @ _HOUSING
        heading = rotations.matrix_from_vector_rad([0.0, 0.0, math.radians(bias["heading_deg"])])
        noise = rotations.matrix_from_vector_rad(np.radians(rng.normal(0, 0.2, 3)))
        told = noise @ heading.T @ turned @ in_housing.T
        there = camera + velocity * late_s + self.gnss_m + rng.normal(0, 0.4, 3)
        latitude, longitude, alt = geodesy.geodetic_from_enu(there, *ORIGIN)
        return CameraPose(
            time_ns=START_NS + round((time_s + late_s) * NS_PER_S),
            latitude_deg=float(latitude),
            longitude_deg=float(longitude),
            alt_hae_m=float(alt),
            rotation_ned_from_camera=told,
            velocity_ned_mps=np.array([velocity[1], velocity[0], -velocity[2]]),
            angular_rate_dps=float(np.linalg.norm(turn_dps)),
            sigmas=PoseSigmas(),
            level_alt_hae_m=ORIGIN[2],
            source="simulated",
            angular_velocity_ned_dps=turn_dps,
        )


_HOUSING = rotations.GIMBAL_FROM_CAMERA


def _unit(angle_rad: float) -> FloatArray:
    return np.array([math.sin(angle_rad), math.cos(angle_rad)])


def simulate(flight: AisFlight) -> SimulatedFlight:
    """Fly it; raises `GeometryError` when the vessels never come into view."""
    world = _World(flight)
    builder = LooksBuilder(ORIGIN)
    for vessel in world.vessels:
        track = VesselTrack(vessel.reports, surface_hae_m=ORIGIN[2])
        for pose, pixel, _ in _seen(world, vessel, flight.looks):
            there = track.at(pose.time_ns)
            if there is not None:
                builder.add(
                    pose,
                    CAMERA,
                    pixel,
                    sigma_px=2.0,
                    thing=vessel.name,
                    place=(there.place[0], there.place[1], there.place[2] + 1.0),
                    place_covariance_enu_m2=there.covariance_enu_m2,
                    thing_sigma_m=there.shared_sigma_m,
                    thing_velocity_enu_mps=there.velocity_enu_mps,
                )
    silent = LooksBuilder(ORIGIN)
    kept: list[tuple[CameraPose, tuple[float, float], Place]] = []
    for vessel in world.silent:
        for pose, pixel, time_s in _seen(world, vessel, 3):
            at = vessel.at(time_s)
            latitude, longitude, _ = geodesy.geodetic_from_enu(np.array([*at, 0.0]), *ORIGIN)
            place = (float(latitude), float(longitude), ORIGIN[2] + 1.0)
            silent.add(pose, CAMERA, pixel, sigma_px=2.0, thing=vessel.name, place=place)
            kept.append((pose, pixel, place))
    return SimulatedFlight(
        looks=builder.build(),
        silent=silent.build(),
        spoofed=world.spoofed,
        truth=world.bias,
        silent_poses=tuple(pose for pose, _, _ in kept),
        silent_pixels=np.array([pixel for _, pixel, _ in kept]),
        silent_places=tuple(place for _, _, place in kept),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class ObservedFlight:
    """The same before anybody knows what is what: reports by vessel, poses and pixels by what was seen."""

    reports: dict[str, list[VesselReport]]
    seen: dict[str, list[tuple[CameraPose, tuple[float, float]]]]
    spoofed: str | None
    truth: dict[str, float]


def observe(flight: AisFlight) -> ObservedFlight:
    """Fly it and keep what sensor and receiver gave; raises as `simulate`."""
    world = _World(flight)
    seen = {
        vessel.name: [(pose, pixel) for pose, pixel, _ in _seen(world, vessel, flight.looks)]
        for vessel in world.vessels
    }
    return ObservedFlight(
        reports={vessel.name: vessel.reports for vessel in world.vessels},
        seen=seen,
        spoofed=world.spoofed,
        truth=world.bias,
    )


def _seen(world: _World, vessel: _Vessel, count: int) -> list[tuple[CameraPose, tuple[float, float], float]]:
    found: list[tuple[CameraPose, tuple[float, float], float]] = []
    for _ in range(60 * count):
        look = world.look(vessel)
        if look is not None:
            found.append(look)
        if len(found) == count:
            return found
    raise GeometryError(f"vessel {vessel.name} came into view only {len(found)} times of {count}")
