"""Faults of what is heard: MAVLink that stops, garbage and forged packets, AIS that falls silent."""

from collections.abc import Callable, Iterator

from sim.faults.frame_edit import changed, numbers_of
from sim.faults.gnss import METRES_PER_E7
from sim.range.faults.spell import Spell
from sim.scenario.flown.items import AisItem, Item, TelemetryItem
from skywarden.mavlink.framing import Framer
from skywarden.mavlink.synth import MessageMaker

STRANGER_SYSID = 213


class Dropped:
    """What `is_meant` picks is not heard while the fault lasts."""

    def __init__(self, spell: Spell, is_meant: Callable[[Item], bool]) -> None:
        self._spell, self._is_meant = spell, is_meant

    def apply(self, items: Iterator[Item]) -> Iterator[Item]:
        """See `Injector`."""
        for item in items:
            if not (self._is_meant(item) and self._spell.span.holds(item.time_ns)):
                yield item


def telemetry_loss(spell: Spell) -> Dropped:
    """No MAVLink at all."""
    return Dropped(spell, lambda item: isinstance(item, TelemetryItem))


def ais_silence(spell: Spell) -> Dropped:
    """The station's receiver hears nothing."""
    return Dropped(spell, lambda item: isinstance(item, AisItem))


class Garbage:
    """Noise full of start bytes between the frames, bytes lost within; the real framer sorts them."""

    def __init__(self, spell: Spell) -> None:
        self._spell = spell
        self._rng = spell.chance()

    def apply(self, items: Iterator[Item]) -> Iterator[Item]:
        """See `Injector`; what is left over at the end is not heard, as on a link that breaks off."""
        framer = Framer()
        is_on = False
        for item in items:
            if not isinstance(item, TelemetryItem):
                yield item
                continue
            holds = self._spell.span.holds(item.time_ns)
            if not holds and not is_on:
                yield item
                continue
            is_on = True
            stream = self._noise() + item.raw if holds else item.raw
            for frame in framer.feed(stream):
                yield TelemetryItem(time_ns=item.time_ns, platform_id=item.platform_id, raw=frame.raw)

    def _noise(self) -> bytes:
        if self._rng.random() >= self._spell.numbers["share"]:
            return b""
        size = int(self._rng.integers(1, 40))
        return bytes([0xFD if self._rng.random() < 0.5 else 0xFE]) + self._rng.bytes(size)


class Stranger:
    """Another autopilot is heard on the link, with a good checksum and a place of its own."""

    def __init__(self, spell: Spell) -> None:
        self._spell = spell
        self._maker = MessageMaker(STRANGER_SYSID, 1)

    def apply(self, items: Iterator[Item]) -> Iterator[Item]:
        """See `Injector`."""
        for item in items:
            yield item
            if not isinstance(item, TelemetryItem) or not self._spell.span.holds(item.time_ns):
                continue
            told = numbers_of(item.raw)
            if told is not None and told[0] == "HEARTBEAT" and told[1]["autopilot"] != 8:
                raw = self._maker.heartbeat(type=2, base_mode=0x89, custom_mode=3)
                yield TelemetryItem(time_ns=item.time_ns, platform_id=item.platform_id, raw=raw)


class Impostor:
    """Beside each true position stands a forged one of the same aircraft, some way off."""

    def __init__(self, spell: Spell) -> None:
        self._spell = spell

    def apply(self, items: Iterator[Item]) -> Iterator[Item]:
        """See `Injector`."""
        away_e7 = self._spell.numbers["away_m"] / METRES_PER_E7
        for item in items:
            yield item
            if isinstance(item, TelemetryItem) and self._spell.span.holds(item.time_ns):
                raw = changed(
                    item.raw, {"GLOBAL_POSITION_INT": lambda numbers: {"lat": numbers["lat"] + away_e7}}
                )
                if raw != item.raw:
                    yield TelemetryItem(time_ns=item.time_ns, platform_id=item.platform_id, raw=raw)
