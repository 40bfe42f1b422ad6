"""Telemetry that comes late and out of order: poses are the same, or there is none."""

import random

import numpy as np
import pytest

from edge.calibration.flight_motion import FlightMount, attitude_of
from edge.mavlink_port import MavlinkConfig
from edge.pose.telemetry import TelemetryNode
from skywarden.geometry.pose import CameraPose, NoPose, PoseSigmas
from skywarden.mavlink.synth import MessageMaker

T0 = 1_790_000_000_000_000_000
S = 1_000_000_000
MS = 1_000_000
MOUNT = FlightMount(kind="fixed", pitch_deg=-70.0)
SECONDS = 30


def _sent() -> list[tuple[int, bytes]]:
    """(time sent, bytes) of a flight that turns and rolls: attitude at 10 Hz, position at 5 Hz."""
    maker = MessageMaker(1, 1)
    sent = []
    for tick in range(SECONDS * 10):
        now_ns, boot_ms, seconds = T0 + tick * 100 * MS, 40_000 + tick * 100, tick / 10
        if tick % 10 == 0:
            sent.append((now_ns, maker.heartbeat()))
        roll, pitch = 6.0 * np.sin(2.1 * seconds), 3.0 * np.sin(1.3 * seconds)
        heading = (40.0 + 8.0 * seconds) % 360.0
        sent.append(
            (
                now_ns,
                maker.attitude(time_boot_ms=boot_ms, roll_deg=roll, pitch_deg=pitch, heading_deg=heading),
            )
        )
        if tick % 2 == 0:
            told = maker.global_position_int(
                time_boot_ms=boot_ms,
                latitude_deg=-20.0 + 15.0 * seconds / 110_703.0,
                longitude_deg=-25.0,
                alt_msl_m=130.0,
                alt_rel_m=120.0,
                vn_mps=15.0,
            )
            sent.append((now_ns, told))
    return sent


def _poses(received: list[tuple[int, bytes]]) -> list[CameraPose | NoPose]:
    node = TelemetryNode(MavlinkConfig())
    buffer = node.pose_buffer(mount=MOUNT, sigmas=PoseSigmas())
    for received_ns, raw in received:
        node.handle(received_ns, raw)
    return [buffer.pose_at(T0 + int(second * S)) for second in np.arange(6.0, 24.0, 0.37)]


def _delivered(late_s: float, share: float, seed: int) -> list[tuple[int, bytes]]:
    """Every message after 20 ms, a share of them up to `late_s` later still: in order of arrival."""
    chance = random.Random(seed)
    arrivals = []
    for number, (sent_ns, raw) in enumerate(_sent()):
        delay_s = chance.uniform(0.0, late_s) if chance.random() < share else 0.0
        arrivals.append((sent_ns + 20 * MS + int(delay_s * S), number, raw))
    return [(when, raw) for when, _, raw in sorted(arrivals)]


@pytest.mark.parametrize(
    ("late_s", "share", "seed"), [(0.4, 0.5, 1), (1.5, 0.5, 2), (1.5, 0.9, 3), (0.9, 0.2, 4)]
)
def test_late_and_shuffled_telemetry_gives_the_same_poses_or_none(
    late_s: float, share: float, seed: int
) -> None:
    in_order = _poses([(sent_ns + 20 * MS, raw) for sent_ns, raw in _sent()])
    late = _poses(_delivered(late_s, share, seed))
    same = 0
    for expected, found in zip(in_order, late, strict=True):
        assert isinstance(expected, CameraPose)
        if isinstance(found, NoPose):
            continue
        same += 1
        assert found.latitude_deg == pytest.approx(expected.latitude_deg, abs=2e-6)
        assert found.alt_hae_m == pytest.approx(expected.alt_hae_m, abs=0.05)
        turned = expected.rotation_ned_from_camera.T @ found.rotation_ned_from_camera
        angle_deg = np.degrees(np.arccos(np.clip((np.trace(turned) - 1) / 2, -1.0, 1.0)))
        assert angle_deg < 0.3
    assert same > 0.9 * len(in_order)


def test_a_pose_that_was_given_in_time_does_not_change_when_the_late_rest_arrives() -> None:
    node = TelemetryNode(MavlinkConfig())
    buffer = node.pose_buffer(mount=MOUNT, sigmas=PoseSigmas())
    given: list[CameraPose] = []
    asked = [T0 + int(second * S) for second in np.arange(6.0, 24.0, 0.37)]
    for received_ns, raw in [(sent_ns + 20 * MS, raw) for sent_ns, raw in _sent()]:
        node.handle(received_ns, raw)
        while asked and buffer.covers(asked[0]):
            pose = buffer.pose_at(asked.pop(0))
            assert isinstance(pose, CameraPose)
            given.append(pose)
    for pose in given:
        again = buffer.pose_at(pose.time_ns)
        assert isinstance(again, CameraPose)
        assert again.latitude_deg == pytest.approx(pose.latitude_deg, abs=1e-9)
        assert again.rotation_ned_from_camera == pytest.approx(pose.rotation_ned_from_camera, abs=1e-9)


@pytest.mark.slow
def test_a_history_of_late_telemetry_is_that_of_the_flight() -> None:
    span = (T0 + 6 * S, T0 + 24 * S)
    in_order = attitude_of([(sent_ns + 20 * MS, raw) for sent_ns, raw in _sent()], MOUNT, span)
    late = attitude_of(_delivered(0.8, 0.3, 5), MOUNT, span)
    assert len(late.times_ns) > 0.6 * len(in_order.times_ns)
    moments = np.arange(T0 + 8 * S, T0 + 22 * S, 130 * MS)
    expected = in_order.rotation_at(in_order.seconds(moments))
    turned = np.swapaxes(expected, 1, 2) @ late.rotation_at(late.seconds(moments))
    angle_deg = np.degrees(np.arccos(np.clip((np.trace(turned, axis1=1, axis2=2) - 1) / 2, -1.0, 1.0)))
    assert np.quantile(angle_deg, 0.95) < 0.5
