"""The process of one camera: decodes in a thread, keeps the newest frame, converts and hands over when asked.

Started by `child_source` as `python -m edge.cameras.child SOCKET MEMORY`; ends when its owner's end of the
socket closes, even while native code hangs.
"""

import mmap
import os
import signal
import socket
import sys
import threading

import msgspec
import numpy as np

from edge.cameras.child_protocol import FrameHeader, Hello, Request, State, receive, send
from edge.cameras.frame import CameraFrame
from edge.cameras.slot import FrameSlot
from edge.cameras.source import CameraSource, make_source_here
from skywarden.clock import SystemClock
from skywarden.errors import CameraError, ConfigError, SkywardenError

_READ_S = 0.5


class Reader:
    """The thread that reads the source, and what is known about it."""

    def __init__(self, hello: Hello) -> None:
        self._hello = hello
        self._source: CameraSource | None = None
        self._slot = FrameSlot(keep_all=hello.keep_all)
        self._error: SkywardenError | None = None
        self._is_open = False
        self._is_finished = False

    def start(self) -> None:
        """Begin to open and read."""
        threading.Thread(target=self._run, name="camera-read", daemon=True).start()

    def take(self, wait_s: float) -> CameraFrame | None:
        """The newest frame that was not given yet."""
        return self._slot.take(wait_s)

    def state(self, header: FrameHeader | None) -> State:
        """What to answer; the end is told only after the last frame."""
        source = self._source
        return State(
            is_open=self._is_open,
            is_finished=self._is_finished and not self._slot.is_full and header is None,
            received_count=source.received_count if source else 0,
            damaged_count=source.damaged_count if source else 0,
            dropped_count=self._slot.dropped_count,
            error=None if self._error is None else str(self._error)[:2000],
            is_config_error=isinstance(self._error, ConfigError),
            frame=header,
        )

    def _run(self) -> None:
        try:
            source = make_source_here(self._hello.config, SystemClock())
            self._source = source
            source.open()
            self._is_open = True
            while not source.is_finished:
                frame = source.read(_READ_S)
                if frame is not None and not self._slot.put(frame):
                    return
            self._is_finished = True
        except SkywardenError as error:
            self._error = error
        except Exception as error:  # noqa: BLE001 (outermost loop of this worker)
            self._error = CameraError(f"{type(error).__name__}: {error}")
        finally:
            self._slot.close()


def share(frame: CameraFrame, memory: "np.ndarray[tuple[int], np.dtype[np.uint8]]") -> FrameHeader:
    """Write the pixels of `frame` into shared memory and describe them; raises `CameraError` if too large."""
    raw = frame.raw16
    parts: list[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]
    if raw is not None:
        parts = [np.ascontiguousarray(raw).view(np.uint8).reshape(-1), frame.pixels.luma().reshape(-1)]
    else:
        parts = [frame.image.reshape(-1)]
    at = 0
    if sum(part.size for part in parts) > memory.size:
        raise CameraError(
            f"a {frame.width_px}x{frame.height_px} frame does not fit {memory.size} shared bytes"
        )
    for part in parts:
        memory[at : at + part.size] = part
        at += part.size
    return FrameHeader(
        frame_number=frame.frame_number,
        time_ns=frame.time_ns,
        stamp_ns=frame.stamp_ns,
        received_ns=frame.received_ns,
        pts_s=frame.pts_s,
        time_basis=frame.time_basis,
        flags=frame.flags,
        name=frame.name[:512],
        width_px=frame.width_px,
        height_px=frame.height_px,
        form="bgr" if raw is None else "raw16",
        gain=frame.gain,
    )


def serve(connection: socket.socket, memory_descriptor: int) -> None:
    """Answer requests until the owner is gone."""
    hello = receive(connection, Hello)
    if not isinstance(hello, Hello):
        return
    shared = mmap.mmap(memory_descriptor, hello.memory_bytes)
    memory = np.frombuffer(shared, np.uint8)
    reader = Reader(hello)
    reader.start()
    while isinstance(request := receive(connection, Request), Request):
        frame = reader.take(min(request.wait_s, 10.0)) if request.wants_frame else None
        try:
            header = None if frame is None else share(frame, memory)
            state = reader.state(header)
        except CameraError as error:
            state = msgspec.structs.replace(reader.state(None), error=str(error)[:2000])
        send(connection, state)


def main() -> None:
    """Entry of the process."""
    # Ctrl-C reaches the whole foreground group; the owner decides when this process ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    connection = socket.socket(fileno=int(sys.argv[1]))
    try:
        serve(connection, int(sys.argv[2]))
    except OSError:
        pass
    finally:
        os._exit(0)  # a reading thread that hangs in native code must not hold the process


if __name__ == "__main__":
    main()
