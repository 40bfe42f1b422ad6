"""The way to the ground: batches of records over ZeroMQ with CURVE, sent again until they are acknowledged.

`LinkCore` is the protocol without I/O: it is handed the outbox, time and replies, and says what to send.
`Downlink` is the thread with the socket. `send()` proves nothing; only an acknowledgement empties the outbox.
"""

import contextlib
import math
import os
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import structlog
import zmq
from msgspec import Meta

from edge.outbox import RecordSource
from skywarden import keys
from skywarden.clock import Clock, SystemClock
from skywarden.config import Config
from skywarden.errors import LinkError, StoreError, WireError
from skywarden.link import (
    KIND_BATCH,
    KIND_REPLY,
    KIND_TASKING,
    MAX_BATCH_RECORDS,
    Batch,
    acknowledged_ranges,
    decode_reply,
    encode_batch,
)
from skywarden.messages import Health, Tasking
from skywarden.topics import TOPICS, topic_named
from skywarden.wire import Record, decode, encode_record

_log = structlog.get_logger("edge.downlink")

_MIN_WINDOW_BYTES = 4_096
_MAX_FROM_GROUND_BYTES = 32_768
_NEWEST_SHARE = 0.25
_MAX_NEWEST_KEYS = 2_000
_SILENT_HEARTBEAT_MAX_S = 2.0
_TARGET_DELAY_S = 1.0
_REOPEN_MIN_S = 3.0
_REOPEN_MAX_S = 20.0


