"""Bounded reader of image headers: size of JPEG, PNG and TIFF, EXIF time with its zone. Input is hostile."""

import re
import struct
from dataclasses import dataclass

from edge.cameras.image_times import parse_rfc3339
from skywarden.errors import ConfigError

HEADER_BYTES = 262_144
"""How much of a file is looked at; EXIF lives in the first 64 KiB of a JPEG."""

_MAX_ENTRIES = 512
_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 7: 1, 9: 4, 10: 8}
_EXIF_IFD, _GPS_IFD = 0x8769, 0x8825
_WIDTH, _HEIGHT, _DATE_TIME = 0x0100, 0x0101, 0x0132
_ORIGINAL, _SUBSEC_ORIGINAL, _OFFSET, _OFFSET_ORIGINAL = 0x9003, 0x9291, 0x9010, 0x9011
_GPS_TIME, _GPS_DATE = 0x0007, 0x001D
_FRAMELESS = frozenset({0x01, *range(0xD0, 0xD9)})
_SOF = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageHeader:
    """What the first bytes of an image file tell; `None` is "not told"."""

    width_px: int
    height_px: int
    exif: dict[int, bytes]
    gps: dict[int, bytes]
    byte_order: str


def read_header(data: bytes) -> ImageHeader | None:
    """Size and EXIF of the image that begins with `data`; the first `HEADER_BYTES` do, save for a TIFF.

    `None` when it is no JPEG, PNG or TIFF, or is cut off before its size is told.
    """
    head = data[:HEADER_BYTES]
    if head[:2] == b"\xff\xd8":
        return _jpeg(head)
    if head[:8] == b"\x89PNG\r\n\x1a\n" and head[12:16] == b"IHDR" and len(head) >= 24:
        width, height = struct.unpack(">II", head[16:24])
        return ImageHeader(width_px=width, height_px=height, exif={}, gps={}, byte_order="<")
    if head[:4] in (b"II*\x00", b"MM\x00*"):
        return _tiff(data)
    return None


def is_complete(data: bytes) -> bool:
    """Whether a file that may still be growing has its end: the end mark of JPEG or PNG.

    A TIFF has no such mark and is never called complete by this.
    """
    if data[:2] == b"\xff\xd8":
        return data[-64:].rstrip(b"\x00").endswith(b"\xff\xd9")
    return data[:4] == b"\x89PNG" and data[-8:-4] == b"IEND"


def exif_time_ns(header: ImageHeader, default_offset: str) -> int | None:
    """UTC nanoseconds of the exposure, or `None`.

    DateTimeOriginal with its sub-seconds needs a zone: OffsetTimeOriginal, OffsetTime, or `default_offset`
    ("+02:00"). Without any zone the GPS date and time, which are UTC, answer (whole seconds on most cameras).
    """
    original = _text(header.exif.get(_ORIGINAL, b""))
    offset = (
        _zone(header.exif.get(_OFFSET_ORIGINAL, b""))
        or _zone(header.exif.get(_OFFSET, b""))
        or default_offset
    )
    match = re.fullmatch(r"(\d{4}):(\d\d):(\d\d) (\d\d:\d\d:\d\d)", original)
    if match and offset:
        digits = re.match(r"\d{1,9}", _text(header.exif.get(_SUBSEC_ORIGINAL, b"")))
        fraction = "." + digits.group() if digits else ""
        return _parsed("{}-{}-{}T{}".format(*match.groups()) + fraction + offset)
    return _gps_time_ns(header)


