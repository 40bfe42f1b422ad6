"""The handshake against published test vectors of the Noise protocol (another implementation's answers)."""

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from skywarden.link.handshake import Caller, answer_to

_CALLER = bytes.fromhex("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f")
_ANSWERER = bytes.fromhex("0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20")
_CALLER_FRESH = bytes.fromhex("202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f")
_ANSWERER_FRESH = bytes.fromhex("4142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f60")

_HELLO = bytes.fromhex(
    "358072d6365880d1aeea329adf9121383851ed21a28e3b75e965d0d2cd166254"
    "4f8445e5dc2467b1e32653192d05dee85c4781bf0dd8d33ceebb5905a7a069f0"
    "d6bc97dbce6f8f0ee33d49311a72d0f8c4ef8ef3bc70ccb18fd61ad67dde7eda"
)
_ANSWER = bytes.fromhex(
    "64b101b1d0be5a8704bd078f9895001fc03e8e9f9522f188dd128d9846d48466787857f66c036e974ef9d6335d2ccc5f"
)
_SAID = (b"yellowsubmarine", bytes.fromhex("226ca869f2777611f37350a7ab446f650c0cfe2855b7f020ce658bcf100f2d"))
_REPLY = (b"submarineyellow", bytes.fromhex("90d84d69cd44829283b05d684879b53b8d714e51619b601438a1ae67caacd9"))


def test_noise_ik_gives_the_published_bytes() -> None:
    public = X25519PrivateKey.from_private_bytes(_ANSWERER).public_key().public_bytes_raw()
    caller = Caller(_CALLER, public, b"notsecret", _CALLER_FRESH)
    assert caller.hello() == _HELLO
    answered = answer_to(_HELLO, _ANSWERER, b"notsecret", _ANSWERER_FRESH)
    assert answered.answer == _ANSWER
    keys, _ = caller.finish(_ANSWER)
    assert ChaCha20Poly1305(keys.send).encrypt(bytes(12), _SAID[0], b"") == _SAID[1]
    assert ChaCha20Poly1305(answered.keys.send).encrypt(bytes(12), _REPLY[0], b"") == _REPLY[1]
