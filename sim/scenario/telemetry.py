"""What a platform says about itself: real MAVLink 2 bytes with stated rates, errors and delays."""

import math
from collections.abc import Callable, Iterator

from sim.scenario.land.noise import generator
from sim.scenario.platform import PlatformTruth
from sim.scenario.world import World
from skywarden.geometry.rotations import quaternion_from_euler_deg
from skywarden.mavlink.synth import (
    GIMBAL_FLAG_PITCH_LOCK,
    GIMBAL_FLAG_ROLL_LOCK,
    GIMBAL_FLAG_YAW_IN_EARTH_FRAME,
    GIMBAL_FLAG_YAW_IN_VEHICLE_FRAME,
    GIMBAL_FLAG_YAW_LOCK,
    MessageMaker,
)

BOOT_LEAD_S = 60.0
"""The autopilot started this long before the scenario."""
LINK_DELAY_S = (0.008, 0.022)
"""A message arrives between these delays after its instant; arrival keeps the order of sending."""

_AUTOPILOT_COMPID = 1
_GIMBAL_COMPID = 154
_MESSAGES: tuple[tuple[str, float], ...] = (
    ("attitude", 0.05),
    ("gimbal", 0.05),
    ("global_position", 0.1),
    ("gps_raw", 0.2),
    ("heartbeat", 1.0),
    ("gimbal_heartbeat", 1.0),
    ("system_time", 1.0),
    ("home", 5.0),
)


