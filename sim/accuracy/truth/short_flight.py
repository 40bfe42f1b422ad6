"""One short flight with an error drawn for every source, told as real MAVLink bytes and located as aboard.

Truth is a platform that turns at a constant rate over a surface. What it says of itself is wrong by one draw
per source and flight; the bytes go through `edge.pose.telemetry` and `edge.pose`, the pixel through
`edge.geolocation.locate`, and what comes out is laid beside the true place. So a count over many flights
judges the whole path (decoding, clocks, interpolation, conventions, propagation), not a formula against
itself.
"""

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from edge.config import MountConfig
from edge.geolocation.locate import OK, Locator
from edge.mavlink_port import MavlinkConfig
from edge.pose.telemetry import TelemetryNode
from skywarden.clock import NS_PER_S
from skywarden.geometry import geodesy, rotations
from skywarden.geometry.camera import CameraModel
from skywarden.geometry.geoid import undulation_m
from skywarden.geometry.pose import CameraPose, NoPose, PoseSigmas
from skywarden.geometry.terrain import LevelSurface, SeaSurface, Surface, SurfaceKind, Terrain
from skywarden.mavlink import synth

FloatArray = npt.NDArray[np.float64]

SPEED_MPS = 15.0
TURN_DPS = 5.0
FOCAL_PX = 1500.0
CAMERA = CameraModel(width_px=1920, height_px=1080, fx=FOCAL_PX, fy=FOCAL_PX, cx=959.5, cy=539.5)

FLIGHT_S = 2.0
LOOKS_S = (1.05, 1.75)
BOOT_MS = 90_000
START_NS = 1_790_000_000 * NS_PER_S
GRAVITY_MPS2 = 9.81
LOWEST_RAY_DEG = 3.0
"""A look at a pixel that is chosen freely goes at least so far below the horizontal."""

Sensing = Literal["fixed", "gimbal_earth", "gimbal_vehicle", "mount_orientation", "mount_status"]
SENSINGS: tuple[Sensing, ...] = (
    "fixed",
    "gimbal_earth",
    "gimbal_vehicle",
    "mount_orientation",
    "mount_status",
)
"""How the platform tells where its camera points; flights take turns."""


@dataclass(frozen=True, kw_only=True)
class ErrorSet:
    """The one-sigma errors of one grade of equipment, as they are drawn and as they are configured.

    Attributes:
        pose: of the platform and its camera.
        land_m: height of the ground.
        sea_m: height of the sea.
        pixel_px: where in the image the object stands, per axis.
        fix_type: of MAVLink's GPS_RAW_INT.
    """

    name: str
    pose: PoseSigmas
    land_m: float
    sea_m: float
    pixel_px: float
    fix_type: int = 3

    def surface_m(self, *, is_sea: bool) -> float:
        """Height sigma of what is looked at."""
        return self.sea_m if is_sea else self.land_m


SET_A = ErrorSet(
    name="A",
    pose=PoseSigmas(
        horizontal_m=1.5,
        vertical_m=3.0,
        tilt_deg=0.5,
        heading_deg=2.0,
        boresight_deg=0.3,
        time_offset_s=0.06,
        focal_percent=1.0,
    ),
    land_m=3.0,
    sea_m=0.5,
    pixel_px=2.0,
)
"""A consumer drone as it comes out of the box."""

SET_B = ErrorSet(
    name="B",
    pose=PoseSigmas(
        horizontal_m=1.5,
        vertical_m=2.0,
        tilt_deg=0.2,
        heading_deg=0.5,
        boresight_deg=0.05,
        time_offset_s=0.01,
        focal_percent=0.2,
    ),
    land_m=1.5,
    sea_m=0.3,
    pixel_px=1.0,
)
"""A calibrated platform."""

