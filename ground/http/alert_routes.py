"""Alerts, zones and rules, and people's word on which tracks are one thing: routes of their own."""

import asyncio
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from fastapi import FastAPI, HTTPException, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from ground.accounts.roles import Permission
from ground.accounts.sessions import Identity
from ground.alerts.alert import Act, LoggedAlert
from ground.alerts.desk import AlertDesk
from ground.alerts.rules import Rule
from ground.alerts.zone_files import MAX_FILE_BYTES, AsZones, parse_zones, read_zones
from ground.alerts.zones import Zone
from ground.fusion.contact import ContactEvent
from ground.fusion.history import ContactHistory, NotedEvent
from ground.fusion.rulings import Ruling
from ground.fusion.site_shelf import SiteShelf
from ground.fusion.sites import Site
from ground.http.gate import Caller, needs, takes
from ground.http.views import ErrorView, LonLat, View
from ground.store.reading import StoreReader
from skywarden.clock import Clock
from skywarden.errors import ConflictError, InputError
from skywarden.messages import LatLon
from skywarden.times import rfc3339

_MAX_ZONE = 2_000_000
_MAX_UPLOAD = min(MAX_FILE_BYTES, 10_000_000)
_REFUSED: Mapping[int | str, dict[str, Any]] = {
    400: {"model": ErrorView, "description": "What was given makes no zone, rule or word."},
    404: {"model": ErrorView, "description": "There is no such thing."},
    409: {"model": ErrorView, "description": "Somebody was there before, or a rule needs it."},
}
_Answer = TypeVar("_Answer")
_Name = Annotated[str, Field(min_length=1, max_length=140)]
_Point = tuple[Annotated[float, Field(ge=-180, le=180)], Annotated[float, Field(ge=-90, le=90)]]
_Line = Annotated[list[_Point], Field(min_length=2, max_length=20_000)]


class ReasonView(View):
    """One thing that was asked and held; `value` was found, `limit` asked."""

    word: str
    text: str
    value: float | None
    limit: float | None


class ActView(View):
    """What was done; no account: the station by itself."""

    kind: Literal["acknowledged", "escalated", "commented"]
    time: str
    account: str
    text: str


class AlertView(View):
    """One alert as it stands. `sounds`: a console should sound it: nobody acknowledged it and it is not
    quiet. `key` grows with every alert; ask for older ones with `before`."""

    alert_id: str
    key: int
    rule_id: str
    rule_name: str
    severity: Literal["notice", "warning", "urgent"]
    zone_id: str | None
    zone_name: str | None
    contact_id: str
    label: str
    score: float
    time: str
    noted: str
    place: LonLat | None
    ce90_m: float | None
    probability: float | None
    speed_mps: float | None
    course_deg: float | None
    why: list[ReasonView]
    is_quiet: bool
    is_exercise: bool
    sounds: bool
    acknowledged_by: str | None
    acknowledged: str | None
    acts: list[ActView]


class AlertList(View):
    """Alerts, newest first."""

    items: list[AlertView]


class NoteAsk(BaseModel):
    """A person's words."""

    model_config = ConfigDict(extra="forbid")
    text: Annotated[str, Field(max_length=2_000)] = ""


class ZoneView(BaseModel):
    """A zone as the map draws it: coordinates [longitude, latitude]; `polygons` are rings of rings."""

    model_config = ConfigDict(extra="forbid")
    zone_id: _Name
    name: Annotated[str, Field(min_length=1, max_length=100)]
    kind: Literal["area", "corridor", "line", "exclusion", "mute"]
    polygons: Annotated[list[list[_Line]], Field(max_length=500)] = []
    lines: Annotated[list[_Line], Field(max_length=500)] = []
    width_m: Annotated[float, Field(ge=0.0, le=100_000.0)] = 0.0
    source: Annotated[str, Field(max_length=200)] = ""


class ZoneList(BaseModel):
    """Zones, by id."""

    items: list[ZoneView]


class RuleList(BaseModel):
    """Rules as they are kept; their keys are described in the reference of `Rule`."""

    items: list[dict[str, Any]]


class WordAsk(BaseModel):
    """A person's word: these tracks are one thing ("together"), or this one is none with the rest of its
    contact ("apart")."""

    model_config = ConfigDict(extra="forbid")
    word: Literal["together", "apart"]
    track_id: _Name
    other_contact_id: _Name | None = None
    reason: Annotated[str, Field(max_length=500)] = ""


class EventView(View):
    """Contacts became one, two, or were renamed."""

    kind: Literal["merged", "split", "renamed"]
    time: str
    noted: str
    before: list[str]
    after: list[str]
    track_ids: list[str]


