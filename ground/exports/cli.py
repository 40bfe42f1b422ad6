"""`skywarden ground export` and `skywarden ground query`: what leaves the station, and what it knows."""

import json as json_module
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter

from ground.exports.options import ANY, Asked, Output, Quiet, note_export, opened, source_in
from ground.station.options import USUAL, StationFiles
from skywarden.errors import UsageError

if TYPE_CHECKING:
    from ground.exercise.mark import Mark
    from ground.exports.tables import Row
    from ground.review.book import ReviewBook
    from ground.store.reading import Filter, StoreReader

Format = Literal["geojson", "csv", "kml", "kmz", "gpx", "gpkg"]
Layer = Literal["contacts", "sightings", "tracks", "plots", "ais"]

export = App(
    name="export",
    help="""Write what the store holds, for other programs: what people confirmed, unless you say otherwise.

For example:

    skywarden ground export gpkg --out picture.gpkg
    skywarden ground export kmz --since 2026-11-21T00:00:00Z --class vessel --out night.kmz
    skywarden ground export csv --layer sightings --box -9.2,36.8,-8.6,37.2 > sightings.csv
    skywarden ground export contacts --format cot > contacts.cot
""",
    default_parameter=Parameter(negative=()),
)


@export.default
def write_file(
    form: Format,
    /,
    *,
    layer: tuple[Layer, ...] = (),
    asked: Asked = ANY,
    unreviewed: bool = False,
    output: Output = None,
    quiet: Quiet = False,
    json: bool = False,
    station: StationFiles = USUAL,
) -> int:
    """Write one file in a format that other programs read; works while the station runs.

    Parameters
    ----------
    form
        `geojson`, `csv` (one layer), `kml`, `kmz` (with images), `gpx` or `gpkg` (GeoPackage, for a GIS).
    layer
        `contacts`, `sightings`, `tracks`, `plots`, `ais`; several times. When not given: contacts, tracks
        and plots, in CSV contacts.
    unreviewed
        Also what no person has confirmed; the file says so on its face, and each thing in it. What was
        rejected stays out.
    output
        File to write; standard output when absent or `-` (a GeoPackage needs a file).
    quiet
        No progress.
    json
        Print one JSON object: `file`, `notice` and `counts` by layer; needs `--out`.
    """
    from ground.exports.files import write_export
    from ground.exports.selection import Selection
    from skywarden.progress import progress_bar

    is_stream = output is None or str(output) == "-"
    if is_stream and (form == "gpkg" or json):
        raise UsageError(f"{'a GeoPackage' if form == 'gpkg' else '--json'} needs a file: give --out")
    wanted = Selection(**asked.fields(), with_unreviewed=unreviewed)
    state_dir = station.state_dir()
    folder = None if output is None or is_stream else str(output.resolve().parent)
    with (
        opened(state_dir) as (reader, book),
        tempfile.TemporaryDirectory(dir=folder, prefix=".export-") as made,
    ):
        path = Path(made) / f"export.{form}"
        with progress_bar("exporting", is_quiet=quiet) as report:
            found = write_export(
                form,
                layer,
                source_in(reader, book, state_dir),
                wanted,
                path,
                time_ns=time.time_ns(),
                told=lambda count: report(count, 0, ""),
            )
        mode = " --unreviewed" if unreviewed else ""
        layers = "".join(f" --layer {one}" for one in layer)
        note_export(state_dir, f"ground export {form}{layers}{mode}{asked.words()}: {found.total}")
        if is_stream or output is None:
            with path.open("rb") as file:
                shutil.copyfileobj(file, sys.stdout.buffer)
            sys.stdout.buffer.flush()
        else:
            path.replace(output)
    if json:
        print(json_module.dumps({"file": str(output), "notice": found.notice, "counts": found.counts}))
    else:
        counted = ", ".join(f"{count} {name}" for name, count in found.counts.items())
        print(f"{counted}. {found.notice}.", file=sys.stderr)
    return 0


@export.command
def sightings(
    *,
    format: Literal["geojson", "klv"] = "geojson",
    output: Output = None,
    limit: int = 1_000_000,
    unreviewed: bool = False,
    station: StationFiles = USUAL,
) -> int:
    """Write confirmed sightings, newest first, as RFC 7946 GeoJSON or as MISB KLV.

    For example:

        skywarden ground export sightings > sightings.geojson
        skywarden ground export sightings --out sightings.geojson --limit 1000
        skywarden ground export sightings --format klv --out sightings.klv

    Parameters
    ----------
    format
        `geojson`, or `klv`: MISB ST 0601 packets, each with the target's covariance as ST 0903.
    output
        File to write; standard output when absent or `-`.
    limit
        At most so many.
    unreviewed
        Also what no person has confirmed; the file says so in its head, and each feature, callsign or
        mission field too. What was rejected stays out.
    """
    return _export("sightings", format, output, limit, unreviewed, station.state_dir())


