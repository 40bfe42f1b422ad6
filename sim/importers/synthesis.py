"""Turns samples of any foreign log into the MAVLink 2 of an autopilot, saying only what is known.

MAVLink has no word for "height unknown" in its position messages, so what is known decides which are made:
latitude, longitude and both heights give GLOBAL_POSITION_INT; without the height above take-off it is
GPS_RAW_INT alone; without any absolute height it is GPS_RAW_INT with a 2D fix (whose height does not count)
and, where known, ALTITUDE with the height above take-off. ATTITUDE is made only when roll, pitch and heading
are all known; a gimbal's attitude only when the source tells it.
"""

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from skywarden.clock import NS_PER_S
from skywarden.geometry.geoid import undulation_m
from skywarden.mavlink.synth import (
    GIMBAL_FLAG_PITCH_LOCK,
    GIMBAL_FLAG_ROLL_LOCK,
    GIMBAL_FLAG_YAW_IN_EARTH_FRAME,
    MessageMaker,
)

AUTOPILOT_SYSID = 1
AUTOPILOT_COMPID = 1
GIMBAL_COMPID = 154
_AUTOPILOT_GENERIC = 0
_AUTOPILOT_INVALID = 8
_TYPE_GIMBAL = 26
_FIX_2D, _FIX_3D = 2, 3
_NAN = math.nan
_EARTH_FLAGS = GIMBAL_FLAG_ROLL_LOCK | GIMBAL_FLAG_PITCH_LOCK | GIMBAL_FLAG_YAW_IN_EARTH_FRAME

