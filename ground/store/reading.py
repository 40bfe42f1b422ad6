"""Questions to the store, and their answers; `SqliteReader` answers them from the file, from any thread."""

import contextlib
import queue
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import apsw
import msgspec
import numpy as np
import structlog

from ground.fusion.contact import Contact
from ground.store import spatial
from ground.store.schema import as_store_errors, open_for_reading
from skywarden import evidence
from skywarden.errors import StoreError, WireError
from skywarden.link.thin import THIN_BOOT
from skywarden.messages import Chip, Health, Message, Plot, Sighting
from skywarden.wire import decode

BBox = spatial.BBox

_MAX_READERS = 8
_MAX_PICKED = 200_000
_THIN = THIN_BOOT.encode()


_names_decoder = msgspec.json.Decoder(list[str])
_numbers_decoder = msgspec.json.Decoder(list[float])
_SightingRow = tuple[Any, ...]
_log = structlog.get_logger("ground.store.sqlite")
_contact_decoder = msgspec.msgpack.Decoder(Contact)


_BEST_CHIP = (
    "SELECT h.chip_id FROM contact_tracks t JOIN chips h USING(track_id) "
    "WHERE t.contact_id = {} ORDER BY h.score DESC, h.chip_id LIMIT 1"
)
CONTACT_COLUMNS = f"c.body, c.revision, ({_BEST_CHIP.format('c.contact_id')})"
BEST_CHIP_OF = _BEST_CHIP.format("?")
"""The chip that shows this contact best, by its id."""


_PICKED = "carray(?) AS c CROSS JOIN sightings s ON s.sighting_key = c.value"
LEAF_COLUMNS = (
    "CAST(st.platform_id AS BLOB), CAST(st.boot_id AS BLOB), r.seq, CAST(r.topic AS BLOB), r.time_ns, "
    "r.mono_ns, r.clock, CAST(r.body AS BLOB), r.leaf"
)
"""Of records r and streams st: what `is_leaf_true` looks at."""


