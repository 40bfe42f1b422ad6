"""What vessels do: transit, fish, loiter, meet, flee, beach, moor; steered in small steps, looked up between.

A vessel with steps is moved every half second with the turning and the way of its kind, so that everything
that follows from others (who meets whom, who flees from what) is settled once and in order; asked for an
instant, the fleet answers between two steps. Vessels without steps keep to their line or circle.
"""

import math
from dataclasses import dataclass, field
from typing import Protocol

from sim.scenario.path import ClosedPath
from sim.scenario.tables.fleet import Step, Vessel, VesselKind
from sim.scenario.tables.flying import Platform
from sim.scenario.vessels import BEAM_M, Motion, motion_at

STEP_S = 0.5
_SHALLOW_M = -14.0
_LOOK_AHEAD_S = 12.0
_ALONGSIDE_M = 7.0

# Cruising speed (m/s), turning (deg/s), gaining and losing way (m/s2).
_KINDS: dict[VesselKind, tuple[float, float, float]] = {
    "go_fast": (17.0, 14.0, 1.8),
    "fishing": (4.2, 5.0, 0.25),
    "skiff": (7.0, 16.0, 1.0),
    "ship": (6.5, 0.8, 0.04),
    "coaster": (5.0, 1.6, 0.06),
    "sail": (2.6, 6.0, 0.15),
}


class Shore(Protocol):
    """Where land is."""

    def inland_at(self, x_m: float, y_m: float) -> float:
        """Roughly the distance to the shore, positive on land."""
        ...


class Described(Protocol):
    """What the fleet needs of a scenario."""

    @property
    def vessels(self) -> tuple[Vessel, ...]:
        """All vessels."""
        ...

    @property
    def platforms(self) -> tuple[Platform, ...]:
        """All platforms."""
        ...


@dataclass(slots=True)
class _Hull:
    """One vessel under way: its state now and at every step so far."""

    vessel: Vessel
    x_m: float
    y_m: float
    heading: float
    speed: float
    step: int = 0
    since_s: float = 0.0
    """When the present step began, or what it waited for came about."""
    is_begun: bool = False
    log: list[tuple[float, float, float, float]] = field(default_factory=list)

    @property
    def doing(self) -> Step | None:
        """The present step; `None` when all are done."""
        steps = self.vessel.steps
        return steps[self.step] if self.step < len(steps) else None

    def done(self, time_s: float) -> None:
        """On to the next step."""
        self.step += 1
        self.since_s, self.is_begun = time_s, False


