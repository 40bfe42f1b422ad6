"""Hears libzmq's own account of the link's port: who connects, and who is turned away before a key is known.

Strangers without CURVE, with another mechanism or with junk never reach the ZAP handler; here they get their
line in the log.
"""

import socket
import threading
from dataclasses import dataclass
from typing import Any

import structlog
import zmq
from zmq.utils.monitor import parse_monitor_message

from ground.link.admission import RefusalLog

_log = structlog.get_logger("ground.link.door")

_MAX_PEERS = 20_000
_REASONS = {
    int(zmq.Event.HANDSHAKE_FAILED_NO_DETAIL): "left or fell silent in the handshake",
    int(zmq.Event.HANDSHAKE_FAILED_PROTOCOL): "speaks no CURVE, or not to this key",
}
_EVENTS = (
    zmq.Event.ACCEPTED
    | zmq.Event.ACCEPT_FAILED
    | zmq.Event.DISCONNECTED
    | zmq.Event.HANDSHAKE_FAILED_NO_DETAIL
    | zmq.Event.HANDSHAKE_FAILED_PROTOCOL
    | zmq.Event.HANDSHAKE_FAILED_AUTH
    | zmq.Event.HANDSHAKE_SUCCEEDED
)


_ANSWERED = (int(zmq.Event.HANDSHAKE_SUCCEEDED), int(zmq.Event.HANDSHAKE_FAILED_AUTH))


@dataclass(frozen=True, slots=True)
class _Peer:
    """A connection, and how many handshakes had come to an end when it came.

    libzmq says nothing of bytes that are no ZMTP, and does not say whose a handshake was. When none ended
    between a connection's two events, this one had none.
    """

    address: str
    handshakes_before: int


class Door:
    """Thread `ground.link.door`; make it in the thread that owns `watched`, before that is handed on.

    Attributes:
        connections: TCP connections so far.
        turned_away: peers that failed before their key was known.
        accept_failures: connections that the system had no room for.
    """

    def __init__(self, watched: zmq.Socket[bytes]) -> None:
        self._monitor = watched.get_monitor_socket(int(_EVENTS))
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ground.door", daemon=True)
        self._peers: dict[int, _Peer] = {}
        self._handshakes = 0
        self._failed: str | None = None
        self._log = RefusalLog()
        self.connections = 0
        self.turned_away = 0
        self.accept_failures = 0

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread, within a second."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(2.0)
        else:
            self._monitor.close(linger=0)

    @property
    def is_alive(self) -> bool:
        """Whether it listens."""
        return self._thread.is_alive()

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                if self._monitor.poll(200):
                    event = parse_monitor_message(self._monitor.recv_multipart())
                    if event["event"] == zmq.Event.MONITOR_STOPPED:
                        break
                    self._take(event)
                self._log.turn()
        except zmq.ZMQError as error:
            _log.debug("no more account of the port", reason=str(error))
        finally:
            self._monitor.close(linger=0)

    def _take(self, event: Any) -> None:
        kind, value = int(event["event"]), int(event["value"])
        if kind == zmq.Event.ACCEPTED:
            if len(self._peers) < _MAX_PEERS:
                self._peers[value] = _Peer(_peer_of(value), self._handshakes)
            self.connections += 1
        elif kind == zmq.Event.ACCEPT_FAILED:
            self.accept_failures += 1
            if self.accept_failures == 1:
                _log.error("a connection was not taken: too many open files?", errno=value)
        elif kind == zmq.Event.DISCONNECTED:
            self._bid_farewell(self._peers.pop(value, None))
        elif kind in _REASONS:
            self._failed = _REASONS[kind]
        elif kind in _ANSWERED:
            self._handshakes += 1

    def _bid_farewell(self, peer: _Peer | None) -> None:
        """One connection has ended; whoever never came to a handshake gets its line."""
        reason, self._failed = self._failed, None
        if reason is None and peer is not None and peer.handshakes_before == self._handshakes:
            reason = "speaks no ZMTP"
        if reason is not None:
            self.turned_away += 1
            self._log.refuse(reason, peer.address if peer is not None else "?")


def _peer_of(descriptor: int) -> str:
    """Address and port of the other end; "?" when it has left already."""
    try:
        own = socket.socket(fileno=socket.dup(descriptor))
    except OSError:
        return "?"
    with own:
        try:
            address = own.getpeername()
        except OSError:
            return "?"
    return f"{address[0]}:{address[1]}" if isinstance(address, tuple) else "?"
