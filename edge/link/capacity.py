"""How many bytes a second a link can carry at least, from how long answers took; a plain object.

What is sent at present says little: a wide link that is asked for little carries little. So delays are read.
The quickest answer of the last minute to a smaller batch shows what that one needs; a larger one took longer
by no less than its further bytes over the link's rate, whatever else stood before it. Each answer therefore
proves a rate, and none proves more than `PROOF_S` allows: below that, differences of delay are noise.
"""

from collections import deque
from dataclasses import dataclass, field

LOOK_LINK_S = 0.15
"""A look takes no more of the link than this: so long an alert may stand behind it."""
TRIAL_LINK_S = 2.0 * LOOK_LINK_S
TRIAL_EVERY_S = 30.0
"""Small batches prove little. So that a wide link can show it, one small look may take so much, seldom."""
PROOF_S = 0.05
LATE_S = 0.3
"""An answer that comes so much later than its size explains: the link has become narrow, or is full."""
_KEPT_S = 15.0
_FLOOR_S = 60.0
_MIN_ANSWERS = 5
_MIN_MORE_BYTES = 100
_MAX_ANSWERS = 512


@dataclass(frozen=True, slots=True)
class _Answer:
    at_s: float
    size: int
    delay_s: float


@dataclass(slots=True)
class Capacity:
    """Handed the size of each answered batch, its delay, and monotonic seconds.

    Kept is only what can still matter: of the answers those that no later one beats in size and delay both,
    of the proofs those that no later one exceeds. Hundreds of links in one process cost little so.
    """

    _answers: deque[_Answer] = field(default_factory=lambda: deque(maxlen=_MAX_ANSWERS))
    _latest: deque[float] = field(default_factory=lambda: deque(maxlen=_MIN_ANSWERS))
    _proofs: deque[tuple[float, float]] = field(default_factory=deque)
    _is_late: bool = False

    def answered(self, size: int, delay_s: float, now_s: float) -> None:
        """A batch of `size` bytes was answered after `delay_s`."""
        self._keep(_Answer(now_s, size, delay_s))
        known = self.bytes_per_s(now_s)
        expected_s = min(one.delay_s for one in self._answers) + (size / known if known else 0.0)
        self._is_late = known > 0.0 and delay_s > expected_s + LATE_S
        if self._is_late:
            self._proofs = deque((at_s, rate / 2.0) for at_s, rate in self._proofs)
        smaller = [one for one in self._answers if one.size <= size - _MIN_MORE_BYTES]
        if smaller:
            least = min(smaller, key=lambda one: one.delay_s)
            rate = (size - least.size) / max(PROOF_S, delay_s - least.delay_s)
            while self._proofs and self._proofs[-1][1] <= rate:
                self._proofs.pop()
            self._proofs.append((now_s, rate))

    def bytes_per_s(self, now_s: float) -> float:
        """The best rate that was proved lately; 0 while little is known."""
        while self._proofs and now_s - self._proofs[0][0] > _KEPT_S:
            self._proofs.popleft()
        if len(self._latest) < _MIN_ANSWERS or not self._proofs:
            return 0.0
        return self._proofs[0][1]

    @property
    def is_prompt(self) -> bool:
        """Whether the last answer came as soon as its size lets expect."""
        return not self._is_late

    def forget(self) -> None:
        """The link was silent: whatever it could carry before proves nothing."""
        self._answers.clear()
        self._latest.clear()
        self._proofs.clear()
        self._is_late = False

    def _keep(self, answer: _Answer) -> None:
        while self._latest and answer.at_s - self._latest[0] > _FLOOR_S:
            self._latest.popleft()
        kept = [one for one in self._answers if not _is_beaten(one, answer)]
        self._answers = deque([*kept, answer], maxlen=_MAX_ANSWERS)
        self._latest.append(answer.at_s)


def _is_beaten(one: _Answer, by: _Answer) -> bool:
    is_old = by.at_s - one.at_s > _FLOOR_S
    return is_old or (one.size >= by.size and one.delay_s >= by.delay_s)
