"""Files for other programs and other people, and what partners see: confirmed things, unless it is said."""

import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Annotated

from fastapi import FastAPI, HTTPException, Query
from fastapi.responses import JSONResponse, Response, StreamingResponse

from ground.accounts.roles import Permission
from ground.exercise.mark import REAL, Mark
from ground.exports.files import MEDIA_TYPES, Format, Written, check_layers, name_of, write_export
from ground.exports.selection import Selection
from ground.exports.source import ExportSource
from ground.exports.tables import Layer
from ground.http import views
from ground.http.gate import needs
from ground.http.questions import Wanted, WantedExport
from ground.review.book import ReviewBook
from ground.review.desk import ReviewDesk
from ground.review.entries import State
from ground.review.release import Released, released_contacts, released_sightings
from ground.store.reading import Filter, StoredContact, StoredSighting, StoreReader
from skywarden.clock import Clock

WithUnreviewed = Annotated[
    bool,
    Query(description="also what nobody has confirmed, marked so in each feature and in the file's name"),
]


_OURS = ("review_version", "review_was", "reviewed_by", "new_tracks", "assignee", "best_chip_id", "track_ids")
"""What is said of a contact here and means nothing to partners."""


MAX_ROWS = 50_000
_MAX_AT_ONCE = 2
_PART_BYTES = 65_536


class GeoJsonResponse(JSONResponse):
    """RFC 7946."""

    media_type = "application/geo+json"


def add_export_routes(app: FastAPI, store: StoreReader, desk: ReviewDesk, mark: Mark) -> None:
    """The routes of exports, and /api/v1/shared for partners."""

    @app.get(
        "/api/v1/sightings.geojson",
        response_class=GeoJsonResponse,
        response_model=views.FeatureCollectionView,
        tags=["export"],
    )
    @needs(Permission.EXPORT)
    def sightings_geojson(wanted: WantedExport, unreviewed: WithUnreviewed = False) -> Response:
        """Confirmed sightings as RFC 7946, newest first; all that were not rejected with `unreviewed`."""
        made, released = sightings_collection(
            store, desk.book(), wanted, with_unreviewed=unreviewed, mark=mark
        )
        return _file(made, f"{released.prefix}sightings.geojson")

    @app.get(
        "/api/v1/contacts.geojson",
        response_class=GeoJsonResponse,
        response_model=views.FeatureCollectionView,
        tags=["export"],
    )
    @needs(Permission.EXPORT)
    def contacts_geojson(wanted: WantedExport, unreviewed: WithUnreviewed = False) -> Response:
        """Confirmed contacts as RFC 7946, newest first; all that were not rejected with `unreviewed`."""
        made, released = contacts_collection(
            store, desk.book(), wanted, with_unreviewed=unreviewed, mark=mark
        )
        return _file(made, f"{released.prefix}contacts.geojson")

    @app.get("/api/v1/shared/contacts", response_model=views.FeatureCollectionView, tags=["shared"])
    @needs(Permission.SEE_SHARED)
    def shared_contacts(wanted: Wanted) -> Response:
        """What partners see: contacts that people confirmed, as RFC 7946, newest first."""
        made, _ = contacts_collection(store, desk.book(), wanted, with_unreviewed=False, mark=mark)
        answer = made.model_dump(mode="json", by_alias=True)
        for feature in answer["features"]:
            for name in _OURS:
                del feature["properties"][name]
        return GeoJsonResponse(answer)


def add_file_routes(app: FastAPI, source: Callable[[], ExportSource], clock: Clock) -> None:
    """/api/v1/exports/FORMAT; `source` makes what is read, with what people have decided by then."""
    rooms = threading.BoundedSemaphore(_MAX_AT_ONCE)

    @app.get(
        "/api/v1/exports/{form}",
        response_class=StreamingResponse,
        responses={200: {"content": {one: {} for one in MEDIA_TYPES.values()}, "description": "The file."}},
        tags=["export"],
    )
    @needs(Permission.EXPORT)
    def export(
        form: Format,
        wanted: WantedExport,
        limit: Annotated[int, Query(ge=1, le=MAX_ROWS, description="of each layer")] = MAX_ROWS,
        layer: Annotated[
            list[Layer] | None,
            Query(max_length=5, description="default: contacts, tracks, plots; of csv contacts"),
        ] = None,
        state: Annotated[
            list[State] | None, Query(max_length=4, description="state of review; several times")
        ] = None,
        unreviewed: WithUnreviewed = False,
    ) -> Response:
        """One file in a format that other programs read. What did not fit within `limit` is named by layer in
        the header `X-Skywarden-Cut`."""
        asked = Selection(
            bbox=wanted.bbox,
            labels=(wanted.label,) if wanted.label is not None else (),
            platform_id=wanted.platform_id,
            contact_id=wanted.contact_id,
            since_ns=wanted.since_ns,
            until_ns=wanted.until_ns,
            states=tuple(state or ()),
            with_unreviewed=unreviewed,
            limit=limit,
        )
        layers = check_layers(form, layer or ())
        if not rooms.acquire(timeout=10.0):
            raise HTTPException(429, "other exports are being made; try again in a while")
        try:
            file, found = _made(form, layers, source(), asked, clock.utc_ns())
        finally:
            rooms.release()
        name = name_of(form, asked, layers)
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        if cut := [one for one, count in found.counts.items() if count >= limit]:
            headers["X-Skywarden-Cut"] = ", ".join(cut)
        return StreamingResponse(_parts(file), media_type=MEDIA_TYPES[form], headers=headers)


def _made(
    form: Format, layers: Sequence[Layer], source: ExportSource, wanted: Selection, time_ns: int
) -> tuple[IO[bytes], Written]:
    """The open file, whose name is gone already: whatever happens to the request, nothing stays behind."""
    with tempfile.TemporaryDirectory(prefix="skywarden-export-") as folder:
        path = Path(folder) / f"export.{form}"
        found = write_export(form, layers, source, wanted, path, time_ns=time_ns)
        return path.open("rb"), found


def _parts(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        while part := file.read(_PART_BYTES):
            yield part


def contacts_collection(
    store: StoreReader, book: ReviewBook, wanted: Filter, *, with_unreviewed: bool, mark: Mark = REAL
) -> tuple[views.FeatureCollectionView, Released[StoredContact]]:
    """Contacts that may leave as a collection that says on its face what it holds."""
    released = released_contacts(store, book, wanted, with_unreviewed=with_unreviewed)
    found = [views.view_contact(one, book.of_contact(one.contact.track_ids)) for one, _ in released.items]
    return _collection(
        mark.notice(released.notice), released.matched, [views.view_feature(one) for one in found]
    ), released


def sightings_collection(
    store: StoreReader, book: ReviewBook, wanted: Filter, *, with_unreviewed: bool, mark: Mark = REAL
) -> tuple[views.FeatureCollectionView, Released[StoredSighting]]:
    """Sightings that may leave as a collection that says on its face what it holds."""
    released = released_sightings(store, book, wanted, with_unreviewed=with_unreviewed)
    found = [views.view_sighting(one, state) for one, state in released.items]
    return _collection(
        mark.notice(released.notice), released.matched, [views.view_feature(one) for one in found]
    ), released


def _collection(notice: str, matched: int, features: list[views.FeatureView]) -> views.FeatureCollectionView:
    return views.FeatureCollectionView(
        type="FeatureCollection",
        notice=notice,
        number_matched=matched,
        number_returned=len(features),
        features=features,
    )


def _file(collection: views.FeatureCollectionView, name: str) -> Response:
    return GeoJsonResponse(
        collection.model_dump(mode="json", by_alias=True),
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )
