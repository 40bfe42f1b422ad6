"""What is kept how long: bodies that are too old are erased, their hashes stay, held things are kept.

Age counts from reception (the ground's clock). A record that is erased keeps number, times, leaf and
signature: its chain can still be proved, and sent again it is a duplicate. What was worked out from it goes
with it: the list of sightings, places, chips, contacts without a sighting left.

`expire` does all of it at once, for a station that is stopped. Under a running one the same is done in small
steps: `find_old` looks on a connection of its own, `erase` takes a few records at a time.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

import apsw
import msgspec
import numpy as np

from ground.store import spatial
from ground.store.streams import stored_leaf_of_key

HoldKind = Literal["platform", "track", "contact", "sighting"]

_CHUNK = 2_000


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is kept however old it becomes, why, and since when (UTC ns)."""

    kind: HoldKind
    name: str
    reason: str
    since_ns: int


class Expired(msgspec.Struct, kw_only=True):
    """What a pass erased, by topic, and how many records were old enough but held."""

    erased: dict[str, int] = {}
    quarantined: int = 0
    contacts: int = 0
    held: int = 0


class Erased(msgspec.Struct, frozen=True, kw_only=True):
    """What one step erased: records by topic, how many were held, sightings and contacts that are no more."""

    by_topic: dict[str, int] = {}
    held: int = 0
    sighting_ids: tuple[str, ...] = ()
    contact_ids: tuple[str, ...] = ()


_HELD = """
WITH named(sighting_id, track_id, platform_id) AS (
    SELECT sighting_id, track_id, platform_id FROM sightings WHERE record_key = :key
    UNION ALL SELECT h.sighting_id, h.track_id, st.platform_id FROM chips h
        JOIN records r USING(record_key) JOIN streams st USING(stream_key) WHERE h.record_key = :key
    UNION ALL SELECT NULL, NULL, st.platform_id FROM records r JOIN streams st USING(stream_key)
        WHERE r.record_key = :key)
SELECT 1 FROM named n JOIN holds h ON (h.kind = 'platform' AND h.name = n.platform_id)
    OR (h.kind = 'sighting' AND h.name = n.sighting_id) OR (h.kind = 'track' AND h.name = n.track_id)
    OR (h.kind = 'contact' AND h.name =
        (SELECT t.contact_id FROM contact_tracks t WHERE t.track_id = n.track_id)) LIMIT 1
"""


def expire(
    transaction: Callable[[], Any], before_ns: Mapping[str, int], now_ns: int, default_ns: int = 0
) -> Expired:
    """Erase records received before `before_ns[topic]` (`default_ns` for other topics; 0 keeps for ever).

    `transaction` opens one on the writing connection; each takes at most 2,000 records.
    """
    found = Expired()
    latest = max([default_ns, *before_ns.values()])
    key = 0
    while True:
        with transaction() as db:
            rows = db.execute(
                "SELECT record_key, topic, received_ns FROM records WHERE record_key > ? "
                "AND erased_ns IS NULL AND received_ns < ? ORDER BY record_key LIMIT ?",
                (key, latest, _CHUNK),
            ).fetchall()
            chosen = []
            for record_key, topic, received_ns in rows:
                if received_ns >= before_ns.get(topic, default_ns) or topic == "gap":
                    continue
                if db.execute(_HELD, {"key": record_key}).get is not None:
                    found.held += 1
                    continue
                chosen.append(record_key)
                found.erased[topic] = found.erased.get(topic, 0) + 1
            _erase(db, chosen, now_ns)
        if len(rows) < _CHUNK:
            break
        key = rows[-1][0]
    with transaction() as db:
        db.execute("DELETE FROM quarantine WHERE received_ns < ? AND topic != 'chain'", (default_ns,))
        found.quarantined = db.changes()
        found.contacts = _drop_contacts(db)
    return found


def hold(db: Any, kind: HoldKind, name: str, reason: str, now_ns: int) -> None:
    """Keep the records of this thing from now on; within the caller's transaction."""
    db.execute("INSERT OR REPLACE INTO holds VALUES (?, ?, ?, ?)", (kind, name, reason[:500], now_ns))


def release(db: Any, kind: HoldKind, name: str) -> bool:
    """Hold it no longer; False when it was not held. Within the caller's transaction."""
    db.execute("DELETE FROM holds WHERE kind = ? AND name = ?", (kind, name))
    return bool(db.changes())


def holds(db: Any) -> list[Hold]:
    """Everything that is held, by kind and name."""
    rows = db.execute("SELECT kind, name, reason, since_ns FROM holds ORDER BY kind, name").fetchall()
    return [Hold(kind=row[0], name=row[1], reason=row[2], since_ns=row[3]) for row in rows]


