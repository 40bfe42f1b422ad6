"""Files for other programs and other people, and what partners see: confirmed things, unless it is said."""

from typing import Annotated

from fastapi import FastAPI, Query
from fastapi.responses import JSONResponse, Response

from ground.accounts.roles import Permission
from ground.http import views
from ground.http.gate import needs
from ground.http.questions import Wanted, WantedExport
from ground.review.book import ReviewBook
from ground.review.desk import ReviewDesk
from ground.review.release import Released, released_contacts, released_sightings
from ground.store.reading import Filter, StoredContact, StoredSighting, StoreReader

WithUnreviewed = Annotated[
    bool,
    Query(description="also what nobody has confirmed, marked so in each feature and in the file's name"),
]


_OURS = ("review_version", "review_was", "reviewed_by", "new_tracks", "assignee", "best_chip_id", "track_ids")
"""What is said of a contact here and means nothing to partners."""


class GeoJsonResponse(JSONResponse):
    """RFC 7946."""

    media_type = "application/geo+json"


def add_export_routes(app: FastAPI, store: StoreReader, desk: ReviewDesk) -> None:
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
        made, released = sightings_collection(store, desk.book(), wanted, with_unreviewed=unreviewed)
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
        made, released = contacts_collection(store, desk.book(), wanted, with_unreviewed=unreviewed)
        return _file(made, f"{released.prefix}contacts.geojson")

    @app.get("/api/v1/shared/contacts", response_model=views.FeatureCollectionView, tags=["shared"])
    @needs(Permission.SEE_SHARED)
    def shared_contacts(wanted: Wanted) -> Response:
        """What partners see: contacts that people confirmed, as RFC 7946, newest first."""
        made, _ = contacts_collection(store, desk.book(), wanted, with_unreviewed=False)
        answer = made.model_dump(mode="json", by_alias=True)
        for feature in answer["features"]:
            for name in _OURS:
                del feature["properties"][name]
        return GeoJsonResponse(answer)


def contacts_collection(
    store: StoreReader, book: ReviewBook, wanted: Filter, *, with_unreviewed: bool
) -> tuple[views.FeatureCollectionView, Released[StoredContact]]:
    """Contacts that may leave as a collection that says on its face what it holds."""
    released = released_contacts(store, book, wanted, with_unreviewed=with_unreviewed)
    found = [views.view_contact(one, book.of_contact(one.contact.track_ids)) for one, _ in released.items]
    return _collection(
        released.notice, released.matched, [views.view_feature(one) for one in found]
    ), released


def sightings_collection(
    store: StoreReader, book: ReviewBook, wanted: Filter, *, with_unreviewed: bool
) -> tuple[views.FeatureCollectionView, Released[StoredSighting]]:
    """Sightings that may leave as a collection that says on its face what it holds."""
    released = released_sightings(store, book, wanted, with_unreviewed=with_unreviewed)
    found = [views.view_sighting(one, state) for one, state in released.items]
    return _collection(
        released.notice, released.matched, [views.view_feature(one) for one in found]
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
