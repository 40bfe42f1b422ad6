"""The surface that a ray can meet: terrain models, level ground, the sea; heights above the ellipsoid.

Elevation models come with heights above the EGM96 geoid; they become heights above the ellipsoid once, when a
tile is opened. Between the nodes of a tile heights are bilinear. A node without data, and everything outside
the tile, is NaN: nobody knows the ground there. Three kinds of file are read: SRTM `.hgt` (numpy alone),
GeoTIFF (needs rasterio, so not in the air) and our own `.npz`, which `save_tile` writes and which is mapped
into memory instead of read.
"""

import math
import re
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Literal, Protocol

import numpy as np
import numpy.typing as npt

from skywarden.errors import InputError
from skywarden.geometry import geodesy, geoid

FloatArray = npt.NDArray[np.float64]
HeightGrid = npt.NDArray[np.float32]
SurfaceKind = Literal["terrain", "sea", "level"]

MAX_FILE_BYTES = 2_000_000_000
MAX_NODES = 250_000_000
MAX_TILES = 256
MAX_NODES_IN_MEMORY = 120_000_000
LOWEST_M, HIGHEST_M = -12_000.0, 9_500.0
DEM_SIGMA_M = 3.0
SEA_SIGMA_M = 0.5
LEVEL_SIGMA_M = 3.0
_GEOID_LOWEST_M, _GEOID_HIGHEST_M = -110.0, 90.0

_TILE_FORMAT = 1
_HGT_VOID = -32768
_HGT_NAME = re.compile(r"^([NS])(\d{2})([EW])(\d{3})", re.IGNORECASE)
_ROWS_AT_ONCE = 256
_SLACK_NODES = 1e-6  # what rounding takes a place on the very edge outside


class Surface(Protocol):
    """What `edge.geolocation.locate` needs of the ground.

    `height_range_hae_m` are bounds that no height is outside of (infinite when unknown); `spacing_m` is how
    far apart its details are (0: smooth, found without marching); `sigma_m` its one-sigma height error.
    """

    @property
    def kind(self) -> SurfaceKind:
        """The word that goes into a `Position`."""
        ...

    @property
    def sigma_m(self) -> float:
        """One-sigma height error in metres."""
        ...

    @property
    def spacing_m(self) -> float:
        """Distance between nodes in metres; 0 for a surface without details."""
        ...

    @property
    def height_range_hae_m(self) -> tuple[float, float]:
        """Lowest and highest height in metres."""
        ...

    def height_hae_m(self, latitude_deg: npt.ArrayLike, longitude_deg: npt.ArrayLike) -> FloatArray:
        """Heights above the ellipsoid in metres, shape of the arguments; NaN where nobody knows."""
        ...


class LevelSurface:
    """Level ground at one height above the ellipsoid, such as that of the take-off place."""

    kind: SurfaceKind = "level"
    spacing_m = 0.0

    def __init__(self, alt_hae_m: float, *, sigma_m: float = LEVEL_SIGMA_M) -> None:
        if not LOWEST_M <= alt_hae_m <= HIGHEST_M:
            raise InputError(f"level ground at {alt_hae_m} m; expected {LOWEST_M:g} to {HIGHEST_M:g}")
        self.alt_hae_m = float(alt_hae_m)
        self.sigma_m = _checked_sigma(sigma_m)
        self.height_range_hae_m = (self.alt_hae_m, self.alt_hae_m)

    def height_hae_m(self, latitude_deg: npt.ArrayLike, longitude_deg: npt.ArrayLike) -> FloatArray:
        """The height, shape of the arguments."""
        return np.full(np.broadcast(latitude_deg, longitude_deg).shape, self.alt_hae_m)


class SeaSurface:
    """The sea: the EGM96 geoid, raised by the tide.

    `sigma_m` is what geoid, waves and swell leave open, `tide_sigma_m` what is not known of the tide; both
    go into every position.
    """

    kind: SurfaceKind = "sea"
    spacing_m = 0.0

    def __init__(
        self, tide_m: float = 0.0, *, sigma_m: float = SEA_SIGMA_M, tide_sigma_m: float = 0.0
    ) -> None:
        if not abs(tide_m) <= 20.0:
            raise InputError(f"a tide of {tide_m} m; expected -20 to 20")
        self.tide_m = float(tide_m)
        self.sigma_m = math.hypot(_checked_sigma(sigma_m), _checked_sigma(tide_sigma_m))
        self.height_range_hae_m = (_GEOID_LOWEST_M + self.tide_m, _GEOID_HIGHEST_M + self.tide_m)

    def height_hae_m(self, latitude_deg: npt.ArrayLike, longitude_deg: npt.ArrayLike) -> FloatArray:
        """Sea level, shape of the arguments."""
        return geoid.undulation_m(latitude_deg, longitude_deg) + self.tide_m


