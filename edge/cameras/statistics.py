"""A few thousand pixels of a frame, by which a fault is recognised without looking at the whole picture."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge.cameras.frame import CameraFrame

TILE_ROWS, TILE_COLUMNS, TILE_SIDE = 6, 8, 12
Samples = npt.NDArray[np.int16]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class FrameStatistics:
    """Single pixels, not means: sensor noise must stay visible, it tells a live picture from a frozen one.

    Attributes:
        samples: shape (72, 96), brightness at an even grid, 0..255.
        width_px, height_px: size of the frame.
        mean_level: mean of the samples.
        dark_level, bright_level: 0.5 and 99.5 percentile of the samples.
        clipped_share: share of samples at 250 or more.
    """

    samples: Samples
    width_px: int
    height_px: int
    mean_level: float
    dark_level: float
    bright_level: float
    clipped_share: float


def measure(frame: CameraFrame) -> FrameStatistics:
    """Statistics of `frame`; converts nothing where the brightness is there already (about 0.1 ms)."""
    luma = frame.pixels.luma()
    rows = _grid(luma.shape[0], TILE_ROWS * TILE_SIDE)
    columns = _grid(luma.shape[1], TILE_COLUMNS * TILE_SIDE)
    samples = luma[rows[:, np.newaxis], columns].astype(np.int16)
    dark, bright = np.percentile(samples, (0.5, 99.5))
    return FrameStatistics(
        samples=samples,
        width_px=frame.width_px,
        height_px=frame.height_px,
        mean_level=float(samples.mean()),
        dark_level=float(dark),
        bright_level=float(bright),
        clipped_share=float((samples >= 250).mean()),
    )


def tile_changes(now: Samples, before: Samples) -> npt.NDArray[np.float64]:
    """Mean absolute change per tile in grey levels, shape (6, 8)."""
    return tile_means(np.abs(now - before))


def tile_contrasts(samples: Samples) -> npt.NDArray[np.float64]:
    """Standard deviation within each tile in grey levels, shape (6, 8)."""
    tiles = samples.reshape(TILE_ROWS, TILE_SIDE, TILE_COLUMNS, TILE_SIDE)
    contrasts: npt.NDArray[np.float64] = tiles.std(axis=(1, 3))
    return contrasts


def tile_means(samples: Samples) -> npt.NDArray[np.float64]:
    """Mean per tile, shape (6, 8)."""
    tiles = samples.reshape(TILE_ROWS, TILE_SIDE, TILE_COLUMNS, TILE_SIDE)
    means: npt.NDArray[np.float64] = tiles.mean(axis=(1, 3))
    return means


def _grid(length: int, count: int) -> npt.NDArray[np.intp]:
    return ((np.arange(count) + 0.5) * length / count).astype(np.intp)
