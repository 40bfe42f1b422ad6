"""`skywarden locate CASES.json`: reference cases and surveyed marks, answered by the very chain that flies.

Two forms are read: geometry cases (`cases`, `area_cases`; the message of the gimbal, not its resolved
attitude, says where the camera points) and field marks (`marks`). A file that is neither, or over size, ends
with one sentence; a case that is damaged or contradicts itself is `invalid`, and the others are answered.
"""

import math
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Meta

from edge.geolocation import locate
from edge.geolocation.grazing import NO_RADIUS_M
from edge.geolocation.locate import Locator
from edge.pose import gimbal
from skywarden.errors import InputError
from skywarden.geometry import geodesy, heights, rotations
from skywarden.geometry.camera import CameraModel
from skywarden.geometry.heights import HaeM
from skywarden.geometry.pose import CameraPose, PoseSigmas
from skywarden.geometry.terrain import FormulaSurface, LevelSurface, SeaSurface, Surface

FloatArray = npt.NDArray[np.float64]

MAX_FILE_BYTES = 64_000_000
_QUOTED_OR_WORD = re.compile(rb'"(?:[^"\\]|\\.)*"|-?\bInfinity\b|\bNaN\b')
METRES_PER_DEG = 111_320.0
"""By the convention of the cases' formula surfaces, whatever the true length of a degree is."""

STATUS_WORDS = {
    locate.OK: "hit",
    locate.ABOVE_HORIZON: "no_intersection",
    locate.NO_INTERSECTION: "no_intersection",
    locate.OUTSIDE_TERRAIN: "no_intersection",
    locate.CAMERA_BELOW_SURFACE: "camera_below_surface",
    locate.BEYOND_LENS: "pixel_not_invertible",
}
"""The cases' words for our status."""

CASE_NAMES = ("lat_deg", "lon_deg", "hae_m", "slant_range_m", "ce90_m", "cov_ne_m2")
AREA_NAMES = (
    "planimetric_area_on_ellipsoid_m2",
    "planimetric_area_at_mean_height_m2",
    "true_surface_area_m2",
)
_FORMULA_RANGE_M = 300_000.0
_LEVEL_RANGE_M = 500_000.0
_PLANE_DETAIL_M = 30.0
_MAX_CORNERS = 10_000

Metres = Annotated[float, Meta(ge=-1e6, le=1e6)]
Sigma = Annotated[float, Meta(ge=0.0, le=1e4)]
Degrees = Annotated[float, Meta(ge=-1e4, le=1e4)]
Id = Annotated[str, Meta(max_length=100)]


class Distortion(msgspec.Struct, frozen=True):
    """Brown's coefficients as OpenCV names them."""

    k1: float = 0.0
    k2: float = 0.0
    p1: float = 0.0
    p2: float = 0.0
    k3: float = 0.0
    model: str = "opencv_brown_conrady"


class Camera(msgspec.Struct, frozen=True):
    """One camera at one resolution."""

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    distortion: Distortion = Distortion()


class Platform(msgspec.Struct, frozen=True):
    """The navigation point; `altitude_source` says which of its heights was measured."""

    lat_deg: float
    lon_deg: float
    hae_m: Metres | None = None
    amsl_m: Metres | None = None
    geoid_undulation_m: Metres | None = None
    relative_alt_m: Metres | None = None
    home_hae_m: Metres | None = None
    home_amsl_m: Metres | None = None
    agl_m: Metres | None = None
    altitude_source: str = ""


class Euler(msgspec.Struct, frozen=True):
    """Roll, pitch, yaw in degrees, intrinsic Z-Y-X."""

    roll: Degrees = 0.0
    pitch: Degrees = 0.0
    yaw: Degrees = 0.0


class Gimbal(msgspec.Struct, frozen=True):
    """What a gimbal, or the mounting, says; which fields count depends on `message`."""

    message: str = ""
    flags: int | None = None
    q_wxyz: tuple[float, float, float, float] | None = None
    delta_yaw_rad: float | None = None
    resolved_frame: str = ""
    roll_deg: Degrees | None = None
    pitch_deg: Degrees | None = None
    yaw_deg: Degrees | None = None
    yaw_absolute_deg: float | None = None
    pointing_a: int | None = None
    pointing_b: int | None = None
    pointing_c: int | None = None
    mount_euler_body_to_housing_deg: Euler | None = None


