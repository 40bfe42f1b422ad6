"""`skywarden edge` (run, check, config, model) and `skywarden locate`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from cyclopts import App, Parameter

from skywarden.config import Setting, explain_config, find_config, load_config
from skywarden.errors import ConfigError, SkywardenError, UsageError

if TYPE_CHECKING:
    from edge.config import EdgeConfig

_PLACES = "$XDG_CONFIG_HOME/skywarden/edge.toml or /etc/skywarden/edge.toml"

app = App(
    name="edge",
    help="""The worker aboard: reads MAVLink and cameras, detects, locates, records, sends to the ground.

For example:

    skywarden edge check edge.toml
    skywarden edge run edge.toml
    skywarden edge model status
    SKYWARDEN_EDGE__MAVLINK__CONNECTION=udpin:0.0.0.0:14550 skywarden edge run edge.toml
""",
    default_parameter=Parameter(negative=()),
)
app.command("edge.models_aboard.cli:model", name="model")


@app.command
def run(
    config: Path | None = None,
    *,
    log_format: Literal["auto", "console", "json"] = "auto",
    verbose: Annotated[bool, Parameter(alias="-v")] = False,
    quiet: Annotated[bool, Parameter(alias="-q")] = False,
    mavlink_rx_only: bool = False,
) -> int:
    """Run the worker until it is told to stop (SIGTERM or Ctrl-C); stops cleanly within 5 s.

    For example:

        skywarden edge run edge.toml
        skywarden edge run edge.toml --mavlink-rx-only -v
        skywarden edge run edge.toml --log-format json

    Exits with 78 when the configuration is wrong, 69 when the other end cannot be reached, 130 or 143 when
    it was told to stop.

    Parameters
    ----------
    config
        The platform's TOML file (docs/reference/configuration explains every key); when not given,
        $XDG_CONFIG_HOME/skywarden/edge.toml or /etc/skywarden/edge.toml.
    log_format
        "console" for people, "json" for a log collector; "auto" decides by the terminal.
    verbose
        Also log what happens for every frame.
    quiet
        Log only warnings and errors.
    mavlink_rx_only
        Never send anything to the autopilot, whatever the file says.
    """
    from edge.config import EdgeConfig
    from edge.worker import EdgeWorker
    from skywarden.clock import SystemClock
    from skywarden.doctor import default_state_dir
    from skywarden.logs import configure_logs

    if verbose and quiet:
        raise UsageError("give one of --verbose and --quiet")
    place = _found(config)
    settings = load_config(EdgeConfig, place, prefix="edge")
    configure_logs(log_format, verbosity=1 if verbose else -1 if quiet else 0)
    if mavlink_rx_only:
        settings = msgspec.structs.replace(
            settings, mavlink=msgspec.structs.replace(settings.mavlink, receive_only=True)
        )
    state = settings.state_dir(default_state_dir() / "edge")
    worker = EdgeWorker(settings, place.resolve(), state, SystemClock())
    worker.run()
    return 0 if worker.stopped_by is None else 128 + worker.stopped_by


@app.command
def check(config: Path | None = None, *, json: bool = False) -> int:
    """Read the configuration, load the models and terrain, and show the values in force; starts nothing.

    For example:

        skywarden edge check edge.toml
        skywarden edge check edge.toml --json

    Parameters
    ----------
    config
        The platform's TOML file; when not given, $XDG_CONFIG_HOME/skywarden/edge.toml or
        /etc/skywarden/edge.toml.
    json
        Print one JSON object: `file`, `is_good` and `settings` with key, value and origin.
    """
    from edge.config import EdgeConfig

    place = _found(config)
    settings = load_config(EdgeConfig, place, prefix="edge")
    _try_parts(settings)
    _show(place, explain_config(EdgeConfig, place, prefix="edge"), as_json=json)
    if not json:
        count = len(settings.sensor)
        sys.stderr.write(f"{place} is in order: {count} sensor{'' if count == 1 else 's'}\n")
    return 0


@app.command(name="config")
def show_config(config: Path | None = None, *, json: bool = False) -> int:
    """Show the values in force and where each came from; loads no model and needs no terrain.

    For example:

        skywarden edge config edge.toml
        SKYWARDEN_EDGE__RECORDER__IS_ON=false skywarden edge config edge.toml | grep -v default

    Parameters
    ----------
    config
        The platform's TOML file; when not given, $XDG_CONFIG_HOME/skywarden/edge.toml or
        /etc/skywarden/edge.toml.
    json
        Print one JSON object: `file`, `is_good` and `settings` with key, value and origin.
    """
    from edge.config import EdgeConfig

    place = _found(config)
    _show(place, explain_config(EdgeConfig, place, prefix="edge"), as_json=json)
    return 0


def _found(config: Path | None) -> Path:
    place = config or find_config("edge.toml")
    if place is None:
        raise ConfigError(f"no configuration: name the platform's TOML file, or put it at {_PLACES}")
    return place


def _try_parts(settings: "EdgeConfig") -> None:
    """Everything that would fail later in a child process fails here, as a sentence."""
    from edge.vision.detectors import configured_detector
    from edge.vision.process import surface_of
    from skywarden.mavlink.connection import parse_connection

    parse_connection(settings.mavlink.connection)
    if settings.link.ground:
        settings.link.ground_key()
    for sensor in settings.sensor:
        surface_of(sensor)
        sensor.read_calibration()
        if sensor.lens is not None:
            sensor.lens.model()
        for each in sensor.detectors:
            configured_detector(each)


def _show(place: Path, settings: list[Setting], *, as_json: bool) -> None:
    if as_json:
        tree = {"file": str(place), "is_good": True, "settings": settings}
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(tree), indent=2).decode() + "\n")
        return
    for one in settings:
        sys.stdout.write(f"{one.key} = {msgspec.json.encode(one.value).decode()}  # {one.origin}\n")


locate_app = App(name="locate", default_parameter=Parameter(negative=()))


@locate_app.default
def locate(
    cases: Path | None = None,
    /,
    *,
    latitude_deg: Annotated[float | None, Parameter(name=["--lat"])] = None,
    longitude_deg: Annotated[float | None, Parameter(name=["--lon"])] = None,
    alt_hae_m: float | None = None,
    alt_msl_m: float | None = None,
    heading_deg: float | None = None,
    pitch_deg: float | None = None,
    roll_deg: float = 0.0,
    width_px: Annotated[int, Parameter(name=["--width"])] = 1920,
    height_px: Annotated[int, Parameter(name=["--height"])] = 1080,
    hfov_deg: float = 60.0,
    pixel: tuple[float, float] | None = None,
    terrain: Path | None = None,
    level_hae_m: float | None = None,
    sea: bool = False,
    tide_m: float = 0.0,
    tide_sigma_m: float = 0.0,
    json: bool = False,
) -> int:
    r"""Cast the ray of one pixel onto terrain, sea or level ground, with its 90 % error ellipse.

    For example:

        skywarden locate --lat 41.801 --lon 12.648 --alt-msl-m 500 --heading-deg 315 --pitch-deg -20 --sea
        skywarden locate --lat 41.801 --lon 12.648 --alt-msl-m 500 --heading-deg 315 --pitch-deg -20 \
            --terrain rome.tif --pixel 812.5 304 --json
        skywarden locate pixel_to_ground_cases.json --json

    With a file of reference cases or field marks, answers each of them (docs/locating tells the form); exits
    with 3 when one of them is damaged. Exits with 1 when there is no position for the one pixel, such as
    above the horizon; the bearing is printed all the same.

    Parameters
    ----------
    cases
        JSON file of cases, area cases or field marks; nothing else but --json goes with it.
    latitude_deg
        Of the camera, degrees north.
    longitude_deg
        Of the camera, degrees east.
    alt_hae_m
        Of the camera above the WGS 84 ellipsoid; or give --alt-msl-m.
    alt_msl_m
        Of the camera above the EGM96 geoid ("above sea level").
    heading_deg
        True direction of the optical axis.
    pitch_deg
        Of the optical axis above the horizon; -90 looks straight down.
    roll_deg
        About the optical axis, clockwise.
    width_px
        Image width.
    height_px
        Image height.
    hfov_deg
        Horizontal field of view.
    pixel
        Column and row from the centre of the upper-left pixel; the image centre when not given.
    terrain
        GeoTIFF, .hgt, tile of ours, or a folder of them.
    level_hae_m
        Height of level ground above the ellipsoid, instead of terrain.
    sea
        The ray meets the sea surface.
    tide_m
        Height of the sea above the geoid.
    tide_sigma_m
        One-sigma error of the tide.
    json
        Print one JSON object, or with a file an array of one object per case.
    """
    if cases is not None:
        given = (latitude_deg, longitude_deg, alt_hae_m, alt_msl_m, heading_deg, pitch_deg, pixel, terrain)
        if sea or any(value is not None for value in (*given, level_hae_m)):
            raise UsageError(f"{cases} holds the questions: give the file and --json, nothing else")
        return _show_answers(cases, as_json=json)
    asked = {"--lat": latitude_deg, "--lon": longitude_deg, "--heading-deg": heading_deg}
    missing = [name for name, value in (asked | {"--pitch-deg": pitch_deg}).items() if value is None]
    if latitude_deg is None or longitude_deg is None or heading_deg is None or pitch_deg is None:
        raise UsageError(f"needs {', '.join(missing)} or a file of cases; see skywarden locate --help")
    if sum(given is not None and given is not False for given in (terrain, level_hae_m, sea)) != 1:
        raise UsageError("say what the ray meets: one of --terrain FILE, --level-hae-m HEIGHT, --sea")
    if (alt_hae_m is None) == (alt_msl_m is None):
        raise UsageError("give the camera's height as one of --alt-hae-m and --alt-msl-m")
    from edge.geolocation.ask import LocateQuestion, answer

    question = LocateQuestion(
        latitude_deg=latitude_deg,
        longitude_deg=longitude_deg,
        alt_hae_m=alt_hae_m,
        alt_msl_m=alt_msl_m,
        euler_deg=(roll_deg, pitch_deg, heading_deg),
        size_px=(width_px, height_px),
        hfov_deg=hfov_deg,
        pixel=pixel,
        terrain=terrain,
        level_hae_m=level_hae_m,
        tide_m=tide_m,
        tide_sigma_m=tide_sigma_m,
    )
    found = answer(question)
    if json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(found), indent=2).decode() + "\n")
    else:
        sys.stdout.write("".join(f"{key:>16}  {value}\n" for key, value in found.items()))
    if found["status"] != "ok":
        raise SkywardenError(f"no position: {found['status']}; the bearing above is all that is known")
    return 0


def _show_answers(path: Path, *, as_json: bool) -> int:
    from edge.geolocation.cases import answers, read_cases

    found, problems = answers(read_cases(path))
    if problems:
        others = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        sys.stderr.write(f"skywarden: {path}: {problems[0]}{others}\n")
    code = 3 if problems else 0
    if as_json:
        lines = ",\n".join(msgspec.json.encode(each).decode() for each in found)
        sys.stdout.write(f"[\n{lines}\n]\n")
        return code
    heads: tuple[str, ...] = ()
    for each in found:
        if tuple(each) != heads:
            heads = tuple(each)
            sys.stdout.write("\t".join(heads) + "\n")
        sys.stdout.write("\t".join(_cell(name, value) for name, value in each.items()) + "\n")
    return code


_DECIMALS = {"lat_deg": 9, "lon_deg": 9, "hae_m": 3, "slant_range_m": 3, "ce90_m": 2}


def _cell(name: str, value: object) -> str:
    """One field of a line: `-` for what is not known, matrices row by row."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.{_DECIMALS.get(name, 3)}f}"
    if isinstance(value, list):
        return " ".join(f"{number:.4f}" for row in value for number in row)
    text = str(value)
    return text if text.isprintable() else ascii(text)
