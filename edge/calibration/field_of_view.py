"""The field of view of a camera whose lens nobody wrote down, from things that stand still while it moves.

Boxes round buoys and moored boats are followed through the video; each thing has one place on the level
surface. With a wrong field of view the places of one thing wander as the camera turns, climbs or flies on.
Field of view, the gimbal's pitch bias and the time offset are those with which they wander least, in sigmas.
What moves by itself is found by its own wandering and left out.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge.calibration.attitude import AttitudeHistory
from skywarden import rotations
from skywarden.errors import InputError

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
IntpArray = npt.NDArray[np.intp]
BoolArray = npt.NDArray[np.bool_]

_GRID_DEG = np.arange(36.0, 89.0, 4.0)
_USUAL_DEG = 62.0
_PRIOR = np.array([0.3, math.radians(1.0), 0.3])
"""Of the log of the focal length about a usual one's, the pitch bias (rad), the time offset (s)."""
_INDEPENDENT_S = 5.0
"""Looks nearer in time than this share their errors."""
_STEP = np.array([1e-4, 1e-5, 1e-2])
_WIDEST_RAD = 0.3
_TIME_NOISE_S = 0.3
_ANGLE_NOISE_RAD = 3e-3
_PLACE_NOISE_M = 0.7
_REACH = 0.26
_STEADY_RPS = math.radians(2.0)
_LOWEST = 0.08
"""Rays flatter than this (sine, 4.6 degrees) meet the surface nowhere in particular."""


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


@dataclass(frozen=True, kw_only=True, slots=True)
class FovSettings:
    """What is believed.

    Attributes:
        min_looks: a thing that is seen less often tells nothing.
        gate_rad: from frame to frame a thing may seem to move so far, beside a turn common to all.
        forget_s: a thing not seen for so long is a new one.
        moving_ratio: a thing that wanders so many times more than the usual one moves by itself.
        max_sigma_deg: a wider sigma is "not observable".
    """

    min_looks: int = 8
    gate_rad: float = 0.015
    forget_s: float = 3.0
    moving_ratio: float = 3.0
    max_sigma_deg: float = 6.0


@dataclass(frozen=True, kw_only=True, slots=True)
class FixedThing:
    """One thing with its looks, their rms about its place in metres, and whether it was held to be fixed."""

    label: str
    looks: int
    rms_m: float
    range_m: float
    is_fixed: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class FieldOfView:
    """What was found; `hfov_deg` is None, with the reason, where the camera did not move enough to tell.

    Attributes:
        sigma_deg: one sigma of `hfov_deg`, from leaving out tenths of the time.
        pitch_bias_deg: what the gimbal's pitch is to be corrected by (up positive).
        time_offset_s: as `frame_lag_s`.
        rms_m: of the looks at fixed things about their means, all together.
        steady_rms_m: the same of looks while the camera turned by less than 2 deg/s.
        things: every thing with enough looks.
    """

    hfov_deg: float | None
    sigma_deg: float | None
    pitch_bias_deg: float
    time_offset_s: float
    rms_m: float
    reason: str
    things: tuple[FixedThing, ...]
    steady_rms_m: float = math.nan


def estimate_field_of_view(
    boxes: Boxes, attitude: AttitudeHistory, settings: FovSettings | None = None
) -> FieldOfView:
    """The horizontal field of view with which what stands still stands still.

    `attitude` must tell places and heights above the surface. Raises `InputError` where it does not.
    """
    settings = settings or FovSettings()
    if attitude.position_ned_m is None or attitude.height_m is None:
        raise InputError("a field of view from fixed things needs places and heights, not attitude alone")
    order = np.argsort(boxes.time_ns, kind="stable")
    model = _Surface(boxes, attitude, order)
    best: tuple[float, FloatArray, IntpArray] | None = None
    for hfov_deg in _GRID_DEG:
        start = np.array([model.log_focal(hfov_deg), 0.0, 0.0])
        parameters, things = _settled(model, start, settings, rounds=1)
        cost = _cost(model, parameters, things)
        if best is None or cost < best[0]:
            best = cost, parameters, things
    assert best is not None
    parameters, things = _settled(model, best[1], settings, rounds=4)
    return _answer(model, parameters, things, settings)


def _turning_rps(attitude: AttitudeHistory, seconds: FloatArray) -> FloatArray:
    """How fast the camera turns, (N,) rad/s, over a second around each moment."""
    before, after = attitude.rotation_at(seconds - 0.5), attitude.rotation_at(seconds + 0.5)
    trace = np.einsum("nij,nij->n", before, after)
    return np.asarray(np.arccos(np.clip((trace - 1) / 2, -1.0, 1.0)), dtype=np.float64)


