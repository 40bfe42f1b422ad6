"""Backups are taken while records come in, are proved, and come back without anything being overwritten."""

import random
import threading
from pathlib import Path

import apsw
import pytest

from ground.config import ContactsConfig
from ground.fusion.book import ContactBook
from ground.link.intake import Intake
from ground.review.entries import Entry
from ground.review.log import ReviewLog, read_entries, review_path
from ground.store.mark import mark_path
from ground.store.reading import Filter
from ground.store.sqlite import SqliteStore
from ground.upkeep.copies import back_up, restore
from ground.upkeep.verify import verify_store
from sim.faults.signed import NS, SignedSource
from skywarden.errors import StoreError, VerificationError
from skywarden.evidence import EvidenceKey
from tests.ground.scenes import BOOT

KEY = EvidenceKey.from_secret(bytes(range(32)))
KEYS = {"uav07": (KEY.public,)}


def _open(path: Path) -> SqliteStore:
    return SqliteStore(path, ContactBook(ContactsConfig()))


def _grow(store: SqliteStore, source: SignedSource, first: int, last: int) -> None:
    intake = Intake(store=store, evidence_keys=lambda name: (KEY.public,))
    for start in range(first, last + 1, 50):
        payload = source.batch(range(start, min(start + 50, last + 1)))
        parcel = intake.open("uav07", payload, len(payload), NS)
        assert parcel is not None
        assert intake.commit([parcel])
        intake.reply(parcel, is_committed=True, ground_ns=NS)


def _made(folder: Path, count: int = 500) -> tuple[Path, SqliteStore, SignedSource]:
    source = SignedSource("uav07", BOOT, KEY)
    source.grow(count)
    path = folder / "store.sqlite"
    store = _open(path)
    return path, store, source


@pytest.mark.slow
def test_a_backup_while_records_come_in_is_one_moment_of_the_store(tmp_path: Path) -> None:
    path, store, source = _made(tmp_path, 3_000)
    _grow(store, source, 1, 1_000)
    began = threading.Event()

    def write() -> None:
        assert began.wait(10)
        _grow(store, source, 1_001, 3_000)

    writer = threading.Thread(target=write)
    writer.start()
    seen: list[float] = []

    def progress(share: float) -> None:
        seen.append(share)
        began.set()

    made = back_up(path, tmp_path / "a.backup", KEYS, progress=progress)
    writer.join(30)
    assert 1_000 <= made.records < 3_000
    assert seen[-1] == 1.0
    assert store.counts().records == 3_000
    store.close()
    copy = verify_store(tmp_path / "a.backup", KEYS)
    assert (copy.records, copy.proved, copy.damaged) == (made.records, made.records, 0)
    assert (tmp_path / "a.backup").stat().st_mode & 0o777 == 0o600
    assert not list(tmp_path.glob("*.part*"))
    with pytest.raises(StoreError, match="never overwrites"):
        back_up(path, tmp_path / "a.backup")


@pytest.mark.slow
def test_a_restored_backup_answers_as_before_and_sets_the_other_store_aside(tmp_path: Path) -> None:
    path, store, source = _made(tmp_path)
    _grow(store, source, 1, 200)
    before = store.sightings(Filter(limit=1_000))
    back_up(path, tmp_path / "a.backup")
    with pytest.raises(StoreError, match="stop it"):
        restore(tmp_path / "a.backup", path, KEYS, is_forced=True)
    _grow(store, source, 201, 500)
    store.close()
    with pytest.raises(StoreError, match="--force"):
        restore(tmp_path / "a.backup", path, KEYS)
    made = restore(tmp_path / "a.backup", path, KEYS, is_forced=True, now="20260921T120000Z")
    assert made.records == 200
    assert made.set_aside is not None
    assert verify_store(Path(made.set_aside), KEYS).records == 500
    again = _open(path)
    assert again.warnings == []
    assert again.sightings(Filter(limit=1_000)) == before
    _grow(again, source, 201, 500)
    assert again.counts().records == 500
    again.close()


