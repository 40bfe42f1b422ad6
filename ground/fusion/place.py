"""Where a contact is: all looks of all its tracks in one fit, and intersection where nobody knows what they
share."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ground.config import ContactsConfig
from ground.fusion.estimate import NS_PER_S, estimate, mahalanobis
from ground.fusion.intersection import intersected
from ground.fusion.looks import Look
from ground.fusion.plane import Plane
from ground.fusion.track import FusionTrack, thinned
from skywarden.geometry.uncertainty import ce90_m, le90_m
from skywarden.messages import Position

FloatArray = npt.NDArray[np.float64]

_MAX_LOOKS = 48
_LEAST_PER_TRACK = 6
_SPEED_GATE = 5.991  # chi-square, 2 degrees of freedom, 95 %
_SPEED_FLOOR_MPS = 0.2
"""What no fit is trusted to know better, per axis: waves, and boxes that grow."""
_LEAST_MOVING = 4
"""Looks before a thing is said to move, as aboard: a corner that enters the picture is a place of its own."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Placed:
    """Where a contact was at `at_ns`; course and speed when it moves beyond doubt."""

    at_ns: int
    position: Position
    course_deg: float | None
    speed_mps: float | None
    velocity_covariance_en_m2ps2: tuple[float, float, float] | None


def placed(tracks: Sequence[FusionTrack], config: ContactsConfig) -> Placed | None:
    """The place at the newest look of the tracks together; `None` when no look has a place."""
    with_place = [track for track in tracks if track.is_placed]
    if not with_place:
        return None
    at_ns = max(track.newest.time_ns for track in with_place)
    if any(track.is_static for track in with_place):
        found = _fitted([track.kept.between() for track in with_place], at_ns, config, is_static=True)
        return _placed(found, at_ns, None)
    begin_ns = at_ns - round(config.window_s * NS_PER_S)
    by_track = [(track, track.kept.between(begin_ns)) for track in with_place]
    recent = [(track, looks) for track, looks in by_track if looks]
    found = _fitted([looks for _, looks in recent], at_ns, config, is_static=False)
    tracks = [track for track, _ in recent]
    if _moves(found, tracks):
        return _placed(found, at_ns, _velocity(found, tracks), is_moving=True)
    stood = _stood(with_place, at_ns, config)
    if stood is not None:
        return _placed(stood, at_ns, None)
    return _placed(found, at_ns, _velocity(found, []))


@dataclass(frozen=True, slots=True)
class _Fit:
    plane: Plane
    state: FloatArray
    covariance: FloatArray
    nearest: Look
    look_count: int


