"""Where a contact is: all looks of all its tracks in one fit, and intersection where nobody knows what they
share."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import numpy.typing as npt

from ground.config import ContactsConfig
from ground.fusion.estimate import Lot, estimates, mahalanobis
from ground.fusion.intersection import intersected
from ground.fusion.looks import Look
from ground.fusion.plane import Plane
from ground.fusion.track import FusionTrack, thinned
from skywarden.clock import NS_PER_S
from skywarden.geometry.uncertainty import ce90_m, le90_m
from skywarden.messages import Position

FloatArray = npt.NDArray[np.float64]

_MAX_LOOKS = 48
_LEAST_PER_TRACK = 6
_SPEED_GATE = 5.991  # chi-square, 2 degrees of freedom, 95 %
_SPEED_FLOOR_MPS = 0.2
"""What no fit is trusted to know better, per axis: waves, and boxes that grow."""
_LEAST_STOOD = 2
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


def placed(groups: Sequence[Sequence[FusionTrack]], config: ContactsConfig) -> list[Placed | None]:
    """The place of each group of tracks at its newest look; `None` where no look has a place."""
    groups = [[track for track in tracks if track.is_placed] for tracks in groups]
    known = [number for number, tracks in enumerate(groups) if tracks]
    found: list[Placed | None] = [None] * len(groups)
    gathered = [_Gathered.of(groups[number], config) for number in known]
    fits = _fitted(gathered, config)
    doubtful = []
    for number, one, fit in zip(known, gathered, fits, strict=True):
        if one.is_static:
            found[number] = _placed(fit, one.at_ns, None)
        elif _moves(fit, one.recent):
            found[number] = _placed(fit, one.at_ns, _velocity(fit, one.recent), is_moving=True)
        else:
            found[number] = _placed(fit, one.at_ns, _velocity(fit, []))
            doubtful.append((number, one.at_ns))
    stood = _stood([(groups[number], at_ns) for number, at_ns in doubtful], config)
    for (number, at_ns), standing in zip(doubtful, stood, strict=True):
        if standing is not None:
            found[number] = _placed(standing, at_ns, None)
    return found


@dataclass(frozen=True, slots=True)
class _Gathered:
    """What a group is placed by: the looks that tell of the instant, and the tracks they are of."""

    at_ns: int
    is_static: bool
    looks: list[Look]
    recent: list[FusionTrack]

    @classmethod
    def of(cls, tracks: Sequence[FusionTrack], config: ContactsConfig) -> "_Gathered":
        at_ns = max(track.kept.last_ns or 0 for track in tracks)
        is_static = any(track.is_static for track in tracks)
        begin_ns = None if is_static else at_ns - round(config.window_s * NS_PER_S)
        by_track = [(track, track.kept.between(begin_ns)) for track in tracks]
        recent = [(track, looks) for track, looks in by_track if looks]
        most = max(_LEAST_PER_TRACK, _MAX_LOOKS // len(recent))
        looks = [look for _, looks in recent for look in thinned(looks, most)]
        looks = thinned(sorted(looks, key=lambda one: (one.time_ns, one.sighting_id)), 2 * _MAX_LOOKS)
        return cls(at_ns, is_static, looks, [track for track, _ in recent])

    def lots(self) -> list[Lot]:
        """Those whose errors are understood together; each source that is not by itself."""
        best = min(self.looks, key=lambda look: look.worth)
        plane = Plane(best.latitude_deg, best.longitude_deg)
        clear = [look for look in self.looks if not look.is_opaque]
        sources = sorted({look.source for look in self.looks if look.is_opaque})
        lots = [clear] if clear else []
        lots += [[look for look in self.looks if look.is_opaque and look.source == name] for name in sources]
        return [Lot(lot, self.at_ns, self.is_static, plane) for lot in lots]


@dataclass(frozen=True, slots=True)
class _Fit:
    plane: Plane
    state: FloatArray
    covariance: FloatArray
    nearest: Look
    look_count: int


def _fitted(gathered: Sequence[_Gathered], config: ContactsConfig) -> list[_Fit]:
    """One fit each of all looks whose errors are understood, intersected with each source that is not."""
    by_group = [one.lots() for one in gathered]
    every = iter(estimates([lot for lots in by_group for lot in lots], config))
    found = []
    for one, lots in zip(gathered, by_group, strict=True):
        mine = list(islice(every, len(lots)))
        first, *others = sorted(mine, key=lambda fit: (fit.sigma_m, fit.nearest_id))
        state, covariance = first.state, first.covariance
        for other in others:
            state, covariance = intersected(state, covariance, other.state, other.covariance)
        nearest = _named(first.nearest_id, one.looks)
        found.append(_Fit(first.plane, state, covariance, nearest, len(one.looks)))
    return found


def _named(sighting_id: str, looks: Sequence[Look]) -> Look:
    return next(look for look in looks if look.sighting_id == sighting_id)


def _stood(groups: Sequence[tuple[Sequence[FusionTrack], int]], config: ContactsConfig) -> list[_Fit | None]:
    """The fit of a thing that has not moved in all its looks; `None` when it has, or cannot be told."""
    lots = [_standing_lot(tracks, at_ns) for tracks, at_ns in groups]
    every = iter(estimates([lot for lot in lots if lot is not None], config))
    found: list[_Fit | None] = []
    for lot in lots:
        made = None if lot is None else next(every)
        if lot is None or made is None or not made.is_fitting:
            found.append(None)
        else:
            nearest = _named(made.nearest_id, lot.looks)
            found.append(_Fit(made.plane, made.state, made.covariance, nearest, len(lot.looks)))
    return found


def _standing_lot(tracks: Sequence[FusionTrack], at_ns: int) -> Lot | None:
    every = [look for track in tracks for look in track.kept.between()]
    if len(every) < _LEAST_STOOD or any(look.is_opaque for look in every):
        return None
    every.sort(key=lambda one: (one.time_ns, one.sighting_id))
    looks = thinned(every, _MAX_LOOKS)
    best = min(looks, key=lambda look: look.worth)
    return Lot(looks, at_ns, is_static=True, plane=Plane(best.latitude_deg, best.longitude_deg))


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
