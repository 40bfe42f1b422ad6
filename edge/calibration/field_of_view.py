"""The field of view of a camera whose lens nobody wrote down, from things that stand still while it moves.

Boxes round buoys and moored boats are followed through the video; each thing has one place on the level
surface. One field of view, one boresight, one time offset and one height bias make all looks agree
(`edge.calibration.still_things`). Buoys are held fixed by their label; of boats those that make way are left
out, by a limit on their speed and never by how well they fit.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from edge.calibration.attitude import AttitudeHistory
from edge.calibration.following import Follow, followed, renumbered
from edge.calibration.still_things import (
    ANGLE_NOISE_RAD,
    HEADING,
    HEIGHT,
    LOG_FOCAL,
    PITCH,
    ROLL,
    TIME,
    USUAL_DEG,
    Boxes,
    Fit,
    Sights,
    StillFit,
    hfov_of,
    log_focal,
)
from skywarden.errors import InputError

__all__ = ["Boxes", "FieldOfView", "FixedThing", "FovSettings", "estimate_field_of_view"]

FloatArray = npt.NDArray[np.float64]
IntpArray = npt.NDArray[np.intp]
BoolArray = npt.NDArray[np.bool_]

_GRID_DEG = (46.0, 56.0, 66.0, 76.0)
_GRID_S = (-1.0, -0.5, 0.0, 0.5, 1.0)
_SEARCHED_DEG = 30.0, 100.0
_SEARCHED_S = 1.5
_STEADY_RAD = math.radians(1.0)
_MOVES_MPS = 0.5
_NEAR_M = 2.0
_INDEPENDENT_S = 2.0


@dataclass(frozen=True, kw_only=True, slots=True)
class FovSettings:
    """What is believed.

    Attributes:
        min_looks: a thing that is seen less often tells nothing.
        gate_rad: from frame to frame a thing may seem to move so far, beside a turn common to all.
        forget_s: a thing not seen for so long is a new one.
        fixed_labels: what these words name is moored to the bottom.
        fastest_fixed_mps: anything else that goes faster, by three sigmas of its speed, makes way.
        max_sigma_deg: a wider sigma is "not observable".
    """

    min_looks: int = 8
    gate_rad: float = 0.015
    forget_s: float = 3.0
    fixed_labels: frozenset[str] = frozenset({"buoy"})
    fastest_fixed_mps: float = 0.3
    max_sigma_deg: float = 3.0


@dataclass(frozen=True, kw_only=True, slots=True)
class FixedThing:
    """One thing, and how its looks scatter about its place.

    Attributes:
        label, looks, range_m: what it is, how often it was seen, from how far (median, level).
        rms_m: RMS of all its looks about their mean, by telemetry alone.
        steady_rms_m: the same of looks between two samples of telemetry that turn by at most a degree.
        turned_rms_m: of all, the frame's turn taken from the frame's *other* fixed things.
        expected_rms_m: what 3 mrad of noise of the telemetry's angles do at that range.
        speed_mps, speed_sigma_mps: of a straight line through its looks.
        is_fixed: whether it was used.
    """

    label: str
    looks: int
    rms_m: float
    range_m: float
    is_fixed: bool
    steady_rms_m: float = math.nan
    turned_rms_m: float = math.nan
    expected_rms_m: float = math.nan
    speed_mps: float = math.nan
    speed_sigma_mps: float = math.nan


@dataclass(frozen=True, kw_only=True, slots=True)
class FieldOfView:
    """What was found; `hfov_deg` is None, with the reason, where the camera did not move enough to tell.

    Attributes:
        sigma_deg: one sigma of `hfov_deg`, from leaving out tenths of the time.
        pitch_bias_deg: what the gimbal's pitch is to be corrected by (up positive).
        roll_bias_deg, heading_bias_deg: the same of roll (clockwise) and heading.
        time_offset_s: as `frame_lag_s`.
        height_bias_m: what the told height is to be raised by.
        rms_m: of looks at fixed things about their means, all together, by telemetry alone.
        steady_rms_m: the same of looks between two samples of telemetry that turn by at most a degree.
        near_rms_m: the same of steady looks so near that 3 mrad of the telemetry's angles are at most 2 m.
        moving_rms_m: the same of near, steady looks while the platform goes faster than 0.5 m/s.
        turned_rms_m: of all looks, the frame's turn taken from its *other* fixed things.
        held_out_rms_m: of near, steady looks in every other tenth of the time, about places and with
            parameters from the rest.
        things: every thing with enough looks.
    """

    hfov_deg: float | None
    sigma_deg: float | None
    pitch_bias_deg: float
    time_offset_s: float
    rms_m: float
    reason: str
    things: tuple[FixedThing, ...]
    steady_rms_m: float = math.nan
    roll_bias_deg: float = 0.0
    heading_bias_deg: float = 0.0
    height_bias_m: float = 0.0
    near_rms_m: float = math.nan
    moving_rms_m: float = math.nan
    turned_rms_m: float = math.nan
    held_out_rms_m: float = math.nan


def estimate_field_of_view(
    boxes: Boxes, attitude: AttitudeHistory, settings: FovSettings | None = None
) -> FieldOfView:
    """The horizontal field of view with which what stands still stands still.

    `attitude` must tell places and heights above the surface. Raises `InputError` where it does not.
    """
    settings = settings or FovSettings()
    if attitude.position_ned_m is None or attitude.height_m is None:
        raise InputError("a field of view from fixed things needs places and heights, not attitude alone")
    sights = Sights(boxes, attitude)
    follow = Follow(min_looks=settings.min_looks, gate_rad=settings.gate_rad, forget_s=settings.forget_s)
    parameters = np.zeros(6)
    parameters[LOG_FOCAL] = log_focal(USUAL_DEG)
    everything = followed(sights, parameters, follow)
    if int(everything.max(initial=-1)) < 0:
        return _unknown(f"no thing is seen {settings.min_looks} times", (), parameters)
    fit = _searched(StillFit(sights, everything))
    everything = followed(sights, fit.parameters, follow)
    if int(everything.max(initial=-1)) < 0:
        return _unknown(f"no thing is seen {settings.min_looks} times", (), parameters)
    still, fit = _still(sights, everything, fit.parameters, settings)
    if still.count == 0:
        described = tuple(_described(sights, fit, everything, still, settings))
        return _unknown("everything that was seen makes way", described, fit.parameters)
    return _answer(sights, still, fit, everything, settings)


def _searched(still: StillFit) -> Fit:
    """The best of fits from a grid of fields of view and offsets, three of them to the end."""
    rough = []
    for hfov_deg in _GRID_DEG:
        for offset_s in _GRID_S:
            start = np.zeros(6)
            start[LOG_FOCAL], start[TIME] = log_focal(hfov_deg), offset_s
            rough.append(still.run(still.start(start), 3))
    rough.sort(key=lambda fit: fit.cost)
    return min((still.run(fit, 15) for fit in rough[:3]), key=lambda fit: fit.cost)


def _still(
    sights: Sights, everything: IntpArray, parameters: FloatArray, settings: FovSettings
) -> tuple[StillFit, Fit]:
    """Leave out the surest of what makes way, fit again, until nothing does."""
    things = everything.copy()
    while True:
        still = StillFit(sights, renumbered(things, settings.min_looks))
        if still.count == 0:
            return still, Fit(np.zeros(6), np.zeros((0, 2)), np.ones(0))
        fit = still.run(still.start(parameters), 15)
        names = [int(things[still.things == thing][0]) for thing in range(still.count)]
        worst, most = -1, 1.0
        for thing, name in enumerate(names):
            if sights.labels[int(np.argmax(things == name))] in settings.fixed_labels:
                continue
            speed, sigma = _speed(sights, still, fit, thing)
            ratio = speed / max(settings.fastest_fixed_mps, 3.0 * sigma)
            if ratio > most:
                worst, most = name, ratio
        if worst < 0:
            return still, min(fit, _searched(still), key=lambda each: each.cost)
        things[things == worst] = -1


def _speed(sights: Sights, still: StillFit, fit: Fit, thing: int) -> tuple[float, float]:
    """Of a straight line through a thing's looks, frames' turns by others taken off; and its sigma."""
    plane, _ = still.told_by_others(fit)
    mine = still.things[still.used] == thing
    points = _points(sights, still, fit, plane)[mine]
    return _line_speed(sights.seconds[still.used][mine], points)


def _line_speed(seconds: FloatArray, points: FloatArray) -> tuple[float, float]:
    """Speed (m/s) and its sigma, of points (K, 2); neighbours within two seconds count as one."""
    away = seconds - seconds.mean()
    spread = float(np.sum(away**2))
    if len(seconds) < 4 or spread <= 0.0:
        return 0.0, math.inf
    velocity = away @ (points - points.mean(axis=0)) / spread
    left = points - points.mean(axis=0) - away[:, None] * velocity
    alike = max(1.0, len(seconds) * _INDEPENDENT_S / max(_INDEPENDENT_S, float(np.ptp(seconds))))
    sigma = math.sqrt(alike * float(np.mean(left**2)) / spread)
    return float(np.hypot(*velocity)), sigma


def _points(sights: Sights, still: StillFit, fit: Fit, plane: FloatArray | None = None) -> FloatArray:
    """North and east of used looks (K, 2), by telemetry alone or from `plane` (K, 2)."""
    if plane is None:
        return sights.places(fit.parameters)[0][still.used]
    whole = sights.plane(fit.parameters)
    whole[still.used] = plane
    return sights.places(fit.parameters, whole)[0][still.used]


def _about_means(points: FloatArray, things: IntpArray, chosen: BoolArray) -> FloatArray:
    """Distances (K,) of chosen looks from the mean of their thing's chosen looks; NaN for the others."""
    away = np.full(len(points), np.nan)
    for thing in np.unique(things):
        mine = chosen & (things == thing)
        if mine.sum() > 1:
            away[mine] = np.linalg.norm(points[mine] - points[mine].mean(axis=0), axis=1)
    return away


