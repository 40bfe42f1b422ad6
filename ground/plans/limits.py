"""What no proposal may break: least and greatest height above ground, distance to exclusion zones."""

from collections.abc import Sequence
from dataclasses import dataclass

import shapely

from ground.alerts.zones import Zone, ZoneShape
from ground.plans.plan_file import Waypoint
from skywarden.errors import InputError

LEAST_HEIGHT_M = 30.0
GREATEST_HEIGHT_M = 1_000.0


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanLimits:
    """Heights in metres above ground; `clearance_m` is kept from exclusion zones not named in `despite`."""

    least_height_m: float = 50.0
    greatest_height_m: float = 120.0
    clearance_m: float = 100.0
    zones: tuple[Zone, ...] = ()
    despite: frozenset[str] = frozenset()

    def check_height(self, height_m: float) -> None:
        """Raise `InputError` unless something may be flown at this height above ground."""
        least = max(LEAST_HEIGHT_M, self.least_height_m)
        greatest = min(GREATEST_HEIGHT_M, self.greatest_height_m)
        if not least <= height_m <= greatest:
            raise InputError(
                f"a height of {height_m:g} m above ground is not within {least:g} to {greatest:g} m; change "
                "it, or the limits where the law of the place allows another"
            )

    def check_path(self, path: Sequence[Waypoint]) -> tuple[str, ...]:
        """Names of the zones flown over on purpose; raises `InputError` for a path too near to another."""
        flown = []
        for zone in self.zones:
            if zone.kind != "exclusion":
                continue
            away_m = _distance_m(zone, path)
            if away_m > self.clearance_m:
                continue
            if zone.zone_id not in self.despite:
                where = "leads into" if away_m <= 0.0 else f"comes within {away_m:.0f} m of"
                raise InputError(
                    f"the path {where} exclusion zone {zone.name!r}; {self.clearance_m:.0f} m are to be "
                    f"kept. Change the plan, or name the zone ({zone.zone_id}) as one that may be flown over"
                )
            flown.append(zone.name)
        return tuple(flown)


def _distance_m(zone: Zone, path: Sequence[Waypoint]) -> float:
    shape = ZoneShape(zone)
    points = [shape.plane.east_north_m(one.latitude_deg, one.longitude_deg) for one in path]
    line = shapely.LineString(points) if len(points) > 1 else shapely.Point(points[0])
    return float(shape.geometry.distance(line))
