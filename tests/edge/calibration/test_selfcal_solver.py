"""The solver of self-calibration: recovers what is there, holds what it cannot see, names liars, proves."""

import math
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest

from edge.calibration.control_points import associate
from edge.calibration.looks import (
    PARAMETERS,
    Looks,
    LooksBuilder,
    corrected,
    ground_misses_m,
    internal_units,
    slopes,
)
from edge.calibration.solver import (
    PRIOR_SIGMAS,
    SolverConfig,
    best_sigmas,
    estimate,
    find_lies,
    is_significant,
    one_sided,
    prove,
)
from sim.accuracy.truth.ais_flights import CAMERA, ORIGIN, AisFlight, SimulatedFlight, simulate
from sim.calibrate import folds_and_blocks
from skywarden.errors import InputError
from skywarden.geometry import rotations
from skywarden.geometry.pose import CameraPose, PoseSigmas


@pytest.fixture(scope="module")
def honest() -> SimulatedFlight:
    return simulate(AisFlight(seed=11, is_spoofed=False))


@pytest.fixture(scope="module")
def spoofed() -> SimulatedFlight:
    return simulate(AisFlight(seed=12))


def _some_corrections() -> np.ndarray:
    values = dict.fromkeys(PARAMETERS, 0.0) | {
        "boresight_roll_deg": 0.4,
        "boresight_pitch_deg": -0.3,
        "boresight_yaw_deg": 0.2,
        "heading_deg": 1.5,
        "elevation_deg": 0.1,
        "time_offset_s": 0.08,
        "focal_ln": 0.01,
        "north_m": 2.0,
        "east_m": -1.0,
        "down_m": 3.0,
    }
    return internal_units([values[name] for name in PARAMETERS])


def test_slopes_are_what_small_changes_do(honest: SimulatedFlight) -> None:
    looks = honest.looks
    step = 1e-6
    # about a point where the residuals are small, as they are where the solver ends
    place = _on_the_rays(looks, np.zeros(len(PARAMETERS)))
    looks = replace(looks, place_in_enu=place)
    at = slopes(looks, np.zeros(len(PARAMETERS)), np.zeros((len(looks), 3)))
    assert np.abs(at.residual).max() < 1e-9
    for number, name in enumerate(PARAMETERS):
        change = np.zeros(len(PARAMETERS))
        change[number] = step
        moved = slopes(looks, change, np.zeros((len(looks), 3)))
        back = slopes(looks, -change, np.zeros((len(looks), 3)))
        numeric = (moved.residual - back.residual) / (2 * step)
        np.testing.assert_allclose(at.by_parameter[:, :, number], numeric, atol=2e-6, err_msg=name)
    for axis in range(3):
        offset = np.zeros((len(looks), 3))
        offset[:, axis] = 1e-3
        moved = slopes(looks, np.zeros(len(PARAMETERS)), offset)
        np.testing.assert_allclose(at.by_place[:, :, axis], moved.residual / 1e-3, atol=1e-7)


def _on_the_rays(looks: Looks, corrections: np.ndarray) -> np.ndarray:
    """Places that these corrections see exactly where the rays point."""
    camera, rotation, rays, place = corrected(looks, corrections)
    slant = np.linalg.norm(place - camera, axis=1, keepdims=True)
    moved = looks.thing_velocity_enu_mps * corrections[PARAMETERS.index("time_offset_s")]
    return np.asarray(camera + slant * np.einsum("nij,nj->ni", rotation, rays) + moved)


def test_what_was_put_in_comes_out_of_looks_without_noise(honest: SimulatedFlight) -> None:
    truth = _some_corrections()
    truth[PARAMETERS.index("elevation_deg")] = 0.0  # is the pitch of a camera that does not roll
    looks = replace(
        honest.looks,
        place_in_enu=_on_the_rays(honest.looks, truth),
        thing_sigma_m=np.zeros_like(honest.looks.thing_sigma_m),
        place_covariance_m2=np.zeros_like(honest.looks.place_covariance_m2),
        ray_sigma_rad=np.full(len(honest.looks), 1e-6),
    )
    open_ = {name: 5.0 for name in PARAMETERS if name != "elevation_deg"} | {"time_offset_s": 1.0}
    config = SolverConfig(prior_sigmas=open_, look_attitude_deg=1e-4, look_position_m=1e-4)
    found = estimate(looks, config)
    assert not found.unobservable
    np.testing.assert_allclose(found.corrections(), truth, atol=1e-3)


def test_biases_are_recovered_within_their_stated_sigmas(honest: SimulatedFlight) -> None:
    found = estimate(honest.looks)
    assert not found.unobservable
    for name, truth in honest.truth.items():
        assert abs(found.value(name) - truth) < 3.5 * found.sigma(name), name
    assert found.sigma("heading_deg") < 0.15
    assert found.sigma("time_offset_s") < 0.012


def test_silent_vessels_are_placed_at_least_twice_as_well(honest: SimulatedFlight) -> None:
    found = estimate(honest.looks)
    before = ground_misses_m(honest.silent, np.zeros(len(PARAMETERS)))
    after = ground_misses_m(honest.silent, found.corrections(is_lasting_only=True))
    assert np.hypot(*after.T).mean() < 0.5 * np.hypot(*before.T).mean()


