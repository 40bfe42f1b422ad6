"""What crosses the radio link in one ZeroMQ message, both ways; decision 0009 tells why it looks so.

Edge to ground: `[KIND_BATCH, payload]`, a numbered batch of records; an empty one is the heartbeat.
Ground to edge: `[KIND_REPLY, payload]`, one for each batch, with the acknowledgement of what is committed;
and `[KIND_TASKING, payload]`, a message of topic `tasking`. Sizes are checked before anything is decoded.
"""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from skywarden.errors import WireError
from skywarden.messages import Ack, Count, Id, Message, TimeNs
from skywarden.wire import MAX_RECORD_BYTES, WIRE_VERSION

KIND_BATCH = b"B"
KIND_REPLY = b"R"
KIND_TASKING = b"T"

MAX_BATCH_RECORDS = 200
MAX_BATCH_BYTES = 400_000
MAX_REPLY_BYTES = 12_000
END_OF_SEQ = 2**53
"""The open end of an acknowledgement's last missing range: everything from there on has not arrived."""

ZAP_DOMAIN = "skywarden"


class Batch(Message, frozen=True, kw_only=True, array_like=True):
    """Records of one outbox (`boot_id`) and newest values, in the order of their worth.

    `number` counts the sender's messages and comes back in the reply; `sent_ns` is the sender's UTC;
    `last_seq` is the newest sequence number the outbox has given out and `pending` how many it still holds.
    """

    number: Count
    platform_id: Id
    boot_id: Id
    sent_ns: TimeNs
    last_seq: Count
    pending: Count
    records: Annotated[
        tuple[Annotated[bytes, Meta(max_length=MAX_RECORD_BYTES)], ...], Meta(max_length=MAX_BATCH_RECORDS)
    ] = ()


class Reply(Message, frozen=True, kw_only=True, array_like=True):
    """The ground's answer to batch `number`; without `ack` nothing was committed."""

    number: Count
    ground_ns: TimeNs
    ack: Ack | None = None


_encoder = msgspec.msgpack.Encoder()
_batch_decoder = msgspec.msgpack.Decoder(Batch)
_reply_decoder = msgspec.msgpack.Decoder(Reply)
_VERSION_BYTE = bytes([WIRE_VERSION])


def encode_batch(batch: Batch) -> bytes:
    """Version byte and msgpack."""
    return _VERSION_BYTE + _encoder.encode(batch)


def encode_reply(reply: Reply) -> bytes:
    """Version byte and msgpack."""
    return _VERSION_BYTE + _encoder.encode(reply)


def decode_batch(data: bytes | memoryview) -> Batch:
    """The batch in `data`, its records still bytes; raises `WireError` when it does not fit."""
    batch: Batch = _decoded(_batch_decoder, data, MAX_BATCH_BYTES, "batch")
    return batch


def decode_reply(data: bytes | memoryview) -> Reply:
    """The reply in `data`; raises `WireError` when it does not fit."""
    reply: Reply = _decoded(_reply_decoder, data, MAX_REPLY_BYTES, "reply")
    return reply


def acknowledged_ranges(ack: Ack) -> list[tuple[int, int]]:
    """The inclusive ranges of sequence numbers that `ack` says are committed, ascending.

    Beyond `contiguous_seq` only what lies between two missing ranges counts: what no range speaks of is not
    acknowledged. Raises `WireError` when the ranges overlap or do not ascend.
    """
    ranges = [(1, ack.contiguous_seq)] if ack.contiguous_seq else []
    end = ack.contiguous_seq
    for position, (first, last) in enumerate(ack.missing):
        if first <= end or last < first:
            raise WireError(f"missing ranges of an acknowledgement do not ascend at ({first}, {last})")
        if position and first > end + 1:
            ranges.append((end + 1, first - 1))
        end = last
    return ranges


def _decoded(
    decoder: msgspec.msgpack.Decoder[Any], data: bytes | memoryview, limit_bytes: int, what: str
) -> Any:
    if not 2 <= len(data) <= limit_bytes:
        raise WireError(f"a {what} of {len(data)} bytes is outside 2 to {limit_bytes}")
    if data[0] != WIRE_VERSION:
        raise WireError(f"a {what} speaks wire version {data[0]}, this side speaks {WIRE_VERSION}")
    try:
        return decoder.decode(memoryview(data)[1:])
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise WireError(f"a {what} does not validate: {error}") from error
