"""`skywarden flight`: show, verify and export recorded flights."""

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
from cyclopts import App, Parameter

from skywarden.progress import progress_bar

if TYPE_CHECKING:
    from skywarden.flight.schema import FlightInfo

app = App(
    name="flight",
    help="""Recorded flights: show, verify, export.

For example:

    skywarden flight show FLIGHT
    skywarden flight verify FLIGHT --json
    skywarden flight export FLIGHT --out flight.mcap
""",
    default_parameter=Parameter(negative=()),
)
Quiet = Annotated[bool, Parameter(alias="-q")]


@app.command
def show(flight: Path, *, json: bool = False) -> int:
    """What a flight folder holds. Exits with 3 when something of it cannot be read.

    For example:

        skywarden flight show 20180817T012345Z_uav07

    Parameters
    ----------
    flight
        The flight folder.
    json
        Print its description as one JSON object.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from skywarden.flight.reader import FlightReader

    reader = FlightReader(flight)
    if json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(reader.info), indent=2).decode() + "\n")
    else:
        table = Table(box=None, show_header=False, pad_edge=False)
        for key, value in _facts(reader.info):
            table.add_row(Text(key), Text(value))
        Console().print(table)
    for problem in reader.problems:
        sys.stderr.write(f"{problem}\n")
    return 3 if reader.problems else 0


def _facts(info: "FlightInfo") -> list[tuple[str, str]]:
    from skywarden.times import rfc3339

    counts = info.frame_counts or {}
    facts = [
        ("sortie", info.sortie_id),
        ("platform", info.platform_id),
        ("state", info.state),
        ("from", rfc3339(info.start_ns) if info.start_ns is not None else "unknown"),
        ("to", rfc3339(info.end_ns) if info.end_ns is not None else "unknown"),
        ("telemetry", f"{info.telemetry_count if info.telemetry_count is not None else '?'} MAVLink frames"),
        ("", info.telemetry_source),
        ("clock", info.clock.source),
    ]
    for sensor in info.sensors:
        lens = "calibrated" if sensor.camera else "uncalibrated"
        facts.append(
            (f"sensor {sensor.sensor_id}", f"{sensor.kind}, {counts.get(sensor.sensor_id, 0)} frames, {lens}")
        )
    return [*facts, *(("note", note) for note in info.notes)]


@app.command
def verify(flight: Path, *, json: bool = False, quiet: Quiet = False) -> int:
    """Hash every file and count what is there. Exits with 3 when it is less than promised.

    For example:

        skywarden flight verify 20180817T012345Z_uav07
        skywarden flight verify 20180817T012345Z_uav07 --json

    Parameters
    ----------
    flight
        The flight folder.
    json
        Print the report as one JSON object.
    quiet
        No progress bar.
    """
    from skywarden.flight.verify import verify as verify_flight

    with progress_bar("verifying", is_quiet=quiet) as report:
        found = verify_flight(flight, progress=report)
    if json:
        tree = dataclasses.asdict(found) | {"is_good": found.is_good}
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(tree), indent=2).decode() + "\n")
        return found.exit_code
    sys.stdout.write(f"{found.sortie_id}: {found.files_good} of {found.files_listed} files as listed\n")
    for title, names in (("missing", found.missing), ("changed", found.changed), ("problem", found.problems)):
        for name in names:
            sys.stdout.write(f"  {title}: {name}\n")
    for name in found.unlisted:
        sys.stdout.write(f"  came later: {name}\n")
    return found.exit_code


@app.command
def export(flight: Path, *, out: Path, json: bool = False, quiet: Quiet = False) -> int:
    """Write the flight as one MCAP file that Foxglove opens; an existing file is never replaced.

    For example:

        skywarden flight export 20180817T012345Z_uav07 --out flight.mcap

    Parameters
    ----------
    flight
        The flight folder.
    out
        The .mcap file to write.
    json
        Print one JSON object with the file and its size.
    quiet
        No progress bar.
    """
    from skywarden.flight.mcap_export import export_mcap

    with progress_bar("exporting", is_quiet=quiet) as report:
        export_mcap(flight, out, progress=report)
    if json:
        tree = {"file": str(out), "bytes": out.stat().st_size}
        sys.stdout.write(msgspec.json.encode(tree).decode() + "\n")
    else:
        sys.stdout.write(f"{out}\n")
    return 0
