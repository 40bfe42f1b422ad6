"""Telemetry logs ([uint64 big-endian microseconds UTC][raw MAVLink frame], repeated): read, index, write.

Reading works in blocks of bounded size. Where a record is damaged the scan begins again at the next byte and
takes the next frame whose checksum holds, so every intact frame of a damaged file is found; a frame whose own
time stamp is damaged gets the stamp of the record before it.
"""

import re
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from skywarden.errors import InputError
from skywarden.mavlink.dialect import (
    CRC_EXTRA,
    MAX_FRAME_BYTES,
    SIGNATURE_BYTES,
    SIGNED_FLAG,
    STX_V1,
    STX_V2,
    checksum,
)

STAMP_BYTES = 8
MAX_RECORD_BYTES = STAMP_BYTES + MAX_FRAME_BYTES
BLOCK_BYTES = 1 << 22
PAD_BYTES = 512
MAX_STAMP_STEP_US = 3 * 24 * 3600 * 1_000_000
MAX_PREFIX_CHANGES = 8
_LAST_US = (1 << 63) // 1_000 - 1
_STX = re.compile(rb"[\xfd\xfe]")

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordIndex:
    """Where the frames of one block lie: offset and length in bytes, time in microseconds UTC; shape (N,)."""

    offset: Ints
    length: Ints
    time_us: Ints


def read_tlog(path: Path) -> Iterator[tuple[int, bytes]]:
    """Each well-framed record as (UTC nanoseconds, raw frame), byte for byte and in file order.

    Frames with unknown ids or a wrong checksum in an intact record are included: whoever decodes judges
    them. Raises `InputError` when the file cannot be read or is no telemetry log; an empty file is an empty
    log.
    """
    for block, index in read_blocks(path, lead=STAMP_BYTES):
        data = block.tobytes()
        rows = zip(index.offset.tolist(), index.length.tolist(), index.time_us.tolist(), strict=True)
        for offset, length, time_us in rows:
            yield time_us * 1_000, data[offset : offset + length]


def write_tlog(path: Path, records: Iterable[tuple[int, bytes]]) -> int:
    """Write (UTC nanoseconds, raw frame) records to a new file; returns how many.

    Raises `InputError` when the file cannot be written.
    """
    count = 0
    try:
        with path.open("wb") as file:
            for time_ns, raw in records:
                file.write(pack_record(time_ns, raw))
                count += 1
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror})") from error
    return count


