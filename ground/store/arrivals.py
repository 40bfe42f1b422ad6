"""What reaches the store: records and pieces of large ones, with the signature of the batch they came in."""

from dataclasses import dataclass
from typing import Literal

import msgspec

from skywarden import evidence
from skywarden.errors import WireError
from skywarden.link.protocol import Fragment
from skywarden.messages import Message
from skywarden.topics import TOPICS, topic_named
from skywarden.wire import Record, decode

_TO_PLATFORMS = frozenset({"ack", "tasking"})
_STORED = frozenset(name for name, topic in TOPICS.items() if topic.policy == "durable") - _TO_PLATFORMS

Outcome = Literal["stored", "duplicate", "fork", "quarantined"]

Place = tuple[int, int, int]
"""Number, offset and length of a signed piece; a whole record has length 0."""


class Seal(msgspec.Struct, frozen=True, kw_only=True, eq=False, gc=False):
    """One batch's signature and what it is over; `places` tells where its items are, in their order."""

    platform_id: str
    boot_id: str
    number: int
    head_seq: int
    head: bytes
    public_key: bytes
    signature: bytes
    places: tuple[Place, ...]


class Arrival(msgspec.Struct, frozen=True, kw_only=True, eq=False, gc=False):
    """One record as it came; `message` is its decoded body, or `None` with the `reason` why it is poison.

    `seal` is the signature that covers it, `known_leaf` its leaf where it was computed already.
    """

    record: Record
    message: Message | None
    received_ns: int
    reason: str | None = None
    seal: Seal | None = None
    known_leaf: bytes | None = None

    @property
    def leaf(self) -> bytes:
        """SHA-256 that stands for the record (skywarden/evidence.py)."""
        return self.known_leaf if self.known_leaf is not None else evidence.leaf_of(self.record)


@dataclass(frozen=True, kw_only=True, slots=True)
class ArrivedFragment:
    """One piece of a large record as it came."""

    platform_id: str
    boot_id: str
    fragment: Fragment
    received_ns: int
    seal: Seal | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Ingested:
    """What a commit did: outcomes arrival by arrival, records whose last piece came, and alarms in words
    (forks of numbers, chains that do not fit)."""

    outcomes: tuple[Outcome, ...]
    completed: tuple[tuple[Arrival, Outcome], ...] = ()
    alarms: tuple[str, ...] = ()


def judged(record: Record) -> tuple[Message | None, str | None]:
    """The record's message, or why it is poison."""
    try:
        if record.topic not in _STORED or record.seq < 1:
            _check_topic(record)
        message = decode(record.topic, record.body)
    except WireError as error:
        return None, str(error)
    owner = getattr(message, "platform_id", record.platform_id)
    if owner != record.platform_id:
        return None, f"the {record.topic} inside is {owner}'s"
    return message, None


def _check_topic(record: Record) -> None:
    """Refuse topics that are unknown, go the other way, or have no place among numbered records, or only
    there; raises `WireError`."""
    topic = topic_named(record.topic)
    if record.topic in _TO_PLATFORMS:
        raise WireError(f"topic {record.topic} goes the other way")
    if (topic.policy == "durable") != (record.seq > 0):
        raise WireError(f"a {record.topic} with number {record.seq}; {topic.policy} topics differ in that")
