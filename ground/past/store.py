"""Where platforms were and cameras looked, on disk: a small file beside the store, no evidence."""

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from ground.past.notes import NotedFootprint, NotedPose
from ground.store.database import open_database, transaction
from ground.store.schema import as_store_errors

APPLICATION_ID = 0x53_4B_59_50  # "SKYP"
_VERSION_1 = """
CREATE TABLE poses(
    platform_id TEXT NOT NULL, time_ns INTEGER NOT NULL, sortie_id TEXT NOT NULL,
    latitude_deg REAL NOT NULL, longitude_deg REAL NOT NULL, heading_deg REAL,
    PRIMARY KEY(platform_id, time_ns)) WITHOUT ROWID;
CREATE INDEX poses_by_time ON poses(time_ns);
CREATE TABLE footprints(
    platform_id TEXT NOT NULL, time_ns INTEGER NOT NULL, sortie_id TEXT NOT NULL, sensor_id TEXT NOT NULL,
    south REAL NOT NULL, north REAL NOT NULL, gsd_m REAL, ring BLOB NOT NULL,
    PRIMARY KEY(platform_id, time_ns)) WITHOUT ROWID;
CREATE INDEX footprints_by_time ON footprints(time_ns);
"""
MIGRATIONS: tuple[str, ...] = (_VERSION_1,)
"""Script n brings version n to n + 1; a script that was released never changes."""

_ring_decoder = msgspec.msgpack.Decoder(tuple[tuple[float, float], ...])


def past_path(state_dir: Path) -> Path:
    """Where the memory of movements lies."""
    return state_dir / "past.sqlite"


class PastStore:
    """The open file; safe from any thread. Raises `StoreError`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._db = open_database(path, APPLICATION_ID, MIGRATIONS, synchronous="NORMAL")

    def write(self, poses: Iterable[NotedPose], footprints: Iterable[NotedFootprint]) -> None:
        """Keep these; what is there already stays as it is."""
        with self._using() as db, transaction(db):
            db.executemany(
                "INSERT OR IGNORE INTO poses VALUES(?, ?, ?, ?, ?, ?)",
                [
                    (
                        one.platform_id,
                        one.time_ns,
                        one.sortie_id,
                        one.latitude_deg,
                        one.longitude_deg,
                        one.heading_deg,
                    )
                    for one in poses
                ],
            )
            db.executemany(
                "INSERT OR IGNORE INTO footprints VALUES(?, ?, ?, ?, ?, ?, ?, ?)",
                [_row(one) for one in footprints],
            )

    def poses(self, since_ns: int, until_ns: int, limit: int) -> list[NotedPose]:
        """Poses of a span, oldest first; the newest `limit` when there are more."""
        with self._using() as db:
            rows = db.execute(
                "SELECT platform_id, sortie_id, time_ns, latitude_deg, longitude_deg, heading_deg FROM poses "
                "WHERE time_ns BETWEEN ? AND ? ORDER BY time_ns DESC LIMIT ?",
                (since_ns, until_ns, limit),
            ).fetchall()
        return [
            NotedPose(
                platform_id=row[0],
                sortie_id=row[1],
                time_ns=row[2],
                latitude_deg=row[3],
                longitude_deg=row[4],
                heading_deg=row[5],
            )
            for row in reversed(rows)
        ]

    def footprints(
        self,
        since_ns: int,
        until_ns: int,
        limit: int,
        *,
        latitudes: tuple[float, float] = (-90.0, 90.0),
        platform_id: str | None = None,
        sortie_id: str | None = None,
    ) -> list[NotedFootprint]:
        """Footprints of a span that reach into these latitudes, oldest first; the newest `limit` when there
        are more.
        """
        with self._using() as db:
            rows = db.execute(
                "SELECT platform_id, sortie_id, sensor_id, time_ns, ring, gsd_m FROM footprints "
                "WHERE time_ns BETWEEN ? AND ? AND north >= ? AND south <= ? "
                "AND (?5 IS NULL OR platform_id = ?5) AND (?6 IS NULL OR sortie_id = ?6) "
                "ORDER BY time_ns DESC LIMIT ?7",
                (since_ns, until_ns, *latitudes, platform_id, sortie_id, limit),
            ).fetchall()
        return [
            NotedFootprint(
                platform_id=row[0],
                sortie_id=row[1],
                sensor_id=row[2],
                time_ns=row[3],
                ring=_ring_decoder.decode(row[4]),
                gsd_m=row[5],
            )
            for row in reversed(rows)
        ]

    def span(self) -> tuple[int, int] | None:
        """Time of the first and the last pose; `None` when there is none."""
        with self._using() as db:
            first_ns, last_ns = db.execute("SELECT min(time_ns), max(time_ns) FROM poses").fetchone()
        return None if first_ns is None else (first_ns, last_ns)

    def activity(self, since_ns: int, until_ns: int, bins: int) -> list[int]:
        """How many poses fall into each of `bins` equal parts of a span."""
        width_ns = max(1, -(-(until_ns - since_ns) // bins))
        counts = [0] * bins
        with self._using() as db:
            rows = db.execute(
                "SELECT (time_ns - ?1) / ?3, count(*) FROM poses WHERE time_ns >= ?1 AND time_ns < ?2 "
                "GROUP BY 1",
                (since_ns, until_ns, width_ns),
            ).fetchall()
        for index, count in rows:
            counts[index] = count
        return counts

    def expire(self, before_ns: int) -> int:
        """Forget what is older; how much that was."""
        with self._using() as db, transaction(db):
            count = 0
            for table in ("poses", "footprints"):
                db.execute(f"DELETE FROM {table} WHERE time_ns < ?", (before_ns,))
                count += db.changes()
        return count

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    @contextmanager
    def _using(self) -> Iterator[Any]:
        with self._lock, as_store_errors(self._path):
            yield self._db


def _row(one: NotedFootprint) -> tuple[Any, ...]:
    latitudes = [latitude for latitude, _ in one.ring]
    return (
        one.platform_id,
        one.time_ns,
        one.sortie_id,
        one.sensor_id,
        min(latitudes),
        max(latitudes),
        one.gsd_m,
        msgspec.msgpack.encode(one.ring),
    )
