"""Who saw and who handed on what, and who was refused: append-only, each entry chained to the one before.

`chain(n) = SHA-256(tag, chain(n - 1), SHA-256(number, time, event))`, so that a changed, removed
or inserted entry is found on read. Entries are committed before what they speak of is answered; many that
come at once share one commit.
"""

import contextlib
import hashlib
import queue
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from typing import Any

import msgspec

from ground.accounts.database import AccountsDatabase
from ground.accounts.moments import Moments
from skywarden.errors import StoreError

_TAG = b"skywarden access 1\0"
_START = hashlib.sha256(_TAG).digest()
_MAX_WAITING = 5_000
_MAX_BATCH = 500
_MAX_TEXT = 300


class AccessEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that somebody did or was refused.

    Attributes:
        action: "sign_in", "sign_out", "see_details", "export", "denied", "account", "key", ...
        account: name of the account; None for nobody known.
        role: its role then.
        session: id of the session or key.
        address: where from; "local" on the station's own command line.
        what: the path with its query, or the account or key that was changed.
        outcome: "ok", or the reason of a refusal.
    """

    action: str
    account: str | None = None
    role: str | None = None
    session: str | None = None
    address: str = ""
    what: str = ""
    outcome: str = "ok"


class StoredEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An entry as it stands in the file."""

    number: int
    time_ns: int
    event: AccessEvent


class LogVerification(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the chain holds; `head` is what to write down elsewhere, it shows a cut end later."""

    entries: int
    head: str
    problems: list[str]


class AccessLog:
    """Writes entries from a thread of its own; `close` writes what waits.

    Raises `StoreError` (also through the futures) when an entry cannot be made durable.
    """

    def __init__(self, database: AccountsDatabase, moments: Moments) -> None:
        self._database = database
        self._moments = moments
        self._waiting: queue.Queue[tuple[AccessEvent, Future[None]] | None] = queue.Queue(_MAX_WAITING)
        self._thread = threading.Thread(target=self._run, name="ground.access_log", daemon=True)
        self._is_closed = False
        self._thread.start()

    def write(self, event: AccessEvent) -> "Future[None]":
        """Take an entry; the future is done when it is durable. Values longer than 300 characters are cut."""
        done: Future[None] = Future()
        if self._is_closed:
            done.set_exception(StoreError("the access log is closed: the station stops"))
            return done
        try:
            self._waiting.put_nowait((_cut(event), done))
        except queue.Full:
            done.set_exception(
                StoreError(f"{_MAX_WAITING} entries wait for the access log; the disk is slow")
            )
        return done

    def close(self) -> None:
        """Write what waits and end the thread; may be called twice."""
        if self._is_closed:
            return
        self._is_closed = True
        self._waiting.put(None)
        self._thread.join(5.0)

    def _run(self) -> None:
        while True:
            first = self._waiting.get()
            if first is None:
                return
            batch, is_last = [first], False
            with contextlib.suppress(queue.Empty):
                while len(batch) < _MAX_BATCH:
                    more = self._waiting.get_nowait()
                    if more is None:
                        is_last = True
                        break
                    batch.append(more)
            self._commit(batch)
            if is_last:
                return

    def _commit(self, batch: Sequence[tuple[AccessEvent, "Future[None]"]]) -> None:
        try:
            now_ns = self._moments.now().utc_ns
            with self._database.writing() as db:
                append_events(db, [event for event, _ in batch], now_ns)
        except StoreError as error:
            for _, done in batch:
                done.set_exception(error)
            return
        for _, done in batch:
            done.set_result(None)


def append_events(db: Any, events: Sequence[AccessEvent], time_ns: int) -> None:
    """Add entries within a transaction of the caller."""
    row = db.execute("SELECT number, chain FROM access_log ORDER BY number DESC LIMIT 1").fetchone()
    number, chain = row if row is not None else (0, _START)
    for event in events:
        number += 1
        text = msgspec.json.encode(event).decode()
        chain = _next(chain, number, time_ns, text)
        db.execute("INSERT INTO access_log VALUES(?, ?, ?, ?)", (number, time_ns, text, chain))


def read_events(
    database: AccountsDatabase, *, newest: int | None = None, before: int | None = None
) -> list[StoredEvent]:
    """Entries, oldest first: the `newest` so many of those numbered below `before`."""
    with database.reading() as db:
        rows = db.execute(
            "SELECT number, time_ns, event FROM access_log WHERE number < ? ORDER BY number DESC LIMIT ?",
            (before if before is not None else 2**62, newest if newest is not None else -1),
        ).fetchall()
    return [
        StoredEvent(number=number, time_ns=time_ns, event=_event_of(text))
        for number, time_ns, text in reversed(rows)
    ]


def verify_log(database: AccountsDatabase) -> LogVerification:
    """Follow the chain from the first entry to the last."""
    problems: list[str] = []
    chain, expected = _START, 1
    for number, time_ns, text, stored in _rows(database):
        if number != expected:
            problems.append(f"entries {expected} to {number - 1} are missing")
        chain = _next(chain, number, time_ns, text)
        if chain != stored:
            problems.append(f"entry {number} is not what was written then")
            chain = stored
        expected = number + 1
    return LogVerification(entries=expected - 1, head=chain.hex(), problems=problems)


def _rows(database: AccountsDatabase) -> Iterator[tuple[int, int, str, bytes]]:
    last = 0
    while True:
        with database.reading() as db:
            rows = db.execute(
                "SELECT number, time_ns, event, chain FROM access_log WHERE number > ? ORDER BY number "
                "LIMIT 1000",
                (last,),
            ).fetchall()
        if not rows:
            return
        yield from rows
        last = rows[-1][0]


def one_line(stored: StoredEvent, time_text: str) -> str:
    """An entry as one line of text, whatever was written into it."""
    event = stored.event
    who = f"{event.account or '-'} ({event.role or 'nobody'})"
    parts = (
        str(stored.number),
        time_text,
        event.action,
        who,
        event.address or "-",
        event.what,
        event.outcome,
    )
    return "  ".join(_printable(part) for part in parts if part)


def _printable(text: str) -> str:
    """Line ends, controls, and marks that turn the direction of writing, as escapes."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def _next(chain: bytes, number: int, time_ns: int, text: str) -> bytes:
    hashed = hashlib.sha256(f"{number} {time_ns} {text}".encode()).digest()
    return hashlib.sha256(_TAG + chain + hashed).digest()


def _event_of(text: str) -> AccessEvent:
    try:
        return msgspec.json.decode(text, type=AccessEvent)
    except msgspec.MsgspecError as error:
        raise StoreError(f"an entry of the access log is damaged ({error})") from error


def _cut(event: AccessEvent) -> AccessEvent:
    changed = {
        name: value.encode("utf-8", "replace").decode()[:_MAX_TEXT]
        for name in event.__struct_fields__
        if isinstance(value := getattr(event, name), str)
    }
    return msgspec.structs.replace(event, **changed)
