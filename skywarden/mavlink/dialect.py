"""The message table (ids, names, wire layouts, checksum seeds) taken from pymavlink's ardupilotmega dialect.

The dialect module is imported directly, so neither `MAVLINK20` nor `MAVLINK_DIALECT` matters, and nothing of
pymavlink's global state is touched.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from pymavlink.dialects.v20 import ardupilotmega

STX_V1 = 0xFE
STX_V2 = 0xFD
SIGNED_FLAG = 0x01
SIGNATURE_BYTES = 13
MAX_FRAME_BYTES = 255 + 12 + SIGNATURE_BYTES

_NUMPY_OF_STRUCT = {
    "c": "S1", "b": "i1", "B": "u1", "h": "<i2", "H": "<u2", "i": "<i4", "I": "<u4",
    "q": "<i8", "Q": "<u8", "f": "<f4", "d": "<f8",
}  # fmt: skip


def _checksum_function() -> Callable[[bytes], int]:
    """CRC-16/MCRF4XX of bytes: fastcrc where it is installed, else pymavlink's own (slower) code."""
    try:
        from fastcrc import crc16
    except ImportError:
        return lambda data: int(ardupilotmega.x25crc(data).crc)
    return cast(Callable[[bytes], int], crc16.mcrf4xx)


checksum = _checksum_function()
"""CRC-16/MCRF4XX of some bytes, start value 0xFFFF, as MAVLink uses it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Field:
    """One field as it lies on the wire; `count` is 1 for plain numbers, `is_text` marks char arrays."""

    name: str
    code: str
    count: int
    is_text: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class MessageType:
    """One message: its fields in wire order, packed little-endian layout and checksum seed.

    `fields` are in wire order, `names` in the order of the message definition.
    """

    msgid: int
    name: str
    crc_extra: bytes
    unpacker: struct.Struct
    fields: tuple[Field, ...]
    names: tuple[str, ...]
    dtype: np.dtype[Any]

    @property
    def size(self) -> int:
        """Full payload length in bytes, extensions included."""
        return self.unpacker.size


def _fields(message: Any) -> tuple[Field, ...]:
    codes = _expanded(message.unpacker.format)
    fields = []
    for name, (code, repeat), array in zip(
        message.ordered_fieldnames, codes, message.array_lengths, strict=True
    ):
        is_text = code == "s"
        count = repeat if is_text else max(1, array)
        fields.append(Field(name=name, code=code, count=count, is_text=is_text))
    return tuple(fields)


def _expanded(layout: str) -> list[tuple[str, int]]:
    """The (code, repeat) pairs of a struct format such as '<I4ff'."""
    pairs = []
    digits = ""
    for character in layout.lstrip("<"):
        if character.isdigit():
            digits += character
        else:
            pairs.append((character, int(digits or 1)))
            digits = ""
    return pairs


def _dtype(fields: tuple[Field, ...]) -> np.dtype[Any]:
    columns: list[Any] = []
    for field in fields:
        if field.is_text:
            columns.append((field.name, f"S{field.count}"))
        elif field.count > 1:
            columns.append((field.name, _NUMPY_OF_STRUCT[field.code], (field.count,)))
        else:
            columns.append((field.name, _NUMPY_OF_STRUCT[field.code]))
    return np.dtype(columns)


def _message_type(message: Any) -> MessageType:
    fields = _fields(message)
    return MessageType(
        msgid=message.id,
        name=message.msgname,
        crc_extra=bytes([message.crc_extra]),
        unpacker=message.unpacker,
        fields=fields,
        names=tuple(message.fieldnames),
        dtype=_dtype(fields),
    )


MESSAGES: dict[int, MessageType] = {
    msgid: _message_type(message) for msgid, message in ardupilotmega.mavlink_map.items()
}
"""Every message the dialect knows, by id."""

CRC_EXTRA: dict[int, bytes] = {msgid: message.crc_extra for msgid, message in MESSAGES.items()}
"""Checksum seed of each known id, as the one byte that is appended before the checksum."""

IDS: dict[str, int] = {message.name: msgid for msgid, message in MESSAGES.items()}
"""Message id by name."""
