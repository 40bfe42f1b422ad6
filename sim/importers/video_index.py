"""What a video container holds, without decoding a picture: sizes, presentation times, data packets."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from sim.importers.options import Progress
from skywarden.errors import InputError

MAX_DATA_BYTES = 512_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True, slots=True)
class DataPacket:
    """One packet of a data stream; `time_s` is its own presentation time or that of the video around it."""

    stream_index: int
    time_s: float | None
    duration_s: float | None
    data: bytes


@dataclass(frozen=True, kw_only=True)
class VideoIndex:
    """One video file.

    Attributes:
        stream_index: the first video stream, `None` when there is no picture at all.
        time_base: seconds of one pts unit, as (numerator, denominator).
        pts: presentation times of every picture, rising.
        created_ns: the container's creation time as it stands there (cameras write local time into it too).
        handlers: name of each data stream's handler, by stream index.
    """

    path: Path
    stream_index: int | None
    width_px: int = 0
    height_px: int = 0
    codec: str = ""
    time_base: tuple[int, int] = (1, 1)
    pts: tuple[int, ...] = ()
    created_ns: int | None = None
    handlers: dict[int, str] = field(default_factory=dict)
    data: tuple[DataPacket, ...] = ()

    @property
    def times_s(self) -> list[float]:
        """Presentation times in seconds."""
        numerator, denominator = self.time_base
        return [each * numerator / denominator for each in self.pts]


def index_video(path: Path, progress: Progress) -> VideoIndex:
    """Walk through the whole file; raises `InputError` when it is no container that can be read."""
    try:
        container = av.open(str(path), metadata_errors="replace")
    except (av.FFmpegError, OSError) as error:
        raise InputError(f"{path}: cannot be opened as a video ({_reason(error)})") from error
    with container:
        pictures = [
            stream for stream in container.streams.video if stream.codec_context.name not in ("mjpeg", "png")
        ] or list(container.streams.video)
        video = pictures[0] if pictures else None
        if video is None and not container.streams.data:
            raise InputError(f"{path}: holds neither pictures nor metadata")
        pts, data = _walk(container, video, path, progress)
        handlers = {
            stream.index: stream.metadata.get("handler_name", "").strip() for stream in container.streams.data
        }
        created = _created_ns(container.metadata.get("creation_time", ""))
        if video is None:
            return VideoIndex(path=path, stream_index=None, data=data, handlers=handlers, created_ns=created)
        base = video.time_base or Fraction(1, 90_000)
        return VideoIndex(
            path=path,
            stream_index=video.index,
            width_px=video.codec_context.width,
            height_px=video.codec_context.height,
            codec=video.codec_context.name,
            time_base=(base.numerator, base.denominator),
            pts=tuple(sorted(set(pts))),
            created_ns=created,
            handlers=handlers,
            data=data,
        )


def _walk(
    container: Any, video: Any, path: Path, progress: Progress
) -> tuple[list[int], tuple[DataPacket, ...]]:
    pts: list[int] = []
    data: list[DataPacket] = []
    data_bytes = 0
    around: float | None = None
    total = path.stat().st_size
    wanted = [stream for stream in container.streams if stream is video or stream.type == "data"]
    for number, packet in enumerate(_packets(container, wanted, path)):
        if number % 500 == 0:
            progress(max(0, packet.pos or 0), total, "reading the video")
        if packet.size == 0:
            continue
        stamp = packet.pts if packet.pts is not None else packet.dts
        seconds = None if stamp is None else float(stamp * packet.time_base)
        if packet.stream is video:
            around = seconds if seconds is not None else around
            if stamp is not None:
                pts.append(stamp)
            continue
        data_bytes += packet.size
        if data_bytes > MAX_DATA_BYTES:
            raise InputError(f"{path}: more than {MAX_DATA_BYTES} bytes of metadata")
        data.append(
            DataPacket(
                stream_index=packet.stream.index,
                time_s=around if seconds is None else seconds,
                duration_s=float(packet.duration * packet.time_base) if packet.duration else None,
                data=bytes(packet),
            )
        )
    return pts, tuple(data)


def _packets(container: Any, streams: list[Any], path: Path) -> Iterator[Any]:
    packets = container.demux(streams)
    while True:
        try:
            packet = next(packets, None)
        except av.error.InvalidDataError:
            continue
        except av.FFmpegError as error:
            raise InputError(f"{path}: reading stopped ({_reason(error)})") from error
        if packet is None:
            return
        yield packet


def _created_ns(text: str) -> int | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None or moment.year < 2000:
        return None
    return (moment - _EPOCH) // (_EPOCH.resolution) * 1000


def _reason(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error))[:120]
