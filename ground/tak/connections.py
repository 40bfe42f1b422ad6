"""The sockets of a feed: datagrams, one stream that we call, or streams that call us. Nothing here blocks
for long.

Every connection has a `Feed` of its own, so that who connects late hears everything that holds.
"""

import contextlib
import errno
import ipaddress
import socket
import ssl
import struct
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from ground.tak.config import TakFeedConfig
from ground.tak.event import CotEvent, as_mesh, as_xml
from ground.tak.feed import Feed
from ground.tak.memory import SentMemory
from ground.tak.stream_protocol import StreamProtocol
from skywarden.clock import NS_PER_S
from skywarden.errors import ConfigError, LinkError

MAX_DATAGRAM_BYTES = 60_000
MAX_CLIENTS = 16
MAX_UNSENT_BYTES = 1_048_576
CONNECT_S = 5.0
PING_NS = 30 * NS_PER_S
_READ_BYTES = 65_536
_MAX_READ_BYTES = 1_048_576


@dataclass(slots=True)
class TakCounts:
    """What became of a feed's events since the station started."""

    sent: int = 0
    bytes: int = 0
    too_large: int = 0
    connects: int = 0
    lost_connections: int = 0
    refused: int = 0


class Outgoing(Protocol):
    """Something that brings events to others."""

    counts: TakCounts

    @property
    def receivers(self) -> int:
        """How many there are now (datagrams: 1, whoever listens)."""
        ...

    @property
    def waiting(self) -> int:
        """How many events are due and over the rate."""
        ...

    def turn(self, offers: Sequence[CotEvent], held: Collection[str], now_ns: int) -> None:
        """Say what is due; raises `LinkError` when there is nobody to say it to."""
        ...

    def close(self) -> None:
        """Let go of everything; may be called twice."""
        ...


def open_outgoing(config: TakFeedConfig, memory: SentMemory | None = None) -> Outgoing:
    """The transport that the configuration names; raises `ConfigError` and `LinkError`.

    `memory` is what was told there before.
    """
    address, memory = config.address, memory or SentMemory.of()
    if address.scheme == "udp":
        return DatagramFeed(config, memory)
    if address.is_listening:
        return ListeningFeed(config, memory)
    return CallingFeed(config, memory)


def _new_feed(config: TakFeedConfig, memory: SentMemory) -> Feed:
    return Feed(
        interval_s=config.interval_s,
        repeat_s=config.repeat_s,
        max_per_s=config.max_per_s,
        memory=memory,
    )


class DatagramFeed:
    """Mesh: to a multicast group or one host, an event a datagram."""

    def __init__(self, config: TakFeedConfig, memory: SentMemory) -> None:
        self._config, self._memory = config, memory
        self._feed = _new_feed(config, memory)
        self._target = _resolved(config.address.host, config.address.port, socket.SOCK_DGRAM)
        self._socket = socket.socket(self._target[0], socket.SOCK_DGRAM)
        self.counts = TakCounts()
        try:
            self._socket.setblocking(False)
            self._prepare_multicast()
        except OSError as error:
            self._socket.close()
            raise LinkError(f"{config.url}: cannot be used ({error.strerror or error})") from error

    @property
    def receivers(self) -> int:
        return 1

    @property
    def waiting(self) -> int:
        return self._feed.waiting

    def turn(self, offers: Sequence[CotEvent], held: Collection[str], now_ns: int) -> None:
        for event in self._feed.due(offers, held, now_ns):
            data = as_mesh(event) if self._config.protocol == "protobuf" else as_xml(event)
            if len(data) > MAX_DATAGRAM_BYTES:
                self.counts.too_large += 1
                continue
            try:
                self._socket.sendto(data, self._target[1])
            except ConnectionRefusedError:  # nobody listens on that one host just now
                continue
            except OSError as error:
                raise LinkError(f"{self._config.url}: {error.strerror or error}") from error
            self.counts.sent += 1
            self.counts.bytes += len(data)

    def close(self) -> None:
        self._socket.close()

    def _prepare_multicast(self) -> None:
        host = ipaddress.ip_address(self._target[1][0].partition("%")[0])
        if not host.is_multicast:
            return
        hops = self._config.multicast_hops
        if host.version == 6:
            self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, hops)
            if self._config.interface:
                index = socket.if_nametoindex(self._config.interface)
                self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
            return
        self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, struct.pack("B", hops))
        self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, struct.pack("B", 1))
        if self._config.interface:
            card = socket.inet_aton(self._config.interface)
            self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, card)


