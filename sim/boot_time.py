"""Moves the clocks inside MAVLink frames on, so that a flight played in a loop never steps back."""

import struct
from collections.abc import Mapping

from skywarden.mavlink.dialect import CRC_EXTRA, MESSAGES, SIGNED_FLAG, STX_V1, checksum
from skywarden.mavlink.tlog import is_intact

_U32 = 1 << 32
_U64 = 1 << 64
_CLOCKS = {"time_boot_ms": 1, "time_usec": 1_000, "time_unix_usec": 1_000}
"""Fields that count time, and their units in a millisecond; 0 in a 64-bit one means "not known" and stays."""


def shifted(raw: bytes, offset_ms: int) -> bytes:
    """The frame with every clock in it `offset_ms` later and a good checksum.

    Frames that are damaged, signed, of an unknown id or without a clock come back as they are.
    """
    if offset_ms == 0 or len(raw) < 8 or not is_intact(raw):
        return raw
    is_v1 = raw[0] == STX_V1
    if not is_v1 and raw[2] & SIGNED_FLAG:
        return raw
    header = 6 if is_v1 else 10
    msgid = raw[5] if is_v1 else raw[7] | raw[8] << 8 | raw[9] << 16
    message = MESSAGES[msgid]
    fields: Mapping[str, tuple[object, ...]] = message.dtype.fields or {}
    clocks = [name for name in _CLOCKS if name in fields]
    if not clocks:
        return raw
    length = raw[1]
    payload = bytearray(raw[header : header + length].ljust(message.size, b"\0"))
    for name in clocks:
        _advance(payload, fields[name], offset_ms * _CLOCKS[name])
    body = bytes(payload[:length]) if is_v1 else bytes(payload).rstrip(b"\0") or b"\0"
    head = raw[:header] if is_v1 else bytes([raw[0], len(body), *raw[2:header]])
    crc = checksum(head[1:] + body + CRC_EXTRA[msgid])
    return head + body + struct.pack("<H", crc)


def _advance(payload: bytearray, field: tuple[object, ...], units: int) -> None:
    dtype, offset = field[0], field[1]
    assert isinstance(offset, int)
    if str(dtype) == "uint32":
        value = struct.unpack_from("<I", payload, offset)[0]
        struct.pack_into("<I", payload, offset, (value + units) % _U32)
    elif str(dtype) == "uint64":
        value = struct.unpack_from("<Q", payload, offset)[0]
        if value:
            struct.pack_into("<Q", payload, offset, (value + units) % _U64)
