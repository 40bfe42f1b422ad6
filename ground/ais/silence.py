"""When a source of AIS has fallen silent: it was heard at a pace, and now it is not."""

from collections.abc import Container
from dataclasses import dataclass, field

_NS = 1_000_000_000
LEAST_NS, MOST_NS = 60 * _NS, 1_800 * _NS
_INTERVALS = 20.0
_LEAST_HEARD = 5
_NEWEST = 0.1
"""Weight of the newest interval in the mean."""


@dataclass(slots=True)
class Pace:
    """One source: the mean interval between what is heard, in nanoseconds, and when it was heard last."""

    heard: int = 0
    last_ns: int = 0
    interval_ns: float = 0.0

    def note(self, time_ns: int) -> None:
        """Something was heard; an instant before the last one tells nothing."""
        if self.heard and time_ns > self.last_ns:
            apart = min(time_ns - self.last_ns, MOST_NS)
            self.interval_ns += (apart - self.interval_ns) * (1.0 if self.heard == 1 else _NEWEST)
        self.heard, self.last_ns = self.heard + 1, max(self.last_ns, time_ns)

    def silent_ns(self, now_ns: int) -> int | None:
        """How long it has been silent, when that is twenty of its usual intervals (a minute at least, half
        an hour at most); `None` while it is heard, or was hardly ever."""
        quiet = now_ns - self.last_ns
        patience = min(max(LEAST_NS, _INTERVALS * self.interval_ns), MOST_NS)
        return quiet if self.heard >= _LEAST_HEARD and quiet > patience else None


@dataclass(slots=True)
class SilenceWatch:
    """All sources by name."""

    paces: dict[str, Pace] = field(default_factory=dict)

    def note(self, source: str, time_ns: int) -> None:
        """This source heard something."""
        self.paces.setdefault(source, Pace()).note(time_ns)

    def problems(self, now_ns: int, *, but: Container[str] = ()) -> list[str]:
        """A sentence for each source that has fallen silent, without those in `but`."""
        found = []
        for name, pace in sorted(self.paces.items()):
            quiet_ns = None if name in but else pace.silent_ns(now_ns)
            if quiet_ns is not None:
                usual = max(pace.interval_ns / _NS, 0.1)
                found.append(
                    f"AIS: {name} has heard nobody for {_span(quiet_ns)}, where it used to hear something "
                    f"every {usual:.1f} s; the receiver, its antenna or its feed may be down, and that no "
                    "vessel is heard says nothing meanwhile"
                )
        return found


def _span(span_ns: int) -> str:
    seconds = span_ns / _NS
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} minutes"
