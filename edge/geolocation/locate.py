"""From pixels to places on the ground with their covariance, or to a bearing and the reason why not.

Every pixel becomes an exact ray, turned as a vector (never by adding angles), on the ellipsoid, to its first
crossing with the surface. The covariance is the first-order image of every error of the pose, the pixel and
the surface through the slope of the ground at the crossing; where a ray grazes, CE90 is taken beyond first
order (`edge.geolocation.grazing`). No position is better than a wrong one: a ray within three sigma of the
horizon gets a bearing only. The way back, from a place to its pixel, is `Locator.project`.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge.geolocation import grazing, raycast
from skywarden import messages
from skywarden.errors import InputError
from skywarden.geometry import geodesy
from skywarden.geometry.camera import CameraModel
from skywarden.geometry.pose import CameraPose
from skywarden.geometry.terrain import LEVEL_SIGMA_M, LevelSurface, Surface, SurfaceKind
from skywarden.geometry.uncertainty import ce90_m, le90_m

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

OK = "ok"
BEYOND_LENS = "beyond_lens"
CAMERA_BELOW_SURFACE = "camera_below_surface"
ABOVE_HORIZON = "above_horizon"
NEAR_HORIZON = "near_horizon"
NO_INTERSECTION = "no_intersection"
OUTSIDE_TERRAIN = "outside_terrain"
NO_SURFACE = "no_surface"
STATUSES = (
    OK,
    BEYOND_LENS,
    CAMERA_BELOW_SURFACE,
    ABOVE_HORIZON,
    NEAR_HORIZON,
    NO_INTERSECTION,
    OUTSIDE_TERRAIN,
    NO_SURFACE,
)
"""What can become of a pixel. Only "ok" has a position; all but "beyond_lens" have a bearing.

above_horizon: the ray passes above everything the surface can be. near_horizon: it meets the surface, but one
that is three sigma higher would not. no_intersection: it stays above the surface to the end of the range.
outside_terrain: it leaves the terrain model, or enters a hole in it, before it meets the ground.
no_surface: neither a surface nor the height of level ground is known.
"""

REFRACTION_COEFFICIENT = 0.13
"""Curvature of light over the earth's, standard atmosphere; used as a one-sigma error near the horizon."""

_REFRACTION_BAND_RAD = math.radians(2.0)
_MEAN_RADIUS_M = 6_371_000.0
_FAR_FACTOR = 12.0
_LEAST_SINE = 1e-3
_EYE = np.eye(3)
_BY_CODE = {
    raycast.HIT: OK,
    raycast.ABOVE_HORIZON: ABOVE_HORIZON,
    raycast.NO_INTERSECTION: NO_INTERSECTION,
    raycast.OUTSIDE_TERRAIN: OUTSIDE_TERRAIN,
    raycast.CAMERA_BELOW: CAMERA_BELOW_SURFACE,
}


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Locations:
    """Answers for N pixels as columns of shape (N,); numbers that do not exist are NaN.

    Attributes:
        status: one word of `STATUSES` per pixel.
        covariance_enu_m2: shape (N, 3, 3), in east-north-up at the place itself.
        azimuth_deg, elevation_deg: of the ray at the camera, from true north and above the horizontal.
        direction_sigma_deg: one-sigma error of the ray's direction, its larger axis.
        surface: what the rays met.
    """

    status: tuple[str, ...]
    latitude_deg: FloatArray
    longitude_deg: FloatArray
    alt_hae_m: FloatArray
    covariance_enu_m2: FloatArray
    ce90_m: FloatArray
    le90_m: FloatArray
    slant_range_m: FloatArray
    azimuth_deg: FloatArray
    elevation_deg: FloatArray
    direction_sigma_deg: FloatArray
    surface: SurfaceKind

    def __len__(self) -> int:
        return len(self.status)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class _Rays:
    """Rays of one frame in the camera's ned axes: unit vectors (N, 3), their elevations, the unit vectors
    above and beside them, and the covariance of their direction (N, 3, 3) in rad^2."""

    in_ned: FloatArray
    elevation: FloatArray
    upward: FloatArray
    sideways: FloatArray
    covariance: FloatArray
    is_seen: BoolArray
    ecef_from_ned: FloatArray
    camera_in_ecef: FloatArray


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class _Ground:
    """Where rays met the surface: geodetic columns and the rotations (N, 3, 3) from enu there."""

    in_ecef: FloatArray
    latitude_deg: FloatArray
    longitude_deg: FloatArray
    alt_hae_m: FloatArray
    ecef_from_enu: FloatArray


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class _Incidence:
    """How rays come in: rotations (N, 3, 3) into enu at the crossing, rays there (N, 3), the surface's
    normals over (normal . ray) (N, 3), and the sines of the grazing angles (N,)."""

    enu_from_ned: FloatArray
    ray: FloatArray
    onto: FloatArray
    sine: FloatArray


