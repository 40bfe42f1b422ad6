"""A detector that looks at tiles of a large image and at all of it, and answers as one."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from models.detection import DetectionBatch, MaskShape, PolygonShape, Shape
from models.detector import Inference, Looked
from models.letterbox import require_image
from models.network import NetworkDetector
from models.tiling.grid import Band, Tile, banded_grid
from models.tiling.masks import ImageMask
from models.tiling.merge import merge_tiles
from models.tiling.plan import Cues, LookBudget, Plan, PlanRules, TilePlanner
from skywarden.errors import ModelError

FREE_SIDE_PX = 640
"""Side of a tile in the network's pixels, for networks that take any size."""

OVERLAP_SHARE = 0.25
"""Of a tile: what is at most so large lies whole in one of them; the whole frame sees what is larger."""

CueSource = Callable[[npt.NDArray[np.uint8], tuple[Tile, ...]], Cues]
BandSource = Callable[[tuple[int, int]], tuple[Band, ...]]
"""Bands from top to bottom for an image of a size; none looks at the whole alone."""


@dataclass(frozen=True, slots=True, eq=False)
class TiledInference(Inference):
    """Raw outputs of every look at one image, and which part of it each was at (`None`: all of it)."""

    parts: tuple[tuple[Tile | None, Inference], ...]
    image_size_px: tuple[int, int]
    mask: ImageMask | None

    @property
    def looked(self) -> Looked | None:
        """As `Inference.looked` says."""
        whole = next((look.placement for tile, look in self.parts if tile is None), None)
        rows = [(tile.x0, tile.y0, tile.x1, tile.y1) for tile, _ in self.parts if tile is not None]
        return Looked(
            size_px=self.image_size_px,
            tiles_px=np.array(rows, dtype=np.float64).reshape(-1, 4),
            whole_scale=None if whole is None else whole.placed_size_px[0] / whole.image_size_px[0],
        )


class TiledDetector:
    """As `Detector`, around a network. One thread at a time; `read` may run beside the next `infer`."""

    def __init__(
        self,
        network: NetworkDetector,
        *,
        scale: float,
        budget: int | None = None,
        rules: PlanRules | None = None,
        cues: CueSource | None = None,
        bands: BandSource | None = None,
        room: LookBudget | None = None,
        now: Callable[[], float] = time.perf_counter,
    ) -> None:
        """`scale` is pixels of the network for each of the image in a tile; `budget` is looks per image,
        `None` for all tiles and the whole. `cues` says what is known of a frame, `bands` replaces `scale` by
        what each part of it needs, `room` sets the budget by what looks take. Raises `ModelError`."""
        if not 0.05 <= scale <= 8.0:
            raise ModelError(f"{network.model_id}: tiles at scale {scale}; 0.05 to 8 are possible")
        self._network = network
        self._scale = scale
        self._budget = budget
        self._rules = rules
        self._cues = cues
        self._bands = bands
        self._room = room
        self._now = now
        self._layout: tuple[tuple[int, int], tuple[Band, ...]] | None = None
        self._planner: tuple[TilePlanner, tuple[Tile, ...]] | None = None

    @classmethod
    def everywhere(cls, network: NetworkDetector, *, scale: float) -> "TiledDetector":
        """All tiles and the whole of every image."""
        return cls(network, scale=scale)

    @property
    def model_id(self) -> str:
        """As of the network."""
        return self._network.model_id

    @property
    def labels(self) -> tuple[str, ...]:
        """As of the network."""
        return self._network.labels

    @property
    def network(self) -> NetworkDetector:
        """What looks at each part."""
        return self._network

    @property
    def scale(self) -> float:
        """Pixels of the network for each of the image."""
        return self._scale

    @property
    def budget(self) -> int | None:
        """Looks per image; may be set between images."""
        return self._budget

    @budget.setter
    def budget(self, looks: int | None) -> None:
        self._budget = looks

    def set_scale(self, scale: float) -> None:
        """From the next image on; the tiles are then others, and none of them has been looked at."""
        if scale != self._scale:
            self._scale = scale

    def detect(self, image_bgr_u8: npt.NDArray[np.uint8]) -> DetectionBatch:
        """As `Detector.detect` says."""
        return self.read(self.infer(image_bgr_u8))

    def infer(self, image_bgr_u8: npt.NDArray[np.uint8]) -> TiledInference:
        """As `Detector.infer` says: the looks that the plan wants, one after the other."""
        require_image(image_bgr_u8)
        size = (image_bgr_u8.shape[1], image_bgr_u8.shape[0])
        planner, tiles = self._planner_for(size)
        cues = self._cues(image_bgr_u8, tiles) if self._cues is not None else Cues()
        plan = self._plan(planner, tiles, cues)
        start = self._now()
        parts: list[tuple[Tile | None, Inference]] = []
        for tile in plan.tiles:
            parts.append((tile, self._network.infer(self._cut(image_bgr_u8, tile))))
        if plan.with_whole_frame or not parts:
            parts.append((None, self._network.infer(image_bgr_u8)))
        if self._room is not None:
            self._room.spent(len(parts), self._now() - start)
        last = parts[-1][1]
        return TiledInference(last.outputs, last.placement, tuple(parts), size, cues.mask)

    def read(self, inference: Inference) -> DetectionBatch:
        """As `Detector.read` says."""
        if not isinstance(inference, TiledInference):
            return self._network.read(inference)
        parts: list[tuple[Tile | None, DetectionBatch]] = []
        for tile, one in inference.parts:
            batch = self._network.read(one)
            parts.append((tile, batch if tile is None else _moved(batch, tile, one.placement.image_size_px)))
        size = inference.image_size_px
        merged = merge_tiles(parts, size, self.labels)
        merged = replace(merged, model_id=self.model_id)
        return merged if inference.mask is None else inference.mask.without(merged, size)

    def warm_up(self) -> None:
        """As `Detector.warm_up` says."""
        self._network.warm_up()

    def _plan(self, planner: TilePlanner, tiles: tuple[Tile, ...], cues: Cues) -> Plan:
        budget = self._room.looks() if self._room is not None else self._budget
        if not tiles:
            return Plan(tiles=(), with_whole_frame=True)
        if len(tiles) < 2:  # the one tile is the whole
            return Plan(tiles=planner.plan(1, cues).tiles, with_whole_frame=False)
        if budget is None:
            return Plan(tiles=planner.plan(len(tiles) + 1, cues).tiles, with_whole_frame=True)
        return planner.plan(budget, cues)

    def _planner_for(self, size_px: tuple[int, int]) -> tuple[TilePlanner, tuple[Tile, ...]]:
        whole = (Band(y0=0, y1=size_px[1], scale=self._scale),)
        layout = size_px, whole if self._bands is None else self._bands(size_px)
        if self._planner is None or self._layout != layout:
            tiles = banded_grid(size_px, layout[1], self.input_px, OVERLAP_SHARE)
            self._layout, self._planner = layout, (TilePlanner(tiles, size_px, self._rules), tiles)
        return self._planner

    @property
    def input_px(self) -> tuple[int, int]:
        """Width and height of the network's input, as tiles are cut for it."""
        return input_side_px(self._network)

    def _scale_of(self, tile: Tile) -> float:
        assert self._layout is not None, "a tile comes of a layout"
        return next(band.scale for band in self._layout[1] if tile.y1 <= band.y1)

    def _cut(self, image: npt.NDArray[np.uint8], tile: Tile) -> npt.NDArray[np.uint8]:
        cut = image[tile.y0 : tile.y1, tile.x0 : tile.x1]
        fixed = self._network.description.input
        ratio = 1.0 if fixed.has_fixed_size else self._scale_of(tile) / fixed.scale
        if abs(ratio - 1.0) < 0.02:
            return cut
        size = (max(8, round(cut.shape[1] * ratio)), max(8, round(cut.shape[0] * ratio)))
        return np.asarray(cv2.resize(cut, size, interpolation=cv2.INTER_LINEAR), dtype=np.uint8)


