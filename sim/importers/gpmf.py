"""Reads GPMF, the key-length-value tree in which GoPro cameras and the Karma drone record their sensors.

Each element is a four-character key, a type, the size of one sample, how many samples, and data padded to
four bytes, all big-endian; type 0 nests. Inside a stream (STRM) SCAL, TYPE and UNIT describe the element that
comes last. Source: GoPro's published GPMF description.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

MAX_DEPTH = 8
MAX_ELEMENTS = 100_000

_FORMATS = {
    "b": "b", "B": "B", "s": "h", "S": "H", "l": "i", "L": "I", "j": "q", "J": "Q", "f": "f", "d": "d",
}  # fmt: skip
_FIXED = {"q": (4, 65_536.0), "Q": (8, 4_294_967_296.0)}

Row = tuple[float, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Stream:
    """One sensor's samples in one packet: scaled rows of numbers, and the stream's own settings.

    `settings` are the one-line elements beside it (GPSU, GPSF, GPSP, GPSA, ...), numbers or text.
    """

    device: str
    key: str
    name: str
    rows: tuple[Row, ...]
    settings: dict[str, Row | str]


@dataclass(frozen=True, slots=True)
class _Element:
    key: str
    kind: str
    size: int
    count: int
    data: bytes


def read_gpmf(packet: bytes) -> list[Stream]:
    """Every stream of one packet. Damage ends the level that it is in; the rest is given."""
    streams: list[Stream] = []
    for device in _elements(packet):
        if device.key != "DEVC" or device.kind != "\0":
            continue
        name = ""
        for element in _elements(device.data):
            if element.key == "DVNM":
                name = _text(element.data)
            elif element.key == "STRM" and element.kind == "\0":
                stream = _stream(name, element.data)
                if stream is not None:
                    streams.append(stream)
    return streams


def _elements(data: bytes) -> Iterator[_Element]:
    at = 0
    for _ in range(MAX_ELEMENTS):
        if at + 8 > len(data):
            return
        key = data[at : at + 4]
        size, count = data[at + 5], int.from_bytes(data[at + 6 : at + 8], "big")
        length = size * count
        if not key.isalnum() or at + 8 + length > len(data):
            return
        yield _Element(key.decode("ascii"), chr(data[at + 4]), size, count, data[at + 8 : at + 8 + length])
        at += 8 + (length + 3) // 4 * 4


def _stream(device: str, data: bytes) -> Stream | None:
    elements = list(_elements(data))
    if not elements:
        return None
    last = elements[-1]
    about = {element.key: element for element in elements[:-1]}
    layout = last.kind
    if last.kind == "?":
        layout = _expanded(_text(about["TYPE"].data)) if "TYPE" in about else ""
    rows = _rows(last, layout)
    if "SCAL" in about:
        scales = [each for row in _rows(about["SCAL"], about["SCAL"].kind) for each in row]
        rows = tuple(_scaled(row, scales) for row in rows)
    settings: dict[str, Row | str] = {}
    for key, element in about.items():
        if element.kind in "cUF":
            settings[key] = _text(element.data)
        elif element.kind in _FORMATS and element.count:
            settings[key] = _rows(element, element.kind)[0]
    return Stream(
        device=device,
        key=last.key,
        name=_text(about["STNM"].data) if "STNM" in about else "",
        rows=rows,
        settings=settings,
    )


def _rows(element: _Element, layout: str) -> tuple[Row, ...]:
    """`element` as rows of plain numbers; text and unknown types give none."""
    if not layout or element.size == 0:
        return ()
    if element.kind != "?" and layout in _FORMATS:
        layout = layout * (element.size // struct.calcsize(_FORMATS[layout]))
    elif element.kind != "?" and layout in _FIXED:
        layout = layout * (element.size // _FIXED[layout][0])
    if any(kind not in _FORMATS and kind not in _FIXED for kind in layout):
        return ()
    unpacker = struct.Struct(">" + "".join(_FORMATS.get(kind) or _fixed_format(kind) for kind in layout))
    if unpacker.size != element.size:
        return ()
    dividers = [_FIXED[kind][1] if kind in _FIXED else 1.0 for kind in layout]
    return tuple(
        tuple(
            value if divider == 1.0 else value / divider
            for value, divider in zip(unpacker.unpack_from(element.data, at), dividers, strict=True)
        )
        for at in range(0, element.size * element.count, element.size)
    )


def _fixed_format(kind: str) -> str:
    return "i" if _FIXED[kind][0] == 4 else "q"


def _expanded(layout: str) -> str:
    """`f[3]L` as `fffL`."""
    out = ""
    at = 0
    while at < len(layout) and len(out) < 256:
        kind = layout[at]
        at += 1
        repeat = 1
        if layout[at : at + 1] == "[":
            end = layout.find("]", at)
            digits = layout[at + 1 : end] if end > 0 else ""
            if not digits.isdecimal() or int(digits) > 64:
                return ""
            repeat, at = int(digits), end + 1
        out += kind * repeat
    return out


def _scaled(row: Row, scales: list[float]) -> Row:
    if len(scales) == 1:
        return tuple(value / scales[0] if scales[0] else value for value in row)
    return tuple(value / (scales[i] if i < len(scales) and scales[i] else 1.0) for i, value in enumerate(row))


def _text(data: bytes) -> str:
    return data.split(b"\0", 1)[0].decode("latin-1").strip()
