"""A camera in a process of its own, seen from its owner: may hang or crash without harm, can be killed."""

import mmap
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import cast

import numpy as np

from edge.cameras.address import redacted
from edge.cameras.child_protocol import BYTES_PER_PIXEL, FrameHeader, Hello, Request, State, receive, send
from edge.cameras.config import CameraConfig
from edge.cameras.frame import U8, U16, BgrPixels, CameraFrame, GreyPixels, Pixels
from edge.environment import clean_environment
from edge.supervisor import kill_and_collect
from skywarden.errors import CameraError, ConfigError

_START_S = 10.0
_ANSWER_S = 3.0
_POLL_S = 0.05


class ChildSource:
    """Starts `edge.cameras.child` and asks it for frames.

    The child decodes everything and keeps the newest frame (or, with `keep_all`, waits with each until it is
    taken); only a frame that is asked for is converted and copied. So `read` should be called when a frame is
    wanted, and `poll` in between, to learn whether frames keep coming.
    """

    def __init__(self, config: CameraConfig, *, keep_all: bool = False) -> None:
        self._config = config
        self._keep_all = keep_all
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._connection: socket.socket | None = None
        self._memory: mmap.mmap | None = None
        self._state = State(
            is_open=False, is_finished=False, received_count=0, damaged_count=0, dropped_count=0
        )
        self._is_aborted = False

    @property
    def is_finished(self) -> bool:
        """A file came to its end and its last frame was given."""
        return self._state.is_finished

    @property
    def waits_for_demand(self) -> bool:
        """Reading a frame costs its conversion, so read only what will be used."""
        return not self._keep_all

    @property
    def received_count(self) -> int:
        """Frames that the child had received at its last answer."""
        return self._state.received_count

    @property
    def damaged_count(self) -> int:
        """Damaged frames that the child had counted at its last answer."""
        return self._state.damaged_count

    @property
    def process_id(self) -> int | None:
        """The child's process id while it lives."""
        child = self._child
        return None if child is None or child.poll() is not None else child.pid

    def open(self) -> None:
        """Start the child and wait until the camera is open; raises what the child says, as its kind."""
        ours, theirs = socket.socketpair()
        memory_bytes = self._config.max_pixels * BYTES_PER_PIXEL
        descriptor = os.memfd_create("skywarden-camera", os.MFD_CLOEXEC)
        try:
            os.ftruncate(descriptor, memory_bytes)  # sparse: pages exist once they are written
            self._memory = mmap.mmap(descriptor, memory_bytes)
            with self._lock:
                if self._is_aborted:
                    raise CameraError(f"{self._shown}: stopped before it was opened")
                self._child = subprocess.Popen(
                    [sys.executable, "-P", "-m", "edge.cameras.child", str(theirs.fileno()), str(descriptor)],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    env=_environment(),
                    pass_fds=(theirs.fileno(), descriptor),
                )
        finally:
            os.close(descriptor)
            theirs.close()
            self._connection = ours
        send(ours, Hello(config=self._config, keep_all=self._keep_all, memory_bytes=memory_bytes))
        until_s = time.monotonic() + self._config.open_timeout_s + _START_S
        self._ask(Request(wants_frame=False), limit_s=_START_S)
        while not self._state.is_open and not self._state.is_finished:
            if time.monotonic() > until_s:
                raise CameraError(f"{self._shown}: did not open within {until_s:.0f} s")
            time.sleep(_POLL_S)
            self._ask(Request(wants_frame=False), limit_s=_ANSWER_S)

    def read(self, wait_s: float) -> CameraFrame | None:
        """The newest frame that was not given yet, waiting up to `wait_s`."""
        header = self._ask(Request(wants_frame=True, wait_s=wait_s), limit_s=wait_s + _ANSWER_S)
        return None if header is None else self._made(header)

    def poll(self) -> None:
        """Learn the counts, and raise `CameraError` if the camera broke; costs no conversion."""
        self._ask(Request(wants_frame=False), limit_s=_ANSWER_S)

    def abort(self) -> None:
        """Kill the child from any thread; whoever waits for it gets a `CameraError`."""
        with self._lock:
            self._is_aborted = True
            if self._child is not None:
                self._child.kill()

    def close(self) -> None:
        """Kill the child and collect it, so that no decoder is left behind."""
        self.abort()
        child, self._child = self._child, None
        if child is not None:
            kill_and_collect(child, wait_s=1.0)
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
        memory, self._memory = self._memory, None
        if memory is not None:
            memory.close()

    @property
    def _shown(self) -> str:
        return redacted(self._config.url)

    def _ask(self, request: Request, *, limit_s: float) -> FrameHeader | None:
        connection = self._connection
        if connection is None:
            raise CameraError(f"{self._shown}: is not open")
        connection.settimeout(limit_s)
        try:
            send(connection, request)
            state = receive(connection, State)
        except TimeoutError:
            raise CameraError(f"{self._shown}: its process did not answer for {limit_s:.1f} s") from None
        except OSError:
            state = None
        if not isinstance(state, State):
            raise CameraError(f"{self._shown}: its process ended ({self._exit_text()})")
        self._state = state
        if state.error is not None and state.frame is None:
            raise (ConfigError if state.is_config_error else CameraError)(state.error)
        return state.frame

    def _exit_text(self) -> str:
        child = self._child
        if child is None:
            return "stopped"
        try:
            code = child.wait(0.5)
        except subprocess.TimeoutExpired:
            return "it closed its connection"
        return f"signal {-code}" if code < 0 else f"exit code {code}"

    def _made(self, header: FrameHeader) -> CameraFrame:
        return CameraFrame(
            sensor_id=self._config.sensor_id,
            frame_number=header.frame_number,
            time_ns=header.time_ns,
            stamp_ns=header.stamp_ns,
            received_ns=header.received_ns,
            pts_s=header.pts_s,
            time_basis=header.time_basis,
            pixels=self._pixels(header),
            flags=header.flags,
            name=header.name,
        )

    def _pixels(self, header: FrameHeader) -> Pixels:
        height, width = header.height_px, header.width_px
        count = height * width
        if self._memory is None or count > self._config.max_pixels:
            raise CameraError(f"{self._shown}: its process told of a frame of {width}x{height} pixels")
        # Copied out: the child writes the next frame into the same place.
        data = np.frombuffer(self._memory[: count * BYTES_PER_PIXEL], np.uint8)
        if header.form == "bgr":
            return BgrPixels(data.reshape(height, width, 3))
        raw = cast(U16, data[: 2 * count].view(np.uint16).reshape(height, width))
        grey: U8 = data[2 * count :].reshape(height, width)
        return GreyPixels(grey, raw=raw, gain=header.gain)


def _environment() -> dict[str, str]:
    """Ours, finding this very code first: a foreign folder `edge` in the current folder must not be run."""
    environment = clean_environment()
    root = str(Path(__file__).resolve().parents[2])
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, (root, environment.get("PYTHONPATH", ""))))
    return environment
