"""The link between edge and ground in virtual time: what is sent waits, is sent again, and arrives.

An outbox that loses nothing over a radio that does: messages leave in order, at the rate that the link
carries, wait while there is none, are sent again when a packet is lost, and count once however often they
come. The real protocol over real sockets is put to the same faults by `skywarden sim faults`.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import msgspec

from sim.range.faults.spell import Spell
from skywarden.clock import NS_PER_S

RETRY_S = 1.0
"""What was not acknowledged is sent again after so long."""
RECONNECT_S = 1.0
MAX_TRIES = 1_000
MIN_RATE = 1e-3


class LinkTold(msgspec.Struct, frozen=True, kw_only=True):
    """What a link did over a watch; delays from sent to arrived."""

    sent: int = 0
    arrived: int = 0
    sent_again: int = 0
    came_twice: int = 0
    overtaken: int = 0
    median_delay_s: float | None = None
    worst_delay_s: float | None = None


@dataclass(kw_only=True, slots=True)
class _Counts:
    sent: int = 0
    again: int = 0
    twice: int = 0
    arrivals_ns: list[int] = field(default_factory=list)
    delays_s: list[float] = field(default_factory=list)


class Link:
    """One platform's link; hand it messages in the order of sending."""

    def __init__(self, spells: Iterable[Spell], delay_s: float) -> None:
        self._spells = [spell for spell in spells if spell.kind.startswith("link_")]
        self._chances = {spell.number: spell.chance() for spell in self._spells}
        self._delay_ns = round(delay_s * NS_PER_S)
        self._free_ns = 0
        self._counts = _Counts()

    def arrivals(self, sent_ns: int, size_bytes: int) -> list[int]:
        """When a message of so many bytes arrives, each time that it does; the first one counts."""
        self._counts.sent += 1
        at_ns = self._through(max(sent_ns, self._free_ns) if self._limits(sent_ns) else sent_ns, size_bytes)
        arrived_ns = at_ns + self._delay_ns + self._more_ns(at_ns)
        self._counts.arrivals_ns.append(arrived_ns)
        self._counts.delays_s.append((arrived_ns - sent_ns) / NS_PER_S)
        times = [arrived_ns]
        for spell in self._holding("link_duplication", at_ns):
            if self._chances[spell.number].random() < spell.numbers["share"]:
                self._counts.twice += 1
                times.append(arrived_ns + NS_PER_S // 10)
        return times

    def told(self) -> LinkTold:
        """What it did so far."""
        counts = self._counts
        delays = sorted(counts.delays_s)
        overtaken = sum(
            later < before for before, later in zip(counts.arrivals_ns, counts.arrivals_ns[1:], strict=False)
        )
        return LinkTold(
            sent=counts.sent,
            arrived=len(delays),
            sent_again=counts.again,
            came_twice=counts.twice,
            overtaken=overtaken,
            median_delay_s=round(delays[len(delays) // 2], 3) if delays else None,
            worst_delay_s=round(delays[-1], 3) if delays else None,
        )

    def _limits(self, time_ns: int) -> bool:
        return self._free_ns > time_ns

    def _through(self, at_ns: int, size_bytes: int) -> int:
        """When the last try of a message left, and nobody heard it in vain."""
        for _ in range(MAX_TRIES):
            for spell in self._holding("link_rate", at_ns):
                rate = max(spell.numbers["bytes_per_s"], MIN_RATE)
                at_ns += math.ceil(size_bytes / rate * NS_PER_S)
                self._free_ns = at_ns
            lost = [one for one in self._holding("link_loss", at_ns) if self._is_lost(one)]
            if not lost:
                return at_ns
            self._counts.again += 1
            if lost[0].numbers["share"] >= 1.0:
                at_ns = lost[0].span.end_ns + round(RECONNECT_S * NS_PER_S)
                self._free_ns = max(self._free_ns, at_ns)
            else:
                at_ns += round(RETRY_S * NS_PER_S)
        return at_ns

    def _is_lost(self, spell: Spell) -> bool:
        share = spell.numbers["share"]
        return share >= 1.0 or bool(self._chances[spell.number].random() < share)

    def _more_ns(self, at_ns: int) -> int:
        more_s = sum(spell.numbers["delay_s"] for spell in self._holding("link_delay", at_ns))
        for spell in self._holding("link_reordering", at_ns):
            more_s += float(self._chances[spell.number].uniform(0.0, spell.numbers["spread_s"]))
        return round(more_s * NS_PER_S)

    def _holding(self, kind: str, time_ns: int) -> Iterator[Spell]:
        return (spell for spell in self._spells if spell.kind == kind and spell.span.holds(time_ns))
