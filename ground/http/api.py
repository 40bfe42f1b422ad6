"""The HTTP API of the ground station (version 1) and the console's files.

Nothing here changes the store. Every answer, errors too, has a declared model, so that
/openapi.json is complete. Every route names the permission it needs; `ground.http.gate` asks for it.
"""

import asyncio
import hashlib
import html
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Header, HTTPException, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, Response, StreamingResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ground.accounts.doorkeeper import Doorkeeper
from ground.accounts.roles import Permission
from ground.accounts.sessions import Identity
from ground.ais.watch import AisWatch
from ground.alerts.alert import LoggedAlert
from ground.alerts.desk import AlertDesk
from ground.catalogue.routes import add_sortie_routes
from ground.config import ContactsConfig
from ground.exercise.mark import Mark
from ground.exercise.marks import read_marks
from ground.exercise.web import ExerciseMarks
from ground.exports.source import ExportSource
from ground.features.routes import add_feature_routes
from ground.fusion.history import ContactHistory
from ground.fusion.rulings import Ruling
from ground.fusion.site_shelf import SiteShelf
from ground.http import views
from ground.http.ais_routes import add_ais_routes
from ground.http.alert_routes import add_alert_routes, add_fusion_routes, add_site_routes, view_alert
from ground.http.chip_routes import add_chip_routes
from ground.http.export_routes import add_export_routes, add_file_routes
from ground.http.gate import Caller, Gate, needs, open_to_all, require_permissions
from ground.http.layers import PMTILES_TYPE, find_layers
from ground.http.plot_routes import add_plot_routes
from ground.http.questions import Paged, Wanted, WantedBox, WantedStates, is_in_box, parse_bbox
from ground.http.reference_page import add_reference_page
from ground.http.review_routes import add_review_routes
from ground.http.session_routes import Cookie, add_session_routes
from ground.http.stream import LiveStream
from ground.http.tasking_routes import add_tasking_routes
from ground.link.tasking import TaskingDesk
from ground.looks.routes import LookWords, add_look_routes
from ground.past.marks import add_mark_routes
from ground.past.routes import add_past_routes
from ground.past.store import PastStore
from ground.picture.live import LatestLook, LivePicture, PlatformState, Thing, TrackState
from ground.picture.silence import silent_platforms
from ground.plans.routes import add_plan_routes
from ground.report.routes import add_report_routes
from ground.review.desk import ReviewDesk
from ground.review.listing import contacts_in, sightings_in
from ground.store.reading import Filter, StoreCounts, StoredContact, StoredSighting, StoreReader
from skywarden import __version__
from skywarden.clock import Clock
from skywarden.errors import InputError, SkywardenError, StoreError, UsageError
from skywarden.times import rfc3339

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; connect-src 'self'; "
    "img-src 'self' data: blob:; worker-src 'self' blob:; manifest-src 'self'; frame-ancestors 'none'; "
    "base-uri 'none'; form-action 'none'"
)
_COUNTS_AGE_S = 2.0
_MAX_STREAMS = 12
_STILL_ALLOWED_S = 1.0
_ASK_FIRST = "private, no-cache"
"""A browser may keep an image, but asks each time, so that nobody sees it from the cache of another."""
_ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"model": views.ErrorView, "description": "A value of the request cannot be read."},
    401: {"model": views.ErrorView, "description": "Not signed in, or not any more."},
    403: {"model": views.ErrorView, "description": "This role may not do this."},
    429: {"model": views.ErrorView, "description": "Too many requests; Retry-After says how long to wait."},
    422: {"model": views.ErrorView, "description": "A value of the request is out of its range."},
    503: {"model": views.ErrorView, "description": "The store does not answer."},
}
_NOT_FOUND: dict[int | str, dict[str, Any]] = {
    404: {"model": views.ErrorView, "description": "There is no such thing."}
}


