"""Telemetry: the right aircraft, the right time, and nonsense never becomes a position."""

import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.config import MountConfig
from edge.mavlink_port import MavlinkConfig
from edge.pose.telemetry import TelemetryNode
from sim.importers import import_flight
from skywarden.flight import FlightReader, GimbalMount
from skywarden.geometry import geodesy
from skywarden.geometry.geoid import undulation_m
from skywarden.geometry.pose import CameraPose, NoPose, PoseSigmas
from skywarden.mavlink.framing import parse_frame
from skywarden.mavlink.synth import MessageMaker
from skywarden.mavlink.tlog import read_tlog
from skywarden.messages import PlatformPose

T0 = 1_760_000_000_000_000_000
S = 1_000_000_000
MS = 1_000_000
PLACE: dict[str, Any] = {"latitude_deg": 41.5, "longitude_deg": 12.5, "alt_msl_m": 300.0}
NADIR = MountConfig(kind="fixed", pitch_deg=-90.0)


class Flight:
    """A vehicle that flies straight north at 10 m/s and tells so; messages can be changed."""

    def __init__(
        self, node: TelemetryNode, *, sysid: int = 1, autopilot: int = 3, boot_ms: int = 50_000
    ) -> None:
        self.node = node
        self.maker = MessageMaker(sysid, 1)
        self.autopilot = autopilot
        self.boot_ms = boot_ms
        self.now_ns = T0

    def tell(self, raw: bytes, *, delay_ms: int = 20) -> None:
        """Hand one frame to the node, received `delay_ms` after it was sent."""
        self.node.handle(self.now_ns + delay_ms * MS, raw)

    def fly(self, seconds: float, **position: float) -> None:
        """Ten messages of each kind per second, a heartbeat every second."""
        for _ in range(round(seconds * 10)):
            self.step(**position)

    def step(self, **position: float) -> None:
        """A tenth of a second."""
        self.boot_ms += 100
        self.now_ns += 100 * MS
        if self.boot_ms % 1000 == 0:
            self.tell(self.maker.heartbeat(autopilot=self.autopilot))
        north_m = 10.0 * (self.now_ns - T0) / S
        values = (
            PLACE | {"latitude_deg": PLACE["latitude_deg"] + north_m / 111_000, "alt_rel_m": 100.0} | position
        )
        self.tell(self.maker.attitude(time_boot_ms=self.boot_ms, roll_deg=0, pitch_deg=0, heading_deg=0))
        self.tell(self.maker.global_position_int(time_boot_ms=self.boot_ms, vn_mps=10.0, **values))


def _node(**changes: Any) -> TelemetryNode:
    return TelemetryNode(MavlinkConfig(**changes))


def _pose(node: TelemetryNode, time_ns: int) -> CameraPose | NoPose:
    return node.pose_buffer(mount=NADIR, sigmas=PoseSigmas()).pose_at(time_ns)


def _reason(node: TelemetryNode, time_ns: int) -> str:
    pose = _pose(node, time_ns)
    assert isinstance(pose, NoPose), pose
    return pose.reason


def _holding(node: TelemetryNode, now_ns: int) -> set[str]:
    return {health.condition for health in node.conditions(now_ns) if health.state != "ok"}


@pytest.mark.parametrize("autopilot", [3, 12])
def test_a_flight_gives_poses_with_heights_above_the_ellipsoid(autopilot: int) -> None:
    node = _node()
    flight = Flight(node, autopilot=autopilot)
    flight.fly(5)
    pose = _pose(node, flight.now_ns - S)
    assert isinstance(pose, CameraPose)
    assert pose.alt_hae_m == pytest.approx(300.0 + float(undulation_m(41.5, 12.5)), abs=0.05)
    assert pose.velocity_ned_mps == pytest.approx([10, 0, 0])
    assert _holding(node, flight.now_ns) == set()
    assert node.is_heard


