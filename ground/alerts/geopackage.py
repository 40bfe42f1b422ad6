"""Shapes out of a GeoPackage (OGC 12-128r18): an SQLite file that somebody else made."""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import numpy as np
import pyproj
import shapely
from shapely.geometry.base import BaseGeometry

from ground.alerts.zones import MAX_VERTICES
from skywarden.errors import InputError
from skywarden.messages import LatLon

MAX_FEATURES = 2_000
_MAX_BLOB = 4_000_000
_ENVELOPE_BYTES = (0, 32, 48, 48, 64)
_MAX_STEPS = 20_000

Shape = tuple[str, tuple[tuple[tuple[LatLon, ...], ...], ...], tuple[tuple[LatLon, ...], ...]]


def read_shapes(path: Path) -> Iterator[Shape]:
    """Name, polygons and lines of each feature, in WGS 84; raises `InputError` for what is no GeoPackage."""
    try:
        db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    except apsw.Error as error:
        raise InputError(f"{path}: cannot be opened ({error})") from error
    try:
        _distrust(db)
        found = list(_shapes(db))
    except apsw.Error as error:
        raise InputError(f"{path}: not a GeoPackage that can be read ({error})") from error
    finally:
        db.close(True)
    yield from found


def _distrust(db: apsw.Connection) -> None:
    """Nothing in the file may run for long, write, or call what is outside."""
    db.config(apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0)
    db.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 1)
    db.config(apsw.SQLITE_DBCONFIG_ENABLE_VIEW, 0)
    db.config(apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 0)
    db.limit(apsw.SQLITE_LIMIT_LENGTH, _MAX_BLOB)
    steps = iter(range(_MAX_STEPS))
    db.set_progress_handler(lambda: next(steps, None) is None, 10_000)


def _shapes(db: apsw.Connection) -> Iterator[Shape]:
    tables = db.execute(
        "SELECT g.table_name, g.column_name, g.srs_id FROM gpkg_geometry_columns g "
        "JOIN gpkg_contents c USING(table_name) WHERE c.data_type = 'features' "
        "ORDER BY g.table_name LIMIT 100"
    ).fetchall()
    count = 0
    for table, column, srs_id in tables:
        to_wgs84 = _to_wgs84(db, srs_id)
        naming = _name_column(db, str(table))
        chosen = f"{_quoted(naming)}" if naming is not None else "NULL"
        for name, blob in db.execute(f"SELECT {chosen}, {_quoted(str(column))} FROM {_quoted(str(table))}"):
            if blob is None:
                continue
            count += 1
            if count > MAX_FEATURES:
                raise InputError(f"more than {MAX_FEATURES} features in one file")
            geometry = _geometry(blob)
            yield from _parts(str(name) if name is not None else f"{table} {count}", geometry, to_wgs84)


def _geometry(blob: Any) -> BaseGeometry:
    """From the header of clause 2.1.3 and well-known binary."""
    if not isinstance(blob, bytes) or len(blob) < 8 or blob[:2] != b"GP" or len(blob) > _MAX_BLOB:
        raise InputError("a geometry of this GeoPackage has no header of its own")
    flags = blob[3]
    envelope = (flags >> 1) & 7
    if envelope >= len(_ENVELOPE_BYTES):
        raise InputError(f"a geometry of this GeoPackage has an envelope of kind {envelope}")
    struct.unpack_from("<i" if flags & 1 else ">i", blob, 4)
    try:
        return shapely.from_wkb(blob[8 + _ENVELOPE_BYTES[envelope] :])
    except shapely.errors.GEOSException as error:
        raise InputError(f"a geometry of this GeoPackage is damaged ({error})") from error


def _parts(name: str, geometry: BaseGeometry, to_wgs84: pyproj.Transformer | None) -> Iterator[Shape]:
    if shapely.get_num_coordinates(geometry) > MAX_VERTICES:
        raise InputError(f"{name[:60]!r} has more than {MAX_VERTICES} points")
    surfaces, lines = [], []
    for part in shapely.get_parts(geometry):
        if part.geom_type == "Polygon" and not part.is_empty:
            surfaces.append(tuple(_points(ring, to_wgs84) for ring in (part.exterior, *part.interiors)))
        elif part.geom_type == "LineString" and not part.is_empty:
            lines.append(_points(part, to_wgs84))
    if surfaces:
        yield name, tuple(surfaces), ()
    if lines:
        yield name, (), tuple(lines)


def _points(ring: Any, to_wgs84: pyproj.Transformer | None) -> tuple[LatLon, ...]:
    from ground.alerts.zone_files import place

    points = np.asarray(ring.coords)[:, :2]
    if to_wgs84 is not None:
        points = np.column_stack(to_wgs84.transform(points[:, 0], points[:, 1]))
    return tuple(place(float(latitude), float(longitude)) for longitude, latitude in points)


def _to_wgs84(db: apsw.Connection, srs_id: object) -> pyproj.Transformer | None:
    """From the table's axes to longitude and latitude; `None` where they are that already."""
    row = db.execute(
        "SELECT organization, organization_coordsys_id FROM gpkg_spatial_ref_sys WHERE srs_id = ?", (srs_id,)
    ).fetchone()
    if row is None or (str(row[0]).upper(), row[1]) == ("EPSG", 4326):
        return None
    if str(row[0]).upper() != "EPSG" or not isinstance(row[1], int):
        raise InputError(
            f"the reference system {row[0]}:{row[1]} of this GeoPackage is not known; use EPSG:4326"
        )
    try:
        return pyproj.Transformer.from_crs(f"EPSG:{row[1]}", "EPSG:4326", always_xy=True)
    except pyproj.exceptions.CRSError as error:
        raise InputError(f"EPSG:{row[1]} is not known here; save the GeoPackage in EPSG:4326") from error


def _name_column(db: apsw.Connection, table: str) -> str | None:
    columns = [str(row[1]) for row in db.execute(f"PRAGMA table_info({_quoted(table)})")]
    return next((one for one in columns if one.lower() in ("name", "title", "label")), None)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
