"""`skywarden sim` (replay, import, render), `skywarden analyze`, `skywarden calibrate`, `skywarden demo`."""

import dataclasses
import sys
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from cyclopts import App, Parameter

from skywarden.errors import UsageError
from skywarden.progress import progress_bar

app = App(
    name="sim",
    help="""Replay recorded flights, import foreign logs, render scenarios.

For example:

    skywarden sim import DJI_0001.MP4 --out flight --hfov-deg 73
    skywarden sim replay flight --mavlink udpout:127.0.0.1:14550 --frames ./inbox --as-live
    skywarden sim render coast-and-hill --platform coast-1 --out flight --seconds 60
    skywarden sim scenario fishing-fleet --seed 7 --out run
    skywarden sim score run --report score.html
""",
    default_parameter=Parameter(negative=()),
)
app.command("sim.faults.cli:app", name="faults")
app.command("sim.scenario.cli:app", name="scenario")
app.command("sim.range.cli:score_app", name="score")
app.command("sim.range.campaign.cli:app", name="campaign")
app.command("sim.range.golden.cli:app", name="golden")
app.command("sim.range.diff_cli:app", name="diff")
app.command("sim.drill.cli:app", name="drill")
app.command("sim.motion_imagery.cli:misb", name="misb")
Quiet = Annotated[bool, Parameter(alias="-q", help="No progress bar.")]
AsJson = Annotated[bool, Parameter(name="--json", help="Print the result as one JSON object.")]


def _print_json(value: object) -> None:
    tree = (
        dataclasses.asdict(value)
        if dataclasses.is_dataclass(value) and not isinstance(value, type)
        else value
    )
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(tree), indent=2).decode() + "\n")


analyze_app = App(name="analyze", default_parameter=Parameter(negative=()))


