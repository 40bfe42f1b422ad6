"""From an outline in the image to a polygon on the ground that follows the terrain between its corners.

What cannot be placed (above the horizon, outside the terrain model) is cut off, and the polygon says why; an
outline of which too little can be placed is refused with the commonest reason. No ground is better than wrong
ground.
"""

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyproj
import shapely

from edge.geolocation.locate import OK, Locations, Locator
from edge.plots.outline import Outline, ring_area
from skywarden.errors import InputError
from skywarden.geometry import geodesy
from skywarden.geometry.camera import CameraModel
from skywarden.geometry.pose import CameraPose
from skywarden.geometry.terrain import Surface

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
Edges = Literal["image", "ground"]

MAX_GROUND_VERTICES = 1024
MIN_PLACED_SHARE = 0.5
BORDER_PX = 1.0
FOLDED = "folded"
"""The outline crosses itself on this terrain: it runs over a ridge that hides part of the ground."""

_BENT_EDGE_PX = 24.0  # with a lens that distorts, straight lines of the image are straight for so long
_OPEN_EDGE_PX = 8.0  # how finely an outline is followed to where it cannot be placed any more


class EqualAreaPlane:
    """East and north metres about a place, equal-area on the ellipsoid, poles and antimeridian included.

    Lambert's azimuthal projection (Snyder 1987, page 187): areas are exact anywhere, distances to 1 in 10^7
    within 2 km of the origin.
    """

    def __init__(self, latitude_deg: float, longitude_deg: float) -> None:
        geodesy.check_place(latitude_deg, longitude_deg, 0.0)
        self.latitude_deg, self.longitude_deg = float(latitude_deg), float(longitude_deg)
        self._projection = pyproj.Transformer.from_pipeline(
            "+proj=pipeline +step +proj=unitconvert +xy_in=deg +xy_out=rad +step +proj=laea "
            f"+lat_0={self.latitude_deg!r} +lon_0={self.longitude_deg!r} +ellps=WGS84"
        )

    def east_north_m(self, latitude_deg: npt.ArrayLike, longitude_deg: npt.ArrayLike) -> FloatArray:
        """Shape (..., 2), metres."""
        east, north = self._projection.transform(
            np.asarray(longitude_deg, dtype=np.float64), np.asarray(latitude_deg, dtype=np.float64)
        )
        return np.stack([east, north], axis=-1)

    def geodetic(self, east_north_m: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Latitudes and longitudes in degrees of points (..., 2)."""
        points = np.asarray(east_north_m, dtype=np.float64)
        longitude, latitude = self._projection.transform(points[..., 0], points[..., 1], direction="INVERSE")
        return np.asarray(latitude), geodesy.wrap_longitude_deg(longitude)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class GroundRing:
    """One ring of a polygon on the ground: columns of N vertices, not closed.

    Attributes:
        east_north_m: (N, 2) in the polygon's plane; outer rings counter-clockwise, holes clockwise.
        pixels: (N, 2), where each vertex was seen.
        is_cut: (N,), whether the edge from here to the next vertex is no boundary of the plot, but the edge
            of the image or where the ground ends.
    """

    east_north_m: FloatArray
    latitude_deg: FloatArray
    longitude_deg: FloatArray
    alt_hae_m: FloatArray
    pixels: FloatArray
    is_cut: BoolArray


@dataclass(frozen=True, kw_only=True, eq=False)
class GroundPolygon:
    """A plot on the ground as one look showed it.

    Attributes:
        holes: in no order.
        clipped_reason: why a part is missing, a word of `edge.geolocation.locate.STATUSES`; `None` when all
            was placed.
        placed_share: share of the outline's vertices that have a place.
    """

    plane: EqualAreaPlane
    exterior: GroundRing
    holes: tuple[GroundRing, ...]
    clipped_reason: str | None
    placed_share: float

    @property
    def rings(self) -> tuple[GroundRing, ...]:
        """The exterior, then the holes."""
        return (self.exterior, *self.holes)

    @property
    def is_cut(self) -> bool:
        """Whether more than a hair of the exterior is no boundary of the plot."""
        return bool(self.exterior.is_cut.any())

    @cached_property
    def shape(self) -> shapely.Polygon:
        """In the plane's metres."""
        return shapely.Polygon(self.exterior.east_north_m, [hole.east_north_m for hole in self.holes])


@dataclass(frozen=True, kw_only=True, slots=True)
class NoGround:
    """An outline without ground: a word of `edge.geolocation.locate.STATUSES` or "folded", and the
    numbers.
    """

    reason: str
    detail: str


def place_outline(
    locator: Locator,
    pose: CameraPose,
    outline: Outline,
    *,
    surface: Surface,
    sigma_px: float = 1.0,
    edges: Edges = "image",
    min_share: float = MIN_PLACED_SHARE,
    plane: EqualAreaPlane | None = None,
) -> GroundPolygon | NoGround:
    """The polygon on the ground that an outline encloses, or why there is none.

    `edges` "image": the outline is straight in the image between its corners (a mask's), so on ground with
    details it is followed half a spacing at a time. "ground": corners that are joined straight on the ground
    (surveyed ones). `surface` is what `locator` casts its rays on. Without `plane` the polygon gets one of
    its own. Raises `InputError` on a pose that cannot be, and when more than 1024 corners are handed in.
    """
    rings = outline.rings
    if sum(len(ring) for ring in rings) > MAX_GROUND_VERTICES:
        raise InputError(
            f"an outline of {sum(len(ring) for ring in rings)} corners is over the limit of "
            f"{MAX_GROUND_VERTICES}; simplify it first"
        )
    is_plain = surface.spacing_m == 0.0 and not any(locator.camera.distortion)
    corners = locator.locate(pose, np.concatenate(rings), sigma_px)
    fine = rings
    if edges == "image" and not (is_plain and all(status == OK for status in corners.status)):
        fine = _densified(locator.camera, corners, rings, surface)
    if fine is not rings:
        points = locator.locate(pose, np.concatenate(fine), sigma_px)
        followed = _placed(locator.camera, points, fine, min_share, plane)
        if not isinstance(followed, NoGround):
            return followed
    return _placed(locator.camera, corners, rings, min_share, plane)


def _placed(
    camera: CameraModel,
    locations: Locations,
    rings: tuple[FloatArray, ...],
    min_share: float,
    plane: EqualAreaPlane | None,
) -> GroundPolygon | NoGround:
    """The polygon of rings in the image whose corners lie at `locations`, one ring after the other."""
    is_placed = np.array([status == OK for status in locations.status])
    share = float(is_placed.mean())
    if not is_placed.all():
        word, count = Counter(status for status in locations.status if status != OK).most_common(1)[0]
        if share < min_share or is_placed[: len(rings[0])].sum() < 3:
            return NoGround(
                reason=word, detail=f"{count} of {len(is_placed)} points of the outline have no place: {word}"
            )
    else:
        word = None
    if plane is None:
        origin = int(np.flatnonzero(is_placed)[0])
        plane = EqualAreaPlane(float(locations.latitude_deg[origin]), float(locations.longitude_deg[origin]))
    made, start = [], 0
    for ring in rings:
        part = slice(start, start + len(ring))
        start += len(ring)
        made.append(_ground_ring(camera, plane, ring, locations, part, is_placed[part]))
    exterior, *holes = made
    polygon = GroundPolygon(
        plane=plane,
        exterior=_counter_clockwise(exterior),
        holes=tuple(_clockwise(hole) for hole in holes if not hole.is_cut.any() and len(hole.pixels) >= 3),
        clipped_reason=word,
        placed_share=share,
    )
    if not polygon.shape.is_valid:
        return NoGround(reason=FOLDED, detail="the outline crosses itself on this ground")
    return polygon


def _ground_ring(
    camera: CameraModel,
    plane: EqualAreaPlane,
    pixels: FloatArray,
    locations: Locations,
    part: slice,
    is_placed: BoolArray,
) -> GroundRing:
    """The placed vertices of a ring; an edge over vertices that are not placed is cut."""
    kept = np.flatnonzero(is_placed)
    is_gap = np.diff(np.append(kept, kept[:1] + len(pixels))) > 1
    is_cut = (_is_on_border(camera, pixels)[kept] | is_gap) if kept.size else np.zeros(0, dtype=np.bool_)
    latitude, longitude = locations.latitude_deg[part][kept], locations.longitude_deg[part][kept]
    return GroundRing(
        east_north_m=plane.east_north_m(latitude, longitude),
        latitude_deg=latitude,
        longitude_deg=longitude,
        alt_hae_m=locations.alt_hae_m[part][kept],
        pixels=pixels[kept],
        is_cut=is_cut,
    )


def _is_on_border(camera: CameraModel, pixels: FloatArray) -> BoolArray:
    """Which edges, from each vertex (N, 2) to the next, run along the edge of the image, shape (N,)."""
    limit = np.array([camera.width_px - 0.5, camera.height_px - 0.5])
    near = np.concatenate([pixels <= -0.5 + BORDER_PX, pixels >= limit - BORDER_PX], axis=1)
    both: BoolArray = (near & np.roll(near, -1, axis=0)).any(axis=1)
    return both


def _densified(
    camera: CameraModel, corners: Locations, rings: tuple[FloatArray, ...], surface: Surface
) -> tuple[FloatArray, ...]:
    """The rings with further points on their edges; themselves when they need none, or none has a place.

    `corners` is where their corners lie, one ring after the other.
    """
    step_px = _BENT_EDGE_PX if any(camera.distortion) else np.inf
    outer = slice(0, len(rings[0]))
    is_placed = [status == OK for status in corners.status[outer]]
    if not any(is_placed):
        return rings
    if not all(is_placed):
        step_px = min(step_px, _OPEN_EDGE_PX)
    if surface.spacing_m > 0.0:
        size_m = float(np.nanmedian(corners.slant_range_m[outer])) / max(camera.fx, camera.fy)
        step_px = min(step_px, max(0.5 * surface.spacing_m / size_m, 4.0))
    length = sum(float(_edge_lengths(ring).sum()) for ring in rings)
    corner_count = sum(len(ring) for ring in rings)
    step_px = max(step_px, length / max(MAX_GROUND_VERTICES - corner_count, 1))
    if all((_edge_lengths(ring) <= step_px).all() for ring in rings):
        return rings
    return tuple(_with_points(ring, step_px) for ring in rings)


def _edge_lengths(ring: FloatArray) -> FloatArray:
    along = np.roll(ring, -1, axis=0) - ring
    length: FloatArray = np.hypot(along[:, 0], along[:, 1])
    return length


def _with_points(ring: FloatArray, step: float) -> FloatArray:
    """The ring with every edge cut into equal pieces of at most `step`."""
    pieces = np.maximum(np.ceil(_edge_lengths(ring) / step), 1).astype(np.intp)
    source = np.repeat(np.arange(len(ring)), pieces)
    first = np.repeat(np.cumsum(pieces) - pieces, pieces)
    part = (np.arange(len(source)) - first) / pieces[source]
    along = np.roll(ring, -1, axis=0) - ring
    points: FloatArray = ring[source] + along[source] * part[:, None]
    return points


def _counter_clockwise(ring: GroundRing) -> GroundRing:
    return ring if ring_area(ring.east_north_m) > 0.0 else _reversed(ring)


def _clockwise(ring: GroundRing) -> GroundRing:
    return ring if ring_area(ring.east_north_m) < 0.0 else _reversed(ring)


def _reversed(ring: GroundRing) -> GroundRing:
    return GroundRing(
        east_north_m=ring.east_north_m[::-1],
        latitude_deg=ring.latitude_deg[::-1],
        longitude_deg=ring.longitude_deg[::-1],
        alt_hae_m=ring.alt_hae_m[::-1],
        pixels=ring.pixels[::-1],
        is_cut=np.roll(ring.is_cut[::-1], -1),  # an edge belongs to the vertex before it
    )
