"""Reads COCO sets: one JSON with images, categories and annotations; polygons and boxes."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from models.evaluation.dataset import (
    MAX_IMAGES,
    Dataset,
    LabelledImage,
    TruthObject,
    inside,
    read_limited,
)
from skywarden.errors import InputError

_SPLITS = ("test", "val", "valid", "train")
Point = tuple[float, float]


def find_coco(folder: Path, split: str | None) -> Path | None:
    """The annotation file in a folder: of `split`, else test, val or train, else the only one; or `None`."""
    found = []
    for place in (folder / "annotations", folder):
        for path in sorted(place.glob("*.json")) if place.is_dir() else ():
            if _looks_like_coco(path):
                found.append(path)
    for wanted in (split,) if split else _SPLITS:
        for path in found:
            if wanted and wanted in path.stem:
                return path
    if split:
        return None
    return found[0] if found else None


def _looks_like_coco(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(4_000_000)
    return b'"images"' in head or (b'"annotations"' in head and b'"categories"' in head)


def read_coco(path: Path, root: Path) -> Dataset:
    """The set that an annotation file describes; images that are not there are left out and counted.

    Raises `InputError` when the file is no COCO set. File names may not lead out of `root`.
    """
    tree = _tree(path)
    names = {_whole(one.get("id")): str(one.get("name"))[:200] for one in _records(tree, "categories")}
    by_image: dict[int, list[TruthObject]] = {}
    # Some sets say "annotation", without an s.
    for one in _records(tree, "annotations" if "annotations" in tree else "annotation"):
        made = _object(one, names)
        if made is not None:
            by_image.setdefault(_whole(one.get("image_id")), []).append(made)
    images, missing = [], 0
    for one in _records(tree, "images"):
        place = _image_place(path, root, str(one.get("file_name") or one.get("filename") or ""))
        if place is None:
            missing += 1
            continue
        images.append(LabelledImage(path=place, objects=tuple(by_image.get(_whole(one.get("id")), ()))))
    notes = (f"{missing} of {missing + len(images)} images are not there",) if missing else ()
    used = {thing.label for image in images for thing in image.objects}
    labels = tuple(name for name in names.values() if name in used) or tuple(names.values())
    return Dataset(
        folder=root, kind="coco", labels=tuple(dict.fromkeys(labels)), images=tuple(images), notes=notes
    )


def _tree(path: Path) -> dict[str, Any]:
    try:
        tree = msgspec.json.decode(read_limited(path))
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: is no JSON ({error})") from error
    if not isinstance(tree, dict) or not isinstance(tree.get("images"), list):
        raise InputError(f"{path}: is no COCO set; it has no list of images")
    if len(tree["images"]) > MAX_IMAGES:
        raise InputError(f"{path}: {len(tree['images'])} images; at most {MAX_IMAGES} are read")
    return tree


def _records(tree: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    value = tree.get(key)
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _object(one: Mapping[str, Any], names: Mapping[int, str]) -> TruthObject | None:
    rings = tuple(_rings(one.get("segmentation")))
    box = one.get("bbox")
    if isinstance(box, list) and len(box) == 4 and all(_is_number(side) for side in box):
        x, y, width, height = (float(side) for side in box)
    elif rings:
        xs = [x for ring in rings for x, _ in ring]
        ys = [y for ring in rings for _, y in ring]
        x, y, width, height = min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)
    else:
        return None
    label = names.get(_whole(one.get("category_id")), f"class {_whole(one.get('category_id'))}")
    if not (width > 0.0 and height > 0.0):
        return None
    edges = (x, y, x + width, y + height)
    return TruthObject(label=label, box=edges, rings=rings, is_ignored=bool(one.get("iscrowd")))


def _rings(value: Any) -> list[tuple[Point, ...]]:
    if not isinstance(value, list):
        return []
    found = []
    for flat in value:
        if isinstance(flat, list) and len(flat) >= 6 and len(flat) % 2 == 0 and all(map(_is_number, flat)):
            found.append(tuple((float(x), float(y)) for x, y in zip(flat[::2], flat[1::2], strict=True)))
    return found


def _image_place(path: Path, root: Path, name: str) -> Path | None:
    stem = path.stem.removeprefix("instances_")
    for base in ("images", f"images/{stem}", stem, "", path.parent.name, f"{stem}2017"):
        place = inside(root, f"{base}/{name}" if base else name)
        if place is not None and place.is_file():
            return place
    return None


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _whole(value: Any) -> int:
    return value if isinstance(value, int) else -1
