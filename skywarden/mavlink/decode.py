"""MAVLink payloads into named, checked numbers; what is not finite, not known or out of range becomes None.

Two levels: `fields` gives any message's raw fields by name; the functions below it give the few messages that
make a pose as small structs in plain units, or None where the message says nothing that could be true.
"""

import math
from dataclasses import dataclass

from skywarden.geometry.heights import AboveHomeM, HaeM, MslM
from skywarden.mavlink.dialect import MESSAGES, Field, MessageType
from skywarden.mavlink.framing import Frame

Value = int | float | str | None | tuple[int | float | None, ...]

HEARTBEAT = 0
SYSTEM_TIME = 2
GPS_RAW_INT = 24
SCALED_IMU = 26
RAW_IMU = 27
ATTITUDE = 30
ATTITUDE_QUATERNION = 31
GLOBAL_POSITION_INT = 33
VFR_HUD = 74
COMMAND_LONG = 76
COMMAND_ACK = 77
HIGHRES_IMU = 105
GPS2_RAW = 124
ALTITUDE = 141
MOUNT_STATUS = 158
EKF_STATUS_REPORT = 193
ESTIMATOR_STATUS = 230
HOME_POSITION = 242
STATUSTEXT = 253
MOUNT_ORIENTATION = 265
GIMBAL_DEVICE_ATTITUDE_STATUS = 285

AUTOPILOT_INVALID = 8

_I32_UNKNOWN = 0x7FFF_FFFF
_U16_UNKNOWN = 0xFFFF
_MIN_ALT_M, _MAX_ALT_M = -1_000.0, 60_000.0
_MAX_SPEED_MPS = 350.0
_QUATERNION_TOLERANCE = 0.05
_STANDARD_GRAVITY_MPS2 = 9.80665
_ARMED = 128
_NULL_ISLAND_E7 = 1_000
_CONSTANT_POSITION = 128
_GLITCHING = {EKF_STATUS_REPORT: 32_768, ESTIMATOR_STATUS: 1_024}
_MIN_UNIX_US = 1_262_304_000_000_000  # 2010-01-01
_MAX_UNIX_US = 4_102_444_800_000_000  # 2100-01-01


def message_name(msgid: int) -> str | None:
    """MAVLink name of a message id, None when the dialect has none."""
    message = MESSAGES.get(msgid)
    return None if message is None else message.name


def fields(frame: Frame) -> dict[str, Value] | None:
    """All fields by name in the order of the message definition, None for an unknown id.

    Cut-off zeros are restored; NaN and infinity become None; text ends at its first NUL and is ASCII with
    replacement characters.
    """
    message = MESSAGES.get(frame.msgid)
    if message is None:
        return None
    by_name = _by_name(message, _unpack(message, frame.payload))
    return {name: by_name[name] for name in message.names}


def _unpack(message: MessageType, payload: bytes) -> tuple[int | float | bytes, ...]:
    size = message.size
    whole = payload[:size] if len(payload) >= size else payload + bytes(size - len(payload))
    unpacked: tuple[int | float | bytes, ...] = message.unpacker.unpack(whole)
    return unpacked


def _by_name(message: MessageType, numbers: tuple[int | float | bytes, ...]) -> dict[str, Value]:
    result: dict[str, Value] = {}
    at = 0
    for field in message.fields:
        width = 1 if field.is_text else field.count
        result[field.name] = _value(field, numbers[at : at + width])
        at += width
    return result


def _value(field: Field, parts: tuple[int | float | bytes, ...]) -> Value:
    first = parts[0]
    if isinstance(first, bytes):
        return first.split(b"\0", 1)[0].decode("ascii", "replace")
    numbers = tuple(_finite(part) for part in parts if not isinstance(part, bytes))
    return numbers[0] if field.count == 1 else numbers


