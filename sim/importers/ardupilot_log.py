"""Imports ArduPilot's onboard logs (DataFlash `.bin`): position, attitude, GPS and gimbal as MAVLink."""

import dataclasses
import math
from collections import Counter
from pathlib import Path
from typing import Any

from pymavlink import DFReader

from sim.importers.options import ImportOptions, ImportReport, Progress
from sim.importers.synthesis import Sample, Synthesiser
from sim.importers.writing import open_flight, report, source_file, write_samples
from skywarden.errors import InputError
from skywarden.flight import ClockNote
from skywarden.rotations import quaternion_from_euler_deg

MAX_LOG_BYTES = 4_000_000_000
_ARDUPILOT = 3
_YEAR_2000_S = 946_684_800.0
_VEHICLES = {"ArduCopter": 2, "ArduPlane": 1, "ArduRover": 10, "ArduSub": 12, "Blimp": 7}
_VELOCITY_AGE_S = 0.5


def import_ardupilot(source: Path, out: Path, options: ImportOptions, progress: Progress) -> ImportReport:
    """Read the whole log; the flight has no sensors. Raises `InputError` when it cannot be read."""
    reader = _opened(source)
    log = _Log(options)
    try:
        _read(reader, source, log, progress)
    finally:
        reader.close()
    counts = dict(sorted(log.counts.items()))
    if not log.samples:
        raise InputError(
            f"{source}: {sum(counts.values())} messages were read and none tells a position or an attitude; "
            "nothing to import"
        )
    samples = sorted(log.samples, key=lambda sample: sample.time_ns)
    is_dated = samples[0].time_ns / 1e9 > _YEAR_2000_S
    if not is_dated and options.start_utc_ns is not None:
        samples = _shifted(samples, options.start_utc_ns - samples[0].time_ns)
    clock = ClockNote(
        source="GPS time in the log"
        if is_dated
        else "start as the user said"
        if options.start_utc_ns is not None
        else "none: the log holds no GPS time; times count from the autopilot's start, put at 1970-01-01",
        is_utc_known=is_dated or options.start_utc_ns is not None,
        sigma_s=0.05 if is_dated else None,
    )
    notes = [] if log.places else ["the log tells no position (no GPS fix)"]
    with open_flight(
        out,
        options,
        source=source,
        start_ns=samples[0].time_ns,
        telemetry_source=f"synthesised from the ArduPilot log {source.name}, "
        f"{log.vehicle or 'vehicle not told'}",
        clock=clock,
        sources=[source_file(source)],
        notes=notes,
    ) as writer:
        synthesiser = Synthesiser(
            vehicle_type=_VEHICLES.get(log.vehicle, 0), autopilot=_ARDUPILOT, knows_utc=clock.is_utc_known
        )
        write_samples(writer, samples, synthesiser, progress)
        return report(writer, "ArduPilot log", counts)


def _opened(source: Path) -> Any:
    size = source.stat().st_size
    if size > MAX_LOG_BYTES:
        raise InputError(f"{source}: {size} bytes is over the limit of {MAX_LOG_BYTES}")
    try:
        return DFReader.DFReader_binary(str(source))
    except (OSError, ValueError, IndexError, TypeError) as error:
        raise InputError(f"{source}: cannot be read as an ArduPilot log: {error}") from error


def _read(reader: Any, source: Path, log: "_Log", progress: Progress) -> None:
    total = 0
    while True:
        try:
            message = reader.recv_msg()
        except (ValueError, IndexError, TypeError, OverflowError) as error:
            raise InputError(f"{source}: the log is damaged after {total} messages: {error}") from error
        if message is None:
            return
        log.take(message)
        total += 1
        if total % 20_000 == 0:
            progress(int(reader.percent), 100, "reading the log")


