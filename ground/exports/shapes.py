"""Shapes of what leaves: 90 % ellipses as rings, tracks as lines that are cut at the antimeridian."""

import itertools
import math
from typing import Any

import numpy as np

from ground.fusion.plane import metres_per_degree
from skywarden.geometry.plot_geojson import polygon_geometry
from skywarden.geometry.uncertainty import ellipse_90
from skywarden.messages import Position

ELLIPSE_POINTS = 48
_ANGLES = np.linspace(0.0, -2.0 * np.pi, ELLIPSE_POINTS, endpoint=False)
_COS, _SIN = np.cos(_ANGLES), np.sin(_ANGLES)


def ellipse_ring(position: Position) -> list[tuple[float, float]]:
    """(longitude, latitude) round the 90 % ellipse, closed, counter-clockwise; longitudes may pass 180."""
    ee, en, _, nn, _, _ = position.covariance_enu_m2
    major, minor, azimuth = (float(one) for one in ellipse_90([[ee, en], [en, nn]]))
    turn = math.radians(azimuth)
    along, across = major * _COS, minor * _SIN
    east = along * math.sin(turn) + across * math.cos(turn)
    north = along * math.cos(turn) - across * math.sin(turn)
    north_m_per_deg, east_m_per_deg = metres_per_degree(position.latitude_deg)
    longitude = np.round(position.longitude_deg + east / east_m_per_deg, 8)
    latitude = np.round(np.clip(position.latitude_deg + north / north_m_per_deg, -90.0, 90.0), 8)
    ring = list(zip(longitude.tolist(), latitude.tolist(), strict=True))
    return [*ring, ring[0]]


def ellipse_geometry(position: Position) -> dict[str, Any]:
    """The same as an RFC 7946 polygon, cut in two at the antimeridian."""
    ring = ellipse_ring(position)
    if all(-180.0 <= longitude <= 180.0 for longitude, _ in ring):
        return {"type": "Polygon", "coordinates": [ring]}
    wrapped = [(latitude, (longitude + 180.0) % 360.0 - 180.0) for longitude, latitude in ring[:-1]]
    return polygon_geometry((np.array(wrapped),))


def line_geometry(path: tuple[tuple[int, float, float, float], ...]) -> dict[str, Any]:
    """The line of a track, cut where it crosses 180 degrees; a point where it has one place."""
    if len(path) == 1:
        return {"type": "Point", "coordinates": vertex(*path[0][1:])}
    parts: list[list[list[float]]] = [[vertex(*path[0][1:])]]
    for before, now in itertools.pairwise(path):
        if abs(now[1] - before[1]) > 180.0:
            edge = 180.0 if before[1] > 0.0 else -180.0
            beyond = now[1] + 2.0 * edge
            share = (edge - before[1]) / (beyond - before[1]) if beyond != before[1] else 0.0
            latitude = before[2] + share * (now[2] - before[2])
            height = before[3] + share * (now[3] - before[3])
            parts[-1].append(vertex(edge, latitude, height))
            parts.append([vertex(-edge, latitude, height)])
        parts[-1].append(vertex(*now[1:]))
    if len(parts) == 1:
        return {"type": "LineString", "coordinates": parts[0]}
    return {"type": "MultiLineString", "coordinates": parts}


def vertex(longitude: float, latitude: float, height: float) -> list[float]:
    """A place of RFC 7946, rounded to a millimetre and a centimetre."""
    return [round(longitude, 8), round(latitude, 8), round(height, 2)]