@pytest.mark.slow
def test_the_spoofed_vessel_is_named_and_no_other(spoofed: SimulatedFlight) -> None:
    lies = find_lies(spoofed.looks)
    assert [lie.thing for lie in lies] == [spoofed.spoofed]
    assert lies[0].offset_m > 30.0


def test_honest_vessels_are_not_called_liars(honest: SimulatedFlight) -> None:
    assert find_lies(honest.looks) == []


def test_two_that_contradict_each_other_are_not_told_apart(spoofed: SimulatedFlight) -> None:
    looks = spoofed.looks
    liar = looks.things.index(str(spoofed.spoofed))
    other = next(number for number in range(len(looks.things)) if number != liar)
    assert find_lies(looks.of((looks.thing == liar) | (looks.thing == other))) == []


def test_outliers_among_the_looks_lose_their_weight(honest: SimulatedFlight) -> None:
    place = honest.looks.place_in_enu.copy()
    place[::17] += np.array([300.0, -200.0, 0.0])
    found = estimate(replace(honest.looks, place_in_enu=place))
    assert found.weights[::17].max() < 0.1
    for name, truth in honest.truth.items():
        assert abs(found.value(name) - truth) < 4.0 * found.sigma(name), name


def test_time_is_not_told_by_a_camera_that_neither_turns_nor_moves() -> None:
    flight = simulate(AisFlight(seed=3, is_spoofed=False, is_hovering=True, turn_dps=0.0))
    found = estimate(flight.looks)
    assert "time_offset_s" in found.unobservable
    assert "0.0 deg/s" in found.unobservable["time_offset_s"]
    assert found.value("time_offset_s") == 0.0
    assert found.sigma("time_offset_s") == pytest.approx(0.1)


def test_looks_from_one_side_at_unknown_points_tell_no_heading() -> None:
    flight = simulate(
        AisFlight(
            seed=4,
            is_spoofed=False,
            is_hovering=True,
            turn_dps=0.0,
            spread_deg=4.0,
            reach_m=(600.0, 640.0),
            fastest_mps=0.0,
        )
    )
    looks = replace(flight.looks, thing_sigma_m=np.tile([300.0, 300.0, 3.0], (5, 1)))
    found = estimate(looks)
    assert {"heading_deg", "boresight_pitch_deg", "time_offset_s"} <= set(found.unobservable)
    assert "of azimuth" in found.unobservable["heading_deg"]
    assert found.value("heading_deg") == 0.0
    assert found.sigma("heading_deg") == pytest.approx(2.0)


def test_of_two_errors_that_look_alike_one_carries_both(honest: SimulatedFlight) -> None:
    """Heading and yaw of the boresight are one thing to a camera that always looks equally far down."""
    flight = simulate(
        AisFlight(seed=5, is_spoofed=False, is_hovering=True, reach_m=(600.0, 640.0), fastest_mps=0.0)
    )
    priors = {"heading_deg": 1.0, "boresight_yaw_deg": 1.0}
    found = estimate(flight.looks, SolverConfig(prior_sigmas=priors, look_attitude_deg=2.0))
    assert len(found.unobservable) == 1
    held = next(iter(found.unobservable))
    told = next(name for name in found.names if name != held)
    assert abs(found.value(told)) > 0.2
    number, other = found.names.index(told), found.names.index(held)
    assert found.covariance[number, other] < -0.5  # what the one has too much the other has too little
    assert found.sigma(told) > 0.7


def test_covariance_is_symmetric_and_positive(spoofed: SimulatedFlight) -> None:
    found = estimate(spoofed.looks)
    np.testing.assert_allclose(found.covariance, found.covariance.T, rtol=1e-9)
    assert np.linalg.eigvalsh(found.covariance).min() > 0.0


def test_residuals_larger_than_stated_make_larger_sigmas(honest: SimulatedFlight) -> None:
    noise = np.random.default_rng(1).normal(0, 25.0, honest.looks.place_in_enu.shape) * [1, 1, 0]
    rough = estimate(replace(honest.looks, place_in_enu=honest.looks.place_in_enu + noise))
    fine = estimate(honest.looks)
    assert fine.scale < 1.3
    assert rough.scale > 2.0
    assert rough.sigma("heading_deg") > 1.3 * fine.sigma("heading_deg")


def test_a_calibration_that_helps_is_proven_on_vessels_it_did_not_see(honest: SimulatedFlight) -> None:
    fold, block = folds_and_blocks(honest.looks)
    proof = prove(honest.looks, fold_of=fold, block_of=block, is_lasting_only=True)
    assert proof.is_passed
    assert proof.folds == 5
    assert proof.after_rms_m < 0.7 * proof.before_rms_m
    assert proof.sentence.startswith("accepted: held-out misses")


@pytest.mark.slow
def test_where_there_is_nothing_to_find_nothing_is_accepted() -> None:
    accepted = 0
    for seed in range(6):
        looks = simulate(AisFlight(seed=seed, is_spoofed=False, is_biased=False, vessels=4, looks=10)).looks
        fold, block = folds_and_blocks(looks)
        accepted += prove(looks, fold_of=fold, block_of=block, is_lasting_only=True).is_passed
    assert accepted <= 1


