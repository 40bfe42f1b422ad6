"""KLV: packets are cut out of any stream, the checksum is verified, and what is not known is None."""

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skywarden.klv import (
    ST0104_KEY,
    ST0601_FIELDS,
    ST0601_KEY,
    KlvReader,
    checksum,
    decode_imapb,
    parse_packet,
    read_packets,
)


def ber(length: int) -> bytes:
    return bytes([length]) if length < 128 else b"\x82" + length.to_bytes(2, "big")


def packet(fields: list[tuple[int, bytes]]) -> bytes:
    """An ST 0601 packet with its checksum, made by hand."""
    body = b"".join(
        (bytes([tag]) if tag < 128 else bytes([0x80 | tag >> 7, tag & 0x7F])) + ber(len(data)) + data
        for tag, data in fields
    )
    whole = ST0601_KEY + ber(len(body) + 4) + body + b"\x01\x02"
    return whole + checksum(whole).to_bytes(2, "big")


STAMP = (2, (1_700_000_000_000_000).to_bytes(8, "big"))


def test_a_packet_says_its_time_and_numbers_in_units() -> None:
    found = parse_packet(
        packet([STAMP, (13, struct.pack(">i", 2**30)), (15, b"\xff\xff"), (5, b"\x80\x00"), (65, b"\x13")])
    )
    assert found.is_checksum_good
    assert found.time_ns == 1_700_000_000_000_000_000
    assert found.number("sensor_latitude_deg") == pytest.approx(45.0, abs=1e-6)
    assert found.number("sensor_alt_msl_m") == 19_000.0
    assert found.number("platform_heading_deg") == pytest.approx(180.0, abs=0.01)
    assert found.values["local_set_version"] == 19


@pytest.mark.parametrize("tag", [tag for tag, field in ST0601_FIELDS.items() if field.kind == "s"])
def test_the_most_negative_number_of_every_signed_field_is_not_known(tag: int) -> None:
    length = ST0601_FIELDS[tag].length
    found = parse_packet(packet([STAMP, (tag, b"\x80" + bytes(length - 1))]))
    assert found.values[ST0601_FIELDS[tag].name] is None


def test_a_field_of_another_length_than_the_standard_s_is_not_known() -> None:
    found = parse_packet(packet([STAMP, (22, b"\x00\x00\x01\xc9")]))
    assert found.values["target_width_m"] is None
    assert found.raw[22] == b"\x00\x00\x01\xc9"


def test_unknown_tags_stay_as_bytes() -> None:
    assert parse_packet(packet([STAMP, (200, b"abc")])).raw[200] == b"abc"


@given(st.integers(0, 400), st.integers(1, 255))
def test_every_changed_byte_is_noticed(place: int, change: int) -> None:
    whole = bytearray(packet([STAMP, (3, b"MISSION01"), (13, struct.pack(">i", 5)), (14, bytes(4))]))
    whole[place % len(whole)] ^= change
    packets, _ = read_packets(bytes(whole))
    assert not any(each.is_usable and each.standard == "ST 0601" for each in packets)


@given(st.binary(max_size=600))
def test_no_bytes_make_the_reader_fail(data: bytes) -> None:
    for start in (b"", ST0601_KEY, ST0104_KEY):
        packets, counts = read_packets(start + data)
        assert counts.packets == len(packets)


@given(st.lists(st.integers(1, 60), max_size=30))
def test_chunks_of_any_size_give_the_same_packets(sizes: list[int]) -> None:
    stream = b"xx" + packet([STAMP, (3, b"A")]) + b"\x06\x0e" + packet([STAMP, (3, b"B" * 200)])
    reader = KlvReader()
    found = []
    at = 0
    for size in sizes:
        found += reader.feed(stream[at : at + size])
        at += size
    found += reader.feed(stream[at:]) + reader.finish()
    assert [each.values["mission_id"] for each in found] == ["A", "B" * 127]
    assert reader.counts.skipped_bytes == 4


def test_a_damaged_length_does_not_swallow_the_next_packet() -> None:
    first = bytearray(packet([STAMP, (3, b"A" * 40)]))
    first[16] += 30
    packets, counts = read_packets(bytes(first) + packet([STAMP, (3, b"B")]))
    assert [each.values["mission_id"] for each in packets if each.is_usable] == ["B"]
    assert counts.bad_checksums == 1


@pytest.mark.parametrize(
    "value, data",
    [(23456.24, "2f921e"), (13898.5, "00d92a")],
)
def test_imapb_gives_the_standard_s_own_examples(value: float, data: str) -> None:
    low, high = (-900.0, 40_000.0) if value > 20_000 else (0.0, 1_500_000.0)
    assert decode_imapb(bytes.fromhex(data), low, high) == pytest.approx(value, abs=1.0)


def test_imapb_special_values_are_not_known() -> None:
    assert decode_imapb(b"\xc8\x00", -900.0, 40_000.0) is None
    assert decode_imapb(b"", 0.0, 1.0) is None


@pytest.mark.real_data
def test_the_day_flight_packets_read_as_published(real_data: Path) -> None:
    packets, counts = read_packets((real_data / "klv/droneklv_day_flight.klv").read_bytes())
    assert (counts.packets, counts.bad_checksums, counts.skipped_bytes) == (6, 0, 0)
    first = packets[0]
    assert first.number("sensor_latitude_deg") == pytest.approx(54.681323, abs=1e-6)
    assert first.number("sensor_longitude_deg") == pytest.approx(-110.168559, abs=2e-6)
    assert first.number("slant_range_m") == pytest.approx(10928.62, abs=0.01)
    assert first.values["target_width_m"] is None


@pytest.mark.real_data
def test_the_annex_c_sample_with_the_wrong_checksum_is_not_usable(real_data: Path) -> None:
    name = "klv/st0902_annexC_{}MISMMSPacketData.bin"
    wrong, _ = read_packets((real_data / name.format("DynamicConstant")).read_bytes())
    right, _ = read_packets((real_data / name.format("DynamicOnly")).read_bytes())
    assert [each.is_usable for each in wrong] == [False]
    assert [each.is_usable for each in right] == [True]
    assert right[0].number("sensor_latitude_deg") == pytest.approx(60.176822966978335)
    assert right[0].number("sensor_longitude_deg") == pytest.approx(128.42675904204452)
    assert right[0].number("frame_centre_latitude_deg") == pytest.approx(-10.542388633146132)
