"""The `skywarden` command: finds the rooms' subcommands by entry points, imports only the one asked for."""

import os
import platform
import signal
import sys
from importlib.metadata import entry_points
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import msgspec
from cyclopts import App, Parameter
from rich.console import Console
from rich.table import Table

from skywarden import __version__
from skywarden.errors import SkywardenError

_SUMMARIES = {
    "analyze": "Run the edge chain over a recorded flight, offline, the same bytes every time.",
    "demo": "Two simulated platforms, two edge workers, a ground station, a live map.",
    "edge": "The worker aboard: run it, check its configuration.",
    "flight": "Recorded flights: show, verify, export.",
    "ground": "The ground station: serve, enrol platforms, export.",
    "keys": "Keys of the encrypted link.",
    "locate": "Where on the ground is this pixel, and how sure are we?",
    "models": "Detectors: list, check, run on images.",
    "sim": "Replay recorded flights, import foreign logs, render scenarios.",
    "terrain": "Elevation tiles for the edge.",
}

app = App(
    name="skywarden",
    version=lambda: f"skywarden {__version__} (Python {platform.python_version()})",
    help_format="markdown",
    help="Watch land and sea from drones: detect, locate with honest uncertainty, hand a person the picture.",
    help_epilogue=(
        "Examples:\n\n"
        "    skywarden demo\n"
        "    skywarden sim import ./2018-flight --out flight\n"
        "    skywarden analyze flight\n"
        "    skywarden edge run /etc/skywarden/edge.toml\n"
        "    skywarden ground serve"
    ),
    suppress_keyboard_interrupt=False,
)
app.register_install_completion_command(help="Install completion for bash, zsh or fish.")


_SHARED = {
    "flight": "skywarden.flight.cli:app",
    "keys": "skywarden.keys_cli:app",
    "terrain": "skywarden.terrain_cli:app",
}


def build_app() -> App:
    """The whole command with every room's subcommands registered (not yet imported)."""
    for name, place in _SHARED.items():
        app.command(place, name=name, help=_SUMMARIES[name])
    for point in sorted(entry_points(group="skywarden.commands"), key=lambda found: found.name):
        app.command(point.value, name=point.name, help=_SUMMARIES.get(point.name))
    return app


@app.command
def doctor(
    *, json: bool = False, state: Path | None = None, verbose: Annotated[bool, Parameter(alias="-v")] = False
) -> int:
    """Tell what is missing, doubled or off on this machine, and what to do about it.

    Exits with 0 when all is well or only advice is given, 1 when something will not work.

    Parameters
    ----------
    json
        Print the findings as JSON.
    state
        The folder that the worker or station will write to, checked for permission and space.
    verbose
        Also list what is in order.
    """
    from skywarden.doctor import examine

    findings = examine(state)
    if json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(findings), indent=2).decode() + "\n")
    else:
        table = Table(box=None, pad_edge=False)
        for column in ("", "check", "finding", "what to do"):
            table.add_column(column, overflow="fold")
        marks = {"ok": "[green]ok[/]", "advice": "[yellow]advice[/]", "failed": "[red]failed[/]"}
        for finding in findings:
            if verbose or finding.state != "ok":
                table.add_row(marks[finding.state], finding.check, finding.text, finding.remedy)
        console = Console()
        if table.row_count:
            console.print(table)
        good = sum(finding.state == "ok" for finding in findings)
        console.print(f"{good} of {len(findings)} checks in order.")
    return int(any(finding.state == "failed" for finding in findings))


def _terminate(signum: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + signum)


def main() -> NoReturn:
    """Run the command line; our own errors become one sentence on stderr and their exit code."""
    signal.signal(signal.SIGTERM, _terminate)
    try:
        build_app()()
    except SkywardenError as error:
        sys.stderr.write(f"skywarden: {error}\n")
        sys.exit(error.exit_code)
    except ModuleNotFoundError as error:
        _missing(error)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    sys.exit(0)


_EXTRA_OF = {
    "apsw": "edge",
    "av": "edge",
    "fastapi": "ground",
    "lap": "edge",
    "mcap": "sim",
    "onnx": "models",
    "prometheus_client": "edge",
    "pyulog": "sim",
    "rasterio": "sim",
    "serial": "edge",
    "uvicorn": "ground",
}


def _missing(error: ModuleNotFoundError) -> NoReturn:
    extra = _EXTRA_OF.get((error.name or "").partition(".")[0])
    if extra is None:
        raise error
    sys.stderr.write(f"skywarden: this needs the package {error.name}: pip install 'skywarden[{extra}]'\n")
    sys.exit(1)


if __name__ == "__main__":
    main()