class VisitView(View):
    """One sortie's last word on a site; `change` is against the whole outline before it."""

    plot_id: str
    platform_id: str
    sortie_id: str
    time: str
    area_m2: tuple[float, float, float]
    is_complete: bool
    change: Literal["grew", "shrank", "same", "unclear"]


class SiteView(View):
    """A piece of land through all visits; `best_plot_id` has the outline (below /api/v1/plots)."""

    site_id: str
    label: str
    first: str
    last: str
    platform_ids: list[str]
    place: LonLat
    ce90_m: float
    best_plot_id: str
    visits: list[VisitView]


class SiteList(View):
    """Sites, the last seen first."""

    items: list[SiteView]
    matched: int


class HistoryView(View):
    """What became of a contact: its names now, and the events, newest first."""

    contact_ids: list[str]
    events: list[EventView]


def view_alert(logged: LoggedAlert) -> AlertView:
    """An alert for API and stream."""
    alert, taken = logged.alert, logged.acknowledged
    return AlertView(
        alert_id=alert.alert_id,
        key=logged.version,
        rule_id=alert.rule_id,
        rule_name=alert.rule_name,
        severity=logged.severity,
        zone_id=alert.zone_id,
        zone_name=alert.zone_name,
        contact_id=alert.contact_id,
        label=alert.label,
        score=alert.score,
        time=rfc3339(alert.time_ns),
        noted=rfc3339(alert.noted_ns),
        place=(alert.place[1], alert.place[0]) if alert.place is not None else None,
        ce90_m=alert.place[2] if alert.place is not None else None,
        probability=alert.probability,
        speed_mps=alert.speed_mps,
        course_deg=alert.course_deg,
        why=[ReasonView(word=w.word, text=w.text, value=w.value, limit=w.limit) for w in alert.why],
        is_quiet=alert.is_quiet,
        is_exercise=alert.is_exercise,
        sounds=taken is None and not alert.is_quiet,
        acknowledged_by=taken.account if taken is not None else None,
        acknowledged=rfc3339(taken.time_ns) if taken is not None else None,
        acts=[_view_act(act) for act in logged.acts],
    )


def add_alert_routes(app: FastAPI, desk: AlertDesk) -> None:
    """The routes below /api/v1/alerts, /zones and /rules."""
    _add_alerts(app, desk)
    _add_zones(app, desk)
    _add_rules(app, desk)


def _add_alerts(app: FastAPI, desk: AlertDesk) -> None:
    @app.get("/api/v1/alerts", response_model=AlertList, tags=["alerts"])
    @needs(Permission.SEE_CONTACTS)
    def alerts(
        is_open: Annotated[bool, Query(description="only those that nobody has acknowledged")] = False,
        contact_id: Annotated[str | None, Query(max_length=140)] = None,
        before: Annotated[int | None, Query(ge=1, le=2**53)] = None,
        limit: Annotated[int, Query(ge=1, le=500)] = 100,
    ) -> AlertList:
        """Alerts, newest first."""
        found = desk.log.newest(limit, only_open=is_open, contact_id=contact_id, before=before)
        return AlertList(items=[view_alert(one) for one in found])

    @app.get("/api/v1/alerts/{alert_id}", response_model=AlertView, responses={**_REFUSED}, tags=["alerts"])
    @needs(Permission.SEE_CONTACTS)
    def alert(alert_id: str) -> AlertView:
        """One alert, with why it fired and what was done."""
        found = desk.log.get(alert_id)
        if found is None:
            raise HTTPException(404, "there is no such alert")
        return view_alert(found)

    @app.post(
        "/api/v1/alerts/{alert_id}/acknowledge",
        response_model=AlertView,
        responses={**_REFUSED},
        tags=["alerts"],
    )
    @needs(Permission.REVIEW)
    def acknowledge(request: Request, alert_id: str, given: NoteAsk) -> AlertView:
        """I have taken note; it sounds no more, for nobody."""
        _must_exist(desk, alert_id)
        return view_alert(_or_conflict(lambda: desk.acknowledge(alert_id, _account(request), given.text)))

    @app.post(
        "/api/v1/alerts/{alert_id}/escalate",
        response_model=AlertView,
        responses={**_REFUSED},
        tags=["alerts"],
    )
    @needs(Permission.REVIEW)
    def escalate(request: Request, alert_id: str, given: NoteAsk) -> AlertView:
        """One step more severe, by a person; whom the rule tells is told again."""
        _must_exist(desk, alert_id)
        return view_alert(_or_conflict(lambda: desk.escalate(alert_id, _account(request), given.text)))

    @app.post(
        "/api/v1/alerts/{alert_id}/comments",
        response_model=AlertView,
        responses={**_REFUSED},
        tags=["alerts"],
    )
    @needs(Permission.REVIEW)
    def comment(request: Request, alert_id: str, given: NoteAsk) -> AlertView:
        """A remark."""
        _must_exist(desk, alert_id)
        return view_alert(desk.comment(alert_id, _account(request), given.text))


