"""Where a replay speaks: MAVLink into real sockets, pictures into a watched folder or an MPEG-TS stream."""

import contextlib
import socket
import stat
import struct
import threading
import time
from collections import deque
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from skywarden.errors import ConfigError, FlightError, LinkError
from skywarden.mavlink.connection import Connection, parse_connection

if TYPE_CHECKING:
    from av import VideoFrame

Image = npt.NDArray[np.uint8]

_CONNECT_S = 30.0
_SEND_S = 5.0
_FINISH_S = 1.0
_READ_BYTES = 65_536
_BURST = 32
_BURST_PAUSE_S = 0.001
_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff"})


class MavlinkOutput(Protocol):
    """Something that takes raw MAVLink frames."""

    def open(self, stop: threading.Event) -> None:
        """Get ready, waiting for the other end where one is needed; raises `LinkError`."""
        ...

    def send(self, raw: bytes) -> None:
        """Hand one frame over, byte for byte."""
        ...

    def close(self) -> None:
        """Let go of the socket; safe to call twice."""
        ...


class FrameOutput(Protocol):
    """Something that takes the pictures of one sensor."""

    def put(self, time_ns: int, frame_number: int, picture: "Picture") -> None:
        """Show one picture, taken at `time_ns` (UTC as the reader shall believe it)."""
        ...

    def close(self) -> None:
        """Finish; safe to call twice."""
        ...


class Picture:
    """One recorded picture: an image file, or pixels out of a video; becomes the other form when asked."""

    def __init__(self, *, path: Path | None = None, pixels: Image | None = None) -> None:
        if (path is None) == (pixels is None):
            raise FlightError("a picture is either a file or pixels")
        self._path, self._pixels = path, pixels

    def encoded(self) -> tuple[bytes, str]:
        """The bytes of an image file and its suffix: a file untouched, pixels as JPEG of quality 95."""
        if self._path is not None:
            try:
                return self._path.read_bytes(), self._path.suffix.lower()
            except OSError as error:
                raise FlightError(f"{self._path}: cannot be read ({error.strerror})") from error
        is_encoded, jpeg = cv2.imencode(".jpg", self.bgr(), [cv2.IMWRITE_JPEG_QUALITY, 95])
        if not is_encoded:
            raise FlightError("a picture of a video could not be encoded as JPEG")
        return jpeg.tobytes(), ".jpg"

    def bgr(self) -> Image:
        """The pixels, (H, W, 3) uint8 BGR; raises `FlightError` when the file is no image."""
        if self._pixels is not None:
            return self._pixels
        decoded = cv2.imdecode(np.frombuffer(self.encoded()[0], np.uint8), cv2.IMREAD_COLOR)
        if decoded is None:
            raise FlightError(f"{self._path}: is not an image")
        return np.asarray(decoded, np.uint8)


