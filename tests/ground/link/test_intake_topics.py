"""Topics that nobody knows, and names that are not names: kept, or refused, never a stop for others."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ground.link.intake import Intake
from ground.store.sqlite import SqliteStore
from sim.faults.nodes import NoContacts
from sim.faults.signed import NS, SignedSource
from skywarden import evidence, wire
from skywarden.errors import WireError
from skywarden.evidence import EvidenceKey
from skywarden.link.protocol import Batch, Fragment, Head, Signature, encode_batch
from skywarden.messages import Sighting
from skywarden.wire import Entry, Record, encode_entry
from tests.ground.scenes import sighting

KEY = EvidenceKey.from_secret(bytes(range(32)))
BOOT = "ab" * 16
SEEN = sighting(number=1, at_s=1.0)


def _batch(*entries: Entry, fragments: tuple[Fragment, ...] = ()) -> bytes:
    return encode_batch(
        Batch(
            number=1,
            platform_id="uav07",
            boot_id=BOOT,
            sent_ns=NS,
            last_seq=9,
            pending=1,
            records=tuple(encode_entry(one) for one in entries),
            fragments=fragments,
            head=Head(seq=9, chain=bytes(32)),
            signature=Signature(key_id=evidence.key_id(KEY.public), signature=bytes(64)),
        )
    )


@pytest.mark.parametrize("topic", ["\U0001f600" * 64, "é" * 64, "unheard"])
def test_a_strange_topic_never_stops_the_intake(tmp_path: Path, topic: str) -> None:
    store = SqliteStore(tmp_path / "store.sqlite", NoContacts())
    try:
        intake = Intake(store=store, evidence_keys=lambda platform_id: (KEY.public,))
        piece = Fragment(
            seq=2,
            topic=topic,
            time_ns=NS,
            mono_ns=1,
            clock=1,
            total_bytes=2_048,
            body_hash=bytes(32),
            offset=0,
            data=bytes(1_024),
        )
        for payload in (
            _batch(Entry(seq=1, topic=topic, time_ns=NS, body=b"x")),
            _batch(Entry(seq=0, topic=topic, time_ns=NS, body=b"x")),
            _batch(fragments=(piece,)),
        ):
            parcel = intake.open("uav07", payload, len(payload), NS)
            assert parcel is not None
            assert parcel.refused
            assert not parcel.arrivals
            assert intake.commit([parcel])
    finally:
        store.close()


def test_a_topic_of_later_versions_is_kept_and_acknowledged(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.sqlite", NoContacts())
    try:
        intake = Intake(store=store, evidence_keys=lambda platform_id: (KEY.public,))
        source = SignedSource("uav07", BOOT, KEY)
        record = Record(
            platform_id="uav07", boot_id=BOOT, seq=1, topic="later", time_ns=NS, body=b"x", mono_ns=1, clock=1
        )
        source.records.append(record)
        start = evidence.chain_start("uav07", BOOT)
        source.chain.append(evidence.chain_next(start, evidence.leaf_of(record)))
        payload = source.batch([1])
        parcel = intake.open("uav07", payload, len(payload), NS)
        assert parcel is not None
        assert intake.commit([parcel])
        assert parcel.outcomes == ("quarantined",)
        assert store.standing("uav07", BOOT, ()).ack.contiguous_seq == 1
    finally:
        store.close()


_NAMES = ("sighting_id", "track_id", "platform_id", "sortie_id", "sensor_id", "model_id")


def _with(field: str, name: str) -> bytes:
    values = {one: getattr(SEEN, one) for one in SEEN.__struct_fields__}
    return wire.encode(Sighting(**{**values, field: name}))


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(field=st.sampled_from(_NAMES), name=st.text(min_size=1, max_size=130))
def test_a_name_is_taken_exactly_when_it_is_an_id(field: str, name: str) -> None:
    data = _with(field, name)
    is_id = len(name) <= 128 and all(one.isascii() and (one.isalnum() or one in "_.:-") for one in name)
    if is_id:
        assert getattr(wire.decode("sighting", data), field) == name
    else:
        with pytest.raises(WireError):
            wire.decode("sighting", data)


@pytest.mark.parametrize("field", _NAMES)
@pytest.mark.parametrize("name", ["uav07\n", "a b", "<b>", "x\0", "ü", ""])
def test_names_with_other_characters_are_refused(field: str, name: str) -> None:
    with pytest.raises(WireError):
        wire.decode("sighting", _with(field, name))
