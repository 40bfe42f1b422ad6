"""What the box of a look tells about how well its middle stands for the object.

The middle of a box is where the object stands only as far as the box shows the same of it every time. What
comes into the picture shows a corner first; a region that a detector grew takes in its neighbour in one
frame and not in the next. Then edges move, and the middle with them, while nothing moves on the ground.
Both can be seen: the image's edge lies on the box, or its sides change. So each track remembers the sides
of its box. By how much they change is an error of the look, for where one edge moves the middle moves by
half of that; and whether a box is of the size that is known speaks for or against its being of that track.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge.geolocation.box_errors import LOOSE_SHARE

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
IndexArray = npt.NDArray[np.intp]

MEMORY_COLUMNS = 7
"""Of a track: logarithms of both sides when last seen; the same when last seen whole, or of the most seen
so far; mean squares of how its edges move between whole looks, in halves of a side; whether it was ever
seen whole."""

_KEEP = 0.8
_MIN_SIDE_M = 1e-3
_SIDE_VARIANCE = 0.2**2
_MAX_CHANGE = 3.0
_LOOSE = 2.0 * (2.0 * LOOSE_SHARE) ** 2
"""So much do edges move, squared, by the looseness of boxes that is in the error of every look."""


@dataclass(frozen=True, slots=True, eq=False)
class Boxes:
    """The boxes of M measurements on the ground.

    Attributes:
        half_m: (M, 2, 2), columns: where half the box's width, and half its height, takes the place, east and
            north in metres.
        log_side: (M, 2), logarithms of width and height in metres across the line of sight.
        is_whole: (M,), that no edge of the box lies on the image's.
    """

    half_m: FloatArray
    log_side: FloatArray
    is_whole: BoolArray

    def taken(self, rows: IndexArray) -> "Boxes":
        """Only these rows."""
        return Boxes(self.half_m[rows], self.log_side[rows], self.is_whole[rows])

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Of the columns, in their order."""
        return self.half_m.shape, self.log_side.shape, self.is_whole.shape


def boxes_on_ground(
    by_angle: FloatArray, half_rad: FloatArray, slant_m: FloatArray, is_whole: BoolArray
) -> Boxes:
    """From where angles take places (M, 2, 2: metres per radian about the camera's right and down axes), half
    the boxes' sides as angles (M, 2: across, down), slant ranges (M,) and whether they are whole (M,)."""
    sides = np.maximum(2.0 * half_rad * slant_m[:, None], _MIN_SIDE_M)
    # A turn about the down axis moves the ray across, one about the right axis moves it up and down.
    return Boxes(by_angle[:, :, ::-1] * half_rad[:, None, :], np.log(sides), is_whole)


def first_looks(boxes: Boxes) -> FloatArray:
    """What tracks (N, `MEMORY_COLUMNS`) remember of the boxes (N,) that begin them."""
    sides = boxes.log_side
    return np.concatenate([sides, sides, np.zeros_like(sides), boxes.is_whole[:, None]], axis=1)


def remember_sides(remembered: FloatArray, boxes: Boxes) -> tuple[FloatArray, FloatArray]:
    """Take looks at boxes (M,) into the memory (M, `MEMORY_COLUMNS`) of their tracks.

    Answers with the variances that their middles have more than those of boxes that keep their size, (M, 2),
    in squares of half a side; and with what of it is more than this track's boxes usually do.
    """
    last, known, usual, was_whole = np.split(remembered, (2, 4, 6), axis=1)  # views
    is_whole = boxes.is_whole[:, None]
    variance = last - boxes.log_side
    np.clip(variance, -_MAX_CHANGE, _MAX_CHANGE, out=variance)
    np.expm1(variance, out=variance)  # how far one edge has gone, in halves of the side as it is now
    variance *= variance
    np.copyto(usual, usual + (1.0 - _KEEP) * (variance - usual), where=is_whole & (was_whole > 0.0))
    unusual = variance - np.maximum(usual, _LOOSE)
    np.maximum(unusual, 0.0, out=unusual)
    np.maximum(variance, usual, out=variance)
    variance -= _LOOSE
    np.maximum(variance, 0.0, out=variance)
    last[:] = boxes.log_side
    known[:] = np.where(is_whole, last, np.where(was_whole > 0.0, known, np.maximum(known, last)))
    was_whole[:] = np.maximum(was_whole, is_whole)
    return variance, unusual


def unlikeness(remembered: FloatArray, boxes: Boxes, *, is_strict: bool = False) -> FloatArray:
    """What speaks against boxes (M,) being of the tracks with this memory (M, `MEMORY_COLUMNS`).

    Minus twice the logarithm of a likelihood with heavy tails, (M,). What is cut is at least so large, and so
    is what has never been seen whole; `is_strict` takes both at their face.
    """
    change = boxes.log_side - remembered[:, 2:4]
    if not is_strict:
        np.maximum(change, 0.0, out=change, where=~boxes.is_whole[:, None])
        np.minimum(change, 0.0, out=change, where=remembered[:, 6:] == 0.0)
    change *= change
    change /= _SIDE_VARIANCE + remembered[:, 4:6]
    unlike: FloatArray = np.log1p(change, out=change).sum(axis=1)
    return unlike
