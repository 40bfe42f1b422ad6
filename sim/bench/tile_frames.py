"""4K frames of real pixels with truth: overhead images of vessels side by side, as seen from a height."""

import functools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from edge.config import ModelConfig
from edge.gaze.outlook import OutlookMaker
from edge.geolocation.locate import Locator
from edge.vision.detectors import configured_detector, configured_gaze
from models.detection import DetectionBatch
from models.tiling.detector import TiledDetector
from models.training.sample import Sample
from models.training.vessels import read_set
from skywarden.errors import ModelError
from skywarden.geometry import rotations
from skywarden.geometry.camera import CameraModel
from skywarden.geometry.pose import CameraPose, PoseSigmas

U8 = npt.NDArray[np.uint8]
F64 = npt.NDArray[np.float64]

FRAME_PX = (3840, 2160)
CAMERA = CameraModel.from_hfov(*FRAME_PX, 60.0)

BOAT_M = 12.0
"""How long the median boat of each image is called: the images do not say their scale."""

MOST_ZOOM = 4.0
"""Images that would have to be drawn larger or smaller than by this factor are left out."""

SAME_IOU = 0.5

_GREY = 114


@dataclass(frozen=True, slots=True, eq=False)
class Still:
    """A frame (2160, 3840, 3) and the boxes (N, 4) of the boats in it, as edges count."""

    image: U8
    boxes: F64


def gsd_m(height_m: float) -> float:
    """Metres per pixel straight below."""
    return height_m / CAMERA.fx


def real_stills(data: Path, height_m: float, most: int) -> list[Still]:
    """Frames of the overhead images that no model of ours learnt from, each image at the height's scale."""
    pictures = []
    for sample in _not_learnt(data):
        image = cv2.imread(str(sample.path))
        boxes = sample.boxes[sample.classes >= 0].astype(np.float64)
        if image is None or not len(boxes):
            continue
        zoom = BOAT_M / gsd_m(height_m) / float(np.median((boxes[:, 2:] - boxes[:, :2]).max(axis=1)))
        if not 1.0 / MOST_ZOOM <= zoom <= MOST_ZOOM:
            continue
        method = cv2.INTER_AREA if zoom < 1.0 else cv2.INTER_CUBIC
        drawn = np.asarray(cv2.resize(image, None, fx=zoom, fy=zoom, interpolation=method), dtype=np.uint8)
        ratio = np.array([drawn.shape[1] / image.shape[1], drawn.shape[0] / image.shape[0]] * 2)
        pictures.append((drawn, boxes * ratio))
    return lay_out(pictures, most)


@functools.cache
def _not_learnt(data: Path) -> tuple[Sample, ...]:
    split = read_set(data / "imagery", "ships")
    return (*split.held, *split.validate)


def lay_out(pictures: Sequence[tuple[U8, F64]], most: int) -> list[Still]:
    """Images with their boxes in rows, each at its own size, into at most so many frames; grey between.

    What is larger than a frame is left out. Raises `ModelError` when nothing fits.
    """
    waiting = [one for one in pictures if one[0].shape[0] <= FRAME_PX[1] and one[0].shape[1] <= FRAME_PX[0]]
    waiting.sort(key=lambda one: -one[0].shape[0])
    stills: list[Still] = []
    while waiting and len(stills) < most:
        canvas = np.full((FRAME_PX[1], FRAME_PX[0], 3), _GREY, dtype=np.uint8)
        boxes: list[F64] = []
        left_over: list[tuple[U8, F64]] = []
        x = y = row = 0
        for image, box in waiting:
            height, across = image.shape[:2]
            if x + across > FRAME_PX[0]:
                x, y, row = 0, y + row, 0
            if y + height > FRAME_PX[1]:
                left_over.append((image, box))
                continue
            canvas[y : y + height, x : x + across] = image
            boxes.append(box + np.array([x, y, x, y]))
            x, row = x + across, max(row, height)
        stills.append(Still(image=canvas, boxes=np.concatenate(boxes)))
        waiting = left_over
    if not stills:
        raise ModelError(f"{len(pictures)} images, none of which fits {FRAME_PX[0]} x {FRAME_PX[1]} px")
    return stills


def pose_from(height_m: float) -> CameraPose:
    """Straight down from so high over level ground."""
    return CameraPose(
        time_ns=1_760_000_000_000_000_000,
        latitude_deg=36.0,
        longitude_deg=-5.0,
        alt_hae_m=height_m,
        rotation_ned_from_camera=rotations.matrix_from_euler_deg(0.0, -90.0, 0.0)
        @ rotations.GIMBAL_FROM_CAMERA,
        velocity_ned_mps=np.zeros(3),
        angular_rate_dps=0.0,
        sigmas=PoseSigmas(),
        level_alt_hae_m=0.0,
        source="made",
    )


def looking(model: ModelConfig, height_m: float) -> TiledDetector:
    """A detector that looks as `model` says, told its pose as a worker's is. Raises `ModelError`."""
    gaze = configured_gaze(model)
    gaze.tell(OutlookMaker().make(Locator(CAMERA, None), pose_from(height_m), np.zeros((0, 4))))
    detector = configured_detector(model, gaze=gaze)
    if not isinstance(detector, TiledDetector):
        raise ModelError(f"{model.name} does not look in tiles")
    return detector


def best_match(found: F64, truth: F64, least_iou: float = SAME_IOU) -> npt.NDArray[np.intp]:
    """For each box found (N, 4) the place of the true box that it lies on, -1 for none."""
    if not len(truth) or not len(found):
        return np.full(len(found), -1, dtype=np.intp)
    low = np.maximum(found[:, None, :2], truth[None, :, :2])
    high = np.minimum(found[:, None, 2:], truth[None, :, 2:])
    shared = np.clip(high - low, 0.0, None).prod(axis=2)
    area = (found[:, 2:] - found[:, :2]).prod(axis=1)[:, None] + (truth[:, 2:] - truth[:, :2]).prod(axis=1)
    iou = shared / np.maximum(area - shared, 1e-9)
    best = iou.argmax(axis=1)
    return np.where(iou[np.arange(len(found)), best] >= least_iou, best, -1)


@dataclass(slots=True)
class Score:
    """Boats that were there and those that were found; boxes that lie on none; seconds of each frame."""

    there: int = 0
    found: int = 0
    false: int = 0

    def add(self, boxes: F64, truth: F64) -> None:
        """One frame's boxes (N, 4) as edges count."""
        at = best_match(boxes, truth)
        self.there += len(truth)
        self.found += len(set(at[at >= 0].tolist()))
        self.false += int((at < 0).sum())

    @property
    def recall(self) -> float:
        """Share found; NaN when none was there."""
        return self.found / self.there if self.there else math.nan


def edges_of(batch: DetectionBatch) -> F64:
    """Boxes of a batch with 0 at the left edge of the image."""
    return batch.box_px.astype(np.float64) + 0.5


def total(scores: Iterable[Score]) -> Score:
    """Several as one."""
    out = Score()
    for one in scores:
        out.there, out.found, out.false = out.there + one.there, out.found + one.found, out.false + one.false
    return out
