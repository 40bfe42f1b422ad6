"""The index of places answers exactly what a look at every row would, however rows come and go."""

from pathlib import Path

import apsw
import numpy as np
import pytest

from ground.config import ContactsConfig
from ground.fusion.book import ContactBook
from ground.store import spatial
from ground.store.reading import Filter
from ground.store.sqlite import SqliteStore
from tests.ground.scenes import arrival, position, sighting


def _database() -> apsw.Connection:
    db = apsw.Connection(":memory:")
    db.execute(spatial.TABLES)
    db.execute(
        "CREATE TABLE sightings(sighting_key INTEGER PRIMARY KEY, time_ns, latitude_deg, longitude_deg)"
    )
    return db


def _rows(count: int, seed: int) -> spatial.Rows:
    chance = np.random.default_rng(seed)
    rows = np.empty(count, spatial.ROW)
    rows["key"] = np.arange(1, count + 1)
    rows["time_ns"] = chance.integers(0, count // 3 + 1, count)  # many share a time
    rows["latitude_deg"] = chance.normal(10.0, 3.0, count).round(2)  # many lie on the border of a box
    rows["longitude_deg"] = (chance.normal(180.0, 4.0, count).round(2) + 180.0) % 360.0 - 180.0
    return rows


def _by_hand(rows: spatial.Rows, bbox: spatial.BBox, since: int, until: int) -> list[int]:
    west, south, east, north = bbox
    longitudes, latitudes, times = rows["longitude_deg"], rows["latitude_deg"], rows["time_ns"]
    from_west, to_east = longitudes >= west, longitudes <= east
    wide = from_west & to_east if west <= east else from_west | to_east
    inside = wide & (south <= latitudes) & (latitudes <= north) & (since <= times) & (times <= until)
    found = zip(times[inside].tolist(), rows["key"][inside].tolist(), strict=True)
    return [key for _, key in sorted(found, reverse=True)]


def _boxes(seed: int) -> list[spatial.BBox]:
    chance = np.random.default_rng(seed)
    found = []
    for side in (0.02, 0.5, 3.0, 20.0):
        for _ in range(8):
            west = round((chance.normal(180.0, 4.0) + 180.0) % 360.0 - 180.0, 2)
            east = round((west + side + 180.0) % 360.0 - 180.0, 2)
            south = round(chance.normal(10.0, 3.0), 2)
            found.append((west, south, east, south + side))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("commits", [[1] * 40, [700] * 30, [20_000] * 4, [3, 60_000, 6_000, 1]])
def test_every_box_is_answered_exactly_however_the_rows_came(commits: list[int]) -> None:
    rows = _rows(sum(commits), len(commits))
    db = _database()
    writer = spatial.PlaceWriter(db)
    start = 0
    for count in commits:
        writer.add(rows[start : start + count].tolist())
        start += count
    last = int(rows["time_ns"].max())
    for number, bbox in enumerate(_boxes(1)):
        since, until = (0, last) if number % 2 else (last // 3, last // 2)
        expected = _by_hand(rows, bbox, since, until)
        for limit in (1, 100, 1_000_000):
            found = spatial.newest_in(db, bbox, limit, since_ns=since, until_ns=until)
            assert found["key"].tolist() == expected[:limit]
        assert spatial.count_in(db, bbox, since_ns=since, until_ns=until) == len(expected)


def test_rows_that_are_taken_out_are_found_no_more() -> None:
    rows = _rows(70_000, 5)
    db = _database()
    writer = spatial.PlaceWriter(db)
    writer.add(rows[:66_000].tolist())
    writer.add(rows[66_000:].tolist())
    old = rows[rows["time_ns"] < 8_000]
    assert spatial.remove(db, old["key"].copy(), until_ns=7_999) == len(old)
    left = rows[rows["time_ns"] >= 8_000]
    world = (-180.0, -90.0, 180.0, 90.0)
    assert spatial.all_in(db, world)["key"].tolist() == _by_hand(left, world, 0, 2**62)
    assert spatial.count_in(db, world) == len(left)


def test_a_difference_between_index_and_sightings_is_told_and_mended_by_a_rebuild() -> None:
    rows = _rows(3_000, 6)
    db = _database()
    db.executemany("INSERT INTO sightings VALUES (?, ?, ?, ?)", rows.tolist())
    assert spatial.rebuild(db) == 3_000
    assert spatial.difference(db) is None
    db.execute("UPDATE sightings SET latitude_deg = 1.5 WHERE sighting_key = 7")
    assert "sighting 7" in str(spatial.difference(db))
    spatial.rebuild(db)
    db.execute("DELETE FROM sightings WHERE sighting_key = 3000")
    assert "holds 3000 sightings, the store 2999" in str(spatial.difference(db))


def test_the_store_answers_boxes_with_other_conditions_and_as_columns(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.sqlite", ContactBook(ContactsConfig()))
    everywhere = (-180.0, -90.0, 180.0, 90.0)
    assert store.places(everywhere).sighting_ids == []
    assert store.sightings(Filter(bbox=everywhere)) == ([], 0)
    looks = [sighting(f"t{n % 3}", n, at_s=n, place=position(n * 50.0)) for n in range(1, 61)]
    arrivals = [arrival(look, number + 1) for number, look in enumerate(looks)]
    store.ingest(arrivals[:50])
    store.ingest(arrivals[50:])
    store.settle(1)
    page, matched = store.sightings(Filter(bbox=everywhere, limit=5, offset=10))
    assert [one.sighting.frame_number for one in page] == [50, 49, 48, 47, 46]
    assert matched == 60
    page, matched = store.sightings(Filter(bbox=everywhere, contact_id="c-t1", limit=2, offset=1))
    assert matched == 20
    assert [one.sighting.track_id for one in page] == ["t1", "t1"]
    assert store.sightings(Filter(bbox=everywhere, label="plot")) == ([], 0)
    places = store.places(everywhere, limit=7)
    assert places.sighting_ids == [look.sighting_id for look in looks[:-8:-1]]
    assert len(places.labels) == len(places.scores) == len(places.longitude_deg) == 7
    store.close()


def test_what_waits_for_its_segment_lies_in_small_tiles_too() -> None:
    db = _database()
    writer = spatial.PlaceWriter(db)
    rows = _rows(9_000, 5)
    for start in range(0, 9_000, 3_000):
        writer.add(rows[start : start + 3_000])
    sizes = [size for (size,) in db.execute("SELECT size FROM place_blocks")]
    assert max(sizes) <= 500
    assert sum(sizes) == 9_000
    world = (-180.0, -90.0, 180.0, 90.0)
    assert spatial.all_in(db, world)["key"].tolist() == _by_hand(rows, world, 0, 2**62)


def test_more_blocks_than_are_asked_for_at_once_are_all_found() -> None:
    db = _database()
    writer = spatial.PlaceWriter(db)
    rows = _rows(4 * 65_536 + 40_000, 6)
    for start in range(0, len(rows), 65_536):
        writer.add(rows[start : start + 65_536])
    assert db.execute("SELECT count(*) FROM place_blocks").get > 600
    newest = np.lexsort((rows["key"], rows["time_ns"]))[::-1]
    world = (-180.0, -90.0, 180.0, 90.0)
    assert (spatial.all_in(db, world)["key"] == rows["key"][newest]).all()
    east = rows["longitude_deg"] < 0.0
    found = spatial.newest_in(db, (-180.0, -90.0, -0.001, 90.0), 200_000)
    assert (found["key"] == rows["key"][newest][east[newest]][:200_000]).all()
    assert spatial.count_in(db, world) == len(rows)
