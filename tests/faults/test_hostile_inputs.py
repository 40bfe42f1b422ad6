"""Hostile and broken inputs, small: forged clients, poisoned MAVLink, clocks that jump, things too large."""

import pytest

from sim.faults import clock_jumps, forged_clients, oversize, poisoned_mavlink
from tests.faults.verdicts import require_passed

_POISON = poisoned_mavlink.Plan(60_000, 6_000, 1.0, 30_000)


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_s10_poisoned_mavlink_costs_no_good_frame_no_memory_and_no_exception() -> None:
    require_passed(poisoned_mavlink.run("quick", 1, _POISON), "messages/s")


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # it kills a thread
def test_s8_nobody_gets_in_who_must_not_and_the_handler_comes_back() -> None:
    require_passed(
        forged_clients.run("quick", 1, forged_clients.Plan(2, 20, floods=1, flood_s=3.0)), "p99", "worst s"
    )


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_s14_what_is_too_large_is_refused_and_the_queue_goes_on() -> None:
    require_passed(oversize.run("quick", 1, oversize.Plan(160, rounds=1, messages=2)), "p99", "worst s")


@pytest.mark.slow
def test_s6_clocks_that_jump_cost_no_record_and_let_nobody_in_for_longer() -> None:
    require_passed(clock_jumps.run("quick", 1))
