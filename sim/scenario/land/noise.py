"""Seeded noise fields: smooth random surfaces for land, and periodic tiles for fine grain."""

import cv2
import numpy as np
import numpy.typing as npt

FloatImage = npt.NDArray[np.float32]


def generator(seed: int, *words: str) -> np.random.Generator:
    """A random generator that depends on the seed and on what it is for, and on nothing else."""
    spelled = [byte for word in words for byte in (*word.encode(), 0)]
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, *spelled])))


def smooth_noise(
    rng: np.random.Generator, rows: int, columns: int, cell_px: float, octaves: int = 3, gain: float = 0.5
) -> FloatImage:
    """A smooth random surface, shape (rows, columns), of zero mean and unit deviation.

    The largest features are about `cell_px` pixels; each octave halves them and scales them by `gain`.
    """
    total = np.zeros((rows, columns), np.float32)
    for octave in range(octaves):
        cell = max(cell_px / 2**octave, 1.0)
        shape = (int(np.ceil(rows / cell)) + 4, int(np.ceil(columns / cell)) + 4)
        coarse = rng.standard_normal(shape, dtype=np.float32)
        matrix = np.array([[1.0 / cell, 0.0, 1.5], [0.0, 1.0 / cell, 1.5]])
        total += gain**octave * cv2.warpAffine(
            coarse, matrix, (columns, rows), flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        )
    total -= float(total.mean())
    return np.asarray(total / max(float(total.std()), 1e-6), np.float32)


def band_tile(rng: np.random.Generator, size: int, low_px: float, high_px: float) -> FloatImage:
    """A periodic tile, shape (size, size), with features between two wavelengths (pixels); unit deviation."""
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.fftfreq(size)[None, :])
    with np.errstate(divide="ignore"):
        wavelength = np.where(frequency > 0.0, 1.0 / np.maximum(frequency, 1e-9), np.inf)
    mask = (wavelength >= low_px) & (wavelength <= high_px)
    spectrum = np.fft.fft2(rng.standard_normal((size, size))) * mask
    tile = np.fft.ifft2(spectrum).real
    return np.asarray(tile / max(float(tile.std()), 1e-9), np.float32)


def smoothstep(low: float, high: float, value: FloatImage) -> FloatImage:
    """0 below `low`, 1 above `high`, a smooth cubic between (either order)."""
    t = np.clip((value - low) / (high - low), 0.0, 1.0)
    return np.asarray(t * t * (3.0 - 2.0 * t), np.float32)
