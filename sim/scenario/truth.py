"""What is really there: for every frame the boxes, ids, places and visibility of all that can be seen.

`truth.jsonl` has one `FrameTruth` a line; `truth.geojson` has where each thing is, and its way when it moves.
"""

import math
from collections.abc import Iterable
from typing import Any

import cv2
import msgspec
import numpy as np

from sim.scenario.cast import Cast, Placed
from sim.scenario.occlusion import cut_at_overlaps
from sim.scenario.optics.shutter import Flow, image_flow
from sim.scenario.platform import CameraState, PlatformTruth
from sim.scenario.seen import FrameTruth, ObjectTruth
from sim.scenario.sight import project
from sim.scenario.world import World
from skywarden.geometry.camera import CameraModel

TRUTH_JSONL = "truth.jsonl"
TRUTH_GEOJSON = "truth.geojson"
MIN_BOX_PX = 2.0


class TruthMaker:
    """The truth of one platform's camera over one world."""

    def __init__(self, world: World, truth: PlatformTruth) -> None:
        self._world, self._truth, self._cast = world, truth, Cast(world)
        scenario = world.scenario
        self._plots = [
            *((plot.id, "plot", "", _draped(world, plot.outline)) for plot in scenario.plots),
            *((one.id, "decoy", one.use, _draped(world, one.outline)) for one in scenario.parcels),
        ]
        self._mmsi = {vessel.id: vessel.ais.mmsi for vessel in scenario.vessels if vessel.ais is not None}
        camera = truth.platform.camera
        self._readout_s = camera.readout_s

    def frame(self, frame_number: int, time_s: float) -> FrameTruth:
        """What the frame taken at `time_s` after the start shows."""
        state = self._truth.camera_at(time_s)
        camera = self._truth.camera_model
        flow = image_flow(self._world, self._truth, time_s) if self._readout_s > 0.0 else None
        objects = []
        for thing in self._cast.at(time_s):
            seen = self._solid(thing, camera, state, flow, time_s)
            if seen is not None:
                objects.append(seen)
        for plot_id, label, kind, outline in self._plots:
            seen = self._object(plot_id, label, outline, outline.mean(axis=0), camera, state, flow)
            if seen is not None:
                objects.append(msgspec.structs.replace(seen, kind=kind))
        return FrameTruth(
            frame_number=frame_number,
            sensor_id=self._truth.platform.camera.sensor_id,
            time_ns=self._world.scenario.start_ns + round(time_s * 1e9),
            latitude_deg=state.latitude_deg,
            longitude_deg=state.longitude_deg,
            alt_hae_m=state.alt_hae_m,
            rotation_ned_from_camera=tuple(float(value) for value in state.rotation_ned_from_camera.ravel()),
            objects=tuple(cut_at_overlaps(objects)),
        )

    def _solid(
        self, thing: Placed, camera: CameraModel, state: CameraState, flow: Flow | None, time_s: float
    ) -> ObjectTruth | None:
        points = thing.points(thing.solid.points[thing.solid.points[:, 2] >= -0.2])
        middle = np.array([thing.x_m, thing.y_m, thing.base_hae_m])
        seen = self._object(thing.id, thing.label, points, middle, camera, state, flow)
        if seen is None:
            return None
        seen = msgspec.structs.replace(seen, kind=thing.kind)
        if thing.label != "vessel":
            return seen
        return msgspec.structs.replace(
            seen,
            course_deg=thing.heading_deg if thing.speed_mps > 0.0 else None,
            speed_mps=thing.speed_mps,
            doing=self._world.fleet.doing(thing.id, time_s),
            mmsi=self._mmsi.get(thing.id, ""),
        )

    def _object(
        self,
        thing_id: str,
        label: str,
        points: np.ndarray[Any, np.dtype[np.float64]],
        middle: np.ndarray[Any, np.dtype[np.float64]],
        camera: CameraModel,
        state: CameraState,
        flow: Flow | None,
    ) -> ObjectTruth | None:
        pixels, exists, ranges = project(self._world, camera, state, np.vstack([points, middle]))
        if not exists.all():
            return None
        if flow is not None:
            pixels = flow.read_out(pixels, self._readout_s)
        low, high = pixels[:-1].min(axis=0), pixels[:-1].max(axis=0)
        cut_low = np.maximum(low, -0.5)
        cut_high = np.minimum(high, (camera.width_px - 0.5, camera.height_px - 0.5))
        if (cut_high - cut_low).min() < MIN_BOX_PX:
            return None
        x, y = self._world.grid.metres(state.latitude_deg, state.longitude_deg)
        if self._world.hides(
            float(middle[0]), float(middle[1]), float(middle[2]) + 2.0, (float(x), float(y), state.alt_hae_m)
        ):
            return None
        share = float(np.prod(cut_high - cut_low) / max(float(np.prod(high - low)), 1e-9))
        dimmed = math.exp(math.log(0.05) / self._world.scenario.light.visibility_m * float(ranges[-1]))
        latitude, longitude = self._world.grid.geodetic(middle[0], middle[1])
        return ObjectTruth(
            id=thing_id,
            label=label,
            box_px=(float(cut_low[0]), float(cut_low[1]), float(cut_high[0]), float(cut_high[1])),
            visibility=share * dimmed,
            latitude_deg=float(latitude),
            longitude_deg=float(longitude),
            alt_hae_m=float(middle[2]),
            range_m=float(ranges[-1]),
            outline_px=_rounded(pixels[:-1]) if label == "plot" else (),
            mask_px=() if label == "plot" else _rounded(_hull(pixels[:-1])),
        )


