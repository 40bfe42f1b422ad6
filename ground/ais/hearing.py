"""What our receiver hears: learnt from what it heard, by range over the radio horizon and by place.

VHF goes little further than the eye. Before anything is heard, a report from inside the radio horizon is
believed to be heard with a chance that falls with range, and that belief is weak. Every pair of reports of
one vessel then counts: how many it should have sent in between by the rules, and how many were heard.
Counts are kept for rings of range (in parts of the radio horizon) and for cells of the map; a cell leans on
its ring, a ring on the prior, so that an unheard corner behind a headland shows once vessels have gone
through it.

Vessels differ (a low antenna, a weak set), so the evidence of a place is worth at most `_MOST` chances:
the chance that n reports in a row are missed is the beta-binomial one, which stays honest where the mean
alone would grow certain. Before anything was heard from thereabouts, the whole place may be hidden
(`_HIDDEN`).
"""

import math
import re
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import msgspec

from ground.ais import reach
from ground.ais.motion import distance_m, east_north_m
from ground.ais.reach import Count

CELL_DEG = 0.1
_RING = 0.1
_MAX_RINGS = 40
_MOST = 8.0
_PRIOR_WEIGHT = 2.0
_RING_WEIGHT = 6.0
_HIDDEN, _HIDDEN_UNTIL, _HIDDEN_BEHIND = 0.2, 5.0, 0.5
_RING_EVIDENCE = 2.0
_NEAR_SHARE, _MOST_NEAR = 0.1, 25.0
_OWN_EVIDENCE = 20.0
_OWN_BEHIND, _OWN_FADES_M = 60.0, 1_000.0
_NEIGHBOUR_SHARE = 0.15
_WEAKER, _FROM_STRONG = 0.6, 8.0
_MAX_CELLS = 20_000
_ANTENNA_M = 8.0
_MINUTE_NS = 60_000_000_000
_ALIVE_MINUTES = 3
_CLASS = ("", "b")
_RING_KEYS = 2 * (_MAX_RINGS + 1)
_CELL_NAME = re.compile(r"(-?\d{1,4}),(-?\d{1,4})(b?)")
_COLUMN, _ROW, _HALF = 2, 32_768, 2_048
"""Cells are counted under one whole number: row, column and class, with room for a neighbour on each side."""


class Ears(msgspec.Struct):
    """What is learnt, as it is kept between runs: counts by ring ("7"), by cell ("360,-57") and by ring of a
    sector ("5,12"), those of class B with a "b" behind; and of both classes by steps of bearing and ring."""

    rings: dict[str, Count] = msgspec.field(default_factory=dict)
    cells: dict[str, Count] = msgspec.field(default_factory=dict)
    sectors: dict[str, Count] = msgspec.field(default_factory=dict)
    bearings: dict[str, Count] = msgspec.field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Receiver:
    """Where a receiver stands: degrees, and its antenna's height above the sea in metres."""

    latitude_deg: float
    longitude_deg: float
    height_m: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Audibility:
    """How likely a vessel that sends is heard from a place within a time.

    `chance` is that of at least one report being heard; `per_report` the mean chance of one; `chances` how
    many reports the rules ask for; `evidence` how many reports were heard from thereabouts (those at a like
    range count for two at most); `range_m` from the receiver, when its place is known; `is_awake` is False
    when nobody was heard at the time.
    """

    chance: float
    per_report: float
    chances: float
    evidence: float
    range_m: float | None
    horizon_m: float | None
    is_awake: bool


