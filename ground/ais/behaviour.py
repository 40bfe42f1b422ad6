"""What stands out in how vessels move and report, each with its evidence. A flag is a fact, not an
accusation.

Every rule is a function of histories and an instant, and returns flags with the numbers that made them.
Ordinary reasons (fishing, waiting for a berth, a broken set) are as good as any other; the text says only
what was seen.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

import shapely

from ground.ais.book import Track, Vessel
from ground.ais.hearing import HearingModel
from ground.ais.identity import FASTEST_MPS, type_name
from ground.ais.motion import METRES_PER_DEG, distance_m, expected_interval_s
from ground.ais.sun import NIGHT_DEG, sun_elevation_deg
from skywarden.ais.reports import PositionReport
from skywarden.errors import InputError

Kind = Literal["loitering", "rendezvous", "too_fast", "gap", "shoreward_at_night", "identity"]

_NS = 1_000_000_000
_WINDOW_NS = 3 * 3600 * _NS
_MOORED = frozenset({1, 5, 6})
_LOITER_S, _LOITER_M = 3_600.0, 2_500.0
_LOITER_LEAST_MPS, _LOITER_MOST_MPS = 0.3, 2.0
_MEET_M, _MEET_S, _MEET_MPS = 300.0, 1_200.0, 1.5
_GAP_S, _GAP_INTERVALS, _GAP_CHANCE = 900.0, 20.0, 0.95
_ECHO_NS = 180 * _NS
"""The minutes round a vessel's own last report prove nothing about the receiver afterwards."""
_SHORE_M, _SHORE_S, _SHORE_MPS = 30_000.0, 7_200.0, 2.5
_MAX_SHORE_BYTES = 64_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Flag:
    """One thing that stands out: from when until when (UTC ns), in a sentence, with its numbers."""

    kind: Kind
    mmsi: str
    since_ns: int
    until_ns: int
    text: str
    values: Mapping[str, float] = field(default_factory=dict)
    other_mmsi: str | None = None


def flags_of(
    vessel: Vessel, now_ns: int, hearing: HearingModel | None = None, shore: "Shore | None" = None
) -> list[Flag]:
    """What stands out about one vessel by itself."""
    found: list[Flag] = []
    for track in vessel.tracks:
        reports = [one for one in track.all_reports() if now_ns - one.time_ns <= _WINDOW_NS]
        if not reports or vessel.kind not in ("A", "B", "long_range"):
            continue
        found += loitering(vessel.mmsi, reports)
        found += too_fast(vessel, reports)
        if hearing is not None:
            found += gaps(vessel.mmsi, track, reports, now_ns, hearing)
        if shore is not None:
            found += shoreward(vessel.mmsi, reports[-1], shore)
    for doubt in vessel.doubts(now_ns):
        if doubt.kind in ("clone", "jump", "frozen", "number", "renamed"):
            found.append(
                Flag(
                    kind="identity",
                    mmsi=vessel.mmsi,
                    since_ns=vessel.first_ns,
                    until_ns=vessel.last_ns,
                    text=doubt.text,
                    values={"weight": doubt.weight},
                )
            )
    return found


def loitering(mmsi: str, reports: Sequence[PositionReport]) -> list[Flag]:
    """An hour or more within 2.5 km, under way and slow, and not moored by its own word."""
    newest = reports[-1]
    stay: list[PositionReport] = []
    for report in reversed(reports):
        away = _away(newest, report)
        if away > _LOITER_M or report.status in _MOORED:
            break
        stay.append(report)
    if len(stay) < 4:
        return []
    seconds = (newest.time_ns - stay[-1].time_ns) / 1e9
    speeds = [one.sog_mps for one in stay if one.sog_mps is not None]
    if seconds < _LOITER_S or not speeds:
        return []
    mean = sum(speeds) / len(speeds)
    if not _LOITER_LEAST_MPS <= mean <= _LOITER_MOST_MPS:
        return []
    radius = max(_away(newest, one) for one in stay)
    minutes = seconds / 60.0
    text = f"slow and under way within {radius:.0f} m for {minutes:.0f} minutes, {mean:.1f} m/s on average"
    return [
        Flag(
            kind="loitering",
            mmsi=mmsi,
            since_ns=stay[-1].time_ns,
            until_ns=newest.time_ns,
            text=text,
            values={"radius_m": radius, "seconds": seconds, "speed_mps": mean},
        )
    ]


