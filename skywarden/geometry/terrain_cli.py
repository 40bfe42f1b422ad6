"""`skywarden terrain`: make tiles that the edge reads without GDAL, and ask them for heights."""

import json as json_module
import math
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from skywarden.errors import InputError, UsageError

app = App(
    name="terrain",
    help="""Elevation tiles for the edge, made from GeoTIFF or SRTM .hgt.

For example:

    skywarden terrain build S36E149.hgt dem.tif --out /var/lib/skywarden/terrain
    skywarden terrain height /var/lib/skywarden/terrain -35.363 149.164
""",
    default_parameter=Parameter(negative=()),
)


@app.command
def build(
    sources: Annotated[list[Path], Parameter(consume_multiple=True)],
    *,
    out: Path,
    json: bool = False,
) -> int:
    """Write one memory-mapped tile per source into a folder; a tile of the same name is replaced.

    For example:

        skywarden terrain build S36E149.hgt dem.tif --out /var/lib/skywarden/terrain

    Parameters
    ----------
    sources
        GeoTIFF or SRTM .hgt files; heights above the EGM96 geoid become heights above the ellipsoid.
    out
        Folder for the tiles; name it as `surface.path` in the edge's configuration.
    json
        Print one JSON object with the tiles written.
    """
    from skywarden.geometry.terrain import ShelvedTile, TerrainMosaic, load_terrain, save_tile

    written: list[str] = []
    for source in sources:
        loaded = load_terrain(source)
        tiles = loaded.tiles if isinstance(loaded, TerrainMosaic) else (loaded,)
        _make_folder(out)
        for number, tile in enumerate(tiles):
            suffix = f"-{number}" if len(tiles) > 1 else ""
            path = out / f"{source.stem}{suffix}.npz"
            if path.exists() and any(path.samefile(each) for each in sources):
                raise UsageError(f"{path} is a source and would be replaced; choose another --out")
            if str(path) in written:
                raise UsageError(f"two sources would become {path}; build them into two folders")
            save_tile(tile.whole() if isinstance(tile, ShelvedTile) else tile, path)
            written.append(str(path))
            if not json:
                sys.stdout.write(f"{path}\n")
    if json:
        sys.stdout.write(json_module.dumps({"tiles": written}) + "\n")
    return 0


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--out {out}: no folder can be made there ({error.strerror})") from error


@app.command
def height(tiles: Path, latitude_deg: float, longitude_deg: float, /, *, json: bool = False) -> int:
    """Print the height above the ellipsoid at a place, in metres. Exits with 3 where no tile covers it.

    For example:

        skywarden terrain height /var/lib/skywarden/terrain -35.363 149.164

    Parameters
    ----------
    tiles
        A tile or a folder of tiles.
    latitude_deg
        Degrees north.
    longitude_deg
        Degrees east.
    json
        Print one JSON object; `alt_hae_m` is null where no tile covers the place.
    """
    from skywarden.geometry.terrain import load_terrain

    if not (-90.0 <= latitude_deg <= 90.0 and -180.0 <= longitude_deg <= 180.0):
        raise UsageError(
            f"latitude {latitude_deg}, longitude {longitude_deg} is no place; give -90 to 90 and -180 to 180"
        )
    found = float(load_terrain(tiles).height_hae_m(latitude_deg, longitude_deg))
    is_covered = math.isfinite(found)
    if json:
        place = {"latitude_deg": latitude_deg, "longitude_deg": longitude_deg}
        tree = place | {"alt_hae_m": round(found, 2) if is_covered else None}
        sys.stdout.write(json_module.dumps(tree) + "\n")
    elif is_covered:
        sys.stdout.write(f"{found:.2f}\n")
    if not is_covered:
        sys.stderr.write(f"skywarden: no tile of {tiles} covers {latitude_deg}, {longitude_deg}\n")
    return 0 if is_covered else 3