def test_a_pose_is_of_the_time_of_measurement_whatever_the_delays() -> None:
    node, chance = _node(), random.Random(8)
    flight = Flight(node)
    for _ in range(300):
        flight.boot_ms += 100
        flight.now_ns += 100 * MS
        north_m = 10.0 * (flight.now_ns - T0) / S
        latitude = 41.5 + north_m / 111_000
        for raw in (
            flight.maker.heartbeat(),
            flight.maker.attitude(time_boot_ms=flight.boot_ms, roll_deg=0, pitch_deg=0, heading_deg=0),
            flight.maker.global_position_int(
                time_boot_ms=flight.boot_ms, alt_rel_m=1.0, **(PLACE | {"latitude_deg": latitude})
            ),
        ):
            flight.tell(raw, delay_ms=chance.choice([5, 30, 80, 400, 900]))
    middle = flight.now_ns - S // 3
    pose = _pose(node, middle)
    assert isinstance(pose, CameraPose)
    expected = 41.5 + 10.0 * (middle - T0) / S / 111_000
    assert (pose.latitude_deg - expected) * 111_000 == pytest.approx(0.0, abs=0.1)


@pytest.mark.parametrize(
    "nonsense",
    [
        {"latitude_deg": 0.0, "longitude_deg": 0.0},
        {"latitude_deg": 214.7483647, "longitude_deg": 214.7483647},
        {"latitude_deg": 95.0},
        {"alt_msl_m": -2_000_000.0},
        {"vn_mps": 320.0, "ve_mps": 320.0},
    ],
)
def test_nonsense_positions_are_counted_and_left_out(nonsense: dict[str, float]) -> None:
    node = _node()
    flight = Flight(node)
    flight.fly(2)
    before = len(node.history.positions) if node.history else 0
    values = PLACE | {"alt_rel_m": 1.0} | nonsense
    flight.tell(flight.maker.global_position_int(time_boot_ms=flight.boot_ms + 50, **values))
    assert node.counts["position_refused"] == 1
    assert node.history is not None
    assert len(node.history.positions) == before


