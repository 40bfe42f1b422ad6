"""Every way in which a gimbal speaks MAVLink, from bytes to where the camera looks; scipy is the referee."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from edge.config import MountConfig
from edge.mavlink_port import MavlinkConfig
from edge.pose.telemetry import TelemetryNode
from skywarden.geometry.pose import CameraPose, NoPose, PoseSigmas
from skywarden.mavlink.synth import MessageMaker

T0 = 1_760_000_000_000_000_000
MS = 1_000_000
ROLL, PITCH, HEADING = 15.0, -8.0, 312.5
NAN = math.nan
EARTH, VEHICLE, LOCK, RETRACT = 64, 32, 16, 1
Tell = Callable[[MessageMaker, int], bytes]


def _euler(roll: float, pitch: float, yaw: float) -> Rotation:
    """Aerospace angles: yaw, then pitch, then roll."""
    return Rotation.from_euler("ZYX", [yaw, pitch, roll], degrees=True)


BODY = _euler(ROLL, PITCH, HEADING)
HEAD = _euler(0.0, -45.0, 40.0)


def _quaternion(rotation: Rotation) -> tuple[float, float, float, float]:
    x, y, z, w = rotation.as_quat()
    return float(w), float(x), float(y), float(z)


def _pose(
    tell: Tell | None, mount: MountConfig, *, version: int = 2, has_attitude: bool = True
) -> CameraPose | NoPose:
    """The pose in the middle of two seconds of telemetry at 10 Hz, all of it as bytes."""
    node = TelemetryNode(MavlinkConfig())
    maker, head = MessageMaker(1, 1, version=version), MessageMaker(1, 154, version=version)
    for number in range(20):
        boot_ms, now_ns = 5_000 + 100 * number, T0 + 100 * MS * number
        told = [maker.heartbeat()]
        told.append(
            maker.global_position_int(
                time_boot_ms=boot_ms, latitude_deg=41.5, longitude_deg=12.5, alt_msl_m=300.0, alt_rel_m=100.0
            )
        )
        if has_attitude:
            told.append(
                maker.attitude(time_boot_ms=boot_ms, roll_deg=ROLL, pitch_deg=PITCH, heading_deg=HEADING)
            )
        if tell is not None:
            told.append(tell(head, boot_ms))
        for raw in told:
            node.handle(now_ns, raw)
    return node.pose_buffer(mount=mount, sigmas=PoseSigmas()).pose_at(T0 + 950 * MS)


def _camera(pose: CameraPose | NoPose) -> np.ndarray:
    assert isinstance(pose, CameraPose), pose
    return pose.rotation_ned_from_camera


def _of(housing: Rotation) -> np.ndarray:
    """Camera axes (right, down, forward) of a housing (forward, right, down) in ned."""
    forward, right, down = housing.as_matrix().T
    return np.stack([right, down, forward], axis=1)


def _device(flags: int, delta_deg: float | None = None, rotation: Rotation = HEAD) -> Tell:
    def tell(maker: MessageMaker, boot_ms: int) -> bytes:
        delta = None if delta_deg is None else math.radians(delta_deg)
        return maker.gimbal_device_attitude_status(
            time_boot_ms=boot_ms, q=_quaternion(rotation), flags=flags, delta_yaw_rad=delta
        )

    return tell


@pytest.mark.parametrize(
    ("flags", "delta_deg", "turned_deg"),
    [
        (EARTH, None, 0.0),
        (EARTH | LOCK, 77.0, 0.0),
        (VEHICLE, None, HEADING),  # delta_yaw NaN, as ArduPilot sends it
        (VEHICLE, 100.0, 100.0),
        (VEHICLE | LOCK, None, HEADING),  # ArduPilot before PR 27073: vehicle frame although yaw is locked
        (
            0,
            0.0,
            HEADING,
        ),  # before the flags of 2022: no lock is the vehicle's frame, delta_yaw not looked at
        (12, 100.0, HEADING),
        (LOCK, 0.0, 0.0),  # and lock is the earth's
    ],
)
def test_a_gimbal_device_says_by_its_flags_in_which_frame_it_speaks(
    flags: int, delta_deg: float | None, turned_deg: float
) -> None:
    """The vehicle's frame is the earth's turned to its heading: its roll and pitch have no part in it."""
    found = _camera(_pose(_device(flags, delta_deg), MountConfig(kind="gimbal")))
    np.testing.assert_allclose(found, _of(_euler(0, 0, turned_deg) * HEAD), atol=1e-6)


def test_ardupilots_servo_mount_speaks_in_body_axes_where_the_setting_says_so() -> None:
    servo = MountConfig(kind="gimbal", gimbal_axes="body")
    found = _camera(_pose(_device(VEHICLE), servo))
    np.testing.assert_allclose(found, _of(BODY * HEAD), atol=1e-6)


@pytest.mark.parametrize("flags", [EARTH | VEHICLE, EARTH | RETRACT])
def test_a_gimbal_that_contradicts_itself_or_is_folded_away_is_no_pose(flags: int) -> None:
    pose = _pose(_device(flags), MountConfig(kind="gimbal"))
    assert isinstance(pose, NoPose)
    assert pose.reason == "gimbal_stale"


def test_a_quaternion_of_nan_is_no_pose() -> None:
    def tell(maker: MessageMaker, boot_ms: int) -> bytes:
        return maker.gimbal_device_attitude_status(time_boot_ms=boot_ms, q=(NAN, NAN, NAN, NAN), flags=EARTH)

    pose = _pose(tell, MountConfig(kind="gimbal"))
    assert isinstance(pose, NoPose)
    assert pose.reason == "gimbal_stale"


@pytest.mark.parametrize(
    ("yaw_deg", "absolute_deg", "azimuth_deg"),
    [
        (36.0, 100.0, 100.0),
        (36.0, None, HEADING + 36.0),  # NaN on the wire
        (36.0, 0.0, HEADING + 36.0),  # an extension that the sender does not know
        (47.5, 0.0, 0.0),  # and one that really is north
        (NAN, 77.0, 77.0),
    ],
)
def test_mount_orientation_is_against_the_horizon_and_the_nose(
    yaw_deg: float, absolute_deg: float | None, azimuth_deg: float
) -> None:
    def tell(maker: MessageMaker, boot_ms: int) -> bytes:
        return maker.message(
            "MOUNT_ORIENTATION",
            time_boot_ms=boot_ms,
            roll=1.5,
            pitch=-38.0,
            yaw=yaw_deg,
            yaw_absolute=NAN if absolute_deg is None else absolute_deg,
        )

    found = _camera(_pose(tell, MountConfig(kind="gimbal")))
    np.testing.assert_allclose(found, _of(_euler(1.5, -38.0, azimuth_deg)), atol=1e-5)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("axes", ["earth", "body"])
def test_mount_status_is_in_hundredths_against_the_horizon_or_in_body_axes(version: int, axes: str) -> None:
    def tell(maker: MessageMaker, boot_ms: int) -> bytes:
        return maker.mount_status(roll_deg=1.0, pitch_deg=-45.0, yaw_deg=20.0)

    mount = MountConfig(kind="gimbal", gimbal_axes="body" if axes == "body" else "earth")
    found = _camera(_pose(tell, mount, version=version))
    told = BODY * _euler(1.0, -45.0, 20.0) if axes == "body" else _euler(1.0, -45.0, HEADING + 20.0)
    np.testing.assert_allclose(found, _of(told), atol=1e-5)


def test_a_fixed_camera_rolls_and_pitches_with_the_airframe() -> None:
    mount = MountConfig(kind="fixed", roll_deg=2.0, pitch_deg=-60.0, yaw_deg=30.0)
    found = _camera(_pose(None, mount))
    np.testing.assert_allclose(found, _of(BODY * _euler(2.0, -60.0, 30.0)), atol=1e-6)


def test_a_mount_of_a_gimbal_adds_its_boresight_in_the_heads_own_axes() -> None:
    mount = MountConfig(kind="gimbal", roll_deg=0.5, pitch_deg=-1.0, yaw_deg=2.0)
    found = _camera(_pose(_device(EARTH), mount))
    np.testing.assert_allclose(found, _of(HEAD * _euler(0.5, -1.0, 2.0)), atol=1e-6)


def test_what_needs_the_aircrafts_heading_is_refused_by_name_where_it_is_not_told() -> None:
    gimbal = MountConfig(kind="gimbal")
    assert isinstance(_pose(_device(EARTH), gimbal, has_attitude=False), CameraPose)
    assert isinstance(_pose(_device(VEHICLE, 30.0), gimbal, has_attitude=False), CameraPose)
    for tell in (_device(VEHICLE), _device(0, 0.0)):
        pose = _pose(tell, gimbal, has_attitude=False)
        assert isinstance(pose, NoPose)
        assert pose.reason == "no_attitude"
