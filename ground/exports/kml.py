"""KML 2.2 (OGC 07-147r2) with times, styles and 90 % ellipses; as KMZ with the images cut out around things.

Times are TimeStamp and TimeSpan, so that a viewer's time slider works; tracks are gx:Track, which moves.
What nobody confirmed has a style of its own, and the word stands in the names of document and thing. Things
lie on the ground: KML's heights are above the geoid, ours above the ellipsoid, so they go as data only.
"""

import tempfile
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import IO, Any

from ground.exports.markup import xml_text
from ground.exports.shapes import ellipse_geometry
from ground.exports.tables import TABLES, Layer, Row, shown_value
from skywarden.errors import StoreError
from skywarden.messages import Chip
from skywarden.times import rfc3339

ChipOf = Callable[[str], Chip | None]

MAX_CHIPS = 5_000
_IN_MEMORY_BYTES = 4_000_000
_SUFFIXES = {"image/jpeg": "jpg", "image/webp": "webp", "image/png": "png"}
_TITLES: Mapping[Layer, str] = {
    "contacts": "Contacts",
    "sightings": "Sightings",
    "tracks": "Tracks",
    "plots": "Plots",
    "ais": "AIS, as transmitted",
}
_COLOURS = {"confirmed": "ffb27200", "open": "ff00b8f0", "ais": "ff9c9c9c"}
"""aabbggrr: blue what is confirmed, amber what is not, grey what vessels say; names tell it too."""
_KINDS = {"text": "string", "real": "double", "integer": "int", "time": "string", "flag": "bool"}
_HEAD = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<kml xmlns="http://www.opengis.net/kml/2.2" xmlns:gx="http://www.google.com/kml/ext/2.2">\n<Document>\n'
)


@dataclass
class _Images:
    """Names of the images in the archive by chip; at most 5,000."""

    chip_of: ChipOf
    names: dict[str, str] = field(default_factory=dict)

    def name(self, chip_id: str) -> str | None:
        """Where the image will lie, `None` where there is none."""
        if chip_id not in self.names and len(self.names) < MAX_CHIPS:
            chip = self.read(chip_id)
            if chip is not None:
                number = len(self.names) + 1
                self.names[chip_id] = f"chips/{number:06d}.{_SUFFIXES[chip.media_type]}"
        return self.names.get(chip_id)

    def read(self, chip_id: str) -> Chip | None:
        """A chip; one that is damaged stays behind."""
        try:
            return self.chip_of(chip_id)
        except StoreError:
            return None


def write_kml(layers: Iterable[tuple[Layer, Iterable[Row]]], notice: str, out: IO[bytes]) -> dict[str, int]:
    """All layers, each a folder; counts by layer."""
    return _write_document(layers, notice, out, None)


def write_kmz(
    layers: Iterable[tuple[Layer, Iterable[Row]]], notice: str, out: IO[bytes], chip_of: ChipOf
) -> dict[str, int]:
    """The same in one zip with the images of its things, 5,000 at most; counts by layer."""
    images = _Images(chip_of)
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("doc.kml", "w") as document:  # without Zip64, which libkml does not read
            counts = _write_document(layers, notice, document, images)
        for chip_id, name in images.names.items():
            chip = images.read(chip_id)
            if chip is not None:
                archive.writestr(name, chip.data, zipfile.ZIP_STORED)
    return counts


def _write_document(
    layers: Iterable[tuple[Layer, Iterable[Row]]], notice: str, out: IO[bytes], images: _Images | None
) -> dict[str, int]:
    counts: dict[str, int] = {}
    title = xml_text(f"Skywarden. {notice}")
    _put(out, f"{_HEAD}<name>{title}</name>\n<open>1</open>\n{_styles()}")
    for layer, rows in layers:
        counts[layer] = _write_folder(layer, rows, out, images)
    _put(out, "</Document>\n</kml>\n")
    return counts


def _write_folder(layer: Layer, rows: Iterable[Row], out: IO[bytes], images: _Images | None) -> int:
    count = 0
    schema = _schema(layer) if images is None else ""
    _put(out, f"{schema}<Folder><name>{xml_text(_TITLES[layer])}</name>\n")
    with tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES) as ellipses:
        for row in rows:
            image = images.name(row.chip_id) if images is not None and row.chip_id is not None else None
            _put(out, _placemark(layer, row, image, is_packed=images is not None))
            if row.position is not None and layer in ("contacts", "sightings"):
                _put(ellipses, _ellipse(row))
            count += 1
        _put(out, "</Folder>\n")
        if ellipses.tell():
            ellipses.seek(0)
            _put(out, f"<Folder><name>{xml_text(_TITLES[layer])}: 90 % ellipses</name>\n")
            while part := ellipses.read(65_536):
                out.write(part)
            _put(out, "</Folder>\n")
    return count


