"""Pictures for people: whole images with what was found, missed and wrongly found, side by side."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from models.training.sample import Image, Sample, read_image
from models.training.score import Judged, overlap

GREEN, RED, YELLOW, GREY = (80, 220, 80), (60, 60, 255), (0, 230, 255), (160, 160, 160)


def contact_sheet(
    samples: Sequence[Sample],
    judged: Sequence[Judged],
    threshold: float,
    columns: int = 4,
    tile_px: int = 320,
) -> Image:
    """Hits green, misses red, false alarms yellow, ignored grey; one tile an image."""
    tiles = [_tile(s, j, threshold, tile_px) for s, j in zip(samples, judged, strict=True)]
    while len(tiles) % columns:
        tiles.append(np.zeros((tile_px, tile_px, 3), dtype=np.uint8))
    rows = [np.hstack(tiles[at : at + columns]) for at in range(0, len(tiles), columns)]
    return np.asarray(np.vstack(rows), dtype=np.uint8)


def worst_first(judged: Sequence[Judged], threshold: float) -> list[int]:
    """Places of images by how many were missed or wrongly found."""
    wrong = []
    for one in judged:
        hits, found, _ = _hits(one, threshold)
        wrong.append(len(found) + int((~one.ignored).sum()) - 2 * int(hits.any(axis=0).sum()))
    return [int(at) for at in np.argsort(-np.array(wrong), kind="stable")]


def write_picture(path: Path, picture: Image) -> None:
    """As PNG or JPEG, by the ending."""
    path.write_bytes(cv2.imencode(path.suffix, picture, [cv2.IMWRITE_JPEG_QUALITY, 82])[1].tobytes())


def _hits(one: Judged, threshold: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    found = one.found[one.score >= threshold]
    truth = one.truth[~one.ignored]
    return overlap(found, truth) >= 0.5, found, truth


def _tile(sample: Sample, one: Judged, threshold: float, tile_px: int) -> Image:
    image = read_image(sample.path)
    scale = tile_px / max(image.shape[:2])
    resized = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    shown: Image = np.asarray(resized, dtype=np.uint8)
    hits, found, truth = _hits(one, threshold)
    for box in one.truth[one.ignored]:
        _frame(shown, box * scale, GREY)
    for at, box in enumerate(truth):
        _frame(shown, box * scale, GREEN if hits[:, at].any() else RED)
    for at, box in enumerate(found):
        if not hits[at].any():
            _frame(shown, box * scale, YELLOW)
    tile = np.zeros((tile_px, tile_px, 3), dtype=np.uint8)
    tile[: shown.shape[0], : shown.shape[1]] = shown[:tile_px, :tile_px]
    return tile


def _frame(image: Image, box: np.ndarray, colour: tuple[int, int, int]) -> None:
    x0, y0, x1, y1 = (round(float(edge)) for edge in box)
    cv2.rectangle(image, (x0 - 1, y0 - 1), (x1 + 1, y1 + 1), colour, 1)
