"""How a camera was turned and where it was through a whole flight, as one smooth curve over time.

The pose buffer answers about the last minute, one instant at a time. Calibration asks about a whole flight,
at thousands of instants that move with the offset it looks for; so this is columns, cubic between samples.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from skywarden.clock import NS_PER_S
from skywarden.errors import InputError
from skywarden.geometry import geodesy, rotations
from skywarden.geometry.pose import CameraPose

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

MIN_POSES = 4


@dataclass(frozen=True, kw_only=True, eq=False)
class AttitudeHistory:
    """Camera poses of one flight in order of time, as the telemetry told them.

    Attributes:
        times_ns: (M,) UTC, strictly rising.
        q_ned_camera: (M, 4) quaternions w, x, y, z, which turn camera axes into north-east-down.
        position_ned_m: (M, 3) in the ned axes of the first place; None where only attitude is known.
        velocity_ned_mps: (M, 3) as told; None where only attitude is known.
        height_m: (M,) above level ground; NaN where that is not known; None as above.
    """

    times_ns: IntArray
    q_ned_camera: FloatArray
    position_ned_m: FloatArray | None = None
    velocity_ned_mps: FloatArray | None = None
    height_m: FloatArray | None = None

    def __post_init__(self) -> None:
        """Refuse what is no history: too few samples, times that do not rise, columns of other lengths."""
        count = len(self.times_ns)
        if count < MIN_POSES:
            raise InputError(f"an attitude history of {count} samples; at least {MIN_POSES} are needed")
        if bool((np.diff(self.times_ns) <= 0).any()):
            raise InputError("the times of an attitude history do not rise strictly")
        columns = {"q_ned_camera": (count, 4), "position_ned_m": (count, 3), "velocity_ned_mps": (count, 3)}
        for name, shape in (columns | {"height_m": (count,)}).items():
            column = getattr(self, name)
            if column is not None and np.shape(column) != shape:
                raise InputError(
                    f"{name} of an attitude history has shape {np.shape(column)}, expected {shape}"
                )
        rotations.unit_quaternion(self.q_ned_camera)

    @classmethod
    def from_poses(cls, poses: Iterable[CameraPose]) -> "AttitudeHistory":
        """The history of camera poses in any order; of two with one time the later in order counts.

        Raises `InputError` for fewer than 4 instants.
        """
        by_time = {pose.time_ns: pose for pose in poses}
        ordered = _thinned([by_time[time_ns] for time_ns in sorted(by_time)])
        if len(ordered) < MIN_POSES:
            raise InputError(
                f"an attitude history of {len(ordered)} samples; at least {MIN_POSES} are needed"
            )
        first = ordered[0]
        heights = np.array([pose.alt_hae_m for pose in ordered])
        places = (
            np.array([pose.latitude_deg for pose in ordered]),
            np.array([pose.longitude_deg for pose in ordered]),
            heights,
        )
        origin = first.latitude_deg, first.longitude_deg, first.alt_hae_m
        ground = [np.nan if pose.level_alt_hae_m is None else pose.level_alt_hae_m for pose in ordered]
        return cls(
            times_ns=np.array([pose.time_ns for pose in ordered], dtype=np.int64),
            q_ned_camera=rotations.quaternion_from_matrix(
                np.array([pose.rotation_ned_from_camera for pose in ordered])
            ),
            position_ned_m=geodesy.ned_from_geodetic(places, *origin),
            velocity_ned_mps=np.array([pose.velocity_ned_mps for pose in ordered]),
            height_m=heights - np.array(ground),
        )

    @cached_property
    def _seconds(self) -> FloatArray:
        return np.asarray((self.times_ns - self.times_ns[0]) / NS_PER_S, dtype=np.float64)

    @cached_property
    def _quaternions(self) -> tuple[FloatArray, FloatArray]:
        """Quaternions of one sign and unit length, smoothed where samples are dense; and their slopes."""
        q = np.array(rotations.unit_quaternion(self.q_ned_camera))
        signs = np.cumprod(np.where(np.sum(q[1:] * q[:-1], axis=1) < 0.0, -1.0, 1.0))
        q[1:] *= signs[:, None]
        q = _smoothed(self._seconds, q)
        return q, _tangents(self._seconds, q)

    def gaps(self, longest_s: float) -> list[tuple[int, int]]:
        """Begin and end (ns) of each hole between samples of more than `longest_s`."""
        wide = np.nonzero(np.diff(self.times_ns) > longest_s * NS_PER_S)[0]
        return [(int(self.times_ns[index]), int(self.times_ns[index + 1])) for index in wide]

    def seconds(self, times_ns: npt.ArrayLike) -> FloatArray:
        """Seconds since the first sample, as `rotation_at` and `position_at` want them."""
        return np.asarray((np.asarray(times_ns) - self.times_ns[0]) / NS_PER_S, dtype=np.float64)

    def rotation_at(self, seconds: FloatArray) -> FloatArray:
        """Rotations ned from camera, (K, 3, 3), at `seconds` (K,); beyond the ends the end's."""
        q, tangents = self._quaternions
        return rotations.matrix_from_quaternion(_normalised(_hermite(self._seconds, q, tangents, seconds)))

    def position_at(self, seconds: FloatArray) -> tuple[FloatArray, FloatArray] | None:
        """Positions in ned (K, 3) and heights above ground (K,), NaN where unknown; None without any."""
        if self.position_ned_m is None or self.height_m is None:
            return None
        velocity = self.velocity_ned_mps
        tangents = _tangents(self._seconds, self.position_ned_m) if velocity is None else velocity
        place = _hermite(self._seconds, self.position_ned_m, tangents, seconds)
        height = np.interp(seconds, self._seconds, self.height_m)
        return place, height


