"""Whether a clock that should run evenly jumps: GNSS time against the autopilot's, that against ours."""

from dataclasses import dataclass

from edge.integrity.motion import NS_PER_S
from edge.integrity.verdict import GOOD, Verdict

SIGMA_M = 10.0


@dataclass(frozen=True, kw_only=True, slots=True)
class StepLimits:
    """When a step of a clock counts.

    Attributes:
        step_s: smaller ones are delays of the link.
        same_s: two offsets within this are the same.
        establish_s: an offset that holds for so long is the clock's own.
        accept_s: a new one that holds for so long is believed.
        return_s: back at the old one for so long, all is well again.
    """

    step_s: float = 1.0
    same_s: float = 0.5
    establish_s: float = 3.0
    accept_s: float = 60.0
    return_s: float = 2.0


class ClockStepCheck:
    """Watches one difference of two clocks, in seconds; `take` it with the time of reception."""

    def __init__(self, what: str, limits: StepLimits | None = None) -> None:
        self._what = what
        self._limits = limits or StepLimits()
        self._known_s: float | None = None
        self._candidate: tuple[float, int] | None = None
        self._back_since_ns: int | None = None
        self.verdict: Verdict = GOOD

    def forget(self) -> None:
        """The clocks began anew (a reboot): nothing is known of their difference."""
        self._known_s = self._candidate = self._back_since_ns = None
        self.verdict = GOOD

    def take(self, offset_s: float, now_ns: int) -> None:
        """One difference of the two clocks as it was told at `now_ns`."""
        limits, known_s = self._limits, self._known_s
        if known_s is not None and abs(offset_s - known_s) <= limits.step_s:
            self._candidate = None
            self._known_s = known_s + 0.05 * (offset_s - known_s)
            if self.verdict.state == "good":
                return
            if self._back_since_ns is None or now_ns < self._back_since_ns:
                self._back_since_ns = now_ns
            if now_ns - self._back_since_ns >= limits.return_s * NS_PER_S:
                self.verdict = GOOD
            return
        self._back_since_ns = None
        if self._candidate is None or abs(offset_s - self._candidate[0]) > limits.same_s:
            self._candidate = (offset_s, now_ns)
        held_ns = now_ns - self._candidate[1]
        if known_s is None:
            if held_ns >= limits.establish_s * NS_PER_S:
                self._known_s, self._candidate = offset_s, None
            return
        if held_ns >= limits.accept_s * NS_PER_S or held_ns < 0:
            self._known_s, self._candidate, self.verdict = offset_s, None, GOOD
            return
        since_ns = self.verdict.since_ns if self.verdict.state != "good" else now_ns
        said = f"{self._what} jumped by {offset_s - known_s:+.1f} s"
        self.verdict = Verdict("suspect", "gnss_time", said, since_ns, SIGMA_M)