class FormulaSurface:
    """Ground that a formula knows, for scenarios and tests: `formula(latitude_deg, longitude_deg)` in metres
    above the ellipsoid. `spacing_m` is the size of its smallest detail."""

    kind: SurfaceKind = "terrain"

    def __init__(
        self,
        formula: Callable[[FloatArray, FloatArray], FloatArray],
        *,
        spacing_m: float,
        height_range_hae_m: tuple[float, float] = (-math.inf, math.inf),
        sigma_m: float = 0.0,
    ) -> None:
        if not spacing_m > 0.0:
            raise InputError(f"a formula surface with details of {spacing_m} m; expected more than 0")
        self._formula = formula
        self.spacing_m = float(spacing_m)
        self.height_range_hae_m = height_range_hae_m
        self.sigma_m = _checked_sigma(sigma_m)

    def height_hae_m(self, latitude_deg: npt.ArrayLike, longitude_deg: npt.ArrayLike) -> FloatArray:
        """The formula's heights."""
        return self._formula(np.asarray(latitude_deg, np.float64), np.asarray(longitude_deg, np.float64))


class Terrain:
    """One elevation tile: nodes on a grid of latitudes and longitudes, heights above the ellipsoid.

    `heights_hae_m` has shape (rows, columns), row 0 northernmost, NaN for no data; `north_deg`, `west_deg` is
    the place of node (0, 0); the steps are positive. Raises `InputError` when that is no grid on the earth.
    """

    kind: SurfaceKind = "terrain"

    def __init__(
        self,
        heights_hae_m: HeightGrid,
        *,
        north_deg: float,
        west_deg: float,
        step_latitude_deg: float,
        step_longitude_deg: float,
        height_range_hae_m: tuple[float, float] | None = None,
        sigma_m: float = DEM_SIGMA_M,
        name: str = "terrain",
    ) -> None:
        rows, columns = _checked_shape(heights_hae_m.shape, name)
        south_deg = north_deg - (rows - 1) * step_latitude_deg
        width_deg = (columns - 1) * step_longitude_deg
        is_grid = 1e-7 <= step_latitude_deg <= 1.0 and 1e-7 <= step_longitude_deg <= 1.0
        if not (is_grid and -90.01 <= south_deg < north_deg <= 90.01 and 0 < width_deg <= 360.0):
            raise InputError(
                f"{name}: {rows} x {columns} nodes from {north_deg} N, {west_deg} E in steps of "
                f"{step_latitude_deg} and {step_longitude_deg} deg are not a grid in degrees on the earth"
            )
        self.name = name
        self.heights = heights_hae_m
        self.north_deg, self.west_deg = float(north_deg), float(geodesy.wrap_longitude_deg(west_deg))
        self.step_latitude_deg, self.step_longitude_deg = float(step_latitude_deg), float(step_longitude_deg)
        self.south_deg, self.width_deg = float(south_deg), float(width_deg)
        self._flat = np.asarray(heights_hae_m).reshape(-1)
        self.sigma_m = _checked_sigma(sigma_m)
        self.height_range_hae_m = height_range_hae_m or _height_range(heights_hae_m, name)
        self.spacing_m = self._spacing_m()

    def height_hae_m(self, latitude_deg: npt.ArrayLike, longitude_deg: npt.ArrayLike) -> FloatArray:
        """Bilinear heights above the ellipsoid; NaN outside the tile and next to nodes without data."""
        row, column = self._node_of(latitude_deg, longitude_deg)
        rows, columns = self.heights.shape
        slack = _SLACK_NODES
        is_inside = (row >= -slack) & (row <= rows - 1 + slack) & (column >= -slack)
        is_inside &= column <= columns - 1 + slack
        is_whole = bool(is_inside.all())
        if not is_whole:
            row, column = np.where(is_inside, row, 0.0), np.where(is_inside, column, 0.0)
        row_0 = np.minimum(row.astype(np.int32), rows - 2)
        column_0 = np.minimum(column.astype(np.int32), columns - 2)
        down, across = row - row_0, column - column_0
        node, flat = row_0 * np.intp(columns) + column_0, self._flat
        upper = flat[node].astype(np.float64)
        lower = flat[node + columns].astype(np.float64)
        upper += across * (flat[node + 1] - upper)
        lower += across * (flat[node + (columns + 1)] - lower)
        lower -= upper
        lower *= down
        lower += upper
        return lower if is_whole else np.where(is_inside, lower, np.nan)

    def _node_of(
        self, latitude_deg: npt.ArrayLike, longitude_deg: npt.ArrayLike
    ) -> tuple[FloatArray, FloatArray]:
        """Rows and columns as fractions of nodes; columns of places west of the tile may be negative."""
        latitude, longitude = np.asarray(latitude_deg, np.float64), np.asarray(longitude_deg, np.float64)
        east_deg = longitude - self.west_deg
        last_deg = self.width_deg + self.step_longitude_deg
        if not bool(((east_deg >= -self.step_longitude_deg) & (east_deg <= last_deg)).all()):
            east_deg = np.mod(east_deg, 360.0)  # round the earth, but not what lies just west of the tile
            east_deg = np.where(east_deg > 360.0 - self.step_longitude_deg, east_deg - 360.0, east_deg)
        return (self.north_deg - latitude) / self.step_latitude_deg, east_deg / self.step_longitude_deg

    def cells_beyond(
        self, latitude: FloatArray, longitude: FloatArray
    ) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """The cells of this grid, gone on with for one spacing beyond its edges, that hold places (N,).

        Latitudes and longitudes, shape (4, N), of the nodes upper left, upper right, lower left, lower right
        (NaN for places elsewhere), and where in the cell the place is, down and across, 0 to 1.
        """
        row, column = self._node_of(latitude, longitude)
        rows, columns = self.heights.shape
        is_near = (row >= -1.0) & (row <= rows) & (column >= -1.0) & (column <= columns)
        row_0 = np.floor(np.where(is_near, row, np.nan))
        column_0 = np.floor(np.where(is_near, column, np.nan))
        node_rows = np.stack([row_0, row_0, row_0 + 1.0, row_0 + 1.0])
        node_columns = np.stack([column_0, column_0 + 1.0, column_0, column_0 + 1.0])
        return (
            self.north_deg - node_rows * self.step_latitude_deg,
            self.west_deg + node_columns * self.step_longitude_deg,
            row - row_0,
            column - column_0,
        )

    @property
    def box_deg(self) -> tuple[float, float, float, float]:
        """Middle latitude and longitude, and half the extent of each."""
        half_lat, half_lon = (self.north_deg - self.south_deg) / 2, self.width_deg / 2
        return self.south_deg + half_lat, self.west_deg + half_lon, half_lat, half_lon

    def _spacing_m(self) -> float:
        """The smaller of the two distances between nodes, in the middle of the tile."""
        middle = (self.north_deg + self.south_deg) / 2
        meridian, normal = geodesy.radii_of_curvature_m(middle)
        north_south = math.radians(self.step_latitude_deg) * meridian
        east_west = math.radians(self.step_longitude_deg) * normal * math.cos(math.radians(middle))
        return max(min(north_south, east_west), 0.1)


