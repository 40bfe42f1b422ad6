"""The truth of a run as the score needs it: what could be found when, and where it was."""

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from sim.range.chain import Step
from sim.scenario.description import Scenario
from sim.scenario.flown.runs import flown_scenario, read_run, scenario_of_visit
from sim.scenario.seen import FrameTruth, ObjectTruth, thing_at
from sim.scenario.truth import TRUTH_JSONL
from skywarden.clock import NS_PER_S
from skywarden.errors import FlightError
from skywarden.messages import Sighting

FOUND_LABELS = ("vessel", "plot", "structure")
"""What a watch is to find; decoys are what it is not to take for it."""

MIN_SIZE_PX = 8.0
MIN_VISIBILITY = 0.5
"""A thing can be found in a frame when the root of its box's area, and what shows of it, are so much."""

METRES_PER_DEG = 111_320.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where a thing was."""

    time_ns: int
    latitude_deg: float
    longitude_deg: float
    east_mps: float
    north_mps: float


@dataclass(kw_only=True, slots=True)
class Thing:
    """One real thing that was in the picture; `findable_ns` are the frames in which it could be found."""

    id: str
    label: str
    places: list[Place] = field(default_factory=list)
    findable_ns: list[int] = field(default_factory=list)

    def at(self, time_ns: int) -> Place:
        """Where it is at a time: the nearest known place, carried by its speed then."""
        after = bisect_left(self.places, time_ns, key=_time_of)
        near = min(self.places[max(after - 1, 0) : after + 1], key=lambda one: abs(one.time_ns - time_ns))
        seconds = (time_ns - near.time_ns) / NS_PER_S
        scale = METRES_PER_DEG * math.cos(math.radians(near.latitude_deg))
        return Place(
            time_ns=time_ns,
            latitude_deg=near.latitude_deg + near.north_mps * seconds / METRES_PER_DEG,
            longitude_deg=near.longitude_deg + near.east_mps * seconds / scale,
            east_mps=near.east_mps,
            north_mps=near.north_mps,
        )


@dataclass(kw_only=True, slots=True)
class RunTruth:
    """Every frame's truth by flight and number, and every thing by id; `visits` is what was there by flight,
    for a season has its own plots."""

    scenario: Scenario
    visits: Mapping[str, Scenario]
    frames: Mapping[str, Mapping[int, FrameTruth]]
    things: Mapping[str, Thing]

    def thing_of(self, flight: str, sighting: Sighting) -> ObjectTruth | None:
        """What a sighting shows: the smallest true box in which the middle of its box lies."""
        frame = self.frames[flight].get(sighting.frame_number)
        return None if frame is None else thing_at(frame, sighting.box_px)


def is_findable(thing: ObjectTruth) -> bool:
    """Whether a good watch would find it in this frame."""
    x0, y0, x1, y1 = thing.box_px
    size_px = math.sqrt(max((x1 - x0) * (y1 - y0), 0.0))
    return thing.label in FOUND_LABELS and size_px >= MIN_SIZE_PX and thing.visibility >= MIN_VISIBILITY


def read_truth(folder: Path) -> RunTruth:
    """The truth beside a run's flights; raises `FlightError` when there is none."""
    run, scenario = read_run(folder), flown_scenario(folder)
    frames = {name: _frames(folder / place / TRUTH_JSONL) for name, place in sorted(run.flights.items())}
    visits = {name: scenario_of_visit(folder, name.rpartition("/")[0]) for name in frames}
    things: dict[str, Thing] = {}
    every = sorted((frame for flight in frames.values() for frame in flight.values()), key=_time)
    for frame in every:
        for seen in frame.objects:
            thing = things.setdefault(seen.id, Thing(id=seen.id, label=seen.label))
            thing.places.append(_place(frame.time_ns, seen))
            if is_findable(seen):
                thing.findable_ns.append(frame.time_ns)
    return RunTruth(scenario=scenario, visits=visits, frames=frames, things=things)


def named(seen: Iterable[str | None]) -> str | None:
    """The thing that most looks show; `None` when most show nothing that truth knows."""
    found = Counter(seen).most_common(1)
    return found[0][0] if found else None


def looks_of(truth: RunTruth, steps: Mapping[str, Sequence[Step]]) -> dict[str, list[ObjectTruth | None]]:
    """For each track id, what each of its sightings shows."""
    seen: dict[str, list[ObjectTruth | None]] = {}
    for flight, mine in steps.items():
        for step in mine:
            for message in step.outcome.messages:
                if isinstance(message, Sighting):
                    seen.setdefault(message.track_id, []).append(truth.thing_of(flight, message))
    return seen


def _frames(path: Path) -> dict[int, FrameTruth]:
    try:
        lines = path.read_bytes().splitlines()
        found = [msgspec.json.decode(line, type=FrameTruth) for line in lines]
    except OSError as error:
        raise FlightError(f"{path}: a run without truth cannot be scored ({error.strerror})") from error
    except msgspec.DecodeError as error:
        raise FlightError(f"{path}: {error}") from error
    return {frame.frame_number: frame for frame in found}


def _place(time_ns: int, seen: ObjectTruth) -> Place:
    speed, course = seen.speed_mps or 0.0, math.radians(seen.course_deg or 0.0)
    return Place(
        time_ns=time_ns,
        latitude_deg=seen.latitude_deg,
        longitude_deg=seen.longitude_deg,
        east_mps=speed * math.sin(course),
        north_mps=speed * math.cos(course),
    )


def _time_of(place: Place) -> int:
    return place.time_ns


def _time(frame: FrameTruth) -> int:
    return frame.time_ns