@export.command
def contacts(
    *,
    format: Literal["geojson", "cot"] = "geojson",
    output: Output = None,
    limit: int = 1_000_000,
    unreviewed: bool = False,
    station: StationFiles = USUAL,
) -> int:
    """Write confirmed contacts, newest first, as RFC 7946 GeoJSON or as Cursor on Target.

    For example:

        skywarden ground export contacts > contacts.geojson
        skywarden ground export contacts --format cot --out contacts.cot

    Parameters
    ----------
    format
        `geojson`, or `cot`: one event a line; contacts without a position are left out.
    output
        File to write; standard output when absent or `-`.
    limit
        At most so many.
    unreviewed
        Also what no person has confirmed; the file says so in its head, and each feature, callsign or
        mission field too. What was rejected stays out.
    """
    return _export("contacts", format, output, limit, unreviewed, station.state_dir())


def query(
    layer: Layer,
    /,
    *,
    asked: Asked = ANY,
    json: Annotated[bool, Parameter(negative=())] = False,
    station: StationFiles = USUAL,
) -> int:
    """Look at what the store holds, whatever people said of it; works while the station runs.

    This is the picture of this station, for those who work at it; files for others come from `ground export`.

    For example:

        skywarden ground query contacts
        skywarden ground query sightings --class vessel --since 2026-11-21T18:00:00Z --json
        skywarden ground query contacts --review unreviewed --box -9.2,36.8,-8.6,37.2

    Parameters
    ----------
    layer
        `contacts`, `sightings`, `tracks`, `plots` or `ais`.
    json
        Print JSON Lines, an object a line with the columns of the export's tables.
    """
    from ground.exercise.identity import mark_of_folder
    from ground.exports.selection import Selection
    from ground.exports.source import PictureSource
    from ground.exports.tables import properties_of

    state_dir = station.state_dir()
    wanted = Selection(**asked.fields(), with_unreviewed=True, is_for_export=False)
    with opened(state_dir) as (reader, book):
        source = PictureSource(store=reader, book=book, state_dir=state_dir, mark=mark_of_folder(state_dir))
        for row in source.rows(layer, wanted):
            if json:
                print(json_module.dumps(properties_of(row, layer), ensure_ascii=False, allow_nan=False))
            else:
                print(_line(row))
    return 0


def _line(row: "Row") -> str:
    """One thing on one line for people; nothing in it steers a terminal."""
    from skywarden.times import rfc3339

    place = row.values.get("latitude_deg"), row.values.get("longitude_deg")
    ce90 = row.values.get("ce90_m")
    parts = [
        rfc3339(row.last_ns)[:19] + "Z",
        f"{row.state or 'ais':<10}",
        f"{place[0]:.6f} {place[1]:.6f}" if place[0] is not None else "no place",
        f"±{ce90:.0f} m" if isinstance(ce90, float) else "",
        row.title,
    ]
    text = "  ".join(part for part in parts if part)
    return "".join(each if each.isprintable() else "?" for each in text)


def _export(
    what: str, form: str, output: Path | None, limit: int, with_unreviewed: bool, state_dir: Path
) -> int:
    from ground.exercise.identity import mark_of_folder
    from ground.review.release import UNREVIEWED_NOTICE
    from ground.store.reading import Filter

    if limit < 1:
        raise UsageError(f"--limit {limit} leaves nothing to write")
    with opened(state_dir) as (reader, book):
        mark = mark_of_folder(state_dir)
        data, count, matched = _exported(what, form, reader, book, Filter(limit=limit), with_unreviewed, mark)
        left = 0 if with_unreviewed else _unreviewed(what, reader) - matched
    mode = " --unreviewed" if with_unreviewed else ""
    note_export(state_dir, f"ground export {what} --format {form} --limit {limit}{mode}: {count}")
    if output is None or str(output) == "-":
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    else:
        part = output.with_name(output.name + ".part")
        part.write_bytes(data)
        part.replace(output)
        print(f"{count} {what} in {output}", file=sys.stderr)
    if with_unreviewed:
        print(UNREVIEWED_NOTICE, file=sys.stderr)
    elif left > 0:
        print(f"{left} {what} that nobody has confirmed stay here (--unreviewed)", file=sys.stderr)
    return 0


def _unreviewed(what: str, reader: "StoreReader") -> int:
    counts = reader.counts()
    return counts.sightings if what == "sightings" else counts.contacts


def _exported(
    what: str,
    form: str,
    reader: "StoreReader",
    book: "ReviewBook",
    wanted: "Filter",
    with_unreviewed: bool,
    mark: "Mark",
) -> tuple[bytes, int, int]:
    """The file's bytes, how many things stand in it, and how many could."""
    from ground.exports.cot import cot_events
    from ground.exports.klv import sighting_packets
    from ground.http.export_routes import contacts_collection, sightings_collection
    from ground.review.release import released_contacts, released_sightings

    if form == "klv":
        looks = released_sightings(reader, book, wanted, with_unreviewed=with_unreviewed)
        return sighting_packets(looks.items), len(looks.items), looks.matched
    if form == "cot":
        found = released_contacts(reader, book, wanted, with_unreviewed=with_unreviewed)
        placed = sum(one.contact.position is not None for one, _ in found.items)
        return cot_events(found.items, mark), placed, found.matched
    make = sightings_collection if what == "sightings" else contacts_collection
    collection, _ = make(reader, book, wanted, with_unreviewed=with_unreviewed, mark=mark)
    data = collection.model_dump_json(by_alias=True).encode() + b"\n"
    return data, collection.number_returned, collection.number_matched
