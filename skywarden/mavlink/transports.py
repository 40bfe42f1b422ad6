"""Sockets, serial ports and recordings behind one small seam, for the MAVLink port's thread only."""

import select
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from skywarden.errors import LinkError
from skywarden.mavlink.connection import Connection
from skywarden.mavlink.tlog import read_tlog

READ_BYTES = 65_536
CONNECT_TIMEOUT_S = 1.5
MAX_CLIENTS = 8
MAX_DATAGRAMS = 64

Pieces = list[tuple[object, bytes]]


class Transport(Protocol):
    """An open link. `read` and `write` raise `OSError` or `LinkError` when it has failed."""

    must_speak: bool
    """Whether long silence means that the link is dead and must be opened anew."""

    @property
    def address(self) -> tuple[str, int] | None:
        """Where a socket that others find is bound."""
        ...

    def read(self, timeout_s: float) -> Pieces:
        """What has come within `timeout_s`: (who sent it, bytes)."""
        ...

    def write(self, raw: bytes, peers: list[object]) -> None:
        """Send one frame; `peers` are the senders that lately sent good frames."""
        ...

    def close(self) -> None:
        """Close it."""
        ...


class UdpTransport:
    """udpin, udpout, udpbcast and mcast: frames come from anyone, and go to where `kind` says."""

    must_speak = False

    def __init__(self, connection: Connection) -> None:
        self._kind = connection.kind
        family, address = _resolved(connection, socket.SOCK_DGRAM)
        self._fixed = None if self._kind == "udpin" else address
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        try:
            self._prepare(connection, address)
        except OSError:
            self._socket.close()
            raise

    def _prepare(self, connection: Connection, address: Any) -> None:
        self._socket.setblocking(False)
        if self._kind == "udpin":
            self._socket.bind(address)
        elif self._kind == "udpbcast":
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        elif self._kind == "mcast":
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            self._socket.bind((connection.host, connection.port))
            group = struct.pack("4s4s", socket.inet_aton(connection.host), bytes(4))
            self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
            self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1)

    @property
    def address(self) -> tuple[str, int] | None:
        """Where it is bound."""
        name = self._socket.getsockname()
        return str(name[0]), int(name[1])

    def read(self, timeout_s: float) -> Pieces:
        """As `Transport.read`: each datagram with its sender's address."""
        pieces: Pieces = []
        if not select.select([self._socket], [], [], timeout_s)[0]:
            return pieces
        for _ in range(MAX_DATAGRAMS):
            try:
                data, sender = self._socket.recvfrom(READ_BYTES)
            except (BlockingIOError, ConnectionError):
                break
            pieces.append((sender, data))
        return pieces

    def write(self, raw: bytes, peers: list[object]) -> None:
        """To the configured address, and where that only listens or shouts, to those who were heard."""
        targets: list[Any] = list(peers) if self._fixed is None else [self._fixed]
        if self._kind == "udpbcast" and peers:
            targets = list(peers)
        for target in targets:
            try:
                self._socket.sendto(raw, target)
            except (BlockingIOError, ConnectionError):
                continue
            except OSError as error:
                if self._fixed is not None:
                    raise LinkError(f"cannot send to {target}: {error.strerror}") from error

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


class StreamTransport:
    """tcp and unix clients."""

    must_speak = True
    address = None

    def __init__(self, connection: Connection) -> None:
        if connection.kind == "unix":
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            address: Any = connection.path
        else:
            family, address = _resolved(connection, socket.SOCK_STREAM)
            self._socket = socket.socket(family, socket.SOCK_STREAM)
        try:
            self._socket.settimeout(CONNECT_TIMEOUT_S)
            self._socket.connect(address)
            if connection.kind == "tcp":
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            self._socket.close()
            raise LinkError(f"{connection.text}: cannot connect ({error.strerror or error})") from error

    def read(self, timeout_s: float) -> Pieces:
        """As `Transport.read`; raises `LinkError` when the other end closed."""
        if not select.select([self._socket], [], [], timeout_s)[0]:
            return []
        data = self._socket.recv(READ_BYTES)
        if not data:
            raise LinkError("the other end closed the connection")
        return [("stream", data)]

    def write(self, raw: bytes, peers: list[object]) -> None:
        """Send; a peer that takes nothing for 1.5 s is an error."""
        self._socket.sendall(raw)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


