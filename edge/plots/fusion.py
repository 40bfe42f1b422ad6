"""One plot out of many looks: signed distances to each look's boundary, averaged on a grid.

Every look votes, in the cells that its image showed, for how far inside (positive) or outside the plot a
place lies; the fused boundary is where the weighted mean is zero, so it is an average of boundaries and not a
vote of pixels, and finer than its cells (after Curless & Levoy 1996, in two dimensions). Where a look was cut
by the edge of its image it has no opinion beyond; so half a plot is completed by the other half and never
shrinks the whole. A look is shifted onto the plot before it votes; the shifts in turn say where the plot is.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import shapely

from edge.plots.effects import COMMON_SHARES, SOURCES
from edge.plots.ground import GroundRing
from edge.plots.look import PlotLook
from edge.plots.outline import contour_rings, nested_polygons, simplified_polygon
from skywarden.errors import InputError

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

CELLS_ACROSS = 64
MAX_CELLS_PER_SIDE = 256
MIN_CELL_M = 0.05
BAND_CELLS = 8
_ITERATIONS = 8
_SAMPLES = 96
_HUBER = 1.5
_ROUGHNESS_CELLS = 0.1
_NEIGHBOURS = 3
_CORRELATION_SHARE = 0.05  # of the boundary over which a mask's error stays the same, at least


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Registration:
    """The shift (2,) that takes a look onto a plot, its covariance, and the rest in metres (RMS)."""

    shift_m: FloatArray
    covariance_m2: FloatArray
    rest_m: float


class DistanceGrid:
    """Weighted means of signed distances in metres on square cells; grows as looks come.

    Coordinates are those of the looks' plane. Distances are cut at 8 cells.
    """

    def __init__(self, area_m2: float) -> None:
        if not area_m2 > 0.0:
            raise InputError(f"a plot of {area_m2} m2")
        self.cell_m = max(float(np.sqrt(area_m2)) / CELLS_ACROSS, MIN_CELL_M)
        self._low = np.zeros(2, dtype=np.intp)  # column and row of the first cell, in cells of the plane
        self._sum = np.zeros((0, 0))
        self._weight = np.zeros((0, 0))

    @property
    def band_m(self) -> float:
        """Where distances are cut."""
        return BAND_CELLS * self.cell_m

    def add(self, look: PlotLook, shift_m: FloatArray, weight: float) -> None:
        """Let a look vote, shifted."""
        shape = shapely.transform(look.polygon.shape, lambda points: points + shift_m)
        self._make_room(shape.bounds)
        distance = _signed_distances(look, shift_m, self._low, self._sum.shape, self.cell_m)
        is_heard = np.ones(distance.shape, dtype=np.bool_)
        if look.polygon.is_cut:
            flat = self._centres().reshape(-1, 2)
            is_heard = look.view.sees(flat - shift_m, inside_px=1.0).reshape(distance.shape)
        self._sum += np.where(is_heard, weight * distance, 0.0)
        self._weight += np.where(is_heard, weight, 0.0)

    def mean(self) -> FloatArray:
        """Mean distances, shape (rows, columns); what nobody saw is outside."""
        with np.errstate(invalid="ignore", divide="ignore"):
            mean: FloatArray = self._sum / self._weight
        return np.where(self._weight > 0.0, mean, -self.band_m)

    def polygon(self) -> tuple[shapely.Polygon, float] | None:
        """The fused plot, and the share of its boundary that some look has seen as boundary; `None` when
        nothing is inside."""
        rings = contour_rings(np.pad(self.mean(), 1, constant_values=-self.band_m), 0.0)
        found = nested_polygons(rings, 4.0)
        if not found:
            return None
        seen_share = self._seen_share(np.asarray(found[0].exterior.coords) - 1.0)
        simple = simplified_polygon(found[0], 0.15)
        corner = (self._low - 1.0 + 0.5) * self.cell_m
        return shapely.transform(simple, lambda points: points * self.cell_m + corner), seen_share

    def register(
        self, look: PlotLook, expected_m: FloatArray, covariance_m2: FloatArray, sigma_m: float
    ) -> Registration:
        """The shift that lays a look's boundary on the fused one.

        `expected_m` with its covariance is what is believed before; `sigma_m` is the error of a boundary
        point. Least squares on distances to the fused boundary, outliers weigh less (Huber).
        """
        points = _boundary_samples(look)
        information = np.linalg.inv(covariance_m2 + 1e-6 * np.eye(2))
        shift = np.asarray(expected_m, dtype=np.float64).copy()
        independent = min(1.0, 1.0 / (_CORRELATION_SHARE * max(len(points), 1)))
        mean = self.mean()
        covariance: FloatArray = covariance_m2
        rest = float("nan")
        for _ in range(_ITERATIONS):
            distance, slope, is_near = self._sample(mean, points + shift)
            if is_near.sum() < 4:
                break
            error, slope = distance[is_near], slope[is_near]
            far = np.maximum(np.abs(error) / (_HUBER * sigma_m), 1.0)
            weight = independent / (far * sigma_m**2)
            normal = slope.T @ (slope * weight[:, None]) + information
            pull = slope.T @ (weight * error) + information @ (shift - expected_m)
            covariance = np.asarray(np.linalg.inv(normal), dtype=np.float64)
            step = covariance @ pull
            shift = shift - step
            rest = float(np.sqrt(np.average(error**2, weights=weight)))
            if float(np.hypot(*step)) < 1e-3 * self.cell_m:
                break
        return Registration(shift_m=shift, covariance_m2=covariance, rest_m=rest)

    def _make_room(self, bounds: tuple[float, float, float, float]) -> None:
        margin = self.band_m + 2 * self.cell_m
        while True:
            low = np.floor((np.array(bounds[:2]) - margin) / self.cell_m).astype(np.intp)
            high = np.ceil((np.array(bounds[2:]) + margin) / self.cell_m).astype(np.intp)
            if self._sum.size:
                low = np.minimum(low, self._low)
                high = np.maximum(high, self._low + np.array(self._sum.shape[::-1]))
            if int((high - low).max()) <= MAX_CELLS_PER_SIDE:
                break
            self._coarsen()
        columns, rows = (high - low).tolist()
        if (rows, columns) == self._sum.shape:
            return
        at_column, at_row = (self._low - low).tolist() if self._sum.size else (0, 0)
        old_rows, old_columns = self._sum.shape
        for name in ("_sum", "_weight"):
            grown = np.zeros((rows, columns))
            grown[at_row : at_row + old_rows, at_column : at_column + old_columns] = getattr(self, name)
            setattr(self, name, grown)
        self._low = low

    def _coarsen(self) -> None:
        """Cells twice as wide: four become one."""
        self.cell_m *= 2.0
        if not self._sum.size:
            return
        before = self._low % 2
        after = (before + np.array(self._sum.shape[::-1])) % 2
        pad = ((int(before[1]), int(after[1])), (int(before[0]), int(after[0])))
        for name in ("_sum", "_weight"):
            even = np.pad(getattr(self, name), pad)
            rows, columns = even.shape
            setattr(self, name, even.reshape(rows // 2, 2, columns // 2, 2).mean(axis=(1, 3)))
        self._low = (self._low - before) // 2

    def _centres(self) -> FloatArray:
        rows, columns = self._sum.shape
        x = (self._low[0] + np.arange(columns) + 0.5) * self.cell_m
        y = (self._low[1] + np.arange(rows) + 0.5) * self.cell_m
        return np.stack(np.meshgrid(x, y), axis=-1)

    def _sample(self, mean: FloatArray, points: FloatArray) -> tuple[FloatArray, FloatArray, BoolArray]:
        """Bilinear mean distance, its gradient, and where both are known and not cut."""
        rows, columns = mean.shape
        place = points / self.cell_m - self._low - 0.5
        first = np.clip(np.floor(place).astype(np.intp), 0, np.array([columns - 2, rows - 2]))
        part = place - first
        x, y = first[:, 0], first[:, 1]
        a, b, c, d = mean[y, x], mean[y, x + 1], mean[y + 1, x], mean[y + 1, x + 1]
        u, v = part[:, 0], part[:, 1]
        distance = (a * (1 - u) + b * u) * (1 - v) + (c * (1 - u) + d * u) * v
        slope = np.stack([(b - a) * (1 - v) + (d - c) * v, (c - a) * (1 - u) + (d - b) * u], axis=1)
        weight = self._weight
        least = np.minimum.reduce([weight[y, x], weight[y, x + 1], weight[y + 1, x], weight[y + 1, x + 1]])
        is_near = ((part >= 0.0) & (part <= 1.0)).all(axis=1) & (least > 0.0)
        is_near &= np.abs(distance) < 0.95 * self.band_m
        return distance, slope / self.cell_m, is_near

    def _seen_share(self, ring_cells: FloatArray) -> float:
        """How much of a ring (in cells of this grid) has seen cells on both sides."""
        low = np.clip(np.floor(ring_cells).astype(np.intp), 0, np.array(self._sum.shape[::-1]) - 2)
        x, y = low[:, 0], low[:, 1]
        weight = self._weight
        least = np.minimum.reduce([weight[y, x], weight[y, x + 1], weight[y + 1, x], weight[y + 1, x + 1]])
        length = np.hypot(*np.diff(ring_cells, axis=0).T)
        is_seen = (least[:-1] > 0.0) & (least[1:] > 0.0)
        return float(np.sum(length * is_seen) / max(float(length.sum()), 1e-9))


class Evidence:
    """What all looks together say about where a plot is and how large an error its area has.

    Errors that looks share do not average out: sums of each source's effect are kept, and only the part of a
    source that changes from look to look counts as independent.
    """

    def __init__(self) -> None:
        count = len(SOURCES)
        self._weight = 0.0
        self._effect = np.zeros((2, count))
        self._independent = np.zeros(2)
        self._information = np.zeros((2, 2))
        self._pull = np.zeros(2)
        self._moved = np.zeros((count, 2))
        self._loose = np.zeros((2, 2))

    def add(self, look: PlotLook, shift_m: FloatArray, weight: float, freshness: float) -> None:
        """Count a look whose boundary got `weight` and of which `freshness` (0 to 1) is news."""
        effects, own = look.effects, 1.0 - COMMON_SHARES
        relative = np.stack([effects.planimetric, effects.surface])
        self._weight += weight
        self._effect += weight * relative
        self._independent += weight**2 / freshness * (relative**2 @ own + effects.noise**2)
        information = np.linalg.inv(effects.covariance_en_m2 + 1e-6 * np.eye(2)) * freshness
        self._information += information
        self._pull += information @ -shift_m
        self._moved += effects.shift_en_m @ information
        loose = (effects.shift_en_m * own[:, None]).T @ effects.shift_en_m
        self._loose += information @ loose @ information / freshness

    @property
    def offset_m(self) -> FloatArray:
        """From the fused shape to where it most likely is, shape (2,)."""
        offset: FloatArray = np.asarray(np.linalg.solve(self._information, self._pull), np.float64)
        return offset

    @property
    def covariance_en_m2(self) -> FloatArray:
        """Of the plot's middle, shape (2, 2)."""
        inverse = np.linalg.inv(self._information)
        shared = self._moved * np.sqrt(COMMON_SHARES)[:, None]
        covariance: FloatArray = inverse @ (shared.T @ shared + self._loose) @ inverse
        return covariance

    @property
    def area_sigmas(self) -> tuple[float, float]:
        """Relative one-sigma errors of the planimetric and the slope area."""
        effect = self._effect / self._weight
        variance = effect**2 @ COMMON_SHARES + self._independent / self._weight**2
        planimetric, on_slope = np.sqrt(variance).tolist()
        return planimetric, on_slope


