"""Scenario S16: a damaged store: flipped bits, a cut or missing write-ahead log, an older copy, two writers.

A flip counts when anything that is read from records, signatures, the list of sightings or the index of
places is different after it. `skywarden ground verify` must find every one, and nothing that is not what was
stored may be handed out. SQLite's own check on the same files is the anchor.
"""

import random
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw
import structlog

from ground.link.intake import Intake
from ground.store.reading import Filter, SqliteReader
from ground.store.sqlite import SqliteStore
from ground.upkeep.copies import back_up, restore
from ground.upkeep.verify import verify_store
from sim.faults.nodes import NoContacts
from sim.faults.result import Profile, Result
from sim.faults.signed import NS, SignedSource
from skywarden.errors import StoreError, VerificationError
from skywarden.evidence import EvidenceKey

FLIPS: dict[Profile, int] = {"quick": 120, "full": 400, "soak": 20_000}
_CUTS: dict[Profile, int] = {"quick": 25, "full": 300, "soak": 2_000}
_OLDER: dict[Profile, int] = {"quick": 8, "full": 100, "soak": 500}
_RESTORED: dict[Profile, int] = {"quick": 5_000, "full": 50_000, "soak": 1_000_000}
_RECORDS = 400
_BATCH = 50
_KEY = EvidenceKey.from_secret(bytes(range(32)))
_KEYS = {"uav07": (_KEY.public,)}
_BOOT = "cd" * 16
_PROVED = (
    "SELECT * FROM records ORDER BY record_key",
    "SELECT * FROM streams ORDER BY stream_key",
    "SELECT * FROM seals ORDER BY seal_key",
    "SELECT * FROM sightings ORDER BY sighting_key",
    "SELECT * FROM place_columns ORDER BY block_key",
)


@dataclass(slots=True)
class Found:
    """Damage of one kind: tried, with an effect, found by us, found by SQLite, wrong things handed out."""

    tried: int = 0
    effective: int = 0
    found: int = 0
    by_sqlite: int = 0
    served_wrong: int = 0


def run(profile: Profile, seed: int) -> Result:
    """Every kind of damage, as often as the profile says."""
    result = Result("S16", profile, seed)
    began_s = time.monotonic()
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    try:
        with tempfile.TemporaryDirectory(prefix="skywarden-damage-") as folder:
            for name, found in (
                ("flipped bits", flips(Path(folder) / "flips", FLIPS[profile], seed)),
                ("cut logs", cuts(Path(folder) / "cuts", _CUTS[profile], seed)),
                ("older copies", older(Path(folder) / "older", _OLDER[profile], seed)),
            ):
                _judge(result, name, found)
            result.expect_equal("second writers refused", second_writers(Path(folder) / "two"), 2)
            rate = restored_rate(Path(folder) / "back", _RESTORED[profile])
            result.expect_at_least("records/s proved and restored from a backup", rate, 3_334)
    finally:
        structlog.configure(**before)
    version = tuple(int(part) for part in apsw.sqlite_lib_version().split("."))
    result.expect_equal("SQLite without the bug of the log's reset", int(version >= (3, 51, 3)), 1)
    result.seconds = time.monotonic() - began_s
    return result


def _judge(result: Result, name: str, found: Found) -> None:
    result.observe(f"{name}: tried", found.tried)
    result.observe(f"{name}: with an effect", found.effective)
    result.expect_equal(f"{name}: found by verify", found.found, found.effective)
    result.observe(f"{name}: found by SQLite's own check", found.by_sqlite)
    result.expect_zero(f"{name}: damaged sightings handed out", found.served_wrong)


def flips(folder: Path, count: int, seed: int) -> Found:
    """One bit at a random place of the file, again and again on the intact one."""
    path = made_store(folder, _RECORDS)
    whole, found, rng = bytearray(path.read_bytes()), Found(), random.Random(seed)
    truth, served = _dump(path), _served(path)
    while found.effective < count and found.tried < 50 * count:
        place, bit = rng.randrange(len(whole)), 1 << rng.randrange(8)
        whole[place] ^= bit
        path.write_bytes(whole)
        whole[place] ^= bit
        _look(path, found, truth, served)
    return found


def cuts(folder: Path, count: int, seed: int) -> Found:
    """The write-ahead log cut anywhere, or gone, after a death of the process."""
    folder.mkdir()
    path = folder / "live" / "store.sqlite"
    path.parent.mkdir()
    store = SqliteStore(path, NoContacts())
    fill(store, _RECORDS)
    store.note_heard({"uav07": (NS, None)})  # as every 5 s: the mark names what is newest
    dead = folder / "dead" / "store.sqlite"
    dead.parent.mkdir()
    for ending in ("", "-wal", ".mark"):
        shutil.copyfile(path.with_name(path.name + ending), dead.with_name(dead.name + ending))
    store.close()
    database, log = dead.read_bytes(), dead.with_name(dead.name + "-wal").read_bytes()
    truth, served = _dump(path), _served(path)
    rng, found = random.Random(seed), Found()
    for number in range(count):
        dead.write_bytes(database)
        dead.with_name(dead.name + "-shm").unlink(missing_ok=True)
        wal = dead.with_name(dead.name + "-wal")
        wal.write_bytes(log[: rng.randrange(len(log))])
        if number == 0:
            wal.unlink()
        _look(dead, found, truth, served)
    return found


