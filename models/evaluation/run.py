"""Runs a model over a labelled folder and says how good it is, in one tree of plain numbers."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models.detection import DetectionBatch
from models.detector import Detector
from models.evaluation.areas import AreaTally
from models.evaluation.calibration import calibration_figures
from models.evaluation.counts import count_figures
from models.evaluation.dataset import Dataset, LabelledImage, Truth, map_labels, truth_of
from models.evaluation.figures import detection_figures, false_alarms, pooled
from models.evaluation.matching import Found
from models.evaluation.pictures import read_image
from skywarden.errors import InputError, ModelError

LEAST_SCORE = 0.001
"""Evaluated from this score on, whatever the model's own threshold, so that curves have their ends."""

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Looked:
    """What a model found in a set, image by image, and what was there; images that failed are named."""

    dataset: Dataset
    labels: tuple[str, ...]
    paths: list[Path] = field(default_factory=list)
    found: list[Found] = field(default_factory=list)
    truth: list[Truth] = field(default_factory=list)
    batches: list[DetectionBatch] = field(default_factory=list)
    sizes_px: list[tuple[int, int]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def look_at(
    detector: Detector,
    dataset: Dataset,
    *,
    mapping: dict[str, str] | None = None,
    progress: Progress = lambda done, total, text: None,
    now: Callable[[], float] = time.process_time,
) -> Looked:
    """Every image of the set seen once. Images that cannot be read are named and left out.

    Raises `InputError` when no class maps onto a label of the model or no image can be read, and `ModelError`
    when inference fails.
    """
    labels = tuple(detector.labels)
    to_label = map_labels(dataset.labels, labels, mapping)
    looked = Looked(dataset=dataset, labels=labels)
    if left_out := [name for name, label in to_label.items() if label is None]:
        looked.notes.append(f"classes that are none of the model's: {', '.join(left_out[:20])}")
    other_size: list[str] = []
    for number, one in enumerate(dataset.images):
        progress(number, len(dataset.images), one.path.name)
        try:
            image = _image_of(one, other_size)
            start = now()
            batch = detector.detect(image)
            looked.seconds.append(now() - start)
        except ModelError:
            raise
        except InputError as error:
            looked.failed.append(str(error))
            continue
        size = (image.shape[1], image.shape[0])
        looked.paths.append(one.path)
        looked.truth.append(truth_of(one, to_label, labels, size))
        looked.found.append(found_of(batch))
        looked.batches.append(batch)
        looked.sizes_px.append(size)
    if not looked.paths:
        raise InputError(f"{dataset.folder}: none of its {len(dataset.images)} images could be read")
    if other_size:
        looked.notes.append(f"{len(other_size)} images are not of the size of their labels: {other_size[0]}")
    return looked


def _image_of(one: LabelledImage, other_size: list[str]) -> npt.NDArray[np.uint8]:
    """The image as it was labelled: upright, or as stored where its labels were made so."""
    image = read_image(one.path)
    size = (image.shape[1], image.shape[0])
    if one.size_px is None or size == one.size_px:
        return image
    if size[::-1] == one.size_px:
        stored = read_image(one.path, as_stored=True)
        if (stored.shape[1], stored.shape[0]) == one.size_px:
            return stored
    said = f"{one.size_px[0]} x {one.size_px[1]}"
    other_size.append(f"{one.path.name} is {size[0]} x {size[1]}, labelled as {said}")
    return image


def found_of(batch: DetectionBatch) -> Found:
    """A batch with 0 at the left edge of the image, as data sets count."""
    return Found(
        box=batch.box_px.astype(np.float64) + 0.5,
        score=batch.score.astype(np.float64),
        label_index=batch.label_index.astype(np.intp),
    )


def evaluate(looked: Looked, *, task: str, threshold: float, intervals: bool = True) -> dict[str, Any]:
    """The figures of a set; `threshold` is the score from which the model speaks up in the field.

    For `task` "segment" `field_iou`, `boundary_f1`, `instance_ap50` of the areas over the threshold; for the
    rest those of `detection_figures` and `count_figures`, false alarms, calibration. Speed is processor time
    of whole detections.
    """
    tree: dict[str, Any] = {
        "dataset": str(looked.dataset.folder),
        "kind": looked.dataset.kind,
        "notes": [*looked.dataset.notes, *looked.notes],
        "unreadable": len(looked.failed),
        "task": task,
    }
    if task == "segment":
        tally = AreaTally()
        for batch, truth, size in zip(looked.batches, looked.truth, looked.sizes_px, strict=True):
            tally.add(batch, truth, size)
        tree |= tally.figures()
    else:
        figures = detection_figures(looked.found, looked.truth, looked.labels, intervals=intervals)
        tree |= figures | count_figures(looked.found, looked.truth, threshold)
        at_80 = figures["score_at_80_recall"], figures["score_at_80_recall_over_24px"]
        scores = {"per_image": threshold, "at_80_recall": at_80[0], "at_80_recall_over_24px": at_80[1]}
        tree["false_alarms"] = false_alarms(looked.found, looked.truth, scores)
        tree["calibration"] = calibration_figures(pooled(looked.found, looked.truth, 0.5), looked.paths)
    tree["threshold"] = threshold
    tree["cpu_ms_per_image"] = round(1e3 * statistics.median(looked.seconds), 2)
    return tree


def alarms_on_empty(looked: Looked, figures: dict[str, Any], threshold: float) -> Any:
    """Boxes per image on a set without objects, at the scores that the figures of another set name."""
    scores = {
        "per_image": threshold,
        "at_80_recall": figures.get("score_at_80_recall"),
        "at_80_recall_over_24px": figures.get("score_at_80_recall_over_24px"),
    }
    return false_alarms(looked.found, looked.truth, scores)
