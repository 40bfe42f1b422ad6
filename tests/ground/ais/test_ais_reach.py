"""The edge of hearing by direction: nearer is heard better, a shadow is learnt, and old files are read."""

import msgspec
import pytest

from ground.ais.hearing import Ears, HearingModel, Receiver
from ground.ais.reach import Count, belief, missed_all, name_of, ring_of, sector_of


def _heard(sector: int, until: float, beyond: float = 0.0) -> dict[str, Count]:
    """Nine in ten heard up to a part of the horizon, a share of it farther out."""
    found = {}
    for ring in range(24):
        share = 0.9 if (ring + 0.5) * 0.05 < until else beyond
        found[name_of(sector, ring, is_strong=True)] = Count(40.0, 40.0 * share)
    return found


def test_a_report_from_nearer_in_is_never_heard_less() -> None:
    believed = belief(_heard(3, 0.7), 3)
    means = [missed_all(believed, part, 10.0, is_strong=True)[1] for part in (0.1, 0.3, 0.5, 0.7, 0.9, 1.2)]
    assert means == sorted(means, reverse=True)


def test_behind_a_headland_nothing_is_to_be_heard_and_in_front_of_it_all() -> None:
    believed = belief(_heard(5, 0.3), 5)
    assert missed_all(believed, 0.15, 40.0, is_strong=True)[0] < 0.01
    assert missed_all(believed, 0.6, 40.0, is_strong=True)[0] > 0.7


def test_a_sector_without_reports_stays_open_both_ways() -> None:
    missed, _ = missed_all(belief(_heard(5, 0.9), 17), 0.6, 40.0, is_strong=True)
    assert 0.1 < missed < 0.6


def test_a_weak_antenna_known_from_before_bounds_what_is_heard() -> None:
    believed = belief(_heard(0, 0.9), 0)
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
