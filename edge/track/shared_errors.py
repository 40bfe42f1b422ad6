"""From places and the pose that saw them to the tracker's measurements, with errors by source.

What each source does to a place follows from the geometry of its ray over level ground: a camera displaced by
c and a ray r turned by d, at slant range s, move the place by P (c + s d), P x = x - r x_down / r_down. The
sum of all sources is then brought, by the lower triangular map in axes along and across the ray, to the
covariance that `edge.geolocation.locate` gave, which knows slopes, curvature and refraction: what the
tracker takes for the whole error is what the sighting states.
"""

import numpy as np
import numpy.typing as npt

from edge.geolocation.locate import Locations
from edge.track.boxes import Boxes, boxes_on_ground
from edge.track.config import TrackerConfig
from edge.track.measurements import Measurements
from edge.track.plane import LocalPlane
from skywarden.geometry.pose import CameraPose

FloatArray = npt.NDArray[np.float64]

SOURCES = ("tilt_right", "tilt_down", "heading", "east", "north", "height", "time")
"""Rotations about the camera's right and down axes (boresight, roll and pitch), about the vertical; GNSS;
camera's height over the surface; frame time against telemetry time."""

TURN_FORGETS_DEG = 90.0
"""A compass errs otherwise on another heading: so much turning makes its error another one."""

_HEADING_SLOWER = 2.0
_TIME_FORGETS_S = 600.0
_MIN_VARIANCE_M2 = 1e-4
MAX_SIGMA_M = 50_000.0
"""A place less known says nothing to a tracker; a pose in doubt by more than its height makes such."""


def measurements_of(
    plane: LocalPlane,
    pose: CameraPose,
    locations: Locations,
    *,
    pixel_rad: FloatArray,
    score: npt.ArrayLike,
    label_index: npt.ArrayLike,
    labels: tuple[str, ...],
    config: TrackerConfig,
    half_box_rad: FloatArray | None = None,
    free: npt.NDArray[np.int8] | None = None,
) -> Measurements:
    """The first M locations (M is the length of `score`) whose status is ok, as measurements in `plane`.

    `pixel_rad`, shape (M, 2), is the one-sigma error of where an object stands in the image, across and down,
    as an angle; of shape (M,) where it is the same both ways. `half_box_rad`, shape (M, 2), is half the width
    and half the height of its box as an angle, `free`, shape (M, 2), which of its edges stand free of the
    image's (`edge.geolocation.box_errors.free_edges`; all without it).
    """
    scores = np.asarray(score, dtype=np.float64)
    count = len(scores)
    is_known = locations.covariance_enu_m2[:count, [0, 1], [0, 1]].sum(axis=1) <= MAX_SIGMA_M**2
    is_placed = np.array([status == "ok" for status in locations.status[:count]], dtype=bool)
    rows = np.flatnonzero(is_placed & is_known)
    total = locations.covariance_enu_m2[rows, :2, :2]
    total[:, [0, 1], [0, 1]] += _MIN_VARIANCE_M2
    azimuth = np.radians(locations.azimuth_deg[rows])
    elevation = np.radians(locations.elevation_deg[rows])
    by_angle, by_rest = _moves(pose, azimuth, elevation, locations.slant_range_m[rows])
    wide_rad = pixel_rad[rows, None] if pixel_rad.ndim == 1 else pixel_rad[rows]
    own = by_angle * wide_rad[:, None, ::-1]  # a turn about the right axis moves the ray up and down
    sigmas = pose.sigmas
    tilt_rad = np.radians(np.hypot(sigmas.tilt_deg, sigmas.boresight_deg))
    shared = np.concatenate([by_angle * tilt_rad, by_rest], axis=2)
    to_stated = _onto(total, own, shared, azimuth)
    own, shared = to_stated @ own, to_stated @ shared
    boxes: Boxes | None = None
    if half_box_rad is not None:
        edges = np.zeros((len(rows), 2), dtype=np.int8) if free is None else free[rows]
        slant_m = locations.slant_range_m[rows]
        boxes = boxes_on_ground(to_stated @ by_angle, half_box_rad[rows], slant_m, edges)
    fresh = config.fresh_share
    own_m2 = own @ own.transpose(0, 2, 1) + fresh * (shared @ shared.transpose(0, 2, 1))
    own_m2[:, [0, 1], [0, 1]] += _MIN_VARIANCE_M2
    return Measurements(
        plane.east_north_m(locations.latitude_deg[rows], locations.longitude_deg[rows]),
        own_m2,
        np.sqrt(1.0 - fresh) * shared,
        forget_per_s(config, pose.angular_rate_dps),
        scores[rows],
        np.asarray(label_index, dtype=np.intp)[rows],
        labels,
        rows,
        boxes,
    )


