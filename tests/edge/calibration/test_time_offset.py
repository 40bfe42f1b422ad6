"""Time offset: found to milliseconds from made flights, and "not observable" where it is not."""

import math
from dataclasses import replace

import numpy as np
import pytest

from edge.calibration.attitude import AttitudeHistory
from edge.calibration.image_motion import ImageMotion
from edge.calibration.time_offset import OffsetSettings, TimeOffset, estimate_time_offset
from sim.accuracy.truth.timing_flights import START_NS, MadeFlight, make_flight
from skywarden.errors import InputError
from skywarden.geometry import rotations
from skywarden.geometry.pose import CameraPose, PoseSigmas

SHORT = MadeFlight(seconds=25.0, features=50)
S = 1_000_000_000


def _found(made: MadeFlight, seed: int) -> TimeOffset:
    return estimate_time_offset(*make_flight(made, seed))


def _shifted(motion: ImageMotion, by_ns: int) -> ImageMotion:
    return replace(motion, start_ns=motion.start_ns + by_ns, end_ns=motion.end_ns + by_ns)


@pytest.mark.slow
@pytest.mark.parametrize("offset_s", [-0.25, 0.0, 0.4])
def test_the_offset_of_a_short_flight_is_found_within_its_sigma(offset_s: float) -> None:
    found = _found(replace(SHORT, offset_s=offset_s), seed=3)
    assert found.is_observable, found.reason
    assert found.offset_s is not None
    assert found.sigma_s is not None
    assert abs(found.offset_s - offset_s) < min(0.012, 3.5 * found.sigma_s)
    assert found.sigma_s < 0.006
    assert found.motion_dps == pytest.approx(3.0, rel=0.15)
    assert found.drift_s_per_s is None, "25 s tell no drift"


@pytest.mark.slow
def test_moving_the_stamps_moves_the_offset_by_as_much() -> None:
    motion, attitude = make_flight(SHORT, 4)
    first = estimate_time_offset(motion, attitude)
    later = estimate_time_offset(_shifted(motion, 200_000_000), attitude)
    assert first.offset_s is not None
    assert later.offset_s == pytest.approx(first.offset_s + 0.2, abs=5e-4)


@pytest.mark.slow
def test_a_camera_that_hardly_turns_tells_no_time() -> None:
    found = _found(replace(SHORT, motion_dps=0.6), seed=5)
    assert not found.is_observable
    assert found.offset_s is None
    assert found.sigma_s is None
    assert "deg/s rms only" in found.reason


@pytest.mark.slow
def test_pictures_of_another_flight_are_not_believed() -> None:
    motion, _ = make_flight(SHORT, 6)
    _, attitude = make_flight(SHORT, 7)
    found = estimate_time_offset(motion, attitude)
    assert not found.is_observable, found


@pytest.mark.slow
def test_a_motion_that_repeats_itself_every_second_is_ambiguous() -> None:
    found = _found(replace(SHORT, band_hz=(0.995, 1.005), attitude_noise_deg=0.2), seed=8)
    assert not found.is_observable
    assert "repeats" in found.reason or "edge" in found.reason


@pytest.mark.slow
def test_pictures_outside_the_telemetry_are_counted_and_not_used() -> None:
    motion, attitude = make_flight(SHORT, 9)
    found = estimate_time_offset(_shifted(motion, 3600 * S), attitude)
    assert not found.is_observable
    assert f"0 of {len(motion)} pairs" in found.reason


@pytest.mark.slow
def test_a_hole_in_the_telemetry_costs_only_the_pairs_beside_it() -> None:
    made = replace(SHORT, gap=(10.0, 3.0))
    found = _found(made, seed=10)
    whole = _found(SHORT, seed=10)
    assert found.is_observable, found.reason
    assert found.samples < whole.samples - 30
    assert found.offset_s == pytest.approx(made.offset_s, abs=0.015)


@pytest.mark.slow
def test_attitude_alone_without_places_tells_the_offset_of_a_standing_camera() -> None:
    made = replace(SHORT, speed_mps=0.0)
    motion, attitude = make_flight(made, 11)
    turned = AttitudeHistory(times_ns=attitude.times_ns, q_ned_camera=attitude.q_ned_camera)
    found = estimate_time_offset(motion, turned)
    assert found.offset_s == pytest.approx(made.offset_s, abs=0.012)


