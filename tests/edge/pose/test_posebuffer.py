"""The pose at the instant of a frame: interpolated, in the right axes, or refused with the reason."""

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pytest

from edge.integrity import Verdict
from edge.pose import AttitudeSample, GimbalSample, PoseBuffer, PoseHistory, PositionSample
from skywarden.geometry import geodesy, rotations
from skywarden.geometry.heights import AboveHomeM, HaeM, MslM
from skywarden.geometry.pose import CameraPose, NoPose, PoseSigmas

T0 = 1_760_000_000_000_000_000
S = 1_000_000_000


@dataclass(frozen=True)
class AMount:
    """A mount by its numbers."""

    kind: Literal["gimbal", "fixed"] = "fixed"
    roll_deg: float = 0.0
    pitch_deg: float = 0.0
    yaw_deg: float = 0.0
    gimbal_axes: Literal["earth", "body"] = "earth"
    gimbal_device_id: int | None = None


NADIR = AMount(pitch_deg=-90.0)


def _position(at_s: float, **changes: Any) -> PositionSample:
    sample = PositionSample(
        time_ns=T0 + round(at_s * S),
        received_ns=T0 + round(at_s * S),
        latitude_deg=45.0 + 1e-5 * at_s,
        longitude_deg=7.0,
        alt_hae_m=HaeM(500.0 + 2.0 * at_s),
        alt_msl_m=MslM(450.0 + 2.0 * at_s),
        alt_rel_m=AboveHomeM(100.0 + 2.0 * at_s),
        velocity_ned_mps=(1.1, 0.0, -2.0),
        heading_deg=90.0,
        horizontal_m=None,
        vertical_m=None,
    )
    return sample._replace(**changes)


def _attitude(at_s: float, *, roll: float = 0.0, pitch: float = 0.0, heading: float = 0.0) -> AttitudeSample:
    q = rotations.quaternion_from_euler_deg(roll, pitch, heading)
    w, x, y, z = (float(part) for part in q)
    return AttitudeSample(time_ns=T0 + round(at_s * S), q_ned_body=(w, x, y, z), rates_rps=(0.0, 0.0, 0.0))


def _history(seconds: float = 4.0, *, hz: float = 5.0) -> PoseHistory:
    history = PoseHistory()
    for number in range(round(seconds * hz) + 1):
        at_s = number / hz
        history.add_position(_position(at_s))
        history.add_attitude(_attitude(at_s, heading=90.0 + 10.0 * at_s))
    return history


def _buffer(history: PoseHistory | None, mount: AMount = NADIR) -> PoseBuffer:
    return PoseBuffer(lambda: history, mount=mount, sigmas=PoseSigmas())


def _pose(buffer: PoseBuffer, at_s: float) -> CameraPose:
    pose = buffer.pose_at(T0 + round(at_s * S))
    assert isinstance(pose, CameraPose), pose
    return pose


def _refusal(buffer: PoseBuffer, at_s: float) -> NoPose:
    pose = buffer.pose_at(T0 + round(at_s * S))
    assert isinstance(pose, NoPose), pose
    return pose


def test_position_and_attitude_are_those_between_the_samples() -> None:
    pose = _pose(_buffer(_history()), 1.27)
    assert pose.latitude_deg == pytest.approx(45.0 + 1.27e-5, abs=1e-10)
    assert pose.alt_hae_m == pytest.approx(502.54, abs=1e-4)
    forward = pose.rotation_ned_from_camera @ np.array([0.0, -1.0, 0.0])
    heading = math.degrees(math.atan2(forward[1], forward[0]))
    assert heading == pytest.approx(102.7, abs=1e-3)
    assert pose.angular_rate_dps == pytest.approx(10.0, abs=0.01)


def test_a_fixed_nadir_camera_looks_down_with_image_up_forward() -> None:
    pose = _pose(_buffer(_history()), 0.0)
    assert pose.rotation_ned_from_camera @ np.array([0.0, 0.0, 1.0]) == pytest.approx([0, 0, 1], abs=1e-9)
    assert pose.rotation_ned_from_camera @ np.array([0.0, -1.0, 0.0]) == pytest.approx([0, 1, 0], abs=1e-9)
    assert pose.source == "fixed"


def test_the_level_ground_is_at_the_height_of_take_off() -> None:
    assert _pose(_buffer(_history()), 2.0).level_alt_hae_m == pytest.approx(400.0, abs=1e-3)


