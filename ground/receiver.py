"""The receiving end of the link: one blocking thread that takes batches in, commits them, then answers.

Whose a record is, the CURVE key decides (the frame's `User-Id`), never a routing id or a field of the
payload. What does not fit is counted; a record that is damaged goes to quarantine and is acknowledged, so
that it blocks nothing; a record that claims to be another platform's is refused and not acknowledged.
"""

import threading
import time
from collections import deque
from dataclasses import dataclass, field

import structlog
import zmq

from ground.authenticator import KEY_PROPERTY, AllowList
from ground.live import LivePicture
from ground.store import Arrival, Ingested, Store
from skywarden import keys
from skywarden.clock import Clock
from skywarden.errors import LinkError, StoreError, WireError
from skywarden.link import (
    KIND_BATCH,
    KIND_REPLY,
    KIND_TASKING,
    MAX_BATCH_BYTES,
    ZAP_DOMAIN,
    Batch,
    Reply,
    decode_batch,
    encode_reply,
)
from skywarden.messages import Ack, Chip, FrameInfo, Message, PlatformPose, Sighting, Tasking
from skywarden.topics import TOPICS, topic_named
from skywarden.wire import Record, decode, decode_record, encode

_log = structlog.get_logger("ground.receiver")

_POLL_MS = 100
_MAX_DRAIN_MESSAGES = 256
_MAX_DRAIN_BYTES = 4_000_000
_SETTLE_S = 0.25
_SETTLE_REST = 5.0  # so contacts take at most a sixth of the time, however many there are
_HEARD_S = 5.0
_MAX_TASKINGS = 256
_MAX_SHOWN = 1_000


@dataclass(slots=True)
class ReceiverCounts:
    """Everything that came in, and what became of it."""

    messages: int = 0
    bytes: int = 0
    stored: int = 0
    duplicates: int = 0
    forks: int = 0
    quarantined: int = 0
    newest: int = 0
    undecodable: int = 0
    refused_identity: int = 0
    refused_revoked: int = 0
    store_failures: int = 0
    failures: int = 0


@dataclass(slots=True)
class _Parcel:
    """One batch on its way through: whose, where the answer goes, what is in it."""

    platform_id: str
    routing_id: bytes
    batch: Batch
    size: int
    received_ns: int
    arrivals: list[Arrival] = field(default_factory=list)
    newest: list[Message] = field(default_factory=list)
    refused: int = 0


