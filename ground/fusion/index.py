"""Which tracks are near enough in time and place to be one thing: columns of numbers, asked all at once.

A thousand tracks may come at once, and each has a thousand others at the same time: what no pair of their
boxes allows is left out here, by arithmetic over whole columns, and never looked at one by one. A watch of
days has many more; rows stay in the order in which tracks began, so that of most blocks of them it is known
by one comparison that they are of another time.
"""

from typing import TypeVar

import numpy as np
import numpy.typing as npt

from ground.config import ContactsConfig
from ground.fusion.plane import metres_per_degree, wrapped_deg
from ground.fusion.track import FusionTrack
from skywarden.clock import NS_PER_S

FloatArray = npt.NDArray[np.float64]

_Number = TypeVar("_Number", bound=np.generic)

_BLOCK = 512
_SLACK = 1.0 + 1e-9
_WEST, _SOUTH, _EAST, _NORTH = range(4)
_FIRST, _LAST = range(2)
_STATIC, _STANDING = range(2)
_NEVER = np.iinfo(np.int64).max, np.iinfo(np.int64).min


class TrackTable:
    """When tracks were there, and the boxes round their looks; a row for each that has a place."""

    def __init__(self, config: ContactsConfig) -> None:
        self._config = config
        self._north_m, _ = metres_per_degree(0.0)
        self._farthest_m = config.max_distance_m + config.max_gap_s * 5 * config.speed_sigma_mps
        self._row_of: dict[str, int] = {}
        self._names: list[str | None] = []
        """By row; `None` where a track was forgotten, whose box is not a number and so near nothing."""
        self._boxes: FloatArray = np.full((4, _BLOCK), np.nan)
        self._spans: npt.NDArray[np.int64] = np.zeros((2, _BLOCK), np.int64)
        self._kinds: npt.NDArray[np.bool_] = np.zeros((2, _BLOCK), bool)
        self._block_spans: npt.NDArray[np.int64] = np.zeros((2, 1), np.int64)
        self._block_kinds: npt.NDArray[np.bool_] = np.zeros((2, 1), bool)
        """When the rows of a block were there at all, and whether any is of a kind."""

    def note(self, track: FusionTrack) -> None:
        """The track as it is now, instead of how it was; one without a place is left out."""
        if track.box is None:
            return
        row = self._row_of.get(track.track_id)
        if row is None:
            row = self._row_of[track.track_id] = len(self._names)
            self._names.append(track.track_id)
            self._make_room(row)
        self._boxes[:, row] = track.box
        self._spans[:, row] = track.first_ns, track.last_ns
        self._kinds[:, row] = track.is_static, track.is_standing
        self._widen(row // _BLOCK, track.first_ns, track.last_ns)
        self._block_kinds[:, row // _BLOCK] |= self._kinds[:, row]

    def forget(self, track_id: str) -> None:
        """Drop a track; when most rows are of such, the others move together."""
        row = self._row_of.pop(track_id, None)
        if row is None:
            return
        self._names[row] = None
        self._boxes[:, row] = np.nan
        if len(self._names) > 2 * max(len(self._row_of), _BLOCK):
            self._move_together()

    def near(self, track: FusionTrack) -> list[str]:
        """Other tracks that may be the same thing, in order of name: those that `association.compared` finds
        a cost for are among them. The track must have been noted.
        """
        config = self._config
        rows = self._of_this_belt(track, self._blocks_of_this_time(track))
        spans, kinds = self._spans[:, rows], self._kinds[:, rows]
        gap_s = _gaps_s(spans, track)
        if track.is_static:
            gap_s[kinds[_STATIC]] = 0.0
        is_soon = gap_s <= config.max_gap_s * _SLACK
        reach_m = config.max_distance_m + np.where(is_soon, gap_s * 5 * config.speed_sigma_mps, 0.0)
        if track.is_standing:
            is_soon |= kinds[_STANDING] & (gap_s <= config.standing_gap_s * _SLACK)
        rows, reach_m = rows[is_soon], reach_m[is_soon]
        beside = rows[self._away_m(track, rows) <= reach_m * _SLACK]
        names = [self._names[one] for one in beside]
        return sorted([name for name in names if name is not None and name != track.track_id])

    def _blocks_of_this_time(self, track: FusionTrack) -> npt.NDArray[np.intp]:
        """Blocks with any row that may be of the same time."""
        count = -(-len(self._names) // _BLOCK)
        gap_s = _gaps_s(self._block_spans[:, :count], track)
        is_soon = gap_s <= self._config.max_gap_s * _SLACK
        if track.is_static:
            is_soon |= self._block_kinds[_STATIC, :count]
        if track.is_standing:
            is_soon |= self._block_kinds[_STANDING, :count] & (gap_s <= self._config.standing_gap_s * _SLACK)
        return np.flatnonzero(is_soon)

    def _of_this_belt(self, track: FusionTrack, blocks: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
        """Rows of these blocks that are no farther north or south than anything may be."""
        assert track.box is not None
        reach_deg = self._farthest_m / self._north_m * _SLACK
        south = self._boxes[_SOUTH].reshape(-1, _BLOCK)[blocks]
        north = self._boxes[_NORTH].reshape(-1, _BLOCK)[blocks]
        is_near = (north >= track.box[_SOUTH] - reach_deg) & (south <= track.box[_NORTH] + reach_deg)
        found, offset = np.nonzero(is_near)
        return blocks[found] * _BLOCK + offset

    def _away_m(self, track: FusionTrack, rows: npt.NDArray[np.intp]) -> FloatArray:
        """Least distance between boxes: what `pairs` works out for many pairs, for one track and many."""
        assert track.box is not None
        west, south, east, north = track.box
        boxes = self._boxes[:, rows]
        up = np.maximum(np.maximum(south - boxes[_NORTH], boxes[_SOUTH] - north), 0.0)
        between = np.abs(wrapped_deg((boxes[_WEST] + boxes[_EAST] - west - east) / 2))
        over = np.maximum(between - (east - west) / 2 - (boxes[_EAST] - boxes[_WEST]) / 2, 0.0)
        farthest = np.maximum(np.abs(boxes[_SOUTH]), np.abs(boxes[_NORTH]))
        latitude_deg = np.minimum(89.9, np.maximum(farthest, max(abs(south), abs(north))))
        found: FloatArray = np.hypot(up, over * np.cos(np.radians(latitude_deg))) * self._north_m
        return found

    def _make_room(self, row: int) -> None:
        """Have columns for this new row, and a block for it."""
        if row >= self._spans.shape[1]:
            blocks = max(1, self._block_spans.shape[1] // 4)
            self._boxes = _longer(self._boxes, blocks * _BLOCK, np.nan)
            self._spans = _longer(self._spans, blocks * _BLOCK)
            self._kinds = _longer(self._kinds, blocks * _BLOCK)
            self._block_spans = _longer(self._block_spans, blocks)
            self._block_kinds = _longer(self._block_kinds, blocks)
        if row % _BLOCK == 0:
            self._block_spans[:, row // _BLOCK] = _NEVER
            self._block_kinds[:, row // _BLOCK] = False

    def _widen(self, block: int, first_ns: int, last_ns: int) -> None:
        spans = self._block_spans
        spans[_FIRST, block] = min(int(spans[_FIRST, block]), first_ns)
        spans[_LAST, block] = max(int(spans[_LAST, block]), last_ns)

    def _move_together(self) -> None:
        """Leave the forgotten rows out, in the same order."""
        rows = [row for row, name in enumerate(self._names) if name is not None]
        count = len(rows)
        self._names = [self._names[row] for row in rows]
        self._row_of = {name: row for row, name in enumerate(self._names) if name is not None}
        for columns in (self._boxes, self._spans, self._kinds):
            columns[:, :count] = columns[:, rows]
        self._boxes[:, count:] = np.nan
        for begin in range(0, count, _BLOCK):
            some = slice(begin, min(count, begin + _BLOCK))
            first, last = self._spans[:, some]
            self._block_spans[:, begin // _BLOCK] = first.min(), last.max()
            self._block_kinds[:, begin // _BLOCK] = self._kinds[:, some].any(axis=1)


def _gaps_s(spans: npt.NDArray[np.int64], track: FusionTrack) -> FloatArray:
    """From the end of the one to the begin of the other; 0 where they overlap."""
    gap_s: FloatArray = (
        np.maximum(spans[_FIRST], track.first_ns) - np.minimum(spans[_LAST], track.last_ns)
    ) / NS_PER_S
    np.maximum(gap_s, 0.0, out=gap_s)
    return gap_s


def _longer(columns: npt.NDArray[_Number], more: int, filler: float = 0) -> npt.NDArray[_Number]:
    return np.concatenate([columns, np.full_like(columns, filler, shape=(len(columns), more))], axis=1)
