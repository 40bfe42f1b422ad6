"""Scenario S3: disks that are full or fail, aboard and on the ground; what goes first, and who is told.

The real outbox, backlog, link core, intake and store on disks that refuse (`CrashDisk`); the clock is
virtual, the link is perfect and sometimes away. Two minutes stand for thirty.
"""

import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import apsw

from edge.triage.worth import PLAIN, Graded, Worth
from sim.faults.checker import Checker
from sim.faults.contents import made_chip, made_health, made_sighting
from sim.faults.nodes import START_NS, EdgeNode, GroundNode
from sim.faults.result import Profile, Result
from skywarden.errors import StoreError
from skywarden.messages import Chip, Gap, Health, Sighting
from skywarden.wire import decode, encode

_STEP_S = 0.1
_ROUNDS: dict[Profile, int] = {"quick": 1, "full": 15, "soak": 120}
_MEMORY_BYTES = 60_000
_PLATFORM = "uav01"
_QUIET_S = 120.0


@dataclass(slots=True)
class _Found:
    """What was seen on the way."""

    alarm_s: dict[str, float] = field(default_factory=dict)
    acks_while_refused: int = 0
    wrong_order: int = 0
    sightings_shed: int = 0
    shed: dict[str, int] = field(default_factory=dict)
    reopened: int = 0
    refused: int = 0


def run(profile: Profile, seed: int) -> Result:
    """Rounds of all faults, a quiet phase each, one verdict."""
    result = Result("S3", profile, seed)
    began_s = time.monotonic()
    totals, found = {"stored": 0, "acked": 0, "lost": 0, "twice": 0, "given": 0, "held": 0}, _Found()
    for number in range(_ROUNDS[profile]):
        with tempfile.TemporaryDirectory(prefix="skywarden-s3-") as folder:
            trial = _Trial(Path(folder), random.Random(seed * 1_000 + number), found)
            trial.run()
            trial.judge(totals, result)
    result.observe("records stored", totals["stored"])
    result.observe("records given up, each in a gap record", totals["given"])
    result.observe(
        "of them " + ", ".join(f"{topic} {count}" for topic, count in sorted(found.shed.items())), ""
    )
    result.expect_zero("acknowledged and lost", totals["acked"])
    result.expect_zero("lost without a gap record", totals["lost"])
    result.expect_zero("stored twice", totals["twice"])
    result.expect_zero("sightings given up", found.sightings_shed)
    result.expect_zero("conditions given up while pictures were held", found.wrong_order)
    result.expect_zero("acknowledgements while the ground's disk refused", found.acks_while_refused)
    result.expect_zero("records held after the quiet phase", totals["held"])
    for name, late_s in sorted(found.alarm_s.items()):
        result.expect_at_most(f"alarm: {name}, s", late_s, 5.0)
    result.expect_at_least("writes and flushes refused", found.refused, 5)
    result.seconds = time.monotonic() - began_s
    return result


