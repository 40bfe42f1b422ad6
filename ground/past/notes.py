"""What is worth keeping of platforms as they move: a pose and a footprint every 2 s each; a plain object."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ground.picture.live import PlatformState
from skywarden.clock import NS_PER_S
from skywarden.messages import FrameInfo, PlatformPose

STEP_NS = 2 * NS_PER_S
METRES_PER_DEG = 111_195.0

LatLon = tuple[float, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class NotedPose:
    """Where a platform was: UTC ns, degrees; heading from true north."""

    platform_id: str
    sortie_id: str
    time_ns: int
    latitude_deg: float
    longitude_deg: float
    heading_deg: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class NotedFootprint:
    """What a camera saw: UTC ns, the ring of (latitude, longitude) in degrees, metres per pixel."""

    platform_id: str
    sortie_id: str
    sensor_id: str
    time_ns: int
    ring: tuple[LatLon, ...]
    gsd_m: float | None


class PastNotes:
    """Hands on what is new since it was last asked, at most one of each platform every `step_ns`."""

    def __init__(self, step_ns: int = STEP_NS) -> None:
        self._step_ns = step_ns
        self._posed: dict[str, int] = {}
        self._looked: dict[str, int] = {}

    def take(self, platforms: Iterable[PlatformState]) -> tuple[list[NotedPose], list[NotedFootprint]]:
        """What is to be kept of platforms as they are now."""
        poses, footprints = [], []
        for one in platforms:
            pose, frame = one.pose, one.frame
            if pose is not None and self._is_due(self._posed, one.platform_id, pose.time_ns):
                noted = _pose(pose)
                if noted is not None:
                    self._posed[one.platform_id] = pose.time_ns
                    poses.append(noted)
            if (
                frame is not None
                and len(frame.footprint) >= 3
                and self._is_due(self._looked, one.platform_id, frame.time_ns)
            ):
                self._looked[one.platform_id] = frame.time_ns
                footprints.append(_footprint(frame))
        return poses, footprints

    def _is_due(self, known: dict[str, int], platform_id: str, time_ns: int) -> bool:
        """A clock that was set back begins anew."""
        last_ns = known.get(platform_id)
        return last_ns is None or abs(time_ns - last_ns) >= self._step_ns


def gsd_of(ring: Sequence[LatLon], width_px: int) -> float | None:
    """Metres per pixel along the upper and lower edge of a frame, their mean; `None` when it has no four
    corners or no width.
    """
    corners = ring[:-1] if len(ring) == 5 and ring[0] == ring[-1] else ring
    if len(corners) != 4 or width_px < 1:
        return None
    metres = (_distance_m(corners[0], corners[1]) + _distance_m(corners[3], corners[2])) / 2
    return metres / width_px if metres > 0 else None


def _distance_m(one: LatLon, other: LatLon) -> float:
    """On a sphere, for a few kilometres."""
    east = ((other[1] - one[1] + 540.0) % 360.0 - 180.0) * math.cos(math.radians((one[0] + other[0]) / 2))
    return math.hypot(east, other[0] - one[0]) * METRES_PER_DEG


def _pose(pose: PlatformPose) -> NotedPose | None:
    if pose.latitude_deg is None or pose.longitude_deg is None:
        return None
    return NotedPose(
        platform_id=pose.platform_id,
        sortie_id=pose.sortie_id,
        time_ns=pose.time_ns,
        latitude_deg=pose.latitude_deg,
        longitude_deg=pose.longitude_deg,
        heading_deg=pose.heading_deg,
    )


def _footprint(frame: FrameInfo) -> NotedFootprint:
    return NotedFootprint(
        platform_id=frame.platform_id,
        sortie_id=frame.sortie_id,
        sensor_id=frame.sensor_id,
        time_ns=frame.time_ns,
        ring=tuple(frame.footprint),
        gsd_m=gsd_of(frame.footprint, frame.width_px),
    )
