"""Where the camera points: every convention, its exceptions and what is refused."""

import math

import numpy as np
import pytest

from edge.pose import gimbal
from skywarden.errors import InputError
from skywarden.geometry import geodesy, rotations

BODY = rotations.quaternion_from_euler_deg(15.0, -8.0, 312.5)
DOWN_45 = tuple(rotations.quaternion_from_euler_deg(0.0, -45.0, 40.0).tolist())
NAN = float("nan")


def _euler(attitude: gimbal.GimbalAttitude) -> list[float]:
    return rotations.euler_deg_from_quaternion(attitude.q_ned_gimbal).round(6).tolist()


@pytest.mark.parametrize(
    ("flags", "delta_yaw_rad", "expected_yaw"),
    [
        (gimbal.FLAG_YAW_IN_EARTH_FRAME, None, 40.0),
        (gimbal.FLAG_YAW_IN_EARTH_FRAME | gimbal.FLAG_YAW_LOCK, 1.0, 40.0),
        (gimbal.FLAG_YAW_IN_VEHICLE_FRAME, None, -7.5),
        (gimbal.FLAG_YAW_IN_VEHICLE_FRAME, NAN, -7.5),
        (gimbal.FLAG_YAW_IN_VEHICLE_FRAME, math.radians(100.0), 140.0),
        (gimbal.FLAG_YAW_IN_VEHICLE_FRAME | gimbal.FLAG_YAW_LOCK, NAN, -7.5),
        (0, 0.0, -7.5),
        (12, math.radians(100.0), -7.5),
        (gimbal.FLAG_YAW_LOCK, 0.0, 40.0),
    ],
)
def test_the_flags_say_which_frame_the_quaternion_is_in(
    flags: int, delta_yaw_rad: float | None, expected_yaw: float
) -> None:
    found = gimbal.from_gimbal_device(flags, DOWN_45, delta_yaw_rad, q_ned_body=BODY)
    assert _euler(found) == pytest.approx([0.0, -45.0, expected_yaw], abs=1e-5)
    assert found.source == "gimbal_device"


def test_the_vehicles_roll_and_pitch_count_only_for_servo_mounts() -> None:
    found = gimbal.from_gimbal_device(32, DOWN_45, None, q_ned_body=BODY, has_body_roll_pitch=True)
    expected = rotations.matrix_from_quaternion(BODY) @ rotations.matrix_from_quaternion(DOWN_45)
    np.testing.assert_allclose(rotations.matrix_from_quaternion(found.q_ned_gimbal), expected, atol=1e-12)
    assert found.source == "gimbal_device_body"


def test_without_a_heading_only_what_needs_none_is_answered() -> None:
    assert gimbal.from_gimbal_device(64, DOWN_45, None, q_ned_body=None)
    assert gimbal.from_gimbal_device(32, DOWN_45, 0.5, q_ned_body=None)
    assert gimbal.from_mount_orientation(0, -45, NAN, 100.0, q_ned_body=None)
    with pytest.raises(InputError, match="not known"):
        gimbal.from_gimbal_device(32, DOWN_45, None, q_ned_body=None)
    with pytest.raises(InputError):
        gimbal.from_mount_orientation(0, -45, 10.0, None, q_ned_body=None)
    with pytest.raises(InputError):
        gimbal.from_mount_status(-4500, 0, 0, q_ned_body=None)


@pytest.mark.parametrize(
    ("flags", "q"),
    [
        (32, (NAN, 0.0, 0.0, 0.0)),
        (32, (0.0, 0.0, 0.0, 0.0)),
        (96, DOWN_45),
        (33, DOWN_45),
    ],
)
def test_messages_that_say_nothing_are_refused(flags: int, q: tuple[float, float, float, float]) -> None:
    with pytest.raises(InputError):
        gimbal.from_gimbal_device(flags, q, None, q_ned_body=BODY)


