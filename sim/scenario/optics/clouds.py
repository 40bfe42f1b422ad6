"""Shadows of clouds that drift over ground and sea with the wind."""

import math

import cv2
import numpy as np

from sim.scenario.land.noise import FloatImage, band_tile, generator
from sim.scenario.optics.look import direct_share
from sim.scenario.tables.place import Light, Weather

_TILE_PX = 256
_TILE_M = 3_600.0
_DARKEST = 0.32


class Clouds:
    """A periodic field of cloud shadows; none in a clear sky or without a sun."""

    def __init__(self, seed: int, weather: Weather, light: Light) -> None:
        towards = math.radians(weather.wind_towards_deg)
        speed = max(weather.wind_mps, 3.0)
        self._drift = (speed * math.sin(towards), speed * math.cos(towards))
        self._tile: FloatImage | None = None
        depth = _DARKEST * direct_share(light)
        if weather.cloud_cover <= 0.0 or depth <= 0.0:
            return
        field = band_tile(generator(seed, "clouds"), _TILE_PX, 26.0, 128.0)
        field = field + np.float32(0.35) * band_tile(generator(seed, "cloud edges"), _TILE_PX, 7.0, 26.0)
        limit = float(np.quantile(field, 1.0 - weather.cloud_cover))
        cover = np.clip((field - limit + 0.35) / 0.8, 0.0, 1.0)
        shade = np.asarray(1.0 - depth * cover * cover * (3.0 - 2.0 * cover), np.float32)
        self._tile = np.asarray(cv2.copyMakeBorder(shade, 0, 1, 0, 1, cv2.BORDER_WRAP), np.float32)

    def shade(self, x_m: FloatImage, y_m: FloatImage, time_s: float) -> FloatImage | None:
        """How much light is left at grid points, 0..1, same shape; `None` in a clear sky."""
        if self._tile is None:
            return None
        step = 8 if min(x_m.shape) > 16 else 1
        scale, size = np.float32(_TILE_PX / _TILE_M), np.float32(_TILE_PX)
        columns = (x_m[::step, ::step] - np.float32(self._drift[0] * time_s)) * scale
        rows = (y_m[::step, ::step] - np.float32(self._drift[1] * time_s)) * scale
        columns -= size * np.floor(columns / size)
        rows -= size * np.floor(rows / size)
        coarse = cv2.remap(self._tile, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        if step == 1:
            return np.asarray(coarse, np.float32)
        matrix = np.array([[1.0 / step, 0.0, 0.0], [0.0, 1.0 / step, 0.0]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        shape = (x_m.shape[1], x_m.shape[0])
        drawn = cv2.warpAffine(coarse, matrix, shape, flags=flags, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(drawn, np.float32)
