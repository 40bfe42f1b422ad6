"""Draws what a camera sees: ground, moving sea, wakes, vessels, buildings, shadows, haze, sensor noise.

Truth and picture come from the same geometry: every vertex goes through geodesy and the exact `CameraModel`.
"""

import math
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import numpy.typing as npt

from sim.scenario.cast import Cast, Placed
from sim.scenario.land.noise import FloatImage
from sim.scenario.land.paint import ByteImage, Ground, paint_ground
from sim.scenario.land.palette import thermal_palette
from sim.scenario.land.sea import Wake, WaveTile
from sim.scenario.land.water import Water
from sim.scenario.optics.clouds import Clouds
from sim.scenario.optics.look import eo_look, thermal_look
from sim.scenario.optics.sensor import SensorNoise, grey_of
from sim.scenario.optics.shutter import Shutter, image_flow
from sim.scenario.platform import CameraState, PlatformTruth
from sim.scenario.sight import Sight, View, project
from sim.scenario.solids import draw_solids
from sim.scenario.world import World

_STRIP_ROWS = 45


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
        light = scenario.light
        self.is_thermal = platform.camera.kind == "thermal"
        self.look = thermal_look(light) if self.is_thermal else eo_look(light, scenario.sea)
        self.ground = ground or paint_ground(
            world, platform.look_area, platform.texel_m, thermal_palette() if self.is_thermal else None
        )
        self._water = Water(scenario.seed, scenario.sea, self.ground, self.look)
        self._clouds = Clouds(scenario.seed, scenario.weather, light) if not self.is_thermal else None
        self._shutter = Shutter(platform.camera.exposure_s, platform.camera.readout_s)
        self._haze_per_m = -math.log(0.05) / light.visibility_m
        self._sensor = SensorNoise(scenario.seed, platform.id, platform.camera, self.look.noise)
        column, row = np.meshgrid(np.arange(self.camera.width_px), np.arange(self.camera.height_px))
        off_axis = np.hypot(
            (column - self.camera.cx) / self.camera.fx, (row - self.camera.cy) / self.camera.fy
        )
        fall = 0.0 if self.is_thermal else 0.22
        self._vignette = np.asarray(1.0 - fall * np.minimum(off_axis, 1.5) ** 2, np.float32)

    def frame(self, frame_number: int, time_s: float) -> ByteImage:
        """The picture taken at `time_s` after the scenario's start: BGR uint8 (height, width, 3).

        Of a thermal camera: its counts stretched to grey as an operator would see them.
        """
        image = self._exposed(time_s)
        if self.is_thermal:
            return grey_of(self._sensor.counts(image[..., 0], frame_number))
        return self._sensor.bytes(image, frame_number)

    def counts(self, frame_number: int, time_s: float) -> npt.NDArray[np.uint16]:
        """The counts of a thermal camera, 0.01 K each, uint16 (height, width)."""
        return self._sensor.counts(self._exposed(time_s)[..., 0], frame_number)

    def _exposed(self, time_s: float) -> FloatImage:
        """What falls on the sensor at `time_s`, its shutter's doing included: float BGR 0..255."""
        state = self.truth.camera_at(time_s)
        view = self._sight.view(state)
        placed = self.cast.at(time_s)
        seen = [thing for thing in placed if self._is_near(thing, state)]
        tiles = self._water.tiles(time_s)
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
        draw_solids(image, seen, self, state)
        if self._shutter.is_instant:
            return image
        return self._shutter.smeared(image, image_flow(self.world, self.truth, time_s))

    def haze_at(self, range_m: float) -> float:
        """How much of a thing's light arrives from that far, 0..1."""
        return math.exp(-self._haze_per_m * range_m)

    def _is_near(self, thing: Placed, state: CameraState) -> bool:
        pixels, exists, distance = project(
            self.world, self.camera, state, (thing.x_m, thing.y_m, thing.base_hae_m)
        )
        if not exists[0] or self._is_hidden(thing, state):
            return False
        margin = 2.0 * thing.solid.length_m / max(float(distance[0]), 1.0) * self.camera.fx + 10.0
        size = (self.camera.width_px, self.camera.height_px)
        return all(-margin < pixels[0, axis] < size[axis] + margin for axis in (0, 1))

    def _is_hidden(self, thing: Placed, state: CameraState) -> bool:
        x, y = self.world.grid.metres(state.latitude_deg, state.longitude_deg)
        place = (float(x), float(y), state.alt_hae_m)
        return bool(self.world.hides(thing.x_m, thing.y_m, thing.base_hae_m + 2.0, place))

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
        self._light(planes, x, y, time_s)
        weight = planes[3] * np.float32(1.0 / 255.0)
        if float(weight.max()) > 0.01:
            self._water.shade(planes, weight, x, y, rows, view, tiles, wakes, time_s)
        through_vignette = through * self._vignette[rows]
        veil = (np.float32(1.0) - through) * self._vignette[rows]
        out = [planes[c] * through_vignette + np.float32(self.look.haze[c]) * veil for c in range(3)]
        return np.asarray(cv2.merge(out), np.float32)

    def _light(self, planes: list[FloatImage], x: FloatImage, y: FloatImage, time_s: float) -> None:
        """Dim and tint the painted ground, in place, by the hour and by shadows of clouds."""
        shade = None if self._clouds is None else self._clouds.shade(x, y, time_s)
        for c in range(3):
            if shade is not None:
                planes[c] *= shade
            if self.look.gain[c] != 1.0:
                planes[c] *= np.float32(self.look.gain[c])

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


def _texels(level: ByteImage, columns: FloatImage, rows: FloatImage, number: int) -> ByteImage:
    if number:
        scale = np.float32(0.5**number)
        shift = np.float32(0.5) * scale - np.float32(0.5)
        columns, rows = columns * scale + shift, rows * scale + shift
    return np.asarray(cv2.remap(level, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))