def _add_zones(app: FastAPI, desk: AlertDesk) -> None:
    @app.get("/api/v1/zones", response_model=ZoneList, tags=["alerts"])
    @needs(Permission.SEE_CONTACTS)
    def zones() -> ZoneList:
        """All zones."""
        return ZoneList(items=[_view_zone(zone) for zone in desk.log.zones()])

    @app.put("/api/v1/zones/{zone_id}", response_model=ZoneView, responses={**_REFUSED}, tags=["alerts"])
    @needs(Permission.REVIEW)
    @takes(_MAX_ZONE)
    def put_zone(request: Request, zone_id: str, given: ZoneView) -> ZoneView:
        """Keep a zone, in place of one of the same id."""
        if given.zone_id != zone_id:
            raise InputError(f"the address names zone {zone_id[:40]}, the body {given.zone_id[:40]}")
        zone = _zone(given)
        desk.put_zones([zone], _account(request))
        return _view_zone(zone)

    @app.post("/api/v1/zones/import", response_model=ZoneList, responses={**_REFUSED}, tags=["alerts"])
    @needs(Permission.REVIEW)
    @takes(_MAX_UPLOAD)
    async def import_zones(
        request: Request,
        name: Annotated[str, Query(min_length=1, max_length=100)],
        kind: Literal["area", "exclusion", "mute"] = "area",
        width_m: Annotated[float, Query(ge=0.0, le=100_000.0)] = 0.0,
    ) -> ZoneList:
        """The zones of a GeoJSON, KML, GeoPackage or QGroundControl file (the body)."""
        body = bytearray()
        async for piece in request.stream():
            body += piece
            if len(body) > _MAX_UPLOAD:
                raise InputError(f"more than {_MAX_UPLOAD} bytes")
        wanted = AsZones(surface_kind=kind, width_m=width_m, source=name)
        found = await asyncio.to_thread(_imported, bytes(body), wanted, name)
        await asyncio.to_thread(desk.put_zones, found, _account(request))
        return ZoneList(items=[_view_zone(zone) for zone in found])

    @app.delete("/api/v1/zones/{zone_id}", status_code=204, responses={**_REFUSED}, tags=["alerts"])
    @needs(Permission.REVIEW)
    def remove_zone(zone_id: str) -> None:
        """Watch it no more."""
        if not _or_conflict(lambda: desk.remove_zone(zone_id)):
            raise HTTPException(404, "there is no such zone")


def _add_rules(app: FastAPI, desk: AlertDesk) -> None:
    @app.get("/api/v1/rules", response_model=RuleList, tags=["alerts"])
    @needs(Permission.SEE_CONTACTS)
    def rules() -> RuleList:
        """All rules, with the one for exclusion zones that nobody made."""
        return RuleList(items=[msgspec.to_builtins(rule) for rule in desk.rules()])

    @app.put("/api/v1/rules/{rule_id}", response_model=RuleList, responses={**_REFUSED}, tags=["alerts"])
    @needs(Permission.REVIEW)
    def put_rule(request: Request, rule_id: str, given: dict[str, Any]) -> RuleList:
        """Keep a rule, in place of one of the same id."""
        try:
            rule = msgspec.convert({**given, "rule_id": rule_id}, Rule)
        except msgspec.ValidationError as error:
            raise InputError(f"not a rule: {error}") from error
        desk.put_rule(rule, _account(request))
        return RuleList(items=[msgspec.to_builtins(rule)])

    @app.delete("/api/v1/rules/{rule_id}", status_code=204, responses={**_REFUSED}, tags=["alerts"])
    @needs(Permission.REVIEW)
    def remove_rule(rule_id: str) -> None:
        """Follow it no more."""
        if not desk.remove_rule(rule_id):
            raise HTTPException(404, "there is no such rule")


def add_fusion_routes(
    app: FastAPI,
    history: ContactHistory,
    rule: Callable[[Ruling], None],
    store: StoreReader,
    clock: Clock,
) -> None:
    """What became of contacts, and people's word on them. `rule` keeps a word and has contacts follow it."""

    @app.get("/api/v1/contacts/{contact_id}/history", response_model=HistoryView, tags=["contacts"])
    @needs(Permission.SEE_CONTACTS)
    def events(contact_id: str) -> HistoryView:
        """What a contact is called now, and how that came about."""
        return HistoryView(
            contact_ids=list(history.heirs_of(contact_id)),
            events=[_view_event(one) for one in history.events_of(contact_id)],
        )

    @app.post(
        "/api/v1/contacts/{contact_id}/word",
        status_code=204,
        responses={**_REFUSED},
        tags=["contacts"],
    )
    @needs(Permission.REVIEW)
    def word(request: Request, contact_id: str, given: WordAsk) -> None:
        """Say that a track of this contact is one with another contact, or none with the rest of this one."""
        here = store.contact(contact_id)
        if here is None or given.track_id not in here.contact.track_ids:
            raise HTTPException(404, "there is no such contact with that track")
        if given.word == "together":
            there = store.contact(given.other_contact_id or "")
            if there is None:
                raise HTTPException(404, "there is no such other contact")
            others = there.contact.track_ids[:1]
        else:
            others = tuple(one for one in here.contact.track_ids if one != given.track_id)
        if not others:
            raise InputError("a contact of one track cannot be parted")
        for other in others:
            rule(
                Ruling(
                    word=given.word,
                    one=given.track_id,
                    two=other,
                    account=_account(request),
                    time_ns=clock.utc_ns(),
                    reason=given.reason,
                )
            )


