"""The edge's whole loop against bare inference: throughput, and delay from a frame to the ground's picture.

Everything but decoding is in: fitting the image, inference, reading the boxes, interpolating the pose from
MAVLink bytes, location with covariance, tracking, packing and sending to another process. For the delay that
process is the worker's core with its durable outbox, the encrypted link and a whole ground station; for the
throughput it only takes what comes, for the ground stands on another machine. The source is always faster
than the detector. Bare inference, loop and chain take turns on the same frames and processors.
"""

import logging
import multiprocessing
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import structlog

from edge.bus import MESSAGE, Alive, CoreBus, Endpoints, ImageNote, VisionBus
from edge.cameras.frame import U8, BgrPixels, CameraFrame
from edge.config import MountConfig
from edge.link.downlink import Downlink, LinkConfig
from edge.link.outbox import Outbox
from edge.mavlink_port import MavlinkConfig
from edge.pose.telemetry import TelemetryNode
from edge.vision.loop import SWITCH_S, LoopSettings, VisionLoop
from edge.vision.pending import PendingFrames
from edge.vision.pipeline import SensorIds, VisionNode, VisionSettings
from edge.worker import newest_key
from ground.config import GroundConfig
from ground.serve import start_ground
from models.catalogue import load_detector
from models.detector import Inference
from models.network import NetworkDetector
from models.speed import made_up_frame
from sim.bench.infer import write_model
from skywarden import wire
from skywarden.clock import NS_PER_S, SystemClock
from skywarden.evidence import EvidenceKey, enrolment_line
from skywarden.geometry.camera import CameraModel
from skywarden.geometry.pose import PoseSigmas
from skywarden.geometry.terrain import LevelSurface
from skywarden.link import keys
from skywarden.mavlink.synth import MessageMaker
from skywarden.messages import Health, Message
from skywarden.topics import topic_named

GOALS = {640: (0.97, 1.05, 1.15), 320: (0.95, 1.10, 1.20)}
"""Least throughput over bare inference, most p50 and p99 of delay over inference, by input size."""

FRAME_SIZE_PX = (1440, 1440)
MAX_DETECTIONS = 40
WARM_UP_FRAMES = 8
Receive = Callable[[Endpoints, str, Connection], None]
TELEMETRY_HZ = 20.0


def run(*, rounds: int = 5, frames: int = 30) -> dict[str, Any]:
    """Ratios by input size: `throughput_640`, `latency_p50_640`, `latency_p99_640` and so on."""
    pictures = [np.roll(made_up_frame(FRAME_SIZE_PX), shift, axis=1) for shift in (0, 37, 211, 640)]
    figures: dict[str, Any] = {"frames": f"{FRAME_SIZE_PX[0]}x{FRAME_SIZE_PX[1]}", "rounds": rounds}
    figures["max_detections"] = MAX_DETECTIONS
    cv2_threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with tempfile.TemporaryDirectory(prefix="sw-") as folder:
            for size in sorted(GOALS, reverse=True):
                write_model(Path(folder) / f"random-{size}", size, pictures[0])
                detector = load_detector(Path(folder) / f"random-{size}", threads=1)
                figures |= _measure(detector, size, pictures, rounds, frames, Path(folder))
    finally:
        cv2.setNumThreads(cv2_threads)
    return figures


def _measure(
    detector: NetworkDetector, size: int, pictures: list[U8], rounds: int, frames: int, folder: Path
) -> dict[str, float]:
    tensors = [detector.place(picture)[0].copy() for picture in pictures]
    bare_s, loop_s, ratios = [], [], []
    for number in range(rounds):
        ways = ("bare", "loop", "chain")
        for way in ways[number % 3 :] + ways[: number % 3]:
            bus = folder / f"{way}-{size}-{number}"
            if way == "bare":
                bare_s.append(_bare(detector, tensors, frames))
            elif way == "loop":
                loop_s.append(_loop(detector, pictures, frames, bus, _drain)[0])
            else:
                pairs = _loop(detector, pictures, frames, bus, _receive)[1]
                ratios += [delay / took for delay, took in pairs]
    goal, goal_p50, goal_p99 = GOALS[size]
    return {
        f"bare_ms_{size}": round(statistics.median(bare_s) * 1e3, 2),
        f"loop_ms_{size}": round(statistics.median(loop_s) * 1e3, 2),
        f"throughput_{size}": round(statistics.median(bare_s) / statistics.median(loop_s), 4),
        f"goal_throughput_{size}": goal,
        f"latency_p50_{size}": round(float(np.percentile(ratios, 50)), 4),
        f"goal_latency_p50_{size}": goal_p50,
        f"latency_p99_{size}": round(float(np.percentile(ratios, 99)), 4),
        f"goal_latency_p99_{size}": goal_p99,
    }