def _boundary_samples(look: PlotLook) -> FloatArray:
    """Points evenly along a look's real boundary, at most about 96."""
    parts = []
    length = sum(float(np.hypot(*_along(ring.east_north_m).T).sum()) for ring in look.polygon.rings)
    step = max(length / _SAMPLES, 1e-6)
    for ring in look.polygon.rings:
        along = _along(ring.east_north_m)
        pieces = np.maximum(np.round(np.hypot(along[:, 0], along[:, 1]) / step), 1).astype(np.intp)
        pieces[ring.is_cut] = 0
        source = np.repeat(np.arange(len(along)), pieces)
        first = np.repeat(np.cumsum(pieces) - pieces, pieces)
        part = (np.arange(len(source)) - first + 0.5) / pieces[source]
        parts.append(ring.east_north_m[source] + along[source] * part[:, None])
    return np.concatenate(parts)


def _along(ring: FloatArray) -> FloatArray:
    forward: FloatArray = np.roll(ring, -1, axis=0) - ring
    return forward


def _signed_distances(
    look: PlotLook, shift_m: FloatArray, low: npt.NDArray[np.intp], size: tuple[int, ...], cell_m: float
) -> FloatArray:
    """Metres inside of a look's real boundary for every cell, cut at the band; exact within the band."""
    rows, columns = size
    band = BAND_CELLS * cell_m
    cells = [(ring.east_north_m + shift_m) / cell_m - low - 0.5 for ring in look.polygon.rings]
    canvas = np.zeros((rows, columns), dtype=np.uint8)
    # Sixteenths of a cell: OpenCV wants whole numbers. Only the sign far from the boundary comes from here.
    cv2.fillPoly(canvas, [np.round(ring * 16).astype(np.int32) for ring in cells], 1, shift=4)
    inside = cv2.distanceTransform(canvas, cv2.DIST_L2, 5)
    outside = cv2.distanceTransform(1 - canvas, cv2.DIST_L2, 5)
    rough = np.where(canvas > 0, inside, -outside).astype(np.float64)
    distance = np.where(rough > 0.0, band, -band)
    y, x = np.nonzero(np.abs(rough) <= BAND_CELLS + 2.0)
    points = np.column_stack([x, y]).astype(np.float64)
    shape = shapely.Polygon(cells[0], cells[1:])
    shapely.prepare(shape)
    sign = np.where(shapely.contains_xy(shape, points[:, 0], points[:, 1]), 1.0, -1.0)
    lines = [
        line for ring, source in zip(cells, look.polygon.rings, strict=True) for line in _runs(ring, source)
    ]
    near = _distances(points, lines, size) * cell_m
    distance[y, x] = sign * np.minimum(near, band)
    return distance


