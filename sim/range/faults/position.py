"""Faults of the position: lost, frozen, jumping and drifting GNSS, heights of the wrong datum."""

import math
from collections.abc import Iterator

from sim.faults import gnss
from sim.faults.frame_edit import changed
from sim.faults.gnss import Record
from sim.range.faults.spell import Spell, Telemetry
from skywarden.geometry.geoid import undulation_m


def loss(spell: Spell) -> Telemetry:
    """The receivers see no satellites."""
    return Telemetry(lambda records: gnss.lose_fix(records, spell.span))


def frozen(spell: Spell) -> Telemetry:
    """Every position repeats the first one."""
    return Telemetry(lambda records: gnss.freeze(records, spell.span))


def jump(spell: Spell) -> Telemetry:
    """All positions stand aside."""
    north_m, east_m = spell.numbers["north_m"], spell.numbers["east_m"]
    return Telemetry(lambda records: gnss.glitch(records, spell.span, north_m, east_m))


def drift(spell: Spell) -> Telemetry:
    """Positions are led away, with or without the velocities."""
    north, east = spell.numbers["north_mps"], spell.numbers["east_mps"]
    is_led = bool(spell.numbers["with_velocity"])
    return Telemetry(lambda records: gnss.drift(records, spell.span, north, east, with_velocity=is_led))


def wrong_datum(spell: Spell) -> Telemetry:
    """Either the receiver's height above the ellipsoid is off, or the autopilot sends that for MSL."""
    offset_mm = 1_000.0 * datum_offset_m(spell)
    message, name = ("GPS_RAW_INT", "alt_ellipsoid")
    if spell.words["whose"] == "autopilot":
        message, name = ("GLOBAL_POSITION_INT", "alt")

    def shifted(records: Iterator[Record]) -> Iterator[Record]:
        for time_ns, raw in records:
            if spell.span.holds(time_ns):
                raw = changed(raw, {message: lambda numbers: {name: numbers[name] + offset_mm}})
            yield time_ns, raw

    return Telemetry(shifted)


def datum_offset_m(spell: Spell) -> float:
    """By how much heights are off; an autopilot that mixes its datums is off by the undulation."""
    if spell.words["whose"] == "autopilot":
        return float(undulation_m(*spell.place))
    return spell.numbers["offset_m"]


def led_away_mps(spell: Spell) -> float:
    """How fast a drift goes."""
    return math.hypot(spell.numbers["north_mps"], spell.numbers["east_mps"])
