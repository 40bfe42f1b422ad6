"""Plots as GeoJSON features (RFC 7946): right-hand rule, cut in two at the antimeridian."""

from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from skywarden.messages import Plot
from skywarden.times import rfc3339

FloatArray = npt.NDArray[np.float64]


def plot_feature(plot: Plot, review: str = "unreviewed") -> dict[str, Any]:
    """One plot as a feature with what people said of it: Polygon, or MultiPolygon on the antimeridian."""
    position = plot.position
    (area, low, high), (on_slope, slope_low, slope_high) = plot.area_m2, plot.surface_area_m2
    properties = {
        "plot_id": plot.plot_id,
        "platform_id": plot.platform_id,
        "sensor_id": plot.sensor_id,
        "label": plot.label,
        "score": round(plot.score, 4),
        "model_id": plot.model_id,
        "review": review,
        "first": rfc3339(plot.first_ns),
        "last": rfc3339(plot.time_ns),
        "look_count": plot.look_count,
        "is_complete": plot.is_complete,
        "area_m2": round(area, 1),
        "area_90_m2": [round(low, 1), round(high, 1)],
        "surface_area_m2": round(on_slope, 1),
        "surface_area_90_m2": [round(slope_low, 1), round(slope_high, 1)],
        "slope_deg": round(plot.slope_deg, 2),
        "centroid": [round(position.longitude_deg, 8), round(position.latitude_deg, 8)],
        "alt_hae_m": round(position.alt_hae_m, 2),
        "ce90_m": round(position.ce90_m, 2),
        "covariance_enu_m2": [round(value, 4) for value in position.covariance_enu_m2],
        "surface": position.surface,
        "is_exercise": plot.is_exercise,
    }
    geometry = polygon_geometry(plot.rings_deg)
    return {"type": "Feature", "id": plot.plot_id, "geometry": geometry, "properties": properties}


def polygon_geometry(rings_deg: tuple[FloatArray, ...]) -> dict[str, Any]:
    """A Polygon of rings of (latitude, longitude), not closed; a MultiPolygon on the antimeridian."""
    first = float(rings_deg[0][0, 1])
    unrolled = [
        np.column_stack([np.mod(ring[:, 1] - first + 180.0, 360.0) - 180.0 + first, ring[:, 0]])
        for ring in rings_deg
    ]
    polygon = shapely.Polygon(unrolled[0], unrolled[1:])
    west, _, east, _ = polygon.bounds
    if west >= -180.0 and east <= 180.0:
        return {"type": "Polygon", "coordinates": _coordinates(polygon, 0.0)}
    parts = []
    for shift in (-360.0, 0.0, 360.0):
        cut = shapely.clip_by_rect(polygon, -180.0 + shift, -90.0, 180.0 + shift, 90.0)
        pieces = [piece for piece in shapely.get_parts(cut) if isinstance(piece, shapely.Polygon)]
        parts += [_coordinates(piece, -shift) for piece in pieces if piece.area > 0.0]
    return {"type": "MultiPolygon", "coordinates": parts}


def _coordinates(polygon: shapely.Polygon, shift_deg: float) -> list[list[list[float]]]:
    turned = shapely.geometry.polygon.orient(polygon)
    return [
        [[round(x + shift_deg, 8), round(y, 8)] for x, y in ring.coords]
        for ring in (turned.exterior, *turned.interiors)
    ]
