"""Where the camera was and how it looked at the instant of a frame: interpolated, or a reason why not.

`PoseHistory` keeps the last minute of telemetry of one platform; any number of `PoseBuffer`s (one per
sensor, each with its mount) read it. A pose is interpolated between the samples before and after the
instant, in local metres and by slerp; it is extrapolated over a quarter of a second at most, and never is it
the latest sample.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Generic, Literal, NamedTuple, Protocol, TypeVar

import numpy as np

from edge import gimbal
from edge.calibration.record import Calibration
from edge.gimbal import GimbalAttitude
from skywarden import geodesy, rotations
from skywarden.clock import NS_PER_S
from skywarden.errors import InputError
from skywarden.messages import GimbalPose, PlatformPose
from skywarden.pose import CameraPose, FloatArray, NoPose, PoseSigmas

Quaternion = tuple[float, float, float, float]

CONVENTIONS = ("gimbal_device", "mount_orientation", "mount_status")
"""How gimbals speak, the clearest first."""

VELOCITY_SPAN_NS = NS_PER_S
VELOCITY_REACH_NS = 5 * NS_PER_S


@dataclass(frozen=True, kw_only=True, slots=True)
class PoseLimits:
    """How far from a sample a pose is still believed.

    Attributes:
        stale_s: the nearest sample of position, attitude and gimbal may be so old.
        silent_s: where the autopilot tells no position for so long, the receiver's own fixes are taken.
        extrapolate_s: beyond the last sample (or before the first) at most so far.
        history_s: samples older than the newest by this are forgotten.
        max_samples: per stream, whatever their times say.
        max_gimbals: streams of gimbals that are told apart.
        same_gimbal_deg: two that point alike within this are one gimbal that is heard in two ways.
        turn_acceleration_dps2: how hard an aircraft or gimbal may turn between samples; makes the attitude
            sigma grow with the distance between them (a t1 t2 / 2, position.md 1.4).
    """

    stale_s: float = 0.5
    silent_s: float = 5.0
    extrapolate_s: float = 0.25
    history_s: float = 60.0
    max_samples: int = 20_000
    max_gimbals: int = 16
    same_gimbal_deg: float = 3.0
    turn_acceleration_dps2: float = 20.0


class Mount(Protocol):
    """How the camera is fixed; `edge.config.MountConfig` is one."""

    @property
    def kind(self) -> Literal["gimbal", "fixed"]: ...
    @property
    def roll_deg(self) -> float: ...
    @property
    def pitch_deg(self) -> float: ...
    @property
    def yaw_deg(self) -> float: ...
    @property
    def gimbal_axes(self) -> Literal["earth", "body"]: ...
    @property
    def gimbal_device_id(self) -> int | None: ...


class PositionSample(NamedTuple):
    """Position at one instant; sigmas are one-sigma metres as the receiver told, or None.

    `alt_rel_m` and each part of `velocity_ned_mps` are NaN where they were not told.
    """

    time_ns: int
    received_ns: int
    latitude_deg: float
    longitude_deg: float
    alt_hae_m: float
    alt_msl_m: float
    alt_rel_m: float
    velocity_ned_mps: tuple[float, float, float]
    heading_deg: float | None
    horizontal_m: float | None
    vertical_m: float | None


class AttitudeSample(NamedTuple):
    """Attitude of the body at one instant, and its body rates in radians per second."""

    time_ns: int
    q_ned_body: Quaternion
    rates_rps: tuple[float, float, float]


class GimbalSample(NamedTuple):
    """What a gimbal said; `convention` tells how `numbers` are to be read, `device_id` which gimbal it is.

    `device_id` is the component that speaks, or what a component that speaks for several calls it.
    gimbal_device: flags, w, x, y, z, delta yaw rad or NaN. mount_orientation: roll, pitch, yaw, absolute yaw
    deg or NaN. mount_status: pitch, roll, yaw in centidegrees.
    """

    time_ns: int
    convention: Literal["gimbal_device", "mount_orientation", "mount_status"]
    numbers: tuple[float, ...]
    device_id: int


class _Timed(Protocol):
    @property
    def time_ns(self) -> int: ...


SampleT = TypeVar("SampleT", bound=_Timed)


class Samples(Generic[SampleT]):
    """Samples in order of time, bounded in number and in age."""

    def __init__(self, limits: PoseLimits) -> None:
        self._history_ns = int(limits.history_s * NS_PER_S)
        self._max = limits.max_samples
        self._times: list[int] = []
        self._samples: list[SampleT] = []

    def __len__(self) -> int:
        return len(self._samples)

    def add(self, sample: SampleT) -> None:
        """Insert in order of time; a second sample of the same instant replaces the first.

        One that is older than all that is kept means that our clock was set back: what was heard under the
        wrong time is forgotten, or it would outlive everything that is true.
        """
        if self._times and self._times[-1] - sample.time_ns > self._history_ns:
            self._times.clear()
            self._samples.clear()
        index = bisect_left(self._times, sample.time_ns)
        if index < len(self._times) and self._times[index] == sample.time_ns:
            self._samples[index] = sample
            return
        self._times.insert(index, sample.time_ns)
        self._samples.insert(index, sample)
        if len(self._times) >= self._max or self._times[-1] - self._times[0] > 1.25 * self._history_ns:
            self._forget()

    def around(self, time_ns: int) -> tuple[SampleT | None, SampleT | None]:
        """The last sample at or before, and the first one after (either may be missing)."""
        index = bisect_right(self._times, time_ns)
        before = self._samples[index - 1] if index else None
        after = self._samples[index] if index < len(self._samples) else None
        return before, after

    @property
    def latest(self) -> SampleT | None:
        """The newest sample."""
        return self._samples[-1] if self._samples else None

    def _forget(self) -> None:
        """Drop a quarter at once, so that dropping costs little per sample."""
        cut = bisect_left(self._times, self._times[-1] - self._history_ns)
        if len(self._times) >= self._max:
            cut = max(cut, self._max // 4)
        del self._times[:cut], self._samples[:cut]


class PoseHistory:
    """Telemetry of one platform as far as poses need it; fed by `edge.telemetry`.

    Attributes:
        positions: the autopilot's own estimate.
        fixes: what its GNSS receiver alone says; see `positions_at`.
        datum_alarm: the sentence of a height datum alarm, or None.
        no_fix_since_ns: since when the receiver has had no fix, or None.
        home_alt_hae_m: height of the take-off place as the autopilot told it.
    """

    def __init__(self, limits: PoseLimits | None = None) -> None:
        self.limits = limits or PoseLimits()
        self.positions: Samples[PositionSample] = Samples(self.limits)
        self.fixes: Samples[PositionSample] = Samples(self.limits)
        self.attitudes: Samples[AttitudeSample] = Samples(self.limits)
        self.gimbals: dict[tuple[str, int], Samples[GimbalSample]] = {}
        self.datum_alarm: str | None = None
        self.no_fix_since_ns: int | None = None
        self.home_alt_hae_m: float | None = None

    def add_position(self, sample: PositionSample) -> None:
        """A checked position as the autopilot estimates it."""
        self.positions.add(sample)

    def add_fix(self, sample: PositionSample) -> None:
        """A checked position of the receiver alone."""
        self.fixes.add(sample)

    def positions_at(self, time_ns: int) -> Samples[PositionSample]:
        """The one stream to read at an instant: the two are never mixed.

        That is the autopilot's estimate, unless it says nothing within `limits.silent_s` and its receiver
        does.
        """
        silent_ns = int(self.limits.silent_s * NS_PER_S)
        around = self.positions.around(time_ns)
        is_told = any(sample is not None and abs(sample.time_ns - time_ns) <= silent_ns for sample in around)
        return self.positions if is_told or not len(self.fixes) else self.fixes

    def add_attitude(self, sample: AttitudeSample) -> None:
        """A checked attitude."""
        self.attitudes.add(sample)

    def add_gimbal(self, sample: GimbalSample) -> bool:
        """What a gimbal said; False when it is one more than `limits.max_gimbals`, and is not kept."""
        key = (sample.convention, sample.device_id)
        if key not in self.gimbals and len(self.gimbals) >= self.limits.max_gimbals:
            return False
        self.gimbals.setdefault(key, Samples(self.limits)).add(sample)
        return True

    def heard_gimbals(self, convention: str, device_id: int | None) -> dict[int, Samples[GimbalSample]]:
        """By device id, those that speak a convention; all of them or the one that is asked for."""
        return {
            key[1]: samples
            for key, samples in sorted(self.gimbals.items(), key=lambda item: item[0])
            if key[0] == convention and device_id in (None, key[1])
        }


class _RefusedError(Exception):
    """Why there is no pose: one of the reasons of `skywarden.pose.NoPose`, and the numbers."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, kw_only=True, slots=True)
