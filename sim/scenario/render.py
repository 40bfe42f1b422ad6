"""Draws what a camera sees: ground, moving sea, wakes, vessels, buildings, shadows, haze, sensor noise.

Truth and picture come from the same geometry: every vertex goes through geodesy and the exact `CameraModel`.
"""

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from sim.scenario.land.noise import FloatImage, generator
from sim.scenario.land.paint import ByteImage, Ground, paint_ground
from sim.scenario.land.sea import Wake, WaveField, WaveTile, surf
from sim.scenario.platform import CameraState, PlatformTruth
from sim.scenario.sight import Sight, View, project
from sim.scenario.vessels import Solid, motion_at, structure_solid, vessel_solid
from sim.scenario.world import World

FloatArray = npt.NDArray[np.float64]

_SKY = (232.0, 204.0, 172.0)
_GLINT = (236.0, 250.0, 255.0)
_FOAM = (226.0, 232.0, 230.0)
_HAZE = (222.0, 206.0, 186.0)
_STRIP_ROWS = 45
_NOISE_PLAY_PX = 128


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Placed:
    """A solid in the world at one instant: grid place, height of its base above the ellipsoid, heading."""

    id: str
    label: str
    solid: Solid
    x_m: float
    y_m: float
    base_hae_m: float
    heading_deg: float
    speed_mps: float
    wake: Wake | None

    def points(self, local: FloatArray) -> FloatArray:
        """Grid x, y and height (N, 3) of points in the solid's axes (forward, right, up)."""
        heading = math.radians(self.heading_deg)
        east = local[:, 0] * math.sin(heading) + local[:, 1] * math.cos(heading)
        north = local[:, 0] * math.cos(heading) - local[:, 1] * math.sin(heading)
        return np.column_stack([self.x_m + east, self.y_m + north, self.base_hae_m + local[:, 2]])


class Cast:
    """Everything of a scenario that has a shape, at any instant."""

    def __init__(self, world: World) -> None:
        self._world = world
        scenario = world.scenario
        self._vessels = [
            (vessel, vessel_solid(vessel.kind, _colour(vessel.colour_bgr))) for vessel in scenario.vessels
        ]
        self._structures = [
            Placed(
                id=structure.id,
                label="structure",
                solid=structure_solid(structure),
                x_m=structure.at[0],
                y_m=structure.at[1],
                base_hae_m=float(world.surface_at(structure.at[0], structure.at[1])),
                heading_deg=structure.heading_deg,
                speed_mps=0.0,
                wake=None,
            )
            for structure in scenario.structures
        ]

    def at(self, time_s: float) -> list[Placed]:
        """All solids at `time_s`, structures first, in the scenario's order."""
        placed = list(self._structures)
        for vessel, solid in self._vessels:
            motion = motion_at(vessel, time_s)
            wake = (
                Wake(motion=motion, length_m=solid.length_m, beam_m=solid.beam_m)
                if motion.speed_mps > 0.5
                else None
            )
            placed.append(
                Placed(
                    id=vessel.id,
                    label="vessel",
                    solid=solid,
                    x_m=motion.x_m,
                    y_m=motion.y_m,
                    base_hae_m=float(self._world.surface_at(motion.x_m, motion.y_m)),
                    heading_deg=motion.heading_deg,
                    speed_mps=motion.speed_mps,
                    wake=wake,
                )
            )
        return placed


