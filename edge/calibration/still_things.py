"""Things that stand still under a camera with coarse telemetry: what all looks of a frame say together.

A look's residual is the angle between where a box is and where the thing's place would be seen. What the
telemetry gets wrong in a frame (its angles, between two samples above all) turns all looks of that frame
alike; so a frame's residuals have one joint covariance: angles *between* things count by the pixel, angles of
the telemetry by their own sigma. Places of the things are estimated with the parameters.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge.calibration.attitude import AttitudeHistory
from skywarden.geometry import rotations

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
IntpArray = npt.NDArray[np.intp]
BoolArray = npt.NDArray[np.bool_]

LOG_FOCAL, PITCH, ROLL, HEADING, TIME, HEIGHT = range(6)
"""Log of focal length in image widths; pitch, roll, heading bias (rad); time offset (s); height bias (m)."""
USUAL_DEG = 62.0
PRIOR = np.array([0.3, math.radians(1.0), math.radians(1.0), math.radians(3.0), 0.5, 3.0])
"""One sigma of each about a usual field of view and no bias."""
LOWEST = 0.04
"""Rays flatter than this (sine, 2.3 degrees) meet the surface nowhere in particular."""
_STEP = np.array([1e-4, 1e-5, 1e-5, 1e-5, 1e-2, 1e-2])
ANGLE_NOISE_RAD = 3e-3
_TIME_NOISE_S = 0.3
_PLACE_NOISE_M = 0.5
_BOX_NOISE_PX = 2.0
_HUBER = 2.0
_INDEPENDENT_S = 2.0
_KEPT = 4
_REACH_M = 40.0
"""A place moves no farther in one step."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Boxes:
    """Boxes of one video as columns.

    Attributes:
        time_ns: (N,) of their frames.
        centre_px: (N, 2) of the part that touches the water: the middle of the lower edge.
        label: (N,) words; only equal ones are taken for the same thing.
        width_px, height_px: of the image.
    """

    time_ns: IntArray
    centre_px: FloatArray
    label: Sequence[str]
    width_px: int
    height_px: int


def log_focal(hfov_deg: float) -> float:
    """Log of the focal length in image widths."""
    return -math.log(2 * math.tan(math.radians(hfov_deg) / 2))


def hfov_of(log_focal_length: float) -> float:
    """Degrees, of a log of the focal length in image widths."""
    return math.degrees(2 * math.atan(0.5 * math.exp(-log_focal_length)))


