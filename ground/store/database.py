"""Opens a small SQLite file of the station: durable, nobody else's, brought up to date."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

import apsw

from ground.store.schema import as_store_errors
from skywarden.errors import StoreError

_LEVELS = {"NORMAL": 1, "FULL": 2}


def open_database(
    path: Path,
    application_id: int,
    migrations: Sequence[str],
    *,
    synchronous: Literal["FULL", "NORMAL"] = "FULL",
    with_foreign_keys: bool = False,
) -> apsw.Connection:
    """The database at `path`, made where there is none; script n of `migrations` brings version n to n + 1.

    Several processes may open it at once. With `synchronous` NORMAL a power cut may cost the last commits,
    never the file. Raises `StoreError` when it is another program's, newer, damaged, or its disk does not do
    durable writes.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with as_store_errors(path):
        path.touch(mode=0o600)
        db = apsw.Connection(str(path))
        try:
            path.chmod(0o600)
            db.set_busy_timeout(5_000)
            _check_ours(db, path, application_id, len(migrations))
            mode = db.pragma("journal_mode", "wal")
            db.pragma("synchronous", synchronous)
            db.pragma("foreign_keys", with_foreign_keys)
            db.pragma("journal_size_limit", 67_108_864)
            if mode != "wal" or db.pragma("synchronous") != _LEVELS[synchronous]:
                raise StoreError(f"{path}: this disk does not do durable writes (journal {mode})")
            _migrate(db, application_id, migrations)
        except BaseException:
            db.close(True)
            raise
    return db


@contextmanager
def transaction(db: Any) -> Iterator[Any]:
    """Everything of the block, or nothing; what it wrote is committed when it has ended without an error."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield db
        db.execute("COMMIT")
    except BaseException:
        with suppress(apsw.Error):
            db.execute("ROLLBACK")
        raise


def _check_ours(db: apsw.Connection, path: Path, application_id: int, newest: int) -> None:
    has_tables = db.execute("SELECT count(*) FROM sqlite_schema").get
    if has_tables and db.pragma("application_id") != application_id:
        raise StoreError(f"{path} is a database of another program; choose another state folder")
    version = db.pragma("user_version")
    if version > newest:
        raise StoreError(
            f"{path} has version {version}, this skywarden understands up to {newest}; it was "
            "written by a newer skywarden, use that one"
        )


def _migrate(db: apsw.Connection, application_id: int, migrations: Sequence[str]) -> None:
    """The version is read under the lock: another process may have brought it up to date meanwhile."""
    if db.pragma("user_version") == len(migrations):
        return
    with transaction(db):
        for number in range(int(db.pragma("user_version")), len(migrations)):
            db.execute(migrations[number])
            db.execute(f"PRAGMA application_id = {application_id}; PRAGMA user_version = {number + 1}")
