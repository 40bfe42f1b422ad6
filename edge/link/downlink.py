"""The way to the ground: batches of records over ZeroMQ with CURVE, sent again until they are acknowledged.

`LinkCore` (edge/link/sender.py) is the protocol without I/O; `Downlink` is the thread with the socket. Over
radios on which TCP starves the same batches go as datagrams (edge/link/datagram_port.py).
"""

import contextlib
import math
import os
import random
import threading
import time
from collections.abc import Callable

import structlog
import zmq

from edge.link.config import LinkConfig
from edge.link.datagram_port import DatagramChannel, PathChooser
from edge.link.outbox import RecordSource
from edge.link.sender import LinkCore, LinkState
from skywarden.clock import Clock, SystemClock
from skywarden.errors import LinkError, StoreError, WireError
from skywarden.evidence import EvidenceKey
from skywarden.link import keys
from skywarden.link.protocol import KIND_BATCH, KIND_REPLY, KIND_TASKING
from skywarden.messages import ClockReport, Health, Tasking
from skywarden.topics import TOPICS
from skywarden.wire import decode, encode

__all__ = ["Downlink", "LinkConfig", "LinkCore", "LinkState"]

_log = structlog.get_logger("edge.link.downlink")

_MAX_FROM_GROUND_BYTES = 32_768
_REOPEN_MIN_S = 3.0
_REOPEN_MAX_S = 20.0
_CLOCK_S, _CLOCK_NEWS_S = 30.0, 0.5
_SHOWN_PATH = {"tcp": "TCP", "datagram": "datagrams"}