class Sights:
    """Boxes in order of time as rays, and the telemetry at their moments under any parameters."""

    def __init__(self, boxes: Boxes, attitude: AttitudeHistory) -> None:
        order = np.argsort(boxes.time_ns, kind="stable")
        self.seconds = attitude.seconds(boxes.time_ns[order])
        self.labels = [boxes.label[index] for index in order]
        self.width_px = boxes.width_px
        middle = np.array([(boxes.width_px - 1) / 2, (boxes.height_px - 1) / 2])
        self._plane = (boxes.centre_px[order] - middle) / boxes.width_px
        self._attitude = attitude
        self.moments, self.frame = np.unique(self.seconds, return_inverse=True)
        samples = attitude.seconds(attitude.times_ns)
        self._samples = samples
        self._kept: dict[float, tuple[FloatArray, FloatArray, FloatArray]] = {}
        turned = attitude.rotation_at(samples)
        self._turns = _vectors(np.swapaxes(turned[:-1], 1, 2) @ turned[1:])

    def turn(self, time_offset_s: float) -> FloatArray:
        """The turn in camera axes between the two samples of telemetry around each look, (N, 3), rad."""
        index = np.searchsorted(self._samples, self.seconds - time_offset_s, side="right") - 1
        return np.asarray(self._turns[np.clip(index, 0, len(self._turns) - 1)], dtype=np.float64)

    def turn_rad(self, time_offset_s: float) -> FloatArray:
        """How large that turn is, (N,)."""
        return np.asarray(np.linalg.norm(self.turn(time_offset_s), axis=1), dtype=np.float64)

    def doubt(self, time_offset_s: float) -> FloatArray:
        """A square root (N, 3, 4) of the covariance of the attitude: noise, and where between two samples."""
        root = np.zeros((len(self.seconds), 3, 4))
        root[:, range(3), range(3)] = ANGLE_NOISE_RAD
        root[:, :, 3] = _TIME_NOISE_S * self.turn(time_offset_s)
        return root

    def speed_mps(self, time_offset_s: float) -> FloatArray:
        """Of the platform at each look, over a second, (N,)."""
        seconds = self.seconds - time_offset_s
        ends = [self._attitude.position_at(seconds + away) for away in (-0.5, 0.5)]
        assert ends[0] is not None
        assert ends[1] is not None
        return np.asarray(np.linalg.norm((ends[1][0] - ends[0][0])[:, :2], axis=1), dtype=np.float64)

    def plane(self, parameters: FloatArray) -> FloatArray:
        """Boxes on the plane at distance 1 before the camera, (N, 2)."""
        seen: FloatArray = self._plane * math.exp(-parameters[LOG_FOCAL])
        return seen

    def _pose(self, parameters: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Ned from camera (N, 3, 3), place (N, 2) and height above the surface (N,)."""
        told, place, height = self._told(float(parameters[TIME]))
        tilt = rotations.matrix_from_vector_rad(np.array([parameters[PITCH], 0.0, parameters[ROLL]]))
        turn = rotations.matrix_from_vector_rad(np.array([0.0, 0.0, parameters[HEADING]]))
        matrix: FloatArray = turn @ told @ tilt
        return matrix, place, np.maximum(height + parameters[HEIGHT], 0.5)

    def _told(self, time_offset_s: float) -> tuple[FloatArray, FloatArray, FloatArray]:
        """What the telemetry says with that offset; the last few are kept, most steps change other things."""
        if time_offset_s not in self._kept:
            seconds = self.seconds - time_offset_s
            found = self._attitude.position_at(seconds)
            assert found is not None
            if len(self._kept) >= _KEPT:
                del self._kept[next(iter(self._kept))]
            self._kept[time_offset_s] = self._attitude.rotation_at(seconds), found[0][:, :2], found[1]
        return self._kept[time_offset_s]

    def places(
        self, parameters: FloatArray, plane: FloatArray | None = None
    ) -> tuple[FloatArray, FloatArray, BoolArray]:
        """North and east (N, 2), their change by small turns up and sideways (N, 2, 2), and which exist.

        `plane` (N, 2) instead of the boxes' own. Rays too flat are taken as `LOWEST`.
        """
        matrix, place, height = self._pose(parameters)
        plane = self.plane(parameters) if plane is None else plane
        rays = np.concatenate([plane, np.ones((len(plane), 1))], axis=1)
        rays /= np.linalg.norm(rays, axis=1, keepdims=True)
        sight = np.einsum("nij,nj->ni", matrix, rays)
        is_seen = (sight[:, 2] > LOWEST) & np.isfinite(height)
        down = np.maximum(sight[:, 2], LOWEST)
        reach = np.where(np.isfinite(height), height, 1.0) / down
        level = np.maximum(np.hypot(sight[:, 0], sight[:, 1]), 1e-9)
        along = sight[:, :2] / level[:, None]
        across = np.stack([-along[:, 1], along[:, 0]], axis=1)
        # turning the ray up by an angle moves the point out by reach / sine; sideways by reach
        change = np.stack([along * (reach / down)[:, None], across * reach[:, None]], axis=2)
        return place + sight[:, :2] * reach[:, None], change, is_seen

    def angles(self, parameters: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Bearing and elevation of the boxes (N, 2), rad; place and height of the platform (N, 3)."""
        matrix, place, height = self._pose(parameters)
        plane = self.plane(parameters)
        sight = np.einsum("nij,nj->ni", matrix, np.concatenate([plane, np.ones((len(plane), 1))], axis=1))
        bearing = np.arctan2(sight[:, 1], sight[:, 0])
        elevation = -np.arctan2(sight[:, 2], np.hypot(sight[:, 0], sight[:, 1]))
        station = np.concatenate([place, np.nan_to_num(height, nan=1.0)[:, None]], axis=1)
        return np.stack([bearing, elevation], axis=1), station

    def residuals(self, parameters: FloatArray, spots: FloatArray) -> FloatArray:
        """Boxes less where the spots (N, 2) on the surface would be seen, on the plane, (N, 2)."""
        matrix, place, height = self._pose(parameters)
        away = np.concatenate([spots - place, height[:, None]], axis=1)
        seen = np.einsum("nji,nj->ni", matrix, away)
        found: FloatArray = self.plane(parameters) - seen[:, :2] / np.maximum(seen[:, 2:], 1e-3)
        return found


def _vectors(matrices: FloatArray) -> FloatArray:
    """Rotation vectors (M, 3) of matrices (M, 3, 3) that turn by less than half a circle."""
    skew = np.stack(
        [
            matrices[:, 2, 1] - matrices[:, 1, 2],
            matrices[:, 0, 2] - matrices[:, 2, 0],
            matrices[:, 1, 0] - matrices[:, 0, 1],
        ],
        axis=1,
    )
    angle = np.arccos(np.clip((np.trace(matrices, axis1=1, axis2=2) - 1) / 2, -1.0, 1.0))
    found: FloatArray = skew * (0.5 / np.maximum(np.sinc(angle / math.pi), 1e-6))[:, None]
    return found


def turning(plane: FloatArray) -> FloatArray:
    """Change of points (N, 2) on the plane by small turns of the camera about its axes, (N, 2, 3)."""
    u, v = plane[:, 0], plane[:, 1]
    first = np.stack([u * v, -(1 + u * u), v], axis=1)
    second = np.stack([1 + v * v, -u * v, -u], axis=1)
    return np.stack([first, second], axis=1)


@dataclass(slots=True)
class Fit:
    """Where a fit stands: parameters (6,), spots (T, 2) of the things, robust weights (N,), and its cost."""

    parameters: FloatArray
    spots: FloatArray
    weights: FloatArray
    cost: float = math.inf


class StillFit:
    """Levenberg-Marquardt over parameters and places of things, frames' turns marginalised.

    `things` (N,) says which thing each look is, -1 for none.
    """

    def __init__(self, sights: Sights, things: IntpArray) -> None:
        self.sights, self.things = sights, things
        self.count = int(things.max(initial=-1)) + 1
        self.used = np.nonzero(things >= 0)[0]
        frames, frame = np.unique(sights.frame[self.used], return_inverse=True)
        self.frames = len(frames)
        rank = np.zeros(len(frame), dtype=np.intp)
        for index in range(1, len(frame)):  # looks are in order of time, so a frame's are neighbours
            rank[index] = rank[index - 1] + 1 if frame[index] == frame[index - 1] else 0
        self.slot = frame, rank
        self.deep = int(rank.max(initial=0)) + 1
        span_s = float(np.ptp(sights.seconds[self.used])) if len(self.used) else 0.0
        self.alike = max(1.0, self.frames / max(1.0, span_s / _INDEPENDENT_S))
        """So many neighbouring frames share their errors."""

    def start(self, parameters: FloatArray) -> Fit:
        """Each thing at the median of where its looks fall."""
        points, _, _ = self.sights.places(parameters)
        spots = np.array([np.median(points[self.things == thing], axis=0) for thing in range(self.count)])
        return Fit(parameters.copy(), spots.reshape(-1, 2), np.ones(len(self.used)))

    def run(self, fit: Fit, iterations: int) -> Fit:
        """Better by at most so many steps."""
        damping = 1e-3
        fit = self._weighed(fit)
        for _ in range(iterations):
            normal, pull = self._normal(fit)
            for _ in range(5):
                damped = normal + damping * np.diag(np.diagonal(normal))
                step = np.asarray(np.linalg.solve(damped, pull), dtype=np.float64)
                tried = self._moved(fit, step)
                if tried.cost < fit.cost:
                    break
                damping = min(damping * 8.0, 1e6)
            else:
                return fit
            gain = fit.cost - tried.cost
            damping = max(damping / 8.0, 1e-6)
            fit = self._weighed(tried)
            if gain < 1e-3:
                break
        return fit

    def _moved(self, fit: Fit, step: FloatArray) -> Fit:
        parameters = fit.parameters + np.clip(step[:6], -0.25, 0.25) * [1, 1, 1, 1, 1, 8]
        parameters[HEIGHT] = fit.parameters[HEIGHT] + float(np.clip(step[HEIGHT], -2.0, 2.0))
        parameters[LOG_FOCAL] = np.clip(parameters[LOG_FOCAL], log_focal(110.0), log_focal(15.0))
        spots = fit.spots + np.clip(step[6:].reshape(-1, 2), -_REACH_M, _REACH_M)
        moved = Fit(parameters, spots, fit.weights)
        moved.cost = self.cost(moved)
        return moved

    def _weighed(self, fit: Fit) -> Fit:
        """The same with Huber weights of the looks, from what a turn of the frame leaves of them."""
        left, own = self.leftover(fit)
        size = np.sqrt(np.einsum("ni,nij,nj->n", left, np.linalg.inv(own), left))
        weighed = Fit(fit.parameters, fit.spots, np.minimum(1.0, _HUBER / np.maximum(size, 1e-9)))
        weighed.cost = self.cost(weighed)
        return weighed

    def cost(self, fit: Fit) -> float:
        """Half of minus twice the log likelihood in pixels, priors included."""
        left, _, own, turns, doubt = self._looks(fit)
        lower = np.linalg.cholesky(self._joint(own / fit.weights[:, None, None], turns @ doubt))
        white = np.linalg.solve(lower, self._padded(left[:, :, None]))
        logs = 2 * float(np.sum(np.log(np.diagonal(lower, axis1=1, axis2=2))))
        focal = 4 * len(self.used) * fit.parameters[LOG_FOCAL]
        away = self._from_prior(fit.parameters)
        return 0.5 * float(float(np.sum(white**2)) + logs + focal + self.alike * float(np.sum(away**2)))

    def leftover(self, fit: Fit) -> tuple[FloatArray, FloatArray]:
        """Residuals (N, 2) less each frame's most likely turn, and each look's own covariance (N, 2, 2)."""
        left, _, own, turns, doubt = self._looks(fit)
        frames = self.frame_turns(left, own / fit.weights[:, None, None], turns, doubt)
        return left - np.einsum("nij,nj->ni", turns, frames[self.slot[0]]), own

    def frame_turns(
        self, left: FloatArray, own: FloatArray, turns: FloatArray, doubt: FloatArray
    ) -> FloatArray:
        """The most likely small turn of each frame (F, 3), by all its looks."""
        joint, tall = self._joint(own, turns @ doubt), self._padded(turns @ doubt)
        solved = np.linalg.solve(joint, self._padded(left[:, :, None]))
        root = np.zeros((self.frames, 3, 4))
        root[self.slot[0]] = doubt
        found: FloatArray = (root @ np.swapaxes(tall, 1, 2) @ solved)[:, :, 0]
        return found

    def told_by_others(self, fit: Fit) -> tuple[FloatArray, BoolArray]:
        """Looks on the plane, the frame's turn by its *other* looks taken off (N, 2); which have others."""
        left, _, own, turns, doubt = self._looks(fit)
        plane = self.sights.plane(fit.parameters)[self.used]
        rank = self.slot[1]
        has_others = np.bincount(self.slot[0], minlength=self.frames)[self.slot[0]] > 1
        for place in range(self.deep):
            mine = rank == place
            weaker = own / fit.weights[:, None, None]
            weaker[mine] *= 1e8
            frames = self.frame_turns(left, weaker, turns, doubt)
            plane[mine] -= np.einsum("nij,nj->ni", turns[mine], frames[self.slot[0][mine]])
        return plane, has_others

    def _looks(self, fit: Fit) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]:
        """Residuals, their change by the spot, own covariances, turns, attitude's doubt; of used looks."""
        used, sights = self.used, self.sights
        spots = np.zeros((len(self.things), 2))
        spots[used] = fit.spots[self.things[used]]
        left = sights.residuals(fit.parameters, spots)[used]
        by_spot = np.stack(
            [
                (sights.residuals(fit.parameters, spots + nudge)[used] - left) / 0.01
                for nudge in (np.array([0.01, 0.0]), np.array([0.0, 0.01]))
            ],
            axis=2,
        )
        pixel = _BOX_NOISE_PX / sights.width_px * math.exp(-fit.parameters[LOG_FOCAL])
        own = by_spot @ np.swapaxes(by_spot, 1, 2) * _PLACE_NOISE_M**2 + pixel**2 * np.eye(2)
        turns = turning(sights.plane(fit.parameters)[used])
        return left, by_spot, own, turns, sights.doubt(fit.parameters[TIME])[used]

    def _padded(self, columns: FloatArray) -> FloatArray:
        """(N, 2, C) of looks as (F, 2 K, C) of frames, zeros where a frame has fewer looks."""
        whole = np.zeros((self.frames, self.deep, *columns.shape[1:]))
        whole[self.slot] = columns
        return whole.reshape(self.frames, 2 * self.deep, columns.shape[2])

    def _joint(self, own: FloatArray, shared: FloatArray) -> FloatArray:
        """Covariances of frames (F, 2 K, 2 K): own noise of looks, and what they share, (N, 2, 4) a root."""
        tall = self._padded(shared)
        joint = tall @ np.swapaxes(tall, 1, 2)
        blocks = np.tile(np.eye(2), (self.frames, self.deep, 1, 1))
        blocks[self.slot] = own
        for place in range(self.deep):
            joint[:, 2 * place : 2 * place + 2, 2 * place : 2 * place + 2] += blocks[:, place]
        return joint

    def _from_prior(self, parameters: FloatArray) -> FloatArray:
        middle = np.zeros(6)
        middle[LOG_FOCAL] = log_focal(USUAL_DEG)
        away: FloatArray = (parameters - middle) / PRIOR
        return away

    def normal(self, fit: Fit) -> FloatArray:
        """Inverse covariance of parameters and places, (6 + 2 T, 6 + 2 T), frames counted one by one."""
        return self._normal(fit)[0]

    def _normal(self, fit: Fit) -> tuple[FloatArray, FloatArray]:
        """Normal matrix and right side for a step in parameters and places."""
        left, by_spot, own, turns, doubt = self._looks(fit)
        spots = np.zeros((len(self.things), 2))
        spots[self.used] = fit.spots[self.things[self.used]]
        columns = np.zeros((len(self.used), 2, 6 + 2 * self.count))
        for index in range(6):
            step = np.zeros(6)
            step[index] = _STEP[index]
            ahead = self.sights.residuals(fit.parameters + step, spots)[self.used]
            columns[:, :, index] = (ahead - left) / _STEP[index]
        rows = np.arange(len(self.used))
        for axis in range(2):
            columns[rows, :, 6 + 2 * self.things[self.used] + axis] = by_spot[:, :, axis]
        lower = np.linalg.cholesky(self._joint(own / fit.weights[:, None, None], turns @ doubt))
        white = np.linalg.solve(lower, self._padded(np.concatenate([columns, left[:, :, None]], axis=2)))
        flat = white.reshape(-1, white.shape[2])
        normal = flat[:, :-1].T @ flat[:, :-1]
        pull = -flat[:, :-1].T @ flat[:, -1]
        normal[:6, :6] += np.diag(self.alike / PRIOR**2)
        pull[:6] -= self.alike * self._from_prior(fit.parameters) / PRIOR
        normal[range(6, len(normal)), range(6, len(normal))] += 1e-6
        return normal, pull
