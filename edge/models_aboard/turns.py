"""Whose turn it is: which of several detectors look at a frame, each by its share; a plain object.

Start-time fair queueing (Goyal, Vin and Cheng 1996): every detector has a tag that grows by what it used over
its share; the lowest tags go first. One that has rested begins where the others are, so it neither starves
nor takes back what it has missed.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

_MEMORY = 0.8


@dataclass(frozen=True, kw_only=True, slots=True)
class Turn:
    """What one detector is due: every n-th frame, and of a budget that is short a share beside the others."""

    every: int = 1
    share: float = 1.0


class Turns:
    """See the module. With `looks` (so many detectors a frame) answers depend on nothing but the count of
    frames; with `budget_s` (so many seconds a frame) on what detectors take. 0 is no limit."""

    def __init__(self, turns: Sequence[Turn], *, looks: int = 0, budget_s: float = 0.0) -> None:
        self._turns = tuple(turns)
        self._looks = looks
        self._budget_s = budget_s
        self._frame = 0
        self._virtual = 0.0
        self._tags = [0.0] * len(self._turns)
        self._costs_s: list[float | None] = [None] * len(self._turns)
        self._owed: set[int] = set()

    def next_frame(self, resting: Collection[int] = ()) -> list[int]:
        """Places of the detectors that look at the next frame, rising; none when none is due. Those that are
        `resting` are passed over and keep nothing."""
        for place, turn in enumerate(self._turns):
            if place in resting:
                self._owed.discard(place)
            elif place not in self._owed and (self._frame + place) % turn.every == 0:
                self._owed.add(place)
                self._tags[place] = max(self._tags[place], self._virtual)
        self._frame += 1
        waiting = sorted(self._owed, key=lambda place: (self._tags[place], place))
        chosen = waiting[: self._room(waiting)]
        if chosen:
            self._virtual = self._tags[chosen[0]]
        self._owed.difference_update(chosen)
        if not self._budget_s:
            for place in chosen:
                self._tags[place] += 1.0 / self._turns[place].share
        return sorted(chosen)

    def spent(self, place: int, seconds: float) -> None:
        """What a look of this detector took."""
        before = self._costs_s[place]
        self._costs_s[place] = seconds if before is None else _MEMORY * before + (1.0 - _MEMORY) * seconds
        if self._budget_s:
            self._tags[place] += seconds / self._turns[place].share

    def _room(self, waiting: list[int]) -> int:
        """How many of them fit into this frame; at least one does."""
        if self._looks:
            return self._looks
        if not self._budget_s:
            return len(waiting)
        left_s = self._budget_s
        for count, place in enumerate(waiting):
            left_s -= self._costs_s[place] or 0.0
            if left_s < 0.0 and count:
                return count
        return len(waiting)
