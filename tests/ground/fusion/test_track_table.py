"""The table of tracks leaves out only pairs that cannot be one thing."""

import pytest

from ground.config import ContactsConfig
from ground.fusion.association import compared
from ground.fusion.index import TrackTable
from ground.fusion.track import FusionTrack
from tests.ground.fusion.strewn import strewn_tracks
from tests.ground.scenes import position, sighting

CONFIG = ContactsConfig()


def _has_cost(one: FusionTrack, two: FusionTrack) -> bool:
    first, second = (one, two) if one.track_id < two.track_id else (two, one)
    return compared([(first, second)], CONFIG)[0].cost is not None


@pytest.mark.parametrize("seed", range(4))
def test_whatever_may_be_one_thing_is_near(seed: int) -> None:
    tracks = strewn_tracks(seed, 160.0 if seed % 2 else 0.0)  # every other time across 180 degrees
    table = TrackTable(CONFIG)
    for track in tracks:
        table.note(track)
    joined = asked = 0
    for one in tracks:
        near = table.near(one)
        asked += len(near)
        may_be = {two.track_id for two in tracks if two is not one and _has_cost(one, two)}
        joined += len(may_be)
        assert may_be <= set(near)
        assert near == sorted(set(near) - {one.track_id})
    assert 0 < joined < asked < len(tracks) * (len(tracks) - 1) // 2


def test_a_thousand_things_at_one_time_are_near_their_neighbours_only() -> None:
    table, tracks = TrackTable(CONFIG), []
    for number in range(1_000):
        place = position(400.0 * (number % 32), 400.0 * (number // 32))
        tracks.append(FusionTrack.begun(sighting(f"t{number}", place=place)))
        tracks[-1].add(sighting(f"t{number}", place=place))
        table.note(tracks[-1])
    assert all(table.near(track) == [] for track in tracks[::97])


def test_what_was_forgotten_is_near_nothing_and_the_others_stay() -> None:
    table, tracks = TrackTable(CONFIG), strewn_tracks(1, 0.0)
    for track in tracks:
        table.note(track)
    before = {track.track_id: table.near(track) for track in tracks}
    gone = {track.track_id for track in tracks[::3]}
    for track_id in sorted(gone):
        table.forget(track_id)
        table.forget(track_id)
    for track in tracks:
        if track.track_id not in gone:
            assert table.near(track) == [one for one in before[track.track_id] if one not in gone]


def test_of_a_long_watch_only_what_is_of_its_time_is_near_also_when_most_was_forgotten() -> None:
    table, tracks = TrackTable(CONFIG), []
    for number in range(2_600):  # several blocks; two at each time, 100 m apart, and a building that stays
        label, at_s = "building" if number == 7 else "vessel", 1_000.0 * (number // 2)
        place = position(100.0 * (number % 2), 0.0)
        looks = [
            sighting(f"t{number:04}", step, at_s=at_s + step, place=place, label=label) for step in (1, 2)
        ]
        tracks.append(FusionTrack.begun(looks[0]))
        for one in looks:
            tracks[-1].add(one)
        table.note(tracks[-1])
    assert all(table.near(tracks[number]) == [f"t{number + 1:04}"] for number in range(8, 2_600, 2))
    for track in tracks[:2_500]:
        table.forget(track.track_id)
    assert all(table.near(tracks[number]) == [f"t{number + 1:04}"] for number in range(2_500, 2_600, 2))
    late = FusionTrack.begun(sighting("late", at_s=1_000.0 * 1_299))
    late.add(sighting("late", at_s=1_000.0 * 1_299, place=position(50.0)))
    table.note(late)
    assert table.near(late) == ["t2598", "t2599"]
    for track in tracks:
        table.note(track)
    assert table.near(tracks[8]) == ["t0009"]


def test_a_track_that_moved_on_is_where_it_is_now() -> None:
    table = TrackTable(CONFIG)
    one, two = (FusionTrack.begun(sighting(name)) for name in ("a", "b"))
    one.add(sighting("a", 1, place=position()))
    two.add(sighting("b", 1, place=position(2_000.0), platform="uav08"))
    for track in (one, two):
        table.note(track)
    assert table.near(one) == []
    two.add(sighting("b", 2, at_s=1.0, place=position(100.0), platform="uav08"))
    table.note(two)
    assert table.near(one) == ["b"]
