"""Reads Pascal VOC sets: one XML file for each image."""

import math
from pathlib import Path
from xml.etree import ElementTree  # entities and document types are refused before it sees a byte

from models.evaluation.dataset import Dataset, LabelledImage, TruthObject, inside, read_limited
from models.evaluation.pictures import IMAGE_SUFFIXES
from skywarden.errors import InputError

MAX_XML_BYTES = 8 * 1024 * 1024


def find_voc(folder: Path) -> Path | None:
    """The folder of the XML files, or `None`."""
    for name in ("Annotations", "annotations", "."):
        place = folder / name
        if place.is_dir() and next(place.glob("*.xml"), None) is not None:
            return place
    return None


def read_voc(annotations: Path, root: Path) -> Dataset:
    """Every image that an XML file speaks of, and images without one as images without objects.

    A box is taken as its edges as they stand. Objects marked as difficult are ignored. An XML file that
    cannot be read is left out and counted. Raises `InputError` when no image is found.
    """
    images, notes, labels = [], [], dict[str, None]()
    broken = missing = 0
    places = _images(root)
    for path in sorted(annotations.glob("*.xml")):
        try:
            name, objects = parse_voc(read_limited(path, MAX_XML_BYTES), str(path))
        except InputError:
            broken += 1
            continue
        place = places.pop(path.stem, None) or places.pop(Path(name).stem, None)
        if place is None:
            missing += 1
            continue
        images.append(LabelledImage(path=place, objects=objects))
        labels.update(dict.fromkeys(one.label for one in objects))
    if not images:
        raise InputError(f"{root}: none of the images that {annotations} speaks of is there")
    images += [LabelledImage(path=place) for place in places.values()]
    notes += [f"{broken} annotations could not be read"] if broken else []
    notes += [f"the images of {missing} annotations are not there"] if missing else []
    return Dataset(folder=root, kind="voc", labels=tuple(labels), images=tuple(images), notes=tuple(notes))


def parse_voc(data: bytes, origin: str) -> tuple[str, tuple[TruthObject, ...]]:
    """File name and objects of one annotation; raises `InputError`."""
    if b"<!" in data.replace(b"<!--", b""):
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
    return (tree.findtext("filename") or "").strip()[:300], tuple(objects)


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
