"""Messages over datagrams that get lost: encrypted packets, selective repeat, no waiting behind a lost one.

A `Flow` is one end of one session, a plain object handed datagrams and time. Messages are cut into chunks,
the chunks travel in numbered packets, the other end says which packets came, and the chunks of those that did
not go again in new packets. Messages are handed out whole, once, in the order in which they became whole.
Packet: type (1 byte), the receiver's session number (4), packet number (8, big-endian), then
ChaCha20-Poly1305 over: an acknowledgement, or none, and chunks. Nothing is believed before the tag has been
checked, and a packet number is accepted once.
"""

import heapq
import math
import struct
from collections import OrderedDict, deque
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from skywarden.errors import WireError
from skywarden.link.datagram_pace import Epoch, Pace
from skywarden.link.handshake import SessionKeys

DATA = 3
MAX_DATAGRAM_BYTES = 1_200
"""Below every link's MTU in practice (IPv6 promises 1280), so that IP never cuts a datagram."""
MAX_MESSAGE_BYTES = 400_100
CHUNK_BYTES = 1_090
MAX_UNDER_WAY = 512
"""Messages that are not yet wholly delivered, at either end."""
MAX_PARTIAL_BYTES = 2_000_000
WINDOW_PACKETS = 2_048
"""Packet numbers that far behind the newest are refused as replays."""
ACK_DELAY_S = 0.015
ACK_ECHO_S = 0.04

_HEADER = struct.Struct(">BIQ")
_ACK = struct.Struct(">QHB")
_CHUNK = struct.Struct(">IHHH")
_BITMAP_BYTES = 32
_TAG_BYTES = 16
_ROOM = MAX_DATAGRAM_BYTES - _HEADER.size - _TAG_BYTES
_LEAST_REORDER_S = 0.02
_STRAGGLE_S = 2.0
_EXPRESS_CHUNKS = 2
"""Messages of so few chunks overtake larger ones: a fresh alert does not stand behind a backlog."""
_MOST_UNSENT_BYTES = 24_000.0


@dataclass(slots=True)
class _Outgoing:
    """A message on its way: which of its chunks have arrived."""

    payload: bytes
    count: int
    is_there: set[int] = field(default_factory=set)


@dataclass(slots=True)
class _Packet:
    sent_s: float
    size: int
    epoch: Epoch
    chunks: tuple[tuple[int, int], ...]


@dataclass(slots=True)
class _Incoming:
    """A message of which some chunks are here."""

    count: int
    parts: dict[int, bytes] = field(default_factory=dict)


@dataclass(slots=True)
class FlowCounts:
    """What one end did."""

    sent: int = 0
    sent_bytes: int = 0
    repeated_chunks: int = 0
    received: int = 0
    received_bytes: int = 0
    refused: int = 0
    replayed: int = 0
    duplicate_chunks: int = 0
    lost: int = 0
    spurious: int = 0


