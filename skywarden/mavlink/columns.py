"""A whole MAVLink log as numpy columns, one table per message, with every checksum verified.

Does what a loop over pymavlink's `recv_match()` does, with the same values and the same count of frames with
a bad checksum, some forty times faster: records are found in whole runs (see `skywarden.mavlink.tlog`), the
checksums of all frames advance together, and payloads are gathered as packed rows.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from skywarden.errors import InputError
from skywarden.mavlink.dialect import CRC_EXTRA, IDS, MESSAGES, SIGNATURE_BYTES, SIGNED_FLAG, STX_V2
from skywarden.mavlink.tlog import STAMP_BYTES, Bytes, Ints, RecordScanner, is_raw_stream, read_blocks

MAX_UNKNOWN_IDS = 256
_OTHER_IDS = -1
_MAX_ID = max(CRC_EXTRA)


def _checksum_table() -> npt.NDArray[np.uint16]:
    """CRC-16/MCRF4XX (polynomial 0x1021 reflected) of each byte value."""
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ 0x8408, table >> 1)
    return table.astype(np.uint16)


def _checksum_table_of_words(table: npt.NDArray[np.uint16]) -> npt.NDArray[np.uint16]:
    """The register after two more bytes, for each value of (register xor the two bytes, little-endian)."""
    register = np.arange(1 << 16, dtype=np.uint16)
    for _ in range(2):
        register = table[register & 0xFF] ^ (register >> 8)
    return register


_TABLE = _checksum_table()
_TABLE_OF_WORDS = _checksum_table_of_words(_TABLE)
_EXTRA = np.zeros(_MAX_ID + 2, dtype=np.uint8)
_IS_KNOWN = np.zeros(_MAX_ID + 2, dtype=np.bool_)
for _msgid, _extra in CRC_EXTRA.items():
    _EXTRA[_msgid] = _extra[0]
    _IS_KNOWN[_msgid] = True


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Table:
    """All intact frames of one message, in file order.

    Attributes:
        name: MAVLink name, such as "ATTITUDE".
        time_ns: (N,) UTC nanoseconds of the log's stamps; zeros where the log has none.
        sysid, compid, seq: (N,) who sent it, and its sequence number.
        values: (N,) structured array with the message's fields, in the units of the message; extensions and
            truncated zeros are zero; text is bytes without trailing NULs.
    """

    name: str
    time_ns: Ints
    sysid: Bytes
    compid: Bytes
    seq: Bytes
    values: npt.NDArray[Any]

    def __len__(self) -> int:
        return len(self.time_ns)

    def __getitem__(self, field_name: str) -> npt.NDArray[Any]:
        """The column of one field, shape (N,) or (N, count)."""
        column: npt.NDArray[Any] = self.values[field_name]
        return column


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Columns:
    """A log: tables by message name, and what was in it besides.

    Attributes:
        frames: intact frames of known ids, wanted or not.
        bad_crc: frames with a wrong checksum (or an incompatibility flag that nobody knows).
        unknown: count of frames by id that the dialect does not know; their checksum cannot be verified.
            Beyond 256 different ids the rest is counted under -1.
        skipped_bytes: bytes between records that belong to none.
    """

    tables: dict[str, Table]
    frames: int
    bad_crc: int
    unknown: dict[int, int]
    skipped_bytes: int

    def __getitem__(self, name: str) -> Table:
        """The table of one message, empty when the log has none. Raises `InputError` if no such name."""
        if name in self.tables:
            return self.tables[name]
        if name not in IDS:
            raise InputError(f"there is no MAVLink message {name[:40]!r} in the dialect")
        return _joined(name, [])


def read_columns(path: Path, *, only: Collection[str] | None = None) -> Columns:
    """Read a telemetry log, or a raw MAVLink stream without stamps, into columns.

    `only` limits the tables to some message names (everything is verified and counted all the same). Raises
    `InputError` when the file cannot be read, holds no MAVLink, or `only` has an unknown name.
    """
    wanted = _wanted_ids(only)
    lead = 0 if is_raw_stream(path) else STAMP_BYTES
    scanner = RecordScanner(lead=lead)
    reading = _Reading()
    for block, index in read_blocks(path, lead=lead, scanner=scanner):
        reading.add(block, index.offset, index.length, index.time_us, wanted)
    return Columns(
        tables={name: _joined(name, parts) for name, parts in sorted(reading.parts.items())},
        frames=reading.frames,
        bad_crc=reading.bad_crc + scanner.bad_crc,
        unknown=dict(sorted(reading.unknown.items())),
        skipped_bytes=scanner.skipped_bytes,
    )


@dataclass(kw_only=True, slots=True)
class _Reading:
    """What has been gathered so far."""

    parts: dict[str, list[Table]] = field(default_factory=dict)
    unknown: dict[int, int] = field(default_factory=dict)
    frames: int = 0
    bad_crc: int = 0

    def add(
        self, block: Bytes, offset: Ints, length: Ints, time_us: Ints, wanted: npt.NDArray[np.bool_]
    ) -> None:
        msgid = _message_ids(block, offset)
        slot = np.minimum(msgid, _MAX_ID + 1)
        is_known = _IS_KNOWN[slot]
        is_good = is_known & has_good_checksum(block, offset, length, _EXTRA[slot])
        self._count(msgid, is_known, is_good)
        rows = np.flatnonzero(is_good & wanted[slot])
        rows = rows[np.argsort(slot[rows].astype(np.uint16), kind="stable")]
        for group in _groups(slot[rows], rows):
            table = _table(int(msgid[group[0]]), block, offset[group], length[group], time_us[group])
            self.parts.setdefault(table.name, []).append(table)

    def _count(self, msgid: Ints, is_known: npt.NDArray[np.bool_], is_good: npt.NDArray[np.bool_]) -> None:
        good = int(np.count_nonzero(is_good))
        self.frames += good
        self.bad_crc += int(np.count_nonzero(is_known)) - good
        for foreign, count in zip(*np.unique(msgid[~is_known], return_counts=True), strict=True):
            is_listed = int(foreign) in self.unknown or len(self.unknown) < MAX_UNKNOWN_IDS
            key = int(foreign) if is_listed else _OTHER_IDS
            self.unknown[key] = self.unknown.get(key, 0) + int(count)


def has_good_checksum(block: Bytes, offset: Ints, length: Ints, extra: Bytes) -> npt.NDArray[np.bool_]:
    """Whether each frame's checksum holds, shape (N,).

    Frames are ordered by length, longest first, so that at each position a prefix of the arrays is still
    running; two bytes are taken at a time, as the register has sixteen bits. A frame with an incompatibility
    flag other than "signed" counts as bad.
    """
    is_v2 = block[offset] == STX_V2
    flags = np.where(is_v2, block[offset + 2], 0)
    covered = length - 3 - SIGNATURE_BYTES * ((flags & SIGNED_FLAG) != 0)
    order = np.argsort(-covered.astype(np.int16), kind="stable")
    covered_sorted = covered[order]
    words = block[:-1].astype(np.uint16) | block[1:].astype(np.uint16) << 8
    at = offset[order] + 1
    end = at + covered_sorted
    longest = int(covered_sorted[0]) // 2 if len(order) else 0
    running = np.searchsorted(-(covered_sorted // 2), -np.arange(longest), side="left")
    crc = np.full(len(order), 0xFFFF, dtype=np.uint16)
    for count in running:
        now = at[:count]
        crc[:count] = _TABLE_OF_WORDS[crc[:count] ^ words[now]]
        now += 2
    is_odd = (covered_sorted & 1) == 1
    crc[is_odd] = _advanced(crc[is_odd], block[at[is_odd]])
    crc = _advanced(crc, extra[order])
    told = words[end]
    is_good = np.empty(len(order), dtype=np.bool_)
    is_good[order] = crc == told
    is_good &= (flags & ~np.uint8(SIGNED_FLAG)) == 0
    return is_good


def _advanced(crc: npt.NDArray[np.uint16], data: Bytes) -> npt.NDArray[np.uint16]:
    """The registers one byte further."""
    further: npt.NDArray[np.uint16] = _TABLE[crc.astype(np.uint8) ^ data] ^ (crc >> 8)
    return further


def _message_ids(block: Bytes, offset: Ints) -> Ints:
    is_v2 = block[offset] == STX_V2
    wide = block[offset + 7].astype(np.int64)
    wide |= block[offset + 8].astype(np.int64) << 8
    wide |= block[offset + 9].astype(np.int64) << 16
    return np.where(is_v2, wide, block[offset + 5])


def _groups(sorted_keys: Ints, rows: Ints) -> Iterator[Ints]:
    if len(rows) == 0:
        return
    cuts = np.flatnonzero(np.diff(sorted_keys)) + 1
    yield from np.split(rows, cuts)


def _table(msgid: int, block: Bytes, offset: Ints, length: Ints, time_us: Ints) -> Table:
    message = MESSAGES[msgid]
    is_v2 = block[offset] == STX_V2
    header = np.where(is_v2, 10, 6)
    payload = block[offset + 1].astype(np.int64)
    return Table(
        name=message.name,
        time_ns=time_us * 1_000,
        sysid=block[offset + np.where(is_v2, 5, 3)],
        compid=block[offset + np.where(is_v2, 6, 4)],
        seq=block[offset + np.where(is_v2, 4, 2)],
        values=_rows(block, offset + header, payload, message.dtype),
    )


def _rows(block: Bytes, start: Ints, payload: Ints, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """The payloads as packed records; what a frame left out is zero."""
    size = dtype.itemsize
    every = np.ndarray((len(block) - size + 1,), dtype=f"V{size}", buffer=block.data, strides=(1,))
    rows = every[start]
    flat = rows.view(np.uint8).reshape(len(start), size)
    for length in np.unique(payload[payload < size]):
        cut = payload == length
        if cut.all():
            flat[:, length:] = 0
        else:
            flat[cut, length:] = 0
    return rows.view(dtype)


def _joined(name: str, parts: list[Table]) -> Table:
    if len(parts) == 1:
        return parts[0]
    none = np.empty(0, dtype=np.uint8)
    return Table(
        name=name,
        time_ns=np.concatenate([part.time_ns for part in parts] or [np.empty(0, dtype=np.int64)]),
        sysid=np.concatenate([part.sysid for part in parts] or [none]),
        compid=np.concatenate([part.compid for part in parts] or [none]),
        seq=np.concatenate([part.seq for part in parts] or [none]),
        values=np.concatenate(
            [part.values for part in parts] or [np.empty(0, dtype=MESSAGES[IDS[name]].dtype)]
        ),
    )


def _wanted_ids(only: Collection[str] | None) -> npt.NDArray[np.bool_]:
    if only is None:
        return _IS_KNOWN
    wanted = np.zeros_like(_IS_KNOWN)
    for name in only:
        if name not in IDS:
            raise InputError(f"there is no MAVLink message {name[:40]!r} in the dialect")
        wanted[IDS[name]] = True
    return wanted
