"""What the station knows, as events: contacts, tracks, plots, platforms, vessels on AIS; and "gone".

**ce and le.** The schema's comment calls `ce` a one-sigma figure; the TAK clients, which are what people
read it with, show `ce` and `le` as 90 % errors. Ours are CE90 and LE90: a reader who takes them for one
sigma is only more careful. A position's covariance goes along unchanged, in an element of our own that
others skip.

Nobody's affiliation is guessed: it stays `u`, unknown, but for the agency's own platforms. What no person has
confirmed says so in callsign and remarks. Exercises are written as simulated (`how="m-s"`, `opex="e"`).
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import shapely
from shapely.geometry import Polygon

from ground.ais.book import Vessel
from ground.exercise.mark import EXERCISE
from ground.fusion.contact import Contact
from ground.fusion.labels import VESSEL_LABELS
from ground.picture.live import PlatformState
from ground.review.entries import State
from ground.tak.event import CotEvent, CotPoint, Detail
from skywarden.clock import NS_PER_S
from skywarden.geometry.geodesy import enu_from_geodetic
from skywarden.messages import Plot, Position, Track
from skywarden.times import rfc3339

VALID_S = {"vessel": 600, "plot": 30 * 86_400}
"""How long an event holds after it was last true; anything else as long as a vessel."""

PLATFORM_VALID_S = 30
EXERCISE_UID = "exercise."
"""Begins the uid of whatever the station of an exercise tells."""
MAX_OUTLINE = 100
"""Vertices of a plot's outline: a datagram should stay one."""

_ACCENT = {"confirmed": "-256", "unreviewed": "-1", "more": "-1", "rejected": "-1"}
"""Colour of outlines as a signed ARGB number: yellow, white."""
_SHIP_TYPES = {
    30: "F", 31: "M", 32: "M", 36: "R", 37: "R", 50: "M", 51: "M", 52: "M", 55: "L",
}  # fmt: skip
_SHIP_TENS = {4: "M-P", 6: "M-P", 7: "M-C", 8: "M-O"}


def contact_event(contact: Contact, review: State, *, time_ns: int | None = None) -> CotEvent | None:
    """One contact; `None` without a position. `time_ns`: when it is said (else when it was last seen)."""
    if contact.position is None:
        return None
    exercise = "EXERCISE " if contact.is_exercise else ""
    seen_ns = contact.position_ns if contact.position_ns is not None else contact.last_ns
    speed, course = contact.speed_mps, contact.course_deg
    return CotEvent(
        uid=contact_uid(contact.contact_id),
        type=_type_of(contact.label),
        how="m-s" if contact.is_exercise else "m-f",
        opex="e" if contact.is_exercise else "",
        time_ns=time_ns if time_ns is not None else contact.last_ns,
        start_ns=contact.last_ns,
        stale_ns=contact.last_ns + valid_s(contact.label) * NS_PER_S,
        point=_point(contact.position),
        callsign=f"{exercise}{_mark(review)}{contact.label} {contact.contact_id[-6:]}",
        remarks=(
            f"{exercise}{review.upper()}: {contact.label}, score {contact.score:.2f}, "
            f"{contact.sighting_count} sightings by {', '.join(contact.platform_ids)}; "
            f"there at {_clock(seen_ns)}, 90 % within {contact.position.ce90_m:.0f} m"
        ),
        track=(course, speed) if speed is not None and course is not None else None,
        details=(_uncertainty(contact.position),),
    )


