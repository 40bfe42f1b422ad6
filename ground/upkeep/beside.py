"""The databases beside the store: decisions of people, requests, names of contacts, alerts, AIS.

Each is backed up at an instant of its own, after the store: what it says of a record that came later is kept
and simply finds nothing yet.
"""

from contextlib import closing
from pathlib import Path
from typing import Any

import apsw

from ground.store.schema import as_store_errors
from skywarden.errors import StoreError, VerificationError

NAMES = ("review", "taskings", "contacts", "alerts", "ais")
"""`NAME.sqlite` in the state folder; accounts and keys stay out of every backup."""


def files_of(state_dir: Path) -> dict[str, Path]:
    """The databases that lie beside a store, by name."""
    found = {name: state_dir / f"{name}.sqlite" for name in NAMES}
    return {name: path for name, path in found.items() if path.is_file()}


def copies_of(backup: Path) -> dict[str, Path]:
    """The copies that lie beside a backup, by name: `BACKUP.NAME`."""
    found = {name: place_of(backup, name) for name in NAMES}
    return {name: path for name, path in found.items() if path.is_file()}


def place_of(backup: Path, name: str) -> Path:
    """Where the copy of the database `name` lies."""
    return backup.with_name(f"{backup.name}.{name}")


def open_beside(path: Path) -> Any:
    """A connection that cannot write; raises `StoreError` when the file cannot be read."""
    with as_store_errors(path):
        db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        db.set_busy_timeout(5_000)
    return db


def check(path: Path) -> None:
    """Raises `VerificationError` when SQLite finds the file damaged, `StoreError` when it is no database."""
    with closing(open_beside(path)) as db:
        try:
            answer = db.execute("PRAGMA quick_check(1)").get
        except apsw.CorruptError as error:
            raise VerificationError(f"{path}: the copy is damaged ({error})") from error
        except apsw.Error as error:
            raise StoreError(f"{path} is no database that can be read ({error})") from error
    if answer != "ok":
        raise VerificationError(f"{path}: the copy is damaged ({answer})")
