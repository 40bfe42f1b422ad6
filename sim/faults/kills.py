"""Scenario S1: real edge processes and a real ground station, killed with -9 at random, again and again.

Afterwards comes the quiet phase: everything runs, nothing new is recorded, until every outbox is empty.
"""

import random
import signal
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from sim.faults.processes import EdgeProcess, Processes
from sim.faults.result import Profile, Result
from skywarden.errors import PeerUnavailableError

_EDGE = "sim.faults.edge_process"
_START_S = 180.0


@dataclass(frozen=True, slots=True)
class Plan:
    """How much of it: seconds of faults, platforms, records a second each, seconds between two kills."""

    seconds: float
    platforms: int
    rate: float
    between_s: tuple[float, float]
    settle_s: float


PLANS: dict[Profile, Plan] = {
    "quick": Plan(22.0, 2, 20.0, (1.5, 3.0), 30.0),
    "full": Plan(600.0, 20, 25.0, (2.0, 6.0), 300.0),
    "soak": Plan(8 * 3_600.0, 20, 25.0, (2.0, 6.0), 600.0),
}


def run(profile: Profile, seed: int, plan: Plan | None = None) -> Result:
    """Kill, restart, calm down, judge."""
    result = Result("S1", profile, seed)
    began_s = time.monotonic()
    plan = plan or PLANS[profile]
    with tempfile.TemporaryDirectory(prefix="skywarden-s1-") as folder:
        kills = _Kills(Path(folder), plan, random.Random(seed))
        try:
            kills.start()
            kills.trouble()
            is_drained = kills.calm()
        finally:
            kills.cast.stop()
        kills.judge(result, is_drained=is_drained)
    result.seconds = time.monotonic() - began_s
    return result


@dataclass(slots=True)
class _Kills:
    folder: Path
    plan: Plan
    rng: random.Random
    awaited: set[str] = field(default_factory=set)
    first_acks_s: list[float] = field(default_factory=list)
    kills: int = 0
    bad_files: int = 0
    is_ground_awaited: bool = False
    cast: Processes = field(init=False)

    def __post_init__(self) -> None:
        self.cast = Processes(self.folder, self._hear)

    def start(self) -> None:
        """The station first, then the platforms; the faults begin when everything has run once."""
        self.cast.enrol(self.plan.platforms)
        self._start_ground()
        for edge in self.cast.edges:
            self._start_edge(edge)
        if not self.cast.until(lambda: all("acknowledged" in e.told for e in self.cast.edges), _START_S):
            raise PeerUnavailableError(f"S1: not everything delivered within {_START_S:.0f} s of its start")
        with self.cast.lock:
            self.first_acks_s.clear()

    def trouble(self) -> None:
        """Kill one after the other, at random, and start it again."""
        pause, end_s = threading.Event(), time.monotonic() + self.plan.seconds
        while time.monotonic() < end_s:
            pause.wait(self.rng.uniform(*self.plan.between_s))
            self.kills += 1
            if self.rng.random() < 0.4:
                self.bad_files += not self.cast.kill_ground()
                self._start_ground()
            else:
                edge = self.rng.choice(self.cast.edges)
                self.bad_files += not self.cast.kill_edge(edge)
                self._start_edge(edge)

    def calm(self) -> bool:
        """Nothing new is recorded; whether all outboxes are empty in time."""
        end_s, edges = time.monotonic() + self.plan.settle_s, self.cast.edges
        self.cast.until(lambda: all(edge.told for edge in edges), self.plan.settle_s)
        for edge in edges:
            if edge.process is not None:
                edge.process.send_signal(signal.SIGTERM)
        self.cast.until(lambda: all("stopped" in edge.told for edge in edges), self.plan.settle_s)
        left_s = max(0.0, end_s - time.monotonic())
        return self.cast.until(lambda: all(edge.told.get("held") == ["0"] for edge in edges), left_s)

    def judge(self, result: Result, *, is_drained: bool) -> None:
        """Hold the store against what was promised."""
        result.observe("kills", self.kills)
        self.cast.judge(result)
        result.expect_zero("outboxes not empty in the end", int(not is_drained))
        result.expect_zero("files that fail quick_check after a kill", self.bad_files)
        acks = sorted(self.first_acks_s)
        if acks:
            result.observe("first acknowledgement after a restart, median s", acks[len(acks) // 2])
            p99_s = acks[min(len(acks) - 1, int(0.99 * len(acks)))]
            result.expect_at_most("first acknowledgement after a restart, p99 s", p99_s, 5.0)
            result.observe("first acknowledgement after a restart, worst s", acks[-1])

    def _start_ground(self) -> None:
        self.cast.start_ground()
        with self.cast.lock:
            self.is_ground_awaited = True

    def _start_edge(self, edge: EdgeProcess) -> None:
        with self.cast.lock:
            self.awaited.add(edge.platform_id)
        self.cast.start_edge(edge, _EDGE, [self.plan.rate])

    def _hear(self, edge: EdgeProcess, words: list[str]) -> None:
        if words[0] != "acknowledged":
            return
        now_s, ground_s = time.monotonic(), self.cast.ground_spawned_s
        if edge.platform_id in self.awaited:
            self.awaited.discard(edge.platform_id)
            self.first_acks_s.append(now_s - max(edge.spawned_s, ground_s))
        if self.is_ground_awaited:
            self.is_ground_awaited = False
            self.first_acks_s.append(now_s - ground_s)
