"""Several detectors on one sensor: each row names its model, tracks stay apart, none takes others down."""

from typing import TypeVar

import numpy as np
import pytest

from edge.models_aboard.bank import FIRST_REST_FRAMES, DetectorBank, Slot
from edge.models_aboard.turns import Turn
from edge.vision.pipeline import Outcome, VisionNode
from models.catalogue import load_detector
from models.detection import DetectionBatch
from models.detector import Inference
from models.swap import SwappableDetector, SwapRules
from skywarden import wire
from skywarden.errors import ModelError
from skywarden.messages import Detections, Sighting, Track
from tests.edge.eyes import IDS, box, fly, frame, settings
from tests.edge.models_aboard.made import Made

MessageT = TypeVar("MessageT")
IMAGE = np.zeros((480, 640, 3), dtype=np.uint8)


def bank(*detectors: Made, looks: int = 0, every: int = 1) -> DetectorBank:
    slots = [
        Slot(name=one.model_id.partition(":")[0], detector=one, turn=Turn(every=every)) for one in detectors
    ]
    return DetectorBank(slots, looks=looks)


def of(outcomes: list[Outcome], kind: type[MessageT]) -> list[MessageT]:
    return [each for outcome in outcomes for each in outcome.messages if isinstance(each, kind)]


def two() -> DetectorBank:
    """A boat and a field, each seen by its own detector; the field's box lies over the boat's."""
    boats = Made("boats", lambda _: [box(320, 240, size=12)])
    fields = Made("fields", lambda _: [box(322, 240, size=14, score=0.7)], labels=("parcel",))
    return bank(boats, fields)


def test_every_sighting_track_and_detection_names_its_own_model() -> None:
    outcomes = fly(VisionNode(IDS, settings(), two()), [frame(n) for n in range(8)])
    due = {"vessel": "boats:0123456789abcdef", "parcel": "fields:0123456789abcdef"}
    sightings, tracks = of(outcomes, Sighting), of(outcomes, Track)
    assert {(one.label, one.model_id) for one in sightings} == set(due.items())
    assert {(one.label, one.model_id) for one in tracks} == set(due.items())
    told = wire.decode("detections", wire.encode(of(outcomes, Detections)[-1]))
    assert isinstance(told, Detections)
    rows = [
        (told.labels[label], told.model_ids[model])
        for label, model in zip(told.label_index_u8, told.model_index_u8, strict=True)
    ]
    assert sorted(rows) == sorted(due.items())


def test_a_boat_is_never_given_the_look_of_a_field() -> None:
    """The boat is seen once in two frames, the field beneath it in all: both keep their tracks."""
    boats = Made("boats", lambda n: [box(320, 240, size=12)] if n % 2 == 0 else [])
    fields = Made("fields", lambda _: [box(321, 240, size=13)], labels=("parcel",))
    outcomes = fly(VisionNode(IDS, settings(), bank(boats, fields)), [frame(n) for n in range(12)])
    by_track = {(one.track_id, one.label) for one in of(outcomes, Track)}
    assert len({track_id for track_id, _ in by_track}) == len(by_track) == 2


def test_a_frame_that_was_not_its_turn_is_no_miss() -> None:
    boats = Made("boats", lambda _: [box(320, 240)])
    others = Made("others", labels=("parcel",))
    outcomes = fly(VisionNode(IDS, settings(), bank(boats, others, looks=1)), [frame(n) for n in range(40)])
    assert boats.looks == others.looks == 20
    assert {one.status for one in of(outcomes, Track)} == {"confirmed"}
    assert len({one.track_id for one in of(outcomes, Sighting)}) == 1


def test_a_frame_that_was_nobodys_turn_says_nothing_of_what_is_in_it() -> None:
    outcomes = fly(VisionNode(IDS, settings(), bank(Made("boats"), every=3)), [frame(n) for n in range(9)])
    assert len(of(outcomes, Detections)) == 3
    assert len(outcomes) == 9


def test_what_has_a_name_is_no_anomaly_beside_itself() -> None:
    boats = Made("boats", lambda _: [box(320, 240, size=20)])
    strange = Made("strange", lambda _: [box(321, 240, size=16), box(100, 100)], labels=("anomaly",))
    outcomes = fly(VisionNode(IDS, settings(), bank(boats, strange)), [frame(n) for n in range(8)])
    sightings = of(outcomes, Sighting)
    assert {one.label for one in sightings} == {"vessel", "anomaly"}
    assert len({one.track_id for one in sightings}) == 2
    assert all(len(one.label_index) == 3 for one in of(outcomes, Detections)), (
        "what was seen is told as it was"
    )


