"""Contacts depend on the set of sightings only, do not shrink below what is shared, and join what fits."""

import itertools
import math
import random

import msgspec
import pytest

from ground.config import ContactsConfig
from ground.fusion.book import ContactBook
from ground.fusion.contact import Contact, ContactEvent
from ground.fusion.rulings import Ruling, Rulings
from skywarden.messages import Motion, Position, Sighting
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


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_any_order_repetition_and_batching_gives_the_same_contacts(seed: int) -> None:
    chance = random.Random(seed)
    words: list[Motion | None] = [None, "undecided", "standing", "moving"]
    scene = [msgspec.structs.replace(one, motion=chance.choice(words)) for one in _scene()]
    expected = _contacts(scene)
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


def test_many_looks_do_not_shrink_the_ellipse_below_what_lasts() -> None:
    config = ContactsConfig()
    looks = [sighting(number=n, at_s=n * 0.5, place=position(), label="plot") for n in range(400)]
    once, often = _contacts(looks[:1]), _contacts(looks)
    single = once["c-uav07-s1-eo-1"].position
    fused = often["c-uav07-s1-eo-1"].position
    assert single is not None
    assert fused is not None
    assert single.ce90_m == pytest.approx(position().ce90_m, rel=1e-3)
    assert fused.ce90_m >= single.ce90_m * (config.shared_share * config.lasting_share) ** 0.5
    assert fused.ce90_m < single.ce90_m * 0.95


def _seen_from(name: str, north_m: float, east_m: float, place: Position, number: int = 1) -> Sighting:
    """A look from a platform 100 m up."""
    at = (north_m * METRE_DEG, 20.0 + east_m * METRE_DEG, 112.0)
    made = sighting(f"{name}-1", number, at_s=number * 0.5, place=place, platform=name)
    return msgspec.structs.replace(made, platform_position=at)


def _long(along_m: float, across_m: float, *, is_north: bool, north_m: float = 0.0) -> Position:
    """A place whose ellipse lies along north or east."""
    north, east = (along_m, across_m) if is_north else (across_m, along_m)
    covariance = (east**2, 0.0, 0.0, north**2, 0.0, 0.09)
    return msgspec.structs.replace(position(north_m), covariance_enu_m2=covariance)


def _ce90(sightings: list[Sighting]) -> float:
    (contact,) = _contacts(sightings).values()
    assert contact.position is not None
    return contact.position.ce90_m


def test_two_platforms_at_right_angles_know_better_than_one() -> None:
    south = [_seen_from("a", -370.0, 0.0, _long(15.0, 4.0, is_north=True), n) for n in range(10)]
    west = [_seen_from("b", 0.0, -370.0, _long(15.0, 4.0, is_north=False), n) for n in range(10)]
    assert _ce90(south + west) <= 0.5 * _ce90(south)


def test_what_the_surface_does_to_both_does_not_average_out() -> None:
    """Two platforms side by side share the height of the terrain: its part of the error stays."""
    rough = msgspec.structs.replace(
        _long(15.0, 4.0, is_north=True), covariance_enu_m2=(16.0, 0.0, 0.0, 225.0, 0.0, 12.0)
    )
    smooth = _long(15.0, 4.0, is_north=True)
    on_hills = [_seen_from(name, -370.0, 0.0, rough) for name in "ab"]
    at_sea = [_seen_from(name, -370.0, 0.0, smooth) for name in "ab"]
    assert _ce90(at_sea) < 0.75 * _ce90(at_sea[:1])
    assert _ce90(on_hills) > 0.88 * _ce90(on_hills[:1])


@pytest.mark.parametrize("changes", [{"position_doubt": "gnss_disagree"}, {"platform_position": None}])
def test_what_two_platforms_share_is_unknown_where_their_places_are_in_doubt(changes: dict[str, str]) -> None:
    """Spoofed alike, or without geometry: two that say the same do not pretend to know better."""
    looks = [
        msgspec.structs.replace(sighting(f"{name}-1", 1, place=position(), platform=name), **changes)
        for name in "ab"
    ]
    assert _ce90(looks) == pytest.approx(position().ce90_m, rel=2e-3)


