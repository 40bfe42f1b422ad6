"""Where a vessel is at an instant, from its reports before and after, with a covariance that grows with time.

Between reports a vessel holds its velocity, disturbed by white acceleration: the variance of the place grows
with sigma_v^2 dt^2 + q dt^3 / 3 (Bar-Shalom, Li, Kirubarajan, Estimation with Applications to Tracking and
Navigation, 6.2.2), along and across its course with different q, because a vessel changes its course more
readily than its speed, and a small one more than a large one. A report after the instant counts as one
before: the two predictions are combined by their information.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from skywarden.ais.reports import PositionReport

FloatArray = npt.NDArray[np.float64]

METRES_PER_DEG = 111_319.490793
_NS = 1e9
_ACCURATE_M, _COARSE_M = 4.0, 10.0
_SECOND_SIGMA_S = 0.29
_NO_SECOND_SIGMA_S = 1.5
_SPEED_SIGMA_MPS = 0.25
_UNKNOWN_SPEED_MPS = 3.0
_STILL_MPS = 0.35
_SWING_M = 25.0
_TURNING_DPM = 3.0


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Prediction:
    """A vessel at an instant.

    `offset_m` is east and north of the origin that was asked for, `covariance_m2` (2, 2) is that of the
    antenna's place, `velocity_mps` east and north with its covariance. `age_s` is the time to the nearest
    report, `silent_s` the time since the last report at or before the instant (infinite without one).
    """

    offset_m: FloatArray
    covariance_m2: FloatArray
    velocity_mps: FloatArray
    velocity_covariance: FloatArray
    age_s: float
    silent_s: float
    report: PositionReport


def offset_m(
    latitude_deg: float, longitude_deg: float, origin_latitude_deg: float, origin_longitude_deg: float
) -> FloatArray:
    """East and north of an origin in metres, flat earth with the middle latitude: good to 0.1 % at 50 km."""
    return np.array(east_north_m(latitude_deg, longitude_deg, origin_latitude_deg, origin_longitude_deg))


def east_north_m(
    latitude_deg: float, longitude_deg: float, origin_latitude_deg: float, origin_longitude_deg: float
) -> tuple[float, float]:
    """The same as two numbers, for who asks a thousand times a second."""
    middle = math.radians((latitude_deg + origin_latitude_deg) / 2.0)
    east_deg = (longitude_deg - origin_longitude_deg + 180.0) % 360.0 - 180.0
    return (
        east_deg * METRES_PER_DEG * math.cos(middle),
        (latitude_deg - origin_latitude_deg) * METRES_PER_DEG,
    )


def distance_m(latitude_deg: float, longitude_deg: float, to_latitude: float, to_longitude: float) -> float:
    """Great-circle distance (haversine), metres."""
    one, two = math.radians(latitude_deg), math.radians(to_latitude)
    half_east = math.radians(to_longitude - longitude_deg) / 2.0
    root = math.sin((two - one) / 2.0) ** 2 + math.cos(one) * math.cos(two) * math.sin(half_east) ** 2
    return 2.0 * 6_371_008.8 * math.asin(math.sqrt(min(1.0, root)))


def predict(
    reports: Sequence[PositionReport],
    time_ns: int,
    origin: tuple[float, float],
    *,
    horizon_s: float = 3600.0,
) -> Prediction | None:
    """A vessel at `time_ns`, from its reports in order of time; `origin` is latitude, longitude in degrees.

    `None` when no report lies within `horizon_s` of the instant.
    """
    before, after = _around(reports, time_ns)
    found = []
    for report in (before, after):
        if report is not None and abs(time_ns - report.time_ns) / _NS <= horizon_s:
            found.append(_carried(report, time_ns, origin))
    if not found:
        return None
    silent_s = math.inf if before is None else (time_ns - before.time_ns) / _NS
    best = min(found, key=lambda one: one.age_s)
    if len(found) == 1:
        return _with_silence(best, best, silent_s)
    return _with_silence(_combined(found[0], found[1]), best, silent_s)


def _around(
    reports: Sequence[PositionReport], time_ns: int
) -> tuple[PositionReport | None, PositionReport | None]:
    """The last report at or before the instant, and the first one after it."""
    low, high = 0, len(reports)
    while low < high:
        middle = (low + high) // 2
        if reports[middle].time_ns <= time_ns:
            low = middle + 1
        else:
            high = middle
    return (reports[low - 1] if low else None), (reports[low] if low < len(reports) else None)


def _carried(report: PositionReport, time_ns: int, origin: tuple[float, float]) -> Prediction:
    """One report, carried to the instant, forwards or backwards."""
    dt_s = (time_ns - report.time_ns) / _NS
    velocity, speed_sigma = velocity_of(report)
    place = offset_m(report.latitude_deg, report.longitude_deg, *origin) + velocity * dt_s
    speed = float(np.hypot(*velocity))
    along = velocity / speed if speed > 1e-6 else np.array([0.0, 1.0])
    across = np.array([along[1], -along[0]])
    stamp = _SECOND_SIGMA_S if report.has_second else _NO_SECOND_SIGMA_S
    fix = (_ACCURATE_M if report.is_accurate else _COARSE_M) ** 2 + report.resolution_m**2 / 12.0
    q_along, q_across = diffusion(report, speed)
    lasting = abs(dt_s)
    reach = (12.0 * lasting) ** 2
    grown = [min(speed_sigma**2 * dt_s**2 + q * lasting**3 / 3.0, reach) for q in (q_along, q_across)]
    if speed <= _STILL_MPS:
        grown = [one + _SWING_M**2 * min(1.0, lasting / 600.0) for one in grown]
    covariance = (
        np.eye(2) * fix
        + np.outer(along, along) * (grown[0] + (stamp * speed) ** 2)
        + np.outer(across, across) * grown[1]
    )
    spread = [min(speed_sigma**2 + q * lasting, 144.0) for q in (q_along, q_across)]
    return Prediction(
        offset_m=place,
        covariance_m2=covariance,
        velocity_mps=velocity,
        velocity_covariance=np.outer(along, along) * spread[0] + np.outer(across, across) * spread[1],
        age_s=lasting,
        silent_s=math.inf,
        report=report,
    )


def velocity_of(report: PositionReport) -> tuple[FloatArray, float]:
    """East and north in m/s, and its uncertainty per axis; a vessel that tells no motion may have any."""
    if report.sog_mps is None or (report.cog_deg is None and report.sog_mps > _STILL_MPS):
        return np.zeros(2), _UNKNOWN_SPEED_MPS
    if report.sog_mps <= _STILL_MPS or report.cog_deg is None:
        return np.zeros(2), 0.05 + report.sog_mps / 4.0
    course = math.radians(report.cog_deg)
    sigma = _SPEED_SIGMA_MPS + (0.5 if report.kind == "long_range" else 0.0)
    return np.array([math.sin(course), math.cos(course)]) * report.sog_mps, sigma


def diffusion(report: PositionReport, speed_mps: float) -> tuple[float, float]:
    """Density of the acceleration along and across the course, m^2/s^3.

    A course that wanders by 5 degrees (class A) or 15 degrees (others) in a minute; a vessel that says it
    turns, wanders more.
    """
    if speed_mps <= _STILL_MPS:
        return 1e-6, 1e-6
    is_large = report.kind in ("A", "long_range")
    along = 0.003 if is_large else 0.03
    wander = math.radians(5.0 if is_large else 15.0) ** 2 / 60.0
    if report.rot_dpm is not None and abs(report.rot_dpm) > _TURNING_DPM:
        wander *= 20.0
    return along, along + wander * speed_mps**2


def _combined(one: Prediction, two: Prediction) -> Prediction:
    first, second = np.linalg.inv(one.covariance_m2), np.linalg.inv(two.covariance_m2)
    covariance = np.linalg.inv(first + second)
    place = covariance @ (first @ one.offset_m + second @ two.offset_m)
    share = two.age_s / max(one.age_s + two.age_s, 1e-9)
    return Prediction(
        offset_m=place,
        covariance_m2=covariance,
        velocity_mps=share * one.velocity_mps + (1.0 - share) * two.velocity_mps,
        velocity_covariance=share * one.velocity_covariance + (1.0 - share) * two.velocity_covariance,
        age_s=min(one.age_s, two.age_s),
        silent_s=math.inf,
        report=one.report,
    )


def _with_silence(made: Prediction, best: Prediction, silent_s: float) -> Prediction:
    return Prediction(
        offset_m=made.offset_m,
        covariance_m2=made.covariance_m2,
        velocity_mps=made.velocity_mps,
        velocity_covariance=made.velocity_covariance,
        age_s=best.age_s,
        silent_s=silent_s,
        report=best.report,
    )


def expected_interval_s(kind: str, speed_mps: float | None, status: int | None = None) -> float:
    """Seconds between reports by the rules (ITU-R M.1371-5, tables 1 and 2), for class A and B."""
    speed_kn = (speed_mps or 0.0) / 0.514444
    if kind == "A":
        if status in (1, 5) and speed_kn < 3.0:
            return 180.0
        return 10.0 if speed_kn <= 14.0 else 6.0 if speed_kn <= 23.0 else 2.0
    if kind == "long_range":
        return 180.0
    if kind == "aircraft" or kind == "base":
        return 10.0
    return 180.0 if speed_kn <= 2.0 else 30.0
