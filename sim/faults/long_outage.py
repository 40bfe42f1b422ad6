"""Scenario S4: hours of silence queued aboard, one platform killed meanwhile; then the link is back.

Real edge processes and a real station. The station is down while the platforms queue what six hours at ten
records a second leave (compressed: they write as fast as they can).
"""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ground.link.authenticator import enrol
from ground.serve import authorized_dir
from ground.store.verify import verify_store
from sim.faults.checker import Checker
from sim.faults.result import Profile, Result
from skywarden import evidence
from skywarden.errors import PeerUnavailableError
from skywarden.link import keys

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


@dataclass(slots=True)
class _Edge:
    platform_id: str
    folder: Path
    process: subprocess.Popen[str] | None = None
    reader: threading.Thread | None = None
    told: dict[str, list[str]] = field(default_factory=dict)
    durable: int = 0


def run(profile: Profile, seed: int, plan: Plan | None = None) -> Result:
    """Queue, kill one, link up, drain, judge."""
    result = Result("S4", profile, seed)
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="skywarden-s4-") as folder, contextlib.ExitStack() as ends:
        silence = _Silence(Path(folder), plan or PLANS[profile], random.Random(seed))
        ends.callback(silence.stop)
        silence.queue_up()
        silence.link_up(result)
        silence.stop()
        silence.judge(result)
    result.seconds = time.monotonic() - began_s
    return result


@dataclass(slots=True)
class _Silence:
    folder: Path
    plan: Plan
    rng: random.Random
    checker: Checker = field(default_factory=Checker)
    edges: list[_Edge] = field(default_factory=list)
    ground: subprocess.Popen[str] | None = None
    link: str = "127.0.0.1:0"
    station_key: str = ""
    keys: dict[str, tuple[bytes, ...]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def state(self) -> Path:
        """The station's state folder."""
        return self.folder / "ground"

    def queue_up(self) -> None:
        """The station's address is known, and nobody answers there; one platform is killed half way."""
        for number in range(self.plan.platforms):
            edge = _Edge(f"uav{number:02}", self.folder / f"uav{number:02}")
            pair = keys.create_key_file(edge.folder / "link.key")
            signer = evidence.create_evidence_key(edge.folder / "link.evidence.key")
            enrol(authorized_dir(self.state), edge.platform_id, pair.public, evidence_keys=(signer.public,))
            self.keys[edge.platform_id] = (signer.public,)
            self.edges.append(edge)
        self._start_ground()
        self._stop_ground()
        for edge in self.edges:
            self._start_edge(edge)
        victim = self.rng.choice(self.edges)
        self._until(lambda: victim.durable > self.plan.records // 2)
        assert victim.process is not None
        os.kill(victim.process.pid, signal.SIGKILL)
        victim.process.wait(10)
        self._end_reader(victim)
        self._start_edge(victim)
        self._until(lambda: all("queued" in edge.told for edge in self.edges))

    def link_up(self, result: Result) -> None:
        """The station is back: an alert from each, then everything."""
        for edge in self.edges:
            assert edge.process is not None
            assert edge.process.stdin is not None
            edge.process.stdin.write("go\n")
            edge.process.stdin.flush()
        self._start_ground()
        began_s = time.monotonic()
        self._until(lambda: all("drained" in edge.told for edge in self.edges))
        took_s = time.monotonic() - began_s
        told = [edge.told for edge in self.edges]
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
        peak_mib = max(int(one["drained"][2]) for one in told) / 1024
        result.expect_at_most("peak resident memory of an edge, MiB", peak_mib, _MAX_RSS_MIB)
        before = max(int(one["drained"][3]) for one in told)
        after = max(int(one["drained"][4]) for one in told)
        result.observe("largest outbox file full, MB", before / 1e6)
        result.expect_at_most("largest outbox file drained, MB", after / 1e6, max(1.0, 0.5 * before / 1e6))

    def judge(self, result: Result) -> None:
        """Hold the store against what was promised."""
        verdict = self.checker.judge(self.state / "store.sqlite")
        found = verify_store(self.state / "store.sqlite", self.keys)
        promised = sum(one.is_durable for one in self.checker.written.values())
        result.expect_equal("stored once, of those promised", verdict.stored_once, promised)
        result.expect_zero("acknowledged and lost", verdict.acknowledged_and_lost)
        result.expect_zero("lost", verdict.lost)
        result.expect_zero("stored twice", verdict.stored_twice)
        result.expect_zero("stored records that do not verify", found.damaged)
        result.notes += [one for one in verdict.examples[:5] if one]

    def stop(self) -> None:
        """End all processes."""
        for edge in self.edges:
            if edge.process is not None and edge.process.poll() is None:
                edge.process.kill()
                edge.process.wait(10)
            self._end_reader(edge)
        self._stop_ground()

    def _start_ground(self) -> None:
        command = [sys.executable, "-m", "skywarden.cli", "ground", "serve", "--json", "-q"]
        command += ["--state", str(self.state), "--link", self.link, "--http", "127.0.0.1:0"]
        self.ground = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self.ground.stdout is not None
        line = self.ground.stdout.readline()
        if not line:
            raise PeerUnavailableError(f"the ground station ended at its start, code {self.ground.wait(10)}")
        told = json.loads(line)
        self.link, self.station_key = told["link"], told["station_key"]

    def _stop_ground(self) -> None:
        if self.ground is None:
            return
        self.ground.terminate()
        try:
            self.ground.wait(15)
        except subprocess.TimeoutExpired:
            self.ground.kill()
            self.ground.wait(10)
        if self.ground.stdout is not None:
            self.ground.stdout.close()
        self.ground = None

    def _start_edge(self, edge: _Edge) -> None:
        command = [sys.executable, "-m", "sim.faults.outage_edge", str(edge.folder), edge.platform_id]
        command += [self.link, self.station_key, str(self.plan.records), str(self.plan.stills)]
        edge.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        edge.reader = threading.Thread(target=self._read, args=(edge, edge.process), daemon=True)
        edge.reader.start()

    def _end_reader(self, edge: _Edge) -> None:
        if edge.reader is not None:
            edge.reader.join(10.0)
        if edge.process is not None:
            for stream in (edge.process.stdin, edge.process.stdout):
                if stream is not None:
                    with contextlib.suppress(OSError):
                        stream.close()

    def _read(self, edge: _Edge, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            words = line.split()
            if not line.endswith("\n") or not words:
                continue  # cut off by the kill
            if words[0] == "durable":
                with self.lock:
                    self.checker.attempt_hash(edge.platform_id, bytes.fromhex(words[3]))
                    self.checker.promise(bytes.fromhex(words[3]), words[1], int(words[2]))
                edge.durable += 1
            else:
                edge.told[words[0]] = words[1:]

    def _until(self, is_true: Callable[[], bool]) -> None:
        end_s = time.monotonic() + self.plan.patience_s
        while not is_true():
            ended = [one.platform_id for one in self.edges if one.process is not None and _has_failed(one)]
            if ended or time.monotonic() > end_s:
                raise PeerUnavailableError(
                    f"S4: not done within {self.plan.patience_s:.0f} s, ended: {ended}"
                )
            time.sleep(0.02)


def _has_failed(edge: _Edge) -> bool:
    assert edge.process is not None
    return edge.process.poll() not in (None, 0)
