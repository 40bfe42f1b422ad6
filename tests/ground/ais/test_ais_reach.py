"""The edge of hearing by direction: nearer is heard better, a shadow is learnt, and old files are read."""

import msgspec
import pytest

from ground.ais.hearing import Ears, HearingModel, Receiver
from ground.ais.reach import Count, Sectors, missed_all, ring_of, sector_of


def _heard(sector: int, until: float, beyond: float = 0.0) -> Sectors:
    """Nine in ten heard up to a part of the horizon, a share of it farther out."""
    found = {}
    for ring in range(24):
        share = 0.9 if (ring + 0.5) * 0.05 < until else beyond
        found[f"{sector},{ring}"] = Count(40.0, 40.0 * share)
    return Sectors(found)


def test_a_report_from_nearer_in_is_never_heard_less() -> None:
    believed = _heard(3, 0.7).belief(3)
    means = [missed_all(believed, part, 10.0, is_strong=True)[1] for part in (0.1, 0.3, 0.5, 0.7, 0.9, 1.2)]
    assert means == sorted(means, reverse=True)


def test_behind_a_headland_nothing_is_to_be_heard_and_in_front_of_it_all() -> None:
    believed = _heard(5, 0.3).belief(5)
    assert missed_all(believed, 0.15, 40.0, is_strong=True)[0] < 0.01
    assert missed_all(believed, 0.6, 40.0, is_strong=True)[0] > 0.7


def test_a_sector_without_reports_stays_open_both_ways() -> None:
    missed, _ = missed_all(_heard(5, 0.9).belief(17), 0.6, 40.0, is_strong=True)
    assert 0.1 < missed < 0.6


def test_a_weak_antenna_known_from_before_bounds_what_is_heard() -> None:
    believed = _heard(0, 0.9).belief(0)
    strong, _ = missed_all(believed, 0.2, 10.0, is_strong=True)
    weak, _ = missed_all(believed, 0.2, 10.0, is_strong=True, own=0.1)
    assert weak > 0.3 > strong


@pytest.mark.parametrize(("bearing", "sector"), [(0.0, 0), (-0.1, 23), (359.99, 23), (360.0, 0), (90.0, 6)])
def test_sectors_go_round(bearing: float, sector: int) -> None:
    assert sector_of(bearing) == sector


def test_the_farthest_ring_takes_all_that_is_beyond() -> None:
    assert ring_of(1e9) == ring_of(2.5) == 39
    assert ring_of(-1.0) == 0


def test_ears_kept_by_an_older_version_are_read() -> None:
    old = msgspec.msgpack.encode({"rings": {"1": {"chances": 3.0, "heard": 2.0}}, "cells": {}})
    ears = msgspec.msgpack.decode(old, type=Ears)
    assert ears.sectors == {}
    model = HearingModel(Receiver(latitude_deg=10.0, longitude_deg=20.0, height_m=30.0), ears)
    assert 0.0 <= model.audibility(10.1, 20.0, 0, chances=20.0).chance < 0.9


def test_what_was_learnt_is_kept_and_read_again_word_for_word() -> None:
    model = HearingModel(Receiver(latitude_deg=-36.0, longitude_deg=179.95, height_m=30.0))
    for step in range(40):
        place = -36.3 + 0.02 * step, 179.95 - 0.03 * step
        model.learn(*place, is_strong=step % 3 > 0, chances=4.0, heard=float(step % 5))
    kept = model.ears
    assert "7b" in kept.rings
    assert "-363,1799" in kept.cells
    assert any(name.endswith("b") for name in kept.sectors)
    again = HearingModel(model.receiver, msgspec.msgpack.decode(msgspec.msgpack.encode(kept), type=Ears))
    assert again.ears == kept
    there = (-36.1, 179.7, 0)
    assert again.audibility(*there, chances=9.0) == model.audibility(*there, chances=9.0)


def test_what_was_kept_is_no_part_of_the_model_that_reads_it() -> None:
    kept = Ears(
        rings={"1": Count(3.0, 2.0)}, cells={"100,200": Count(3.0, 2.0)}, sectors={"2,3": Count(3.0, 2.0)}
    )
    model = HearingModel(Receiver(latitude_deg=10.0, longitude_deg=20.0, height_m=30.0), kept)
    model.learn(10.01, 20.01, is_strong=True, chances=5.0, heard=5.0)
    assert (kept.rings["1"].chances, kept.cells["100,200"].chances, kept.sectors["2,3"].heard) == (
        3.0,
        3.0,
        2.0,
    )


def test_names_that_nobody_wrote_are_passed_over() -> None:
    odd = Count(3.0, 2.0)
    ears = Ears(rings={"x": odd, "99": odd}, cells={"": odd, "1;2": odd}, sectors={"24,1": odd, "3,40": odd})
    assert HearingModel(None, ears).ears == Ears()


def test_a_belief_follows_what_is_heard_in_its_sector_and_in_those_beside_it() -> None:
    for sector, heard_in in ((0, 23), (23, 0), (7, 7), (12, 13)):
        sectors = Sectors({})
        before = sectors.belief(sector)
        sectors.add(heard_in * 15.0 + 7.0, 10, 40.0, 2.0, is_strong=True)
        assert (sectors.belief(sector) != before).any()


def test_what_was_heard_along_a_bearing_speaks_for_what_lies_in_front_of_it_only() -> None:
    sectors = Sectors({})
    assert sectors.heard_behind(52.0, 0) == 0.0
    sectors.add(52.0, 10, 8.0, 8.0, is_strong=True)
    assert sectors.heard_behind(52.0, 10) == pytest.approx(8.0)
    assert sectors.heard_behind(52.0, 11) == 0.0
    beside = [sectors.heard_behind(52.0 + aside, 4) for aside in (0, 5, 10, 15, 20)]
    assert beside == sorted(beside, reverse=True)
    assert beside[-1] == 0.0
    sectors.add(359.0, 10, 8.0, 8.0, is_strong=True)
    assert sectors.heard_behind(1.0, 10) == pytest.approx(0.3 * 8.0)


def test_a_few_reports_from_behind_a_headland_prove_little() -> None:
    clear, hidden = Sectors({}), Sectors({})
    clear.add(52.0, 10, 6.0, 6.0, is_strong=True)
    hidden.add(52.0, 10, 300.0, 6.0, is_strong=True)
    assert hidden.heard_behind(52.0, 10) < 0.05 * clear.heard_behind(52.0, 10)


def test_counts_by_sector_of_an_older_version_are_even_over_its_bearings() -> None:
    old = Ears(sectors={"3,10": Count(30.0, 30.0)})
    model = HearingModel(Receiver(latitude_deg=10.0, longitude_deg=20.0, height_m=30.0), old)
    assert sorted(model.ears.bearings) == ["10,10", "11,10", "9,10"]