class TelemetryMaker:
    """The MAVLink voice of one platform; a new maker gives the same bytes again."""

    def __init__(self, world: World, truth: PlatformTruth) -> None:
        self._world, self._truth = world, truth
        platform = truth.platform
        self._rng = generator(world.scenario.seed, "telemetry", platform.id)
        self._autopilot = MessageMaker(platform.sysid, _AUTOPILOT_COMPID)
        self._gimbal_maker = MessageMaker(platform.sysid, _GIMBAL_COMPID)
        home_x, home_y = platform.home
        latitude, longitude = world.grid.geodetic(home_x, home_y)
        self._home = (float(latitude), float(longitude))
        heights = world.sample(world.elevation_msl_m, [home_x], [home_y])
        self._home_alt_msl_m = max(float(heights[0]), 0.0)

    def messages(self, seconds: float, *, start_s: float = 0.0) -> Iterator[tuple[int, bytes]]:
        """(arrival UTC ns, frame) from `start_s` of the scenario on for `seconds`, in order."""
        has_gimbal = self._truth.platform.camera.sweep is not None
        makers: dict[str, Callable[[float], bytes]] = {
            "attitude": self._attitude,
            "gimbal": self._gimbal,
            "global_position": self._global_position,
            "gps_raw": self._gps_raw,
            "heartbeat": self._heartbeat,
            "gimbal_heartbeat": self._gimbal_heartbeat,
            "system_time": self._system_time,
            "home": self._home_position,
        }
        instants = sorted(
            (round(k * period * 1000) + order, order, name)
            for order, (name, period) in enumerate(_MESSAGES)
            if has_gimbal or not name.startswith("gimbal")
            for k in range(int(seconds / period) + 1)
        )
        arrived_ns, first_ms = 0, round(start_s * 1000)
        for time_ms, _, name in instants:
            if time_ms > seconds * 1000:
                break
            delay_s = float(self._rng.uniform(*LINK_DELAY_S))
            sent_ns = self._world.scenario.start_ns + (first_ms + time_ms) * 1_000_000
            arrival_ns = sent_ns + int(delay_s * 1e6) * 1000
            arrived_ns = max(arrived_ns + 20_000, arrival_ns)
            yield arrived_ns, makers[name]((first_ms + time_ms) / 1000.0)

    def _noise(self, sigma: float) -> float:
        return float(self._rng.normal(0.0, sigma)) if sigma > 0.0 else 0.0

    def _reported_place(self, time_s: float) -> tuple[float, float, float, float]:
        """Latitude, longitude, height above the geoid and the ellipsoid as the receiver believes them."""
        state = self._truth.at(time_s)
        north, east, up = self._truth.drift_at(time_s)
        latitude = state.latitude_deg + north / self._world.grid.north_m_per_deg
        longitude = state.longitude_deg + east / self._world.grid.east_m_per_deg
        return latitude, longitude, state.alt_msl_m + up, state.alt_hae_m + up

    def _reported_heading(self, time_s: float) -> float:
        return (self._truth.at(time_s).heading_deg + self._truth.bias_deg[2]) % 360.0

    def _attitude(self, time_s: float) -> bytes:
        step_s = 0.02
        before, state, after = (self._truth.at(max(time_s + k * step_s, 0.0)) for k in (-1, 0, 1))
        turn = (after.heading_deg - before.heading_deg + 180.0) % 360.0 - 180.0
        bias = self._truth.bias_deg
        sigma = self._truth.platform.errors.attitude_noise_deg
        return self._autopilot.attitude(
            time_boot_ms=_boot_ms(time_s),
            roll_deg=state.roll_deg + bias[0] + self._noise(sigma),
            pitch_deg=state.pitch_deg + bias[1] + self._noise(sigma),
            heading_deg=self._reported_heading(time_s) + self._noise(sigma),
            roll_rate_dps=(after.roll_deg - before.roll_deg) / (2 * step_s),
            pitch_rate_dps=(after.pitch_deg - before.pitch_deg) / (2 * step_s),
            yaw_rate_dps=turn / (2 * step_s),
        )

    def _gimbal(self, time_s: float) -> bytes:
        """Where the gimbal says it points, in the convention of the scenario."""
        gimbal = self._truth.gimbal_at(time_s)
        sweep = self._truth.platform.camera.sweep
        assert gimbal is not None
        assert sweep is not None
        sigma = self._truth.platform.errors.gimbal_noise_deg
        bias = self._truth.gimbal_bias_deg
        roll = gimbal.roll_deg + bias[0] + self._noise(sigma)
        pitch = gimbal.pitch_deg + bias[1] + self._noise(sigma)
        off = self._noise(sigma)
        # North the gimbal knows from the autopilot, whose compass errs; the nose from its own joint.
        north = gimbal.azimuth_deg + self._truth.bias_deg[2] + off
        nose = _turned(gimbal.azimuth_deg - self._truth.at(time_s).heading_deg) + off
        told = sweep.convention
        if told in ("mount_orientation", "mount_orientation_relative"):
            absolute = _turned(north) if told == "mount_orientation" else None
            return self._autopilot.mount_orientation(
                time_boot_ms=_boot_ms(time_s),
                roll_deg=roll,
                pitch_deg=pitch,
                yaw_deg=nose,
                yaw_absolute_deg=absolute,
            )
        if told == "mount_status":
            return self._autopilot.mount_status(roll_deg=roll, pitch_deg=pitch, yaw_deg=nose)
        return self._gimbal_device(time_s, (roll, pitch), north, nose)

    def _gimbal_device(self, time_s: float, tilt: tuple[float, float], north: float, nose: float) -> bytes:
        """GIMBAL_DEVICE_ATTITUDE_STATUS in the frame of the convention, flags and all."""
        sweep = self._truth.platform.camera.sweep
        assert sweep is not None
        flags = GIMBAL_FLAG_ROLL_LOCK | GIMBAL_FLAG_PITCH_LOCK
        told = sweep.convention
        is_earth = told == "gimbal_device_earth" or (
            told in ("gimbal_device", "gimbal_device_before_2022") and sweep.reference != "nose"
        )
        if is_earth:
            flags |= GIMBAL_FLAG_YAW_LOCK
        if told != "gimbal_device_before_2022":
            flags |= GIMBAL_FLAG_YAW_IN_EARTH_FRAME if is_earth else GIMBAL_FLAG_YAW_IN_VEHICLE_FRAME
        q = quaternion_from_euler_deg(tilt[0], tilt[1], north if is_earth else nose)
        delta = math.radians(self._reported_heading(time_s))
        return self._gimbal_maker.gimbal_device_attitude_status(
            time_boot_ms=_boot_ms(time_s),
            q=(float(q[0]), float(q[1]), float(q[2]), float(q[3])),
            flags=flags,
            delta_yaw_rad=None if told == "gimbal_device_before_2022" else delta,
        )

    def _global_position(self, time_s: float) -> bytes:
        state = self._truth.at(time_s)
        latitude, longitude, alt_msl_m, _ = self._reported_place(time_s)
        return self._autopilot.global_position_int(
            time_boot_ms=_boot_ms(time_s),
            latitude_deg=latitude,
            longitude_deg=longitude,
            alt_msl_m=alt_msl_m,
            alt_rel_m=alt_msl_m - self._home_alt_msl_m,
            vn_mps=state.north_mps,
            ve_mps=state.east_mps,
            vd_mps=0.0,
            heading_deg=self._reported_heading(time_s),
        )

    def _gps_raw(self, time_s: float) -> bytes:
        state = self._truth.at(time_s)
        latitude, longitude, alt_msl_m, alt_hae_m = self._reported_place(time_s)
        errors = self._truth.platform.errors
        return self._autopilot.gps_raw_int(
            time_us=_boot_ms(time_s) * 1000,
            latitude_deg=latitude,
            longitude_deg=longitude,
            alt_msl_m=alt_msl_m,
            alt_ellipsoid_m=alt_hae_m,
            fix_type=3,
            satellites=16,
            h_acc_m=max(errors.horizontal_m, 0.1) * math.sqrt(2.0),  # a radius; the sigma is per axis
            v_acc_m=max(errors.vertical_m, 0.1),
            speed_mps=math.hypot(state.north_mps, state.east_mps),
            course_deg=math.degrees(math.atan2(state.east_mps, state.north_mps)) % 360.0,
            hdop=0.8,
            vdop=1.1,
        )

    def _heartbeat(self, time_s: float) -> bytes:
        is_wing = self._truth.platform.vehicle == "fixed_wing"
        return self._autopilot.heartbeat(
            type=1 if is_wing else 2, base_mode=0x89, custom_mode=10 if is_wing else 3
        )

    def _gimbal_heartbeat(self, time_s: float) -> bytes:
        return self._gimbal_maker.heartbeat(type=26, autopilot=8)

    def _system_time(self, time_s: float) -> bytes:
        ahead_s = self._truth.platform.errors.clock_offset_s
        unix_us = self._world.scenario.start_ns // 1000 + round((time_s + ahead_s) * 1e6)
        return self._autopilot.system_time(time_boot_ms=_boot_ms(time_s), time_unix_us=unix_us)

    def _home_position(self, time_s: float) -> bytes:
        return self._autopilot.home_position(
            latitude_deg=self._home[0], longitude_deg=self._home[1], alt_msl_m=self._home_alt_msl_m
        )


def _turned(degrees: float) -> float:
    """The same direction within -180 to 180 degrees."""
    return (degrees + 180.0) % 360.0 - 180.0


def _boot_ms(time_s: float) -> int:
    return round((BOOT_LEAD_S + time_s) * 1000)
