"""Messages to bytes and back. Format: version byte, then msgpack; goldens in tests/skywarden hold it.

A record is what crosses the radio link: a header that says whose it is and which number it has, and a body
that one topic's decoder understands. Sizes are checked before anything is decoded.
"""

from typing import Any

import msgspec

from skywarden.errors import WireError
from skywarden.messages import Blob, Count, Id, Label, Message, TimeNs
from skywarden.topics import TOPICS, topic_named

WIRE_VERSION = 1
MAX_RECORD_BYTES = 300_000

_VERSION_BYTE = bytes([WIRE_VERSION])
_encoder = msgspec.msgpack.Encoder()


class Record(Message, frozen=True, kw_only=True, array_like=True):
    """One entry of an edge's outbox on its way to the ground; (platform_id, boot_id, seq) is its identity.

    `boot_id` is random per outbox, `seq` counts from 1 without gaps. `seq` is 0 for `newest` topics, which
    are neither stored in the outbox nor acknowledged.
    """

    platform_id: Id
    boot_id: Id
    seq: Count
    topic: Label
    time_ns: TimeNs
    body: Blob


_decoders: dict[str, msgspec.msgpack.Decoder[Any]] = {
    name: msgspec.msgpack.Decoder(topic.message) for name, topic in TOPICS.items()
}
_record_decoder = msgspec.msgpack.Decoder(Record)


def encode(message: Message) -> bytes:
    """Version byte and msgpack of one message."""
    return _VERSION_BYTE + _encoder.encode(message)


def decode(topic_name: str, data: bytes | memoryview) -> Message:
    """The message of `topic_name` in `data`.

    Raises `WireError` on an unknown topic, over size, a wrong version, or content that does not validate.
    """
    topic = topic_named(topic_name)
    payload = _payload(data, topic.max_bytes, topic_name)
    try:
        message: Message = _decoders[topic_name].decode(payload)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise WireError(f"a {topic_name} message does not validate: {error}") from error
    return message


def encode_record(record: Record) -> bytes:
    """Version byte and msgpack of one record."""
    return _VERSION_BYTE + _encoder.encode(record)


def decode_record(data: bytes | memoryview) -> Record:
    """The record in `data`, its body still bytes; raises `WireError` as `decode` does."""
    payload = _payload(data, MAX_RECORD_BYTES, "record")
    try:
        record = _record_decoder.decode(payload)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise WireError(f"a record does not validate: {error}") from error
    topic_named(record.topic)
    return record


def to_jsonable(message: Message) -> dict[str, Any]:
    """The message as plain objects with field names for JSON files and people; bytes become their length."""
    return {name: _plain(getattr(message, name)) for name in message.__struct_fields__}


def _payload(data: bytes | memoryview, limit_bytes: int, what: str) -> memoryview:
    if len(data) > limit_bytes:
        raise WireError(f"a {what} of {len(data)} bytes is over its limit of {limit_bytes}")
    if len(data) < 2:
        raise WireError(f"a {what} of {len(data)} bytes is too short")
    if data[0] != WIRE_VERSION:
        raise WireError(f"a {what} speaks wire version {data[0]}, this side speaks {WIRE_VERSION}")
    return memoryview(data)[1:]


def _plain(value: Any) -> Any:
    if isinstance(value, Message):
        return to_jsonable(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, bytes):
        return {"bytes": len(value)}
    return value
