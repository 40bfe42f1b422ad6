"""A stream of bytes into MAVLink frames: hostile input, bounded memory, no intact frame lost.

A candidate that fails (wrong checksum, unknown flag, cut off) costs one byte: the search goes on behind its
start byte. So a frame that was cut short by the radio never takes the next, intact one with it. Behind noise,
an unfinished candidate does not hold up complete frames that follow it.

A frame with an id that the dialect does not know has no checksum that could be verified. It is believed only
in sequence: its sender has sent verified frames, it starts where the last frame ended, the next one starts
where it ends, and no frame with a good checksum begins inside it.
"""

import re
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from skywarden.mavlink.dialect import (
    CRC_EXTRA,
    MAX_FRAME_BYTES,
    SIGNATURE_BYTES,
    SIGNED_FLAG,
    STX_V1,
    STX_V2,
    checksum,
)

MAX_UNKNOWN_IDS = 256
OTHER_IDS = -1
MAX_SENDERS = 1024
MAX_FEED_BYTES = 1 << 20

_STX = re.compile(rb"[\xfd\xfe]")


class Frame(NamedTuple):
    """One frame; `raw` is all of it, `payload` its content as it came (MAVLink 2 cuts trailing zeros).

    `is_known` is false where the dialect has no such id: then nothing vouches for the content. `is_signed`
    says that a signature is there; only a framer with a guard has verified it.
    """

    version: int
    sysid: int
    compid: int
    msgid: int
    seq: int
    payload: bytes
    raw: bytes
    is_signed: bool
    is_known: bool


class Guard(Protocol):
    """Decides about signatures (see `skywarden.mavlink.signing.SigningGuard`)."""

    def admits(self, frame: Frame) -> bool:
        """Whether the frame may pass."""
        ...


@dataclass(kw_only=True, slots=True)
class FramingCounts:
    """What a framer has seen.

    Attributes:
        frames: frames handed out.
        bad_crc: frames where one was expected whose checksum failed.
        bad_flags: the same with an incompatibility flag that nobody knows.
        unknown: frames by unknown id; beyond 256 different ids the rest is counted under -1.
        refused: frames that the signing guard refused.
        skipped_bytes: bytes that belong to no frame.
    """

    frames: int = 0
    bad_crc: int = 0
    bad_flags: int = 0
    unknown: dict[int, int] = field(default_factory=dict)
    refused: int = 0
    skipped_bytes: int = 0

    def count_unknown(self, msgid: int) -> None:
        """Count one frame of an unknown id without letting the table grow."""
        key = msgid if msgid in self.unknown or len(self.unknown) < MAX_UNKNOWN_IDS else OTHER_IDS
        self.unknown[key] = self.unknown.get(key, 0) + 1


