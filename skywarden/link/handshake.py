"""Two ends that know each other's X25519 keys agree on fresh session keys: the Noise pattern IK, without I/O.

`Noise_IK_25519_ChaChaPoly_SHA256` of the Noise Protocol Framework, revision 34: the caller knows the
answerer's key beforehand and sends its own encrypted; both are authenticated, and what is said afterwards
stays closed when a long-term key is stolen later. CURVE keys (skywarden/link/keys.py) are X25519 keys, so no
new ones are needed.
"""

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from skywarden.errors import WireError

KEY_BYTES = 32
TAG_BYTES = 16
HELLO_BYTES = KEY_BYTES + KEY_BYTES + TAG_BYTES + TAG_BYTES
"""A caller's first message without payload."""
ANSWER_BYTES = KEY_BYTES + TAG_BYTES
"""The answer without payload."""

_NAME = b"Noise_IK_25519_ChaChaPoly_SHA256"


@dataclass(frozen=True, slots=True)
class SessionKeys:
    """Keys of one session, 32 bytes each: for what we send, and for what we receive."""

    send: bytes
    receive: bytes


class _Symmetric:
    """The SymmetricState of Noise (section 5.2): chaining key, transcript hash, cipher key and nonce."""

    def __init__(self, prologue: bytes, answerer_public: bytes) -> None:
        self.hash = self._chain = _NAME
        self._key: bytes | None = None
        self._nonce = 0
        self.mix_hash(prologue)
        self.mix_hash(answerer_public)

    def mix_hash(self, data: bytes) -> None:
        self.hash = hashlib.sha256(self.hash + data).digest()

    def mix_key(self, material: bytes) -> None:
        self._chain, self._key = _derive(self._chain, material)
        self._nonce = 0

    def seal(self, plain: bytes) -> bytes:
        assert self._key is not None
        sealed = ChaCha20Poly1305(self._key).encrypt(_nonce(self._nonce), plain, self.hash)
        self._nonce += 1
        self.mix_hash(sealed)
        return sealed

    def open(self, sealed: bytes) -> bytes:
        assert self._key is not None
        try:
            plain = ChaCha20Poly1305(self._key).decrypt(_nonce(self._nonce), sealed, self.hash)
        except InvalidTag:
            raise WireError("a handshake that was not made with the right keys") from None
        self._nonce += 1
        self.mix_hash(sealed)
        return plain

    def split(self) -> tuple[bytes, bytes]:
        return _derive(self._chain, b"")


class Caller:
    """The end that begins; one object for one attempt."""

    def __init__(
        self, secret: bytes, answerer_public: bytes, prologue: bytes, ephemeral_secret: bytes
    ) -> None:
        self._static = X25519PrivateKey.from_private_bytes(secret)
        self._answerer = answerer_public
        self._ephemeral = X25519PrivateKey.from_private_bytes(ephemeral_secret)
        self._state = _Symmetric(prologue, answerer_public)

    def hello(self, payload: bytes = b"") -> bytes:
        """The first message (e, es, s, ss, payload); raises `WireError` for a key that is none."""
        state, ephemeral_public = self._state, self._ephemeral.public_key().public_bytes_raw()
        state.mix_hash(ephemeral_public)
        state.mix_key(_agree(self._ephemeral, self._answerer))
        sealed_static = state.seal(self._static.public_key().public_bytes_raw())
        state.mix_key(_agree(self._static, self._answerer))
        return ephemeral_public + sealed_static + state.seal(payload)

    def finish(self, answer: bytes) -> tuple[SessionKeys, bytes]:
        """Session keys and payload of the answer (e, ee, se); raises `WireError` when it is not one."""
        if len(answer) < ANSWER_BYTES:
            raise WireError(f"an answer of {len(answer)} bytes, at least {ANSWER_BYTES} are needed")
        state, other = self._state, answer[:KEY_BYTES]
        state.mix_hash(other)
        state.mix_key(_agree(self._ephemeral, other))
        state.mix_key(_agree(self._static, other))
        payload = state.open(answer[KEY_BYTES:])
        send, receive = state.split()
        return SessionKeys(send, receive), payload


@dataclass(frozen=True, slots=True)
class Answered:
    """What an answerer learned from a caller's first message, with its answer."""

    caller_public: bytes
    payload: bytes
    answer: bytes
    keys: SessionKeys


def answer_to(
    hello: bytes,
    secret: bytes,
    prologue: bytes,
    ephemeral_secret: bytes,
    is_welcome: Callable[[bytes], bool] = lambda key: True,
) -> Answered:
    """Answer a caller; raises `WireError` when it does not know our key, lies about its own, or `is_welcome`
    (asked with its public key) does not want it."""
    if len(hello) < HELLO_BYTES:
        raise WireError(f"a first message of {len(hello)} bytes, at least {HELLO_BYTES} are needed")
    static, ephemeral = (
        X25519PrivateKey.from_private_bytes(secret),
        X25519PrivateKey.from_private_bytes(ephemeral_secret),
    )
    state = _Symmetric(prologue, static.public_key().public_bytes_raw())
    caller_ephemeral, end = hello[:KEY_BYTES], 2 * KEY_BYTES + TAG_BYTES
    state.mix_hash(caller_ephemeral)
    state.mix_key(_agree(static, caller_ephemeral))
    caller_public = state.open(hello[KEY_BYTES:end])
    if not is_welcome(caller_public):
        raise WireError("a caller whose key is not enrolled")
    state.mix_key(_agree(static, caller_public))
    payload = state.open(hello[end:])
    own_public = ephemeral.public_key().public_bytes_raw()
    state.mix_hash(own_public)
    state.mix_key(_agree(ephemeral, caller_ephemeral))
    state.mix_key(_agree(ephemeral, caller_public))
    answer = own_public + state.seal(b"")
    receive, send = state.split()
    return Answered(caller_public, payload, answer, SessionKeys(send, receive))


def _agree(own: X25519PrivateKey, other: bytes) -> bytes:
    try:
        return own.exchange(X25519PublicKey.from_public_bytes(other))
    except ValueError:
        raise WireError("a key that agrees on nothing") from None


def _derive(chain: bytes, material: bytes) -> tuple[bytes, bytes]:
    """HKDF of Noise with two outputs (section 4.3)."""
    temporary = hmac.digest(chain, material, "sha256")
    first = hmac.digest(temporary, b"\x01", "sha256")
    return first, hmac.digest(temporary, first + b"\x02", "sha256")


def _nonce(number: int) -> bytes:
    return bytes(4) + number.to_bytes(8, "little")
