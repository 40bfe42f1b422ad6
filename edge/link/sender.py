"""The link's protocol aboard, without I/O: handed the outbox, time and replies, it says what to send.

`send()` proves nothing; only an acknowledgement empties the outbox. `edge/link/downlink.py` holds the socket.
"""

import math
import random
from collections import deque
from dataclasses import dataclass, field

from edge.link.capacity import LOOK_LINK_S, TRIAL_EVERY_S, TRIAL_LINK_S, Capacity
from edge.link.clock_offset import ClockDifference, ClockFilter
from edge.link.config import LinkConfig
from edge.link.outbox import PendingRecord, RecordSource
from skywarden import evidence
from skywarden.errors import WireError
from skywarden.link.protocol import (
    MAX_BATCH_RECORDS,
    MAX_PARTIAL_RANGES,
    MAX_SIGNED_ITEMS,
    MAX_UNITS,
    UNIT_BYTES,
    Batch,
    Fragment,
    Head,
    Partial,
    Signature,
    acknowledged_ranges,
    decode_reply,
    encode_batch,
    units_of,
)
from skywarden.topics import topic_named
from skywarden.wire import Entry, encode_entry

_MIN_WINDOW_BYTES = 4_096
_WHOLE_BYTES = 4_096
_NEWEST_SHARE = 0.25
_ALERT_PRIORITY = 0
_WORTHWHILE_SHARE = 0.5
_MAX_NEWEST_KEYS = 2_000
_SILENT_HEARTBEAT_MAX_S = 2.0
_TARGET_DELAY_S = 1.0
_FRESH_S = 10.0
_CLOCK_S = 10.0
_GATHER_SHARE = 1.0 / 3.0
_LONGEST_GATHER_S = 0.5
_LOOK = "look"
_MAX_LOOKS = 16
_PROBE_S = 10.0
_QUIET_SHARE_S = 0.1
"""A look waits until less than so many seconds' worth of the link is under way."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LinkState:
    """What the link did so far; seconds are monotonic, `clock` is our clock minus the ground's."""

    is_up: bool
    silent_s: float | None
    batches: int
    bytes_sent: int
    records_sent: int
    records_resent: int
    records_acknowledged: int
    newest_sent: int
    newest_replaced: int
    in_flight_bytes: int
    window_bytes: int
    delay_s: float | None
    clock: ClockDifference | None
    bad_replies: int
    pieces_sent: int = 0
    goodput_bytes_per_s: float = 0.0
    capacity_bytes_per_s: float = 0.0
    looks_sent: int = 0
    takes_looks: bool = False


@dataclass(frozen=True, slots=True)
class _Piece:
    seq: int
    units: range


@dataclass(slots=True)
class _Flight:
    size: int
    sent_s: float
    seqs: tuple[int, ...]
    piece: _Piece | None = None
    is_look: bool = False


@dataclass(slots=True)
class _Large:
    """A record that travels in pieces: which units the ground has, and which are under way."""

    body_hash: bytes
    leaf: bytes
    units: int
    arrived: set[int] = field(default_factory=set)
    flying: set[int] = field(default_factory=set)
    due_s: float = -math.inf

    def free_run(self, longest: int) -> range:
        """The first run of units that are neither there nor under way."""
        taken = self.arrived | self.flying
        first = next((unit for unit in range(self.units) if unit not in taken), self.units)
        end = first
        while end < self.units and end not in taken and end - first < longest:
            end += 1
        return range(first, end)


@dataclass(slots=True)
class _Retry:
    due_s: float
    attempts: int


@dataclass(slots=True)
class _Counts:
    batches: int = 0
    bytes_sent: int = 0
    records_sent: int = 0
    records_resent: int = 0
    records_acknowledged: int = 0
    newest_sent: int = 0
    newest_replaced: int = 0
    bad_replies: int = 0
    pieces_sent: int = 0
    looks_sent: int = 0


@dataclass(slots=True)
class _Newest:
    payload: bytes
    priority: int
    order: int


