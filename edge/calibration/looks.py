"""Looks at things on the ground as columns: where the camera says it was, and where the thing is.

One look is one pixel of one frame: the pose that the telemetry gives, the ray, and the thing that was seen.
All looks share the east-north-up axes of one origin, reached through earth-centred axes, so that the
curvature of the earth is exact. A thing is a surveyed point, a vessel that reports itself, or an unknown
fixed point whose first guess has a wide sigma.
"""

import math
from dataclasses import dataclass, fields, replace

import numpy as np
import numpy.typing as npt

from skywarden.errors import InputError
from skywarden.geometry import geodesy
from skywarden.geometry.camera import CameraModel
from skywarden.geometry.pose import CameraPose
from skywarden.geometry.rotations import GIMBAL_FROM_CAMERA, matrix_from_vector_rad

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]
BoolArray = npt.NDArray[np.bool_]
Place = tuple[float, float, float]

MAX_LOOKS = 20_000

ANGLES = ("boresight_roll_deg", "boresight_pitch_deg", "boresight_yaw_deg", "heading_deg", "elevation_deg")
PARAMETERS = (*ANGLES, "time_offset_s", "focal_ln", "north_m", "east_m", "down_m")
"""What can be estimated. Each is what has to be added to what the telemetry (or the lens) says.

boresight_*: turn of the camera in its housing about forward, right and down. heading: about the vertical,
clockwise. elevation: about the horizontal to the right of the optical axis, positive raises it. time_offset:
by how much the frames are stamped later than they were taken. focal_ln: logarithm of true over stated focal
length. north, east, down: of the camera's position, for this flight only.
"""

LASTING = frozenset({*ANGLES, "time_offset_s", "focal_ln"})
"""Parameters that belong to the machine; the others belong to one flight and are never recorded."""

_DOWN_IN_ENU = np.array([0.0, 0.0, -1.0])
_NED_FROM_ENU = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, -1.0]])


@dataclass(frozen=True, kw_only=True, eq=False)
class Looks:
    """N looks at M things during K moments, as columns in the east-north-up axes of `origin`.

    Attributes:
        time_s: seconds since the first look, shape (N,).
        camera_in_enu, velocity_enu_mps, turn_enu_radps: of the camera, shape (N, 3).
        enu_from_camera: shape (N, 3, 3).
        ray_in_camera: unit rays, shape (N, 3), and `ray_sigma_rad`, shape (N,), per axis.
        thing, moment: which thing and which moment (image) a look belongs to, shape (N,).
        place_in_enu: where the thing is said to be at the look's time stamp, shape (N, 3).
        place_covariance_m2: error of that which each look has for itself, shape (N, 3, 3).
        thing_velocity_enu_mps: of the thing, shape (N, 3).
        thing_sigma_m: error of its place that all looks at a thing share, shape (M, 3), east, north, up.
        things, moments: their names.
    """

    origin: Place
    time_s: FloatArray
    camera_in_enu: FloatArray
    velocity_enu_mps: FloatArray
    turn_enu_radps: FloatArray
    enu_from_camera: FloatArray
    ray_in_camera: FloatArray
    ray_sigma_rad: FloatArray
    thing: IntArray
    moment: IntArray
    place_in_enu: FloatArray
    place_covariance_m2: FloatArray
    thing_velocity_enu_mps: FloatArray
    thing_sigma_m: FloatArray
    things: tuple[str, ...]
    moments: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.time_s)

    def of(self, chosen: BoolArray) -> "Looks":
        """Those looks that are chosen, shape (N,); names and numbers of things and moments stay."""
        columns = {
            field.name: getattr(self, field.name)[chosen]
            for field in fields(self)
            if isinstance(getattr(self, field.name), np.ndarray) and field.name != "thing_sigma_m"
        }
        return replace(self, **columns)


