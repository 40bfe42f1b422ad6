"""From a payload to what the picture needs: where a vessel is, and what it says it is.

A fast path of our own, because the picture must keep up with 50,000 sentences a second on one core and pyais,
which builds an object of every field, does not (docs/benchmarks.md). Only types 1-5, 9, 18, 19, 21, 24 and 27
say anything about a vessel's place or identity; `skywarden.ais.fields` reads all of them, and pyais referees
both in the tests.
"""

from typing import Literal

import msgspec

from skywarden.ais.payload import text_of, unarmour
from skywarden.ais.sentences import Heard
from skywarden.errors import WireError

Class = Literal["A", "B", "base", "aid", "aircraft", "long_range"]

KNOT_MPS = 1852.0 / 3600.0
_NS = 1_000_000_000
_LON_LIMIT, _LAT_LIMIT = 108_000_000, 54_000_000
_DEG = 1.0 / 600_000.0


class PositionReport(msgspec.Struct, frozen=True, gc=False):
    """Where a vessel says it is; `None` is "not available".

    `mmsi` has nine digits. `time_ns` is the instant that the report is about (the whole second that it names,
    next to its reception), `received_ns` when it was heard. `is_accurate`: better than 10 m, as it says.
    `resolution_m` is the size of the least step of the place (185 m in long-range reports). `status` is the
    navigational status (0 to 15) of class A.
    """

    mmsi: str
    kind: Class
    time_ns: int
    received_ns: int
    latitude_deg: float
    longitude_deg: float
    sog_mps: float | None
    cog_deg: float | None
    heading_deg: float | None
    is_accurate: bool
    has_second: bool
    status: int | None = None
    resolution_m: float = 0.2
    rot_dpm: float | None = None


class StaticReport(msgspec.Struct, frozen=True, gc=False):
    """What a vessel says it is; `None` is what this message does not say.

    `hull_m`: bow, stern, port and starboard from the antenna, in metres.
    """

    mmsi: str
    kind: Class
    received_ns: int
    name: str | None = None
    callsign: str | None = None
    imo: int | None = None
    ship_type: int | None = None
    hull_m: tuple[int, int, int, int] | None = None
    draught_m: float | None = None
    destination: str | None = None


Report = PositionReport | StaticReport


def stamped_ns(received_ns: int, utc_second: int) -> int | None:
    """UTC of the whole second (0..59) that a report received at `received_ns` names: the nearest such one.

    `None` for 60 to 63, which say that there is no valid time.
    """
    if not 0 <= utc_second <= 59:
        return None
    within = received_ns // _NS % 60
    back = (within - utc_second) % 60
    start = received_ns // _NS * _NS - back * _NS
    return start if received_ns - start <= 30 * _NS else start + 60 * _NS


def read_report(heard: Heard) -> tuple[Report, ...]:
    """What a message says about a vessel; nothing for those that say nothing (or have no time of reception).

    Type 19 says both where and what. Raises `WireError` for a payload that is none.
    """
    received_ns = heard.received_ns
    if received_ns is None:
        return ()
    number, length = unarmour(heard.payload, heard.fill)
    kind = number >> (length - 6) if length >= 38 else -1
    if kind in _A_TYPES:
        return _class_a(number, length, received_ns)
    if kind == 18 or kind == 19:
        return _class_b(number, length, received_ns, kind)
    reader = _READERS.get(kind)
    if reader is not None:
        return reader(number, length, received_ns)
    if kind < 1 or kind > 27:
        raise WireError(f"there is no AIS message type {kind} ({length} bits)")
    return ()


_A_TYPES = frozenset({1, 2, 3})


def _class_a(number: int, length: int, received_ns: int) -> tuple[Report, ...]:
    """Types 1, 2, 3; some talkers count five bits of padding too many, which lie in the radio's own state."""
    if length < 163:
        raise WireError(f"a position report of {length} bits is cut short (163)")
    bits = number >> (length - 168) if length >= 168 else number << (168 - length)
    longitude, latitude = _signed28(bits >> 79), _signed27(bits >> 52)
    if not (-_LON_LIMIT <= longitude <= _LON_LIMIT and -_LAT_LIMIT <= latitude <= _LAT_LIMIT):
        return ()
    speed, course, heading, second = (
        bits >> 108 & 0x3FF,
        bits >> 40 & 0xFFF,
        bits >> 31 & 0x1FF,
        bits >> 25 & 0x3F,
    )
    time_ns = stamped_ns(received_ns, second)
    return (
        PositionReport(
            f"{bits >> 130 & 0x3FFFFFFF:09d}",
            "A",
            received_ns if time_ns is None else time_ns,
            received_ns,
            latitude * _DEG,
            longitude * _DEG,
            speed * 0.1 * KNOT_MPS if speed < 1023 else None,
            course * 0.1 if course < 3600 else None,
            float(heading) if heading < 360 else None,
            bool(bits >> 107 & 1),
            time_ns is not None,
            bits >> 126 & 0xF,
            0.2,
            _turn_dpm(bits >> 118 & 0xFF),
        ),
    )