class _Log:
    """What has been heard so far; one sample for each position, attitude, fix or gimbal message."""

    def __init__(self, options: ImportOptions) -> None:
        self._options = options
        self.counts: Counter[str] = Counter()
        self.samples: list[Sample] = []
        self.vehicle = ""
        self.places = 0
        self._velocity: tuple[float, tuple[float, float, float]] | None = None
        self._heading: float | None = None
        self._accuracy: tuple[float | None, float | None] = (None, None)
        self._has_pos = False

    def take(self, message: Any) -> None:
        """Count one message, and keep what it tells."""
        kind = message.get_type()
        self.counts[kind] += 1
        handle = getattr(self, f"_take_{kind.lower()}", None)
        if handle is not None:
            handle(message, float(message._timestamp))

    def _take_msg(self, message: Any, _time_s: float) -> None:
        words = str(message.Message).split()
        if words and words[0] in _VEHICLES and not self.vehicle:
            self.vehicle = words[0]

    def _take_att(self, message: Any, time_s: float) -> None:
        self._heading = float(message.Yaw) % 360.0
        self._add(
            time_s, roll_deg=float(message.Roll), pitch_deg=float(message.Pitch), heading_deg=self._heading
        )

    def _take_xkf1(self, message: Any, time_s: float) -> None:
        if getattr(message, "C", 0) == 0:
            self._velocity = (time_s, (float(message.VN), float(message.VE), float(message.VD)))

    def _take_pos(self, message: Any, time_s: float) -> None:
        self._has_pos = True
        self._place(time_s, message.Lat, message.Lng, message.Alt, getattr(message, "RelHomeAlt", None))

    def _take_ahr2(self, message: Any, time_s: float) -> None:
        if not self._has_pos:
            self._place(time_s, message.Lat, message.Lng, message.Alt, None)

    def _take_gpa(self, message: Any, _time_s: float) -> None:
        self._accuracy = (
            _positive(getattr(message, "HAcc", None)),
            _positive(getattr(message, "VAcc", None)),
        )

    def _take_gps(self, message: Any, time_s: float) -> None:
        if getattr(message, "I", 0) != 0 or message.Status < 2 or _is_nowhere(message.Lat, message.Lng):
            return
        self.places += 1
        self._add(
            time_s,
            latitude_deg=float(message.Lat),
            longitude_deg=float(message.Lng),
            alt_msl_m=float(message.Alt),
            fix_type=int(message.Status),
            satellites=int(message.NSats),
            speed_mps=float(message.Spd),
            course_deg=float(message.GCrs) % 360.0,
            h_acc_m=self._accuracy[0],
            v_acc_m=self._accuracy[1],
        )

    def _take_mnt(self, message: Any, time_s: float) -> None:
        angles = (message.Roll, message.Pitch, getattr(message, "YawE", math.nan))
        if all(math.isfinite(angle) for angle in angles):
            w, x, y, z = quaternion_from_euler_deg(*angles).tolist()
            self._add(time_s, q_ned_gimbal=(w, x, y, z))

    def _place(self, time_s: float, latitude: float, longitude: float, msl: float, rel: float | None) -> None:
        if _is_nowhere(latitude, longitude):
            return
        self.places += 1
        velocity = None
        if self._velocity is not None and abs(time_s - self._velocity[0]) <= _VELOCITY_AGE_S:
            velocity = self._velocity[1]
        if rel is None and self._options.takeoff_alt_msl_m is not None:
            rel = float(msl) - self._options.takeoff_alt_msl_m
        self._add(
            time_s,
            latitude_deg=float(latitude),
            longitude_deg=float(longitude),
            alt_msl_m=float(msl),
            alt_rel_m=None if rel is None else float(rel),
            velocity_ned_mps=velocity,
            heading_deg=self._heading,
        )

    def _add(self, time_s: float, **known: Any) -> None:
        numbers = [value for value in known.values() if isinstance(value, float)]
        if 0.0 <= time_s < 4_102_444_800.0 and all(math.isfinite(value) for value in numbers):
            self.samples.append(Sample(time_ns=round(time_s * 1e9), **known))


def _is_nowhere(latitude: float, longitude: float) -> bool:
    return abs(latitude) > 90.0 or abs(longitude) > 180.0 or (latitude == 0.0 and longitude == 0.0)


def _positive(value: float | None) -> float | None:
    return None if value is None or not 0.0 < value < 1e4 else float(value)


def _shifted(samples: list[Sample], by_ns: int) -> list[Sample]:
    return [dataclasses.replace(sample, time_ns=sample.time_ns + by_ns) for sample in samples]