class LooksBuilder:
    """Collects looks one by one; `build` makes the columns."""

    def __init__(self, origin: Place) -> None:
        geodesy.check_place(*origin)
        self.origin = origin
        self._enu_from_ecef = geodesy.ecef_from_enu(origin[0], origin[1]).T
        self._origin_in_ecef = geodesy.ecef_from_geodetic(*origin)
        self._rows: list[tuple[FloatArray | float | int, ...]] = []
        self._first_ns: int | None = None
        self._things: dict[str, tuple[float, float, float]] = {}
        self._moments: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def add(
        self,
        pose: CameraPose,
        camera: CameraModel,
        pixel: tuple[float, float],
        *,
        sigma_px: float,
        thing: str,
        place: Place,
        place_covariance_enu_m2: npt.ArrayLike | None = None,
        thing_sigma_m: tuple[float, float, float] = (0.0, 0.0, 0.0),
        thing_velocity_enu_mps: tuple[float, float, float] = (0.0, 0.0, 0.0),
        moment: str | None = None,
    ) -> bool:
        """Add one look; False when the pixel has no ray.

        Raises `InputError` beyond `MAX_LOOKS` and for places that cannot be. `moment` defaults to the
        instant of the pose.
        """
        if len(self._rows) >= MAX_LOOKS:
            raise InputError(f"more than {MAX_LOOKS} looks; leave some out, they add nothing")
        rays, jacobian, is_seen = camera.rays_with_jacobian([pixel])
        if not is_seen[0]:
            return False
        self._first_ns = pose.time_ns if self._first_ns is None else self._first_ns
        self._things.setdefault(thing, thing_sigma_m)
        number = self._moments.setdefault(moment or str(pose.time_ns), len(self._moments))
        enu_from_ned = self._enu_from_ecef @ geodesy.ecef_from_ned(pose.latitude_deg, pose.longitude_deg)
        turn_dps = pose.angular_velocity_ned_dps
        self._rows.append(
            (
                (pose.time_ns - self._first_ns) / 1e9,
                self.in_enu((pose.latitude_deg, pose.longitude_deg, pose.alt_hae_m)),
                enu_from_ned @ pose.velocity_ned_mps,
                enu_from_ned @ np.radians(np.zeros(3) if turn_dps is None else turn_dps),
                enu_from_ned @ pose.rotation_ned_from_camera,
                rays[0],
                sigma_px * math.sqrt(0.5 * float(np.sum(jacobian[0] ** 2))),
                list(self._things).index(thing),
                number,
                self.in_enu(place),
                np.zeros((3, 3)) if place_covariance_enu_m2 is None else np.asarray(place_covariance_enu_m2),
                np.asarray(thing_velocity_enu_mps, dtype=np.float64),
            )
        )
        return True

    def in_enu(self, place: Place) -> FloatArray:
        """A place in the axes of the origin, shape (3,)."""
        geodesy.check_place(*place)
        point: FloatArray = self._enu_from_ecef @ (geodesy.ecef_from_geodetic(*place) - self._origin_in_ecef)
        return point

    def build(self) -> Looks:
        """The columns; raises `InputError` without a look."""
        if not self._rows:
            raise InputError("no looks: nothing that was seen could be joined to a place")
        columns = [np.asarray(column) for column in zip(*self._rows, strict=True)]
        return Looks(
            origin=self.origin,
            time_s=columns[0],
            camera_in_enu=columns[1],
            velocity_enu_mps=columns[2],
            turn_enu_radps=columns[3],
            enu_from_camera=columns[4],
            ray_in_camera=columns[5],
            ray_sigma_rad=columns[6],
            thing=columns[7].astype(np.intp),
            moment=columns[8].astype(np.intp),
            place_in_enu=columns[9],
            place_covariance_m2=columns[10],
            thing_velocity_enu_mps=columns[11],
            thing_sigma_m=np.array(list(self._things.values()), dtype=np.float64).reshape(-1, 3),
            things=tuple(self._things),
            moments=tuple(self._moments),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Slopes:
    """The difference between where a thing should be seen and where it is, and how it changes.

    Attributes:
        residual: shape (N, 2), radians across the ray.
        by_parameter: shape (N, 2, P), in the internal units of `PARAMETERS` (radians, seconds, metres).
        by_turn: by a turn of the camera about east, north, up axes, shape (N, 2, 3).
        by_place: by the thing's place, shape (N, 2, 3), 1/m.
    """

    residual: FloatArray
    by_parameter: FloatArray
    by_turn: FloatArray
    by_place: FloatArray


def corrected(looks: Looks, corrections: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Camera places (N, 3), rotations enu from camera (N, 3, 3), rays in camera (N, 3) and places of the
    things (N, 3) after corrections (P,) in the order and internal units of `PARAMETERS`."""
    delay_s = corrections[5]
    north, east, down = corrections[7:10].tolist()
    camera = looks.camera_in_enu - looks.velocity_enu_mps * delay_s + np.array([east, north, -down])
    rotation = matrix_from_vector_rad(-looks.turn_enu_radps * delay_s) @ looks.enu_from_camera
    in_housing = GIMBAL_FROM_CAMERA.T @ matrix_from_vector_rad(corrections[:3]) @ GIMBAL_FROM_CAMERA
    raised = matrix_from_vector_rad(_right_of(rotation) * corrections[4])
    turned = matrix_from_vector_rad(_DOWN_IN_ENU * corrections[3])
    rays = looks.ray_in_camera * np.array([math.exp(-corrections[6]), math.exp(-corrections[6]), 1.0])
    rays = rays / np.linalg.norm(rays, axis=1, keepdims=True)
    place = looks.place_in_enu - looks.thing_velocity_enu_mps * delay_s
    return camera, turned @ raised @ rotation @ in_housing, rays, place


def slopes(looks: Looks, corrections: FloatArray, offset_m: FloatArray) -> Slopes:
    """Residuals and slopes at corrections (P,) with things moved by `offset_m`, shape (N, 3)."""
    camera, rotation, rays, place = corrected(looks, corrections)
    line = place + offset_m - camera
    slant_m = np.maximum(np.linalg.norm(line, axis=1), 1.0)
    sight = line / slant_m[:, None]
    across = _across(rays)  # (N, 3, 2)
    in_camera = np.einsum("nji,nj->ni", rotation, sight)
    ahead = np.maximum(np.sum(in_camera * rays, axis=1), 0.05)[:, None]
    basis_in_enu = np.swapaxes(rotation @ across, 1, 2)  # (N, 2, 3)
    residual = np.einsum("nji,nj->ni", across, in_camera) / ahead
    by_turn = basis_in_enu @ _cross_matrix(sight)
    by_place = (basis_in_enu - (basis_in_enu @ sight[:, :, None]) * sight[:, None, :]) / slant_m[
        :, None, None
    ]
    count = len(looks)
    by_parameter = np.empty((count, 2, len(PARAMETERS)))
    in_housing = rotation @ GIMBAL_FROM_CAMERA.T
    by_parameter[:, :, :3] = by_turn @ in_housing
    by_parameter[:, :, 3] = by_turn @ _DOWN_IN_ENU
    by_parameter[:, :, 4] = (by_turn @ _right_of(rotation)[:, :, None])[:, :, 0]
    moving = (looks.velocity_enu_mps - looks.thing_velocity_enu_mps)[:, :, None]
    by_parameter[:, :, 5] = (by_place @ moving - by_turn @ looks.turn_enu_radps[:, :, None])[:, :, 0]
    by_parameter[:, :, 6] = np.einsum("nji,nj->ni", across, rays * np.array([1.0, 1.0, 0.0]))
    by_parameter[:, :, 7:10] = -by_place @ _NED_FROM_ENU.T
    return Slopes(residual=residual, by_parameter=by_parameter, by_turn=by_turn, by_place=by_place)


def ground_misses_m(looks: Looks, corrections: FloatArray) -> FloatArray:
    """East and north, shape (N, 2), from where each thing is said to be to where its corrected ray meets the
    level plane through that place; NaN for a ray that does not come down."""
    camera, rotation, rays, place = corrected(looks, corrections)
    in_enu = np.einsum("nij,nj->ni", rotation, rays)
    with np.errstate(invalid="ignore", divide="ignore"):
        slant_m = (place[:, 2] - camera[:, 2]) / in_enu[:, 2]
    miss: FloatArray = (camera + in_enu * slant_m[:, None] - place)[:, :2]
    miss[~(slant_m > 0.0)] = np.nan
    return miss


def internal_units(values: npt.ArrayLike) -> FloatArray:
    """Parameters (..., P) as people read them into radians, seconds and metres."""
    scaled: FloatArray = np.asarray(values, dtype=np.float64) * _INTERNAL
    return scaled


def readable_units(values: npt.ArrayLike) -> FloatArray:
    """The other way."""
    scaled: FloatArray = np.asarray(values, dtype=np.float64) / _INTERNAL
    return scaled


_INTERNAL = np.array([math.radians(1.0) if name.endswith("_deg") else 1.0 for name in PARAMETERS])


def _right_of(rotation: FloatArray) -> FloatArray:
    """Horizontal unit vectors (N, 3) to the right of optical axes; of vertical ones, to the image's right."""
    axis, right = rotation[:, :, 2], rotation[:, :, 0]
    level = np.stack([axis[:, 1], -axis[:, 0], np.zeros(len(axis))], axis=1)
    length = np.linalg.norm(level, axis=1, keepdims=True)
    return np.where(length > 1e-3, level / np.maximum(length, 1e-12), right)


def _across(rays: FloatArray) -> FloatArray:
    """Two unit vectors square to each ray and to each other, shape (N, 3, 2)."""
    right = np.zeros_like(rays)
    right[:, 0] = 1.0
    right -= rays * rays[:, :1]
    right /= np.linalg.norm(right, axis=1, keepdims=True)
    return np.stack([right, np.cross(rays, right)], axis=2)


def _cross_matrix(vectors: FloatArray) -> FloatArray:
    """Matrices (N, 3, 3) that give the cross product of each vector with another."""
    x, y, z = vectors.T
    zero = np.zeros_like(x)
    return np.stack(
        [np.stack([zero, -z, y], 1), np.stack([z, zero, -x], 1), np.stack([-y, x, zero], 1)], axis=1
    )