class _Place:
    """A position at an instant and what it came from."""

    latitude_deg: float
    longitude_deg: float
    alt_hae_m: float
    alt_msl_m: float
    alt_rel_m: float
    velocity_ned_mps: FloatArray
    heading_deg: float | None
    horizontal_m: float | None
    vertical_m: float | None
    received_ns: int


@dataclass(frozen=True, kw_only=True, slots=True)
class _Turn:
    """An attitude at an instant, how it turns about ned axes and how far it may be from the truth."""

    q: Quaternion
    velocity_ned_dps: FloatArray | None
    spread_deg: float

    @property
    def rate_dps(self) -> float:
        """How fast it turns; 0 when that is not known."""
        return 0.0 if self.velocity_ned_dps is None else float(np.linalg.norm(self.velocity_ned_dps))


class PoseBuffer:
    """Poses of one sensor. `history` is shared and fed by someone else.

    A `calibration` corrects every pose, the instant at which telemetry is read for it, and `sigmas`.
    """

    def __init__(
        self,
        history: Callable[[], PoseHistory | None],
        *,
        mount: Mount,
        sigmas: PoseSigmas,
        calibration: Calibration | None = None,
    ) -> None:
        self._history = history
        self._mount = mount
        self._sigmas = sigmas if calibration is None else calibration.sigmas(sigmas)
        self._calibration = calibration
        self._late_ns = 0 if calibration is None else round(calibration.time_offset_s * NS_PER_S)

    def covers(self, time_ns: int) -> bool:
        """Whether every stream that the pose needs has a sample at or after `time_ns`.

        A gimbal needs the aircraft's attitude only where the aircraft tells one: some sources never do.
        """
        history = self._history()
        if history is None:
            return False
        time_ns -= self._late_ns
        streams: list[_Timed | None] = [history.positions_at(time_ns).latest]
        if self._mount.kind == "gimbal":
            streams.append(_newest_gimbal(history, self._mount.gimbal_device_id))
        if self._mount.kind == "fixed" or history.attitudes.latest is not None:
            streams.append(history.attitudes.latest)
        return all(latest is not None and latest.time_ns >= time_ns for latest in streams)

    def pose_at(self, time_ns: int) -> CameraPose | NoPose:
        """The camera's pose at `time_ns` (UTC), or the reason why there is none."""
        try:
            pose = self._pose(_known(self._history()), time_ns - self._late_ns)
        except _RefusedError as refused:
            return NoPose(time_ns=time_ns, reason=refused.reason, detail=refused.detail)
        return pose if self._calibration is None else self._calibration.pose(pose, time_ns)

    def platform_pose_at(self, time_ns: int, *, platform_id: str, sortie_id: str) -> PlatformPose:
        """The platform's own pose for the ground; what is not known is None, `reason` says why."""
        return platform_pose_at(self._history(), time_ns, platform_id=platform_id, sortie_id=sortie_id)

    def gimbal_pose_at(self, time_ns: int, *, platform_id: str, sensor_id: str) -> GimbalPose | None:
        """How the sensor's gimbal (or fixed mount) points in north-east-down; None when not known."""
        try:
            history = _known(self._history())
            turn = self._head(history, time_ns)
        except _RefusedError:
            return None
        return GimbalPose(
            platform_id=platform_id,
            sensor_id=sensor_id,
            time_ns=time_ns,
            q_ned_gimbal=turn[0].q,
            source=turn[1],
        )

    def _pose(self, history: PoseHistory, time_ns: int) -> CameraPose:
        place = _position_at(history, time_ns)
        head, source = self._head(history, time_ns)
        boresight = self._angles() if self._mount.kind == "gimbal" else (0.0, 0.0, 0.0)
        attitude = GimbalAttitude(q_ned_gimbal=head.q, source=source)
        return CameraPose(
            time_ns=time_ns,
            latitude_deg=place.latitude_deg,
            longitude_deg=place.longitude_deg,
            alt_hae_m=place.alt_hae_m,
            rotation_ned_from_camera=gimbal.ned_from_camera(attitude, boresight),
            velocity_ned_mps=place.velocity_ned_mps,
            angular_rate_dps=head.rate_dps,
            sigmas=self._sigmas_at(place, head),
            level_alt_hae_m=_level_alt(history, place),
            source=source,
            angular_velocity_ned_dps=head.velocity_ned_dps,
        )

    def _head(self, history: PoseHistory, time_ns: int) -> tuple[_Turn, str]:
        if self._mount.kind == "fixed":
            body = _attitude_at(history, time_ns)
            try:
                fixed = gimbal.from_fixed_mount(self._angles(), q_ned_body=body.q)
            except InputError as error:
                raise _RefusedError("no_attitude", str(error)) from error
            return replace(body, q=fixed.q_ned_gimbal), fixed.source
        return _gimbal_at(history, time_ns, self._mount)

    def _angles(self) -> tuple[float, float, float]:
        return self._mount.roll_deg, self._mount.pitch_deg, self._mount.yaw_deg

    def _sigmas_at(self, place: _Place, head: _Turn) -> PoseSigmas:
        base = self._sigmas
        horizontal = base.horizontal_m if place.horizontal_m is None else place.horizontal_m
        vertical = base.vertical_m if place.vertical_m is None else place.vertical_m
        return replace(
            base,
            horizontal_m=horizontal,
            vertical_m=vertical,
            tilt_deg=float(np.hypot(base.tilt_deg, head.spread_deg)),
            heading_deg=float(np.hypot(base.heading_deg, head.spread_deg)),
        )


