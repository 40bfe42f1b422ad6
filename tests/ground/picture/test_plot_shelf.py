"""Plots by now: the newest record of each, by box, also across 180 degrees, and none that was erased."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import msgspec
import numpy as np
import pytest

from ground.config import ContactsConfig
from ground.fusion.book import ContactBook
from ground.picture.plots import PlotShelf
from ground.store.reading import Filter
from ground.store.schema import SCHEMA_VERSION
from ground.store.sqlite import SqliteStore
from skywarden.messages import Plot
from tests.ground.scenes import START_NS, arrival, sighting
from tests.samples import EVERY

_SAMPLE = EVERY["plot"]
assert isinstance(_SAMPLE, Plot)
PLOT: Plot = _SAMPLE


def _plot(name: str, *, at_s: float = 0.0, west_deg: float = 20.0, looks: int = 1) -> Plot:
    longitudes = [west_deg, west_deg + 0.001, west_deg + 0.001, west_deg]
    corners = [
        (round(lat * 1e7), round(((lon + 180) % 360 - 180) * 1e7))
        for lat, lon in zip([0.0, 0.0, 0.001, 0.001], longitudes, strict=True)
    ]
    return msgspec.structs.replace(
        PLOT,
        plot_id=name,
        platform_id="uav07",
        time_ns=START_NS + round(at_s * 1e9),
        first_ns=START_NS,
        look_count=looks,
        rings_e7_i32=(np.array(corners, dtype="<i4").tobytes(),),
    )


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    made = SqliteStore(tmp_path / "store.sqlite", ContactBook(ContactsConfig()))
    yield made
    made.close()


def test_a_plot_is_shown_once_as_it_was_last_told(store: SqliteStore) -> None:
    shelf = PlotShelf(store)
    assert shelf.find(Filter()) == ([], 0)
    store.ingest([arrival(_plot("p1"), 1), arrival(sighting(), 2), arrival(_plot("p2", at_s=1), 3)])
    assert [one.plot_id for one in shelf.find(Filter())[0]] == ["p2", "p1"]
    store.ingest([arrival(_plot("p1", at_s=5, looks=9), 4)])
    found, matched = shelf.find(Filter(limit=1))
    assert ([(one.plot_id, one.look_count) for one in found], matched) == ([("p1", 9)], 2)
    assert PlotShelf(store).find(Filter(limit=1))[0] == found, "and so it is after a start"


def test_boxes_times_and_labels_choose(store: SqliteStore) -> None:
    store.ingest([arrival(_plot("here"), 1), arrival(_plot("dateline", at_s=9, west_deg=179.9995), 2)])
    shelf = PlotShelf(store)

    def ids(**wanted: Any) -> list[str]:
        return [one.plot_id for one in shelf.find(Filter(**wanted))[0]]

    assert ids(bbox=(19.0, -1.0, 20.0005, 1.0)) == ["here"]
    assert ids(bbox=(170.0, -1.0, -170.0, 1.0)) == ids(bbox=(-180.0, -1.0, -179.9, 1.0)) == ["dateline"]
    assert ids(bbox=(20.0011, -1.0, 21.0, 1.0)) == []
    assert ids(since_ns=START_NS + 10**9) == ["dateline"]
    assert ids(label="nothing") == []


def test_an_erased_plot_is_not_shown(store: SqliteStore) -> None:
    store.ingest([arrival(_plot("p1"), 1)])
    shelf = PlotShelf(store)
    assert shelf.find(Filter())[1] == 1
    store.expire({"plot": START_NS + 10**12}, START_NS + 10**12)
    assert shelf.find(Filter())[0] == []


def test_plots_of_a_store_of_before_are_found_by_their_own_index(tmp_path: Path) -> None:
    path = tmp_path / "old.sqlite"
    made = SqliteStore(path, ContactBook(ContactsConfig()))
    made.ingest([arrival(sighting(number=number, at_s=number), number) for number in range(1, 50)])
    made.ingest([arrival(_plot("p1"), 50), arrival(_plot("p2", at_s=1), 51)])
    made.close()
    with closing(apsw.Connection(str(path))) as db:
        db.execute("DROP INDEX records_of_plots; PRAGMA user_version = 5")
    brought_along = SqliteStore(path, ContactBook(ContactsConfig()))
    try:
        assert [plot.plot_id for _, plot in brought_along.plots_after(0)[0]] == ["p1", "p2"]
        assert brought_along.plots_after(50)[0][0][0] == 51
    finally:
        brought_along.close()
    with closing(apsw.Connection(str(path))) as db:
        assert db.execute("PRAGMA user_version").get == SCHEMA_VERSION
        plan = db.execute(
            "EXPLAIN QUERY PLAN SELECT record_key FROM records INDEXED BY records_of_plots "
            "WHERE record_key > 0 AND topic = 'plot' AND erased_ns IS NULL"
        ).fetchall()
        assert "records_of_plots" in str(plan)
