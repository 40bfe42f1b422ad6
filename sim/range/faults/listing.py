"""The kinds of fault as people and scripts read them: parameters, and what is expected of the chain."""

from dataclasses import asdict
from typing import Any

from sim.faults.gnss import Span
from sim.range.faults.kind import Kind, Switch, Word
from sim.range.faults.kinds import KINDS
from sim.range.faults.spell import Spell
from skywarden.clock import NS_PER_S

_FOR_NS = 60 * NS_PER_S


def listed() -> list[dict[str, Any]]:
    """Every kind with its parameters, and what is expected when it comes as it is for a minute."""
    return [_told(kind) for kind in KINDS.values()]


def _told(kind: Kind) -> dict[str, Any]:
    expected = kind.expect(_as_it_is(kind))
    return {
        "kind": kind.name,
        "about": kind.about,
        "where": kind.where,
        "can_be_ordered": kind.where != "process",
        "parameters": {name: asdict(spec) for name, spec in kind.parameters.items()},
        "expected": {
            "reported_as": list(expected.reported_as),
            "within_s": None if expected.within_s is None else round(expected.within_s, 2),
            "degraded_to": expected.degraded_to,
            "recovered_s": expected.recovered_s,
        },
        "real_processes": kind.elsewhere,
    }


def _as_it_is(kind: Kind) -> Spell:
    """The fault with its defaults, for a minute, where the geoid lies 70 m off the ellipsoid."""
    words = {name: spec.default for name, spec in kind.parameters.items() if isinstance(spec, Word)}
    numbers = {
        name: float(spec.default)
        for name, spec in kind.parameters.items()
        if isinstance(spec, Switch) or not isinstance(spec, Word)
    }
    span = Span(start_ns=0, end_ns=_FOR_NS)
    return Spell(
        kind=kind.name,
        number=0,
        seed=0,
        platform="",
        span=span,
        numbers=numbers,
        words=words,
        place=(12.0, 75.0),
    )
