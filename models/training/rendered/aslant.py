"""Overhead sets seen aslant: what stands in for labelled harbours and seas from the side of a platform."""

import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from models.training.augment import tilted
from models.training.sample import Sample, read_image

TILT_DEG = (30.0, 70.0)


def write_aslant(samples: Sequence[Sample], folder: Path) -> list[Sample]:
    """Samples that hold anything, tilted by 30 to 70 degrees, as JPEG files in `folder`.

    What is drawn depends on the image's name alone, so the set is the same on every machine.
    """
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for sample in samples:
        if not len(sample.boxes):
            continue
        rng = np.random.default_rng(zlib.crc32(sample.path.name.encode("utf-8")))
        seen, boxes, classes = tilted(read_image(sample.path), sample.boxes, sample.classes, TILT_DEG, rng)
        path = folder / f"{sample.path.stem}.jpg"
        path.write_bytes(cv2.imencode(".jpg", seen, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes())
        made.append(replace(sample, path=path, boxes=boxes, classes=classes, outlines=()))
    return made
