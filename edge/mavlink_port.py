"""The rim of MAVLink: one thread that owns the socket, serial port or recording, and what we say ourselves.

The working loop calls `beat`; without it no heartbeat leaves, so that others see when the loop hangs. In
receive-only mode nothing is ever sent. Whatever goes wrong with the link, the thread closes it, waits (0.5 s,
doubling to 10 s) and opens it again.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta

from skywarden.clock import NS_PER_S, Clock, SystemClock
from skywarden.config import Config
from skywarden.errors import ConfigError, InputError, LinkError
from skywarden.mavlink import decode
from skywarden.mavlink.autopilot import AutopilotPicker
from skywarden.mavlink.connection import parse_connection
from skywarden.mavlink.framing import Frame, Framer, FramingCounts
from skywarden.mavlink.signing import KEY_BYTES, SigningGuard
from skywarden.mavlink.synth import MessageMaker
from skywarden.mavlink.transports import FileTransport, Transport, open_transport
from skywarden.messages import HealthState

log = logging.getLogger(__name__)

Rate = Annotated[float, Meta(ge=0.0, le=100.0)]

BEAT_PERIOD_NS = NS_PER_S
IDLE_FLUSH_NS = NS_PER_S // 2
READ_TIMEOUT_S = 0.05
SILENT_NS = 15 * NS_PER_S
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 10.0
MAX_PEERS = 16
PEER_FRESH_NS = 10 * NS_PER_S
MAX_QUEUED = 256
REQUEST_PERIOD_NS = 10 * NS_PER_S
REQUEST_SPACING_NS = NS_PER_S // 5
MAX_REQUESTS = 6
MAX_ANSWERS_PER_S = 10
STATE_SAVE_NS = 60 * NS_PER_S

TYPE_ONBOARD_CONTROLLER = 18
STATE_ACTIVE, STATE_CRITICAL = 4, 5
COMMAND_SET_MESSAGE_INTERVAL = 511
COMMAND_REQUEST_MESSAGE = 512
RESULT_ACCEPTED, RESULT_UNSUPPORTED = 0, 3


class MavlinkConfig(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where telemetry comes from, and what we say on that link.

    Attributes:
        connection: as pymavlink, MAVProxy or MAVSDK write it: udpin:0.0.0.0:14550, tcp:127.0.0.1:5760,
            serial:/dev/ttyAMA0:921600, a recording (.tlog); see docs.
        baud: for a serial device whose connection names none.
        sysid: our system id, which is the vehicle's; 0 takes it from the one autopilot that is heard. Where
            several are heard it must be set.
        compid: our component id; 191 is the onboard computer, 192 to 194 are for more of them.
        receive_only: send nothing at all: no heartbeat, no request, no answer.
        is_requesting: ask the autopilot for the message rates below (needs sending).
        position_hz: rate asked for GLOBAL_POSITION_INT; 0 asks for none.
        attitude_hz: rate asked for ATTITUDE.
        gimbal_hz: rate asked for GIMBAL_DEVICE_ATTITUDE_STATUS.
        gps_hz: rate asked for GPS_RAW_INT.
        time_hz: rate asked for SYSTEM_TIME and HOME_POSITION.
        height_datum: what the autopilot's heights count from. "auto" believes the receiver's own undulation,
            or EGM96, and raises an alarm where they differ by more than 3 m; "msl" is EGM96; "ellipsoid" is
            for autopilots set up to send ellipsoidal heights.
        receiver_lag_s: how long before the autopilot's stamp a GNSS receiver measured; 0.2 on ArduPilot with
            u-blox. It counts where the receiver's own position is used, and not for receivers that stamp UTC.
        signing_key_file: file with the 32-byte MAVLink 2 signing key (raw or 64 hex digits), readable by
            its owner only. With it everything unsigned, wrongly signed or unknown is dropped.
        signing_state_file: where the signing timestamp is kept between starts.
        signing_link_id: our link id in signatures.
    """

    connection: Annotated[str, Meta(min_length=1, max_length=1024)] = "udpin:0.0.0.0:14550"
    baud: Annotated[int, Meta(ge=300, le=12_000_000)] = 57_600
    sysid: Annotated[int, Meta(ge=0, le=255)] = 0
    compid: Annotated[int, Meta(ge=1, le=255)] = 191
    receive_only: bool = False
    is_requesting: bool = True
    position_hz: Rate = 10.0
    attitude_hz: Rate = 20.0
    gimbal_hz: Rate = 20.0
    gps_hz: Rate = 2.0
    time_hz: Rate = 0.5
    height_datum: Literal["auto", "msl", "ellipsoid"] = "auto"
    receiver_lag_s: Annotated[float, Meta(ge=0.0, le=2.0)] = 0.2
    signing_key_file: str = ""
    signing_state_file: str = ""
    signing_link_id: Annotated[int, Meta(ge=0, le=255)] = 0

    def __post_init__(self) -> None:
        """Refuse what is no connection, and a receive-only link that nobody could find."""
        try:
            connection = parse_connection(self.connection, baud=self.baud)
        except ConfigError as error:
            raise ValueError(f"connection: {error}") from error
        if self.receive_only and connection.kind == "udpout":
            raise ValueError("receive_only with udpout: hears nothing, because nobody is told where we are")

    def wanted_rates(self) -> dict[int, float]:
        """Message id to rate in Hz, of what the pose needs."""
        rates = {
            decode.GLOBAL_POSITION_INT: self.position_hz,
            decode.ATTITUDE: self.attitude_hz,
            decode.GIMBAL_DEVICE_ATTITUDE_STATUS: self.gimbal_hz,
            decode.GPS_RAW_INT: self.gps_hz,
            decode.SYSTEM_TIME: self.time_hz,
            decode.HOME_POSITION: self.time_hz,
        }
        return {msgid: rate for msgid, rate in rates.items() if rate > 0}


