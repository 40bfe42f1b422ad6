"""Looks of a track become sightings once it is confirmed, and nothing seen before is lost."""

import msgspec

from edge.vision.sightings import SightingLog
from skywarden.messages import Sighting
from tests.samples import POSITION, SIGHTING

S = 1_000_000_000


def look(time_s: float, ce90_m: float = 5.0) -> Sighting:
    position = msgspec.structs.replace(POSITION, ce90_m=ce90_m)
    return msgspec.structs.replace(SIGHTING, time_ns=int(time_s * S), position=position)


def test_looks_before_the_confirmation_are_logged_with_it() -> None:
    log = SightingLog(interval_s=1.0)
    assert log.look(1, look(0.0), is_confirmed=False) == []
    assert log.look(1, look(0.1), is_confirmed=False) == []
    logged = log.look(1, look(0.2), is_confirmed=True)
    assert [each.time_ns for each in logged] == [0, S // 10, S // 5]


def test_a_confirmed_track_is_logged_once_per_interval() -> None:
    log = SightingLog(interval_s=1.0)
    times = [step / 10 for step in range(50)]
    logged = [each.time_ns / S for time in times for each in log.look(1, look(time), is_confirmed=True)]
    assert logged == [0.0, 1.0, 2.0, 3.0, 4.0]


def test_a_much_better_placed_look_is_logged_at_once() -> None:
    log = SightingLog(interval_s=10.0)
    log.look(1, look(0.0, ce90_m=50.0), is_confirmed=True)
    assert log.look(1, look(0.1, ce90_m=45.0), is_confirmed=True) == []
    assert len(log.look(1, look(0.2, ce90_m=10.0), is_confirmed=True)) == 1


def test_a_track_that_is_never_confirmed_leaves_no_sighting_and_no_memory() -> None:
    log = SightingLog()
    for step in range(1000):
        assert log.look(1, look(step), is_confirmed=False) == []
    log.forget({1})
    assert len(log.look(1, look(2000.0), is_confirmed=True)) == 1


def test_looks_without_a_position_are_limited_by_direction() -> None:
    log = SightingLog(interval_s=1.0)
    assert len(log.unlocated(look(0.0), 45.0)) == 1
    assert log.unlocated(look(4.5), 46.0) == []
    assert len(log.unlocated(look(4.5), 120.0)) == 1
    assert len(log.unlocated(look(5.0), 45.0)) == 1
