"""How fast a telemetry log becomes columns, against the loop over recv_match() that users write.

Both read the same file in turn, round by round, so that whatever else the machine does hits both; the ratio
is of medians. The log is made here: ten kinds of message, MAVLink 2, as a vehicle sends them.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from pymavlink import mavutil

from skywarden.mavlink.columns import read_columns
from skywarden.mavlink.framing import Framer
from skywarden.mavlink.synth import MessageMaker
from skywarden.mavlink.tlog import read_tlog, write_tlog

START_NS = 1_760_000_000_000_000_000
GOAL_RATIO = 30.0


def run(*, messages: int = 40_000, rounds: int = 3, log: Path | None = None) -> dict[str, Any]:
    """Median seconds and messages per second of recv_match and of our readers, and the ratios.

    `log` measures a log of yours instead of the made one. The result is plain JSON: messages, seconds and
    per_second by reader, `ratio` of columns to recv_match (goal 30), ratios of the other readers, and
    whether both counted the same good frames and bad checksums.
    """
    with tempfile.TemporaryDirectory(prefix="skywarden-bench-") as folder:
        path = log or _made_log(Path(folder) / "made.tlog", messages)
        readers: dict[str, Callable[[Path], tuple[int, int]]] = {
            "recv_match": _recv_match,
            "columns": _columns,
            "records": _records,
            "stream": _stream,
        }
        seconds: dict[str, list[float]] = {name: [] for name in readers}
        counts: dict[str, tuple[int, int]] = {}
        for _ in range(rounds):
            for name, read in readers.items():
                started = time.perf_counter()
                counts[name] = read(path)
                seconds[name].append(time.perf_counter() - started)
    middle = {name: median(values) for name, values in seconds.items()}
    total = sum(counts["recv_match"])
    return {
        "messages": total,
        "bad_crc": counts["recv_match"][1],
        "is_same_count": counts["recv_match"] == counts["columns"],
        "seconds": {name: round(value, 5) for name, value in middle.items()},
        "per_second": {name: round(total / value) for name, value in middle.items()},
        "ratio": round(middle["recv_match"] / middle["columns"], 1),
        "ratio_records": round(middle["recv_match"] / middle["records"], 1),
        "ratio_stream": round(middle["recv_match"] / middle["stream"], 1),
        "goal": GOAL_RATIO,
    }


def _recv_match(path: Path) -> tuple[int, int]:
    link = mavutil.mavlink_connection(str(path))
    good = bad = 0
    while (message := link.recv_match()) is not None:
        if message.get_type() == "BAD_DATA":
            bad += "CRC" in message.reason
        else:
            good += 1
    link.close()
    return good, bad


def _columns(path: Path) -> tuple[int, int]:
    columns = read_columns(path)
    return columns.frames + sum(columns.unknown.values()), columns.bad_crc


def _records(path: Path) -> tuple[int, int]:
    return sum(1 for _ in read_tlog(path)), 0


def _stream(path: Path) -> tuple[int, int]:
    """The live path: every record through the framer, checksums verified."""
    framer = Framer()
    for _, raw in read_tlog(path):
        framer.feed(raw)
    return framer.counts.frames, framer.counts.bad_crc


def _made_log(path: Path, count: int) -> Path:
    maker = MessageMaker(1, 1)
    records = [(START_NS + row * 5_000_000, _message(maker, row)) for row in range(count)]
    write_tlog(path, records)
    return path


def _message(maker: MessageMaker, row: int) -> bytes:
    boot_ms = row * 5
    place: dict[str, Any] = {"latitude_deg": 38.0 + row * 1e-6, "longitude_deg": -9.0, "alt_msl_m": 300.0}
    match row % 10:
        case 0:
            return maker.heartbeat(custom_mode=row)
        case 1 | 2 | 3:
            return maker.attitude(
                time_boot_ms=boot_ms,
                roll_deg=row % 40 - 20,
                pitch_deg=3.0,
                heading_deg=row % 360,
                yaw_rate_dps=4,
            )
        case 4 | 5:
            return maker.global_position_int(
                time_boot_ms=boot_ms, alt_rel_m=120.0, vn_mps=14.0, heading_deg=12.0, **place
            )
        case 6:
            return maker.gps_raw_int(time_us=boot_ms * 1000, alt_ellipsoid_m=355.0, h_acc_m=1.2, **place)
        case 7:
            return maker.system_time(time_boot_ms=boot_ms, time_unix_us=START_NS // 1000 + row)
        case 8:
            return maker.message(
                "VFR_HUD", airspeed=14.2, groundspeed=15.1, heading=12, throttle=55, alt=300.0, climb=0.3
            )
        case _:
            return maker.message(
                "VIBRATION",
                time_usec=boot_ms * 1000,
                vibration_x=0.1,
                vibration_y=0.2,
                vibration_z=0.3,
                clipping_0=0,
                clipping_1=0,
                clipping_2=0,
            )
