"""What became of contacts, and what people said about them: a file of its own, only ever added to.

Contacts are worked out anew from the sightings; that two of them became one at some time, and who said that
two tracks are one thing, is not in the sightings and is kept here.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ground.fusion.book import ContactBook
from ground.fusion.contact import ContactChanges, ContactEvent, Recall
from ground.fusion.rulings import Ruling, Rulings
from ground.store.database import open_database
from ground.store.schema import as_store_errors
from skywarden.clock import Clock
from skywarden.errors import InputError
from skywarden.messages import Sighting

APPLICATION_ID = 0x53_4B_59_46  # "SKYF"
MAX_RULINGS = 10_000
_MAX_STEPS = 64

_SCHEMA = """
CREATE TABLE events(
    event_key INTEGER PRIMARY KEY, kind TEXT NOT NULL, time_ns INTEGER NOT NULL, noted_ns INTEGER NOT NULL,
    tracks TEXT NOT NULL);
CREATE TABLE event_contacts(
    contact_id TEXT NOT NULL, event_key INTEGER NOT NULL REFERENCES events, is_after INTEGER NOT NULL,
    PRIMARY KEY(contact_id, event_key, is_after)) WITHOUT ROWID;
CREATE INDEX event_contacts_by_event ON event_contacts(event_key);
CREATE TABLE rulings(
    ruling_key INTEGER PRIMARY KEY, word TEXT NOT NULL, one TEXT NOT NULL, two TEXT NOT NULL,
    account TEXT NOT NULL, time_ns INTEGER NOT NULL, reason TEXT NOT NULL);
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class NotedEvent:
    """An event with when the station noticed it (UTC ns)."""

    event: ContactEvent
    noted_ns: int