def test_a_damaged_backup_restores_nothing(tmp_path: Path) -> None:
    path, store, source = _made(tmp_path)
    _grow(store, source, 1, 100)
    back_up(path, tmp_path / "a.backup")
    store.close()
    db = apsw.Connection(str(tmp_path / "a.backup"))
    db.execute("UPDATE records SET body = body || x'00' WHERE seq = 30")
    db.close()
    content = path.read_bytes()
    with pytest.raises(VerificationError, match="do not fit"):
        restore(tmp_path / "a.backup", path, KEYS, is_forced=True)
    assert path.read_bytes() == content
    (tmp_path / "junk").write_bytes(random.Random(1).randbytes(20_000))
    with pytest.raises(StoreError):
        restore(tmp_path / "junk", path, KEYS, is_forced=True)
    assert path.read_bytes() == content
    with pytest.raises(StoreError, match="no file"):
        restore(tmp_path / "nothing", path, KEYS)


def test_an_older_copy_in_the_place_of_the_store_is_seen_at_start_and_by_verify(tmp_path: Path) -> None:
    path, store, source = _made(tmp_path)
    _grow(store, source, 1, 100)
    store.close()
    older = path.read_bytes()
    store = _open(path)
    assert store.warnings == []
    _grow(store, source, 101, 300)
    store.close()
    path.write_bytes(older)
    found = verify_store(path, KEYS)
    assert any("older copy" in one for one in found.problems)
    store = _open(path)
    assert any("older copy" in one for one in store.warnings)
    store.close()
    mark_path(path).write_bytes(b"\xff" * 100_000)
    store = _open(path)
    assert any("is damaged" in one for one in store.warnings)
    store.close()


def test_a_damaged_record_is_told_at_start_and_never_served(tmp_path: Path) -> None:
    path, store, source = _made(tmp_path)
    _grow(store, source, 1, 100)
    everything = [one.sighting.sighting_id for one in store.sightings(Filter(limit=1_000))[0]]
    store.close()
    db = apsw.Connection(str(path))
    seq, body = db.execute(
        "SELECT seq, body FROM records WHERE topic = 'sighting' ORDER BY seq LIMIT 1 OFFSET 5"
    ).get
    spoiled = body.replace(b"vessel", b"vassal") if b"vessel" in body else body[:-1] + bytes([body[-1] ^ 1])
    db.execute("UPDATE records SET body = ? WHERE seq = ?", (spoiled, seq))
    db.close()
    store = _open(path)
    assert any(f"record {seq}" in one for one in store.warnings)
    served = [one.sighting.sighting_id for one in store.sightings(Filter(limit=1_000))[0]]
    assert len(served) == len(everything) - 1
    assert set(served) < set(everything)
    assert store.damaged_reads == 1
    store.close()


def test_what_people_decided_goes_along_and_comes_back(tmp_path: Path) -> None:
    path, store, source = _made(tmp_path)
    _grow(store, source, 1, 20)
    log = ReviewLog(review_path(path.parent))
    log.append(_comment(1))
    made = back_up(path, tmp_path / "a.backup", KEYS)
    assert made.beside == ("review",)
    log.append(_comment(2))
    log.close()
    store.close()
    assert len(read_entries(tmp_path / "a.backup.review")) == 1
    with pytest.raises(StoreError, match="never overwrites"):
        back_up(path, tmp_path / "a.backup")
    again = restore(tmp_path / "a.backup", path, KEYS, is_forced=True, now="T1")
    assert again.beside == ("review",)
    assert read_entries(review_path(path.parent)) == [_comment(1)]
    assert len(read_entries(path.parent / "review.sqlite.T1")) == 2
    assert not list(tmp_path.rglob("*.part*"))


def test_a_damaged_copy_beside_a_backup_restores_nothing(tmp_path: Path) -> None:
    path, store, source = _made(tmp_path)
    _grow(store, source, 1, 20)
    ReviewLog(review_path(path.parent)).close()
    back_up(path, tmp_path / "a.backup", KEYS)
    store.close()
    (tmp_path / "a.backup.review").write_bytes(random.Random(2).randbytes(8_192))
    content, decided = path.read_bytes(), review_path(path.parent).read_bytes()
    with pytest.raises(StoreError, match=r"a\.backup|review"):
        restore(tmp_path / "a.backup", path, KEYS, is_forced=True)
    assert (path.read_bytes(), review_path(path.parent).read_bytes()) == (content, decided)
    assert not list(tmp_path.rglob("*.part"))


def _comment(number: int) -> Entry:
    return Entry(
        number=number, time_ns=NS, account="ana", kind="comment", track_ids=("t1",), text="look again"
    )