def _rms(values: FloatArray) -> float:
    known = values[np.isfinite(values)]
    return float(np.sqrt(np.mean(known**2))) if len(known) else math.nan


def _answer(
    sights: Sights, still: StillFit, fit: Fit, everything: IntpArray, settings: FovSettings
) -> FieldOfView:
    offset_s = float(fit.parameters[TIME])
    used, things = still.used, still.things[still.used]
    steady = (sights.turn_rad(offset_s) < _STEADY_RAD)[used]
    near = steady & (_expected_m(sights, fit.parameters)[used] < _NEAR_M)
    moving = near & (sights.speed_mps(offset_s) > _MOVES_MPS)[used]
    points = _points(sights, still, fit)
    plane, has_others = still.told_by_others(fit)
    described = tuple(_described(sights, fit, everything, still, settings))
    found = _unknown("", described, fit.parameters)
    sigma_deg, is_wild = _fov_sigma(sights, still, fit)
    found = replace(
        found,
        rms_m=_rms(_about_means(points, things, np.ones(len(used), dtype=bool))),
        steady_rms_m=_rms(_about_means(points, things, steady)),
        near_rms_m=_rms(_about_means(points, things, near)),
        moving_rms_m=_rms(_about_means(points, things, moving)),
        turned_rms_m=_rms(_about_means(_points(sights, still, fit, plane), things, has_others)),
        held_out_rms_m=_held_out_m(sights, still, fit, near),
    )
    hfov_deg = hfov_of(fit.parameters[LOG_FOCAL])
    if not _SEARCHED_DEG[0] < hfov_deg < _SEARCHED_DEG[1] or abs(offset_s) > _SEARCHED_S:
        reason = f"{hfov_deg:.0f} degrees and {offset_s:+.1f} s lie beyond what was searched"
        return replace(found, reason=f"not observable: {reason}")
    if is_wild or sigma_deg > settings.max_sigma_deg:
        reason = f"the view turns and moves too little: its sigma would be {sigma_deg:.1f} degrees"
        return replace(found, reason=f"not observable: {reason}")
    return replace(
        found,
        hfov_deg=hfov_deg,
        sigma_deg=sigma_deg,
        reason=f"{len(used)} looks at {still.count} fixed things",
    )


