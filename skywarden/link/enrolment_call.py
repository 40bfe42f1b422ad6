"""The wire of an enrolment: one TCP connection, four short messages, two bytes of length before each."""

import socket
import time

from skywarden.errors import LinkError, PeerUnavailableError, WireError
from skywarden.evidence import EvidenceKey
from skywarden.link import keys
from skywarden.link.enrolment import MAX_MESSAGE_BYTES, PlatformSide, Said, decode, encode


def call_station(
    address: tuple[str, int],
    letters: str,
    platform_id: str,
    pair: keys.KeyPair,
    signer: EvidenceKey,
    *,
    timeout_s: float = 15.0,
) -> bytes:
    """Enrol this platform at the station that waits at `address`; the station's public key, 32 bytes.

    Raises `PeerUnavailableError` when nobody answers, `LinkError` when the station refuses or cannot prove
    that it has the code.
    """
    side = PlatformSide(letters, platform_id, pair, signer)
    end_s = time.monotonic() + timeout_s
    try:
        with socket.create_connection(address, timeout=timeout_s) as connection:
            send(connection, side.hello)
            send(connection, side.answer(receive(connection, end_s)))
            return side.conclude(receive(connection, end_s))
    except WireError as error:
        raise LinkError(f"{address[0]}:{address[1]} does not speak this enrolment: {error}") from error
    except OSError as error:
        raise PeerUnavailableError(
            f"nobody enrols at {address[0]}:{address[1]} ({error.strerror or error}); is `skywarden ground "
            "invite` running there?"
        ) from error


def send(connection: socket.socket, said: Said) -> None:
    """Send one message."""
    data = encode(said)
    connection.sendall(len(data).to_bytes(2, "big") + data)


def receive(connection: socket.socket, end_s: float) -> Said:
    """One message, whole by the monotonic instant `end_s`; raises `WireError` and `OSError`."""
    size = int.from_bytes(_exactly(connection, 2, end_s), "big")
    if not 0 < size <= MAX_MESSAGE_BYTES:
        raise WireError(f"a message of {size} bytes is announced, at most {MAX_MESSAGE_BYTES} are taken")
    return decode(_exactly(connection, size, end_s))


def _exactly(connection: socket.socket, size: int, end_s: float) -> bytes:
    data = b""
    while len(data) < size:
        left_s = end_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("the other end is too slow")
        connection.settimeout(left_s)
        part = connection.recv(size - len(data))
        if not part:
            raise ConnectionError("the other end has left")
        data += part
    return data
