"""Scenario S15: readers that take 200 bytes a second, a station that is frozen, a store that others lock.

A slow reader must cost nobody anything: what comes in is acknowledged as fast as without it, memory stays
bounded, and it learns in the end everything that is shown, or that it must start anew. A partner's feed and
PostGIS are not there yet: the same is asked of SQLite, whose lock another program holds.
"""

import signal
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import apsw

from edge.link.downlink import Downlink, LinkConfig
from edge.link.outbox import Outbox
from ground.config import GroundConfig
from ground.picture.live import LivePicture
from ground.serve import GroundHandle, start_ground, store_path
from sim.faults.contents import made_health, made_sighting
from sim.faults.memory import resident_bytes
from sim.faults.processes import Processes
from sim.faults.result import Profile, Result
from sim.faults.slow_readers import SlowReaders
from skywarden import evidence
from skywarden.link import keys
from skywarden.wire import encode

_STREAM = "/api/v1/live"
_EDGE = "sim.faults.edge_process"
_PLATFORM = "uav01"
_MAX_GROWTH_MIB = 48.0
_NEWEST_CHANGES = 900


@dataclass(frozen=True, slots=True)
class Plan:
    """Readers; probes of a round and rounds of each kind; sightings that fill the picture; seconds for which
    the lock is held and the station frozen; platforms and their records a second; seconds to drain."""

    readers: int
    probes: int
    rounds: int
    sightings: int
    locked_s: float
    frozen_s: float
    platforms: int
    rate: float
    drain_s: float = 60.0


PLANS: dict[Profile, Plan] = {
    "quick": Plan(20, 40, 2, 1_500, 1.0, 2.0, 1, 20.0),
    "full": Plan(50, 400, 15, 20_000, 60.0, 60.0, 20, 50.0),
    "soak": Plan(200, 2_000, 20, 200_000, 300.0, 600.0, 20, 50.0),
}


def run(profile: Profile, seed: int, plan: Plan | None = None) -> Result:
    """Slow readers and a locked store beside a station of this process; then a real one that is frozen."""
    result = Result("S15", profile, seed)
    began_s, plan = time.monotonic(), plan or PLANS[profile]
    with tempfile.TemporaryDirectory(prefix="skywarden-s15-") as folder:
        _beside_readers(Path(folder) / "readers", plan, result)
        _frozen(Path(folder) / "frozen", plan, result)
    result.seconds = time.monotonic() - began_s
    return result


