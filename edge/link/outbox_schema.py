"""The outbox's file: its tables, their versions, and how it is opened safely."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw

from skywarden import evidence
from skywarden.errors import StoreError
from skywarden.wire import ClockQuality, Record

SCHEMA_VERSION = 3

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

_CHAINED = """
ALTER TABLE meta ADD COLUMN chain BLOB NOT NULL DEFAULT x'';
ALTER TABLE meta ADD COLUMN confirmed_seq INTEGER NOT NULL DEFAULT 0;
ALTER TABLE meta ADD COLUMN opened_seq INTEGER;
ALTER TABLE records ADD COLUMN mono_ns INTEGER NOT NULL DEFAULT 0;
ALTER TABLE records ADD COLUMN clock INTEGER NOT NULL DEFAULT 0;
ALTER TABLE records ADD COLUMN chain BLOB NOT NULL DEFAULT x'';
CREATE TABLE shed_chain(seq INTEGER PRIMARY KEY, chain BLOB NOT NULL);
"""

_RANKED = """
ALTER TABLE records ADD COLUMN rank_ms INTEGER NOT NULL DEFAULT 0;
DROP INDEX records_by_worth;
CREATE INDEX records_by_rank ON records(priority, rank_ms DESC, seq DESC, size);
"""

NumberedAnew = Callable[[str, int, bytes, int, ClockQuality], tuple[int, bytes]]
"""Topic, UTC ns, body, monotonic ns and clock quality of a record to its new number and chain."""


@contextlib.contextmanager
def as_store_errors(path: Path) -> Iterator[None]:
    """SQLite's errors as one sentence each."""
    try:
        yield
    except apsw.Error as error:
        raise StoreError(f"{path}: the outbox refused ({type(error).__name__}: {error})") from error


def connect(path: Path, platform_id: str, *, vfs: str | None, entropy: Callable[[], str]) -> Any:
    """The one writing connection, tables brought to this version.

    Raises `apsw.NotADBError` and `apsw.CorruptError` for a damaged file, `StoreError` for one that cannot be
    opened, is newer, or does not write durably.
    """
    try:
        db = apsw.Connection(str(path), vfs=vfs)
    except apsw.CantOpenError as error:
        raise StoreError(f"{path}: the outbox cannot be opened ({error})") from error
    try:
        _prepare(db, path)
        _bring_up_to_date(db, path, platform_id, entropy)
    except BaseException:
        with contextlib.suppress(apsw.Error):
            db.close(True)
        raise
    return db


def renumber(db: Any, numbered: NumberedAnew) -> None:
    """Give every held record, in the order of numbers, the number and chain that `numbered` says.

    The k-th number is at least k, so a new number is never taken by a record that is still to come.
    """
    seqs = db.execute("SELECT seq FROM records ORDER BY seq").fetchall()
    for (seq,) in seqs:
        row = db.execute("SELECT topic, time_ns, body, mono_ns, clock FROM records WHERE seq = ?", (seq,)).get
        new_seq, chain = numbered(*row)
        db.execute("UPDATE records SET seq = ?, chain = ? WHERE seq = ?", (new_seq, chain, seq))


def _prepare(db: Any, path: Path) -> None:
    db.set_busy_timeout(5_000)
    mode = db.execute("PRAGMA journal_mode = WAL").get
    db.execute("PRAGMA synchronous = FULL")
    if mode != "wal" or db.execute("PRAGMA synchronous").get != 2:
        raise StoreError(f"{path}: this disk does not do durable writes (journal {mode})")
    db.execute("PRAGMA journal_size_limit = 16777216")
    version = db.execute("PRAGMA user_version").get
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"{path}: outbox version {version} is newer than the {SCHEMA_VERSION} understood here"
        )


def _bring_up_to_date(db: Any, path: Path, platform_id: str, entropy: Callable[[], str]) -> None:
    version = db.execute("PRAGMA user_version").get
    if version == SCHEMA_VERSION:
        return
    db.execute("BEGIN IMMEDIATE")
    try:
        if version == 0:
            db.execute(_SCHEMA)
            db.execute("INSERT INTO meta VALUES (1, ?, ?, 1, 0, 0, 0, 0, 0)", (platform_id, entropy()))
        if version <= 1:
            db.execute(_CHAINED)
            _begin_chain(db, entropy, is_new=version == 0)
        db.execute(_RANKED)
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _begin_chain(db: Any, entropy: Callable[[], str], *, is_new: bool) -> None:
    """Records of version 1 had no chain: they are numbered anew, under a new name, and chained."""
    platform_id, boot_id = db.execute("SELECT platform_id, boot_id FROM meta").get
    if not is_new:
        boot_id = entropy()
    chain, next_seq = evidence.chain_start(platform_id, boot_id), 1

    def numbered(
        topic: str, time_ns: int, body: bytes, mono_ns: int, clock: ClockQuality
    ) -> tuple[int, bytes]:
        nonlocal chain, next_seq
        record = Record(
            platform_id=platform_id,
            boot_id=boot_id,
            seq=next_seq,
            topic=topic,
            time_ns=time_ns,
            body=body,
            mono_ns=mono_ns,
            clock=clock,
        )
        chain = evidence.chain_next(chain, evidence.leaf_of(record))
        next_seq += 1
        return next_seq - 1, chain

    renumber(db, numbered)
    if is_new:
        db.execute("UPDATE meta SET chain = ?", (chain,))
    else:
        db.execute("UPDATE meta SET boot_id = ?, next_seq = ?, chain = ?", (boot_id, next_seq, chain))