def _class_b(number: int, length: int, received_ns: int, kind: int) -> tuple[Report, ...]:
    """Types 18 and 19, which have the same head."""
    least = 168 if kind == 18 else 312
    if length < least:
        raise WireError(f"an AIS message {kind} of {length} bits is cut short ({least})")
    bits = number >> (length - 168) if kind == 18 else number >> (length - 312)
    head = bits if kind == 18 else bits >> 144
    mmsi = f"{head >> 130 & 0x3FFFFFFF:09d}"
    found: tuple[Report, ...] = ()
    longitude, latitude = _signed28(head >> 83), _signed27(head >> 56)
    if -_LON_LIMIT <= longitude <= _LON_LIMIT and -_LAT_LIMIT <= latitude <= _LAT_LIMIT:
        speed, course, heading = head >> 112 & 0x3FF, head >> 44 & 0xFFF, head >> 35 & 0x1FF
        time_ns = stamped_ns(received_ns, head >> 29 & 0x3F)
        found = (
            PositionReport(
                mmsi,
                "B",
                received_ns if time_ns is None else time_ns,
                received_ns,
                latitude * _DEG,
                longitude * _DEG,
                speed * 0.1 * KNOT_MPS if speed < 1023 else None,
                course * 0.1 if course < 3600 else None,
                float(heading) if heading < 360 else None,
                bool(head >> 111 & 1),
                time_ns is not None,
            ),
        )
    if kind == 19:
        found += (
            StaticReport(
                mmsi,
                "B",
                received_ns,
                name=text_of(bits >> 49 & _mask(120), 120) or None,
                ship_type=bits >> 41 & 0xFF,
                hull_m=_hull(bits >> 11 & _mask(30)),
            ),
        )
    return found


def _base(number: int, length: int, received_ns: int) -> tuple[Report, ...]:
    """Type 4: a base station, which says where it stands."""
    bits = _whole(number, length, 168, 4)
    return _still("base", bits >> 130, bits >> 61, bits >> 34, bool(bits >> 89 & 1), received_ns)


def _aid(number: int, length: int, received_ns: int) -> tuple[Report, ...]:
    """Type 21: an aid to navigation."""
    bits = _whole(number, length, 271, 21)
    mmsi_bits = bits >> 233
    found = _still("aid", mmsi_bits, bits >> 79, bits >> 52, bool(bits >> 107 & 1), received_ns)
    name = text_of(bits >> 108 & _mask(120), 120)
    mmsi = f"{mmsi_bits & 0x3FFFFFFF:09d}"
    return (
        *found,
        StaticReport(mmsi, "aid", received_ns, name=name or None, hull_m=_hull(bits >> 22 & _mask(30))),
    )


def _aircraft(number: int, length: int, received_ns: int) -> tuple[Report, ...]:
    """Type 9: a search and rescue aircraft; its speed is in whole knots."""
    bits = _whole(number, length, 168, 9)
    longitude, latitude = _signed28(bits >> 79), _signed27(bits >> 52)
    if not (-_LON_LIMIT <= longitude <= _LON_LIMIT and -_LAT_LIMIT <= latitude <= _LAT_LIMIT):
        return ()
    speed, course = bits >> 108 & 0x3FF, bits >> 40 & 0xFFF
    time_ns = stamped_ns(received_ns, bits >> 34 & 0x3F)
    return (
        PositionReport(
            f"{bits >> 130 & 0x3FFFFFFF:09d}",
            "aircraft",
            received_ns if time_ns is None else time_ns,
            received_ns,
            latitude * _DEG,
            longitude * _DEG,
            speed * KNOT_MPS if speed < 1023 else None,
            course * 0.1 if course < 3600 else None,
            None,
            bool(bits >> 107 & 1),
            time_ns is not None,
        ),
    )


