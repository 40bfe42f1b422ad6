"""The store's tables, their versions, and how a database file is opened safely."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw

from ground.store import spatial
from skywarden.errors import StoreError

_PAGE_BYTES = 8_192  # of new files: a fifth less to do than with 4,096
_CHECKPOINT_BYTES = 16_000_000  # a page that changes with every commit is copied back a quarter as often
APPLICATION_ID = 0x53_4B_59_57  # "SKYW"
EXERCISE_ID = 0x53_4B_59_58  # "SKYX": the store of an exercise, which a real station does not open

_VERSION_1 = """
CREATE TABLE streams(
    stream_key INTEGER PRIMARY KEY, platform_id TEXT NOT NULL, boot_id TEXT NOT NULL,
    first_ns INTEGER NOT NULL, UNIQUE(platform_id, boot_id));
CREATE TABLE records(
    record_key INTEGER PRIMARY KEY, stream_key INTEGER NOT NULL REFERENCES streams, seq INTEGER NOT NULL,
    topic TEXT NOT NULL, time_ns INTEGER NOT NULL, received_ns INTEGER NOT NULL, body BLOB NOT NULL,
    UNIQUE(stream_key, seq));
CREATE TABLE sightings(
    sighting_key INTEGER PRIMARY KEY, sighting_id TEXT NOT NULL UNIQUE, record_key INTEGER NOT NULL,
    track_id TEXT NOT NULL, platform_id TEXT NOT NULL, label TEXT NOT NULL, score REAL NOT NULL,
    time_ns INTEGER NOT NULL, received_ns INTEGER NOT NULL, latitude_deg REAL, longitude_deg REAL);
CREATE INDEX sightings_by_time ON sightings(time_ns, sighting_key);
CREATE INDEX sightings_by_track ON sightings(track_id, time_ns);
CREATE INDEX sightings_by_platform ON sightings(platform_id, time_ns);
CREATE VIRTUAL TABLE sighting_places USING rtree(sighting_key, west, east, south, north);
CREATE TABLE chips(
    chip_id TEXT PRIMARY KEY, record_key INTEGER NOT NULL, sighting_id TEXT NOT NULL,
    track_id TEXT, score REAL) WITHOUT ROWID;
CREATE INDEX chips_by_sighting ON chips(sighting_id);
CREATE INDEX chips_by_track ON chips(track_id, score);
CREATE TABLE contacts(
    contact_id TEXT PRIMARY KEY, label TEXT NOT NULL, first_ns INTEGER NOT NULL, last_ns INTEGER NOT NULL,
    latitude_deg REAL, longitude_deg REAL, revision INTEGER NOT NULL, body BLOB NOT NULL) WITHOUT ROWID;