def test_an_anomaly_is_named_by_a_track_also_when_its_detector_rests() -> None:
    boats = Made("boats", lambda _: [box(320, 240, size=20)])
    strange = Made("strange", lambda _: [box(321, 240, size=16)], labels=("anomaly",))
    slots = [
        Slot(name="boats", detector=boats, turn=Turn(every=4)),
        Slot(name="strange", detector=strange),
    ]
    outcomes = fly(VisionNode(IDS, settings(), DetectorBank(slots)), [frame(n) for n in range(24)])
    late = [one for one in of(outcomes[6:], Sighting) if one.label == "anomaly"]
    assert late == []


def test_of_one_boat_that_two_detectors_find_only_the_surer_row_is_kept() -> None:
    one = Made("one", lambda _: [box(100, 100, size=20, score=0.6)])
    two_ = Made("two", lambda _: [box(101, 100, size=20, score=0.8), box(300, 300, size=20, score=0.5)])
    batch = bank(one, two_).detect(IMAGE)
    assert [batch.model_of(row).partition(":")[0] for row in range(len(batch))] == ["two", "two"]


def test_a_detector_that_fails_rests_and_is_named_while_the_others_go_on() -> None:
    boats = Made("boats", lambda _: [box(320, 240)])
    broken = Made("broken", labels=("parcel",), fails=lambda n: n == 2)
    made = bank(boats, broken)
    for _ in range(3):
        assert len(made.detect(IMAGE)) == 1
    assert "out of memory" in made.slots[1].fault
    for _ in range(FIRST_REST_FRAMES):
        assert len(made.detect(IMAGE)) == 1
    assert broken.looks == 4, "it rests before it is tried again"
    assert made.slots[1].fault == ""
    assert boats.looks == 33


def test_a_detector_that_is_alone_and_all_that_fail_raise_as_before() -> None:
    with pytest.raises(ModelError, match="out of memory"):
        bank(Made("alone", fails=lambda _: True)).detect(IMAGE)
    both = bank(Made("one", fails=lambda _: True), Made("two", fails=lambda _: True))
    with pytest.raises(ModelError, match="out of memory"):
        both.detect(IMAGE)


def test_an_answer_that_cannot_be_read_sends_a_model_on_probation_back() -> None:
    class Unreadable(Made):
        def read(self, inference: Inference) -> DetectionBatch:
            raise ModelError("three outputs where two are due")

    swap = SwappableDetector(Made("old", lambda _: [box(10, 10)]))
    made = DetectorBank([Slot(name="main", detector=swap)])
    swap.take_over(Unreadable("new"), SwapRules())
    assert len(made.detect(IMAGE)) == 0
    assert swap.model_id.startswith("old")
    assert len(made.detect(IMAGE)) == 1


def test_each_slot_has_its_own_limits_and_an_operator_may_set_others() -> None:
    rows = [box(100, 100, score=0.9), box(200, 200, score=0.4), box(300, 300, score=0.3, label=1)]
    made = Made("boats", lambda _: rows, labels=("vessel", "buoy"))
    slots = [Slot(name="boats", detector=made, min_score=0.35, classes=("vessel",))]
    limited = DetectorBank(slots)
    assert limited.labels == ("vessel",)
    assert len(limited.detect(IMAGE)) == 2
    limited.min_scores = {"vessel": 0.5}
    assert len(limited.detect(IMAGE)) == 1
    slots[0].max_detections = 0
    assert len(limited.detect(IMAGE)) == 0


@pytest.mark.slow
def test_real_models_together_give_the_same_bytes_again() -> None:
    loaded = [load_detector(name) for name in ("anomaly", "vessel-oblique")]

    def flight() -> list[bytes]:
        slots = [
            Slot(name=f"d{share:g}", detector=detector, turn=Turn(share=share))
            for detector, share in zip(loaded, (2.0, 1.0), strict=True)
        ]
        node = VisionNode(IDS, settings(), DetectorBank(slots, looks=1))
        outcomes = fly(node, [frame(n) for n in range(6)])
        assert [slot.look_count for slot in slots] == [4, 2]
        return [wire.encode(each) for outcome in outcomes for each in outcome.messages]

    assert flight() == flight()
