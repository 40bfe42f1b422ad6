"""Things that are held: written from beside a station that runs, or without one."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw

from ground.store import retention
from ground.store.database import transaction
from ground.store.retention import Hold, HoldKind
from ground.store.schema import as_store_errors, open_beside, open_for_reading

MAX_NAME = 128


def hold(store: Path, kind: HoldKind, name: str, reason: str, now_ns: int) -> int:
    """Keep the records of one thing however old they become; how many things are held now.

    A step of erasing that has begun ends first; from then on the thing stays. Raises `StoreError`.
    """
    with _writing(store) as db:
        retention.hold(db, kind, name, reason, now_ns)
        return len(retention.holds(db))


def release(store: Path, kind: HoldKind, name: str) -> bool:
    """Hold it no longer; False when it was not held. Raises `StoreError`."""
    with _writing(store) as db:
        return retention.release(db, kind, name)


def holds(store: Path) -> list[Hold]:
    """Everything that is held, by kind and name. Raises `StoreError`."""
    db = open_for_reading(store)
    try:
        with as_store_errors(store):
            return retention.holds(db)
    finally:
        db.close()


@contextmanager
def _writing(store: Path) -> Iterator[Any]:
    db: apsw.Connection = open_beside(store)
    try:
        with as_store_errors(store), transaction(db):
            yield db
    finally:
        db.close()