@dataclass(kw_only=True, slots=True)
class _Peer:
    """One sender on the link and its unfinished frame."""

    framer: Framer
    heard_ns: int
    is_valid: bool = False


@dataclass(kw_only=True, slots=True)
class _Wish:
    """One message rate that we want, and how often we asked."""

    rate_hz: float
    heard: int = 0
    asked: int = 0


@dataclass(kw_only=True, slots=True)
class PortState:
    """What the port does now.

    Attributes:
        is_open: whether the link is open.
        fault: why it is not, in words.
        address: where a UDP or TCP server socket is bound.
        opened_count: how often it was opened.
        received_bytes, sent_frames: totals.
        dropped_sends: own frames that found the queue full.
        framing: counts of all framers, of this opening and of earlier ones.
    """

    is_open: bool = False
    fault: str | None = None
    address: tuple[str, int] | None = None
    opened_count: int = 0
    received_bytes: int = 0
    sent_frames: int = 0
    dropped_sends: int = 0
    framing: FramingCounts = field(default_factory=FramingCounts)


class Talker:
    """What we say on the link, decided from what is heard; a plain object that is handed frames and times."""

    def __init__(
        self, config: MavlinkConfig, *, guard: SigningGuard | None = None, is_first: bool = False
    ) -> None:
        self._config = config
        self._guard = guard
        self._is_first = is_first
        self._picker = AutopilotPicker(config.sysid)
        self._maker: MessageMaker | None = None
        self._maker_sysid = 0
        self._wishes = {msgid: _Wish(rate_hz=rate) for msgid, rate in config.wanted_rates().items()}
        self._wish_since_ns: int | None = None
        self._next_request_ns = 0
        self._queue: deque[int] = deque()
        self._answers: deque[int] = deque(maxlen=MAX_ANSWERS_PER_S)
        self._last_beat_ns: int | None = None

    def hear(self, frame: Frame, now_ns: int) -> list[bytes]:
        """What to answer to a frame."""
        if not frame.is_known:
            return []
        self._picker.observe(frame, now_ns)
        address = self._picker.address
        if address is not None and frame.sysid == address[0] and (wish := self._wishes.get(frame.msgid)):
            wish.heard += 1
        if frame.msgid == decode.COMMAND_LONG:
            return self._answer(frame, now_ns)
        return []

    def is_own(self, frame: Frame) -> bool:
        """Whether we sent it ourselves (multicast and careless routers give it back)."""
        return (frame.sysid, frame.compid) == (self._maker_sysid, self._config.compid)

    def beat(self, state: HealthState, now_ns: int) -> list[bytes]:
        """The heartbeat, at most once a second, with what else is due."""
        if self._last_beat_ns is not None and now_ns - self._last_beat_ns < BEAT_PERIOD_NS * 95 // 100:
            return self._requests(now_ns)
        maker = self._speaker(now_ns)
        if maker is None:
            return []
        self._last_beat_ns = now_ns
        status = STATE_CRITICAL if state == "failed" else STATE_ACTIVE
        heartbeat = maker.heartbeat(
            type=TYPE_ONBOARD_CONTROLLER, autopilot=decode.AUTOPILOT_INVALID, system_status=status
        )
        return [heartbeat, *self._requests(now_ns)]

    def statustext(self, severity: int, text: str, now_ns: int) -> list[bytes]:
        """A text for the operator's ground control station; nothing while we have no system id."""
        maker = self._speaker(now_ns)
        return [] if maker is None else maker.statustext(severity=severity, text=text)

    def message(self, name: str, fields: dict[str, Any], now_ns: int) -> list[bytes]:
        """Any message of the dialect by name and raw fields; nothing while we have no system id."""
        maker = self._speaker(now_ns)
        return [] if maker is None else [maker.message(name, **fields)]

    def _speaker(self, now_ns: int) -> MessageMaker | None:
        """Our packer, as soon as our system id is known."""
        address = self._picker.address
        if self._config.sysid:
            sysid = self._config.sysid
        elif address is not None and self._picker.is_settled(now_ns):
            sysid = address[0]
        elif self._is_first and not self._picker.candidates:
            sysid = 1
        else:
            return None
        if self._maker is None or self._maker_sysid != sysid:
            self._maker = MessageMaker(sysid, self._config.compid, signer=self._guard)
            self._maker_sysid = sysid
        return self._maker

    def _requests(self, now_ns: int) -> list[bytes]:
        """One SET_MESSAGE_INTERVAL at a time, for messages that come at less than half the wanted rate."""
        address = self._picker.address
        if not self._config.is_requesting or address is None or not self._picker.is_settled(now_ns):
            return []
        maker = self._speaker(now_ns)
        if maker is None or now_ns < self._next_request_ns:
            return []
        if self._wish_since_ns is None or now_ns - self._wish_since_ns >= REQUEST_PERIOD_NS:
            self._queue_wishes(now_ns)
        if not self._queue:
            return []
        self._next_request_ns = now_ns + REQUEST_SPACING_NS
        msgid = self._queue.popleft()
        interval_us = 1e6 / self._wishes[msgid].rate_hz
        return [
            maker.command_long(
                target_system=address[0],
                target_component=address[1],
                command=COMMAND_SET_MESSAGE_INTERVAL,
                params=(float(msgid), interval_us),
            )
        ]

    def _queue_wishes(self, now_ns: int) -> None:
        since_s = 0.0 if self._wish_since_ns is None else (now_ns - self._wish_since_ns) / NS_PER_S
        for msgid, wish in self._wishes.items():
            if wish.heard >= 0.5 * wish.rate_hz * since_s and since_s:
                wish.asked = 0
            elif wish.asked < MAX_REQUESTS and msgid not in self._queue:
                wish.asked += 1
                self._queue.append(msgid)
            wish.heard = 0
        self._wish_since_ns = now_ns

    def _answer(self, frame: Frame, now_ns: int) -> list[bytes]:
        """REQUEST_MESSAGE to us: HEARTBEAT is all there is; other commands are not ours to acknowledge."""
        maker = self._speaker(now_ns)
        values = decode.fields(frame)
        if maker is None or values is None or values["command"] != COMMAND_REQUEST_MESSAGE:
            return []
        if values["target_system"] != self._maker_sysid or values["target_component"] != self._config.compid:
            return []
        if len(self._answers) == MAX_ANSWERS_PER_S and now_ns - self._answers[0] < NS_PER_S:
            return []
        self._answers.append(now_ns)
        is_heartbeat = values["param1"] == decode.HEARTBEAT
        acknowledgement = maker.command_ack(
            command=COMMAND_REQUEST_MESSAGE,
            result=RESULT_ACCEPTED if is_heartbeat else RESULT_UNSUPPORTED,
            target_system=frame.sysid,
            target_component=frame.compid,
        )
        if not is_heartbeat:
            return [acknowledgement]
        beat = maker.heartbeat(type=TYPE_ONBOARD_CONTROLLER, autopilot=decode.AUTOPILOT_INVALID)
        return [acknowledgement, beat]


