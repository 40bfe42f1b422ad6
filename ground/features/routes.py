"""OGC API - Features - Part 1: Core (OGC 17-069r4) below /ogc: landing page, conformance, collections, items.

A key with the scope `export` opens it; every request is an entry of the access log. GIS programs that know no
bearer tokens send the key as the password of HTTP Basic (any user name).
"""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import FastAPI, HTTPException, Path, Query, Request
from fastapi.responses import JSONResponse, Response

from ground.accounts.roles import Permission
from ground.exercise.mark import Mark
from ground.exports.geojson import feature
from ground.exports.source import ExportSource
from ground.exports.tables import TABLES, Column
from ground.features.collections import COLLECTIONS, Collection, FeatureShelf
from ground.http.gate import needs
from ground.http.questions import parse_bbox, parse_time
from ground.http.views import ErrorView, View
from ground.review.release import CONFIRMED_NOTICE, UNREVIEWED_NOTICE
from ground.store.reading import BBox, Filter
from skywarden.clock import Clock
from skywarden.errors import InputError
from skywarden.times import rfc3339

CRS84 = "http://www.opengis.net/def/crs/OGC/1.3/CRS84"
CONFORMANCE = (
    "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/core",
    "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/geojson",
)
MAX_LIMIT = 1_000
_MAX_OFFSET = 10_000_000
_KNOWN = frozenset({"bbox", "datetime", "limit", "offset", "label", "f"})
_KINDS = {"text": "string", "real": "number", "integer": "integer", "time": "string", "flag": "boolean"}
_ROOT = "/ogc"
_JSON = "application/json"
_GEOJSON = "application/geo+json"
_SCHEMA = "application/schema+json"
_REFUSED: dict[int | str, dict[str, Any]] = {
    404: {"model": ErrorView, "description": "There is no such collection or feature."}
}
_CollectionId = Annotated[str, Path(max_length=64)]
_Json = Annotated[str | None, Query(pattern="^json$", description="the only format there is")]


class LinkView(View):
    """A link of the standard."""

    href: str
    rel: str
    type: str
    title: str


class LandingView(View):
    """Where to begin."""

    title: str
    description: str
    links: list[LinkView]


class ConformanceView(View):
    """Requirements classes that are met."""

    conformsTo: list[str]  # noqa: N815 - the standard's word


class CollectionView(View):
    """One collection; its extent is not worked out: the whole earth, any time."""

    id: str
    title: str
    description: str
    itemType: str  # noqa: N815 - the standard's word
    extent: dict[str, Any]
    crs: list[str]
    links: list[LinkView]


class CollectionsView(View):
    """All collections."""

    links: list[LinkView]
    collections: list[CollectionView]


def add_feature_routes(app: FastAPI, source: Callable[[], ExportSource], clock: Clock) -> None:
    """The routes below /ogc; `source` makes what is read, with what people have decided by then."""
    _add_pages(app, source)
    _add_collections(app, source)
    _add_items(app, source, clock)


def _add_pages(app: FastAPI, source: Callable[[], ExportSource]) -> None:
    @app.get(_ROOT, tags=["features"], response_model=LandingView)
    @app.get(f"{_ROOT}/", include_in_schema=False)
    @needs(Permission.EXPORT)
    def landing(request: Request, f: _Json = None) -> Response:
        """The landing page of OGC API - Features."""
        root = _root(request)
        return JSONResponse(
            {
                "title": source().mark.title("Skywarden"),
                "description": "What this ground station may hand on; collections say what was confirmed.",
                "links": [
                    _link(root, "self", _JSON, "this page"),
                    _link(
                        f"{root}/api",
                        "service-desc",
                        "application/vnd.oai.openapi+json;version=3.1",
                        "the API",
                    ),
                    _link(f"{root}/conformance", "conformance", _JSON, "what it conforms to"),
                    _link(f"{root}/collections", "data", _JSON, "the collections"),
                ],
            }
        )

    @app.get(f"{_ROOT}/conformance", tags=["features"], response_model=ConformanceView)
    @needs(Permission.EXPORT)
    def conformance(f: _Json = None) -> Response:
        """Which requirements classes are met."""
        return JSONResponse({"conformsTo": list(CONFORMANCE)})

    @app.get(f"{_ROOT}/api", include_in_schema=False)
    @needs(Permission.EXPORT)
    def description() -> Response:
        """This part of the API in OpenAPI's words."""
        tree = app.openapi()
        paths = {path: one for path, one in tree["paths"].items() if path.startswith(_ROOT)}
        return JSONResponse(
            {**tree, "paths": paths}, media_type="application/vnd.oai.openapi+json;version=3.1"
        )


