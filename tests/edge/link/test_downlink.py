"""The link's protocol, without sockets: what is sent when, and what happens when nothing comes back."""

import random
from collections.abc import Callable, Collection, Iterable
from typing import Any

import pytest

from edge.link.downlink import LinkConfig, LinkCore
from edge.link.outbox import OutboxState, PendingRecord
from skywarden.errors import WireError
from skywarden.link.protocol import (
    END_OF_SEQ,
    Batch,
    Head,
    Reply,
    acknowledged_ranges,
    decode_batch,
    encode_reply,
)
from skywarden.messages import Ack
from skywarden.topics import topic_named
from skywarden.wire import decode_entry

_UTC = 1_700_000_000_000_000_000


class _Memory:
    """An outbox in memory."""

    platform_id = "uav07"
    boot_id = "ab" * 16
    on_append: Callable[[], None] | None = None

    def __init__(self, records: Iterable[tuple[str, bytes]] = ()) -> None:
        self.records: dict[int, PendingRecord] = {}
        self.last = 0
        for topic, body in records:
            self.put(topic, body)

    def put(self, topic: str, body: bytes) -> int:
        self.last += 1
        self.records[self.last] = PendingRecord(
            seq=self.last, topic=topic, priority=topic_named(topic).priority, time_ns=_UTC, body=body
        )
        return self.last

    def pending(
        self,
        limit_bytes: int,
        *,
        limit_records: int = 200,
        skip: Collection[int] = (),
        fresh_from: int | None = None,
    ) -> list[PendingRecord]:
        chosen: list[PendingRecord] = []
        for record in sorted(self.records.values(), key=lambda one: (one.priority, -one.seq)):
            if record.seq in skip:
                continue
            if chosen and sum(len(one.body) for one in chosen) + len(record.body) > limit_bytes:
                break
            chosen.append(record)
        return chosen[:limit_records]

    def acknowledge(self, ack: Ack, head: Head | None = None) -> int:
        ranges = acknowledged_ranges(ack)
        gone = [seq for seq in self.records if any(first <= seq <= last for first, last in ranges)]
        for seq in gone:
            del self.records[seq]
        return len(gone)

    def state(self) -> OutboxState:
        size = sum(len(record.body) for record in self.records.values())
        return OutboxState(
            held=len(self.records), held_bytes=size, last_seq=self.last, acknowledged=0, shed=0, shed_bytes=0
        )


def _core(outbox: _Memory, **options: Any) -> LinkCore:
    return LinkCore(config=LinkConfig(**options), source=outbox, jitter=random.Random(1))


def _next(core: LinkCore, now_s: float) -> Batch | None:
    payload = core.next_batch(now_s, _UTC)
    return decode_batch(payload) if payload is not None else None


def _reply(core: LinkCore, batch: Batch, now_s: float, ack: Ack | None = None) -> None:
    core.on_reply(encode_reply(Reply(number=batch.number, ground_ns=_UTC, ack=ack)), now_s, _UTC)


def _up(core: LinkCore, now_s: float = 0.0) -> None:
    batch = _next(core, now_s)
    assert batch is not None
    assert batch.records == ()
    _reply(core, batch, now_s, Ack(platform_id="uav07", boot_id="ab" * 16, contiguous_seq=0))


def _ack(outbox: _Memory, *had: int) -> Ack:
    contiguous = next(seq for seq in range(outbox.last + 1) if seq + 1 not in had)
    missing, start = [], contiguous + 1
    for seq in sorted(seq for seq in had if seq > contiguous):
        if seq > start:
            missing.append((start, seq - 1))
        start = seq + 1
    missing.append((start, END_OF_SEQ))
    return Ack(platform_id="uav07", boot_id=outbox.boot_id, contiguous_seq=contiguous, missing=tuple(missing))


def _seqs(batch: Batch | None) -> list[int]:
    assert batch is not None
    return [decode_entry(data).seq for data in batch.records]


def test_nothing_but_heartbeats_goes_into_a_silent_link() -> None:
    core = _core(_Memory([("sighting", b"x")]))
    beats = [batch for tick in range(600) if (batch := _next(core, tick * 0.1)) is not None]
    assert all(batch.records == () for batch in beats)
    assert 20 <= len(beats) <= 60


def test_a_record_is_sent_once_the_ground_answers_and_again_until_it_is_acknowledged() -> None:
    outbox = _Memory([("sighting", b"x")])
    core = _core(outbox)
    _up(core)
    assert _seqs(_next(core, 0.1)) == [1]
    assert _next(core, 0.2) is None
    later = [tick * 0.1 for tick in range(3, 90)]
    again = [batch for now in later if (batch := _next(core, now)) is not None and batch.records]
    assert len(again) >= 1
    assert core.state(9.0).records_resent >= 1
    _reply(core, again[-1], 9.0, _ack(outbox, 1))
    assert outbox.records == {}
    after = [_next(core, 9 + tick * 0.1) for tick in range(100)]
    assert all(batch is None or not batch.records for batch in after)


