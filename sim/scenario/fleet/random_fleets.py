"""Fleets with truth for the verdicts on AIS: who sends what, what a receiver gets of it, what a camera sees.

Made, not rendered: a sea of vessels round a receiver on the coast or on a mast. Some never send, some stop,
some send a wrong position (set off by kilometres, or frozen), some send a number that another vessel has. The
receiver hears by range over its radio horizon, with a shadow behind a headland in half of the scenes, and not
every antenna is as good as the next. Reports go through real sentences. A camera sees some of the vessels,
with errors as large as it says, except one time in twenty, when they are twice as large.
"""

import math
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from ground.ais.book import VesselBook
from ground.ais.hearing import HearingModel, Receiver, radio_horizon_m
from ground.ais.motion import METRES_PER_DEG, expected_interval_s
from ground.ais.verdict import Look
from skywarden.ais.compose import compose_payload
from skywarden.ais.reports import KNOT_MPS, read_report
from skywarden.ais.sentences import Heard

FloatArray = npt.NDArray[np.float64]
Role = Literal["sends", "never", "stopped", "set_off", "frozen", "clone"]
Truth = Literal["matched", "silent", "doubtful", "unheard"]

START_NS = 1_763_000_000_000_000_000
HISTORY_S = 3_000.0
AFTER_S = 240.0
STEP_S = 10.0
_ROLES: tuple[tuple[Role, float], ...] = (
    ("sends", 0.70), ("never", 0.14), ("stopped", 0.06), ("set_off", 0.03), ("frozen", 0.03), ("clone", 0.04),
)  # fmt: skip


@dataclass(slots=True)
class Ship:
    """One vessel of the truth: places every `STEP_S` from the beginning, metres east and north."""

    mmsi: str
    kind: Literal["A", "B"]
    role: Role
    places: FloatArray
    velocity: FloatArray
    is_anchored: bool
    stop_s: float
    antenna: float
    bias_m: FloatArray
    hull: tuple[int, int, int, int]
    heard_s: list[float] = field(default_factory=list)

    def at(self, time_s: float) -> tuple[FloatArray, FloatArray]:
        """Place and velocity at a time."""
        step = time_s / STEP_S
        low = min(len(self.places) - 2, int(step))
        part = step - low
        place = (1 - part) * self.places[low] + part * self.places[low + 1]
        return place, self.velocity[min(low, len(self.velocity) - 1)]


@dataclass(frozen=True, slots=True)
class Case:
    """A look, and what is true of it."""

    look: Look
    truth: Truth
    mmsi: str
    role: Role


@dataclass(frozen=True, slots=True)
class Scene:
    """What the ground has, and the cases; `seen_m` are the camera's circles (east, north, radius), or
    none.
    """

    book: VesselBook
    hearing: HearingModel
    cases: list[Case]
    now_ns: int
    origin: tuple[float, float]
    seen_m: list[tuple[float, float, float]]
    sentences: int

    def was_seen(self, latitude_deg: float, longitude_deg: float, time_ns: int) -> bool | None:
        """Whether the camera looked there, where the scene keeps that."""
        if not self.seen_m:
            return None
        east, north = _metres(latitude_deg, longitude_deg, self.origin)
        return any(math.hypot(east - x, north - y) <= radius for x, y, radius in self.seen_m)


def make_scene(seed: int) -> Scene:
    """One scene; the same seed gives the same."""
    random = np.random.default_rng(seed)
    origin = (float(random.uniform(-30, 45)), float(random.uniform(-120, 120)))
    height_m = float(random.choice([15.0, 40.0, 120.0, 300.0]))
    receiver = Receiver(latitude_deg=origin[0], longitude_deg=origin[1], height_m=height_m)
    horizon = radio_horizon_m(height_m)
    shadow = (float(random.uniform(0, 360)), float(random.uniform(20, 70))) if random.random() < 0.5 else None
    ships = [_ship(number, random, horizon) for number in range(int(random.integers(25, 60)))]
    _clone(ships, random)
    # A feed from a network tells no place of a receiver: every fourth scene has to do without.
    hearing = HearingModel(receiver if random.random() < 0.75 else None)
    book = VesselBook(hearing)
    sentences = _transmit(ships, book, random, origin, horizon, shadow)
    cases = _looks(ships, random, origin, horizon, shadow)
    circles = []
    if random.random() < 0.5:
        for case in cases:
            east, north = _metres(case.look.latitude_deg, case.look.longitude_deg, origin)
            circles.append((east, north, 1500.0))
    now_ns = START_NS + round((HISTORY_S + AFTER_S) * 1e9)
    return Scene(book, hearing, cases, now_ns, origin, circles, sentences)


