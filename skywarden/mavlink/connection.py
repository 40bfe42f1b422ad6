"""Connection strings of every MAVLink tool, read into one form: pymavlink's, MAVProxy's and MAVSDK's.

udpin:HOST:PORT     listen (also a bare HOST:PORT, udp:, udpin://, MAVSDK's udp://)
udpout:HOST:PORT    send to
udpbcast:HOST:PORT  broadcast, then talk to whoever answers
mcast:[GROUP:]PORT  multicast, 239.255.145.50:14550 unless told
tcp:HOST:PORT       client (also tcp://, tcpout:)
tcpin:HOST:PORT     server
unix:PATH, uds:PATH a stream socket in the file system
serial:PATH:BAUD    serial port (also serial://PATH:BAUD, PATH,BAUD, or a bare device path)
FILE.tlog .raw .log .bin .mavlink    a recording
ws: wss: wsserver:  MAVLink over WebSocket: known, but not spoken by skywarden
"""

import re
from dataclasses import dataclass
from typing import Literal

from skywarden.errors import ConfigError

Kind = Literal["udpin", "udpout", "udpbcast", "mcast", "tcp", "tcpin", "unix", "serial", "file"]

DEFAULT_PORT = 14_550
DEFAULT_BAUD = 57_600
MULTICAST_GROUP = "239.255.145.50"
MAX_TEXT = 1_024

