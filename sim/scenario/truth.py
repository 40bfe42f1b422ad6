"""What is really there: for every frame the boxes, ids, places and visibility of all that can be seen.

`truth.jsonl` has one `FrameTruth` a line; `truth.geojson` has where each thing is, and its way when it moves.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import msgspec
import numpy as np
import numpy.typing as npt

from sim.scenario.cast import Cast, Placed
from sim.scenario.occlusion import cut_at_overlaps
from sim.scenario.optics.shutter import image_flow
from sim.scenario.platform import CameraState, PlatformTruth
from sim.scenario.seen import Box, FrameTruth, ObjectTruth
from sim.scenario.sight import project
from sim.scenario.world import World

FloatArray = npt.NDArray[np.float64]

TRUTH_JSONL = "truth.jsonl"
TRUTH_GEOJSON = "truth.geojson"
MIN_BOX_PX = 2.0


@dataclass(frozen=True, slots=True, eq=False)
class _Shape:
    """Points round a thing (N, 3) and its middle (3,): grid x, y and height. `thing` is `None` for what is
    flat."""

    id: str
    label: str
    kind: str
    points: FloatArray
    middle: FloatArray
    thing: Placed | None = None


class TruthMaker:
    """The truth of one platform's camera over one world."""

    def __init__(self, world: World, truth: PlatformTruth) -> None:
        self._world, self._truth, self._cast = world, truth, Cast(world)
        scenario = world.scenario
        plots = [(plot.id, "plot", "", plot.outline) for plot in scenario.plots]
        parcels = [(one.id, "decoy", one.use, one.outline) for one in scenario.parcels]
        self._flat = [
            _Shape(name, label, kind, draped, draped.mean(axis=0))
            for name, label, kind, outline in (*plots, *parcels)
            for draped in (_draped(world, outline),)
        ]
        self._standing: dict[str, _Shape] = {}
        self._mmsi = {vessel.id: vessel.ais.mmsi for vessel in scenario.vessels if vessel.ais is not None}

    def frame(self, frame_number: int, time_s: float) -> FrameTruth:
        """What the frame taken at `time_s` after the start shows."""
        state = self._truth.camera_at(time_s)
        shapes = [*(self._solid(thing) for thing in self._cast.at(time_s)), *self._flat]
        return FrameTruth(
            frame_number=frame_number,
            sensor_id=self._truth.platform.camera.sensor_id,
            time_ns=self._world.scenario.start_ns + round(time_s * 1e9),
            latitude_deg=state.latitude_deg,
            longitude_deg=state.longitude_deg,
            alt_hae_m=state.alt_hae_m,
            rotation_ned_from_camera=tuple(float(value) for value in state.rotation_ned_from_camera.ravel()),
            objects=tuple(cut_at_overlaps(self._seen(shapes, state, time_s))),
        )

    def _solid(self, thing: Placed) -> _Shape:
        """The shape of a solid; what never moves is worked out once."""
        known = self._standing.get(thing.id)
        if known is not None:
            return known
        points = thing.points(thing.solid.points[thing.solid.points[:, 2] >= -0.2])
        middle = np.array([thing.x_m, thing.y_m, thing.base_hae_m])
        shape = _Shape(thing.id, thing.label, thing.kind, points, middle, thing)
        if thing.label != "vessel":
            self._standing[thing.id] = shape
        return shape

    def _seen(self, shapes: Sequence[_Shape], state: CameraState, time_s: float) -> list[ObjectTruth]:
        """Those of the shapes that the camera shows, all projected at one go."""
        if not shapes:
            return []
        camera, readout_s = self._truth.camera_model, self._truth.platform.camera.readout_s
        middles = np.stack([shape.middle for shape in shapes])
        starts = np.cumsum([0, *(len(shape.points) for shape in shapes)])
        every = np.concatenate([*(shape.points for shape in shapes), middles])
        pixels, exists, ranges = project(self._world, camera, state, every)
        pixels, exists_at, ranges = pixels[: starts[-1]], exists[starts[-1] :], ranges[starts[-1] :]
        if readout_s > 0.0:
            pixels = image_flow(self._world, self._truth, time_s).read_out(pixels, readout_s)
        exists_at &= np.logical_and.reduceat(exists[: starts[-1]], starts[:-1])
        low, high = np.minimum.reduceat(pixels, starts[:-1]), np.maximum.reduceat(pixels, starts[:-1])
        cut_low = np.maximum(low, -0.5)
        cut_high = np.minimum(high, (camera.width_px - 0.5, camera.height_px - 0.5))
        with np.errstate(invalid="ignore"):
            is_large = (cut_high - cut_low).min(axis=1) >= MIN_BOX_PX
        found = np.flatnonzero(exists_at & is_large)
        x, y = self._world.grid.metres(state.latitude_deg, state.longitude_deg)
        eye = (float(x), float(y), state.alt_hae_m)
        there = middles[found]
        found = found[~self._world.hides(there[:, 0], there[:, 1], there[:, 2] + 2.0, eye)]
        share = np.prod(cut_high - cut_low, axis=1) / np.maximum(np.prod(high - low, axis=1), 1e-9)
        return [
            self._object(
                shapes[at],
                pixels[starts[at] : starts[at + 1]],
                (*cut_low[at].tolist(), *cut_high[at].tolist()),
                float(share[at]),
                float(ranges[at]),
                time_s,
            )
            for at in found.tolist()
        ]

    def _object(
        self, shape: _Shape, pixels: FloatArray, box_px: Box, share: float, range_m: float, time_s: float
    ) -> ObjectTruth:
        dimmed = math.exp(math.log(0.05) / self._world.scenario.light.visibility_m * range_m)
        latitude, longitude = self._world.grid.geodetic(shape.middle[0], shape.middle[1])
        seen = ObjectTruth(
            id=shape.id,
            label=shape.label,
            kind=shape.kind,
            box_px=box_px,
            visibility=share * dimmed,
            latitude_deg=float(latitude),
            longitude_deg=float(longitude),
            alt_hae_m=float(shape.middle[2]),
            range_m=range_m,
            outline_px=_rounded(pixels) if shape.label == "plot" else (),
            mask_px=() if shape.label == "plot" else _rounded(_hull(pixels)),
        )
        thing = shape.thing
        if thing is None or thing.label != "vessel":
            return seen
        return msgspec.structs.replace(
            seen,
            course_deg=thing.heading_deg if thing.speed_mps > 0.0 else None,
            speed_mps=thing.speed_mps,
            doing=self._world.fleet.doing(thing.id, time_s),
            mmsi=self._mmsi.get(thing.id, ""),
        )


def _hull(pixels: FloatArray) -> FloatArray:
    """The convex outline of points (N, 2)."""
    found = cv2.convexHull(pixels.astype(np.float32))
    return np.asarray(found.reshape(-1, 2), np.float64)


def _rounded(pixels: FloatArray) -> tuple[tuple[float, float], ...]:
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


def _draped(world: World, outline: tuple[tuple[float, float], ...]) -> FloatArray:
    """The outline with points every few metres, each at its height: (N, 3)."""
    points = []
    for a, b in zip(outline, (*outline[1:], outline[0]), strict=True):
        for share in np.linspace(0.0, 1.0, 6)[:-1]:
            x, y = a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share
            points.append((x, y, float(world.surface_at(x, y))))
    return np.array(points, np.float64)
