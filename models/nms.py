"""Non-maximum suppression per class: of boxes of one class that overlap, the best stays."""

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt


def keep_best(
    box: npt.NDArray[np.float32],
    score: npt.NDArray[np.float32],
    label_index: npt.NDArray[np.intp],
    *,
    iou_limit: float,
    use_opencv: bool = True,
) -> npt.NDArray[np.intp]:
    """Which of boxes (N, 4) as x0, y0, x1, y1 stay, best first; boxes of different labels never compete.

    Equal scores are settled by the order of the boxes' corners, so that the answer does not depend on the
    order of the input. Uses `cv2.dnn.NMSBoxesBatched` where OpenCV has it, numpy otherwise.
    """
    if len(score) == 0:
        return np.zeros(0, dtype=np.intp)
    order = np.lexsort((box[:, 3], box[:, 2], box[:, 1], box[:, 0], -score))
    box, score, label_index = box[order], score[order], label_index[order]
    batched: Any = getattr(cv2.dnn, "NMSBoxesBatched", None)
    if use_opencv and batched is not None:
        corner_size = np.concatenate([box[:, :2], box[:, 2:] - box[:, :2]], axis=1).astype(np.float64)
        kept = batched(corner_size, score, label_index.astype(np.int32), -1.0, iou_limit)
        positions = np.sort(np.asarray(kept, dtype=np.intp).reshape(-1))
    else:
        positions = _keep_numpy(box, label_index, iou_limit)
    return order[positions]


def _keep_numpy(
    box: npt.NDArray[np.float32], label_index: npt.NDArray[np.intp], iou_limit: float
) -> npt.NDArray[np.intp]:
    """The same on sorted input, in numpy."""
    area = (box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1])
    waiting = np.arange(len(box))
    kept: list[int] = []
    while waiting.size:
        best, rest = waiting[0], waiting[1:]
        kept.append(int(best))
        side = np.minimum(box[best, 2:], box[rest, 2:]) - np.maximum(box[best, :2], box[rest, :2])
        shared = np.clip(side, 0.0, None).prod(axis=1)
        union = np.maximum(area[best] + area[rest] - shared, np.float32(1e-12))
        waiting = rest[(shared / union <= iou_limit) | (label_index[rest] != label_index[best])]
    return np.array(kept, dtype=np.intp)
