"""Looks that are packed answer as looks that are whole."""

import random
from tracemalloc import get_traced_memory, start, stop

import pytest

from ground.fusion.kept import MAX_SLOTS, SLOT_NS, KeptLooks
from ground.fusion.looks import Look, look_of
from tests.ground.scenes import position, sighting


def _look(number: int, at_s: float, north_m: float) -> Look:
    place = position(north_m)
    return look_of(sighting("a-1", number, at_s=at_s, place=place), place)


def _fill(*both: KeptLooks, count: int, chance: random.Random, span_s: float) -> None:
    for number in range(count):
        look = _look(number, chance.uniform(0.0, span_s), chance.gauss(0.0, 50.0))
        for kept in both:
            assert kept.see(look.sighting_id)
            kept.take(look)


@pytest.mark.parametrize("seed", range(6))
def test_packed_looks_answer_as_whole_ones(seed: int) -> None:
    chance = random.Random(seed)
    packed, whole = KeptLooks(), KeptLooks()
    _fill(packed, whole, count=chance.randrange(1, 60), chance=chance, span_s=90.0)
    for part in range(4):
        packed.pack()
        first_ns = whole.between()[0].time_ns
        for _ in range(40):
            at_ns = first_ns + chance.randrange(-20 * 10**9, 120 * 10**9)
            end_ns = at_ns + chance.randrange(60 * 10**9)
            assert packed.nearest(at_ns) == whole.nearest(at_ns)
            assert packed.nearest_ns(at_ns) == whole.nearest(at_ns).time_ns
            assert packed.between(at_ns, end_ns) == whole.between(at_ns, end_ns)
        assert packed.between() == whole.between()
        assert (packed.first_ns, packed.last_ns) == (whole.first_ns, whole.last_ns)
        extra = _look(1_000 + part, chance.uniform(-30.0, 120.0), 0.0)
        for kept in (packed, whole):
            assert kept.see(extra.sighting_id)
            assert not kept.see(extra.sighting_id)
            kept.take(extra)
        assert not packed.is_packed
        assert packed.count == whole.count


def test_the_nearest_look_is_the_nearest_of_all() -> None:
    chance = random.Random(3)
    kept = KeptLooks()
    _fill(kept, count=80, chance=chance, span_s=400.0)
    looks = kept.between()
    for _ in range(300):
        at_ns = looks[0].time_ns + chance.randrange(-20 * 10**9, 420 * 10**9)
        found = kept.nearest(at_ns)
        best = min(abs(look.time_ns - at_ns) for look in looks)
        assert abs(found.time_ns - at_ns) <= best + SLOT_NS


def test_a_long_watch_keeps_its_newest_looks() -> None:
    kept = KeptLooks()
    for number in range(MAX_SLOTS + 50):
        kept.take(_look(number, 2.0 * number, 0.0))
    assert len(kept.between()) == MAX_SLOTS
    newest = _look(MAX_SLOTS + 49, 2.0 * (MAX_SLOTS + 49), 0.0)
    assert (kept.first_ns, kept.last_ns) == (kept.between()[0].time_ns, newest.time_ns)
    assert kept.between()[-1] == newest


def test_a_packed_track_takes_a_fraction_of_the_memory() -> None:
    start()
    try:
        many = [KeptLooks() for _ in range(40)]
        empty = get_traced_memory()[0]
        for kept in many:
            _fill(kept, count=60, chance=random.Random(1), span_s=60.0)
        whole = get_traced_memory()[0] - empty
        for kept in many:
            kept.pack()
        packed = get_traced_memory()[0] - empty
    finally:
        stop()
    assert packed < whole / 4
