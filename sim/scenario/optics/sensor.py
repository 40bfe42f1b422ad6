"""What a sensor adds to light and warmth: grain, rounding to bytes, thermal counts with their noise."""

import cv2
import numpy as np
import numpy.typing as npt

from sim.scenario.land.noise import FloatImage, generator
from sim.scenario.land.palette import COLDEST_K, KELVIN_PER_LEVEL
from sim.scenario.tables.flying import CameraSection

ByteImage = npt.NDArray[np.uint8]
Counts = npt.NDArray[np.uint16]

COUNTS_PER_K = 100.0
"""Of a thermal camera: counts are hundredths of a kelvin above absolute zero."""
_PLAY_PX = 128
_COLUMN_SHARE = 0.35


class SensorNoise:
    """The grain of one camera, laid elsewhere over every frame; the same frame has the same grain."""

    def __init__(self, seed: int, platform_id: str, camera: CameraSection, factor: float) -> None:
        """`factor` scales the stated noise: cameras turn up their gain in the dusk."""
        self._seed = seed
        rng = generator(seed, "sensor", platform_id)
        shape = (camera.height_px + _PLAY_PX, camera.width_px + _PLAY_PX)
        if camera.kind == "thermal":
            grain = rng.standard_normal(shape, dtype=np.float32)
            columns = rng.standard_normal((1, shape[1]), dtype=np.float32)
            self._grain = np.float32(camera.netd_k) * grain
            self._columns = np.float32(_COLUMN_SHARE * camera.netd_k) * columns[:, : camera.width_px]
            return
        sigma = np.float32(camera.noise_sigma * factor)
        grey = rng.standard_normal((*shape, 1), dtype=np.float32)
        coloured = rng.standard_normal((*shape, 3), dtype=np.float32)
        self._grain = sigma * (np.float32(0.9) * grey + np.float32(0.4) * coloured)

    def bytes(self, image: FloatImage, frame_number: int) -> ByteImage:
        """Float BGR 0..255 with grain (grey and a little colour), rounded to uint8."""
        grain = np.ascontiguousarray(self._moved(frame_number, image.shape))
        return np.asarray(cv2.add(image, grain, dtype=cv2.CV_8U), np.uint8)

    def counts(self, levels: FloatImage, frame_number: int) -> Counts:
        """Grey levels of a thermal palette, float (height, width), as counts with noise and stripes."""
        kelvin = np.float32(COLDEST_K) + np.float32(KELVIN_PER_LEVEL) * levels
        kelvin = kelvin + self._moved(frame_number, levels.shape) + self._columns
        return np.asarray(np.clip(np.round(kelvin * np.float32(COUNTS_PER_K)), 0, 65_535), np.uint16)

    def _moved(self, frame_number: int, shape: tuple[int, ...]) -> FloatImage:
        seed = np.random.SeedSequence([self._seed, 77, frame_number])
        top, left, flip = np.random.Generator(np.random.PCG64(seed)).integers(0, _PLAY_PX, 3)
        grain = self._grain[top : top + shape[0], left : left + shape[1]]
        return grain[:: -1 if flip & 1 else 1, :: -1 if flip & 2 else 1]


def grey_of(counts: Counts) -> ByteImage:
    """Counts as an operator sees them, BGR uint8: linear from the 0.5th to the 99.9th percentile."""
    sample = counts[::4, ::4]
    low, high = (float(value) for value in np.percentile(sample, (0.5, 99.9)))
    middle, span = (low + high) / 2.0, max(high - low, 300.0)
    table = (np.arange(65_536, dtype=np.float32) - np.float32(middle)) * np.float32(255.0 / span)
    grey = np.clip(table + np.float32(127.5), 0, 255).astype(np.uint8)[counts]
    return np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR), np.uint8)
