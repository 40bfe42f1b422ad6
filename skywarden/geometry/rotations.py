"""Rotations: quaternions (w, x, y, z), matrices and aerospace Euler angles, for one or many at a time.

Names say where a vector comes from and goes to: `ned_from_body` turns a vector in body axes (forward, right,
down) into north-east-down. Euler angles are intrinsic Z-Y-X: `Rz(yaw) @ Ry(pitch) @ Rx(roll)`, in degrees at
every public border. Formulas: Diebel, "Representing Attitude" (2006), sections 5 and 6.
"""

import numpy as np
import numpy.typing as npt

from skywarden.errors import InputError

FloatArray = npt.NDArray[np.float64]

GIMBAL_FROM_CAMERA: FloatArray = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
"""Camera axes (right, down, forward) into the axes of the camera's housing (forward, right, down)."""
GIMBAL_FROM_CAMERA.flags.writeable = False

_UNIT_TOLERANCE = 0.05


def unit_quaternion(q_wxyz: npt.ArrayLike) -> FloatArray:
    """`q_wxyz`, shape (..., 4), scaled to length one.

    Raises `InputError` when a number is not finite or a length is further than 5 % from one: what comes over
    a link as an attitude is then not an attitude.
    """
    q = np.asarray(q_wxyz, dtype=np.float64)
    if q.shape[-1:] != (4,):
        raise InputError(f"a quaternion has 4 numbers (w, x, y, z), not shape {q.shape}")
    length = np.sqrt(np.add.reduce(q * q, axis=-1, keepdims=True))
    if not bool((np.abs(length - 1.0) <= _UNIT_TOLERANCE).all()):
        raise InputError(f"not a unit quaternion: {np.array2string(q, precision=6)} (w, x, y, z)")
    unit: FloatArray = q / length
    return unit


def multiply(a_wxyz: npt.ArrayLike, b_wxyz: npt.ArrayLike) -> FloatArray:
    """Hamilton product, shapes (..., 4): `q_a_from_c = multiply(q_a_from_b, q_b_from_c)`."""
    aw, ax, ay, az = _parts(np.asarray(a_wxyz, dtype=np.float64))
    bw, bx, by, bz = _parts(np.asarray(b_wxyz, dtype=np.float64))
    w = aw * bw - ax * bx - ay * by - az * bz
    product = np.empty((*np.shape(w), 4))
    product[..., 0] = w
    product[..., 1] = aw * bx + ax * bw + ay * bz - az * by
    product[..., 2] = aw * by - ax * bz + ay * bw + az * bx
    product[..., 3] = aw * bz + ax * by - ay * bx + az * bw
    return product


def conjugate(q_wxyz: npt.ArrayLike) -> FloatArray:
    """The inverse of a unit quaternion, shape (..., 4)."""
    inverse: FloatArray = np.asarray(q_wxyz, dtype=np.float64) * np.array([1.0, -1.0, -1.0, -1.0])
    return inverse


def matrix_from_quaternion(q_wxyz: npt.ArrayLike) -> FloatArray:
    """Rotation matrices, shape (..., 3, 3), of quaternions (..., 4); raises as `unit_quaternion`."""
    w, x, y, z = _parts(unit_quaternion(q_wxyz))
    matrix = np.empty((*np.shape(w), 3, 3))
    matrix[..., 0, 0], matrix[..., 0, 1] = 1 - 2 * (y * y + z * z), 2 * (x * y - w * z)
    matrix[..., 0, 2], matrix[..., 1, 0] = 2 * (x * z + w * y), 2 * (x * y + w * z)
    matrix[..., 1, 1], matrix[..., 1, 2] = 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)
    matrix[..., 2, 0], matrix[..., 2, 1] = 2 * (x * z - w * y), 2 * (y * z + w * x)
    matrix[..., 2, 2] = 1 - 2 * (x * x + y * y)
    return matrix


def quaternion_from_matrix(matrix: npt.ArrayLike) -> FloatArray:
    """Unit quaternions, shape (..., 4) with w >= 0, of rotation matrices (..., 3, 3).

    The largest of the four components is found first (Shepperd 1978), so none divides by a small number.
    """
    m = np.asarray(matrix, dtype=np.float64)
    xx, yy, zz = m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]
    outer = np.stack(  # four times the outer product of the quaternion with itself, row by row
        [
            np.stack([1 + xx + yy + zz, m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0],
                      m[..., 1, 0] - m[..., 0, 1]], axis=-1),
            np.stack([m[..., 2, 1] - m[..., 1, 2], 1 + xx - yy - zz, m[..., 1, 0] + m[..., 0, 1],
                      m[..., 0, 2] + m[..., 2, 0]], axis=-1),
            np.stack([m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] + m[..., 0, 1], 1 - xx + yy - zz,
                      m[..., 2, 1] + m[..., 1, 2]], axis=-1),
            np.stack([m[..., 1, 0] - m[..., 0, 1], m[..., 0, 2] + m[..., 2, 0], m[..., 2, 1] + m[..., 1, 2],
                      1 - xx - yy + zz], axis=-1),
        ],
        axis=-2,
    )  # fmt: skip
    largest = np.argmax(np.diagonal(outer, axis1=-2, axis2=-1), axis=-1)
    row = np.take_along_axis(outer, largest[..., None, None], axis=-2)[..., 0, :]
    q = row / np.sqrt(np.sum(row * row, axis=-1, keepdims=True))
    flipped: FloatArray = np.where(q[..., :1] < 0.0, -q, q)
    return flipped