@pytest.mark.parametrize(
    ("yaw", "absolute", "expected"),
    [
        (36.0, 100.0, 100.0),
        (36.0, NAN, -11.5),
        (36.0, None, -11.5),
        (36.0, 0.0, -11.5),
        (47.5, 0.0, 0.0),
        (NAN, 77.0, 77.0),
    ],
)
def test_mount_orientation_prefers_a_stated_absolute_yaw(
    yaw: float, absolute: float | None, expected: float
) -> None:
    found = gimbal.from_mount_orientation(1.5, -38.0, yaw, absolute, q_ned_body=BODY)
    assert _euler(found) == pytest.approx([1.5, -38.0, expected], abs=1e-5)


def test_mount_status_is_in_hundredths_and_turns_with_the_heading() -> None:
    assert _euler(gimbal.from_mount_status(-4500, 100, 2000, q_ned_body=BODY)) == pytest.approx(
        [1, -45, -27.5], abs=1e-5
    )
    servo = gimbal.from_mount_status(0, 0, 0, q_ned_body=BODY, has_body_roll_pitch=True)
    assert _euler(servo) == pytest.approx([15.0, -8.0, -47.5], abs=1e-5)


def test_a_fixed_nadir_camera_has_the_image_up_forward_and_rolls_along() -> None:
    level = gimbal.from_fixed_mount((0.0, -90.0, 0.0), q_ned_body=(1.0, 0.0, 0.0, 0.0))
    rotation = gimbal.ned_from_camera(level)
    np.testing.assert_allclose(rotation @ [0, 0, 1], [0, 0, 1], atol=1e-12)  # optical axis down
    np.testing.assert_allclose(rotation @ [0, -1, 0], [1, 0, 0], atol=1e-12)  # image up is north, ahead
    banked = gimbal.from_fixed_mount(
        (0.0, -90.0, 0.0), q_ned_body=rotations.quaternion_from_euler_deg(10, 0, 0)
    )
    axis = gimbal.ned_from_camera(banked) @ [0, 0, 1]
    assert math.degrees(math.atan2(-axis[1], axis[2])) == pytest.approx(10.0)  # right wing down: looks left


def test_boresight_turns_the_camera_in_its_housing() -> None:
    attitude = gimbal.from_gimbal_device(64, (1.0, 0.0, 0.0, 0.0), None, q_ned_body=None)
    axis = gimbal.ned_from_camera(attitude, (0.0, -0.9, 1.3)) @ [0, 0, 1]
    assert math.degrees(math.atan2(axis[1], axis[0])) == pytest.approx(1.3)
    assert math.degrees(math.asin(-axis[2])) == pytest.approx(-0.9)


def test_a_lever_arm_moves_the_camera_and_near_a_pole_its_north() -> None:
    body = rotations.matrix_from_euler_deg(0, 0, 90.0)
    rotation = np.eye(3)
    place, same = gimbal.camera_place((50.0, 8.0, 100.0), ned_from_body=body, ned_from_camera=rotation)
    assert place == (50.0, 8.0, 100.0)
    np.testing.assert_array_equal(same, rotation)
    place, turned = gimbal.camera_place(
        (50.0, 8.0, 100.0), ned_from_body=body, ned_from_camera=rotation, lever_arm_body_m=(2.0, 0.0, 0.5)
    )
    np.testing.assert_allclose(geodesy.ned_from_geodetic(place, 50.0, 8.0, 100.0), [0.0, 2.0, 0.5], atol=1e-6)
    np.testing.assert_allclose(turned, rotation, atol=1e-5)
    polar = (89.99999, 30.0, 100.0)
    there, turned = gimbal.camera_place(
        polar, ned_from_body=np.eye(3), ned_from_camera=rotation, lever_arm_body_m=(0.0, 2.0, 0.0)
    )
    before = geodesy.ecef_from_ned(*polar[:2]) @ rotation
    np.testing.assert_allclose(geodesy.ecef_from_ned(*there[:2]) @ turned, before, atol=1e-12)
    assert np.abs(turned - rotation).max() > 0.5
