"""Faults on order: what is refused, what chance draws, what is listed, and what reaches pictures."""

from collections.abc import Callable, Iterator

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.faults.frame_edit import changed, numbers_of
from sim.faults.gnss import Span
from sim.range.faults import pictures
from sim.range.faults.engine import injectors_for, ordered, spells_of
from sim.range.faults.kinds import KINDS
from sim.range.faults.listing import listed
from sim.range.faults.spell import Spell
from sim.scenario.description import Scenario
from sim.scenario.flown.items import FrameItem, Item, Pixels
from sim.scenario.tables.faults import Fault
from skywarden.cli import run
from skywarden.clock import NS_PER_S
from skywarden.errors import UsageError
from skywarden.mavlink.synth import MessageMaker


def _with(scenario: Scenario, *faults: Fault) -> Scenario:
    return msgspec.structs.replace(scenario, fault=faults)


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (Fault(kind="gremlins", at_s=1.0), "no kind of fault 'gremlins'"),
        (Fault(kind="gnss_jump", at_s=1.0, parameters={"up_m": 5.0}), "no parameter 'up_m'"),
        (Fault(kind="gnss_jump", at_s=1.0, parameters={"east_m": 1e9}), "goes from -20000 to 20000"),
        (Fault(kind="gnss_jump", at_s=1.0, parameters={"east_m": float("nan")}), "not nan"),
        (Fault(kind="gnss_jump", at_s=1.0, parameters={"east_m": True}), "not True"),
        (Fault(kind="wrong_datum", at_s=1.0, parameters={"whose": "mine"}), "receiver or autopilot"),
        (Fault(kind="gnss_drift", at_s=1.0, parameters={"with_velocity": 1.0}), "is true or false"),
        (Fault(kind="revoked_key", at_s=1.0), "skywarden sim faults S8"),
        (Fault(kind="random", at_s=1.0, parameters={"among": "gnss_loss,gremlins"}), "gremlins"),
        (Fault(kind="random", at_s=1.0, parameters={"longest_s": 1.0}), "is below shortest_s"),
    ],
)
def test_what_cannot_be_ordered_is_refused_with_a_sentence(
    drill_scenario: Scenario, fault: Fault, says: str
) -> None:
    scenario = _with(drill_scenario, fault)
    with pytest.raises(UsageError, match=says):
        injectors_for(scenario, scenario.platforms[0])


def test_chance_draws_the_same_faults_for_a_seed_and_others_for_another(drill_scenario: Scenario) -> None:
    scenario = _with(drill_scenario, Fault(kind="random", at_s=2.0, parameters={"count": 6}))
    first = ordered(scenario)
    assert len(first) == 6
    assert first == ordered(scenario)
    assert first != ordered(msgspec.structs.replace(scenario, seed=scenario.seed + 1))
    assert all(KINDS[one.kind].where != "process" for one in first)
    assert len(spells_of(scenario, "sea-1")) == 6


def test_every_kind_says_what_is_expected_of_the_chain() -> None:
    for one in listed():
        assert one["about"].endswith(".")
        expected = one["expected"]
        if not one["can_be_ordered"]:
            assert one["real_processes"]
        elif expected["reported_as"]:
            assert expected["within_s"] > 0.0
        assert one["kind"] in KINDS
        assert expected["degraded_to"] or not one["can_be_ordered"]


def test_the_list_is_printed_for_people_and_for_scripts(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["sim", "scenario", "faults"]) == 0
    assert "gnss_drift" in capsys.readouterr().out
    assert run(["sim", "scenario", "faults", "--json"]) == 0
    assert len(msgspec.json.decode(capsys.readouterr().out)) == len(KINDS)


@given(
    off=st.floats(-3.0, 3.0), index=st.integers(0, 3), boot_ms=st.integers(0, 2**32 - 1)
)  # numbers of arrays can be changed too, and the frame stays whole
def test_a_changed_number_of_an_array_is_read_back(off: float, index: int, boot_ms: int) -> None:
    raw = MessageMaker(1, 154).gimbal_device_attitude_status(
        time_boot_ms=boot_ms, q=(1.0, 0.0, 0.0, 0.0), flags=76, delta_yaw_rad=0.5
    )
    name = "GIMBAL_DEVICE_ATTITUDE_STATUS"
    told = numbers_of(changed(raw, {name: lambda _: {f"q[{index}]": off}}))
    assert told is not None
    assert told[0] == name
    assert told[1][f"q[{index}]"] == pytest.approx(off, abs=1e-6)
    assert told[1]["time_boot_ms"] == boot_ms


def _spell(kind: str, **numbers: float) -> Spell:
    span = Span(start_ns=2 * NS_PER_S, end_ns=4 * NS_PER_S)
    return Spell(kind=kind, number=0, seed=1, platform="sea-1", span=span, numbers=numbers)


def _of(image: Pixels) -> Callable[[], Pixels]:
    return lambda: image


def _frames() -> Iterator[Item]:
    for number in range(6):
        image = np.full((48, 64, 3), 10 * number, np.uint8)
        yield FrameItem(
            time_ns=number * NS_PER_S,
            platform_id="sea-1",
            sensor_id="eo",
            frame_number=number,
            exposed_s=float(number),
            pixels=_of(image),
        )


def _after(items: Iterator[Item]) -> list[FrameItem]:
    return [item for item in items if isinstance(item, FrameItem)]


def test_faults_reach_the_pixels_of_drawn_pictures_within_their_time_alone() -> None:
    black = _after(pictures.black(_spell("frames_black")).apply(_frames()))
    assert [int(one.pixels().max()) for one in black] == [0, 10, 0, 0, 40, 50]
    frozen = _after(pictures.frozen(_spell("frames_frozen")).apply(_frames()))
    assert [int(one.pixels().max()) for one in frozen] == [0, 10, 20, 20, 40, 50]
    small = _after(pictures.resized(_spell("resolution_change", share=0.5)).apply(_frames()))
    assert [one.pixels().shape[1] for one in small] == [64, 64, 32, 32, 64, 64]
    cut = _after(pictures.corrupt(_spell("frames_corrupt", share=1.0)).apply(_frames()))
    assert [one.data is None for one in cut] == [True, True, False, False, True, True]


def test_late_frames_come_in_order_and_all_of_them() -> None:
    late = _after(pictures.Late(_spell("frames_late", delay_s=3.0)).apply(_frames()))
    assert [one.frame_number for one in late] == list(range(6))
    times = [one.time_ns for one in late]
    assert times == sorted(times)
    assert times[2] == 5 * NS_PER_S