class _Surface:
    """Boxes as rays, and where they meet the level surface under any parameters.

    Parameters: log of the focal length in image widths, pitch bias (rad), time offset (s).
    """

    def __init__(self, boxes: Boxes, attitude: AttitudeHistory, order: IntpArray) -> None:
        self.seconds = attitude.seconds(boxes.time_ns[order])
        self.blur_rad = _TIME_NOISE_S * _turning_rps(attitude, self.seconds)
        self.span_s = float(np.ptp(self.seconds))
        self.labels = [boxes.label[index] for index in order]
        middle = np.array([(boxes.width_px - 1) / 2, (boxes.height_px - 1) / 2])
        self._plane = (boxes.centre_px[order] - middle) / boxes.width_px
        self._attitude = attitude

    def log_focal(self, hfov_deg: float) -> float:
        """Of a field of view."""
        return -math.log(2 * math.tan(math.radians(hfov_deg) / 2))

    def hfov_deg(self, log_focal: float) -> float:
        """Of a log of the focal length."""
        return math.degrees(2 * math.atan(0.5 * math.exp(-log_focal)))

    def places(self, parameters: FloatArray) -> tuple[FloatArray, FloatArray, BoolArray]:
        """North and east (N, 2), change of them by two small turns of the ray (N, 2, 2), and which exist."""
        seconds = self.seconds - parameters[2]
        found = self._attitude.position_at(seconds)
        assert found is not None
        place, height = found
        plane = self._plane * math.exp(-parameters[0])
        rays = np.concatenate([plane, np.ones((len(plane), 1))], axis=1)
        rays /= np.linalg.norm(rays, axis=1, keepdims=True)
        tilt = rotations.matrix_from_vector_rad(np.array([parameters[1], 0.0, 0.0]))
        sight = np.einsum("nij,nj->ni", self._attitude.rotation_at(seconds), rays @ tilt.T)
        down = sight[:, 2]
        is_seen = (down > _LOWEST) & np.isfinite(height) & (height > 0.5)
        reach = np.where(is_seen, height, 1.0) / np.where(is_seen, down, 1.0)
        level = np.maximum(np.hypot(sight[:, 0], sight[:, 1]), 1e-9)
        along = sight[:, :2] / level[:, None]
        across = np.stack([-along[:, 1], along[:, 0]], axis=1)
        # turning the ray up by an angle moves the point out by reach / sine; sideways by reach
        out = reach / np.where(is_seen, down, 1.0)
        change = np.stack([along * out[:, None], across * reach[:, None]], axis=2)
        return place[:, :2] + sight[:, :2] * reach[:, None], change, is_seen

    def misses(self, parameters: FloatArray, things: IntpArray, count: int) -> tuple[FloatArray, FloatArray]:
        """How far looks miss their thing's place: in sigmas along two directions (N, 2), in metres (N,).

        A look's covariance on the surface: angles of the telemetry, and places of its receiver. By angles
        alone the far things would rule, by metres alone the narrowest view would win.
        """
        points, change, _ = self.places(parameters)
        angle = _ANGLE_NOISE_RAD**2 + self.blur_rad**2
        covariance = change @ np.swapaxes(change, 1, 2) * angle[:, None, None] + _PLACE_NOISE_M**2 * np.eye(2)
        weight = np.linalg.inv(covariance)
        white = np.swapaxes(np.linalg.cholesky(weight), 1, 2)
        used = things >= 0
        total, pull = np.zeros((max(count, 1), 2, 2)), np.zeros((max(count, 1), 2))
        np.add.at(total, things[used], weight[used])
        np.add.at(pull, things[used], np.einsum("nij,nj->ni", weight[used], points[used]))
        means = np.linalg.solve(total + 1e-12 * np.eye(2), pull[:, :, None])[:, :, 0]
        away = np.where(used[:, None], points - means[np.maximum(things, 0)], 0.0)
        return np.einsum("nij,nj->ni", white, away), np.hypot(away[:, 0], away[:, 1])


@dataclass(slots=True)
class _Last:
    """When, where and as what a thing was seen last."""

    seconds: float
    place: FloatArray
    label: str


def _followed(model: _Surface, parameters: FloatArray, settings: FovSettings) -> IntpArray:
    """Which thing each box is, (N,), -1 for none.

    Telemetry of one sample a second is wrong between samples for all things of a frame alike: the turn that
    lets most of them agree is taken off first.
    """
    points, change, is_seen = model.places(parameters)
    inverse = np.asarray(np.linalg.inv(change), dtype=np.float64)
    things = np.full(len(points), -1, dtype=np.intp)
    last: list[_Last] = []
    for moment in np.unique(model.seconds):
        now = np.nonzero((model.seconds == moment) & is_seen)[0]
        known = [index for index, each in enumerate(last) if moment - each.seconds <= settings.forget_s]
        pairs = _pairs(model, now, known, last, points, inverse)
        for index, thing in _agreeing(pairs, settings.gate_rad):
            things[index] = thing
            last[thing].seconds, last[thing].place = float(moment), points[index]
        for index in now[things[now] < 0]:
            things[index] = len(last)
            last.append(_Last(float(moment), points[index], model.labels[index]))
    return _renumbered(things, settings.min_looks)


