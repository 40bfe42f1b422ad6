"""Scenario L1, small; and its judge, which must find what is wrong."""

from pathlib import Path

import pytest

from ground.link.intake import Intake
from ground.store.sqlite import SqliteStore
from sim.faults.load import Judged, Plan, judge, run
from sim.faults.load_fleet import Believed, Delays
from sim.faults.nodes import NoContacts
from sim.faults.signed import NS, SignedSource
from skywarden.evidence import EvidenceKey, body_hash
from tests.faults.verdicts import require_passed

KEY = EvidenceKey.from_secret(bytes(range(32)))
BOOT = "ab" * 16


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_l1_a_small_fleet_loses_nothing_and_is_answered() -> None:
    result = run("quick", 1, Plan(4, 40.0, 0.5, 1.0, 1, 0.5, is_judged=False))
    require_passed(result, "share of that")
    assert any("sightings/s" in note for note in result.notes)


def _judged(folder: Path, stored: range, hashes: list[bytes], *, acknowledged: int) -> Judged:
    """A store with these numbers of ten records, held against a journal of `hashes`."""
    source = SignedSource("uav00", BOOT, KEY)
    source.grow(10)
    store = SqliteStore(folder / "store.sqlite", NoContacts())
    try:
        intake = Intake(store=store, evidence_keys=lambda platform_id: (KEY.public,))
        payload = source.batch(stored)
        parcel = intake.open("uav00", payload, len(payload), NS)
        assert parcel is not None
        assert intake.commit([parcel])
    finally:
        store.close()
    journal = folder / "fleet" / "uav00" / "records.sha256"
    journal.parent.mkdir(parents=True)
    journal.write_bytes(b"".join(hashes or [body_hash(one.body) for one in source.records]))
    believed = Believed(
        platform_id="uav00",
        boot_id=BOOT,
        last_seq=10,
        sightings=10,
        acknowledged=((1, acknowledged),),
    )
    return judge(folder / "store.sqlite", folder / "fleet", (believed,))


def test_the_judge_is_content_when_everything_is_there(tmp_path: Path) -> None:
    assert _judged(tmp_path, range(1, 11), [], acknowledged=10) == Judged(stored_once=10)


def test_the_judge_tells_what_was_acknowledged_and_lost_from_what_was_only_lost(tmp_path: Path) -> None:
    found = _judged(tmp_path, range(1, 7), [], acknowledged=8)
    assert (found.stored_once, found.acknowledged_and_lost) == (6, 2)
    assert found.lost >= 2


def test_the_judge_finds_what_nobody_recorded(tmp_path: Path) -> None:
    found = _judged(tmp_path, range(1, 11), [bytes(32)] * 10, acknowledged=10)
    assert (found.stored_once, found.forged, found.acknowledged_and_lost) == (0, 10, 10)


def test_delays_are_told_by_their_share() -> None:
    delays = Delays()
    for number in range(1, 101):
        delays.note(number / 1e3)
    delays.note(3_600.0)
    assert (delays.quantile(0.5), delays.quantile(0.99), delays.quantile(1.0)) == (0.051, 0.1, 60.0)
