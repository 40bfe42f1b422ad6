"""Brings contacts up to date with what was committed, beside the one who commits and never in his way."""

import threading
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import msgspec

from ground.fusion.contact import Contact, ContactNode
from ground.fusion.labels import STATIC_LABELS
from ground.store.reading import (
    BEST_CHIP_OF,
    LEAF_COLUMNS,
    StoredContact,
    decoded_body,
    is_leaf_true,
)
from ground.store.seam import Settled
from skywarden.messages import Sighting
from skywarden.wire import encode

_CONTACTS_A_COMMIT = 100
_READ_AT_ONCE = 1_000
_YIELD_S = 0.001
_OF_TRACKS = (
    f"SELECT {LEAF_COLUMNS} FROM sightings s JOIN records r USING(record_key) "
    "JOIN streams st USING(stream_key) WHERE s.track_id"
)

Connection = Callable[[], AbstractContextManager[Any]]
"""Gives a connection for a block: one to read, or a transaction on the one that writes."""


class _Waiting(NamedTuple):
    """Sightings of one commit that contacts do not know of yet, encoded and compressed."""

    held: int
    packed: bytes

    @classmethod
    def of(cls, sightings: Sequence[bytes]) -> "_Waiting":
        return cls(len(sightings), zlib.compress(msgspec.msgpack.encode(sightings), zlib.Z_BEST_SPEED))

    def sightings(self) -> Iterator[Sighting]:
        """As they came."""
        for body in _bodies.decode(zlib.decompress(self.packed)):
            sighting = decoded_body("sighting", body)
            assert isinstance(sighting, Sighting)
            yield sighting


_bodies = msgspec.msgpack.Decoder(list[bytes])


