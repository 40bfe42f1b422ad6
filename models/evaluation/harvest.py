"""Writes what people reviewed and what a model was unsure of as COCO sets to learn from."""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import msgspec
import numpy as np

from skywarden.errors import InputError

MAX_CHIP_BYTES = 8 * 1024 * 1024
_SUFFIX = {"image/jpeg": ".jpg", "image/png": ".png", "image/webp": ".webp"}

CaseState = Literal["confirmed", "rejected", "uncertain"]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class HarvestCase:
    """One image cut out around a detection, and what became of it.

    `box_px` is x0, y0, x1, y1 within the image, 0 at the centre of its upper-left pixel. `site` is what a
    split must not cut through, such as the sortie.
    """

    image: bytes
    media_type: str
    box_px: tuple[float, float, float, float]
    label: str
    score: float
    model_id: str
    state: CaseState
    site: str
    time_ns: int
    decided_by_person: bool


def write_harvest(cases: Iterable[HarvestCase], out: Path) -> dict[str, int]:
    """Images and two COCO files: `instances_reviewed.json`, `instances_uncertain.json`; counts by state.

    A confirmed case is an object; a rejected one an image without any, to be learnt from as such; an
    uncertain one an object that somebody has yet to judge, kept apart. Every image carries its `site` for
    splits, and never a name of a person. Images that cannot be read are left out and counted as `unreadable`.
    Raises `InputError` when `out` is not empty.
    """
    if out.exists() and any(out.iterdir()):
        raise InputError(f"{out}: is not empty; a harvest is written into a new folder")
    (out / "images").mkdir(parents=True, exist_ok=True)
    (out / "annotations").mkdir(exist_ok=True)
    files = {"reviewed": _CocoFile(), "uncertain": _CocoFile()}
    counts = {"confirmed": 0, "rejected": 0, "uncertain": 0, "unreadable": 0}
    known: set[str] = set()
    for case in cases:
        name = _write_image(case, out / "images")
        if name is None:
            counts["unreadable"] += 1
            continue
        if name[0] in known:
            continue
        known.add(name[0])
        files["uncertain" if case.state == "uncertain" else "reviewed"].add(case, *name)
        counts[case.state] += 1
    for kind, file in files.items():
        data = msgspec.json.format(msgspec.json.encode(file.tree()), indent=1)
        (out / "annotations" / f"instances_{kind}.json").write_bytes(data)
    return counts


class _CocoFile:
    """One annotation file as it grows."""

    def __init__(self) -> None:
        self._categories: dict[str, int] = {}
        self._images: list[dict[str, Any]] = []
        self._annotations: list[dict[str, Any]] = []

    def add(self, case: HarvestCase, name: str, width_px: int, height_px: int) -> None:
        """An image of this name and size, with its object unless it was rejected."""
        number = len(self._images) + 1
        note = {
            "state": case.state,
            "decided_by_person": case.decided_by_person,
            "model_id": case.model_id,
            "score": round(case.score, 4),
            "label": case.label,
            "site": case.site,
            "time_ns": case.time_ns,
        }
        size = {"width": width_px, "height": height_px}
        self._images.append({"id": number, "file_name": name, **size, "skywarden": note})
        category = self._categories.setdefault(case.label, len(self._categories) + 1)
        if case.state == "rejected":
            return
        x0, y0, x1, y1 = (edge + 0.5 for edge in case.box_px)
        x0, x1 = (min(max(edge, 0.0), float(width_px)) for edge in (x0, x1))
        y0, y1 = (min(max(edge, 0.0), float(height_px)) for edge in (y0, y1))
        box = [round(value, 2) for value in (x0, y0, x1 - x0, y1 - y0)]
        self._annotations.append(
            {
                "id": len(self._annotations) + 1,
                "image_id": number,
                "category_id": category,
                "bbox": box,
                "area": round(box[2] * box[3], 2),
                "iscrowd": 0,
                "segmentation": [],
            }
        )

    def tree(self) -> dict[str, Any]:
        """The whole file."""
        categories = [{"id": number, "name": name} for name, number in self._categories.items()]
        return {"images": self._images, "categories": categories, "annotations": self._annotations}


def _write_image(case: HarvestCase, folder: Path) -> tuple[str, int, int] | None:
    """Name, width and height of the written image; `None` for what is none. Named by its contents."""
    suffix = _SUFFIX.get(case.media_type)
    if suffix is None or not 0 < len(case.image) <= MAX_CHIP_BYTES:
        return None
    try:
        image = cv2.imdecode(np.frombuffer(case.image, dtype=np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        return None
    if image is None:
        return None
    label = re.sub(r"[^a-z0-9]", "", case.label.lower())[:20] or "object"
    name = f"{label}-{hashlib.sha256(case.image).hexdigest()[:20]}{suffix}"
    (folder / name).write_bytes(case.image)
    return name, int(image.shape[1]), int(image.shape[0])