@analyze_app.default
def analyze(
    flight: Path,
    *,
    out: Path | None = None,
    model: str = "anomaly",
    threads: int = 1,
    min_score: float = 0.0,
    terrain: Path | None = None,
    sea: bool = False,
    frame_lag_s: float | None = None,
    calibration: Path | None = None,
    json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Detect, locate and track over a whole flight; the same flight gives the same bytes every time.

    Writes `detections.jsonl`, `tracks.jsonl`, `sightings.geojson`, `plots.geojson` and their SHA-256 in
    `MANIFEST.sha256`.

    For example:

        skywarden analyze flight --out results
        skywarden analyze flight --terrain S36E149.hgt --json

    Parameters
    ----------
    flight
        A flight folder (`skywarden sim import` makes one from other recordings).
    out
        Folder for the results; `analysis` inside the flight when not given.
    model
        Detector of the zoo, or folder of one.
    threads
        Processor threads for inference.
    min_score
        Drop detections below; 0 takes the model's own threshold.
    terrain
        GeoTIFF, .hgt, tile or folder; without it the ground is level at the take-off height.
    sea
        Rays meet the sea surface.
    frame_lag_s
        How much later frames are stamped than taken; overrides what the flight says.
    calibration
        File that `skywarden calibrate` made.
    """
    from edge.calibration.record import read_calibration
    from sim.analyze import AnalyzeOptions
    from sim.analyze import analyze as run
    from skywarden.geometry.terrain import SeaSurface, Surface, load_terrain

    if terrain is not None and sea:
        raise UsageError("give one of --terrain and --sea")
    surface: Surface | None = load_terrain(terrain) if terrain else SeaSurface() if sea else None
    found_before = None if calibration is None else read_calibration(calibration)
    options = AnalyzeOptions(
        model=model,
        threads=threads,
        min_score=min_score,
        surface=surface,
        frame_lag_s=frame_lag_s,
        calibration=found_before,
    )
    target = out or flight / "analysis"
    if target.exists() and not target.is_dir():
        raise UsageError(f"--out {target} is a file; name a folder for the results")
    with progress_bar("analyzing", is_quiet=quiet) as report:
        found = run(flight, target, options, progress=report)
    if json:
        _print_json(found)
        return 0
    sys.stdout.write(
        f"{found.flight}: {found.frames} frames, {found.detections} detections "
        f"({found.located} with a position), {found.tracks} tracks, {found.sightings} sightings, "
        f"{found.plots} plots\n"
    )
    for name, digest in sorted(found.sha256.items()):
        sys.stdout.write(f"  {target / name}  sha256 {digest}\n")
    for problem in found.problems:
        sys.stderr.write(f"{problem}\n")
    return 0


calibrate_app = App(name="calibrate", default_parameter=Parameter(negative=()))


@calibrate_app.default
def calibrate(
    flight: Path,
    *,
    control: Path | None = None,
    ais: Path | None = None,
    out: Path | None = None,
    plot: Path | None = None,
    sensor_id: Annotated[str | None, Parameter(name="--sensor")] = None,
    model: str = "anomaly",
    threads: int = 1,
    min_score: float = 0.0,
    terrain: Path | None = None,
    sea: bool = False,
    json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Find boresight, heading and time errors of a camera from a flight, and prove that correction helps.

    Looks at known places count: vessels on AIS, or surveyed points; without either, repeated looks at what
    stands still. Nothing is written unless looks that took no part become better: exit code 3 says refused.

    For example:

        skywarden calibrate flight --terrain S36E149.hgt --plot found.png
        skywarden calibrate flight --sea --ais ais.nmea --out calibration.toml
        skywarden calibrate flight --control points.csv --json
        skywarden calibrate field_marks.json --out calibration.toml

    Parameters
    ----------
    flight
        A flight folder, or a JSON file of stills with marks.
    control
        Surveyed points: CSV or JSON with id, lat_deg, lon_deg and, where known, hae_m and sigma_m.
    ais
        AIS reports: NMEA with times of reception, or JSON lines; the flight's own ais.nmea when not given.
    out
        Calibration file for `path` in `[sensor.calibration]` of the edge's configuration.
    plot
        Picture of what was found.
    sensor_id
        Which camera, where the flight has several.
    model
        Detector of the zoo, or folder of one.
    threads
        Processor threads for inference.
    min_score
        Drop detections below; 0 takes the model's own threshold.
    terrain
        GeoTIFF, .hgt, tile or folder; without it the ground is level at the take-off height.
    sea
        Rays meet the sea surface.
    """
    from edge.calibration.record import calibration_toml
    from sim.calibrate import CalibrateOptions, report_json, report_text
    from sim.calibrate import calibrate as run
    from sim.calibrate_plot import plot_calibration
    from skywarden.geometry.terrain import SeaSurface, Surface, load_terrain

    if terrain is not None and sea:
        raise UsageError("give one of --terrain and --sea")
    if control is not None and ais is not None:
        raise UsageError("give one of --control and --ais")
    for name, path in (("--out", out), ("--plot", plot)):
        if path is not None and (path.is_dir() or not path.absolute().parent.is_dir()):
            raise UsageError(f"{name} {path}: name a file in a folder that is there")
    surface: Surface | None = load_terrain(terrain) if terrain else SeaSurface() if sea else None
    options = CalibrateOptions(
        control=control,
        ais=ais,
        sensor_id=sensor_id,
        model=model,
        threads=threads,
        min_score=min_score,
        surface=surface,
    )
    with progress_bar("calibrating", is_quiet=quiet) as report:
        found = run(flight, options, progress=report)
    if plot is not None:
        plot_calibration(found, plot)
    if found.calibration is not None and out is not None:
        out.write_text(calibration_toml(found.calibration), encoding="utf-8")
    if json:
        _print_json(report_json(found))
    else:
        sys.stdout.write(report_text(found))
        written = [str(path) for path in (out, plot) if path is not None and path.is_file()]
        sys.stdout.write("".join(f"wrote {path}\n" for path in written))
    return 0 if found.calibration is not None else 3


@app.command(name="import")
def import_(
    source: Path,
    *,
    out: Path,
    platform_id: Annotated[str | None, Parameter(name="--platform")] = None,
    hfov_deg: float | None = None,
    calibration: Path | None = None,
    mount: Literal["nadir", "forward", "gimbal"] | None = None,
    frame_lag_s: float | None = None,
    start: str | None = None,
    utc_offset_hours: float | None = None,
    takeoff_alt_msl_m: float | None = None,
    sequence: str | None = None,
    json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Make a flight folder from a foreign recording; its kind is recognised by its content.

    For example:

        skywarden sim import DJI_0001.MP4 --out flight --hfov-deg 73
        skywarden sim import ./2018-flight --out flight --mount nadir

    Reads: tlog with image folder and calibration, MP4 with DJI SRT, MPEG-TS with KLV (MISB ST 0601, 0104),
    GoPro MP4 with GPMF, ArduPilot .bin, PX4 .ulg, SeaDronesSee JSON with frames.

    Parameters
    ----------
    source
        File or folder of the recording.
    out
        The flight folder to make; must be empty or absent.
    platform_id
        Name of the platform; taken from the recording or its name when not given.
    hfov_deg
        Horizontal field of view, where the recording does not tell it; without one there are no positions.
    calibration
        JSON file with intrinsics: ours, or K and D as OpenCV names them.
    mount
        How the camera sits, where the recording does not say: looking straight down, ahead, or on a gimbal.
    frame_lag_s
        How much later frames are stamped than taken.
    start
        RFC 3339 time of the first frame, for recordings without a date.
    utc_offset_hours
        Zone of local times in the recording.
    takeoff_alt_msl_m
        Height of the take-off place above sea level, for recordings that know only heights above it.
    sequence
        Which part of a collection (SeaDronesSee: the name of a video).
    """
    from sim.importers import import_flight
    from skywarden.flight.schema import FixedMount, GimbalMount
    from skywarden.times import parse_rfc3339

    mounts = {
        None: None,
        "nadir": FixedMount(pitch_deg=-90.0),
        "forward": FixedMount(),
        "gimbal": GimbalMount(),
    }
    with progress_bar("importing", is_quiet=quiet) as report:
        found = import_flight(
            source,
            out,
            platform_id=platform_id,
            hfov_deg=hfov_deg,
            calibration=calibration,
            mount=mounts[mount],
            frame_lag_s=frame_lag_s,
            start_utc_ns=parse_rfc3339(start) if start else None,
            utc_offset_hours=utc_offset_hours,
            takeoff_alt_msl_m=takeoff_alt_msl_m,
            sequence=sequence,
            progress=report,
        )
    if json:
        _print_json(found)
        return 0
    frames = ", ".join(f"{count} frames of {name}" for name, count in sorted(found.frame_counts.items()))
    sys.stdout.write(
        f"{found.path}: {found.kind}; sortie {found.sortie_id}, {found.telemetry_count} MAVLink frames"
        f"{', ' if frames else ''}{frames}\n"
    )
    for note in found.notes:
        sys.stdout.write(f"  {note}\n")
    return 0


@app.command
def replay(
    flight: Path,
    *,
    rate: str = "1",
    mavlink: str | None = "udpout:127.0.0.1:14550",
    frames: str | None = None,
    as_live: bool = False,
    loop: bool = False,
    start_s: float = 0.0,
    seconds: float | None = None,
    json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Play a flight's MAVLink bytes and images into real sockets and files, until its end or Ctrl-C.

    The edge cannot tell it from an aircraft: start it with the same connection and with the folder (or
    address) of the images as its camera's `url`.

    For example:

        skywarden sim replay flight --mavlink udpout:127.0.0.1:14550 --frames inbox --as-live
        skywarden sim replay flight --rate max --mavlink tcpin:0.0.0.0:5760

    Parameters
    ----------
    flight
        The flight folder.
    rate
        How many times faster than recorded, or "max".
    mavlink
        Where the MAVLink bytes go: udpout:, udpin:, tcp:, tcpin:, unix: ... ("none" plays no telemetry).
    frames
        Where the images go: a folder, or udp://HOST:PORT for MPEG-TS.
    as_live
        Name images by the present, spacing kept, as a camera would; needs rate 1.
    loop
        Begin again at the end, until Ctrl-C.
    start_s
        Leave out so many seconds at the beginning.
    seconds
        Play only so many seconds.
    """
    from sim.replay import Replay, folder_outputs, stop_on_signals
    from sim.replay_outputs import FrameOutput, MavlinkSocket, MpegTsOutput
    from skywarden.flight.reader import FlightReader

    speed = _rate(rate)
    reader = FlightReader(flight)
    outputs: dict[str, FrameOutput] = {}
    if frames is not None and reader.info.sensors:
        if frames.startswith("udp://"):
            outputs = {reader.info.sensors[0].sensor_id: MpegTsOutput(frames)}
        else:
            outputs = folder_outputs(reader, Path(frames))
    sends = mavlink is not None and mavlink != "none"
    with progress_bar("replaying", is_quiet=quiet) as report, stop_on_signals() as stop:
        found = Replay(
            reader,
            mavlink=MavlinkSocket(str(mavlink), is_paced=speed is None) if sends else None,
            frames=outputs,
            rate=speed,
            as_live=as_live,
            loop=loop,
            start_s=start_s,
            seconds=seconds,
            progress=report,
        ).run(stop)
    if json:
        _print_json(found)
    else:
        sys.stdout.write(
            f"{found.telemetry_count} MAVLink frames ({found.telemetry_bytes} bytes) and {found.frame_count} "
            f"images played, at most {found.latest_s * 1e3:.0f} ms late\n"
        )
    return 128 + stop.number if stop.number is not None else 0


def _rate(text: str) -> float | None:
    if text == "max":
        return None
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"--rate {text!r} is neither a number nor max") from None


@app.command
def render(
    scenario: str,
    *,
    platform_id: Annotated[str, Parameter(name="--platform")],
    out: Path,
    seconds: float = 60.0,
    fps: float = 4.0,
    layers: Path | None = None,
    threads: int = 1,
    json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Fly one platform of a scenario and record it, with truth, as a flight folder.

    For example:

        skywarden sim render coast-and-hill --platform coast-1 --out flight --seconds 60

    Parameters
    ----------
    scenario
        Name of a built-in scenario (`skywarden sim scenario list`), or the path of a TOML file.
    platform_id
        Which platform of the scenario flies.
    out
        The flight folder to make; must be empty or absent.
    seconds
        Length of the flight.
    fps
        Images a second.
    layers
        Also write the console's map layers of the scenario into this folder.
    threads
        Processor threads for rendering.
    """
    from sim.scenario.description import load_scenario
    from sim.scenario.layers import write_layers
    from sim.scenario.runner import render_flight
    from sim.scenario.world import World

    loaded = load_scenario(scenario)
    world = World(loaded)
    with progress_bar("rendering", is_quiet=quiet) as report:
        render_flight(
            loaded, platform_id, out, seconds=seconds, fps=fps, progress=report, world=world, threads=threads
        )
    if layers is not None:
        write_layers(world, layers)
    if json:
        _print_json({"path": str(out), "layers": str(layers) if layers else None})
    else:
        sys.stdout.write(f"{out}\n")
    return 0


demo_app = App(name="demo", default_parameter=Parameter(negative=()))


@demo_app.default
def demo(
    *,
    headless: bool = False,
    seconds: float | None = None,
    http: str = "127.0.0.1:0",
    open_browser: Annotated[bool, Parameter(name="--open", negative="--no-open")] = True,
    json: AsJson = False,
) -> int:
    """Run the whole chain on this machine on a rendered scenario, until Ctrl-C.

    Two simulated platforms, two edge workers and a ground station; everything they see is rendered.

    For example:

        skywarden demo
        skywarden demo --headless --seconds 90
        skywarden demo --http 127.0.0.1:8600

    Parameters
    ----------
    headless
        Run for 60 s (or --seconds) without a browser; exit code 3 when nothing was seen on the ground.
    seconds
        Stop after so long.
    http
        Address of the console; port 0 takes a free one.
    open_browser
        Open the console in the browser, where there is a screen.
    """
    import os
    import time
    import webbrowser

    def say(text: str) -> None:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()

    say("loading the ground station and the simulator ...")
    from ground.config import host_and_port
    from sim.demo import Demo, demo_folder, is_drawn, prepare
    from sim.replay import stop_on_signals
    from skywarden.logs import configure_logs

    configure_logs(verbosity=-1)
    host_and_port(http, "--http")
    if not is_drawn():
        say("drawing what the cameras of two platforms see: some minutes, once on this machine ...")
    with progress_bar("drawing") as report:
        flights, layers = prepare(report)
    say("starting the ground station and two edge workers ...")
    limit_s = seconds if seconds is not None else 60.0 if headless else None
    with demo_folder() as folder, stop_on_signals() as stop:
        running = Demo(folder, http)
        try:
            url = running.start(flights, layers)
            say(
                f"\n  The console is at {url}\n  (this address signs in once)\n"
                "  Contacts appear within a minute. Ctrl-C stops everything.\n"
                "  Exports, in another terminal: skywarden ground export contacts --state "
                f"{folder / 'ground'}\n"
            )
            if (
                open_browser
                and not headless
                and (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
            ):
                webbrowser.open(url)
            end_s = None if limit_s is None else time.monotonic() + limit_s
            while not stop.wait(0.5) and (end_s is None or time.monotonic() < end_s):
                running.check()
            tally = running.tally()
        finally:
            say("stopping, within a few seconds ...")
            running.stop()
    if json:
        _print_json(tally)
    else:
        sys.stdout.write(
            f"on the ground: {tally.platforms} platforms, {tally.contacts} contacts "
            f"({tally.located} with a position), {tally.sightings} sightings\n"
        )
    if stop.number is not None:
        return 128 + stop.number
    if headless and (tally.located == 0 or tally.platforms < len(flights)):
        say("nothing was seen on the ground, or a platform was never heard: that is a fault")
        return 3
    return 0