def test_a_pose_reaches_a_quarter_second_beyond_the_last_sample_and_no_further() -> None:
    buffer = _buffer(_history(4.0))
    assert _pose(buffer, 4.2).alt_hae_m == pytest.approx(508.4, abs=1e-2)
    assert _refusal(buffer, 4.3).reason == "telemetry_stale"
    assert _refusal(buffer, -0.3).reason == "telemetry_stale"


def test_extrapolated_attitude_turns_with_the_body_rates() -> None:
    history = _history(1.0)
    last = _attitude(1.0, heading=100.0)._replace(rates_rps=(0.0, 0.0, math.radians(20.0)))
    history.add_attitude(last)
    pose = _pose(_buffer(history), 1.2)
    forward = pose.rotation_ned_from_camera @ np.array([0.0, -1.0, 0.0])
    assert math.degrees(math.atan2(forward[1], forward[0])) == pytest.approx(104.0, abs=0.01)
    assert pose.angular_rate_dps == pytest.approx(20.0)


def test_a_gap_of_telemetry_is_not_bridged() -> None:
    history = _history(1.0)
    for at_s in (8.0, 8.2):
        history.add_position(_position(at_s))
        history.add_attitude(_attitude(at_s))
    refusal = _refusal(_buffer(history), 4.0)
    assert refusal.reason == "telemetry_stale"
    assert "3.00 s" in refusal.detail


def test_the_attitude_sigma_grows_between_samples_that_are_far_apart() -> None:
    slow, fast = _history(hz=2.5), _history(hz=20.0)
    assert _pose(_buffer(slow), 1.2).sigmas.tilt_deg == pytest.approx(0.5, abs=1e-6)
    assert _pose(_buffer(slow), 1.2 + 0.2).sigmas.tilt_deg == pytest.approx(math.hypot(0.5, 0.4), abs=1e-3)
    assert _pose(_buffer(fast), 1.0 + 0.025).sigmas.tilt_deg < 0.501


def test_what_the_receiver_tells_about_its_error_counts() -> None:
    history = _history()
    history.add_position(_position(2.0, horizontal_m=0.7, vertical_m=1.1))
    sigmas = _pose(_buffer(history), 2.0).sigmas
    assert (sigmas.horizontal_m, sigmas.vertical_m, sigmas.boresight_deg) == (0.7, 1.1, 0.3)


