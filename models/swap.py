"""Another model in flight: side by side with the old one first, then in its place, and back when it fails.

A candidate that loaded (signature, golden image) runs in the shadow on some frames; what it says is compared
and never leaves. When it is put in charge the old one stays loaded until the new one has proved itself, and
takes over within the same frame when the new one breaks.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from models.detection import DetectionBatch
from models.detector import Detector, Inference, Looked
from skywarden.errors import ModelError

NewsKind = Literal["offered", "rejected", "passed", "promoted", "rolled_back", "settled"]
SwapState = Literal["single", "shadow", "ready", "refused", "probation"]

_SAME_IOU = 0.5
_MAX_NEWS = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class SwapRules:
    """When a candidate may take over, and when it has to go again.

    Attributes:
        shadow_frames: frames seen by both before anything is decided.
        every: the candidate sees one frame in so many, so that the rate holds.
        least_kept: share of the old model's boxes that the candidate finds too (overlap > 0.5, same label).
        most_added_per_frame: boxes per frame that only the candidate has.
        most_time_ratio: its time for a frame beside the old model's, median.
        probation_frames: frames after which the old model is let go.
        most_boxes_per_frame: mean over the last 30 frames on probation; more is a flood.
        takes_over_alone: whether it takes over when it passes, or waits for `promote`.
        least_boxes: with fewer boxes of the old model to compare the candidate stays in the shadow.
        keeps_refused: a candidate that does not pass stays loaded, unused, in case somebody insists.
    """

    shadow_frames: int = 60
    every: int = 3
    least_kept: float = 0.7
    most_added_per_frame: float = 5.0
    most_time_ratio: float = 1.5
    probation_frames: int = 300
    most_boxes_per_frame: float = 60.0
    takes_over_alone: bool = True
    least_boxes: int = 0
    keeps_refused: bool = False

    def faults(self, report: "ShadowReport") -> list[str]:
        """What speaks against the candidate, in words with the numbers; nothing when it passes."""
        added, time_ratio = report.only_new / max(1, report.frames), report.time_ratio or 0.0
        found = {
            f"keeps {report.kept:.2f} of the boxes, {self.least_kept:.2f} are due": report.kept
            < self.least_kept,
            f"adds {added:.1f} boxes per frame, {self.most_added_per_frame:.1f} may be": added
            > self.most_added_per_frame,
            f"takes {time_ratio:.2f} of the time, {self.most_time_ratio:.2f} may be": time_ratio
            > self.most_time_ratio,
        }
        return [text for text, is_so in found.items() if is_so]


@dataclass(frozen=True, kw_only=True, slots=True)
class ShadowReport:
    """Old and new side by side: what both found, what only one did, how far scores and times differ."""

    old_model_id: str
    new_model_id: str
    frames: int
    both: int
    only_old: int
    only_new: int
    score_change: float
    time_ratio: float | None

    @property
    def kept(self) -> float:
        """Share of the old model's boxes that the new one has too; 1 where the old one had none."""
        due = self.both + self.only_old
        return self.both / due if due else 1.0

    def __str__(self) -> str:
        """As in "40 frames: 31 of 33 boxes kept, 4 added, scores +0.02, time x 0.9"."""
        ratio = "" if self.time_ratio is None else f", time x {self.time_ratio:.2f}"
        return (
            f"{self.frames} frames: {self.both} of {self.both + self.only_old} boxes kept, "
            f"{self.only_new} added, scores {self.score_change:+.2f}{ratio}"
        )


@dataclass(frozen=True, slots=True)
class SwapNews:
    """Something that happened: offered, rejected, passed, promoted, rolled_back, settled; and why."""

    kind: NewsKind
    model_id: str
    text: str


@dataclass(frozen=True, slots=True, eq=False)
class SwapInference(Inference):
    """One model's answer, whose it is, and the candidate's on the same frame with its time ratio."""

    inner: Inference
    detector: Detector
    shadow: tuple[Detector, Inference, float] | None

    @property
    def looked(self) -> Looked | None:
        """As `Inference.looked` says, by the model in charge."""
        return self.inner.looked


@dataclass(slots=True)
class _Tally:
    frames: int = 0
    both: int = 0
    only_old: int = 0
    only_new: int = 0
    score_changes: list[float] = field(default_factory=list)
    time_ratios: list[float] = field(default_factory=list)


