"""The datagram path to the ground: a UDP socket round a `Dial`, and when to use it instead of TCP.

At 30 % loss TCP carries almost nothing; datagrams with selective repeat carry what the radio gives. Where a
network lets no UDP through, TCP stays.
"""

import contextlib
import math
import os
import socket
from dataclasses import dataclass
from typing import Literal

from skywarden.errors import PeerUnavailableError
from skywarden.link.datagram import MAX_DATAGRAM_BYTES
from skywarden.link.datagram_session import Dial
from skywarden.link.keys import KeyPair

Path = Literal["tcp", "datagram"]
Mode = Literal["auto", "tcp", "datagram"]

_MAX_DRAIN = 256
_STARVED_S = 2.5
_STARVED_DELAY_S = 2.0
_UNANSWERED_S = 4.0
_SLOW_DELAY_S, _SLOW_S = 0.7, 8.0
_TRIAL_S, _TRIAL_AGAIN_S, _WORTH_IT = 15.0, 300.0, 0.8
_CLEAN_LOSS = 0.02
_CLEAN_S = 60.0
_MOST_CLEAN_S = 3_600.0


class DatagramChannel:
    """One UDP socket to the station; one thread uses it. Raises `PeerUnavailableError` from the constructor
    when the name does not resolve. `cap` is the most to send, bytes a second, 0 for no cap."""

    def __init__(
        self, host: str, port: int, own: KeyPair, station_public: bytes, *, cap: float = 0.0
    ) -> None:
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
            self._socket = socket.socket(family, kind, protocol)
        except OSError as error:
            raise PeerUnavailableError(f"{host}:{port} cannot be reached by UDP ({error})") from error
        try:
            self._socket.setblocking(False)
            self._socket.connect(address)
        except OSError as error:
            self._socket.close()
            raise PeerUnavailableError(f"{host}:{port} cannot be reached by UDP ({error})") from error
        self.dial = Dial(own.secret, station_public, os.urandom, cap=cap)
        self.is_refused = False

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def fileno(self) -> int:
        """For a poller."""
        return self._socket.fileno()

    @property
    def has_room(self) -> bool:
        """Whether a message would leave soon; False before the station has answered."""
        return self.dial.flow is not None and self.dial.flow.has_room()

    @property
    def loss(self) -> float | None:
        """The share of packets that were lost lately; `None` before anything was measured."""
        flow = self.dial.flow
        return None if flow is None or flow.pace.rtt_s is None else max(flow.pace.loss, flow.pace.floor)

    def send(self, kind: bytes, payload: bytes) -> None:
        """Queue a message; it leaves with `tend`."""
        assert self.dial.flow is not None
        self.dial.flow.offer(kind + payload)

    def tend(self, now_s: float) -> None:
        """Send what is due."""
        for datagram in self.dial.outgoing(now_s):
            try:
                self._socket.send(datagram)
            except BlockingIOError:
                return  # the kernel's buffer is full: as good as lost on the air
            except ConnectionRefusedError:
                self._note_refusal()
                return
            except OSError:
                return  # no route just now

    def receive(self, now_s: float) -> list[tuple[bytes, bytes]]:
        """(kind, payload) of the messages that came whole."""
        messages = []
        for _ in range(_MAX_DRAIN):
            try:
                datagram = self._socket.recv(MAX_DATAGRAM_BYTES + 1)
            except BlockingIOError:
                break
            except ConnectionRefusedError:
                self._note_refusal()
                continue
            except OSError:
                break
            messages += [(one[:1], one[1:]) for one in self.dial.incoming(datagram, now_s)]
        return messages

    def _note_refusal(self) -> None:
        """Nobody listens there (now): the session is over, and without one this is no way."""
        self.is_refused = self.dial.flow is None
        self.dial.hang_up(soon=False)

    def wait_s(self, now_s: float) -> float:
        """How long nothing is due if nothing comes in, at most 0.05 s."""
        return self.dial.wait_s(now_s)

    def __enter__(self) -> "DatagramChannel":
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self.close()


@dataclass(slots=True)
class PathChooser:
    """TCP or datagrams: a plain object handed what the link does.

    "auto" begins with TCP, leaves it when it starves (no answer for 2.5 s, or answers take over 2 s) or
    cannot connect, and comes back to it after a minute without loss; later and later when that was a mistake.
    While TCP is slow (answers take over 0.7 s for 8 s) datagrams are tried for 15 s, and kept unless they
    carry less.
    """

    mode: Mode = "auto"
    path: Path = "tcp"
    _clean_since_s: float | None = None
    _clean_for_s: float = _CLEAN_S
    _left_datagrams_s: float | None = None
    _slow_since_s: float | None = None
    _tried_s: float | None = None
    _tcp_goodput: float = 0.0
    _next_trial_s: float = -math.inf
    _trial_wait_s: float = _TRIAL_AGAIN_S

    def __post_init__(self) -> None:
        if self.mode == "datagram":
            self.path = "datagram"

    def must_leave_tcp(
        self,
        now_s: float,
        *,
        is_up: bool,
        silent_s: float | None,
        delay_s: float | None,
        goodput: float = 0.0,
    ) -> bool:
        """Whether an open TCP session starves, or is so slow that datagrams are worth a try."""
        if self.mode != "auto" or not is_up:
            return False
        self._tried_s = None
        if self._is_slow(now_s, delay_s or 0.0):
            self._tried_s, self._tcp_goodput = now_s, goodput
            return True
        is_starved = (silent_s or 0.0) > _STARVED_S or (delay_s or 0.0) > _STARVED_DELAY_S
        if is_starved and self._left_datagrams_s is not None:
            if now_s - self._left_datagrams_s < 5 * _CLEAN_S:
                self._clean_for_s = min(_MOST_CLEAN_S, 4 * self._clean_for_s)
            self._left_datagrams_s = None
        return is_starved

    def must_leave_datagrams(
        self,
        now_s: float,
        *,
        opened_s: float,
        is_answered: bool,
        is_refused: bool,
        loss: float | None,
        goodput: float = 0.0,
    ) -> bool:
        """Whether datagrams get no answer, or are no longer needed."""
        if self.mode != "auto":
            return False
        if not is_answered:
            return is_refused or now_s - opened_s > _UNANSWERED_S
        if self._tried_s is not None and now_s - self._tried_s > _TRIAL_S:
            self._tried_s = None
            if goodput < _WORTH_IT * self._tcp_goodput:
                self._next_trial_s = now_s + self._trial_wait_s
                self._trial_wait_s = min(_MOST_CLEAN_S, 4 * self._trial_wait_s)
                return True
        if loss is None or loss > _CLEAN_LOSS:
            self._clean_since_s = None
            return False
        if self._clean_since_s is None:
            self._clean_since_s = now_s
        if now_s - self._clean_since_s < self._clean_for_s:
            return False
        self._clean_since_s, self._left_datagrams_s = None, now_s
        return True

    def _is_slow(self, now_s: float, delay_s: float) -> bool:
        if delay_s < _SLOW_DELAY_S or now_s < self._next_trial_s:
            self._slow_since_s = None
            return False
        if self._slow_since_s is None:
            self._slow_since_s = now_s
        if now_s - self._slow_since_s < _SLOW_S:
            return False
        self._slow_since_s = None
        return True

    def turn(self) -> None:
        """A session has ended: the other path is next, if there is a choice."""
        if self.mode == "auto":
            self.path = "tcp" if self.path == "datagram" else "datagram"
