"""Writes a flight folder while the flight goes on, so that a cut leaves a folder which still opens.

Order makes it safe: `flight.json` (state "recording") comes first; an image is complete under its name before
its line stands in `frames.jsonl`; the manifest comes last, when every byte has reached the disk. Hashes are
taken of the bytes as they pass, so closing does not read the recording again.
"""

import contextlib
import hashlib
import os
import shutil
import struct
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import IO, Self, TypeVar

import msgspec

from skywarden.durable import replace_durably, sync
from skywarden.errors import FlightError
from skywarden.flight.schema import (
    AIS,
    FLIGHT_JSON,
    FRAMES,
    MANIFEST,
    MAX_FLIGHT_JSON_BYTES,
    MAX_IMAGE_BYTES,
    TELEMETRY,
    ClockNote,
    FlightInfo,
    FrameLine,
    ImageFolder,
    Media,
    Sensor,
    SourceFile,
    VideoFile,
    check_relative,
    encode_info,
    safe_path,
)

MAX_MAVLINK_BYTES = 280
_COPY_BYTES = 1 << 20
_STAMP = struct.Struct(">Q")
_IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".bmp"})
_RESERVED = frozenset({FLIGHT_JSON, MANIFEST, TELEMETRY, FRAMES, AIS})


class _HashedFile:
    """A file that is only appended to and knows the SHA-256 of what it was given."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._sha256 = hashlib.sha256()
        try:
            self._file: IO[bytes] = path.open("xb")
        except OSError as error:
            raise _disk_error(path, error) from error

    def append(self, data: bytes) -> None:
        try:
            self._file.write(data)
        except OSError as error:
            raise _disk_error(self._path, error) from error
        self._sha256.update(data)

    def flush(self, *, is_durable: bool) -> None:
        try:
            self._file.flush()
            if is_durable:
                os.fsync(self._file.fileno())
        except OSError as error:
            raise _disk_error(self._path, error) from error

    def close(self) -> str:
        try:
            self.flush(is_durable=True)
        finally:
            with contextlib.suppress(OSError):  # it tries once more to write, and lets go in any case
                self._file.close()
        return self._sha256.hexdigest()


class FlightWriter:
    """Writes one flight. One thread at a time; `close` (or leaving the `with`) completes it.

    Every method raises `FlightError` when the disk refuses, with the reason; what was written before stays
    readable. Leaving the `with` by an exception stops without a manifest: the folder tells that it was cut.
    """

    def __init__(
        self,
        path: Path,
        *,
        sortie_id: str,
        platform_id: str,
        telemetry_source: str,
        clock: ClockNote,
        sensors: Iterable[Sensor] = (),
        sources: Iterable[SourceFile] = (),
        notes: Iterable[str] = (),
    ) -> None:
        """Make the folder `path` (it may exist when it is empty) and put `flight.json` into it."""
        self.path = path
        self._info = _checked(
            FlightInfo(
                sortie_id=sortie_id,
                platform_id=platform_id,
                telemetry_source=telemetry_source,
                clock=clock,
                sensors=tuple(sensors),
                sources=tuple(sources),
                notes=tuple(notes),
            )
        )
        self._hashes: dict[str, str] = {}
        self._open: dict[str, _HashedFile] = {}
        self._encoder = msgspec.json.Encoder()
        self._numbers: dict[str, int] = {}
        self._frame_counts: dict[str, int] = {}
        self._telemetry_count: int | None = 0
        self._times: tuple[int, int] | None = None
        self._is_closed = False
        self._not_yet_durable: list[Path] = []
        try:
            path.mkdir(parents=True, exist_ok=True)
            if any(path.iterdir()):
                raise FlightError(f"{path}: the folder is not empty; a flight is written into a new one")
        except OSError as error:
            raise _disk_error(path, error) from error
        self._write_info()

    @property
    def info(self) -> FlightInfo:
        """What `flight.json` says now."""
        return self._info

    def update_info(
        self,
        *,
        telemetry_source: str | None = None,
        clock: ClockNote | None = None,
        sources: Iterable[SourceFile] | None = None,
        notes: Iterable[str] | None = None,
    ) -> None:
        """Replace what became better known, and rewrite `flight.json` in one step."""
        info = self._info
        self._info = _checked(
            info,
            telemetry_source=info.telemetry_source if telemetry_source is None else telemetry_source,
            clock=clock or info.clock,
            sources=info.sources if sources is None else tuple(sources),
            notes=info.notes if notes is None else tuple(notes),
        )
        self._write_info()

    def set_sensor(self, sensor: Sensor) -> None:
        """Add a sensor or replace the one of that name; media that were already recorded are kept."""
        check_relative(sensor.sensor_id)
        known = {each.sensor_id: each for each in self._info.sensors}
        before = known.get(sensor.sensor_id)
        if before is not None:
            media = before.media + tuple(each for each in sensor.media if each not in before.media)
            sensor = _checked(sensor, media=media)
        known[sensor.sensor_id] = sensor
        self._info = _checked(self._info, sensors=tuple(known.values()))
        self._write_info()

    def append_telemetry(self, time_ns: int, frame: bytes | memoryview) -> None:
        """Append one raw MAVLink frame as it was heard at `time_ns` (UTC ns)."""
        if not 0 < len(frame) <= MAX_MAVLINK_BYTES:
            raise FlightError(f"a MAVLink frame of {len(frame)} bytes; 1 to {MAX_MAVLINK_BYTES} are possible")
        if not 0 <= time_ns < 1 << 63:
            raise FlightError(f"a telemetry time of {time_ns} ns cannot be written")
        self._file(TELEMETRY).append(_STAMP.pack(time_ns // 1000) + bytes(frame))
        if self._telemetry_count is not None:
            self._telemetry_count += 1
        self._note_time(time_ns)

    def copy_telemetry(self, source: Path) -> SourceFile:
        """Take a whole tlog as it is, byte for byte."""
        if TELEMETRY in self._open or TELEMETRY in self._hashes:
            raise FlightError(f"{self.path}: there already is telemetry; {source.name} cannot be put over it")
        copied = self._copy(source, TELEMETRY)
        self._telemetry_count = None
        return copied

    def add_frame(
        self,
        sensor_id: str,
        frame_number: int,
        time_ns: int,
        image: bytes | Path,
        *,
        suffix: str = ".jpg",
        name: str | None = None,
    ) -> FrameLine:
        """Keep one image of `sensor_id` taken at `time_ns`: encoded bytes, or a file to copy untouched.

        Frame numbers of a sensor rise. `suffix` names the format of bytes; a file keeps its own.
        `name` (without folder and suffix) is the file's name in the flight instead of the frame number.
        """
        self._check_number(sensor_id, frame_number)
        suffix = (image.suffix if isinstance(image, Path) else suffix).lower()
        if suffix not in _IMAGE_SUFFIXES:
            raise FlightError(f"images end in one of {', '.join(sorted(_IMAGE_SUFFIXES))}, not {suffix!r}")
        folder = f"frames/{sensor_id}"
        path = f"{folder}/{name or format(frame_number, '09d')}{suffix}"
        if isinstance(image, Path):
            self._copy(image, path, limit_bytes=MAX_IMAGE_BYTES)
        else:
            self._put(path, image, limit_bytes=MAX_IMAGE_BYTES)
        self._add_media(sensor_id, ImageFolder(path=folder))
        line = FrameLine(sensor_id=sensor_id, frame_number=frame_number, time_ns=time_ns, file=path)
        self._append_line(line)
        return line

    def add_video(
        self,
        sensor_id: str,
        source: Path,
        *,
        stream_index: int,
        time_base: tuple[int, int],
        codec: str = "",
        frames: int | None = None,
    ) -> str:
        """Copy a video untouched and hang it on the sensor; returns its path inside the flight."""
        check_relative(sensor_id)
        known = sum(isinstance(media, VideoFile) for media in self._info.sensor(sensor_id).media)
        name = f"video/{sensor_id}{f'-{known + 1}' if known else ''}{source.suffix.lower()}"
        self._copy(source, name)
        self._add_media(
            sensor_id,
            VideoFile(
                path=name, stream_index=stream_index, time_base=time_base, codec=codec[:64], frames=frames
            ),
        )
        return name

    def add_video_frame(
        self, sensor_id: str, frame_number: int, time_ns: int, *, video: str, pts: int
    ) -> FrameLine:
        """Say that the picture at `pts` of `video` (as `add_video` named it) was taken at `time_ns`."""
        self._check_number(sensor_id, frame_number)
        line = FrameLine(
            sensor_id=sensor_id, frame_number=frame_number, time_ns=time_ns, video=video, pts=pts
        )
        self._append_line(line)
        return line

    def append_ais(self, line: str) -> None:
        """Append one AIS sentence (with its TAG block where it has one) to `ais.nmea`."""
        data = line.strip().encode("ascii", "replace")
        if not 0 < len(data) <= 512 or b"\n" in data or b"\r" in data:
            raise FlightError(f"an AIS line of {len(data)} bytes; one line of 1 to 512 is possible")
        self._file(AIS).append(data + b"\r\n")

    def add_file(self, name: str, content: bytes | Path) -> SourceFile:
        """Keep any other file of the flight under `name` (truth.geojson, plan.plan, outputs)."""
        if check_relative(name) in _RESERVED:
            raise FlightError(f"{name} is written by its own method")
        if isinstance(content, Path):
            return self._copy(content, name)
        return self._put(name, content, limit_bytes=None)

    def flush(self, *, is_durable: bool = False) -> None:
        """Hand what is buffered to the operating system; `is_durable` waits until the disk has it."""
        for file in self._open.values():
            file.flush(is_durable=is_durable)
        if is_durable:
            for path in self._not_yet_durable:
                _sync(path)
            self._not_yet_durable.clear()

    def close(self) -> FlightInfo:
        """Complete the flight: counts into `flight.json`, then the manifest. Safe to call twice."""
        if self._is_closed:
            return self._info
        if TELEMETRY not in self._hashes:
            self._file(TELEMETRY)
        self._close_files()
        self._info = _checked(
            self._info,
            state="complete",
            start_ns=self._times[0] if self._times else None,
            end_ns=self._times[1] if self._times else None,
            telemetry_count=self._telemetry_count,
            frame_counts=dict(sorted(self._frame_counts.items())),
        )
        self._write_info()
        self._write_manifest()
        self._is_closed = True
        return self._info

    def abandon(self) -> None:
        """Stop without completing: what is there stays, and tells that it was cut off."""
        if not self._is_closed:
            self._close_files()
            self._is_closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abandon()

    def note_times(self, first_ns: int, last_ns: int) -> None:
        """Widen the flight's span, for telemetry that was copied whole."""
        self._note_time(first_ns)
        self._note_time(last_ns)

    def note_telemetry_count(self, count: int) -> None:
        """Say how many MAVLink frames stand in telemetry that was copied whole."""
        self._telemetry_count = count

    def _note_time(self, time_ns: int) -> None:
        first, last = self._times or (time_ns, time_ns)
        self._times = (min(first, time_ns), max(last, time_ns))

    def _check_number(self, sensor_id: str, frame_number: int) -> None:
        check_relative(sensor_id)
        self._info.sensor(sensor_id)
        last = self._numbers.get(sensor_id, -1)
        if frame_number <= last:
            raise FlightError(f"frame {frame_number} of {sensor_id} comes after frame {last}; numbers rise")

    def _append_line(self, line: FrameLine) -> None:
        file = self._file(FRAMES)
        file.append(self._encoder.encode(line) + b"\n")
        file.flush(is_durable=False)
        self._numbers[line.sensor_id] = line.frame_number
        self._frame_counts[line.sensor_id] = self._frame_counts.get(line.sensor_id, 0) + 1
        self._note_time(line.time_ns)

    def _add_media(self, sensor_id: str, media: Media) -> None:
        sensor = self._info.sensor(sensor_id)
        if media not in sensor.media:
            self.set_sensor(_checked(sensor, media=(*sensor.media, media)))

    def _file(self, name: str) -> _HashedFile:
        if self._is_closed:
            raise FlightError(f"{self.path}: the flight is closed")
        if name in self._hashes:
            raise FlightError(f"{self.path / name}: was copied whole and cannot be appended to")
        if name not in self._open:
            self._open[name] = _HashedFile(self.path / name)
        return self._open[name]

    def _put(self, name: str, data: bytes, *, limit_bytes: int | None) -> SourceFile:
        if limit_bytes is not None and len(data) > limit_bytes:
            raise FlightError(f"{name}: {len(data)} bytes is over the limit of {limit_bytes}")
        full = self._place_for(name)
        part = full.with_name(full.name + ".part")
        try:
            part.write_bytes(data)
            part.rename(full)
        except OSError as error:
            raise _disk_error(full, error) from error
        self._not_yet_durable.append(full)
        self._hashes[name] = hashlib.sha256(data).hexdigest()
        return SourceFile(name=name, sha256=self._hashes[name], size_bytes=len(data))

    def _copy(self, source: Path, name: str, *, limit_bytes: int | None = None) -> SourceFile:
        full = self._place_for(name)
        part = full.with_name(full.name + ".part")
        digest = hashlib.sha256()
        count = 0
        try:
            with source.open("rb") as reader, part.open("xb") as writer:
                while block := reader.read(_COPY_BYTES):
                    count += len(block)
                    if limit_bytes is not None and count > limit_bytes:
                        raise FlightError(f"{source}: over the limit of {limit_bytes} bytes for {name}")
                    digest.update(block)
                    writer.write(block)
            shutil.copystat(source, part)
            part.chmod(0o644)
            part.rename(full)
        except OSError as error:
            raise _disk_error(full, error) from error
        finally:
            part.unlink(missing_ok=True)
        self._not_yet_durable.append(full)
        self._hashes[name] = digest.hexdigest()
        return SourceFile(name=source.name, sha256=self._hashes[name], size_bytes=count)

    def _place_for(self, name: str) -> Path:
        if self._is_closed:
            raise FlightError(f"{self.path}: the flight is closed")
        full = safe_path(self.path, name)
        if name in self._hashes or full.exists():
            raise FlightError(f"{full}: is already there")
        try:
            full.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _disk_error(full.parent, error) from error
        return full

    def _write_info(self) -> None:
        data = encode_info(self._info)
        if len(data) > MAX_FLIGHT_JSON_BYTES:
            raise FlightError(f"{FLIGHT_JSON} would have {len(data)} bytes, over {MAX_FLIGHT_JSON_BYTES}")
        self._replace(FLIGHT_JSON, data)
        self._hashes[FLIGHT_JSON] = hashlib.sha256(data).hexdigest()

    def _write_manifest(self) -> None:
        self.flush(is_durable=True)
        lines = [f"{self._hashes[name]}  {name}\n" for name in sorted(self._hashes)]
        self._replace(MANIFEST, "".join(lines).encode())

    def _replace(self, name: str, data: bytes) -> None:
        full = self.path / name
        try:
            replace_durably(full, data)
        except OSError as error:
            raise _disk_error(full, error) from error

    def _close_files(self) -> None:
        """Close every file, also when one of them refuses; then raise what the first one said."""
        refusals: list[FlightError] = []
        for name, file in self._open.items():
            try:
                self._hashes[name] = file.close()
            except FlightError as error:
                refusals.append(error)
        self._open.clear()
        if refusals:
            raise refusals[0]


_StructT = TypeVar("_StructT", bound=msgspec.Struct)


def _checked(value: _StructT, **changes: object) -> _StructT:
    """`value` with `changes`, held against its own limits (`structs.replace` alone does not check them)."""
    changed = msgspec.structs.replace(value, **changes)
    try:
        return msgspec.convert(msgspec.to_builtins(changed), type(value))
    except msgspec.ValidationError as error:
        raise FlightError(f"a flight cannot be described so: {error}") from error


def _disk_error(path: Path, error: OSError) -> FlightError:
    return FlightError(f"{path}: cannot be written ({error.strerror or error})")


def _sync(path: Path) -> None:
    try:
        sync(path)
    except OSError as error:
        raise _disk_error(path, error) from error
