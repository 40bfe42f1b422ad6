"""Readers of COCO, YOLO and VOC data sets; each answers with samples whose classes are ours."""

import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models.training.errors import TrainingError
from models.training.sample import MAX_SIDE_PX, Sample, read_image, tidy

MAX_LABEL_BYTES = 256 * 1024 * 1024
MAX_BOXES_PER_IMAGE = 20_000
IMAGE_ENDINGS = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})

ClassOf = Mapping[str, int]
"""From a label of the data set to a class of ours (or `IGNORED`); labels that are absent are background."""

SiteOf = Callable[[Path], str]


def site_of_file(path: Path) -> str:
    """A site for each file: for data sets that say nothing of places."""
    return path.stem


def find_images(folder: Path) -> list[Path]:
    """Image files under a folder, sorted; raises `TrainingError` when there are none."""
    found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in IMAGE_ENDINGS and p.is_file())
    if not found:
        raise TrainingError(f"{folder}: holds no image")
    return found


def read_plain(folder: Path, site_of: SiteOf = site_of_file) -> list[Sample]:
    """Images without labels, taken as holding nothing that is looked for."""
    return [Sample(path=path, site=site_of(path)) for path in find_images(folder)]


def read_voc(
    images: Path, annotations: Path, classes: ClassOf, site_of: SiteOf = site_of_file
) -> list[Sample]:
    """Pascal VOC: an XML file with the stem of each image. Corners are taken as edges."""
    samples = []
    for path in find_images(images):
        label = annotations / f"{path.stem}.xml"
        if not label.is_file():
            continue
        boxes, kinds, size = _voc_boxes(label, classes)
        box, kind = tidy(boxes, kinds, size)
        samples.append(Sample(path=path, boxes=box, classes=kind, site=site_of(path)))
    return samples


def read_yolo(
    images: Path, labels: Path, names: list[str], classes: ClassOf, site_of: SiteOf = site_of_file
) -> list[Sample]:
    """YOLO text files: class, centre and size (or a polygon), all as shares of the image; one line each."""
    samples = []
    for path in find_images(images):
        label = labels / f"{path.stem}.txt"
        if not label.is_file():
            continue
        height, width = read_image(path).shape[:2]
        scale = np.array([width, height], dtype=np.float32)
        boxes, kinds = [], []
        outlines: list[npt.NDArray[np.float32] | None] = []
        for kind, numbers in _yolo_rows(label, len(names)):
            ours = classes.get(names[kind])
            if ours is None:
                continue
            if len(numbers) == 4:
                centre, size = numbers[:2] * scale, numbers[2:] * scale
                boxes.append(np.concatenate([centre - size / 2, centre + size / 2]))
                outlines.append(None)
            else:
                outline = numbers.reshape(-1, 2) * scale
                boxes.append(np.concatenate([outline.min(axis=0), outline.max(axis=0)]))
                outlines.append(outline)
            kinds.append(ours)
        box, kind_array = tidy(boxes, kinds, (width, height))
        whole = tuple(outlines) if len(box) == len(outlines) else ()
        samples.append(Sample(path=path, boxes=box, classes=kind_array, site=site_of(path), outlines=whole))
    return samples


