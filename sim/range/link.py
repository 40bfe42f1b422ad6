"""The link between edge and ground in virtual time: the real outbox, the real protocol at both ends.

What a worker aboard would hand to its downlink goes through `edge.link.outbox`, `edge.link.sender`, over the
radio of `sim.range.radio`, into `ground.link.intake` and a real store, and the replies go back; all of it
signed and checked. Only ZeroMQ, CURVE and threads are left out, which `skywarden sim faults` puts to the same
faults.
"""

import heapq
import os
import random
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import msgspec

from edge.link.config import LinkConfig
from edge.link.outbox import Outbox
from edge.link.sender import LinkCore
from ground.link.intake import Intake
from ground.store.sqlite import SqliteStore
from sim.faults.nodes import NoContacts
from sim.range.faults.spell import Spell
from sim.range.radio import Radio
from skywarden.clock import NS_PER_S
from skywarden.evidence import EvidenceKey
from skywarden.messages import Message
from skywarden.topics import topic_of
from skywarden.wire import encode

RADIO_S = 0.1
"""One way over the air, where no fault makes it longer; the rest of the way passes aboard."""
LOOK_NS = NS_PER_S // 4
"""Aboard somebody looks at least so often whether anything is due: a heartbeat, a second try."""
GATHERED_NS = 110_000_000
PATIENCE_S = 300.0
"""So long after the last message at most the rest may take to come."""
MAX_AT_ONCE = 8


class LinkTold(msgspec.Struct, frozen=True, kw_only=True):
    """What a link did over a watch: durable records that were made, that the ground has, that went again,
    that it got twice, and that came after a younger one; delays from made to stored.

    `bytes_sent` are those of all batches, headers, signatures and heartbeats included, `bytes_back` of the
    replies; without ZeroMQ and CURVE.
    """

    sent: int = 0
    arrived: int = 0
    sent_again: int = 0
    came_twice: int = 0
    overtaken: int = 0
    median_delay_s: float | None = None
    worst_delay_s: float | None = None
    batches: int = 0
    bytes_sent: int = 0
    bytes_back: int = 0


@dataclass(kw_only=True, slots=True)
class Delivered:
    """What came of it: (UTC ns, message) as the ground had them, and when the ground heard the platform."""

    messages: list[tuple[int, Message]] = field(default_factory=list)
    heard_ns: list[int] = field(default_factory=list)
    told: LinkTold = field(default_factory=LinkTold)


class SetClock:
    """A clock that is set by hand."""

    def __init__(self, now_ns: int) -> None:
        self.now_ns = now_ns

    def utc_ns(self) -> int:
        """What it was set to."""
        return self.now_ns

    def monotonic_ns(self) -> int:
        """What it was set to."""
        return self.now_ns


def delivered(
    platform_id: str,
    made: Iterable[tuple[int, Sequence[Message]]],
    spells: Iterable[Spell],
    *,
    begin_ns: int,
    until_ns: int,
    delay_s: float,
    seed: int,
) -> Delivered:
    """Everything that a platform made, (UTC ns, messages) in order of time, on its way to the ground.

    The platform is on the air from `begin_ns` to `until_ns`, and on until all is delivered, five minutes at
    most. The same input gives the same answer to the last bit.
    """
    with ExitStack() as stack:
        folder = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="skywarden-link-", dir=_memory()))
        )
        radio_s = min(RADIO_S, delay_s / 2.0)
        air = _Air(stack, folder, platform_id, seed, spells, radio_s)
        air.begin(made, begin_ns, until_ns, round((delay_s - radio_s) * NS_PER_S))
        return air.run()


