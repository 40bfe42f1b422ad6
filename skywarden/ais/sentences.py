"""NMEA lines to whole AIS payloads: tag blocks, messages in several parts, and what is no AIS at all.

A plain object: lines and the time of their arrival in, payloads out. Lines from outside are hostile: they are
bounded, an illegal one is counted and dropped and never ends anything, and parts that never get whole are
forgotten, the oldest first.
"""

import re
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from skywarden.ais.payload import checksum

MAX_LINE_BYTES = 1024
_MAX_PENDING = 256
_MAX_PARTS = 9
_NS = 1_000_000_000
_FUTURE_NS = 60 * _NS
_OLDEST_PART_NS = 60 * _NS

_TAG_TIME = re.compile(rb"(?:^|,)c:(\d{9,16})(?:,|$)")
_TAG_STATION = re.compile(rb"(?:^|,)s:([A-Za-z0-9_.\-]{1,32})(?:,|$)")
_TAG_GROUP = re.compile(rb"(?:^|,)g:(\d{1,2})-(\d{1,2})-(\d{1,9})(?:,|$)")
_BYTES = {form % number: number for form in (b"%02X", b"%02x") for number in range(256)}
_DIGITS = {b"": 0} | {b"%d" % number: number for number in range(10)}
"""What nearly every sentence has; whatever else stands for a number is read the slow way."""
_TRAILING_TIME = re.compile(rb",(\d{9,10})\s*$")


class Heard(msgspec.Struct, frozen=True, gc=False):
    """One whole payload: its six-bit characters, bits of padding, UTC ns of reception, who received it (the
    tag block's station), and whether it is our own ship's (VDO)."""

    payload: bytes
    fill: int
    received_ns: int | None
    station: str | None = None
    is_own: bool = False


@dataclass(slots=True)
class SentenceCounts:
    """What became of the lines: `whole` messages, lines of other kinds, illegal lines, parts forgotten."""

    lines: int = 0
    whole: int = 0
    other: int = 0
    illegal: int = 0
    bad_checksum: int = 0
    forgotten: int = 0


@dataclass(slots=True)
class _Tag:
    time_ns: int | None = None
    station: str | None = None
    group: tuple[int, bytes] | None = None


_NO_TAG = _Tag()


