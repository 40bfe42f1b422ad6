"""What is heard on AIS, and what it says about contacts: the routes below /api/v1/ais and
.../contacts/ID/ais.
"""

import hashlib
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Header, HTTPException, Query, Response

from ground.accounts.roles import Permission
from ground.ais.behaviour import Flag
from ground.ais.board import VerdictBoard, contacts_beside
from ground.ais.book import Vessel
from ground.ais.identity import type_name
from ground.ais.verdict import Candidate, Verdict, Word
from ground.ais.watch import AisWatch
from ground.http.gate import needs
from ground.http.questions import parse_bbox, parse_time
from ground.http.views import ErrorView, LonLat, View
from ground.store.reading import Filter, StoreReader
from skywarden.ais.reports import PositionReport
from skywarden.clock import Clock
from skywarden.times import rfc3339

_NOT_FOUND: Mapping[int | str, dict[str, Any]] = {
    404: {"model": ErrorView, "description": "There is no such vessel or contact."}
}
_TAGGED: Mapping[int | str, dict[str, Any]] = {304: {"description": "Nothing has changed since this ETag."}}


class AisPositionView(View):
    """Where a vessel says it is; `null` is not told."""

    time: str
    latitude_deg: float
    longitude_deg: float
    speed_mps: float | None
    course_deg: float | None
    heading_deg: float | None
    is_accurate: bool


class AisFlagView(View):
    """Something that stands out, with its numbers; a fact, not an accusation."""

    kind: Literal["loitering", "rendezvous", "too_fast", "gap", "shoreward_at_night", "identity"]
    since: str
    until: str
    text: str
    values: dict[str, float]
    other_mmsi: str | None


class AisVesselView(View):
    """A vessel as AIS tells it; `station` is the class of its set: A, B, base, aid, aircraft, long_range."""

    mmsi: str
    station: Literal["A", "B", "base", "aid", "aircraft", "long_range"]
    name: str | None
    callsign: str | None
    imo: int | None
    type: str | None
    length_m: float | None
    beam_m: float | None
    draught_m: float | None
    destination: str | None
    first_heard: str
    last_heard: str
    position: AisPositionView | None
    doubts: list[str]
    flags: list[AisFlagView]


class AisTrackView(View):
    """Places of one transmitter, oldest first: [lon, lat] with the time of each."""

    number: int
    places: list[LonLat]
    times: list[str]


class AisVesselDetailView(AisVesselView):
    """A vessel with its history; two tracks are two transmitters that use one number, or a jump."""

    tracks: list[AisTrackView]


class AisVesselList(View):
    """Vessels, the last heard first."""

    items: list[AisVesselView]
    number_matched: int
    number_returned: int


class AisSourceView(View):
    """A receiver or feed, and what came of its lines."""

    name: str
    connection: str
    format: Literal["nmea", "mavlink"]
    is_open: bool
    fault: str | None
    last_heard: str | None
    bytes: int
    lines: int
    messages: int
    illegal: int
    other: int
    damaged: int
    reports: int


class AisStatusView(View):
    """The AIS side of the station."""

    sources: list[AisSourceView]
    counts: dict[str, int]


class AisCandidateView(View):
    """A vessel on AIS that the contact may be, and how it fits."""

    mmsi: str
    name: str | None
    type: str | None
    probability: float
    distance_m: float
    bearing_deg: float
    sigmas: float
    ais_sigma_m: float
    age_s: float
    quiet_s: float
    latitude_deg: float
    longitude_deg: float
    speed_difference_mps: float | None
    length_m: float | None
    doubts: list[str]


class AisReasonView(View):
    """One line of the card."""

    kind: str
    text: str
    values: dict[str, float]


class AisVerdictView(View):
    """What AIS says about a contact: five probabilities that sum to one, and a word.

    "silent": no AIS heard for this vessel, and our receiver would have heard it. "unheard": our receiver
    could not have heard it. "doubtful": its identity or position on AIS is not to be taken as it is said.
    """

    contact_id: str
    time: str
    verdict: Literal["matched", "silent", "doubtful", "unheard", "undecided"]
    probabilities: dict[Literal["matched", "silent", "doubtful", "unheard", "undecided"], float]
    mmsi: str | None
    candidates: list[AisCandidateView]
    reasons: list[AisReasonView]