class MavlinkSocket:
    """MAVLink over UDP, TCP or a Unix socket; what comes back is read, counted and forgotten.

    `udpout`, `udpbcast` and `mcast` send at once; `udpin` waits until somebody speaks to it; `tcp` and `unix`
    connect, trying for 30 s; `tcpin` waits for its first client and serves all that come.
    """

    def __init__(self, connection: Connection | str, *, is_paced: bool = False) -> None:
        """`is_paced` rests 1 ms after every 32 datagrams, for fast replays: UDP never says that it is full.

        Raises `ConfigError` for a connection that nothing can be played into.
        """
        self._connection = parse_connection(connection) if isinstance(connection, str) else connection
        if self._connection.kind in ("serial", "file"):
            raise ConfigError(
                f"{self._connection.text}: a replay speaks over udpout, udpin, udpbcast, mcast, "
                "tcp, tcpin or unix; "
                "bridge to a serial line with mavlink-router"
            )
        self._is_stream = self._connection.kind in ("tcp", "tcpin", "unix")
        self._is_paced = is_paced and not self._is_stream
        self._socket: socket.socket | None = None
        self._listener: socket.socket | None = None
        self._peers: list[socket.socket] = []
        self._target: tuple[str, int] | None = None
        self._since_pause = 0
        self.received_bytes = 0

    @property
    def address(self) -> tuple[str, int]:
        """The local address (host, port), once open; with port 0 the system has picked one."""
        found = self._listener or self._socket
        if found is None:
            raise LinkError(f"{self._connection.text}: is not open")
        host, port = found.getsockname()[:2]
        return str(host), int(port)

    def bind(self) -> None:
        """Take the local address without waiting for anybody (`open` does it otherwise)."""
        kind = self._connection.kind
        try:
            if kind == "tcpin" and self._listener is None:
                self._listener = socket.create_server((self._connection.host, self._connection.port))
                self._listener.setblocking(False)
            elif kind in ("udpout", "udpin", "udpbcast", "mcast") and self._socket is None:
                self._socket = self._datagram_socket()
        except OSError as error:
            raise LinkError(f"{self._connection.text}: cannot be used ({error.strerror or error})") from error

    def open(self, stop: threading.Event) -> None:
        """Bind or connect; waits up to 30 s for the other end where one is needed."""
        self.bind()
        kind = self._connection.kind
        until = time.monotonic() + _CONNECT_S
        while not stop.is_set():
            if kind == "tcpin":
                self._accept()
                is_ready = bool(self._peers)
            elif kind == "udpin":
                self._drain()
                is_ready = self._target is not None
            elif kind in ("tcp", "unix"):
                is_ready = self._connect()
            else:
                is_ready = True
            if is_ready:
                return
            if time.monotonic() >= until:
                raise LinkError(f"{self._connection.text}: nobody at the other end within {_CONNECT_S:.0f} s")
            stop.wait(0.05)

    def send(self, raw: bytes) -> None:
        """One frame to everybody who listens; a client that is gone or stuck for 5 s is dropped."""
        if self._is_stream:
            self._accept()
            for peer in list(self._peers):
                try:
                    peer.sendall(raw)
                except OSError as error:
                    peer.close()
                    self._peers.remove(peer)
                    if self._listener is None:
                        raise LinkError(f"{self._connection.text}: the other end went away") from error
        elif self._socket is not None and self._target is not None:
            with contextlib.suppress(ConnectionRefusedError, BlockingIOError):
                self._socket.sendto(raw, self._target)
            self._pace()
        self._drain()

    def close(self) -> None:
        """Close every socket; a stream first hands over all that was sent (for at most a second)."""
        for peer in self._peers:
            _finish(peer)
        for each in (self._socket, self._listener):
            if each is not None:
                each.close()
        self._socket = self._listener = None
        self._peers.clear()

    def _pace(self) -> None:
        self._since_pause += 1
        if self._is_paced and self._since_pause >= _BURST:
            self._since_pause = 0
            time.sleep(_BURST_PAUSE_S)

    def _datagram_socket(self) -> socket.socket:
        connection = self._connection
        family = socket.AF_INET6 if ":" in connection.host else socket.AF_INET
        made = socket.socket(family, socket.SOCK_DGRAM)
        made.setblocking(connection.kind in ("udpout",))
        if connection.kind == "udpin":
            made.bind((connection.host, connection.port))
            return made
        self._target = (connection.host, connection.port)
        if connection.kind == "udpbcast":
            made.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        if connection.kind == "mcast":
            made.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, struct.pack("b", 1))
        return made

    def _connect(self) -> bool:
        connection = self._connection
        try:
            if connection.kind == "unix":
                made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                made.connect(connection.path)
            else:
                made = socket.create_connection((connection.host, connection.port), timeout=2.0)
        except OSError:
            return False
        self._adopt(made)
        return True

    def _accept(self) -> None:
        if self._listener is None:
            return
        with contextlib.suppress(BlockingIOError):
            self._adopt(self._listener.accept()[0])

    def _adopt(self, peer: socket.socket) -> None:
        """Take a connected stream; the kernel limits sending, as Python's limit would hold up reading too."""
        peer.setblocking(True)
        seconds = struct.pack("@ll", int(_SEND_S), 0)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, seconds)
        if peer.family != socket.AF_UNIX:
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._peers.append(peer)

    def _drain(self) -> None:
        """Read and forget what comes, so that nobody blocks; learn where `udpin` shall answer."""
        with contextlib.suppress(BlockingIOError, ConnectionRefusedError):
            if self._socket is not None:
                data, sender = self._socket.recvfrom(_READ_BYTES, socket.MSG_DONTWAIT)
                self.received_bytes += len(data)
                if self._connection.kind == "udpin":
                    self._target = (sender[0], sender[1])
        for peer in self._peers:
            with contextlib.suppress(OSError):
                self.received_bytes += len(peer.recv(_READ_BYTES, socket.MSG_DONTWAIT))


def _finish(peer: socket.socket) -> None:
    """End a stream and lose nothing: closing with unread input would reset it and drop what is under way."""
    until = time.monotonic() + _FINISH_S
    with contextlib.suppress(OSError):
        peer.shutdown(socket.SHUT_WR)
        peer.settimeout(_FINISH_S)
        while time.monotonic() < until and peer.recv(_READ_BYTES):
            pass
    peer.close()


