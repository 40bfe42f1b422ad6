"""The deterministic simulation (S24): edges, a ground station and a network, all faults mixed, by seed.

Time is virtual, every choice comes from one seed, so that a failing seed replays to the same trace. After the
faults comes a quiet phase (links whole, machines up, disks with room) in which everything must be delivered;
then the checker judges. `World.sometimes` counts what has happened at least once: a fault that never came
proves nothing.
"""

import contextlib
import hashlib
import heapq
import itertools
import random
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import apsw
import msgspec

from ground.upkeep.verify import verify_store
from sim.faults.bugs import Bug
from sim.faults.checker import Checker, Verdict
from sim.faults.contents import made_chip, made_health, made_sighting
from sim.faults.nodes import EdgeNode, GroundNode
from skywarden import evidence
from skywarden.errors import StoreError
from skywarden.link.protocol import Batch, Head, Signature, decode_batch, encode_batch
from skywarden.messages import Sighting
from skywarden.wire import Entry, encode, encode_entry

TICK_S = 0.1
CHAOS_S = 20.0
QUIET_S = 240.0

SOMETIMES = (
    "edge killed",
    "edge lost power",
    "ground killed",
    "ground lost power",
    "writes lost or torn",
    "killed in the middle of a write",
    "message lost",
    "message doubled",
    "message overtaken",
    "partition",
    "swizzle-clog",
    "clock jump",
    "slow disk",
    "edge disk full",
    "ground disk full",
    "old image restored",
    "old image found out",
    "forgery refused",
    "replay",
    "duplicate acknowledged again",
    "poison quarantined",
    "record in pieces",
    "record given up",
    "record acknowledged",
)


@dataclass(slots=True)
class Link:
    """One edge's radio: chances and seconds."""

    is_cut: bool = False
    is_clogged: bool = False
    loss: float = 0.0
    doubling: float = 0.0
    delay_s: float = 0.05
    jitter_s: float = 0.05
    latest_s: float = 0.0


@dataclass(slots=True)
class Outcome:
    """What became of one seed."""

    seed: int
    verdict: Verdict
    trace: str
    sometimes: Counter[str]
    problems: list[str] = field(default_factory=list)
    recovered_s: float = 0.0

    @property
    def is_good(self) -> bool:
        """Whether every invariant held."""
        return self.verdict.is_good and not self.problems


