"""Scenario L1: two hundred platforms, 2,000 sightings and 20 stills a second; then more, until it gives.

A real station and a fleet with the real sender (sim/faults/load_fleet.py), over CURVE, signed. Each record is
unique; at the end the store is held against what each platform recorded and was told. The station's processor
time and memory are the kernel's own account of its process, so that other work on the machine does not count.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import apsw
import msgspec

from ground.link.authenticator import enrol
from ground.serve import authorized_dir, store_path
from sim.faults.load_fleet import Believed, Stage, Told
from sim.faults.memory import resident_bytes
from sim.faults.result import Profile, Result
from skywarden import evidence
from skywarden.errors import PeerUnavailableError
from skywarden.evidence import HASH_BYTES, body_hash
from skywarden.link import keys

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_MAX_P99_S = 0.5
_MAX_CORES = 1.0
_MAX_GROWTH = 1.10
_SAMPLE_S = 1.0
_STEP = 1.5
_FLEET_SHORT = 0.95
_AWAKE_S = 10.0


@dataclass(frozen=True, slots=True)
class Plan:
    """Platforms; sightings a second for so long; steps of a ramp (each half as much again) of so many
    seconds; whether delay and memory are judged (a short run only shows them)."""

    platforms: int
    per_s: float
    warm_s: float
    load_s: float
    steps: int
    step_s: float
    is_judged: bool

    @property
    def stages(self) -> list[tuple[float, float]]:
        """Sightings a second and seconds, stage by stage."""
        ramp = [(self.per_s * _STEP**step, self.step_s) for step in range(1, self.steps + 1)]
        return [(self.per_s / 4, self.warm_s), (self.per_s, self.load_s), *ramp]


PLANS: dict[Profile, Plan] = {
    "quick": Plan(20, 200.0, 1.0, 4.0, 0, 0.0, is_judged=False),
    "full": Plan(200, 2_000.0, 20.0, 600.0, 8, 30.0, is_judged=True),
    "soak": Plan(200, 2_000.0, 20.0, 6 * 3_600.0, 8, 120.0, is_judged=True),
}


@dataclass(frozen=True, slots=True)
class Sample:
    """The station at one instant: monotonic seconds, processor seconds so far, resident bytes."""

    at_s: float
    cpu_s: float
    resident: int


@dataclass(slots=True)
class Judged:
    """Records by what became of them."""

    stored_once: int = 0
    stored_twice: int = 0
    acknowledged_and_lost: int = 0
    lost: int = 0
    forged: int = 0


def run(profile: Profile, seed: int, plan: Plan | None = None) -> Result:
    """Load, then more load, a quiet phase, and the judgement. The seed plays no part: nothing is drawn."""
    result = Result("L1", profile, seed)
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="skywarden-l1-") as folder, contextlib.ExitStack() as ends:
        load = _Load(Path(folder), plan or PLANS[profile])
        ends.callback(load.stop)
        load.start()
        load.attend()
        load.stop()
        load.report(result)
        _report_judgement(result, judge(store_path(load.state), load.fleet_folder, load.told().platforms))
    result.seconds = time.monotonic() - began_s
    return result


def judge(store: Path, fleet: Path, platforms: tuple[Believed, ...]) -> Judged:
    """Hold the store against the platforms' journals of hashes, number by number.

    Every body is unique, so that a record at its own number with its own hash is stored once, and anything
    else at any number is forged or stored twice.
    """
    found = Judged()
    db = apsw.Connection(str(store), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        ours = {(one.platform_id, one.boot_id) for one in platforms}
        for platform_id, boot_id, count in db.execute(
            "SELECT platform_id, boot_id, count(*) FROM records JOIN streams USING(stream_key) GROUP BY 1, 2"
        ):
            found.forged += 0 if (platform_id, boot_id) in ours else count
        for one in platforms:
            _judge_platform(db, fleet / one.platform_id / "records.sha256", one, found)
        found.stored_twice += db.execute("SELECT count(*) - count(DISTINCT sighting_id) FROM sightings").get
        listed: int = db.execute("SELECT count(*) FROM sightings").get
        found.lost += max(0, sum(one.sightings for one in platforms) - listed)
    finally:
        db.close()
    return found


def _judge_platform(db: "apsw.Connection", journal: Path, one: Believed, found: Judged) -> None:
    hashes = journal.read_bytes()
    is_acknowledged = bytearray(one.last_seq + 1)
    for first, last in one.acknowledged:
        is_acknowledged[first : last + 1] = b"\1" * (last + 1 - first)
    stored = bytearray(one.last_seq + 1)
    for seq, body in db.execute(
        "SELECT seq, body FROM records JOIN streams USING(stream_key) WHERE platform_id = ? AND boot_id = ?",
        (one.platform_id, one.boot_id),
    ):
        is_known = 1 <= seq <= one.last_seq
        if is_known and body_hash(body) == hashes[(seq - 1) * HASH_BYTES : seq * HASH_BYTES]:
            stored[seq] = 1
        else:
            found.forged += 1
    found.stored_once += sum(stored)
    missing = [seq for seq in range(1, one.last_seq + 1) if not stored[seq]]
    found.acknowledged_and_lost += sum(is_acknowledged[seq] for seq in missing)
    found.lost += sum(not is_acknowledged[seq] for seq in missing)


def _report_judgement(result: Result, found: Judged) -> None:
    result.observe("stored once", found.stored_once)
    result.expect_zero("acknowledged and lost", found.acknowledged_and_lost)
    result.expect_zero("lost", found.lost)
    result.expect_zero("stored twice", found.stored_twice)
    result.expect_zero("stored and never recorded", found.forged)


@dataclass(slots=True)
class _Load:
    folder: Path
    plan: Plan
    ground: "subprocess.Popen[str] | None" = None
    fleet: "subprocess.Popen[str] | None" = None
    link: str = ""
    station_key: str = ""
    lines: list[bytes] = field(default_factory=list)
    ends: list[Sample] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    reader: threading.Thread | None = None
    last: Sample | None = None

    @property
    def state(self) -> Path:
        """The station's state folder."""
        return self.folder / "ground"

    @property
    def fleet_folder(self) -> Path:
        """Where the platforms' keys and journals lie."""
        return self.folder / "fleet"

    def start(self) -> None:
        """Keys, the station, the fleet."""
        for number in range(self.plan.platforms):
            name = f"uav{number:03}"
            pair = keys.create_key_file(self.fleet_folder / name / "link.key")
            signer = evidence.create_evidence_key(self.fleet_folder / name / "link.evidence.key")
            enrol(authorized_dir(self.state), name, pair.public, evidence_keys=(signer.public,))
        command = [sys.executable, "-m", "skywarden.cli", "ground", "serve", "--json", "-q"]
        command += ["--state", str(self.state), "--link", "127.0.0.1:0", "--http", "127.0.0.1:0"]
        self.ground = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self.ground.stdout is not None
        line = self.ground.stdout.readline()
        if not line:
            raise PeerUnavailableError(f"the ground station ended at its start, code {self.ground.wait(10)}")
        told = json.loads(line)
        stages = ",".join(f"{per_s:g}:{seconds:g}" for per_s, seconds in self.plan.stages)
        command = [sys.executable, "-m", "sim.faults.load_fleet", str(self.fleet_folder), told["link"]]
        self.fleet = subprocess.Popen(
            [*command, told["station_key"], stages],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.reader = threading.Thread(target=self._read, args=(self.fleet,), name="l1.reader", daemon=True)
        self.reader.start()

    def attend(self) -> None:
        """Sample the station until the fleet is done; end the ramp when a criterion has failed."""
        assert self.fleet is not None
        assert self.ground is not None
        longest_s = sum(seconds for _, seconds in self.plan.stages) + 300.0
        end_s = time.monotonic() + longest_s
        while self.fleet.poll() is None:
            if time.monotonic() > end_s or self.ground.poll() is not None:
                raise PeerUnavailableError(
                    f"L1: not done within {longest_s:.0f} s, or the station ended ({self.ground.poll()})"
                )
            self.samples.append(self._sample())
            if any(self._failing(number) for number in range(1, len(self.ends))):
                self._end_ramp()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.fleet.wait(_SAMPLE_S)
        assert self.reader is not None
        self.reader.join(10.0)
        if self.fleet.returncode or len(self.lines) < 3:
            raise PeerUnavailableError(f"L1: the fleet ended with code {self.fleet.returncode}")

    def stop(self) -> None:
        """End both processes."""
        if self.fleet is not None:
            if self.fleet.poll() is None:
                self.fleet.kill()
                self.fleet.wait(10)
            if self.reader is not None:
                self.reader.join(10.0)
            for stream in (self.fleet.stdin, self.fleet.stdout):
                if stream is not None:
                    with contextlib.suppress(OSError):
                        stream.close()
        if self.ground is not None and self.ground.stdout is not None:
            self.ground.terminate()
            try:
                self.ground.wait(30)
            except subprocess.TimeoutExpired:
                self.ground.kill()
                self.ground.wait(10)
            self.ground.stdout.close()
            self.ground = None

    def told(self) -> Told:
        """What the platforms believe at the end."""
        return msgspec.json.decode(self.lines[-1], type=Told)

    def stage(self, number: int) -> Stage:
        """What stage `number` came to, 0 the warm-up."""
        return msgspec.json.decode(self.lines[number], type=Stage)

    def cores(self, number: int) -> float:
        """The station's processor seconds a second in this stage."""
        began, ended = self.ends[number - 1], self.ends[number]
        return (ended.cpu_s - began.cpu_s) / max(1e-3, ended.at_s - began.at_s)

    def report(self, result: Result) -> None:
        """The figures of the load and of the ramp."""
        load, told = self.stage(1), self.told()
        result.observe("platforms", self.plan.platforms)
        result.observe("sightings a second, asked", load.asked_per_s)
        result.expect_at_least(
            "recorded, share of that", load.recorded / load.seconds / load.asked_per_s, 0.95
        )
        result.observe("stills a second", load.stills / load.seconds)
        result.observe("batches a second", load.batches / load.seconds)
        result.observe("record to acknowledgement, p50, s", load.p50_s)
        if self.plan.is_judged:
            result.expect_at_most("record to acknowledgement, p99, s", load.p99_s, _MAX_P99_S)
            result.expect_at_most("the station, cores", self.cores(1), _MAX_CORES)
            result.expect_at_most("memory at the end, times that at a third", self._growth(), _MAX_GROWTH)
        else:
            result.observe("record to acknowledgement, p99, s", load.p99_s)
            result.observe("the station, cores", self.cores(1))
        per_sighting_us = self.cores(1) * load.seconds / max(1, load.recorded) * 1e6
        result.observe("the station, us of processor a sighting", per_sighting_us)
        result.observe("sightings/s that a whole core would carry", 1e6 / max(1e-3, per_sighting_us))
        result.observe("the fleet, cores", load.cpu_s / load.seconds)
        result.observe("station's memory, MB", max(one.resident for one in self.samples) / 1e6)
        result.expect_zero("records not acknowledged after the quiet phase", told.held)
        result.observe("quiet phase until all were, s", told.drained_s)
        if self.plan.steps:
            result.notes.append(self._breaking_point())

    def _breaking_point(self) -> str:
        good = 0.0
        for number in range(1, len(self.ends)):
            reason = self._failing(number)
            if reason is not None:
                held = f"holds {good:.0f} sightings/s; " if good else ""
                return f"{held}at {self.stage(number).asked_per_s:.0f} sightings/s {reason}"
            good = self.stage(number).asked_per_s
        return f"holds {good:.0f} sightings/s, the most that was tried"

    def _failing(self, number: int) -> str | None:
        """What stage `number` (from 1) failed in, in words."""
        stage, cores = self.stage(number), self.cores(number)
        if stage.recorded < _FLEET_SHORT * stage.asked_per_s * stage.seconds:
            return f"the fleet itself recorded only {stage.recorded / stage.seconds:.0f}/s"
        if stage.p99_s > _MAX_P99_S or stage.held > stage.asked_per_s:
            return f"p99 of acknowledgement is {stage.p99_s:.2f} s, {stage.held} records wait"
        if cores > _MAX_CORES:
            return f"the station takes {cores:.2f} cores"
        return None

    def _growth(self) -> float:
        """Resident memory in the last tenth of the load over that at a third of it."""
        began_s, ended_s = self.ends[0].at_s, self.ends[1].at_s
        span_s = ended_s - began_s
        early = [one.resident for one in self.samples if 0.3 <= (one.at_s - began_s) / span_s <= 0.4]
        late = [one.resident for one in self.samples if 0.9 <= (one.at_s - began_s) / span_s <= 1.0]
        return median(late) / median(early) if early and late else 1.0

    def _end_ramp(self) -> None:
        if self.fleet is not None and self.fleet.stdin is not None and self.plan.steps:
            with contextlib.suppress(OSError):
                self.fleet.stdin.write("\n")
                self.fleet.stdin.flush()

    def _read(self, fleet: "subprocess.Popen[str]") -> None:
        assert fleet.stdout is not None
        for line in fleet.stdout:
            if "asked_per_s" in line:
                self.ends.append(self._sample())
            self.lines.append(line.encode())

    def _sample(self) -> Sample:
        ground = self.ground
        assert ground is not None
        return Sample(time.monotonic(), processor_s(ground.pid), resident_bytes(ground.pid))


def processor_s(pid: int) -> float:
    """Processor seconds that a process has used, user and system; 0 when it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0.0
    words = text.rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / _TICKS_PER_S