class _Trial:
    """One edge, one station, two minutes of trouble."""

    def __init__(self, folder: Path, rng: random.Random, found: _Found) -> None:
        self.rng = rng
        self.found = found
        self.checker = Checker()
        (folder / "edge").mkdir()
        (folder / "ground").mkdir()
        self.edge = EdgeNode(_PLATFORM, folder / "edge", rng, self.checker, frozenset())
        self.ground = GroundNode(folder / "ground", rng, frozenset())
        self.ground.keys[_PLATFORM] = (self.edge.key.public,)
        self.now_s = 0.0
        self.number = 0
        self.is_linked = True
        self.shed_before = 0
        self.alarms: dict[str, float] = {}

    def run(self) -> None:
        """The faults one after the other, a pause between them."""
        self.edge.start(self.now_s)
        self.ground.start(self.now_s)
        assert self.edge.backlog is not None
        self.edge.backlog._max_bytes = _MEMORY_BYTES
        self._go(8.0)
        with self._link_away():
            self._go(40.0)  # more than the outbox may hold: it gives up, least valuable first
        self._go(10.0)
        self._edge_disk_full()
        self._go(5.0)
        self._ground_disk_full()
        self._go(5.0)
        self._flushes_fail()
        self._go(10.0)
        self._quiet()

    def judge(self, totals: dict[str, int], result: Result) -> None:
        """Hold the store against what was promised."""
        assert self.edge.outbox is not None
        totals["held"] += self.edge.outbox.state().held
        self.edge.die(power=False)
        self.ground.die(power=False)
        verdict = self.checker.judge(self.ground.path)
        totals["stored"] += verdict.stored_once
        totals["acked"] += verdict.acknowledged_and_lost
        totals["lost"] += verdict.lost
        totals["twice"] += verdict.stored_twice
        totals["given"] += verdict.given_up
        self._count_gaps(result)
        self.edge.disk.unregister()
        self.ground.disk.unregister()
        result.notes += verdict.examples[:3]

    def _edge_disk_full(self) -> None:
        began_s = self.now_s
        self.edge.disk.is_full = True
        with self._link_away():
            for _ in range(150):
                self._step()
                if self.edge.backlog is not None and self.edge.backlog.fault and "edge" not in self.alarms:
                    self.alarms["edge"] = self.now_s - began_s
                self.found.refused += 1
        self._note_alarm("disk full aboard", self.alarms.pop("edge", 99.0))
        self.edge.disk.is_full = False

    def _ground_disk_full(self) -> None:
        began_s = self.now_s
        self.ground.disk.is_full = True
        acknowledged = sum(one.is_acknowledged for one in self.checker.written.values())
        for _ in range(150):
            self._step()
            intake = self.ground.intake
            if intake is not None and intake.store_problem and "ground" not in self.alarms:
                self.alarms["ground"] = self.now_s - began_s
            self.found.refused += 1
        after = sum(one.is_acknowledged for one in self.checker.written.values())
        self.found.acks_while_refused += after - acknowledged
        self._note_alarm("disk full on the ground", self.alarms.pop("ground", 99.0))
        self.ground.disk.is_full = False

    def _flushes_fail(self) -> None:
        """Single writes and flushes fail, on either side, again and again."""
        for disk in (self.edge.disk, self.ground.disk):
            for _ in range(6):
                disk.refuse_at = disk.operations + self.rng.randint(1, 12)
                self._go(0.6)
                disk.refuse_at = None
                self.found.refused += 1

    def _note_alarm(self, name: str, late_s: float) -> None:
        self.found.alarm_s[name] = max(late_s, self.found.alarm_s.get(name, 0.0))

    @contextmanager
    def _link_away(self) -> Iterator[None]:
        self.is_linked = False
        yield
        self.is_linked = True

    def _go(self, seconds: float) -> None:
        for _ in range(round(seconds / _STEP_S)):
            self._step()

    def _quiet(self) -> None:
        """Nothing new, all disks well, until everything is delivered."""
        end_s = self.now_s + _QUIET_S
        while self.now_s < end_s:
            self._step(is_quiet=True)
            if self.edge.outbox is not None and not self.edge.outbox.state().held and not self.edge.backlog:
                return

    def _step(self, *, is_quiet: bool = False) -> None:
        self.now_s += _STEP_S
        for node in (self.edge, self.ground):
            node.clock.now_s = self.now_s
        if not is_quiet:
            self.edge.append(self._fresh())
        if self.edge.backlog is not None and (self.edge.backlog.fault or is_quiet):
            self.edge.backlog.flush()
        self._look_at_sheds()
        try:
            sent = self.edge.send(self.now_s)
        except StoreError:
            sent = []
            self.found.refused += 1
        if not self.is_linked:
            return
        self.ground.inbox += [(_PLATFORM, payload) for payload in sent]
        for _, reply in self.ground.work():
            try:
                self.edge.receive(reply, self.now_s)
            except StoreError:
                self.found.refused += 1

    def _fresh(self) -> list[tuple[str, int, bytes]]:
        self.number += 1
        time_ns = START_NS + round(self.now_s * 1e9)
        entries: list[tuple[str, int, bytes]] = [("sighting", time_ns, encode(self._sighting(time_ns)))]
        if self.number % 5 == 0:
            entries.append(("health", time_ns, encode(self._health(time_ns))))
        if self.number % 4 == 0:
            worth = Worth(PLAIN, self.rng.uniform(-4.0, 4.0))
            entries.append(Graded.of("chip", time_ns, encode(self._chip(time_ns)), worth))
        return entries

    def _look_at_sheds(self) -> None:
        """When the outbox gave something up: was it the least valuable?"""
        outbox = self.edge.outbox
        try:
            state = outbox.state() if outbox is not None else None
        except StoreError:
            return
        if outbox is None or state is None or state.shed == self.shed_before:
            return
        self.shed_before = state.shed
        held = outbox.pending(10**9, limit_records=10**6)
        gaps = [decode("gap", one.body) for one in held if one.topic == "gap"]
        newest = max((one for one in gaps if isinstance(one, Gap)), key=lambda one: one.time_ns)
        is_conditions = any(topic not in ("chip",) for topic in newest.counts)
        self.found.wrong_order += is_conditions and any(one.topic == "chip" for one in held)

    def _count_gaps(self, result: Result) -> None:
        db = apsw.Connection(str(self.ground.path), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            bodies = db.execute("SELECT body FROM records WHERE topic = 'gap'").fetchall()
        finally:
            db.close()
        for row in bodies:
            body = row[0]
            assert isinstance(body, bytes)
            gap = decode("gap", body)
            assert isinstance(gap, Gap)
            for topic, count in gap.counts.items():
                self.found.shed[topic] = self.found.shed.get(topic, 0) + count
        self.found.sightings_shed = self.found.shed.get("sighting", 0) + self.found.shed.get("receipt", 0)

    def _sighting(self, time_ns: int) -> Sighting:
        track_id = f"{_PLATFORM}.t{self.number % 9}"
        name = f"{track_id}.f{self.number}-{self.rng.getrandbits(32):08x}"
        return made_sighting(name, track_id, _PLATFORM, self.number, time_ns)

    def _chip(self, time_ns: int) -> Chip:
        name = f"{_PLATFORM}.c{self.number}-{self.rng.getrandbits(32):08x}"
        sighting_id = f"{_PLATFORM}.t{self.number % 9}.f{self.number}"
        return made_chip(name, sighting_id, _PLATFORM, time_ns, self.rng.randbytes(3_000))

    def _health(self, time_ns: int) -> Health:
        return made_health(_PLATFORM, f"{self.number} {self.rng.getrandbits(64):016x}", time_ns)
