"""How a platform flies and where its camera looks, exactly, as a function of time; and how it errs."""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from sim.scenario.description import Scenario
from sim.scenario.land.noise import generator
from sim.scenario.path import ClosedPath
from sim.scenario.tables.flying import Platform
from sim.scenario.world import Grid, World
from skywarden.geometry.camera import CameraModel
from skywarden.geometry.geoid import undulation_m
from skywarden.geometry.pose import PoseSigmas
from skywarden.geometry.rotations import GIMBAL_FROM_CAMERA, matrix_from_euler_deg, matrix_from_vector_rad

FloatArray = npt.NDArray[np.float64]

GRAVITY_MPS2 = 9.81


@dataclass(frozen=True, kw_only=True, slots=True)
class PlatformState:
    """A platform at one instant, without error. Angles in degrees, roll right side down, pitch nose up."""

    x_m: float
    y_m: float
    latitude_deg: float
    longitude_deg: float
    alt_msl_m: float
    alt_hae_m: float
    north_mps: float
    east_mps: float
    roll_deg: float
    pitch_deg: float
    heading_deg: float


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class CameraState:
    """A camera at one instant, without error: place and `rotation_ned_from_camera` (3, 3)."""

    latitude_deg: float
    longitude_deg: float
    alt_hae_m: float
    rotation_ned_from_camera: FloatArray


@dataclass(frozen=True, kw_only=True, slots=True)
class GimbalState:
    """A stabilised gimbal at one instant: azimuth from true north, pitch and roll against the horizon."""

    azimuth_deg: float
    pitch_deg: float
    roll_deg: float = 0.0


class _Wobble:
    """Smooth, seeded unrest: three sines of unequal periods, of about the stated deviation."""

    def __init__(self, rng: np.random.Generator, sigma: float, period_s: float) -> None:
        self._amplitude = sigma * math.sqrt(2.0 / 3.0)
        self._omega = 2.0 * np.pi / (period_s * np.array([0.61, 1.0, 1.73]) * rng.uniform(0.9, 1.1, 3))
        self._phase = rng.uniform(0.0, 2.0 * np.pi, 3)

    def at(self, time_s: float) -> float:
        return float(self._amplitude * np.sin(self._omega * time_s + self._phase).sum())


class _LocalGeoid:
    """The geoid round a flight plan: bilinear between posts of the exact one, to 0.1 mm."""

    def __init__(self, grid: Grid, platform: Platform) -> None:
        plan = np.array(platform.plan)
        low, high = plan.min(axis=0) - 300.0, plan.max(axis=0) + 300.0
        self._low, self._step = low, float(np.max(high - low)) / 16.0
        posts = self._step * np.arange(18)
        x, y = np.meshgrid(low[0] + posts, low[1] + posts)
        latitude, longitude = grid.geodetic(x, y)
        self._posts = undulation_m(latitude.ravel(), longitude.ravel()).reshape(x.shape)

    def at(self, x_m: float, y_m: float) -> float:
        """Undulation in metres at a grid point."""
        column = min(max((x_m - float(self._low[0])) / self._step, 0.0), 16.999)
        row = min(max((y_m - float(self._low[1])) / self._step, 0.0), 16.999)
        i, j = int(row), int(column)
        u, v = column - j, row - i
        lower = self._posts[i, j] * (1.0 - u) + self._posts[i, j + 1] * u
        upper = self._posts[i + 1, j] * (1.0 - u) + self._posts[i + 1, j + 1] * u
        return float(lower * (1.0 - v) + upper * v)