_Pair = tuple[int, int, FloatArray]


def _pairs(
    model: _Surface,
    now: IntpArray,
    known: list[int],
    last: list[_Last],
    points: FloatArray,
    inverse: FloatArray,
) -> list[_Pair]:
    """Boxes and things of one label with the angles (2,) between them, where those are not absurd."""
    found: list[_Pair] = []
    for index in now.tolist():
        for thing in known:
            if last[thing].label == model.labels[index]:
                angles = inverse[index] @ (points[index] - last[thing].place)
                if float(np.hypot(*angles)) < _WIDEST_RAD:
                    found.append((index, thing, angles))
    return found


def _agreeing(pairs: list[_Pair], gate_rad: float) -> list[tuple[int, int]]:
    """The most pairs, one to one, that one common turn brings within the gate; the smallest such turn."""
    best: list[tuple[int, int]] = []
    turns = [np.zeros(2), *(pair[2] for pair in sorted(pairs, key=lambda pair: float(np.hypot(*pair[2]))))]
    for turn in turns:
        near = sorted((float(np.hypot(*(angles - turn))), index, thing) for index, thing, angles in pairs)
        boxes: set[int] = set()
        things: set[int] = set()
        chosen = []
        for away, index, thing in near:
            if away <= gate_rad and index not in boxes and thing not in things:
                boxes.add(index)
                things.add(thing)
                chosen.append((index, thing))
        if len(chosen) > len(best):
            best = chosen
    return best


def _renumbered(things: IntpArray, min_looks: int) -> IntpArray:
    """Things with enough looks as 0, 1, ...; the rest as -1."""
    numbers, counts = np.unique(things[things >= 0], return_counts=True)
    names = {int(number): index for index, number in enumerate(numbers[counts >= min_looks])}
    return np.array([names.get(int(thing), -1) for thing in things], dtype=np.intp)


def _wandering(sigmas: FloatArray, things: IntpArray) -> FloatArray:
    """Median of the sigmas by which each thing's looks miss its place."""
    distance = np.hypot(sigmas[:, 0], sigmas[:, 1])
    count = int(things.max(initial=-1)) + 1
    return np.array([np.median(distance[things == thing]) for thing in range(count)])


def _fixed(model: _Surface, parameters: FloatArray, things: IntpArray, settings: FovSettings) -> IntpArray:
    """The same with what moves by itself as -1: it wanders much more than the calm half does."""
    count = int(things.max(initial=-1)) + 1
    if count < 2:
        return things
    wander = _wandering(model.misses(parameters, things, count)[0], things)
    looks = np.bincount(things[things >= 0], minlength=count)
    order = np.argsort(wander)
    calm = wander[order[np.searchsorted(np.cumsum(looks[order]), 0.3 * looks.sum())]]
    moves = wander > settings.moving_ratio * max(float(calm), 0.5)
    kept = things.copy()
    kept[(things >= 0) & moves[np.maximum(things, 0)]] = -1
    return _renumbered(kept, settings.min_looks)


def _settled(
    model: _Surface, parameters: FloatArray, settings: FovSettings, *, rounds: int
) -> tuple[FloatArray, IntpArray]:
    """Follow, leave out what moves, fit; again. Gives the parameters and the fixed things."""
    start = parameters.copy()
    things = np.full(len(model.seconds), -1, dtype=np.intp)
    for _ in range(rounds):
        things = _fixed(model, parameters, _followed(model, parameters, settings), settings)
        if int(things.max(initial=-1)) < 0:
            break
        parameters = _fit(model, parameters, things, start[0])
    return parameters, things