class TerrainMosaic:
    """Several tiles as one surface; where they overlap the finest that knows the height answers.

    Tiles that do not share their border nodes but follow each other in one grid (rasters whose cells are
    areas) are joined: in the strip of one spacing between them heights are bilinear between the border nodes
    of both. A missing tile is a place where nobody knows the ground, and so is a hole in the only tile there;
    it is only taken to be no higher than the highest ground of the tiles that are there.
    """

    kind: SurfaceKind = "terrain"

    def __init__(self, tiles: Sequence["Terrain | ShelvedTile"]) -> None:
        if not 1 <= len(tiles) <= MAX_TILES:
            raise InputError(f"{len(tiles)} terrain tiles; expected 1 to {MAX_TILES}")
        self.tiles = tuple(sorted(tiles, key=lambda tile: tile.spacing_m))
        self.sigma_m = max(tile.sigma_m for tile in tiles)
        self.spacing_m = min(tile.spacing_m for tile in tiles)
        self.height_range_hae_m = (
            min(tile.height_range_hae_m[0] for tile in tiles),
            max(tile.height_range_hae_m[1] for tile in tiles),
        )
        self._boxes = np.array([tile.box_deg for tile in self.tiles])
        self._margin = max(max(t.step_latitude_deg, t.step_longitude_deg) for t in self.tiles)

    def height_hae_m(self, latitude_deg: npt.ArrayLike, longitude_deg: npt.ArrayLike) -> FloatArray:
        """Bilinear heights above the ellipsoid of the finest tile that knows; NaN where none does."""
        latitude, longitude = np.broadcast_arrays(
            np.asarray(latitude_deg, np.float64), np.asarray(longitude_deg, np.float64)
        )
        near = self._near(latitude, longitude)
        if len(near) == 1:
            return near[0].height_hae_m(latitude, longitude)
        height = self._by_tile(near, latitude, longitude)
        is_open = np.isnan(height)
        if len(near) > 1 and is_open.any():
            height[is_open] = self._between(near, latitude[is_open], longitude[is_open])
        return height

    def _near(self, latitude: FloatArray, longitude: FloatArray) -> list["Terrain | ShelvedTile"]:
        """The tiles that the places' common bounds touch, or come within one spacing of."""
        if not latitude.size:
            return []
        bounds = np.array([latitude.min(), latitude.max()])
        turn = geodesy.wrap_longitude_deg(longitude - longitude.flat[0])
        spread = np.array([turn.min(), turn.max()])
        if not np.isfinite(bounds.sum() + spread.sum()):
            return list(self.tiles)
        off_lat = np.abs(self._boxes[:, 0] - bounds.mean())
        middle = longitude.flat[0] + spread.mean()
        off_lon = np.abs(geodesy.wrap_longitude_deg(self._boxes[:, 1] - middle))
        touches = off_lat <= self._boxes[:, 2] + np.ptp(bounds) / 2 + self._margin
        touches &= off_lon <= self._boxes[:, 3] + np.ptp(spread) / 2 + self._margin
        return [self.tiles[index] for index in np.flatnonzero(touches)]

    def _by_tile(
        self, near: Sequence["Terrain | ShelvedTile"], latitude: FloatArray, longitude: FloatArray
    ) -> FloatArray:
        height = np.full(latitude.shape, np.nan)
        for tile in near:
            is_open = np.isnan(height)
            if not is_open.any():
                break
            height[is_open] = tile.height_hae_m(latitude[is_open], longitude[is_open])
        return height

    def _between(
        self, near: Sequence["Terrain | ShelvedTile"], latitude: FloatArray, longitude: FloatArray
    ) -> FloatArray:
        """Heights in the strips between tiles, shape (N,): each tile's grid goes on for one spacing, and the
        nodes out there are whatever the other tiles say."""
        height = np.full(latitude.shape, np.nan)
        for tile in near:
            is_open = np.isnan(height)
            if not is_open.any():
                break
            lat, lon, down, across = tile.cells_beyond(latitude[is_open], longitude[is_open])
            nodes = self._by_tile(near, lat, lon)
            upper = nodes[0] + across * (nodes[1] - nodes[0])
            lower = nodes[2] + across * (nodes[3] - nodes[2])
            height[is_open] = upper + down * (lower - upper)
        return height


