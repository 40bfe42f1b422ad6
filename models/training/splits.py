"""Splits by site, never by frame: what shows the same place stays on one side."""

import hashlib
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from models.training.sample import Image, Sample, read_image

SIDE = 24
LIKE = 0.86
"""Correlation of two thumbnails, in any of the eight positions, from which they count as one scene."""


def split_by_site(
    samples: Sequence[Sample], held_back: float, seed: str
) -> tuple[list[Sample], list[Sample]]:
    """Samples to learn from and samples held back: about that share of the sites, drawn by their names' hash.

    The draw depends on `seed` and the site's name alone: adding sites moves no other site.
    """
    learn: list[Sample] = []
    held: list[Sample] = []
    for sample in samples:
        digest = hashlib.sha256(f"{seed}/{sample.site}".encode()).digest()
        share = int.from_bytes(digest[:4], "big") / 2**32
        (held if share < held_back else learn).append(sample)
    return learn, held


def sites_by_likeness(samples: Sequence[Sample], like: float = LIKE) -> list[str]:
    """A site's name for each sample: near-doubles, turned or mirrored ones too, share the name of the first.

    Thumbnails of 24 x 24 px, their mean and slow shading removed, are compared by correlation in the eight
    positions of the square; likeness is carried on (a like b, b like c: one site).
    """
    if not samples:
        return []
    thumbs = np.stack([_thumbnail(read_image(sample.path)) for sample in samples])
    root = list(range(len(samples)))

    def find(at: int) -> int:
        while root[at] != at:
            root[at] = root[root[at]]
            at = root[at]
        return at

    plain = thumbs.reshape(len(thumbs), -1)
    best = np.full((len(samples), len(samples)), -1.0, dtype=np.float32)
    for turned in _positions(thumbs):
        best = np.maximum(best, plain @ turned.reshape(len(thumbs), -1).T)
    for a, b in np.argwhere(np.triu(best, 1) >= like).tolist():
        first, second = sorted((find(a), find(b)))
        root[second] = first
    return [samples[find(at)].path.stem for at in range(len(samples))]


def _thumbnail(image: Image) -> npt.NDArray[np.float32]:
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    small = cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    small -= cv2.GaussianBlur(small, (0, 0), SIDE / 4)
    return np.asarray(small / (np.linalg.norm(small) + 1e-6), dtype=np.float32)


def _positions(thumbs: npt.NDArray[np.float32]) -> list[npt.NDArray[np.float32]]:
    turned = [np.rot90(thumbs, quarter, axes=(1, 2)) for quarter in range(4)]
    return turned + [one[:, :, ::-1] for one in turned]