class ServerTransport:
    """tcpin: up to eight clients, each a stream of its own."""

    must_speak = False

    def __init__(self, connection: Connection) -> None:
        family, address = _resolved(connection, socket.SOCK_STREAM)
        self._server = socket.socket(family, socket.SOCK_STREAM)
        try:
            self._server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._server.bind(address)
            self._server.listen(MAX_CLIENTS)
        except OSError as error:
            self._server.close()
            raise LinkError(f"{connection.text}: cannot listen ({error.strerror or error})") from error
        self._clients: list[socket.socket] = []

    @property
    def address(self) -> tuple[str, int] | None:
        """Where it listens."""
        name = self._server.getsockname()
        return str(name[0]), int(name[1])

    def read(self, timeout_s: float) -> Pieces:
        """As `Transport.read`; new clients are accepted, those that left are forgotten."""
        pieces: Pieces = []
        for ready in select.select([self._server, *self._clients], [], [], timeout_s)[0]:
            if ready is self._server:
                self._accept()
                continue
            try:
                data = ready.recv(READ_BYTES)
            except OSError:
                data = b""
            if data:
                pieces.append((ready, data))
            else:
                self._drop(ready)
        return pieces

    def write(self, raw: bytes, peers: list[object]) -> None:
        """Send to every client; one that does not take it is dropped."""
        for client in list(self._clients):
            try:
                client.sendall(raw)
            except OSError:
                self._drop(client)

    def close(self) -> None:
        """Close all."""
        for client in list(self._clients):
            self._drop(client)
        self._server.close()

    def _accept(self) -> None:
        client, _ = self._server.accept()
        if len(self._clients) >= MAX_CLIENTS:
            client.close()
            return
        client.settimeout(0.2)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._clients.append(client)

    def _drop(self, client: socket.socket) -> None:
        if client in self._clients:
            self._clients.remove(client)
        client.close()


class SerialTransport:
    """A serial port through pyserial; a device that was pulled out is an error, and is looked for again."""

    must_speak = False
    address = None

    def __init__(self, connection: Connection) -> None:
        import serial  # the port is the only user of pyserial, and a ground machine has none

        self._error: type[Exception] = serial.SerialException
        try:
            self._port = serial.Serial(
                connection.path,
                connection.baud,
                timeout=0,
                write_timeout=0.5,
                rtscts=connection.has_flow_control,
                exclusive=True,
            )
        except (serial.SerialException, ValueError) as error:
            raise LinkError(f"{connection.text}: cannot be opened ({error})") from error

    def read(self, timeout_s: float) -> Pieces:
        """As `Transport.read`."""
        try:
            if not select.select([self._port.fileno()], [], [], timeout_s)[0]:
                return []
            data = bytes(self._port.read(READ_BYTES))
        except self._error as error:
            raise LinkError(f"the serial port failed: {error}") from error
        if not data:
            raise LinkError("the serial port is readable and gives nothing: unplugged")
        return [("serial", data)]

    def write(self, raw: bytes, peers: list[object]) -> None:
        """Send within half a second."""
        try:
            self._port.write(raw)
        except self._error as error:
            raise LinkError(f"the serial port failed: {error}") from error

    def close(self) -> None:
        """Close the port."""
        self._port.close()


class FileTransport:
    """A telemetry log, record by record with the time at which each is due."""

    def __init__(self, connection: Connection) -> None:
        self._path = Path(connection.path).expanduser()

    def records(self) -> Iterator[tuple[int, int, bytes]]:
        """(nanoseconds after the first record, UTC nanoseconds, raw frame); raises `InputError`."""
        first_ns: int | None = None
        for time_ns, raw in read_tlog(self._path):
            if first_ns is None:
                first_ns = time_ns
            yield time_ns - first_ns, time_ns, raw


def open_transport(connection: Connection) -> Transport:
    """Open the link; raises `LinkError` or `OSError` when that fails."""
    if connection.kind in ("udpin", "udpout", "udpbcast", "mcast"):
        return UdpTransport(connection)
    if connection.kind in ("tcp", "unix"):
        return StreamTransport(connection)
    if connection.kind == "tcpin":
        return ServerTransport(connection)
    return SerialTransport(connection)


def _resolved(connection: Connection, kind: socket.SocketKind) -> tuple[socket.AddressFamily, Any]:
    try:
        found = socket.getaddrinfo(connection.host, connection.port, type=kind)
    except OSError as error:
        raise LinkError(f"{connection.text}: no such host ({error.strerror})") from error
    family, _, _, _, address = found[0]
    return family, address
