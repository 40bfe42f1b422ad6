"""Makes PMTiles of what agencies have: GeoPackage and other vectors, GeoTIFF, MBTiles."""

import gzip
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import apsw

from ground.basemap.archive import MAX_ZOOM, Tile, read_about, tiles_of_zoom, write_pmtiles
from ground.basemap.relief import write_relief
from skywarden.errors import InputError

_VECTORS = {".gpkg", ".geojson", ".shp", ".fgb", ".kml"}
_RASTERS = {".tif", ".tiff", ".vrt"}
_HALF_M = 20_037_508.342789244
_TILE_PX = 256
_MAX_TILE_BYTES = 4_000_000
_MAX_TILES = 2_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Built:
    """What was made: `kind` of layer, how many tiles (0: not counted), names of vector layers."""

    path: Path
    kind: Literal["vector", "raster", "terrain"]
    tiles: int
    layers: tuple[str, ...]


def build(
    source: Path,
    out: Path,
    *,
    title: str | None = None,
    max_zoom: int | None = None,
    layer: str | None = None,
    is_terrain: bool = False,
) -> Built:
    """Write `out` (.pmtiles) and beside it the description that the console reads. Raises `InputError`.

    `is_terrain`: `source` (also a folder of files) holds elevations, which the console shades.
    """
    if out.suffix.lower() != ".pmtiles":
        raise InputError(f"{out.name}: the file to write must end in .pmtiles")
    if not (source.is_file() or (is_terrain and source.is_dir())):
        raise InputError(f"{source} is not a file")
    if max_zoom is not None and not 0 <= max_zoom <= 22:
        raise InputError(f"zoom {max_zoom} is not within 0 to 22")
    suffix = source.suffix.lower()
    if is_terrain:
        built = Built(path=out, kind="terrain", tiles=write_relief(source, out, max_zoom=max_zoom), layers=())
    elif suffix == ".mbtiles":
        built = _from_mbtiles(source, out)
    elif suffix in _RASTERS:
        built = _from_raster(source, out, max_zoom)
    elif suffix in _VECTORS:
        built = _from_vector(source, out, max_zoom if max_zoom is not None else 14, layer)
    else:
        raise InputError(f"{source.name}: no GeoPackage, GeoJSON, Shapefile, GeoTIFF or MBTiles")
    style = {"tiles": built.kind, "layers": list(built.layers)}
    beside = {"title": title or source.stem, "style": style}
    out.with_suffix(".json").write_text(json.dumps(beside, indent=1), encoding="utf-8")
    return built


def _from_vector(source: Path, out: Path, max_zoom: int, layer: str | None) -> Built:
    import pyogrio

    try:
        names = [str(name) for name, kind in pyogrio.list_layers(source) if kind]
    except pyogrio.errors.DataSourceError as error:
        raise InputError(f"{source.name} cannot be read ({error})") from error
    if not names:
        raise InputError(f"{source.name} has no layer with shapes")
    if layer is None and len(names) > 1:
        raise InputError(f"{source.name} has several layers, name one of them: {', '.join(names[:20])}")
    name = layer if layer is not None else names[0]
    if name not in names:
        raise InputError(f"{source.name} has no layer {name!r}; there are {', '.join(names[:20])}")
    part = out.with_name(out.stem + ".part.pmtiles")
    try:
        meta, _, shapes, fields = pyogrio.raw.read(source, layer=name, force_2d=True)
        if shapes is None or len(shapes) == 0:
            raise InputError(f"layer {name} of {source.name} is empty")
        pyogrio.raw.write(
            part,
            geometry=shapes,
            field_data=list(fields),
            fields=meta["fields"],
            geometry_type=meta["geometry_type"],
            crs=meta["crs"],
            driver="PMTiles",
            layer=name,
            MINZOOM=0,
            MAXZOOM=max_zoom,
        )
        part.replace(out)
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError, ValueError) as error:
        raise InputError(f"{source.name} cannot be made into tiles ({error})") from error
    finally:
        part.unlink(missing_ok=True)
    with out.open("rb") as file:
        _, about = read_about(file)
    found = tuple(str(one.get("id")) for one in about.get("vector_layers", []) if isinstance(one, dict))
    return Built(path=out, kind="vector", tiles=0, layers=found or (name,))


def _from_mbtiles(source: Path, out: Path) -> Built:
    try:
        db = apsw.Connection(str(source), flags=apsw.SQLITE_OPEN_READONLY)
    except apsw.Error as error:
        raise InputError(f"{source.name} cannot be opened ({error})") from error
    try:
        about = {
            str(key): str(value)[:100_000] for key, value in db.execute("SELECT name, value FROM metadata")
        }
        kind = {"pbf": "mvt", "jpg": "jpeg"}.get(about.get("format", "png"), about.get("format", "png"))
        if kind not in ("mvt", "png", "jpeg", "webp"):
            raise InputError(
                f"{source.name} has tiles of the kind {kind[:20]!r}, which the console cannot draw"
            )
        layers = _vector_layers(about)
        count = write_pmtiles(
            out,
            _mbtiles(db, is_vector=kind == "mvt"),
            kind=kind,
            bounds=_bounds(about.get("bounds", "")),
            metadata={"name": about.get("name", source.stem), "vector_layers": layers},
        )
    except apsw.Error as error:
        raise InputError(f"{source.name} is not MBTiles ({error})") from error
    finally:
        db.close()
    return Built(
        path=out,
        kind="vector" if kind == "mvt" else "raster",
        tiles=count,
        layers=tuple(str(one.get("id")) for one in layers),
    )


