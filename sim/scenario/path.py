"""Lines over the ground: rounded, measured, and the closed way that a platform flies."""

import itertools
import math
from bisect import bisect_right
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Leg:
    """A straight (`curvature_1pm` 0) or circular piece of the path, from a point with a heading."""

    x_m: float
    y_m: float
    heading_rad: float
    curvature_1pm: float
    length_m: float

    def at(self, distance_m: float) -> tuple[float, float, float]:
        k = self.curvature_1pm
        if abs(k) < 1e-9:
            return (
                self.x_m + distance_m * math.sin(self.heading_rad),
                self.y_m + distance_m * math.cos(self.heading_rad),
                self.heading_rad,
            )
        end = self.heading_rad + k * distance_m
        x = self.x_m + (math.cos(self.heading_rad) - math.cos(end)) / k
        y = self.y_m + (math.sin(end) - math.sin(self.heading_rad)) / k
        return x, y, end


class ClosedPath:
    """A closed polygon whose corners are rounded by circles; walked by distance, round and round."""

    def __init__(self, corners: tuple[tuple[float, float], ...], radius_m: float) -> None:
        points = np.array(corners, np.float64)
        before, after = points - np.roll(points, 1, axis=0), np.roll(points, -1, axis=0) - points
        heading_in = np.arctan2(before[:, 0], before[:, 1])
        heading_out = np.arctan2(after[:, 0], after[:, 1])
        turn = (heading_out - heading_in + np.pi) % (2.0 * np.pi) - np.pi
        shortest = np.minimum(np.hypot(*before.T), np.hypot(*after.T))
        tangent = np.minimum(radius_m * np.tan(np.abs(turn) / 2.0), 0.499 * shortest)
        self._legs: list[_Leg] = []
        for i in range(len(points)):
            j = (i + 1) % len(points)
            direction = np.array([math.sin(heading_out[i]), math.cos(heading_out[i])])
            start, end = points[i] + tangent[i] * direction, points[j] - tangent[j] * direction
            length = float(np.hypot(*(end - start)))
            self._legs.append(_Leg(float(start[0]), float(start[1]), float(heading_out[i]), 0.0, length))
            if abs(turn[j]) > 1e-6:
                curvature = math.copysign(math.tan(abs(turn[j]) / 2.0) / tangent[j], turn[j])
                arc = _Leg(
                    float(end[0]), float(end[1]), float(heading_in[j]), curvature, float(turn[j] / curvature)
                )
                self._legs.append(arc)
        self._starts = [0.0, *itertools.accumulate(leg.length_m for leg in self._legs)]
        self.length_m = self._starts[-1]

    def at(self, distance_m: float) -> tuple[float, float, float, float]:
        """Grid x, y (metres), heading (radians) and curvature (1/m, right positive) after `distance_m`."""
        distance_m %= self.length_m
        i = min(bisect_right(self._starts, distance_m) - 1, len(self._legs) - 1)
        leg = self._legs[i]
        return (*leg.at(distance_m - self._starts[i]), leg.curvature_1pm)


def rounded(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """A polyline with its corners cut three times (Chaikin, 1974)."""
    for _ in range(3):
        first, second = points[:-1], points[1:]
        inner = np.stack([0.75 * first + 0.25 * second, 0.25 * first + 0.75 * second], axis=1).reshape(-1, 2)
        points = np.vstack([points[:1], inner, points[-1:]])
    return points


def distance_to_line(
    line: FloatArray, x_m: npt.NDArray[np.float32], y_m: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Distance of grid points (any shape) to a polyline (N, 2), metres."""
    nearest = np.full(x_m.shape, np.float32(1e12), np.float32)
    for a, b in itertools.pairwise(line):
        along = b - a
        squared = max(float(along @ along), 1e-9)
        dx, dy = x_m - np.float32(a[0]), y_m - np.float32(a[1])
        share = dx * np.float32(along[0] / squared) + dy * np.float32(along[1] / squared)
        np.clip(share, 0.0, 1.0, out=share)
        dx -= share * np.float32(along[0])
        dy -= share * np.float32(along[1])
        dx *= dx
        dx += dy * dy
        np.minimum(nearest, dx, out=nearest)
    return np.asarray(np.sqrt(nearest), np.float32)
