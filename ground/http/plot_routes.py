"""Plots on the map, and sightings as a map draws them: the routes /api/v1/plots and /api/v1/places."""

from typing import Annotated, Any, Literal

from fastapi import FastAPI, Query

from ground.accounts.roles import Permission
from ground.http.gate import needs
from ground.http.questions import Wanted, parse_bbox
from ground.http.views import View
from ground.picture.plots import PlotShelf
from ground.review.desk import ReviewDesk
from ground.store.reading import StoreReader
from skywarden.geometry.plot_geojson import plot_feature

_MAX_PLACES = 5_000


class PlotFeatureView(View):
    """A polygon with its area, its 90 % interval and what people said of it (RFC 7946)."""

    type: Literal["Feature"]
    id: str
    geometry: dict[str, Any]
    properties: dict[str, Any]


class PlotCollectionView(View):
    """Plots, newest first."""

    type: Literal["FeatureCollection"]
    number_matched: int
    number_returned: int
    features: list[PlotFeatureView]


class PlacesView(View):
    """Sightings as columns of one length, newest first: times in UTC milliseconds, places in degrees."""

    sighting_ids: list[str]
    track_ids: list[str]
    labels: list[str]
    scores: list[float]
    time_ms: list[int]
    latitude_deg: list[float]
    longitude_deg: list[float]


def add_plot_routes(app: FastAPI, store: StoreReader, desk: ReviewDesk) -> None:
    """The routes of what is drawn on the map and is no contact."""
    shelf = PlotShelf(store)

    @app.get("/api/v1/plots", response_model=PlotCollectionView, tags=["picture"])
    @needs(Permission.SEE_CONTACTS)
    def plots(wanted: Wanted) -> PlotCollectionView:
        """Plots as they are known by now, newest first."""
        found, matched = shelf.find(wanted)
        return PlotCollectionView(
            type="FeatureCollection",
            number_matched=matched,
            number_returned=len(found),
            features=[PlotFeatureView(**plot_feature(plot, desk.of_track(plot.plot_id))) for plot in found],
        )

    @app.get("/api/v1/places", response_model=PlacesView, tags=["picture"])
    @needs(Permission.SEE_CONTACTS)
    def places(
        bbox: Annotated[str, Query(max_length=100, description="west,south,east,north")],
        limit: Annotated[int, Query(ge=1, le=_MAX_PLACES)] = 2_000,
    ) -> PlacesView:
        """The newest sightings in a box: where something has been seen, however long ago."""
        found = store.places(parse_bbox(bbox), limit)
        return PlacesView(
            sighting_ids=found.sighting_ids,
            track_ids=found.track_ids,
            labels=found.labels,
            scores=found.scores,
            time_ms=[time_ns // 1_000_000 for time_ns in found.time_ns],
            latitude_deg=found.latitude_deg,
            longitude_deg=found.longitude_deg,
        )
