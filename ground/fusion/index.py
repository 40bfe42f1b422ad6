"""Which tracks are near enough in time and place to be one thing: columns of numbers, asked all at once.

A thousand tracks may come at once, and each has a thousand others at the same time: what no pair of their
boxes allows is left out here, by arithmetic over whole columns, and never looked at one by one.
"""

from typing import TypeVar

import numpy as np
import numpy.typing as npt

from ground.config import ContactsConfig
from ground.fusion.estimate import NS_PER_S
from ground.fusion.plane import metres_per_degree
from ground.fusion.track import FusionTrack

FloatArray = npt.NDArray[np.float64]

_Number = TypeVar("_Number", bound=np.generic)

_FIRST_ROWS = 256
_SLACK = 1.0 + 1e-9
_WEST, _SOUTH, _EAST, _NORTH = range(4)


class TrackTable:
    """When tracks were there, and the boxes round their looks; a row for each that has a place."""

    def __init__(self, config: ContactsConfig) -> None:
        self._config = config
        self._row_of: dict[str, int] = {}
        self._names: list[str] = []
        self._boxes: FloatArray = np.zeros((4, _FIRST_ROWS))
        self._spans: npt.NDArray[np.int64] = np.zeros((2, _FIRST_ROWS), np.int64)
        self._kinds: npt.NDArray[np.bool_] = np.zeros((2, _FIRST_ROWS), bool)

    def note(self, track: FusionTrack) -> None:
        """The track as it is now, instead of how it was; one without a place is left out."""
        if track.box is None:
            return
        row = self._row_of.get(track.track_id)
        if row is None:
            row = self._row_of[track.track_id] = len(self._names)
            self._names.append(track.track_id)
            if row >= self._spans.shape[1]:
                self._boxes, self._spans = _doubled(self._boxes), _doubled(self._spans)
                self._kinds = _doubled(self._kinds)
        self._boxes[:, row] = track.box
        self._spans[:, row] = track.first_ns, track.last_ns
        self._kinds[:, row] = track.is_static, track.is_standing

    def forget(self, track_id: str) -> None:
        """Drop a track; the last row takes its place."""
        row = self._row_of.pop(track_id, None)
        if row is None:
            return
        last = len(self._names) - 1
        moved = self._names[last]
        self._names.pop()
        if row != last:
            self._names[row], self._row_of[moved] = moved, row
            for columns in (self._boxes, self._spans, self._kinds):
                columns[:, row] = columns[:, last]

    def near(self, track: FusionTrack) -> list[str]:
        """Other tracks that may be the same thing, in order of name: those that `association.compared` finds
        a cost for are among them. The track must have been noted.
        """
        row, count, config = self._row_of[track.track_id], len(self._names), self._config
        spans, kinds = self._spans[:, :count], self._kinds[:, :count]
        gap_s = (np.maximum(spans[0], track.first_ns) - np.minimum(spans[1], track.last_ns)) / NS_PER_S
        np.maximum(gap_s, 0.0, out=gap_s)
        if track.is_static:
            gap_s[kinds[0]] = 0.0
        is_soon = gap_s <= config.max_gap_s * _SLACK
        reach_m = config.max_distance_m + np.where(is_soon, gap_s * 5 * config.speed_sigma_mps, 0.0)
        if track.is_standing:
            is_soon |= kinds[1] & (gap_s <= config.standing_gap_s * _SLACK)
        is_soon[row] = False
        soon = np.nonzero(is_soon)[0]
        beside = soon[self._away_m(row, soon) <= reach_m[soon] * _SLACK]
        return sorted([self._names[one] for one in beside])

    def _away_m(self, row: int, others: npt.NDArray[np.intp]) -> FloatArray:
        """Least distance between boxes: what `association` works out for a pair, for many."""
        west, south, east, north = (float(self._boxes[side, row]) for side in range(4))
        boxes = self._boxes[:, others]
        up = np.maximum(np.maximum(south - boxes[_NORTH], boxes[_SOUTH] - north), 0.0)
        between = np.abs(((boxes[_WEST] + boxes[_EAST] - west - east) / 2 + 180.0) % 360.0 - 180.0)
        over = np.maximum(between - (east - west) / 2 - (boxes[_EAST] - boxes[_WEST]) / 2, 0.0)
        farthest = np.maximum(np.abs(boxes[_SOUTH]), np.abs(boxes[_NORTH]))
        latitude_deg = np.minimum(89.9, np.maximum(farthest, max(abs(south), abs(north))))
        north_m, _ = metres_per_degree(0.0)
        found: FloatArray = np.hypot(up, over * np.cos(np.radians(latitude_deg))) * north_m
        return found


def _doubled(columns: npt.NDArray[_Number]) -> npt.NDArray[_Number]:
    return np.concatenate([columns, np.zeros_like(columns)], axis=1)