def platform_pose_at(
    history: PoseHistory | None, time_ns: int, *, platform_id: str, sortie_id: str
) -> PlatformPose:
    """As `PoseBuffer.platform_pose_at`, for a history without a sensor."""
    place: _Place | None = None
    body: _Turn | None = None
    reason: str | None = None
    try:
        place = _position_at(_known(history), time_ns)
    except _RefusedError as refused:
        reason = f"{refused.reason}: {refused.detail}"
    try:
        body = _attitude_at(_known(history), time_ns)
    except _RefusedError as refused:
        reason = reason or f"{refused.reason}: {refused.detail}"
    north, east, down = (float(part) for part in place.velocity_ned_mps) if place else (0.0, 0.0, 0.0)
    return PlatformPose(
        platform_id=platform_id,
        sortie_id=sortie_id,
        time_ns=time_ns,
        received_ns=place.received_ns if place else time_ns,
        latitude_deg=place.latitude_deg if place else None,
        longitude_deg=place.longitude_deg if place else None,
        alt_hae_m=place.alt_hae_m if place else None,
        alt_msl_m=place.alt_msl_m if place else None,
        alt_rel_m=place.alt_rel_m if place and np.isfinite(place.alt_rel_m) else None,
        heading_deg=_heading(place, body),
        course_deg=float(np.degrees(np.arctan2(east, north))) % 360.0
        if place and np.hypot(north, east) > 0.5
        else None,
        speed_mps=float(np.hypot(north, east)) if place else None,
        climb_mps=-down if place else None,
        q_ned_body=body.q if body else None,
        reason=reason[:512] if reason else None,
    )


