"""Flies a scenario's platforms and records them as flight folders with truth."""

import multiprocessing
import shutil
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from pathlib import Path

import cv2

from sim.scenario.description import Scenario
from sim.scenario.layers import write_terrain
from sim.scenario.platform import PlatformTruth
from sim.scenario.render import Renderer
from sim.scenario.tables.flying import Platform
from sim.scenario.telemetry import TelemetryMaker
from sim.scenario.truth import TRUTH_GEOJSON, TRUTH_JSONL, TruthMaker, encode_lines, truth_geojson
from sim.scenario.world import World
from skywarden.errors import FlightError, SkywardenError, UsageError
from skywarden.flight.schema import ClockNote, FixedMount, GimbalMount, Sensor, SensorSigma
from skywarden.flight.writer import FlightWriter

Progress = Callable[[int, int, str], None]

TERRAIN_NAME = "terrain.npz"
MAX_SECONDS = 6 * 3600.0
_GIMBAL_DEVICE = 154


def sortie_id(scenario: Scenario, platform_id: str) -> str:
    """The sortie that a scenario's platform flies."""
    return f"{scenario.name}-{scenario.seed}-{platform_id}"


def render_flight(
    scenario: Scenario,
    platform_id: str,
    out: Path,
    *,
    seconds: float,
    fps: float,
    progress: Progress | None = None,
    world: World | None = None,
    threads: int = 1,
) -> Path:
    """Record `seconds` of one platform's flight, `fps` pictures a second, into the new folder `out`.

    The folder holds telemetry, JPEG frames, camera model, `truth.jsonl`, `truth.geojson` and `terrain.npz`.
    The same scenario gives the same bytes. Returns `out`. Raises `UsageError` on a nonsense length or rate,
    `FlightError` when `out` is not empty or the disk refuses.
    """
    if not (0.0 < seconds <= MAX_SECONDS and 0.05 <= fps <= 60.0):
        raise UsageError(
            f"{seconds:g} s at {fps:g} frames/s: lengths go to {MAX_SECONDS:g} s, rates from 0.05 to 60"
        )
    platform = scenario.platform(platform_id)
    world = world or World(scenario)
    truth = PlatformTruth(scenario, platform)
    with FlightWriter(
        out,
        sortie_id=sortie_id(scenario, platform_id),
        platform_id=platform_id,
        telemetry_source=f"simulated: scenario {scenario.name}, seed {scenario.seed}",
        clock=ClockNote(source="the scenario's own clock", sigma_s=0.0),
        sensors=(sensor_of(platform, truth),),
        notes=tuple(
            note
            for note in (scenario.title, scenario.place.note, "Rendered pictures, not a recording.")
            if note
        ),
    ) as writer:
        for arrived_ns, frame in TelemetryMaker(world, truth).messages(seconds):
            writer.append_telemetry(arrived_ns, frame)
        _add_pictures(writer, world, truth, seconds, fps, progress, threads)
        writer.add_file(TRUTH_GEOJSON, truth_geojson(world, seconds))
        tile = out.with_name(out.name + ".terrain.part.npz")
        try:
            writer.add_file(TERRAIN_NAME, write_terrain(world, tile))
        finally:
            tile.unlink(missing_ok=True)
    return out


def render_flights(
    scenario: Scenario,
    folder: Path,
    *,
    seconds: float,
    fps: float,
    progress: Progress | None = None,
) -> dict[str, Path]:
    """Record every platform at once, a process each, into `folder`/PLATFORM; answers where.

    Raises the first error of a process; folders of flights that were cut off are removed.
    """
    context = multiprocessing.get_context("spawn")
    paths = {platform.id: folder / platform.id for platform in scenario.platforms}
    running: dict[Connection, tuple[str, multiprocessing.process.BaseProcess]] = {}
    for platform_id, path in paths.items():
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(
            target=_render_in_process,
            args=(theirs, scenario, platform_id, path, seconds, fps),
            name=f"render-{platform_id}",
            daemon=True,
        )
        process.start()
        theirs.close()
        running[ours] = (platform_id, process)
    processes = [process for _, process in running.values()]
    try:
        _follow(running, scenario, seconds, fps, progress)
    except BaseException:
        for started in processes:
            started.terminate()
        for started in processes:
            started.join(5.0)
        for path in paths.values():
            shutil.rmtree(path, ignore_errors=True)
        raise
    for started in processes:
        started.join(10.0)
    return paths