class ShelvedTile:
    """A tile that is read from its file when it is asked for and may be put away again.

    For folders of files that do not fit into memory together; `.npz` tiles are mapped and need no shelf.
    """

    def __init__(self, tile: Terrain, path: Path, shelf: "_Shelf") -> None:
        self.name, self.box_deg, self.spacing_m = tile.name, tile.box_deg, tile.spacing_m
        self.sigma_m, self.height_range_hae_m = tile.sigma_m, tile.height_range_hae_m
        self.step_latitude_deg, self.step_longitude_deg = tile.step_latitude_deg, tile.step_longitude_deg
        self._path, self._shelf = path, shelf

    def height_hae_m(self, latitude_deg: npt.ArrayLike, longitude_deg: npt.ArrayLike) -> FloatArray:
        """As `Terrain.height_hae_m`."""
        return self.whole().height_hae_m(latitude_deg, longitude_deg)

    def cells_beyond(
        self, latitude: FloatArray, longitude: FloatArray
    ) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """As `Terrain.cells_beyond`."""
        return self.whole().cells_beyond(latitude, longitude)

    def whole(self) -> Terrain:
        """The tile itself."""
        return self._shelf.tile(self._path, self.sigma_m)


class _Shelf:
    """Tiles in memory up to a number of nodes; the one not asked for longest goes first."""

    def __init__(self, max_nodes: int) -> None:
        self._max_nodes = max_nodes
        self._tiles: OrderedDict[Path, Terrain] = OrderedDict()

    def tile(self, path: Path, sigma_m: float) -> Terrain:
        """The tile of a file, read if need be."""
        found = self._tiles.pop(path, None) or _load_tile(path, sigma_m)
        self._tiles[path] = found
        while (
            len(self._tiles) > 1 and sum(each.heights.size for each in self._tiles.values()) > self._max_nodes
        ):
            self._tiles.popitem(last=False)
        return found