class Receiver:
    """Thread `ground.receiver` with the ROUTER socket; it is the only writer of the store.

    Raises `LinkError` from `bind` when the address is in use.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        server_key: keys.KeyPair,
        allow_list: AllowList,
        store: Store,
        picture: LivePicture,
        clock: Clock,
    ) -> None:
        self._socket = _router(context, server_key)
        self._allow_list = allow_list
        self._store = store
        self._picture = picture
        self._clock = clock
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ground.receiver", daemon=True)
        self._routes: dict[str, bytes] = {}
        self._taskings: deque[Tasking] = deque(maxlen=_MAX_TASKINGS)
        self._heard: dict[str, tuple[int, str | None]] = {}
        self._unsettled: list[str] = []
        self._illustrated: set[str] = set()
        self._settle_due_s = 0.0
        self._heard_due_s = 0.0
        self._complained: set[tuple[str, str]] = set()
        self.store_problem: str | None = None
        self.counts = ReceiverCounts()

    def bind(self, host: str, port: int) -> str:
        """Listen on host and port (0: a free one); the address as HOST:PORT."""
        shown = f"[{host}]" if ":" in host else host
        self._socket.ipv6 = ":" in host
        try:
            self._socket.bind(f"tcp://{shown}:{port or '*'}")
        except zmq.ZMQError as error:
            raise LinkError(f"link address {host}:{port} cannot be used ({error.strerror})") from error
        endpoint = self._socket.getsockopt(zmq.LAST_ENDPOINT)
        assert isinstance(endpoint, bytes)
        bound = endpoint.rstrip(b"\0").decode().rpartition(":")[2]
        return f"{shown}:{bound}"

    def start(self) -> None:
        """Begin to take records in."""
        self._thread.start()

    def stop(self) -> None:
        """Finish the commit under way, write contacts, close the socket; within 2 s."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(3.0)
        else:
            self._socket.close(linger=0)

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def send_tasking(self, tasking: Tasking) -> bool:
        """Pass a request on to its platform; False when that platform has not been heard in this run."""
        if tasking.platform_id not in self._routes:
            return False
        self._taskings.append(tasking)
        return True

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                try:
                    self._turn()
                except Exception as error:  # noqa: BLE001 - the outermost loop: reception must go on
                    self.counts.failures += 1
                    _log.error("reception failed, goes on", error=str(error), kind=type(error).__name__)
                    self._stopping.wait(0.2)
            self._settle(force=True)
            self._remember_heard(force=True)
        except StoreError as error:
            _log.error("last contacts not written, they are rebuilt at the next start", reason=str(error))
        finally:
            self._socket.close(linger=0)

    def _turn(self) -> None:
        if self._socket.poll(_POLL_MS):
            parcels = self._drain()
            self._take_in(parcels)
        self._send_taskings()
        self._settle(force=False)
        self._remember_heard(force=False)

    def _drain(self) -> list[_Parcel]:
        """What waits in the socket, up to a commit's worth."""
        parcels: list[_Parcel] = []
        total = 0
        for _ in range(_MAX_DRAIN_MESSAGES):
            try:
                frames = self._socket.recv_multipart(zmq.DONTWAIT, copy=False)
            except zmq.Again:
                break
            size = sum(len(frame.buffer) for frame in frames)
            total += size
            self.counts.messages += 1
            self.counts.bytes += size
            parcel = self._opened(frames, size)
            if parcel is not None:
                parcels.append(parcel)
            if total > _MAX_DRAIN_BYTES:
                break
        return parcels

    def _opened(self, frames: list[zmq.Frame], size: int) -> _Parcel | None:
        """The batch in a message, its records decoded; `None` when it is refused as a whole."""
        platform_id = self._identity(frames[-1])
        if platform_id is None:
            return None
        if len(frames) != 3 or bytes(frames[1].buffer) != KIND_BATCH:
            self._complain(platform_id, "not a batch", "undecodable")
            return None
        try:
            batch = decode_batch(frames[2].buffer)
        except WireError as error:
            self._complain(platform_id, str(error), "undecodable")
            return None
        if batch.platform_id != platform_id:
            self._complain(platform_id, f"batch claims to be {batch.platform_id}'s", "refused_identity")
            return None
        parcel = _Parcel(platform_id, bytes(frames[0].buffer), batch, size, self._clock.utc_ns())
        self._routes[platform_id] = parcel.routing_id
        for data in batch.records:
            self._unpack(parcel, data)
        return parcel

    def _identity(self, frame: zmq.Frame) -> str | None:
        """The platform that the CURVE key of this frame's connection belongs to now."""
        try:
            platform_id, key = str(frame.get("User-Id")), bytes.fromhex(str(frame.get(KEY_PROPERTY)))
        except (zmq.ZMQError, ValueError):
            self._complain("?", "frame without an authenticated key", "refused_identity")
            return None
        if self._allow_list.platform_of(key) != platform_id:
            self._complain(platform_id, "its key was revoked while it was connected", "refused_revoked")
            return None
        return platform_id

    def _unpack(self, parcel: _Parcel, data: bytes) -> None:
        try:
            record = decode_record(data)
        except WireError as error:
            parcel.refused += 1
            self._complain(parcel.platform_id, str(error), "undecodable")
            return
        if record.platform_id != parcel.platform_id or record.boot_id != parcel.batch.boot_id:
            parcel.refused += 1
            claim = f"record claims to be {record.platform_id}/{record.boot_id}'s"
            self._complain(parcel.platform_id, claim, "refused_identity")
            return
        message, reason = _body(record)
        if record.seq:
            parcel.arrivals.append(
                Arrival(record=record, message=message, received_ns=parcel.received_ns, reason=reason)
            )
        elif message is not None:
            parcel.newest.append(message)
        else:
            parcel.refused += 1
            self._complain(parcel.platform_id, reason or "not valid", "undecodable")

    def _take_in(self, parcels: list[_Parcel]) -> None:
        arrivals = [arrival for parcel in parcels for arrival in parcel.arrivals]
        done: Ingested | None = None
        try:
            done = self._store.ingest(arrivals) if arrivals else Ingested(outcomes=())
            self._store_works()
        except StoreError as error:
            self._store_fails(error)
        for parcel in parcels:
            self._answer(parcel, is_committed=done is not None)
        now_s = self._clock.monotonic_ns() / 1e9
        offset = 0
        for parcel in parcels:
            outcomes = done.outcomes[offset : offset + len(parcel.arrivals)] if done is not None else ()
            offset += len(parcel.arrivals)
            self._show(parcel, outcomes, now_s)
        self._picture.publish()

    def _answer(self, parcel: _Parcel, *, is_committed: bool) -> None:
        ack: Ack | None = None
        if is_committed:
            numbers = [arrival.record.seq for arrival in parcel.arrivals]
            ack = self._store.acknowledgement(parcel.platform_id, parcel.batch.boot_id, numbers)
        reply = Reply(number=parcel.batch.number, ground_ns=self._clock.utc_ns(), ack=ack)
        self._send(parcel.routing_id, KIND_REPLY, encode_reply(reply))

    def _send(self, routing_id: bytes, kind: bytes, payload: bytes) -> None:
        try:
            self._socket.send_multipart([routing_id, kind, payload], zmq.DONTWAIT)
        except zmq.Again:
            _log.debug("no room for an answer, the platform asks again")

    def _show(self, parcel: _Parcel, outcomes: tuple[str, ...], now_s: float) -> None:
        """Tell the live picture and the counters; old records (backlog) do not overwrite newer ones there."""
        platform_id, picture, counts = parcel.platform_id, self._picture, self.counts
        picture.note_traffic(
            platform_id,
            now_s=now_s,
            received_ns=parcel.received_ns,
            sent_ns=parcel.batch.sent_ns,
            size=parcel.size,
            pending=parcel.batch.pending,
        )
        sortie_id: str | None = None
        for message in parcel.newest:
            picture.note_message(message, now_s)
            if isinstance(message, PlatformPose | FrameInfo):
                sortie_id = message.sortie_id
        for arrival, outcome in zip(parcel.arrivals, outcomes, strict=False):  # none when not committed
            if outcome == "stored" and arrival.message is not None:
                picture.note_message(arrival.message, now_s)
                if isinstance(arrival.message, Sighting):
                    self._unsettled.append(arrival.message.sighting_id)
                elif isinstance(arrival.message, Chip):
                    self._illustrated.add(arrival.message.sighting_id)
        counts.newest += len(parcel.newest)
        counts.stored += outcomes.count("stored")
        counts.duplicates += outcomes.count("duplicate")
        counts.forks += outcomes.count("fork")
        counts.quarantined += outcomes.count("quarantined")
        if outcomes or parcel.refused:
            _, missing, last_seq = self._store.sequence_state(platform_id)
            picture.note_records(
                platform_id,
                records=outcomes.count("stored") + outcomes.count("quarantined"),
                duplicates=outcomes.count("duplicate"),
                refused=parcel.refused,
                missing=missing,
                last_seq=last_seq,
            )
        if outcomes.count("fork"):
            self._complain(platform_id, "another record under a stored number: a fork, in quarantine", "")
        before = self._heard.get(platform_id, (0, None))
        self._heard[platform_id] = (parcel.received_ns, sortie_id or before[1])

    def _settle(self, *, force: bool) -> None:
        """Contacts follow a quarter of a second later (more when there are many), in their own commit."""
        now_s = time.monotonic()
        if not (self._unsettled or self._illustrated) or (now_s < self._settle_due_s and not force):
            return
        settled = self._store.settle(self._picture.next_revision())
        sighting_ids, self._unsettled = self._unsettled[-_MAX_SHOWN:], []
        chip_ids, self._illustrated = sorted(self._illustrated)[-_MAX_SHOWN:], set()
        self._picture.note_contacts(list(settled.contacts), list(settled.removed))
        with_chip = self._store.sightings_of_ids(chip_ids)
        contact_ids = sorted({one.contact_id for one in with_chip if one.contact_id is not None})
        found = [self._store.contact(contact_id) for contact_id in contact_ids]
        self._picture.note_contacts([one for one in found if one is not None], [])
        self._picture.note_sightings(self._store.sightings_of_ids(sighting_ids) + with_chip)
        self._picture.publish()
        ended_s = time.monotonic()
        self._settle_due_s = ended_s + max(_SETTLE_S, _SETTLE_REST * (ended_s - now_s))

    def _remember_heard(self, *, force: bool) -> None:
        now_s = time.monotonic()
        if now_s >= self._heard_due_s or force:
            self._heard_due_s = now_s + _HEARD_S
            heard, self._heard = self._heard, {}
            self._store.note_heard(heard)

    def _send_taskings(self) -> None:
        while self._taskings:
            tasking = self._taskings.popleft()
            route = self._routes.get(tasking.platform_id)
            if route is not None:
                self._send(route, KIND_TASKING, encode(tasking))

    def _store_fails(self, error: StoreError) -> None:
        self.counts.store_failures += 1
        if self.store_problem is None:
            _log.error("records cannot be stored, nothing is acknowledged", reason=str(error))
        self.store_problem = str(error)

    def _store_works(self) -> None:
        if self.store_problem is not None:
            _log.info("records are stored again")
            self.store_problem = None

    def _complain(self, platform_id: str, reason: str, counter: str) -> None:
        """Count always, log the first of its kind from each platform."""
        if counter:
            setattr(self.counts, counter, getattr(self.counts, counter) + 1)
        kind = (platform_id, counter or reason)
        if kind not in self._complained and len(self._complained) < 1_000:
            self._complained.add(kind)
            _log.warning("refused (logged once)", platform_id=platform_id, reason=reason[:300])


