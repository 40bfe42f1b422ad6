"""Flies a scenario's platforms and records them as flight folders with truth."""

import hashlib
import multiprocessing
import shutil
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from pathlib import Path

import cv2
import msgspec

from sim.scenario.description import Scenario
from sim.scenario.flown.items import AisItem, FrameItem, Injector, Item, TelemetryItem, injected
from sim.scenario.flown.looks import LOOKS_JSONL, LookMaker
from sim.scenario.flown.streams import ais_items, frame_count, frame_items, in_order, telemetry_items
from sim.scenario.layers import write_terrain
from sim.scenario.platform import PlatformTruth
from sim.scenario.render import Renderer
from sim.scenario.tables.flying import Platform
from sim.scenario.truth import TRUTH_GEOJSON, TRUTH_JSONL, TruthMaker, encode_lines, truth_geojson
from sim.scenario.world import World
from skywarden.errors import FlightError, SkywardenError, UsageError
from skywarden.flight.schema import MANIFEST, ClockNote, FixedMount, GimbalMount, Sensor, SensorSigma
from skywarden.flight.writer import FlightWriter

Progress = Callable[[int, int, str], None]
InjectorsFor = Callable[[Scenario, Platform], Sequence[Injector]]

TERRAIN_NAME = "terrain.npz"
MAX_SECONDS = 6 * 3600.0
_GIMBAL_DEVICE = 154


def sortie_id(scenario: Scenario, platform_id: str) -> str:
    """The sortie that a scenario's platform flies; another season is another sortie, or ids would repeat."""
    visit = f"-{scenario.season}" if scenario.season else ""
    return f"{scenario.name}-{scenario.seed}{visit}-{platform_id}"


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
    with_frames: bool = True,
    injectors: Sequence[Injector] = (),
) -> Path:
    """Record `seconds` of one platform's flight, `fps` pictures a second, into the new folder `out`.

    The folder holds telemetry, frames (JPEG, or 16-bit PNG of a thermal camera), camera model, AIS where
    anybody sends it, `truth.jsonl`, `truth.geojson` and `terrain.npz`. Without frames it holds `looks.jsonl`
    instead: detections drawn from truth. `injectors` change everything but the truth. The same scenario gives
    the same bytes. Returns `out`. Raises `UsageError` on a nonsense length or rate, `FlightError` when `out`
    is not empty or the disk refuses.
    """
    if not (0.0 < seconds <= MAX_SECONDS and 0.05 <= fps <= 60.0):
        raise UsageError(
            f"{seconds:g} s at {fps:g} frames/s: lengths go to {MAX_SECONDS:g} s, rates from 0.05 to 60"
        )
    platform = scenario.platform(platform_id)
    world = world or World(scenario)
    truth = PlatformTruth(scenario, platform, world=world)
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
        recorder = _Recorder(writer, platform, with_frames=with_frames)
        streams = [ais_items(world, seconds), telemetry_items(world, truth, seconds)]
        renderer = Renderer(world, truth, threads=threads) if with_frames else None
        frames = frame_items(world, truth, renderer, seconds, fps)
        told = progress if with_frames else None
        streams.append(_counted(frames, frame_count(seconds, fps), platform.id, told))
        for item in injected(in_order(*streams), injectors):
            recorder.take(item)
        _add_truth(writer, world, truth, seconds, fps, None if with_frames else recorder.undrawn)
        tile = out.with_name(out.name + ".terrain.part.npz")
        try:
            writer.add_file(TERRAIN_NAME, write_terrain(world, tile))
        finally:
            tile.unlink(missing_ok=True)
    return out


class _Recorder:
    """Puts items into a flight as they come."""

    def __init__(self, writer: FlightWriter, platform: Platform, *, with_frames: bool = True) -> None:
        self._writer = writer
        self._with_frames = with_frames
        self.undrawn: list[FrameItem] = []
        self._options = [cv2.IMWRITE_JPEG_QUALITY, platform.camera.jpeg_quality]

    def take(self, item: Item) -> None:
        """Record one item; raises `FlightError` when it cannot be."""
        match item:
            case TelemetryItem():
                self._writer.append_telemetry(item.time_ns, item.raw)
            case AisItem():
                self._writer.append_ais(item.line.decode("ascii", "replace"))
            case FrameItem() if not self._with_frames:
                self.undrawn.append(item)
            case FrameItem():
                data = item.data if item.data is not None else self._encoded(item)
                self._writer.add_frame(
                    item.sensor_id, item.frame_number, item.time_ns, data, suffix=item.suffix
                )

    def _encoded(self, item: FrameItem) -> bytes:
        options = self._options if item.suffix == ".jpg" else [cv2.IMWRITE_PNG_COMPRESSION, 1]
        is_encoded, data = cv2.imencode(item.suffix, item.pixels(), options)
        if not is_encoded:
            raise FlightError(f"{self._writer.path}: frame {item.frame_number} could not be encoded")
        return data.tobytes()


