"""Scenario S1: real edge processes and a real ground station, killed with -9 at random, again and again.

Afterwards comes the quiet phase: everything runs, nothing new is recorded, until every outbox is empty.
"""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import apsw

from ground.link.authenticator import enrol
from ground.serve import authorized_dir
from ground.store.verify import verify_store
from sim.faults.checker import Checker
from sim.faults.result import Profile, Result
from skywarden import evidence
from skywarden.errors import PeerUnavailableError
from skywarden.link import keys


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
    "full": Plan(600.0, 20, 25.0, (2.0, 6.0), 180.0),
    "soak": Plan(8 * 3_600.0, 20, 25.0, (2.0, 6.0), 600.0),
}


def run(profile: Profile, seed: int, plan: Plan | None = None) -> Result:
    """Kill, restart, calm down, judge."""
    result = Result("S1", profile, seed)
    began_s = time.monotonic()
    plan = plan or PLANS[profile]
    with tempfile.TemporaryDirectory(prefix="skywarden-s1-") as folder:
        theatre = _Theatre(Path(folder), plan, random.Random(seed))
        try:
            theatre.start()
            theatre.trouble()
            is_drained = theatre.calm()
        finally:
            theatre.stop()
        theatre.judge(result, is_drained=is_drained)
    result.seconds = time.monotonic() - began_s
    return result


@dataclass(slots=True)
class _Edge:
    """One platform's process and what it said."""

    platform_id: str
    folder: Path
    process: subprocess.Popen[str] | None = None
    reader: threading.Thread | None = None
    spawned_s: float = 0.0
    awaits_ack: bool = False
    is_heard: bool = False
    held: int | None = None


