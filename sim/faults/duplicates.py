"""Scenario S7: every record comes up to five times, shuffled over a long window, and later all of it again.

Through the station's own intake into its own store, signed, from several platforms at once.
"""

import random
import tempfile
import time
from pathlib import Path

import structlog

from ground.link.intake import Intake
from ground.store.sqlite import SqliteStore
from ground.upkeep.verify import verify_store
from sim.faults.nodes import NoContacts
from sim.faults.result import Profile, Result
from sim.faults.signed import NS, SignedSource
from skywarden.evidence import EvidenceKey

UNIQUE: dict[Profile, int] = {"quick": 6_000, "full": 100_000, "soak": 1_000_000}
_PLATFORMS = 4
_WINDOW = 10_000
_BATCH = 50
_DRAIN = 16


def run(profile: Profile, seed: int) -> Result:
    """Deliver, count, deliver everything again, count again, prove the store."""
    result = Result("S7", profile, seed)
    began_s = time.monotonic()
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    try:
        with tempfile.TemporaryDirectory(prefix="skywarden-s7-") as folder:
            _deliver_all(result, Path(folder), UNIQUE[profile], random.Random(seed))
    finally:
        structlog.configure(**before)
    result.seconds = time.monotonic() - began_s
    return result


def _deliver_all(result: Result, folder: Path, unique: int, rng: random.Random) -> None:
    sources = [
        SignedSource(
            f"uav{place}", f"{rng.getrandbits(128):032x}", EvidenceKey.from_secret(rng.randbytes(32))
        )
        for place in range(_PLATFORMS)
    ]
    for source in sources:
        source.grow(unique // _PLATFORMS)
    names = [(place, seq) for place in range(_PLATFORMS) for seq in range(1, unique // _PLATFORMS + 1)]
    deliveries = [name for name in names for _ in range(rng.randint(1, 5))]
    deliveries = _shuffled(deliveries, rng)
    keys = {source.platform_id: (source.key.public,) for source in sources}
    store = SqliteStore(folder / "store.sqlite", NoContacts())
    intake = Intake(store=store, evidence_keys=lambda platform_id: keys[platform_id])
    payloads = _batches(sources, deliveries)
    seconds = _take_in(intake, payloads)
    result.observe("deliveries", len(deliveries))
    result.expect_equal("stored", intake.counts.stored, len(names))
    result.expect_equal("duplicates counted", intake.counts.duplicates, len(deliveries) - len(names))
    result.observe("first delivery, records a second", len(deliveries) / seconds)
    before = intake.counts.duplicates
    again = _batches(sources, _shuffled(names, rng))
    seconds = _take_in(intake, again)
    result.expect_equal("replay of everything: stored more", intake.counts.stored - len(names), 0)
    result.expect_equal("replay of everything: duplicates", intake.counts.duplicates - before, len(names))
    result.observe("replay, records a second (goal of full: 10,000)", len(names) / seconds)
    result.expect_zero("forks", intake.counts.forks)
    result.expect_equal("sightings", store.counts().sightings, len(names))
    store.close()
    found = verify_store(folder / "store.sqlite", keys)
    result.expect_equal("proved by chain", found.proved, len(names))
    result.expect_equal("signed", found.signed, len(names))
    result.expect_zero("damaged", found.damaged)


def _shuffled(names: list[tuple[int, int]], rng: random.Random) -> list[tuple[int, int]]:
    """Each moves by up to a window."""
    return [
        name for _, name in sorted((place + rng.random() * _WINDOW, name) for place, name in enumerate(names))
    ]


def _batches(sources: list[SignedSource], names: list[tuple[int, int]]) -> list[tuple[str, bytes]]:
    waiting: dict[int, list[int]] = {place: [] for place in range(len(sources))}
    payloads = []
    for place, seq in names:
        waiting[place].append(seq)
        if len(waiting[place]) == _BATCH:
            payloads.append((sources[place].platform_id, sources[place].batch(waiting.pop(place))))
            waiting[place] = []
    payloads += [
        (sources[place].platform_id, sources[place].batch(seqs)) for place, seqs in waiting.items() if seqs
    ]
    return payloads


def _take_in(intake: Intake, payloads: list[tuple[str, bytes]]) -> float:
    """Seconds for opening, committing and answering."""
    began_s = time.perf_counter()
    for start in range(0, len(payloads), _DRAIN):
        parcels = []
        for platform_id, payload in payloads[start : start + _DRAIN]:
            parcel = intake.open(platform_id, payload, len(payload), NS)
            assert parcel is not None
            parcels.append(parcel)
        is_committed = intake.commit(parcels)
        for parcel in parcels:
            intake.reply(parcel, is_committed=is_committed, ground_ns=NS)
    return time.perf_counter() - began_s
