"""The EGM96 geoid: how far mean sea level lies above the WGS 84 ellipsoid.

The table in `data/egm96_15.npz` is the public-domain 15 arc-minute grid of NGA (WW15MGH), taken from
`us_nga_egm96_15.tif` of the PROJ data collection (sha256
db493027562c9b004d7220fa881f5603adada4e1c5029b933fa7de4547b0e78d), rounded to 5 mm and stored as differences.
docs/decisions/0003-geoid-and-terrain.md has the script. PROJ itself is not asked: its wheels carry no geoid
grid and it then returns heights unchanged without a word.

Between the nodes a cubic through four nodes each way is used; the six points NGA publishes with its own
interpolation program agree to 8 mm (bilinear: 56 mm). EGM96 itself is good to about 0.5 to 1 m.
"""

import functools
import importlib.resources

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

_ROWS, _COLUMNS = 721, 1440  # latitude 90 .. -90, longitude -180 .. 179.75
_NODES_PER_DEG = 4.0
_METRES_PER_COUNT = 0.005


def undulation_m(latitude_deg: npt.ArrayLike, longitude_deg: npt.ArrayLike) -> FloatArray:
    """Height of the EGM96 geoid above the ellipsoid in metres; any shapes that broadcast; NaN in, NaN out.

    HAE = MSL + undulation; `skywarden.geometry.heights` does that with types.
    """
    latitude, longitude = np.broadcast_arrays(
        np.asarray(latitude_deg, dtype=np.float64), np.asarray(longitude_deg, dtype=np.float64)
    )
    is_known = np.isfinite(latitude) & np.isfinite(longitude)
    row = (90.0 - np.clip(np.where(is_known, latitude, 0.0), -90.0, 90.0)) * _NODES_PER_DEG
    column = np.mod(np.where(is_known, longitude, 0.0) + 180.0, 360.0) * _NODES_PER_DEG
    row_0 = np.minimum(row.astype(np.intp), _ROWS - 2)
    column_0 = column.astype(np.intp)
    weight_row, weight_column = _cubic_weights(row - row_0), _cubic_weights(column - column_0)
    rows = row_0 + _along_nodes(0, row.ndim)  # the table has one extra row above, hence 0 and not -1
    columns = np.mod(column_0 + _along_nodes(-1, row.ndim), _COLUMNS)
    nodes = _table()[rows[:, None], columns[None, :]]
    total = np.einsum("i...,j...,ij...->...", weight_row, weight_column, nodes)
    return np.where(is_known, total * _METRES_PER_COUNT, np.nan)


def _along_nodes(first: int, dimensions: int) -> npt.NDArray[np.intp]:
    """Offsets of four neighbouring nodes, shaped to broadcast along a new first axis."""
    return np.arange(first, first + 4, dtype=np.intp).reshape(4, *(1,) * dimensions)


def _cubic_weights(fraction: FloatArray) -> FloatArray:
    """Weights, shape (4, ...), of the nodes at -1, 0, 1, 2 of the cubic through all four (Lagrange)."""
    below, above, beyond = fraction + 1, fraction - 1, fraction - 2
    return np.stack(
        [
            fraction * above * beyond / -6,
            below * above * beyond / 2,
            below * fraction * beyond / -2,
            below * fraction * above / 6,
        ]
    )


@functools.cache
def _table() -> npt.NDArray[np.float32]:
    """Counts of 5 mm, with one more row beyond each pole: the row short of it, seen from the other side."""
    packed = importlib.resources.files("skywarden") / "data" / "egm96_15.npz"
    with packed.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        steps = archive["steps"].astype(np.int64)
    counts = np.cumsum(np.cumsum(np.cumsum(steps, axis=1), axis=0), axis=1)
    half = _COLUMNS // 2
    beyond_north, beyond_south = np.roll(counts[1], half), np.roll(counts[-2], half)
    table = np.vstack([beyond_north, counts, beyond_south]).astype(np.float32)
    table.flags.writeable = False
    return table
