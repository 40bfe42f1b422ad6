"""What a batch is drawn from: images in shares, mosaics of them, boats pasted onto other water."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from models.training.augment import Classes, Rng, View, disturb, draw_crop, mosaic
from models.training.errors import TrainingError
from models.training.sample import IGNORED, Boxes, Image, Sample, read_image

Change = Callable[[Image, Boxes, Classes, Rng], Image]
Air = Callable[[Image, Rng], Image]

KEPT_SIDE_PX = 1400
"""Images are kept in memory with at most this long side."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """One kind of images: its samples, its share of the crops, and how crops are drawn.

    Attributes:
        pasted: samples with outlines whose objects are put onto these images (small, several), if any.
        change: what a crop goes through before light and air, with its boxes and classes.
    """

    name: str
    samples: list[Sample]
    share: float
    view: View
    pasted: tuple[Sample, ...] = ()
    pasted_px: tuple[float, float] = (0.02, 0.16)
    change: Change | None = None


class Mix:
    """Draws crops. The same seed and the same sources give the same crops."""

    def __init__(self, sources: list[Source], seed: int, air: Air = disturb) -> None:
        """`air`: light, air and camera, for every image at last.

        Raises `TrainingError` when a source holds no sample or the shares are no shares.
        """
        for source in sources:
            if not source.samples or source.share < 0:
                raise TrainingError(
                    f"source {source.name}: {len(source.samples)} samples, share {source.share}"
                )
        total = sum(source.share for source in sources)
        if not total > 0:
            raise TrainingError("no source has a share")
        self.sources = sources
        self._shares = np.array([source.share / total for source in sources])
        self._seed, self._air = seed, air
        self._images: dict[Path, tuple[Image, float]] = {}

    def batch(
        self, step: int, size_px: int, count: int, mosaics: float
    ) -> tuple[list[Image], list[tuple[Boxes, Classes]]]:
        """Images (size_px, size_px, 3) and their truth for one step; depends on seed and step alone."""
        rng = np.random.default_rng((self._seed, step))
        images, truth = [], []
        for _ in range(count):
            if rng.random() < mosaics:
                parts = [self.crop(int(size_px * 0.65) + 1, rng) for _ in range(4)]
                image, boxes, classes = mosaic(parts, size_px, rng)
            else:
                image, boxes, classes = self.crop(size_px, rng)
            images.append(self._air(image, rng))
            truth.append((boxes, classes))
        return images, truth

    def crop(self, size_px: int, rng: Rng) -> tuple[Image, Boxes, Classes]:
        """One crop from one source, before light and air."""
        source = self.sources[int(rng.choice(len(self.sources), p=self._shares))]
        sample = source.samples[int(rng.integers(len(source.samples)))]
        image, scale = self._image(sample.path)
        boxes, classes = sample.boxes * np.float32(scale), sample.classes
        if source.pasted:
            image, boxes, classes = self._paste(image, boxes, classes, source, rng)
        lures = sample.lures * np.float32(scale)
        crop, boxes, classes = draw_crop(image, boxes, classes, size_px, source.view, rng, lures)
        if source.change is not None:
            crop = source.change(crop, boxes, classes, rng)
        return crop, boxes, classes

    def _image(self, path: Path) -> tuple[Image, float]:
        kept = self._images.get(path)
        if kept is None:
            image = read_image(path)
            scale = min(1.0, KEPT_SIDE_PX / max(image.shape[:2]))
            if scale < 1.0:
                shrunk = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
                image = np.asarray(shrunk, dtype=np.uint8)
            kept = self._images[path] = (image, scale)
        return kept

    def _paste(
        self, image: Image, boxes: Boxes, classes: Classes, source: Source, rng: Rng
    ) -> tuple[Image, Boxes, Classes]:
        canvas = image.copy()
        added: list[list[float]] = []
        height, width = canvas.shape[:2]
        for _ in range(int(rng.integers(1, 7))):
            donor = source.pasted[int(rng.integers(len(source.pasted)))]
            at = int(rng.integers(len(donor.boxes)))
            outline = donor.outlines[at]
            if outline is None or donor.classes[at] < 0:
                continue
            picture, scale = self._image(donor.path)
            wanted = width * float(np.exp(rng.uniform(*np.log(source.pasted_px))))
            cut, mask = cut_out(picture, outline * np.float32(scale), wanted, rng)
            h, w = mask.shape
            if h >= height or w >= width or min(h, w) < 4:
                continue
            x, y = int(rng.integers(0, width - w)), int(rng.integers(0, height - h))
            box = [float(x), float(y), float(x + w), float(y + h)]
            if any(_touch(box, other) for other in [*added, *boxes.tolist()]):
                continue
            lay(canvas, cut, mask, (x, y))
            added.append(box)
        if added:
            boxes = np.concatenate([boxes, np.array(added, dtype=np.float32)])
            classes = np.concatenate([classes, np.zeros(len(added), dtype=np.int64)])
        return canvas, boxes, classes


def cut_out(image: Image, outline: np.ndarray, length_px: float, rng: Rng) -> tuple[Image, np.ndarray]:
    """The thing inside an outline, `length_px` long, and how much of each pixel it covers (0 to 1)."""
    x0, y0 = np.floor(outline.min(axis=0)).astype(int).clip(min=0)
    x1, y1 = np.ceil(outline.max(axis=0)).astype(int)
    x1, y1 = min(x1, image.shape[1]), min(y1, image.shape[0])
    mask = np.zeros((max(y1 - y0, 1), max(x1 - x0, 1)), dtype=np.uint8)
    cv2.fillPoly(mask, [np.round(outline - [x0, y0]).astype(np.int32)], 255)
    piece = image[y0:y1, x0:x1]
    if piece.shape[:2] != mask.shape:
        return np.zeros((1, 1, 3), dtype=np.uint8), np.zeros((1, 1))
    scale = length_px / max(mask.shape)
    size = (max(2, round(mask.shape[1] * scale)), max(2, round(mask.shape[0] * scale)))
    piece = np.asarray(cv2.resize(piece, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    cover = cv2.resize(mask, size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    if rng.random() < 0.5:
        piece, cover = piece[:, ::-1], cover[:, ::-1]
    return np.ascontiguousarray(piece), np.ascontiguousarray(cover)


def lay(canvas: Image, piece: Image, cover: np.ndarray, corner: tuple[int, int]) -> None:
    """Blend a piece into a canvas at its corner (x, y), its light moved halfway to that of the place."""
    h, w = cover.shape
    there = canvas[corner[1] : corner[1] + h, corner[0] : corner[0] + w]
    shift = (there.mean(axis=(0, 1)) - piece.mean(axis=(0, 1))) * 0.25
    lit = np.clip(piece + shift, 0, 255)
    there[:] = (there * (1 - cover[..., None]) + lit * cover[..., None]).astype(np.uint8)


def without_objects(samples: list[Sample]) -> list[Sample]:
    """Those samples that hold nothing, not even something ignored."""
    return [sample for sample in samples if not len(sample.boxes)]


def with_objects(samples: list[Sample]) -> list[Sample]:
    """Those samples that hold something to learn."""
    return [sample for sample in samples if (sample.classes != IGNORED).any()]


def _touch(a: list[float], b: list[float]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
