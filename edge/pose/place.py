"""The platform's position at an instant: between the samples before and after it, or why there is none."""

from dataclasses import dataclass

import numpy as np

from edge.integrity import Verdict
from edge.pose.bracket import PoseRefusedError, bracket
from edge.pose.history import PoseHistory, PositionSample, Samples
from skywarden.clock import NS_PER_S
from skywarden.geometry import geodesy
from skywarden.geometry.pose import FloatArray

VELOCITY_SPAN_NS = NS_PER_S
VELOCITY_REACH_NS = 5 * NS_PER_S


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """A position at an instant and what it came from."""

    latitude_deg: float
    longitude_deg: float
    alt_hae_m: float
    alt_msl_m: float
    alt_rel_m: float
    velocity_ned_mps: FloatArray
    heading_deg: float | None
    horizontal_m: float | None
    vertical_m: float | None
    received_ns: int
    verdict: Verdict
    lag_m: float


def position_at(history: PoseHistory, time_ns: int) -> Place:
    if history.datum_alarm is not None:
        raise PoseRefusedError("datum_alarm", history.datum_alarm)
    verdict = history.integrity.at(time_ns)
    if verdict.state == "bad":
        raise PoseRefusedError(verdict.reason, verdict.detail)
    samples = history.positions_at(time_ns)
    missing = "no_telemetry" if samples.latest is None else "telemetry_stale"
    a, b, fraction = bracket(samples, time_ns, history.limits, "position", missing, "telemetry_stale")
    velocity = _velocity(samples, time_ns, _mixed(a.velocity_ned_mps, b.velocity_ned_mps, fraction))
    if a is b:
        offset = velocity * ((time_ns - a.time_ns) / NS_PER_S)
    else:
        there = (b.latitude_deg, b.longitude_deg, b.alt_hae_m)
        end = geodesy.ned_from_geodetic(there, a.latitude_deg, a.longitude_deg, a.alt_hae_m)
        offset = end * fraction
    latitude, longitude, alt_hae = geodesy.geodetic_from_ned(
        offset, a.latitude_deg, a.longitude_deg, a.alt_hae_m
    )
    climbed = float(alt_hae) - a.alt_hae_m
    nearest = a if fraction <= 0.5 else b
    return Place(
        latitude_deg=float(latitude),
        longitude_deg=float(longitude),
        alt_hae_m=float(alt_hae),
        alt_msl_m=a.alt_msl_m + climbed,
        alt_rel_m=a.alt_rel_m + (climbed if a is b else fraction * (b.alt_rel_m - a.alt_rel_m)),
        velocity_ned_mps=velocity,
        heading_deg=nearest.heading_deg,
        horizontal_m=nearest.horizontal_m,
        vertical_m=nearest.vertical_m,
        received_ns=max(a.received_ns, b.received_ns),
        verdict=verdict,
        lag_m=nearest.lag_m,
    )


def _velocity(samples: Samples[PositionSample], time_ns: int, told_mps: FloatArray) -> FloatArray:
    """What was told, its unknown parts (NaN) from the positions half a second before and after.

    Raises `PoseRefusedError` when the direction of flight stays unknown; an unknown climb counts as none.
    """
    if np.isfinite(told_mps).all():
        return told_mps
    first, last = _apart(samples, time_ns)
    seen_mps = np.full(3, np.nan)
    if first is not None and last is not None:
        there = (last.latitude_deg, last.longitude_deg, last.alt_hae_m)
        moved_m = geodesy.ned_from_geodetic(there, first.latitude_deg, first.longitude_deg, first.alt_hae_m)
        seen_mps = moved_m / ((last.time_ns - first.time_ns) / NS_PER_S)
    velocity: FloatArray = np.where(np.isfinite(told_mps), told_mps, seen_mps)
    if not np.isfinite(velocity[:2]).all():
        raise PoseRefusedError("telemetry_stale", "a single position, which tells no velocity")
    return np.nan_to_num(velocity, nan=0.0)


def _apart(
    samples: Samples[PositionSample], time_ns: int
) -> tuple[PositionSample | None, PositionSample | None]:
    """Two positions half a second (or the next beyond) before and after an instant, at most 5 s away.

    At an end of the samples one of them is nearer; (None, None) when they are not 0.1 s apart.
    """
    before, next_after = samples.around(time_ns - VELOCITY_SPAN_NS // 2)
    last_before, after = samples.around(time_ns + VELOCITY_SPAN_NS // 2)
    first, last = before or next_after, after or last_before
    if first is None or last is None or last.time_ns - first.time_ns < VELOCITY_SPAN_NS // 10:
        return None, None
    furthest_ns = max(abs(first.time_ns - time_ns), abs(last.time_ns - time_ns))
    return (first, last) if furthest_ns <= VELOCITY_REACH_NS else (None, None)


def level_alt(history: PoseHistory, place: Place) -> float | None:
    """Height of the take-off place: what relative altitude counts from, else home."""
    if np.isfinite(place.alt_rel_m):
        return place.alt_hae_m - place.alt_rel_m
    return history.home_alt_hae_m


def _mixed(a: tuple[float, float, float], b: tuple[float, float, float], fraction: float) -> FloatArray:
    start = np.asarray(a, dtype=np.float64)
    mixed: FloatArray = start + fraction * (np.asarray(b, dtype=np.float64) - start)
    return mixed