class Locator:
    """Places pixels of one camera on one surface; holds no state between calls.

    `surface` `None` means level ground at the pose's `level_alt_hae_m`, good to `level_sigma_m`. Beyond
    `max_range_m` nothing is met.
    `horizon_sigmas` 0 refuses nothing near the horizon. `refraction` (curvature of light over that of the
    earth) is an error near the horizon and never moves a place.
    """

    def __init__(
        self,
        camera: CameraModel,
        surface: Surface | None,
        *,
        max_range_m: float = 50_000.0,
        horizon_sigmas: float = 3.0,
        refraction: float = REFRACTION_COEFFICIENT,
        level_sigma_m: float = LEVEL_SIGMA_M,
    ) -> None:
        if not 1.0 <= max_range_m <= 500_000.0:
            raise InputError(f"a range limit of {max_range_m} m; expected 1 to 500000")
        self.camera = camera
        self._surface = surface
        self._max_range_m = max_range_m
        self._horizon_sigmas = horizon_sigmas
        self._refraction = refraction
        self._level_sigma_m = level_sigma_m

    def locate(
        self,
        pose: CameraPose,
        points_px: npt.ArrayLike,
        sigma_px: npt.ArrayLike = 1.0,
        *,
        angular_velocity_ned_dps: npt.ArrayLike | None = None,
    ) -> Locations:
        """Places of pixels (N, 2) whose one-sigma error per axis is `sigma_px`, shape (), (N,) or (N, 2).

        A time offset moves position and direction together. `angular_velocity_ned_dps`, shape (3,), says
        about which axis the camera turns, in place of the pose's own; where neither tells, the turn of
        `pose.angular_rate_dps` is taken to be about the vertical, as turns of an aircraft are. Raises
        `InputError` on a pose that cannot be.
        """
        rays = self._rays(pose, points_px, sigma_px)
        surface = self._surface_for(pose)
        if surface is None:
            nowhere = np.full(len(rays.in_ned), np.nan)
            status = [NO_SURFACE if seen else BEYOND_LENS for seen in rays.is_seen.tolist()]
            return _answer(rays, status, nowhere, _ground(rays, nowhere), None, "level")
        slant_m, code = raycast.first_crossings(
            surface, rays.camera_in_ecef, rays.in_ned @ rays.ecef_from_ned.T, self._max_range_m
        )
        self._refuse_near_horizon(surface, pose, rays, slant_m, code)
        status = [_BY_CODE[c] if c >= 0 else NEAR_HORIZON for c in code.tolist()]
        status = [s if seen else BEYOND_LENS for s, seen in zip(status, rays.is_seen.tolist(), strict=True)]
        slant_m[(code != raycast.HIT) | ~rays.is_seen] = np.nan
        turn = np.radians(_turn_dps(pose, angular_velocity_ned_dps))
        ground = _ground(rays, slant_m)
        incidence = _incidence(surface, rays, ground)
        covariance = _position_covariance(pose, rays, slant_m, incidence, turn, self._refraction)
        covariance += _outer(incidence.ray * (incidence.onto[:, 2] * surface.sigma_m)[:, None])
        _stretch_grazing(covariance, rays, slant_m, incidence)
        return _answer(rays, status, slant_m, ground, covariance, surface.kind)

    def project(
        self,
        pose: CameraPose,
        latitude_deg: npt.ArrayLike,
        longitude_deg: npt.ArrayLike,
        alt_hae_m: npt.ArrayLike,
    ) -> tuple[FloatArray, BoolArray]:
        """Pixels, shape (N, 2), of places (N,), and which of them exist: the way back of `locate`.

        A place behind the camera or beyond the lens's fold has no pixel (NaN). A pixel outside the image
        exists (`CameraModel.contains` tells), and so does that of a place behind a hill (`sees` tells).
        """
        place = np.broadcast_arrays(
            *(np.atleast_1d(np.asarray(v, np.float64)) for v in (latitude_deg, longitude_deg, alt_hae_m))
        )
        rotation = _checked_rotation(pose)
        ecef_from_ned = geodesy.ecef_from_ned(pose.latitude_deg, pose.longitude_deg)
        here = geodesy.ecef_from_geodetic(pose.latitude_deg, pose.longitude_deg, pose.alt_hae_m)
        in_camera = (geodesy.ecef_from_geodetic(*place) - here) @ ecef_from_ned @ rotation
        return self.camera.project(in_camera)

    def sees(
        self,
        pose: CameraPose,
        latitude_deg: npt.ArrayLike,
        longitude_deg: npt.ArrayLike,
        alt_hae_m: npt.ArrayLike,
        *,
        margin_m: float = 2.0,
    ) -> BoolArray:
        """Which places (N,) stand in the image with no ground before them nearer than by `margin_m`."""
        pixels, exists = self.project(pose, latitude_deg, longitude_deg, alt_hae_m)
        inside: BoolArray = exists & self.camera.contains(pixels)
        surface = self._surface_for(pose)
        if surface is None or not inside.any():
            return inside
        place = np.broadcast_arrays(
            *(np.atleast_1d(np.asarray(v, np.float64)) for v in (latitude_deg, longitude_deg, alt_hae_m))
        )
        here = geodesy.ecef_from_geodetic(pose.latitude_deg, pose.longitude_deg, pose.alt_hae_m)
        away = geodesy.ecef_from_geodetic(*place)[inside] - here
        distance_m = np.sqrt(np.sum(away * away, axis=1))
        slant_m, code = raycast.first_crossings(
            surface, here, away / distance_m[:, None], min(self._max_range_m, float(distance_m.max()) + 1.0)
        )
        with np.errstate(invalid="ignore"):
            is_hidden = (code == raycast.HIT) & (slant_m < distance_m - margin_m)
        inside[np.flatnonzero(inside)[is_hidden | (code == raycast.CAMERA_BELOW)]] = False
        return inside

    def footprint(self, pose: CameraPose) -> tuple[tuple[float, float], ...]:
        """Latitude and longitude of the image's corners (`CameraModel.corners_px`), from the upper left on.

        Empty when any corner has no position: a footprint that reaches the horizon has no end.
        """
        corners = self.locate(pose, self.camera.corners_px)
        if any(status != OK for status in corners.status):
            return ()
        return tuple(zip(corners.latitude_deg.tolist(), corners.longitude_deg.tolist(), strict=True))

    def frame_centre(self, pose: CameraPose) -> tuple[float, float] | None:
        """Latitude and longitude of the ground point under the boresight, `None` without a position."""
        centre = self.locate(pose, [[self.camera.cx, self.camera.cy]])
        if centre.status[0] != OK:
            return None
        return float(centre.latitude_deg[0]), float(centre.longitude_deg[0])

    def _surface_for(self, pose: CameraPose) -> Surface | None:
        if self._surface is not None:
            return self._surface
        if pose.level_alt_hae_m is None:
            return None
        return LevelSurface(pose.level_alt_hae_m, sigma_m=self._level_sigma_m)

    def _rays(self, pose: CameraPose, points_px: npt.ArrayLike, sigma_px: npt.ArrayLike) -> _Rays:
        rotation = _checked_rotation(pose)
        points = np.asarray(points_px, dtype=np.float64).reshape(-1, 2)
        given = np.asarray(sigma_px, dtype=np.float64)
        sigma = np.broadcast_to(given if given.ndim == 2 else given[..., None], (len(points), 2))
        in_camera, jacobian, is_seen = self.camera.rays_with_jacobian(points)
        in_ned = in_camera @ rotation.T
        sigmas = pose.sigmas
        by_pixel = rotation @ jacobian * np.hypot(sigma, sigmas.principal_px)[:, None, :]
        tilt_variance = math.radians(sigmas.tilt_deg) ** 2 + math.radians(sigmas.boresight_deg) ** 2
        turned = _down_cross(in_ned) * math.radians(sigmas.heading_deg)
        covariance = _outer(by_pixel[:, :, 0]) + _outer(by_pixel[:, :, 1]) + _outer(turned)
        if sigmas.focal_percent > 0.0:  # a longer lens moves every pixel away from the principal point
            from_centre = points - np.array([self.camera.cx, self.camera.cy])
            moved = (jacobian @ from_centre[:, :, None])[:, :, 0] * (sigmas.focal_percent / 100.0)
            covariance += _outer(moved @ rotation.T)
        covariance += tilt_variance * (_EYE - _outer(in_ned))
        level = np.hypot(in_ned[:, 0], in_ned[:, 1])
        elevation = np.arctan2(-in_ned[:, 2], level)
        return _Rays(
            in_ned=in_ned,
            elevation=elevation,
            upward=_raised(in_ned, elevation + math.pi / 2),
            sideways=_down_cross(_raised(in_ned, np.zeros_like(level))),
            covariance=covariance,
            is_seen=is_seen,
            ecef_from_ned=geodesy.ecef_from_ned(pose.latitude_deg, pose.longitude_deg),
            camera_in_ecef=geodesy.ecef_from_geodetic(pose.latitude_deg, pose.longitude_deg, pose.alt_hae_m),
        )

    def _refuse_near_horizon(
        self,
        surface: Surface,
        pose: CameraPose,
        rays: _Rays,
        slant_m: FloatArray,
        code: npt.NDArray[np.int8],
    ) -> None:
        """Mark (code -1) the hits that a ray raised by `horizon_sigmas` would not be.

        Over a smooth surface that is the distance from the dip of its horizon. Over terrain the raised rays
        are cast again where they could pass over everything, so that a mountainside above the sea's horizon
        still counts as ground; one that goes twelve times as far counts as passing over.
        """
        if self._horizon_sigmas == 0.0:
            return
        elevation = rays.elevation
        variance = _along(rays.covariance, rays.upward, rays.upward)
        margin = self._horizon_sigmas * np.sqrt(np.maximum(variance, 0.0))
        lowest = surface.height_range_hae_m[0]
        if surface.spacing_m == 0.0:
            lowest = float(surface.height_hae_m(pose.latitude_deg, pose.longitude_deg))
        dip = _dip_rad(pose, lowest, rays.in_ned)
        with np.errstate(invalid="ignore"):
            is_close = (code == raycast.HIT) & (-elevation < dip + margin)
        close = np.flatnonzero(is_close)
        if surface.spacing_m > 0.0 and close.size:
            raised = _raised(rays.in_ned[close], np.minimum(elevation + margin, math.pi / 2)[close])
            far_m = min(self._max_range_m, _FAR_FACTOR * float(slant_m[close].max()))
            _, raised_code = raycast.first_crossings(
                surface, rays.camera_in_ecef, raised @ rays.ecef_from_ned.T, far_m
            )
            close = close[raised_code != raycast.HIT]
        code[close] = -1
        slant_m[close] = np.nan


