"""The plots of a sortie: looks come frame by frame, the same plot stays one, and neighbours stay two.

**Which look is which plot.** The errors of a pose move everything in a frame together, often further than
plots lie apart. So one shift for the whole frame is sought among those that lay some look on some plot, by
how well all looks of the frame then cover plots, less the price of a shift that the covariance does not
expect. Under that shift looks and plots are joined one to one. A look that covers two known plots is a mask
that has run over the track between them: it is left out. Two looks of one frame inside of one plot say that
it was two: once as many frames have seen several as one, the plot is divided.

**What a look adds.** It is registered on its plot (`edge.plots.fusion`) and votes with the inverse variance
of its boundary. Looks that follow one another within `decorrelation_s` are hardly news and count less.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import shapely

from edge.plots.area import Areas, Interval, areas_of, interval_90
from edge.plots.fusion import DistanceGrid, Evidence
from edge.plots.ground import EqualAreaPlane
from edge.plots.look import PlotLook
from skywarden.clock import NS_PER_S
from skywarden.errors import InputError
from skywarden.geometry.terrain import Surface

FloatArray = npt.NDArray[np.float64]

MAX_PLOTS = 500
MAX_LOOKS_PER_FRAME = 64
MAX_HYPOTHESES = 48
COMPLETE_SHARE = 0.95
"""Of the boundary that must have been seen before a plot counts as whole."""

_GATE = 13.8  # chi-square, two axes, 0.999
_SHIFT_PRICE = 0.05  # of overlap, per squared sigma of shift
_MIN_OVERLAP = 0.3
_SWALLOWED = 0.5
_INSIDE = 0.7
_REGISTRATION_SIGMAS = 3.0


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class PlotState:
    """What is believed of one plot.

    Attributes:
        number: counts from 1 in the order of first sight; never used again.
        shape: metres in `plane`, outer ring counter-clockwise.
        is_complete: at least 95 % of the boundary has been seen as boundary by some look.
        planimetric, on_slope: areas with the interval that holds the truth in 90 % of cases; of a plot that
            is not complete they are of the part that was seen.
        covariance_en_m2: (2, 2), of the middle.
        slope_deg, alt_hae_m: of the ground.
    """

    number: int
    label: str
    score: float
    look_count: int
    first_ns: int
    last_ns: int
    is_confirmed: bool
    is_complete: bool
    plane: EqualAreaPlane
    shape: shapely.Polygon
    planimetric: Interval
    on_slope: Interval
    covariance_en_m2: FloatArray
    slope_deg: float
    alt_hae_m: float

    @property
    def middle(self) -> tuple[float, float]:
        """Latitude and longitude of the centroid."""
        centre = self.shape.centroid
        latitude, longitude = self.plane.geodetic([centre.x, centre.y])
        return float(latitude), float(longitude)

    @property
    def rings_deg(self) -> tuple[FloatArray, ...]:
        """Latitude, longitude (N, 2) of the exterior and the holes, not closed."""
        return rings_deg(self.plane, self.shape)


@dataclass(frozen=True, kw_only=True, slots=True)
class PlotSummary:
    """What is believed of one plot without a word about the ground under it; cheap. See `PlotState`."""

    number: int
    is_confirmed: bool
    is_complete: bool
    planimetric: Interval


def rings_deg(plane: EqualAreaPlane, shape: shapely.Polygon) -> tuple[FloatArray, ...]:
    """Latitude, longitude (N, 2) of a polygon's outer ring (counter-clockwise) and holes, not closed."""
    turned = shapely.geometry.polygon.orient(shape)
    rings = (turned.exterior, *turned.interiors)
    return tuple(np.stack(plane.geodetic(np.asarray(ring.coords)[:-1]), axis=1) for ring in rings)


@dataclass(slots=True, eq=False)
class _Plot:
    number: int
    grid: DistanceGrid
    evidence: Evidence
    first_ns: int
    last_ns: int
    shape: shapely.Polygon = field(default_factory=shapely.Polygon)
    """As fused, moved to where the plot most likely is."""
    offset: FloatArray = field(default_factory=lambda: np.zeros(2))
    label_scores: dict[str, float] = field(default_factory=dict)
    look_count: int = 0
    whole_looks: int = 0
    divided_looks: int = 0
    seen_share: float = 0.0
    best_score: float = 0.0

    @property
    def label(self) -> str:
        return min(self.label_scores, key=lambda label: (-self.label_scores[label], label))


