"""What the picture's motion and the telemetry's differ by, as rotations, for any offset in time.

The telemetry's poses, moved by the offset, carry the anchors of the first image onto level ground and into
the second image. What is left between there and where the picture says they went is read as a small rotation
about the camera's axes. Besides the offset there are nuisances with priors: boresight, height above ground,
focal length and a constant turn.
"""

import math
from functools import cached_property

import numpy as np
import numpy.typing as npt

from edge.calibration.attitude import AttitudeHistory
from edge.calibration.image_motion import ImageMotion
from skywarden.clock import NS_PER_S
from skywarden.geometry import rotations

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
IntpArray = npt.NDArray[np.intp]

OFFSET = 0
NUISANCES = slice(1, 9)
"""Boresight in camera axes (3, rad), log of height, log of focal length, constant turn (3, rad/s)."""
BY_TURNING = [0, 1, 2, 4]
DRIFT = 9
COUNT = 10

_STEPS = np.array([0.01, 1e-4, 1e-4, 1e-4, 1e-3, 1e-4, 1e-4, 1e-4, 1e-4, 1e-5])
_UNKNOWN_HEIGHT_M = 100.0
_FLOOR_PX = 0.3
_WINDOW_S = 0.4
_SLOW_S = 10.0


class MotionResidual:
    """Residuals of the chosen pairs (N,) of a motion against an attitude history.

    Attributes:
        reference_ns: the frame time at which an offset with drift is the offset.
        since_s, span_s: (N,) middle of each pair since the first frame; from the first frame to the last.
        from_reference_s: (N,) middle of each pair since `reference_ns`.
        spacing_s: usual time between the frames of a pair that follow each other.
        prior_sigma: (10,) of all parameters; wide open for offset and drift.
        noise_floor: radians; smaller residuals are no better.
    """

    def __init__(self, motion: ImageMotion, attitude: AttitudeHistory, chosen: IntpArray) -> None:
        self._attitude = attitude
        self._anchors = motion.anchors
        self._moved = motion.moved[chosen]
        self._start_ns, self._end_ns = motion.start_ns[chosen], motion.end_ns[chosen]
        self._first, self._last = attitude.seconds(self._start_ns), attitude.seconds(self._end_ns)
        self.noise_floor = _FLOOR_PX / motion.focal_px
        self._rotation_of = _rotation_of(self._moved, motion.covariance[chosen], self.noise_floor)
        begin, end = int(self._start_ns.min()), int(self._end_ns.max())
        self.span_s = (end - begin) / NS_PER_S
        self.reference_ns = (begin + end) // 2
        middle = (self._first + self._last) / 2
        self.since_s = middle - float(attitude.seconds(begin))
        self._reference_s = float(attitude.seconds(self.reference_ns))
        self.from_reference_s = middle - self._reference_s
        self.links = _links(self._start_ns, self._end_ns)
        self.spacing_s = (
            float(np.median(np.diff(np.unique(self._end_ns)))) / NS_PER_S if len(chosen) > 2 else 0.0
        )
        self.frames = len(np.unique(self._end_ns))
        has_places = attitude.height_m is not None
        has_heights = has_places and bool(np.isfinite(np.asarray(attitude.height_m)).any())
        turn = math.radians(0.5 if has_places else 20.0)
        self.prior_sigma = np.array(
            [10.0, *[math.radians(3.0)] * 3, 0.3 if has_heights else 1.5, 0.05, *[turn] * 3, 0.01]
        )

    def parameters(self, offset_s: float) -> FloatArray:
        """Parameters (10,) with an offset and nothing else."""
        found = np.zeros(COUNT)
        found[OFFSET] = offset_s
        return found

    def time_of(self, part: float) -> int:
        """The frame time at a part (0..1) of the span."""
        return self.reference_ns + int((part - 0.5) * self.span_s * NS_PER_S)

    @cached_property
    def frame_pairs(self) -> list[IntpArray]:
        """By frame, the pairs that it belongs to."""
        frames = np.unique(np.concatenate([self._start_ns, self._end_ns]))
        return [np.nonzero((self._start_ns == each) | (self._end_ns == each))[0] for each in frames]

    def at(self, parameters: FloatArray) -> FloatArray:
        """Rotations (N, 3) in radians that carry what the telemetry predicts onto what the picture shows."""
        away = self._moved - self._predicted(parameters)
        rate = parameters[6:9] * (self._last - self._first)[:, None]
        turned: FloatArray = np.einsum("nij,nj->ni", self._rotation_of, away.reshape(len(away), 8)) - rate
        return turned

    def slope(self, parameters: FloatArray, free: IntpArray) -> FloatArray:
        """Change of `at` by each free parameter, (N, 3, P), by central differences."""
        columns = []
        for index in free:
            step = np.zeros(COUNT)
            step[index] = _STEPS[index]
            columns.append((self.at(parameters + step) - self.at(parameters - step)) / (2 * _STEPS[index]))
        return np.stack(columns, axis=-1)

    def nuisance_columns(self) -> FloatArray:
        """Change of `at` by the nuisances, (N, 3, 8), where they turn as the picture turns.

        The picture's turning takes the place of the telemetry's: columns with the telemetry's noise in them
        would explain that noise away at the one offset at which they were made.
        """
        plain = self.parameters(0.0)
        columns = self.slope(plain, np.arange(COUNT)[NUISANCES])
        columns[:, :, BY_TURNING] = -self.by_turning(self.turning(plain) + self.at(plain))
        return columns

    def by_turning(self, seen: FloatArray) -> FloatArray:
        """Less the change of `at` by boresight and focal length, (N, 3, 4), of a turning (N, 3)."""
        boresight = np.cross(seen[:, None, :], np.eye(3)[None])  # (N, parameter, axis)
        found = np.zeros((len(seen), 3, 4))
        found[:, :, :3] = np.swapaxes(boresight, 1, 2)
        found[:, :2, 3] = -seen[:, :2]
        return found

    def without_slow(self, values: FloatArray) -> FloatArray:
        """Rows (N, ...) of a series less their mean over `_SLOW_S` around each.

        What changes that slowly is drift of the receiver, swell, current and what a plane is not; all of it
        goes round with the sight when a camera sweeps, and would pass for lateness.
        """
        half = round(_SLOW_S / 2 / max(self.spacing_s, 1e-3))
        total = np.concatenate([np.zeros((1, *values.shape[1:])), np.cumsum(values, axis=0)])
        index = np.arange(len(values))
        first, last = np.maximum(index - half, 0), np.minimum(index + half, len(values) - 1)
        reach = np.minimum(index - first, last - index)  # even on both sides, or the mean would lean
        reach = np.where(reach < half // 2, half // 2, reach)
        first, last = np.maximum(index - reach, 0), np.minimum(index + reach, len(values) - 1)
        count = (last + 1 - first).reshape(-1, *[1] * (values.ndim - 1))
        left: FloatArray = values - (total[last + 1] - total[first]) / count
        return left

    def in_windows(self, values: FloatArray) -> FloatArray:
        """Sums (K, ...) over `_WINDOW_S` of rows that follow each other; else the rows themselves."""
        count = max(1, round(_WINDOW_S / max(self.spacing_s, 1e-3)))
        if count == 1 or self.spacing_s > _WINDOW_S:
            return values
        total = np.concatenate([np.zeros((1, *values.shape[1:])), np.cumsum(values, axis=0)])
        breaks = np.cumsum(self.links < 0)
        first = np.arange(len(values) - count + 1)
        first = first[breaks[first] == breaks[first + count - 1]]
        if len(first) < len(values) // 2:
            return values
        sums: FloatArray = total[first + count] - total[first]
        return sums

    def turning(self, parameters: FloatArray) -> FloatArray:
        """How the telemetry says that the scene turned about the camera, (N, 3) radians a pair."""
        first, last = self._moments(parameters)
        turned = np.swapaxes(self._rotation(last, parameters), 1, 2) @ self._rotation(first, parameters)
        return _vector(turned)

    def change_of_turning(self, seen: FloatArray) -> tuple[FloatArray, BoolArray]:
        """Acceleration of the picture's own turning times the pair's length, (N, 3), and where it is known.

        It is what the residual changes by when the offset grows, told by the pictures alone.
        """
        length = (self._last - self._first)[:, None]
        rate = seen / length
        middle = (self._first + self._last) / 2
        change, is_known = np.zeros_like(seen), np.zeros(len(seen), dtype=bool)
        inner = np.arange(1, len(seen) - 1)
        inner = inner[(self.links[inner] == inner - 1) & (self.links[inner + 1] == inner)]
        change[inner] = (rate[inner + 1] - rate[inner - 1]) / (middle[inner + 1] - middle[inner - 1])[:, None]
        is_known[inner] = True
        return -change * length, is_known

    def agreement(self, parameters: FloatArray) -> tuple[float, float]:
        """Correlation of the picture's turning with the telemetry's, and the rms of what they share, deg/s.

        Noise of one is not in the other, so it does not count as motion.
        """
        is_next = np.concatenate([[True], np.diff(self._end_ns) > 0]) | (self.links >= 0)
        length = (self._last - self._first)[is_next, None]
        told = self.turning(parameters)[is_next] / length
        seen = told + self.at(parameters)[is_next] / length
        if not len(told):
            return 0.0, 0.0
        told, seen = told - np.median(told, axis=0), seen - np.median(seen, axis=0)
        limit = 6.0 * np.maximum(1.4826 * np.median(np.abs(seen), axis=0), 1e-9)
        is_sane = np.all(np.abs(seen) < limit, axis=1)
        if int(is_sane.sum()) < 3:
            return 0.0, 0.0
        told, seen = told[is_sane] - told[is_sane].mean(axis=0), seen[is_sane] - seen[is_sane].mean(axis=0)
        shared, own = float(np.sum(told * seen)), math.sqrt(float(np.sum(told**2) * np.sum(seen**2)))
        shared_dps = math.degrees(math.sqrt(max(0.0, shared) / max(1, len(told))))
        return shared / max(own, 1e-30), shared_dps

    def _moments(self, parameters: FloatArray) -> tuple[FloatArray, FloatArray]:
        offset, drift = parameters[OFFSET], parameters[DRIFT]
        first = self._first - offset - drift * (self._first - self._reference_s)
        last = self._last - offset - drift * (self._last - self._reference_s)
        return first, last

    def _rotation(self, seconds: FloatArray, parameters: FloatArray) -> FloatArray:
        turned: FloatArray = self._attitude.rotation_at(seconds) @ rotations.matrix_from_vector_rad(
            parameters[1:4]
        )
        return turned

    def _predicted(self, parameters: FloatArray) -> FloatArray:
        """Where the anchors go by the telemetry, (N, 4, 2), over level ground; above it they only turn."""
        first, last = self._moments(parameters)
        zoom = math.exp(parameters[5])
        rays = np.concatenate([self._anchors * zoom, np.ones((4, 1))], axis=1)
        points = np.einsum("nij,kj->nki", self._rotation(first, parameters), rays)
        places, places_last = self._attitude.position_at(first), self._attitude.position_at(last)
        if places is not None and places_last is not None:
            height = np.where(np.isfinite(places[1]), np.maximum(places[1], 1.0), _UNKNOWN_HEIGHT_M)
            nearness = np.maximum(points[:, :, 2], 0.0) / (height * math.exp(parameters[4]))[:, None]
            moved = nearness[:, :, None] * (places_last[0] - places[0])[:, None, :]
            points = np.asarray(points - moved, dtype=np.float64)
        seen = np.einsum("nji,nkj->nki", self._rotation(last, parameters), points)
        depth = np.where(seen[:, :, 2:] > 1e-3, seen[:, :, 2:], 1e-3)
        predicted: FloatArray = seen[:, :, :2] / depth / zoom
        return predicted


def _rotation_of(moved: FloatArray, covariance: FloatArray, floor: float) -> FloatArray:
    """What turns residuals of the anchors (N, 8) into rotation vectors, (N, 3, 8); weighted least squares."""
    u, v = moved[:, :, 0], moved[:, :, 1]
    across = np.stack([-u * v, 1 + u * u, -v], axis=-1)
    down = np.stack([-(1 + v * v), u * v, u], axis=-1)
    design = np.stack([across, down], axis=2).reshape(len(moved), 8, 3)
    weight = np.linalg.inv(covariance + floor * floor * np.eye(8))
    weighted = np.swapaxes(design, 1, 2) @ weight
    return np.asarray(np.linalg.solve(weighted @ design, weighted), dtype=np.float64)


def _links(start_ns: npt.NDArray[np.int64], end_ns: npt.NDArray[np.int64]) -> IntpArray:
    """The index of the pair before each when its second frame is this one's first; -1 otherwise."""
    follows = np.concatenate([[False], start_ns[1:] == end_ns[:-1]])
    return np.where(follows, np.arange(len(start_ns)) - 1, -1).astype(np.intp)


def _vector(matrices: FloatArray) -> FloatArray:
    """Rotation vectors (N, 3) in radians of rotation matrices (N, 3, 3), the short way."""
    q = rotations.quaternion_from_matrix(matrices)
    sine = np.linalg.norm(q[:, 1:], axis=1, keepdims=True)
    angle = 2.0 * np.arctan2(sine, q[:, :1])
    vector: FloatArray = q[:, 1:] * np.where(sine > 1e-12, angle / np.maximum(sine, 1e-12), 2.0)
    return vector