@dataclass(slots=True)
class _Goodput:
    """Bytes of answered batches per second, over the last seconds."""

    since_s: float = -math.inf
    size: int = 0
    rate: float = 0.0

    def answered(self, size: int, now_s: float) -> None:
        self.size += size
        passed_s = now_s - self.since_s
        if passed_s > 1.0:
            fresh = self.size / passed_s if passed_s < 60.0 else 0.0
            self.rate, self.size, self.since_s = 0.5 * self.rate + 0.5 * fresh, 0, now_s


@dataclass(slots=True)
class _Contents:
    """What goes into one batch."""

    records: list[bytes] = field(default_factory=list)
    seqs: tuple[int, ...] = ()
    fragments: tuple[Fragment, ...] = ()
    items: list[bytes] = field(default_factory=list)
    piece: _Piece | None = None
    is_look: bool = False

    def __bool__(self) -> bool:
        return bool(self.records or self.fragments)


@dataclass(slots=True)
class _Pace:
    """Token bucket, window and round trip; bytes and seconds."""

    cap: int
    window_max: int
    window: float = 16_384.0
    tokens: float = 0.0
    filled_s: float = -math.inf
    delay_s: float | None = None
    losses: int = 0

    def refill(self, now_s: float) -> None:
        if self.cap:
            burst = self.cap * 0.5
            self.tokens = min(burst, self.tokens + (now_s - self.filled_s) * self.cap)
            self.filled_s = now_s

    def answered(self, size: int, delay_s: float) -> None:
        """Grow while replies come back promptly, shrink when our own bytes queue up before us."""
        self.losses = 0
        self.delay_s = delay_s if self.delay_s is None else 0.8 * self.delay_s + 0.2 * delay_s
        if delay_s > _TARGET_DELAY_S:
            self.window = max(float(_MIN_WINDOW_BYTES), self.window * 0.8)
        else:
            self.window = min(float(self.window_max), self.window + size)

    def lost(self) -> None:
        self.losses += 1
        self.window = max(float(_MIN_WINDOW_BYTES), self.window / 2)


