"""Scenario S23: a whole edge worker that gets a quarter of one core, then all of it; and one without memory.

The real command, a camera and an autopilot beside it, a station that looks on. While it is starved the worker
must go on answering, skip frames instead of queueing them, and say that it is held back. Then its vision
process is put where there is no memory: it dies, telemetry flows on, and it is started again.
"""

import contextlib
import itertools
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from ground.config import GroundConfig
from ground.picture.live import PlatformState
from ground.serve import GroundHandle, start_ground
from sim.faults.cgroups import CpuGroup, MemoryGroup, children_of, group_name
from sim.faults.result import Profile, Result
from skywarden import evidence
from skywarden.errors import PeerUnavailableError
from skywarden.link import keys
from skywarden.mavlink.synth import MessageMaker

_PLATFORM = "uav01"
_PLACE = (45.0, 7.0)
_SHARE = 0.25
_START_S = 60.0
_SEES = 10
"""So many pictures that were looked at, shown on the ground, and it sees."""
_TOO_LITTLE_BYTES = 12_000_000
_SIZE, _LARGE = (960, 1280), (2_160, 3_840)
"""Height and width of the camera's pictures, and of those for which the memory does not do."""

_CONFIG = """
platform_id = "{platform}"
state = "{state}"
[mavlink]
connection = "udpin:127.0.0.1:{port}"
[link]
ground = "{ground}"
ground_public_key = "{key}"
heartbeat_s = 0.25
[metrics]
listen = "127.0.0.1:0"
[recorder]
frames_per_s = 0.0
min_free_bytes = 0
[[sensor]]
[sensor.camera]
url = "udp://127.0.0.1:{video}"
[sensor.lens]
width_px = 1280
height_px = 960
hfov_deg = 60.0
[sensor.mount]
kind = "fixed"
pitch_deg = -90.0
[sensor.model]
name = "anomaly"
"""


@dataclass(frozen=True, slots=True)
class Plan:
    """Frames a second of the camera; seconds before, while starved, and after."""

    fps: float
    before_s: float
    starved_s: float
    after_s: float


PLANS: dict[Profile, Plan] = {
    "quick": Plan(30.0, 3.0, 6.0, 3.0),
    "full": Plan(30.0, 60.0, 480.0, 60.0),
    "soak": Plan(30.0, 600.0, 3_600.0, 600.0),
}


def run(profile: Profile, seed: int, plan: Plan | None = None) -> Result:
    """Start, starve, release, take the memory, judge."""
    result = Result("S23", profile, seed)
    began_s, plan = time.monotonic(), plan or PLANS[profile]
    try:
        group = CpuGroup(group_name("s23"))
    except PeerUnavailableError as error:
        result.notes.append(f"not judged on this machine: {error}")
        return result
    with tempfile.TemporaryDirectory(prefix="skywarden-s23-") as folder, contextlib.ExitStack() as ends:
        ends.callback(group.close)
        scene = _Scene(Path(folder), plan)
        ends.callback(scene.close)
        scene.start(group)
        _starve(scene, group, plan, result)
        _without_memory(scene, result)
    result.seconds = time.monotonic() - began_s
    return result


def _starve(scene: "_Scene", group: CpuGroup, plan: Plan, result: Result) -> None:
    free = scene.watch(plan.before_s)
    group.set_share(_SHARE)
    began_s = time.monotonic()
    scene.until(lambda: scene.holds("computer", "throttled"), 30.0)
    shown_s = time.monotonic() - began_s
    starved = scene.watch(max(1.0, plan.starved_s - shown_s))
    group.set_share(None)
    began_s = time.monotonic()
    scene.until(lambda: not scene.holds("computer", "throttled"), 30.0)
    scene.until(lambda: scene.rate(2.0) > 0.7 * free.rate, 30.0)
    recovered_s = time.monotonic() - began_s
    after = scene.watch(plan.after_s)
    result.observe("frames a second, free", free.rate)
    result.observe("frames a second, a quarter of a core", starved.rate)
    result.observe("frames a second that its camera gave meanwhile", starved.taken)
    result.expect_at_most("starved: shown on the ground after s", shown_s, 5.0)
    result.expect_at_most("starved: longest silence of the link, s", starved.longest_silence_s, 2.0)
    interval_s = 1.0 / max(starved.rate, 0.1)
    result.observe("starved: capture to ground, first third, median s", starved.early_s)
    result.observe("starved: capture to ground, last third, median s", starved.late_s)
    limit_s = 2.0 * interval_s + 2.0 * free.late_s + 0.25
    result.expect_at_most(
        "starved: capture to ground at its end, s (nothing queues)", starved.late_s, limit_s
    )
    result.expect_at_most("released: as before after s", recovered_s, 10.0)
    result.observe("frames a second, released", after.rate)


