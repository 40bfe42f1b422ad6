"""One STAC Item a sortie (STAC 1.1.0, stacspec.org): where, when, by whom, and the files there are of it."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from ground.catalogue.sorties import Sortie
from ground.exercise.mark import REAL, Mark
from ground.review.release import CONFIRMED_NOTICE, UNREVIEWED_NOTICE
from ground.store.reading import StoredSighting
from skywarden.times import rfc3339

STAC_VERSION = "1.1.0"
FILE_EXTENSION = "https://stac-extensions.github.io/file/v2.1.0/schema.json"
PROCESSING_EXTENSION = "https://stac-extensions.github.io/processing/v1.2.0/schema.json"
CATALOGUE_ID = "skywarden-sorties"
_LEAST_DEG = 1e-5
_PART_BYTES = 1_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Asset:
    """A file of a sortie; size and checksum where they are known."""

    key: str
    href: str
    title: str
    media_type: str
    roles: tuple[str, ...] = ("data",)
    size_bytes: int | None = None
    sha256: str | None = None

    def to_jsonable(self) -> dict[str, Any]:
        """As an asset object; the checksum is a multihash (SHA-256: 12, 20 hexadecimal)."""
        tree: dict[str, Any] = {
            "href": self.href,
            "title": self.title,
            "type": self.media_type,
            "roles": list(self.roles),
        }
        if self.size_bytes is not None:
            tree["file:size"] = self.size_bytes
        if self.sha256 is not None:
            tree["file:checksum"] = f"1220{self.sha256}"
        return tree


@dataclass(frozen=True, kw_only=True, slots=True)
class Extent:
    """What was covered, as far as the sightings tell: the hull of where platform and things were.

    `geometry` (RFC 7946) and `bbox` are None where no place is known; `sensors` are ids.
    """

    geometry: Mapping[str, Any] | None
    bbox: tuple[float, float, float, float] | None
    sensors: tuple[str, ...]
    labels: tuple[str, ...]
    count: int


def extent_of(looks: Iterable[StoredSighting]) -> Extent:
    """The extent of some sightings; memory for the hull alone."""
    hull: BaseGeometry = shapely.MultiPoint()
    sensors: set[str] = set()
    labels: set[str] = set()
    points: list[tuple[float, float]] = []
    first: float | None = None
    count = 0
    for stored in looks:
        seen = stored.sighting
        count += 1
        sensors.add(seen.sensor_id)
        labels.add(seen.label)
        for place in _places(stored):
            first = place[0] if first is None else first
            points.append(((place[0] - first + 180.0) % 360.0 - 180.0 + first, place[1]))
        if len(points) > 5_000:
            hull, points = _hull(hull, points), []
    geometry, bbox = _shown(_hull(hull, points))
    return Extent(
        geometry=geometry,
        bbox=bbox,
        sensors=tuple(sorted(sensors)),
        labels=tuple(sorted(labels)),
        count=count,
    )


def item_of(
    sortie: Sortie,
    extent: Extent,
    assets: Sequence[Asset],
    *,
    with_unreviewed: bool,
    made_ns: int,
    self_href: str,
    catalogue_href: str,
    version: str,
    exercise: Mark = REAL,
) -> dict[str, Any]:
    """The Item; what it says of reviewing is in its title and description."""
    notice = exercise.notice(UNREVIEWED_NOTICE if with_unreviewed else CONFIRMED_NOTICE)
    mark = exercise.prefix + ("UNREVIEWED: " if with_unreviewed else "")
    item: dict[str, Any] = {
        "type": "Feature",
        "stac_version": STAC_VERSION,
        "stac_extensions": [FILE_EXTENSION, PROCESSING_EXTENSION],
        "id": sortie.item_id,
        "geometry": extent.geometry,
        "properties": {
            "title": f"{mark}Sortie {sortie.sortie_id} of {sortie.platform_id}",
            "description": f"{notice}. The footprint is the hull of where platform and things were.",
            "datetime": None,
            "start_datetime": rfc3339(sortie.first_ns),
            "end_datetime": rfc3339(sortie.last_ns),
            "created": rfc3339(made_ns),
            "platform": sortie.platform_id,
            "instruments": list(extent.sensors),
            "mission": sortie.sortie_id,
            "processing:software": {"skywarden": version},
            "skywarden:notice": notice,
            "skywarden:labels": list(extent.labels),
            "skywarden:sightings": extent.count,
        },
        "links": [
            {"rel": "self", "href": self_href, "type": "application/geo+json"},
            {"rel": "root", "href": catalogue_href, "type": "application/json"},
            {"rel": "parent", "href": catalogue_href, "type": "application/json"},
        ],
        "assets": {one.key: one.to_jsonable() for one in assets},
    }
    if extent.bbox is not None:
        item["bbox"] = list(extent.bbox)
    return item


def catalogue_of(
    items: Iterable[tuple[str, str, str]], self_href: str, exercise: Mark = REAL
) -> dict[str, Any]:
    """The Catalog that leads to items, each (address, title, id)."""
    return {
        "type": "Catalog",
        "stac_version": STAC_VERSION,
        "id": CATALOGUE_ID,
        "title": exercise.title("Sorties"),
        "description": exercise.notice(
            "Sorties of one Skywarden ground station, as far as something was seen on them."
        ),
        "links": [
            {"rel": "self", "href": self_href, "type": "application/json"},
            {"rel": "root", "href": self_href, "type": "application/json"},
            *(
                {"rel": "item", "href": href, "type": "application/geo+json", "title": title}
                for href, title, _ in items
            ),
        ],
    }


def asset_of_file(
    path: Path, key: str, href: str, title: str, media_type: str, roles: tuple[str, ...] = ("data",)
) -> Asset:
    """An asset with size and checksum of the file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(_PART_BYTES):
            digest.update(part)
    return Asset(
        key=key,
        href=href,
        title=title,
        media_type=media_type,
        roles=roles,
        size_bytes=path.stat().st_size,
        sha256=digest.hexdigest(),
    )