def find_old(
    db: Any, before_ns: Mapping[str, int], default_ns: int = 0, *, most: int = 200
) -> Iterator[tuple[int, ...]]:
    """Keys of records that are old enough, at most `most` at a time; `db` is a reading connection.

    It walks the table in short reads, so that it never stands in the way of a checkpoint for long. Held ones
    are among them: `erase` knows.
    """
    latest, key, found = max([default_ns, *before_ns.values()]), 0, list[int]()
    last: int = db.execute("SELECT coalesce(max(record_key), 0) FROM records").get
    while key < last:
        rows = db.execute(
            "SELECT record_key, topic, received_ns FROM records WHERE record_key > ? AND record_key <= ? "
            "AND erased_ns IS NULL AND received_ns < ? AND topic <> 'gap' ORDER BY record_key",
            (key, key + _CHUNK, latest),
        ).fetchall()
        key += _CHUNK
        found += [
            record_key
            for record_key, topic, received_ns in rows
            if received_ns < before_ns.get(topic, default_ns)
        ]
        while len(found) >= most:
            yield tuple(found[:most])
            del found[:most]
    if found:
        yield tuple(found)


def erase(db: Any, keys: Sequence[int], now_ns: int) -> Erased:
    """Erase the bodies of these records, unless they are held; within the caller's transaction."""
    by_topic: dict[str, int] = {}
    chosen: list[int] = []
    held = 0
    for key in keys:
        topic = db.execute("SELECT topic FROM records WHERE record_key = ? AND erased_ns IS NULL", (key,)).get
        if topic is None or topic == "gap":
            continue
        if db.execute(_HELD, {"key": key}).get is not None:
            held += 1
            continue
        chosen.append(key)
        by_topic[topic] = by_topic.get(topic, 0) + 1
    wanted = apsw.carray(np.array(chosen or [0], dtype=np.int64))
    seen = db.execute(
        "SELECT sighting_id, track_id FROM sightings WHERE record_key IN (SELECT value FROM carray(?))",
        (wanted,),
    ).fetchall()
    _erase(db, chosen, now_ns)
    contact_ids = _drop_contacts_of(db, sorted({track_id for _, track_id in seen}))
    return Erased(
        by_topic=by_topic,
        held=held,
        sighting_ids=tuple(sighting_id for sighting_id, _ in seen),
        contact_ids=tuple(contact_ids),
    )


def clear_quarantine(db: Any, before_ns: int, *, most: int = 200) -> int:
    """Take the oldest out of quarantine, at most `most`, within the caller's transaction; how many."""
    db.execute(
        "DELETE FROM quarantine WHERE quarantine_key IN (SELECT quarantine_key FROM quarantine "
        "WHERE received_ns < ? AND topic <> 'chain' ORDER BY quarantine_key LIMIT ?)",
        (before_ns, most),
    )
    removed: int = db.changes()
    return removed


def _erase(db: Any, keys: list[int], now_ns: int) -> None:
    if not keys:
        return
    db.executemany(
        "UPDATE records SET leaf = ?, body = x'', erased_ns = ? WHERE record_key = ?",
        [(stored_leaf_of_key(db, key), now_ns, key) for key in keys],
    )
    wanted = apsw.carray(np.array(keys, dtype=np.int64))
    places = db.execute(
        "SELECT sighting_key, time_ns FROM sightings WHERE record_key IN (SELECT value FROM carray(?))",
        (wanted,),
    ).fetchall()
    if places:
        gone = np.array([key for key, _ in places], dtype=np.int64)
        spatial.remove(db, gone, until_ns=max(time_ns for _, time_ns in places))
        db.execute(
            "DELETE FROM sighting_rows WHERE sighting_key IN (SELECT value FROM carray(?))",
            (apsw.carray(gone),),
        )
    db.execute("DELETE FROM chips WHERE record_key IN (SELECT value FROM carray(?))", (wanted,))


def _drop_contacts(db: Any) -> int:
    """Contacts of whose tracks no sighting is left."""
    db.execute(
        "DELETE FROM contact_tracks WHERE NOT EXISTS "
        "(SELECT 1 FROM sightings s WHERE s.track_id = contact_tracks.track_id)"
    )
    db.execute(
        "DELETE FROM contacts WHERE NOT EXISTS "
        "(SELECT 1 FROM contact_tracks t WHERE t.contact_id = contacts.contact_id)"
    )
    dropped: int = db.changes()
    return dropped


def _drop_contacts_of(db: Any, track_ids: Sequence[str]) -> list[str]:
    """Of the contacts of these tracks, those of whose tracks no sighting is left."""
    touched = set()
    for track_id in track_ids:
        if db.execute("SELECT 1 FROM sightings WHERE track_id = ? LIMIT 1", (track_id,)).get is not None:
            continue
        contact_id = db.execute("SELECT contact_id FROM contact_tracks WHERE track_id = ?", (track_id,)).get
        if contact_id is not None:
            db.execute("DELETE FROM contact_tracks WHERE track_id = ?", (track_id,))
            touched.add(contact_id)
    gone = []
    for contact_id in sorted(touched):
        if db.execute("SELECT 1 FROM contact_tracks WHERE contact_id = ? LIMIT 1", (contact_id,)).get is None:
            db.execute("DELETE FROM contacts WHERE contact_id = ?", (contact_id,))
            gone.append(contact_id)
    return gone