def _ship(number: int, random: np.random.Generator, horizon: float) -> Ship:
    kind: Literal["A", "B"] = "A" if random.random() < 0.6 else "B"
    is_anchored = random.random() < 0.2
    speed = 0.0 if is_anchored else float(random.uniform(1.5, 11.0 if kind == "A" else 14.0))
    steps = int((HISTORY_S + AFTER_S) / STEP_S) + 2
    wander = math.radians(4.0 if kind == "A" else 12.0) * math.sqrt(STEP_S / 60.0)
    course = random.uniform(0, 2 * math.pi) + np.cumsum(random.normal(0, wander, steps))
    if random.random() < 0.3:
        course[int(random.integers(0, steps)) :] += random.uniform(-2.0, 2.0)
    speeds = np.clip(speed + np.cumsum(random.normal(0, 0.08 if speed else 0.0, steps)), 0.0, 18.0)
    velocity = np.stack([np.sin(course), np.cos(course)], axis=1) * speeds[:, None]
    far = float(random.uniform(0.03, 1.5)) * horizon
    at = random.uniform(0, 2 * math.pi)
    places = np.concatenate([[[0.0, 0.0]], np.cumsum(velocity * STEP_S, axis=0)])[:-1]
    half = places[len(places) // 2].copy()
    places += np.array([math.sin(at), math.cos(at)]) * far - half
    role = _ROLES[random.choice(len(_ROLES), p=[share for _, share in _ROLES])][0]
    bow, beam = (int(random.integers(20, 150)), 8) if kind == "A" else (int(random.integers(4, 14)), 2)
    bias = random.normal(0, 1, 2)
    return Ship(
        mmsi=f"{int(random.integers(201, 775))}{int(random.integers(0, 10**6)):06d}",
        kind=kind,
        role=role,
        places=places,
        velocity=velocity,
        is_anchored=is_anchored,
        stop_s=HISTORY_S - float(random.uniform(420.0, 2_400.0)),
        antenna=float(np.clip(random.normal(1.0, 0.12), 0.5, 1.3)) * (1.0 if kind == "A" else 0.75),
        bias_m=bias / np.hypot(*bias) * random.uniform(800.0, 6_000.0),
        hull=(bow, max(2, bow // 4), beam, beam),
    )


def _clone(ships: list[Ship], random: np.random.Generator) -> None:
    """A clone has the number of a vessel that sends; that one is doubtful too."""
    honest = [one for one in ships if one.role == "sends"]
    for ship in ships:
        if ship.role == "clone":
            other = honest[int(random.integers(len(honest)))]
            ship.mmsi = other.mmsi
            other.role = "clone"


def reach(range_m: float, horizon: float, antenna: float) -> float:
    """The true chance of one report."""
    part = range_m / horizon / antenna
    return 0.93 / (1.0 + math.exp((part - 0.9) / 0.06))


def _chance(place: FloatArray, ship: Ship, horizon: float, shadow: tuple[float, float] | None) -> float:
    found = reach(float(np.hypot(*place)), horizon, ship.antenna)
    if shadow is not None:
        bearing = math.degrees(math.atan2(place[0], place[1])) % 360.0
        if (
            abs((bearing - shadow[0] + 180.0) % 360.0 - 180.0) < shadow[1] / 2.0
            and np.hypot(*place) > 4_000.0
        ):
            return 0.02 * found
    return found


def _transmit(
    ships: list[Ship],
    book: VesselBook,
    random: np.random.Generator,
    origin: tuple[float, float],
    horizon: float,
    shadow: tuple[float, float] | None,
) -> int:
    """All reports that get through, in order of time, through the decoder into the book."""
    heard: list[tuple[float, Ship, FloatArray, FloatArray]] = []
    for ship in ships:
        if ship.role == "never":
            continue
        time_s = float(random.uniform(0, 10))
        while time_s < HISTORY_S + AFTER_S:
            if ship.role == "stopped" and time_s > ship.stop_s:
                break
            place, velocity = ship.at(time_s)
            if random.random() < _chance(place, ship, horizon, shadow):
                ship.heard_s.append(time_s)
                heard.append((time_s, ship, _told(ship, place, time_s), velocity))
            speed = float(np.hypot(*velocity))
            status = 1 if ship.is_anchored else 0
            time_s += expected_interval_s(ship.kind, speed, status) * float(random.uniform(0.9, 1.1))
    heard.sort(key=lambda one: one[0])
    for time_s, ship, place, velocity in heard:
        for report in read_report(_sentence(ship, place, velocity, time_s, origin, random)):
            book.add(report)
    return len(heard)


def _told(ship: Ship, place: FloatArray, time_s: float) -> FloatArray:
    """Where the report says the vessel is: half an hour ago a wrong position began."""
    began = HISTORY_S - 1_800.0
    if ship.role == "set_off" and time_s > began:
        return place + ship.bias_m
    if ship.role == "frozen" and time_s > began:
        return ship.at(began)[0]
    return place


def _sentence(
    ship: Ship,
    place: FloatArray,
    velocity: FloatArray,
    time_s: float,
    origin: tuple[float, float],
    random: np.random.Generator,
) -> Heard:
    speed = float(np.hypot(*velocity))
    course = math.degrees(math.atan2(velocity[0], velocity[1])) % 360.0
    noisy = place + random.normal(0, 4.0, 2)
    latitude, longitude = _degrees(noisy, origin)
    time_ns = START_NS + round(time_s * 1e9)
    values = {
        "type": 1 if ship.kind == "A" else 18,
        "mmsi": ship.mmsi,
        "status": 1 if ship.is_anchored else 0,
        "speed": min(102.2, round(max(0.0, speed + random.normal(0, 0.1)) / KNOT_MPS, 1)),
        "course": round((course + random.normal(0, 1.0)) % 360.0, 1) % 360.0,
        "lat": latitude,
        "lon": longitude,
        "second": time_ns // 1_000_000_000 % 60,
        "accuracy": bool(random.random() < 0.5),
    }
    payload, fill = compose_payload(values)
    return Heard(payload, fill, time_ns)


def _looks(
    ships: list[Ship],
    random: np.random.Generator,
    origin: tuple[float, float],
    horizon: float,
    shadow: tuple[float, float] | None,
) -> list[Case]:
    """A camera sees 12 to 20 vessels at one time."""
    chosen = random.permutation(len(ships))[: int(random.integers(12, 20))]
    return [_case(ships[int(one)], ships, random, origin, horizon, shadow) for one in chosen]


def _case(
    ship: Ship,
    ships: list[Ship],
    random: np.random.Generator,
    origin: tuple[float, float],
    horizon: float,
    shadow: tuple[float, float] | None,
) -> Case:
    place, velocity = ship.at(HISTORY_S)
    sigmas = random.uniform(8.0, 60.0), random.uniform(8.0, 60.0)
    turn = random.uniform(0, math.pi)
    axes = np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]])
    covariance = axes.T @ np.diag(np.square(sigmas)) @ axes
    scale = 2.0 if random.random() < 0.05 else 1.0
    seen = place + scale * (axes.T @ (np.array(sigmas) * random.normal(0, 1, 2)))
    latitude, longitude = _degrees(seen, origin)
    moving = velocity + random.normal(0, 0.7, 2)
    is_tracked = random.random() < 0.6
    look = Look(
        contact_id=f"c-{ship.mmsi}-{random.integers(10**9)}",
        time_ns=START_NS + round(HISTORY_S * 1e9),
        latitude_deg=latitude,
        longitude_deg=longitude,
        covariance_en_m2=(float(covariance[0, 0]), float(covariance[0, 1]), float(covariance[1, 1])),
        course_deg=math.degrees(math.atan2(moving[0], moving[1])) % 360.0 if is_tracked else None,
        speed_mps=float(np.hypot(*moving)) if is_tracked else None,
    )
    return Case(look, _truth(ship, ships, horizon, shadow), ship.mmsi, ship.role)


