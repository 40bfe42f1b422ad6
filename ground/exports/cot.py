"""Contacts as a file of Cursor on Target events; the events themselves are made in `ground.tak`."""

import xml.etree.ElementTree as ET
from collections.abc import Iterable

from ground.exercise.mark import REAL, Mark
from ground.review.entries import State
from ground.store.reading import StoredContact
from ground.tak.event import as_xml
from ground.tak.things import as_exercise, contact_event
from skywarden.messages import Position


def cot_event(stored: StoredContact, *, review: State = "unreviewed") -> bytes | None:
    """One contact as a CoT 2.0 event in UTF-8, `None` for a contact without a position.

    What nobody confirmed says so in its callsign, which stands on every map. An exercise is written as
    simulated (`how="m-s"`), so that it can never pass for real.
    """
    event = contact_event(stored.contact, review)
    return as_xml(event) if event is not None else None


def cot_events(found: Iterable[tuple[StoredContact, State]], mark: Mark = REAL) -> bytes:
    """All contacts with a position and what people said of them, one event after the other, a line each."""
    made = (contact_event(stored.contact, state) for stored, state in found)
    events = (as_exercise(one) if mark.is_exercise else one for one in made if one is not None)
    return b"".join(as_xml(event) + b"\n" for event in events)


def read_position(event: bytes) -> Position:
    """The position of an event that skywarden wrote, covariance and all.

    Raises `ValueError` on anything else. Only for events of one's own: the parser sets no limits.
    """
    root = ET.fromstring(event)
    point, ours = root.find("point"), root.find("detail/_skywarden_position")
    if point is None or ours is None:
        raise ValueError("no point or no covariance of skywarden's in this event")
    ee, en, eu, nn, nu, uu = (float(each) for each in ours.get("covariance_enu_m2", "").split())
    return Position(
        latitude_deg=float(point.get("lat", "nan")),
        longitude_deg=float(point.get("lon", "nan")),
        alt_hae_m=float(point.get("hae", "nan")),
        covariance_enu_m2=(ee, en, eu, nn, nu, uu),
        ce90_m=float(point.get("ce", "nan")),
        le90_m=float(point.get("le", "nan")),
        surface=ours.get("surface", "level"),  # type: ignore[arg-type]  # as we wrote it
    )
