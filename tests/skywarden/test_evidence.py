"""The chain and the signatures: fixed layouts, and no change goes unnoticed."""

import stat
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from skywarden import evidence
from skywarden.errors import LinkError
from skywarden.evidence import EvidenceKey
from skywarden.link import keys
from skywarden.wire import Record

RECORD = Record(
    platform_id="uav07",
    boot_id="0" * 32,
    seq=7,
    topic="sighting",
    time_ns=1_533_430_844_800_000_000,
    body=b"\x01body",
    mono_ns=12_000_000_000,
    clock=1,
)
KEY = EvidenceKey.from_secret(bytes(range(32)))


def test_leaf_chain_and_seal_have_these_very_bytes() -> None:
    leaf = evidence.leaf_of(RECORD)
    start = evidence.chain_start("uav07", "0" * 32)
    text = evidence.seal_text("uav07", "0" * 32, 3, 7, start, [leaf])
    found = [
        leaf.hex()[:16],
        start.hex()[:16],
        evidence.chain_next(start, leaf).hex()[:16],
        evidence.fragment_hash(leaf, 1024, b"data").hex()[:16],
        text.hex()[:16],
        KEY.sign(text).hex()[:16],
        evidence.key_id(KEY.public).hex(),
    ]
    assert found == GOLDENS


GOLDENS = [
    "46a324f76645753b",
    "084927b8d91e485a",
    "866632710ab8a372",
    "235ab64e5cffee16",
    "d9cfaca7620d3590",
    "e8015f940c4eaff9",
    "65e3fd6adea72d5c",
]


@pytest.mark.parametrize(
    "change",
    [
        {"platform_id": "uav08"},
        {"boot_id": "1" * 32},
        {"seq": 8},
        {"topic": "health"},
        {"time_ns": 1},
        {"mono_ns": 1},
        {"clock": 2},
        {"body": b"\x01Body"},
    ],
)
def test_every_field_of_a_record_is_in_its_leaf(change: dict[str, object]) -> None:
    assert evidence.leaf_of(msgspec.structs.replace(RECORD, **change)) != evidence.leaf_of(RECORD)


def test_an_erased_body_leaves_the_leaf() -> None:
    erased = msgspec.structs.replace(RECORD, body=b"")
    assert evidence.leaf_of(erased, evidence.body_hash(RECORD.body)) == evidence.leaf_of(RECORD)


@given(st.binary(min_size=32, max_size=32), st.integers(0, 511))
def test_a_signature_with_any_bit_turned_is_refused(text: bytes, bit: int) -> None:
    signature = bytearray(KEY.sign(text))
    assert evidence.is_signed_by(KEY.public, bytes(signature), text)
    signature[bit // 8] ^= 1 << bit % 8
    assert not evidence.is_signed_by(KEY.public, bytes(signature), text)
    assert not evidence.is_signed_by(EvidenceKey.new().public, KEY.sign(text), text)


def test_signatures_are_those_of_rfc_8032_and_of_other_libraries() -> None:
    secret = bytes.fromhex("c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7")
    key = EvidenceKey.from_secret(secret)  # RFC 8032, 7.1, test 3
    assert key.public.hex() == "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025"
    signature = key.sign(bytes.fromhex("af82"))
    assert signature.hex() == (
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
        "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"
    )
    Ed25519PublicKey.from_public_bytes(key.public).verify(signature, bytes.fromhex("af82"))
    other = Ed25519PrivateKey.from_private_bytes(secret).sign(b"text")
    assert evidence.is_signed_by(key.public, other, b"text")


@pytest.mark.parametrize(
    ("public", "signature"), [(b"", b"s" * 64), (b"p" * 31, b"s" * 64), (b"p" * 32, b"s")]
)
def test_what_is_no_key_or_no_signature_signs_nothing(public: bytes, signature: bytes) -> None:
    assert not evidence.is_signed_by(public, signature, b"text")
    assert not evidence.is_signed_by(KEY.public, signature, b"text")


@given(st.lists(st.binary(min_size=32, max_size=32), min_size=2, max_size=6, unique=True), st.data())
def test_items_that_change_places_change_the_seal(items: list[bytes], data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(items))
    same = evidence.seal_text("p", "b", 1, 2, b"h" * 32, items)
    assert (evidence.seal_text("p", "b", 1, 2, b"h" * 32, shuffled) == same) == (shuffled == items)


def test_a_key_file_is_private_reads_back_and_is_never_overwritten(tmp_path: Path) -> None:
    path = evidence.evidence_key_path(tmp_path / "keys" / "link.key")
    assert path.name == "link.evidence.key"
    made = evidence.create_evidence_key(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert evidence.load_or_create_evidence_key(path).public == made.public
    with pytest.raises(LinkError, match="never overwritten"):
        evidence.create_evidence_key(path)
    path.chmod(0o644)
    with pytest.raises(LinkError, match="chmod 600"):
        evidence.load_evidence_key(path)


def test_damaged_key_files_and_secrets_in_public_places_are_refused(tmp_path: Path) -> None:
    one, two = tmp_path / "a.key", tmp_path / "b.key"
    first, second = evidence.create_evidence_key(one), evidence.create_evidence_key(two)
    secret = next(word for word in one.read_text().split() if word.startswith("swevsec1:"))
    with pytest.raises(LinkError, match="SECRET"):
        evidence.public_keys_in(secret)
    one.write_text(one.read_text().replace(first.public_text, second.public_text))
    with pytest.raises(LinkError, match="do not belong together"):
        evidence.load_evidence_key(one)
    with pytest.raises(LinkError, match="43 characters"):
        evidence.public_keys_in("swev1:short")
    assert "secret" not in repr(first)


def test_one_line_carries_both_keys_and_old_readers_find_theirs(tmp_path: Path) -> None:
    pair = keys.new_key_pair()
    line = evidence.enrolment_line(pair, KEY)
    assert keys.parse_public(line) == pair.public
    assert evidence.public_keys_in(line) == (KEY.public,)
    path = tmp_path / "uav07.pub"
    path.write_text(f"{line} {EvidenceKey.new().public_text}\n")
    assert len(evidence.read_public_keys(str(path))) == 2
    assert evidence.read_public_keys(pair.public_text) == ()
