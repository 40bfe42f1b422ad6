"""Whether positions move as the velocities that are told beside them say: jumps, drift, freezing.

The heart is the residual between the way from position to position and the integral of the velocity. In clean
flight it wanders by centimetres to a few metres (docs/accuracy.md has the figures of real logs); a jump is a
step of it, a frozen position a slope against the flight, a slow spoof a slope of its own. The residual is
compared with those of the last half minute, under a tolerance that grows with the time between them.
"""

import math
from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

from edge.integrity.verdict import GOOD, Verdict

EARTH_RADIUS_M = 6_371_000.0
NS_PER_S = 1_000_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class MotionLimits:
    """How far positions may stray from the velocities before they are not believed.

    Attributes:
        step_m, rate_mps: tolerance of the horizontal residual over t seconds: step + rate * t. Real logs
            reach a third to three quarters of it (2 Hz telemetry of a copter is the worst).
        turn_share: and this share of every change of velocity times its time, for what lies between samples.
        gap_mps: and so much, or the speed, for every second of a gap beyond two,
        turn_mps2: but no more than so hard a turn leads astray in it.
        untold_m, untold_mps: where no velocity is told, so much for each step and for each second of it (or
            twice the speed seen so far, if that is more).
        untold_gap_s: that speed must be seen for so long, and is forgotten over a gap of so long.
        most_mps: nothing flies faster.
        height_step_m, height_rate_mps: the same for height, which autopilots correct by barometer.
        stand_step_m, stand_rate_mps: what takes their place for an aircraft that stands disarmed, whose place
            a receiver may still be finding; its height is not judged.
        window_s: residuals are compared over so long.
        frozen_m: a position that repeats to the last digit while the velocity covers so much is frozen.
        usual_s: a source whose places usually repeat for up to so long (one position a second, told more
            often) is frozen only after half as long again.
        repeat_m: and one that repeats over so much is left out: it is old.
        return_s: it must stay where it belongs for so long before it is believed again.
        return_rate_mps, return_most_m: how far from its old residual it may come back, per second of absence.
        settle_s: a new place that agrees with itself for so long is told with a sigma that covers both.
        forgive_s: after so long a new place is the place.
        stand_s: the same for an aircraft that stands disarmed, whose receiver may still be finding its place.
        most_sigma_m: beyond this no sigma is an answer.
    """

    step_m: float = 6.0
    rate_mps: float = 0.6
    turn_share: float = 0.25
    gap_mps: float = 10.0
    turn_mps2: float = 10.0
    untold_m: float = 12.0
    untold_mps: float = 30.0
    untold_gap_s: float = 5.0
    most_mps: float = 350.0
    height_step_m: float = 25.0
    height_rate_mps: float = 2.0
    stand_step_m: float = 10.0
    stand_rate_mps: float = 1.2
    window_s: float = 30.0
    frozen_m: float = 3.0
    usual_s: float = 1.2
    repeat_m: float = 1.0
    return_s: float = 2.0
    return_rate_mps: float = 0.3
    return_most_m: float = 18.0
    settle_s: float = 60.0
    stand_s: float = 60.0
    forgive_s: float = 600.0
    most_sigma_m: float = 100.0


class _Mark(NamedTuple):
    """The residual at one position: north, east, down metres and the tolerances gathered on the way."""

    time_ns: int
    north_m: float
    east_m: float
    down_m: float
    slack_m: float
    height_slack_m: float

    def away_m(self, other: "_Mark") -> float:
        return math.hypot(self.north_m - other.north_m, self.east_m - other.east_m)


class Point(NamedTuple):
    """A position with the velocity that was told with it (NaN parts: not told)."""

    time_ns: int
    latitude_deg: float
    longitude_deg: float
    alt_m: float
    velocity_ned_mps: tuple[float, float, float]