class PlatformTruth:
    """One platform of a scenario; every method is a pure function of `time_s` since the scenario began."""

    def __init__(self, scenario: Scenario, platform: Platform, *, world: World | None = None) -> None:
        """`world` spares making it anew, where the gimbal follows a vessel or a place."""
        self.platform = platform
        self._scenario, self._world = scenario, world
        self.grid = Grid.at(scenario.place.latitude_deg, scenario.place.longitude_deg)
        self.path = ClosedPath(platform.plan, platform.turn_radius_m)
        self._geoid = _LocalGeoid(self.grid, platform)
        self._remembered = lru_cache(maxsize=32)(self._state)
        camera = platform.camera
        model = CameraModel.from_hfov(camera.width_px, camera.height_px, camera.hfov_deg)
        if camera.distortion:
            model = CameraModel(
                width_px=model.width_px,
                height_px=model.height_px,
                fx=model.fx,
                fy=model.fy,
                cx=model.cx,
                cy=model.cy,
                distortion=tuple(camera.distortion),
            )
        self.camera_model = model
        rng = generator(scenario.seed, "platform", platform.id)
        is_wing = platform.vehicle == "fixed_wing"
        self._roll = _Wobble(rng, 1.1 if is_wing else 0.8, 4.3)
        self._pitch = _Wobble(rng, 0.8, 5.9)
        self._crab = _Wobble(rng, 1.2, 9.0)
        self._rise = _Wobble(rng, 1.0, 17.0)
        wind = scenario.weather
        towards = math.radians(wind.wind_towards_deg)
        self._wind = (wind.wind_mps * math.cos(towards), wind.wind_mps * math.sin(towards))
        self._trim_pitch_deg = 2.0 if is_wing else -2.5
        self._bank_share = 1.0 if is_wing else 0.4  # a multirotor slides through part of its turn
        errors = platform.errors
        self._drift = [
            _Wobble(rng, sigma, errors.drift_time_s)
            for sigma in (errors.horizontal_m, errors.horizontal_m, errors.vertical_m)
        ]
        self.bias_deg = (
            float(rng.normal(0.0, errors.tilt_bias_deg)),
            float(rng.normal(0.0, errors.tilt_bias_deg)),
            float(rng.normal(0.0, errors.heading_bias_deg)),
        )
        self.gimbal_bias_deg = (
            float(rng.normal(0.0, errors.gimbal_bias_deg)),
            float(rng.normal(0.0, errors.gimbal_bias_deg)),
        )
        boresight_rad = np.radians(rng.normal(0.0, errors.boresight_deg, 3))
        self._housing_from_camera = matrix_from_vector_rad(boresight_rad) @ GIMBAL_FROM_CAMERA

    @property
    def sigmas(self) -> PoseSigmas:
        """The one-sigma errors that were drawn, as an honest edge has to be configured for this platform."""
        errors = self.platform.errors
        is_fixed = self.platform.camera.sweep is None
        tilts = (errors.tilt_bias_deg, errors.attitude_noise_deg)
        if not is_fixed:
            tilts = (errors.gimbal_bias_deg, errors.gimbal_noise_deg)
        return PoseSigmas(
            horizontal_m=errors.horizontal_m,
            vertical_m=errors.vertical_m,
            tilt_deg=math.hypot(*tilts),
            heading_deg=math.hypot(errors.heading_bias_deg, tilts[1]),
            boresight_deg=errors.boresight_deg,
            time_offset_s=errors.time_offset_s,
        )

    @property
    def round_s(self) -> float:
        """How long one round of the flight plan takes."""
        return self.path.length_m / self.platform.speed_mps

    def at(self, time_s: float) -> PlatformState:
        """Where the platform is and how it lies."""
        return self._remembered(time_s)

    def _state(self, time_s: float) -> PlatformState:
        speed = self.platform.speed_mps
        x, y, course, _ = self.path.at(speed * time_s)
        bank = math.atan(speed**2 * self._curvature(time_s) / GRAVITY_MPS2) * self._bank_share
        latitude, longitude = self.grid.geodetic(x, y)
        alt_msl_m = self.platform.alt_msl_m + self._rise.at(time_s)
        undulation = self._geoid.at(x, y)
        return PlatformState(
            x_m=x,
            y_m=y,
            latitude_deg=float(latitude),
            longitude_deg=float(longitude),
            alt_msl_m=alt_msl_m,
            alt_hae_m=alt_msl_m + undulation,
            north_mps=speed * math.cos(course),
            east_mps=speed * math.sin(course),
            roll_deg=math.degrees(bank) + self._roll.at(time_s),
            pitch_deg=self._trim_pitch_deg + self._pitch.at(time_s),
            heading_deg=(math.degrees(course) + self._into_wind(course) + self._crab.at(time_s)) % 360.0,
        )

    def gimbal_at(self, time_s: float) -> GimbalState | None:
        """Where the gimbal points; `None` for a fixed mount."""
        sweep = self.platform.camera.sweep
        if sweep is None:
            return None
        swing = sweep.amplitude_deg * math.sin(2.0 * math.pi * time_s / sweep.period_s)
        if sweep.reference in ("point", "vessel"):
            azimuth, pitch = self._towards(self._kept_at(time_s), time_s)
            return GimbalState(azimuth_deg=(azimuth + sweep.azimuth_deg + swing) % 360.0, pitch_deg=pitch)
        base = self.at(time_s).heading_deg if sweep.reference == "nose" else 0.0
        return GimbalState(azimuth_deg=(base + sweep.azimuth_deg + swing) % 360.0, pitch_deg=sweep.pitch_deg)

    def _kept_at(self, time_s: float) -> tuple[float, float]:
        """The place that the gimbal keeps in its middle."""
        sweep = self.platform.camera.sweep
        assert sweep is not None
        if sweep.reference == "point":
            assert sweep.at is not None
            return sweep.at
        assert sweep.follow is not None
        motion = self._there().fleet.motion(sweep.follow, time_s)
        return motion.x_m, motion.y_m

    def _towards(self, place: tuple[float, float], time_s: float) -> tuple[float, float]:
        """Azimuth and pitch (degrees) from the platform to a place on the surface."""
        state = self.at(time_s)
        east, north = place[0] - state.x_m, place[1] - state.y_m
        fall = state.alt_hae_m - float(self._there().surface_at(*place))
        return math.degrees(math.atan2(east, north)), -math.degrees(math.atan2(fall, math.hypot(east, north)))

    def _there(self) -> World:
        if self._world is None:
            self._world = World(self._scenario)
        return self._world

    def _into_wind(self, course: float) -> float:
        """How far the nose stands off the course, degrees, so that the wind does not carry it away."""
        across = self._wind[1] * math.cos(course) - self._wind[0] * math.sin(course)
        along = self._wind[0] * math.cos(course) + self._wind[1] * math.sin(course)
        if across == 0.0:
            return 0.0
        return math.degrees(math.atan2(-across, max(self.platform.speed_mps - along, 1.0)))

    def camera_at(self, time_s: float) -> CameraState:
        """Where the camera is and how it looks: on its gimbal, or fixed nadir with image up = forward; either
        way as it was screwed on, which is not quite straight."""
        state = self.at(time_s)
        gimbal = self.gimbal_at(time_s)
        if gimbal is not None:
            ned_from_gimbal = matrix_from_euler_deg(gimbal.roll_deg, gimbal.pitch_deg, gimbal.azimuth_deg)
        else:
            ned_from_body = matrix_from_euler_deg(state.roll_deg, state.pitch_deg, state.heading_deg)
            ned_from_gimbal = ned_from_body @ matrix_from_euler_deg(0.0, -90.0, 0.0)
        return CameraState(
            latitude_deg=state.latitude_deg,
            longitude_deg=state.longitude_deg,
            alt_hae_m=state.alt_hae_m,
            rotation_ned_from_camera=np.asarray(ned_from_gimbal @ self._housing_from_camera),
        )

    def drift_at(self, time_s: float) -> tuple[float, float, float]:
        """How far the reported position lies north, east and above the truth, metres."""
        north, east, up = (wobble.at(time_s) for wobble in self._drift)
        return north, east, up

    def _curvature(self, time_s: float) -> float:
        """Path curvature, averaged over the two seconds that it takes to roll in and out."""
        speed = self.platform.speed_mps
        return sum(self.path.at(speed * (time_s + 0.25 * k))[3] for k in range(-4, 5)) / 9.0