@dataclass(slots=True)
class LinkCore:
    """The link's protocol as a plain object: data and time in, batches out.

    Not thread safe: its owner holds a lock. `source` is the outbox. Order of worth: durable
    records by priority and fresh first; a quarter of each batch is kept for newest values while both wait. A
    record larger than a batch travels in pieces, and after a break only what is missing of it goes again.
    With an evidence `key` each batch that carries anything of the outbox is signed. Nothing of the outbox is
    sent before the ground has said what it holds of it: a copy from the past must not send numbers again.
    While a reply is out, less than half a batch without an alert is gathered for `config.gather_s`, or for a
    third of what answers take where that is longer.
    Looks are the lowest class: one goes alone, when nothing else waits, little is under way, the station
    wants them, and it takes at most `LOOK_LINK_S` of what the link was seen to carry; twice that on trial.
    """

    config: LinkConfig
    source: RecordSource
    jitter: random.Random
    key: evidence.EvidenceKey | None = None
    _number: int = 0
    _flights: dict[int, _Flight] = field(default_factory=dict)
    _flying: set[int] = field(default_factory=set)
    _retries: dict[int, _Retry] = field(default_factory=dict)
    _newest: dict[tuple[str, str], _Newest] = field(default_factory=dict)
    _offered: int = 0
    _counts: _Counts = field(default_factory=_Counts)
    _pace: _Pace = field(init=False)
    _heard_s: float | None = None
    _sent_s: float = -math.inf
    _silent_beats: int = 0
    _beat_due_s: float = -math.inf
    _clocks: ClockFilter = field(default_factory=ClockFilter)
    _clock: ClockDifference | None = None
    _clock_s: float = -math.inf
    _large: dict[int, _Large] = field(default_factory=dict)
    _resumed: dict[int, set[int]] = field(default_factory=dict)
    _is_known: bool = False
    _boot_id: str = ""
    _gather_from_s: float | None = None
    _goodput: _Goodput = field(default_factory=_Goodput)
    _capacity: Capacity = field(default_factory=Capacity)
    _looks: dict[str, bytes] = field(default_factory=dict)
    _takes_looks: bool = False
    _empty_s: float = -math.inf
    _trial_s: float = -math.inf
    _history: deque[tuple[float, int]] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self._boot_id = self.source.boot_id
        self._pace = _Pace(cap=self.config.rate_cap_bytes_per_s, window_max=self.config.window_bytes)

    def offer_newest(self, topic_name: str, key: str, time_ns: int, body: bytes) -> None:
        """Keep `body` as the value of (topic, key) until it is sent or replaced; UTC ns, encoded message.

        Raises `WireError` for a topic that is unknown, durable, or over its size.
        """
        topic = topic_named(topic_name)
        if topic.policy != "newest":
            raise WireError(f"topic {topic_name} is durable; append it to the outbox")
        if len(body) > topic.max_bytes:
            raise WireError(f"a {topic_name} of {len(body)} bytes is over its limit of {topic.max_bytes}")
        entry = Entry(seq=0, topic=topic_name, time_ns=time_ns, body=body)
        if topic_name == _LOOK:
            self._keep_look(key, encode_entry(entry))
            return
        before = self._newest.get((topic_name, key))
        if before is not None:
            self._counts.newest_replaced += 1
        elif len(self._newest) >= _MAX_NEWEST_KEYS:
            del self._newest[next(iter(self._newest))]  # the one that was offered first
            self._counts.newest_replaced += 1
        self._offered += 1
        order = before.order if before is not None else self._offered
        self._newest[topic_name, key] = _Newest(encode_entry(entry), topic.priority, order)

    def is_up(self, now_s: float) -> bool:
        """Whether the ground has answered lately."""
        return self._heard_s is not None and now_s - self._heard_s < self.config.silence_s

    def next_batch(self, now_s: float, utc_ns: int) -> bytes | None:
        """The payload to send now, or `None` when nothing is due or there is no room."""
        self._expire(now_s)
        self._pace.refill(now_s)
        if not self.is_up(now_s):
            return self._silent_heartbeat(now_s, utc_ns)
        if self._pace.cap and self._pace.tokens <= 0.0:
            return None
        contents = self._choose(now_s)
        if not contents and now_s - self._sent_s < self.config.heartbeat_s and not self._must_probe(now_s):
            return None
        return self._batch(contents, now_s, utc_ns)

    def on_reply(self, payload: bytes | memoryview, now_s: float, utc_ns: int) -> None:
        """Take in a reply: what it acknowledges leaves the outbox, the rest of its batch is sent again later.

        Raises `WireError` when it does not validate, `StoreError` when the outbox refuses.
        """
        try:
            reply = decode_reply(payload)
            ranges = acknowledged_ranges(reply.ack) if reply.ack is not None else []
        except WireError:
            self._counts.bad_replies += 1
            raise
        if not self.is_up(now_s):
            self._forget_flights()
        self._heard_s, self._silent_beats = now_s, 0
        self._takes_looks = reply.takes_looks
        flight = self._flights.pop(reply.number, None)
        if flight is not None:
            self._landed(flight)
            delay_s = max(0.0, now_s - flight.sent_s)
            self._pace.answered(flight.size, delay_s)
            self._goodput.answered(flight.size, now_s)
            self._capacity.answered(flight.size, delay_s, now_s)
            self._note_clock(flight.sent_s, now_s, utc_ns, reply.ground_ns)
        if reply.ack is not None and reply.ack.boot_id == self._boot_id:
            self._counts.records_acknowledged += self.source.acknowledge(reply.ack, reply.head)
            self._is_known = True
            if self.source.boot_id != self._boot_id:
                self._begin_anew()
                return
            self._note_partial(reply.partial, ranges)
        self._retry_rest(flight.seqs if flight is not None else (), ranges, now_s)
        if flight is not None and flight.piece is not None:
            self._retry_piece(flight.piece, now_s)

    def wait_s(self, now_s: float) -> float:
        """How long nothing will be due if nothing new comes, at most 0.05 s."""
        if self._pace.cap and self._pace.tokens <= 0.0:
            return min(0.05, max(0.001, -self._pace.tokens / self._pace.cap))
        if self._gather_from_s is not None:
            return min(0.05, max(0.001, self._gather_from_s + self._gather_s() - now_s))
        return 0.05

    def state(self, now_s: float) -> LinkState:
        """Counters and measurements."""
        counts = self._counts
        return LinkState(
            is_up=self.is_up(now_s),
            silent_s=None if self._heard_s is None else now_s - self._heard_s,
            batches=counts.batches,
            bytes_sent=counts.bytes_sent,
            records_sent=counts.records_sent,
            records_resent=counts.records_resent,
            records_acknowledged=counts.records_acknowledged,
            newest_sent=counts.newest_sent,
            newest_replaced=counts.newest_replaced,
            in_flight_bytes=sum(flight.size for flight in self._flights.values()),
            window_bytes=int(self._pace.window),
            delay_s=self._pace.delay_s,
            clock=self._clock,
            bad_replies=counts.bad_replies,
            pieces_sent=counts.pieces_sent,
            goodput_bytes_per_s=self._goodput.rate,
            capacity_bytes_per_s=self._look_rate(now_s),
            looks_sent=counts.looks_sent,
            takes_looks=self._takes_looks,
        )

    def _note_clock(self, sent_s: float, now_s: float, utc_ns: int, ground_ns: int) -> None:
        self._clocks.note(sent_s, now_s, ground_ns)
        if now_s - self._clock_s >= _CLOCK_S:
            self._clock, self._clock_s = self._clocks.difference(now_s, utc_ns), now_s

    def _silent_heartbeat(self, now_s: float, utc_ns: int) -> bytes | None:
        if now_s < self._beat_due_s:
            return None
        interval = min(_SILENT_HEARTBEAT_MAX_S, self.config.heartbeat_s * 2 ** min(self._silent_beats, 6))
        self._silent_beats += 1
        self._beat_due_s = now_s + interval * self.jitter.uniform(0.75, 1.25)
        return self._batch(_Contents(), now_s, utc_ns)

    def _choose(self, now_s: float) -> _Contents:
        in_flight = sum(flight.size for flight in self._flights.values())
        room = self._pace.window - in_flight
        if room <= 0:
            return _Contents()
        limit = int(min(self.config.batch_bytes, max(room, 512), max(self._pace.window / 2, 1024)))
        if self._pace.cap:
            limit = min(limit, max(512, 2 * self._pace.cap))
        reserved = int(limit * _NEWEST_SHARE) if self._newest else 0
        chosen = self._pick(limit - reserved, now_s) if self._is_known else []
        if self._must_gather(chosen, limit, now_s, is_busy=in_flight > 0):
            return _Contents()
        contents = self._pack(chosen, limit)
        used = sum(map(len, contents.records)) + sum(len(one.data) for one in contents.fragments)
        contents.records += self._take_newest(limit - used, may_be_large=not contents and not in_flight)
        return contents or self._take_look(in_flight, now_s)

    def _must_probe(self, now_s: float) -> bool:
        """Whether an empty batch goes: how soon that is answered shows what the bytes of others cost."""
        return self._takes_looks and not self._flights and now_s - self._empty_s >= _PROBE_S

    def _keep_look(self, sensor_id: str, payload: bytes) -> None:
        """The newest look of each camera; whose was kept longest goes first."""
        if self._looks.pop(sensor_id, None) is not None:
            self._counts.newest_replaced += 1
        elif len(self._looks) >= _MAX_LOOKS:
            del self._looks[next(iter(self._looks))]
        self._looks[sensor_id] = payload

    def _look_rate(self, now_s: float) -> float:
        """What the link carries at least, as far as looks may know; the cap is not for them to reach."""
        rate = self._capacity.bytes_per_s(now_s)
        return min(rate, float(self._pace.cap)) if self._pace.cap else rate

    def _take_look(self, in_flight: int, now_s: float) -> _Contents:
        """A look, when the link has nothing better to do and nobody will have to wait behind it for long."""
        if not self._looks or not self._takes_looks or self._pace.losses:
            return _Contents()
        rate = self._look_rate(now_s)
        is_waiting = any(retry.due_s > now_s for retry in self._retries.values())
        is_busy = is_waiting or any(one.is_look for one in self._flights.values())
        is_quiet = in_flight <= rate * _QUIET_SHARE_S and self._capacity.is_prompt
        if is_busy or not is_quiet:
            return _Contents()
        sensor_id = next(iter(self._looks))
        size = len(self._looks[sensor_id])
        has_tokens = not self._pace.cap or self._pace.tokens >= size + _MIN_WINDOW_BYTES // 8
        is_trial = size > rate * LOOK_LINK_S
        if is_trial and (size > rate * TRIAL_LINK_S or now_s - self._trial_s < TRIAL_EVERY_S):
            return _Contents()
        if not has_tokens:
            return _Contents()
        if is_trial:
            self._trial_s = now_s
        self._counts.looks_sent += 1
        return _Contents([self._looks.pop(sensor_id)], is_look=True)

    def _pick(self, limit_bytes: int, now_s: float) -> list[PendingRecord]:
        """What of the outbox would go next."""
        waiting = {seq for seq, retry in self._retries.items() if retry.due_s > now_s}
        busy = {seq for seq, one in self._large.items() if one.due_s > now_s or not one.free_run(1)}
        return self.source.pending(
            limit_bytes,
            limit_records=MAX_SIGNED_ITEMS,
            skip=self._flying | waiting | busy,
            fresh_from=self._fresh_from(now_s),
        )

    def _must_gather(self, chosen: list[PendingRecord], limit: int, now_s: float, *, is_busy: bool) -> bool:
        """Whether this waits for company: a signature, a reply and a commit are paid for each batch."""
        size = sum(len(one.body) for one in chosen) + sum(len(one.payload) for one in self._newest.values())
        is_small = size < _WORTHWHILE_SHARE * limit and len(chosen) < MAX_SIGNED_ITEMS // 2
        is_alert = bool(chosen) and chosen[0].priority == _ALERT_PRIORITY
        if is_alert or not is_busy or not size or not is_small:
            self._gather_from_s = None
            return False
        if self._gather_from_s is None:
            self._gather_from_s = now_s
        if now_s - self._gather_from_s < self._gather_s():
            return True
        self._gather_from_s = None
        return False

    def _gather_s(self) -> float:
        """How long to gather: longer where answers take long, as a far link or a station with too much to do
        gains most from fewer batches."""
        patient_s = _GATHER_SHARE * (self._pace.delay_s or 0.0)
        return max(self.config.gather_s, min(_LONGEST_GATHER_S, patient_s)) if self.config.gather_s else 0.0

    def _pack(self, chosen: list[PendingRecord], limit: int) -> _Contents:
        if chosen and len(chosen[0].body) > max(limit, _WHOLE_BYTES):
            return self._cut(chosen[0], max(1, limit // UNIT_BYTES))
        records = [
            encode_entry(
                Entry(
                    seq=one.seq,
                    topic=one.topic,
                    time_ns=one.time_ns,
                    body=one.body,
                    mono_ns=one.mono_ns,
                    clock=one.clock,
                )
            )
            for one in chosen
        ]
        items = [self._leaf(one, evidence.body_hash(one.body)) for one in chosen] if self.key else []
        return _Contents(records, tuple(one.seq for one in chosen), items=items)

    def _cut(self, record: PendingRecord, most_units: int) -> _Contents:
        """The next piece of a record that is too large for one batch."""
        large = self._large.get(record.seq)
        if large is None:
            hashed = evidence.body_hash(record.body)
            large = _Large(hashed, self._leaf(record, hashed), units_of(len(record.body)))
            large.arrived = self._resumed.pop(record.seq, set())
            self._large[record.seq] = large
        run = large.free_run(most_units)
        if not run:
            return _Contents()
        offset = run.start * UNIT_BYTES
        data = record.body[offset : run.stop * UNIT_BYTES]
        fragment = Fragment(
            seq=record.seq,
            topic=record.topic,
            time_ns=record.time_ns,
            mono_ns=record.mono_ns,
            clock=record.clock,
            total_bytes=len(record.body),
            body_hash=large.body_hash,
            offset=offset,
            data=data,
        )
        items = [evidence.fragment_hash(large.leaf, offset, data)]
        return _Contents(fragments=(fragment,), items=items, piece=_Piece(record.seq, run))

    def _leaf(self, record: PendingRecord, hashed_body: bytes) -> bytes:
        return evidence.leaf_from(
            self.source.platform_id,
            self._boot_id,
            record.seq,
            record.topic,
            record.time_ns,
            record.mono_ns,
            record.clock,
            hashed_body,
        )

    def _fresh_from(self, now_s: float) -> int:
        """The first number that was given out in the last seconds."""
        history = self._history
        if not history or now_s - history[-1][0] >= 1.0:
            history.append((now_s, self.source.state().last_seq))
        while len(history) > 1 and now_s - history[1][0] > _FRESH_S:
            history.popleft()
        return history[0][1] + 1

    def _take_newest(self, limit_bytes: int, *, may_be_large: bool) -> list[bytes]:
        taken: list[bytes] = []
        for name in sorted(
            self._newest, key=lambda name: (self._newest[name].priority, self._newest[name].order)
        ):
            size = len(self._newest[name].payload)
            if size <= limit_bytes or (may_be_large and not taken):
                taken.append(self._newest.pop(name).payload)
                limit_bytes -= size
            if limit_bytes < 64 or len(taken) >= MAX_BATCH_RECORDS // 2:
                break
        self._counts.newest_sent += len(taken)
        return taken

    def _batch(self, contents: _Contents, now_s: float, utc_ns: int) -> bytes:
        self._number += 1
        state = self.source.state()
        head = signature = None
        if contents.items and self.key is not None:
            head = Head(seq=state.last_seq, chain=state.head)
            text = evidence.seal_text(
                self.source.platform_id, self._boot_id, self._number, head.seq, head.chain, contents.items
            )
            signature = Signature(key_id=evidence.key_id(self.key.public), signature=self.key.sign(text))
        payload = encode_batch(
            Batch(
                number=self._number,
                platform_id=self.source.platform_id,
                boot_id=self._boot_id,
                sent_ns=utc_ns,
                last_seq=state.last_seq,
                pending=state.held,
                records=tuple(contents.records),
                fragments=contents.fragments,
                head=head,
                signature=signature,
            )
        )
        self._depart(contents, len(payload) if contents else 0, now_s)
        self._pace.tokens -= len(payload)
        self._counts.batches += 1
        self._counts.bytes_sent += len(payload)
        return payload

    def _depart(self, contents: _Contents, size: int, now_s: float) -> None:
        self._flights[self._number] = _Flight(size, now_s, contents.seqs, contents.piece, contents.is_look)
        self._flying.update(contents.seqs)
        if contents.piece is not None:
            self._large[contents.piece.seq].flying.update(contents.piece.units)
        self._sent_s = now_s
        if not contents:
            self._empty_s = now_s
        self._counts.records_sent += len(contents.seqs)
        self._counts.records_resent += sum(seq in self._retries for seq in contents.seqs)
        self._counts.pieces_sent += contents.piece is not None

    def _landed(self, flight: _Flight) -> None:
        """Nothing of this batch is under way any more."""
        self._flying.difference_update(flight.seqs)
        if flight.piece is not None and flight.piece.seq in self._large:
            self._large[flight.piece.seq].flying.difference_update(flight.piece.units)

    def _note_partial(self, partial: tuple[Partial, ...], ranges: list[tuple[int, int]]) -> None:
        """Which units of large records the ground has; those that it has whole are done with.

        What it does not speak of it has not (any more); beyond a list of ranges that was cut short we keep
        what we knew.
        """
        shown = {one.seq: one.units for one in partial}
        for seq, large in self._large.items():
            told = shown.pop(seq, ())
            units = _units_in(told)
            if len(told) == MAX_PARTIAL_RANGES:
                units |= {unit for unit in large.arrived if unit > told[-1][1]}
            large.arrived = units
        self._resumed = {seq: _units_in(units) for seq, units in shown.items()}
        for seq in [seq for seq in self._large if _is_in(seq, ranges)]:
            del self._large[seq]

    def _retry_piece(self, piece: _Piece, now_s: float) -> None:
        """A piece that was answered and did not arrive waits before it goes again."""
        large = self._large.get(piece.seq)
        if large is not None and not large.arrived.issuperset(piece.units):
            large.due_s = now_s + self.config.retry_min_s * self.jitter.uniform(0.75, 1.25)

    def _timeout_s(self) -> float:
        smooth = self._pace.delay_s if self._pace.delay_s is not None else 0.0
        base = max(self.config.retry_min_s, 4.0 * smooth)
        return float(min(self.config.retry_max_s, base * 2 ** min(self._pace.losses, 6)))

    def _expire(self, now_s: float) -> None:
        limit_s = self._timeout_s()
        late = [number for number, flight in self._flights.items() if now_s - flight.sent_s > limit_s]
        for number in late:
            flight = self._flights.pop(number)
            self._landed(flight)
            for seq in flight.seqs:
                self._postpone(seq, now_s, wait_s=self.jitter.uniform(0.0, 0.1 * limit_s))
        if late and self.is_up(now_s):
            self._pace.lost()

    def _retry_rest(self, seqs: tuple[int, ...], ranges: list[tuple[int, int]], now_s: float) -> None:
        for seq in seqs:
            if _is_in(seq, ranges):
                self._retries.pop(seq, None)
            else:
                attempts = self._retries[seq].attempts if seq in self._retries else 0
                wait_s = min(self.config.retry_max_s, self.config.retry_min_s * 2 ** min(attempts, 6))
                self._postpone(seq, now_s, wait_s=wait_s * self.jitter.uniform(0.75, 1.25))
        if len(self._retries) > 10_000:
            self._retries = {seq: retry for seq, retry in self._retries.items() if retry.due_s > now_s}

    def _postpone(self, seq: int, now_s: float, *, wait_s: float) -> None:
        attempts = self._retries[seq].attempts + 1 if seq in self._retries else 1
        self._retries[seq] = _Retry(now_s + wait_s, attempts)

    def _forget_flights(self) -> None:
        """The ground is back after a silence: what was under way then is sent again at once."""
        self._flights.clear()
        self._flying.clear()
        self._retries.clear()
        self._pace.losses = 0
        self._capacity.forget()
        self._empty_s = -math.inf
        for large in self._large.values():
            large.flying.clear()
            large.due_s = -math.inf

    def _begin_anew(self) -> None:
        """The outbox goes on under a new name and with new numbers."""
        self._boot_id = self.source.boot_id
        self._forget_flights()
        self._large.clear()
        self._resumed.clear()
        self._history.clear()


def _is_in(seq: int, ranges: list[tuple[int, int]]) -> bool:
    return any(first <= seq <= last for first, last in ranges)


def _units_in(ranges: tuple[tuple[int, int], ...]) -> set[int]:
    return {unit for first, last in ranges for unit in range(first, min(last, MAX_UNITS) + 1)}
