"""A platform and a station that do not know each other yet exchange public keys under a one-time code.

No I/O. The code has 50 random bits, is spoken or typed once, and never crosses the wire: scrypt (RFC 7914)
makes a key of it and of both sides' nonces, and each side proves with HMAC-SHA256 that it has the code and
that both saw the same public keys. Whoever listens, or sits in between, would have to try 2^50 codes at some
80 ms each before the code ends (minutes); whoever guesses has as many tries as the station gives.
"""

import hashlib
import hmac
import secrets
from typing import Annotated

import msgspec
from msgspec import Meta

from skywarden import evidence
from skywarden.errors import LinkError, UsageError, WireError
from skywarden.evidence import EvidenceKey
from skywarden.link import keys

VERSION = 1
MAX_MESSAGE_BYTES = 1_024
NONCE_BYTES = 16
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's: no I, L, O, U
_RANDOM_LETTERS = 10
_CHECK_LETTERS = 2
_READ_AS = str.maketrans({"O": "0", "I": "1", "L": "1", "-": None, " ": None, "\t": None})
_SCRYPT_COST, _SCRYPT_BLOCK, _SCRYPT_MEMORY = 1 << 15, 8, 64 << 20

_Key = Annotated[bytes, Meta(min_length=32, max_length=32)]
_Nonce = Annotated[bytes, Meta(min_length=NONCE_BYTES, max_length=NONCE_BYTES)]
_Mac = Annotated[bytes, Meta(min_length=32, max_length=32)]
_Signature = Annotated[bytes, Meta(min_length=64, max_length=64)]


class Hello(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag="hello"):
    """First, from the platform: who it says it is, and its public keys."""

    version: int
    platform_id: Annotated[str, Meta(min_length=1, max_length=127)]
    link_key: _Key
    evidence_key: _Key
    nonce: _Nonce


class Offer(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag="offer"):
    """Second, from the station: its own public key."""

    station_key: _Key
    nonce: _Nonce


class Proof(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag="proof"):
    """Third, from the platform: it has the code, and the secret half of its evidence key."""

    mac: _Mac
    signature: _Signature


class Welcome(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag="welcome"):
    """Fourth, from the station: it has the code too, and has let the platform in."""

    mac: _Mac


class Refusal(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag="refusal"):
    """Instead of an offer or a welcome: why not."""

    reason: Annotated[str, Meta(max_length=200)]


Said = Hello | Offer | Proof | Welcome | Refusal
_decoder = msgspec.msgpack.Decoder(Said)
_encoder = msgspec.msgpack.Encoder()


def new_code() -> str:
    """A fresh one-time code such as `K7QM-2XRD-9FHT`: ten random letters, two that catch a slip."""
    letters = "".join(secrets.choice(_ALPHABET) for _ in range(_RANDOM_LETTERS))
    return shown_code(letters + _check_letters(letters))


def shown_code(letters: str) -> str:
    """Twelve letters in groups of four."""
    return "-".join(letters[start : start + 4] for start in range(0, len(letters), 4))


def read_code(text: str) -> str:
    """The twelve letters of a code as somebody typed it (any case, with or without dashes, O for 0).

    Raises `UsageError` on a slip, before a try is spent on it; the message does not repeat the code.
    """
    letters = text.strip().upper().translate(_READ_AS)
    if len(letters) != _RANDOM_LETTERS + _CHECK_LETTERS:
        raise UsageError(f"a code has 12 letters and digits, this one has {len(letters)}")
    if any(letter not in _ALPHABET for letter in letters):
        raise UsageError("a code has digits and letters without I, L, O and U; look again")
    if _check_letters(letters[:_RANDOM_LETTERS]) != letters[_RANDOM_LETTERS:]:
        raise UsageError("this code has a slip in it; look again (no try was spent)")
    return letters


def encode(said: Said) -> bytes:
    """One message as bytes."""
    return _encoder.encode(said)


def decode(data: bytes) -> Said:
    """One message of either side; raises `WireError`."""
    if len(data) > MAX_MESSAGE_BYTES:
        raise WireError(f"{len(data)} bytes are too many for a message of the enrolment")
    try:
        said: Said = _decoder.decode(data)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise WireError(f"not a message of the enrolment: {error}") from error
    return said


def transcript(hello: Hello, offer: Offer) -> bytes:
    """SHA-256 over everything that both sides must have seen alike."""
    return hashlib.sha256(b"skywarden enrolment 1\0" + encode(hello) + encode(offer)).digest()


