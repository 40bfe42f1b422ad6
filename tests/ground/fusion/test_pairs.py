"""Many pairs of tracks are judged at once as each would be alone, and what is sorted out deserves it."""

import random
from itertools import combinations

import pytest

from ground.config import ContactsConfig
from ground.fusion.answers import Question, answered
from ground.fusion.association import are_seen_apart, compared
from ground.fusion.estimate import Estimate, Spot, apart_m
from ground.fusion.labels import labels_agree
from ground.fusion.pairs import APART, NOTHING, Prospect, Verdict, sorted_out
from ground.fusion.track import STANDING, FusionTrack
from skywarden.clock import NS_PER_S
from tests.ground.fusion.strewn import strewn_tracks

CONFIG = ContactsConfig()


def _pairs(seed: int) -> list[tuple[FusionTrack, FusionTrack]]:
    return list(combinations(strewn_tracks(seed), 2))


@pytest.mark.parametrize("seed", range(3))
def test_who_else_is_compared_changes_no_verdict(seed: int) -> None:
    together = compared(_pairs(seed), CONFIG)
    alone = [compared([pair], CONFIG)[0] for pair in _pairs(seed)]  # tracks of their own: nothing remembered
    assert together == alone
    mixed = random.Random(seed).sample(range(len(alone)), len(alone))
    pairs = _pairs(seed)
    assert compared([pairs[row] for row in mixed], CONFIG) == [together[row] for row in mixed]
    assert sum(verdict.cost is not None for verdict in together) > 10
    assert {APART, NOTHING} <= set(together)


def _gap_s(one: FusionTrack, two: FusionTrack) -> float:
    if one.is_static and two.is_static:
        return 0.0
    return max(0.0, (max(one.first_ns, two.first_ns) - min(one.last_ns, two.last_ns)) / NS_PER_S)


def _apart_m(one: FusionTrack, two: FusionTrack) -> float:
    """Least distance of any two looks; not less than that of the boxes."""
    looks = [
        [(look.latitude_deg, look.longitude_deg) for look in track.kept.between()] for track in (one, two)
    ]
    return min(
        apart_m(Spot(*first, 0.0, 111_319.49, 111_319.49), Spot(*second, 0.0, 111_319.49, 111_319.49))
        for first in looks[0]
        for second in looks[1]
    )


def _may_be_near_in_the_middle(one: FusionTrack, two: FusionTrack) -> bool:
    middle_ns = (max(one.first_ns, two.first_ns) + min(one.last_ns, two.last_ns)) // 2
    first, second = answered([Question(track, middle_ns, is_whole=False) for track in (one, two)], CONFIG)
    assert isinstance(first, Spot)
    assert isinstance(second, Spot)
    is_sure = max(first.sigma_m, second.sigma_m) < 0.5 * CONFIG.max_sigma_m
    return is_sure and apart_m(first, second) < 0.5 * CONFIG.max_distance_m


@pytest.mark.parametrize("seed", range(3, 6))
def test_what_is_sorted_out_deserves_it(seed: int) -> None:
    seen: list[Verdict | str] = []
    for (one, two), told in zip(_pairs(seed), sorted_out(_pairs(seed), CONFIG), strict=True):
        gap_s, away_m = _gap_s(one, two), _apart_m(one, two)
        is_apart = are_seen_apart(one, two) or not labels_agree(one.label, two.label)
        if told == APART:
            assert is_apart or (gap_s == 0.0 and away_m > CONFIG.max_distance_m)
        elif told == NOTHING:
            assert not is_apart
            assert gap_s > 0.0
            both_stand = one.is_standing and two.is_standing
            is_hopeless = gap_s > CONFIG.max_gap_s or both_stand or not _may_be_near_in_the_middle(one, two)
            assert is_hopeless
        else:
            assert isinstance(told, Prospect)
            assert not is_apart
            assert told.gap_s == gap_s
        seen.append(told if isinstance(told, Verdict) else "open")
    assert {APART, NOTHING, "open"} == set(seen)


def test_a_question_that_many_ask_is_answered_once_and_remembered() -> None:
    track = next(one for one in strewn_tracks(1) if one.kept.count == 4 and not one.is_static)
    at_ns = track.last_ns + 20 * NS_PER_S
    spot, again, whole = answered(
        [Question(track, at_ns, is_whole=False)] * 2 + [Question(track, at_ns, is_whole=True)], CONFIG
    )
    assert spot == again
    assert isinstance(whole, Estimate)
    assert whole.spot == spot
    assert track.known_at(at_ns, is_whole=False) == spot
    (stood,) = answered([Question(track, STANDING, is_whole=True)], CONFIG)
    assert isinstance(stood, Estimate)
    assert stood.sigma_m < whole.sigma_m  # nothing is carried on