def forget_per_s(config: TrackerConfig, turning_dps: float) -> FloatArray:
    """How fast each of `SOURCES` forgets itself while the camera turns by so many degrees per second."""
    attitude, position = 1.0 / config.attitude_time_s, 1.0 / config.position_time_s
    heading = attitude / _HEADING_SLOWER + abs(turning_dps) / TURN_FORGETS_DEG
    return np.array(
        [attitude, attitude, heading, position, position, position, 1.0 / _TIME_FORGETS_S], dtype=np.float64
    )


def _moves(
    pose: CameraPose, azimuth: FloatArray, elevation: FloatArray, slant_m: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Where errors take places, east and north: metres per radian about the camera's right and down axes
    (N, 2, 2), and metres per sigma of heading, east, north, height and time (N, 2, 5)."""
    level = np.cos(elevation)
    ray = np.stack([level * np.cos(azimuth), level * np.sin(azimuth), -np.sin(elevation)], axis=1)
    sigmas = pose.sigmas
    turn = pose.angular_velocity_ned_dps
    turn_dps = np.array([0.0, 0.0, pose.angular_rate_dps]) if turn is None else np.asarray(turn, np.float64)
    axes = np.empty((4, 3))  # what the ray turns about: camera right, camera down, vertical, as it turns now
    axes[:2] = pose.rotation_ned_from_camera[:, :2].T
    axes[2] = (0.0, 0.0, np.radians(sigmas.heading_deg))
    axes[3] = np.radians(turn_dps) * sigmas.time_offset_s
    x, y, z = ray.T
    ax, ay, az = axes.T[:, None, :]
    turned = np.stack([ay * z[:, None] - az * y[:, None], az * x[:, None] - ax * z[:, None]], axis=1)
    sunk = ax * y[:, None] - ay * x[:, None]
    velocity = np.asarray(pose.velocity_ned_mps, dtype=np.float64) * sigmas.time_offset_s
    down = z[:, None]
    slope = (ray[:, :2] / down)[:, :, None]  # horizontal metres per metre of height
    moved = slant_m[:, None, None] * (turned - slope * sunk[:, None, :])
    moved[:, :, 3] += velocity[:2] - slope[:, :, 0] * velocity[2]
    rest = np.zeros((len(ray), 2, 5))
    rest[:, :, 0] = moved[:, :, 2]
    rest[:, 1, 1] = rest[:, 0, 2] = sigmas.horizontal_m
    rest[:, :, 3] = slope[:, :, 0] * sigmas.vertical_m
    rest[:, :, 4] = moved[:, :, 3]
    return moved[:, ::-1, :2], rest[:, ::-1, :]  # north, east -> east, north


def _onto(total: FloatArray, own: FloatArray, shared: FloatArray, azimuth: FloatArray) -> FloatArray:
    """Maps (N, 2, 2) that make own own^T + shared shared^T the stated total (N, 2, 2)."""
    sine, cosine = np.sin(azimuth), np.cos(azimuth)
    axes = np.stack([np.stack([sine, cosine], axis=1), np.stack([cosine, -sine], axis=1)], axis=2)
    parts = np.concatenate([own, shared], axis=2)
    modelled = parts @ parts.transpose(0, 2, 1)
    modelled[:, [0, 1], [0, 1]] += _MIN_VARIANCE_M2
    wanted_root, model_root = (
        np.linalg.cholesky(axes.transpose(0, 2, 1) @ each @ axes) for each in (total, modelled)
    )
    a, b, c = model_root[:, 0, 0], model_root[:, 1, 0], model_root[:, 1, 1]
    inverse = np.zeros_like(model_root)
    inverse[:, 0, 0], inverse[:, 1, 1], inverse[:, 1, 0] = 1.0 / a, 1.0 / c, -b / (a * c)
    mapped: FloatArray = axes @ (wanted_root @ inverse) @ axes.transpose(0, 2, 1)
    return mapped
