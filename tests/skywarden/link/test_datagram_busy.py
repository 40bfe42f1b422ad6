"""Both ends on busy computers, in virtual time: a radio that loses much still carries most of what it can."""

import heapq
import random

import pytest

from sim.faults.netem import Air, Weather
from skywarden.link.datagram import Flow
from skywarden.link.handshake import SessionKeys

_LINK = 100_000.0


class _End:
    """A flow whose program gets to run only now and then."""

    def __init__(self, flow: Flow, air: Air, rng: random.Random, stall_s: float) -> None:
        self.flow, self.air, self.rng, self.stall_s = flow, air, rng, stall_s
        self.arriving: list[tuple[float, int, bytes]] = []
        self.runs_s = 0.0
        self.got = 0
        self.alerts: list[float] | None = None
        self.delays_s: list[float] = []

    def turn(self, now_s: float, other: "_End", *, is_sender: bool) -> None:
        if now_s < self.runs_s:
            return
        self.runs_s = now_s + (self.rng.expovariate(1 / self.stall_s) if self.stall_s else 0.0)
        while self.arriving and self.arriving[0][0] <= now_s:
            for message in self.flow.receive(heapq.heappop(self.arriving)[2], now_s):
                self.got += len(message)
                self.delays_s += [now_s - float(message[:20])] if not any(message[20:]) else []
        while is_sender and self.flow.has_room() and self.alerts != []:
            alert = b"%020.6f" % self.alerts.pop(0) + bytes(330) if self.alerts else bytes([1]) * 4_000
            self.flow.offer(alert)
        for _ in range(64):
            datagram = self.flow.due(now_s)
            if datagram is None:
                return
            for due_s in self.air.carry(len(datagram), now_s):
                heapq.heappush(other.arriving, (due_s, self.rng.getrandbits(60), datagram))


def _ends(loss: float, stall_s: float, rate: float) -> tuple[_End, _End]:
    weather = Weather(delay_s=0.075, jitter_s=0.01, loss=loss, double=0.01, reorder=0.02, rate=rate)
    rng = random.Random(1)
    first, second = bytes(32), bytes([1]) * 32
    sender = _End(Flow(SessionKeys(first, second), 1), Air(weather, random.Random(2)), rng, stall_s)
    taker = _End(Flow(SessionKeys(second, first), 2), Air(weather, random.Random(3)), rng, stall_s)
    return sender, taker


def _goodput(loss: float, stall_s: float, seconds: float = 12.0) -> float:
    sender, taker = _ends(loss, stall_s, _LINK)
    now_s, before = 100.0, 0
    for step in range(round(seconds / 0.002)):
        now_s += 0.002
        sender.turn(now_s, taker, is_sender=True)
        taker.turn(now_s, sender, is_sender=False)
        if step == round(seconds / 0.002 / 3):
            before = taker.got
    return (taker.got - before) / (seconds * 2 / 3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("loss", "stall_s", "share"), [(0.05, 0.0, 0.6), (0.05, 0.05, 0.5), (0.3, 0.05, 0.3)]
)
def test_a_computer_that_looks_in_every_fifty_milliseconds_carries_its_share(
    loss: float, stall_s: float, share: float
) -> None:
    assert _goodput(loss, stall_s) > share * _LINK


def test_alerts_arrive_within_seconds_at_thirty_percent_loss_also_from_a_busy_computer() -> None:
    sender, taker = _ends(0.3, 0.05, 0.0)
    now_s, sender.alerts, due_s = 100.0, [], 100.0
    while now_s < 112.0:
        now_s += 0.002
        if now_s >= due_s:
            sender.alerts.append(now_s)
            due_s += 1 / 75
        sender.turn(now_s, taker, is_sender=True)
        taker.turn(now_s, sender, is_sender=False)
    delays_s = sorted(taker.delays_s)
    assert len(delays_s) > 50 * 12
    assert delays_s[int(0.95 * len(delays_s))] < 3.0
