"""The map of a report as SVG: graticule, footprints, plots, platforms' ways, contacts with their 90 %
ellipses.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ground.past.coverage import CoverageGrid
from ground.report.facts import ContactFacts, LatLon, ReportFacts
from ground.report.markup import Markup, joined, tag
from ground.report.words import Words
from skywarden.geometry.uncertainty import ellipse_90

WIDTH, HEIGHT = 1_000, 600
_M_PER_DEG = 111_320.0
_LEAST_M = 400.0
_MARGIN = 0.09
_STEPS_DEG = tuple(
    part / 3_600.0
    for part in (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 18_000, 36_000)
)
PLATFORM_COLOURS = ("#0b6e8a", "#b3541e", "#5b3f8c", "#2c7a4b", "#8a1c4a", "#5f6a12")
_CELL_PX = 4.0
_BADGE = 9.0
_AROUND = tuple((math.cos(turn), math.sin(turn)) for turn in (-0.8, -2.3, 0.8, 2.3, -1.6, 1.6, 0.0, 3.14))


@dataclass(frozen=True, slots=True)
class Projection:
    """Level earth round a middle: metres to pixels, north up. Good for spans of a few hundred kilometres."""

    latitude_deg: float
    longitude_deg: float
    px_per_m: float

    @classmethod
    def over(cls, places: Sequence[LatLon]) -> "Projection":
        """The one that shows all of these."""
        reference = places[0][1]
        longitudes = [_turn(lon - reference) + reference for _, lon in places]
        latitudes = [lat for lat, _ in places]
        middle = ((min(latitudes) + max(latitudes)) / 2, (min(longitudes) + max(longitudes)) / 2)
        scale = math.cos(math.radians(middle[0]))
        wide_m = max(_LEAST_M, (max(longitudes) - min(longitudes)) * _M_PER_DEG * scale)
        high_m = max(_LEAST_M, (max(latitudes) - min(latitudes)) * _M_PER_DEG)
        room = 1.0 - 2.0 * _MARGIN
        return cls(middle[0], middle[1], min(WIDTH * room / wide_m, HEIGHT * room / high_m))

    def px(self, place: LatLon) -> tuple[float, float]:
        """Right and down in pixels."""
        east_m = _turn(place[1] - self.longitude_deg) * _M_PER_DEG * math.cos(math.radians(self.latitude_deg))
        north_m = (place[0] - self.latitude_deg) * _M_PER_DEG
        return WIDTH / 2 + east_m * self.px_per_m, HEIGHT / 2 - north_m * self.px_per_m

    @property
    def edges(self) -> tuple[float, float, float, float]:
        """West, south, east, north of the drawing in degrees (not turned into -180 to 180)."""
        high = HEIGHT / 2 / self.px_per_m / _M_PER_DEG
        wide = WIDTH / 2 / self.px_per_m / _M_PER_DEG / math.cos(math.radians(self.latitude_deg))
        return (
            self.longitude_deg - wide,
            self.latitude_deg - high,
            self.longitude_deg + wide,
            self.latitude_deg + high,
        )


def draw_map(facts: ReportFacts, words: Words) -> Markup | None:
    """The drawing; `None` when nothing has a place."""
    places = list(_places(facts)) or [place for one in facts.footprints for place in one.ring]
    if not places:
        return None
    view = Projection.over(places)
    return tag(
        "svg",
        tag("title", words("map")),
        tag("rect", width=WIDTH, height=HEIGHT, class_="sea"),
        _footprints(facts, view),
        _graticule(view),
        *(_plot(one.plot.rings_deg, one.review.state, view) for one in facts.plots),
        *_ways(facts, view),
        _contacts(facts.contacts, view),
        _scale_bar(view),
        _north(words),
        tag("rect", width=WIDTH, height=HEIGHT, class_="frame"),
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
        class_="map",
    )


def _places(facts: ReportFacts) -> Iterable[LatLon]:
    for one in facts.contacts:
        place = one.contact.position
        if place is not None:
            reach = place.ce90_m / _M_PER_DEG
            wide = reach / max(0.05, math.cos(math.radians(place.latitude_deg)))
            yield place.latitude_deg - reach, place.longitude_deg - wide
            yield place.latitude_deg + reach, place.longitude_deg + wide
    for plot in facts.plots:
        yield from ((float(lat), float(lon)) for lat, lon in plot.plot.rings_deg[0])
    for platform in facts.platforms:
        for span in platform.spans:
            yield from ((lat, lon) for _, lat, lon in span.path)


def _footprints(facts: ReportFacts, view: Projection) -> Markup:
    """The ground that was in view, in cells of the drawing: each footprint counts, however many there are."""
    west, south, east, north = view.edges
    cell_m = _CELL_PX / view.px_per_m
    grid = CoverageGrid((_turn(west), max(-90.0, south), _turn(east), min(90.0, north)), cell_m)
    grid.add(facts.footprints)
    seen = grid.seen()
    path = ""
    for row, first, last in _runs(zip(seen.row.tolist(), seen.column.tolist(), strict=True)):
        top = seen.south + (row + 1) * seen.step_lat_deg
        left, high = view.px((top, seen.west + first * seen.step_lon_deg))
        right, low = view.px((top - seen.step_lat_deg, seen.west + (last + 1) * seen.step_lon_deg))
        path += f"M{left:.1f},{high:.1f}H{right:.1f}V{low:.1f}H{left:.1f}Z"
    return tag("path", d=path, class_="footprints")


def _runs(cells: Iterable[tuple[int, int]]) -> Iterable[tuple[int, int, int]]:
    """Cells in order of rows as (row, first column, last column) of those that touch."""
    run: tuple[int, int, int] | None = None
    for row, column in cells:
        if run is not None and run[0] == row and run[2] == column - 1:
            run = (row, run[1], column)
            continue
        if run is not None:
            yield run
        run = (row, column, column)
    if run is not None:
        yield run


def _graticule(view: Projection) -> Markup:
    west, south, east, north = view.edges
    step = next((one for one in _STEPS_DEG if (north - south) / one <= 6.0), _STEPS_DEG[-1])
    across = next((one for one in _STEPS_DEG if (east - west) / one <= 7.0), _STEPS_DEG[-1])
    parts: list[Markup] = []
    for number in range(math.ceil(south / step), math.floor(north / step) + 1):
        _, y = view.px((number * step, view.longitude_deg))
        parts.append(tag("line", x1=0, y1=y, x2=WIDTH, y2=y))
        if 30 < y < HEIGHT - 8:
            parts.append(tag("text", angle_text(number * step, "NS", step), x=6, y=y - 4))
    for number in range(math.ceil(west / across), math.floor(east / across) + 1):
        x, _ = view.px((view.latitude_deg, number * across))
        parts.append(tag("line", x1=x, y1=0, x2=x, y2=HEIGHT))
        if 60 < x < WIDTH - 90:
            parts.append(tag("text", angle_text(_turn(number * across), "EW", across), x=x + 4, y=14))
    return tag("g", *parts, class_="graticule")


def _plot(rings: Sequence[Iterable[Iterable[float]]], state: str, view: Projection) -> Markup:
    path = ""
    for ring in rings:
        corners = [view.px((float(lat), float(lon))) for lat, lon in ring]
        path += "M" + "L".join(f"{x:.1f},{y:.1f}" for x, y in corners) + "Z"
    return tag("path", d=path, class_=f"plot {state}", fill_rule="evenodd")


def _ways(facts: ReportFacts, view: Projection) -> Iterable[Markup]:
    for number, platform in enumerate(facts.platforms):
        colour = PLATFORM_COLOURS[number % len(PLATFORM_COLOURS)]
        last: tuple[str, LatLon] | None = None
        for span in platform.spans:
            places = [(lat, lon) for _, lat, lon in span.path]
            if not places:
                continue
            if last is not None and last[0] == span.sortie_id:
                between = _points((last[1], places[0]), view)
                yield tag("polyline", points=between, stroke=colour, class_="way between")
            yield tag("polyline", points=_points(places, view), stroke=colour, class_="way")
            last = span.sortie_id, places[-1]
        if last is not None:
            x, y = view.px(last[1])
            yield tag(
                "g",
                tag("circle", cx=x, cy=y, r=4.5, fill=colour),
                tag("text", platform.platform_id, x=x + 8, y=y + 4, fill=colour),
                class_="platform",
            )


def _contacts(contacts: Sequence[ContactFacts], view: Projection) -> Markup:
    parts, badges = [], _Badges()
    for number, one in enumerate(contacts, start=1):
        place = one.contact.position
        if place is None:
            continue
        x, y = view.px((place.latitude_deg, place.longitude_deg))
        ee, en, _, nn, _, _ = place.covariance_enu_m2
        major, minor, azimuth = (float(axis) for axis in ellipse_90([[ee, en], [en, nn]]))
        state = one.review.state
        parts.append(
            tag(
                "ellipse",
                cx=x,
                cy=y,
                rx=max(2.0, minor * view.px_per_m),
                ry=max(2.0, major * view.px_per_m),
                transform=f"rotate({azimuth:.1f} {x:.1f} {y:.1f})",
                class_=f"ellipse {state}",
            )
        )
        parts.append(tag("circle", cx=x, cy=y, r=2.2, class_=f"spot {state}"))
        arrow = _arrow(one, x, y)
        parts += [arrow] if arrow is not None else []
        spot = badges.place(x, y)
        if spot is not None:
            parts.append(tag("line", x1=x, y1=y, x2=spot[0], y2=spot[1], class_="leader"))
            parts.append(_badge(number, spot, state))
    return tag("g", *parts)


def _badge(number: int, spot: tuple[float, float], state: str) -> Markup:
    return tag(
        "g",
        tag("circle", cx=spot[0], cy=spot[1], r=_BADGE, class_=f"badge {state}"),
        tag("text", number, x=spot[0], y=spot[1] + 3.6, class_=f"badge-text {state}"),
    )


def _arrow(one: ContactFacts, x: float, y: float) -> Markup | None:
    course, speed = one.contact.course_deg, one.contact.speed_mps
    if course is None or speed is None:
        return None
    length = min(34.0, 12.0 + 2.0 * speed)
    angle = math.radians(course)
    return tag(
        "line",
        x1=x,
        y1=y,
        x2=x + length * math.sin(angle),
        y2=y - length * math.cos(angle),
        class_="arrow",
        marker_end="url(#tip)",
    )


class _Badges:
    """Numbers beside their spots, apart from one another; where there is no room, none."""

    def __init__(self) -> None:
        self._taken: list[tuple[float, float]] = []

    def place(self, x: float, y: float) -> tuple[float, float] | None:
        for reach in (17.0, 26.0, 38.0, 54.0):
            for right, down in _AROUND:
                spot = (x + reach * right, y + reach * down)
                is_inside = _BADGE < spot[0] < WIDTH - _BADGE and _BADGE < spot[1] < HEIGHT - _BADGE
                if is_inside and all(math.dist(spot, other) > 2.2 * _BADGE for other in self._taken):
                    self._taken.append(spot)
                    return spot
        return None


def _scale_bar(view: Projection) -> Markup:
    wanted_m = 180.0 / view.px_per_m
    power = 10.0 ** math.floor(math.log10(wanted_m))
    length_m = next(power * part for part in (5.0, 2.0, 1.0) if power * part <= wanted_m)
    text = f"{length_m / 1000:g} km" if length_m >= 1000.0 else f"{length_m:g} m"
    right, y = WIDTH - 24.0, HEIGHT - 26.0
    left = right - length_m * view.px_per_m
    return tag(
        "g",
        tag("rect", x=left - 10, y=y - 20, width=right - left + 20, height=34, rx=4, class_="plate"),
        tag("path", d=f"M{left:.1f},{y - 5:.1f}V{y:.1f}H{right:.1f}V{y - 5:.1f}", class_="bar"),
        tag("text", text, x=(left + right) / 2, y=y - 7, class_="bar-text"),
    )


def _north(words: Words) -> Markup:
    x, y = WIDTH - 34, 34
    return joined(
        tag("path", d=f"M{x},{y - 16}L{x + 7},{y + 8}L{x},{y + 3}L{x - 7},{y + 8}Z", class_="north"),
        tag("text", words("north"), x=x, y=y + 22, class_="north-text"),
    )


def angle_text(degrees: float, sides: str, step: float) -> str:
    """A line of the graticule, as finely as its step asks."""
    side = sides[0] if degrees >= 0.0 else sides[1]
    seconds = round(abs(degrees) * 3_600.0)
    whole, rest = divmod(seconds, 3_600)
    text = f"{whole}°"
    if step < 1.0:
        text += f"{rest // 60:02d}′"
    if step < 1.0 / 60.0:
        text += f"{rest % 60:02d}″"
    return f"{text}{side}"


def _points(places: Iterable[LatLon], view: Projection) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in (view.px(one) for one in places))


def _turn(degrees: float) -> float:
    return (degrees + 180.0) % 360.0 - 180.0