def test_each_reason_is_named() -> None:
    assert _refusal(_buffer(None), 0).reason == "no_telemetry"
    assert _refusal(_buffer(PoseHistory()), 0).reason == "no_telemetry"
    history = PoseHistory()
    history.add_position(_position(0.0))
    assert _refusal(_buffer(history), 0).reason == "no_attitude"
    history = _history()
    assert _refusal(_buffer(history, AMount(kind="gimbal")), 1.0).reason == "gimbal_stale"
    history.integrity.note(Verdict("bad", "no_fix", "no 3D fix", T0 + S), T0 + S)
    assert _refusal(_buffer(history), 1.5).reason == "no_fix"
    assert isinstance(_buffer(history).pose_at(T0 + S // 2), CameraPose)
    history.datum_alarm = "heights disagree"
    assert _refusal(_buffer(history), 0.5).reason == "datum_alarm"


def _device(
    at_s: float, pitch: float, yaw: float, *, flags: int, delta: float = math.nan, device_id: int = 154
) -> GimbalSample:
    q = (float(part) for part in rotations.quaternion_from_euler_deg(0.0, pitch, yaw))
    return GimbalSample(T0 + round(at_s * S), "gimbal_device", (flags, *q, delta), device_id)


def _azimuth_elevation(pose: CameraPose) -> tuple[float, float]:
    north, east, down = pose.rotation_ned_from_camera @ np.array([0.0, 0.0, 1.0])
    return math.degrees(math.atan2(east, north)) % 360, -math.degrees(math.asin(min(1.0, down)))


def test_a_gimbal_in_the_earth_frame_is_slerped_between_its_own_samples() -> None:
    history = _history()
    history.add_gimbal(_device(1.0, -30.0, 10.0, flags=64))
    history.add_gimbal(_device(1.2, -30.0, 20.0, flags=64))
    pose = _pose(_buffer(history, AMount(kind="gimbal")), 1.1)
    assert _azimuth_elevation(pose) == pytest.approx((15.0, -30.0), abs=0.1)
    assert pose.source == "gimbal_device"


def _without_attitude() -> PoseHistory:
    history = PoseHistory()
    for number in range(11):
        history.add_position(_position(number / 5))
    return history


def test_a_gimbal_in_the_earth_frame_needs_no_attitude_of_the_aircraft() -> None:
    history = _without_attitude()
    for at_s in (1.0, 1.2):
        history.add_gimbal(_device(at_s, -30.0, 10.0, flags=64))
    buffer = _buffer(history, AMount(kind="gimbal"))
    assert buffer.covers(T0 + S)
    assert _azimuth_elevation(_pose(buffer, 1.1)) == pytest.approx((10.0, -30.0), abs=1e-6)


def test_a_gimbal_in_the_vehicle_frame_misses_the_attitude_by_name() -> None:
    history = _without_attitude()
    for at_s in (1.0, 1.2):
        history.add_gimbal(_device(at_s, -30.0, 10.0, flags=32))
    assert _refusal(_buffer(history, AMount(kind="gimbal")), 1.1).reason == "no_attitude"
    history.add_attitude(_attitude(0.0))
    assert _refusal(_buffer(history, AMount(kind="gimbal")), 1.1).reason == "telemetry_stale"


NOT_TOLD = (math.nan, math.nan, math.nan)


def test_a_velocity_that_is_not_told_comes_from_the_positions_around() -> None:
    history = PoseHistory()
    for number in range(21):
        at_s = number / 5
        history.add_fix(_position(at_s, velocity_ned_mps=NOT_TOLD, alt_rel_m=math.nan))
        history.add_attitude(_attitude(at_s))
    for at_s in (0.0, 0.1, 2.03, 4.0, 4.2):
        pose = _pose(_buffer(history), at_s)
        assert pose.velocity_ned_mps == pytest.approx([1.1114, 0.0, -2.0], abs=1e-3)
        assert pose.level_alt_hae_m is None
    assert _pose(_buffer(history), 4.2).alt_hae_m == pytest.approx(508.4, abs=1e-3)


def test_a_single_position_without_a_velocity_is_not_enough() -> None:
    history = PoseHistory()
    history.add_fix(_position(0.0, velocity_ned_mps=NOT_TOLD))
    history.add_attitude(_attitude(0.0))
    assert "no velocity" in _refusal(_buffer(history), 0.0).detail
    history.add_fix(_position(0.0, velocity_ned_mps=(3.0, 4.0, math.nan)))
    assert _pose(_buffer(history), 0.0).velocity_ned_mps == pytest.approx([3, 4, 0])


def test_a_gimbal_in_the_vehicle_frame_turns_with_the_heading_of_its_own_instant() -> None:
    history = _history()
    history.add_gimbal(_device(1.0, -45.0, 5.0, flags=32))
    history.add_gimbal(_device(1.5, -45.0, 5.0, flags=32))
    pose = _pose(_buffer(history, AMount(kind="gimbal")), 1.25)
    assert _azimuth_elevation(pose) == pytest.approx((102.5 + 5.0, -45.0), abs=0.1)


def test_a_stated_gimbal_beats_older_messages_and_falls_back_to_them() -> None:
    history = _history()
    for at_s in (1.0, 1.2):
        history.add_gimbal(_device(at_s, -45.0, 0.0, flags=64))
    for at_s in (1.0, 1.2, 1.4, 1.6, 1.8, 2.0, 2.2):
        history.add_gimbal(GimbalSample(T0 + round(at_s * S), "mount_status", (-9000.0, 0.0, 0.0), 1))
    buffer = _buffer(history, AMount(kind="gimbal"))
    assert _pose(buffer, 1.1).source == "gimbal_device"
    assert _pose(buffer, 2.1).source == "mount_status"
    assert _azimuth_elevation(_pose(buffer, 2.1))[1] == pytest.approx(-90.0, abs=1e-6)


def _turn_of(pose: CameraPose) -> list[float]:
    assert pose.angular_velocity_ned_dps is not None
    assert pose.angular_rate_dps == pytest.approx(np.linalg.norm(pose.angular_velocity_ned_dps))
    turn: list[float] = pose.angular_velocity_ned_dps.tolist()
    return turn


def test_a_fixed_camera_turns_about_ned_axes_as_the_aircraft_does() -> None:
    assert _turn_of(_pose(_buffer(_history()), 1.27)) == pytest.approx([0, 0, 10], abs=1e-6)
    history = PoseHistory()
    for number in range(11):
        history.add_position(_position(number / 5))
        history.add_attitude(_attitude(number / 5, roll=-6.0 + 3.0 * number / 5, heading=90.0))
    turn = _turn_of(_pose(_buffer(history), 1.27))
    assert turn == pytest.approx([0, 3, 0], abs=1e-6), "the nose points east, so the roll is about east"


def test_body_rates_beyond_the_last_sample_are_turned_into_ned_axes() -> None:
    history = _history(1.0)
    history.add_attitude(_attitude(1.0, heading=90.0)._replace(rates_rps=(0.0, math.radians(8.0), 0.0)))
    assert _turn_of(_pose(_buffer(history), 1.2)) == pytest.approx([-8, 0, 0], abs=1e-6)


def test_a_gimbals_head_turns_by_its_own_samples_and_not_with_the_aircraft() -> None:
    history = _history()
    for at_s, pitch in ((1.0, -30.0), (1.2, -33.0), (1.4, -36.0)):
        history.add_gimbal(_device(at_s, pitch, 90.0, flags=64))
    buffer = _buffer(history, AMount(kind="gimbal"))
    for at_s in (0.9, 1.0, 1.1, 1.33, 1.4, 1.6):
        assert _turn_of(_pose(buffer, at_s)) == pytest.approx([15, 0, 0], abs=1e-6)


def test_the_turn_is_that_of_the_camera_itself() -> None:
    """Rotating a pose by its angular velocity gives the pose a moment later."""
    history = _history()
    for number in range(21):
        at_s = number / 10
        history.add_gimbal(_device(at_s, -30.0 - 6.0 * at_s, 10.0 + 25.0 * at_s, flags=32))
    buffer = _buffer(history, AMount(kind="gimbal", yaw_deg=3.0))
    early, late = _pose(buffer, 1.02), _pose(buffer, 1.08)
    turned = rotations.matrix_from_vector_rad(np.radians(_turn_of(early)) * 0.06)
    assert turned @ early.rotation_ned_from_camera == pytest.approx(late.rotation_ned_from_camera, abs=1e-6)


def test_one_sample_of_a_gimbal_tells_no_turn() -> None:
    history = _history()
    history.add_gimbal(_device(1.0, -30.0, 90.0, flags=64))
    pose = _pose(_buffer(history, AMount(kind="gimbal")), 1.1)
    assert pose.angular_velocity_ned_dps is None
    assert pose.angular_rate_dps == 0.0


def _two_gimbals() -> PoseHistory:
    """154 looks north and 171 east, their samples interleaved."""
    history = _history()
    for number in range(20):
        history.add_gimbal(_device(0.2 * number, -30.0, 0.0, flags=64))
        history.add_gimbal(_device(0.2 * number + 0.07, -60.0, 90.0, flags=64, device_id=171))
    return history


@pytest.mark.parametrize(("device_id", "pointing"), [(154, (0.0, -30.0)), (171, (90.0, -60.0))])
def test_each_camera_follows_its_own_gimbal(device_id: int, pointing: tuple[float, float]) -> None:
    buffer = _buffer(_two_gimbals(), AMount(kind="gimbal", gimbal_device_id=device_id))
    for at_s in (1.0, 1.03, 1.1, 1.19):
        assert _azimuth_elevation(_pose(buffer, at_s)) == pytest.approx(pointing, abs=1e-6)


def test_of_several_gimbals_none_is_guessed() -> None:
    refusal = _refusal(_buffer(_two_gimbals(), AMount(kind="gimbal")), 1.1)
    assert refusal.reason == "gimbal_stale"
    assert "154, 171" in refusal.detail
    assert "gimbal_device_id" in refusal.detail
    other = _refusal(_buffer(_two_gimbals(), AMount(kind="gimbal", gimbal_device_id=9)), 1.1)
    assert "gimbal 9" in other.detail


def test_one_gimbal_that_is_heard_in_two_ways_is_one_gimbal() -> None:
    """ArduPilot tells again, under number 1, what its gimbal (154) told it."""
    history = _history()
    for number in range(20):
        history.add_gimbal(_device(0.2 * number, -30.0, 0.0, flags=64))
    history.add_gimbal(_device(1.0, -30.5, 0.0, flags=64, device_id=1))
    history.add_gimbal(_device(2.0, -30.5, 0.0, flags=64, device_id=1))
    pose = _pose(_buffer(history, AMount(kind="gimbal")), 1.5)
    assert _azimuth_elevation(pose) == pytest.approx((0.0, -30.0), abs=1e-6)


def test_covers_waits_for_the_gimbal_of_the_mount() -> None:
    history = _history()
    history.add_gimbal(_device(2.0, -30.0, 0.0, flags=64))
    history.add_gimbal(_device(1.0, -30.0, 0.0, flags=64, device_id=171))
    buffer = _buffer(history, AMount(kind="gimbal", gimbal_device_id=171))
    assert buffer.covers(T0 + S)
    assert not buffer.covers(T0 + S + 1)


def test_gimbals_without_end_are_not_kept() -> None:
    history = _history()
    kept = [history.add_gimbal(_device(1.0, -30.0, 0.0, flags=64, device_id=each)) for each in range(1, 256)]
    assert kept.count(True) == len(history.gimbals) == 16


def test_a_retracted_gimbal_gives_no_pose() -> None:
    history = _history()
    history.add_gimbal(_device(1.0, 0.0, 0.0, flags=64 | 1))
    assert _refusal(_buffer(history, AMount(kind="gimbal")), 1.0).reason == "gimbal_stale"


def test_covers_waits_for_a_sample_of_every_stream() -> None:
    history = _history(1.0)
    assert _buffer(history).covers(T0 + S)
    assert not _buffer(history).covers(T0 + S + 1)
    gimbal = _buffer(history, AMount(kind="gimbal"))
    assert not gimbal.covers(T0)
    history.add_gimbal(_device(0.9, 0.0, 0.0, flags=64))
    assert gimbal.covers(T0 + S // 2)
    assert not gimbal.covers(T0 + S)
    assert not _buffer(None).covers(T0)


def test_samples_that_come_late_or_twice_are_sorted_in() -> None:
    history = PoseHistory()
    for at_s in (0.4, 0.0, 0.2, 0.6, 0.2):
        history.add_position(_position(at_s))
        history.add_attitude(_attitude(at_s))
    assert len(history.positions) == 4
    assert _pose(_buffer(history), 0.3).alt_hae_m == pytest.approx(500.6, abs=1e-4)


@pytest.mark.slow
def test_memory_is_bounded_in_time_and_in_number() -> None:
    history = PoseHistory()
    for number in range(5_000):
        history.add_attitude(_attitude(number * 0.1))
    assert len(history.attitudes) <= 800
    for number in range(60_000):
        history.add_attitude(_attitude(500.0 + number * 1e-6))
    assert len(history.attitudes) <= 20_000


def test_interpolation_crosses_the_antimeridian() -> None:
    history = PoseHistory()
    history.add_position(_position(0.0, longitude_deg=179.9999, velocity_ned_mps=(0.0, 50.0, 0.0)))
    history.add_position(_position(0.4, longitude_deg=-179.9999, velocity_ned_mps=(0.0, 50.0, 0.0)))
    for at_s in (0.0, 0.4):
        history.add_attitude(_attitude(at_s))
    pose = _pose(_buffer(history), 0.3)
    assert float(geodesy.wrap_longitude_deg(pose.longitude_deg)) == pytest.approx(-179.99995, abs=1e-7)


def test_the_platform_pose_has_course_speed_and_heading() -> None:
    pose = _buffer(_history()).platform_pose_at(T0 + S, platform_id="p", sortie_id="s")
    assert pose.reason is None
    assert pose.heading_deg == pytest.approx(100.0, abs=1e-6)
    assert pose.course_deg == pytest.approx(0.0)
    assert pose.speed_mps == pytest.approx(1.1)
    assert pose.climb_mps == pytest.approx(2.0)
    assert pose.alt_rel_m == pytest.approx(102.0, abs=1e-4)


def test_an_unknown_platform_pose_is_empty_and_says_why() -> None:
    pose = _buffer(None).platform_pose_at(T0, platform_id="p", sortie_id="s")
    assert pose.latitude_deg is None
    assert pose.q_ned_body is None
    assert pose.speed_mps is None
    assert pose.reason is not None
    assert pose.reason.startswith("no_telemetry")


def test_the_gimbal_pose_for_the_ground_is_the_resolved_one() -> None:
    history = _history()
    history.add_gimbal(_device(1.0, -30.0, 10.0, flags=64))
    pose = _buffer(history, AMount(kind="gimbal")).gimbal_pose_at(T0 + S, platform_id="p", sensor_id="eo")
    assert pose is not None
    assert rotations.euler_deg_from_quaternion(pose.q_ned_gimbal) == pytest.approx([0, -30, 10], abs=1e-6)
    assert _buffer(PoseHistory()).gimbal_pose_at(T0, platform_id="p", sensor_id="eo") is None


def test_samples_from_a_clock_that_was_set_back_replace_those_of_the_future() -> None:
    history = PoseHistory()
    history.add_position(_position(86_400.0))
    history.add_attitude(_attitude(86_400.0))
    for at_s in (0.0, 0.2, 0.4):
        history.add_position(_position(at_s))
        history.add_attitude(_attitude(at_s))
    assert _pose(_buffer(history), 0.3).alt_hae_m == pytest.approx(500.6, abs=1e-4)
