"""Logs as columns: pymavlink's recv_match() is the referee for every value and every bad checksum."""

import math
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pymavlink import mavutil

from skywarden.errors import InputError
from skywarden.mavlink.columns import read_columns
from skywarden.mavlink.dialect import IDS, MESSAGES
from skywarden.mavlink.synth import MessageMaker
from skywarden.mavlink.tlog import read_tlog, write_tlog

LOGS = [
    "mavlink/ardusub_small.tlog",
    "mavlink/dronekit_flight_replay.tlog",
    "mavlink/pymavlink_capture.mav2.battery_status.tlog",
    "mavlink/uavlogviewer_vtol.tlog",
    "mavlink/node-mavlink_tests_data.raw",
    "mavlink/node-mavlink_v2_3412_packets.raw",
    "recordings/cuav-2018/flight.tlog",
]


def _recv_match(path: Path) -> Iterator[Any]:
    link = mavutil.mavlink_connection(str(path), notimestamps=path.suffix == ".raw")
    try:
        while (message := link.recv_match()) is not None:
            yield message
    finally:
        link.close()


def _same(ours: Any, theirs: Any) -> bool:
    if isinstance(theirs, list):
        return all(_same(one, other) for one, other in zip(ours.tolist(), theirs, strict=True))
    if isinstance(theirs, str | bytes):
        text = ours.split(b"\0", 1)[0]
        return bool(text.decode("ascii", "replace") == theirs if isinstance(theirs, str) else text == theirs)
    ours = ours.item() if hasattr(ours, "item") else ours
    return bool(ours == theirs or (math.isnan(ours) and math.isnan(theirs)))


@pytest.mark.real_data
@pytest.mark.slow
@pytest.mark.parametrize("name", LOGS)
def test_every_value_of_every_real_log_is_that_of_recv_match(real_data: Path, name: str) -> None:
    path = real_data / name
    columns = read_columns(path)
    unknown: dict[int, int] = defaultdict(int)
    at: dict[str, int] = defaultdict(int)
    bad_crc = 0
    for message in _recv_match(path):
        kind = message.get_type()
        if kind == "BAD_DATA":
            bad_crc += "CRC" in message.reason
        elif kind.startswith("UNKNOWN_"):
            unknown[int(kind.removeprefix("UNKNOWN_"))] += 1
        else:
            _compare(columns.tables[kind], at[kind], message, has_stamps=path.suffix != ".raw")
            at[kind] += 1
    assert {kind: len(table) for kind, table in columns.tables.items()} == dict(at)
    assert columns.bad_crc == bad_crc
    assert columns.unknown == unknown
    assert columns.frames == sum(at.values())


def _compare(table: Any, row: int, message: Any, *, has_stamps: bool) -> None:
    assert (table.sysid[row], table.compid[row], table.seq[row]) == (
        message.get_srcSystem(),
        message.get_srcComponent(),
        message.get_seq(),
    )
    if has_stamps:
        assert abs(int(table.time_ns[row]) / 1e9 - message._timestamp) < 1e-6
    for field in message.get_fieldnames():
        assert _same(table.values[field][row], getattr(message, field)), (table.name, field, row)


@pytest.mark.real_data
def test_the_log_with_changed_definitions_has_1314_frames_with_a_bad_checksum(real_data: Path) -> None:
    columns = read_columns(real_data / "mavlink" / "dronekit_flight_replay.tlog")
    assert (columns.frames, columns.bad_crc) == (75_477, 1_314)


@pytest.mark.real_data
@pytest.mark.parametrize("name", [name for name in LOGS if name.endswith("tlog")])
def test_iterating_and_columns_find_the_same_records(real_data: Path, name: str) -> None:
    columns = read_columns(real_data / name)
    count = sum(1 for _ in read_tlog(real_data / name))
    assert count == columns.frames + columns.bad_crc + sum(columns.unknown.values())


def _write(path: Path) -> int:
    maker, old = MessageMaker(1, 1), MessageMaker(2, 1, version=1)
    raws = []
    for number in range(300):
        raws.append(maker.attitude(time_boot_ms=number, roll_deg=1.0, pitch_deg=2.0, heading_deg=number))
        raws.append(old.system_time(time_boot_ms=number, time_unix_us=None))
        raws += maker.statustext(severity=6, text=f"leg {number}")
    write_tlog(path, [(1_760_000_000_000_000_000 + row * 1000, raw) for row, raw in enumerate(raws)])
    return len(raws)


def test_columns_have_the_sent_values_of_both_protocol_versions(tmp_path: Path) -> None:
    count = _write(tmp_path / "a.tlog")
    columns = read_columns(tmp_path / "a.tlog")
    assert columns.frames == count
    attitude = columns["ATTITUDE"]
    assert np.array_equal(attitude["time_boot_ms"], np.arange(300))
    assert np.allclose(attitude["pitch"], math.radians(2.0))
    assert np.array_equal(attitude.time_ns, 1_760_000_000_000_000_000 + 3000 * np.arange(300))
    assert set(columns["SYSTEM_TIME"].sysid.tolist()) == {2}
    assert columns["STATUSTEXT"]["text"][7] == b"leg 7"
    assert len(columns["HEARTBEAT"]) == 0


def test_only_the_wanted_messages_become_tables_and_all_are_counted(tmp_path: Path) -> None:
    count = _write(tmp_path / "a.tlog")
    columns = read_columns(tmp_path / "a.tlog", only=["ATTITUDE"])
    assert list(columns.tables) == ["ATTITUDE"]
    assert columns.frames == count


def test_names_that_do_not_exist_are_refused(tmp_path: Path) -> None:
    _write(tmp_path / "a.tlog")
    with pytest.raises(InputError, match="NONSENSE"):
        read_columns(tmp_path / "a.tlog", only=["NONSENSE"])
    with pytest.raises(InputError, match="NONSENSE"):
        read_columns(tmp_path / "a.tlog")["NONSENSE"]


def test_one_damaged_byte_costs_one_frame(tmp_path: Path) -> None:
    path = tmp_path / "a.tlog"
    count = _write(path)
    data = bytearray(path.read_bytes())
    data[8 + 12] ^= 0x40
    path.write_bytes(bytes(data))
    columns = read_columns(path)
    assert (columns.frames, columns.bad_crc, columns.skipped_bytes) == (count - 1, 1, 0)


def test_the_layout_of_every_message_is_packed_as_pymavlink_packs_it() -> None:
    for msgid, message in MESSAGES.items():
        assert message.dtype.itemsize == message.size
        assert IDS[message.name] == msgid
