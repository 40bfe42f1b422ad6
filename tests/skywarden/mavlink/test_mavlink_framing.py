"""Framing: every intact frame comes out, whatever stands around it; nothing else does."""

import random
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymavlink.dialects.v20 import ardupilotmega

from skywarden.mavlink.framing import Framer, parse_frame
from skywarden.mavlink.synth import MessageMaker


def _flight(count: int, *, version: int = 2, sysid: int = 7) -> list[bytes]:
    maker = MessageMaker(sysid, 1, version=version)
    chance = random.Random(5)
    frames = []
    for number in range(count):
        match number % 4:
            case 0:
                frames.append(
                    maker.attitude(
                        time_boot_ms=number,
                        roll_deg=chance.uniform(-30, 30),
                        pitch_deg=1.0,
                        heading_deg=253.9,
                    )
                )
            case 1:
                frames.append(
                    maker.global_position_int(
                        time_boot_ms=number,
                        latitude_deg=chance.uniform(-80, 80),
                        longitude_deg=chance.uniform(-180, 180),
                        alt_msl_m=600.0,
                        alt_rel_m=100.0,
                    )
                )
            case 2:
                frames.append(maker.heartbeat())
            case _:
                frames.append(
                    maker.message(
                        "PARAM_VALUE",
                        param_id=b"\xfd\xfe\xfd",
                        param_value=chance.random(),
                        param_type=9,
                        param_count=900,
                        param_index=number % 900,
                    )
                )
    return frames


def _foreign(msgid: int, payload: bytes, *, seq: int = 0) -> bytes:
    """A MAVLink 2 frame of an id that no dialect of ours has; its checksum is whatever."""
    return bytes((0xFD, len(payload), 0, 0, seq, 7, 1)) + msgid.to_bytes(3, "little") + payload + b"\x12\x34"


@pytest.mark.parametrize("version", [1, 2])
def test_a_clean_stream_comes_out_whole_in_any_slicing(version: int) -> None:
    sent = _flight(200, version=version)
    stream = b"".join(sent)
    for step in (1, 7, 64, 1000, len(stream)):
        framer = Framer()
        heard = [frame for at in range(0, len(stream), step) for frame in framer.feed(stream[at : at + step])]
        assert [frame.raw for frame in heard] == sent
        assert {frame.version for frame in heard} == {version}
        assert framer.counts.skipped_bytes == framer.counts.bad_crc == 0


def test_the_fields_of_a_frame_are_those_that_pymavlink_reads() -> None:
    reader = ardupilotmega.MAVLink(None)
    for raw in [*_flight(8, version=1), *_flight(8, version=2)]:
        (frame,) = Framer().feed(raw)
        theirs = reader.decode(bytearray(raw)).get_header()
        assert (frame.msgid, frame.sysid, frame.compid, frame.seq) == (
            theirs.msgId,
            theirs.srcSystem,
            theirs.srcComponent,
            theirs.seq,
        )
        assert len(frame.payload) == theirs.mlen
        assert parse_frame(raw) == frame


def test_every_intact_frame_is_recovered_when_a_third_is_truncated() -> None:
    chance = random.Random(1)
    sent = _flight(4000)
    intact, stream = [], b""
    for raw in sent:
        if chance.random() < 0.3:
            stream += raw[: chance.randrange(1, len(raw))]
        else:
            intact.append(raw)
            stream += raw
    framer = Framer()
    heard = [frame for at in range(0, len(stream), 97) for frame in framer.feed(stream[at : at + 97])]
    heard += framer.flush()
    assert [frame.raw for frame in heard if frame.is_known] == intact
    assert sum(not frame.is_known for frame in heard) <= 4
    assert framer.counts.skipped_bytes == len(stream) - sum(len(frame.raw) for frame in heard)


def test_noise_between_frames_costs_no_frame() -> None:
    chance = random.Random(2)
    sent = _flight(1000)
    framer = Framer()
    heard = []
    for raw in sent:
        noise = chance.randbytes(chance.randrange(0, 40))
        heard += framer.feed(noise + raw)
    heard += framer.flush()
    assert [frame.raw for frame in heard if frame.is_known] == sent


def test_a_frame_of_an_unknown_id_passes_in_sequence_and_is_only_counted() -> None:
    first, second = _flight(2)
    unknown = _foreign(60_000, bytes(range(40)))
    framer = Framer()
    heard = framer.feed(first + unknown + second)
    assert [frame.raw for frame in heard] == [first, unknown, second]
    assert [frame.is_known for frame in heard] == [True, False, True]
    assert framer.counts.unknown == {60_000: 1}


