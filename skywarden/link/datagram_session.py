"""Sessions over datagrams, without sockets: `Dial` is the platform's end, `Gate` the station's with all its.

Three kinds of datagram, told apart by their first byte: hello (1), answer (2) and data (3, a `Flow`'s). A
hello carries a keyed hash that only somebody who knows the station's public key can make, so that strangers
and port scanners cost one hash and get silence; then Noise IK (skywarden/link/handshake.py). A hello proves
nothing by itself (it can be a replay), so it replaces no session: only the first genuine data packet does.
"""

import hashlib
import hmac
import math
import struct
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from skywarden.errors import WireError
from skywarden.link.datagram import DATA, MAX_DATAGRAM_BYTES, Flow, index_of
from skywarden.link.handshake import ANSWER_BYTES, HELLO_BYTES, KEY_BYTES, Caller, answer_to

HELLO, ANSWER = 1, 2
PROLOGUE = b"skywarden datagram 1"
REKEY_S = 3_600.0
"""A session's keys are used for so long at most."""
IDLE_S = 60.0
LOST_S = 2.5
MAX_PENDING = 4
"""Sessions of one platform that have not proved themselves yet."""
MAX_SESSIONS = 4_096
HELLOS_PER_S = 100.0
HELLOS_PER_ADDRESS_S = 4.0

_INDEX = struct.Struct(">BI")
_INDICES = struct.Struct(">BII")
_MAC_BYTES = 16
_MAX_REMEMBERED = 2_048
_RETRY_S = (0.3, 0.4, 0.6, 1.0, 2.0, 3.0)

Address = tuple[str, int]


def hello_bytes() -> int:
    """Size of a hello on the wire."""
    return _INDEX.size + HELLO_BYTES + _MAC_BYTES


@dataclass(slots=True)
class Dial:
    """The platform's end: calls until answered, then carries messages; after `hang_up` it calls again.

    `entropy(n)` gives n random bytes. Not thread safe.
    """

    secret: bytes
    station_public: bytes
    entropy: Callable[[int], bytes]
    cap: float = 0.0
    flow: Flow | None = None
    calls: int = 0
    _open: dict[int, Caller] = field(default_factory=dict)
    _index: int = -1
    _since_s: float = 0.0
    _next_s: float = -math.inf
    _tries: int = 0

    def outgoing(self, now_s: float) -> list[bytes]:
        """The datagrams to send now."""
        if self.flow is not None and (now_s - self._since_s > REKEY_S or self._is_lost(self.flow, now_s)):
            self.hang_up()
        if self.flow is None:
            return [self._call(now_s)] if now_s >= self._next_s else []
        sent: list[bytes] = []
        while len(sent) < 64 and (datagram := self.flow.due(now_s)) is not None:
            sent.append(datagram)
        return sent

    def incoming(self, datagram: bytes, now_s: float) -> list[bytes]:
        """The messages that this datagram makes whole."""
        if datagram[:1] == bytes([ANSWER]) and self.flow is None:
            self._answered(datagram, now_s)
        elif self.flow is not None and index_of(datagram) == self._index:
            return self.flow.receive(datagram, now_s)
        return []

    def hang_up(self, *, soon: bool = True) -> None:
        """Forget the session; what was under way is lost to it (records stay in the outbox). Calls again at
        once, or not `soon`: when the next call is due."""
        if soon or self.flow is not None:
            self._tries = 0
        if soon:
            self._next_s = -math.inf
        self.flow = None
        self._open.clear()

    def wait_s(self, now_s: float) -> float:
        """How long nothing is due if nothing comes in, at most 0.05 s."""
        if self.flow is None:
            return max(0.0, min(0.05, self._next_s - now_s))
        return self.flow.wait_s(now_s)

    def _is_lost(self, flow: Flow, now_s: float) -> bool:
        """Whether the station has said nothing for so long, though asked, that it may have forgotten us."""
        silent_s = now_s - max(flow.heard_s, self._since_s)
        return flow.under_way > 0 and silent_s > max(LOST_S, 4.0 * flow.pace.rto_s)

    def _call(self, now_s: float) -> bytes:
        index = int.from_bytes(self.entropy(4), "big")
        caller = Caller(self.secret, self.station_public, PROLOGUE, self.entropy(KEY_BYTES))
        while len(self._open) >= MAX_PENDING:
            del self._open[next(iter(self._open))]
        self._open[index] = caller
        self._next_s = now_s + _RETRY_S[min(self._tries, len(_RETRY_S) - 1)]
        self._tries += 1
        self.calls += 1
        body = _INDEX.pack(HELLO, index) + caller.hello()
        return body + _mac(self.station_public, body)

    def _answered(self, datagram: bytes, now_s: float) -> None:
        if len(datagram) != _INDICES.size + ANSWER_BYTES:
            return
        _, index, station_index = _INDICES.unpack_from(datagram)
        caller = self._open.pop(index, None)  # one try each: a failed one has spoilt its state
        if caller is None:
            return
        try:
            session, _ = caller.finish(datagram[_INDICES.size :])
        except WireError:
            return
        self.flow = Flow(session, station_index, cap=self.cap)
        self._index, self._since_s, self._tries = index, now_s, 0
        self._open.clear()