def _counted(items: Iterator[Item], total: int, name: str, progress: Progress | None) -> Iterator[Item]:
    """The same items, told as each one is done with."""
    for done, item in enumerate(items, 1):
        yield item
        if progress is not None:
            progress(done, total, name)


def _add_truth(
    writer: FlightWriter,
    world: World,
    truth: PlatformTruth,
    seconds: float,
    fps: float,
    undrawn: Sequence[FrameItem] | None,
) -> None:
    """What is true of every frame, and, where none was drawn, what a detector would have said."""
    maker = TruthMaker(world, truth)
    told = [maker.frame(number, number / fps) for number in range(frame_count(seconds, fps))]
    writer.add_file(TRUTH_JSONL, encode_lines(told))
    writer.add_file(TRUTH_GEOJSON, truth_geojson(world, seconds))
    if undrawn is None:
        return
    scenario = world.scenario
    looks = LookMaker(scenario.seed, truth.platform.id, truth.camera_model, scenario.sea)
    encoder = msgspec.json.Encoder()
    lines = [
        encoder.encode(looks.of_item(item, told[item.frame_number if item.shows is None else item.shows]))
        for item in undrawn
    ]
    writer.add_file(LOOKS_JSONL, b"".join(line + b"\n" for line in lines))


def render_flights(
    scenario: Scenario,
    folder: Path,
    *,
    seconds: float,
    fps: float,
    progress: Progress | None = None,
    with_frames: bool = True,
    injectors_for: InjectorsFor | None = None,
) -> dict[str, Path]:
    """Record every platform at once, a process each, into `folder`/PLATFORM; answers where.

    `injectors_for` (a function of a module) gives each platform its faults. Raises the first error of a
    process; folders of flights that were cut off are removed.
    """
    context = multiprocessing.get_context("spawn")
    paths = {platform.id: folder / platform.id for platform in scenario.platforms}
    running: dict[Connection, tuple[str, multiprocessing.process.BaseProcess]] = {}
    for platform_id, path in paths.items():
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(
            target=_render_in_process,
            args=(theirs, scenario, platform_id, path, seconds, fps, with_frames, injectors_for),
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


def flights_hash(flights: dict[str, Path]) -> str:
    """One SHA-256 over the manifests of several flights: the same bytes everywhere give the same hash."""
    digest = hashlib.sha256()
    for platform_id, path in sorted(flights.items()):
        digest.update(platform_id.encode() + b"\0" + (path / MANIFEST).read_bytes())
    return digest.hexdigest()


def _follow(
    running: dict[Connection, tuple[str, multiprocessing.process.BaseProcess]],
    scenario: Scenario,
    seconds: float,
    fps: float,
    progress: Progress | None,
) -> None:
    """Listen to the processes until all are done; raises what one of them tells."""
    total = len(scenario.platforms) * frame_count(seconds, fps)
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
    pipe: Connection,
    scenario: Scenario,
    platform_id: str,
    path: Path,
    seconds: float,
    fps: float,
    with_frames: bool,
    injectors_for: InjectorsFor | None,
) -> None:
    """The body of one rendering process; speaks words over the pipe: `done N`, `end`, `error SENTENCE`."""
    cv2.setNumThreads(1)

    def tell(done: int, total: int, text: str) -> None:
        if done % 5 == 0 or done == total:
            pipe.send_bytes(f"done {done}".encode())

    try:
        platform = scenario.platform(platform_id)
        render_flight(
            scenario,
            platform_id,
            path,
            seconds=seconds,
            fps=fps,
            progress=tell,
            with_frames=with_frames,
            injectors=() if injectors_for is None else injectors_for(scenario, platform),
        )
        pipe.send_bytes(b"end")
    except SkywardenError as error:
        pipe.send_bytes(f"error {error}".encode()[:4000])
    finally:
        pipe.close()


def sensor_of(platform: Platform, truth: PlatformTruth) -> Sensor:
    """How a flight folder describes the platform's camera, its error budget included."""
    camera, errors, sigmas = platform.camera, platform.errors, truth.sigmas
    # Older autopilots speak for their gimbal themselves, under their own component number.
    is_mount = camera.sweep is not None and camera.sweep.convention.startswith("mount")
    return Sensor(
        sensor_id=camera.sensor_id,
        kind=camera.kind,
        width_px=camera.width_px,
        height_px=camera.height_px,
        camera=truth.camera_model.to_jsonable(),
        camera_note="exact: the camera of a rendered scenario",
        mount=FixedMount(pitch_deg=-90.0)
        if camera.sweep is None
        else GimbalMount(gimbal_device_id=None if is_mount else _GIMBAL_DEVICE),
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
