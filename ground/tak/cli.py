"""`skywarden ground tak`: try a connection to TAK before an operation relies on it."""

import sys
import threading
from pathlib import Path
from typing import Literal

from cyclopts import App, Parameter

from skywarden.errors import LinkError, PeerUnavailableError, UsageError

tak = App(
    name="tak",
    help="""Feeds to TAK clients and servers.

For example:

    skywarden ground tak test udp://239.2.3.1:6969 --at 37.02,-8.93
""",
    default_parameter=Parameter(negative=()),
)

_TURNS = 40
_PAUSE_S = 0.1


@tak.command(name="test")
def try_connection(
    url: str,
    *,
    at: str,
    name: str = "marker",
    protocol: Literal["xml", "protobuf"] = "protobuf",
    certificate: Path | None = None,
    key: Path | None = None,
    authority: Path | None = None,
) -> int:
    """Send one marker that says EXERCISE of itself, and say whether it went out.

    It is good for two minutes. Datagrams (udp) are sent and nobody answers: look at a TAK client.

    For example:

        skywarden ground tak test udp://239.2.3.1:6969 --at 37.02,-8.93
        skywarden ground tak test tls://tak.example:8089 --at 37.02,-8.93 --certificate me.pem \
            --authority ca.pem

    Parameters
    ----------
    url
        Where to: udp://HOST:PORT, tcp://HOST:PORT or tls://HOST:PORT.
    at
        Latitude and longitude in degrees, with a comma between.
    name
        Tells several test markers apart.
    protocol
        As in the station's file.
    certificate
        PEM file of our certificate.
    key
        PEM file of its key.
    authority
        PEM file of the other end's authority.
    """
    import time

    import msgspec

    from ground.tak.config import TakFeedConfig
    from ground.tak.connections import CallingFeed, open_outgoing
    from ground.tak.things import exercise_event

    tree = {
        "url": url,
        "protocol": protocol,
        "certificate": str(certificate or ""),
        "key": str(key or ""),
        "authority": str(authority or ""),
    }
    try:
        config = msgspec.convert(tree, TakFeedConfig)
    except msgspec.ValidationError as error:
        raise UsageError(str(error)) from error
    if config.address.is_listening:
        raise UsageError(f"{url}: a listener has nobody to test; start the station and look at its notices")
    place = _place(at)
    outgoing = open_outgoing(config)
    pause = threading.Event()
    try:
        event = exercise_event(name[:40], place, time.time_ns())
        for _ in range(_TURNS):
            outgoing.turn([event], (), time.time_ns())
            is_out = not isinstance(outgoing, CallingFeed) or outgoing.is_flushed
            if outgoing.counts.sent and is_out:
                break
            pause.wait(_PAUSE_S)
        else:
            raise PeerUnavailableError(f"{url}: connected, but it took nothing within 4 s")
    except LinkError as error:
        raise PeerUnavailableError(str(error)) from error
    finally:
        outgoing.close()
    sys.stdout.write(
        f"one marker (EXERCISE) at {place[0]:.5f}, {place[1]:.5f} went to {config.address.text}\n"
    )
    return 0


def _place(text: str) -> tuple[float, float]:
    try:
        latitude, longitude = (float(one) for one in text.split(","))
    except ValueError as error:
        raise UsageError(f"--at {text[:40]!r} is no LATITUDE,LONGITUDE such as 37.02,-8.93") from error
    if not (abs(latitude) <= 90.0 and abs(longitude) <= 180.0):
        raise UsageError(f"--at {text[:40]!r} is not on the earth")
    return latitude, longitude