def test_a_truncated_frame_of_an_unknown_id_takes_no_intact_frame_with_it() -> None:
    first, second, third = _flight(3)
    unknown = _foreign(60_000, bytes(200))
    for cut in range(1, len(unknown)):
        framer = Framer()
        heard = framer.feed(first + unknown[:cut] + second + third)
        heard += framer.flush()
        assert [frame.raw for frame in heard if frame.is_known] == [first, second, third], cut


@pytest.mark.slow
def test_two_hundred_thousand_unknown_ids_do_not_grow_the_table() -> None:
    framer = Framer()
    beat = MessageMaker(7, 1).heartbeat()
    framer.feed(beat)
    for start in range(300_000, 500_000, 20):
        framer.feed(b"".join(_foreign(msgid, b"\x01") for msgid in range(start, start + 20)) + beat)
    assert len(framer.counts.unknown) == 257
    assert sum(framer.counts.unknown.values()) > 190_000


def test_a_wrong_checksum_is_counted_once_however_many_candidates_are_inside() -> None:
    good = _flight(4)
    broken = bytearray(good[3])
    broken[-1] ^= 0xFF
    framer = Framer()
    heard = framer.feed(good[0] + bytes(broken) + good[1])
    assert [frame.raw for frame in heard] == [good[0], good[1]]
    assert framer.counts.bad_crc == 1


def test_an_unknown_incompatibility_flag_is_refused() -> None:
    raw = bytearray(_flight(1)[0])
    raw[2] = 0x02
    framer = Framer()
    assert framer.feed(bytes(raw)) == []
    assert framer.counts.bad_flags == 1
    assert parse_frame(bytes(raw)) is None


def test_an_unfinished_frame_waits_until_the_stream_pauses() -> None:
    first, second = _flight(2)
    framer = Framer()
    assert framer.feed(b"\xfd\xff\x00\x00" + first + second) == []
    assert framer.pending_bytes == 4 + len(first) + len(second)
    assert [frame.raw for frame in framer.flush()] == [first, second]
    assert framer.pending_bytes == 0


@pytest.mark.slow
def test_memory_stays_bounded_under_endless_start_bytes() -> None:
    framer = Framer()
    for _ in range(200):
        framer.feed(b"\xfd" * 1000)
        assert framer.pending_bytes <= 280


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(max_size=60), max_size=20), st.integers(1, 50))
def test_random_bytes_give_no_frame_that_fails_its_own_checksum(noise: list[bytes], step: int) -> None:
    stream = b"".join(noise)
    framer = Framer()
    heard = [frame for at in range(0, len(stream), step) for frame in framer.feed(stream[at : at + step])]
    heard += framer.flush()
    for frame in heard:
        assert parse_frame(frame.raw) == frame
    known = sum(len(frame.raw) for frame in heard)
    assert known + framer.counts.skipped_bytes == len(stream)


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(st.data())
def test_mutated_frames_never_hurt_their_neighbours(data: st.DataObject) -> None:
    sent = _flight(6)
    victim = bytearray(sent[3])
    for _ in range(data.draw(st.integers(1, 4))):
        victim[data.draw(st.integers(0, len(victim) - 1))] = data.draw(st.integers(0, 255))
    stream = b"".join(sent[:3]) + bytes(victim) + b"".join(sent[4:])
    framer = Framer()
    heard = framer.feed(stream) + framer.flush()
    raws = [frame.raw for frame in heard]
    assert all(raw in raws for raw in (*sent[:3], *sent[4:]))


def test_parse_frame_takes_exactly_one_frame() -> None:
    first, second = _flight(2)
    assert parse_frame(first) is not None
    for wrong in (b"", first[:-1], first + b"\0", first + second, b"\xfd", struct.pack("<Q", 1) + first):
        assert parse_frame(wrong) is None


def test_two_cut_off_frames_in_a_row_are_not_taken_for_one_of_an_unknown_id() -> None:
    whole = _flight(1)[0]
    first, second = MessageMaker(7, 1).heartbeat(), MessageMaker(7, 1).heartbeat()
    framer = Framer()
    frames = framer.feed(whole + first[:7] + second[:-7] + whole) + framer.flush()
    assert [frame.is_known for frame in frames] == [True, True]