def _heading(place: _Place | None, body: _Turn | None) -> float | None:
    if body is not None:
        return float(rotations.euler_deg_from_quaternion(body.q)[2]) % 360.0
    return place.heading_deg if place else None


def _known(history: PoseHistory | None) -> PoseHistory:
    if history is None:
        raise _RefusedError("no_telemetry", "no autopilot has been heard, or several and none is configured")
    return history


def _bracket(
    samples: Samples[SampleT], time_ns: int, limits: PoseLimits, what: str, missing: str, stale: str
) -> tuple[SampleT, SampleT, float]:
    """The two samples around `time_ns` and where between them it lies (0..1).

    Both are the same at an end and at a gap that is too wide to interpolate over. Raises `_RefusedError` when
    the nearest is too old or there is none.
    """
    before, after = samples.around(time_ns)
    if before is None and after is None:
        raise _RefusedError(missing, f"no {what} has been heard")
    since_s = (time_ns - before.time_ns) / NS_PER_S if before is not None else float("inf")
    until_s = (after.time_ns - time_ns) / NS_PER_S if after is not None else float("inf")
    if min(since_s, until_s) > limits.stale_s:
        raise _RefusedError(stale, f"the nearest {what} is {min(since_s, until_s):.2f} s away")
    if before is not None and after is not None and since_s + until_s <= 2 * limits.stale_s:
        return before, after, since_s / (since_s + until_s)
    end = before if since_s <= until_s else after
    assert end is not None
    if min(since_s, until_s) > limits.extrapolate_s:
        raise _RefusedError(
            stale,
            f"the {'last' if end is before else 'next'} {what} is {min(since_s, until_s):.2f} s away, "
            f"more than the {limits.extrapolate_s:.2f} s over which it may be carried",
        )
    return end, end, 0.0


