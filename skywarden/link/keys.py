"""CURVE key pairs of both ends of the link: make, keep with tight permissions, read, compare.

Texts of keys carry a prefix and 43 characters of base64url (32 bytes), which survive shells, mails and
stickers; libzmq's own Z85 form never leaves the sockets. A secret never enters a log, a `repr` or an
argument.
"""

import base64
import binascii
import hashlib
import os
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import zmq
from zmq.utils import z85

from skywarden.durable import replace_durably
from skywarden.errors import LinkError

PUBLIC_PREFIX = "swpub1:"
_SECRET_PREFIX = "swsec1:"
_KEY_BYTES = 32
MAX_FILE_BYTES = 4_096
_KEY_TEXT = re.compile(r"^[A-Za-z0-9_-]{43}$")


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyPair:
    """A CURVE key pair; `public` and `secret` are 32 raw bytes each, and the secret stays out of `repr`."""

    public: bytes
    secret: bytes = field(repr=False)

    @property
    def public_text(self) -> str:
        """The public key as people pass it on, `swpub1:...`."""
        return public_text(self.public)

    @property
    def fingerprint(self) -> str:
        """What two people read to each other to compare keys."""
        return fingerprint(self.public)

    @property
    def public_z85(self) -> bytes:
        """The public key as libzmq's socket options take it."""
        return curve_option(self.public)

    @property
    def secret_z85(self) -> bytes:
        """The secret key as libzmq's socket options take it; hand it to a socket and to nothing else."""
        return curve_option(self.secret)


def new_key_pair() -> KeyPair:
    """A fresh pair from libsodium's random source."""
    public, secret = zmq.curve_keypair()
    return KeyPair(public=z85.decode(public), secret=z85.decode(secret))


def curve_option(key: bytes) -> bytes:
    """The 32 bytes of `key` in Z85 (ZeroMQ RFC 32), 40 characters."""
    encoded: bytes = z85.encode(key)
    return encoded


def public_text(public: bytes) -> str:
    """`swpub1:` and base64url of the 32 bytes of a public key."""
    return PUBLIC_PREFIX + key_text(public)


def parse_public(text: str) -> bytes:
    """The 32 bytes of a public key in `text` (surrounding space and a comment after it are ignored).

    Raises `LinkError` when there is no public key in it, and says so when it is a secret one.
    """
    words = text.split()
    first = words[0] if words else ""
    if first.startswith(_SECRET_PREFIX):
        raise LinkError("this is a SECRET key; it must not leave its machine. Pass the line with swpub1:")
    if not first.startswith(PUBLIC_PREFIX):
        raise LinkError(f"not a public key: expected {PUBLIC_PREFIX} and 43 characters")
    return key_bytes(first.removeprefix(PUBLIC_PREFIX), "public")


def fingerprint(public: bytes) -> str:
    """The first 10 bytes of SHA-256 of a public key, hexadecimal in groups of four."""
    digest = hashlib.sha256(b"skywarden key 1" + public).hexdigest()[:20]
    return "-".join(digest[start : start + 4] for start in range(0, 20, 4))


def create_key_file(path: Path) -> KeyPair:
    """Make a pair and write it to `path` (mode 0600, folder 0700 when it is made here).

    Raises `LinkError` when the file exists (a key is never overwritten) or cannot be written.
    """
    pair = new_key_pair()
    write_private_file(
        path,
        (
            "# skywarden link key. The line with swsec1 never leaves this machine, the other one may.",
            pair.public_text,
            _SECRET_PREFIX + key_text(pair.secret),
        ),
    )
    return pair


def write_private_file(path: Path, lines: Sequence[str]) -> None:
    """Write `lines` to a new file of mode 0600, synced (folder 0700 when it is made here).

    Raises `LinkError` when the file exists (a key is never overwritten) or cannot be written.
    """
    try:
        if not path.parent.exists():
            path.parent.mkdir(parents=True, mode=0o700)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write("\n".join((*lines, "")))
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError as error:
        raise LinkError(f"{path} exists; a key is never overwritten, choose another name") from error
    except OSError as error:
        raise LinkError(f"{path}: key cannot be written ({error.strerror})") from error
    _check_permissions(path)