class _Scene:
    """A station and one platform, both in this process."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.ground: GroundHandle = start_ground(
            GroundConfig(state=str(folder / "ground"), http="127.0.0.1:0", link="127.0.0.1:0")
        )
        pair = keys.create_key_file(folder / "link.key")
        signer = evidence.create_evidence_key(folder / "link.evidence.key")
        self.ground.enrol(_PLATFORM, evidence.enrolment_line(pair, signer))
        self.outbox = Outbox(folder / "outbox.sqlite", _PLATFORM)
        config = LinkConfig(
            ground=self.ground.link_address,
            ground_public_key=self.ground.server_public_key,
            heartbeat_s=0.25,
            silence_s=2.0,
            retry_min_s=0.5,
            retry_max_s=5.0,
        )
        self.downlink = Downlink(config, self.outbox, pair, evidence_key=signer)
        self.downlink.start()
        self.number = 0

    def close(self) -> None:
        """End both."""
        self.downlink.stop()
        self.outbox.close()
        self.ground.stop()

    def probe(self, count: int) -> list[float]:
        """Seconds from recording something to its acknowledgement, one after the other."""
        delays = []
        for _ in range(count):
            self.number += 1
            began_s, now_ns = time.monotonic(), time.time_ns()
            self.outbox.append("health", now_ns, encode(made_health(_PLATFORM, str(self.number), now_ns)))
            self.drained(60.0)
            delays.append(time.monotonic() - began_s)
        return delays

    def fill(self, count: int) -> set[str]:
        """So many sightings, acknowledged; the ids of the last hundred."""
        names: set[str] = set()
        for _ in range(0, count, 100):
            now_ns, entries, names = time.time_ns(), [], set()
            for _ in range(100):
                self.number += 1
                one = made_sighting(
                    f"{_PLATFORM}.{self.number}",
                    f"{_PLATFORM}.t{self.number % 40}",
                    _PLATFORM,
                    self.number,
                    now_ns,
                )
                entries.append(("sighting", now_ns, encode(one)))
                names.add(one.sighting_id)
            self.outbox.append_many(entries)
        self.drained(120.0)
        return names

    def drained(self, limit_s: float) -> bool:
        """Wait until the outbox is empty; whether it is."""
        return self.until(lambda: not self.outbox.state().held, limit_s)

    def until(self, holds: Callable[[], bool], limit_s: float) -> bool:
        """Wait for something to come true; whether it did in time."""
        pause, end_s = threading.Event(), time.monotonic() + limit_s
        while not holds():
            if time.monotonic() > end_s:
                return False
            pause.wait(0.001)
        return True


def _beside_readers(folder: Path, plan: Plan, result: Result) -> None:
    scene = _Scene(folder)
    try:
        scene.probe(10)
        opening: list[float] = []
        alone: list[float] = []
        beside: list[float] = []
        people = [f"Bearer {scene.ground.program_key(f'slow-{n}')}" for n in range(plan.readers)]
        readers = SlowReaders(scene.ground.http_address, _STREAM, people)
        try:
            _fall_behind(scene, readers, plan, result)
        finally:
            readers.close()
        for _ in range(plan.rounds):
            readers = SlowReaders(scene.ground.http_address, _STREAM, people)
            try:
                opening += scene.probe(plan.probes // 4)
                scene.until(readers.are_open, 10.0)
                beside += scene.probe(plan.probes)
            finally:
                readers.close()
            alone += scene.probe(plan.probes)
        calm, slow = _p99(alone), _p99(beside)
        result.observe("record to acknowledgement, p99 while they come in, ms", 1e3 * _p99(opening))
        result.observe("record to acknowledgement, p99 without readers, ms", 1e3 * calm)
        result.observe("record to acknowledgement, p99 with them, ms", 1e3 * slow)
        result.expect_at_most("p99 with slow readers, times that without", slow / calm, 1.2)
        _locked(scene, plan, result)
    finally:
        scene.close()


def _fall_behind(scene: _Scene, readers: SlowReaders, plan: Plan, result: Result) -> None:
    """Much more is shown than they take; then they read on, and nobody may have missed anything silently."""
    scene.fill(1_000)
    before = resident_bytes()
    scene.fill(plan.sightings)
    grown_mib = (resident_bytes() - before) / 2**20
    before_last = scene.ground.picture.revision
    last = scene.fill(100)
    is_shown = scene.until(lambda: last <= _shown_since(scene.ground.picture, before_last), 120.0)
    result.expect_equal("the last sightings came to be shown", int(is_shown), 1)
    has_caught_up = readers.catch_up(scene.ground.picture.revision, 60.0)
    silent = sum(not last <= one.sightings for one in readers.readers)
    result.observe("slow readers", len(readers.readers))
    result.observe(
        "slow readers that were told to start anew", sum(bool(one.resyncs) for one in readers.readers)
    )
    result.expect_zero("slow readers that missed something silently", silent)
    result.expect_equal("slow readers that caught up when they read on", int(has_caught_up), 1)
    result.expect_at_most("memory grown while they were behind, MiB", grown_mib, _MAX_GROWTH_MIB)


def _shown_since(picture: LivePicture, revision: int) -> set[str]:
    """The sightings that a reader who has seen `revision` is shown, of the newest changes.

    On a slow host much that was acknowledged before `revision` was read is shown after it: a picture keeps
    a thousand sightings, so nobody may ask for older changes than that.
    """
    found: set[str] = set()
    revision = max(revision, picture.revision - _NEWEST_CHANGES)
    while changes := picture.changes_since(revision):
        found |= {one.key for one in changes if one.kind == "sighting"}
        revision = changes[-1].revision
    return found


def _locked(scene: _Scene, plan: Plan, result: Result) -> None:
    """Another program holds the store's write lock; nothing is acknowledged meanwhile, and nothing lost."""
    before = scene.ground.store.counts().records
    held = apsw.Connection(str(store_path(scene.ground.state_dir)))
    try:
        held.set_busy_timeout(10_000)
        held.execute("BEGIN IMMEDIATE")
        for _ in range(20):
            scene.number += 1
            now_ns = time.time_ns()
            scene.outbox.append("health", now_ns, encode(made_health(_PLATFORM, str(scene.number), now_ns)))
        threading.Event().wait(plan.locked_s)
        waiting = scene.outbox.state().held
        held.execute("ROLLBACK")
    finally:
        held.close()
    began_s = time.monotonic()
    is_drained = scene.drained(plan.drain_s)
    result.expect_zero("acknowledged while another held the store's lock", 20 - waiting)
    result.expect_at_most("lock gone: drained after s", time.monotonic() - began_s, plan.drain_s)
    stored = scene.ground.store.counts().records - before
    result.expect_equal("records stored of 20, each once", stored if is_drained else -1, 20)


def _frozen(folder: Path, plan: Plan, result: Result) -> None:
    """A real station is stopped by SIGSTOP while platforms record, and goes on after it."""
    cast = Processes(folder)
    try:
        cast.enrol(plan.platforms)
        cast.start_ground()
        for edge in cast.edges:
            cast.start_edge(edge, _EDGE, [plan.rate])
        cast.until(lambda: all("acknowledged" in edge.told for edge in cast.edges), 60.0)
        cast.signal_ground(signal.SIGSTOP)
        threading.Event().wait(plan.frozen_s)
        for edge in cast.edges:
            assert edge.process is not None
            edge.process.send_signal(signal.SIGTERM)  # it records no more
        cast.until(lambda: all("stopped" in edge.told for edge in cast.edges), 60.0)
        cast.signal_ground(signal.SIGCONT)
        began_s = time.monotonic()
        is_drained = cast.until(lambda: all(e.told.get("held") == ["0"] for e in cast.edges), plan.drain_s)
        result.expect_equal("station frozen and thawed: drained", int(is_drained), 1)
        result.expect_at_most("station thawed: drained after s", time.monotonic() - began_s, plan.drain_s)
    finally:
        cast.stop()
    cast.judge(result)


def _p99(delays: list[float]) -> float:
    return sorted(delays)[min(len(delays) - 1, round(0.99 * len(delays)))]
