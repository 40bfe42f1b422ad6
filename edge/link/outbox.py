"""The edge's durable outbox: what was seen stays here until the ground has committed it and said so.

One SQLite file (through APSW), WAL with `synchronous=FULL`: a record that `append` has returned survives
`kill -9` and power loss. Records are chained (skywarden/evidence.py) as they are written. Any thread may call
any method: one connection behind one lock, so the thread that appends waits at most for one commit of the
thread that reads and acknowledges, and both see one order. A second process that opens the same outbox to
write is refused.
"""

import contextlib
import os
import secrets
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import apsw
import numpy as np
import structlog

from edge.clock_watch import ClockWatch
from edge.link import outbox_schema
from edge.triage.worth import Graded, Worth
from skywarden import evidence, lockfile
from skywarden.clock import Clock, SystemClock
from skywarden.errors import StoreError, WireError
from skywarden.link.protocol import Head, acknowledged_ranges
from skywarden.messages import Ack, Gap, Health
from skywarden.topics import topic_named
from skywarden.wire import ClockQuality, Record, encode

_log = structlog.get_logger("edge.link.outbox")

Entry = tuple[str, int, bytes]
"""Topic, UTC ns, encoded message; a `Graded` one also says what it is worth."""

ROW_OVERHEAD_BYTES = 64
_SHED_TO = 0.95
_MIN_BYTES = 131_072
_MAX_GAP_RANGES = 1_000
_MAX_VICTIMS = 20_000
_TIDY_FROM_BYTES = 1_000_000
_TIDY_LOG_BYTES = 6_000_000
_TIDY_HELD_BYTES = 1_000_000
_FRESH_PRIORITY = 1
_NEVER_SHED_PRIORITY = 0
_NEVER_SHED = ("sighting", "receipt", "gap")


@dataclass(frozen=True, kw_only=True, slots=True)
class PendingRecord:
    """One record that the ground has not acknowledged; `body` is an encoded message of `topic`."""

    seq: int
    topic: str
    priority: int
    time_ns: int
    body: bytes
    mono_ns: int = 0
    clock: ClockQuality = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class OutboxState:
    """How full the outbox is and what became of its records since it was made; `head` is where its chain
    stands after `last_seq`."""

    held: int
    held_bytes: int
    last_seq: int
    acknowledged: int
    shed: int
    shed_bytes: int
    head: bytes = b""


class RecordSource(Protocol):
    """What the downlink needs of an outbox; `on_append` is called after each commit."""

    on_append: Callable[[], None] | None

    @property
    def platform_id(self) -> str:
        """Whose records these are."""
        ...

    @property
    def boot_id(self) -> str:
        """Random name of this outbox; another one after it was found to be a copy from the past."""
        ...

    def pending(
        self,
        limit_bytes: int,
        *,
        limit_records: int = ...,
        skip: Collection[int] = ...,
        fresh_from: int = ...,
    ) -> list[PendingRecord]:
        """Records to send next, best first."""
        ...

    def acknowledge(self, ack: Ack, head: Head | None = None) -> int:
        """Forget what the ground has; the number of records forgotten."""
        ...

    def state(self) -> OutboxState:
        """How full it is."""
        ...


