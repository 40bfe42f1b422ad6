"""One sensor's eyes as a process of its own: camera and telemetry in, messages out.

Started by the worker's core and watched by it. It ends when the core is gone.
"""

import argparse
import os
import signal
import sys
from pathlib import Path

import cv2
import structlog

from edge.bus import Endpoints, VisionBus
from edge.cameras.grabber import NewestFrameGrabber
from edge.chart.keep_off import read_keep_off
from edge.config import EdgeConfig, PlotConfig, SensorConfig
from edge.looks.maker import LookIds, LookMaker
from edge.models_aboard.desk import DeskIds
from edge.models_aboard.opening import open_models
from edge.plots.effects import OutlineSigmas
from edge.plots.node import PlotSettings
from edge.pose.telemetry import TelemetryNode
from edge.triage.frame_keeper import FrameKeeper
from edge.triage.frame_ring import FrameRing
from edge.vision.loop import LoopSettings, VisionLoop
from edge.vision.pending import PendingFrames
from edge.vision.pipeline import SensorIds, VisionNode, VisionSettings
from models.session import threads_beside_others
from skywarden.clock import SystemClock
from skywarden.config import load_config
from skywarden.errors import ConfigError, SkywardenError
from skywarden.geometry.camera import CameraModel
from skywarden.geometry.terrain import LEVEL_SIGMA_M, SEA_SIGMA_M, SeaSurface, Surface, load_terrain
from skywarden.logs import configure_logs

log = structlog.get_logger("edge.vision.pipeline")


def run_vision(
    config: EdgeConfig,
    sensor: SensorConfig,
    ids: SensorIds,
    endpoints: Endpoints,
    first_frame: int,
    frames: Path | None = None,
    models: Path | None = None,
) -> None:
    """Build one sensor's chain and work until told to stop, or until the core is gone."""
    clock = SystemClock()
    core_pid = os.getppid()
    threads = [each.threads or threads_beside_others() for each in sensor.detectors]
    cv2.setNumThreads(max(threads))
    desk_ids = DeskIds(platform_id=ids.platform_id, sensor_id=ids.sensor_id, incarnation=ids.incarnation)
    opened = open_models(sensor, config.swap, desk_ids, models, clock)
    telemetry = TelemetryNode(config.mavlink, platform_id=config.platform_id)
    calibration = sensor.read_calibration()
    poses = telemetry.pose_buffer(mount=sensor.mount, sigmas=sensor.sigma.pose(), calibration=calibration)
    grabber = NewestFrameGrabber(sensor.camera, clock)
    bus = VisionBus(endpoints, ids.sensor_id)
    looks = LookMaker(look_ids(config, sensor, ids))
    loop = VisionLoop(
        LoopSettings(
            platform_id=config.platform_id,
            first_frame=first_frame,
            record_fps=config.recorder.frames_per_s if config.recorder.is_on else 0.0,
            jpeg_quality=config.recorder.jpeg_quality,
        ),
        VisionNode(ids, vision_settings(config, sensor), opened.bank, sensor.tracker, opened.gaze),
        grabber,
        telemetry,
        PendingFrames(poses, wait_s=config.sighting.pose_wait_s),
        bus,
        clock,
        _keeper(config, ids, frames),
        looks,
        opened.desk,
    )
    signal.signal(signal.SIGTERM, lambda number, frame: loop.stop())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    grabber.start()
    opened.desk.start()
    try:
        loop.run(is_orphan=lambda: os.getppid() != core_pid)
    finally:
        opened.desk.stop()
        looks.close()
        grabber.stop()
        bus.close()


def look_ids(config: EdgeConfig, sensor: SensorConfig, ids: SensorIds) -> LookIds:
    """Whose looks this sensor's are."""
    return LookIds(
        platform_id=ids.platform_id,
        sortie_id=ids.sortie_id,
        sensor_id=ids.sensor_id,
        kind=sensor.camera.kind,
        is_exercise=config.is_exercise,
    )


