"""A flight's pictures as H.264 with their KLV packets in one MPEG-TS, or the packets alone.

The KLV lies in a private stream with the registration "KLVA" (stream type 0x06, asynchronous, as FFmpeg
writes it); each packet has the presentation time of its picture. Files appear whole or not at all.
"""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import av
import numpy as np

from sim.analyze import AnalyzeOptions, LookedAt, looks
from sim.motion_imagery.metadata import PacketOptions, SecurityMark, packet
from skywarden.errors import FlightError, UsageError
from skywarden.flight.decoding import Image
from skywarden.flight.reader import FlightReader
from skywarden.flight.schema import Sensor

Progress = Callable[[int, int, str], None]

_CLOCK_HZ = 90_000
_KEY_EVERY = 30


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageryReport:
    """What was written."""

    path: str
    frames: int
    packets: int
    detections: int
    has_unreviewed: bool
    problems: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageryOptions:
    """What goes along.

    Attributes:
        sensor_id: which camera; `None` for the only one.
        has_detections: the model's answers as ST 0903, marked as unreviewed.
        security: the ST 0102 set; `None` leaves it out.
        crf: quality of the video, as x264 counts it (less is better).
    """

    sensor_id: str | None = None
    has_detections: bool = True
    is_exercise: bool = False
    security: SecurityMark | None = None
    crf: int = 20


def export_imagery(
    flight: Path,
    out: Path,
    options: ImageryOptions | None = None,
    analysis: AnalyzeOptions | None = None,
    progress: Progress | None = None,
) -> ImageryReport:
    """Write the flight into the new file `out`: `.ts` with video, `.klv` the packets alone.

    Raises `FlightError` when the flight cannot be read, has no pictures, or `out` exists; `UsageError` for
    another ending or when several cameras are there and none is named.
    """
    options, analysis = options or ImageryOptions(), analysis or AnalyzeOptions()
    if out.suffix not in (".ts", ".klv"):
        raise UsageError(f"{out.name}: name a .ts file (video and metadata) or a .klv file (metadata alone)")
    if out.exists():
        raise FlightError(f"{out}: is already there; name a new file")
    reader = FlightReader(flight)
    sensor = _sensor(reader, options.sensor_id)
    said = PacketOptions(
        sortie_id=reader.info.sortie_id,
        platform_id=reader.info.platform_id,
        has_detections=options.has_detections,
        is_exercise=options.is_exercise,
        security=options.security,
        surface=analysis.surface,
    )
    total = (reader.info.frame_counts or {}).get(sensor.sensor_id, 0)
    part = out.with_name(out.name + ".part")
    frames = detections = 0
    try:
        with part.open("wb") as file:
            writer: _Writer = _Stream(file, options.crf) if out.suffix == ".ts" else _Bare(file)
            for look in looks(flight, sensor.sensor_id, analysis):
                writer.put(look.time_ns, look.image, packet(look, said))
                frames += 1
                detections += _count(look) if options.has_detections else 0
                if progress is not None:
                    progress(frames, total, f"{sensor.sensor_id} frame {frames}")
            writer.finish()
        if not frames:
            raise FlightError(f"{flight}: no picture of {sensor.sensor_id} could be read")
        part.rename(out)
    except OSError as error:
        raise FlightError(f"{out}: cannot be written ({error.strerror or error})") from error
    finally:
        part.unlink(missing_ok=True)
    return ImageryReport(
        path=str(out),
        frames=frames,
        packets=frames,
        detections=detections,
        has_unreviewed=options.has_detections,
        problems=tuple(reader.problems),
    )


class _Writer(Protocol):
    def put(self, time_ns: int, image: Image, klv: bytes) -> None:
        """One picture and what is said of it."""
        ...

    def finish(self) -> None:
        """Write what waits."""
        ...


class _Bare:
    def __init__(self, file: Any) -> None:
        self._file = file

    def put(self, time_ns: int, image: Image, klv: bytes) -> None:
        self._file.write(klv)

    def finish(self) -> None:
        pass


class _Stream:
    """The PyAV side; stamps count 90 kHz from the first picture and always grow."""

    def __init__(self, file: Any, crf: int) -> None:
        self._file, self._crf = file, crf
        self._base = Fraction(1, _CLOCK_HZ)
        self._container: Any = None
        self._video: Any = None
        self._data: Any = None
        self._first_ns = 0
        self._last_pts = -1

    def put(self, time_ns: int, image: Image, klv: bytes) -> None:
        if self._container is None:
            self._open(time_ns, image)
        pts = max(round((time_ns - self._first_ns) * _CLOCK_HZ / 1e9), self._last_pts + 1)
        self._last_pts = pts
        height, width = self._video.height, self._video.width
        if image.shape[0] < height or image.shape[1] < width:
            raise FlightError(
                f"a picture of {image.shape[1]} x {image.shape[0]} in a video of {width} x {height}"
            )
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image[:height, :width]), format="bgr24")
        frame.pts, frame.time_base = pts, self._base
        made = av.Packet(klv)
        made.stream, made.pts, made.dts, made.time_base = self._data, pts, pts, self._base
        try:
            self._container.mux(made)
            for each in self._video.encode(frame):
                self._container.mux(each)
        except av.FFmpegError as error:
            raise FlightError(f"the MPEG-TS stream broke ({error})") from error

    def finish(self) -> None:
        if self._container is None:
            return
        try:
            for each in self._video.encode(None):
                self._container.mux(each)
            self._container.close()
        except av.FFmpegError as error:
            raise FlightError(f"the MPEG-TS stream broke ({error})") from error

    def _open(self, time_ns: int, image: Image) -> None:
        height, width = (int(side) - int(side) % 2 for side in image.shape[:2])
        self._first_ns = time_ns
        try:
            self._container = av.open(self._file, "w", format="mpegts")
            self._video = self._container.add_stream("libx264", rate=30)
            self._video.width, self._video.height, self._video.pix_fmt = width, height, "yuv420p"
            self._video.codec_context.time_base = self._base
            self._video.options = {
                "preset": "veryfast",
                "tune": "zerolatency",
                "crf": str(self._crf),
                "g": str(_KEY_EVERY),
            }
            self._data = self._container.add_data_stream("klv")
            self._data.time_base = self._base
        except av.FFmpegError as error:
            raise FlightError(f"the MPEG-TS stream cannot be opened ({error})") from error


def _sensor(reader: FlightReader, sensor_id: str | None) -> Sensor:
    if sensor_id is not None:
        return reader.info.sensor(sensor_id)
    found = [sensor for sensor in reader.info.sensors if sensor.media]
    if not found:
        raise FlightError(f"{reader.path}: the flight has no pictures; there is nothing to show")
    if len(found) > 1:
        names = ", ".join(sensor.sensor_id for sensor in found)
        raise UsageError(f"the flight has several cameras ({names}); name one with --sensor")
    return found[0]


def _count(look: LookedAt) -> int:
    return len(look.outcome.batch)
