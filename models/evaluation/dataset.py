"""What a labelled image folder holds, whatever format it came in."""

import codecs
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.intake.foreign import is_vessel
from skywarden.errors import InputError

IGNORED_LABELS = frozenset({"ignored", "ignore", "ignored regions", "dontcare"})
"""Classes that mark where nobody has looked: what is found there counts neither way."""

MAX_IMAGES = 1_000_000
MAX_TEXT_BYTES = 512 * 1024 * 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class TruthObject:
    """One labelled object: box edges x0, y0, x1, y1 and outlines, in pixels (0: left edge of the image).

    With `is_share` both are shares of the image's sides. `is_ignored`: a crowd, or marked as difficult.
    """

    label: str
    box: tuple[float, float, float, float]
    rings: tuple[tuple[tuple[float, float], ...], ...] = ()
    is_share: bool = False
    is_ignored: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelledImage:
    """An image file and what is in it; no objects is an image without any.

    `size_px`: width and height that its labels were made on, where they say so.
    """

    path: Path
    objects: tuple[TruthObject, ...] = ()
    size_px: tuple[int, int] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Dataset:
    """A labelled image folder; `notes` say what was left out and why."""

    folder: Path
    kind: str
    labels: tuple[str, ...]
    images: tuple[LabelledImage, ...]
    notes: tuple[str, ...] = field(default=())

    def thinned(self, limit: int | None) -> "Dataset":
        """At most `limit` images, evenly spaced."""
        if limit is None or limit >= len(self.images):
            return self
        chosen = np.unique(np.linspace(0, len(self.images) - 1, limit).round().astype(int)).tolist()
        note = f"{len(chosen)} of {len(self.images)} images, evenly spaced"
        return replace(self, images=tuple(self.images[at] for at in chosen), notes=(*self.notes, note))


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Truth:
    """The objects of one image as columns: edges (N, 4), label index (N,) or -1, ignored (N,), outlines."""

    box: npt.NDArray[np.float64]
    label_index: npt.NDArray[np.intp]
    is_ignored: npt.NDArray[np.bool_]
    rings: tuple[tuple[npt.NDArray[np.float64], ...], ...]

    @property
    def count(self) -> int:
        """Objects that must be found."""
        return int((~self.is_ignored).sum())


def truth_of(
    image: LabelledImage, mapping: dict[str, str | None], labels: Sequence[str], size_px: tuple[int, int]
) -> Truth:
    """The objects of an image of `size_px` in the model's labels.

    What maps to nothing is left out, crowds and the difficult too. Where nobody has looked stays, as no label
    (-1).
    """
    box, index, ignored, rings = [], [], [], []
    sides = np.array([size_px[0], size_px[1]], dtype=np.float64)
    for one in image.objects:
        label = mapping.get(one.label)
        is_unlooked = one.label.lower() in IGNORED_LABELS
        if label is None and not is_unlooked:
            continue
        scale = sides if one.is_share else np.ones(2)
        box.append(np.array(one.box) * np.tile(scale, 2))
        index.append(labels.index(label) if label is not None else -1)
        ignored.append(one.is_ignored or is_unlooked)
        rings.append(tuple(np.array(ring, dtype=np.float64) * scale for ring in one.rings))
    return Truth(
        box=np.array(box, dtype=np.float64).reshape(-1, 4),
        label_index=np.array(index, dtype=np.intp),
        is_ignored=np.array(ignored, dtype=bool),
        rings=tuple(rings),
    )


def map_labels(
    found: Sequence[str], wanted: Sequence[str], said: dict[str, str] | None = None
) -> dict[str, str | None]:
    """Which of the model's labels each class of a data set is; `None` for none.

    What was `said` comes first. Else the same word, any word for a boat for "vessel", everything for
    "anomaly", and the one class of a set for the one label of a model. Raises `InputError` when nothing maps.
    """
    said = said or {}
    for name, label in said.items():
        if name not in found or label not in wanted:
            raise InputError(
                f"{name}={label}: the set has the classes {', '.join(found)}, the model {', '.join(wanted)}"
            )
    lower = {label.lower(): label for label in wanted}
    mapping: dict[str, str | None] = {}
    for name in found:
        own = lower.get(name.lower())
        if own is None and is_vessel(name):
            own = lower.get("vessel")
        if own is None and name.lower() not in IGNORED_LABELS:
            own = lower.get("anomaly")
        mapping[name] = said.get(name, None if said else own)
    if len(found) == 1 and len(wanted) == 1 and not said:
        mapping[found[0]] = wanted[0]
    if found and not any(mapping.values()):
        raise InputError(
            f"none of the set's classes ({', '.join(found[:20])}) is of the model's ({', '.join(wanted)}); "
            "say which is which with --map CLASS=LABEL"
        )
    return mapping


def sayable_size(width: object, height: object) -> tuple[int, int] | None:
    """Width and height in whole pixels, of what a label file says; `None` where it says nothing sensible."""
    sides = [side for side in (width, height) if isinstance(side, int | float) and 1 <= side <= 1e6]
    return (int(sides[0]), int(sides[1])) if len(sides) == 2 else None


def split_words(split: str) -> tuple[str, ...]:
    """What a split may be called: "val" is "valid" or "validation" to others."""
    same = ("val", "valid", "validation")
    return same if split in same else (split,)


def read_limited(path: Path, limit: int = MAX_TEXT_BYTES) -> bytes:
    """The file's bytes without the mark that some editors begin UTF-8 with, size checked first; raises
    `InputError`."""
    try:
        size = path.stat().st_size
        if size > limit:
            raise InputError(f"{path}: {size} bytes; at most {limit} are read")
        return path.read_bytes().removeprefix(codecs.BOM_UTF8)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error


def inside(root: Path, name: str) -> Path | None:
    """`root / name`, or `None` where that would lie outside of `root`."""
    if not name or "\x00" in name or len(name) > 4096:
        return None
    try:
        path = (root / name).resolve()
        return path if path.is_relative_to(root.resolve()) else None
    except (OSError, ValueError):
        return None
