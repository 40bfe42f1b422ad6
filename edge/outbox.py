"""The edge's durable outbox: what was seen stays here until the ground has committed it and said so.

One SQLite file (through APSW), WAL with `synchronous=FULL`: a record that `append` has returned survives
`kill -9` and power loss. Any thread may call any method: one connection behind one lock, so the thread that
appends waits at most for one commit of the thread that reads and acknowledges, and both see one order. A
second process that opens the same outbox to write is refused.
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
import structlog

from skywarden import lockfile
from skywarden.errors import StoreError, WireError
from skywarden.link import acknowledged_ranges
from skywarden.messages import Ack, Health
from skywarden.topics import topic_named
from skywarden.wire import encode

_log = structlog.get_logger("edge.outbox")

SCHEMA_VERSION = 1
_ROW_OVERHEAD_BYTES = 64
_SHED_TO = 0.95
_MIN_BYTES = 131_072

_SCHEMA = """
CREATE TABLE meta(
    one INTEGER PRIMARY KEY CHECK (one = 1), platform_id TEXT NOT NULL, boot_id TEXT NOT NULL,
    next_seq INTEGER NOT NULL, held_bytes INTEGER NOT NULL, held INTEGER NOT NULL,
    shed INTEGER NOT NULL, shed_bytes INTEGER NOT NULL, acknowledged INTEGER NOT NULL);
CREATE TABLE records(
    seq INTEGER PRIMARY KEY, topic TEXT NOT NULL, priority INTEGER NOT NULL, time_ns INTEGER NOT NULL,
    size INTEGER NOT NULL, body BLOB NOT NULL);
CREATE INDEX records_by_worth ON records(priority, seq DESC, size);
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class PendingRecord:
    """One record that the ground has not acknowledged; `body` is an encoded message of `topic`."""

    seq: int
    topic: str
    priority: int
    time_ns: int
    body: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class OutboxState:
    """How full the outbox is and what became of its records since it was made."""

    held: int
    held_bytes: int
    last_seq: int
    acknowledged: int
    shed: int
    shed_bytes: int


class RecordSource(Protocol):
    """What the downlink needs of an outbox; `on_append` is called after each commit."""

    on_append: Callable[[], None] | None

    @property
    def platform_id(self) -> str:
        """Whose records these are."""
        ...

    @property
    def boot_id(self) -> str:
        """Random name of this outbox file."""
        ...

    def pending(
        self, limit_bytes: int, *, limit_records: int = ..., skip: Collection[int] = ...
    ) -> list[PendingRecord]:
        """Records to send next, best first."""
        ...

    def acknowledge(self, ack: Ack) -> int:
        """Forget what the ground has; the number of records forgotten."""
        ...

    def state(self) -> OutboxState:
        """How full it is."""
        ...


