"""Large records travel in pieces, resume after a break, and never stand before an alert."""

import random
from pathlib import Path
from typing import Any

import pytest

from edge.link.downlink import LinkConfig, LinkCore
from edge.link.outbox import Outbox
from ground.store.sequences import SequenceSet
from skywarden import evidence
from skywarden.evidence import EvidenceKey
from skywarden.link.protocol import (
    END_OF_SEQ,
    MAX_SIGNED_ITEMS,
    UNIT_BYTES,
    Batch,
    Partial,
    Reply,
    decode_batch,
    encode_reply,
    units_of,
)
from skywarden.messages import Ack
from skywarden.wire import decode_entry

_UTC = 1_780_000_000_000_000_000
KEY = EvidenceKey.from_secret(bytes(32))


class _Ground:
    """Keeps what it is told, answers with units and numbers."""

    def __init__(self, outbox: Outbox) -> None:
        self.outbox = outbox
        self.whole: set[int] = set()
        self.units: dict[int, set[int]] = {}
        self.bodies: dict[int, bytearray] = {}

    def take(self, batch: Batch) -> None:
        self.whole |= {entry.seq for entry in map(decode_entry, batch.records) if entry.seq}
        for piece in batch.fragments:
            body = self.bodies.setdefault(piece.seq, bytearray(piece.total_bytes))
            body[piece.offset : piece.offset + len(piece.data)] = piece.data
            first = piece.offset // UNIT_BYTES
            units = self.units.setdefault(piece.seq, set())
            units |= set(range(first, first + units_of(len(piece.data))))
            if len(units) == units_of(piece.total_bytes):
                assert evidence.body_hash(bytes(body)) == piece.body_hash
                self.whole.add(piece.seq)

    def reply(self, number: int) -> bytes:
        contiguous = next(n for n in range(10**6) if n + 1 not in self.whole)
        missing, start = [], contiguous + 1
        for seq in sorted(seq for seq in self.whole if seq > contiguous):
            if seq > start:
                missing.append((start, seq - 1))
            start = seq + 1
        missing.append((start, END_OF_SEQ))
        ack = Ack(
            platform_id="uav07",
            boot_id=self.outbox.boot_id,
            contiguous_seq=contiguous,
            missing=tuple(missing),
        )
        partial = tuple(
            Partial(
                seq=seq,
                units=tuple(
                    (first - 1, last - 1) for first, last in SequenceSet(unit + 1 for unit in units).ranges()
                )[:16],
            )
            for seq, units in self.units.items()
            if seq not in self.whole
        )
        return encode_reply(Reply(number=number, ground_ns=_UTC, ack=ack, partial=partial))


def _core(outbox: Outbox, **options: Any) -> LinkCore:
    return LinkCore(config=LinkConfig(**options), source=outbox, jitter=random.Random(1), key=KEY)


def _next(core: LinkCore, now_s: float) -> Batch | None:
    payload = core.next_batch(now_s, _UTC)
    return decode_batch(payload) if payload is not None else None


def _until_empty(core: LinkCore, ground: _Ground, now_s: float, loss: float, seed: int) -> list[Batch]:
    chance, sent = random.Random(seed), []
    while ground.outbox.state().held and now_s < 600.0:
        now_s += 0.05
        batch = _next(core, now_s)
        if batch is None:
            continue
        sent.append(batch)
        if chance.random() >= loss:
            ground.take(batch)
            if chance.random() >= loss:
                core.on_reply(ground.reply(batch.number), now_s + 0.04, _UTC)
    return sent


@pytest.fixture
def outbox(tmp_path: Path) -> Outbox:
    return Outbox(tmp_path / "outbox.sqlite", "uav07")


@pytest.mark.parametrize("loss", [0.0, 0.3])
def test_a_large_record_arrives_whole_in_pieces_also_over_loss(outbox: Outbox, loss: float) -> None:
    body = random.Random(3).randbytes(200_123)
    outbox.append_many([("chip", _UTC, body), ("sighting", _UTC, b"alert")])
    ground = _Ground(outbox)
    sent = _until_empty(_core(outbox, retry_min_s=0.2), ground, 0.0, loss, 5)
    assert outbox.state().held == 0
    assert bytes(ground.bodies[1]) == body
    assert max(len(piece.data) for batch in sent for piece in batch.fragments) <= 65_536
    outbox.close()