def test_a_reply_without_acknowledgement_keeps_the_record_and_waits_before_it_is_sent_again() -> None:
    outbox = _Memory([("sighting", b"x")])
    core = _core(outbox)
    _up(core)
    batch = _next(core, 0.1)
    assert batch is not None
    _reply(core, batch, 0.2)
    assert 1 in outbox.records
    sent_again = next(
        now / 10 for now in range(3, 100) if (one := _next(core, now / 10)) is not None and one.records
    )
    assert 1.0 < sent_again < 4.0


def test_a_poisoned_record_does_not_hold_up_the_others() -> None:
    outbox = _Memory([("sighting", b"poison"), ("sighting", b"good")])
    core = _core(outbox)
    _up(core)
    batch = _next(core, 0.1)
    assert batch is not None
    assert _seqs(batch) == [2, 1]
    _reply(core, batch, 0.2, _ack(outbox, 2))
    outbox.put("sighting", b"new")
    assert _seqs(_next(core, 0.3)) == [3]


def test_after_a_silence_everything_under_way_is_sent_at_once() -> None:
    outbox = _Memory([("sighting", b"x")])
    core = _core(outbox, silence_s=3.0)
    _up(core)
    assert _seqs(_next(core, 0.1)) == [1]
    beat = next(one for tick in range(40, 100) if (one := _next(core, tick * 0.1)) is not None)
    assert beat.records == ()
    _reply(core, beat, 10.0)
    assert _seqs(_next(core, 10.01)) == [1]


def test_a_fresh_sighting_overtakes_a_backlog_of_chips() -> None:
    outbox = _Memory([("chip", b"c" * 20_000)] * 50)
    core = _core(outbox)
    _up(core)
    first = _next(core, 0.1)
    assert first is not None
    outbox.put("sighting", b"alert")
    _reply(core, first, 0.2, _ack(outbox, *_seqs(first)))
    assert _seqs(_next(core, 0.2))[0] == 51


def test_only_the_newest_value_of_each_key_is_sent() -> None:
    core = _core(_Memory())
    _up(core)
    for number in range(5):
        core.offer_newest("pose", "uav07", _UTC + number, f"pose {number}".encode())
        core.offer_newest("track", f"t{number % 2}", _UTC, f"track {number}".encode())
    batch = _next(core, 0.1)
    assert batch is not None
    bodies = sorted(decode_entry(data).body for data in batch.records)
    assert bodies == [b"pose 4", b"track 3", b"track 4"]
    assert _seqs(batch) == [0, 0, 0]
    assert _next(core, 0.2) is None


def test_newest_values_get_a_share_beside_a_backlog() -> None:
    core = _core(_Memory([("sighting", b"s" * 300)] * 2_000))
    _up(core)
    core.offer_newest("pose", "uav07", _UTC, b"pose")
    assert 0 in _seqs(_next(core, 0.1))


def test_durable_topics_are_not_offered_and_newest_ones_are_bounded() -> None:
    core = _core(_Memory())
    with pytest.raises(WireError, match="durable"):
        core.offer_newest("sighting", "x", _UTC, b"x")
    for number in range(5_000):
        core.offer_newest("track", f"t{number}", _UTC, b"x")
    assert core.state(0.0).newest_replaced == 3_000


def test_the_rate_cap_holds_on_average() -> None:
    outbox = _Memory([("sighting", b"s" * 200)] * 2_000)
    core = _core(outbox, rate_cap_bytes_per_s=2_000)
    _up(core)
    before = core.state(0.0).bytes_sent
    for tick in range(1, 3_000):
        batch = _next(core, tick * 0.01)
        if batch is not None:
            _reply(core, batch, tick * 0.01, _ack(outbox, *_seqs(batch)))
    sent = core.state(30.0).bytes_sent - before
    assert 0.8 * 60_000 < sent < 1.15 * 60_000


@pytest.mark.slow
def test_the_window_shrinks_when_replies_are_late_and_grows_when_they_are_prompt() -> None:
    outbox = _Memory([("sighting", b"s" * 200)] * 5_000)
    core = _core(outbox)
    _up(core)
    now_s = 0.0
    for _ in range(40):
        batch = _next(core, now_s)
        assert batch is not None
        now_s += 0.05
        _reply(core, batch, now_s, _ack(outbox, *_seqs(batch)))
    wide = core.state(now_s).window_bytes
    for _ in range(20):
        batch = _next(core, now_s)
        assert batch is not None
        now_s += 3.0
        _reply(core, batch, now_s, _ack(outbox, *_seqs(batch)))
    assert wide > 100_000
    assert core.state(now_s).window_bytes < 10_000