class Outbox:
    """Append here first, then send; see the module for durability and threads.

    When more than `max_bytes` are held, the least valuable go first (highest `Topic.priority` number, oldest
    first) until 95 % are held. What went is counted, logged as an error, kept as a condition for `health()`
    and told to the ground by a durable `health` record written in the same transaction.

    Raises `StoreError` when the file is in use by another process, from a newer version or belongs to another
    platform. A file that is damaged beyond opening is set aside under a new name (`set_aside`), and a fresh
    outbox with a new `boot_id` takes its place: the flight goes on.

    Attributes:
        set_aside: where a damaged file was kept, or `None`.
        on_append: called after each commit, in the appending thread; the downlink wakes by it.
    """

    def __init__(self, path: Path, platform_id: str, *, max_bytes: int = 1_000_000_000) -> None:
        self._path = path
        self._platform_id = platform_id
        self._max_bytes = max(max_bytes, _MIN_BYTES)
        self._lock = threading.RLock()
        self.set_aside: Path | None = None
        self.on_append: Callable[[], None] | None = None
        self._shed_since_ns: int | None = None
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        taken = f"{path}: another process uses this outbox"
        self._guard = lockfile.hold(path.with_name(path.name + ".lock"), taken)
        try:
            self._db = self._open()
            self._boot_id, self._next_seq = self._identity()
        except BaseException:
            os.close(self._guard)
            raise

    @property
    def platform_id(self) -> str:
        """Whose records these are."""
        return self._platform_id

    @property
    def boot_id(self) -> str:
        """128 random bits in hexadecimal, made with the file; (platform_id, boot_id, seq) names a record."""
        return self._boot_id

    def append(self, topic: str, time_ns: int, body: bytes) -> int:
        """Make one record durable and return its sequence number; see `append_many`."""
        return self.append_many([(topic, time_ns, body)])[0]

    def append_many(self, entries: Sequence[tuple[str, int, bytes]]) -> list[int]:
        """Make records (topic, UTC ns, encoded message) durable in one transaction; their sequence numbers.

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
        with self._lock, self._transaction() as db:
            seqs = [self._insert(db, *entry) for entry in entries]
            self._shed_if_full(db, max(time_ns for _, time_ns, _ in entries))
            db.execute("UPDATE meta SET next_seq = ?", (self._next_seq,))
        if self.on_append is not None:
            self.on_append()
        return seqs

    def pending(
        self, limit_bytes: int, *, limit_records: int = 200, skip: Collection[int] = ()
    ) -> list[PendingRecord]:
        """Unacknowledged records, priority first, then the freshest, without those in `skip`.

        At least one record is returned when there is any, even when it alone is over `limit_bytes`.
        """
        chosen: list[PendingRecord] = []
        total = 0
        with self._lock, _as_store_errors(self._path):
            keys = self._db.execute("SELECT seq, size FROM records ORDER BY priority, seq DESC")
            picked: list[int] = []
            for seq, size in keys:
                if seq in skip:
                    continue
                if picked and total + size > limit_bytes:
                    break
                picked.append(seq)
                total += size
                if total >= limit_bytes or len(picked) >= limit_records:
                    break
            for seq in picked:
                row = self._db.execute(
                    "SELECT topic, priority, time_ns, body FROM records WHERE seq = ?", (seq,)
                ).get
                topic, priority, time_ns, body = row
                chosen.append(
                    PendingRecord(seq=seq, topic=topic, priority=priority, time_ns=time_ns, body=body)
                )
        return chosen

    def acknowledge(self, ack: Ack) -> int:
        """Delete what the ground says it has committed; the number of records deleted.

        An acknowledgement of another outbox deletes nothing. Raises `WireError` on malformed ranges.
        """
        if ack.platform_id != self._platform_id or ack.boot_id != self._boot_id:
            return 0
        ranges = acknowledged_ranges(ack)
        with self._lock:
            ranges = [(first, min(last, self._next_seq - 1)) for first, last in ranges]
            if not any(self._any_between(first, last) for first, last in ranges):
                return 0
            with self._transaction() as db:
                count = 0
                for first, last in ranges:
                    freed, freed_bytes = db.execute(
                        "SELECT count(*), coalesce(sum(size), 0) FROM records WHERE seq BETWEEN ? AND ?",
                        (first, last),
                    ).get
                    db.execute("DELETE FROM records WHERE seq BETWEEN ? AND ?", (first, last))
                    db.execute(
                        "UPDATE meta SET held = held - ?, held_bytes = held_bytes - ?, "
                        "acknowledged = acknowledged + ?",
                        (freed, freed_bytes, freed),
                    )
                    count += freed
        return count

    def state(self) -> OutboxState:
        """How full the outbox is and what became of its records."""
        with self._lock, _as_store_errors(self._path):
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
            is_shedding = self._shed_since_ns is not None
        return Health(
            platform_id=self._platform_id,
            component="outbox",
            condition="full",
            state="failed" if is_shedding else "degraded" if share > 0.8 else "ok",
            time_ns=time_ns,
            since_ns=since_ns,
            text=f"{share:.0%} of {self._max_bytes / 1e6:.0f} MB held ({state.held} records); "
            f"{state.shed} records were dropped for want of space since the outbox was made",
            values=values,
        )

    def close(self) -> None:
        """Write everything into the main file and let go of it."""
        with self._lock:
            self._db.close()
            os.close(self._guard)

    def _insert(self, db: Any, topic_name: str, time_ns: int, body: bytes) -> int:
        seq, size = self._next_seq, len(body) + _ROW_OVERHEAD_BYTES
        db.execute(
            "INSERT INTO records VALUES (?, ?, ?, ?, ?, ?)",
            (seq, topic_name, topic_named(topic_name).priority, time_ns, size, body),
        )
        db.execute("UPDATE meta SET held = held + 1, held_bytes = held_bytes + ?", (size,))
        self._next_seq = seq + 1
        return seq

    def _shed_if_full(self, db: Any, time_ns: int) -> None:
        held_bytes = db.execute("SELECT held_bytes FROM meta").get
        if held_bytes <= self._max_bytes:
            return
        to_free = held_bytes - int(self._max_bytes * _SHED_TO)
        victims: list[tuple[int, str, int]] = []
        freed = 0
        for seq, topic, size in db.execute(
            "SELECT seq, topic, size FROM records ORDER BY priority DESC, seq ASC"
        ):
            victims.append((seq, topic, size))
            freed += size
            if freed >= to_free:
                break
        db.executemany("DELETE FROM records WHERE seq = ?", [(seq,) for seq, _, _ in victims])
        db.execute(
            "UPDATE meta SET held = held - ?, held_bytes = held_bytes - ?, shed = shed + ?, "
            "shed_bytes = shed_bytes + ?",
            (len(victims), freed, len(victims), freed),
        )
        if self._shed_since_ns is None:
            self._shed_since_ns = time_ns
        health = self._shed_notice(victims, freed, time_ns)
        _log.error("outbox full, records dropped", records=len(victims), freed_bytes=freed, text=health.text)
        self._insert(db, "health", time_ns, encode(health))

    def _shed_notice(self, victims: list[tuple[int, str, int]], freed: int, time_ns: int) -> Health:
        counts: dict[str, int] = {}
        for _, topic, _ in victims:
            counts[topic] = counts.get(topic, 0) + 1
        what = ", ".join(f"{count} {topic}" for topic, count in sorted(counts.items()))
        first, last = min(seq for seq, _, _ in victims), max(seq for seq, _, _ in victims)
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
        with _as_store_errors(self._path):
            return (
                self._db.execute("SELECT 1 FROM records WHERE seq BETWEEN ? AND ? LIMIT 1", (first, last)).get
                is not None
            )

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[Any]:
        before = self._next_seq
        try:
            with _as_store_errors(self._path):
                self._db.execute("BEGIN IMMEDIATE")
                try:
                    yield self._db
                    self._db.execute("COMMIT")
                except BaseException:
                    if self._db.in_transaction:
                        self._db.execute("ROLLBACK")
                    raise
        except BaseException:
            self._next_seq = before
            raise

    def _open(self) -> Any:
        try:
            return self._connect()
        except (apsw.NotADBError, apsw.CorruptError) as error:
            self.set_aside = self._path.with_name(f"{self._path.name}.damaged-{secrets.token_hex(4)}")
            _log.error("outbox damaged, set aside", kept_as=str(self.set_aside), reason=str(error))
            for suffix in ("", "-wal", "-shm"):
                part = self._path.with_name(self._path.name + suffix)
                if part.exists():
                    part.rename(self.set_aside.with_name(self.set_aside.name + suffix))
            with _as_store_errors(self._path):
                return self._connect()

    def _connect(self) -> Any:
        try:
            db = apsw.Connection(str(self._path))
        except apsw.CantOpenError as error:
            raise StoreError(f"{self._path}: the outbox cannot be opened ({error})") from error
        try:
            self._prepare(db)
        except BaseException:
            db.close()
            raise
        self._path.chmod(0o600)
        return db

    def _prepare(self, db: Any) -> None:
        db.set_busy_timeout(5_000)
        mode = db.execute("PRAGMA journal_mode = WAL").get
        db.execute("PRAGMA synchronous = FULL")
        if mode != "wal" or db.execute("PRAGMA synchronous").get != 2:
            raise StoreError(f"{self._path}: this disk does not do durable writes (journal {mode})")
        db.execute("PRAGMA journal_size_limit = 16777216")
        version = db.execute("PRAGMA user_version").get
        if version > SCHEMA_VERSION:
            raise StoreError(
                f"{self._path}: outbox version {version} is newer than the {SCHEMA_VERSION} understood here"
            )
        if version == 0:
            db.execute("BEGIN IMMEDIATE")
            db.execute(_SCHEMA)
            db.execute(
                "INSERT INTO meta VALUES (1, ?, ?, 1, 0, 0, 0, 0, 0)",
                (self._platform_id, secrets.token_hex(16)),
            )
            db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            db.execute("COMMIT")

    def _identity(self) -> tuple[str, int]:
        platform_id, boot_id, next_seq = self._db.execute(
            "SELECT platform_id, boot_id, next_seq FROM meta"
        ).get
        if platform_id != self._platform_id:
            self._db.close()
            raise StoreError(
                f"{self._path} is the outbox of {platform_id}, not of {self._platform_id}; "
                "give this platform its own state folder"
            )
        return boot_id, next_seq


@contextlib.contextmanager
def _as_store_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except apsw.Error as error:
        raise StoreError(f"{path}: the outbox refused ({type(error).__name__}: {error})") from error