def test_after_a_restart_only_the_missing_pieces_go_again(outbox: Outbox) -> None:
    body = random.Random(4).randbytes(100 * UNIT_BYTES)
    outbox.append("chip", _UTC, body)
    ground = _Ground(outbox)
    first = _core(outbox)
    now_s = 0.0
    while len(ground.units.get(1, ())) < 40:
        now_s += 0.05
        batch = _next(first, now_s)
        if batch is not None:
            ground.take(batch)
            first.on_reply(ground.reply(batch.number), now_s, _UTC)
    before = len(ground.units[1])
    sent = _until_empty(_core(outbox), ground, now_s, 0.0, 1)
    again = sum(units_of(len(piece.data)) for batch in sent for piece in batch.fragments)
    assert outbox.state().held == 0
    assert before >= 40
    assert again == 100 - before
    outbox.close()


def test_an_alert_goes_before_the_next_piece(outbox: Outbox) -> None:
    outbox.append("chip", _UTC, b"c" * 200_000)
    ground, core = _Ground(outbox), _core(outbox)
    now_s, pieces = 0.0, 0
    while pieces < 2:
        now_s += 0.05
        batch = _next(core, now_s)
        if batch is not None:
            ground.take(batch)
            pieces += len(batch.fragments)
            core.on_reply(ground.reply(batch.number), now_s, _UTC)
    outbox.append("sighting", _UTC, b"alert")
    batch = _next(core, now_s + 0.01)
    assert batch is not None
    assert [decode_entry(data).seq for data in batch.records] == [2]
    outbox.close()


def test_fresh_metadata_goes_before_older_and_both_before_pictures(outbox: Outbox) -> None:
    outbox.append_many([("chip", _UTC, b"c"), *[("health", _UTC, b"old")] * 3])
    core = _core(outbox)
    ground = _Ground(outbox)
    for tick in range(400):  # the numbers so far grow old while the ground is silent
        _next(core, tick * 0.1)
    core._fresh_from(40.0)
    outbox.append_many([("chip", _UTC, b"c"), ("health", _UTC, b"new"), ("sighting", _UTC, b"s")])
    core._fresh_from(51.0)
    order = [one.seq for one in outbox.pending(10**6, fresh_from=core._fresh_from(52.0))]
    assert order == [7, 6, 4, 3, 2, 5, 1]
    assert ground.whole == set()
    outbox.close()


def test_nothing_of_the_outbox_is_sent_before_the_ground_has_said_what_it_has(outbox: Outbox) -> None:
    outbox.append("sighting", _UTC, b"alert")
    core = _core(outbox)
    beat = _next(core, 0.0)
    assert beat is not None
    core.on_reply(encode_reply(Reply(number=beat.number, ground_ns=_UTC)), 0.1, _UTC)
    for tick in range(30):
        batch = _next(core, 0.2 + tick * 0.1)
        assert batch is None or batch.records == ()
    beat = _next(core, 9.0)
    assert beat is not None
    core.on_reply(_Ground(outbox).reply(beat.number), 9.1, _UTC)
    batch = _next(core, 9.2)
    assert batch is not None
    assert len(batch.records) == 1
    outbox.close()


def test_a_batch_is_signed_over_its_records_and_the_head_of_the_chain(outbox: Outbox) -> None:
    outbox.append_many([("sighting", _UTC, bytes([1, n])) for n in range(200)])
    ground, core = _Ground(outbox), _core(outbox)
    sent = _until_empty(core, ground, 0.0, 0.0, 1)
    carrying = [batch for batch in sent if batch.records]
    assert all(len(batch.records) <= MAX_SIGNED_ITEMS for batch in carrying)
    assert all(batch.signature is None for batch in sent if not batch.records)
    for batch in carrying:
        assert batch.head is not None
        assert batch.signature is not None
        assert (batch.head.seq, batch.head.chain) == (200, outbox.state().head)
        leaves = [
            evidence.leaf_from(
                "uav07", batch.boot_id, one.seq, one.topic, one.time_ns, one.mono_ns, one.clock, hashed
            )
            for one in map(decode_entry, batch.records)
            for hashed in (evidence.body_hash(one.body),)
        ]
        text = evidence.seal_text("uav07", batch.boot_id, batch.number, 200, batch.head.chain, leaves)
        assert evidence.is_signed_by(KEY.public, batch.signature.signature, text)
    outbox.close()