def read_coco(
    images: Path, annotation: Path, classes: ClassOf, site_of: SiteOf = site_of_file
) -> list[Sample]:
    """COCO instances JSON. `file_name` must lie inside `images`; absent files are left out."""
    data = _read_json(annotation)
    try:
        names = {int(one["id"]): str(one["name"]) for one in data["categories"]}
        boxes_of: dict[int, list[tuple[list[float], int]]] = {}
        for one in data["annotations"]:
            ours = classes.get(names[int(one["category_id"])])
            if ours is not None:
                x, y, w, h = (float(v) for v in one["bbox"])
                boxes_of.setdefault(int(one["image_id"]), []).append(([x, y, x + w, y + h], ours))
        rows = [
            (int(i["id"]), str(i["file_name"]), int(i["width"]), int(i["height"])) for i in data["images"]
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise TrainingError(f"{annotation}: is no COCO instances file ({error!r})") from error
    samples = []
    for number, name, width, height in rows:
        path = images / name
        if not path.resolve().is_relative_to(images.resolve()):
            raise TrainingError(f"{annotation}: file_name {name[:80]!r} leads out of {images}")
        if not (0 < width <= MAX_SIDE_PX and 0 < height <= MAX_SIDE_PX):
            raise TrainingError(f"{annotation}: image {name[:80]!r} of {width} x {height} px")
        if path.is_file():
            found = boxes_of.get(number, [])
            box, kind = tidy([b for b, _ in found], [k for _, k in found], (width, height))
            samples.append(Sample(path=path, boxes=box, classes=kind, site=site_of(path)))
    return samples


def write_coco(samples: Iterable[Sample], names: list[str], path: Path) -> None:
    """Write samples as COCO instances JSON (file names as they are; ignored boxes as crowds)."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, sample in enumerate(samples, start=1):
        height, width = read_image(sample.path).shape[:2]
        images.append({"id": number, "file_name": sample.path.name, "width": width, "height": height})
        for (x0, y0, x1, y1), kind in zip(sample.boxes.tolist(), sample.classes.tolist(), strict=True):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": max(kind, 0) + 1,
                    "bbox": [round(v, 2) for v in (x0, y0, x1 - x0, y1 - y0)],
                    "area": round((x1 - x0) * (y1 - y0), 2),
                    "iscrowd": int(kind < 0),
                }
            )
    categories = [{"id": at, "name": name} for at, name in enumerate(names, start=1)]
    text = json.dumps({"images": images, "annotations": annotations, "categories": categories})
    path.write_text(text, encoding="utf-8")


def read_render(folder: Path, classes: ClassOf, min_visibility: float = 0.4) -> list[Sample]:
    """A flight folder rendered by the simulator: `frames/` and `truth.jsonl`; one flight is one site.

    Things of a class of ours that are hardly visible become `IGNORED`.
    """
    frames = {
        int(m.group(1)): p for p in find_images(folder / "frames") if (m := re.search(r"(\d+)$", p.stem))
    }
    samples = []
    for line in _read_text(folder / "truth.jsonl").splitlines():
        try:
            row = json.loads(line)
            path = frames.get(int(row["frame_number"]))
            found = [o for o in row["objects"] if o["label"] in classes]
            boxes = [[v + 0.5 for v in map(float, o["box_px"])] for o in found]
            kinds = [classes[o["label"]] if float(o["visibility"]) >= min_visibility else -1 for o in found]
        except (KeyError, TypeError, ValueError) as error:
            raise TrainingError(f"{folder}/truth.jsonl: a line is no frame's truth ({error!r})") from error
        if path is not None:
            height, width = read_image(path).shape[:2]
            box, kind = tidy(boxes, kinds, (width, height))
            samples.append(Sample(path=path, boxes=box, classes=kind, site=folder.name))
    return samples


def _voc_boxes(path: Path, classes: ClassOf) -> tuple[list[list[float]], list[int], tuple[int, int]]:
    text = _read_text(path)
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise TrainingError(f"{path}: declares a document type; annotations have none")
    try:
        root = ET.fromstring(text)
        size = (int(_child(root, "size/width")), int(_child(root, "size/height")))
        boxes, kinds = [], []
        for thing in root.iter("object"):
            ours = classes.get(_child(thing, "name"))
            if ours is not None:
                corners = ("xmin", "ymin", "xmax", "ymax")
                boxes.append([float(_child(thing, f"bndbox/{name}")) for name in corners])
                kinds.append(ours)
    except (ET.ParseError, ValueError) as error:
        raise TrainingError(f"{path}: is no VOC annotation ({error})") from error
    if not (0 < size[0] <= MAX_SIDE_PX and 0 < size[1] <= MAX_SIDE_PX) or len(boxes) > MAX_BOXES_PER_IMAGE:
        raise TrainingError(f"{path}: {len(boxes)} boxes in an image of {size[0]} x {size[1]} px")
    return boxes, kinds, size


def _child(node: ET.Element, name: str) -> str:
    text = node.findtext(name)
    if text is None:
        raise ValueError(f"no <{name}>")
    return text


def _yolo_rows(path: Path, class_count: int) -> list[tuple[int, np.ndarray]]:
    rows = []
    for number, line in enumerate(_read_text(path).splitlines(), start=1):
        words = line.split()
        if not words:
            continue
        try:
            kind, values = int(words[0]), np.array([float(word) for word in words[1:]], dtype=np.float32)
        except ValueError as error:
            raise TrainingError(f"{path}:{number}: {error}") from error
        is_shape = len(values) == 4 or (len(values) >= 6 and len(values) % 2 == 0)
        if not (0 <= kind < class_count and is_shape and np.isfinite(values).all()):
            raise TrainingError(f"{path}:{number}: class {kind} of {class_count}, {len(values)} numbers")
        rows.append((kind, values))
    if len(rows) > MAX_BOXES_PER_IMAGE:
        raise TrainingError(f"{path}: {len(rows)} boxes; at most {MAX_BOXES_PER_IMAGE}")
    return rows


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(_read_text(path))
    except (ValueError, RecursionError) as error:
        raise TrainingError(f"{path}: is no JSON ({error})") from error
    if not isinstance(value, dict):
        raise TrainingError(f"{path}: is no JSON object")
    return value


def _read_text(path: Path) -> str:
    try:
        size = path.stat().st_size
        if size > MAX_LABEL_BYTES:
            raise TrainingError(f"{path}: {size} bytes; labels have at most {MAX_LABEL_BYTES}")
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise TrainingError(f"{path}: cannot be read ({error.strerror})") from error


__all__ = [
    "ClassOf",
    "find_images",
    "read_coco",
    "read_plain",
    "read_render",
    "read_voc",
    "read_yolo",
    "write_coco",
]