class Hill(msgspec.Struct, frozen=True):
    """One Gaussian hill."""

    lat0_deg: float
    lon0_deg: float
    amp_m: Annotated[float, Meta(ge=-1e4, le=1e4)]
    sigma_m: Annotated[float, Meta(ge=0.1, le=1e6)]


class CaseSurface(msgspec.Struct, frozen=True):
    """What the ray meets: constant_hae, formula_plane, gaussian_hills or sea."""

    type: str
    hae_m: Metres | None = None
    amsl_m: Metres | None = None
    hae0_m: Metres | None = None
    lat0_deg: float = 0.0
    lon0_deg: float = 0.0
    grad_north: Annotated[float, Meta(ge=-100, le=100)] = 0.0
    grad_east: Annotated[float, Meta(ge=-100, le=100)] = 0.0
    base_hae_m: Metres | None = None
    hills: Annotated[tuple[Hill, ...], Meta(max_length=1000)] = ()
    tide_m: Metres = 0.0


class Pixel(msgspec.Struct, frozen=True):
    """A point in the image, from the centre of its upper-left pixel."""

    u: float
    v: float


class Sigmas(msgspec.Struct, frozen=True):
    """One-sigma errors that a case's sampled CE90 was made with."""

    pos_n_m: Sigma = 0.0
    pos_e_m: Sigma = 0.0
    pos_d_m: Sigma = 0.0
    rot_fwd_deg: Sigma = 0.0
    rot_right_deg: Sigma = 0.0
    rot_down_deg: Sigma = 0.0
    heading_deg: Sigma = 0.0
    surface_m: Annotated[float, Meta(ge=0.0, le=1000.0)] = 0.0
    pixel_u: Sigma = 0.0
    pixel_v: Sigma = 0.0
    time_s: Sigma = 0.0
    vel_ned_mps: tuple[Metres, Metres, Metres] = (0.0, 0.0, 0.0)
    los_yaw_rate_dps: Degrees = 0.0


STATED = PoseSigmas()
DEFAULT_SIGMAS = Sigmas(
    pos_n_m=STATED.horizontal_m,
    pos_e_m=STATED.horizontal_m,
    pos_d_m=STATED.vertical_m,
    rot_fwd_deg=math.hypot(STATED.tilt_deg, STATED.boresight_deg),
    rot_right_deg=math.hypot(STATED.tilt_deg, STATED.boresight_deg),
    rot_down_deg=math.hypot(STATED.tilt_deg, STATED.boresight_deg),
    heading_deg=STATED.heading_deg,
    surface_m=3.0,
    pixel_u=2.0,
    pixel_v=2.0,
)
"""For cases that state no errors: a consumer drone, as the edge's configuration has it."""


class MonteCarlo(msgspec.Struct, frozen=True):
    """The errors of a case; what sampling gave for them is not read."""

    sigmas_1s: Sigmas


class Case(msgspec.Struct, frozen=True):
    """One pixel of one camera over one surface."""

    id: Id
    camera: Camera
    platform: Platform
    surface: CaseSurface
    pixel: Pixel
    gimbal: Gimbal = Gimbal()
    vehicle_attitude_deg: Euler = Euler()
    boresight_euler_deg: Euler = Euler()
    lever_arm_body_frd_m: tuple[Metres, Metres, Metres] = (0.0, 0.0, 0.0)
    monte_carlo: MonteCarlo | None = None


class AreaCase(msgspec.Struct, frozen=True):
    """The corners of one plot in one image."""

    id: Id
    camera: Camera
    platform: Platform
    surface: CaseSurface
    polygon_pixels: Annotated[tuple[tuple[float, float], ...], Meta(min_length=3, max_length=_MAX_CORNERS)]
    gimbal_q_earth_wxyz: tuple[float, float, float, float] | None = None
    gimbal: Gimbal = Gimbal()
    vehicle_attitude_deg: Euler = Euler()
    boresight_euler_deg: Euler = Euler()
    lever_arm_body_frd_m: tuple[Metres, Metres, Metres] = (0.0, 0.0, 0.0)


class Mark(msgspec.Struct, frozen=True):
    """One mark in one still; the camera's own attitude is told, and the height of the ground there."""

    image: int | Id
    platform: Platform
    camera_attitude_deg: Euler
    camera: Camera
    pixel: Pixel
    surface_hae_m: Metres