Quaternion = tuple[float, float, float, float]
Emit = Callable[[int, bytes], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """What a source knows at one instant; `None` is not known. Angles in degrees, heights and speeds metric.

    `heading_deg` is where the nose points, `q_ned_gimbal` how the camera's housing lies against
    north-east-down (w, x, y, z), or against what `gimbal_flags` (MAVLink's device flags) say.
    """

    time_ns: int
    latitude_deg: float | None = None
    longitude_deg: float | None = None
    alt_msl_m: float | None = None
    alt_hae_m: float | None = None
    alt_rel_m: float | None = None
    velocity_ned_mps: tuple[float, float, float] | None = None
    heading_deg: float | None = None
    roll_deg: float | None = None
    pitch_deg: float | None = None
    q_ned_gimbal: Quaternion | None = None
    gimbal_flags: int | None = None
    fix_type: int | None = None
    satellites: int | None = None
    h_acc_m: float | None = None
    v_acc_m: float | None = None
    speed_mps: float | None = None
    course_deg: float | None = None

    @property
    def has_place(self) -> bool:
        """Latitude and longitude are known and plausible; (0, 0) is a receiver without a fix."""
        if self.latitude_deg is None or self.longitude_deg is None:
            return False
        is_on_earth = abs(self.latitude_deg) <= 90.0 and abs(self.longitude_deg) <= 180.0
        return is_on_earth and (abs(self.latitude_deg) > 1e-6 or abs(self.longitude_deg) > 1e-6)


class Synthesiser:
    """Makes the frames of one vehicle; samples come in order of time."""

    def __init__(
        self, *, vehicle_type: int = 2, autopilot: int = _AUTOPILOT_GENERIC, knows_utc: bool
    ) -> None:
        self._vehicle = MessageMaker(AUTOPILOT_SYSID, AUTOPILOT_COMPID)
        self._gimbal = MessageMaker(AUTOPILOT_SYSID, GIMBAL_COMPID)
        self._type = vehicle_type
        self._autopilot = autopilot
        self._knows_utc = knows_utc
        self._start_ns: int | None = None
        self._beat_ns: int | None = None

    def frames(self, sample: Sample) -> list[bytes]:
        """The MAVLink frames of one instant, a heartbeat and the time once a second among them."""
        if self._start_ns is None:
            self._start_ns = sample.time_ns
        boot_ms = max(0, sample.time_ns - self._start_ns) // 1_000_000
        frames = self._beat(sample, boot_ms)
        if sample.has_place:
            frames += self._place(sample, boot_ms)
        if sample.roll_deg is not None and sample.pitch_deg is not None and sample.heading_deg is not None:
            frames.append(
                self._vehicle.attitude(
                    time_boot_ms=boot_ms,
                    roll_deg=sample.roll_deg,
                    pitch_deg=sample.pitch_deg,
                    heading_deg=sample.heading_deg,
                )
            )
        if sample.q_ned_gimbal is not None:
            flags = _EARTH_FLAGS if sample.gimbal_flags is None else sample.gimbal_flags
            frames.append(
                self._gimbal.gimbal_device_attitude_status(
                    time_boot_ms=boot_ms, q=sample.q_ned_gimbal, flags=flags
                )
            )
        return frames

    def _beat(self, sample: Sample, boot_ms: int) -> list[bytes]:
        if self._beat_ns is not None and sample.time_ns - self._beat_ns < NS_PER_S:
            return []
        self._beat_ns = sample.time_ns
        frames = [self._vehicle.heartbeat(type=self._type, autopilot=self._autopilot)]
        if self._knows_utc:
            frames.append(
                self._vehicle.system_time(time_boot_ms=boot_ms, time_unix_us=sample.time_ns // 1000)
            )
        if sample.q_ned_gimbal is not None:
            frames.append(self._gimbal.heartbeat(type=_TYPE_GIMBAL, autopilot=_AUTOPILOT_INVALID))
        return frames

    def _place(self, sample: Sample, boot_ms: int) -> list[bytes]:
        latitude, longitude = sample.latitude_deg, sample.longitude_deg
        assert latitude is not None
        assert longitude is not None
        alt_msl = msl_height_m(sample)
        frames = [self._fix(sample, alt_msl, latitude, longitude)]
        if alt_msl is None:
            if sample.alt_rel_m is not None:
                frames.append(self._relative_height(sample))
            return frames
        if sample.alt_rel_m is not None:
            north, east, down = sample.velocity_ned_mps or (0.0, 0.0, 0.0)
            frames.append(
                self._vehicle.global_position_int(
                    time_boot_ms=boot_ms,
                    latitude_deg=latitude,
                    longitude_deg=longitude,
                    alt_msl_m=alt_msl,
                    alt_rel_m=sample.alt_rel_m,
                    vn_mps=north,
                    ve_mps=east,
                    vd_mps=down,
                    heading_deg=sample.heading_deg,
                )
            )
        return frames

    def _fix(self, sample: Sample, alt_msl: float | None, latitude: float, longitude: float) -> bytes:
        fix = _FIX_3D if sample.fix_type is None else sample.fix_type
        return self._vehicle.gps_raw_int(
            time_us=sample.time_ns // 1000,
            latitude_deg=latitude,
            longitude_deg=longitude,
            alt_msl_m=0.0 if alt_msl is None else alt_msl,
            alt_ellipsoid_m=sample.alt_hae_m,
            fix_type=min(fix, _FIX_2D) if alt_msl is None else fix,
            satellites=sample.satellites,
            h_acc_m=sample.h_acc_m,
            v_acc_m=sample.v_acc_m,
            speed_mps=_speed(sample),
            course_deg=sample.course_deg,
        )

    def _relative_height(self, sample: Sample) -> bytes:
        return self._vehicle.message(
            "ALTITUDE",
            time_usec=sample.time_ns // 1000,
            altitude_monotonic=_NAN,
            altitude_amsl=_NAN,
            altitude_local=_NAN,
            altitude_relative=sample.alt_rel_m,
            altitude_terrain=_NAN,
            bottom_clearance=_NAN,
        )


def msl_height_m(sample: Sample) -> float | None:
    """Height above the geoid, from the ellipsoid's where only that is known (EGM96)."""
    if sample.alt_msl_m is not None:
        return sample.alt_msl_m
    if sample.alt_hae_m is None or sample.latitude_deg is None or sample.longitude_deg is None:
        return None
    return sample.alt_hae_m - float(undulation_m(sample.latitude_deg, sample.longitude_deg))


def synthesise(
    samples: Iterable[Sample], synthesiser: Synthesiser, emit: Emit, progress: Callable[[int], None]
) -> None:
    """Send the frames of every sample to `emit(time_ns, frame)`; `progress` gets the count of samples."""
    count = 0
    for count, sample in enumerate(samples, start=1):
        for frame in synthesiser.frames(sample):
            emit(sample.time_ns, frame)
        if count % 1000 == 0:
            progress(count)
    progress(count)


def thinned(samples: Iterable[Sample], *, longest_ns: int = NS_PER_S // 2) -> Iterator[Sample]:
    """Leave out samples that only repeat the one before, but keep one every `longest_ns`.

    Sources that write a row per video frame repeat a slow receiver's answer; kept, the repeats would look
    like an aircraft that stands and jumps.
    """
    last: Sample | None = None
    for sample in samples:
        if last is not None:
            same = _content(sample) == _content(last)
            if same and sample.time_ns - last.time_ns < longest_ns:
                continue
        last = sample
        yield sample


def with_velocity(samples: list[Sample], *, span_s: float = 1.0) -> list[Sample]:
    """Fill unknown velocities from positions `span_s` before and after (local flat differences)."""
    filled: list[Sample] = []
    first = last = 0
    span_ns = int(span_s * NS_PER_S)
    placed = [sample for sample in samples if sample.has_place]
    for sample in samples:
        if sample.velocity_ned_mps is not None or not sample.has_place:
            filled.append(sample)
            continue
        while placed[first].time_ns < sample.time_ns - span_ns:
            first += 1
        last = max(last, first)
        while last + 1 < len(placed) and placed[last + 1].time_ns <= sample.time_ns + span_ns:
            last += 1
        velocity = _velocity(placed[first], placed[last])
        filled.append(dataclasses.replace(sample, velocity_ned_mps=velocity) if velocity else sample)
    return filled


def _velocity(first: Sample, last: Sample) -> tuple[float, float, float] | None:
    seconds = (last.time_ns - first.time_ns) / NS_PER_S
    if seconds < 0.1 or seconds > 10.0:
        return None
    if first.latitude_deg is None or first.longitude_deg is None:
        return None
    if last.latitude_deg is None or last.longitude_deg is None:
        return None
    metres = 111_320.0
    north = (last.latitude_deg - first.latitude_deg) * metres / seconds
    turn = (last.longitude_deg - first.longitude_deg + 180.0) % 360.0 - 180.0
    east = turn * metres * math.cos(math.radians(first.latitude_deg)) / seconds
    low = first.alt_rel_m if first.alt_rel_m is not None else msl_height_m(first)
    high = last.alt_rel_m if last.alt_rel_m is not None else msl_height_m(last)
    down = 0.0 if low is None or high is None else (low - high) / seconds
    if math.hypot(north, east, down) > 300.0:
        return None
    return north, east, down


def _speed(sample: Sample) -> float | None:
    if sample.speed_mps is not None:
        return sample.speed_mps
    if sample.velocity_ned_mps is None:
        return None
    return math.hypot(*sample.velocity_ned_mps[:2])


def _content(sample: Sample) -> tuple[object, ...]:
    return (
        sample.latitude_deg, sample.longitude_deg, sample.alt_msl_m, sample.alt_hae_m, sample.alt_rel_m,
        sample.heading_deg, sample.roll_deg, sample.pitch_deg, sample.q_ned_gimbal,
    )  # fmt: skip
