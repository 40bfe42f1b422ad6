"""Durable records that wait in memory while the disk refuses them; a plain object on top of the outbox."""

from collections.abc import Sequence
from typing import Protocol

import structlog

from edge.link.outbox import Entry as Entry
from skywarden.errors import StoreError
from skywarden.topics import topic_named

log = structlog.get_logger("edge.link.backlog")

MAX_BYTES = 16_000_000
CHUNK = 200
_ROW_BYTES = 200


class Appender(Protocol):
    """The part of an outbox that is written to."""

    def append_many(self, entries: Sequence[Entry]) -> list[int]:
        """Make records durable in one transaction, or raise `StoreError` and keep nothing of them."""
        ...

    def append_loss(self, time_ns: int, counts: dict[str, int]) -> int:
        """Make a record durable that tells how many records of which topic were lost."""
        ...


class Backlog:
    """A full or failing disk loses nothing at once: records wait here, in order, until it takes them again.

    At most `max_bytes` wait; beyond, the least valuable go first (the topic with the highest priority number,
    its oldest), counted in `lost_count` and told to the ground once the disk takes records again. Used by
    one thread.

    Attributes:
        fault: why the disk refused, `None` while all is well.
    """

    def __init__(self, outbox: Appender, *, max_bytes: int = MAX_BYTES) -> None:
        self._outbox = outbox
        self._max_bytes = max_bytes
        self._waiting: list[Entry] = []
        self._bytes = 0
        self.lost_count = 0
        self._untold: dict[str, int] = {}
        self._untold_ns = 0
        self.fault: str | None = None

    def __len__(self) -> int:
        """How many records wait."""
        return len(self._waiting)

    def append_many(self, entries: Sequence[Entry]) -> None:
        """Make records durable now, or as soon as the disk allows; see `flush`."""
        self._waiting.extend(entries)
        self._bytes += sum(map(_size_bytes, entries))
        if self.fault is None:
            self.flush()
        if self._bytes > self._max_bytes:
            self._shed()

    def flush(self) -> None:
        """Try again; call about once a second while there is a fault."""
        while self._waiting:
            chunk = self._waiting[:CHUNK]
            try:
                self._outbox.append_many(chunk)
            except StoreError as error:
                self.fault = str(error)
                return
            del self._waiting[:CHUNK]
            self._bytes -= sum(map(_size_bytes, chunk))
        self._tell_of_loss()

    def _tell_of_loss(self) -> None:
        try:
            if self._untold:
                self._outbox.append_loss(self._untold_ns, self._untold)
        except StoreError as error:
            self.fault = str(error)
            return
        self._untold, self.fault = {}, None

    def _shed(self) -> None:
        before = len(self._waiting)
        for priority in range(max(map(_priority, self._waiting)), -1, -1):
            kept = []
            for entry in self._waiting:
                if self._bytes > self._max_bytes and _priority(entry) == priority:
                    self._bytes -= _size_bytes(entry)
                    self._untold[entry[0]] = self._untold.get(entry[0], 0) + 1
                    self._untold_ns = max(self._untold_ns, entry[1])
                else:
                    kept.append(entry)
            self._waiting = kept
        lost = before - len(self._waiting)
        self.lost_count += lost
        log.error("records lost: the disk takes none and memory is full", records=lost, fault=self.fault)


def _priority(entry: Entry) -> int:
    return topic_named(entry[0]).priority


def _size_bytes(entry: Entry) -> int:
    return len(entry[2]) + _ROW_BYTES
