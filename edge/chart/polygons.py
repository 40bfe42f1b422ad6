"""Polygons of a chart file, GeoPackage or GeoJSON: sizes first, then the structure, then every coordinate."""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import msgspec
import shapely

from skywarden.errors import InputError

MAX_BYTES = 256_000_000
MAX_POLYGONS = 200_000
MAX_POINTS = 3_000_000
_MAX_PARTS = 10_000

_WGS84_NAMES = ("CRS84", "EPSG:4326", "EPSG::4326")
_ENVELOPE_BYTES = (0, 32, 48, 48, 64)
_GEOPACKAGE_IDS = {0x47504B47, 0x47503130, 0x47503131}

Ring = list[list[float]]


class _Typed(msgspec.Struct):
    type: str
    coordinates: msgspec.Raw = msgspec.Raw()
    geometries: list[msgspec.Raw] = []


class _Feature(msgspec.Struct):
    geometry: msgspec.Raw = msgspec.Raw(b"null")


class _File(msgspec.Struct):
    type: str
    features: list[_Feature] = []
    geometry: msgspec.Raw = msgspec.Raw(b"null")
    crs: Any = None


def read_polygons(path: Path, layer: str = "") -> list[shapely.Polygon]:
    """Valid polygons with longitude and latitude in degrees; lines and points are passed over.

    `layer` names a GeoPackage's table. Raises `InputError` when the file cannot be read, is no chart in
    WGS 84, is too large, or holds no polygon.
    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise InputError(f"{path}: {size} bytes; a chart has at most {MAX_BYTES}: cut it to your area")
        with path.open("rb") as file:
            is_geopackage = file.read(16).startswith(b"SQLite format 3\0")
        raw = _geopackage(path, layer) if is_geopackage else _geojson(path.read_bytes(), str(path))
        return _sound(raw, str(path))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error


def _sound(geometries: Iterator[shapely.Geometry], origin: str) -> list[shapely.Polygon]:
    polygons: list[shapely.Polygon] = []
    points = 0
    for geometry in geometries:
        points += int(shapely.get_num_coordinates(geometry))
        if points > MAX_POINTS or len(polygons) > MAX_POLYGONS:
            raise InputError(
                f"{origin}: over {MAX_POLYGONS} polygons or {MAX_POINTS} points; cut it to your area, or "
                "simplify it to a few metres"
            )
        coordinates = shapely.get_coordinates(geometry)
        inside = (abs(coordinates[:, 0]) <= 180.0) & (abs(coordinates[:, 1]) <= 90.0)  # false for NaN
        if not inside.all():
            bad = coordinates[~inside][0].tolist()
            raise InputError(f"{origin}: {bad} is no longitude and latitude in degrees (WGS 84)")
        whole = geometry if shapely.is_valid(geometry) else shapely.make_valid(geometry)
        polygons += [part for part in _parts(whole) if not part.is_empty]
    if not polygons:
        raise InputError(f"{origin}: holds no polygon")
    return polygons


def _parts(geometry: shapely.Geometry) -> list[shapely.Polygon]:
    found = shapely.get_parts(shapely.get_parts(geometry)).tolist()
    return [part for part in found if isinstance(part, shapely.Polygon)]


def _geojson(data: bytes, origin: str) -> Iterator[shapely.Geometry]:
    try:
        tree = msgspec.json.decode(data, type=_File)
        if tree.crs is not None and not any(name in json.dumps(tree.crs) for name in _WGS84_NAMES):
            raise InputError(f"{origin}: its crs is not WGS 84; write it anew as EPSG:4326")
        if tree.type == "FeatureCollection":
            waiting = [feature.geometry for feature in tree.features]
        elif tree.type == "Feature":
            waiting = [tree.geometry]
        else:
            waiting = [msgspec.Raw(data)]
        for raw in waiting:
            yield from _geometry(raw, origin)
    except InputError:
        raise
    except (msgspec.DecodeError, RecursionError, shapely.errors.GEOSException, ValueError) as error:
        raise InputError(
            f"{origin}: is neither a GeoPackage nor sound GeoJSON: {str(error)[:200]}"
        ) from error


def _geometry(raw: msgspec.Raw, origin: str, depth: int = 0) -> Iterator[shapely.Geometry]:
    if bytes(raw).strip() == b"null":
        return
    typed = msgspec.json.decode(raw, type=_Typed)
    if typed.type == "Polygon":
        yield _polygon(msgspec.json.decode(typed.coordinates, type=list[Ring]))
    elif typed.type == "MultiPolygon":
        for rings in msgspec.json.decode(typed.coordinates, type=list[list[Ring]]):
            yield _polygon(rings)
    elif typed.type == "GeometryCollection":
        if depth > 3 or len(typed.geometries) > _MAX_PARTS:
            raise InputError(f"{origin}: a collection of over {_MAX_PARTS} geometries, or within collections")
        for part in typed.geometries:
            yield from _geometry(part, origin, depth + 1)


def _polygon(rings: list[Ring]) -> shapely.Polygon:
    flat = [[(point[0], point[1]) for point in ring if _is_place(point)] for ring in rings]
    return shapely.Polygon(flat[0], flat[1:]) if flat else shapely.Polygon()


def _is_place(point: list[float]) -> bool:
    if len(point) < 2:
        raise ValueError("a position has two numbers at least")
    return True


def _geopackage(path: Path, layer: str) -> Iterator[shapely.Geometry]:
    try:
        with closing(apsw.Connection(f"file:{path.resolve().as_posix()}?{_HOW}", flags=_FLAGS)) as base:
            base.pragma("trusted_schema", False)
            table, column = _layer(base, layer, str(path))
            rows = base.execute(f"SELECT {_quoted(column)} FROM {_quoted(table)}")  # quoted names
            for (blob,) in rows:
                if blob is not None:
                    yield shapely.from_wkb(_wkb(blob, str(path)))
    except apsw.Error as error:
        raise InputError(f"{path}: is no sound GeoPackage: {str(error)[:200]}") from error
    except shapely.errors.GEOSException as error:
        raise InputError(f"{path}: holds a geometry that is none: {str(error)[:200]}") from error


_HOW = "mode=ro&immutable=1"
_FLAGS = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI


def _layer(base: apsw.Connection, layer: str, origin: str) -> tuple[str, str]:
    """Table and column of the one layer, or of that which is named."""
    if base.pragma("application_id") not in _GEOPACKAGE_IDS:
        raise InputError(f"{origin}: is a SQLite file, but no GeoPackage")
    rows: list[tuple[str, str, str, int]] = list(
        base.execute(
            "SELECT g.table_name, g.column_name, upper(s.organization), s.organization_coordsys_id "
            "FROM gpkg_geometry_columns g LEFT JOIN gpkg_spatial_ref_sys s ON s.srs_id = g.srs_id "
            "ORDER BY g.table_name LIMIT 1000"
        )
    )
    found = [row for row in rows if not layer or row[0] == layer]
    if len(found) != 1:
        names = ", ".join(row[0] for row in rows) or "none"
        raise InputError(f"{origin}: name one layer in chart.layer; it has {names}"[:500])
    table, column, organization, number = found[0]
    if (organization, number) != ("EPSG", 4326):
        raise InputError(f"{origin}: layer {table} is in {organization}:{number}; write it anew as EPSG:4326")
    return table, column


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _wkb(blob: object, origin: str) -> bytes:
    """The geometry within a GeoPackage's binary (OGC 12-128r19, 2.1.3)."""
    if not isinstance(blob, bytes) or len(blob) < 8 or blob[:2] != b"GP" or blob[3] & 0x20:
        raise InputError(f"{origin}: holds a geometry that is not a GeoPackage's")
    kind = (blob[3] >> 1) & 7
    if kind >= len(_ENVELOPE_BYTES):
        raise InputError(f"{origin}: holds a geometry with an envelope of kind {kind}; 0 to 4 exist")
    return blob[8 + _ENVELOPE_BYTES[kind] :]
