"""Deeds of vessels as changes of the scenario: the same vessel on another line from this instant on.

A vessel that turns becomes one that was always on the line that it now follows, so it is where it was and
goes where it was told; what it was before stands in the chapter before (`sim.drill.story`).
"""

import math

import msgspec

from sim.drill.orders import Order, deed_parameters
from sim.scenario.description import Scenario
from sim.scenario.fleet.behaviour import Fleet
from sim.scenario.tables.fleet import Ais, Vessel
from skywarden.errors import UsageError

_LAST_S = 86_400.0


def scenario_after(scenario: Scenario, order: Order, fleet: Fleet, at_s: float) -> Scenario:
    """The scenario from `at_s` on, in which the deed is done; `fleet` is that of `scenario`.

    Raises `UsageError` when the vessel cannot do it.
    """
    numbers, words = deed_parameters(order)
    assert order.vessel is not None, "orders of vessels are checked before"
    if order.kind == "vessel_appears":
        made = _appearing(order.vessel, numbers, words, at_s)
        return msgspec.structs.replace(scenario, vessels=(*scenario.vessels, made))
    vessels = tuple(
        _changed(one, order, numbers, words, fleet, at_s) if one.id == order.vessel else one
        for one in scenario.vessels
    )
    return msgspec.structs.replace(scenario, vessels=vessels)


def _changed(
    vessel: Vessel, order: Order, numbers: dict[str, float], words: dict[str, str], fleet: Fleet, at_s: float
) -> Vessel:
    if order.kind in ("vessel_turns", "vessel_stops"):
        now = fleet.motion(vessel.id, at_s)
        is_stop = order.kind == "vessel_stops"
        heading = now.heading_deg if is_stop else numbers["heading_deg"] % 360.0
        return _on_line(vessel, (now.x_m, now.y_m), heading, 0.0 if is_stop else numbers["speed_mps"], at_s)
    if order.kind == "ais_on":
        return msgspec.structs.replace(vessel, ais=_sending(vessel, words["mmsi"], at_s))
    ais = vessel.ais
    if ais is None:
        raise UsageError(f"{vessel.id} sends no AIS; ais_on with an mmsi lets it begin")
    if order.kind == "ais_off":
        return msgspec.structs.replace(
            vessel, ais=msgspec.structs.replace(ais, gaps_s=(*ais.gaps_s, (at_s, _LAST_S)))
        )
    offset = (numbers["east_m"], numbers["north_m"])
    return msgspec.structs.replace(
        vessel, ais=msgspec.structs.replace(ais, wrong_from_s=at_s, offset_m=offset)
    )


def _sending(vessel: Vessel, mmsi: str, at_s: float) -> Ais:
    """AIS from now on; a vessel that never sent was not heard before."""
    if vessel.ais is not None:
        gaps = tuple((begin, min(end, at_s)) for begin, end in vessel.ais.gaps_s if begin < at_s)
        return msgspec.structs.replace(vessel.ais, gaps_s=gaps, wrong_from_s=None)
    if not mmsi:
        raise UsageError(f"{vessel.id} has no number; say mmsi=NINE_DIGITS")
    return Ais(mmsi=mmsi, name=vessel.id.upper()[:20].replace("_", "-"))


def _appearing(name: str, numbers: dict[str, float], words: dict[str, str], at_s: float) -> Vessel:
    ais = Ais(mmsi=words["mmsi"], name=name.upper()[:20].replace("_", "-")) if words["mmsi"] else None
    base = Vessel(
        id=name,
        kind=words["hull"],  # type: ignore[arg-type]  # one of the choices
        at=(0.0, 0.0),
        heading_deg=0.0,
        ais=ais,
    )
    place = (numbers["east_m"], numbers["north_m"])
    return _on_line(base, place, numbers["heading_deg"] % 360.0, numbers["speed_mps"], at_s)


def _on_line(
    vessel: Vessel, place: tuple[float, float], heading_deg: float, speed_mps: float, at_s: float
) -> Vessel:
    """The vessel on a straight line that leads through `place` at `at_s`."""
    heading = math.radians(heading_deg)
    back_m = speed_mps * at_s
    at = (place[0] - back_m * math.sin(heading), place[1] - back_m * math.cos(heading))
    return msgspec.structs.replace(
        vessel, at=at, heading_deg=heading_deg, speed_mps=speed_mps, turn_dps=0.0, steps=()
    )
