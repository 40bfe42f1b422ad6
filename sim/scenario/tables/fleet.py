"""The vessels of a scenario: where they are, what they do one after another, what they send on AIS."""

from typing import Annotated, Literal

from msgspec import Meta

from sim.scenario.tables.units import Bgr, Degrees, Name, Point, Seconds, Share, Speed
from skywarden.config import Config

VesselKind = Literal["go_fast", "fishing", "skiff", "ship", "coaster", "sail"]
StepKind = Literal["transit", "fish", "loiter", "meet", "flee", "beach", "moor"]


class Step(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One thing that a vessel does until it is done, then comes the next.

    transit: go `to` a point. fish: slow turns about the place, `for_s`. loiter: drift, `for_s`. meet: lie
    alongside the vessel `other`, `for_s`. flee: run from the platform `other` as soon as it is within
    `within_m`, at `speed_mps`, `for_s`. beach: run on to the shore at `to` and stay. moor: stay, `for_s`.
    """

    do: StepKind
    to: Point | None = None
    other: Name | None = None
    speed_mps: Speed | None = None
    for_s: Seconds = 600.0
    within_m: Annotated[float, Meta(ge=0.0, le=20_000.0)] = 1_500.0


class Ais(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a vessel sends on AIS.

    `gaps_s` are (from, to) without any report; from `wrong_from_s` on, places are off by `offset_m` (east,
    north); from `frozen_from_s` on, the place of that moment is repeated. Two vessels with one `mmsi` are a
    clone and its original.
    """

    mmsi: Annotated[str, Meta(pattern=r"^[0-9]{9}$")]
    station: Literal["A", "B"] = "B"
    name: Annotated[str, Meta(max_length=20, pattern=r"^[A-Z0-9 .\-]*$")] = ""
    gaps_s: Annotated[tuple[tuple[Seconds, Seconds], ...], Meta(max_length=50)] = ()
    wrong_from_s: Seconds | None = None
    offset_m: tuple[float, float] = (2500.0, 0.0)
    frozen_from_s: Seconds | None = None


class AisReceiver(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the station hears AIS from; `missed` is the share of reports lost to collisions and fading."""

    at: Point = (0.0, 0.0)
    height_m: Annotated[float, Meta(ge=1.0, le=3_000.0)] = 60.0
    missed: Share = 0.08


class Vessel(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A vessel: where it is at the start, how it moves (a line, a circle, or `steps`), what it sends.

    Without `ais` it sends nothing.
    """

    id: Name
    kind: VesselKind
    at: Point
    heading_deg: Degrees
    speed_mps: Speed = 0.0
    turn_dps: Annotated[float, Meta(ge=-20.0, le=20.0)] = 0.0
    colour_bgr: Bgr | None = None
    steps: Annotated[tuple[Step, ...], Meta(max_length=40)] = ()
    ais: Ais | None = None