def _long_range(number: int, length: int, received_ns: int) -> tuple[Report, ...]:
    """Type 27: for satellites; tenths of a minute, whole knots and degrees, and no second."""
    bits = _whole(number, length, 95, 27)
    longitude, latitude = bits >> 33 & 0x3FFFF, bits >> 16 & 0x1FFFF
    longitude -= 0x40000 if longitude & 0x20000 else 0
    latitude -= 0x20000 if latitude & 0x10000 else 0
    if not (-108_000 <= longitude <= 108_000 and -54_000 <= latitude <= 54_000):
        return ()
    speed, course = bits >> 10 & 0x3F, bits >> 1 & 0x1FF
    return (
        PositionReport(
            f"{bits >> 57 & 0x3FFFFFFF:09d}",
            "long_range",
            received_ns,
            received_ns,
            latitude / 600.0,
            longitude / 600.0,
            speed * KNOT_MPS if speed < 63 else None,
            float(course) if course < 360 else None,
            None,
            bool(bits >> 56 & 1),
            False,
            bits >> 51 & 0xF,
            185.2,
        ),
    )


def _voyage(number: int, length: int, received_ns: int) -> tuple[Report, ...]:
    """Type 5: name, call sign, type, size and voyage of class A; some talkers leave its last bits out."""
    _whole(number, length, 420, 5)
    bits = number >> (length - 422) if length >= 422 else number << (422 - length)
    return (
        StaticReport(
            f"{bits >> 384 & 0x3FFFFFFF:09d}",
            "A",
            received_ns,
            name=text_of(bits >> 190 & _mask(120), 120) or None,
            callsign=text_of(bits >> 310 & _mask(42), 42) or None,
            imo=(bits >> 352 & 0x3FFFFFFF) or None,
            ship_type=bits >> 182 & 0xFF,
            hull_m=_hull(bits >> 152 & _mask(30)),
            draught_m=(bits >> 120 & 0xFF) / 10.0 or None,
            destination=text_of(bits & _mask(120), 120) or None,
        ),
    )


def _parts(number: int, length: int, received_ns: int) -> tuple[Report, ...]:
    """Type 24: class B, in two messages."""
    bits = _whole(number, length, 160, 24)
    mmsi = f"{bits >> 122 & 0x3FFFFFFF:09d}"
    part = bits >> 120 & 3
    if part == 0:
        return (StaticReport(mmsi, "B", received_ns, name=text_of(bits & _mask(120), 120) or None),)
    if part != 1:
        raise WireError(f"part {part} of an AIS message 24 is none")
    hull = None if mmsi.startswith("98") or length < 162 else _hull(number >> (length - 162) & _mask(30))
    return (
        StaticReport(
            mmsi,
            "B",
            received_ns,
            callsign=text_of(bits >> 28 & _mask(42), 42) or None,
            ship_type=bits >> 112 & 0xFF,
            hull_m=hull,
        ),
    )


_READERS = {4: _base, 5: _voyage, 9: _aircraft, 21: _aid, 24: _parts, 27: _long_range}


def _still(
    kind: Class, mmsi: int, longitude: int, latitude: int, is_accurate: bool, received_ns: int
) -> tuple[Report, ...]:
    longitude, latitude = _signed28(longitude), _signed27(latitude)
    if not (-_LON_LIMIT <= longitude <= _LON_LIMIT and -_LAT_LIMIT <= latitude <= _LAT_LIMIT):
        return ()
    return (
        PositionReport(
            f"{mmsi & 0x3FFFFFFF:09d}",
            kind,
            received_ns,
            received_ns,
            latitude * _DEG,
            longitude * _DEG,
            0.0,
            None,
            None,
            is_accurate,
            False,
        ),
    )


def _whole(number: int, length: int, least: int, kind: int) -> int:
    """The first `least` bits; raises `WireError` when there are fewer."""
    if length < least:
        raise WireError(f"an AIS message {kind} of {length} bits is cut short ({least})")
    return number >> (length - least)


def _signed28(bits: int) -> int:
    bits &= 0xFFFFFFF
    return bits - 0x10000000 if bits & 0x8000000 else bits


def _signed27(bits: int) -> int:
    bits &= 0x7FFFFFF
    return bits - 0x8000000 if bits & 0x4000000 else bits


def _mask(width: int) -> int:
    return (1 << width) - 1


def _hull(bits: int) -> tuple[int, int, int, int] | None:
    """Bow, stern, port, starboard; nothing when the vessel tells no length."""
    bow, stern, port, starboard = bits >> 21 & 0x1FF, bits >> 12 & 0x1FF, bits >> 6 & 0x3F, bits & 0x3F
    return (bow, stern, port, starboard) if bow + stern else None


def _turn_dpm(raw: int) -> float | None:
    """Degrees a minute: the field is 4.733 times the root; 127 and -127 only say "turning", -128 nothing."""
    value = raw - 256 if raw & 0x80 else raw
    if value == -128:
        return None
    if abs(value) == 127:
        return 10.0 if value > 0 else -10.0
    return (value / 4.733) ** 2 * (1.0 if value >= 0 else -1.0)