_JOINED = "JOIN records r USING(record_key) JOIN streams st USING(stream_key)"
_SIGHTING_COLUMNS = (
    f"{LEAF_COLUMNS}, iif(s.received_ns = r.received_ns, s.received_ns, NULL), "
    "(SELECT t.contact_id FROM contact_tracks t WHERE t.track_id = s.track_id), "
    "(SELECT h.chip_id FROM chips h WHERE h.sighting_id = s.sighting_id ORDER BY h.chip_id LIMIT 1)"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Filter:
    """What to list: UTC ns, `bbox` west, south, east, north in degrees (west > east crosses 180)."""

    bbox: BBox | None = None
    label: str | None = None
    platform_id: str | None = None
    contact_id: str | None = None
    since_ns: int | None = None
    until_ns: int | None = None
    limit: int = 100
    offset: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredSighting:
    """A sighting with what the ground knows beyond it; a preview came over a thin link, coarse, unsigned."""

    sighting: Sighting
    received_ns: int
    contact_id: str | None
    chip_id: str | None
    is_preview: bool = False


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Places:
    """Sightings as a map draws them, as columns of one length: UTC ns, degrees."""

    sighting_ids: list[str]
    track_ids: list[str]
    labels: list[str]
    scores: list[float]
    time_ns: list[int]
    latitude_deg: list[float]
    longitude_deg: list[float]


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredContact:
    """A contact with its best chip and the revision at which it last changed."""

    contact: Contact
    best_chip_id: str | None
    revision: int


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredPlatform:
    """A platform that was heard at some time."""

    platform_id: str
    last_heard_ns: int
    sortie_id: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class StoreCounts:
    """How much there is."""

    platforms: int
    contacts: int
    sightings: int
    chips: int
    records: int
    quarantined: int


@dataclass(frozen=True, kw_only=True, slots=True)
class SeenTrack:
    """A track of which there are sightings: its times (UTC ns), how many, and the name of one of them."""

    track_id: str
    platform_id: str
    first_ns: int
    last_ns: int
    sighting_count: int
    sighting_id: str


class StoreReader(Protocol):
    """Questions; safe from any thread."""

    def contacts(self, wanted: Filter) -> tuple[list[StoredContact], int]:
        """Contacts, newest first, and how many match without limit and offset."""
        ...

    def contact(self, contact_id: str) -> StoredContact | None:
        """One contact."""
        ...

    def sightings(self, wanted: Filter) -> tuple[list[StoredSighting], int]:
        """Sightings, newest first, and how many match without limit and offset."""
        ...

    def sightings_of_ids(self, sighting_ids: Sequence[str]) -> list[StoredSighting]:
        """These sightings, as far as there are such."""
        ...

    def tracks_seen(self) -> list[SeenTrack]:
        """All tracks of which there are sightings, in the order in which they began."""
        ...

    def places(self, bbox: BBox, limit: int = 2_000) -> Places:
        """The newest sightings in a box, newest first, exactly."""
        ...

    def plots_after(self, record_key: int) -> tuple[list[tuple[int, Plot]], int]:
        """Plots stored after the record of this key, each with its own key, and the newest key there is."""
        ...

    def plots_of_keys(self, record_keys: Sequence[int]) -> list[Plot]:
        """These plots, as far as they have not been erased."""
        ...

    def chip(self, chip_id: str) -> Chip | None:
        """One chip with its image."""
        ...

    def contact_of_track(self, track_id: str) -> str | None:
        """The contact that this track belongs to."""
        ...

    def platforms(self) -> list[StoredPlatform]:
        """Platforms ever heard, by id."""
        ...

    def health(self) -> list[Health]:
        """The latest word on every condition."""
        ...

    def counts(self) -> StoreCounts:
        """How much there is."""
        ...


class SqliteReader:
    """`StoreReader` over the file of a `SqliteStore`, also of one that another process writes.

    Records are held against their leaf when read: what is damaged is never handed out, `damaged_reads` counts
    how often that was so. Raises `StoreError` on anything that SQLite refuses.
    """

    def __init__(self, path: Path, *, vfs: str | None = None) -> None:
        self._path = path
        self._vfs = vfs
        self._readers: queue.LifoQueue[Any] = queue.LifoQueue(_MAX_READERS)
        self._is_closed = False
        self.damaged_reads = 0

    def contacts(self, wanted: Filter) -> tuple[list[StoredContact], int]:
        """See `StoreReader`."""
        where, values = _contact_conditions(wanted)
        with self._reader() as db:
            matched = db.execute(f"SELECT count(*) FROM contacts c {where}", values).get
            rows = db.execute(
                f"SELECT {CONTACT_COLUMNS} FROM contacts c {where} "
                "ORDER BY c.last_ns DESC, c.contact_id LIMIT ? OFFSET ?",
                (*values, wanted.limit, wanted.offset),
            ).fetchall()
        return [contact_of_row(row) for row in rows], matched

    def contact(self, contact_id: str) -> StoredContact | None:
        """See `StoreReader`."""
        with self._reader() as db:
            row = db.execute(
                f"SELECT {CONTACT_COLUMNS} FROM contacts c WHERE c.contact_id = ?", (contact_id,)
            ).get
        return contact_of_row(row) if row is not None else None

    def sightings(self, wanted: Filter) -> tuple[list[StoredSighting], int]:
        """See `StoreReader`."""
        with self._reader() as db:
            if wanted.bbox is not None:
                found = _rows_in_box(db, wanted, wanted.bbox)
                if found is not None:
                    return self._sightings_of(found[0]), found[1]
            where, values = _sighting_conditions(wanted)
            with _snapshot(db):
                listed = f"sightings s {where}" if where else "sighting_rows s"
                matched = db.execute(f"SELECT count(*) FROM {listed}", values).get
                picked = db.execute(  # without the bodies, so that little is sorted
                    f"SELECT s.sighting_key FROM {listed} ORDER BY s.time_ns DESC, s.sighting_key DESC "
                    "LIMIT ? OFFSET ?",
                    (*values, wanted.limit, wanted.offset),
                ).fetchall()
                rows = _rows_of_keys(db, np.array([key for (key,) in picked], dtype=np.int64))
        return self._sightings_of(rows), matched

    def sightings_of_ids(self, sighting_ids: Sequence[str]) -> list[StoredSighting]:
        """See `StoreReader`."""
        query = f"SELECT {_SIGHTING_COLUMNS} FROM sightings s {_JOINED} WHERE s.sighting_id = ?"
        with self._reader() as db:
            rows = [db.execute(query, (sighting_id,)).get for sighting_id in sighting_ids]
        return self._sightings_of([row for row in rows if row is not None])

    def tracks_seen(self) -> list[SeenTrack]:
        """See `StoreReader`; one pass over the index of tracks."""
        with self._reader() as db:
            rows = db.execute(
                "WITH seen AS (SELECT track_key, min(time_ns) AS first_ns, max(time_ns) AS last_ns, "
                "count(*) AS looks, max(sighting_key) AS newest FROM sighting_rows GROUP BY track_key) "
                "SELECT t.track_id, t.platform_id, n.first_ns, n.last_ns, n.looks, s.sighting_id FROM seen n "
                "JOIN tracks t USING(track_key) JOIN sighting_rows s ON s.sighting_key = n.newest "
                "ORDER BY n.first_ns, t.track_id"
            ).fetchall()
        return [
            SeenTrack(
                track_id=row[0],
                platform_id=row[1],
                first_ns=row[2],
                last_ns=row[3],
                sighting_count=row[4],
                sighting_id=row[5],
            )
            for row in rows
        ]

    def places(self, bbox: BBox, limit: int = 2_000) -> Places:
        """See `StoreReader`."""
        with self._reader() as db, _snapshot(db):
            found = spatial.newest_in(db, bbox, limit)
            # arrays as text: as many rows as Python objects would cost three times as much
            texts: tuple[str, str, str, str] = db.execute(
                "SELECT json_group_array(s.sighting_id), json_group_array(s.track_id), "
                "json_group_array(s.label), json_group_array(s.score) "
                f"FROM {_PICKED if len(found) else 'sightings s WHERE 0'}",
                (apsw.carray(found["key"].copy()),) if len(found) else (),
            ).get
        return Places(
            sighting_ids=_names_decoder.decode(texts[0]),
            track_ids=_names_decoder.decode(texts[1]),
            labels=_names_decoder.decode(texts[2]),
            scores=_numbers_decoder.decode(texts[3]),
            time_ns=found["time_ns"].tolist(),
            latitude_deg=found["latitude_deg"].tolist(),
            longitude_deg=found["longitude_deg"].tolist(),
        )

    def _sightings_of(self, rows: Sequence[_SightingRow]) -> list[StoredSighting]:
        """Rows as sightings; one whose record is not what was stored is left out and counted."""
        found = []
        for row in rows:
            sighting = decoded_body("sighting", row[7]) if self._is_whole(row, row[9]) else None
            if isinstance(sighting, Sighting):
                found.append(
                    StoredSighting(
                        sighting=sighting,
                        received_ns=row[9],
                        contact_id=row[10],
                        chip_id=row[11],
                        is_preview=row[1] == _THIN,
                    )
                )
        return found

    def _is_whole(self, row: Sequence[Any], received_ns: int | None = 0) -> bool:
        if received_ns is not None and is_leaf_true(row):
            return True
        self.damaged_reads += 1
        _log.error("a record is not what was stored, not shown", path=str(self._path), number=row[2])
        return False

    def plots_after(self, record_key: int) -> tuple[list[tuple[int, Plot]], int]:
        """See `StoreReader`; looks at plots only, however many other records there are."""
        with self._reader() as db, _snapshot(db):
            newest = db.execute("SELECT coalesce(max(record_key), 0) FROM records").get
            rows = db.execute(
                f"SELECT {LEAF_COLUMNS}, r.record_key FROM records r INDEXED BY records_of_plots "
                "CROSS JOIN streams st USING(stream_key) "
                "WHERE r.record_key > ? AND r.topic = 'plot' AND r.erased_ns IS NULL ORDER BY r.record_key",
                (record_key,),
            ).fetchall()
        return [(row[9], plot) for row in rows if (plot := self._plot_of(row)) is not None], newest

    def plots_of_keys(self, record_keys: Sequence[int]) -> list[Plot]:
        """See `StoreReader`."""
        query = (
            f"SELECT {LEAF_COLUMNS} FROM records r JOIN streams st USING(stream_key) "
            "WHERE r.record_key = ? AND r.topic = 'plot' AND r.erased_ns IS NULL"
        )
        with self._reader() as db:
            rows = [db.execute(query, (key,)).get for key in record_keys]
        found = [self._plot_of(row) for row in rows if row is not None]
        return [plot for plot in found if plot is not None]

    def _plot_of(self, row: Sequence[Any]) -> Plot | None:
        """A plot, `None` when its record is not what was stored, or was never a plot that can be read."""
        if not self._is_whole(row):
            return None
        try:
            plot = decode("plot", row[7])
        except WireError:
            return None  # in quarantine, which says why
        return plot if isinstance(plot, Plot) else None

    def chip(self, chip_id: str) -> Chip | None:
        """See `StoreReader`."""
        with self._reader() as db:
            row = db.execute(f"SELECT {LEAF_COLUMNS} FROM chips {_JOINED} WHERE chip_id = ?", (chip_id,)).get
        if row is None:
            return None
        if not self._is_whole(row):
            raise StoreError(f"chip {chip_id} is not what was stored and is not shown; restore a backup")
        chip = decoded_body("chip", row[7])
        assert isinstance(chip, Chip)
        return chip

    def contact_of_track(self, track_id: str) -> str | None:
        """See `StoreReader`."""
        with self._reader() as db:
            contact_id: str | None = db.execute(
                "SELECT contact_id FROM contact_tracks WHERE track_id = ?", (track_id,)
            ).get
        return contact_id

    def platforms(self) -> list[StoredPlatform]:
        """See `StoreReader`."""
        with self._reader() as db:
            rows = db.execute(
                "SELECT platform_id, last_heard_ns, sortie_id FROM platforms ORDER BY platform_id"
            ).fetchall()
        return [StoredPlatform(platform_id=row[0], last_heard_ns=row[1], sortie_id=row[2]) for row in rows]

    def health(self) -> list[Health]:
        """See `StoreReader`."""
        with self._reader() as db:
            bodies = db.execute(
                "SELECT body FROM health ORDER BY platform_id, component, condition"
            ).fetchall()
        found = [decoded_body("health", body) for (body,) in bodies]
        return [health for health in found if isinstance(health, Health)]

    def counts(self) -> StoreCounts:
        """See `StoreReader`."""
        tables = ("platforms", "contacts", "sighting_rows", "chips", "records", "quarantine")
        with self._reader() as db:
            numbers = [db.execute(f"SELECT count(*) FROM {table}").get for table in tables]
        return StoreCounts(
            platforms=numbers[0],
            contacts=numbers[1],
            sightings=numbers[2],
            chips=numbers[3],
            records=numbers[4],
            quarantined=numbers[5],
        )

    def close(self) -> None:
        """Close the reading connections."""
        self._is_closed = True
        with contextlib.suppress(queue.Empty):
            while True:
                self._readers.get_nowait().close()

    @contextlib.contextmanager
    def _reader(self) -> Iterator[Any]:
        if self._is_closed:
            raise StoreError(f"{self._path}: the store is closed")
        try:
            db = self._readers.get_nowait()
        except queue.Empty:
            db = open_for_reading(self._path, self._vfs)
        try:
            with as_store_errors(self._path):
                yield db
        finally:
            try:
                if self._is_closed:
                    raise queue.Full
                self._readers.put_nowait(db)
            except queue.Full:
                db.close()


def contact_of_row(row: tuple[bytes, int, str | None]) -> StoredContact:
    try:
        contact = _contact_decoder.decode(memoryview(row[0])[1:])
    except (msgspec.DecodeError, ValueError) as error:
        raise StoreError(f"a stored contact does not decode ({error}); the store is damaged") from error
    return StoredContact(contact=contact, revision=row[1], best_chip_id=row[2])


def is_leaf_true(row: Sequence[Any]) -> bool:
    """Whether a record (its `LEAF_COLUMNS`) is what was stored; without a leaf it is believed."""
    platform, boot, seq, topic, time_ns, mono_ns, clock, body, leaf = row[:9]
    if leaf is None:
        return True
    try:
        worked_out = evidence.leaf_from(
            platform.decode(),
            boot.decode(),
            seq,
            topic.decode(),
            time_ns,
            mono_ns,
            clock,
            evidence.body_hash(body),
        )
    except (struct.error, TypeError, ValueError, AttributeError):
        return False
    return bool(worked_out == leaf)


def decoded_body(topic: str, body: bytes) -> Message:
    try:
        return decode(topic, body)
    except WireError as error:
        raise StoreError(f"a stored {topic} does not decode ({error}); the store is damaged") from error


def _contact_conditions(wanted: Filter) -> tuple[str, list[Any]]:
    terms: list[str] = []
    values: list[Any] = []
    _add_box(wanted.bbox, "c", terms, values)
    for term, value in (
        ("c.label = ?", wanted.label),
        ("c.last_ns >= ?", wanted.since_ns),
        ("c.first_ns <= ?", wanted.until_ns),
        ("c.contact_id = ?", wanted.contact_id),
        (
            "c.contact_id IN (SELECT contact_id FROM contact_tracks WHERE platform_id = ?)",
            wanted.platform_id,
        ),
    ):
        if value is not None:
            terms.append(term)
            values.append(value)
    return ("WHERE " + " AND ".join(terms) if terms else ""), values


def _rows_in_box(db: Any, wanted: Filter, bbox: BBox) -> tuple[list[_SightingRow], int] | None:
    """The answer by way of the index of places, or `None` when going through all sightings is cheaper."""
    times = {"since_ns": wanted.since_ns, "until_ns": wanted.until_ns}
    with _snapshot(db):
        matched = spatial.count_in(db, bbox, **times)
        terms, values = _other_terms(wanted)
        if terms and matched > _MAX_PICKED:
            return None
        reach = wanted.offset + wanted.limit if not terms else matched
        keys = spatial.newest_in(db, bbox, reach, **times)["key"].copy()
        if not len(keys):
            return [], 0
        source = f"FROM {_PICKED}"
        if terms:
            where = " WHERE " + " AND ".join(terms)
            matched = db.execute(f"SELECT count(*) {source}{where}", (apsw.carray(keys), *values)).get
            picked = db.execute(
                f"SELECT s.sighting_key {source}{where} ORDER BY s.time_ns DESC, s.sighting_key DESC "
                "LIMIT ? OFFSET ?",
                (apsw.carray(keys), *values, wanted.limit, wanted.offset),
            ).fetchall()
            keys = np.array([key for (key,) in picked], dtype=np.int64)
        else:
            keys = keys[wanted.offset :]
        return _rows_of_keys(db, keys), matched


def _rows_of_keys(db: Any, keys: "np.ndarray[Any, np.dtype[np.int64]]") -> list[_SightingRow]:
    """Sightings with these keys, in this order."""
    if not len(keys):
        return []
    query = f"SELECT {_SIGHTING_COLUMNS} FROM {_PICKED} {_JOINED}"
    found: list[_SightingRow] = db.execute(query, (apsw.carray(keys),)).fetchall()
    return found


@contextlib.contextmanager
def _snapshot(db: Any) -> Iterator[None]:
    """All questions inside see the same commits."""
    db.execute("BEGIN")
    try:
        yield
    finally:
        db.execute("COMMIT")


def _sighting_conditions(wanted: Filter) -> tuple[str, list[Any]]:
    terms: list[str] = []
    values: list[Any] = []
    _add_box(wanted.bbox, "s", terms, values)
    for term, value in (("s.time_ns >= ?", wanted.since_ns), ("s.time_ns <= ?", wanted.until_ns)):
        if value is not None:
            terms.append(term)
            values.append(value)
    others, more = _other_terms(wanted)
    terms += others
    return ("WHERE " + " AND ".join(terms) if terms else ""), values + more


def _other_terms(wanted: Filter) -> tuple[list[str], list[Any]]:
    """Conditions that are neither place nor time."""
    found = [
        (term, value)
        for term, value in (
            ("s.label = ?", wanted.label),
            ("s.platform_id = ?", wanted.platform_id),
            (
                "s.track_id IN (SELECT track_id FROM contact_tracks WHERE contact_id = ?)",
                wanted.contact_id,
            ),
        )
        if value is not None
    ]
    return [term for term, _ in found], [value for _, value in found]


def _add_box(bbox: BBox | None, table: str, terms: list[str], values: list[Any]) -> None:
    if bbox is None:
        return
    west, south, east, north = bbox
    join = "AND" if west <= east else "OR"
    terms.append(
        f"({table}.longitude_deg >= ? {join} {table}.longitude_deg <= ?) "
        f"AND {table}.latitude_deg BETWEEN ? AND ?"
    )
    values += [west, east, south, north]
