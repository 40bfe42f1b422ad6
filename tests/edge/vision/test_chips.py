"""Chips: the object is in the picture and in its box, the square stays in the frame, a radio can carry it."""

import cv2
import numpy as np
import pytest

from edge.vision.chips import cut_chip
from skywarden import wire
from skywarden.messages import BoxPx, Chip


def _picture(width: int, height: int, box_px: BoxPx) -> np.ndarray:
    """Grey, with a white rectangle where the box is."""
    picture = np.full((height, width, 3), 90, np.uint8)
    x0, y0, x1, y1 = (round(value + 0.5) for value in box_px)
    picture[y0:y1, x0:x1] = 255
    return picture


def _cut(image: np.ndarray, box_px: BoxPx) -> tuple[Chip, np.ndarray]:
    chip = cut_chip(image, box_px, sighting_id="s.eo.t1.f1", platform_id="uav07", time_ns=1)
    shown = cv2.imdecode(np.frombuffer(chip.data, np.uint8), cv2.IMREAD_COLOR)
    assert shown is not None
    assert shown.shape == (chip.height_px, chip.width_px, 3)
    return chip, shown


@pytest.mark.parametrize(
    ("size", "box_px"),
    [
        ((640, 480), (299.5, 199.5, 319.5, 209.5)),
        ((640, 480), (-0.5, -0.5, 19.5, 9.5)),
        ((640, 480), (619.5, 469.5, 639.5, 479.5)),
        ((4000, 3000), (999.5, 999.5, 1399.5, 1199.5)),
        ((640, 480), (99.5, 199.5, 599.5, 259.5)),
        ((1920, 1080), (-0.5, 499.5, 1919.5, 599.5)),
        ((640, 60), (299.5, 9.5, 329.5, 39.5)),
        ((40, 30), (9.5, 9.5, 19.5, 19.5)),
    ],
    ids=["middle", "corner", "other corner", "large", "wide", "across the frame", "flat frame", "tiny frame"],
)
def test_the_object_lies_in_the_chip_where_its_box_says(size: tuple[int, int], box_px: BoxPx) -> None:
    chip, shown = _cut(_picture(*size, box_px), box_px)
    assert max(shown.shape) <= 256
    x0, y0, x1, y1 = chip.box_in_chip_px
    assert x0 >= -0.5
    assert y0 >= -0.5
    assert x1 <= chip.width_px - 0.5
    assert y1 <= chip.height_px - 0.5
    bright = np.argwhere(shown[:, :, 1] > 180)
    (top, left), (bottom, right) = bright.min(axis=0), bright.max(axis=0)
    assert (left, top, right, bottom) == pytest.approx((x0 + 0.5, y0 + 0.5, x1 - 0.5, y1 - 0.5), abs=1.5)


def test_a_chip_is_a_square_twice_as_wide_as_the_box() -> None:
    box_px = (299.5, 199.5, 399.5, 239.5)
    chip, _ = _cut(_picture(640, 480, box_px), box_px)
    assert (chip.width_px, chip.height_px) == (200, 200)
    assert chip.box_in_chip_px == pytest.approx((49.5, 79.5, 149.5, 119.5), abs=0.6)


def test_a_small_object_keeps_its_surroundings() -> None:
    chip, _ = _cut(_picture(640, 480, (300.0, 200.0, 302.0, 202.0)), (300.0, 200.0, 302.0, 202.0))
    assert (chip.width_px, chip.height_px) == (96, 96)


def test_the_worst_picture_still_fits_into_a_message() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (2000, 2000, 3), dtype=np.uint8)
    chip, _ = _cut(noise, (0.0, 0.0, 1900.0, 1900.0))
    assert len(chip.data) < 150_000
    assert wire.decode("chip", wire.encode(chip)) == chip
    assert chip.chip_id == "s.eo.t1.f1.chip"


def test_the_same_picture_gives_the_same_bytes() -> None:
    picture = np.random.default_rng(2).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    assert _cut(picture, (9.0, 9.0, 20.0, 20.0))[0] == _cut(picture, (9.0, 9.0, 20.0, 20.0))[0]
