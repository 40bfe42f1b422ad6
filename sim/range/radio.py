"""The air between a platform and its station in virtual time: packets take time, get lost and overtake."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sim.range.faults.spell import Spell
from skywarden.clock import NS_PER_S

MIN_RATE = 1e-3
DOUBLED_NS = NS_PER_S // 10


@dataclass(slots=True)
class AirCounts:
    """Packets and bytes that were sent over it, and packets that arrived; a doubled one arrives twice."""

    packets: int = 0
    bytes: int = 0
    lost: int = 0
    doubled: int = 0


class Radio:
    """One platform's radio with the faults that befall it; what is lost is lost, for it knows no protocol."""

    def __init__(self, spells: Iterable[Spell], delay_s: float) -> None:
        self._spells = [spell for spell in spells if spell.kind.startswith("link_")]
        self._chances = {spell.number: spell.chance() for spell in self._spells}
        self._delay_ns = round(delay_s * NS_PER_S)
        self._free_ns = 0
        self.counts = AirCounts()

    def crossings(self, sent_ns: int, size_bytes: int) -> list[int]:
        """When a packet of so many bytes arrives: never, once, or twice. Ask in the order of sending."""
        self.counts.packets += 1
        self.counts.bytes += size_bytes
        at_ns = self._through(sent_ns, size_bytes)
        if any(self._draws(spell, "share") for spell in self._holding("link_loss", sent_ns)):
            self.counts.lost += 1
            return []
        arrived_ns = at_ns + self._delay_ns + self._more_ns(sent_ns)
        doubles = [
            spell for spell in self._holding("link_duplication", sent_ns) if self._draws(spell, "share")
        ]
        self.counts.doubled += len(doubles)
        return [arrived_ns, *(arrived_ns + DOUBLED_NS for _ in doubles)]

    def _through(self, sent_ns: int, size_bytes: int) -> int:
        """When its last bit left: a narrow link takes one packet after the other."""
        at_ns = sent_ns
        for spell in self._holding("link_rate", sent_ns):
            rate = max(spell.numbers["bytes_per_s"], MIN_RATE)
            at_ns = max(sent_ns, self._free_ns) + math.ceil(size_bytes / rate * NS_PER_S)
            self._free_ns = at_ns
        return at_ns

    def _draws(self, spell: Spell, key: str) -> bool:
        share = spell.numbers[key]
        return share >= 1.0 or bool(self._chances[spell.number].random() < share)

    def _more_ns(self, at_ns: int) -> int:
        more_s = sum(spell.numbers["delay_s"] for spell in self._holding("link_delay", at_ns))
        for spell in self._holding("link_reordering", at_ns):
            more_s += float(self._chances[spell.number].uniform(0.0, spell.numbers["spread_s"]))
        return round(more_s * NS_PER_S)

    def _holding(self, kind: str, time_ns: int) -> Iterator[Spell]:
        return (spell for spell in self._spells if spell.kind == kind and spell.span.holds(time_ns))