def _finite(value: int | float) -> int | float | None:
    return value if isinstance(value, int) or math.isfinite(value) else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Heartbeat:
    """Who speaks: vehicle or component type, autopilot kind (8: not an autopilot), state."""

    type: int
    autopilot: int
    base_mode: int
    system_status: int

    @property
    def is_autopilot(self) -> bool:
        """Whether the sender flies the vehicle."""
        return self.autopilot != AUTOPILOT_INVALID

    @property
    def is_armed(self) -> bool:
        """Whether the motors may turn (MAV_MODE_FLAG_SAFETY_ARMED)."""
        return bool(self.base_mode & _ARMED)


@dataclass(frozen=True, kw_only=True, slots=True)
class GlobalPosition:
    """The autopilot's estimate; `alt_msl_m` is what the autopilot calls MSL, `heading_deg` may be unknown."""

    boot_ms: int
    latitude_deg: float
    longitude_deg: float
    alt_msl_m: MslM
    alt_rel_m: AboveHomeM
    velocity_ned_mps: tuple[float, float, float]
    heading_deg: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class GpsRaw:
    """One receiver's answer. `fix_type`: 0 and 1 none, 2 two-dimensional, 3 and more three-dimensional.

    `time_us` counts from the start of the sender or is UTC, as the message leaves open; None when not told.
    `course_deg` is where it moves, clockwise from true north; None when not told, as at a standstill.
    """

    fix_type: int
    time_us: int | None
    latitude_deg: float | None
    longitude_deg: float | None
    alt_msl_m: MslM | None
    alt_ellipsoid_m: HaeM | None
    h_acc_m: float | None
    v_acc_m: float | None
    speed_mps: float | None
    course_deg: float | None
    hdop: float | None = None

    @property
    def undulation_m(self) -> float | None:
        """The receiver's own geoid height: ellipsoidal minus MSL."""
        if self.alt_ellipsoid_m is None or self.alt_msl_m is None:
            return None
        return self.alt_ellipsoid_m - self.alt_msl_m


