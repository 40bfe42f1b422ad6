"""What requests ask for, read from their query: times, boxes, pages, filters."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated, TypeVar

from fastapi import Depends, Query

from ground.review.entries import State
from ground.store.reading import Filter
from skywarden.errors import InputError
from skywarden.messages import Position

T = TypeVar("T")

_MAX_PAGE = 1_000
_MAX_EXPORT = 50_000
_MAX_SHORT_LIST = 10_000


def parse_time(text: str) -> int:
    """RFC 3339 with a zone as UTC nanoseconds; raises `InputError`."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise InputError(f"{text[:40]!r} is not a time such as 2026-11-21T18:42:10Z") from error
    if moment.tzinfo is None:
        raise InputError(f"{text[:40]!r} has no zone; end it with Z")
    epoch = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
    elapsed = moment - epoch
    time_ns = (elapsed.days * 86_400 + elapsed.seconds) * 1_000_000_000 + elapsed.microseconds * 1000
    if not 0 <= time_ns <= 4_102_444_800_000_000_000:
        raise InputError(f"{text[:40]!r} is outside 1970 to 2100")
    return time_ns


def parse_bbox(text: str) -> tuple[float, float, float, float]:
    """`west,south,east,north` in degrees; west beyond east crosses 180; raises `InputError`."""
    try:
        west, south, east, north = (float(part) for part in text.split(","))
    except ValueError as error:
        raise InputError(f"bbox {text[:60]!r} is not west,south,east,north") from error
    if not (-180 <= west <= 180 and -180 <= east <= 180 and -90 <= south <= north <= 90):
        raise InputError(f"bbox {text[:60]!r} is outside -180,-90,180,90 or upside down")
    return west, south, east, north


def _wanted(
    bbox: Annotated[str | None, Query(max_length=100, description="west,south,east,north")] = None,
    label: Annotated[str | None, Query(max_length=64)] = None,
    platform_id: Annotated[str | None, Query(max_length=128)] = None,
    contact_id: Annotated[str | None, Query(max_length=140)] = None,
    since: Annotated[str | None, Query(max_length=40, description="RFC 3339")] = None,
    until: Annotated[str | None, Query(max_length=40, description="RFC 3339")] = None,
    limit: Annotated[int, Query(ge=1, le=_MAX_PAGE)] = 100,
    offset: Annotated[int, Query(ge=0, le=10_000_000)] = 0,
) -> Filter:
    return Filter(
        bbox=parse_bbox(bbox) if bbox is not None else None,
        label=label,
        platform_id=platform_id,
        contact_id=contact_id,
        since_ns=parse_time(since) if since is not None else None,
        until_ns=parse_time(until) if until is not None else None,
        limit=limit,
        offset=offset,
    )


def _wanted_export(
    wanted: Annotated[Filter, Depends(_wanted)],
    limit: Annotated[int, Query(ge=1, le=_MAX_EXPORT)] = 1_000,
) -> Filter:
    return replace(wanted, limit=limit)


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """Which part of a list is wanted."""

    limit: int
    offset: int

    def of(self, every: Sequence[T]) -> Sequence[T]:
        """That part."""
        return every[self.offset : self.offset + self.limit]


def _paged(
    limit: Annotated[int, Query(ge=1, le=_MAX_SHORT_LIST)] = _MAX_SHORT_LIST,
    offset: Annotated[int, Query(ge=0, le=10_000_000)] = 0,
) -> Page:
    return Page(limit=limit, offset=offset)


def is_in_box(position: Position | None, bbox: tuple[float, float, float, float]) -> bool:
    """Whether a place lies in `west,south,east,north`; what has none lies in no box."""
    if position is None:
        return False
    west, south, east, north = bbox
    longitude = position.longitude_deg
    inside = west <= longitude <= east if west <= east else longitude >= west or longitude <= east
    return inside and south <= position.latitude_deg <= north


Paged = Annotated[Page, Depends(_paged)]
"""A part of a list that is never long."""

WantedBox = Annotated[str | None, Query(max_length=100, description="west,south,east,north")]
"""Within a box; `parse_bbox` reads it."""

WantedStates = Annotated[
    list[State] | None, Query(max_length=4, description="only in this state of review; several times")
]
"""Where review stands."""

Wanted = Annotated[Filter, Depends(_wanted)]
"""One page of what is wanted."""

WantedExport = Annotated[Filter, Depends(_wanted_export)]
"""What is wanted in one file."""