def load_terrain(
    path: Path, *, sigma_m: float | None = None, max_nodes_in_memory: int = MAX_NODES_IN_MEMORY
) -> Terrain | TerrainMosaic:
    """The terrain in a `.hgt`, `.tif`/`.tiff` or `.npz` file, or in all such files of a folder.

    Elevations of `.hgt` and GeoTIFF are taken as EGM96 and become heights above the ellipsoid, unless the
    file's reference system says that they are such already (EPSG:4979). `sigma_m` is their one-sigma error;
    not given: what an `.npz` tile says of itself, else `DEM_SIGMA_M`. Of a folder's tiles at most
    `max_nodes_in_memory` (four bytes each) are kept, others are read when a ray comes there; `.npz` tiles are
    mapped and do not count. Raises `InputError` on what cannot be read, is over size, or holds no usable
    height.
    """
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix.lower() in _READERS and file.is_file())
        if not files:
            raise InputError(f"{path}: no terrain files here; expected {', '.join(sorted(_READERS))}")
        if len(files) > MAX_TILES:
            raise InputError(f"{path}: {len(files)} terrain files are over the limit of {MAX_TILES}")
        return TerrainMosaic(_load_tiles(files, sigma_m, max_nodes_in_memory))
    return _load_tile(path, sigma_m)


