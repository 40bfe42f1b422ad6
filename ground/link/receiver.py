"""The receiving end of the link: one blocking thread that takes batches in, commits them, then answers.

Whose a record is, the CURVE key decides (the frame's `User-Id`), never a routing id or a field of the
payload. What is checked, stored and answered is `Intake`'s (ground/link/intake.py).
"""

import threading
import time
from collections import deque
from collections.abc import Callable

import structlog
import zmq

from ground.exercise.mark import REAL, Mark
from ground.link.admission import Sessions
from ground.link.authenticator import KEY_PROPERTY, AllowList
from ground.link.datagram_port import DatagramMessage, DatagramPort, DatagramRoute
from ground.link.door import Door
from ground.link.intake import EvidencePolicy, Intake, Parcel, ReceiverCounts
from ground.picture.live import LivePicture
from ground.picture.precedence import Precedence
from ground.picture.settler import Settler
from ground.store.arrivals import Arrival
from ground.store.seam import Store
from skywarden.clock import Clock
from skywarden.errors import LinkError, StoreError
from skywarden.link import keys
from skywarden.link.protocol import KIND_BATCH, KIND_REPLY, KIND_TASKING, MAX_BATCH_BYTES, ZAP_DOMAIN
from skywarden.link.thin import THIN_BOOT
from skywarden.messages import Chip, FrameInfo, Look, PlatformPose, Sighting, Tasking, TaskingReceipt
from skywarden.topics import TOPICS
from skywarden.wire import Record, encode

_log = structlog.get_logger("ground.link.receiver")

Route = bytes | DatagramRoute
"""The way back to a platform: ZeroMQ's routing id, or its session over datagrams."""

_POLL_MS = 100
_MAX_DRAIN_MESSAGES = 256
_MAX_DRAIN_BYTES = 4_000_000
_HEARD_S = 5.0
_SESSIONS_S = 0.5
_BEHIND_S = 30.0
_MAX_TASKINGS = 256
_MAX_THIN = 1_000


