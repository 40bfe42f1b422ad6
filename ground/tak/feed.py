"""What is due to one receiver: new and changed things first, not too often, again for latecomers, and "gone".

A plain object that is handed what there is now and the time. What was sent and is no more (rejected, taken
back, merged into another) is taken off the maps of those who have it, three times over, for datagrams get
lost.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from ground.tak.event import CotEvent, CotPoint
from ground.tak.memory import MAX_REMEMBERED, SentMemory
from ground.tak.things import gone_event
from skywarden.clock import NS_PER_S

MIN_VALID_NS = 300 * NS_PER_S
"""What is said late (a person confirmed it after an hour) holds at least so long after it was said."""
_GONE_TIMES = 3
_GONE_EVERY_NS = 5 * NS_PER_S


@dataclass(slots=True)
class _Sent:
    offer: CotEvent
    content: tuple[object, ...]
    kind: str
    point: CotPoint
    said_ns: int
    stale_ns: int


@dataclass(slots=True)
class _Gone:
    kind: str
    point: CotPoint
    left: int
    next_ns: int


class Feed:
    """See the module. One for each receiver; no clock of its own.

    `memory` is shared by all receivers of one address, and older than this one: what it remembers and is
    no more is taken off the maps of those who come back.
    """

    def __init__(
        self, *, interval_s: float, repeat_s: float, max_per_s: float, memory: SentMemory | None = None
    ) -> None:
        self._memory = memory if memory is not None else SentMemory.of()
        self._interval_ns = round(interval_s * NS_PER_S)
        self._repeat_ns = round(repeat_s * NS_PER_S)
        self._max_per_s = max_per_s
        self._sent: dict[str, _Sent] = {}
        self._gone: dict[str, _Gone] = {}
        self._allowance = max_per_s
        self._now_ns: int | None = None
        self.waiting = 0

    def due(self, offers: Sequence[CotEvent], held: Collection[str], now_ns: int) -> list[CotEvent]:
        """What to say now, in the order of urgency.

        `offers` is everything that may be said. What was said before and is neither offered nor `held`
        (known, but its newest state may not leave) is gone. `now_ns`: UTC, never earlier than before.
        """
        if self._now_ns is None:
            self._recall(offers, held, now_ns)
        self._grow_allowance(now_ns)
        offered = {one.uid: one for one in offers}
        self._notice_gone(offered, held, now_ns)
        found: list[tuple[int, int, str, CotEvent | None]] = [
            (0, gone.next_ns, uid, None) for uid, gone in self._gone.items() if now_ns >= gone.next_ns
        ]
        for one in offers:
            rank = self._rank(one, now_ns)
            if rank is not None:
                found.append((*rank, one.uid, one))
        found.sort(key=lambda each: each[:3])
        count = min(len(found), int(self._allowance))
        self._allowance -= count
        self.waiting = len(found) - count
        return [
            self._say_gone(uid, now_ns) if one is None else self._say(one, now_ns)
            for _, _, uid, one in found[:count]
        ]

    def _grow_allowance(self, now_ns: int) -> None:
        """At most a second's worth is saved up."""
        passed_s = (now_ns - self._now_ns) / NS_PER_S if self._now_ns is not None else 1.0
        self._now_ns = now_ns
        most = max(1.0, self._max_per_s)
        self._allowance = min(most, self._allowance + max(0.0, passed_s) * self._max_per_s)

    def _rank(self, one: CotEvent, now_ns: int) -> tuple[int, int] | None:
        """How urgent it is (less is more), and since when; `None`: not now."""
        sent = self._sent.get(one.uid)
        if _is_brief(one) and now_ns >= one.stale_ns:
            return None
        if sent is None:
            return 1, -one.start_ns
        if now_ns - sent.said_ns < self._interval_ns:
            return None
        if sent.offer is not one:
            if sent.content != one.content:
                return 2, sent.said_ns
            sent.offer = one
        is_repeat = now_ns - sent.said_ns >= self._repeat_ns and now_ns < sent.stale_ns
        return (3, sent.said_ns) if is_repeat else None

    def _stamped(self, one: CotEvent, now_ns: int) -> CotEvent:
        """Said now, and good for as long as it would be, but not less than five minutes from the first
        time.
        """
        sent = self._sent.get(one.uid)
        if sent is not None and sent.content == one.content:
            stale_ns = max(one.stale_ns, sent.stale_ns)
        elif _is_brief(one):
            stale_ns = one.stale_ns
        else:
            stale_ns = max(one.stale_ns, now_ns + MIN_VALID_NS)
        return replace(one, time_ns=max(now_ns, one.start_ns), stale_ns=stale_ns)

    def _say(self, offer: CotEvent, now_ns: int) -> CotEvent:
        said = self._stamped(offer, now_ns)
        self._gone.pop(said.uid, None)
        self._sent.pop(said.uid, None)
        self._sent[said.uid] = _Sent(offer, offer.content, said.type, said.point, said.time_ns, said.stale_ns)
        while len(self._sent) > MAX_REMEMBERED:
            del self._sent[next(iter(self._sent))]
        if not _is_brief(offer):
            self._memory.note(said)
        return said

    def _recall(self, offers: Sequence[CotEvent], held: Collection[str], now_ns: int) -> None:
        """What was told before this receiver came, and is no more."""
        known = {one.uid for one in offers} | set(held)
        for told in self._memory.standing(now_ns):
            if told.uid not in known:
                self._gone[told.uid] = _Gone(told.kind, told.point, _GONE_TIMES, now_ns)

    def _notice_gone(self, offered: Collection[str], held: Collection[str], now_ns: int) -> None:
        for uid in [name for name in self._sent if name not in offered and name not in held]:
            sent = self._sent.pop(uid)
            if now_ns < sent.stale_ns:
                self._gone[uid] = _Gone(sent.kind, sent.point, _GONE_TIMES, now_ns)
        for uid in [name for name in self._gone if name in offered]:
            del self._gone[uid]

    def _say_gone(self, uid: str, now_ns: int) -> CotEvent:
        gone = self._gone[uid]
        gone.left -= 1
        gone.next_ns = now_ns + _GONE_EVERY_NS
        if gone.left <= 0:
            del self._gone[uid]
        return gone_event(uid, gone.kind, gone.point, now_ns)


def _is_brief(one: CotEvent) -> bool:
    """Where something is just now (a platform, a live track): nothing to say of it later."""
    return one.stale_ns - one.start_ns < MIN_VALID_NS
