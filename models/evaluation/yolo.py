"""Reads YOLO sets: one text file for each image, a line for each object, class names beside or given."""

import math
import re
from collections.abc import Sequence
from pathlib import Path

from models.evaluation.dataset import MAX_IMAGES, Dataset, LabelledImage, TruthObject, inside, read_limited
from models.evaluation.pictures import IMAGE_SUFFIXES
from skywarden.errors import InputError

MAX_LABEL_BYTES = 16 * 1024 * 1024
MAX_OBJECTS = 100_000
_SPLITS = ("test", "val", "valid", "train")
_NAME_FILES = ("data.yaml", "dataset.yaml", "data.yml", "classes.txt", "obj.names", "labels/classes.txt")


def find_yolo(folder: Path, split: str | None) -> tuple[Path, Path] | None:
    """The folders of images and of labels, of `split` or of test, val, train, or of all; or `None`."""
    for name in (split,) if split else (None, *_SPLITS):
        pairs = [("images", "labels")] if name is None else []
        if name is not None:
            pairs = [(f"images/{name}", f"labels/{name}"), (f"{name}/images", f"{name}/labels")]
        for images, labels in pairs:
            if _has_text(folder / labels) and (folder / images).is_dir():
                return folder / images, folder / labels
    if split is None and _has_text(folder):
        return folder, folder
    return None


def read_yolo(images: Path, labels: Path, root: Path, names: Sequence[str] = ()) -> Dataset:
    """Every image in `images`; one without a text file, or with an empty one, is one without objects.

    Class names come from `names`, else from data.yaml or classes.txt; without either they are "class 0" and
    so on. Lines that make no sense are left out and counted. Raises `InputError` when there is no image.
    """
    known = tuple(names) or _names(root) or _names(labels)
    found, bad_lines = [], 0
    for path in sorted(images.rglob("*")):
        if path.suffix.lower() not in IMAGE_SUFFIXES or not path.is_file():
            continue
        text = labels / path.relative_to(images).with_suffix(".txt")
        objects: tuple[TruthObject, ...] = ()
        if text.is_file():
            objects, bad = parse_yolo(read_limited(text, MAX_LABEL_BYTES), known)
            bad_lines += bad
        found.append(LabelledImage(path=path, objects=objects))
        if len(found) > MAX_IMAGES:
            raise InputError(f"{images}: more than {MAX_IMAGES} images")
    if not found:
        raise InputError(f"{images}: holds no image")
    used = dict.fromkeys(one.label for image in found for one in image.objects)
    ordered = tuple(name for name in known if name in used) + tuple(n for n in used if n not in known)
    notes = (f"{bad_lines} lines make no sense",) if bad_lines else ()
    return Dataset(folder=root, kind="yolo", labels=ordered, images=tuple(found), notes=notes)


def parse_yolo(data: bytes, names: Sequence[str]) -> tuple[tuple[TruthObject, ...], int]:
    """The objects of one label file and how many lines made no sense: class, then a box or a polygon."""
    found, bad = [], 0
    for line in data.decode("utf-8", "replace").splitlines()[:MAX_OBJECTS]:
        words = line.split()
        if not words:
            continue
        made = _object(words, names)
        if made is None:
            bad += 1
        else:
            found.append(made)
    return tuple(found), bad


def _object(words: list[str], names: Sequence[str]) -> TruthObject | None:
    try:
        number, values = int(float(words[0])), [float(word) for word in words[1:]]
    except (ValueError, OverflowError):
        return None
    if number < 0 or not all(math.isfinite(value) and abs(value) < 100.0 for value in values):
        return None
    label = names[number] if number < len(names) else f"class {number}"
    if len(values) == 4:
        x, y, width, height = values
        edges = (x - width / 2.0, y - height / 2.0, x + width / 2.0, y + height / 2.0)
        return TruthObject(label=label, box=edges, is_share=True) if width > 0.0 and height > 0.0 else None
    if len(values) < 6 or len(values) % 2:
        return None
    xs, ys = values[::2], values[1::2]
    edges = (min(xs), min(ys), max(xs), max(ys))
    if not (edges[2] > edges[0] and edges[3] > edges[1]):
        return None
    ring = tuple(zip(xs, ys, strict=True))
    return TruthObject(label=label, box=edges, rings=(ring,), is_share=True)


def _names(folder: Path) -> tuple[str, ...]:
    for name in _NAME_FILES:
        path = inside(folder, name)
        if path is None or not path.is_file():
            continue
        text = read_limited(path, 1_000_000).decode("utf-8", "replace")
        found = names_in_yaml(text) if path.suffix in (".yaml", ".yml") else _lines(text)
        if found:
            return found
    return ()


def names_in_yaml(text: str) -> tuple[str, ...]:
    """The class names in a data.yaml, in its four usual ways of writing; no other YAML is understood."""
    at = re.search(r"^names\s*:[ \t]*(.*)$", text, re.MULTILINE)
    if at is None:
        return ()
    inline = at.group(1).partition(" #")[0].strip()
    if inline.startswith(("[", "{")):
        whole = text[at.start(1) :]
        closing = whole.find("]" if inline[0] == "[" else "}")
        items = [one for one in whole[1:closing].replace("\n", " ").split(",") if one.strip()]
        return tuple(_bare(one.rpartition(":")[2] if inline[0] == "{" else one) for one in items)
    found = []
    for line in text[at.end() :].splitlines():
        item = re.match(r"^\s*(?:-\s+|\d+\s*:\s*)(.+?)\s*$", line)
        if item is not None:
            found.append(_bare(item.group(1)))
        elif line.strip() and not line.lstrip().startswith("#"):
            break
    return tuple(found)


def _bare(text: str) -> str:
    return text.strip().strip("'\"").strip()[:200]


def _lines(text: str) -> tuple[str, ...]:
    return tuple(_bare(line) for line in text.splitlines() if line.strip())


def _has_text(folder: Path) -> bool:
    if not folder.is_dir():
        return False
    return any(path.stem not in ("classes", "README", "LICENSE") for path in folder.glob("*.txt"))
