"""GeoPackage 1.3 (OGC 12-128r17) for QGIS and every other GIS: a layer for each kind of thing, and ellipses.

GDAL writes it (through pyogrio), some thousand rows at a time. A layer that holds what nobody has confirmed
says so in its name and description, which is what stands in the list of layers of a GIS.
"""

import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyogrio.raw
import shapely
from pyogrio.errors import DataLayerError, DataSourceError

from ground.exports.shapes import ellipse_geometry
from ground.exports.tables import TABLES, Column, Layer, Row
from skywarden.errors import StoreError

_ROWS = 5_000
_SHAPES: dict[Layer, str] = {
    "contacts": "Point Z",
    "sightings": "Point Z",
    "tracks": "Unknown",
    "plots": "MultiPolygon",
    "ais": "Point",
}
_ELLIPSES: tuple[Layer, ...] = ("contacts", "sightings")


def write_geopackage(
    layers: Iterable[tuple[Layer, Callable[[], Iterable[Row]]]],
    notice: str,
    path: Path,
    *,
    suffix: str = "",
) -> dict[str, int]:
    """A new file at `path`; counts by layer. Rows are asked for twice where ellipses go along.

    Raises `StoreError` when the file cannot be written.
    """
    counts: dict[str, int] = {}
    try:
        for layer, rows in layers:
            title = f"{layer}{suffix}"
            if layer == "ais":  # nobody reviews it
                title = "ais_as_transmitted" + ("_EXERCISE" if suffix.endswith("_EXERCISE") else "")
            counts[layer] = _write_layer(path, title, layer, rows(), notice, is_ellipse=False)
            if layer in _ELLIPSES and counts[layer]:
                _write_layer(path, f"{layer}_ellipse_90{suffix}", layer, rows(), notice, is_ellipse=True)
    except (DataSourceError, DataLayerError, OSError, RuntimeError) as error:
        raise StoreError(f"{path}: the GeoPackage cannot be written ({error})") from error
    return counts


def _write_layer(
    path: Path, title: str, layer: Layer, rows: Iterable[Row], notice: str, *, is_ellipse: bool
) -> int:
    count = 0
    source = (row for row in rows if row.position is not None) if is_ellipse else iter(rows)
    for number, batch in enumerate(_batches(source)):
        shapes = [_shape(row, layer, is_ellipse=is_ellipse) for row in batch]
        _append(path, title, layer, batch, shapes, notice, is_ellipse=is_ellipse, is_first=number == 0)
        count += len(batch)
    return count


def _batches(rows: Iterator[Row]) -> Iterator[list[Row]]:
    """At least one, so that a layer without rows is there too."""
    first = list(itertools.islice(rows, _ROWS))
    yield first
    while len(first) == _ROWS:
        first = list(itertools.islice(rows, _ROWS))
        if first:
            yield first


def _append(
    path: Path,
    title: str,
    layer: Layer,
    batch: list[Row],
    shapes: list[Any],
    notice: str,
    *,
    is_ellipse: bool,
    is_first: bool,
) -> None:
    columns = TABLES[layer]
    fields = [_column(batch, one) for one in columns]
    pyogrio.raw.write(
        path,
        geometry=np.array(shapely.to_wkb(shapes, output_dimension=3), dtype=object).reshape(len(batch)),
        field_data=[values for values, _ in fields],
        field_mask=[mask for _, mask in fields],
        fields=[one.name for one in columns],
        layer=title,
        driver="GPKG",
        geometry_type="MultiPolygon" if is_ellipse else _SHAPES[layer],
        crs="EPSG:4326",
        append=not is_first,
        gdal_tz_offsets={one.name: np.full(len(batch), 100) for one in columns if one.kind == "time"},
        **(
            {
                "layer_options": {"DESCRIPTION": notice, "IDENTIFIER": title},
                "dataset_options": {"VERSION": "1.3"},
            }
            if is_first
            else {}
        ),
    )


def _shape(row: Row, layer: Layer, *, is_ellipse: bool) -> Any:
    if is_ellipse:
        assert row.position is not None
        geometry = shapely.from_geojson(json.dumps(ellipse_geometry(row.position)))
    elif row.geometry is None:
        return None
    else:
        geometry = shapely.from_geojson(json.dumps(row.geometry))
    if (is_ellipse or layer == "plots") and geometry.geom_type == "Polygon":
        return shapely.MultiPolygon([geometry])
    return geometry


def _column(rows: list[Row], column: Column) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
    """Values, and where there is none."""
    values = [row.values[column.name] for row in rows]
    mask = np.array([value is None for value in values], dtype=bool)
    if column.kind == "text":
        return np.array(values, dtype=object), mask
    if column.kind == "time":
        # int of None never arises: the mask says which are filled in
        times = np.array([int(value or 0) // 1_000_000 for value in values], dtype="datetime64[ms]")
        return times, mask
    kinds = {"real": np.float64, "integer": np.int64, "flag": np.bool_}
    return np.array([value if value is not None else 0 for value in values], dtype=kinds[column.kind]), mask
