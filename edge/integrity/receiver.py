"""Whether the GNSS receivers say things that fit: a fix, fresh places, each other, and the autopilot."""

import math
from dataclasses import dataclass

from edge.integrity.motion import NS_PER_S, Point, distance_m
from edge.integrity.verdict import GOOD, Verdict

FRESH_NS = 5 * NS_PER_S


@dataclass(frozen=True, kw_only=True, slots=True)
class ReceiverLimits:
    """When receivers are doubted.

    Attributes:
        apart_m, apart_s: two places may differ by so much, plus so many seconds of flight (their delays
            differ), plus three times what both tell as their error.
        apart_for_s: for so long before it counts.
        agree_s: they must agree for so long before it is forgotten.
        refix_s: a fix that came back must hold for so long.
        stuck_s: a receiver whose messages go on without a new measurement is stuck after so long.
        stuck_m: a place that repeats to the last digit over so much flight is frozen.
        standing_mps: slower than this is no flight, but the noise of an estimate.
    """

    apart_m: float = 10.0
    apart_s: float = 0.5
    apart_for_s: float = 0.8
    agree_s: float = 2.0
    refix_s: float = 0.5
    stuck_s: float = 3.0
    stuck_m: float = 5.0
    standing_mps: float = 0.5


class FixCheck:
    """Whether any receiver has a 3D fix; by messages of each, told by number."""

    def __init__(self, limits: ReceiverLimits) -> None:
        self._limits = limits
        self._receivers: dict[int, tuple[int, bool]] = {}
        self._fixed_since_ns: int | None = None
        self.verdict: Verdict = GOOD

    def take(self, receiver: int, now_ns: int, *, has_fix: bool) -> None:
        """A receiver told at `now_ns` whether it has a fix."""
        self._receivers[receiver] = (now_ns, has_fix)
        fresh = [fix for heard_ns, fix in self._receivers.values() if abs(now_ns - heard_ns) <= FRESH_NS]
        if not any(fresh):
            self.lose(now_ns, "the receiver has no 3D fix")
            return
        if self.verdict.state == "good":
            return
        if self._fixed_since_ns is None:
            self._fixed_since_ns = now_ns
        self.settle(now_ns)

    def lose(self, now_ns: int, detail: str, reason: str = "no_fix") -> None:
        """There is no fix, by whatever message says so."""
        self._fixed_since_ns = None
        if self.verdict.reason != reason:
            since_ns = self.verdict.since_ns if self.verdict.state == "bad" else now_ns
            is_one = 0 <= now_ns - since_ns <= FRESH_NS
            self.verdict = Verdict("bad", reason, detail, since_ns if is_one else now_ns)

    def settle(self, now_ns: int) -> None:
        """Forget the loss once the fix has held for a while."""
        since_ns = self._fixed_since_ns
        if since_ns is not None and now_ns - since_ns >= self._limits.refix_s * NS_PER_S:
            self.verdict, self._fixed_since_ns = GOOD, None


class AgreementCheck:
    """Whether two streams of places agree; `ours` is the one that counts, `other` is compared with it."""

    def __init__(self, limits: ReceiverLimits, what: str) -> None:
        self._limits = limits
        self._what = what
        self._ours: Point | None = None
        self._apart_since_ns: int | None = None
        self._agree_since_ns: int | None = None
        self.verdict: Verdict = GOOD

    def take_ours(self, point: Point) -> None:
        """The newest place of the stream that counts."""
        self._ours = point

    def take_other(self, point: Point, error_m: float) -> None:
        """A place of the other stream; `error_m` is what is told of both errors."""
        ours = self._ours
        if ours is None or abs(point.time_ns - ours.time_ns) > NS_PER_S:
            return
        velocity = [0.0 if math.isnan(part) else part for part in ours.velocity_ned_mps[:2]]
        ahead_s = (point.time_ns - ours.time_ns) / NS_PER_S
        apart_m = distance_m(ours, point, (velocity[0] * ahead_s, velocity[1] * ahead_s))
        room_m = self._limits.apart_m + self._limits.apart_s * math.hypot(*velocity) + 3.0 * error_m
        now_ns = point.time_ns
        if apart_m > room_m:
            self._agree_since_ns = None
            if self._apart_since_ns is None or now_ns < self._apart_since_ns:
                self._apart_since_ns = now_ns
            if now_ns - self._apart_since_ns >= self._limits.apart_for_s * NS_PER_S or apart_m > 5 * room_m:
                said = f"{self._what} stand {apart_m:.0f} m apart"
                self.verdict = Verdict("suspect", "gnss_disagree", said, self._apart_since_ns, apart_m / 2.0)
            return
        self._apart_since_ns = None
        if self.verdict.state == "good":
            return
        if self._agree_since_ns is None or now_ns < self._agree_since_ns:
            self._agree_since_ns = now_ns
        if now_ns - self._agree_since_ns >= self._limits.agree_s * NS_PER_S:
            self.verdict = GOOD


class StuckCheck:
    """Whether a receiver still measures: its stamps go on, and its place changes while the aircraft flies."""

    def __init__(self, limits: ReceiverLimits) -> None:
        self._limits = limits
        self._stamp: int | None = None
        self._new_ns = 0
        self._heard_ns = 0
        self._last: Point | None = None
        self._repeats = 0
        self._flown_m = 0.0
        self._since_ns = 0
        self.verdict: Verdict = GOOD

    def take(self, point: Point, stamp: int | None, speed_mps: float, now_ns: int) -> None:
        """A place received at `now_ns`, the receiver's own stamp, and how fast the aircraft flies."""
        last, step_s = self._last, (now_ns - self._heard_ns) / NS_PER_S
        self._heard_ns = now_ns
        if last is None or step_s < 0.0 or stamp is None:
            self._new_ns = self._since_ns = now_ns
        elif stamp != self._stamp:
            self._new_ns = now_ns
        is_same = last is not None and (point.latitude_deg, point.longitude_deg, point.alt_m) == (
            last.latitude_deg,
            last.longitude_deg,
            last.alt_m,
        )
        if is_same and last is not None:
            self._repeats += stamp != self._stamp
            is_flying = speed_mps > self._limits.standing_mps
            self._flown_m += speed_mps * min(1.0, max(0.0, step_s)) if is_flying else 0.0
        else:
            self._repeats, self._flown_m, self._since_ns = 0, 0.0, now_ns
        self._last, self._stamp = point, stamp
        self._judge(now_ns)

    def _judge(self, now_ns: int) -> None:
        silent_s = (now_ns - self._new_ns) / NS_PER_S
        if self._repeats >= 3 and self._flown_m > self._limits.stuck_m:
            said = f"the receiver repeats one place over {self._flown_m:.0f} m of flight"
            since_ns = self._since_ns
        elif silent_s > self._limits.stuck_s and self._flown_m > self._limits.stuck_m:
            said = f"the receiver has measured nothing new for {silent_s:.1f} s"
            since_ns = self._new_ns
        else:
            self.verdict = GOOD
            return
        sigma_m = min(100.0, 2.0 + 0.1 * self._flown_m)
        self.verdict = Verdict("suspect", "gnss_frozen", said, since_ns, sigma_m)
