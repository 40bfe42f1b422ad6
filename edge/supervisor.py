"""Keeps child processes alive: restart with backoff and a cap, kill what hangs."""

import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Literal

from edge.environment import clean_environment
from skywarden.clock import NS_PER_S

KILL_WAIT_S = 0.5


class RestartPolicy:
    """When a part that died may start again; a plain object that is handed monotonic time.

    At most `max_per_minute` starts within a minute, with a backoff that doubles from `first_delay_s`; beyond
    the cap the part is degraded and tried once a minute, until a start lives longer than `quiet_s`.
    """

    def __init__(self, *, max_per_minute: int = 5, first_delay_s: float = 0.5, quiet_s: float = 30.0) -> None:
        self._max_per_minute = max_per_minute
        self._first_delay_ns = int(first_delay_s * NS_PER_S)
        self._quiet_ns = int(quiet_s * NS_PER_S)
        self._starts: deque[int] = deque(maxlen=max_per_minute)
        self._delay_ns = self._first_delay_ns
        self._next_ns = 0
        self._is_degraded = False

    def started(self, now_ns: int) -> None:
        """The part was started."""
        self._starts.append(now_ns)

    def died(self, now_ns: int) -> None:
        """The part ended without being asked to; sets when it may start again."""
        lived_ns = now_ns - self._starts[-1] if self._starts else 0
        if lived_ns > self._quiet_ns:
            self._delay_ns = self._first_delay_ns
            self._is_degraded = False
        elif len(self._starts) == self._max_per_minute and now_ns - self._starts[0] < 60 * NS_PER_S:
            self._is_degraded = True
        self._next_ns = now_ns + (60 * NS_PER_S if self._is_degraded else self._delay_ns)
        self._delay_ns = min(self._delay_ns * 2, 30 * NS_PER_S)

    def may_start(self, now_ns: int) -> bool:
        """Whether it is time to start (again)."""
        return now_ns >= self._next_ns

    @property
    def is_degraded(self) -> bool:
        """Whether the cap was reached and no start since has lived long."""
        return self._is_degraded


ChildState = Literal["running", "waiting", "degraded", "stopped"]


class Child:
    """One supervised process. It must give signs of life (`alive`), or it counts as hanging and is killed.

    `argv` makes the command of start number 0, 1, 2 ...; starting up may take `start_s`.
    """

    def __init__(
        self, name: str, argv: Callable[[int], Sequence[str]], *, hang_s: float, start_s: float = 30.0
    ) -> None:
        self.name = name
        self._argv = argv
        self._hang_ns = int(hang_s * NS_PER_S)
        self._start_ns = int(start_s * NS_PER_S)
        self._policy = RestartPolicy()
        self._process: subprocess.Popen[bytes] | None = None
        self._deadline_ns = 0
        self._next_kill_ns = 0
        self.start_count = 0
        self.last_end = ""

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return self._process.pid if self._process else None

    def alive(self, now_ns: int) -> None:
        """A sign of life from the working loop of the child."""
        self._deadline_ns = now_ns + self._hang_ns

    def tend(self, now_ns: int) -> ChildState:
        """Start, notice death, kill a hang; call several times a second with monotonic time."""
        if self._process is not None:
            code = self._process.poll()
            if code is None and now_ns <= self._deadline_ns:
                return "running"
            if code is None:
                if not self._killed(now_ns):
                    return "degraded"
                self.last_end = "gave no sign of life and was killed"
            else:
                self.last_end = _ended(code)
            self._process = None
            self._policy.died(now_ns)
        if not self._policy.may_start(now_ns):
            return "degraded" if self._policy.is_degraded else "waiting"
        self._start(now_ns)
        return "running"

    def stop(self, timeout_s: float = 3.0) -> None:
        """Ask it to end, then end it."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            kill_and_collect(self._process, wait_s=5.0)
        self._process = None

    def _killed(self, now_ns: int) -> bool:
        """Kill what hangs; false while the kernel does not let go of it (a device that does not answer)."""
        assert self._process is not None, "there is something to kill"
        if now_ns < self._next_kill_ns:
            return False
        self._process.kill()
        try:
            self._process.wait(timeout=KILL_WAIT_S)
        except subprocess.TimeoutExpired:
            self.last_end = "hangs in the kernel and cannot be killed"
            self._next_kill_ns = now_ns + 5 * NS_PER_S
            return False
        return True

    def _start(self, now_ns: int) -> None:
        argv = list(self._argv(self.start_count))
        self._process = subprocess.Popen(argv, env=clean_environment(), stdin=subprocess.DEVNULL)
        self.start_count += 1
        self._deadline_ns = now_ns + self._start_ns
        self._policy.started(now_ns)


def kill_and_collect(process: subprocess.Popen[bytes], *, wait_s: float) -> None:
    """Kill a process and wait `wait_s` for its end.

    A slower one (a device that does not answer, a busy computer) is waited for by a thread of its own, so
    that the caller does not hang and no dead process is left uncollected.
    """
    process.kill()
    try:
        process.wait(timeout=wait_s)
    except subprocess.TimeoutExpired:
        threading.Thread(target=process.wait, name=f"collect-{process.pid}", daemon=True).start()


def python_module(name: str) -> list[str]:
    """The command that runs a module of ours in a fresh interpreter."""
    return [sys.executable, "-m", name]


def _ended(code: int) -> str:
    if code >= 0:
        return f"ended with code {code}"
    return f"was ended by {signal.Signals(-code).name}"
