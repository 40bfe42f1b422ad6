"""Where sightings lie: an exact index for boxes on the map, made of blocks of plain columns.

A row is (sighting's key, UTC ns, latitude, longitude) with the coordinates as they are, in float64: what is
found needs no second look. New rows go into a block with their commit. Many small blocks become one, and
every 65,536 rows, a segment, are cut into tiles that lie close together, each with its box and its times. A
question looks at the boxes and times of blocks, newest first, and reads only those that can matter.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import apsw
import numpy as np
import numpy.typing as npt

BBox = tuple[float, float, float, float]

ROW = np.dtype([("key", "<i8"), ("time_ns", "<i8"), ("latitude_deg", "<f8"), ("longitude_deg", "<f8")])
"""One sighting in a block."""

Rows = npt.NDArray[np.void]

_SEGMENT = 65_536
_TILE = 500  # 16,000 bytes: two pages of a new store
_FAN = 32
_TILED_ROWS = 1_024
_TILED_TIER = 2
_SEGMENT_TIER = 9
_READ_ROWS = 16_384
_FIRST_BLOCKS = 512
_READ_BLOCKS = 64
_END_NS = 2**63 - 1

TABLES = """
CREATE TABLE place_blocks(
    block_key INTEGER PRIMARY KEY, tier INTEGER NOT NULL, size INTEGER NOT NULL,
    first_ns INTEGER NOT NULL, last_ns INTEGER NOT NULL, west REAL NOT NULL, east REAL NOT NULL,
    south REAL NOT NULL, north REAL NOT NULL);
CREATE TABLE place_columns(block_key INTEGER PRIMARY KEY REFERENCES place_blocks, data BLOB NOT NULL);
"""


class PlaceWriter:
    """Adds rows within the caller's transactions on `db`; after a rollback call `reload`."""

    def __init__(self, db: Any) -> None:
        self._db = db
        self._pending: list[tuple[int, int, int]] = []  # block, tier, size
        self.reload()

    def reload(self) -> None:
        """Read again which blocks wait for their segment."""
        self._pending = self._db.execute(
            "SELECT block_key, tier, size FROM place_blocks WHERE tier < ? ORDER BY block_key",
            (_SEGMENT_TIER,),
        ).fetchall()

    def add(self, rows: Sequence[tuple[int, int, float, float]] | Rows) -> None:
        """Put in rows (key, UTC ns, latitude, longitude)."""
        if not len(rows):
            return
        block = np.array(rows, dtype=ROW)
        if sum(size for _, _, size in self._pending) + len(block) >= _SEGMENT:
            whole = np.concatenate([self._take(self._pending), block])
            for tile in _tiles(whole):
                self._write(tile, _SEGMENT_TIER)
            self._pending = []
            return
        self._put(block, 0)
        for tier in (0, 1):
            small = [one for one in self._pending if one[1] == tier]
            if len(small) >= _FAN:
                merged = self._take(small)
                self._pending = [one for one in self._pending if one[1] != tier]
                self._put(merged, tier + 1)

    def _put(self, rows: Rows, tier: int) -> None:
        """Write rows that wait for their segment, many of them in tiles already."""
        is_tiled = tier == _TILED_TIER or len(rows) >= _TILED_ROWS
        for part in _tiles(rows) if is_tiled else (rows,):
            reached = _TILED_TIER if is_tiled else tier
            self._pending.append((self._write(part, reached), reached, len(part)))

    def _take(self, blocks: Sequence[tuple[int, int, int]]) -> Rows:
        keys = [key for key, _, _ in blocks]
        rows = _read(self._db, keys)
        _delete(self._db, keys)
        return rows

    def _write(self, rows: Rows, tier: int) -> int:
        return _write(self._db, rows, tier)


def newest_in(
    db: Any, bbox: BBox, limit: int, *, since_ns: int | None = None, until_ns: int | None = None
) -> Rows:
    """The `limit` newest rows in the box (west, south, east, north; west > east crosses 180), newest first.

    Times are inclusive; rows of one time come with the greater key first.
    """
    if limit < 1:
        return np.empty(0, ROW)
    span = _span(since_ns, until_ns)
    parts: list[Rows] = []
    count = 0
    for rows, next_ns in _candidates(db, bbox, span):
        parts.append(rows[_is_inside(rows, bbox, span)])
        count += len(parts[-1])
        if count >= limit:
            parts = [_newest(_joined(parts), limit)]
            count = limit
            if parts[0]["time_ns"][-1] > next_ns:
                return parts[0]
    return _newest(_joined(parts), limit)


def all_in(db: Any, bbox: BBox, *, since_ns: int | None = None, until_ns: int | None = None) -> Rows:
    """Every row in the box, newest first."""
    return newest_in(db, bbox, 2**62, since_ns=since_ns, until_ns=until_ns)


