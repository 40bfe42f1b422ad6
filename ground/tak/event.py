"""Cursor on Target events as plain data, and their two forms: XML, and protobuf of the TAK protocol,
version 1.

Both writers are by hand: the XML is one element of a dozen attributes, the protobuf five small messages of
strings, whole numbers and doubles. The tests read both back with other people's readers.

Sources: CoT base schema 2.0 (MITRE), TAK protocol version 1 (`takmessage.proto`, `cotevent.proto`,
`detail.proto`), whose rule it is that what has no message of its own travels as text in `xmlDetail`.
"""

import struct
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from typing import Literal

from skywarden.times import rfc3339

Encoding = Literal["xml", "protobuf"]

UNKNOWN_ERROR_M = 9_999_999.0
"""What CoT writes where an error is not known."""

MESH_HEADER = b"\xbf\x01\xbf"
STREAM_MAGIC = b"\xbf"
MAX_TEXT = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class CotPoint:
    """A place on WGS 84; height above the ellipsoid, `ce_m` and `le_m` 90 % errors; `None` is not known."""

    latitude_deg: float
    longitude_deg: float
    alt_hae_m: float | None = None
    ce_m: float | None = None
    le_m: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Detail:
    """One element of an event's `detail` that is written as it stands."""

    tag: str
    attributes: tuple[tuple[str, str], ...] = ()
    text: str = ""
    children: tuple["Detail", ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class CotEvent:
    """One event. Times are UTC ns; `track` is (course in degrees, speed in m/s); `opex` is "e" in
    exercises.
    """

    uid: str
    type: str
    how: str
    time_ns: int
    start_ns: int
    stale_ns: int
    point: CotPoint
    callsign: str = ""
    remarks: str = ""
    track: tuple[float, float] | None = None
    details: tuple[Detail, ...] = ()
    opex: str = ""

    @property
    def content(self) -> tuple[object, ...]:
        """All but when it was said and until when it holds: what makes it worth saying anew."""
        return (
            self.type,
            self.start_ns,
            self.point,
            self.callsign,
            self.remarks,
            self.track,
            self.details,
        )


def as_xml(event: CotEvent) -> bytes:
    """The event as one XML document in UTF-8, without ends of line."""
    root = ET.Element(
        "event",
        version="2.0",
        uid=plain(event.uid),
        type=event.type,
        how=event.how,
        time=rfc3339(event.time_ns),
        start=rfc3339(event.start_ns),
        stale=rfc3339(event.stale_ns),
    )
    if event.opex:
        root.set("opex", event.opex)
    point = event.point
    ET.SubElement(
        root,
        "point",
        lat=f"{point.latitude_deg:.8f}",
        lon=f"{point.longitude_deg:.8f}",
        hae=_decimal(point.alt_hae_m),
        ce=_decimal(point.ce_m),
        le=_decimal(point.le_m),
    )
    detail = ET.SubElement(root, "detail")
    if event.callsign:
        ET.SubElement(detail, "contact", callsign=plain(event.callsign))
    if event.track is not None:
        ET.SubElement(detail, "track", course=f"{event.track[0]:.1f}", speed=f"{event.track[1]:.2f}")
    for one in _other_details(event):
        _add(detail, one)
    made: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return made.replace(b"\n", b" ")


def as_mesh(event: CotEvent) -> bytes:
    """The event as a datagram of the TAK protocol, version 1."""
    return MESH_HEADER + tak_message(event)


def as_stream(event: CotEvent) -> bytes:
    """The event as a message of a TAK stream, version 1: magic byte, length, message."""
    body = tak_message(event)
    return STREAM_MAGIC + _varint(len(body)) + body


def tak_message(event: CotEvent) -> bytes:
    """The event as a bare `TakMessage`."""
    point = event.point
    detail = b"".join(
        (
            _text(1, "".join(_written(one) for one in _other_details(event))),
            _bytes(2, _text(2, plain(event.callsign))) if event.callsign else b"",
            _bytes(7, _double(1, event.track[1]) + _double(2, event.track[0])) if event.track else b"",
        )
    )
    body = b"".join(
        (
            _text(1, event.type),
            _text(4, event.opex),
            _text(5, plain(event.uid)),
            _whole(6, event.time_ns // 1_000_000),
            _whole(7, event.start_ns // 1_000_000),
            _whole(8, event.stale_ns // 1_000_000),
            _text(9, event.how),
            _double(10, point.latitude_deg),
            _double(11, point.longitude_deg),
            _double(12, _known(point.alt_hae_m)),
            _double(13, _known(point.ce_m)),
            _double(14, _known(point.le_m)),
            _bytes(15, detail),
        )
    )
    return _bytes(2, body)


def plain(text: str) -> str:
    """Labels come from the radio: no control characters, which XML cannot carry, and no end of it."""
    return "".join(each if each.isprintable() else "?" for each in text)[:MAX_TEXT]


def _other_details(event: CotEvent) -> tuple[Detail, ...]:
    """What has no message of its own in the TAK protocol."""
    remarks = Detail(tag="remarks", attributes=(("source", "skywarden"),), text=event.remarks)
    return (remarks, *event.details) if event.remarks else event.details


def _add(parent: ET.Element, one: Detail) -> ET.Element:
    made = ET.SubElement(parent, one.tag, {name: plain(value) for name, value in one.attributes})
    made.text = plain(one.text) or None
    for child in one.children:
        _add(made, child)
    return made


def _written(one: Detail) -> str:
    text: str = ET.tostring(_add(ET.Element("detail"), one), encoding="unicode")
    return text


def _known(metres: float | None) -> float:
    return metres if metres is not None and abs(metres) < 1e6 else UNKNOWN_ERROR_M


def _decimal(metres: float | None) -> str:
    """Metres without an exponent, which xs:decimal does not know."""
    return f"{_known(metres):.3f}"


def _varint(number: int) -> bytes:
    made = bytearray()
    while number > 0x7F:
        made.append(number & 0x7F | 0x80)
        number >>= 7
    made.append(number)
    return bytes(made)


def _whole(field: int, number: int) -> bytes:
    return _varint(field << 3) + _varint(number)


def _double(field: int, number: float) -> bytes:
    return _varint(field << 3 | 1) + struct.pack("<d", number)


def _bytes(field: int, data: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(data)) + data


def _text(field: int, text: str) -> bytes:
    return _bytes(field, text.encode()) if text else b""
