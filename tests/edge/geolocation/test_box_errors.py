"""How far the middle of a box is believed to lie from where its thing stands."""

import math

import numpy as np
import pytest

from edge.geolocation.box_errors import (
    BESIDE_CUT_SHARE,
    CUT_SHARE,
    FOOT_SHARE,
    LOOSE_SHARE,
    NO_EDGE_FREE,
    box_sigma_px,
    free_edges,
    is_cut,
)
from tests.edge.eyes import CAMERA, HEIGHT, T0, WIDTH, pose

DOWN, AHEAD = pose(T0), pose(T0, elevation_deg=-30.0)


def test_a_speck_has_the_configured_error_and_a_loose_box_more() -> None:
    speck, wide = box_sigma_px([[100, 100, 101, 101], [100, 100, 180, 140]], DOWN, CAMERA, 2.0)
    assert speck == pytest.approx([2.0, 2.0], abs=0.01)
    assert wide == pytest.approx([math.hypot(2.0, LOOSE_SHARE * 40)] * 2)


def test_what_is_seen_from_the_side_has_its_foot_somewhere_below_the_middle() -> None:
    across, down = box_sigma_px([[100, 100, 140, 140]], AHEAD, CAMERA, 0.0)[0]
    assert across == pytest.approx(4.0)
    assert down == pytest.approx(math.hypot(4.0, FOOT_SHARE * 40 * math.cos(math.radians(30.0))))


def test_what_the_image_cuts_off_may_have_its_middle_outside() -> None:
    boxes = [[0, 100, 40, 140], [100, HEIGHT - 41, 140, HEIGHT - 1], [WIDTH - 40, 100, WIDTH, 140]]
    cut, beside = math.hypot(4.0, CUT_SHARE * 40), math.hypot(4.0, BESIDE_CUT_SHARE * 40)
    expected = [[cut, beside], [beside, cut], [cut, beside]]
    assert box_sigma_px(boxes, DOWN, CAMERA, 0.0) == pytest.approx(np.array(expected))
    assert is_cut(boxes, CAMERA).tolist() == [[True, False], [False, True], [True, False]]


def test_a_sliver_at_the_edge_may_belong_to_something_as_long_as_it_is_wide() -> None:
    across, down = box_sigma_px([[100, 0, 180, 2]], DOWN, CAMERA, 0.0)[0]
    assert down == pytest.approx(CUT_SHARE * 80, rel=0.01)
    assert across == pytest.approx(BESIDE_CUT_SHARE * 80, rel=0.01)


def test_edges_are_cut_from_the_first_to_the_last_pixel() -> None:
    assert is_cut([[1, 1, WIDTH - 2, HEIGHT - 2]], CAMERA).tolist() == [[False, False]]
    assert is_cut([[-0.5, 1, 9, 9], [1, 1, 9, HEIGHT - 0.5]], CAMERA).tolist() == [
        [True, False],
        [False, True],
    ]


def test_which_edges_stand_free_is_told_by_their_side() -> None:
    boxes = [[9, 9, 20, 20], [0, 9, 20, 20], [9, 9, WIDTH, 20], [9, 0, 20, HEIGHT], [0, 9, 20, HEIGHT]]
    expected = [[0, 0], [1, 0], [-1, 0], [0, NO_EDGE_FREE], [1, -1]]
    assert free_edges(boxes, CAMERA).tolist() == expected
    assert free_edges(np.zeros((0, 4)), CAMERA).shape == (0, 2)


def test_no_boxes_have_no_errors() -> None:
    assert box_sigma_px(np.zeros((0, 4)), DOWN, CAMERA, 2.0).shape == (0, 2)
