"""Which box is which thing from frame to frame, while the telemetry of the camera is coarse.

A thing is remembered by its place on the surface; where it should be seen is a bearing and an elevation from
where the platform is now. Between two samples of telemetry all things of a frame are off by one turn: that
with which most of them agree is taken off first.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge.calibration.still_things import Sights

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
IntpArray = npt.NDArray[np.intp]

_WIDEST_RAD = 0.5
"""A gimbal turns no farther between two frames and is still followed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Follow:
    """When a box is taken for a thing seen before; see `FovSettings`."""

    min_looks: int
    gate_rad: float
    forget_s: float


@dataclass(slots=True)
class _Last:
    """When, where and as what a thing was seen last."""

    seconds: float
    place: FloatArray
    label: str


def followed(sights: Sights, parameters: FloatArray, follow: Follow) -> IntpArray:
    """Which thing each box is, (N,), -1 for none and for things with too few looks."""
    points, _, is_seen = sights.places(parameters)
    angles, station = sights.angles(parameters)
    things = np.full(len(points), -1, dtype=np.intp)
    last: list[_Last] = []
    for number, moment in enumerate(sights.moments):
        now = np.nonzero(sights.frame == number)[0]
        known = [index for index, each in enumerate(last) if moment - each.seconds <= follow.forget_s]
        pairs = _pairs(sights, now, known, last, angles, station)
        for index, thing in _agreeing(pairs, follow.gate_rad):
            things[index] = thing
            last[thing].seconds = float(moment)
            if is_seen[index]:
                last[thing].place = points[index]
        for index in now[(things[now] < 0) & is_seen[now]]:
            things[index] = len(last)
            last.append(_Last(float(moment), points[index], sights.labels[index]))
    return renumbered(things, follow.min_looks)


def renumbered(things: IntpArray, min_looks: int) -> IntpArray:
    """Things with enough looks as 0, 1, ...; the rest as -1."""
    numbers, counts = np.unique(things[things >= 0], return_counts=True)
    names = {int(number): index for index, number in enumerate(numbers[counts >= min_looks])}
    return np.array([names.get(int(thing), -1) for thing in things], dtype=np.intp)


_Pair = tuple[int, int, FloatArray]


def _pairs(
    sights: Sights,
    now: IntpArray,
    known: list[int],
    last: list[_Last],
    angles: FloatArray,
    station: FloatArray,
) -> list[_Pair]:
    """Boxes and things of one label with the angles (2,) between them, where those are not absurd.

    `angles` (N, 2) bearing and elevation of the boxes, `station` (N, 3) place and height of the platform.
    """
    found: list[_Pair] = []
    for index in now.tolist():
        for thing in known:
            if last[thing].label != sights.labels[index]:
                continue
            away = last[thing].place - station[index, :2]
            level = max(float(np.hypot(*away)), 1e-6)
            bearing = angles[index, 0] - np.arctan2(away[1], away[0])
            bearing = (bearing + np.pi) % (2 * np.pi) - np.pi
            between = np.array([bearing, angles[index, 1] + np.arctan2(station[index, 2], level)])
            if float(np.hypot(*between)) < _WIDEST_RAD:
                found.append((index, thing, between))
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