def _keeper(config: EdgeConfig, ids: SensorIds, frames: Path | None) -> FrameKeeper | None:
    if frames is None or not config.triage.frames_max_bytes:
        return None
    ring = FrameRing(
        frames / ids.sensor_id,
        max_bytes=config.triage.frames_max_bytes // max(1, len(config.sensor)),
        min_free_bytes=config.triage.frames_min_free_bytes,
    )
    return FrameKeeper(ring, ids.prefix)


def vision_settings(config: EdgeConfig, sensor: SensorConfig) -> VisionSettings:
    """The chain of one sensor from its configuration; raises `ConfigError` or `InputError`."""
    return VisionSettings(
        camera=_lens(sensor),
        surface=surface_of(sensor),
        level_sigma_m=LEVEL_SIGMA_M if sensor.sigma.surface_m is None else sensor.sigma.surface_m,
        pixel_sigma_px=sensor.sigma.pixel_px,
        sighting_interval_s=config.sighting.interval_s,
        chip_interval_s=config.sighting.chip_interval_s,
        is_exercise=config.is_exercise,
        plots=_plots(sensor.plot),
        keep_off=read_keep_off(config.chart),
    )


def _plots(plot: PlotConfig) -> PlotSettings:
    sigmas = OutlineSigmas(
        noise_px=plot.noise_px,
        correlation_px=plot.correlation_px,
        bias_px=plot.bias_px,
        slope=plot.slope,
    )
    return PlotSettings(
        labels=plot.labels,
        outline=sigmas,
        confirm_looks=plot.confirm_looks,
        decorrelation_s=plot.decorrelation_s,
        interval_s=plot.interval_s,
    )


def _lens(sensor: SensorConfig) -> CameraModel | None:
    """The camera's lens, with what a calibration says about it."""
    if sensor.lens is None:
        return None
    calibration = sensor.read_calibration()
    return sensor.lens.model() if calibration is None else calibration.camera(sensor.lens.model())


def surface_of(sensor: SensorConfig) -> Surface | None:
    """What the rays meet; `None` is level ground at the take-off height."""
    sigma_m = sensor.sigma.surface_m
    if sensor.surface.kind == "terrain":
        assert sensor.surface.path is not None, "EdgeConfig refuses terrain without a path"
        path = Path(sensor.surface.path)
        return load_terrain(path, sigma_m=sigma_m)
    if sensor.surface.kind == "sea":
        return SeaSurface(
            sensor.surface.tide_m,
            sigma_m=SEA_SIGMA_M if sigma_m is None else sigma_m,
            tide_sigma_m=sensor.surface.tide_sigma_m,
        )
    return None


def main() -> None:
    """Entry of the process: `python -m edge.vision.process --config ... --sensor ...`."""
    parser = argparse.ArgumentParser(
        description="One sensor's vision process; started by `skywarden edge run`."
    )
    for name in ("--config", "--sensor", "--sortie", "--telemetry", "--results"):
        parser.add_argument(name, required=True)
    parser.add_argument("--frames", type=Path)
    parser.add_argument("--models", type=Path)
    parser.add_argument("--incarnation", type=int, required=True)
    parser.add_argument("--first-frame", type=int, required=True)
    given = parser.parse_args()
    configure_logs()
    try:
        _run(given)
    except SkywardenError as error:
        log.error("vision ends", sensor=given.sensor, error=str(error))
        sys.exit(error.exit_code)


def _run(given: argparse.Namespace) -> None:
    config = load_config(EdgeConfig, Path(given.config), prefix="edge")
    sensor = next((each for each in config.sensor if each.camera.sensor_id == given.sensor), None)
    if sensor is None:
        raise ConfigError(f"{given.config}: there is no sensor {given.sensor!r} any more")
    ids = SensorIds(
        platform_id=config.platform_id,
        sortie_id=given.sortie,
        sensor_id=given.sensor,
        incarnation=given.incarnation,
    )
    endpoints = Endpoints(telemetry=given.telemetry, results=given.results)
    run_vision(config, sensor, ids, endpoints, given.first_frame, given.frames, given.models)


if __name__ == "__main__":
    main()
