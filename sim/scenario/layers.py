"""Map layers of a scenario for the console: coast and roads as GeoJSON, the land a picture; never truth."""

import json
import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ground.basemap.relief import write_surface
from sim.scenario.land.paint import paint_ground
from sim.scenario.world import CELL_M, World
from skywarden.errors import StoreError
from skywarden.geometry.terrain import save_tile

PICTURE_TEXEL_M = 4.0
_SHADE: dict[str, Any] = {"style": {"tiles": "terrain", "layers": [], "opacity": 0.7}}


def write_layers(world: World, folder: Path) -> list[Path]:
    """Write coast and roads as GeoJSON, the land as a picture, elevations as tiles; returns the files.

    The picture shows land and shallow water without plots, buildings or vessels. Raises `StoreError` when
    the folder cannot be written.
    """
    name = world.scenario.name
    picture, corners = _picture(world)
    told = {"title": "Land", "kind": "image", "coordinates": corners}
    is_encoded, png = cv2.imencode(".png", picture)
    if not is_encoded:
        raise StoreError(f"{folder}: the relief picture of {picture.shape} could not be encoded")
    contents: dict[str, bytes] = {
        f"{name}-coast.geojson": _encoded("Coast line", _coast(world)),
        f"{name}-roads.geojson": _encoded("Roads and tracks", _roads(world)),
        f"{name}-relief.png": png.tobytes(),
        f"{name}-relief.json": json.dumps(told).encode() + b"\n",
        f"{name}-shade.json": json.dumps(_SHADE | {"title": "Relief"}).encode(),
        f"{name}-coast.json": b'{"title": "Coast line"}\n',
        f"{name}-roads.json": b'{"title": "Roads and tracks"}\n',
    }
    shade = folder / f"{name}-shade.pmtiles"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file_name, data in contents.items():
            (folder / file_name).write_bytes(data)
        write_surface(world.terrain(), shade, name=name)
    except OSError as error:
        raise StoreError(f"{folder}: layers cannot be written ({error.strerror})") from error
    return [*(folder / file_name for file_name in contents), shade]


def write_terrain(world: World, path: Path) -> Path:
    """Write the relief as a terrain tile (`.npz`) that the edge reads; returns `path`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_tile(world.terrain(), path)
    except OSError as error:
        raise StoreError(f"{path}: the terrain tile cannot be written ({error.strerror})") from error
    return path


def _picture(world: World) -> tuple[np.ndarray[Any, np.dtype[np.uint8]], list[list[float]]]:
    """The land from above in muted colours, row 0 in the north, and its corners clockwise from upper left."""
    bare = world.scenario.__class__(
        **{
            **{key: getattr(world.scenario, key) for key in world.scenario.__struct_fields__},
            "plots": (),
            "structures": (),
            "vessels": (),
        }
    )
    plain = World(bare)
    east_m = plain.west_m + CELL_M * (plain.columns - 1)
    north_m = plain.south_m + CELL_M * (plain.rows - 1)
    ground = paint_ground(plain, (plain.west_m, plain.south_m, east_m, north_m), PICTURE_TEXEL_M)
    level = ground.levels[0][::-1]
    colour = level[..., :3].astype(np.float32)
    grey = colour.mean(axis=2, keepdims=True)
    colour = np.clip(0.55 * colour + 0.30 * grey + 34.0, 0, 255)
    north_m = plain.south_m + PICTURE_TEXEL_M * (level.shape[0] - 1)
    east_m = plain.west_m + PICTURE_TEXEL_M * (level.shape[1] - 1)
    half = PICTURE_TEXEL_M / 2
    west_m, south_m = plain.west_m - half, plain.south_m - half
    corners = [
        _lon_lat(plain, x, y)
        for x, y in (
            (west_m, north_m + half),
            (east_m + half, north_m + half),
            (east_m + half, south_m),
            (west_m, south_m),
        )
    ]
    return colour.astype(np.uint8), corners


def _coast(world: World) -> list[list[list[float]]]:
    """The water line as lines of [lon, lat], where the posts turn from sea to land."""
    is_land = world.inland_m > 0.0
    lines: list[list[list[float]]] = [[]]
    for column in range(0, world.columns, 2):
        crossings = np.flatnonzero(is_land[1:, column] & ~is_land[:-1, column])
        if len(crossings) == 0:
            lines.append([])
            continue
        row = int(crossings[0])
        low, high = float(world.inland_m[row, column]), float(world.inland_m[row + 1, column])
        y_m = world.south_m + CELL_M * (row + low / (low - high))
        lines[-1].append(_lon_lat(world, world.west_m + CELL_M * column, y_m))
    return [line for line in lines if len(line) > 1]


def _roads(world: World) -> list[list[list[float]]]:
    return [[_lon_lat(world, x, y) for x, y in road] for road in world.scenario.land.roads]


def _encoded(title: str, lines: list[list[list[float]]]) -> bytes:
    features = [
        {
            "type": "Feature",
            "properties": {"title": title},
            "geometry": {"type": "LineString", "coordinates": line},
        }
        for line in lines
    ]
    return json.dumps({"type": "FeatureCollection", "features": features}).encode() + b"\n"


def _lon_lat(world: World, x_m: float, y_m: float) -> list[float]:
    latitude, longitude = world.grid.geodetic(x_m, y_m)
    if not (math.isfinite(float(latitude)) and math.isfinite(float(longitude))):
        raise StoreError(f"the place {x_m}, {y_m} m has no coordinates")
    return [round(float(longitude), 7), round(float(latitude), 7)]
