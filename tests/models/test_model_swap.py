"""A model is changed in flight: watched first, it takes over when it passes, and goes when it fails."""

import itertools
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pytest

from models.detection import DetectionBatch, make_batch
from models.detector import Inference
from models.letterbox import Placement
from models.swap import SwappableDetector, SwapRules, matched_pairs
from skywarden.errors import ModelError

IMAGE = np.zeros((64, 64, 3), dtype=np.uint8)
QUICK = SwapRules(shadow_frames=3, every=1, probation_frames=5)


@dataclass
class Made:
    """A detector that says what it is told to; `fails_at` is the look at which it breaks."""

    name: str
    boxes: list[tuple[float, float, float, float]] = field(default_factory=lambda: [(5, 5, 15, 15)])
    label: str = "vessel"
    fails_at: int | None = None
    looks: int = 0

    @property
    def model_id(self) -> str:
        return f"{self.name}:0123456789abcdef"

    @property
    def labels(self) -> tuple[str, ...]:
        return (self.label,)

    def detect(self, image_bgr_u8: npt.NDArray[np.uint8]) -> DetectionBatch:
        return self.read(self.infer(image_bgr_u8))

    def infer(self, image_bgr_u8: npt.NDArray[np.uint8]) -> Inference:
        self.looks += 1
        if self.fails_at is not None and self.looks >= self.fails_at:
            raise ModelError(f"{self.name}: out of memory")
        return Inference([], Placement(image_size_px=(64, 64), placed_size_px=(64, 64)))

    def read(self, inference: Inference) -> DetectionBatch:
        box = np.array(self.boxes, dtype=np.float32).reshape(-1, 4)
        score = np.full(len(box), 0.8)
        return make_batch(box, score, np.zeros(len(box), dtype=np.uint8), self.labels, (64, 64))

    def warm_up(self) -> None:
        self.looks += 0


def swappable(old: Made) -> SwappableDetector:
    """With a clock that says that every look takes a second."""
    return SwappableDetector(old, now=itertools.count(0.0).__next__)


def looks(detector: SwappableDetector, count: int) -> None:
    for _ in range(count):
        detector.detect(IMAGE)


def kinds(detector: SwappableDetector) -> list[str]:
    return [one.kind for one in detector.take_news()]


def state(detector: SwappableDetector) -> str:
    return detector.state


def test_a_candidate_like_the_old_one_takes_over_and_settles() -> None:
    detector = swappable(Made("old"))
    detector.offer(Made("new"), QUICK)
    looks(detector, 2)
    assert detector.model_id.startswith("old")
    report = detector.report()
    assert report is not None
    assert (report.frames, report.both, report.only_old, report.only_new) == (2, 2, 0, 0)
    looks(detector, 1)
    assert detector.model_id.startswith("new")
    assert state(detector) == "probation"
    looks(detector, 5)
    assert state(detector) == "single"
    assert kinds(detector) == ["offered", "passed", "promoted", "settled"]
    assert not detector.roll_back()


def test_what_the_candidate_says_in_the_shadow_never_leaves() -> None:
    detector = swappable(Made("old"))
    detector.offer(Made("new", boxes=[(30, 30, 40, 40)]), SwapRules(shadow_frames=100, every=1))
    assert detector.detect(IMAGE).box_px.tolist() == [[5, 5, 15, 15]]


def test_a_candidate_that_loses_boxes_is_rejected_with_the_reason() -> None:
    detector = swappable(Made("old"))
    detector.offer(Made("new", boxes=[(30, 30, 40, 40)]), QUICK)
    looks(detector, 5)
    assert detector.model_id.startswith("old")
    rejected = detector.take_news()[-1]
    assert rejected.kind == "rejected"
    assert "keeps 0.00 of the boxes" in rejected.text
    assert detector.report() is None


def test_a_candidate_under_another_label_keeps_nothing() -> None:
    old, new = Made("old"), Made("new", label="buoy")
    assert matched_pairs(old.detect(IMAGE), new.detect(IMAGE)) == []
    assert matched_pairs(old.detect(IMAGE), old.detect(IMAGE)) == [(0, 0)]


def test_a_candidate_that_floods_or_breaks_in_the_shadow_is_rejected() -> None:
    flood = [(5.0, 5.0, 15.0, 15.0), *((float(x), 40.0, x + 3.0, 44.0) for x in range(0, 60, 4))]
    for candidate in (Made("new", boxes=flood), Made("new", fails_at=2)):
        detector = swappable(Made("old"))
        detector.offer(candidate, QUICK)
        looks(detector, 4)
        assert detector.model_id.startswith("old")
        assert kinds(detector) == ["offered", "rejected"]


def test_a_candidate_that_is_slow_is_rejected() -> None:
    ticks = itertools.cycle([0.0, 1.0, 10.0, 30.0])
    detector = SwappableDetector(Made("old"), now=ticks.__next__)
    detector.offer(Made("new"), QUICK)
    looks(detector, 3)
    assert "takes 20.00 of the time" in detector.take_news()[-1].text


def test_a_new_model_that_breaks_gives_way_within_the_same_frame() -> None:
    detector = swappable(Made("old"))
    detector.offer(Made("new", fails_at=5), QUICK)
    looks(detector, 3)
    assert detector.model_id.startswith("new")
    looks(detector, 1)
    batch = detector.detect(IMAGE)
    assert len(batch) == 1
    assert detector.model_id.startswith("old")
    assert kinds(detector)[-1] == "rolled_back"


def test_an_operator_may_promote_and_roll_back() -> None:
    detector = swappable(Made("old"))
    assert not detector.promote()
    detector.offer(Made("new"), SwapRules(shadow_frames=2, every=1, takes_over_alone=False))
    looks(detector, 3)
    assert detector.state == "ready"
    assert detector.promote()
    assert detector.model_id.startswith("new")
    assert detector.roll_back()
    assert detector.model_id.startswith("old")


def test_an_answer_is_read_by_the_model_that_gave_it() -> None:
    detector = swappable(Made("old"))
    waiting = detector.infer(IMAGE)
    detector.offer(Made("new", boxes=[(30, 30, 40, 40)]), QUICK)
    detector.promote()
    assert detector.read(waiting).box_px.tolist() == [[5, 5, 15, 15]]


def test_only_some_frames_are_seen_twice() -> None:
    new = Made("new")
    detector = swappable(Made("old"))
    detector.offer(new, SwapRules(every=4))
    looks(detector, 12)
    assert new.looks == 3


def test_a_model_in_charge_without_another_behind_it_fails_as_it_did() -> None:
    detector = swappable(Made("old", fails_at=1))
    with pytest.raises(ModelError, match="out of memory"):
        detector.detect(IMAGE)
