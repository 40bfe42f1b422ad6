"""The ground's memory in one SQLite file: `SqliteStore` is the `Store` of `ground.store.seam`.

Raw records are kept as they came, once; sightings, chips and health are indexes on them, so a body is decoded
when it is read. One connection writes, under one lock (the receiver's thread, and for a moment whoever writes
contacts); readers have connections of their own. Contacts are worked out under a lock of their own, so that
records never wait for them.
"""

import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import apsw

from ground.fusion.contact import ContactNode
from ground.store import retention
from ground.store.arrivals import Arrival, ArrivedFragment, Ingested, Outcome
from ground.store.commits import RecordWriter, is_quarantined, put_in_quarantine
from ground.store.mark import compare_mark, write_mark
from ground.store.reading import LEAF_COLUMNS, SqliteReader, is_leaf_true
from ground.store.retention import Erased, Expired, Hold, HoldKind
from ground.store.schema import as_store_errors, open_for_writing
from ground.store.seam import Settled, Standing, Store
from ground.store.settling import ContactSettler
from skywarden import lockfile

__all__ = ["Arrival", "ArrivedFragment", "Ingested", "Outcome", "Settled", "SqliteStore", "Standing", "Store"]

_MAX_UNTRUSTED = 10_000
_MAX_CHECKED_BYTES = 256_000_000
_MAX_EXAMINED = 2_000


class SqliteStore(SqliteReader):
    """`Store` in one SQLite file, through APSW: WAL, `synchronous=FULL`, one writer.

    `warnings` say in words what was found damaged on opening.
    `contacts` is fed every sighting at the next `settle` (beyond `max_unfed` they are read back for it) and,
    on opening, those of the last `horizon_s`. `vfs` names another SQLite VFS (for tests of power loss).
    `give_way` is called between two steps of settling, which leaves the disk to others then.
    A store that is made is an exercise's or not for ever (`is_exercise`); the other kind is refused.
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
        max_unfed: int = 100_000,
        is_exercise: bool = False,
        give_way: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(path, vfs=vfs)
        self._lock = threading.RLock()
        self._has_mark = vfs is None
        self.warnings: list[str] = []
        self._settler = ContactSettler(
            contacts,
            horizon_s=horizon_s,
            max_unfed=max_unfed,
            reading=self._reader,
            writing=self._writing,
            end_key=lambda: self._records.end_key,
            give_way=give_way,
        )
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        taken = f"{path}: another ground station uses this store"
        self._guard = lockfile.hold(path.with_name(path.name + ".lock"), taken)
        try:
            self._db = open_for_writing(path, vfs, is_exercise=is_exercise)
            try:
                with as_store_errors(path):
                    self._examine()
                    self._settler.load(self._db)
                    self._records = RecordWriter(self._db)
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
            mark = self._records.mark()
            try:
                with self._transaction():
                    written = self._records.write(arrivals, fragments)
            except BaseException:
                self._records.undo(mark)
                raise
            self._settler.owe(written.sightings, written.first_key)
        return written.ingested

    def quarantine(self, arrivals: Sequence[Arrival], reason: str) -> None:
        """See `Store`; at most 10,000 a platform are kept, each once."""
        with self._writing() as db:
            for arrival in arrivals:
                held = db.execute(
                    "SELECT count(*) FROM quarantine WHERE platform_id = ?", (arrival.record.platform_id,)
                ).get
                if held < _MAX_UNTRUSTED and not is_quarantined(db, arrival):
                    put_in_quarantine(db, arrival, reason)

    def settle(self, revision: int) -> Settled:
        """See `Store`; records are taken in meanwhile, whatever it takes."""
        return self._settler.settle(revision)

    def standing(self, platform_id: str, boot_id: str, about: Sequence[int]) -> Standing:
        """See `Store`."""
        with self._lock, as_store_errors(self._path):
            stream = self._records.known_stream(platform_id, boot_id)
            ack = stream.numbers.acknowledgement(platform_id, boot_id, about)
            return Standing(ack=ack, head=stream.head, partial=stream.shown_partial())

    def sequence_state(self, platform_id: str) -> tuple[int, int, int]:
        """See `Store`."""
        with self._lock, as_store_errors(self._path):
            stream = self._records.newest_stream(platform_id)
            if stream is None:
                return 0, 0, 0
            numbers = stream.numbers
            return len(numbers) - stream.shed, numbers.missing_count, numbers.last

    def expire(self, before_ns: Mapping[str, int], now_ns: int, default_ns: int = 0) -> Expired:
        """See `Store`."""
        with self._lock:
            try:
                found = retention.expire(self._transaction, before_ns, now_ns, default_ns)
            finally:
                with as_store_errors(self._path):
                    self._records.reload_places()
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
                    self._records.reload_places()

    def erase_quarantine(self, before_ns: int) -> int:
        """Take some of what came before `before_ns` out of quarantine; how many, 0 when none is left."""
        with self._writing() as db:
            return retention.clear_quarantine(db, before_ns)

    def hold(self, kind: HoldKind, name: str, reason: str, now_ns: int) -> None:
        """See `Store`."""
        with self._writing() as db:
            retention.hold(db, kind, name, reason, now_ns)

    def release(self, kind: HoldKind, name: str) -> bool:
        """See `Store`."""
        with self._writing() as db:
            return retention.release(db, kind, name)

    def holds(self) -> list[Hold]:
        """See `Store`."""
        with self._lock, as_store_errors(self._path):
            return retention.holds(self._db)

    def note_heard(self, heard: dict[str, tuple[int, str | None]]) -> None:
        """See `Store`."""
        if not heard:
            return
        with self._writing() as db:
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

    @contextlib.contextmanager
    def _writing(self) -> Iterator[Any]:
        with self._lock, self._transaction() as db:
            yield db

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
