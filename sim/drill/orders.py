"""What a trainer can order: faults of the range and deeds of vessels, checked; and the list of all."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

from msgspec import Meta, field

from sim.range.faults.kind import Number, Switch, Word
from sim.range.faults.kinds import KINDS
from sim.scenario.tables.faults import Parameter
from sim.scenario.tables.units import Name, Seconds
from skywarden.config import Config, load_config
from skywarden.errors import UsageError

MAX_ORDERS = 200
REFUSED = {"disk_full": "it would fill the disk of this machine; `skywarden sim faults S3` shows it"}

_PLACE = {
    "east_m": Number(default=0.0, low=-50_000.0, high=50_000.0, about="east of the scenario's place, metres"),
    "north_m": Number(default=0.0, low=-50_000.0, high=50_000.0, about="north of it, metres"),
}
_MOTION = {
    "heading_deg": Number(default=0.0, low=0.0, high=360.0, about="true heading"),
    "speed_mps": Number(default=8.0, low=0.0, high=40.0, about="metres a second"),
}
_HULLS = ("go_fast", "fishing", "skiff", "ship", "coaster", "sail")
DEEDS: Mapping[str, tuple[str, Mapping[str, Number | Switch | Word]]] = {
    "vessel_appears": (
        "a vessel comes into the picture, at a place, under way, with AIS or dark",
        {
            "hull": Word(default="go_fast", choices=_HULLS, about="what it is"),
            **_PLACE,
            **_MOTION,
            "mmsi": Word(default="", choices=(), about="nine digits; empty: it sends no AIS"),
        },
    ),
    "vessel_turns": ("a vessel changes course and speed", _MOTION),
    "vessel_stops": ("a vessel stops where it is", {}),
    "ais_off": ("a vessel sends no AIS any more", {}),
    "ais_on": (
        "a vessel sends AIS again, or begins to",
        {"mmsi": Word(default="", choices=(), about="nine digits, where it had none")},
    ),
    "ais_false_place": (
        "a vessel says on AIS that it is somewhere else",
        {
            "east_m": Number(default=2_500.0, low=-50_000.0, high=50_000.0, about="how far off, east"),
            "north_m": Number(default=0.0, low=-50_000.0, high=50_000.0, about="how far off, north"),
        },
    ),
}
"""What vessels can be made to do: about, and parameters."""


class Order(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One thing that the trainer lets happen.

    Attributes:
        kind: a kind of fault of the range, or a deed of a vessel (`skywarden sim drill kinds`).
        at_s: seconds after the start of the drill; `None`: at once.
        for_s: how long a fault lasts; `None`: to the end.
        platform: whom a fault befalls; `None`: all platforms.
        vessel: which vessel; the name of a new one.
        parameters: the kind's own numbers and words.
        note: what the crew should make of it, for the score card.
    """

    kind: Annotated[str, Meta(min_length=1, max_length=40, pattern=r"^[a-z][a-z0-9_]*$")]
    at_s: Seconds | None = None
    for_s: Annotated[float, Meta(gt=0.0, le=86_400.0)] | None = None
    platform: Name | None = None
    vessel: Name | None = None
    parameters: Annotated[dict[str, Parameter], Meta(max_length=20)] = field(default_factory=dict)
    note: Annotated[str, Meta(max_length=400)] = ""

    @property
    def is_deed(self) -> bool:
        """Whether a vessel does it."""
        return self.kind in DEEDS


class OrderFile(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A trainer's script: tables `[[order]]`, each with its time."""

    order: Annotated[tuple[Order, ...], Meta(max_length=MAX_ORDERS)] = ()


def load_orders(path: Path) -> tuple[Order, ...]:
    """The orders of a file, by time; raises `ConfigError`, and `UsageError` for an order without a time."""
    found = load_config(OrderFile, path, prefix="DRILL", environ={}).order
    for number, one in enumerate(found):
        if one.at_s is None:
            raise UsageError(f"{path}: order {number} ({one.kind}) says no at_s; in a file each has its time")
    return tuple(sorted(found, key=lambda one: one.at_s or 0.0))


def check_order(order: Order, platforms: Sequence[str], vessels: Sequence[str]) -> None:
    """Raise `UsageError` when an order cannot be carried out, saying what there is."""
    if order.kind in REFUSED:
        raise UsageError(f"{order.kind} is no order of a drill: {REFUSED[order.kind]}")
    if order.kind not in KINDS and not order.is_deed:
        there = ", ".join(sorted([*(one for one in KINDS if one not in REFUSED), *DEEDS]))
        raise UsageError(f"there is no kind {order.kind!r}; there are {there}")
    if order.platform is not None and order.platform not in platforms:
        raise UsageError(f"there is no platform {order.platform!r}; there are {', '.join(platforms)}")
    if not order.is_deed:
        return
    if order.vessel is None:
        raise UsageError(f"{order.kind} asks for --vessel: its name")
    is_new = order.kind == "vessel_appears"
    if is_new and order.vessel in vessels:
        raise UsageError(f"there is a vessel {order.vessel!r} already; name a new one")
    if not is_new and order.vessel not in vessels:
        raise UsageError(f"there is no vessel {order.vessel!r}; there are {', '.join(vessels) or 'none'}")
    deed_parameters(order)


def deed_parameters(order: Order) -> tuple[dict[str, float], dict[str, str]]:
    """Numbers and words of a deed, complete and checked; raises `UsageError`."""
    known = DEEDS[order.kind][1]
    if strange := sorted(set(order.parameters) - set(known)):
        raise UsageError(
            f"{order.kind}: no parameter {strange[0]!r}; there are: {', '.join(sorted(known)) or 'none'}"
        )
    numbers: dict[str, float] = {}
    words: dict[str, str] = {}
    for key, spec in known.items():
        value = order.parameters.get(key, spec.default)
        if isinstance(spec, Number):
            if isinstance(value, bool | str) or not spec.low <= value <= spec.high:
                raise UsageError(
                    f"{order.kind}: {key} ({spec.about}) goes from {spec.low:g} to {spec.high:g}, "
                    f"not {value!r}"
                )
            numbers[key] = float(value)
        else:
            words[key] = _word(order.kind, key, spec, str(value))
    return numbers, words


def _word(kind: str, key: str, spec: Word | Switch, value: str) -> str:
    choices = spec.choices if isinstance(spec, Word) else ()
    if choices and value not in choices:
        raise UsageError(f"{kind}: {key} is one of {', '.join(choices)}, not {value[:40]!r}")
    if key == "mmsi" and value and not (len(value) == 9 and value.isascii() and value.isdigit()):
        raise UsageError(f"{kind}: mmsi is nine digits, not {value[:40]!r}")
    return value


def listed() -> list[dict[str, object]]:
    """Every kind with its parameters, for people and programs."""
    faults = [(name, kind.about, kind.parameters) for name, kind in KINDS.items() if name not in REFUSED]
    deeds = [(name, about, parameters) for name, (about, parameters) in DEEDS.items()]
    return [
        {
            "kind": name,
            "about": about,
            "needs": "vessel" if name in DEEDS else None,
            "parameters": {
                key: {"default": spec.default, "about": spec.about} for key, spec in parameters.items()
            },
        }
        for name, about, parameters in [*deeds, *sorted(faults)]
    ]
