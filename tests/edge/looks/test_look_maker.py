"""A look of a frame: small enough, with the boxes of the frame and their tracks, made in its own thread."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from edge.looks.maker import LookIds, LookMaker, box_shares, scaled_to_width
from edge.looks.plan import LookOrder
from edge.vision.pipeline import Frame, Outcome
from skywarden.clock import NS_PER_S
from skywarden.messages import Look
from skywarden.wire import decode, encode
from tests.edge import eyes
from tests.ground.scenes import until

IDS = LookIds(platform_id="uav07", sortie_id="s1", sensor_id="eo", kind="eo")


def _seen(count: int = 4) -> tuple[Frame, Outcome]:
    """The last of some frames with one object that is followed."""
    frames = [eyes.frame(number, at_s=0.5 * number) for number in range(1, count + 1)]
    node = eyes.node(lambda image: [eyes.box(100.0, 80.0)])
    outcomes = eyes.fly(node, frames)
    noise = np.random.default_rng(1).integers(0, 255, frames[-1].image.shape, dtype=np.uint8)
    return replace(frames[-1], image=np.asarray(cv2.GaussianBlur(noise, (0, 0), 2.0))), outcomes[-1]


def _made(maker: LookMaker) -> Look:
    found: list[Look] = []

    def is_there() -> bool:
        found.extend(one for one in [maker.finished()] if one is not None)
        return bool(found)

    until(is_there, 30.0)
    return found[0]


@pytest.mark.parametrize("max_bytes", [20_000, 4_000, 1_500])
def test_a_look_fits_its_bytes_and_shows_the_boxes_with_their_tracks(max_bytes: int) -> None:
    frame, outcome = _seen()
    maker = LookMaker(IDS)
    try:
        maker.want({"eo": LookOrder(period_s=1.0, max_bytes=max_bytes, width_px=320)})
        assert maker.consider(frame, outcome, 5 * NS_PER_S)
        look = _made(maker)
    finally:
        maker.close()
    assert decode("look", encode(look)) == look
    assert len(look.data) <= max_bytes
    shown = cv2.imdecode(np.frombuffer(look.data, np.uint8), cv2.IMREAD_COLOR)
    assert shown is not None
    assert shown.shape[:2] == (look.height_px, look.width_px)
    assert look.width_px <= 320
    assert look.time_ns == frame.time_ns
    assert look.detection_count == len(outcome.batch) == 1
    box = look.box_share[0] * np.tile([look.frame_width_px, look.frame_height_px], 2) - 0.5
    assert np.allclose(box, outcome.batch.box_px[0], atol=0.05)
    assert look.track_id(0) == outcome.track_ids[0]
    assert len(look.footprint) == 4
    assert look.ce90_m is not None
    assert look.no_position_reason is None


def test_looks_are_made_when_due_one_at_a_time_and_a_shorter_period_counts_at_once() -> None:
    frame, outcome = _seen(1)
    maker = LookMaker(IDS)
    try:
        assert not maker.consider(frame, outcome, 0)
        order = LookOrder(period_s=5.0, max_bytes=9_000, width_px=320)
        maker.want({"eo": order, "ir": order})
        assert maker.consider(frame, outcome, NS_PER_S)
        assert not maker.consider(frame, outcome, 9 * NS_PER_S), "one is under way"
        _made(maker)
        maker.want({"eo": order})
        assert not maker.consider(frame, outcome, 5 * NS_PER_S), "the same period goes on"
        maker.want({"eo": LookOrder(period_s=1.0, max_bytes=9_000, width_px=320, is_live=True)})
        assert maker.consider(frame, outcome, 5 * NS_PER_S)
        assert _made(maker).is_live
        maker.want({"ir": order})
        assert not maker.consider(frame, outcome, 99 * NS_PER_S), "nobody wants any"
    finally:
        maker.close()


def test_a_thermal_frame_without_a_pose_says_so() -> None:
    frame = eyes.frame(1)
    node = eyes.node(lambda image: [])
    outcome = node.finish(node.detect(frame), eyes.no_pose(frame.time_ns))
    maker = LookMaker(replace(IDS, sensor_id="ir", kind="thermal", is_exercise=True))
    try:
        maker.want({"ir": LookOrder(period_s=1.0, max_bytes=9_000, width_px=160)})
        assert maker.consider(frame, outcome, 0)
        look = _made(maker)
    finally:
        maker.close()
    assert (look.kind, look.is_exercise, look.no_position_reason) == ("thermal", True, "telemetry_stale")
    assert (look.footprint, look.ce90_m, look.detection_count) == ((), None, 0)


def test_boxes_beyond_the_frame_end_at_its_edge() -> None:
    boxes = np.array([[-20.0, -0.5, 99.5, 60.0]], dtype=np.float32)
    assert box_shares(boxes, 100, 50).tolist() == [[0, 0, 65_535, 65_535]]


def test_a_tall_picture_is_bounded_too() -> None:
    assert scaled_to_width(np.zeros((4_000, 100, 3), np.uint8), 160).shape == (640, 16, 3)
    assert scaled_to_width(np.zeros((30, 40, 3), np.uint8), 160).shape == (30, 40, 3)
