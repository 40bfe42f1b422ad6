"""Masks become outlines: sub-pixel, with holes, valid, bounded; nonsense is refused in words."""

import time

import numpy as np
import numpy.typing as npt
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.plots.outline import (
    MAX_VERTICES,
    Outline,
    outline_of_polygon,
    outlines_of_mask,
    ring_area,
)
from skywarden.errors import InputError


def _polygon(outline: Outline) -> shapely.Polygon:
    return shapely.Polygon(outline.exterior, outline.holes)


def _disc(radius: float, at: tuple[float, float], size: int = 128) -> np.ndarray:
    """A probability that falls linearly through one half on a circle."""
    y, x = np.mgrid[0:size, 0:size]
    probability: np.ndarray = np.clip(0.5 + (radius - np.hypot(x - at[0], y - at[1])) / 4, 0.0, 1.0)
    return probability


def test_a_rectangle_of_ones_is_outlined_along_the_borders_of_its_pixels() -> None:
    mask = np.zeros((20, 30), bool)
    mask[4:10, 5:17] = True
    (outline,) = outlines_of_mask(mask, tolerance_px=0.0)
    assert outline.box_px == (4.5, 3.5, 16.5, 9.5)
    assert outline.area_px2 == pytest.approx(72.0, abs=0.51)  # four corners are cut by an eighth each


def test_a_mask_up_to_the_edge_of_the_image_ends_at_that_edge() -> None:
    (outline,) = outlines_of_mask(np.ones((8, 6), bool), frame_size_px=(6, 8), tolerance_px=0.0)
    assert outline.box_px == (-0.5, -0.5, 5.5, 7.5)


def test_a_probability_gives_the_circle_to_a_hundredth_of_a_pixel() -> None:
    (outline,) = outlines_of_mask(_disc(40.3, (63.4, 60.9)), tolerance_px=0.0)
    radius = np.hypot(outline.exterior[:, 0] - 63.4, outline.exterior[:, 1] - 60.9)
    assert np.abs(radius - 40.3).max() < 0.01
    assert outline.area_px2 == pytest.approx(np.pi * 40.3**2, rel=5e-4)


def test_simplifying_keeps_the_area_and_stays_within_its_tolerance() -> None:
    full = outlines_of_mask(_disc(50.0, (63.0, 63.0)), tolerance_px=0.0)[0]
    for tolerance in (0.25, 0.5, 1.0, 2.0):
        simple = outlines_of_mask(_disc(50.0, (63.0, 63.0)), tolerance_px=tolerance)[0]
        assert len(simple.exterior) < len(full.exterior) / 4
        assert simple.area_px2 == pytest.approx(full.area_px2, rel=1e-3)
        apart = shapely.hausdorff_distance(_polygon(simple).exterior, _polygon(full).exterior)
        assert apart <= simple.tolerance_px


def test_holes_are_kept_and_turn_the_other_way() -> None:
    disc = np.minimum(_disc(50.0, (63.0, 63.0)), 1.0 - _disc(15.0, (70.0, 60.0)))
    (outline,) = outlines_of_mask(disc)
    assert len(outline.holes) == 1
    assert ring_area(outline.exterior) > 0.0 > ring_area(outline.holes[0])
    assert outline.area_px2 == pytest.approx(np.pi * (50.0**2 - 15.0**2), rel=1e-3)


def test_an_island_in_a_hole_is_a_part_of_its_own() -> None:
    ring = np.minimum(_disc(60.0, (63.0, 63.0)), 1.0 - _disc(40.0, (63.0, 63.0)))
    parts = outlines_of_mask(np.maximum(ring, _disc(15.0, (63.0, 63.0))))
    assert [len(part.holes) for part in parts] == [1, 0]
    assert parts[1].area_px2 == pytest.approx(np.pi * 15**2, rel=0.01)


def test_two_plots_with_a_track_between_them_are_two_parts_the_larger_first() -> None:
    mask = np.zeros((60, 60), bool)
    mask[5:50, 5:20] = True
    mask[5:50, 23:50] = True
    parts = outlines_of_mask(mask)
    assert [part.area_px2 for part in parts] == pytest.approx([45 * 27, 45 * 15], abs=1.0)


def test_a_coarse_mask_of_a_box_lies_where_its_cells_lie_in_the_image() -> None:
    coarse = np.zeros((12, 12), np.uint8)
    coarse[2:10, 3:9] = 255
    (outline,) = outlines_of_mask(coarse, left_top_px=(101.5, 51.5), step_px=(4.0, 4.0), tolerance_px=0.0)
    left, top, right, bottom = outline.box_px
    # Half the way between 0 and 1, a hair off: 127.5 of 255 is the level.
    assert (left, top, right, bottom) == pytest.approx((111.5, 57.5, 135.5, 89.5), abs=0.05)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.5, 2.0]))
