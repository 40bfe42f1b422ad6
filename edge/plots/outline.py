"""From a mask to its outline: sub-pixel polygons with holes, simplified within a stated tolerance, valid.

The outline is where the probability, linear between the centres of pixels, crosses one half (marching
squares; Lorensen & Cline 1987 in two dimensions, saddles settled by the mean of their four corners). Beyond
the mask the probability is zero, so that a mask which is one up to the image's edge ends at that edge, half a
pixel beyond the last centre. A mask of noughts and ones gives the borders between its pixels.

Pixel coordinates are (x right, y down), origin at the centre of the upper-left pixel of the image. Outer
rings go round clockwise on the screen (a positive shoelace sum in these axes), holes the other way.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import shapely

from skywarden.errors import InputError

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]

MAX_MASK_SIDE = 16_384
MAX_MASK_CELLS = 16_777_216
MAX_INPUT_VERTICES = 20_000
MAX_CONTOUR_POINTS = 400_000
MAX_VERTICES = 512
MAX_HOLES = 32
MAX_PARTS = 64
MAX_COORDINATE_PX = 1e6
MIN_AREA_PX2 = 16.0
TOLERANCE_PX = 0.5
LEVEL = 0.5

_NUDGE = 1e-3  # cells: crossings keep off the corners of the grid, so that rings never touch
_TOP, _RIGHT, _BOTTOM, _LEFT = range(4)
_CASES: dict[int, tuple[tuple[int, int], ...]] = {
    1: ((_TOP, _LEFT),),
    2: ((_RIGHT, _TOP),),
    3: ((_RIGHT, _LEFT),),
    4: ((_BOTTOM, _RIGHT),),
    6: ((_BOTTOM, _TOP),),
    7: ((_BOTTOM, _LEFT),),
    8: ((_LEFT, _BOTTOM),),
    9: ((_TOP, _BOTTOM),),
    11: ((_RIGHT, _BOTTOM),),
    12: ((_LEFT, _RIGHT),),
    13: ((_TOP, _RIGHT),),
    14: ((_LEFT, _TOP),),
    # Saddles, apart and (plus 16) joined over the middle.
    5: ((_TOP, _LEFT), (_BOTTOM, _RIGHT)),
    10: ((_RIGHT, _TOP), (_LEFT, _BOTTOM)),
    21: ((_TOP, _RIGHT), (_BOTTOM, _LEFT)),
    26: ((_LEFT, _TOP), (_RIGHT, _BOTTOM)),
}
"""Which sides of a cell the outline goes in and out by; corners upper left, upper right, lower right, lower
left count 1, 2, 4, 8 when inside. The inside is on the right hand of the way."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Outline:
    """One polygon in the image.

    Attributes:
        exterior: float64 (N, 2), not closed (the last vertex is not the first again).
        holes: the same for every hole.
        tolerance_px: no point of the true outline is further from this one than so much; 0 when nothing was
            simplified.
    """

    exterior: FloatArray
    holes: tuple[FloatArray, ...] = ()
    tolerance_px: float = 0.0

    @property
    def rings(self) -> tuple[FloatArray, ...]:
        """The exterior, then the holes."""
        return (self.exterior, *self.holes)

    @property
    def area_px2(self) -> float:
        """Enclosed area, holes taken off."""
        return sum(ring_area(ring) for ring in self.rings)

    @property
    def box_px(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom."""
        low, high = self.exterior.min(axis=0), self.exterior.max(axis=0)
        return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def ring_area(ring: FloatArray) -> float:
    """Signed area of a ring (N, 2) by the shoelace formula."""
    x, y = ring[:, 0] - ring[0, 0], ring[:, 1] - ring[0, 1]
    return 0.5 * float(np.dot(x, np.roll(y, -1)) - np.dot(np.roll(x, -1), y))


def outlines_of_mask(
    mask: npt.ArrayLike,
    *,
    left_top_px: tuple[float, float] = (0.0, 0.0),
    step_px: tuple[float, float] = (1.0, 1.0),
    frame_size_px: tuple[int, int] | None = None,
    tolerance_px: float = TOLERANCE_PX,
    min_area_px2: float = MIN_AREA_PX2,
) -> list[Outline]:
    """The outlines of a mask (rows, columns), the largest first; what is below `min_area_px2` is left out.

    Booleans are a mask, uint8 is a probability 0..255, floats are a probability 0..1. The centre of cell
    (0, 0) lies at `left_top_px` of the image and cells are `step_px` image pixels apart, so a coarse mask or
    the crop of a box needs no resizing. With `frame_size_px` (width, height) the mask must lie in that
    image and outlines are cut at its edge. Raises `InputError` on a mask that is none: over size, empty, not
    finite, too ragged, outside of the frame.
    """
    values = _checked_mask(mask)
    _check_placement(values.shape, left_top_px, step_px, frame_size_px)
    if not 0.0 <= tolerance_px <= 100.0:
        raise InputError(f"a tolerance of {tolerance_px} px; expected 0 to 100")
    inside = values > LEVEL
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    if not rows.size:
        raise InputError(f"an empty mask: none of its {values.size} cells is over {LEVEL}")
    padded = np.pad(values, 1)[rows[0] : rows[-1] + 3, columns[0] : columns[-1] + 3]
    offset = np.array([columns[0] - 1.0, rows[0] - 1.0])
    rings = [
        (ring + offset) * np.array(step_px) + np.array(left_top_px) for ring in contour_rings(padded, LEVEL)
    ]
    if frame_size_px is not None:
        limit = np.array(frame_size_px) - 0.5
        rings = [np.clip(ring, -0.5, limit) for ring in rings]
    polygons = nested_polygons(rings, min_area_px2)[:MAX_PARTS]
    if not polygons:
        raise InputError(f"an empty mask: no part of it is as large as {min_area_px2:g} square pixels")
    return [_simplified(polygon, tolerance_px, frame_size_px) for polygon in polygons]


def outline_of_polygon(
    exterior: npt.ArrayLike,
    holes: Sequence[npt.ArrayLike] = (),
    *,
    frame_size_px: tuple[int, int] | None = None,
) -> Outline:
    """The outline with these corners (N, 2), not simplified; a last corner that repeats the first is left.

    Raises `InputError` on more than 20000 corners, what is not finite, what crosses itself, holes outside,
    and with `frame_size_px` (width, height) on what lies outside of that image.
    """
    if len(holes) > MAX_HOLES:
        raise InputError(f"{len(holes)} holes in a polygon are over the limit of {MAX_HOLES}")
    rings = [_checked_ring(exterior, "polygon"), *(_checked_ring(hole, "hole") for hole in holes)]
    total = sum(len(ring) for ring in rings)
    if total > MAX_INPUT_VERTICES:
        raise InputError(f"a polygon of {total} corners is over the limit of {MAX_INPUT_VERTICES}")
    if frame_size_px is not None:
        limit = np.array(frame_size_px, dtype=np.float64) + 0.5
        if (rings[0] < -1.5).any() or (rings[0] > limit).any():
            raise InputError(
                f"a polygon from {rings[0].min(axis=0).round(1).tolist()} to "
                f"{rings[0].max(axis=0).round(1).tolist()} px is larger than the image of "
                f"{frame_size_px[0]} x {frame_size_px[1]} px"
            )
    polygon = shapely.Polygon(rings[0], rings[1:])
    if not polygon.is_valid:
        raise InputError(f"not a polygon: {shapely.is_valid_reason(polygon)[:120]}")
    if not polygon.area > 0.0:
        raise InputError("not a polygon: it encloses nothing")
    return Outline(
        exterior=_turned(rings[0], is_hole=False),
        holes=tuple(_turned(ring, is_hole=True) for ring in rings[1:]),
    )


def contour_rings(values: FloatArray, level: float) -> list[FloatArray]:
    """Closed contours of a grid (rows, columns) whose rim is below `level`: rings (N, 2) of (column, row).

    Outer rings have a positive shoelace sum, holes a negative one; rings do not touch each other. Raises
    `InputError` when there are more than 400000 crossings.
    """
    start, end = _segments(values, level)
    if start.size > MAX_CONTOUR_POINTS:
        raise InputError(f"an outline of {start.size} points is over the limit of {MAX_CONTOUR_POINTS}")
    if not start.size:
        return []
    order = np.argsort(start, kind="stable")
    nodes = start[order]
    following = np.searchsorted(nodes, end[order]).tolist()
    points = _places(values, level, nodes)
    is_open = [True] * len(nodes)
    rings = []
    for first in range(len(nodes)):
        if not is_open[first]:
            continue
        ring, here = [], first
        while is_open[here]:
            is_open[here] = False
            ring.append(here)
            here = following[here]
        rings.append(points[ring])
    return rings


def nested_polygons(rings: Sequence[FloatArray], min_area: float) -> list[shapely.Polygon]:
    """Polygons, the largest first, of rings turned as `contour_rings` turns them; small ones are left out."""
    sized = [(ring_area(ring), ring) for ring in rings if len(ring) >= 3]
    outer = sorted(
        ((area, ring) for area, ring in sized if area >= max(min_area, 1e-9)), key=lambda pair: -pair[0]
    )
    shells = [shapely.Polygon(ring) for _, ring in outer]
    holes: list[list[FloatArray]] = [[] for _ in shells]
    for area, ring in sized:
        if area > -max(min_area, 1e-9):
            continue
        point = shapely.Point(ring[0])
        around = [index for index, shell in enumerate(shells) if shell.area > -area and shell.covers(point)]
        if around:
            holes[around[-1]].append(ring)  # the smallest that contains it
    made = []
    for (_, ring), shell, inner in zip(outer, shells, holes, strict=True):
        largest = sorted(inner, key=ring_area)[:MAX_HOLES]
        made.extend(whole_polygons(shapely.Polygon(ring, largest) if largest else shell, min_area))
    return sorted(made, key=lambda polygon: (-polygon.area, polygon.bounds))


def whole_polygons(polygon: shapely.Geometry, min_area: float) -> list[shapely.Polygon]:
    """The valid polygons of at least `min_area` in a geometry that may cross itself."""
    valid = polygon if polygon.is_valid else shapely.make_valid(polygon)
    parts = shapely.get_parts(valid).tolist()
    parts = [one for part in parts for one in shapely.get_parts(part).tolist()]
    return [part for part in parts if isinstance(part, shapely.Polygon) and part.area >= min_area]


def simplified_polygon(polygon: shapely.Polygon, tolerance: float) -> shapely.Polygon:
    """Douglas and Peucker's choice of vertices, then shifted so that the enclosed area stays what it was.

    Chords of a curve lie inside of it: without the shift round plots would shrink by up to two thirds of the
    tolerance all round.
    """
    if tolerance <= 0.0:
        return polygon
    plain = shapely.simplify(polygon, tolerance, preserve_topology=True)
    if (
        not isinstance(plain, shapely.Polygon)
        or plain.is_empty
        or len(plain.interiors) != len(polygon.interiors)
    ):
        return polygon
    wanted = [_open(ring) for ring in (polygon.exterior, *polygon.interiors)]
    found = [_open(ring) for ring in (plain.exterior, *plain.interiors)]
    kept = [_same_area(ring, abs(ring_area(full))) for ring, full in zip(found, wanted, strict=True)]
    shifted = shapely.Polygon(kept[0], kept[1:])
    return shifted if shifted.is_valid else plain


def _checked_mask(mask: npt.ArrayLike) -> FloatArray:
    array = np.asarray(mask)
    if array.ndim != 2 or array.size == 0:
        raise InputError(f"a mask of shape {array.shape[:4]}; expected rows and columns")
    if max(array.shape) > MAX_MASK_SIDE or array.size > MAX_MASK_CELLS:
        raise InputError(
            f"a mask of {array.shape[1]} x {array.shape[0]} cells is over the limit of {MAX_MASK_CELLS}"
        )
    if array.dtype == np.bool_:
        return array.astype(np.float64)
    if array.dtype == np.uint8:
        return array.astype(np.float64) / 255.0
    if array.dtype.kind != "f":
        raise InputError(f"a mask of {array.dtype} values; expected bool, uint8 or a float 0..1")
    values = array.astype(np.float64)
    if not (np.isfinite(values).all() and values.min() >= -1e-3 and values.max() <= 1.001):
        raise InputError("a mask whose probabilities are not finite numbers from 0 to 1")
    return values


def _check_placement(
    shape: tuple[int, ...],
    left_top_px: tuple[float, float],
    step_px: tuple[float, float],
    frame_size_px: tuple[int, int] | None,
) -> None:
    if not all(1e-3 <= step <= 1e3 for step in step_px):
        raise InputError(f"mask cells {step_px} px apart; expected 0.001 to 1000")
    if not all(abs(value) <= MAX_COORDINATE_PX for value in left_top_px):
        raise InputError(f"a mask that begins at {left_top_px} px")
    if frame_size_px is None:
        return
    for low, step, count, size in zip(left_top_px, step_px, shape[::-1], frame_size_px, strict=True):
        high = low + step * (count - 1)
        if low < -0.5 - step or high > size - 0.5 + step:
            raise InputError(
                f"a mask from {low:g} to {high:g} px is larger than the image of "
                f"{frame_size_px[0]} x {frame_size_px[1]} px"
            )


def _checked_ring(points: npt.ArrayLike, what: str) -> FloatArray:
    if isinstance(points, list | tuple) and len(points) > MAX_INPUT_VERTICES:
        raise InputError(f"a {what} of {len(points)} corners is over the limit of {MAX_INPUT_VERTICES}")
    try:
        ring = np.asarray(points, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"a {what} is a list of x, y pairs of numbers") from error
    if ring.ndim != 2 or ring.shape[1] != 2:
        raise InputError(f"a {what} of shape {ring.shape[:4]}; expected x, y pairs")
    if len(ring) > MAX_INPUT_VERTICES:
        raise InputError(f"a {what} of {len(ring)} corners is over the limit of {MAX_INPUT_VERTICES}")
    if not (np.isfinite(ring).all() and (np.abs(ring) <= MAX_COORDINATE_PX).all()):
        raise InputError(f"a {what} with a corner that is not finite or beyond {MAX_COORDINATE_PX:g} px")
    if len(ring) and (ring[0] == ring[-1]).all():
        ring = ring[:-1]
    if len(ring) < 3:
        raise InputError(f"a {what} of {len(ring)} corners; it takes 3")
    return ring


def _segments(values: FloatArray, level: float) -> tuple[IntArray, IntArray]:
    """Where the outline enters and leaves every cell: numbers of grid edges, each once in either array.

    Edge r, c to r, c + 1 has the number r W + c; edge r, c to r + 1, c the number H W + r W + c.
    """
    height, width = values.shape
    inside = (values > level).astype(np.uint8)
    code = inside[:-1, :-1] + 2 * inside[:-1, 1:] + 4 * inside[1:, 1:] + 8 * inside[1:, :-1]
    row, column = np.nonzero((code > 0) & (code < 15))
    kind = code[row, column]
    saddle = np.flatnonzero((kind == 5) | (kind == 10))
    if saddle.size:
        r, c = row[saddle], column[saddle]
        middle = (values[r, c] + values[r, c + 1] + values[r + 1, c] + values[r + 1, c + 1]) / 4
        kind[saddle] += np.where(middle > level, 16, 0).astype(np.uint8)
    corner = row * width + column
    side = np.stack([corner, height * width + corner + 1, corner + width, height * width + corner])
    starts, ends = [], []
    for number, ways in _CASES.items():
        chosen = np.flatnonzero(kind == number)
        for way_in, way_out in ways if chosen.size else ():
            starts.append(side[way_in, chosen])
            ends.append(side[way_out, chosen])
    if not starts:
        return np.empty(0, dtype=np.intp), np.empty(0, dtype=np.intp)
    return np.concatenate(starts), np.concatenate(ends)


def _places(values: FloatArray, level: float, nodes: IntArray) -> FloatArray:
    """Where the level is crossed on the grid edges of these numbers, shape (N, 2)."""
    height, width = values.shape
    is_down = nodes >= height * width
    corner = nodes - np.where(is_down, height * width, 0)
    flat = values.reshape(-1)
    near, far = flat[corner], flat[corner + np.where(is_down, width, 1)]
    part = np.clip((level - near) / (far - near), _NUDGE, 1.0 - _NUDGE)
    points = np.empty((len(nodes), 2))
    points[:, 0] = corner % width + np.where(is_down, 0.0, part)
    points[:, 1] = corner // width + np.where(is_down, part, 0.0)
    return points


def _simplified(
    polygon: shapely.Polygon, tolerance_px: float, frame_size_px: tuple[int, int] | None
) -> Outline:
    tolerance = tolerance_px
    made = simplified_polygon(polygon, tolerance)
    while shapely.get_num_coordinates(made) > MAX_VERTICES:
        tolerance = max(2.0 * tolerance, TOLERANCE_PX)
        if tolerance > 1e4:  # so many holes that nothing is left to simplify
            made = shapely.Polygon(made.exterior)
        made = simplified_polygon(made, tolerance)
    if frame_size_px is not None:  # what was shifted to keep the area stays in the image
        width, height = frame_size_px
        cut = shapely.clip_by_rect(made, -0.5, -0.5, width - 0.5, height - 0.5)
        made = cut if isinstance(cut, shapely.Polygon) and cut.is_valid and not cut.is_empty else made
    return Outline(
        exterior=_turned(_open(made.exterior), is_hole=False),
        holes=tuple(_turned(_open(ring), is_hole=True) for ring in made.interiors),
        tolerance_px=1.5 * tolerance,  # the shift that keeps the area comes on top
    )


def _same_area(ring: FloatArray, wanted: float) -> FloatArray:
    """The ring moved outwards (or inwards) along its normals until it encloses `wanted`."""
    for _ in range(3):
        area = ring_area(ring)
        missing = wanted - abs(area)
        along = np.roll(ring, -1, axis=0) - ring
        length = np.hypot(along[:, 0], along[:, 1])
        if abs(missing) <= 1e-9 * wanted or not (length > 0.0).all():
            return ring
        normal = np.stack([along[:, 1], -along[:, 0]], axis=1) / length[:, None] * np.sign(area)
        before = np.roll(normal, 1, axis=0)
        mitre = (normal + before) / np.maximum(1.0 + np.sum(normal * before, axis=1), 0.5)[:, None]
        ring = ring + mitre * (missing / float(length.sum()))
    return ring


def _open(ring: shapely.LinearRing) -> FloatArray:
    return np.asarray(ring.coords, dtype=np.float64)[:-1, :2]


def _turned(ring: FloatArray, *, is_hole: bool) -> FloatArray:
    return ring if (ring_area(ring) > 0.0) != is_hole else ring[::-1].copy()
