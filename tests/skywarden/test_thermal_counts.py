"""16-bit thermal counts become 8-bit grey by one rule, aboard, in evaluation and in training."""

from pathlib import Path

import cv2
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edge.cameras.config import GainConfig
from edge.cameras.gain import GainControl
from models.evaluation.pictures import read_image
from models.training.sample import read_image as read_to_train
from skywarden.thermal import MIN_SPAN_COUNTS, count_limits, grey_from_counts, grey_picture, widened


def _scene(seed: int, level: float, contrast: float) -> np.ndarray:
    rng = np.random.default_rng(seed)
    counts = level + contrast * rng.standard_normal((90, 130))
    counts[40:50, 60:80] += 8 * contrast
    return np.clip(counts, 0, 65_535).astype(np.uint16)


@given(st.integers(0, 2**32), st.floats(0, 65_535), st.floats(0, 9000))
def test_a_camera_just_switched_on_an_evaluation_and_the_rule_show_the_same(
    seed: int, level: float, contrast: float
) -> None:
    raw = _scene(seed, level, contrast)
    shown = GainControl(GainConfig()).apply(raw, 5)
    assert np.array_equal(shown.luma(), grey_picture(raw))
    low, high = widened(*count_limits(raw))
    assert high - low >= MIN_SPAN_COUNTS - 1e-6
    inverted = grey_from_counts(raw, low, high, is_inverted=True).astype(int)
    assert np.abs(inverted + grey_picture(raw) - 255).max() <= 1


def test_files_of_counts_are_read_alike_for_evaluation_and_training(tmp_path: Path) -> None:
    raw = _scene(1, 29_315, 40)
    cv2.imwrite(str(tmp_path / "counts.png"), raw)
    expected = np.repeat(grey_picture(raw)[:, :, None], 3, axis=2)
    assert np.array_equal(read_image(tmp_path / "counts.png"), expected)
    assert np.array_equal(read_to_train(tmp_path / "counts.png"), expected)


def test_deep_colour_is_no_thermal_picture_and_eight_bit_grey_stays_as_it_is(tmp_path: Path) -> None:
    colour = np.zeros((20, 30, 3), np.uint16)
    colour[:] = (256, 512, 60_000)
    cv2.imwrite(str(tmp_path / "colour.png"), colour)
    assert read_image(tmp_path / "colour.png")[0, 0].tolist() == [1, 2, 234]
    assert np.array_equal(read_image(tmp_path / "colour.png"), read_to_train(tmp_path / "colour.png"))
    grey = np.tile(np.arange(100, 130, dtype=np.uint8), (20, 1))
    cv2.imwrite(str(tmp_path / "grey.png"), grey)
    assert np.array_equal(read_image(tmp_path / "grey.png")[:, :, 1], grey)


def test_an_even_sea_stays_grey_and_hot_is_white() -> None:
    sea = np.full((64, 64), 29_000, np.uint16)
    assert np.ptp(grey_picture(sea)) == 0
    sea[30:34, 30:34] = 29_500
    grey = grey_picture(sea)
    assert grey[32, 32] == 255
    assert abs(int(grey[0, 0]) - 128) <= 1
