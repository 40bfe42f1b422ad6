"""The two local sockets between the worker's core and its vision processes, and what travels on them.

Core to vision: every MAVLink frame with its reception time. Vision to core: messages, signs of life and
images to record. Both are ZeroMQ over Unix sockets in a private folder; nothing of it leaves the machine.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import msgspec
import zmq
from msgspec import Meta

from edge.looks.plan import LookOrder
from edge.models_aboard.orders import MAX_ORDERS, ModelOrder, ModelsReport
from skywarden import wire
from skywarden.errors import WireError
from skywarden.messages import Count, Finite, Message, TimeNs, Unit
from skywarden.topics import topic_of

TELEMETRY = b"T"
CONTROL = b"C"
MESSAGE = b"M"
ALIVE = b"L"
IMAGE = b"I"
MODELS = b"S"
MAX_LOCAL_BYTES = 64_000_000
MAX_TOGETHER = 200

_STAMP = struct.Struct("<q")
_PARTS = {MESSAGE: 4, ALIVE: 3, IMAGE: 4, MODELS: 3}
MessageT = TypeVar("MessageT", bound=Message)


class Alive(Message, frozen=True, kw_only=True, array_like=True):
    """A vision process's sign of life, from its working loop, once a second."""

    last_frame_number: Count
    frame_count: Count
    dropped_count: Count
    detection_count: Count
    frames_per_s: Finite
    inference_ms: Finite
    is_finished: bool = False
    misplaced_count: Count = 0


class Control(Message, frozen=True, kw_only=True, array_like=True):
    """What the core wants of a vision process: pictures of at most `picture_bytes`, and detections from these
    scores on (by label; "" for all others), and looks by sensor; one that is not named makes none; and
    orders about models, until they are answered. Sent once a second."""

    picture_bytes: Count
    min_scores: Annotated[dict[Annotated[str, Meta(max_length=64)], Unit], Meta(max_length=64)] = {}  # noqa: RUF012 (frozen, msgspec copies)
    looks: Annotated[dict[Annotated[str, Meta(max_length=128)], LookOrder], Meta(max_length=64)] = {}  # noqa: RUF012 (frozen, msgspec copies)
    model_orders: Annotated[tuple[ModelOrder, ...], Meta(max_length=MAX_ORDERS)] = ()


class ImageNote(Message, frozen=True, kw_only=True, array_like=True):
    """What belongs to an image that is handed over for the recording."""

    frame_number: Count
    stamp_ns: TimeNs
    suffix: Literal[".jpg", ".png"]


@dataclass(frozen=True)
class Endpoints:
    """Addresses of the two sockets inside a private folder."""

    telemetry: str
    results: str

    @classmethod
    def in_folder(cls, folder: Path) -> "Endpoints":
        """Unix sockets in `folder`; its path must be short (a socket's path holds 107 bytes)."""
        return cls(telemetry=f"ipc://{folder}/telemetry", results=f"ipc://{folder}/results")


class CoreBus:
    """The core's end: publishes telemetry, takes results. For one thread."""

    def __init__(self, endpoints: Endpoints) -> None:
        self._context = zmq.Context()
        self._telemetry = self._context.socket(zmq.PUB)
        self._telemetry.setsockopt(zmq.SNDHWM, 5000)
        self._results = self._context.socket(zmq.PULL)
        self._results.setsockopt(zmq.RCVHWM, 1000)
        self._results.setsockopt(zmq.MAXMSGSIZE, MAX_LOCAL_BYTES)
        for socket, address in ((self._telemetry, endpoints.telemetry), (self._results, endpoints.results)):
            socket.setsockopt(zmq.LINGER, 0)
            socket.bind(address)

    def publish(self, received_ns: int, raw: bytes) -> None:
        """Hand one MAVLink frame to every vision process; one that lags is not waited for."""
        self._telemetry.send_multipart((TELEMETRY, _STAMP.pack(received_ns), raw))

    def control(self, control: Control) -> None:
        """Tell every vision process what is wanted of it."""
        self._telemetry.send_multipart((CONTROL, msgspec.msgpack.encode(control)))

    def receive(self, timeout_ms: int) -> list[list[bytes]]:
        """Everything that waits, each as kind, sensor id and parts; at most 500, the first waited for.

        Messages that were sent together are told apart here and stay together, also beyond 500.
        """
        out: list[list[bytes]] = []
        if not self._results.poll(timeout_ms):
            return out
        while len(out) < 500:
            try:
                out += _apart(self._results.recv_multipart(zmq.NOBLOCK))
            except zmq.Again:
                break
        return out

    def close(self) -> None:
        """Close both sockets at once."""
        self._context.destroy(linger=0)