class ContactSettler:
    """Feeds `contacts` the sightings that `owe` names and keeps what comes of them; safe from any thread.

    They wait as they came over the link, and those of one commit resemble each other: compressed they take a
    tenth of what they take decoded. Beyond `max_unfed` of them only where they begin is remembered, and they
    are read back. `load` comes first; `end_key` tells the key that the next record will have.
    """

    def __init__(
        self,
        contacts: ContactNode,
        *,
        horizon_s: float,
        max_unfed: int,
        reading: Connection,
        writing: Connection,
        end_key: Callable[[], int],
        give_way: Callable[[], None],
    ) -> None:
        self._contacts = contacts
        self._horizon_ns = int(horizon_s * 1e9)
        self._max_unfed = max_unfed
        self._reading = reading
        self._writing = writing
        self._end_key = end_key
        self._give_way = give_way
        self._lock = threading.Lock()
        self._settling = threading.RLock()
        self._newest_ns = 0
        self._unfed: deque[_Waiting] = deque()
        self._unfed_count = 0
        self._missed_from: int | None = None
        self._owed: dict[str, Contact] = {}
        self._owed_removals: set[str] = set()

    def owe(self, sightings: Sequence[bytes], first_key: int) -> None:
        """These were committed (encoded, by their keys), while the caller kept others from committing."""
        if not sightings:
            return
        with self._lock:
            if self._missed_from is None and self._unfed_count + len(sightings) > self._max_unfed:
                self._missed_from = first_key
            if self._missed_from is not None:
                return
            self._unfed_count += len(sightings)
            self._unfed.append(_Waiting.of(sightings))

    def settle(self, revision: int) -> Settled:
        """See `Store`."""
        with self._settling:
            self._feed_contacts()
            self._contacts.rest(time.monotonic(), self._recalled)  # now it is known what goes on
            changes = self._contacts.settle()
            for contact_id in changes.removed:
                self._owed.pop(contact_id, None)
            self._owed.update({contact.contact_id: contact for contact in changes.changed})
            self._owed_removals.update(changes.removed)
            if not self._owed and not self._owed_removals:
                return Settled(contacts=(), removed=())
            stored: list[StoredContact] = []
            owed = list(self._owed.values())
            for start in range(0, len(owed), _CONTACTS_A_COMMIT):
                self._give_way()
                stored += self._put_contacts(owed[start : start + _CONTACTS_A_COMMIT], revision)
                time.sleep(_YIELD_S)  # who takes records in waits for the lock
            self._owed_removals -= self._owed.keys()
            with self._writing() as db:
                removed = {one for one in self._owed_removals if self._drop_if_empty(db, one)}
            self._owed.clear()
            self._owed_removals.clear()
        return Settled(contacts=tuple(stored), removed=tuple(sorted(removed)))

    def load(self, db: Any) -> None:
        """Feed what contacts are made of, when a station begins: whole contacts, so that they keep their
        names, and things that never move however long ago they were seen."""
        static = ", ".join(f"'{label}'" for label in sorted(STATIC_LABELS))
        self._newest_ns = db.execute("SELECT coalesce(max(time_ns), 0) FROM sighting_rows").get
        for sighting in _sightings_in(
            db.execute(
                f"{_OF_TRACKS} IN ("
                "SELECT track_id FROM sightings WHERE time_ns >= ?1 "
                "UNION SELECT track_id FROM sightings "
                "WHERE track_id NOT IN (SELECT track_id FROM contact_tracks) "
                "UNION SELECT t.track_id FROM contact_tracks t WHERE t.contact_id IN (SELECT a.contact_id "
                "FROM contact_tracks a JOIN sightings n USING(track_id) WHERE n.time_ns >= ?1) "
                "UNION SELECT t.track_id FROM contact_tracks t JOIN contacts c USING(contact_id) "
                f"WHERE c.label IN ({static}))",
                (self._newest_ns - self._horizon_ns,),
            )
        ):
            self._contacts.add(sighting)

    def _put_contacts(self, contacts: Sequence[Contact], revision: int) -> list[StoredContact]:
        """Write some contacts in a commit of their own."""
        with self._writing() as db:
            for contact in contacts:
                self._owed_removals |= self._put_contact(db, contact, revision)
            return [
                StoredContact(
                    contact=contact,
                    revision=revision,
                    best_chip_id=db.execute(BEST_CHIP_OF, (contact.contact_id,)).get,
                )
                for contact in contacts
            ]

    def _recalled(self, track_id: str) -> list[Sighting]:
        """All sightings of a track."""
        with self._reading() as db:
            return list(_sightings_in(db.execute(f"{_OF_TRACKS} = ?", (track_id,))))

    def _feed_contacts(self) -> None:
        """Give the contacts everything that was committed since the last time."""
        with self._lock:
            unfed, self._unfed, self._unfed_count = self._unfed, deque(), 0
            missed, self._missed_from = self._missed_from, None
            end = self._end_key()
        try:
            with self._reading() as db:
                while unfed:
                    for sighting in unfed[0].sightings():
                        self._feed(db, sighting)
                    unfed.popleft()  # what is fed makes room for what comes meanwhile
                while missed is not None and missed < end:
                    self._feed_stored(db, missed, min(end, missed + _READ_AT_ONCE))
                    missed += _READ_AT_ONCE
        except BaseException:  # the next settle goes on; what is fed twice changes nothing
            with self._lock:
                self._unfed = unfed + self._unfed
                self._unfed_count = sum(one.held for one in self._unfed)
                known = [one for one in (missed, self._missed_from) if one is not None]
                self._missed_from = min(known, default=None)
            raise

    def _feed_stored(self, db: Any, first: int, end: int) -> None:
        """Give the contacts the sightings with these keys."""
        rows = db.execute(
            f"SELECT {LEAF_COLUMNS} FROM sighting_rows s JOIN records r ON r.record_key = s.sighting_key "
            "JOIN streams st USING(stream_key) WHERE s.sighting_key >= ? AND s.sighting_key < ?",
            (first, end),
        ).fetchall()
        for sighting in _sightings_in(rows):
            self._feed(db, sighting)

    def _feed(self, db: Any, sighting: Sighting) -> None:
        """Hand a sighting to the contacts, with all of its contact when that was not in memory."""
        self._give_way()
        if not self._contacts.knows(sighting.track_id):
            rows = db.execute(
                f"{_OF_TRACKS} IN (SELECT ?1 UNION "
                "SELECT t.track_id FROM contact_tracks t JOIN contact_tracks a USING(contact_id) "
                "WHERE a.track_id = ?1)",
                (sighting.track_id,),
            )
            for one in _sightings_in(rows):
                self._contacts.add(one)
        self._contacts.add(sighting)
        if sighting.time_ns > self._newest_ns + self._horizon_ns // 24:
            self._newest_ns = sighting.time_ns
            self._contacts.forget_before(self._newest_ns - self._horizon_ns)

    def _put_contact(self, db: Any, contact: Contact, revision: int) -> set[str]:
        """Write one contact; the ids of those that lost tracks to it."""
        place = contact.position
        db.execute(
            "INSERT OR REPLACE INTO contacts VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                contact.contact_id,
                contact.label,
                contact.first_ns,
                contact.last_ns,
                place.latitude_deg if place is not None else None,
                place.longitude_deg if place is not None else None,
                revision,
                encode(contact),
            ),
        )
        losers: set[str] = set()
        for track_id in contact.track_ids:
            before = db.execute("SELECT contact_id FROM contact_tracks WHERE track_id = ?", (track_id,)).get
            if before == contact.contact_id:
                continue
            if before is not None:
                losers.add(before)
            platform_id = db.execute(
                "SELECT platform_id FROM tracks WHERE track_id = ? LIMIT 1", (track_id,)
            ).get
            db.execute(
                "INSERT OR REPLACE INTO contact_tracks VALUES (?, ?, ?)",
                (track_id, contact.contact_id, platform_id or ""),
            )
        return losers

    def _drop_if_empty(self, db: Any, contact_id: str) -> bool:
        if db.execute("SELECT 1 FROM contact_tracks WHERE contact_id = ? LIMIT 1", (contact_id,)).get:
            return False
        db.execute("DELETE FROM contacts WHERE contact_id = ?", (contact_id,))
        return True


def _sightings_in(rows: Iterable[Any]) -> Iterator[Sighting]:
    """What rows of `LEAF_COLUMNS` hold; damaged ones are left out: `skywarden ground verify` tells."""
    for row in rows:
        sighting = decoded_body("sighting", row[7]) if is_leaf_true(row) else None
        if isinstance(sighting, Sighting):
            yield sighting