def track_event(track: Track, review: State, *, is_exercise: bool) -> CotEvent | None:
    """What one platform follows now; `None` without a position."""
    if track.position is None:
        return None
    exercise = "EXERCISE " if is_exercise else ""
    course, speed = track.course_deg, track.speed_mps
    return CotEvent(
        uid=f"skywarden.track.{track.track_id}",
        type=_type_of(track.label),
        how="m-s" if is_exercise else "m-f",
        opex="e" if is_exercise else "",
        time_ns=track.time_ns,
        start_ns=track.time_ns,
        stale_ns=track.time_ns + 60 * NS_PER_S,
        point=_point(track.position),
        callsign=f"{exercise}{_mark(review)}{track.label} track {track.track_id[-6:]}",
        remarks=(
            f"{exercise}{review.upper()}: a track of {track.platform_id}, {track.status}, {track.look_count} "
            f"looks, score {track.score:.2f}"
        ),
        track=(course, speed) if course is not None and speed is not None else None,
        details=(_uncertainty(track.position),),
    )


def plot_event(plot: Plot, review: State) -> CotEvent:
    """A plot as a free-form outline (`u-d-f`), its middle as the point.

    TAK's outlines have no holes and are read point by point: holes are told in the remarks, and an outline of
    more than `MAX_OUTLINE` vertices is simplified, which the remarks tell too.
    """
    exercise = "EXERCISE " if plot.is_exercise else ""
    outline, moved_m = _outline(plot)
    area, low, high = plot.area_m2
    notes = [f"{area:.0f} m2 ({low:.0f} to {high:.0f})" + ("" if plot.is_complete else ", seen in part only")]
    if len(plot.rings_deg) > 1:
        notes.append(f"{len(plot.rings_deg) - 1} holes are not drawn")
    if moved_m > 0.0:
        notes.append(f"outline simplified by up to {moved_m:.1f} m")
    colour = _ACCENT[review]
    return CotEvent(
        uid=plot_uid(plot.plot_id),
        type="u-d-f",
        how="m-s" if plot.is_exercise else "m-f",
        opex="e" if plot.is_exercise else "",
        time_ns=plot.time_ns,
        start_ns=plot.time_ns,
        stale_ns=plot.time_ns + VALID_S["plot"] * NS_PER_S,
        point=_point(plot.position),
        callsign=f"{exercise}{_mark(review)}{plot.label} {plot.plot_id[-6:]}",
        remarks=f"{exercise}{review.upper()}: {plot.label}, score {plot.score:.2f}; {'; '.join(notes)}",
        details=(
            *(Detail(tag="link", attributes=(("point", f"{lat:.7f},{lon:.7f}"),)) for lat, lon in outline),
            Detail(tag="strokeColor", attributes=(("value", colour),)),
            Detail(tag="strokeWeight", attributes=(("value", "3.0"),)),
            Detail(tag="labels_on", attributes=(("value", "true"),)),
            _uncertainty(plot.position),
        ),
    )


def contact_uid(contact_id: str) -> str:
    """What TAK knows a contact by."""
    return f"skywarden.{contact_id}"


def plot_uid(plot_id: str) -> str:
    """What TAK knows a plot by."""
    return f"skywarden.plot.{plot_id}"


def platform_events(state: PlatformState, kind: str, *, is_exercise: bool) -> list[CotEvent]:
    """An own platform, and the point that its camera looks at; nothing while its place is not known."""
    pose = state.pose
    if pose is None or pose.latitude_deg is None or pose.longitude_deg is None:
        return []
    exercise = "EXERCISE " if is_exercise else ""
    how, opex = ("m-s", "e") if is_exercise else ("m-g", "")
    course = pose.course_deg if pose.course_deg is not None else pose.heading_deg
    platform = CotEvent(
        uid=f"skywarden.platform.{state.platform_id}",
        type=kind,
        how=how,
        opex=opex,
        time_ns=pose.time_ns,
        start_ns=pose.time_ns,
        stale_ns=pose.time_ns + PLATFORM_VALID_S * NS_PER_S,
        point=CotPoint(
            latitude_deg=pose.latitude_deg, longitude_deg=pose.longitude_deg, alt_hae_m=pose.alt_hae_m
        ),
        callsign=f"{exercise}{state.platform_id}",
        remarks=f"{exercise}sortie {pose.sortie_id}",
        track=(course % 360.0, pose.speed_mps) if course is not None and pose.speed_mps is not None else None,
    )
    frame = state.frame
    if frame is None or frame.frame_centre is None or pose.alt_hae_m is None:
        return [platform]
    latitude, longitude = frame.frame_centre
    looks = CotEvent(
        uid=f"skywarden.looks.{state.platform_id}",
        type="b-m-p-s-p-i",
        how=how,
        opex=opex,
        time_ns=frame.time_ns,
        start_ns=frame.time_ns,
        stale_ns=frame.time_ns + PLATFORM_VALID_S * NS_PER_S,
        point=CotPoint(latitude_deg=latitude, longitude_deg=longitude),
        callsign=f"{exercise}{state.platform_id} looks here",
        details=(_link(platform.uid, kind, "p-p"),),
    )
    here = (pose.latitude_deg, pose.longitude_deg, pose.alt_hae_m)
    return [replace(platform, details=(_sensor(here, frame.footprint, frame.frame_centre),)), looks]


