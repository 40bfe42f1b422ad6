"""Which measurement belongs to which track: near pairs, costs, the one-to-one choice of least cost.

Pairs are found by a sorted column of eastings, so that the work grows with the number of neighbours and not
with tracks times measurements. Costs are squared Mahalanobis distances plus penalties, as sparse columns.
What has only one possible partner needs no solver; the rest goes to `lap`, in pieces that are connected.
"""

from dataclasses import dataclass

import lap
import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
IndexArray = npt.NDArray[np.intp]

MAX_SCANNED = 2_000_000
MAX_PAIRS = 100_000
_ONE_SOLVE = 48
_REFUSED_COST = 1e6


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Possible pairs as columns: row of the track, row of the measurement, cost."""

    track: IndexArray
    measurement: IndexArray
    cost: FloatArray

    def where(self, mask: BoolArray) -> "Pairs":
        """Only those."""
        return Pairs(self.track[mask], self.measurement[mask], self.cost[mask])


def near_pairs(
    track_m: FloatArray, track_reach_m: FloatArray, seen_m: FloatArray, seen_reach_m: FloatArray
) -> tuple[IndexArray, IndexArray]:
    """Rows (track, measurement) of all pairs nearer than the sum of their reaches in east and in north.

    In the order of tracks, then of eastings. Bounded: in a crowd beyond all measure a track keeps only those
    nearest to it.
    """
    order = np.argsort(seen_m[:, 0], kind="stable")
    east = seen_m[order, 0]
    largest = seen_reach_m.max()
    first = np.searchsorted(east, track_m[:, 0] - track_reach_m - largest, side="left")
    last = np.searchsorted(east, track_m[:, 0] + track_reach_m + largest, side="right")
    count = last - first
    total = int(count.sum())
    if total > MAX_SCANNED:
        first, count = _narrowed(east, track_m[:, 0], first, last)
        total = int(count.sum())
    track = np.repeat(np.arange(len(track_m)), count)
    ends = np.cumsum(count)
    measurement = order[np.arange(total) + np.repeat(first - (ends - count), count)]
    reach = track_reach_m[track] + seen_reach_m[measurement]
    away = np.abs(track_m[track] - seen_m[measurement])
    is_near = (away[:, 1] <= reach) & (away[:, 0] <= reach)
    track, measurement = track[is_near], measurement[is_near]
    if len(track) > MAX_PAIRS:
        track, measurement = _nearest(track, measurement, away[is_near], len(track_m))
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
    order = np.lexsort((measurement, away.max(axis=1), track))
    starts = np.searchsorted(track[order], np.arange(tracks))
    rank = np.arange(len(order)) - starts[track[order]]
    kept = order[rank < max(1, MAX_PAIRS // tracks)]
    return track[kept], measurement[kept]


def chosen(pairs: Pairs, limit: float) -> Pairs:
    """The one-to-one choice of least total cost, where a miss costs `limit`."""
    track, measurement = pairs.track, pairs.measurement
    partners = np.bincount(track)[track]
    rivals = np.bincount(measurement)[measurement]
    is_alone = (partners == 1) & (rivals == 1)
    if is_alone.all():
        return pairs
    return pairs.where(is_alone | _solved(pairs, np.flatnonzero(~is_alone), limit))


def _solved(every: Pairs, contested: IndexArray, limit: float) -> BoolArray:
    """Which of all pairs are chosen among those of the rows `contested`."""
    pairs = Pairs(every.track[contested], every.measurement[contested], every.cost[contested])
    is_chosen = np.zeros(len(every.track), dtype=bool)
    rows, row = np.unique(pairs.track, return_inverse=True)
    columns, column = np.unique(pairs.measurement, return_inverse=True)
    if max(len(rows), len(columns)) <= _ONE_SOLVE:
        shape = (len(rows), len(columns))
        is_chosen[contested[_assigned(row, column, pairs.cost, shape, limit)]] = True
        return is_chosen
    for piece in _pieces(row, column, len(rows), len(columns)):
        near, at = np.unique(row[piece], return_inverse=True)
        far, beside = np.unique(column[piece], return_inverse=True)
        best = _assigned(at, beside, pairs.cost[piece], (len(near), len(far)), limit)
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