Question = TypeVar("Question", Case, AreaCase, Mark)


class Document(msgspec.Struct, frozen=True):
    """Either form; each question stays raw, so that one that is damaged does not take the others along."""

    cases: tuple[msgspec.Raw, ...] | None = None
    area_cases: tuple[msgspec.Raw, ...] | None = ()
    marks: tuple[msgspec.Raw, ...] | None = None
    refraction: str = "none"


class _Name(msgspec.Struct, frozen=True):
    id: Id | None = None
    image: int | Id | None = None


def read_cases(path: Path) -> Document:
    """The file, checked; raises `InputError` with one sentence on anything else."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    if len(data) > MAX_FILE_BYTES:
        raise InputError(f"{path}: more than the limit of {MAX_FILE_BYTES} bytes")
    try:
        document = msgspec.json.decode(_without_words(data), type=Document)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{path}: not a file of cases or marks: {error}") from error
    if document.cases is None and document.marks is None and not document.area_cases:
        raise InputError(f"{path}: holds neither cases nor area_cases nor marks")
    return document


def answers(document: Document) -> tuple[list[dict[str, Any]], list[str]]:
    """One plain object for each case, area case or mark, in the file's order; and a sentence for each that
    cannot be answered, whose status is then `invalid`.

    Cases: id, status, lat_deg, lon_deg, hae_m, slant_range_m, ce90_m, cov_ne_m2 (north, east). Marks: image,
    lat_deg, lon_deg. Area cases: id, status and three areas. What has no number is None.
    """
    refraction = 0.0 if document.refraction == "none" else locate.REFRACTION_COEFFICIENT
    found: list[dict[str, Any]] = []
    problems: list[str] = []
    for raw in document.cases or ():
        found.append(_asked(raw, Case, partial(answer, refraction=refraction), CASE_NAMES, problems))
    for raw in document.area_cases or ():
        found.append(_asked(raw, AreaCase, area_answer, AREA_NAMES, problems))
    for raw in document.marks or ():
        found.append(_asked(raw, Mark, mark_answer, ("lat_deg", "lon_deg"), problems))
    return found, problems


def _asked(
    raw: msgspec.Raw,
    kind: type[Question],
    work: Callable[[Question], dict[str, Any]],
    names: tuple[str, ...],
    problems: list[str],
) -> dict[str, Any]:
    try:
        return work(msgspec.convert(_without_nulls(msgspec.json.decode(raw)), type=kind))
    except (InputError, msgspec.MsgspecError, RecursionError) as error:
        name = _name_of(raw)
        label = {"image": name} if kind is Mark else {"id": name, "status": "invalid"}
        problems.append(f"{'image' if kind is Mark else 'case'} {name!a}: {error}")
        return label | dict.fromkeys(names)


def _without_words(data: bytes) -> bytes:
    """Python writes a missing number as NaN, and one too large as Infinity; JSON has no word for either, so
    both are missing here. What stands in quotes stays as it is."""
    if b"NaN" not in data and b"Infinity" not in data:
        return data
    return _QUOTED_OR_WORD.sub(lambda found: found[0] if found[0][:1] == b'"' else b"null", data)


def _without_nulls(tree: Any) -> Any:
    """The same, with what is null left out of objects: a field that says nothing is one that is not there."""
    if isinstance(tree, dict):
        return {name: _without_nulls(value) for name, value in tree.items() if value is not None}
    return [_without_nulls(value) for value in tree] if isinstance(tree, list) else tree


def _name_of(raw: msgspec.Raw) -> int | str | None:
    try:
        name = msgspec.json.decode(raw, type=_Name)
    except (msgspec.DecodeError, RecursionError):
        return None
    return name.image if name.id is None else name.id


def answer(case: Case, refraction: float = 0.0) -> dict[str, Any]:
    """One case. Its status is that of the geometry: nothing is refused for being near the horizon."""
    sigmas = case.monte_carlo.sigmas_1s if case.monte_carlo else DEFAULT_SIGMAS
    surface = surface_of(case.surface, case.platform, sigmas.surface_m)
    locator = Locator(
        camera_of(case.camera),
        surface,
        max_range_m=_LEVEL_RANGE_M if surface.spacing_m == 0.0 else _FORMULA_RANGE_M,
        horizon_sigmas=0.0,
        refraction=refraction,
    )
    found = locator.locate(
        pose_of(case, surface, sigmas),
        [[case.pixel.u, case.pixel.v]],
        [[sigmas.pixel_u, sigmas.pixel_v]],
        angular_velocity_ned_dps=(0.0, 0.0, sigmas.los_yaw_rate_dps),
    )
    status = STATUS_WORDS[found.status[0]]
    if status != "hit":
        return {"id": case.id, "status": status} | dict.fromkeys(CASE_NAMES)
    (ee, en, _), (_, nn, _), _ = found.covariance_enu_m2[0].tolist()
    ce90_m = float(found.ce90_m[0])
    is_known = ce90_m < NO_RADIUS_M
    return {
        "id": case.id,
        "status": status,
        "lat_deg": float(found.latitude_deg[0]),
        "lon_deg": float(found.longitude_deg[0]),
        "hae_m": float(found.alt_hae_m[0]),
        "slant_range_m": float(found.slant_range_m[0]),
        "ce90_m": ce90_m if is_known else None,
        "cov_ne_m2": [[nn, en], [en, ee]] if is_known else None,
    }


def area_answer(case: AreaCase) -> dict[str, Any]:
    """One plot: its corners on the ground, joined by straight lines, and three areas."""
    from edge.plots.area import areas_of_corners

    surface = surface_of(case.surface, case.platform, 0.0)
    found = Locator(camera_of(case.camera), surface, horizon_sigmas=0.0, refraction=0.0).locate(
        pose_of(case, surface, Sigmas()), case.polygon_pixels, 0.0
    )
    bad = [status for status in found.status if status != locate.OK]
    if bad:
        return {"id": case.id, "status": STATUS_WORDS[bad[0]]} | dict.fromkeys(AREA_NAMES)
    sizes = areas_of_corners(found.latitude_deg, found.longitude_deg, surface)
    areas = (sizes.planimetric_m2, sizes.at_height_m2, sizes.surface_m2)
    return {"id": case.id, "status": "hit"} | dict(zip(AREA_NAMES, areas, strict=True))


def mark_answer(mark: Mark) -> dict[str, Any]:
    """One mark of a field set."""
    surface = LevelSurface(mark.surface_hae_m, sigma_m=0.0)
    attitude = _matrix(mark.camera_attitude_deg) @ rotations.GIMBAL_FROM_CAMERA
    pose = _pose(_place(mark.platform, surface), attitude, Sigmas())
    found = Locator(camera_of(mark.camera), surface, max_range_m=_LEVEL_RANGE_M, horizon_sigmas=0.0).locate(
        pose, [[mark.pixel.u, mark.pixel.v]], 0.0
    )
    place = (found.latitude_deg[0], found.longitude_deg[0]) if found.status[0] == locate.OK else (None, None)
    lat, lon = (None if value is None else float(value) for value in place)
    return {"image": mark.image, "lat_deg": lat, "lon_deg": lon}


def camera_of(camera: Camera) -> CameraModel:
    """The lens; raises `InputError` where it is none, or of a model that is not Brown's."""
    d = camera.distortion
    if d.model != "opencv_brown_conrady":
        raise InputError(f"a lens of the model {d.model[:40]!r}; opencv_brown_conrady is known")
    return CameraModel(
        width_px=camera.width,
        height_px=camera.height,
        fx=camera.fx,
        fy=camera.fy,
        cx=camera.cx,
        cy=camera.cy,
        distortion=(d.k1, d.k2, d.p1, d.p2, d.k3),
    )