class LinkConfig(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How this platform reaches its ground station.

    Attributes:
        ground: address and port, such as 10.0.0.5:5690; empty sends nothing (records wait in the outbox).
        ground_public_key: the station's key, `swpub1:...`, as `skywarden ground status` shows it; or the path
            of a file that holds it.
        key_file: this platform's key; empty for `keys/link.key` in the state folder, made on first use.
        rate_cap_bytes_per_s: at most so many bytes a second on average; 0 for no cap.
        batch_bytes: a batch is closed at this size (a larger single record travels alone).
        window_bytes: at most so much is under way without a reply; the link measures how much is useful.
        heartbeat_s: something is sent at least so often.
        silence_s: the ground counts as out of reach when it has not answered for so long.
        retry_min_s: what was not acknowledged is sent again after so long at the earliest.
        retry_max_s: and at the latest.
        outbox_max_bytes: the outbox keeps at most so much; then the least valuable goes, and is reported.
    """

    ground: Annotated[str, Meta(max_length=255)] = ""
    ground_public_key: Annotated[str, Meta(max_length=4096)] = ""
    key_file: Annotated[str, Meta(max_length=4096)] = ""
    rate_cap_bytes_per_s: Annotated[int, Meta(ge=0, le=1_000_000_000)] = 0
    batch_bytes: Annotated[int, Meta(ge=512, le=65_536)] = 32_768
    window_bytes: Annotated[int, Meta(ge=4_096, le=16_777_216)] = 524_288
    heartbeat_s: Annotated[float, Meta(ge=0.05, le=60.0)] = 1.0
    silence_s: Annotated[float, Meta(ge=0.2, le=600.0)] = 10.0
    retry_min_s: Annotated[float, Meta(ge=0.05, le=60.0)] = 2.0
    retry_max_s: Annotated[float, Meta(ge=0.05, le=600.0)] = 60.0
    outbox_max_bytes: Annotated[int, Meta(ge=1_000_000, le=10**13)] = 1_000_000_000

    def key_pair(self, state_dir: Path) -> keys.KeyPair:
        """This platform's key, made on first use; raises `LinkError` when its file is not private."""
        path = Path(self.key_file) if self.key_file else state_dir / "keys" / "link.key"
        return keys.load_or_create_key_file(path)

    def ground_key(self) -> bytes:
        """The station's public key, 32 bytes; raises `LinkError` when it is missing or damaged."""
        if not self.ground_public_key:
            raise LinkError(
                "link.ground is set but link.ground_public_key is not; `skywarden ground status` on the "
                "station shows it"
            )
        return keys.read_public(self.ground_public_key)


@dataclass(frozen=True, kw_only=True, slots=True)
class LinkState:
    """What the link did so far; seconds are monotonic, `clock_offset_s` is ground minus here."""

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
    clock_offset_s: float | None
    bad_replies: int


@dataclass(slots=True)
class _Flight:
    size: int
    sent_s: float
    utc_ns: int
    seqs: tuple[int, ...]


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


@dataclass(slots=True)
class _Newest:
    payload: bytes
    priority: int
    order: int


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
    records by priority and fresh first; a quarter of each batch is kept for newest values while both wait.
    """

    config: LinkConfig
    source: RecordSource
    jitter: random.Random
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
    _offset_s: float | None = None

    def __post_init__(self) -> None:
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
        record = Record(
            platform_id=self.source.platform_id,
            boot_id=self.source.boot_id,
            seq=0,
            topic=topic_name,
            time_ns=time_ns,
            body=body,
        )
        before = self._newest.get((topic_name, key))
        if before is not None:
            self._counts.newest_replaced += 1
        elif len(self._newest) >= _MAX_NEWEST_KEYS:
            del self._newest[next(iter(self._newest))]  # the one that was offered first
            self._counts.newest_replaced += 1
        self._offered += 1
        order = before.order if before is not None else self._offered
        self._newest[topic_name, key] = _Newest(encode_record(record), topic.priority, order)

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
        records, seqs = self._choose(now_s)
        if not records and now_s - self._sent_s < self.config.heartbeat_s:
            return None
        return self._batch(records, seqs, now_s, utc_ns)

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
        flight = self._flights.pop(reply.number, None)
        if flight is not None:
            self._flying.difference_update(flight.seqs)
            delay_s = max(0.0, now_s - flight.sent_s)
            self._pace.answered(flight.size, delay_s)
            middle_ns = flight.utc_ns + int(delay_s * 5e8)
            self._offset_s = (reply.ground_ns - middle_ns) / 1e9
        if reply.ack is not None:
            self._counts.records_acknowledged += self.source.acknowledge(reply.ack)
        self._retry_rest(flight.seqs if flight is not None else (), ranges, now_s)

    def wait_s(self, now_s: float) -> float:
        """How long nothing will be due if nothing new comes, at most 0.05 s."""
        if self._pace.cap and self._pace.tokens <= 0.0:
            return min(0.05, max(0.001, -self._pace.tokens / self._pace.cap))
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
            clock_offset_s=self._offset_s,
            bad_replies=counts.bad_replies,
        )

    def _silent_heartbeat(self, now_s: float, utc_ns: int) -> bytes | None:
        if now_s < self._beat_due_s:
            return None
        interval = min(_SILENT_HEARTBEAT_MAX_S, self.config.heartbeat_s * 2 ** min(self._silent_beats, 6))
        self._silent_beats += 1
        self._beat_due_s = now_s + interval * self.jitter.uniform(0.75, 1.25)
        return self._batch([], (), now_s, utc_ns)

    def _choose(self, now_s: float) -> tuple[list[bytes], tuple[int, ...]]:
        in_flight = sum(flight.size for flight in self._flights.values())
        room = self._pace.window - in_flight
        if room <= 0:
            return [], ()
        limit = int(min(self.config.batch_bytes, max(room, 512), max(self._pace.window / 2, 1024)))
        if self._pace.cap:
            limit = min(limit, max(512, 2 * self._pace.cap))
        reserved = int(limit * _NEWEST_SHARE) if self._newest else 0
        waiting = {seq for seq, retry in self._retries.items() if retry.due_s > now_s}
        durable = self.source.pending(
            limit - reserved, limit_records=MAX_BATCH_RECORDS // 2, skip=self._flying | waiting
        )
        if in_flight and durable and len(durable[0].body) > max(room, self.config.batch_bytes):
            return [], ()  # a large one travels alone, once the way is clear
        records = [
            encode_record(
                Record(
                    platform_id=self.source.platform_id,
                    boot_id=self.source.boot_id,
                    seq=record.seq,
                    topic=record.topic,
                    time_ns=record.time_ns,
                    body=record.body,
                )
            )
            for record in durable
        ]
        used = sum(map(len, records))
        records += self._take_newest(limit - used, may_be_large=not records and not in_flight)
        return records, tuple(record.seq for record in durable)

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

    def _batch(self, records: list[bytes], seqs: tuple[int, ...], now_s: float, utc_ns: int) -> bytes:
        self._number += 1
        state = self.source.state()
        payload = encode_batch(
            Batch(
                number=self._number,
                platform_id=self.source.platform_id,
                boot_id=self.source.boot_id,
                sent_ns=utc_ns,
                last_seq=state.last_seq,
                pending=state.held,
                records=tuple(records),
            )
        )
        self._flights[self._number] = _Flight(len(payload) if records else 0, now_s, utc_ns, seqs)
        self._flying.update(seqs)
        self._sent_s = now_s
        self._pace.tokens -= len(payload)
        counts = self._counts
        counts.batches += 1
        counts.bytes_sent += len(payload)
        counts.records_sent += len(seqs)
        counts.records_resent += sum(seq in self._retries for seq in seqs)
        return payload

    def _timeout_s(self) -> float:
        smooth = self._pace.delay_s if self._pace.delay_s is not None else 0.0
        base = max(self.config.retry_min_s, 4.0 * smooth)
        return float(min(self.config.retry_max_s, base * 2 ** min(self._pace.losses, 6)))

    def _expire(self, now_s: float) -> None:
        limit_s = self._timeout_s()
        late = [number for number, flight in self._flights.items() if now_s - flight.sent_s > limit_s]
        for number in late:
            flight = self._flights.pop(number)
            self._flying.difference_update(flight.seqs)
            for seq in flight.seqs:
                self._postpone(seq, now_s, wait_s=self.jitter.uniform(0.0, 0.1 * limit_s))
        if late and self.is_up(now_s):
            self._pace.lost()

    def _retry_rest(self, seqs: tuple[int, ...], ranges: list[tuple[int, int]], now_s: float) -> None:
        for seq in seqs:
            if any(first <= seq <= last for first, last in ranges):
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


class Downlink:
    """The thread `edge.downlink` with its socket; safe to call from any thread.

    `on_tasking` is called in that thread for each request from the ground. `stop` returns within 2 s and
    leaves everything unacknowledged in the outbox. Raises `LinkError` when keys or address do not fit.
    """

    def __init__(
        self,
        config: LinkConfig,
        outbox: RecordSource,
        key_pair: keys.KeyPair,
        *,
        on_tasking: Callable[[Tasking], None] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._config = config
        self._outbox = outbox
        self._keys = key_pair
        self._server_key = config.ground_key()
        self._endpoint = _endpoint(config.ground)
        self._on_tasking = on_tasking
        self._clock = clock or SystemClock()
        self._core = LinkCore(config=config, source=outbox, jitter=random.Random())
        self._lock = threading.Lock()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._stopping = threading.Event()
        self._was_up = False
        self._patience_s = _REOPEN_MIN_S
        self._down_since_s = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="edge.downlink", daemon=True)

    def start(self) -> None:
        """Begin to connect and send."""
        self._outbox.on_append = self.notify
        self._thread.start()

    def stop(self) -> None:
        """End the thread and the connection, within 2 s."""
        self._outbox.on_append = None
        self._stopping.set()
        self.notify()
        if self._thread.is_alive():
            self._thread.join(2.0)
        with self._lock:
            if self._wake >= 0 and not self._thread.is_alive():
                os.close(self._wake)
                self._wake = -1

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def notify(self) -> None:
        """Look for work now instead of within 50 ms."""
        with contextlib.suppress(OSError):
            if self._wake >= 0:
                os.eventfd_write(self._wake, 1)

    def offer_newest(self, topic: str, key: str, time_ns: int, body: bytes) -> None:
        """Keep the latest value of (topic, key); it is sent when the link has room. See `LinkCore`."""
        with self._lock:
            self._core.offer_newest(topic, key, time_ns, body)
        self.notify()

    def state(self) -> LinkState:
        """Counters and measurements of the link."""
        with self._lock:
            return self._core.state(self._now_s())

    def health(self, time_ns: int) -> Health:
        """One condition, `downlink/silent`: "ok" while the ground answers, else "degraded"."""
        state = self.state()
        pending = self._outbox.state().held
        silent_s = self._now_s() - self._down_since_s if not state.is_up else 0.0
        text = (
            f"ground answers in {state.delay_s or 0.0:.2f} s, {pending} records wait"
            if state.is_up
            else f"ground at {self._config.ground} silent for {silent_s:.0f} s, {pending} records wait aboard"
        )
        values = {
            "pending": float(pending),
            "bytes_sent": float(state.bytes_sent),
            "resent": float(state.records_resent),
            "window_bytes": float(state.window_bytes),
        }
        if state.delay_s is not None:
            values["delay_s"] = state.delay_s
        if state.clock_offset_s is not None:
            values["clock_offset_s"] = state.clock_offset_s
        return Health(
            platform_id=self._outbox.platform_id,
            component="downlink",
            condition="silent",
            state="ok" if state.is_up else "degraded",
            time_ns=time_ns,
            since_ns=max(0, time_ns - int(silent_s * 1e9)),
            text=text,
            values=values,
        )

    def wait_until_delivered(self, timeout_s: float) -> bool:
        """Wait until the outbox is empty; False when it is not within `timeout_s`."""
        end_s = time.monotonic() + timeout_s
        while self._outbox.state().held:
            if time.monotonic() >= end_s or self._stopping.wait(0.02):
                return False
        return True

    def _now_s(self) -> float:
        return self._clock.monotonic_ns() / 1e9

    def _run(self) -> None:
        context = zmq.Context()
        wait_s = 0.2
        while not self._stopping.is_set():
            try:
                self._session(context)
                wait_s = 0.2
            except Exception as error:  # noqa: BLE001 - the outermost loop: nothing may end the link
                _log.error("downlink failed, opened again", error=str(error), kind=type(error).__name__)
                self._stopping.wait(wait_s * random.uniform(0.75, 1.25))
                wait_s = min(5.0, wait_s * 2)
        context.destroy(linger=0)

    def _session(self, context: zmq.Context[zmq.Socket[bytes]]) -> None:
        """One socket's life; ends when stopping, or in a silence so that a fresh one is tried.

        libzmq does not knock again once it was refused, so a key that is enrolled later needs a new socket.
        """
        with self._connected(context) as socket:
            poller = zmq.Poller()
            poller.register(self._wake, zmq.POLLIN)
            poller.register(socket, zmq.POLLIN)
            opened_s = self._now_s()
            patience_s = self._patience_s * random.uniform(0.75, 1.25)
            while not self._stopping.is_set():
                self._send_due(socket)
                with self._lock:
                    wait_s = self._core.wait_s(self._now_s())
                poller.poll(math.ceil(wait_s * 1000))
                with contextlib.suppress(BlockingIOError):
                    os.eventfd_read(self._wake)
                self._receive(socket)
                now_s = self._now_s()
                self._note_state(now_s)
                if self._was_up:
                    self._patience_s = _REOPEN_MIN_S
                elif now_s - max(opened_s, self._down_since_s) > patience_s:
                    self._patience_s = min(_REOPEN_MAX_S, 1.5 * self._patience_s)
                    return

    def _connected(self, context: zmq.Context[zmq.Socket[bytes]]) -> zmq.Socket[bytes]:
        socket = context.socket(zmq.DEALER)
        socket.linger = 0
        socket.immediate = True
        socket.sndhwm, socket.rcvhwm = 64, 256
        socket.sndbuf = 262_144
        socket.maxmsgsize = _MAX_FROM_GROUND_BYTES
        socket.reconnect_ivl, socket.reconnect_ivl_max = 100, 2_000
        socket.connect_timeout, socket.handshake_ivl = 10_000, 10_000
        socket.heartbeat_ivl, socket.heartbeat_timeout, socket.heartbeat_ttl = 5_000, 15_000, 30_000
        socket.ipv6 = True
        socket.curve_serverkey = keys.curve_option(self._server_key)
        socket.curve_publickey = self._keys.public_z85
        socket.curve_secretkey = self._keys.secret_z85
        socket.connect(self._endpoint)
        return socket

    def _send_due(self, socket: zmq.Socket[bytes]) -> None:
        while socket.poll(0, zmq.POLLOUT) and not self._stopping.is_set():
            with self._lock:
                payload = self._core.next_batch(self._now_s(), self._clock.utc_ns())
            if payload is None:
                return
            with contextlib.suppress(zmq.Again):
                socket.send_multipart([KIND_BATCH, payload], zmq.DONTWAIT)

    def _receive(self, socket: zmq.Socket[bytes]) -> None:
        for _ in range(64):
            try:
                parts = socket.recv_multipart(zmq.DONTWAIT)
            except zmq.Again:
                return
            if len(parts) != 2:
                continue
            try:
                self._handle(parts[0], parts[1])
            except (WireError, StoreError) as error:
                _log.warning("message from the ground dropped", reason=str(error))

    def _handle(self, kind: bytes, payload: bytes) -> None:
        if kind == KIND_REPLY:
            with self._lock:
                self._core.on_reply(payload, self._now_s(), self._clock.utc_ns())
        elif kind == KIND_TASKING and len(payload) <= TOPICS["tasking"].max_bytes:
            tasking = decode("tasking", payload)
            assert isinstance(tasking, Tasking)
            if tasking.platform_id != self._outbox.platform_id:
                raise WireError(f"a tasking for {tasking.platform_id} reached {self._outbox.platform_id}")
            if self._on_tasking is not None:
                self._on_tasking(tasking)

    def _note_state(self, now_s: float) -> None:
        with self._lock:
            is_up = self._core.is_up(now_s)
        if is_up == self._was_up:
            return
        self._was_up = is_up
        if is_up:
            _log.info("ground answers", ground=self._config.ground)
        else:
            self._down_since_s = now_s
            _log.warning("ground is silent", ground=self._config.ground)


def _endpoint(address: str) -> str:
    host, _, port = address.removeprefix("tcp://").rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65_536:
        raise LinkError(f"link.ground {address!r} is not HOST:PORT, such as 10.0.0.5:5690")
    return f"tcp://{host}:{port}"
