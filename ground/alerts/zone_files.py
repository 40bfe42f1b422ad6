"""Zones out of files that people have: GeoJSON, KML, GeoPackage, QGroundControl plans. All of it hostile.

What the name of a file says is not believed; what is in it decides. Sizes come first, XML with a document
type is refused, and a GeoPackage is read with an SQLite that trusts nothing in it.
"""

import hashlib
import math
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from ground.alerts.zones import MAX_NAME, MAX_VERTICES, Zone, ZoneKind, check_zone
from skywarden.errors import InputError
from skywarden.messages import LatLon

MAX_FILE_BYTES = 50_000_000
MAX_ZONES_PER_FILE = 2_000
_MAX_DEPTH = 30
_KML = re.compile(r"^\{http://(?:www\.opengis\.net/kml/2\.[0-3]|earth\.google\.com/kml/2\.[0-2])\}")


@dataclass(frozen=True, kw_only=True)
class AsZones:
    """How shapes become zones: surfaces become `surface_kind`; lines become lines, or with a width
    corridors."""

    surface_kind: ZoneKind = "area"
    width_m: float = 0.0
    source: str = ""


_Rings = tuple[tuple[LatLon, ...], ...]


@dataclass(frozen=True, kw_only=True)
class _Shape:
    """What a file has: a name and either polygons or lines."""

    name: str
    polygons: tuple[_Rings, ...] = ()
    lines: tuple[tuple[LatLon, ...], ...] = ()
    kind: ZoneKind | None = None


