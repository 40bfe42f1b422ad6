"""Passwords: what is accepted as one, and Argon2id (RFC 9106) to keep and to compare them."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError

from skywarden.errors import AccessError, InputError

MIN_CHARACTERS = 12
MAX_CHARACTERS = 256
_AT_ONCE = 2
_PATIENCE_S = 5.0
_POOR = ("password", "passwort", "contraseña", "qwertyuiop", "skywarden", "administrator", "letmein")


def check_password(password: str, account: str) -> None:
    """Raise `InputError` when `password` is too short, too long, or guessed at once.

    After NIST SP 800-63B: length counts, rules about kinds of characters do not.
    """
    if len(password) < MIN_CHARACTERS:
        raise InputError(
            f"this password has {len(password)} characters, at least {MIN_CHARACTERS} are needed; four or "
            "five words that do not belong together are good"
        )
    if len(password) > MAX_CHARACTERS:
        raise InputError(f"this password has {len(password)} characters, at most {MAX_CHARACTERS} are taken")
    folded = password.casefold()
    rest = folded
    for word in (*_POOR, account.casefold()):
        rest = rest.replace(word, "")
    if len(set(folded)) < 5 or len(rest.strip("0123456789 .-_!")) < 4:
        raise InputError("this password is among the first that anybody tries; take another one")


class Passwords:
    """Makes and compares hashes, at most two at a time, so that guessing cannot use up the machine.

    The default costs are OWASP's (19 MiB, two passes, one lane: about 0.1 s here). A stored hash names its
    own costs, so that they can be raised later.
    """

    def __init__(self, *, memory_kib: int = 19_456, passes: int = 2) -> None:
        self._hasher = PasswordHasher(
            time_cost=passes, memory_cost=memory_kib, parallelism=1, hash_len=32, salt_len=16, type=Type.ID
        )
        self._turn = threading.BoundedSemaphore(_AT_ONCE)
        self._nobody: str | None = None

    def hash(self, password: str) -> str:
        """The text to keep in place of `password`; raises `AccessError` when too many wait."""
        with self._in_turn():
            return self._hasher.hash(password)

    def is_right(self, stored: str | None, password: str) -> bool:
        """Whether `password` is the one that `stored` was made from; `None` takes as long and is not.

        Raises `AccessError` when too many wait.
        """
        with self._in_turn():
            try:
                self._hasher.verify(stored or self._stand_in(), password[:MAX_CHARACTERS])
            except (VerificationError, InvalidHashError):
                return False
        return stored is not None and len(password) <= MAX_CHARACTERS

    def _stand_in(self) -> str:
        """What is compared for an account that is not there, so that the time does not tell."""
        if self._nobody is None:
            self._nobody = self._hasher.hash("nobody has this password")
        return self._nobody

    def is_dated(self, stored: str) -> bool:
        """Whether `stored` was made with other costs than are used now."""
        return self._hasher.check_needs_rehash(stored)

    @contextmanager
    def _in_turn(self) -> Iterator[None]:
        if not self._turn.acquire(timeout=_PATIENCE_S):
            raise AccessError(
                "many people sign in at this moment; try again in a few seconds", wait_s=_PATIENCE_S
            )
        try:
            yield
        finally:
            self._turn.release()