def _checked_rotation(pose: CameraPose) -> FloatArray:
    """The pose's rotation; raises `InputError` on a pose that cannot be."""
    geodesy.check_place(pose.latitude_deg, pose.longitude_deg, pose.alt_hae_m)
    rotation = np.asarray(pose.rotation_ned_from_camera, dtype=np.float64)
    if rotation.shape != (3, 3) or not np.max(np.abs(rotation @ rotation.T - _EYE)) <= 1e-6:
        raise InputError(f"not a rotation: {np.array2string(rotation, precision=4)}")
    return rotation


def position_message(locations: Locations, index: int) -> messages.Position | None:
    """The place of pixel `index` as it travels, `None` where there is none."""
    if locations.status[index] != OK:
        return None
    east, north, up = locations.covariance_enu_m2[index].tolist()
    return messages.Position(
        latitude_deg=float(locations.latitude_deg[index]),
        longitude_deg=float(locations.longitude_deg[index]),
        alt_hae_m=float(locations.alt_hae_m[index]),
        covariance_enu_m2=(east[0], east[1], east[2], north[1], north[2], up[2]),
        ce90_m=float(locations.ce90_m[index]),
        le90_m=float(locations.le90_m[index]),
        surface=locations.surface,
    )


def bearing_message(locations: Locations, index: int) -> messages.Bearing | None:
    """The direction to pixel `index` as it travels, `None` for a pixel that no ray belongs to."""
    if locations.status[index] == BEYOND_LENS:
        return None
    return messages.Bearing(
        azimuth_deg=float(locations.azimuth_deg[index]),
        elevation_deg=float(locations.elevation_deg[index]),
        sigma_deg=float(locations.direction_sigma_deg[index]),
    )


