"""MAVLink's AIS_VESSEL (message 301), which autopilots with a receiver send, to the same reports."""

from collections.abc import Mapping

from skywarden.ais.reports import Class, PositionReport, Report, StaticReport
from skywarden.mavlink import decode
from skywarden.mavlink.framing import Frame

AIS_VESSEL = 301
_NS = 1_000_000_000

# AIS_FLAGS of MAVLink's common dialect.
_HIGH_ACCURACY, _VALID_COURSE, _VALID_SPEED, _VALID_TURN = 1, 2, 4, 8
_VALID_HULL, _LARGE_BOW, _LARGE_STERN, _VALID_CALLSIGN, _VALID_NAME = 16, 32, 64, 4096, 8192
_MAX_AGE_S = 600


def read_vessel(frame: Frame, received_ns: int) -> tuple[Report, ...]:
    """The position and identity in a frame; nothing when it is no AIS_VESSEL, or names no vessel or place.

    `tslc`, seconds since the autopilot heard the vessel, dates the report. What a flag does not vouch for is
    not available, except where a talker sets no flags at all: then a plausible value counts.
    """
    if frame.msgid != AIS_VESSEL:
        return ()
    values = decode.fields(frame)
    if values is None:
        return ()
    number, age_s = _whole(values["MMSI"]), _whole(values["tslc"])
    latitude_deg, longitude_deg = _whole(values["lat"]) / 1e7, _whole(values["lon"]) / 1e7
    is_a_place = abs(latitude_deg) <= 90.0 and abs(longitude_deg) <= 180.0
    if not (0 < number < 1_000_000_000 and age_s <= _MAX_AGE_S and is_a_place):
        return ()
    flags = _whole(values["flags"])
    course, heading, speed = (_whole(values[name]) for name in ("COG", "heading", "velocity"))
    has_course = course < 36_000 and (not flags or bool(flags & _VALID_COURSE))
    has_speed = speed < 5_262 and (not flags or bool(flags & _VALID_SPEED))
    time_ns = received_ns - age_s * _NS
    mmsi = f"{number:09d}"
    kind: Class = "A" if _whole(values["navigational_status"]) < 15 else "B"
    position = PositionReport(
        mmsi,
        kind,
        time_ns,
        received_ns,
        latitude_deg,
        longitude_deg,
        speed / 100.0 if has_speed else None,
        course / 100.0 if has_course else None,
        heading / 100.0 if heading < 36_000 else None,
        bool(flags & _HIGH_ACCURACY),
        has_second=False,
        status=_whole(values["navigational_status"]),
    )
    return position, _identity(values, mmsi, kind, flags, time_ns)


def _identity(
    values: Mapping[str, object], mmsi: str, kind: Class, flags: int, received_ns: int
) -> StaticReport:
    bow, stern, port, starboard = (
        _whole(values[f"dimension_{side}"]) for side in ("bow", "stern", "port", "starboard")
    )
    is_told = bool(flags & _VALID_HULL) and not flags & (_LARGE_BOW | _LARGE_STERN) and bow + stern > 0
    ship_type = _whole(values["type"])
    return StaticReport(
        mmsi,
        kind,
        received_ns,
        name=_text(values["name"]) if flags & _VALID_NAME or not flags else None,
        callsign=_text(values["callsign"]) if flags & _VALID_CALLSIGN or not flags else None,
        ship_type=ship_type if 0 < ship_type < 256 else None,
        hull_m=(bow, stern, port, starboard) if is_told else None,
    )


def _whole(value: object) -> int:
    return int(value) if isinstance(value, int | float) else 0


def _text(value: object) -> str | None:
    """Printable text of a fixed field; nothing when it is empty."""
    if isinstance(value, bytes):
        value = value.partition(b"\0")[0].decode("ascii", "replace")
    if not isinstance(value, str):
        return None
    return "".join(sign for sign in value if sign.isprintable()).strip() or None
