"""GNSS faults put into recorded telemetry: pure functions of records, a span of time and a seed.

Each fault acts where it would in life: on what the receivers say, on the position that the autopilot makes of
it, or on the bytes of the link. Everything else, above all velocities and accelerations, stays as recorded,
unless the fault is said to be a spoofer's who moves those too.
"""

import math
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from sim.faults.frame_edit import Change, changed
from skywarden.clock import NS_PER_S
from skywarden.mavlink.framing import Framer

Record = tuple[int, bytes]
Numbers = Mapping[str, int | float]
RECEIVERS = ("GPS_RAW_INT", "GPS2_RAW")
POSITIONS = ("GLOBAL_POSITION_INT", *RECEIVERS)
METRES_PER_E7 = math.radians(1e-7) * 6_371_000.0
NO_FIX = 1
UNKNOWN_DOP = 65_535


@dataclass(frozen=True, kw_only=True)
class Span:
    """From `start_ns` on, before `end_ns`, by the time of reception."""

    start_ns: int
    end_ns: int

    def holds(self, time_ns: int) -> bool:
        """Whether an instant lies in it."""
        return self.start_ns <= time_ns < self.end_ns


def lose_fix(records: Iterable[Record], span: Span) -> Iterator[Record]:
    """The receivers see no satellites; the autopilot goes on by itself."""

    def lost(numbers: Numbers) -> Numbers:
        return {"fix_type": NO_FIX, "satellites_visible": 0, "eph": UNKNOWN_DOP, "epv": UNKNOWN_DOP}

    yield from _within(records, span, dict.fromkeys(RECEIVERS, lambda _: lost))


def freeze(records: Iterable[Record], span: Span, *, with_velocity: bool = False) -> Iterator[Record]:
    """Positions stay at the first one in the span; `with_velocity`: the whole messages stay but for time."""
    held: dict[str, Numbers] = {}

    def frozen(name: str) -> Callable[[int], Change]:
        keys = ["lat", "lon", "alt", "relative_alt"]
        keys += ["vx", "vy", "vz", "hdg", "vel", "cog"] if with_velocity else []

        def change(numbers: Numbers) -> Numbers:
            first = held.setdefault(name, numbers)
            return {key: first[key] for key in keys if key in first}

        return lambda _: change

    yield from _within(records, span, {name: frozen(name) for name in POSITIONS})


def glitch(records: Iterable[Record], span: Span, north_m: float, east_m: float) -> Iterator[Record]:
    """All positions stand aside by so much."""
    yield from displace(records, span, lambda _: (north_m, east_m))


def drift(
    records: Iterable[Record], span: Span, north_mps: float, east_mps: float, *, with_velocity: bool = False
) -> Iterator[Record]:
    """A spoofer leads all positions away; `with_velocity`: the velocities that are told go along."""

    def away(time_ns: int) -> tuple[float, float]:
        spent_s = (time_ns - span.start_ns) / NS_PER_S
        return north_mps * spent_s, east_mps * spent_s

    led = displace(records, span, away)
    if not with_velocity:
        yield from led
        return

    def hurried(numbers: Numbers) -> Numbers:
        return {"vx": numbers["vx"] + 100 * north_mps, "vy": numbers["vy"] + 100 * east_mps}

    def turned(numbers: Numbers) -> Numbers:
        course, speed = math.radians(numbers["cog"] / 100), numbers["vel"] / 100
        north, east = speed * math.cos(course) + north_mps, speed * math.sin(course) + east_mps
        return {
            "vel": 100 * math.hypot(north, east),
            "cog": math.degrees(math.atan2(east, north)) % 360 * 100,
        }

    def shown(numbers: Numbers) -> Numbers:
        return {"groundspeed": numbers["groundspeed"] + math.hypot(north_mps, east_mps)}

    yield from _within(
        led,
        span,
        {
            "GLOBAL_POSITION_INT": lambda _: hurried,
            "VFR_HUD": lambda _: shown,
            **dict.fromkeys(RECEIVERS, lambda _: turned),
        },
    )


def null_island(records: Iterable[Record], span: Span) -> Iterator[Record]:
    """Positions are 0, 0, as of a receiver that lost its memory; the fix is still claimed."""
    yield from _within(records, span, dict.fromkeys(POSITIONS, lambda _: lambda _: {"lat": 0, "lon": 0}))


def jump_gnss_time(records: Iterable[Record], span: Span, seconds: float) -> Iterator[Record]:
    """The UTC that the autopilot has from its receiver is off."""

    def late(numbers: Numbers) -> Numbers:
        told = numbers["time_unix_usec"]
        return {"time_unix_usec": told + seconds * 1e6} if told else {}

    yield from _within(records, span, {"SYSTEM_TIME": lambda _: late})


def displace(
    records: Iterable[Record], span: Span, away_m: Callable[[int], tuple[float, float]]
) -> Iterator[Record]:
    """All positions moved north and east by what `away_m` says for the time of reception."""

    def moved(time_ns: int) -> Change:
        north_m, east_m = away_m(time_ns)

        def change(numbers: Numbers) -> Numbers:
            if not (numbers["lat"] or numbers["lon"]):
                return {}
            stretch = max(1e-3, math.cos(math.radians(numbers["lat"] / 1e7)))
            return {
                "lat": numbers["lat"] + north_m / METRES_PER_E7,
                "lon": numbers["lon"] + east_m / METRES_PER_E7 / stretch,
            }

        return change

    yield from _within(records, span, dict.fromkeys(POSITIONS, moved))


def lose_bytes(records: Iterable[Record], span: Span, share: float, seed: int) -> Iterator[Record]:
    """Each byte in the span is lost with probability `share`; what a framer still finds comes through."""
    chance, framer = random.Random(seed), Framer()
    for time_ns, raw in records:
        if not span.holds(time_ns):
            yield time_ns, raw
            continue
        kept = bytes(byte for byte in raw if chance.random() >= share)
        for frame in framer.feed(kept):
            yield time_ns, frame.raw


def _within(
    records: Iterable[Record], span: Span, changes: Mapping[str, Callable[[int], Change]]
) -> Iterator[Record]:
    for time_ns, raw in records:
        if span.holds(time_ns):
            yield time_ns, changed(raw, {name: change(time_ns) for name, change in changes.items()})
        else:
            yield time_ns, raw
