"""When a look at a track becomes a sighting: once the track is confirmed, and no more often than useful.

Looks of a tentative track are held; when it is confirmed they are logged with the rest, so that nothing seen
before the confirmation is lost. Later looks are logged once per interval, and at once when a look is much
better placed than any before.
"""

from dataclasses import dataclass, field

from skywarden.clock import NS_PER_S
from skywarden.messages import Sighting

MAX_HELD = 64
BETTER_BY = 0.7
UNLOCATED_NS = 5 * NS_PER_S
"""Looks without a place cannot be joined to a track; each becomes a contact of its own, so they are rare."""


@dataclass(slots=True)
class _Log:
    held: list[Sighting] = field(default_factory=list)
    is_confirmed: bool = False
    last_ns: int = 0
    best_ce90_m: float = float("inf")


class SightingLog:
    """Decides which looks of one sensor's tracks are logged; a plain object, time is in the looks."""

    def __init__(self, *, interval_s: float = 0.5) -> None:
        self._interval_ns = int(interval_s * NS_PER_S)
        self._logs: dict[int, _Log] = {}
        self._sector_ns: dict[tuple[str, int], int] = {}

    def wants(self, track_number: int, time_ns: int, ce90_m: float) -> bool:
        """Whether a look would be held or logged; spares the work of making one that would not."""
        log = self._logs.get(track_number)
        return log is None or not log.is_confirmed or self._is_worth(log, time_ns, ce90_m)

    def look(self, track_number: int, look: Sighting, *, is_confirmed: bool) -> list[Sighting]:
        """The sightings to log because of this look, oldest first; empty when it is held or passed over."""
        log = self._logs.setdefault(track_number, _Log())
        ce90_m = look.position.ce90_m if look.position else float("inf")
        if not is_confirmed and not log.is_confirmed:
            log.held = [*log.held[-(MAX_HELD - 1) :], look]
            return []
        if not log.is_confirmed:
            log.is_confirmed = True
            out = [*log.held, look]
            log.held = []
        elif self._is_worth(log, look.time_ns, ce90_m):
            out = [look]
        else:
            return []
        log.last_ns = look.time_ns
        log.best_ce90_m = min([log.best_ce90_m, *(item.position.ce90_m for item in out if item.position)])
        return out

    def unlocated(self, look: Sighting, azimuth_deg: float | None) -> list[Sighting]:
        """The same for a look without a position: one per 5 s, label and 10 degree sector."""
        sector = -1 if azimuth_deg is None else int(azimuth_deg // 10.0)
        last_ns = self._sector_ns.get((look.label, sector))
        if last_ns is not None and look.time_ns - last_ns < max(self._interval_ns, UNLOCATED_NS):
            return []
        self._sector_ns[look.label, sector] = look.time_ns
        return [look]

    def forget(self, track_numbers: set[int]) -> None:
        """Drop what is known of tracks that ended."""
        for number in track_numbers:
            self._logs.pop(number, None)

    def _is_worth(self, log: _Log, time_ns: int, ce90_m: float) -> bool:
        return time_ns - log.last_ns >= self._interval_ns or ce90_m < BETTER_BY * log.best_ce90_m
