"""Pieces of worked land: cleared plots with rows of plants, and lawful fields, paddocks, orchards, ponds."""

import math

import cv2
import numpy as np
import numpy.typing as npt

from sim.scenario.land.blend import mixed, over
from sim.scenario.land.noise import FloatImage, smooth_noise, smoothstep
from sim.scenario.land.palette import Palette
from sim.scenario.tables.land import Use

ByteImage = npt.NDArray[np.uint8]


class Area:
    """The part of the ground's picture round one outline (texels, relative to it)."""

    def __init__(self, colour: ByteImage, outline_px: npt.NDArray[np.int32], texel_m: float) -> None:
        self._colour, self._outline_px, self._texel_m = colour, outline_px, texel_m

    def inside(self, rng: np.random.Generator) -> FloatImage:
        """How much each texel lies inside, 0..1, with a slightly ragged edge; first of the random draws."""
        shape = (self._colour.shape[0], self._colour.shape[1])
        mask = np.zeros(shape, np.uint8)
        cv2.fillPoly(mask, [self._outline_px], 255)
        soft = cv2.GaussianBlur(mask, (0, 0), 0.7 / self._texel_m).astype(np.float32) / 255.0
        self.rough = smooth_noise(rng, *shape, 2.5 / self._texel_m, 3)
        return smoothstep(0.35, 0.65, soft + 0.12 * self.rough * (soft * (1 - soft) * 4))

    def blend(self, painted: FloatImage, inside: FloatImage) -> None:
        """Put a painted piece, float (rows, columns, 3), over what was there."""
        before = self._colour.astype(np.float32)
        mixed_in = np.clip(before + (painted - before) * inside[..., None], 0, 255)
        self._colour[:] = mixed_in.astype(np.uint8)


class Piece:
    """Paints one piece of land, `inside` (rows, columns) of an area."""

    def __init__(
        self, palette: Palette, texel_m: float, inside: FloatImage, rng: np.random.Generator
    ) -> None:
        self.palette, self.texel_m, self.inside, self._rng = palette, texel_m, inside, rng
        self._column, self._row = np.meshgrid(
            np.arange(inside.shape[1], dtype=np.float32), np.arange(inside.shape[0], dtype=np.float32)
        )

    def rows(self, azimuth_deg: float, spacing_m: float, growth: float) -> FloatImage:
        """Cleared soil with rows of plants that close as they grow."""
        palette = self.palette
        ridge = self._ridge(azimuth_deg, spacing_m)
        bushes = 0.6 * self._noise(1.1, 2)
        bare = 0.8 - 0.62 * growth
        plants = smoothstep(bare, bare + 0.28, (ridge + 0.3 * bushes).astype(np.float32))
        gaps = smoothstep(1.9, 1.2, self._noise(6.0, 2))
        soil = mixed(palette.cleared_light, palette.cleared_dark, smoothstep(-1.0, 1.0, self._noise(2.5, 3)))
        if not palette.is_thermal:
            soil *= (0.94 + 0.06 * ridge)[..., None]
        return over(soil, palette.crop, 0.9 * plants * gaps)

    def used(self, use: Use, azimuth_deg: float, growth: float) -> FloatImage:
        """A lawful use of land."""
        palette = self.palette
        rough = self._noise(9.0, 3)
        match use:
            case "pasture":
                ground = mixed(palette.pasture, palette.dry_grass, smoothstep(-0.6, 1.6, rough))
                return over(ground, palette.scrub, 0.5 * smoothstep(1.6, 2.2, self._noise(4.0, 2)))
            case "maize":
                stripes = smoothstep(0.2, 0.8, self._ridge(azimuth_deg, 0.9))
                green = mixed(palette.straw, palette.maize, np.full_like(rough, growth))
                green *= (1.0 + (0.01 if palette.is_thermal else 0.05) * rough)[..., None]
                return over(green, palette.soil, (0.35 * (1.0 - growth) + 0.12) * stripes)
            case "orchard":
                ground = mixed(palette.green_grass, palette.dry_grass, smoothstep(-1.0, 1.0, rough))
                return over(
                    ground, palette.orchard, 0.92 * self._lattice(azimuth_deg, 6.0, 1.2 + 1.4 * growth)
                )
            case "vegetables":
                beds = smoothstep(0.35, 0.6, self._ridge(azimuth_deg, 3.2))
                soil = mixed(palette.soil, palette.cleared_dark, smoothstep(-1.0, 1.0, rough))
                return over(soil, palette.maize, 0.85 * growth * beds)
            case "fallow":
                ground = mixed(palette.soil, palette.dry_grass, smoothstep(-0.9, 1.1, rough))
                return over(ground, palette.green_grass, 0.5 * smoothstep(0.4, 1.6, self._noise(3.0, 2)))
            case "burnt":
                ground = mixed(palette.ash, palette.soil, smoothstep(0.2, 1.9, rough))
                return over(ground, palette.straw, 0.5 * smoothstep(1.5, 2.0, self._noise(2.0, 2)))
            case "pond":
                return mixed(palette.pond, palette.shallow, smoothstep(1.0, 2.5, rough))

    def _noise(self, size_m: float, octaves: int) -> FloatImage:
        rows, columns = self.inside.shape[0], self.inside.shape[1]
        return smooth_noise(self._rng, rows, columns, max(size_m / self.texel_m, 1.0), octaves)

    def _along(self, azimuth_deg: float) -> tuple[FloatImage, FloatImage]:
        """Metres along and across rows, a little unsteady."""
        azimuth = math.radians(azimuth_deg)
        sine, cosine = np.float32(math.sin(azimuth)), np.float32(math.cos(azimuth))
        texel = np.float32(self.texel_m)
        along = (self._column * sine + self._row * cosine) * texel
        across = (self._column * cosine - self._row * sine) * texel
        across += np.float32(0.5) * self._noise(14.0, 1)
        return np.asarray(along, np.float32), np.asarray(across, np.float32)

    def _ridge(self, azimuth_deg: float, spacing_m: float) -> FloatImage:
        """1 on the rows, 0 between; fades where a texel no longer resolves it."""
        _, across = self._along(azimuth_deg)
        sharp = np.float32(min(1.0, max(0.0, spacing_m / self.texel_m / 2.0 - 0.6)))
        wave = np.cos(np.float32(2.0 * np.pi / spacing_m) * across)
        return np.asarray(np.float32(0.5) + np.float32(0.5) * sharp * wave, np.float32)

    def _lattice(self, azimuth_deg: float, spacing_m: float, radius_m: float) -> FloatImage:
        """Round crowns on a square grid."""
        along, across = self._along(azimuth_deg)
        step = np.float32(spacing_m)
        u, v = along - step * np.round(along / step), across - step * np.round(across / step)
        return smoothstep(radius_m + 0.4, radius_m - 0.4, np.hypot(u, v).astype(np.float32))