def vessel_event(vessel: Vessel) -> CotEvent | None:
    """A vessel on AIS as it tells its place; `None` before it told one."""
    place = vessel.position
    if place is None:
        return None
    course, speed = place.cog_deg, place.sog_mps
    return CotEvent(
        uid=f"MMSI-{vessel.mmsi}",
        type="-".join(("a-u-S-X", *_ship(vessel.ship_type))),
        how="m-r",
        time_ns=place.time_ns,
        start_ns=place.time_ns,
        stale_ns=place.time_ns + VALID_S["vessel"] * NS_PER_S,
        point=CotPoint(latitude_deg=place.latitude_deg, longitude_deg=place.longitude_deg),
        callsign=vessel.name or f"MMSI {vessel.mmsi}",
        remarks=f"AIS as received, not checked: MMSI {vessel.mmsi}"
        + (f", call sign {vessel.callsign}" if vessel.callsign else "")
        + (f", IMO {vessel.imo}" if vessel.imo else ""),
        track=(course, speed) if course is not None and speed is not None else None,
    )


def as_exercise(event: CotEvent) -> CotEvent:
    """Any event as an exercise says it: simulated, the word in callsign and remarks, and a uid of its own.

    With the uid of something real (an MMSI) it would move that on the maps of others, or take it off.
    """
    if event.uid.startswith(EXERCISE_UID):
        return event
    callsign = event.callsign.removeprefix("EXERCISE ")
    return replace(
        event,
        uid=EXERCISE_UID + event.uid,
        how="m-s",
        opex="e",
        callsign=f"EXERCISE {callsign}",
        remarks=EXERCISE.title(event.remarks or "nothing in here is real"),
        details=tuple(_of_exercise(one) for one in event.details),
    )


def _of_exercise(detail: Detail) -> Detail:
    named = tuple(
        (name, EXERCISE_UID + value if name == "uid" and detail.tag == "link" else value)
        for name, value in detail.attributes
    )
    return replace(detail, attributes=named, children=tuple(_of_exercise(one) for one in detail.children))


def gone_event(uid: str, kind: str, point: CotPoint, time_ns: int) -> CotEvent:
    """Tells TAK clients to take `uid` off the map."""
    is_exercise = uid.startswith(EXERCISE_UID)
    return CotEvent(
        uid=f"{uid}.gone",
        type="t-x-d-d",
        how="m-s" if is_exercise else "m-f",
        opex="e" if is_exercise else "",
        remarks="EXERCISE: no longer there" if is_exercise else "",
        time_ns=time_ns,
        start_ns=time_ns,
        stale_ns=time_ns + 60 * NS_PER_S,
        point=point,
        details=(_link(uid, kind, "none"), Detail(tag="__forcedelete")),
    )


def valid_s(label: str) -> int:
    """How long after it was last seen a contact's event holds."""
    return VALID_S.get(label, VALID_S["vessel"])


