"""Every field of every AIS message (ITU-R M.1371-5, annex 8), from one table; for people and for other code.

The names are those that gpsd and pyais use (this is the adapter that speaks AIS); values are scaled, and what
says "not available" is `None`. The fast way to the few fields that the picture needs is
`skywarden.ais.reports`; tests hold the two against each other, and both against other people's decoders.
"""

from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

from skywarden.ais.payload import text_of, unarmour
from skywarden.errors import WireError

Value = int | float | str | bool | None
Kind = Literal["u", "i", "b", "t", "x", "m", "-"]


class Field(NamedTuple):
    """`kind`: u unsigned, i signed, b flag, t text, x hexadecimal, m MMSI, - spare; `missing` in raw units.

    Width 0 takes what is left (less `keep` bits).
    """

    name: str
    width: int
    kind: Kind = "u"
    scale: float = 1.0
    missing: int | None = None
    keep: int = 0


_KINDS: Mapping[str, Kind] = {"u": "u", "i": "i", "b": "b", "t": "t", "x": "x", "m": "m", "-": "-"}


def _f(text: str) -> tuple[Field, ...]:
    """Fields written `name:width[:kind[:scale[:missing]]]`, by blanks."""
    found = []
    for word in text.split():
        name, width, *rest = word.split(":")
        kind: Kind = _KINDS[rest[0]] if rest else "u"
        scale = float(rest[1]) if len(rest) > 1 else 1.0
        missing = int(rest[2]) if len(rest) > 2 else None
        found.append(Field(name, int(width), kind, scale, missing))
    return tuple(found)


_PLACE = "lon:28:i:600000:108600000 lat:27:i:600000:54600000"
_COARSE = "lon:18:i:600:108600 lat:17:i:600:54600"
_HULL = "to_bow:9 to_stern:9 to_port:6 to_starboard:6"
_MOVE = "speed:10:u:10:1023 accuracy:1:b"
_A = _f(
    f"status:4 turn:8:i:1:-128 {_MOVE} {_PLACE} course:12:u:10:3600 heading:9:u:1:511 second:6 maneuver:2 "
    "spare:3:- raim:1:b radio:19"
)
_BASE = _f(
    f"year:14:u:1:0 month:4:u:1:0 day:5:u:1:0 hour:5:u:1:24 minute:6:u:1:60 second:6:u:1:60 accuracy:1:b "
    f"{_PLACE} epfd:4 spare:10:- raim:1:b radio:19"
)
_ACKS = _f("spare:2:- mmsi1:30:m seq1:2 mmsi2:30:m seq2:2 mmsi3:30:m seq3:2 mmsi4:30:m seq4:2")
_DATA = (Field("data", 0, "x"),)
_TEXT = (Field("text", 0, "t"),)
_RESERVATION = " ".join(f"offset{n}:12 number{n}:4 timeout{n}:3 increment{n}:11" for n in (1, 2, 3, 4))
_24A = _f("partno:2 shipname:120:t")
_24B = _f(f"partno:2 shiptype:8 vendorid:18:t model:4 serial:20 callsign:42:t {_HULL} spare:6:-")
_24B_CRAFT = _f("partno:2 shiptype:8 vendorid:18:t model:4 serial:20 callsign:42:t mothership_mmsi:30:m")
_CHANNELS = "spare:2:- channel_a:12 channel_b:12 txrx:4 power:1:b"
_CORNERS = "ne_lon:18:i:600:108600 ne_lat:17:i:600:54600 sw_lon:18:i:600:108600 sw_lat:17:i:600:54600"
_BANDS = "addressed:1:b band_a:1:b band_b:1:b zonesize:3"

