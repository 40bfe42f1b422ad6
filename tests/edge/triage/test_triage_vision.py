"""What the core wants reaches the vision process: smaller chips, other thresholds, frames kept."""

from pathlib import Path

import msgspec
import numpy as np

from edge.bus import Control, CoreBus, Endpoints, VisionBus
from edge.triage.frame_keeper import FrameKeeper
from edge.triage.frame_ring import FrameRing, find_kept
from edge.vision.pipeline import Frame, VisionNode, VisionSettings
from tests.edge.eyes import IDS, ScriptedDetector, box, frame
from tests.samples import SIGHTING


def test_control_comes_beside_the_telemetry_and_once(tmp_path: Path) -> None:
    endpoints = Endpoints.in_folder(tmp_path)
    core, eyes = CoreBus(endpoints), VisionBus(endpoints, "eo")
    control = Control(picture_bytes=2_000, min_scores={"vessel": 0.3})
    found = None
    for _ in range(2_000):  # a subscription takes a moment
        core.control(Control(picture_bytes=1))
        core.control(control)
        core.publish(5, b"frame")
        core.receive(1)
        telemetry = eyes.telemetry()
        found = eyes.control()
        if found is not None and telemetry:
            break
    assert found == control
    assert telemetry[-1] == (5, b"frame")
    assert eyes.control() is None
    eyes.close()
    core.close()


def _frame(number: int, time_ns: int) -> Frame:
    image = np.full((120, 160, 3), 80, np.uint8)
    return Frame(frame_number=number, time_ns=time_ns, received_ns=time_ns, image=image)


def test_frames_of_sightings_are_kept_once_a_second(tmp_path: Path) -> None:
    keeper = FrameKeeper(FrameRing(tmp_path / "eo", max_bytes=1_000_000, min_free_bytes=0), "s.eo")
    looks = [
        msgspec.structs.replace(SIGHTING, sighting_id=f"s.eo.t1.f{number}", frame_number=number)
        for number in range(4)
    ]
    assert not keeper.consider(_frame(0, 0), [])
    kept = [keeper.consider(_frame(number, number * 400_000_000), [looks[number]]) for number in range(4)]
    assert kept == [True, False, False, True]
    assert not keeper.consider(_frame(9, 9_000_000_000), [looks[1]])  # a held look of an earlier frame
    found = find_kept(tmp_path, "s.eo.t1.f3")
    assert found is not None
    assert found.is_exact
    assert found.sighting.box_px == SIGHTING.box_px


def test_thresholds_hold_by_label_and_go_back() -> None:
    rows = [box(100, 100, score=0.9), box(200, 200, score=0.4), box(300, 300, score=0.6, label=1)]
    eyes = VisionNode(IDS, VisionSettings(camera=None, min_score=0.5), ScriptedDetector(lambda _: rows))

    def seen() -> list[float]:
        return sorted(round(score, 1) for score in eyes.detect(frame(0)).batch.score.tolist())

    assert seen() == [0.6, 0.9]
    eyes.want(picture_bytes=2_000, min_scores={"vessel": 0.7})
    assert seen() == [0.9]
    eyes.want(picture_bytes=2_000, min_scores={"": 0.3, "vessel": 0.7})
    assert seen() == [0.4, 0.9]
    eyes.want(picture_bytes=None, min_scores={})
    assert seen() == [0.6, 0.9]
