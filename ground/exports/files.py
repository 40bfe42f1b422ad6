"""One export as one file: which layers go into which format, what it says on its face, how far it is."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from ground.exports.geojson import write_geojson
from ground.exports.gpx import write_gpx
from ground.exports.kml import write_kml, write_kmz
from ground.exports.selection import Selection
from ground.exports.source import ExportSource
from ground.exports.spreadsheet import write_csv
from ground.exports.tables import LAYERS, Layer, Row
from ground.review.release import CONFIRMED_NOTICE, UNREVIEWED_NOTICE
from skywarden.errors import UsageError

Format = Literal["geojson", "csv", "kml", "kmz", "gpx", "gpkg"]
FORMATS: tuple[Format, ...] = ("geojson", "csv", "kml", "kmz", "gpx", "gpkg")
MEDIA_TYPES: dict[Format, str] = {
    "geojson": "application/geo+json",
    "csv": "text/csv; charset=utf-8",
    "kml": "application/vnd.google-earth.kml+xml",
    "kmz": "application/vnd.google-earth.kmz",
    "gpx": "application/gpx+xml",
    "gpkg": "application/geopackage+sqlite3",
}
DEFAULT_LAYERS: tuple[Layer, ...] = ("contacts", "tracks", "plots")
"""Where nobody says which; of CSV, contacts alone."""
AIS_NOTICE = "AIS is what vessels say of themselves"

Told = Callable[[int], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Written:
    """What an export came to: rows by layer, and what it says on its face."""

    counts: dict[str, int]
    notice: str

    @property
    def total(self) -> int:
        """All rows."""
        return sum(self.counts.values())


def check_layers(form: Format, layers: Sequence[Layer]) -> tuple[Layer, ...]:
    """The layers of a file, each once, in the order of `LAYERS`; raises `UsageError`."""
    if not layers:
        return ("contacts",) if form == "csv" else DEFAULT_LAYERS
    if unknown := sorted(set(layers) - set(LAYERS)):
        raise UsageError(f"there is no layer {unknown[0]!r}; there are {', '.join(LAYERS)}")
    if form == "csv" and len(set(layers)) > 1:
        raise UsageError("a CSV file is one table: name one layer, or take gpkg for several")
    return tuple(one for one in LAYERS if one in layers)


def notice_of(wanted: Selection, layers: Sequence[Layer]) -> str:
    """What stands on the face of the file."""
    if set(layers) == {"ais"}:
        return AIS_NOTICE
    said = UNREVIEWED_NOTICE if wanted.with_unreviewed else CONFIRMED_NOTICE
    return f"{said}; {AIS_NOTICE}" if "ais" in layers else said


def name_of(form: Format, wanted: Selection, layers: Sequence[Layer]) -> str:
    """A name for the file that says when not everything in it was confirmed."""
    stem = layers[0] if len(layers) == 1 else "skywarden"
    is_open = wanted.with_unreviewed and set(layers) != {"ais"}
    return f"{'UNREVIEWED-' if is_open else ''}{stem}.{form}"


def write_export(
    form: Format,
    layers: Sequence[Layer],
    source: ExportSource,
    wanted: Selection,
    path: Path,
    *,
    time_ns: int,
    told: Told | None = None,
) -> Written:
    """Write a new file at `path`, whose folder is there; `told` hears how many rows are done.

    Memory stays bounded however much there is. Raises `UsageError` for layers that do not fit the format,
    `StoreError` where the store does not answer or the file cannot be written.
    """
    chosen = check_layers(form, layers)
    notice = source.mark.notice(notice_of(wanted, chosen))
    counter = _Counter(told)

    def rows(layer: Layer) -> Iterator[Row]:
        return counter.counted(source.rows(layer, wanted))

    if form == "gpkg":
        from ground.exports.geopackage import write_geopackage

        suffix = "_UNREVIEWED" if wanted.with_unreviewed else ""
        suffix += "_EXERCISE" if source.mark.is_exercise else ""
        asked = [(layer, lambda layer=layer: rows(layer)) for layer in chosen]
        return Written(counts=write_geopackage(asked, notice, path, suffix=suffix), notice=notice)
    with path.open("wb") as out:
        return Written(counts=_write(form, chosen, rows, source, notice, out, time_ns), notice=notice)


def _write(
    form: Format,
    layers: tuple[Layer, ...],
    rows: Callable[[Layer], Iterator[Row]],
    source: ExportSource,
    notice: str,
    out: IO[bytes],
    time_ns: int,
) -> dict[str, int]:
    each: Iterable[tuple[Layer, Iterable[Row]]] = ((layer, rows(layer)) for layer in layers)
    if form == "csv":
        return {layers[0]: write_csv(layers[0], rows(layers[0]), out)}
    if form == "kml":
        return write_kml(each, notice, out)
    if form == "kmz":
        return write_kmz(each, notice, out, source.chip)
    if form == "gpx":
        return write_gpx(each, notice, out, time_ns)
    counts = dict.fromkeys((str(layer) for layer in layers), 0)
    return counts | write_geojson(((layer, row) for layer, found in each for row in found), notice, out)


class _Counter:
    """Tells how many rows have gone by."""

    def __init__(self, told: Told | None) -> None:
        self._told = told
        self._count = 0

    def counted(self, rows: Iterable[Row]) -> Iterator[Row]:
        for row in rows:
            self._count += 1
            if self._told is not None and self._count % 100 == 0:
                self._told(self._count)
            yield row
