"""MAVLink frames with some of their numbers changed and a good checksum: what a fault upstream would send."""

import struct
from collections.abc import Callable, Mapping

from skywarden.errors import InputError
from skywarden.mavlink.dialect import CRC_EXTRA, IDS, MESSAGES, SIGNED_FLAG, STX_V1, MessageType, checksum
from skywarden.mavlink.tlog import is_intact

Change = Callable[[Mapping[str, int | float]], Mapping[str, int | float]]
"""Given the numbers of a message (those of an array as `name[0]`, ...), those that are to be others."""


def message_id(raw: bytes) -> int | None:
    """The id of one intact, unsigned frame; None for any other bytes."""
    if len(raw) < 8 or not is_intact(raw) or (raw[0] != STX_V1 and raw[2] & SIGNED_FLAG):
        return None
    return raw[5] if raw[0] == STX_V1 else raw[7] | raw[8] << 8 | raw[9] << 16


def changed(raw: bytes, changes: Mapping[str, Change]) -> bytes:
    """The frame with the change that is named after its message applied; any other comes back as it is.

    Whole numbers are rounded and kept within their fields. Raises `InputError` for a field that is not there.
    """
    msgid = message_id(raw)
    message = MESSAGES.get(-1 if msgid is None else msgid)
    if message is None or message.name not in changes:
        return raw
    is_v1 = raw[0] == STX_V1
    header = 6 if is_v1 else 10
    payload = bytearray(raw[header : header + raw[1]].ljust(message.size, b"\0"))
    for name, value in changes[message.name](_numbers(message, bytes(payload))).items():
        _put(message, payload, name, value)
    body = bytes(payload[: raw[1]]) if is_v1 else bytes(payload).rstrip(b"\0") or b"\0"
    head = raw[:header] if is_v1 else bytes([raw[0], len(body), *raw[2:header]])
    crc = checksum(head[1:] + body + CRC_EXTRA[IDS[message.name]])
    return head + body + struct.pack("<H", crc)


def numbers_of(raw: bytes) -> tuple[str, dict[str, int | float]] | None:
    """Name and numbers of one intact, unsigned frame; None for any other bytes."""
    msgid = message_id(raw)
    message = MESSAGES.get(-1 if msgid is None else msgid)
    if message is None:
        return None
    header = 6 if raw[0] == STX_V1 else 10
    payload = raw[header : header + raw[1]].ljust(message.size, b"\0")
    return message.name, _numbers(message, payload)


def _numbers(message: MessageType, payload: bytes) -> dict[str, int | float]:
    values = message.unpacker.unpack(payload)
    out: dict[str, int | float] = {}
    at = 0
    for field in message.fields:
        width = 1 if field.is_text else field.count
        if width == 1 and not field.is_text:
            out[field.name] = values[at]
        elif not field.is_text:
            out |= {f"{field.name}[{index}]": values[at + index] for index in range(width)}
        at += width
    return out


def _put(message: MessageType, payload: bytearray, name: str, value: int | float) -> None:
    offset = 0
    for field in message.fields:
        spelled = [field.name] if field.count == 1 else [f"{field.name}[{at}]" for at in range(field.count)]
        if not field.is_text and name in spelled:
            place = offset + spelled.index(name) * struct.calcsize(f"<{field.code}")
            struct.pack_into(f"<{field.code}", payload, place, _fitted(field.code, value))
            return
        offset += struct.calcsize(f"<{field.count}{'s' if field.is_text else field.code}")
    raise InputError(f"{message.name} has no number {name!r}")


def _fitted(code: str, value: int | float) -> int | float:
    if code in "fd":
        return value
    bits = 8 * struct.calcsize(f"<{code}")
    half: int = 1 << (bits - 1)
    low, high = (0, 2 * half - 1) if code.isupper() else (-half, half - 1)
    return max(low, min(high, round(value)))