def _body(record: Record) -> tuple[Message | None, str | None]:
    """The record's message, or why it is poison."""
    topic = topic_named(record.topic)
    if record.topic in ("ack", "tasking"):
        return None, f"topic {record.topic} goes the other way"
    if (topic.policy == "durable") != (record.seq > 0):
        return None, f"a {record.topic} with number {record.seq}; {topic.policy} topics differ in that"
    try:
        message = decode(record.topic, record.body)
    except WireError as error:
        return None, str(error)
    owner = getattr(message, "platform_id", record.platform_id)
    if owner != record.platform_id:
        return None, f"the {record.topic} inside is {owner}'s"
    return message, None


def _router(context: zmq.Context[zmq.Socket[bytes]], server_key: keys.KeyPair) -> zmq.Socket[bytes]:
    socket = context.socket(zmq.ROUTER)
    socket.linger = 0
    socket.curve_server = True
    socket.curve_secretkey = server_key.secret_z85
    socket.zap_domain = ZAP_DOMAIN.encode()
    socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)
    socket.maxmsgsize = MAX_BATCH_BYTES
    socket.rcvhwm, socket.sndhwm = 64, 256
    socket.handshake_ivl = 5_000
    socket.heartbeat_ivl, socket.heartbeat_timeout, socket.heartbeat_ttl = 5_000, 15_000, 30_000
    return socket


assert all(topic.max_bytes < MAX_BATCH_BYTES for topic in TOPICS.values())
