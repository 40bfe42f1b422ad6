"""One harness of real processes for the fault scenarios: a station by the real command, and edges that tell.

An edge is a Python module run as a process; it prints a line for each thing it was promised or believes:
`attempt HASH`, `durable BOOT SEQ HASH`, `acknowledged BOOT FIRST LAST`. The checker hears those. Every line
is remembered by its first word in `told`, and given to `on_line`.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import apsw

from ground.link.authenticator import enrol
from ground.serve import authorized_dir, store_path
from ground.upkeep.verify import verify_store
from sim.faults.checker import Checker, Verdict
from sim.faults.result import Result
from skywarden import evidence
from skywarden.errors import PeerUnavailableError
from skywarden.link import keys

_END_S = 15.0


@dataclass(slots=True)
class EdgeProcess:
    """One platform, its process and what it said last, by the first word of the line."""

    platform_id: str
    folder: Path
    process: subprocess.Popen[str] | None = None
    reader: threading.Thread | None = None
    spawned_s: float = 0.0
    told: dict[str, list[str]] = field(default_factory=dict)
    durable: int = 0

    @property
    def outbox(self) -> Path:
        """Its outbox file."""
        return self.folder / "outbox.sqlite"

    @property
    def has_failed(self) -> bool:
        """Whether its process has ended with an error."""
        return self.process is not None and self.process.poll() not in (None, 0)

    def say(self, line: str) -> None:
        """One line to its standard input."""
        assert self.process is not None
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()


Hear = Callable[[EdgeProcess, list[str]], None]


@dataclass(slots=True)
class Processes:
    """A station and platforms in `folder`; call `stop` at the end whatever happened.

    `on_line` is called in the edges' reader threads, one at a time.
    """

    folder: Path
    on_line: Hear = lambda edge, words: None
    checker: Checker = field(default_factory=Checker)
    edges: list[EdgeProcess] = field(default_factory=list)
    ground: subprocess.Popen[str] | None = None
    ground_spawned_s: float = 0.0
    link: str = "127.0.0.1:0"
    station_key: str = ""
    keys: dict[str, tuple[bytes, ...]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def state(self) -> Path:
        """The station's state folder."""
        return self.folder / "ground"

    @property
    def store(self) -> Path:
        """The station's store."""
        return store_path(self.state)

    def enrol(self, count: int) -> None:
        """Make so many platforms with keys that the station knows."""
        for number in range(len(self.edges), len(self.edges) + count):
            edge = EdgeProcess(f"uav{number:02}", self.folder / f"uav{number:02}")
            pair = keys.create_key_file(edge.folder / "link.key")
            signer = evidence.create_evidence_key(edge.folder / "link.evidence.key")
            enrol(authorized_dir(self.state), edge.platform_id, pair.public, evidence_keys=(signer.public,))
            self.keys[edge.platform_id] = (signer.public,)
            self.edges.append(edge)

    def start_ground(self) -> None:
        """Run `skywarden ground serve` and wait until it takes records; raises `PeerUnavailableError`."""
        self._close_ground()
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
            self.ground_spawned_s = time.monotonic()

    def stop_ground(self) -> None:
        """End the station as an operator does."""
        if self.ground is not None:
            self.ground.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.ground.wait(_END_S)
            self._close_ground()

    def kill_ground(self) -> bool:
        """Kill the station with -9; whether its store is sound."""
        assert self.ground is not None
        _kill(self.ground)
        return is_sound(self.store)

    def signal_ground(self, number: signal.Signals) -> None:
        """Send the station a signal, such as SIGSTOP."""
        assert self.ground is not None
        self.ground.send_signal(number)

    def start_edge(self, edge: EdgeProcess, module: str, words: Sequence[object]) -> None:
        """Run `module` with folder, platform, address and key of the station, and `words`."""
        self._close_edge(edge)
        command = [sys.executable, "-m", module, str(edge.folder), edge.platform_id, self.link]
        command += [self.station_key, *map(str, words)]
        edge.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        edge.spawned_s = time.monotonic()
        edge.told.clear()
        edge.reader = threading.Thread(
            target=self._read, args=(edge, edge.process), name=f"hears {edge.platform_id}", daemon=True
        )
        edge.reader.start()

    def kill_edge(self, edge: EdgeProcess) -> bool:
        """Kill a platform with -9 and hear the rest of what it said; whether its outbox is sound."""
        assert edge.process is not None
        _kill(edge.process)
        self._close_edge(edge)
        return is_sound(edge.outbox)

    def stop(self) -> None:
        """End all processes."""
        for edge in self.edges:
            self._close_edge(edge)
        self.stop_ground()

    def until(self, holds: Callable[[], bool], limit_s: float) -> bool:
        """Wait for what processes bring about; whether it came in time.

        Raises `PeerUnavailableError` when a platform's process has failed meanwhile.
        """
        pause, end_s = threading.Event(), time.monotonic() + limit_s
        while not holds():
            failed = [one.platform_id for one in self.edges if one.has_failed]
            if failed:
                raise PeerUnavailableError(f"processes of {failed} ended by themselves")
            if time.monotonic() > end_s:
                return False
            pause.wait(0.02)
        return True

    def judge(self, result: Result) -> Verdict:
        """Hold the store against what was promised, and prove every record of it."""
        for edge in self.edges:
            for boot_id, seq in held_in(edge.outbox):
                self.checker.note_waiting(boot_id, seq)
        verdict = self.checker.judge(self.store)
        found = verify_store(self.store, self.keys)
        result.observe("records promised", sum(one.is_durable for one in self.checker.written.values()))
        result.observe("stored once", verdict.stored_once)
        result.expect_zero("acknowledged and lost", verdict.acknowledged_and_lost)
        result.expect_zero("lost", verdict.lost)
        result.expect_zero("stored twice", verdict.stored_twice)
        result.expect_zero("still waiting aboard in the end", verdict.waiting)
        result.expect_zero("stored records that do not verify", found.damaged)
        result.notes += verdict.examples[:5]
        return verdict

    def _read(self, edge: EdgeProcess, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            words = line.split()
            if line.endswith("\n") and words:  # else cut off by a kill
                with self.lock:
                    self._hear(edge, words)

    def _hear(self, edge: EdgeProcess, words: list[str]) -> None:
        if words[0] == "attempt":
            self.checker.attempt_hash(edge.platform_id, bytes.fromhex(words[1]))
        elif words[0] == "durable":
            self.checker.attempt_hash(edge.platform_id, bytes.fromhex(words[3]))
            self.checker.promise(bytes.fromhex(words[3]), words[1], int(words[2]))
            edge.durable += 1
        elif words[0] == "acknowledged":
            self.checker.acknowledge(words[1], int(words[2]), int(words[3]))
        edge.told[words[0]] = words[1:]
        self.on_line(edge, words)

    def _close_edge(self, edge: EdgeProcess) -> None:
        process = edge.process
        if process is None:
            return
        if process.poll() is None:
            _kill(process)
        if edge.reader is not None:
            edge.reader.join(_END_S)
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()

    def _close_ground(self) -> None:
        if self.ground is not None:
            if self.ground.poll() is None:
                _kill(self.ground)
            if self.ground.stdout is not None:
                self.ground.stdout.close()
            self.ground = None


def held_in(outbox: Path) -> list[tuple[str, int]]:
    """What an outbox file holds whose owner has ended: (boot id, number)."""
    if not outbox.exists():
        return []
    db = apsw.Connection(str(outbox))
    try:
        boot_id: str = db.execute("SELECT boot_id FROM meta").get
        return [(boot_id, seq) for (seq,) in db.execute("SELECT seq FROM records")]
    finally:
        db.close()


def is_sound(path: Path) -> bool:
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


def _kill(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGKILL)
    process.wait(_END_S)
