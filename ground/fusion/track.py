"""The looks of one track, thinned so that a long watch costs no more than a short one."""

from bisect import bisect_left, bisect_right, insort
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

from ground.config import ContactsConfig
from ground.fusion.estimate import NS_PER_S, Estimate, Spot, estimate
from ground.fusion.labels import STATIC_LABELS
from ground.fusion.looks import Look, look_of
from ground.fusion.plane import wrapped_deg
from skywarden.messages import GENERIC_LABELS, Label, Motion, Sighting

SLOT_NS = 2 * NS_PER_S
"""Of looks so close together the best one stands for all: what they do not share is the least part."""

MAX_SLOTS = 900
PAIR_LOOKS = 16
_MAX_SPOTS = 12
_MAX_ESTIMATES = 3
_STANDING = -1
"""Under this the estimate of a thing that never moved is remembered; instants are later."""


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
    seen: set[str] = field(default_factory=set)
    scores: Counter[str] = field(default_factory=Counter)
    best_score: tuple[float, str, str] = (0.0, "", "")
    is_exercise: bool = False
    unplaced: Sighting | None = None
    told: Told | None = None
    """What its platform knew of its motion at the newest look that says so."""
    box: tuple[float, float, float, float] | None = None
    """West, south, east, north; west is not wrapped, so that a box may cross 180 degrees."""
    _slots: dict[int, Look] = field(default_factory=dict)
    _order: list[int] = field(default_factory=list)
    _spots: dict[int, tuple[int, Spot]] = field(default_factory=dict)
    _estimates: dict[int, tuple[int, Estimate]] = field(default_factory=dict)
    """Where it was at some instants, and from which looks (a hash of their names): the last few whole, as
    they are large, and of more the place alone."""

    @property
    def is_placed(self) -> bool:
        """Whether any look has a place."""
        return bool(self._order)

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
        return self._slots[self._order[-1]]

    @property
    def first_look_ns(self) -> int:
        """Time of the oldest look that is kept; there must be one."""
        return self._slots[self._order[0]].time_ns

    @classmethod
    def begun(cls, sighting: Sighting) -> "FusionTrack":
        """An empty track for the number of `sighting`."""
        return cls(
            track_id=sighting.track_id,
            platform_id=sighting.platform_id,
            sensor=(sighting.platform_id, sighting.sortie_id, sighting.sensor_id),
            first_ns=sighting.time_ns,
            last_ns=sighting.time_ns,
        )

    def add(self, sighting: Sighting) -> bool:
        """Take in a sighting; False when it was known."""
        if sighting.sighting_id in self.seen:
            return False
        self.seen.add(sighting.sighting_id)
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

    def looks(self, begin_ns: int | None = None, end_ns: int | None = None) -> list[Look]:
        """Kept looks from `begin_ns` to `end_ns`, in order of time; all without them."""
        low = 0 if begin_ns is None else bisect_left(self._order, begin_ns // SLOT_NS)
        high = len(self._order) if end_ns is None else bisect_right(self._order, end_ns // SLOT_NS)
        return [self._slots[slot] for slot in self._order[low:high]]

    def nearest(self, at_ns: int) -> Look:
        """The look next to an instant; there must be one."""
        index = bisect_left(self._order, at_ns // SLOT_NS)
        around = self._order[max(0, index - 1) : index + 2]
        looks = [self._slots[slot] for slot in around]
        return min(looks, key=lambda look: (abs(look.time_ns - at_ns), look.time_ns))

    def spot_at(self, at_ns: int, config: ContactsConfig) -> Spot | None:
        """The place alone of `estimate_at`, remembered for longer: most others are far from it."""
        looks = thinned(self.looks_near(at_ns, config), PAIR_LOOKS)
        known, names = self._spots.get(at_ns), _names_of(looks)
        if known is not None and known[0] == names:
            return known[1]
        found = self._remembered(at_ns, at_ns, looks, config)
        if found is None:
            return None
        if len(self._spots) >= _MAX_SPOTS:
            del self._spots[next(iter(self._spots))]
        self._spots[at_ns] = names, found.spot
        return found.spot

    def estimate_at(self, at_ns: int, config: ContactsConfig) -> Estimate | None:
        """The state at an instant for comparing tracks; `None` without a place. Remembered until another look
        tells of that instant."""
        looks = thinned(self.looks_near(at_ns, config), PAIR_LOOKS)
        return self._remembered(at_ns, at_ns, looks, config)

    def standing_estimate(self, config: ContactsConfig) -> Estimate | None:
        """Where it is if it never moved, from all its looks; `None` without a place. Remembered as
        `estimate_at` does."""
        return self._remembered(_STANDING, 0, thinned(self.looks(), PAIR_LOOKS), config)

    def slim(self) -> None:
        """Let go of what is large and can be worked out again: nothing comes for this track at present."""
        self._estimates.clear()

    def looks_near(self, at_ns: int, config: ContactsConfig) -> list[Look]:
        """The looks that tell where it was at `at_ns`; at least one when there is any."""
        if self.is_static or not self._order:
            return self.looks()
        half_ns = round(config.window_s * NS_PER_S / 2)
        near = self.looks(at_ns - half_ns, at_ns + half_ns)
        if near:
            return near
        closest_ns = self.nearest(at_ns).time_ns
        return self.looks(closest_ns - half_ns, closest_ns + half_ns)

    def _remembered(self, key: int, at_ns: int, looks: list[Look], config: ContactsConfig) -> Estimate | None:
        if not looks:
            return None
        known, names = self._estimates.get(key), _names_of(looks)
        if known is not None and known[0] == names:
            return known[1]
        if len(self._estimates) >= _MAX_ESTIMATES:
            del self._estimates[next(iter(self._estimates))]
        made = estimate(looks, at_ns, config, is_static=self.is_static or key == _STANDING)
        self._estimates[key] = names, made
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
        slot = look.time_ns // SLOT_NS
        before = self._slots.get(slot)
        if before is None:
            insort(self._order, slot)
        elif before.worth <= look.worth:
            return
        self._slots[slot] = look
        if len(self._order) > MAX_SLOTS:
            del self._slots[self._order.pop(0)]

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
