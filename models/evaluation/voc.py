"""Reads Pascal VOC sets: one XML file for each image."""

import math
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree  # entities and document types are refused before it sees a byte

from models.evaluation.dataset import (
    Dataset,
    LabelledImage,
    TruthObject,
    inside,
    read_limited,
    sayable_size,
    split_words,
)
from models.evaluation.pictures import IMAGE_SUFFIXES
from skywarden.errors import InputError

MAX_XML_BYTES = 8 * 1024 * 1024


_SPLITS = ("test", "val", "train")


def find_voc(folder: Path, split: str | None) -> tuple[Path, Path, tuple[str, ...] | None] | None:
    """The folder of the XML files, that of the set, and which images are of `split`, or of test, val or train
    where the set has them (`None`: all); `None` where there is no such set.

    A split is a list of names in `ImageSets/Main`, or a folder of its own.
    """
    for place in (folder / "Annotations", folder / "annotations", folder):
        if place.is_dir() and next(place.glob("*.xml"), None) is not None:
            listed = next(
                (names for one in _wanted(split) if (names := _listed(folder, one)) is not None), None
            )
            return (place, folder, listed) if listed is not None or split is None else None
    for name in _wanted(split):
        for word in split_words(name):
            if found := _of_folder(folder / word):
                return found
    return None


def _wanted(split: str | None) -> tuple[str, ...]:
    return (split,) if split else _SPLITS


def _of_folder(folder: Path) -> tuple[Path, Path, None] | None:
    for place in (folder / "Annotations", folder / "annotations", folder):
        if place.is_dir() and next(place.glob("*.xml"), None) is not None:
            return place, folder, None
    return None


def _listed(folder: Path, split: str) -> tuple[str, ...] | None:
    """Names of images in `ImageSets/Main/SPLIT.txt`, or in another folder of `ImageSets`."""
    for place in (folder / "ImageSets" / "Main", folder / "ImageSets"):
        path = inside(place, f"{split}.txt")
        if path is not None and path.is_file():
            lines = read_limited(path, MAX_XML_BYTES).decode("utf-8", "replace").splitlines()
            return tuple(words[0] for line in lines if (words := line.split())) or None
    return None


def read_voc(annotations: Path, root: Path, listed: tuple[str, ...] | None = None) -> Dataset:
    """Every image that an XML file speaks of, and images without one as images without objects; of those
    `listed` alone, where a split is.

    A box is taken as its edges as they stand. Objects marked as difficult are ignored. An image whose XML
    file cannot be read is left out and counted. Raises `InputError` when no image is found.
    """
    images, notes, labels = [], [], dict[str, None]()
    broken = missing = 0
    places = _images(root)
    if listed is not None:
        notes += [f"{len(listed)} images that the split lists, of {len(places)} in the folder"]
        places = {name: places[name] for name in listed if name in places}
    for path in sorted(annotations.glob("*.xml")):
        if listed is not None and path.stem not in places:
            continue
        try:
            name, objects, size = parse_voc(read_limited(path, MAX_XML_BYTES), str(path))
        except InputError:
            broken += 1
            places.pop(path.stem, None)
            continue
        place = places.pop(path.stem, None) or places.pop(PurePosixPath(name).stem, None)
        if place is None:
            missing += 1
            continue
        images.append(LabelledImage(path=place, objects=objects, size_px=size))
        labels.update(dict.fromkeys(one.label for one in objects))
    if not images:
        raise InputError(f"{root}: none of the images that {annotations} speaks of is there")
    images += [LabelledImage(path=place) for place in places.values()]
    notes += [f"{broken} annotations could not be read"] if broken else []
    notes += [f"the images of {missing} annotations are not there"] if missing else []
    return Dataset(folder=root, kind="voc", labels=tuple(labels), images=tuple(images), notes=tuple(notes))


def parse_voc(data: bytes, origin: str) -> tuple[str, tuple[TruthObject, ...], tuple[int, int] | None]:
    """File name, objects and width and height of one annotation; raises `InputError`."""
    # In UTF-16 a document type would not be seen.
    if b"<!" in data.replace(b"<!--", b"") or b"\x00" in data:
        raise InputError(f"{origin}: has a document type or entities; plain XML is read only")
    try:
        tree = ElementTree.fromstring(data)
    except (ElementTree.ParseError, ValueError, RecursionError, LookupError) as error:
        raise InputError(f"{origin}: is no XML ({error})") from error
    objects = []
    for one in tree.iter("object"):
        edges = [_number(one.findtext(f"bndbox/{name}")) for name in ("xmin", "ymin", "xmax", "ymax")]
        if any(edge is None for edge in edges):
            raise InputError(f"{origin}: an object without a box")
        x0, y0, x1, y1 = (float(edge or 0.0) for edge in edges)
        if x1 > x0 and y1 > y0:
            label = (one.findtext("name") or "object").strip()[:200]
            difficult = (one.findtext("difficult") or "0").strip() == "1"
            objects.append(TruthObject(label=label, box=(x0, y0, x1, y1), is_ignored=difficult))
    name = (tree.findtext("filename") or "").strip()[:300].replace("\\", "/")
    size = sayable_size(_number(tree.findtext("size/width")), _number(tree.findtext("size/height")))
    return name, tuple(objects), size


def _images(root: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for name in ("JPEGImages", "images", "."):
        place = inside(root, name)
        if place is not None and place.is_dir():
            for path in sorted(place.iterdir()):
                if path.suffix.lower() in IMAGE_SUFFIXES:
                    found.setdefault(path.stem, path)
    return found


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None
