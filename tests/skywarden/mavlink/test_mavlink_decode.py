"""Decoding and synthesis: what is sent is read, by pymavlink too; what is not known is None."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymavlink.dialects.v20 import ardupilotmega

from skywarden.errors import InputError
from skywarden.mavlink import decode
from skywarden.mavlink.dialect import CRC_EXTRA, MESSAGES, checksum
from skywarden.mavlink.framing import Frame, parse_frame
from skywarden.mavlink.synth import MessageMaker

PLACE = {"latitude_deg": -35.363026, "longitude_deg": 149.164328, "alt_msl_m": 671.25}


def _frame(raw: bytes) -> Frame:
    frame = parse_frame(raw)
    assert frame is not None
    return frame


@pytest.fixture
def maker() -> MessageMaker:
    """A vehicle's packer."""
    return MessageMaker(1, 1)


def test_a_position_is_read_as_it_was_sent(maker: MessageMaker) -> None:
    raw = maker.global_position_int(
        time_boot_ms=4_294_967_297,
        alt_rel_m=80.5,
        vn_mps=1.0,
        ve_mps=-2.5,
        vd_mps=0.25,
        heading_deg=-90.0,
        **PLACE,
    )
    position = decode.global_position(_frame(raw))
    assert position == decode.GlobalPosition(
        boot_ms=1,
        latitude_deg=-35.363026,
        longitude_deg=149.164328,
        alt_msl_m=671.25,
        alt_rel_m=80.5,
        velocity_ned_mps=(1.0, -2.5, 0.25),
        heading_deg=270.0,
    )


def test_an_unknown_heading_is_none(maker: MessageMaker) -> None:
    raw = maker.global_position_int(time_boot_ms=1, alt_rel_m=0.0, **PLACE)
    position = decode.global_position(_frame(raw))
    assert position is not None
    assert position.heading_deg is None


@pytest.mark.parametrize("version", [1, 2])
def test_the_extensions_of_a_receiver_are_none_where_it_has_none(version: int) -> None:
    maker = MessageMaker(1, 1, version=version)
    bare = decode.gps_raw(_frame(maker.gps_raw_int(time_us=1, **PLACE)))
    assert (bare.alt_ellipsoid_m, bare.undulation_m, bare.h_acc_m, bare.v_acc_m) == (None,) * 4
    assert bare.fix_type == 3


def test_the_extensions_of_a_receiver_are_read(maker: MessageMaker) -> None:
    raw = maker.gps_raw_int(time_us=1, alt_ellipsoid_m=690.75, h_acc_m=0.9, v_acc_m=1.4, **PLACE)
    gps = decode.gps_raw(_frame(raw))
    assert (gps.undulation_m, gps.h_acc_m, gps.v_acc_m) == (19.5, 0.9, 1.4)


@settings(max_examples=50, deadline=None)
@given(st.floats(-179, 179), st.floats(-89, 89), st.floats(0, 359.9))
def test_euler_and_quaternion_attitudes_say_the_same(roll: float, pitch: float, heading: float) -> None:
    maker = MessageMaker(1, 1)
    euler = decode.attitude(
        _frame(maker.attitude(time_boot_ms=1, roll_deg=roll, pitch_deg=pitch, heading_deg=heading))
    )
    assert euler is not None
    quaternion = decode.attitude(
        _frame(maker.attitude_quaternion(time_boot_ms=1, q_ned_body=euler.q_ned_body))
    )
    assert quaternion is not None
    assert abs(sum(a * b for a, b in zip(euler.q_ned_body, quaternion.q_ned_body, strict=True))) > 1 - 1e-6


def test_a_gimbal_without_delta_yaw_says_none(maker: MessageMaker) -> None:
    raw = maker.gimbal_device_attitude_status(time_boot_ms=5, q=(1, 0, 0, 0), flags=32)
    gimbal = decode.gimbal_device_attitude(_frame(raw))
    assert gimbal is not None
    assert (gimbal.flags, gimbal.delta_yaw_rad, gimbal.q) == (32, None, (1.0, 0.0, 0.0, 0.0))
    raw = maker.gimbal_device_attitude_status(time_boot_ms=5, q=(1, 0, 0, 0), delta_yaw_rad=0.5)
    gimbal = decode.gimbal_device_attitude(_frame(raw))
    assert gimbal is not None
    assert gimbal.delta_yaw_rad == 0.5


