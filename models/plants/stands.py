"""Stands of plants: boxes that stand together, evenly, become one area with a count and a spacing."""

from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from models.description import StandDescription
from models.detection import DetectionBatch, MaskShape, make_batch
from models.detector import Inference
from models.network import NetworkDetector
from models.tiling.detector import TiledDetector, TiledInference
from skywarden.errors import ModelError

F64 = npt.NDArray[np.float64]

MOST_PLANTS = 2000
_MOST_CELLS = 1024
_CELLS_PER_SPACING = 6.0


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Stand:
    """Plants of one stand.

    Attributes:
        members: rows of the batch (N,).
        spacing_px: median distance of a plant to its nearest neighbour.
        irregularity: spread of these distances over their mean: 0 in a perfect grid, about 0.5 by chance.
        score: mean score of the members.
        mask: the ground that they take up.
    """

    members: npt.NDArray[np.intp]
    spacing_px: float
    irregularity: float
    score: float
    mask: MaskShape

    @property
    def count(self) -> int:
        """How many plants."""
        return len(self.members)


def stands_of(batch: DetectionBatch, rules: StandDescription) -> list[Stand]:
    """Stands among the boxes of a batch, the largest first; at most `MOST_PLANTS` boxes are looked at.

    Two plants belong together when they are at most `rules.reach` spacings apart; groups of fewer than
    `rules.least_count` or more irregular than `rules.irregularity` are no stand.
    """
    box = batch.box_px[:MOST_PLANTS].astype(np.float64)
    if len(box) < max(2, rules.least_count):
        return []
    centre = (box[:, :2] + box[:, 2:]) / 2.0
    apart = np.hypot(*(centre[:, None, axis] - centre[None, :, axis] for axis in (0, 1)))
    np.fill_diagonal(apart, np.inf)
    nearest = apart.min(axis=1)
    # Of half of the plants or more, whatever stands alone in between.
    typical = float(np.median(nearest))
    found = []
    for members in _groups(apart <= rules.reach * typical):
        if len(members) < rules.least_count:
            continue
        distance = nearest[members]
        spacing = float(np.median(distance))
        if spacing <= 0.0 or (irregularity := float(distance.std() / distance.mean())) > rules.irregularity:
            continue
        found.append(
            Stand(
                members=members,
                spacing_px=spacing,
                irregularity=irregularity,
                score=float(batch.score[members].mean()),
                mask=_ground(centre[members], spacing, rules.reach),
            )
        )
    return sorted(found, key=lambda stand: (-stand.count, int(stand.members[0])))


def _groups(is_near: npt.NDArray[np.bool_]) -> list[npt.NDArray[np.intp]]:
    """Connected sets of rows, in the order of their first."""
    left = np.ones(len(is_near), dtype=bool)
    groups = []
    for start in range(len(is_near)):
        if not left[start]:
            continue
        group = np.zeros(len(is_near), dtype=bool)
        fresh = group.copy()
        fresh[start] = True
        while fresh.any():
            group |= fresh
            fresh = is_near[fresh].any(axis=0) & ~group
        left &= ~group
        groups.append(np.flatnonzero(group))
    return groups


def _ground(centre: F64, spacing_px: float, reach: float) -> MaskShape:
    """Half a spacing round every plant, and what lies between those that belong together."""
    extent = float((centre.max(axis=0) - centre.min(axis=0)).max())
    cell = max(1.0, spacing_px / _CELLS_PER_SPACING, extent / _MOST_CELLS)
    wide, edge = reach / 2.0 * spacing_px / cell, 0.5 * spacing_px / cell
    margin = int(np.ceil(wide)) + 2
    corner = np.floor(centre.min(axis=0) / cell) - margin
    size = (np.ceil(centre.max(axis=0) / cell) - corner + margin + 1).astype(int)
    points = np.round(centre / cell - corner).astype(int)
    far = np.ones((int(size[1]), int(size[0])), dtype=np.uint8)
    far[points[:, 1], points[:, 0]] = 0
    covered = np.asarray(cv2.distanceTransform(far, cv2.DIST_L2, 5)) <= wide
    # Grown until neighbours meet, then taken back to half a spacing from the outermost plants.
    inward = np.asarray(cv2.distanceTransform(covered.astype(np.uint8), cv2.DIST_L2, 5))
    left, top = (corner * cell).tolist()
    return MaskShape(values=inward > wide - edge, left_top_px=(left, top), step_px=(cell, cell))


class StandDetector:
    """As `Detector`: what a network finds as single plants goes out as stands, each with its ground."""

    def __init__(self, detector: NetworkDetector | TiledDetector) -> None:
        """Raises `ModelError` when the network's description has no section `[stand]`."""
        self._detector = detector
        rules = self.network.description.stand
        if rules is None:
            raise ModelError(f"{detector.model_id}: its description has no section [stand]")
        self._rules = rules

    @property
    def model_id(self) -> str:
        """As of the network."""
        return self._detector.model_id

    @property
    def labels(self) -> tuple[str, ...]:
        """What a stand is called."""
        return (self._rules.label,)

    @property
    def network(self) -> NetworkDetector:
        """What finds the plants."""
        return self._detector.network if isinstance(self._detector, TiledDetector) else self._detector

    def detect(self, image_bgr_u8: npt.NDArray[np.uint8]) -> DetectionBatch:
        """As `Detector.detect` says."""
        return self.read(self.infer(image_bgr_u8))

    def infer(self, image_bgr_u8: npt.NDArray[np.uint8]) -> Inference:
        """As `Detector.infer` says."""
        return self._detector.infer(image_bgr_u8)

    def read(self, inference: Inference) -> DetectionBatch:
        """As `Detector.read` says."""
        tiled = inference if isinstance(inference, TiledInference) else None
        size = inference.placement.image_size_px if tiled is None else tiled.image_size_px
        return batch_of_stands(self._detector.read(inference), self._rules, size, self.model_id)

    def warm_up(self) -> None:
        """As `Detector.warm_up` says."""
        self._detector.warm_up()


def batch_of_stands(
    plants: DetectionBatch, rules: StandDescription, image_size_px: tuple[int, int], model_id: str
) -> DetectionBatch:
    """The stands among plants as a batch with masks."""
    stands = stands_of(plants, rules)
    boxes = [
        [*plants.box_px[one.members, :2].min(axis=0), *plants.box_px[one.members, 2:].max(axis=0)]
        for one in stands
    ]
    made = make_batch(
        np.array(boxes, dtype=np.float32).reshape(-1, 4),
        np.array([one.score for one in stands], dtype=np.float32),
        np.zeros(len(stands), dtype=np.uint8),
        (rules.label,),
        image_size_px,
        [one.mask for one in stands],
    )
    return replace(made, model_id=model_id)