@dataclass(frozen=True, kw_only=True)
class Station:
    """What the API shows; `problems` tells why the station is not ready, in sentences."""

    store: StoreReader
    picture: LivePicture
    clock: Clock
    problems: Callable[[], list[str]]
    metrics: Callable[[], bytes]
    state_dir: Path
    layers_dir: Path
    console_dir: Path
    allowed_hosts: frozenset[str] | None
    doorkeeper: Doorkeeper
    desk: TaskingDesk
    review: ReviewDesk
    ais: AisWatch
    alerts: AlertDesk
    past: PastStore
    history: ContactHistory
    rule: Callable[[Ruling], None]
    contacts: ContactsConfig
    cookie: Cookie
    link_address: str
    server_public_key: str
    started_ns: int
    mark: Mark


class _Questions:
    """What several routes ask of the station."""

    def __init__(self, station: Station) -> None:
        self._station = station
        self.looks = LookWords(station.store, station.review)
        self._counts: StoreCounts | None = None
        self._counted_ns = 0

    def _silences(self) -> list[str]:
        """Who has fallen silent: platforms and sources of AIS. People are told; the station is well."""
        station, now_s = self._station, self._station.clock.monotonic_ns() / 1e9
        silent = silent_platforms(station.picture.platforms(), now_s, station.clock.utc_ns())
        return [*silent.values(), *station.ais.silences()]

    def status(self) -> views.StatusView:
        station = self._station
        now_ns = station.clock.monotonic_ns()
        if self._counts is None or now_ns - self._counted_ns > _COUNTS_AGE_S * 1e9:
            self._counts, self._counted_ns = station.store.counts(), now_ns
        counts = self._counts
        return views.StatusView(
            version=__version__,
            now=rfc3339(station.clock.utc_ns()),
            is_exercise=station.mark.is_exercise or station.picture.is_exercise,
            revision=station.picture.revision,
            started=rfc3339(station.started_ns),
            counts=views.CountsView(
                platforms=station.picture.platform_count,
                contacts=counts.contacts,
                sightings=counts.sightings,
                chips=counts.chips,
            ),
            notices=[*station.problems(), *self._silences()],
            link_address=station.link_address,
            server_public_key=station.server_public_key,
        )

    def platform(self, state: PlatformState) -> views.PlatformView:
        clock = self._station.clock
        return views.view_platform(state, clock.monotonic_ns() / 1e9, clock.utc_ns())

    def track(self, state: TrackState) -> views.TrackView:
        return views.view_track(state, self._station.store.contact_of_track(state.track.track_id))

    def render(self, value: Thing) -> str:
        """The JSON of anything that changes."""
        if isinstance(value, PlatformState):
            return self.platform(value).model_dump_json()
        if isinstance(value, TrackState):
            return self.track(value).model_dump_json()
        if isinstance(value, StoredContact):
            return self.contact(value).model_dump_json()
        if isinstance(value, LoggedAlert):
            return view_alert(value).model_dump_json()
        if isinstance(value, LatestLook):
            return self.looks.view(value).model_dump_json()
        return self.sighting(value).model_dump_json()

    def contact(self, stored: StoredContact) -> views.ContactView:
        return views.view_contact(stored, self._station.review.of_contact(stored.contact.track_ids))

    def sighting(self, stored: StoredSighting) -> views.SightingView:
        state = self._station.review.of_sighting(stored.sighting.sighting_id, stored.sighting.track_id)
        return views.view_sighting(stored, state)