def test_a_circle_flown_round_a_thing_takes_the_tilt_off_and_leaves_gnss() -> None:
    def round_it(degrees: float, count: int) -> list[Sighting]:
        out = []
        for number in range(count):
            angle = math.radians(degrees * number / count)
            n, e = 370.0 * math.cos(angle), 370.0 * math.sin(angle)
            along, across = 225.0, 36.0
            ee = along * math.sin(angle) ** 2 + across * math.cos(angle) ** 2
            nn = along * math.cos(angle) ** 2 + across * math.sin(angle) ** 2
            en = (along - across) * math.sin(angle) * math.cos(angle)
            place = msgspec.structs.replace(position(), covariance_enu_m2=(ee, en, 0.0, nn, 0.0, 0.09))
            out.append(_seen_from("a", n, e, place, 4 * number))
        return out

    assert _ce90(round_it(360.0, 30)) < 0.55 * _ce90(round_it(5.0, 30))
    assert _ce90(round_it(360.0, 30)) > 2.146 * ContactsConfig().gnss_sigma_m * 0.7


def test_a_wild_look_does_not_pull_the_place_along() -> None:
    looks = [sighting(number=n, at_s=n * 3.0, place=position(), label="plot") for n in range(8)]
    wild = sighting(number=99, at_s=13.0, place=position(200.0), label="plot")
    (with_it,) = _contacts([*looks, wild]).values()
    assert with_it.position is not None
    assert abs(with_it.position.latitude_deg) < 3.0 * METRE_DEG