def code_key(letters: str, hello: Hello, offer: Offer) -> bytes:
    """32 bytes that only the two who have the code can make; takes about 80 ms and 32 MB on purpose."""
    return hashlib.scrypt(
        letters.encode("ascii"),
        salt=hello.nonce + offer.nonce,
        n=_SCRYPT_COST,
        r=_SCRYPT_BLOCK,
        p=1,
        maxmem=_SCRYPT_MEMORY,
        dklen=32,
    )


def endorsement(old: EvidenceKey, link_key: bytes, evidence_key: bytes) -> bytes:
    """The old evidence key's signature under the new keys of its platform."""
    return old.sign(_rotation_text(link_key, evidence_key))


def is_endorsed(old_keys: tuple[bytes, ...], signature: bytes, link_key: bytes, evidence_key: bytes) -> bool:
    """Whether one of a platform's evidence keys vouches for these new keys of it."""
    text = _rotation_text(link_key, evidence_key)
    return any(evidence.is_signed_by(key, signature, text) for key in old_keys)


class PlatformSide:
    """Aboard: `hello`, then `answer` to the offer, then `conclude` with the last word."""

    def __init__(self, letters: str, platform_id: str, pair: keys.KeyPair, signer: EvidenceKey) -> None:
        self._letters = letters
        self._signer = signer
        self._expected = b""
        self._station_key = b""
        self.hello = Hello(
            version=VERSION,
            platform_id=platform_id,
            link_key=pair.public,
            evidence_key=signer.public,
            nonce=secrets.token_bytes(NONCE_BYTES),
        )

    def answer(self, said: Said) -> Proof:
        """The proof for the station's offer; raises `LinkError` when it was none."""
        if not isinstance(said, Offer):
            raise _unexpected(said)
        seen, key = transcript(self.hello, said), code_key(self._letters, self.hello, said)
        self._station_key = said.station_key
        self._expected = _mac(key, b"station", seen)
        return Proof(mac=_mac(key, b"platform", seen), signature=self._signer.sign(seen))

    def conclude(self, said: Said) -> bytes:
        """The station's public key; raises `LinkError` when it refused or does not have the code."""
        if not isinstance(said, Welcome):
            raise _unexpected(said)
        if not hmac.compare_digest(said.mac, self._expected):
            raise LinkError(
                "whoever answered does not have the code; its key was not taken. Ask for a new code"
            )
        return self._station_key


class StationSide:
    """On the ground, for one caller: `offer` for its hello, then `judge` its proof."""

    def __init__(self, letters: str, platform_id: str, station_key: bytes) -> None:
        self._letters = letters
        self._platform_id = platform_id
        self._station_key = station_key
        self._hello: Hello | None = None
        self._offer: Offer | None = None

    def offer(self, said: Said) -> Offer:
        """Our key for the caller; raises `WireError` when that was no hello of a version we speak."""
        if not isinstance(said, Hello) or said.version != VERSION:
            raise WireError("not a hello of an enrolment of version 1")
        self._hello = said
        self._offer = Offer(station_key=self._station_key, nonce=secrets.token_bytes(NONCE_BYTES))
        return self._offer

    def judge(self, said: Said) -> tuple[Hello, Welcome]:
        """The keys that are proved to be those of whoever has the code.

        Raises `WireError` when there is no proof to judge, `LinkError` for a wrong one: a try that was spent.
        """
        if not isinstance(said, Proof) or self._hello is None or self._offer is None:
            raise WireError("no proof where one was due")
        seen = transcript(self._hello, self._offer)
        key = code_key(self._letters, self._hello, self._offer)
        if not hmac.compare_digest(said.mac, _mac(key, b"platform", seen)):
            raise LinkError("the code is another one")
        if not evidence.is_signed_by(self._hello.evidence_key, said.signature, seen):
            raise LinkError("the platform does not have the evidence key that it names")
        if self._hello.platform_id != self._platform_id:
            raise LinkError(f"the code is for {self._platform_id}, not for {self._hello.platform_id}")
        return self._hello, Welcome(mac=_mac(key, b"station", seen))


def _unexpected(said: Said) -> LinkError:
    if isinstance(said, Refusal):
        return LinkError(f"the station refuses: {said.reason}")
    return LinkError("the station answers something else than an enrolment does")


def _mac(key: bytes, side: bytes, seen: bytes) -> bytes:
    return hmac.digest(key, side + b"\0" + seen, "sha256")


def _rotation_text(link_key: bytes, evidence_key: bytes) -> bytes:
    return hashlib.sha256(b"skywarden rotation 1\0" + link_key + evidence_key).digest()


def _check_letters(letters: str) -> str:
    number = int.from_bytes(hashlib.sha256(b"skywarden code 1\0" + letters.encode()).digest()[:2], "big")
    return _ALPHABET[number & 31] + _ALPHABET[number >> 5 & 31]