class HearingModel:
    """See the module. `receiver` may be `None` (a feed from a network): then only cells count."""

    def __init__(self, receiver: Receiver | None = None, ears: Ears | None = None) -> None:
        """Go on from what was kept; `ears` itself is not changed."""
        kept = ears or Ears()
        self.receiver = receiver
        self._rings = [_copy(kept.rings.get(f"{key // 2}{_CLASS[key % 2]}")) for key in range(_RING_KEYS)]
        self._cells = _cells_of(kept.cells)
        self._sectors = reach.Sectors(kept.sectors, kept.bearings or None)
        self._minutes: dict[int, int] = {}
        self._order: deque[int] = deque()

    @property
    def ears(self) -> Ears:
        """What is learnt so far, as it is kept: a copy."""
        rings = {f"{key // 2}{_CLASS[key % 2]}": _copy(one) for key, one in enumerate(self._rings)}
        return Ears(
            rings={name: one for name, one in rings.items() if one.chances},
            cells={_name_of_cell(key): _copy(one) for key, one in self._cells.items()},
            sectors=self._sectors.as_kept(),
            bearings=self._sectors.bearings_as_kept(),
        )

    def note_heard(self, received_ns: int) -> None:
        """Something was heard at this time, from anybody."""
        minute = received_ns // _MINUTE_NS
        if minute in self._minutes:
            self._minutes[minute] += 1
            return
        self._minutes[minute] = 1
        self._order.append(minute)
        if len(self._order) > 20_000:
            self._minutes.pop(self._order.popleft(), None)

    def learn(
        self,
        latitude_deg: float,
        longitude_deg: float,
        *,
        is_strong: bool,
        chances: float,
        heard: float,
        receiver: Receiver | None = None,
    ) -> None:
        """A vessel there should have been heard `chances` times, and was `heard` times.

        `receiver` is where a receiver that moves was at the time; the model's own when `None`.
        """
        weak = 0 if is_strong else 1
        at = receiver or self.receiver
        if at is not None:
            ring = _ring(latitude_deg, longitude_deg, at)
            self._rings[2 * ring + weak].add(chances, heard)
            if receiver is None:
                bearing_deg, part = _towards(latitude_deg, longitude_deg, at)
                self._sectors.add(bearing_deg, reach.ring_of(part), chances, heard, is_strong=is_strong)
        key = _cell(latitude_deg, longitude_deg) + weak
        count = self._cells.get(key)
        if count is None:
            if len(self._cells) >= _MAX_CELLS:
                return
            count = self._cells[key] = Count()
        count.add(chances, heard)

    def listened_s(self, from_ns: int, until_ns: int) -> float:
        """Seconds between two instants in whose minute, or in a neighbour of it, somebody was heard."""
        first, last = from_ns // _MINUTE_NS, until_ns // _MINUTE_NS
        minutes = range(first, min(last, first + 240) + 1)
        awake = sum(any(self._minutes.get(minute + away) for away in (0, -1, 1)) for minute in minutes)
        return min(60.0 * awake, max(0.0, (until_ns - from_ns) / 1e9))

    def awake_share(self, time_ns: int) -> float:
        """How sure it is that the receiver worked: it heard somebody in these minutes, or it did not."""
        minute = time_ns // _MINUTE_NS
        for away in range(_ALIVE_MINUTES + 1):
            if self._minutes.get(minute - away) or self._minutes.get(minute + away):
                return 0.999 if away <= 1 else 0.98
        return 0.5 if any(self._minutes.get(minute + away) for away in range(-15, 16)) else 0.05

    def audibility(
        self,
        latitude_deg: float,
        longitude_deg: float,
        time_ns: int,
        *,
        chances: float,
        is_strong: bool = True,
        receiver: Receiver | None = None,
        own: float = 1.0,
        moved_m: float | None = None,
    ) -> Audibility:
        """How likely at least one of `chances` reports from there would have been heard at that time.

        `own` is the share of this very vessel's reports that was heard before, where it is known: no place
        makes up for a weak antenna. `moved_m` is how far it may have gone since it was heard last: what hides
        it would have to lie between.
        """
        at = receiver or self.receiver
        alpha, beta, evidence = self._belief(latitude_deg, longitude_deg, is_strong, at)
        if own < 1.0:
            evidence += _OWN_EVIDENCE
        if own < alpha / (alpha + beta):
            weight = alpha + beta
            alpha, beta = own * weight, (1.0 - own) * weight
        awake = self.awake_share(time_ns)
        missed, per_report = all_missed(alpha, beta, chances), alpha / (alpha + beta)
        hidden = _HIDDEN / (1.0 + evidence / _HIDDEN_UNTIL)
        if receiver is None and at is not None and not self._sectors.is_empty:
            bearing_deg, part = _towards(latitude_deg, longitude_deg, at)
            missed, per_report = reach.missed_all(
                self._sectors.belief(reach.sector_of(bearing_deg)),
                part,
                chances,
                is_strong=is_strong,
                own=own,
                is_proven=own < 1.0,
            )
            behind = self._sectors.heard_behind(bearing_deg, reach.ring_of(part))
            behind += min(_MOST_NEAR, _NEAR_SHARE * evidence)
            if moved_m is not None:
                behind += _OWN_BEHIND / (1.0 + (moved_m / _OWN_FADES_M) ** 2)
            hidden = _HIDDEN / (1.0 + behind / _HIDDEN_BEHIND)
        range_m = horizon_m = None
        if at is not None:
            range_m = distance_m(latitude_deg, longitude_deg, at.latitude_deg, at.longitude_deg)
            horizon_m = radio_horizon_m(at.height_m)
        return Audibility(
            chance=awake * (1.0 - missed) * (1.0 - hidden),
            per_report=per_report,
            chances=chances,
            evidence=evidence,
            range_m=range_m,
            horizon_m=horizon_m,
            is_awake=awake >= 0.9,
        )

    def _belief(
        self, latitude_deg: float, longitude_deg: float, is_strong: bool, at: Receiver | None
    ) -> tuple[float, float, float]:
        """A beta distribution of the chance that one report from there is heard, and what it rests on.

        A place from which class A was heard is not hidden from class B, which is heard less.
        """
        ring = None if at is None else _ring(latitude_deg, longitude_deg, at)
        mean, weight, evidence = self._leant(latitude_deg, longitude_deg, ring, 0, _prior(ring, True))
        if not is_strong:
            first = _WEAKER * mean if evidence > _RING_EVIDENCE else _prior(ring, False)
            mean, weight, more = self._leant(latitude_deg, longitude_deg, ring, 1, first)
            evidence = min(_FROM_STRONG, evidence / 8.0) + more
        weight = min(weight, _MOST)
        mean = min(0.995, max(1e-4, mean))
        return mean * weight, (1.0 - mean) * weight, evidence

    def _leant(
        self, latitude_deg: float, longitude_deg: float, ring: int | None, weak: int, mean: float
    ) -> tuple[float, float, float]:
        """Prior, ring, cell: each leans on the one before; mean, weight, evidence."""
        weight, evidence = _PRIOR_WEIGHT, 0.0
        if ring is not None:
            count = self._rings[2 * ring + weak]
            mean, weight = _leaning(mean, weight, count)
            evidence = min(_RING_EVIDENCE, 0.02 * count.heard)
        key = _cell(latitude_deg, longitude_deg) + weak
        near = Count()
        for down in (-_ROW, 0, _ROW):
            for aside in (-_COLUMN, 0, _COLUMN):
                beside = self._cells.get(key + down + aside)
                if beside is not None:
                    share = _NEIGHBOUR_SHARE if down or aside else 1.0
                    near.chances += share * beside.chances
                    near.heard += share * beside.heard
        if near.chances:
            mean, weight = _leaning(mean, min(weight, _RING_WEIGHT), near)
        return mean, weight, evidence + near.heard


