"""Draws crops of fields with their maps: scaled, turned, mirrored, in other light."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from models.training.augment import disturb
from models.training.errors import TrainingError
from models.training.parcels.fields import FieldSample, Ring
from models.training.parcels.truth import Maps, carried_over_edge, paint
from models.training.sample import Image, read_image

Rng = np.random.Generator
FILL = 114


@dataclass(frozen=True, kw_only=True)
class FieldSource:
    """One kind of images, its share of the crops, and the range of its magnification."""

    name: str
    samples: list[FieldSample]
    share: float
    scale: tuple[float, float] = (0.55, 1.8)


class FieldMix:
    """Draws batches. The same seed, step and sources give the same batch."""

    def __init__(self, sources: Sequence[FieldSource], seed: int) -> None:
        """Raises `TrainingError` when a source holds no sample or no source has a share."""
        self.sources = [source for source in sources if source.samples]
        total = sum(source.share for source in self.sources)
        if not total > 0:
            raise TrainingError("no source of fields has both samples and a share")
        self._shares = np.array([source.share / total for source in self.sources])
        self._seed = seed
        self._images: dict[Path, Image] = {}

    def batch(self, step: int, size_px: int, count: int) -> tuple[list[Image], Maps]:
        """`count` images (size_px, size_px, 3); `paint`'s maps and weights (count, 4, size_px, size_px)."""
        rng = np.random.default_rng((self._seed, step))
        images, truth = [], []
        for _ in range(count):
            source = self.sources[int(rng.choice(len(self.sources), p=self._shares))]
            sample = source.samples[int(rng.integers(len(source.samples)))]
            image, maps = self._crop(sample, source.scale, size_px, rng)
            images.append(disturb(image, rng))
            truth.append(maps)
        return images, np.stack(truth)

    def _crop(
        self, sample: FieldSample, scale: tuple[float, float], size_px: int, rng: Rng
    ) -> tuple[Image, Maps]:
        image = self._images.get(sample.path)
        if image is None:
            image = self._images[sample.path] = read_image(sample.path)
        height, width = image.shape[:2]
        matrix = placement((width, height), size_px, scale, rng)
        size = (size_px, size_px)
        crop = cv2.warpAffine(image, matrix, size, flags=cv2.INTER_LINEAR, borderValue=(FILL,) * 3)
        known = cv2.warpAffine(np.ones((height, width), np.uint8), matrix, size, flags=cv2.INTER_NEAREST)
        rings = [_moved(carried_over_edge(ring, (width, height)), matrix) for ring in sample.rings]
        seen = [ring for ring in rings if (ring.max(axis=0) > 0).all() and (ring.min(axis=0) < size_px).all()]
        maps = paint(seen, size)
        return np.asarray(crop, dtype=np.uint8), np.concatenate([maps, known[None].astype(np.float32)])


def placement(
    image_size_px: tuple[int, int], size_px: int, scale: tuple[float, float], rng: Rng
) -> npt.NDArray[np.float64]:
    """(2, 3) matrix from image to crop, both counted from pixel centres: turned, mirrored, mostly inside."""
    factor = math.exp(rng.uniform(math.log(scale[0]), math.log(scale[1])))
    angle = math.pi / 2 * int(rng.integers(4))
    if rng.random() < 0.5:
        angle += math.radians(rng.uniform(-45.0, 45.0))
    stretch = math.exp(rng.uniform(-0.1, 0.1))
    cos, sin = math.cos(angle), math.sin(angle)
    turn = np.array([[cos, -sin], [sin, cos]]) * factor @ np.diag([stretch, 1.0 / stretch])
    if rng.random() < 0.5:
        turn = turn @ np.diag([-1.0, 1.0])
    # Half the crop's extent on the image's axes: how far its middle must stay from the edges.
    reach = np.abs(np.linalg.inv(turn)).sum(axis=1) * size_px / 2 * 0.9
    size = np.array(image_size_px, dtype=np.float64)
    low, high = np.minimum(reach, size / 2), np.maximum(size - reach, size / 2)
    middle = rng.uniform(low, high)
    shift = np.array([size_px / 2, size_px / 2]) - turn @ middle
    # Edges to edges; OpenCV counts from pixel centres.
    shift = shift + turn @ np.array([0.5, 0.5]) - 0.5
    return np.column_stack([turn, shift])


def _moved(ring: Ring, matrix: npt.NDArray[np.float64]) -> Ring:
    return ((ring - 0.5) @ matrix[:, :2].T + matrix[:, 2] + 0.5).astype(np.float32)
