"""GOSPA and SIAP of what was shown, moment by moment, against what was there: as Stone Soup, and far faster.

The same figures as `sim.range.score.referee` gives, to which a test holds them. GOSPA: Rahmathullah,
Garcia-Fernandez, Svensson 2017 (alpha 2, no price of switching). SIAP: Votruba et al. 2001, with Stone Soup's
rule for which track is of which thing (`_Follower`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from sim.range.score.referee import FloatArray, PictureVerdict, States, pieces

CONFIRMED_AFTER = 3
ENDED_AFTER = 2
_ALPHA = 2.0


@dataclass(frozen=True, slots=True, eq=False)
class _Instant:
    """Names of what was shown and of what was there, and the distances between them (shown, there)."""

    shown: list[str]
    there: list[str]
    away_m: FloatArray

    def gospa_m(self, cut_m: float) -> float:
        """Of this instant, order 2."""
        square = np.minimum(self.away_m, cut_m) ** 2
        alone = abs(len(self.shown) - len(self.there)) * cut_m**2 / _ALPHA
        return float(np.sqrt(square[linear_sum_assignment(square)].sum() + alone))

    def nearest(self, cut_m: float) -> list[str | None]:
        """For each that was shown, the thing nearest to it, `None` where none is within `cut_m`."""
        if not self.there:
            return [None] * len(self.shown)
        best = self.away_m.argmin(axis=1)
        near = self.away_m[np.arange(len(best)), best] < cut_m
        return [self.there[at] if ok else None for at, ok in zip(best.tolist(), near.tolist(), strict=True)]


@dataclass(slots=True)
class _Follower:
    """Which thing one track is of: the one that was nearest three times in a row, until twice another was."""

    thing: str | None = None
    first: int = 0
    last: int = 0
    rival: str | None = None
    rival_first: int = 0
    rival_count: int = 0
    misses: int = 0

    def step(self, at: int, nearest: str | None) -> tuple[str, int, int] | None:
        """One moment on; a thing that it no longer is of, with the first and last moment."""
        if self.thing is not None and nearest == self.thing:
            self.misses, self.last = 0, at
            return None
        if nearest is None or nearest != self.rival:
            self.rival, self.rival_first, self.rival_count = nearest, at, int(nearest is not None)
        else:
            self.rival_count += 1
        if self.thing is None:
            self._take_up(at)
            return None
        self.misses += 1
        if self.misses < ENDED_AFTER:
            return None
        ended = self.thing, self.first, self.last
        self.thing = None
        self._take_up(at)
        return ended

    def _take_up(self, at: int) -> None:
        if self.rival_count >= CONFIRMED_AFTER:
            self.thing, self.first, self.last = self.rival, self.rival_first, at
            self.rival, self.rival_count = None, 0


def judged_moments(shown: Sequence[States], there: Sequence[States], *, cut_m: float) -> PictureVerdict:
    """The verdict on what was shown at each of some instants, against what was there then.

    What goes off the map and comes back is two pieces. Nearer than `cut_m` a track may be of a thing;
    farther, neither counts for the other.
    """
    instants = [
        _instant(here, real) for here, real in zip(pieces(shown), pieces(there), strict=True) if here or real
    ]
    shown_count = sum(len(one.shown) for one in instants)
    if not shown_count:
        return PictureVerdict(
            gospa_m=None, completeness=0.0, ambiguity=None, spuriousness=0.0, position_accuracy_m=None
        )
    spans = _spans(instants, cut_m)
    by_track: dict[str, set[int]] = {}
    by_thing: dict[str, set[int]] = {}
    off_m = 0.0
    for track, thing, first, last in spans:
        by_track.setdefault(track, set()).update(range(first, last + 1))
        by_thing.setdefault(thing, set()).update(range(first, last + 1))
        off_m += sum(_away_m(instants[at], track, thing) for at in range(first, last + 1))
    tracks = sum(len(moments) for moments in by_track.values())
    things = sum(len(moments) for moments in by_thing.values())
    there_count = sum(len(one.there) for one in instants)
    return PictureVerdict(
        gospa_m=float(np.mean([one.gospa_m(cut_m) for one in instants])),
        completeness=things / there_count if there_count else 0.0,
        ambiguity=tracks / things if things else 1.0,
        spuriousness=(shown_count - tracks) / shown_count,
        position_accuracy_m=off_m / tracks if tracks else 0.0,
    )


def _instant(shown: States, there: States) -> _Instant:
    here = np.array([[state[0], state[2]] for state in shown.values()], np.float64).reshape(-1, 2)
    real = np.array([[state[0], state[2]] for state in there.values()], np.float64).reshape(-1, 2)
    apart = here[:, None] - real[None]
    return _Instant(list(shown), list(there), np.hypot(apart[..., 0], apart[..., 1]))


def _spans(instants: Sequence[_Instant], cut_m: float) -> list[tuple[str, str, int, int]]:
    """Which track was of which thing, from which instant to which."""
    followers: dict[str, _Follower] = {}
    found = []
    for at, instant in enumerate(instants):
        for name, nearest in zip(instant.shown, instant.nearest(cut_m), strict=True):
            ended = followers.setdefault(name, _Follower()).step(at, nearest)
            if ended is not None:
                found.append((name, *ended))
    for name, one in followers.items():
        if one.thing is not None:
            found.append((name, one.thing, one.first, one.last))
    return found


def _away_m(instant: _Instant, track: str, thing: str) -> float:
    return float(instant.away_m[instant.shown.index(track), instant.there.index(thing)])