class _Air:
    """One platform, its station and the events between them, by time."""

    def __init__(
        self,
        stack: ExitStack,
        folder: Path,
        platform_id: str,
        seed: int,
        spells: Iterable[Spell],
        radio_s: float,
    ) -> None:
        rng = random.Random(f"{seed} {platform_id}")
        self._clock = SetClock(0)
        self._platform_id = platform_id
        self._key = EvidenceKey.from_secret(rng.randbytes(32))
        self._outbox = stack.enter_context(
            closing(
                Outbox(
                    folder / "outbox.sqlite",
                    platform_id,
                    clock=self._clock,
                    entropy=lambda: f"{rng.getrandbits(128):032x}",
                )
            )
        )
        self._core = LinkCore(
            config=LinkConfig(), source=self._outbox, jitter=random.Random(rng.random()), key=self._key
        )
        store = stack.enter_context(closing(SqliteStore(folder / "store.sqlite", NoContacts())))
        self._intake = Intake(store=store, evidence_keys=lambda _: (self._key.public,))
        self._radio = Radio(spells, radio_s)
        self._events: list[tuple[int, int, str, object]] = []
        self._count = 0
        self._until_ns = self._last_ns = 0
        self._made_ns: dict[tuple[str, int], int] = {}
        self._delays: list[float] = []
        self._bytes_back = 0
        self._found = Delivered()

    def begin(
        self, made: Iterable[tuple[int, Sequence[Message]]], begin_ns: int, until_ns: int, aboard_ns: int
    ) -> None:
        """What is known beforehand: when something is made, and when somebody looks."""
        self._until_ns, self._last_ns = until_ns, until_ns + round(PATIENCE_S * NS_PER_S)
        for time_ns, messages in made:
            self._plan(time_ns + aboard_ns, "made", (time_ns, messages))
        self._plan(begin_ns, "look", None)

    def run(self) -> Delivered:
        """All events in order of time."""
        while self._events:
            now_ns, _, kind, what = heapq.heappop(self._events)
            if now_ns > self._last_ns:
                break
            self._clock.now_ns = now_ns
            if kind == "made":
                self._make(what)
            elif kind == "batch":
                self._hear(what)
            elif kind == "reply":
                assert isinstance(what, bytes)
                self._core.on_reply(what, now_ns / NS_PER_S, now_ns)
            elif kind == "look" and (now_ns < self._until_ns or self._outbox.state().held):
                self._plan(now_ns + LOOK_NS, "look", None)
            self._send(now_ns)
        self._found.told = self._told()
        return self._found

    def _plan(self, time_ns: int, kind: str, what: object) -> None:
        self._count += 1
        heapq.heappush(self._events, (time_ns, self._count, kind, what))

    def _make(self, what: object) -> None:
        """A worker hands over what a frame came to."""
        assert isinstance(what, tuple)
        made_ns, messages = what
        entries = []
        for message in messages:
            topic, body = topic_of(message), encode(message)
            if topic.policy == "durable":
                entries.append((topic.name, made_ns, body))
            else:
                self._core.offer_newest(topic.name, _key_of(message), made_ns, body)
        for seq in self._outbox.append_many(entries):
            self._made_ns[self._outbox.boot_id, seq] = made_ns
        if entries:
            self._plan(self._clock.now_ns + GATHERED_NS, "due", None)

    def _send(self, now_ns: int) -> None:
        for _ in range(MAX_AT_ONCE):
            payload = self._core.next_batch(now_ns / NS_PER_S, now_ns)
            if payload is None:
                return
            for arrives_ns in self._radio.crossings(now_ns, len(payload)):
                self._plan(arrives_ns, "batch", payload)

    def _hear(self, payload: object) -> None:
        """The station takes a batch in, commits it and answers."""
        assert isinstance(payload, bytes)
        now_ns = self._clock.now_ns
        self._found.heard_ns.append(now_ns)
        parcel = self._intake.open(self._platform_id, payload, len(payload), now_ns)
        if parcel is None:
            return
        is_committed = self._intake.commit([parcel])
        for arrival, outcome in zip(parcel.arrivals, parcel.outcomes, strict=False):
            made_ns = self._made_ns.get((arrival.record.boot_id, arrival.record.seq))
            if outcome == "stored" and arrival.message is not None and made_ns is not None:
                self._found.messages.append((now_ns, arrival.message))
                self._delays.append((now_ns - made_ns) / NS_PER_S)
        reply = self._intake.reply(parcel, is_committed=is_committed, ground_ns=now_ns)
        self._bytes_back += len(reply)
        for arrives_ns in self._radio.crossings(now_ns, len(reply)):
            self._plan(arrives_ns, "reply", reply)

    def _told(self) -> LinkTold:
        state, delays = self._core.state(self._clock.now_ns / NS_PER_S), sorted(self._delays)
        times = [message.time_ns for _, message in self._found.messages if hasattr(message, "time_ns")]
        overtaken = sum(later < before for before, later in pairwise(times))
        return LinkTold(
            sent=len(self._made_ns),
            arrived=len(delays),
            sent_again=state.records_resent,
            came_twice=self._intake.counts.duplicates,
            overtaken=overtaken,
            median_delay_s=round(delays[len(delays) // 2], 3) if delays else None,
            worst_delay_s=round(delays[-1], 3) if delays else None,
            batches=state.batches,
            bytes_sent=state.bytes_sent,
            bytes_back=self._bytes_back,
        )


def merged(streams: Sequence[Delivered]) -> Iterator[tuple[int, int, Message]]:
    """What came from several platforms, (UTC ns, which one, message), by time."""
    rows = [
        [(now_ns, number, at, message) for at, (now_ns, message) in enumerate(one.messages)]
        for number, one in enumerate(streams)
    ]
    for now_ns, number, _, message in heapq.merge(*rows, key=lambda row: row[:3]):
        yield now_ns, number, message


def _key_of(message: Message) -> str:
    """Of which things only the latest message matters."""
    for name in ("track_id", "sensor_id", "platform_id"):
        if name in message.__struct_fields__:
            return str(getattr(message, name))
    return ""


def _memory() -> str | None:
    """Files in memory, where the machine has them."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
