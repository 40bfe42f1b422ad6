"""Several detectors that answer as one: each in its turn, each under its own name, none taking others down.

What one of several fails at is its own: it rests for a while and is tried again, and the others go on. A
detector that is alone fails as it always did, so that its process is started anew.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from edge.models_aboard.turns import Turn, Turns
from models.detection import MAX_BOXES, DetectionBatch
from models.detector import Detector, Inference, Looked
from models.letterbox import Placement
from models.swap import SwappableDetector, matched_pairs
from skywarden.errors import ModelError

FIRST_REST_FRAMES = 30
LONGEST_REST_FRAMES = 3000


@dataclass(kw_only=True, eq=False)
class Slot:
    """A place for one detector.

    Attributes:
        name: of the place; models come and go.
        min_score: what is below is dropped, save where an operator has asked for another threshold.
        max_detections: of the best, per frame.
        classes: labels that may leave; empty for all.
        fault: why it does not look; empty when it does.
    """

    name: str
    detector: Detector
    turn: Turn = field(default_factory=Turn)
    min_score: float = 0.0
    max_detections: int = MAX_BOXES
    classes: tuple[str, ...] = ()
    fault: str = ""
    look_count: int = 0
    rests_until: int = 0
    rest_frames: int = FIRST_REST_FRAMES

    @property
    def labels(self) -> tuple[str, ...]:
        """What it can answer with and may."""
        own = self.detector.labels
        return tuple(label for label in own if label in self.classes) if self.classes else own


@dataclass(frozen=True, slots=True)
class PartLook:
    """That one detector looked: for which labels, and where (`None`: everywhere)."""

    labels: tuple[str, ...]
    looked: Looked | None


@dataclass(frozen=True, slots=True, eq=False)
class BankInference(Inference):
    """What each detector said that had its turn."""

    parts: tuple[tuple[Slot, Inference], ...] = ()


class DetectorBank:
    """A `Detector` of several. `infer` and `read` may run in two threads."""

    def __init__(
        self,
        slots: Sequence[Slot],
        *,
        looks: int = 0,
        budget_s: float = 0.0,
        now: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Raises `ModelError` when there is no slot, or two of one name."""
        names = [slot.name for slot in slots]
        if not names or len(set(names)) != len(names):
            raise ModelError(f"detectors {names}: there must be one at least, and no two of one name")
        self.slots = tuple(slots)
        self.min_scores: Mapping[str, float] = {}
        """What operators have asked for by label, "" for those that are not named."""
        self._turns = Turns([slot.turn for slot in slots], looks=looks, budget_s=budget_s)
        self._frame = 0
        self._now = now
        self._lock = threading.Lock()

    @classmethod
    def of(
        cls, detector: Detector, *, min_score: float = 0.0, max_detections: int = MAX_BOXES
    ) -> "DetectorBank":
        """A bank of one; a bank is handed back as it is."""
        if isinstance(detector, DetectorBank):
            return detector
        return cls([Slot(name="main", detector=detector, min_score=min_score, max_detections=max_detections)])

    @property
    def model_id(self) -> str:
        """Of the first; each row of an answer names its own."""
        return self.slots[0].detector.model_id

    @property
    def labels(self) -> tuple[str, ...]:
        """All that any of them can answer with."""
        return _union([slot.labels for slot in self.slots])

    def detect(self, image_bgr_u8: npt.NDArray[np.uint8]) -> DetectionBatch:
        """As `Detector.detect` says, by those whose turn it is."""
        return self.read(self.infer(image_bgr_u8))

    def infer(self, image_bgr_u8: npt.NDArray[np.uint8]) -> BankInference:
        """As `Detector.infer` says. Raises `ModelError` only when none of the detectors works any more."""
        self._frame += 1
        resting = [at for at, slot in enumerate(self.slots) if slot.rests_until > self._frame]
        parts: list[tuple[Slot, Inference]] = []
        for place in self._turns.next_frame(resting):
            slot, start = self.slots[place], self._now()
            try:
                parts.append((slot, slot.detector.infer(image_bgr_u8)))
            except ModelError as error:
                self._failed(slot, error)
            self._turns.spent(place, self._now() - start)
        if not parts:
            return BankInference([], _nowhere(image_bgr_u8), ())
        first = parts[0][1]
        return BankInference(first.outputs, first.placement, tuple(parts))

    def read(self, inference: Inference) -> DetectionBatch:
        """As `Detector.read` says: rows of all, best first; of one thing that two found, the better row."""
        return self.read_parts(inference)[0]

    def read_parts(self, inference: Inference) -> tuple[DetectionBatch, tuple[PartLook, ...]]:
        """The same, and who looked."""
        assert isinstance(inference, BankInference), "a bank reads what it inferred"
        found: list[DetectionBatch] = []
        looks: list[PartLook] = []
        for slot, part in inference.parts:
            try:
                batch = slot.detector.read(part)
            except ModelError as error:
                swappable = slot.detector
                if not (isinstance(swappable, SwappableDetector) and swappable.gives_way(part, error)):
                    self._failed(slot, error)
                continue
            if slot.fault:
                self._works(slot)
            slot.look_count += 1
            batch = batch if batch.model_id else replace(batch, model_id=slot.detector.model_id)
            looks.append(PartLook(slot.labels, part.looked))
            found.append(self._wanted(slot, batch))
        return _merged(found, self.model_id, self.labels), tuple(looks)

    def warm_up(self) -> None:
        """As `Detector.warm_up` says, all of them."""
        for slot in self.slots:
            slot.detector.warm_up()

    def _failed(self, slot: Slot, error: ModelError) -> None:
        if len(self.slots) == 1:
            raise error
        with self._lock:
            slot.fault = str(error)
            slot.rests_until = self._frame + slot.rest_frames
            slot.rest_frames = min(2 * slot.rest_frames, LONGEST_REST_FRAMES)
            are_all_down = all(each.fault for each in self.slots)
        if are_all_down:
            raise error

    def _works(self, slot: Slot) -> None:
        with self._lock:
            slot.fault, slot.rests_until, slot.rest_frames = "", 0, FIRST_REST_FRAMES

    def _wanted(self, slot: Slot, batch: DetectionBatch) -> DetectionBatch:
        asked = self.min_scores
        others = asked.get("", slot.min_score)
        least = np.array([asked.get(label, others) for label in batch.labels], dtype=np.float64)
        if slot.classes:
            least[[label not in slot.classes for label in batch.labels]] = np.inf
        kept = np.flatnonzero(batch.score >= least[batch.label_index])[: slot.max_detections]
        return batch if len(kept) == len(batch) else batch.taken(kept)


