"""Contacts, zones and rules for the tests of alerts."""

from typing import Any

import msgspec

from ground.alerts.rules import Rule
from ground.alerts.zones import Zone, ZoneKind
from ground.fusion.contact import Contact
from skywarden.messages import Position
from tests.ground.scenes import METRE_DEG, START_NS, position


class HandClock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self._now_ns = START_NS

    def advance(self, seconds: float) -> None:
        """Move on."""
        self._now_ns += round(seconds * 1e9)

    def utc_ns(self) -> int:
        """See `Clock`."""
        return self._now_ns

    def monotonic_ns(self) -> int:
        """See `Clock`."""
        return self._now_ns


def contact(
    north_m: float = 0.0,
    east_m: float = 0.0,
    *,
    at_s: float = 0.0,
    sigma_m: float = 5.0,
    name: str = "a-1",
    place: Position | None = None,
    **changes: Any,
) -> Contact:
    """A vessel at so many metres from 0 N 20 E."""
    made = Contact(
        contact_id=f"c-{name}",
        label="vessel",
        score=0.8,
        first_ns=START_NS,
        last_ns=START_NS + round(at_s * 1e9),
        platform_ids=("uav07",),
        track_ids=(name,),
        sighting_count=5 + int(at_s),
        position=place or position(north_m, east_m, sigma_m),
        bearing=None,
        bearing_from=None,
        no_position_reason=None,
        course_deg=None,
        speed_mps=None,
        model_id="anomaly-1",
        is_exercise=False,
        position_ns=START_NS + round(at_s * 1e9),
    )
    return msgspec.structs.replace(made, **changes)


def square(
    zone_id: str = "bay", *, half_m: float = 200.0, north_m: float = 0.0, kind: ZoneKind = "area"
) -> Zone:
    """A square about 0 N 20 E."""
    corners = ((-1, -1), (-1, 1), (1, 1), (1, -1))
    ring = tuple(
        ((north_m + north * half_m) * METRE_DEG, 20.0 + east * half_m * METRE_DEG) for north, east in corners
    )
    return Zone(zone_id=zone_id, name=zone_id.title(), kind=kind, polygons=((ring,),))


def border(zone_id: str = "border") -> Zone:
    """A line along the equator, drawn eastwards: left of it is north."""
    line = ((0.0, 20.0 - 2_000 * METRE_DEG), (0.0, 20.0 + 2_000 * METRE_DEG))
    return Zone(zone_id=zone_id, name="Border", kind="line", lines=(line,))


def rule(**changes: Any) -> Rule:
    """A rule for being inside."""
    return Rule(**{"rule_id": "r1", "name": "Vessel in the bay", "trigger": "inside", **changes})
