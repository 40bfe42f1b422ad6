"""Tracks of all kinds that are strewn about, for tests of pairs."""

import random

import msgspec

from ground.fusion.track import FusionTrack
from skywarden.messages import Motion
from tests.ground.scenes import position, sighting


def strewn_tracks(seed: int, shift_deg: float = 0.0, count: int = 40) -> list[FusionTrack]:
    """Tracks strewn over some kilometres and twenty minutes: some stand, some are fast, some never move."""
    chance = random.Random(seed)
    spots = [(chance.gauss(0, 900), chance.gauss(0, 900)) for _ in range(10)]
    found = []
    for number in range(count):
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
