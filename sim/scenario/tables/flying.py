"""The platforms of a scenario: flight plan, gimbal, camera, and how large their errors are."""

from typing import Annotated, Literal

from msgspec import Meta

from sim.scenario.tables.units import Degrees, Metres, Name, Point, Sigma
from skywarden.config import Config

Convention = Literal[
    "gimbal_device",
    "gimbal_device_earth",
    "gimbal_device_vehicle",
    "gimbal_device_before_2022",
    "mount_orientation",
    "mount_orientation_relative",
    "mount_status",
]


class Sweep(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A gimbal that swings to and fro about an azimuth, or keeps a place or a vessel in its middle.

    `reference` says what the azimuth counts from: the nose, true north; "point" looks at the place `at`,
    "vessel" at the vessel `follow`, wherever it goes (the swing then goes about that direction).
    """

    reference: Literal["nose", "north", "point", "vessel"] = "nose"
    azimuth_deg: Degrees = 0.0
    amplitude_deg: Annotated[float, Meta(ge=0.0, le=180.0)] = 0.0
    period_s: Annotated[float, Meta(ge=1.0, le=600.0)] = 30.0
    pitch_deg: Annotated[float, Meta(ge=-90.0, le=20.0)] = -35.0
    at: Point | None = None
    follow: Name | None = None
    convention: Convention = "gimbal_device"
    """How the gimbal tells where it points; "gimbal_device": earth frame when it holds an azimuth, else the
    vehicle's."""


class CameraSection(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The camera: picture size, lens, rate; a gimbal (`sweep`) or, without one, a fixed nadir mount.

    `exposure_s` smears what moves across the picture, `readout_s` is what a rolling shutter takes from the
    first row to the last. `kind` "thermal" gives 16-bit counts of 0.01 K with `netd_k` of noise.
    """

    sensor_id: Name = "eo"
    kind: Literal["eo", "thermal"] = "eo"
    width_px: Annotated[int, Meta(ge=64, le=4096)] = 960
    height_px: Annotated[int, Meta(ge=64, le=4096)] = 540
    hfov_deg: Annotated[float, Meta(ge=1.0, le=120.0)] = 50.0
    fps: Annotated[float, Meta(ge=0.05, le=60.0)] = 2.0
    distortion: Annotated[tuple[float, ...], Meta(max_length=5)] = ()
    sweep: Sweep | None = None
    noise_sigma: Annotated[float, Meta(ge=0.0, le=30.0)] = 2.2
    jpeg_quality: Annotated[int, Meta(ge=30, le=100)] = 90
    frame_lag_s: Annotated[float, Meta(ge=0.0, le=2.0)] = 0.0
    exposure_s: Annotated[float, Meta(ge=0.0, le=0.2)] = 0.0
    readout_s: Annotated[float, Meta(ge=0.0, le=0.2)] = 0.0
    netd_k: Annotated[float, Meta(ge=0.0, le=2.0)] = 0.06


class Errors(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One-sigma errors of what the platform says about itself, each drawn once for a flight or told so.

    Attributes:
        horizontal_m: GNSS, per horizontal axis; it drifts.
        vertical_m: GNSS height; it drifts.
        drift_time_s: how slowly.
        tilt_bias_deg: roll and pitch of the autopilot's attitude, each.
        heading_bias_deg: the autopilot's heading, and with it every azimuth.
        attitude_noise_deg: of each told attitude, per angle.
        gimbal_bias_deg: the gimbal's own idea of the vertical, roll and pitch each.
        gimbal_noise_deg: of each told gimbal attitude, per angle.
        boresight_deg: how the camera sits on its gimbal or body, per axis.
        time_offset_s: not drawn: what the delays of the link come to (see `telemetry.LINK_DELAY_S`).
        clock_offset_s: not drawn: how far the autopilot's idea of UTC is ahead.
        surface_m: not drawn: how far the middle of a thing stands above what the rays meet.
        pixel_px: not drawn: where a detector finds the middle of a thing.
    """

    horizontal_m: Sigma = 0.8
    vertical_m: Sigma = 1.2
    drift_time_s: Annotated[float, Meta(ge=1.0, le=10_000.0)] = 90.0
    tilt_bias_deg: Sigma = 0.15
    heading_bias_deg: Sigma = 0.6
    attitude_noise_deg: Sigma = 0.05
    gimbal_bias_deg: Sigma = 0.1
    gimbal_noise_deg: Sigma = 0.03
    boresight_deg: Sigma = 0.1
    time_offset_s: Annotated[float, Meta(ge=0.0, le=2.0)] = 0.01
    clock_offset_s: Annotated[float, Meta(ge=-10.0, le=10.0)] = 0.0
    surface_m: Sigma = 0.5
    pixel_px: Sigma = 1.0


class Platform(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A platform: its flight plan (corners flown round and round, rounded to `turn_radius_m`) and camera."""

    id: Name
    sysid: Annotated[int, Meta(ge=1, le=250)]
    vehicle: Literal["fixed_wing", "quadrotor"] = "fixed_wing"
    plan: Annotated[tuple[Point, ...], Meta(min_length=3, max_length=200)]
    turn_radius_m: Annotated[float, Meta(ge=1.0, le=2_000.0)] = 120.0
    alt_msl_m: Annotated[float, Meta(ge=5.0, le=8_000.0)]
    speed_mps: Annotated[float, Meta(ge=0.5, le=80.0)] = 18.0
    """Over the ground; wind only turns the nose."""
    home: Point
    look_area: tuple[Metres, Metres, Metres, Metres]
    """West, south, east, north of what the camera may come to see; it is painted in detail."""
    texel_m: Annotated[float, Meta(ge=0.05, le=5.0)] = 0.5
    camera: CameraSection
    errors: Errors = Errors()