def _without_memory(scene: "_Scene", result: Result) -> None:
    assert scene.process is not None
    vision = [pid for pid in children_of(scene.process.pid) if _is_vision(pid)]
    try:
        group = MemoryGroup(group_name("s23"), _TOO_LITTLE_BYTES)
    except PeerUnavailableError as error:
        result.notes.append(f"memory was not judged on this machine: {error}")
        return
    try:
        poses = scene.poses
        for pid in vision:
            group.take(pid)
        scene.is_large.set()
        began_s = time.monotonic()
        died = scene.until(lambda: not any(_lives(pid) for pid in vision), 30.0)
        result.expect_equal("without memory: the vision process ended", int(died and bool(vision)), 1)
        scene.is_large.clear()
        if not died:
            return
        seen = len(scene.frames)
        is_back = scene.until(lambda: len(scene.frames) > seen + _SEES, 60.0)
        result.expect_equal("without memory: it sees again", int(is_back), 1)
        result.observe("after s", time.monotonic() - began_s)
        result.expect_at_least("poses that came meanwhile", scene.poses - poses, 2)
        result.expect_equal("the worker itself lives", int(scene.process.poll() is None), 1)
    finally:
        group.close()


@dataclass(slots=True)
class _Watched:
    """What was seen on the ground in a stretch of time; frames a second that were looked at, and that the
    camera gave."""

    rate: float
    taken: float
    longest_silence_s: float
    early_s: float
    late_s: float


