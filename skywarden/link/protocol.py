"""What crosses the radio link in one ZeroMQ message, both ways; decisions 0009 and 0019 tell why.

Edge to ground: `[KIND_BATCH, payload]`, a numbered batch of records and of pieces of large ones, signed when
it carries either of an outbox; an empty one is the heartbeat. Ground to edge: `[KIND_REPLY, payload]`, one
for each batch, with the acknowledgement of what is committed; and `[KIND_TASKING, payload]`, a message of
topic `tasking`.
Sizes are checked before anything is decoded.
"""

from functools import lru_cache
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from skywarden.errors import WireError
from skywarden.messages import Ack, Count, Label, Message, Name, TimeNs
from skywarden.wire import MAX_RECORD_BYTES, ClockQuality, MonoNs, check_names

KIND_BATCH = b"B"
KIND_REPLY = b"R"
KIND_TASKING = b"T"

LINK_VERSION = 2
MAX_BATCH_RECORDS = 200
MAX_SIGNED_ITEMS = 64
"""At most so many durable records and pieces under one signature."""
MAX_BATCH_BYTES = 400_000
MAX_REPLY_BYTES = 16_000
UNIT_BYTES = 1_024
"""Large records are cut at multiples of this."""
MAX_UNITS = 512
MAX_PARTIAL = 32
MAX_PARTIAL_RANGES = 16
END_OF_SEQ = 2**53
"""The open end of an acknowledgement's last missing range: everything from there on has not arrived."""

ZAP_DOMAIN = "skywarden"

Hash = Annotated[bytes, Meta(min_length=32, max_length=32)]


class Fragment(Message, frozen=True, kw_only=True, array_like=True):
    """A piece of a record that is too large to travel whole: its header, and `data` from byte `offset` on.

    `offset` is a multiple of `UNIT_BYTES`, and so is the length of all pieces but the last. `body_hash` is
    SHA-256 of the whole body of `total_bytes`.
    """

    seq: Annotated[int, Meta(ge=1, le=2**53)]
    topic: Label
    time_ns: TimeNs
    mono_ns: MonoNs
    clock: ClockQuality
    total_bytes: Annotated[int, Meta(ge=1, le=MAX_UNITS * UNIT_BYTES)]
    body_hash: Hash
    offset: Annotated[int, Meta(ge=0, le=MAX_UNITS * UNIT_BYTES)]
    data: Annotated[bytes, Meta(min_length=1, max_length=MAX_RECORD_BYTES)]

    def __post_init__(self) -> None:
        """Refuse pieces that do not lie on units inside the record."""
        end = self.offset + len(self.data)
        is_whole = len(self.data) % UNIT_BYTES == 0 or end == self.total_bytes
        if self.offset % UNIT_BYTES or end > self.total_bytes or not is_whole:
            raise ValueError(
                f"a piece of {len(self.data)} bytes at {self.offset} does not fit {self.total_bytes}"
            )


class Head(Message, frozen=True, kw_only=True, array_like=True):
    """How far an outbox has come: its last number and the chain there (skywarden/evidence.py)."""

    seq: Count
    chain: Hash


class Signature(Message, frozen=True, kw_only=True, array_like=True):
    """Ed25519 over `evidence.seal_text`; `key_id` names the evidence key."""

    key_id: Annotated[bytes, Meta(min_length=8, max_length=8)]
    signature: Annotated[bytes, Meta(min_length=64, max_length=64)]


class Batch(Message, frozen=True, kw_only=True, array_like=True):
    """Records of one outbox (`boot_id`) and newest values, in the order of their worth.

    `number` counts the sender's messages and comes back in the reply; `sent_ns` is the sender's UTC;
    `last_seq` is the newest sequence number the outbox has given out and `pending` how many it still holds.
    `records` are entries (skywarden/wire.py) each for itself, so that a damaged one spoils no other.
    """

    number: Count
    platform_id: Name
    boot_id: Name
    sent_ns: TimeNs
    last_seq: Count
    pending: Count
    records: Annotated[
        tuple[Annotated[bytes, Meta(max_length=MAX_RECORD_BYTES)], ...], Meta(max_length=MAX_BATCH_RECORDS)
    ] = ()
    fragments: Annotated[tuple[Fragment, ...], Meta(max_length=MAX_SIGNED_ITEMS)] = ()
    head: Head | None = None
    signature: Signature | None = None


class Partial(Message, frozen=True, kw_only=True, array_like=True):
    """Of large record `seq` the ground has these inclusive ranges of units, ascending."""

    seq: Count
    units: Annotated[tuple[tuple[Count, Count], ...], Meta(max_length=MAX_PARTIAL_RANGES)]


class Reply(Message, frozen=True, kw_only=True, array_like=True):
    """The ground's answer to batch `number`; without `ack` nothing was committed.

    `head` is the farthest signed head of this outbox that the ground holds: an outbox that cannot find it in
    its own chain is a copy from the past. `takes_looks` says that this station shows looks (older ones would
    count them as damaged): to others none are sent.
    """

    number: Count
    ground_ns: TimeNs
    ack: Ack | None = None
    head: Head | None = None
    partial: Annotated[tuple[Partial, ...], Meta(max_length=MAX_PARTIAL)] = ()
    takes_looks: bool = False


_encoder = msgspec.msgpack.Encoder()
_batch_decoder = msgspec.msgpack.Decoder(Batch)
_reply_decoder = msgspec.msgpack.Decoder(Reply)
_check_sender = lru_cache(maxsize=4_096)(check_names)
"""The same few hundred senders send all batches; what is refused is not remembered."""
_VERSION_BYTE = bytes([LINK_VERSION])


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


def units_of(total_bytes: int) -> int:
    """How many units a body of so many bytes has."""
    return -(-total_bytes // UNIT_BYTES)


def _decoded(
    decoder: msgspec.msgpack.Decoder[Any], data: bytes | memoryview, limit_bytes: int, what: str
) -> Any:
    if not 2 <= len(data) <= limit_bytes:
        raise WireError(f"a {what} of {len(data)} bytes is outside 2 to {limit_bytes}")
    if data[0] != LINK_VERSION:
        raise WireError(f"a {what} speaks link version {data[0]}, this side speaks {LINK_VERSION}")
    try:
        message = decoder.decode(data[1:])
        if type(message) is Batch:
            _check_sender(message.platform_id + message.boot_id)
        return message
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise WireError(f"a {what} does not validate: {error}") from error
