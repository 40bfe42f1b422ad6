"""`skywarden edge` (run, check, config) and `skywarden locate`."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from cyclopts import App, Parameter

from skywarden.config import load_config, to_tree
from skywarden.doctor import default_state_dir
from skywarden.errors import SkywardenError, UsageError

app = App(
    name="edge",
    help="The worker aboard: reads MAVLink and cameras, detects, locates, records, sends to the ground.",
    help_epilogue=(
        "Examples:\n\n"
        "    skywarden edge check edge.toml\n"
        "    skywarden edge run edge.toml\n"
        "    SKYWARDEN_EDGE__MAVLINK__CONNECTION=udpin:0.0.0.0:14550 skywarden edge run edge.toml"
    ),
)


@app.command
def run(
    config: Path,
    *,
    log_format: Literal["auto", "console", "json"] = "auto",
    verbose: Annotated[bool, Parameter(alias="-v")] = False,
    quiet: Annotated[bool, Parameter(alias="-q")] = False,
    mavlink_rx_only: bool = False,
) -> int:
    """Run the worker until it is told to stop (SIGTERM or Ctrl-C); stops cleanly within 5 s.

    Parameters
    ----------
    config
        The platform's TOML file; docs/reference/configuration explains every key.
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
    from skywarden.logs import configure_logs

    configure_logs(log_format, verbosity=1 if verbose else -1 if quiet else 0)
    settings = load_config(EdgeConfig, config, prefix="edge")
    if mavlink_rx_only:
        settings = msgspec.structs.replace(
            settings, mavlink=msgspec.structs.replace(settings.mavlink, receive_only=True)
        )
    state = settings.state_dir(default_state_dir() / "edge")
    EdgeWorker(settings, config.resolve(), state, SystemClock()).run()
    return 0


@app.command
def check(config: Path, *, json: bool = False) -> int:
    """Read the configuration, load the models and terrain, and show the values in force; starts nothing.

    Parameters
    ----------
    config
        The platform's TOML file.
    json
        Print the effective values as JSON.
    """
    from edge.config import EdgeConfig
    from edge.vision_process import surface_of
    from models.catalogue import load_detector
    from skywarden.mavlink.connection import parse_connection

    settings = load_config(EdgeConfig, config, prefix="edge")
    parse_connection(settings.mavlink.connection)
    for sensor in settings.sensor:
        surface_of(sensor)
        if sensor.lens is not None:
            sensor.lens.model()
        load_detector(sensor.model.name, threads=sensor.model.threads).warm_up()
    tree = to_tree(settings)
    if json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(tree), indent=2).decode() + "\n")
    else:
        sys.stdout.write("\n".join(_lines(tree)) + "\n")
        sys.stderr.write(f"{config} is in order: {len(settings.sensor)} sensors\n")
    return 0


def _lines(value: object, path: str = "") -> list[str]:
    if isinstance(value, dict):
        return [
            line for key, item in value.items() for line in _lines(item, f"{path}.{key}" if path else key)
        ]
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return [line for i, item in enumerate(value) for line in _lines(item, f"{path}[{i}]")]
    return [f"{path} = {value!r}"]


locate_app = App(name="locate", help="Where on the ground is this pixel, and how sure are we?")


@locate_app.default
def locate(
    *,
    latitude_deg: Annotated[float, Parameter(name=["--lat"])],
    longitude_deg: Annotated[float, Parameter(name=["--lon"])],
    alt_hae_m: float | None = None,
    alt_msl_m: float | None = None,
    heading_deg: float,
    pitch_deg: float,
    roll_deg: float = 0.0,
    width_px: Annotated[int, Parameter(name=["--width"])] = 1920,
    height_px: Annotated[int, Parameter(name=["--height"])] = 1080,
    hfov_deg: float = 60.0,
    pixel: tuple[float, float] | None = None,
    terrain: Path | None = None,
    level_hae_m: float | None = None,
    sea: bool = False,
    json: bool = False,
) -> int:
    """Cast the ray of one pixel onto terrain, sea or level ground, with its 90 % error ellipse.

    Example: `skywarden locate --lat 41.801 --lon 12.6483 --alt-msl-m 500 --heading-deg 315 --pitch-deg -20
    --terrain rome.tif`

    Parameters
    ----------
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
    json
        Print one JSON object.
    """
    from edge.ask import LocateQuestion, answer

    if sum(given is not None and given is not False for given in (terrain, level_hae_m, sea)) != 1:
        raise UsageError("say what the ray meets: one of --terrain FILE, --level-hae-m HEIGHT, --sea")
    if (alt_hae_m is None) == (alt_msl_m is None):
        raise UsageError("give the camera's height as one of --alt-hae-m and --alt-msl-m")
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
    )
    found = answer(question)
    if json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(found), indent=2).decode() + "\n")
    else:
        sys.stdout.write("".join(f"{key:>16}  {value}\n" for key, value in found.items()))
    if found["status"] != "ok":
        raise SkywardenError(f"no position: {found['status']}; the bearing above is all that is known")
    return 0