@lru_cache(maxsize=64)
def radio_horizon_m(height_m: float, other_m: float = _ANTENNA_M) -> float:
    """4.12 km times the root of both antennas' heights in metres (four-thirds earth; ITU-R P.310)."""
    return 4_120.0 * (math.sqrt(max(height_m, 1.0)) + math.sqrt(other_m))


def _towards(latitude_deg: float, longitude_deg: float, at: Receiver) -> tuple[float, float]:
    """The bearing in degrees, and the range in parts of the radio horizon."""
    east, north = east_north_m(latitude_deg, longitude_deg, at.latitude_deg, at.longitude_deg)
    return math.degrees(math.atan2(east, north)) % 360.0, math.hypot(east, north) / radio_horizon_m(
        at.height_m
    )


def _ring(latitude_deg: float, longitude_deg: float, at: Receiver) -> int:
    away = distance_m(latitude_deg, longitude_deg, at.latitude_deg, at.longitude_deg)
    ring = int(away / radio_horizon_m(at.height_m) / _RING)
    return ring if ring < _MAX_RINGS else _MAX_RINGS


def all_missed(alpha: float, beta: float, chances: float) -> float:
    """That none of `chances` reports is heard: the mean of (1 - p)^n over the beta distribution of p."""
    if chances <= 0.0:
        return 1.0
    return math.exp(
        math.lgamma(beta + chances)
        + math.lgamma(alpha + beta)
        - math.lgamma(beta)
        - math.lgamma(alpha + beta + chances)
    )


def _prior(ring: int | None, is_strong: bool) -> float:
    """Before anything is heard: likely inside the horizon, hardly beyond; class B reaches less far."""
    if ring is None:
        return 0.05
    part = (ring + 0.5) * _RING / (1.0 if is_strong else 0.7)
    return 0.85 / (1.0 + math.exp((part - 0.95) / 0.1))


def _leaning(mean: float, weight: float, count: Count) -> tuple[float, float]:
    """A belief of some weight, moved by what was counted."""
    if count.chances <= 0.0:
        return mean, weight
    total = weight + count.chances
    return (mean * weight + count.heard) / total, total


def _cell(latitude_deg: float, longitude_deg: float) -> int:
    """The key of a place's cell for class A; that of class B is one more."""
    return _key_of(math.floor(latitude_deg / CELL_DEG), math.floor(longitude_deg / CELL_DEG))


def _key_of(row: int, column: int) -> int:
    return (row + _HALF) * _ROW + (column + _HALF) * _COLUMN


def _name_of_cell(key: int) -> str:
    row, rest = divmod(key, _ROW)
    return f"{row - _HALF},{rest // _COLUMN - _HALF}{_CLASS[key % _COLUMN]}"


def _cells_of(kept: Mapping[str, Count]) -> dict[int, Count]:
    found = {}
    for name, count in kept.items():
        said = _CELL_NAME.fullmatch(name)
        if said is not None:
            found[_key_of(int(said[1]), int(said[2])) + bool(said[3])] = _copy(count)
    return found


def _copy(count: Count | None) -> Count:
    return Count() if count is None else Count(count.chances, count.heard)
