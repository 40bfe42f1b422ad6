"""Imports telemetry logs as they are, alone or with a folder of images and a calibration beside them."""

import dataclasses
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edge.cameras.exif import HEADER_BYTES, exif_time_ns, read_header
from edge.cameras.image_times import read_listing, time_from_name
from sim.importers.found_lag import FoundLag, found_lag
from sim.importers.options import ImportOptions, ImportReport, Progress
from sim.importers.writing import camera_for, open_flight, read_calibration, report, sensor, source_file
from skywarden.errors import InputError
from skywarden.flight import ClockNote, FixedMount, FlightWriter
from skywarden.geometry.camera import CameraModel
from skywarden.mavlink.dialect import MESSAGES, STX_V1
from skywarden.mavlink.tlog import STAMP_BYTES, is_intact, is_raw_stream, read_blocks, read_tlog

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff"})
NADIR = FixedMount(pitch_deg=-90.0)
MAX_IMAGES = 1_000_000
_YEAR_2000_NS = 946_684_800 * 10**9


@dataclass(frozen=True, kw_only=True)
class TelemetryCounts:
    """What stands in a log: intact frames by message name, those that fail, first and last time, strays."""

    by_name: dict[str, int]
    bad_checksums: int
    unknown: int
    total: int
    first_ns: int
    last_ns: int
    stray_bytes: int = 0

    def as_dict(self) -> dict[str, int]:
        """The counts for a report, messages by name."""
        extra = {
            "bad_checksum": self.bad_checksums,
            "unknown_id": self.unknown,
            "stray_bytes": self.stray_bytes,
        }
        return self.by_name | {name: count for name, count in extra.items() if count}


def count_frames(records: Iterator[tuple[int, bytes]], progress: Progress) -> TelemetryCounts:
    """Count (time_ns, raw frame) records by message; raises `InputError` when there is none."""
    names: Counter[str] = Counter()
    bad = unknown = total = 0
    first = last = 0
    for total, (time_ns, raw) in enumerate(records, start=1):
        first = time_ns if total == 1 else min(first, time_ns)
        last = max(last, time_ns)
        message = MESSAGES.get(message_id(raw))
        if message is None:
            unknown += 1
        elif is_intact(raw):
            names[message.name] += 1
        else:
            bad += 1
        if total % 5000 == 0:
            progress(total, 0, "reading telemetry")
    if total == 0:
        raise InputError("the telemetry log holds no MAVLink frame")
    progress(total, total, "reading telemetry")
    return TelemetryCounts(
        by_name=dict(sorted(names.items())),
        bad_checksums=bad,
        unknown=unknown,
        total=total,
        first_ns=first,
        last_ns=last,
    )


def count_log(source: Path, progress: Progress) -> TelemetryCounts:
    """Count a log with stamps, and the bytes in it that belong to no whole record."""
    in_records = 0

    def records() -> Iterator[tuple[int, bytes]]:
        nonlocal in_records
        for time_ns, raw in read_tlog(source):
            in_records += STAMP_BYTES + len(raw)
            yield time_ns, raw

    counts = count_frames(records(), progress)
    stray = max(0, source.stat().st_size - in_records)
    return dataclasses.replace(counts, stray_bytes=stray)


def message_id(raw: bytes) -> int:
    """The message id of a raw frame of either version."""
    return raw[5] if raw[0] == STX_V1 else int.from_bytes(raw[7:10], "little")


def import_tlog(source: Path, out: Path, options: ImportOptions, progress: Progress) -> ImportReport:
    """A telemetry log alone; a stream without time stamps is stamped by its messages' time since boot."""
    if is_raw_stream(source):
        return _import_raw(source, out, options, progress)
    counts = count_log(source, progress)
    with open_flight(
        out,
        options,
        source=source,
        start_ns=counts.first_ns,
        telemetry_source=f"{source.name}, as it was recorded",
        clock=log_clock(counts),
        sources=[source_file(source)],
        notes=count_notes(counts),
    ) as writer:
        copy_log(writer, source, counts)
        return report(writer, "MAVLink telemetry log", counts.as_dict())


