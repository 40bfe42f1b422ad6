"""Flights past two vessels with errors drawn by source: speeds that are right, sigmas that are honest."""

import pytest

from sim.accuracy.tracks import speed_results
from sim.accuracy.truth.short_flight import SET_A, SET_B
from sim.accuracy.truth.vessel_flight import PATHS, VesselResult, fly
from sim.bench import track as bench

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def flights() -> dict[str, list[VesselResult]]:
    return {
        errors.name: [result for path in PATHS for seed in range(10) for result in fly(seed, errors, path)]
        for errors in (SET_A, SET_B)
    }


def test_speed_and_course_are_within_the_goal_with_calibrated_errors(
    flights: dict[str, list[VesselResult]],
) -> None:
    found = speed_results([result for result in flights["B"] if result.name == "under way"])
    assert found.one_track >= 29
    assert found.speed_rms_mps <= 0.25
    assert found.course_rms_deg <= 3.0
    assert found.called_moving == found.one_track


@pytest.mark.parametrize("name", ["A", "B"])
def test_stated_velocities_are_neither_boastful_nor_timid(
    flights: dict[str, list[VesselResult]], name: str
) -> None:
    found = speed_results(flights[name])
    assert 0.4 <= found.nees <= 1.4
    assert found.velocity_90 >= 0.82


@pytest.mark.parametrize("name", ["A", "B"])
def test_a_vessel_at_anchor_is_hardly_ever_called_moving(
    flights: dict[str, list[VesselResult]], name: str
) -> None:
    anchored = [result for result in flights[name] if result.name == "at anchor"]
    assert sum(result.moving_share > 0.0 for result in anchored) <= 3
    assert speed_results(anchored).called_moving <= 1


def test_a_flight_gives_the_same_numbers_every_time() -> None:
    def run() -> list[float]:
        states = [result.state for result in fly(3, SET_B, "closing", seconds=6.0)]
        return [number for state in states if state for number in (state.east_m, state.north_mps)]

    first = run()
    assert len(first) == 4
    assert run() == first


def test_identity_is_no_worse_than_bytetracks_on_the_same_detections() -> None:
    switches, idf1 = {"ours": 0, "peer": 0}, {"ours": 0.0, "peer": 0.0}
    for objects, frames, seeds in ((50, 90, (1, 2, 3)), (200, 45, (1, 2, 3, 4, 5))):
        for seed in seeds:
            scene = bench.scene(objects, frames, seed)
            for name, answer in zip(("ours", "peer"), bench.compare(scene), strict=True):
                found = bench.scores(scene, answer)
                switches[name] += found["switches"]
                idf1[name] += found["idf1"]
    assert switches["ours"] <= switches["peer"]
    assert idf1["ours"] >= idf1["peer"]