class FolderOutput:
    """Pictures as files that appear whole, named by their time (`NANOSECONDS.jpg`, UTC epoch)."""

    def __init__(self, folder: Path, *, keep: int | None = None) -> None:
        """`keep` bounds how many of its own pictures lie there; `None` keeps all. Raises `FlightError`."""
        self._folder, self._keep = folder, keep
        self._written: deque[Path] = deque()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not stat.S_ISDIR(folder.stat().st_mode):
                raise FlightError(f"{folder}: is not a folder")
        except OSError as error:
            raise FlightError(f"{folder}: cannot be made ({error.strerror})") from error

    def put(self, time_ns: int, frame_number: int, picture: Picture) -> None:
        """Write beside, then rename: whoever watches the folder never sees half a picture."""
        data, suffix = picture.encoded()
        if suffix not in _SUFFIXES:
            raise FlightError(
                f"frame {frame_number}: a picture that ends in {suffix!r} cannot go into a folder"
            )
        full = self._folder / f"{time_ns:019d}{suffix}"
        part = self._folder / f".{full.name}.part"
        try:
            part.write_bytes(data)
            part.replace(full)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise FlightError(f"{full}: cannot be written ({error.strerror})") from error
        self._written.append(full)
        while self._keep is not None and len(self._written) > self._keep:
            self._written.popleft().unlink(missing_ok=True)

    def close(self) -> None:
        """Nothing is open."""


class MpegTsOutput:
    """Pictures as H.264 in MPEG-TS, to a file or `udp://HOST:PORT`; times become presentation stamps."""

    def __init__(self, url: str) -> None:
        """Raises `FlightError` for an address that is neither."""
        if "://" in url and not url.startswith("udp://"):
            raise FlightError(f"{url[:80]!r}: an MPEG-TS stream goes to udp://HOST:PORT or into a file")
        self._url = f"{url}?pkt_size=1316" if url.startswith("udp://") and "?" not in url else url
        self._encoder: _TsEncoder | None = None

    def put(self, time_ns: int, frame_number: int, picture: Picture) -> None:
        """Encode one picture; all of one stream have the size of the first."""
        pixels = picture.bgr()
        if self._encoder is None:
            self._encoder = _TsEncoder(self._url, pixels.shape[1], pixels.shape[0])
        self._encoder.put(time_ns, pixels)

    def close(self) -> None:
        """Flush the encoder and end the stream."""
        if self._encoder is not None:
            self._encoder.close()
            self._encoder = None


class _TsEncoder:
    """The PyAV side of `MpegTsOutput`; PyAV is imported only when a stream is wanted."""

    def __init__(self, url: str, width: int, height: int) -> None:
        import av

        self._av = av
        try:
            self._container = av.open(url, "w", format="mpegts")
        except (av.FFmpegError, OSError) as error:
            raise FlightError(f"{url}: the stream cannot be opened ({error})") from error
        self._stream = self._container.add_stream("libx264", rate=30)
        self._stream.width, self._stream.height = width - width % 2, height - height % 2
        self._stream.pix_fmt = "yuv420p"
        self._stream.options = {"preset": "ultrafast", "tune": "zerolatency", "crf": "20", "g": "15"}
        self._time_base = Fraction(1, 90_000)
        self._stream.codec_context.time_base = self._time_base
        self._first_ns: int | None = None
        self._last_pts = -1

    def put(self, time_ns: int, pixels: Image) -> None:
        if self._first_ns is None:
            self._first_ns = time_ns
        pts = max(round((time_ns - self._first_ns) * 9 / 100_000), self._last_pts + 1)
        self._last_pts = pts
        cut = np.ascontiguousarray(pixels[: self._stream.height, : self._stream.width])
        if cut.shape[:2] != (self._stream.height, self._stream.width):
            raise FlightError(f"a picture of {cut.shape[1]} x {cut.shape[0]} does not fit the stream")
        frame = self._av.VideoFrame.from_ndarray(cut, format="bgr24")
        frame.pts, frame.time_base = pts, self._time_base
        self._mux(frame)

    def close(self) -> None:
        self._mux(None)
        self._container.close()

    def _mux(self, frame: "VideoFrame | None") -> None:
        try:
            for packet in self._stream.encode(frame):
                self._container.mux(packet)
        except (self._av.FFmpegError, OSError) as error:
            raise FlightError(f"the MPEG-TS stream broke ({error})") from error
