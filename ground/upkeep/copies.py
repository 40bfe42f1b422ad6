"""Care of the store's file and of the databases beside it: online backup and restore.

A backup is a store like any other: it can be verified, restored, or read with `--state`. What people decided
lies beside it as `BACKUP.review` and so on (`ground.upkeep.beside`). It holds no keys and no accounts.
"""

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import apsw
import msgspec

from ground.store.mark import mark_path
from ground.store.schema import as_store_errors, open_for_reading
from ground.upkeep import beside
from ground.upkeep.verify import Verification, verify_store
from skywarden import lockfile
from skywarden.durable import sync
from skywarden.errors import StoreError, VerificationError

Keys = Mapping[str, Sequence[bytes]]

_STEP_PAGES = 512
_SIDE_FILES = ("-wal", "-shm")


class Copied(msgspec.Struct, frozen=True, kw_only=True):
    """A backup or a restored store: its file, size, records, and where a store that lay there is now.

    `beside` are the names of the databases that went along (`review`, `taskings`, ...).
    """

    path: str
    bytes: int
    records: int
    set_aside: str | None = None
    beside: tuple[str, ...] = ()


def back_up(
    store: Path,
    target: Path,
    evidence_keys: Keys | None = None,
    *,
    progress: Callable[[float], None] | None = None,
) -> Copied:
    """Copy the store at one instant into the new file `target`, while it is being written; proved after.

    Then the databases beside it, each into `TARGET.NAME`.

    With `evidence_keys` (public keys by platform) the copy is verified, else SQLite checks its pages.
    Raises `StoreError` when `target` exists, the disk refuses or there is no store, and `VerificationError`
    when what was copied is damaged: the copy is kept as TARGET.damaged then.
    """
    files = beside.files_of(store.parent)
    for taken in (target, *(beside.place_of(target, name) for name in files)):
        if taken.exists():
            raise StoreError(f"{taken} exists; a backup never overwrites, give another name")
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    part.unlink(missing_ok=True)
    source = open_for_reading(store)
    try:
        with as_store_errors(store):
            _copy_pages(source, part, progress)
    except BaseException:
        _drop(part)
        raise
    finally:
        source.close()
    try:
        records = _check(part, evidence_keys)
    except VerificationError:
        part.replace(target.with_name(target.name + ".damaged"))
        raise
    _settle(part, target)
    for name, path in files.items():
        _back_up_beside(path, beside.place_of(target, name))
    return Copied(path=str(target), bytes=target.stat().st_size, records=records, beside=tuple(files))


def restore(
    backup: Path, store: Path, evidence_keys: Keys, *, is_forced: bool = False, now: str = "before"
) -> Copied:
    """Put a proved copy of `backup` in the place of `store`; a store that lies there is set aside, not lost.

    So with the databases that lie beside both; one that only the station has stays as it is.

    `now` becomes part of its new name. Raises `StoreError` when a station runs on it or a store lies there
    and `is_forced` is false, `VerificationError` when the backup is damaged; nothing is changed then.
    """
    if not backup.is_file():
        raise StoreError(f"{backup} is no file; give a backup made by `skywarden ground backup`")
    store.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    taken = f"{store}: a ground station uses this store; stop it before restoring"
    guard = lockfile.hold(store.with_name(store.name + ".lock"), taken)
    try:
        if store.exists() and not is_forced:
            raise StoreError(
                f"{store} exists; --force sets it aside and puts the backup of {backup} in its place"
            )
        part = store.with_name(store.name + ".part")
        _drop(part)
        try:
            shutil.copyfile(backup, part)
            records = _check(part, evidence_keys)
            copies = _prepared_beside(backup, store.parent)
        except OSError as error:
            _drop(part)
            raise StoreError(f"{backup} cannot be copied ({error.strerror})") from error
        except BaseException:
            _drop(part)
            raise
        aside = _set_aside(store, now)
        mark_path(store).unlink(missing_ok=True)
        _settle(part, store)
        for name in copies:
            path = store.with_name(f"{name}.sqlite")
            _set_aside(path, now)
            _settle(path.with_name(path.name + ".part"), path)
    finally:
        os.close(guard)
    return Copied(
        path=str(store),
        bytes=store.stat().st_size,
        records=records,
        set_aside=aside,
        beside=copies,
    )


def _back_up_beside(path: Path, target: Path) -> None:
    part = target.with_name(target.name + ".part")
    _drop(part)
    source = beside.open_beside(path)
    try:
        with as_store_errors(path):
            _copy_pages(source, part, None)
        beside.check(part)
    except BaseException:
        _drop(part)
        raise
    finally:
        source.close()
    _settle(part, target)


def _prepared_beside(backup: Path, state_dir: Path) -> tuple[str, ...]:
    """Copies of what lies beside the backup, checked, as `NAME.sqlite.part`; none is left when one fails."""
    made: list[Path] = []
    copies = beside.copies_of(backup)
    try:
        for name, copy in copies.items():
            made.append(state_dir / f"{name}.sqlite.part")
            _drop(made[-1])
            shutil.copyfile(copy, made[-1])
            beside.check(made[-1])
    except BaseException:
        for part in made:
            _drop(part)
        raise
    return tuple(copies)


def _copy_pages(source: Any, target: Path, progress: Callable[[float], None] | None) -> None:
    """All pages as of now: the open transaction holds the source at one commit while others go on."""
    copy = apsw.Connection(str(target))
    try:
        target.chmod(0o600)
        source.execute("BEGIN")
        source.execute("SELECT count(*) FROM sqlite_schema").fetchall()
        with copy.backup("main", source, "main") as pages:
            while not pages.done:
                pages.step(_STEP_PAGES)
                if progress is not None and pages.page_count:
                    progress(1.0 - pages.remaining / pages.page_count)
        source.execute("COMMIT")
        copy.execute("PRAGMA journal_mode = DELETE")  # one file, complete in itself
    finally:
        copy.close()


def _check(path: Path, evidence_keys: Keys | None) -> int:
    """How many records the file holds, proved; raises `StoreError` or `VerificationError`."""
    if evidence_keys is not None:
        found: Verification = verify_store(path, evidence_keys)
        if found.damaged:
            raise VerificationError(f"{path}: {found.damaged} things do not fit: {found.problems[0]}")
        return found.records
    db = open_for_reading(path)
    try:
        with as_store_errors(path):
            answer = db.execute("PRAGMA quick_check(1)").get
            if answer != "ok":
                raise VerificationError(f"{path}: the copy is damaged ({answer})")
            records: int = db.execute("SELECT count(*) FROM records").get
    finally:
        db.close()
    return records


def _set_aside(store: Path, now: str) -> str | None:
    if not store.exists():
        return None
    aside = store.with_name(f"{store.name}.{now}")
    if aside.exists():
        raise StoreError(f"{aside} exists; move it away first")
    for ending in _SIDE_FILES:
        side = store.with_name(store.name + ending)
        if side.exists():
            side.replace(aside.with_name(aside.name + ending))
    store.replace(aside)
    return str(aside)


def _settle(part: Path, target: Path) -> None:
    """On the disk first, then under its name."""
    try:
        for ending in _SIDE_FILES:  # left by reading it
            part.with_name(part.name + ending).unlink(missing_ok=True)
        part.chmod(0o600)
        descriptor = os.open(part, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        part.replace(target)
        sync(target.parent)
    except OSError as error:
        raise StoreError(f"{target} cannot be written ({error.strerror})") from error


def _drop(part: Path) -> None:
    for ending in ("", *_SIDE_FILES):
        part.with_name(part.name + ending).unlink(missing_ok=True)
