"""Imports PX4's onboard logs (`.ulg`): position, attitude, GPS and gimbal as MAVLink."""

import contextlib
import io
import math
import statistics
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pyulog import ULog

try:
    from pyulog.exceptions import ULogException
except ImportError:  # before 1.2 pyulog raised TypeError
    ULogException = TypeError

from sim.importers.options import ImportOptions, ImportReport, Progress
from sim.importers.synthesis import Quaternion, Sample, Synthesiser
from sim.importers.writing import open_flight, report, source_file, write_samples
from skywarden.errors import InputError
from skywarden.flight import ClockNote
from skywarden.geometry.rotations import euler_deg_from_quaternion

MAX_LOG_BYTES = 2_000_000_000
_PX4 = 12
_YEAR_2000_US = 946_684_800_000_000
_DAMAGE = (
    ULogException, OSError, EOFError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError,
    MemoryError, struct.error,
)  # fmt: skip


def import_px4(source: Path, out: Path, options: ImportOptions, progress: Progress) -> ImportReport:
    """Read the whole log; the flight has no sensors. Raises `InputError` when it cannot be read."""
    progress(0, 0, "reading the log")
    log = _opened(source)
    counts: dict[str, int] = {}
    for data in log.data_list:
        counts[data.name] = counts.get(data.name, 0) + len(data.data.get("timestamp", ()))
    boot_utc_us = _boot_utc_us(log)
    is_dated = boot_utc_us is not None
    first_us = int(log.start_timestamp)
    if boot_utc_us is None:
        boot_utc_us = 0 if options.start_utc_ns is None else options.start_utc_ns // 1000 - first_us
    samples = [
        *_places(log, boot_utc_us, options), *_attitudes(log, boot_utc_us),
        *_fixes(log, boot_utc_us), *_gimbals(log, boot_utc_us),
    ]  # fmt: skip
    samples.sort(key=lambda sample: sample.time_ns)
    if not samples:
        raise InputError(
            f"{source}: {sum(counts.values())} messages were read and none tells a position or an attitude; "
            "nothing to import"
        )
    notes = [] if any(sample.has_place for sample in samples) else ["the log tells no position (no GPS fix)"]
    if log.file_corruption:
        notes.append("the log is damaged in places; what could be read is here")
    clock = _clock(is_dated, options)
    with open_flight(
        out,
        options,
        source=source,
        start_ns=samples[0].time_ns,
        telemetry_source=f"synthesised from the PX4 log {source.name}",
        clock=clock,
        sources=[source_file(source)],
        notes=notes,
    ) as writer:
        vehicle_type = int(_first(log, "vehicle_status", "system_type") or 0)
        synthesiser = Synthesiser(
            vehicle_type=vehicle_type if 0 <= vehicle_type < 256 else 0,
            autopilot=_PX4,
            knows_utc=clock.is_utc_known,
        )
        write_samples(writer, samples, synthesiser, progress)
        return report(writer, "PX4 log", dict(sorted(counts.items())))


def _opened(source: Path) -> Any:
    size = source.stat().st_size
    if size > MAX_LOG_BYTES:
        raise InputError(f"{source}: {size} bytes is over the limit of {MAX_LOG_BYTES}")
    try:
        with source.open("rb") as file, contextlib.redirect_stdout(io.StringIO()):
            return ULog(file)
    except _DAMAGE as error:
        raise InputError(f"{source}: cannot be read as a PX4 log: {error!r}"[:300]) from error


def _clock(is_dated: bool, options: ImportOptions) -> ClockNote:
    if is_dated:
        return ClockNote(source="GPS time in the log", sigma_s=0.1)
    if options.start_utc_ns is not None:
        return ClockNote(source="start as the user said")
    words = "none: the log holds no GPS time; times count from the autopilot's start, put at 1970-01-01"
    return ClockNote(source=words, is_utc_known=False)


def _rows(log: Any, name: str) -> Iterator[dict[str, float]]:
    """Every row of the first instance of a topic as plain numbers."""
    for data in log.data_list:
        if data.name == name and data.multi_id == 0 and "timestamp" in data.data:
            keys = list(data.data)
            columns = [data.data[key].tolist() for key in keys]
            for row in zip(*columns, strict=True):
                yield dict(zip(keys, row, strict=True))


def _first(log: Any, topic: str, field: str) -> float | None:
    for row in _rows(log, topic):
        return row.get(field)
    return None


def _boot_utc_us(log: Any) -> int | None:
    offsets = [
        int(row["time_utc_usec"]) - int(row["timestamp"])
        for row in _rows(log, "vehicle_gps_position")
        if row.get("time_utc_usec", 0) > _YEAR_2000_US
    ]
    return round(statistics.median(offsets)) if offsets else None


def _ns(row: dict[str, float], boot_utc_us: int) -> int:
    return max(0, (int(row["timestamp"]) + boot_utc_us) * 1000)


