"""The ladder on a narrow link: alerts come at once, and more of value comes than in any plain order."""

import pytest

from sim.bench.value import Outcome, deliver, patrol


@pytest.mark.slow
def test_on_500_bytes_a_second_the_ladder_brings_more_and_sooner() -> None:
    items = patrol(seed=9)
    found = {name: Outcome() for name in ("fifo", "newest", "ladder")}
    for name, outcome in found.items():
        deliver(items, name, 500, outcome)
    ladder = found["ladder"]
    assert ladder.unheard == 0
    for name in ("fifo", "newest"):
        assert ladder.value > 1.5 * found[name].value
        assert sorted(ladder.alert_s)[len(ladder.alert_s) // 2] < 60.0
        assert found[name].unheard > 10
        assert ladder.sent_bytes <= found[name].sent_bytes * 1.05
