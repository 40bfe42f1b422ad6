"""Reads ArduPilot's DataFlash logs: self-describing binary messages behind the bytes A3 95 and a type.

pymavlink's DFReader is the referee in the tests, not the reader here: on a damaged log it raises bare
exceptions, prints to stdout and leaves the file open. Message 128 (FMT) describes the others: length, name,
one character for each field's type, and the fields' names. Damage is stepped over to the next A3 95
of a known type. Source: ArduPilot's LogStructure description.
"""

import math
import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass

HEAD = b"\xa3\x95"
_FMT_TYPE = 128
_FMT_BYTES = 89
_GPS_EPOCH_S = 315_964_800
_WEEK_S = 604_800
_LEAP_S = 18
_MAX_UTC_S = 4_102_444_800.0

Value = float | int | str | bytes

_TYPES: dict[str, tuple[str, float]] = {
    "a": ("64s", 1), "b": ("b", 1), "B": ("B", 1), "h": ("h", 1), "H": ("H", 1), "i": ("i", 1), "I": ("I", 1),
    "f": ("f", 1), "d": ("d", 1), "g": ("e", 1), "n": ("4s", 1), "N": ("16s", 1), "Z": ("64s", 1),
    "c": ("h", 0.01), "C": ("H", 0.01), "e": ("i", 0.01), "E": ("I", 0.01), "L": ("i", 1e-7),
    "M": ("b", 1), "q": ("q", 1), "Q": ("Q", 1),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """What FMT says about one message; `length` counts the three bytes of the head."""

    name: str
    length: int
    unpacker: struct.Struct
    scales: tuple[float, ...]
    texts: tuple[bool, ...]
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LogMessage:
    """One message: its name and its fields by name, scaled to the units of the log's documentation."""

    name: str
    values: dict[str, Value]

    def number(self, *names: str) -> float | None:
        """The first of `names` that is there as a finite number."""
        for name in names:
            value = self.values.get(name)
            if isinstance(value, int | float) and math.isfinite(value):
                return float(value)
        return None


@dataclass(slots=True)
class DataflashCounts:
    """Bytes that belong to no whole message."""

    skipped_bytes: int = 0


def read_dataflash(data: bytes | mmap.mmap, counts: DataflashCounts) -> Iterator[LogMessage]:
    """Every whole message in file order. Never raises: what cannot be read is counted in `counts`."""
    layouts: dict[int, Layout] = {}
    at = 0
    while at + 3 <= len(data):
        kind = data[at + 2]
        length = _FMT_BYTES if kind == _FMT_TYPE else 0
        layout = layouts.get(kind)
        if layout is not None:
            length = layout.length
        if data[at : at + 2] != HEAD or length == 0 or at + length > len(data):
            following = data.find(HEAD, at + 1)
            following = len(data) if following < 0 else following
            counts.skipped_bytes += following - at
            at = following
            continue
        body = data[at + 3 : at + length]
        if kind == _FMT_TYPE:
            described, layout = _layout(body)
            if layout is not None and described != _FMT_TYPE:
                layouts[described] = layout
            yield LogMessage("FMT", {"Type": described})
        elif layout is not None:
            yield LogMessage(layout.name, _values(layout, body))
        at += length
    counts.skipped_bytes += max(0, len(data) - at)


def gps_utc_s(week: float, milliseconds: float) -> float | None:
    """POSIX seconds of a GPS week and its milliseconds (leap seconds as since 2017); `None` before 2010."""
    if week < 1560 or milliseconds < 0:
        return None
    utc_s = _GPS_EPOCH_S + week * _WEEK_S + milliseconds / 1000.0 - _LEAP_S
    return utc_s if utc_s < _MAX_UTC_S else None


def _layout(body: bytes) -> tuple[int, Layout | None]:
    kind, length = body[0], body[1]
    name, types, columns = _text(body[2:6]), _text(body[6:22]), _text(body[22:86])
    known = [_TYPES.get(each) for each in types]
    if length < 3 or not name or any(each is None for each in known):
        return kind, None
    codes = [each for each in known if each is not None]
    unpacker = struct.Struct("<" + "".join(code for code, _ in codes))
    names = tuple(column for column in columns.split(",") if column)
    if unpacker.size != length - 3 or len(names) != len(codes):
        return kind, None
    return kind, Layout(
        name=name,
        length=length,
        unpacker=unpacker,
        scales=tuple(scale for _, scale in codes),
        texts=tuple(each in "nNZ" for each in types),
        columns=names,
    )


def _values(layout: Layout, body: bytes) -> dict[str, Value]:
    values: dict[str, Value] = {}
    columns = zip(layout.columns, layout.unpacker.unpack(body), layout.scales, layout.texts, strict=True)
    for name, value, scale, is_text in columns:
        if is_text:
            values[name] = _text(value)
        else:
            values[name] = value if scale == 1 else value * scale
    return values


def _text(data: bytes) -> str:
    return data.split(b"\0", 1)[0].decode("ascii", "replace").strip()
