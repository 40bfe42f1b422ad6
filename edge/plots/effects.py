"""What every shared error of a look does to the area and the place of a plot, and what the outline adds.

The corners of one look do not err one by one: a height that is 2 m wrong moves all of them together. So each
source of error is pushed by plus and minus one sigma, all rays are cut anew with the ground (taken as the
tangent plane at each corner), and the whole polygon's area and middle are compared. Sources are independent
of each other; their effects add in squares. The error of the outline itself has a part that is the same all
round (a mask that is a little wide) and a part that changes along the boundary with a correlation length.
"""

import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import shapely

from edge.plots.area import gradients
from edge.plots.ground import GroundPolygon, GroundRing
from skywarden.errors import InputError
from skywarden.geometry import geodesy
from skywarden.geometry.camera import CameraModel
from skywarden.geometry.pose import CameraPose
from skywarden.geometry.terrain import Surface

FloatArray = npt.NDArray[np.float64]

SOURCES = (
    "horizontal_east",
    "horizontal_north",
    "vertical",
    "tilt_right",
    "tilt_down",
    "tilt_forward",
    "heading",
    "boresight_right",
    "boresight_down",
    "boresight_forward",
    "time_offset",
    "surface",
    "slope_east",
    "slope_north",
    "focal",
    "principal_x",
    "principal_y",
    "outline",
)
"""The shared errors, in the order of the columns of `Effects`. Tilt and boresight are turns about the axes of
the camera; "surface" is the height of the ground, "slope" its steepness, "outline" a mask too wide all round.
"""