def _load_tiles(files: Sequence[Path], sigma_m: float | None, max_nodes: int) -> list[Terrain | ShelvedTile]:
    """All tiles: mapped ones, then whole ones as long as they fit into memory, then ones read on demand."""
    shelf = _Shelf(max_nodes // 2)
    tiles: list[Terrain | ShelvedTile] = []
    nodes = 0
    for file in files:
        tile = _load_tile(file, sigma_m)
        if not isinstance(tile.heights, np.memmap):
            nodes += tile.heights.size
        is_whole = isinstance(tile.heights, np.memmap) or nodes <= max_nodes // 2
        tiles.append(tile if is_whole else ShelvedTile(tile, file, shelf))
    return tiles


def save_tile(terrain: Terrain, path: Path) -> None:
    """Write a tile as `.npz` that `load_terrain` maps into memory: heights uncompressed, float32."""
    grid = [terrain.north_deg, terrain.west_deg, terrain.step_latitude_deg, terrain.step_longitude_deg]
    temporary = path.with_name(path.name + ".part")
    with temporary.open("wb") as file:
        np.savez(
            file,
            format=np.array(_TILE_FORMAT, dtype="<i4"),
            grid=np.array([*grid, *terrain.height_range_hae_m, terrain.sigma_m], dtype="<f8"),
            heights_hae_m=np.ascontiguousarray(terrain.heights, dtype="<f4"),
        )
    temporary.replace(path)


def _load_tile(path: Path, sigma_m: float | None) -> Terrain:
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise InputError(f"{path}: not a terrain file; expected {', '.join(sorted(_READERS))}")
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise InputError(f"{path}: {size} bytes is over the limit of {MAX_FILE_BYTES}")
        return reader(path, sigma_m)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error


def _load_hgt(path: Path, sigma_m: float | None) -> Terrain:
    """SRTM: big-endian 16-bit metres, square, the file's name is its south-west corner (USGS SRTM guide)."""
    name = _HGT_NAME.match(path.name)
    if name is None:
        raise InputError(f"{path}: an SRTM file is named after its corner, such as N44W072.hgt")
    size = path.stat().st_size
    side = math.isqrt(size // 2)
    columns = side
    if size == 3601 * 1801 * 2:  # north of 50 degrees every other meridian was kept
        side, columns = 3601, 1801
    if side * columns * 2 != size or side not in (1201, 3601):
        raise InputError(f"{path}: {size} bytes are neither a 1201 nor a 3601 square of 16-bit heights")
    south = float(name[2]) * (1 if name[1].upper() == "N" else -1)
    west = float(name[4]) * (1 if name[3].upper() == "E" else -1)
    raw = np.fromfile(path, dtype=">i2").reshape(side, columns)
    grid = (south + 1.0, west, 1.0 / (side - 1), 1.0 / (columns - 1))
    return _from_msl(raw.astype(np.float32), raw == _HGT_VOID, grid, sigma_m, str(path))


def _load_geotiff(path: Path, sigma_m: float | None) -> Terrain:
    try:
        import rasterio
        import rasterio.errors
    except ImportError as error:
        raise InputError(
            f"{path}: reading GeoTIFF needs rasterio; install skywarden[ground] or convert it on the ground "
            "into a .npz tile"
        ) from error
    try:
        with rasterio.open(path, driver="GTiff") as data:
            transform = data.transform
            if data.crs is None or not data.crs.is_geographic or transform.b or transform.d:
                raise InputError(f"{path}: expected latitudes and longitudes, north up, not {data.crs}")
            if transform.a <= 0 or transform.e >= 0:
                raise InputError(f"{path}: expected rows from north to south and columns from west to east")
            _checked_shape((data.height, data.width), str(path))
            heights = data.read(1).astype(np.float32)
            is_void = data.read_masks(1) == 0
            is_above_ellipsoid = "ellipsoidal height" in data.crs.to_wkt().lower()
    except rasterio.errors.RasterioError as error:
        raise InputError(f"{path}: not a GeoTIFF that can be read ({error})") from error
    # A raster's transform names the corner of its first cell; its height belongs to the cell's centre.
    grid = (transform.f + transform.e / 2, transform.c + transform.a / 2, -transform.e, transform.a)
    return _from_msl(heights, is_void, grid, sigma_m, str(path), is_above_ellipsoid=is_above_ellipsoid)


def _load_npz(path: Path, sigma_m: float | None) -> Terrain:
    """Our own tile, mapped into memory; its own sigma counts where none is given."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = {entry.filename: entry for entry in archive.infolist()}
            if set(members) != {"format.npy", "grid.npy", "heights_hae_m.npy"}:
                raise InputError(f"{path}: not a terrain tile of skywarden")
            version = _small_array(archive, members["format.npy"], path)
            grid = _small_array(archive, members["grid.npy"], path)
            if version.shape != () or int(version) != _TILE_FORMAT or grid.shape != (7,):
                raise InputError(f"{path}: a terrain tile of another version; make it again")
            heights = _mapped_array(path, members["heights_hae_m.npy"])
    except (zipfile.BadZipFile, ValueError, struct.error, NotImplementedError) as error:
        raise InputError(f"{path}: a damaged terrain tile ({error})") from error
    north, west, step_latitude, step_longitude, lowest, highest, sigma = (float(value) for value in grid)
    if not (LOWEST_M <= lowest <= highest <= HIGHEST_M):
        raise InputError(f"{path}: heights from {lowest} to {highest} m are not on the earth")
    return Terrain(
        heights,
        north_deg=north,
        west_deg=west,
        step_latitude_deg=step_latitude,
        step_longitude_deg=step_longitude,
        height_range_hae_m=(lowest, highest),
        sigma_m=sigma if sigma_m is None else sigma_m,
        name=str(path),
    )


_READERS: dict[str, Callable[[Path, float | None], Terrain]] = {
    ".hgt": _load_hgt,
    ".tif": _load_geotiff,
    ".tiff": _load_geotiff,
    ".npz": _load_npz,
}


def _small_array(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path
) -> npt.NDArray[np.float64] | npt.NDArray[np.int32]:
    if member.file_size > 4096:
        raise InputError(f"{path}: {member.filename} of {member.file_size} bytes is too large")
    with archive.open(member) as file:
        array: npt.NDArray[np.float64] | npt.NDArray[np.int32] = np.lib.format.read_array(
            file, allow_pickle=False
        )
    return array


def _mapped_array(path: Path, member: zipfile.ZipInfo) -> HeightGrid:
    """The stored (not compressed) member as a read-only map of the file."""
    if member.compress_type != zipfile.ZIP_STORED:
        raise InputError(f"{path}: heights are compressed; write the tile with save_tile")
    with path.open("rb") as file:
        file.seek(member.header_offset)
        local = struct.unpack("<4s22xHH", file.read(30))
        if local[0] != b"PK\x03\x04":
            raise InputError(f"{path}: a damaged terrain tile (no entry where the index says)")
        start = member.header_offset + 30 + local[1] + local[2]
        file.seek(start)
        shape, offset = _npy_header(file, path)
    rows, columns = _checked_shape(shape, str(path))
    if (
        offset - start + rows * columns * 4 != member.file_size
        or offset + rows * columns * 4 > path.stat().st_size
    ):
        raise InputError(f"{path}: {rows} x {columns} heights do not fit the {member.file_size} bytes stored")
    return np.memmap(path, dtype="<f4", mode="r", offset=offset, shape=(rows, columns))


def _npy_header(file: IO[bytes], path: Path) -> tuple[tuple[int, ...], int]:
    version = np.lib.format.read_magic(file)
    if version != (1, 0):
        raise InputError(f"{path}: heights in npy version {version}, expected (1, 0)")
    shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(file)
    if is_fortran or dtype != np.dtype("<f4"):
        raise InputError(f"{path}: heights are {dtype}, expected rows of little-endian float32")
    return shape, file.tell()


def _from_msl(
    heights_msl_m: HeightGrid,
    is_void: npt.NDArray[np.bool_],
    grid: tuple[float, float, float, float],
    sigma_m: float | None,
    name: str,
    *,
    is_above_ellipsoid: bool = False,
) -> Terrain:
    """A tile from elevations above EGM96, in place: voids and what is not on the earth become NaN.

    `is_above_ellipsoid` is for the few files that hold such heights and say so.
    """
    north, west, step_latitude, step_longitude = grid
    heights = heights_msl_m
    with np.errstate(invalid="ignore"):
        heights[is_void | ~((heights >= LOWEST_M) & (heights <= HIGHEST_M))] = np.nan
    longitudes = west + np.arange(heights.shape[1]) * step_longitude
    for first in range(0, 0 if is_above_ellipsoid else len(heights), _ROWS_AT_ONCE):
        block = heights[first : first + _ROWS_AT_ONCE]
        latitudes = north - (first + np.arange(len(block))) * step_latitude
        block += geoid.undulation_m(latitudes[:, None], longitudes[None, :]).astype(np.float32)
    heights.flags.writeable = False
    return Terrain(
        heights,
        north_deg=north,
        west_deg=west,
        step_latitude_deg=step_latitude,
        step_longitude_deg=step_longitude,
        sigma_m=DEM_SIGMA_M if sigma_m is None else sigma_m,
        name=name,
    )


def _height_range(heights: HeightGrid, name: str) -> tuple[float, float]:
    lowest, highest = math.inf, -math.inf
    for first in range(0, len(heights), _ROWS_AT_ONCE):
        block = heights[first : first + _ROWS_AT_ONCE]
        known = block[np.isfinite(block)]
        if known.size:
            lowest, highest = min(lowest, float(known.min())), max(highest, float(known.max()))
    if not lowest <= highest:
        raise InputError(f"{name}: not one usable height in {heights.shape[0]} x {heights.shape[1]} nodes")
    return lowest, highest


def _checked_shape(shape: tuple[int, ...], name: str) -> tuple[int, int]:
    if len(shape) != 2 or min(shape) < 2 or shape[0] * shape[1] > MAX_NODES:
        raise InputError(f"{name}: {shape} heights; expected 2 x 2 up to {MAX_NODES} in all")
    return int(shape[0]), int(shape[1])


def _checked_sigma(sigma_m: float) -> float:
    if not 0.0 <= sigma_m <= 1000.0:
        raise InputError(f"a height error of {sigma_m} m; expected 0 to 1000")
    return float(sigma_m)
