"""`skywarden sim scenario`: runs scenarios into sockets or flight folders, lists them, shows one."""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import App, Parameter

from skywarden.errors import UsageError
from skywarden.progress import progress_bar

app = App(
    name="scenario",
    help="""Run a scripted world with truth: live into sockets, or as flight folders.

For example:

    skywarden sim scenario list
    skywarden sim scenario show harbour
    skywarden sim scenario faults
    skywarden sim scenario fishing-fleet --seed 7 --out run
    skywarden sim scenario fishing-fleet --mavlink udpout:127.0.0.1:14550 --frames inbox --loop
""",
    default_parameter=Parameter(negative=()),
)
Quiet = Annotated[bool, Parameter(alias="-q", help="No progress bar.")]
AsJson = Annotated[bool, Parameter(name="--json", help="Print the result as one JSON object.")]


@app.default
def run(
    name: str,
    *,
    seed: int | None = None,
    seconds: float | None = None,
    fps: float | None = None,
    season: str | None = None,
    out: Path | None = None,
    no_frames: bool = False,
    no_faults: bool = False,
    mavlink: str = "udpout:127.0.0.1:14550",
    frames: Path | None = None,
    ais: str | None = None,
    loop: bool = False,
    json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Fly every platform of a scenario, with truth.

    Without --out the flights are rendered first and then played into sockets, as live aircraft would: each
    further platform has the next port and a folder of its own below --frames.

    For example:

        skywarden sim scenario harbour --seed 3 --out run
        skywarden sim scenario empty-sea --seconds 3600 --no-frames --out hour
        skywarden sim scenario fishing-fleet --frames inbox --ais udpout:127.0.0.1:10110 --loop

    Parameters
    ----------
    name
        Name of a scenario (see `list`), or path of a TOML file.
    seed
        Draws errors, noise and fading; the file's own when not given. The same seed gives the same bytes.
    seconds
        Length; the scenario's own when not given.
    fps
        Frames a second; each camera's own when not given.
    season
        One of the scenario's seasons; without it --out has all of them, each in a folder of its own.
    out
        Folder for the flights: one for each platform, `ais.nmea` and `run.json` beside them.
    no_frames
        Draw no pictures: detections come from truth (`looks.jsonl`). A hundred times faster.
    no_faults
        Leave out the faults that the scenario orders.
    mavlink
        Where the first platform's MAVLink goes ("none" plays none).
    frames
        Folder that the frames appear in.
    ais
        Where AIS sentences go: udpout:HOST:PORT.
    loop
        Begin again at the end, until Ctrl-C.
    """
    from sim.scenario.description import load_scenario
    from sim.scenario.flown.runs import RunOptions, fly

    scenario = load_scenario(name, seed=seed)
    options = RunOptions(
        seconds=seconds,
        fps=fps,
        season=season,
        with_frames=not no_frames,
        with_faults=not no_faults,
    )
    if out is not None:
        if frames is not None or ais is not None or loop:
            raise UsageError("--out records; --frames, --ais and --loop are for playing live")
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise UsageError(f"--out {out}: name a folder that is empty or not there yet")
        with progress_bar("flying the scenario", is_quiet=quiet) as report:
            done = fly(scenario, out, options, progress=report)
        if json:
            _print_json(done)
        else:
            for path in done.flights.values():
                sys.stdout.write(f"{path}\n")
            sys.stdout.write(f"{scenario.name}, seed {scenario.seed}: {done.sha256}\n")
        return 0
    return _live(scenario, options, mavlink, frames, ais, loop=loop, json=json, quiet=quiet)


@app.command(name="list")
def list_(*, json: AsJson = False) -> int:
    """Name the scenarios that come with skywarden.

    For example:

        skywarden sim scenario list
        skywarden sim scenario list --json
    """
    from sim.scenario.description import builtin_scenarios, load_scenario

    found = [load_scenario(name) for name in builtin_scenarios()]
    if json:
        _print_json([_short(scenario) for scenario in found])
        return 0
    width = max(len(scenario.name) for scenario in found)
    for scenario in found:
        sys.stdout.write(f"{scenario.name:<{width}}  {scenario.title}\n")
    return 0


@app.command
def show(name: str, *, json: AsJson = False) -> int:
    """Say what happens in a scenario, who flies and what is there; as JSON: the whole description.

    For example:

        skywarden sim scenario show go-fast-at-dusk
        skywarden sim scenario show ./mine.toml --json

    Parameters
    ----------
    name
        Name of a scenario, or path of a TOML file.
    """
    from sim.scenario.description import load_scenario

    scenario = load_scenario(name)
    if json:
        _print_json(scenario)
        return 0
    told = _short(scenario)
    about = " ".join(scenario.about.split())
    sys.stdout.write(f"{scenario.name}: {scenario.title}\n{about}\n\n")
    for key in ("duration_s", "seed", "seasons", "platforms", "vessels", "plots", "decoys", "faults"):
        value = told[key]
        text = ", ".join(str(one) for one in value) if isinstance(value, list) else str(value)
        sys.stdout.write(f"{key:>11}: {text or 'none'}\n")
    return 0


@app.command
def faults(*, json: AsJson = False) -> int:
    """List the faults that a scenario can order in its `[[fault]]` tables, and what is expected of each.

    For example:

        skywarden sim scenario faults
        skywarden sim scenario faults --json
    """
    from sim.range.faults.listing import listed

    found = listed()
    if json:
        _print_json(found)
        return 0
    width = max(len(one["kind"]) for one in found)
    for one in found:
        expected = one["expected"]
        words = " or ".join(expected["reported_as"])
        said = f"said within {expected['within_s']:g} s: {words}" if words else "nothing aboard can tell"
        if not one["can_be_ordered"]:
            said = f"not in a run: {one['real_processes']}"
        sys.stdout.write(f"{one['kind']:<{width}}  {one['about']}\n{'':<{width}}  {said}\n")
        for name, spec in one["parameters"].items():
            sys.stdout.write(f"{'':<{width}}  {name} = {spec['default']} ({spec['about']})\n")
    return 0


def _short(scenario: Any) -> dict[str, Any]:
    """The few things that one chooses a scenario by."""
    return {
        "name": scenario.name,
        "title": scenario.title,
        "seed": scenario.seed,
        "duration_s": scenario.duration_s,
        "seasons": [season.id for season in scenario.seasons],
        "platforms": [platform.id for platform in scenario.platforms],
        "vessels": [vessel.id for vessel in scenario.vessels],
        "plots": [plot.id for plot in scenario.plots],
        "decoys": [decoy.id for decoy in (*scenario.decoys, *scenario.parcels)],
        "faults": [f"{fault.kind} at {fault.at_s:g} s" for fault in scenario.fault],
    }


def _live(
    scenario: Any,
    options: Any,
    mavlink: str,
    frames: Path | None,
    ais: str | None,
    *,
    loop: bool,
    json: bool,
    quiet: bool,
) -> int:
    from sim.replay import stop_on_signals
    from sim.scenario.flown.live import Live, check_live, live_targets
    from sim.scenario.flown.runs import fly, heard_in

    if frames is not None and not options.with_frames:
        raise UsageError("--frames needs pictures, which --no-frames leaves out")
    connection = None if mavlink == "none" else mavlink
    check_live([platform.id for platform in scenario.platforms], connection, ais)
    with _scratch() as folder:
        with progress_bar("rendering the scenario", is_quiet=quiet) as report:
            done = fly(scenario, folder / "run", options.live(scenario), progress=report)
        targets = live_targets(done.flights, connection, frames)
        heard = None if ais is None else (heard_in(folder / "run"), ais)
        with stop_on_signals() as stop:
            if not quiet:
                for target in targets:
                    sys.stderr.write(f"{target.platform_id}: {target.mavlink or 'no MAVLink'}\n")
            played = Live(targets, ais=heard, start_ns=done.start_ns, loop=loop).run(stop)
    if json:
        _print_json(played)
    else:
        for platform_id, told in played.items():
            sys.stdout.write(
                f"{platform_id}: {told.telemetry_count} MAVLink frames, {told.frame_count} images, "
                f"at most {told.latest_s * 1e3:.0f} ms late\n"
            )
    return 128 + stop.number if stop.number is not None else 0


@contextmanager
def _scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="skywarden-scenario-") as folder:
        yield Path(folder)


def _print_json(value: object) -> None:
    encoded = msgspec.json.encode(value, enc_hook=str)
    sys.stdout.write(msgspec.json.format(encoded, indent=2).decode() + "\n")
