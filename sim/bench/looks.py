"""What looks cost the alerts: the same alerts over the same made radio, with a live view and without.

The real `LinkCore`, its outbox and the plan of the looks in virtual time; the radio carries bytes one after
the other at a constant rate, both ways, with a delay and some jitter. Alerts are made at odd moments; poses,
frames and tracks travel as they do from a worker. A live view is asked for all the time: the worst case. What
counts is how long an alert takes from its making to the ground, and how many looks came.
"""

import random
import statistics
import tempfile
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from edge.link.downlink import LinkConfig, LinkCore
from edge.link.outbox import Outbox
from edge.looks.config import LooksConfig
from edge.looks.plan import look_orders
from sim.faults.nodes import START_NS, NodeClock
from skywarden.link.protocol import END_OF_SEQ, Batch, Reply, decode_batch, encode_reply
from skywarden.messages import Ack, Tasking
from skywarden.wire import decode_entry

RATES = (500, 2_000, 5_000, 10_000, 20_000, 50_000, 200_000, 5_000_000)
FALL = (50_000, 5_000)
"""And once the radio falls from one rate to the other, at the middle of the watch."""
DURATION_S = 120.0
GOAL_DELAY_S = 0.2
"""An alert may wait behind one look: 0.15 s by what is known of the link, which may be a third too much."""

_TICK_S = 0.02
_LATENCY_S, _JITTER_S = 0.04, 0.03
_ALERT_S = 1.7
_SIGHTING_BYTES, _POSE_BYTES, _TRACK_BYTES, _FRAME_BYTES = 330, 190, 290, 180
_TRACKS = 2
_SENSOR = "eo"


@dataclass(slots=True)
class Watch:
    """What came of one watch; seconds from an alert's making to the ground."""

    delays_s: list[float] = field(default_factory=list)
    unheard: int = 0
    looks: int = 0
    look_bytes: int = 0
    second_half_looks: int = 0

    def told(self) -> dict[str, float]:
        """The figures."""
        ordered = sorted(self.delays_s)
        return {
            "alert_p50_s": round(statistics.median(ordered), 3),
            "alert_p95_s": round(ordered[int(0.95 * len(ordered))], 3),
            "alert_worst_s": round(ordered[-1], 3),
            "unheard": self.unheard,
            "looks": self.looks,
            "look_kib": round(self.look_bytes / 1024 / max(1, self.looks), 1),
        }


@dataclass(slots=True)
class _Pipe:
    """One direction of the radio: bytes in order, at a rate that is told for each moment."""

    rate: Callable[[float], float]
    rng: random.Random
    _free_s: float = 0.0
    _under_way: list[tuple[float, bytes]] = field(default_factory=list)

    def put(self, payload: bytes, now_s: float) -> None:
        at_s, left = max(now_s, self._free_s), float(len(payload))
        while left > 0.0:  # a rate that changes meanwhile counts from then on
            step = min(left, self.rate(at_s) * _TICK_S)
            at_s += step / self.rate(at_s)
            left -= step
        self._free_s = at_s
        arrives_s = at_s + _LATENCY_S + self.rng.uniform(0.0, _JITTER_S)
        last_s = self._under_way[-1][0] if self._under_way else 0.0
        self._under_way.append((max(arrives_s, last_s), payload))

    def take(self, now_s: float) -> list[bytes]:
        out = []
        while self._under_way and self._under_way[0][0] <= now_s:
            out.append(self._under_way.pop(0)[1])
        return out


def run() -> dict[str, Any]:
    """Figures by rate, with looks and without; "fall" is the radio that becomes narrow."""
    figures: dict[str, Any] = {}
    for rate in RATES:
        figures[str(rate)] = compared(float(rate))
        figures[f"more_{rate}_s"] = _more(figures[str(rate)])
    figures["fall"] = _compared(_falling)
    figures["fall"]["looks_after"] = watch(_falling, with_looks=True).second_half_looks
    figures["goal_more_s"] = GOAL_DELAY_S
    return figures


def watch(rate: Callable[[float], float], *, with_looks: bool, seed: int = 1) -> Watch:
    """One watch over a radio of so many bytes a second."""
    with tempfile.TemporaryDirectory(prefix="skywarden-looks-") as folder:
        return _Theatre(Path(folder), rate, with_looks=with_looks, seed=seed).run()


def compared(rate: float) -> dict[str, Any]:
    """One watch with looks and one without, over a radio of one rate."""
    return _compared(partial(_constant, rate))


def _compared(rate: Callable[[float], float]) -> dict[str, Any]:
    return {
        "with": watch(rate, with_looks=True).told(),
        "without": watch(rate, with_looks=False).told(),
    }


def _more(found: dict[str, Any]) -> float:
    """How much longer the slowest twentieth of the alerts took with looks."""
    return round(float(found["with"]["alert_p95_s"] - found["without"]["alert_p95_s"]), 3)


