"""Scenario S9: batches heard before come again, here and elsewhere; numbers used twice; old disk images."""

import random
import tempfile
import time
from pathlib import Path

import structlog

from ground.link.intake import Intake
from ground.store.sqlite import SqliteStore
from ground.upkeep.verify import verify_store
from sim.faults.checker import Checker
from sim.faults.nodes import EdgeNode, GroundNode, NoContacts
from sim.faults.result import Profile, Result
from sim.faults.signed import NS, SignedSource
from skywarden.evidence import EvidenceKey
from skywarden.messages import Health
from skywarden.wire import encode

REPLAYS: dict[Profile, int] = {"quick": 1_000, "full": 10_000, "soak": 100_000}
ROLLBACKS: dict[Profile, int] = {"quick": 12, "full": 50, "soak": 500}
_PLATFORM = "uav01"


def run(profile: Profile, seed: int) -> Result:
    """Replays and forks against one store, then rollbacks of an edge."""
    result = Result("S9", profile, seed)
    began_s = time.monotonic()
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    rng = random.Random(seed)
    try:
        with tempfile.TemporaryDirectory(prefix="skywarden-s9-") as folder:
            _replays(result, Path(folder), REPLAYS[profile], rng)
        with tempfile.TemporaryDirectory(prefix="skywarden-s9-") as folder:
            _rollbacks(result, Path(folder), ROLLBACKS[profile], rng)
    finally:
        structlog.configure(**before)
    result.seconds = time.monotonic() - began_s
    return result


def _source(rng: random.Random, boot_id: str | None = None, key: EvidenceKey | None = None) -> SignedSource:
    return SignedSource(
        _PLATFORM,
        boot_id or f"{rng.getrandbits(128):032x}",
        key or EvidenceKey.from_secret(rng.randbytes(32)),
    )


def _deliver(intake: Intake, payload: bytes) -> None:
    parcel = intake.open(_PLATFORM, payload, len(payload), NS)
    if parcel is not None:
        intake.commit([parcel])


def _replays(result: Result, folder: Path, count: int, rng: random.Random) -> None:
    source = _source(rng)
    source.grow(400)
    captured = [source.batch(range(first, first + 20)) for first in range(1, 401, 20)]
    path = folder / "store.sqlite"

    def opened(at: Path, keys: tuple[bytes, ...]) -> tuple[SqliteStore, Intake]:
        store = SqliteStore(at, NoContacts())
        return store, Intake(store=store, evidence_keys=lambda platform_id: keys)

    store, intake = opened(path, (source.key.public,))
    for payload in captured:
        _deliver(intake, payload)
    rows = store.counts().records
    for _ in range(count // 2):
        _deliver(intake, rng.choice(captured))
    store.close()
    store, intake = opened(path, (source.key.public,))
    for _ in range(count - count // 2):
        _deliver(intake, rng.choice(captured))
    result.observe("replays, half of them after a restart", count)
    result.expect_equal("replays: new rows", store.counts().records - rows, 0)
    result.expect_zero("replays: false forks", intake.counts.forks + store.counts().quarantined)
    other_store, other = opened(folder / "other.sqlite", ())
    for payload in captured:
        _deliver(other, payload)
    result.expect_zero("replays to a station that did not enrol the key: rows", other_store.counts().records)
    other_store.close()
    _forks(result, store, intake, source, rng)
    store.close()
    found = verify_store(path, {_PLATFORM: (source.key.public,)})
    result.expect_zero("damaged", found.damaged)


def _forks(
    result: Result, store: SqliteStore, intake: Intake, source: SignedSource, rng: random.Random
) -> None:
    """The same numbers, other content, signed with the true key."""
    twin = _source(rng, source.boot_id, source.key)
    twin.grow(len(source.records), tag="twin-")
    seqs = sorted(rng.sample(range(1, len(source.records) + 1), 100))
    before = store.counts()
    for first in range(0, 100, 10):
        _deliver(intake, twin.batch(seqs[first : first + 10]))
    result.expect_equal("forks: kept in quarantine", store.counts().quarantined - before.quarantined, 100)
    result.expect_equal("forks: counted", intake.counts.forks, 100)
    result.expect_equal("forks: rows changed", store.counts().records - before.records, 0)
    result.expect_at_least("forks: alarms", intake.counts.alarms, 1)


def _rollbacks(result: Result, folder: Path, count: int, rng: random.Random) -> None:
    """An edge wakes up from an old image, over and over, and flies on before it meets the ground again."""
    checker = Checker()
    edge = EdgeNode(_PLATFORM, folder / "edge", rng, checker, frozenset())
    ground = GroundNode(folder / "ground", rng, frozenset())
    ground.keys[_PLATFORM] = (edge.key.public,)
    ground.start(0.0)
    edge.start(0.0)
    now_s, number, told, restored = 0.0, 0, 0, 0

    def record(how_many: int) -> None:
        nonlocal number
        for _ in range(how_many):
            number += 1
            edge.append([("health", NS, encode(_health(number)))])

    for _ in range(count):
        record(rng.randint(1, 12))
        now_s = _exchange(edge, ground, now_s, until_empty=rng.random() < 0.5)
        edge.die(power=False)
        edge.take_image()
        edge.start(now_s)
        record(rng.randint(1, 12))
        now_s = _exchange(edge, ground, now_s, until_empty=True)
        edge.die(power=False)
        restored += edge.restore_image()
        edge.start(now_s)
        record(rng.choice((1, 5, 30)))
        before = edge.outbox.renewals if edge.outbox is not None else 0
        now_s = _exchange(edge, ground, now_s, until_empty=True)
        told += (edge.outbox.renewals if edge.outbox is not None else 0) - before
    edge.die(power=False)
    forks = ground.intake.counts.forks if ground.intake is not None else 0
    ground.die(power=False)
    verdict = checker.judge(ground.path, may_resend=frozenset((_PLATFORM,)))
    result.expect_equal("rollbacks found out", told, restored)
    result.expect_zero("rollbacks: numbers used twice", forks)
    result.expect_zero("rollbacks: lost", verdict.lost + verdict.acknowledged_and_lost)
    result.expect_zero("rollbacks: stored twice", verdict.stored_twice)
    result.observe("rollbacks: resent under the new name", verdict.resent_after_rollback)
    result.expect_zero("rollbacks: damaged", verify_store(ground.path, ground.keys).damaged)
    for disk in (edge.disk, ground.disk):
        disk.unregister()


def _exchange(edge: EdgeNode, ground: GroundNode, now_s: float, *, until_empty: bool) -> float:
    """Both talk over a good link for a while; when they ended."""
    for turn in range(400):
        now_s = edge.clock.now_s = ground.clock.now_s = round(now_s + 0.1, 3)
        ground.inbox += [(edge.platform_id, payload) for payload in edge.send(now_s)]
        for _, payload in ground.work():
            edge.receive(payload, now_s)
        held = edge.outbox.state().held if edge.outbox is not None else 0
        if turn > 3 and (not held or not until_empty):
            break
    return now_s


def _health(number: int) -> Health:
    return Health(
        platform_id=_PLATFORM,
        component="camera.eo",
        condition="stalled",
        state="degraded",
        time_ns=NS,
        since_ns=NS,
        text=f"condition {number}",
    )