class Receiver:
    """Thread `ground.link.receiver` with the ROUTER socket; it is the only writer of the store.

    `policy` says what becomes of records that no enrolled evidence key signed; `datagrams` is the second way
    in (stopped by its owner). It goes first by `precedence`. Raises `LinkError` from `bind` when the address
    is in use.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        server_key: keys.KeyPair,
        allow_list: AllowList,
        store: Store,
        picture: LivePicture,
        clock: Clock,
        policy: EvidencePolicy = "quarantine",
        *,
        datagrams: DatagramPort | None = None,
        mark: Mark = REAL,
        precedence: Precedence | None = None,
    ) -> None:
        self._precedence = precedence or Precedence()
        self._socket = _router(context, server_key)
        self._datagrams = datagrams
        self._poller = zmq.Poller()
        self._poller.register(self._socket, zmq.POLLIN)
        if datagrams is not None:
            self._poller.register(datagrams.fileno(), zmq.POLLIN)
        self._allow_list = allow_list
        self.sessions = Sessions()
        self.door = Door(self._socket)
        self._sessions_due_s = 0.0
        self._store = store
        self._picture = picture
        self._clock = clock
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ground.receiver", daemon=True)
        self._routes: dict[str, Route] = {}
        self._taskings: deque[Tasking] = deque(maxlen=_MAX_TASKINGS)
        self.on_receipt: Callable[[str, TaskingReceipt], None] | None = None
        self._thin: deque[tuple[Sighting, int]] = deque(maxlen=_MAX_THIN)
        self._heard: dict[str, tuple[int, str | None]] = {}
        self._settler = Settler(store, picture, self._precedence)
        self._unsettled: list[str] = []
        self._illustrated: set[str] = set()
        self._heard_due_s = 0.0
        self.intake = Intake(store=store, evidence_keys=allow_list.evidence_keys_of, policy=policy, mark=mark)

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

    def unbind(self, address: str) -> None:
        """Listen on this address (as `bind` gave it) no more."""
        self._socket.unbind(f"tcp://{address}")

    def start(self) -> None:
        """Begin to take records in."""
        self.door.start()
        self._settler.start()
        self._thread.start()

    def stop(self) -> None:
        """Finish the commit under way, close the socket, write contacts; each within 3 s."""
        self._stopping.set()
        self.door.stop()
        if self._thread.is_alive():
            self._thread.join(3.0)
        else:
            self._socket.close(linger=0)
        self._settler.stop()

    @property
    def counts(self) -> ReceiverCounts:
        """Everything that came in."""
        return self.intake.counts

    @property
    def contacts_behind_s(self) -> float:
        """How far contacts are behind what is stored."""
        return self._settler.behind_s

    def problems(self) -> list[str]:
        """What is behind, in words."""
        if not self._settler.is_alive and self.is_alive:
            return ["contacts are not brought up to date: their thread has ended; sightings are stored"]
        if (behind_s := self._settler.behind_s) > _BEHIND_S:
            return [f"contacts are {behind_s:.0f} s behind what is stored: more comes than can be fused here"]
        return []

    @property
    def store_problem(self) -> str | None:
        """Why nothing is committed, `None` while all is well."""
        return self.intake.store_problem

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def take_thin(self, sighting: Sighting, received_ns: int) -> None:
        """A sighting came by the telemetry radio; it is stored at the next turn, from any thread."""
        self._thin.append((sighting, received_ns))

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
            self._remember_heard(force=True)
        except StoreError as error:
            _log.error("when platforms were last heard is not written", reason=str(error))
        finally:
            self._socket.close(linger=0)

    def _turn(self) -> None:
        if self._poller.poll(_POLL_MS):
            self._precedence.gather()
            with self._precedence.first():
                parcels: list[tuple[Route, Parcel]] = [*self._drain(), *self._drain_datagrams()]
                self._take_in(parcels)
        self._cut_revoked()
        self._take_thin_in()
        self._send_taskings()
        self._settler.note(self._unsettled, self._illustrated)
        self._unsettled, self._illustrated = [], set()
        self._remember_heard(force=False)

    def _drain(self) -> list[tuple[bytes, Parcel]]:
        """What waits in the socket, up to a commit's worth, each with the way back."""
        parcels: list[tuple[bytes, Parcel]] = []
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
                routing_id = bytes(frames[0].buffer)
                self._routes[parcel.platform_id] = routing_id
                parcels.append((routing_id, parcel))
            if total > _MAX_DRAIN_BYTES:
                break
        return parcels

    def _drain_datagrams(self) -> list[tuple[Route, Parcel]]:
        """What came whole over datagrams; their keys were checked a moment ago."""
        parcels: list[tuple[Route, Parcel]] = []
        for message in self._datagrams.take() if self._datagrams is not None else ():
            self.counts.messages += 1
            self.counts.bytes += len(message.payload)
            parcel = self._opened_datagram(message)
            if parcel is not None:
                self._routes[parcel.platform_id] = message.route
                parcels.append((message.route, parcel))
        return parcels

    def _opened_datagram(self, message: DatagramMessage) -> Parcel | None:
        if message.kind != KIND_BATCH or len(message.payload) > MAX_BATCH_BYTES:
            self.intake.complain(message.platform_id, "not a batch", "undecodable")
            return None
        size, now_ns = len(message.payload), self._clock.utc_ns()
        return self.intake.open(message.platform_id, message.payload, size, now_ns)

    def _opened(self, frames: list[zmq.Frame], size: int) -> Parcel | None:
        """The batch in a message, its records decoded; `None` when it is refused as a whole."""
        platform_id = self._identity(frames[-1])
        if platform_id is None:
            return None
        if not self.sessions.admits(platform_id, size, time.monotonic()):
            self.intake.complain(platform_id, "sends more than one platform may", "refused_rate")
            return None
        if len(frames) != 3 or bytes(frames[1].buffer) != KIND_BATCH:
            self.intake.complain(platform_id, "not a batch", "undecodable")
            return None
        return self.intake.open(platform_id, frames[2].buffer, size, self._clock.utc_ns())

    def _identity(self, frame: zmq.Frame) -> str | None:
        """The platform that the CURVE key of this frame's connection belongs to now."""
        try:
            platform_id, key = str(frame.get("User-Id")), bytes.fromhex(str(frame.get(KEY_PROPERTY)))
        except (zmq.ZMQError, ValueError):
            self.intake.complain("?", "frame without an authenticated key", "refused_identity")
            self.sessions.cut("?", frame)
            return None
        if self._allow_list.platform_of(key) != platform_id:
            self.intake.complain(platform_id, "its key was revoked while it was connected", "refused_revoked")
            self.sessions.cut(platform_id, frame)
            return None
        self.sessions.note(platform_id, key, frame)
        return platform_id

    def _cut_revoked(self) -> None:
        """Connections of keys that were revoked end, also when nothing comes over them."""
        now_s = time.monotonic()
        if now_s >= self._sessions_due_s:
            self._sessions_due_s = now_s + _SESSIONS_S
            for platform_id in self.sessions.cut_revoked(self._allow_list.platform_of):
                self._routes.pop(platform_id, None)

    def _take_in(self, parcels: list[tuple[Route, Parcel]]) -> None:
        is_committed = self.intake.commit([parcel for _, parcel in parcels])
        for routing_id, parcel in parcels:
            payload = self.intake.reply(parcel, is_committed=is_committed, ground_ns=self._clock.utc_ns())
            self._send(routing_id, KIND_REPLY, payload)
        now_s = self._clock.monotonic_ns() / 1e9
        for _, parcel in parcels:
            self._show(parcel, now_s)
        self._picture.publish()

    def _take_thin_in(self) -> None:
        """What came by the telemetry radio, unless it is known: under a boot id of its own, unsigned, until
        the record itself comes."""
        while self._thin:
            sighting, received_ns = self._thin.popleft()
            if self._store.sightings_of_ids([sighting.sighting_id]):
                continue
            if (strange := self.intake.mark.stranger(sighting)) is not None:
                self.intake.complain(sighting.platform_id, strange, "")
                continue
            platform_id = sighting.platform_id
            record = Record(
                platform_id=platform_id,
                boot_id=THIN_BOOT,
                seq=self._store.standing(platform_id, THIN_BOOT, ()).ack.contiguous_seq + 1,
                topic="sighting",
                time_ns=sighting.time_ns,
                body=encode(sighting),
            )
            self._store.ingest([Arrival(record=record, message=sighting, received_ns=received_ns)])
            self._picture.note_message(sighting, self._clock.monotonic_ns() / 1e9)
            self._unsettled.append(sighting.sighting_id)
            before = self._heard.get(platform_id, (0, None))
            self._heard[platform_id] = (received_ns, sighting.sortie_id or before[1])

    def _send(self, routing_id: Route, kind: bytes, payload: bytes) -> None:
        if isinstance(routing_id, DatagramRoute):
            if self._datagrams is not None:
                self._datagrams.send(routing_id, kind, payload)
            return
        try:
            self._socket.send_multipart([routing_id, kind, payload], zmq.DONTWAIT)
        except zmq.Again:
            _log.debug("no room for an answer, the platform asks again")

    def _show(self, parcel: Parcel, now_s: float) -> None:
        """Tell the live picture; old records (backlog) do not overwrite newer ones there."""
        platform_id, picture, outcomes = parcel.platform_id, self._picture, parcel.outcomes
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
            if isinstance(message, Look):
                picture.note_look(message, parcel.received_ns)
                continue
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
                elif isinstance(arrival.message, TaskingReceipt) and self.on_receipt is not None:
                    self.on_receipt(platform_id, arrival.message)
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
        before = self._heard.get(platform_id, (0, None))
        self._heard[platform_id] = (parcel.received_ns, sortie_id or before[1])

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


def _router(context: zmq.Context[zmq.Socket[bytes]], server_key: keys.KeyPair) -> zmq.Socket[bytes]:
    socket = context.socket(zmq.ROUTER)
    socket.linger = 0
    socket.curve_server = True
    socket.curve_secretkey = server_key.secret_z85
    socket.zap_domain = ZAP_DOMAIN.encode()
    socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)
    socket.maxmsgsize = MAX_BATCH_BYTES
    socket.rcvhwm, socket.sndhwm = 64, 256
    socket.backlog = 1_024
    socket.handshake_ivl = 5_000
    socket.heartbeat_ivl, socket.heartbeat_timeout, socket.heartbeat_ttl = 5_000, 15_000, 30_000
    return socket


assert all(topic.max_bytes < MAX_BATCH_BYTES for topic in TOPICS.values())
