"""What a thermal camera might have seen where a day camera looked, and what such cameras do to a picture.

No open set shows vessels to thermal cameras from above. This is a stand-in, not physics: the shapes
are real, how warm things are is drawn. What is rendered by the simulator has its own temperatures and only
goes through `disturb_thermal`.
"""

import math
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from models.training.augment import Classes, Rng
from models.training.sample import Boxes, Image, Sample, read_image

Picture = npt.NDArray[np.float32]


def as_thermal(image: Image, boxes: Boxes, classes: Classes, rng: Rng) -> Image:
    """A day picture (H, W, 3) as thermal, white hot, three equal channels; boxes say what is warm or cold.

    Brightness becomes warmth or the reverse, texture is dulled, what stands out from the water in a box is
    warmer (three times in four) or colder than it was, and every other vessel has a hot spot.
    """
    weights = rng.dirichlet([2.0, 2.0, 2.0]).astype(np.float32)
    warmth = np.asarray(image.astype(np.float32) @ weights, dtype=np.float32)
    if rng.random() < 0.5:
        warmth = 255 - warmth
    dull = float(rng.uniform(0.25, 1.0))
    smooth = cv2.GaussianBlur(warmth, (0, 0), 2.5)
    detail = warmth - smooth
    warmth = smooth + detail * np.float32(dull)
    for box, kind in zip(boxes, classes, strict=True):
        if kind >= 0:
            _warm(warmth, box, rng)
    grey = np.clip(warmth, 0, 255).astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, axis=2)


def disturb_thermal(image: Image, rng: Rng) -> Image:
    """Blur, shading, column noise, sensor noise, gain, black hot as often as white hot, compression."""
    picture = image[:, :, 0].astype(np.float32)
    height, width = picture.shape
    if rng.random() < 0.6:
        blurred = cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(0.3, 1.6)))
        picture = np.asarray(blurred, dtype=np.float32)
    if rng.random() < 0.5:
        coarse = rng.standard_normal((4, 4), dtype=np.float32) * np.float32(rng.uniform(2, 14))
        picture = picture + cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    if rng.random() < 0.4:
        picture = picture + rng.standard_normal((1, width), dtype=np.float32) * np.float32(
            rng.uniform(0.5, 3)
        )
    picture = picture + rng.standard_normal((height, width), dtype=np.float32) * np.float32(
        rng.uniform(0.5, 6)
    )
    shown = _gained(np.asarray(picture, dtype=np.float32), rng)
    if rng.random() < 0.5:
        shown = 255 - shown
    if rng.random() < 0.15:
        quality = int(rng.integers(30, 85))
        coded = cv2.imencode(".jpg", shown, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        shown = np.asarray(cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE), dtype=np.uint8)
    return np.repeat(shown[:, :, None], 3, axis=2)


def write_as_thermal(samples: Sequence[Sample], folder: Path) -> list[Sample]:
    """Whole images shown as thermal, as PNG files in `folder`; the samples that stand for them.

    What is drawn depends on the image's name alone, so the set is the same on every machine.
    """
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for sample in samples:
        rng = np.random.default_rng(zlib.crc32(sample.path.name.encode("utf-8")))
        shown = as_thermal(read_image(sample.path), sample.boxes, sample.classes, rng)
        path = folder / f"{sample.path.stem}.png"
        path.write_bytes(cv2.imencode(".png", disturb_thermal(shown, rng)[:, :, 0])[1].tobytes())
        made.append(replace(sample, path=path))
    return made


def _warm(warmth: Picture, box: npt.NDArray[np.float32], rng: Rng) -> None:
    """Change what stands out in one box; the water round it says what stands out."""
    height, width = warmth.shape
    x0, y0 = (max(0, math.floor(float(edge))) for edge in box[:2])
    x1, y1 = min(width, math.ceil(float(box[2]))), min(height, math.ceil(float(box[3])))
    if x1 - x0 < 2 or y1 - y0 < 2:
        return
    margin = max(3, (x1 - x0 + y1 - y0) // 8)
    ring = warmth[max(0, y0 - margin) : y1 + margin, max(0, x0 - margin) : x1 + margin]
    inside = warmth[y0:y1, x0:x1]
    level = float(np.median(ring))
    apart = np.abs(inside - level)
    share = np.clip(apart / max(0.5 * float(apart.max()), 4.0), 0, 1)
    sign = 1.0 if rng.random() < 0.75 else -1.0
    inside += np.float32(sign * rng.uniform(10, 90)) * share
    if rng.random() < 0.5:
        x, y = rng.normal(0.5, 0.15, 2) * [x1 - x0, y1 - y0]
        reach = max(0.8, float(rng.uniform(0.06, 0.16)) * max(x1 - x0, y1 - y0))
        rows, columns = np.mgrid[0 : y1 - y0, 0 : x1 - x0]
        spot = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * reach**2))
        inside += (rng.uniform(30, 130) * spot * np.maximum(share, 0.3)).astype(np.float32)


def _gained(picture: Picture, rng: Rng) -> npt.NDArray[np.uint8]:
    """Stretched between two percentiles as the gain control aboard does, or one that is off or equalises."""
    draw = rng.random()
    if draw < 0.15:
        return np.asarray(np.clip(picture, 0, 255), dtype=np.uint8)
    low, high = (float(v) for v in np.percentile(picture, (rng.uniform(0, 2), rng.uniform(98.5, 100))))
    missing = max(0.0, float(rng.uniform(15, 60)) - (high - low)) / 2
    low, high = low - missing, high + missing
    stretched = np.clip((picture - low) * (255 / (high - low)), 0, 255)
    bent = 255 * (stretched / 255) ** math.exp(rng.uniform(-0.3, 0.3))
    shown = np.asarray(bent, dtype=np.uint8)
    if draw > 0.9:
        return np.asarray(cv2.createCLAHE(2.0, (4, 4)).apply(shown), dtype=np.uint8)
    return shown