@dataclass(slots=True)
class Session:
    """One session at the station; `is_proved` once a genuine packet came over it."""

    index: int
    platform_id: str
    public_key: bytes
    flow: Flow
    address: Address
    began_s: float
    is_proved: bool = False


@dataclass(slots=True)
class GateCounts:
    """What came in and was not a session's."""

    junk: int = 0
    hellos: int = 0
    hellos_refused: int = 0
    hellos_limited: int = 0


@dataclass(slots=True)
class Gate:
    """The station's end of all sessions. `platform_of` says whose key it is, `None` for nobody's.

    It is asked again with every message, so a revoked platform is cut off at once. `cap` is the most to send
    to one platform, bytes a second, 0 for no cap. Not thread safe.
    """

    secret: bytes
    public: bytes
    platform_of: Callable[[bytes], str | None]
    entropy: Callable[[int], bytes]
    cap: float = 0.0
    counts: GateCounts = field(default_factory=GateCounts)
    sessions: dict[int, Session] = field(default_factory=dict)
    _seen: OrderedDict[bytes, None] = field(default_factory=OrderedDict)
    _tokens: float = 20.0
    _filled_s: float = 0.0
    _per_address: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict)

    def incoming(
        self, datagram: bytes, address: Address, now_s: float
    ) -> tuple[list[tuple[Session, bytes]], bytes | None]:
        """Whole messages with their sessions, and a datagram to send back to `address`."""
        if not datagram or len(datagram) > MAX_DATAGRAM_BYTES:
            self.counts.junk += 1
        elif datagram[0] == DATA:
            return self._data(datagram, address, now_s), None
        elif datagram[0] == HELLO and self._is_for_us(datagram):
            return [], self._hello(datagram, address, now_s)
        else:
            self.counts.junk += 1
        return [], None

    def outgoing(self, now_s: float) -> list[tuple[Address, bytes]]:
        """The datagrams to send now."""
        sent = []
        for session in self.sessions.values():
            for _ in range(64):
                datagram = session.flow.due(now_s) if session.is_proved else None
                if datagram is None:
                    break
                sent.append((session.address, datagram))
        return sent

    def wait_s(self, now_s: float) -> float:
        """How long nothing is due if nothing comes in, at most 0.25 s."""
        proved = [one.flow.wait_s(now_s) for one in self.sessions.values() if one.is_proved]
        return min(proved, default=0.25)

    def offer(self, index: int, payload: bytes) -> bool:
        """Queue a message for a session; False when it is gone or full."""
        session = self.sessions.get(index)
        if session is None:
            return False
        try:
            session.flow.offer(payload)
        except WireError:
            return False
        return True

    def forget_idle(self, now_s: float) -> None:
        """Drop sessions that were silent for a minute, are old, or whose platform was revoked."""
        for index, one in list(self.sessions.items()):
            heard_s = max(one.began_s, one.flow.heard_s)
            is_over = now_s - heard_s > (IDLE_S if one.is_proved else 10.0)
            is_old = now_s - one.began_s > REKEY_S + IDLE_S
            if is_over or is_old or self.platform_of(one.public_key) != one.platform_id:
                del self.sessions[index]

    def _is_for_us(self, datagram: bytes) -> bool:
        if len(datagram) != hello_bytes():
            return False
        return hmac.compare_digest(_mac(self.public, datagram[:-_MAC_BYTES]), datagram[-_MAC_BYTES:])

    def _data(self, datagram: bytes, address: Address, now_s: float) -> list[tuple[Session, bytes]]:
        index = index_of(datagram)
        session = self.sessions.get(index) if index is not None else None
        if session is None:
            self.counts.junk += 1
            return []
        before = session.flow.counts.received
        messages = session.flow.receive(datagram, now_s)
        if session.flow.counts.received > before:
            session.address = address
            if not session.is_proved:
                self._prove(session)
        if messages and self.platform_of(session.public_key) != session.platform_id:
            del self.sessions[session.index]
            return []
        return [(session, message) for message in messages]

    def _prove(self, session: Session) -> None:
        """This one is genuine and fresh: older sessions of the same platform are over."""
        session.is_proved = True
        for index, one in list(self.sessions.items()):
            if one is not session and one.public_key == session.public_key and one.began_s <= session.began_s:
                del self.sessions[index]

    def _hello(self, datagram: bytes, address: Address, now_s: float) -> bytes | None:
        ephemeral = datagram[_INDEX.size : _INDEX.size + KEY_BYTES]
        if ephemeral in self._seen:
            self.counts.hellos_refused += 1
            return None
        if len(self.sessions) >= MAX_SESSIONS or not self._may_answer(address[0], now_s):
            self.counts.hellos_limited += 1
            return None
        self._seen[ephemeral] = None
        if len(self._seen) > _MAX_REMEMBERED:
            self._seen.popitem(last=False)
        try:
            answered = answer_to(
                datagram[_INDEX.size : -_MAC_BYTES],
                self.secret,
                PROLOGUE,
                self.entropy(KEY_BYTES),
                lambda key: self.platform_of(key) is not None,
            )
        except WireError:
            self.counts.hellos_refused += 1
            return None
        platform_id = self.platform_of(answered.caller_public)
        if platform_id is None:
            return None
        self.counts.hellos += 1
        peer_index = _INDEX.unpack_from(datagram)[1]
        index = self._free_index()
        self._make_way(answered.caller_public)
        flow = Flow(answered.keys, peer_index, cap=self.cap)
        self.sessions[index] = Session(index, platform_id, answered.caller_public, flow, address, now_s)
        return _INDICES.pack(ANSWER, peer_index, index) + answered.answer

    def _make_way(self, public_key: bytes) -> None:
        pending = [
            one for one in self.sessions.values() if one.public_key == public_key and not one.is_proved
        ]
        for one in pending[: max(0, len(pending) - MAX_PENDING + 1)]:
            del self.sessions[one.index]

    def _may_answer(self, host: str, now_s: float) -> bool:
        """Two token buckets: all hellos together, and those of one address."""
        self._tokens = min(20.0, self._tokens + (now_s - self._filled_s) * HELLOS_PER_S)
        self._filled_s = now_s
        tokens, filled_s = self._per_address.pop(host, (8.0, now_s))
        tokens = min(8.0, tokens + (now_s - filled_s) * HELLOS_PER_ADDRESS_S)
        is_fine = tokens >= 1.0 and self._tokens >= 1.0
        if is_fine:
            tokens, self._tokens = tokens - 1.0, self._tokens - 1.0
        self._per_address[host] = (tokens, now_s)
        if len(self._per_address) > _MAX_REMEMBERED:
            self._per_address.popitem(last=False)
        return is_fine

    def _free_index(self) -> int:
        while True:
            index = int.from_bytes(self.entropy(4), "big")
            if index not in self.sessions:
                return index


def _mac(station_public: bytes, body: bytes) -> bytes:
    key = hashlib.sha256(b"skywarden datagram hello 1" + station_public).digest()
    return hmac.digest(key, body, "sha256")[:_MAC_BYTES]