def create_app(station: Station) -> tuple[FastAPI, LiveStream]:
    """The application and its live stream (close it before the server stops)."""
    questions = _Questions(station)
    stream = LiveStream(station.picture, questions.render, lambda: questions.status().model_dump_json())

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        stream.attach(asyncio.get_running_loop())
        yield

    app = FastAPI(
        title="Skywarden ground station",
        version="1",
        description="What the platforms see, as the station has it. Times UTC, map coordinates [lon, lat].",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        lifespan=lifespan,
        responses=_ERRORS,
    )
    _add_error_handlers(app)
    add_session_routes(app, station.doorkeeper, station.cookie)
    _add_station_routes(app, station, questions)
    _add_picture_routes(app, station, questions, stream)
    _add_contact_routes(app, station, questions)
    _add_sighting_routes(app, station, questions)
    _add_exports(app, station)
    add_plot_routes(app, station.store, station.review)
    add_report_routes(
        app,
        station.store,
        station.review,
        station.ais,
        station.alerts,
        station.past,
        station.clock,
        station.mark,
    )
    add_review_routes(app, station.review, station.store, station.clock)
    add_ais_routes(app, station.ais, station.store, station.clock)
    add_chip_routes(app, station.store)
    add_alert_routes(app, station.alerts)
    add_fusion_routes(app, station.history, station.rule, station.store, station.clock)
    add_past_routes(app, station.past, station.store, station.ais, station.review, station.clock)
    replayed = read_marks(station.state_dir) if station.mark.is_exercise else []
    add_mark_routes(app, station.review, station.alerts, replayed, station.clock)
    add_site_routes(app, SiteShelf(station.store, station.contacts))
    add_tasking_routes(app, station.desk, station.store, station.picture, station.clock)
    add_look_routes(app, station.picture, questions.looks, station.desk, station.clock)
    _add_layer_routes(app, station)
    add_reference_page(app)
    _add_console(app, station)
    require_permissions(app)
    app.add_middleware(Gate, web=app, doorkeeper=station.doorkeeper, cookie_name=station.cookie.name)
    app.add_middleware(_Guard, allowed_hosts=station.allowed_hosts)
    app.add_middleware(ExerciseMarks, mark=station.mark)
    return app, stream


def _add_exports(app: FastAPI, station: Station) -> None:
    """What leaves for other programs."""

    def source() -> ExportSource:
        return ExportSource(
            store=station.store,
            book=station.review.book(),
            state_dir=station.state_dir,
            mark=station.mark,
        )

    add_export_routes(app, station.store, station.review, station.mark)
    add_file_routes(app, source, station.clock)
    add_feature_routes(app, source, station.clock)
    add_sortie_routes(app, station.store, source, station.clock)
    add_plan_routes(app, source, station.alerts.log.zones)


