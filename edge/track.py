"""The first tracker: objects as points on the ground, followed by a Kalman filter and global assignment.

State per track: east, north (metres in a local plane of the caller's), their rates, and two numbers for the
error that successive frames share.

**Errors in common.** The covariance of a measurement is mostly boresight, heading, time and GNSS error, and
these are the same in the next frame. A filter that takes them for white noise believes after a second of
video that it knows a position to centimetres. Here a stated share of the covariance (`common_share`) is a
state of its own: a pair of unit-variance numbers per track that forget themselves with `common_time_s`
(first-order Gauss-Markov), scaled into metres by the present covariance in axes that turn with the camera. So
(1) the position's covariance does not shrink below what the shared error allows, (2) velocity profits from
the stable relative geometry but carries the false speed that a constant angular error makes while the
platform closes in, (3) the gate is drawn as if the shared error had been drawn anew, so that a jump of
attitude does not break a track. A new track gets the velocity prior `initial_speed_mps`, and a match pays for
a large predicted ellipse (logarithm of the determinant), so that in a row of similar objects each keeps its
own track. In simulated fly-overs at 1 Hz of three panels 20 m apart, with misses, clutter and honest
covariances, every panel kept its number in 58 of 60 passes at 3 m error (one sigma per axis) and in 40 of 60
at 5 m: four sigma of spacing is where it ends. Fast vessels in frames a second or more apart want a larger
`initial_speed_mps`.

**Association** is one-to-one by least total cost (`lap`), gated by chi-square, in three rounds after the idea
of ByteTrack (Zhang et al. 2022): sure detections with confirmed tracks, the rest of them with tentative ones,
then unsure detections with confirmed tracks that are still open. Only sure detections begin tracks. Numbers
are given in the order of the detections, so the same input gives the same numbers.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated

import lap
import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Meta

from skywarden import messages
from skywarden.clock import NS_PER_S
from skywarden.config import Config
from skywarden.errors import ConfigError, InputError

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.intp]

MAX_MEASUREMENTS = 4096
_REFUSED_COST = 1e6
_MIN_VARIANCE_M2 = 1e-4
_SCORE_MEMORY = 0.7


class TrackerConfig(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the tracker decides.

    Attributes:
        high_score, low_score: detections at or above the first may begin tracks; those between may only
            continue confirmed ones; those below are not looked at.
        gate_probability: share of true matches that the gate lets pass.
        cost_limit: squared Mahalanobis distance plus logarithm of (predicted over measured ellipse area,
            squared) above which a match is worse than a miss and a new track.
        label_mismatch_cost: added to that where the label is not the track's.
        confirm_hits, confirm_window: so many matches within so many frames make a track confirmed.
        coast_s, coast_static_s: how long a confirmed track that moves, or stands, is kept without a match.
        initial_speed_mps: one-sigma speed per axis of an object seen once.
        manoeuvre_m2ps3: spectral density of white acceleration.
        common_share, common_time_s: the share of a measurement's covariance that successive frames have in
            common, and its correlation time.
        moving_probability, min_speed_mps: how sure it must be that the speed is not zero, and the least
            speed, before a track is called moving.
        max_sigma_m: a track less certain than this is dropped.
    """

    high_score: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.5
    low_score: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.1
    gate_probability: Annotated[float, Meta(gt=0.5, lt=1.0)] = 0.999
    cost_limit: Annotated[float, Meta(gt=0.0, le=100.0)] = 14.0
    label_mismatch_cost: Annotated[float, Meta(ge=0.0, le=100.0)] = 2.0
    confirm_hits: Annotated[int, Meta(ge=1, le=30)] = 3
    confirm_window: Annotated[int, Meta(ge=1, le=30)] = 5
    coast_s: Annotated[float, Meta(gt=0.0, le=3600.0)] = 10.0
    coast_static_s: Annotated[float, Meta(gt=0.0, le=3600.0)] = 60.0
    initial_speed_mps: Annotated[float, Meta(gt=0.0, le=100.0)] = 3.0
    manoeuvre_m2ps3: Annotated[float, Meta(gt=0.0, le=100.0)] = 0.02
    common_share: Annotated[float, Meta(ge=0.0, le=0.95)] = 0.7
    common_time_s: Annotated[float, Meta(gt=0.0, le=3600.0)] = 20.0
    moving_probability: Annotated[float, Meta(gt=0.5, lt=1.0)] = 0.99
    min_speed_mps: Annotated[float, Meta(ge=0.0, le=100.0)] = 0.5
    max_sigma_m: Annotated[float, Meta(gt=0.0, le=100_000.0)] = 2_000.0


