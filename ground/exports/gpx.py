"""GPX 1.1 for handhelds, plotters and boats: things as waypoints, tracks and outlines as tracks.

GPX has no place for a covariance: CE90 stands in the words of each thing. Heights are above the geoid
(EGM96), as GPX wants them.
"""

import tempfile
from collections.abc import Iterable
from typing import IO

from ground.exports.markup import xml_text
from ground.exports.tables import Layer, Row
from skywarden.geometry import geoid
from skywarden.times import rfc3339

_IN_MEMORY_BYTES = 4_000_000
_HEAD = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<gpx version="1.1" creator="Skywarden" xmlns="http://www.topografix.com/GPX/1/1">\n'
)


def write_gpx(
    layers: Iterable[tuple[Layer, Iterable[Row]]], notice: str, out: IO[bytes], time_ns: int
) -> dict[str, int]:
    """All layers; things without a place stay behind. Counts by layer of what stands in it."""
    counts: dict[str, int] = {}
    _put(out, f"{_HEAD}<metadata><name>Skywarden</name><desc>{xml_text(notice)}</desc>")
    _put(out, f"<time>{rfc3339(time_ns)}</time></metadata>\n")
    with tempfile.SpooledTemporaryFile(
        _IN_MEMORY_BYTES
    ) as tracks:  # all waypoints come first, says the schema
        for layer, rows in layers:
            counts[layer] = 0
            for row in rows:
                if row.geometry is None:
                    continue
                is_line = layer in ("tracks", "plots")
                _put(tracks if is_line else out, _track(row) if is_line else _waypoint(row))
                counts[layer] += 1
        tracks.seek(0)
        while part := tracks.read(65_536):
            out.write(part)
    _put(out, "</gpx>\n")
    return counts


def _waypoint(row: Row) -> str:
    assert row.geometry is not None
    longitude, latitude, *height = row.geometry["coordinates"]
    return (
        f'<wpt lat="{latitude:.8f}" lon="{longitude:.8f}">{_height(latitude, longitude, height)}'
        f"<time>{rfc3339(row.last_ns)}</time>{_words(row)}</wpt>\n"
    )


def _track(row: Row) -> str:
    """The path of a track with its times, or the outline of a plot without."""
    segments = (
        _timed(row) if row.path else "".join(f"<trkseg>{_points(ring)}</trkseg>" for ring in _rings(row))
    )
    return f"<trk>{_words(row)}{segments}</trk>\n"


def _timed(row: Row) -> str:
    points = "".join(
        f'<trkpt lat="{lat:.8f}" lon="{lon:.8f}">{_height(lat, lon, [alt])}<time>{rfc3339(time_ns)}</time>'
        "</trkpt>"
        for time_ns, lon, lat, alt in row.path
    )
    return f"<trkseg>{points}</trkseg>"


def _points(ring: Iterable[Iterable[float]]) -> str:
    return "".join(f'<trkpt lat="{lat:.8f}" lon="{lon:.8f}"/>' for lon, lat, *_ in ring)


def _rings(row: Row) -> list[list[list[float]]]:
    assert row.geometry is not None
    if row.geometry["type"] == "Polygon":
        return list(row.geometry["coordinates"])
    return [ring for polygon in row.geometry["coordinates"] for ring in polygon]


def _words(row: Row) -> str:
    mark = row.values.get("mark")
    name = f"{mark}: {row.title}" if mark else row.title
    said = [f"review: {row.state}"] if row.state is not None else []
    for column, text in (
        ("ce90_m", "CE90 {} m"),
        ("worst_ce90_m", "CE90 at most {} m"),
        ("score", "score {}"),
    ):
        value = row.values.get(column)
        if value is not None:
            said.append(text.format(value))
    return f"<name>{xml_text(name)}</name><desc>{xml_text('; '.join(said))}</desc>"


def _height(latitude_deg: float, longitude_deg: float, height_hae: list[float]) -> str:
    if not height_hae:
        return ""
    alt_msl_m = height_hae[0] - float(geoid.undulation_m(latitude_deg, longitude_deg))
    return f"<ele>{alt_msl_m:.2f}</ele>"


def _put(out: IO[bytes], text: str) -> None:
    out.write(text.encode())
