"""Which measurement belongs to which track: near pairs, costs, the one-to-one choice of least cost.

Pairs of many are found by a sorted column of eastings, so that the work grows with the number of neighbours
and not with tracks times measurements; of few by the whole table. Costs are squared Mahalanobis distances
plus penalties, as sparse columns. What has only one possible partner needs no solver; the rest goes to `lap`,
in pieces that are connected.
"""

from dataclasses import dataclass

import lap
import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
IndexArray = npt.NDArray[np.intp]

MAX_SCANNED = 2_000_000
MAX_PAIRS = 50_000
FEW_PAIRS = 5000
"""Up to so many pairs the whole table is quicker."""

_ONE_SOLVE = 48
_REFUSED_COST = 1e6


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Possible pairs as columns: row of the track, row of the measurement, cost, and the caller's own row."""

    track: IndexArray
    measurement: IndexArray
    cost: FloatArray
    row: IndexArray

    def where(self, mask: BoolArray) -> "Pairs":
        """Only those."""
        rows = mask.nonzero()[0]
        return Pairs(self.track[rows], self.measurement[rows], self.cost[rows], self.row[rows])

    def columns(self) -> tuple[IndexArray, IndexArray, FloatArray, IndexArray]:
        """As they are handed to `Pairs`."""
        return self.track, self.measurement, self.cost, self.row

    def alone(self) -> BoolArray:
        """Which have no other pair of the same track or measurement."""
        partners, rivals = np.bincount(self.track), np.bincount(self.measurement)
        alone: BoolArray = (partners[self.track] == 1) & (rivals[self.measurement] == 1)
        return alone


_NONE = np.zeros(0, dtype=np.intp)
NO_PAIRS = Pairs(_NONE, _NONE, np.zeros(0), _NONE)


class Table:
    """How far each of N tracks is from each of M measurements: `away_m` (N, M), the larger of east and north,
    beside `reach_m` (N, M), the sum of their reaches."""

    def __init__(
        self, track_m: FloatArray, track_reach_m: FloatArray, seen_m: FloatArray, seen_reach_m: FloatArray
    ) -> None:
        left, right = np.ones((3, len(track_m), 2)), np.ones((3, 2, len(seen_m)))
        left[:2, :, 0] = track_m.T
        left[2, :, 0] = track_reach_m
        np.negative(seen_m.T, out=right[:2, 1])
        right[2, 1] = seen_reach_m
        sums = left @ right  # of two numbers each, east, north, reach: quicker so than by broadcasting
        np.abs(sums[:2], out=sums[:2])
        self.away_m, self.reach_m = np.maximum(sums[0], sums[1], out=sums[0]), sums[2]

    def near(self) -> tuple[IndexArray, IndexArray]:
        """Rows (track, measurement) of pairs within reach."""
        near = self.away_m <= self.reach_m
        return np.divmod(near.ravel().nonzero()[0], near.shape[1])

    def near_among(
        self, tracks: IndexArray, measurements: IndexArray, wide: float
    ) -> tuple[IndexArray, IndexArray]:
        """The same of these only, and at so many times the reach."""
        at = (tracks[:, None], measurements)
        track, measurement = (self.away_m[at] <= wide * self.reach_m[at]).nonzero()
        return tracks[track], measurements[measurement]


def near_pairs(
    track_m: FloatArray, track_reach_m: FloatArray, seen_m: FloatArray, seen_reach_m: FloatArray
) -> tuple[IndexArray, IndexArray]:
    """Rows (track, measurement) of all pairs nearer than the sum of their reaches in east and in north.

    In the order of tracks. Bounded: in a crowd beyond all measure a track keeps only those nearest to it.
    """
    if len(track_m) * len(seen_m) <= FEW_PAIRS:
        return Table(track_m, track_reach_m, seen_m, seen_reach_m).near()
    order = seen_m[:, 0].argsort(kind="stable")
    east, at = seen_m[order, 0], track_m[:, 0]
    window = track_reach_m + seen_reach_m.max()
    first = east.searchsorted(at - window, side="left")
    count = east.searchsorted(at + window, side="right")
    count -= first
    total = int(count.sum())
    if total > MAX_SCANNED:
        first, count = _narrowed(east, at, first, first + count)
        total = int(count.sum())
    track = np.arange(len(at)).repeat(count)
    before = count.cumsum()
    before -= count + first
    scanned = np.arange(total)
    scanned -= before[track]
    measurement = order[scanned]
    reach = track_reach_m[track] + seen_reach_m[measurement]
    away = np.abs(at[track] - seen_m[:, 0][measurement])
    np.maximum(away, np.abs(track_m[:, 1][track] - seen_m[:, 1][measurement]), out=away)
    near = (away <= reach).nonzero()[0]
    track, measurement = track[near], measurement[near]
    if len(track) > MAX_PAIRS:
        track, measurement = _nearest(track, measurement, away[near], len(track_m))
    return track, measurement