class SentenceReader:
    """Of one source; sources have one each, so that their parts never mix."""

    def __init__(self) -> None:
        self.counts = SentenceCounts()
        self._pending: OrderedDict[object, _Parts] = OrderedDict()
        self._group_tags: OrderedDict[bytes, _Tag] = OrderedDict()

    def take(self, line: bytes, received_ns: int | None = None) -> Heard | None:
        """The message that this line completes, if it does.

        `received_ns` is when the line came. A time in its tag block (`c:`), or behind the checksum, comes
        before it, unless it lies more than a minute in the future.
        """
        counts = self.counts
        counts.lines += 1
        if not 0 < len(line) <= MAX_LINE_BYTES:
            counts.other += not line
            counts.illegal += bool(line)
            return None
        tag = _NO_TAG
        if line.startswith(b"\\"):
            block, found, rest = line[1:].partition(b"\\")
            if not found:
                counts.illegal += 1
                return None
            line, tag = rest, self._tag(block)
        start = line.find(b"!")
        if start < 0 or line.startswith(b"#"):
            counts.other += 1
            return None
        return self._sentence(line, start, tag, received_ns)

    def _sentence(self, line: bytes, start: int, tag: _Tag, received_ns: int | None) -> Heard | None:
        counts = self.counts
        star = line.find(b"*", start)
        body = line[start + 1 : star]
        parts = body.split(b",") if star > 0 else ()
        if len(parts) != 7:
            counts.illegal += 1
            return None
        talker, total, number, sequence, channel, payload, fill = parts
        form = talker[2:]
        if len(talker) != 5 or form not in (b"VDM", b"VDO"):
            counts.other += 1
            return None
        said, bits = _BYTES.get(line[star + 1 : star + 3]), _DIGITS.get(fill)
        count, place = _DIGITS.get(total), _DIGITS.get(number)
        if said is None or bits is None or count is None or place is None:
            try:
                said = int(line[star + 1 : star + 3], 16)
                count, place, bits = int(total), int(number), int(fill or b"0")
            except ValueError:
                counts.illegal += 1
                return None
        if said != checksum(body):
            counts.bad_checksum += 1
            counts.illegal += 1
            return None
        if not (1 <= place <= count <= _MAX_PARTS and 0 <= bits <= 5 and payload):
            counts.illegal += 1
            return None
        if tag is not _NO_TAG or len(line) > star + 12:
            received_ns = self._time_ns(tag, line, star, received_ns)
        if count == 1:
            counts.whole += 1
            return Heard(payload, bits, received_ns, tag.station, form == b"VDO")
        key: object = tag.group[1] if tag.group is not None else (talker, count, sequence, channel)
        return self._part(key, _Part(count, place, payload, bits, received_ns, tag.station, form == b"VDO"))

    def _part(self, key: object, part: "_Part") -> Heard | None:
        """The parts of a message in any order; a number that is there already begins a new message."""
        pending = self._pending.get(key)
        if pending is not None and (pending.is_foreign(part) or part.place in pending.parts):
            self.counts.forgotten += len(self._pending.pop(key).parts)
            pending = None
        if pending is None:
            pending = self._pending[key] = _Parts(part.count, {}, part.received_ns)
            while len(self._pending) > _MAX_PENDING:
                _, oldest = self._pending.popitem(last=False)
                self.counts.forgotten += len(oldest.parts)
        pending.parts[part.place] = part
        if len(pending.parts) < part.count:
            return None
        del self._pending[key]
        self.counts.whole += 1
        return pending.heard()

    def _tag(self, block: bytes) -> _Tag:
        """A tag block (NMEA 0183 4.0); one that is damaged says nothing. Lines of a group share its head."""
        body, star, said = block.rpartition(b"*")
        try:
            if not star or int(said[:2], 16) != checksum(body):
                return _NO_TAG
        except ValueError:
            return _NO_TAG
        time, station, group = _TAG_TIME.search(body), _TAG_STATION.search(body), _TAG_GROUP.search(body)
        tag = _Tag(
            time_ns=_ns(int(time[1])) if time else None,
            station=station[1].decode("ascii") if station else None,
            group=(int(group[1]), group[3]) if group else None,
        )
        if group:
            first = self._group_tags.setdefault(group[3], tag)
            tag.time_ns, tag.station = tag.time_ns or first.time_ns, tag.station or first.station
            while len(self._group_tags) > _MAX_PENDING:
                self._group_tags.popitem(last=False)
        return tag

    def _time_ns(self, tag: _Tag, line: bytes, star: int, received_ns: int | None) -> int | None:
        told = tag.time_ns
        if told is None:
            trailing = _TRAILING_TIME.search(line, star)
            told = _ns(int(trailing[1])) if trailing else None
        if told is None or (received_ns is not None and told > received_ns + _FUTURE_NS):
            return received_ns
        return told


@dataclass(slots=True)
class _Part:
    count: int
    place: int
    payload: bytes
    fill: int
    received_ns: int | None
    station: str | None
    is_own: bool


@dataclass(slots=True)
class _Parts:
    count: int
    parts: dict[int, _Part]
    received_ns: int | None

    def is_foreign(self, part: _Part) -> bool:
        """Parts of one message come within a minute of each other."""
        if self.received_ns is None or part.received_ns is None:
            return part.count != self.count
        return part.count != self.count or abs(part.received_ns - self.received_ns) > _OLDEST_PART_NS

    def heard(self) -> Heard:
        ordered = [self.parts[place] for place in sorted(self.parts)]
        last = ordered[-1]
        times = [part.received_ns for part in ordered if part.received_ns is not None]
        station = next((part.station for part in ordered if part.station is not None), None)
        payload = b"".join(part.payload for part in ordered)
        return Heard(payload, last.fill, max(times, default=None), station, last.is_own)


class LineSplitter:
    """Bytes of a stream to lines, however they are cut; a line that never ends is dropped at the limit."""

    def __init__(self) -> None:
        self._rest = b""
        self._is_overlong = False
        self.overlong = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Whole lines, without their ends."""
        *lines, rest = (self._rest + data).replace(b"\r", b"\n").split(b"\n")
        for line in lines:
            if self._is_overlong:
                self._is_overlong = False
            elif line:
                yield line
        if len(rest) > MAX_LINE_BYTES:
            self.overlong += not self._is_overlong
            self._is_overlong, rest = True, b""
        self._rest = rest

    def end(self) -> bytes:
        """What came behind the last line's end."""
        rest, self._rest = self._rest, b""
        return b"" if self._is_overlong else rest


def _ns(number: int) -> int | None:
    """Seconds or milliseconds since 1970, as talkers write them; nothing outside 1990 to 2100."""
    seconds = number / 1000 if number > 100_000_000_000 else number
    if not 631_152_000 <= seconds <= 4_102_444_800:
        return None
    return number * _NS // 1000 if number > 100_000_000_000 else number * _NS