def _expected_m(sights: Sights, parameters: FloatArray) -> FloatArray:
    """What the noise of the telemetry's angles moves each look by, (N,), both axes together."""
    change = sights.places(parameters)[1]
    return np.asarray(ANGLE_NOISE_RAD * np.sqrt(np.sum(change**2, axis=(1, 2))), dtype=np.float64)


def _tenths(sights: Sights) -> IntpArray:
    """Which tenth of the frames each look is in, (N,)."""
    return np.asarray((sights.frame * 10) // len(sights.moments), dtype=np.intp)


def _without(sights: Sights, still: StillFit, fit: Fit, kept: BoolArray) -> tuple[StillFit, Fit] | None:
    """The fit to looks that are kept (N,), things numbered as before; None where too few are left."""
    things = np.where(kept, still.things, -1)
    counts = np.bincount(things[things >= 0], minlength=still.count)
    if int((counts > 1).sum()) < 1:
        return None
    part = StillFit(sights, things)
    part.count = still.count
    begin = Fit(fit.parameters.copy(), fit.spots.copy(), np.ones(len(part.used)))
    return part, part.run(begin, 6)


def _fov_sigma(sights: Sights, still: StillFit, fit: Fit) -> tuple[float, bool]:
    """Sigma of the field of view by leaving out tenths, and whether the loss of one upsets it."""
    tenth = _tenths(sights)
    parts = [_without(sights, still, fit, tenth != number) for number in range(10)]
    views = np.array([hfov_of(part[1].parameters[LOG_FOCAL]) for part in parts if part is not None])
    if len(views) < 10:
        return math.inf, True
    sigma_deg = math.sqrt(0.9 * float(np.sum((views - views.mean()) ** 2)))
    return max(sigma_deg, _prior_bound(still, fit)), bool(np.ptp(views) > 20.0)


def _prior_bound(still: StillFit, fit: Fit) -> float:
    """Sigma (deg) of the field of view by the curvature of the fit, neighbouring frames counting as one."""
    covariance = np.linalg.inv(still.normal(fit))
    slope = math.sin(math.radians(hfov_of(fit.parameters[LOG_FOCAL])))
    return math.degrees(slope * math.sqrt(still.alike * max(0.0, float(covariance[LOG_FOCAL, LOG_FOCAL]))))


def _held_out_m(sights: Sights, still: StillFit, fit: Fit, chosen: BoolArray) -> float:
    """RMS of chosen looks (K,) in every other tenth about places from the rest; both ways."""
    odd = _tenths(sights) % 2 == 1
    away = []
    for kept in (odd, ~odd):
        part = _without(sights, still, fit, kept)
        if part is None:
            return math.nan
        points = _points(sights, still, part[1])
        told = np.bincount(still.things[kept & (still.things >= 0)], minlength=still.count) > 1
        things = still.things[still.used]
        wanted = (~kept)[still.used] & chosen & told[things]
        away.append(np.linalg.norm(points - part[1].spots[things], axis=1)[wanted])
    return _rms(np.concatenate(away))


def _unknown(reason: str, things: tuple[FixedThing, ...], parameters: FloatArray) -> FieldOfView:
    return FieldOfView(
        hfov_deg=None,
        sigma_deg=None,
        pitch_bias_deg=math.degrees(parameters[PITCH]),
        roll_bias_deg=math.degrees(parameters[ROLL]),
        heading_bias_deg=math.degrees(parameters[HEADING]),
        time_offset_s=float(parameters[TIME]),
        height_bias_m=float(parameters[HEIGHT]),
        rms_m=math.nan,
        reason=f"not observable: {reason}",
        things=things,
    )


def _described(
    sights: Sights, fit: Fit, everything: IntpArray, still: StillFit, settings: FovSettings
) -> list[FixedThing]:
    """Each thing that was followed, fixed or not."""
    points, change, _ = sights.places(fit.parameters)
    expected = _expected_m(sights, fit.parameters)
    steady = sights.turn_rad(fit.parameters[TIME]) < _STEADY_RAD
    turned = np.full((len(points), 2), np.nan)
    if still.count:
        plane, has_others = still.told_by_others(fit)
        turned[still.used[has_others]] = _points(sights, still, fit, plane)[has_others]
    found = []
    for thing in range(int(everything.max(initial=-1)) + 1):
        mine = everything == thing
        speed, sigma = _line_speed(sights.seconds[mine], points[mine])
        everyone = np.zeros(len(points), dtype=np.intp)
        found.append(
            FixedThing(
                label=sights.labels[int(np.argmax(mine))],
                looks=int(mine.sum()),
                rms_m=_rms(_about_means(points, everyone, mine)),
                steady_rms_m=_rms(_about_means(points, everyone, mine & steady)),
                turned_rms_m=_rms(_about_means(turned, everyone, mine & np.isfinite(turned[:, 0]))),
                expected_rms_m=_rms(expected[mine]),
                range_m=float(np.median(np.linalg.norm(change[mine][:, :, 1], axis=1))),
                speed_mps=speed,
                speed_sigma_mps=sigma,
                is_fixed=bool(np.mean(still.things[mine] >= 0) > 0.5),
            )
        )
    return found