def test_whatever_the_mask_outlines_are_valid_and_as_large_as_it(seed: int, tolerance: float) -> None:
    rng = np.random.default_rng(seed)
    mask = rng.random((24, 31)) > rng.uniform(0.2, 0.8)
    mask[8:16, 8:16] = True
    for outline in outlines_of_mask(mask, tolerance_px=tolerance, frame_size_px=(31, 24)):
        polygon = _polygon(outline)
        assert polygon.is_valid, shapely.is_valid_reason(polygon)
        assert ring_area(outline.exterior) > 0.0
        assert all(ring_area(hole) < 0.0 for hole in outline.holes)
        assert len(outline.exterior) + sum(map(len, outline.holes)) <= MAX_VERTICES


def test_a_ragged_mask_keeps_few_vertices_and_says_what_that_cost() -> None:
    rng = np.random.default_rng(1)
    angle = np.linspace(0, 2 * np.pi, 2000, endpoint=False)
    radius = 300 + 12 * rng.standard_normal(2000)
    star = np.stack([400 + radius * np.cos(angle), 400 + radius * np.sin(angle)], axis=1)
    import cv2

    mask = cv2.fillPoly(np.zeros((800, 800), np.uint8), [star.astype(np.int32)], 255)
    outline = outlines_of_mask(mask)[0]
    assert len(outline.exterior) + sum(map(len, outline.holes)) <= MAX_VERTICES
    assert outline.tolerance_px > 0.5
    assert _polygon(outline).is_valid


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (np.zeros((10, 10), bool), "empty mask"),
        (np.full((10, 10), np.nan), "not finite"),
        (np.full((10, 10), 7.0), "from 0 to 1"),
        (np.ones((10, 10, 3), bool), "rows and columns"),
        (np.ones((0, 5), bool), "rows and columns"),
        (np.ones((10, 10), np.int64), "int64"),
        (np.zeros((1, 20_000), bool), "over the limit"),
        (np.eye(10, dtype=bool)[:3, :3], "no part of it"),
    ],
)
def test_what_is_no_mask_is_refused_in_words(mask: np.ndarray, words: str) -> None:
    with pytest.raises(InputError, match=words):
        outlines_of_mask(mask)


@pytest.mark.slow
def test_a_mask_larger_than_its_frame_and_a_chequer_of_millions_are_refused() -> None:
    with pytest.raises(InputError, match="larger than the image of 100 x 80 px"):
        outlines_of_mask(np.ones((90, 100), bool), frame_size_px=(100, 80))
    chequer = np.indices((2000, 2000)).sum(axis=0) % 2 == 0
    with pytest.raises(InputError, match="over the limit of 400000"):
        outlines_of_mask(chequer)


@pytest.mark.parametrize(
    ("corners", "words"),
    [
        ([(0, 0), (10, 10), (10, 0), (0, 10)], "Self-intersection"),
        ([(0, 0), (10, 10)], "it takes 3"),
        ([(0, 0), (10, float("nan")), (10, 0)], "not finite"),
        ([(0, 0), (10, 10), (20, 20)], "polygon"),
        ([(0, 0), (1e9, 0), (0, 1e9)], "not finite or beyond"),
        ([(0, 0), (400, 0), (0, 400)], "larger than the image"),
        ([0, 1, 2], "pairs"),
        (["a", "b", "c"], "pairs of numbers"),
        (np.zeros((1_000_000, 2)), "1000000 corners is over the limit"),
    ],
)
def test_what_is_no_polygon_is_refused_in_words(corners: npt.ArrayLike, words: str) -> None:
    began = time.perf_counter()
    with pytest.raises(InputError, match=words):
        outline_of_polygon(corners, frame_size_px=(320, 240))
    assert time.perf_counter() - began < 1.0


def test_a_polygon_is_turned_the_right_way_and_opened() -> None:
    outline = outline_of_polygon([(0, 0), (0, 10), (10, 10), (10, 0), (0, 0)], [[(2, 2), (4, 2), (4, 4)]])
    assert len(outline.exterior) == 4
    assert outline.area_px2 == pytest.approx(98.0)
    with pytest.raises(InputError, match="not a polygon"):
        outline_of_polygon([(0, 0), (0, 10), (10, 10), (10, 0)], [[(20, 20), (40, 20), (40, 40)]])
