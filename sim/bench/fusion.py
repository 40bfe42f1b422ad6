"""Fusion at size: 5,000 contacts known, 200 tracks live, one settle a second; processor time.

The picture is what a busy day leaves: things of two platforms strewn over 100 by 100 km, most of them long
past, and 200 vessels that are seen now, a third of them by both platforms. Goal: a second of sightings is
fused in half a second of one core, however crowded the machine.

And many tracks that are new at once, as when a platform is heard again after a long silence: one settle,
whose time should grow with their number and not with the number of their pairs.
"""

import math
import time
from typing import Any

import numpy as np

from ground.config import ContactsConfig
from ground.fusion.book import ContactBook
from skywarden.geometry.uncertainty import ce90_m
from skywarden.messages import Position, Sighting

CONTACTS = 5_000
LIVE = 200
SHARED = 67
SECONDS = 8
GOAL_S = 0.5
NEW_TRACKS = (250, 500, 1_000, 2_000)
MOST_GROWTH = 2.0
_NEW_SIDE_M = 20_000.0
_START_NS = 1_790_000_000_000_000_000
_SIDE_M = 100_000.0
_M_PER_DEG = 110_574.0
_SIGMA_M = 12.0
_CE90_M = float(ce90_m(np.eye(2) * _SIGMA_M**2))


def run() -> dict[str, Any]:
    """Seconds of processor time a settle, and how many contacts came out."""
    book, things = filled()
    begun_s = time.process_time()
    first = len(book.settle().changed)
    first_s = time.process_time() - begun_s
    spent = []
    changed = 0
    for second in range(30, 30 + SECONDS):
        for one in live_sightings(things, second):
            book.add(one)
        begun_s = time.process_time()
        changed = len(book.settle().changed)
        spent.append(time.process_time() - begun_s)
    return {
        "contacts": first,
        "live": LIVE,
        "changed": changed,
        "first_settle_s": round(first_s, 2),
        "settle_s": round(float(np.median(spent)), 4),
        "settle_max_s": round(max(spent), 4),
        "goal_s": GOAL_S,
        "new_s": {str(count): round(settled_at_once(count), 3) for count in NEW_TRACKS},
        "growth_goal": MOST_GROWTH,
    }


def settled_at_once(count: int) -> float:
    """Seconds of processor time to settle so many vessels that are new at once, on 20 by 20 km: four looks of
    one platform at each, and of another at every third."""
    rng = np.random.default_rng(5)
    book = ContactBook(ContactsConfig())
    places, rates = rng.uniform(0.0, _NEW_SIDE_M, (count, 2)), rng.normal(0.0, 4.0, (count, 2))
    for second in (0.0, 3.0, 6.0, 9.0):
        seen = places + rates * second + rng.normal(0.0, 8.0, (count, 2))
        for number, (east_m, north_m) in enumerate(seen):
            book.add(_sighting(f"new{number}", "a", east_m, north_m, second))
            if number % 3 == 0:
                book.add(_sighting(f"too{number}", "b", east_m, north_m, second + 0.5))
    begun_s = time.process_time()
    book.settle()
    return time.process_time() - begun_s


def filled() -> tuple[ContactBook, np.ndarray[Any, np.dtype[np.float64]]]:
    """A book with the past and half a minute of the present; and the live vessels: east, north and their
    rates (LIVE, 4)."""
    rng = np.random.default_rng(3)
    book = ContactBook(ContactsConfig())
    for number, (east, north) in enumerate(rng.uniform(0.0, _SIDE_M, (CONTACTS - LIVE, 2))):
        at_s = -float(rng.uniform(600.0, 80_000.0))
        for look in range(3):
            book.add(_sighting(f"old{number}", "ab"[number % 2], east, north, at_s + 2.5 * look))
    course, speed = rng.uniform(0.0, 2 * math.pi, LIVE), rng.uniform(0.0, 12.0, LIVE)
    places = rng.uniform(0.0, _SIDE_M, (LIVE, 2))
    things = np.column_stack([places, speed * np.sin(course), speed * np.cos(course)])
    for second in range(30):
        for one in live_sightings(things, second):
            book.add(one)
    return book, things


def live_sightings(things: np.ndarray[Any, np.dtype[np.float64]], second: int) -> list[Sighting]:
    """One look at each live vessel, from both platforms at those that both see."""
    found = []
    for number, (east, north, east_mps, north_mps) in enumerate(things):
        where = east + east_mps * second, north + north_mps * second
        found.append(_sighting(f"live{number}", "a", *where, float(second)))
        if number < SHARED:
            found.append(_sighting(f"also{number}", "b", *where, float(second)))
    return found


def _sighting(name: str, platform_id: str, east_m: float, north_m: float, at_s: float) -> Sighting:
    latitude, longitude = north_m / _M_PER_DEG, 20.0 + east_m / 111_319.0
    variance = _SIGMA_M**2
    return Sighting(
        sighting_id=f"{platform_id}.{name}.{at_s:.1f}",
        track_id=f"{platform_id}.{name}",
        platform_id=platform_id,
        sortie_id="s1",
        sensor_id=f"eo{name[:3]}",
        frame_number=0,
        time_ns=_START_NS + round(at_s * 1e9),
        label="vessel",
        score=0.8,
        model_id="drawn",
        box_px=(0.0, 0.0, 1.0, 1.0),
        position=Position(
            latitude_deg=latitude,
            longitude_deg=longitude,
            alt_hae_m=0.0,
            covariance_enu_m2=(variance, 0.0, 0.0, variance, 0.0, 0.09),
            ce90_m=_CE90_M,
            le90_m=0.5,
            surface="sea",
        ),
        bearing=None,
        no_position_reason=None,
        platform_position=(latitude - (0.005 if platform_id == "a" else 0.0), longitude + 0.005, 300.0),
    )