@pytest.mark.parametrize("seed", range(30))
def test_over_a_link_that_loses_doubles_and_delays_everything_arrives_once(seed: int) -> None:
    """A seeded lossy link between the core and a ground that keeps what it has seen."""
    chance = random.Random(seed)
    outbox = _Memory((chance.choice(["sighting", "chip", "health"]), b"x" * 300) for _ in range(150))
    core = LinkCore(config=LinkConfig(silence_s=4.0), source=outbox, jitter=random.Random(seed))
    stored: set[int] = set()
    under_way: list[tuple[float, bytes, bool]] = []
    now_s, quiet_from_s = 0.0, 60.0
    while outbox.records and now_s < 200.0:
        now_s += 0.05
        is_lossy = now_s < quiet_from_s
        while (payload := core.next_batch(now_s, _UTC)) is not None:
            for _ in range(2 if chance.random() < 0.05 else 1):
                if not is_lossy or chance.random() > 0.3:
                    under_way.append((now_s + chance.uniform(0.05, 0.6), payload, True))
        for item in [one for one in under_way if one[0] <= now_s]:
            under_way.remove(item)
            if not item[2]:
                core.on_reply(item[1], now_s, _UTC)
                continue
            batch = decode_batch(item[1])
            stored.update(decode_entry(data).seq for data in batch.records)
            answer = encode_reply(Reply(number=batch.number, ground_ns=_UTC, ack=_ack(outbox, *stored)))
            if not is_lossy or chance.random() > 0.3:
                under_way.append((now_s + chance.uniform(0.05, 0.6), answer, False))
    assert outbox.records == {}
    assert stored == set(range(1, 151))


def _busy(outbox: _Memory, **options: float) -> LinkCore:
    """A link with a reply out: the first look is under way."""
    core = _core(outbox, **options)
    _up(core)
    outbox.put("health", b"first")
    assert _seqs(_next(core, 0.1)) == [1]
    return core


def test_while_a_reply_is_out_what_is_no_alert_waits_for_company() -> None:
    outbox = _Memory()
    core = _busy(outbox)
    for now_s in (0.11, 0.13, 0.15, 0.17, 0.19):
        outbox.put("health", b"x")
        assert _next(core, now_s) is None
        assert core.wait_s(now_s) <= 0.05
    assert core.wait_s(0.19) == pytest.approx(0.02)
    assert sorted(_seqs(_next(core, 0.22))) == [2, 3, 4, 5, 6]


def test_an_alert_never_waits_and_takes_along_what_does() -> None:
    outbox = _Memory()
    core = _busy(outbox)
    outbox.put("health", b"x")
    assert _next(core, 0.11) is None
    outbox.put("sighting", b"alert")
    assert _seqs(_next(core, 0.12)) == [3, 2]


def test_a_reply_sends_what_was_gathered_at_once() -> None:
    outbox = _Memory()
    core = _core(outbox)
    _up(core)
    outbox.put("health", b"x")
    first = _next(core, 0.1)
    assert first is not None
    core.offer_newest("pose", "uav07", _UTC, b"pose")
    outbox.put("health", b"y")
    assert _next(core, 0.11) is None
    _reply(core, first, 0.14, _ack(outbox, 1))
    assert len(_seqs(_next(core, 0.14))) == 2


def test_half_a_batch_waits_for_nobody_and_gathering_can_be_switched_off() -> None:
    outbox = _Memory()
    core = _busy(outbox)
    outbox.put("chip", b"x" * 6_000)
    assert _seqs(_next(core, 0.11)) == [2]
    outbox = _Memory()
    core = _busy(outbox, gather_s=0.0)
    outbox.put("health", b"x")
    assert _seqs(_next(core, 0.11)) == [2]


def test_where_answers_take_long_more_is_gathered() -> None:
    outbox = _Memory()
    core = _core(outbox)
    _up(core)
    now_s = 0.0
    for _ in range(20):  # answers take 0.9 s: a satellite, or a station with too much to do
        outbox.put("health", b"x")
        batch = _next(core, now_s)
        assert batch is not None
        now_s += 0.9
        _reply(core, batch, now_s, _ack(outbox, *_seqs(batch)))
    outbox.put("health", b"first")
    assert _next(core, now_s) is not None
    outbox.put("health", b"x")
    assert _next(core, now_s + 0.01) is None
    assert _next(core, now_s + 0.25) is None
    assert _next(core, now_s + 0.32) is not None
    outbox.put("sighting", b"alert")
    assert _next(core, now_s + 0.33) is not None
