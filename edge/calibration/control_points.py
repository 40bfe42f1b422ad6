"""Known places to calibrate against: surveyed points, and vessels that report themselves on AIS.

A vessel's report is old, rounded and about its antenna: here it becomes the place of the hull's middle at
the instant of a look, with the error of each part. What all looks at one vessel share (antenna, slow GNSS
error) is told apart from what each has for itself, or twenty looks would make a false place a sure one.
"""

import csv
import io
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from edge.calibration.looks import PARAMETERS, Looks, Place, internal_units, slopes
from edge.calibration.solver import SolverConfig, estimate
from skywarden.clock import NS_PER_S
from skywarden.errors import InputError
from skywarden.geometry import geodesy

FloatArray = npt.NDArray[np.float64]

MAX_FILE_BYTES = 16_000_000
MAX_POINTS = 10_000
KNOT_MPS = 1852.0 / 3600.0

STAMP_MEAN_S = 0.5
STAMP_SIGMA_S = 0.2887
"""AIS tells the whole UTC second: the instant lies evenly in it (1 / sqrt 12)."""

GNSS_SIGMA_M = {True: 4.0, False: 15.0}
"""Per axis, by the position accuracy flag (better than 10 m, or not; ITU-R M.1371-5 table 47)."""

SLOW_SHARE = 0.5
"""How much of the GNSS variance stays the same through a flight."""

ANTENNA_SIGMA_M = 2.0
HEIGHT_SIGMA_M = 1.5


class ControlPoint(msgspec.Struct, frozen=True, kw_only=True):
    """A surveyed point; `sigma_m` per horizontal axis, `hae_m` None when it lies on the surface."""

    id: str
    lat_deg: float
    lon_deg: float
    hae_m: float | None = None
    sigma_m: float = 0.5


def read_control_points(path: Path) -> tuple[ControlPoint, ...]:
    """Surveyed points of a CSV (id, lat_deg, lon_deg[, hae_m][, sigma_m]) or JSON file (a list, or an object
    with `control_points`); raises `InputError` naming the point."""
    data = _read(path)
    if path.suffix.lower() == ".json":
        try:
            tree = msgspec.json.decode(data)
        except (msgspec.DecodeError, RecursionError) as error:
            raise InputError(f"{path}: not valid JSON: {error}") from error
        rows = tree.get("control_points") if isinstance(tree, dict) else tree
    else:
        rows = list(csv.DictReader(io.StringIO(data.decode("utf-8-sig", errors="replace"))))
    if not isinstance(rows, list) or not rows:
        raise InputError(f"{path}: no control points; expected rows with id, lat_deg, lon_deg")
    if len(rows) > MAX_POINTS:
        raise InputError(f"{path}: {len(rows)} points are over the limit of {MAX_POINTS}")
    points = tuple(_point(row, f"{path}: point {number}") for number, row in enumerate(rows, 1))
    return _told_apart(points)


def _told_apart(points: tuple[ControlPoint, ...]) -> tuple[ControlPoint, ...]:
    """Surveys in several parts count anew: a second point of one id gets a number behind it."""
    seen: Counter[str] = Counter()
    found = []
    for point in points:
        seen[point.id] += 1
        number = seen[point.id]
        found.append(point if number == 1 else msgspec.structs.replace(point, id=f"{point.id} ({number})"))
    return tuple(found)


def _point(row: object, where: str) -> ControlPoint:
    if not isinstance(row, dict):
        raise InputError(f"{where} is not an object")
    try:
        known = {
            key: row[key] for key in ("lat_deg", "lon_deg", "hae_m", "sigma_m") if row.get(key) is not None
        }
        sigma = row.get("horizontal_accuracy_m")
        numbers = {key: float(value) for key, value in known.items() if value != ""}
        if sigma is not None and "sigma_m" not in numbers:
            numbers["sigma_m"] = float(sigma)
        point = ControlPoint(id=str(row["id"])[:64], **numbers)
        geodesy.check_place(point.lat_deg, point.lon_deg, point.hae_m or 0.0)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{where}: needs id, lat_deg, lon_deg as numbers ({error})") from error
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    if not 0.0 <= point.sigma_m <= 1000.0:
        raise InputError(f"{where}: sigma_m is {point.sigma_m}, expected 0 to 1000")
    return point


