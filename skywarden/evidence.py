"""Proof of who recorded what, in which order: a SHA-256 chain over each outbox, signatures with Ed25519.

Every record has a *leaf* (SHA-256 of its header and of its body's SHA-256, so that a body may be erased and
the leaf kept). Leaves are chained in the order of their numbers: `chain(n) = SHA-256(chain(n - 1), leaf(n))`.
Each batch on the link is signed once, over what is in it and over how far the chain has come. Receivers
recompute leaves and chain, so that neither travels with a record. Layouts are held by goldens.
"""

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from skywarden.errors import LinkError
from skywarden.link import keys
from skywarden.wire import Record

HASH_BYTES = 32
SIGNATURE_BYTES = 64
KEY_ID_BYTES = 8

PUBLIC_PREFIX = "swev1:"
_SECRET_PREFIX = "swevsec1:"
_sha256 = hashlib.sha256
_LEAF = b"skywarden record 1\0"
_START = b"skywarden chain 1\0"
_LINK = b"skywarden link 1\0"
_FRAGMENT = b"skywarden fragment 1\0"
_SEAL = b"skywarden seal 1\0"
_NUMBERS = struct.Struct(">QQQB")
_FRAGMENT_NUMBERS = struct.Struct(">II")
_SEAL_NUMBERS = struct.Struct(">QQI")


def body_hash(body: bytes | memoryview) -> bytes:
    """SHA-256 of an encoded message."""
    return hashlib.sha256(body).digest()


def leaf_of(record: Record, hashed_body: bytes | None = None) -> bytes:
    """The 32 bytes that stand for `record`; `hashed_body` stands in for a body that is not at hand.

    SHA-256 of a tag, then platform, boot and topic each with its length (one byte), then number, time,
    monotonic time (8 bytes each, big-endian), clock quality (1 byte), then SHA-256 of the body.
    """
    numbers = _NUMBERS.pack(record.seq, record.time_ns, record.mono_ns, record.clock)
    header = _leaf_start(record.platform_id, record.boot_id, record.topic) + numbers
    hashed = hashed_body if hashed_body is not None else _sha256(record.body).digest()
    return _sha256(header + hashed).digest()


def leaf_from(
    platform_id: str,
    boot_id: str,
    seq: int,
    topic: str,
    time_ns: int,
    mono_ns: int,
    clock: int,
    hashed_body: bytes,
) -> bytes:
    """`leaf_of` from its parts."""
    header = _leaf_start(platform_id, boot_id, topic) + _NUMBERS.pack(seq, time_ns, mono_ns, clock)
    return hashlib.sha256(header + hashed_body).digest()


def chain_start(platform_id: str, boot_id: str) -> bytes:
    """The chain before the first record of an outbox."""
    return hashlib.sha256(_START + _counted(platform_id) + _counted(boot_id)).digest()


def chain_next(before: bytes, leaf: bytes) -> bytes:
    """The chain after the record with this leaf."""
    return _sha256(_LINK + before + leaf).digest()


def fragment_hash(leaf: bytes, offset: int, data: bytes | memoryview) -> bytes:
    """What stands for a piece of a large record in the signature of the batch that carried it."""
    numbers = _FRAGMENT_NUMBERS.pack(offset, len(data))
    return hashlib.sha256(_FRAGMENT + leaf + numbers + hashlib.sha256(data).digest()).digest()


def seal_text(
    platform_id: str, boot_id: str, number: int, head_seq: int, head: bytes, items: Sequence[bytes]
) -> bytes:
    """What the signature of batch `number` is over: its items (leaves and fragment hashes, in their order)
    and the chain `head` at `head_seq`, the last number that the outbox had given out. 32 bytes."""
    return hashlib.sha256(
        b"".join(
            (
                _SEAL,
                _counted(platform_id),
                _counted(boot_id),
                _SEAL_NUMBERS.pack(number, head_seq, len(items)),
                head,
                *items,
            )
        )
    ).digest()


@lru_cache(maxsize=4_096)
def key_id(public: bytes) -> bytes:
    """The first 8 bytes of SHA-256 of an evidence key: which of a platform's keys signed."""
    return hashlib.sha256(b"skywarden evidence key 1" + public).digest()[:KEY_ID_BYTES]


def is_signed_by(public: bytes, signature: bytes, text: bytes) -> bool:
    """Whether `signature` over `text` was made with the secret half of `public` (RFC 8032)."""
    try:
        _verifier(public).verify(text, signature)
    except (BadSignatureError, ValueError):
        return False
    return True