def _thinned(poses: list[CameraPose]) -> list[CameraPose]:
    """Without those that follow another by less than a third of the usual spacing: slopes would be wild."""
    if len(poses) < MIN_POSES:
        return poses
    usual_ns = float(np.median(np.diff([pose.time_ns for pose in poses])))
    kept = poses[:1]
    for pose in poses[1:]:
        if pose.time_ns - kept[-1].time_ns >= usual_ns / 3:
            kept.append(pose)
    return kept


_SMOOTH_S = 0.1
"""Attitude that comes faster than this is averaged over it: between two frames its noise would rule."""


def _smoothed(seconds: FloatArray, q: FloatArray) -> FloatArray:
    """A triangle of half width `_SMOOTH_S` over samples, even around each so that nothing moves in time."""
    span = float(np.median(np.diff(seconds)))
    half = int(_SMOOTH_S / span)
    if half < 1:
        return q
    total, weights = np.zeros_like(q), np.zeros((len(q), 1))
    for step in range(-half, half + 1):
        here = np.arange(max(0, -step), min(len(q), len(q) - step))
        away_s = np.abs(seconds[here + step] - seconds[here])
        mirror = np.clip(here - step, 0, len(q) - 1)  # as far on the other side, or the mean would lean
        is_even = (here - step == mirror) & (np.abs(seconds[here] - seconds[mirror]) < 2 * _SMOOTH_S)
        weight = np.where(is_even, np.maximum(0.0, 1.0 - away_s / (_SMOOTH_S + span)), float(step == 0))
        total[here] += weight[:, None] * q[here + step]
        weights[here] += weight[:, None]
    return _normalised(total / weights)


def _normalised(q: FloatArray) -> FloatArray:
    unit: FloatArray = q / np.linalg.norm(q, axis=-1, keepdims=True)
    return unit


def _tangents(seconds: FloatArray, values: FloatArray) -> FloatArray:
    """Slopes (M, D) of the parabola through each sample and its neighbours; one-sided at the ends."""
    slope = np.gradient(values, seconds, axis=0)
    return np.asarray(slope, dtype=np.float64)


def _hermite(seconds: FloatArray, values: FloatArray, tangents: FloatArray, wanted: FloatArray) -> FloatArray:
    """Cubic Hermite interpolation of columns (M, D) at `wanted` (K,), constant beyond the ends."""
    index = np.clip(np.searchsorted(seconds, wanted, side="right") - 1, 0, len(seconds) - 2)
    step = (seconds[index + 1] - seconds[index])[:, None]
    part = np.clip((wanted - seconds[index])[:, None] / step, 0.0, 1.0)
    square, cube = part * part, part * part * part
    found: FloatArray = (
        (2 * cube - 3 * square + 1) * values[index]
        + (cube - 2 * square + part) * step * tangents[index]
        + (3 * square - 2 * cube) * values[index + 1]
        + (cube - square) * step * tangents[index + 1]
    )
    return found