def _bare(detector: NetworkDetector, tensors: list[Any], frames: int) -> float:
    for tensor in tensors[:WARM_UP_FRAMES]:
        detector.run_network(tensor)
    start = time.perf_counter()
    for number in range(frames):
        detector.run_network(tensors[number % len(tensors)])
    return (time.perf_counter() - start) / frames


def _loop(
    detector: NetworkDetector, pictures: list[U8], frames: int, folder: Path, receive: Receive
) -> tuple[float, list[tuple[float, float]]]:
    """Seconds per frame, and (delay, inference) in seconds for each frame that arrived after warming up."""
    folder.mkdir()
    endpoints = Endpoints.in_folder(folder)
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    sink = context.Process(target=receive, args=(endpoints, str(folder), theirs))
    sink.start()
    assert ours.recv() == "ready"
    source = _Source(pictures, frames + WARM_UP_FRAMES)
    timed = _TimedDetector(detector)
    bus = _Bus(VisionBus(endpoints, "eo"))
    loop = _make_loop(timed, source, bus)
    source.on_end = loop.stop
    try:
        loop.run()
    finally:
        bus.real.close()
    ours.send("stop")
    arrived: dict[int, int] = ours.recv()
    sink.join(10)
    taken = source.taken_ns
    numbers = [number for number in sorted(arrived) if number >= WARM_UP_FRAMES]
    pairs = [((arrived[n] - taken[n]) / 1e9, timed.took_s[n]) for n in numbers]
    span_s = (taken[-1] - taken[WARM_UP_FRAMES]) / 1e9
    return span_s / (len(taken) - 1 - WARM_UP_FRAMES), pairs


def _make_loop(detector: "_TimedDetector", source: "_Source", bus: "_Bus") -> VisionLoop:
    telemetry = TelemetryNode(MavlinkConfig())
    mount = MountConfig(kind="fixed", pitch_deg=-60.0)
    poses = telemetry.pose_buffer(mount=mount, sigmas=PoseSigmas())
    camera = CameraModel.from_hfov(*FRAME_SIZE_PX, 60.0)
    settings = VisionSettings(
        camera=camera,
        surface=LevelSurface(0.0),
        max_detections=MAX_DETECTIONS,
        chip_interval_s=1e4,
    )
    ids = SensorIds(platform_id="uav07", sortie_id="bench", sensor_id="eo")
    clock = SystemClock()
    return VisionLoop(
        LoopSettings(platform_id="uav07"),
        VisionNode(ids, settings, detector),
        source,
        telemetry,
        PendingFrames(poses, wait_s=0.0),
        bus,
        clock,
    )


def _drain(endpoints: Endpoints, folder: str, pipe: Connection) -> None:
    """The far process for throughput: takes what comes."""
    core = CoreBus(endpoints)
    pipe.send("ready")
    while not pipe.poll():
        core.receive(20)
    pipe.recv()
    pipe.send({})
    core.close()


def _receive(endpoints: Endpoints, folder: str, pipe: Connection) -> None:
    """The far process: the worker's core with outbox and link, and a whole ground station.

    Notes, by frame number, when the ground's live picture had the frame.
    """
    # Core and ground stand on two machines in life; here their threads share one interpreter.
    sys.setswitchinterval(SWITCH_S)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    state = Path(folder)
    ground = start_ground(GroundConfig(state=str(state / "ground"), http="127.0.0.1:0", link="127.0.0.1:0"))
    pair = keys.create_key_file(state / "link.key")
    signer = EvidenceKey.new()
    ground.enrol("uav07", enrolment_line(pair, signer))
    outbox = Outbox(state / "outbox.sqlite", "uav07")
    link = LinkConfig(ground=ground.link_address, ground_public_key=ground.server_public_key)
    downlink = Downlink(link, outbox, pair, evidence_key=signer)
    arrived: dict[int, int] = {}

    def note() -> None:
        for platform in ground.picture.platforms():
            if platform.frame is not None:
                arrived.setdefault(platform.frame.frame_number, time.monotonic_ns())

    ground.picture.listen(note)
    downlink.start()
    core = CoreBus(endpoints)
    while not downlink.state().is_up:
        core.receive(20)
    pipe.send("ready")
    while not pipe.poll():
        _forward(core, outbox, downlink)
    pipe.recv()
    downlink.wait_until_delivered(5.0)
    pipe.send(arrived)
    downlink.stop()
    ground.stop()
    core.close()