class Fleet:
    """Motions of all vessels of one scenario; `motion` is a function of its arguments alone."""

    def __init__(self, scenario: Described, shore: Shore) -> None:
        self._shore = shore
        self._vessels = {vessel.id: vessel for vessel in scenario.vessels}
        self._paths = {
            platform.id: (ClosedPath(platform.plan, platform.turn_radius_m), platform.speed_mps)
            for platform in scenario.platforms
        }
        self._hulls = {
            vessel.id: _Hull(
                vessel, vessel.at[0], vessel.at[1], math.radians(vessel.heading_deg), vessel.speed_mps
            )
            for vessel in scenario.vessels
            if vessel.steps
        }
        self._count = 0
        self._said: dict[str, list[str]] = {name: [] for name in self._hulls}

    def motion(self, vessel_id: str, time_s: float) -> Motion:
        """Where a vessel is and how it moves at `time_s` after the start (before it: at the start)."""
        hull = self._hulls.get(vessel_id)
        if hull is None:
            return motion_at(self._vessels[vessel_id], time_s)
        at = max(time_s, 0.0) / STEP_S
        low = int(at)
        while self._count < low + 2:
            self._advance()
        share = at - low
        before, after = hull.log[low], hull.log[low + 1]
        turn = math.remainder(after[2] - before[2], math.tau)
        return Motion(
            x_m=before[0] + share * (after[0] - before[0]),
            y_m=before[1] + share * (after[1] - before[1]),
            heading_deg=math.degrees(before[2] + share * turn) % 360.0,
            speed_mps=before[3] + share * (after[3] - before[3]),
            turn_dps=math.degrees(turn) / STEP_S,
        )

    def doing(self, vessel_id: str, time_s: float) -> str:
        """The word for what a vessel does at the last step up to `time_s`: for people and for truth files."""
        vessel = self._vessels[vessel_id]
        if not vessel.steps:
            return "transit" if vessel.speed_mps > 0.0 else "moor"
        self.motion(vessel_id, time_s)
        return self._said[vessel_id][int(max(time_s, 0.0) / STEP_S)]

    def _advance(self) -> None:
        """One step of everybody, in the scenario's order."""
        time_s = self._count * STEP_S
        for name, hull in self._hulls.items():
            step = hull.doing
            self._said[name].append(step.do if step is not None else "moor")
            hull.log.append((hull.x_m, hull.y_m, hull.heading, hull.speed))
        for hull in self._hulls.values():
            self._move(hull, time_s)
        self._count += 1

    def _move(self, hull: _Hull, time_s: float) -> None:
        step = hull.doing
        cruise, turning, way = _KINDS[hull.vessel.kind]
        if step is None:
            self._steer(hull, hull.heading, 0.0, turning, way)
            return
        speed = step.speed_mps if step.speed_mps is not None else cruise
        match step.do:
            case "transit":
                self._transit(hull, step, speed, turning, way, time_s)
            case "beach":
                self._beach(hull, step, speed, turning, way, time_s)
            case "fish":
                self._fish(hull, step, turning, way, time_s)
            case "meet":
                self._meet(hull, step, speed, turning, way, time_s)
            case "flee":
                self._flee(hull, step, speed, turning, way, time_s)
            case "loiter" | "moor":
                drift = 0.15 if step.do == "loiter" else 0.0
                self._steer(hull, hull.heading + math.radians(0.2) * STEP_S, drift, turning, way)
                self._expire(hull, step, time_s)

    def _transit(
        self, hull: _Hull, step: Step, speed: float, turning: float, way: float, time_s: float
    ) -> None:
        assert step.to is not None
        dx, dy = step.to[0] - hull.x_m, step.to[1] - hull.y_m
        away = math.hypot(dx, dy)
        if away < max(12.0, 1.2 * hull.speed / math.radians(turning)):
            hull.done(time_s)
        self._steer(hull, self._clear(hull, math.atan2(dx, dy), away), speed, turning, way)

    def _beach(
        self, hull: _Hull, step: Step, speed: float, turning: float, way: float, time_s: float
    ) -> None:
        assert step.to is not None
        dx, dy = step.to[0] - hull.x_m, step.to[1] - hull.y_m
        is_ashore = self._shore.inland_at(hull.x_m, hull.y_m) > 1.0 or math.hypot(dx, dy) < 4.0
        if hull.is_begun or is_ashore:
            hull.is_begun, hull.speed = True, 0.0
            return
        slow = min(speed, 2.0 + 0.12 * math.hypot(dx, dy))
        self._steer(hull, math.atan2(dx, dy), slow, turning, 3.0 * way)

    def _fish(self, hull: _Hull, step: Step, turning: float, way: float, time_s: float) -> None:
        speed = step.speed_mps if step.speed_mps is not None else 1.8
        phase = time_s / 47.0 + 0.37 * (len(hull.vessel.id) + ord(hull.vessel.id[-1]))
        wanted = hull.heading + math.radians(2.4 * math.sin(phase) + 1.1) * STEP_S
        self._steer(hull, self._clear(hull, wanted, 1e6), speed, turning, way)
        self._expire(hull, step, time_s)

    def _meet(self, hull: _Hull, step: Step, speed: float, turning: float, way: float, time_s: float) -> None:
        assert step.other is not None
        other = self._at_step(step.other, time_s)
        kind = self._vessels[step.other].kind
        gap = (BEAM_M[kind] + BEAM_M[hull.vessel.kind]) / 2.0 + 0.8
        heading = math.radians(other.heading_deg)
        x, y = other.x_m + gap * math.cos(heading), other.y_m - gap * math.sin(heading)
        dx, dy = x - hull.x_m, y - hull.y_m
        away = math.hypot(dx, dy)
        if hull.is_begun or away < _ALONGSIDE_M:
            if not hull.is_begun:
                hull.is_begun, hull.since_s = True, time_s
            share = 0.25 if away > 0.3 else 1.0
            hull.x_m, hull.y_m = hull.x_m + share * dx, hull.y_m + share * dy
            hull.heading += 0.25 * math.remainder(heading - hull.heading, math.tau)
            hull.speed = other.speed_mps
            self._expire(hull, step, time_s)
            return
        closing = min(speed, other.speed_mps + 0.10 * away + 0.6)
        wanted = self._clear(hull, math.atan2(dx, dy), away)
        self._steer(hull, wanted, closing, 2.0 * turning, 2.0 * way)

    def _flee(self, hull: _Hull, step: Step, speed: float, turning: float, way: float, time_s: float) -> None:
        assert step.other is not None
        path, over_ground = self._paths[step.other]
        x, y, _, _ = path.at(over_ground * time_s)
        dx, dy = hull.x_m - x, hull.y_m - y
        if not hull.is_begun and math.hypot(dx, dy) > step.within_m:
            self._steer(hull, hull.heading, 0.3, turning, way)
            return
        if not hull.is_begun:
            hull.is_begun, hull.since_s = True, time_s
        zigzag = 0.35 * math.sin(time_s / 9.0)
        self._steer(hull, self._clear(hull, math.atan2(dx, dy) + zigzag, 1e6), speed, turning, 1.4 * way)
        self._expire(hull, step, time_s)

    def _expire(self, hull: _Hull, step: Step, time_s: float) -> None:
        waits = step.do in ("meet", "flee") and not hull.is_begun
        if not waits and time_s - hull.since_s >= step.for_s:
            hull.done(time_s)

    def _at_step(self, vessel_id: str, time_s: float) -> Motion:
        """Where another vessel is at this very step."""
        other = self._hulls.get(vessel_id)
        if other is None:
            return motion_at(self._vessels[vessel_id], time_s)
        x, y, heading, speed = other.log[-1]
        return Motion(x_m=x, y_m=y, heading_deg=math.degrees(heading) % 360.0, speed_mps=speed, turn_dps=0.0)

    def _clear(self, hull: _Hull, wanted: float, room_m: float) -> float:
        """`wanted`, or the nearest course beside it that does not lead ashore."""
        ahead = min(max(hull.speed * _LOOK_AHEAD_S, 40.0), max(room_m, 10.0))
        for k in range(13):
            turn = (k + 1) // 2 * (0.5 if k % 2 else -0.5)
            course = wanted + turn
            places = [
                (hull.x_m + share * ahead * math.sin(course), hull.y_m + share * ahead * math.cos(course))
                for share in (0.5, 1.0)
            ]
            if all(self._shore.inland_at(x, y) < _SHALLOW_M for x, y in places):
                return course
        return wanted

    def _steer(self, hull: _Hull, wanted: float, speed: float, turning: float, way: float) -> None:
        """Turn towards a course and gain or lose way, within what the hull can do, for one step."""
        most = math.radians(turning) * STEP_S
        turn = min(max(math.remainder(wanted - hull.heading, math.tau), -most), most)
        gain = min(max(speed - hull.speed, -1.5 * way * STEP_S), way * STEP_S)
        middle = hull.heading + turn / 2.0
        hull.speed += gain
        hull.heading += turn
        hull.x_m += (hull.speed - gain / 2.0) * STEP_S * math.sin(middle)
        hull.y_m += (hull.speed - gain / 2.0) * STEP_S * math.cos(middle)
