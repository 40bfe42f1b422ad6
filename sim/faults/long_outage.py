"""Scenario S4: hours of silence queued aboard, one platform killed meanwhile; then the link is back.

Real edge processes and a real station. The station is down while the platforms queue what six hours at ten
records a second leave (compressed: they write as fast as they can).
"""

import contextlib
import random
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from sim.faults.load import processor_s
from sim.faults.processes import EdgeProcess, Processes
from sim.faults.result import Profile, Result
from skywarden.errors import PeerUnavailableError

_EDGE = "sim.faults.outage_edge"
_MAX_RSS_MIB = 150.0


@dataclass(frozen=True, slots=True)
class Plan:
    """Platforms, records and stills of each, the drain rate asked for (0: only shown), and the patience."""

    platforms: int
    records: int
    stills: int
    drain_goal: float
    patience_s: float


PLANS: dict[Profile, Plan] = {
    "quick": Plan(2, 6_000, 40, 0.0, 90.0),
    "full": Plan(5, 216_000, 100, 5_000.0, 1_800.0),
    "soak": Plan(20, 216_000, 100, 5_000.0, 3 * 3_600.0),
}


def run(profile: Profile, seed: int, plan: Plan | None = None) -> Result:
    """Queue, kill one, link up, drain, judge."""
    result = Result("S4", profile, seed)
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="skywarden-s4-") as folder, contextlib.ExitStack() as ends:
        silence = _Silence(Path(folder), plan or PLANS[profile], random.Random(seed))
        ends.callback(silence.cast.stop)
        silence.queue_up()
        silence.link_up(result)
        silence.cast.stop()
        verdict = silence.cast.judge(result)
        promised = sum(one.is_durable for one in silence.cast.checker.written.values())
        result.expect_equal("stored once, of those promised", verdict.stored_once, promised)
    result.seconds = time.monotonic() - began_s
    return result


@dataclass(slots=True)
class _Silence:
    folder: Path
    plan: Plan
    rng: random.Random
    cast: Processes = field(init=False)

    def __post_init__(self) -> None:
        self.cast = Processes(self.folder)

    def queue_up(self) -> None:
        """The station's address is known, and nobody answers there; one platform is killed half way."""
        self.cast.enrol(self.plan.platforms)
        self.cast.start_ground()
        self.cast.stop_ground()
        edges = self.cast.edges
        for edge in edges:
            self._start_edge(edge)
        victim = self.rng.choice(edges)
        self._until(lambda: victim.durable > self.plan.records // 2)
        self.cast.kill_edge(victim)
        self._start_edge(victim)
        self._until(lambda: all("queued" in edge.told for edge in edges))

    def link_up(self, result: Result) -> None:
        """The station is back: an alert from each, then everything."""
        for edge in self.cast.edges:
            edge.say("go")
        self.cast.start_ground()
        ground = self.cast.ground
        assert ground is not None
        began_s, before_s = time.monotonic(), processor_s(ground.pid)
        self._until(lambda: all("drained" in edge.told for edge in self.cast.edges))
        took_s, station_s = time.monotonic() - began_s, processor_s(ground.pid) - before_s
        told = [edge.told for edge in self.cast.edges]
        alerts = [float(one["alert"][0]) for one in told]
        total = sum(int(one["drained"][1]) for one in told)
        slowest_s = max(float(one["drained"][0]) for one in told)
        result.observe("records queued", total)
        result.expect_at_most("new alert acknowledged after link up, worst s", max(alerts), 2.0)
        if self.plan.drain_goal:
            result.expect_at_least("drain, records a second, all together", total / slowest_s, 5_000.0)
        else:
            result.observe("drain, records a second, all together", total / slowest_s)
        result.observe("station start to everything drained, s", took_s)
        aboard_s = sum(float(one["drained"][5]) for one in told)
        result.observe("processor a record: aboard, us", aboard_s / total * 1e6)
        result.observe("processor a record: station, contacts and all, us", station_s / total * 1e6)
        peak_mib = max(int(one["drained"][2]) for one in told) / 1024
        result.expect_at_most("peak resident memory of an edge, MiB", peak_mib, _MAX_RSS_MIB)
        before = max(int(one["drained"][3]) for one in told)
        after = max(int(one["drained"][4]) for one in told)
        result.observe("largest outbox file full, MB", before / 1e6)
        result.expect_at_most("largest outbox file drained, MB", after / 1e6, max(1.0, 0.5 * before / 1e6))

    def _start_edge(self, edge: EdgeProcess) -> None:
        self.cast.start_edge(edge, _EDGE, [self.plan.records, self.plan.stills])

    def _until(self, is_true: Callable[[], bool]) -> None:
        if not self.cast.until(is_true, self.plan.patience_s):
            raise PeerUnavailableError(f"S4: not done within {self.plan.patience_s:.0f} s")
