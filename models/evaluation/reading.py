"""Reads a labelled image folder in whichever format it has: COCO, Pascal VOC, YOLO, VIA, or bare images."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec

from models.evaluation.coco import find_coco, read_coco
from models.evaluation.dataset import Dataset, LabelledImage, TruthObject, read_limited
from models.evaluation.pictures import IMAGE_SUFFIXES
from models.evaluation.voc import find_voc, read_voc
from models.evaluation.yolo import find_yolo, read_yolo
from skywarden.errors import InputError

Kind = Literal["coco", "voc", "yolo", "via", "empty"]
MAX_VIA_BYTES = 256 * 1024 * 1024


def read_dataset(
    folder: Path, *, kind: Kind | None = None, split: str | None = None, names: Sequence[str] = ()
) -> Dataset:
    """The set in a folder, or in one COCO file; `kind` is found out when it is not said.

    `names` are the class names of a YOLO set in order. "empty" takes every image as one without objects.
    Raises `InputError` when there is no set of that kind.
    """
    if folder.is_file() and folder.suffix == ".json":
        base = folder.parent.parent if folder.parent.name == "annotations" else folder.parent
        return read_coco(folder, base)
    if not folder.is_dir():
        raise InputError(f"{folder}: is no folder")
    if kind == "empty":
        return _bare_images(folder)
    coco = find_coco(folder, split) if kind in (None, "coco") else None
    if coco is not None:
        return read_coco(coco, folder)
    via = _find_via(folder) if kind in (None, "via") else None
    if via is not None:
        return read_via(via, folder)
    voc = find_voc(folder, split) if kind in (None, "voc") else None
    if voc is not None:
        return read_voc(*voc)
    yolo = find_yolo(folder, split) if kind in (None, "yolo") else None
    if yolo is not None:
        return read_yolo(*yolo, folder, names)
    raise InputError(
        f"{folder}: holds no COCO (annotations/*.json), VOC (annotations/*.xml) or YOLO (labels/*.txt) set"
        + (f" of the split {split!r}" if split else "; --kind empty takes its images as without objects")
    )


def read_via(path: Path, root: Path) -> Dataset:
    """A VGG Image Annotator project: polygons and rectangles, all of one class "region"."""
    try:
        tree = msgspec.json.decode(read_limited(path, MAX_VIA_BYTES))
    except (msgspec.DecodeError, RecursionError) as error:
        raise InputError(f"{path}: is no JSON ({error})") from error
    places = {one.path.name: one.path for one in _bare_images(root).images}
    images, missing = [], 0
    for one in tree.values() if isinstance(tree, dict) else ():
        place = places.get(str(one.get("filename"))) if isinstance(one, dict) else None
        if place is None:
            missing += 1
            continue
        regions = one.get("regions")
        listed = list(regions.values()) if isinstance(regions, dict) else regions
        objects = [_region(region) for region in listed or () if isinstance(region, dict)]
        images.append(LabelledImage(path=place, objects=tuple(thing for thing in objects if thing)))
    if not images:
        raise InputError(f"{path}: none of the images that it speaks of is there")
    notes = (f"{missing} of {missing + len(images)} images are not there",) if missing else ()
    return Dataset(folder=root, kind="via", labels=("region",), images=tuple(images), notes=notes)


def _region(region: dict[str, object]) -> TruthObject | None:
    shape = region.get("shape_attributes")
    if not isinstance(shape, dict):
        return None
    xs, ys = shape.get("all_points_x"), shape.get("all_points_y")
    if not (isinstance(xs, list) and isinstance(ys, list) and len(xs) == len(ys) >= 3):
        return None
    if not all(isinstance(value, (int, float)) and abs(value) < 1e6 for value in (*xs, *ys)):
        return None
    ring = tuple((float(x), float(y)) for x, y in zip(xs, ys, strict=True))
    box = (float(min(xs)), float(min(ys)), float(max(xs)), float(max(ys)))
    solid = box[2] > box[0] and box[3] > box[1]
    return TruthObject(label="region", box=box, rings=(ring,)) if solid else None


def _find_via(folder: Path) -> Path | None:
    for path in sorted(folder.glob("*.json")):
        with path.open("rb") as file:
            if b'"shape_attributes"' in file.read(1_000_000):
                return path
    return None


def _bare_images(folder: Path) -> Dataset:
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    if not found:
        raise InputError(f"{folder}: holds no image")
    images = tuple(LabelledImage(path=path) for path in found)
    return Dataset(folder=folder, kind="empty", labels=(), images=images)