def count_in(db: Any, bbox: BBox, *, since_ns: int | None = None, until_ns: int | None = None) -> int:
    """How many rows lie in the box; blocks that lie in it as a whole are not read."""
    span = _span(since_ns, until_ns)
    west, south, east, north = bbox
    join = "AND" if west <= east else "OR"
    is_whole = (
        f"(west >= ? {join} east <= ?) AND south >= ? AND north <= ? AND first_ns >= ? AND last_ns <= ?"
    )
    whole = (west, east, south, north, *span)
    where, values = _overlap(bbox, span)
    total: int = db.execute(
        f"SELECT coalesce(sum(size), 0) FROM place_blocks WHERE {where} AND ({is_whole})", (*values, *whole)
    ).get
    partly = db.execute(
        f"SELECT block_key, size FROM place_blocks WHERE {where} AND NOT ({is_whole})", (*values, *whole)
    ).fetchall()
    for keys in _batches(partly):
        total += int(np.count_nonzero(_is_inside(_read(db, keys), bbox, span)))
    return total


def remove(db: Any, keys: npt.NDArray[np.int64], *, until_ns: int) -> int:
    """Take out the rows of these keys; none is newer than `until_ns`. How many there were."""
    blocks = db.execute(
        "SELECT block_key, tier, size FROM place_blocks WHERE first_ns <= ? ORDER BY block_key", (until_ns,)
    ).fetchall()
    removed = 0
    for first in range(0, len(blocks), _READ_BLOCKS):
        part = blocks[first : first + _READ_BLOCKS]
        rows = _read(db, [key for key, _, _ in part])
        is_kept = ~np.isin(rows["key"], keys)
        if is_kept.all():
            continue
        removed += len(rows) - int(np.count_nonzero(is_kept))
        ends = np.cumsum([size for _, _, size in part])
        pieces = zip(part, np.split(rows, ends[:-1]), np.split(is_kept, ends[:-1]), strict=True)
        for (key, tier, _), block, kept in pieces:
            if kept.all():
                continue
            _delete(db, [key])
            if kept.any():
                _write(db, block[kept], tier)
    return removed


def rebuild(db: Any) -> int:
    """Make the whole index anew from the sightings, within the caller's transaction; how many rows."""
    db.execute("DELETE FROM place_columns; DELETE FROM place_blocks")
    writer = PlaceWriter(db)
    cursor = db.execute(
        "SELECT sighting_key, time_ns, latitude_deg, longitude_deg FROM sightings "
        "WHERE latitude_deg IS NOT NULL ORDER BY time_ns"
    )
    total = 0
    while rows := list(_next_rows(cursor, _SEGMENT)):
        writer.add(rows)
        total += len(rows)
    return total


def difference(db: Any) -> str | None:
    """What the index holds otherwise than the sightings, in words; `None` when they agree."""
    keys = [key for (key,) in db.execute("SELECT block_key FROM place_blocks ORDER BY block_key")]
    try:
        parts = [_read(db, keys[start : start + _READ_BLOCKS]) for start in range(0, len(keys), _READ_BLOCKS)]
    except ValueError as error:
        return f"the index of places does not read ({error})"
    rows = np.sort(np.concatenate([np.empty(0, ROW), *parts]), order="key")
    count = 0
    for count, row in enumerate(
        db.execute(
            "SELECT sighting_key, time_ns, latitude_deg, longitude_deg FROM sightings "
            "WHERE latitude_deg IS NOT NULL ORDER BY sighting_key"
        ),
        1,
    ):
        if count > len(rows) or tuple(rows[count - 1].item()) != row:
            return f"the index of places lacks or changes sighting {row[0]}"
    if count != len(rows):
        return f"the index of places holds {len(rows)} sightings, the store {count}"
    return None


def _next_rows(cursor: Any, count: int) -> Iterator[tuple[int, int, float, float]]:
    for _ in range(count):
        row = next(cursor, None)
        if row is None:
            return
        yield row


def _span(since_ns: int | None, until_ns: int | None) -> tuple[int, int]:
    return since_ns if since_ns is not None else 0, until_ns if until_ns is not None else _END_NS


def _overlap(bbox: BBox, span: tuple[int, int]) -> tuple[str, tuple[float, ...]]:
    """Which blocks may hold something, as a condition and its values."""
    west, south, east, north = bbox
    join = "AND" if west <= east else "OR"
    where = f"(east >= ? {join} west <= ?) AND north >= ? AND south <= ? AND last_ns >= ? AND first_ns <= ?"
    return where, (west, east, south, north, *span)


