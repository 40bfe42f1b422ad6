"""The wire format: byte goldens that must never change, growth at the end, hostile bytes refused."""

import hashlib
import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skywarden import wire
from skywarden.errors import WireError
from skywarden.topics import TOPICS, topic_of
from tests.samples import EVERY, SIGHTING, TIME_NS

GOLDEN_ACK = "0194a57561763037d92030303030303030303030303030303030303030303030303030303030303030302991922b2c"


def test_an_acknowledgement_has_these_very_bytes() -> None:
    assert wire.encode(EVERY["ack"]).hex() == GOLDEN_ACK


@pytest.mark.parametrize("topic", sorted(TOPICS))
def test_every_topic_has_a_sample_that_comes_back_as_it_was(topic: str) -> None:
    message = EVERY[topic]
    assert topic_of(message).name == topic
    data = wire.encode(message)
    assert len(data) <= TOPICS[topic].max_bytes
    assert wire.decode(topic, data) == message


GOLDENS = {
    "ack": "23015c514f7b2768",
    "chip": "3be8a4f440246973",
    "clock": "304da557debff313",
    "detections": "5c26dbd6e0c31282",
    "frame": "5e2b7f5977fff8b0",
    "gap": "ed65877f53cc32d4",
    "gimbal": "d64f4e0f3352f154",
    "health": "cbe32f8da6bef867",
    "plot": "dcf1635e16325adb",
    "look": "aab727b9435fa7c5",
    "pose": "cee82de55f8b668e",
    "receipt": "edb122f29b90e7ca",
    "sighting": "ac3d543215d22945",
    "tasking": "c29b2f6d7db6fc8b",
    "track": "7007df7a2697367b",
}


@pytest.mark.parametrize("topic", sorted(TOPICS))
def test_bytes_on_the_wire_are_those_that_older_stations_read(topic: str) -> None:
    data = wire.encode(EVERY[topic])
    assert hashlib.sha256(data).hexdigest()[:16] == GOLDENS[topic], data.hex()


def test_what_a_track_is_known_to_do_and_its_velocity_come_back() -> None:
    moving = msgspec.structs.replace(SIGHTING, motion="moving", velocity_en_mps=(3.0, -4.5, 0.25, -0.1, 0.5))
    assert wire.decode("sighting", wire.encode(moving)) == moving
    for wrong in ({"motion": "flying"}, {"velocity_en_mps": (0.0, 0.0, -1.0, 0.0, 1.0)}):
        with pytest.raises(WireError):
            wire.decode("sighting", wire.encode(msgspec.structs.replace(SIGHTING, **wrong)))


def test_a_record_comes_back_as_it_was() -> None:
    entry = wire.Entry(
        seq=7, topic="sighting", time_ns=TIME_NS, body=wire.encode(SIGHTING), mono_ns=12_000_000_000, clock=1
    )
    assert wire.decode_entry(wire.encode_entry(entry)) == entry


def test_a_sighting_stays_small_enough_for_a_thin_radio() -> None:
    assert len(wire.encode(SIGHTING)) <= 400


def test_fields_that_a_newer_station_added_are_ignored() -> None:
    values = msgspec.msgpack.decode(wire.encode(SIGHTING)[1:])
    newer = bytes([wire.WIRE_VERSION]) + msgspec.msgpack.encode([*values, "a field of tomorrow", 42])
    assert wire.decode("sighting", newer) == SIGHTING


def test_fields_that_an_older_platform_did_not_know_take_their_defaults() -> None:
    values = msgspec.msgpack.decode(wire.encode(SIGHTING)[1:])
    older = bytes([wire.WIRE_VERSION]) + msgspec.msgpack.encode(values[:14])
    decoded = wire.decode("sighting", older)
    assert decoded == msgspec.structs.replace(
        SIGHTING, slant_range_m=None, platform_position=None, size_m=None, is_exercise=False
    )


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"score": math.nan}, "score|float"),
        ({"score": 1.5}, "float"),
        ({"time_ns": -1}, "int"),
        ({"sighting_id": "../../etc/passwd"}, "str"),
        ({"sighting_id": "<script>"}, "str"),
        ({"label": "x" * 65}, "str"),
        ({"box_px": (0.0, 0.0, math.inf, 1.0)}, "float"),
    ],
)
def test_values_out_of_range_are_refused(change: dict[str, object], says: str) -> None:
    fields = {name: getattr(SIGHTING, name) for name in SIGHTING.__struct_fields__}
    bad = type(SIGHTING)(**{**fields, **change})
    with pytest.raises(WireError, match=says):
        wire.decode("sighting", wire.encode(bad))


def test_columns_that_disagree_are_refused() -> None:
    good = EVERY["detections"]
    values = msgspec.msgpack.decode(wire.encode(good)[1:])
    values[7] = values[7][:-4]
    with pytest.raises(WireError, match="columns disagree"):
        wire.decode("detections", bytes([wire.WIRE_VERSION]) + msgspec.msgpack.encode(values))


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "too short"),
        (b"\x01", "too short"),
        (b"\x02\x90", "wire version 2"),
        (b"\x01" + b"\x91" * 5000, "over its limit"),
        (b"\x01" + b"\x91" * 4000, "does not validate"),
        (b"\x01\xdd\xff\xff\xff\xff", "does not validate"),
    ],
)
def test_bytes_that_are_no_message_are_refused_with_a_sentence(data: bytes, says: str) -> None:
    with pytest.raises(WireError, match=says):
        wire.decode("sighting", data)


def test_an_unknown_topic_is_refused() -> None:
    with pytest.raises(WireError, match="unknown topic 'people'"):
        wire.decode("people", b"\x01\x90")


@given(st.binary(max_size=300), st.sampled_from(sorted(TOPICS)))
def test_random_bytes_are_refused_and_never_crash(data: bytes, topic: str) -> None:
    try:
        wire.decode(topic, b"\x01" + data)
    except WireError:
        return


@given(st.integers(0, 400), st.integers(0, 255), st.sampled_from(sorted(TOPICS)))
def test_a_damaged_message_is_refused_or_still_in_range(place: int, value: int, topic: str) -> None:
    data = bytearray(wire.encode(EVERY[topic]))
    data[place % len(data)] = value
    try:
        message = wire.decode(topic, bytes(data))
    except WireError:
        return
    assert wire.decode(topic, wire.encode(message)) == message
