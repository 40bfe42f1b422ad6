"""The mark beside a store: which record is its newest, so that an older copy in its place is seen."""

import contextlib
from pathlib import Path
from typing import Any


def mark_path(store: Path) -> Path:
    """Where the mark of a store lies."""
    return store.with_name(store.name + ".mark")


def write_mark(db: Any, store: Path) -> None:
    """Note beside the store what its newest record is; an older copy does not have that record."""
    row = db.execute("SELECT record_key, leaf FROM records ORDER BY record_key DESC LIMIT 1").get
    if row is None or row[1] is None:
        return
    part = mark_path(store).with_name(mark_path(store).name + ".part")
    with contextlib.suppress(OSError):  # a mark that is older than the store is still true
        part.write_text(f"{row[0]} {row[1].hex()}\n", encoding="ascii")
        part.replace(mark_path(store))


def compare_mark(db: Any, store: Path) -> str | None:
    """What is wrong when the store lacks the record that its mark names; `None` when all is well."""
    try:
        words = mark_path(store).read_bytes()[:200].decode("ascii", "replace").split()
    except OSError:
        return None
    if len(words) != 2 or not words[0].isdecimal() or len(words[0]) > 18:
        return f"{mark_path(store)} is damaged; whether the store is the newest copy cannot be said"
    leaf = db.execute("SELECT hex(leaf) FROM records WHERE record_key = ?", (int(words[0]),)).get
    if leaf is not None and leaf.lower() == words[1]:
        return None
    return (
        f"{store} is not the store that was here last: its record {words[0]} is missing or another one. An "
        "older copy lies in its place; what platforms deleted since then is only in the newer one"
    )
