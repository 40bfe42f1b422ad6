"""The station's UDP socket: a thread round a `Gate` that hands whole messages to the receiver.

What a stranger sends costs one hash and gets no answer. When the receiver is behind, nothing is read for a
moment; the platforms repeat what the kernel dropped. What one platform sends beyond its rate is dropped here,
before anything is decoded; it is not acknowledged, so it comes again.
"""

import contextlib
import os
import select
import socket
import threading
import time
from collections import deque
from dataclasses import dataclass

import structlog

from ground.link.admission import Rates
from skywarden.errors import LinkError
from skywarden.link.datagram import MAX_DATAGRAM_BYTES
from skywarden.link.datagram_session import Gate

_log = structlog.get_logger("ground.datagrams")

_MAX_WAITING_BYTES = 8_000_000
_MAX_ANSWERS = 10_000
_MAX_DRAIN = 512
_TEND_S = 1.0


@dataclass(frozen=True, slots=True)
class DatagramRoute:
    """The way back to a platform that came over datagrams: its session."""

    index: int


@dataclass(frozen=True, slots=True)
class DatagramMessage:
    """One whole message of a platform whose key was checked."""

    route: DatagramRoute
    platform_id: str
    public_key: bytes
    kind: bytes
    payload: bytes


class DatagramPort:
    """Thread `ground.datagrams`; `take` and `send` may be called from any thread.

    Raises `LinkError` from `bind` when the address is in use.

    Attributes:
        rates: what each platform may send this way, and how many messages were over it.
        fault: why nothing is taken in just now, `None` while all is well.
    """

    def __init__(self, gate: Gate, rates: Rates | None = None) -> None:
        self.gate = gate
        self.rates = rates if rates is not None else Rates()
        self.fault: str | None = None
        self._limited: set[str] = set()
        self._socket: socket.socket | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ground.datagrams", daemon=True)
        self._arrived: deque[DatagramMessage] = deque()
        self._waiting_bytes = 0
        self._answers: deque[tuple[int, bytes]] = deque(maxlen=_MAX_ANSWERS)
        self._lock = threading.Lock()
        self._ready = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._tend_due_s = 0.0

    def bind(self, host: str, port: int) -> int:
        """Listen; the port."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listening = socket.socket(family, socket.SOCK_DGRAM)
        try:
            listening.setblocking(False)
            with contextlib.suppress(OSError):
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 21)
            listening.bind(("" if host == "*" else host, port))
        except OSError as error:
            listening.close()
            raise LinkError(
                f"link address {host}:{port} cannot be used for UDP ({error.strerror})"
            ) from error
        self._socket = listening
        bound: int = listening.getsockname()[1]
        return bound

    def start(self) -> None:
        """Begin to take datagrams in."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread and close the socket, within 1 s; the receiver must have ended before. Once only."""
        self._stopping.set()
        self._notify(self._wake)
        if self._thread.is_alive():
            self._thread.join(1.0)
        if self._socket is not None:
            self._socket.close()
        if not self._thread.is_alive():
            os.close(self._ready)
            os.close(self._wake)
            self._ready = self._wake = -1

    def fileno(self) -> int:
        """Readable while messages wait."""
        return self._ready

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def take(self) -> list[DatagramMessage]:
        """Everything that has arrived whole since the last call."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._ready)
        with self._lock:
            messages = list(self._arrived)
            self._arrived.clear()
            self._waiting_bytes = 0
        return messages

    def send(self, route: DatagramRoute, kind: bytes, payload: bytes) -> None:
        """Queue a message for a session; it is dropped when the session is gone (the platform asks again)."""
        with self._lock:
            self._answers.append((route.index, kind + payload))
        self._notify(self._wake)

    def _run(self) -> None:
        assert self._socket is not None
        poller = select.poll()
        poller.register(self._socket, select.POLLIN)
        poller.register(self._wake, select.POLLIN)
        while not self._stopping.is_set():
            try:
                wait_s = self.gate.wait_s(time.monotonic())
                poller.poll(int(wait_s * 1_000) + (wait_s > 0))
                self._turn(time.monotonic())
                self.fault = None
            except Exception as error:  # noqa: BLE001 - the outermost loop: reception must go on
                self.fault = f"{type(error).__name__}: {error}"
                _log.error("datagrams failed, goes on", error=str(error), kind=type(error).__name__)
                self._stopping.wait(0.2)

    def _turn(self, now_s: float) -> None:
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._wake)
        if self._waiting_bytes < _MAX_WAITING_BYTES:
            self._read(now_s)
        with self._lock:
            answers = list(self._answers)
            self._answers.clear()
        for index, payload in answers:
            self.gate.offer(index, payload)
        for address, datagram in self.gate.outgoing(now_s):
            self._put(address, datagram)
        if now_s >= self._tend_due_s:
            self._tend_due_s = now_s + _TEND_S
            self.gate.forget_idle(now_s)

    def _read(self, now_s: float) -> None:
        assert self._socket is not None
        whole: list[DatagramMessage] = []
        for _ in range(_MAX_DRAIN):
            try:
                datagram, address = self._socket.recvfrom(MAX_DATAGRAM_BYTES + 1)
            except BlockingIOError:
                break
            except OSError:
                continue
            messages, answer = self.gate.incoming(datagram, address, now_s)
            if answer is not None:
                self._put(address, answer)
            whole += [
                DatagramMessage(
                    DatagramRoute(session.index),
                    session.platform_id,
                    session.public_key,
                    message[:1],
                    message[1:],
                )
                for session, message in messages
                if self._admits(session.platform_id, len(message), now_s)
            ]
        if whole:
            with self._lock:
                self._arrived.extend(whole)
                self._waiting_bytes += sum(len(one.payload) for one in whole)
            self._notify(self._ready)

    def _admits(self, platform_id: str, size: int, now_s: float) -> bool:
        if self.rates.admits(platform_id, size, now_s):
            return True
        if platform_id not in self._limited:
            self._limited.add(platform_id)
            _log.warning("refused (logged once)", platform_id=platform_id, reason="sends more than one may")
        return False

    def _put(self, address: tuple[str, int], datagram: bytes) -> None:
        assert self._socket is not None
        with contextlib.suppress(OSError):
            self._socket.sendto(datagram, address)

    def _notify(self, descriptor: int) -> None:
        with contextlib.suppress(OSError):
            if descriptor >= 0:
                os.eventfd_write(descriptor, 1)
