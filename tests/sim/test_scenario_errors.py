"""What a scenario injects is what it states, and what it states is what analysis and edge believe."""

import math
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edge.config import EdgeConfig, SigmaConfig
from sim.accuracy.containment import honesty_of
from sim.accuracy.truth.scenario_flights import drawn_looks
from sim.edge_toml import edge_toml
from sim.scenario.description import Scenario, load_scenario
from sim.scenario.platform import PlatformTruth
from sim.scenario.runner import render_flight, sensor_of
from skywarden.config import load_config
from skywarden.errors import FlightError
from skywarden.flight.reader import FlightReader
from skywarden.geometry.pose import PoseSigmas


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    return load_scenario("coast-and-hill")


def _truth(scenario: Scenario, platform_id: str, seed: int) -> PlatformTruth:
    drawn = msgspec.structs.replace(scenario, seed=seed)
    return PlatformTruth(drawn, drawn.platform(platform_id))


@pytest.mark.slow
def test_the_biases_of_many_flights_spread_as_stated(scenario: Scenario) -> None:
    truths = [_truth(scenario, "hill-1", seed) for seed in range(400)]
    errors = truths[0].platform.errors
    tilt, heading = np.std([t.bias_deg[:2] for t in truths]), np.std([t.bias_deg[2] for t in truths])
    assert tilt == pytest.approx(errors.tilt_bias_deg, rel=0.1)
    assert heading == pytest.approx(errors.heading_bias_deg, rel=0.1)
    assert np.std([t.gimbal_bias_deg for t in truths]) == pytest.approx(errors.gimbal_bias_deg, rel=0.1)
    drift = np.std([t.drift_at(10.0) for t in truths], axis=0)
    stated = [errors.horizontal_m, errors.horizontal_m, errors.vertical_m]
    assert drift == pytest.approx(np.array(stated), rel=0.1)


def test_the_stated_sigmas_belong_to_the_mount(scenario: Scenario) -> None:
    fixed, gimbal = (_truth(scenario, platform_id, 1).sigmas for platform_id in ("hill-1", "coast-1"))
    assert fixed.tilt_deg == pytest.approx(math.hypot(0.15, 0.05))
    assert gimbal.tilt_deg == pytest.approx(math.hypot(0.1, 0.03))
    assert fixed.boresight_deg == gimbal.boresight_deg == 0.1


@pytest.mark.slow
def test_a_rendered_flight_states_its_error_budget_to_analysis_and_edge(
    scenario: Scenario, tmp_path: Path
) -> None:
    flight = render_flight(scenario, "hill-1", tmp_path / "flight", seconds=0.5, fps=2.0)
    reader = FlightReader(flight)
    believed = SigmaConfig.of_flight(reader.info.sensors[0])
    truth = PlatformTruth(scenario, scenario.platform("hill-1"))
    assert believed.pose() == truth.sigmas
    assert believed.pose() != PoseSigmas()
    text = edge_toml(
        reader,
        platform_id="hill-1",
        state=tmp_path / "state",
        mavlink="udpin:127.0.0.1:0",
        inbox=tmp_path / "inbox",
    )
    (tmp_path / "edge.toml").write_text(text, encoding="utf-8")
    config = load_config(EdgeConfig, tmp_path / "edge.toml", prefix="SKYWARDEN_TEST", environ={})
    assert config.sensor[0].sigma == believed
    assert believed.recorded() == reader.info.sensors[0].sigma


def test_a_flight_without_a_budget_gets_the_usual_one_with_its_own_time_offset(scenario: Scenario) -> None:
    sensor = sensor_of(scenario.platform("hill-1"), _truth(scenario, "hill-1", 1))
    silent = msgspec.structs.replace(sensor, sigma=None, frame_lag_sigma_s=0.3)
    assert SigmaConfig.of_flight(silent) == SigmaConfig(time_offset_s=0.3)
    assert sensor.sigma is not None
    absurd = msgspec.structs.replace(sensor.sigma, heading_deg=5000.0)
    with pytest.raises(FlightError, match=r"error budget of sensor eo.*heading_deg"):
        SigmaConfig.of_flight(msgspec.structs.replace(sensor, sigma=absurd))


@pytest.mark.slow
@pytest.mark.parametrize("platform_id", ["coast-1", "hill-1"])
def test_looks_of_a_scenario_are_as_far_off_as_is_said(scenario: Scenario, platform_id: str) -> None:
    """Some thirty flights, with bounds that a budget twice too wide or too small would miss."""
    found = honesty_of(drawn_looks(scenario, platform_id, flights=45))
    assert found.count >= 25
    assert found.ellipse >= 0.72
    assert 0.5 <= found.anees <= 1.8