TABLE: Mapping[int, tuple[Field, ...]] = {
    1: _A,
    2: _A,
    3: _A,
    4: _BASE,
    5: _f(
        f"ais_version:2 imo:30 callsign:42:t shipname:120:t shiptype:8 {_HULL} epfd:4 month:4:u:1:0 "
        "day:5:u:1:0 hour:5:u:1:24 minute:6:u:1:60 draught:8:u:10 destination:120:t dte:1"
    ),
    6: (*_f("seqno:2 dest_mmsi:30:m retransmit:1:b spare:1:- dac:10 fid:6"), *_DATA),
    7: _ACKS,
    8: (*_f("spare:2:- dac:10 fid:6"), *_DATA),
    9: _f(
        f"alt:12:u:1:4095 speed:10:u:1:1023 accuracy:1:b {_PLACE} course:12:u:10:3600 second:6 regional:8 "
        "dte:1 spare:3:- assigned:1:b raim:1:b radio:20"
    ),
    10: _f("spare:2:- dest_mmsi:30:m"),
    11: _BASE,
    12: (*_f("seqno:2 dest_mmsi:30:m retransmit:1:b spare:1:-"), *_TEXT),
    13: _ACKS,
    14: (*_f("spare:2:-"), *_TEXT),
    15: _f(
        "spare:2:- mmsi1:30:m type1_1:6 offset1_1:12 spare:2:- type1_2:6 offset1_2:12 spare:2:- mmsi2:30:m "
        "type2_1:6 offset2_1:12"
    ),
    16: _f("spare:2:- mmsi1:30:m offset1:12 increment1:10 mmsi2:30:m offset2:12 increment2:10"),
    17: (*_f(f"spare:2:- {_COARSE} spare:5:-"), *_DATA),
    18: _f(
        f"reserved:8 {_MOVE} {_PLACE} course:12:u:10:3600 heading:9:u:1:511 second:6 regional:2 cs:1:b "
        "display:1:b dsc:1:b band:1:b msg22:1:b assigned:1:b raim:1:b radio:20"
    ),
    19: _f(
        f"reserved:8 {_MOVE} {_PLACE} course:12:u:10:3600 heading:9:u:1:511 second:6 regional:4 "
        f"shipname:120:t shiptype:8 {_HULL} epfd:4 raim:1:b dte:1 assigned:1:b"
    ),
    20: _f(f"spare:2:- {_RESERVATION}"),
    21: (
        *_f(
            f"aid_type:5 name:120:t accuracy:1:b {_PLACE} {_HULL} epfd:4 second:6 off_position:1:b "
            "regional:8 raim:1:b virtual_aid:1:b assigned:1:b spare:1:-"
        ),
        Field("name_ext", 0, "t"),
    ),
    22: _f(f"{_CHANNELS} {_CORNERS} {_BANDS}"),
    23: _f(f"spare:2:- {_CORNERS} stationtype:4 shiptype:8 spare:22:- txrx:2 interval:4 quiet:4"),
    24: _24A,
    25: _DATA,
    26: _DATA,
    27: _f(f"accuracy:1:b raim:1:b status:4 {_COARSE} speed:6:u:1:63 course:9:u:1:511 gnss:1"),
}
"""What follows the common head (message type 6, repeat 2, MMSI 30) in each message type."""

LEAST_BITS: Mapping[int, int] = {
    1: 163, 2: 163, 3: 163, 4: 168, 5: 420, 6: 88, 7: 72, 8: 56, 9: 168, 10: 72, 11: 168, 12: 72, 13: 72,
    14: 40, 15: 88, 16: 92, 17: 80, 18: 168, 19: 312, 20: 70, 21: 271, 22: 168, 23: 160, 24: 160, 25: 40,
    26: 60, 27: 95,
}  # fmt: skip
"""Shorter ones are damaged. Some talkers leave out spare bits at the end, which is no damage."""


def decode_fields(payload: bytes, fill: int = 0) -> dict[str, Value]:
    """All fields of one message by name, in the order of the standard; `type`, `repeat` and `mmsi` first.

    Fields that the message is too short for (there are optional ones) are left out. Raises `WireError` when
    the type is unknown or the message is shorter than its type can be.
    """
    number, length = unarmour(payload, fill)
    if length < 38:
        raise WireError(f"an AIS message of {length} bits has no head")
    kind = number >> (length - 6)
    if kind not in TABLE:
        raise WireError(f"there is no AIS message type {kind}")
    if length < LEAST_BITS[kind]:
        raise WireError(f"an AIS message {kind} of {length} bits is cut short ({LEAST_BITS[kind]} at least)")
    bits = _Bits(number, length, 38)
    found: dict[str, Value] = {
        "type": kind,
        "repeat": number >> (length - 8) & 3,
        "mmsi": f"{number >> (length - 38) & 0x3FFFFFFF:09d}",
    }
    for field in _layout(kind, bits):
        if field.width > bits.left:
            break
        value = bits.take(field)
        if field.kind != "-":
            found[field.name] = value
    return _named_course(found)


