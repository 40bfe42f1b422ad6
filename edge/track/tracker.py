"""The tracker of one sensor: one frame of measurements in, every track out; holds no clock."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge.track import boxes, motion
from edge.track.association import FEW_PAIRS, NO_PAIRS, Pairs, Table, chosen, near_pairs
from edge.track.book import Book
from edge.track.config import TrackerConfig
from edge.track.measurements import MAX_LABELS, Measurements, least, most
from edge.track.states import COASTING, CONFIRMED, DROPPED, MEMORY, TENTATIVE, Tracks
from skywarden.clock import NS_PER_S
from skywarden.errors import InputError

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
IndexArray = npt.NDArray[np.intp]

MAX_TRACKS = 4096
_SCORE_MEMORY = 0.7
_SAME_PLACE_M = 0.02
_LOOKS_TO_MOVE = np.array([4, 8])
"""Steady looks that make a track moving: at the whole thing, and at an edge of it."""
_BY_FALSE = np.array([TENTATIVE, DROPPED], dtype=np.int8)
_BY_HIT = np.array([COASTING, CONFIRMED], dtype=np.int8)
_IDLE_NS = round(motion.IDLE_S * NS_PER_S)
_LASTING = 0.5
"""So much of an unusual change of a box stays: its middle stands for another part of the object now."""

_EVEN = 4.0
"""Measurements whose determinants differ by less are as sharp as each other."""

_ALIKE = 4.0
"""What may speak against the size of a box that is farther off than errors as stated explain."""
_WIDE = 4.0
"""The wide gate over the gate, as squared distances."""

_NOTHING = np.zeros(0)
_ALL = slice(None)
_SQUARE = np.array([[0, 1], [1, 2]])
_NO_ROWS = np.zeros(0, dtype=np.intp)


@dataclass(slots=True, eq=False)
class _Frame:
    """One frame at work.

    Attributes:
        labels: (M,), the measurements' labels as our own numbers.
        own_m2, total_m2: (3, M), covariances of what is theirs alone and of their whole error, as
            `edge.track.motion.upper` has them.
        measured_m4: (M,), determinants of the latter.
        is_sure: (M,), of a score that may begin tracks.
        is_taken: (M,), given to a track.
        is_young: (N,), tracks that were tentative before.
        is_passed: (N,), tracks that nobody looked for; `None` when all were.
        is_hit: (N,), tracks that have been given a measurement.
        spread_m2: (N,), the sum of their variances in east and north as predicted.
        is_any_partial: some track has never been seen whole.
        is_any_idle: some track was last seen longer ago than a velocity lasts out of sight.
        table: of all pairs where they are few.
        hz, s, root: of the pairs that were looked at last (`edge.track.motion.innovations`, `roots`).
    """

    time_ns: int
    dt_s: float
    seen: Measurements
    labels: IndexArray
    own_m2: FloatArray
    total_m2: FloatArray
    measured_m4: FloatArray
    is_sure: BoolArray
    is_taken: BoolArray
    is_young: BoolArray
    is_hit: BoolArray
    spread_m2: FloatArray
    hz: FloatArray
    s: FloatArray
    root: FloatArray
    is_any_partial: bool
    is_any_idle: bool
    table: Table | None = None
    is_passed: BoolArray | None = None


class Tracker:
    """Tracks of one sensor. Hand it every frame in order, also those without detections.

    At most `MAX_TRACKS` are held; where more would begin, the surest detections do.
    """

    def __init__(self, config: TrackerConfig | None = None) -> None:
        self._config = config or TrackerConfig()
        self._config.check()
        self._gate = -2.0 * math.log(1.0 - self._config.gate_probability)
        certainty = self._config.moving_probability
        self._odds_to_move = np.array([math.log(certainty / (1.0 - certainty)), 0.0])  # it stood, it moved
        self._coast_ns = round(self._config.coast_s * NS_PER_S)
        self._least_coast_ns = min(self._coast_ns, round(self._config.coast_static_s * NS_PER_S))
        self._newborn = np.zeros(1, dtype=MEMORY)
        for name in ("look_count", "steady_looks", "recent", "frames"):
            self._newborn[name] = 1
        self._newborn["is_steady"] = True
        is_sure_at_once = self._config.confirm_hits == 1
        self._newborn["status"] = CONFIRMED if is_sure_at_once else TENTATIVE
        self._newborn["was_confirmed"] = is_sure_at_once
        self._time_ns: int | None = None
        self._next_number = 1
        self._labels: tuple[str, ...] = ()
        self._forget_per_s = np.zeros(0)
        self._lost_frames = 0
        self._has_boxes = False
        self._book, self._unknown = self._blank(0)

    def update(self, time_ns: int, seen: Measurements, passed_over: Sequence[int] = ()) -> Tracks:
        """Take one frame and answer with every track, in the order of their numbers.

        `passed_over` are numbers of tracks at whose places nobody looked in this frame: not finding them is
        no miss, so their status stays; only the time without a look limits them.

        A dropped track is in the answer once, with that status. Raises `InputError` when time runs back,
        when a measurement is not finite, and when the number of shared errors changes; nothing is changed
        then.
        """
        if self._time_ns is not None and time_ns < self._time_ns:
            raise InputError(f"a frame of {time_ns} ns came after one of {self._time_ns} ns")
        seen.check()
        self._has_boxes |= seen.boxes is not None
        self._accept_sources(seen)
        labels = self._accept_labels(seen)
        if len(seen) and least(seen.score) < self._config.low_score:
            kept = np.flatnonzero(seen.score >= self._config.low_score)
            seen, labels = seen.taken(kept), labels[kept]
        dt_s = 0.0 if self._time_ns is None else (time_ns - self._time_ns) / NS_PER_S
        self._time_ns = time_ns
        self._predict(dt_s)
        frame = self._begin_frame(time_ns, dt_s, seen, labels)
        if len(passed_over):
            frame.is_passed = np.isin(self._book.memory["number"], passed_over)
        self._match(frame)
        is_any_dropped = self._count_frame(frame)
        self._begin(frame)
        self._judge_motion()
        return self._report(time_ns, is_any_dropped)

    def _begin_frame(self, time_ns: int, dt_s: float, seen: Measurements, labels: IndexArray) -> _Frame:
        memory, z = self._book.memory, self._book.z
        memory["detection_index"] = -1
        own, spread = motion.upper(seen.own_m2), z[:, 0, 1] + z[:, 1, 2]
        is_partial = memory["is_partial"]
        is_any_partial = self._has_boxes and bool(is_partial.any())
        if is_any_partial:
            spread += is_partial * (self._book.showing[:, 6] + self._book.showing[:, 8])
        total = own.copy()
        motion.add_products(total, seen.shared_m, seen.shared_m)
        return _Frame(
            time_ns,
            dt_s,
            seen,
            labels,
            own_m2=own,
            total_m2=total,
            measured_m4=total[0] * total[2] - total[1] * total[1],
            is_sure=seen.score >= self._config.high_score,
            is_taken=np.zeros(len(seen), dtype=bool),
            is_young=memory["status"] == TENTATIVE,
            is_hit=np.zeros(len(memory), dtype=bool),
            spread_m2=spread,
            hz=_NOTHING,
            s=_NOTHING,
            root=_NOTHING,
            is_any_partial=is_any_partial,
            is_any_idle=len(memory) > 0 and time_ns - least(memory["last_match_ns"]) > _IDLE_NS,
        )

    def _accept_sources(self, seen: Measurements) -> None:
        if not len(seen):
            return
        sources, before = len(seen.forget_per_s), len(self._forget_per_s)
        if sources != before and len(self._book):
            raise InputError(f"measurements with {sources} shared errors after some with {before}")
        if sources != before:
            self._book, self._unknown = self._blank(sources)
        self._forget_per_s = seen.forget_per_s

    def _blank(self, sources: int) -> tuple[Book, FloatArray]:
        """A book without tracks, and [x P] of what has not been seen."""
        z = np.eye(4 + sources, 5 + sources, 1)
        z[2, 3] = z[3, 4] = self._config.initial_speed_mps**2
        return Book(sources, len(self._labels)), z

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
            is_idle = book.memory["status"] == COASTING
            is_idle &= ~book.memory["is_moving"]
            keep = np.exp(-dt_s * self._forget_per_s)
            motion.predict(book.z, dt_s, self._config.steady_m2ps3, keep, is_idle.nonzero()[0])

    def _match(self, frame: _Frame) -> None:
        """Give tracks their measurements.

        Where for the second frame running most of what was followed is not where it should be, all shared
        errors are drawn anew and the frame is looked at again: the attitude has jumped.
        """
        book, seen = self._book, frame.seen
        if not len(book) or not len(seen):
            return
        pairs = self._rounds(self._all_pairs(frame), frame)
        is_lost = len(pairs.track) < len(seen) and self._are_few(frame, pairs)
        self._lost_frames = self._lost_frames + 1 if is_lost else 0
        if self._lost_frames >= 2:
            self._lost_frames = 0
            shared = np.arange(4, book.z.shape[1])
            book.z[:, shared, shared + 1] += 1.0
            pairs = self._rounds(self._all_pairs(frame), frame)
        self._correct(frame, pairs)
        self._match_far(frame)

    def _are_few(self, frame: _Frame, pairs: Pairs) -> bool:
        """Less than half of the confirmed tracks that were looked for have a pair."""
        status = self._book.memory["status"]
        if frame.is_passed is not None:
            looked_for = (status == CONFIRMED) & ~frame.is_passed
            return 2 * int(np.count_nonzero(looked_for[pairs.track])) < int(np.count_nonzero(looked_for))
        followed = int(np.count_nonzero(status == CONFIRMED))
        if 2 * (len(pairs.track) - len(status) + followed) >= followed:
            return False
        return 2 * int(np.count_nonzero(status[pairs.track] == CONFIRMED)) < followed

    def _match_far(self, frame: _Frame) -> None:
        """What is left, up to twice as far off: for errors that are larger than stated, and so count less."""
        is_open = ~(frame.is_hit | frame.is_young)
        if frame.is_any_idle:
            is_open &= self._book.memory["last_match_ns"] >= frame.time_ns - _IDLE_NS
        rows = is_open.nonzero()[0]
        columns = (frame.is_sure > frame.is_taken).nonzero()[0]
        if not len(rows) or not len(columns):
            return
        gate = _WIDE * self._gate
        if frame.table is not None:
            track, measurement = frame.table.near_among(rows, columns, math.sqrt(_WIDE))
        else:
            track, measurement = self._near(frame, gate, rows, columns)
            track, measurement = rows[track], columns[measurement]
        if not len(track):
            return
        pairs = self._pairs(frame, gate, track, measurement, is_far=True)
        if not len(pairs.track):
            return
        pairs = chosen(pairs if pairs.alone().all() else self._weighed(pairs, frame), gate)
        more = _WIDE * pairs.cost / self._gate
        frame.s[:, pairs.row] += more * frame.own_m2[:, pairs.measurement]
        frame.root = motion.roots(frame.s)
        self._correct(frame, pairs)

    def _rounds(self, pairs: Pairs, frame: _Frame) -> Pairs:
        """Sure with confirmed, sure with tentative; then unsure with confirmed and with tentative."""
        alone = pairs.alone()
        if np.count_nonzero(alone) == len(alone):
            return pairs
        found, rest = [pairs.where(alone)], self._weighed(pairs.where(~alone), frame)
        turn = frame.is_young[rest.track] + 2 * ~frame.is_sure[rest.measurement]
        is_hit, is_taken = np.zeros_like(frame.is_hit), np.zeros_like(frame.is_taken)
        for rank in np.flatnonzero(np.bincount(turn)).tolist():
            is_open = ~(is_hit[rest.track] | is_taken[rest.measurement])
            match = chosen(rest.where(is_open & (turn == rank)), self._gate)
            is_hit[match.track] = True
            is_taken[match.measurement] = True
            found.append(match)
        return Pairs(*(np.concatenate(columns) for columns in zip(*map(Pairs.columns, found), strict=True)))

    def _weighed(self, pairs: Pairs, frame: _Frame) -> Pairs:
        """The same pairs with what only counts where there is a choice.

        A vague look is within reach of everything; of a track's looks the sharp one is likelier by the ratio
        of their errors.
        """
        measured = frame.measured_m4
        if most(measured) <= _EVEN * least(measured):
            return pairs
        vague = np.log(measured[pairs.measurement])
        sharpest = np.full(len(self._book), np.inf)
        np.minimum.at(sharpest, pairs.track, vague)
        cost = pairs.cost + vague
        cost -= sharpest[pairs.track]
        return Pairs(pairs.track, pairs.measurement, cost, pairs.row)

    def _all_pairs(self, frame: _Frame) -> Pairs:
        """Pairs inside the gate; where they are few, found by their whole errors."""
        book, seen = self._book, frame.seen
        if len(book) * len(seen) > FEW_PAIRS:
            near = self._near(frame, self._gate, _ALL, _ALL)
        else:
            spread, total = frame.spread_m2, frame.total_m2
            reach, seen_reach = np.sqrt(self._gate * spread), np.sqrt(self._gate * (total[0] + total[2]))
            frame.table = Table(book.z[:, :2, 0], reach, seen.points_m, seen_reach)
            near = frame.table.near()
        return self._pairs(frame, self._gate, *near)

    def _near(
        self, frame: _Frame, gate: float, rows: IndexArray | slice, columns: IndexArray | slice
    ) -> tuple[IndexArray, IndexArray]:
        """Pairs of these tracks and measurements, counted among these, near enough to look closer."""
        seen, z = frame.seen, self._book.z[rows]
        points, own, factor = seen.points_m[columns], seen.own_m2[columns], seen.shared_m[columns]
        centre, reach, seen_reach = motion.reach_m(z, points, own, factor, math.sqrt(gate))
        if frame.is_any_partial:
            beside = self._book.showing[rows, 6] + self._book.showing[rows, 8]
            reach += self._book.memory["is_partial"][rows] * np.sqrt(gate * beside)
        return near_pairs(centre, reach, points, seen_reach)

    def _pairs(
        self, frame: _Frame, gate: float, track: IndexArray, measurement: IndexArray, *, is_far: bool = False
    ) -> Pairs:
        """Of these pairs those inside the gate, with their costs; their innovations stay in the frame."""
        if not len(track):
            return NO_PAIRS
        seen, z = frame.seen, self._book.z.take(track, axis=0)
        points, factor = (each.take(measurement, axis=0) for each in (seen.points_m, seen.shared_m))
        own = frame.own_m2.take(measurement, axis=1)
        frame.hz, frame.s = motion.innovations(z, points, own, factor)
        if frame.is_any_partial:
            frame.s += self._unseen_m2(track)
        frame.root = root = motion.roots(frame.s)
        cost = motion.squared_distances(frame.hz, root)
        # A vague track pays for it, so that in a row of similar objects each keeps its own.
        vague = root[0] * root[2]
        vague *= vague
        vague /= frame.measured_m4[measurement]
        np.maximum(vague, 1.0, out=vague)
        cost += np.log(vague, out=vague)
        if len(self._labels) > 1:
            is_other = self._book.memory["label"][track] != frame.labels[measurement]
            cost += self._config.label_mismatch_cost * is_other
        if seen.boxes is not None:
            remembered, now = self._book.sides[track], seen.boxes.taken(measurement)
            unlike = boxes.unlikeness(remembered, now, is_strict=is_far)
            cost += unlike
            if is_far:
                cost[unlike > _ALIKE] = np.inf
        inside = (cost <= gate).nonzero()[0]
        return Pairs(track[inside], measurement[inside], cost[inside], inside)

    def _cut_m2(self, frame: _Frame, columns: IndexArray) -> FloatArray:
        """What of the own errors (3, M) of these looks is for what the image's edge cuts off."""
        assert frame.seen.boxes is not None
        own_m2 = frame.own_m2[:, columns]
        return own_m2 - motion.without(own_m2, frame.seen.boxes.taken(columns).cut_m2)

    def _unseen_m2(self, rows: IndexArray) -> FloatArray:
        """Covariances (3, N), as `motion.upper` has them, of where the middles of these tracks are from what
        of them is followed; zero but for those never seen whole."""
        beside: FloatArray = self._book.showing[rows, 6:].T * self._book.memory["is_partial"][rows]
        return beside

    def _correct(self, frame: _Frame, pairs: Pairs) -> None:
        book, seen, rows, columns = self._book, frame.seen, pairs.track, pairs.measurement
        if not len(rows):
            return
        frame.is_hit[rows] = True
        frame.is_taken[columns] = True
        fresh = self._look_at_boxes(frame, pairs)
        back = self._back_in_sight(frame, rows)
        white = motion.correct(
            book.z, rows, frame.hz.take(pairs.row, axis=0), frame.root.take(pairs.row, axis=1)
        )
        surprise = book.surprise[rows]
        turned = motion.remember_surprise(surprise, white, frame.dt_s)
        if len(turned):
            surprise[turned] = 0.0
            turned = rows[turned]
            book.z[turned, 2, 3] += self._config.manoeuvre_mps**2
            book.z[turned, 3, 4] += self._config.manoeuvre_mps**2
        book.surprise[rows] = surprise
        if len(fresh):
            self._start_over(frame, rows[fresh], columns[fresh])
        if len(back):
            self._forget_speed(back)
        score, memory = seen.score[columns], book.memory
        memory["score"][rows] = _SCORE_MEMORY * memory["score"][rows] + (1.0 - _SCORE_MEMORY) * score
        memory["look_count"][rows] += 1
        memory["last_match_ns"][rows] = frame.time_ns
        memory["detection_index"][rows] = seen.detection_index[columns]
        if len(self._labels) > 1:
            book.label_scores[rows, frame.labels[columns]] += score
            memory["label"][rows] = book.label_scores[rows].argmax(axis=1)

    def _look_at_boxes(self, frame: _Frame, pairs: Pairs) -> IndexArray:
        """Widen the errors of looks whose boxes are not what they were.

        Answers which pairs are the first look of their track that shows all of it.
        """
        book, seen, rows, columns = self._book, frame.seen.boxes, pairs.track, pairs.measurement
        memory = book.memory
        if seen is None:
            memory["steady_looks"][rows] += 1
            return _NO_ROWS
        now, sides, looks = seen.taken(columns), book.sides[rows], memory["steady_looks"][rows]
        is_steady, half_m = now.is_whole, now.half_m
        begins = is_steady & (looks == 0)
        variance, unusual = boxes.remember_sides(sides, now)
        book.sides[rows] = sides
        if frame.is_any_partial:
            is_partial = memory["is_partial"][rows]
            is_steady = is_steady | self._look_at_parts(frame, pairs, now, is_partial, variance, unusual)
            begins |= is_partial & (now.is_whole | ~is_steady)
            memory["is_partial"][rows] = is_partial & ~now.is_whole
        half_t = half_m.transpose(0, 2, 1)
        frame.s[:, pairs.row] += motion.upper((half_m * variance[:, None, :]) @ half_t)
        lasting = (half_m * (_LASTING * unusual)[:, None, :]) @ half_t
        book.z[rows, :2, 1:3] += lasting
        frame.hz[pairs.row, :, 1:3] += lasting
        frame.root = motion.roots(frame.s)
        memory["is_steady"][rows] = is_steady
        memory["steady_looks"][rows] = looks + is_steady
        begun: IndexArray = begins.nonzero()[0]
        return begun

    def _look_at_parts(
        self,
        frame: _Frame,
        pairs: Pairs,
        now: boxes.Boxes,
        is_partial: BoolArray,
        variance: FloatArray,
        unusual: FloatArray,
    ) -> BoolArray:
        """Follow the free edges of what has never been seen whole, while as much of it is shown.

        Sharpens the errors of such looks, and begins showings for the others. Answers which looks are such.
        """
        is_same = np.zeros(len(is_partial), dtype=bool)
        at = (is_partial & ~now.is_whole).nonzero()[0]
        if not len(at):
            return is_same
        book, parts = self._book, now.taken(at)
        showing = book.showing[pairs.track[at]]
        is_same[at] = same = boxes.is_same_showing(showing, parts)
        kept, other = same.nonzero()[0], (~same).nonzero()[0]
        book.showing[pairs.track[at[other]]] = boxes.first_showings(parts.taken(other))
        at, parts, row = at[kept], parts.taken(kept), pairs.row[at[kept]]
        unseen_m2 = self._unseen_m2(pairs.track[at]) + self._cut_m2(frame, pairs.measurement[at])
        showing = showing[kept]
        farther, variance[at] = boxes.remember_showings(showing, parts)
        unusual[at] = 0.0
        book.showing[pairs.track[at]] = showing
        frame.hz[row, :, 0] -= farther
        frame.s[:, row] -= unseen_m2
        return is_same

    def _back_in_sight(self, frame: _Frame, rows: IndexArray) -> IndexArray:
        """Which of these tracks stood when they went out of sight long ago.

        What has become of them meanwhile, and whether it is they, their next looks must show: those are
        counted anew.
        """
        memory = self._book.memory
        if not frame.is_any_idle:
            return _NO_ROWS
        is_back = memory["last_match_ns"][rows] < frame.time_ns - _IDLE_NS
        is_back &= ~memory["is_moving"][rows]
        back = rows[is_back]
        memory["steady_looks"][back] = memory["is_steady"][back]
        return back

    def _forget_speed(self, rows: IndexArray) -> None:
        z = self._book.z
        z[rows, 2:4] = 0.0
        z[rows, :, 3:5] = 0.0
        z[rows, 2, 3] = z[rows, 3, 4] = self._config.manoeuvre_mps**2
        self._book.surprise[rows] = 0.0

    def _start_over(self, frame: _Frame, rows: IndexArray, columns: IndexArray) -> None:
        """Forget what parts of things that came into the picture seemed to say of place and speed.

        A speed that an edge of the thing has shown often enough is kept.
        """
        book = self._book
        z, memory = self._first_look(frame, columns), book.memory
        known = (memory["steady_looks"][rows] > _LOOKS_TO_MOVE[1]).nonzero()[0]
        z[known, 2:4, 0] = book.z[rows[known], 2:4, 0]
        z[known, 2:4, 3:5] = book.z[rows[known], 2:4, 3:5]
        other = np.delete(rows, known)
        memory["steady_looks"][other] = 1
        book.z[rows] = z
        book.surprise[rows] = 0.0

    def _first_look(self, frame: _Frame, columns: IndexArray) -> FloatArray:
        seen, total_m2 = frame.seen, frame.total_m2[:, columns]
        if seen.boxes is not None and not seen.boxes.is_whole[columns].all():
            total_m2 = total_m2 - self._cut_m2(frame, columns)
        square = total_m2.T[:, _SQUARE]
        return motion.first_look(self._unknown, seen.points_m[columns], square, seen.shared_m[columns])

    def _count_frame(self, frame: _Frame) -> bool:
        """Let tracks rise, coast and fall by this frame's hits and misses; answers whether any falls."""
        memory, config = self._book.memory, self._config
        if not len(memory):
            return False
        new = _BY_HIT[frame.is_hit.view(np.int8)]
        is_passed = None if frame.is_passed is None else frame.is_passed & ~frame.is_hit
        if is_passed is not None:
            new[is_passed] = memory["status"][is_passed]
        if frame.is_any_idle or self._least_coast_ns < _IDLE_NS:
            limit_s = np.where(memory["is_moving"], config.coast_s, config.coast_static_s)
            unseen_s = (frame.time_ns - memory["last_match_ns"]) / NS_PER_S
            new[unseen_s > limit_s] = DROPPED
        if not most(frame.spread_m2) <= config.max_sigma_m**2:
            z = self._book.z
            new[np.maximum(z[:, 0, 1], z[:, 1, 2]) > config.max_sigma_m**2] = DROPPED
        young = (frame.is_young if is_passed is None else frame.is_young & ~is_passed).nonzero()[0]
        if len(young):
            new[young] = self._fate(frame, young)
        memory["status"] = new
        return int(np.count_nonzero(new == DROPPED)) > 0

    def _fate(self, frame: _Frame, young: IndexArray) -> npt.NDArray[np.int8]:
        """Count hits and misses of tentative tracks; answers what becomes of them."""
        config, memory = self._config, self._book.memory
        recent = memory["recent"][young] << 1
        recent |= frame.is_hit[young]
        recent &= (1 << config.confirm_window) - 1
        memory["recent"][young] = recent
        memory["frames"][young] = frames = memory["frames"][young] + 1
        hits = np.bitwise_count(recent)
        misses = np.minimum(frames, config.confirm_window) - hits
        is_false = misses > config.confirm_window - config.confirm_hits
        is_false |= memory["last_match_ns"][young] < frame.time_ns - self._coast_ns
        fate: npt.NDArray[np.int8] = _BY_FALSE[is_false.view(np.int8)]
        fate[hits >= config.confirm_hits] = CONFIRMED
        memory["was_confirmed"][young] = fate == CONFIRMED
        return fate

    def _begin(self, frame: _Frame) -> None:
        seen, book = frame.seen, self._book
        new = (frame.is_sure > frame.is_taken).nonzero()[0]
        if not len(new):
            return
        new = self._distinct(frame, new)
        room = MAX_TRACKS - len(book)
        if len(new) > room:
            new = np.sort(new[np.argsort(-seen.score[new], kind="stable")[: max(room, 0)]])
        if not len(new):
            return
        rows = book.begin(len(new), self._newborn)
        book.z[rows] = self._first_look(frame, new)
        memory = book.memory[rows]
        memory["number"] = np.arange(self._next_number, self._next_number + len(new))
        self._next_number += len(new)
        memory["first_ns"] = memory["last_match_ns"] = frame.time_ns
        memory["score"] = score = seen.score[new]
        memory["detection_index"] = seen.detection_index[new]
        memory["label"] = labels = frame.labels[new]
        book.surprise[rows] = 0.0
        if seen.boxes is not None:
            book.sides[rows] = boxes.first_looks(seen.boxes.taken(new))
            begun = seen.boxes.taken(new)
            book.showing[rows] = boxes.first_showings(begun)
            memory["is_partial"] = ~begun.is_whole
        book.label_scores[rows] = 0.0
        book.label_scores[np.arange(rows.start, rows.stop), labels] = score

    def _distinct(self, frame: _Frame, new: IndexArray) -> IndexArray:
        """Those of `new` that do not repeat, within 2 cm, what is matched or stands before them."""
        cells = (frame.seen.points_m * (1.0 / _SAME_PLACE_M)).round().view(np.complex128)[:, 0].tolist()
        if len(set(cells)) == len(cells):
            return new
        known = {cells[row] for row in frame.is_taken.nonzero()[0].tolist()}
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
        memory, z = book.memory, book.z
        odds = motion.motion_log_odds(z, self._config.initial_speed_mps)
        was_moving = memory["is_moving"]
        is_moving = odds > self._odds_to_move[was_moving.view(np.int8)]
        if self._has_boxes:
            is_moving &= was_moving | memory["is_steady"]
        speed2 = z[:, 2:4, 0] ** 2
        is_moving &= speed2[:, 0] + speed2[:, 1] > self._config.min_speed_mps**2
        is_known = memory["steady_looks"] >= _LOOKS_TO_MOVE[memory["is_partial"].view(np.int8)]
        is_moving &= is_known
        memory["is_moving"] = is_moving
        is_known &= odds < -self._odds_to_move[0]
        memory["is_standing"] = is_known

    def _report(self, time_ns: int, is_any_dropped: bool) -> Tracks:
        book = self._book
        p = book.z[:, :4, 1:5].copy()
        if self._has_boxes:
            partial = book.memory["is_partial"].nonzero()[0]
            p[partial, :2, :2] += self._unseen_m2(partial).T[:, _SQUARE]
        tracks = Tracks(time_ns, book.copied_memory(), book.z[:, :4, 0].copy(), p, self._labels)
        if is_any_dropped:
            book.drop((book.memory["status"] == DROPPED).nonzero()[0])
        return tracks