def surface_of(surface: CaseSurface, platform: Platform, sigma_m: float) -> Surface:
    """What the ray meets, by the formulas of the cases' own conventions."""
    match surface.type:
        case "constant_hae":
            return LevelSurface(_surface_height(surface, platform), sigma_m=sigma_m)
        case "formula_plane":
            return _plane(surface, sigma_m)
        case "gaussian_hills":
            return _hills(surface, sigma_m)
        case "sea":
            return SeaSurface(surface.tide_m, sigma_m=sigma_m)
        case other:
            raise InputError(
                f"a surface of the type {other[:40]!r}; constant_hae, formula_plane, gaussian_hills and sea "
                "are known"
            )


def _surface_height(surface: CaseSurface, platform: Platform) -> HaeM:
    if surface.hae_m is not None:
        return heights.hae(surface.hae_m)
    return heights.hae_from_msl(
        heights.msl(_given(surface.amsl_m, "surface.hae_m")),
        platform.lat_deg,
        platform.lon_deg,
        undulation_m=platform.geoid_undulation_m,
    )


def _metres_from(
    latitude: FloatArray, longitude: FloatArray, lat0_deg: float, lon0_deg: float
) -> tuple[FloatArray, FloatArray]:
    """North and east metres by the cases' rule: 111320 m a degree, longitudes by the origin's cosine."""
    east = geodesy.wrap_longitude_deg(longitude - lon0_deg) * METRES_PER_DEG
    return (latitude - lat0_deg) * METRES_PER_DEG, east * math.cos(math.radians(lat0_deg))


