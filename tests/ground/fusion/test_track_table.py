"""The table of tracks leaves out only pairs that cannot be one thing."""

import random

import msgspec
import pytest

from ground.config import ContactsConfig
from ground.fusion.association import compared
from ground.fusion.index import TrackTable
from ground.fusion.track import FusionTrack
from skywarden.messages import Motion
from tests.ground.scenes import position, sighting

CONFIG = ContactsConfig()


def _tracks(seed: int, shift_deg: float) -> list[FusionTrack]:
    """Tracks strewn over some kilometres and twenty minutes: some stand, some are fast, some never move."""
    chance = random.Random(seed)
    spots = [(chance.gauss(0, 900), chance.gauss(0, 900)) for _ in range(10)]
    found = []
    for number in range(40):
        motion: Motion | None = chance.choice((None, "moving", "standing", "standing"))
        label = chance.choice(("vessel", "vessel", "building"))
        (north, east), begin = chance.choice(spots), chance.randrange(0, 1_200, 60)
        rate = chance.gauss(0, 12) if motion == "moving" else 0.0
        looks = []
        for step in range(chance.randrange(1, 5)):
            place = position(north + 5 * rate * step, east + chance.gauss(0, 5), chance.uniform(3.0, 60.0))
            longitude = (place.longitude_deg + shift_deg + 180.0) % 360.0 - 180.0
            place = msgspec.structs.replace(place, longitude_deg=longitude)
            name, platform = f"t{number}", f"p{number % 3}"
            one = sighting(name, step, at_s=begin + 5.0 * step, place=place, label=label, platform=platform)
            looks.append(msgspec.structs.replace(one, motion=motion))
        track = FusionTrack.begun(looks[0])
        for one in looks:
            track.add(one)
        found.append(track)
    return found


def _has_cost(one: FusionTrack, two: FusionTrack) -> bool:
    first, second = (one, two) if one.track_id < two.track_id else (two, one)
    return compared(first, second, CONFIG).cost is not None


@pytest.mark.parametrize("seed", range(4))
def test_whatever_may_be_one_thing_is_near(seed: int) -> None:
    tracks = _tracks(seed, 160.0 if seed % 2 else 0.0)  # every other time across 180 degrees
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
    table, tracks = TrackTable(CONFIG), _tracks(1, 0.0)
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
