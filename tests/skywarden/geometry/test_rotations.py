"""Rotations: quaternions, matrices, Euler angles and the way between two attitudes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from skywarden.errors import InputError
from skywarden.geometry import rotations

angles = st.floats(-180.0, 180.0)
pitches = st.floats(-90.0, 90.0)


@given(roll=angles, pitch=pitches, yaw=angles)
def test_euler_angles_mean_the_same_rotation_as_scipys(roll: float, pitch: float, yaw: float) -> None:
    ours = rotations.matrix_from_euler_deg(roll, pitch, yaw)
    theirs = Rotation.from_euler("ZYX", [yaw, pitch, roll], degrees=True).as_matrix()
    np.testing.assert_allclose(ours, theirs, atol=1e-12)


@given(roll=angles, pitch=pitches, yaw=angles)
def test_angles_survive_the_way_through_matrix_and_quaternion(roll: float, pitch: float, yaw: float) -> None:
    matrix = rotations.matrix_from_euler_deg(roll, pitch, yaw)
    back = rotations.euler_deg_from_matrix(matrix)
    np.testing.assert_allclose(rotations.matrix_from_euler_deg(*back), matrix, atol=1e-8)
    q = rotations.quaternion_from_matrix(matrix)
    assert q[0] >= 0.0
    np.testing.assert_allclose(rotations.matrix_from_quaternion(q), matrix, atol=1e-12)


def test_straight_down_keeps_its_heading_and_has_no_roll() -> None:
    down = rotations.matrix_from_euler_deg(0.0, -90.0, 37.0)
    np.testing.assert_allclose(rotations.euler_deg_from_matrix(down), [0.0, -90.0, 37.0], atol=1e-6)


def test_a_batch_is_the_same_as_one_by_one() -> None:
    rng = np.random.default_rng(1)
    many = rng.uniform(-180, 180, (20, 3))
    batch = rotations.matrix_from_euler_deg(many[:, 0], many[:, 1] / 2, many[:, 2])
    for row, matrix in zip(many, batch, strict=True):
        np.testing.assert_array_equal(matrix, rotations.matrix_from_euler_deg(row[0], row[1] / 2, row[2]))
    np.testing.assert_allclose(
        rotations.matrix_from_quaternion(rotations.quaternion_from_matrix(batch)), batch, atol=1e-12
    )


def test_products_of_quaternions_are_products_of_matrices() -> None:
    a, b = rotations.quaternion_from_euler_deg(10, 20, 30), rotations.quaternion_from_euler_deg(-70, 5, 170)
    np.testing.assert_allclose(
        rotations.matrix_from_quaternion(rotations.multiply(a, b)),
        rotations.matrix_from_quaternion(a) @ rotations.matrix_from_quaternion(b),
        atol=1e-12,
    )
    np.testing.assert_allclose(rotations.multiply(a, rotations.conjugate(a)), [1, 0, 0, 0], atol=1e-12)


def test_slerp_goes_the_short_way_at_an_even_rate() -> None:
    start, end = (rotations.quaternion_from_euler_deg(0, 0, yaw) for yaw in (350.0, 10.0))
    fractions = np.array([0.0, 0.25, 0.5, 1.0])
    on_the_way = rotations.slerp(start, -end, fractions)
    np.testing.assert_allclose(rotations.angle_between_deg(start, on_the_way), 20 * fractions, atol=1e-9)
    same = rotations.slerp(start, start, 0.3)
    assert rotations.angle_between_deg(start, same) == pytest.approx(0.0, abs=1e-9)


def test_a_rotation_vector_turns_by_its_length_about_itself() -> None:
    vector = np.radians([[0.0, 0.0, 90.0], [0.0, 0.0, 0.0], [1e-9, 0.0, 0.0]])
    turns = rotations.matrix_from_vector_rad(vector)
    np.testing.assert_allclose(turns, Rotation.from_rotvec(vector).as_matrix(), atol=1e-12)


def test_camera_axes_sit_in_the_housing_as_mavlink_and_opencv_have_them() -> None:
    forward, right, down = np.eye(3)
    np.testing.assert_array_equal(rotations.GIMBAL_FROM_CAMERA @ [0, 0, 1], forward)
    np.testing.assert_array_equal(rotations.GIMBAL_FROM_CAMERA @ [1, 0, 0], right)
    np.testing.assert_array_equal(rotations.GIMBAL_FROM_CAMERA @ [0, 1, 0], down)


@pytest.mark.parametrize(
    "not_an_attitude", [[0, 0, 0, 0], [np.nan, 0, 0, 0], [2, 0, 0, 0], [1, 0, 0], [np.inf, 1, 1, 1]]
)
def test_numbers_that_are_no_attitude_are_refused(not_an_attitude: list[float]) -> None:
    with pytest.raises(InputError):
        rotations.unit_quaternion(not_an_attitude)
