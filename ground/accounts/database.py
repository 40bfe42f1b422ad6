"""The file of accounts: its tables and versions, one connection to write and one to read."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import apsw

from ground.store.schema import as_store_errors
from skywarden.errors import StoreError

APPLICATION_ID = 0x53_4B_59_41  # "SKYA"

_VERSION_1 = """
CREATE TABLE accounts(
    account_key INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, role TEXT NOT NULL, password TEXT,
    is_disabled INTEGER NOT NULL DEFAULT 0, made_ns INTEGER NOT NULL);
CREATE TABLE sessions(
    session_id TEXT PRIMARY KEY, token_hash BLOB NOT NULL UNIQUE,
    account_key INTEGER NOT NULL REFERENCES accounts, address TEXT NOT NULL,
    made_ns INTEGER NOT NULL, expires_ns INTEGER NOT NULL, seen_ns INTEGER NOT NULL,
    boot TEXT NOT NULL, made_mono_ns INTEGER NOT NULL, seen_mono_ns INTEGER NOT NULL,
    ended_ns INTEGER, ended_why TEXT);
CREATE INDEX sessions_by_account ON sessions(account_key, made_ns);
CREATE TABLE codes(
    code_hash BLOB PRIMARY KEY, account_key INTEGER NOT NULL REFERENCES accounts, purpose TEXT NOT NULL,
    made_ns INTEGER NOT NULL, expires_ns INTEGER NOT NULL,
    boot TEXT NOT NULL, expires_mono_ns INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE api_keys(
    key_id TEXT PRIMARY KEY, secret_hash BLOB NOT NULL,
    account_key INTEGER NOT NULL REFERENCES accounts, title TEXT NOT NULL, scopes TEXT NOT NULL,
    made_ns INTEGER NOT NULL, expires_ns INTEGER NOT NULL, revoked_ns INTEGER) WITHOUT ROWID;
CREATE TABLE access_log(
    number INTEGER PRIMARY KEY, time_ns INTEGER NOT NULL, event TEXT NOT NULL, chain BLOB NOT NULL);
CREATE TRIGGER access_log_is_kept BEFORE DELETE ON access_log
    BEGIN SELECT RAISE(ABORT, 'the access log is append-only'); END;
CREATE TRIGGER access_log_is_final BEFORE UPDATE ON access_log
    BEGIN SELECT RAISE(ABORT, 'the access log is append-only'); END;
CREATE TABLE marks(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
"""

MIGRATIONS: tuple[str, ...] = (_VERSION_1,)
"""Script n brings version n to n + 1; a script that was released never changes."""


def accounts_path(state_dir: Path) -> Path:
    """Where the accounts lie."""
    return state_dir / "accounts.sqlite"


class AccountsDatabase:
    """The open file; safe from any thread, and beside other processes that have it open.

    Raises `StoreError` when the file is damaged, newer, another program's, or cannot be written durably.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._write_lock = threading.Lock()
        self._read_lock = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with as_store_errors(path):
            path.touch(mode=0o600)
            path.chmod(0o600)
            self._writer = apsw.Connection(str(path))
            try:
                self._prepare()
                self._reader = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
            except BaseException:
                self._writer.close(True)
                raise
            self._reader.set_busy_timeout(5_000)
            self._reader.execute("PRAGMA query_only = 1")

    @contextmanager
    def reading(self) -> Iterator[Any]:
        """The connection for questions; a writer elsewhere is not waited for."""
        with self._read_lock, as_store_errors(self.path):
            yield self._reader

    @contextmanager
    def writing(self) -> Iterator[Any]:
        """One transaction, durable when the block has ended without an error."""
        with self._write_lock, as_store_errors(self.path):
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            except BaseException:
                with suppress(apsw.Error):
                    self._writer.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Let go of the file; may be called twice."""
        with self._read_lock:
            self._reader.close(True)
        with self._write_lock:
            self._writer.close(True)

    def _prepare(self) -> None:
        db, path = self._writer, self.path
        db.set_busy_timeout(5_000)
        version = db.execute("PRAGMA user_version").get
        has_tables = db.execute("SELECT count(*) FROM sqlite_schema").get
        if has_tables and db.execute("PRAGMA application_id").get != APPLICATION_ID:
            raise StoreError(f"{path} is a database of another program; choose another state folder")
        if version > len(MIGRATIONS):
            raise StoreError(
                f"{path} has version {version}, this skywarden understands up to {len(MIGRATIONS)}; it was "
                "written by a newer skywarden, use that one"
            )
        mode = db.execute("PRAGMA journal_mode = WAL").get
        db.execute("PRAGMA synchronous = FULL; PRAGMA foreign_keys = 1")
        if mode != "wal" or db.execute("PRAGMA synchronous").get != 2:
            raise StoreError(f"{path}: this disk does not do durable writes (journal {mode})")
        self._migrate()

    def _migrate(self) -> None:
        db = self._writer
        if db.execute("PRAGMA user_version").get == len(MIGRATIONS):
            return
        db.execute("BEGIN IMMEDIATE")
        try:
            for version in range(db.execute("PRAGMA user_version").get, len(MIGRATIONS)):
                db.execute(MIGRATIONS[version])
                db.execute(f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {version + 1}")
            db.execute("COMMIT")
        except BaseException:
            db.execute("ROLLBACK")
            raise
