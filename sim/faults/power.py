"""Scenario S2: power loss on the edge's outbox and on the ground's store, hundreds of times.

Each loss comes at a random operation of the disk; what was not synced is kept, lost or torn. What was
promised before it must be there afterwards. The same with a setting that does not sync every commit is the
anchor: the harness must see the loss there.
"""

import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw
import structlog

from edge.link.outbox import Outbox
from ground.store.sqlite import Arrival, SqliteStore
from sim.faults.disk import CrashDisk
from sim.faults.nodes import NoContacts
from sim.faults.result import Profile, Result
from skywarden.errors import StoreError
from skywarden.link.protocol import END_OF_SEQ, acknowledged_ranges
from skywarden.messages import Ack, Health
from skywarden.wire import Record, encode

LOSSES: dict[Profile, int] = {"quick": 150, "full": 1_000, "soak": 20_000}
_ANCHOR = 60
_BOOT = "ab" * 16
_NS = 1_780_000_000_000_000_000


@dataclass(slots=True)
class Losses:
    """What became of the losses of one kind of file."""

    losses: int = 0
    promised: int = 0
    promised_and_lost: int = 0
    unopenable: int = 0
    torn: int = 0


def run(profile: Profile, seed: int, losses: int | None = None) -> Result:
    """As many losses on each of the two files as the profile says."""
    losses = losses or LOSSES[profile]
    result = Result("S2", profile, seed)
    began_s = time.monotonic()
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    try:
        with watched_connections() as seen:
            outbox = outbox_losses(losses, seed)
            store = store_losses(losses, seed)
        anchor = store_losses(_ANCHOR, seed, normal=True)
    finally:
        structlog.configure(**before)
    for name, found in (("outbox", outbox), ("store", store)):
        result.observe(f"{name}: losses of power", found.losses)
        result.observe(f"{name}: writes lost or torn", found.torn)
        result.observe(f"{name}: records promised", found.promised)
        result.expect_zero(f"{name}: promised and lost", found.promised_and_lost)
        result.expect_zero(f"{name}: files that do not open", found.unopenable)
    result.expect_at_least("commits that keep something seen", len(seen), losses)
    result.expect_zero("of these without synchronous=2", sum(one != 2 for one in seen))
    result.expect_at_least("anchor: records lost with synchronous=NORMAL", anchor.promised_and_lost, 1)
    result.seconds = time.monotonic() - began_s
    return result


def outbox_losses(count: int, seed: int) -> Losses:
    """Appends and acknowledgements until the power goes, again and again on the same file."""
    rng, found = random.Random(seed), Losses()
    promised: set[bytes] = set()
    with tempfile.TemporaryDirectory(prefix="skywarden-power-") as folder:
        disk = CrashDisk(random.Random(seed))
        path = Path(folder) / "outbox.sqlite"
        while found.losses < count:
            try:
                outbox = Outbox(path, "uav01", vfs=disk.name)
            except StoreError:
                found.unopenable += 1
                break
            held = {record.body for record in outbox.pending(10**9, limit_records=10**6)}
            found.promised_and_lost += len(promised - held)
            promised = set(held)
            disk.die_at = disk.operations + _life(rng)
            try:
                for _ in range(60):
                    _use_outbox(outbox, rng, promised, found)
            except StoreError:
                pass
            outbox.abandon()
            found.torn += disk.lose_power()
            found.losses += 1
            disk.restart()
        disk.unregister()
    return found


def _use_outbox(outbox: Outbox, rng: random.Random, promised: set[bytes], found: Losses) -> None:
    if rng.random() < 0.75:
        bodies = [_body(rng) for _ in range(rng.choice((1, 1, 5)))]
        outbox.append_many([("health", _NS, body) for body in bodies])
        promised.update(bodies)
        found.promised += len(bodies)
        return
    held = outbox.pending(10**9, limit_records=10**6)
    if not held:
        return
    upto = rng.choice(held).seq
    acknowledged = {record.body for record in held if record.seq <= upto}
    promised -= acknowledged  # whether they are still there after a loss during this is all the same
    outbox.acknowledge(
        Ack(
            platform_id="uav01",
            boot_id=outbox.boot_id,
            contiguous_seq=upto,
            missing=((upto + 1, END_OF_SEQ),),
        )
    )


def store_losses(count: int, seed: int, *, normal: bool = False) -> Losses:
    """Commits until the power goes; what was acknowledged must be there. `normal` syncs too little."""
    rng, found = random.Random(seed + 1), Losses()
    acknowledged: set[int] = set()
    number = 0
    with tempfile.TemporaryDirectory(prefix="skywarden-power-") as folder:
        disk = CrashDisk(random.Random(seed + 1))
        path = Path(folder) / "store.sqlite"
        while found.losses < count:
            try:
                store = SqliteStore(path, NoContacts(), vfs=disk.name)
                if normal:
                    store._db.execute("PRAGMA synchronous = NORMAL")
            except StoreError:
                found.unopenable += 1
                break
            here = {seq for start in range(1, number + 1, 200) for seq in _here(store, start, 200)}
            found.promised_and_lost += len(acknowledged - here)
            acknowledged = set(here)
            disk.die_at = disk.operations + _life(rng)
            try:
                for _ in range(60):
                    fresh = range(number + 1, number + 1 + rng.choice((1, 2, 8)))
                    number = fresh[-1]
                    store.ingest([_arrival(rng, one) for one in fresh])
                    acknowledged |= _here(store, fresh[0], len(fresh))
                    found.promised += len(fresh)
            except StoreError:
                pass
            store.abandon()
            found.torn += disk.lose_power()
            found.losses += 1
            disk.restart()
        disk.unregister()
    return found


@contextmanager
def watched_connections() -> Iterator[list[int]]:
    """What `PRAGMA synchronous` says at every commit that keeps something new, on connections opened inside.

    A commit that only forgets what the ground has is no promise and need not be on the disk.
    """
    seen: list[int] = []

    def opened(db: Any) -> None:
        kept: list[str] = []

        def changed(kind: int, _database: str, table: str, _rowid: int) -> None:
            if kind == apsw.SQLITE_INSERT:
                kept.append(table)

        def committed() -> bool:
            if kept:
                seen.append(db.execute("PRAGMA synchronous").get)
                kept.clear()
            return False

        db.set_update_hook(changed)
        db.set_commit_hook(committed)

    apsw.connection_hooks.append(opened)
    try:
        yield seen
    finally:
        apsw.connection_hooks.remove(opened)


def _life(rng: random.Random) -> int:
    """Operations until the power goes: mostly few; sometimes enough to get through a checkpoint."""
    return rng.randint(1, 80) if rng.random() < 0.8 else rng.randint(80, 4_000)


def _here(store: SqliteStore, first: int, count: int) -> set[int]:
    """Which of these numbers the store says it has."""
    about = range(first, first + count)
    ranges = acknowledged_ranges(store.standing("uav01", _BOOT, about).ack)
    return {seq for seq in about if any(start <= seq <= end for start, end in ranges)}


def _arrival(rng: random.Random, seq: int) -> Arrival:
    record = Record(platform_id="uav01", boot_id=_BOOT, seq=seq, topic="health", time_ns=_NS, body=_body(rng))
    return Arrival(record=record, message=None, received_ns=_NS, reason="not looked at")


def _body(rng: random.Random) -> bytes:
    return encode(
        Health(
            platform_id="uav01",
            component="camera.eo",
            condition="stalled",
            state="degraded",
            time_ns=_NS,
            since_ns=_NS,
            text=f"{rng.getrandbits(64):016x}" + "x" * rng.choice((0, 0, 400)),
        )
    )