def _truth(ship: Ship, ships: list[Ship], horizon: float, shadow: tuple[float, float] | None) -> Truth:
    """What a person who knew everything would say.

    A number that two vessels use is doubtful when both were heard in the last half hour; a wrong position is
    one that is 300 m off or more.
    """
    place = ship.at(HISTORY_S)[0]
    if ship.role in ("never", "stopped"):
        speed = float(np.hypot(*ship.at(HISTORY_S)[1]))
        chances = (600.0 + AFTER_S) / expected_interval_s(ship.kind, speed, 1 if ship.is_anchored else 0)
        missed = (1.0 - _chance(place, ship, horizon, shadow)) ** chances
        return "silent" if missed < 0.5 else "unheard"
    lately = [one for one in ship.heard_s if one >= HISTORY_S - 600.0]
    if not lately:
        return "unheard"
    if ship.role == "clone":
        others = [one for one in ships if one.mmsi == ship.mmsi and one is not ship]
        both = any(time_s >= HISTORY_S - 1_800.0 for one in others for time_s in one.heard_s)
        return "doubtful" if both else "matched"
    is_right = float(np.hypot(*(_told(ship, place, HISTORY_S) - place))) < 300.0
    return "matched" if is_right else "doubtful"


def _degrees(place: FloatArray, origin: tuple[float, float]) -> tuple[float, float]:
    latitude = origin[0] + float(place[1]) / METRES_PER_DEG
    middle = math.radians((latitude + origin[0]) / 2)
    longitude = origin[1] + float(place[0]) / METRES_PER_DEG / math.cos(middle)
    return latitude, (longitude + 180.0) % 360.0 - 180.0


def _metres(latitude_deg: float, longitude_deg: float, origin: tuple[float, float]) -> tuple[float, float]:
    middle = math.radians((latitude_deg + origin[0]) / 2)
    east = ((longitude_deg - origin[1] + 180.0) % 360.0 - 180.0) * METRES_PER_DEG * math.cos(middle)
    return east, (latitude_deg - origin[0]) * METRES_PER_DEG