class MotionCheck:
    """Judges one stream of positions; `take` each in order of reception.

    Attributes:
        verdict: what is thought of the stream now.
    """

    def __init__(self, limits: MotionLimits | None = None) -> None:
        self.limits = limits or MotionLimits()
        self.verdict: Verdict = GOOD
        self._last: Point | None = None
        self._mark = _Mark(0, 0.0, 0.0, 0.0, 0.0, 0.0)
        self._trusted: deque[_Mark] = deque()
        self._fresh: deque[_Mark] = deque()
        self._anchor: _Mark | None = None
        self._suspects: list[tuple[_Mark, float]] = []
        self._back_since_ns: int | None = None
        self._settled_since_ns = 0
        self._repeats = 0
        self._repeat_since_ns = 0
        self._repeat_m = 0.0
        self._usual_s = 0.0
        self._step_m = self.limits.step_m
        self._tells_velocity = False
        self._seen_mps = self._seen_s = 0.0

    def take(self, point: Point, *, is_standing: bool = False) -> bool:
        """Whether this position may be used; `is_standing`: disarmed, so that nothing can be flying."""
        last = self._last
        self._tells_velocity = self._tells_velocity or any(
            part > 0.0 or part < 0.0 for part in point.velocity_ned_mps
        )
        if last is None or point.time_ns < last.time_ns - 60 * NS_PER_S:
            self._start(point)
            return True
        if point.time_ns <= last.time_ns:
            return self.verdict.state != "bad" and self._is_near(last, point)
        self._advance(last, point, is_standing=is_standing)
        self._last = point
        if self.verdict.state == "bad":
            return self._judge_lost(is_standing=is_standing)
        return self._judge()

    def forget(self) -> None:
        """The autopilot began anew: what it said before binds it no more."""
        self._last, self.verdict = None, GOOD

    def _start(self, point: Point) -> None:
        self._last = point
        self._mark = _Mark(point.time_ns, 0.0, 0.0, 0.0, 0.0, 0.0)
        self._trusted = deque([self._mark])
        self._fresh.clear()
        self._suspects.clear()
        self._anchor, self.verdict, self._repeats = None, GOOD, 0

    def _advance(self, last: Point, point: Point, *, is_standing: bool) -> None:
        """The residual and its tolerance at the new position."""
        limits, mark = self.limits, self._mark
        step_s = (point.time_ns - last.time_ns) / NS_PER_S
        north_m, east_m = _moved_m(last, point)
        velocities = list(zip(last.velocity_ned_mps, point.velocity_ned_mps, strict=True))
        if self._tells_velocity and not math.isnan(sum(velocities[0])):
            flown = [_mean(a, b) * step_s for a, b in velocities]
            turned_mps = math.hypot(*(0.0 if math.isnan(b - a) else b - a for a, b in velocities))
            fastest_mps = max(
                limits.gap_mps,
                *(math.hypot(*velocity[:2]) for velocity in (last.velocity_ned_mps, point.velocity_ned_mps)),
            )
            gap_m = min(fastest_mps * max(0.0, step_s - 2.0), limits.turn_mps2 / 8.0 * step_s**2)
            gap_m += limits.turn_share * turned_mps * step_s
        else:
            flown = [0.0, 0.0, 0.0]
            gap_m = self._untold_m(math.hypot(north_m, east_m), step_s)
        self._step_m = limits.stand_step_m if is_standing else limits.step_m
        rate_mps = limits.stand_rate_mps if is_standing else limits.rate_mps
        climb_m = abs(point.alt_m - last.alt_m) if is_standing else 0.0
        self._mark = _Mark(
            point.time_ns,
            mark.north_m + north_m - flown[0],
            mark.east_m + east_m - flown[1],
            mark.down_m - (point.alt_m - last.alt_m) - flown[2],
            mark.slack_m + rate_mps * step_s + gap_m,
            mark.height_slack_m + limits.height_rate_mps * step_s + gap_m + climb_m,
        )
        is_same = (point.latitude_deg, point.longitude_deg) == (last.latitude_deg, last.longitude_deg)
        if not is_same and self._repeat_m >= limits.repeat_m:
            run_s = (last.time_ns - self._repeat_since_ns) / NS_PER_S
            self._usual_s = min(max(run_s, 0.95 * self._usual_s), limits.usual_s)
        self._repeats = self._repeats + 1 if is_same else 0
        if not is_same:
            self._repeat_since_ns, self._repeat_m = point.time_ns, 0.0
        else:
            self._repeat_m += math.hypot(flown[0], flown[1])

    def _untold_m(self, moved_m: float, step_s: float) -> float:
        """How far a step may lead that no velocity explains."""
        limits, seen_mps = self.limits, self._seen_mps
        self._seen_s = self._seen_s + step_s if step_s <= limits.untold_gap_s else 0.0
        self._seen_mps += (moved_m / step_s - seen_mps) * min(1.0, step_s)
        if self._seen_s < limits.untold_gap_s:
            return limits.untold_m + limits.most_mps * step_s
        return limits.untold_m + max(limits.untold_mps, 2.0 * seen_mps) * step_s

    @property
    def _is_frozen(self) -> bool:
        run_s = (self._mark.time_ns - self._repeat_since_ns) / NS_PER_S
        is_unusual = run_s > 1.5 * self._usual_s
        return self._repeats >= 2 and self._repeat_m >= self.limits.frozen_m and is_unusual

    def _judge(self) -> bool:
        if self._repeats and self._repeat_m >= self.limits.repeat_m and not self._is_frozen:
            return False  # no new place, and perhaps the first of a frozen one
        if self._is_frozen:
            said = f"the position has not changed by a digit over {self._repeat_m:.0f} m of flight"
            self._lose(self._trusted[-1], "gnss_frozen", said, self._repeat_since_ns)
            return False
        strayed = self._strayed_from(self._trusted)
        if strayed is None:
            self._suspects.clear()
            self._trust()
            return True
        self._suspects.append((self._mark, self._mark.away_m(self._trusted[-1])))
        if len(self._suspects) >= 2:
            self._name_fault(strayed)
        return False

    def _name_fault(self, strayed: _Mark) -> None:
        """Two positions in a row do not fit: a step of the residual is a glitch, a slope is drift."""
        first, step_m = self._suspects[0]
        away_m = self._mark.away_m(strayed)
        height_m = abs(self._mark.down_m - strayed.down_m)
        span_s = max((self._mark.time_ns - strayed.time_ns) / NS_PER_S, 1e-3)
        if self._repeats >= 2:
            said = f"the position stands while the velocity says {away_m / span_s:.1f} m/s"
            self._lose(strayed, "gnss_frozen", said, self._onset_ns(strayed))
        elif step_m > self.limits.step_m or height_m > away_m:
            off_m = max(away_m, height_m)
            said = f"the position jumped by {off_m:.0f} m against what was flown"
            self._lose(strayed, "gnss_glitch", said, first.time_ns)
        else:
            said = f"the position ran {away_m:.0f} m away from what was flown in {span_s:.0f} s"
            self._lose(strayed, "gnss_drift", said, self._onset_ns(strayed))

    def _judge_lost(self, *, is_standing: bool) -> bool:
        """The stream is not believed: is it back where it belongs, or has it settled elsewhere?"""
        assert self._anchor is not None
        now_ns, limits = self._mark.time_ns, self.limits
        if self._is_frozen:
            self._fresh.clear()
        if not self._fresh or self._strayed_from(self._fresh) is not None:
            self._fresh = deque([self._mark])
            self._settled_since_ns = now_ns
        else:
            self._keep(self._fresh)
        away_m = self._mark.away_m(self._anchor)
        absent_s = (now_ns - self._anchor.time_ns) / NS_PER_S
        room_m = limits.step_m + min(limits.return_rate_mps * absent_s, limits.return_most_m)
        height_m = abs(self._mark.down_m - self._anchor.down_m)
        room_up_m = limits.height_step_m + limits.height_rate_mps * absent_s
        settled_s = (now_ns - self._settled_since_ns) / NS_PER_S
        if away_m <= room_m and height_m <= room_up_m and not self._is_frozen:
            if self._back_since_ns is None:
                self._back_since_ns = now_ns
            if now_ns - self._back_since_ns >= limits.return_s * NS_PER_S:
                return self._believe(GOOD)
            return False
        self._back_since_ns = None
        if settled_s >= (limits.stand_s if is_standing else limits.forgive_s):
            return self._believe(GOOD)
        sigma_m = away_m / 2.0
        if settled_s >= limits.settle_s and sigma_m <= limits.most_sigma_m and height_m <= room_up_m:
            return self._believe(self.verdict._replace(state="suspect", sigma_m=sigma_m, since_ns=now_ns))
        return False

    def _believe(self, verdict: Verdict) -> bool:
        """Go on from here; a suspect place keeps the anchor, so that its sigma tells the way back."""
        self.verdict = verdict
        self._trusted = deque([self._mark])
        self._fresh.clear()
        self._suspects.clear()
        self._back_since_ns = None
        if verdict.state == "good":
            self._anchor = None
        return True

    def _lose(self, anchor: _Mark, reason: str, detail: str, since_ns: int) -> None:
        if self._anchor is None:
            self._anchor = anchor
        self.verdict = Verdict("bad", reason, detail, min(since_ns, self._mark.time_ns))
        self._fresh.clear()
        self._suspects.clear()
        self._back_since_ns = None

    def _trust(self) -> None:
        self._keep(self._trusted)
        if self._anchor is None:
            return
        away_m = self._mark.away_m(self._anchor)
        forgotten = self._mark.time_ns - self.verdict.since_ns > self.limits.forgive_s * NS_PER_S
        if away_m <= self.limits.step_m or forgotten:
            self._anchor, self.verdict = None, GOOD
        else:
            self.verdict = self.verdict._replace(sigma_m=away_m / 2.0)

    def _keep(self, marks: deque[_Mark]) -> None:
        """Marks a second apart and the newest, no older than the window."""
        if len(marks) >= 2 and self._mark.time_ns - marks[-2].time_ns < NS_PER_S:
            marks[-1] = self._mark
        else:
            marks.append(self._mark)
        oldest_ns = self._mark.time_ns - int(self.limits.window_s * NS_PER_S)
        while len(marks) > 1 and marks[0].time_ns < oldest_ns:
            marks.popleft()

    def _strayed_from(self, marks: deque[_Mark]) -> _Mark | None:
        """The mark from which the residual strayed furthest beyond its tolerance."""
        _, north_m, east_m, down_m, slack_m, height_slack_m = self._mark
        step_m, height_step_m = self._step_m + slack_m, self.limits.height_step_m + height_slack_m
        found: _Mark | None = None
        most_m = 0.0
        for mark in marks:
            _, its_north_m, its_east_m, its_down_m, its_slack_m, its_height_slack_m = mark
            off_north_m, off_east_m = north_m - its_north_m, east_m - its_east_m
            room_m, high_m = step_m - its_slack_m, abs(down_m - its_down_m)
            room_up_m = height_step_m - its_height_slack_m
            if off_north_m * off_north_m + off_east_m * off_east_m <= room_m * room_m and high_m <= room_up_m:
                continue  # nearly always; the rest is for what strays
            beyond_m = max(math.hypot(off_north_m, off_east_m) - room_m, high_m - room_up_m)
            if beyond_m > most_m:
                found, most_m = mark, beyond_m
        return found

    def _onset_ns(self, strayed: _Mark) -> int:
        """When the residual left the place from which it strayed, as far as can be told."""
        for mark in reversed(self._trusted):
            if mark.time_ns <= strayed.time_ns or mark.away_m(strayed) <= self.limits.step_m / 4:
                return mark.time_ns
        return self._mark.time_ns

    def _is_near(self, last: Point, late: Point) -> bool:
        """Whether a late position lies where the aircraft can have been."""
        away_s = (last.time_ns - late.time_ns) / NS_PER_S
        speed_mps = math.hypot(*(0.0 if math.isnan(part) else part for part in last.velocity_ned_mps))
        reach_m = (speed_mps + 15.0) * away_s + self.limits.step_m
        return math.hypot(*_moved_m(late, last)) <= reach_m


def _moved_m(a: Point, b: Point) -> tuple[float, float]:
    """North and east from a to b on a sphere."""
    north = math.radians(b.latitude_deg - a.latitude_deg)
    east = math.radians(math.remainder(b.longitude_deg - a.longitude_deg, 360.0))
    middle = math.radians((a.latitude_deg + b.latitude_deg) / 2)
    return EARTH_RADIUS_M * north, EARTH_RADIUS_M * east * math.cos(middle)


def _mean(a: float, b: float) -> float:
    """Of what is told; an unknown part counts as the other, both unknown as nothing."""
    if math.isnan(a):
        return 0.0 if math.isnan(b) else b
    return a if math.isnan(b) else (a + b) / 2


def distance_m(a: Point, b: Point, ahead_m: tuple[float, float] = (0.0, 0.0)) -> float:
    """From a, moved north and east by `ahead_m`, to b, horizontally, on a sphere."""
    north_m, east_m = _moved_m(a, b)
    return math.hypot(north_m - ahead_m[0], east_m - ahead_m[1])
