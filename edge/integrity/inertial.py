"""Whether the velocity that is told agrees with what accelerometers and other instruments say of it.

A spoofer who moves the receiver's velocity along with its place fools the residual of `motion`; he does not
move the accelerometers. Their integral over a few seconds, with the part taken off that stays with the
airframe (bias, mounting, tilt), must equal the change of the velocity.
"""

import math
from collections import deque
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from edge.integrity.motion import NS_PER_S
from edge.integrity.verdict import GOOD, Verdict


@dataclass(frozen=True, kw_only=True, slots=True)
class InertialLimits:
    """When a velocity is doubted.

    Attributes:
        window_s: velocity changes are compared over so long.
        bias_s: what stays with the airframe is learned over so long.
        change_mps: change of the velocity that the accelerometers did not feel. Three real logs reach 1.3 to
            2.9 m/s within 3 s (telemetry of 2 to 4 Hz).
        sparse_s: accelerometers that are told less often than this say nothing.
        speed_mps, speed_share: how much two tellings of the ground speed may differ, for `speed_for_s`.
        hold_s: how long the doubt lasts after the last sign of it.
    """

    window_s: float = 3.0
    bias_s: float = 20.0
    change_mps: float = 3.2
    sparse_s: float = 0.6
    speed_mps: float = 3.0
    speed_share: float = 0.15
    speed_for_s: float = 1.5
    hold_s: float = 30.0


class _Felt(NamedTuple):
    time_ns: int
    north_mps: float
    east_mps: float
    heading_rad: float = 0.0