@dataclass(frozen=True, kw_only=True, slots=True)
class EstimatorStatus:
    """What an autopilot's filter says of itself (EKF_STATUS_REPORT or ESTIMATOR_STATUS).

    `worst_ratio` is the largest innovation test ratio of horizontal position and velocity: beyond 1 the
    filter rejects what the receiver says. 0 where nothing is told.
    """

    is_constant_position: bool
    is_glitching: bool
    worst_ratio: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Accelerations:
    """Specific force in body axes (forward, right, down), m/s^2; `time_ms` counts as the message does."""

    time_ms: int
    force_body_mps2: tuple[float, float, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Attitude:
    """Aircraft attitude as a unit quaternion (w, x, y, z) from body to north-east-down; body rates rad/s."""

    boot_ms: int
    q_ned_body: tuple[float, float, float, float]
    rates_rps: tuple[float, float, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class GimbalDeviceAttitude:
    """GIMBAL_DEVICE_ATTITUDE_STATUS as it came; what `q` means depends on `flags` (see edge.gimbal)."""

    boot_ms: int
    flags: int
    q: tuple[float, float, float, float]
    delta_yaw_rad: float | None
    failure_flags: int
    gimbal_device_id: int


@dataclass(frozen=True, kw_only=True, slots=True)
class MountAngles:
    """MOUNT_ORIENTATION or MOUNT_STATUS in degrees; `boot_ms` is None where the message has no time."""

    boot_ms: int | None
    roll_deg: float
    pitch_deg: float
    yaw_deg: float
    yaw_absolute_deg: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class HomePosition:
    """Where the vehicle took off; `alt_msl_m` is what the autopilot calls MSL."""

    latitude_deg: float
    longitude_deg: float
    alt_msl_m: MslM


def heartbeat(frame: Frame) -> Heartbeat:
    """HEARTBEAT(0)."""
    _, kind, autopilot, base_mode, status, _ = _numbers(frame)
    return Heartbeat(
        type=int(kind), autopilot=int(autopilot), base_mode=int(base_mode), system_status=int(status)
    )


def system_time(frame: Frame) -> tuple[int, int | None]:
    """SYSTEM_TIME(2): boot milliseconds, and UTC nanoseconds (None when unset or outside 2010 to 2100)."""
    unix_us, boot_ms = (int(value) for value in _numbers(frame))
    return boot_ms, unix_us * 1_000 if _MIN_UNIX_US <= unix_us <= _MAX_UNIX_US else None


def gnss_time_us(frame: Frame) -> tuple[int, int] | None:
    """Boot milliseconds and what SYSTEM_TIME(2) tells as microseconds of 1970, plausible or not.

    None while the autopilot tells no time (0). A clock of the wrong year still runs evenly.
    """
    unix_us, boot_ms = (int(value) for value in _numbers(frame))
    return (boot_ms, unix_us) if 0 < unix_us < 1 << 62 else None


def ground_speed_mps(frame: Frame) -> float | None:
    """Speed over ground of VFR_HUD(74); None when it is no speed."""
    speed = _by_name(MESSAGES[VFR_HUD], _unpack(MESSAGES[VFR_HUD], frame.payload))["groundspeed"]
    return float(speed) if isinstance(speed, int | float) and 0.0 <= speed <= _MAX_SPEED_MPS else None


def relative_altitude_m(frame: Frame) -> AboveHomeM | None:
    """Height above home of ALTITUDE(141); None when it is not told."""
    height = _by_name(MESSAGES[ALTITUDE], _unpack(MESSAGES[ALTITUDE], frame.payload))["altitude_relative"]
    return AboveHomeM(float(height)) if isinstance(height, int | float) and abs(height) < 1e5 else None


def estimator_status(frame: Frame) -> EstimatorStatus | None:
    """EKF_STATUS_REPORT(193) or ESTIMATOR_STATUS(230); None from a filter that does not run (no flags)."""
    message = MESSAGES[frame.msgid]
    values = _by_name(message, _unpack(message, frame.payload))
    flags = _whole(values["flags"])
    if flags == 0:
        return None
    names = ("velocity_variance", "pos_horiz_variance", "vel_ratio", "pos_horiz_ratio")
    ratios = [value for name in names if isinstance(value := values.get(name), int | float)]
    return EstimatorStatus(
        is_constant_position=bool(flags & _CONSTANT_POSITION),
        is_glitching=bool(flags & _GLITCHING[frame.msgid]),
        worst_ratio=max((float(ratio) for ratio in ratios), default=0.0),
    )


def accelerations(frame: Frame) -> Accelerations | None:
    """SCALED_IMU(26), RAW_IMU(27; thousandths of gravity, as ArduPilot sends it) or HIGHRES_IMU(105).

    None when it is not finite or no force that a flying thing feels (0.2 to 6 times gravity).
    """
    message = MESSAGES[frame.msgid]
    values = _by_name(message, _unpack(message, frame.payload))
    parts = [values[name] for name in ("xacc", "yacc", "zacc")]
    factor = 1.0 if frame.msgid == HIGHRES_IMU else _STANDARD_GRAVITY_MPS2 / 1e3
    x, y, z = (math.nan if not isinstance(part, int | float) else part * factor for part in parts)
    size = math.sqrt(x * x + y * y + z * z)
    if not 0.2 * _STANDARD_GRAVITY_MPS2 <= size <= 6.0 * _STANDARD_GRAVITY_MPS2:
        return None
    is_milli = "time_boot_ms" in values
    time_ms = _whole(values["time_boot_ms"]) if is_milli else _whole(values["time_usec"]) // 1000
    return Accelerations(time_ms=time_ms, force_body_mps2=(x, y, z))


def global_position(frame: Frame) -> GlobalPosition | None:
    """GLOBAL_POSITION_INT(33); None when it is at (0, 0), out of range or faster than 350 m/s."""
    boot_ms, lat, lon, alt, relative, vx, vy, vz, hdg = (int(value) for value in _numbers(frame))
    place = _place(lat, lon)
    alt_m, rel_m = _altitude(alt), _altitude(relative)
    velocity = (vx / 100, vy / 100, vz / 100)
    if place is None or alt_m is None or rel_m is None or math.hypot(*velocity) > _MAX_SPEED_MPS:
        return None
    return GlobalPosition(
        boot_ms=boot_ms,
        latitude_deg=place[0],
        longitude_deg=place[1],
        alt_msl_m=MslM(alt_m),
        alt_rel_m=AboveHomeM(rel_m),
        velocity_ned_mps=velocity,
        heading_deg=None if hdg == _U16_UNKNOWN or hdg > 36_000 else hdg / 100 % 360,
    )


def gps_raw(frame: Frame) -> GpsRaw:
    """GPS_RAW_INT(24) or GPS2_RAW(124); extensions are None where the sender has none (zero on the wire)."""
    numbers = _fields_of(frame)
    place = _place(numbers["lat"], numbers["lon"])
    ellipsoid, speed_mps, course = numbers["alt_ellipsoid"], numbers["vel"] / 100, numbers["cog"]
    above_sea, above_ellipsoid = _altitude(numbers["alt"]), None if ellipsoid == 0 else _altitude(ellipsoid)
    return GpsRaw(
        fix_type=numbers["fix_type"],
        time_us=numbers["time_usec"] or None,
        latitude_deg=None if place is None else place[0],
        longitude_deg=None if place is None else place[1],
        alt_msl_m=None if above_sea is None else MslM(above_sea),
        alt_ellipsoid_m=None if above_ellipsoid is None else HaeM(above_ellipsoid),
        h_acc_m=_accuracy(numbers["h_acc"]),
        v_acc_m=_accuracy(numbers["v_acc"]),
        speed_mps=speed_mps if speed_mps <= _MAX_SPEED_MPS else None,
        course_deg=None if course > 36_000 else course / 100 % 360,
        hdop=None if numbers["eph"] >= _U16_UNKNOWN else numbers["eph"] / 100,
    )


def attitude(frame: Frame) -> Attitude | None:
    """ATTITUDE(30) or ATTITUDE_QUATERNION(31); None when a number is missing or the quaternion is not one."""
    numbers = _numbers(frame)
    if frame.msgid == ATTITUDE:
        boot_ms, roll, pitch, yaw, p, q, r = numbers
        if not _all_finite(roll, pitch, yaw) or max(abs(roll), abs(pitch), abs(yaw)) > 4 * math.pi:
            return None
        quaternion = _quaternion_of(roll, pitch, yaw)
    else:
        boot_ms, w, x, y, z, p, q, r = numbers[:8]
        unit = _unit((w, x, y, z))
        if unit is None:
            return None
        quaternion = unit
    rates = (p, q, r) if _all_finite(p, q, r) and max(abs(p), abs(q), abs(r)) < 50 else (0.0, 0.0, 0.0)
    return Attitude(boot_ms=int(boot_ms), q_ned_body=quaternion, rates_rps=rates)


def gimbal_device_attitude(frame: Frame) -> GimbalDeviceAttitude | None:
    """GIMBAL_DEVICE_ATTITUDE_STATUS(285); None when the quaternion is not one (NaN: axis not known)."""
    message = MESSAGES[GIMBAL_DEVICE_ATTITUDE_STATUS]
    values = _by_name(message, _unpack(message, frame.payload))
    parts = values["q"]
    assert isinstance(parts, tuple)
    if any(part is None for part in parts):
        return None
    unit = _unit(tuple(float(part) for part in parts if part is not None))
    if unit is None:
        return None
    delta = values["delta_yaw"]
    return GimbalDeviceAttitude(
        boot_ms=_whole(values["time_boot_ms"]),
        flags=_whole(values["flags"]),
        q=unit,
        delta_yaw_rad=float(delta) if isinstance(delta, int | float) and abs(delta) <= 4 * math.pi else None,
        failure_flags=_whole(values["failure_flags"]),
        gimbal_device_id=_whole(values["gimbal_device_id"]),
    )


def mount_angles(frame: Frame) -> MountAngles | None:
    """MOUNT_ORIENTATION(265) or MOUNT_STATUS(158) in degrees; None when an angle is missing.

    The yaw against the vehicle may be NaN where an absolute one is told.
    """
    numbers = _numbers(frame)
    if frame.msgid == MOUNT_ORIENTATION:
        boot_ms, roll, pitch, yaw, absolute = numbers
        boot: int | None = int(boot_ms)
        known_absolute = absolute if math.isfinite(absolute) and abs(absolute) <= 720 else None
    else:
        pitch, roll, yaw = (value / 100 for value in numbers[:3])
        boot, known_absolute = None, None
    is_yaw_told = math.isfinite(yaw) and abs(yaw) <= 720
    if not _all_finite(roll, pitch) or max(abs(roll), abs(pitch)) > 720:
        return None
    if not is_yaw_told and (known_absolute is None or math.isfinite(yaw)):
        return None
    return MountAngles(
        boot_ms=boot, roll_deg=roll, pitch_deg=pitch, yaw_deg=yaw, yaw_absolute_deg=known_absolute
    )


def home_position(frame: Frame) -> HomePosition | None:
    """HOME_POSITION(242); None when it is (0, 0) or out of range."""
    lat, lon, alt = (int(value) for value in _numbers(frame)[:3])
    place, alt_m = _place(lat, lon), _altitude(alt)
    if place is None or alt_m is None:
        return None
    return HomePosition(latitude_deg=place[0], longitude_deg=place[1], alt_msl_m=MslM(alt_m))


def _numbers(frame: Frame) -> tuple[float, ...]:
    """The numbers in wire order of a message that holds no text."""
    unpacked = _unpack(MESSAGES[frame.msgid], frame.payload)
    return tuple(value for value in unpacked if not isinstance(value, bytes))


def _fields_of(frame: Frame) -> dict[str, int]:
    """The fields of a message of whole numbers only."""
    message = MESSAGES[frame.msgid]
    return {field.name: int(value) for field, value in zip(message.fields, _numbers(frame), strict=True)}


def _whole(value: Value) -> int:
    return value if isinstance(value, int) else 0


def _place(lat: int, lon: int) -> tuple[float, float] | None:
    """Degrees of 1e-7 degrees; (0, 0) within 11 m is what autopilots send without a fix."""
    if max(abs(lat), abs(lon)) <= _NULL_ISLAND_E7 or lat == _I32_UNKNOWN or lon == _I32_UNKNOWN:
        return None
    if abs(lat) > 900_000_000 or abs(lon) > 1_800_000_000:
        return None
    return lat / 1e7, lon / 1e7


def _altitude(millimetres: int) -> float | None:
    metres = millimetres / 1e3
    return metres if _MIN_ALT_M <= metres <= _MAX_ALT_M else None


def _accuracy(millimetres: int) -> float | None:
    """0 and the largest values mean "not known"."""
    return millimetres / 1e3 if 0 < millimetres < 1_000_000 else None


def _all_finite(*values: float) -> bool:
    return all(math.isfinite(value) for value in values)


def _unit(q: tuple[float, ...]) -> tuple[float, float, float, float] | None:
    if len(q) != 4 or not _all_finite(*q):
        return None
    norm = math.sqrt(sum(part * part for part in q))
    if abs(norm - 1.0) > _QUATERNION_TOLERANCE:
        return None
    return q[0] / norm, q[1] / norm, q[2] / norm, q[3] / norm


def _quaternion_of(roll: float, pitch: float, yaw: float) -> tuple[float, float, float, float]:
    """(w, x, y, z) of aerospace Euler angles in radians, applied yaw, pitch, roll."""
    cr, sr = math.cos(roll / 2), math.sin(roll / 2)
    cp, sp = math.cos(pitch / 2), math.sin(pitch / 2)
    cy, sy = math.cos(yaw / 2), math.sin(yaw / 2)
    return (
        cr * cp * cy + sr * sp * sy,
        sr * cp * cy - cr * sp * sy,
        cr * sp * cy + sr * cp * sy,
        cr * cp * sy - sr * sp * cy,
    )
