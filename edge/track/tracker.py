"""The tracker of one sensor: one frame of measurements in, every track out; holds no clock."""

import math

import numpy as np
import numpy.typing as npt

from edge.track import motion
from edge.track.association import Pairs, chosen, near_pairs
from edge.track.config import TrackerConfig
from edge.track.measurements import MAX_LABELS, Measurements
from edge.track.states import COASTING, CONFIRMED, DROPPED, MEMORY, TENTATIVE, Tracks
from skywarden.clock import NS_PER_S
from skywarden.errors import InputError

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
IndexArray = npt.NDArray[np.intp]

MAX_TRACKS = 4096
_SCORE_MEMORY = 0.7
_SAME_PLACE_M = 0.02
_LOOKS_TO_MOVE = 3
_WIDE = 4.0
"""The wide gate over the gate, as squared distances."""

Matches = tuple[IndexArray, IndexArray, FloatArray]
_NO_MATCHES: Matches = (np.zeros(0, dtype=np.intp), np.zeros(0, dtype=np.intp), np.zeros(0))


class Tracker:
    """Tracks of one sensor. Hand it every frame in order, also those without detections.

    At most `MAX_TRACKS` are held; where more would begin, the surest detections do.
    """

    def __init__(self, config: TrackerConfig | None = None) -> None:
        self._config = config or TrackerConfig()
        self._config.check()
        self._gate = -2.0 * math.log(1.0 - self._config.gate_probability)
        certainty = self._config.moving_probability
        self._moving_odds = math.log(certainty / (1.0 - certainty))
        self._time_ns: int | None = None
        self._next_number = 1
        self._labels: tuple[str, ...] = ()
        self._sources = 0
        self._forget_per_s = np.zeros(0)
        self._lost_frames = 0
        self._memory = np.zeros(0, dtype=MEMORY)
        self._x = np.zeros((0, 4))
        self._p = np.zeros((0, 4, 4))
        self._surprise = np.zeros((0, 2))
        self._label_scores = np.zeros((0, 0))
        self._appearance: FloatArray | None = None

    def update(self, time_ns: int, seen: Measurements) -> Tracks:
        """Take one frame and answer with every track, in the order of their numbers.

        A dropped track is in the answer once, with that status. Raises `InputError` when time runs back,
        when a measurement is not finite, and when the number of shared errors changes; nothing is changed
        then.
        """
        if self._time_ns is not None and time_ns < self._time_ns:
            raise InputError(f"a frame of {time_ns} ns came after one of {self._time_ns} ns")
        seen.check()
        self._accept_sources(seen)
        labels = self._accept_labels(seen)
        dt_s = 0.0 if self._time_ns is None else (time_ns - self._time_ns) / NS_PER_S
        self._time_ns = time_ns
        if len(seen) and seen.score.min() < self._config.low_score:
            kept = np.flatnonzero(seen.score >= self._config.low_score)
            seen, labels = seen.taken(kept), labels[kept]
        if len(seen):
            self._forget_per_s = seen.forget_per_s
        keep = np.exp(-dt_s * self._forget_per_s)
        if len(self._memory) and dt_s > 0.0:
            is_idle = (self._memory["status"] == COASTING) & ~self._memory["is_moving"]
            motion.predict(self._x, self._p, dt_s, self._config.steady_m2ps3, keep, is_idle)
        rows, columns, cost = self._associate(seen, labels)
        self._memory["detection_index"] = -1
        if len(rows):
            self._correct(time_ns, dt_s, seen, labels, rows, columns, cost)
        self._count_frame(time_ns)
        self._begin(time_ns, seen, labels, columns)
        self._judge_motion()
        return self._report(time_ns)

    def _accept_sources(self, seen: Measurements) -> None:
        sources = len(seen.forget_per_s)
        if not len(seen) or sources == self._sources:
            return
        if len(self._memory):
            raise InputError(f"measurements with {sources} shared errors after some with {self._sources}")
        self._sources, self._forget_per_s = sources, seen.forget_per_s
        self._x, self._p = np.zeros((0, 4 + sources)), np.zeros((0, 4 + sources, 4 + sources))

    def _accept_labels(self, seen: Measurements) -> IndexArray:
        """The measurements' labels as numbers of our own table, which is in the order of the alphabet."""
        if seen.labels == self._labels:
            return seen.label_index
        if not set(seen.labels) <= set(self._labels):
            merged = tuple(sorted({*self._labels, *seen.labels}))
            if len(merged) > MAX_LABELS:
                raise InputError(f"{len(merged)} different labels are over the limit of {MAX_LABELS}")
            moved = [merged.index(label) for label in self._labels]
            scores = np.zeros((len(self._memory), len(merged)))
            scores[:, moved] = self._label_scores
            self._label_scores, self._labels = scores, merged
            if moved:
                self._memory["label"] = np.array(moved)[self._memory["label"]]
        ours = np.array([self._labels.index(label) for label in seen.labels], dtype=np.intp)
        return ours[seen.label_index]

    def _associate(self, seen: Measurements, labels: IndexArray) -> Matches:
        """Rows of tracks and of measurements that belong together, and their costs.

        Where for the second frame running most of what was followed is not where it should be, all shared
        errors are drawn anew and the frame is looked at again: the attitude has jumped.
        """
        if not len(self._memory) or not len(seen):
            return _NO_MATCHES
        status = self._memory["status"]
        followed = int(np.count_nonzero(status == CONFIRMED))
        rows, columns, cost = self._rounds(self._pairs(seen, labels), seen)
        found = int(np.count_nonzero(status[rows] == CONFIRMED))
        is_lost = 2 * found < followed and len(seen) > len(rows)
        self._lost_frames = self._lost_frames + 1 if is_lost else 0
        if self._lost_frames >= 2 and self._sources > 0:
            self._lost_frames = 0
            shared = np.arange(4, 4 + self._sources)
            self._p[:, shared, shared] += 1.0
            return self._rounds(self._pairs(seen, labels), seen)
        return rows, columns, cost

    def _rounds(self, pairs: Pairs, seen: Measurements) -> Matches:
        """Sure with confirmed, sure with tentative, unsure with confirmed; then what is left of the first, up
        to twice as far off, for errors that are larger than stated."""
        is_tentative = self._memory["status"] == TENTATIVE
        is_sure = seen.score >= self._config.high_score
        young, sure = is_tentative[pairs.track], is_sure[pairs.measurement]
        is_open = np.ones(len(is_tentative), dtype=bool)
        is_free = np.ones(len(is_sure), dtype=bool)
        is_in = pairs.cost <= self._gate
        wide = _WIDE * self._gate
        first, old = ~young & sure, ~young & is_in
        found = []
        for mask, limit in (
            (old & sure, self._gate),
            (young & sure & is_in, self._gate),
            (old & ~sure, self._gate),
            (first & ~is_in, wide),
        ):
            left = mask & is_open[pairs.track] & is_free[pairs.measurement]
            if left.any():
                match = chosen(pairs.where(left), limit)
                is_open[match.track] = False
                is_free[match.measurement] = False
                found.append(match)
        if not found:
            return _NO_MATCHES
        return (
            np.concatenate([match.track for match in found]),
            np.concatenate([match.measurement for match in found]),
            np.concatenate([match.cost for match in found]),
        )

    def _pairs(self, seen: Measurements, labels: IndexArray) -> Pairs:
        """Pairs inside the wide gate, with their costs."""
        p, factor = self._p, seen.shared_m
        total = seen.covariance_m2
        root_gate = math.sqrt(self._gate)
        reach = root_gate * np.sqrt(p[:, 0, 0] + p[:, 1, 1])
        seen_reach = root_gate * np.sqrt(total[:, 0, 0] + total[:, 1, 1])
        track, measurement = near_pairs(self._x[:, :2], reach, seen.points_m, seen_reach)
        b, state = factor[measurement], self._x[track]
        away = seen.points_m[measurement] - state[:, :2] - (b @ state[:, 4:, None])[:, :, 0]
        of = p[track]
        own = seen.own_m2[measurement]
        s = motion.innovation_covariance(of[:, :2, :2], of[:, :2, 4:], of[:, 4:, 4:], b) + own
        s00, s01, s11 = s[:, 0, 0], s[:, 0, 1], s[:, 1, 1]
        determinant = s00 * s11 - s01 * s01
        east, north = away[:, 0], away[:, 1]
        cost = (s11 * east * east - 2.0 * s01 * east * north + s00 * north * north) / determinant
        wide = _WIDE * self._gate
        is_in = cost <= wide
        track, measurement, cost = track[is_in], measurement[is_in], cost[is_in]
        cost += self._penalty(track, measurement, determinant[is_in], total)
        if len(self._labels) > 1:
            is_other = self._memory["label"][track] != labels[measurement]
            cost += self._config.label_mismatch_cost * is_other
        is_in = cost <= wide
        return Pairs(track[is_in], measurement[is_in], cost[is_in])

    def _penalty(
        self, track: IndexArray, measurement: IndexArray, determinant: FloatArray, total: FloatArray
    ) -> FloatArray:
        """What a vague track pays, so that in a row of similar objects each keeps its own."""
        measured = total[:, 0, 0] * total[:, 1, 1] - total[:, 0, 1] ** 2
        penalty: FloatArray = np.maximum(np.log(determinant / measured[measurement]), 0.0)
        return penalty

    def _correct(
        self,
        time_ns: int,
        dt_s: float,
        seen: Measurements,
        labels: IndexArray,
        rows: IndexArray,
        columns: IndexArray,
        cost: FloatArray,
    ) -> None:
        own = seen.own_m2[columns]
        is_far = cost > self._gate
        if is_far.any():  # it counts for less
            own[is_far] *= (_WIDE * cost[is_far] / self._gate)[:, None, None]
        white = motion.correct(self._x, self._p, rows, seen.points_m[columns], own, seen.shared_m[columns])
        surprise = self._surprise[rows]
        has_turned = motion.remember_surprise(surprise, white, dt_s)
        if has_turned.any():
            surprise[has_turned] = 0.0
            turned = rows[has_turned]
            self._p[turned, 2, 2] += self._config.manoeuvre_mps**2
            self._p[turned, 3, 3] += self._config.manoeuvre_mps**2
        self._surprise[rows] = surprise
        score, memory = seen.score[columns], self._memory
        memory["score"][rows] *= _SCORE_MEMORY
        memory["score"][rows] += (1.0 - _SCORE_MEMORY) * score
        memory["look_count"][rows] += 1
        memory["last_match_ns"][rows] = time_ns
        memory["detection_index"][rows] = seen.detection_index[columns]
        if len(self._labels) > 1:
            self._label_scores[rows, labels[columns]] += score
            memory["label"][rows] = self._label_scores[rows].argmax(axis=1)

    def _count_frame(self, time_ns: int) -> None:
        """Count hits and misses of this frame and let tracks rise, coast and fall."""
        memory, config = self._memory, self._config
        if not len(memory):
            return
        is_hit = memory["detection_index"] >= 0
        recent = ((memory["recent"] << 1) | is_hit) & ((1 << config.confirm_window) - 1)
        memory["recent"] = recent
        memory["frames"] += 1
        status = memory["status"]
        is_young = status == TENTATIVE
        new = np.where(is_hit, CONFIRMED, COASTING).astype(np.int8)
        unseen_ns = time_ns - memory["last_match_ns"]
        limit_ns = np.where(memory["is_moving"], config.coast_s, config.coast_static_s) * NS_PER_S
        place = np.maximum(self._p[:, 0, 0], self._p[:, 1, 1])
        is_gone = (unseen_ns > limit_ns) | (place > config.max_sigma_m**2)
        if is_young.any():
            hits = np.bitwise_count(recent)
            misses = np.minimum(memory["frames"], config.confirm_window) - hits
            is_false = misses > config.confirm_window - config.confirm_hits
            is_false |= unseen_ns > config.coast_s * NS_PER_S
            new = np.where(is_young, np.where(hits >= config.confirm_hits, CONFIRMED, TENTATIVE), new)
            is_gone = np.where(is_young, is_false & (new == TENTATIVE), is_gone)
        new[is_gone] = DROPPED
        memory["status"] = new
        memory["was_confirmed"] |= new == CONFIRMED

    def _begin(self, time_ns: int, seen: Measurements, labels: IndexArray, taken: IndexArray) -> None:
        is_new = seen.score >= self._config.high_score
        is_new[taken] = False
        new = np.flatnonzero(is_new)
        if not len(new):
            return
        new = self._distinct(seen, new, taken)
        room = MAX_TRACKS - len(self._memory)
        if len(new) > room:
            new = np.sort(new[np.argsort(-seen.score[new], kind="stable")[: max(room, 0)]])
        count, size = len(new), self._x.shape[1]
        factor = seen.shared_m[new]
        x, p = np.zeros((count, size)), np.zeros((count, size, size))
        x[:, :2] = seen.points_m[new]
        p[:, :2, :2] = seen.own_m2[new] + factor @ factor.transpose(0, 2, 1)
        p[:, [2, 3], [2, 3]] = self._config.initial_speed_mps**2
        p[:, 4:, 4:] = np.eye(size - 4)
        p[:, :2, 4:] = -factor  # place = measured - shared error - own error
        p[:, 4:, :2] = -factor.transpose(0, 2, 1)
        memory = np.zeros(count, dtype=MEMORY)
        memory["number"] = np.arange(self._next_number, self._next_number + count)
        self._next_number += count
        memory["first_ns"] = memory["last_match_ns"] = time_ns
        memory["score"] = seen.score[new]
        memory["look_count"] = memory["recent"] = memory["frames"] = 1
        memory["detection_index"] = seen.detection_index[new]
        memory["label"] = labels[new]
        is_sure_at_once = self._config.confirm_hits == 1
        memory["status"] = CONFIRMED if is_sure_at_once else TENTATIVE
        memory["was_confirmed"] = is_sure_at_once
        scores = np.zeros((count, len(self._labels)))
        scores[np.arange(count), labels[new]] = seen.score[new]
        self._memory = np.concatenate([self._memory, memory])
        self._x, self._p = np.concatenate([self._x, x]), np.concatenate([self._p, p])
        self._surprise = np.concatenate([self._surprise, np.zeros((count, 2))])
        self._label_scores = np.concatenate([self._label_scores, scores])

    def _distinct(self, seen: Measurements, new: IndexArray, taken: IndexArray) -> IndexArray:
        """Those of `new` that do not repeat, within 2 cm, what is matched or stands before them."""
        cells = np.round(seen.points_m / _SAME_PLACE_M) @ np.array([1.0, 1.0j])
        first = np.sort(np.unique(cells[new], return_index=True)[1])
        new = new[first]
        return new[~np.isin(cells[new], cells[taken])]

    def _judge_motion(self) -> None:
        """Choose between standing and moving; what has been called moving stays so until it is unlikely."""
        memory = self._memory
        if not len(memory):
            return
        odds = motion.motion_log_odds(self._x, self._p, self._config.initial_speed_mps)
        speed2 = self._x[:, 2] ** 2 + self._x[:, 3] ** 2
        needed = np.where(memory["is_moving"], 0.0, self._moving_odds)
        is_moving = (odds > needed) & (speed2 > self._config.min_speed_mps**2)
        memory["is_moving"] = is_moving & (memory["look_count"] >= _LOOKS_TO_MOVE)

    def _report(self, time_ns: int) -> Tracks:
        tracks = Tracks(
            time_ns, self._memory.copy(), self._x[:, :4].copy(), self._p[:, :4, :4].copy(), self._labels
        )
        is_dropped = self._memory["status"] == DROPPED
        if is_dropped.any():
            keep = np.flatnonzero(~is_dropped)
            self._memory, self._x, self._p = self._memory[keep], self._x[keep], self._p[keep]
            self._surprise, self._label_scores = self._surprise[keep], self._label_scores[keep]
        return tracks