def _gps_time_ns(header: ImageHeader) -> int | None:
    match = re.fullmatch(r"(\d{4}):(\d\d):(\d\d)", _text(header.gps.get(_GPS_DATE, b"")))
    packed = header.gps.get(_GPS_TIME, b"")
    if not match or len(packed) < 24:
        return None
    numbers = struct.unpack(header.byte_order + "6I", packed[:24])
    if 0 in numbers[1::2]:
        return None
    hour, minute = numbers[0] // numbers[1], numbers[2] // numbers[3]
    second_us = numbers[4] * 10**6 // numbers[5]
    if hour > 23 or minute > 59 or second_us >= 60 * 10**6:
        return None
    clock = f"{hour:02d}:{minute:02d}:{second_us // 10**6:02d}.{second_us % 10**6:06d}"
    return _parsed("{}-{}-{}T".format(*match.groups()) + clock + "Z")


def _parsed(text: str) -> int | None:
    try:
        return parse_rfc3339(text)
    except ConfigError:
        return None


def _text(value: bytes) -> str:
    return value.split(b"\x00", 1)[0].decode("ascii", "replace").strip()


def _zone(value: bytes) -> str:
    text = _text(value)
    return text if re.fullmatch(r"[+-]\d\d:\d\d|Z", text) else ""


def _jpeg(head: bytes) -> ImageHeader | None:
    at, exif_block = 2, b""
    while at + 4 <= len(head):
        if head[at] != 0xFF:
            return None
        marker = head[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        if marker in _FRAMELESS:
            at += 2
            continue
        length = int.from_bytes(head[at + 2 : at + 4], "big")
        if length < 2:
            return None
        body = head[at + 4 : at + 2 + length]
        if marker == 0xE1 and body[:6] == b"Exif\x00\x00":
            exif_block = body[6:]
        if marker in _SOF:
            if len(body) < 5:
                return None
            height, width = struct.unpack(">HH", body[1:5])
            exif, gps, order = _exif_of(exif_block)
            return ImageHeader(width_px=width, height_px=height, exif=exif, gps=gps, byte_order=order)
        at += 2 + length
    return None


def _tiff(data: bytes) -> ImageHeader | None:
    order = "<" if data[:2] == b"II" else ">"
    ifd0 = _ifd(data, struct.unpack(order + "I", data[4:8])[0], order) if len(data) >= 8 else {}
    width, height = _number(ifd0.get(_WIDTH), order), _number(ifd0.get(_HEIGHT), order)
    if width is None or height is None:
        return None
    exif, gps, _ = _exif_of(data)
    return ImageHeader(width_px=width, height_px=height, exif=exif, gps=gps, byte_order=order)


def _exif_of(block: bytes) -> tuple[dict[int, bytes], dict[int, bytes], str]:
    if len(block) < 8 or block[:2] not in (b"II", b"MM"):
        return {}, {}, "<"
    order = "<" if block[:2] == b"II" else ">"
    ifd0 = _ifd(block, struct.unpack(order + "I", block[4:8])[0], order)
    exif_at, gps_at = _number(ifd0.get(_EXIF_IFD), order), _number(ifd0.get(_GPS_IFD), order)
    exif = _ifd(block, exif_at, order) if exif_at else {}
    gps = _ifd(block, gps_at, order) if gps_at else {}
    return exif, gps, order


def _ifd(block: bytes, at: int, order: str) -> dict[int, bytes]:
    """Tag to raw value of one directory; entries that point outside the block are left out."""
    if at + 2 > len(block):
        return {}
    (count,) = struct.unpack(order + "H", block[at : at + 2])
    found: dict[int, bytes] = {}
    for index in range(min(count, _MAX_ENTRIES)):
        entry = block[at + 2 + 12 * index : at + 14 + 12 * index]
        if len(entry) < 12:
            break
        tag, kind, items, place = struct.unpack(order + "HHII", entry)
        size = _TYPE_BYTES.get(kind, 0) * items
        if size == 0 or size > 4096:
            continue
        value = entry[8 : 8 + size] if size <= 4 else block[place : place + size]
        if len(value) == size:
            found[tag] = value
    return found


def _number(value: bytes | None, order: str) -> int | None:
    if value is None or len(value) not in (2, 4):
        return None
    return int(struct.unpack(order + ("H" if len(value) == 2 else "I"), value)[0])
