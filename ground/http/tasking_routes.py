"""Operators ask platforms for something, and read the receipts: the routes below /api/v1/taskings."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import FastAPI, HTTPException, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from ground.accounts.roles import Permission
from ground.accounts.sessions import Identity
from ground.http.gate import Caller, needs
from ground.http.views import ErrorView
from ground.link.tasking import AskedTasking, Kind, State, TaskingDesk
from ground.picture.live import LivePicture
from ground.store.reading import StoreReader
from skywarden.clock import Clock
from skywarden.errors import InputError
from skywarden.messages import MAX_LIVE_PER_S, MAX_LOOK_PX, MIN_LOOK_PX, ModelRequest
from skywarden.times import rfc3339

LIVE_LONGEST_S = 1_800.0
"""What an aircraft as it comes grants; the operator asks again, so that none is forgotten."""
_ID = r"^[A-Za-z0-9_.:\-]+$"
_REFUSED: Mapping[int | str, dict[str, Any]] = {
    400: {"model": ErrorView, "description": "No platform could take this request, or too many wait."},
    403: {"model": ErrorView, "description": "This account may not ask platforms for anything."},
    404: {"model": ErrorView, "description": "There is no such platform or request."},
}


class ModelOrderView(BaseModel):
    """What to do about a model aboard: let one that is there already look in the shadow ("stage"), put it in
    charge ("promote", against the shadow's verdict with `is_forced`), or go back ("rollback")."""

    model_config = ConfigDict(extra="forbid")
    action: Literal["stage", "promote", "rollback"]
    model: Annotated[str | None, Field(min_length=1, max_length=128, pattern=_ID)] = None
    detector: Annotated[str | None, Field(min_length=1, max_length=32, pattern=_ID)] = None
    is_forced: bool = False


class AskView(BaseModel):
    """What is asked of a platform. The same `tasking_id` again is the same request.

    "full_resolution": the source's own pixels round a sighting, or its whole frame. "threshold": detections
    of a label (or all) from `score` on. "mute_area": what is seen there is logged and waits behind all else.
    "follow": every look at the object of a sighting, or of a label, goes first. "live_view": small pictures
    of one camera or all, at most `frames_per_s` and `width_px` wide, for `lifetime_s`, as far as the link
    allows; 0 a second ends it. "model": `model_order` for a detector of `sensor_id`; the receipt says what
    became of it.
    """

    model_config = ConfigDict(extra="forbid")
    platform_id: Annotated[str, Field(min_length=1, max_length=128, pattern=_ID)]
    kind: Kind
    sighting_id: Annotated[str | None, Field(min_length=1, max_length=128, pattern=_ID)] = None
    label: Annotated[str | None, Field(min_length=1, max_length=64)] = None
    score: Annotated[float | None, Field(ge=0.0, le=1.0)] = None
    area: Annotated[
        list[tuple[Annotated[float, Field(ge=-180, le=180)], Annotated[float, Field(ge=-90, le=90)]]],
        Field(max_length=256),
    ] = []
    is_whole_frame: bool = False
    sensor_id: Annotated[str | None, Field(min_length=1, max_length=128, pattern=_ID)] = None
    frames_per_s: Annotated[float | None, Field(ge=0.0, le=MAX_LIVE_PER_S)] = None
    width_px: Annotated[int | None, Field(ge=MIN_LOOK_PX, le=MAX_LOOK_PX)] = None
    model_order: ModelOrderView | None = None
    lifetime_s: Annotated[float, Field(ge=1.0, le=2_592_000.0)] = 3_600.0
    tasking_id: Annotated[str | None, Field(min_length=8, max_length=64, pattern=_ID)] = None


class TaskingView(BaseModel):
    """A request and its receipt; `state` is "waiting" until the platform has answered.

    `picture_id` is the picture that answers it, once it is here (below /api/v1/chips).
    """

    tasking_id: str
    platform_id: str
    kind: Kind
    sighting_id: str | None
    label: str | None
    score: float | None
    sensor_id: str | None
    frames_per_s: float | None
    width_px: int | None
    model_order: ModelOrderView | None
    asked: str
    asked_by: str
    expires: str
    state: State
    text: str
    changed: str
    picture_id: str | None


class TaskingList(BaseModel):
    """Requests, newest first."""

    items: list[TaskingView]


def add_tasking_routes(
    app: FastAPI, desk: TaskingDesk, store: StoreReader, picture: LivePicture, clock: Clock
) -> None:
    """The routes below /api/v1/taskings."""

    @app.post(
        "/api/v1/taskings",
        response_model=TaskingView,
        status_code=201,
        responses={**_REFUSED},
        tags=["taskings"],
    )
    @needs(Permission.TASK_PLATFORMS)
    def ask(request: Request, given: AskView) -> TaskingView:
        """Ask a platform for something; the receipt comes when the platform has heard of it."""
        if picture.platform(given.platform_id) is None:
            raise HTTPException(404, f"no platform {given.platform_id} was ever heard here")
        _check(given)
        asked = desk.ask(
            given.platform_id,
            given.kind,
            asked_by=_account(request),
            utc_ns=clock.utc_ns(),
            lifetime_s=given.lifetime_s,
            sighting_id=given.sighting_id,
            label=given.label,
            score=given.score,
            area=[(latitude_deg, longitude_deg) for longitude_deg, latitude_deg in given.area],
            is_whole_frame=given.is_whole_frame,
            sensor_id=given.sensor_id,
            frames_per_s=given.frames_per_s,
            width_px=given.width_px,
            model_order=_model_request(given),
            tasking_id=given.tasking_id,
        )
        return _view(asked, store)

    @app.get("/api/v1/taskings", response_model=TaskingList, tags=["taskings"])
    @needs(Permission.SEE_CONTACTS)
    def taskings(
        platform_id: Annotated[str | None, Query(max_length=128)] = None,
        limit: Annotated[int, Query(ge=1, le=500)] = 100,
        offset: Annotated[int, Query(ge=0, le=10_000_000)] = 0,
    ) -> TaskingList:
        """What was asked, and what became of it, newest first."""
        found = desk.newest(limit, platform_id=platform_id, offset=offset)
        return TaskingList(items=[_view(one, store) for one in found])

    @app.get(
        "/api/v1/taskings/{tasking_id}", response_model=TaskingView, responses={**_REFUSED}, tags=["taskings"]
    )
    @needs(Permission.SEE_CONTACTS)
    def tasking(tasking_id: str) -> TaskingView:
        """One request and its receipt."""
        found = desk.get(tasking_id)
        if found is None:
            raise HTTPException(404, "there is no such request")
        return _view(found, store)


def _check(given: AskView) -> None:
    """What every platform would refuse need not travel."""
    if given.kind == "full_resolution" and given.sighting_id is None:
        raise InputError("a picture at full resolution needs a sighting_id")
    if given.kind == "threshold" and given.score is None:
        raise InputError("a threshold needs a score")
    if given.kind == "mute_area" and len(given.area) < 3:
        raise InputError(f"an area of {len(given.area)} corners is none")
    if given.kind == "follow" and given.sighting_id is None and given.label is None:
        raise InputError("following needs a sighting_id or a label")
    if given.kind == "live_view" and given.lifetime_s > LIVE_LONGEST_S:
        raise InputError(f"a live view lasts at most {LIVE_LONGEST_S:.0f} s; ask again when it ends")

    if (given.kind == "model") != (given.model_order is not None):
        raise InputError('a "model" needs a model_order, and nothing else has one')
    if given.model_order is not None and (given.model_order.action == "stage") != bool(
        given.model_order.model
    ):
        raise InputError("staging, and nothing else, needs the name of a model")


def _model_view(order: ModelRequest) -> ModelOrderView:
    return ModelOrderView(
        action=order.action, model=order.model, detector=order.detector, is_forced=order.is_forced
    )


def _model_request(given: AskView) -> ModelRequest | None:
    if given.model_order is None:
        return None
    return ModelRequest(**given.model_order.model_dump())


def _account(request: Request) -> str:
    caller = request.scope["state"]["caller"]
    assert isinstance(caller, Caller), "the gate stands before every route"
    return caller.who.account if isinstance(caller.who, Identity) else "?"


def _view(asked: AskedTasking, store: StoreReader) -> TaskingView:
    tasking = asked.tasking
    return TaskingView(
        tasking_id=tasking.tasking_id,
        platform_id=tasking.platform_id,
        kind=tasking.kind,
        sighting_id=tasking.sighting_id,
        label=tasking.label,
        score=tasking.score,
        sensor_id=tasking.sensor_id,
        frames_per_s=tasking.frames_per_s,
        width_px=tasking.width_px,
        model_order=None if tasking.model_order is None else _model_view(tasking.model_order),
        asked=rfc3339(tasking.time_ns),
        asked_by=asked.asked_by,
        expires=rfc3339(tasking.expires_ns),
        state=asked.state,
        text=asked.text,
        changed=rfc3339(asked.changed_ns),
        picture_id=_picture_id(asked, store),
    )


def _picture_id(asked: AskedTasking, store: StoreReader) -> str | None:
    if asked.tasking.kind != "full_resolution" or asked.state not in ("accepted", "done"):
        return None
    picture_id = f"{asked.tasking.sighting_id}.{'frame' if asked.tasking.is_whole_frame else 'region'}"
    return picture_id if store.chip(picture_id) is not None else None
