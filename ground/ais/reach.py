"""How far our receiver hears in each direction: one edge for every sector, learnt from what was heard there.

VHF goes by line of sight: what is heard from far out on a bearing is heard from nearer in, and behind a
headland nothing is. So each sector of 15 degrees has two unknowns: the range (in parts of the radio horizon)
where reports begin to be lost, and the share that gets through well inside it. Both are believed as
probabilities on a grid, and antennas differ from ship to ship. Reports of one vessel resemble each other, so
each sector, ring and class counts for no more than `_MOST` of them.
"""

import re
from collections.abc import Mapping
from functools import lru_cache

import msgspec
import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

_FINE = 72
_ASIDE_SHARES = (0.3, 0.1, 0.03)
_NAME = re.compile(r"(\d{1,2}),(\d{1,2})(b?)")

SECTORS = 24
RING = 0.05
RINGS = 40
_MOST = 12.0
_FORGET = 20_000.0
_BESIDE = 0.35
_WIDTH = 0.06
_WEAK_REACH = 0.75
_ANTENNAS = np.array([0.8, 0.9, 1.0, 1.1, 1.2])
_ANTENNA_SHARES = np.array([0.12, 0.23, 0.30, 0.23, 0.12])
_DUD, _PROVEN_DUD = 0.004, 0.0005
_EDGES = np.arange(0.025, 1.6, 0.05)
_TOPS = np.array([0.4, 0.6, 0.75, 0.86, 0.94])


class Count(msgspec.Struct):
    """Reports that could have been heard, and those that were."""

    chances: float = 0.0
    heard: float = 0.0

    def add(self, chances: float, heard: float) -> None:
        """Count more; what is long past fades, so that a moved antenna is learnt anew."""
        self.chances += chances
        self.heard += heard if heard < chances else chances
        if self.chances > _FORGET:
            self.chances, self.heard = self.chances / 2.0, self.heard / 2.0


def sector_of(bearing_deg: float) -> int:
    """The sector (0 to 23, from north on clockwise) that a bearing lies in."""
    return int((bearing_deg % 360.0) / (360.0 / SECTORS)) % SECTORS


def ring_of(part: float) -> int:
    """The ring of a range that is told in parts of the radio horizon."""
    return max(0, min(RINGS - 1, int(part / RING)))


def missed_all(
    believed: FloatArray,
    part: float,
    chances: float,
    *,
    is_strong: bool,
    own: float = 1.0,
    is_proven: bool = False,
) -> tuple[float, float]:
    """That none of `chances` reports is heard from `part` of the horizon off, and the mean chance of one.

    `own`: the share of this vessel's reports that was heard before; no place makes up for a weak antenna.
    `is_proven`: it was heard before, so its set is no dud.
    """
    heard = np.minimum(_heard(part, is_strong), own)
    none = float(np.sum(believed[None] * _ANTENNA_SHARES[:, None, None] * (1.0 - heard) ** max(0.0, chances)))
    mean = float(np.sum(believed[None] * _ANTENNA_SHARES[:, None, None] * heard))
    dud = _PROVEN_DUD if is_proven else _DUD
    return dud + (1.0 - dud) * none, mean


