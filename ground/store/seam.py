"""What the ground's memory must do: `Store`, and what it answers. Nothing here knows which engine is behind.

Nothing in `Store` is more than PostgreSQL with PostGIS could do.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from ground.store.arrivals import Arrival, ArrivedFragment, Ingested
from ground.store.reading import StoredContact, StoreReader
from ground.store.retention import Expired, Hold, HoldKind
from skywarden.link.protocol import Head, Partial
from skywarden.messages import Ack


@dataclass(frozen=True, kw_only=True, slots=True)
class Settled:
    """Contacts that changed, with their revision, and ids that are no more."""

    contacts: tuple[StoredContact, ...]
    removed: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """What is committed of one outbox: numbers, the farthest signed head, pieces of large records."""

    ack: Ack
    head: Head | None
    partial: tuple[Partial, ...]


class Store(StoreReader, Protocol):
    """Questions and the one way in."""

    def ingest(self, arrivals: Sequence[Arrival], fragments: Sequence[ArrivedFragment] = ()) -> Ingested:
        """Make records durable in one transaction; after it returns they may be acknowledged."""
        ...

    def quarantine(self, arrivals: Sequence[Arrival], reason: str) -> None:
        """Keep records aside that nobody vouches for; they count as not received."""
        ...

    def standing(self, platform_id: str, boot_id: str, about: Sequence[int]) -> Standing:
        """What to tell a sender, at least as far as `about` goes."""
        ...

    def settle(self, revision: int) -> Settled:
        """Bring the contacts up to date with the sightings ingested since."""
        ...

    def sequence_state(self, platform_id: str) -> tuple[int, int, int]:
        """Records stored, missing below the last, and the last number, of a platform's newest outbox."""
        ...

    def note_heard(self, heard: dict[str, tuple[int, str | None]]) -> None:
        """Remember when (UTC ns) and on which sortie platforms were last heard."""
        ...

    def expire(self, before_ns: Mapping[str, int], now_ns: int, default_ns: int = 0) -> Expired:
        """Erase what was received before `before_ns[topic]` (`default_ns`: other topics; 0 keeps it).

        What is held stays; hashes and numbers of the erased stay.
        """
        ...

    def hold(self, kind: HoldKind, name: str, reason: str, now_ns: int) -> None:
        """Keep a platform's, track's, contact's or sighting's records however old they become."""
        ...

    def release(self, kind: HoldKind, name: str) -> bool:
        """Hold no longer; False when it was not held."""
        ...

    def holds(self) -> list[Hold]:
        """What is held."""
        ...

    def close(self) -> None:
        """Let go of the file."""
        ...
