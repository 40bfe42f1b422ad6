"""The looks of one track, thinned so that a long watch costs no more than a short one."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from struct import Struct
from sys import intern
from typing import NamedTuple

from ground.config import ContactsConfig
from ground.fusion.estimate import Estimate, Lot, Spot
from ground.fusion.kept import KeptLooks
from ground.fusion.labels import STATIC_LABELS
from ground.fusion.looks import Look, look_of
from ground.fusion.plane import wrapped_deg
from skywarden.clock import NS_PER_S
from skywarden.messages import GENERIC_LABELS, Label, Motion, Sighting

PAIR_LOOKS = 16
_MAX_SPOTS = 12
_MAX_ESTIMATES = 3
STANDING = -1
"""Under this the estimate of a thing that never moved is remembered; instants are later."""


class _Remembered(NamedTuple):
    """An answer; it holds while no sighting came, or none among the looks that it was worked out from."""

    sightings: int
    names: int
    answer: Estimate


_FORGOTTEN = (-1, 0, None)
_SPOT = Struct("=qq5d")
"""A `Spot` with the same two numbers before it: many are remembered, so they are small."""


class Told(NamedTuple):
    """What a platform said of its track's motion with one look; the newest is the greatest."""

    time_ns: int
    sighting_id: str
    motion: Motion
    velocity_en_mps: tuple[float, float, float, float, float] | None


