"""Contacts depend on the set of sightings only, do not shrink below what is shared, and join what fits."""

import itertools
import random

import msgspec
import pytest

from ground.config import ContactsConfig
from ground.picture.contacts import Contact, ContactBook
from skywarden.messages import Sighting
from tests.ground.scenes import METRE_DEG, position, sighting


def _contacts(sightings: list[Sighting], step: int = 1_000_000, **options: float) -> dict[str, Contact]:
    """What remains after feeding in steps and applying the changes."""
    book = ContactBook(ContactsConfig(**options))
    state: dict[str, Contact] = {}
    for start in range(0, len(sightings), step):
        for one in sightings[start : start + step]:
            book.add(one)
        changes = book.settle()
        for contact_id in changes.removed:
            state.pop(contact_id, None)
        state.update({contact.contact_id: contact for contact in changes.changed})
    return state


def _scene() -> list[Sighting]:
    """A vessel seen by two platforms, one seen twice by one, two side by side, one without a place."""
    chance = random.Random(4)
    found = []
    for number in range(40):
        at_s = number * 2.0
        moving = position(3.0 * at_s + chance.gauss(0, 2), chance.gauss(0, 2))
        found.append(sighting("a-1", number, at_s=at_s, place=moving, platform="a"))
        if number > 10:
            other = position(3.0 * at_s + chance.gauss(0, 2), 4 + chance.gauss(0, 2), 8.0)
            found.append(sighting("b-1", number, at_s=at_s, place=other, platform="b"))
        if not 15 < number < 25:
            track = "a-2" if number < 20 else "a-3"
            still = position(chance.gauss(0, 2), 900 + chance.gauss(0, 2))
            found.append(sighting(track, number, at_s=at_s, place=still, platform="a"))
        found.append(sighting("a-4", number, at_s=at_s, place=position(800, 800), platform="a"))
        found.append(sighting("a-5", number, at_s=at_s, place=position(806, 800), platform="a"))
    found.append(sighting("b-9", 1, at_s=5.0, platform="b"))
    return found


def test_tracks_of_two_platforms_and_a_track_found_again_are_one_contact_each() -> None:
    found = _contacts(_scene())
    members = sorted(contact.track_ids for contact in found.values())
    assert members == [("a-1", "b-1"), ("a-2", "a-3"), ("a-4",), ("a-5",), ("b-9",)]
    both = found["c-a-1"]
    assert both.platform_ids == ("a", "b")
    assert both.sighting_count == 69
    assert both.speed_mps == pytest.approx(3.0, abs=0.4)
    assert min(both.course_deg or 0.0, 360 - (both.course_deg or 0.0)) < 10
    assert found["c-a-4"].speed_mps is None


@pytest.mark.parametrize("seed", range(6))
def test_any_order_repetition_and_batching_gives_the_same_contacts(seed: int) -> None:
    scene = _scene()
    expected = _contacts(scene)
    chance = random.Random(seed)
    shuffled = scene + chance.sample(scene, 40)
    chance.shuffle(shuffled)
    assert _contacts(shuffled, step=chance.choice([3, 17, 60])) == expected


def test_two_things_that_one_camera_sees_at_once_are_never_one_contact() -> None:
    scene = [
        sighting(f"a-{track}", number, at_s=number, place=position(track * 1.0, 0), platform="a")
        for number, track in itertools.product(range(10), (1, 2))
    ]
    bridge = [sighting("b-1", n, at_s=n, place=position(1.5, 0), platform="b") for n in range(10)]
    groups = [contact.track_ids for contact in _contacts(scene + bridge).values()]
    assert len(groups) == 2
    assert not any({"a-1", "a-2"} <= set(group) for group in groups)


