"""Zones: areas, corridors, lines and exclusion zones on the ground, and how surely something is inside."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Literal

import msgspec
import numpy as np
import numpy.typing as npt
import shapely
from msgspec import Meta
from shapely.geometry.base import BaseGeometry

from ground.fusion.plane import Plane, wrapped_deg
from skywarden.errors import InputError
from skywarden.messages import Id, LatLon, Position

FloatArray = npt.NDArray[np.float64]

MAX_VERTICES = 20_000
MAX_RINGS = 500
MAX_NAME = 100

ZoneKind = Literal["area", "corridor", "line", "exclusion", "mute"]
"""An area is watched; a corridor is a line with a width; a line is there to be crossed; in an exclusion zone
nothing may be, so it alerts without a rule; a mute zone is where alerts stay silent (a harbour)."""

SURFACES = ("area", "exclusion", "mute")

_DIRECTIONS = 24
_RINGS = 24
_FAR_SIGMAS = 5.0
_LONGEST_M = 1_000_000.0


class Zone(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One zone. Degrees on WGS 84, latitude first; rings and lines need not be closed.

    `polygons`: of an area, exclusion or mute zone, each an outer ring and its holes. `lines`: of a corridor
    or line. `width_m`: of a corridor, from side to side.
    """

    zone_id: Id
    name: Annotated[str, Meta(min_length=1, max_length=MAX_NAME)]
    kind: ZoneKind
    polygons: tuple[tuple[tuple[LatLon, ...], ...], ...] = ()
    lines: tuple[tuple[LatLon, ...], ...] = ()
    width_m: Annotated[float, Meta(ge=0.0, le=100_000.0)] = 0.0
    source: Annotated[str, Meta(max_length=200)] = ""


def check_zone(zone: Zone) -> Zone:
    """The same zone; raises `InputError` for a shape that is none."""
    rings = [ring for polygon in zone.polygons for ring in polygon]
    vertices = sum(len(ring) for ring in (*rings, *zone.lines))
    if vertices > MAX_VERTICES or len(rings) + len(zone.lines) > MAX_RINGS:
        raise InputError(
            f"zone {zone.name!r} has {vertices} points in {len(rings) + len(zone.lines)} rings and lines; "
            f"at most {MAX_VERTICES} in {MAX_RINGS}"
        )
    if zone.kind in SURFACES:
        is_empty = not zone.polygons or not all(zone.polygons)
        if is_empty or zone.lines or any(len(set(ring)) < 3 for ring in rings):
            raise InputError(f"zone {zone.name!r}: kind {zone.kind} is made of rings of three points or more")
    elif not zone.lines or zone.polygons or any(len(set(line)) < 2 for line in zone.lines):
        raise InputError(f"zone {zone.name!r}: kind {zone.kind} is made of lines of two points or more")
    if zone.kind == "corridor" and zone.width_m <= 0.0:
        raise InputError(f"zone {zone.name!r}: a corridor needs a width")
    shape = ZoneShape(zone)
    if shape.size_m > _LONGEST_M:
        raise InputError(f"zone {zone.name!r} is {shape.size_m / 1000:.0f} km across; at most 1000 km")
    if zone.kind in SURFACES and shape.geometry.area <= 0.0:
        raise InputError(f"zone {zone.name!r} covers nothing")
    return zone


