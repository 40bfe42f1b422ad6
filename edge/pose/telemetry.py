"""MAVLink frames into the pose history of our platform: who flies it, when it was true, what is believed.

A plain object that is handed frames and times. It never raises on what a frame contains: what is damaged, out
of range, without a fix or impossible is counted and left out, so that nonsense never becomes a position.
"""

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from edge.calibration.record import Calibration
from edge.integrity import FIRST, REASONS, SECOND, Fix, IntegrityMonitor, Point, Verdict
from edge.mavlink_port import MavlinkConfig
from edge.pose import (
    AttitudeSample,
    GimbalSample,
    Mount,
    PoseBuffer,
    PoseHistory,
    PositionSample,
    platform_pose_at,
)
from edge.pose.datum import HeightDatum
from edge.pose.level import LevelAccelerations
from skywarden.clock import NS_PER_S
from skywarden.geometry.heights import AboveHomeM
from skywarden.geometry.pose import PoseSigmas
from skywarden.mavlink import decode
from skywarden.mavlink.autopilot import Address, AutopilotPicker
from skywarden.mavlink.bootclock import BootClock
from skywarden.mavlink.framing import Frame, parse_frame
from skywarden.messages import Health, PlatformPose
from skywarden.times import rfc3339

MAX_SYSTEMS = 8
MAX_CLOCKS = 32
RTK_FLOAT = 5
FIX_2D, FIX_3D = 2, 3
RELATIVE_FRESH_NS = 5 * NS_PER_S
STANDING_MPS = 0.5
UTC_FROM_US = (
    1_262_304_000_000_000  # 2010: a receiver that counts from here states its own measurement's time
)
LAG_SIGMA_S = 0.1
GOOD_HDOP = 2.0
METRES_PER_HDOP = 1.5
PLAUSIBLE_CLOCK_S = 300.0
CLOCK_ALARM_S = 1.0
HEARD_NS = 5 * NS_PER_S
LOSSES = ("no_fix", "no_height")

ClockName = Literal["boot", "receiver", "second", "imu"]
"""A component counts its messages from its start; receivers and accelerometers may count otherwise."""

Condition = tuple[str, Literal["degraded", "failed"], bool, str]


@dataclass(kw_only=True, slots=True)
class _System:
    """What is known of one (system id, component id) that speaks like an autopilot."""

    datum: HeightDatum
    history: PoseHistory = field(default_factory=PoseHistory)
    monitor: IntegrityMonitor = field(default_factory=IntegrityMonitor)
    level: LevelAccelerations = field(default_factory=LevelAccelerations)
    imu: int | None = None
    h_acc_m: float | None = None
    v_acc_m: float | None = None
    relative_ns: int | None = None
    clock_error_s: float | None = None
    last_position_ns: int = 0
    last_attitude_ns: int = 0

    def __post_init__(self) -> None:
        self.history.integrity = self.monitor.timeline


