"""Scenario S1b: death, loss of power and refusal at every single operation of one delivery.

First in this process, on a disk of our own (each operation of edge and ground, three faults each); then with
the kernel's help: strace kills a real process, or lets its call fail, at the n-th write, sync or truncation.
"""

import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Literal

import structlog

from ground.upkeep.verify import verify_store
from sim.faults.checker import Checker, Verdict
from sim.faults.nodes import EdgeNode, GroundNode
from sim.faults.one_delivery import KEY, NS, PLATFORM
from sim.faults.result import Profile, Result
from skywarden.errors import StoreError
from skywarden.messages import Chip, Health
from skywarden.wire import encode

Fault = Literal["killed", "power", "refused"]

_POINTS: dict[Profile, int] = {"quick": 200, "full": 10_000, "soak": 10_000}
_TRACED: dict[Profile, int] = {"quick": 5, "full": 300, "soak": 300}
_CALLS = ("pwrite64", "fdatasync", "ftruncate", "unlink")


def run(profile: Profile, seed: int) -> Result:
    """Every operation (quick: a sample of them), then real processes under strace where it is installed."""
    result = Result("S1b", profile, seed)
    began_s = time.monotonic()
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    try:
        total, count, damaged, stuck = own_disk(_POINTS[profile], seed)
        result.observe("points on our own disk", count)
        result.expect_zero("stores that do not verify", damaged)
        result.expect_zero("deliveries that never ended", stuck)
        _expect_good(result, "own disk", total)
        if shutil.which("strace"):
            total, count, damaged = under_strace(_TRACED[profile], seed)
            result.observe("points under strace", count)
            result.expect_zero("strace: stores that do not verify", damaged)
            _expect_good(result, "strace", total)
        else:
            result.notes.append("strace is not installed: no real process was killed at its writes")
    finally:
        structlog.configure(**before)
    result.seconds = time.monotonic() - began_s
    return result


def _expect_good(result: Result, name: str, total: Verdict) -> None:
    result.observe(f"{name}: records stored once", total.stored_once)
    result.expect_zero(f"{name}: acknowledged without being there", total.acknowledged_and_lost)
    result.expect_zero(f"{name}: lost", total.lost)
    result.expect_zero(f"{name}: stored twice", total.stored_twice)
    result.notes += total.examples[:3]


def own_disk(limit: int, seed: int) -> tuple[Verdict, int, int, int]:
    """Verdict over all points, how many, stores that do not verify, deliveries that did not end."""
    edge_count, ground_count = _operations()
    points: list[tuple[bool, int, Fault]] = [
        (is_edge, number, fault)
        for is_edge, count in ((True, edge_count), (False, ground_count))
        for number in range(1, count + 1)
        for fault in ("killed", "power", "refused")
    ]
    rng = random.Random(seed)
    chosen = points if limit >= len(points) else rng.sample(points, limit)
    total, damaged, stuck = Verdict(), 0, 0
    for is_edge, number, fault in chosen:
        verdict, is_verified, is_ended = _one_point(is_edge, number, fault, rng.getrandbits(32))
        total.add(verdict)
        damaged += not is_verified
        stuck += not is_ended
    return total, len(chosen), damaged, stuck


def _operations() -> tuple[int, int]:
    """How many operations a delivery takes on either disk."""
    with tempfile.TemporaryDirectory(prefix="skywarden-s1b-") as folder:
        delivery = _Delivery(Path(folder), 1)
        delivery.run()
        counts = delivery.edge.disk.operations, delivery.ground.disk.operations
        delivery.end()
    return counts


def _one_point(is_edge: bool, number: int, fault: Fault, seed: int) -> tuple[Verdict, bool, bool]:
    with tempfile.TemporaryDirectory(prefix="skywarden-s1b-") as folder:
        delivery = _Delivery(Path(folder), seed)
        disk = delivery.edge.disk if is_edge else delivery.ground.disk
        if fault == "refused":
            disk.refuse_at = number
        else:
            disk.die_at = number
        delivery.fault = fault
        is_ended = delivery.run()
        delivery.end()
        verdict = delivery.checker.judge(delivery.ground.path)
        found = verify_store(delivery.ground.path, delivery.ground.keys)
    return verdict, not found.damaged, is_ended


