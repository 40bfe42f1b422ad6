"""/stac and /api/v1/sorties: the sorties of this station as a catalogue, and one of them as a recording."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Annotated, Any

from fastapi import FastAPI, HTTPException, Query, Request
from fastapi import Path as PathParameter
from fastapi.responses import JSONResponse, Response, StreamingResponse

from ground.accounts.roles import Permission
from ground.catalogue.folder import MCAP_TYPE
from ground.catalogue.sorties import Sortie, SortieShelf, sightings_of
from ground.catalogue.stac import Asset, catalogue_of, extent_of, item_of
from ground.exports.files import MEDIA_TYPES
from ground.exports.source import ExportSource
from ground.http.gate import needs
from ground.http.views import ErrorView, View
from ground.recording.sortie_mcap import write_sortie_mcap
from ground.store.reading import StoreReader
from skywarden import __version__
from skywarden.clock import Clock
from skywarden.errors import InputError
from skywarden.times import rfc3339

_GEOJSON = "application/geo+json"
_PART_BYTES = 65_536
_NOT_FOUND: dict[int | str, dict[str, Any]] = {
    404: {"model": ErrorView, "description": "There is no such sortie."}
}
_Name = Annotated[str, PathParameter(max_length=300)]
_Unreviewed = Annotated[bool, Query(description="also what nobody has confirmed; it says so")]


class SortieView(View):
    """One flight of one platform on which something was seen."""

    item_id: str
    platform_id: str
    sortie_id: str
    first: str
    last: str
    tracks: int
    sightings: int


class SortieList(View):
    """A page of sorties."""

    items: list[SortieView]
    number_matched: int
    number_returned: int


class CatalogueView(View):
    """A STAC Catalog."""

    type: str
    stac_version: str
    id: str
    title: str
    description: str
    links: list[dict[str, str]]


def add_sortie_routes(
    app: FastAPI, store: StoreReader, source: Callable[[], ExportSource], clock: Clock
) -> None:
    """The routes of sorties; `source` makes what is read, with what people have decided by then."""
    shelf = SortieShelf(store)
    _add_list(app, shelf)
    _add_recording(app, shelf, source)
    _add_stac(app, shelf, source, clock)


def _add_list(app: FastAPI, shelf: SortieShelf) -> None:
    @app.get("/api/v1/sorties", response_model=SortieList, tags=["sorties"])
    @needs(Permission.SEE_CONTACTS)
    def sorties(
        platform_id: Annotated[str | None, Query(max_length=128)] = None,
        limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
        offset: Annotated[int, Query(ge=0, le=10_000_000)] = 0,
    ) -> SortieList:
        """Sorties, newest first."""
        found = [one for one in shelf.sorties() if platform_id in (None, one.platform_id)]
        page = found[offset : offset + limit]
        return SortieList(
            items=[_view(one) for one in page], number_matched=len(found), number_returned=len(page)
        )


def _add_recording(app: FastAPI, shelf: SortieShelf, source: Callable[[], ExportSource]) -> None:
    @app.get(
        "/api/v1/sorties/{name}/recording.mcap",
        response_class=StreamingResponse,
        responses={**_NOT_FOUND, 200: {"content": {MCAP_TYPE: {}}, "description": "The recording."}},
        tags=["export"],
    )
    @needs(Permission.EXPORT)
    def recording(name: _Name, unreviewed: _Unreviewed = False) -> Response:
        """What the station has of a sortie, as MCAP."""
        one = _found(shelf, name)
        file = _made(source(), one, with_unreviewed=unreviewed)
        mark = "UNREVIEWED-" if unreviewed else ""
        headers = {"Content-Disposition": f'attachment; filename="{mark}{_plain(one.item_id)}.mcap"'}
        return StreamingResponse(_parts(file), media_type=MCAP_TYPE, headers=headers)


def _add_stac(app: FastAPI, shelf: SortieShelf, source: Callable[[], ExportSource], clock: Clock) -> None:
    @app.get("/stac", response_model=CatalogueView, tags=["sorties"])
    @needs(Permission.EXPORT)
    def catalogue(request: Request, offset: Annotated[int, Query(ge=0, le=10_000_000)] = 0) -> Response:
        """A STAC catalogue of the sorties, newest first, 1,000 at a time."""
        root = _root(request)
        every = shelf.sorties()
        items = [
            (f"{root}/items/{one.item_id}", f"Sortie {one.sortie_id} of {one.platform_id}", one.item_id)
            for one in every[offset : offset + 1_000]
        ]
        tree = catalogue_of(items, root, source().mark)
        if offset + 1_000 < len(every):
            after = {"rel": "next", "href": f"{root}?offset={offset + 1_000}", "type": "application/json"}
            tree["links"].append(after)
        return JSONResponse(tree)

    @app.get(
        "/stac/items/{name}",
        response_class=Response,
        responses={**_NOT_FOUND, **_content(_GEOJSON)},
        tags=["sorties"],
    )
    @needs(Permission.EXPORT)
    def item(request: Request, name: _Name, unreviewed: _Unreviewed = False) -> Response:
        """The STAC Item of a sortie: where, when, and where its files come from."""
        one = _found(shelf, name)
        root = _root(request)
        read = source()
        looks = sightings_of(read, one, with_unreviewed=unreviewed)
        tree = item_of(
            one,
            extent_of(stored for stored, _ in looks),
            _assets(root.removesuffix("/stac"), one, unreviewed=unreviewed),
            with_unreviewed=unreviewed,
            made_ns=clock.utc_ns(),
            self_href=str(request.url),
            catalogue_href=root,
            version=__version__,
            exercise=read.mark,
        )
        return JSONResponse(tree, media_type=_GEOJSON)


def _assets(base: str, sortie: Sortie, *, unreviewed: bool) -> list[Asset]:
    more = "&unreviewed=true" if unreviewed else ""
    mark = "UNREVIEWED: " if unreviewed else ""
    since, until = rfc3339(sortie.first_ns), rfc3339(sortie.last_ns + 999)  # texts have microseconds
    asked = f"platform_id={sortie.platform_id}&since={since}&until={until}"
    exports = f"{base}/api/v1/exports"
    return [
        Asset(
            key="sightings",
            href=f"{exports}/geojson?layer=sightings&{asked}{more}",
            title=f"{mark}sightings",
            media_type=MEDIA_TYPES["geojson"],
        ),
        Asset(
            key="tracks",
            href=f"{exports}/gpkg?layer=tracks&layer=plots&{asked}{more}",
            title=f"{mark}tracks and plots",
            media_type=MEDIA_TYPES["gpkg"],
        ),
        Asset(
            key="recording",
            href=f"{base}/api/v1/sorties/{sortie.item_id}/recording.mcap{more.replace('&', '?')}",
            title=f"{mark}recording (MCAP)",
            media_type=MCAP_TYPE,
        ),
    ]


def _found(shelf: SortieShelf, name: str) -> Sortie:
    try:
        return shelf.named(name)
    except InputError as error:
        raise HTTPException(404, str(error)) from error


def _made(source: ExportSource, sortie: Sortie, *, with_unreviewed: bool) -> IO[bytes]:
    """The open file, whose name is gone already."""
    with tempfile.TemporaryDirectory(prefix="skywarden-mcap-") as folder:
        path = Path(folder) / "sortie.mcap"
        write_sortie_mcap(source, sortie, path, with_unreviewed=with_unreviewed)
        return path.open("rb")


def _parts(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        while part := file.read(_PART_BYTES):
            yield part


def _view(one: Sortie) -> SortieView:
    return SortieView(
        item_id=one.item_id,
        platform_id=one.platform_id,
        sortie_id=one.sortie_id,
        first=rfc3339(one.first_ns),
        last=rfc3339(one.last_ns),
        tracks=one.track_count,
        sightings=one.sighting_count,
    )


def _plain(name: str) -> str:
    return "".join(each if each.isascii() and (each.isalnum() or each in "._-") else "-" for each in name)[
        :100
    ]


def _root(request: Request) -> str:
    return str(request.url.replace(path="/stac", query=""))


def _content(media_type: str) -> dict[int | str, dict[str, Any]]:
    return {200: {"content": {media_type: {}}, "description": "The content."}}
