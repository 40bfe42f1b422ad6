"""Sessions: random tokens, kept hashed, that end when idle, when old, when revoked, and with the boot."""

import base64
import hashlib
import secrets
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from ground.accounts.book import Account
from ground.accounts.database import AccountsDatabase
from ground.accounts.moments import Moment, Moments
from ground.accounts.roles import Permission, Role, permissions_of

MAX_SESSIONS = 20
"""Of one account at a time; the oldest ends."""

_TOUCH_NS = 20 * 1_000_000_000
_KEEP_ENDED_NS = 30 * 86_400 * 1_000_000_000
_MAX_TOUCHED = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who a request comes from. `token` is what the page sends back in a header (empty for API keys)."""

    account: str
    role: Role
    permissions: frozenset[Permission]
    session_id: str
    token: str
    expires_ns: int

    def may(self, permission: Permission) -> bool:
        """Whether this is granted."""
        return permission in self.permissions


@dataclass(frozen=True, slots=True, kw_only=True)
class Stranger:
    """Nobody, and why: "none" showed nothing, or the proof is "unknown", "expired" or "ended"."""

    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionInfo:
    """A session as its account may see it."""

    session_id: str
    account: str
    address: str
    made_ns: int
    seen_ns: int
    expires_ns: int


class Sessions:
    """Sessions in the file of accounts. Idle and longest times are in seconds."""

    def __init__(
        self, database: AccountsDatabase, moments: Moments, *, idle_s: float, longest_s: float
    ) -> None:
        self._database = database
        self._moments = moments
        self._idle_ns = round(idle_s * 1e9)
        self._longest_ns = round(longest_s * 1e9)
        self._lock = threading.Lock()
        self._touched: OrderedDict[str, int] = OrderedDict()

    def begin(self, account: Account, address: str) -> str:
        """A new session; its token, which nobody but the caller will ever know."""
        token = secrets.token_urlsafe(32)
        now = self._moments.now()
        with self._database.writing() as db:
            db.execute("DELETE FROM sessions WHERE expires_ns < ?", (now.utc_ns - _KEEP_ENDED_NS,))
            db.execute(
                "UPDATE sessions SET ended_ns = ?, ended_why = 'too many' WHERE session_id IN ("
                "SELECT session_id FROM sessions WHERE account_key = ? AND ended_ns IS NULL "
                "ORDER BY made_ns DESC LIMIT -1 OFFSET ?)",
                (now.utc_ns, account.key, MAX_SESSIONS - 1),
            )
            db.execute(
                "INSERT INTO sessions VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, NULL)",
                (
                    secrets.token_hex(6), _token_hash(token), account.key, address[:64],
                    now.utc_ns, now.utc_ns + self._longest_ns, now.utc_ns,
                    now.boot, now.mono_ns, now.mono_ns,
                ),
            )  # fmt: skip
        return token

    def identify(self, token: str) -> Identity | Stranger:
        """Who holds `token` now."""
        if not 20 <= len(token) <= 100:
            return Stranger(why="unknown")
        now = self._moments.now()
        with self._database.reading() as db:
            row = db.execute(
                "SELECT s.session_id, s.expires_ns, s.boot, s.made_mono_ns, s.seen_mono_ns, s.seen_ns, "
                "s.ended_ns IS NOT NULL, a.name, a.role, a.is_disabled "
                "FROM sessions s JOIN accounts a USING(account_key) WHERE s.token_hash = ?",
                (_token_hash(token),),
            ).fetchone()
        if row is None:
            return Stranger(why="unknown")
        session_id, expires_ns, boot, made_mono_ns, seen_mono_ns, seen_ns, is_ended, name, role, disabled = (
            row
        )
        if is_ended or disabled:
            return Stranger(why="ended")
        is_over = (
            boot != now.boot
            or now.utc_ns >= expires_ns
            or not 0 <= now.mono_ns - made_mono_ns < self._longest_ns
            or now.mono_ns - seen_mono_ns >= self._idle_ns
            or now.utc_ns - seen_ns >= self._idle_ns
        )
        if is_over:
            return Stranger(why="expired")
        granted = permissions_of(Role(role))
        return Identity(
            account=name,
            role=Role(role),
            permissions=granted,
            session_id=session_id,
            token=page_token(token),
            expires_ns=expires_ns,
        )

    def is_due(self, session_id: str) -> bool:
        """Whether `touch` would write; cheap."""
        now = self._moments.now()
        last_ns = self._touched.get(session_id)
        return last_ns is None or now.mono_ns - last_ns >= min(_TOUCH_NS, self._idle_ns // 4)

    def touch(self, session_id: str) -> None:
        """The person is there: the idle time begins anew."""
        now = self._moments.now()
        with self._lock:
            self._touched[session_id] = now.mono_ns
            self._touched.move_to_end(session_id)
            while len(self._touched) > _MAX_TOUCHED:
                self._touched.popitem(last=False)
        with self._database.writing() as db:
            db.execute(
                "UPDATE sessions SET seen_mono_ns = ?, seen_ns = ? WHERE session_id = ? AND ended_ns IS NULL",
                (now.mono_ns, now.utc_ns, session_id),
            )
        self._moments.keep()

    def end(self, session_id: str, why: str) -> bool:
        """End one; False when there was none (any more)."""
        now = self._moments.now()
        with self._database.writing() as db:
            db.execute(
                "UPDATE sessions SET ended_ns = ?, ended_why = ? WHERE session_id = ? AND ended_ns IS NULL",
                (now.utc_ns, why, session_id),
            )
            return bool(db.changes())

    def list(self, account: str | None = None) -> list[SessionInfo]:
        """Sessions that have not ended, newest first; of one account or of all."""
        now = self._moments.now()
        with self._database.reading() as db:
            rows = db.execute(
                "SELECT s.session_id, a.name, s.address, s.made_ns, s.seen_ns, s.expires_ns, s.made_mono_ns, "
                "s.seen_mono_ns, s.boot FROM sessions s JOIN accounts a USING(account_key) "
                "WHERE s.ended_ns IS NULL AND (?1 IS NULL OR a.name = ?1) ORDER BY s.made_ns DESC",
                (account,),
            ).fetchall()
        return [_info(row) for row in rows if self._is_live(row, now)]

    def _is_live(self, row: tuple[Any, ...], now: Moment) -> bool:
        *_, expires_ns, made_mono_ns, seen_mono_ns, boot = row
        return bool(
            boot == now.boot
            and now.utc_ns < expires_ns
            and now.mono_ns - made_mono_ns < self._longest_ns
            and now.mono_ns - seen_mono_ns < self._idle_ns
        )


def _info(row: tuple[Any, ...]) -> SessionInfo:
    return SessionInfo(
        session_id=row[0],
        account=row[1],
        address=row[2],
        made_ns=row[3],
        seen_ns=row[4],
        expires_ns=row[5],
    )


def page_token(token: str) -> str:
    """What the page must send with everything that changes something: made from the session's token, which
    the page itself cannot read."""
    digest = hashlib.sha256(b"skywarden page 1\0" + token.encode("utf-8", "replace")).digest()
    return base64.urlsafe_b64encode(digest[:24]).decode()


def _token_hash(token: str) -> bytes:
    return hashlib.sha256(b"skywarden session 1\0" + token.encode("utf-8", "replace")).digest()
