"""The store keeps each record once, finds exactly what lies in a box, and refuses what it cannot keep."""

import random
from pathlib import Path

import apsw
import pytest

from ground.config import ContactsConfig
from ground.fusion.book import ContactBook
from ground.store.reading import Filter
from ground.store.sqlite import Arrival, SqliteStore
from skywarden.errors import StoreError
from skywarden.link.protocol import acknowledged_ranges
from skywarden.messages import Health, Position
from tests.ground.scenes import BOOT, START_NS, arrival, chip, position, sighting


def _store(folder: Path) -> SqliteStore:
    return SqliteStore(folder / "store.sqlite", ContactBook(ContactsConfig()))


def _acknowledged(store: SqliteStore, *about: int) -> list[tuple[int, int]]:
    return acknowledged_ranges(store.standing("uav07", BOOT, about).ack)


def test_each_record_is_stored_once_however_often_and_in_whatever_order_it_comes(tmp_path: Path) -> None:
    store = _store(tmp_path)
    arrivals = [arrival(sighting(number=n, at_s=n, place=position()), n) for n in range(1, 101)]
    chance = random.Random(1)
    deliveries = [one for one in arrivals for _ in range(chance.randint(1, 5))]
    chance.shuffle(deliveries)
    outcomes = []
    while deliveries:
        batch = [deliveries.pop() for _ in range(min(len(deliveries), chance.randint(1, 20)))]
        outcomes += store.ingest(batch).outcomes
    assert outcomes.count("stored") == 100
    assert set(outcomes) == {"stored", "duplicate"}
    assert store.counts().records == store.counts().sightings == 100
    assert _acknowledged(store) == [(1, 100)]
    store.close()


def test_what_is_acknowledged_is_the_same_after_opening_again(tmp_path: Path) -> None:
    store = _store(tmp_path)
    store.ingest([arrival(sighting(number=n, place=position()), n) for n in (1, 2, 5, 9)])
    store.settle(7)
    store.close()
    again = _store(tmp_path)
    assert _acknowledged(again) == [(1, 2), (5, 5), (9, 9)]
    assert again.sequence_state("uav07") == (4, 5, 9)
    assert again.contacts(Filter())[0][0].contact.sighting_count == 4
    again.close()


def test_the_same_number_with_other_bytes_is_a_fork_and_overwrites_nothing(tmp_path: Path) -> None:
    store = _store(tmp_path)
    store.ingest([arrival(sighting(number=1, score=0.5, place=position()), 1)])
    forged = arrival(sighting(number=1, score=0.9, place=position()), 1)
    assert store.ingest([forged]).outcomes == ("fork",)
    assert store.ingest([forged]).outcomes == ("fork",)
    assert store.counts().quarantined == 1
    assert store.sightings(Filter())[0][0].sighting.score == 0.5
    store.close()


def test_a_poisoned_record_goes_to_quarantine_and_is_acknowledged(tmp_path: Path) -> None:
    store = _store(tmp_path)
    good = arrival(sighting(number=1, place=position()), 1)
    poison = Arrival(record=arrival(sighting(), 2).record, message=None, received_ns=START_NS, reason="bad")
    assert store.ingest([good, poison]).outcomes == ("stored", "quarantined")
    assert _acknowledged(store) == [(1, 2)]
    assert store.counts().quarantined == 1
    store.close()


def test_a_commit_that_fails_acknowledges_nothing(tmp_path: Path) -> None:
    store = _store(tmp_path)
    store.ingest([arrival(sighting(number=1, place=position()), 1)])
    store._db.execute("PRAGMA max_page_count = 1")  # the disk is full from here on
    big = [arrival(chip(sighting(number=n), 200_000), n, boot="cd" * 16) for n in range(2, 40)]
    with pytest.raises(StoreError, match="full"):
        store.ingest(big)
    assert acknowledged_ranges(store.standing("uav07", "cd" * 16, range(2, 40)).ack) == []
    store._db.execute("PRAGMA max_page_count = 1000000")
    assert set(store.ingest(big).outcomes) == {"stored"}
    store.close()


def test_boxes_are_exact_where_float32_is_not(tmp_path: Path) -> None:
    """R*Tree coordinates are float32; a box drawn through a point must still decide by the exact value."""
    store = _store(tmp_path)
    chance = random.Random(2)
    places: list[Position] = [
        position(chance.uniform(-3_000, 3_000), chance.uniform(-3_000, 3_000), latitude_deg=47.0)
        for _ in range(300)
    ]
    store.ingest([arrival(sighting(number=n, place=p), n) for n, p in enumerate(places, 1)])
    for centre in places[:60]:
        west, south = centre.longitude_deg, centre.latitude_deg
        east, north = west + 0.011, south + 0.007
        expected = {
            number
            for number, p in enumerate(places, 1)
            if west <= p.longitude_deg <= east and south <= p.latitude_deg <= north
        }
        found, matched = store.sightings(Filter(bbox=(west, south, east, north), limit=1_000))
        assert {one.sighting.frame_number for one in found} == expected
        assert matched == len(expected)
    store.close()


