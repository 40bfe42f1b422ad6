"""Cursor on Target: contacts as events that TAK clients show.

By hand: the format is one XML element of a dozen attributes; the libraries bring a network client.

**ce and le.** The schema's comment calls `ce` a one-sigma figure; the TAK clients, which are what people read
it with, show `ce` and `le` as 90 % errors. Ours are CE90 and LE90: a reader who takes them for one sigma is
only more careful. The covariance itself goes along unchanged, in an element of our own that others skip.

Nobody's affiliation is guessed: it stays `u`, unknown. What no person has confirmed says so in its remarks.
"""

import xml.etree.ElementTree as ET
from collections.abc import Iterable

from ground.review.entries import State
from ground.store.reading import StoredContact
from skywarden.clock import NS_PER_S
from skywarden.messages import Position
from skywarden.times import rfc3339

UNKNOWN_ERROR = "9999999.0"
"""What CoT writes where an error is not known."""

STALE_S = {"vessel": 600, "plot": 30 * 86_400}
"""How long an event stays valid; anything else as long as a vessel."""

_TYPES = {"vessel": "a-u-S-X", "plot": "a-u-G"}


def cot_event(stored: StoredContact, *, review: State = "unreviewed") -> bytes | None:
    """One contact as a CoT 2.0 event in UTF-8, `None` for a contact without a position.

    What nobody confirmed says so in its callsign, which stands on every map. An exercise is written as
    simulated (`how="m-s"`), so that it can never pass for real.
    """
    contact = stored.contact
    if contact.position is None:
        return None
    root = ET.Element(
        "event",
        version="2.0",
        uid=f"skywarden.{contact.contact_id}",
        type=_TYPES.get(contact.label, "a-u-G"),
        how="m-s" if contact.is_exercise else "m-f",
        time=rfc3339(contact.last_ns),
        start=rfc3339(contact.last_ns),
        stale=rfc3339(contact.last_ns + STALE_S.get(contact.label, 600) * NS_PER_S),
    )
    _add_point(root, contact.position)
    detail = ET.SubElement(root, "detail")
    prefix = "EXERCISE " if contact.is_exercise else ""
    mark = "" if review == "confirmed" else "UNREVIEWED "
    ET.SubElement(
        detail, "contact", callsign=_plain(f"{prefix}{mark}{contact.label} {contact.contact_id[-6:]}")
    )
    if contact.speed_mps is not None and contact.course_deg is not None:
        ET.SubElement(
            detail,
            "track",
            course=f"{contact.course_deg:.1f}",
            speed=f"{contact.speed_mps:.2f}",
            version="0.1",
        )
    remarks = ET.SubElement(detail, "remarks", source="skywarden")
    remarks.text = _plain(
        f"{prefix}{review.upper()}: {contact.label}, score {contact.score:.2f}, {contact.sighting_count} "
        f"sightings by {', '.join(contact.platform_ids)}"
    )
    _add_uncertainty(detail, contact.position)
    return bytes(ET.tostring(root, encoding="utf-8", xml_declaration=True))


def cot_events(found: Iterable[tuple[StoredContact, State]]) -> bytes:
    """All contacts with a position and what people said of them, one event after the other, a line each."""
    events = (cot_event(stored, review=state) for stored, state in found)
    return b"".join(event.replace(b"\n", b" ") + b"\n" for event in events if event is not None)


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
        surface=ours.get("surface", "level"),  # type: ignore[arg-type]
    )


def _add_point(root: ET.Element, position: Position) -> None:
    ET.SubElement(
        root,
        "point",
        lat=f"{position.latitude_deg:.8f}",
        lon=f"{position.longitude_deg:.8f}",
        hae=f"{position.alt_hae_m:.3f}",
        ce=_decimal(position.ce90_m),
        le=_decimal(position.le90_m),
    )


def _add_uncertainty(detail: ET.Element, position: Position) -> None:
    ET.SubElement(
        detail,
        "_skywarden_position",
        covariance_enu_m2=" ".join(repr(float(each)) for each in position.covariance_enu_m2),
        surface=position.surface,
    )


def _decimal(metres: float) -> str:
    """Metres without an exponent, which xs:decimal does not know."""
    return f"{metres:.3f}" if metres < 1e6 else UNKNOWN_ERROR


def _plain(text: str) -> str:
    """Labels come from the radio: no control characters, which XML cannot carry."""
    return "".join(each if each.isprintable() else "?" for each in text)[:500]
