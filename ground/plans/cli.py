"""`skywarden ground plan`: proposals for another look, as QGroundControl plans."""

import contextlib
import json as json_module
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from ground.exports.options import Output, note_export, opened, source_in
from ground.station.options import USUAL, StationFiles

if TYPE_CHECKING:
    from ground.plans.plan_file import Proposal
    from ground.plans.proposals import ProposalDesk

plan = App(
    name="plan",
    help="""Propose another look: a plan that a pilot reads, changes, loads or throws away.

For example:

    skywarden ground plan survey uav07-s1-eo.p3 --terrain tiles --out plot.plan
    skywarden ground plan orbit c-uav07-s1-eo.t12 --radius 400 --in-minutes 10 --out vessel.plan
""",
    default_parameter=Parameter(negative=()),
)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True, slots=True)
class Bounds:
    """What no plan may break."""

    terrain: Annotated[
        Path | None, Parameter(help="Folder or file of a terrain model; without, heights are the sighting's.")
    ] = None
    least_height: Annotated[float, Parameter(help="Least height above ground, metres.")] = 50.0
    greatest_height: Annotated[float, Parameter(help="Greatest height above ground, metres.")] = 120.0
    clearance: Annotated[float, Parameter(help="Distance to exclusion zones, metres.")] = 100.0
    despite_zone: Annotated[
        tuple[str, ...],
        Parameter(negative=(), help="Exclusion zone that may be flown over all the same; several times."),
    ] = ()
    unreviewed: Annotated[
        bool, Parameter(negative=(), help="Also of what no person has confirmed; the plan says so.")
    ] = False


USUAL_BOUNDS = Bounds()


@plan.command
def survey(
    plot: str,
    /,
    *,
    height: float = 80.0,
    hfov: float = 60.0,
    aspect: float = 4.0 / 3.0,
    side_overlap: float = 0.7,
    front_overlap: float = 0.8,
    speed: float = 8.0,
    heading: float | None = None,
    margin: float = 10.0,
    no_trigger: bool = False,
    bounds: Bounds = USUAL_BOUNDS,
    output: Output = None,
    json: bool = False,
    station: StationFiles = USUAL,
) -> int:
    """Propose a survey of PLOT: lanes at one height whose pictures overlap, over the outline and its CE90.

    For example:

        skywarden ground plan survey uav07-s1-eo.p3 --terrain tiles --out plot.plan

    Parameters
    ----------
    plot
        Its id, or that of its site.
    height
        Metres above the highest ground below the path.
    hfov
        Horizontal field of view of the camera, which looks straight down, in degrees.
    aspect
        Width of its picture over height.
    side_overlap
        Share of a picture that the next lane sees too.
    front_overlap
        Share of a picture that the next picture sees too.
    speed
        Metres a second over ground.
    heading
        Direction of the lanes, degrees from true north (default: along the longer side).
    margin
        Metres round the outline, on top of its CE90.
    no_trigger
        Without commands that trigger the camera.
    output
        File to write; standard output when absent or `-`.
    json
        Print one JSON object: `file`, `title` and `notes`; needs `--out`.
    """
    from ground.plans.survey import SurveyWish

    wish = SurveyWish(
        height_m=height,
        hfov_deg=hfov,
        aspect=aspect,
        side_overlap=side_overlap,
        front_overlap=front_overlap,
        speed_mps=speed,
        heading_deg=heading,
        margin_m=margin,
        is_triggered=not no_trigger,
    )
    state_dir = station.state_dir()
    with _desk(state_dir, bounds) as desk:
        proposal = desk.survey(plot, wish)
    return _write(proposal, f"ground plan survey {plot[:140]}", output, state_dir, as_json=json)


@plan.command
def orbit(
    contact: str,
    /,
    *,
    radius: float = 300.0,
    height: float = 100.0,
    turns: int = 2,
    speed: float = 12.0,
    counter_clockwise: bool = False,
    in_minutes: float | None = None,
    bounds: Bounds = USUAL_BOUNDS,
    output: Output = None,
    json: bool = False,
    station: StationFiles = USUAL,
) -> int:
    """Propose an orbit of CONTACT where it was, or where its course and speed bring it.

    For example:

        skywarden ground plan orbit c-uav07-s1-eo.t12 --radius 400 --in-minutes 10 --out vessel.plan

    Parameters
    ----------
    contact
        Its id.
    radius
        Metres; at least twice the CE90 of where it will be.
    height
        Metres above ground or sea.
    turns
        How many.
    speed
        Metres a second over ground.
    counter_clockwise
        The other way round.
    in_minutes
        Where it will be so many minutes from now (default: where it was last seen).
    output
        File to write; standard output when absent or `-`.
    json
        Print one JSON object: `file`, `title` and `notes`; needs `--out`.
    """
    from ground.plans.orbit import OrbitWish
    from skywarden.clock import SystemClock

    at_ns = None if in_minutes is None else SystemClock().utc_ns() + round(in_minutes * 60e9)
    wish = OrbitWish(
        radius_m=radius,
        height_m=height,
        turns=turns,
        speed_mps=speed,
        is_clockwise=not counter_clockwise,
        at_ns=at_ns,
    )
    state_dir = station.state_dir()
    with _desk(state_dir, bounds) as desk:
        proposal = desk.orbit(contact, wish)
    return _write(proposal, f"ground plan orbit {contact[:140]}", output, state_dir, as_json=json)


@contextlib.contextmanager
def _desk(state_dir: Path, bounds: Bounds) -> Iterator["ProposalDesk"]:
    from ground.alerts.log import AlertLog
    from ground.alerts.start import alerts_path
    from ground.plans.limits import PlanLimits
    from ground.plans.proposals import ProposalDesk
    from skywarden.geometry.terrain import load_terrain

    log = AlertLog(alerts_path(state_dir))
    try:
        zones = tuple(log.zones())
    finally:
        log.close()
    limits = PlanLimits(
        least_height_m=bounds.least_height,
        greatest_height_m=bounds.greatest_height,
        clearance_m=bounds.clearance,
        zones=zones,
        despite=frozenset(bounds.despite_zone),
    )
    with opened(state_dir) as (reader, book):
        yield ProposalDesk(
            source=source_in(reader, book, state_dir),
            limits=limits,
            surface=load_terrain(bounds.terrain) if bounds.terrain is not None else None,
            with_unreviewed=bounds.unreviewed,
        )


def _write(proposal: "Proposal", what: str, output: Path | None, state_dir: Path, *, as_json: bool) -> int:
    from ground.plans.plan_file import plan_of
    from skywarden.errors import UsageError

    is_stream = output is None or str(output) == "-"
    if as_json and is_stream:
        raise UsageError("--json needs a file: give --out")
    data = plan_of(proposal)
    note_export(state_dir, f"{what}: {proposal.title}")
    if output is None or is_stream:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    else:
        part = output.with_name(output.name + ".part")
        part.write_bytes(data)
        part.replace(output)
    if as_json:
        print(json_module.dumps({"file": str(output), "title": proposal.title, "notes": proposal.notes}))
    else:
        print(f"PROPOSAL: {proposal.title}", *proposal.notes, sep="\n  ", file=sys.stderr)
    return 0