class VisionBus:
    """A vision process's end. For one thread."""

    def __init__(self, endpoints: Endpoints, sensor_id: str) -> None:
        self._sensor_id = sensor_id.encode()
        self._context = zmq.Context()
        self._telemetry = self._context.socket(zmq.SUB)
        self._telemetry.setsockopt(zmq.RCVHWM, 5000)
        self._telemetry.setsockopt(zmq.SUBSCRIBE, TELEMETRY)
        self._telemetry.setsockopt(zmq.SUBSCRIBE, CONTROL)
        self._control: Control | None = None
        self._results = self._context.socket(zmq.PUSH)
        self._results.setsockopt(zmq.SNDHWM, 1000)
        self._results.setsockopt(zmq.SNDTIMEO, 5000)
        self._telemetry.setsockopt(zmq.LINGER, 0)
        self._results.setsockopt(zmq.LINGER, 1000)
        self._telemetry.connect(endpoints.telemetry)
        self._results.connect(endpoints.results)

    def telemetry(self) -> list[tuple[int, bytes]]:
        """All MAVLink frames that wait, with their reception times (UTC ns); at most 2000.

        Raises `WireError` on something else.
        """
        out: list[tuple[int, bytes]] = []
        while len(out) < 2000:
            try:
                parts = self._telemetry.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                break
            if parts[0] == CONTROL and len(parts) == 2:
                self._control = _decoded(parts[1], Control)
                continue
            if len(parts) != 3 or len(parts[1]) != _STAMP.size:
                raise WireError(
                    f"telemetry from the core in {len(parts)} parts; expected kind, time and frame"
                )
            out.append((_STAMP.unpack(parts[1])[0], parts[2]))
        return out

    def control(self) -> Control | None:
        """What the core last wanted, once; it comes with the telemetry."""
        control, self._control = self._control, None
        return control

    def message(self, message: Message) -> None:
        """Hand one message to the core; blocks while the core is busy, at most 5 s."""
        self._send(MESSAGE, topic_of(message).name.encode(), wire.encode(message))

    def send_together(self, messages: Sequence[Message]) -> None:
        """Hand several on, as `message` does, in few pieces: the core need not wake for each of them.

        A piece holds at most 200. What must be committed aboard and on the ground begins a piece of its own,
        so that the picture before it does not wait for two disks.
        """
        parts: list[bytes] = []
        before = ""
        for message in messages:
            topic = topic_of(message)
            if len(parts) >= 2 * MAX_TOGETHER or (before == "newest" and topic.policy == "durable"):
                self._send(MESSAGE, *parts)
                parts = []
            parts += (topic.name.encode(), wire.encode(message))
            before = topic.policy
        if parts:
            self._send(MESSAGE, *parts)

    def alive(self, alive: Alive) -> None:
        """Give a sign of life."""
        self._send(ALIVE, msgspec.msgpack.encode(alive))

    def models(self, report: ModelsReport) -> None:
        """Tell how the models are."""
        self._send(MODELS, msgspec.msgpack.encode(report))

    def image(self, note: ImageNote, data: bytes) -> None:
        """Hand an encoded image over for the recording."""
        self._send(IMAGE, msgspec.msgpack.encode(note), data)

    def close(self) -> None:
        """Close both sockets; what was handed over still goes, for at most a second."""
        self._telemetry.close()
        self._results.close()
        self._context.term()

    def _send(self, kind: bytes, *parts: bytes) -> None:
        try:
            self._results.send_multipart((kind, self._sensor_id, *parts))
        except zmq.Again as error:
            raise WireError("the worker's core took nothing for 5 s") from error


def _apart(parts: list[bytes]) -> list[list[bytes]]:
    """Messages that travelled together, each as if it had come alone; anything else as it is."""
    count = len(parts) // 2 - 1
    if parts[0] != MESSAGE or len(parts) % 2 or not 1 < count <= MAX_TOGETHER:
        return [parts]
    return [[MESSAGE, parts[1], parts[i], parts[i + 1]] for i in range(2, len(parts), 2)]


def split_result(parts: list[bytes]) -> tuple[bytes, str, list[bytes]]:
    """Kind, sensor id and the rest of what a vision process handed over; raises `WireError` on others."""
    kind = parts[0] if parts else b""
    if len(parts) != _PARTS.get(kind):
        raise WireError(f"a result of kind {kind[:8]!r} in {len(parts)} parts")
    try:
        return kind, parts[1].decode("ascii"), parts[2:]
    except UnicodeDecodeError as error:
        raise WireError(f"a result from {parts[1][:40]!r}, which is no sensor's name") from error


def decode_alive(data: bytes) -> Alive:
    """A sign of life; raises `WireError` when it is none."""
    return _decoded(data, Alive)


def decode_models(data: bytes) -> ModelsReport:
    """How a sensor's models are; raises `WireError` when it is not that."""
    return _decoded(data, ModelsReport)


def decode_note(data: bytes) -> ImageNote:
    """What belongs to an image; raises `WireError` when it does not validate."""
    return _decoded(data, ImageNote)


def _decoded(data: bytes, kind: type[MessageT]) -> MessageT:
    try:
        return msgspec.msgpack.decode(data, type=kind)
    except (msgspec.DecodeError, ValueError) as error:
        raise WireError(f"a local {kind.__name__} does not validate: {error}") from error