def _follow(
    running: dict[Connection, tuple[str, multiprocessing.process.BaseProcess]],
    scenario: Scenario,
    seconds: float,
    fps: float,
    progress: Progress | None,
) -> None:
    """Listen to the processes until all are done; raises what one of them tells."""
    total = len(scenario.platforms) * _count(seconds, fps)
    done = {platform.id: 0 for platform in scenario.platforms}
    while running:
        for ready in wait(list(running), timeout=1.0):
            assert isinstance(ready, Connection)
            platform_id, process = running[ready]
            try:
                told = ready.recv_bytes(4096).decode()
            except EOFError:
                process.join(5.0)
                raise FlightError(
                    f"rendering {platform_id} ended early (exit code {process.exitcode})"
                ) from None
            word, _, rest = told.partition(" ")
            if word == "error":
                raise FlightError(f"rendering {platform_id}: {rest}")
            if word == "end":
                del running[ready]
                continue
            done[platform_id] = int(rest)
            if progress is not None:
                progress(sum(done.values()), total, platform_id)


def _render_in_process(
    pipe: Connection, scenario: Scenario, platform_id: str, path: Path, seconds: float, fps: float
) -> None:
    """The body of one rendering process; speaks words over the pipe: `done N`, `end`, `error SENTENCE`."""
    cv2.setNumThreads(1)

    def tell(done: int, total: int, text: str) -> None:
        if done % 5 == 0 or done == total:
            pipe.send_bytes(f"done {done}".encode())

    try:
        render_flight(scenario, platform_id, path, seconds=seconds, fps=fps, progress=tell)
        pipe.send_bytes(b"end")
    except SkywardenError as error:
        pipe.send_bytes(f"error {error}".encode()[:4000])
    finally:
        pipe.close()


def _add_pictures(
    writer: FlightWriter,
    world: World,
    truth: PlatformTruth,
    seconds: float,
    fps: float,
    progress: Progress | None,
    threads: int,
) -> None:
    platform = truth.platform
    renderer, truth_maker = Renderer(world, truth, threads=threads), TruthMaker(world, truth)
    options = [cv2.IMWRITE_JPEG_QUALITY, platform.camera.jpeg_quality]
    lag_ns = round(platform.camera.frame_lag_s * 1e9)
    told = []
    total = _count(seconds, fps)
    for number in range(total):
        time_s = number / fps
        is_encoded, jpeg = cv2.imencode(".jpg", renderer.frame(number, time_s), options)
        if not is_encoded:
            raise FlightError(f"{writer.path}: frame {number} could not be encoded as JPEG")
        frame_truth = truth_maker.frame(number, time_s)
        writer.add_frame(platform.camera.sensor_id, number, frame_truth.time_ns + lag_ns, jpeg.tobytes())
        told.append(frame_truth)
        if progress is not None:
            progress(number + 1, total, platform.id)
    writer.add_file(TRUTH_JSONL, encode_lines(told))


def sensor_of(platform: Platform, truth: PlatformTruth) -> Sensor:
    """How a flight folder describes the platform's camera, its error budget included."""
    camera, errors, sigmas = platform.camera, platform.errors, truth.sigmas
    return Sensor(
        sensor_id=camera.sensor_id,
        width_px=camera.width_px,
        height_px=camera.height_px,
        camera=truth.camera_model.to_jsonable(),
        camera_note="exact: the camera of a rendered scenario",
        mount=FixedMount(pitch_deg=-90.0)
        if camera.sweep is None
        else GimbalMount(gimbal_device_id=_GIMBAL_DEVICE),
        frame_lag_s=camera.frame_lag_s,
        frame_lag_sigma_s=errors.time_offset_s,
        sigma=SensorSigma(
            horizontal_m=sigmas.horizontal_m,
            vertical_m=sigmas.vertical_m,
            tilt_deg=sigmas.tilt_deg,
            heading_deg=sigmas.heading_deg,
            boresight_deg=sigmas.boresight_deg,
            pixel_px=errors.pixel_px,
            focal_percent=sigmas.focal_percent,
            principal_px=sigmas.principal_px,
            surface_m=errors.surface_m,
        ),
    )


def _count(seconds: float, fps: float) -> int:
    return max(int(seconds * fps), 1)
