"""The file of the review: entries that are only ever added, each chained to the one before.

`chain(n) = SHA-256(tag, chain(n - 1), SHA-256(number, entry))`: a changed, removed or inserted entry is
found on read. One station writes; commands read beside it.
"""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import apsw
import msgspec

from ground.review.entries import Entry
from ground.store.database import open_database
from ground.store.schema import as_store_errors
from skywarden.errors import StoreError

APPLICATION_ID = 0x53_4B_59_52  # "SKYR"
_TAG = b"skywarden review 1\0"
START = hashlib.sha256(_TAG).digest()

_VERSION_1 = """
CREATE TABLE entries(number INTEGER PRIMARY KEY, entry TEXT NOT NULL, chain BLOB NOT NULL);
CREATE TRIGGER entries_are_kept BEFORE DELETE ON entries
    BEGIN SELECT RAISE(ABORT, 'the review log is append-only'); END;
CREATE TRIGGER entries_are_final BEFORE UPDATE ON entries
    BEGIN SELECT RAISE(ABORT, 'the review log is append-only'); END;
"""
MIGRATIONS: tuple[str, ...] = (_VERSION_1,)
"""Script n brings version n to n + 1; a script that was released never changes."""

_decoder = msgspec.json.Decoder(Entry)


def review_path(state_dir: Path) -> Path:
    """Where the decisions lie."""
    return state_dir / "review.sqlite"


class ReviewLog:
    """The open file, to be written; safe from any thread.

    Raises `StoreError` when the file is damaged, newer, another program's, or cannot be written durably.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._db = open_database(path, APPLICATION_ID, MIGRATIONS)

    def entries(self) -> list[Entry]:
        """All of them, oldest first; raises `StoreError` when the chain does not hold."""
        with self._lock, as_store_errors(self._path):
            return _sound(self._path, self._db)

    def append(self, entry: Entry) -> None:
        """Make one entry durable; its number must be the next one."""
        text = msgspec.json.encode(entry).decode()
        with self._lock, as_store_errors(self._path):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                row = self._db.execute(
                    "SELECT number, chain FROM entries ORDER BY number DESC LIMIT 1"
                ).fetchone()
                number, chain = row if row is not None else (0, START)
                if entry.number != number + 1:
                    raise StoreError(
                        f"{self._path}: entry {entry.number} does not follow {number}; is another station "
                        "writing here?"
                    )
                self._db.execute(
                    "INSERT INTO entries VALUES (?, ?, ?)",
                    (entry.number, text, _next(chain, entry.number, text)),
                )
                self._db.execute("COMMIT")
            except BaseException:
                with suppress(apsw.Error):
                    self._db.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Let go of the file; may be called twice."""
        with self._lock:
            self._db.close(True)


def read_entries(path: Path) -> list[Entry]:
    """All entries of a file that another process may be writing; none when there is no file.

    Raises `StoreError` when the chain does not hold: decisions that cannot be believed release nothing.
    """
    if not path.exists():
        return []
    with as_store_errors(path):
        db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            db.set_busy_timeout(5_000)
            return _sound(path, db)
        finally:
            db.close()


def verify_entries(path: Path) -> tuple[int, str, list[str]]:
    """How many entries there are, the chain's head in hex, and what is wrong with them."""
    with as_store_errors(path):
        db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            db.set_busy_timeout(5_000)
            problems: list[str] = []
            count, head = 0, START
            for _, problem, chain in _walk(db):
                count, head = count + 1, chain
                if problem is not None and len(problems) < 20:
                    problems.append(problem)
            return count, head.hex(), problems
        finally:
            db.close()


def _sound(path: Path, db: Any) -> list[Entry]:
    found = []
    for entry, problem, _ in _walk(db):
        if problem is not None or entry is None:
            raise StoreError(
                f"{path}: the review log was changed or is damaged ({problem}); restore a backup"
            )
        found.append(entry)
    return found


def _walk(db: Any) -> Iterator[tuple[Entry | None, str | None, bytes]]:
    """Every row as an entry, with what is wrong with it and the chain up to it as it stands in the file."""
    chain, expected = START, 1
    for number, text, stored in db.execute("SELECT number, entry, chain FROM entries ORDER BY number"):
        problem = None if number == expected else f"entries {expected} to {number - 1} are missing"
        if problem is None and _next(chain, number, text) != stored:
            problem = f"entry {number} is not what was written"
        try:
            entry = _decoder.decode(text)
        except (msgspec.DecodeError, ValueError) as error:
            entry, problem = None, f"entry {number} does not decode ({error})"
        if entry is not None and entry.number != number:
            problem = f"entry {number} calls itself {entry.number}"
        chain, expected = stored, number + 1
        yield entry, problem, stored


def _next(chain: bytes, number: int, text: str) -> bytes:
    inner = hashlib.sha256(number.to_bytes(8, "little") + text.encode()).digest()
    return hashlib.sha256(_TAG + chain + inner).digest()
