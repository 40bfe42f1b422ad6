"""The fault scenarios, small: what `skywarden sim faults` runs, inside the tests."""

import json
import os
import shutil

import pytest
import structlog

from sim.faults import duplicates, every_write, kills, power, replays
from sim.faults.cli import SCENARIOS, app, conclude, table
from sim.faults.result import Result
from skywarden.errors import UsageError, VerificationError
from tests.faults.verdicts import require_passed


@pytest.mark.slow
def test_s2_loss_of_power_costs_nothing_that_was_promised() -> None:
    require_passed(power.run("quick", 1, losses=60))


@pytest.mark.slow
def test_s7_every_record_is_stored_once_however_often_it_comes() -> None:
    require_passed(duplicates.run("quick", 1))


@pytest.mark.slow
def test_s9_replays_change_nothing_forks_are_kept_aside_old_images_are_found_out() -> None:
    require_passed(replays.run("quick", 1))


@pytest.mark.slow
def test_s1b_death_or_refusal_at_any_write_loses_nothing() -> None:
    total, count, damaged, stuck = every_write.own_disk(80, 1)
    assert (total.is_good, count, damaged, stuck) == (True, 80, 0, 0), total.examples
    assert total.stored_once == 3 * 80


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_s1b_a_real_process_may_die_or_be_refused_at_its_writes() -> None:
    total, count, damaged = every_write.under_strace(2, 2)
    assert (total.is_good, count, damaged) == (True, 2, 0), total.examples


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_s1_killing_real_processes_loses_nothing() -> None:
    plan = kills.Plan(8.0, 2, 20.0, (1.5, 3.0), 60.0)
    result = kills.run("quick", 1, plan)
    waits = [one for one in result.criteria if "first acknowledgement" in one.name]
    result.criteria = [one for one in result.criteria if one not in waits]  # a busy machine starts slowly
    require_passed(result)


def test_the_command_lists_scenarios_and_refuses_others(capsys: pytest.CaptureFixture[str]) -> None:
    assert app([], result_action="return_value") == 0
    assert len(capsys.readouterr().out.splitlines()) == len(SCENARIOS)
    with pytest.raises(UsageError, match="no scenario 'S99'; there are S1, S1b"):
        app(["S99"], result_action="return_value", exit_on_error=False)


def test_what_a_station_logs_meanwhile_does_not_spoil_the_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("SKYWARDEN_LOG_FORMAT", "SKYWARDEN_LOG_VERBOSITY"):
        monkeypatch.setenv(name, os.environ.get(name, ""))
    monkeypatch.setitem(SCENARIOS, "X1", ("tests.faults.talkative", "logs"))
    before = structlog.get_config()
    try:
        assert app(["X1", "--json"], result_action="return_value") == 0
    finally:
        structlog.configure(**before)
    said = capsys.readouterr()
    assert json.loads(said.out)["scenario"] == "X1"
    assert "loudly" in said.err


def test_a_missed_criterion_is_an_error_with_its_name() -> None:
    missed = Result("S7", "quick", 1)
    missed.expect_zero("stored twice", 3)
    assert not missed.is_passed
    assert "MISSED" in table(missed)[1]
    with pytest.raises(VerificationError, match="S7: missed stored twice"):
        conclude(missed)
