"""One sensor's eyes as a process of its own: camera and telemetry in, messages out.

Started by the worker's core and watched by it. It ends when the core is gone.
"""

import argparse
import os
import signal
import threading
from pathlib import Path

import cv2
import structlog

from edge.bus import Alive, Endpoints, ImageNote, VisionBus
from edge.cameras.frame import CameraFrame
from edge.cameras.grabber import NewestFrameGrabber
from edge.config import EdgeConfig, SensorConfig
from edge.pending import PendingFrames
from edge.telemetry import TelemetryNode
from edge.vision import Frame, SensorIds, VisionNode, VisionSettings
from models.catalogue import load_detector
from skywarden.clock import NS_PER_S, Clock, SystemClock
from skywarden.config import load_config
from skywarden.logs import configure_logs
from skywarden.pose import PoseSigmas
from skywarden.terrain import (
    DEM_SIGMA_M,
    SEA_SIGMA_M,
    SeaSurface,
    Surface,
    load_terrain,
)

log = structlog.get_logger("edge.vision")


class VisionProcess:
    """The working loop: newest frame, detector, wait for the pose, hand over."""

    def __init__(
        self,
        config: EdgeConfig,
        sensor: SensorConfig,
        ids: SensorIds,
        endpoints: Endpoints,
        clock: Clock,
        first_frame: int,
    ) -> None:
        self._config = config
        self._sensor = sensor
        self._clock = clock
        self._first_frame = first_frame
        self._bus = VisionBus(endpoints, ids.sensor_id)
        self._detector = load_detector(sensor.model.name, threads=sensor.model.threads)
        self._detector.warm_up()
        self._telemetry = TelemetryNode(config.mavlink)
        self._poses = self._telemetry.pose_buffer(mount=sensor.mount, sigmas=pose_sigmas(sensor))
        self._pending = PendingFrames(self._poses, wait_s=config.sighting.pose_wait_s)
        self._node = VisionNode(ids, vision_settings(config, sensor), self._detector, sensor.tracker)
        self._grabber = NewestFrameGrabber(sensor.camera, clock)
        self._stop = threading.Event()
        self._frame_count = self._detection_count = 0
        self._last_number = first_frame
        self._inference_ms = 0.0
        self._next_alive_ns = 0
        self._rate = (0, clock.monotonic_ns())
        self._recorded_ns = 0

    def run(self) -> None:
        """Work until `stop`, or until the core is gone."""
        core_pid = os.getppid()
        self._grabber.start()
        self._give_sign()
        try:
            while not self._stop.is_set() and os.getppid() == core_pid:
                self._turn()
        finally:
            self._hand_over(is_last=True)
            self._grabber.stop()
            self._bus.close()

    def stop(self) -> None:
        """Ask the loop to end."""
        self._stop.set()

    def _turn(self) -> None:
        frame = self._grabber.take(timeout_s=0.01 if len(self._pending) else 0.05)
        for received_ns, raw in self._bus.telemetry():
            self._telemetry.handle(received_ns, raw)
        for health in self._grabber.health(self._config.platform_id):
            self._bus.message(health)
        if frame is not None:
            self._look(frame)
        self._hand_over()
        if self._clock.monotonic_ns() >= self._next_alive_ns:
            self._give_sign()

    def _look(self, camera_frame: CameraFrame) -> None:
        self._last_number = self._first_frame + camera_frame.frame_number
        frame = Frame(
            frame_number=self._last_number,
            time_ns=camera_frame.time_ns,
            received_ns=camera_frame.received_ns,
            image=camera_frame.image,
            fault=next(iter(camera_frame.flags)) if camera_frame.is_suspect else None,
        )
        start_ns = self._clock.monotonic_ns()
        seen = self._node.detect(frame)
        end_ns = self._clock.monotonic_ns()
        self._inference_ms = (end_ns - start_ns) / 1e6
        self._frame_count += 1
        self._detection_count += len(seen.batch)
        self._pending.add(seen, end_ns)
        self._record(camera_frame, frame)

    def _hand_over(self, *, is_last: bool = False) -> None:
        for seen, pose in self._pending.due(self._clock.monotonic_ns(), is_last=is_last):
            for message in self._node.finish(seen, pose).messages:
                self._bus.message(message)

    def _record(self, camera_frame: CameraFrame, frame: Frame) -> None:
        rate = self._config.recorder.frames_per_s
        if not self._config.recorder.is_on or rate <= 0:
            return
        if self._recorded_ns and camera_frame.stamp_ns - self._recorded_ns < 0.9 * NS_PER_S / rate:
            return
        self._recorded_ns = camera_frame.stamp_ns
        quality = [cv2.IMWRITE_JPEG_QUALITY, self._config.recorder.jpeg_quality]
        ok, data = cv2.imencode(".jpg", frame.image, quality)
        if ok:
            note = ImageNote(frame_number=frame.frame_number, stamp_ns=camera_frame.stamp_ns, suffix=".jpg")
            self._bus.image(note, data.tobytes())

    def _give_sign(self) -> None:
        now_ns = self._clock.monotonic_ns()
        count, since_ns = self._rate
        elapsed_s = max(1e-3, (now_ns - since_ns) / NS_PER_S)
        self._rate = (self._frame_count, now_ns)
        self._next_alive_ns = now_ns + NS_PER_S
        self._bus.alive(
            Alive(
                last_frame_number=self._last_number,
                frame_count=self._frame_count,
                dropped_count=self._grabber.dropped_count,
                detection_count=self._detection_count,
                frames_per_s=(self._frame_count - count) / elapsed_s,
                inference_ms=self._inference_ms,
                is_finished=self._grabber.is_finished,
            )
        )


