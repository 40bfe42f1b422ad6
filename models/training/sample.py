"""One labelled image: where it lies, what is in it, and which place it shows."""

from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from models.training.errors import TrainingError

IGNORED = -1
"""Class of a box inside which the network is taught nothing."""

MAX_IMAGE_BYTES = 64 * 1024 * 1024
MAX_SIDE_PX = 16_384

Boxes = npt.NDArray[np.float32]
Image = npt.NDArray[np.uint8]


def no_boxes() -> Boxes:
    """An empty (0, 4) array."""
    return np.zeros((0, 4), dtype=np.float32)


@dataclass(frozen=True, kw_only=True, eq=False)
class Sample:
    """One image with its boxes.

    Attributes:
        path: the image file.
        boxes: (N, 4) float32 x0, y0, x1, y1 in pixels, edges (0 is the left edge of the first pixel).
        classes: (N,) whole numbers from 0, or `IGNORED`.
        site: the place, flight or video; a split never cuts through a site.
        outlines: polygon (M, 2) in pixels for each box where one is known, else `None`; may be empty.
        lures: (L, 4) boxes on nothing that a network took for something: crops are drawn around these.
    """

    path: Path
    boxes: Boxes = field(default_factory=no_boxes)
    classes: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    site: str = ""
    outlines: tuple[npt.NDArray[np.float32] | None, ...] = ()
    lures: Boxes = field(default_factory=no_boxes)


def read_image(path: Path) -> Image:
    """Pixels (H, W, 3), blue first; 16-bit grey is thermal counts, shown white hot as `grey_of_counts` says.

    Raises `TrainingError` when the file is too large or no image.
    """
    try:
        size = path.stat().st_size
        if not 0 < size <= MAX_IMAGE_BYTES:
            raise TrainingError(f"{path}: {size} bytes; an image has 1 to {MAX_IMAGE_BYTES}")
        data = np.frombuffer(path.read_bytes(), dtype=np.uint8)
    except OSError as error:
        raise TrainingError(f"{path}: cannot be read ({error.strerror})") from error
    try:
        image = cv2.imdecode(data, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
        if image is not None and image.dtype != np.uint8:
            is_counts = image.dtype == np.uint16 and (image == image[:, :, :1]).all()
            grey = grey_of_counts(image[:, :, 0].astype(np.uint16))[:, :, None] if is_counts else None
            image = cv2.imdecode(data, cv2.IMREAD_COLOR) if grey is None else np.repeat(grey, 3, axis=2)
    except cv2.error as error:
        raise TrainingError(f"{path}: OpenCV refuses it ({error.err})") from error
    if image is None or max(image.shape[:2]) > MAX_SIDE_PX:
        raise TrainingError(f"{path}: is no image that OpenCV can read, or has sides over {MAX_SIDE_PX} px")
    return np.asarray(image, dtype=np.uint8)


def grey_of_counts(raw: npt.NDArray[np.uint16]) -> npt.NDArray[np.uint8]:
    """16-bit counts (H, W) as grey, the rule of `skywarden.thermal.grey_picture` (a test holds them equal).

    Written out again because this folder runs where nothing else of ours is.
    """
    rows, columns = (max(1, side // 256) for side in raw.shape)
    low, high = (float(value) for value in np.percentile(raw[::rows, ::columns], (1.0, 99.5)))
    missing = max(0.0, 64.0 - (high - low)) / 2
    low, high = low - missing, high + missing
    table = np.clip((np.arange(65_536, dtype=np.float32) - low) * (255.0 / (high - low)), 0, 255)
    return np.asarray(np.rint(table).astype(np.uint8)[raw], dtype=np.uint8)


def tidy(
    boxes: npt.ArrayLike, classes: npt.ArrayLike, size_px: tuple[int, int], min_side_px: float = 1.0
) -> tuple[Boxes, npt.NDArray[np.int64]]:
    """Boxes cut to an image of width, height; those not finite or under `min_side_px` are dropped."""
    box = np.asarray(boxes, dtype=np.float32).reshape(-1, 4)
    kind = np.asarray(classes, dtype=np.int64).reshape(-1)
    finite = np.isfinite(box).all(axis=1)
    box, kind = box[finite], kind[finite]
    box = np.clip(box, 0, np.array([size_px[0], size_px[1]] * 2, dtype=np.float32))
    kept = ((box[:, 2:] - box[:, :2]) >= min_side_px).all(axis=1)
    return box[kept], kind[kept]
