"""What each camera last showed: /api/v1/looks, /api/v1/platforms/ID/look and its overlay.

Live views are asked for as every other request is (kind "live_view" of /api/v1/taskings); new looks come as
events `look` of /api/v1/live.
"""

import hashlib
from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import FastAPI, Header, HTTPException, Query
from fastapi.responses import Response

from ground.accounts.roles import Permission
from ground.http.gate import needs
from ground.http.views import ErrorView
from ground.link.tasking import TaskingDesk
from ground.looks.views import LookList, LookView, view_boxes, view_live, view_look
from ground.picture.live import LatestLook, LivePicture
from ground.review.desk import ReviewDesk
from ground.store.reading import StoreReader
from skywarden.clock import NS_PER_S, Clock

_ASK_FIRST = "private, no-cache"
_LIVE_SHOWN_S = 1_800.0
_NEWEST_REQUESTS = 500
_NOT_FOUND: Mapping[int | str, dict[str, Any]] = {
    404: {"model": ErrorView, "description": "No picture of this camera has come since the station started."}
}
_IMAGE: Mapping[int | str, dict[str, Any]] = {
    200: {"content": {"image/jpeg": {}, "image/webp": {}}, "description": "The image."},
    304: {"description": "It is the one that you have."},
}
Sensor = Annotated[str | None, Query(max_length=128, description="one camera; without it the latest of any")]


class LookWords:
    """Makes views of looks, with what is known here of their tracks."""

    def __init__(self, store: StoreReader, review: ReviewDesk) -> None:
        self._store = store
        self._review = review

    def view(self, latest: LatestLook) -> LookView:
        """A look with its boxes."""
        look = latest.look
        tracks = {track_id for index in range(len(look.track_number)) if (track_id := look.track_id(index))}
        boxes = view_boxes(
            latest,
            {track_id: self._store.contact_of_track(track_id) for track_id in tracks},
            {track_id: self._review.of_track(track_id) for track_id in tracks},
        )
        return view_look(latest, boxes, look_url(look.platform_id, look.sensor_id))


def look_url(platform_id: str, sensor_id: str) -> str:
    """Where the image of a camera's latest look is."""
    return f"/api/v1/platforms/{quote(platform_id, safe='')}/look?sensor_id={quote(sensor_id, safe='')}"


def add_look_routes(
    app: FastAPI, picture: LivePicture, words: LookWords, desk: TaskingDesk, clock: Clock
) -> None:
    """All routes of this module."""

    def found(platform_id: str, sensor_id: str | None) -> LatestLook:
        latest = picture.look(platform_id, sensor_id)
        if latest is None:
            raise HTTPException(404, "no picture of this camera has come since the station started")
        return latest

    @app.get("/api/v1/looks", response_model=LookList, tags=["looks"])
    @needs(Permission.SEE_CONTACTS)
    def looks() -> LookList:
        """The latest look of every camera, without the images, and the live views of the last half hour."""
        since_ns = clock.utc_ns() - int(_LIVE_SHOWN_S * NS_PER_S)
        live = [
            view_live(one)
            for one in desk.newest(_NEWEST_REQUESTS)
            if one.tasking.kind == "live_view" and one.tasking.time_ns > since_ns
        ]
        return LookList(items=[words.view(one) for one in picture.looks()], live=live)

    @app.get(
        "/api/v1/platforms/{platform_id}/look",
        response_class=Response,
        responses={**_NOT_FOUND, **_IMAGE},
        tags=["looks"],
    )
    @needs(Permission.SEE_DETAILS)
    def look(
        platform_id: str,
        sensor_id: Sensor = None,
        if_none_match: Annotated[str | None, Header(max_length=200)] = None,
    ) -> Response:
        """The image of the latest look; `Skywarden-Frame` says which frame it is."""
        latest = found(platform_id, sensor_id).look
        headers = {
            "Cache-Control": _ASK_FIRST,
            "Vary": "Cookie, Authorization",
            "ETag": f'"{hashlib.sha256(latest.data).hexdigest()[:32]}"',
            "Skywarden-Frame": f"{latest.sortie_id}/{latest.frame_number}",
        }
        if if_none_match == headers["ETag"]:
            return Response(status_code=304, headers=headers)
        return Response(latest.data, media_type=latest.media_type, headers=headers)

    @app.get(
        "/api/v1/platforms/{platform_id}/look/overlay",
        response_model=LookView,
        responses={**_NOT_FOUND},
        tags=["looks"],
    )
    @needs(Permission.SEE_CONTACTS)
    def overlay(platform_id: str, sensor_id: Sensor = None) -> LookView:
        """What is to be drawn over the image of the latest look."""
        return words.view(found(platform_id, sensor_id))
