"""What is believed of the platform's position, and since when: verdicts and their timeline."""

from bisect import bisect_right
from typing import Literal, NamedTuple

State = Literal["good", "suspect", "bad"]
SEVERITY: dict[State, int] = {"good": 0, "suspect": 1, "bad": 2}
MAX_ENTRIES = 1_000
SET_BACK_NS = 60_000_000_000

REASONS = ("no_fix", "no_height", "gnss_frozen", "gnss_glitch", "gnss_drift", "gnss_disagree", "gnss_time")
"""Words that a verdict may give, the first ones first where several hold at once."""


class Verdict(NamedTuple):
    """One judgement: `reason` is a word of `REASONS` ("" when good) and `detail` has the numbers.

    It holds from `since_ns` on, which may lie before the moment at which it was found. While suspect a
    position counts with a one-sigma error of at least `sigma_m` per horizontal axis; while bad there is none.
    """

    state: State
    reason: str = ""
    detail: str = ""
    since_ns: int = 0
    sigma_m: float = 0.0


GOOD = Verdict("good")


def worst(verdicts: list[Verdict]) -> Verdict:
    """The gravest of several, among equals the one whose reason stands first; the widest sigma of all."""
    found = [verdict for verdict in verdicts if verdict.state != "good"]
    if not found:
        return GOOD
    top = min(found, key=lambda verdict: (-SEVERITY[verdict.state], REASONS.index(verdict.reason)))
    return top._replace(sigma_m=max(verdict.sigma_m for verdict in found))


class Timeline:
    """Which verdict governs an instant; bounded, and cheap to ask for the present."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._verdicts: list[Verdict] = []

    @property
    def latest(self) -> Verdict:
        """What holds now."""
        return self._verdicts[-1] if self._verdicts else GOOD

    def at(self, time_ns: int) -> Verdict:
        """What holds at an instant, by all that is known today."""
        if not self._starts:
            return GOOD
        if time_ns >= self._starts[-1]:
            return self._verdicts[-1]
        index = bisect_right(self._starts, time_ns)
        return self._verdicts[index - 1] if index else GOOD

    def note(self, verdict: Verdict, now_ns: int) -> bool:
        """Take the verdict of `now_ns`; whether it differs from the one before.

        A verdict reaches back to its `since_ns`, but never softens a graver one that stands there.
        """
        latest = self.latest
        if self._starts and now_ns < self._starts[-1] - SET_BACK_NS:
            self._starts.clear()  # our clock was set back: what is noted under later times says nothing
            self._verdicts.clear()
        if (verdict.state, verdict.reason) == (latest.state, latest.reason):
            if self._verdicts:
                wide = max(verdict.sigma_m, latest.sigma_m)
                self._verdicts[-1] = latest._replace(detail=verdict.detail, sigma_m=wide)
            return False
        start_ns = now_ns if verdict.state == "good" else min(verdict.since_ns or now_ns, now_ns)
        rank = SEVERITY[verdict.state]
        while self._starts and self._starts[-1] >= start_ns:
            if SEVERITY[self._verdicts[-1].state] > rank:
                start_ns = max(now_ns, self._starts[-1] + 1)
                break
            self._starts.pop()
            self._verdicts.pop()
        if self._verdicts and SEVERITY[self._verdicts[-1].state] > rank:
            start_ns = max(start_ns, now_ns)
        self._starts.append(start_ns)
        self._verdicts.append(verdict)
        if len(self._starts) > MAX_ENTRIES:
            del self._starts[: MAX_ENTRIES // 4], self._verdicts[: MAX_ENTRIES // 4]
        return True
