"""Reads the subtitle files of DJI aircraft, which hold telemetry: a block a frame or a second, all dialects.

Known dialects: `[latitude: ..] [longitude: ..] [rel_alt: .. abs_alt: ..]` (and DJI's own "longtitude"),
`GPS(lon,lat,satellites) BAROMETER:h` of the Phantom 4 and Mavic Pro, `F/2.8, .. GPS (lon, lat, satellites),
D .., H ..m, H.S ..m/s` of the Mini, `GPS(lat,lon,height) BAROMETER(h)` of the Avata, and the `Hb:`/`Hs:` of
older firmware. Nothing is guessed: a value that a block does not tell is `None`.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from skywarden.errors import InputError

MAX_SRT_BYTES = 512_000_000
MAX_BLOCKS = 5_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_TIMING = re.compile(r"(\d{1,3}):(\d\d):(\d\d)[,.](\d{1,3})\s*-->\s*(\d{1,3}):(\d\d):(\d\d)[,.](\d{1,3})")
_DATE = re.compile(
    r"(\d{4})[-./](\d{1,2})[-./](\d{1,2})[ T](\d{1,2}):(\d\d):(\d\d)(?:[.,](\d{3}))?(?:[.,](\d{3}))?"
)
_NAMED = re.compile(
    r"\b(latitude|longt?itude|rel_alt|abs_alt|altitude|gb_yaw|gb_pitch|gb_roll|focal_len)\s*:\s*"
    r"([-+]?\d{1,9}(?:\.\d{1,12})?)"
)
_TRIPLE = re.compile(
    r"\bGPS\s*\(\s*([-+]?\d{1,3}(?:\.\d+)?)\s*,\s*([-+]?\d{1,3}(?:\.\d+)?)\s*,\s*([-+]?\d{1,6}(?:\.\d+)?)"
)
_BAROMETER = re.compile(r"\b(?:BAROMETER\s*[:(]|Hb:)\s*([-+]?\d{1,6}(?:\.\d+)?)")
_HEIGHT = re.compile(r"(?<![\w.])H\s+([-+]?\d{1,6}(?:\.\d+)?)\s*m\b")
_SPEED = re.compile(r"\bH\.S\s+([-+]?\d{1,4}(?:\.\d+)?)\s*m/s")
_CLIMB = re.compile(r"\bV\.S\s+([-+]?\d{1,4}(?:\.\d+)?)\s*m/s")
_TAG = re.compile(r"</?font[^>]{0,80}>")


@dataclass(frozen=True, kw_only=True, slots=True)
class SrtBlock:
    """One block. Times in the video in seconds; `stamp_us` is the date in the text, in its own zone.

    `alt_rel_m` is above the take-off place, `alt_abs_m` what DJI calls absolute (above sea level, not
    surveyed), `alt_plain_m` a height of which the dialect does not say above what.
    """

    number: int
    start_s: float | None = None
    end_s: float | None = None
    stamp_us: int | None = None
    latitude_deg: float | None = None
    longitude_deg: float | None = None
    alt_rel_m: float | None = None
    alt_abs_m: float | None = None
    alt_plain_m: float | None = None
    satellites: int | None = None
    speed_mps: float | None = None
    climb_mps: float | None = None
    gimbal_deg: tuple[float, float, float] | None = None
    focal_length: float | None = None

    @property
    def has_place(self) -> bool:
        """Latitude and longitude were told."""
        return self.latitude_deg is not None and self.longitude_deg is not None


def read_srt(path: Path) -> list[SrtBlock]:
    """Every block in file order; raises `InputError` when the file is empty, over size or no such file."""
    try:
        size = path.stat().st_size
        if size > MAX_SRT_BYTES:
            raise InputError(f"{path}: {size} bytes is over the limit of {MAX_SRT_BYTES}")
        text = path.read_bytes().decode("utf-8-sig", "replace")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    if not text.strip():
        raise InputError(f"{path}: the subtitle file is empty, there is nothing to import")
    blocks = parse_srt(text)
    if not blocks:
        raise InputError(f"{path}: {size} bytes without one subtitle block; it is no subtitle file")
    if not any(block.start_s is not None or block.stamp_us is not None for block in blocks):
        raise InputError(f"{path}: {len(blocks)} subtitle blocks without any time or text; nothing to import")
    return blocks


def parse_srt(text: str) -> list[SrtBlock]:
    """The blocks of a subtitle text: a line that is only a number begins one."""
    blocks: list[SrtBlock] = []
    lines: list[str] = []
    number: int | None = None
    for line in text.splitlines():
        line = line.strip()
        if line.isdecimal() and len(line) <= 9:
            if number is not None:
                blocks.append(_block(number, lines))
            number, lines = int(line), []
            if len(blocks) > MAX_BLOCKS:
                raise InputError(f"more than {MAX_BLOCKS} subtitle blocks")
        elif line and number is not None and len(lines) < 32:
            lines.append(line[:2048])
    if number is not None:
        blocks.append(_block(number, lines))
    return blocks


def _block(number: int, lines: list[str]) -> SrtBlock:
    start_s = end_s = None
    timing = _TIMING.search(lines[0]) if lines else None
    if timing:
        start_s, end_s = _seconds(timing.groups()[:4]), _seconds(timing.groups()[4:])
        lines = lines[1:]
    text = _TAG.sub(" ", " ".join(lines))
    named = {name: float(value) for name, value in _NAMED.findall(text)}
    place = _named_place(named) or _triple_place(text) or _Place()
    barometer = _number(_BAROMETER, text)
    height = _number(_HEIGHT, text)
    gimbal = (named.get("gb_roll", 0.0), named.get("gb_pitch"), named.get("gb_yaw"))
    return SrtBlock(
        number=number,
        start_s=start_s,
        end_s=end_s,
        stamp_us=_stamp_us(text),
        latitude_deg=place.latitude_deg,
        longitude_deg=place.longitude_deg,
        alt_rel_m=next(
            (each for each in (named.get("rel_alt"), barometer, height) if each is not None), None
        ),
        alt_abs_m=named.get("abs_alt"),
        alt_plain_m=named.get("altitude", place.alt_plain_m),
        satellites=place.satellites,
        speed_mps=_number(_SPEED, text),
        climb_mps=_number(_CLIMB, text),
        gimbal_deg=None if gimbal[1] is None or gimbal[2] is None else (gimbal[0], gimbal[1], gimbal[2]),
        focal_length=named.get("focal_len"),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Place:
    latitude_deg: float | None = None
    longitude_deg: float | None = None
    alt_plain_m: float | None = None
    satellites: int | None = None


def _named_place(named: dict[str, float]) -> _Place | None:
    latitude = named.get("latitude")
    longitude = named.get("longitude", named.get("longtitude"))
    if latitude is None or longitude is None:
        return None
    return _checked(_Place(latitude_deg=latitude, longitude_deg=longitude))


def _triple_place(text: str) -> _Place | None:
    """`GPS(a,b,c)`: with a whole c it is longitude, latitude, satellites; with decimals latitude first."""
    match = _TRIPLE.search(text)
    if match is None:
        return None
    first, second, third = float(match[1]), float(match[2]), match[3]
    if "." in third:
        return _checked(_Place(latitude_deg=first, longitude_deg=second, alt_plain_m=float(third)))
    return _checked(_Place(latitude_deg=second, longitude_deg=first, satellites=max(0, int(third))))


def _checked(place: _Place) -> _Place | None:
    """(0, 0) is DJI's "no fix"; beyond the poles is no place."""
    latitude, longitude = place.latitude_deg, place.longitude_deg
    assert latitude is not None
    assert longitude is not None
    if abs(latitude) > 90.0 or abs(longitude) > 180.0 or (latitude == 0.0 and longitude == 0.0):
        return None
    return place


def _number(pattern: re.Pattern[str], text: str) -> float | None:
    match = pattern.search(text)
    return float(match[1]) if match else None


def _seconds(parts: tuple[str | None, ...]) -> float:
    hours, minutes, seconds, fraction = (part or "0" for part in parts)
    return int(hours) * 3600 + int(minutes) * 60 + int(seconds) + float(f"0.{fraction}")


def _stamp_us(text: str) -> int | None:
    match = _DATE.search(text)
    if match is None:
        return None
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    micros = int(match[7] or 0) * 1000 + int(match[8] or 0)
    try:
        moment = datetime(year, month, day, hour, minute, second, micros, tzinfo=UTC)
    except ValueError:
        return None
    stamp = (moment - _EPOCH) // _EPOCH.resolution
    return stamp if 946_684_800_000_000 <= stamp < 4_102_444_800_000_000 else None
