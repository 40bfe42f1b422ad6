"""The file of accounts: its tables and versions, one connection to write and one to read."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw

from ground.store.database import open_database, transaction
from ground.store.schema import as_store_errors

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
        self._writer = open_database(path, APPLICATION_ID, MIGRATIONS, with_foreign_keys=True)
        with as_store_errors(path):
            try:
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
        with self._write_lock, as_store_errors(self.path), transaction(self._writer) as db:
            yield db

    def close(self) -> None:
        """Let go of the file; may be called twice."""
        with self._read_lock:
            self._reader.close(True)
        with self._write_lock:
            self._writer.close(True)
