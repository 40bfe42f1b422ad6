"""Each kind of fault, ordered in a short flight: said in time, over in time, or honestly not."""

from collections.abc import Sequence
from typing import Any

import pytest

from sim.range.faults.kinds import KINDS
from tests.sim.range_faults.conftest import Drill

SAID: tuple[tuple[Any, ...], ...] = (
    ("gnss_loss", {}, "no_fix"),
    ("gnss_frozen", {}, "gnss_frozen"),
    ("gnss_jump", {}, "gnss_glitch"),
    ("gnss_drift", {}, "gnss_drift"),
    ("wrong_datum", {}, "datum_alarm"),
    ("wrong_datum", {"whose": "autopilot"}, "gnss_glitch"),
    ("gimbal_flags", {}, "gimbal_stale"),
    ("gimbal_silent", {}, "gimbal_stale"),
    ("clock_jump", {}, "gnss_time"),
    ("clock_skew", {"rate": 0.5}, "clock_off"),
    ("boot_clock_jump", {}, "gnss_time"),
    ("frames_dropped", {}, "stalled"),
    ("frames_frozen", {}, "frozen"),
    ("frames_black", {}, "black"),
    ("frames_corrupt", {}, "stalled"),
    ("frames_late", {}, "stalled"),
    ("resolution_change", {}, "resolution_changed"),
    ("overheating", {}, "throttled"),
    ("telemetry_loss", {}, "telemetry_stale"),
    ("mavlink_impostor", {}, "gnss_disagree"),
)
UNSAID: tuple[tuple[Any, ...], ...] = (
    ("compass_error", {}, 20.0),
    ("gimbal_stuck", {}, 12.0),
    ("gimbal_lag", {"delay_s": 3.0}, 9.0),
    ("gimbal_flags", {"claims": "other"}, 100.0),
)
HARMLESS: tuple[tuple[Any, ...], ...] = (
    ("mavlink_garbage", {}),
    ("mavlink_stranger", {}),
    ("ais_silence", {}),
    ("link_loss", {}),
    ("link_delay", {}),
    ("link_duplication", {}),
    ("link_reordering", {}),
    ("link_rate", {"bytes_per_s": 100.0}),
)


QUICK = {"gnss_jump", "frames_black", "mavlink_impostor", "gimbal_stuck", "mavlink_garbage"}


def _quick(cases: Sequence[tuple[Any, ...]]) -> list[Any]:
    """The same cases, all but a few marked slow: each flies for half a minute of its own."""
    return [one if one[0] in QUICK else pytest.param(*one, marks=pytest.mark.slow) for one in cases]


@pytest.mark.parametrize(("kind", "parameters", "word"), _quick(SAID))
def test_a_fault_is_said_in_time_and_taken_back_in_time(
    drill: Drill, kind: str, parameters: dict[str, float | str], word: str
) -> None:
    done = drill(kind, **parameters)
    assert done.only.verdict == "noticed", done.only
    assert word in done.only.reported_as
    assert done.faults.false_notices == 0, done.faults.false


@pytest.mark.parametrize(("kind", "parameters", "worse_than_m"), _quick(UNSAID))
def test_what_no_instrument_can_tell_shows_in_the_places_and_is_not_called_noticed(
    drill: Drill, kind: str, parameters: dict[str, float | str], worse_than_m: float
) -> None:
    done = drill(kind, **parameters)
    assert done.only.verdict == "nothing to notice"
    assert done.only.rms_m is not None
    assert done.only.rms_m > worse_than_m
    assert done.faults.false_notices == 0


@pytest.mark.parametrize(("kind", "parameters"), _quick(HARMLESS))
def test_what_the_chain_is_made_for_costs_no_place_and_no_sighting(
    drill: Drill, kind: str, parameters: dict[str, float]
) -> None:
    done = drill(kind, **parameters)
    assert done.only.verdict == "nothing to notice"
    assert done.only.placed == done.only.looks > 10
    assert done.faults.false_notices == 0
    link = done.watched.links["sea-1"]
    assert link.sent == link.arrived > 40


def test_every_kind_that_can_be_ordered_is_put_to_the_test_above() -> None:
    tried = {one[0] for one in (*SAID, *UNSAID, *HARMLESS)}
    assert tried == {name for name, kind in KINDS.items() if kind.where != "process"}


def test_a_flight_without_a_fault_says_nothing(drill: Drill) -> None:
    done = drill("link_delay", delay_s=0.0)
    assert done.watched.notices == {"sea-1": []}


def test_a_dead_link_delays_and_loses_nothing(drill: Drill) -> None:
    done = drill("link_loss")
    link = done.watched.links["sea-1"]
    assert link.worst_delay_s is not None
    assert 8.0 < link.worst_delay_s < 11.0
    assert link.sent == link.arrived
