"""Where a camera was and how it looked at the instant of a frame, or the reason why that is not known.

Axes: north-east-down (ned), camera right-down-forward (OpenCV). `rotation_ned_from_camera` turns a ray in
camera axes into ned axes at the camera's own place.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class PoseSigmas:
    """One-sigma errors of a pose by source: metres, degrees, seconds.

    Attributes:
        horizontal_m: GNSS error, per horizontal axis.
        vertical_m: GNSS height error.
        tilt_deg: line-of-sight error from roll and pitch (aircraft and gimbal together).
        heading_deg: error about the vertical.
        boresight_deg: camera against gimbal or body, per axis.
        time_offset_s: frame time against telemetry time.
        focal_percent: focal length, both axes together, in percent of it.
        principal_px: principal point, per axis; 0 where `boresight_deg` holds it already, as every boresight
            does that was found from places on the ground.
    """

    horizontal_m: float = 1.5
    vertical_m: float = 3.0
    tilt_deg: float = 0.5
    heading_deg: float = 2.0
    boresight_deg: float = 0.3
    time_offset_s: float = 0.06
    focal_percent: float = 0.0
    principal_px: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class CameraPose:
    """A camera's pose at `time_ns` (UTC).

    Attributes:
        rotation_ned_from_camera: shape (3, 3).
        velocity_ned_mps: shape (3,), of the platform.
        angular_rate_dps: magnitude of the camera's turning, degrees per second.
        level_alt_hae_m: height of level ground to use where no terrain model is given (take-off height);
            `None` when unknown.
        source: which attitude convention answered, such as "fixed", "gimbal_device", "mount_status".
        angular_velocity_ned_dps: shape (3,), how the camera turns about the north, east and down axes
            (right-handed), degrees per second; `None` when only its magnitude, or nothing, is known.
        doubt: why the position is suspect (a reason word as of `NoPose`), its sigmas widened; `None`: it is
            not.
    """

    time_ns: int
    latitude_deg: float
    longitude_deg: float
    alt_hae_m: float
    rotation_ned_from_camera: FloatArray
    velocity_ned_mps: FloatArray
    angular_rate_dps: float
    sigmas: PoseSigmas
    level_alt_hae_m: float | None
    source: str
    angular_velocity_ned_dps: FloatArray | None = None
    doubt: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class NoPose:
    """There is no honest pose at `time_ns`; `reason` is one of the words below and `detail` has the numbers.

    Reasons: no_telemetry, telemetry_stale, no_fix, no_height (only heights above home are told), gnss_frozen,
    gnss_glitch (a jump), gnss_drift, gnss_disagree (two sources of position differ), gnss_time (its clock
    jumped), no_attitude, gimbal_stale, datum_alarm, clock_unknown.
    """

    time_ns: int
    reason: str
    detail: str