class ContactHistory:
    """The file; safe from any thread. Raises `StoreError` when it cannot be read or written."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._db = open_database(path, APPLICATION_ID, (_SCHEMA,))

    def note(self, events: Sequence[ContactEvent], noted_ns: int) -> None:
        """Keep events."""
        if not events:
            return
        with self._lock, as_store_errors(self._path), self._db:
            for one in events:
                self._db.execute(
                    "INSERT INTO events(kind, time_ns, noted_ns, tracks) VALUES (?, ?, ?, ?)",
                    (one.kind, one.time_ns, noted_ns, " ".join(one.track_ids)),
                )
                key = self._db.last_insert_rowid()
                for is_after, names in ((0, one.before), (1, one.after)):
                    self._db.executemany(
                        "INSERT INTO event_contacts VALUES (?, ?, ?)",
                        [(name, key, is_after) for name in names],
                    )

    def events_of(self, contact_id: str, limit: int = 100) -> list[NotedEvent]:
        """What this contact became, or was made of, newest first."""
        with self._lock, as_store_errors(self._path):
            rows: list[tuple[Any, ...]] = self._db.execute(
                "SELECT DISTINCT e.event_key, e.kind, e.time_ns, e.noted_ns, e.tracks FROM events e "
                "JOIN event_contacts c USING(event_key) WHERE c.contact_id = ? "
                "ORDER BY e.event_key DESC LIMIT ?",
                (contact_id, limit),
            ).fetchall()
            return [self._event(row) for row in rows]

    def heirs_of(self, contact_id: str) -> tuple[str, ...]:
        """What a contact that is no more is called now, in order; itself when nothing is known of it."""
        with self._lock, as_store_errors(self._path):
            found = {contact_id: 0}
            for _ in range(_MAX_STEPS):
                further: dict[str, int] = {}
                for name, since in found.items():
                    heirs = self._next(name, since)
                    further.update({heir: max(key, further.get(heir, 0)) for heir, key in heirs.items()})
                if further.keys() == found.keys():
                    break
                found = further
        return tuple(sorted(found))

    def say(self, ruling: Ruling) -> None:
        """Keep a person's word; raises `InputError` for one that makes no sense."""
        if ruling.one == ruling.two:
            raise InputError(f"{ruling.one} and itself are one thing always")
        with self._lock, as_store_errors(self._path), self._db:
            if self._db.execute("SELECT count(*) FROM rulings").get >= MAX_RULINGS:
                raise InputError(f"{MAX_RULINGS} words on contacts are kept already")
            self._db.execute(
                "INSERT INTO rulings(word, one, two, account, time_ns, reason) VALUES (?, ?, ?, ?, ?, ?)",
                (
                    ruling.word,
                    *ruling.pair,
                    ruling.account[:64],
                    ruling.time_ns,
                    ruling.reason[:500],
                ),
            )

    def said(self) -> list[Ruling]:
        """All that people said, oldest first; a later word on a pair replaces an earlier one."""
        with self._lock, as_store_errors(self._path):
            rows: list[tuple[Any, ...]] = self._db.execute(
                "SELECT word, one, two, account, time_ns, reason FROM rulings ORDER BY ruling_key"
            ).fetchall()
        return [
            Ruling(word=row[0], one=row[1], two=row[2], account=row[3], time_ns=row[4], reason=row[5])
            for row in rows
        ]

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._db.close(True)

    def _next(self, contact_id: str, since: int) -> dict[str, int]:
        """The names after the first event past `since` that ended this name, with that event's key."""
        key = self._db.execute(
            "SELECT min(b.event_key) FROM event_contacts b WHERE b.contact_id = ?1 AND b.is_after = 0 "
            "AND b.event_key > ?2 AND NOT EXISTS (SELECT 1 FROM event_contacts a WHERE a.is_after = 1 "
            "AND a.event_key = b.event_key AND a.contact_id = ?1)",
            (contact_id, since),
        ).get
        if key is None:
            return {contact_id: since}
        rows: list[tuple[Any, ...]] = self._db.execute(
            "SELECT contact_id FROM event_contacts WHERE event_key = ? AND is_after = 1", (key,)
        ).fetchall()
        return dict.fromkeys([row[0] for row in rows], key)

    def _event(self, row: tuple[Any, ...]) -> NotedEvent:
        names: tuple[list[str], list[str]] = ([], [])
        for name, is_after in self._db.execute(
            "SELECT contact_id, is_after FROM event_contacts WHERE event_key = ? ORDER BY contact_id",
            (row[0],),
        ):
            names[is_after].append(name)
        event = ContactEvent(
            kind=row[1],
            time_ns=row[2],
            before=tuple(names[0]),
            after=tuple(names[1]),
            track_ids=tuple(row[4].split()),
        )
        return NotedEvent(event=event, noted_ns=row[3])


class RecordedBook:
    """A `ContactNode`: a book whose events are kept, and which follows what people said.

    `rule` may come from any thread; everything else from whoever owns the book.
    """

    def __init__(self, book: ContactBook, history: ContactHistory, clock: Clock) -> None:
        self._book, self._history, self._clock = book, history, clock
        self._said: Rulings | None = Rulings(history.said())

    def knows(self, track_id: str) -> bool:
        """See `ContactNode`."""
        return self._book.knows(track_id)

    def add(self, sighting: Sighting) -> None:
        """See `ContactNode`."""
        self._book.add(sighting)

    def rule(self, ruling: Ruling) -> None:
        """Keep a person's word; contacts follow at the next `settle`."""
        self._history.say(ruling)
        self._said = Rulings(self._history.said())

    def settle(self) -> ContactChanges:
        """See `ContactNode`."""
        said, self._said = self._said, None
        if said is not None:
            self._book.rule(said)
        changes = self._book.settle()
        self._history.note(changes.events, self._clock.utc_ns())
        return changes

    def rest(self, now_s: float, recall: Recall) -> int:
        """See `ContactNode`."""
        return self._book.rest(now_s, recall)

    def forget_before(self, time_ns: int) -> int:
        """See `ContactNode`."""
        return self._book.forget_before(time_ns)