def _merged(found: list[DetectionBatch], model_id: str, labels: tuple[str, ...]) -> DetectionBatch:
    if len(found) == 1:
        return found[0]
    if not found:
        none = np.zeros(0, dtype=np.float32)
        return DetectionBatch(
            box_px=none.reshape(0, 4),
            score=none,
            label_index=none.astype(np.uint8),
            labels=labels,
            model_id=model_id,
        )
    table = _union([batch.labels for batch in found])
    found = _without_doubles(found)
    owner = np.concatenate([np.full(len(batch), at, dtype=np.uint8) for at, batch in enumerate(found)])
    label_index = [
        np.array([table.index(one) for one in batch.labels], np.uint8)[batch.label_index] for batch in found
    ]
    box = np.concatenate([batch.box_px for batch in found])
    score = np.concatenate([batch.score for batch in found])
    has_shapes = any(batch.shapes for batch in found)
    shapes = [shape for batch in found for shape in (batch.shapes or (None,) * len(batch))]
    whole = DetectionBatch(
        box_px=box,
        score=score,
        label_index=np.concatenate(label_index),
        labels=table,
        shapes=tuple(shapes) if has_shapes else (),
        model_id=found[0].model_id,
        model_ids=tuple(batch.model_id for batch in found),
        model_index=owner,
    )
    order = np.lexsort((owner, box[:, 3], box[:, 2], box[:, 1], box[:, 0], -score))[:MAX_BOXES]
    return whole.taken(order)


def _without_doubles(found: list[DetectionBatch]) -> list[DetectionBatch]:
    """Of one thing that two detectors found under one label, only the row of the higher score."""
    kept = [np.ones(len(batch), dtype=bool) for batch in found]
    for one in range(len(found)):
        for two in range(one + 1, len(found)):
            if set(found[one].labels).isdisjoint(found[two].labels):
                continue
            for left, right in matched_pairs(found[one], found[two]):
                is_right_better = found[two].score[right] > found[one].score[left]
                (kept[one] if is_right_better else kept[two])[left if is_right_better else right] = False
    return [batch.taken(np.flatnonzero(mask)) for batch, mask in zip(found, kept, strict=True)]


def _union(tables: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(label for table in tables for label in table))


def _nowhere(image: npt.NDArray[np.uint8]) -> Placement:
    size = (image.shape[1], image.shape[0])
    return Placement(image_size_px=size, placed_size_px=size)


class AbsentDetector:
    """What stands in a slot whose model cannot be loaded: it fails at every image, with the reason."""

    model_id = "none:0000000000000000"
    labels: tuple[str, ...] = ()

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def detect(self, image_bgr_u8: npt.NDArray[np.uint8]) -> DetectionBatch:
        """As `Detector.detect` says."""
        raise ModelError(self._reason)

    def infer(self, image_bgr_u8: npt.NDArray[np.uint8]) -> Inference:
        """As `Detector.infer` says."""
        raise ModelError(self._reason)

    def read(self, inference: Inference) -> DetectionBatch:
        """As `Detector.read` says."""
        raise ModelError(self._reason)

    def warm_up(self) -> None:
        """Nothing to warm up."""