def import_folder(source: Path, out: Path, options: ImportOptions, progress: Progress) -> ImportReport:
    """A folder with one telemetry log, images whose names, EXIF or listing tell UTC, and a calibration."""
    logs = sorted(source.glob("*.tlog"))
    if len(logs) != 1:
        raise InputError(f"{source}: holds {len(logs)} telemetry logs; exactly one is needed")
    counts = count_log(logs[0], progress)
    images = timed_images(source)
    calibration = options.calibration or _calibration_in(source)
    width, height = _size(images[0][1])
    notes = count_notes(counts)
    outside = sum(not counts.first_ns <= time_ns <= counts.last_ns for time_ns, _ in images)
    if outside:
        notes.append(f"{outside} of {len(images)} images lie outside the telemetry's time")
    camera: tuple[CameraModel | None, str]
    if calibration is not None and options.calibration is None and options.hfov_deg is None:
        camera = read_calibration(calibration), f"calibration {calibration.name}"
    else:
        camera = camera_for(options, width, height)
    lag = FoundLag()
    if options.frame_lag_s is None:
        lag = found_lag(logs[0], images, camera[0], options.mount or NADIR, progress)
        notes.append(lag.note)
    eye = sensor(
        options,
        camera,
        width_px=width,
        height_px=height,
        mount=NADIR,
        frame_lag_s=lag.lag_s,
        frame_lag_sigma_s=lag.sigma_s,
    )
    if options.mount is None:
        notes.append(
            "camera taken as fixed and looking straight down, image up = forward; --mount says otherwise"
        )
    paths = [logs[0], *(path for _, path in images), *([calibration] if calibration else [])]
    with open_flight(
        out,
        options,
        source=source,
        start_ns=min(counts.first_ns, images[0][0]),
        telemetry_source=f"{logs[0].name}, as it was recorded",
        clock=log_clock(counts),
        sources=[source_file(path) for path in paths],
        sensors=[eye],
        notes=notes,
    ) as writer:
        copy_log(writer, logs[0], counts)
        for number, (time_ns, path) in enumerate(images):
            progress(number, len(images), "copying images")
            writer.add_frame("eo", number, time_ns, path, name=path.stem)
        return report(writer, "telemetry log with images", counts.as_dict() | {"images": len(images)})


def timed_images(folder: Path) -> list[tuple[int, Path]]:
    """(UTC ns, image) of every image in the folder, in order of time.

    A listing `frames.csv`, `times.csv` or `frames.json` wins over names, names over EXIF. Raises `InputError`
    when there is no image or an image's time is not told.
    """
    images = sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
    if not images:
        raise InputError(f"{folder}: holds no images ({', '.join(sorted(IMAGE_SUFFIXES))})")
    if len(images) > MAX_IMAGES:
        raise InputError(f"{folder}: {len(images)} images are over the limit of {MAX_IMAGES}")
    listed: dict[str, int] = {}
    for name in ("frames.csv", "times.csv", "frames.json"):
        if (folder / name).is_file():
            listed = read_listing(folder / name)
            break
    timed: list[tuple[int, Path]] = []
    for path in images:
        time_ns = listed.get(path.name) or time_from_name(path.stem) or _exif_time_ns(path)
        if time_ns is None:
            raise InputError(
                f"{path}: neither its name nor its EXIF tells a time with zone; put a frames.csv "
                "with file and time beside the images"
            )
        timed.append((time_ns, path))
    return sorted(timed)