def _runs(ring: FloatArray, source: GroundRing) -> list[FloatArray]:
    """The lines (N, 2) of a ring's real boundary, without what does not matter on cells."""
    cuts = np.flatnonzero(source.is_cut)
    if not cuts.size:
        lines = [np.concatenate([ring, ring[:1]])]
    else:
        turned = np.roll(ring, -(int(cuts[0]) + 1), axis=0)
        ends = np.append((cuts[1:] - cuts[0] - 1), len(ring) - 1)
        lines, first = [], 0
        for last in ends.tolist():
            lines.append(turned[first : last + 1])
            first = last + 1
    return [
        np.asarray(shapely.simplify(shapely.LineString(line), _ROUGHNESS_CELLS).coords)
        for line in lines
        if len(line) >= 2
    ]


def _distances(points: FloatArray, lines: list[FloatArray], size: tuple[int, ...]) -> FloatArray:
    """From cells (M, 2) of a grid of `size` to the nearest of lines; infinite without any.

    The nearest cell that a line runs through names the segment, and the distance is exact to it and to its
    neighbours: right wherever only one stretch of the boundary is near.
    """
    if not lines:
        return np.full(len(points), np.inf)
    start, end = np.concatenate([line[:-1] for line in lines]), np.concatenate([line[1:] for line in lines])
    along = end - start
    pieces = np.maximum(np.ceil(2.0 * np.hypot(along[:, 0], along[:, 1])), 1).astype(np.intp)
    source = np.repeat(np.arange(len(along)), pieces)
    part = (np.arange(len(source)) - np.repeat(np.cumsum(pieces) - pieces, pieces) + 0.5) / pieces[source]
    drawn = np.round(start[source] + along[source] * part[:, None]).astype(np.intp)
    drawn = np.clip(drawn, 0, np.array(size[::-1]) - 1)
    canvas = np.ones(size, dtype=np.uint8)
    canvas[drawn[:, 1], drawn[:, 0]] = 0
    _, labels = cv2.distanceTransformWithLabels(canvas, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    segment = np.zeros(int(labels.max()) + 1, dtype=np.intp)
    segment[labels[drawn[:, 1], drawn[:, 0]]] = source
    columns, rows = points.astype(np.intp).T
    nearest, best = segment[labels[rows, columns]], np.full(len(points), np.inf)
    (x, y), (start_x, start_y), (along_x, along_y) = points.T, start.T.copy(), along.T.copy()
    per_square = 1.0 / np.maximum(along_x * along_x + along_y * along_y, 1e-12)
    for beside in range(-_NEIGHBOURS, _NEIGHBOURS + 1):  # one at a time: small arrays stay in the cache
        one = np.clip(nearest + beside, 0, len(along) - 1)
        line_x, line_y = along_x[one], along_y[one]
        away_x, away_y = x - start_x[one], y - start_y[one]
        share = np.clip((away_x * line_x + away_y * line_y) * per_square[one], 0.0, 1.0)
        away_x -= share * line_x
        away_y -= share * line_y
        np.minimum(best, away_x * away_x + away_y * away_y, out=best)
    distance: FloatArray = np.sqrt(best)
    return distance