class Flow:
    """One end of one session. `peer_index` is the number that the other end gave the session.

    `offer` queues a message, `due` gives the next datagram to send, `receive` takes one in and gives the
    messages that became whole. Not thread safe. `cap` is the most to send in bytes a second, 0 for no cap.
    """

    def __init__(self, session: SessionKeys, peer_index: int, *, cap: float = 0.0) -> None:
        self._seal = ChaCha20Poly1305(session.send)
        self._open = ChaCha20Poly1305(session.receive)
        self._peer_index = peer_index
        self.pace = Pace(most=cap)
        if cap:
            self.pace.rate = min(self.pace.rate, cap)
        self.counts = FlowCounts()
        self._number = 0
        self._next_message = 0
        self._outgoing: dict[int, _Outgoing] = {}
        self._fresh: tuple[deque[tuple[int, int]], deque[tuple[int, int]]] = (deque(), deque())
        self._again: list[tuple[bool, int, int]] = []
        self._fresh_bytes = 0
        self._flying: OrderedDict[int, _Packet] = OrderedDict()
        self._flying_bytes = 0
        self._given_up: OrderedDict[int, _Packet] = OrderedDict()
        self._reorder_s = _LEAST_REORDER_S
        self._straggled_s = -math.inf
        self._newest_acked_s = -math.inf
        self._silent_rounds = 0
        self._heard_s = -math.inf
        self._largest = 0
        self._seen = 0
        self._unacked = 0
        self._unacked_s = -math.inf
        self._ack_due_s = math.inf
        self._largest_s = 0.0
        self._incoming: dict[int, _Incoming] = {}
        self._partial_bytes = 0
        self._done: set[int] = set()
        self._done_to = 0

    @property
    def heard_s(self) -> float:
        """When the last genuine packet came."""
        return self._heard_s

    @property
    def unsent_bytes(self) -> int:
        """What waits to be sent for the first time."""
        return self._fresh_bytes

    @property
    def under_way(self) -> int:
        """Messages that have not wholly arrived at the other end."""
        return len(self._outgoing)

    def has_room(self) -> bool:
        """Whether another message would leave soon: so that what is freshest is chosen late."""
        limit = max(2_400.0, min(_MOST_UNSENT_BYTES, 0.15 * self.pace.rate))
        return len(self._outgoing) < MAX_UNDER_WAY and self._fresh_bytes <= limit

    def offer(self, payload: bytes) -> None:
        """Queue a message; raises `WireError` over the size limit or with too many under way."""
        if not 0 < len(payload) <= MAX_MESSAGE_BYTES:
            raise WireError(f"a message of {len(payload)} bytes is outside 1 to {MAX_MESSAGE_BYTES}")
        if len(self._outgoing) >= MAX_UNDER_WAY:
            raise WireError(f"{MAX_UNDER_WAY} messages are under way, no more are taken")
        count = -(-len(payload) // CHUNK_BYTES)
        number = self._next_message
        self._next_message += 1
        self._outgoing[number] = _Outgoing(payload, count)
        self._fresh[count > _EXPRESS_CHUNKS].extend((number, index) for index in range(count))
        self._fresh_bytes += len(payload)

    def due(self, now_s: float) -> bytes | None:
        """The next datagram to send now, or `None`."""
        self._give_up_late(now_s)
        self.pace.refill(now_s)
        is_ack_due = now_s >= self._ack_due_s
        chunks: list[tuple[int, int]] = []
        if self._may_send(now_s):
            chunks = self._choose(is_ack_due)
        if not chunks and not is_ack_due:
            return None
        return self._packet(chunks, now_s)

    def wait_s(self, now_s: float) -> float:
        """How long `due` will have nothing if nothing comes in; at most 0.05 s."""
        wait_s = min(0.05, self._ack_due_s - now_s)
        if self._again or any(self._fresh):
            wait_s = min(wait_s, self.pace.wait_s)
        return max(0.0, wait_s)

    def receive(self, datagram: bytes, now_s: float) -> list[bytes]:
        """The messages that this datagram makes whole; none for what is forged, replayed or malformed."""
        number = self._new_number(datagram)
        if number is None:
            return []
        try:
            plain = self._open.decrypt(_nonce(number), datagram[_HEADER.size :], datagram[: _HEADER.size])
            acknowledged, chunks = _parsed(plain)
        except (InvalidTag, WireError):
            self.counts.refused += 1
            return []
        self.counts.received += 1
        self.counts.received_bytes += len(datagram)
        self._heard_s, self._silent_rounds = now_s, 0
        if acknowledged is not None:
            self._acknowledged(*acknowledged, now_s)
        if not self._is_acceptable(chunks):
            return []  # not noted as come: it goes again, when there is room
        self._note_number(number, now_s, must_ack=bool(chunks))
        return [whole for chunk in chunks if (whole := self._take(chunk)) is not None]

    def _may_send(self, now_s: float) -> bool:
        if not self.pace.may_send or self._flying_bytes > self.pace.window_bytes:
            return False
        if not self._silent_rounds:
            return True
        newest = next(reversed(self._flying.values()), None)
        return newest is None or now_s - newest.sent_s > 0.2 * 2 ** min(self._silent_rounds - 1, 3)

    def _choose(self, has_ack: bool) -> list[tuple[int, int]]:
        room = _ROOM - 1 - _ACK.size - _BITMAP_BYTES
        chosen: list[tuple[int, int]] = []
        while self._again or any(self._fresh):
            express, bulk = self._fresh
            is_again = bool(self._again) and not (express and self._again[0][0])
            queue = express or bulk
            name = self._again[0][1:] if is_again else queue[0]
            size = self._chunk_bytes(name)
            if size is not None and size + _CHUNK.size > room:
                break
            if is_again:
                heapq.heappop(self._again)
            else:
                queue.popleft()
                self._fresh_bytes -= size or 0
            if size is None:
                continue  # it arrived after all
            room -= size + _CHUNK.size
            chosen.append(name)
            self.counts.repeated_chunks += is_again
        return chosen

    def _chunk_bytes(self, name: tuple[int, int]) -> int | None:
        message = self._outgoing.get(name[0])
        if message is None or name[1] in message.is_there:
            return None
        return min(CHUNK_BYTES, len(message.payload) - name[1] * CHUNK_BYTES)

    def _packet(self, chunks: list[tuple[int, int]], now_s: float) -> bytes:
        self._number += 1
        plain = bytearray(self._ack_part(now_s))
        for number, index in chunks:
            message = self._outgoing[number]
            data = message.payload[index * CHUNK_BYTES : (index + 1) * CHUNK_BYTES]
            plain += _CHUNK.pack(number, index, message.count, len(data)) + data
        header = _HEADER.pack(DATA, self._peer_index, self._number)
        datagram = header + self._seal.encrypt(_nonce(self._number), bytes(plain), header)
        if chunks:
            epoch = self.pace.sent(now_s, len(datagram), has_more=bool(self._again) or any(self._fresh))
            self._flying[self._number] = _Packet(now_s, len(datagram), epoch, tuple(chunks))
            self._flying_bytes += len(datagram)
        self.counts.sent += 1
        self.counts.sent_bytes += len(datagram)
        return datagram

    def _ack_part(self, now_s: float) -> bytes:
        """One byte 0, or 1 and: newest number, its age in ms, bytes of bitmap, which before it came."""
        if not self._largest:
            return b"\0"
        is_first = self._unacked > 0
        self._unacked, self._ack_due_s = 0, now_s + ACK_ECHO_S if is_first else math.inf
        bitmap = (
            (self._seen >> 1 & (1 << 8 * _BITMAP_BYTES) - 1).to_bytes(_BITMAP_BYTES, "little").rstrip(b"\0")
        )
        age_ms = min(65_535, int(max(0.0, now_s - self._largest_s) * 1_000))
        return b"\1" + _ACK.pack(self._largest, age_ms, len(bitmap)) + bitmap

    def _new_number(self, datagram: bytes) -> int | None:
        """The packet number of a datagram for this session that was not here yet."""
        if not _HEADER.size + _TAG_BYTES < len(datagram) <= MAX_DATAGRAM_BYTES:
            self.counts.refused += 1
            return None
        number: int = _HEADER.unpack_from(datagram)[2]
        behind = self._largest - number
        if number == 0 or behind >= WINDOW_PACKETS or (behind >= 0 and self._seen >> behind & 1):
            self.counts.replayed += 1
            return None
        return number

    def _note_number(self, number: int, now_s: float, *, must_ack: bool) -> None:
        if number > self._largest:
            self._seen = (self._seen << number - self._largest | 1) & (1 << WINDOW_PACKETS) - 1
            self._largest, self._largest_s = number, now_s
        else:
            self._seen |= 1 << self._largest - number
        if must_ack:
            self._unacked += 1
            delay_s = 0.0 if self._unacked >= 2 else ACK_DELAY_S
            self._ack_due_s = min(now_s + delay_s, self._ack_due_s)

    def _acknowledged(self, largest: int, age_ms: int, bitmap: int, now_s: float) -> None:
        if largest > self._number:
            return  # of a packet that we never sent
        arrived = [largest] + [largest - 1 - bit for bit in range(bitmap.bit_length()) if bitmap >> bit & 1]
        for number in arrived:
            packet = self._flying.pop(number, None)
            if packet is None:
                self._note_spurious(number, now_s, age_ms if number == largest else None)
                continue
            self._flying_bytes -= packet.size
            self._newest_acked_s = max(self._newest_acked_s, packet.sent_s)
            rtt_s = max(0.0, now_s - packet.sent_s - age_ms / 1_000) if number == largest else None
            self.pace.acked(now_s, packet.size, packet.epoch, rtt_s)
            for name in packet.chunks:
                self._arrived(name)

    def _arrived(self, name: tuple[int, int]) -> None:
        message = self._outgoing.get(name[0])
        if message is None:
            return
        message.is_there.add(name[1])
        if len(message.is_there) == message.count:
            del self._outgoing[name[0]]

    def _note_spurious(self, number: int, now_s: float, age_ms: int | None) -> None:
        """A packet that was given up came after all: wait longer for stragglers from now on."""
        packet = self._given_up.pop(number, None)
        if packet is not None:
            for name in packet.chunks:
                self._arrived(name)
            if age_ms is not None:
                self.pace.note_rtt(max(0.0, now_s - packet.sent_s - age_ms / 1_000))
            self.counts.spurious += 1
            self.pace.was_not_lost()
            self._reorder_s = min(0.75 * (self.pace.rtt_s or 0.2), self._reorder_s * 1.25)
            self._straggled_s = now_s

    def _give_up_late(self, now_s: float) -> None:
        """Packets that later ones have overtaken, or that are too old, are lost; their chunks go again."""
        rto_s = self.pace.rto_s * 2 ** min(self._silent_rounds, 3)
        late = []
        for number, packet in self._flying.items():
            is_overtaken = packet.sent_s < self._newest_acked_s - self._reorder_s
            if not is_overtaken and now_s - packet.sent_s <= rto_s:
                break
            late.append(number)
        if late and now_s - self._heard_s > rto_s:
            self._silent_rounds += 1
        for number in late:
            packet = self._flying.pop(number)
            self._flying_bytes -= packet.size
            self.pace.lost(now_s, packet.epoch)
            self.counts.lost += 1
            self._given_up[number] = packet
            if len(self._given_up) > 256:
                self._given_up.popitem(last=False)
            for name in packet.chunks:
                if self._chunk_bytes(name) is not None:
                    is_bulk = self._outgoing[name[0]].count > _EXPRESS_CHUNKS
                    heapq.heappush(self._again, (is_bulk, *name))
        if now_s - self._straggled_s > _STRAGGLE_S:
            self._reorder_s, self._straggled_s = max(_LEAST_REORDER_S, self._reorder_s * 0.75), now_s

    def _is_acceptable(self, chunks: list[tuple[int, int, int, bytes]]) -> bool:
        """Whether there is room for these chunks; what is already here or done needs none."""
        for number, _, count, data in chunks:
            if number in self._incoming or number < self._done_to or number in self._done:
                continue
            if (
                count * CHUNK_BYTES > MAX_MESSAGE_BYTES + CHUNK_BYTES
                or number >= self._done_to + 4 * MAX_UNDER_WAY
            ):
                return False
            if self._partial_bytes + len(data) > MAX_PARTIAL_BYTES or len(self._incoming) >= MAX_UNDER_WAY:
                return False
        return True

    def _take(self, chunk: tuple[int, int, int, bytes]) -> bytes | None:
        """The message that this chunk completes."""
        number, index, count, data = chunk
        if number < self._done_to or number in self._done:
            self.counts.duplicate_chunks += 1
            return None
        message = self._incoming.setdefault(number, _Incoming(count))
        if index in message.parts or index >= message.count:
            self.counts.duplicate_chunks += 1
            return None
        message.parts[index] = data
        self._partial_bytes += len(data)
        if len(message.parts) < message.count:
            return None
        del self._incoming[number]
        whole = b"".join(message.parts[place] for place in range(message.count))
        self._partial_bytes -= len(whole)
        self._done.add(number)
        while self._done_to in self._done:
            self._done.remove(self._done_to)
            self._done_to += 1
        return whole


def index_of(datagram: bytes) -> int | None:
    """The session number that a data packet is addressed to, `None` for anything else."""
    if len(datagram) <= _HEADER.size + _TAG_BYTES or datagram[0] != DATA:
        return None
    index: int = _HEADER.unpack_from(datagram)[1]
    return index


def _parsed(plain: bytes) -> tuple[tuple[int, int, int] | None, list[tuple[int, int, int, bytes]]]:
    """Acknowledgement (newest, age, bitmap) and chunks; raises `WireError` when they do not fit."""
    acknowledged, place = None, 1
    try:
        if plain[0] == 1:
            largest, age_ms, length = _ACK.unpack_from(plain, 1)
            place = 1 + _ACK.size + length
            if length > _BITMAP_BYTES or place > len(plain):
                raise WireError(f"a bitmap of {length} bytes does not fit")
            acknowledged = (largest, age_ms, int.from_bytes(plain[1 + _ACK.size : place], "little"))
        elif plain[0] != 0:
            raise WireError(f"a packet begins with {plain[0]}")
        chunks = []
        while place < len(plain):
            number, index, count, length = _CHUNK.unpack_from(plain, place)
            place += _CHUNK.size
            is_last = index == count - 1
            if place + length > len(plain) or index >= count or not 0 < length <= CHUNK_BYTES:
                raise WireError(f"chunk {index} of {count} with {length} bytes does not fit")
            if length < CHUNK_BYTES and not is_last:
                raise WireError(f"chunk {index} of {count} has only {length} bytes")
            chunks.append((number, index, count, plain[place : place + length]))
            place += length
    except (struct.error, IndexError):
        raise WireError("a packet is cut short") from None
    return acknowledged, chunks


def _nonce(number: int) -> bytes:
    return bytes(4) + number.to_bytes(8, "little")
