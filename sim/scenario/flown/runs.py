"""One run of a scenario on disk: every platform's flight, what AIS was heard, and what the run was.

OUT/run.json                 name, seed, season, length, platforms, faults, one hash over all flights
OUT/scenario.json            the scenario as it was flown, seed and all
OUT/ais.nmea                 what the station's receiver heard
OUT/PLATFORM/                a flight folder with truth (with seasons: OUT/SEASON/PLATFORM/)
"""

import importlib
import re
from dataclasses import dataclass
from pathlib import Path

import msgspec

from sim.scenario.description import Scenario
from sim.scenario.flown.items import AisItem, injected
from sim.scenario.flown.streams import ais_items
from sim.scenario.runner import InjectorsFor, Progress, flights_hash, render_flight, render_flights
from sim.scenario.tables.faults import Fault
from sim.scenario.world import World
from skywarden.clock import NS_PER_S
from skywarden.errors import FlightError, UsageError

RUN_JSON = "run.json"
RUN_AIS = "ais.nmea"
SCENARIO_JSON = "scenario.json"
FAULT_ENGINE = "sim.range.faults.engine"
_TAG_TIME = re.compile(rb"^\\[^\\]*?c:(\d{9,12})")


class RunOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How a scenario is run; what is `None` the scenario says itself."""

    seconds: float | None = None
    fps: float | None = None
    season: str | None = None
    with_frames: bool = True
    with_faults: bool = True
    jobs: int = 2
    """Processes that draw; one draws all platforms here, one after the other."""

    def live(self, scenario: Scenario) -> "RunOptions":
        """The same for a live run, which has one season: the first when none is named."""
        if self.season is not None or not scenario.seasons:
            return self
        return msgspec.structs.replace(self, season=scenario.seasons[0].id)


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """What a run was; `flights` by platform, or by SEASON/PLATFORM."""

    scenario: str
    seed: int
    seconds: float
    start_ns: int
    with_frames: bool
    flights: dict[str, str]
    faults: tuple[Fault, ...]
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Flown:
    """A run that was made just now."""

    start_ns: int
    flights: dict[str, Path]
    sha256: str


def fly(scenario: Scenario, out: Path, options: RunOptions, *, progress: Progress | None = None) -> Flown:
    """Record every platform (and every season, when none is chosen) below the new folder `out`.

    The same scenario, seed and options give the same bytes. Raises `ConfigError` for a season that there is
    not, `UsageError` for a nonsense length, `FlightError` when the disk refuses.
    """
    seconds = options.seconds if options.seconds is not None else scenario.duration_s
    if options.season is not None:
        visits = {"": scenario.in_season(options.season)}
    elif scenario.seasons:
        visits = {season.id: scenario.in_season(season.id) for season in scenario.seasons}
    else:
        visits = {"": scenario}
    flights: dict[str, Path] = {}
    for visit, there in visits.items():
        folder = out / visit if visit else out
        made = _fly_visit(there, folder, seconds, options, progress)
        flights |= {f"{visit}/{name}" if visit else name: path for name, path in made.items()}
    first = next(iter(visits.values()))
    digest = flights_hash(flights)
    run = Run(
        scenario=scenario.name,
        seed=scenario.seed,
        seconds=seconds,
        start_ns=first.start_ns,
        with_frames=options.with_frames,
        flights={name: str(path.relative_to(out)) for name, path in flights.items()},
        faults=scenario.fault if options.with_faults else (),
        sha256=digest,
    )
    _write(out / RUN_JSON, msgspec.json.format(msgspec.json.encode(run), indent=2) + b"\n")
    kept = first if options.season is not None else scenario
    _write(out / SCENARIO_JSON, msgspec.json.format(msgspec.json.encode(kept), indent=1) + b"\n")
    return Flown(start_ns=first.start_ns, flights=flights, sha256=digest)


def read_run(folder: Path) -> Run:
    """What `run.json` of a run says; raises `FlightError` when it is none."""
    try:
        data = (folder / RUN_JSON).read_bytes()
        return msgspec.json.decode(data[:1_000_000], type=Run)
    except OSError as error:
        raise FlightError(f"{folder}: is no run of a scenario ({error.strerror})") from error
    except msgspec.DecodeError as error:
        raise FlightError(f"{folder / RUN_JSON}: {error}") from error


def flown_scenario(folder: Path) -> Scenario:
    """The scenario of a run, in the season that was flown first; raises `FlightError` when it is missing."""
    seasons = sorted({name.split("/")[0] for name in read_run(folder).flights if "/" in name})
    return scenario_of_visit(folder, seasons[0] if seasons else "")


def scenario_of_visit(folder: Path, season: str) -> Scenario:
    """The scenario of a run as it was in one season ("" where it has none); raises `FlightError`."""
    path = folder / SCENARIO_JSON
    try:
        scenario = msgspec.json.decode(path.read_bytes(), type=Scenario)
    except OSError as error:
        raise FlightError(f"{path}: cannot be read ({error.strerror}); fly the scenario again") from error
    except msgspec.DecodeError as error:
        raise FlightError(f"{path}: {error}") from error
    return scenario.in_season(season) if scenario.seasons and season else scenario


def heard_in(folder: Path) -> list[tuple[int, bytes]]:
    """The AIS sentences of a run (the first season's, where there are several) with their UTC."""
    files = sorted(folder.glob(RUN_AIS)) or sorted(folder.glob(f"*/{RUN_AIS}"))
    return sentences_in(files[0]) if files else []


def sentences_in(path: Path) -> list[tuple[int, bytes]]:
    """The AIS sentences of a file with the UTC (ns) of their TAG blocks; lines without one are left out.

    Raises `FlightError` when the file cannot be read.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise FlightError(f"{path}: cannot be read ({error.strerror})") from error
    stamped = ((_TAG_TIME.match(line), line) for line in lines)
    return [(int(found[1]) * NS_PER_S, line) for found, line in stamped if found is not None]


def injectors_of(scenario: Scenario, options: RunOptions) -> InjectorsFor | None:
    """What makes the injectors of each platform; `None` where the scenario orders no fault.

    Raises `UsageError` when faults are ordered and no fault engine is installed.
    """
    if not scenario.fault or not options.with_faults:
        return None
    try:
        engine = importlib.import_module(FAULT_ENGINE)
    except ModuleNotFoundError as error:
        raise UsageError(
            f"scenario {scenario.name} orders {len(scenario.fault)} faults, but there is no fault engine; "
            "--no-faults runs it without"
        ) from error
    found: InjectorsFor = engine.injectors_for
    return found


def _fly_visit(
    scenario: Scenario, folder: Path, seconds: float, options: RunOptions, progress: Progress | None
) -> dict[str, Path]:
    maker = injectors_of(scenario, options)
    rates = {options.fps or platform.camera.fps for platform in scenario.platforms}
    if options.with_frames and options.jobs > 1 and len(scenario.platforms) > 1 and len(rates) == 1:
        paths = render_flights(
            scenario,
            folder,
            seconds=seconds,
            fps=rates.pop(),
            progress=progress,
            injectors_for=maker,
        )
        world = World(scenario)
    else:
        world, paths = World(scenario), {}
        for platform in scenario.platforms:
            paths[platform.id] = render_flight(
                scenario,
                platform.id,
                folder / platform.id,
                seconds=seconds,
                fps=options.fps or platform.camera.fps,
                progress=progress,
                world=world,
                with_frames=options.with_frames,
                injectors=() if maker is None else maker(scenario, platform),
            )
    first = scenario.platforms[0]
    items = injected(ais_items(world, seconds), () if maker is None else maker(scenario, first))
    lines = [item.line + b"\r\n" for item in items if isinstance(item, AisItem)]
    if lines:
        _write(folder / RUN_AIS, b"".join(lines))
    return paths


def _write(path: Path, data: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    except OSError as error:
        raise FlightError(f"{path}: cannot be written ({error.strerror})") from error
