"""Reads a flight folder, also one that was cut off: what is missing is said, the rest is given."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from skywarden.errors import FlightError, InputError
from skywarden.flight.decoding import Image, read_image, read_video
from skywarden.flight.schema import (
    AIS,
    FLIGHT_JSON,
    FRAMES,
    MANIFEST,
    MAX_FLIGHT_JSON_BYTES,
    MAX_LINE_BYTES,
    TELEMETRY,
    FlightInfo,
    FrameLine,
    VideoFile,
    check_relative,
    decode_info,
    safe_path,
)
from skywarden.geometry.camera import CameraModel
from skywarden.mavlink.tlog import read_tlog

_MAX_PROBLEMS = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class FrameRef:
    """Where one frame's pixels lie: an image file, or the picture at `pts` (`pts_s` seconds) of a video."""

    sensor_id: str
    frame_number: int
    time_ns: int
    path: Path
    pts: int | None = None
    pts_s: float | None = None


class FlightReader:
    """One flight folder.

    `problems` are sentences about what is missing or damaged; it grows while reading goes on. Opening raises
    `FlightError` only when `flight.json` is missing or does not fit.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problems: list[str] = []
        self.info = self._read_info()
        self._line_decoder = msgspec.json.Decoder(FrameLine)
        self._time_bases = {
            media.path: media.time_base
            for sensor in self.info.sensors
            for media in sensor.media
            if isinstance(media, VideoFile)
        }
        self._folders: dict[str, Path] = {}
        self._note_what_is_missing()

    @property
    def is_complete(self) -> bool:
        """The recorder closed the flight and its manifest stands."""
        return self.info.state == "complete" and (self.path / MANIFEST).is_file()

    def telemetry(self) -> Iterator[tuple[int, bytes]]:
        """Each raw MAVLink frame with its time (UTC ns) in recorded order; damage is stepped over."""
        path = safe_path(self.path, TELEMETRY)
        if not path.is_file() or path.stat().st_size == 0:
            return
        try:
            yield from read_tlog(path)
        except InputError as error:
            self._note(f"{TELEMETRY} holds nothing that can be read: {error}")

    def frames(self, sensor_id: str | None = None) -> Iterator[FrameRef]:
        """The frames of one sensor (or of all) in recorded order; raises `FlightError` on a bad line."""
        if sensor_id is not None:
            self.info.sensor(sensor_id)
        path = safe_path(self.path, FRAMES)
        if not path.is_file():
            return
        last: dict[str, int] = {}
        with path.open("rb") as file:
            number = 0
            while line := file.readline(MAX_LINE_BYTES + 1):
                number += 1
                if not line.endswith(b"\n"):
                    if len(line) > MAX_LINE_BYTES:
                        raise FlightError(f"{path}: line {number} is over {MAX_LINE_BYTES} bytes")
                    self._note(f"{FRAMES}: the last line ({number}) was cut off and is left out")
                    return
                frame = self._frame(line, f"{path}: line {number}", last)
                if sensor_id is None or frame.sensor_id == sensor_id:
                    yield frame

    def images(self, sensor_id: str, *, threads: int = 1) -> Iterator[tuple[FrameRef, Image]]:
        """Each frame with its pixels, (H, W, 3) uint8 BGR, in recorded order.

        A picture that is missing or cannot be decoded is left out and told in `problems`.
        """
        waiting: dict[Path, dict[int, FrameRef]] = {}
        for frame in self.frames(sensor_id):
            if frame.pts is not None:
                waiting.setdefault(frame.path, {})[frame.pts] = frame
                continue
            try:
                image = read_image(frame.path)
            except FlightError as error:
                self._note(f"frame {frame.frame_number} of {sensor_id} is left out: {error}")
                continue
            yield frame, image
        for path, by_pts in waiting.items():
            yield from self._pictures(sensor_id, path, by_pts, threads)

    def camera(self, sensor_id: str) -> CameraModel | None:
        """The sensor's calibrated camera, or `None` where the flight has none."""
        tree = self.info.sensor(sensor_id).camera
        return None if tree is None else CameraModel.from_jsonable(tree)

    def ais(self) -> Iterator[str]:
        """The lines of `ais.nmea`, where there is one."""
        path = safe_path(self.path, AIS)
        if not path.is_file():
            return
        with path.open("rb") as file:
            while line := file.readline(MAX_LINE_BYTES + 1):
                text = line.decode("ascii", "replace").strip()
                if text:
                    yield text

    def _read_info(self) -> FlightInfo:
        path = self.path / FLIGHT_JSON
        if not path.is_file():
            raise FlightError(f"{self.path}: has no {FLIGHT_JSON}; it is not a flight folder")
        size = path.stat().st_size
        if size > MAX_FLIGHT_JSON_BYTES:
            raise FlightError(f"{path}: {size} bytes is over the limit of {MAX_FLIGHT_JSON_BYTES}")
        try:
            return decode_info(path.read_bytes(), str(path))
        except OSError as error:
            raise FlightError(f"{path}: cannot be read ({error.strerror})") from error

    def _note_what_is_missing(self) -> None:
        if self.info.state != "complete":
            self._note("the recording was cut off before it was closed; counts and manifest are missing")
        elif not (self.path / MANIFEST).is_file():
            self._note(f"{MANIFEST} is missing; nothing proves that the files are as they were written")
        if not (self.path / TELEMETRY).is_file():
            self._note(f"{TELEMETRY} is missing; frames have no pose")
        for sensor in self.info.sensors:
            for media in sensor.media:
                if not safe_path(self.path, media.path).exists():
                    self._note(f"{media.path} of sensor {sensor.sensor_id} is missing")
        if any(sensor.media for sensor in self.info.sensors) and not (self.path / FRAMES).is_file():
            self._note(f"{FRAMES} is missing; frames have no time")

    def _frame(self, line: bytes, origin: str, last: dict[str, int]) -> FrameRef:
        try:
            entry = self._line_decoder.decode(line)
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            raise FlightError(f"{origin}: not a frame: {error}") from error
        if entry.frame_number <= last.get(entry.sensor_id, -1):
            raise FlightError(
                f"{origin}: frame {entry.frame_number} of {entry.sensor_id} after {last[entry.sensor_id]}"
            )
        last[entry.sensor_id] = entry.frame_number
        pts_s = None
        if entry.video is not None and entry.pts is not None:
            if entry.video not in self._time_bases:
                raise FlightError(f"{origin}: no sensor has the video {entry.video[:80]!r}")
            numerator, denominator = self._time_bases[entry.video]
            pts_s = entry.pts * numerator / denominator
        return FrameRef(
            sensor_id=entry.sensor_id,
            frame_number=entry.frame_number,
            time_ns=entry.time_ns,
            path=self._safe(entry.file or entry.video or ""),
            pts=entry.pts,
            pts_s=pts_s,
        )

    def _safe(self, name: str) -> Path:
        """As `safe_path`, but each folder is resolved once: a flight has a hundred thousand files in one."""
        folder, _, last = check_relative(name).rpartition("/")
        if folder and folder not in self._folders:
            self._folders[folder] = safe_path(self.path, folder)
        full = self._folders[folder] / last if folder else self.path / last
        return safe_path(self.path, name) if full.is_symlink() else full

    def _pictures(
        self, sensor_id: str, path: Path, by_pts: dict[int, FrameRef], threads: int
    ) -> Iterator[tuple[FrameRef, Image]]:
        streams = {
            media.path: media.stream_index
            for media in self.info.sensor(sensor_id).media
            if isinstance(media, VideoFile)
        }
        name = path.relative_to(self.path).as_posix()
        if name not in streams:
            raise FlightError(f"{name} is not a video of sensor {sensor_id}")
        unlisted = 0
        for pts, image in read_video(path, streams[name], threads=threads):
            frame = None if pts is None else by_pts.pop(pts, None)
            if frame is None:
                unlisted += 1
            else:
                yield frame, image
        if by_pts:
            self._note(f"{name}: {len(by_pts)} of its listed pictures could not be decoded and are left out")
        if unlisted:
            self._note(f"{name}: {unlisted} pictures have no line in {FRAMES}, so no time, and are left out")

    def _note(self, sentence: str) -> None:
        if sentence not in self.problems and len(self.problems) < _MAX_PROBLEMS:
            self.problems.append(sentence)
