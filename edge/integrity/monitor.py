"""All checks of one platform's GNSS together: handed decoded messages and time, gives a verdict."""

import math
from dataclasses import dataclass, field
from typing import NamedTuple

from edge.integrity.gnss_time import ClockStepCheck, StepLimits
from edge.integrity.inertial import InertialCheck
from edge.integrity.motion import NS_PER_S, MotionCheck, MotionLimits, Point
from edge.integrity.receiver import AgreementCheck, FixCheck, ReceiverLimits, StuckCheck
from edge.integrity.verdict import GOOD, Timeline, Verdict, worst
from skywarden.mavlink.decode import EstimatorStatus

STANDING_MPS = 1.0
ESTIMATOR_SIGMA_M = 10.0
ESTIMATOR_FOR_NS = NS_PER_S
REBOOT_MS = 600_000
FIRST, SECOND = 0, 1


@dataclass(frozen=True, kw_only=True, slots=True)
class IntegrityLimits:
    """The limits of every check; see each."""

    motion: MotionLimits = field(default_factory=MotionLimits)
    receiver: ReceiverLimits = field(default_factory=ReceiverLimits)
    gnss_time: StepLimits = field(default_factory=StepLimits)
    boot_time: StepLimits = field(default_factory=lambda: StepLimits(step_s=5.0))


class Fix(NamedTuple):
    """One answer of one receiver; `error_m` is its own one-sigma figure, 0 when it tells none.

    `stamp` is its own time in whatever unit, to see that it measures; None when not told.
    """

    point: Point
    fix_type: int
    stamp: int | None
    error_m: float