class World:
    """See the module; `bugs` are planted mistakes. `run` may be called once."""

    def __init__(self, seed: int, folder: Path, bugs: frozenset[Bug] = frozenset()) -> None:
        self.seed = seed
        self.rng = random.Random(seed)
        self.checker = Checker()
        self.sometimes: Counter[str] = Counter()
        self.now_s = 0.0
        self._trace = hashlib.sha256()
        self._order = itertools.count()
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count(1)
        self._captured: list[tuple[str, bytes]] = []
        self.ground = GroundNode(folder / "ground", self.rng, bugs)
        self.edges: list[EdgeNode] = []
        self.links: dict[str, Link] = {}
        for number in range(self.rng.choice((1, 2, 2, 3))):
            name = f"uav{number + 1:02}"
            edge = EdgeNode(name, folder / name, self.rng, self.checker, bugs)
            self.edges.append(edge)
            self.links[name] = Link()
            self.ground.keys[name] = (edge.key.public,)
        self._slow_s = 0.0
        self._is_quiet = False

    def run(self) -> Outcome:
        """Faults, then quiet, then judgement."""
        self.ground.start(0.0)
        for edge in self.edges:
            edge.start(0.0)
        self._plan_faults()
        while self.now_s < CHAOS_S:
            self._tick()
        self._calm()
        while self.now_s < CHAOS_S + QUIET_S and not self._is_drained():
            self._tick()
        return self._judge()

    def at(self, delay_s: float, do: Callable[[], None]) -> None:
        """Do something later."""
        heapq.heappush(self._events, (self.now_s + delay_s, next(self._order), do))

    def note(self, what: str, detail: object = "") -> None:
        """One line of the trace."""
        self._trace.update(f"{self.now_s:.3f} {what} {detail}\n".encode())

    def _tick(self) -> None:
        self.now_s = round(self.now_s + TICK_S, 3)
        self.ground.clock.now_s = self.now_s
        while self._events and self._events[0][0] <= self.now_s:
            heapq.heappop(self._events)[2]()
        for edge in self.edges:
            edge.clock.now_s = self.now_s
            with contextlib.suppress(StoreError):  # its disk is full, or it is dying
                self._tend(edge)
            if edge.disk.is_dead and edge.is_up:
                self._edge_dies(edge, power=self.rng.random() < 0.5, mid_write=True)
        self._ground_works()

    def _tend(self, edge: EdgeNode) -> None:
        if not self._is_quiet and edge.is_up and self.rng.random() < 0.3:
            edge.append([self._new_entry(edge) for _ in range(self.rng.choice((1, 1, 2, 4)))])
        if edge.backlog is not None and edge.backlog.fault is not None:
            edge.backlog.flush()
        for payload in edge.send(self.now_s):
            self.note("send", (edge.platform_id, hashlib.sha256(payload).hexdigest()[:12]))
            if self.rng.random() < 0.05 and len(self._captured) < 50:
                self._captured.append((edge.platform_id, payload))
            self._carry(edge, payload, partial(self._reach_ground, edge))

    def _reach_ground(self, edge: EdgeNode, payload: bytes) -> None:
        if self.ground.is_up:
            self.ground.inbox.append((edge.platform_id, payload))

    def _reach_edge(self, edge: EdgeNode, payload: bytes) -> None:
        if edge.is_up:
            try:
                edge.receive(payload, self.now_s)
            except StoreError:
                self.note("edge refuses", edge.platform_id)

    def _ground_works(self) -> None:
        replies: list[tuple[str, bytes]] = []
        if self.ground.is_up and not (self._slow_s and self.rng.random() < 0.7):
            replies = self.ground.work()
        if self.ground.disk.is_dead and self.ground.is_up:
            self._ground_dies(power=self.rng.random() < 0.5, mid_write=True)
            if self.rng.random() < 0.5:
                return  # it died before the replies left
        edges = {edge.platform_id: edge for edge in self.edges}
        for platform_id, payload in replies:
            edge = edges[platform_id]
            self.note("reply", (platform_id, hashlib.sha256(payload).hexdigest()[:12]))
            self._carry(edge, payload, partial(self._reach_edge, edge))

    def _carry(self, edge: EdgeNode, payload: bytes, arrive: Callable[[bytes], None]) -> None:
        link = self.links[edge.platform_id]
        if link.is_cut:
            return
        for copy in range(2 if self.rng.random() < link.doubling else 1):
            if self.rng.random() < link.loss:
                self.sometimes["message lost"] += 1
                continue
            self.sometimes["message doubled"] += copy
            delay_s = link.delay_s + self.rng.random() * link.jitter_s + (2.0 if link.is_clogged else 0.0)
            self.sometimes["message overtaken"] += self.now_s + delay_s < link.latest_s
            link.latest_s = max(link.latest_s, self.now_s + delay_s)
            self.at(delay_s, partial(arrive, payload))

    def _new_entry(self, edge: EdgeNode) -> tuple[str, int, bytes]:
        number, kind, utc_ns = next(self._numbers), self.rng.random(), edge.clock.utc_ns()
        if kind < 0.04:
            return "sighting", utc_ns, b"\x01poison" + number.to_bytes(4, "big")
        if kind < 0.55:
            return "sighting", utc_ns, encode(_sighting(edge.platform_id, number, utc_ns))
        if kind < 0.8:
            return "health", utc_ns, encode(made_health(edge.platform_id, f"condition {number}", utc_ns))
        size = self.rng.choice((800, 800, 3_000, 9_000, 40_000))
        data = self.rng.randbytes(size)
        name = edge.platform_id
        chip = made_chip(f"{name}.c{number}", f"{name}.{number}", name, utc_ns, data)
        return "chip", utc_ns, encode(chip)

    def _plan_faults(self) -> None:
        faults: list[Callable[[], None]] = [
            self._kill_edge,
            self._kill_ground,
            self._edge_dies_at_a_write,
            self._ground_dies_at_a_write,
            self._cut,
            self._swizzle_clog,
            self._bad_radio,
            self._jump,
            self._slow,
            self._fill_edge,
            self._fill_ground,
            self._roll_back,
            self._forge,
            self._replay,
        ]
        for _ in range(self.rng.randint(6, 14)):
            self.at(self.rng.uniform(0.5, CHAOS_S - 1.0), self.rng.choice(faults))

    def _kill_edge(self) -> None:
        edge = self.rng.choice(self.edges)
        self._edge_dies(edge, power=self.rng.random() < 0.5)

    def _edge_dies_at_a_write(self) -> None:
        disk = self.rng.choice(self.edges).disk
        disk.die_at = disk.operations + self.rng.randint(1, 40)

    def _edge_dies(self, edge: EdgeNode, *, power: bool, mid_write: bool = False) -> None:
        if not edge.is_up:
            return
        self.sometimes["edge lost power" if power else "edge killed"] += 1
        self.sometimes["killed in the middle of a write"] += mid_write
        self.sometimes["writes lost or torn"] += edge.die(power=power)
        self.note("edge dies", (edge.platform_id, power))
        if self.rng.random() < 0.2:
            edge.take_image()
        self.at(self.rng.uniform(0.3, 4.0), lambda: self._edge_starts(edge))

    def _edge_starts(self, edge: EdgeNode) -> None:
        if not edge.is_up:
            self.note("edge starts", (edge.platform_id, edge.start(self.now_s)))

    def _kill_ground(self) -> None:
        self._ground_dies(power=self.rng.random() < 0.5)

    def _ground_dies_at_a_write(self) -> None:
        self.ground.disk.die_at = self.ground.disk.operations + self.rng.randint(1, 60)

    def _ground_dies(self, *, power: bool, mid_write: bool = False) -> None:
        if not self.ground.is_up:
            return
        self.sometimes["ground lost power" if power else "ground killed"] += 1
        self.sometimes["killed in the middle of a write"] += mid_write
        self.sometimes["writes lost or torn"] += self.ground.die(power=power)
        self.note("ground dies", power)
        self.at(self.rng.uniform(0.3, 4.0), self._ground_starts)

    def _ground_starts(self) -> None:
        if not self.ground.is_up:
            self.note("ground starts", self.ground.start(self.now_s))

    def _cut(self) -> None:
        link = self.rng.choice(list(self.links.values()))
        link.is_cut = True
        self.sometimes["partition"] += 1
        self.at(self.rng.choice((1.0, 4.0, 15.0)), partial(setattr, link, "is_cut", False))

    def _swizzle_clog(self) -> None:
        """Links are clogged one after another, and freed in another order."""
        chosen = self.rng.sample(list(self.links.values()), self.rng.randint(1, len(self.links)))
        self.sometimes["swizzle-clog"] += 1
        for place, link in enumerate(chosen):
            self.at(0.7 * place, partial(setattr, link, "is_clogged", True))
        self.rng.shuffle(chosen)
        for place, link in enumerate(chosen):
            self.at(4.0 + 0.7 * place, partial(setattr, link, "is_clogged", False))

    def _bad_radio(self) -> None:
        link = self.rng.choice(list(self.links.values()))
        link.loss, link.doubling = self.rng.uniform(0.0, 0.5), self.rng.uniform(0.0, 0.3)
        link.jitter_s = self.rng.uniform(0.05, 1.5)

        def end() -> None:
            link.loss, link.doubling, link.jitter_s = 0.0, 0.0, 0.05

        self.at(self.rng.uniform(2.0, 10.0), end)

    def _jump(self) -> None:
        clock = self.rng.choice([self.ground.clock, *(edge.clock for edge in self.edges)])
        clock.offset_s += self.rng.choice((-2e9, -3_600.0, -60.0, 60.0, 3_600.0, 6.2e8))
        self.sometimes["clock jump"] += 1

    def _slow(self) -> None:
        self._slow_s = 1.0
        self.sometimes["slow disk"] += 1
        self.at(self.rng.uniform(1.0, 6.0), lambda: setattr(self, "_slow_s", 0.0))

    def _fill_edge(self) -> None:
        disk = self.rng.choice(self.edges).disk
        disk.is_full = True
        self.sometimes["edge disk full"] += 1
        self.at(self.rng.uniform(0.5, 6.0), lambda: setattr(disk, "is_full", False))

    def _fill_ground(self) -> None:
        self.ground.disk.is_full = True
        self.sometimes["ground disk full"] += 1
        self.at(self.rng.uniform(0.5, 6.0), lambda: setattr(self.ground.disk, "is_full", False))

    def _roll_back(self) -> None:
        """An edge is switched off, imaged, flies on, and wakes up from the image."""
        edge = self.rng.choice(self.edges)
        self._edge_dies(edge, power=False)
        edge.take_image()

        def restore() -> None:
            if edge.is_up:
                self._edge_dies(edge, power=False)
            if edge.restore_image():
                self.sometimes["old image restored"] += 1
                self.note("old image", edge.platform_id)

        self.at(self.rng.uniform(3.0, 10.0), restore)

    def _forge(self) -> None:
        """Somebody who has a platform's link key, and not its evidence key, speaks for it."""
        edge = self.rng.choice(self.edges)
        if not self.ground.is_up or edge.outbox is None:
            return
        utc_ns = edge.clock.utc_ns()
        number = next(self._numbers)
        body = encode(_sighting(edge.platform_id, number, utc_ns))
        self.checker.forge(body)
        seq = edge.outbox.state().last_seq + self.rng.randint(-3, 3)
        entry = Entry(seq=max(1, seq), topic="sighting", time_ns=utc_ns, body=body)
        batch = Batch(
            number=number,
            platform_id=edge.platform_id,
            boot_id=edge.outbox.boot_id,
            sent_ns=utc_ns,
            last_seq=seq + 1,
            pending=1,
            records=(encode_entry(entry),),
            head=Head(seq=max(1, seq), chain=self.rng.randbytes(32)),
            signature=self._false_signature(edge),
        )
        self.ground.inbox.append((edge.platform_id, encode_batch(batch)))

    def _false_signature(self, edge: EdgeNode) -> Signature | None:
        kind = self.rng.random()
        if kind < 0.3:
            return None
        name = edge.key.public if kind < 0.7 else self.rng.randbytes(32)
        return Signature(key_id=evidence.key_id(name), signature=self.rng.randbytes(64))

    def _replay(self) -> None:
        """Batches heard before come again, some of them changed."""
        if not self._captured or not self.ground.is_up:
            return
        for platform_id, payload in self.rng.sample(self._captured, min(5, len(self._captured))):
            self.sometimes["replay"] += 1
            self.ground.inbox.append((platform_id, payload))
            batch = decode_batch(payload)
            changed = msgspec.structs.replace(batch, number=batch.number + 1)
            self.ground.inbox.append((platform_id, encode_batch(changed)))

    def _calm(self) -> None:
        """All faults off, everything on."""
        self._is_quiet = True
        self._events = [event for event in self._events if event[0] <= self.now_s]
        self._slow_s = 0.0
        for disk in [self.ground.disk, *(edge.disk for edge in self.edges)]:
            disk.die_at, disk.is_full = None, False
        for name in self.links:
            self.links[name] = Link()
        self._ground_starts()
        for edge in self.edges:
            self._edge_starts(edge)

    def _is_drained(self) -> bool:
        return all(
            edge.outbox is not None
            and edge.outbox.state().held == 0
            and edge.backlog is not None
            and not len(edge.backlog)
            for edge in self.edges
        )

    def _judge(self) -> Outcome:
        problems = []
        recovered_s = self.now_s - CHAOS_S
        if not self._is_drained():
            held = {edge.platform_id: edge.outbox.state().held for edge in self.edges if edge.outbox}
            problems.append(f"not everything was delivered within {QUIET_S:.0f} s: {held}")
        for edge in self.edges:
            edge.die(power=False)
            self.sometimes["old image found out"] += edge.renewals
            edge.disk.unregister()
        self.ground.die(power=False)
        self.ground.disk.unregister()
        self._count_totals()
        may_resend = frozenset(edge.platform_id for edge in self.edges if edge.was_rolled_back)
        try:
            verdict = self.checker.judge(self.ground.path, may_resend=may_resend)
            found = verify_store(self.ground.path, self.ground.keys)
        except (apsw.Error, StoreError) as error:
            problems.append(f"the store cannot be read: {error}")
            return Outcome(self.seed, Verdict(), self._trace.hexdigest(), self.sometimes, problems)
        problems += [f"ground verify: {problem}" for problem in found.problems]
        if found.unsigned:
            problems.append(f"{found.unsigned} stored records are not signed")
        if self.ground.totals.get("forks", 0) and not may_resend:
            problems.append(f"{self.ground.totals['forks']} forks of numbers, though nobody forked")
        self.sometimes["record given up"] += verdict.given_up
        self.sometimes["record acknowledged"] += sum(
            one.is_acknowledged for one in self.checker.written.values()
        )
        self.note("verdict", verdict)
        return Outcome(self.seed, verdict, self._trace.hexdigest(), self.sometimes, problems, recovered_s)

    def _count_totals(self) -> None:
        totals = self.ground.totals
        self.sometimes["forgery refused"] += totals.get("refused_signature", 0) + totals.get("untrusted", 0)
        self.sometimes["duplicate acknowledged again"] += totals.get("duplicates", 0)
        self.sometimes["poison quarantined"] += totals.get("quarantined", 0)
        self.sometimes["record in pieces"] += totals.get("pieces", 0)


def run_seed(seed: int, folder: Path, bugs: frozenset[Bug] = frozenset()) -> Outcome:
    """One seed in a folder of its own below `folder`, which is removed afterwards."""
    own = folder / f"seed-{seed}"
    own.mkdir(parents=True)
    try:
        return World(seed, own, bugs).run()
    finally:
        shutil.rmtree(own, ignore_errors=True)


def _sighting(platform_id: str, number: int, utc_ns: int) -> Sighting:
    name = f"{platform_id}.{number}"
    return made_sighting(name, f"{platform_id}.t{number % 7}", platform_id, number, utc_ns)