def _placemark(layer: Layer, row: Row, image: str | None, *, is_packed: bool) -> str:
    shown = f'<description>&lt;img src="{image}"/&gt;</description>' if image is not None else ""
    moves = layer == "tracks" and len(row.path) > 1
    return (
        f'<Placemark id="{xml_text(f"{layer}-{row.feature_id}")}"><name>{_name(row)}</name>{shown}'
        f"{'' if moves else _time(row)}<styleUrl>#{_style(row)}</styleUrl>"
        f"<ExtendedData>{_data(layer, row, is_typed=not is_packed)}</ExtendedData>"
        f"{_moving(row) if moves else _geometry(row.geometry)}</Placemark>\n"
    )


def _data(layer: Layer, row: Row, *, is_typed: bool) -> str:
    """The columns: by the schema, or in an archive, where GDAL does not find the schema, plainly."""
    values = [
        (one.name, xml_text(_plain(value)))
        for one in TABLES[layer]
        if (value := shown_value(row.values[one.name], one.kind)) is not None
    ]
    if not is_typed:
        return "".join(f'<Data name="{name}"><value>{text}</value></Data>' for name, text in values)
    typed = "".join(f'<SimpleData name="{name}">{text}</SimpleData>' for name, text in values)
    return f'<SchemaData schemaUrl="#{layer}">{typed}</SchemaData>'


def _ellipse(row: Row) -> str:
    assert row.position is not None
    return (
        f"<Placemark><name>90 % of {_name(row)}</name>{_time(row)}"
        f"<styleUrl>#{_style(row)}</styleUrl>{_geometry(ellipse_geometry(row.position))}</Placemark>\n"
    )


def _name(row: Row) -> str:
    mark = row.values.get("mark")
    return xml_text(f"{mark}: {row.title}" if mark else row.title)


def _style(row: Row) -> str:
    return "ais" if row.state is None else "confirmed" if row.state == "confirmed" else "open"


def _time(row: Row) -> str:
    if row.first_ns == row.last_ns:
        return f"<TimeStamp><when>{rfc3339(row.last_ns)}</when></TimeStamp>"
    return f"<TimeSpan><begin>{rfc3339(row.first_ns)}</begin><end>{rfc3339(row.last_ns)}</end></TimeSpan>"


def _moving(row: Row) -> str:
    whens = "".join(f"<when>{rfc3339(time_ns)}</when>" for time_ns, *_ in row.path)
    places = "".join(f"<gx:coord>{lon:.8f} {lat:.8f} 0</gx:coord>" for _, lon, lat, _ in row.path)
    return f"<gx:Track><altitudeMode>clampToGround</altitudeMode>{whens}{places}</gx:Track>"


def _geometry(geometry: Mapping[str, Any] | None) -> str:
    if geometry is None:
        return ""
    kind, coordinates = geometry["type"], geometry["coordinates"]
    if kind == "Point":
        return f"<Point><coordinates>{_coordinates([coordinates])}</coordinates></Point>"
    if kind == "LineString":
        return (
            f"<LineString><tessellate>1</tessellate><coordinates>{_coordinates(coordinates)}"
            "</coordinates></LineString>"
        )
    if kind == "Polygon":
        rings = "".join(
            f"<{side}><LinearRing><coordinates>{_coordinates(ring)}</coordinates></LinearRing></{side}>"
            for ring, side in zip(
                coordinates, ["outerBoundaryIs"] + ["innerBoundaryIs"] * len(coordinates), strict=False
            )
        )
        return f"<Polygon><tessellate>1</tessellate>{rings}</Polygon>"
    single = kind.removeprefix("Multi")
    parts = "".join(_geometry({"type": single, "coordinates": part}) for part in coordinates)
    return f"<MultiGeometry>{parts}</MultiGeometry>"


def _coordinates(points: Iterable[Iterable[float]]) -> str:
    return " ".join(f"{lon:.8f},{lat:.8f}" for lon, lat, *_ in points)


def _styles() -> str:
    return "".join(
        f'<Style id="{name}"><IconStyle><color>{colour}</color></IconStyle><LabelStyle><scale>0.8</scale>'
        f"</LabelStyle><LineStyle><color>{colour}</color><width>2</width></LineStyle>"
        f"<PolyStyle><color>40{colour[2:]}</color></PolyStyle></Style>\n"
        for name, colour in _COLOURS.items()
    )


def _schema(layer: Layer) -> str:
    fields = "".join(f'<SimpleField type="{_KINDS[one.kind]}" name="{one.name}"/>' for one in TABLES[layer])
    return f'<Schema name="{layer}" id="{layer}">{fields}</Schema>\n'


def _plain(value: object) -> object:
    return int(value) if isinstance(value, bool) else value


def _put(out: IO[bytes], text: str) -> None:
    out.write(text.encode())