def _import_raw(source: Path, out: Path, options: ImportOptions, progress: Progress) -> ImportReport:
    records = list(_stamped(source, options.start_utc_ns or 0))
    counts = count_frames(iter(records), progress)
    is_dated = options.start_utc_ns is not None
    clock = ClockNote(
        source="start as the user said" if is_dated else "none: times are the messages' own since boot",
        is_utc_known=is_dated,
    )
    with open_flight(
        out,
        options,
        source=source,
        start_ns=counts.first_ns,
        telemetry_source=f"{source.name}, a MAVLink stream without time stamps; frames untouched, stamped by "
        "the time since boot in them",
        clock=clock,
        sources=[source_file(source)],
        notes=count_notes(counts),
    ) as writer:
        for time_ns, raw in records:
            writer.append_telemetry(time_ns, raw)
        return report(writer, "MAVLink stream", counts.as_dict())


def _stamped(source: Path, start_ns: int) -> Iterator[tuple[int, bytes]]:
    """Frames with the newest `time_boot_ms` heard so far, as time since the first one."""
    first_ms: int | None = None
    now_ns = 0
    for block, index in read_blocks(source, lead=0):
        data = block.tobytes()
        for offset, length in zip(index.offset.tolist(), index.length.tolist(), strict=True):
            raw = data[offset : offset + length]
            boot_ms = _boot_ms(raw)
            if boot_ms is not None:
                first_ms = boot_ms if first_ms is None else first_ms
                step_ns = (boot_ms - first_ms) * 1_000_000
                if now_ns <= step_ns <= now_ns + 60 * 10**9:
                    now_ns = step_ns
            yield start_ns + now_ns, raw


def _boot_ms(raw: bytes) -> int | None:
    """`time_boot_ms` where it comes first in the payload of an intact frame (trailing zeros may be cut)."""
    message = MESSAGES.get(message_id(raw))
    if message is None or message.fields[0].name != "time_boot_ms" or not is_intact(raw):
        return None
    start = 6 if raw[0] == STX_V1 else 10
    return int.from_bytes(raw[start : start + min(4, raw[1])], "little")


def copy_log(writer: FlightWriter, source: Path, counts: TelemetryCounts) -> None:
    """The log into the flight, byte for byte, with its count and span."""
    writer.copy_telemetry(source)
    writer.note_telemetry_count(counts.total)
    writer.note_times(counts.first_ns, counts.last_ns)


def log_clock(counts: TelemetryCounts) -> ClockNote:
    """Whether the log's stamps can be dates."""
    if counts.first_ns < _YEAR_2000_NS:
        words = "none: the log's time stamps lie before the year 2000 and count from an arbitrary start"
        return ClockNote(source=words, is_utc_known=False)
    return ClockNote(source="the log's own receive times", sigma_s=0.1)


def count_notes(counts: TelemetryCounts) -> list[str]:
    """What a user must know about the log."""
    notes = []
    if counts.bad_checksums:
        notes.append(
            f"{counts.bad_checksums} of {counts.total} MAVLink frames fail their checksum; kept, not used"
        )
    if counts.unknown:
        notes.append(
            f"{counts.unknown} MAVLink frames have ids that the dialect does not know; kept, not used"
        )
    if counts.stray_bytes:
        notes.append(f"{counts.stray_bytes} bytes of the log belong to no whole record (damage, or cut off)")
    if counts.last_ns - counts.first_ns > 48 * 3600 * 10**9:
        notes.append("the telemetry spans more than two days; its time stamps may be damaged")
    return notes


def _calibration_in(folder: Path) -> Path | None:
    for path in sorted(folder.glob("*.json")):
        try:
            read_calibration(path)
        except InputError:
            continue
        return path
    return None


def _exif_time_ns(path: Path) -> int | None:
    header = read_header(_head(path))
    return None if header is None else exif_time_ns(header, "")


def _size(path: Path) -> tuple[int, int]:
    header = read_header(_head(path))
    if header is None:
        raise InputError(f"{path}: is not an image whose size can be read")
    return header.width_px, header.height_px


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(HEADER_BYTES)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
