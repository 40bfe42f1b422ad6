"""The ground's memory: what it must do (`Store`), and SQLite behind it (`SqliteStore`).

Nothing in `Store` is more than PostgreSQL with PostGIS could do. Raw records are kept as they came, once;
sightings, chips and health are indexes on them, so a body is decoded when it is read. One connection writes,
under one lock (in practice only the receiver's thread); readers have connections of their own.
"""

import contextlib
import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from ground.contacts import Contact, ContactNode
from ground.reading import (
    CONTACT_COLUMNS,
    SqliteReader,
    StoredContact,
    StoreReader,
    contact_of_row,
    decoded_body,
)
from ground.schema import as_store_errors, open_for_writing
from ground.sequences import SequenceSet
from skywarden import lockfile
from skywarden.messages import Ack, Chip, Health, Message, Sighting
from skywarden.wire import Record, encode

Outcome = Literal["stored", "duplicate", "fork", "quarantined"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Arrival:
    """One record as it came; `message` is its decoded body, or `None` with the `reason` why it is poison."""

    record: Record
    message: Message | None
    received_ns: int
    reason: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Ingested:
    """What a commit did, arrival by arrival."""

    outcomes: tuple[Outcome, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Settled:
    """Contacts that changed, with their revision, and ids that are no more."""

    contacts: tuple["StoredContact", ...]
    removed: tuple[str, ...]


class Store(StoreReader, Protocol):
    """Questions and the one way in."""

    def ingest(self, arrivals: Sequence[Arrival]) -> Ingested:
        """Make records durable in one transaction; after it returns they may be acknowledged."""
        ...

    def settle(self, revision: int) -> Settled:
        """Bring the contacts up to date with the sightings ingested since."""
        ...

    def acknowledgement(self, platform_id: str, boot_id: str, about: Sequence[int]) -> Ack:
        """What is committed of one outbox, at least as far as `about` goes."""
        ...

    def sequence_state(self, platform_id: str) -> tuple[int, int, int]:
        """Records stored, missing below the last, and the last number, of a platform's newest outbox."""
        ...

    def note_heard(self, heard: dict[str, tuple[int, str | None]]) -> None:
        """Remember when (UTC ns) and on which sortie platforms were last heard."""
        ...

    def close(self) -> None:
        """Let go of the file."""
        ...


@dataclass(slots=True)
class _Stream:
    key: int
    numbers: SequenceSet = field(default_factory=SequenceSet)


class SqliteStore(SqliteReader):
    """`Store` in one SQLite file, through APSW: WAL, `synchronous=FULL`, one writer.

    `contacts` is fed every sighting of a commit and, on opening, those of the last `horizon_s`. Raises
    `StoreError` when another process has the store, or its file is damaged, newer, or another program's.
    """

    def __init__(self, path: Path, contacts: ContactNode, *, horizon_s: float = 86_400.0) -> None:
        super().__init__(path)
        self._lock = threading.RLock()
        self._contacts = contacts
        self._horizon_ns = int(horizon_s * 1e9)
        self._streams: dict[tuple[str, str], _Stream] = {}
        self._newest_boot: dict[str, str] = {}
        self._newest_ns = 0
        self._owed: dict[str, Contact] = {}
        self._owed_removals: set[str] = set()
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        taken = f"{path}: another ground station uses this store"
        self._guard = lockfile.hold(path.with_name(path.name + ".lock"), taken)
        try:
            self._db = open_for_writing(path)
            with as_store_errors(path):
                self._load_recent()
                for boot_id, platform_id in self._db.execute(
                    "SELECT boot_id, platform_id FROM streams ORDER BY stream_key"
                ).fetchall():
                    self._newest_boot[platform_id] = boot_id
        except BaseException:
            os.close(self._guard)
            raise

    def ingest(self, arrivals: Sequence[Arrival]) -> Ingested:
        """See `Store`; raises `StoreError` and keeps nothing of the call when the disk refuses."""
        with self._lock:
            try:
                with self._transaction() as db:
                    outcomes = tuple(self._insert(db, arrival) for arrival in arrivals)
            except BaseException:
                self._streams.clear()  # may have seen numbers that were rolled back
                raise
            for arrival, outcome in zip(arrivals, outcomes, strict=True):
                self._streams[_stream_name(arrival.record)].numbers.add(arrival.record.seq)
                if outcome == "stored" and isinstance(arrival.message, Sighting):
                    self._feed(arrival.message)
        return Ingested(outcomes=outcomes)

    def settle(self, revision: int) -> Settled:
        """See `Store`."""
        with self._lock:
            changes = self._contacts.settle()
            self._owed.update({contact.contact_id: contact for contact in changes.changed})
            self._owed_removals.update(changes.removed)
            if not self._owed and not self._owed_removals:
                return Settled(contacts=(), removed=())
            removed: set[str] = set()
            with self._transaction() as db:
                for contact in self._owed.values():
                    removed |= self._put_contact(db, contact, revision)
                doubtful = (removed | self._owed_removals) - {one.contact_id for one in changes.changed}
                removed = {one for one in doubtful if self._drop_if_empty(db, one)}
                stored = [
                    contact_of_row(
                        db.execute(
                            f"SELECT {CONTACT_COLUMNS} FROM contacts c WHERE c.contact_id = ?",
                            (contact.contact_id,),
                        ).get
                    )
                    for contact in self._owed.values()
                    if contact.contact_id not in removed
                ]
            self._owed.clear()
            self._owed_removals.clear()
        return Settled(contacts=tuple(stored), removed=tuple(sorted(removed)))

    def acknowledgement(self, platform_id: str, boot_id: str, about: Sequence[int]) -> Ack:
        """See `Store`."""
        with self._lock, as_store_errors(self._path):
            numbers = self._stream(platform_id, boot_id).numbers
            return numbers.acknowledgement(platform_id, boot_id, about)

    def sequence_state(self, platform_id: str) -> tuple[int, int, int]:
        """See `Store`."""
        with self._lock, as_store_errors(self._path):
            boot_id = self._newest_boot.get(platform_id)
            if boot_id is None:
                return 0, 0, 0
            numbers = self._stream(platform_id, boot_id).numbers
            return len(numbers), numbers.missing_count, numbers.last

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

    def close(self) -> None:
        """See `Store`."""
        super().close()
        with self._lock:
            self._db.close()
            if self._guard >= 0:
                os.close(self._guard)
                self._guard = -1

    def _insert(self, db: Any, arrival: Arrival) -> Outcome:
        record = arrival.record
        stream = self._stream(record.platform_id, record.boot_id)
        if record.seq in stream.numbers:
            return self._again(db, stream, arrival)
        if stream.key == 0:
            db.execute(
                "INSERT OR IGNORE INTO streams(platform_id, boot_id, first_ns) VALUES (?, ?, ?)",
                (record.platform_id, record.boot_id, arrival.received_ns),
            )
            stream_key = db.execute(
                "SELECT stream_key FROM streams WHERE platform_id = ? AND boot_id = ?", _stream_name(record)
            ).get
        else:
            stream_key = stream.key
        db.execute(
            "INSERT OR IGNORE INTO records(stream_key, seq, topic, time_ns, received_ns, body) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            (stream_key, record.seq, record.topic, record.time_ns, arrival.received_ns, record.body),
        )
        if db.changes() == 0:  # twice in one call
            return self._again(db, _Stream(stream_key), arrival)
        record_key = db.last_insert_rowid()
        if arrival.message is None:
            self._quarantine(db, arrival, arrival.reason or "not valid")
            return "quarantined"
        self._index(db, record_key, arrival.message, arrival.received_ns)
        return "stored"

    def _again(self, db: Any, stream: _Stream, arrival: Arrival) -> Outcome:
        """The number again: the same bytes are a duplicate, other bytes a fork that overwrites nothing."""
        before = db.execute(
            "SELECT topic, body FROM records WHERE stream_key = ? AND seq = ?",
            (stream.key, arrival.record.seq),
        ).get
        if before == (arrival.record.topic, arrival.record.body):
            return "duplicate"
        known = db.execute(
            "SELECT 1 FROM quarantine WHERE platform_id = ? AND boot_id = ? AND seq = ? AND body = ?",
            (*_stream_name(arrival.record), arrival.record.seq, arrival.record.body),
        ).get
        if known is None:
            self._quarantine(db, arrival, "another record with this number is stored")
        return "fork"

    def _quarantine(self, db: Any, arrival: Arrival, reason: str) -> None:
        record = arrival.record
        db.execute(
            "INSERT INTO quarantine(platform_id, boot_id, seq, topic, received_ns, reason, body) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            (*_stream_name(record), record.seq, record.topic, arrival.received_ns, reason[:500], record.body),
        )

    def _index(self, db: Any, record_key: int, message: Message, received_ns: int) -> None:
        if isinstance(message, Sighting):
            self._index_sighting(db, record_key, message, received_ns)
        elif isinstance(message, Chip):
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

    def _index_sighting(self, db: Any, record_key: int, sighting: Sighting, received_ns: int) -> None:
        place = sighting.position
        latitude = place.latitude_deg if place is not None else None
        longitude = place.longitude_deg if place is not None else None
        db.execute(
            "INSERT OR IGNORE INTO sightings(sighting_id, record_key, track_id, platform_id, label, score, "
            "time_ns, received_ns, latitude_deg, longitude_deg) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                sighting.sighting_id,
                record_key,
                sighting.track_id,
                sighting.platform_id,
                sighting.label,
                sighting.score,
                sighting.time_ns,
                received_ns,
                latitude,
                longitude,
            ),
        )
        if db.changes() == 0:
            return
        if place is not None:
            db.execute(
                "INSERT INTO sighting_places VALUES (?, ?, ?, ?, ?)",
                (db.last_insert_rowid(), longitude, longitude, latitude, latitude),
            )
        db.execute(
            "UPDATE chips SET track_id = ?, score = ? WHERE sighting_id = ?",
            (sighting.track_id, sighting.score, sighting.sighting_id),
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
                "SELECT platform_id FROM sightings WHERE track_id = ? LIMIT 1", (track_id,)
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

    def _feed(self, sighting: Sighting) -> None:
        """Hand a sighting to the contacts, with all of its track when that was not in memory."""
        if not self._contacts.knows(sighting.track_id):
            rows = self._db.execute(
                "SELECT r.body FROM sightings s JOIN records r USING(record_key) WHERE s.track_id = ?",
                (sighting.track_id,),
            )
            self._feed_bodies(rows)
        self._contacts.add(sighting)
        if sighting.time_ns > self._newest_ns + self._horizon_ns // 24:
            self._newest_ns = sighting.time_ns
            self._contacts.forget_before(self._newest_ns - self._horizon_ns)

    def _load_recent(self) -> None:
        self._newest_ns = self._db.execute("SELECT coalesce(max(time_ns), 0) FROM sightings").get
        self._feed_bodies(
            self._db.execute(
                "SELECT r.body FROM sightings s JOIN records r USING(record_key) WHERE s.track_id IN "
                "(SELECT track_id FROM sightings WHERE time_ns >= ?1 UNION SELECT track_id FROM sightings "
                "WHERE track_id NOT IN (SELECT track_id FROM contact_tracks))",
                (self._newest_ns - self._horizon_ns,),
            )
        )

    def _feed_bodies(self, rows: Any) -> None:
        for (body,) in rows:
            sighting = decoded_body("sighting", body)
            if isinstance(sighting, Sighting):
                self._contacts.add(sighting)

    def _stream(self, platform_id: str, boot_id: str) -> _Stream:
        stream = self._streams.get((platform_id, boot_id))
        if stream is None or stream.key == 0:
            key = self._db.execute(
                "SELECT stream_key FROM streams WHERE platform_id = ? AND boot_id = ?", (platform_id, boot_id)
            ).get
            stream = _Stream(key or 0)
            if key is not None:
                rows = self._db.execute("SELECT seq FROM records WHERE stream_key = ? ORDER BY seq", (key,))
                for (seq,) in rows:
                    stream.numbers.add(seq)
                self._newest_boot[platform_id] = boot_id
            self._streams[platform_id, boot_id] = stream
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


def _stream_name(record: Record) -> tuple[str, str]:
    return record.platform_id, record.boot_id