def forward_azimuth_deg(pose: CameraPose) -> float:
    """Where the upper half of the image lies, degrees from true north, whether it looks down or ahead."""
    ahead = pose.rotation_ned_from_camera[:, 2] - pose.rotation_ned_from_camera[:, 1]
    return float(geodesy.wrap_heading_deg(math.degrees(math.atan2(ahead[1], ahead[0]))))


def _turn_dps(pose: CameraPose, override_dps: npt.ArrayLike | None) -> FloatArray:
    """How the camera turns about ned axes, shape (3,), by the best that is known of it."""
    told = pose.angular_velocity_ned_dps if override_dps is None else override_dps
    turn = np.array([0.0, 0.0, pose.angular_rate_dps]) if told is None else np.asarray(told, dtype=np.float64)
    if turn.shape != (3,) or not np.isfinite(turn).all():
        raise InputError(f"not an angular velocity about three axes: {np.array2string(turn, precision=4)}")
    return turn


def _ground(rays: _Rays, slant_m: FloatArray) -> _Ground:
    in_ecef = rays.camera_in_ecef + (rays.in_ned * slant_m[:, None]) @ rays.ecef_from_ned.T
    latitude, longitude, alt = geodesy.geodetic_from_ecef(in_ecef)
    return _Ground(
        in_ecef=in_ecef,
        latitude_deg=latitude,
        longitude_deg=longitude,
        alt_hae_m=alt,
        ecef_from_enu=geodesy.ecef_from_enu(latitude, longitude),
    )


