"""Fields to sentences: the way back, for simulated receivers, for tests, and for files of others."""

from collections.abc import Iterator, Mapping

from skywarden.ais.fields import LEAST_BITS, TABLE, Field, Value, layout_of
from skywarden.ais.payload import armour, checksum, text_bits
from skywarden.errors import InputError

_PART_CHARACTERS = 60
_WHOLE_BYTES = frozenset({1, 2, 3, 5, 18, 19, 24, 27})
"""Types that end with spare bits which the table does not name."""


def compose_payload(values: Mapping[str, Value]) -> tuple[bytes, int]:
    """The payload of one message and its bits of padding, from what `decode_fields` gives.

    `type` and `mmsi` are needed; `None`, and what is left out, becomes "not available" or zero. Raises
    `InputError` for a type that there is not, or a value that its field cannot hold.
    """
    kind, mmsi = values.get("type"), values.get("mmsi")
    if not isinstance(kind, int) or kind not in TABLE or not isinstance(mmsi, str) or not mmsi.isdigit():
        raise InputError(f"an AIS message needs type (1 to 27) and mmsi (digits), not {kind!r} and {mmsi!r}")
    repeat = values.get("repeat", 0)
    number, bits = kind, 6
    number = number << 2 | (int(repeat) if isinstance(repeat, int) else 0)
    number, bits = number << 30 | int(mmsi), 38
    for field in layout_of(kind, values):
        raw, width = _raw(field, values.get(field.name))
        if not 0 <= raw < 1 << width and width:
            raise InputError(f"{field.name} = {values.get(field.name)!r} does not fit into {width} bits")
        number, bits = number << width | raw, bits + width
    spare = max(LEAST_BITS[kind] - bits, -bits % 8 if kind in _WHOLE_BYTES else 0)
    number, bits = number << spare, bits + spare
    return armour(number, bits)


def compose_sentences(
    values: Mapping[str, Value], *, channel: str = "A", sequence: int = 0, talker: str = "AIVDM"
) -> Iterator[bytes]:
    """The sentence of a message, or its sentences where one does not hold it; without line ends."""
    payload, fill = compose_payload(values)
    pieces = [payload[start : start + _PART_CHARACTERS] for start in range(0, len(payload), _PART_CHARACTERS)]
    for number, piece in enumerate(pieces, 1):
        name = "" if len(pieces) == 1 else str(sequence % 10)
        padding = fill if number == len(pieces) else 0
        body = f"{talker},{len(pieces)},{number},{name},{channel},".encode() + piece + f",{padding}".encode()
        yield b"!" + body + f"*{checksum(body):02X}".encode()


def _raw(field: Field, value: Value) -> tuple[int, int]:
    """The bits of one field, and how many."""
    if field.kind == "x":
        bits, _, digits = str(value or "0:").partition(":")
        width = int(bits or 0)
        return (int(digits, 16) >> -width % 8 if digits else 0), width
    if field.kind == "t":
        text = str(value or "")
        characters = field.width // 6 if field.width else len(text)
        return text_bits(text, characters) << field.width % 6, field.width or 6 * characters
    if field.kind == "-":
        return 0, field.width
    if value is None:
        raw = field.missing if field.missing is not None else 0
    elif field.kind == "m" or isinstance(value, bool):
        raw = int(value)
    elif isinstance(value, int | float):
        raw = round(value * field.scale)
    else:
        raise InputError(f"{field.name} = {value!r} is no number")
    return raw & ((1 << field.width) - 1) if field.kind == "i" else raw, field.width