def _fitted(by_track: Sequence[list[Look]], at_ns: int, config: ContactsConfig, *, is_static: bool) -> _Fit:
    """One fit of all looks whose errors are understood; each source that is not is intersected with it."""
    most = max(_LEAST_PER_TRACK, _MAX_LOOKS // len(by_track))
    looks = [look for one in by_track for look in thinned(one, most)]
    looks = thinned(sorted(looks, key=lambda one: (one.time_ns, one.sighting_id)), 2 * _MAX_LOOKS)
    clear = [look for look in looks if not look.is_opaque]
    sources = sorted({look.source for look in looks if look.is_opaque})
    lots = [clear] if clear else []
    lots += [[look for look in looks if look.is_opaque and look.source == source] for source in sources]
    best = min(looks, key=lambda look: look.worth)
    plane = Plane(best.latitude_deg, best.longitude_deg)
    found = [estimate(lot, at_ns, config, is_static=is_static, plane=plane) for lot in lots]
    first, *others = sorted(found, key=lambda one: (one.sigma_m, one.nearest.sighting_id))
    state, covariance = first.state, first.covariance
    for other in others:
        state, covariance = intersected(state, covariance, other.state, other.covariance)
    return _Fit(plane, state, covariance, first.nearest, len(looks))


def _stood(tracks: Sequence[FusionTrack], at_ns: int, config: ContactsConfig) -> _Fit | None:
    """The fit of a thing that has not moved in all its looks; `None` when it has, or cannot be told."""
    every = [look for track in tracks for look in track.kept.between() if not look.is_opaque]
    if len(every) < 2 or any(look.is_opaque for track in tracks for look in track.kept.between()):
        return None
    every.sort(key=lambda one: (one.time_ns, one.sighting_id))
    looks = thinned(every, _MAX_LOOKS)
    best = min(looks, key=lambda look: look.worth)
    plane = Plane(best.latitude_deg, best.longitude_deg)
    found = estimate(looks, at_ns, config, is_static=True, plane=plane)
    if not found.is_fitting:
        return None
    return _Fit(plane, found.state, found.covariance, found.nearest, len(looks))


def _moves(found: _Fit, tracks: Sequence[FusionTrack]) -> bool:
    """Whether the thing moves: by what its platforms say of these tracks of late, or by its places.

    A platform judges by every look and by what its boxes show, the ground by some places. So the ground goes
    by the platforms' words where all have one; where these contradict one another, the places decide.
    """
    words = {None if track.told is None else track.told.motion for track in tracks}
    if None in words or {"moving", "standing"} <= words:
        return _seems_to_move(found)
    return "moving" in words


def _seems_to_move(found: _Fit) -> bool:
    """By the places alone, with 95 % certainty."""
    if found.look_count < _LEAST_MOVING:
        return False
    spread = found.covariance[2:, 2:] + np.eye(2) * _SPEED_FLOOR_MPS**2
    return mahalanobis(found.state[2:], spread) >= _SPEED_GATE


def _velocity(found: _Fit, tracks: Sequence[FusionTrack]) -> tuple[float, float, float, float, float]:
    """East, north, and covariance ee, en, nn: of the fit, or what its only platform says.

    The platform knows it from all looks, of which the ground has some: so its word replaces the fit and is
    never averaged with it. Of several platforms the fit knows best what they share.
    """
    told = [track.told for track in tracks if track.told and track.told.velocity_en_mps]
    if told and len({track.platform_id for track in tracks}) == 1:
        newest = max(told, key=lambda one: one[:2]).velocity_en_mps
        assert newest is not None
        return newest
    east, north = found.state[2:].tolist()
    (ee, en), (_, nn) = found.covariance[2:, 2:].tolist()
    return east, north, ee, en, nn


def _placed(
    found: _Fit,
    at_ns: int,
    velocity: tuple[float, float, float, float, float] | None,
    *,
    is_moving: bool = False,
) -> Placed:
    """`velocity` is `None` for what stands; course and speed are told only where it `is_moving`."""
    latitude_deg, longitude_deg = found.plane.geodetic(float(found.state[0]), float(found.state[1]))
    covariance, look = found.covariance, found.nearest
    ee, en, nn = float(covariance[0, 0]), float(covariance[0, 1]), float(covariance[1, 1])
    position = Position(
        latitude_deg=latitude_deg,
        longitude_deg=longitude_deg,
        alt_hae_m=look.alt_hae_m,
        covariance_enu_m2=(ee, en, 0.0, nn, 0.0, look.uu),
        ce90_m=float(ce90_m(covariance[:2, :2])),
        le90_m=float(le90_m(look.uu)),
        surface=look.surface,
    )
    course_deg = speed_mps = spread = None
    if velocity is not None:
        east, north, vel_ee, vel_en, vel_nn = velocity
        spread = (vel_ee + _SPEED_FLOOR_MPS**2, vel_en, vel_nn + _SPEED_FLOOR_MPS**2)
        if is_moving:
            course_deg, speed_mps = math.degrees(math.atan2(east, north)) % 360.0, math.hypot(east, north)
    return Placed(
        at_ns=at_ns,
        position=position,
        course_deg=course_deg,
        speed_mps=speed_mps,
        velocity_covariance_en_m2ps2=spread,
    )