class SwappableDetector:
    """A `Detector` whose model can be changed while it works.

    `infer` and `read` may run in two threads; `offer`, `promote`, `roll_back` may be called from any.
    """

    def __init__(self, detector: Detector, *, now: Callable[[], float] = time.perf_counter) -> None:
        self._active = detector
        self._before: Detector | None = None
        self._candidate: Detector | None = None
        self._rules = SwapRules()
        self._state: SwapState = "single"
        self._tally = _Tally()
        self._refusal = ""
        self._frames = 0
        self._probation_left = 0
        self._counts: list[int] = []
        self._news: list[SwapNews] = []
        self._lock = threading.Lock()
        self._now = now

    @property
    def model_id(self) -> str:
        """Of the model in charge."""
        return self._active.model_id

    @property
    def labels(self) -> tuple[str, ...]:
        """Of the model in charge."""
        return self._active.labels

    @property
    def state(self) -> SwapState:
        """single, shadow (both look), ready (waits for `promote`), refused (kept, but does not look) or
        probation (may be rolled back)."""
        return self._state

    @property
    def candidate_id(self) -> str | None:
        """Of the model that was offered and has not taken over."""
        candidate = self._candidate
        return candidate.model_id if candidate is not None else None

    @property
    def refusal(self) -> str:
        """Why the candidate is refused; empty when it is not."""
        return self._refusal

    def offer(self, candidate: Detector, rules: SwapRules | None = None) -> None:
        """Run `candidate` in the shadow; one offered before is dropped. It must be loaded and warm."""
        with self._lock:
            self._candidate, self._rules = candidate, rules or SwapRules()
            self._tally, self._refusal = _Tally(), ""
            self._state = "shadow" if self._before is None else self._state
            self._tell("offered", candidate, f"beside {self._active.model_id}")

    def report(self) -> ShadowReport | None:
        """How the candidate compares so far; `None` without one."""
        with self._lock:
            return self._report()

    def promote(self) -> bool:
        """Put the candidate in charge from the next frame on; false when there is none."""
        with self._lock:
            return self._promote("on request")

    def withdraw(self, reason: str = "on request") -> bool:
        """Let the candidate go; false when there is none."""
        with self._lock:
            candidate = self._candidate
            if candidate is None:
                return False
            self._drop(candidate, reason)
            return True

    def take_over(self, detector: Detector, rules: SwapRules | None = None, why: str = "on request") -> None:
        """Put `detector` in charge from the next frame on, without a shadow; on probation, as any other."""
        with self._lock:
            self._candidate, self._rules = detector, rules or self._rules
            self._promote(why)

    def roll_back(self, reason: str = "on request") -> bool:
        """Put the model of before in charge again; false when it has been let go."""
        with self._lock:
            return self._roll_back(reason)

    def gives_way(self, inference: Inference, error: ModelError) -> bool:
        """Whether an answer that cannot be read was of a model on probation, which has gone because of it."""
        with self._lock:
            is_its = isinstance(inference, SwapInference) and inference.detector is self._active
            return is_its and self._roll_back(f"its answer cannot be read: {error}")

    def take_news(self) -> list[SwapNews]:
        """What happened since the last call, in order."""
        with self._lock:
            news, self._news = self._news, []
            return news

    def detect(self, image_bgr_u8: npt.NDArray[np.uint8]) -> DetectionBatch:
        """As `Detector.detect` says."""
        return self.read(self.infer(image_bgr_u8))

    def infer(self, image_bgr_u8: npt.NDArray[np.uint8]) -> Inference:
        """As `Detector.infer` says. A model on probation that fails is replaced by the one of before, which
        then looks at this very frame."""
        with self._lock:
            active, candidate = self._active, self._candidate
            self._frames += 1
            is_turn = self._state == "shadow" and self._frames % max(1, self._rules.every) == 0
        start = self._now()
        try:
            own = active.infer(image_bgr_u8)
        except ModelError as error:
            with self._lock:
                if active is not self._active or not self._roll_back(f"it failed: {error}"):
                    raise
                active = self._active
            own = active.infer(image_bgr_u8)
        took = self._now() - start
        shadow = None
        if is_turn and candidate is not None:
            shadow = self._shadow_look(candidate, image_bgr_u8, took)
        return SwapInference(own.outputs, own.placement, own, active, shadow)

    def read(self, inference: Inference) -> DetectionBatch:
        """As `Detector.read` says: by the model whose answer it is, whoever is in charge by now."""
        if not isinstance(inference, SwapInference):
            return self._active.read(inference)
        batch = inference.detector.read(inference.inner)
        if inference.shadow is not None:
            self._compare(batch, *inference.shadow)
        with self._lock:
            if self._state == "probation" and inference.detector is self._active:
                self._on_probation(len(batch))
        return batch

    def warm_up(self) -> None:
        """As `Detector.warm_up` says."""
        self._active.warm_up()

    def _shadow_look(
        self, candidate: Detector, image: npt.NDArray[np.uint8], own_s: float
    ) -> tuple[Detector, Inference, float] | None:
        start = self._now()
        try:
            look = candidate.infer(image)
        except ModelError as error:
            with self._lock:
                self._fail(candidate, f"it failed: {error}")
            return None
        return candidate, look, (self._now() - start) / max(1e-9, own_s)

    def _compare(self, own: DetectionBatch, candidate: Detector, look: Inference, time_ratio: float) -> None:
        try:
            theirs = candidate.read(look)
        except ModelError as error:
            with self._lock:
                self._fail(candidate, f"its answer cannot be read: {error}")
            return
        pairs = matched_pairs(own, theirs)
        with self._lock:
            if candidate is not self._candidate or self._state != "shadow":
                return
            tally = self._tally
            tally.frames += 1
            tally.both += len(pairs)
            tally.only_old += len(own) - len(pairs)
            tally.only_new += len(theirs) - len(pairs)
            tally.score_changes += [float(theirs.score[new] - own.score[old]) for old, new in pairs]
            tally.time_ratios.append(time_ratio)
            if tally.frames >= self._rules.shadow_frames:
                self._decide(candidate)

    def _decide(self, candidate: Detector) -> None:
        report, rules = self._report(), self._rules
        assert report is not None
        failed = rules.faults(report)
        if not failed and report.both + report.only_old < rules.least_boxes:
            return  # nothing was in view: that both said nothing proves nothing
        if failed:
            self._reject(candidate, f"{'; '.join(failed)} ({report})")
            return
        self._state = "ready"
        self._tell("passed", candidate, str(report))
        if rules.takes_over_alone:
            self._promote(str(report))

    def _promote(self, why: str) -> bool:
        if self._candidate is None:
            return False
        self._before, self._active, self._candidate = self._active, self._candidate, None
        self._state, self._counts, self._refusal = "probation", [], ""
        self._probation_left = self._rules.probation_frames
        self._tell("promoted", self._active, why)
        return True

    def _roll_back(self, reason: str) -> bool:
        if self._before is None:
            return False
        failed, self._active, self._before = self._active, self._before, None
        self._state = "single" if self._candidate is None else "shadow"
        self._tell("rolled_back", failed, f"{reason}; back to {self._active.model_id}")
        return True

    def _on_probation(self, count: int) -> None:
        self._counts = [*self._counts[-29:], count]
        mean = sum(self._counts) / len(self._counts)
        if len(self._counts) == 30 and mean > self._rules.most_boxes_per_frame:
            self._roll_back(f"{mean:.0f} boxes per frame")
            return
        self._probation_left -= 1
        if self._probation_left <= 0:
            self._before = None
            self._state = "single" if self._candidate is None else "shadow"
            self._tell("settled", self._active, f"after {self._rules.probation_frames} frames")

    def _reject(self, candidate: Detector, why: str) -> None:
        if candidate is not self._candidate:
            return
        if self._rules.keeps_refused:
            self._state, self._refusal = "refused", why
            self._tell("rejected", candidate, why)
            return
        self._drop(candidate, why)

    def _fail(self, candidate: Detector, why: str) -> None:
        """A candidate that breaks is not kept, whoever insists."""
        if candidate is self._candidate:
            self._drop(candidate, why)

    def _drop(self, candidate: Detector, why: str) -> None:
        self._candidate, self._refusal = None, ""
        self._state = "single" if self._before is None else "probation"
        self._tell("rejected", candidate, why)

    def _report(self) -> ShadowReport | None:
        if self._candidate is None:
            return None
        tally = self._tally
        return ShadowReport(
            old_model_id=self._active.model_id,
            new_model_id=self._candidate.model_id,
            frames=tally.frames,
            both=tally.both,
            only_old=tally.only_old,
            only_new=tally.only_new,
            score_change=float(np.mean(tally.score_changes)) if tally.score_changes else 0.0,
            time_ratio=float(np.median(tally.time_ratios)) if tally.time_ratios else None,
        )

    def _tell(self, kind: NewsKind, detector: Detector, text: str) -> None:
        self._news = [*self._news[-_MAX_NEWS + 1 :], SwapNews(kind, detector.model_id, text)]


