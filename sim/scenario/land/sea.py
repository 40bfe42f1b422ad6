"""The moving sea: wave slopes from a wind spectrum, periodic tiles that live in time, wakes and surf.

Waves: Tessendorf, "Simulating Ocean Water" (SIGGRAPH course notes 2001), Phillips spectrum with deep-water
dispersion; total slope variance after Cox and Munk (1954): 0.003 + 0.00512 U.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from sim.scenario.land.noise import FloatImage
from sim.scenario.vessels import Motion

GRAVITY_MPS2 = 9.81
TILE_PX = 256


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class WaveTile:
    """A periodic patch of sea; levels (size + 1, size + 1, 3) of slope east, slope north, height (sigmas)."""

    length_m: float
    levels: tuple[FloatImage, ...]

    def sample(self, x_m: FloatImage, y_m: FloatImage, level: int) -> list[FloatImage]:
        """Slope east, slope north and height at grid points, bilinear, three planes of (rows, columns)."""
        sampled = self._sampled(x_m, y_m, level)
        return [np.asarray(plane, np.float32) for plane in cv2.split(sampled)]

    def sample_smooth(self, x_m: FloatImage, y_m: FloatImage) -> list[FloatImage]:
        """The same at the finest level, for pixels much finer than the tile: every second one is drawn."""
        coarse = self._sampled(np.ascontiguousarray(x_m[::2, ::2]), np.ascontiguousarray(y_m[::2, ::2]), 0)
        matrix = np.array([[0.5, 0.0, 0.0], [0.0, 0.5, 0.0]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        size = (x_m.shape[1], x_m.shape[0])
        drawn = cv2.warpAffine(coarse, matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
        return [np.asarray(plane, np.float32) for plane in cv2.split(drawn)]

    def _sampled(self, x_m: FloatImage, y_m: FloatImage, level: int) -> FloatImage:
        tile = self.levels[min(max(level, 0), len(self.levels) - 1)]
        size = np.float32(tile.shape[0] - 1)
        columns, rows = x_m * (size / np.float32(self.length_m)), y_m * (size / np.float32(self.length_m))
        for index in (columns, rows):
            turns = index * (np.float32(1.0) / size)
            np.floor(turns, out=turns)
            turns *= size
            index -= turns
        sampled = cv2.remap(tile, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(sampled, np.float32)


class WaveField:
    """One scale of waves: a seeded spectrum on a square of `length_m` that repeats."""

    def __init__(
        self,
        rng: np.random.Generator,
        length_m: float,
        wind_mps: float,
        wind_towards_deg: float,
        slope_sigma: float,
    ) -> None:
        self.length_m = length_m
        k = 2.0 * np.pi * np.fft.fftfreq(TILE_PX, length_m / TILE_PX)
        self._kx, self._ky = np.meshgrid(k, k)
        magnitude = np.hypot(self._kx, self._ky)
        magnitude[0, 0] = 1.0
        towards = math.radians(wind_towards_deg)
        along = (self._kx * math.sin(towards) + self._ky * math.cos(towards)) / magnitude
        largest_m = wind_mps**2 / GRAVITY_MPS2
        spectrum = np.exp(-1.0 / np.maximum((magnitude * largest_m) ** 2, 1e-9)) / magnitude**4
        spectrum *= np.where(along > 0.0, along**2, 0.12 * along**2) + 0.04
        spectrum *= np.exp(-((magnitude * 0.28) ** 2) * 0.15)
        spectrum[0, 0] = 0.0
        noise = rng.standard_normal((2, TILE_PX, TILE_PX))
        amplitude = (noise[0] + 1j * noise[1]) * np.sqrt(spectrum)
        self._h0 = amplitude.astype(np.complex64)
        self._h0_conjugate = np.conj(np.roll(self._h0[::-1, ::-1], (1, 1), (0, 1)))
        self._slope = (1j * self._kx - self._ky).astype(np.complex64)
        self._omega = np.sqrt(GRAVITY_MPS2 * magnitude)
        self._scale, self._height_sigma = 1.0, 1.0
        slopes, height = self._fields(0.0)
        self._scale = slope_sigma / float(np.sqrt(np.mean(np.abs(slopes) ** 2)))
        self._height_sigma = float(height.std()) * self._scale

    def at(self, time_s: float, levels: int = 4) -> WaveTile:
        """The patch at `time_s`, with `levels` of halved resolution for far water."""
        slopes, height = self._fields(time_s)
        image = np.dstack([slopes.real, slopes.imag, height / self._height_sigma]).astype(np.float32)
        made = []
        for _ in range(levels):
            made.append(np.asarray(cv2.copyMakeBorder(image, 0, 1, 0, 1, cv2.BORDER_WRAP), np.float32))
            image = np.asarray(
                cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), np.float32
            )
        return WaveTile(length_m=self.length_m, levels=tuple(made))

    def _fields(self, time_s: float) -> tuple[npt.NDArray[np.complex64], FloatImage]:
        """Slopes (east + i north) and heights, each by one inverse transform."""
        phase = (self._omega * time_s % (2.0 * np.pi)).astype(np.float32)
        turn = np.empty(phase.shape, np.complex64)
        turn.real, turn.imag = np.cos(phase), np.sin(phase)
        heights = self._h0 * turn
        heights += self._h0_conjugate * np.conj(turn)
        heights *= np.float32(self._scale)
        return _inverse(self._slope * heights), _inverse(heights).real


def _inverse(spectrum: npt.NDArray[np.complex64]) -> npt.NDArray[np.complex64]:
    """The inverse Fourier transform of a square, complex to complex."""
    flags = cv2.DFT_INVERSE | cv2.DFT_SCALE | cv2.DFT_COMPLEX_OUTPUT
    found = cv2.dft(spectrum.view(np.float32).reshape(*spectrum.shape, 2), flags=flags)
    return np.asarray(found, np.float32).reshape(spectrum.shape[0], -1).view(np.complex64)


@dataclass(frozen=True, kw_only=True, slots=True)
class Wake:
    """The white water behind one moving vessel."""

    motion: Motion
    length_m: float
    beam_m: float
    run_m: float = math.inf
    """How far it has come of late: there is no wake where it has not been."""

    @property
    def reach_m(self) -> float:
        """How far astern the wake is drawn."""
        return min(max(self.motion.speed_mps * 22.0, 20.0), 400.0, max(self.run_m, 5.0))

    def outline(self) -> npt.NDArray[np.float64]:
        """Grid points, shape (N, 2), that enclose the wake."""
        astern = np.linspace(-0.6 * self.length_m, self.reach_m, 12)
        half = 1.3 * self.beam_m + 1.0 + 0.27 * np.maximum(astern + 0.5 * self.length_m, 0.0)
        heading = math.radians(self.motion.heading_deg)
        turn = math.radians(self.motion.turn_dps) / max(self.motion.speed_mps, 0.1)
        bent = heading - turn * np.maximum(astern, 0.0) / 2.0
        x, y = self.motion.x_m - astern * np.sin(bent), self.motion.y_m - astern * np.cos(bent)
        right = np.column_stack([x + half * np.cos(bent), y - half * np.sin(bent)])
        left = np.column_stack([x - half * np.cos(bent), y + half * np.sin(bent)])
        return np.vstack([right, left])

    def foam(self, x_m: FloatImage, y_m: FloatImage, roughness: FloatImage) -> FloatImage:
        """White water 0..1 at grid points of any shape; `roughness` (about -1..1) breaks it up."""
        astern, aside = self._along(x_m, y_m)
        speed = np.float32(self.motion.speed_mps)
        behind = np.maximum(astern + np.float32(0.5 * self.length_m), 0.0)
        fade = np.exp(-behind / np.float32(6.0 + 9.0 * self.motion.speed_mps))
        width = np.float32(0.42 * self.beam_m) + np.float32(0.035) * behind + np.float32(0.25)
        core = np.exp(-((aside / width) ** 2)) * fade
        arm_at = np.float32(0.5 * self.beam_m) + np.float32(0.21) * behind
        arm_width = np.float32(0.4) + np.float32(0.022) * behind
        arms = np.exp(-(((np.abs(aside) - arm_at) / arm_width) ** 2)) * fade * fade * np.float32(0.6)
        ends = np.clip((np.float32(self.reach_m) - astern) / np.float32(0.3 * self.reach_m), 0.0, 1.0)
        strength = (
            np.minimum(speed / np.float32(8.0), np.float32(1.0)) * (astern > -0.5 * self.length_m) * ends
        )
        broken = np.clip(np.float32(0.72) + np.float32(0.5) * roughness, 0.05, 1.3)
        return np.asarray(
            np.clip((np.float32(0.95) * core + arms) * strength * broken, 0.0, 0.95), np.float32
        )

    def _along(self, x_m: FloatImage, y_m: FloatImage) -> tuple[FloatImage, FloatImage]:
        """Metres astern along the vessel's track, and to its right."""
        motion = self.motion
        heading = math.radians(motion.heading_deg)
        dx, dy = x_m - np.float32(motion.x_m), y_m - np.float32(motion.y_m)
        sine, cosine = np.float32(math.sin(heading)), np.float32(math.cos(heading))
        if abs(motion.turn_dps) < 0.05:
            return -(dx * sine + dy * cosine), dx * cosine - dy * sine
        curvature = math.radians(motion.turn_dps) / motion.speed_mps
        centre_x, centre_y = math.cos(heading) / curvature, -math.sin(heading) / curvature
        from_x, from_y = dx - np.float32(centre_x), dy - np.float32(centre_y)
        angle = np.arctan2(from_x, from_y) - np.float32(math.atan2(-centre_x, -centre_y))
        angle = (angle + np.float32(np.pi)) % np.float32(2.0 * np.pi) - np.float32(np.pi)
        aside = (np.float32(1.0 / abs(curvature)) - np.hypot(from_x, from_y)) * np.float32(
            math.copysign(1, curvature)
        )
        return np.asarray(-angle / np.float32(curvature), np.float32), np.asarray(aside, np.float32)


def surf(distance_m: FloatImage, roughness: FloatImage, time_s: float) -> FloatImage:
    """Waves that break along the shore, 0..1, and a swash edge; `distance_m` is negative at sea."""
    offshore = -distance_m + np.float32(2.2) * roughness
    phase = offshore / np.float32(11.0) + np.float32(time_s / 6.5)
    line = phase - np.floor(phase)
    crest = np.exp(-(((line - np.float32(0.5)) / np.float32(0.10)) ** 2))
    zone = np.exp(-(((offshore - np.float32(14.0)) / np.float32(13.0)) ** 2))
    swash = np.exp(-(((offshore - np.float32(1.0 + 1.2 * math.sin(time_s / 3.1))) / np.float32(1.6)) ** 2))
    broken = np.clip(np.float32(0.45) + np.float32(0.75) * roughness, 0.0, 1.0)
    return np.asarray(
        np.clip(np.float32(0.85) * crest * zone * broken + np.float32(0.75) * swash, 0.0, 0.9), np.float32
    )