def _fit(
    model: _Surface, parameters: FloatArray, things: IntpArray, near: float, chosen: BoolArray | None = None
) -> FloatArray:
    """Gauss-Newton with Huber weights; the focal length stays within a factor of 1.3."""
    if chosen is not None:
        things = _renumbered(np.where(chosen, things, -1), 2)
    count = int(things.max(initial=-1)) + 1
    used = things >= 0
    for _ in range(6):
        left, _ = model.misses(parameters, things, count)
        columns = []
        for index in range(3):
            step = np.zeros(3)
            step[index] = _STEP[index]
            ahead, _ = model.misses(parameters + step, things, count)
            back, _ = model.misses(parameters - step, things, count)
            columns.append(((ahead - back) / (2 * _STEP[index]))[used].reshape(-1))
        rows, flat = np.stack(columns, axis=1), left[used].reshape(-1)
        scale = max(1.4826 * float(np.median(np.abs(flat))), 0.1)
        weight = np.minimum(1.0, 2.0 * scale / np.maximum(np.abs(flat), 1e-12))
        alike = max(1.0, np.count_nonzero(used) / (count * max(1.0, model.span_s / _INDEPENDENT_S)))
        prior = np.diag(alike * (scale / _PRIOR) ** 2)
        away = parameters - np.array([model.log_focal(_USUAL_DEG), 0.0, 0.0])
        normal = rows.T @ (rows * weight[:, None]) + prior
        change = -np.linalg.solve(normal, rows.T @ (weight * flat) + prior @ away)
        parameters = parameters + np.clip(change, -0.2, 0.2)
        parameters[0] = np.clip(parameters[0], near - _REACH, near + _REACH)
        if float(np.abs(change[0])) < 1e-5:
            break
    return parameters


def _cost(model: _Surface, parameters: FloatArray, things: IntpArray) -> float:
    """Mean square in sigmas, cut off at 5; boxes that belong to no fixed thing count as misses."""
    count = int(things.max(initial=-1)) + 1
    sigmas, _ = model.misses(parameters, things, count)
    square = np.sum(sigmas**2, axis=1)
    limit = 25.0
    return float(np.mean(np.where(things >= 0, np.minimum(square, limit), limit)))


def _answer(model: _Surface, parameters: FloatArray, things: IntpArray, settings: FovSettings) -> FieldOfView:
    everything = _followed(model, parameters, settings)
    described = _described(model, parameters, everything, things)
    used = things >= 0
    if not bool(used.any()):
        return _unknown(f"no thing is seen {settings.min_looks} times", described, parameters)
    count = int(things.max()) + 1
    _, metres = model.misses(parameters, things, count)
    rms_m = float(np.sqrt(np.mean(metres[used] ** 2)))
    steady = used & (model.blur_rad < _TIME_NOISE_S * _STEADY_RPS)
    steady_rms_m = float(np.sqrt(np.mean(metres[steady] ** 2))) if bool(steady.any()) else math.nan
    tenth = np.minimum((np.argsort(np.argsort(model.seconds, kind="stable")) * 10) // len(used), 9)
    fits = [_fit(model, parameters, things, parameters[0], tenth != part) for part in range(10)]
    angles_deg = np.array([model.hfov_deg(fit[0]) for fit in fits])
    sigma_deg = math.sqrt(0.9 * float(np.sum((angles_deg - angles_deg.mean()) ** 2)))
    reached = [abs(fit[0] - parameters[0]) for fit in fits]
    if sigma_deg > settings.max_sigma_deg or max(reached) > 0.9 * _REACH:
        reason = f"the view turns and moves too little: its sigma would be {sigma_deg:.1f} degrees"
        return _unknown(reason, described, parameters, rms_m, steady_rms_m)
    return FieldOfView(
        hfov_deg=model.hfov_deg(parameters[0]),
        sigma_deg=sigma_deg,
        pitch_bias_deg=math.degrees(parameters[1]),
        time_offset_s=float(parameters[2]),
        rms_m=rms_m,
        steady_rms_m=steady_rms_m,
        reason=f"{int(used.sum())} looks at {count} fixed things",
        things=described,
    )


def _unknown(
    reason: str,
    things: tuple[FixedThing, ...],
    parameters: FloatArray,
    rms_m: float = math.nan,
    steady_rms_m: float = math.nan,
) -> FieldOfView:
    return FieldOfView(
        hfov_deg=None,
        sigma_deg=None,
        pitch_bias_deg=math.degrees(parameters[1]),
        time_offset_s=float(parameters[2]),
        rms_m=rms_m,
        steady_rms_m=steady_rms_m,
        reason=f"not observable: {reason}",
        things=things,
    )


def _described(
    model: _Surface, parameters: FloatArray, everything: IntpArray, fixed: IntpArray
) -> tuple[FixedThing, ...]:
    count = int(everything.max(initial=-1)) + 1
    _, metres = model.misses(parameters, everything, count)
    _, change, _ = model.places(parameters)
    found = []
    for thing in range(count):
        mine = everything == thing
        found.append(
            FixedThing(
                label=model.labels[int(np.argmax(mine))],
                looks=int(mine.sum()),
                rms_m=float(np.sqrt(np.mean(metres[mine] ** 2))),
                range_m=float(np.median(np.linalg.norm(change[mine][:, :, 1], axis=1))),
                is_fixed=bool(np.mean(fixed[mine] >= 0) > 0.5),
            )
        )
    return tuple(found)