def _add_error_handlers(app: FastAPI) -> None:
    @app.exception_handler(StarletteHTTPException)
    def refused(_: Request, error: StarletteHTTPException) -> Response:
        return JSONResponse(
            {"error": str(error.detail)}, error.status_code, headers=dict(error.headers or {})
        )

    @app.exception_handler(RequestValidationError)
    def out_of_range(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return JSONResponse({"error": f"{where}: {first['msg']}"}, 422)

    @app.exception_handler(SkywardenError)
    def ours(_: Request, error: SkywardenError) -> Response:
        is_asked_wrongly = isinstance(error, InputError | UsageError)
        status = 503 if isinstance(error, StoreError) else 400 if is_asked_wrongly else 500
        return JSONResponse({"error": str(error)}, status)


def _add_station_routes(app: FastAPI, station: Station, questions: _Questions) -> None:
    @app.get("/healthz", response_model=views.HealthzView, tags=["station"])
    @needs(Permission.PUBLIC)
    def healthz() -> views.HealthzView:
        """The process lives."""
        return views.HealthzView(ok=True, reasons=[])

    @app.get(
        "/readyz",
        response_model=views.HealthzView,
        responses={503: {"model": views.HealthzView, "description": "Not ready."}},
        tags=["station"],
    )
    @needs(Permission.PUBLIC)
    def readyz(request: Request) -> Response:
        """The station takes records in and can store them; why not, is told to those who are signed in."""
        reasons = station.problems()
        is_known = isinstance(_caller(request).who, Identity)
        view = views.HealthzView(
            ok=not reasons, reasons=reasons if is_known or not reasons else ["sign in to read the reasons"]
        )
        return JSONResponse(view.model_dump(), 503 if reasons else 200)

    @app.get("/metrics", response_class=Response, tags=["station"], responses=_content("text/plain"))
    @needs(Permission.MONITOR)
    def metrics() -> Response:
        """For Prometheus."""
        return Response(station.metrics(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.get("/openapi.json", include_in_schema=False)
    @needs(Permission.SEE_PICTURE)
    def description() -> Response:
        """What this API can do, in OpenAPI's words."""
        return JSONResponse(app.openapi())

    @app.get("/api/v1/status", response_model=views.StatusView, tags=["station"])
    @needs(Permission.SEE_PICTURE)
    def status() -> views.StatusView:
        """The station itself."""
        return questions.status()


class _LiveReaders:
    """Live streams as long as their readers are let in, and not too many of one session."""

    def __init__(self, keeper: Doorkeeper) -> None:
        self._keeper = keeper
        self._open: Counter[str] = Counter()

    def events(self, caller: Caller, events: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The same events, ended within `_STILL_ALLOWED_S` of the end of the session or of its right."""
        who = caller.who
        assert isinstance(who, Identity), "the gate lets no stranger to a stream"
        if self._open[who.session_id] >= _MAX_STREAMS:
            raise HTTPException(429, f"this session has {_MAX_STREAMS} live streams open already")
        return self._guarded(who.session_id, caller, events)

    async def _guarded(
        self, session_id: str, caller: Caller, events: AsyncIterator[bytes]
    ) -> AsyncIterator[bytes]:
        is_granted = self._keeper.watch(
            cookie=caller.cookie, bearer=caller.bearer, needs=Permission.SEE_PICTURE
        )
        self._open[session_id] += 1
        checked_s = asyncio.get_running_loop().time()
        try:
            async for event in events:
                now_s = asyncio.get_running_loop().time()
                if now_s - checked_s >= _STILL_ALLOWED_S:
                    checked_s = now_s
                    if not is_granted():
                        return
                yield event
        finally:
            self._open[session_id] -= 1
            if self._open[session_id] <= 0:
                del self._open[session_id]


def _caller(request: Request) -> Caller:
    caller = request.scope["state"]["caller"]
    assert isinstance(caller, Caller), "the gate stands before every route"
    return caller


def _add_picture_routes(app: FastAPI, station: Station, questions: _Questions, stream: LiveStream) -> None:
    readers = _LiveReaders(station.doorkeeper)

    @app.get("/api/v1/platforms", response_model=views.PlatformList, tags=["picture"])
    @needs(Permission.SEE_PICTURE)
    def platforms(paged: Paged) -> views.PlatformList:
        """All platforms ever heard, by id."""
        every = station.picture.platforms()
        page = paged.of(every)
        return views.PlatformList(
            items=[questions.platform(one) for one in page],
            number_matched=len(every),
            number_returned=len(page),
        )

    @app.get("/api/v1/tracks", response_model=views.TrackList, tags=["picture"])
    @needs(Permission.SEE_PICTURE)
    def tracks(
        paged: Paged,
        bbox: WantedBox = None,
        label: Annotated[str | None, Query(max_length=64)] = None,
        platform_id: Annotated[str | None, Query(max_length=128)] = None,
    ) -> views.TrackList:
        """What the platforms follow now; in a box only those with a place."""
        box = parse_bbox(bbox) if bbox is not None else None
        every = [
            one
            for one in station.picture.tracks()
            if label in (None, one.track.label)
            and platform_id in (None, one.track.platform_id)
            and (box is None or is_in_box(one.track.position, box))
        ]
        page = paged.of(every)
        return views.TrackList(
            items=[questions.track(one) for one in page],
            number_matched=len(every),
            number_returned=len(page),
        )

    @app.get(
        "/api/v1/live",
        response_class=StreamingResponse,
        responses=_content("text/event-stream"),
        tags=["picture"],
    )
    @needs(Permission.SEE_PICTURE)
    async def live(
        request: Request,
        last_event_id: Annotated[str | None, Header(max_length=32)] = None,
        since: Annotated[
            str | None, Query(max_length=32, description="a revision, instead of the header")
        ] = None,
    ) -> Response:
        """Server-sent events `platform`, `contact`, `track`, `sighting`, `alert`, `look`, `status`; after
        `resync` fetch the lists anew. The stream ends when its session does."""
        text = last_event_id or since
        if text is not None and not text.isdigit():
            text = "0"  # not one of ours: the reader is told to start anew
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(
            readers.events(_caller(request), stream.events(int(text) if text is not None else None)),
            media_type="text/event-stream",
            headers=headers,
        )


def _add_contact_routes(app: FastAPI, station: Station, questions: _Questions) -> None:
    @app.get("/api/v1/contacts", response_model=views.ContactList, tags=["contacts"])
    @needs(Permission.SEE_CONTACTS)
    def contacts(wanted: Wanted, state: WantedStates = None) -> views.ContactList:
        """Contacts, newest first."""
        if state:
            found, matched = contacts_in(station.store, station.review.book(), wanted, state)
        else:
            found, matched = station.store.contacts(wanted)
        return views.ContactList(
            items=[questions.contact(one) for one in found],
            number_matched=matched,
            number_returned=len(found),
        )

    @app.get(
        "/api/v1/contacts/{contact_id}",
        response_model=views.ContactDetailView,
        responses=_NOT_FOUND,
        tags=["contacts"],
    )
    @needs(Permission.SEE_DETAILS)
    def contact(contact_id: str) -> views.ContactDetailView:
        """One contact with its newest 200 sightings."""
        found = station.store.contact(contact_id)
        if found is None:
            raise HTTPException(404, "there is no such contact; it may have been joined with another")
        sightings, _ = station.store.sightings(Filter(contact_id=contact_id, limit=200))
        review = station.review.of_contact(found.contact.track_ids)
        return views.view_contact_detail(found, review, [questions.sighting(one) for one in sightings])


def _add_sighting_routes(app: FastAPI, station: Station, questions: _Questions) -> None:
    @app.get("/api/v1/sightings", response_model=views.SightingList, tags=["sightings"])
    @needs(Permission.SEE_CONTACTS)
    def sightings(wanted: Wanted, state: WantedStates = None) -> views.SightingList:
        """Sightings, newest first; of unreviewed ones there are at least `number_matched`."""
        if state:
            found, matched = sightings_in(station.store, station.review.book(), wanted, state)
        else:
            found, matched = station.store.sightings(wanted)
        return views.SightingList(
            items=[questions.sighting(one) for one in found],
            number_matched=matched,
            number_returned=len(found),
        )

    @app.get(
        "/api/v1/chips/{chip_id}",
        response_class=Response,
        responses={**_NOT_FOUND, **_content("image/jpeg", "image/webp", "image/png")},
        tags=["sightings"],
    )
    @needs(Permission.SEE_DETAILS)
    def chip(chip_id: str, if_none_match: Annotated[str | None, Header(max_length=200)] = None) -> Response:
        """The image cut out around a detection; it never changes, but who may see it does."""
        found = station.store.chip(chip_id)
        if found is None:
            raise HTTPException(404, "there is no such chip")
        headers = {"Cache-Control": _ASK_FIRST, "Vary": "Cookie, Authorization", "ETag": _etag(found.data)}
        if if_none_match == headers["ETag"]:
            return Response(status_code=304, headers=headers)
        return Response(found.data, media_type=found.media_type, headers=headers)


def _add_layer_routes(app: FastAPI, station: Station) -> None:
    @app.get("/api/v1/layers", response_model=views.LayerList, tags=["layers"])
    @needs(Permission.SEE_PICTURE)
    def layers(paged: Paged) -> views.LayerList:
        """The map layers that this station has."""
        every = find_layers(station.layers_dir)
        page = paged.of(every)
        return views.LayerList(
            number_matched=len(every),
            number_returned=len(page),
            items=[
                views.LayerView(
                    name=layer.name,
                    title=layer.sidecar.title or layer.name,
                    kind=layer.kind,
                    url=f"/api/v1/layers/{layer.path.name}",
                    coordinates=list(layer.sidecar.coordinates) if layer.sidecar.coordinates else None,
                    style=layer.sidecar.style,
                )
                for layer in page
            ],
        )

    @app.get(
        "/api/v1/layers/{file}",
        response_class=FileResponse,
        responses={
            **_NOT_FOUND,
            **_content("application/geo+json", "image/png", "image/jpeg", "image/webp", PMTILES_TYPE),
        },
        tags=["layers"],
    )
    @needs(Permission.SEE_PICTURE)
    def layer_file(file: str) -> Response:
        """One layer's data; a range of it where `Range` asks for one, as readers of PMTiles do."""
        for layer in find_layers(station.layers_dir):
            if layer.path.name == file:
                headers = {"Cache-Control": _ASK_FIRST, "Vary": "Cookie, Authorization"}
                return FileResponse(layer.path, media_type=layer.media_type, headers=headers)
        raise HTTPException(404, "there is no such layer")


def _add_console(app: FastAPI, station: Station) -> None:
    if (station.console_dir / "index.html").is_file():
        app.mount("/", StaticFiles(directory=station.console_dir, html=True), name="console")
        open_to_all(app.routes[-1])
        return

    @app.get("/", response_class=HTMLResponse, include_in_schema=False)
    @needs(Permission.PUBLIC)
    def without_console() -> str:
        """The console has not been built."""
        return _PLAIN_PAGE.format(version=html.escape(__version__))


def _etag(data: bytes) -> str:
    return f'"{hashlib.sha256(data).hexdigest()[:32]}"'


def _content(*media_types: str) -> dict[int | str, dict[str, Any]]:
    return {200: {"content": {name: {} for name in media_types}, "description": "The content."}}


class _Guard:
    """Headers that keep browsers honest, and a check of `Host`, so that no foreign page that resolves its own
    name to this machine (DNS rebinding) can read the picture."""

    def __init__(self, app: ASGIApp, allowed_hosts: frozenset[str] | None) -> None:
        self._app = app
        self._allowed_hosts = allowed_hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if not self._is_allowed(scope):
            refusal = JSONResponse({"error": "this station does not answer to that host name"}, 400)
            await refusal(scope, receive, send)
            return
        is_api = scope["path"].startswith(_DATA)

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                names = {name.lower() for name, _ in message["headers"]}
                extra = [*_HEADERS, (b"cache-control", b"no-store" if is_api else b"no-cache")]
                message["headers"] = [*message["headers"], *(one for one in extra if one[0] not in names)]
            await send(message)

        await self._app(scope, receive, send_guarded)

    def _is_allowed(self, scope: Scope) -> bool:
        if self._allowed_hosts is None:
            return True
        hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        if len(hosts) != 1:
            return False
        host = hosts[0].rsplit(":", 1)[0] if not hosts[0].endswith("]") else hosts[0]
        return host.lower() in self._allowed_hosts


_DATA = ("/api/", "/ogc", "/stac", "/openapi.json", "/metrics", "/readyz")
_HEADERS = [
    (b"content-security-policy", CONTENT_SECURITY_POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=(), payment=(), usb=()"),
]

_PLAIN_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Skywarden ground station</title>
<body>
<h1>Skywarden ground station {version}</h1>
<p>The station runs, but its console has not been built. In the project's folder run</p>
<pre>cd ground/console &amp;&amp; npm ci &amp;&amp; npm run build</pre>
<p>and start the station again (<code>make setup</code> does all of it). The API answers meanwhile to
those who have a key: <code>skywarden ground users key administrator</code> makes one.</p></body></html>
"""