def test_mounts_speak_degrees_and_centidegrees(maker: MessageMaker) -> None:
    orientation = decode.mount_angles(
        _frame(maker.mount_orientation(time_boot_ms=7, roll_deg=1.0, pitch_deg=-45.0, yaw_deg=30.0))
    )
    status = decode.mount_angles(_frame(maker.mount_status(roll_deg=1.0, pitch_deg=-45.0, yaw_deg=30.0)))
    assert orientation is not None
    assert status is not None
    assert (orientation.boot_ms, orientation.yaw_absolute_deg) == (7, None)
    assert status.boot_ms is None
    for mount in (orientation, status):
        assert (mount.roll_deg, mount.pitch_deg, mount.yaw_deg) == (1.0, -45.0, 30.0)


def test_a_year_beyond_2100_is_no_time(maker: MessageMaker) -> None:
    good, wrong = 1_760_000_000_000_000, 29_600_000_000_000_000
    assert decode.system_time(_frame(maker.system_time(time_boot_ms=9, time_unix_us=good))) == (
        9,
        good * 1000,
    )
    assert decode.system_time(_frame(maker.system_time(time_boot_ms=9, time_unix_us=wrong))) == (9, None)
    assert decode.system_time(_frame(maker.system_time(time_boot_ms=9, time_unix_us=None))) == (9, None)


def test_home_and_heartbeat(maker: MessageMaker) -> None:
    home = decode.home_position(_frame(maker.home_position(**PLACE)))
    assert home is not None
    assert home.alt_msl_m == 671.25
    assert decode.heartbeat(_frame(maker.heartbeat())).is_autopilot
    assert not decode.heartbeat(_frame(maker.heartbeat(type=18, autopilot=8))).is_autopilot


def test_the_fields_of_every_message_are_those_that_pymavlink_reads() -> None:
    reader = ardupilotmega.MAVLink(None)
    for msgid, message in MESSAGES.items():
        payload = bytes((7 * index + msgid) % 120 + 1 for index in range(message.size))
        head = bytes((len(payload), 0, 0, 0, 1, 1)) + msgid.to_bytes(3, "little")
        crc = checksum(head + payload + CRC_EXTRA[msgid])
        raw = b"\xfd" + head + payload + crc.to_bytes(2, "little")
        theirs = reader.decode(bytearray(raw))
        ours = decode.fields(_frame(raw))
        assert ours is not None
        assert list(ours) == theirs.get_fieldnames()
        for name, value in ours.items():
            expected = getattr(theirs, name)
            assert (list(value) if isinstance(value, tuple) else value) == expected, (message.name, name)
        assert decode.message_name(msgid) == message.name


def test_not_a_number_becomes_none_and_text_ends_at_its_first_nul(maker: MessageMaker) -> None:
    values = decode.fields(_frame(maker.gimbal_device_attitude_status(time_boot_ms=1, q=(1, 0, math.inf, 0))))
    assert values is not None
    assert values["q"] == (1.0, 0.0, None, 0.0)
    assert values["delta_yaw"] is None
    text = decode.fields(_frame(maker.message("STATUSTEXT", severity=6, text=b"ab\0cd", id=0, chunk_seq=0)))
    assert text is not None
    assert text["text"] == "ab"


def test_a_vessel_is_packed_as_pymavlink_reads_it(maker: MessageMaker) -> None:
    raw = maker.ais_vessel(
        mmsi=247_123_456, latitude_deg=41.5, longitude_deg=12.5, course_deg=210.0, speed_mps=7.2,
        name="STELLA", callsign="IABC", type=30, age_s=4, dimensions_m=(10, 4, 2, 2),
    )  # fmt: skip
    vessel = ardupilotmega.MAVLink(None).decode(bytearray(raw))
    assert (vessel.MMSI, vessel.lat, vessel.COG, vessel.heading, vessel.velocity, vessel.name) == (
        247_123_456,
        415_000_000,
        21_000,
        65_535,
        720,
        "STELLA",
    )


def test_sequence_numbers_count_up_and_wrap(maker: MessageMaker) -> None:
    assert [_frame(maker.heartbeat()).seq for _ in range(300)] == [number % 256 for number in range(300)]


def test_what_cannot_be_packed_is_refused(maker: MessageMaker) -> None:
    for call in (
        lambda: maker.message("NO_SUCH_MESSAGE"),
        lambda: maker.message("HEARTBEAT", wings=2),
        lambda: maker.heartbeat(type=300),
        lambda: maker.home_position(latitude_deg=math.nan, longitude_deg=0.0, alt_msl_m=0.0),
        lambda: maker.global_position_int(time_boot_ms=0, alt_rel_m=1e9, **PLACE),
        lambda: MessageMaker(0, 1),
        lambda: MessageMaker(1, 1, version=3),
        lambda: MessageMaker(1, 1, version=1).gimbal_device_attitude_status(time_boot_ms=0, q=(1, 0, 0, 0)),
    ):
        with pytest.raises(InputError):
            call()