def input_side_px(network: NetworkDetector) -> tuple[int, int]:
    """Width and height of a network's input; of one that takes any size, what tiles are cut for."""
    image = network.description.input
    width, height = image.width_px, image.height_px
    if not image.has_fixed_size or width is None or height is None:
        return FREE_SIDE_PX, FREE_SIDE_PX
    return width, height


def _moved(batch: DetectionBatch, tile: Tile, seen_px: tuple[int, int]) -> DetectionBatch:
    """A tile's detections in pixels of the image; `seen_px` is the size at which the tile was handed in."""
    ratio = np.array([(tile.x1 - tile.x0) / seen_px[0], (tile.y1 - tile.y0) / seen_px[1]])
    corner = np.array([tile.x0, tile.y0])
    edges = (batch.box_px.astype(np.float64) + 0.5) * np.tile(ratio, 2) + np.tile(corner, 2) - 0.5
    return DetectionBatch(
        box_px=edges.astype(np.float32),
        score=batch.score,
        label_index=batch.label_index,
        labels=batch.labels,
        shapes=tuple(_moved_shape(shape, ratio, corner) for shape in batch.shapes),
    )


def _moved_shape(
    shape: Shape | None, ratio: npt.NDArray[np.float64], corner: npt.NDArray[np.int_]
) -> Shape | None:
    def moved(points: Sequence[float] | npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.asarray((np.asarray(points) + 0.5) * ratio + corner - 0.5, dtype=np.float64)

    if isinstance(shape, PolygonShape):
        return PolygonShape(exterior=moved(shape.exterior), holes=tuple(moved(hole) for hole in shape.holes))
    if isinstance(shape, MaskShape):
        x, y = moved(shape.left_top_px).tolist()
        step = (shape.step_px[0] * float(ratio[0]), shape.step_px[1] * float(ratio[1]))
        return MaskShape(values=shape.values, left_top_px=(x, y), step_px=step)
    return None