def _add_collections(app: FastAPI, source: Callable[[], ExportSource]) -> None:
    @app.get(f"{_ROOT}/collections", tags=["features"], response_model=CollectionsView)
    @needs(Permission.EXPORT)
    def collections(request: Request, f: _Json = None) -> Response:
        """All collections."""
        root = _root(request)
        return JSONResponse(
            {
                "links": [_link(f"{root}/collections", "self", _JSON, "the collections")],
                "collections": [_described(root, one, source().mark) for one in COLLECTIONS.values()],
            }
        )

    @app.get(
        f"{_ROOT}/collections/{{collection_id}}",
        tags=["features"],
        response_model=CollectionView,
        responses=_REFUSED,
    )
    @needs(Permission.EXPORT)
    def collection(request: Request, collection_id: _CollectionId, f: _Json = None) -> Response:
        """One collection."""
        return JSONResponse(_described(_root(request), _known(collection_id), source().mark))

    @app.get(
        f"{_ROOT}/collections/{{collection_id}}/queryables",
        tags=["features"],
        response_class=Response,
        responses={**_REFUSED, 200: {"content": {_SCHEMA: {}}, "description": "The schema."}},
    )
    @needs(Permission.EXPORT)
    def queryables(request: Request, collection_id: _CollectionId, f: _Json = None) -> Response:
        """The properties of a collection's features, as a JSON Schema."""
        one = _known(collection_id)
        return JSONResponse(
            {
                "$schema": "https://json-schema.org/draft/2020-12/schema",
                "$id": f"{_root(request)}/collections/{collection_id}/queryables",
                "type": "object",
                "title": one.title,
                "properties": {column.name: _schema(column) for column in TABLES[one.layer]},
            },
            media_type=_SCHEMA,
        )


def _add_items(app: FastAPI, source: Callable[[], ExportSource], clock: Clock) -> None:
    @app.get(
        f"{_ROOT}/collections/{{collection_id}}/items",
        tags=["features"],
        response_class=Response,
        responses={**_REFUSED, 200: {"content": {_GEOJSON: {}}, "description": "A page of features."}},
    )
    @needs(Permission.EXPORT)
    def items(
        request: Request,
        collection_id: _CollectionId,
        bbox: Annotated[str | None, Query(max_length=200)] = None,
        datetime: Annotated[str | None, Query(max_length=100)] = None,
        label: Annotated[str | None, Query(max_length=64)] = None,
        limit: Annotated[int, Query(ge=1)] = 100,
        offset: Annotated[int, Query(ge=0, le=_MAX_OFFSET)] = 0,
        f: _Json = None,
    ) -> Response:
        """A page of features within a box and a time."""
        if strange := sorted(set(request.query_params) - _KNOWN):
            raise HTTPException(400, f"there is no parameter {strange[0][:40]!r}")
        one = _known(collection_id)
        since_ns, until_ns = parse_datetime(datetime) if datetime is not None else (None, None)
        wanted = Filter(
            bbox=parse_box(bbox) if bbox is not None else None,
            label=label,
            since_ns=since_ns,
            until_ns=until_ns,
            limit=min(limit, MAX_LIMIT),
            offset=offset,
        )
        read = source()
        page = FeatureShelf(source=read).page(one, wanted)
        links = [
            _link(str(request.url), "self", _GEOJSON, "this page"),
            _link(f"{_root(request)}/collections/{collection_id}", "collection", _JSON, one.title),
        ]
        if page.has_more:
            after = request.url.include_query_params(limit=wanted.limit, offset=offset + wanted.limit)
            links.append(_link(str(after), "next", _GEOJSON, "the next page"))
        answer: dict[str, Any] = {
            "type": "FeatureCollection",
            "notice": read.mark.notice(_notice(one)),
            "timeStamp": rfc3339(clock.utc_ns()),
            "numberReturned": len(page.rows),
            "links": links,
            "features": [feature(row, one.layer) for row in page.rows],
        }
        if page.matched is not None:
            answer["numberMatched"] = page.matched
        return JSONResponse(answer, media_type=_GEOJSON)

    @app.get(
        f"{_ROOT}/collections/{{collection_id}}/items/{{feature_id}}",
        tags=["features"],
        response_class=Response,
        responses={**_REFUSED, 200: {"content": {_GEOJSON: {}}, "description": "One feature."}},
    )
    @needs(Permission.EXPORT)
    def item(
        request: Request,
        collection_id: _CollectionId,
        feature_id: Annotated[str, Path(max_length=200)],
        f: _Json = None,
    ) -> Response:
        """One feature."""
        one = _known(collection_id)
        row = FeatureShelf(source=source()).item(one, feature_id)
        if row is None:
            raise HTTPException(404, "there is no such feature in this collection")
        links = [
            _link(str(request.url), "self", _GEOJSON, "this feature"),
            _link(f"{_root(request)}/collections/{collection_id}", "collection", _JSON, one.title),
        ]
        return JSONResponse({**feature(row, one.layer), "links": links}, media_type=_GEOJSON)