def exercise_event(name: str, place: tuple[float, float], time_ns: int) -> CotEvent:
    """A marker that says of itself that it is a test, good for two minutes."""
    return CotEvent(
        uid=f"skywarden.test.{name}",
        type="a-u-G",
        how="m-s",
        opex="e",
        time_ns=time_ns,
        start_ns=time_ns,
        stale_ns=time_ns + 120 * NS_PER_S,
        point=CotPoint(latitude_deg=place[0], longitude_deg=place[1]),
        callsign="EXERCISE skywarden test",
        remarks="EXERCISE: a test of the connection from a skywarden station; nothing is there",
    )


def _type_of(label: str) -> str:
    return "a-u-S-X" if label in VESSEL_LABELS else "a-u-G"


def _mark(review: State) -> str:
    return "" if review == "confirmed" else "UNREVIEWED "


def _clock(time_ns: int) -> str:
    return f"{rfc3339(time_ns)[:19]}Z"


def _point(position: Position) -> CotPoint:
    return CotPoint(
        latitude_deg=position.latitude_deg,
        longitude_deg=position.longitude_deg,
        alt_hae_m=position.alt_hae_m,
        ce_m=position.ce90_m,
        le_m=position.le90_m,
    )


def _uncertainty(position: Position) -> Detail:
    covariance = " ".join(repr(float(each)) for each in position.covariance_enu_m2)
    return Detail(
        tag="_skywarden_position",
        attributes=(("covariance_enu_m2", covariance), ("surface", position.surface)),
    )


def _link(uid: str, kind: str, relation: str) -> Detail:
    return Detail(tag="link", attributes=(("uid", uid), ("type", kind), ("relation", relation)))


def _ship(ship_type: int | None) -> tuple[str, ...]:
    if ship_type is None:
        return ()
    found = _SHIP_TYPES.get(ship_type) or _SHIP_TENS.get(ship_type // 10)
    return (found,) if found else ()


def _sensor(
    here: tuple[float, float, float], footprint: Sequence[tuple[float, float]], centre: tuple[float, float]
) -> Detail:
    """Which way the camera looks, how far along the ground and how wide, from its frame on the ground."""
    azimuth, range_m = _direction(here, centre)
    attributes = [("azimuth", f"{azimuth:.1f}"), ("range", f"{range_m:.0f}")]
    sides = [(_direction(here, corner)[0] - azimuth + 180.0) % 360.0 - 180.0 for corner in footprint]
    if sides and max(sides) - min(sides) < 170.0:
        attributes.append(("fov", f"{max(max(sides) - min(sides), 1.0):.1f}"))
    return Detail(tag="sensor", attributes=(*attributes, ("type", "r-e"), ("version", "0.6")))


def _direction(here: tuple[float, float, float], there: tuple[float, float]) -> tuple[float, float]:
    """True azimuth in degrees and level distance in metres."""
    east, north, _ = (float(one) for one in enu_from_geodetic((*there, here[2]), *here))
    return math.degrees(math.atan2(east, north)) % 360.0, math.hypot(east, north)


def _outline(plot: Plot) -> tuple[list[tuple[float, float]], float]:
    """Latitudes and longitudes of the closed outer ring, and by how many metres it was simplified at most."""
    ring = plot.rings_deg[0]
    step_m, moved_m = 0.5, 0.0
    points = [(float(lat), float(lon)) for lat, lon in ring]
    middle = points[0]
    east_m = 111_320.0 * max(0.01, math.cos(math.radians(middle[0])))
    flat = Polygon([((lon - middle[1]) * east_m, (lat - middle[0]) * 111_320.0) for lat, lon in points])
    while len(points) > MAX_OUTLINE:
        simpler = shapely.simplify(flat, step_m, preserve_topology=True)
        points = [
            (middle[0] + north / 111_320.0, middle[1] + east / east_m)
            for east, north in list(simpler.exterior.coords)[:-1]
        ]
        moved_m, step_m = step_m, step_m * 1.6
    return [*points, points[0]], moved_m
