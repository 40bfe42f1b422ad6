"""The orbit of a contact: a ring of waypoints round where it will be, with the camera held on it."""

import math
from dataclasses import dataclass

import numpy as np

from ground.fusion.contact import Contact
from ground.fusion.plane import Plane
from ground.plans.ground_height import GroundBelow, length_m
from ground.plans.limits import PlanLimits
from ground.plans.plan_file import LookAt, Proposal, Speed, Step, Waypoint
from skywarden.errors import InputError
from skywarden.geometry.uncertainty import ce90_m
from skywarden.times import rfc3339

_MAX_AHEAD_S = 3_600.0
_UNKNOWN_SPEED_MPS = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class OrbitWish:
    """How to circle: `radius_m` round the contact, at a height above ground or sea; UTC ns `at_ns` says when.

    `None`: as it was at its newest look.
    """

    radius_m: float = 300.0
    height_m: float = 100.0
    turns: int = 2
    points: int = 24
    speed_mps: float = 12.0
    is_clockwise: bool = True
    at_ns: int | None = None

    def check(self) -> None:
        """Raise `InputError` for numbers that no aircraft flies."""
        for name, value, low, high in (
            ("radius", self.radius_m, 50.0, 5_000.0),
            ("number of turns", self.turns, 1, 20),
            ("number of points", self.points, 8, 72),
            ("speed", self.speed_mps, 1.0, 40.0),
        ):
            if not low <= value <= high:
                raise InputError(f"a {name} of {value:g} is not within {low:g} to {high:g}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Expected:
    """Where a contact will be at `at_ns`, by its course and speed, and how sure that is."""

    latitude_deg: float
    longitude_deg: float
    ce90_m: float
    ahead_s: float


def expected_at(contact: Contact, at_ns: int | None) -> Expected:
    """Constant velocity from its newest look; where none is known it may drift by 1 m/s an axis.

    Raises `InputError` without a place, and for more than an hour ahead.
    """
    place = contact.position
    if place is None:
        raise InputError(
            f"{contact.contact_id} has no place: {contact.no_position_reason or 'only a bearing'}"
        )
    from_ns = contact.position_ns if contact.position_ns is not None else contact.last_ns
    ahead_s = 0.0 if at_ns is None else (at_ns - from_ns) / 1e9
    if not -60.0 <= ahead_s <= _MAX_AHEAD_S:
        raise InputError(
            f"{contact.contact_id} was last seen at {rfc3339(from_ns)}, {ahead_s / 60:.0f} min from the "
            "wanted time; an orbit can be proposed up to an hour ahead"
        )
    east_mps, north_mps = _velocity(contact)
    plane = Plane(place.latitude_deg, place.longitude_deg)
    latitude, longitude = plane.geodetic(east_mps * ahead_s, north_mps * ahead_s)
    ee, en, _, nn, _, _ = place.covariance_enu_m2
    spread = np.array(
        contact.velocity_covariance_en_m2ps2 or (_UNKNOWN_SPEED_MPS**2, 0.0, _UNKNOWN_SPEED_MPS**2)
    )
    grown = np.array([ee, en, nn]) + spread * ahead_s**2
    return Expected(
        latitude_deg=latitude,
        longitude_deg=longitude,
        ce90_m=float(ce90_m([[grown[0], grown[1]], [grown[1], grown[2]]])),
        ahead_s=ahead_s,
    )


def orbit_of(contact: Contact, wish: OrbitWish, ground: GroundBelow, limits: PlanLimits) -> Proposal:
    """A ring of `radius_m` that keeps the contact in its middle half in 90 % of cases.

    Raises `InputError` when a limit would be broken, or where it will be is not known well enough.
    """
    wish.check()
    limits.check_height(wish.height_m)
    expected = expected_at(contact, wish.at_ns)
    if expected.ce90_m > wish.radius_m / 2.0:
        raise InputError(
            f"where {contact.contact_id} will be is known to {expected.ce90_m:.0f} m only (CE90), an orbit "
            f"of {wish.radius_m:.0f} m could fly over it; take {2 * expected.ce90_m:.0f} m or more, or look "
            "again"
        )
    plane = Plane(expected.latitude_deg, expected.longitude_deg)
    ring = _ring(plane, wish)
    low_m, high_m = ground.range_msl_m([*ring, ring[0]])
    alt_msl_m = high_m + wish.height_m
    limits.check_height(alt_msl_m - low_m)
    waypoints = [Waypoint(latitude, longitude, alt_msl_m) for latitude, longitude in ring * wish.turns]
    waypoints.append(waypoints[0])
    despite = limits.check_path(waypoints)
    centre = Waypoint(expected.latitude_deg, expected.longitude_deg, ground.centre_msl_m())
    steps: tuple[Step, ...] = (Speed(wish.speed_mps), LookAt(centre), *waypoints, LookAt(None))
    return Proposal(
        title=f"orbit of {contact.label} {contact.contact_id}",
        notes=(
            f"{wish.turns} turns {'clockwise' if wish.is_clockwise else 'counter-clockwise'} at "
            f"{wish.radius_m:.0f} m, {length_m(waypoints) / 1000:.1f} km, about "
            f"{length_m(waypoints) / wish.speed_mps / 60:.0f} min at {wish.speed_mps:g} m/s",
            f"{alt_msl_m:.0f} m above the geoid: {wish.height_m:.0f} to "
            f"{wish.height_m + high_m - low_m:.0f} m above ground or sea; {ground.source}",
            _where(contact, expected),
            *(f"flown over on purpose: exclusion zone {name}" for name in despite),
        ),
        steps=steps,
        home=Waypoint(waypoints[0].latitude_deg, waypoints[0].longitude_deg, high_m),
        speed_mps=wish.speed_mps,
    )


def _ring(plane: Plane, wish: OrbitWish) -> list[tuple[float, float]]:
    turn = 1.0 if wish.is_clockwise else -1.0
    angles = [turn * 2.0 * math.pi * number / wish.points for number in range(wish.points)]
    return [plane.geodetic(wish.radius_m * math.sin(one), wish.radius_m * math.cos(one)) for one in angles]


def _velocity(contact: Contact) -> tuple[float, float]:
    if contact.speed_mps is None or contact.course_deg is None:
        return 0.0, 0.0
    course = math.radians(contact.course_deg)
    return contact.speed_mps * math.sin(course), contact.speed_mps * math.cos(course)


def _where(contact: Contact, expected: Expected) -> str:
    seen = rfc3339(contact.position_ns if contact.position_ns is not None else contact.last_ns)
    if abs(expected.ahead_s) < 1.0:
        return f"as it was seen at {seen}, good to {expected.ce90_m:.0f} m (CE90); it may have moved since"
    moves = (
        f"{contact.speed_mps:.1f} m/s on {contact.course_deg:.0f} degrees"
        if contact.speed_mps is not None and contact.course_deg is not None
        else "no known motion"
    )
    return (
        f"where it is expected {expected.ahead_s / 60:.0f} min after {seen} by {moves}, good to "
        f"{expected.ce90_m:.0f} m (CE90); look for it before you circle"
    )