def older(folder: Path, count: int, seed: int) -> Found:
    """A copy from an earlier moment in the place of the store."""
    folder.mkdir()
    path, rng, found = folder / "store.sqlite", random.Random(seed), Found()
    source = _source(_RECORDS)
    copies: list[bytes] = []
    for start in range(1, _RECORDS, _BATCH):
        store = SqliteStore(path, NoContacts())
        deliver(store, source, start, start + _BATCH - 1)
        store.close()
        copies.append(path.read_bytes())
    truth, served = _dump(path), _served(path)
    for _ in range(count):
        path.write_bytes(rng.choice(copies[:-1]))
        _look(path, found, truth, served)
    return found


def second_writers(folder: Path) -> int:
    """How many of two attempts to write beside a running station were refused."""
    path = folder / "store.sqlite"
    store = SqliteStore(path, NoContacts())
    fill(store, _BATCH)
    back_up(path, folder / "a.backup")
    refused = 0
    attempts: tuple[Callable[[], object], ...] = (
        lambda: SqliteStore(path, NoContacts()),
        lambda: restore(folder / "a.backup", path, _KEYS, is_forced=True),
    )
    for attempt in attempts:
        try:
            attempt()
        except StoreError:
            refused += 1
    store.close()
    return refused


def restored_rate(folder: Path, records: int) -> float:
    """Records a second from a backup back into a store that opens, everything proved on the way."""
    path = made_store(folder, records)
    back_up(path, folder / "a.backup")
    began_s = time.monotonic()
    restore(folder / "a.backup", path, _KEYS, is_forced=True)
    store = SqliteStore(path, NoContacts())
    rate = store.counts().records / (time.monotonic() - began_s)
    store.close()
    return rate


def made_store(folder: Path, records: int) -> Path:
    """A closed store with so many signed sightings."""
    path = folder / "store.sqlite"
    store = SqliteStore(path, NoContacts())
    fill(store, records)
    store.close()
    return path


def fill(store: SqliteStore, records: int) -> None:
    """Signed sightings 1.. in batches."""
    deliver(store, _source(records), 1, records)


def deliver(store: SqliteStore, source: SignedSource, first: int, last: int) -> None:
    """Records first..last as they come over the link."""
    intake = Intake(store=store, evidence_keys=lambda name: _KEYS[name])
    for start in range(first, last + 1, _BATCH):
        payload = source.batch(range(start, min(start + _BATCH, last + 1)))
        parcel = intake.open("uav07", payload, len(payload), NS)
        if parcel is None or not intake.commit([parcel]):
            raise StoreError(f"records from {start} were not stored: {intake.store_problem}")


def _source(records: int) -> SignedSource:
    source = SignedSource("uav07", _BOOT, _KEY)
    source.grow(records)
    return source


def _look(path: Path, found: Found, truth: Any, served: dict[str, Any]) -> None:
    """Whether the damage has an effect, who finds it, and what is handed out."""
    found.tried += 1
    if _dump(path) == truth:
        return
    found.effective += 1
    found.found += _is_found(path)
    found.by_sqlite += _is_found_by_sqlite(path)
    try:
        answered = _served(path)
    except StoreError:
        return
    found.served_wrong += sum(served.get(name) != one for name, one in answered.items())


def _is_found(path: Path) -> bool:
    try:
        return verify_store(path, _KEYS).damaged > 0
    except (StoreError, VerificationError):
        return True


def _is_found_by_sqlite(path: Path) -> bool:
    try:
        db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            return bool(db.execute("PRAGMA integrity_check(1)").get != "ok")
        finally:
            db.close(True)
    except apsw.Error:
        return True


def _dump(path: Path) -> Any:
    """Everything that must not change; `None` when it cannot be read."""
    try:
        db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            rows = [db.execute(question).fetchall() for question in _PROVED]
        finally:
            db.close(True)
    except (apsw.Error, UnicodeDecodeError):
        return None
    return rows


def _served(path: Path) -> dict[str, Any]:
    """Sightings as the station hands them out, by their id."""
    reader = SqliteReader(path)
    try:
        found, _ = reader.sightings(Filter(limit=1_000_000))
        boxed, _ = reader.sightings(Filter(bbox=(-180.0, -90.0, 180.0, 90.0), limit=1_000_000))
    except UnicodeDecodeError as error:
        raise StoreError(f"{path} is damaged ({error})") from error
    finally:
        reader.close()
    return {one.sighting.sighting_id: one for one in [*found, *boxed]}