def read_zones(path: Path, wanted: AsZones | None = None) -> list[Zone]:
    """The zones in a file; raises `InputError` where it cannot be read, or holds none."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(16)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    if size > MAX_FILE_BYTES:
        raise InputError(f"{path}: {size} bytes is over the limit of {MAX_FILE_BYTES}")
    wanted = wanted or AsZones(source=path.name)
    if head == b"SQLite format 3\0":
        from ground.alerts.geopackage import read_shapes

        return _zones((_Shape(name=n, polygons=p, lines=ls) for n, p, ls in read_shapes(path)), wanted)
    return parse_zones(path.read_bytes(), wanted, name=path.stem)


def parse_zones(data: bytes, wanted: AsZones, *, name: str = "zone") -> list[Zone]:
    """The zones in GeoJSON, a QGroundControl plan, or KML; raises `InputError`."""
    if len(data) > MAX_FILE_BYTES:
        raise InputError(f"{len(data)} bytes is over the limit of {MAX_FILE_BYTES}")
    text = data.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    if text == b"<":
        return _zones(_kml_shapes(data, name), wanted)
    if text != b"{":
        raise InputError("this is neither GeoJSON, nor a plan of QGroundControl, nor KML, nor a GeoPackage")
    try:
        tree = msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise InputError(f"not valid JSON: {error}") from error
    if not isinstance(tree, dict):
        raise InputError("this JSON is no object")
    if tree.get("fileType") == "Plan":
        return _zones(_plan_shapes(tree, name), wanted)
    return _zones(_geojson_shapes(tree, name), wanted)


def _zones(shapes: Iterable[_Shape], wanted: AsZones) -> list[Zone]:
    """Checked zones with ids that the same file gives again; one point too many refuses the file."""
    found: list[Zone] = []
    ids: set[str] = set()
    for shape in shapes:
        if len(found) >= MAX_ZONES_PER_FILE:
            raise InputError(f"more than {MAX_ZONES_PER_FILE} shapes in one file")
        kind: ZoneKind = shape.kind or wanted.surface_kind
        if shape.lines:
            kind = "corridor" if wanted.width_m > 0.0 else "line"
        name = _plain(shape.name) or f"{kind} {len(found) + 1}"
        zone_id = _zone_id(wanted.source, name, ids)
        zone = Zone(
            zone_id=zone_id,
            name=name,
            kind=kind,
            polygons=shape.polygons,
            lines=shape.lines,
            width_m=wanted.width_m if kind == "corridor" else 0.0,
            source=_plain(wanted.source)[:200],
        )
        found.append(check_zone(zone))
    if not found:
        raise InputError("no area and no line in this file")
    return found


def _zone_id(source: str, name: str, taken: set[str]) -> str:
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40] or "zone"
    mark = hashlib.sha256(source.encode()).hexdigest()[:6]
    number = 1
    while (zone_id := f"z-{slug}-{mark}" + (f"-{number}" if number > 1 else "")) in taken:
        number += 1
    taken.add(zone_id)
    return zone_id


def _plain(text: object) -> str:
    """A name without control characters, cut to length."""
    return "".join(one for one in str(text) if one.isprintable()).strip()[:MAX_NAME]


# GeoJSON (RFC 7946)


def _geojson_shapes(tree: dict[str, Any], name: str, depth: int = 0) -> Iterator[_Shape]:
    if depth > _MAX_DEPTH:
        raise InputError(f"GeoJSON nested deeper than {_MAX_DEPTH}")
    kind = tree.get("type")
    if kind == "FeatureCollection":
        for number, feature in enumerate(_list(tree.get("features"), "features"), 1):
            if isinstance(feature, dict):
                yield from _geojson_shapes(feature, f"{name} {number}", depth + 1)
    elif kind == "Feature":
        properties = tree.get("properties")
        given = properties if isinstance(properties, dict) else {}
        called = given.get("name") or given.get("Name") or given.get("title") or tree.get("id") or name
        geometry = tree.get("geometry")
        if isinstance(geometry, dict):
            for shape in _geojson_shapes(geometry, str(called), depth + 1):
                zone_kind = given.get("zone_kind")
                yield _named_kind(shape, zone_kind) if isinstance(zone_kind, str) else shape
    elif kind == "GeometryCollection":
        for geometry in _list(tree.get("geometries"), "geometries"):
            if isinstance(geometry, dict):
                yield from _geojson_shapes(geometry, name, depth + 1)
    else:
        found = _geometry(str(kind), tree.get("coordinates"), name)
        if found is not None:
            yield found


def _named_kind(shape: _Shape, kind: str) -> _Shape:
    if shape.polygons and kind in ("area", "exclusion", "mute"):
        return _Shape(name=shape.name, polygons=shape.polygons, kind=kind)  # type: ignore[arg-type]  # one of the three
    return shape


def _geometry(kind: str, coordinates: object, name: str) -> _Shape | None:
    if kind == "Polygon":
        return _Shape(name=name, polygons=(_rings(coordinates),))
    if kind == "MultiPolygon":
        polygons = tuple(_rings(one) for one in _list(coordinates, "polygons"))
        return _Shape(name=name, polygons=polygons) if polygons else None
    if kind == "LineString":
        return _Shape(name=name, lines=(_points(coordinates),))
    if kind == "MultiLineString":
        lines = tuple(_points(one) for one in _list(coordinates, "lines"))
        return _Shape(name=name, lines=lines) if lines else None
    return None


def _rings(coordinates: object) -> _Rings:
    return tuple(_points(ring) for ring in _list(coordinates, "rings"))


def _points(coordinates: object) -> tuple[LatLon, ...]:
    """Points of [longitude, latitude, ...]."""
    points = _list(coordinates, "points")
    if len(points) > MAX_VERTICES:
        raise InputError(f"{len(points)} points in one ring or line; at most {MAX_VERTICES}")
    found = []
    for point in points:
        pair = _list(point, "coordinates")
        if len(pair) < 2:
            raise InputError("a point of one number")
        found.append(place(pair[1], pair[0]))
    return tuple(found)


def place(latitude: object, longitude: object) -> LatLon:
    """A checked place, degrees; raises `InputError`."""
    if isinstance(latitude, bool) or isinstance(longitude, bool):
        raise InputError("a coordinate is no number")
    if not isinstance(latitude, int | float) or not isinstance(longitude, int | float):
        raise InputError("a coordinate is no number")
    if not (math.isfinite(latitude) and math.isfinite(longitude)):
        raise InputError("a coordinate is not finite")
    if not (-90.0 <= latitude <= 90.0 and -180.0 <= longitude <= 180.0):
        raise InputError(
            f"{latitude:g}, {longitude:g} is no latitude and longitude in degrees (a file in metres, or one "
            "with the two exchanged?)"
        )
    return float(latitude), float(longitude)


def _list(value: object, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise InputError(f"the {what} are no list")
    return value


# QGroundControl


def _plan_shapes(tree: dict[str, Any], name: str) -> Iterator[_Shape]:
    """The geofence's polygons and circles, and the areas and corridors of survey items.

    A fence that keeps the aircraft in becomes an area; one that keeps it out an area too: what may not be
    flown over says nothing about what may not be there.
    """
    fence = tree.get("geoFence")
    if isinstance(fence, dict):
        for number, polygon in enumerate(_list(fence.get("polygons", []), "fence polygons"), 1):
            if isinstance(polygon, dict):
                yield _Shape(name=f"{name} fence {number}", polygons=((_pairs(polygon.get("polygon")),),))
        for number, one in enumerate(_list(fence.get("circles", []), "fence circles"), 1):
            circle = one.get("circle") if isinstance(one, dict) else None
            if isinstance(circle, dict):
                ring = _circle(circle.get("center"), circle.get("radius"))
                yield _Shape(name=f"{name} circle {number}", polygons=((ring,),))
    mission = tree.get("mission")
    items = _list(mission.get("items", []), "mission items") if isinstance(mission, dict) else []
    for number, item in enumerate(items[:MAX_VERTICES], 1):
        if isinstance(item, dict) and item.get("type") == "ComplexItem":
            yield from _complex_item(item, f"{name} {item.get('complexItemType', 'item')} {number}")


def _complex_item(item: dict[str, Any], name: str) -> Iterator[_Shape]:
    if isinstance(item.get("polygon"), list) and item["polygon"]:
        yield _Shape(name=name, polygons=((_pairs(item["polygon"]),),))
    elif isinstance(item.get("polyline"), list) and item["polyline"]:
        yield _Shape(name=name, lines=(_pairs(item["polyline"]),))


def _pairs(points: object) -> tuple[LatLon, ...]:
    """Points of [latitude, longitude], as QGroundControl writes them."""
    listed = _list(points, "points")
    if len(listed) > MAX_VERTICES:
        raise InputError(f"{len(listed)} points in one ring or line; at most {MAX_VERTICES}")
    pairs = [_list(point, "coordinates") for point in listed]
    if any(len(pair) < 2 for pair in pairs):
        raise InputError("a point of one number")
    return tuple(place(pair[0], pair[1]) for pair in pairs)


def _circle(center: object, radius: object) -> tuple[LatLon, ...]:
    from ground.fusion.plane import Plane

    pair = _list(center, "circle's centre")
    if len(pair) < 2 or isinstance(radius, bool) or not isinstance(radius, int | float):
        raise InputError("a circle without centre or radius")
    if not 1.0 <= radius <= 500_000.0:
        raise InputError(f"a circle of {radius:g} m")
    plane = Plane(*place(pair[0], pair[1]))
    angles = [2.0 * math.pi * step / 72 for step in range(72)]
    return tuple(plane.geodetic(radius * math.sin(angle), radius * math.cos(angle)) for angle in angles)


# KML (OGC 07-147r2)


def _kml_shapes(data: bytes, name: str) -> Iterator[_Shape]:
    head = data.upper()
    if b"<!DOCTYPE" in head or b"<!ENTITY" in head or b"\0" in data[:4096]:
        raise InputError("KML with a document type or in UTF-16 is not taken")
    try:
        root = ET.fromstring(data)
    except ET.ParseError as error:
        raise InputError(f"not valid XML: {error}") from error
    if not _KML.match(root.tag) and root.tag != "kml":
        raise InputError(f"XML, but not KML: its root is {root.tag[:60]}")
    for number, mark in enumerate(_children(root, "Placemark"), 1):
        called = next((one.text for one in mark if _local(one) == "name" and one.text), None)
        yield from _kml_placemark(mark, called or f"{name} {number}")


def _kml_placemark(mark: ET.Element, name: str) -> Iterator[_Shape]:
    polygons = tuple(_kml_polygon(one) for one in _children(mark, "Polygon"))
    if polygons:
        yield _Shape(name=name, polygons=polygons)
    lines = tuple(_kml_points(one) for one in _children(mark, "LineString"))
    if lines:
        yield _Shape(name=name, lines=lines)


def _kml_polygon(polygon: ET.Element) -> _Rings:
    outer = [ring for part in _children(polygon, "outerBoundaryIs") for ring in _children(part, "LinearRing")]
    inner = [ring for part in _children(polygon, "innerBoundaryIs") for ring in _children(part, "LinearRing")]
    if len(outer) != 1:
        raise InputError(f"a polygon of KML with {len(outer)} outer rings")
    return tuple(_kml_points(ring) for ring in (*outer, *inner))


def _kml_points(element: ET.Element) -> tuple[LatLon, ...]:
    text = " ".join(one.text or "" for one in _children(element, "coordinates"))
    tuples = text.split()
    if len(tuples) > MAX_VERTICES:
        raise InputError(f"{len(tuples)} points in one ring or line; at most {MAX_VERTICES}")
    found = []
    for one in tuples:
        parts = one.split(",")
        try:
            longitude, latitude = float(parts[0]), float(parts[1])
        except (ValueError, IndexError) as error:
            raise InputError(f"{one[:40]!r} is no longitude,latitude") from error
        found.append(place(latitude, longitude))
    return tuple(found)


def _children(element: ET.Element, local: str) -> list[ET.Element]:
    return [one for one in element.iter() if _local(one) == local]


def _local(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""
