"""`skywarden terrain`: make tiles that the edge reads without GDAL, and ask them for heights."""

import sys
from pathlib import Path

from cyclopts import App

from skywarden.terrain import Terrain, TerrainMosaic, load_terrain, save_tile

app = App(
    name="terrain",
    help="Elevation tiles for the edge, made from GeoTIFF or SRTM .hgt.",
    help_epilogue=(
        "Examples:\n\n"
        "    skywarden terrain build S36E149.hgt dem.tif --out /var/lib/skywarden/terrain\n"
        "    skywarden terrain height /var/lib/skywarden/terrain -35.363 149.164"
    ),
)


@app.command
def build(*sources: Path, out: Path) -> int:
    """Write one memory-mapped tile per source into a folder.

    Parameters
    ----------
    sources
        GeoTIFF or SRTM .hgt files; heights above the EGM96 geoid become heights above the ellipsoid.
    out
        Folder for the tiles; name it as `surface.path` in the edge's configuration.
    """
    out.mkdir(parents=True, exist_ok=True)
    for source in sources:
        loaded = load_terrain(source)
        tiles: list[Terrain] = list(loaded.tiles) if isinstance(loaded, TerrainMosaic) else [loaded]
        for number, tile in enumerate(tiles):
            suffix = f"-{number}" if len(tiles) > 1 else ""
            path = out / f"{source.stem}{suffix}.npz"
            save_tile(tile, path)
            sys.stdout.write(f"{path}\n")
    return 0


@app.command
def height(tiles: Path, latitude_deg: float, longitude_deg: float, /) -> int:
    """Print the height above the ellipsoid at a place.

    Parameters
    ----------
    tiles
        A tile or a folder of tiles.
    latitude_deg
        Degrees north.
    longitude_deg
        Degrees east.
    """
    found = float(load_terrain(tiles).height_hae_m(latitude_deg, longitude_deg))
    if found != found:
        sys.stderr.write("no tile covers this place\n")
        return 3
    sys.stdout.write(f"{found:.2f}\n")
    return 0