@pytest.mark.parametrize("until_s", [25, 41, 60])
def test_a_boat_that_flees_in_zigzags_is_where_it_was_seen_last(until_s: int) -> None:
    """At 20 m/s, turning by 60 degrees every nine seconds."""
    north = east = 0.0
    chance, looks, truth = random.Random(6), [], {}
    for at_s in range(until_s):
        course = math.radians(30.0 if at_s // 9 % 2 else -30.0)
        north, east = north + 20.0 * math.cos(course), east + 20.0 * math.sin(course)
        place = position(north + chance.gauss(0, 1.5), east + chance.gauss(0, 1.5), 5.0)
        looks.append(sighting(number=at_s, at_s=at_s, place=place))
        truth[looks[-1].time_ns] = north, east
    (found,) = _contacts(looks).values()
    assert found.position is not None
    assert found.position_ns is not None
    north, east = truth[found.position_ns]
    off_north = found.position.latitude_deg / METRE_DEG - north
    off_east = (found.position.longitude_deg - 20.0) / METRE_DEG - east
    assert math.hypot(off_north, off_east) < found.position.ce90_m < 20.0


def test_vessels_that_cross_are_two() -> None:
    """At one moment they are at one place; a camera each, so only their courses tell."""
    looks = []
    for n in range(60):
        along = 4.0 * (n - 30)
        looks.append(sighting("a-1", n, at_s=n, place=position(along, 0.0, 4.0), platform="a"))
        looks.append(sighting("b-1", n, at_s=n, place=position(0.0, along, 4.0), platform="b"))
    assert len(_contacts(looks)) == 2


def test_a_vessel_is_found_again_after_a_pause_where_its_course_led() -> None:
    before = [sighting("a-1", n, at_s=n, place=position(5.0 * n, 0.0, 3.0), platform="a") for n in range(30)]
    later = [
        sighting("b-1", n, at_s=60 + n, place=position(5.0 * (60 + n), 0.0, 3.0), platform="b")
        for n in range(30)
    ]
    elsewhere = [
        sighting("b-2", n, at_s=60 + n, place=position(-5.0 * n, 0.0, 3.0), platform="b") for n in range(30)
    ]
    groups = sorted(one.track_ids for one in _contacts(before + later + elsewhere).values())
    assert groups == [("a-1", "b-1"), ("b-2",)]


def test_what_stands_is_placed_by_all_its_looks_and_has_no_speed() -> None:
    chance = random.Random(3)
    looks = [
        sighting(
            number=n,
            at_s=n * 10.0,
            place=position(chance.gauss(0, 1.0), chance.gauss(0, 1.0)),
            label="anomaly",
        )
        for n in range(60)
    ]
    (contact,) = _contacts(looks).values()
    assert contact.speed_mps is None
    assert contact.position is not None
    assert contact.position.ce90_m < 0.95 * position().ce90_m


@pytest.mark.parametrize(("count", "is_told"), [(2, False), (3, False), (4, True)])
def test_nothing_is_said_to_move_before_its_fourth_look(count: int, is_told: bool) -> None:
    looks = [
        sighting(number=n, at_s=n * 2.0, place=position(0.0, 30.0 * n), label="anomaly") for n in range(count)
    ]
    (contact,) = _contacts(looks).values()
    assert (contact.speed_mps is not None) == is_told


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
    (event,) = changes.events
    assert (event.kind, event.before, event.after) == ("renamed", ("c-b-1",), ("c-a-1",))


def _told(book: ContactBook, sightings: list[Sighting]) -> tuple[ContactEvent, ...]:
    for one in sightings:
        book.add(one)
    return book.settle().events


def test_merging_and_splitting_are_told() -> None:
    book = ContactBook(ContactsConfig())
    still = [sighting("a-1", n, at_s=n, place=position(), platform="a") for n in range(20)]
    later = [sighting("b-1", n, at_s=300 + n, place=position(2, 0), platform="b") for n in range(20)]
    assert _told(book, still + later) == ()
    merged = _told(book, [sighting("a-1", 99, at_s=295, place=position(1, 1), platform="a")])
    assert [(one.kind, one.before, one.after) for one in merged] == [
        ("merged", ("c-a-1", "c-b-1"), ("c-a-1",))
    ]
    book.rule(Rulings([Ruling(word="apart", one="b-1", two="a-1", account="eva", time_ns=1)]))
    (split,) = _told(book, [])
    assert (split.kind, split.before, split.after) == ("split", ("c-a-1",), ("c-a-1", "c-b-1"))


def test_a_person_says_that_two_are_one() -> None:
    book = ContactBook(ContactsConfig())
    looks = [sighting("a-1", 1, place=position(), platform="a")]
    looks.append(sighting("b-1", 1, at_s=4_000, place=position(3_000), platform="b"))
    _told(book, looks)
    book.rule(Rulings([Ruling(word="together", one="b-1", two="a-1", account="eva", time_ns=1)]))
    changes = book.settle()
    assert [one.track_ids for one in changes.changed] == [("a-1", "b-1")]
    assert changes.removed == ("c-b-1",)
    book.rule(Rulings())
    assert len(book.settle().changed) == 2


def test_a_contact_keeps_its_name_while_any_of_its_tracks_is_remembered() -> None:
    book = ContactBook(ContactsConfig())
    looks = [sighting("a-1", n, at_s=n, place=position()) for n in range(20)]
    _told(book, looks + [sighting("a-2", n, at_s=60 + n, place=position()) for n in range(20)])
    assert book.forget_before(sighting(at_s=50).time_ns) == 0
    book.add(sighting("a-2", 99, at_s=81, place=position()))
    assert [one.contact_id for one in book.settle().changed] == ["c-a-1"]


def test_a_plot_is_never_forgotten() -> None:
    book = ContactBook(ContactsConfig())
    _told(book, [sighting("a-1", 1, place=position(), label="plot")])
    assert book.forget_before(sighting(at_s=1e6).time_ns) == 0


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


def _walk(track: str, platform: str, mps: float, motion: Motion | None, **told: object) -> list[Sighting]:
    """Twenty looks in ten seconds at something that goes east."""
    looks = [
        sighting(track, n, at_s=n / 2, place=position(mps * n / 2, 0.0, 3.0), platform=platform)
        for n in range(20)
    ]
    return [msgspec.structs.replace(look, motion=motion, **told) for look in looks]


def test_a_contact_has_a_course_only_where_its_platform_says_that_it_moves() -> None:
    courses: dict[Motion | None, bool] = {None: True, "moving": True, "standing": False, "undecided": False}
    for motion, has_course in courses.items():
        (contact,) = _contacts(_walk("a-1", "a", 4.0, motion)).values()
        assert (contact.speed_mps is not None) is has_course, motion


def test_the_velocity_of_the_only_platform_replaces_the_one_of_its_places() -> None:
    velocity = (3.0, 4.0, 0.01, 0.002, 0.02)
    (contact,) = _contacts(_walk("a-1", "a", 4.0, "moving", velocity_en_mps=velocity)).values()
    assert contact.speed_mps == pytest.approx(5.0)
    assert contact.course_deg == pytest.approx(math.degrees(math.atan2(3.0, 4.0)))
    spread = contact.velocity_covariance_en_m2ps2
    assert spread is not None
    assert spread == pytest.approx((0.05, 0.002, 0.06)), "and what no fit is trusted to know better"


def test_of_two_platforms_the_places_together_give_the_velocity() -> None:
    velocity = (3.0, 4.0, 0.01, 0.002, 0.02)
    looks = _walk("a-1", "a", 4.0, "moving", velocity_en_mps=velocity) + _walk("b-1", "b", 4.0, "undecided")
    (contact,) = _contacts(looks).values()
    assert contact.platform_ids == ("a", "b")
    assert contact.speed_mps == pytest.approx(4.0, abs=0.5)


def test_where_platforms_contradict_one_another_the_places_decide() -> None:
    for mps, has_course in ((4.0, True), (0.0, False)):
        (contact,) = _contacts(_walk("a-1", "a", mps, "moving") + _walk("b-1", "b", mps, "standing")).values()
        assert (contact.speed_mps is not None) is has_course


def test_the_newest_word_on_a_track_counts_whatever_the_order() -> None:
    looks = _walk("a-1", "a", 4.0, "undecided")[:10] + _walk("a-1", "a", 4.0, "moving")[10:]
    for given in (looks, looks[::-1]):
        (contact,) = _contacts(given, step=3).values()
        assert contact.speed_mps == pytest.approx(4.0, abs=0.5)


def _seen_standing(track: str, at_s: float, north_m: float, motion: Motion, looks: int = 3) -> list[Sighting]:
    """A second of looks at something, too brief to tell a speed."""
    found = [
        sighting(track, n, at_s=at_s + n / 2, place=position(north_m, 0.0, 4.0), platform="a")
        for n in range(looks)
    ]
    return [msgspec.structs.replace(look, motion=motion) for look in found]


def test_what_stands_is_the_same_thing_when_it_is_found_again() -> None:
    cases: list[tuple[Motion, float, int]] = [
        ("standing", 90.0, 1),
        ("standing", 3_600.0, 1),
        ("standing", 30_000.0, 2),
        ("undecided", 90.0, 1),
        ("undecided", 3_600.0, 2),
        ("moving", 90.0, 2),
    ]
    for motion, later_s, count in cases:
        looks = _seen_standing("a-1", 0.0, 0.0, motion) + _seen_standing("a-2", later_s, 2.0, motion)
        for given in (looks, looks[::-1]):
            assert len(_contacts(given, step=2)) == count, (motion, later_s)


def test_what_stands_elsewhere_later_is_another_thing() -> None:
    looks = _seen_standing("a-1", 0.0, 0.0, "standing") + _seen_standing("a-2", 90.0, 60.0, "standing")
    assert len(_contacts(looks)) == 2


def test_a_scene_that_is_flown_again_and_again_has_no_more_contacts_than_the_first_time() -> None:
    looks = []
    for turn in range(8):
        for number in range(6):
            began_s = turn * 82.0 + number * 9.0
            looks += _seen_standing(f"a-{turn}-{number}", began_s, number * 80.0, "standing", looks=6)
    assert len(_contacts(looks, step=7)) == 6
