"""Messages to bytes and back. Format: version byte, then msgpack; goldens in tests/skywarden hold it.

A record is what an outbox holds: a header that says whose it is and which number it has, and a body that one
topic's decoder understands; on the link it travels as an `Entry` of a batch (skywarden/link/protocol.py).
Sizes are checked before anything is decoded.
"""

from collections.abc import Callable
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from skywarden.errors import WireError
from skywarden.messages import Blob, Count, Id, Label, Message, Sighting, TimeNs
from skywarden.topics import TOPICS, topic_named

WIRE_VERSION = 1

MonoNs = Annotated[int, Meta(ge=0, le=2**63 - 1)]
ClockQuality = Literal[0, 1, 2, 3]
"""What is known of a platform's UTC: 0 nothing, 1 steady since the start, 2 it jumped, 3 it was never set."""

MAX_RECORD_BYTES = 300_000

_VERSION_BYTE = bytes([WIRE_VERSION])
_NAME_BYTES = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.:-"
_encoder = msgspec.msgpack.Encoder()


class Record(Message, frozen=True, kw_only=True, array_like=True):
    """One entry of an edge's outbox; (platform_id, boot_id, seq) is its identity.

    `boot_id` is random per outbox, `seq` counts from 1 without gaps. `seq` is 0 for `newest` topics, which
    are neither stored in the outbox nor acknowledged. `time_ns` is the platform's UTC when it was recorded,
    `mono_ns` its monotonic clock then (it starts anew with the machine), `clock` how good the UTC was.
    """

    platform_id: Id
    boot_id: Id
    seq: Count
    topic: Label
    time_ns: TimeNs
    body: Blob
    mono_ns: MonoNs = 0
    clock: ClockQuality = 0


class Entry(Message, frozen=True, kw_only=True, array_like=True):
    """A record on the link; platform and boot are those of its batch."""

    seq: Count
    topic: Label
    time_ns: TimeNs
    body: Blob
    mono_ns: MonoNs = 0
    clock: ClockQuality = 0


_READERS: dict[str, tuple[Callable[[bytes | memoryview], Message], int]] = {
    name: (msgspec.msgpack.Decoder(topic.message).decode, topic.max_bytes) for name, topic in TOPICS.items()
}
"""For each topic how it is decoded, and its limit in bytes."""
_decode_entry = msgspec.msgpack.Decoder(Entry).decode


def encode(message: Message) -> bytes:
    """Version byte and msgpack of one message."""
    return _VERSION_BYTE + _encoder.encode(message)


def decode(topic_name: str, data: bytes | memoryview) -> Message:
    """The message of `topic_name` in `data`.

    Raises `WireError` on an unknown topic, over size, a wrong version, or content that does not validate.
    """
    read, limit_bytes = _READERS.get(topic_name) or _READERS[topic_named(topic_name).name]
    if not (2 <= len(data) <= limit_bytes and data[0] == WIRE_VERSION):
        raise _misfit(data, limit_bytes, topic_name)
    try:
        message = read(data[1:])
        if type(message) is Sighting:
            check_names(
                f"{message.sighting_id}{message.track_id}{message.platform_id}{message.sortie_id}"
                f"{message.sensor_id}{message.model_id}"
            )
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise WireError(f"a {topic_name} message does not validate: {error}") from error
    return message


def encode_entry(entry: Entry) -> bytes:
    """Version byte and msgpack of one record as it travels."""
    return _VERSION_BYTE + _encoder.encode(entry)


def decode_entry(data: bytes | memoryview) -> Entry:
    """The entry in `data`, body still bytes and topic perhaps unknown; raises `WireError` as `decode`."""
    if not (2 <= len(data) <= MAX_RECORD_BYTES and data[0] == WIRE_VERSION):
        raise _misfit(data, MAX_RECORD_BYTES, "record")
    try:
        entry = _decode_entry(data[1:])
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise WireError(f"a record does not validate: {error}") from error
    return entry


def to_jsonable(message: Message) -> dict[str, Any]:
    """The message as plain objects with field names for JSON files and people; bytes become their length."""
    return {name: _plain(getattr(message, name)) for name in message.__struct_fields__}


def check_names(names: str) -> None:
    """Refuse what `Id` does not allow, in several names written one after the other; raises `ValueError`."""
    if strange := names.encode().translate(None, _NAME_BYTES):
        raise ValueError(f"a name (str) holds {strange[:20]!r}; letters, digits and _ . : - are allowed")


def _misfit(data: bytes | memoryview, limit_bytes: int, what: str) -> WireError:
    """Why `data` is not even looked into."""
    if len(data) > limit_bytes:
        return WireError(f"a {what} of {len(data)} bytes is over its limit of {limit_bytes}")
    if len(data) < 2:
        return WireError(f"a {what} of {len(data)} bytes is too short")
    return WireError(f"a {what} speaks wire version {data[0]}, this side speaks {WIRE_VERSION}")


def _plain(value: Any) -> Any:
    if isinstance(value, Message):
        return to_jsonable(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, bytes):
        return {"bytes": len(value)}
    return value
