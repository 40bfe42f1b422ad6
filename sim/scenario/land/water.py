"""Turns painted water into a sea: mirrored sky, sun glint, lit slopes, white caps, surf and wakes."""

import math
from statistics import NormalDist

import cv2
import numpy as np

from sim.scenario.land.noise import FloatImage, generator
from sim.scenario.land.paint import ByteImage, Ground
from sim.scenario.land.sea import Wake, WaveField, WaveTile, surf
from sim.scenario.optics.look import Look
from sim.scenario.sight import View
from sim.scenario.tables.place import Sea

_HEIGHTS_SIGMA = math.hypot(1.0, 1.5)
"""Of the sum of short and long waves that decides where a crest breaks."""


class Water:
    """The sea of one scenario as one look shows it."""

    def __init__(self, seed: int, sea: Sea, ground: Ground, look: Look) -> None:
        self._ground, self._look, self._is_sheltered = ground, look, sea.is_sheltered
        variance = 0.003 + 0.00512 * sea.wind_mps
        shares = ((71.0, 0.38, "near waves"), (397.0, 0.2, "far waves"))
        self._waves = [
            WaveField(
                generator(seed, name),
                length,
                sea.wind_mps,
                sea.wind_towards_deg,
                math.sqrt(share * variance),
            )
            for length, share, name in shares
        ]
        # Share of the sea under white caps (Monahan and O'Muircheartaigh, J. Phys. Oceanogr. 10, 1980).
        share = min(max(3.84e-6 * sea.wind_mps**3.41 * sea.whitecaps, 1e-9), 0.2)
        self._cap_threshold = _HEIGHTS_SIGMA * NormalDist().inv_cdf(1.0 - share)
        self._rest_variance = variance * (1.0 - sum(share for _, share, _ in shares))

    def tiles(self, time_s: float) -> list[WaveTile]:
        """The waves at an instant, short ones first."""
        return [waves.at(time_s) for waves in self._waves]

    def shade(
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
        look, sun = self._look, self._look.sun
        pixel_m = float(view.pixel_m[rows].mean())
        turned_x, turned_y = (
            x * np.float32(0.83) - y * np.float32(0.56),
            x * np.float32(0.56) + y * np.float32(0.83),
        )
        near = tiles[0].sample(x, y, round(math.log2(max(pixel_m * 256 / tiles[0].length_m, 1e-3))))
        far_texel_m = tiles[1].length_m / 256
        if pixel_m < 0.4 * far_texel_m:
            far = tiles[1].sample_smooth(turned_x, turned_y)
        else:
            far = tiles[1].sample(turned_x, turned_y, round(math.log2(max(pixel_m / far_texel_m, 1e-3))))
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
        steep = 1.6 * look.direct
        lit = slope_x * np.float32(-steep * sun[0])
        lit += slope_y * np.float32(-steep * sun[1])
        lit += np.float32(1.0)
        glint = None if max(look.glint) < 1.0 else self._glint(slope_x, slope_y, to_x, to_y, to_z)
        roughness = near[0] + near[1]
        roughness *= np.float32(5.0)
        foam = self._caps(near[2], far[2], roughness)
        if not self._is_sheltered:
            foam = np.maximum(foam, self._surf(x, y, roughness, time_s))
        for wake, mask in wakes:
            at = np.flatnonzero(mask[rows])
            if len(at):
                white = wake.foam(x.ravel()[at], y.ravel()[at], roughness.ravel()[at])
                foam.ravel()[at] = np.maximum(foam.ravel()[at], white)
        clear = np.float32(1.0) - foam
        for c in range(3):
            water = planes[c] * lit
            water += np.float32(look.sky[c]) * mirror
            if glint is not None:
                water += np.float32(look.glint[c]) * glint
            water *= clear
            water += np.float32(look.foam[c]) * foam
            water -= planes[c]
            water *= weight
            planes[c] += water

    def _caps(self, near_height: FloatImage, far_height: FloatImage, roughness: FloatImage) -> FloatImage:
        """White caps where the crests of short and long waves meet."""
        caps = far_height * np.float32(1.5)
        caps += near_height
        caps -= np.float32(self._cap_threshold)
        caps *= np.float32(0.55)
        np.clip(caps, 0.0, 0.55, out=caps)
        if float(caps.max()) > 0.0:
            caps *= np.clip(np.float32(0.4) + np.float32(1.1) * roughness, 0.0, 1.0)
        return caps

    def _glint(
        self, slope_x: FloatImage, slope_y: FloatImage, to_x: FloatImage, to_y: FloatImage, to_z: FloatImage
    ) -> FloatImage | None:
        """Sun mirrored by facets below the drawn resolution; `None` where the sun's path is far away."""
        sun = self._look.sun
        half_z = to_z + np.float32(sun[2])
        want_x = -(to_x + np.float32(sun[0])) / half_z - slope_x
        want_y = -(to_y + np.float32(sun[1])) / half_z - slope_y
        off = want_x * want_x + want_y * want_y
        spread = np.float32(1.1 * self._rest_variance)
        if float(off.min()) > 6.0 * float(spread):
            return None
        return np.asarray(np.float32(0.8) * np.exp(-off / spread), np.float32)

    def _surf(self, x: FloatImage, y: FloatImage, roughness: FloatImage, time_s: float) -> FloatImage:
        ground = self._ground
        columns = (x - np.float32(ground.west_m)) * np.float32(1.0 / ground.shore_m)
        rows = (y - np.float32(ground.south_m)) * np.float32(1.0 / ground.shore_m)
        shore = cv2.remap(ground.shore, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        if int(shore.max()) < 40:
            return np.zeros(x.shape, np.float32)
        distance_m = (shore.astype(np.float32) - np.float32(128.0)) * np.float32(0.5)
        return surf(distance_m, roughness, time_s) * (shore > 2)
