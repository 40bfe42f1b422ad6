"""A real edge worker for tests: the command itself, an autopilot on UDP, a folder as a camera, a systemd."""

import os
import queue
import socket
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np

from edge.environment import clean_environment
from edge.supervisor import python_module
from skywarden.mavlink.synth import MessageMaker

S = 1_000_000_000
PLACE = (45.0, 7.0)
FLIGHT_HEIGHT_M = 100.0

CONFIG = """
platform_id = "uav07"
state = "{state}"
[mavlink]
connection = "udpin:127.0.0.1:{port}"
[metrics]
listen = "127.0.0.1:0"
[recorder]
frames_per_s = 2.0
min_free_bytes = 0
[[sensor]]
[sensor.camera]
url = "{inbox}"
follow = true
[sensor.lens]
width_px = 640
height_px = 480
hfov_deg = 60.0
[sensor.mount]
kind = "fixed"
pitch_deg = -90.0
[sensor.model]
name = "{model}"
"""


class Autopilot:
    """Sends heartbeat, position, attitude and a receiver's answer ten times a second until stopped."""

    def __init__(self, port: int) -> None:
        self.sent_count = 0
        self._port = port
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="autopilot")
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(5.0)

    def _run(self) -> None:
        maker, begun_s = MessageMaker(1, 1), time.monotonic()
        place = {"latitude_deg": PLACE[0], "longitude_deg": PLACE[1]}
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
            while not self._stop.wait(0.1):
                boot_ms = round(10_000 + (time.monotonic() - begun_s) * 1000)
                frames = [
                    maker.heartbeat(),
                    maker.global_position_int(
                        time_boot_ms=boot_ms,
                        **place,
                        alt_msl_m=400.0,
                        alt_rel_m=FLIGHT_HEIGHT_M,
                        heading_deg=0.0,
                    ),
                    maker.gps_raw_int(time_us=boot_ms * 1000, **place, alt_msl_m=400.0),
                    maker.attitude(time_boot_ms=boot_ms, roll_deg=0.0, pitch_deg=0.0, heading_deg=0.0),
                ]
                for frame in frames:
                    link.sendto(frame, ("127.0.0.1", self._port))
                    self.sent_count += 1


class FolderCamera:
    """Puts a picture of a meadow with one red thing into a folder five times a second until stopped."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="folder-camera")
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(5.0)

    def _run(self) -> None:
        rng = np.random.default_rng(1)
        while not self._stop.wait(0.2):
            meadow = np.array([40, 110, 60]) + rng.normal(0.0, 6.0, (480, 640, 3))
            picture = np.clip(meadow, 0, 255).astype(np.uint8)
            picture[232:248, 312:328] = (30, 20, 230)
            data = cv2.imencode(".jpg", picture)[1].tobytes()
            part = self._folder / "next.part"
            part.write_bytes(data)
            part.rename(self._folder / f"{time.time_ns() // 1_000_000}.jpg")


class EdgeProcess:
    """`skywarden edge run` in a folder; leave the `with` to take everything down."""

    def __init__(self, folder: Path, *, model: str = "anomaly", more: str = "") -> None:
        """`more` is further TOML behind the sensor's."""
        self.state = folder / "state"
        inbox = folder / "inbox"
        inbox.mkdir()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        self._sockets = tempfile.TemporaryDirectory(prefix="sw-")
        notify = Path(self._sockets.name) / "notify"
        self._systemd = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._systemd.bind(str(notify))
        config = self.config = folder / "edge.toml"
        config.write_text(CONFIG.format(state=self.state, port=port, inbox=inbox, model=model) + more)
        argv = [*python_module("skywarden.cli"), "edge", "run", str(config), "--log-format", "json"]
        environment = clean_environment() | {"NOTIFY_SOCKET": str(notify)}
        self.process = subprocess.Popen(argv, env=environment, stderr=subprocess.PIPE)
        self.log: list[dict[str, Any]] = []
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, name="log-reader")
        self._reader.start()
        try:
            self.until(lambda: is_bound(port), "its MAVLink port is open")
        except BaseException:
            self._end()
            raise
        self.autopilot = Autopilot(port)
        self.camera = FolderCamera(inbox)

    def __enter__(self) -> "EdgeProcess":
        return self

    def __exit__(self, *error: object) -> None:
        self.autopilot.stop()
        self.camera.stop()
        self._end()

    def _end(self) -> None:
        """Leave no process, thread or socket."""
        self.process.kill()
        self.process.wait(timeout=30)
        self._reader.join(30.0)
        assert self.process.stderr is not None
        self.process.stderr.close()
        self._systemd.close()
        self._sockets.cleanup()

    def told_systemd(self, limit_s: float = 20.0) -> str:
        """The next datagram to systemd."""
        self._systemd.settimeout(limit_s)
        return self._systemd.recv(4096).decode()

    def events(self, name: str) -> list[dict[str, Any]]:
        """Lines of the log with this event."""
        return [line for line in list(self.log) if line.get("event") == name]

    def ask(self, path: str) -> tuple[int, str]:
        """What the worker's web port answers."""
        address = self.events("started")[0]["metrics"]
        try:
            with urllib.request.urlopen(f"http://{address}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def metric(self, name: str) -> float:
        """The number of the first sample whose name begins so; 0 when there is none."""
        lines = self.ask("/metrics")[1].splitlines()
        return next(
            (float(line.split()[-1]) for line in lines if line.startswith(f"skywarden_edge_{name}")), 0.0
        )

    def until(self, holds: Callable[[], bool], what: str, limit_s: float = 60.0) -> None:
        """Wait for something to come true; fails with `what`, and with the log."""
        end, pause = time.monotonic() + limit_s, threading.Event()
        while True:
            try:
                if holds():
                    return
            except (IndexError, OSError):
                pass  # it does not listen yet
            assert time.monotonic() < end, f"not within {limit_s} s: {what}; log: {self.log[-10:]}"
            assert self.process.poll() is None, (
                f"it ended ({self.process.returncode}) before {what}: {self.log[-10:]}"
            )
            pause.wait(0.1)

    def children(self) -> list[int]:
        """Process ids of the vision processes."""
        pid = self.process.pid
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [child for child in map(int, text) if "edge.vision.process" in " ".join(argv_of(child))]

    def terminate(self) -> float:
        """Send SIGTERM and wait; the seconds that took."""
        begun_s = time.monotonic()
        self.process.terminate()
        self.process.wait(timeout=30)
        return time.monotonic() - begun_s

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.log.append(msgspec.json.decode(line) if line.startswith(b"{") else {"event": line.decode()})


def is_bound(port: int) -> bool:
    """Whether somebody listens on this UDP port."""
    rows = Path("/proc/net/udp").read_text(encoding="ascii").splitlines()[1:]
    return any(int(row.split()[1].rpartition(":")[2], 16) == port for row in rows)


def argv_of(pid: int) -> list[str]:
    """The words a process was started with."""
    return [os.fsdecode(word) for word in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")]