class MavlinkPort:
    """The thread `mavlink`: opens the link, hands over every frame, sends what is queued.

    `on_frame(received_ns, raw)` is called on that thread with each frame, those of unknown ids included; it
    must be short and must not raise. Received times are UTC of `clock`, or the stamps of a recording.
    """

    def __init__(
        self, config: MavlinkConfig, on_frame: Callable[[int, bytes], None], *, clock: Clock | None = None
    ) -> None:
        self._config = config
        self._connection = parse_connection(config.connection, baud=config.baud)
        self._on_frame = on_frame
        self._clock = clock or SystemClock()
        self._guard = load_guard(config)
        is_first = self._connection.kind in ("udpout", "udpbcast", "mcast", "tcp", "unix")
        self._talker = Talker(config, guard=self._guard, is_first=is_first)
        self._talking = threading.Lock()
        self._outgoing: deque[bytes] = deque()
        self._peers: dict[object, _Peer] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mavlink", daemon=True)
        self._state_saved_ns = 0
        self.state = PortState()
        """What the port does now; read it from any thread."""

    def start(self) -> None:
        """Start the thread."""
        if self._guard is not None:
            self._guard.advance_to(self._clock.utc_ns())
        self._thread.start()

    def stop(self) -> None:
        """End the thread and close the link; returns within 2 s."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=2.0)
        self._save_signing_state(is_last=True)

    def beat(self, state: HealthState = "ok") -> None:
        """To be called by the working loop, more than once a second: it works, and how it is."""
        if not self._config.receive_only:
            with self._talking:
                self._queue(self._talker.beat(state, self._clock.monotonic_ns()))

    def statustext(self, severity: int, text: str) -> None:
        """Show a text on the operator's ground control station (severity 4 warning, 6 info)."""
        if not self._config.receive_only:
            with self._talking:
                self._queue(self._talker.statustext(severity, text, self._clock.monotonic_ns()))

    def say(self, name: str, fields: dict[str, Any]) -> None:
        """Send a message of the dialect; nothing on a receive-only link. Raises `InputError` for fields that
        do not fit it."""
        if not self._config.receive_only:
            with self._talking:
                self._queue(self._talker.message(name, fields, self._clock.monotonic_ns()))

    @property
    def is_finished(self) -> bool:
        """Whether a recording was played to its end, or the thread has ended."""
        return not self._thread.is_alive() and self._thread.ident is not None

    def _queue(self, frames: list[bytes]) -> None:
        for raw in frames:
            if len(self._outgoing) >= MAX_QUEUED:
                self.state.dropped_sends += 1
            else:
                self._outgoing.append(raw)

    def _run(self) -> None:
        if self._connection.kind == "file":
            self._play(FileTransport(self._connection))
        else:
            self._keep_open()
        self.state.is_open = False

    def _keep_open(self) -> None:
        wait_s = FIRST_WAIT_S
        while not self._stop.is_set():
            opened_ns = self._clock.monotonic_ns()
            try:
                self._serve(open_transport(self._connection))
            except (OSError, LinkError, InputError) as error:
                if self.state.fault is None:
                    log.warning("MAVLink link %s: %s", self._connection.text, error)
                self.state.fault = str(error)
            self.state.is_open = False
            if self._clock.monotonic_ns() - opened_ns > LONGEST_WAIT_S * NS_PER_S:
                wait_s = FIRST_WAIT_S
            self._stop.wait(wait_s)
            wait_s = min(2 * wait_s, LONGEST_WAIT_S)

    def _serve(self, transport: Transport) -> None:
        """Read and write until the link fails or the port stops."""
        self.state.is_open = True
        self.state.address = transport.address
        self.state.opened_count += 1
        self._peers.clear()
        last_ns = self._clock.monotonic_ns()
        try:
            while not self._stop.is_set():
                pieces = transport.read(READ_TIMEOUT_S)
                received_ns, now_ns = self._clock.utc_ns(), self._clock.monotonic_ns()
                for peer, data in pieces:
                    last_ns = now_ns
                    self._take(peer, data, received_ns, now_ns)
                self._flush_idle(received_ns, now_ns)
                self._send(transport, now_ns)
                self._save_signing_state()
                if transport.must_speak and now_ns - last_ns > SILENT_NS:
                    raise LinkError(f"silent for {SILENT_NS / NS_PER_S:.0f} s, opened anew")
        finally:
            transport.close()

    def _play(self, recording: FileTransport) -> None:
        """Hand over a recording once, at its own pace and with its own times."""
        self.state.is_open = True
        start_ns = self._clock.monotonic_ns()
        try:
            for due_ns, time_ns, raw in recording.records():
                wait_ns = start_ns + due_ns - self._clock.monotonic_ns()
                if (wait_ns > 0 and self._stop.wait(wait_ns / NS_PER_S)) or self._stop.is_set():
                    return
                self._take("recording", raw, time_ns, self._clock.monotonic_ns())
        except InputError as error:
            log.error("MAVLink recording: %s", error)
            self.state.fault = str(error)

    def _take(self, key: object, data: bytes, received_ns: int, now_ns: int) -> None:
        peer = self._peers.get(key)
        if peer is None:
            if len(self._peers) >= MAX_PEERS:
                del self._peers[min(self._peers, key=lambda known: self._peers[known].heard_ns)]
            framer = Framer(self._guard)
            framer.counts = self.state.framing
            peer = self._peers[key] = _Peer(framer=framer, heard_ns=now_ns)
        peer.heard_ns = now_ns
        self.state.received_bytes += len(data)
        with self._talking:
            frames = peer.framer.feed(data)
        self._hand_over(peer, frames, received_ns, now_ns)

    def _flush_idle(self, received_ns: int, now_ns: int) -> None:
        """A frame that stays unfinished for half a second was cut off; what follows it must not wait."""
        for peer in self._peers.values():
            if peer.framer.pending_bytes and now_ns - peer.heard_ns > IDLE_FLUSH_NS:
                with self._talking:
                    frames = peer.framer.flush()
                self._hand_over(peer, frames, received_ns, now_ns)

    def _hand_over(self, peer: _Peer, frames: list[Frame], received_ns: int, now_ns: int) -> None:
        for frame in frames:
            if self._talker.is_own(frame):
                continue
            peer.is_valid = peer.is_valid or frame.is_known
            if self.state.fault is not None:
                log.info("MAVLink link %s works", self._connection.text)
                self.state.fault = None
            self._on_frame(received_ns, frame.raw)
            if not self._config.receive_only:
                with self._talking:
                    self._queue(self._talker.hear(frame, now_ns))

    def _send(self, transport: Transport, now_ns: int) -> None:
        fresh = [
            key
            for key, peer in self._peers.items()
            if peer.is_valid and now_ns - peer.heard_ns <= PEER_FRESH_NS
        ]
        for _ in range(len(self._outgoing)):
            transport.write(self._outgoing.popleft(), fresh)
            self.state.sent_frames += 1

    def _save_signing_state(self, *, is_last: bool = False) -> None:
        path, guard = self._config.signing_state_file, self._guard
        now_ns = self._clock.monotonic_ns()
        if guard is None or not path or (not is_last and now_ns - self._state_saved_ns < STATE_SAVE_NS):
            return
        self._state_saved_ns = now_ns
        new = Path(path).with_name(Path(path).name + ".new")
        try:
            new.write_text(f"{guard.timestamp}\n", encoding="ascii")
            new.replace(path)
        except OSError as error:
            log.error("MAVLink signing state %s cannot be written: %s", path, error.strerror)


