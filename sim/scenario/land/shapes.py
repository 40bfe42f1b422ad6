"""Outlines of plots and parcels from a word: blob, rectangle, circle, L, strip, kidney, part of a ring."""

import math

import numpy as np
import numpy.typing as npt

from sim.scenario.land.noise import generator
from sim.scenario.tables.land import Shape

FloatArray = npt.NDArray[np.float64]
Points = tuple[tuple[float, float], ...]

_RAGGED = 0.07


def outline_of(shape: Shape, name: str) -> Points:
    """The outline in grid metres, counter-clockwise seen from above; the same name gives the same outline."""
    rng = generator(0, "shape", name)
    half = np.array([shape.length_m / 2.0, shape.width_m / 2.0])
    unit = _unit(shape, rng)
    along, across = (unit * half).T
    azimuth = math.radians(shape.azimuth_deg)
    east = shape.at[0] + along * math.sin(azimuth) + across * math.cos(azimuth)
    north = shape.at[1] + along * math.cos(azimuth) - across * math.sin(azimuth)
    points = [(round(float(x), 2), round(float(y), 2)) for x, y in zip(east, north, strict=True)]
    area = sum(a[0] * b[1] - b[0] * a[1] for a, b in zip(points, (*points[1:], points[0]), strict=True))
    return tuple(points if area > 0.0 else points[::-1])


def _unit(shape: Shape, rng: np.random.Generator) -> FloatArray:
    """Points (N, 2) along and across, within about -1 to 1."""
    if shape.kind == "l":
        corners = np.array([(-1, -1), (1, -1), (1, 0.0), (-0.1, 0.0), (-0.1, 1), (-1, 1)], np.float64)
        return _jittered(corners, rng, 0.04)
    if shape.kind in ("rectangle", "strip"):
        bend = 0.0 if shape.kind == "rectangle" else float(rng.uniform(0.5, 1.2))
        t = np.linspace(-1.0, 1.0, 5)
        lower = np.column_stack([t, -1.0 + bend * t**2])
        upper = np.column_stack([t[::-1], 1.0 + bend * t[::-1] ** 2])
        return _jittered(np.vstack([lower, upper]), rng, 0.03)
    if shape.kind == "ring-sector":
        angle = np.linspace(-0.9, 0.9, 9)
        outer = np.column_stack([np.sin(angle), np.cos(angle)])
        inner = 0.55 * outer[::-1]
        return np.vstack([outer, inner]) * (1.25, 2.0) - (0.0, 1.35)
    count = 14 if shape.kind == "circle" else 12
    angle = np.linspace(0.0, 2.0 * np.pi, count, endpoint=False)
    radius = np.ones(count)
    if shape.kind == "blob":
        for order, share in ((2, 1.4), (3, 1.0), (5, 0.6)):
            radius += share * _RAGGED * np.sin(order * angle + float(rng.uniform(0, 2 * np.pi)))
    if shape.kind == "kidney":
        radius -= 0.55 * np.exp(-(((angle - np.pi / 2) / 0.55) ** 2))
    return np.column_stack([np.cos(angle), np.sin(angle)]) * radius[:, None]


def _jittered(points: FloatArray, rng: np.random.Generator, sigma: float) -> FloatArray:
    return points + rng.normal(0.0, sigma, points.shape)