def test_a_jump_is_left_out_and_a_lasting_one_is_no_position() -> None:
    node = _node()
    flight = Flight(node)
    flight.fly(3)
    flight.step(latitude_deg=43.0)
    flight.fly(1)
    assert node.counts["position_jump"] == 1
    pose = _pose(node, flight.now_ns - 900 * MS)
    assert isinstance(pose, CameraPose)
    assert pose.latitude_deg < 42
    for number in range(20):
        flight.step(latitude_deg=43.0 + number / 111_000)
    assert _reason(node, flight.now_ns - S // 2) == "gnss_glitch"
    assert "gnss_glitch" in _holding(node, flight.now_ns)


def test_without_a_fix_there_is_no_position_until_it_is_back() -> None:
    node = _node()
    flight = Flight(node)
    flight.fly(3)
    flight.tell(flight.maker.gps_raw_int(time_us=0, fix_type=1, **PLACE))
    flight.fly(1)
    assert _reason(node, flight.now_ns) == "no_fix"
    assert _holding(node, flight.now_ns) == {"no_fix"}
    flight.tell(flight.maker.gps_raw_int(time_us=0, fix_type=3, **PLACE))
    flight.fly(1)
    assert isinstance(_pose(node, flight.now_ns), CameraPose)


def _with_receiver(node: TelemetryNode, alt_ellipsoid_m: float | None, **more: Any) -> Flight:
    flight = Flight(node)
    for _ in range(30):
        place = PLACE | {"latitude_deg": 41.5 + 10.0 * (flight.now_ns - T0) / S / 111_000} | more
        flight.tell(flight.maker.gps_raw_int(time_us=0, alt_ellipsoid_m=alt_ellipsoid_m, **place))
        flight.step()
    return flight


def test_the_receivers_own_undulation_is_preferred_when_it_is_plausible() -> None:
    node = _node()
    model_m = float(undulation_m(41.5, 12.5))
    flight = _with_receiver(node, 300.0 + model_m + 1.5)
    pose = _pose(node, flight.now_ns)
    assert isinstance(pose, CameraPose)
    assert pose.alt_hae_m == pytest.approx(300.0 + model_m + 1.5, abs=0.05)


def test_a_receiver_with_another_geoid_raises_the_datum_alarm() -> None:
    node = _node()
    flight = _with_receiver(node, 300.0)
    assert _reason(node, flight.now_ns) == "datum_alarm"
    assert "datum_alarm" in _holding(node, flight.now_ns)
    for datum, expected in (("msl", 300.0 + float(undulation_m(41.5, 12.5))), ("ellipsoid", 300.0)):
        node = _node(height_datum=datum)
        flight = _with_receiver(node, 300.0)
        pose = _pose(node, flight.now_ns)
        assert isinstance(pose, CameraPose)
        assert pose.alt_hae_m == pytest.approx(expected, abs=0.05)


def test_the_receivers_accuracy_becomes_the_sigma_with_a_floor() -> None:
    node = _node()
    pose = _pose(node, _with_receiver(node, None, h_acc_m=2.0, v_acc_m=3.5).now_ns)
    assert isinstance(pose, CameraPose)
    assert pose.sigmas.horizontal_m == pytest.approx(2.0 / math.sqrt(2))
    assert pose.sigmas.vertical_m == pytest.approx(3.5)
    node = _node()
    pose = _pose(node, _with_receiver(node, None, h_acc_m=0.1, v_acc_m=0.1).now_ns)
    assert isinstance(pose, CameraPose)
    assert (pose.sigmas.horizontal_m, pose.sigmas.vertical_m) == (0.5, 0.8)


def test_a_clock_in_the_year_2908_moves_nothing() -> None:
    node = _node()
    flight = Flight(node)
    for _ in range(30):
        flight.step()
        flight.tell(
            flight.maker.system_time(time_boot_ms=flight.boot_ms, time_unix_us=29_600_000_000_000_000)
        )
    assert isinstance(_pose(node, flight.now_ns), CameraPose)
    assert node.counts["system_time_implausible"] == 30
    assert node.clock_error_s is None


def test_our_clock_is_checked_against_a_plausible_system_time() -> None:
    node = _node()
    flight = Flight(node)
    flight.fly(2)
    true_us = (flight.now_ns + 20 * MS) // 1000 - 3_000_000
    flight.tell(flight.maker.system_time(time_boot_ms=flight.boot_ms, time_unix_us=true_us))
    assert node.clock_error_s == pytest.approx(-3.0, abs=0.01)
    (clock,) = [health for health in node.conditions(flight.now_ns) if health.condition == "clock_off"]
    assert (clock.state, "+3.0 s" in clock.text) == ("degraded", True)


def test_one_wild_boot_time_is_refused_and_a_reboot_is_followed() -> None:
    node = _node()
    flight = Flight(node)
    flight.fly(3)
    flight.tell(flight.maker.attitude(time_boot_ms=4_000_000_000, roll_deg=0, pitch_deg=0, heading_deg=0))
    assert node.counts["clock_refused"] == 1
    flight.fly(1)
    assert isinstance(_pose(node, flight.now_ns), CameraPose)
    flight.boot_ms = 0
    flight.fly(3)
    assert isinstance(_pose(node, flight.now_ns), CameraPose)


def test_two_autopilots_need_a_configured_system_id() -> None:
    node, configured = _node(), _node(sysid=2)
    for target in (node, configured):
        first, second = Flight(target, sysid=1), Flight(target, sysid=2)
        for number in range(50):
            first.step()
            second.step(latitude_deg=-10.0 + number / 111_000)
    assert node.autopilot is None
    assert _reason(node, first.now_ns) == "no_telemetry"
    assert "several_autopilots" in _holding(node, first.now_ns)
    assert configured.autopilot == (2, 1)
    pose = _pose(configured, first.now_ns)
    assert isinstance(pose, CameraPose)
    assert pose.latitude_deg == pytest.approx(-10.0, abs=1e-3)


def test_ground_stations_cameras_and_gimbals_are_no_autopilots() -> None:
    node = _node()
    for sysid, compid in ((255, 190), (1, 100), (1, 154)):
        node.handle(T0, MessageMaker(sysid, compid).heartbeat(type=6, autopilot=8))
    assert node.autopilot is None
    assert "no_autopilot" in _holding(node, T0)
    node.handle(T0, MessageMaker(1, 1).heartbeat())
    assert node.autopilot == (1, 1)


def test_a_gimbal_component_of_the_same_system_is_heard() -> None:
    node = _node()
    flight = Flight(node)
    head = MessageMaker(1, 154)
    for _ in range(20):
        flight.step()
        flight.tell(head.gimbal_device_attitude_status(time_boot_ms=flight.boot_ms + 7_000, q=(1, 0, 0, 0)))
    buffer = node.pose_buffer(mount=MountConfig(kind="gimbal"), sigmas=PoseSigmas())
    pose = buffer.pose_at(flight.now_ns - S // 4)
    assert isinstance(pose, CameraPose)
    assert pose.rotation_ned_from_camera @ np.array([0.0, 0.0, 1.0]) == pytest.approx([1, 0, 0], abs=1e-6)


def test_gimbals_are_told_apart_by_their_component_or_by_what_the_autopilot_calls_them() -> None:
    node = _node()
    flight = Flight(node)
    heads = {154: MessageMaker(1, 154), 171: MessageMaker(1, 171), 2: flight.maker}
    east, west, down = (
        (0.7071068, 0, 0, 0.7071068),
        (0.7071068, 0, 0, -0.7071068),
        (0.7071068, 0, -0.7071068, 0),
    )
    pointing = {154: east, 171: west, 2: down}
    for _ in range(20):
        flight.step()
        for device_id, maker in heads.items():
            own = device_id if maker is flight.maker else 0
            raw = maker.gimbal_device_attitude_status(
                time_boot_ms=flight.boot_ms, q=pointing[device_id], gimbal_device_id=own
            )
            flight.tell(raw)
    for device_id, forward in ((154, [0, 1, 0]), (171, [0, -1, 0]), (2, [0, 0, 1])):
        mount = MountConfig(kind="gimbal", gimbal_device_id=device_id)
        pose = node.pose_buffer(mount=mount, sigmas=PoseSigmas()).pose_at(flight.now_ns - S // 4)
        assert isinstance(pose, CameraPose), pose
        assert pose.rotation_ned_from_camera[:, 2] == pytest.approx(forward, abs=1e-6)


def test_not_a_number_is_never_an_attitude() -> None:
    node = _node()
    flight = Flight(node)
    flight.fly(1)
    nan = math.nan
    flight.tell(
        flight.maker.message(
            "ATTITUDE", time_boot_ms=1, roll=nan, pitch=0, yaw=0, rollspeed=0, pitchspeed=0, yawspeed=0
        )
    )
    flight.tell(
        flight.maker.attitude_quaternion(time_boot_ms=flight.boot_ms, q_ned_body=(0.0, 0.0, 0.0, 0.0))
    )
    flight.tell(
        flight.maker.gimbal_device_attitude_status(time_boot_ms=flight.boot_ms, q=(nan, nan, nan, nan))
    )
    assert (node.counts["attitude_refused"], node.counts["gimbal_refused"]) == (2, 1)


def test_the_pose_for_the_ground_is_fresh_or_says_why_not() -> None:
    node = _node()
    assert node.platform_pose("p", "s", T0) is None
    flight = Flight(node)
    flight.fly(3)
    pose = node.platform_pose("p", "s", flight.now_ns + 100 * MS)
    assert isinstance(pose, PlatformPose)
    assert pose.reason is None
    assert pose.heading_deg == pytest.approx(0.0, abs=1e-6)
    later = node.platform_pose("p", "s", flight.now_ns + 60 * S)
    assert later is not None
    assert later.latitude_deg is None
    assert later.reason is not None
    assert later.reason.startswith("telemetry_stale")
    assert "no_telemetry" in _holding(node, flight.now_ns + 60 * S)


def test_mutated_and_random_frames_never_raise() -> None:
    node, chance = _node(), random.Random(11)
    flight = Flight(node)
    flight.fly(1)
    maker = flight.maker
    samples = [
        maker.global_position_int(time_boot_ms=1, alt_rel_m=1.0, **PLACE),
        maker.attitude(time_boot_ms=1, roll_deg=0, pitch_deg=0, heading_deg=0),
        maker.gimbal_device_attitude_status(time_boot_ms=1, q=(1, 0, 0, 0)),
        maker.gps_raw_int(time_us=1, **PLACE),
    ]
    for _ in range(2_000):
        raw = bytearray(chance.choice(samples))
        raw[chance.randrange(len(raw))] = chance.randrange(256)
        node.handle(T0 + chance.randrange(-(10**18), 10**18), bytes(raw))
        node.handle(T0, chance.randbytes(chance.randrange(60)))
    assert node.counts["damaged"] > 3_500
    node.conditions(T0)
    node.platform_pose("p", "s", T0)


@pytest.mark.slow
def test_random_payloads_with_a_good_checksum_never_raise() -> None:
    node, chance = _node(), random.Random(12)
    names = {
        "HEARTBEAT": 9,
        "GLOBAL_POSITION_INT": 28,
        "ATTITUDE": 28,
        "ATTITUDE_QUATERNION": 48,
        "GPS_RAW_INT": 52,
        "GIMBAL_DEVICE_ATTITUDE_STATUS": 49,
        "MOUNT_ORIENTATION": 20,
        "MOUNT_STATUS": 15,
        "SYSTEM_TIME": 12,
        "HOME_POSITION": 60,
        "GPS2_RAW": 57,
    }
    from skywarden.mavlink.dialect import CRC_EXTRA, IDS, checksum

    for number in range(6_000):
        name = chance.choice(list(names))
        payload = chance.randbytes(chance.randrange(1, names[name] + 1))
        head = bytes((len(payload), 0, 0, number % 256, chance.randrange(1, 4), 1)) + IDS[name].to_bytes(
            3, "little"
        )
        crc = checksum(head + payload + CRC_EXTRA[IDS[name]])
        raw = b"\xfd" + head + payload + crc.to_bytes(2, "little")
        assert parse_frame(raw) is not None
        node.handle(T0 + number * 10 * MS, raw)
    now_ns = T0 + 60 * S
    node.conditions(now_ns)
    node.platform_pose("p", "s", now_ns)
    pose = _pose(node, now_ns)
    if isinstance(pose, CameraPose):
        assert np.isfinite(pose.rotation_ned_from_camera).all()


def _receiver_only(node: TelemetryNode, seconds: float, **told: float | None) -> Flight:
    """A flight north-east whose autopilot sends attitude and GPS_RAW_INT at 10 Hz, climbing at 2 m/s."""
    flight = Flight(node)
    for _ in range(round(seconds * 10)):
        flight.boot_ms += 100
        flight.now_ns += 100 * MS
        away_s = (flight.now_ns - T0) / S
        if flight.boot_ms % 1000 == 0:
            flight.tell(flight.maker.heartbeat())
        maker, boot_ms = flight.maker, flight.boot_ms
        flight.tell(maker.attitude(time_boot_ms=boot_ms, roll_deg=0, pitch_deg=0, heading_deg=45))
        place: dict[str, Any] = {
            "latitude_deg": 41.5 + 10.0 * away_s / 111_073,
            "longitude_deg": 12.5 + 10.0 * away_s / 83_515,
            "alt_msl_m": 300.0 + 2.0 * away_s,
        }
        flight.tell(maker.gps_raw_int(time_us=boot_ms * 1000, **(place | told)))
    return flight


@pytest.mark.parametrize("told", [{}, {"speed_mps": 14.14, "course_deg": 45.0}, {"speed_mps": 14.14}])
def test_without_an_estimate_of_the_autopilot_the_receivers_own_fixes_are_positions(
    told: dict[str, float],
) -> None:
    node = _node()
    flight = _receiver_only(node, 8, **told)
    time_ns = flight.now_ns - 3_050 * MS
    pose = _pose(node, time_ns)
    assert isinstance(pose, CameraPose), pose
    assert pose.doubt is None
    away_s = (time_ns - T0) / S - 0.02 + 0.2
    assert (pose.latitude_deg - 41.5) * 111_073 == pytest.approx(10.0 * away_s, abs=0.5)
    undulation = float(undulation_m(41.5, 12.5))
    assert pose.alt_hae_m == pytest.approx(300.0 + undulation + 2.0 * away_s, abs=0.1)
    assert pose.velocity_ned_mps == pytest.approx([10, 10, -2], abs=0.1)
    assert pose.level_alt_hae_m is None
    assert _holding(node, flight.now_ns) == set()
    told_to_ground = node.platform_pose("p", "s", flight.now_ns)
    assert told_to_ground is not None
    assert told_to_ground.reason is None
    assert told_to_ground.alt_rel_m is None
    assert told_to_ground.course_deg == pytest.approx(45.0, abs=0.5)


def test_the_receivers_height_above_the_ellipsoid_counts_where_it_is_told() -> None:
    alt_hae_m = 300.0 + float(undulation_m(41.5, 12.5)) + 1.0
    node = _node()
    flight = _receiver_only(node, 2, alt_msl_m=300.0, alt_ellipsoid_m=alt_hae_m)
    pose = _pose(node, flight.now_ns - S)
    assert isinstance(pose, CameraPose)
    assert pose.alt_hae_m == pytest.approx(alt_hae_m, abs=0.01)
    node = _node()
    flight = _receiver_only(node, 2, alt_msl_m=300.0, alt_ellipsoid_m=300.0)
    assert _reason(node, flight.now_ns - S) == "datum_alarm"


def test_home_gives_level_ground_to_a_receiver_without_relative_height() -> None:
    node = _node()
    flight = _receiver_only(node, 3)
    home = {"latitude": 415_000_000, "longitude": 125_000_000, "altitude": 200_000}
    rest = dict.fromkeys(("x", "y", "z", "approach_x", "approach_y", "approach_z"), 0.0)
    flight.tell(flight.maker.message("HOME_POSITION", **home, **rest, q=[1.0, 0.0, 0.0, 0.0]))
    pose = _pose(node, flight.now_ns - S)
    assert isinstance(pose, CameraPose)
    assert pose.level_alt_hae_m == pytest.approx(200.0 + float(undulation_m(41.5, 12.5)), abs=0.05)


@pytest.mark.parametrize("fix_type", [0, 1, 2])
def test_less_than_a_3d_fix_is_no_position(fix_type: int) -> None:
    node = _node()
    flight = _receiver_only(node, 2, fix_type=fix_type)
    assert _reason(node, flight.now_ns - S) == "no_fix"
    assert node.history is not None
    assert len(node.history.fixes) == 0


def test_the_receivers_fixes_do_not_count_beside_the_estimate_of_the_autopilot() -> None:
    """The receiver here stands 30 m off; nothing of it may reach a pose while the autopilot speaks."""
    node, alone = _node(), _node()
    flight, other = Flight(node), Flight(alone)
    for _ in range(80):
        flight.step()
        other.step()
        place = PLACE | {"longitude_deg": 12.5 + 30.0 / 83_000, "latitude_deg": 41.5}
        flight.tell(flight.maker.gps_raw_int(time_us=flight.boot_ms * 1000 + 50_000, speed_mps=3.0, **place))
    for back_ms in (50, 333, 2_000, 6_020):
        ours, theirs = _pose(node, flight.now_ns - back_ms * MS), _pose(alone, other.now_ns - back_ms * MS)
        assert isinstance(ours, CameraPose)
        assert isinstance(theirs, CameraPose)
        assert ours.longitude_deg == theirs.longitude_deg
        assert ours.latitude_deg == theirs.latitude_deg
        assert ours.velocity_ned_mps.tolist() == theirs.velocity_ned_mps.tolist()


def test_the_receiver_takes_over_when_the_autopilot_has_told_no_position_for_five_seconds() -> None:
    node = _node()
    flight = Flight(node)
    flight.fly(2)
    last_ns = flight.now_ns
    for _ in range(90):
        flight.boot_ms += 100
        flight.now_ns += 100 * MS
        if flight.boot_ms % 1000 == 0:
            flight.tell(flight.maker.heartbeat())
        flight.tell(
            flight.maker.attitude(time_boot_ms=flight.boot_ms, roll_deg=0, pitch_deg=0, heading_deg=0)
        )
        flight.tell(flight.maker.gps_raw_int(time_us=flight.boot_ms * 1000, **PLACE))
    assert _reason(node, last_ns + 3 * S) == "telemetry_stale"
    assert isinstance(_pose(node, last_ns + 7 * S), CameraPose)


def test_a_receiver_that_counts_in_utc_is_timed_by_the_reception_like_any_other() -> None:
    node = _node()
    flight = Flight(node)
    for number in range(30):
        flight.boot_ms += 100
        flight.now_ns += 100 * MS
        if number % 10 == 0:
            flight.tell(flight.maker.heartbeat())
        flight.tell(
            flight.maker.attitude(time_boot_ms=flight.boot_ms, roll_deg=0, pitch_deg=0, heading_deg=0)
        )
        year_2908_us = 29_600_000_000_000_000 + number * 100_000
        place = PLACE | {"latitude_deg": 41.5 + 1e-4 * number}
        raw = flight.maker.gps_raw_int(time_us=year_2908_us, **place)
        flight.tell(raw, delay_ms=(20, 20, 170, 60)[number % 4])
    pose = _pose(node, T0 + 1_550 * MS + 20 * MS)
    assert isinstance(pose, CameraPose)
    assert pose.latitude_deg == pytest.approx(41.5 + 1e-4 * 14.5, abs=2e-7)


@pytest.mark.slow
@pytest.mark.real_data
def test_video_metadata_of_a_real_flight_give_poses_between_their_packets(
    real_data: Path, tmp_path: Path
) -> None:
    """ST 0104 knows no height above take-off and no attitude of the aircraft: GPS_RAW_INT and a gimbal."""
    import_flight(real_data / "recordings" / "aphill" / "aphill_klv_10s.ts", tmp_path / "flight")
    reader = FlightReader(tmp_path / "flight")
    sensor = reader.info.sensor("eo")
    assert isinstance(sensor.mount, GimbalMount)
    node = _node()
    buffer = node.pose_buffer(mount=MountConfig(kind="gimbal"), sigmas=PoseSigmas())
    heard = list(reader.telemetry())
    for received_ns, raw in heard:
        node.handle(received_ns, raw)
    middle_ns = (heard[0][0] + heard[-1][0]) // 2
    assert buffer.covers(middle_ns)
    pose = buffer.pose_at(middle_ns)
    assert isinstance(pose, CameraPose), pose
    assert pose.level_alt_hae_m is None
    centre = geodesy.ned_from_geodetic(
        (38.18508921514427, -77.35811980459758, 60.0), pose.latitude_deg, pose.longitude_deg, pose.alt_hae_m
    )
    boresight = pose.rotation_ned_from_camera[:, 2]
    off_deg = math.degrees(math.acos(float(boresight @ centre) / float(np.linalg.norm(centre))))
    assert off_deg < 2.0, "the metadata tell no height of the frame centre"
    assert 30.0 < float(np.linalg.norm(pose.velocity_ned_mps)) < 150.0


@pytest.mark.slow
@pytest.mark.real_data
def test_the_panel_of_the_real_flight_is_where_it_lies(real_data: Path) -> None:
    """README of the recordings: panel A, seen in eleven frames, undistorted pixels good enough here."""
    seen = {
        46_400: (677, 39), 47_360: (744, 123), 48_280: (717, 217), 49_180: (672, 361), 50_090: (701, 415),
        50_940: (615, 526), 51_630: (518, 612), 52_380: (463, 697), 53_360: (510, 824), 54_270: (531, 979),
        55_060: (422, 1061),
    }  # fmt: skip
    minute_ns, lag_ns = 1_533_430_800 * S, 200 * MS
    node = _node()
    buffer = node.pose_buffer(mount=NADIR, sigmas=PoseSigmas())
    frames = sorted(seen)
    offsets = []
    for received_ns, raw in read_tlog(real_data / "recordings" / "cuav-2018" / "flight.tlog"):
        node.handle(received_ns, raw)
        if frames and buffer.covers(minute_ns + frames[0] * MS - lag_ns):
            u, v = seen[frames[0]]
            pose = buffer.pose_at(minute_ns + frames.pop(0) * MS - lag_ns)
            assert isinstance(pose, CameraPose)
            ray = pose.rotation_ned_from_camera @ np.array(
                [(u - 809.95) / 1329.4, (v - 618.55) / 1329.4, 1.0]
            )
            ground_m = 583.0 + float(undulation_m(-35.363, 149.164))
            point = ray * (pose.alt_hae_m - ground_m) / ray[2]
            place = geodesy.geodetic_from_ned(point, pose.latitude_deg, pose.longitude_deg, pose.alt_hae_m)
            offsets.append(
                geodesy.ned_from_geodetic((*place[:2], ground_m), -35.363026, 149.164328, ground_m)[:2]
            )
    assert len(offsets) == 11
    mean = np.mean(offsets, axis=0)
    assert np.linalg.norm(mean) < 3.0
    assert np.sqrt(np.mean(np.sum((offsets - mean) ** 2, axis=1))) < 3.0
    assert node.counts["system_time_implausible"] > 0


@pytest.mark.real_data
@pytest.mark.slow
@pytest.mark.parametrize("name", ["ardusub_small", "dronekit_flight_replay", "uavlogviewer_vtol"])
def test_real_logs_find_their_autopilot_and_give_poses(real_data: Path, name: str) -> None:
    node = _node()
    for received_ns, raw in read_tlog(real_data / "mavlink" / f"{name}.tlog"):
        node.handle(received_ns, raw)
    assert node.autopilot == (1, 1)
    history = node.history
    assert history is not None
    assert len(history.attitudes) > 50