def add_site_routes(app: FastAPI, shelf: SiteShelf) -> None:
    """Plots as land that is visited again and again."""

    @app.get("/api/v1/sites", response_model=SiteList, tags=["picture"])
    @needs(Permission.SEE_CONTACTS)
    def sites(
        limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
        offset: Annotated[int, Query(ge=0, le=10_000_000)] = 0,
    ) -> SiteList:
        """Sites, the last seen first."""
        found = sorted(shelf.sites(), key=lambda one: (-one.last_ns, one.site_id))
        page = found[offset : offset + limit]
        return SiteList(items=[_view_site(one) for one in page], matched=len(found))


def _view_site(site: Site) -> SiteView:
    return SiteView(
        site_id=site.site_id,
        label=site.label,
        first=rfc3339(site.first_ns),
        last=rfc3339(site.last_ns),
        platform_ids=list(site.platform_ids),
        place=(site.position.longitude_deg, site.position.latitude_deg),
        ce90_m=site.position.ce90_m,
        best_plot_id=site.best.plot_id,
        visits=[
            VisitView(
                plot_id=one.plot.plot_id,
                platform_id=one.plot.platform_id,
                sortie_id=one.plot.sortie_id,
                time=rfc3339(one.plot.time_ns),
                area_m2=one.plot.area_m2,
                is_complete=one.plot.is_complete,
                change=one.change,
            )
            for one in site.visits
        ],
    )


def _imported(body: bytes, wanted: AsZones, name: str) -> list[Zone]:
    """The zones in a file that came over the web; a GeoPackage is read where SQLite can open it."""
    if not body.startswith(b"SQLite format 3\0"):
        return parse_zones(body, wanted, name=name)
    with tempfile.TemporaryDirectory(prefix="skywarden-zones-") as folder:
        path = Path(folder) / "zones.gpkg"
        path.write_bytes(body)
        return read_zones(path, wanted)


def _must_exist(desk: AlertDesk, alert_id: str) -> None:
    if desk.log.get(alert_id) is None:
        raise HTTPException(404, "there is no such alert")


def _or_conflict(do: Callable[[], _Answer]) -> _Answer:
    try:
        return do()
    except ConflictError as error:
        raise HTTPException(409, str(error)) from error


def _account(request: Request) -> str:
    caller = request.scope["state"]["caller"]
    assert isinstance(caller, Caller), "the gate stands before every route"
    return caller.who.account if isinstance(caller.who, Identity) else "?"


def _view_act(act: Act) -> ActView:
    return ActView(kind=act.kind, time=rfc3339(act.time_ns), account=act.account, text=act.text)


def _view_event(noted: NotedEvent) -> EventView:
    event: ContactEvent = noted.event
    return EventView(
        kind=event.kind,
        time=rfc3339(event.time_ns),
        noted=rfc3339(noted.noted_ns),
        before=list(event.before),
        after=list(event.after),
        track_ids=list(event.track_ids),
    )


def _view_zone(zone: Zone) -> ZoneView:
    return ZoneView(
        zone_id=zone.zone_id,
        name=zone.name,
        kind=zone.kind,
        polygons=[[[_lon_lat(p) for p in ring] for ring in polygon] for polygon in zone.polygons],
        lines=[[_lon_lat(p) for p in line] for line in zone.lines],
        width_m=zone.width_m,
        source=zone.source,
    )


def _zone(given: ZoneView) -> Zone:
    made = {
        "zone_id": given.zone_id,
        "name": given.name,
        "kind": given.kind,
        "polygons": [[[(lat, lon) for lon, lat in ring] for ring in rings] for rings in given.polygons],
        "lines": [[(lat, lon) for lon, lat in line] for line in given.lines],
        "width_m": given.width_m,
        "source": given.source,
    }
    try:
        return msgspec.convert(made, Zone)
    except msgspec.ValidationError as error:
        raise InputError(f"not a zone: {error}") from error


def _lon_lat(point: LatLon) -> LonLat:
    return point[1], point[0]
