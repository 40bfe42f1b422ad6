"""Accelerations in level axes: what the accelerometers felt, turned by the attitude of the same instant."""

import math
from collections import deque

from edge.pose.history import AttitudeSample, Quaternion, Samples

MAX_WAITING = 64
Vector = tuple[float, float, float]


class LevelAccelerations:
    """Holds each force until attitudes on both sides of it are known; a plain object."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[int, Vector]] = deque(maxlen=MAX_WAITING)

    def add(self, time_ns: int, force_body_mps2: Vector) -> None:
        """Specific force in body axes at an instant."""
        self._waiting.append((time_ns, force_body_mps2))

    def due(self, attitudes: Samples[AttitudeSample]) -> list[tuple[int, float, float, float]]:
        """(time_ns, north, east, heading): level accelerations in m/s^2 and radians, that can be told now."""
        out: list[tuple[int, float, float, float]] = []
        latest = attitudes.latest
        while self._waiting and latest is not None and self._waiting[0][0] <= latest.time_ns:
            time_ns, force = self._waiting.popleft()
            before, after = attitudes.around(time_ns)
            if before is None:
                continue
            q = before.q_ned_body
            if after is not None and after.time_ns - before.time_ns < 1_000_000_000:
                share = (time_ns - before.time_ns) / (after.time_ns - before.time_ns)
                q = _blend(before.q_ned_body, after.q_ned_body, share)
            north, east = _north_east(q, force)
            out.append(
                (
                    time_ns,
                    north,
                    east,
                    math.atan2(2 * (q[0] * q[3] + q[1] * q[2]), 1 - 2 * (q[2] ** 2 + q[3] ** 2)),
                )
            )
        return out


def _blend(a: Quaternion, b: Quaternion, share: float) -> Quaternion:
    """Between two attitudes that are near each other, normalised."""
    sign = 1.0 if sum(x * y for x, y in zip(a, b, strict=True)) >= 0.0 else -1.0
    w, x, y, z = (p + share * (sign * q - p) for p, q in zip(a, b, strict=True))
    norm = math.sqrt(w * w + x * x + y * y + z * z) or 1.0
    return w / norm, x / norm, y / norm, z / norm


def _north_east(q: Quaternion, v: Vector) -> tuple[float, float]:
    """The level parts of a body vector in north-east-down (gravity has none)."""
    w, x, y, z = q
    a, b, c = v
    north = (1 - 2 * (y * y + z * z)) * a + 2 * (x * y - w * z) * b + 2 * (x * z + w * y) * c
    east = 2 * (x * y + w * z) * a + (1 - 2 * (x * x + z * z)) * b + 2 * (y * z - w * x) * c
    return north, east