def matched_pairs(old: DetectionBatch, new: DetectionBatch) -> list[tuple[int, int]]:
    """Places of boxes of the same label that overlap by more than half, each once, best overlap first."""
    if not len(old) or not len(new):
        return []
    low = np.maximum(old.box_px[:, None, :2], new.box_px[None, :, :2])
    high = np.minimum(old.box_px[:, None, 2:], new.box_px[None, :, 2:])
    shared = np.clip(high - low, 0.0, None).prod(axis=2)
    area_old, area_new = ((one.box_px[:, 2:] - one.box_px[:, :2]).prod(axis=1) for one in (old, new))
    iou = shared / np.maximum(area_old[:, None] + area_new[None] - shared, 1e-9)
    names_old = np.array([old.labels[at] for at in old.label_index])
    names_new = np.array([new.labels[at] for at in new.label_index])
    iou[names_old[:, None] != names_new[None]] = 0.0
    pairs = []
    for place in np.argsort(-iou, axis=None, kind="stable").tolist():
        at = divmod(place, iou.shape[1])
        if iou[at] <= _SAME_IOU:
            break
        pairs.append(at)
    return _settled(pairs)


def _settled(pairs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Each row and column once, the first (best) of them."""
    rows, columns, kept = set[int](), set[int](), []
    for row, column in pairs:
        if row not in rows and column not in columns:
            rows.add(row)
            columns.add(column)
            kept.append((row, column))
    return kept