@dataclass(slots=True)
class _Stream:
    """One connected stream: what is to go, what is agreed, what was said."""

    socket: socket.socket
    protocol: StreamProtocol
    feed: Feed
    counts: TakCounts
    unsent: bytearray = field(default_factory=bytearray)
    said_ns: int = 0
    is_shaking: bool = False
    since_ns: int = 0

    def turn(self, offers: Sequence[CotEvent], held: Collection[str], now_ns: int) -> None:
        """Read, answer, say what is due; raises `OSError` when the other end is gone or takes nothing."""
        if self.is_shaking and not self._shake(now_ns):
            return
        self._read(now_ns)
        if not self.protocol.is_waiting(now_ns) and not self.unsent:
            for event in self.feed.due(offers, held, now_ns):
                self.unsent += self.protocol.encoded(event)
                self.counts.sent += 1
                self.said_ns = now_ns
            if now_ns - self.said_ns > PING_NS:
                self.unsent += self.protocol.ping(now_ns)
                self.said_ns = now_ns
        self._write()

    def _shake(self, now_ns: int) -> bool:
        """The TLS handshake of one who calls us, a step at a time."""
        assert isinstance(self.socket, ssl.SSLSocket)
        try:
            self.socket.do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            if now_ns - self.since_ns > CONNECT_S * NS_PER_S:
                raise TimeoutError("no TLS handshake within 5 s") from None
            return False
        self.is_shaking = False
        self.counts.connects += 1
        return True

    def _read(self, now_ns: int) -> None:
        total = 0
        while total < _MAX_READ_BYTES:
            try:
                data = self.socket.recv(_READ_BYTES)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return
            if not data:
                raise ConnectionResetError(errno.ECONNRESET, "the other end hung up")
            total += len(data)
            self.unsent += self.protocol.feed(data, now_ns)
            if len(self.unsent) > MAX_UNSENT_BYTES:
                raise TimeoutError("asks more than it reads")

    def _write(self) -> None:
        while self.unsent:
            try:
                count = self.socket.send(self.unsent[:_READ_BYTES])
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                break
            self.counts.bytes += count
            del self.unsent[:count]
        if len(self.unsent) > MAX_UNSENT_BYTES:
            raise TimeoutError("takes nothing")


class CallingFeed:
    """One stream to a TAK server; `turn` calls again when it is not connected."""

    def __init__(self, config: TakFeedConfig, memory: SentMemory) -> None:
        self._config, self._memory = config, memory
        self._context = _client_context(config) if config.address.is_tls else None
        self._stream: _Stream | None = None
        self.counts = TakCounts()

    @property
    def receivers(self) -> int:
        return int(self._stream is not None)

    @property
    def waiting(self) -> int:
        return self._stream.feed.waiting if self._stream is not None else 0

    @property
    def is_flushed(self) -> bool:
        """Whether all that was said has been handed to the network."""
        return self._stream is not None and not self._stream.unsent

    def turn(self, offers: Sequence[CotEvent], held: Collection[str], now_ns: int) -> None:
        if self._stream is None:
            self._stream = self._connected(now_ns)
        try:
            self._stream.turn(offers, held, now_ns)
        except OSError as error:
            self.counts.lost_connections += 1
            self.close()
            raise LinkError(f"{self._config.url}: {error.strerror or error}") from error

    def close(self) -> None:
        if self._stream is not None:
            _hang_up(self._stream.socket)
            self._stream = None

    def _connected(self, now_ns: int) -> _Stream:
        address = self._config.address
        raw: socket.socket | None = None
        try:
            raw = socket.create_connection((address.host, address.port), timeout=CONNECT_S)
            if self._context is not None:
                raw = self._context.wrap_socket(raw, server_hostname=address.host)
            raw.setblocking(False)
        except OSError as error:
            if raw is not None:
                raw.close()
            raise LinkError(f"{self._config.url}: {_reason(error)}") from error
        self.counts.connects += 1
        stream = _Stream(
            raw,
            StreamProtocol("client", self._config.protocol),
            _new_feed(self._config, self._memory),
            self.counts,
            said_ns=now_ns,
        )
        return stream


