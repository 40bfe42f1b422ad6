"""Video through PyAV: files, RTSP, and MPEG-TS over UDP or TCP; decoded always, converted only when asked."""

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, cast

import av
import av.container
import av.error
import numpy as np
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from edge.cameras.address import CameraAddress, redacted
from edge.cameras.config import CameraConfig
from edge.cameras.frame import U8, U16, CameraFrame, ConvertedPixels, Pixels, TimeBasis
from edge.cameras.gain import GainControl
from edge.cameras.image_times import parse_rfc3339
from edge.cameras.source import FrameMaker
from edge.cameras.timeline import LiveTimeline
from skywarden.clock import NS_PER_S, Clock
from skywarden.errors import CameraError

_LUMA_FIRST = frozenset(
    {"yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p", "nv12", "nv21", "gray"}
)
_SIXTEEN_BIT = frozenset({"gray16le", "gray16be", "gray10le", "gray12le", "gray14le"})
_FILE_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,mpegts,mpeg,avi,h264,hevc,mpegvideo,m4v,mjpeg,flv,asf,nut,ivf,mxf"
)
_MAX_DAMAGED_IN_A_ROW = 300
_MAX_NEW_STREAMS = 100


class AvPixels(ConvertedPixels):
    """A decoded frame of a stream; `luma` is a view of its Y plane."""

    def __init__(self, frame: VideoFrame, converter: "Converter") -> None:
        super().__init__(frame.width, frame.height)
        self._frame = frame
        self._converter = converter

    def luma(self) -> U8:
        """Shape (H, W): the Y plane as it lies in the decoder's buffer where there is one."""
        if self._frame.format.name not in _LUMA_FIRST:
            return self._converter.grey(self._frame)
        plane = self._frame.planes[0]
        rows = np.frombuffer(cast(Any, plane), np.uint8).reshape(plane.height, plane.line_size)
        return rows[:, : plane.width]

    def _converted(self) -> U8:
        return self._converter.bgr(self._frame)


class Converter:
    """Colour conversion that keeps its tables; frames of one source share it across threads."""

    def __init__(self, *, keeps_upper_field: bool) -> None:
        self._keeps_upper_field = keeps_upper_field
        self._reformatter = VideoReformatter()
        self._lock = threading.Lock()

    def bgr(self, frame: VideoFrame) -> U8:
        """Shape (H, W, 3); an interlaced frame shows one instant only, if so configured."""
        image = self._as_array(frame, "bgr24")
        if frame.interlaced_frame and self._keeps_upper_field:
            image = upper_field_only(image)
        return image

    def grey(self, frame: VideoFrame) -> U8:
        """Shape (H, W)."""
        return self._as_array(frame, "gray")

    def _as_array(self, frame: VideoFrame, name: str) -> U8:
        with self._lock:
            try:
                return cast(U8, self._reformatter.reformat(frame, format=name).to_ndarray())
            except (av.error.FFmpegError, ValueError) as error:
                raise CameraError(
                    f"a {frame.width}x{frame.height} frame of format {frame.format.name} "
                    f"cannot be converted to {name}: {error}"
                ) from error


def upper_field_only(image: U8) -> U8:
    """`image` (H, W, C) with every odd line replaced by the mean of its neighbours, which are of one instant.

    The geometry stays exact: the lines that are kept lie where they lay.
    """
    result = image.copy()
    above, below = image[0:-2:2], image[2::2]
    result[1 : 2 * len(above) : 2] = (above.astype(np.uint16) + below + 1) >> 1
    if image.shape[0] % 2 == 0:
        result[-1] = image[-2]
    return result