def _plane(surface: CaseSurface, sigma_m: float) -> FormulaSurface:
    base = _given(surface.hae0_m, "surface.hae0_m")

    def height(latitude: FloatArray, longitude: FloatArray) -> FloatArray:
        north, east = _metres_from(latitude, longitude, surface.lat0_deg, surface.lon0_deg)
        risen: FloatArray = base + surface.grad_north * north + surface.grad_east * east
        return risen

    return FormulaSurface(height, spacing_m=_PLANE_DETAIL_M, sigma_m=sigma_m)


def _hills(surface: CaseSurface, sigma_m: float) -> FormulaSurface:
    base, hills = _given(surface.base_hae_m, "surface.base_hae_m"), surface.hills

    def height(latitude: FloatArray, longitude: FloatArray) -> FloatArray:
        risen = np.full(np.broadcast(latitude, longitude).shape, base)
        for hill in hills:
            north, east = _metres_from(latitude, longitude, hill.lat0_deg, hill.lon0_deg)
            risen = risen + hill.amp_m * np.exp(-(north * north + east * east) / (2.0 * hill.sigma_m**2))
        return risen

    return FormulaSurface(
        height,
        spacing_m=min((max(hill.sigma_m / 6.0, 0.5) for hill in hills), default=_PLANE_DETAIL_M),
        height_range_hae_m=(
            base + sum(min(hill.amp_m, 0.0) for hill in hills),
            base + sum(max(hill.amp_m, 0.0) for hill in hills),
        ),
        sigma_m=sigma_m,
    )


def pose_of(case: Case | AreaCase, surface: Surface, sigmas: Sigmas) -> CameraPose:
    """The camera's pose: attitude from the message, lever arm, boresight, height from the stated source."""
    vehicle = case.vehicle_attitude_deg
    q_ned_body = rotations.quaternion_from_euler_deg(vehicle.roll, vehicle.pitch, vehicle.yaw)
    if isinstance(case, AreaCase) and case.gimbal_q_earth_wxyz is not None:
        attitude = gimbal.from_gimbal_device(
            gimbal.FLAG_YAW_IN_EARTH_FRAME, case.gimbal_q_earth_wxyz, None, q_ned_body=None
        )
    else:
        attitude = attitude_of(case.gimbal, q_ned_body)
    boresight = case.boresight_euler_deg
    place, rotation = gimbal.camera_place(
        _place(case.platform, surface),
        ned_from_body=rotations.matrix_from_quaternion(q_ned_body),
        ned_from_camera=gimbal.ned_from_camera(attitude, (boresight.roll, boresight.pitch, boresight.yaw)),
        lever_arm_body_m=case.lever_arm_body_frd_m,
    )
    return _pose(place, rotation, sigmas)


def attitude_of(message: Gimbal, q_ned_body: FloatArray) -> gimbal.GimbalAttitude:
    """Where the housing points, from the message's own fields; raises `InputError` when they do not tell."""
    is_body = message.resolved_frame.startswith("body")
    match message.message:
        case "GIMBAL_DEVICE_ATTITUDE_STATUS":
            if message.q_wxyz is None or message.flags is None:
                raise InputError("GIMBAL_DEVICE_ATTITUDE_STATUS without flags and q_wxyz")
            return gimbal.from_gimbal_device(
                message.flags,
                message.q_wxyz,
                message.delta_yaw_rad,
                q_ned_body=q_ned_body,
                has_body_roll_pitch=is_body,
            )
        case "MOUNT_ORIENTATION":
            yaw = math.nan if message.yaw_deg is None else message.yaw_deg
            return gimbal.from_mount_orientation(
                _given(message.roll_deg, "gimbal.roll_deg"),
                _given(message.pitch_deg, "gimbal.pitch_deg"),
                yaw,
                message.yaw_absolute_deg,
                q_ned_body=q_ned_body,
            )
        case "MOUNT_STATUS":
            return gimbal.from_mount_status(
                *_pointing(message), q_ned_body=q_ned_body, has_body_roll_pitch=is_body
            )
        case word if word.startswith("none") and message.mount_euler_body_to_housing_deg is not None:
            mount = message.mount_euler_body_to_housing_deg
            return gimbal.from_fixed_mount((mount.roll, mount.pitch, mount.yaw), q_ned_body=q_ned_body)
        case other:
            raise InputError(f"the gimbal's message {other[:60]!r} does not tell where the camera points")


