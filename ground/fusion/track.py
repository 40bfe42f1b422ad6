"""The looks of one track, thinned so that a long watch costs no more than a short one."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from sys import intern
from typing import Generic, NamedTuple, TypeVar

from ground.config import ContactsConfig
from ground.fusion.estimate import NS_PER_S, Estimate, Spot, estimate
from ground.fusion.kept import KeptLooks
from ground.fusion.labels import STATIC_LABELS
from ground.fusion.looks import Look, look_of
from ground.fusion.plane import wrapped_deg
from skywarden.messages import GENERIC_LABELS, Label, Motion, Sighting

_Answer = TypeVar("_Answer")

PAIR_LOOKS = 16
_MAX_SPOTS = 12
_MAX_ESTIMATES = 3
_STANDING = -1
"""Under this the estimate of a thing that never moved is remembered; instants are later."""


class _Remembered(NamedTuple, Generic[_Answer]):
    """An answer; it holds while no sighting came, or none among the looks that it was worked out from."""

    sightings: int
    names: int
    answer: _Answer


class Told(NamedTuple):
    """What a platform said of its track's motion with one look; the newest is the greatest."""

    time_ns: int
    sighting_id: str
    motion: Motion
    velocity_en_mps: tuple[float, float, float, float, float] | None


@dataclass(slots=True)
class FusionTrack:
    """What one platform saw under one number; grows by `add`, answers by `estimate_at`."""

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
    _spots: dict[int, _Remembered[Spot]] = field(default_factory=dict)
    _estimates: dict[int, _Remembered[Estimate]] = field(default_factory=dict)
    """Where it was at some instants: the last few whole, as they are large, and of more the place alone."""

    @property
    def is_placed(self) -> bool:
        """Whether any look has a place."""
        return self.kept.newest is not None

    @property
    def is_still(self) -> bool:
        """Whether its platform judged its motion and does not say that it moves."""
        return self.told is not None and self.told.motion != "moving"

    @property
    def is_standing(self) -> bool:
        """Whether its platform says that it stands."""
        return self.told is not None and self.told.motion == "standing"

    @property
    def newest(self) -> Look:
        """The newest look that is kept; there must be one."""
        assert self.kept.newest is not None
        return self.kept.newest

    @property
    def first_look_ns(self) -> int:
        """Time of the oldest look that is kept; there must be one."""
        assert self.kept.oldest is not None
        return self.kept.oldest.time_ns

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
        self.best_score = max(self.best_score, (sighting.score, sighting.sighting_id, sighting.model_id))
        self.is_exercise = self.is_exercise or sighting.is_exercise
        if sighting.motion is not None:
            self._note_told(sighting, sighting.motion)
        if sighting.position is None:
            self._note_unplaced(sighting)
        else:
            self._note_look(look_of(sighting, sighting.position))
        return True

    def spot_at(self, at_ns: int, config: ContactsConfig) -> Spot | None:
        """The place alone of `estimate_at`, remembered for longer: most others are far from it."""
        known = self._spots.get(at_ns)
        if known is not None and known.sightings == self.kept.count:
            return known.answer
        looks = thinned(self.looks_near(at_ns, config), PAIR_LOOKS)
        if not looks:
            return None
        names = _names_of(looks)
        if known is not None and known.names == names:
            spot = known.answer
        else:
            if known is None and len(self._spots) >= _MAX_SPOTS:
                del self._spots[next(iter(self._spots))]
            spot = self._worked_out(at_ns, at_ns, looks, config, is_kept=not self.kept.is_packed).spot
        self._spots[at_ns] = _Remembered(self.kept.count, names, spot)
        return spot

    def estimate_at(self, at_ns: int, config: ContactsConfig) -> Estimate | None:
        """The state at an instant for comparing tracks; `None` without a place. Remembered until another look
        tells of that instant."""
        known = self._estimates.get(at_ns)
        if known is not None and known.sightings == self.kept.count:
            return known.answer
        looks = thinned(self.looks_near(at_ns, config), PAIR_LOOKS)
        return self._worked_out(at_ns, at_ns, looks, config) if looks else None

    def standing_estimate(self, config: ContactsConfig) -> Estimate | None:
        """Where it is if it never moved, from all its looks; `None` without a place. Remembered as
        `estimate_at` does."""
        known = self._estimates.get(_STANDING)
        if known is not None and known.sightings == self.kept.count:
            return known.answer
        looks = thinned(self.kept.between(), PAIR_LOOKS)
        return self._worked_out(_STANDING, 0, looks, config) if looks else None

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
        closest_ns = self.kept.nearest(at_ns).time_ns
        return self.kept.between(closest_ns - half_ns, closest_ns + half_ns)

    def _worked_out(
        self, key: int, at_ns: int, looks: list[Look], config: ContactsConfig, *, is_kept: bool = True
    ) -> Estimate:
        """The estimate from these looks, unless it is remembered; a track that is packed remembers one."""
        known, names = self._estimates.get(key), _names_of(looks)
        if known is not None and known.names == names:
            made = known.answer
        else:
            made = estimate(looks, at_ns, config, is_static=self.is_static or key == _STANDING)
        if is_kept:
            most = 1 if self.kept.is_packed else _MAX_ESTIMATES
            while key not in self._estimates and len(self._estimates) >= most:
                del self._estimates[next(iter(self._estimates))]
            self._estimates[key] = _Remembered(self.kept.count, names, made)
        return made

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


def _names_of(looks: list[Look]) -> int:
    return hash(tuple([look.sighting_id for look in looks]))


def thinned(looks: Sequence[Look], most: int) -> list[Look]:
    """At most `most` looks of those in order of time: of each stretch the best one."""
    if len(looks) <= most:
        return list(looks)
    edges = [len(looks) * step // most for step in range(most + 1)]
    return [min(looks[low:high], key=lambda look: look.worth) for low, high in pairwise(edges)]
