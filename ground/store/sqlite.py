"""The ground's memory: what it must do (`Store`), and SQLite behind it (`SqliteStore`).

Nothing in `Store` is more than PostgreSQL with PostGIS could do. Raw records are kept as they came, once;
sightings, chips and health are indexes on them, so a body is decoded when it is read. One connection writes,
under one lock (the receiver's thread, and for a moment whoever writes contacts); readers have connections of
their own. Contacts are worked out under a lock of their own, so that records never wait for them.
"""

import contextlib
import os
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import apsw
import msgspec
import numpy as np

from ground.fusion.contact import Contact, ContactNode
from ground.fusion.labels import STATIC_LABELS
from ground.store import retention, spatial
from ground.store.arrivals import Arrival, ArrivedFragment, Ingested, Outcome, Place, Seal, judged
from ground.store.mark import compare_mark, write_mark
from ground.store.reading import (
    CONTACT_COLUMNS,
    LEAF_COLUMNS,
    SqliteReader,
    StoredContact,
    StoreReader,
    contact_of_row,
    decoded_body,
    is_leaf_true,
)
from ground.store.retention import Erased, Expired, Hold, HoldKind
from ground.store.schema import as_store_errors, open_for_writing
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
from skywarden import evidence, lockfile
from skywarden.link.protocol import MAX_PARTIAL, Fragment, Head, Partial
from skywarden.link.thin import THIN_BOOT
from skywarden.messages import Ack, Chip, Gap, Health, Message, Sighting
from skywarden.wire import Record, encode

__all__ = ["Arrival", "ArrivedFragment", "Ingested", "Outcome", "SqliteStore", "Standing", "Store"]