def too_fast(vessel: Vessel, reports: Sequence[PositionReport]) -> list[Flag]:
    """Three reports in a row faster than hardly any vessel of its type goes."""
    name = type_name(vessel.ship_type)
    limit = FASTEST_MPS.get(name or "")
    if limit is None:
        return []
    found: list[PositionReport] = []
    for report in reversed(reports):
        if report.sog_mps is None or report.sog_mps <= limit:
            break
        found.append(report)
    if len(found) < 3:
        return []
    speed = sorted(one.sog_mps or 0.0 for one in found)[len(found) // 2]
    text = f"says it is {name} and goes {speed:.1f} m/s; hardly any such vessel passes {limit:.1f} m/s"
    return [
        Flag(
            kind="too_fast",
            mmsi=vessel.mmsi,
            since_ns=found[-1].time_ns,
            until_ns=found[0].time_ns,
            text=text,
            values={"speed_mps": speed, "limit_mps": limit},
        )
    ]


def gaps(
    mmsi: str, track: Track, reports: Sequence[PositionReport], now_ns: int, hearing: HearingModel
) -> list[Flag]:
    """A silence that our receiver cannot explain: it would have heard the vessel with 95 % where it fell
    silent, and where it came back, when it did."""
    found = []
    ends: list[PositionReport | None] = [*reports[1:], None]
    for before, after in zip(reports, ends, strict=True):
        end_ns = after.time_ns if after is not None else now_ns
        quiet_s = (end_ns - before.time_ns) / 1e9
        interval_s = expected_interval_s(before.kind, before.sog_mps, before.status)
        if quiet_s < max(_GAP_S, _GAP_INTERVALS * interval_s):
            continue
        listened_s = hearing.listened_s(before.time_ns + _ECHO_NS, end_ns)
        if listened_s < 0.5 * quiet_s:
            continue
        places = [before] if after is None else [before, after]
        chance = min(
            hearing.audibility(
                one.latitude_deg,
                one.longitude_deg,
                one.time_ns,
                chances=max(0.0, listened_s - 3.0 * interval_s) / interval_s,
                is_strong=before.kind == "A",
                own=track.per_report(),
            ).chance
            for one in places
        )
        if chance < _GAP_CHANCE:
            continue
        ending = "and goes on" if after is None else "and ended"
        text = (
            f"no report for {quiet_s / 60:.0f} minutes {ending}; our receiver would have heard one "
            f"with {chance:.0%}"
        )
        values = {"quiet_s": quiet_s, "chance": chance}
        if after is not None:
            values["distance_m"] = _away(before, after)
        found.append(
            Flag(kind="gap", mmsi=mmsi, since_ns=before.time_ns, until_ns=end_ns, text=text, values=values)
        )
    return found


def rendezvous(vessels: Iterable[Vessel], now_ns: int) -> list[Flag]:
    """Pairs that lay within 300 m of each other for 20 minutes, both slow and neither moored by its word.

    One flag for each vessel of a pair.
    """
    slow = [
        (vessel.mmsi, stay)
        for vessel in vessels
        if vessel.kind in ("A", "B")
        for track in vessel.tracks[:1]
        if (stay := _slow_stay(track, now_ns))
    ]
    cells: dict[tuple[int, int], list[tuple[str, list[PositionReport]]]] = {}
    for one in slow:
        row, column = _meeting_cell(one[1][-1])
        for down in (0, 1):
            for aside in (0, 1):
                cells.setdefault((row + down, column + aside), []).append(one)
    found: dict[tuple[str, str], Flag] = {}
    for inside in cells.values():
        for first, second in combinations(sorted(inside, key=lambda item: item[0]), 2):
            if (first[0], second[0]) not in found and first[0] != second[0]:
                for flag in _meeting(first, second):
                    found[flag.mmsi, flag.other_mmsi or ""] = flag
    return [found[key] for key in sorted(found)]


def _slow_stay(track: Track, now_ns: int) -> list[PositionReport]:
    """The newest stretch in which a vessel was slow and not moored, in order of time; empty when too
    short.
    """
    stay: list[PositionReport] = []
    for report in reversed(track.all_reports()):
        is_over = report.sog_mps is None or report.sog_mps > _MEET_MPS or report.status in _MOORED
        if is_over or now_ns - report.time_ns > _WINDOW_NS:
            break
        stay.append(report)
    stay.reverse()
    return stay if len(stay) >= 3 and (stay[-1].time_ns - stay[0].time_ns) / 1e9 >= _MEET_S else []


def _meeting(first: tuple[str, list[PositionReport]], second: tuple[str, list[PositionReport]]) -> list[Flag]:
    since = max(first[1][0].time_ns, second[1][0].time_ns)
    until = min(first[1][-1].time_ns, second[1][-1].time_ns)
    if (until - since) / 1e9 < _MEET_S:
        return []
    aways = []
    for report in first[1]:
        if since <= report.time_ns <= until:
            nearest = min(second[1], key=lambda one: abs(one.time_ns - report.time_ns))
            aways.append(_away(report, nearest))
    if len(aways) < 2 or max(aways) > _MEET_M:
        return []
    seconds = (until - since) / 1e9
    values = {"distance_m": sum(aways) / len(aways), "seconds": seconds}
    flags = []
    for mine, theirs in ((first[0], second[0]), (second[0], first[0])):
        text = f"slow beside MMSI {theirs} for {seconds / 60:.0f} minutes, {values['distance_m']:.0f} m apart"
        flags.append(
            Flag(
                kind="rendezvous",
                mmsi=mine,
                since_ns=since,
                until_ns=until,
                text=text,
                values=values,
                other_mmsi=theirs,
            )
        )
    return flags


class Shore:
    """The shore as lines; `ahead_m` is how far it is along a course."""

    def __init__(self, lines: Sequence[Any]) -> None:
        self._lines = list(lines)
        self._tree = shapely.STRtree(self._lines)

    @classmethod
    def read(cls, path: Path) -> "Shore":
        """A GeoJSON file of lines or polygons; raises `InputError`."""
        try:
            size = path.stat().st_size
            if size > _MAX_SHORE_BYTES:
                raise InputError(f"{path}: {size} bytes are over the limit of {_MAX_SHORE_BYTES}")
            found = shapely.from_geojson(path.read_bytes())
        except (OSError, shapely.GEOSException) as error:
            raise InputError(f"{path} cannot be read as GeoJSON: {error}") from error
        parts = shapely.get_parts(found, return_index=False)
        pieces = [piece for part in parts for piece in shapely.get_parts(part)]
        lines = [piece.boundary if piece.geom_type == "Polygon" else piece for piece in pieces]
        lines = [line for line in lines if line.geom_type in ("LineString", "MultiLineString")]
        if not lines:
            raise InputError(f"{path} has no line and no polygon")
        return cls(lines)

    def ahead_m(
        self, latitude_deg: float, longitude_deg: float, course_deg: float, limit_m: float
    ) -> float | None:
        """Metres to the first shore on that course, or `None` within `limit_m`."""
        course = math.radians(course_deg)
        scale = METRES_PER_DEG * max(0.01, math.cos(math.radians(latitude_deg)))
        end = (
            longitude_deg + limit_m * math.sin(course) / scale,
            latitude_deg + limit_m * math.cos(course) / METRES_PER_DEG,
        )
        way = shapely.LineString([(longitude_deg, latitude_deg), end])
        nearest = math.inf
        for index in self._tree.query(way, predicate="intersects"):
            crossing = way.intersection(self._lines[int(index)])
            for x, y in shapely.get_coordinates(crossing):
                nearest = min(
                    nearest, math.hypot((x - longitude_deg) * scale, (y - latitude_deg) * METRES_PER_DEG)
                )
        return nearest if math.isfinite(nearest) else None


def shoreward(mmsi: str, report: PositionReport, shore: Shore) -> list[Flag]:
    """Under way at night on a course that meets the shore within 30 km and two hours."""
    if report.sog_mps is None or report.cog_deg is None or report.sog_mps < _SHORE_MPS:
        return []
    elevation = sun_elevation_deg(report.time_ns, report.latitude_deg, report.longitude_deg)
    if elevation >= NIGHT_DEG:
        return []
    limit = min(_SHORE_M, report.sog_mps * _SHORE_S)
    ahead = shore.ahead_m(report.latitude_deg, report.longitude_deg, report.cog_deg, limit)
    if ahead is None:
        return []
    seconds = ahead / report.sog_mps
    text = (
        f"at night (sun {elevation:.0f} degrees) on a course that meets the shore {ahead / 1000:.1f} km "
        f"ahead, "
        f"in "
        f"{seconds / 60:.0f} minutes"
    )
    return [
        Flag(
            kind="shoreward_at_night",
            mmsi=mmsi,
            since_ns=report.time_ns,
            until_ns=report.time_ns,
            text=text,
            values={"shore_m": ahead, "seconds": seconds, "sun_deg": elevation, "speed_mps": report.sog_mps},
        )
    ]


def _away(one: PositionReport, two: PositionReport) -> float:
    return distance_m(one.latitude_deg, one.longitude_deg, two.latitude_deg, two.longitude_deg)


def _meeting_cell(report: PositionReport) -> tuple[int, int]:
    """Cells of about a kilometre; neighbours are looked at by the caller."""
    size = 0.01
    scale = max(0.05, math.cos(math.radians(report.latitude_deg)))
    return math.floor(report.latitude_deg / size), math.floor(report.longitude_deg * scale / size)
