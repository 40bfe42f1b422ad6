"""How fast to send over a link that loses at random: a rate that believes delay and *excess* loss only.

TCP takes every loss for its own doing and starves at 30 %. Here the loss that a link has anyway is learnt
(`floor`), and the rate falls only when loss rises above it or when our own bytes queue up. Bytes, seconds.
"""

import math
import statistics
from collections import deque
from dataclasses import dataclass, field

MIN_RATE = 600.0
START_RATE = 40_000.0
_BURST_S = 0.08
"""What may leave at once: a busy computer looks in every 50 ms only, and must not lose that time."""
_QUEUE_TARGET_S = 0.15
_MIN_EPOCH_S = 0.1
_MIN_SAMPLES = 30
_FEW_SAMPLES = 12
_SLOW_RATE = 10_000.0
_MIN_ROUND_TRIPS = 5
_MOST_OVER_DELIVERED = 3.0
_PROBE = 0.7
_BOLD_PROBE = 0.4
_MOST_FLOOR = 0.7
_CRUSHED = 0.6
_BASE_KEPT_S = 30.0
_LEAST_RTO_S = 0.1
_MOST_RTO_S = 3.0


@dataclass(slots=True)
class Epoch:
    """What became of the packets sent during one stretch of time."""

    began_s: float
    ended_s: float = math.inf
    sent: int = 0
    acked: int = 0
    lost: int = 0
    is_busy: bool = False

    @property
    def is_decided(self) -> bool:
        return self.acked + self.lost >= self.sent


