"""Imports ArduPilot's onboard logs (DataFlash `.bin`): position, attitude, GPS and gimbal as MAVLink."""

import dataclasses
import math
import mmap
from collections import Counter
from pathlib import Path
from typing import Any

from sim.importers.dataflash import DataflashCounts, LogMessage, gps_utc_s, read_dataflash
from sim.importers.options import ImportOptions, ImportReport, Progress
from sim.importers.synthesis import Sample, Synthesiser
from sim.importers.writing import open_flight, report, source_file, write_samples
from skywarden.errors import InputError
from skywarden.flight import ClockNote
from skywarden.geometry.rotations import quaternion_from_euler_deg

MAX_LOG_BYTES = 2_000_000_000
_ARDUPILOT = 3
_VEHICLES = {"ArduCopter": 2, "ArduPlane": 1, "ArduRover": 10, "ArduSub": 12, "Blimp": 7}
_VELOCITY_AGE_S = 0.5


def import_ardupilot(source: Path, out: Path, options: ImportOptions, progress: Progress) -> ImportReport:
    """Read the whole log; the flight has no sensors. Raises `InputError` when nothing in it is of use."""
    log = _read(source, options, progress)
    counts = dict(sorted(log.counts.items()))
    if not log.samples:
        raise InputError(
            f"{source}: {sum(counts.values())} messages were read and none tells a position or an attitude; "
            "nothing to import"
        )
    samples = sorted(log.samples, key=lambda sample: sample.time_ns)
    clock, start_s = _clock(log, samples, options)
    samples = [
        dataclasses.replace(sample, time_ns=sample.time_ns + round(start_s * 1e9)) for sample in samples
    ]
    notes = [] if log.places else ["the log tells no position (no GPS fix)"]
    if log.skipped.skipped_bytes:
        notes.append(f"{log.skipped.skipped_bytes} bytes of the log belong to no whole message")
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


def _read(source: Path, options: ImportOptions, progress: Progress) -> "_Log":
    size = source.stat().st_size
    if size > MAX_LOG_BYTES:
        raise InputError(f"{source}: {size} bytes is over the limit of {MAX_LOG_BYTES}")
    log = _Log(options)
    try:
        with source.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            for number, message in enumerate(read_dataflash(data, log.skipped)):
                log.take(message)
                if number % 20_000 == 0:
                    progress(number, 0, "reading the log")
    except (OSError, ValueError) as error:
        raise InputError(f"{source}: cannot be read ({error})") from error
    return log


def _clock(log: "_Log", samples: list[Sample], options: ImportOptions) -> tuple[ClockNote, float]:
    """Where UTC comes from, and how many seconds the autopilot's start is after 1970."""
    if log.start_utc_s is not None:
        return ClockNote(source="GPS time in the log", sigma_s=0.2), log.start_utc_s
    if options.start_utc_ns is not None:
        start_s = (options.start_utc_ns - samples[0].time_ns) / 1e9
        return ClockNote(source="start as the user said"), start_s
    words = "none: the log holds no GPS time; times count from the autopilot's start, put at 1970-01-01"
    return ClockNote(source=words, is_utc_known=False), 0.0