@dataclass(slots=True)
class _Theatre:
    folder: Path
    plan: Plan
    rng: random.Random
    checker: Checker = field(default_factory=Checker)
    edges: list[_Edge] = field(default_factory=list)
    ground: subprocess.Popen[str] | None = None
    ground_spawned_s: float = 0.0
    ground_awaits_ack: bool = False
    link: str = "127.0.0.1:0"
    station_key: str = ""
    first_acks_s: list[float] = field(default_factory=list)
    kills: int = 0
    bad_files: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    keys: dict[str, tuple[bytes, ...]] = field(default_factory=dict)

    @property
    def state(self) -> Path:
        """The station's state folder."""
        return self.folder / "ground"

    def start(self) -> None:
        """The station first, then the platforms, enrolled."""
        for number in range(self.plan.platforms):
            edge = _Edge(f"uav{number:02}", self.folder / f"uav{number:02}")
            pair = keys.create_key_file(edge.folder / "link.key")
            signer = evidence.create_evidence_key(edge.folder / "link.evidence.key")
            enrol(authorized_dir(self.state), edge.platform_id, pair.public, evidence_keys=(signer.public,))
            self.keys[edge.platform_id] = (signer.public,)
            self.edges.append(edge)
        self._start_ground()
        for edge in self.edges:
            self._start_edge(edge)

    def trouble(self) -> None:
        """Kill one after the other, at random, and start it again."""
        end_s = time.monotonic() + self.plan.seconds
        while time.monotonic() < end_s:
            time.sleep(self.rng.uniform(*self.plan.between_s))
            if self.rng.random() < 0.4:
                self._kill(self.ground)
                self.bad_files += not _is_sound(self.state / "store.sqlite")
                self._start_ground()
            else:
                edge = self.rng.choice(self.edges)
                self._kill(edge.process)
                if edge.reader is not None:
                    edge.reader.join(10.0)
                self.bad_files += not _is_sound(edge.folder / "outbox.sqlite")
                self._start_edge(edge)

    def calm(self) -> bool:
        """Nothing new is recorded; whether all outboxes are empty in time."""
        end_s = time.monotonic() + self.plan.settle_s
        while time.monotonic() < end_s and not all(edge.is_heard for edge in self.edges):
            time.sleep(0.1)
        for edge in self.edges:
            if edge.process is not None:
                edge.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        for edge in self.edges:
            edge.held = None
        while time.monotonic() < end_s:
            if all(edge.held == 0 for edge in self.edges):
                return True
            time.sleep(0.1)
        return False

    def stop(self) -> None:
        """End all processes."""
        for process in [edge.process for edge in self.edges] + [self.ground]:
            if process is not None and process.poll() is None:
                process.kill()
                process.wait(10)
        for edge in self.edges:
            if edge.reader is not None:
                edge.reader.join(10.0)
            if edge.process is not None and edge.process.stdout is not None:
                edge.process.stdout.close()
        if self.ground is not None and self.ground.stdout is not None:
            self.ground.stdout.close()

    def judge(self, result: Result, *, is_drained: bool) -> None:
        """Hold the store against what was promised."""
        verdict = self.checker.judge(self.state / "store.sqlite")
        found = verify_store(self.state / "store.sqlite", self.keys)
        result.observe("kills", self.kills)
        result.observe("records promised", sum(one.is_durable for one in self.checker.written.values()))
        result.observe("stored once", verdict.stored_once)
        result.expect_zero("acknowledged and lost", verdict.acknowledged_and_lost)
        result.expect_zero("lost", verdict.lost)
        result.expect_zero("stored twice", verdict.stored_twice)
        result.expect_zero("outboxes not empty in the end", int(not is_drained))
        result.expect_zero("files that fail quick_check after a kill", self.bad_files)
        result.expect_zero("stored records that do not verify", found.damaged)
        acks = sorted(self.first_acks_s)
        if acks:
            result.observe("first acknowledgement after a restart, median s", acks[len(acks) // 2])
            result.expect_at_most("first acknowledgement after a restart, worst s", acks[-1], 5.0)
        result.notes += verdict.examples[:5]

    def _kill(self, process: subprocess.Popen[str] | None) -> None:
        assert process is not None
        os.kill(process.pid, signal.SIGKILL)
        process.wait(10)
        self.kills += 1

    def _start_ground(self) -> None:
        if self.ground is not None and self.ground.stdout is not None:
            self.ground.stdout.close()
        command = [sys.executable, "-m", "skywarden.cli", "ground", "serve", "--json", "-q"]
        command += ["--state", str(self.state), "--link", self.link, "--http", "127.0.0.1:0"]
        self.ground = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self.ground.stdout is not None
        line = self.ground.stdout.readline()
        if not line:
            raise PeerUnavailableError(f"the ground station ended at its start, code {self.ground.wait(10)}")
        told = json.loads(line)
        self.link, self.station_key = told["link"], told["station_key"]
        with self.lock:
            self.ground_spawned_s, self.ground_awaits_ack = time.monotonic(), True

    def _start_edge(self, edge: _Edge) -> None:
        if edge.process is not None and edge.process.stdout is not None:
            edge.process.stdout.close()
        command = [sys.executable, "-m", "sim.faults.edge_process", str(edge.folder), edge.platform_id]
        command += [self.link, self.station_key, str(self.plan.rate)]
        edge.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        edge.spawned_s, edge.awaits_ack, edge.is_heard = time.monotonic(), True, False
        edge.reader = threading.Thread(target=self._read, args=(edge, edge.process), daemon=True)
        edge.reader.start()

    def _read(self, edge: _Edge, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            words = line.split()
            if not line.endswith("\n") or not words:
                continue  # cut off by the kill
            with self.lock:
                self._hear(edge, words)

    def _hear(self, edge: _Edge, words: list[str]) -> None:
        edge.is_heard = True
        if words[0] == "attempt":
            self.checker.attempt_hash(edge.platform_id, bytes.fromhex(words[1]))
        elif words[0] == "durable":
            self.checker.promise(bytes.fromhex(words[3]), words[1], int(words[2]))
        elif words[0] == "held":
            edge.held = int(words[1])
        elif words[0] == "acknowledged":
            self.checker.acknowledge(words[1], int(words[2]), int(words[3]))
            now_s = time.monotonic()
            if edge.awaits_ack:
                edge.awaits_ack = False
                self.first_acks_s.append(now_s - max(edge.spawned_s, self.ground_spawned_s))
            if self.ground_awaits_ack:
                self.ground_awaits_ack = False
                self.first_acks_s.append(now_s - self.ground_spawned_s)


def _is_sound(path: Path) -> bool:
    """Whether SQLite's own quick check passes on a file whose owner was killed."""
    if not path.exists():
        return True
    try:
        db = apsw.Connection(str(path))
    except apsw.Error:
        return False
    try:
        return bool(db.execute("PRAGMA quick_check").get == "ok")
    except apsw.Error:
        return False
    finally:
        db.close()