class Measurement(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One located detection in the local plane: metres, covariance of (east, north) with shape (2, 2).

    `detection_index` is its row among the frame's detections.
    """

    east_m: float
    north_m: float
    covariance_m2: FloatArray
    label: str
    score: float
    detection_index: int
    box_px: messages.BoxPx | None = None


class TrackState(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """What is believed of one object at `time_ns`.

    Attributes:
        number: counts from 1 in the order of first sight; never used again.
        look_count: matches in all.
        detection_index: the detection of this frame that belongs to it, `None` on a miss.
        box_px: of the last match.
        is_moving: the speed is significantly more than zero.
        was_confirmed: it has been confirmed once (a dropped track may have died tentative).
        covariance_m2, velocity_covariance_m2ps2: shape (2, 2) in (east, north).
    """

    number: int
    status: messages.TrackStatus
    was_confirmed: bool
    time_ns: int
    first_ns: int
    last_match_ns: int
    label: str
    score: float
    look_count: int
    detection_index: int | None
    box_px: messages.BoxPx | None
    east_m: float
    north_m: float
    covariance_m2: FloatArray
    east_mps: float
    north_mps: float
    velocity_covariance_m2ps2: FloatArray
    is_moving: bool

    @property
    def speed_mps(self) -> float:
        """Speed over ground."""
        return math.hypot(self.east_mps, self.north_mps)

    @property
    def course_deg(self) -> float:
        """Course over ground, degrees from true north, [0, 360)."""
        return math.degrees(math.atan2(self.east_mps, self.north_mps)) % 360.0


@dataclass(slots=True, eq=False)
class _Identity:
    """What a track remembers beside its numbers."""

    number: int
    first_ns: int
    last_match_ns: int
    score: float
    box_px: messages.BoxPx | None
    label: str = ""
    """The label with the largest sum of scores; of equals the first in the alphabet."""
    status: messages.TrackStatus = "tentative"
    was_confirmed: bool = False
    look_count: int = 0
    recent: int = 0
    frames: int = 0
    detection_index: int | None = None
    is_moving: bool = False
    label_scores: dict[str, float] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class _Batch:
    """The measurements of one frame as columns: points (M, 2), covariances, shared-error factors."""

    points_m: FloatArray
    covariance: FloatArray
    factor: FloatArray
    source: Sequence[Measurement]


class Tracker:
    """Tracks of one sensor. Hand it every frame in order, also those without detections."""

    def __init__(self, config: TrackerConfig | None = None) -> None:
        self._config = config or TrackerConfig()
        if self._config.low_score > self._config.high_score:
            raise ConfigError(
                f"tracker: low_score {self._config.low_score} is above high_score {self._config.high_score}"
            )
        if self._config.confirm_hits > self._config.confirm_window:
            raise ConfigError(
                f"tracker: confirm_hits {self._config.confirm_hits} do not fit into a confirm_window of "
                f"{self._config.confirm_window} frames"
            )
        self._gate = -2.0 * math.log(1.0 - self._config.gate_probability)
        self._moving_gate = -2.0 * math.log(1.0 - self._config.moving_probability)
        self._time_ns: int | None = None
        self._next_number = 1
        self._who: list[_Identity] = []
        self._x = np.zeros((0, 6))
        self._p = np.zeros((0, 6, 6))

    def update(
        self, time_ns: int, measurements: Sequence[Measurement], forward_azimuth_deg: float = 0.0
    ) -> list[TrackState]:
        """Take one frame and answer with every track, in the order of their numbers.

        A dropped track is in the answer once, with that status. `forward_azimuth_deg` is where the camera
        looks (`edge.locate.forward_azimuth_deg`); shared errors turn with it. Raises `InputError` when time
        runs back or a measurement is not finite.
        """
        if self._time_ns is not None and time_ns < self._time_ns:
            raise InputError(f"a frame of {time_ns} ns came after one of {self._time_ns} ns")
        self._predict(0.0 if self._time_ns is None else (time_ns - self._time_ns) / NS_PER_S)
        self._time_ns = time_ns
        batch = self._batch(measurements, forward_azimuth_deg)
        matched = self._associate(batch)
        self._correct(time_ns, batch, matched)
        self._count_frame(time_ns)
        self._begin(time_ns, batch, {column for _, column in matched})
        self._judge_motion()
        return self._report(time_ns)

    def _predict(self, dt_s: float) -> None:
        """Constant velocity; the velocity of what stands and is out of sight dies away within seconds."""
        if not self._who or dt_s == 0.0:
            return
        is_idle = np.array([who.status == "coasting" and not who.is_moving for who in self._who])
        fade = np.where(is_idle, math.exp(-dt_s / 5.0), 1.0)
        travel_s = np.where(is_idle, 5.0 * (1.0 - fade), dt_s)
        keep = math.exp(-dt_s / self._config.common_time_s)
        f = np.zeros((len(self._who), 6, 6))
        f[:, [0, 1], [0, 1]] = 1.0
        f[:, [0, 1], [2, 3]] = travel_s[:, None]
        f[:, [2, 3], [2, 3]] = fade[:, None]
        f[:, [4, 5], [4, 5]] = keep
        q = np.zeros((6, 6))
        density = self._config.manoeuvre_m2ps3
        q[[0, 1], [0, 1]] = density * dt_s**3 / 3
        q[[0, 1], [2, 3]] = q[[2, 3], [0, 1]] = density * dt_s**2 / 2
        q[[2, 3], [2, 3]] = density * dt_s
        q[[4, 5], [4, 5]] = 1.0 - keep * keep
        self._x = (f @ self._x[:, :, None])[:, :, 0]
        self._p = f @ self._p @ np.swapaxes(f, 1, 2) + q

    def _batch(self, measurements: Sequence[Measurement], forward_azimuth_deg: float) -> _Batch:
        used = [m for m in measurements if m.score >= self._config.low_score]
        if len(used) > MAX_MEASUREMENTS:
            raise InputError(f"{len(used)} measurements in a frame are over the limit of {MAX_MEASUREMENTS}")
        if not used:
            return _Batch(np.zeros((0, 2)), np.zeros((0, 2, 2)), np.zeros((0, 2, 2)), used)
        points = np.array([(m.east_m, m.north_m) for m in used], dtype=np.float64)
        covariance = np.concatenate([m.covariance_m2 for m in used]).reshape(-1, 2, 2)
        if not (np.isfinite(points).all() and np.isfinite(covariance).all()):
            raise InputError("a measurement is not finite; hand over only those whose status is ok")
        covariance = covariance + _MIN_VARIANCE_M2 * np.eye(2)
        sine, cosine = (g(math.radians(forward_azimuth_deg)) for g in (math.sin, math.cos))
        en_from_camera = np.array([[sine, cosine], [cosine, -sine]])  # columns: forward, right
        in_camera = en_from_camera.T @ covariance @ en_from_camera
        try:
            root = np.linalg.cholesky(in_camera)
        except np.linalg.LinAlgError as error:
            raise InputError("a measurement's covariance is not positive definite") from error
        return _Batch(points, covariance, math.sqrt(self._config.common_share) * en_from_camera @ root, used)

    def _associate(self, batch: _Batch) -> list[tuple[int, int]]:
        """Pairs (track, measurement) of all three rounds."""
        if not self._who or not len(batch.points_m):
            return []
        cost = self._cost(batch)
        sure = np.array([m.score >= self._config.high_score for m in batch.source])
        tentative = np.array([who.status == "tentative" for who in self._who])
        confirmed = np.array([who.status == "confirmed" for who in self._who])
        is_free = np.ones(len(sure), dtype=bool)
        is_open = np.ones(len(tentative), dtype=bool)
        pairs: list[tuple[int, int]] = []
        for tracks, measurements in ((~tentative, sure), (tentative, sure), (confirmed, ~sure)):
            rows, columns = np.flatnonzero(tracks & is_open), np.flatnonzero(measurements & is_free)
            for row, column in self._assigned(cost, rows, columns):
                is_open[row] = is_free[column] = False
                pairs.append((row, column))
        return sorted(pairs)

    def _cost(self, batch: _Batch) -> FloatArray:
        """Costs (tracks, measurements); what the gate refuses costs more than any limit."""
        s = {axes: self._predicted(batch, *axes) for axes in ((0, 0), (0, 1), (1, 1))}
        shared = self._x[:, 4:]
        east, north = (
            batch.points_m[:, axis] - self._x[:, axis, None] - shared @ batch.factor[:, axis].T
            for axis in (0, 1)
        )
        determinant = s[0, 0] * s[1, 1] - s[0, 1] ** 2
        squared = (s[1, 1] * east**2 - 2 * s[0, 1] * east * north + s[0, 0] * north**2) / determinant
        measured = np.linalg.det(batch.covariance)
        codes: dict[str, int] = {}  # numbers compare faster than words
        ours = np.array([codes.setdefault(who.label, len(codes)) for who in self._who])
        theirs = np.array([codes.setdefault(m.label, len(codes)) for m in batch.source])
        cost: FloatArray = squared + np.maximum(np.log(determinant / measured), 0.0)
        cost += self._config.label_mismatch_cost * (ours[:, None] != theirs[None])
        cost[~(squared <= self._gate)] = _REFUSED_COST
        return cost

    def _predicted(self, batch: _Batch, i: int, j: int) -> FloatArray:
        """Element i, j of the covariances of predicted measurements, shape (tracks, measurements).

        It is that of H P H^T + R with H = [1, 0, B] and B the shared error's factor, written so that every
        term is one product of two small tables.
        """
        factor = batch.factor
        pairs = (factor[:, i, :, None] * factor[:, j, None, :]).reshape(-1, 4)
        total = self._p[:, 4:, 4:].reshape(-1, 4) @ pairs.T
        total += self._p[:, i, 4:] @ factor[:, j].T + self._p[:, j, 4:] @ factor[:, i].T
        predicted: FloatArray = total + self._p[:, i, j, None] + batch.covariance[:, i, j]
        return predicted

    def _assigned(self, cost: FloatArray, rows: IndexArray, columns: IndexArray) -> list[tuple[int, int]]:
        if not rows.size or not columns.size:
            return []
        part = cost[np.ix_(rows, columns)]
        is_open = part <= self._config.cost_limit
        # Most objects stand apart: a track and a measurement that have only each other need no solver.
        is_pair = is_open & (is_open.sum(axis=1) == 1)[:, None] & (is_open.sum(axis=0) == 1)
        row, column = np.nonzero(is_pair)
        is_open[row] = False
        far, near = np.flatnonzero(is_open.any(axis=1)), np.flatnonzero(is_open.any(axis=0))
        pairs = list(zip(rows[row].tolist(), columns[column].tolist(), strict=True))
        return pairs + self._solved(part[np.ix_(far, near)], rows[far].tolist(), columns[near].tolist())

    def _solved(self, cost: FloatArray, rows: list[int], columns: list[int]) -> list[tuple[int, int]]:
        """The pairs (of `rows` with `columns`) of least total cost, where a miss costs the limit."""
        if not rows:
            return []
        _, chosen, _ = lap.lapjv(cost, extend_cost=True, cost_limit=self._config.cost_limit)
        return [
            (rows[row], columns[column])
            for row, column in enumerate(chosen.tolist())
            if column >= 0 and cost[row, column] <= self._config.cost_limit
        ]

    def _correct(self, time_ns: int, batch: _Batch, matched: list[tuple[int, int]]) -> None:
        for who in self._who:
            who.detection_index = None
        if not matched:
            return
        rows, columns = (np.array(side, dtype=np.intp) for side in zip(*matched, strict=True))
        h = np.zeros((len(rows), 2, 6))
        h[:, [0, 1], [0, 1]] = 1.0
        h[:, :, 4:] = batch.factor[columns]
        p = self._p[rows]
        gain_part = p @ np.swapaxes(h, 1, 2)
        s = h @ gain_part + (1.0 - self._config.common_share) * batch.covariance[columns]
        gain = np.swapaxes(np.linalg.solve(s, np.swapaxes(gain_part, 1, 2)), 1, 2)
        away = batch.points_m[columns] - (h @ self._x[rows][:, :, None])[:, :, 0]
        self._x[rows] += (gain @ away[:, :, None])[:, :, 0]
        p = p - gain @ np.swapaxes(gain_part, 1, 2)
        self._p[rows] = 0.5 * (p + np.swapaxes(p, 1, 2))
        for row, column in matched:
            _note(self._who[row], batch.source[column], time_ns)

    def _count_frame(self, time_ns: int) -> None:
        """Count hits and misses of this frame and let tracks rise, coast and fall."""
        config = self._config
        mask = (1 << config.confirm_window) - 1
        sigma = np.sqrt(np.maximum(self._p[:, 0, 0], self._p[:, 1, 1]))
        for who, sigma_m in zip(self._who, sigma.tolist(), strict=True):
            is_hit = who.detection_index is not None
            who.recent = ((who.recent << 1) | is_hit) & mask
            who.frames += 1
            unseen_s = (time_ns - who.last_match_ns) / NS_PER_S
            if who.status == "tentative":
                misses = min(who.frames, config.confirm_window) - who.recent.bit_count()
                if who.recent.bit_count() >= config.confirm_hits:
                    who.status, who.was_confirmed = "confirmed", True
                elif misses > config.confirm_window - config.confirm_hits or unseen_s > config.coast_s:
                    who.status = "dropped"
            else:
                who.status = "confirmed" if is_hit else "coasting"
                limit_s = config.coast_s if who.is_moving else config.coast_static_s
                if unseen_s > limit_s or sigma_m > config.max_sigma_m:
                    who.status = "dropped"

    def _begin(self, time_ns: int, batch: _Batch, taken: set[int]) -> None:
        new = [
            column
            for column, m in enumerate(batch.source)
            if column not in taken and m.score >= self._config.high_score
        ]
        if not new:
            return
        x, p = np.zeros((len(new), 6)), np.zeros((len(new), 6, 6))
        x[:, :2] = batch.points_m[new]
        p[:, :2, :2] = batch.covariance[new]
        p[:, [2, 3], [2, 3]] = self._config.initial_speed_mps**2
        p[:, [4, 5], [4, 5]] = 1.0
        p[:, :2, 4:] = -batch.factor[new]  # place = measured - shared error - noise
        p[:, 4:, :2] = np.swapaxes(p[:, :2, 4:], 1, 2)
        self._x, self._p = np.concatenate([self._x, x]), np.concatenate([self._p, p])
        for column in new:
            m = batch.source[column]
            who = _Identity(
                number=self._next_number,
                first_ns=time_ns,
                last_match_ns=time_ns,
                score=m.score,
                box_px=m.box_px,
                was_confirmed=self._config.confirm_hits == 1,
                status="confirmed" if self._config.confirm_hits == 1 else "tentative",
                recent=1,
                frames=1,
            )
            _note(who, m, time_ns)
            self._who.append(who)
            self._next_number += 1

    def _judge_motion(self) -> None:
        if not self._who:
            return
        velocity = self._x[:, 2:4]
        weighed = np.linalg.solve(self._p[:, 2:4, 2:4], velocity[:, :, None])[:, :, 0]
        significance = np.sum(velocity * weighed, axis=1)
        speed = np.hypot(velocity[:, 0], velocity[:, 1])
        is_moving = (significance > self._moving_gate) & (speed > self._config.min_speed_mps)
        for who, moves in zip(self._who, is_moving.tolist(), strict=True):
            who.is_moving = moves and who.look_count >= 3

    def _report(self, time_ns: int) -> list[TrackState]:
        rows = zip(
            self._who,
            self._x[:, :4].tolist(),
            self._p[:, :2, :2].copy(),
            self._p[:, 2:4, 2:4].copy(),
            strict=True,
        )
        states = [_state(time_ns, *row) for row in rows]
        keep = [i for i, who in enumerate(self._who) if who.status != "dropped"]
        if len(keep) < len(self._who):
            self._who = [self._who[i] for i in keep]
            self._x, self._p = self._x[keep], self._p[keep]
        return states


def _state(
    time_ns: int, who: _Identity, numbers: list[float], covariance: FloatArray, of_velocity: FloatArray
) -> TrackState:
    """`numbers` are east, north and their rates; the covariances belong to the state alone."""
    east_m, north_m, east_mps, north_mps = numbers
    return TrackState(
        number=who.number,
        status=who.status,
        was_confirmed=who.was_confirmed,
        time_ns=time_ns,
        first_ns=who.first_ns,
        last_match_ns=who.last_match_ns,
        label=who.label,
        score=who.score,
        look_count=who.look_count,
        detection_index=who.detection_index,
        box_px=who.box_px,
        east_m=east_m,
        north_m=north_m,
        covariance_m2=covariance,
        east_mps=east_mps,
        north_mps=north_mps,
        velocity_covariance_m2ps2=of_velocity,
        is_moving=who.is_moving,
    )


def _note(who: _Identity, measurement: Measurement, time_ns: int) -> None:
    """Remember a match."""
    is_first = who.look_count == 0
    memory = 0.0 if is_first else _SCORE_MEMORY
    who.score = memory * who.score + (1.0 - memory) * measurement.score
    scores = who.label_scores
    scores[measurement.label] = scores.get(measurement.label, 0.0) + measurement.score
    who.label = (
        min(scores, key=lambda label: (-scores[label], label)) if len(scores) > 1 else measurement.label
    )
    who.look_count += 1
    who.last_match_ns = time_ns
    who.box_px = measurement.box_px
    who.detection_index = measurement.detection_index