def test_too_few_blocks_are_no_proof(honest: SimulatedFlight) -> None:
    looks = honest.looks.of(honest.looks.thing < 2)
    proof = prove(looks, fold_of=looks.thing, block_of=looks.thing)
    assert not proof.is_passed
    assert "2 independent blocks" in proof.sentence


@pytest.mark.slow
def test_tracks_find_their_vessels_though_all_are_seen_far_off() -> None:
    """A heading that is 4 degrees wrong moves each vessel by more than half of their spacing."""
    flight = simulate(AisFlight(seed=21, vessels=4, looks=8, is_spoofed=False))
    looks = flight.looks
    turned = rotations.matrix_from_vector_rad([0.0, 0.0, -math.radians(3.0)])
    looks = replace(looks, enu_from_camera=turned @ looks.enu_from_camera)
    pairs: dict[str, tuple[str, str]] = {}
    parts: list[Looks] = []
    names = looks.things
    for track in range(4):
        own = looks.of(looks.thing == track)
        for vessel in range(4):
            told = looks.place_in_enu[looks.thing == vessel].mean(axis=0)
            number = len(pairs)
            pairs[f"t{track} {names[vessel]}"] = (f"t{track}", names[vessel])
            place = own.place_in_enu if vessel == track else np.tile(told, (len(own), 1))
            parts.append(replace(own, thing=np.full(len(own), number), place_in_enu=place))
    joined = _joined(parts, tuple(pairs))
    chosen = associate(joined, pairs)
    assert len(chosen) >= 3
    for track_name, vessel_name in chosen.items():
        assert vessel_name == names[int(track_name[1:])]


def _joined(parts: list[Looks], things: tuple[str, ...]) -> Looks:
    whole: dict[str, Any] = {
        field.name: np.concatenate([getattr(part, field.name) for part in parts])
        for field in fields(Looks)
        if isinstance(getattr(parts[0], field.name), np.ndarray)
    }
    whole["thing_sigma_m"] = np.tile(parts[0].thing_sigma_m[0], (len(things), 1))
    return replace(parts[0], **whole, things=things)


def test_nonsense_is_refused() -> None:
    with pytest.raises(InputError, match="no parameter 'yaw'"):
        SolverConfig(prior_sigmas={"yaw": 1.0})
    with pytest.raises(InputError, match="expected more than 0"):
        SolverConfig(prior_sigmas={"heading_deg": math.nan})
    with pytest.raises(InputError, match="no looks"):
        LooksBuilder(ORIGIN).build()


def test_a_pixel_without_a_ray_is_no_look() -> None:
    builder = LooksBuilder(ORIGIN)
    camera = replace(CAMERA, distortion=(-0.5, 0.0, 0.0, 0.0, 0.0))
    pose = CameraPose(
        time_ns=0,
        latitude_deg=43.2,
        longitude_deg=5.1,
        alt_hae_m=300.0,
        rotation_ned_from_camera=rotations.GIMBAL_FROM_CAMERA,
        velocity_ned_mps=np.zeros(3),
        angular_rate_dps=0.0,
        sigmas=PoseSigmas(),
        level_alt_hae_m=None,
        source="test",
    )
    assert not builder.add(pose, camera, (50_000.0, 0.0), sigma_px=1.0, thing="far", place=ORIGIN)
    assert len(builder) == 0


def test_corrections_that_chance_explains_are_not_significant(honest: SimulatedFlight) -> None:
    assert is_significant(estimate(honest.looks))
    nothing = simulate(AisFlight(seed=8, is_spoofed=False, is_biased=False, gnss_m=(0.3, 0.3)))
    found = estimate(nothing.looks)
    assert not is_significant(found)
    held = replace(found, unobservable=dict.fromkeys(found.names, "why"))
    assert not is_significant(held)


def test_looks_to_one_side_are_called_that(honest: SimulatedFlight) -> None:
    assert one_sided(honest.looks) is None
    narrow = AisFlight(
        seed=9, is_spoofed=False, is_hovering=True, spread_deg=5.0, reach_m=(600.0, 650.0), fastest_mps=0.1
    )
    reason = one_sided(simulate(narrow).looks)
    assert reason is not None
    assert "all looks are from one side: they span" in reason


def test_no_estimate_is_surer_than_the_bound_and_an_honest_flight_comes_near_it(
    honest: SimulatedFlight,
) -> None:
    found, best = estimate(honest.looks), best_sigmas(honest.looks)
    assert set(best) == set(found.names)
    for name in found.names:
        assert 0.99 * best[name] < found.sigma(name) < 1.35 * best[name], name
    level = best_sigmas(honest.looks, SolverConfig(prior_sigmas=PRIOR_SIGMAS | {"down_m": 0.3}))
    assert level["boresight_pitch_deg"] < 0.7 * best["boresight_pitch_deg"]
    with pytest.raises(InputError):
        best_sigmas(honest.looks.of(np.zeros(len(honest.looks), dtype=bool)))