CREATE INDEX contacts_by_time ON contacts(last_ns, contact_id);
CREATE TABLE contact_tracks(
    track_id TEXT PRIMARY KEY, contact_id TEXT NOT NULL, platform_id TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX contact_tracks_by_contact ON contact_tracks(contact_id);
CREATE TABLE health(
    platform_id TEXT NOT NULL, component TEXT NOT NULL, condition TEXT NOT NULL,
    time_ns INTEGER NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY(platform_id, component, condition)) WITHOUT ROWID;
CREATE TABLE platforms(
    platform_id TEXT PRIMARY KEY, last_heard_ns INTEGER NOT NULL, sortie_id TEXT) WITHOUT ROWID;
CREATE TABLE quarantine(
    quarantine_key INTEGER PRIMARY KEY, platform_id TEXT NOT NULL, boot_id TEXT NOT NULL,
    seq INTEGER NOT NULL, topic TEXT NOT NULL, received_ns INTEGER NOT NULL,
    reason TEXT NOT NULL, body BLOB NOT NULL);
"""

_VERSION_2 = """
ALTER TABLE streams ADD COLUMN chain_seq INTEGER NOT NULL DEFAULT 0;
ALTER TABLE streams ADD COLUMN chain BLOB;
ALTER TABLE streams ADD COLUMN head_seq INTEGER NOT NULL DEFAULT 0;
ALTER TABLE streams ADD COLUMN head BLOB;
ALTER TABLE records ADD COLUMN mono_ns INTEGER NOT NULL DEFAULT 0;
ALTER TABLE records ADD COLUMN clock INTEGER NOT NULL DEFAULT 0;
ALTER TABLE records ADD COLUMN leaf BLOB;
ALTER TABLE records ADD COLUMN seal_key INTEGER;
CREATE TABLE seals(
    seal_key INTEGER PRIMARY KEY, stream_key INTEGER NOT NULL REFERENCES streams, number INTEGER NOT NULL,
    head_seq INTEGER NOT NULL, head BLOB NOT NULL, public_key BLOB NOT NULL, signature BLOB NOT NULL,
    received_ns INTEGER NOT NULL, items BLOB NOT NULL);
CREATE INDEX seals_by_head ON seals(stream_key, head_seq);
CREATE TABLE fragments(
    fragment_key INTEGER PRIMARY KEY, stream_key INTEGER NOT NULL REFERENCES streams, seq INTEGER NOT NULL,
    byte_offset INTEGER NOT NULL, received_ns INTEGER NOT NULL, header BLOB NOT NULL, data BLOB NOT NULL,
    UNIQUE(stream_key, seq, byte_offset));
CREATE TABLE gaps(
    stream_key INTEGER NOT NULL REFERENCES streams, first_seq INTEGER NOT NULL, last_seq INTEGER NOT NULL,
    chain BLOB NOT NULL, record_key INTEGER NOT NULL, PRIMARY KEY(stream_key, first_seq)) WITHOUT ROWID;
"""
"""Chain, signatures, pieces and gaps. Records of before have no leaf and no seal: nobody signed them."""

_VERSION_3 = spatial.TABLES + "DROP TABLE sighting_places;"
"""Columns in blocks instead of an R*Tree, which rounded coordinates and cost most of an insert."""

_VERSION_4 = """
ALTER TABLE records ADD COLUMN erased_ns INTEGER;
CREATE INDEX sightings_by_record ON sightings(record_key);
CREATE INDEX chips_by_record ON chips(record_key);
CREATE TABLE holds(
    kind TEXT NOT NULL, name TEXT NOT NULL, reason TEXT NOT NULL, since_ns INTEGER NOT NULL,
    PRIMARY KEY(kind, name)) WITHOUT ROWID;
"""
"""Bodies can be erased (their leaf stays), and things can be held."""

_VERSION_5 = """
CREATE TABLE tracks(
    track_key INTEGER PRIMARY KEY, track_id TEXT NOT NULL, platform_id TEXT NOT NULL,
    UNIQUE(track_id, platform_id));
CREATE INDEX tracks_by_platform ON tracks(platform_id);
INSERT INTO tracks(track_id, platform_id) SELECT DISTINCT track_id, platform_id FROM sightings;
CREATE TABLE sighting_rows(
    sighting_key INTEGER PRIMARY KEY, sighting_id TEXT NOT NULL UNIQUE,
    track_key INTEGER NOT NULL REFERENCES tracks, label TEXT NOT NULL, score REAL NOT NULL,
    time_ns INTEGER NOT NULL, received_ns INTEGER NOT NULL, latitude_deg REAL, longitude_deg REAL);
INSERT OR IGNORE INTO sighting_rows SELECT s.record_key, s.sighting_id, t.track_key, s.label, s.score,
    s.time_ns, s.received_ns, s.latitude_deg, s.longitude_deg
    FROM sightings s JOIN tracks t USING(track_id, platform_id) ORDER BY s.record_key;
DROP TABLE sightings;
CREATE INDEX sightings_by_time ON sighting_rows(time_ns, sighting_key);
CREATE INDEX sightings_by_track ON sighting_rows(track_key, time_ns);
CREATE VIEW sightings AS SELECT s.sighting_key, s.sighting_id, s.sighting_key AS record_key, t.track_id,
    t.platform_id, s.label, s.score, s.time_ns, s.received_ns, s.latitude_deg, s.longitude_deg
    FROM sighting_rows s JOIN tracks t ON t.track_key = s.track_key;
"""
"""A sighting's row has its record's key, and its track by number: three B-trees to write instead of six.

`sightings` is what readers see; a row whose track is damaged stays in it, so that `verify` finds it.
"""

_VERSION_6 = """
CREATE INDEX records_of_plots ON records(record_key) WHERE topic = 'plot' AND erased_ns IS NULL;
"""
"""Where plots are among the records; what is no plot costs nothing."""

MIGRATIONS: tuple[str, ...] = (_VERSION_1, _VERSION_2, _VERSION_3, _VERSION_4, _VERSION_5, _VERSION_6)
"""Script n brings version n to n + 1; a script that was released never changes."""

SCHEMA_VERSION = len(MIGRATIONS)
_MOVES_PLACES = (2, 4)


@contextlib.contextmanager
def as_store_errors(path: Path) -> Iterator[None]:
    """SQLite's errors as one sentence each."""
    try:
        yield
    except (apsw.NotADBError, apsw.CorruptError) as error:
        raise StoreError(
            f"{path} is damaged ({error}); set it aside and restore a backup, platforms keep what was not "
            "acknowledged"
        ) from error
    except apsw.FullError as error:
        raise StoreError(f"{path}: the disk is full; nothing is acknowledged until there is space") from error
    except apsw.Error as error:
        raise StoreError(f"{path}: the store refused ({type(error).__name__}: {error})") from error


def kind_of_store(path: Path) -> bool | None:
    """Whether the store in a file is an exercise's; `None` when there is none yet.

    Asks the head of the file, nothing else. Raises `StoreError` when it is no store of skywarden's.
    """
    try:
        if not path.exists() or path.stat().st_size == 0:
            return None
        with as_store_errors(path):
            db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
            try:
                db.set_busy_timeout(5_000)
                application: int = db.execute("PRAGMA application_id").get
                has_tables = db.execute("SELECT count(*) FROM sqlite_schema").get
            finally:
                db.close()
    except OSError as error:
        raise StoreError(f"{path}: cannot be read ({error.strerror})") from error
    if not has_tables:
        return None
    if application not in (APPLICATION_ID, EXERCISE_ID):
        raise StoreError(f"{path} is a database of another program; choose another state folder")
    return application == EXERCISE_ID


def open_for_writing(path: Path, vfs: str | None = None, *, is_exercise: bool = False) -> Any:
    """The one writing connection: WAL, every commit synced, tables brought to this version.

    `vfs` names another SQLite VFS (for tests of power loss). A new store is that of an exercise or not, for
    ever; one of the other kind is refused.

    Raises `StoreError` when the file is of a newer version, of another program, damaged, or not durable here.
    """
    with as_store_errors(path):
        db = apsw.Connection(str(path), vfs=vfs)
        try:
            _check_ours(db, path)
            _check_kind(db, path, is_exercise=is_exercise)
            db.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
            mode = db.execute("PRAGMA journal_mode = WAL").get
            db.execute("PRAGMA synchronous = FULL")
            if mode != "wal" or db.execute("PRAGMA synchronous").get != 2:
                raise StoreError(f"{path}: this disk does not do durable writes (journal {mode})")
            db.set_busy_timeout(5_000)
            db.execute("PRAGMA journal_size_limit = 67108864; PRAGMA cache_size = -32768")
            pages = _CHECKPOINT_BYTES // db.execute("PRAGMA page_size").get
            db.execute(f"PRAGMA wal_autocheckpoint = {pages}")
            _migrate(db, EXERCISE_ID if is_exercise else APPLICATION_ID)
        except BaseException:
            with contextlib.suppress(apsw.Error):
                db.close(True)
            raise
    path.chmod(0o600)
    return db


def open_for_reading(path: Path, vfs: str | None = None) -> Any:
    """A connection that cannot write; raises `StoreError` when there is no store of this version."""
    with as_store_errors(path):
        try:
            db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY, vfs=vfs)
        except apsw.CantOpenError as error:
            raise StoreError(
                f"{path}: there is no store yet; start `skywarden ground serve` first"
            ) from error
        try:
            db.set_busy_timeout(5_000)
            db.execute("PRAGMA query_only = 1; PRAGMA cache_size = -32768")
            version = _check_ours(db, path)
            if version < SCHEMA_VERSION:
                raise StoreError(
                    f"{path} has version {version}, {SCHEMA_VERSION} is needed; `skywarden ground serve` "
                    "brings it up to date"
                )
        except BaseException:
            db.close()
            raise
    return db


