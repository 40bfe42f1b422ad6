"""The survey of a plot: parallel lanes along its longer side, so close that their pictures overlap."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import shapely
from shapely import affinity
from shapely.geometry.base import BaseGeometry

from ground.fusion.plane import Plane, wrapped_deg
from ground.plans.ground_height import GroundBelow, length_m
from ground.plans.limits import PlanLimits
from ground.plans.plan_file import Proposal, Speed, Step, TriggerEvery, Waypoint
from skywarden.errors import InputError
from skywarden.messages import Plot
from skywarden.times import rfc3339

FloatArray = npt.NDArray[np.float64]

MAX_LANES = 150
_MAX_RELIEF = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class SurveyWish:
    """How to survey: height above the highest ground, a camera that looks straight down, shares of overlap.

    `heading_deg` is the lanes' direction (true), `None`: along the longer side. `margin_m` goes round the
    outline, on top of the CE90 of its place.
    """

    height_m: float = 80.0
    hfov_deg: float = 60.0
    aspect: float = 4.0 / 3.0
    side_overlap: float = 0.7
    front_overlap: float = 0.8
    speed_mps: float = 8.0
    heading_deg: float | None = None
    margin_m: float = 10.0
    is_triggered: bool = True

    def check(self) -> None:
        """Raise `InputError` for numbers that no camera or aircraft has."""
        for name, value, low, high in (
            ("field of view", self.hfov_deg, 5.0, 140.0),
            ("ratio of width to height", self.aspect, 0.5, 3.0),
            ("side overlap", self.side_overlap, 0.0, 0.95),
            ("front overlap", self.front_overlap, 0.0, 0.95),
            ("speed", self.speed_mps, 1.0, 40.0),
            ("margin", self.margin_m, 0.0, 500.0),
        ):
            if not low <= value <= high:
                raise InputError(f"a {name} of {value:g} is not within {low:g} to {high:g}")

    @property
    def footprint_m(self) -> tuple[float, float]:
        """Across and along the flight, on the highest ground."""
        across = 2.0 * self.height_m * math.tan(math.radians(self.hfov_deg) / 2.0)
        return across, across / self.aspect


def survey_of(plot: Plot, wish: SurveyWish, ground: GroundBelow, limits: PlanLimits) -> Proposal:
    """A proposal that covers the outline, its CE90 and the margin at a height that no ground comes near to.

    Raises `InputError` when a limit would be broken, or the ground is too uneven for one height.
    """
    wish.check()
    limits.check_height(wish.height_m)
    outline = plot.rings_deg[0]
    first_longitude = float(outline[0, 1])
    plane = Plane(float(outline[:, 0].mean()), wrapped_deg(first_longitude))
    area = _area(outline, plane).buffer(plot.position.ce90_m + wish.margin_m)
    across_m, along_m = wish.footprint_m
    spacing_m = across_m * (1.0 - wish.side_overlap)
    lanes = _lanes(area, _heading(area, wish), spacing_m)
    path = [plane.geodetic(float(east), float(north)) for lane in lanes for east, north in lane]
    low_m, high_m = ground.range_msl_m(path)
    if high_m - low_m > _MAX_RELIEF * wish.height_m:
        raise InputError(
            f"the ground below the path differs by {high_m - low_m:.0f} m, more than the height of "
            f"{wish.height_m:.0f} m: pictures would not show the same detail. Fly higher, or survey it in "
            "parts"
        )
    alt_msl_m = high_m + wish.height_m
    limits.check_height(alt_msl_m - low_m)
    waypoints = [Waypoint(latitude, longitude, alt_msl_m) for latitude, longitude in path]
    despite = limits.check_path(waypoints)
    trigger_m = along_m * (1.0 - wish.front_overlap)
    return Proposal(
        title=f"survey of {plot.label} {plot.plot_id}",
        notes=(
            f"{len(lanes)} lanes {spacing_m:.0f} m apart, {length_m(waypoints) / 1000:.1f} km, about "
            f"{length_m(waypoints) / wish.speed_mps / 60:.0f} min at {wish.speed_mps:g} m/s",
            f"{alt_msl_m:.0f} m above the geoid: {wish.height_m:.0f} to "
            f"{wish.height_m + high_m - low_m:.0f} m above ground; {ground.source}",
            f"camera straight down, {wish.hfov_deg:g} degrees across; pictures overlap by "
            f"{wish.side_overlap:.0%} and {wish.front_overlap:.0%} on the highest ground",
            f"plot as seen at {rfc3339(plot.time_ns)}, place good to {plot.position.ce90_m:.0f} m (CE90)"
            + ("" if plot.is_complete else "; only a part of it has been seen"),
            *(f"flown over on purpose: exclusion zone {name}" for name in despite),
        ),
        steps=_steps(waypoints, wish, trigger_m),
        home=Waypoint(waypoints[0].latitude_deg, waypoints[0].longitude_deg, high_m),
        speed_mps=wish.speed_mps,
    )


def _steps(waypoints: list[Waypoint], wish: SurveyWish, trigger_m: float) -> tuple[Step, ...]:
    steps: list[Step] = [Speed(wish.speed_mps), waypoints[0]]
    if wish.is_triggered:
        steps.append(TriggerEvery(trigger_m))
    steps += waypoints[1:]
    if wish.is_triggered:
        steps.append(TriggerEvery(0.0))
    return tuple(steps)


def _area(outline: FloatArray, plane: Plane) -> BaseGeometry:
    points = [plane.east_north_m(float(latitude), float(longitude)) for latitude, longitude in outline]
    return shapely.make_valid(shapely.Polygon(points)).convex_hull


def _heading(area: BaseGeometry, wish: SurveyWish) -> float:
    """Degrees from north, clockwise: along the longer side of the narrowest box round the area."""
    if wish.heading_deg is not None:
        return wish.heading_deg % 360.0
    corners = np.array(shapely.oriented_envelope(area).exterior.coords)
    sides = np.diff(corners, axis=0)[:2]
    east, north = max(sides, key=lambda side: float(np.linalg.norm(side)))
    return math.degrees(math.atan2(float(east), float(north))) % 180.0


def _lanes(area: BaseGeometry, heading_deg: float, spacing_m: float) -> list[FloatArray]:
    """Lanes of two points (east, north), flown to and fro, that leave no strip of the area uncovered.

    Turned so that lanes run north, the outer ones lie half a spacing inside the edge.
    """
    middle = area.centroid
    turned = affinity.rotate(area, heading_deg, origin=middle)
    west, south, east, north = turned.bounds
    count = max(1, math.ceil((east - west) / spacing_m))
    if count > MAX_LANES:
        raise InputError(f"{count} lanes are more than {MAX_LANES}; fly higher or survey it in parts")
    first = (west + east) / 2.0 - (count - 1) * spacing_m / 2.0
    lanes: list[FloatArray] = []
    for number in range(count):
        x = first + number * spacing_m
        band = shapely.box(x - spacing_m / 2.0, south - 1.0, x + spacing_m / 2.0, north + 1.0)
        strip = turned.intersection(band)
        if strip.is_empty:
            continue
        _, low, _, high = strip.bounds
        lane = shapely.LineString([(x, low), (x, high)])
        points = np.array(affinity.rotate(lane, -heading_deg, origin=middle).coords)
        lanes.append(points if len(lanes) % 2 == 0 else points[::-1])
    return lanes