def _blocks(db: Any, bbox: BBox, span: tuple[int, int]) -> Iterator[tuple[int, int, int]]:
    """Key, size and newest time of blocks that may hold something, that with the newest row first.

    Mostly the first few are enough, so that they are asked for in portions that double.
    """
    where, values = _overlap(bbox, span)
    portion, done = _FIRST_BLOCKS, 0
    while True:
        found: list[tuple[int, int, int]] = db.execute(
            f"SELECT block_key, size, last_ns FROM place_blocks WHERE {where} "
            "ORDER BY last_ns DESC, block_key LIMIT ? OFFSET ?",
            (*values, portion, done),
        ).fetchall()
        yield from found
        if len(found) < portion:
            return
        done += portion
        portion *= 2


def _candidates(db: Any, bbox: BBox, span: tuple[int, int]) -> Iterator[tuple[Rows, int]]:
    """Rows of some blocks at a time, and the newest time that any block after them holds."""
    keys: list[int] = []
    rows = 0
    for key, size, last_ns in _blocks(db, bbox, span):
        if rows >= _READ_ROWS:
            yield _read(db, keys), last_ns
            keys, rows = [], 0
        keys.append(key)
        rows += size
    if keys:
        yield _read(db, keys), -1


def _batches(blocks: Sequence[tuple[int, int]]) -> Iterator[list[int]]:
    keys: list[int] = []
    rows = 0
    for key, size in blocks:
        keys.append(key)
        rows += size
        if rows >= _READ_ROWS:
            yield keys
            keys, rows = [], 0
    if keys:
        yield keys


def _read(db: Any, keys: Sequence[int]) -> Rows:
    """The rows of these blocks, in this order of blocks."""
    if not keys:
        return np.empty(0, ROW)
    wanted = np.array(keys, dtype=np.int64)
    found = db.execute(
        "SELECT data FROM carray(?) AS c CROSS JOIN place_columns p ON p.block_key = c.value",
        (apsw.carray(wanted),),
    ).fetchall()
    return np.frombuffer(b"".join(data for (data,) in found), dtype=ROW)


def _write(db: Any, rows: Rows, tier: int) -> int:
    times, latitudes, longitudes = rows["time_ns"], rows["latitude_deg"], rows["longitude_deg"]
    db.execute(
        "INSERT INTO place_blocks(tier, size, first_ns, last_ns, west, east, south, north) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            tier,
            len(rows),
            int(times.min()),
            int(times.max()),
            float(longitudes.min()),
            float(longitudes.max()),
            float(latitudes.min()),
            float(latitudes.max()),
        ),
    )
    key: int = db.last_insert_rowid()
    db.execute("INSERT INTO place_columns VALUES (?, ?)", (key, rows.tobytes()))
    return key


def _delete(db: Any, keys: Sequence[int]) -> None:
    db.executemany("DELETE FROM place_columns WHERE block_key = ?", [(key,) for key in keys])
    db.executemany("DELETE FROM place_blocks WHERE block_key = ?", [(key,) for key in keys])


def _is_inside(rows: Rows, bbox: BBox, span: tuple[int, int]) -> npt.NDArray[np.bool_]:
    west, south, east, north = bbox
    longitudes, latitudes, times = rows["longitude_deg"], rows["latitude_deg"], rows["time_ns"]
    if west <= east:
        inside = (longitudes >= west) & (longitudes <= east)
    else:
        inside = (longitudes >= west) | (longitudes <= east)
    inside &= (latitudes >= south) & (latitudes <= north)
    if span != (0, _END_NS):
        inside &= (times >= span[0]) & (times <= span[1])
    found: npt.NDArray[np.bool_] = inside
    return found


def _joined(parts: Sequence[Rows]) -> Rows:
    return parts[0] if len(parts) == 1 else np.concatenate([np.empty(0, ROW), *parts])


def _newest(rows: Rows, limit: int) -> Rows:
    if len(rows) > limit:
        times = rows["time_ns"]
        oldest = np.partition(times, len(times) - limit)[len(times) - limit]
        rows = rows[times >= oldest]
    return rows[np.lexsort((rows["key"], rows["time_ns"]))[::-1][:limit]]


def _tiles(rows: Rows) -> Iterator[Rows]:
    """Rows in tiles of at most 248 that lie close together: cut into columns from west to east, and each
    column from south to north (Leutenegger, Lopez, Edgington: STR, a simple and efficient algorithm for
    R-tree packing, 1997)."""
    longitudes, latitudes = rows["longitude_deg"].copy(), rows["latitude_deg"].copy()
    tiles = math.ceil(math.sqrt(len(rows) / _TILE))
    column = tiles * _TILE
    from_west = np.argsort(longitudes, kind="stable")
    for start in range(0, len(rows), column):
        places = from_west[start : start + column]
        ordered = rows[places[np.argsort(latitudes[places], kind="stable")]]
        for first in range(0, len(ordered), _TILE):
            yield ordered[first : first + _TILE]