def _position_at(history: PoseHistory, time_ns: int) -> _Place:
    if history.datum_alarm is not None:
        raise _RefusedError("datum_alarm", history.datum_alarm)
    if history.no_fix_since_ns is not None and time_ns >= history.no_fix_since_ns:
        lost_s = (time_ns - history.no_fix_since_ns) / NS_PER_S
        raise _RefusedError("no_fix", f"the receiver has had no 3D fix for {lost_s:.1f} s")
    samples = history.positions_at(time_ns)
    missing = "no_telemetry" if samples.latest is None else "telemetry_stale"
    a, b, fraction = _bracket(samples, time_ns, history.limits, "position", missing, "telemetry_stale")
    velocity = _velocity(samples, time_ns, _mixed(a.velocity_ned_mps, b.velocity_ned_mps, fraction))
    if a is b:
        offset = velocity * ((time_ns - a.time_ns) / NS_PER_S)
    else:
        there = (b.latitude_deg, b.longitude_deg, b.alt_hae_m)
        end = geodesy.ned_from_geodetic(there, a.latitude_deg, a.longitude_deg, a.alt_hae_m)
        offset = end * fraction
    latitude, longitude, alt_hae = geodesy.geodetic_from_ned(
        offset, a.latitude_deg, a.longitude_deg, a.alt_hae_m
    )
    climbed = float(alt_hae) - a.alt_hae_m
    nearest = a if fraction <= 0.5 else b
    return _Place(
        latitude_deg=float(latitude),
        longitude_deg=float(longitude),
        alt_hae_m=float(alt_hae),
        alt_msl_m=a.alt_msl_m + climbed,
        alt_rel_m=a.alt_rel_m + (climbed if a is b else fraction * (b.alt_rel_m - a.alt_rel_m)),
        velocity_ned_mps=velocity,
        heading_deg=nearest.heading_deg,
        horizontal_m=nearest.horizontal_m,
        vertical_m=nearest.vertical_m,
        received_ns=max(a.received_ns, b.received_ns),
    )


def _velocity(samples: Samples[PositionSample], time_ns: int, told_mps: FloatArray) -> FloatArray:
    """What was told, its unknown parts (NaN) from the positions half a second before and after.

    Raises `_RefusedError` when the direction of flight stays unknown; an unknown climb counts as none.
    """
    if np.isfinite(told_mps).all():
        return told_mps
    first, last = _apart(samples, time_ns)
    seen_mps = np.full(3, np.nan)
    if first is not None and last is not None:
        there = (last.latitude_deg, last.longitude_deg, last.alt_hae_m)
        moved_m = geodesy.ned_from_geodetic(there, first.latitude_deg, first.longitude_deg, first.alt_hae_m)
        seen_mps = moved_m / ((last.time_ns - first.time_ns) / NS_PER_S)
    velocity: FloatArray = np.where(np.isfinite(told_mps), told_mps, seen_mps)
    if not np.isfinite(velocity[:2]).all():
        raise _RefusedError("telemetry_stale", "a single position, which tells no velocity")
    return np.nan_to_num(velocity, nan=0.0)


