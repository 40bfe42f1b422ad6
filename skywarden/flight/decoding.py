"""Pixels out of a flight's images and videos, each picture as it was recorded, damage as an error of ours."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from skywarden.errors import FlightError
from skywarden.flight.schema import MAX_IMAGE_BYTES

MAX_PIXELS = 250_000_000

Image = npt.NDArray[np.uint8]

_JPEG_SIZES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def read_image(path: Path) -> Image:
    """The image in `path` as (H, W, 3) uint8 BGR, not turned by EXIF orientation (the calibration is not).

    Raises `FlightError` when the file is missing, over size (bytes or pixels, checked first) or no image.
    """
    import cv2

    try:
        size = path.stat().st_size
        if not 0 < size <= MAX_IMAGE_BYTES:
            raise FlightError(f"{path}: {size} bytes; an image has 1 to {MAX_IMAGE_BYTES}")
        data = path.read_bytes()
    except OSError as error:
        raise FlightError(f"{path}: cannot be read ({error.strerror})") from error
    shape = stated_size(data)
    if shape is not None and shape[0] * shape[1] > MAX_PIXELS:
        raise FlightError(f"{path}: {shape[0]} x {shape[1]} pixels is over the limit of {MAX_PIXELS}")
    try:
        image = cv2.imdecode(
            np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
        )
    except cv2.error as error:
        raise FlightError(f"{path}: cannot be decoded: {error.msg}") from error
    if image is None:
        raise FlightError(f"{path}: is not an image that can be decoded")
    return np.asarray(image, dtype=np.uint8)


def stated_size(data: bytes) -> tuple[int, int] | None:
    """Width and height that a JPEG or PNG header states (ITU-T T.81 B.2.2, PNG 11.2.2); `None` otherwise."""
    if data[:8] == b"\x89PNG\r\n\x1a\n" and len(data) >= 24:
        return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    if data[:2] != b"\xff\xd8":
        return None
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker in _JPEG_SIZES:
            return int.from_bytes(data[at + 7 : at + 9], "big"), int.from_bytes(data[at + 5 : at + 7], "big")
        if marker == 0xFF:
            at += 1
        elif marker == 0x01 or 0xD0 <= marker <= 0xD8:
            at += 2
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None


def read_video(path: Path, stream_index: int, *, threads: int = 1) -> Iterator[tuple[int | None, Image]]:
    """Every picture of one video stream in order of presentation: (pts, (H, W, 3) uint8 BGR).

    Interlaced pictures come whole (both fields). A damaged packet costs its own picture, not the rest.
    Raises `FlightError` when the file or the stream cannot be opened.
    """
    import av

    try:
        container = av.open(str(path), metadata_errors="replace")
    except (av.FFmpegError, OSError) as error:
        raise FlightError(f"{path}: cannot be opened as a video: {error}") from error
    with container:
        streams = [stream for stream in container.streams.video if stream.index == stream_index]
        if not streams:
            raise FlightError(f"{path}: stream {stream_index} is not a video stream")
        stream = streams[0]
        if stream.codec_context.width * stream.codec_context.height > MAX_PIXELS:
            raise FlightError(f"{path}: pictures are over the limit of {MAX_PIXELS} pixels")
        stream.codec_context.thread_count = threads
        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets, None)
                if packet is None:
                    return
                frames = packet.decode()
            except av.error.InvalidDataError:
                continue
            except av.FFmpegError as error:
                raise FlightError(f"{path}: reading stopped: {error}") from error
            for frame in frames:
                yield frame.pts, np.asarray(frame.to_ndarray(format="bgr24"), dtype=np.uint8)