def _incidence(surface: Surface, rays: _Rays, ground: _Ground) -> _Incidence:
    enu_from_ned = np.swapaxes(ground.ecef_from_enu, 1, 2) @ rays.ecef_from_ned
    ray = (enu_from_ned @ rays.in_ned[:, :, None])[:, :, 0]
    normal = _normals(surface, ground)
    long = np.sqrt(np.add.reduce(normal * normal, axis=1))
    # The slope over one spacing may face away from a ray that just caught a crest.
    steep = np.minimum(np.add.reduce(normal * ray, axis=1), -_LEAST_SINE * long)
    onto, sine = normal / steep[:, None], -steep / long
    return _Incidence(enu_from_ned=enu_from_ned, ray=ray, onto=onto, sine=sine)


def _position_covariance(
    pose: CameraPose,
    rays: _Rays,
    slant_m: FloatArray,
    incidence: _Incidence,
    turn_ned_radps: FloatArray,
    refraction: float,
) -> FloatArray:
    """Covariance of the crossings, shape (N, 3, 3), in enu axes there, metres squared; ground is exact here.

    A camera displaced by c and a ray turned by d move the crossing by P (c + R d), where
    P = I - ray normal^T / (normal . ray) keeps it on the ground; ground raised by s moves it by
    ray s (up . normal) / (normal . ray). The normal is taken so long that up . normal = 1.
    """
    sigmas = pose.sigmas
    covariance = rays.covariance * (slant_m**2)[:, None, None]
    covariance[:, [0, 1, 2], [0, 1, 2]] += np.array(
        [sigmas.horizontal_m**2, sigmas.horizontal_m**2, sigmas.vertical_m**2]
    )
    velocity = np.asarray(pose.velocity_ned_mps, dtype=np.float64)
    x, y, z = turn_ned_radps.tolist()
    turned = rays.in_ned @ np.array([[0.0, z, -y], [-z, 0.0, x], [y, -x, 0.0]])  # turn x ray
    covariance += _outer((velocity + slant_m[:, None] * turned) * sigmas.time_offset_s)
    if refraction > 0.0:
        _add_refraction(covariance, pose, rays, slant_m, refraction)
    onto_ned = incidence.onto[:, None, :] @ incidence.enu_from_ned
    move = incidence.enu_from_ned - incidence.ray[:, :, None] * onto_ned
    result: FloatArray = move @ (covariance @ np.swapaxes(move, 1, 2))
    symmetric: FloatArray = 0.5 * (result + np.swapaxes(result, 1, 2))
    return symmetric


