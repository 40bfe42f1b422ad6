"""Who is connected to the link now: one connection can be cut, and one platform can only ask for so much.

libzmq closes no single peer's connection. It does tell on which descriptor a message came, so a connection
whose key was revoked is shut down at the socket itself; libzmq then forgets it as if its peer had left.
"""

import os
import resource
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog
import zmq

_log = structlog.get_logger("ground.link.admission")

MAX_MESSAGES_PER_S = 2_000.0
MAX_BYTES_PER_S = 64e6
_BURST_S = 2.0
_MAX_SESSIONS = 20_000


@dataclass(frozen=True, slots=True)
class _Session:
    """A connection of a platform: its descriptor, and the inode that tells it from a later one there."""

    platform_id: str
    key: bytes
    descriptor: int
    inode: int


@dataclass(slots=True)
class _Allowance:
    messages: float
    size: float
    filled_s: float


class Rates:
    """How much each platform may send: a bucket of messages and one of bytes, for one thread.

    Attributes:
        refused: messages that were over it.
    """

    def __init__(
        self, *, messages_per_s: float = MAX_MESSAGES_PER_S, bytes_per_s: float = MAX_BYTES_PER_S
    ) -> None:
        self._messages_per_s = messages_per_s
        self._bytes_per_s = bytes_per_s
        self._allowances: dict[str, _Allowance] = {}
        self.refused = 0

    def admits(self, platform_id: str, size: int, now_s: float) -> bool:
        """Whether the platform may send this message, by what it has sent in the last seconds."""
        full = _BURST_S * self._messages_per_s, _BURST_S * self._bytes_per_s
        one = self._allowances.setdefault(platform_id, _Allowance(*full, now_s))
        passed_s, one.filled_s = max(0.0, now_s - one.filled_s), now_s
        one.messages = min(full[0], one.messages + passed_s * self._messages_per_s)
        one.size = min(full[1], one.size + passed_s * self._bytes_per_s)
        if one.messages < 1.0 or one.size < size:
            self.refused += 1
            return False
        one.messages -= 1.0
        one.size -= size
        return True


class Sessions:
    """The connections that enrolled platforms have sent over; for one thread.

    Attributes:
        cut_count: connections that were shut down.
    """

    def __init__(
        self, *, messages_per_s: float = MAX_MESSAGES_PER_S, bytes_per_s: float = MAX_BYTES_PER_S
    ) -> None:
        self._rates = Rates(messages_per_s=messages_per_s, bytes_per_s=bytes_per_s)
        self._by_descriptor: dict[int, _Session] = {}
        self.cut_count = 0

    def note(self, platform_id: str, key: bytes, frame: zmq.Frame) -> None:
        """A message of this platform came over this frame's connection."""
        descriptor = _descriptor(frame)
        known = self._by_descriptor.get(descriptor)
        if descriptor < 0 or (known is not None and known.key == key):
            return
        inode = _inode(descriptor)
        if inode is not None and len(self._by_descriptor) < _MAX_SESSIONS:
            self._by_descriptor[descriptor] = _Session(platform_id, key, descriptor, inode)

    def admits(self, platform_id: str, size: int, now_s: float) -> bool:
        """See `Rates`."""
        return self._rates.admits(platform_id, size, now_s)

    def cut(self, platform_id: str, frame: zmq.Frame) -> None:
        """Shut down the connection that this frame came over."""
        descriptor = _descriptor(frame)
        known = self._by_descriptor.pop(descriptor, None)
        inode = known.inode if known is not None else _inode(descriptor)
        if inode is not None:
            self._shut(_Session(platform_id, b"", descriptor, inode))

    def cut_revoked(self, platform_of: Callable[[bytes], str | None]) -> list[str]:
        """Shut down every connection whose key is not its platform's any more; whose they were."""
        gone = [one for one in self._by_descriptor.values() if platform_of(one.key) != one.platform_id]
        for one in gone:
            del self._by_descriptor[one.descriptor]
            self._shut(one)
        return [one.platform_id for one in gone]

    def _shut(self, session: _Session) -> None:
        try:
            own = os.dup(session.descriptor)
        except OSError:
            return  # closed by libzmq since
        with socket.socket(fileno=own) as connection:
            if os.fstat(own).st_ino != session.inode:
                return  # the descriptor is another connection's by now
            try:
                peer = connection.getpeername()
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                return  # its peer has left
        self.cut_count += 1
        _log.warning("connection cut", platform_id=session.platform_id, peer=str(peer[0]))


def allow_many_connections() -> int:
    """Raise this process's limit of open files to what the system allows it; the limit now.

    Strangers that connect hold a descriptor each until they are refused, at most five seconds.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = hard if hard != resource.RLIM_INFINITY else 1 << 20
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return soft
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError) as error:
        _log.warning("limit of open files stays", limit=soft, reason=str(error))
        return soft
    return wanted


class RefusalLog:
    """Every refusal in the log with its peer, but a flood of them as a few lines and a count.

    At most `per_second` are logged one by one; the rest is summed up within the second after. For one thread.
    """

    def __init__(self, per_second: int = 20) -> None:
        self._per_second = per_second
        self._began_s = 0.0
        self._logged = 0
        self._unsaid = 0
        self._peers: set[str] = set()

    def refuse(self, reason: str, peer: str, **facts: str) -> None:
        """One peer was refused."""
        self.turn()
        if self._logged < self._per_second:
            self._logged += 1
            _log.warning("peer refused", reason=reason, peer=peer, **facts)
            return
        self._unsaid += 1
        if len(self._peers) < 8:
            self._peers.add(peer.rpartition(":")[0] or peer)

    def turn(self) -> None:
        """Begin a new second when it is time, and sum up the last."""
        now_s = time.monotonic()
        if now_s - self._began_s < 1.0:
            return
        if self._unsaid:
            _log.warning("more peers refused", count=self._unsaid, peers=sorted(self._peers))
        self._began_s, self._logged, self._unsaid = now_s, 0, 0
        self._peers.clear()


def _descriptor(frame: zmq.Frame) -> int:
    try:
        return int(frame.get(zmq.MessageOption.SRCFD))
    except (zmq.ZMQError, TypeError, ValueError):
        return -1


def _inode(descriptor: int) -> int | None:
    try:
        return os.fstat(descriptor).st_ino if descriptor >= 0 else None
    except OSError:
        return None
