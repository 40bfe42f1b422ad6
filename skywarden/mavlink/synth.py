"""Real MAVLink frames from named values in plain units: for importers, the simulator and our own heartbeat.

Unknown values are `None` and become the "not known" value that the message defines (65535, INT32_MAX, NaN,
zero). Every method returns the complete frame; the sequence number counts up per maker.
"""

import math
from typing import Any, Protocol

from pymavlink.dialects.v20 import ardupilotmega

from skywarden.errors import InputError
from skywarden.mavlink.dialect import IDS

U16_UNKNOWN = 0xFFFF
I32_UNKNOWN = 0x7FFF_FFFF
_U32 = 1 << 32

GIMBAL_FLAG_ROLL_LOCK = 4
GIMBAL_FLAG_PITCH_LOCK = 8
GIMBAL_FLAG_YAW_LOCK = 16
GIMBAL_FLAG_YAW_IN_VEHICLE_FRAME = 32
GIMBAL_FLAG_YAW_IN_EARTH_FRAME = 64


class Signer(Protocol):
    """Turns an unsigned MAVLink 2 frame into a signed one (see `skywarden.mavlink.signing`)."""

    def sign(self, raw: bytes) -> bytes:
        """The same frame, signed."""
        ...


class MessageMaker:
    """Packs MAVLink frames of one component.

    `version` 2 (default) or 1; message ids above 255 need 2. `signer` signs each MAVLink 2 frame.
    """

    def __init__(self, sysid: int, compid: int, *, version: int = 2, signer: Signer | None = None) -> None:
        if not (1 <= sysid <= 255 and 1 <= compid <= 255):
            raise InputError(f"system id {sysid} and component id {compid} must both lie in 1..255")
        if version not in (1, 2):
            raise InputError(f"MAVLink version {version} is neither 1 nor 2")
        self._mavlink = ardupilotmega.MAVLink(None, srcSystem=sysid, srcComponent=compid)
        self._is_v1 = version == 1
        self._signer = signer

    def message(self, name: str, /, **fields: Any) -> bytes:
        """Any message of the dialect by its MAVLink name and raw field values.

        Raises `InputError` for an unknown name, missing or unknown fields, or values that do not fit.
        """
        msgid = IDS.get(name)
        if msgid is None:
            raise InputError(f"there is no MAVLink message {name[:40]!r} in the dialect")
        if self._is_v1 and msgid > 255:
            raise InputError(f"{name} has id {msgid}, MAVLink 1 carries only ids up to 255")
        try:
            packed: bytes = ardupilotmega.mavlink_map[msgid](**fields).pack(
                self._mavlink, force_mavlink1=self._is_v1
            )
        except (TypeError, ValueError, OverflowError, ardupilotmega.struct.error) as error:
            raise InputError(f"{name} cannot be packed: {error}") from error
        self._mavlink.seq = (self._mavlink.seq + 1) % 256
        if self._signer is not None and not self._is_v1:
            return self._signer.sign(packed)
        return packed

    def heartbeat(
        self,
        *,
        type: int = 2,
        autopilot: int = 3,
        base_mode: int = 0,
        custom_mode: int = 0,
        system_status: int = 4,
    ) -> bytes:
        """HEARTBEAT(0). Defaults: a quadrotor (2) under ArduPilot (3), active (4); PX4 is autopilot 12.

        A companion computer says type 18, autopilot 8.
        """
        return self.message(
            "HEARTBEAT",
            type=type,
            autopilot=autopilot,
            base_mode=base_mode,
            custom_mode=custom_mode,
            system_status=system_status,
            mavlink_version=3,
        )

    def system_time(self, *, time_boot_ms: int, time_unix_us: int | None) -> bytes:
        """SYSTEM_TIME(2); `None` (UTC not known yet) is sent as 0."""
        return self.message(
            "SYSTEM_TIME", time_unix_usec=time_unix_us or 0, time_boot_ms=_boot_ms(time_boot_ms)
        )

    def global_position_int(
        self,
        *,
        time_boot_ms: int,
        latitude_deg: float,
        longitude_deg: float,
        alt_msl_m: float,
        alt_rel_m: float,
        vn_mps: float = 0.0,
        ve_mps: float = 0.0,
        vd_mps: float = 0.0,
        heading_deg: float | None = None,
    ) -> bytes:
        """GLOBAL_POSITION_INT(33): position, height above the geoid and above home, velocity, heading."""
        return self.message(
            "GLOBAL_POSITION_INT",
            time_boot_ms=_boot_ms(time_boot_ms),
            lat=_degrees_e7(latitude_deg),
            lon=_degrees_e7(longitude_deg),
            alt=_scaled(alt_msl_m, 1e3),
            relative_alt=_scaled(alt_rel_m, 1e3),
            vx=_scaled(vn_mps, 100),
            vy=_scaled(ve_mps, 100),
            vz=_scaled(vd_mps, 100),
            hdg=_centidegrees(heading_deg),
        )

    def gps_raw_int(
        self,
        *,
        time_us: int,
        latitude_deg: float,
        longitude_deg: float,
        alt_msl_m: float,
        alt_ellipsoid_m: float | None = None,
        fix_type: int = 3,
        satellites: int | None = None,
        h_acc_m: float | None = None,
        v_acc_m: float | None = None,
        speed_mps: float | None = None,
        course_deg: float | None = None,
        hdop: float | None = None,
        vdop: float | None = None,
    ) -> bytes:
        """GPS_RAW_INT(24), one receiver's own answer; `alt_ellipsoid_m` is the height above WGS 84.

        `time_us` is UTC or time since boot, as the message allows.
        """
        return self.message(
            "GPS_RAW_INT",
            time_usec=time_us,
            fix_type=fix_type,
            lat=_degrees_e7(latitude_deg),
            lon=_degrees_e7(longitude_deg),
            alt=_scaled(alt_msl_m, 1e3),
            eph=_u16(hdop, 100),
            epv=_u16(vdop, 100),
            vel=_u16(speed_mps, 100),
            cog=_centidegrees(course_deg),
            satellites_visible=255 if satellites is None else satellites,
            alt_ellipsoid=0 if alt_ellipsoid_m is None else _scaled(alt_ellipsoid_m, 1e3),
            h_acc=0 if h_acc_m is None else _scaled(h_acc_m, 1e3),
            v_acc=0 if v_acc_m is None else _scaled(v_acc_m, 1e3),
        )

    def attitude(
        self,
        *,
        time_boot_ms: int,
        roll_deg: float,
        pitch_deg: float,
        heading_deg: float,
        roll_rate_dps: float = 0.0,
        pitch_rate_dps: float = 0.0,
        yaw_rate_dps: float = 0.0,
    ) -> bytes:
        """ATTITUDE(30): aerospace Euler angles (yaw, pitch, roll order) and body rates."""
        return self.message(
            "ATTITUDE",
            time_boot_ms=_boot_ms(time_boot_ms),
            roll=math.radians(roll_deg),
            pitch=math.radians(pitch_deg),
            yaw=math.radians((heading_deg + 180.0) % 360.0 - 180.0),
            rollspeed=math.radians(roll_rate_dps),
            pitchspeed=math.radians(pitch_rate_dps),
            yawspeed=math.radians(yaw_rate_dps),
        )

    def attitude_quaternion(
        self,
        *,
        time_boot_ms: int,
        q_ned_body: tuple[float, float, float, float],
        roll_rate_dps: float = 0.0,
        pitch_rate_dps: float = 0.0,
        yaw_rate_dps: float = 0.0,
    ) -> bytes:
        """ATTITUDE_QUATERNION(31): (w, x, y, z) from body axes to north-east-down, and body rates."""
        w, x, y, z = q_ned_body
        return self.message(
            "ATTITUDE_QUATERNION",
            time_boot_ms=_boot_ms(time_boot_ms),
            q1=w,
            q2=x,
            q3=y,
            q4=z,
            rollspeed=math.radians(roll_rate_dps),
            pitchspeed=math.radians(pitch_rate_dps),
            yawspeed=math.radians(yaw_rate_dps),
        )

    def gimbal_device_attitude_status(
        self,
        *,
        time_boot_ms: int,
        q: tuple[float, float, float, float],
        flags: int = GIMBAL_FLAG_ROLL_LOCK | GIMBAL_FLAG_PITCH_LOCK | GIMBAL_FLAG_YAW_IN_EARTH_FRAME,
        delta_yaw_rad: float | None = None,
        angular_velocity_rps: tuple[float, float, float] | None = None,
        failure_flags: int = 0,
        gimbal_device_id: int = 0,
    ) -> bytes:
        """GIMBAL_DEVICE_ATTITUDE_STATUS(285); `q` (w, x, y, z) is in the frame that `flags` name.

        Unknown `delta_yaw_rad` and rates are sent as NaN, as the message defines.
        """
        rates = angular_velocity_rps or (math.nan, math.nan, math.nan)
        return self.message(
            "GIMBAL_DEVICE_ATTITUDE_STATUS",
            target_system=0,
            target_component=0,
            time_boot_ms=_boot_ms(time_boot_ms),
            flags=flags,
            q=list(q),
            angular_velocity_x=rates[0],
            angular_velocity_y=rates[1],
            angular_velocity_z=rates[2],
            failure_flags=failure_flags,
            delta_yaw=math.nan if delta_yaw_rad is None else delta_yaw_rad,
            delta_yaw_velocity=math.nan,
            gimbal_device_id=gimbal_device_id,
        )

    def mount_orientation(
        self,
        *,
        time_boot_ms: int,
        roll_deg: float,
        pitch_deg: float,
        yaw_deg: float,
        yaw_absolute_deg: float | None = None,
    ) -> bytes:
        """MOUNT_ORIENTATION(265): roll and pitch against the horizon, yaw against the vehicle's nose."""
        return self.message(
            "MOUNT_ORIENTATION",
            time_boot_ms=_boot_ms(time_boot_ms),
            roll=roll_deg,
            pitch=pitch_deg,
            yaw=yaw_deg,
            yaw_absolute=math.nan if yaw_absolute_deg is None else yaw_absolute_deg,
        )

    def mount_status(self, *, roll_deg: float, pitch_deg: float, yaw_deg: float, mode: int = 0) -> bytes:
        """MOUNT_STATUS(158) of older ArduPilot, angles in centidegrees on the wire."""
        return self.message(
            "MOUNT_STATUS",
            target_system=0,
            target_component=0,
            pointing_a=_scaled(pitch_deg, 100),
            pointing_b=_scaled(roll_deg, 100),
            pointing_c=_scaled(yaw_deg, 100),
            mount_mode=mode,
        )

    def home_position(
        self, *, latitude_deg: float, longitude_deg: float, alt_msl_m: float, time_us: int = 0
    ) -> bytes:
        """HOME_POSITION(242): where the vehicle took off, height above the geoid."""
        return self.message(
            "HOME_POSITION",
            latitude=_degrees_e7(latitude_deg),
            longitude=_degrees_e7(longitude_deg),
            altitude=_scaled(alt_msl_m, 1e3),
            x=0.0,
            y=0.0,
            z=0.0,
            q=[1.0, 0.0, 0.0, 0.0],
            approach_x=0.0,
            approach_y=0.0,
            approach_z=0.0,
            time_usec=time_us,
        )

    def ais_vessel(
        self,
        *,
        mmsi: int,
        latitude_deg: float,
        longitude_deg: float,
        course_deg: float | None = None,
        heading_deg: float | None = None,
        speed_mps: float | None = None,
        name: str = "",
        callsign: str = "",
        type: int = 0,
        age_s: int = 0,
        dimensions_m: tuple[int, int, int, int] = (0, 0, 0, 0),
        flags: int = 0,
        navigational_status: int = 15,
    ) -> bytes:
        """AIS_VESSEL(301); `dimensions_m` are bow, stern, port, starboard from the antenna."""
        bow, stern, port, starboard = dimensions_m
        return self.message(
            "AIS_VESSEL",
            MMSI=mmsi,
            lat=_degrees_e7(latitude_deg),
            lon=_degrees_e7(longitude_deg),
            COG=_centidegrees(course_deg),
            heading=_centidegrees(heading_deg),
            velocity=_u16(speed_mps, 100),
            turn_rate=0,
            navigational_status=navigational_status,
            type=type,
            dimension_bow=bow,
            dimension_stern=stern,
            dimension_port=port,
            dimension_starboard=starboard,
            callsign=callsign.encode("ascii", "replace")[:7],
            name=name.encode("ascii", "replace")[:20],
            tslc=min(age_s, U16_UNKNOWN),
            flags=flags,
        )

    def statustext(self, *, severity: int, text: str) -> list[bytes]:
        """STATUSTEXT(253) frames of one text: one up to 50 bytes, else chunks under one id (up to 500 bytes).

        Severity as in syslog: 4 warning, 6 info.
        """
        data = text.encode("utf-8", "replace")[:500]
        chunks = [data[start : start + 50] for start in range(0, len(data), 50)] or [b""]
        text_id = 0 if len(chunks) == 1 else self._mavlink.seq + 1
        return [
            self.message("STATUSTEXT", severity=severity, text=chunk, id=text_id, chunk_seq=number)
            for number, chunk in enumerate(chunks)
        ]

    def command_long(
        self,
        *,
        target_system: int,
        target_component: int,
        command: int,
        params: tuple[float, ...] = (),
        confirmation: int = 0,
    ) -> bytes:
        """COMMAND_LONG(76) with up to seven parameters, the rest 0."""
        filled = (*params, *([0.0] * 7))[:7]
        return self.message(
            "COMMAND_LONG",
            target_system=target_system,
            target_component=target_component,
            command=command,
            confirmation=confirmation,
            **{f"param{number + 1}": value for number, value in enumerate(filled)},
        )

    def command_ack(self, *, command: int, result: int, target_system: int, target_component: int) -> bytes:
        """COMMAND_ACK(77): 0 accepted, 3 unsupported."""
        return self.message(
            "COMMAND_ACK",
            command=command,
            result=result,
            progress=0,
            result_param2=0,
            target_system=target_system,
            target_component=target_component,
        )


def _boot_ms(time_boot_ms: int) -> int:
    return int(time_boot_ms) % _U32


def _scaled(value: float, factor: float) -> int:
    if not math.isfinite(value):
        raise InputError(f"{value} cannot be sent as a whole number; use None where a value is not known")
    return round(value * factor)


def _degrees_e7(degrees: float) -> int:
    return _scaled(degrees, 1e7)


def _centidegrees(degrees: float | None) -> int:
    return U16_UNKNOWN if degrees is None else _scaled(degrees % 360.0, 100) % 36_000


def _u16(value: float | None, factor: float) -> int:
    return U16_UNKNOWN if value is None else max(0, min(_scaled(value, factor), U16_UNKNOWN - 1))