class AisStandingView(View):
    """The verdict on one contact in short; `probability` is that of the word."""

    contact_id: str
    verdict: Literal["matched", "silent", "doubtful", "unheard", "undecided"]
    probability: float
    mmsi: str | None


class AisStandingList(View):
    """Contacts that may be vessels, the last seen first; `pending` are not judged anew yet: ask again."""

    items: list[AisStandingView]
    pending: int


def add_ais_routes(app: FastAPI, watch: AisWatch, store: StoreReader, clock: Clock) -> None:
    """The routes of AIS."""
    _add_vessel_routes(app, watch)
    _add_standings(app, VerdictBoard(watch, store, clock), store)

    @app.get("/api/v1/ais/status", response_model=AisStatusView, tags=["ais"])
    @needs(Permission.SEE_PICTURE)
    def status() -> AisStatusView:
        """Sources of AIS, and how much was heard."""
        sources, counts = watch.status()
        return AisStatusView(
            sources=[
                AisSourceView(
                    name=one.name,
                    connection=one.connection,
                    format="mavlink" if one.format == "mavlink" else "nmea",
                    is_open=one.is_open,
                    fault=one.fault,
                    last_heard=rfc3339(one.heard_ns) if one.heard_ns is not None else None,
                    bytes=one.bytes,
                    lines=one.lines,
                    messages=one.whole,
                    illegal=one.illegal,
                    other=one.other,
                    damaged=one.damaged,
                    reports=one.reports,
                )
                for one in sources
            ],
            counts=counts,
        )

    @app.get(
        "/api/v1/contacts/{contact_id}/ais",
        response_model=AisVerdictView,
        responses={**_NOT_FOUND},
        tags=["ais"],
    )
    @needs(Permission.SEE_CONTACTS)
    def verdict(contact_id: str) -> AisVerdictView:
        """What AIS says about a contact at its last look, why, and which vessels were looked at."""
        found = store.contact(contact_id)
        if found is None:
            raise HTTPException(404, "there is no such contact; it may have been joined with another")
        return view_verdict(watch.verdict(found.contact, contacts_beside(store, found.contact)))


def _add_standings(app: FastAPI, board: VerdictBoard, store: StoreReader) -> None:
    @app.get("/api/v1/ais/verdicts", response_model=AisStandingList, responses={**_TAGGED}, tags=["ais"])
    @needs(Permission.SEE_CONTACTS)
    def standings(
        bbox: Annotated[str | None, Query(max_length=100, description="west,south,east,north")] = None,
        limit: Annotated[int, Query(ge=1, le=5_000)] = 1_000,
        offset: Annotated[int, Query(ge=0, le=10_000_000)] = 0,
        if_none_match: Annotated[str | None, Header(max_length=200)] = None,
    ) -> Response:
        """What AIS says about the contacts last seen, in a word each. A call judges for half a second."""
        box = parse_bbox(bbox) if bbox is not None else None
        found, _ = store.contacts(Filter(bbox=box, limit=limit, offset=offset))
        items, pending = board.standings(found)
        return _tagged(
            AisStandingList(
                items=[
                    AisStandingView(
                        contact_id=one.contact_id,
                        verdict=one.word,
                        probability=round(one.probability, 3),
                        mmsi=one.mmsi,
                    )
                    for one in items
                ],
                pending=pending,
            ),
            if_none_match,
        )


def _tagged(answer: View, if_none_match: str | None) -> Response:
    """The answer as JSON, or 304 when the asker has this very one."""
    body = answer.model_dump_json().encode()
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache", "Vary": "Cookie, Authorization"}
    if if_none_match == tag:
        return Response(status_code=304, headers=headers)
    return Response(body, media_type="application/json", headers=headers)


