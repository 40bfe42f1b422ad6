"""From an outlook to tiles: which scale each part of the image needs, and what is worth a look first.

The thread that finishes frames tells; the thread that looks asks. Between them stands one reference to an
outlook that never changes, so neither waits for the other.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge.gaze.outlook import CELLS, Outlook
from models.tiling.grid import Band, Tile
from models.tiling.masks import ImageMask, polygon_mask
from models.tiling.motion import MotionCue
from models.tiling.plan import Cues
from models.tiling.scale import scale_for_model, steady_scale

MOST_TILES_ACROSS = 16

_ONE_BAND = 1.5
"""Bands whose metres per pixel differ by less have one scale."""

Shares = tuple[tuple[float, float], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class GazeSettings:
    """How a sensor looks.

    Attributes:
        scale: pixels of the network for each of the image while no pose says better; 0 looks at the whole.
        adapts: whether poses change the scale.
        own_parts: polygons of the aircraft's own parts in view, corners as shares of width and height.
    """

    scale: float = 0.0
    adapts: bool = True
    own_parts: tuple[Shares, ...] = ()


class Gaze:
    """What is known about where to look, for all detectors of one sensor."""

    def __init__(self, settings: GazeSettings) -> None:
        self.settings = settings
        self._outlook: Outlook | None = None
        own = [np.asarray(part) * 1000.0 for part in settings.own_parts]
        self.own_parts: ImageMask | None = polygon_mask(own, (1000, 1000)) if own else None

    @property
    def outlook(self) -> Outlook | None:
        """The newest; `None` while no pose is known."""
        return self._outlook

    def tell(self, outlook: Outlook | None) -> None:
        """What the last finished frame showed; `None` when its pose was not known."""
        self._outlook = outlook


class Eye:
    """The gaze as one detector needs it: its input's size, the metres per pixel that it was made for."""

    def __init__(
        self, gaze: Gaze, input_px: tuple[int, int], model_gsd_m: tuple[float, float] | None = None
    ) -> None:
        self._gaze = gaze
        self._input_px = input_px
        self._model_gsd_m = model_gsd_m
        self._before: list[float | None] = []
        self._motion = MotionCue()

    def bands(self, size_px: tuple[int, int]) -> tuple[Band, ...]:
        """Bands from top to bottom, as `models.tiling.detector.BandSource` says."""
        settings, outlook = self._gaze.settings, self._gaze.outlook
        wanted: list[float] = []
        if outlook is not None and settings.adapts and outlook.size_px == size_px:
            wanted = self._wanted(outlook.gsd_m)
        if not wanted:
            self._before = []
            wanted = [settings.scale] if settings.scale > 0.0 else []
        return self._layout(size_px, wanted)

    def cues(self, image: npt.NDArray[np.uint8], tiles: tuple[Tile, ...]) -> Cues:
        """What is worth a look first, as `models.tiling.detector.CueSource` says."""
        outlook, mask = self._gaze.outlook, self._gaze.own_parts
        size_px = (image.shape[1], image.shape[0])
        motion = self._motion.look(image, tiles) if len(tiles) > 1 else []
        if outlook is None or outlook.size_px != size_px:
            return Cues(motion=motion, mask=mask)
        return Cues(
            tracks=outlook.tracks,
            new_ground=[_share(outlook.new_ground, tile, size_px) for tile in tiles],
            motion=motion,
            mask=outlook.sky if mask is None else outlook.sky | mask,
        )

    def _wanted(self, gsd_m: tuple[float, ...]) -> list[float]:
        """A steady scale for every band; one without ground has that of the nearest one below, else above."""
        known = [at for at, value in enumerate(gsd_m) if math.isfinite(value) and value > 0.0]
        if not known:
            return []
        values = [gsd_m[at] for at in known]
        if len(known) == len(gsd_m) and max(values) < _ONE_BAND * min(values):  # as good as straight down
            gsd_m = (float(np.median(values)),) * len(gsd_m)
            self._before = [self._before[0]] * len(gsd_m) if self._before else []
        before = self._before if len(self._before) == len(gsd_m) else [None] * len(gsd_m)
        home = [min(known, key=lambda at: (abs(at - band), -at)) for band in range(len(gsd_m))]
        scales = [
            steady_scale(scale_for_model(gsd_m[at], self._model_gsd_m), last)
            for at, last in zip(home, before, strict=True)
        ]
        self._before = list(scales)
        return scales

    def _layout(self, size_px: tuple[int, int], scales: list[float]) -> tuple[Band, ...]:
        """Bands of one height, those of one scale joined; nothing smaller than the whole frame shows it."""
        whole = min(side / length for side, length in zip(self._input_px, size_px, strict=True))
        finest = MOST_TILES_ACROSS * whole
        bands: list[Band] = []
        for at, scale in enumerate(scales):
            y0, y1 = (size_px[1] * n // len(scales) for n in (at, at + 1))
            scale = min(max(scale, whole), finest)
            if bands and bands[-1].scale == scale:
                bands[-1] = Band(y0=bands[-1].y0, y1=y1, scale=scale)
            else:
                bands.append(Band(y0=y0, y1=y1, scale=scale))
        return tuple(bands)


def _share(cells: npt.NDArray[np.float64], tile: Tile, size_px: tuple[int, int]) -> float:
    columns, rows = CELLS
    left, right = tile.x0 * columns // size_px[0], -(-tile.x1 * columns // size_px[0])
    top, bottom = tile.y0 * rows // size_px[1], -(-tile.y1 * rows // size_px[1])
    return float(cells[top : max(bottom, top + 1), left : max(right, left + 1)].mean())