_FILE_ENDINGS = (".tlog", ".raw", ".log", ".bin", ".mavlink", ".ulg", ".px4log")
_SCHEMES: dict[str, Kind] = {
    "udpin": "udpin",
    "udp": "udpin",
    "udpout": "udpout",
    "udpbcast": "udpbcast",
    "mcast": "mcast",
    "tcp": "tcp",
    "tcpout": "tcp",
    "tcpin": "tcpin",
    "uds": "unix",
    "unix": "unix",
    "serial": "serial",
    "serial_flowcontrol": "serial",
    "file": "file",
}
_WEBSOCKETS = ("ws", "wss", "wsserver")
_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9_]*):(.*)$", re.DOTALL)
_WINDOWS_PORT = re.compile(r"^COM\d{1,3}$", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Connection:
    """One MAVLink connection: sockets have `host` and `port`, devices, files and Unix sockets have `path`."""

    kind: Kind
    host: str = ""
    port: int = 0
    path: str = ""
    baud: int = 0
    has_flow_control: bool = False

    @property
    def text(self) -> str:
        """The canonical string, which parses to the same connection."""
        if self.kind == "serial":
            scheme = "serial_flowcontrol" if self.has_flow_control else "serial"
            return f"{scheme}:{self.path}:{self.baud}"
        if self.kind in ("unix", "file"):
            return f"{self.kind}:{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.kind}:{host}:{self.port}"


def parse_connection(text: str, *, baud: int = DEFAULT_BAUD) -> Connection:
    """The connection that `text` names; `baud` serves a device path that names none.

    Raises `ConfigError` saying what is wrong with it and how it should look.
    """
    text = text.strip()
    if not text or len(text) > MAX_TEXT or not text.isprintable():
        raise ConfigError(
            f"a MAVLink connection of {len(text)} characters is not one; write for example "
            "udpin:0.0.0.0:14550, tcp:127.0.0.1:5760 or /dev/ttyAMA0,921600"
        )
    if text.startswith(("/", "./", "../", "~")) or _WINDOWS_PORT.match(text.split(",")[0]):
        return _from_path(text, baud)
    match = _SCHEME.match(text)
    if match is None:
        is_address = "/" not in text and re.search(r":\d+$", text)
        return _bare_address(text) if is_address else _from_path(text, baud)
    scheme, rest = match.group(1).lower(), match.group(2)
    if scheme in _WEBSOCKETS:
        raise ConfigError(
            f"{text!r}: skywarden does not speak MAVLink over WebSocket; put mavlink-router or MAVProxy "
            "in between and connect by udpin: or tcp:"
        )
    kind = _SCHEMES.get(scheme)
    if kind is None:
        return _bare_address(text)
    return _with_scheme(text, scheme, kind, rest, baud)


def _with_scheme(text: str, scheme: str, kind: Kind, rest: str, baud: int) -> Connection:
    has_slashes = rest.startswith("//")
    body = rest[2:] if has_slashes else rest
    if kind == "serial":
        return _serial(text, body, baud, has_flow_control=scheme == "serial_flowcontrol")
    if kind in ("unix", "file"):
        if not body:
            raise ConfigError(f"{text!r} names no path; write {scheme}:/path/to/it")
        return Connection(kind=kind, path=body)
    body = body.rstrip("/") if has_slashes else body
    if kind == "mcast":
        return _multicast(text, body)
    if scheme == "udp" and has_slashes:
        return _mavsdk_udp(text, body)
    host, port = _address(text, body, default_host="0.0.0.0" if kind in ("udpin", "tcpin") else None)
    return Connection(kind=kind, host=host, port=port)


def _mavsdk_udp(text: str, body: str) -> Connection:
    """MAVSDK's udp://: an empty, `0.0.0.0` or loopback host listens, any other is where to send."""
    host, port = _address(text, body, default_host="0.0.0.0")
    listens = host in ("0.0.0.0", "::", "127.0.0.1", "localhost")
    return Connection(kind="udpin" if listens else "udpout", host=host, port=port)


def _multicast(text: str, body: str) -> Connection:
    if not body:
        return Connection(kind="mcast", host=MULTICAST_GROUP, port=DEFAULT_PORT)
    if body.isascii() and body.isdigit():
        return Connection(kind="mcast", host=MULTICAST_GROUP, port=_port(text, body))
    host, port = _address(text, body, default_host=MULTICAST_GROUP)
    return Connection(kind="mcast", host=host, port=port)


def _bare_address(text: str) -> Connection:
    """HOST:PORT without a scheme listens, as pymavlink does."""
    if text.lower().endswith(_FILE_ENDINGS):
        return Connection(kind="file", path=text)
    host, _, tail = text.rpartition(":")
    if not (host and tail.isascii() and tail.isdigit()):
        raise ConfigError(
            f"{text!r} is no MAVLink connection; schemes are udpin, udpout, udpbcast, mcast, udp, tcp, "
            "tcpin, unix, serial and file, or give HOST:PORT, a device path or a recording"
        )
    host, port = _address(text, text, default_host=None)
    return Connection(kind="udpin", host=host, port=port)


def _from_path(text: str, baud: int) -> Connection:
    path, comma, speed = text.rpartition(",")
    if comma and speed.strip().isdigit():
        return Connection(kind="serial", path=path, baud=_baud(text, speed.strip()))
    if text.lower().endswith(_FILE_ENDINGS):
        return Connection(kind="file", path=text)
    path, colon, speed = text.rpartition(":")
    if colon and text.startswith("/dev/") and speed.isascii() and speed.isdigit():
        return Connection(kind="serial", path=path, baud=_baud(text, speed))
    if text.startswith("/dev/") or _WINDOWS_PORT.match(text):
        return Connection(kind="serial", path=text, baud=baud)
    raise ConfigError(
        f"{text!r} is neither a serial device (/dev/...) nor a recording ({', '.join(_FILE_ENDINGS)}); "
        "for an address write HOST:PORT or udpin:HOST:PORT"
    )


def _serial(text: str, body: str, baud: int, *, has_flow_control: bool) -> Connection:
    separator = "," if "," in body else ":"
    path, found, speed = body.rpartition(separator)
    if not found:
        path, number = body, baud
    else:
        number = _baud(text, speed)
    if not path:
        raise ConfigError(f"{text!r} names no device; write serial:/dev/ttyAMA0:921600")
    return Connection(kind="serial", path=path, baud=number, has_flow_control=has_flow_control)


def _address(text: str, body: str, *, default_host: str | None) -> tuple[str, int]:
    """Host and port of HOST:PORT, [V6]:PORT, HOST (port 14550); with a default host also :PORT or PORT."""
    if body.startswith("["):
        host, bracket, tail = body[1:].partition("]")
        if not bracket or not host or (tail and not tail.startswith(":")):
            raise ConfigError(f"{text!r}: write an IPv6 address as [::1]:14550")
        return host, _port(text, tail[1:]) if tail else DEFAULT_PORT
    host, colon, port = body.rpartition(":")
    if not colon:
        if default_host is not None and body.isascii() and body.isdigit():
            return default_host, _port(text, body)
        host, port = body, str(DEFAULT_PORT)
    if ":" in host:
        raise ConfigError(f"{text!r} has too many colons; write HOST:PORT, or [V6ADDRESS]:PORT")
    host = host or (default_host or "")
    if not host or any(character in host for character in " /\\@,"):
        raise ConfigError(f"{text!r} names no host; write for example udpout:192.168.1.20:14550")
    return host, _port(text, port)


def _port(text: str, digits: str) -> int:
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 5 or not 0 <= int(digits) <= 65_535:
        raise ConfigError(f"{text!r}: port {digits[:20]!r} is not a number from 0 to 65535")
    return int(digits)


def _baud(text: str, digits: str) -> int:
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 8 or not 300 <= int(digits) <= 12_000_000:
        raise ConfigError(f"{text!r}: baud rate {digits[:20]!r} is not a number from 300 to 12000000")
    return int(digits)
