"""Faults of where things point: compass, and gimbals that are stuck, late, silent or say the wrong frame."""

import math
from collections import deque
from collections.abc import Iterator, Mapping

import numpy as np

from sim.faults.frame_edit import changed, numbers_of
from sim.faults.gnss import Record
from sim.range.faults.spell import Spell, Telemetry
from sim.scenario.flown.items import Item, TelemetryItem
from skywarden.clock import NS_PER_S
from skywarden.geometry.rotations import multiply, quaternion_from_euler_deg
from skywarden.mavlink.synth import GIMBAL_FLAG_YAW_IN_EARTH_FRAME, GIMBAL_FLAG_YAW_IN_VEHICLE_FRAME

Numbers = Mapping[str, int | float]
GIMBALS = ("GIMBAL_DEVICE_ATTITUDE_STATUS", "MOUNT_ORIENTATION", "MOUNT_STATUS")
_FRAMES = GIMBAL_FLAG_YAW_IN_EARTH_FRAME | GIMBAL_FLAG_YAW_IN_VEHICLE_FRAME


def compass(spell: Spell) -> Telemetry:
    """Headings are off: the aircraft's, and of gimbals what they know from it."""
    off_deg = spell.numbers["off_deg"]
    turn = quaternion_from_euler_deg(0.0, 0.0, off_deg)

    def attitude(numbers: Numbers) -> Numbers:
        return {"yaw": math.remainder(numbers["yaw"] + math.radians(off_deg), math.tau)}

    def quaternion(numbers: Numbers) -> Numbers:
        q = multiply(turn, np.array([numbers[f"q{index}"] for index in range(1, 5)]))
        return {f"q{index + 1}": float(value) for index, value in enumerate(q)}

    def position(numbers: Numbers) -> Numbers:
        if numbers["hdg"] == 65_535:
            return {}
        return {"hdg": (numbers["hdg"] + 100.0 * off_deg) % 36_000.0}

    def device(numbers: Numbers) -> Numbers:
        told: dict[str, float] = {}
        flags = int(numbers["flags"])
        if flags & GIMBAL_FLAG_YAW_IN_EARTH_FRAME or (not flags & _FRAMES and flags & 16):
            q = multiply(turn, np.array([numbers[f"q[{index}]"] for index in range(4)]))
            told = {f"q[{index}]": float(value) for index, value in enumerate(q)}
        if math.isfinite(numbers["delta_yaw"]) and flags & _FRAMES:
            told["delta_yaw"] = numbers["delta_yaw"] + math.radians(off_deg)
        return told

    def mount(numbers: Numbers) -> Numbers:
        absolute = numbers["yaw_absolute"]
        return {"yaw_absolute": math.remainder(absolute + off_deg, 360.0)} if math.isfinite(absolute) else {}

    changes = {
        "ATTITUDE": attitude,
        "ATTITUDE_QUATERNION": quaternion,
        "GLOBAL_POSITION_INT": position,
        "GIMBAL_DEVICE_ATTITUDE_STATUS": device,
        "MOUNT_ORIENTATION": mount,
    }

    def turned(records: Iterator[Record]) -> Iterator[Record]:
        for time_ns, raw in records:
            yield time_ns, changed(raw, changes) if spell.span.holds(time_ns) else raw

    return Telemetry(turned)


def stuck(spell: Spell) -> Telemetry:
    """The gimbal goes on saying what it said first, with the time of now."""
    held: dict[str, bytes] = {}

    def kept(records: Iterator[Record]) -> Iterator[Record]:
        for time_ns, raw in records:
            told = numbers_of(raw)
            if told is not None and told[0] in GIMBALS and spell.span.holds(time_ns):
                raw = _at_time(held.setdefault(told[0], raw), told)
            yield time_ns, raw

    return Telemetry(kept)


def lagging(spell: Spell) -> Telemetry:
    """The gimbal says where it pointed a while ago."""
    delay_ns = round(spell.numbers["delay_s"] * NS_PER_S)
    past: dict[str, deque[tuple[int, bytes]]] = {name: deque() for name in GIMBALS}

    def late(records: Iterator[Record]) -> Iterator[Record]:
        for time_ns, raw in records:
            told = numbers_of(raw)
            if told is None or told[0] not in GIMBALS:
                yield time_ns, raw
                continue
            before = past[told[0]]
            before.append((time_ns, raw))
            while len(before) > 1 and before[1][0] <= time_ns - delay_ns:
                before.popleft()
            yield time_ns, _at_time(before[0][1], told) if spell.span.holds(time_ns) else raw

    return Telemetry(late)


def flags(spell: Spell) -> Telemetry:
    """The gimbal's flags claim the other frame for its yaw, or both at once."""
    is_both = spell.words["claims"] == "both"

    def wrong(numbers: Numbers) -> Numbers:
        said = int(numbers["flags"])
        return {"flags": said | _FRAMES if is_both else said ^ _FRAMES if said & _FRAMES else said ^ 16}

    def claimed(records: Iterator[Record]) -> Iterator[Record]:
        for time_ns, raw in records:
            if spell.span.holds(time_ns):
                raw = changed(raw, {"GIMBAL_DEVICE_ATTITUDE_STATUS": wrong})
            yield time_ns, raw

    return Telemetry(claimed)


class Silent:
    """The gimbal says nothing."""

    def __init__(self, spell: Spell) -> None:
        self._spell = spell

    def apply(self, items: Iterator[Item]) -> Iterator[Item]:
        """See `Injector`."""
        for item in items:
            if isinstance(item, TelemetryItem) and self._spell.span.holds(item.time_ns):
                told = numbers_of(item.raw)
                if told is not None and told[0] in GIMBALS:
                    continue
            yield item


def _at_time(raw: bytes, now: tuple[str, dict[str, int | float]]) -> bytes:
    """The message with the boot time of the one that is told now."""
    name, numbers = now
    if "time_boot_ms" not in numbers:
        return raw
    return changed(raw, {name: lambda _: {"time_boot_ms": numbers["time_boot_ms"]}})
