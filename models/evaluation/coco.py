"""Reads COCO sets: one JSON with images, categories and annotations; polygons, masks and boxes."""

import math
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from models.evaluation.dataset import (
    MAX_IMAGES,
    Dataset,
    LabelledImage,
    TruthObject,
    inside,
    read_limited,
    sayable_size,
    split_words,
)
from models.evaluation.run_lengths import Ring, rings_of_runs
from skywarden.errors import InputError

_SPLITS = ("test", "val", "train")
_FOLDERS = ("annotations", "", "test", "val", "valid", "train")
_OTHER_TASKS = ("captions", "image_info", "panoptic", "person_keypoints", "stuff")
"""What files of other tasks begin with, which lie beside `instances_val2017.json` in COCO's own folder."""


def find_coco(folder: Path, split: str | None) -> Path | None:
    """The annotation file in a folder: of `split`, else test, val or train, else the only one; or `None`.

    Looked for in `annotations`, in the folder itself, and in folders named after a split.
    """
    found = []
    for name in _FOLDERS:
        place = folder / name
        for path in sorted(place.glob("*.json")) if place.is_dir() else ():
            if _looks_like_coco(path):
                found.append(path)
    found.sort(key=lambda path: path.stem.startswith(_OTHER_TASKS))
    best = [path for path in found if not path.stem.startswith(_OTHER_TASKS)] or found
    for wanted in (split,) if split else _SPLITS:
        for path in best:
            if _is_of(path.relative_to(folder), wanted):
                return path
    if split:
        return None
    return best[0] if best else None


def _is_of(path: Path, split: str) -> bool:
    """Whether a path speaks of a split; "latest" is no "test"."""
    return any(re.search(rf"(?<![a-z]){re.escape(word)}", str(path).lower()) for word in split_words(split))


def _looks_like_coco(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(4_000_000)
    return b'"images"' in head or (b'"annotations"' in head and b'"categories"' in head)


def read_coco(path: Path, root: Path) -> Dataset:
    """The set that an annotation file describes; images that are not there are left out and counted.

    Raises `InputError` when the file is no COCO set. File names may not lead out of `root`.
    """
    tree = _tree(path)
    names = {_id(one.get("id")): str(one.get("name"))[:200] for one in _records(tree, "categories")}
    by_image: dict[str, list[TruthObject]] = {}
    shapeless = 0
    # Some sets say "annotation", without an s.
    for one in _records(tree, "annotations" if "annotations" in tree else "annotation"):
        made = _object(one, names)
        if made is not None:
            by_image.setdefault(_id(one.get("image_id")), []).append(made)
        else:
            shapeless += 1
    images, missing = [], 0
    for one in _records(tree, "images"):
        place = _image_place(path, root, str(one.get("file_name") or one.get("filename") or ""))
        objects = tuple(by_image.pop(_id(one.get("id")), ()))
        if place is None:
            missing += 1
            continue
        size = sayable_size(one.get("width"), one.get("height"))
        images.append(LabelledImage(path=place, objects=objects, size_px=size))
    homeless = sum(map(len, by_image.values()))
    notes = [f"{missing} of {missing + len(images)} images are not there"] if missing else []
    notes += [f"{shapeless} annotations have neither a box nor an outline"] if shapeless else []
    notes += [f"{homeless} annotations are of images that are not listed"] if homeless else []
    used = {thing.label for image in images for thing in image.objects}
    labels = tuple(name for name in names.values() if name in used) or tuple(names.values())
    return Dataset(
        folder=root,
        kind="coco",
        labels=tuple(dict.fromkeys(labels)),
        images=tuple(images),
        notes=tuple(notes),
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


def _object(one: Mapping[str, Any], names: Mapping[str, str]) -> TruthObject | None:
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
    category = _id(one.get("category_id"))
    label = names.get(category, f"class {category}")
    if not (width > 0.0 and height > 0.0):
        return None
    edges = (x, y, x + width, y + height)
    return TruthObject(label=label, box=edges, rings=rings, is_ignored=_is_crowd(one.get("iscrowd")))


def _is_crowd(value: Any) -> bool:
    return value not in (None, 0, "", "0", "false")


def _rings(value: Any) -> list[Ring]:
    if isinstance(value, dict):
        return rings_of_runs(value)
    if not isinstance(value, list):
        return []
    found = []
    for flat in value:
        if isinstance(flat, list) and len(flat) >= 6 and len(flat) % 2 == 0 and all(map(_is_number, flat)):
            found.append(tuple((float(x), float(y)) for x, y in zip(flat[::2], flat[1::2], strict=True)))
    return found


def _image_place(path: Path, root: Path, name: str) -> Path | None:
    """Where an image is; names from other machines may have backslashes, or folders that are not here: then
    the bare name is looked for in the usual places."""
    stem = path.stem.removeprefix("instances_")
    name = name.replace("\\", "/")
    for wanted in dict.fromkeys((name, PurePosixPath(name).name)):
        for base in ("images", f"images/{stem}", stem, "", path.parent.name, f"{stem}2017"):
            place = inside(root, f"{base}/{wanted}" if base else wanted)
            if wanted and place is not None and place.is_file():
                return place
    return None


def _is_number(value: Any) -> bool:
    return (
        isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e9
        and not math.isnan(value)
    )  # fmt: skip


def _id(value: Any) -> str:
    """An id as text: some write numbers as words, or as 7.0."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value)[:200] if isinstance(value, int | str) else "?"
