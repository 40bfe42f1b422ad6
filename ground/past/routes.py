"""The past over the API: /api/v1/past, /api/v1/past/span, /api/v1/coverage."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated

from fastapi import FastAPI, Query

from ground.accounts.roles import Permission
from ground.ais.watch import AisWatch
from ground.http.gate import needs
from ground.http.questions import WantedBox, parse_bbox, parse_time
from ground.past.coverage import BBox, Coverage, CoverageGrid
from ground.past.notes import METRES_PER_DEG, NotedFootprint, NotedPose
from ground.past.store import PastStore
from ground.past.views import (
    CoverageView,
    PastExtentView,
    PastFootprintView,
    PastPlatformView,
    PastSpanView,
    PastTrackView,
    PastVesselView,
)
from ground.review.desk import ReviewDesk
from ground.review.entries import State
from ground.store.reading import Filter, StoredSighting, StoreReader
from skywarden.ais.reports import PositionReport
from skywarden.clock import Clock
from skywarden.errors import InputError
from skywarden.times import rfc3339

MAX_SPAN_S = 3_600.0
MAX_POSES = 20_000
MAX_FOOTPRINTS = 4_000
MAX_LOOKS = 5_000
MAX_REPORTS = 20_000
MAX_COVERED = 20_000
CELLS = 40_000
"""How many cells a box has where nobody says how large they are."""

_Time = Annotated[str, Query(max_length=40, description="RFC 3339, such as 2026-11-21T18:00:00Z")]
_MaybeTime = Annotated[str | None, Query(max_length=40, description="RFC 3339")]
_Name = Annotated[str | None, Query(max_length=140)]


def add_past_routes(
    app: FastAPI, past: PastStore, store: StoreReader, ais: AisWatch, review: ReviewDesk, clock: Clock
) -> None:
    """All routes of this module."""
    _add_past(app, past, store, ais, review, clock)
    _add_coverage(app, past, clock)


def _add_past(
    app: FastAPI, past: PastStore, store: StoreReader, ais: AisWatch, review: ReviewDesk, clock: Clock
) -> None:
    @app.get("/api/v1/past", response_model=PastExtentView, tags=["picture"])
    @needs(Permission.SEE_CONTACTS)
    def extent(
        since: _MaybeTime = None,
        until: _MaybeTime = None,
        bins: Annotated[int, Query(ge=1, le=500)] = 120,
    ) -> PastExtentView:
        """From when to when there is a past, and where in a span anything moved."""
        now_ns = clock.utc_ns()
        span = _extent(past, store)
        activity: list[int] = []
        if since is not None:
            since_ns, until_ns = _span(since, until, now_ns)
            activity = past.activity(since_ns, until_ns, bins)
        return PastExtentView(
            first=rfc3339(span[0]) if span else None,
            last=rfc3339(span[1]) if span else None,
            now=rfc3339(now_ns),
            activity=activity,
        )

    @app.get("/api/v1/past/span", response_model=PastSpanView, tags=["picture"])
    @needs(Permission.SEE_CONTACTS)
    def span_of(since: _Time, until: _Time, bbox: WantedBox = None) -> PastSpanView:
        """Platforms, looks and vessels of at most an hour, to be played."""
        since_ns, until_ns = _span(since, until, clock.utc_ns())
        if until_ns - since_ns > MAX_SPAN_S * 1e9:
            raise InputError(
                f"{(until_ns - since_ns) / 1e9:.0f} s at once; ask for {MAX_SPAN_S:.0f} s or less"
            )
        box = parse_bbox(bbox) if bbox is not None else None
        poses = past.poses(since_ns, until_ns, MAX_POSES)
        rings = past.footprints(since_ns, until_ns, MAX_FOOTPRINTS)
        looks, matched = store.sightings(
            Filter(bbox=box, since_ns=since_ns, until_ns=until_ns, limit=MAX_LOOKS)
        )
        reports = ais.reports(since_ns, until_ns, MAX_REPORTS)
        is_cut = (
            len(poses) >= MAX_POSES
            or len(rings) >= MAX_FOOTPRINTS
            or len(reports) >= MAX_REPORTS
            or matched > len(looks)
        )
        names = ais.names() if reports else {}
        return PastSpanView(
            since=rfc3339(since_ns),
            until=rfc3339(until_ns),
            platforms=platforms_of(poses, box),
            footprints=footprints_of(rings, box),
            tracks=tracks_of(looks, review.steps_of),
            vessels=vessels_of(reports, names, box),
            is_cut=is_cut,
        )


def _add_coverage(app: FastAPI, past: PastStore, clock: Clock) -> None:
    @app.get("/api/v1/coverage", response_model=CoverageView, tags=["picture"])
    @needs(Permission.SEE_PICTURE)
    def coverage(
        bbox: Annotated[str, Query(max_length=100, description="west,south,east,north")],
        since: _MaybeTime = None,
        until: _MaybeTime = None,
        platform_id: _Name = None,
        sortie_id: _Name = None,
        cell_m: Annotated[float | None, Query(ge=1.0, le=100_000.0)] = None,
    ) -> CoverageView:
        """Where cameras have looked, when last and how sharply; the day until now when no time is given."""
        box = parse_bbox(bbox)
        until_ns = parse_time(until) if until is not None else clock.utc_ns()
        since_ns = parse_time(since) if since is not None else until_ns - 86_400_000_000_000
        if since_ns >= until_ns:
            raise InputError(f"nothing lies between {since} and {until or 'now'}")
        size_m = cell_m if cell_m is not None else cell_for(box)
        grid = CoverageGrid(box, size_m)
        found = past.footprints(
            since_ns,
            until_ns,
            MAX_COVERED,
            latitudes=(box[1], box[3]),
            platform_id=platform_id,
            sortie_id=sortie_id,
        )
        grid.add(found)
        return view_coverage(grid.seen(), found, is_cut=len(found) >= MAX_COVERED)


def cell_for(box: BBox) -> float:
    """Metres of a cell of which a box holds about 40,000; never below 2 m."""
    west, south, east, north = box
    width = (east - west) % 360.0 or 360.0
    height_m = (north - south) * METRES_PER_DEG
    width_m = width * METRES_PER_DEG * max(0.01, math.cos(math.radians((south + north) / 2)))
    return max(2.0, math.sqrt(max(1.0, width_m * height_m) / CELLS))


def view_coverage(seen: Coverage, footprints: Sequence[NotedFootprint], *, is_cut: bool) -> CoverageView:
    """A coverage as columns."""
    return CoverageView(
        west=seen.west,
        south=seen.south,
        step_lon_deg=seen.step_lon_deg,
        step_lat_deg=seen.step_lat_deg,
        cell_m=round(seen.step_lat_deg * METRES_PER_DEG, 2),
        column=seen.column.tolist(),
        row=seen.row.tolist(),
        last_s=(seen.last_ns // 1_000_000_000).tolist(),
        gsd_m=[None if math.isnan(one) else round(one, 4) for one in seen.gsd_m.tolist()],
        looks=seen.looks.tolist(),
        footprints=len(footprints),
        first=rfc3339(footprints[0].time_ns) if footprints else None,
        last=rfc3339(footprints[-1].time_ns) if footprints else None,
        is_cut=is_cut,
    )


def platforms_of(poses: Iterable[NotedPose], box: BBox | None) -> list[PastPlatformView]:
    """Poses by platform."""
    found: dict[str, list[NotedPose]] = defaultdict(list)
    for one in poses:
        if _holds(box, one.longitude_deg, one.latitude_deg):
            found[one.platform_id].append(one)
    return [
        PastPlatformView(
            platform_id=name,
            time_s=[one.time_ns / 1e9 for one in of],
            at=[(one.longitude_deg, one.latitude_deg) for one in of],
            heading_deg=[one.heading_deg for one in of],
        )
        for name, of in sorted(found.items())
    ]


def footprints_of(rings: Iterable[NotedFootprint], box: BBox | None) -> list[PastFootprintView]:
    """Footprints any corner of which lies in the box, oldest first."""
    return [
        PastFootprintView(
            platform_id=one.platform_id,
            time_s=one.time_ns / 1e9,
            ring=[(longitude, latitude) for latitude, longitude in (*one.ring, one.ring[0])],
        )
        for one in rings
        if any(_holds(box, longitude, latitude) for latitude, longitude in one.ring)
    ]


def tracks_of(
    looks: Iterable[StoredSighting], steps_of: Callable[[str], Sequence[tuple[int, State]]]
) -> list[PastTrackView]:
    """Looks that have a place, by track, oldest first; `steps_of`: when people said what of a track."""
    found: dict[str, list[StoredSighting]] = defaultdict(list)
    for one in looks:
        if one.sighting.position is not None:
            found[one.sighting.track_id].append(one)
    views = []
    for track_id, of in sorted(found.items()):
        of.sort(key=lambda one: one.sighting.time_ns)
        places = [one.sighting.position for one in of if one.sighting.position is not None]
        steps = steps_of(track_id)
        views.append(
            PastTrackView(
                track_id=track_id,
                contact_id=of[-1].contact_id,
                platform_id=of[-1].sighting.platform_id,
                label=of[-1].sighting.label,
                time_s=[one.sighting.time_ns / 1e9 for one in of],
                at=[(one.longitude_deg, one.latitude_deg) for one in places],
                ce90_m=[round(one.ce90_m, 2) for one in places],
                review_s=[time_ns / 1e9 for time_ns, _ in steps],
                review=[state for _, state in steps],
            )
        )
    return views


def vessels_of(
    reports: Iterable[PositionReport], names: dict[str, str | None], box: BBox | None
) -> list[PastVesselView]:
    """Reports by vessel."""
    found: dict[str, list[PositionReport]] = defaultdict(list)
    for one in reports:
        if _holds(box, one.longitude_deg, one.latitude_deg):
            found[one.mmsi].append(one)
    return [
        PastVesselView(
            mmsi=mmsi,
            name=names.get(mmsi),
            time_s=[one.time_ns / 1e9 for one in of],
            at=[(one.longitude_deg, one.latitude_deg) for one in of],
            course_deg=[one.cog_deg for one in of],
        )
        for mmsi, of in sorted(found.items())
    ]


def _holds(box: BBox | None, longitude: float, latitude: float) -> bool:
    if box is None:
        return True
    west, south, east, north = box
    inside = west <= longitude <= east if west <= east else longitude >= west or longitude <= east
    return inside and south <= latitude <= north


def _span(since: str, until: str | None, now_ns: int) -> tuple[int, int]:
    since_ns, until_ns = parse_time(since), parse_time(until) if until is not None else now_ns
    if since_ns >= until_ns:
        raise InputError(f"nothing lies between {since} and {until or 'now'}")
    return since_ns, until_ns


def _extent(past: PastStore, store: StoreReader) -> tuple[int, int] | None:
    """Of poses and of contacts together; platforms of before this memory have contacts only."""
    seen = store.tracks_seen()
    spans = [(one.first_ns, one.last_ns) for one in seen]
    if (span := past.span()) is not None:
        spans.append(span)
    return (min(one[0] for one in spans), max(one[1] for one in spans)) if spans else None