@dataclass(slots=True)
class Pace:
    """Round trip, rate and loss of one direction. `most` caps the rate; 0 for no cap."""

    most: float = 0.0
    rate: float = START_RATE
    rtt_s: float | None = None
    spread_s: float = 0.0
    floor: float = 0.0
    loss: float = 0.0
    is_starting: bool = True
    _recent_s: list[float] = field(default_factory=list)
    _delivered: deque[tuple[int, int]] = field(default_factory=lambda: deque(maxlen=8))
    _best: deque[tuple[float, float]] = field(default_factory=deque)
    _epochs: deque[Epoch] = field(default_factory=deque)
    _pooled: tuple[int, int] = (0, 0)
    _probe: tuple[float, float] | None = None
    _since_s: float = -math.inf
    _tokens: float = 0.0
    _filled_s: float = -math.inf

    def refill(self, now_s: float) -> None:
        """Let time add what may be sent."""
        burst = max(1_400.0, self.rate * _BURST_S)
        self._tokens = min(burst, self._tokens + max(0.0, now_s - self._filled_s) * self.rate)
        self._filled_s = now_s

    @property
    def may_send(self) -> bool:
        """Whether a packet may leave now."""
        return self._tokens > 0.0

    @property
    def wait_s(self) -> float:
        """How long until one may."""
        return max(0.0, -self._tokens / self.rate)

    @property
    def rto_s(self) -> float:
        """After so long without word a packet counts as lost."""
        if self.rtt_s is None:
            return 0.6
        return min(_MOST_RTO_S, max(_LEAST_RTO_S, self.rtt_s + 4.0 * self.spread_s + 0.03))

    @property
    def window_bytes(self) -> float:
        """At most so much under way: what the rate fills in twice the round trip."""
        return 4_800.0 + 2.0 * self.rate * ((self.rtt_s or 0.3) + 0.1)

    def sent(self, now_s: float, size: int, *, has_more: bool) -> Epoch:
        """A packet left; `has_more` says that others wait behind it. Its stretch of time."""
        self._tokens -= size
        is_busy = has_more and self._tokens <= 0.0
        epoch = self._epochs[-1] if self._epochs else None
        length_s = max(_MIN_EPOCH_S, self.rtt_s or 0.2)
        if epoch is None or now_s - epoch.began_s > length_s:
            if epoch is not None:
                epoch.ended_s = now_s
            epoch = Epoch(now_s)
            self._epochs.append(epoch)
        epoch.sent += 1
        epoch.is_busy = epoch.is_busy or is_busy
        return epoch

    def acked(self, now_s: float, size: int, epoch: Epoch, rtt_s: float | None) -> None:
        """A packet arrived; with a round trip when this very word tells one."""
        epoch.acked += 1
        if rtt_s is not None:
            self.note_rtt(rtt_s)
            self._recent_s.append(rtt_s)
        second = int(now_s)
        if not self._delivered or self._delivered[-1][0] != second:
            self._delivered.append((second, 0))
        self._delivered[-1] = (second, self._delivered[-1][1] + size)
        self._judge(now_s)

    def lost(self, now_s: float, epoch: Epoch) -> None:
        """A packet counts as lost."""
        epoch.lost += 1
        self._judge(now_s)

    def was_not_lost(self) -> None:
        """One that counted as lost did arrive."""
        lost, sent = self._pooled
        self._pooled = (max(0, lost - 1), sent)

    def note_rtt(self, rtt_s: float) -> None:
        """A round trip was measured."""
        if self.rtt_s is None:
            self.rtt_s, self.spread_s = rtt_s, rtt_s / 2
        else:
            self.spread_s = 0.75 * self.spread_s + 0.25 * abs(rtt_s - self.rtt_s)
            self.rtt_s = 0.875 * self.rtt_s + 0.125 * rtt_s

    def _queue_s(self, now_s: float) -> float:
        """How much longer the latest packets took than those of the best stretch lately.

        By medians, so that single packets that overtook the others say nothing.
        """
        if len(self._recent_s) < _MIN_ROUND_TRIPS:
            return 0.0
        middle_s = statistics.median(self._recent_s)
        self._recent_s.clear()
        best = self._best
        while best and best[-1][1] >= middle_s:
            best.pop()
        best.append((now_s, middle_s))
        while now_s - best[0][0] > _BASE_KEPT_S:
            best.popleft()
        return middle_s - best[0][1] - self.spread_s

    def _judge(self, now_s: float) -> None:
        """Take finished epochs together until there are enough packets to speak of a loss rate."""
        while self._epochs and self._epochs[0].ended_s <= now_s and self._epochs[0].is_decided:
            epoch = self._epochs.popleft()
            queue_s = self._queue_s(now_s)
            if epoch.began_s < self._since_s:
                continue  # sent at another rate
            lost, sent = self._pooled
            self._pooled = (lost + epoch.lost, sent + epoch.sent)
            if queue_s > _QUEUE_TARGET_S and epoch.is_busy:
                slower = self.rate * (0.7 if queue_s > 3 * _QUEUE_TARGET_S else 0.85)
                # a link that has only become longer still delivers: never far below that
                self._set(max(slower, min(self.rate, 0.9 * self._sensible(latest=3) / _MOST_OVER_DELIVERED)))
                self.is_starting = False
            elif self._pooled[1] >= (_MIN_SAMPLES if self.rate > _SLOW_RATE else _FEW_SAMPLES):
                self._weigh(now_s, is_busy=epoch.is_busy)
            elif epoch.is_busy and lost == 0 == epoch.lost:
                self._grow(1.1)

    def _weigh(self, now_s: float, *, is_busy: bool) -> None:
        lost, sent = self._pooled
        self._pooled = (0, 0)
        self.loss = lost / sent
        if self._probe is not None:
            self._conclude(*self._probe)
            return
        margin = 0.1 + 2.0 * math.sqrt(max(0.02, self.floor * (1.0 - self.floor)) / sent)
        if self.loss <= self.floor + margin or not is_busy:
            self.floor += 0.2 * (self.loss - self.floor)
            if is_busy:
                self._grow(2.0 if self.is_starting else 1.25)
            return
        if self.loss > _CRUSHED:
            self._set(min(self.rate, self._sensible(latest=3)))
        self._probe, self._since_s = (self.rate, self.loss), now_s + (self.rtt_s or 0.2)
        self._set(self.rate * (_PROBE if self.loss < 0.5 else _BOLD_PROBE))

    def _conclude(self, rate_before: float, loss_before: float) -> None:
        """After sending slower for a while: a link that is too small for us now keeps a larger share of what
        it gets, one that loses at random keeps the same share."""
        self._probe = None
        kept_before, kept = max(0.02, 1.0 - loss_before), max(0.02, 1.0 - self.loss)
        sureness = 0.5 if loss_before < 0.5 else 0.25
        if kept > kept_before * (1.0 + sureness * (rate_before / self.rate - 1.0)):
            self.is_starting = False
            self.floor += 0.5 * (min(self.loss, _MOST_FLOOR) - self.floor)
            self._set(min(self.rate, 0.95 * self.rate * kept / (1.0 - self.floor)))
        else:
            self.floor = min(_MOST_FLOOR, (loss_before + self.loss) / 2)
            self._set(max(self.rate, min(rate_before, self._sensible())))

    def _grow(self, factor: float) -> None:
        self._set(max(self.rate, min(self.rate * factor, self._sensible())))

    def _sensible(self, latest: int = 8) -> float:
        """No link is worth sending at more than three times what it delivers; by the latest seconds."""
        recent = list(self._delivered)[-latest:]
        return _MOST_OVER_DELIVERED * max((size for _, size in recent), default=0.0)

    def _set(self, rate: float) -> None:
        most = self.most or 20_000_000.0
        self.rate = min(most, max(min(MIN_RATE, most), rate))