class _Delivery:
    """Three records, one of them in pieces, from an edge to a ground that may die once on the way."""

    def __init__(self, folder: Path, seed: int) -> None:
        rng = random.Random(seed)
        self.checker = Checker()
        self.edge = EdgeNode(PLATFORM, folder / "edge", rng, self.checker, frozenset())
        self.ground = GroundNode(folder / "ground", rng, frozenset())
        self.ground.keys[PLATFORM] = (self.edge.key.public,)
        self.fault: Fault = "killed"
        self._data = rng.randbytes(24_000)

    def run(self) -> bool:
        """Deliver, with a restart of whoever died; whether everything left the outbox."""
        is_recorded = False
        now_s = 0.0
        while now_s < 60.0:
            now_s = self.edge.clock.now_s = self.ground.clock.now_s = round(now_s + 0.1, 3)
            self._restart(now_s)
            try:
                if not is_recorded and self.edge.is_up:
                    is_recorded = True
                    self.edge.append(self._entries())
                if self.edge.backlog is not None:
                    self.edge.backlog.flush()
                self._exchange(now_s)
                if is_recorded and self._is_empty():
                    return True
            except StoreError:
                pass
        return False

    def end(self) -> None:
        """Switch both off."""
        self.edge.die(power=False)
        self.ground.die(power=False)
        self.edge.disk.unregister()
        self.ground.disk.unregister()

    def _restart(self, now_s: float) -> None:
        for node in (self.edge, self.ground):
            if node.disk.is_dead:
                node.die(power=self.fault == "power")
                node.disk.die_at = None
            if not node.is_up:
                node.start(now_s)

    def _exchange(self, now_s: float) -> None:
        if not (self.edge.is_up and self.ground.is_up):
            return
        self.ground.inbox += [(PLATFORM, payload) for payload in self.edge.send(now_s)]
        for _, payload in self.ground.work():
            self.edge.receive(payload, now_s)

    def _is_empty(self) -> bool:
        outbox, backlog = self.edge.outbox, self.edge.backlog
        return outbox is not None and backlog is not None and not len(backlog) and not outbox.state().held

    def _entries(self) -> list[tuple[str, int, bytes]]:
        health = [
            Health(
                platform_id=PLATFORM,
                component="camera.eo",
                condition="stalled",
                state="degraded",
                time_ns=NS,
                since_ns=NS,
                text=f"condition {number}",
            )
            for number in range(2)
        ]
        chip = Chip(
            chip_id="c1",
            sighting_id="s1",
            platform_id=PLATFORM,
            time_ns=NS,
            media_type="image/jpeg",
            width_px=64,
            height_px=64,
            box_in_chip_px=(8.0, 8.0, 56.0, 56.0),
            data=self._data,
        )
        return [("health", NS, encode(one)) for one in health] + [("chip", NS, encode(chip))]


def under_strace(limit: int, seed: int) -> tuple[Verdict, int, int]:
    """Real processes killed, or refused, by the kernel at the n-th call; verdict, points, bad stores."""
    points = [
        (call, number, how)
        for number in range(1, 60)
        for call in _CALLS
        for how in ("signal=SIGKILL", "error=EIO", "error=ENOSPC")
    ]
    if limit < len(points):
        early = points[: 20 * len(_CALLS) * 3]
        points = random.Random(seed).sample(early, min(limit, len(early)))
    total, damaged, count = Verdict(), 0, 0
    past_the_end: set[tuple[str, str]] = set()
    for call, number, how in points:
        if (call, how) in past_the_end:
            continue
        with tempfile.TemporaryDirectory(prefix="skywarden-s1b-") as name:
            folder, checker = Path(name), Checker()
            if _child(folder, 3, checker, ["-e", f"inject={call}:{how}:when={number}"]) == 0 and limit > 100:
                past_the_end.add((call, how))
            _child(folder, 0, checker, [])
            total.add(checker.judge(folder / "store.sqlite"))
            damaged += bool(verify_store(folder / "store.sqlite", {PLATFORM: (KEY.public,)}).damaged)
            count += 1
    return total, count, damaged


def _child(folder: Path, records: int, checker: Checker, inject: list[str]) -> int:
    """One real process, watched; its exit code."""
    command = [sys.executable, "-m", "sim.faults.one_delivery", str(folder), str(records)]
    if inject:
        calls = ",".join(_CALLS)
        quiet = ["--seccomp-bpf", "-f", "-qqq", "-o", "/dev/null", "-e", f"trace={calls}"]
        command = ["strace", *quiet, *inject, *command]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    for line in done.stdout.splitlines():
        words = line.split()
        if words[0] == "attempt" and len(words) == 2:
            checker.attempt_hash(PLATFORM, bytes.fromhex(words[1]))
        elif words[0] == "durable" and len(words) == 4:
            checker.promise(bytes.fromhex(words[3]), words[1], int(words[2]))
        elif words[0] == "acknowledged" and len(words) == 4:
            checker.acknowledge(words[1], int(words[2]), int(words[3]))
    return done.returncode