COMMON_SHARES = np.array([1.0] * 3 + [0.7] * 3 + [0.9] + [1.0] * 11)
"""How much of each source's variance stays the same from look to look of one pass; attitude moves about."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OutlineSigmas:
    """One-sigma errors of an outline.

    Attributes:
        noise_px: of a boundary point, across the boundary.
        correlation_px: along the boundary, over which that error stays the same.
        bias_px: of the whole boundary outwards or inwards, as a detector has that draws masks too wide.
        slope: rise per metre by which the ground may be steeper than the surface model says.
    """

    noise_px: float = 2.0
    correlation_px: float = 8.0
    bias_px: float = 0.3
    slope: float = 0.02

    def __post_init__(self) -> None:
        for name, value, most in (
            ("noise_px", self.noise_px, 100.0),
            ("correlation_px", self.correlation_px, 1000.0),
            ("bias_px", self.bias_px, 100.0),
            ("slope", self.slope, 1.0),
        ):
            if not 0.0 <= value <= most:
                raise InputError(f"an outline's {name} = {value}; expected 0 to {most:g}")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Effects:
    """What one sigma of each of the K `SOURCES` does; relative areas are changes of the logarithm.

    Attributes:
        planimetric, surface: (K,), of the planimetric and of the slope area.
        shift_en_m: (K, 2), of the middle.
        noise: of the area, from the noise of the outline alone.
        boundary_m: one-sigma error of a boundary point on the ground from the outline alone.
    """

    planimetric: FloatArray
    surface: FloatArray
    shift_en_m: FloatArray
    noise: float
    boundary_m: float

    @property
    def planimetric_sigma(self) -> float:
        """Relative one-sigma error of the planimetric area."""
        return float(np.sqrt(np.sum(self.planimetric**2) + self.noise**2))

    @property
    def surface_sigma(self) -> float:
        """Relative one-sigma error of the slope area."""
        return float(np.sqrt(np.sum(self.surface**2) + self.noise**2))

    @property
    def covariance_en_m2(self) -> FloatArray:
        """Of the middle, shape (2, 2)."""
        covariance: FloatArray = self.shift_en_m.T @ self.shift_en_m
        return covariance


def effects_on(
    polygon: GroundPolygon,
    pose: CameraPose,
    camera: CameraModel,
    surface: Surface,
    sigmas: OutlineSigmas | None = None,
) -> Effects:
    """Effects of the pose's sigmas, of the surface's and of the outline's on one look at a plot."""
    sigmas = sigmas or OutlineSigmas()
    scene = _Scene(polygon, pose, camera, surface)
    moved = [_moved(scene, sign, _pushes(scene, pose, camera, surface, sigmas)) for sign in (1.0, -1.0)]
    (area_up, middle_up), (area_down, middle_down) = (_measured(scene.spans, points) for points in moved)
    planimetric = 0.5 * np.log(np.maximum(area_up, 1e-6) / np.maximum(area_down, 1e-6))
    shift = 0.5 * (middle_up - middle_down)
    bias, noise, boundary_m = _outline_errors(scene, polygon, camera, sigmas)
    planimetric, shift = np.append(planimetric, bias), np.vstack([shift, np.zeros(2)])
    along = planimetric.copy()
    mean = scene.gradient.mean(axis=0)
    for column, part in ((SOURCES.index("slope_east"), mean[0]), (SOURCES.index("slope_north"), mean[1])):
        along[column] += part * _slope_sigma(surface, sigmas) / (1.0 + float(mean @ mean))
    return Effects(
        planimetric=planimetric, surface=along, shift_en_m=shift, noise=noise, boundary_m=boundary_m
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Pushes:
    """One sigma of every source but the last, a row each: how the camera moves and turns in enu (3), how its
    focal length grows, its principal point shifts in tangents (2), the ground is lifted and steeper (2)."""

    move: FloatArray
    turn: FloatArray
    focal: FloatArray
    principal: FloatArray
    lift: FloatArray
    slope: FloatArray


class _Scene:
    """One look in east-north-up metres about the plot: corners, camera, rays, slopes of the ground."""

    def __init__(
        self, polygon: GroundPolygon, pose: CameraPose, camera: CameraModel, surface: Surface
    ) -> None:
        rings: tuple[GroundRing, ...] = polygon.rings
        bounds = np.cumsum([0, *(len(ring.pixels) for ring in rings)])
        self.spans = [slice(int(a), int(b)) for a, b in itertools.pairwise(bounds)]
        latitude = np.concatenate([ring.latitude_deg for ring in rings])
        longitude = np.concatenate([ring.longitude_deg for ring in rings])
        alt = np.concatenate([ring.alt_hae_m for ring in rings])
        origin = (float(latitude[0]), float(longitude[0]), float(alt.mean()))
        points = geodesy.enu_from_geodetic((latitude, longitude, alt), *origin)
        middle = points[self.spans[0]].mean(axis=0) * np.array([1.0, 1.0, 0.0])
        self.points = points - middle
        place = (pose.latitude_deg, pose.longitude_deg, pose.alt_hae_m)
        self.camera_in_enu = geodesy.enu_from_geodetic(place, *origin) - middle
        enu_from_ned = geodesy.ecef_from_enu(*origin[:2]).T @ geodesy.ecef_from_ned(*place[:2])
        self.enu_from_ned = enu_from_ned
        self.enu_from_camera = enu_from_ned @ pose.rotation_ned_from_camera
        gradient = gradients(polygon.plane, np.concatenate([r.east_north_m for r in rings]), surface)
        known = np.asarray(np.isfinite(gradient).all(axis=1))
        mean = gradient[known].mean(axis=0) if known.any() else np.zeros(2)
        self.gradient = np.where(known[:, None], gradient, mean)


def _pushes(
    scene: _Scene, pose: CameraPose, camera: CameraModel, surface: Surface, outline: OutlineSigmas
) -> _Pushes:
    sigmas, count = pose.sigmas, len(SOURCES) - 1
    move, turn = np.zeros((count, 3)), np.zeros((count, 3))
    focal, principal = np.zeros(count), np.zeros((count, 2))
    lift, slope = np.zeros(count), np.zeros((count, 2))
    at = SOURCES.index
    move[0, 0] = move[1, 1] = sigmas.horizontal_m
    move[2, 2] = sigmas.vertical_m
    axes = scene.enu_from_camera.T
    turn[at("tilt_right") : at("tilt_right") + 3] = axes * np.radians(sigmas.tilt_deg)
    turn[at("heading"), 2] = np.radians(sigmas.heading_deg)
    turn[at("boresight_right") : at("boresight_right") + 3] = axes * np.radians(sigmas.boresight_deg)
    rate = pose.angular_velocity_ned_dps
    rate_dps = np.array([0.0, 0.0, pose.angular_rate_dps]) if rate is None else rate
    velocity = np.asarray(pose.velocity_ned_mps, dtype=np.float64)
    move[at("time_offset")] = scene.enu_from_ned @ velocity * sigmas.time_offset_s
    turn[at("time_offset")] = scene.enu_from_ned @ np.radians(rate_dps) * sigmas.time_offset_s
    lift[at("surface")] = surface.sigma_m
    slope[at("slope_east"), 0] = slope[at("slope_north"), 1] = _slope_sigma(surface, outline)
    focal[at("focal")] = sigmas.focal_percent / 100.0
    principal[at("principal_x"), 0] = sigmas.principal_px / camera.fx
    principal[at("principal_y"), 1] = sigmas.principal_px / camera.fy
    return _Pushes(move, turn, focal, principal, lift, slope)


def _slope_sigma(surface: Surface, sigmas: OutlineSigmas) -> float:
    return 0.0 if surface.kind == "sea" else sigmas.slope


def _moved(scene: _Scene, sign: float, pushes: _Pushes) -> FloatArray:
    """Where the corners come to lie, (K, N, 2), when each source errs by one sigma times `sign`."""
    rays = (scene.points - scene.camera_in_enu) @ scene.enu_from_camera
    rays = np.broadcast_to(rays, (len(pushes.focal), *rays.shape)).copy()
    rays[:, :, :2] *= 1.0 / (1.0 + sign * pushes.focal[:, None, None])
    rays[:, :, :2] -= sign * pushes.principal[:, None, :] * rays[:, :, 2:]
    rays = rays @ scene.enu_from_camera.T
    rays = rays + sign * np.cross(pushes.turn[:, None, :], rays)
    camera = scene.camera_in_enu + sign * pushes.move
    # The ground at each corner: z = lift + z0 + (gradient + tilt) . (xy - xy0) + tilt . xy0, tilt about the
    # middle.
    tilt = sign * pushes.slope
    gradient = scene.gradient[None] + tilt[:, None, :]
    height = scene.points[:, 2] + sign * pushes.lift[:, None] + tilt @ scene.points[:, :2].T
    height = height - np.sum(gradient * scene.points[None, :, :2], axis=2)
    above = camera[:, None, 2] - height - np.sum(gradient * camera[:, None, :2], axis=2)
    falling = np.sum(gradient * rays[:, :, :2], axis=2) - rays[:, :, 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        reach = np.where(falling > 1e-9, above / falling, np.nan)
    moved: FloatArray = camera[:, None, :2] + rays[:, :, :2] * np.clip(reach, 0.0, 1e3)[:, :, None]
    return np.nan_to_num(moved)


def _measured(spans: list[slice], points: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Areas (K,) and middles (K, 2) of polygons with these corners (K, N, 2)."""
    area, moment = np.zeros(len(points)), np.zeros((len(points), 2))
    for span in spans:
        ring = points[:, span]
        after = np.roll(ring, -1, axis=1)
        cross = ring[:, :, 0] * after[:, :, 1] - after[:, :, 0] * ring[:, :, 1]
        area += 0.5 * cross.sum(axis=1)
        moment += np.einsum("kn,knd->kd", cross, ring + after) / 6.0
    return area, moment / np.where(np.abs(area) > 1e-9, area, 1e-9)[:, None]


def _outline_errors(
    scene: _Scene, polygon: GroundPolygon, camera: CameraModel, sigmas: OutlineSigmas
) -> tuple[float, float, float]:
    """Relative area by a boundary too wide, and by its noise; the noise of a boundary point in metres.

    A boundary point that moves by one pixel across the boundary sweeps, per pixel of boundary, as much ground
    as one pixel covers there; noise with a correlation length c adds up to sigma^2 c times the square of it.
    The boundary's length is that of its smoothed form: noise must not count as boundary.
    """
    pixels = np.concatenate([ring.pixels for ring in polygon.rings])
    by_pixel = _ground_by_pixel(scene, pixels, camera)
    ground_m2 = np.abs(by_pixel[:, 0, 0] * by_pixel[:, 1, 1] - by_pixel[:, 0, 1] * by_pixel[:, 1, 0])
    length_px = np.zeros(len(pixels))
    for ring, span in zip(polygon.rings, scene.spans, strict=True):
        along = np.roll(ring.pixels, -1, axis=0) - ring.pixels
        length = np.where(ring.is_cut, 0.0, np.hypot(along[:, 0], along[:, 1]))
        length *= _smooth_share(ring.pixels, sigmas.noise_px)
        length_px[span] = 0.5 * (length + np.roll(length, 1))
    area = max(polygon.shape.area, 1e-6)
    bias = sigmas.bias_px * float(np.sum(ground_m2 * length_px)) / area
    swept = float(np.sum(ground_m2**2 * length_px))
    noise = sigmas.noise_px * float(np.sqrt(sigmas.correlation_px * swept)) / area
    spread = float(np.sqrt(np.mean(np.sum(by_pixel**2, axis=(1, 2))) / 2))
    return bias, noise, sigmas.noise_px * spread


def _smooth_share(pixels: FloatArray, noise_px: float) -> float:
    """How long the boundary is without the wriggles that are its own noise, as a share of what it is."""
    ring = shapely.LinearRing(pixels)
    return float(shapely.simplify(ring, 1.5 * noise_px).length / max(ring.length, 1e-9))


def _ground_by_pixel(scene: _Scene, pixels: FloatArray, camera: CameraModel) -> FloatArray:
    """How corners move on the ground by pixel, (N, 2, 2), metres."""
    rays, jacobian, _ = camera.rays_with_jacobian(pixels)
    rays, turned = rays @ scene.enu_from_camera.T, scene.enu_from_camera @ jacobian
    slant = np.linalg.norm(scene.points - scene.camera_in_enu, axis=1)
    normal = np.concatenate([-scene.gradient, np.ones((len(pixels), 1))], axis=1)
    onto = normal / np.sum(normal * rays, axis=1)[:, None]
    moved = turned - rays[:, :, None] * (onto[:, None, :] @ turned)
    by_pixel: FloatArray = moved[:, :2] * slant[:, None, None]
    return by_pixel
