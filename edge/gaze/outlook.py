"""What the last finished frame tells about the next: metres per pixel, sky, new ground, expected tracks."""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge.geolocation.locate import Locations, Locator
from edge.track import TrackState
from edge.track.plane import LocalPlane
from models.tiling.masks import ImageMask, sky_mask
from skywarden.clock import NS_PER_S
from skywarden.geometry.pose import CameraPose

FloatArray = npt.NDArray[np.float64]

BANDS = 3
CELLS = (8, 6)
"""Columns and rows of the points at which the ground is asked for; the rows are a multiple of the bands."""

NEW_AFTER_NS = NS_PER_S
"""Ground is new when it was not in the image so long ago."""

STALE_S = 0.3
"""By so much the camera may have turned on when the next frame is looked at."""

_MOST_EXPECTED = 256


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Outlook:
    """What is known before a frame is looked at.

    Attributes:
        size_px: width and height of the image it speaks of.
        gsd_m: metres per pixel across the line of sight in `BANDS` bands from the top, NaN without ground.
        sky: what lies above the level for sure.
        tracks: boxes (N, 4) in pixels where open tracks should be.
        new_ground: (rows, columns) as `CELLS`, 1 where ground is new, 0 elsewhere.
    """

    size_px: tuple[int, int]
    gsd_m: tuple[float, ...]
    sky: ImageMask
    tracks: FloatArray
    new_ground: FloatArray


class OutlookMaker:
    """Makes outlooks of one sensor's poses, in the order of time; remembers the poses of the last second."""

    def __init__(self) -> None:
        self._poses: deque[CameraPose] = deque(maxlen=256)

    def begin_anew(self) -> None:
        """Forget all poses: the clock was set, or another camera looks."""
        self._poses.clear()

    def make(self, locator: Locator, pose: CameraPose, tracks: FloatArray) -> Outlook:
        """The outlook from a frame with this pose, and boxes (N, 4) where tracks are in it."""
        camera = locator.camera
        x, y = ((np.arange(n) + 0.5) / n for n in CELLS)
        grid = np.stack(np.meshgrid(x * camera.width_px, y * camera.height_px), axis=-1) - 0.5
        ground = locator.locate(pose, grid.reshape(-1, 2))
        sigmas = pose.sigmas
        margin_deg = 3.0 * math.hypot(sigmas.tilt_deg, sigmas.boresight_deg) + STALE_S * pose.angular_rate_dps
        return Outlook(
            size_px=(camera.width_px, camera.height_px),
            gsd_m=_band_gsd_m(ground, camera.fx),
            sky=sky_mask(
                camera, pose.rotation_ned_from_camera, margin_rad=math.radians(min(90.0, margin_deg + 0.3))
            ),
            tracks=tracks,
            new_ground=self._new_ground(locator, pose, ground),
        )

    def _new_ground(self, locator: Locator, pose: CameraPose, ground: Locations) -> FloatArray:
        before = self._before(pose)
        shape = CELLS[::-1]
        if before is None:
            return np.zeros(shape)
        pixels, exists = locator.project(before, ground.latitude_deg, ground.longitude_deg, ground.alt_hae_m)
        with np.errstate(invalid="ignore"):
            was_in_view = exists & locator.camera.contains(pixels)
        is_ground = np.array([status == "ok" for status in ground.status])
        return np.asarray((is_ground & ~was_in_view).astype(np.float64).reshape(shape))

    def _before(self, pose: CameraPose) -> CameraPose | None:
        """The newest pose of a second ago or more; else the oldest there is."""
        poses = self._poses
        if poses and pose.time_ns < poses[-1].time_ns:
            poses.clear()
        while len(poses) > 1 and poses[1].time_ns <= pose.time_ns - NEW_AFTER_NS:
            poses.popleft()
        before = poses[0] if poses else None
        poses.append(pose)
        return before


def _band_gsd_m(ground: Locations, focal_px: float) -> tuple[float, ...]:
    slant = ground.slant_range_m.reshape(BANDS, -1)
    known = [row[np.isfinite(row) & (row > 0.0)] for row in slant]
    return tuple(float(np.median(row)) / focal_px if len(row) else math.nan for row in known)


@dataclass(frozen=True, slots=True, eq=False)
class _Known:
    state: TrackState
    alt_hae_m: float
    side_px: tuple[float, float]


class ExpectedTracks:
    """Where open tracks should be in an image, by what was believed of them after the last frame."""

    def __init__(self) -> None:
        self._known: dict[int, _Known] = {}

    def clear(self) -> None:
        """Forget all of them."""
        self._known.clear()

    def remember(self, states: Sequence[TrackState], alt_hae_m: Sequence[float], boxes: FloatArray) -> None:
        """All tracks after a frame with the heights of their places; `boxes` (M, 4) are its detections."""
        known: dict[int, _Known] = {}
        for state, height in zip(states, alt_hae_m, strict=True):
            if state.status == "dropped":
                continue
            side = (0.0, 0.0)
            if state.detection_index is not None:
                x0, y0, x1, y1 = boxes[state.detection_index].tolist()
                side = (x1 - x0, y1 - y0)
            elif state.number in self._known:
                side = self._known[state.number].side_px
            known[state.number] = _Known(state, height, side)
        self._known = known

    def boxes(
        self, locator: Locator, plane: LocalPlane, pose: CameraPose
    ) -> tuple[npt.NDArray[np.int64], FloatArray]:
        """Numbers (N,) and boxes (N, 4) in pixels of the tracks that should be in the image at the pose's
        time; the size of a box is that of the last look."""
        nothing = np.zeros(0, dtype=np.int64), np.zeros((0, 4))
        if not self._known:
            return nothing
        places, sides = [], []
        for one in self._known.values():
            ahead_s = min(60.0, max(0.0, (pose.time_ns - one.state.time_ns) / NS_PER_S))
            if not one.state.is_moving:
                ahead_s = 0.0
            east_m = one.state.east_m + ahead_s * one.state.east_mps
            north_m = one.state.north_m + ahead_s * one.state.north_mps
            places.append((*plane.geodetic(east_m, north_m), one.alt_hae_m))
            sides.append(one.side_px)
        pixels, exists = locator.project(pose, *np.array(places).T)
        with np.errstate(invalid="ignore"):
            inside = np.flatnonzero(exists & locator.camera.contains(pixels))[:_MOST_EXPECTED]
        half = np.array(sides)[inside] / 2.0
        numbers = np.fromiter(self._known, dtype=np.int64)[inside]
        return numbers, np.hstack([pixels[inside] - half, pixels[inside] + half])
