"""Telemetry logs: read back as written, damaged ones give up every intact frame, others are refused."""

import random
import struct
from pathlib import Path

import pytest

from skywarden.errors import InputError
from skywarden.mavlink.synth import MessageMaker
from skywarden.mavlink.tlog import BLOCK_BYTES, is_raw_stream, pack_record, read_tlog, write_tlog

START_NS = 1_760_000_000_000_000_000


def _records(count: int, *, version: int = 2) -> list[tuple[int, bytes]]:
    maker = MessageMaker(1, 1, version=version)
    records = []
    for number in range(count):
        time_ns = START_NS + number * 25_000_000
        if number % 10 == 0:
            raw = maker.heartbeat()
        else:
            raw = maker.attitude(
                time_boot_ms=number * 25, roll_deg=number % 50, pitch_deg=-3.0, heading_deg=number % 360
            )
        records.append((time_ns, raw))
    return records


@pytest.mark.parametrize("version", [1, 2])
def test_what_was_written_is_read_back(tmp_path: Path, version: int) -> None:
    records = _records(500, version=version)
    assert write_tlog(tmp_path / "a.tlog", records) == 500
    assert list(read_tlog(tmp_path / "a.tlog")) == records


@pytest.mark.slow
def test_logs_larger_than_a_block_are_read_without_a_seam(tmp_path: Path) -> None:
    records = _records(BLOCK_BYTES // 40)
    path = tmp_path / "a.tlog"
    path.write_bytes(b"".join(pack_record(time_ns, raw) for time_ns, raw in records) * 3)
    assert path.stat().st_size > 2 * BLOCK_BYTES
    assert list(read_tlog(path)) == records * 3


def test_unknown_ids_and_wrong_checksums_are_kept_byte_for_byte(tmp_path: Path) -> None:
    records = _records(20)
    unknown = bytes((0xFD, 3, 0, 0, 9, 1, 1, 0x60, 0xEA, 0, 1, 2, 3, 0, 0))
    broken = records[5][1][:-1] + bytes([records[5][1][-1] ^ 1])
    changed = [*records[:5], (records[5][0], broken), (records[5][0] + 1000, unknown), *records[6:]]
    write_tlog(tmp_path / "a.tlog", changed)
    assert list(read_tlog(tmp_path / "a.tlog")) == changed


def test_every_intact_record_survives_truncated_neighbours(tmp_path: Path) -> None:
    chance = random.Random(3)
    intact, data = [], b""
    for time_ns, raw in _records(3000):
        record = pack_record(time_ns, raw)
        if chance.random() < 0.3:
            data += record[: chance.randrange(1, len(record))]
        else:
            intact.append((time_ns, raw))
            data += record
    path = tmp_path / "a.tlog"
    path.write_bytes(data)
    read = list(read_tlog(path))
    raws = {raw for _, raw in intact}
    assert [raw for _, raw in read if raw in raws] == [raw for _, raw in intact]
    assert len(set(intact) - set(read)) < 5  # a cut-off zero byte is completed by the next stamp's first one
    assert len(read) - len(intact) < 0.02 * len(intact)


def test_a_frame_whose_own_stamp_is_damaged_gets_the_stamp_before_it(tmp_path: Path) -> None:
    records = _records(10)
    data = bytearray(b"".join(pack_record(*record) for record in records))
    at = sum(len(raw) + 8 for _, raw in records[:5])
    data[at : at + 8] = b"\xff" * 8
    (tmp_path / "a.tlog").write_bytes(bytes(data))
    read = list(read_tlog(tmp_path / "a.tlog"))
    assert [raw for _, raw in read] == [raw for _, raw in records]
    assert read[5][0] == records[4][0]


def test_a_log_cut_off_in_mid_record_ends_with_the_last_whole_one(tmp_path: Path) -> None:
    records = _records(10)
    whole = b"".join(pack_record(*record) for record in records)
    for cut in range(1, len(pack_record(*records[-1]))):
        (tmp_path / "a.tlog").write_bytes(whole[:-cut])
        assert list(read_tlog(tmp_path / "a.tlog")) == records[:-1]


def test_an_empty_file_is_an_empty_log(tmp_path: Path) -> None:
    (tmp_path / "a.tlog").write_bytes(b"")
    assert list(read_tlog(tmp_path / "a.tlog")) == []


@pytest.mark.parametrize(
    "content",
    [
        b"\x00",
        b"hello, this is no log" * 100,
        bytes(10_000),
        b"\xfe" * 5000,
        random.Random(4).randbytes(100_000),
    ],
)
def test_what_is_no_log_is_refused_with_a_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.tlog"
    path.write_bytes(content)
    with pytest.raises(InputError, match="no telemetry log"):
        list(read_tlog(path))


def test_a_missing_file_is_refused_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        list(read_tlog(tmp_path / "none.tlog"))
    with pytest.raises(InputError, match="cannot be written"):
        write_tlog(tmp_path / "no" / "a.tlog", [])


def test_a_stream_without_stamps_is_told_from_a_log(tmp_path: Path) -> None:
    stream, log = tmp_path / "a.raw", tmp_path / "a.tlog"
    stream.write_bytes(b"".join(raw for _, raw in _records(5)))
    write_tlog(log, _records(5))
    assert is_raw_stream(stream)
    assert not is_raw_stream(log)


def test_impossible_records_are_not_written() -> None:
    for time_ns, raw in ((-1, bytes(12)), (0, bytes(3)), (0, bytes(400))):
        with pytest.raises(InputError):
            pack_record(time_ns, raw)
    assert pack_record(1_500, bytes(8)) == struct.pack(">Q", 1) + bytes(8)
