"""Settings of the feeds to TAK: where to, what, and what of it nobody has confirmed."""

import re
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from skywarden.config import Config
from skywarden.errors import ConfigError

Scheme = Literal["udp", "tcp", "tls", "tcp-listen", "tls-listen"]
What = Literal["contacts", "tracks", "plots", "platforms", "ais"]

_SCHEMES: dict[str, Scheme] = {
    "udp": "udp",
    "tcp": "tcp",
    "tls": "tls",
    "ssl": "tls",
    "tcp-listen": "tcp-listen",
    "tls-listen": "tls-listen",
}
_PORTS: dict[Scheme, int] = {"udp": 6969, "tcp": 8087, "tls": 8089, "tcp-listen": 8087, "tls-listen": 8089}
_HOST = re.compile(r"[A-Za-z0-9._:\-]{1,253}")
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
MAX_URL = 300


class TakAddress(msgspec.Struct, frozen=True, kw_only=True):
    """Where a feed goes: host and port."""

    scheme: Scheme
    host: str
    port: int

    @property
    def is_listening(self) -> bool:
        """Whether others call us."""
        return self.scheme in ("tcp-listen", "tls-listen")

    @property
    def is_tls(self) -> bool:
        """Whether it is encrypted and both ends prove who they are."""
        return self.scheme in ("tls", "tls-listen")

    @property
    def text(self) -> str:
        """As it is written."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


def parse_address(url: str) -> TakAddress:
    """The address that `url` names; raises `ConfigError` saying how one looks."""
    if len(url) > MAX_URL or not url.isprintable():
        raise ConfigError(f"a TAK address of {len(url)} characters is not one; at most {MAX_URL}")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigError(f"{url!r} is no TAK address ({error})") from error
    scheme = _SCHEMES.get(parts.scheme)
    has_more = parts.path not in ("", "/") or parts.query or parts.fragment or parts.username is not None
    if scheme is None or not host or not _HOST.fullmatch(host) or has_more:
        raise ConfigError(
            f"{url!r} is no TAK address; write udp://239.2.3.1:6969, tcp://HOST:8087, tls://HOST:8089, "
            "tcp-listen://127.0.0.1:8087 or tls-listen://0.0.0.0:8089"
        )
    if port == 0 and not scheme.endswith("-listen"):
        raise ConfigError(f"{url!r}: nobody can be called at port 0")
    return TakAddress(scheme=scheme, host=host, port=port if port is not None else _PORTS[scheme])


class TakFeedConfig(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One feed of Cursor on Target, a table `[[tak]]`.

    Attributes:
        url: udp://239.2.3.1:6969 (mesh: multicast, or one host), tcp://HOST:8087 and tls://HOST:8089 (a TAK
            server that we call), tcp-listen://HOST:PORT and tls-listen://HOST:PORT (clients that call us).
        protocol: "protobuf" is the TAK protocol, version 1; a stream begins in XML and changes over when
            the other end offers or asks for it. "xml" stays with XML.
        what: "contacts", "tracks" (of contacts that are not sent themselves), "plots" (outlines), "platforms"
            (where our own are and look), "ais" (vessels as received).
        unreviewed: also what no person has confirmed, each event marked so in callsign and remarks.
        platform_type: CoT type of own platforms.
        interval_s: the same thing is sent at most so often.
        repeat_s: what still holds is said again so often, for those who came late.
        max_per_s: events a second to one receiver; the rest waits.
        keep_s: contacts that were seen or confirmed longer ago are not sent.
        certificate: PEM file of our certificate (and its chain), for TLS.
        key: PEM file of its private key; empty when it stands in `certificate`.
        authority: PEM file of the authority that signed the other end's certificate; without one the feed
            does not start with TLS.
        verify_name: hold the name in a TAK server's certificate against HOST.
        insecure: allow a listener without TLS on an address that others can reach: whoever connects then
            reads along.
        interface: address of the network card that multicast leaves by; empty for the usual one.
        multicast_hops: how many routers a multicast may pass.
    """

    url: Annotated[str, Meta(min_length=1, max_length=MAX_URL)]
    protocol: Literal["xml", "protobuf"] = "protobuf"
    what: Annotated[tuple[What, ...], Meta(min_length=1, max_length=5)] = ("contacts", "plots")
    unreviewed: bool = False
    platform_type: Annotated[str, Meta(pattern=r"^a-f-[AS](-[A-Za-z0-9]){0,8}$")] = "a-f-A-M-F-Q"
    interval_s: Annotated[float, Meta(ge=0.5, le=3600.0)] = 2.0
    repeat_s: Annotated[float, Meta(ge=10.0, le=86_400.0)] = 60.0
    max_per_s: Annotated[float, Meta(ge=0.1, le=1000.0)] = 20.0
    keep_s: Annotated[float, Meta(ge=60.0, le=604_800.0)] = 21_600.0
    certificate: Annotated[str, Meta(max_length=4096)] = ""
    key: Annotated[str, Meta(max_length=4096)] = ""
    authority: Annotated[str, Meta(max_length=4096)] = ""
    verify_name: bool = True
    insecure: bool = False
    interface: Annotated[str, Meta(max_length=64)] = ""
    multicast_hops: Annotated[int, Meta(ge=0, le=32)] = 1

    def __post_init__(self) -> None:
        """Refuse addresses that are none, TLS without its files, and a listener that anybody can read."""
        try:
            address = parse_address(self.url)
        except ConfigError as error:
            raise ValueError(str(error)) from error
        if address.is_tls and not (self.certificate and self.authority):
            raise ValueError(f"{self.url}: TLS needs certificate and authority (PEM files); see docs/tak.md")
        is_open = address.scheme == "tcp-listen" and address.host not in _LOOPBACK
        if is_open and not self.insecure:
            raise ValueError(
                f"{self.url}: whoever connects would read along; use tls-listen://, or say insecure = true"
            )

    @property
    def address(self) -> TakAddress:
        """Where it goes."""
        return parse_address(self.url)

    @property
    def key_path(self) -> Path:
        """Where the private key lies."""
        return Path(self.key or self.certificate)
