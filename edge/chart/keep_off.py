"""What stands where it cannot be: vessels well inland, parcels well out on the water. A plain object.

A detection is left out only when the whole ellipse of its place, widened by a margin, lies on the wrong side
of every shore. What has no place, or a doubtful one, is never left out.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import shapely

from edge.chart.config import ChartConfig
from edge.chart.polygons import read_polygons
from edge.geolocation.locate import OK, Locations
from models.detection import DetectionBatch
from skywarden.errors import ConfigError, InputError
from skywarden.geometry.geodesy import radii_of_curvature_m

BoolArray = npt.NDArray[np.bool_]

CORNERS = 24
_AROUND = np.linspace(0.0, 2.0 * math.pi, CORNERS, endpoint=False)
_CIRCLE = np.stack([np.cos(_AROUND), np.sin(_AROUND)]) / math.cos(math.pi / CORNERS)
_LEAST_SINE = 0.05
_MOST_LATITUDE_DEG = 85.0
_MOST_LONGITUDE_DEG = 179.0
"""Beyond these degrees are no plane any more, and nothing is left out."""

_MOST_M = 50_000.0


class KeepOff:
    """Land and water of one area, and which labels belong on which."""

    def __init__(self, polygons: Sequence[shapely.Polygon], config: ChartConfig) -> None:
        self._config = config
        self._shown = shapely.union_all(list(polygons))
        self._extent = shapely.box(*self._shown.bounds)
        shapely.prepare(self._shown)
        shapely.prepare(self._extent)

    def misplaced(self, batch: DetectionBatch, locations: Locations, focal_px: float) -> BoolArray:
        """Which detections (N,) stand on the wrong side; `locations` holds their places first.

        `focal_px` makes metres of a plot's box, all of which must lie on the water before it is left out.
        """
        wrong = np.zeros(len(batch), dtype=bool)
        names = np.array(batch.labels, dtype=object)[batch.label_index] if len(batch) else np.array([])
        for labels, is_land_wrong in ((self._config.on_water, True), (self._config.on_land, False)):
            rows = np.flatnonzero(np.isin(names, labels) & self._is_usable(locations, len(batch)))
            if not len(rows):
                continue
            extra = np.zeros(len(rows)) if is_land_wrong else _reach_m(batch, locations, rows, focal_px)
            wrong[rows] = self._is_within(self._ellipses(locations, rows, extra), land=is_land_wrong)
        return wrong

    def _is_usable(self, locations: Locations, count: int) -> BoolArray:
        """Places that are known, and where degrees are a plane."""
        known = np.array([status == OK for status in locations.status[:count]], dtype=bool)
        with np.errstate(invalid="ignore"):
            known &= np.abs(locations.latitude_deg[:count]) < _MOST_LATITUDE_DEG
            known &= np.abs(locations.longitude_deg[:count]) < _MOST_LONGITUDE_DEG
        return known

    def _ellipses(
        self, locations: Locations, rows: npt.NDArray[np.intp], extra_m: npt.NDArray[np.float64]
    ) -> npt.NDArray[np.object_]:
        """Polygons in degrees round each place: its error ellipse, `sigmas` large, and the margins."""
        latitude = locations.latitude_deg[rows]
        values, axes = np.linalg.eigh(locations.covariance_enu_m2[rows, :2, :2])
        radius = self._config.sigmas * np.sqrt(np.maximum(values, 0.0))
        radius = np.minimum(radius + (self._config.margin_m + extra_m)[:, None], _MOST_M)
        corners = (axes * radius[:, None, :]) @ _CIRCLE  # (N, 2, CORNERS) in metres east and north
        radii = np.array([radii_of_curvature_m(float(one)) for one in latitude])
        north = np.degrees(corners[:, 1] / radii[:, :1])
        east = np.degrees(corners[:, 0] / (radii[:, 1:] * np.cos(np.radians(latitude))[:, None]))
        points = np.stack([locations.longitude_deg[rows, None] + east, latitude[:, None] + north], axis=2)
        return np.asarray(shapely.polygons(points), dtype=object)

    def _is_within(self, ellipses: npt.NDArray[np.object_], *, land: bool) -> BoolArray:
        """Whether all of each ellipse is land (or water), as far as the chart reaches."""
        if land == (self._config.shows == "land"):
            return np.asarray(shapely.contains_properly(self._shown, ellipses), dtype=bool)
        inside = shapely.contains_properly(self._extent, ellipses)
        return np.asarray(inside & ~shapely.intersects(self._shown, ellipses), dtype=bool)


def _reach_m(
    batch: DetectionBatch, locations: Locations, rows: npt.NDArray[np.intp], focal_px: float
) -> npt.NDArray[np.float64]:
    """How far from its middle a thing that lies on the ground reaches, by half of its box's diagonal."""
    box = batch.box_px[rows].astype(np.float64)
    metres = locations.slant_range_m[rows, None] * (box[:, 2:] - box[:, :2]) / focal_px
    sine = np.maximum(_LEAST_SINE, np.abs(np.sin(np.radians(locations.elevation_deg[rows]))))
    return np.asarray(np.hypot(metres[:, 0], metres[:, 1] / sine) / 2.0, dtype=np.float64)


def read_keep_off(config: ChartConfig) -> KeepOff | None:
    """The chart that a configuration names, `None` for none; raises `ConfigError` when it is no chart."""
    if not config.path:
        return None
    try:
        return KeepOff(read_polygons(Path(config.path), config.layer), config)
    except InputError as error:
        raise ConfigError(f"chart: {error}") from error
