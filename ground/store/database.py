"""Opens a small SQLite file of the station: durable, nobody else's, brought up to date."""

from collections.abc import Sequence
from pathlib import Path

import apsw

from ground.store.schema import as_store_errors
from skywarden.errors import StoreError


def open_database(path: Path, application_id: int, migrations: Sequence[str]) -> apsw.Connection:
    """The database at `path`, made where there is none; script n of `migrations` brings version n to n + 1.

    Raises `StoreError` when it is another program's, newer, damaged, or its disk does not do durable writes.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with as_store_errors(path):
        path.touch(mode=0o600)
        db = apsw.Connection(str(path))
        try:
            _prepare(db, path, application_id, migrations)
        except BaseException:
            db.close(True)
            raise
    return db


def _prepare(db: apsw.Connection, path: Path, application_id: int, migrations: Sequence[str]) -> None:
    path.chmod(0o600)
    db.set_busy_timeout(5_000)
    version = int(db.pragma("user_version"))
    has_tables = db.execute("SELECT count(*) FROM sqlite_schema").get
    if has_tables and db.pragma("application_id") != application_id:
        raise StoreError(f"{path} is a database of another program; choose another state folder")
    if version > len(migrations):
        raise StoreError(
            f"{path} has version {version}, this skywarden understands up to {len(migrations)}; it was "
            "written by a newer skywarden, use that one"
        )
    mode = db.pragma("journal_mode", "wal")
    db.pragma("synchronous", "FULL")
    if mode != "wal" or db.pragma("synchronous") != 2:
        raise StoreError(f"{path}: this disk does not do durable writes (journal {mode})")
    for number in range(version, len(migrations)):
        with db:
            db.execute(migrations[number])
            db.execute(f"PRAGMA application_id = {application_id}")
            db.execute(f"PRAGMA user_version = {number + 1}")
