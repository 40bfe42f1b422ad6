"""`skywarden basemap`: maps of an agency made ready for the station, without internet."""

import json as json_module
import sys
from pathlib import Path

from cyclopts import App, Parameter
from rich.console import Console

app = App(
    name="basemap",
    help="""Maps for the console: PMTiles made of GeoPackage, GeoTIFF, MBTiles and other files.

For example:

    skywarden basemap build charts.gpkg --layer coast --out layers/coast.pmtiles
    skywarden basemap build orthophoto.tif --out layers/orthophoto.pmtiles --title "Orthophoto 2026"
    skywarden basemap build dem.tif --terrain --out layers/relief.pmtiles
""",
    default_parameter=Parameter(negative=()),
)


@app.command
def build(
    source: Path,
    /,
    *,
    out: Path,
    title: str | None = None,
    layer: str | None = None,
    max_zoom: int | None = None,
    terrain: bool = False,
    json: bool = False,
) -> int:
    """Make one layer of the map; put it into the station's folder of layers and the console shows it.

    For example:

        skywarden basemap build charts.gpkg --layer depths --max-zoom 12 --out layers/depths.pmtiles
        skywarden basemap build survey.mbtiles --out layers/survey.pmtiles --json
        skywarden basemap build srtm --terrain --out layers/relief.pmtiles --title Relief

    Parameters
    ----------
    source
        GeoPackage, GeoJSON, Shapefile, FlatGeobuf or KML; GeoTIFF of 8 bits; MBTiles.
    out
        The file to write, ending in .pmtiles; beside it goes a .json that says how to draw it.
    title
        What people call it; the name of the file when not given.
    layer
        Which layer of a file that has several.
    max_zoom
        The finest zoom, 0 to 22; 14 for shapes, the file's own for pictures when not given.
    terrain
        The file holds elevations (GeoTIFF in any coordinates, .hgt, .npz, a folder of them): the console
        shades the relief.
    json
        Print the result as one JSON object.
    """
    from ground.basemap.build import build as built_from

    console = Console(stderr=True)
    with console.status(f"tiles of {source.name}"):
        made = built_from(source, out, title=title, max_zoom=max_zoom, layer=layer, is_terrain=terrain)
    if json:
        told = {
            "path": str(made.path),
            "kind": made.kind,
            "layers": list(made.layers),
            "bytes": made.path.stat().st_size,
        }
        sys.stdout.write(json_module.dumps(told) + "\n")
    else:
        size = made.path.stat().st_size / 1e6
        console.print(
            f"{made.path}: {made.kind} tiles, {size:.1f} MB; the console shows it from the layers folder"
        )
    return 0