class Outbox:
    """Append here first, then send; see the module for durability and threads.

    When more than `max_bytes` are held, the least valuable go first (highest `Topic.priority` number, oldest
    first) until 95 % are held; sightings, receipts and gap records never go, so that with nothing else left
    the file grows beyond the limit. What went is counted, logged as an error, kept as a condition for
    `health()` and told to the ground in the same transaction by durable `gap` and `health` records.

    Raises `StoreError` when the file is in use by another process, from a newer version or belongs to another
    platform. A file that is damaged beyond opening is set aside under a new name (`set_aside`), and a fresh
    outbox with a new `boot_id` takes its place: the flight goes on.

    `clock` judges how good the times of records are; `vfs` names another SQLite VFS and `entropy` another
    source of boot ids (both for tests of power loss).

    Attributes:
        set_aside: where a damaged file was kept, or `None`.
        on_append: called after each commit, in the appending thread; the downlink wakes by it.
        renewals: how often this object found itself to be a copy from the past.
    """

    def __init__(
        self,
        path: Path,
        platform_id: str,
        *,
        max_bytes: int = 1_000_000_000,
        clock: Clock | None = None,
        vfs: str | None = None,
        entropy: Callable[[], str] | None = None,
    ) -> None:
        self._path = path
        self._platform_id = platform_id
        self._max_bytes = max(max_bytes, _MIN_BYTES)
        self._clock = clock or SystemClock()
        self._clock_watch = ClockWatch()
        self._vfs = vfs
        self._entropy = entropy or (lambda: secrets.token_hex(16))
        self._lock = threading.RLock()
        self.set_aside: Path | None = None
        self.on_append: Callable[[], None] | None = None
        self.renewals = 0
        self._shed_since_ns: int | None = None
        self._boot_id, self._chain, self._next_seq = "", b"", 1
        self._confirmed_seq = 0
        self._opened_seq: int | None = None
        self._made_from_ms = self._made_ms = 0
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        taken = f"{path}: another process uses this outbox"
        self._guard = lockfile.hold(path.with_name(path.name + ".lock"), taken)
        try:
            self._db = self._open()
            try:
                with outbox_schema.as_store_errors(path):
                    self._load()
            except BaseException:
                with contextlib.suppress(apsw.Error):
                    self._db.close(True)
                raise
        except BaseException:
            os.close(self._guard)
            raise

    @property
    def platform_id(self) -> str:
        """Whose records these are."""
        return self._platform_id

    @property
    def boot_id(self) -> str:
        """128 random bits in hexadecimal, made with the file; (platform_id, boot_id, seq) names a record.

        Another one when the ground has shown that this file is a copy from the past.
        """
        return self._boot_id

    def append(self, topic: str, time_ns: int, body: bytes) -> int:
        """Make one record durable and return its sequence number; see `append_many`."""
        return self.append_many([(topic, time_ns, body)])[0]

    def append_many(self, entries: Sequence[Entry]) -> list[int]:
        """Make records (topic, UTC ns, encoded message) durable in one transaction; their sequence numbers.

        A `Graded` entry says what it is worth; any other has its topic's priority and is worth as much as
        the others of its age.

        Raises `WireError` for a topic that is unknown, not durable or over its size; `StoreError` when the
        disk refuses. Then nothing of the call is kept and no number is used up.
        """
        for topic_name, _, body in entries:
            topic = topic_named(topic_name)
            if topic.policy != "durable":
                raise WireError(f"topic {topic_name} is not durable; it does not belong in the outbox")
            if len(body) > topic.max_bytes:
                raise WireError(f"a {topic_name} of {len(body)} bytes is over its limit of {topic.max_bytes}")
        if not entries:
            return []
        with self._lock:
            mono_ns = self._clock.monotonic_ns()
            quality = self._clock_watch.judge(self._clock.utc_ns(), mono_ns)
            with self._transaction() as db:
                seqs = [
                    self._insert(
                        db, *entry, mono_ns, quality, entry.worth if isinstance(entry, Graded) else None
                    )
                    for entry in entries
                ]
                self._shed_if_full(db, max(entry[1] for entry in entries), mono_ns, quality)
                self._write_head(db)
        if self.on_append is not None:
            self.on_append()
        return seqs

    def append_loss(self, time_ns: int, counts: dict[str, int]) -> int:
        """Tell the ground of records (how many of which topic) that were lost before they had a number."""
        gap = Gap(
            platform_id=self._platform_id,
            boot_id=self._boot_id,
            time_ns=time_ns,
            reason="memory_full",
            counts=counts,
        )
        return self.append("gap", time_ns, encode(gap))

    def pending(
        self,
        limit_bytes: int,
        *,
        limit_records: int = 200,
        skip: Collection[int] = (),
        fresh_from: int | None = None,
    ) -> list[PendingRecord]:
        """Unacknowledged records without those in `skip`, in the order of their worth: sightings, then other
        metadata with a number from `fresh_from` on, then older metadata, then pictures; the freshest first.

        At least one record is returned when there is any, even when it alone is over `limit_bytes`.
        """
        chosen: dict[int, PendingRecord] = {}
        total = 0
        with self._lock, outbox_schema.as_store_errors(self._path):
            for seq, size, topic, priority, time_ns, body, mono_ns, clock in self._in_order(skip, fresh_from):
                if seq in chosen:
                    continue
                if chosen and total + size > limit_bytes:
                    break
                chosen[seq] = PendingRecord(
                    seq=seq,
                    topic=topic,
                    priority=priority,
                    time_ns=time_ns,
                    body=body,
                    mono_ns=mono_ns,
                    clock=clock,
                )
                total += size
                if total >= limit_bytes or len(chosen) >= limit_records:
                    break
        return list(chosen.values())

    def acknowledge(self, ack: Ack, head: Head | None = None) -> int:
        """Delete what the ground says it has committed; the number of records deleted.

        `head` is the farthest head of this outbox that the ground holds. When our own chain does not go
        through it, or the ground has numbers that were never given out here, this file is a copy from the
        past: nothing is deleted on the ground's word, and what is held goes on under a new `boot_id`.

        An acknowledgement of another outbox deletes nothing. Raises `WireError` on malformed ranges.
        """
        if ack.platform_id != self._platform_id or ack.boot_id != self._boot_id:
            return 0
        ranges = acknowledged_ranges(ack)
        with self._lock, outbox_schema.as_store_errors(self._path):
            if not self._is_ours(ranges, head):
                return self._renew(ranges)
            ranges = [(first, min(last, self._next_seq - 1)) for first, last in ranges]
            is_news = self._opened_seq is not None or any(self._any_between(*one) for one in ranges)
            if not is_news:
                return 0
            with self._transaction(is_promise=False) as db:
                count = sum(self._forget(db, first, last) for first, last in ranges)
                confirmed = max(self._confirmed_seq, head.seq if head is not None else 0)
                db.execute("UPDATE meta SET confirmed_seq = ?, opened_seq = NULL", (confirmed,))
                db.execute("DELETE FROM shed_chain WHERE seq <= ?", (confirmed,))
            self._confirmed_seq, self._opened_seq = confirmed, None
        return count

    def state(self) -> OutboxState:
        """How full the outbox is and what became of its records."""
        with self._lock, outbox_schema.as_store_errors(self._path):
            held, held_bytes, acknowledged, shed, shed_bytes = self._db.execute(
                "SELECT held, held_bytes, acknowledged, shed, shed_bytes FROM meta"
            ).get
            return OutboxState(
                held=held,
                held_bytes=held_bytes,
                last_seq=self._next_seq - 1,
                acknowledged=acknowledged,
                shed=shed,
                shed_bytes=shed_bytes,
                head=self._chain,
            )

    def health(self, time_ns: int) -> Health:
        """One condition: "ok", "degraded" above 80 % full, "failed" while full and records had to go."""
        state = self.state()
        share = state.held_bytes / self._max_bytes
        values = {
            "held": float(state.held),
            "held_bytes": float(state.held_bytes),
            "shed": float(state.shed),
            "shed_bytes": float(state.shed_bytes),
        }
        with self._lock:
            if share <= 0.8:
                self._shed_since_ns = None
            since_ns = self._shed_since_ns if self._shed_since_ns is not None else time_ns
            is_failed = self._shed_since_ns is not None or share > 1.0
        return Health(
            platform_id=self._platform_id,
            component="outbox",
            condition="full",
            state="failed" if is_failed else "degraded" if share > 0.8 else "ok",
            time_ns=time_ns,
            since_ns=since_ns,
            text=f"{share:.0%} of {self._max_bytes / 1e6:.0f} MB held ({state.held} records); "
            f"{state.shed} records were dropped for want of space since the outbox was made",
            values=values,
        )

    def tidy(self) -> int:
        """Give the disk back what a long silence had filled, once little is held; the bytes given back.

        Costs next to nothing when there is nothing to do; call now and then.
        """
        with self._lock, outbox_schema.as_store_errors(self._path):
            free_pages = self._db.execute("PRAGMA freelist_count").get
            page_bytes = self._db.execute("PRAGMA page_size").get
            held_bytes = self._db.execute("SELECT held_bytes FROM meta").get
            log = self._path.with_name(self._path.name + "-wal")
            log_bytes = log.stat().st_size if log.exists() else 0
            is_large = free_pages * page_bytes > _TIDY_FROM_BYTES or log_bytes > _TIDY_LOG_BYTES
            if not is_large or held_bytes > _TIDY_HELD_BYTES:
                return 0
            self._db.execute("VACUUM")
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return int(free_pages * page_bytes)

    def holds(self, boot_id: str, seq: int) -> bool:
        """Whether record `seq` of this outbox, under this name, still waits for its acknowledgement."""
        with self._lock, outbox_schema.as_store_errors(self._path):
            return boot_id == self._boot_id and self._any_between(seq, seq)

    def close(self) -> None:
        """Write everything into the main file and let go of it."""
        with self._lock:
            self._db.close()
            os.close(self._guard)

    def abandon(self) -> None:
        """Let go of the file as a process that dies does: nothing more is written."""
        with contextlib.suppress(apsw.Error):
            self._db.close(True)
        os.close(self._guard)

    def _insert(
        self,
        db: Any,
        topic_name: str,
        time_ns: int,
        body: bytes,
        mono_ns: int,
        quality: ClockQuality,
        worth: Worth | None = None,
    ) -> int:
        worth = worth or Worth(priority=topic_named(topic_name).priority)
        seq, size = self._next_seq, len(body) + ROW_OVERHEAD_BYTES
        self._chain = self._chain_after(self._chain, seq, topic_name, time_ns, body, mono_ns, quality)
        db.execute(
            "INSERT INTO records(seq, topic, priority, time_ns, size, body, mono_ns, clock, chain, rank_ms) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(seq, topic_name, worth.priority, time_ns, size, body, mono_ns, quality, self._chain),
                self._age_ms(mono_ns) + worth.rank_ms,
            ),
        )
        db.execute("UPDATE meta SET held = held + 1, held_bytes = held_bytes + ?", (size,))
        self._next_seq = seq + 1
        return seq

    def _age_ms(self, mono_ns: int) -> int:
        """When a record was made, on a clock that never runs back, also over restarts: what ranks it."""
        self._made_ms = max(self._made_ms, self._made_from_ms + mono_ns // 1_000_000)
        return self._made_ms

    def _chain_after(
        self,
        before: bytes,
        seq: int,
        topic: str,
        time_ns: int,
        body: bytes,
        mono_ns: int,
        quality: ClockQuality,
    ) -> bytes:
        record = Record(
            platform_id=self._platform_id,
            boot_id=self._boot_id,
            seq=seq,
            topic=topic,
            time_ns=time_ns,
            body=body,
            mono_ns=mono_ns,
            clock=quality,
        )
        return evidence.chain_next(before, evidence.leaf_of(record))

    def _write_head(self, db: Any) -> None:
        db.execute("UPDATE meta SET next_seq = ?, chain = ?", (self._next_seq, self._chain))

    def _in_order(self, skip: Collection[int], fresh_from: int | None) -> Iterator[tuple[Any, ...]]:
        """Rows without those of `skip` in the order of worth; what is fresh comes twice."""
        skipped = np.fromiter(skip, dtype=np.int64, count=len(skip)) if skip else np.zeros(1, dtype=np.int64)
        select = (
            "SELECT seq, size, topic, priority, time_ns, body, mono_ns, clock FROM records "
            "WHERE seq NOT IN (SELECT value FROM carray(?)) AND"
        )
        yield from self._db.execute(
            f"{select} priority = 0 ORDER BY rank_ms DESC, seq DESC", (apsw.carray(skipped),)
        )
        if fresh_from is not None:
            yield from self._db.execute(
                f"{select} seq >= ? AND priority BETWEEN 1 AND ? ORDER BY priority, seq DESC",
                (apsw.carray(skipped), fresh_from, _FRESH_PRIORITY),
            )
        yield from self._db.execute(
            f"{select} priority > 0 ORDER BY priority, rank_ms DESC, seq DESC", (apsw.carray(skipped),)
        )

    def _forget(self, db: Any, first: int, last: int) -> int:
        freed, freed_bytes = db.execute(
            "SELECT count(*), coalesce(sum(size), 0) FROM records WHERE seq BETWEEN ? AND ?", (first, last)
        ).get
        if freed:
            db.execute("DELETE FROM records WHERE seq BETWEEN ? AND ?", (first, last))
            db.execute(
                "UPDATE meta SET held = held - ?, held_bytes = held_bytes - ?, "
                "acknowledged = acknowledged + ?",
                (freed, freed_bytes, freed),
            )
        return int(freed)

    def _is_ours(self, ranges: list[tuple[int, int]], head: Head | None) -> bool:
        """Whether the ground speaks of the very chain that is in this file."""
        last = self._next_seq - 1
        if any(end > last for _, end in ranges):
            return False
        if head is None:
            return True
        if head.seq > last:
            return False
        own = self._chain_at(head.seq)
        return own is None or own == head.chain

    def _chain_at(self, seq: int) -> bytes | None:
        """Our chain after `seq`; `None` when that is long confirmed and forgotten."""
        if seq == self._next_seq - 1:
            return self._chain
        if seq <= self._confirmed_seq:
            return None
        found: bytes | None = self._db.execute(
            "SELECT chain FROM records WHERE seq = ?1 UNION ALL SELECT chain FROM shed_chain WHERE seq = ?1",
            (seq,),
        ).get
        return found

    def _renew(self, ranges: list[tuple[int, int]]) -> int:
        """Go on under a new name: what the ground has from before the copy is forgotten, the rest numbered
        anew from 1. The number of records forgotten."""
        old_boot_id, old_last = self._boot_id, self._next_seq - 1
        known_to = max((last for _, last in ranges), default=0)
        time_ns, mono_ns = self._clock.utc_ns(), self._clock.monotonic_ns()
        quality = self._clock_watch.judge(time_ns, mono_ns)
        with self._transaction() as db:
            shared_to = (self._opened_seq or 1) - 1
            count = sum(
                self._forget(db, first, min(last, shared_to)) for first, last in ranges if first <= shared_to
            )
            self._boot_id = self._entropy()
            self._chain = evidence.chain_start(self._platform_id, self._boot_id)
            self._next_seq, self._confirmed_seq, self._opened_seq = 1, 0, None
            outbox_schema.renumber(db, self._numbered_anew)
            health = Health(
                platform_id=self._platform_id,
                component="outbox",
                condition="rolled_back",
                state="degraded",
                time_ns=time_ns,
                since_ns=time_ns,
                text=f"the outbox file is a copy from the past: it ended at number {old_last}, the ground "
                f"has up to {known_to} or another chain of {old_boot_id}; goes on as {self._boot_id}",
                values={"last_seq": float(old_last), "ground_last_seq": float(known_to)},
            )
            self._insert(db, "health", time_ns, encode(health), mono_ns, quality)
            db.execute("UPDATE meta SET boot_id = ?, confirmed_seq = 0, opened_seq = NULL", (self._boot_id,))
            db.execute("DELETE FROM shed_chain")
            self._write_head(db)
        self.renewals += 1
        _log.error("outbox is a copy from the past, goes on under a new name", text=health.text)
        return count

    def _numbered_anew(
        self, topic: str, time_ns: int, body: bytes, mono_ns: int, quality: ClockQuality
    ) -> tuple[int, bytes]:
        seq = self._next_seq
        self._chain = self._chain_after(self._chain, seq, topic, time_ns, body, mono_ns, quality)
        self._next_seq = seq + 1
        return seq, self._chain

    def _shed_if_full(self, db: Any, time_ns: int, mono_ns: int, quality: ClockQuality) -> None:
        held_bytes = db.execute("SELECT held_bytes FROM meta").get
        if held_bytes <= self._max_bytes:
            return
        victims = self._victims(db, held_bytes - int(self._max_bytes * _SHED_TO))
        if self._shed_since_ns is None:
            self._shed_since_ns = time_ns
        if not victims:
            return
        freed = sum(size for _, _, size, _ in victims)
        seqs = [(seq,) for seq, _, _, _ in victims]
        db.executemany("DELETE FROM records WHERE seq = ?", seqs)
        db.executemany("INSERT INTO shed_chain VALUES (?, ?)", [(seq, chain) for seq, _, _, chain in victims])
        db.execute(
            "UPDATE meta SET held = held - ?, held_bytes = held_bytes - ?, shed = shed + ?, "
            "shed_bytes = shed_bytes + ?",
            (len(victims), freed, len(victims), freed),
        )
        for gap in self._gaps(victims, time_ns):
            self._insert(db, "gap", time_ns, encode(gap), mono_ns, quality)
        health = self._shed_notice(victims, freed, time_ns)
        _log.error("outbox full, records dropped", records=len(victims), freed_bytes=freed, text=health.text)
        self._insert(db, "health", time_ns, encode(health), mono_ns, quality)

    def _victims(self, db: Any, to_free: int) -> list[tuple[int, str, int, bytes]]:
        """(seq, topic, size, chain) of what goes, the least valuable and oldest first."""
        victims: list[tuple[int, str, int, bytes]] = []
        freed = 0
        rows = db.execute(
            "SELECT seq, topic, size, chain FROM records WHERE priority > ? AND topic NOT IN (?, ?, ?) "
            "ORDER BY priority DESC, rank_ms ASC, seq ASC",
            (_NEVER_SHED_PRIORITY, *_NEVER_SHED),
        )
        for row in rows:
            victims.append(row)
            freed += row[2]
            if freed >= to_free or len(victims) >= _MAX_VICTIMS:
                break
        return victims

    def _gaps(self, victims: list[tuple[int, str, int, bytes]], time_ns: int) -> list[Gap]:
        ranges: list[tuple[int, int, bytes]] = []
        counts: list[dict[str, int]] = []
        for seq, topic, _, chain in sorted(victims):
            if ranges and ranges[-1][1] == seq - 1:
                ranges[-1] = (ranges[-1][0], seq, chain)
            else:
                ranges.append((seq, seq, chain))
            if len(ranges) > len(counts) * _MAX_GAP_RANGES:
                counts.append({})
            counts[-1][topic] = counts[-1].get(topic, 0) + 1
        return [
            Gap(
                platform_id=self._platform_id,
                boot_id=self._boot_id,
                time_ns=time_ns,
                reason="outbox_full",
                counts=of_topics,
                ranges=tuple(ranges[place * _MAX_GAP_RANGES : (place + 1) * _MAX_GAP_RANGES]),
            )
            for place, of_topics in enumerate(counts)
        ]

    def _shed_notice(self, victims: list[tuple[int, str, int, bytes]], freed: int, time_ns: int) -> Health:
        counts: dict[str, int] = {}
        for _, topic, _, _ in victims:
            counts[topic] = counts.get(topic, 0) + 1
        what = ", ".join(f"{count} {topic}" for topic, count in sorted(counts.items()))
        first, last = min(seq for seq, *_ in victims), max(seq for seq, *_ in victims)
        return Health(
            platform_id=self._platform_id,
            component="outbox",
            condition="records_dropped",
            state="failed",
            time_ns=time_ns,
            since_ns=self._shed_since_ns if self._shed_since_ns is not None else time_ns,
            text=f"outbox full at {self._max_bytes / 1e6:.1f} MB: dropped {what} (numbers {first} to {last})",
            values={
                "dropped": float(len(victims)),
                "dropped_bytes": float(freed),
                "first_seq": float(first),
                "last_seq": float(last),
            },
        )

    def _any_between(self, first: int, last: int) -> bool:
        found = self._db.execute("SELECT 1 FROM records WHERE seq BETWEEN ? AND ? LIMIT 1", (first, last)).get
        return found is not None

    @contextlib.contextmanager
    def _transaction(self, *, is_promise: bool = True) -> Iterator[Any]:
        """Committed at the end; on disk by then unless it `is_promise` to nobody.

        What was forgotten on the ground's word may come back with a power cut: it is sent once more and is a
        duplicate there. The next promise brings it to the disk.
        """
        if is_promise:
            with self._plain_transaction() as db:
                yield db
            return
        self._db.execute("PRAGMA synchronous = NORMAL")
        try:
            with self._plain_transaction() as db:
                yield db
        finally:
            self._db.execute("PRAGMA synchronous = FULL")

    @contextlib.contextmanager
    def _plain_transaction(self) -> Iterator[Any]:
        before = (self._next_seq, self._chain, self._boot_id, self._confirmed_seq, self._opened_seq)
        try:
            with outbox_schema.as_store_errors(self._path):
                self._db.execute("BEGIN IMMEDIATE")
                try:
                    yield self._db
                    self._db.execute("COMMIT")
                except BaseException:
                    if self._db.in_transaction:
                        self._db.execute("ROLLBACK")
                    raise
        except BaseException:
            self._next_seq, self._chain, self._boot_id, self._confirmed_seq, self._opened_seq = before
            raise

    def _open(self) -> Any:
        with outbox_schema.as_store_errors(self._path):
            try:
                return self._connect()
            except (apsw.NotADBError, apsw.CorruptError) as error:
                self._set_aside(error)
            return self._connect()

    def _set_aside(self, error: apsw.Error) -> None:
        """Keep a damaged file under another name."""
        self.set_aside = self._path.with_name(f"{self._path.name}.damaged-{secrets.token_hex(4)}")
        _log.error("outbox damaged, set aside", kept_as=str(self.set_aside), reason=str(error))
        for suffix in ("", "-wal", "-shm"):
            part = self._path.with_name(self._path.name + suffix)
            if part.exists():
                part.rename(self.set_aside.with_name(self.set_aside.name + suffix))

    def _connect(self) -> Any:
        db = outbox_schema.connect(self._path, self._platform_id, vfs=self._vfs, entropy=self._entropy)
        self._path.chmod(0o600)
        return db

    def _load(self) -> None:
        row = self._db.execute(
            "SELECT platform_id, boot_id, next_seq, chain, confirmed_seq, opened_seq FROM meta"
        ).get
        platform_id, self._boot_id, self._next_seq, self._chain, self._confirmed_seq, self._opened_seq = row
        if platform_id != self._platform_id:
            raise StoreError(
                f"{self._path} is the outbox of {platform_id}, not of {self._platform_id}; "
                "give this platform its own state folder"
            )
        newest = self._db.execute("SELECT max(rank_ms) FROM records").get or 0
        self._made_from_ms = newest - self._clock.monotonic_ns() // 1_000_000
        self._made_ms = newest
        if self._opened_seq is None:
            self._opened_seq = self._next_seq
            self._db.execute("UPDATE meta SET opened_seq = ?", (self._opened_seq,))