_encode_items = msgspec.msgpack.Encoder().encode
_SIGHTING_ROW = (
    "sighting_rows(sighting_key, sighting_id, track_key, label, score, time_ns, received_ns, latitude_deg, "
    "longitude_deg) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_MAX_TRACKS = 50_000
_CONTACTS_A_COMMIT = 100
_MAX_UNTRUSTED = 10_000
_MAX_STREAMS = 4_096
_MAX_CHECKED_BYTES = 256_000_000
_MAX_EXAMINED = 2_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Settled:
    """Contacts that changed, with their revision, and ids that are no more."""

    contacts: tuple["StoredContact", ...]
    removed: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """What is committed of one outbox: numbers, the farthest signed head, pieces of large records."""

    ack: Ack
    head: Head | None
    partial: tuple[Partial, ...]


class Store(StoreReader, Protocol):
    """Questions and the one way in."""

    def ingest(self, arrivals: Sequence[Arrival], fragments: Sequence[ArrivedFragment] = ()) -> Ingested:
        """Make records durable in one transaction; after it returns they may be acknowledged."""
        ...

    def quarantine(self, arrivals: Sequence[Arrival], reason: str) -> None:
        """Keep records aside that nobody vouches for; they count as not received."""
        ...

    def standing(self, platform_id: str, boot_id: str, about: Sequence[int]) -> Standing:
        """What to tell a sender, at least as far as `about` goes."""
        ...

    def settle(self, revision: int) -> Settled:
        """Bring the contacts up to date with the sightings ingested since."""
        ...

    def sequence_state(self, platform_id: str) -> tuple[int, int, int]:
        """Records stored, missing below the last, and the last number, of a platform's newest outbox."""
        ...

    def note_heard(self, heard: dict[str, tuple[int, str | None]]) -> None:
        """Remember when (UTC ns) and on which sortie platforms were last heard."""
        ...

    def expire(self, before_ns: Mapping[str, int], now_ns: int, default_ns: int = 0) -> Expired:
        """Erase what was received before `before_ns[topic]` (`default_ns`: other topics; 0 keeps it).

        What is held stays; hashes and numbers of the erased stay.
        """
        ...

    def hold(self, kind: HoldKind, name: str, reason: str, now_ns: int) -> None:
        """Keep a platform's, track's, contact's or sighting's records however old they become."""
        ...

    def release(self, kind: HoldKind, name: str) -> bool:
        """Hold no longer; False when it was not held."""
        ...

    def holds(self) -> list[Hold]:
        """What is held."""
        ...

    def close(self) -> None:
        """Let go of the file."""
        ...


@dataclass(slots=True)
class _Run:
    """Arrivals of one outbox that follow each other: what is looked up once for all of them."""

    stream: Stream
    leaves: dict[int, bytes]
    seal: Seal | None = None
    seal_key: int | None = None


@dataclass(slots=True)
class _Commit:
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
    others: list[tuple[int, Message]] = field(default_factory=list)


class SqliteStore(SqliteReader):
    """`Store` in one SQLite file, through APSW: WAL, `synchronous=FULL`, one writer.

    `warnings` say in words what was found damaged on opening.
    `contacts` is fed every sighting at the next `settle` (beyond `max_unfed` they are read back for it) and,
    on opening, those of the last `horizon_s`. `vfs` names another SQLite VFS (for tests of power loss).
    Raises `StoreError` when another process has the store, or its file is damaged, newer, or another
    program's.
    """

    def __init__(
        self,
        path: Path,
        contacts: ContactNode,
        *,
        horizon_s: float = 86_400.0,
        vfs: str | None = None,
        max_unfed: int = 20_000,
    ) -> None:
        super().__init__(path, vfs=vfs)
        self._lock = threading.RLock()
        self._contacts = contacts
        self._horizon_ns = int(horizon_s * 1e9)
        self._streams: dict[tuple[str, str], Stream] = {}
        self._newest_boot: dict[str, str] = {}
        self._newest_ns = 0
        self._has_mark = vfs is None
        self.warnings: list[str] = []
        self._next_seal_key = 1
        self._next_record_key = 1
        self._tracks: dict[tuple[str, str], int] = {}
        self._settling = threading.RLock()
        self._max_unfed = max_unfed
        self._unfed: list[Sighting] = []
        self._missed_from: int | None = None
        self._owed: dict[str, Contact] = {}
        self._owed_removals: set[str] = set()
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        taken = f"{path}: another ground station uses this store"
        self._guard = lockfile.hold(path.with_name(path.name + ".lock"), taken)
        try:
            self._db = open_for_writing(path, vfs)
            try:
                with as_store_errors(path):
                    self._examine()
                    self._load()
            except BaseException:
                with contextlib.suppress(apsw.Error):
                    self._db.close(True)
                raise
        except BaseException:
            os.close(self._guard)
            raise

    def ingest(self, arrivals: Sequence[Arrival], fragments: Sequence[ArrivedFragment] = ()) -> Ingested:
        """See `Store`; raises `StoreError` and keeps nothing of the call when the disk refuses."""
        with self._lock:
            next_keys = self._next_seal_key, self._next_record_key
            try:
                with self._transaction() as db:
                    times = [one.received_ns for one in arrivals] + [one.received_ns for one in fragments]
                    commit = _Commit(db, max(times, default=0))
                    outcomes = self._insert_all(commit, arrivals)
                    for arrived in fragments:
                        self._keep_fragment(commit, arrived)
                    self._write_rows(commit)
                    self._finish(commit)
            except BaseException:
                self._streams.clear()  # may have seen numbers that were rolled back
                self._tracks.clear()
                self._next_seal_key, self._next_record_key = next_keys
                with contextlib.suppress(apsw.Error):
                    self._places.reload()
                raise
            self._owe_to_contacts(commit)
        return Ingested(
            outcomes=outcomes, completed=tuple(commit.completed), alarms=tuple(dict.fromkeys(commit.alarms))
        )

    def quarantine(self, arrivals: Sequence[Arrival], reason: str) -> None:
        """See `Store`; at most 10,000 a platform are kept, each once."""
        with self._lock, self._transaction() as db:
            for arrival in arrivals:
                held = db.execute(
                    "SELECT count(*) FROM quarantine WHERE platform_id = ?", (arrival.record.platform_id,)
                ).get
                if held < _MAX_UNTRUSTED and not self._is_quarantined(db, arrival):
                    self._quarantine(db, arrival, reason)

    def settle(self, revision: int) -> Settled:
        """See `Store`; records are taken in meanwhile, whatever it takes."""
        with self._settling:
            self._feed_contacts()
            changes = self._contacts.settle()
            for contact_id in changes.removed:
                self._owed.pop(contact_id, None)
            self._owed.update({contact.contact_id: contact for contact in changes.changed})
            self._owed_removals.update(changes.removed)
            if not self._owed and not self._owed_removals:
                return Settled(contacts=(), removed=())
            stored: list[StoredContact] = []
            owed = list(self._owed.values())
            for start in range(0, len(owed), _CONTACTS_A_COMMIT):
                stored += self._put_contacts(owed[start : start + _CONTACTS_A_COMMIT], revision)
                time.sleep(0.001)  # who takes records in waits for the lock
            self._owed_removals -= self._owed.keys()
            with self._lock, self._transaction() as db:
                removed = {one for one in self._owed_removals if self._drop_if_empty(db, one)}
            self._owed.clear()
            self._owed_removals.clear()
        return Settled(contacts=tuple(stored), removed=tuple(sorted(removed)))

    def _put_contacts(self, contacts: Sequence[Contact], revision: int) -> list[StoredContact]:
        """Write some contacts in a commit of their own."""
        with self._lock, self._transaction() as db:
            for contact in contacts:
                self._owed_removals |= self._put_contact(db, contact, revision)
            return [
                contact_of_row(
                    db.execute(
                        f"SELECT {CONTACT_COLUMNS} FROM contacts c WHERE c.contact_id = ?",
                        (contact.contact_id,),
                    ).get
                )
                for contact in contacts
            ]

    def standing(self, platform_id: str, boot_id: str, about: Sequence[int]) -> Standing:
        """See `Store`."""
        with self._lock, as_store_errors(self._path):
            if len(self._streams) > _MAX_STREAMS:
                self._streams.clear()
            stream = self._stream(platform_id, boot_id)
            ack = stream.numbers.acknowledgement(platform_id, boot_id, about)
            return Standing(ack=ack, head=stream.head, partial=stream.shown_partial())

    def sequence_state(self, platform_id: str) -> tuple[int, int, int]:
        """See `Store`."""
        with self._lock, as_store_errors(self._path):
            boot_id = self._newest_boot.get(platform_id)
            if boot_id is None:
                return 0, 0, 0
            stream = self._stream(platform_id, boot_id)
            numbers = stream.numbers
            return len(numbers) - stream.shed, numbers.missing_count, numbers.last

    def expire(self, before_ns: Mapping[str, int], now_ns: int, default_ns: int = 0) -> Expired:
        """See `Store`."""
        with self._lock:
            try:
                found = retention.expire(self._transaction, before_ns, now_ns, default_ns)
            finally:
                with as_store_errors(self._path):
                    self._places.reload()
            with as_store_errors(self._path):
                if found.erased:  # pages keep pieces of what moved about in them: only a new file has none
                    self._db.execute("VACUUM")
                self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return found

    def erase(self, record_keys: tuple[int, ...], now_ns: int) -> Erased:
        """Erase the bodies of these records in one short transaction, under a station that runs.

        What is held stays. Freed bytes are overwritten in the pages of the file. Raises `StoreError`.
        """
        with self._lock:
            try:
                with as_store_errors(self._path):
                    self._db.execute("PRAGMA secure_delete = ON")
                with self._transaction() as db:
                    return retention.erase(db, record_keys, now_ns)
            finally:
                with as_store_errors(self._path):
                    self._db.execute("PRAGMA secure_delete = OFF")
                    self._places.reload()

    def erase_quarantine(self, before_ns: int) -> int:
        """Take some of what came before `before_ns` out of quarantine; how many, 0 when none is left."""
        with self._lock, self._transaction() as db:
            return retention.clear_quarantine(db, before_ns)

    def hold(self, kind: HoldKind, name: str, reason: str, now_ns: int) -> None:
        """See `Store`."""
        with self._lock, self._transaction() as db:
            db.execute("INSERT OR REPLACE INTO holds VALUES (?, ?, ?, ?)", (kind, name, reason[:500], now_ns))

    def release(self, kind: HoldKind, name: str) -> bool:
        """See `Store`."""
        with self._lock, self._transaction() as db:
            db.execute("DELETE FROM holds WHERE kind = ? AND name = ?", (kind, name))
            return bool(db.changes())

    def holds(self) -> list[Hold]:
        """See `Store`."""
        with self._lock, as_store_errors(self._path):
            return retention.holds(self._db)

    def note_heard(self, heard: dict[str, tuple[int, str | None]]) -> None:
        """See `Store`."""
        if not heard:
            return
        with self._lock, self._transaction() as db:
            db.executemany(
                "INSERT INTO platforms VALUES (?, ?, ?) ON CONFLICT(platform_id) DO UPDATE SET "
                "last_heard_ns = max(last_heard_ns, excluded.last_heard_ns), "
                "sortie_id = coalesce(excluded.sortie_id, sortie_id)",
                [(platform_id, time_ns, sortie) for platform_id, (time_ns, sortie) in heard.items()],
            )
        with self._lock, as_store_errors(self._path):
            self._mark()

    def close(self) -> None:
        """See `Store`."""
        super().close()
        with self._lock:
            with contextlib.suppress(apsw.Error):
                self._mark()
            self._db.close()
            if self._guard >= 0:
                os.close(self._guard)
                self._guard = -1

    def abandon(self) -> None:
        """Let go of the file as a process that dies does: nothing more is written."""
        super().close()
        with contextlib.suppress(apsw.Error):
            self._db.close(True)
        if self._guard >= 0:
            os.close(self._guard)
            self._guard = -1

    def _insert_all(self, commit: _Commit, arrivals: Sequence[Arrival]) -> tuple[Outcome, ...]:
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

    def _run_of(self, commit: _Commit, arrival: Arrival) -> _Run:
        record = arrival.record
        stream = self._opened(commit, record.platform_id, record.boot_id, arrival.received_ns)
        return _Run(stream, commit.leaves.setdefault(stream.key, {}))

    def _insert(self, commit: _Commit, run: _Run, arrival: Arrival) -> Outcome:
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
        commit.records.append(
            (
                record_key,
                stream.key,
                seq,
                record.topic,
                record.time_ns,
                arrival.received_ns,
                record.body,
                record.mono_ns,
                record.clock,
                leaf,
                run.seal_key,
            )
        )
        message = arrival.message
        if type(message) is Sighting:
            self._list_sighting(commit, record_key, message, arrival.received_ns)
        elif message is None:
            self._quarantine(commit.db, arrival, arrival.reason or "not valid")
            return "quarantined"
        elif isinstance(message, Gap):
            self._note_gap(commit, record_key, message, arrival)
        else:
            commit.others.append((record_key, message))
        return "stored"

    def _begin_seal(self, commit: _Commit, run: _Run, seal: Seal | None) -> None:
        """What follows is under another signature: its row's key, and what it says of the chain."""
        run.seal, run.seal_key = seal, self._seal_key(commit, seal)
        if seal is not None:
            self._note_head(commit, run.stream, seal)

    def _again(self, commit: _Commit, arrival: Arrival, before: bytes) -> Outcome:
        """The number again: the same bytes are a duplicate, other bytes a fork that overwrites nothing."""
        if before == arrival.leaf:
            return "duplicate"
        if arrival.seal is not None:
            commit.forks[arrival.seal, arrival.record.seq] = arrival.leaf
        record = arrival.record
        self._keep_branch(commit, self._stream(record.platform_id, record.boot_id), record.seq)
        if not self._is_quarantined(commit.db, arrival):
            self._quarantine(commit.db, arrival, FORKED)
            commit.alarms.append(f"another record came as number {record.seq} of {record.boot_id}: a fork")
        return "fork"

    def _keep_branch(self, commit: _Commit, stream: Stream, seq: int) -> None:
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

    def _seal_key(self, commit: _Commit, seal: Seal | None) -> int | None:
        """The row that `seal` will have; it is written when the whole commit is known."""
        if seal is None:
            return None
        key = commit.seal_keys.get(seal)
        if key is None:
            key = commit.seal_keys[seal] = self._next_seal_key
            self._next_seal_key += 1
        return key

    def _note_head(self, commit: _Commit, stream: Stream, seal: Seal) -> None:
        problem = stream.note_head(seal)
        if problem is not None and not stream.is_broken:
            stream.is_broken = True
            self._alarm(commit, stream, seal.head_seq, problem)

    def _alarm(self, commit: _Commit, stream: Stream, seq: int, problem: str) -> None:
        commit.alarms.append(problem)
        commit.db.execute(
            "INSERT INTO quarantine(platform_id, boot_id, seq, topic, received_ns, reason, body) "
            "VALUES (?, ?, ?, 'chain', ?, ?, x'')",
            (stream.platform_id, stream.boot_id, seq, commit.received_ns, problem),
        )

    def _note_gap(self, commit: _Commit, record_key: int, gap: Gap, arrival: Arrival) -> None:
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

    def _keep_fragment(self, commit: _Commit, arrived: ArrivedFragment) -> None:
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

    def _make_room(self, commit: _Commit, stream: Stream) -> None:
        """At most so many records of one outbox are half here; the one that began first goes."""
        while len(stream.partial) >= MAX_PARTIAL:
            seq = next(iter(stream.partial))
            del stream.partial[seq]
            commit.db.execute("DELETE FROM fragments WHERE stream_key = ? AND seq = ?", (stream.key, seq))

    def _complete(self, commit: _Commit, stream: Stream, arrived: ArrivedFragment) -> None:
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

    def _finish(self, commit: _Commit) -> None:
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

    def _seal_row(self, commit: _Commit, seal: Seal, key: int) -> tuple[Any, ...]:
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

    def _is_quarantined(self, db: Any, arrival: Arrival) -> bool:
        found = db.execute(
            "SELECT 1 FROM quarantine WHERE platform_id = ? AND boot_id = ? AND seq = ? AND body = ?",
            (*_stream_name(arrival.record), arrival.record.seq, arrival.record.body),
        ).get
        return found is not None

    def _quarantine(self, db: Any, arrival: Arrival, reason: str) -> None:
        record = arrival.record
        db.execute(
            "INSERT INTO quarantine(platform_id, boot_id, seq, topic, received_ns, reason, body) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            (*_stream_name(record), record.seq, record.topic, arrival.received_ns, reason[:500], record.body),
        )

    def _list_sighting(self, commit: _Commit, record_key: int, sighting: Sighting, received_ns: int) -> None:
        place = sighting.position
        commit.fed.append(sighting)
        commit.sightings.append(
            (
                record_key,
                sighting.sighting_id,
                self._tracks.get((sighting.track_id, sighting.platform_id))
                or self._track_key(commit.db, sighting.track_id, sighting.platform_id),
                sighting.label,
                sighting.score,
                sighting.time_ns,
                received_ns,
                place.latitude_deg if place is not None else None,
                place.longitude_deg if place is not None else None,
            )
        )

    def _track_key(self, db: Any, track_id: str, platform_id: str) -> int:
        """The row of this track, made when it is new."""
        named = (track_id, platform_id)
        key: int | None = db.execute(
            "SELECT track_key FROM tracks WHERE track_id = ? AND platform_id = ?", named
        ).get
        if key is None:
            db.execute("INSERT INTO tracks(track_id, platform_id) VALUES (?, ?)", named)
            key = db.last_insert_rowid()
        if len(self._tracks) >= _MAX_TRACKS:
            self._tracks.clear()
        self._tracks[named] = key
        return key

    def _write_rows(self, commit: _Commit) -> None:
        """Records, then sightings, then what points at sightings."""
        db = commit.db
        db.executemany(
            "INSERT INTO records(record_key, stream_key, seq, topic, time_ns, received_ns, body, mono_ns, "
            "clock, leaf, seal_key) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            commit.records,
        )
        if commit.sightings:
            self._write_sightings(db, commit)
        for record_key, message in commit.others:
            self._index(db, record_key, message)

    def _write_sightings(self, db: Any, commit: _Commit) -> None:
        rows = commit.sightings
        before = db.total_changes()
        db.executemany(f"INSERT OR IGNORE INTO {_SIGHTING_ROW}", rows)
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
        db.execute(f"INSERT INTO {_SIGHTING_ROW}", row)
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

    def _put_contact(self, db: Any, contact: Contact, revision: int) -> set[str]:
        """Write one contact; the ids of those that lost tracks to it."""
        place = contact.position
        db.execute(
            "INSERT OR REPLACE INTO contacts VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                contact.contact_id,
                contact.label,
                contact.first_ns,
                contact.last_ns,
                place.latitude_deg if place is not None else None,
                place.longitude_deg if place is not None else None,
                revision,
                encode(contact),
            ),
        )
        losers: set[str] = set()
        for track_id in contact.track_ids:
            before = db.execute("SELECT contact_id FROM contact_tracks WHERE track_id = ?", (track_id,)).get
            if before == contact.contact_id:
                continue
            if before is not None:
                losers.add(before)
            platform_id = db.execute(
                "SELECT platform_id FROM tracks WHERE track_id = ? LIMIT 1", (track_id,)
            ).get
            db.execute(
                "INSERT OR REPLACE INTO contact_tracks VALUES (?, ?, ?)",
                (track_id, contact.contact_id, platform_id or ""),
            )
        return losers

    def _drop_if_empty(self, db: Any, contact_id: str) -> bool:
        if db.execute("SELECT 1 FROM contact_tracks WHERE contact_id = ? LIMIT 1", (contact_id,)).get:
            return False
        db.execute("DELETE FROM contacts WHERE contact_id = ?", (contact_id,))
        return True

    def _owe_to_contacts(self, commit: _Commit) -> None:
        """What the next `settle` gives to the contacts; of too many only where they begin."""
        if self._missed_from is not None or not commit.fed:
            return
        if len(self._unfed) + len(commit.fed) > self._max_unfed:
            self._missed_from = commit.sightings[0][0]
        else:
            self._unfed += commit.fed

    def _feed_contacts(self) -> None:
        """Give the contacts everything that was committed since the last time."""
        with self._lock:
            unfed, self._unfed = self._unfed, []
            missed, self._missed_from = self._missed_from, None
            end = self._next_record_key
        try:
            with self._reader() as db:
                for sighting in unfed:
                    self._feed(db, sighting)
                while missed is not None and missed < end:
                    self._feed_stored(db, missed, min(end, missed + self._max_unfed))
                    missed += self._max_unfed
        except BaseException:  # the next settle goes on; what is fed twice changes nothing
            with self._lock:
                self._unfed = unfed + self._unfed
                known = [one for one in (missed, self._missed_from) if one is not None]
                self._missed_from = min(known, default=None)
            raise

    def _feed_stored(self, db: Any, first: int, end: int) -> None:
        """Give the contacts the sightings with these keys."""
        rows = db.execute(
            f"SELECT {LEAF_COLUMNS} FROM sighting_rows s JOIN records r ON r.record_key = s.sighting_key "
            "JOIN streams st USING(stream_key) WHERE s.sighting_key >= ? AND s.sighting_key < ?",
            (first, end),
        ).fetchall()
        for sighting in _sightings_in(rows):
            self._feed(db, sighting)

    def _feed(self, db: Any, sighting: Sighting) -> None:
        """Hand a sighting to the contacts, with all of its contact when that was not in memory."""
        if not self._contacts.knows(sighting.track_id):
            rows = db.execute(
                f"SELECT {LEAF_COLUMNS} FROM sightings s JOIN records r USING(record_key) "
                "JOIN streams st USING(stream_key) WHERE s.track_id IN (SELECT ?1 UNION "
                "SELECT t.track_id FROM contact_tracks t JOIN contact_tracks a USING(contact_id) "
                "WHERE a.track_id = ?1)",
                (sighting.track_id,),
            )
            for one in _sightings_in(rows):
                self._contacts.add(one)
        self._contacts.add(sighting)
        if sighting.time_ns > self._newest_ns + self._horizon_ns // 24:
            self._newest_ns = sighting.time_ns
            self._contacts.forget_before(self._newest_ns - self._horizon_ns)

    def _mark(self) -> None:
        if self._has_mark:
            write_mark(self._db, self._path)

    def _examine(self) -> None:
        """Damage that is quickly seen goes to `warnings`; `skywarden ground verify` looks at everything."""
        if self._has_mark:
            problem = compare_mark(self._db, self._path)
            if problem is not None:
                self.warnings.append(problem)
            if self._path.stat().st_size <= _MAX_CHECKED_BYTES:
                answer = self._db.execute("PRAGMA quick_check(1)").get
                if answer != "ok":
                    self.warnings.append(f"{self._path} is damaged ({answer}); restore a backup")
        damaged = [
            f"record {row[2]} of {row[0]}, outbox {row[1]}"
            for row in self._db.execute(
                f"SELECT {LEAF_COLUMNS} FROM records r JOIN streams st USING(stream_key) "
                "WHERE r.erased_ns IS NULL ORDER BY r.record_key DESC LIMIT ?",
                (_MAX_EXAMINED,),
            )
            if not is_leaf_true(row)
        ]
        if damaged:
            self.warnings.append(
                f"{len(damaged)} of the newest records are not what was stored and are not shown (such as "
                f"{damaged[0]}); `skywarden ground verify` says which"
            )

    def _load(self) -> None:
        """What is kept in memory, and what a platform's older outboxes left half here goes."""
        self._load_recent()
        self._places = PlaceWriter(self._db)
        self._next_seal_key = self._after("seals", "seal_key")
        self._next_record_key = self._after("records", "record_key")
        self._db.execute(
            "DELETE FROM fragments WHERE stream_key NOT IN "
            "(SELECT max(stream_key) FROM streams WHERE boot_id <> ? GROUP BY platform_id)",
            (THIN_BOOT,),
        )
        for boot_id, platform_id in self._db.execute(
            "SELECT boot_id, platform_id FROM streams WHERE boot_id <> ? ORDER BY stream_key", (THIN_BOOT,)
        ).fetchall():
            self._newest_boot[platform_id] = boot_id

    def _after(self, table: str, column: str) -> int:
        """The next free key."""
        last: int = self._db.execute(f"SELECT coalesce(max({column}), 0) FROM {table}").get
        return last + 1

    def _load_recent(self) -> None:
        """What contacts are made of: whole contacts, so that they keep their names, and things that never
        move however long ago they were seen."""
        static = ", ".join(f"'{label}'" for label in sorted(STATIC_LABELS))
        self._newest_ns = self._db.execute("SELECT coalesce(max(time_ns), 0) FROM sighting_rows").get
        for sighting in _sightings_in(
            self._db.execute(
                f"SELECT {LEAF_COLUMNS} FROM sightings s JOIN records r USING(record_key) "
                "JOIN streams st USING(stream_key) WHERE s.track_id IN ("
                "SELECT track_id FROM sightings WHERE time_ns >= ?1 "
                "UNION SELECT track_id FROM sightings "
                "WHERE track_id NOT IN (SELECT track_id FROM contact_tracks) "
                "UNION SELECT t.track_id FROM contact_tracks t WHERE t.contact_id IN (SELECT a.contact_id "
                "FROM contact_tracks a JOIN sightings n USING(track_id) WHERE n.time_ns >= ?1) "
                "UNION SELECT t.track_id FROM contact_tracks t JOIN contacts c USING(contact_id) "
                f"WHERE c.label IN ({static}))",
                (self._newest_ns - self._horizon_ns,),
            )
        ):
            self._contacts.add(sighting)

    def _opened(self, commit: _Commit, platform_id: str, boot_id: str, received_ns: int) -> Stream:
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

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[Any]:
        with as_store_errors(self._path):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise


def _sightings_in(rows: Iterable[Any]) -> Iterator[Sighting]:
    """What rows of `LEAF_COLUMNS` hold; damaged ones are left out: `skywarden ground verify` tells."""
    for row in rows:
        sighting = decoded_body("sighting", row[7]) if is_leaf_true(row) else None
        if isinstance(sighting, Sighting):
            yield sighting


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