def _narrowed(
    east: FloatArray, at: FloatArray, first: IndexArray, last: IndexArray
) -> tuple[IndexArray, IndexArray]:
    """First and count of the windows, each cut to its share of `MAX_SCANNED` about its own place."""
    share = max(1, MAX_SCANNED // len(at))
    middle = np.searchsorted(east, at)
    first = np.clip(middle - share // 2, first, np.maximum(last - share, first))
    return first, np.minimum(last - first, share)


def _nearest(
    track: IndexArray, measurement: IndexArray, away: FloatArray, tracks: int
) -> tuple[IndexArray, IndexArray]:
    """Of each track's pairs the nearest, as many as `MAX_PAIRS` allows to all."""
    order = np.lexsort((measurement, away, track))
    starts = np.searchsorted(track[order], np.arange(tracks))
    rank = np.arange(len(order)) - starts[track[order]]
    kept = order[rank < max(1, MAX_PAIRS // tracks)]
    return track[kept], measurement[kept]


def chosen(pairs: Pairs, limit: float) -> Pairs:
    """The one-to-one choice of least total cost, where a miss costs `limit`."""
    is_alone = pairs.alone()
    if np.count_nonzero(is_alone) == len(is_alone):
        return pairs
    return pairs.where(is_alone | _solved(pairs, np.flatnonzero(~is_alone), limit))


def _solved(every: Pairs, contested: IndexArray, limit: float) -> BoolArray:
    """Which of all pairs are chosen among those of the rows `contested`."""
    is_chosen = np.zeros(len(every.track), dtype=bool)
    cost = every.cost[contested]
    rows, row = np.unique(every.track[contested], return_inverse=True)
    columns, column = np.unique(every.measurement[contested], return_inverse=True)
    if max(len(rows), len(columns)) <= _ONE_SOLVE:
        shape = (len(rows), len(columns))
        is_chosen[contested[_assigned(row, column, cost, shape, limit)]] = True
        return is_chosen
    for piece in _pieces(row, column, len(rows), len(columns)):
        near, at = np.unique(row[piece], return_inverse=True)
        far, beside = np.unique(column[piece], return_inverse=True)
        best = _assigned(at, beside, cost[piece], (len(near), len(far)), limit)
        is_chosen[contested[piece[best]]] = True
    return is_chosen


def _assigned(
    row: IndexArray, column: IndexArray, cost: FloatArray, shape: tuple[int, int], limit: float
) -> IndexArray:
    """Which of the pairs are in the assignment of least cost."""
    table = np.full(shape, _REFUSED_COST)
    table[row, column] = cost
    _, partner, _ = lap.lapjv(table, extend_cost=True, cost_limit=limit)
    return np.flatnonzero((partner[row] == column) & (cost <= limit))


def _pieces(row: IndexArray, column: IndexArray, rows: int, columns: int) -> list[IndexArray]:
    """Pairs in groups that share no track and no measurement; small groups are put together."""
    parent = list(range(rows + columns))

    def root(node: int) -> int:
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for near, far in zip(row.tolist(), column.tolist(), strict=True):
        a, b = root(near), root(rows + far)
        if a != b:
            parent[max(a, b)] = min(a, b)
    group = np.array([root(near) for near in row.tolist()])
    order = np.argsort(group, kind="stable")
    sizes = np.bincount(group)
    pieces: list[IndexArray] = []
    piece: list[IndexArray] = []
    size = start = 0
    for each in sizes[sizes > 0].tolist():
        if size and size + each > _ONE_SOLVE:
            pieces.append(np.concatenate(piece))
            piece, size = [], 0
        piece.append(order[start : start + each])
        size += each
        start += each
    pieces.append(np.concatenate(piece))
    return pieces
