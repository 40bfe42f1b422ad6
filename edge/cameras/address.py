"""What a camera's `url` means: one kind of source and its target, decided once, without touching a device."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from edge.cameras.config import CameraConfig
from skywarden.errors import ConfigError

SourceKind = Literal["rtsp", "mpegts", "v4l2", "gst", "folder", "file"]

_DEVICE = re.compile(r"^(?:v4l2:(?:/dev/video)?|/dev/video)(\d{1,3})$")
_SECRET = re.compile(r"(?<=://)[^/@\s]*@")


@dataclass(frozen=True, kw_only=True, slots=True)
class CameraAddress:
    """Kind of source and its target: an address, a path, a device number or a pipeline."""

    kind: SourceKind
    target: str

    @property
    def is_live(self) -> bool:
        """Whether frames come from a running device or stream (a followed folder: see its config)."""
        return self.kind in ("rtsp", "mpegts", "v4l2", "gst")


def parse_address(url: str) -> CameraAddress:
    """The source that `url` names; raises `ConfigError` when it names none."""
    if url.startswith(("rtsp://", "rtsps://")):
        return CameraAddress(kind="rtsp", target=_checked_host(url, needs_port=False))
    if url.startswith(("udp://", "tcp://")):
        return CameraAddress(kind="mpegts", target=_checked_host(url, needs_port=True))
    if url.startswith("gst:"):
        pipeline = url.removeprefix("gst:").strip()
        if not pipeline:
            raise ConfigError("camera url 'gst:' needs a pipeline, such as 'gst:v4l2src ! videoconvert'")
        return CameraAddress(kind="gst", target=pipeline)
    if device := _DEVICE.match(url):
        return CameraAddress(kind="v4l2", target=device.group(1))
    path = url.removeprefix("file://")
    if "://" in path or path.startswith("v4l2:"):
        raise ConfigError(
            f"camera url {redacted(url)!r} is not understood; use rtsp://, udp://, tcp://, gst:, v4l2:N, "
            "/dev/videoN, a video file or a folder of images"
        )
    kind: SourceKind = "folder" if Path(path).is_dir() or path.endswith("/") else "file"
    return CameraAddress(kind=kind, target=path)


def redacted(text: str) -> str:
    """`text` with user names and passwords in addresses replaced, fit for logs and errors."""
    return _SECRET.sub("***@", text)


def runs_in_process(config: CameraConfig) -> bool:
    """Whether this camera is decoded in a child process of its own (`isolation`)."""
    if config.isolation != "auto":
        return config.isolation == "process"
    return parse_address(config.url).kind in ("rtsp", "mpegts", "v4l2")


def _checked_host(url: str, *, needs_port: bool) -> str:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigError(f"camera url {redacted(url)!r}: {error}") from error
    if not host and not (parts.scheme == "udp" and port):
        raise ConfigError(f"camera url {redacted(url)!r} names no host")
    if needs_port and not port:
        raise ConfigError(f"camera url {redacted(url)!r} names no port, such as udp://0.0.0.0:5600")
    return url