class TelemetryNode:
    """Feeds poses from MAVLink; `handle` each frame in the order of reception.

    Attributes:
        counts: what happened, by word: frames, damaged, unknown, position_refused, position_jump, no_fix,
            fix_refused, fix_jump, attitude_refused, gimbal_refused, clock_refused, system_time_implausible,
            too_many_systems, too_many_gimbals.
    """

    def __init__(self, config: MavlinkConfig, *, platform_id: str = "platform") -> None:
        self._config = config
        self._platform_id = platform_id
        self._picker = AutopilotPicker(config.sysid)
        self._systems: dict[Address, _System] = {}
        self._clocks: dict[tuple[Address, ClockName], BootClock] = {}
        self._last_received_ns: int | None = None
        self.counts: Counter[str] = Counter()

    def handle(self, received_ns: int, frame: Frame | bytes) -> None:
        """Take one frame (or the bytes of exactly one) that was received at `received_ns` (UTC)."""
        if not isinstance(frame, Frame):
            parsed = parse_frame(bytes(frame))
            if parsed is None:
                self.counts["damaged"] += 1
                return
            frame = parsed
        if not frame.is_known:
            self.counts["unknown"] += 1
            return
        self.counts["frames"] += 1
        self._last_received_ns = received_ns
        if frame.msgid == decode.HEARTBEAT:
            self._take_heartbeat(frame, received_ns)
        elif frame.msgid in (
            decode.GIMBAL_DEVICE_ATTITUDE_STATUS,
            decode.MOUNT_ORIENTATION,
            decode.MOUNT_STATUS,
        ):
            self._take_gimbal(frame, received_ns)
        elif (take := _HANDLERS.get(frame.msgid)) is not None:
            system = self._system((frame.sysid, frame.compid))
            if system is not None:
                take(self, system, frame, received_ns)

    @property
    def is_heard(self) -> bool:
        """Whether an autopilot has been found."""
        return self._picker.address is not None

    @property
    def autopilot(self) -> Address | None:
        """(system id, component id) of the platform's autopilot."""
        return self._picker.address

    @property
    def history(self) -> PoseHistory | None:
        """The pose history of the platform's autopilot; None while it is not known which one that is."""
        system = self._ours()
        return None if system is None else system.history

    @property
    def clock_error_s(self) -> float | None:
        """The autopilot's GNSS time minus our clock, where the autopilot's is plausible."""
        system = self._ours()
        return None if system is None else system.clock_error_s

    def pose_buffer(
        self, *, mount: Mount, sigmas: PoseSigmas, calibration: Calibration | None = None
    ) -> PoseBuffer:
        """Poses of one sensor, from what this node hears."""
        return PoseBuffer(lambda: self.history, mount=mount, sigmas=sigmas, calibration=calibration)

    def platform_pose(self, platform_id: str, sortie_id: str, now_ns: int) -> PlatformPose | None:
        """The newest pose for the ground at or before `now_ns`; None when no autopilot was ever heard.

        It is of the instant of the newest position, so that nothing is extrapolated; once that is old, the
        pose is of `now_ns`, empty, with the reason.
        """
        history = self.history
        if history is None:
            return None
        newest = history.positions_at(now_ns).latest
        is_fresh = newest is not None and abs(now_ns - newest.time_ns) <= HEARD_NS
        time_ns = min(newest.time_ns, now_ns) if newest is not None and is_fresh else now_ns
        return platform_pose_at(history, max(0, time_ns), platform_id=platform_id, sortie_id=sortie_id)

    def platform_pose_at(self, time_ns: int, *, platform_id: str, sortie_id: str) -> PlatformPose:
        """The platform's pose at an instant; what is not known is None, and the reason is given."""
        return platform_pose_at(self.history, time_ns, platform_id=platform_id, sortie_id=sortie_id)

    def conditions(self, now_ns: int) -> list[Health]:
        """Every condition of the telemetry as it is now, those that do not hold with state "ok"."""
        values = {name: float(count) for name, count in sorted(self.counts.items())}
        return [
            Health(
                platform_id=self._platform_id,
                component="mavlink",
                condition=name,
                state=state if holds else "ok",
                time_ns=now_ns,
                since_ns=now_ns,
                text=text if holds else "",
                values=values,
            )
            for name, state, holds, text in self._conditions(now_ns)
        ]

    def _conditions(self, now_ns: int) -> list[Condition]:
        last = self._last_received_ns
        is_heard = last is not None and now_ns - last <= HEARD_NS
        silent = (
            "nothing was ever heard" if last is None else f"silent for {(now_ns - last) / NS_PER_S:.0f} s"
        )
        others = ", ".join(f"{sysid}/{compid}" for sysid, compid in self._picker.candidates)
        found: list[Condition] = [
            ("no_telemetry", "failed", not is_heard, f"{self._config.connection}: {silent}"),
            (
                "several_autopilots",
                "failed",
                is_heard and self._picker.is_ambiguous,
                f"autopilots {others} are heard: set mavlink.sysid to ours",
            ),
            (
                "no_autopilot",
                "failed",
                is_heard and not self.is_heard and not self._picker.is_ambiguous,
                "MAVLink is heard, but no heartbeat of an autopilot",
            ),
        ]
        return found + self._conditions_of_system(now_ns)

    def _conditions_of_system(self, now_ns: int) -> list[Condition]:
        system = self._ours()
        if system is None:
            return []
        error_s, verdict = system.clock_error_s, system.monitor.verdict
        is_off = error_s is not None and abs(error_s) > CLOCK_ALARM_S
        old = [
            f"{name} for {(now_ns - last) / NS_PER_S:.0f} s"
            for name, last in (("position", system.last_position_ns), ("attitude", system.last_attitude_ns))
            if now_ns - last > HEARD_NS and last
        ]
        never = [
            name
            for name, last in (("position", system.last_position_ns), ("attitude", system.last_attitude_ns))
            if not last
        ]
        text = "; ".join([f"no {part}" for part in old] + [f"no {name} so far" for name in never])
        return [
            ("telemetry_stale", "degraded", bool(old or never), text),
            *_gnss_conditions(verdict),
            ("datum_alarm", "degraded", system.datum.alarm is not None, system.datum.alarm or ""),
            (
                "clock_off",
                "degraded",
                is_off,
                f"our clock is {-(error_s or 0):+.1f} s off the autopilot's UTC",
            ),
        ]

    def _ours(self) -> _System | None:
        address = self._picker.address
        return None if address is None else self._system(address)

    def _system(self, address: Address) -> _System | None:
        system = self._systems.get(address)
        if system is None:
            if len(self._systems) >= MAX_SYSTEMS and address != self._picker.address:
                self.counts["too_many_systems"] += 1
                return None
            system = self._systems[address] = _System(datum=HeightDatum(self._config.height_datum))
        return system

    def _time(self, frame: Frame, boot_ms: int, received_ns: int, *, clock: ClockName = "boot") -> int | None:
        """UTC of a count of milliseconds of whatever beginning, by the times of reception."""
        key = ((frame.sysid, frame.compid), clock)
        line = self._clocks.get(key)
        if line is None:
            if len(self._clocks) >= MAX_CLOCKS:
                self.counts["too_many_systems"] += 1
                return None
            line = self._clocks[key] = BootClock()
        time_ns = line.observe(boot_ms, received_ns)
        if time_ns is None or time_ns < 0:
            self.counts["clock_refused"] += 1
            return None
        return time_ns

    def _take_heartbeat(self, frame: Frame, received_ns: int) -> None:
        self._picker.observe(frame, received_ns)
        system = self._systems.get((frame.sysid, frame.compid))
        if system is not None:
            system.monitor.take_armed(decode.heartbeat(frame).is_armed)

    def _take_position(self, system: _System, frame: Frame, received_ns: int) -> None:
        position = decode.global_position(frame)
        if position is None:
            self.counts["position_refused"] += 1
            if not any(frame.payload[4:12]):
                system.monitor.take_no_place(received_ns)
            return
        time_ns = self._time(frame, position.boot_ms, received_ns)
        system.monitor.take_boot_time(position.boot_ms, received_ns)
        if time_ns is None:
            return
        system.last_position_ns = received_ns
        if not system.monitor.has_position(received_ns):
            self.counts["no_fix"] += 1
            return
        place = (position.latitude_deg, position.longitude_deg)
        point = Point(time_ns, *place, position.alt_msl_m, position.velocity_ned_mps)
        if not system.monitor.take_estimate(point, received_ns):
            self.counts["position_jump"] += 1
            return
        system.datum.take_estimate(position.alt_msl_m, received_ns)
        alt_hae_m = system.datum.hae_m(position.alt_msl_m, *place, received_ns)
        system.history.datum_alarm = system.datum.alarm
        system.history.add_position(
            PositionSample(
                time_ns=time_ns,
                received_ns=received_ns,
                latitude_deg=place[0],
                longitude_deg=place[1],
                alt_hae_m=alt_hae_m,
                alt_msl_m=position.alt_msl_m,
                alt_rel_m=position.alt_rel_m,
                velocity_ned_mps=position.velocity_ned_mps,
                heading_deg=position.heading_deg,
                horizontal_m=system.h_acc_m,
                vertical_m=system.v_acc_m,
            )
        )

    def _take_fix(self, system: _System, gps: decode.GpsRaw, frame: Frame, received_ns: int) -> None:
        """The receiver's own position, for where the autopilot tells none (`PoseHistory.positions_at`)."""
        sample = self._fix_sample(system, gps, received_ns)
        if sample is None:
            self.counts["fix_refused"] += 1
            return
        time_ns = self._fix_time(frame, gps.time_us, received_ns, clock="receiver")
        if time_ns is None:
            return
        sample = sample._replace(time_ns=time_ns)
        fix = _fix(sample, gps)
        if not system.monitor.take_fix(fix, received_ns):
            self.counts["fix_jump"] += 1
            return
        system.last_position_ns = received_ns
        system.history.add_fix(sample)

    def _fix_time(
        self, frame: Frame, time_us: int | None, received_ns: int, *, clock: ClockName
    ) -> int | None:
        """When a receiver measured: at its own UTC stamp, or a while before the autopilot stamped it."""
        lag_ns = round(self._config.receiver_lag_s * NS_PER_S)
        if time_us is None:
            return received_ns - lag_ns
        time_ns = self._time(frame, time_us // 1000, received_ns, clock=clock)
        if time_ns is None:
            return None
        return time_ns if time_us >= UTC_FROM_US else time_ns - lag_ns

    def _fix_sample(self, system: _System, gps: decode.GpsRaw, received_ns: int) -> PositionSample | None:
        """A 3D fix as a position of the time of its reception; None when place or height are not told."""
        if gps.latitude_deg is None or gps.longitude_deg is None:
            return None
        heights = system.datum.fix_heights(gps, received_ns)
        system.history.datum_alarm = system.datum.alarm
        if heights is None:
            return None
        has_lag = gps.time_us is None or gps.time_us < UTC_FROM_US
        return PositionSample(
            time_ns=received_ns,
            received_ns=received_ns,
            latitude_deg=gps.latitude_deg,
            longitude_deg=gps.longitude_deg,
            alt_hae_m=heights[0],
            alt_msl_m=heights[1],
            alt_rel_m=AboveHomeM(math.nan),
            velocity_ned_mps=_velocity(gps),
            heading_deg=None,
            horizontal_m=system.h_acc_m,
            vertical_m=system.v_acc_m,
            lag_m=LAG_SIGMA_S * (gps.speed_mps or 0.0) if has_lag else 0.0,
        )

    def _take_attitude(self, system: _System, frame: Frame, received_ns: int) -> None:
        attitude = decode.attitude(frame)
        if attitude is None:
            self.counts["attitude_refused"] += 1
            return
        time_ns = self._time(frame, attitude.boot_ms, received_ns)
        system.monitor.take_boot_time(attitude.boot_ms, received_ns)
        if time_ns is None:
            return
        system.last_attitude_ns = received_ns
        system.history.add_attitude(
            AttitudeSample(time_ns=time_ns, q_ned_body=attitude.q_ned_body, rates_rps=attitude.rates_rps)
        )
        for felt in system.level.due(system.history.attitudes):
            system.monitor.take_acceleration(*felt)

    def _take_accelerations(self, system: _System, frame: Frame, received_ns: int) -> None:
        """Of several messages that tell accelerations, the one that is heard first."""
        felt = decode.accelerations(frame)
        if felt is None or system.imu not in (None, frame.msgid):
            return
        system.imu = frame.msgid
        time_ns = self._time(frame, felt.time_ms, received_ns, clock="imu")
        if time_ns is not None:
            system.level.add(time_ns, felt.force_body_mps2)

    def _take_gps(self, system: _System, frame: Frame, received_ns: int) -> None:
        """Fix, accuracy, undulation and place of the first receiver."""
        gps = decode.gps_raw(frame)
        system.h_acc_m, system.v_acc_m = _sigmas(gps)
        heard_ns = system.relative_ns
        is_relative = heard_ns is not None and abs(received_ns - heard_ns) <= RELATIVE_FRESH_NS
        if gps.fix_type == FIX_2D and is_relative:
            system.monitor.take_no_height(received_ns)
            return
        system.monitor.take_fix_type(FIRST, gps.fix_type, received_ns)
        if gps.fix_type >= FIX_3D:
            system.datum.take_receiver(gps, received_ns)
            self._take_fix(system, gps, frame, received_ns)

    def _take_second_gps(self, system: _System, frame: Frame, received_ns: int) -> None:
        """A second receiver keeps the fix, and is compared with the first."""
        gps = decode.gps_raw(frame)
        system.monitor.take_fix_type(SECOND, gps.fix_type, received_ns)
        time_ns = self._fix_time(frame, gps.time_us, received_ns, clock="second")
        if gps.fix_type < FIX_3D or time_ns is None or gps.latitude_deg is None or gps.longitude_deg is None:
            return
        place = (gps.latitude_deg, gps.longitude_deg, gps.alt_msl_m or 0.0)
        point = Point(time_ns, *place, _velocity(gps))
        system.monitor.take_second_fix(Fix(point, gps.fix_type, gps.time_us, gps.h_acc_m or 0.0))

    def _take_estimator(self, system: _System, frame: Frame, received_ns: int) -> None:
        status = decode.estimator_status(frame)
        if status is not None:
            system.monitor.take_estimator(status, received_ns)

    def _take_ground_speed(self, system: _System, frame: Frame, received_ns: int) -> None:
        speed_mps = decode.ground_speed_mps(frame)
        if speed_mps is not None:
            system.monitor.take_ground_speed(speed_mps, received_ns)

    def _take_altitude(self, system: _System, frame: Frame, received_ns: int) -> None:
        if decode.relative_altitude_m(frame) is not None:
            system.relative_ns = received_ns

    def _take_system_time(self, system: _System, frame: Frame, received_ns: int) -> None:
        """SYSTEM_TIME checks our clock, where it can be true; it never replaces the time of reception."""
        boot_ms, unix_ns = decode.system_time(frame)
        told = decode.gnss_time_us(frame)
        if told is not None:
            system.monitor.take_gnss_time(told[1] / 1e6, boot_ms, received_ns)
        time_ns = self._time(frame, boot_ms, received_ns)
        if unix_ns is None and any(frame.payload[:8]):
            self.counts["system_time_implausible"] += 1
        if time_ns is None or unix_ns is None:
            return
        error_s = (unix_ns - time_ns) / NS_PER_S
        if abs(error_s) > PLAUSIBLE_CLOCK_S:
            self.counts["system_time_implausible"] += 1
            return
        system.clock_error_s = error_s

    def _take_home(self, system: _System, frame: Frame, received_ns: int) -> None:
        home = decode.home_position(frame)
        if home is not None:
            place = (home.latitude_deg, home.longitude_deg)
            system.history.home_alt_hae_m = system.datum.hae_m(home.alt_msl_m, *place, received_ns)
            system.history.datum_alarm = system.datum.alarm

    def _take_gimbal(self, frame: Frame, received_ns: int) -> None:
        """A gimbal of a platform: any component of the system may tell."""
        sample = self._gimbal_sample(frame, received_ns)
        if sample is None:
            self.counts["gimbal_refused"] += 1
            return
        for address, system in self._systems.items():
            if address[0] == frame.sysid and not system.history.add_gimbal(sample):
                self.counts["too_many_gimbals"] += 1

    def _gimbal_sample(self, frame: Frame, received_ns: int) -> GimbalSample | None:
        if frame.msgid == decode.GIMBAL_DEVICE_ATTITUDE_STATUS:
            device = decode.gimbal_device_attitude(frame)
            if device is None:
                return None
            delta = np.nan if device.delta_yaw_rad is None else device.delta_yaw_rad
            numbers: tuple[float, ...] = (device.flags, *device.q, delta)
            time_ns = self._time(frame, device.boot_ms, received_ns)
            if time_ns is None:
                return None
            device_id = device.gimbal_device_id or frame.compid
            return GimbalSample(time_ns, "gimbal_device", numbers, device_id)
        angles = decode.mount_angles(frame)
        if angles is None:
            return None
        if angles.boot_ms is None:
            centidegrees = (angles.pitch_deg * 100, angles.roll_deg * 100, angles.yaw_deg * 100)
            whole = tuple(round(angle) for angle in centidegrees)
            return GimbalSample(received_ns, "mount_status", whole, frame.compid)
        absolute = np.nan if angles.yaw_absolute_deg is None else angles.yaw_absolute_deg
        numbers = (angles.roll_deg, angles.pitch_deg, angles.yaw_deg, absolute)
        time_ns = self._time(frame, angles.boot_ms, received_ns)
        if time_ns is None:
            return None
        return GimbalSample(time_ns, "mount_orientation", numbers, frame.compid)


_HANDLERS = {
    decode.GLOBAL_POSITION_INT: TelemetryNode._take_position,
    decode.ATTITUDE: TelemetryNode._take_attitude,
    decode.ATTITUDE_QUATERNION: TelemetryNode._take_attitude,
    decode.GPS_RAW_INT: TelemetryNode._take_gps,
    decode.GPS2_RAW: TelemetryNode._take_second_gps,
    decode.SYSTEM_TIME: TelemetryNode._take_system_time,
    decode.HOME_POSITION: TelemetryNode._take_home,
    decode.EKF_STATUS_REPORT: TelemetryNode._take_estimator,
    decode.ESTIMATOR_STATUS: TelemetryNode._take_estimator,
    decode.VFR_HUD: TelemetryNode._take_ground_speed,
    decode.ALTITUDE: TelemetryNode._take_altitude,
    decode.RAW_IMU: TelemetryNode._take_accelerations,
    decode.SCALED_IMU: TelemetryNode._take_accelerations,
    decode.HIGHRES_IMU: TelemetryNode._take_accelerations,
}


def _gnss_conditions(verdict: Verdict) -> list[Condition]:
    """Each reason as a condition of its own, so that the ground sees which begins and which ends."""
    since = f"; positions from {rfc3339(verdict.since_ns)} on are in doubt" if verdict.since_ns else ""
    state: Literal["degraded", "failed"] = "failed" if verdict.state == "bad" else "degraded"
    return [
        (name, "degraded" if name in LOSSES else state, verdict.reason == name, f"{verdict.detail}{since}")
        for name in REASONS
    ]


def _fix(sample: PositionSample, gps: decode.GpsRaw) -> Fix:
    place = (sample.latitude_deg, sample.longitude_deg, sample.alt_msl_m)
    point = Point(sample.time_ns, *place, sample.velocity_ned_mps)
    return Fix(point, gps.fix_type, gps.time_us, gps.h_acc_m or 0.0)


def _sigmas(gps: decode.GpsRaw) -> tuple[float | None, float | None]:
    """One-sigma position errors per axis as the receiver tells (its h_acc is a radius), with a floor.

    Without RTK a receiver's own figure leaves out multipath and the ionosphere, which stay the same for
    minutes: nothing better than 0.5 m and 0.8 m is believed. Where it tells only a poor dilution of precision
    (above 2), that counts 1.5 m each; above 90 it means "not known".
    """
    floor_h, floor_v = (0.03, 0.05) if gps.fix_type >= RTK_FLOAT else (0.5, 0.8)
    horizontal = None if gps.h_acc_m is None else max(gps.h_acc_m / math.sqrt(2.0), floor_h)
    if horizontal is None and gps.hdop is not None and GOOD_HDOP < gps.hdop < 90.0:
        horizontal = METRES_PER_HDOP * gps.hdop
    return horizontal, None if gps.v_acc_m is None else max(gps.v_acc_m, floor_v)


def _velocity(gps: decode.GpsRaw) -> tuple[float, float, float]:
    """North and east from speed and course, NaN where they are not told; a receiver tells no climb.

    A receiver that stands (below 0.5 m/s) has no course.
    """
    if gps.speed_mps is not None and gps.speed_mps < STANDING_MPS:
        return 0.0, 0.0, math.nan
    if gps.speed_mps is None or gps.course_deg is None:
        return math.nan, math.nan, math.nan
    course = math.radians(gps.course_deg)
    return gps.speed_mps * math.cos(course), gps.speed_mps * math.sin(course), math.nan