@dataclass(frozen=True, kw_only=True, slots=True)
class EvidenceKey:
    """An Ed25519 key pair, 32 raw bytes each; it signs and does nothing else. Separate from the link key."""

    public: bytes
    secret: bytes = field(repr=False)
    _signer: SigningKey = field(repr=False)

    @classmethod
    def from_secret(cls, secret: bytes) -> "EvidenceKey":
        """The pair of a 32-byte seed; raises `LinkError` when it is not one."""
        try:
            signer = SigningKey(secret)
        except ValueError as error:
            raise LinkError(f"an evidence key has 32 bytes, this one {len(secret)}") from error
        return cls(public=bytes(signer.verify_key), secret=secret, _signer=signer)

    @classmethod
    def new(cls) -> "EvidenceKey":
        """A fresh pair from the operating system's random source."""
        return cls.from_secret(bytes(SigningKey.generate()))

    @property
    def public_text(self) -> str:
        """The public key as people pass it on, `swev1:...`."""
        return public_text(self.public)

    @property
    def fingerprint(self) -> str:
        """What two people read to each other to compare keys."""
        return keys.fingerprint(self.public)

    def sign(self, text: bytes) -> bytes:
        """The 64-byte signature over `text`."""
        return self._signer.sign(text).signature


def public_text(public: bytes) -> str:
    """`swev1:` and base64url of the 32 bytes of a public evidence key."""
    return PUBLIC_PREFIX + keys.key_text(public)


def enrolment_line(pair: keys.KeyPair, key: EvidenceKey) -> str:
    """Both public keys of a platform in the line that `skywarden ground enrol` takes."""
    return f"{pair.public_text} {key.public_text}"


def public_keys_in(text: str) -> tuple[bytes, ...]:
    """Every public evidence key among the words of `text`, in order; raises `LinkError` on a damaged one and
    on a secret."""
    if _SECRET_PREFIX in text:
        raise LinkError("this is a SECRET key; it must not leave its machine. Pass the line with swev1:")
    words = [word for word in text.split() if word.startswith(PUBLIC_PREFIX)]
    return tuple(keys.key_bytes(word.removeprefix(PUBLIC_PREFIX), "public evidence") for word in words)


def read_public_keys(text_or_path: str) -> tuple[bytes, ...]:
    """The evidence keys in a line of keys, or in a file that holds one; none when there is none."""
    if text_or_path.startswith(keys.PUBLIC_PREFIX) or PUBLIC_PREFIX in text_or_path:
        return public_keys_in(text_or_path)
    path = Path(text_or_path)
    try:
        if path.stat().st_size > keys.MAX_FILE_BYTES:
            raise LinkError(f"{path}: {path.stat().st_size} bytes is too large for a key file")
        text = path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise LinkError(f"{text_or_path[:80]!r} is no readable file of keys") from error
    words = [word for word in text.split() if word.startswith(PUBLIC_PREFIX)]
    beside = evidence_key_path(path)
    if not words and beside.exists():
        return read_public_keys(str(beside))
    return public_keys_in(" ".join(words))


def evidence_key_path(link_key: Path) -> Path:
    """Where the evidence key of a link key lies: `link.key` has `link.evidence.key` beside it."""
    return link_key.parent / f"{link_key.stem}.evidence.key"


def create_evidence_key(path: Path) -> EvidenceKey:
    """Make a pair and write it to `path` (mode 0600); raises `LinkError` as `keys.create_key_file` does."""
    key = EvidenceKey.new()
    keys.write_private_file(
        path,
        (
            "# skywarden evidence key: it signs records. The line with swevsec1 never leaves this machine.",
            key.public_text,
            _SECRET_PREFIX + keys.key_text(key.secret),
        ),
    )
    return key


def load_evidence_key(path: Path) -> EvidenceKey:
    """The pair in `path`; raises `LinkError` when it is missing, damaged or open to other users."""
    words = keys.read_private_words(path)
    secrets = [word for word in words if word.startswith(_SECRET_PREFIX)]
    publics = [word for word in words if word.startswith(PUBLIC_PREFIX)]
    if len(secrets) != 1 or len(publics) != 1:
        raise LinkError(
            f"{path}: expected one public and one secret evidence key, found {len(publics)}, {len(secrets)}"
        )
    key = EvidenceKey.from_secret(keys.key_bytes(secrets[0].removeprefix(_SECRET_PREFIX), "secret evidence"))
    if key.public_text != publics[0]:
        raise LinkError(f"{path}: its public and secret evidence key do not belong together")
    return key


def load_or_create_evidence_key(path: Path) -> EvidenceKey:
    """The pair in `path`, made on first use."""
    return load_evidence_key(path) if path.exists() else create_evidence_key(path)


@lru_cache(maxsize=4_096)
def _verifier(public: bytes) -> VerifyKey:
    return VerifyKey(public)


@lru_cache(maxsize=8_192)
def _leaf_start(platform_id: str, boot_id: str, topic: str) -> bytes:
    """What the leaves of one outbox and topic begin with."""
    return _LEAF + _counted(platform_id) + _counted(boot_id) + _counted(topic)


def _counted(text: str) -> bytes:
    data = text.encode()
    return bytes((len(data),)) + data
