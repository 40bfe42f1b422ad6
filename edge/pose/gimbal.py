"""How the camera points, from whatever the autopilot, the gimbal or the mounting says.

Plain functions of numbers, one per convention. Each answers with the attitude of the camera's housing
(forward along the optical axis, right, down) in north-east-down. The rules are those of MAVLink common.xml
and the ones that ArduPilot, PX4 and QGroundControl were found to follow or to break. What is not an attitude
(NaN, zero length, contradicting flags) raises `InputError`; it never becomes a direction.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from skywarden.errors import InputError
from skywarden.geometry import geodesy, rotations

FloatArray = npt.NDArray[np.float64]
EulerDeg = tuple[float, float, float]
Place = tuple[float, float, float]

FLAG_RETRACT = 1
FLAG_NEUTRAL = 2
FLAG_YAW_LOCK = 16
FLAG_YAW_IN_VEHICLE_FRAME = 32
FLAG_YAW_IN_EARTH_FRAME = 64

_ABSENT_YAW_TOLERANCE_DEG = 5.0
_MAX_ANGLE_DEG = 720.0


@dataclass(frozen=True, kw_only=True, slots=True)
class GimbalAttitude:
    """`q_ned_gimbal` turns housing axes (forward, right, down) into ned; `source` is the convention used."""

    q_ned_gimbal: tuple[float, float, float, float]
    source: str


def from_gimbal_device(
    flags: int,
    q_wxyz: tuple[float, float, float, float],
    delta_yaw_rad: float | None,
    *,
    q_ned_body: npt.ArrayLike | None,
    has_body_roll_pitch: bool = False,
) -> GimbalAttitude:
    """GIMBAL_DEVICE_ATTITUDE_STATUS (285): the frame of its quaternion follows from its flags.

    YAW_IN_EARTH_FRAME: ned. YAW_IN_VEHICLE_FRAME: ned turned to the vehicle's heading, without its roll and
    pitch. Neither (senders before 2022): YAW_LOCK means earth, else vehicle. In the vehicle frame the turn is
    `delta_yaw_rad` where it is stated (only with a YAW_IN flag: an absent extension reads as zero), else the
    heading of `q_ned_body` (`None`: not known). `has_body_roll_pitch` is for the one exception, ArduPilot's
    servo mount, whose quaternion is in body axes; it is a setting of the vehicle, no flag tells.
    Raises `InputError` when the message does not say where the camera points.
    """
    q = rotations.unit_quaternion(q_wxyz)
    if flags & FLAG_RETRACT:
        raise InputError(f"gimbal flags {flags}: the gimbal is retracted and looks at nothing")
    is_vehicle = bool(flags & FLAG_YAW_IN_VEHICLE_FRAME)
    is_earth = bool(flags & FLAG_YAW_IN_EARTH_FRAME)
    if is_vehicle and is_earth:
        raise InputError(f"gimbal flags {flags} claim both the vehicle's and the earth's frame for yaw")
    if has_body_roll_pitch:
        return _answer(rotations.multiply(_known(q_ned_body), q), "gimbal_device_body")
    if is_earth or (not is_vehicle and flags & FLAG_YAW_LOCK):
        return _answer(q, "gimbal_device")
    if is_vehicle and delta_yaw_rad is not None and math.isfinite(delta_yaw_rad):
        turn_deg = math.degrees(math.remainder(delta_yaw_rad, math.tau))
    else:
        turn_deg = _heading_deg(q_ned_body)
    return _answer(rotations.multiply(_turn(turn_deg), q), "gimbal_device")


def from_mount_orientation(
    roll_deg: float,
    pitch_deg: float,
    yaw_deg: float,
    yaw_absolute_deg: float | None,
    *,
    q_ned_body: npt.ArrayLike | None,
) -> GimbalAttitude:
    """MOUNT_ORIENTATION (265): roll and pitch against the horizon, yaw against the vehicle's heading.

    `yaw_absolute_deg` counts where it is stated. It is an extension: senders that lack it leave exactly 0,
    which is believed only when heading plus yaw says about the same.
    """
    roll, pitch = _angle(roll_deg, "roll"), _angle(pitch_deg, "pitch")
    relative: float | None = None
    if q_ned_body is not None and math.isfinite(yaw_deg):
        relative = math.remainder(_heading_deg(q_ned_body) + _angle(yaw_deg, "yaw"), 360.0)
    absolute = yaw_absolute_deg
    if absolute is not None and not math.isfinite(absolute):
        absolute = None
    if absolute == 0.0 and (relative is None or abs(relative) > _ABSENT_YAW_TOLERANCE_DEG):
        absolute = None
    yaw = relative if absolute is None else _angle(absolute, "absolute yaw")
    if yaw is None:
        raise InputError(
            f"mount yaw {yaw_deg} deg, absolute {yaw_absolute_deg} deg: neither says where it points"
        )
    return _answer(rotations.quaternion_from_euler_deg(roll, pitch, yaw), "mount_orientation")


def from_mount_status(
    pointing_a: float,
    pointing_b: float,
    pointing_c: float,
    *,
    q_ned_body: npt.ArrayLike | None,
    has_body_roll_pitch: bool = False,
) -> GimbalAttitude:
    """MOUNT_STATUS (158, ArduPilot before 4.3): pitch, roll, yaw in hundredths of a degree.

    Roll and pitch are against the horizon and yaw against the vehicle's heading, except for servo mounts,
    whose three angles are in body axes (`has_body_roll_pitch`).
    """
    pitch, roll, yaw = (
        _angle(angle / 100.0, name)
        for angle, name in ((pointing_a, "pitch"), (pointing_b, "roll"), (pointing_c, "yaw"))
    )
    if has_body_roll_pitch:
        q_body_gimbal = rotations.quaternion_from_euler_deg(roll, pitch, yaw)
        return _answer(rotations.multiply(_known(q_ned_body), q_body_gimbal), "mount_status_body")
    heading = _heading_deg(q_ned_body)
    return _answer(rotations.quaternion_from_euler_deg(roll, pitch, heading + yaw), "mount_status")


def from_fixed_mount(mount_euler_deg: EulerDeg, *, q_ned_body: npt.ArrayLike) -> GimbalAttitude:
    """A camera bolted to the airframe at roll, pitch, yaw (degrees) against body axes: it rolls along.

    (0, -90, 0) looks straight down with the image's upper edge forward.
    """
    roll, pitch, yaw = (_angle(angle, "mount angle") for angle in mount_euler_deg)
    q_body_gimbal = rotations.quaternion_from_euler_deg(roll, pitch, yaw)
    return _answer(rotations.multiply(_known(q_ned_body), q_body_gimbal), "fixed")


def ned_from_camera(attitude: GimbalAttitude, boresight_euler_deg: EulerDeg = (0.0, 0.0, 0.0)) -> FloatArray:
    """The rotation, shape (3, 3), of camera axes (right, down, forward) into ned.

    `boresight_euler_deg` is how the camera sits in its housing: roll, pitch, yaw.
    """
    gimbal_from_camera = rotations.matrix_from_euler_deg(*boresight_euler_deg) @ rotations.GIMBAL_FROM_CAMERA
    rotation: FloatArray = rotations.matrix_from_quaternion(attitude.q_ned_gimbal) @ gimbal_from_camera
    return rotation


def camera_place(
    place: Place,
    *,
    ned_from_body: npt.ArrayLike,
    ned_from_camera: npt.ArrayLike,
    lever_arm_body_m: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> tuple[Place, FloatArray]:
    """Where the camera itself is, and its rotation in the ned axes of that place.

    `place` (latitude, longitude, height above the ellipsoid) is that of the navigation point, whose ned axes
    both rotations are in; the lever arm leads from it to the camera, forward, right and down in metres. The
    rotation changes only where meridians converge: near a pole a metre is degrees of longitude.
    """
    rotation = np.asarray(ned_from_camera, dtype=np.float64)
    if not any(lever_arm_body_m):
        return place, rotation
    offset_in_ned = np.asarray(ned_from_body, dtype=np.float64) @ np.asarray(
        lever_arm_body_m, dtype=np.float64
    )
    latitude, longitude, alt = geodesy.geodetic_from_ned(offset_in_ned, *place)
    there = (float(latitude), float(longitude), float(alt))
    ecef_from_camera = geodesy.ecef_from_ned(place[0], place[1]) @ rotation
    turned: FloatArray = geodesy.ecef_from_ned(there[0], there[1]).T @ ecef_from_camera
    return there, turned


def _answer(q_ned_gimbal: FloatArray, source: str) -> GimbalAttitude:
    w, x, y, z = (float(value) for value in q_ned_gimbal)
    return GimbalAttitude(q_ned_gimbal=(w, x, y, z), source=source)


def _turn(yaw_deg: float) -> FloatArray:
    return rotations.quaternion_from_euler_deg(0.0, 0.0, yaw_deg)


def _known(q_ned_body: npt.ArrayLike | None) -> FloatArray:
    if q_ned_body is None:
        raise InputError("the gimbal points relative to the vehicle, whose attitude is not known")
    return rotations.unit_quaternion(q_ned_body)


def _heading_deg(q_ned_body: npt.ArrayLike | None) -> float:
    return float(rotations.euler_deg_from_quaternion(_known(q_ned_body))[2])


def _angle(angle_deg: float, name: str) -> float:
    if not abs(angle_deg) <= _MAX_ANGLE_DEG:
        raise InputError(f"a {name} of {angle_deg} deg is no angle")
    return float(angle_deg)
