"""Reads YOLO sets: one text file for each image, a line for each object, class names beside or given."""

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from models.evaluation.dataset import (
    MAX_IMAGES,
    Dataset,
    LabelledImage,
    TruthObject,
    inside,
    read_limited,
    split_words,
)
from models.evaluation.pictures import IMAGE_SUFFIXES
from skywarden.errors import InputError

MAX_LABEL_BYTES = 16 * 1024 * 1024
MAX_OBJECTS = 100_000
MAX_CLASSES = 10_000
MAX_YAML_BYTES = 1_000_000
_MAX_TRIES = 10_000
MAX_SHARE = 2.0
"""Greatest number in a label file: shares of the image's sides, some of what an edge cuts; no pixels."""

_SPLITS = ("test", "val", "train")
_NAME_FILES = ("data.yaml", "dataset.yaml", "data.yml", "classes.txt", "obj.names", "labels/classes.txt")
_NO_LABELS = ("classes", "README", "LICENSE")


def find_yolo(folder: Path, split: str | None) -> tuple[Path, Path] | None:
    """The folders of images and of labels, of `split` or of test, val, train, or of all; or `None`.

    Taken are `images` and `labels`, either of which may hold splits or lie in them, what a data.yaml says of
    its splits, and label files beside the images.
    """
    if split is None and _are_pair(folder / "images", folder / "labels"):
        return folder / "images", folder / "labels"
    for name in (split,) if split else _SPLITS:
        for images, labels in _pairs(folder, name):
            if _are_pair(images, labels):
                return images, labels
    if split is not None:
        return None
    for images, labels in (
        (folder / "images", folder / "labels"),
        (folder, folder / "labels"),
        (folder / "images", folder / "images"),
        (folder, folder),
    ):
        if _are_pair(images, labels, is_deep=True):
            return images, labels
    return None


def _pairs(folder: Path, split: str) -> Iterator[tuple[Path, Path]]:
    """Where the images and labels of a split may be."""
    for word in split_words(split):
        yield folder / "images" / word, folder / "labels" / word
        yield folder / word / "images", folder / word / "labels"
        yield folder / word, folder / word
        said = _said_place(folder, word)
        if said is not None:
            at = str(said.relative_to(folder.resolve())).rpartition("images")
            yield said, folder.resolve() / f"{at[0]}labels{at[2]}" if at[1] else said


def _said_place(folder: Path, word: str) -> Path | None:
    """The folder of images that a data.yaml names for a split, if it lies within the set."""
    for name in ("data.yaml", "dataset.yaml", "data.yml"):
        path = inside(folder, name)
        if path is None or not path.is_file():
            continue
        text = read_limited(path, MAX_YAML_BYTES).decode("utf-8", "replace")
        found = re.search(rf"^{word}\s*:[ \t]*([^\[\n#]+)", text, re.MULTILINE)
        said = _bare(found.group(1)).removeprefix("../").removeprefix("./") if found else ""
        place = inside(folder, said) if said else None
        if place is not None and place.is_dir():
            return place
    return None


def _are_pair(images: Path, labels: Path, *, is_deep: bool = False) -> bool:
    """Whether one folder holds a label file that belongs to an image in the other; with `is_deep` also in
    folders of theirs."""
    if not (images.is_dir() and labels.is_dir()):
        return False
    found = labels.rglob("*.txt") if is_deep else labels.glob("*.txt")
    for text in itertools.islice((path for path in found if path.stem not in _NO_LABELS), _MAX_TRIES):
        beside = images / text.relative_to(labels)
        if any(
            beside.with_suffix(end).is_file() for suffix in IMAGE_SUFFIXES for end in (suffix, suffix.upper())
        ):
            return True
    return False


def read_yolo(images: Path, labels: Path, root: Path, names: Sequence[str] = ()) -> Dataset:
    """Every image in `images`; one without a text file, or with an empty one, is one without objects.

    Class names come from `names`, else from data.yaml or classes.txt; without either they are "class 0" and
    so on. Lines that make no sense are left out and counted. Raises `InputError` when there is no image.
    """
    known = tuple(names) or _names(root) or _names(labels) or _names(images)
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
        said, values = float(words[0]), [float(word) for word in words[1:]]
    except ValueError:
        return None
    if not (0.0 <= said < MAX_OBJECTS and said.is_integer()):
        return None
    if not all(abs(value) <= MAX_SHARE for value in values):  # neither pixels nor what is no number
        return None
    number = int(said)
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
    others = sorted(path.name for path in itertools.islice(folder.glob("*.yaml"), _MAX_TRIES))
    for name in (*_NAME_FILES, *others):
        path = inside(folder, name)
        if path is None or not path.is_file():
            continue
        text = read_limited(path, MAX_YAML_BYTES).decode("utf-8", "replace")
        found = names_in_yaml(text) if path.suffix in (".yaml", ".yml") else _lines(text)
        if found:
            return found
    return ()


def names_in_yaml(text: str) -> tuple[str, ...]:
    """The class names in a data.yaml, in its four usual ways of writing; no other YAML is understood.

    Numbers that are left out become "class 3" and so on.
    """
    at = re.search(r"^names\s*:[ \t]*(.*)$", text, re.MULTILINE)
    if at is None:
        return ()
    inline = at.group(1).partition(" #")[0].strip()
    if inline.startswith(("[", "{")):
        whole = text[at.start(1) :]
        items = _ITEM.findall(whole[1 : _closing(whole, "]" if inline[0] == "[" else "}")])
        return _by_number((number or None, _bare(name)) for number, name in items if name.strip())
    found: list[tuple[str | None, str]] = []
    for line in text[at.end() :].splitlines():
        item = re.match(r"^\s*(?:-\s+|(\d{1,6})\s*:\s*)(.+?)\s*$", line)
        if item is not None:
            name = item.group(2)
            is_quoted = name.startswith(("'", '"'))
            found.append((item.group(1), _bare(name if is_quoted else re.split(r"\s#", name)[0])))
        elif line.strip() and not line.lstrip().startswith("#"):
            break
    return _by_number(found)


_ITEM = re.compile(r"""\s*(?:(\d{1,6})\s*:)?\s*("[^"]*"|'[^']*'|[^,\n]*)(?:,|\n|$)""")


def _closing(text: str, mark: str) -> int:
    """Where `mark` stands outside of quotes; the text's end where it does not."""
    quote = ""
    for at, sign in enumerate(text):
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "'\"":
            quote = sign
        elif sign == mark:
            return at
    return len(text)


def _by_number(items: Iterable[tuple[str | None, str]]) -> tuple[str, ...]:
    """Names in the order of their numbers, those without one as they come."""
    named: dict[int, str] = {}
    for at, (number, name) in enumerate(items):
        place = at if number is None else int(number)
        if place < MAX_CLASSES:
            named[place] = name
    return tuple(named.get(at, f"class {at}") for at in range(max(named, default=-1) + 1))


def _bare(text: str) -> str:
    return text.strip().strip("'\"").strip()[:200]


def _lines(text: str) -> tuple[str, ...]:
    return tuple(_bare(line) or f"class {at}" for at, line in enumerate(text.rstrip().splitlines()))