class PlotMap:
    """All plots that one sensor has seen in a sortie; a plain object, time is in the looks."""

    def __init__(self, *, confirm_looks: int = 2, decorrelation_s: float = 2.0) -> None:
        if not (1 <= confirm_looks <= 100 and 0.0 <= decorrelation_s <= 3600.0):
            raise InputError(f"confirm_looks {confirm_looks}, decorrelation_s {decorrelation_s}")
        self._confirm_looks = confirm_looks
        self._decorrelation_s = decorrelation_s
        self._plots: dict[int, _Plot] = {}
        self._next_number = 1
        self._plane: EqualAreaPlane | None = None
        self.refused_looks = 0
        """Looks that covered two plots, or more than a frame may hold."""

    def plane_at(self, latitude_deg: float, longitude_deg: float) -> EqualAreaPlane:
        """The plane that looks must be placed in; the first call decides where it lies."""
        if self._plane is None:
            self._plane = EqualAreaPlane(latitude_deg, longitude_deg)
        return self._plane

    @property
    def numbers(self) -> list[int]:
        """Of all plots, rising."""
        return sorted(self._plots)

    def update(self, looks: Sequence[PlotLook]) -> dict[tuple[int, int], int]:
        """Take all looks of one frame: the plot's number by `PlotLook.key`, for those that were taken.

        Raises `InputError` when looks are of several frames or not in this map's plane.
        """
        if not looks:
            return {}
        self._check(looks)
        ordered = sorted(looks, key=lambda look: (-look.score, look.key))
        self.refused_looks += len(ordered[MAX_LOOKS_PER_FRAME:])
        ordered = ordered[:MAX_LOOKS_PER_FRAME]
        near = self._near(ordered)
        shift, pairs = self._joined(ordered, near)
        parts = self._parts(ordered, near, shift)
        joined: dict[tuple[int, int], int] = {}
        taken: set[tuple[int, int]] = set()
        for number, inside in sorted(parts.items()):
            taken |= {look.key for look in inside}
            joined |= self._divide(self._plots[number], inside, shift)
        for look, plot in pairs:
            if look.key not in taken and plot.number not in parts:
                taken.add(look.key)
                self._fuse(plot, look, shift - plot.offset)
                plot.whole_looks += 1
                joined[look.key] = plot.number
        for look in ordered:
            if look.key in taken:
                continue
            if self._lies_on_one(look, shift, near):
                self.refused_looks += 1
            elif (begun := self._begin(look, shift)) is not None:
                joined[look.key] = begun.number
        return dict(sorted(joined.items()))

    def summary(self, number: int) -> PlotSummary:
        """What is believed of plot `number`, without its ground. Raises `InputError`."""
        plot = self._plots.get(number)
        if plot is None:
            raise InputError(f"there is no plot {number}")
        return PlotSummary(
            number=number,
            is_confirmed=plot.look_count >= self._confirm_looks,
            is_complete=plot.seen_share >= COMPLETE_SHARE,
            planimetric=interval_90(plot.shape.area, plot.evidence.area_sigmas[0]),
        )

    def state(self, number: int, surface: Surface) -> PlotState:
        """What is believed of plot `number`; `surface` is the ground under it. Raises `InputError`."""
        known = self.summary(number)
        plot = self._plots[number]
        assert self._plane is not None
        areas: Areas = areas_of(self._plane, plot.shape, surface)
        return PlotState(
            number=number,
            label=plot.label,
            score=plot.best_score,
            look_count=plot.look_count,
            first_ns=plot.first_ns,
            last_ns=plot.last_ns,
            is_confirmed=known.is_confirmed,
            is_complete=known.is_complete,
            plane=self._plane,
            shape=plot.shape,
            planimetric=known.planimetric,
            on_slope=interval_90(areas.surface_m2, plot.evidence.area_sigmas[1]),
            covariance_en_m2=plot.evidence.covariance_en_m2,
            slope_deg=areas.slope_deg,
            alt_hae_m=areas.alt_hae_m,
        )

    def _check(self, looks: Sequence[PlotLook]) -> None:
        if any(look.polygon.plane is not self._plane for look in looks):
            raise InputError("a look that was not placed in this map's plane; ask `plane_at` for it")
        if len({(look.time_ns, look.frame_number) for look in looks}) != 1:
            raise InputError("looks of several frames; hand them in frame by frame")
        if len({look.key for look in looks}) != len(looks):
            raise InputError("two looks of one part of one detection")

    def _near(self, looks: Sequence[PlotLook]) -> list[_Plot]:
        """Plots that some look could be, by distance."""
        west, south, east, north = np.array([look.polygon.shape.bounds for look in looks]).T
        reach = 4.0 * math.sqrt(max(float(np.trace(look.effects.covariance_en_m2)) for look in looks)) + 1.0
        box = shapely.box(west.min() - reach, south.min() - reach, east.max() + reach, north.max() + reach)
        return [self._plots[number] for number in self.numbers if self._plots[number].shape.intersects(box)]

    def _joined(
        self, looks: Sequence[PlotLook], near: Sequence[_Plot]
    ) -> tuple[FloatArray, list[tuple[PlotLook, _Plot]]]:
        """The frame's shift into the map, and which look is which plot."""
        if not near:
            return np.zeros(2), []
        covariance = np.mean([look.effects.covariance_en_m2 for look in looks], axis=0)
        covariance = covariance + np.mean([plot.evidence.covariance_en_m2 for plot in near], axis=0)
        information = np.linalg.inv(covariance + 1e-4 * np.eye(2))
        best, best_worth, likeness = np.zeros(2), -math.inf, np.zeros((0, 0))
        for shift in _hypotheses(looks, near, information):
            cover, alike = _cover(looks, near, shift)
            worth = float(cover.max(axis=1).sum()) - _SHIFT_PRICE * float(shift @ information @ shift)
            if worth > best_worth + 1e-9:
                best, best_worth, likeness = shift, worth, alike
        pairs: list[tuple[PlotLook, _Plot]] = []
        swallowing = self._swallowing(looks, near, best)
        rows, columns = np.nonzero(likeness >= _MIN_OVERLAP)
        order = sorted(zip(rows.tolist(), columns.tolist(), strict=True), key=lambda rc: (-likeness[rc], rc))
        used_looks, used_plots = set(swallowing), set()
        for row, column in order:
            if row not in used_looks and column not in used_plots:
                used_looks.add(row)
                used_plots.add(column)
                pairs.append((looks[row], near[column]))
        return best, pairs

    def _swallowing(self, looks: Sequence[PlotLook], near: Sequence[_Plot], shift: FloatArray) -> list[int]:
        """Looks that cover most of two plots."""
        found = []
        for row, look in enumerate(looks):
            shape = _shifted(look.polygon.shape, shift)
            covered = [plot for plot in near if _share(plot.shape, shape) > _SWALLOWED]
            if len(covered) >= 2:
                found.append(row)
        return found

    def _parts(
        self, looks: Sequence[PlotLook], near: Sequence[_Plot], shift: FloatArray
    ) -> dict[int, list[PlotLook]]:
        """Plots inside of which this frame sees two or more, and the looks, the largest first."""
        parts: dict[int, list[PlotLook]] = {}
        for plot in near:
            inside = []
            for look in looks:
                shape = _shifted(look.polygon.shape, shift)
                if _share(shape, plot.shape) > _INSIDE and _share(plot.shape, shape) < _INSIDE:
                    inside.append(look)
            if len(inside) >= 2:
                parts[plot.number] = sorted(inside, key=lambda look: (-look.polygon.shape.area, look.key))
        return parts

    def _divide(
        self, plot: _Plot, parts: Sequence[PlotLook], shift: FloatArray
    ) -> dict[tuple[int, int], int]:
        """Part a plot once as many frames have seen several as one; the largest part keeps its number."""
        plot.divided_looks += 1
        if plot.divided_looks < max(plot.whole_looks, 2):
            self.refused_looks += len(parts)
            return {}
        plot.grid, plot.evidence = DistanceGrid(parts[0].polygon.shape.area), Evidence()
        plot.look_count = plot.divided_looks = 0
        plot.whole_looks = 1
        plot.offset = np.zeros(2)
        self._fuse(plot, parts[0], shift)
        joined = {parts[0].key: plot.number}
        for look in parts[1:]:
            begun = self._begin(look, shift)
            if begun is not None:
                joined[look.key] = begun.number
        return joined

    def _lies_on_one(self, look: PlotLook, shift: FloatArray, near: Sequence[_Plot]) -> bool:
        """Whether a look without a partner overlaps a plot: no new one begins on top of another."""
        shape = _shifted(look.polygon.shape, shift)
        shares = (max(_share(shape, plot.shape), _share(plot.shape, shape)) for plot in near)
        return any(share > _MIN_OVERLAP for share in shares)

    def _begin(self, look: PlotLook, shift: FloatArray) -> _Plot | None:
        """A new plot; `None` when the look shows no ground that could be one."""
        plot = _Plot(
            number=self._next_number,
            grid=DistanceGrid(look.polygon.shape.area),
            evidence=Evidence(),
            first_ns=look.time_ns,
            last_ns=look.time_ns,
        )
        plot.whole_looks = 1
        self._fuse(plot, look, shift)
        if plot.shape.is_empty:
            self.refused_looks += 1
            return None
        self._next_number += 1
        self._plots[plot.number] = plot
        if len(self._plots) > MAX_PLOTS:
            self._forget_one()
        return plot

    def _forget_one(self) -> None:
        """Drop the plot that was seen least, of those the one that was seen longest ago."""
        worst = min(self._plots.values(), key=lambda plot: (plot.look_count, plot.last_ns, plot.number))
        del self._plots[worst.number]

    def _fuse(self, plot: _Plot, look: PlotLook, expected_m: FloatArray) -> None:
        """Register a look on its plot, let it vote, and count it."""
        radius = math.sqrt(look.polygon.shape.area / math.pi)
        scale_m = 0.5 * radius * float(np.sqrt(np.sum(look.effects.planimetric**2)))
        boundary_m = math.hypot(look.effects.boundary_m, scale_m, 0.25 * plot.grid.cell_m)
        shift = expected_m
        if plot.look_count:
            covariance = look.effects.covariance_en_m2 + plot.evidence.covariance_en_m2
            found = plot.grid.register(look, expected_m, covariance, boundary_m)
            away = found.shift_m - expected_m
            if float(np.hypot(*away)) <= _REGISTRATION_SIGMAS * math.sqrt(float(np.trace(covariance))):
                shift = found.shift_m
        age_s = (look.time_ns - plot.last_ns) / NS_PER_S
        freshness = 1.0
        if plot.look_count and self._decorrelation_s > 0.0:
            freshness = max(1.0 - math.exp(-max(age_s, 0.0) / self._decorrelation_s), 0.02)
        weight = freshness / boundary_m**2
        plot.grid.add(look, shift, weight)
        plot.evidence.add(look, shift, weight, freshness)
        plot.look_count += 1
        plot.last_ns = max(plot.last_ns, look.time_ns)
        plot.best_score = max(plot.best_score, min(1.0, max(0.0, look.score)))
        plot.label_scores[look.label] = plot.label_scores.get(look.label, 0.0) + look.score
        plot.offset = plot.evidence.offset_m
        fused = plot.grid.polygon()
        if fused is not None:
            shape, plot.seen_share = fused
            plot.shape = _shifted(shape, plot.offset)