def pack_record(time_ns: int, raw: bytes) -> bytes:
    """One record, stamped in microseconds. Raises `InputError` for a time before 1970 or a wrong length."""
    if time_ns < 0 or not 8 <= len(raw) <= MAX_FRAME_BYTES:
        raise InputError(f"a record at {time_ns} ns with {len(raw)} bytes does not fit a telemetry log")
    return struct.pack(">Q", time_ns // 1_000) + raw


def is_raw_stream(path: Path) -> bool:
    """Whether the file begins with a MAVLink frame, so has no stamps. Raises `InputError` if unreadable."""
    with _opened(path) as file:
        head = file.read(1)
        second = file.read(STAMP_BYTES)
    return bool(head) and head[0] in (STX_V1, STX_V2) and second[-1:] not in (b"\xfd", b"\xfe")


def read_blocks(
    path: Path, *, lead: int, scanner: "RecordScanner | None" = None
) -> Iterator[tuple[Bytes, RecordIndex]]:
    """Blocks of the file with the index of the records that begin in them; `lead` 8 for stamps, 0 without.

    Each block is followed by at least 512 readable zero bytes beyond its last record. Raises `InputError`
    when the file is not empty and holds not one frame with a good checksum.
    """
    scanner = scanner or RecordScanner(lead=lead)
    with _opened(path) as file:
        carry = b""
        while True:
            piece = file.read(BLOCK_BYTES)
            is_last = len(piece) < BLOCK_BYTES
            block = np.frombuffer(carry + piece + bytes(PAD_BYTES), dtype=np.uint8)
            size = len(carry) + len(piece)
            index, consumed = scanner.scan(block, size, is_last=is_last)
            yield block, index
            if is_last:
                break
            carry = block[consumed:size].tobytes()
    if scanner.total_bytes and not scanner.records:
        raise InputError(
            f"{path}: no telemetry log: not one MAVLink frame with a good checksum "
            f"in {scanner.total_bytes} bytes"
        )


class RecordScanner:
    """Finds records in successive blocks; `lead` bytes (8: a stamp, 0: nothing) stand before each frame.

    Attributes:
        records: records found so far.
        bad_crc: records that began where one was expected, failed their checksum and broke the sequence
            (those that kept the sequence are in the index, and are for the reader to judge).
        skipped_bytes: bytes that belong to no record.
        total_bytes: bytes looked at.
    """

    def __init__(self, *, lead: int) -> None:
        self._lead = lead
        self._last_us: int | None = None
        self._verified = False
        self.records = 0
        self.bad_crc = 0
        self.skipped_bytes = 0
        self.total_bytes = 0

    def scan(self, block: Bytes, size: int, *, is_last: bool) -> tuple[RecordIndex, int]:
        """Index of the records that begin in `block[:size]`, and how many bytes were used up.

        The rest must stand at the beginning of the next block. `block` is padded by `PAD_BYTES`.
        """
        work = _BlockScan(self, block, size, size if is_last else max(0, size - MAX_RECORD_BYTES))
        consumed = work.run()
        index = work.index()
        self.records += len(index.offset)
        self.total_bytes += consumed
        return index, consumed


class _BlockScan:
    """One pass over one block; the scanner's counters and last stamp outlive it."""

    def __init__(self, scanner: RecordScanner, block: Bytes, size: int, limit: int) -> None:
        self._scanner = scanner
        self._lead = scanner._lead
        self._block = block
        self._view = memoryview(block.data)
        self._size = size
        self._limit = limit
        self._pieces: list[tuple[Ints, Ints, Ints]] = []
        if self._lead and scanner._last_us is None:
            scanner._last_us = self._first_stamp()
        self._prefix: int | None = None
        self._prefix_changes = 0
        self._use_prefix()

    def run(self) -> int:
        """Walk from candidate to candidate in whole runs; recover where the sequence breaks."""
        position = 0
        while position < self._limit:
            first = int(np.searchsorted(self._starts, position))
            if first < len(self._starts) and self._starts[first] == position:
                position = self._take_run(first)
            else:
                position = self._recover(position, position)
        return min(position, self._size)

    def index(self) -> RecordIndex:
        """What was found, in file order."""
        if not self._pieces:
            empty = np.empty(0, dtype=np.int64)
            return RecordIndex(offset=empty, length=empty, time_us=empty)
        offset, length, time_us = (np.concatenate(column) for column in zip(*self._pieces, strict=True))
        return RecordIndex(offset=offset, length=length, time_us=time_us)

    def _first_stamp(self) -> int | None:
        """The stamp of a damaged or unknown first record, where a good second one vouches for it."""
        if self._size < MAX_RECORD_BYTES or self._view[STAMP_BYTES] not in (STX_V1, STX_V2):
            return None
        second = STAMP_BYTES + _frame_length(self._view, STAMP_BYTES)
        offset = second + STAMP_BYTES
        if offset + MAX_FRAME_BYTES > self._size or self._view[offset] not in (STX_V1, STX_V2):
            return None
        first_us = int.from_bytes(self._view[:STAMP_BYTES], "big")
        second_us = int.from_bytes(self._view[second:offset], "big")
        is_near = first_us < _LAST_US and abs(second_us - first_us) <= MAX_STAMP_STEP_US
        end = offset + _frame_length(self._view, offset)
        return first_us if is_near and self._has_good_checksum(offset, end) else None

    def _use_prefix(self) -> None:
        """Find candidate records: a start byte after a stamp with the upper 16 bits of the last one."""
        lead, limit = self._lead, self._limit
        marks = self._block[lead : lead + limit]
        is_start = (marks == STX_V1) | (marks == STX_V2)
        if lead:
            last_us = self._scanner._last_us
            self._prefix = None if last_us is None else last_us >> 48
            if self._prefix is None:
                is_start[:] = False
            else:
                is_start &= self._block[:limit] == self._prefix >> 8
                is_start &= self._block[1 : limit + 1] == self._prefix & 0xFF
        self._starts: Ints = np.flatnonzero(is_start)
        self._lengths = frame_lengths(self._block, self._starts + lead)
        self._ends: Ints = self._starts + lead + self._lengths
        self._breaks = np.flatnonzero(np.append(self._ends[:-1] != self._starts[1:], True))[
            : len(self._starts)
        ]

    def _take_run(self, first: int) -> int:
        """Accept candidates from `first` to the next break in the sequence; returns the next position."""
        last = int(self._breaks[np.searchsorted(self._breaks, first)])
        start, end = int(self._starts[last]), int(self._ends[last])
        if self._is_trusted(last, start + self._lead, end):
            self._accept(first, last + 1)
            return end
        self._accept(first, last)
        if end <= self._size:
            self._scanner.bad_crc += int(self._msgid(start + self._lead) in CRC_EXTRA)
        return self._recover(start, start + self._lead + 1)

    def _is_trusted(self, candidate: int, offset: int, end: int) -> bool:
        """The last record before a break counts when its checksum holds, or another record follows it.

        The latter only when no intact record begins inside: then this one was cut off and swallowed it.
        """
        if end > self._size:
            return False
        if self._has_good_checksum(offset, end):
            return True
        following = int(np.searchsorted(self._starts, end))
        if any(self._is_good_record(inner) for inner in range(candidate + 1, following)):
            return False
        if self._lead and end == self._size:
            return True
        if following >= len(self._starts) or self._starts[following] != end:
            return False
        return bool(self._lead) or self._is_good_record(following)

    def _is_good_record(self, candidate: int) -> bool:
        end = int(self._ends[candidate])
        return end <= self._size and self._has_good_checksum(int(self._starts[candidate]) + self._lead, end)

    def _recover(self, position: int, search_from: int) -> int:
        """Take the next frame with a good checksum at or after `search_from`; returns the next position."""
        for match in _STX.finditer(self._view, search_from, self._size):
            offset = match.start()
            if offset >= self._limit + self._lead:
                break
            end = offset + _frame_length(self._view, offset)
            if end > self._size or not self._has_good_checksum(offset, end):
                continue
            start, time_us = self._stamp_before(offset, position)
            if start is None:
                continue
            self._scanner.skipped_bytes += start - position
            self._append(offset, end - offset, time_us)
            if self._lead and self._prefix != time_us >> 48 and self._prefix_changes < MAX_PREFIX_CHANGES:
                self._prefix_changes += 1
                self._use_prefix()
            return end
        self._scanner.skipped_bytes += max(self._limit, position) - position
        return max(self._limit, position)

    def _stamp_before(self, offset: int, position: int) -> tuple[int | None, int]:
        """Where the record of a recovered frame begins and its time; no start when no time can be known."""
        if not self._lead:
            return offset, 0
        last_us = self._scanner._last_us
        if offset - STAMP_BYTES >= position:
            time_us = int.from_bytes(self._view[offset - STAMP_BYTES : offset], "big")
            if time_us < _LAST_US and (last_us is None or abs(time_us - last_us) <= MAX_STAMP_STEP_US):
                return offset - STAMP_BYTES, time_us
        return (None, 0) if last_us is None else (offset, last_us)

    def _accept(self, first: int, beyond: int) -> None:
        if beyond <= first:
            return
        starts = self._starts[first:beyond]
        if self._lead:
            times = _stamps(self._block, starts)
            self._scanner._last_us = int(times[-1])
        else:
            times = np.zeros(len(starts), dtype=np.int64)
        self._pieces.append((starts + self._lead, self._lengths[first:beyond], times))

    def _append(self, offset: int, length: int, time_us: int) -> None:
        if self._lead:
            self._scanner._last_us = time_us
        self._pieces.append((np.array([offset]), np.array([length]), np.array([time_us])))

    def _has_good_checksum(self, offset: int, end: int) -> bool:
        return is_intact(bytes(self._view[offset:end]))

    def _msgid(self, offset: int) -> int:
        if self._view[offset] == STX_V1:
            return self._view[offset + 5]
        return int.from_bytes(self._view[offset + 7 : offset + 10], "little")


def frame_lengths(block: Bytes, offset: Ints) -> Ints:
    """Length in bytes that the header of the frame at each offset claims, signature included."""
    is_v2 = block[offset] == STX_V2
    is_signed = is_v2 & ((block[offset + 2] & SIGNED_FLAG) != 0)
    lengths = block[offset + 1].astype(np.int64) + 8
    lengths += 4 * is_v2
    lengths += SIGNATURE_BYTES * is_signed
    return lengths


def is_intact(raw: bytes) -> bool:
    """Whether a complete frame of a known id has a good checksum (and no unknown incompatibility flag)."""
    if raw[0] == STX_V1:
        extra = CRC_EXTRA.get(raw[5])
        end = len(raw) - 2
    elif raw[2] & ~SIGNED_FLAG:
        return False
    else:
        extra = CRC_EXTRA.get(raw[7] | raw[8] << 8 | raw[9] << 16)
        end = len(raw) - 2 - (SIGNATURE_BYTES if raw[2] & SIGNED_FLAG else 0)
    return extra is not None and checksum(raw[1:end] + extra) == raw[end] | raw[end + 1] << 8


def _frame_length(view: memoryview, offset: int) -> int:
    """As `frame_lengths` for one frame; a header beyond the data's end claims more than there is."""
    if view[offset] == STX_V1:
        return view[offset + 1] + 8
    return view[offset + 1] + 12 + (SIGNATURE_BYTES if view[offset + 2] & SIGNED_FLAG else 0)


def _stamps(block: Bytes, starts: Ints) -> Ints:
    """The big-endian stamps at `starts` as int64 (beyond the year 2262 they are cut)."""
    every: npt.NDArray[Any] = np.ndarray((len(block) - 7,), dtype=">u8", buffer=block.data, strides=(1,))
    stamps: Ints = np.minimum(every[starts].astype(np.uint64), np.uint64(_LAST_US)).astype(np.int64)
    return stamps


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