def load_guard(config: MavlinkConfig) -> SigningGuard | None:
    """The signing guard that the configuration asks for; None when there is no key.

    Raises `ConfigError` when the key file cannot be read, is open to others or holds no key.
    """
    if not config.signing_key_file:
        return None
    path = Path(config.signing_key_file)
    try:
        mode = path.stat().st_mode
        data = path.read_bytes()[:4096]
    except OSError as error:
        raise ConfigError(f"mavlink.signing_key_file {path}: cannot be read ({error.strerror})") from error
    if mode & 0o077:
        raise ConfigError(
            f"mavlink.signing_key_file {path}: mode {mode & 0o777:o} is open to others; chmod 600"
        )
    key = data
    if len(data) != KEY_BYTES:
        try:
            key = bytes.fromhex(data.decode("ascii").strip())
        except ValueError:
            raise ConfigError(
                f"mavlink.signing_key_file {path}: its {len(data)} bytes are neither a raw key of 32 "
                "nor 64 hex digits"
            ) from None
    return SigningGuard(key, link_id=config.signing_link_id, timestamp=_saved_timestamp(config))


def _saved_timestamp(config: MavlinkConfig) -> int:
    path = config.signing_state_file
    if not path or not Path(path).exists():
        return 0
    try:
        text = Path(path).read_text(encoding="ascii")[:40].strip()
        return int(text)
    except (OSError, ValueError) as error:
        raise ConfigError(f"mavlink.signing_state_file {path}: holds no timestamp ({error})") from error