@pytest.mark.parametrize(
    ("other", "is_joined"),
    [
        (sighting("b-1", 1, place=position(4, 4), platform="b"), True),
        (sighting("b-1", 1, place=position(60, 0), platform="b"), False),
        (sighting("b-1", 1, place=position(4, 4), platform="b", label="plot"), False),
        (sighting("b-1", 1, place=position(4, 4), platform="b", label="anomaly"), True),
        (sighting("b-1", 1, place=position(4, 4), platform="b", label="fishing"), True),
        (sighting("b-1", 1, place=position(4, 4, 400.0), platform="b"), False),
        (sighting("b-1", 1, at_s=4_000, place=position(4, 4), platform="b"), False),
    ],
)
def test_what_joins_and_what_does_not(other: Sighting, is_joined: bool) -> None:
    found = _contacts([sighting("a-1", 1, place=position(), platform="a"), other])
    assert (len(found) == 1) == is_joined


def test_a_plot_is_recognised_on_another_day() -> None:
    first = sighting("a-1", 1, place=position(), platform="a", label="plot")
    later = sighting(
        "a-s2-1", 1, at_s=5 * 86_400, place=position(3, 3), platform="a", sortie="s2", label="plot"
    )
    found = _contacts([first, later])
    assert [contact.track_ids for contact in found.values()] == [("a-1", "a-s2-1")]


def test_many_looks_do_not_shrink_the_ellipse_below_the_shared_part() -> None:
    looks = [sighting(number=n, at_s=n * 0.5, place=position(), label="plot") for n in range(400)]
    once, often = _contacts(looks[:1]), _contacts(looks)
    single = once["c-uav07-s1-eo-1"].position
    fused = often["c-uav07-s1-eo-1"].position
    assert single is not None
    assert fused is not None
    assert single.ce90_m == pytest.approx(position().ce90_m, rel=1e-3)
    assert fused.ce90_m >= single.ce90_m * 0.7**0.5
    assert fused.ce90_m < single.ce90_m * 0.85


def test_two_platforms_with_the_same_error_do_not_pretend_to_know_better() -> None:
    one = sighting("a-1", 1, place=position(), platform="a")
    two = sighting("b-1", 1, place=position(2, 0), platform="b")
    found = _contacts([one, two])["c-a-1"].position
    assert found is not None
    assert found.ce90_m == pytest.approx(position().ce90_m, rel=1e-3)


def test_a_contact_without_a_place_keeps_its_bearing_and_the_reason() -> None:
    found = _contacts([sighting(number=1)])["c-uav07-s1-eo-1"]
    assert found.position is None
    assert found.bearing is not None
    assert found.bearing_from == (0.001, 20.0)
    assert found.no_position_reason == "telemetry_stale"


def test_a_late_older_track_renames_the_contact_and_says_that_the_old_name_is_gone() -> None:
    book = ContactBook(ContactsConfig())
    book.add(sighting("b-1", 1, at_s=10, place=position(), platform="b"))
    assert [one.contact_id for one in book.settle().changed] == ["c-b-1"]
    book.add(sighting("a-1", 1, at_s=0, place=position(), platform="a"))
    changes = book.settle()
    assert [one.contact_id for one in changes.changed] == ["c-a-1"]
    assert changes.removed == ("c-b-1",)


def test_what_was_forgotten_is_known_no_more_and_costs_nothing() -> None:
    book = ContactBook(ContactsConfig())
    for number in range(50):
        book.add(sighting(f"t{number}", 1, at_s=number * 10, place=position(number * 1_000.0)))
    book.settle()
    assert book.forget_before(sighting(at_s=300).time_ns) == 30
    assert not book.knows("t0")
    assert book.knows("t40")
    book.add(sighting("t40", 2, at_s=401, place=position(40_000.0)))
    assert [one.contact_id for one in book.settle().changed] == ["c-t40"]


def test_contacts_across_the_antimeridian_join() -> None:
    def at(longitude_deg: float, platform: str) -> Sighting:
        place = msgspec.structs.replace(position(), longitude_deg=longitude_deg)
        return sighting(f"{platform}-1", 1, place=place, platform=platform)

    found = _contacts([at(180.0 - 2 * METRE_DEG, "a"), at(-180.0 + 2 * METRE_DEG, "b")])
    assert len(found) == 1
    fused = next(iter(found.values())).position
    assert fused is not None
    assert abs(abs(fused.longitude_deg) - 180.0) < 3 * METRE_DEG
