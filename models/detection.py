"""What a detector answers about one image: boxes, scores and labels as columns."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

MAX_BOXES = 4096


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class DetectionBatch:
    """All detections of one image, best first; ties stand in order of the box: equal input, equal order.

    Attributes:
        box_px: float32 (N, 4), x0, y0, x1, y1 in pixels of the image handed in, origin at the centre of its
            upper-left pixel; a box round that one pixel is (-0.5, -0.5, 0.5, 0.5).
        score: float32 (N,), 0..1.
        label_index: uint8 (N,), index into `labels`.
        labels: every label this detector can answer with.
    """

    box_px: npt.NDArray[np.float32]
    score: npt.NDArray[np.float32]
    label_index: npt.NDArray[np.uint8]
    labels: tuple[str, ...]

    def __len__(self) -> int:
        """How many detections there are."""
        return len(self.score)


def make_batch(
    box_px: npt.NDArray[np.floating],
    score: npt.NDArray[np.floating],
    label_index: npt.NDArray[np.integer],
    labels: tuple[str, ...],
    image_size_px: tuple[int, int],
) -> DetectionBatch:
    """Sort, cut to the image (width, height) and drop what is not finite or has no area in the image.

    Shapes as in `DetectionBatch`. Scores are limited to 0..1; at most `MAX_BOXES` are kept, the best ones.
    """
    box = np.asarray(box_px, dtype=np.float32).reshape(-1, 4)
    points = np.asarray(score, dtype=np.float32).reshape(-1)
    index = np.asarray(label_index, dtype=np.uint8).reshape(-1)
    finite = np.isfinite(box).all(axis=1) & np.isfinite(points)
    box, points, index = box[finite], points[finite], index[finite]
    limit = np.array([image_size_px[0], image_size_px[1]] * 2, dtype=np.float32) - np.float32(0.5)
    box = np.clip(box, np.float32(-0.5), limit)
    solid = (box[:, 2] > box[:, 0]) & (box[:, 3] > box[:, 1])
    box, points, index = box[solid], np.clip(points[solid], 0.0, 1.0), index[solid]
    order = np.lexsort((index, box[:, 3], box[:, 2], box[:, 1], box[:, 0], -points))[:MAX_BOXES]
    return DetectionBatch(box_px=box[order], score=points[order], label_index=index[order], labels=labels)
