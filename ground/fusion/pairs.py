"""What is plain of many pairs of tracks: most are two things, or too far apart or too vague to say.

One by one a pair takes 20 us, and a fleet asks of a hundred thousand at a time; over whole columns it is two.
What is not plain here is looked at by `ground.fusion.association`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ground.config import ContactsConfig
from ground.fusion.answers import Question, answered
from ground.fusion.estimate import Spot
from ground.fusion.kept import SLOT_NS
from ground.fusion.labels import labels_agree
from ground.fusion.plane import metres_per_degree, wrapped_deg
from ground.fusion.track import FusionTrack
from skywarden.clock import NS_PER_S
from skywarden.messages import Label

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
IndexArray = npt.NDArray[np.intp]
TimeArray = npt.NDArray[np.int64]

ALIGNED_NS = 10 * NS_PER_S
"""Where it can be, tracks are compared at full ten seconds, so that the answers can be remembered."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """On a pair: joined first where `cost` is least; `None`: nothing speaks for one thing.

    `is_apart`: two things for certain, which no third track may join.
    """

    cost: float | None
    is_apart: bool


NOTHING = Verdict(None, is_apart=False)
APART = Verdict(None, is_apart=True)


class Prospect(NamedTuple):
    """A pair that must be looked at: seconds of pause between the two, whether it may be one thing that stood
    there, and whether nothing else comes into question."""

    gap_s: float
    may_have_stood: bool
    is_else_nothing: bool


def sorted_out(
    pairs: Sequence[tuple[FusionTrack, FusionTrack]], config: ContactsConfig
) -> list[Verdict | Prospect]:
    """The verdict on each pair where it is plain, else what there is to look at; all tracks have a place."""
    if not pairs:
        return []
    table = _Table(pairs)
    begins, ends = table.begins_and_ends()
    is_apart = table.are_seen_apart(begins, ends) | ~table.labels_agree()
    are_static, are_still, are_standing = table.both(_STATIC), table.both(_STILL), table.both(_STANDING)
    gap_s = np.where(are_static, 0.0, np.maximum((begins - ends) / NS_PER_S, 0.0))
    has_gap, away_m = gap_s > 0.0, table.boxes_apart_m()
    longest_s = np.where(are_standing, config.standing_gap_s, config.max_gap_s)
    may_stand = has_gap & are_still & (away_m <= config.max_distance_m) & (gap_s <= longest_s)
    is_far = away_m > config.max_distance_m + gap_s * 5 * config.speed_sigma_mps
    is_apart |= is_far & ~has_gap
    is_nothing = (gap_s > config.max_gap_s) | (has_gap & (are_standing | is_far))
    rows = np.flatnonzero(has_gap & ~is_apart & ~is_nothing & ~may_stand)
    is_nothing[rows] = table.are_vague_or_far(rows, begins[rows], ends[rows], config)
    return [
        APART if apart else NOTHING if nothing and not stand else Prospect(gap, stand, nothing)
        for apart, nothing, stand, gap in zip(
            is_apart.tolist(), is_nothing.tolist(), may_stand.tolist(), gap_s.tolist(), strict=True
        )
    ]


def middle_of(begins: TimeArray, ends: TimeArray, config: ContactsConfig) -> TimeArray:
    """When to compare tracks that begin after others ended: in the middle, of full seconds where it can be.

    Both are carried there from looks within a window; where these tell of that middle, a little off it is
    another answer.
    """
    step = np.where(begins - ends > config.window_s * NS_PER_S, ALIGNED_NS, SLOT_NS)
    found: TimeArray = (begins + ends + step) // (2 * step) * step
    return found


_STATIC, _STILL, _STANDING = range(3)
_NEAR_POLE_DEG = 89.9


class _Table:
    """The tracks of pairs, each once, as columns; and which of them each pair is of."""

    def __init__(self, pairs: Sequence[tuple[FusionTrack, FusionTrack]]) -> None:
        numbers: dict[str, int] = {}
        rows = [numbers.setdefault(track.track_id, len(numbers)) for pair in pairs for track in pair]
        by_id = {track.track_id: track for pair in pairs for track in pair}
        self._tracks = [by_id[name] for name in numbers]
        self._one: IndexArray = np.array(rows[::2], np.intp)
        self._two: IndexArray = np.array(rows[1::2], np.intp)

    def begins_and_ends(self) -> tuple[TimeArray, TimeArray]:
        """When the later one of each pair began, and the earlier one ended."""
        spans = np.array([(track.first_ns, track.last_ns) for track in self._tracks], np.int64)
        one, two = spans[self._one], spans[self._two]
        return np.maximum(one[:, 0], two[:, 0]), np.minimum(one[:, 1], two[:, 1])

    def are_seen_apart(self, begins: TimeArray, ends: TimeArray) -> BoolArray:
        """One camera saw both at the same time."""
        numbers: dict[tuple[str, str, str], int] = {}
        sensor = np.array([numbers.setdefault(one.sensor, len(numbers)) for one in self._tracks])
        found: BoolArray = (sensor[self._one] == sensor[self._two]) & (begins <= ends)
        return found

    def labels_agree(self) -> BoolArray:
        """Whether both may be of one kind."""
        names: list[Label] = sorted({track.label for track in self._tracks})
        agree = np.array([[labels_agree(one, two) for two in names] for one in names])
        number = np.array([names.index(track.label) for track in self._tracks])
        found: BoolArray = agree[number[self._one], number[self._two]]
        return found

    def both(self, kind: int) -> BoolArray:
        """Whether both are of a kind that never moves, not said to move, or said to stand."""
        told = [(track.is_static, track.is_still, track.is_standing)[kind] for track in self._tracks]
        flags = np.array(told, bool)
        found: BoolArray = flags[self._one] & flags[self._two]
        return found

    def boxes_apart_m(self) -> FloatArray:
        """Least distance between the boxes round two tracks."""
        boxes = np.array([track.box for track in self._tracks], np.float64)
        farthest = np.minimum(np.abs(boxes[:, [1, 3]]).max(axis=1), _NEAR_POLE_DEG)
        scale = np.array([math.cos(math.radians(latitude_deg)) for latitude_deg in farthest.tolist()])
        one, two = boxes[self._one], boxes[self._two]
        up = np.maximum(np.maximum(one[:, 1] - two[:, 3], two[:, 1] - one[:, 3]), 0.0)
        between = np.abs(wrapped_deg((two[:, 0] + two[:, 2]) / 2 - (one[:, 0] + one[:, 2]) / 2))
        over = np.maximum(between - (one[:, 2] - one[:, 0]) / 2 - (two[:, 2] - two[:, 0]) / 2, 0.0)
        north_m, _ = metres_per_degree(0.0)
        found: FloatArray = np.hypot(up, over * np.minimum(scale[self._one], scale[self._two])) * north_m
        return found

    def are_vague_or_far(
        self, rows: IndexArray, begins: TimeArray, ends: TimeArray, config: ContactsConfig
    ) -> BoolArray:
        """Of these pairs, whether their places in the middle of the pause can say nothing, or say no."""
        if not len(rows):
            return np.zeros(0, bool)
        instants, instant = np.unique(np.tile(middle_of(begins, ends, config), 2), return_inverse=True)
        asked = np.concatenate([self._one[rows], self._two[rows]]) * len(instants) + instant
        unique, place = np.unique(asked, return_inverse=True)
        questions = [
            Question(self._tracks[number // len(instants)], int(instants[number % len(instants)]), False)
            for number in unique.tolist()
        ]
        spots = np.array([one for one in answered(questions, config) if isinstance(one, Spot)])
        one, two = Spot(*spots[place[: len(rows)]].T), Spot(*spots[place[len(rows) :]].T)
        away_m = np.hypot(
            wrapped_deg(two.longitude_deg - one.longitude_deg) * one.east_m_per_deg,
            (two.latitude_deg - one.latitude_deg) * one.north_m_per_deg,
        )
        sigma_m = np.maximum(one.sigma_m, two.sigma_m)
        found: BoolArray = (sigma_m > config.max_sigma_m) | (away_m > config.max_distance_m)
        return found