def _stretch_grazing(covariance: FloatArray, rays: _Rays, slant_m: FloatArray, incidence: _Incidence) -> None:
    """Stretch the covariances of rays that graze until their CE90 holds (see `edge.geolocation.grazing`)."""
    with np.errstate(invalid="ignore"):
        is_flat = incidence.sine < grazing.STEEPEST_SINE
    flat = np.flatnonzero(is_flat)
    if not flat.size:
        return
    along = incidence.ray[flat]
    along[:, 2] = 0.0
    along /= np.hypot(along[:, 0], along[:, 1])[:, None]
    along_m = np.sqrt(np.maximum(_along(covariance[flat], along, along), 0.0))
    sine, slant = incidence.sine[flat], slant_m[flat]
    sigma_rad, bent = grazing.sigma_and_bend(along_m, slant, sine, rays.elevation[flat])
    chosen = np.flatnonzero(bent > grazing.BEND_LIMIT)
    if chosen.size:
        index = flat[chosen]
        covariance[index] = grazing.stretched(
            covariance[index], along[chosen], slant[chosen], sine[chosen], sigma_rad[chosen]
        )


def _normals(surface: Surface, ground: _Ground) -> FloatArray:
    """Normals of the surface in enu, shape (N, 3), with an upward part of one.

    The slope is taken over one spacing: the grid knows no finer one.
    """
    normal = np.zeros((len(ground.latitude_deg), 3))
    normal[:, 2] = 1.0
    if surface.spacing_m == 0.0 or not len(normal):
        return normal
    reach = surface.spacing_m / 2
    latitude, longitude = ground.latitude_deg, ground.longitude_deg
    if bool((np.abs(latitude) > 85.0).any()):  # degrees of longitude are no smooth thing near a pole
        east, north = ground.ecef_from_enu[:, :, 0] * reach, ground.ecef_from_enu[:, :, 1] * reach
        around = ground.in_ecef + np.stack([east, -east, north, -north, np.zeros_like(east)])
        latitudes, longitudes, _ = geodesy.geodetic_from_ecef(around)
    else:
        meridian, normal_m = geodesy.radii_of_curvature_m(float(np.nan_to_num(latitude[0])))
        by_north = math.degrees(reach / meridian)
        by_east = np.degrees(reach / normal_m) / np.cos(np.radians(latitude))
        none = np.zeros_like(latitude)
        latitudes = latitude + np.array([0.0, 0.0, by_north, -by_north, 0.0])[:, None]
        longitudes = longitude + np.stack([by_east, -by_east, none, none, none])
    east_of, west_of, north_of, south_of, here = surface.height_hae_m(latitudes, longitudes)
    for axis, ahead, behind in ((0, east_of, west_of), (1, north_of, south_of)):
        run = reach * (2.0 - np.isnan(ahead) - np.isnan(behind))  # at the rim one side has to do
        rise = np.where(np.isnan(ahead), here, ahead) - np.where(np.isnan(behind), here, behind)
        normal[:, axis] = np.where(run > 0.0, -rise / np.maximum(run, reach), 0.0)
    return normal


def _add_refraction(
    covariance: FloatArray, pose: CameraPose, rays: _Rays, slant_m: FloatArray, coefficient: float
) -> None:
    """Add the error of light that bends, metres squared: only within 2 degrees of the horizon it matters."""
    ground_hae_m = pose.alt_hae_m + slant_m * np.sin(rays.elevation)
    with np.errstate(invalid="ignore"):
        is_low = -rays.elevation < _dip_rad(pose, ground_hae_m, rays.in_ned) + _REFRACTION_BAND_RAD
    low = np.flatnonzero(is_low)
    if low.size:
        bent_m = coefficient * slant_m[low] ** 2 / (2 * _MEAN_RADIUS_M)
        covariance[low] += _outer(rays.upward[low] * bent_m[:, None])


