"""MAVLink frames into the pose history of our platform: who flies it, when it was true, what is believed.

A plain object that is handed frames and times. It never raises on what a frame contains: what is damaged, out
of range, without a fix or impossible is counted and left out, so that nonsense never becomes a position.
"""

import math
from collections import Counter, deque
from dataclasses import dataclass, field
from statistics import median
from typing import Literal

import numpy as np

from edge.calibration.record import Calibration
from edge.mavlink_port import MavlinkConfig
from edge.posebuffer import (
    AttitudeSample,
    GimbalSample,
    Mount,
    PoseBuffer,
    PoseHistory,
    PositionSample,
    Samples,
    platform_pose_at,
)
from skywarden.clock import NS_PER_S
from skywarden.geoid import undulation_m
from skywarden.heights import HaeM, MslM
from skywarden.mavlink import decode
from skywarden.mavlink.autopilot import Address, AutopilotPicker
from skywarden.mavlink.bootclock import BootClock
from skywarden.mavlink.framing import Frame, parse_frame
from skywarden.messages import Health, PlatformPose
from skywarden.pose import PoseSigmas

GPS2_RAW = 124
MAX_SYSTEMS = 8
MAX_CLOCKS = 32
RTK_FLOAT = 5
DATUM_LIMIT_M = 3.0
SAME_PLACE_DEG = 1e-3
DATUM_SAMPLES = 9
DATUM_MIN_SAMPLES = 3
RECEIVER_FRESH_NS = 5 * NS_PER_S
MAX_SPEED_MPS = 350.0
STANDING_MPS = 0.5
EARTH_RADIUS_M = 6_371_000.0
JUMP_MARGIN_M = 50.0
JUMP_CONFIRMATIONS = 5
PLAUSIBLE_CLOCK_S = 300.0
CLOCK_ALARM_S = 1.0
HEARD_NS = 5 * NS_PER_S

ClockName = Literal["boot", "receiver"]
"""A component counts its messages from its start; GPS_RAW_INT may count from 1970 instead."""

Condition = tuple[str, Literal["degraded", "failed"], bool, str]


@dataclass(kw_only=True, slots=True)
class _Receiver:
    """The last words of one GNSS receiver."""

    received_ns: int
    has_fix: bool


