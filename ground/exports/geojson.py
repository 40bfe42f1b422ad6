"""GeoJSON (RFC 7946) and GeoJSON text sequences by line (RFC 8142 without its marks), a feature at a time."""

import json
from collections.abc import Iterable
from typing import IO, Any

from ground.exports.tables import Layer, Row, properties_of


def feature(row: Row, layer: Layer) -> dict[str, Any]:
    """A row as a feature; its properties are the columns of its layer."""
    return {
        "type": "Feature",
        "id": row.feature_id,
        "geometry": row.geometry,
        "properties": properties_of(row, layer),
    }


def write_geojson(found: Iterable[tuple[Layer, Row]], notice: str, out: IO[bytes]) -> dict[str, int]:
    """One collection whose first member says what it holds; counts by layer. Features name their layer."""
    counts: dict[str, int] = {}
    out.write(b'{"type":"FeatureCollection","notice":' + _json(notice) + b',"features":[')
    for number, (layer, row) in enumerate(found):
        one = feature(row, layer)
        one["properties"] = {"layer": layer, **one["properties"]}
        out.write((b",\n" if number else b"\n") + _json(one))
        counts[layer] = counts.get(layer, 0) + 1
    out.write(b'\n],"numberReturned":' + str(sum(counts.values())).encode() + b"}\n")
    return counts


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
