"""Looks on the link: alone, last of all, only to stations that want them, never on a link that is thin."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from edge.link.capacity import LOOK_LINK_S, TRIAL_EVERY_S, TRIAL_LINK_S, Capacity
from edge.link.downlink import LinkConfig, LinkCore
from edge.link.outbox import OutboxState, PendingRecord
from sim.bench import looks
from skywarden.link.protocol import END_OF_SEQ, Reply, decode_batch, encode_reply
from skywarden.messages import Ack, Look
from skywarden.topics import topic_of
from skywarden.wire import decode_entry, encode
from tests.samples import EVERY

_UTC = 1_700_000_000_000_000_000


@dataclass
class _Empty:
    """An outbox that holds at most one alert."""

    platform_id: str = "uav07"
    boot_id: str = "ab" * 16
    on_append: Callable[[], None] | None = None
    alerts: list[PendingRecord] = field(default_factory=list)

    def pending(self, limit_bytes: int, **_: object) -> list[PendingRecord]:
        return list(self.alerts)

    def acknowledge(self, ack: Ack, head: object = None) -> int:
        self.alerts.clear()
        return 0

    def state(self) -> OutboxState:
        return OutboxState(
            held=len(self.alerts), held_bytes=0, last_seq=1, acknowledged=0, shed=0, shed_bytes=0
        )


class _Link:
    """A core and a station that answers at once or later; seconds are ours to say."""

    def __init__(self, *, takes_looks: bool = True, **options: Any) -> None:
        self.outbox = _Empty()
        self.core = LinkCore(config=LinkConfig(**options), source=self.outbox, jitter=random.Random(1))
        self.takes_looks = takes_looks
        self.now_s = 0.0

    def turn(self, delay_s: float = 0.01) -> list[str]:
        """Send what is due and answer it after a while; the topics that went."""
        self.now_s += 0.5
        payload = self.core.next_batch(self.now_s, _UTC)
        if payload is None:
            return []
        batch = decode_batch(payload)
        self.now_s += delay_s
        ack = Ack(platform_id="uav07", boot_id="ab" * 16, contiguous_seq=1, missing=((2, END_OF_SEQ),))
        reply = Reply(number=batch.number, ground_ns=_UTC, ack=ack, takes_looks=self.takes_looks)
        self.core.on_reply(encode_reply(reply), self.now_s, _UTC)
        return [decode_entry(data).topic for data in batch.records]

    def warm(self, size: int = 2_000, delay_s: float = 0.01) -> None:
        """Some poses, so that the link is known."""
        for number in range(8):
            self.core.offer_newest("pose", "uav07", _UTC, bytes(size if number % 2 else 300))
            self.turn(delay_s)

    def offer(self, size: int = 2_000, sensor: str = "eo") -> None:
        """A look."""
        self.core.offer_newest("look", sensor, _UTC, bytes(size))


def test_a_look_goes_alone_once_nothing_else_waits() -> None:
    link = _Link()
    link.warm()
    link.offer()
    link.core.offer_newest("pose", "uav07", _UTC, b"p")
    assert link.turn() == ["pose"]
    assert link.turn() == ["look"]
    assert link.core.state(link.now_s).looks_sent == 1


def test_a_newer_look_takes_the_place_of_the_older_and_cameras_take_turns() -> None:
    link = _Link()
    link.warm()
    before = link.core.state(link.now_s).newest_replaced
    for sensor in ("eo", "eo", "ir"):
        link.offer(sensor=sensor)
    assert [link.turn(), link.turn(), link.turn()] == [["look"], ["look"], []]
    assert link.core.state(link.now_s).newest_replaced == before + 1


def test_a_station_that_does_not_know_looks_gets_none() -> None:
    link = _Link(takes_looks=False)
    link.warm()
    link.offer()
    assert [link.turn() for _ in range(6)].count(["look"]) == 0


def test_a_link_of_which_little_is_known_or_that_is_thin_gets_none() -> None:
    unknown = _Link()
    unknown.offer()
    assert unknown.turn() == []
    thin = _Link()
    for number in range(10):
        size = 2_000 if number % 2 else 300
        thin.core.offer_newest("pose", "uav07", _UTC, bytes(size))
        thin.turn(delay_s=size / 500)
    thin.offer()
    assert [thin.turn() for _ in range(6)].count(["look"]) == 0


def test_an_alert_goes_before_a_look_and_none_follows_while_it_is_not_acknowledged() -> None:
    link = _Link()
    link.warm()
    alert = PendingRecord(seq=1, topic="sighting", priority=0, time_ns=_UTC, body=bytes(300))
    link.outbox.alerts.append(alert)
    link.offer()
    assert link.turn() == ["sighting"]
    assert link.turn() == ["look"]


def test_the_cap_is_kept_and_looks_leave_room_under_it() -> None:
    link = _Link(rate_cap_bytes_per_s=20_000)
    link.warm()
    link.offer(size=int(20_000 * TRIAL_LINK_S) + 500)
    assert link.turn() == [], "too large for the cap, however wide the link"
    link.offer(size=2_000)
    assert link.turn() == ["look"]


def test_a_look_on_trial_goes_once_in_half_a_minute() -> None:
    link = _Link(rate_cap_bytes_per_s=20_000)
    link.warm()
    size = int(20_000 * LOOK_LINK_S) + 500
    link.offer(size=size)
    assert link.turn() == ["look"]
    began_s = link.now_s
    link.offer(size=size)
    while link.turn() != ["look"]:
        link.core.offer_newest("pose", "uav07", _UTC, bytes(2_000))
        link.turn()
    assert link.now_s - began_s >= TRIAL_EVERY_S - 1.0


def test_what_a_link_carries_is_read_from_how_long_larger_batches_take() -> None:
    rate, capacity, rng, now_s = 40_000.0, Capacity(), random.Random(1), 0.0
    for _ in range(60):
        size, now_s = rng.choice((0, 300, 900, 4_000)), now_s + 0.3
        capacity.answered(size, 0.6 + size / rate + rng.uniform(0.0, 0.01), now_s)
    assert 0.7 * rate <= capacity.bytes_per_s(now_s) <= 1.4 * rate
    assert capacity.is_prompt
    for _ in range(12):
        now_s += 2.0
        capacity.answered(600, 0.6 + 600 / 500.0, now_s)
    assert not capacity.is_prompt or capacity.bytes_per_s(now_s) < 2_000.0
    assert capacity.bytes_per_s(now_s + 16.0) == 0.0, "what is old proves nothing"


def test_a_message_of_this_topic_is_a_look() -> None:
    look = EVERY["look"]
    assert isinstance(look, Look)
    assert topic_of(look).policy == "newest"
    assert len(encode(look)) < 400


@pytest.mark.slow
def test_over_a_thin_radio_looks_are_none_and_over_a_wide_one_no_alert_waits_long() -> None:
    for rate, is_shown in ((2_000.0, False), (50_000.0, True)):
        found = looks.compared(rate)
        assert (found["with"]["looks"] > 50) == is_shown
        assert found["with"]["unheard"] == 0
        later_s = found["with"]["alert_p95_s"] - found["without"]["alert_p95_s"]
        assert later_s <= (looks.GOAL_DELAY_S if is_shown else 0.0), "virtual time: the same on every machine"
