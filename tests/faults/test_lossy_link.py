"""Scenario S5, small: bad radio, real code; and the air itself."""

import random

import pytest

from sim.faults import lossy_link
from sim.faults.netem import Air, Weather
from tests.faults.verdicts import told

_JUDGEMENT = (
    "acknowledged and lost",
    "lost",
    "stored twice",
    "times the outbox was not empty after the quiet",
)


@pytest.mark.slow
def test_s5_bad_radio_costs_no_record() -> None:
    """Real radio for what only it shows; narrow and long paths: tests/skywarden/link, in virtual time."""
    plan = lossy_link.Plan(1.0, False, 60.0, losses=(0.30,), narrow=(), held=100, starves_tcp=False)
    result = lossy_link.run("quick", 1, plan)
    text = told(result)
    by_name = {one.name: one for one in result.criteria}
    assert all(by_name[name].is_met for name in _JUDGEMENT), text


@pytest.mark.slow
def test_the_air_is_the_same_for_the_same_seed_and_loses_what_it_should() -> None:
    weather = Weather(delay_s=0.075, jitter_s=0.01, loss=0.3, double=0.01, reorder=0.02)

    def arrivals(seed: int) -> list[list[float]]:
        air = Air(weather, random.Random(seed))
        return [air.carry(100, number * 0.01) for number in range(20_000)]

    first = arrivals(1)
    assert first == arrivals(1)
    assert first != arrivals(2)
    assert sum(not one for one in first) / 20_000 == pytest.approx(0.3, abs=0.01)
    assert sum(len(one) == 2 for one in first) / 14_000 == pytest.approx(0.01, abs=0.004)


def test_a_narrow_air_passes_its_rate_and_drops_what_does_not_fit_its_queue() -> None:
    air = Air(Weather(rate=1_000.0, queue_s=0.5), random.Random(1))
    times = [due_s for number in range(300) for due_s in air.carry(100, number * 0.01)]
    assert max(times) < 3.0 + 0.7
    assert 30 <= len(times) <= 36
    assert times == sorted(times)
