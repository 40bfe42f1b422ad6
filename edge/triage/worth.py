"""What a record is worth per byte, as numbers that order it for good; plain functions of what is known.

Value halves with every `HALF_LIFE_MS` that passes, at the same pace for all. So of two records the one
that is better now is better for ever, and an order that is written once (an index of the outbox) stays
right: it is the logarithm of the value at birth, in half-lives, plus the time of birth.
"""

import math
from dataclasses import dataclass

HALF_LIFE_MS = 600_000
MAX_DOUBLINGS = 16.0

ALERT = 0
"""Leaves before all else: what nobody on the ground knows yet."""
PLAIN = 2
"""Ordered by value per byte: further looks at what is known, and all pictures."""

_REFERENCE_BYTES = 1024
_REFERENCE_CE90_M = 50.0
_BEARING_SHARE = 0.25
_CHIP_GAIN = 8.0
_FULL_GAIN = 16.0
_MUTED_SHARE = 1 / 64
_FOLLOWED_GAIN = 8.0


@dataclass(frozen=True, slots=True)
class Worth:
    """Where a record stands: its class (lower leaves first) and log2 of its value per KiB."""

    priority: int
    doublings: float = 0.0

    @property
    def rank_ms(self) -> int:
        """How much younger than it is this record is treated."""
        return round(HALF_LIFE_MS * max(-MAX_DOUBLINGS, min(MAX_DOUBLINGS, self.doublings)))


class Graded(tuple[str, int, bytes]):
    """An entry for the outbox (topic, UTC ns, encoded message) that says what it is worth."""

    worth: Worth

    @classmethod
    def of(cls, topic: str, time_ns: int, body: bytes, worth: Worth) -> "Graded":
        """The entry with its worth."""
        entry = cls((topic, time_ns, body))
        entry.worth = worth
        return entry


@dataclass(frozen=True, slots=True)
class Interest:
    """What the operator has said that concerns one object."""

    is_followed: bool = False
    is_muted: bool = False

    @property
    def factor(self) -> float:
        """What the value is multiplied by; whoever follows an object hears of it wherever it goes."""
        return _FOLLOWED_GAIN if self.is_followed else _MUTED_SHARE if self.is_muted else 1.0


def object_value(
    class_value: float, score: float, ce90_m: float | None, *, has_bearing: bool, interest: Interest
) -> float:
    """What knowing of an object is worth; 1.0 is a certain object of an ordinary class with a sharp place.

    `ce90_m` is `None` without a place; then a bearing is worth a quarter, and nothing at all a sixteenth.
    """
    if ce90_m is not None:
        place = 1.0 / (1.0 + ce90_m / _REFERENCE_CE90_M)
    else:
        place = _BEARING_SHARE if has_bearing else _BEARING_SHARE**2
    return class_value * max(0.05, score) * place * interest.factor


def sighting_doublings(value: float, looks_before: int, size_bytes: int, *, is_better: bool) -> float:
    """log2 of value per KiB of one more look; each tells less, a much better place tells anew."""
    novelty = 1.0 / (1.0 + looks_before)
    return _per_kib(value * max(novelty, 0.5 if is_better else 0.0), size_bytes)


def picture_doublings(value: float, pictures_before: int, size_bytes: int, *, is_full: bool = False) -> float:
    """log2 of value per KiB of a picture; at full resolution it is worth twice as much and costs more."""
    return _per_kib((_FULL_GAIN if is_full else _CHIP_GAIN) * value / (1.0 + pictures_before), size_bytes)


def _per_kib(value: float, size_bytes: int) -> float:
    return math.log2(max(1e-9, value) * _REFERENCE_BYTES / max(1, size_bytes))