def _places(log: Any, boot_utc_us: int, options: ImportOptions) -> Iterator[Sample]:
    """The estimator's position: global where it was logged, else local with its reference."""
    home_m = _first(log, "home_position", "alt")
    if options.takeoff_alt_msl_m is not None:
        home_m = options.takeoff_alt_msl_m
    found = False
    for row in _rows(log, "vehicle_global_position"):
        if not _is_finite(row, "lat", "lon", "alt"):
            continue
        found = True
        velocity = _velocity(row, "vel_n", "vel_e", "vel_d")
        yield _place(row, boot_utc_us, row["lat"], row["lon"], row["alt"], home_m, velocity, row.get("yaw"))
    if found:
        return
    for row in _rows(log, "vehicle_local_position"):
        has_reference = row.get("xy_global", row.get("xy_valid")) and row.get("z_global", row.get("z_valid"))
        if not has_reference or not _is_finite(row, "ref_lat", "ref_lon", "ref_alt", "x", "y", "z"):
            continue
        latitude = row["ref_lat"] + math.degrees(row["x"] / 6_371_000.0)
        shrink = max(0.01, math.cos(math.radians(row["ref_lat"])))
        longitude = row["ref_lon"] + math.degrees(row["y"] / 6_371_000.0) / shrink
        velocity = _velocity(row, "vx", "vy", "vz")
        alt_msl = row["ref_alt"] - row["z"]
        yield _place(row, boot_utc_us, latitude, longitude, alt_msl, home_m, velocity, row.get("heading"))


def _place(
    row: dict[str, float],
    boot_utc_us: int,
    latitude: float,
    longitude: float,
    alt_msl_m: float,
    home_m: float | None,
    velocity: tuple[float, float, float] | None,
    heading_rad: float | None,
) -> Sample:
    is_heading = heading_rad is not None and math.isfinite(heading_rad)
    return Sample(
        time_ns=_ns(row, boot_utc_us),
        latitude_deg=latitude,
        longitude_deg=longitude,
        alt_msl_m=alt_msl_m,
        alt_rel_m=None if home_m is None or not math.isfinite(home_m) else alt_msl_m - home_m,
        velocity_ned_mps=velocity,
        heading_deg=math.degrees(heading_rad or 0.0) % 360.0 if is_heading else None,
    )


def _attitudes(log: Any, boot_utc_us: int) -> Iterator[Sample]:
    for row in _rows(log, "vehicle_attitude"):
        q = _quaternion(row)
        if q is None:
            continue
        roll, pitch, yaw = euler_deg_from_quaternion(q).tolist()
        yield Sample(time_ns=_ns(row, boot_utc_us), roll_deg=roll, pitch_deg=pitch, heading_deg=yaw % 360.0)


def _fixes(log: Any, boot_utc_us: int) -> Iterator[Sample]:
    """The receiver's own answers; PX4 1.14 changed 1e-7 degrees and mm into plain degrees and metres."""
    for row in _rows(log, "vehicle_gps_position"):
        if row.get("fix_type", 0) < 2:
            continue
        latitude = row["latitude_deg"] if "latitude_deg" in row else row.get("lat", 0) / 1e7
        longitude = row["longitude_deg"] if "longitude_deg" in row else row.get("lon", 0) / 1e7
        msl = row["altitude_msl_m"] if "altitude_msl_m" in row else row.get("alt", 0) / 1e3
        hae = (
            row["altitude_ellipsoid_m"]
            if "altitude_ellipsoid_m" in row
            else row.get("alt_ellipsoid", 0) / 1e3
        )
        yield Sample(
            time_ns=_ns(row, boot_utc_us),
            latitude_deg=latitude,
            longitude_deg=longitude,
            alt_msl_m=msl,
            alt_hae_m=hae or None,
            fix_type=int(row["fix_type"]),
            satellites=int(row.get("satellites_used", 0)),
            h_acc_m=_positive(row.get("eph")),
            v_acc_m=_positive(row.get("epv")),
            speed_mps=_positive(row.get("vel_m_s")),
        )


def _gimbals(log: Any, boot_utc_us: int) -> Iterator[Sample]:
    for row in _rows(log, "gimbal_device_attitude_status"):
        q = _quaternion(row)
        if q is not None:
            flags = int(row.get("device_flags", 0))
            yield Sample(time_ns=_ns(row, boot_utc_us), q_ned_gimbal=q, gimbal_flags=flags)


def _quaternion(row: dict[str, float]) -> Quaternion | None:
    w, x, y, z = (row.get(f"q[{place}]", math.nan) for place in range(4))
    length = math.sqrt(w * w + x * x + y * y + z * z)
    return (w, x, y, z) if math.isfinite(length) and abs(length - 1.0) < 0.02 else None


def _velocity(row: dict[str, float], *names: str) -> tuple[float, float, float] | None:
    if not _is_finite(row, *names):
        return None
    north, east, down = (row[name] for name in names)
    return north, east, down


def _is_finite(row: dict[str, float], *names: str) -> bool:
    return all(name in row and math.isfinite(row[name]) for name in names)


def _positive(value: float | None) -> float | None:
    return None if value is None or not 0.0 < value < 1e4 else float(value)