def _forward(core: CoreBus, outbox: Outbox, downlink: Downlink) -> None:
    durable: list[tuple[str, int, bytes]] = []
    for parts in core.receive(5):
        if parts[0] != MESSAGE:
            continue
        topic, body = parts[2].decode(), parts[3]
        message = wire.decode(topic, body)
        if topic_named(topic).policy == "durable":
            durable.append((topic, time.time_ns(), body))
        else:
            downlink.offer_newest(topic, newest_key(message), time.time_ns(), body)
    if durable:
        outbox.append_many(durable)


class _TimedDetector:
    """The detector itself, with a watch on `infer`."""

    def __init__(self, detector: NetworkDetector) -> None:
        self._detector = detector
        self.took_s: list[float] = []
        self.model_id = detector.model_id
        self.labels = detector.labels
        self.detect = detector.detect
        self.read = detector.read
        self.warm_up = detector.warm_up

    def infer(self, image: U8) -> Any:
        tensor, placement = self._detector.place(image)
        start = time.perf_counter()
        outputs = self._detector.run_network(tensor)
        self.took_s.append(time.perf_counter() - start)
        return Inference(outputs, placement)


class _Source:
    """Frames from memory, always one ready; ends the loop after `count`."""

    def __init__(self, pictures: list[U8], count: int) -> None:
        self._pictures = pictures
        self._count = count
        self.taken_ns: list[int] = []
        self.on_end: Callable[[], None] = lambda: None

    dropped_count = 0

    @property
    def is_finished(self) -> bool:
        return len(self.taken_ns) >= self._count

    def take(self, timeout_s: float) -> CameraFrame | None:
        number = len(self.taken_ns)
        if number >= self._count:
            threading.Event().wait(min(timeout_s, 0.05))
            self.on_end()
            return None
        now_ns = time.time_ns()
        self.taken_ns.append(time.monotonic_ns())
        return CameraFrame(
            sensor_id="eo",
            frame_number=number,
            time_ns=now_ns,
            stamp_ns=now_ns,
            received_ns=now_ns,
            pts_s=None,
            time_basis="arrival",
            pixels=BgrPixels(self._pictures[number % len(self._pictures)]),
        )

    def health(self, platform_id: str) -> list[Health]:
        return []


class _Bus:
    """The real bus towards the other process; telemetry is made here, at the rate of an autopilot."""

    def __init__(self, real: VisionBus) -> None:
        self.real = real
        self._maker = MessageMaker(1, 1)
        self._start_ns = time.time_ns() - NS_PER_S
        self._next_ns = self._start_ns

    def telemetry(self) -> list[tuple[int, bytes]]:
        out: list[tuple[int, bytes]] = []
        now_ns = time.time_ns()
        while self._next_ns <= now_ns + 2 * NS_PER_S // 10:
            boot_ms = (self._next_ns - self._start_ns) // 1_000_000
            out += [(self._next_ns, raw) for raw in self._messages(boot_ms)]
            self._next_ns += int(NS_PER_S / TELEMETRY_HZ)
        return out

    def _messages(self, boot_ms: int) -> list[bytes]:
        maker = self._maker
        return [
            maker.heartbeat(),
            maker.global_position_int(
                time_boot_ms=boot_ms,
                latitude_deg=0.001,
                longitude_deg=0.001,
                alt_msl_m=120.0,
                alt_rel_m=120.0,
                vn_mps=10.0,
                heading_deg=0.0,
            ),
            maker.attitude(time_boot_ms=boot_ms, roll_deg=0.0, pitch_deg=0.0, heading_deg=0.0),
        ]

    def message(self, message: Message) -> None:
        self.real.message(message)

    def send_together(self, messages: Sequence[Message]) -> None:
        self.real.send_together(messages)

    def alive(self, alive: Alive) -> None:
        self.real.alive(alive)

    def image(self, note: ImageNote, data: bytes) -> None:
        self.real.image(note, data)