class IntegrityMonitor:
    """Judges what is heard of one autopilot; plain, handed messages and times, never raises.

    Attributes:
        timeline: which verdict governs which instant.
    """

    def __init__(self, limits: IntegrityLimits | None = None) -> None:
        limits = limits or IntegrityLimits()
        self.timeline = Timeline()
        self._estimate = MotionCheck(limits.motion)
        self._receiver = MotionCheck(limits.motion)
        self._fix = FixCheck(limits.receiver)
        self._stuck = StuckCheck(limits.receiver)
        self._own = AgreementCheck(limits.receiver, "the autopilot's position and its receiver's")
        self._pair = AgreementCheck(limits.receiver, "the two receivers")
        self._utc = ClockStepCheck("GNSS time", limits.gnss_time)
        self._boot = ClockStepCheck("the autopilot's clock", limits.boot_time)
        self._inertial = InertialCheck()
        self._checks = (self._fix, self._utc, self._boot, self._inertial, self._own, self._pair, self._stuck)
        self._estimator: Verdict | None = None
        self._estimator_since_ns: int | None = None
        self._last_boot_ms = self._newest_boot_ms = 0
        self._estimate_ns: int | None = None
        self._speed_mps = 0.0
        self._is_armed = True

    @property
    def verdict(self) -> Verdict:
        """What holds now."""
        return self.timeline.latest

    def take_estimate(self, point: Point, received_ns: int) -> bool:
        """The autopilot's own position; whether it may be used."""
        speed_mps = math.hypot(point.velocity_ned_mps[0], point.velocity_ned_mps[1])
        self._speed_mps = 0.0 if math.isnan(speed_mps) else speed_mps
        self._estimate_ns = received_ns
        usable = self._estimate.take(point, is_standing=self._is_standing)
        self._own.take_ours(point)
        self._inertial.take_velocity(point.time_ns, point.velocity_ned_mps)
        self._note(point.time_ns)
        return usable

    def take_fix(self, fix: Fix, received_ns: int) -> bool:
        """A 3D fix of the first receiver; whether it may be used where the autopilot tells no position."""
        velocity = fix.point.velocity_ned_mps
        is_alone = self._estimate_ns is None or abs(received_ns - self._estimate_ns) > 5 * NS_PER_S
        if is_alone:
            speed_mps = math.hypot(velocity[0], velocity[1])
            self._speed_mps = 0.0 if math.isnan(speed_mps) else speed_mps
            self._inertial.take_velocity(fix.point.time_ns, velocity)
        usable = self._receiver.take(fix.point, is_standing=self._is_standing)
        self._stuck.take(fix.point, fix.stamp, self._speed_mps, received_ns)
        self._own.take_other(fix.point, fix.error_m)
        self._pair.take_ours(fix.point)
        self._note(fix.point.time_ns, is_alone=is_alone)
        return usable

    def take_second_fix(self, fix: Fix) -> None:
        """A 3D fix of the second receiver, to compare."""
        self._pair.take_other(fix.point, fix.error_m)
        self._note(fix.point.time_ns)

    def take_fix_type(self, receiver: int, fix_type: int, received_ns: int) -> None:
        """Which fix a receiver (`FIRST`, `SECOND`) has: 3 and more is three-dimensional."""
        self._fix.take(receiver, received_ns, has_fix=fix_type >= 3)
        self._note(received_ns)

    def take_no_height(self, received_ns: int) -> None:
        """A place is known, but of heights only those above home."""
        said = "only heights above home are told, which nothing relates to the ellipsoid"
        self._fix.lose(received_ns, said, "no_height")
        self._note(received_ns)

    def has_position(self, received_ns: int) -> bool:
        """Whether any position can be had at all: a receiver has a fix again, or never lost it."""
        self._fix.settle(received_ns)
        return self._fix.verdict.state == "good"

    def take_no_place(self, received_ns: int) -> None:
        """The autopilot told 0, 0 or another place that means that it knows none."""
        self._fix.lose(received_ns, "the autopilot tells no position")
        self._note(received_ns)

    def take_estimator(self, status: EstimatorStatus, received_ns: int) -> None:
        """What the autopilot's filter says of itself; believed when it lasts a second."""
        fault = self._estimator_fault(status)
        if fault is None:
            self._estimator = self._estimator_since_ns = None
        elif self._estimator_since_ns is None:
            self._estimator_since_ns = received_ns
        elif received_ns - self._estimator_since_ns >= ESTIMATOR_FOR_NS:
            since_ns = self._estimator_since_ns
            self._estimator = Verdict("suspect", "gnss_glitch", fault, since_ns, ESTIMATOR_SIGMA_M)
        self._note(received_ns)

    def take_gnss_time(self, unix_s: float, boot_ms: int, received_ns: int) -> None:
        """GNSS time (seconds of 1970, plausible or not: a clock of the wrong year runs evenly too)."""
        if boot_ms < self._last_boot_ms - 1_000:
            self._utc.forget()
        self._last_boot_ms = boot_ms
        self._utc.take(unix_s - boot_ms / 1e3, received_ns)
        self._note(received_ns)

    def take_boot_time(self, boot_ms: int, received_ns: int) -> None:
        """The autopilot's clock against ours; one that begins anew is a reboot."""
        if boot_ms < min(self._newest_boot_ms - 5_000, REBOOT_MS):
            for check in (self._boot, self._estimate, self._receiver):
                check.forget()
            self._newest_boot_ms = boot_ms
        self._newest_boot_ms = max(self._newest_boot_ms, boot_ms)
        self._boot.take(received_ns / NS_PER_S - boot_ms / 1e3, received_ns)
        if self._boot.verdict.state != "good" or self.timeline.latest.reason == "gnss_time":
            self._note(received_ns)

    def take_ground_speed(self, speed_mps: float, received_ns: int) -> None:
        """Speed over ground from another message than the position's."""
        self._inertial.take_ground_speed(speed_mps, received_ns)

    def take_acceleration(
        self, time_ns: int, north_mps2: float, east_mps2: float, heading_rad: float
    ) -> None:
        """What the accelerometers felt, turned level, and where the nose points."""
        self._inertial.take_acceleration(time_ns, north_mps2, east_mps2, heading_rad)

    def take_armed(self, is_armed: bool) -> None:
        """Whether the motors may turn."""
        self._is_armed = is_armed

    @property
    def _is_standing(self) -> bool:
        return not self._is_armed and self._speed_mps < STANDING_MPS

    def _estimator_fault(self, status: EstimatorStatus) -> str | None:
        if status.is_glitching:
            return "the autopilot's filter reports a GNSS glitch"
        if self._is_armed and status.is_constant_position and self._speed_mps > STANDING_MPS:
            return "the autopilot's filter has no position and assumes a constant one"
        if status.worst_ratio > 1.0:
            return f"the autopilot's filter rejects GNSS (test ratio {status.worst_ratio:.1f})"
        return None

    def _note(self, now_ns: int, *, is_alone: bool = False) -> None:
        motion = self._receiver.verdict if is_alone else self._estimate.verdict
        found = [verdict for check in self._checks if (verdict := check.verdict) is not GOOD]
        if motion is not GOOD:
            found.append(motion)
        if not is_alone and self._receiver.verdict.state == "bad":
            verdict = self._receiver.verdict
            found.append(verdict._replace(state="suspect", sigma_m=ESTIMATOR_SIGMA_M))
        if self._estimator is not None:
            found.append(self._estimator)
        if not found and self.timeline.latest is GOOD:
            return
        self.timeline.note(worst(found), now_ns)