def parse_box(text: str) -> BBox:
    """A box of four numbers, or of six with heights, which are not looked at; raises `InputError`."""
    parts = text.split(",")
    if len(parts) == 6:
        parts = [parts[0], parts[1], parts[3], parts[4]]
    return parse_bbox(",".join(parts))


def parse_datetime(text: str) -> tuple[int | None, int | None]:
    """An instant, or an interval `a/b` whose ends may be open (`..` or nothing); raises `InputError`."""
    begin, slash, end = text.partition("/")
    if not slash:
        instant_ns = parse_time(begin)
        return instant_ns, instant_ns
    since_ns = parse_time(begin) if begin not in ("", "..") else None
    until_ns = parse_time(end) if end not in ("", "..") else None
    if since_ns is None and until_ns is None:
        raise InputError("an interval that is open on both sides says nothing")
    if since_ns is not None and until_ns is not None and since_ns > until_ns:
        raise InputError("the interval ends before it begins")
    return since_ns, until_ns


def _known(collection_id: str) -> Collection:
    found = COLLECTIONS.get(collection_id)
    if found is None:
        raise HTTPException(404, f"there is no such collection; there are {', '.join(COLLECTIONS)}")
    return found


def _described(root: str, one: Collection, mark: Mark) -> dict[str, Any]:
    place = f"{root}/collections/{one.collection_id}"
    return {
        "id": one.collection_id,
        "title": mark.title(one.title),
        "description": mark.notice(one.description),
        "itemType": "feature",
        "extent": {
            "spatial": {"bbox": [[-180.0, -90.0, 180.0, 90.0]], "crs": CRS84},
            "temporal": {"interval": [[None, None]]},
        },
        "crs": [CRS84],
        "links": [
            _link(place, "self", _JSON, one.title),
            _link(f"{place}/items", "items", _GEOJSON, f"features: {one.title}"),
            _link(
                f"{place}/queryables",
                "http://www.opengis.net/def/rel/ogc/1.0/queryables",
                _SCHEMA,
                "the properties",
            ),
        ],
    }


def _schema(column: Column) -> dict[str, str]:
    said = {"type": _KINDS[column.kind]}
    if column.kind == "time":
        said["format"] = "date-time"
    return {**said, "description": column.meaning} if column.meaning else said


def _notice(one: Collection) -> str:
    if one.layer == "ais":
        return one.description
    return UNREVIEWED_NOTICE if one.with_unreviewed else CONFIRMED_NOTICE


def _root(request: Request) -> str:
    return str(request.url.replace(path=_ROOT, query=""))


def _link(href: str, rel: str, media_type: str, title: str) -> dict[str, str]:
    return {"href": href, "rel": rel, "type": media_type, "title": title}