@dataclass(kw_only=True, slots=True)
class _System:
    """What is known of one (system id, component id) that speaks like an autopilot."""

    history: PoseHistory = field(default_factory=PoseHistory)
    undulations_m: deque[float] = field(default_factory=lambda: deque(maxlen=DATUM_SAMPLES))
    undulation_ns: int = 0
    h_acc_m: float | None = None
    v_acc_m: float | None = None
    receivers: dict[int, _Receiver] = field(default_factory=dict)
    jumps: deque[PositionSample] = field(default_factory=lambda: deque(maxlen=JUMP_CONFIRMATIONS))
    fix_jumps: deque[PositionSample] = field(default_factory=lambda: deque(maxlen=JUMP_CONFIRMATIONS))
    clock_error_s: float | None = None
    model: tuple[float, float, float] = (math.nan, math.nan, math.nan)
    last_position_ns: int = 0
    last_attitude_ns: int = 0


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
            self._picker.observe(frame, received_ns)
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
        history, error_s = system.history, system.clock_error_s
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
            ("no_fix", "degraded", history.no_fix_since_ns is not None, "the GNSS receiver has no 3D fix"),
            ("datum_alarm", "degraded", history.datum_alarm is not None, history.datum_alarm or ""),
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
            system = self._systems[address] = _System()
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

    def _take_position(self, system: _System, frame: Frame, received_ns: int) -> None:
        position = decode.global_position(frame)
        if position is None:
            self.counts["position_refused"] += 1
            return
        time_ns = self._time(frame, position.boot_ms, received_ns)
        if time_ns is None:
            return
        if system.history.no_fix_since_ns is not None:
            self.counts["no_fix"] += 1
            return
        place = (position.latitude_deg, position.longitude_deg)
        sample = PositionSample(
            time_ns=time_ns,
            received_ns=received_ns,
            latitude_deg=place[0],
            longitude_deg=place[1],
            alt_hae_m=position.alt_msl_m + self._undulation(system, *place, received_ns),
            alt_msl_m=position.alt_msl_m,
            alt_rel_m=position.alt_rel_m,
            velocity_ned_mps=position.velocity_ned_mps,
            heading_deg=position.heading_deg,
            horizontal_m=system.h_acc_m,
            vertical_m=system.v_acc_m,
        )
        if _is_jump(system.history.positions, system.jumps, sample):
            self.counts["position_jump"] += 1
            return
        system.last_position_ns = received_ns
        system.history.add_position(sample)

    def _take_fix(self, system: _System, gps: decode.GpsRaw, frame: Frame, received_ns: int) -> None:
        """The receiver's own position, for where the autopilot tells none (`PoseHistory.positions_at`)."""
        sample = self._fix_sample(system, gps, received_ns)
        if sample is None:
            self.counts["fix_refused"] += 1
            return
        if gps.time_us is not None:
            time_ns = self._time(frame, gps.time_us // 1000, received_ns, clock="receiver")
            if time_ns is None:
                return
            sample = sample._replace(time_ns=time_ns)
        if _is_jump(system.history.fixes, system.fix_jumps, sample):
            self.counts["fix_jump"] += 1
            return
        system.last_position_ns = received_ns
        system.history.add_fix(sample)

    def _fix_sample(self, system: _System, gps: decode.GpsRaw, received_ns: int) -> PositionSample | None:
        """A 3D fix as a position of the time of its reception; None when place or height are not told."""
        if gps.latitude_deg is None or gps.longitude_deg is None:
            return None
        offset_m = self._undulation(system, gps.latitude_deg, gps.longitude_deg, received_ns)
        if gps.alt_msl_m is not None:
            alt_msl_m, alt_hae_m = gps.alt_msl_m, HaeM(gps.alt_msl_m + offset_m)
            if self._config.height_datum == "auto" and gps.alt_ellipsoid_m is not None:
                alt_hae_m = gps.alt_ellipsoid_m
        elif gps.alt_ellipsoid_m is not None:
            alt_msl_m, alt_hae_m = MslM(gps.alt_ellipsoid_m - offset_m), gps.alt_ellipsoid_m
        else:
            return None
        return PositionSample(
            time_ns=received_ns,
            received_ns=received_ns,
            latitude_deg=gps.latitude_deg,
            longitude_deg=gps.longitude_deg,
            alt_hae_m=alt_hae_m,
            alt_msl_m=alt_msl_m,
            alt_rel_m=math.nan,
            velocity_ned_mps=_velocity(gps),
            heading_deg=None,
            horizontal_m=system.h_acc_m,
            vertical_m=system.v_acc_m,
        )

    def _undulation(self, system: _System, latitude_deg: float, longitude_deg: float, now_ns: int) -> float:
        """What turns the autopilot's height into one above the ellipsoid, by the configured datum.

        `auto`: the receiver's own undulation where it tells one (that undoes the geoid model which the
        receiver applied), else EGM96's; a difference of more than 3 m between the two is an alarm.
        """
        if self._config.height_datum == "ellipsoid":
            return 0.0
        model_m = _model_undulation(system, latitude_deg, longitude_deg)
        known = system.undulations_m
        is_told = len(known) >= DATUM_MIN_SAMPLES and abs(now_ns - system.undulation_ns) <= RECEIVER_FRESH_NS
        if self._config.height_datum == "msl" or not is_told:
            if self._config.height_datum == "msl":
                system.history.datum_alarm = None
            return model_m
        told_m = median(known)
        system.history.datum_alarm = (
            None
            if abs(told_m - model_m) <= DATUM_LIMIT_M
            else f"the receiver's two heights differ by {told_m:.1f} m, EGM96 says {model_m:.1f} m: one is "
            "not what it claims; set mavlink.height_datum to msl or ellipsoid after checking"
        )
        return told_m

    def _take_attitude(self, system: _System, frame: Frame, received_ns: int) -> None:
        attitude = decode.attitude(frame)
        if attitude is None:
            self.counts["attitude_refused"] += 1
            return
        time_ns = self._time(frame, attitude.boot_ms, received_ns)
        if time_ns is not None:
            system.last_attitude_ns = received_ns
            system.history.add_attitude(
                AttitudeSample(time_ns=time_ns, q_ned_body=attitude.q_ned_body, rates_rps=attitude.rates_rps)
            )

    def _take_gps(self, system: _System, frame: Frame, received_ns: int) -> None:
        """Fix, accuracy and undulation of a receiver; without a fix at any of them there is no position."""
        gps: decode.GpsRaw | None = None
        if frame.msgid == decode.GPS_RAW_INT:
            gps = decode.gps_raw(frame)
            has_fix = gps.fix_type >= 3
            if has_fix and gps.undulation_m is not None:
                system.undulations_m.append(gps.undulation_m)
                system.undulation_ns = received_ns
            system.h_acc_m, system.v_acc_m = _sigmas(gps)
        else:
            values = decode.fields(frame) or {}
            fix_type = values.get("fix_type")
            has_fix = isinstance(fix_type, int) and fix_type >= 3
        system.receivers[frame.msgid] = _Receiver(received_ns=received_ns, has_fix=has_fix)
        fresh = [
            receiver
            for receiver in system.receivers.values()
            if abs(received_ns - receiver.received_ns) <= RECEIVER_FRESH_NS
        ]
        if gps is not None and gps.fix_type >= 3:
            self._take_fix(system, gps, frame, received_ns)
        history = system.history
        if any(receiver.has_fix for receiver in fresh):
            history.no_fix_since_ns = None
        elif history.no_fix_since_ns is None:
            history.no_fix_since_ns = received_ns

    def _take_system_time(self, system: _System, frame: Frame, received_ns: int) -> None:
        """SYSTEM_TIME checks our clock, where it can be true; it never replaces the time of reception."""
        boot_ms, unix_ns = decode.system_time(frame)
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
            offset_m = self._undulation(system, home.latitude_deg, home.longitude_deg, received_ns)
            system.history.home_alt_hae_m = home.alt_msl_m + offset_m

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
    GPS2_RAW: TelemetryNode._take_gps,
    decode.SYSTEM_TIME: TelemetryNode._take_system_time,
    decode.HOME_POSITION: TelemetryNode._take_home,
}


