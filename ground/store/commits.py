"""Turns what arrived into rows: `RecordWriter`, used by one thread at a time, in transactions of its caller.

Records are numbered, chained and proved here; sightings, chips and health are listed as indexes on them.
"""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import apsw
import msgspec
import numpy as np

from ground.store import spatial
from ground.store.arrivals import Arrival, ArrivedFragment, Ingested, Outcome, Place, Seal, judged
from ground.store.sequences import SequenceSet
from ground.store.spatial import PlaceWriter
from ground.store.streams import (
    FORKED,
    FragmentHeader,
    PartialRecord,
    Stream,
    advance_chain,
    header_of,
    load_stream,
    stored_leaf,
    unit_range,
)
from skywarden import evidence
from skywarden.link.protocol import MAX_PARTIAL, Fragment, Head
from skywarden.link.thin import THIN_BOOT
from skywarden.messages import Chip, Gap, Health, Message, Sighting
from skywarden.wire import Record, encode

_encode_items = msgspec.msgpack.Encoder().encode
INSERT_RECORD = (
    "INSERT INTO records(record_key, stream_key, seq, topic, time_ns, received_ns, body, mono_ns, clock, "
    "leaf, seal_key) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
INSERT_SIGHTING = (
    "INSERT OR IGNORE INTO sighting_rows(sighting_key, sighting_id, track_key, label, score, time_ns, "
    "received_ns, latitude_deg, longitude_deg) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_MAX_TRACKS = 10_000
_MAX_STREAMS = 4_096


@dataclass(slots=True)
class _Run:
    """Arrivals of one outbox that follow each other: what is looked up once for all of them."""

    stream: Stream
    leaves: dict[int, bytes]
    tracks: dict[str, int]
    seal: Seal | None = None
    seal_key: int | None = None


@dataclass(slots=True)
class Commit:
    """What one transaction gathers on its way."""

    db: Any
    received_ns: int
    touched: dict[int, Stream] = field(default_factory=dict)
    leaves: dict[int, dict[int, bytes]] = field(default_factory=dict)
    seal_keys: dict[Seal, int] = field(default_factory=dict)
    forks: dict[tuple[Seal, int], bytes] = field(default_factory=dict)
    completed: list[tuple[Arrival, Outcome]] = field(default_factory=list)
    alarms: list[str] = field(default_factory=list)
    records: list[tuple[Any, ...]] = field(default_factory=list)
    sightings: list[tuple[Any, ...]] = field(default_factory=list)
    fed: list[Sighting] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    others: list[tuple[int, Message]] = field(default_factory=list)


class RecordWriter:
    """The way of arrivals into the tables of `db`, and what is remembered of outboxes on the way."""

    def __init__(self, db: Any) -> None:
        self._db = db
        self._streams: dict[tuple[str, str], Stream] = {}
        self._newest_boot: dict[str, str] = {}
        self._tracks: dict[str, dict[str, int]] = {}  # of each platform
        self._track_count = 0
        self._places = PlaceWriter(db)
        self._next_seal_key = self._after("seals", "seal_key")
        self._next_record_key = self._after("records", "record_key")
        db.execute(  # what a platform's older outboxes left half here goes
            "DELETE FROM fragments WHERE stream_key NOT IN "
            "(SELECT max(stream_key) FROM streams WHERE boot_id <> ? GROUP BY platform_id)",
            (THIN_BOOT,),
        )
        for boot_id, platform_id in db.execute(
            "SELECT boot_id, platform_id FROM streams WHERE boot_id <> ? ORDER BY stream_key", (THIN_BOOT,)
        ).fetchall():
            self._newest_boot[platform_id] = boot_id

    @property
    def end_key(self) -> int:
        """The key that the next record will have."""
        return self._next_record_key

    def write(self, arrivals: Sequence[Arrival], fragments: Sequence[ArrivedFragment]) -> "Written":
        """Write all of it, within a transaction of the caller's; call `undo` when that is rolled back."""
        times = [one.received_ns for one in arrivals] + [one.received_ns for one in fragments]
        commit = Commit(self._db, max(times, default=0))
        outcomes = self._insert_all(commit, arrivals)
        for arrived in fragments:
            self._keep_fragment(commit, arrived)
        self._write_rows(commit)
        self._finish(commit)
        ingested = Ingested(
            outcomes=outcomes, completed=tuple(commit.completed), alarms=tuple(dict.fromkeys(commit.alarms))
        )
        first = commit.sightings[0][0] if commit.sightings else 0
        return Written(ingested=ingested, sightings=commit.bodies, first_key=first)

    def mark(self) -> tuple[int, int]:
        """Where this stands before a transaction, for `undo`."""
        return self._next_seal_key, self._next_record_key

    def undo(self, mark: tuple[int, int]) -> None:
        """The transaction begun at `mark` was rolled back: what the tables say is read again when needed."""
        self._streams.clear()
        self._tracks.clear()
        self._track_count = 0
        self._next_seal_key, self._next_record_key = mark
        with contextlib.suppress(apsw.Error):
            self._places.reload()

    def reload_places(self) -> None:
        """The index of places was changed by somebody else."""
        self._places.reload()

    def known_stream(self, platform_id: str, boot_id: str) -> Stream:
        """What is known of one outbox."""
        stream = self._streams.get((platform_id, boot_id))
        if stream is None:
            if len(self._streams) > _MAX_STREAMS:
                self._streams.clear()
            stream = self._stream(platform_id, boot_id)
        return stream

    def newest_stream(self, platform_id: str) -> Stream | None:
        """A platform's newest outbox, `None` when there is none."""
        boot_id = self._newest_boot.get(platform_id)
        return self.known_stream(platform_id, boot_id) if boot_id is not None else None

    def _insert_all(self, commit: Commit, arrivals: Sequence[Arrival]) -> tuple[Outcome, ...]:
        outcomes: list[Outcome] = []
        run: _Run | None = None
        for arrival in arrivals:
            record = arrival.record
            if (
                run is None
                or record.boot_id != run.stream.boot_id
                or record.platform_id != run.stream.platform_id
            ):
                run = self._run_of(commit, arrival)
            outcomes.append(self._insert(commit, run, arrival))
        return tuple(outcomes)

    def _run_of(self, commit: Commit, arrival: Arrival) -> _Run:
        record = arrival.record
        stream = self._opened(commit, record.platform_id, record.boot_id, arrival.received_ns)
        leaves = commit.leaves.setdefault(stream.key, {})
        return _Run(stream, leaves, self._tracks.setdefault(record.platform_id, {}))

    def _insert(self, commit: Commit, run: _Run, arrival: Arrival) -> Outcome:
        record, stream = arrival.record, run.stream
        seq = record.seq
        if not stream.numbers.add(seq):
            before = run.leaves.get(seq) or stored_leaf(commit.db, stream, seq)
            if before is not None:
                return self._again(commit, arrival, before)
            stream.shed -= 1  # given up aboard, yet it had been sent
        leaf = run.leaves[seq] = arrival.known_leaf or evidence.leaf_of(record)
        if arrival.seal is not run.seal:
            self._begin_seal(commit, run, arrival.seal)
        record_key = self._next_record_key
        self._next_record_key = record_key + 1
        message, received_ns = arrival.message, arrival.received_ns
        commit.records.append(
            (
                record_key,
                stream.key,
                seq,
                record.topic,
                record.time_ns,
                received_ns,
                record.body,
                record.mono_ns,
                record.clock,
                leaf,
                run.seal_key,
            )
        )
        if type(message) is Sighting:
            commit.bodies.append(record.body)
            self._list_sighting(commit, run, record_key, message, received_ns)
        elif message is None:
            put_in_quarantine(commit.db, arrival, arrival.reason or "not valid")
            return "quarantined"
        elif isinstance(message, Gap):
            self._note_gap(commit, record_key, message, arrival)
        else:
            commit.others.append((record_key, message))
        return "stored"

    def _begin_seal(self, commit: Commit, run: _Run, seal: Seal | None) -> None:
        """What follows is under another signature: its row's key, and what it says of the chain."""
        run.seal, run.seal_key = seal, self._seal_key(commit, seal)
        if seal is not None:
            self._note_head(commit, run.stream, seal)

    def _again(self, commit: Commit, arrival: Arrival, before: bytes) -> Outcome:
        """The number again: the same bytes are a duplicate, other bytes a fork that overwrites nothing."""
        if before == arrival.leaf:
            return "duplicate"
        if arrival.seal is not None:
            commit.forks[arrival.seal, arrival.record.seq] = arrival.leaf
        record = arrival.record
        self._keep_branch(commit, self._stream(record.platform_id, record.boot_id), record.seq)
        if not is_quarantined(commit.db, arrival):
            put_in_quarantine(commit.db, arrival, FORKED)
            commit.alarms.append(f"another record came as number {record.seq} of {record.boot_id}: a fork")
        return "fork"

    def _keep_branch(self, commit: Commit, stream: Stream, seq: int) -> None:
        """Two outboxes use one name: from now on the head of the one that was first at `seq` is shown."""
        if stream.is_broken:
            return
        stream.is_broken = True
        row = commit.db.execute(
            "SELECT s.head_seq, s.head FROM records r JOIN seals s USING(seal_key) "
            "WHERE r.stream_key = ? AND r.seq = ?",
            (stream.key, seq),
        ).get
        if row is not None:
            stream.head = Head(seq=row[0], chain=row[1])

    def _seal_key(self, commit: Commit, seal: Seal | None) -> int | None:
        """The row that `seal` will have; it is written when the whole commit is known."""
        if seal is None:
            return None
        key = commit.seal_keys.get(seal)
        if key is None:
            key = commit.seal_keys[seal] = self._next_seal_key
            self._next_seal_key += 1
        return key

    def _note_head(self, commit: Commit, stream: Stream, seal: Seal) -> None:
        problem = stream.note_head(seal)
        if problem is not None and not stream.is_broken:
            stream.is_broken = True
            self._alarm(commit, stream, seal.head_seq, problem)

    def _alarm(self, commit: Commit, stream: Stream, seq: int, problem: str) -> None:
        commit.alarms.append(problem)
        commit.db.execute(
            "INSERT INTO quarantine(platform_id, boot_id, seq, topic, received_ns, reason, body) "
            "VALUES (?, ?, ?, 'chain', ?, ?, x'')",
            (stream.platform_id, stream.boot_id, seq, commit.received_ns, problem),
        )

    def _note_gap(self, commit: Commit, record_key: int, gap: Gap, arrival: Arrival) -> None:
        """What was given up aboard is not waited for any more."""
        record = arrival.record
        stream = self._opened(commit, record.platform_id, gap.boot_id, arrival.received_ns)
        for first, last, chain in gap.ranges:
            is_before = gap.boot_id != record.boot_id or last < record.seq
            if 1 <= first <= last and is_before and stream.add_gap(first, last, chain):
                commit.db.execute(
                    "INSERT OR IGNORE INTO gaps VALUES (?, ?, ?, ?, ?)",
                    (stream.key, first, last, chain, record_key),
                )

    def _keep_fragment(self, commit: Commit, arrived: ArrivedFragment) -> None:
        piece = arrived.fragment
        stream = self._opened(commit, arrived.platform_id, arrived.boot_id, arrived.received_ns)
        if piece.seq in commit.leaves.get(stream.key, {}):
            return
        if piece.seq in stream.numbers and stored_leaf(commit.db, stream, piece.seq) is not None:
            return
        header = _header(piece)
        partial = stream.partial.get(piece.seq)
        if partial is None:
            self._make_room(commit, stream)
            partial = stream.partial[piece.seq] = PartialRecord(header, SequenceSet(), piece.total_bytes)
        if partial.header != header:
            commit.alarms.append(
                f"pieces of two records came as number {piece.seq} of {arrived.boot_id}: a fork"
            )
            return
        commit.db.execute(
            "INSERT OR IGNORE INTO fragments(stream_key, seq, byte_offset, received_ns, header, data) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            (stream.key, piece.seq, piece.offset, arrived.received_ns, header, piece.data),
        )
        if commit.db.changes():
            partial.units.add_range(*unit_range(piece.offset, len(piece.data)))
        if partial.is_complete:
            self._complete(commit, stream, arrived)

    def _make_room(self, commit: Commit, stream: Stream) -> None:
        """At most so many records of one outbox are half here; the one that began first goes."""
        while len(stream.partial) >= MAX_PARTIAL:
            seq = next(iter(stream.partial))
            del stream.partial[seq]
            commit.db.execute("DELETE FROM fragments WHERE stream_key = ? AND seq = ?", (stream.key, seq))

    def _complete(self, commit: Commit, stream: Stream, arrived: ArrivedFragment) -> None:
        """All pieces are here: the record is put together, proved, and stored like any other."""
        seq = arrived.fragment.seq
        header = header_of(stream.partial.pop(seq).header)
        body = bytearray(header.total_bytes)
        for offset, data in commit.db.execute(
            "SELECT byte_offset, data FROM fragments WHERE stream_key = ? AND seq = ?", (stream.key, seq)
        ):
            body[offset : offset + len(data)] = data
        commit.db.execute("DELETE FROM fragments WHERE stream_key = ? AND seq = ?", (stream.key, seq))
        if evidence.body_hash(memoryview(body)) != header.body_hash:
            commit.alarms.append(f"the pieces of number {seq} of {stream.boot_id} do not make up its record")
            return
        record = Record(
            platform_id=stream.platform_id,
            boot_id=stream.boot_id,
            seq=seq,
            topic=header.topic,
            time_ns=header.time_ns,
            body=bytes(body),
            mono_ns=header.mono_ns,
            clock=arrived.fragment.clock,
        )
        message, reason = judged(record)
        arrival = Arrival(
            record=record, message=message, received_ns=arrived.received_ns, reason=reason, seal=arrived.seal
        )
        outcome = self._insert(commit, self._run_of(commit, arrival), arrival)
        if outcome == "fork" and arrived.seal is not None:
            piece = arrived.fragment
            commit.forks[arrived.seal, seq] = evidence.fragment_hash(arrival.leaf, piece.offset, piece.data)
        commit.completed.append((arrival, outcome))

    def _finish(self, commit: Commit) -> None:
        """Chains and signatures of all that was touched."""
        for stream in commit.touched.values():
            problem = advance_chain(commit.db, stream, commit.leaves.get(stream.key, {}))
            if problem is not None:
                self._alarm(commit, stream, stream.chain_seq, problem)
        commit.db.executemany(
            "UPDATE streams SET chain_seq = ?, chain = ?, head_seq = ?, head = ? WHERE stream_key = ?",
            [
                (
                    stream.chain_seq,
                    stream.chain,
                    stream.head.seq if stream.head is not None else 0,
                    stream.head.chain if stream.head is not None else None,
                    stream.key,
                )
                for stream in commit.touched.values()
            ],
        )
        commit.db.executemany(
            "INSERT INTO seals VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [self._seal_row(commit, seal, key) for seal, key in commit.seal_keys.items()],
        )

    def _seal_row(self, commit: Commit, seal: Seal, key: int) -> tuple[Any, ...]:
        items: Sequence[Place | bytes] = seal.places
        if commit.forks:
            items = [commit.forks.get((seal, place[0]), place) for place in seal.places]
        return (
            key,
            self._streams[seal.platform_id, seal.boot_id].key,
            seal.number,
            seal.head_seq,
            seal.head,
            seal.public_key,
            seal.signature,
            commit.received_ns,
            _encode_items(items),
        )

    def _list_sighting(
        self, commit: Commit, run: _Run, record_key: int, sighting: Sighting, received_ns: int
    ) -> None:
        place, track_id = sighting.position, sighting.track_id
        commit.fed.append(sighting)
        commit.sightings.append(
            (
                record_key,
                sighting.sighting_id,
                run.tracks.get(track_id) or self._track_key(commit.db, run, track_id),
                sighting.label,
                sighting.score,
                sighting.time_ns,
                received_ns,
                place.latitude_deg if place is not None else None,
                place.longitude_deg if place is not None else None,
            )
        )

    def _track_key(self, db: Any, run: _Run, track_id: str) -> int:
        """The row of this track, made when it is new."""
        named = (track_id, run.stream.platform_id)
        key: int | None = db.execute(
            "SELECT track_key FROM tracks WHERE track_id = ? AND platform_id = ?", named
        ).get
        if key is None:
            db.execute("INSERT INTO tracks(track_id, platform_id) VALUES (?, ?)", named)
            key = db.last_insert_rowid()
        self._track_count += 1
        if self._track_count > _MAX_TRACKS:
            for tracks in self._tracks.values():
                tracks.clear()
            self._track_count = 1
        run.tracks[track_id] = key
        return key

    def _write_rows(self, commit: Commit) -> None:
        """Records, then sightings, then what points at sightings."""
        db = commit.db
        db.executemany(INSERT_RECORD, commit.records)
        if commit.sightings:
            self._write_sightings(db, commit)
        for record_key, message in commit.others:
            self._index(db, record_key, message)

    def _write_sightings(self, db: Any, commit: Commit) -> None:
        rows = commit.sightings
        before = db.total_changes()
        db.executemany(INSERT_SIGHTING, rows)
        if db.total_changes() - before != len(rows):  # some came before under another number
            kept = {
                key
                for (key,) in db.execute(
                    "SELECT sighting_key FROM sighting_rows WHERE sighting_key >= ?", (rows[0][0],)
                )
            }
            rows = [row for row in rows if row[0] in kept or self._replaces_preview(db, row)]
        self._places.add([(row[0], row[5], row[7], row[8]) for row in rows if row[7] is not None])
        if db.execute("SELECT 1 FROM chips WHERE track_id IS NULL LIMIT 1").get:
            db.executemany(
                "UPDATE chips SET track_id = ?, score = ? WHERE sighting_id = ? AND track_id IS NULL",
                [(one.track_id, one.score, one.sighting_id) for one in commit.fed],
            )

    def _replaces_preview(self, db: Any, row: tuple[Any, ...]) -> bool:
        """Whether the row with this sighting's id came by the thin link; then this one takes its place."""
        preview = db.execute(
            "SELECT s.sighting_key, s.time_ns FROM sighting_rows s "
            "JOIN records r ON r.record_key = s.sighting_key "
            "JOIN streams USING(stream_key) WHERE s.sighting_id = ? AND boot_id = ?",
            (row[1], THIN_BOOT),
        ).get
        if preview is None:
            return False
        key, time_ns = preview
        db.execute("DELETE FROM sighting_rows WHERE sighting_key = ?", (key,))
        spatial.remove(db, np.array([key], dtype=np.int64), until_ns=time_ns)
        self._places.reload()
        db.execute(INSERT_SIGHTING, row)
        return True

    def _index(self, db: Any, record_key: int, message: Message) -> None:
        if isinstance(message, Chip):
            track = db.execute(
                "SELECT track_id, score FROM sightings WHERE sighting_id = ?", (message.sighting_id,)
            ).get
            db.execute(
                "INSERT OR IGNORE INTO chips VALUES (?, ?, ?, ?, ?)",
                (message.chip_id, record_key, message.sighting_id, *(track or (None, None))),
            )
        elif isinstance(message, Health):
            db.execute(
                "INSERT INTO health VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
                "time_ns = excluded.time_ns, body = excluded.body WHERE excluded.time_ns >= health.time_ns",
                (message.platform_id, message.component, message.condition, message.time_ns, encode(message)),
            )

    def _opened(self, commit: Commit, platform_id: str, boot_id: str, received_ns: int) -> Stream:
        """The stream with a row of its own, marked as touched by this commit."""
        stream = self._stream(platform_id, boot_id)
        if stream.key == 0:
            commit.db.execute(
                "INSERT INTO streams(platform_id, boot_id, first_ns) VALUES (?, ?, ?)",
                (platform_id, boot_id, received_ns),
            )
            stream.key = commit.db.last_insert_rowid()
            if boot_id != THIN_BOOT:
                self._newest_boot[platform_id] = boot_id
        commit.touched[stream.key] = stream
        return stream

    def _stream(self, platform_id: str, boot_id: str) -> Stream:
        stream = self._streams.get((platform_id, boot_id))
        if stream is None:
            stream = self._streams[platform_id, boot_id] = load_stream(self._db, platform_id, boot_id)
        return stream

    def _after(self, table: str, column: str) -> int:
        """The next free key."""
        last: int = self._db.execute(f"SELECT coalesce(max({column}), 0) FROM {table}").get
        return last + 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Written:
    """What one `RecordWriter.write` did; `sightings` are new and encoded, the first under `first_key`."""

    ingested: Ingested
    sightings: list[bytes]
    first_key: int


def is_quarantined(db: Any, arrival: Arrival) -> bool:
    """Whether these very bytes lie in quarantine already."""
    found = db.execute(
        "SELECT 1 FROM quarantine WHERE platform_id = ? AND boot_id = ? AND seq = ? AND body = ?",
        (*_stream_name(arrival.record), arrival.record.seq, arrival.record.body),
    ).get
    return found is not None


def put_in_quarantine(db: Any, arrival: Arrival, reason: str) -> None:
    """Keep a record aside."""
    record = arrival.record
    db.execute(
        "INSERT INTO quarantine(platform_id, boot_id, seq, topic, received_ns, reason, body) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        (*_stream_name(record), record.seq, record.topic, arrival.received_ns, reason[:500], record.body),
    )


def _stream_name(record: Record) -> tuple[str, str]:
    return record.platform_id, record.boot_id


def _header(piece: Fragment) -> bytes:
    return msgspec.msgpack.encode(
        FragmentHeader(
            topic=piece.topic,
            time_ns=piece.time_ns,
            mono_ns=piece.mono_ns,
            clock=piece.clock,
            total_bytes=piece.total_bytes,
            body_hash=piece.body_hash,
        )
    )