def _answer(
    rays: _Rays,
    status: list[str],
    slant_m: FloatArray,
    ground: _Ground,
    covariance: FloatArray | None,
    kind: SurfaceKind,
) -> Locations:
    if covariance is None:
        covariance = np.full((len(status), 3, 3), np.nan)
    azimuth = np.degrees(np.arctan2(rays.in_ned[:, 1], rays.in_ned[:, 0]))
    return Locations(
        status=tuple(status),
        latitude_deg=ground.latitude_deg,
        longitude_deg=ground.longitude_deg,
        alt_hae_m=ground.alt_hae_m,
        covariance_enu_m2=covariance,
        ce90_m=ce90_m(covariance),
        le90_m=le90_m(covariance[:, 2, 2]),
        slant_range_m=slant_m,
        azimuth_deg=geodesy.wrap_heading_deg(azimuth),
        elevation_deg=np.degrees(rays.elevation),
        direction_sigma_deg=np.degrees(_direction_sigma(rays)),
        surface=kind,
    )


def _outer(vectors: FloatArray) -> FloatArray:
    product: FloatArray = vectors[:, :, None] * vectors[:, None, :]
    return product


def _along(covariance: FloatArray, one: FloatArray, other: FloatArray) -> FloatArray:
    """Covariances (N,) of what is measured along two directions (N, 3)."""
    value: FloatArray = np.einsum("ni,nij,nj->n", one, covariance, other)
    return value


def _down_cross(in_ned: FloatArray) -> FloatArray:
    """The cross product of down with vectors (N, 3): where a turn about the vertical takes them."""
    turned = np.zeros_like(in_ned)
    turned[:, 0], turned[:, 1] = -in_ned[:, 1], in_ned[:, 0]
    return turned


def _raised(in_ned: FloatArray, elevation: FloatArray) -> FloatArray:
    """The rays at another elevation and the same azimuth; a vertical ray counts as looking north."""
    level = np.hypot(in_ned[:, 0], in_ned[:, 1])
    is_vertical = level < 1e-12
    level = np.where(is_vertical, 1.0, level)
    cosine = np.cos(elevation)
    raised = np.empty_like(in_ned)
    raised[:, 0] = np.where(is_vertical, 1.0, in_ned[:, 0] / level) * cosine
    raised[:, 1] = np.where(is_vertical, 0.0, in_ned[:, 1] / level) * cosine
    raised[:, 2] = -np.sin(elevation)
    return raised


def _direction_sigma(rays: _Rays) -> FloatArray:
    """The larger half axis of the direction's error, radians."""
    uu = _along(rays.covariance, rays.upward, rays.upward)
    ss = _along(rays.covariance, rays.sideways, rays.sideways)
    us = _along(rays.covariance, rays.upward, rays.sideways)
    largest = (uu + ss) / 2 + np.hypot((uu - ss) / 2, us)
    sigma: FloatArray = np.sqrt(np.maximum(largest, 0.0))
    return sigma


def _dip_rad(pose: CameraPose, ground_hae_m: FloatArray | float, in_ned: FloatArray) -> FloatArray:
    """How far below the horizontal the horizon of level ground lies, by Euler's radius in each azimuth."""
    meridian, normal = geodesy.radii_of_curvature_m(pose.latitude_deg)
    square = np.maximum(in_ned[:, 0] ** 2 + in_ned[:, 1] ** 2, 1e-24)
    radius = square / (in_ned[:, 0] ** 2 / meridian + in_ned[:, 1] ** 2 / normal + 1e-24 / normal)
    with np.errstate(invalid="ignore"):
        ratio = (radius + ground_hae_m) / (radius + pose.alt_hae_m)
        ratio = np.where(np.isinf(ground_hae_m), 0.0, ratio)  # no lowest height: every ray is looked at
        dip: FloatArray = np.arccos(np.clip(ratio, 0.0, 1.0))
    return dip