SET_C = ErrorSet(
    name="C",
    pose=PoseSigmas(
        horizontal_m=0.03,
        vertical_m=0.05,
        tilt_deg=0.1,
        heading_deg=0.2,
        boresight_deg=0.03,
        time_offset_s=0.005,
        focal_percent=0.1,
    ),
    land_m=0.3,
    sea_m=0.3,
    pixel_px=1.0,
    fix_type=6,
)
"""RTK and two antennas."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LookResult:
    """One look: where the truth lay, seen from the estimate, and what the estimate said of itself.

    Attributes:
        status: a word of `edge.geolocation.locate.STATUSES`, or a reason of `skywarden.geometry.pose.NoPose`.
        east_m, north_m, up_m: from the estimate to the truth; NaN without a position.
        nees_2d: squared Mahalanobis distance in the horizontal plane (2 degrees of freedom).
    """

    is_centred: bool
    status: str
    east_m: float = math.nan
    north_m: float = math.nan
    up_m: float = math.nan
    nees_2d: float = math.nan
    ce90_m: float = math.nan
    le90_m: float = math.nan


@dataclass(frozen=True, kw_only=True, slots=True)
class Errors:
    """One draw of every source: metres, radians (rotation vectors), seconds, shares, pixels."""

    gnss_ned_m: FloatArray
    tilt_rad: FloatArray
    heading_rad: float
    boresight_rad: FloatArray
    time_s: float
    surface_m: float
    focal_share: float
    principal_px: FloatArray


EXACT = PoseSigmas(
    horizontal_m=0.0, vertical_m=0.0, tilt_deg=0.0, heading_deg=0.0, boresight_deg=0.0, time_offset_s=0.0
)
"""No error of anything."""


def draw_errors(rng: np.random.Generator, errors: ErrorSet, *, is_sea: bool) -> Errors:
    """Independent normal draws of all sources of `errors`; they hold for a whole flight."""
    pose = errors.pose
    gnss = np.array([pose.horizontal_m, pose.horizontal_m, pose.vertical_m])
    return Errors(
        gnss_ned_m=rng.normal(0.0, gnss),
        tilt_rad=rng.normal(0.0, math.radians(pose.tilt_deg), 3),
        heading_rad=float(rng.normal(0.0, math.radians(pose.heading_deg))),
        boresight_rad=rng.normal(0.0, math.radians(pose.boresight_deg), 3),
        time_s=float(rng.normal(0.0, pose.time_offset_s)),
        surface_m=float(rng.normal(0.0, errors.surface_m(is_sea=is_sea))),
        focal_share=float(rng.normal(0.0, pose.focal_percent / 100.0)),
        principal_px=rng.normal(0.0, pose.principal_px, 2),
    )


class ShortFlight:
    """A platform that turns for two seconds, and what it says of itself.

    `off_nadir_deg` is where its camera's axis looks, ahead or (on a gimbal) anywhere; `agl_m` is its height
    above the surface as the models know it; that is level ground, the sea, or `relief`, whose true heights
    are all off by one draw. Attitudes and positions are told every `periods_s`. The rest is drawn from `rng`.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        errors: ErrorSet,
        *,
        agl_m: float,
        off_nadir_deg: float,
        is_sea: bool,
        sensing: Sensing,
        relief: Terrain | None = None,
        periods_s: tuple[float, float] = (0.1, 0.2),
    ) -> None:
        self._rng, self._set, self._is_sea, self._sensing = rng, errors, is_sea, sensing
        self._relief, self._periods_s = relief, periods_s
        self.errors = draw_errors(rng, errors, is_sea=is_sea)
        self._off_nadir_deg = off_nadir_deg
        self._place = (float(rng.uniform(-60.0, 60.0)), float(rng.uniform(-180.0, 180.0)))
        if relief is not None:
            self._place = place_on(relief, rng)
        self._undulation_m = float(undulation_m(*self._place))
        self._ground_hae_m = self._undulation_m if is_sea else self._undulation_m + float(rng.uniform(0, 800))
        if relief is not None:
            self._ground_hae_m = float(relief.height_hae_m(*self._place))
        self._alt_hae_m = self._ground_hae_m + agl_m
        self._heading_deg = float(rng.uniform(0.0, 360.0))
        self._turn_dps = TURN_DPS * float(rng.choice((-1.0, 1.0)))
        self._azimuth_deg = 0.0 if sensing == "fixed" else float(rng.uniform(-180.0, 180.0))
        self._unrest = (rng.uniform(1.5, 2.5, 2), rng.uniform(0.0, 2 * math.pi, 2))

    def heading_at(self, time_s: npt.ArrayLike) -> FloatArray:
        """Where the nose points and the platform moves, degrees."""
        return np.asarray(self._heading_deg + self._turn_dps * np.asarray(time_s, dtype=np.float64))

    def offset_at(self, time_s: npt.ArrayLike) -> FloatArray:
        """North, east and down from where the flight began, metres, shape (..., 3): a level circle."""
        rate = math.radians(self._turn_dps)
        start, now = math.radians(self._heading_deg), np.radians(self.heading_at(time_s))
        radius = SPEED_MPS / rate
        north, east = radius * (np.sin(now) - math.sin(start)), radius * (math.cos(start) - np.cos(now))
        return np.stack([north, east, np.zeros_like(north)], axis=-1)

    def body_at(self, time_s: npt.ArrayLike) -> FloatArray:
        """`ned_from_body`, shape (..., 3, 3): banked into the turn, with a degree of unrest."""
        omega, phase = self._unrest
        sway = np.sin(omega * np.asarray(time_s, dtype=np.float64)[..., None] + phase)
        turn = math.radians(self._turn_dps)
        bank_deg = math.degrees(math.atan(SPEED_MPS * turn / GRAVITY_MPS2))
        return rotations.matrix_from_euler_deg(bank_deg + sway[..., 0], sway[..., 1], self.heading_at(time_s))

    def housing_at(self, time_s: npt.ArrayLike) -> FloatArray:
        """`ned_from_gimbal`, shape (..., 3, 3), of the camera's housing, without boresight error."""
        if self._sensing == "fixed":
            mount = rotations.matrix_from_euler_deg(0.0, self._off_nadir_deg - 90.0, 0.0)
            fixed: FloatArray = self.body_at(time_s) @ mount
            return fixed
        heading = self.heading_at(time_s) + self._azimuth_deg
        return rotations.matrix_from_euler_deg(0.0, self._off_nadir_deg - 90.0, heading)

    def _said(self, ned_from_any: FloatArray) -> FloatArray:
        """An attitude as the platform believes it: turned about the vertical and about its own axes."""
        turned = rotations.matrix_from_vector_rad([0.0, 0.0, self.errors.heading_rad])
        said: FloatArray = turned @ ned_from_any @ rotations.matrix_from_vector_rad(self.errors.tilt_rad)
        return said

    def telemetry(self) -> list[tuple[int, bytes]]:
        """(UTC ns of arrival, MAVLink 2 frame), in order of arrival."""
        fast, slow = (np.arange(0.0, FLIGHT_S + 0.01, period_s) for period_s in self._periods_s)
        maker = synth.MessageMaker(1, 1)
        told = [(0.0, maker.heartbeat())]
        told += self._attitudes(maker, fast)
        told += self._positions(maker, slow)
        if self._sensing != "fixed":
            told += self._gimbals(fast)
        delays = self._rng.exponential(0.003, len(told))
        arrivals = [
            (START_NS + round((time_s + min(delay, 0.02)) * NS_PER_S), raw)
            for (time_s, raw), delay in zip(told, delays.tolist(), strict=True)
        ]
        return sorted(arrivals, key=lambda arrival: arrival[0])

    def _attitudes(self, maker: synth.MessageMaker, times_s: FloatArray) -> list[tuple[float, bytes]]:
        angles = rotations.euler_deg_from_matrix(self._said(self.body_at(times_s)))
        return [
            (
                time_s,
                maker.attitude(time_boot_ms=_boot_ms(time_s), roll_deg=r, pitch_deg=p, heading_deg=y),
            )
            for time_s, (r, p, y) in zip(times_s.tolist(), angles.tolist(), strict=True)
        ]

    def _positions(self, maker: synth.MessageMaker, times_s: FloatArray) -> list[tuple[float, bytes]]:
        offsets = self.offset_at(times_s) + self.errors.gnss_ned_m
        latitude, longitude, alt = geodesy.geodetic_from_ned(offsets, *self._place, self._alt_hae_m)
        headings = self.heading_at(times_s)
        sigmas = self._set.pose
        out = []
        rows = np.column_stack([times_s, latitude, longitude, alt, headings]).tolist()
        for time_s, lat, lon, alt_hae_m, heading_deg in rows:
            alt_msl_m = alt_hae_m - self._undulation_m
            course = math.radians(heading_deg)
            receiver = maker.gps_raw_int(
                time_us=_boot_ms(time_s) * 1000,
                latitude_deg=lat,
                longitude_deg=lon,
                alt_msl_m=alt_msl_m,
                alt_ellipsoid_m=alt_hae_m,
                fix_type=self._set.fix_type,
                h_acc_m=sigmas.horizontal_m * math.sqrt(2.0),
                v_acc_m=sigmas.vertical_m,
                speed_mps=SPEED_MPS,
                course_deg=heading_deg % 360.0,
            )
            estimate = maker.global_position_int(
                time_boot_ms=_boot_ms(time_s),
                latitude_deg=lat,
                longitude_deg=lon,
                alt_msl_m=alt_msl_m,
                alt_rel_m=alt_hae_m - self._ground_hae_m,
                vn_mps=SPEED_MPS * math.cos(course),
                ve_mps=SPEED_MPS * math.sin(course),
                heading_deg=(heading_deg + math.degrees(self.errors.heading_rad)) % 360.0,
            )
            out += [(time_s, receiver), (time_s, estimate)]
        return out

    def _gimbals(self, times_s: FloatArray) -> list[tuple[float, bytes]]:
        """What the gimbal says in the convention of this flight."""
        maker = synth.MessageMaker(1, 154)
        said = self._said(self.housing_at(times_s))
        noses = rotations.euler_deg_from_matrix(self._said(self.body_at(times_s)))[:, 2]
        return [
            (time_s, self._gimbal(maker, time_s, matrix, nose_deg))
            for time_s, matrix, nose_deg in zip(times_s.tolist(), said, noses.tolist(), strict=True)
        ]

    def _gimbal(self, maker: synth.MessageMaker, time_s: float, matrix: FloatArray, nose_deg: float) -> bytes:
        locks = synth.GIMBAL_FLAG_ROLL_LOCK | synth.GIMBAL_FLAG_PITCH_LOCK
        boot_ms = _boot_ms(time_s)
        if self._sensing in ("gimbal_earth", "gimbal_vehicle"):
            is_earth = self._sensing == "gimbal_earth"
            away = matrix if is_earth else rotations.matrix_from_euler_deg(0.0, 0.0, -nose_deg) @ matrix
            w, x, y, z = rotations.quaternion_from_matrix(away).tolist()
            axes = (
                synth.GIMBAL_FLAG_YAW_IN_EARTH_FRAME if is_earth else synth.GIMBAL_FLAG_YAW_IN_VEHICLE_FRAME
            )
            return maker.gimbal_device_attitude_status(
                time_boot_ms=boot_ms, q=(w, x, y, z), flags=locks | axes, delta_yaw_rad=math.radians(nose_deg)
            )
        roll, pitch, yaw = rotations.euler_deg_from_matrix(matrix).tolist()
        from_nose = (yaw - nose_deg + 180.0) % 360.0 - 180.0
        if self._sensing == "mount_orientation":
            return maker.mount_orientation(
                time_boot_ms=boot_ms, roll_deg=roll, pitch_deg=pitch, yaw_deg=from_nose, yaw_absolute_deg=yaw
            )
        return maker.mount_status(roll_deg=roll, pitch_deg=pitch, yaw_deg=from_nose)

    def surface(self, raised_m: float = 0.0) -> Surface:
        """What is looked at, as the models know it or `raised_m` above."""
        sigma_m = self._set.surface_m(is_sea=self._is_sea)
        if self._relief is not None:
            return RaisedSurface(self._relief, raised_m, sigma_m)
        if self._is_sea:
            return SeaSurface(raised_m, sigma_m=sigma_m)
        return LevelSurface(self._ground_hae_m + raised_m, sigma_m=sigma_m)

    def true_pose(self, time_s: float) -> CameraPose:
        """Where the camera really was and how it really looked."""
        latitude, longitude, alt = geodesy.geodetic_from_ned(
            self.offset_at(time_s), *self._place, self._alt_hae_m
        )
        tilted = rotations.matrix_from_vector_rad(self.errors.boresight_rad)
        return CameraPose(
            time_ns=START_NS + round(time_s * NS_PER_S),
            latitude_deg=float(latitude),
            longitude_deg=float(longitude),
            alt_hae_m=float(alt),
            rotation_ned_from_camera=self.housing_at(time_s) @ tilted @ rotations.GIMBAL_FROM_CAMERA,
            velocity_ned_mps=np.zeros(3),
            angular_rate_dps=0.0,
            sigmas=EXACT,
            level_alt_hae_m=None,
            source="truth",
        )

    def true_camera(self) -> CameraModel:
        """The lens as it really is."""
        x, y = self.errors.principal_px.tolist()
        focal = FOCAL_PX * (1.0 + self.errors.focal_share)
        return replace(CAMERA, fx=focal, fy=focal, cx=CAMERA.cx + x, cy=CAMERA.cy + y)

    def looks(self, count: int = 3) -> list[LookResult]:
        """Looks at instants of their own: the first along the nominal axis, the others all over the image."""
        node = TelemetryNode(MavlinkConfig())
        for arrived_ns, raw in self.telemetry():
            node.handle(arrived_ns, raw)
        is_fixed = self._sensing == "fixed"
        mount = MountConfig(
            kind="fixed" if is_fixed else "gimbal", pitch_deg=self._off_nadir_deg - 90.0 if is_fixed else 0.0
        )
        # What the receiver says of its own errors must come from the bytes, so nothing useful is configured.
        sigmas = replace(self._set.pose, horizontal_m=999.0, vertical_m=999.0)
        poses = node.pose_buffer(mount=mount, sigmas=sigmas)
        locator = Locator(CAMERA, self.surface())
        out = []
        for number in range(count):
            time_s = float(self._rng.uniform(*LOOKS_S))
            told_ns = START_NS + round((time_s + self.errors.time_s) * NS_PER_S)
            out.append(self._look(locator, poses.pose_at(told_ns), time_s, is_centred=number == 0))
        return out

    def _look(
        self, locator: Locator, pose: CameraPose | NoPose, time_s: float, *, is_centred: bool
    ) -> LookResult:
        if isinstance(pose, NoPose):
            return LookResult(is_centred=is_centred, status=pose.reason)
        true_pose, camera = self.true_pose(time_s), self.true_camera()
        pixel = self._pixel(true_pose, camera, time_s, is_centred=is_centred)
        truth = Locator(camera, self.surface(self.errors.surface_m)).locate(true_pose, [pixel], 0.0)
        seen = pixel + self._rng.normal(0.0, self._set.pixel_px, 2)
        found = locator.locate(pose, [seen], self._set.pixel_px)
        if found.status[0] != OK or truth.status[0] != OK:
            return LookResult(is_centred=is_centred, status=found.status[0])
        place = (truth.latitude_deg[0], truth.longitude_deg[0], truth.alt_hae_m[0])
        east, north, up = geodesy.enu_from_geodetic(
            place, found.latitude_deg[0], found.longitude_deg[0], found.alt_hae_m[0]
        ).tolist()
        level = np.array([east, north])
        nees = float(level @ np.linalg.solve(found.covariance_enu_m2[0, :2, :2], level))
        return LookResult(
            is_centred=is_centred,
            status=OK,
            east_m=east,
            north_m=north,
            up_m=up,
            nees_2d=nees,
            ce90_m=float(found.ce90_m[0]),
            le90_m=float(found.le90_m[0]),
        )

    def _pixel(self, pose: CameraPose, camera: CameraModel, time_s: float, *, is_centred: bool) -> FloatArray:
        """Where the object really stands in the image, (2,)."""
        if is_centred:  # the exact off-nadir angle of the geometry, whatever unrest and boresight
            axis = self.housing_at(time_s)[:, 0]
            azimuth = math.atan2(axis[1], axis[0])
            slant = math.radians(self._off_nadir_deg)
            ray = [math.sin(slant) * math.cos(azimuth), math.sin(slant) * math.sin(azimuth), math.cos(slant)]
            pixels, _ = camera.project([pose.rotation_ned_from_camera.T @ np.array(ray)])
            nominal: FloatArray = pixels[0]
            return nominal
        corners = np.array([camera.width_px - 1.0, camera.height_px - 1.0])
        lowest = math.sin(math.radians(LOWEST_RAY_DEG))
        while True:
            point: FloatArray = self._rng.uniform(0.0, corners)
            rays, _ = camera.rays([point])
            if float((pose.rotation_ned_from_camera @ rays[0])[2]) >= lowest:
                return point


