"""Areas of a polygon on the ground: on the ellipsoid, at its height, and along its slope.

The planimetric area is what a map or a GIS gives for the polygon: on the ellipsoid, exact by an equal-area
projection. At the height of the ground the same polygon is larger by (1 + h/M)(1 + h/N), 0.03 % per 1000 m.
The surface area follows the slope: what would be measured, or sown, on the ground.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import shapely

from edge.plots.ground import EqualAreaPlane
from skywarden.errors import InputError
from skywarden.geometry import geodesy
from skywarden.geometry.terrain import Surface
from skywarden.geometry.uncertainty import LE90_PER_SIGMA

FloatArray = npt.NDArray[np.float64]

SAMPLES = 1600
MAX_EXTENT_M = 20_000.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Areas:
    """Areas in square metres.

    Attributes:
        planimetric_m2: on the ellipsoid.
        at_height_m2: planimetric, at the mean height of the ground.
        surface_m2: along the slope.
        slope_deg: of the mean plane of the ground.
        gradient_en: rise per metre east and north of the mean plane.
        alt_hae_m: mean height of the ground.
    """

    planimetric_m2: float
    at_height_m2: float
    surface_m2: float
    perimeter_m: float
    slope_deg: float
    gradient_en: tuple[float, float]
    alt_hae_m: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Interval:
    """A size and the interval that holds the truth in 90 % of cases; `sigma` is that of its logarithm."""

    value: float
    low: float
    high: float
    sigma: float


def interval_90(value: float, sigma: float) -> Interval:
    """The interval of a size that cannot be negative and whose relative error is `sigma` (one sigma)."""
    spread = float(np.exp(LE90_PER_SIGMA * sigma))
    return Interval(value=value, low=value / spread, high=value * spread, sigma=sigma)


def areas_of(plane: EqualAreaPlane, shape: shapely.Polygon, surface: Surface) -> Areas:
    """Areas of a polygon in the metres of `plane`, on `surface`.

    The slope is taken over one spacing of the surface, at 1600 points or so inside; where nobody knows the
    ground, it is left out. Raises `InputError` on what is not a polygon or beyond 20 km across.
    """
    check_extent(shape)
    points = _points_inside(shape)
    latitude, longitude = plane.geodetic(points)
    height = surface.height_hae_m(latitude, longitude)
    gradient = np.zeros((len(points), 2))
    if surface.spacing_m > 0.0:
        gradient = gradients(plane, points, surface)
    is_known = np.isfinite(gradient).all(axis=1) & np.isfinite(height)
    if not is_known.any():
        raise InputError("nobody knows the ground under this plot: it lies outside of the terrain model")
    mean = gradient[is_known].mean(axis=0)
    alt = float(height[is_known].mean())
    meridian, normal = geodesy.radii_of_curvature_m(float(latitude.mean()))
    at_height = shape.area * (1.0 + alt / meridian) * (1.0 + alt / normal)
    steepness = np.sqrt(1.0 + np.sum(gradient[is_known] ** 2, axis=1))
    return Areas(
        planimetric_m2=float(shape.area),
        at_height_m2=float(at_height),
        surface_m2=float(at_height * steepness.mean()),
        perimeter_m=float(shape.length),
        slope_deg=float(np.degrees(np.arctan(np.hypot(*mean)))),
        gradient_en=(float(mean[0]), float(mean[1])),
        alt_hae_m=alt,
    )


def check_extent(shape: shapely.Polygon) -> None:
    """Raise `InputError` on what is not a polygon of metres or beyond 20 km across."""
    west, south, east, north = shape.bounds if not shape.is_empty else (np.nan,) * 4
    if not (shape.is_valid and shape.area > 0.0 and max(east - west, north - south) <= MAX_EXTENT_M):
        raise InputError(f"not a plot: {shape.area:.1f} m2, {east - west:.0f} x {north - south:.0f} m")


def areas_of_corners(
    latitude_deg: npt.ArrayLike,
    longitude_deg: npt.ArrayLike,
    surface: Surface,
    holes: Sequence[tuple[npt.ArrayLike, npt.ArrayLike]] = (),
) -> Areas:
    """Areas of a polygon of corners on the ground that are joined straight; raises `InputError`."""
    latitude, longitude = np.asarray(latitude_deg, np.float64), np.asarray(longitude_deg, np.float64)
    if latitude.ndim != 1 or latitude.shape != longitude.shape or len(latitude) < 3:
        raise InputError(f"corners of shape {latitude.shape} and {longitude.shape}; it takes 3 or more")
    if not (np.isfinite(latitude).all() and np.isfinite(longitude).all()):
        raise InputError("a corner of the polygon has no place")
    plane = EqualAreaPlane(float(latitude[0]), float(longitude[0]))
    inner = [plane.east_north_m(*hole) for hole in holes]
    return areas_of(plane, shapely.Polygon(plane.east_north_m(latitude, longitude), inner), surface)


def gradients(plane: EqualAreaPlane, points_en_m: FloatArray, surface: Surface) -> FloatArray:
    """Rise per metre east and north, shape (N, 2), over one spacing of the surface; NaN where not known."""
    count = len(points_en_m)
    if surface.spacing_m == 0.0:
        return np.zeros((count, 2))
    reach = surface.spacing_m / 2
    offsets = reach * np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    around = points_en_m[None] + offsets[:, None]
    east, west, north, south = surface.height_hae_m(*plane.geodetic(around))
    # Metres of the plane are those of the ellipsoid; the ground lies higher and is as much wider.
    middle = np.nanmean(east) if np.isfinite(east).any() else 0.0
    wider = 1.0 + float(middle) / geodesy.SEMI_MAJOR_M
    rise: FloatArray = np.stack([east - west, north - south], axis=1) / (2 * reach * wider)
    return rise


def _points_inside(shape: shapely.Polygon) -> FloatArray:
    """Points of a square grid inside of the polygon, about 1600, at least one."""
    west, south, east, north = shape.bounds
    step = float(np.sqrt(shape.area / SAMPLES))
    step = max(step, (east - west) / 128, (north - south) / 128)  # slim ones get fewer
    x = np.arange(west + step / 2, east, step)
    y = np.arange(south + step / 2, north, step)
    grid = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    shapely.prepare(shape)
    inside = shapely.contains_xy(shape, grid[:, 0], grid[:, 1])
    if not inside.any():
        point = shape.representative_point()
        return np.array([[point.x, point.y]])
    found: FloatArray = grid[inside]
    return found
