"""What is too old is erased everywhere, what is held stays, and the rest can still be proved."""

from pathlib import Path

from msgspec.structs import replace

from ground.config import ContactsConfig
from ground.fusion.book import ContactBook
from ground.link.intake import Intake
from ground.store.reading import Filter
from ground.store.sqlite import SqliteStore
from ground.upkeep.copies import back_up
from ground.upkeep.verify import verify_store
from sim.faults.signed import NS, SignedSource
from skywarden.evidence import EvidenceKey
from tests.ground.scenes import BOOT, START_NS, arrival, chip, position, sighting

KEY = EvidenceKey.from_secret(bytes(range(32)))
KEYS = {"uav07": (KEY.public,)}
WORLD = (-180.0, -90.0, 180.0, 90.0)
LATER_NS = START_NS + 10**18


def _store(folder: Path) -> SqliteStore:
    return SqliteStore(folder / "store.sqlite", ContactBook(ContactsConfig()))


def _cutoff(store: SqliteStore, seen_ids: list[str]) -> int:
    """Just after these were received."""
    return 1 + max(one.received_ns for one in store.sightings_of_ids(seen_ids))


def test_old_sightings_and_chips_go_from_lists_boxes_contacts_and_file(tmp_path: Path) -> None:
    store = _store(tmp_path)
    old = [sighting("t1", n, at_s=n, place=position(n * 900.0)) for n in range(1, 21)]
    kept = [sighting("t2", n, at_s=n, place=position(0.0, 90_000.0)) for n in range(1, 11)]
    store.ingest([arrival(one, n) for n, one in enumerate(old, 1)])
    store.ingest([arrival(chip(old[0], 3_000), 21)])
    cutoff = _cutoff(store, [one.sighting_id for one in old])
    later = [replace(arrival(one, n), received_ns=cutoff + 5) for n, one in enumerate(kept, 22)]
    store.ingest(later)
    store.settle(1)
    assert store.counts().contacts == 2
    done = store.expire({"sighting": cutoff, "chip": cutoff}, LATER_NS)
    assert done.erased == {"sighting": 20, "chip": 1}
    assert (done.contacts, done.held) == (1, 0)
    assert {one.sighting.track_id for one in store.sightings(Filter(limit=100))[0]} == {"t2"}
    assert store.sightings(Filter(bbox=WORLD, limit=100))[1] == 10
    assert set(store.places(WORLD).track_ids) == {"t2"}
    assert store.chip(f"chip-{old[0].sighting_id}") is None
    again = store.ingest([arrival(one, n) for n, one in enumerate(old, 1)])
    assert set(again.outcomes) == {"duplicate"}
    store.close()
    content = (tmp_path / "store.sqlite").read_bytes()
    assert old[3].sighting_id.encode() + b"\xa2" not in content
    assert old[3].model_id.encode() in content  # of the others
    found = verify_store(tmp_path / "store.sqlite", {})
    assert (found.records, found.erased, found.damaged) == (31, 21, 0), found.problems
    assert _store(tmp_path).warnings == []


def test_held_things_stay_until_they_are_released(tmp_path: Path) -> None:
    store = _store(tmp_path)
    seen = [sighting(f"t{n % 3}", n, at_s=n, place=position(n % 3 * 5_000.0)) for n in range(1, 31)]
    store.ingest([arrival(one, n) for n, one in enumerate(seen, 1)])
    store.ingest([arrival(chip(seen[0], 500), 31), arrival(chip(seen[1], 500), 32)])
    store.settle(1)
    cutoff = _cutoff(store, [one.sighting_id for one in seen])
    store.hold("contact", "c-t1", "case 4711", LATER_NS)
    store.hold("sighting", seen[1].sighting_id, "a picture", LATER_NS)
    assert [one.name for one in store.holds()] == ["c-t1", seen[1].sighting_id]
    done = store.expire({"sighting": cutoff, "chip": cutoff}, LATER_NS)
    assert done.held == 10 + 1 + 2  # ten sightings of t1, one of t2, the chips of both
    assert store.sightings(Filter(limit=100))[1] == 11
    assert store.chip(f"chip-{seen[0].sighting_id}") is not None
    assert store.release("contact", "c-t1")
    assert not store.release("contact", "c-t1")
    assert store.expire({"sighting": cutoff, "chip": cutoff}, LATER_NS).erased == {"sighting": 10, "chip": 1}
    store.close()


def test_what_is_left_is_proved_and_the_archive_reads_again(tmp_path: Path) -> None:
    source, store = SignedSource("uav07", BOOT, KEY), _store(tmp_path)
    source.grow(300)
    intake = Intake(store=store, evidence_keys=lambda name: (KEY.public,))
    for number in range(3):
        payload = source.batch(range(100 * number + 1, 100 * number + 51))
        more = source.batch(range(100 * number + 51, 100 * number + 101))
        for one in (payload, more):
            parcel = intake.open("uav07", one, len(one), NS + number * 10**9)
            assert parcel is not None
            assert intake.commit([parcel])
    back_up(tmp_path / "store.sqlite", tmp_path / "a.archive", KEYS)
    assert store.expire({}, LATER_NS, NS + 1).erased == {"sighting": 100}
    assert store.expire({"sighting": 0}, LATER_NS, NS + 10**12).erased == {}
    store.close()
    found = verify_store(tmp_path / "store.sqlite", KEYS)
    assert (found.records, found.erased, found.proved, found.damaged) == (300, 100, 300, 0), found.problems
    old = _store(tmp_path)
    assert old.counts().sightings == 200
    old.close()
    archived = SqliteStore(tmp_path / "a.archive", ContactBook(ContactsConfig()))
    assert archived.sightings(Filter())[1] == 300
    archived.close()
