"""API keys for programs: a secret with a scope and an end, kept hashed, as strong as its account allows."""

import base64
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass

from ground.accounts.access_log import AccessEvent, append_events
from ground.accounts.book import Account
from ground.accounts.database import AccountsDatabase
from ground.accounts.moments import Moments
from ground.accounts.roles import Role, Scope, permissions_of
from ground.accounts.sessions import Identity, Stranger
from skywarden.errors import UsageError

PREFIX = "swkey1"
MOST_DAYS = 366
_KEY = re.compile(rf"{PREFIX}_([0-9a-f]{{10}})_([A-Za-z0-9_-]{{43}})")


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A key as it may be shown: without its secret."""

    key_id: str
    account: str
    title: str
    scopes: frozenset[Scope]
    made_ns: int
    expires_ns: int
    is_revoked: bool


class ApiKeys:
    """Keys in the file of accounts."""

    def __init__(self, database: AccountsDatabase, moments: Moments, by: AccessEvent) -> None:
        self._database = database
        self._moments = moments
        self._by = by

    def new(self, account: Account, title: str, scopes: frozenset[Scope], valid_s: float) -> str:
        """A new key, shown once; raises `UsageError` on an empty scope or more than 366 days."""
        if not scopes:
            raise UsageError(f"a key needs a scope: {', '.join(Scope)}")
        if not 0 < valid_s <= MOST_DAYS * 86_400:
            raise UsageError(f"a key is good for at most {MOST_DAYS} days, not {valid_s / 86_400:g}")
        key_id = secrets.token_hex(5)
        secret = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode().rstrip("=")
        now = self._moments.now()
        with self._database.writing() as db:
            db.execute(
                "INSERT INTO api_keys VALUES(?, ?, ?, ?, ?, ?, ?, NULL)",
                (
                    key_id, _secret_hash(secret), account.key, title[:80], " ".join(sorted(scopes)),
                    now.utc_ns, now.utc_ns + round(valid_s * 1e9),
                ),
            )  # fmt: skip
            self._log(db, f"{key_id} of {account.name}: made for {' '.join(sorted(scopes))}", now.utc_ns)
        self._moments.keep()
        return f"{PREFIX}_{key_id}_{secret}"

    def identify(self, text: str) -> Identity | Stranger:
        """Whose key this is now."""
        match = _KEY.fullmatch(text)
        if match is None:
            return Stranger(why="unknown")
        key_id, secret = match.groups()
        now = self._moments.now()
        with self._database.reading() as db:
            row = db.execute(
                "SELECT k.secret_hash, k.scopes, k.expires_ns, k.revoked_ns IS NOT NULL, a.name, a.role, "
                "a.is_disabled FROM api_keys k JOIN accounts a USING(account_key) WHERE k.key_id = ?",
                (key_id,),
            ).fetchone()
        if row is None or not hmac.compare_digest(row[0], _secret_hash(secret)):
            return Stranger(why="unknown")
        _, scopes, expires_ns, is_revoked, name, role, is_disabled = row
        if is_revoked or is_disabled:
            return Stranger(why="ended")
        if now.utc_ns >= expires_ns:
            return Stranger(why="expired")
        opened = frozenset(Scope(one) for one in scopes.split())
        return Identity(
            account=name,
            role=Role(role),
            permissions=permissions_of(Role(role), opened),
            session_id=f"key {key_id}",
            token="",
            expires_ns=expires_ns,
        )

    def revoke(self, key_id: str) -> None:
        """End a key at once; raises `UsageError` when there is none that is good."""
        now = self._moments.now()
        with self._database.writing() as db:
            db.execute(
                "UPDATE api_keys SET revoked_ns = ? WHERE key_id = ? AND revoked_ns IS NULL",
                (now.utc_ns, key_id),
            )
            if not db.changes():
                raise UsageError(f"there is no key {key_id!r} that could be revoked")
            self._log(db, f"{key_id}: revoked", now.utc_ns)

    def list(self, account: str | None = None) -> list[ApiKey]:
        """Keys, newest first; of one account or of all."""
        with self._database.reading() as db:
            rows = db.execute(
                "SELECT k.key_id, a.name, k.title, k.scopes, k.made_ns, k.expires_ns, k.revoked_ns "
                "FROM api_keys k JOIN accounts a USING(account_key) WHERE ?1 IS NULL OR a.name = ?1 "
                "ORDER BY k.made_ns DESC, k.key_id",
                (account,),
            ).fetchall()
        return [
            ApiKey(
                key_id=row[0],
                account=row[1],
                title=row[2],
                scopes=frozenset(Scope(one) for one in row[3].split()),
                made_ns=row[4],
                expires_ns=row[5],
                is_revoked=row[6] is not None,
            )
            for row in rows
        ]

    def _log(self, db: object, what: str, now_ns: int) -> None:
        by = self._by
        event = AccessEvent(action="key", account=by.account, role=by.role, address=by.address, what=what)
        append_events(db, [event], now_ns)


def _secret_hash(secret: str) -> bytes:
    return hashlib.sha256(b"skywarden api key 1\0" + secret.encode()).digest()
