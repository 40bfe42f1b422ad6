"""What operators have asked of platforms: kept here, sent until a platform answers, with the receipts.

`TaskingDesk` is the file and its rules, time handed in; `TaskingCourier` the thread that has them sent. The
desk promises at least once; the platform makes it once, by the request's id.
"""

import secrets
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import structlog

from ground.store.database import open_database
from ground.store.schema import as_store_errors
from skywarden.clock import NS_PER_S, Clock
from skywarden.errors import InputError, StoreError
from skywarden.messages import LatLon, ModelRequest, Tasking, TaskingReceipt
from skywarden.wire import decode, encode

_log = structlog.get_logger("ground.link.tasking")

APPLICATION_ID = 0x53_4B_59_54  # "SKYT"
MAX_WAITING = 64
"""At most so many unanswered requests of one platform."""
MAX_KEPT = 10_000
MAX_LIFETIME_S = 30 * 86_400.0
_RESEND_MIN_S = 3.0
_RESEND_MAX_S = 60.0
_HEARD_WITHIN_S = 15.0
_TICK_S = 0.25

Kind = Literal["full_resolution", "threshold", "mute_area", "follow", "live_view", "model"]
State = Literal["waiting", "accepted", "refused", "done", "expired"]

_VERSION_1 = """
CREATE TABLE taskings(
    tasking_id TEXT PRIMARY KEY, platform_id TEXT NOT NULL, asked_by TEXT NOT NULL, asked_ns INTEGER NOT NULL,
    expires_ns INTEGER NOT NULL, state TEXT NOT NULL, text TEXT NOT NULL, changed_ns INTEGER NOT NULL,
    body BLOB NOT NULL) WITHOUT ROWID;
CREATE INDEX taskings_by_time ON taskings(asked_ns, tasking_id);
CREATE INDEX taskings_by_state ON taskings(state, platform_id);
"""
MIGRATIONS: tuple[str, ...] = (_VERSION_1,)
"""Script n brings version n to n + 1; a script that was released never changes."""
_COLUMNS = "body, asked_by, state, text, changed_ns"
_FINAL = ("refused", "done")


@dataclass(frozen=True, kw_only=True, slots=True)
class AskedTasking:
    """A request, who asked, and what became of it; "waiting" until the platform has answered."""

    tasking: Tasking
    asked_by: str
    state: State
    text: str
    changed_ns: int


@dataclass(slots=True)
class _Attempt:
    next_s: float
    wait_s: float


