"""Verdicts on contacts: small worlds in which it is plain what must be said."""

import pytest

from ground.ais.book import VesselBook
from ground.ais.config import VerdictConfig
from ground.ais.hearing import HearingModel, Receiver
from ground.ais.motion import METRES_PER_DEG
from ground.ais.verdict import Judge, Look, Verdict
from sim.scenario.fleet.random_fleets import make_scene
from skywarden.ais.reports import StaticReport
from tests.ground.ais.test_ais_logic import START_NS, S, report

NOW_S = 3_600


class World:
    """A receiver on a mast, a dozen vessels that are heard well, and looks."""

    def __init__(self, *, until_s: int = NOW_S, height_m: float = 60.0) -> None:
        self.hearing = HearingModel(Receiver(latitude_deg=0.0, longitude_deg=20.0, height_m=height_m))
        self.book = VesselBook(self.hearing)
        for second in range(0, until_s, 10):
            for number in range(6):
                self.book.add(
                    report(
                        second,
                        3_000.0 * number + 2.0 * second,
                        4_000.0,
                        mmsi=f"23010861{number}",
                        speed=2.0,
                        kind="B" if number % 2 else "A",
                    )
                )

    def look(
        self, east_m: float, north_m: float, *, name: str = "c-1", sigma_m: float = 20.0, at_s: float = 3_590
    ) -> Look:
        return Look(
            contact_id=name,
            time_ns=START_NS + round(at_s * S),
            latitude_deg=north_m / METRES_PER_DEG,
            longitude_deg=20.0 + east_m / METRES_PER_DEG,
            covariance_en_m2=(sigma_m**2, 0.0, sigma_m**2),
        )

    def say(self, *looks: Look, now_s: float = NOW_S) -> list[Verdict]:
        return Judge(VerdictConfig(), self.book, self.hearing).judge(looks, START_NS + round(now_s * S))


def kinds(verdict: Verdict) -> set[str]:
    return {reason.kind for reason in verdict.reasons}


def test_a_contact_where_ais_puts_a_vessel_is_that_vessel() -> None:
    world = World()
    world.book.add(StaticReport("230108612", "A", START_NS, name="MARIA", ship_type=30, hull_m=(12, 4, 3, 3)))
    (verdict,) = world.say(world.look(6_000 + 2.0 * 3_590 + 15, 4_010))
    assert (verdict.word, verdict.mmsi) == ("matched", "230108612")
    assert verdict.matched > 0.98
    best = verdict.candidates[0]
    assert (best.name, best.type) == ("MARIA", "fishing")
    assert best.distance_m < 40.0
    assert "fits" in kinds(verdict)


def test_a_contact_that_nobody_on_ais_explains_is_silent_where_our_receiver_hears() -> None:
    world = World()
    (verdict,) = world.say(world.look(8_000, 6_500))
    assert verdict.word == "silent"
    assert verdict.mmsi is None
    assert {"nobody_fits", "could_hear", "silent"} <= kinds(verdict)
    assert any("no AIS heard for this vessel" in reason.text for reason in verdict.reasons)


def test_far_beyond_the_radio_horizon_silence_says_nothing() -> None:
    world = World()
    (verdict,) = world.say(world.look(120_000, 0))
    assert verdict.word == "unheard"
    assert "could_not_hear" in kinds(verdict)
    assert any("hardly anybody was heard from thereabouts yet" in reason.text for reason in verdict.reasons)


def test_when_the_receiver_heard_nobody_it_cannot_have_heard_the_contact() -> None:
    world = World(until_s=1_200)
    (verdict,) = world.say(world.look(30_000, -9_000))
    assert verdict.word == "unheard"
    assert verdict.silent < 0.05
    assert "deaf" in kinds(verdict)


def test_a_vessel_whose_reports_stopped_is_silent_under_its_number() -> None:
    world = World()
    for second in range(0, 1_800, 10):
        world.book.add(
            report(second, 8_000.0, 6_500.0 - 2.0 * second, mmsi="310556000", speed=2.0, course=180.0)
        )
    (verdict,) = world.say(world.look(8_000, 6_500 - 2.0 * 3_590))
    assert (verdict.word, verdict.mmsi) == ("silent", "310556000")
    assert {"fits", "quiet", "could_hear"} <= kinds(verdict)


def test_two_vessels_side_by_side_are_not_guessed_between() -> None:
    world = World()
    for second in range(0, NOW_S, 10):
        for number, aside in (("310556000", 0.0), ("310556001", 60.0)):
            world.book.add(report(second, 8_000.0 + aside, 6_500.0, mmsi=number, speed=0.0, course=None))
    (verdict,) = world.say(world.look(8_030, 6_500, sigma_m=80.0))
    assert verdict.word == "undecided"
    assert verdict.matched + verdict.undecided > 0.98
    assert "several_fit" in kinds(verdict)


def test_one_to_one_a_second_contact_cannot_be_the_same_vessel() -> None:
    world = World()
    at = 6_000 + 2.0 * 3_590
    first, second = world.say(world.look(at, 4_000), world.look(at + 300, 4_120, name="c-2", sigma_m=60.0))
    assert (first.word, first.mmsi) == ("matched", "230108612")
    assert second.matched < 0.05
    assert second.word != "matched"


def test_a_number_that_two_transmitters_use_makes_identity_doubtful() -> None:
    world = World()
    for second in range(0, NOW_S, 10):
        world.book.add(report(second, 8_000.0, 6_500.0, mmsi="310556000", speed=0.0, course=None))
        world.book.add(report(second + 4, 8_000.0, -30_000.0, mmsi="310556000", speed=0.0, course=None))
    (verdict,) = world.say(world.look(8_000, 6_500))
    assert (verdict.word, verdict.mmsi) == ("doubtful", "310556000")
    assert "clone" in kinds(verdict)


def test_a_vessel_whose_position_stands_still_is_where_its_motion_led_and_nowhere_else() -> None:
    world = World()
    for second in range(0, NOW_S, 10):
        east = 6.0 * min(second, 2_400)
        world.book.add(report(second, east, 6_500.0, mmsi="310556000", speed=6.0, course=90.0))
    led = 6.0 * 3_590
    there, elsewhere = world.say(world.look(led, 6_500), world.look(10_000, 9_000, name="c-2"))
    assert (there.word, there.mmsi) == ("doubtful", "310556000")
    assert elsewhere.doubtful < 0.1


def test_a_vague_look_decides_nothing_and_says_so() -> None:
    world = World()
    (verdict,) = world.say(world.look(8_000, 6_500, sigma_m=3_000.0))
    assert (verdict.word, verdict.undecided) == ("undecided", 1.0)
    assert kinds(verdict) == {"vague_look"}


@pytest.mark.slow
def test_the_five_probabilities_always_sum_to_one() -> None:
    for seed in (3, 4):
        scene = make_scene(seed)
        judge = Judge(VerdictConfig(), scene.book, scene.hearing, was_seen=scene.was_seen)
        for verdict in judge.judge([case.look for case in scene.cases], scene.now_ns):
            total = verdict.matched + verdict.silent + verdict.doubtful + verdict.unheard + verdict.undecided
            assert total == pytest.approx(1.0, abs=1e-6)
            assert min(verdict.matched, verdict.silent, verdict.doubtful, verdict.unheard) >= 0.0
            assert not any(
                word in reason.text.lower()
                for reason in verdict.reasons
                for word in ("smuggl", "suspect", "crim")
            )


def test_no_looks_no_verdicts() -> None:
    assert World(until_s=20).say() == []
