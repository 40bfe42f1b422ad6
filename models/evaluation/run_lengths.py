"""Masks as COCO writes them: runs of outside and inside, column by column, as numbers or packed into text."""

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Ring = tuple[tuple[float, float], ...]

MAX_PIXELS = 16_384 * 16_384
MAX_RUNS = 4_000_000


def rings_of_runs(value: Mapping[str, Any]) -> list[Ring]:
    """Outlines and holes of a mask `{"size": [height, width], "counts": ...}`, 0 at the image's left edge.

    An odd number of rings round a pixel's centre is inside. Empty where it is no mask.
    """
    mask = mask_of_runs(value)
    if mask is None or not mask.any():
        return []
    contours, _ = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    return [tuple((x + 0.5, y + 0.5) for x, y in ring.reshape(-1, 2).tolist()) for ring in contours]


def mask_of_runs(value: Mapping[str, Any]) -> npt.NDArray[np.uint8] | None:
    """The mask (height, width) of 0 and 1; `None` where sizes and runs do not fit each other."""
    size, counts = value.get("size"), value.get("counts")
    if not (isinstance(size, list) and len(size) == 2 and all(type(side) is int for side in size)):
        return None
    height, width = size
    if not (min(height, width) > 0 and height * width <= MAX_PIXELS):
        return None
    runs = _unpacked(counts) if isinstance(counts, str) else counts
    if not isinstance(runs, list) or len(runs) > MAX_RUNS or not all(type(one) is int for one in runs):
        return None
    if any(one < 0 for one in runs) or sum(runs) > height * width:
        return None
    flat = np.repeat((np.arange(len(runs)) % 2).astype(np.uint8), runs)
    whole = np.zeros(height * width, dtype=np.uint8)
    whole[: len(flat)] = flat
    return np.ascontiguousarray(whole.reshape(width, height).T)


def _unpacked(text: str) -> list[int] | None:
    """Runs out of COCO's text: five bits a sign from 48 on, the sixth says that more follow; from the fourth
    on each is the difference to the run before last (cocoapi, maskApi.c, rleFrString)."""
    if len(text) > 8 * MAX_RUNS:
        return None
    runs: list[int] = []
    value = shift = 0
    for sign in text:
        bits = ord(sign) - 48
        if not 0 <= bits < 64 or shift > 60:
            return None
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        runs.append(value + runs[-2] if len(runs) > 2 else value)
        value = shift = 0
    return runs if not shift else None
