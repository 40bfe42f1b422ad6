"""Whole images through any detector, as the run time does it: fitted into one canvas, then judged."""

from collections.abc import Callable, Sequence

import cv2
import numpy as np
import numpy.typing as npt

from models.training.sample import Image, Sample, read_image
from models.training.score import Judged

FILL = 114
MOST_BOXES = 300
MOST_CANDIDATES = 2000
Array = npt.NDArray[np.float64]
Looker = Callable[[Image], tuple[Array, Array]]
"""From an image to edges (D, 4) in its pixels and scores (D,)."""


def place(image: Image, canvas_px: tuple[int, int]) -> tuple[Image, tuple[float, float]]:
    """The image fitted into the upper left of a canvas (width, height), and canvas over image pixels."""
    height, width = image.shape[:2]
    scale = min(canvas_px[0] / width, canvas_px[1] / height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    canvas = np.full((canvas_px[1], canvas_px[0], 3), FILL, dtype=np.uint8)
    canvas[: size[1], : size[0]] = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
    return canvas, (size[0] / width, size[1] / height)


def suppress(boxes: Array, scores: Array, iou: float) -> list[int]:
    """Which boxes stay, best first, when a better one overlaps by more than `iou`."""
    wide = np.column_stack([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]])
    return [
        int(at) for at in np.asarray(cv2.dnn.NMSBoxes(wide.tolist(), scores.tolist(), 0.0, iou)).reshape(-1)
    ]


def judge(samples: Sequence[Sample], look: Looker) -> list[Judged]:
    """What a looker finds in samples, beside what is there."""
    judged = []
    for sample in samples:
        found, score = look(read_image(sample.path))
        truth = sample.boxes.astype(np.float64)
        judged.append(Judged(found=found, score=score, truth=truth, ignored=sample.classes < 0))
    return judged


def false_alarms(samples: Sequence[Sample], look: Looker, thresholds: Sequence[float]) -> list[float]:
    """Boxes per image over each threshold, in images that hold nothing."""
    scores = [look(read_image(sample.path))[1] for sample in samples]
    return [float(np.mean([(score >= limit).sum() for score in scores])) for limit in thresholds]