@dataclass(slots=True)
class FusionTrack:
    """What one platform saw under one number; grows by `add`; `ground.fusion.answers` asks it."""

    track_id: str
    platform_id: str
    sensor: tuple[str, str, str]
    first_ns: int
    last_ns: int
    label: Label = "unknown"
    """The label with the most score behind it, a particular one before a generic one."""
    is_static: bool = False
    """Whether it is of a kind that never moves."""
    scores: Counter[str] = field(default_factory=Counter)
    best_score: tuple[float, str, str] = (0.0, "", "")
    is_exercise: bool = False
    unplaced: Sighting | None = None
    told: Told | None = None
    """What its platform knew of its motion at the newest look that says so."""
    box: tuple[float, float, float, float] | None = None
    """West, south, east, north; west is not wrapped, so that a box may cross 180 degrees."""
    kept: KeptLooks = field(default_factory=KeptLooks)
    _spots: dict[int, bytes] = field(default_factory=dict)
    _estimates: dict[int, _Remembered] = field(default_factory=dict)

    @property
    def is_placed(self) -> bool:
        """Whether any look has a place."""
        return self.kept.first_ns is not None

    @property
    def is_still(self) -> bool:
        """Whether its platform judged its motion and does not say that it moves."""
        return self.told is not None and self.told.motion != "moving"

    @property
    def is_standing(self) -> bool:
        """Whether its platform says that it stands."""
        return self.told is not None and self.told.motion == "standing"

    @classmethod
    def begun(cls, sighting: Sighting) -> "FusionTrack":
        """An empty track for the number of `sighting`."""
        return cls(
            track_id=sighting.track_id,
            platform_id=intern(sighting.platform_id),
            sensor=(intern(sighting.platform_id), intern(sighting.sortie_id), intern(sighting.sensor_id)),
            first_ns=sighting.time_ns,
            last_ns=sighting.time_ns,
        )

    def add(self, sighting: Sighting) -> bool:
        """Take in a sighting; False when it was known."""
        if not self.kept.see(sighting.sighting_id):
            return False
        self.first_ns = min(self.first_ns, sighting.time_ns)
        self.last_ns = max(self.last_ns, sighting.time_ns)
        self.scores[sighting.label] += round(sighting.score * 1_000_000) + 1
        self._name()
        best = (sighting.score, sighting.sighting_id, intern(sighting.model_id))
        self.best_score = max(self.best_score, best)
        self.is_exercise = self.is_exercise or sighting.is_exercise
        if sighting.motion is not None:
            self._note_told(sighting, sighting.motion)
        if sighting.position is None:
            self._note_unplaced(sighting)
        else:
            self._note_look(look_of(sighting, sighting.position))
        return True

    def known_at(self, at_ns: int, *, is_whole: bool) -> Estimate | Spot | None:
        """Where it was at an instant or if it never moved (`STANDING`), all of it or the place alone; `None`
        when that is not remembered, or a sighting came since."""
        sightings, _, answer = self._remembered(at_ns, is_whole)
        return answer if sightings == self.kept.count else None

    def lot(self, at_ns: int, config: ContactsConfig) -> Lot:
        """The looks that answer it; there must be one with a place."""
        if at_ns == STANDING:
            return Lot(thinned(self.kept.between(), PAIR_LOOKS), 0, is_static=True)
        return Lot(thinned(self.looks_near(at_ns, config), PAIR_LOOKS), at_ns, self.is_static)

    def still_known(self, at_ns: int, lot: Lot, *, is_whole: bool) -> Estimate | Spot | None:
        """What is remembered, where it was worked out from these same looks."""
        _, names, answer = self._remembered(at_ns, is_whole)
        if answer is None or names != _names_of(lot.looks):
            return None
        self._keep(at_ns, names, answer)
        return answer

    def remember(self, at_ns: int, lot: Lot, made: Estimate, *, is_whole: bool) -> None:
        """Keep what was asked for: of many instants the place alone, of few the estimate, as it is large, and
        none of a track that is packed."""
        names = _names_of(lot.looks)
        if not is_whole:
            self._keep(at_ns, names, made.spot)
        elif not self.kept.is_packed:
            self._keep(at_ns, names, made)

    def _remembered(self, at_ns: int, is_whole: bool) -> tuple[int, int, Estimate | Spot | None]:
        """How many sightings there were, which looks it is of, and the answer."""
        if is_whole:
            return self._estimates.get(at_ns, _FORGOTTEN)
        packed = self._spots.get(at_ns)
        if packed is None:
            return _FORGOTTEN
        sightings, names, *numbers = _SPOT.unpack(packed)
        return sightings, names, Spot._make(numbers)

    def _keep(self, at_ns: int, names: int, answer: Estimate | Spot) -> None:
        if isinstance(answer, Spot):
            _make_room(self._spots, at_ns, _MAX_SPOTS)
            self._spots[at_ns] = _SPOT.pack(self.kept.count, names, *answer)
        else:
            _make_room(self._estimates, at_ns, _MAX_ESTIMATES)
            self._estimates[at_ns] = _Remembered(self.kept.count, names, answer)

    def slim(self) -> None:
        """Take less memory: nothing comes for this track at present."""
        self._estimates.clear()
        self.kept.pack()

    def looks_near(self, at_ns: int, config: ContactsConfig) -> list[Look]:
        """The looks that tell where it was at `at_ns`; at least one when there is any."""
        if self.is_static or not self.is_placed:
            return self.kept.between()
        half_ns = round(config.window_s * NS_PER_S / 2)
        near = self.kept.between(at_ns - half_ns, at_ns + half_ns)
        if near:
            return near
        closest_ns = self.kept.nearest_ns(at_ns)
        return self.kept.between(closest_ns - half_ns, closest_ns + half_ns)

    def _name(self) -> None:
        self.label = min(self.scores, key=lambda name: (name in GENERIC_LABELS, -self.scores[name], name))
        if self.is_static != (self.label in STATIC_LABELS):
            self.is_static = not self.is_static
            self._spots.clear()
            self._estimates.clear()

    def _note_told(self, sighting: Sighting, motion: Motion) -> None:
        told = Told(sighting.time_ns, sighting.sighting_id, motion, sighting.velocity_en_mps)
        if self.told is None or told[:2] > self.told[:2]:
            self.told = told

    def _note_unplaced(self, sighting: Sighting) -> None:
        before = self.unplaced
        if before is None or (sighting.time_ns, sighting.sighting_id) > (before.time_ns, before.sighting_id):
            self.unplaced = sighting

    def _note_look(self, look: Look) -> None:
        self._widen(look)  # every look, so that the box does not depend on which came first
        self.kept.take(look)

    def _widen(self, look: Look) -> None:
        if self.box is None:
            self.box = (look.longitude_deg, look.latitude_deg, look.longitude_deg, look.latitude_deg)
            return
        west, south, east, north = self.box
        middle = (west + east) / 2
        longitude_deg = middle + wrapped_deg(look.longitude_deg - middle)
        self.box = (
            min(west, longitude_deg),
            min(south, look.latitude_deg),
            max(east, longitude_deg),
            max(north, look.latitude_deg),
        )


def _make_room(memory: "dict[int, bytes] | dict[int, _Remembered]", at_ns: int, most: int) -> None:
    while at_ns not in memory and len(memory) >= most:
        del memory[next(iter(memory))]


def _names_of(looks: Sequence[Look]) -> int:
    return hash(tuple([look.sighting_id for look in looks]))


def thinned(looks: Sequence[Look], most: int) -> list[Look]:
    """At most `most` looks of those in order of time: of each stretch the best one."""
    if len(looks) <= most:
        return list(looks)
    edges = [len(looks) * step // most for step in range(most + 1)]
    return [min(looks[low:high], key=lambda look: look.worth) for low, high in pairwise(edges)]