def read_private_words(path: Path) -> list[str]:
    """The words of a key file; raises `LinkError` when it is missing, too large or open to other users."""
    _check_permissions(path)
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise LinkError(f"{path}: {path.stat().st_size} bytes is too large for a key file")
        return path.read_text(encoding="ascii").split()
    except (OSError, UnicodeDecodeError) as error:
        raise LinkError(f"{path}: key cannot be read") from error


def load_key_file(path: Path) -> KeyPair:
    """The pair in `path`; raises `LinkError` when it is missing, damaged or open to other users."""
    words = read_private_words(path)
    public = [word for word in words if word.startswith(PUBLIC_PREFIX)]
    secret = [word for word in words if word.startswith(_SECRET_PREFIX)]
    if len(public) != 1 or len(secret) != 1:
        raise LinkError(f"{path}: expected one public and one secret key, found {len(public)}, {len(secret)}")
    pair = KeyPair(
        public=key_bytes(public[0].removeprefix(PUBLIC_PREFIX), "public"),
        secret=key_bytes(secret[0].removeprefix(_SECRET_PREFIX), "secret"),
    )
    if z85.decode(zmq.curve_public(pair.secret_z85)) != pair.public:
        raise LinkError(f"{path}: its public and secret key do not belong together")
    return pair


def load_or_create_key_file(path: Path) -> KeyPair:
    """The pair in `path`, made on first use."""
    return load_key_file(path) if path.exists() else create_key_file(path)


def read_public(text_or_path: str) -> bytes:
    """A public key given as its text, or as the path of a file that holds it (a key file serves too)."""
    if text_or_path.startswith((PUBLIC_PREFIX, _SECRET_PREFIX)):
        return parse_public(text_or_path)
    path = Path(text_or_path)
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise LinkError(f"{path}: {path.stat().st_size} bytes is too large for a key file")
        lines = path.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise LinkError(
            f"{text_or_path[:80]!r} is neither a public key nor a readable file of one"
        ) from error
    found = [line.strip() for line in lines if line.strip().startswith(PUBLIC_PREFIX)]
    if len(found) != 1:
        raise LinkError(f"{path}: expected one line with {PUBLIC_PREFIX}, found {len(found)}")
    return parse_public(found[0])


def keep_public(path: Path, line: str) -> None:
    """Write a line of public keys to `path` (mode 0644), synced and in one step.

    Raises `LinkError` when another key is there already: take the file away first if that is meant.
    """
    try:
        if path.exists():
            if (
                path.stat().st_size <= MAX_FILE_BYTES
                and path.read_text(encoding="ascii").split() == line.split()
            ):
                return
            raise LinkError(f"{path} holds another key; remove it if this one takes its place")
        replace_durably(path, f"{line}\n".encode("ascii"), mode=0o644)
    except (OSError, UnicodeError) as error:
        raise LinkError(f"{path}: key cannot be written") from error


def key_text(key: bytes) -> str:
    """43 characters of base64url of the 32 bytes of a key."""
    return base64.urlsafe_b64encode(key).decode("ascii").rstrip("=")


def key_bytes(text: str, kind: str) -> bytes:
    """The 32 bytes in 43 characters of base64url; raises `LinkError` that names the `kind` of key."""
    if not _KEY_TEXT.fullmatch(text):
        raise LinkError(f"a {kind} key has 43 characters of base64url, this one has {len(text)} characters")
    try:
        key = base64.b64decode(text + "=", altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise LinkError(f"a {kind} key is damaged") from error
    if len(key) != _KEY_BYTES or key_text(key) != text:
        raise LinkError(f"a {kind} key is damaged: it does not decode to {_KEY_BYTES} bytes")
    return key


def _check_permissions(path: Path) -> None:
    try:
        status, above = path.stat(), path.parent.stat()
    except OSError as error:
        raise LinkError(f"{path}: no key there; make one with `skywarden keys create {path}`") from error
    if not stat.S_ISREG(status.st_mode):
        raise LinkError(f"{path}: not a plain file")
    if status.st_mode & 0o077:
        raise LinkError(f"{path} has mode {status.st_mode & 0o777:04o}; run `chmod 600 {path}`")
    if above.st_mode & 0o022 and not above.st_mode & stat.S_ISVTX:
        raise LinkError(
            f"{path.parent} can be written by others (mode {above.st_mode & 0o777:04o}); "
            f"run `chmod 700 {path.parent}`"
        )
    if status.st_uid not in (os.geteuid(), 0):
        raise LinkError(f"{path} belongs to user {status.st_uid}, not to the one that runs this")