class AvSource:
    """One video stream. Live streams are read as they come; files at their own pace or as fast as asked."""

    def __init__(self, config: CameraConfig, address: CameraAddress, clock: Clock) -> None:
        self._config = config
        self._address = address
        self._clock = clock
        self._maker = FrameMaker(config)
        self._gain = GainControl(config.gain)
        self._timeline = LiveTimeline(config.latency_s)
        self._converter = Converter(keeps_upper_field=config.interlaced == "upper_field")
        self._container: av.container.InputContainer | None = None
        self._frames: Iterator[VideoFrame] = iter(())
        self._pending: VideoFrame | None = None
        self._start_ns = 0
        self._basis: TimeBasis = "arrival"
        self._first_pts_s: float | None = None
        self._last_pts_s = 0.0
        self._opened_mono_ns = 0
        self._damaged = 0
        self._is_finished = False

    @property
    def is_finished(self) -> bool:
        """A file came to its end."""
        return self._is_finished

    @property
    def waits_for_demand(self) -> bool:
        """Frames are read as they come."""
        return False

    @property
    def received_count(self) -> int:
        """Frames decoded since `open`."""
        return self._maker.count

    @property
    def damaged_count(self) -> int:
        """Packets that did not decode since `open`."""
        return self._damaged

    def open(self) -> None:
        """Connect and find the video stream; raises `CameraError`."""
        shown = redacted(self._config.url)
        try:
            container = self._opened()
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise CameraError(f"{shown}: cannot be opened: {_reason(error)}") from error
        self._container = container
        if not container.streams.video:
            self.close()
            raise CameraError(f"{shown}: has no video stream ({len(container.streams)} other streams)")
        codec = container.streams.video[0].codec_context
        if codec.width * codec.height > self._config.max_pixels:
            self.close()
            raise CameraError(
                f"{shown}: {codec.width}x{codec.height} is over the limit of {self._config.max_pixels} pixels"
            )
        codec.options = {"max_pixels": str(self._config.max_pixels)}
        codec.thread_count = self._config.decode_threads
        codec.thread_type = "AUTO" if self._config.decode_threads > 1 else "NONE"
        self._start_ns, self._basis = self._start_of(container)
        self._opened_mono_ns = self._clock.monotonic_ns()
        self._frames = self._decoded(container)

    def read(self, wait_s: float) -> CameraFrame | None:
        """The next frame; for a file at its own pace `None` when it is not due within `wait_s`."""
        if self._container is None:
            raise CameraError(f"{redacted(self._config.url)}: is not open")
        if self._pending is None:
            self._pending = next(self._frames, None)
            if self._pending is None:
                self._end()
                return None
        if not self._is_due(self._pending, wait_s):
            return None
        frame, self._pending = self._pending, None
        return self._made(frame)

    def poll(self) -> None:
        """Nothing to do: `read` keeps the counts."""

    def abort(self) -> None:
        """A native read ends by its own limit; a stream that may hang runs in a process of its own."""

    def close(self) -> None:
        """Let go of the stream."""
        self._frames = iter(())
        self._pending = None
        container, self._container = self._container, None
        if container is not None:
            container.close()

    def _opened(self) -> av.container.InputContainer:
        config, kind = self._config, self._address.kind
        # Each kind may speak only its own protocols: a playlist must not reach out to other hosts or files.
        options = {"protocol_whitelist": "file", "format_whitelist": _FILE_FORMATS}
        file_format = None
        target = self._address.target
        if kind == "rtsp":
            options = {
                "protocol_whitelist": "rtsp,rtsps,rtp,rtcp,udp,tcp,tls,srtp",
                "rtsp_transport": config.rtsp_transport,
                "fflags": "nobuffer",
                "max_delay": "200000",
                "timeout": str(round(config.read_timeout_s * 1e6)),
            }
        elif kind == "mpegts":
            file_format = "mpegts"
            options = {"protocol_whitelist": "udp,tcp", "fflags": "nobuffer"}
            if target.startswith("udp://"):
                options |= {"buffer_size": "4194304", "fifo_size": "50000", "overrun_nonfatal": "1"}
        else:
            target = "file:" + target
        return av.open(
            target,
            mode="r",
            format=file_format,
            options=options,
            timeout=(config.open_timeout_s, config.read_timeout_s),
            metadata_errors="replace",
        )

    def _start_of(self, container: av.container.InputContainer) -> tuple[int, TimeBasis]:
        if self._address.is_live:
            return 0, "arrival"
        if self._config.start_time:
            return parse_rfc3339(self._config.start_time), "config"
        for metadata in (container.streams.video[0].metadata, container.metadata):
            told_ns = _creation_ns(metadata.get("creation_time", ""))
            if told_ns is not None:
                return told_ns, "container"
        return self._clock.utc_ns(), "opened"

    def _decoded(self, container: av.container.InputContainer) -> Iterator[VideoFrame]:
        stream = container.streams.video[0]
        in_a_row = 0
        for packet in self._packets(container, stream):
            try:
                frames = packet.decode()
            except av.error.EOFError:  # the decoder was told of the end before
                return
            except (av.error.InvalidDataError, av.error.BugError, av.error.PatchWelcomeError):
                self._damaged += 1
                in_a_row += 1
                if in_a_row > _MAX_DAMAGED_IN_A_ROW:
                    raise CameraError(
                        f"{redacted(self._config.url)}: {in_a_row} packets in a row do not decode"
                    ) from None
                continue
            in_a_row = 0 if frames else in_a_row
            yield from frames

    def _packets(
        self, container: av.container.InputContainer, stream: VideoStream
    ) -> "Iterator[Packet[VideoStream]]":
        """The packets of this stream.

        Where another stream appears in the middle (a damaged table of MPEG-TS is enough), PyAV does not know
        it and may stumble over it (IndexError, its issue 692); asked anew it passes it over.
        """
        for _ in range(_MAX_NEW_STREAMS):
            try:
                yield from container.demux(stream)
            except IndexError:
                self._damaged += 1
            else:
                return
        raise CameraError(f"{redacted(self._config.url)}: new streams appear again and again")

    def _end(self) -> None:
        if self._address.is_live:
            raise CameraError(
                f"{redacted(self._config.url)}: the stream ended after {self._maker.count} frames"
            )
        self._is_finished = True

    def _is_due(self, frame: VideoFrame, wait_s: float) -> bool:
        if self._address.is_live or self._config.pacing == "none":
            return True
        due_ns = self._opened_mono_ns + round((self._pts_s(frame) - self._first(frame)) * NS_PER_S)
        ahead_s = (due_ns - self._clock.monotonic_ns()) / NS_PER_S
        if ahead_s > 0:
            time.sleep(min(ahead_s, wait_s))
        return ahead_s <= wait_s

    def _first(self, frame: VideoFrame) -> float:
        if self._first_pts_s is None:
            self._first_pts_s = self._pts_s(frame)
        return self._first_pts_s

    def _pts_s(self, frame: VideoFrame) -> float:
        if frame.pts is None or frame.time_base is None:
            return self._last_pts_s
        return float(frame.pts * frame.time_base)

    def _made(self, frame: VideoFrame) -> CameraFrame:
        if frame.width * frame.height > self._config.max_pixels:
            raise CameraError(
                f"{redacted(self._config.url)}: a frame of {frame.width}x{frame.height} is over the limit of "
                f"{self._config.max_pixels} pixels"
            )
        received_ns = self._clock.utc_ns()
        pts_s = self._pts_s(frame)
        self._last_pts_s = pts_s
        if self._address.is_live:
            pts_ns = None if frame.pts is None else round(pts_s * NS_PER_S)
            stamp_ns = self._timeline.stamp_ns(received_ns, pts_ns)
        else:
            stamp_ns = self._start_ns + round((pts_s - self._first(frame)) * NS_PER_S)
        return self._maker.make(
            self._pixels(frame, stamp_ns),
            stamp_ns=stamp_ns,
            received_ns=received_ns,
            basis=self._basis,
            pts_s=None if frame.pts is None else pts_s,
            is_corrupt=bool(frame.is_corrupt),
        )

    def _pixels(self, frame: VideoFrame, stamp_ns: int) -> Pixels:
        if frame.format.name not in _SIXTEEN_BIT:
            return AvPixels(frame, self._converter)
        reformatted = frame.reformat(format="gray16le") if frame.format.name != "gray16le" else frame
        return self._gain.apply(cast(U16, reformatted.to_ndarray()), stamp_ns)


def _creation_ns(text: str) -> int | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None or not 2000 <= moment.year < 2100:
        return None
    return round((moment.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1e6) * 1000


def _reason(error: Exception) -> str:
    if isinstance(error, av.error.ExitError):
        return "no answer within the time limit"
    if isinstance(error, av.error.FFmpegError):
        return error.strerror or type(error).__name__
    return str(error)
