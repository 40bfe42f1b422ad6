"""What was heard on AIS, on disk: reports, vessels, minutes in which anybody was heard, what the ears learnt.

A file of its own beside the store of the platforms: AIS is public radio, is not evidence of ours, and may
be thrown away sooner. Kept are the thinned histories (`VesselBook.add` says which reports), each with its
own words.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from ground.ais.hearing import Ears
from ground.store.database import open_database, transaction
from ground.store.schema import as_store_errors
from skywarden.ais.reports import PositionReport, StaticReport

APPLICATION_ID = 0x53_4B_59_49  # "SKYI"
_VERSION_1 = """
CREATE TABLE reports(
    mmsi TEXT NOT NULL, time_ns INTEGER NOT NULL, received_ns INTEGER NOT NULL, source TEXT NOT NULL,
    latitude_deg REAL NOT NULL, longitude_deg REAL NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY(mmsi, time_ns, latitude_deg, longitude_deg)) WITHOUT ROWID;
CREATE INDEX reports_by_time ON reports(time_ns);
CREATE TABLE vessels(mmsi TEXT PRIMARY KEY, last_ns INTEGER NOT NULL, body BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE minutes(minute INTEGER PRIMARY KEY, heard INTEGER NOT NULL);
CREATE TABLE ears(source TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;
"""
MIGRATIONS: tuple[str, ...] = (_VERSION_1,)
"""Script n brings version n to n + 1; a script that was released never changes."""

MAX_LOADED = 400_000


def ais_path(state_dir: Path) -> Path:
    """Where what was heard lies."""
    return state_dir / "ais.sqlite"


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """What is written at once: reports with the name of their source, identities, counts by minute, ears."""

    reports: Sequence[tuple[str, PositionReport]] = ()
    vessels: Sequence[StaticReport] = ()
    minutes: Mapping[int, int] = field(default_factory=dict)
    ears: Mapping[str, Ears] = field(default_factory=dict)


class AisStore:
    """The open file; safe from any thread. Raises `StoreError`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._db = open_database(path, APPLICATION_ID, MIGRATIONS, synchronous="NORMAL")

    def write(self, batch: Batch) -> None:
        """Everything of a batch, or nothing; on disk when this returns."""
        with self._writing() as db:
            db.executemany(
                "INSERT OR IGNORE INTO reports VALUES(?, ?, ?, ?, ?, ?, ?)",
                [
                    (
                        one.mmsi,
                        one.time_ns,
                        one.received_ns,
                        source,
                        one.latitude_deg,
                        one.longitude_deg,
                        msgspec.msgpack.encode(one),
                    )
                    for source, one in batch.reports
                ],
            )
            db.executemany(
                "INSERT INTO vessels VALUES(?, ?, ?) ON CONFLICT(mmsi) DO UPDATE SET "
                "last_ns = excluded.last_ns, body = excluded.body",
                [(one.mmsi, one.received_ns, msgspec.msgpack.encode(one)) for one in batch.vessels],
            )
            db.executemany(
                "INSERT INTO minutes VALUES(?, ?) "
                "ON CONFLICT(minute) DO UPDATE SET heard = heard + excluded.heard",
                list(batch.minutes.items()),
            )
            db.executemany(
                "INSERT INTO ears VALUES(?, ?) ON CONFLICT(source) DO UPDATE SET body = excluded.body",
                [(source, msgspec.msgpack.encode(one)) for source, one in batch.ears.items()],
            )

    def reports(
        self, since_ns: int, until_ns: int, *, mmsi: str | None = None, limit: int = MAX_LOADED
    ) -> list[PositionReport]:
        """Reports of a time in its order; the newest `limit` when there are more."""
        terms = "time_ns BETWEEN ? AND ?"
        values: list[int | str] = [since_ns, until_ns]
        if mmsi is not None:
            terms, values = f"{terms} AND mmsi = ?", [*values, mmsi]
        with self._reading() as db:
            rows = db.execute(
                f"SELECT body FROM reports WHERE {terms} ORDER BY time_ns DESC LIMIT ?", (*values, limit)
            ).fetchall()
        return [_report_decoder.decode(body) for (body,) in reversed(rows)]

    def vessels(self) -> list[StaticReport]:
        """What vessels said they are."""
        with self._reading() as db:
            rows = db.execute("SELECT body FROM vessels ORDER BY mmsi").fetchall()
        return [_static_decoder.decode(body) for (body,) in rows]

    def minutes(self, since_ns: int, until_ns: int) -> dict[int, int]:
        """Minutes since 1970 in which somebody was heard, and how many reports."""
        first, last = since_ns // 60_000_000_000, until_ns // 60_000_000_000
        with self._reading() as db:
            rows = db.execute(
                "SELECT minute, heard FROM minutes WHERE minute BETWEEN ? AND ? ORDER BY minute",
                (first, last),
            ).fetchall()
        return dict(rows)

    def ears(self, source: str) -> Ears:
        """What was learnt about one receiver."""
        with self._reading() as db:
            body = db.execute("SELECT body FROM ears WHERE source = ?", (source,)).get
        return _ears_decoder.decode(body) if body is not None else Ears()

    def counts(self) -> dict[str, int]:
        """How much there is."""
        with self._reading() as db:
            return {name: db.execute(f"SELECT count(*) FROM {name}").get for name in ("reports", "vessels")}

    def expire(self, before_ns: int) -> int:
        """Drop what was heard before; the number of reports dropped."""
        with self._writing() as db:
            db.execute("DELETE FROM reports WHERE time_ns < ?", (before_ns,))
            count = int(db.changes())
            db.execute("DELETE FROM vessels WHERE last_ns < ?", (before_ns,))
            db.execute("DELETE FROM minutes WHERE minute < ?", (before_ns // 60_000_000_000,))
        return count

    def close(self) -> None:
        """Let go of the file; may be called twice."""
        with self._lock:
            self._db.close(True)

    @contextmanager
    def _reading(self) -> Iterator[Any]:
        with self._lock, as_store_errors(self.path):
            yield self._db

    @contextmanager
    def _writing(self) -> Iterator[Any]:
        with self._lock, as_store_errors(self.path), transaction(self._db) as db:
            yield db


_report_decoder = msgspec.msgpack.Decoder(PositionReport)
_static_decoder = msgspec.msgpack.Decoder(StaticReport)
_ears_decoder = msgspec.msgpack.Decoder(Ears)
