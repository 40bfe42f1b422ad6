"""Plots of several sorties are one site where they cover one another; neighbours stay two."""

import random
from pathlib import Path

import numpy as np
import pytest

from ground.config import ContactsConfig
from ground.fusion.book import ContactBook
from ground.fusion.site_shelf import SiteShelf
from ground.fusion.sites import Site, SiteBook
from ground.store.sqlite import SqliteStore
from skywarden.messages import Plot, SizeM2
from tests.ground.scenes import METRE_DEG, START_NS, arrival, position

DAY_NS = 86_400_000_000_000


def _plot(
    name: str,
    *,
    north_m: float = 0.0,
    east_m: float = 0.0,
    half_m: float = 20.0,
    sigma_m: float = 6.0,
    day: int = 0,
    sortie: str = "s1",
    is_complete: bool = True,
    latitude_deg: float = 0.0,
    looks: int = 5,
) -> Plot:
    """A square of so many metres about a place that errs by the same."""
    corners = np.array([(-1, -1), (-1, 1), (1, 1), (1, -1)]) * half_m + (north_m, east_m)
    degrees = corners * METRE_DEG + (latitude_deg, 20.0)
    area = (2 * half_m) ** 2
    size: SizeM2 = (area, 0.9 * area, 1.1 * area)
    return Plot(
        plot_id=name,
        platform_id="uav07",
        sortie_id=sortie,
        sensor_id="eo",
        time_ns=START_NS + day * DAY_NS + 5,
        first_ns=START_NS + day * DAY_NS,
        label="plot",
        score=0.8,
        look_count=looks,
        model_id="segmenter-1",
        rings_e7_i32=(np.round(degrees * 1e7).astype("<i4").tobytes(),),
        is_complete=is_complete,
        position=position(north_m, east_m, sigma_m, latitude_deg),
        area_m2=size,
        surface_area_m2=size,
        slope_deg=0.0,
    )


def _sites(plots: list[Plot]) -> list[Site]:
    book = SiteBook(ContactsConfig())
    for plot in plots:
        book.add(plot)
    return book.sites()


def test_a_plot_of_another_sortie_is_the_same_site_and_its_area_is_compared() -> None:
    visits = [_plot("a", day=0, sortie="s1"), _plot("b", east_m=8.0, day=9, sortie="s2", half_m=24.0)]
    (site,) = _sites(visits)
    assert site.site_id == "p-a"
    assert [one.plot.plot_id for one in site.visits] == ["a", "b"]
    assert [one.change for one in site.visits] == ["unclear", "grew"]
    assert site.best.plot_id == "b"
    assert site.position.ce90_m == pytest.approx(visits[1].position.ce90_m, rel=0.02)


def test_neighbours_that_a_camera_told_apart_stay_two_however_the_next_sortie_is_displaced() -> None:
    first = [_plot("a1", east_m=0.0), _plot("a2", east_m=45.0)]
    later = [
        _plot("b1", east_m=14.0, sortie="s2", day=3, sigma_m=12.0),
        _plot("b2", east_m=59.0, sortie="s2", day=3, sigma_m=12.0),
    ]
    groups = [tuple(one.plot.plot_id for one in site.visits) for site in _sites(first + later)]
    assert groups == [("a1", "b1"), ("a2", "b2")]


def test_what_lies_beyond_the_errors_is_another_site() -> None:
    assert len(_sites([_plot("a"), _plot("b", east_m=60.0, sortie="s2")])) == 2
    assert len(_sites([_plot("a"), _plot("b", half_m=60.0, sortie="s2")])) == 2


def test_a_part_belongs_to_the_whole_that_covers_it() -> None:
    part = _plot("b", north_m=10.0, half_m=8.0, sortie="s2", is_complete=False)
    (site,) = _sites([_plot("a"), part])
    assert site.best.plot_id == "a"
    assert site.visits[1].change == "unclear"


@pytest.mark.parametrize("seed", range(4))
def test_order_and_repetition_do_not_matter(seed: int) -> None:
    plots = [
        _plot(f"{sortie}-{number}", east_m=70.0 * number + 3.0 * day, day=day, sortie=sortie)
        for day, sortie in enumerate(("s1", "s2", "s3"))
        for number in range(4)
    ]
    plots += [_plot("s1-0", half_m=21.0, looks=9)]
    expected = _sites(plots)
    assert len(expected) == 4
    shuffled = plots + plots[:5]
    random.Random(seed).shuffle(shuffled)
    assert _sites(shuffled) == expected


def test_a_later_word_on_a_plot_replaces_the_earlier_one() -> None:
    book = SiteBook(ContactsConfig())
    assert book.add(_plot("a", looks=5))
    assert not book.add(_plot("a", looks=4))
    assert book.add(_plot("a", looks=6, half_m=22.0))
    (site,) = book.sites()
    assert site.best.look_count == 6


def test_the_shelf_catches_up_with_the_store(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.sqlite", ContactBook(ContactsConfig()))
    try:
        shelf = SiteShelf(store, ContactsConfig())
        assert shelf.sites() == []
        store.ingest([arrival(_plot("a"), 1)])
        assert [one.site_id for one in shelf.sites()] == ["p-a"]
        store.ingest([arrival(_plot("b", sortie="s2", day=4), 2)])
        assert [len(one.visits) for one in shelf.sites()] == [2]
    finally:
        store.close()
