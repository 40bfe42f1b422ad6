"""Reads images with outlined fields (VGG Image Annotator), names their sites and holds some of them back."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models.training.errors import TrainingError
from models.training.readers import MAX_BOXES_PER_IMAGE, MAX_LABEL_BYTES, find_images
from models.training.sample import Sample
from models.training.splits import split_by_site

Ring = npt.NDArray[np.float32]

MAX_CORNERS = 20_000
SEED = "parcels-1"
HELD_BACK = 0.25
SITE_DEG = 0.5
"""Images of one square of this many degrees are one site: neighbours share crops, soil and light."""

_PLACE = re.compile(r"^(-?\d+(?:\.\d+)?)--?(\d+(?:\.\d+)?)$")


@dataclass(frozen=True, kw_only=True, eq=False)
class FieldSample:
    """One image and its fields: rings (M, 2) in pixels, 0 at the left edge of the first pixel; its site."""

    path: Path
    rings: tuple[Ring, ...]
    site: str


def read_fields(folder: Path) -> list[FieldSample]:
    """Images and outlines of a folder with `annotations_via.json` and `images/`, in the order of their names.

    Raises `TrainingError` for a file that is none of these, an outline that is none, a name that leads out.
    """
    annotation, images = folder / "annotations_via.json", folder / "images"
    samples = []
    for entry in _entries(annotation):
        path = images / str(entry.get("filename", ""))
        if not path.resolve().is_relative_to(images.resolve()):
            raise TrainingError(f"{annotation}: filename {path.name[:80]!r} leads out of {images}")
        if path.is_file():
            rings = tuple(_rings(entry, annotation))
            samples.append(FieldSample(path=path, rings=rings, site=site_of(path.stem)))
    if not samples:
        raise TrainingError(f"{annotation}: names no image that lies in {images}")
    return sorted(samples, key=lambda sample: sample.path.name)


def site_of(stem: str) -> str:
    """The square of `SITE_DEG` that a name `LATITUDE-LONGITUDE` lies in; any other name is its own site."""
    found = _PLACE.match(stem)
    if found is None:
        return stem
    south, west = (int(float(text) // SITE_DEG) for text in found.groups())
    return f"square-{south}-{west}"


def split_fields(samples: Sequence[FieldSample]) -> tuple[list[FieldSample], list[FieldSample]]:
    """Samples to learn from and samples held back, never cut through a site."""
    by_path = {sample.path: sample for sample in samples}
    learn, held = split_by_site(
        [Sample(path=sample.path, site=sample.site) for sample in samples], HELD_BACK, SEED
    )
    return [by_path[one.path] for one in learn], [by_path[one.path] for one in held]


def without_fields(folder: Path) -> list[FieldSample]:
    """Images of water, woods and the like, in which nothing is a field."""
    return [FieldSample(path=path, rings=(), site=path.stem) for path in find_images(folder)]


def write_fields(samples: Sequence[FieldSample], folder: Path) -> None:
    """A folder that `read_fields` and `skywarden models evaluate` read: images linked, outlines written."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    entries = {}
    for sample in samples:
        target = folder / "images" / sample.path.name
        if not target.exists():
            target.write_bytes(sample.path.read_bytes())
        entries[sample.path.name] = {
            "filename": sample.path.name,
            "size": sample.path.stat().st_size,
            "regions": [_region(ring) for ring in sample.rings],
        }
    (folder / "annotations_via.json").write_text(json.dumps(entries), encoding="utf-8")


def _region(ring: Ring) -> dict[str, Any]:
    x, y = (np.round(ring - 0.5, 2)[:, axis].tolist() for axis in (0, 1))
    shape = {"name": "polygon", "all_points_x": x, "all_points_y": y}
    return {"shape_attributes": shape, "region_attributes": {"is_field": {}}}


def _entries(annotation: Path) -> list[dict[str, Any]]:
    try:
        size = annotation.stat().st_size
        if size > MAX_LABEL_BYTES:
            raise TrainingError(f"{annotation}: {size} bytes; labels have at most {MAX_LABEL_BYTES}")
        tree = json.loads(annotation.read_text(encoding="utf-8"))
        tree = tree.get("_via_img_metadata", tree)
        entries = list(tree.values())
    except OSError as error:
        raise TrainingError(f"{annotation}: cannot be read ({error.strerror})") from error
    except (ValueError, AttributeError, RecursionError) as error:
        raise TrainingError(f"{annotation}: holds no annotations of VIA ({error})") from error
    if not all(isinstance(entry, dict) for entry in entries):
        raise TrainingError(f"{annotation}: holds no annotations of VIA (an entry is no object)")
    return entries


def _rings(entry: dict[str, Any], annotation: Path) -> list[Ring]:
    regions = entry.get("regions", [])
    regions = list(regions.values()) if isinstance(regions, dict) else regions
    if not isinstance(regions, list) or len(regions) > MAX_BOXES_PER_IMAGE:
        raise TrainingError(f"{annotation}: regions of {entry.get('filename')!r} are no list or too many")
    rings = []
    for region in regions:
        try:
            shape = region["shape_attributes"]
            if shape["name"] != "polygon":
                continue
            # The tool gives whole pixels, which it counts from the middle of the first one.
            points = np.array([shape["all_points_x"], shape["all_points_y"]], dtype=np.float32).T + 0.5
        except (KeyError, TypeError, ValueError) as error:
            raise TrainingError(f"{annotation}: a region is no polygon ({error!r})") from error
        if points.ndim != 2 or not 3 <= len(points) <= MAX_CORNERS or not np.isfinite(points).all():
            raise TrainingError(f"{annotation}: a polygon of {points.shape} numbers, or not all finite")
        rings.append(points)
    return rings
