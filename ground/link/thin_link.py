"""Sightings that come by the telemetry radio: a MAVLink connection, read for our TUNNEL messages only.

A thread round a plain object. Nothing is ever sent. Whoever is not enrolled, or does not hold the key that a
platform shares with this station, is not believed.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Annotated

import structlog
from msgspec import Meta

from ground.link.authenticator import Enrolled
from skywarden.clock import Clock
from skywarden.config import Config
from skywarden.errors import ConfigError, InputError, LinkError, WireError
from skywarden.link.thin import PAYLOAD_TYPE, ThinKey, hint_of, open_sealed
from skywarden.mavlink import decode
from skywarden.mavlink.connection import parse_connection
from skywarden.mavlink.framing import Frame, Framer
from skywarden.mavlink.transports import FileTransport, Transport, open_transport
from skywarden.messages import Sighting

_log = structlog.get_logger("ground.link.thin_link")

TUNNEL = 385
_MAX_PEERS = 16
_RENEW_S = 2.0
_READ_S = 0.2
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.5, 10.0


class ThinLinkConfig(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A telemetry radio on which platforms send sightings when they have no IP link.

    Attributes:
        connection: as pymavlink, MAVProxy or MAVSDK write it: udpin:0.0.0.0:14551, serial:/dev/ttyUSB0:57600,
            tcp:127.0.0.1:5760; empty for none. It is read and never written.
        baud: for a serial device whose connection names none.
    """

    connection: Annotated[str, Meta(max_length=1024)] = ""
    baud: Annotated[int, Meta(ge=300, le=12_000_000)] = 57_600

    def __post_init__(self) -> None:
        """Refuse what is no connection."""
        try:
            if self.connection:
                parse_connection(self.connection, baud=self.baud)
        except ConfigError as error:
            raise ValueError(f"connection: {error}") from error


@dataclass(slots=True)
class ThinCounts:
    """What came in by this way."""

    tunnels: int = 0
    strangers: int = 0
    forged: int = 0
    sightings: int = 0


@dataclass(slots=True)
class ThinReader:
    """MAVLink frames in, sightings of enrolled platforms out; without sockets.

    `secret` is the station's link key; `enrolled` gives those who are let in now.
    """

    secret: bytes
    enrolled: Callable[[], Sequence[Enrolled]]
    counts: ThinCounts = field(default_factory=ThinCounts)
    _keys: dict[bytes, list[tuple[str, ThinKey]]] = field(default_factory=dict)
    _agreed: dict[bytes, ThinKey] = field(default_factory=dict)
    _renewed_s: float = -1e9

    def take(self, frame: Frame, now_s: float) -> Sighting | None:
        """The sighting in a frame, when it is one and genuine."""
        if frame.msgid != TUNNEL:
            return None
        values = decode.fields(frame)
        if values is None or values["payload_type"] != PAYLOAD_TYPE:
            return None
        length, numbers = values["payload_length"], values["payload"]
        if not isinstance(length, int) or not isinstance(numbers, tuple) or length > len(numbers):
            return None
        payload = bytes(int(number or 0) for number in numbers[:length])
        self.counts.tunnels += 1
        return self._opened(payload, now_s)

    def _opened(self, payload: bytes, now_s: float) -> Sighting | None:
        if now_s - self._renewed_s > _RENEW_S:
            self._renew(now_s)
        hint = hint_of(payload)
        candidates = self._keys.get(hint, []) if hint is not None else []
        if not candidates:
            self.counts.strangers += 1
            return None
        for platform_id, key in candidates:
            try:
                sighting = open_sealed(key, platform_id, payload)
            except WireError:
                continue
            self.counts.sightings += 1
            return sighting
        self.counts.forged += 1
        return None

    def _renew(self, now_s: float) -> None:
        """The keys of those who are let in now; each pair agrees once."""
        self._renewed_s = now_s
        agreed: dict[bytes, ThinKey] = {}
        self._keys = {}
        for one in self.enrolled():
            known = self._agreed.get(one.public_key)
            try:
                key = known if known is not None else ThinKey.agree(self.secret, one.public_key)
            except LinkError:
                continue
            agreed[one.public_key] = key
            self._keys.setdefault(key.hint, []).append((one.platform_id, key))
        self._agreed = agreed


class ThinLinkPort:
    """Thread `ground.link.thin_link`: opens the connection, again and again where it must, and hands
    sightings to `on_sighting(sighting, received_ns)`."""

    def __init__(
        self,
        config: ThinLinkConfig,
        reader: ThinReader,
        on_sighting: Callable[[Sighting, int], None],
        clock: Clock,
    ) -> None:
        self._connection = parse_connection(config.connection, baud=config.baud)
        self._reader = reader
        self._on_sighting = on_sighting
        self._clock = clock
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ground.thin_link", daemon=True)
        self.address: tuple[str, int] | None = None
        self.fault: str | None = None

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs; that of a recording ends with it."""
        return self._thread.is_alive() or self._connection.kind == "file"

    def stop(self) -> None:
        """End the thread, within 2 s."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(2.0)

    def _run(self) -> None:
        wait_s = _FIRST_WAIT_S
        while not self._stopping.is_set():
            try:
                if self._connection.kind == "file":
                    self._play(FileTransport(self._connection))
                    return
                self._serve(open_transport(self._connection))
            except (OSError, LinkError, InputError) as error:
                if self.fault is None:
                    _log.warning("thin link", connection=self._connection.text, reason=str(error))
                self.fault = str(error)
            self._stopping.wait(wait_s)
            wait_s = min(2 * wait_s, _LONGEST_WAIT_S)

    def _play(self, recording: FileTransport) -> None:
        framer = Framer()
        for _, _, raw in recording.records():
            self._feed(framer, raw)

    def _serve(self, transport: Transport) -> None:
        self.address, self.fault = transport.address, None
        framers: dict[object, Framer] = {}
        try:
            while not self._stopping.is_set():
                for peer, data in transport.read(_READ_S):
                    if peer not in framers and len(framers) >= _MAX_PEERS:
                        del framers[next(iter(framers))]
                    self._feed(framers.setdefault(peer, Framer()), data)
        finally:
            transport.close()

    def _feed(self, framer: Framer, data: bytes) -> None:
        for frame in framer.feed(data):
            sighting = self._reader.take(frame, time.monotonic())
            if sighting is not None:
                self._on_sighting(sighting, self._clock.utc_ns())