def _places(stored: StoredSighting) -> list[tuple[float, float]]:
    seen = stored.sighting
    found = []
    if seen.platform_position is not None:
        found.append((seen.platform_position[1], seen.platform_position[0]))
    if seen.position is not None:
        found.append((seen.position.longitude_deg, seen.position.latitude_deg))
    return found


def _hull(hull: BaseGeometry, points: list[tuple[float, float]]) -> BaseGeometry:
    return shapely.union(hull, shapely.MultiPoint(points)).convex_hull


def _shown(
    hull: BaseGeometry,
) -> tuple[Mapping[str, Any] | None, tuple[float, float, float, float] | None]:
    """As a polygon, cut at the antimeridian; a point or a line becomes one of about a metre's width."""
    if hull.is_empty:
        return None, None
    area = hull if hull.geom_type == "Polygon" else hull.buffer(_LEAST_DEG, quad_segs=2)
    west, south, east, north = area.bounds
    if west < -180.0 or east > 180.0:
        turn = 360.0 if west < -180.0 else 0.0
        moved = shapely.transform(area, lambda points: points + np.array([turn, 0.0]))
        here = moved.intersection(shapely.box(-180.0, -90.0, 180.0, 90.0))
        there = moved.intersection(shapely.box(180.0, -90.0, 540.0, 90.0))
        back = shapely.transform(there, lambda points: points - np.array([360.0, 0.0]))
        parts = [one for one in (here, back) if one.geom_type == "Polygon" and not one.is_empty]
        area = shapely.MultiPolygon([shapely.orient_polygons(one) for one in parts])
        west, east = (west + turn, east + turn - 360.0)
    else:
        area = shapely.orient_polygons(area)
    box = (round(west, 7), round(max(south, -90.0), 7), round(east, 7), round(min(north, 90.0), 7))
    return shapely.geometry.mapping(shapely.set_precision(area, 1e-7, mode="pointwise")), box
