"""/api/v1/plans: proposals for another look over the web."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any

from fastapi import FastAPI, Path, Query
from fastapi.responses import Response

from ground.accounts.roles import Permission
from ground.alerts.zones import Zone
from ground.exports.source import ExportSource
from ground.http.gate import needs
from ground.http.questions import parse_time
from ground.plans.limits import PlanLimits
from ground.plans.orbit import OrbitWish
from ground.plans.plan_file import Proposal, plan_of
from ground.plans.proposals import ProposalDesk, file_name
from ground.plans.survey import SurveyWish

_PLAN = "application/vnd.qgroundcontrol.plan+json"
_FILE: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {_PLAN: {}},
        "description": "A plan of QGroundControl; who proposes it and why stands in it.",
    }
}
_Unreviewed = Annotated[bool, Query(description="also of what nobody has confirmed; the plan says so")]
_Despite = Annotated[
    list[str] | None, Query(max_length=20, description="exclusion zones that may be flown over")
]


def add_plan_routes(
    app: FastAPI, source: Callable[[], ExportSource], zones: Callable[[], Sequence[Zone]]
) -> None:
    """The routes below /api/v1/plans. Without a terrain model: heights are what the sighting says."""

    def desk(least_m: float, greatest_m: float, despite: list[str] | None, unreviewed: bool) -> ProposalDesk:
        limits = PlanLimits(
            least_height_m=least_m,
            greatest_height_m=greatest_m,
            zones=tuple(zones()),
            despite=frozenset(despite or ()),
        )
        return ProposalDesk(source=source(), limits=limits, with_unreviewed=unreviewed)

    @app.get("/api/v1/plans/survey/{plot_id}", response_class=Response, responses=_FILE, tags=["plans"])
    @needs(Permission.EXPORT)
    def survey(
        plot_id: Annotated[str, Path(max_length=140)],
        height_m: Annotated[float, Query(ge=30, le=1_000)] = 80.0,
        hfov_deg: Annotated[float, Query(ge=5, le=140)] = 60.0,
        aspect: Annotated[float, Query(ge=0.5, le=3)] = 4.0 / 3.0,
        side_overlap: Annotated[float, Query(ge=0, le=0.95)] = 0.7,
        front_overlap: Annotated[float, Query(ge=0, le=0.95)] = 0.8,
        speed_mps: Annotated[float, Query(ge=1, le=40)] = 8.0,
        least_height_m: Annotated[float, Query(ge=30, le=1_000)] = 50.0,
        greatest_height_m: Annotated[float, Query(ge=30, le=1_000)] = 120.0,
        despite_zone: _Despite = None,
        unreviewed: _Unreviewed = False,
    ) -> Response:
        """A proposal to survey a plot from the air: lanes whose pictures overlap, at one height."""
        wish = SurveyWish(
            height_m=height_m,
            hfov_deg=hfov_deg,
            aspect=aspect,
            side_overlap=side_overlap,
            front_overlap=front_overlap,
            speed_mps=speed_mps,
        )
        made = desk(least_height_m, greatest_height_m, despite_zone, unreviewed).survey(plot_id, wish)
        return _file(made)

    @app.get("/api/v1/plans/orbit/{contact_id}", response_class=Response, responses=_FILE, tags=["plans"])
    @needs(Permission.EXPORT)
    def orbit(
        contact_id: Annotated[str, Path(max_length=140)],
        radius_m: Annotated[float, Query(ge=50, le=5_000)] = 300.0,
        height_m: Annotated[float, Query(ge=30, le=1_000)] = 100.0,
        turns: Annotated[int, Query(ge=1, le=20)] = 2,
        speed_mps: Annotated[float, Query(ge=1, le=40)] = 12.0,
        at: Annotated[
            str | None, Query(max_length=40, description="RFC 3339; default: its newest look")
        ] = None,
        least_height_m: Annotated[float, Query(ge=30, le=1_000)] = 50.0,
        greatest_height_m: Annotated[float, Query(ge=30, le=1_000)] = 120.0,
        despite_zone: _Despite = None,
        unreviewed: _Unreviewed = False,
    ) -> Response:
        """A proposal to circle a contact, with the camera on it."""
        wish = OrbitWish(
            radius_m=radius_m,
            height_m=height_m,
            turns=turns,
            speed_mps=speed_mps,
            at_ns=parse_time(at) if at is not None else None,
        )
        made = desk(least_height_m, greatest_height_m, despite_zone, unreviewed).orbit(contact_id, wish)
        return _file(made)


def _file(proposal: Proposal) -> Response:
    return Response(
        plan_of(proposal),
        media_type=_PLAN,
        headers={"Content-Disposition": f'attachment; filename="{file_name(proposal)}"'},
    )
