"""Where the camera was and how it looked at the instant of a frame: interpolated, or a reason why not.

`PoseHistory` keeps the last minute of telemetry of one platform; any number of `PoseBuffer`s (one per
sensor, each with its mount) read it. A pose is interpolated between the samples before and after the
instant, in local metres and by slerp; it is extrapolated over a quarter of a second at most, and never is it
the latest sample. What `edge.integrity` does not believe is no pose, what it doubts gets a wider sigma.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from edge.calibration.record import Calibration
from edge.pose import gimbal
from edge.pose.bracket import PoseRefusedError, known
from edge.pose.gimbal import GimbalAttitude
from edge.pose.history import PoseHistory, Timed
from edge.pose.place import Place, level_alt, position_at
from edge.pose.turn import Mount, Turn, attitude_at, gimbal_at, newest_gimbal
from skywarden.clock import NS_PER_S
from skywarden.errors import InputError
from skywarden.geometry import rotations
from skywarden.geometry.pose import CameraPose, NoPose, PoseSigmas
from skywarden.messages import GimbalPose, PlatformPose


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
        streams: list[Timed | None] = [history.positions_at(time_ns).latest]
        if self._mount.kind == "gimbal":
            streams.append(newest_gimbal(history, self._mount.gimbal_device_id))
        if self._mount.kind == "fixed" or history.attitudes.latest is not None:
            streams.append(history.attitudes.latest)
        return all(latest is not None and latest.time_ns >= time_ns for latest in streams)

    def pose_at(self, time_ns: int) -> CameraPose | NoPose:
        """The camera's pose at `time_ns` (UTC), or the reason why there is none."""
        try:
            pose = self._pose(known(self._history()), time_ns - self._late_ns)
        except PoseRefusedError as refused:
            return NoPose(time_ns=time_ns, reason=refused.reason, detail=refused.detail)
        return pose if self._calibration is None else self._calibration.pose(pose, time_ns)

    def platform_pose_at(self, time_ns: int, *, platform_id: str, sortie_id: str) -> PlatformPose:
        """The platform's own pose for the ground; what is not known is None, `reason` says why."""
        return platform_pose_at(self._history(), time_ns, platform_id=platform_id, sortie_id=sortie_id)

    def gimbal_pose_at(self, time_ns: int, *, platform_id: str, sensor_id: str) -> GimbalPose | None:
        """How the sensor's gimbal (or fixed mount) points in north-east-down; None when not known."""
        try:
            history = known(self._history())
            turn = self._head(history, time_ns)
        except PoseRefusedError:
            return None
        return GimbalPose(
            platform_id=platform_id,
            sensor_id=sensor_id,
            time_ns=time_ns,
            q_ned_gimbal=turn[0].q,
            source=turn[1],
        )

    def _pose(self, history: PoseHistory, time_ns: int) -> CameraPose:
        place = position_at(history, time_ns)
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
            level_alt_hae_m=level_alt(history, place),
            source=source,
            angular_velocity_ned_dps=head.velocity_ned_dps,
            doubt=place.verdict.reason or None,
        )

    def _head(self, history: PoseHistory, time_ns: int) -> tuple[Turn, str]:
        if self._mount.kind == "fixed":
            body = attitude_at(history, time_ns)
            try:
                fixed = gimbal.from_fixed_mount(self._angles(), q_ned_body=body.q)
            except InputError as error:
                raise PoseRefusedError("no_attitude", str(error)) from error
            return replace(body, q=fixed.q_ned_gimbal), fixed.source
        return gimbal_at(history, time_ns, self._mount)

    def _angles(self) -> tuple[float, float, float]:
        return self._mount.roll_deg, self._mount.pitch_deg, self._mount.yaw_deg

    def _sigmas_at(self, place: Place, head: Turn) -> PoseSigmas:
        base = self._sigmas
        horizontal = base.horizontal_m if place.horizontal_m is None else place.horizontal_m
        vertical = base.vertical_m if place.vertical_m is None else place.vertical_m
        doubt_m = place.verdict.sigma_m
        return replace(
            base,
            horizontal_m=max(float(np.hypot(horizontal, place.lag_m)), doubt_m),
            vertical_m=max(vertical, doubt_m),
            tilt_deg=float(np.hypot(base.tilt_deg, head.spread_deg)),
            heading_deg=float(np.hypot(base.heading_deg, head.spread_deg)),
        )


def platform_pose_at(
    history: PoseHistory | None, time_ns: int, *, platform_id: str, sortie_id: str
) -> PlatformPose:
    """As `PoseBuffer.platform_pose_at`, for a history without a sensor."""
    place: Place | None = None
    body: Turn | None = None
    reason: str | None = None
    try:
        place = position_at(known(history), time_ns)
        if place.verdict.state != "good":
            reason = f"{place.verdict.reason}: {place.verdict.detail}"
    except PoseRefusedError as refused:
        reason = f"{refused.reason}: {refused.detail}"
    try:
        body = attitude_at(known(history), time_ns)
    except PoseRefusedError as refused:
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


def _heading(place: Place | None, body: Turn | None) -> float | None:
    if body is not None:
        return float(rotations.euler_deg_from_quaternion(body.q)[2]) % 360.0
    return place.heading_deg if place else None
