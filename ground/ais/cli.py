"""`skywarden ground ais`: read a file of AIS, and see what the station keeps."""

import csv
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TextIO

from cyclopts import App, Parameter

from ground.station.options import USUAL, StationFiles
from skywarden.errors import InputError

if TYPE_CHECKING:
    from skywarden.ais.sentences import SentenceCounts

Output = Annotated[Path | None, Parameter(name=["--out", "--output"])]

_CSV_COLUMNS = (
    "received", "type", "mmsi", "lat", "lon", "speed", "course", "heading", "status", "shipname", "callsign",
    "imo", "shiptype", "to_bow", "to_stern", "to_port", "to_starboard", "draught", "destination",
)  # fmt: skip
_READ_BYTES = 65_536

ais = App(
    name="ais",
    help="""AIS: read a file of sentences, see what the station keeps.

For example:

    skywarden ground ais decode ais.nmea > ais.jsonl
    skywarden ground ais status
""",
)


@ais.command
def decode(
    file: Path,
    *,
    format: Literal["jsonl", "csv"] = "jsonl",
    output: Output = None,
    quiet: Annotated[bool, Parameter(name=["--quiet", "-q"], negative=())] = False,
) -> int:
    """Decode every AIS message of FILE (NMEA with or without tag blocks, messages in parts) to one line each.

    Illegal lines are counted on standard error and end nothing. Exits with 1 when no line is AIS.

    For example:

        skywarden ground ais decode ais.nmea > ais.jsonl
        skywarden ground ais decode ais.nmea --format csv --out ais.csv

    Parameters
    ----------
    file
        The file; `-` reads standard input.
    format
        `jsonl`: all fields of each message; `csv`: the columns that most messages have.
    output
        File to write; standard output when absent or `-`.
    quiet
        Say nothing about what was illegal.
    """
    from skywarden.ais.sentences import SentenceReader

    reader = SentenceReader()
    if output is None or str(output) == "-":
        damaged = _write(reader, file, format, sys.stdout)
    else:
        part = output.with_name(output.name + ".part")
        with part.open("w", encoding="utf-8", newline="") as target:
            damaged = _write(reader, file, format, target)
        part.replace(output)
    if not quiet:
        print(_said(reader.counts, damaged), file=sys.stderr)
    if not reader.counts.whole:
        raise InputError(f"{file}: none of {reader.counts.lines} lines is AIS")
    return 0


@ais.command
def status(
    *,
    station: StationFiles = USUAL,
    json: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """Show what the station keeps of AIS: sources in force, reports, vessels, the last minute that was heard.

    For example:

        skywarden ground ais status
        skywarden ground ais status --json | jq .vessels

    Parameters
    ----------
    json
        Print one JSON object: `sources`, `reports`, `vessels`, `last_heard`, `heard_last_hour`.
    """
    import msgspec

    found = _status(station)
    if json:
        print(msgspec.json.encode(found).decode())
        return 0
    for source in found["sources"]:
        print(f"{source['name']}: {source['connection']} ({source['format']})")
    if not found["sources"]:
        print("no sources: add [[ais.source]] to the station's file")
    print(f"{found['reports']} reports and {found['vessels']} vessels are kept")
    print(f"last heard: {found['last_heard'] or 'nothing yet'}; {found['heard_last_hour']} in the last hour")
    return 0


def _status(station: StationFiles) -> dict[str, Any]:
    from ground.ais.store import AisStore, ais_path
    from skywarden.clock import SystemClock
    from skywarden.times import rfc3339

    settings = station.settings()
    path = ais_path(settings.state_dir())
    sources = [
        {"name": one.name, "connection": one.connection, "format": one.format} for one in settings.ais.source
    ]
    counts, minutes, now_ns = {"reports": 0, "vessels": 0}, {}, SystemClock().utc_ns()
    if path.exists():
        store = AisStore(path)
        try:
            counts, minutes = store.counts(), store.minutes(0, now_ns)
        finally:
            store.close()
    last = max(minutes, default=None)
    hour = sum(count for minute, count in minutes.items() if minute >= now_ns // 60_000_000_000 - 60)
    heard = rfc3339(last * 60_000_000_000) if last is not None else None
    return {"sources": sources, **counts, "last_heard": heard, "heard_last_hour": hour}


def _write(reader: Any, file: Path, form: str, target: TextIO) -> int:
    """Write all messages; the number of payloads that were none."""
    import msgspec

    from skywarden.ais.fields import decode_fields
    from skywarden.errors import WireError
    from skywarden.times import rfc3339

    damaged = 0
    table = csv.writer(target)
    if form == "csv":
        table.writerow(_CSV_COLUMNS)
    for line in _lines(file):
        heard = reader.take(line.strip())
        if heard is None:
            continue
        try:
            values = decode_fields(heard.payload, heard.fill)
        except WireError:
            damaged += 1
            continue
        received = rfc3339(heard.received_ns) if heard.received_ns is not None else None
        row: dict[str, Any] = {"received": received, "station": heard.station, **values}
        if form == "csv":
            table.writerow([_cell(row.get(name)) for name in _CSV_COLUMNS])
        else:
            target.write(msgspec.json.encode(row).decode() + "\n")
    return damaged


def _cell(value: object) -> object:
    """A spreadsheet runs what begins like a formula; a vessel's name may."""
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@"):
        return f"'{value}"
    return value


def _lines(file: Path) -> Iterator[bytes]:
    from skywarden.ais.sentences import LineSplitter

    splitter = LineSplitter()
    try:
        source = sys.stdin.buffer if str(file) == "-" else file.open("rb")
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror})") from error
    with source:
        while data := source.read(_READ_BYTES):
            yield from splitter.feed(data)
    if rest := splitter.end():
        yield rest


def _said(counts: "SentenceCounts", damaged: int) -> str:
    return (
        f"{counts.lines} lines: {counts.whole} messages, {damaged} of them damaged; {counts.illegal} illegal "
        f"lines ({counts.bad_checksum} with a wrong checksum), {counts.other} others"
    )