def test_a_box_across_the_antimeridian_finds_both_sides(tmp_path: Path) -> None:
    store = _store(tmp_path)
    for number, longitude in enumerate((179.9, -179.9, 0.0), 1):
        place = Position(
            latitude_deg=10.0,
            longitude_deg=longitude,
            alt_hae_m=0.0,
            covariance_enu_m2=(1.0, 0.0, 0.0, 1.0, 0.0, 1.0),
            ce90_m=2.0,
            le90_m=2.0,
            surface="sea",
        )
        store.ingest([arrival(sighting(f"t{number}", number, place=place), number)])
    found, _ = store.sightings(Filter(bbox=(179.0, 0.0, -179.0, 20.0)))
    assert sorted(one.sighting.frame_number for one in found) == [1, 2]
    store.close()


def test_lists_are_newest_first_and_filtered(tmp_path: Path) -> None:
    store = _store(tmp_path)
    store.ingest(
        [arrival(sighting(f"t{n % 3}", n, at_s=n, place=position(n * 500.0)), n) for n in range(1, 31)]
    )
    store.settle(1)
    page, matched = store.sightings(Filter(limit=5, offset=5))
    assert [one.sighting.frame_number for one in page] == [25, 24, 23, 22, 21]
    assert matched == 30
    since, _ = store.sightings(Filter(since_ns=START_NS + 28_000_000_000))
    assert [one.sighting.frame_number for one in since] == [30, 29, 28]
    of_contact, _ = store.sightings(Filter(contact_id="c-t1"))
    assert {one.sighting.track_id for one in of_contact} == {"t1"}
    assert store.sightings(Filter(label="plot"))[1] == 0
    assert store.sightings(Filter(platform_id="uav07"))[1] == 30
    store.close()


@pytest.mark.parametrize("is_chip_first", [True, False])
def test_a_chip_finds_its_sighting_whichever_comes_first(tmp_path: Path, is_chip_first: bool) -> None:
    store = _store(tmp_path)
    seen = sighting(number=1, place=position())
    messages = [chip(seen), seen] if is_chip_first else [seen, chip(seen)]
    for number, message in enumerate(messages, 1):
        store.ingest([arrival(message, number)])
    store.settle(3)
    stored = store.contact("c-uav07-s1-eo-1")
    assert stored is not None
    assert stored.best_chip_id == "chip-uav07-s1-eo-1-1"
    assert store.sightings(Filter())[0][0].chip_id == stored.best_chip_id
    image = store.chip("chip-uav07-s1-eo-1-1")
    assert image is not None
    assert image.data == chip(seen).data
    store.close()


def test_late_health_does_not_overwrite_newer(tmp_path: Path) -> None:
    store = _store(tmp_path)

    def health(at_ns: int, text: str) -> Health:
        return Health(
            platform_id="uav07",
            component="camera.eo",
            condition="stalled",
            state="failed",
            time_ns=at_ns,
            since_ns=at_ns,
            text=text,
        )

    store.ingest([arrival(health(20, "new"), 1), arrival(health(10, "old"), 2)])
    assert [one.text for one in store.health()] == ["new"]
    store.close()


def test_a_second_station_on_the_same_store_is_refused(tmp_path: Path) -> None:
    store = _store(tmp_path)
    with pytest.raises(StoreError, match="another ground station"):
        _store(tmp_path)
    store.close()
    _store(tmp_path).close()


def test_a_newer_schema_a_foreign_and_a_damaged_file_are_refused_in_a_sentence(tmp_path: Path) -> None:
    _store(tmp_path).close()
    db = apsw.Connection(str(tmp_path / "store.sqlite"))
    db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(StoreError, match=r"version 99.*newer skywarden"):
        _store(tmp_path)
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    db = apsw.Connection(str(foreign / "store.sqlite"))
    db.execute("CREATE TABLE other(x)")
    db.close()
    with pytest.raises(StoreError, match="another program"):
        _store(foreign)
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    (damaged / "store.sqlite").write_bytes(b"x" * 8_192)
    with pytest.raises(StoreError, match="damaged"):
        _store(damaged)


def test_every_commit_is_synced(tmp_path: Path) -> None:
    store = _store(tmp_path)
    assert store._db.execute("PRAGMA synchronous").get == 2
    assert store._db.execute("PRAGMA journal_mode").get == "wal"
    store.close()