def open_beside(path: Path) -> Any:
    """A second connection that writes, for a few rows beside the station whose store this is.

    It never makes or changes tables. Raises `StoreError` when there is no store of this version.
    """
    open_for_reading(path).close()
    with as_store_errors(path):
        db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
        db.set_busy_timeout(10_000)
        db.execute("PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0")
    return db


def _check_ours(db: Any, path: Path) -> int:
    version: int = db.execute("PRAGMA user_version").get
    application: int = db.execute("PRAGMA application_id").get
    has_tables = db.execute("SELECT count(*) FROM sqlite_schema").get
    if application not in (APPLICATION_ID, EXERCISE_ID) and has_tables:
        raise StoreError(f"{path} is a database of another program; choose another state folder")
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"{path} has version {version}, this skywarden understands up to {SCHEMA_VERSION}; it was "
            "written by a newer skywarden, use that one"
        )
    return version


def _check_kind(db: Any, path: Path, *, is_exercise: bool) -> None:
    if not db.execute("SELECT count(*) FROM sqlite_schema").get:
        return
    was = db.execute("PRAGMA application_id").get == EXERCISE_ID
    if was != is_exercise:
        kinds = ("a real station", "an EXERCISE")
        raise StoreError(
            f"{path} is the store of {kinds[was]} and cannot be opened as that of {kinds[is_exercise]}; "
            "choose another state folder"
        )


def _migrate(db: Any, application_id: int) -> None:
    for version in range(db.execute("PRAGMA user_version").get, SCHEMA_VERSION):
        db.execute("BEGIN IMMEDIATE")
        try:
            db.execute(MIGRATIONS[version])
            if version in _MOVES_PLACES:
                spatial.rebuild(db)
            db.execute(f"PRAGMA application_id = {application_id}")
            db.execute(f"PRAGMA user_version = {version + 1}")
            db.execute("COMMIT")
        except BaseException:
            db.execute("ROLLBACK")
            raise
