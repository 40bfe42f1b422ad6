"""Vessels, what is heard, where they are predicted, and what stands out: plain objects, no clock."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ground.ais.association import pair_weights
from ground.ais.behaviour import Shore, flags_of, rendezvous, shoreward
from ground.ais.book import VesselBook
from ground.ais.hearing import HearingModel, Receiver, all_missed, radio_horizon_m
from ground.ais.identity import imo_doubt, number_doubt, station_of
from ground.ais.looked import LookedAt
from ground.ais.motion import METRES_PER_DEG, expected_interval_s, predict
from ground.ais.sun import sun_elevation_deg
from skywarden.ais.reports import Class, PositionReport, StaticReport

START_NS = 1_763_000_000_000_000_000
S = 10**9


def report(
    at_s: float, east_m: float, north_m: float, *, mmsi: str = "230108610", speed: float = 5.0,
    course: float | None = 90.0, kind: Class = "A", status: int = 0,
) -> PositionReport:  # fmt: skip
    """A report near 0 N 20 E, where a degree is the same both ways."""
    time_ns = START_NS + round(at_s * S)
    latitude, longitude = north_m / METRES_PER_DEG, 20.0 + east_m / METRES_PER_DEG
    return PositionReport(
        mmsi, kind, time_ns, time_ns, latitude, longitude, speed, course, None, True, True, status
    )  # fmt: skip


def test_a_prediction_grows_with_time_and_shrinks_again_towards_the_next_report() -> None:
    before, after = report(0, 0, 0), report(600, 3_000, 0)
    origin = (0.0, 20.0)
    sizes = []
    for at_s in (0, 60, 300, 540, 600):
        made = predict([before, after], START_NS + at_s * S, origin)
        assert made is not None
        assert made.offset_m == pytest.approx([5.0 * at_s, 0.0], abs=1.0)
        sizes.append(float(np.trace(made.covariance_m2)))
    assert sizes[0] < sizes[1] < sizes[2] > sizes[3] > sizes[4]
    alone = predict([before], START_NS + 300 * S, origin)
    assert alone is not None
    assert float(np.trace(alone.covariance_m2)) > 1.5 * sizes[2]
    assert predict([before], START_NS + 4_000 * S, origin) is None


def test_class_b_is_less_sure_of_its_course_than_class_a_and_a_moored_ship_hardly_moves() -> None:
    found = {}
    for kind in ("A", "B"):
        made = predict([report(0, 0, 0, kind=kind)], START_NS + 300 * S, (0.0, 20.0))
        assert made is not None
        found[kind] = float(np.trace(made.covariance_m2))
    assert found["B"] > 4.0 * found["A"]
    still = predict([report(0, 0, 0, speed=0.0, status=5)], START_NS + 1_800 * S, (0.0, 20.0))
    assert still is not None
    assert math.sqrt(float(np.trace(still.covariance_m2))) < 200.0


def test_predictions_hold_the_truth_as_often_as_they_say() -> None:
    random = np.random.default_rng(5)
    inside, count = 0, 400
    for _ in range(count):
        course = random.uniform(0, 2 * np.pi) + np.cumsum(random.normal(0, np.radians(5) / np.sqrt(60), 180))
        places = np.concatenate(
            [[[0, 0]], np.cumsum(6.0 * np.stack([np.sin(course), np.cos(course)], 1), axis=0)]
        )
        told = report(0, 0, 0, speed=6.0, course=float(np.degrees(course[0])) % 360)
        made = predict([told], START_NS + 180 * S, (0.0, 20.0))
        assert made is not None
        miss = places[-1] - made.offset_m
        inside += float(miss @ np.linalg.solve(made.covariance_m2, miss)) < 4.605
    assert 0.85 <= inside / count <= 1.0


@pytest.mark.parametrize(
    ("kind", "speed_kn", "status", "seconds"),
    [("A", 10, 0, 10), ("A", 20, 0, 6), ("A", 30, 0, 2), ("A", 0, 1, 180), ("B", 1, None, 180)],
)
def test_intervals_are_those_of_the_rules(
    kind: str, speed_kn: float, status: int | None, seconds: float
) -> None:
    assert expected_interval_s(kind, speed_kn * 0.514444, status) == seconds


def test_histories_are_thinned_and_bounded_and_repeats_by_other_receivers_count_once() -> None:
    book = VesselBook()
    for second in range(0, 4_000, 2):
        book.add(report(second, 5.0 * second, 0))
        book.add(report(second, 5.0 * second, 0))
    (track,) = next(iter(book)).tracks
    assert book.repeated == 2_000
    assert len(track.reports) <= 900
    assert track.count == 2_000
    steps = np.diff([one.time_ns for one in track.reports]) / S
    assert steps.min() >= 8.0


def test_a_book_never_holds_more_vessels_than_it_may() -> None:
    book = VesselBook(max_vessels=10)
    for number in range(50):
        book.add(report(number, 0, 0, mmsi=f"2301{number:05d}"))
    assert len(book) == 10
    assert book.get("230100049") is not None
    assert book.forget_before(START_NS + 45 * S) == 5


def test_two_transmitters_of_one_number_are_told_apart_and_doubted() -> None:
    book = VesselBook()
    for turn in range(10):
        book.add(report(20 * turn, 100.0 * turn, 0))
        book.add(report(20 * turn + 7, 80_000.0, 30.0 * turn))
    vessel = book.get("230108610")
    assert vessel is not None
    assert len(vessel.tracks) == 2
    assert {track.count for track in vessel.tracks} == {10}
    assert [doubt.kind for doubt in vessel.doubts(START_NS + 200 * S)] == ["clone"]
    assert vessel.doubts(START_NS + 10**5 * S) == []


def test_a_jump_a_frozen_place_and_a_made_up_number_are_doubted_with_their_numbers() -> None:
    book = VesselBook()
    for second in range(0, 300, 10):
        book.add(report(second, 5.0 * second, 0))
    for second in range(300, 600, 10):
        book.add(report(second, 5.0 * second + 20_000, 0))
    vessel = book.get("230108610")
    assert vessel is not None
    (jump,) = [one for one in vessel.doubts(START_NS + 600 * S) if one.kind == "jump"]
    assert "jumped 20.1 km in 10 s" in jump.text
    frozen = VesselBook()
    for second in range(0, 600, 10):
        frozen.add(report(second, 0, 0, speed=8.0))
    vessel = frozen.get("230108610")
    assert vessel is not None
    assert [one.kind for one in vessel.doubts(START_NS + 600 * S)] == ["frozen"]
    frozen.add(report(0, 0, 0, mmsi="123456789"))
    made_up = frozen.get("123456789")
    assert made_up is not None
    assert made_up.doubts(START_NS)[0].kind == "number"


def test_a_vessel_that_changes_its_name_is_remembered() -> None:
    book = VesselBook()
    for name in ("MARIA", "MARIA", "SANTA LUCIA"):
        book.add(StaticReport("230108610", "A", START_NS, name=name, imo=9134270))
    vessel = book.get("230108610")
    assert vessel is not None
    assert [event.text for event in vessel.events] == [
        "MMSI 230108610 changed its name from MARIA to SANTA LUCIA"
    ]


def test_numbers_say_what_kind_of_station_they_are() -> None:
    assert [station_of(one) for one in ("002275200", "230108610", "111265591", "970012345", "992509976")] == [
        "coast", "ship", "aircraft", "beacon", "aid",
    ]  # fmt: skip
    assert number_doubt("230108610") is None
    assert number_doubt("000000000") is not None
    assert number_doubt("800000001") is not None
    assert imo_doubt(9134270) is None
    assert imo_doubt(9134271) is not None


def test_the_ears_learn_that_a_bay_behind_a_headland_is_not_heard() -> None:
    model = HearingModel(Receiver(latitude_deg=0.0, longitude_deg=20.0, height_m=30.0))
    for minute in range(60):
        model.note_heard(START_NS + minute * 60 * S)
    now = START_NS + 1_800 * S
    fresh = model.audibility(0.1, 20.1, now, chances=30.0)
    for _ in range(20):
        model.learn(0.1, 20.1, is_strong=True, chances=30.0, heard=29.0)
        model.learn(-0.1, 19.9, is_strong=True, chances=30.0, heard=0.3)
    heard, hidden = (model.audibility(*at, now, chances=30.0) for at in ((0.1, 20.1), (-0.1, 19.9)))
    assert hidden.chance < 0.65 < fresh.chance < heard.chance
    assert heard.chance > 0.99
    assert hidden.per_report < 0.1 < 0.85 < heard.per_report
    assert model.audibility(3.0, 20.0, now, chances=30.0).chance < 0.1  # ten times the radio horizon
    asleep = model.audibility(0.1, 20.1, now + 86_400 * S, chances=30.0)
    assert not asleep.is_awake
    assert asleep.chance < 0.1


def test_the_radio_horizon_is_that_of_the_textbook() -> None:
    assert radio_horizon_m(100.0, 8.0) == pytest.approx(52_850, rel=0.01)


@given(st.floats(0.1, 20), st.floats(0.1, 20), st.integers(0, 30))
def test_missing_all_is_the_product_of_missing_each(alpha: float, beta: float, count: int) -> None:
    expected = math.prod((beta + step) / (alpha + beta + step) for step in range(count))
    assert all_missed(alpha, beta, count) == pytest.approx(expected, rel=1e-6)


def test_pairs_are_one_to_one_and_close_to_the_sum_over_all_ways() -> None:
    random = np.random.default_rng(3)
    for _ in range(40):
        weights = random.gamma(0.6, 3.0, (3, 3))
        exact, total = np.zeros((3, 3)), 0.0
        options = [None, 0, 1, 2]
        for a in options:
            for b in options:
                for c in options:
                    used = [one for one in (a, b, c) if one is not None]
                    if len(set(used)) != len(used):
                        continue
                    worth = math.prod(
                        weights[row, one] for row, one in enumerate((a, b, c)) if one is not None
                    )
                    total += worth
                    for row, one in enumerate((a, b, c)):
                        if one is not None:
                            exact[row, one] += worth
        found = pair_weights(weights)
        assert found == pytest.approx(exact / total, abs=0.06)
        assert found.sum(axis=0).max() <= 1.0 + 1e-6
        assert found.sum(axis=1).max() <= 1.0 + 1e-6


def test_the_sun_stands_where_the_almanac_says() -> None:
    # Greenwich, 2026-06-21 12:00 UTC: 90 - 51.4769 + 23.44 at the meridian, a minute before transit.
    assert sun_elevation_deg(1_782_043_200 * S, 51.4769, 0.0) == pytest.approx(61.96, abs=0.05)
    # 0 N 0 E, 2026-03-20 12:07 UTC (equinox 14:46): the zenith, but for the declination of that hour.
    assert sun_elevation_deg(1_774_008_420 * S, 0.0, 0.0) == pytest.approx(89.9, abs=0.15)
    assert sun_elevation_deg(1_782_043_200 * S, 51.4769, 180.0) == pytest.approx(-15.1, abs=0.1)


def test_a_vessel_slow_and_under_way_in_one_place_loiters_and_a_moored_one_does_not() -> None:
    for status, expected in ((0, ["loitering"]), (5, [])):
        book = VesselBook()
        for minute in range(0, 90):
            angle = minute / 8.0
            east, north = 500 * math.sin(angle), 500 * math.cos(angle)
            book.add(report(60 * minute, east, north, speed=1.1, course=0.0, status=status))
        vessel = book.get("230108610")
        assert vessel is not None
        flags = flags_of(vessel, START_NS + 5_400 * S)
        assert [flag.kind for flag in flags] == expected
    assert flags == []


def test_two_vessels_slow_side_by_side_for_twenty_minutes_meet() -> None:
    book = VesselBook()
    for minute in range(0, 40):
        for number, away in (("230108610", 0.0), ("310556000", 80.0), ("366053209", 4_000.0)):
            book.add(report(60 * minute, away, 10.0 * minute, mmsi=number, speed=0.6, course=0.0))
    flags = rendezvous(list(book), START_NS + 2_400 * S)
    assert {(flag.mmsi, flag.other_mmsi) for flag in flags} == {
        ("230108610", "310556000"),
        ("310556000", "230108610"),
    }
    assert flags[0].values["distance_m"] == pytest.approx(80.0, abs=2.0)
    assert flags[0].values["seconds"] >= 1_200.0


def test_a_tanker_at_thirty_knots_is_too_fast() -> None:
    book = VesselBook()
    book.add(StaticReport("230108610", "A", START_NS, ship_type=80))
    for second in range(0, 100, 10):
        book.add(report(second, 15.4 * second, 0, speed=15.4))
    vessel = book.get("230108610")
    assert vessel is not None
    (flag,) = flags_of(vessel, START_NS + 100 * S)
    assert flag.kind == "too_fast"
    assert flag.values == {"speed_mps": 15.4, "limit_mps": 10.3}


def test_a_gap_is_flagged_only_where_the_receiver_would_have_heard() -> None:
    for is_awake in (True, False):
        hearing = HearingModel(Receiver(latitude_deg=0.0, longitude_deg=20.0, height_m=60.0))
        book = VesselBook(hearing)
        for second in range(0, 1_800, 10):
            book.add(report(second, 5.0 * second, 0))
        if is_awake:  # somebody else is heard meanwhile
            for second in range(1_800, 5_400, 10):
                book.add(report(second, 4.0 * second, 900.0, mmsi="310556000"))
        vessel = book.get("230108610")
        assert vessel is not None
        flags = [one for one in flags_of(vessel, START_NS + 5_400 * S, hearing) if one.kind == "gap"]
        assert bool(flags) == is_awake
        for flag in flags:
            assert flag.values["quiet_s"] == pytest.approx(3_610.0)
            assert flag.values["chance"] >= 0.95


def test_a_course_towards_the_shore_counts_at_night_only() -> None:
    import shapely

    shore = Shore([shapely.LineString([(20.1, -1.0), (20.1, 1.0)])])
    midnight_s = (1_763_078_400 - 1_763_000_000) - 20 / 15 * 3_600
    (flag,) = shoreward("230108610", report(midnight_s, 0, 0, speed=8.0), shore)
    assert flag.values["shore_m"] == pytest.approx(0.1 * METRES_PER_DEG, rel=0.01)
    assert flag.values["sun_deg"] < -6.0
    assert shoreward("230108610", report(midnight_s, 0, 0, speed=8.0, course=270.0), shore) == []
    assert shoreward("230108610", report(midnight_s + 43_200, 0, 0, speed=8.0), shore) == []


def test_whether_a_place_was_looked_at_is_known_only_where_a_footprint_of_the_time_is() -> None:
    looked = LookedAt()
    looked.note(START_NS, [(0.0, 20.0), (0.0, 20.1), (0.1, 20.1), (0.1, 20.0)])
    assert looked.was_seen(0.05, 20.05, START_NS + S) is True
    assert looked.was_seen(0.05, 20.15, START_NS) is False
    assert looked.was_seen(0.05, 20.05, START_NS + 60 * S) is None
    assert looked.around(START_NS).was_seen(0.05, 20.05, START_NS) is True
    assert looked.around(START_NS + 60 * S).was_seen(0.05, 20.05, START_NS) is None