class TaskingDesk:
    """The file of requests; safe from any thread. Raises `StoreError` when it cannot be read or written."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._db = open_database(path, APPLICATION_ID, MIGRATIONS)
        self._attempts: dict[str, _Attempt] = {}

    def ask(
        self,
        platform_id: str,
        kind: Kind,
        *,
        asked_by: str,
        utc_ns: int,
        lifetime_s: float,
        sighting_id: str | None = None,
        label: str | None = None,
        score: float | None = None,
        area: Sequence[LatLon] = (),
        is_whole_frame: bool = False,
        sensor_id: str | None = None,
        frames_per_s: float | None = None,
        width_px: int | None = None,
        model_order: ModelRequest | None = None,
        tasking_id: str | None = None,
    ) -> AskedTasking:
        """Take a request; it is durable when this returns. The same `tasking_id` again gives the first one.

        Raises `InputError` for one that no platform could take, or when too many wait.
        """
        if not 1.0 <= lifetime_s <= MAX_LIFETIME_S:
            raise InputError(f"a lifetime of {lifetime_s:g} s is outside 1 to {MAX_LIFETIME_S:g} s")
        tasking = Tasking(
            tasking_id=tasking_id or f"ask-{secrets.token_hex(6)}",
            platform_id=platform_id,
            time_ns=utc_ns,
            expires_ns=utc_ns + int(lifetime_s * NS_PER_S),
            kind=kind,
            sighting_id=sighting_id,
            label=label,
            score=score,
            area=tuple(area),
            is_whole_frame=is_whole_frame,
            sensor_id=sensor_id,
            frames_per_s=frames_per_s,
            width_px=width_px,
            model_order=model_order,
        )
        body = encode(tasking)
        decode("tasking", body)  # what the platform would refuse as damaged is refused here
        with self._lock, as_store_errors(self._path), self._db:
            before = self._one(tasking.tasking_id)
            if before is not None:
                return before
            waiting = self._db.execute(
                "SELECT count(*) FROM taskings WHERE state = 'waiting' AND platform_id = ?", (platform_id,)
            ).get
            if waiting >= MAX_WAITING:
                raise InputError(
                    f"{waiting} requests wait for {platform_id} already; wait for their receipts"
                )
            self._db.execute(
                "INSERT INTO taskings VALUES (?, ?, ?, ?, ?, 'waiting', '', ?, ?)",
                (tasking.tasking_id, platform_id, asked_by[:64], utc_ns, tasking.expires_ns, utc_ns, body),
            )
            self._db.execute(
                "DELETE FROM taskings WHERE tasking_id IN (SELECT tasking_id FROM taskings "
                "WHERE state NOT IN ('waiting', 'accepted') ORDER BY asked_ns DESC LIMIT -1 OFFSET ?)",
                (MAX_KEPT,),
            )
        return AskedTasking(tasking=tasking, asked_by=asked_by, state="waiting", text="", changed_ns=utc_ns)

    def get(self, tasking_id: str) -> AskedTasking | None:
        """One request."""
        with self._lock, as_store_errors(self._path):
            return self._one(tasking_id)

    def newest(
        self, limit: int = 100, *, platform_id: str | None = None, offset: int = 0
    ) -> list[AskedTasking]:
        """The newest requests first, without the `offset` newest."""
        where, values = ("WHERE platform_id = ?", [platform_id]) if platform_id is not None else ("", [])
        with self._lock, as_store_errors(self._path):
            rows = self._db.execute(
                f"SELECT {_COLUMNS} FROM taskings {where} ORDER BY asked_ns DESC, tasking_id "
                "LIMIT ? OFFSET ?",
                (*values, limit, offset),
            ).fetchall()
        return [_of_row(row) for row in rows]

    def note_receipt(self, platform_id: str, receipt: TaskingReceipt, utc_ns: int) -> bool:
        """Take in a receipt that came over `platform_id`'s connection; whether it was news.

        What is refused or done stays so, whatever comes later; a receipt for another's request is ignored.
        """
        with self._lock, as_store_errors(self._path), self._db:
            one = self._one(receipt.tasking_id)
            if one is None or one.tasking.platform_id != platform_id or one.state in _FINAL:
                return False
            if one.state == receipt.state and one.text == receipt.text:
                return False
            self._db.execute(
                "UPDATE taskings SET state = ?, text = ?, changed_ns = ? WHERE tasking_id = ?",
                (receipt.state, receipt.text, utc_ns, receipt.tasking_id),
            )
        self._attempts.pop(receipt.tasking_id, None)
        return True

    def due(self, is_heard: Callable[[str], bool], utc_ns: int, now_s: float) -> list[Tasking]:
        """What to send now: unanswered requests of platforms that are heard, again after 3 s to a minute."""
        with self._lock, as_store_errors(self._path):
            rows = self._db.execute(
                f"SELECT {_COLUMNS} FROM taskings WHERE state = 'waiting' ORDER BY asked_ns"
            ).fetchall()
            self._expire([_of_row(row) for row in rows], utc_ns)
        out = []
        for row in rows:
            tasking = _of_row(row).tasking
            if tasking.expires_ns <= utc_ns:
                continue
            if not is_heard(tasking.platform_id):
                self._attempts.pop(tasking.tasking_id, None)  # at once when it is back
                continue
            attempt = self._attempts.setdefault(tasking.tasking_id, _Attempt(now_s, _RESEND_MIN_S))
            if now_s >= attempt.next_s:
                out.append(tasking)
                attempt.next_s = now_s + attempt.wait_s
                attempt.wait_s = min(_RESEND_MAX_S, 2.0 * attempt.wait_s)
        return out

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._db.close(True)

    def _expire(self, waiting: list[AskedTasking], utc_ns: int) -> None:
        for one in waiting:
            if one.tasking.expires_ns <= utc_ns:
                self._db.execute(
                    "UPDATE taskings SET state = 'expired', text = ?, changed_ns = ? WHERE tasking_id = ?",
                    ("the platform did not answer in time", utc_ns, one.tasking.tasking_id),
                )
                self._attempts.pop(one.tasking.tasking_id, None)

    def _one(self, tasking_id: str) -> AskedTasking | None:
        row = self._db.execute(f"SELECT {_COLUMNS} FROM taskings WHERE tasking_id = ?", (tasking_id,)).get
        return _of_row(row) if row is not None else None


class TaskingCourier:
    """The thread `ground.link.tasking`: has due requests sent by `send`, which says whether there was a
    way.
    """

    def __init__(
        self,
        desk: TaskingDesk,
        send: Callable[[Tasking], bool],
        age_s: Callable[[str], float | None],
        clock: Clock,
    ) -> None:
        self._desk = desk
        self._send = send
        self._age_s = age_s
        self._clock = clock
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ground.tasking", daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread; what waits is sent after the next start."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(2.0)

    def _is_heard(self, platform_id: str) -> bool:
        age_s = self._age_s(platform_id)
        return age_s is not None and age_s < _HEARD_WITHIN_S

    def _run(self) -> None:
        while not self._stopping.wait(_TICK_S):
            try:
                now_s = self._clock.monotonic_ns() / NS_PER_S
                for tasking in self._desk.due(self._is_heard, self._clock.utc_ns(), now_s):
                    self._send(tasking)
            except StoreError as error:
                _log.error("requests are not sent", reason=str(error))
                self._stopping.wait(5.0)


def _of_row(row: tuple[Any, ...]) -> AskedTasking:
    tasking = decode("tasking", row[0])
    assert isinstance(tasking, Tasking)
    return AskedTasking(tasking=tasking, asked_by=row[1], state=row[2], text=row[3], changed_ns=row[4])