class RaisedSurface:
    """A terrain model lifted as a whole, with a height error of its own."""

    kind: SurfaceKind = "terrain"

    def __init__(self, relief: Terrain, raised_m: float, sigma_m: float) -> None:
        self._relief, self._raised_m, self.sigma_m = relief, raised_m, sigma_m
        self.spacing_m = relief.spacing_m
        low, high = relief.height_range_hae_m
        self.height_range_hae_m = (low + raised_m, high + raised_m)

    def height_hae_m(self, latitude_deg: npt.ArrayLike, longitude_deg: npt.ArrayLike) -> FloatArray:
        """The model's heights, lifted."""
        return self._relief.height_hae_m(latitude_deg, longitude_deg) + self._raised_m


def rolling_hills(seed: int = 1, *, half_m: float = 9_000.0, slope: float = 0.15) -> Terrain:
    """Hills of all sizes from 300 m to 3 km, posts 30 m apart, whose slopes have this root mean square."""
    rng = np.random.default_rng(seed)
    step_deg = 1.0 / 3600.0
    count = 2 * round(half_m / 30.0) + 1
    y, x = np.mgrid[:count, :count] * 30.0
    heights = np.zeros((count, count))
    for wavelength in np.geomspace(300.0, 3000.0, 24):
        direction, phase = rng.uniform(0.0, 2.0 * math.pi, 2)
        along = x * math.cos(direction) + y * math.sin(direction)
        heights += wavelength * np.sin(2.0 * math.pi * along / wavelength + phase)
    steepness = np.hypot(*np.gradient(heights, 30.0))
    heights *= slope / float(np.sqrt(np.mean(steepness**2)))
    return Terrain(
        (heights + 600.0).astype(np.float32),
        north_deg=0.0,
        west_deg=30.0,
        step_latitude_deg=step_deg,
        step_longitude_deg=step_deg,
    )


def place_on(relief: Terrain, rng: np.random.Generator) -> tuple[float, float]:
    """A place in the middle third of a terrain model (latitude, longitude)."""
    rows, columns = relief.heights.shape
    row, column = rng.uniform(1 / 3, 2 / 3, 2) * (rows, columns)
    return (
        relief.north_deg - float(row) * relief.step_latitude_deg,
        relief.west_deg + float(column) * relief.step_longitude_deg,
    )


def _boot_ms(time_s: float) -> int:
    return BOOT_MS + round(time_s * 1000)
