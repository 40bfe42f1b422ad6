"""What people do in review, as entries of a log: decisions, undone decisions, comments, assignments."""

import math
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

State = Literal["unreviewed", "confirmed", "rejected", "more"]
"""What people have said so far; "more" waits for another look."""
Decision = Literal["confirmed", "rejected", "more"]
EntryKind = Literal["decision", "undo", "comment", "assignment"]

MAX_TEXT = 1_000
MAX_BULK = 5_000

_Text = Annotated[str, Meta(max_length=MAX_TEXT)]
_Name = Annotated[str, Meta(min_length=1, max_length=140)]
_M_PER_DEG = 111_319.49


class Pattern(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What false alarms of one kind have in common; everything that is given must hold.

    `centre` is (latitude, longitude) in degrees, `radius_m` round it; scores are inclusive.
    """

    centre: (
        tuple[Annotated[float, Meta(ge=-90.0, le=90.0)], Annotated[float, Meta(ge=-180.0, le=180.0)]] | None
    ) = None
    radius_m: Annotated[float, Meta(gt=0.0, le=5_000.0)] = 100.0
    label: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    model_id: Annotated[str, Meta(min_length=1, max_length=128)] | None = None
    platform_id: Annotated[str, Meta(min_length=1, max_length=128)] | None = None
    score_min: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.0
    score_max: Annotated[float, Meta(ge=0.0, le=1.0)] = 1.0

    @property
    def is_narrow(self) -> bool:
        """Whether it says more than a range of scores: else it would reject nearly everything."""
        return any(each is not None for each in (self.centre, self.label, self.model_id, self.platform_id))

    def holds_at(self, latitude_deg: float, longitude_deg: float) -> bool:
        """Whether a place lies within the circle (flat earth: it is at most 5 km wide); true without one."""
        if self.centre is None:
            return True
        north_m = (latitude_deg - self.centre[0]) * _M_PER_DEG
        east_deg = (longitude_deg - self.centre[1] + 180.0) % 360.0 - 180.0
        east_m = east_deg * _M_PER_DEG * math.cos(math.radians(self.centre[0]))
        return math.hypot(north_m, east_m) <= self.radius_m

    def box(self) -> tuple[float, float, float, float] | None:
        """West, south, east, north round the circle, degrees; west beyond east crosses 180."""
        if self.centre is None:
            return None
        latitude, longitude = self.centre
        high = self.radius_m / _M_PER_DEG
        wide = high / max(math.cos(math.radians(min(89.9, abs(latitude) + high))), 1e-3)
        if wide >= 180.0:
            return -180.0, max(-90.0, latitude - high), 180.0, min(90.0, latitude + high)
        return (
            (longitude - wide + 180.0) % 360.0 - 180.0,
            max(-90.0, latitude - high),
            (longitude + wide + 180.0) % 360.0 - 180.0,
            min(90.0, latitude + high),
        )


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that somebody did. What it is about stands in it by track, for contacts merge and split.

    Attributes:
        number: its place in the log, from 1 without gaps.
        time_ns: UTC ns by the station's clock.
        account: who.
        contact_id: the contact as it was called then; None for a sighting alone or many contacts.
        track_ids: the tracks that the person had before the eyes, and that this speaks of.
        sighting_ids: single sightings that this speaks of.
        text: comment or reason.
        assignee: whom an assignment names; None: nobody any more.
        undoes: the number of the decision that is taken back.
        pattern: of a bulk rejection, with all its contacts in `contact_ids`.
    """

    number: Annotated[int, Meta(ge=1)]
    time_ns: Annotated[int, Meta(ge=0)]
    account: Annotated[str, Meta(min_length=1, max_length=64)]
    kind: EntryKind
    contact_id: _Name | None = None
    decision: Decision | None = None
    track_ids: tuple[str, ...] = ()
    sighting_ids: tuple[str, ...] = ()
    text: _Text = ""
    assignee: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    undoes: int | None = None
    pattern: Pattern | None = None
    contact_ids: tuple[str, ...] = ()