def _hull(pixels: np.ndarray[Any, np.dtype[np.float64]]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The convex outline of points (N, 2)."""
    found = cv2.convexHull(pixels.astype(np.float32))
    return np.asarray(found.reshape(-1, 2), np.float64)


def _rounded(pixels: np.ndarray[Any, np.dtype[np.float64]]) -> tuple[tuple[float, float], ...]:
    return tuple((round(float(x), 2), round(float(y), 2)) for x, y in pixels)


def encode_lines(frames: Iterable[FrameTruth]) -> bytes:
    """`truth.jsonl`: one frame a line."""
    encoder = msgspec.json.Encoder()
    return b"".join(encoder.encode(frame) + b"\n" for frame in frames)


def truth_geojson(world: World, seconds: float) -> bytes:
    """All things as an RFC 7946 FeatureCollection: plots are polygons, the others points or ways."""
    features = []
    for vessel in world.scenario.vessels:
        is_moving = vessel.speed_mps > 0.0 or bool(vessel.steps)
        steps = max(int(seconds // 5), 1) if is_moving else 0
        way = [world.fleet.motion(vessel.id, seconds * k / max(steps, 1)) for k in range(steps + 1)]
        points = [_lon_lat(world, motion.x_m, motion.y_m) for motion in way]
        geometry: dict[str, Any] = {"type": "Point", "coordinates": points[0]}
        if steps:
            geometry = {"type": "LineString", "coordinates": points}
        more = {} if vessel.ais is None else {"mmsi": vessel.ais.mmsi}
        features.append(
            _feature(vessel.id, "vessel", geometry, kind=vessel.kind, speed_mps=vessel.speed_mps, **more)
        )
    for decoy in world.scenario.decoys:
        spot = {"type": "Point", "coordinates": _lon_lat(world, *decoy.at)}
        features.append(_feature(decoy.id, "decoy", spot, kind=decoy.kind))
    for structure in world.scenario.structures:
        point = {"type": "Point", "coordinates": _lon_lat(world, *structure.at)}
        features.append(_feature(structure.id, "structure", point, kind=structure.kind))
    for plot in world.scenario.plots:
        features.append(_feature(plot.id, "plot", _polygon(world, plot.outline)))
    for parcel in world.scenario.parcels:
        features.append(_feature(parcel.id, "decoy", _polygon(world, parcel.outline), kind=parcel.use))
    return msgspec.json.encode({"type": "FeatureCollection", "features": features}) + b"\n"


def _polygon(world: World, outline: tuple[tuple[float, float], ...]) -> dict[str, Any]:
    ring = [_lon_lat(world, x, y) for x, y in (*outline, outline[0])]
    return {"type": "Polygon", "coordinates": [ring if _is_left_handed(outline) else ring[::-1]]}


def _feature(thing_id: str, label: str, geometry: dict[str, Any], **more: str | float) -> dict[str, Any]:
    return {"type": "Feature", "id": thing_id, "properties": {"label": label, **more}, "geometry": geometry}


def _lon_lat(world: World, x_m: float, y_m: float) -> list[float]:
    latitude, longitude = world.grid.geodetic(x_m, y_m)
    return [round(float(longitude), 8), round(float(latitude), 8)]


def _is_left_handed(outline: tuple[tuple[float, float], ...]) -> bool:
    """Whether the outline goes round counter-clockwise (RFC 7946 wants outer rings so)."""
    return (
        sum(a[0] * b[1] - b[0] * a[1] for a, b in zip(outline, (*outline[1:], outline[0]), strict=True)) > 0.0
    )


def _draped(world: World, outline: tuple[tuple[float, float], ...]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The outline with points every few metres, each at its height: (N, 3)."""
    points = []
    for a, b in zip(outline, (*outline[1:], outline[0]), strict=True):
        for share in np.linspace(0.0, 1.0, 6)[:-1]:
            x, y = a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share
            points.append((x, y, float(world.surface_at(x, y))))
    return np.array(points, np.float64)