def _read(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise InputError(f"{path}: {size} bytes are over the limit of {MAX_FILE_BYTES}")
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error


# ---------------------------------------------------------------------------------------------- vessels


@dataclass(frozen=True, kw_only=True, slots=True)
class VesselReport:
    """One AIS position report. `time_ns` is the whole second that it names (`stamped_ns`).

    `to_bow_m` ... are the dimensions A, B, C, D from the antenna; zeros mean that they are not told.
    """

    mmsi: int
    time_ns: int
    latitude_deg: float
    longitude_deg: float
    sog_mps: float | None
    cog_deg: float | None
    heading_deg: float | None = None
    is_accurate: bool = False
    to_bow_m: float = 0.0
    to_stern_m: float = 0.0
    to_port_m: float = 0.0
    to_starboard_m: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class VesselPlace:
    """The middle of a hull at an instant, as reports tell it.

    Attributes:
        covariance_enu_m2: what this instant has for itself, shape (3, 3).
        shared_sigma_m: what all instants of this vessel share: east, north, up.
        report: number of the nearest report, so that looks at one report can be counted.
    """

    place: Place
    velocity_enu_mps: tuple[float, float, float]
    covariance_enu_m2: FloatArray
    shared_sigma_m: tuple[float, float, float]
    report: int


def stamped_ns(received_ns: int, utc_second: int) -> int | None:
    """UTC of the whole second (0..59) that a report received at `received_ns` names: the nearest such one.

    `None` for 60 to 63, which say that there is no valid time.
    """
    if not 0 <= utc_second <= 59:
        return None
    minute_ns = 60 * NS_PER_S
    start = received_ns // minute_ns * minute_ns + utc_second * NS_PER_S
    return min((start + shift * minute_ns for shift in (-1, 0, 1)), key=lambda t: abs(t - received_ns))


class VesselTrack:
    """The reports of one vessel in order of time.

    `surface_hae_m` is the height of the sea there. Between two reports the place is interpolated with both
    velocities (cubic), beyond the last it is carried on for at most `carry_s`.
    """

    def __init__(
        self,
        reports: Sequence[VesselReport],
        *,
        surface_hae_m: float,
        carry_s: float = 12.0,
        gap_s: float = 40.0,
    ) -> None:
        if not reports:
            raise InputError("a vessel without reports has no place")
        self._reports = sorted(reports, key=lambda report: report.time_ns)
        self._times = np.array([report.time_ns for report in self._reports], dtype=np.int64)
        self._carry_ns, self._gap_ns = round(carry_s * NS_PER_S), round(gap_s * NS_PER_S)
        first = self._reports[0]
        self._origin: Place = (first.latitude_deg, first.longitude_deg, surface_hae_m)
        self._middles = np.array([self._middle(report) for report in self._reports])
        self._surface_hae_m = surface_hae_m

    def __len__(self) -> int:
        return len(self._reports)

    def at(self, time_ns: int) -> VesselPlace | None:
        """Where the hull's middle is at `time_ns` (UTC); `None` too far from any report."""
        middle_ns = self._times + round(STAMP_MEAN_S * NS_PER_S)
        after = int(np.searchsorted(middle_ns, time_ns))
        before = after - 1
        if 0 < after < len(middle_ns) and middle_ns[after] - middle_ns[before] <= self._gap_ns:
            return self._between(before, after, middle_ns, time_ns)
        ends = [k for k in (before, after) if 0 <= k < len(middle_ns)]
        near = min(ends, key=lambda k: abs(int(middle_ns[k]) - time_ns))
        away_s = (time_ns - int(middle_ns[near])) / NS_PER_S
        if abs(away_s) > self._carry_ns / NS_PER_S:
            return None
        velocity = _velocity(self._reports[near])
        if velocity is None:
            return None
        spread = 0.5 * 0.1 * away_s**2  # a tenth of a metre per second squared of unknown acceleration
        return self._place(near, self._middles[near] + velocity * away_s, velocity, 1.0, spread)

    def _between(
        self, before: int, after: int, middle_ns: npt.NDArray[np.int64], time_ns: int
    ) -> VesselPlace:
        gap_s = float(middle_ns[after] - middle_ns[before]) / NS_PER_S
        part = float(time_ns - middle_ns[before]) / NS_PER_S / gap_s if gap_s > 0 else 0.0
        start, end = self._middles[before], self._middles[after]
        straight = (end - start) / max(gap_s, 1e-3)
        told = [_velocity(self._reports[k]) for k in (before, after)]
        v0, v1 = (straight if each is None else each for each in told)
        h01 = part * part * (3 - 2 * part)
        h10, h11 = part * (1 - part) ** 2, -part * part * (1 - part)
        point = start + h01 * (end - start) + gap_s * (h10 * v0 + h11 * v1)
        velocity = (1 - part) * v0 + part * v1
        if all(each is None for each in told):
            velocity = straight
        near = before if part < 0.5 else after
        spread = 0.5 * 0.05 * part * (1 - part) * gap_s**2
        return self._place(near, point, velocity, (1 - part) ** 2 + part**2, spread)

    def _place(
        self, near: int, point: FloatArray, velocity: FloatArray, share: float, spread_m: float
    ) -> VesselPlace:
        report = self._reports[near]
        gnss = GNSS_SIGMA_M[report.is_accurate]
        speed = float(np.hypot(*velocity))
        along = velocity / speed if speed > 0.01 else np.zeros(2)
        covariance = np.zeros((3, 3))
        covariance[:2, :2] = np.eye(2) * ((1 - SLOW_SHARE) * share * gnss**2 + spread_m**2)
        covariance[:2, :2] += np.outer(along, along) * (speed * STAMP_SIGMA_S) ** 2 * share
        shared = math.hypot(ANTENNA_SIGMA_M, math.sqrt(SLOW_SHARE) * gnss, self._unknown_middle_m(report))
        latitude, longitude, _ = geodesy.geodetic_from_enu(np.array([point[0], point[1], 0.0]), *self._origin)
        return VesselPlace(
            place=(float(latitude), float(longitude), self._surface_hae_m),
            velocity_enu_mps=(float(velocity[0]), float(velocity[1]), 0.0),
            covariance_enu_m2=covariance,
            shared_sigma_m=(shared, shared, HEIGHT_SIGMA_M),
            report=near,
        )

    def _middle(self, report: VesselReport) -> FloatArray:
        """East and north of the hull's middle from the track's origin."""
        enu = geodesy.enu_from_geodetic(
            (report.latitude_deg, report.longitude_deg, self._origin[2]), *self._origin
        )
        heading = _hull_heading_deg(report)
        if heading is None:
            return np.array([enu[0], enu[1]])
        forward = (report.to_bow_m - report.to_stern_m) / 2
        starboard = (report.to_starboard_m - report.to_port_m) / 2
        sine, cosine = math.sin(math.radians(heading)), math.cos(math.radians(heading))
        return np.array(
            [enu[0] + forward * sine + starboard * cosine, enu[1] + forward * cosine - starboard * sine]
        )

    @staticmethod
    def _unknown_middle_m(report: VesselReport) -> float:
        """How far the middle may lie from the antenna where the heading or the dimensions are not told."""
        length = report.to_bow_m + report.to_stern_m
        if length <= 0.0:
            return 5.0
        off = abs(report.to_bow_m - report.to_stern_m) / 2
        return off if _hull_heading_deg(report) is None else 0.02 * length


def _velocity(report: VesselReport) -> FloatArray | None:
    if report.sog_mps is None or report.sog_mps < 0.0:
        return None
    if report.cog_deg is None:
        return np.zeros(2) if report.sog_mps < 0.3 else None
    course = math.radians(report.cog_deg)
    return report.sog_mps * np.array([math.sin(course), math.cos(course)])


def _hull_heading_deg(report: VesselReport) -> float | None:
    if report.heading_deg is not None:
        return report.heading_deg
    is_under_way = report.sog_mps is not None and report.sog_mps > 1.0
    return report.cog_deg if is_under_way else None


# --------------------------------------------------------------------------------------- which is which


def associate(
    looks: Looks, pairs: Mapping[str, tuple[str, str]], config: SolverConfig | None = None, gate: float = 13.8
) -> dict[str, str]:
    """Which seen track is which vessel, by the one calibration that explains most of them at once.

    `looks` holds every candidate pair as a thing; `pairs` names its track and its vessel. Each pair in turn
    is believed, calibrated on, and the others are judged by it: a bias moves all vessels together, so the
    right pair makes the others fall into place (a consensus as of Fischler & Bolles 1981). A track whose
    second candidate is nearly as good stays without a vessel. Returns track to vessel.
    """
    config = config or SolverConfig()
    best_score = 0.0
    best: dict[str, str] = {}
    names = tuple(name for name in PARAMETERS if name in config.prior_sigmas)
    prior = np.diag([config.prior_sigmas[name] ** 2 for name in names])
    _, wide = _judged(looks, np.zeros(len(PARAMETERS)), prior, names, config)
    for number in np.unique(looks.thing).tolist():
        found = estimate(looks.of(looks.thing == number), config)
        squares, spread = _judged(looks, found.corrections(), found.covariance, found.names, config)
        chosen = _assigned(squares, pairs, gate)
        things = [_thing(pairs, track, vessel) for track, vessel in chosen.items()]
        # Log likelihood against "is none of these": one that is unsure of everything explains nothing.
        score = sum(gate - squares[name] + wide[name] - spread[name] for name in things)
        if score > best_score:
            best_score, best = score, chosen
    return best


def _thing(pairs: Mapping[str, tuple[str, str]], track: str, vessel: str) -> str:
    return next(name for name, pair in pairs.items() if pair == (track, vessel))


def _judged(
    looks: Looks,
    corrections: FloatArray,
    covariance: FloatArray,
    names: tuple[str, ...],
    config: SolverConfig,
) -> tuple[dict[str, float], dict[str, float]]:
    """Chi-square (two degrees) of every thing's median offset against a calibration and its error, and the
    logarithm of that error's determinant."""
    found = slopes(looks, corrections, np.zeros((len(looks), 3)))
    numbers = [PARAMETERS.index(name) for name in names]
    unit = internal_units(np.ones(len(PARAMETERS)))[numbers]
    error = covariance * np.outer(unit, unit)
    squares: dict[str, float] = {}
    spreads: dict[str, float] = {}
    for number in np.unique(looks.thing).tolist():
        mine = looks.thing == number
        mean = np.median(found.residual[mine], axis=0)
        slope = found.by_parameter[mine][:, :, numbers].mean(axis=0)
        shift = found.by_place[mine].mean(axis=0)
        own = slopes_noise(looks, mine, config)
        shared = shift @ np.diag(looks.thing_sigma_m[number] ** 2) @ shift.T
        total = slope @ error @ slope.T + shared + own
        squares[looks.things[number]] = float(mean @ np.linalg.solve(total, mean))
        spreads[looks.things[number]] = float(np.linalg.slogdet(total)[1])
    return squares, spreads


def slopes_noise(looks: Looks, mine: npt.NDArray[np.bool_], config: SolverConfig) -> FloatArray:
    """Covariance (2, 2) of the mean residual of some looks from their own noise, radians squared."""
    line = looks.place_in_enu[mine] - looks.camera_in_enu[mine]
    slant = np.linalg.norm(line, axis=1)
    place = np.trace(looks.place_covariance_m2[mine], axis1=1, axis2=2) / 2 / slant**2
    own = looks.ray_sigma_rad[mine] ** 2 + math.radians(config.look_attitude_deg) ** 2 + place
    return np.eye(2) * float(np.mean(own)) * (1.6 / len(own))  # a median is 1.25 times as noisy as a mean


def _assigned(
    squares: Mapping[str, float], pairs: Mapping[str, tuple[str, str]], gate: float
) -> dict[str, str]:
    by_track: dict[str, list[tuple[float, str]]] = {}
    for name, square in squares.items():
        track, vessel = pairs[name]
        by_track.setdefault(track, []).append((square, vessel))
    chosen: dict[str, str] = {}
    taken: set[str] = set()
    for track, candidates in sorted(by_track.items(), key=lambda item: min(item[1])):
        ranked = sorted(candidates)
        if ranked[0][0] > gate or ranked[0][1] in taken:
            continue
        if len(ranked) > 1 and ranked[1][0] < 2.0 * gate and ranked[1][0] < ranked[0][0] + gate / 2:
            continue
        chosen[track] = ranked[0][1]
        taken.add(ranked[0][1])
    return chosen