class Sectors:
    """Counts of reports by sector, ring and class, with what is believed of each sector from them.

    Beliefs are worked out when they are asked for and kept until a count that they rest on changes.
    """

    def __init__(self, kept: Mapping[str, Count], bearings: Mapping[str, Count] | None = None) -> None:
        """From the words of `as_kept` and `bearings_as_kept`; others are passed over."""
        self._counts: list[Count | None] = [None] * (SECTORS * RINGS * 2)
        self._known: list[FloatArray | None] = [None] * SECTORS
        for name, count in kept.items():
            found = _NAME.fullmatch(name)
            if found is not None and int(found[1]) < SECTORS and int(found[2]) < RINGS:
                place = (int(found[1]) * RINGS + int(found[2])) * 2 + bool(found[3])
                self._counts[place] = Count(count.chances, count.heard)
        self.is_empty = not any(self._counts)
        self._fine: dict[int, Count] = {}
        self._tails: list[list[float] | None] = [None] * _FINE
        for name, count in (_spread(kept) if bearings is None else bearings).items():
            found = _NAME.fullmatch(name)
            if found is not None and int(found[1]) < _FINE and int(found[2]) < RINGS and not found[3]:
                self._fine[int(found[1]) * RINGS + int(found[2])] = Count(count.chances, count.heard)

    def add(self, bearing_deg: float, ring: int, chances: float, heard: float, *, is_strong: bool) -> None:
        """A vessel there should have been heard `chances` times, and was `heard` times."""
        step = int(bearing_deg % 360.0 * (_FINE / 360.0)) % _FINE
        count = self._fine.get(step * RINGS + ring)
        if count is None:
            count = self._fine[step * RINGS + ring] = Count()
        count.add(chances, heard)
        self._tails[step] = None
        sector = sector_of(bearing_deg)
        place = (sector * RINGS + ring) * 2 + (not is_strong)
        count = self._counts[place]
        if count is None:
            count = self._counts[place] = Count()
            self.is_empty = False
        count.add(chances, heard)
        self._known[sector] = self._known[sector - 1] = self._known[sector + 1 - SECTORS] = None

    def as_kept(self) -> dict[str, Count]:
        """What was counted, by "sector,ring", and "sector,ringb" for class B."""
        found = {}
        for place, count in enumerate(self._counts):
            if count is not None:
                sector, ring = divmod(place // 2, RINGS)
                found[f"{sector},{ring}{'b' if place % 2 else ''}"] = Count(count.chances, count.heard)
        return found

    def bearings_as_kept(self) -> dict[str, Count]:
        """The same of both classes together, in steps of five degrees, by "step,ring"."""
        return {
            f"{place // RINGS},{place % RINGS}": Count(count.chances, count.heard)
            for place, count in sorted(self._fine.items())
        }

    def heard_behind(self, bearing_deg: float, ring: int) -> float:
        """How much was heard along this very bearing, at this range or farther out: reports (a ring's for
        `_MOST` at most), less where many were missed, and the less the farther they are aside. What hides a
        place (a headland, an island) is often narrower than a sector."""
        step = int(bearing_deg % 360.0 * (_FINE / 360.0))
        total = self._tail(step % _FINE)[ring]
        for aside, share in enumerate(_ASIDE_SHARES, start=1):
            total += share * self._tail((step + aside) % _FINE)[ring]
            total += share * self._tail((step - aside) % _FINE)[ring]
        return total

    def _tail(self, step: int) -> list[float]:
        """Of one step, by ring: what was heard from there or farther out."""
        found = self._tails[step]
        if found is None:
            found, total = [0.0] * RINGS, 0.0
            for ring in reversed(range(RINGS)):
                count = self._fine.get(step * RINGS + ring)
                if count is not None and count.heard > 0.0:
                    total += min(_MOST, count.heard) * count.heard / count.chances
                found[ring] = total
            self._tails[step] = found
        return found

    def belief(self, sector: int) -> FloatArray:
        """Probabilities of each edge (rows) and each share well inside (columns), summing to one.

        Neighbouring sectors count for a third; a prior puts half of the chance about nine tenths of the
        horizon and spreads the rest evenly, for headlands.
        """
        known = self._known[sector]
        if known is None:
            known = self._known[sector] = self._worked_out(sector)
        return known

    def _worked_out(self, sector: int) -> FloatArray:
        hits, misses = np.zeros((RINGS, 2)), np.zeros((RINGS, 2))
        for aside, share in ((0, 1.0), (-1, _BESIDE), (1, _BESIDE)):
            begin = (sector + aside) % SECTORS * RINGS * 2
            for place, count in enumerate(self._counts[begin : begin + RINGS * 2]):
                if count is None:
                    continue
                ring, weak = divmod(place, 2)
                if count.chances > 0.0:
                    weight = share * min(1.0, _MOST / count.chances)
                    hits[ring, weak] += weight * count.heard
                    misses[ring, weak] += weight * max(0.0, count.chances - count.heard)
        hit, miss = _logs()
        found = (
            np.log(_prior())[:, None] + np.tensordot(hits, hit, axes=2) + np.tensordot(misses, miss, axes=2)
        )
        chances: FloatArray = np.exp(found - found.max())
        chances /= chances.sum()
        return chances


def _spread(sectors: Mapping[str, Count]) -> dict[str, Count]:
    """Counts by sector as if each were even over its bearings: what an older version kept."""
    found: dict[str, Count] = {}
    steps = _FINE // SECTORS
    for name, count in sectors.items():
        said = _NAME.fullmatch(name)
        for step in range(steps if said is not None else 0):
            assert said is not None
            one = found.setdefault(f"{int(said[1]) * steps + step},{said[2]}", Count())
            one.add(count.chances / steps, count.heard / steps)
    return found


def _heard(part: float, is_strong: bool) -> FloatArray:
    """Chance of one report by antenna, edge and share well inside."""
    reach = _ANTENNAS * (1.0 if is_strong else _WEAK_REACH)
    over = (part / reach[:, None] - _EDGES[None, :]) / _WIDTH
    inside = 1.0 / (1.0 + np.exp(np.clip(over, -60.0, 60.0)))
    found: FloatArray = np.clip(inside[:, :, None] * _TOPS[None, None, :], 1e-4, 0.999)
    return found


@lru_cache(maxsize=1)
def _logs() -> tuple[FloatArray, FloatArray]:
    """Logarithms of the chances that a report from each ring of each class is heard, and that it is not, by
    edge and share: two of (RINGS, 2, edges, shares)."""
    mean = np.array(
        [
            [
                np.tensordot(_ANTENNA_SHARES, _heard((ring + 0.5) * RING, is_strong), axes=1)
                for is_strong in (True, False)
            ]
            for ring in range(RINGS)
        ]
    )
    return np.log(mean), np.log(1.0 - mean)


@lru_cache(maxsize=1)
def _prior() -> FloatArray:
    near: FloatArray = np.exp(-0.5 * ((_EDGES - 0.9) / 0.12) ** 2)
    found: FloatArray = 0.5 * near / near.sum() + 0.5 / len(_EDGES)
    return found
