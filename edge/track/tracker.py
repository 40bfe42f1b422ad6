"""The tracker of one sensor: one frame of measurements in, every track out; holds no clock."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge.track import motion
from edge.track.association import NO_PAIRS, Pairs, chosen, near_pairs
from edge.track.book import Book
from edge.track.config import TrackerConfig
from edge.track.measurements import MAX_LABELS, Measurements
from edge.track.states import COASTING, CONFIRMED, DROPPED, TENTATIVE, Tracks
from skywarden.clock import NS_PER_S
from skywarden.errors import InputError

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
IndexArray = npt.NDArray[np.intp]

MAX_TRACKS = 4096
_SCORE_MEMORY = 0.7
_SAME_PLACE_M = 0.02
_LOOKS_TO_MOVE = 3
_FEW_PAIRS = 5000
_BY_HIT = np.array([COASTING, CONFIRMED], dtype=np.int8)
_WIDE = 4.0
"""The wide gate over the gate, as squared distances."""


@dataclass(slots=True, eq=False)
class _Frame:
    """One frame's measurements with labels as our own numbers, and what was computed of its near pairs."""

    time_ns: int
    dt_s: float
    seen: Measurements
    labels: IndexArray
    away: FloatArray
    s: FloatArray
    hp: FloatArray


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
        self._forget_per_s = np.zeros(0)
        self._lost_frames = 0
        self._book = Book(0, 0)

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
        if len(seen) and seen.score.min() < self._config.low_score:
            kept = np.flatnonzero(seen.score >= self._config.low_score)
            seen, labels = seen.taken(kept), labels[kept]
        dt_s = 0.0 if self._time_ns is None else (time_ns - self._time_ns) / NS_PER_S
        self._time_ns = time_ns
        none = np.zeros(0)
        frame = _Frame(time_ns, dt_s, seen, labels, none, none, none)
        self._predict(dt_s)
        self._book.memory["detection_index"] = -1
        taken = self._match(frame)
        self._count_frame(time_ns)
        self._begin(frame, taken)
        self._judge_motion()
        return self._report(time_ns)

    def _accept_sources(self, seen: Measurements) -> None:
        if not len(seen):
            return
        sources, before = len(seen.forget_per_s), len(self._forget_per_s)
        if sources != before and len(self._book):
            raise InputError(f"measurements with {sources} shared errors after some with {before}")
        if sources != before:
            self._book = Book(sources, len(self._labels))
        self._forget_per_s = seen.forget_per_s

    def _accept_labels(self, seen: Measurements) -> IndexArray:
        """The measurements' labels as numbers of our own table, which is in the order of the alphabet."""
        if seen.labels == self._labels:
            return seen.label_index
        if not set(seen.labels) <= set(self._labels):
            merged = tuple(sorted({*self._labels, *seen.labels}))
            if len(merged) > MAX_LABELS:
                raise InputError(f"{len(merged)} different labels are over the limit of {MAX_LABELS}")
            self._book.relabel([merged.index(label) for label in self._labels], len(merged))
            self._labels = merged
        ours = np.array([self._labels.index(label) for label in seen.labels], dtype=np.intp)
        return ours[seen.label_index]

    def _predict(self, dt_s: float) -> None:
        book = self._book
        if len(book) and dt_s > 0.0:
            is_idle = (book.memory["status"] == COASTING) & ~book.memory["is_moving"]
            keep = np.exp(-dt_s * self._forget_per_s)
            motion.predict(book.x, book.p, dt_s, self._config.steady_m2ps3, keep, is_idle)

    def _match(self, frame: _Frame) -> IndexArray:
        """Give tracks their measurements; answers with the rows of those that were given.

        Where for the second frame running most of what was followed is not where it should be, all shared
        errors are drawn anew and the frame is looked at again: the attitude has jumped.
        """
        book, seen = self._book, frame.seen
        if not len(book) or not len(seen):
            return np.zeros(0, dtype=np.intp)
        status = book.memory["status"]
        pairs = self._rounds(self._all_pairs(frame), seen)
        followed = int(np.count_nonzero(status == CONFIRMED))
        found = int(np.count_nonzero(status[pairs.track] == CONFIRMED))
        is_lost = 2 * found < followed and len(pairs.track) < len(seen)
        self._lost_frames = self._lost_frames + 1 if is_lost else 0
        if self._lost_frames >= 2:
            self._lost_frames = 0
            shared = np.arange(4, book.x.shape[1])
            book.p[:, shared, shared] += 1.0
            pairs = self._rounds(self._all_pairs(frame), seen)
        self._correct(frame, pairs)
        return self._match_far(frame, pairs.measurement)

    def _match_far(self, frame: _Frame, taken: IndexArray) -> IndexArray:
        """What is left, up to twice as far off: for errors that are larger than stated, and so count less."""
        is_free = frame.seen.score >= self._config.high_score
        is_free[taken] = False
        memory = self._book.memory
        is_open = (memory["detection_index"] < 0) & (memory["status"] != TENTATIVE)
        rows, columns = is_open.nonzero()[0], is_free.nonzero()[0]
        if not len(rows) or not len(columns):
            return taken
        gate = _WIDE * self._gate
        pairs = self._pairs(frame, gate, *self._candidates(frame.seen, gate, rows, columns))
        if not len(pairs.track):
            return taken
        pairs = chosen(pairs, gate)
        more = _WIDE * pairs.cost / self._gate
        frame.s[pairs.row] += more[:, None, None] * frame.seen.own_m2[pairs.measurement]
        self._correct(frame, pairs)
        return np.concatenate([taken, pairs.measurement])

    def _rounds(self, pairs: Pairs, seen: Measurements) -> Pairs:
        """Sure with confirmed, sure with tentative; then unsure with confirmed and with tentative."""
        young = (self._book.memory["status"] == TENTATIVE)[pairs.track]
        sure = (seen.score >= self._config.high_score)[pairs.measurement]
        alone = pairs.alone()
        rest = ~alone
        if not rest.any():
            return pairs.where(alone)
        found = [pairs.where(alone)]
        is_open = np.ones(len(self._book), dtype=bool)
        is_free = np.ones(len(seen), dtype=bool)
        for mask in (sure & ~young, sure & young, ~sure & ~young, ~sure & young):
            left = rest & mask & is_open[pairs.track] & is_free[pairs.measurement]
            if left.any():
                match = chosen(pairs.where(left), self._gate)
                is_open[match.track] = False
                is_free[match.measurement] = False
                found.append(match)
        return Pairs(*(np.concatenate(columns) for columns in zip(*map(Pairs.columns, found), strict=True)))

    def _all_pairs(self, frame: _Frame) -> Pairs:
        book, seen = self._book, frame.seen
        if len(book) * len(seen) <= _FEW_PAIRS:
            return self._pairs(frame, self._gate, *self._by_table(seen, self._gate, None, None))
        centre, reach, seen_reach = motion.reach_m(
            book.x, book.p, seen.points_m, seen.own_m2, seen.shared_m, math.sqrt(self._gate)
        )
        return self._pairs(frame, self._gate, *near_pairs(centre, reach, seen.points_m, seen_reach))

    def _candidates(
        self, seen: Measurements, gate: float, rows: IndexArray, columns: IndexArray
    ) -> tuple[IndexArray, IndexArray]:
        """Pairs of these tracks and measurements that are near enough to look closer: a few by the table."""
        if len(rows) * len(columns) > _FEW_PAIRS:
            book = self._book
            x, p, points = book.x[rows], book.p[rows], seen.points_m[columns]
            own, factor = seen.own_m2[columns], seen.shared_m[columns]
            centre, reach, seen_reach = motion.reach_m(x, p, points, own, factor, math.sqrt(gate))
            track, measurement = near_pairs(centre, reach, points, seen_reach)
            return rows[track], columns[measurement]
        return self._by_table(seen, gate, rows, columns)

    def _by_table(
        self, seen: Measurements, gate: float, rows: IndexArray | None, columns: IndexArray | None
    ) -> tuple[IndexArray, IndexArray]:
        """The same by the whole table and the whole error, for few."""
        p, place, points = self._book.p, self._book.x, seen.points_m
        factor, own = seen.shared_m, seen.own_m2
        if rows is not None and columns is not None:
            p, place, points, factor, own = (
                p[rows],
                place[rows],
                points[columns],
                factor[columns],
                own[columns],
            )
        flat = factor.reshape(len(points), factor.shape[1] * factor.shape[2])
        seen_m = np.sqrt(gate * (own[:, 0, 0] + own[:, 1, 1] + np.einsum("ij,ij->i", flat, flat)))
        reach_m = np.sqrt(gate * (p[:, 0, 0] + p[:, 1, 1]))[:, None] + seen_m
        is_near = np.abs(place[:, 0, None] - points[:, 0]) <= reach_m
        is_near &= np.abs(place[:, 1, None] - points[:, 1]) <= reach_m
        track, measurement = is_near.nonzero()
        if rows is None or columns is None:
            return track, measurement
        return rows[track], columns[measurement]

    def _pairs(self, frame: _Frame, gate: float, track: IndexArray, measurement: IndexArray) -> Pairs:
        """Of these pairs those inside the gate, with their costs; their innovations stay in the frame."""
        book, seen = self._book, frame.seen
        if not len(track):
            return NO_PAIRS
        own, factor = seen.own_m2[measurement], seen.shared_m[measurement]
        points = seen.points_m[measurement]
        away, s, hp = motion.innovations(book.x[track], book.p[track], points, own, factor)
        s00, s01, s11 = s[:, 0, 0], s[:, 0, 1], s[:, 1, 1]
        determinant = s00 * s11 - s01 * s01
        east, north = away.T
        cost = (s11 * east * east - 2.0 * s01 * east * north + s00 * north * north) / determinant
        # A vague track pays for it, so that in a row of similar objects each keeps its own.
        total = own + factor @ factor.transpose(0, 2, 1)
        measured = total[:, 0, 0] * total[:, 1, 1] - total[:, 0, 1] ** 2
        cost += np.log(np.maximum(determinant / measured, 1.0))
        if len(self._labels) > 1:
            is_other = book.memory["label"][track] != frame.labels[measurement]
            cost += self._config.label_mismatch_cost * is_other
        frame.away, frame.s, frame.hp = away, s, hp
        inside = (cost <= gate).nonzero()[0]
        return Pairs(track[inside], measurement[inside], cost[inside], inside)

    def _correct(self, frame: _Frame, pairs: Pairs) -> None:
        book, seen, rows, columns = self._book, frame.seen, pairs.track, pairs.measurement
        if not len(rows):
            return
        at = pairs.row
        white = motion.correct(book.x, book.p, rows, frame.away[at], frame.s[at], frame.hp[at])
        surprise = book.surprise[rows]
        has_turned = motion.remember_surprise(surprise, white, frame.dt_s)
        if has_turned.any():
            surprise[has_turned] = 0.0
            turned = rows[has_turned]
            book.p[turned, 2, 2] += self._config.manoeuvre_mps**2
            book.p[turned, 3, 3] += self._config.manoeuvre_mps**2
        book.surprise[rows] = surprise
        score, memory = seen.score[columns], book.memory
        memory["score"][rows] = _SCORE_MEMORY * memory["score"][rows] + (1.0 - _SCORE_MEMORY) * score
        memory["look_count"][rows] += 1
        memory["last_match_ns"][rows] = frame.time_ns
        memory["detection_index"][rows] = seen.detection_index[columns]
        if len(self._labels) > 1:
            book.label_scores[rows, frame.labels[columns]] += score
            memory["label"][rows] = book.label_scores[rows].argmax(axis=1)

    def _count_frame(self, time_ns: int) -> None:
        """Count hits and misses of this frame and let tracks rise, coast and fall."""
        book, config = self._book, self._config
        if not len(book):
            return
        memory = book.memory
        is_hit = memory["detection_index"] >= 0
        recent = memory["recent"]
        recent <<= 1
        recent |= is_hit
        recent &= (1 << config.confirm_window) - 1
        memory["frames"] += 1
        young = (memory["status"] == TENTATIVE).nonzero()[0]
        new = _BY_HIT[is_hit.view(np.int8)]
        missed = (~is_hit).nonzero()[0]
        limit_s = np.where(memory["is_moving"][missed], config.coast_s, config.coast_static_s)
        unseen_s = (time_ns - memory["last_match_ns"][missed]) / NS_PER_S
        new[missed[unseen_s > limit_s]] = DROPPED
        is_vague = np.maximum(book.p[:, 0, 0], book.p[:, 1, 1]) > config.max_sigma_m**2
        if is_vague.any():
            new[is_vague] = DROPPED
        if len(young):
            new[young] = self._fate(memory[young], time_ns)
        memory["status"] = new
        memory["was_confirmed"] |= new == CONFIRMED

    def _fate(self, memory: npt.NDArray[np.void], time_ns: int) -> npt.NDArray[np.int8]:
        """What becomes of tentative tracks."""
        config = self._config
        hits = np.bitwise_count(memory["recent"])
        misses = np.minimum(memory["frames"], config.confirm_window) - hits
        is_false = misses > config.confirm_window - config.confirm_hits
        is_false |= (time_ns - memory["last_match_ns"]) / NS_PER_S > config.coast_s
        fate = np.where(is_false, DROPPED, TENTATIVE).astype(np.int8)
        fate[hits >= config.confirm_hits] = CONFIRMED
        return fate

    def _begin(self, frame: _Frame, taken: IndexArray) -> None:
        seen, book = frame.seen, self._book
        is_new = seen.score >= self._config.high_score
        is_new[taken] = False
        new = is_new.nonzero()[0]
        if not len(new):
            return
        new = self._distinct(seen.points_m, new, taken)
        room = MAX_TRACKS - len(book)
        if len(new) > room:
            new = np.sort(new[np.argsort(-seen.score[new], kind="stable")[: max(room, 0)]])
        if not len(new):
            return
        rows, factor = book.begin(len(new)), seen.shared_m[new]
        book.x[rows, :2] = seen.points_m[new]
        p = book.p[rows]
        p[:, :2, :2] = seen.own_m2[new] + factor @ factor.transpose(0, 2, 1)
        p[:, 2, 2] = p[:, 3, 3] = self._config.initial_speed_mps**2
        p[:, 4:, 4:] = np.eye(factor.shape[2])
        p[:, :2, 4:] = -factor  # place = measured - shared error - own error
        p[:, 4:, :2] = -factor.transpose(0, 2, 1)
        memory = book.memory[rows]
        memory["number"] = np.arange(self._next_number, self._next_number + len(new))
        self._next_number += len(new)
        memory["first_ns"] = memory["last_match_ns"] = frame.time_ns
        memory["score"] = score = seen.score[new]
        memory["look_count"] = memory["recent"] = memory["frames"] = 1
        memory["detection_index"] = seen.detection_index[new]
        memory["label"] = labels = frame.labels[new]
        is_sure_at_once = self._config.confirm_hits == 1
        memory["status"] = CONFIRMED if is_sure_at_once else TENTATIVE
        memory["was_confirmed"] = is_sure_at_once
        book.label_scores[np.arange(rows.start, rows.stop), labels] = score

    def _distinct(self, points_m: FloatArray, new: IndexArray, taken: IndexArray) -> IndexArray:
        """Those of `new` that do not repeat, within 2 cm, what is matched or stands before them."""
        cells = (points_m * (1.0 / _SAME_PLACE_M)).round().view(np.complex128)[:, 0].tolist()
        known = {cells[row] for row in taken.tolist()}
        kept = []
        for row in new.tolist():
            if cells[row] not in known:
                known.add(cells[row])
                kept.append(row)
        return np.array(kept, dtype=np.intp)

    def _judge_motion(self) -> None:
        """Choose between standing and moving; what has been called moving stays so until it is unlikely."""
        book = self._book
        if not len(book):
            return
        memory = book.memory
        odds = motion.motion_log_odds(book.x, book.p, self._config.initial_speed_mps)
        speed2 = book.x[:, 2] ** 2 + book.x[:, 3] ** 2
        is_moving = odds > np.where(memory["is_moving"], 0.0, self._moving_odds)
        is_moving &= speed2 > self._config.min_speed_mps**2
        is_moving &= memory["look_count"] >= _LOOKS_TO_MOVE
        memory["is_moving"] = is_moving

    def _report(self, time_ns: int) -> Tracks:
        book = self._book
        tracks = Tracks(
            time_ns, book.memory.copy(), book.x[:, :4].copy(), book.p[:, :4, :4].copy(), self._labels
        )
        dropped = (book.memory["status"] == DROPPED).nonzero()[0]
        if len(dropped):
            book.drop(dropped)
        return tracks