class _Bits:
    """A message, read from the front."""

    def __init__(self, number: int, length: int, place: int) -> None:
        self._number = number
        self._length = length
        self._place = place

    @property
    def left(self) -> int:
        return self._length - self._place

    def peek(self, offset: int, width: int) -> int:
        """`width` bits at `offset` from the start of the message; zeros beyond its end."""
        shift = self._length - offset - width
        value = self._number >> shift if shift >= 0 else self._number << -shift
        return value & ((1 << width) - 1)

    def take(self, field: Field) -> Value:
        width = field.width or max(0, self.left - field.keep)
        raw = self.peek(self._place, width)
        self._place += width
        return _READ[field.kind](raw, width, field)


def _unsigned(raw: int, width: int, field: Field) -> Value:
    if raw == field.missing:
        return None
    return raw if field.scale == 1.0 else raw / field.scale


def _signed(raw: int, width: int, field: Field) -> Value:
    return _unsigned(raw - (1 << width) if raw >> (width - 1) else raw, width, field)


def _hexadecimal(raw: int, width: int, field: Field) -> Value:
    """gpsd's way: the count of bits, a colon, and the bits filled up behind to whole bytes."""
    return f"{width}:{raw << -width % 8:0{(width + 7) // 8 * 2}x}" if width else "0:"


_READ: Mapping[Kind, Callable[[int, int, Field], Value]] = {
    "u": _unsigned,
    "i": _signed,
    "b": lambda raw, width, field: bool(raw),
    "t": lambda raw, width, field: text_of(raw >> width % 6, width - width % 6),
    "x": _hexadecimal,
    "m": lambda raw, width, field: f"{raw:09d}",
    "-": lambda raw, width, field: None,
}


def _layout(kind: int, bits: _Bits) -> tuple[Field, ...]:
    """The table's row, or one of the shapes of a type that has several."""
    if kind == 24 and bits.peek(38, 2) == 1:
        craft = f"{bits.peek(0, 38) & 0x3FFFFFFF:09d}"
        return _24B_CRAFT if craft.startswith("98") else _24B
    if kind == 24 and bits.peek(38, 2) > 1:
        raise WireError(f"part {bits.peek(38, 2)} of an AIS message 24 is none")
    if kind == 22 and bits.peek(139, 1):
        return _f(f"{_CHANNELS} dest1:30:m spare:5:- dest2:30:m spare:5:- {_BANDS}")
    if kind in (25, 26):
        return _application(kind, is_addressed=bool(bits.peek(38, 1)), is_structured=bool(bits.peek(39, 1)))
    return TABLE[kind]


def layout_of(kind: int, values: Mapping[str, Value]) -> tuple[Field, ...]:
    """The fields of a message that is to be made of `values`: the same choice, made by them."""
    if kind == 24 and values.get("partno") == 1:
        return _24B_CRAFT if str(values.get("mmsi", "")).startswith("98") else _24B
    if kind == 22 and values.get("addressed"):
        return _f(f"{_CHANNELS} dest1:30:m spare:5:- dest2:30:m spare:5:- {_BANDS}")
    if kind in (25, 26):
        is_addressed, is_structured = bool(values.get("addressed")), bool(values.get("structured"))
        return _application(kind, is_addressed=is_addressed, is_structured=is_structured)
    return TABLE[kind]


def _application(kind: int, *, is_addressed: bool, is_structured: bool) -> tuple[Field, ...]:
    head = "addressed:1:b structured:1:b"
    head += " dest_mmsi:30:m" if is_addressed else ""
    head += " app_id:16" if is_structured else ""
    tail = (Field("data", 0, "x", keep=20), Field("radio", 20)) if kind == 26 else _DATA
    return (*_f(head), *tail)


def _named_course(found: dict[str, Value]) -> dict[str, Value]:
    """Directions beyond a circle are not available either; a name in two pieces becomes one."""
    for name, beyond in (("course", 360), ("heading", 360)):
        value = found.get(name)
        if isinstance(value, int | float) and value >= beyond:
            found[name] = None
    if found.get("type") == 21:
        extension = found.pop("name_ext", "")
        if extension and len(str(found["name"])) == 20:
            found["name"] = f"{found['name']}{extension}"
    return found
