"""Real senders for camera tests: MPEG-TS over TCP and UDP, and a small RTSP server.

Each can fall silent while its connections stay open, as a half-dead camera does.
"""

import base64
import contextlib
import socket
import struct
import threading
from fractions import Fraction

import av
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
PACKET_BYTES = 1316


def moving_image(index: int, width: int, height: int) -> Image:
    """A picture with texture, noise and movement."""
    random = np.random.default_rng(index)
    rows, columns = np.mgrid[0:height, 0:width]
    base = 110 + 50 * np.sin((columns + 3 * index) / 17) + 40 * np.cos((rows + index) / 11)
    grey = base + random.normal(0, 3, (height, width))
    return np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[:, :, np.newaxis], 3, axis=2)


class H264Encoder:
    """H.264 pictures one by one, each with its parameter sets in front of a key frame."""

    def __init__(self, width: int, height: int, rate: int = 25, group: int = 10) -> None:
        context = av.CodecContext.create("libx264", "w")
        context.width, context.height, context.pix_fmt = width, height, "yuv420p"
        context.framerate, context.time_base = Fraction(rate), Fraction(1, rate)
        context.options = {
            "preset": "ultrafast", "tune": "zerolatency", "g": str(group), "threads": "1",
            "x264-params": "sliced-threads=0:repeat-headers=1:bframes=0",
        }  # fmt: skip
        self._context = context
        self._size = (width, height)
        self._index = 0

    def next_units(self) -> list[bytes]:
        """NAL units of the next picture, without start codes."""
        frame = av.VideoFrame.from_ndarray(moving_image(self._index, *self._size), format="bgr24")
        frame.pts = self._index
        self._index += 1
        data = b"".join(bytes(packet) for packet in self._context.encode(frame))
        units = data.replace(b"\x00\x00\x00\x01", b"\x00\x00\x01").split(b"\x00\x00\x01")
        return [unit for unit in units if unit]


class Pace:
    """Shared by the servers: stop, silence, and the pictures' rhythm."""

    def __init__(self, rate: int = 25) -> None:
        self.stopped = threading.Event()
        self.silent = threading.Event()
        self._period_s = 1 / rate

    def wait(self) -> bool:
        """One period; false when stopped. Lets silence pass."""
        if self.stopped.wait(self._period_s):
            return False
        while self.silent.is_set():
            if self.stopped.wait(0.02):
                return False
        return True