class Downlink:
    """The thread `edge.link.downlink` with its socket; safe to call from any thread.

    `evidence_key` signs what is sent; a station shows unsigned records only when it was told to.
    `on_tasking` is called in that thread for each request from the ground. `stop` returns within 2 s and
    leaves everything unacknowledged in the outbox. Raises `LinkError` when keys or address do not fit.
    """

    def __init__(
        self,
        config: LinkConfig,
        outbox: RecordSource,
        key_pair: keys.KeyPair,
        *,
        evidence_key: EvidenceKey | None = None,
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
        self._core = LinkCore(config=config, source=outbox, jitter=random.Random(), key=evidence_key)
        self._lock = threading.Lock()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._stopping = threading.Event()
        self._was_up = False
        self._paths = PathChooser(config.transport)
        self._patience_s = _REOPEN_MIN_S
        self._down_since_s = time.monotonic()
        self._clock_told: tuple[float, float] | None = None
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

    @property
    def path(self) -> str:
        """What carries the batches now: "tcp" or "datagram"."""
        return self._paths.path

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
            f"ground answers in {state.delay_s or 0.0:.2f} s over {_SHOWN_PATH[self.path]}, "
            f"{pending} records wait"
            if state.is_up
            else f"ground at {self._config.ground} silent for {silent_s:.0f} s, {pending} records wait aboard"
        )
        values = {
            "pending": float(pending),
            "bytes_sent": float(state.bytes_sent),
            "resent": float(state.records_resent),
            "window_bytes": float(state.window_bytes),
            "goodput_bytes_per_s": state.goodput_bytes_per_s,
        }
        if state.delay_s is not None:
            values["delay_s"] = state.delay_s
        if state.clock is not None:
            values["clock_ahead_s"] = state.clock.offset_s
            values["clock_bound_s"] = state.clock.bound_s
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
                if self._paths.path == "datagram":
                    self._datagram_session()
                else:
                    self._session(context)
                self._paths.turn()
                wait_s = 0.2
            except Exception as error:  # noqa: BLE001 - the outermost loop: nothing may end the link
                self._paths.turn()
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
                    if self._is_starved(now_s):
                        return
                elif now_s - max(opened_s, self._down_since_s) > patience_s:
                    self._patience_s = min(_REOPEN_MAX_S, 1.5 * self._patience_s)
                    return

    def _is_starved(self, now_s: float) -> bool:
        with self._lock:
            state = self._core.state(now_s)
        is_starved = self._paths.must_leave_tcp(
            now_s,
            is_up=state.is_up,
            silent_s=state.silent_s,
            delay_s=state.delay_s,
            goodput=state.goodput_bytes_per_s,
        )
        if is_starved:
            _log.warning(
                "TCP starves or is slow, datagrams are tried", delay_s=state.delay_s, silent_s=state.silent_s
            )
        return is_starved

    def _datagram_session(self) -> None:
        """One UDP socket's life; ends when stopping, unanswered, or when TCP would do again."""
        host, _, port = self._endpoint.removeprefix("tcp://").rpartition(":")
        cap = float(self._config.rate_cap_bytes_per_s)
        with DatagramChannel(host.strip("[]"), int(port), self._keys, self._server_key, cap=cap) as channel:
            poller = zmq.Poller()
            poller.register(self._wake, zmq.POLLIN)
            poller.register(channel.fileno(), zmq.POLLIN)
            opened_s, was_answered = self._now_s(), False
            while not self._stopping.is_set():
                now_s = self._now_s()
                self._send_datagrams(channel, now_s)
                with self._lock:
                    wait_s = min(self._core.wait_s(now_s), channel.wait_s(now_s))
                poller.poll(math.ceil(wait_s * 1000))
                with contextlib.suppress(BlockingIOError):
                    os.eventfd_read(self._wake)
                self._receive_datagrams(channel)
                now_s = self._now_s()
                self._note_state(now_s)
                is_answered = channel.dial.flow is not None
                if is_answered and not was_answered:
                    _log.info("datagrams reach the ground", ground=self._config.ground)
                if was_answered and not is_answered:
                    opened_s = now_s
                was_answered = is_answered
                if self._paths.must_leave_datagrams(
                    now_s,
                    opened_s=opened_s,
                    is_answered=is_answered,
                    is_refused=channel.is_refused,
                    loss=channel.loss,
                    goodput=self.state().goodput_bytes_per_s,
                ):
                    return

    def _send_datagrams(self, channel: DatagramChannel, now_s: float) -> None:
        while channel.has_room and not self._stopping.is_set():
            with self._lock:
                payload = self._core.next_batch(now_s, self._clock.utc_ns())
            if payload is None:
                break
            channel.send(KIND_BATCH, payload)
        channel.tend(now_s)

    def _receive_datagrams(self, channel: DatagramChannel) -> None:
        for kind, payload in channel.receive(self._now_s()):
            try:
                self._handle(kind, payload)
            except (WireError, StoreError) as error:
                _log.warning("message from the ground dropped", reason=str(error))

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
            if is_up:
                self._tell_clock(now_s)
        if is_up == self._was_up:
            return
        self._was_up = is_up
        if is_up:
            _log.info("ground answers", ground=self._config.ground)
        else:
            self._down_since_s = now_s
            _log.warning("ground is silent", ground=self._config.ground)

    def _tell_clock(self, now_s: float) -> None:
        """How far our clock is from the ground's, twice a minute and when it leapt; the lock is held."""
        found = self._core.state(now_s).clock
        told = self._clock_told
        if found is None:
            return
        is_news = told is None or abs(found.offset_s - told[1]) > max(_CLOCK_NEWS_S, found.bound_s)
        if not is_news and told is not None and now_s - told[0] < _CLOCK_S:
            return
        self._clock_told = (now_s, found.offset_s)
        utc_ns = self._clock.utc_ns()
        report = ClockReport(
            platform_id=self._outbox.platform_id,
            time_ns=utc_ns,
            offset_s=found.offset_s,
            bound_s=found.bound_s,
            round_trip_s=found.round_trip_s,
            drift_ppm=found.drift_ppm,
            drift_bound_ppm=found.drift_bound_ppm,
        )
        self._core.offer_newest("clock", report.platform_id, utc_ns, encode(report))


def _endpoint(address: str) -> str:
    host, _, port = address.removeprefix("tcp://").rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65_536:
        raise LinkError(f"link.ground {address!r} is not HOST:PORT, such as 10.0.0.5:5690")
    return f"tcp://{host}:{port}"