def _hypotheses(
    looks: Sequence[PlotLook], near: Sequence[_Plot], information: FloatArray
) -> list[FloatArray]:
    """Shifts that lay a look on a plot, middle on middle or edge on edge, the expected ones first."""
    found = [np.zeros(2)]
    for look in looks:
        for plot in near:
            low, high = np.array(look.polygon.shape.bounds).reshape(2, 2)
            plot_low, plot_high = np.array(plot.shape.bounds).reshape(2, 2)
            steps = np.stack([plot_low - low, plot_high - high, (plot_low + plot_high - low - high) / 2])
            ways = range(3) if look.polygon.is_cut or plot.seen_share < COMPLETE_SHARE else (2,)
            found += [np.array([steps[a, 0], steps[b, 1]]) for a in ways for b in ways]
    priced = [(float(shift @ information @ shift), index) for index, shift in enumerate(found)]
    kept = sorted(pair for pair in priced if pair[0] <= _GATE)[:MAX_HYPOTHESES]
    return [found[index] for _, index in kept]


def _cover(
    looks: Sequence[PlotLook], near: Sequence[_Plot], shift: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """How well each look covers each plot, and how sure it is the same, (L, P) both.

    Both are intersection over union. Where one of the two is known in part only, a part that lies within the
    other is the same for sure, and covers the better the larger it is.
    """
    cover = np.zeros((len(looks), len(near)))
    alike = np.zeros((len(looks), len(near)))
    for row, look in enumerate(looks):
        shape = _shifted(look.polygon.shape, shift)
        for column, plot in enumerate(near):
            if _is_clear_of(shape, plot.shape):
                continue
            both = shape.intersection(plot.shape).area
            either = max(shape.area + plot.shape.area - both, 1e-9)
            least = max(min(shape.area, plot.shape.area), 1e-9)
            cover[row, column] = alike[row, column] = both / either
            if look.polygon.is_cut or plot.seen_share < COMPLETE_SHARE:
                cover[row, column] = both / (0.5 * (least + either))
                alike[row, column] = both / least
    return cover, alike


def _share(part: shapely.Polygon, whole: shapely.Polygon) -> float:
    """How much of `part` lies in `whole`."""
    if _is_clear_of(part, whole):
        return 0.0
    return float(part.intersection(whole).area / max(part.area, 1e-9))


def _is_clear_of(one: shapely.Polygon, other: shapely.Polygon) -> bool:
    """Whether two shapes cannot touch by their bounds alone, which is asked far faster."""
    west, south, east, north = one.bounds
    other_west, other_south, other_east, other_north = other.bounds
    return bool(east < other_west or other_east < west or north < other_south or other_north < south)


def _shifted(shape: shapely.Polygon, shift: FloatArray) -> shapely.Polygon:
    return shapely.transform(shape, lambda points: points + shift)