class ListeningFeed:
    """Streams that call us, at most `MAX_CLIENTS`."""

    def __init__(self, config: TakFeedConfig, memory: SentMemory) -> None:
        self._config, self._memory = config, memory
        self._context = _server_context(config) if config.address.is_tls else None
        address = config.address
        family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        try:
            self._listener = socket.create_server((address.host, address.port), family=family, backlog=16)
        except OSError as error:
            raise LinkError(f"{config.url}: cannot listen there ({_reason(error)})") from error
        self._listener.setblocking(False)
        self._streams: list[_Stream] = []
        self.counts = TakCounts()

    @property
    def port(self) -> int:
        """Where it listens (a free port was taken when 0 was asked for)."""
        return int(self._listener.getsockname()[1])

    @property
    def receivers(self) -> int:
        return sum(not one.is_shaking for one in self._streams)

    @property
    def waiting(self) -> int:
        return max((one.feed.waiting for one in self._streams), default=0)

    def turn(self, offers: Sequence[CotEvent], held: Collection[str], now_ns: int) -> None:
        self._accept(now_ns)
        for stream in list(self._streams):
            try:
                stream.turn(offers, held, now_ns)
            except OSError:
                self.counts.refused += stream.is_shaking
                self.counts.lost_connections += not stream.is_shaking
                self._streams.remove(stream)
                _hang_up(stream.socket)

    def close(self) -> None:
        self._listener.close()
        for stream in self._streams:
            _hang_up(stream.socket)
        self._streams.clear()

    def _accept(self, now_ns: int) -> None:
        for _ in range(MAX_CLIENTS):
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if len(self._streams) >= MAX_CLIENTS:
                self.counts.refused += 1
                client.close()
                continue
            try:
                client.setblocking(False)
                if self._context is not None:
                    client = self._context.wrap_socket(
                        client, server_side=True, do_handshake_on_connect=False
                    )
            except OSError:
                self.counts.refused += 1
                client.close()
                continue
            protocol = StreamProtocol("server", self._config.protocol)
            stream = _Stream(
                client, protocol, _new_feed(self._config, self._memory), self.counts, since_ns=now_ns
            )
            stream.said_ns = now_ns
            stream.unsent += protocol.greeting(now_ns)
            stream.is_shaking = self._context is not None
            self.counts.connects += self._context is None
            self._streams.append(stream)


def _client_context(config: TakFeedConfig) -> ssl.SSLContext:
    return _with_files(
        config, lambda: ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=config.authority)
    )


def _server_context(config: TakFeedConfig) -> ssl.SSLContext:
    def made() -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=config.authority)
        context.verify_mode = ssl.CERT_REQUIRED
        return context

    return _with_files(config, made)


def _with_files(config: TakFeedConfig, make: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    """A context with our certificate; a private key with a password is not asked for on a terminal."""
    for path in (Path(config.certificate), config.key_path, Path(config.authority)):
        if not path.is_file():
            raise ConfigError(f"{config.url}: {path} is no file; TAK over TLS needs three PEM files")
    try:
        context = make()
        context.check_hostname = context.check_hostname and config.verify_name
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(config.certificate, config.key_path, password=_no_password)
    except (ssl.SSLError, OSError, ValueError) as error:
        raise ConfigError(
            f"{config.url}: {config.certificate} and {config.key_path} are no certificate and key without a "
            f"password in PEM, or {config.authority} no authority ({error}); docs/tak.md tells how to turn "
            "a .p12 file into them"
        ) from error
    return context


def _no_password() -> str:
    return ""


def _resolved(host: str, port: int, kind: socket.SocketKind) -> tuple[socket.AddressFamily, tuple[str, int]]:
    try:
        family, _, _, _, found = socket.getaddrinfo(host, port, type=kind)[0]
    except OSError as error:
        raise LinkError(f"{host} is not known here ({error.strerror or error})") from error
    return family, (str(found[0]), int(found[1]))


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not to be trusted ({error.verify_message})"
    return str(error.strerror or error or type(error).__name__)


def _hang_up(stream: socket.socket) -> None:
    with contextlib.suppress(OSError):
        stream.shutdown(socket.SHUT_WR)
    stream.close()
