"""Accounts and one-time codes: made, changed, disabled; every change is an entry of the access log."""

import hashlib
import re
import secrets
from dataclasses import dataclass
from typing import Any, Literal

from ground.accounts.access_log import AccessEvent, append_events
from ground.accounts.database import AccountsDatabase
from ground.accounts.moments import Moment, Moments
from ground.accounts.passwords import Passwords, check_password
from ground.accounts.roles import Role
from skywarden.errors import InputError, UsageError

FIRST_NAME = "administrator"
Purpose = Literal["password", "session"]
"""What a one-time code opens: the choice of a password, or one session and nothing else."""

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}")
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's: nothing in it is mistaken for another
_CODE_CHARACTERS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """An account as it stands now."""

    key: int
    name: str
    role: Role
    has_password: bool
    is_disabled: bool
    made_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """A one-time code that is good now."""

    account: Account
    purpose: Purpose


class AccountBook:
    """Accounts in their file. `by` names who acts, for the log."""

    def __init__(
        self, database: AccountsDatabase, moments: Moments, passwords: Passwords, by: AccessEvent
    ) -> None:
        self._database = database
        self._moments = moments
        self._passwords = passwords
        self._by = by

    def accounts(self) -> list[Account]:
        """All, by name."""
        with self._database.reading() as db:
            return [_account(row) for row in db.execute(f"{_SELECT} ORDER BY name").fetchall()]

    def find(self, name: str) -> Account | None:
        """The account of this name."""
        with self._database.reading() as db:
            row = db.execute(f"{_SELECT} WHERE name = ?", (name,)).fetchone()
        return _account(row) if row is not None else None

    def get(self, name: str) -> Account:
        """The account of this name; raises `UsageError` when there is none."""
        found = self.find(name)
        if found is None:
            raise UsageError(f"there is no account {name!r}; `skywarden ground users list` shows all")
        return found

    def stored_password(self, name: str) -> tuple[Account, str] | None:
        """An enabled account and the hash of its password; `None` when it cannot sign in with one."""
        with self._database.reading() as db:
            row = db.execute(
                f"{_SELECT} WHERE name = ? AND password IS NOT NULL AND NOT is_disabled", (name,)
            ).fetchone()
            hashed = db.execute("SELECT password FROM accounts WHERE name = ?", (name,)).get
        return (_account(row), hashed) if row is not None else None

    def add(self, name: str, role: Role) -> Account:
        """A new account without a password; raises `UsageError` on a bad or taken name."""
        if not _NAME.fullmatch(name):
            raise UsageError(
                f"{name[:60]!r} is no name for an account: up to 40 lower-case letters, digits, dots, "
                "hyphens, underscores; a letter or digit first"
            )
        now = self._moments.now()
        with self._database.writing() as db:
            if db.execute("SELECT 1 FROM accounts WHERE name = ?", (name,)).get:
                raise UsageError(f"there is an account {name!r} already")
            db.execute(
                "INSERT INTO accounts(name, role, made_ns) VALUES(?, ?, ?)", (name, role.value, now.utc_ns)
            )
            self._log(db, "account", f"{name}: added as {role.value}", now)
        return self.get(name)

    def set_role(self, name: str, role: Role) -> Account:
        """Another role, in force with the next request; raises `UsageError` for the last administrator."""
        now = self._moments.now()
        with self._database.writing() as db:
            before = self._row(db, name)
            if before.role is Role.ADMINISTRATOR and role is not Role.ADMINISTRATOR:
                _keep_an_administrator(db, before)
            db.execute("UPDATE accounts SET role = ? WHERE account_key = ?", (role.value, before.key))
            self._log(db, "account", f"{name}: {before.role.value} becomes {role.value}", now)
        return self.get(name)

    def set_disabled(self, name: str, *, is_disabled: bool) -> Account:
        """Shut an account out, with its sessions and codes, or let it in again; keys rest meanwhile."""
        now = self._moments.now()
        with self._database.writing() as db:
            account = self._row(db, name)
            if is_disabled:
                _keep_an_administrator(db, account)
                end_sessions(db, account.key, now.utc_ns, "disabled")
                db.execute("DELETE FROM codes WHERE account_key = ?", (account.key,))
            db.execute(
                "UPDATE accounts SET is_disabled = ? WHERE account_key = ?", (is_disabled, account.key)
            )
            self._log(db, "account", f"{name}: {'disabled' if is_disabled else 'enabled'}", now)
        return self.get(name)

    def set_password(self, name: str, password: str, *, keep_session: str | None = None) -> None:
        """A new password; every session but `keep_session` ends, codes end. Raises `InputError`."""
        check_password(password, name)
        hashed = self._passwords.hash(password)
        now = self._moments.now()
        with self._database.writing() as db:
            account = self._row(db, name)
            self._store_password(db, account, hashed, now, keep_session)

    def new_code(self, name: str, purpose: Purpose, valid_s: float) -> str:
        """A one-time code in groups of four; older ones of the account end. It is shown once, kept hashed."""
        code = "".join(secrets.choice(_ALPHABET) for _ in range(_CODE_CHARACTERS))
        now = self._moments.now()
        valid_ns = round(valid_s * 1e9)
        with self._database.writing() as db:
            account = self._row(db, name)
            if account.is_disabled:
                raise UsageError(f"{name} is disabled; `skywarden ground users enable {name}` first")
            db.execute("DELETE FROM codes WHERE account_key = ?", (account.key,))
            db.execute(
                "INSERT INTO codes VALUES(?, ?, ?, ?, ?, ?, ?)",
                (
                    _code_hash(code), account.key, purpose, now.utc_ns, now.utc_ns + valid_ns,
                    now.boot, now.mono_ns + valid_ns,
                ),
            )  # fmt: skip
            self._log(db, "account", f"{name}: one-time code for a {purpose}", now)
        return "-".join(code[start : start + 4] for start in range(0, _CODE_CHARACTERS, 4))

    def find_code(self, text: str) -> Code | None:
        """What a code is good for, without using it up."""
        now = self._moments.now()
        with self._database.reading() as db:
            return _good_code(db, text, now)

    def use_code(self, text: str, password: str | None) -> Code | None:
        """Use a code up; one for a password sets `password`. `None` when it is not good (any more).

        Raises `InputError` when the password is not accepted; the code stays good then.
        """
        found = self.find_code(text)
        if found is None:
            return None
        hashed = None
        if found.purpose == "password":
            if password is None:
                raise InputError("this code sets a password: choose one")
            check_password(password, found.account.name)
            hashed = self._passwords.hash(password)
        now = self._moments.now()
        with self._database.writing() as db:
            if _good_code(db, text, now) is None:
                return None  # someone else was faster
            db.execute("DELETE FROM codes WHERE code_hash = ?", (_code_hash(text),))
            if hashed is not None:
                self._store_password(db, found.account, hashed, now, None)
        return found

    def needs_first_sign_in(self) -> bool:
        """Whether no administrator can sign in yet."""
        return not any(
            one.role is Role.ADMINISTRATOR and one.has_password and not one.is_disabled
            for one in self.accounts()
        )

    def first_administrator(self) -> Account:
        """An administrator who is let in, made here where there is none."""
        admins = [one for one in self.accounts() if one.role is Role.ADMINISTRATOR and not one.is_disabled]
        return admins[0] if admins else self.add(FIRST_NAME, Role.ADMINISTRATOR)

    def first_code(self, valid_s: float) -> tuple[str, str] | None:
        """Name and code for the first administrator, who is made here; `None` when one can sign in."""
        if not self.needs_first_sign_in():
            return None
        name = self.first_administrator().name
        return name, self.new_code(name, "password", valid_s)

    def rehash(self, name: str, password: str) -> None:
        """Keep a right password with today's costs."""
        hashed = self._passwords.hash(password)
        with self._database.writing() as db:
            db.execute("UPDATE accounts SET password = ? WHERE name = ?", (hashed, name))

    def _store_password(
        self, db: Any, account: Account, hashed: str, now: Moment, keep_session: str | None
    ) -> None:
        db.execute("UPDATE accounts SET password = ? WHERE account_key = ?", (hashed, account.key))
        db.execute("DELETE FROM codes WHERE account_key = ?", (account.key,))
        end_sessions(db, account.key, now.utc_ns, "password changed", keep=keep_session)
        self._log(db, "account", f"{account.name}: password set", now)

    def _row(self, db: Any, name: str) -> Account:
        row = db.execute(f"{_SELECT} WHERE name = ?", (name,)).fetchone()
        if row is None:
            raise UsageError(f"there is no account {name!r}; `skywarden ground users list` shows all")
        return _account(row)

    def _log(self, db: Any, action: str, what: str, now: Moment) -> None:
        by = self._by
        event = AccessEvent(
            action=action, account=by.account, role=by.role, address=by.address, what=what, outcome="ok"
        )
        append_events(db, [event], now.utc_ns)


