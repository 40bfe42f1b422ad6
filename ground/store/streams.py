"""One outbox as the ground knows it: numbers that are here, how far its chain is proved, what is half here.

Everything is read from the store's tables when an outbox is first heard, and again after a commit that
failed; nothing is kept twice where the two could disagree.
"""

from bisect import bisect_right, insort
from dataclasses import dataclass, field
from typing import Any

import msgspec

from ground.store.arrivals import Seal
from ground.store.sequences import SequenceSet
from skywarden import evidence
from skywarden.link.protocol import MAX_PARTIAL, MAX_PARTIAL_RANGES, Head, Partial, units_of
from skywarden.wire import Record

FORKED = "another record with this number is stored"
"""Why a record went to quarantine whose number was taken."""

_MAX_CLAIMS = 50_000
_MAX_FOLD = 20_000


class FragmentHeader(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """What all pieces of one record share."""

    topic: str
    time_ns: int
    mono_ns: int
    clock: int
    total_bytes: int
    body_hash: bytes


@dataclass(slots=True)
class PartialRecord:
    """A large record of which some units (counted from 1) are here."""

    header: bytes
    units: SequenceSet
    total_bytes: int

    @property
    def is_complete(self) -> bool:
        """Whether every unit is here."""
        return self.units.contiguous >= units_of(self.total_bytes)


@dataclass(slots=True)
class Stream:
    """See the module; `key` is 0 until the first record is stored.

    `chain` is proved up to `chain_seq`. `head` is the farthest signed head; `claims` are signed heads beyond
    `chain_seq` that the chain must go through. `gaps` are (first, last, chain after last), ascending.
    """

    platform_id: str
    boot_id: str
    key: int = 0
    numbers: SequenceSet = field(default_factory=SequenceSet)
    shed: int = 0
    chain_seq: int = 0
    chain: bytes = b""
    head: Head | None = None
    claims: dict[int, bytes] = field(default_factory=dict)
    gaps: list[tuple[int, int, bytes]] = field(default_factory=list)
    partial: dict[int, PartialRecord] = field(default_factory=dict)
    is_broken: bool = False

    def gap_with(self, seq: int) -> tuple[int, int, bytes] | None:
        """The gap that `seq` lies in."""
        place = bisect_right(self.gaps, (seq, 2**62, b"")) - 1
        if place >= 0 and self.gaps[place][0] <= seq <= self.gaps[place][1]:
            return self.gaps[place]
        return None

    def add_gap(self, first: int, last: int, chain: bytes) -> bool:
        """Take in that a range was given up; False when that was known."""
        if self.gap_with(first) is not None:
            return False
        before = len(self.numbers)
        self.numbers.add_range(first, last)
        self.shed += len(self.numbers) - before
        insort(self.gaps, (first, last, chain))
        return True

    def note_head(self, seal: Seal) -> str | None:
        """Take in a signed head; what is wrong with it, in words.

        Of a chain that is broken the head that was known stays: a sender on the other branch sees by it that
        the station holds another's records.
        """
        if self.is_broken:
            return None
        known = self.chain if seal.head_seq == self.chain_seq else self.claims.get(seal.head_seq)
        if self.head is not None and seal.head_seq == self.head.seq:
            known = self.head.chain
        if known is not None and known != seal.head:
            return f"two chains are signed at number {seal.head_seq} of {self.boot_id}"
        if seal.head_seq > self.chain_seq and len(self.claims) < _MAX_CLAIMS:
            self.claims[seal.head_seq] = seal.head
        if self.head is None or seal.head_seq > self.head.seq:
            self.head = Head(seq=seal.head_seq, chain=seal.head)
        return None

    def shown_partial(self) -> tuple[Partial, ...]:
        """What the sender needs to know to send only the rest."""
        return tuple(
            Partial(
                seq=seq,
                units=tuple((first - 1, last - 1) for first, last in one.units.ranges()[:MAX_PARTIAL_RANGES]),
            )
            for seq, one in list(self.partial.items())[:MAX_PARTIAL]
        )


def load_stream(db: Any, platform_id: str, boot_id: str) -> Stream:
    """What the tables say of one outbox."""
    stream = Stream(platform_id, boot_id, chain=evidence.chain_start(platform_id, boot_id))
    row = db.execute(
        "SELECT stream_key, chain_seq, chain, head_seq, head FROM streams "
        "WHERE platform_id = ? AND boot_id = ?",
        (platform_id, boot_id),
    ).get
    if row is None:
        return stream
    stream.key, chain_seq, chain, head_seq, head = row
    if chain is not None:
        stream.chain_seq, stream.chain = chain_seq, chain
    if head is not None:
        stream.head = Head(seq=head_seq, chain=head)
    for (seq,) in db.execute("SELECT seq FROM records WHERE stream_key = ? ORDER BY seq", (stream.key,)):
        stream.numbers.add(seq)
    for gap in db.execute("SELECT first_seq, last_seq, chain FROM gaps WHERE stream_key = ?", (stream.key,)):
        stream.add_gap(*gap)
    stream.claims = dict(
        db.execute(
            "SELECT head_seq, head FROM seals WHERE stream_key = ? AND head_seq > ? "
            "ORDER BY head_seq LIMIT ?",
            (stream.key, stream.chain_seq, _MAX_CLAIMS),
        ).fetchall()
    )
    stream.is_broken = is_broken(db, platform_id, boot_id)
    _load_partial(db, stream)
    return stream


def is_broken(db: Any, platform_id: str, boot_id: str) -> bool:
    """Whether a break of this chain, or a fork, was found before."""
    found = db.execute(
        "SELECT 1 FROM quarantine WHERE platform_id = ? AND boot_id = ? AND (topic = 'chain' OR reason = ?) "
        "LIMIT 1",
        (platform_id, boot_id, FORKED),
    ).get
    return found is not None


def _load_partial(db: Any, stream: Stream) -> None:
    rows = db.execute(
        "SELECT seq, header, byte_offset, length(data) FROM fragments WHERE stream_key = ? "
        "ORDER BY fragment_key",
        (stream.key,),
    )
    for seq, header, offset, size in rows:
        partial = stream.partial.get(seq)
        if partial is None:
            total = header_of(header).total_bytes
            partial = stream.partial[seq] = PartialRecord(header, SequenceSet(), total)
        if partial.header == header:
            first, last = unit_range(offset, size)
            partial.units.add_range(first, last)


def unit_range(offset: int, size: int) -> tuple[int, int]:
    """The inclusive range of units (from 1) that `size` bytes at `offset` fill."""
    return units_of(offset) + 1, units_of(offset + size)


def header_of(data: bytes) -> FragmentHeader:
    """A stored header."""
    return msgspec.msgpack.decode(data, type=FragmentHeader)


def advance_chain(db: Any, stream: Stream, leaves: dict[int, bytes]) -> str | None:
    """Fold what has become contiguous into the chain and hold it against signed heads; what does not fit, in
    words. `leaves` are those of this commit; others are read. At most 20,000 records a call."""
    end = min(stream.numbers.contiguous, stream.chain_seq + _MAX_FOLD)
    seq, chain, found, claims = stream.chain_seq, stream.chain, None, stream.claims
    while seq < end:
        leaf = leaves.get(seq + 1) or stored_leaf(db, stream, seq + 1)
        if leaf is not None:
            seq, chain = seq + 1, evidence.chain_next(chain, leaf)
        else:
            gap = stream.gap_with(seq + 1)
            if gap is None:
                break
            _, seq, chain = gap
        claimed = claims.pop(seq, None) if claims else None
        if claimed is not None and claimed != chain and not stream.is_broken:
            stream.is_broken = True
            found = f"the chain of {stream.boot_id} does not fit what was signed at number {seq}"
    if seq > stream.chain_seq and claims:
        stream.claims = {number: one for number, one in claims.items() if number > seq}
    stream.chain_seq, stream.chain = seq, chain
    return found


def stored_leaf_of_key(db: Any, record_key: int) -> bytes:
    """The leaf of the record with this key, worked out where an older version stored none."""
    platform_id, boot_id, seq = db.execute(
        "SELECT st.platform_id, st.boot_id, r.seq FROM records r JOIN streams st USING(stream_key) "
        "WHERE r.record_key = ?",
        (record_key,),
    ).get
    key = db.execute("SELECT stream_key FROM records WHERE record_key = ?", (record_key,)).get
    leaf = stored_leaf(db, Stream(platform_id, boot_id, key=key), seq)
    assert leaf is not None
    return leaf


def stored_leaf(db: Any, stream: Stream, seq: int) -> bytes | None:
    """The leaf of a stored record, worked out where an older version stored none; `None` without a record."""
    row = db.execute(
        "SELECT leaf, topic, time_ns, mono_ns, clock, body FROM records WHERE stream_key = ? AND seq = ?",
        (stream.key, seq),
    ).get
    if row is None:
        return None
    leaf, topic, time_ns, mono_ns, clock, body = row
    if leaf is not None:
        return bytes(leaf)
    record = Record(
        platform_id=stream.platform_id,
        boot_id=stream.boot_id,
        seq=seq,
        topic=topic,
        time_ns=time_ns,
        body=body,
        mono_ns=mono_ns,
        clock=clock,
    )
    return evidence.leaf_of(record)