class InertialCheck:
    """Judges the velocities of one stream; times are those of measurement."""

    def __init__(self, limits: InertialLimits | None = None) -> None:
        self._limits = limits or InertialLimits()
        self._accelerations: deque[_Felt] = deque(maxlen=200)
        self._marks: deque[_Felt] = deque(maxlen=400)
        self._bias = [0.0, 0.0]
        self._learned_s = 0.0
        self._velocity: tuple[int, float, float] | None = None
        self._waiting: deque[tuple[int, float, float]] = deque(maxlen=50)
        self._judged: tuple[int, float, float] | None = None
        self._odd_since_ns: int | None = None
        self._change = GOOD
        self._change_seen_ns = 0
        self._speed = GOOD

    @property
    def verdict(self) -> Verdict:
        """The graver of both."""
        return self._change if self._change.state != "good" else self._speed

    def take_acceleration(
        self, time_ns: int, north_mps2: float, east_mps2: float, heading_rad: float
    ) -> None:
        """Specific force turned level, metres per second squared, and where the nose points."""
        if self._accelerations and time_ns <= self._accelerations[-1].time_ns:
            if time_ns < self._accelerations[-1].time_ns - 60 * NS_PER_S:
                self._forget()
            return
        self._accelerations.append(_Felt(time_ns, north_mps2, east_mps2, heading_rad))
        while self._waiting and self._waiting[0][0] <= time_ns:
            self._compare(self._waiting.popleft())

    def take_ground_speed(self, speed_mps: float, now_ns: int) -> None:
        """The same speed by another message."""
        velocity, limits = self._velocity, self._limits
        if velocity is None or abs(now_ns - velocity[0]) > NS_PER_S:
            return
        told_mps = math.hypot(velocity[1], velocity[2])
        apart_mps = abs(told_mps - speed_mps)
        if apart_mps <= limits.speed_mps + limits.speed_share * max(told_mps, speed_mps):
            self._odd_since_ns, self._speed = None, GOOD
            return
        if self._odd_since_ns is None or now_ns < self._odd_since_ns:
            self._odd_since_ns = now_ns
        if now_ns - self._odd_since_ns >= limits.speed_for_s * NS_PER_S:
            said = f"the velocity says {told_mps:.1f} m/s, the ground speed {speed_mps:.1f} m/s"
            since_ns = self._odd_since_ns
            sigma_m = min(100.0, 5.0 + apart_mps * (now_ns - since_ns) / NS_PER_S)
            self._speed = Verdict("suspect", "gnss_drift", said, since_ns, sigma_m)

    def take_velocity(self, time_ns: int, velocity_ned_mps: tuple[float, float, float]) -> None:
        """The velocity that is to be judged."""
        north, east, _ = velocity_ned_mps
        if math.isnan(north) or math.isnan(east):
            return
        last, self._velocity = self._velocity, (time_ns, north, east)
        if last is not None and time_ns < last[0] - 60 * NS_PER_S:
            self._forget()
        self._waiting.append(self._velocity)

    def _compare(self, velocity: tuple[int, float, float]) -> None:
        """A velocity up to whose instant the accelerations are known."""
        time_ns, north, east = velocity
        last, self._judged = self._judged, velocity
        if last is None or not 0 < time_ns - last[0] < NS_PER_S:
            self._marks.clear()
            return
        felt = self._integral(last[0], time_ns)
        if felt is None:
            self._marks.clear()
            return
        step_s = (time_ns - last[0]) / NS_PER_S
        change = self._without_bias((north - last[1] - felt[0], east - last[2] - felt[1]), felt[2], step_s)
        before = self._marks[-1] if self._marks else _Felt(last[0], 0.0, 0.0)
        if not self._marks:
            self._marks.append(before)
        self._marks.append(
            _Felt(
                time_ns,
                before.north_mps + change[0],
                before.east_mps + change[1],
            )
        )
        self._judge(time_ns)

    def _without_bias(
        self, change: tuple[float, float], heading_rad: float, step_s: float
    ) -> tuple[float, float]:
        """Learns the part that stays with the airframe (forward, right), and takes it off."""
        cosine, sine = math.cos(heading_rad), math.sin(heading_rad)
        told = (change[0] * cosine + change[1] * sine, change[1] * cosine - change[0] * sine)
        self._learned_s += step_s
        weight = step_s / max(min(self._learned_s, self._limits.bias_s), step_s)
        if self._change.state == "good":
            for axis in (0, 1):
                self._bias[axis] += weight * (told[axis] / step_s - self._bias[axis])
        forward, right = (told[axis] - self._bias[axis] * step_s for axis in (0, 1))
        return forward * cosine - right * sine, forward * sine + right * cosine

    def _judge(self, now_ns: int) -> None:
        limits, newest = self._limits, self._marks[-1]
        while self._marks[0].time_ns < now_ns - limits.window_s * NS_PER_S:
            self._marks.popleft()
        most_mps = max(
            math.hypot(newest.north_mps - mark.north_mps, newest.east_mps - mark.east_mps)
            for mark in self._marks
        )
        if most_mps > limits.change_mps and self._learned_s >= limits.bias_s:
            said = f"the velocity changed by {most_mps:.1f} m/s that the accelerometers did not feel"
            since_ns = self._change.since_ns if self._change.state != "good" else self._marks[0].time_ns
            self._change_seen_ns = now_ns
            self._change = Verdict(
                "suspect", "gnss_drift", said, since_ns, self._run_away_m(since_ns, now_ns)
            )
        elif self._change.state != "good":
            if now_ns - self._change_seen_ns > limits.hold_s * NS_PER_S:
                self._change = GOOD
            else:
                away_m = self._run_away_m(self._change.since_ns, now_ns)
                self._change = self._change._replace(sigma_m=away_m)

    def _run_away_m(self, since_ns: int, now_ns: int) -> float:
        """How far a velocity that is wrong by a few metres per second has led."""
        return min(100.0, 5.0 + 2.0 * self._limits.change_mps * (now_ns - since_ns) / NS_PER_S)

    def _integral(self, from_ns: int, to_ns: int) -> tuple[float, float, float] | None:
        """Change of velocity (north, east) felt between two instants, and the heading; None: not told."""
        samples = self._accelerations
        while len(samples) > 2 and samples[1].time_ns <= from_ns - NS_PER_S:
            samples.popleft()
        inside = [
            each for each in samples if from_ns - self._reach_ns <= each.time_ns <= to_ns + self._reach_ns
        ]
        if len(inside) < 2 or inside[0].time_ns > from_ns or inside[-1].time_ns < to_ns:
            return None
        north = east = 0.0
        for a, b in pairwise(inside):
            if b.time_ns - a.time_ns > self._reach_ns:
                return None
            start_ns, end_ns = max(a.time_ns, from_ns), min(b.time_ns, to_ns)
            if end_ns > start_ns:
                share_s = (end_ns - start_ns) / NS_PER_S
                north += (a.north_mps + b.north_mps) / 2 * share_s
                east += (a.east_mps + b.east_mps) / 2 * share_s
        return north, east, inside[-1].heading_rad

    @property
    def _reach_ns(self) -> int:
        return int(self._limits.sparse_s * NS_PER_S)

    def _forget(self) -> None:
        for memory in (self._accelerations, self._waiting, self._marks):
            memory.clear()
        self._judged = None
        self._change = self._speed = GOOD
