"""Where cameras looked of late: footprints by time, so that "nobody is there" can be told from "nobody
looked".
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

_NEAR_NS = 4_000_000_000
_MAX_FOOTPRINTS = 20_000


@dataclass(frozen=True, slots=True)
class _Footprint:
    time_ns: int
    ring: tuple[tuple[float, float], ...]
    south: float
    north: float


class LookedAt:
    """Rings of (latitude, longitude) with their times, bounded; a plain object. Rings across 180 degrees are
    left out, which only means that nothing is known there."""

    def __init__(self) -> None:
        self._footprints: deque[_Footprint] = deque(maxlen=_MAX_FOOTPRINTS)

    def note(self, time_ns: int, ring: Sequence[tuple[float, float]]) -> None:
        """A camera saw what lies inside."""
        if len(ring) < 3:
            return
        longitudes = [longitude for _, longitude in ring]
        if max(longitudes) - min(longitudes) > 180.0:
            return
        latitudes = [latitude for latitude, _ in ring]
        self._footprints.append(_Footprint(time_ns, tuple(ring), min(latitudes), max(latitudes)))

    def around(self, time_ns: int) -> "LookedAt":
        """Only the footprints of that time, for many questions about it."""
        found = LookedAt()
        found._footprints.extend(
            one for one in list(self._footprints) if abs(one.time_ns - time_ns) <= _NEAR_NS
        )
        return found

    def was_seen(self, latitude_deg: float, longitude_deg: float, time_ns: int) -> bool | None:
        """Whether any camera had the place in its picture within 4 s; `None` when no footprint is of that
        time.
        """
        is_known = False
        for footprint in self._footprints:
            if abs(footprint.time_ns - time_ns) > _NEAR_NS:
                continue
            is_known = True
            if footprint.south <= latitude_deg <= footprint.north and _is_inside(
                footprint.ring, latitude_deg, longitude_deg
            ):
                return True
        return False if is_known else None


def _is_inside(ring: Sequence[tuple[float, float]], latitude_deg: float, longitude_deg: float) -> bool:
    """Even-odd rule."""
    inside = False
    last_latitude, last_longitude = ring[-1]
    for latitude, longitude in ring:
        if (latitude > latitude_deg) != (last_latitude > latitude_deg):
            share = (latitude_deg - latitude) / (last_latitude - latitude)
            if longitude_deg < longitude + share * (last_longitude - longitude):
                inside = not inside
        last_latitude, last_longitude = latitude, longitude
    return inside
