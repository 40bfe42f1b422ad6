"""The ladder: a sighting first, then its chip, then more, each only when it is worth its bytes.

A plain object, handed messages and time; it decides what a record is worth to the link, not what is kept of a
sighting: every confirmed sighting is made durable, whatever it is worth.
"""

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, Protocol

from edge.triage.config import TriageConfig
from edge.triage.worth import (
    ALERT,
    PLAIN,
    Interest,
    Worth,
    object_value,
    picture_doublings,
    sighting_doublings,
)
from skywarden.messages import Chip, Sighting

_MAX_OBJECTS = 20_000
_BETTER_BY = 0.7
_HOUR_S = 3_600.0
_CHIP_OVERHEAD_BYTES = 250


class Interests(Protocol):
    """What operators have asked for."""

    def interest_in(self, sighting: Sighting) -> Interest:
        """What concerns this object."""
        ...


class NoInterests:
    """Nobody has asked for anything."""

    def interest_in(self, sighting: Sighting) -> Interest:
        """Nothing."""
        return Interest()


@dataclass(slots=True)
class _Object:
    """What went down of one track, or of the looks of one label without a track."""

    looks: int = 0
    pictures: int = 0
    best_ce90_m: float = float("inf")
    alerted_s: float = float("-inf")


@dataclass(slots=True)
class LadderCounts:
    """What was decided; held pictures were not sent on their own."""

    alerts: int = 0
    repeats: int = 0
    pictures: int = 0
    pictures_held: int = 0
    pictures_over_quota: int = 0


@dataclass(slots=True)
class _Quota:
    """A bucket that holds at most an hour's bytes."""

    per_hour: int
    left: float = 0.0
    filled_s: float | None = None

    def takes(self, size: int, now_s: float) -> bool:
        if self.filled_s is None:
            self.left = float(self.per_hour)
        else:
            earned = (now_s - self.filled_s) * self.per_hour / _HOUR_S
            self.left = min(float(self.per_hour), self.left + max(0.0, earned))
        self.filled_s = now_s
        if size > self.left:
            return False
        self.left -= size
        return True


@dataclass(slots=True)
class Ladder:
    """Judges records in the order in which they are made; `now_s` is monotonic.

    Attributes:
        counts: what was decided so far.
    """

    config: TriageConfig
    interests: Interests = field(default_factory=NoInterests)
    counts: LadderCounts = field(default_factory=LadderCounts)
    _objects: OrderedDict[str, _Object] = field(default_factory=OrderedDict)
    _recent: OrderedDict[str, tuple[str, str, float]] = field(default_factory=OrderedDict)
    _quotas: dict[str, _Quota] = field(default_factory=dict)

    def judge(self, message: Sighting | Chip, size_bytes: int, now_s: float) -> Worth | None:
        """What a record is worth; `None` for a picture that shall not be sent on its own."""
        if isinstance(message, Sighting):
            return self._sighting(message, size_bytes, now_s)
        return self._picture(message, size_bytes, now_s)

    def picture_bytes(self, goodput_bytes_per_s: float | None, cap_bytes_per_s: int) -> int:
        """How large a picture may be at this rate (`None`: not measured yet) and under this cap (0: none)."""
        rates = [rate for rate in (goodput_bytes_per_s or 0.0, float(cap_bytes_per_s)) if rate > 0.0]
        if not rates:
            return self.config.picture_max_bytes
        budget = int(min(rates) * self.config.picture_link_s) - _CHIP_OVERHEAD_BYTES
        return max(self.config.picture_min_bytes, min(self.config.picture_max_bytes, budget))

    def _sighting(self, sighting: Sighting, size_bytes: int, now_s: float) -> Worth:
        known = self._known(_object_key(sighting))
        interest = self.interests.interest_in(sighting)
        value = self._value(sighting, interest)
        ce90_m = sighting.position.ce90_m if sighting.position else float("inf")
        is_better = ce90_m < _BETTER_BY * known.best_ce90_m
        is_alert = is_better or known.looks == 0 or now_s - known.alerted_s >= self.config.repeat_s
        is_alert = interest.is_followed or (is_alert and not interest.is_muted)
        doublings = sighting_doublings(value, known.looks, size_bytes, is_better=is_better)
        known.looks += 1
        if is_alert:
            known.best_ce90_m = min(known.best_ce90_m, ce90_m)
            known.alerted_s = now_s
        self._recent[sighting.sighting_id] = (_object_key(sighting), sighting.label, value)
        _trim(self._recent)
        self.counts.alerts += is_alert
        self.counts.repeats += not is_alert
        return Worth(ALERT if is_alert else PLAIN, doublings)

    def _picture(self, chip: Chip, size_bytes: int, now_s: float) -> Worth | None:
        key, label, value = self._recent.get(chip.sighting_id, (chip.sighting_id, "", 1.0))
        known = self._known(key)
        doublings = picture_doublings(value, known.pictures, size_bytes)
        if doublings < self.config.picture_floor:
            self.counts.pictures_held += 1
            return None
        if not self._is_within_quota(label, size_bytes, now_s):
            self.counts.pictures_over_quota += 1
            return None
        known.pictures += 1
        self.counts.pictures += 1
        return Worth(PLAIN, doublings)

    def _value(self, sighting: Sighting, interest: Interest) -> float:
        return object_value(
            self.config.class_value.get(sighting.label, 1.0),
            sighting.score,
            sighting.position.ce90_m if sighting.position else None,
            has_bearing=sighting.bearing is not None,
            interest=interest,
        )

    def _is_within_quota(self, label: str, size_bytes: int, now_s: float) -> bool:
        per_hour = self.config.picture_bytes_per_hour.get(label)
        if per_hour is None:
            return True
        return self._quotas.setdefault(label, _Quota(per_hour)).takes(size_bytes, now_s)

    def _known(self, key: str) -> _Object:
        known = self._objects.setdefault(key, _Object())
        self._objects.move_to_end(key)
        _trim(self._objects)
        return known


def _object_key(sighting: Sighting) -> str:
    """Looks without a place cannot be joined to a track: those of a label and sector count as one object."""
    if sighting.position is not None or sighting.bearing is None:
        return sighting.track_id
    return f"{sighting.sensor_id}/{sighting.label}/{int(sighting.bearing.azimuth_deg // 10)}"


def _trim(memory: OrderedDict[str, Any]) -> None:
    while len(memory) > _MAX_OBJECTS:
        memory.popitem(last=False)