def pose_sigmas(sensor: SensorConfig) -> PoseSigmas:
    """The part of the error budget that belongs to the pose."""
    sigma = sensor.sigma
    return PoseSigmas(
        horizontal_m=sigma.horizontal_m,
        vertical_m=sigma.vertical_m,
        tilt_deg=sigma.tilt_deg,
        heading_deg=sigma.heading_deg,
        boresight_deg=sigma.boresight_deg,
        time_offset_s=sigma.time_offset_s,
    )


def vision_settings(config: EdgeConfig, sensor: SensorConfig) -> VisionSettings:
    """The chain of one sensor from its configuration; raises `ConfigError` or `InputError`."""
    return VisionSettings(
        camera=sensor.lens.model() if sensor.lens else None,
        surface=surface_of(sensor),
        pixel_sigma_px=sensor.sigma.pixel_px,
        min_score=sensor.model.min_score,
        max_detections=sensor.model.max_detections,
        sighting_interval_s=config.sighting.interval_s,
        chip_interval_s=config.sighting.chip_interval_s,
        is_exercise=config.is_exercise,
    )


def surface_of(sensor: SensorConfig) -> Surface | None:
    """What the rays meet; `None` is level ground at the take-off height."""
    sigma_m = sensor.sigma.surface_m
    if sensor.surface.kind == "terrain":
        assert sensor.surface.path is not None, "EdgeConfig refuses terrain without a path"
        path = Path(sensor.surface.path)
        return load_terrain(path, sigma_m=DEM_SIGMA_M if sigma_m is None else sigma_m)
    if sensor.surface.kind == "sea":
        return SeaSurface(sensor.surface.tide_m, sigma_m=SEA_SIGMA_M if sigma_m is None else sigma_m)
    return None


def main() -> None:
    """Entry of the process: `python -m edge.vision_process --config ... --sensor ...`."""
    parser = argparse.ArgumentParser(
        description="One sensor's vision process; started by `skywarden edge run`."
    )
    for name in ("--config", "--sensor", "--sortie", "--telemetry", "--results"):
        parser.add_argument(name, required=True)
    parser.add_argument("--incarnation", type=int, required=True)
    parser.add_argument("--first-frame", type=int, required=True)
    given = parser.parse_args()
    configure_logs()
    config = load_config(EdgeConfig, Path(given.config), prefix="edge")
    sensor = next(each for each in config.sensor if each.camera.sensor_id == given.sensor)
    ids = SensorIds(
        platform_id=config.platform_id,
        sortie_id=given.sortie,
        sensor_id=given.sensor,
        incarnation=given.incarnation,
    )
    endpoints = Endpoints(telemetry=given.telemetry, results=given.results)
    process = VisionProcess(config, sensor, ids, endpoints, SystemClock(), given.first_frame)
    signal.signal(signal.SIGTERM, lambda number, frame: process.stop())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    process.run()


if __name__ == "__main__":
    main()