class TsSender:
    """MPEG-TS to a UDP address, or to whoever connects by TCP (one after the other)."""

    def __init__(self, *, udp_port: int | None = None, width: int = 320, height: int = 240) -> None:
        self.pace = Pace()
        self.size = (width, height)
        self.connection_count = 0
        self._udp_port = udp_port
        self._listener = socket.create_server(("127.0.0.1", 0)) if udp_port is None else None
        self._thread = threading.Thread(target=self._run, name="ts-sender", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Where a camera source finds it."""
        if self._listener is None:
            return f"udp://127.0.0.1:{self._udp_port}"
        return f"tcp://127.0.0.1:{self._listener.getsockname()[1]}"

    def close(self) -> None:
        """Stop."""
        self.pace.stopped.set()
        self._thread.join(5)
        if self._listener is not None:
            self._listener.close()

    def _run(self) -> None:
        if self._listener is None:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
                out.connect(("127.0.0.1", self._udp_port))
                self._send(out)
            return
        self._listener.settimeout(0.1)
        while not self.pace.stopped.is_set():
            with contextlib.suppress(TimeoutError, OSError):
                connection, _ = self._listener.accept()
                self.connection_count += 1
                with connection:
                    connection.settimeout(1.0)
                    self._send(connection)

    def _send(self, out: socket.socket) -> None:
        index = 0
        while not self.pace.stopped.is_set():
            sink = _Sink(out)
            width, height = self.size
            with (
                contextlib.suppress(OSError, av.error.FFmpegError),
                av.open(sink, "w", format="mpegts") as container,
            ):
                stream = container.add_stream(
                    "libx264",
                    rate=25,
                    options={"preset": "ultrafast", "tune": "zerolatency", "g": "10", "threads": "1"},
                )
                stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
                while self.size == (width, height) and not sink.is_broken and self.pace.wait():
                    image = moving_image(index, width, height)
                    container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
                    index += 1
            if sink.is_broken and self._listener is not None:
                return


class _Sink:
    def __init__(self, out: socket.socket) -> None:
        self._out = out
        self.is_broken = False

    def write(self, data: bytes) -> int:
        try:
            for at in range(0, len(data), PACKET_BYTES):
                self._out.sendall(data[at : at + PACKET_BYTES])
        except ConnectionRefusedError:
            pass  # UDP without a listener yet
        except OSError:
            self.is_broken = True
        return len(data)


class RtspServer:
    """RTSP 1.0 with interleaved RTP (RFC 2326 section 10.12, RFC 6184), one client after the other."""

    def __init__(self, width: int = 320, height: int = 240) -> None:
        self.pace = Pace()
        self.connection_count = 0
        self._size = (width, height)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._run, name="rtsp-server", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Where a camera source finds it, with a password that must never show."""
        return f"rtsp://operator:secret@127.0.0.1:{self._listener.getsockname()[1]}/live"

    def close(self) -> None:
        """Stop."""
        self.pace.stopped.set()
        self._thread.join(5)
        self._listener.close()

    def _run(self) -> None:
        self._listener.settimeout(0.1)
        while not self.pace.stopped.is_set():
            with contextlib.suppress(TimeoutError, OSError):
                connection, _ = self._listener.accept()
                self.connection_count += 1
                with connection:
                    connection.settimeout(5.0)
                    self._serve(connection)

    def _serve(self, connection: socket.socket) -> None:
        encoder = H264Encoder(*self._size)
        first = encoder.next_units()
        while True:
            request = b""
            while b"\r\n\r\n" not in request:
                part = connection.recv(4096)
                if not part:
                    return
                request += part
            lines = request.decode().split("\r\n")
            sequence = next(line.split(":")[1].strip() for line in lines if line.lower().startswith("cseq"))
            method = lines[0].split(" ")[0]
            self._answer(connection, method, sequence, lines[0].split(" ")[1], first)
            if method == "PLAY":
                self._play(connection, encoder, first)
                return

    def _answer(
        self, connection: socket.socket, method: str, sequence: str, url: str, first: list[bytes]
    ) -> None:
        headers, body = ["RTSP/1.0 200 OK", f"CSeq: {sequence}"], ""
        if method == "OPTIONS":
            headers.append("Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN")
        if method == "DESCRIBE":
            sets = ",".join(base64.b64encode(unit).decode() for unit in first if unit[0] & 31 in (7, 8))
            body = (
                "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=camera\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n"
                "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"
                f"a=fmtp:96 packetization-mode=1;sprop-parameter-sets={sets}\r\na=control:track1\r\n"
            )
            headers += [f"Content-Base: {url}/", "Content-Type: application/sdp"]
        if method in ("SETUP", "PLAY"):
            headers.append("Session: 12345678")
        if method == "SETUP":
            headers.append("Transport: RTP/AVP/TCP;unicast;interleaved=0-1")
        headers.append(f"Content-Length: {len(body)}")
        connection.sendall(("\r\n".join(headers) + "\r\n\r\n" + body).encode())

    def _play(self, connection: socket.socket, encoder: H264Encoder, units: list[bytes]) -> None:
        sequence = index = 0
        while True:
            for at, unit in enumerate(units):
                for payload, is_end in _fragments(unit):
                    marker = 0x80 if is_end and at == len(units) - 1 else 0
                    head = struct.pack(">BBHII", 0x80, 96 | marker, sequence & 0xFFFF, index * 3600, 0x5357)
                    connection.sendall(b"$\x00" + struct.pack(">H", 12 + len(payload)) + head + payload)
                    sequence += 1
            if not self.pace.wait():
                return
            units, index = encoder.next_units(), index + 1


def _fragments(unit: bytes) -> list[tuple[bytes, bool]]:
    """One unit as RTP payloads: whole when small, otherwise FU-A (RFC 6184 section 5.8)."""
    if len(unit) <= 1200:
        return [(unit, True)]
    parts = [unit[at : at + 1200] for at in range(1, len(unit), 1200)]
    indicator, kind = (unit[0] & 0xE0) | 28, unit[0] & 31
    last = len(parts) - 1
    return [
        (bytes([indicator, (0x80 if i == 0 else 0) | (0x40 if i == last else 0) | kind]) + part, i == last)
        for i, part in enumerate(parts)
    ]