def quaternion_from_euler_deg(
    roll_deg: npt.ArrayLike, pitch_deg: npt.ArrayLike, yaw_deg: npt.ArrayLike
) -> FloatArray:
    """Unit quaternions, shape (..., 4), of roll, pitch and yaw in degrees (intrinsic Z-Y-X)."""
    half = [np.radians(np.asarray(angle, dtype=np.float64)) / 2 for angle in (roll_deg, pitch_deg, yaw_deg)]
    (cr, cp, cy), (sr, sp, sy) = [np.cos(a) for a in half], [np.sin(a) for a in half]
    w = cr * cp * cy + sr * sp * sy
    q = np.empty((*np.shape(w), 4))
    q[..., 0], q[..., 1] = w, sr * cp * cy - cr * sp * sy
    q[..., 2], q[..., 3] = cr * sp * cy + sr * cp * sy, cr * cp * sy - sr * sp * cy
    return q


def matrix_from_euler_deg(
    roll_deg: npt.ArrayLike, pitch_deg: npt.ArrayLike, yaw_deg: npt.ArrayLike
) -> FloatArray:
    """Rotation matrices, shape (..., 3, 3), of roll, pitch and yaw in degrees (intrinsic Z-Y-X)."""
    return matrix_from_quaternion(quaternion_from_euler_deg(roll_deg, pitch_deg, yaw_deg))


def euler_deg_from_matrix(matrix: npt.ArrayLike) -> FloatArray:
    """Roll, pitch, yaw in degrees, shape (..., 3), of rotation matrices (..., 3, 3).

    Straight down and straight up have no roll of their own: there roll is 0 and yaw carries the whole turn.
    """
    m = np.asarray(matrix, dtype=np.float64)
    level = np.hypot(m[..., 0, 0], m[..., 1, 0])
    is_vertical = level < 1e-9
    roll = np.where(is_vertical, 0.0, np.arctan2(m[..., 2, 1], m[..., 2, 2]))
    pitch = np.arctan2(-m[..., 2, 0], level)
    yaw = np.where(
        is_vertical, np.arctan2(-m[..., 0, 1], m[..., 1, 1]), np.arctan2(m[..., 1, 0], m[..., 0, 0])
    )
    angles: FloatArray = np.degrees(np.stack([roll, pitch, yaw], axis=-1))
    return angles


def euler_deg_from_quaternion(q_wxyz: npt.ArrayLike) -> FloatArray:
    """Roll, pitch, yaw in degrees, shape (..., 3), of quaternions (..., 4)."""
    return euler_deg_from_matrix(matrix_from_quaternion(q_wxyz))


def matrix_from_vector_rad(rotation_vector_rad: npt.ArrayLike) -> FloatArray:
    """Rotation matrices, shape (..., 3, 3), of rotation vectors (..., 3): axis times angle in radians."""
    vector = np.asarray(rotation_vector_rad, dtype=np.float64)
    angle = np.sqrt(np.sum(vector * vector, axis=-1, keepdims=True))
    q = np.concatenate([np.cos(angle / 2), vector * (0.5 * np.sinc(angle / (2 * np.pi)))], axis=-1)
    return matrix_from_quaternion(q)


def slerp(start_wxyz: npt.ArrayLike, end_wxyz: npt.ArrayLike, fraction: npt.ArrayLike) -> FloatArray:
    """The attitude `fraction` (0..1, shape (...)) of the way from start to end, the short way, (..., 4).

    Shoemake 1985; falls back to a straight line, scaled to length one, where the two nearly coincide.
    """
    start, end = unit_quaternion(start_wxyz), unit_quaternion(end_wxyz)
    part = np.asarray(fraction, dtype=np.float64)[..., None]
    dot = np.add.reduce(start * end, axis=-1, keepdims=True)
    end = np.where(dot < 0.0, -end, end)
    dot = np.minimum(np.abs(dot), 1.0)
    angle = np.arccos(dot)
    is_close = angle < 1e-6
    sine = np.where(is_close, 1.0, np.sin(angle))
    first = np.where(is_close, 1.0 - part, np.sin((1.0 - part) * angle) / sine)
    second = np.where(is_close, part, np.sin(part * angle) / sine)
    q = first * start + second * end
    unit: FloatArray = q / np.sqrt(np.add.reduce(q * q, axis=-1, keepdims=True))
    return unit


def angle_between_deg(a_wxyz: npt.ArrayLike, b_wxyz: npt.ArrayLike) -> FloatArray:
    """The turn from attitude a to attitude b in degrees, 0..180, shape (...)."""
    difference = multiply(conjugate(unit_quaternion(a_wxyz)), unit_quaternion(b_wxyz))
    sine = np.sqrt(np.sum(difference[..., 1:] ** 2, axis=-1))
    angle: FloatArray = np.degrees(2.0 * np.arctan2(sine, np.abs(difference[..., 0])))
    return angle


def _parts(q: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """The four columns w, x, y, z of quaternions (..., 4)."""
    return q[..., 0], q[..., 1], q[..., 2], q[..., 3]
