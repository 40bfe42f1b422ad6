"""How far our receiver hears in each direction: one edge for every sector, learnt from what was heard there.

VHF goes by line of sight: what is heard from far out on a bearing is heard from nearer in, and behind a
headland nothing is. So each sector of 15 degrees has two unknowns: the range (in parts of the radio horizon)
where reports begin to be lost, and the share that gets through well inside it. Both are believed as
probabilities on a grid, and antennas differ from ship to ship. Reports of one vessel resemble each other, so
each sector, ring and class counts for no more than `_MOST` of them.
"""

from collections.abc import Mapping
from functools import lru_cache

import msgspec
import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

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
_DUD = 0.004
_EDGES = np.arange(0.025, 1.6, 0.05)
_TOPS = np.array([0.4, 0.6, 0.75, 0.86, 0.94])


class Count(msgspec.Struct):
    """Reports that could have been heard, and those that were."""

    chances: float = 0.0
    heard: float = 0.0

    def add(self, chances: float, heard: float) -> None:
        """Count more; what is long past fades, so that a moved antenna is learnt anew."""
        self.chances += chances
        self.heard += min(heard, chances)
        if self.chances > _FORGET:
            self.chances, self.heard = self.chances / 2.0, self.heard / 2.0


Counts = Mapping[str, Count]


def sector_of(bearing_deg: float) -> int:
    """The sector (0 to 23, from north on clockwise) that a bearing lies in."""
    return int((bearing_deg % 360.0) / (360.0 / SECTORS)) % SECTORS


def ring_of(part: float) -> int:
    """The ring of a range that is told in parts of the radio horizon."""
    return max(0, min(RINGS - 1, int(part / RING)))


def name_of(sector: int, ring: int, *, is_strong: bool) -> str:
    """The key of a count; "b" marks class B."""
    return f"{sector},{ring}{'' if is_strong else 'b'}"


def belief(counts: Counts, sector: int) -> FloatArray:
    """Probabilities of each edge (rows) and each share well inside (columns), summing to one.

    Neighbouring sectors count for a third; a prior puts half of the chance about nine tenths of the horizon
    and spreads the rest evenly, for headlands.
    """
    found = np.log(_prior())[:, None] + np.zeros((1, len(_TOPS)))
    for aside, share in ((0, 1.0), (-1, _BESIDE), (1, _BESIDE)):
        of = (sector + aside) % SECTORS
        for is_strong in (True, False):
            for ring in range(RINGS):
                count = counts.get(name_of(of, ring, is_strong=is_strong))
                if count is None or count.chances <= 0.0:
                    continue
                weight = share * min(1.0, _MOST / count.chances)
                heard, missed = weight * count.heard, weight * max(0.0, count.chances - count.heard)
                hit, miss = _logs(ring, is_strong)
                found += heard * hit + missed * miss
    chances: FloatArray = np.exp(found - found.max())
    chances /= chances.sum()
    return chances


def missed_all(
    believed: FloatArray, part: float, chances: float, *, is_strong: bool, own: float = 1.0
) -> tuple[float, float]:
    """That none of `chances` reports is heard from `part` of the horizon off, and the mean chance of one.

    `own`: the share of this vessel's reports that was heard before; no place makes up for a weak antenna.
    """
    heard = np.minimum(_heard(part, is_strong), own)
    none = float(np.sum(believed[None] * _ANTENNA_SHARES[:, None, None] * (1.0 - heard) ** max(0.0, chances)))
    mean = float(np.sum(believed[None] * _ANTENNA_SHARES[:, None, None] * heard))
    return _DUD + (1.0 - _DUD) * none, mean


def heard_beyond(counts: Counts, sector: int, ring: int) -> float:
    """Reports heard from the sector at this range or farther (a ring's reports count for `_MOST` at most),
    and a third of those beside it."""
    total = 0.0
    for aside, share in ((0, 1.0), (-1, _BESIDE), (1, _BESIDE)):
        for one in range(ring, RINGS):
            for is_strong in (True, False):
                count = counts.get(name_of((sector + aside) % SECTORS, one, is_strong=is_strong))
                if count is not None:
                    total += share * min(_MOST, count.heard)
    return total


def _heard(part: float, is_strong: bool) -> FloatArray:
    """Chance of one report by antenna, edge and share well inside."""
    reach = _ANTENNAS * (1.0 if is_strong else _WEAK_REACH)
    over = (part / reach[:, None] - _EDGES[None, :]) / _WIDTH
    inside = 1.0 / (1.0 + np.exp(np.clip(over, -60.0, 60.0)))
    found: FloatArray = np.clip(inside[:, :, None] * _TOPS[None, None, :], 1e-4, 0.999)
    return found


@lru_cache(maxsize=2 * RINGS)
def _logs(ring: int, is_strong: bool) -> tuple[FloatArray, FloatArray]:
    mean = np.tensordot(_ANTENNA_SHARES, _heard((ring + 0.5) * RING, is_strong), axes=1)
    return np.log(mean), np.log(1.0 - mean)


@lru_cache(maxsize=1)
def _prior() -> FloatArray:
    near: FloatArray = np.exp(-0.5 * ((_EDGES - 0.9) / 0.12) ** 2)
    found: FloatArray = 0.5 * near / near.sum() + 0.5 / len(_EDGES)
    return found