def _add_vessel_routes(app: FastAPI, watch: AisWatch) -> None:
    @app.get("/api/v1/ais/vessels", response_model=AisVesselList, responses={**_TAGGED}, tags=["ais"])
    @needs(Permission.SEE_PICTURE)
    def vessels(
        bbox: Annotated[str | None, Query(max_length=100, description="west,south,east,north")] = None,
        since: Annotated[str | None, Query(max_length=40, description="RFC 3339")] = None,
        limit: Annotated[int, Query(ge=1, le=5_000)] = 1_000,
        offset: Annotated[int, Query(ge=0, le=10_000_000)] = 0,
        if_none_match: Annotated[str | None, Header(max_length=200)] = None,
    ) -> Response:
        """Vessels that were heard, the last heard first, each with what stands out about it."""
        found, matched = watch.vessels(
            parse_bbox(bbox) if bbox is not None else None,
            parse_time(since) if since is not None else None,
            limit,
            offset,
        )
        flags = watch.flags(found)
        return _tagged(
            AisVesselList(
                items=[AisVesselView(**_vessel(one, flags[one.mmsi])) for one in found],
                number_matched=matched,
                number_returned=len(found),
            ),
            if_none_match,
        )

    @app.get(
        "/api/v1/ais/vessels/{mmsi}",
        response_model=AisVesselDetailView,
        responses={**_NOT_FOUND},
        tags=["ais"],
    )
    @needs(Permission.SEE_PICTURE)
    def vessel(mmsi: str) -> AisVesselDetailView:
        """One vessel with where it was."""
        found = watch.vessel(mmsi)
        if found is None:
            raise HTTPException(404, "no vessel with that number was heard lately")
        tracks = [
            AisTrackView(
                number=track.number,
                places=[(one.longitude_deg, one.latitude_deg) for one in track.all_reports()],
                times=[rfc3339(one.time_ns) for one in track.all_reports()],
            )
            for track in sorted(found[0].tracks, key=lambda track: track.number)
        ]
        return AisVesselDetailView(**_vessel(*found), tracks=tracks)


def _vessel(vessel: Vessel, flags: list[Flag]) -> dict[str, Any]:
    hull, position = vessel.hull_m, vessel.position
    return {
        "mmsi": vessel.mmsi,
        "station": vessel.kind,
        "name": vessel.name,
        "callsign": vessel.callsign,
        "imo": vessel.imo,
        "type": type_name(vessel.ship_type),
        "length_m": vessel.length_m,
        "beam_m": float(hull[2] + hull[3]) if hull is not None else None,
        "draught_m": vessel.draught_m,
        "destination": vessel.destination,
        "first_heard": rfc3339(vessel.first_ns),
        "last_heard": rfc3339(vessel.last_ns),
        "position": _position(position) if position is not None else None,
        "doubts": [one.text for one in vessel.doubts(vessel.last_ns)],
        "flags": [_flag(one) for one in flags],
    }


def _position(report: PositionReport) -> AisPositionView:
    return AisPositionView(
        time=rfc3339(report.time_ns),
        latitude_deg=report.latitude_deg,
        longitude_deg=report.longitude_deg,
        speed_mps=report.sog_mps,
        course_deg=report.cog_deg,
        heading_deg=report.heading_deg,
        is_accurate=report.is_accurate,
    )


def _flag(flag: Flag) -> AisFlagView:
    return AisFlagView(
        kind=flag.kind,
        since=rfc3339(flag.since_ns),
        until=rfc3339(flag.until_ns),
        text=flag.text,
        values=dict(flag.values),
        other_mmsi=flag.other_mmsi,
    )


def view_verdict(verdict: Verdict) -> AisVerdictView:
    """A verdict as the API shows it."""
    words: tuple[Word, ...] = ("matched", "silent", "doubtful", "unheard", "undecided")
    return AisVerdictView(
        contact_id=verdict.contact_id,
        time=rfc3339(verdict.time_ns),
        verdict=verdict.word,
        probabilities={word: getattr(verdict, word) for word in words},
        mmsi=verdict.mmsi,
        candidates=[_candidate(one) for one in verdict.candidates],
        reasons=[
            AisReasonView(kind=one.kind, text=one.text, values=dict(one.values)) for one in verdict.reasons
        ],
    )


def _candidate(one: Candidate) -> AisCandidateView:
    return AisCandidateView(
        mmsi=one.mmsi,
        name=one.name,
        type=one.type,
        probability=one.probability,
        distance_m=one.distance_m,
        bearing_deg=one.bearing_deg,
        sigmas=one.sigmas,
        ais_sigma_m=one.ais_sigma_m,
        age_s=one.age_s,
        quiet_s=one.quiet_s,
        latitude_deg=one.latitude_deg,
        longitude_deg=one.longitude_deg,
        speed_difference_mps=one.speed_difference_mps,
        length_m=one.length_m,
        doubts=[doubt.text for doubt in one.doubts],
    )