class Framer:
    """Bytes in, frames out. With a `guard` only frames that it admits come out, and never unknown ids.

    At most one unfinished frame (280 bytes) stays in memory between calls.
    """

    def __init__(self, guard: Guard | None = None) -> None:
        self.counts = FramingCounts()
        self._guard = guard
        self._rest = b""
        self._is_in_sequence = True
        self._failed_until = 0
        self._senders: set[tuple[int, int]] = set()

    @property
    def pending_bytes(self) -> int:
        """Bytes of an unfinished frame that wait for more."""
        return len(self._rest)

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that are complete with `data`. More than 1 MiB at once is taken in slices."""
        frames: list[Frame] = []
        for start in range(0, len(data), MAX_FEED_BYTES):
            frames += self._scan(data[start : start + MAX_FEED_BYTES], is_end=False)
        return frames

    def flush(self) -> list[Frame]:
        """The stream paused or ended: what waits is cut off, so look for intact frames behind its start."""
        return self._scan(b"", is_end=True)

    def _scan(self, data: bytes, *, is_end: bool) -> list[Frame]:
        buffer = self._rest + data if self._rest else data
        size = len(buffer)
        frames: list[Frame] = []
        position = expected = 0
        waiting = -1
        while match := _STX.search(buffer, position):
            start = match.start()
            if start > expected:
                self._is_in_sequence = False
            end = _frame_end(buffer, start, size)
            if end > size:
                if self._is_in_sequence and not is_end:
                    waiting = start
                    break
                waiting = start if waiting < 0 else waiting
                position = start + 1
                continue
            frame = self._frame_at(buffer, start, end, size, is_end)
            if frame is _UNDECIDED:
                waiting = start
                break
            if frame is None:
                self._is_in_sequence = False
                position = start + 1
                continue
            self.counts.skipped_bytes += start - expected
            position = expected = end
            waiting = -1
            self._is_in_sequence = True
            if self._passes(frame):
                frames.append(frame)
        self._keep(buffer, expected, size if is_end or waiting < 0 else waiting)
        return frames

    def _keep(self, buffer: bytes, expected: int, start: int) -> None:
        """Remember the unfinished candidate at `start`; what lies between belongs to no frame."""
        if start > expected:
            self.counts.skipped_bytes += start - expected
            self._is_in_sequence = False
        self._rest = buffer[start:]
        self._failed_until = max(0, self._failed_until - start)

    def _frame_at(self, buffer: bytes, start: int, end: int, size: int, is_end: bool) -> Frame | None:
        """The frame in `buffer[start:end]`, None if it is none, `_UNDECIDED` if more bytes must tell."""
        if buffer[start] == STX_V1:
            header, tail, is_signed = 6, 2, False
            msgid = buffer[start + 5]
        else:
            flags = buffer[start + 2]
            is_signed = bool(flags & SIGNED_FLAG)
            header, tail = 10, 2 + SIGNATURE_BYTES * is_signed
            msgid = buffer[start + 7] | buffer[start + 8] << 8 | buffer[start + 9] << 16
            if flags & ~SIGNED_FLAG:
                self._count_failure(start, end, is_crc=False)
                return None
        extra = CRC_EXTRA.get(msgid)
        if extra is None:
            if not (self._is_in_sequence and self._is_plausible(buffer, start, header, msgid)):
                return None
            verdict = _verdict_on_unknown(buffer, start, end, size, is_end)
            if verdict is not True:
                return _UNDECIDED if verdict is None else None
        elif not _checks(buffer, start, end - tail, extra):
            self._count_failure(start, end, is_crc=True)
            return None
        raw = buffer[start:end]
        seq, sysid, compid = raw[header - 4 : header - 1] if header == 6 else raw[4:7]
        return Frame(
            1 if header == 6 else 2,
            sysid,
            compid,
            msgid,
            seq,
            raw[header : len(raw) - tail],
            raw,
            is_signed,
            extra is not None,
        )

    def _is_plausible(self, buffer: bytes, start: int, header: int, msgid: int) -> bool:
        """An unknown id of a verified sender; one with a start byte in it is rather a cut-off header."""
        if msgid >> 8 & 0xFF in (STX_V1, STX_V2) or msgid >> 16 in (STX_V1, STX_V2):
            return False
        if msgid & 0xFF == STX_V2 and self._is_header(buffer, start + 7):
            return False
        first = start + (3 if header == 6 else 5)
        return (buffer[first], buffer[first + 1]) in self._senders

    def _is_header(self, buffer: bytes, start: int) -> bool:
        """Whether these bytes are the header that a verified sender puts before a known message."""
        inner = buffer[start : start + 10]
        is_known = len(inner) == 10 and int.from_bytes(inner[7:], "little") in CRC_EXTRA
        return is_known and not inner[2] & ~SIGNED_FLAG and (inner[5], inner[6]) in self._senders

    def _passes(self, frame: Frame) -> bool:
        if not frame.is_known:
            self.counts.count_unknown(frame.msgid)
        elif len(self._senders) < MAX_SENDERS:
            self._senders.add((frame.sysid, frame.compid))
        if self._guard is not None and not (frame.is_known and self._guard.admits(frame)):
            self.counts.refused += 1
            return False
        self.counts.frames += 1
        return True

    def _count_failure(self, start: int, end: int, *, is_crc: bool) -> None:
        """Count a failed frame once, not every candidate inside it; a false start after noise counts too."""
        if start < self._failed_until:
            return
        self._failed_until = end
        if is_crc:
            self.counts.bad_crc += 1
        else:
            self.counts.bad_flags += 1


_UNDECIDED = Frame(0, 0, 0, 0, 0, b"", b"", False, False)


def _frame_end(buffer: bytes, start: int, size: int) -> int:
    """Where the frame that starts here ends by its header; beyond `size` when the header is not complete."""
    if size - start < 3:
        return size + 1
    if buffer[start] == STX_V1:
        return start + 8 + buffer[start + 1]
    return start + 12 + buffer[start + 1] + (SIGNATURE_BYTES if buffer[start + 2] & SIGNED_FLAG else 0)


def _checks(buffer: bytes, start: int, end: int, extra: bytes) -> bool:
    """Whether the checksum at `end` holds for `buffer[start + 1:end]`."""
    return checksum(buffer[start + 1 : end] + extra) == buffer[end] | buffer[end + 1] << 8


def _verdict_on_unknown(buffer: bytes, start: int, end: int, size: int, is_end: bool) -> bool | None:
    """Whether a frame of an unknown id is believable; None when more bytes must come first."""
    if end < size and buffer[end] not in (STX_V1, STX_V2):
        return False
    is_open = False
    for match in _STX.finditer(buffer, start + 1, end):
        inner = match.start()
        inner_end = _frame_end(buffer, inner, size)
        if inner_end > size:
            is_open = is_open or _may_be_known(buffer, inner, size)
            continue
        if _is_intact(buffer, inner, inner_end):
            return False
    return None if is_open and not is_end and size - start <= 2 * MAX_FRAME_BYTES else True


def _may_be_known(buffer: bytes, start: int, size: int) -> bool:
    """Whether an unfinished candidate could still become a frame of a known id."""
    if buffer[start] == STX_V1:
        return size - start < 6 or buffer[start + 5] in CRC_EXTRA
    if size - start < 10:
        return size - start < 3 or not buffer[start + 2] & ~SIGNED_FLAG
    return int.from_bytes(buffer[start + 7 : start + 10], "little") in CRC_EXTRA


def _is_intact(buffer: bytes, start: int, end: int) -> bool:
    if buffer[start] == STX_V1:
        extra, stop = CRC_EXTRA.get(buffer[start + 5]), end - 2
    else:
        if buffer[start + 2] & ~SIGNED_FLAG:
            return False
        extra = CRC_EXTRA.get(int.from_bytes(buffer[start + 7 : start + 10], "little"))
        stop = end - 2 - (SIGNATURE_BYTES if buffer[start + 2] & SIGNED_FLAG else 0)
    return extra is not None and _checks(buffer, start, stop, extra)


def parse_frame(raw: bytes) -> Frame | None:
    """The one frame that `raw` is, from its first byte to its last; None unless its checksum holds.

    A frame of an unknown id comes with `is_known` false: its checksum cannot be verified.
    """
    size = len(raw)
    if not 8 <= size <= MAX_FRAME_BYTES or raw[0] not in (STX_V1, STX_V2) or _frame_end(raw, 0, size) != size:
        return None
    if raw[0] == STX_V1:
        header, tail, msgid, is_signed = 6, 2, raw[5], False
        seq, sysid, compid = raw[2:5]
    else:
        if raw[2] & ~SIGNED_FLAG:
            return None
        is_signed = bool(raw[2])
        header, tail = 10, 2 + SIGNATURE_BYTES * is_signed
        msgid = raw[7] | raw[8] << 8 | raw[9] << 16
        seq, sysid, compid = raw[4:7]
    extra = CRC_EXTRA.get(msgid)
    if extra is not None and not _checks(raw, 0, size - tail, extra):
        return None
    payload = raw[header : size - tail]
    return Frame(
        1 if header == 6 else 2, sysid, compid, msgid, seq, payload, raw, is_signed, extra is not None
    )
