"""Plots of several platforms and sorties become sites: one piece of land each, visit after visit.

A plain node like `ground.fusion.book`: fed `Plot` messages in any order and any number of times, its answer
depends on the set of them. Two plots are one site when, moved within what their positions leave open, they
cover one another. Areas of different visits are never averaged: land changes between them, and whether it did
is what a site tells.
"""

import math
from bisect import insort
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from ground.config import ContactsConfig
from ground.fusion.association import gate_of, grouped
from ground.fusion.estimate import mahalanobis
from ground.fusion.intersection import intersected
from ground.fusion.labels import labels_agree
from ground.fusion.plane import Plane, wrapped_deg
from skywarden.geometry.uncertainty import ce90_m, le90_m
from skywarden.messages import Plot, Position

LEAST_OVERLAP = 0.4
"""Of the union, after the move; two whole plots of one site that were outlined differently reach 0.5."""

LEAST_INSIDE = 0.7
"""Of the part, where one of them was seen only in part."""

_CELL_DEG = 0.02
_FLOOR_M2 = 0.25
_MAX_RADIUS_M = 2_000.0

Change = Literal["grew", "shrank", "same", "unclear"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Visit:
    """One sortie's last word on a site."""

    plot: Plot
    change: Change
    """Against the visit before: by areas whose 90 % intervals are apart; "unclear" where a part was seen."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Site:
    """A piece of land under suspicion, with all visits in order of time; `best` has the outline to show.

    `position` is where the middle of the newest whole outline lies by all visits together: intersected,
    because boresight and terrain may be the same on every visit.
    """

    site_id: str
    label: str
    visits: tuple[Visit, ...]
    best: Plot
    position: Position
    first_ns: int
    last_ns: int
    platform_ids: tuple[str, ...]


class SiteBook:
    """Sites of the plots fed so far; see the module for how. Not safe from several threads."""

    def __init__(self, config: ContactsConfig) -> None:
        self._config = config
        self._plots: dict[str, Plot] = {}
        self._in_cell: dict[tuple[int, int], list[str]] = {}
        self._cell_of: dict[str, tuple[int, int]] = {}
        self._edges: dict[str, dict[str, float]] = {}
        self._sites: list[Site] | None = None

    def add(self, plot: Plot) -> bool:
        """Take in a plot; of one id the newest counts. False when it changes nothing."""
        before = self._plots.get(plot.plot_id)
        if before is not None and _age(before) >= _age(plot):
            return False
        self._plots[plot.plot_id] = plot
        self._sites = None
        self._place(plot)
        for linked in self._edges.pop(plot.plot_id, {}):
            self._edges[linked].pop(plot.plot_id, None)
        for other_id in self._around(plot):
            other = self._plots[other_id]
            one, two = (plot, other) if plot.plot_id < other_id else (other, plot)
            cost = compared_plots(one, two, self._config)
            if cost is not None:
                self._edges.setdefault(plot.plot_id, {})[other_id] = cost
                self._edges.setdefault(other_id, {})[plot.plot_id] = cost
        return True

    def sites(self) -> list[Site]:
        """All sites, in order of id."""
        if self._sites is None:
            pairs = (
                (cost, one, two)
                for one, others in self._edges.items()
                for two, cost in others.items()
                if one < two
            )
            groups = grouped(self._plots, pairs, self._are_apart)
            self._sites = sorted((self._site(group) for group in groups), key=lambda one: one.site_id)
        return list(self._sites)

    def _are_apart(self, one: str, two: str) -> bool:
        """One camera told them apart on one sortie."""
        return _sortie(self._plots[one]) == _sortie(self._plots[two])

    def _place(self, plot: Plot) -> None:
        old = self._cell_of.get(plot.plot_id)
        if old is not None:
            self._in_cell[old].remove(plot.plot_id)
        cell = _cell(plot.position)
        self._cell_of[plot.plot_id] = cell
        insort(self._in_cell.setdefault(cell, []), plot.plot_id)

    def _around(self, plot: Plot) -> list[str]:
        row, column = _cell(plot.position)
        wrap = _columns()
        found = [
            other
            for near_row in (row - 1, row, row + 1)
            for near in range(column - 8, column + 9)
            for other in self._in_cell.get((near_row, near % wrap), ())
        ]
        return [other for other in found if other != plot.plot_id]

    def _site(self, group: Sequence[str]) -> Site:
        plots = sorted((self._plots[name] for name in group), key=_order)
        best = max(plots, key=lambda one: (one.is_complete, one.time_ns, one.plot_id))
        scores: dict[str, float] = {}
        for one in plots:
            scores[one.label] = scores.get(one.label, 0.0) + one.score
        return Site(
            site_id=f"p-{plots[0].plot_id}",
            label=min(scores, key=lambda name: (-scores[name], name)),
            visits=tuple(_visits(plots)),
            best=best,
            position=_placed(best, plots),
            first_ns=min(one.first_ns for one in plots),
            last_ns=max(one.time_ns for one in plots),
            platform_ids=tuple(sorted({one.platform_id for one in plots})),
        )


def compared_plots(one: Plot, two: Plot, config: ContactsConfig) -> float | None:
    """The cost of taking two plots for one site; `None`: they are two."""
    if _sortie(one) == _sortie(two) or not labels_agree(one.label, two.label):
        return None
    plane = Plane(one.position.latitude_deg, one.position.longitude_deg)
    offset = np.array(plane.east_north_m(two.position.latitude_deg, two.position.longitude_deg))
    if math.hypot(*offset) > _MAX_RADIUS_M:
        return None
    first, second = _outline(one, plane), _outline(two, plane)
    covariance = _covariance(one) + _covariance(two)
    are_whole = one.is_complete and two.is_complete
    as_they_are = _overlap(first, second, are_whole=are_whole)
    squared = mahalanobis(offset, covariance)
    if are_whole:
        if squared > gate_of(config):
            return None
        moved = _overlap(first, shapely.transform(second, lambda p: p - offset), are_whole=True)
        enough = LEAST_OVERLAP
    else:  # the middle of a part is not the middle of the whole: only what covers counts
        moved, enough, squared = as_they_are, LEAST_INSIDE, 0.0
    if max(moved, as_they_are) < enough:
        return None
    return squared - 4.0 * as_they_are - moved


def _overlap(one: BaseGeometry, two: BaseGeometry, *, are_whole: bool) -> float:
    """Intersection over union; over the smaller where one may be a part of the other."""
    both = one.intersection(two).area
    whole = one.area + two.area - both if are_whole else min(one.area, two.area)
    return float(both / whole) if whole > 0.0 else 0.0


def _outline(plot: Plot, plane: Plane) -> BaseGeometry:
    rings = []
    for ring in plot.rings_deg:
        east = np.array([wrapped_deg(value - plane.longitude_deg) for value in ring[:, 1]])
        north = ring[:, 0] - plane.latitude_deg
        rings.append(np.column_stack([east * plane.east_m_per_deg, north * plane.north_m_per_deg]))
    polygon = shapely.Polygon(rings[0], rings[1:])
    return polygon if polygon.is_valid else shapely.make_valid(polygon)


def _visits(plots: Iterable[Plot]) -> Iterable[Visit]:
    before: Plot | None = None
    for plot in plots:
        yield Visit(plot=plot, change=_change(before, plot))
        if plot.is_complete:
            before = plot


def _change(before: Plot | None, now: Plot) -> Change:
    if before is None or not now.is_complete or not before.is_complete:
        return "unclear"
    (_, low, high), (_, low_now, high_now) = before.area_m2, now.area_m2
    if low_now > high:
        return "grew"
    return "shrank" if high_now < low else "same"


def _placed(best: Plot, plots: Sequence[Plot]) -> Position:
    """The position of the best outline, intersected with those of all whole ones of the same extent."""
    plane = Plane(best.position.latitude_deg, best.position.longitude_deg)
    state, covariance = np.zeros(2), _covariance(best)
    for plot in plots:
        if plot is best or not plot.is_complete or not best.is_complete:
            continue
        if _change(plot, best) != "same":
            continue
        place = plane.east_north_m(plot.position.latitude_deg, plot.position.longitude_deg)
        state, covariance = intersected(state, covariance, np.array(place), _covariance(plot))
    latitude_deg, longitude_deg = plane.geodetic(float(state[0]), float(state[1]))
    uu = best.position.covariance_enu_m2[5]
    return Position(
        latitude_deg=latitude_deg,
        longitude_deg=longitude_deg,
        alt_hae_m=best.position.alt_hae_m,
        covariance_enu_m2=(
            float(covariance[0, 0]),
            float(covariance[0, 1]),
            0.0,
            float(covariance[1, 1]),
            0.0,
            uu,
        ),
        ce90_m=float(ce90_m(covariance)),
        le90_m=float(le90_m(uu)),
        surface=best.position.surface,
    )


def _covariance(plot: Plot) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    ee, en, _, nn, _, _ = plot.position.covariance_enu_m2
    en = en if en * en < ee * nn else 0.0
    return np.array([[ee + _FLOOR_M2, en], [en, nn + _FLOOR_M2]])


def _sortie(plot: Plot) -> tuple[str, str, str]:
    return plot.platform_id, plot.sortie_id, plot.sensor_id


def _age(plot: Plot) -> tuple[int, int]:
    return plot.time_ns, plot.look_count


def _order(plot: Plot) -> tuple[int, str]:
    return plot.first_ns, plot.plot_id


def _columns() -> int:
    return round(360.0 / _CELL_DEG)


def _cell(position: Position) -> tuple[int, int]:
    row = math.floor(position.latitude_deg / _CELL_DEG)
    return row, math.floor((wrapped_deg(position.longitude_deg) + 180.0) / _CELL_DEG) % _columns()
