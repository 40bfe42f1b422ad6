"""What the station's AIS receiver hears of a scenario: real sentences with gaps, wrong places and clones.

Reports come at the intervals of ITU-R M.1371 for the vessel's class and speed; a share is lost, more beyond
nine tenths of the radio horizon. Before the scenario begins there are `LEAD_S` of traffic, so that a ground
station knows who was there and that it hears.
"""

import math
from collections.abc import Iterator

import numpy as np

from ground.ais.hearing import radio_horizon_m
from ground.ais.motion import expected_interval_s
from sim.scenario.land.noise import generator
from sim.scenario.tables.fleet import Ais, AisReceiver, Vessel
from sim.scenario.vessels import BEAM_M, LENGTH_M
from sim.scenario.world import World
from skywarden.ais.compose import compose_sentences
from skywarden.ais.fields import Value
from skywarden.ais.payload import checksum
from skywarden.ais.reports import KNOT_MPS

LEAD_S = 900.0
_STATIC_EVERY_S = 360.0
_PLACE_SIGMA_M = 4.0
_SHIP_TYPE = {"fishing": 30, "sail": 36, "ship": 70, "coaster": 79, "skiff": 37, "go_fast": 37}


def heard_sentences(world: World, seconds: float, *, lead_s: float = LEAD_S) -> Iterator[tuple[int, bytes]]:
    """(UTC ns of reception, line) in order, without line ends; each line has a TAG block with its time.

    From `lead_s` before the start of the scenario to `seconds` after it.
    """
    told = [
        (time_s, order, vessel, is_static)
        for order, vessel in enumerate(world.scenario.vessels)
        if vessel.ais is not None
        for time_s, is_static in _instants(world, vessel, vessel.ais, seconds, lead_s)
    ]
    told.sort(key=lambda one: one[:2])
    rng = generator(world.scenario.seed, "ais fading")
    sequence = 0
    for time_s, _, vessel, is_static in told:
        assert vessel.ais is not None
        drawn = float(rng.random())
        noise = rng.normal(0.0, _PLACE_SIGMA_M, 2)
        motion = world.fleet.motion(vessel.id, time_s)
        if drawn > chance_of_report(world.scenario.ais, motion.x_m, motion.y_m):
            continue
        time_ns = world.scenario.start_ns + round(time_s * 1e9)
        values = (
            _static(vessel, vessel.ais)
            if is_static
            else [_position(world, vessel, vessel.ais, time_s, noise)]
        )
        for each in values:
            sequence += 1
            for line in compose_sentences(each, sequence=sequence, channel="AB"[sequence % 2]):
                yield time_ns, _tagged(line, time_ns)


def _instants(
    world: World, vessel: Vessel, ais: Ais, seconds: float, lead_s: float
) -> list[tuple[float, bool]]:
    """When a vessel sends, and whether its name and hull (rather than its place)."""
    rng = generator(world.scenario.seed, "ais", vessel.id)
    found: list[tuple[float, bool]] = []
    time_s = -lead_s + float(rng.uniform(0.0, 10.0))
    next_static_s = time_s
    while time_s <= seconds:
        is_silent = any(start <= time_s <= end for start, end in ais.gaps_s)
        if not is_silent:
            if time_s >= next_static_s:
                found.append((time_s + 0.4, True))
                next_static_s = time_s + _STATIC_EVERY_S
            found.append((time_s, False))
        speed = world.fleet.motion(vessel.id, time_s).speed_mps
        time_s += expected_interval_s(ais.station, speed, 0) * float(rng.uniform(0.9, 1.1))
    return found


def chance_of_report(receiver: AisReceiver, x_m: float, y_m: float) -> float:
    """That the receiver gets one report that is sent from there (grid metres)."""
    part = math.hypot(x_m - receiver.at[0], y_m - receiver.at[1]) / radio_horizon_m(receiver.height_m)
    return (1.0 - receiver.missed) / (1.0 + math.exp((part - 0.9) / 0.06))


def _position(
    world: World, vessel: Vessel, ais: Ais, time_s: float, noise: np.ndarray[tuple[int], np.dtype[np.float64]]
) -> dict[str, Value]:
    shown_s = min(time_s, ais.frozen_from_s) if ais.frozen_from_s is not None else time_s
    motion = world.fleet.motion(vessel.id, shown_s)
    x, y = motion.x_m + float(noise[0]), motion.y_m + float(noise[1])
    if ais.wrong_from_s is not None and time_s >= ais.wrong_from_s - LEAD_S * (ais.wrong_from_s == 0.0):
        x, y = x + ais.offset_m[0], y + ais.offset_m[1]
    latitude, longitude = world.grid.geodetic(x, y)
    values: dict[str, Value] = {
        "type": 1 if ais.station == "A" else 18,
        "mmsi": ais.mmsi,
        "speed": min(102.2, round(motion.speed_mps / KNOT_MPS, 1)),
        "course": round(motion.heading_deg, 1) % 360.0,
        "heading": round(motion.heading_deg) % 360 if ais.station == "A" else None,
        "lat": float(latitude),
        "lon": float(longitude),
        "second": (world.scenario.start_ns + round(time_s * 1e9)) // 1_000_000_000 % 60,
        "accuracy": True,
    }
    if ais.station == "A":
        values["status"] = 0
    return values


def _static(vessel: Vessel, ais: Ais) -> list[dict[str, Value]]:
    """Name and hull: type 5 of class A, both parts of type 24 of class B."""
    length, beam = round(LENGTH_M[vessel.kind]), max(round(BEAM_M[vessel.kind]), 2)
    hull: dict[str, Value] = {
        "to_bow": length // 2,
        "to_stern": length - length // 2,
        "to_port": beam // 2,
        "to_starboard": beam - beam // 2,
    }
    shiptype = _SHIP_TYPE[vessel.kind]
    if ais.station == "A":
        return [{"type": 5, "mmsi": ais.mmsi, "shipname": ais.name, "shiptype": shiptype, **hull}]
    return [
        {"type": 24, "mmsi": ais.mmsi, "partno": 0, "shipname": ais.name},
        {"type": 24, "mmsi": ais.mmsi, "partno": 1, "shiptype": shiptype, **hull},
    ]


def _tagged(line: bytes, time_ns: int) -> bytes:
    body = f"s:sim,c:{time_ns // 1_000_000_000}".encode()
    return b"\\" + body + f"*{checksum(body):02X}".encode() + b"\\" + line