@pytest.mark.slow
def test_an_offset_beyond_the_search_is_not_found_by_force() -> None:
    motion, attitude = make_flight(SHORT, 12)
    found = estimate_time_offset(_shifted(motion, 900_000_000), attitude, OffsetSettings(search_s=0.5))
    assert not found.is_observable, found


def test_a_lag_follows_the_drift_only_where_that_is_sure() -> None:
    known = TimeOffset(
        offset_s=0.1, sigma_s=0.001, drift_s_per_s=1e-3, drift_sigma_s_per_s=1e-4,
        is_observable=True, reason="", correlation=1.0, samples=9, reference_ns=START_NS,
    )  # fmt: skip
    assert known.lag_s_at(START_NS + 10 * S) == pytest.approx(0.11)
    assert replace(known, drift_sigma_s_per_s=1e-3).lag_s_at(START_NS + 10 * S) == 0.1


@pytest.mark.slow
def test_a_minute_of_three_degrees_a_second_gives_five_milliseconds() -> None:
    misses, sigmas = [], []
    for seed in range(8):
        made = MadeFlight(offset_s=0.05 * seed)
        found = _found(made, 100 + seed)
        assert found.offset_s is not None
        assert found.sigma_s is not None
        misses.append(found.offset_s - made.offset_s)
        sigmas.append(found.sigma_s)
    assert max(np.abs(misses)) < 0.006
    assert math.sqrt(float(np.mean(np.square(np.array(misses) / sigmas)))) < 1.8


@pytest.mark.slow
def test_a_clock_that_runs_away_is_seen_as_drift() -> None:
    found = _found(replace(SHORT, seconds=120.0, drift_s_per_s=4e-4), seed=13)
    assert found.drift_s_per_s is not None
    assert found.drift_sigma_s_per_s is not None
    assert abs(found.drift_s_per_s - 4e-4) < 3.5 * found.drift_sigma_s_per_s
    assert found.drift_sigma_s_per_s < 1e-4
    assert len(found.windows) >= 3
    assert found.windows[-1].offset_s - found.windows[0].offset_s == pytest.approx(0.04, abs=0.02)


def test_a_history_of_poses_does_not_mind_their_order_or_the_sign_of_quaternions() -> None:
    poses = [_pose(index) for index in range(40)]
    history = AttitudeHistory.from_poses(poses)
    again = AttitudeHistory.from_poses(poses[20:] + poses[:20][::-1])
    assert np.array_equal(history.times_ns, again.times_ns)
    seconds = np.linspace(0.5, 3.0, 23)
    signs = np.where(np.arange(40) % 3 == 0, -1.0, 1.0)[:, None]
    flipped = replace(history, q_ned_camera=history.q_ned_camera * signs)
    assert flipped.rotation_at(seconds) == pytest.approx(history.rotation_at(seconds), abs=1e-12)
    true = rotations.matrix_from_euler_deg(0.0 * seconds, -60.0, 20.0 * seconds)
    assert history.rotation_at(seconds) == pytest.approx(true @ rotations.GIMBAL_FROM_CAMERA, abs=1e-4)
    place = history.position_at(seconds)
    assert place is not None
    assert place[0][:, 0] == pytest.approx(10.0 * seconds, abs=0.05)
    assert place[1] == pytest.approx(np.full(23, 100.0), abs=1e-3)


def _pose(index: int) -> CameraPose:
    seconds = index * 0.1
    turned = rotations.matrix_from_euler_deg(0.0, -60.0, 20.0 * seconds)
    return CameraPose(
        time_ns=START_NS + index * 100_000_000,
        latitude_deg=-20.0 + 10.0 * seconds / 110_703.0,
        longitude_deg=-25.0,
        alt_hae_m=130.0,
        rotation_ned_from_camera=turned @ rotations.GIMBAL_FROM_CAMERA,
        velocity_ned_mps=np.array([10.0, 0.0, 0.0]),
        angular_rate_dps=20.0,
        sigmas=PoseSigmas(),
        level_alt_hae_m=30.0,
        source="made",
    )


@pytest.mark.parametrize("times", [[1, 2, 3], [1, 2, 2, 3], [4, 3, 2, 1]])
def test_what_is_no_history_is_refused(times: list[int]) -> None:
    quaternions = np.tile([1.0, 0.0, 0.0, 0.0], (len(times), 1))
    with pytest.raises(InputError):
        AttitudeHistory(times_ns=np.array(times, dtype=np.int64) * S, q_ned_camera=quaternions)