def _constant(rate: float, now_s: float) -> float:
    return rate


def _falling(now_s: float) -> float:
    return float(FALL[0] if now_s < DURATION_S / 2 else FALL[1])


class _Theatre:
    """An aircraft, a radio and a station that acknowledges what came."""

    def __init__(self, folder: Path, rate: Callable[[float], float], *, with_looks: bool, seed: int) -> None:
        self._rng = random.Random(seed)
        self._clock = NodeClock()
        self._outbox = Outbox(folder / "outbox.sqlite", "uav07", clock=self._clock)
        self._core = LinkCore(config=LinkConfig(), source=self._outbox, jitter=random.Random(seed))
        self._down, self._up = _Pipe(rate, random.Random(seed + 1)), _Pipe(rate, random.Random(seed + 2))
        self._with_looks = with_looks
        self._made_s: dict[int, float] = {}
        self._watch = Watch()
        self._next_alert_s, self._next_newest_s = 5.0, 0.0
        self._next_order_s = self._next_look_s = 0.0
        self._look_bytes, self._look_period_s = 0, 0.0
        self._is_second_half = False

    def run(self) -> Watch:
        """All of it."""
        now_s = 0.0
        while now_s < DURATION_S:
            now_s = round(now_s + _TICK_S, 3)
            self._is_second_half = now_s > DURATION_S / 2 + 10.0
            self._clock.now_s = now_s
            self._fly(now_s)
            while (payload := self._core.next_batch(now_s, START_NS)) is not None:
                self._down.put(payload, now_s)
            for payload in self._down.take(now_s):
                self._arrive(decode_batch(payload), now_s)
            for reply in self._up.take(now_s):
                self._core.on_reply(reply, now_s, START_NS)
        self._watch.unheard = len(self._made_s)
        self._outbox.close()
        return self._watch

    def _fly(self, now_s: float) -> None:
        if now_s >= self._next_newest_s:
            self._next_newest_s = now_s + 0.5
            self._core.offer_newest("pose", "uav07", START_NS, bytes(_POSE_BYTES))
            self._core.offer_newest("frame", _SENSOR, START_NS, bytes(_FRAME_BYTES))
            for track in range(_TRACKS):
                self._core.offer_newest("track", f"t{track}", START_NS, bytes(_TRACK_BYTES))
        if now_s >= self._next_alert_s and now_s < DURATION_S - 20.0:
            self._next_alert_s = now_s + _ALERT_S * self._rng.uniform(0.2, 1.8)
            seq = self._outbox.append_many([("sighting", START_NS, bytes(_SIGHTING_BYTES))])[0]
            self._made_s[seq] = now_s
        if self._with_looks:
            self._look(now_s)

    def _look(self, now_s: float) -> None:
        if now_s >= self._next_order_s:
            self._next_order_s = now_s + 1.0
            state = self._core.state(now_s)
            rate = state.capacity_bytes_per_s if state.is_up and state.takes_looks else 0.0
            order = look_orders(LooksConfig(), [_SENSOR], rate, {"": _LIVE}).get(_SENSOR)
            self._look_bytes = order.max_bytes if order is not None else 0
            self._look_period_s = order.period_s if order is not None else 0.0
        if self._look_bytes and now_s >= self._next_look_s:
            self._next_look_s = now_s + self._look_period_s
            self._core.offer_newest("look", _SENSOR, START_NS, bytes(self._look_bytes))

    def _arrive(self, batch: Batch, now_s: float) -> None:
        for data in batch.records:
            entry = decode_entry(data)
            if entry.topic == "look":
                self._watch.looks += 1
                self._watch.look_bytes += len(entry.body)
                self._watch.second_half_looks += self._is_second_half
            elif entry.seq and entry.seq in self._made_s:
                self._watch.delays_s.append(now_s - self._made_s.pop(entry.seq))
        ack = _ack_of(self._outbox, self._made_s)
        reply = Reply(number=batch.number, ground_ns=START_NS, ack=ack, takes_looks=True)
        self._up.put(encode_reply(reply), now_s)


def _ack_of(outbox: Outbox, missing: Collection[int]) -> Ack:
    last = outbox.state().last_seq
    gaps = sorted(missing)
    contiguous = gaps[0] - 1 if gaps else last
    ranges = (*((seq, seq) for seq in gaps), (last + 1, END_OF_SEQ))
    return Ack(platform_id="uav07", boot_id=outbox.boot_id, contiguous_seq=contiguous, missing=ranges)


_LIVE = Tasking(
    tasking_id="live-0001",
    platform_id="uav07",
    time_ns=START_NS,
    expires_ns=START_NS,
    kind="live_view",
    frames_per_s=2.0,
)