class _Log:
    """What has been heard so far; one sample for each position, attitude, fix or gimbal message.

    Times of samples count from the autopilot's start; `start_utc_s` is when that was, from the first GPS
    message with a fix.
    """

    def __init__(self, options: ImportOptions) -> None:
        self._options = options
        self.counts: Counter[str] = Counter()
        self.skipped = DataflashCounts()
        self.samples: list[Sample] = []
        self.start_utc_s: float | None = None
        self.vehicle = ""
        self.places = 0
        self._velocity: tuple[float, tuple[float, float, float]] | None = None
        self._heading: float | None = None
        self._accuracy: tuple[float | None, float | None] = (None, None)
        self._has_pos = False
        self._takers = {
            "MSG": self._take_text, "ATT": self._take_attitude, "XKF1": self._take_estimate,
            "POS": self._take_position, "AHR2": self._take_backup, "GPA": self._take_accuracy,
            "GPS": self._take_fix, "MNT": self._take_mount,
        }  # fmt: skip

    def take(self, message: LogMessage) -> None:
        """Count one message, and keep what it tells."""
        self.counts[message.name] += 1
        taker = self._takers.get(message.name)
        time_us = message.number("TimeUS")
        if taker is not None and time_us is not None and 0 <= time_us < 1e14:
            taker(message, time_us / 1e6)

    def _take_text(self, message: LogMessage, _time_s: float) -> None:
        words = str(message.values.get("Message", "")).split()
        if words and words[0] in _VEHICLES and not self.vehicle:
            self.vehicle = words[0]

    def _take_attitude(self, message: LogMessage, time_s: float) -> None:
        roll, pitch, yaw = message.number("Roll"), message.number("Pitch"), message.number("Yaw")
        if roll is None or pitch is None or yaw is None:
            return
        self._heading = yaw % 360.0
        self._add(time_s, roll_deg=roll, pitch_deg=pitch, heading_deg=self._heading)

    def _take_estimate(self, message: LogMessage, time_s: float) -> None:
        north, east, down = message.number("VN"), message.number("VE"), message.number("VD")
        if message.values.get("C", 0) == 0 and north is not None and east is not None and down is not None:
            self._velocity = (time_s, (north, east, down))

    def _take_position(self, message: LogMessage, time_s: float) -> None:
        self._has_pos = True
        self._place(message, time_s, message.number("RelHomeAlt"))

    def _take_backup(self, message: LogMessage, time_s: float) -> None:
        if not self._has_pos:
            self._place(message, time_s, None)

    def _take_accuracy(self, message: LogMessage, _time_s: float) -> None:
        self._accuracy = (_positive(message.number("HAcc")), _positive(message.number("VAcc")))

    def _take_fix(self, message: LogMessage, time_s: float) -> None:
        status = message.number("Status") or 0.0
        place = _place_of(message)
        alt_msl = message.number("Alt")
        if message.values.get("I", 0) != 0 or status < 2 or place is None or alt_msl is None:
            return
        week, milliseconds = message.number("GWk", "Week"), message.number("GMS", "TimeMS")
        if self.start_utc_s is None and status >= 3 and week is not None and milliseconds is not None:
            utc_s = gps_utc_s(week, milliseconds)
            self.start_utc_s = None if utc_s is None else utc_s - time_s
        self.places += 1
        course = message.number("GCrs")
        self._add(
            time_s,
            latitude_deg=place[0],
            longitude_deg=place[1],
            alt_msl_m=alt_msl,
            fix_type=int(status),
            satellites=int(message.number("NSats") or 0),
            speed_mps=message.number("Spd"),
            course_deg=None if course is None else course % 360.0,
            h_acc_m=self._accuracy[0],
            v_acc_m=self._accuracy[1],
        )

    def _take_mount(self, message: LogMessage, time_s: float) -> None:
        roll, pitch, yaw = message.number("Roll"), message.number("Pitch"), message.number("YawE")
        if roll is not None and pitch is not None and yaw is not None:
            w, x, y, z = quaternion_from_euler_deg(roll, pitch, yaw).tolist()
            self._add(time_s, q_ned_gimbal=(w, x, y, z))

    def _place(self, message: LogMessage, time_s: float, alt_rel: float | None) -> None:
        place, alt_msl = _place_of(message), message.number("Alt")
        if place is None or alt_msl is None:
            return
        self.places += 1
        velocity = None
        if self._velocity is not None and abs(time_s - self._velocity[0]) <= _VELOCITY_AGE_S:
            velocity = self._velocity[1]
        if alt_rel is None and self._options.takeoff_alt_msl_m is not None:
            alt_rel = alt_msl - self._options.takeoff_alt_msl_m
        self._add(
            time_s,
            latitude_deg=place[0],
            longitude_deg=place[1],
            alt_msl_m=alt_msl,
            alt_rel_m=alt_rel,
            velocity_ned_mps=velocity,
            heading_deg=self._heading,
        )

    def _add(self, time_s: float, **known: Any) -> None:
        self.samples.append(Sample(time_ns=round(time_s * 1e9), **known))


def _place_of(message: LogMessage) -> tuple[float, float] | None:
    latitude, longitude = message.number("Lat"), message.number("Lng")
    if latitude is None or longitude is None or abs(latitude) > 90.0 or abs(longitude) > 180.0:
        return None
    return None if latitude == 0.0 and longitude == 0.0 else (latitude, longitude)


def _positive(value: float | None) -> float | None:
    return None if value is None or not 0.0 < value < 1e4 or math.isnan(value) else value
