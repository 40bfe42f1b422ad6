"""Everything about who comes in, in one object: what the web side and the command line both hold."""

import getpass
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from ground.accounts.access_log import AccessEvent, AccessLog
from ground.accounts.api_keys import ApiKeys
from ground.accounts.book import AccountBook, Code
from ground.accounts.database import AccountsDatabase, accounts_path
from ground.accounts.moments import Moments
from ground.accounts.passwords import Passwords
from ground.accounts.roles import Permission, Role, Scope
from ground.accounts.sessions import Identity, Sessions, Stranger
from ground.accounts.throttle import RequestRate, SignInThrottle, network_of
from skywarden.clock import Clock, SystemClock
from skywarden.config import Config
from skywarden.errors import AccessError

_CODE_ACCOUNT = "(code)"


class AccountsConfig(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long people stay signed in, and how much one of them may ask.

    Attributes:
        session_idle_s: a session in which nobody did anything for so long ends.
        session_s: every session ends after so long.
        code_s: a one-time code is good for so long.
        requests_per_s: of one session or key, in the long run; strangers get a fifth.
        requests_burst: of one session or key, at once; strangers get a fifth.
    """

    session_idle_s: Annotated[float, Meta(ge=10.0, le=86_400.0)] = 7_200.0
    session_s: Annotated[float, Meta(ge=10.0, le=604_800.0)] = 43_200.0
    code_s: Annotated[float, Meta(ge=10.0, le=604_800.0)] = 86_400.0
    requests_per_s: Annotated[float, Meta(ge=1.0, le=100_000.0)] = 100.0
    requests_burst: Annotated[int, Meta(ge=10, le=1_000_000)] = 600


class Doorkeeper:
    """Accounts, sessions, keys, throttles and the access log of one station; safe from any thread.

    `boot` and `clock` are for tests. Raises `StoreError` when the file of accounts cannot be used.
    """

    def __init__(
        self,
        state_dir: Path,
        config: AccountsConfig | None = None,
        *,
        clock: Clock | None = None,
        boot: str | None = None,
        passwords: Passwords | None = None,
    ) -> None:
        self.config = config or AccountsConfig()
        self._database = AccountsDatabase(accounts_path(state_dir))
        self.moments = Moments(clock or SystemClock(), self._database, boot)
        self.passwords = passwords or Passwords()
        by = AccessEvent(action="account", account=_person(), role="local", address="local")
        self.by = by
        self.book = AccountBook(self._database, self.moments, self.passwords, by)
        self.sessions = Sessions(
            self._database,
            self.moments,
            idle_s=self.config.session_idle_s,
            longest_s=self.config.session_s,
        )
        self.keys = ApiKeys(self._database, self.moments, by)
        self.log = AccessLog(self._database, self.moments)
        self.throttle = SignInThrottle()
        rate, burst = self.config.requests_per_s, self.config.requests_burst
        self.known_rate = RequestRate(per_s=rate, burst=burst)
        self.strange_rate = RequestRate(per_s=max(1.0, rate / 5), burst=max(10, burst // 5))
        self._news = RequestRate(per_s=1 / 60, burst=1)
        self.moments.keep()

    def is_news(self, what: str) -> bool:
        """Whether `what` has not been told within the last minute: floods must not fill the access log."""
        return self._news.wait_s(what, self.moments.now().mono_s) == 0.0

    @property
    def database(self) -> AccountsDatabase:
        """The open file, for reading the access log."""
        return self._database

    def sign_in(self, name: str, password: str, address: str) -> str:
        """The token of a new session; raises `AccessError` when refused, with the same words for all."""
        self._begin(name, address)
        found = self.book.stored_password(name)
        if not self.passwords.is_right(found[1] if found else None, password) or found is None:
            self._note("denied", name, address, "sign in", "wrong name or password")
            raise AccessError("the name or the password is wrong")
        account, stored = found
        self.throttle.succeeded(name, address)
        if self.passwords.is_dated(stored):
            self.book.rehash(name, password)
        token = self.sessions.begin(account, address)
        self._note("sign_in", name, address, "password", "ok", account.role)
        return token

    def find_code(self, code: str, address: str) -> Code:
        """What a one-time code is good for; raises `AccessError`."""
        self._begin(_CODE_ACCOUNT, address)
        found = self.book.find_code(code)
        if found is None:
            self._note("denied", None, address, "one-time code", "wrong, used or expired")
            raise AccessError("this one-time code is wrong, used or expired")
        self.throttle.succeeded(_CODE_ACCOUNT, address)
        return found

    def use_code(self, code: str, password: str | None, address: str) -> str:
        """The token of a new session for a one-time code, with the password it sets.

        Raises `AccessError`, and `InputError` when the password is not accepted.
        """
        self.find_code(code, address)
        used = self.book.use_code(code, password)
        if used is None:
            raise AccessError("this one-time code is wrong, used or expired")
        token = self.sessions.begin(used.account, address)
        self._note("sign_in", used.account.name, address, "one-time code", "ok", used.account.role)
        return token

    def change_password(self, who: Identity, old: str, new: str, address: str) -> None:
        """Another password for the one who is signed in; other sessions end.

        Raises `AccessError` when `old` is wrong, `InputError` when `new` is not accepted.
        """
        self._begin(who.account, address)
        found = self.book.stored_password(who.account)
        if not self.passwords.is_right(found[1] if found else None, old):
            self._note("denied", who.account, address, "change of password", "wrong password", who.role)
            raise AccessError("the old password is wrong")
        self.throttle.succeeded(who.account, address)
        self.book.set_password(who.account, new, keep_session=who.session_id)

    def identify(self, *, cookie: str | None, bearer: str | None) -> Identity | Stranger:
        """Who a request comes from; a key counts before a cookie."""
        if bearer is not None:
            return self.keys.identify(bearer)
        if cookie is not None:
            return self.sessions.identify(cookie)
        return Stranger(why="none")

    def watch(self, *, cookie: str | None, bearer: str | None, needs: Permission) -> Callable[[], bool]:
        """Tells, whenever asked, whether the one behind these is still granted `needs`."""

        def is_granted() -> bool:
            who = self.identify(cookie=cookie, bearer=bearer)
            return isinstance(who, Identity) and who.may(needs)

        return is_granted

    def first_code(self) -> tuple[str, str] | None:
        """Name and one-time code of the first administrator, as long as none can sign in."""
        return self.book.first_code(self.config.code_s)

    def session_code(self, name: str, role: Role) -> str:
        """A one-time code that opens a session of `name` (made with `role` where there is none)."""
        if self.book.find(name) is None:
            self.book.add(name, role)
        return self.book.new_code(name, "session", self.config.code_s)

    def program_key(self, name: str, role: Role, scopes: frozenset[Scope], valid_s: float) -> str:
        """An API key of `name` (made with `role` where there is none)."""
        account = self.book.find(name) or self.book.add(name, role)
        return self.keys.new(account, "made by the station's own program", scopes, valid_s)

    def end_session(self, session_id: str, account: str) -> None:
        """End a session from the command line."""
        if self.sessions.end(session_id, "ended by an administrator"):
            self.note_local("account", f"{account}: session {session_id} ended")

    def note_local(self, action: str, what: str) -> None:
        """An entry about something done on the station's own command line; raises `StoreError`."""
        self.log.write(msgspec.structs.replace(self.by, action=action, what=what)).result(10.0)

    def close(self) -> None:
        """Write what waits for the log and let go of the file; may be called twice."""
        self.log.close()
        self._database.close()

    def _begin(self, account: str, address: str) -> None:
        wait_s = self.throttle.begin(account, address, self.moments.now().mono_s)
        if wait_s > 0.0:
            if self.is_news(f"tries {account} {network_of(address)}"):
                self._note("denied", account, address, "sign in", "too many tries")
            raise AccessError(f"too many tries; wait {wait_s:.0f} s", wait_s=wait_s)

    def _note(
        self,
        action: str,
        account: str | None,
        address: str,
        what: str,
        outcome: str,
        role: Role | None = None,
    ) -> "Future[None]":
        # A name that is no account may be a password that was typed into the wrong field.
        is_account = account is not None and self.book.find(account) is not None
        return self.log.write(
            AccessEvent(
                action=action,
                account=account if is_account else None,
                role=role.value if role else None,
                address=address,
                what=what,
                outcome=outcome,
            )
        )


def _person() -> str:
    """The user of the operating system, for changes made on the command line."""
    try:
        return f"local:{getpass.getuser()}"
    except (KeyError, OSError):
        return "local"