def _pointing(message: Gimbal) -> tuple[float, float, float]:
    """Pitch, roll and yaw in hundredths of a degree, as MOUNT_STATUS has them, or told in degrees."""
    if message.pointing_a is not None and message.pointing_b is not None and message.pointing_c is not None:
        return message.pointing_a, message.pointing_b, message.pointing_c
    degrees = (message.pitch_deg, message.roll_deg, message.yaw_deg)
    pitch, roll, yaw = (_given(value, "gimbal.pitch_deg, roll_deg, yaw_deg") for value in degrees)
    return 100.0 * pitch, 100.0 * roll, 100.0 * yaw


def _place(platform: Platform, surface: Surface) -> tuple[float, float, HaeM]:
    return platform.lat_deg, platform.lon_deg, platform_height(platform, surface)


def platform_height(platform: Platform, surface: Surface) -> HaeM:
    """The platform's height above the ellipsoid, by the source that the case names; else `hae_m`."""
    source, place = platform.altitude_source, (platform.lat_deg, platform.lon_deg)
    geodesy.check_place(*place, 0.0)
    if source == "amsl" and platform.amsl_m is not None:
        above_sea = heights.msl(platform.amsl_m)
        return heights.hae_from_msl(above_sea, *place, undulation_m=platform.geoid_undulation_m)
    if source == "relative_to_home" and platform.relative_alt_m is not None:
        home = _home_height(platform)
        if home is not None:
            return heights.hae_from_home(heights.above_home(platform.relative_alt_m), home)
    if source in ("agl", "relative_to_terrain") and platform.agl_m is not None:
        ground = heights.hae(float(surface.height_hae_m(*place)))
        return heights.hae_from_terrain(heights.above_terrain(platform.agl_m), ground)
    return heights.hae(_given(platform.hae_m, f"platform.hae_m (source {source[:40]!r})"))


def _home_height(platform: Platform) -> HaeM | None:
    if platform.home_hae_m is not None:
        return heights.hae(platform.home_hae_m)
    if platform.home_amsl_m is None:
        return None
    return heights.hae_from_msl(
        heights.msl(platform.home_amsl_m),
        platform.lat_deg,
        platform.lon_deg,
        undulation_m=platform.geoid_undulation_m,
    )


def _pose(place: tuple[float, float, float], rotation: FloatArray, sigmas: Sigmas) -> CameraPose:
    turns = (sigmas.rot_fwd_deg, sigmas.rot_right_deg, sigmas.rot_down_deg)
    return CameraPose(
        time_ns=0,
        latitude_deg=place[0],
        longitude_deg=place[1],
        alt_hae_m=place[2],
        rotation_ned_from_camera=rotation,
        velocity_ned_mps=np.array(sigmas.vel_ned_mps),
        angular_rate_dps=0.0,
        sigmas=PoseSigmas(
            horizontal_m=math.hypot(sigmas.pos_n_m, sigmas.pos_e_m) / math.sqrt(2.0),
            vertical_m=sigmas.pos_d_m,
            tilt_deg=math.hypot(*turns) / math.sqrt(3.0),
            heading_deg=sigmas.heading_deg,
            boresight_deg=0.0,
            time_offset_s=sigmas.time_s,
        ),
        level_alt_hae_m=None,
        source="case",
    )


def _matrix(angles: Euler) -> FloatArray:
    return rotations.matrix_from_euler_deg(angles.roll, angles.pitch, angles.yaw)


def _given(value: float | None, name: str) -> float:
    if value is None:
        raise InputError(f"{name} is missing")
    return value