@dataclass(frozen=True)
class ZoneShape:
    """A zone ready to be asked. Metres about its middle, so right to 1 in 1000 within 50 km of it."""

    zone: Zone

    @cached_property
    def plane(self) -> Plane:
        """The plane its shape is in."""
        first = (self.zone.lines or self.zone.polygons[0])[0]
        points = np.array(first, dtype=np.float64)
        longitude = points[0, 1] + np.array([wrapped_deg(float(one)) for one in points[:, 1] - points[0, 1]])
        middle = wrapped_deg(float(longitude.min() + longitude.max()) / 2)
        return Plane(float(points[:, 0].min() + points[:, 0].max()) / 2, middle)

    @cached_property
    def geometry(self) -> BaseGeometry:
        """Its shape in metres: polygons, or lines for a line."""
        zone = self.zone
        if zone.lines:
            lines = shapely.MultiLineString([self._metres(line) for line in zone.lines])
            return lines if zone.kind == "line" else lines.buffer(zone.width_m / 2)
        polygons = [
            shapely.make_valid(shapely.Polygon(self._metres(rings[0]), [self._metres(r) for r in rings[1:]]))
            for rings in zone.polygons
        ]
        united = shapely.union_all(polygons)
        shapely.prepare(united)
        return united

    @property
    def size_m(self) -> float:
        """Its longer side."""
        west, south, east, north = self.geometry.bounds
        return float(max(east - west, north - south))

    def probability(self, position: Position) -> float:
        """That the truth lies inside, by the position's covariance: 576 points of equal weight, 0.2 % each.

        Of a line: always 0, see `crossed`.
        """
        if self.zone.kind == "line":
            return 0.0
        middle, root = self._spread(position)
        point = shapely.Point(middle)
        reach_m = _FAR_SIGMAS * float(np.linalg.norm(root, 2))
        if self.geometry.distance(point) > reach_m:
            return 0.0
        if self.geometry.contains(point) and self.geometry.boundary.distance(point) > reach_m:
            return 1.0
        drawn = middle + _unit_points() @ root.T
        return float(shapely.contains_xy(self.geometry, drawn[:, 0], drawn[:, 1]).mean())

    def side(self, position: Position) -> tuple[float, float]:
        """Of a line: metres from it (left of the way it is drawn is positive), and the probability that the
        truth is on that side."""
        middle, root = self._spread(position)
        parts = shapely.get_parts(self.geometry)
        line = min(parts, key=lambda one: one.distance(shapely.Point(middle)))
        along = line.project(shapely.Point(middle))
        step = min(1.0, line.length / 4)
        begin = line.interpolate(max(0.0, along - step))
        end = line.interpolate(min(line.length, along + step))
        ahead = np.array([end.x - begin.x, end.y - begin.y])
        left = np.array([-ahead[1], ahead[0]]) / max(float(np.hypot(*ahead)), 1e-9)
        near = line.interpolate(along)
        away = middle - (near.x, near.y)
        distance_m = math.copysign(float(np.hypot(*away)), float(left @ away))
        towards = away / max(abs(distance_m), 1e-9) if abs(distance_m) > 1e-6 else left
        sigma_m = max(float(np.linalg.norm(root.T @ towards)), 1e-6)
        return distance_m, 0.5 * (1.0 + math.erf(abs(distance_m) / sigma_m / math.sqrt(2.0)))

    def crossed(self, before: Position, after: Position) -> bool:
        """Whether the way from one place to the other leads over a line."""
        way = shapely.LineString([self._spread(before)[0], self._spread(after)[0]])
        return bool(self.geometry.intersects(way))

    def _spread(self, position: Position) -> tuple[FloatArray, FloatArray]:
        """Middle (2,) and a root (2, 2) of the horizontal covariance."""
        middle = np.array(self.plane.east_north_m(position.latitude_deg, position.longitude_deg))
        ee, en, _, nn, _, _ = position.covariance_enu_m2
        values, vectors = np.linalg.eigh(np.array([[ee, en], [en, nn]]))
        return middle, vectors * np.sqrt(np.maximum(values, 0.0))

    def _metres(self, points: tuple[LatLon, ...]) -> list[tuple[float, float]]:
        return [self.plane.east_north_m(*point) for point in points]


def _unit_points() -> FloatArray:
    """Points (576, 2) that a round Gaussian of variance one has equal weight about."""
    return _POINTS


def _made_points() -> FloatArray:
    radii = np.sqrt(-2.0 * np.log(1.0 - (np.arange(_RINGS) + 0.5) / _RINGS))
    angles = 2.0 * math.pi * (np.arange(_DIRECTIONS) + 0.5) / _DIRECTIONS
    turned = (
        angles[None, :] + (np.arange(_RINGS) * 2.399963)[:, None]
    )  # the golden angle: no two rings line up
    return np.stack([radii[:, None] * np.cos(turned), radii[:, None] * np.sin(turned)], axis=2).reshape(-1, 2)


_POINTS = _made_points()