def _apart(
    samples: Samples[PositionSample], time_ns: int
) -> tuple[PositionSample | None, PositionSample | None]:
    """Two positions half a second (or the next beyond) before and after an instant, at most 5 s away.

    At an end of the samples one of them is nearer; (None, None) when they are not 0.1 s apart.
    """
    before, next_after = samples.around(time_ns - VELOCITY_SPAN_NS // 2)
    last_before, after = samples.around(time_ns + VELOCITY_SPAN_NS // 2)
    first, last = before or next_after, after or last_before
    if first is None or last is None or last.time_ns - first.time_ns < VELOCITY_SPAN_NS // 10:
        return None, None
    furthest_ns = max(abs(first.time_ns - time_ns), abs(last.time_ns - time_ns))
    return (first, last) if furthest_ns <= VELOCITY_REACH_NS else (None, None)


def _attitude_at(history: PoseHistory, time_ns: int) -> _Turn:
    missing = "no_telemetry" if history.positions_at(time_ns).latest is None else "no_attitude"
    a, b, fraction = _bracket(
        history.attitudes, time_ns, history.limits, "attitude", missing, "telemetry_stale"
    )
    if a is not b:
        return _between(a.q_ned_body, a.time_ns, b.q_ned_body, b.time_ns, fraction, history.limits)
    away_s = (time_ns - a.time_ns) / NS_PER_S
    turned = rotations.quaternion_from_matrix(
        rotations.matrix_from_vector_rad(np.asarray(a.rates_rps, dtype=np.float64) * away_s)
    )
    return _Turn(
        q=_quaternion(rotations.multiply(a.q_ned_body, turned)),
        velocity_ned_dps=rotations.matrix_from_quaternion(a.q_ned_body) @ np.degrees(a.rates_rps),
        spread_deg=0.5 * history.limits.turn_acceleration_dps2 * away_s**2,
    )


def _gimbal_at(history: PoseHistory, time_ns: int, mount: Mount) -> tuple[_Turn, str]:
    """The gimbal's head by the best convention that has samples around the instant."""
    device_id, is_body = mount.gimbal_device_id, mount.gimbal_axes == "body"
    which = "gimbal" if device_id is None else f"gimbal {device_id}"
    refusal = _RefusedError("gimbal_stale", f"no {which} has been heard")
    for convention in CONVENTIONS:
        answers: dict[int, tuple[_Turn, str]] = {}
        for each, samples in history.heard_gimbals(convention, device_id).items():
            try:
                answers[each] = _head_at(history, samples, time_ns, is_body=is_body)
            except _RefusedError as refused:
                refusal = refused
        if answers:
            return _agreed(answers, history.limits)
    raise refusal


def _agreed(answers: dict[int, tuple[_Turn, str]], limits: PoseLimits) -> tuple[_Turn, str]:
    """The surest of several heads that point alike; raises `_RefusedError` when they are not one gimbal."""
    best = min(answers.values(), key=lambda answer: answer[0].spread_deg)
    for head, _ in answers.values():
        apart_deg = float(rotations.angle_between_deg(best[0].q, head.q))
        if apart_deg > limits.same_gimbal_deg + best[0].spread_deg + head.spread_deg:
            ids = ", ".join(str(device_id) for device_id in answers)
            raise _RefusedError(
                "gimbal_stale",
                f"gimbals {ids} are heard and point {apart_deg:.0f} degrees apart: "
                "set mount.gimbal_device_id to that of this camera",
            )
    return best


def _head_at(
    history: PoseHistory, samples: Samples[GimbalSample], time_ns: int, *, is_body: bool
) -> tuple[_Turn, str]:
    a, b, fraction = _bracket(
        samples, time_ns, history.limits, "gimbal attitude", "gimbal_stale", "gimbal_stale"
    )
    start = _resolved(history, a, is_body=is_body)
    if a is not b:
        end = _resolved(history, b, is_body=is_body)
        q0, q1 = start.q_ned_gimbal, end.q_ned_gimbal
        return _between(q0, a.time_ns, q1, b.time_ns, fraction, history.limits), start.source
    away_s = (time_ns - a.time_ns) / NS_PER_S
    spread = 0.5 * history.limits.turn_acceleration_dps2 * away_s**2
    turning = _turning_at_end(history, samples, a, start.q_ned_gimbal, is_body=is_body)
    return _Turn(q=start.q_ned_gimbal, velocity_ned_dps=turning, spread_deg=spread), start.source


def _resolved(history: PoseHistory, sample: GimbalSample, *, is_body: bool) -> GimbalAttitude:
    """What the sample means in north-east-down, with the aircraft's attitude at the sample's own instant."""
    unknown: _RefusedError | None = None
    q_ned_body: Quaternion | None = None
    try:
        q_ned_body = _attitude_at(history, sample.time_ns).q
    except _RefusedError as refused:
        unknown = refused
    try:
        return _read(sample, q_ned_body, is_body=is_body)
    except InputError as error:
        if unknown is not None and _is_readable(sample, is_body=is_body):
            raise unknown from error
        raise _RefusedError("gimbal_stale", str(error)) from error


def _read(sample: GimbalSample, q_ned_body: Quaternion | None, *, is_body: bool) -> GimbalAttitude:
    n = sample.numbers
    if sample.convention == "gimbal_device":
        return gimbal.from_gimbal_device(
            int(n[0]),
            (n[1], n[2], n[3], n[4]),
            None if np.isnan(n[5]) else n[5],
            q_ned_body=q_ned_body,
            has_body_roll_pitch=is_body,
        )
    if sample.convention == "mount_orientation":
        absolute = None if np.isnan(n[3]) else n[3]
        return gimbal.from_mount_orientation(n[0], n[1], n[2], absolute, q_ned_body=q_ned_body)
    return gimbal.from_mount_status(
        int(n[0]), int(n[1]), int(n[2]), q_ned_body=q_ned_body, has_body_roll_pitch=is_body
    )


def _is_readable(sample: GimbalSample, *, is_body: bool) -> bool:
    """Whether nothing but the aircraft's attitude is missing."""
    try:
        _read(sample, (1.0, 0.0, 0.0, 0.0), is_body=is_body)
    except InputError:
        return False
    return True


def _between(
    q0: Quaternion, t0_ns: int, q1: Quaternion, t1_ns: int, fraction: float, limits: PoseLimits
) -> _Turn:
    """Slerp, its turn, and how far a turn of bounded acceleration strays from it: a (t - t0)(t1 - t) / 2."""
    step_s = (t1_ns - t0_ns) / NS_PER_S
    return _Turn(
        q=_quaternion(rotations.slerp(q0, q1, fraction)),
        velocity_ned_dps=_turned_deg(q0, q1) / step_s,
        spread_deg=0.5 * limits.turn_acceleration_dps2 * fraction * (1 - fraction) * step_s**2,
    )


def _turned_deg(q0: Quaternion, q1: Quaternion) -> FloatArray:
    """The turn from one attitude to the other, the short way, as a rotation vector in ned axes, degrees."""
    w, *axis = rotations.multiply(q1, rotations.conjugate(q0)).tolist()
    vector = np.asarray(axis, dtype=np.float64) * (-1.0 if w < 0.0 else 1.0)
    sine = float(np.linalg.norm(vector))
    turned: FloatArray = np.degrees(vector * (2.0 * np.arctan2(sine, abs(w)) / sine if sine > 1e-12 else 2.0))
    return turned


def _turning_at_end(
    history: PoseHistory, samples: Samples[GimbalSample], end: GimbalSample, q: Quaternion, *, is_body: bool
) -> FloatArray | None:
    """How a gimbal turns at a sample that has a neighbour on one side only; None without a near one."""
    before, _ = samples.around(end.time_ns - 1)
    _, after = samples.around(end.time_ns)
    for other in (before, after):
        step_s = np.inf if other is None else (other.time_ns - end.time_ns) / NS_PER_S
        if other is None or abs(step_s) > 2 * history.limits.stale_s:
            continue
        try:
            neighbour: FloatArray = _turned_deg(q, _resolved(history, other, is_body=is_body).q_ned_gimbal)
        except _RefusedError:
            continue
        return neighbour / step_s
    return None


def _level_alt(history: PoseHistory, place: _Place) -> float | None:
    """Height of the take-off place: what relative altitude counts from, else home."""
    if np.isfinite(place.alt_rel_m):
        return place.alt_hae_m - place.alt_rel_m
    return history.home_alt_hae_m


def _newest_gimbal(history: PoseHistory, device_id: int | None) -> GimbalSample | None:
    """The newest sample of the best convention that is heard at all from the mount's gimbal."""
    for convention in CONVENTIONS:
        heard = history.heard_gimbals(convention, device_id).values()
        latest = [samples.latest for samples in heard if samples.latest is not None]
        if latest:
            return max(latest, key=lambda sample: sample.time_ns)
    return None


def _mixed(a: tuple[float, float, float], b: tuple[float, float, float], fraction: float) -> FloatArray:
    start = np.asarray(a, dtype=np.float64)
    mixed: FloatArray = start + fraction * (np.asarray(b, dtype=np.float64) - start)
    return mixed


def _quaternion(q: FloatArray) -> Quaternion:
    return float(q[0]), float(q[1]), float(q[2]), float(q[3])