_SELECT = "SELECT account_key, name, role, password IS NOT NULL, is_disabled, made_ns FROM accounts"


def _account(row: tuple[int, str, str, int, int, int]) -> Account:
    return Account(
        key=row[0],
        name=row[1],
        role=Role(row[2]),
        has_password=bool(row[3]),
        is_disabled=bool(row[4]),
        made_ns=row[5],
    )


def end_sessions(db: Any, account_key: int, now_ns: int, why: str, keep: str | None = None) -> int:
    """End the sessions of an account within a transaction of the caller; how many there were."""
    db.execute(
        "UPDATE sessions SET ended_ns = ?, ended_why = ? "
        "WHERE account_key = ? AND ended_ns IS NULL AND session_id IS NOT ?",
        (now_ns, why, account_key, keep),
    )
    return int(db.changes())


def _keep_an_administrator(db: Any, account: Account) -> None:
    others = db.execute(
        "SELECT count(*) FROM accounts WHERE role = 'administrator' AND NOT is_disabled AND account_key != ?",
        (account.key,),
    ).get
    if account.role is Role.ADMINISTRATOR and not account.is_disabled and not others:
        raise UsageError(f"{account.name} is the only administrator; make another one first")


def _good_code(db: Any, text: str, now: Moment) -> Code | None:
    row = db.execute(
        "SELECT a.account_key, a.name, a.role, a.password IS NOT NULL, a.is_disabled, a.made_ns, c.purpose "
        "FROM codes c JOIN accounts a USING(account_key) WHERE c.code_hash = ? AND c.expires_ns > ? "
        "AND c.boot = ? AND c.expires_mono_ns > ? AND NOT a.is_disabled",
        (_code_hash(text), now.utc_ns, now.boot, now.mono_ns),
    ).fetchone()
    return Code(account=_account(row[:6]), purpose=row[6]) if row is not None else None


def _code_hash(text: str) -> bytes:
    """Of the code as people may type it: any case, with or without hyphens, O for 0, I or L for 1."""
    plain = text.upper().replace("-", "").replace(" ", "").translate(str.maketrans("OIL", "011"))
    return hashlib.sha256(b"skywarden code 1\0" + plain.encode("utf-8", "replace")).digest()