class Renderer:
    """Pictures of one platform's camera; `frame(number, time_s)` is a pure function of its arguments."""

    def __init__(
        self, world: World, truth: PlatformTruth, *, ground: Ground | None = None, threads: int = 1
    ) -> None:
        """Paint the ground (seconds; `ground` spares it) and get ready; `threads` work on one picture."""
        self._threads = threads
        platform, scenario = truth.platform, world.scenario
        self.world, self.truth, self.cast = world, truth, Cast(world)
        self.camera = truth.camera_model
        self._sight = Sight(world, self.camera)
        self.ground = ground or paint_ground(world, platform.look_area, platform.texel_m)
        sea, light = scenario.sea, scenario.light
        variance = 0.003 + 0.00512 * sea.wind_mps
        shares = ((71.0, 0.38, "near waves"), (397.0, 0.2, "far waves"))
        self._waves = [
            WaveField(
                generator(scenario.seed, name),
                length,
                sea.wind_mps,
                sea.wind_towards_deg,
                math.sqrt(share * variance),
            )
            for length, share, name in shares
        ]
        self._cap_threshold = max(5.0 + 0.8 * (5.5 - sea.wind_mps), 2.5)  # rarer in light wind, by eye
        self._rest_variance = variance * (1.0 - sum(share for _, share, _ in shares))
        azimuth, elevation = math.radians(light.sun_azimuth_deg), math.radians(light.sun_elevation_deg)
        self._sun = (
            math.sin(azimuth) * math.cos(elevation),
            math.cos(azimuth) * math.cos(elevation),
            math.sin(elevation),
        )
        self._haze_per_m = -math.log(0.05) / light.visibility_m
        sigma = platform.camera.noise_sigma
        shape = (self.camera.height_px + _NOISE_PLAY_PX, self.camera.width_px + _NOISE_PLAY_PX, 3)
        rng = generator(scenario.seed, "sensor", platform.id)
        grey = rng.standard_normal((*shape[:2], 1), dtype=np.float32)
        self._grain = np.float32(sigma) * (
            np.float32(0.9) * grey + np.float32(0.4) * rng.standard_normal(shape, np.float32)
        )
        column, row = np.meshgrid(np.arange(self.camera.width_px), np.arange(self.camera.height_px))
        off_axis = np.hypot(
            (column - self.camera.cx) / self.camera.fx, (row - self.camera.cy) / self.camera.fy
        )
        self._vignette = np.asarray(1.0 - 0.22 * np.minimum(off_axis, 1.5) ** 2, np.float32)

    def frame(self, frame_number: int, time_s: float) -> ByteImage:
        """The picture taken at `time_s` after the scenario's start: BGR uint8 (height, width, 3)."""
        state = self.truth.camera_at(time_s)
        view = self._sight.view(state)
        placed = self.cast.at(time_s)
        seen = [thing for thing in placed if self._is_near(thing, state)]
        tiles = [waves.at(time_s) for waves in self._waves]
        wakes = self._wakes_in_view(placed, state)
        image = np.empty((self.camera.height_px, self.camera.width_px, 3), np.float32)
        strips = [
            slice(top, min(top + _STRIP_ROWS, self.camera.height_px))
            for top in range(0, self.camera.height_px, _STRIP_ROWS)
        ]

        def draw(rows: slice) -> None:
            image[rows] = self._strip(rows, view, tiles, wakes, time_s)

        if self._threads > 1:
            with ThreadPoolExecutor(self._threads, thread_name_prefix="render") as pool:
                list(pool.map(draw, strips))
        else:
            for rows in strips:
                draw(rows)
        _draw_solids(image, seen, self, state)
        return self._exposed(image, frame_number)

    def haze_at(self, range_m: float) -> float:
        """How much of a thing's light arrives from that far, 0..1."""
        return math.exp(-self._haze_per_m * range_m)

    @property
    def sun(self) -> tuple[float, float, float]:
        """The direction to the sun, unit vector east, north, up."""
        return self._sun

    def _is_near(self, thing: Placed, state: CameraState) -> bool:
        pixels, exists, distance = project(
            self.world, self.camera, state, (thing.x_m, thing.y_m, thing.base_hae_m)
        )
        if not exists[0]:
            return False
        margin = 2.0 * thing.solid.length_m / max(float(distance[0]), 1.0) * self.camera.fx + 10.0
        size = (self.camera.width_px, self.camera.height_px)
        return all(-margin < pixels[0, axis] < size[axis] + margin for axis in (0, 1))

    def _wakes_in_view(self, placed: list[Placed], state: CameraState) -> list[tuple[Wake, ByteImage]]:
        """Wakes that reach into the picture, each with a mask of the pixels where it may lie."""
        found = []
        for thing in placed:
            if thing.wake is None:
                continue
            outline = thing.wake.outline()
            points = np.column_stack([outline, np.full(len(outline), thing.base_hae_m)])
            pixels, exists, _ = project(self.world, self.camera, state, points)
            if not exists.any():
                continue
            mask = np.zeros((self.camera.height_px, self.camera.width_px), np.uint8)
            if exists.all():
                half = len(pixels) // 2
                ring = np.vstack([pixels[:half], pixels[half:][::-1]])
                cv2.fillPoly(mask, [np.clip(ring, -20_000, 20_000).astype(np.int32)], 1)
            else:  # partly behind the camera: look everywhere
                mask[:] = 1
            if mask.any():
                found.append((thing.wake, mask))
        return found

    def _strip(
        self,
        rows: slice,
        view: View,
        tiles: list[WaveTile],
        wakes: list[tuple[Wake, ByteImage]],
        time_s: float,
    ) -> FloatImage:
        """A few rows of ground and sea, float BGR 0..255."""
        x = view.place[0][rows] + np.float32(view.origin[0])
        y = view.place[1][rows] + np.float32(view.origin[1])
        planes = [
            np.asarray(plane, np.float32) for plane in cv2.split(self._painted(x, y, view.pixel_m[rows]))
        ]
        through = np.exp(np.float32(-self._haze_per_m) * view.place[2][rows])
        weight = planes[3] * np.float32(1.0 / 255.0)
        if float(weight.max()) > 0.01:
            self._water(planes, weight, x, y, rows, view, tiles, wakes, time_s)
        through_vignette = through * self._vignette[rows]
        veil = (np.float32(1.0) - through) * self._vignette[rows]
        out = [planes[c] * through_vignette + np.float32(_HAZE[c]) * veil for c in range(3)]
        return np.asarray(cv2.merge(out), np.float32)

    def _painted(self, x: FloatImage, y: FloatImage, pixel_m: FloatImage) -> FloatImage:
        """The painted ground at grid points, filtered to the size of a pixel: float (rows, columns, 4)."""
        ground = self.ground
        level = np.clip(
            np.log2(np.maximum(pixel_m / np.float32(ground.texel_m), 1e-3)) + 0.1, 0, len(ground.levels) - 1
        )
        first = min(int(level.min()), len(ground.levels) - 2)
        columns = (x - np.float32(ground.west_m)) * np.float32(1.0 / ground.texel_m)
        rows = (y - np.float32(ground.south_m)) * np.float32(1.0 / ground.texel_m)
        share = np.clip(level - first, 0.0, 1.0).astype(np.float32)
        fine = _texels(ground.levels[first], columns, rows, first).astype(np.float32)
        if float(share.max()) < 0.08 or int(fine[..., 3].min()) == 255:  # open water has no fine print
            return fine
        coarse = _texels(ground.levels[first + 1], columns, rows, first + 1).astype(np.float32)
        coarse -= fine
        coarse *= share[:, None, None]
        fine += coarse
        return fine

    def _water(
        self,
        planes: list[FloatImage],
        weight: FloatImage,
        x: FloatImage,
        y: FloatImage,
        rows: slice,
        view: View,
        tiles: list[WaveTile],
        wakes: list[tuple[Wake, ByteImage]],
        time_s: float,
    ) -> None:
        """Turn painted water into a sea, in place: mirrored sky, glint, lit slopes, foam, surf, wakes."""
        pixel_m = float(view.pixel_m[rows].mean())
        turned_x, turned_y = (
            x * np.float32(0.83) - y * np.float32(0.56),
            x * np.float32(0.56) + y * np.float32(0.83),
        )
        near = tiles[0].sample(x, y, round(math.log2(max(pixel_m * 256 / tiles[0].length_m, 1e-3))))
        far = tiles[1].sample(
            turned_x, turned_y, round(math.log2(max(pixel_m * 256 / tiles[1].length_m, 1e-3)))
        )
        slope_x = far[0] * np.float32(0.83)
        slope_x += far[1] * np.float32(0.56)
        slope_x += near[0]
        slope_y = far[1] * np.float32(0.83)
        slope_y -= far[0] * np.float32(0.56)
        slope_y += near[1]
        to_x, to_y, to_z = (-plane[rows] for plane in view.direction)
        facing = slope_x * to_x
        facing += slope_y * to_y
        np.subtract(to_z, facing, out=facing)
        np.clip(facing, 0.03, 1.0, out=facing)
        grazing = np.float32(1.0) - facing
        mirror = grazing * grazing
        mirror *= mirror
        mirror *= grazing
        mirror *= np.float32(0.86)
        mirror += np.float32(0.02)
        facing *= np.float32(2.0)
        facing -= to_z
        np.clip(facing, 0.0, 1.0, out=facing)
        facing *= np.float32(-0.45)
        facing += np.float32(1.12)
        mirror *= facing
        lit = slope_x * np.float32(-1.6 * self._sun[0])
        lit += slope_y * np.float32(-1.6 * self._sun[1])
        lit += np.float32(1.0)
        glint = self._glint(slope_x, slope_y, to_x, to_y, to_z)
        roughness = near[0] + near[1]
        roughness *= np.float32(5.0)
        foam = np.maximum(self._caps(near[2], far[2], roughness), self._surf(x, y, roughness, time_s))
        for wake, mask in wakes:
            at = np.flatnonzero(mask[rows])
            if len(at):
                white = wake.foam(x.ravel()[at], y.ravel()[at], roughness.ravel()[at])
                foam.ravel()[at] = np.maximum(foam.ravel()[at], white)
        clear = np.float32(1.0) - foam
        for c in range(3):
            water = planes[c] * lit
            water += np.float32(_SKY[c]) * mirror
            if glint is not None:
                water += np.float32(_GLINT[c]) * glint
            water *= clear
            water += np.float32(_FOAM[c]) * foam
            water -= planes[c]
            water *= weight
            planes[c] += water

    def _caps(self, near_height: FloatImage, far_height: FloatImage, roughness: FloatImage) -> FloatImage:
        """White caps where the crests of short and long waves meet."""
        caps = far_height * np.float32(1.5)
        caps += near_height
        caps -= np.float32(self._cap_threshold)
        caps *= np.float32(0.45)
        np.clip(caps, 0.0, 0.4, out=caps)
        if float(caps.max()) > 0.0:
            caps *= np.clip(np.float32(0.5) + np.float32(0.8) * roughness, 0.0, 1.0)
        return caps

    def _glint(
        self, slope_x: FloatImage, slope_y: FloatImage, to_x: FloatImage, to_y: FloatImage, to_z: FloatImage
    ) -> FloatImage | None:
        """Sun mirrored by facets below the drawn resolution; `None` where the sun's path is far away."""
        half_z = to_z + np.float32(self._sun[2])
        want_x = -(to_x + np.float32(self._sun[0])) / half_z - slope_x
        want_y = -(to_y + np.float32(self._sun[1])) / half_z - slope_y
        off = want_x * want_x + want_y * want_y
        spread = np.float32(1.1 * self._rest_variance)
        if float(off.min()) > 6.0 * float(spread):
            return None
        return np.asarray(np.float32(0.8) * np.exp(-off / spread), np.float32)

    def _surf(self, x: FloatImage, y: FloatImage, roughness: FloatImage, time_s: float) -> FloatImage:
        ground = self.ground
        columns = (x - np.float32(ground.west_m)) * np.float32(1.0 / ground.shore_m)
        rows = (y - np.float32(ground.south_m)) * np.float32(1.0 / ground.shore_m)
        shore = cv2.remap(ground.shore, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        if int(shore.max()) < 40:
            return np.zeros(x.shape, np.float32)
        distance_m = (shore.astype(np.float32) - np.float32(128.0)) * np.float32(0.5)
        return surf(distance_m, roughness, time_s) * (shore > 2)

    def _exposed(self, image: FloatImage, frame_number: int) -> ByteImage:
        """Sensor grain (grey and a little colour, elsewhere in every frame) and rounding to bytes."""
        height, width = image.shape[:2]
        seed = np.random.SeedSequence([self.world.scenario.seed, 77, frame_number])
        top, left, flip = np.random.Generator(np.random.PCG64(seed)).integers(0, _NOISE_PLAY_PX, 3)
        grain = self._grain[top : top + height, left : left + width]
        grain = grain[:: -1 if flip & 1 else 1, :: -1 if flip & 2 else 1]
        return np.asarray(cv2.add(image, np.ascontiguousarray(grain), dtype=cv2.CV_8U), np.uint8)


def _draw_solids(image: FloatImage, things: list[Placed], renderer: Renderer, state: CameraState) -> None:
    """Draw solids over the ground, far ones first."""
    if not things:
        return
    camera_x, camera_y = renderer.world.grid.metres(state.latitude_deg, state.longitude_deg)
    away = [math.hypot(thing.x_m - float(camera_x), thing.y_m - float(camera_y)) for thing in things]
    for i in sorted(range(len(things)), key=lambda i: -away[i]):
        _draw_solid(image, things[i], renderer, state)


def _draw_solid(image: FloatImage, thing: Placed, renderer: Renderer, state: CameraState) -> None:
    """One solid with its shadow, drawn three to six times finer and averaged down."""
    faces = thing.solid.faces
    lengths = [len(face.points) for face in faces]
    solid = thing.points(np.vstack([face.points for face in faces]))
    sun = np.array(renderer.sun)
    height = np.maximum(solid[:, 2:] - thing.base_hae_m, 0.0)
    shadow = np.column_stack(
        [solid[:, :2] - sun[:2] / sun[2] * height, np.full(len(solid), thing.base_hae_m)]
    )
    pixels, exists, distance = project(renderer.world, renderer.camera, state, np.vstack([solid, shadow]))
    if not exists.all():
        return
    low = np.maximum(np.floor(pixels.min(axis=0)).astype(int) - 1, 0)
    high = np.minimum(np.ceil(pixels.max(axis=0)).astype(int) + 2, (image.shape[1], image.shape[0]))
    size = high - low
    if size.min() <= 0:
        return
    fine = 6 if size.max() < 60 else 4 if size.max() < 200 else 2
    corners = np.split(
        np.round(((pixels - low + 0.5) * fine - 0.5) * 16).astype(np.int32), np.cumsum(lengths * 2)[:-1]
    )
    canvas = np.zeros((size[1] * fine, size[0] * fine, 4), np.uint8)
    shade = np.zeros(canvas.shape[:2], np.uint8)
    for polygon in corners[len(faces) :]:
        cv2.fillPoly(shade, [polygon], 255, cv2.LINE_8, 4)
    camera = np.array(renderer.world.grid.metres(state.latitude_deg, state.longitude_deg))
    starts = np.cumsum([0, *lengths])
    heading = math.radians(thing.heading_deg)
    visible: list[tuple[int, float, int]] = []
    colours: dict[int, tuple[float, ...]] = {}
    for i, face in enumerate(faces):
        forward, right, up = face.normal
        normal = np.array(
            [
                forward * math.sin(heading) + right * math.cos(heading),
                forward * math.cos(heading) - right * math.sin(heading),
                up,
            ]
        )
        middle = solid[starts[i] : starts[i + 1]].mean(axis=0)
        to_camera = np.array([camera[0] - middle[0], camera[1] - middle[1], state.alt_hae_m - middle[2]])
        if float(normal @ to_camera) <= 0.0:
            continue
        light = 0.5 + 0.62 * max(float(normal @ sun), 0.0)
        colours[i] = (*(min(channel * light, 255.0) for channel in face.colour), 255.0)
        visible.append((face.part, -float(np.linalg.norm(to_camera)), i))
    for _, _, i in sorted(visible):
        cv2.fillPoly(canvas, [corners[i]], colours[i], cv2.LINE_8, 4)
    small = cv2.resize(canvas, (int(size[0]), int(size[1])), interpolation=cv2.INTER_AREA).astype(np.float32)
    dark = cv2.resize(shade, (int(size[0]), int(size[1])), interpolation=cv2.INTER_AREA).astype(np.float32)
    area = image[low[1] : high[1], low[0] : high[0]]
    through = renderer.haze_at(float(distance.mean()))
    depth = 0.30 if thing.label == "vessel" else 0.45
    cover = small[..., 3:] * np.float32(1.0 / 255.0)
    lit = (
        small[..., :3] * np.float32(through) + np.array(_HAZE, np.float32) * np.float32(1.0 - through) * cover
    )
    area *= (np.float32(1.0) - np.float32(depth / 255.0) * dark)[..., None] * (np.float32(1.0) - cover)
    area += lit


def _texels(level: ByteImage, columns: FloatImage, rows: FloatImage, number: int) -> ByteImage:
    if number:
        scale = np.float32(0.5**number)
        shift = np.float32(0.5) * scale - np.float32(0.5)
        columns, rows = columns * scale + shift, rows * scale + shift
    return np.asarray(cv2.remap(level, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))


def _colour(colour: tuple[int, ...] | None) -> tuple[int, int, int] | None:
    return None if colour is None else (colour[0], colour[1], colour[2])