@dataclass(slots=True)
class _Scene:
    folder: Path
    plan: Plan
    process: subprocess.Popen[bytes] | None = None
    ground: GroundHandle | None = None
    stopping: threading.Event = field(default_factory=threading.Event)
    is_large: threading.Event = field(default_factory=threading.Event)
    threads: list[threading.Thread] = field(default_factory=list)
    frames: list[tuple[float, int, float]] = field(default_factory=list)
    poses: int = 0
    longest_silence_s: float = 0.0

    def start(self, group: CpuGroup) -> None:
        """Station, worker, autopilot, camera, and the thread that looks on."""
        video = _free_port()
        self.ground = start_ground(
            GroundConfig(state=str(self.folder / "ground"), http="127.0.0.1:0", link="127.0.0.1:0")
        )
        state = self.folder / "edge"
        pair = keys.create_key_file(state / "keys" / "link.key")
        signer = evidence.create_evidence_key(state / "keys" / "link.evidence.key")
        self.ground.enrol(_PLATFORM, evidence.enrolment_line(pair, signer))
        port = _free_port()
        config = self.folder / "edge.toml"
        config.write_text(
            _CONFIG.format(
                platform=_PLATFORM,
                state=state,
                port=port,
                ground=self.ground.link_address,
                key=self.ground.server_public_key,
                video=video,
            ),
            encoding="utf-8",
        )
        command = [sys.executable, "-m", "skywarden.cli", "edge", "run", str(config), "-q"]
        self.process = subprocess.Popen(
            group.argv(command), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        for name, work in (
            ("autopilot", lambda: self._fly(port)),
            ("camera", lambda: self._film(video)),
            ("watch", self._look),
        ):
            self.threads.append(threading.Thread(target=work, name=f"s23 {name}", daemon=True))
            self.threads[-1].start()
        if not self.until(lambda: len(self.frames) > 3, _START_S):
            raise PeerUnavailableError(f"S23: the worker showed no frame within {_START_S:.0f} s")

    def close(self) -> None:
        """End everything."""
        self.stopping.set()
        for thread in self.threads:
            thread.join(10.0)
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(15.0)
            self.process.kill()
            self.process.wait(15.0)
        if self.ground is not None:
            self.ground.stop()

    def until(self, holds: Callable[[], bool], limit_s: float) -> bool:
        """Wait for something to come true; whether it did in time."""
        pause, end_s = threading.Event(), time.monotonic() + limit_s
        while not holds():
            if time.monotonic() > end_s:
                return False
            pause.wait(0.02)
        return True

    def watch(self, seconds: float) -> _Watched:
        """Look on for so long."""
        self.longest_silence_s = 0.0
        first, began_s = len(self.frames), time.monotonic()
        threading.Event().wait(seconds)
        seen, passed_s = self.frames[first:], time.monotonic() - began_s
        count = seen[-1][1] - seen[0][1] if len(seen) > 1 else 0
        third = max(1, len(seen) // 3)
        return _Watched(
            rate=len(seen) / passed_s,
            taken=count / passed_s,
            longest_silence_s=self.longest_silence_s,
            early_s=_median([one[2] for one in seen[:third]]),
            late_s=_median([one[2] for one in seen[-third:]]),
        )

    def rate(self, seconds: float) -> float:
        """Frames a second that were looked at lately."""
        now_s = time.monotonic()
        recent = [one for one in list(self.frames) if now_s - one[0] < seconds]
        return len(recent) / seconds

    def holds(self, component: str, condition: str) -> bool:
        """Whether the ground shows this condition of the platform."""
        found = self._platform()
        health = found.health.get((component, condition)) if found is not None else None
        return health is not None and health.state != "ok"

    def _platform(self) -> PlatformState | None:
        assert self.ground is not None
        return next((one for one in self.ground.picture.platforms()), None)

    def _look(self) -> None:
        frame_ns = pose_ns = 0
        looked = 0
        while not self.stopping.wait(0.02):
            now_s, found = time.monotonic(), self._platform()
            if found is None:
                continue
            if found.heard_s is not None:
                self.longest_silence_s = max(self.longest_silence_s, now_s - found.heard_s)
            if found.pose is not None and found.pose.time_ns != pose_ns:
                pose_ns = found.pose.time_ns
                self.poses += 1
            if found.frame is not None and found.frame.time_ns != frame_ns:
                frame_ns = found.frame.time_ns
                looked = max(looked, found.frame.frame_number)
                self.frames.append((now_s, looked, (time.time_ns() - frame_ns) / 1e9))

    def _fly(self, port: int) -> None:
        maker, begun_s = MessageMaker(1, 1), time.monotonic()
        place: dict[str, Any] = {"latitude_deg": _PLACE[0], "longitude_deg": _PLACE[1]}
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
            while not self.stopping.wait(0.1):
                boot_ms = round(10_000 + (time.monotonic() - begun_s) * 1000)
                for raw in (
                    maker.heartbeat(),
                    maker.global_position_int(
                        time_boot_ms=boot_ms, **place, alt_msl_m=400.0, alt_rel_m=100.0, heading_deg=0.0
                    ),
                    maker.gps_raw_int(time_us=boot_ms * 1000, **place, alt_msl_m=400.0),
                    maker.attitude(time_boot_ms=boot_ms, roll_deg=0.0, pitch_deg=0.0, heading_deg=0.0),
                ):
                    with contextlib.suppress(OSError):
                        link.sendto(raw, ("127.0.0.1", port))

    def _film(self, port: int) -> None:
        """MPEG-TS over UDP: the same pictures again and again; other, larger ones while `is_large`."""
        rate = round(self.plan.fps)
        small, large = _encoded(rate, 12, *_SIZE), _encoded(rate, 2, *_LARGE)
        while not self.stopping.is_set():
            is_large = self.is_large.is_set()
            with av.open(f"udp://127.0.0.1:{port}?pkt_size=1316", "w", format="mpegts") as container:
                stream = container.add_stream("h264", rate=rate)
                stream.height, stream.width = _LARGE if is_large else _SIZE
                for number, data in enumerate(itertools.cycle(large if is_large else small)):
                    if self.stopping.wait(1.0 / rate) or self.is_large.is_set() != is_large:
                        break
                    packet = av.Packet(data)
                    packet.pts = packet.dts = number
                    packet.time_base, packet.stream = Fraction(1, rate), stream
                    packet.is_keyframe = number % (2 if is_large else 12) == 0
                    with contextlib.suppress(OSError):
                        container.mux(packet)


def _encoded(rate: int, count: int, height: int, width: int) -> list[bytes]:
    """So many pictures as H.264: a meadow with one red thing that moves."""
    codec = av.CodecContext.create("libx264", "w")
    codec.width, codec.height, codec.pix_fmt = width, height, "yuv420p"
    codec.framerate, codec.time_base = Fraction(rate), Fraction(1, rate)
    codec.options = {
        "preset": "ultrafast",
        "tune": "zerolatency",
        "g": str(count),
        "threads": "1",
        "x264-params": "repeat-headers=1:bframes=0",
    }
    rng = np.random.default_rng(1)
    found: list[bytes] = []
    for number in range(count):
        noise = rng.integers(-9, 10, (height // 8, width // 8, 3)).repeat(8, axis=0).repeat(8, axis=1)
        picture = (np.array([40, 110, 60]) + noise).astype(np.uint8)
        left = width // 2 + 4 * number
        picture[height // 2 : height // 2 + 16, left : left + 16] = (30, 20, 230)
        frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
        frame.pts = number
        found += [bytes(packet) for packet in codec.encode(frame)]
    return found + [bytes(packet) for packet in codec.encode(None)]


def _is_vision(pid: int) -> bool:
    try:
        return b"vision" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2] if values else float("nan")
