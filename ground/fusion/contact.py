"""What fusion tells: contacts, what changed, and how contacts became one another; and the seam behind it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, Protocol

from skywarden.messages import Bearing, Message, Position, Sighting

Recall = Callable[[str], Iterable[Sighting]]
"""The sightings of a track, as they are kept elsewhere; none when they are no more."""

EventKind = Literal["merged", "split", "renamed"]


class Contact(Message, frozen=True, kw_only=True, array_like=True):
    """The ground's belief that one real thing exists; kept in the store, never sent over the link.

    `position`, `course_deg`, `speed_mps` and `velocity_covariance_en_m2ps2` (ee, en, nn) are true at
    `position_ns`, of the newest look with a place; course and speed only where it moves beyond doubt.
    """

    contact_id: str
    label: str
    score: float
    first_ns: int
    last_ns: int
    platform_ids: tuple[str, ...]
    track_ids: tuple[str, ...]
    sighting_count: int
    position: Position | None
    bearing: Bearing | None
    bearing_from: tuple[float, float] | None
    no_position_reason: str | None
    course_deg: float | None
    speed_mps: float | None
    model_id: str
    is_exercise: bool
    position_ns: int | None = None
    velocity_covariance_en_m2ps2: tuple[float, float, float] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ContactEvent:
    """Contacts `before` became contacts `after`: two things were found to be one, or one to be two.

    `time_ns` is that of the newest sighting in them, so that the same records tell the same event.
    "renamed": a record that came late begins earlier than all that were known, and gives the name.
    """

    kind: EventKind
    time_ns: int
    before: tuple[str, ...]
    after: tuple[str, ...]
    track_ids: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ContactChanges:
    """What a `settle` changed: contacts new or different, ids that are no more, and how that came about."""

    changed: tuple[Contact, ...]
    removed: tuple[str, ...]
    events: tuple[ContactEvent, ...] = ()


class ContactNode(Protocol):
    """The seam for fusion: anything that turns sightings into contacts."""

    def knows(self, track_id: str) -> bool:
        """Whether the sightings of this track have been fed."""
        ...

    def add(self, sighting: Sighting) -> None:
        """Take in one sighting."""
        ...

    def settle(self) -> ContactChanges:
        """Work out what the sightings added since the last call change."""
        ...

    def rest(self, now_s: float, recall: Recall) -> int:
        """Put aside what nothing has come for lately (monotonic seconds); `recall` gives the sightings of a
        track again when it matters. The number of tracks put aside; no contact changes."""
        ...

    def forget_before(self, time_ns: int) -> int:
        """Drop what ended before `time_ns` (UTC ns) to bound memory; the number of tracks dropped."""
        ...