def _mbtiles(db: Any, *, is_vector: bool) -> Iterator[tuple[Tile, bytes]]:
    """Rows of MBTiles count from the south."""
    rows = db.execute("SELECT zoom_level, tile_column, tile_row, tile_data FROM tiles")
    for number, (zoom, column, row, data) in enumerate(rows):
        if number >= _MAX_TILES:
            raise InputError(f"more than {_MAX_TILES:,} tiles; cut the area or the zooms")
        if not all(isinstance(one, int) for one in (zoom, column, row)) or not 0 <= zoom <= MAX_ZOOM:
            raise InputError(f"there is no tile {zoom!r}/{column!r}/{row!r}")
        if not isinstance(data, bytes) or len(data) > _MAX_TILE_BYTES:
            raise InputError(
                f"tile {zoom}/{column}/{row} is no picture, or larger than {_MAX_TILE_BYTES} bytes"
            )
        if is_vector and data[:2] != b"\x1f\x8b":
            data = gzip.compress(data, mtime=0)
        yield (zoom, column, (1 << zoom) - 1 - row), data


def _vector_layers(about: dict[str, str]) -> list[dict[str, Any]]:
    try:
        found = json.loads(about.get("json", "{}")).get("vector_layers", [])
    except (ValueError, AttributeError):
        return []
    return [one for one in found if isinstance(one, dict) and isinstance(one.get("id"), str)][:100]


def _bounds(text: str) -> tuple[float, float, float, float]:
    try:
        west, south, east, north = (float(one) for one in text.split(","))
    except ValueError:
        return -180.0, -85.0, 180.0, 85.0
    fits = -180 <= west < east <= 180 and -90 <= south < north <= 90
    return (west, south, east, north) if fits else (-180.0, -85.0, 180.0, 85.0)


def _from_raster(source: Path, out: Path, max_zoom: int | None) -> Built:
    import rasterio
    from rasterio.errors import RasterioError
    from rasterio.vrt import WarpedVRT
    from rasterio.warp import transform_bounds

    try:
        with rasterio.open(source) as image:
            if image.crs is None:
                raise InputError(f"{source.name} does not say where it lies (no coordinate system)")
            if image.count not in (1, 3, 4) or image.dtypes[0] != "uint8":
                raise InputError(
                    f"{source.name} has {image.count} bands of {image.dtypes[0]}; a picture has 1, 3 or 4 of "
                    "uint8 (elevations: say --terrain; others: gdal_translate -ot Byte -scale)"
                )
            with WarpedVRT(image, crs="EPSG:3857", add_alpha=image.count != 4) as warped:
                west, south, east, north = (float(one) for one in warped.bounds)
                box = (west, south, east, north)
                deepest = max_zoom if max_zoom is not None else _zoom_of(abs(warped.transform.a))
                first = max(0, deepest - 8)
                amount = sum(1 for zoom in range(first, deepest + 1) for _ in tiles_of_zoom(box, zoom))
                if amount > _MAX_TILES:
                    raise InputError(f"that would be {amount:,} tiles; give a smaller --max-zoom")
                count = write_pmtiles(
                    out,
                    _raster_tiles(image, box, range(first, deepest + 1)),
                    kind="png",
                    bounds=transform_bounds("EPSG:3857", "EPSG:4326", *box),
                    metadata={"name": source.stem},
                )
    except RasterioError as error:
        raise InputError(f"{source.name} cannot be read ({error})") from error
    return Built(path=out, kind="raster", tiles=count, layers=())


def _raster_tiles(
    image: Any, box: tuple[float, float, float, float], zooms: range
) -> Iterator[tuple[Tile, bytes]]:
    import numpy as np
    from affine import Affine
    from rasterio.enums import Resampling
    from rasterio.vrt import WarpedVRT

    for zoom in zooms:
        size = 2 * _HALF_M / (1 << zoom)
        for tile in tiles_of_zoom((box[0], box[1], box[2], box[3]), zoom):
            west, north = tile[1] * size - _HALF_M, _HALF_M - tile[2] * size
            grain = size / _TILE_PX
            place = Affine(grain, 0.0, west, 0.0, -grain, north)
            with WarpedVRT(
                image,
                crs="EPSG:3857",
                transform=place,
                width=_TILE_PX,
                height=_TILE_PX,
                add_alpha=image.count != 4,
                resampling=Resampling.bilinear,
            ) as warped:
                pixels = warped.read()
            if not pixels[-1].any():
                continue
            colour = np.repeat(pixels[:1], 3, axis=0) if len(pixels) == 2 else pixels[:3]
            yield tile, _png(np.stack([*colour, pixels[-1]]))


def _png(pixels: Any) -> bytes:
    """Bands of red, green, blue and opacity, eight bits each."""
    import cv2

    done, data = cv2.imencode(".png", pixels[[2, 1, 0, 3]].transpose(1, 2, 0))
    if not done:
        raise InputError("a tile cannot be written as PNG")
    return bytes(data)


def _zoom_of(metres: float) -> int:
    """The zoom whose pixels are not larger than those of the picture, at most 20."""
    return max(0, min(20, math.ceil(math.log2(2 * _HALF_M / _TILE_PX / max(metres, 0.01)))))