def _sigmas(gps: decode.GpsRaw) -> tuple[float | None, float | None]:
    """One-sigma position errors per axis as the receiver tells (its h_acc is a radius), with a floor.

    Without RTK a receiver's own figure leaves out multipath and the ionosphere, which stay the same for
    minutes: nothing better than 0.5 m and 0.8 m is believed.
    """
    floor_h, floor_v = (0.03, 0.05) if gps.fix_type >= RTK_FLOAT else (0.5, 0.8)
    horizontal = None if gps.h_acc_m is None else max(gps.h_acc_m / math.sqrt(2.0), floor_h)
    return horizontal, None if gps.v_acc_m is None else max(gps.v_acc_m, floor_v)


def _model_undulation(system: _System, latitude_deg: float, longitude_deg: float) -> float:
    """EGM96's undulation; within 1e-3 degrees (100 m, some mm of it) of the last place, that one's."""
    latitude, longitude, known_m = system.model
    if abs(latitude - latitude_deg) < SAME_PLACE_DEG and abs(longitude - longitude_deg) < SAME_PLACE_DEG:
        return known_m
    found_m = float(undulation_m(latitude_deg, longitude_deg))
    system.model = (latitude_deg, longitude_deg, found_m)
    return found_m


def _is_jump(samples: Samples[PositionSample], jumps: deque[PositionSample], sample: PositionSample) -> bool:
    """Whether it is where no aircraft can be so soon; five that agree are believed after all."""
    before, after = samples.around(sample.time_ns)
    neighbour = before or after
    if neighbour is None or _is_reachable(neighbour, sample):
        jumps.clear()
        return False
    if jumps and not _is_reachable(jumps[-1], sample):
        jumps.clear()
    jumps.append(sample)
    if len(jumps) < JUMP_CONFIRMATIONS:
        return True
    jumps.clear()
    return False


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


def _is_reachable(a: PositionSample, b: PositionSample) -> bool:
    """Whether an aircraft can fly from a to b in the time between them (on a sphere, good to 0.5 %)."""
    north = math.radians(b.latitude_deg - a.latitude_deg)
    east = math.radians(math.remainder(b.longitude_deg - a.longitude_deg, 360.0))
    middle = math.radians((a.latitude_deg + b.latitude_deg) / 2)
    ground_m = EARTH_RADIUS_M * math.hypot(north, east * math.cos(middle))
    distance_m = math.hypot(ground_m, b.alt_hae_m - a.alt_hae_m)
    return distance_m <= MAX_SPEED_MPS * abs(b.time_ns - a.time_ns) / NS_PER_S + JUMP_MARGIN_M
