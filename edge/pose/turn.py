"""How the body and the gimbal's head point at an instant, by the best convention that is heard."""

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from edge.pose import gimbal
from edge.pose.bracket import PoseRefusedError, bracket
from edge.pose.gimbal import GimbalAttitude
from edge.pose.history import GimbalSample, PoseHistory, PoseLimits, Quaternion, Samples
from skywarden.clock import NS_PER_S
from skywarden.errors import InputError
from skywarden.geometry import rotations
from skywarden.geometry.pose import FloatArray

CONVENTIONS = ("gimbal_device", "mount_orientation", "mount_status")
"""How gimbals speak, the clearest first."""


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


@dataclass(frozen=True, kw_only=True, slots=True)
class Turn:
    """An attitude at an instant, how it turns about ned axes and how far it may be from the truth."""

    q: Quaternion
    velocity_ned_dps: FloatArray | None
    spread_deg: float

    @property
    def rate_dps(self) -> float:
        """How fast it turns; 0 when that is not known."""
        return 0.0 if self.velocity_ned_dps is None else float(np.linalg.norm(self.velocity_ned_dps))


def attitude_at(history: PoseHistory, time_ns: int) -> Turn:
    missing = "no_telemetry" if history.positions_at(time_ns).latest is None else "no_attitude"
    a, b, fraction = bracket(
        history.attitudes, time_ns, history.limits, "attitude", missing, "telemetry_stale"
    )
    if a is not b:
        return _between(a.q_ned_body, a.time_ns, b.q_ned_body, b.time_ns, fraction, history.limits)
    away_s = (time_ns - a.time_ns) / NS_PER_S
    turned = rotations.quaternion_from_matrix(
        rotations.matrix_from_vector_rad(np.asarray(a.rates_rps, dtype=np.float64) * away_s)
    )
    return Turn(
        q=_quaternion(rotations.multiply(a.q_ned_body, turned)),
        velocity_ned_dps=rotations.matrix_from_quaternion(a.q_ned_body) @ np.degrees(a.rates_rps),
        spread_deg=0.5 * history.limits.turn_acceleration_dps2 * away_s**2,
    )


def gimbal_at(history: PoseHistory, time_ns: int, mount: Mount) -> tuple[Turn, str]:
    """The gimbal's head by the best convention that has samples around the instant."""
    device_id, is_body = mount.gimbal_device_id, mount.gimbal_axes == "body"
    which = "gimbal" if device_id is None else f"gimbal {device_id}"
    refusal = PoseRefusedError("gimbal_stale", f"no {which} has been heard")
    for convention in CONVENTIONS:
        answers: dict[int, tuple[Turn, str]] = {}
        for each, samples in history.heard_gimbals(convention, device_id).items():
            try:
                answers[each] = _head_at(history, samples, time_ns, is_body=is_body)
            except PoseRefusedError as refused:
                refusal = refused
        if answers:
            return _agreed(answers, history.limits)
    raise refusal


def _agreed(answers: dict[int, tuple[Turn, str]], limits: PoseLimits) -> tuple[Turn, str]:
    """The surest of several heads that point alike; `PoseRefusedError` when they are not one gimbal."""
    best = min(answers.values(), key=lambda answer: answer[0].spread_deg)
    for head, _ in answers.values():
        apart_deg = float(rotations.angle_between_deg(best[0].q, head.q))
        if apart_deg > limits.same_gimbal_deg + best[0].spread_deg + head.spread_deg:
            ids = ", ".join(str(device_id) for device_id in answers)
            raise PoseRefusedError(
                "gimbal_stale",
                f"gimbals {ids} are heard and point {apart_deg:.0f} degrees apart: "
                "set mount.gimbal_device_id to that of this camera",
            )
    return best


def _head_at(
    history: PoseHistory, samples: Samples[GimbalSample], time_ns: int, *, is_body: bool
) -> tuple[Turn, str]:
    a, b, fraction = bracket(
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
    return Turn(q=start.q_ned_gimbal, velocity_ned_dps=turning, spread_deg=spread), start.source


def _resolved(history: PoseHistory, sample: GimbalSample, *, is_body: bool) -> GimbalAttitude:
    """What the sample means in north-east-down, with the aircraft's attitude at the sample's own instant."""
    unknown: PoseRefusedError | None = None
    q_ned_body: Quaternion | None = None
    try:
        q_ned_body = attitude_at(history, sample.time_ns).q
    except PoseRefusedError as refused:
        unknown = refused
    try:
        return _read(sample, q_ned_body, is_body=is_body)
    except InputError as error:
        if unknown is not None and _is_readable(sample, is_body=is_body):
            raise unknown from error
        raise PoseRefusedError("gimbal_stale", str(error)) from error


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
) -> Turn:
    """Slerp, its turn, and how far a turn of bounded acceleration strays from it: a (t - t0)(t1 - t) / 2."""
    step_s = (t1_ns - t0_ns) / NS_PER_S
    return Turn(
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
        except PoseRefusedError:
            continue
        return neighbour / step_s
    return None


def newest_gimbal(history: PoseHistory, device_id: int | None) -> GimbalSample | None:
    """The newest sample of the best convention that is heard at all from the mount's gimbal."""
    for convention in CONVENTIONS:
        heard = history.heard_gimbals(convention, device_id).values()
        latest = [samples.latest for samples in heard if samples.latest is not None]
        if latest:
            return max(latest, key=lambda sample: sample.time_ns)
    return None


def _quaternion(q: FloatArray) -> Quaternion:
    return float(q[0]), float(q[1]), float(q[2]), float(q[3])
