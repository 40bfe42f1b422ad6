"""What a camera's own process and its owner say over a socket pair; pixels go through shared memory."""

import socket
import struct
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from edge.cameras.config import CameraConfig
from edge.cameras.frame import AppliedGain, FrameFlag, TimeBasis
from skywarden.errors import CameraError
from skywarden.messages import Pixels, Text, TimeNs

MAX_MESSAGE_BYTES = 65_536
BYTES_PER_PIXEL = 3
_LENGTH = struct.Struct("<I")


class Hello(msgspec.Struct, frozen=True, kw_only=True):
    """First message to the child: what to read and how to hand over."""

    config: CameraConfig
    keep_all: bool
    memory_bytes: int


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """Ask for the state and, with `wants_frame`, for a frame within `wait_s`."""

    wants_frame: bool
    wait_s: float = 0.0


class FrameHeader(msgspec.Struct, frozen=True, kw_only=True):
    """A frame without its pixels, which lie at the start of the shared memory.

    `form` "bgr": H x W x 3 bytes; "grey": H x W bytes; "raw16": H x W counts of two bytes, then H x W grey.
    """

    frame_number: Annotated[int, Meta(ge=0)]
    time_ns: TimeNs
    stamp_ns: TimeNs
    received_ns: TimeNs
    pts_s: float | None
    time_basis: TimeBasis
    flags: tuple[FrameFlag, ...]
    name: Text
    width_px: Pixels
    height_px: Pixels
    form: Literal["bgr", "grey", "raw16"]
    gain: AppliedGain | None


class State(msgspec.Struct, frozen=True, kw_only=True):
    """The child's answer to every request."""

    is_open: bool
    is_finished: bool
    received_count: Annotated[int, Meta(ge=0)]
    damaged_count: Annotated[int, Meta(ge=0)]
    dropped_count: Annotated[int, Meta(ge=0)]
    error: Annotated[str, Meta(max_length=2000)] | None = None
    is_config_error: bool = False
    frame: FrameHeader | None = None


def send(connection: socket.socket, message: msgspec.Struct) -> None:
    """Length and msgpack of one message."""
    body = msgspec.msgpack.encode(message)
    connection.sendall(_LENGTH.pack(len(body)) + body)


def receive(connection: socket.socket, kind: type[msgspec.Struct]) -> msgspec.Struct | None:
    """One message of `kind`, or `None` when the other side is gone.

    Raises `CameraError` on anything else that does not fit; `TimeoutError` after the socket's own limit.
    """
    head = _exactly(connection, _LENGTH.size)
    if head is None:
        return None
    (length,) = _LENGTH.unpack(head)
    if length > MAX_MESSAGE_BYTES:
        raise CameraError(f"the camera process sent {length} bytes, over the limit of {MAX_MESSAGE_BYTES}")
    body = _exactly(connection, length)
    if body is None:
        return None
    try:
        return msgspec.msgpack.decode(body, type=kind)
    except (msgspec.DecodeError, ValueError) as error:
        raise CameraError(f"the camera process sent no valid {kind.__name__}: {error}") from error


def _exactly(connection: socket.socket, count: int) -> bytes | None:
    data = b""
    while len(data) < count:
        part = connection.recv(count - len(data))
        if not part:
            return None
        data += part
    return data
