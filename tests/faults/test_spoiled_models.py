"""Scenario S12, small: no spoiled model is loaded, and the one in charge goes on."""

import pytest

from sim.faults.cli import SCENARIOS
from sim.faults.spoiled_models import run


@pytest.mark.slow
def test_every_spoiled_model_is_refused_while_the_one_in_charge_goes_on() -> None:
    assert "S12" in SCENARIOS
    result = run("quick", seed=3)
    assert [one.name for one in result.criteria if not one.is_met] == []
