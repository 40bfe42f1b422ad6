"""Faults of clocks: the UTC that an autopilot tells jumps or runs away, its own count of time leaps."""

from collections.abc import Callable, Iterator, Mapping

from sim.faults.frame_edit import Change, changed, numbers_of
from sim.faults.gnss import Record
from sim.range.faults.spell import Spell, Telemetry

Numbers = Mapping[str, int | float]


def utc_jump(spell: Spell) -> Telemetry:
    """The autopilot's UTC is off by so many seconds."""
    return _utc(spell, lambda _: spell.numbers["jump_s"])


def utc_skew(spell: Spell) -> Telemetry:
    """The autopilot's UTC runs away, so many seconds for each second."""
    return _utc(spell, lambda time_ns: spell.numbers["rate"] * spell.after_s(time_ns))


def boot_jump(spell: Spell) -> Telemetry:
    """The milliseconds since its start leap in every message of the autopilot."""
    leap_ms = 1_000.0 * spell.numbers["jump_s"]

    def leapt(records: Iterator[Record]) -> Iterator[Record]:
        for time_ns, raw in records:
            told = numbers_of(raw) if spell.span.holds(time_ns) else None
            if told is not None and "time_boot_ms" in told[1]:
                raw = changed(raw, {told[0]: _to("time_boot_ms", told[1]["time_boot_ms"] + leap_ms)})
            elif told is not None and told[0] == "GPS_RAW_INT":
                raw = changed(raw, {told[0]: _to("time_usec", told[1]["time_usec"] + 1_000.0 * leap_ms)})
            yield time_ns, raw

    return Telemetry(leapt)


def _utc(spell: Spell, ahead_s: Callable[[int], float]) -> Telemetry:
    def off(records: Iterator[Record]) -> Iterator[Record]:
        for time_ns, raw in records:
            if spell.span.holds(time_ns):
                raw = changed(raw, {"SYSTEM_TIME": _later(ahead_s(time_ns))})
            yield time_ns, raw

    return Telemetry(off)


def _to(name: str, value: float) -> Change:
    return lambda _: {name: value}


def _later(seconds: float) -> Callable[[Numbers], Numbers]:
    def change(numbers: Numbers) -> Numbers:
        told = int(numbers["time_unix_usec"])
        return {"time_unix_usec": told + round(seconds * 1e6)} if told else {}

    return change
