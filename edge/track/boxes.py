"""What the box of a look tells about how well its middle stands for the object.

The middle of a box is where the object stands only as far as the box shows the same of it every time. What
comes into the picture shows a corner first; a region that a detector grew takes in its neighbour in one
frame and not in the next. Then edges move, and the middle with them, while nothing moves on the ground.
Both can be seen: the image's edge lies on the box, or its sides change. So each track remembers the sides
of its box. By how much they change is an error of the look, for where one edge moves the middle moves by
half of that; and whether a box is of the size that is known speaks for or against its being of that track.

What the image's edge cuts on one side only shows its other edge, and that one goes with the thing. So of what
has never been seen whole that edge is followed, from the first look of a row that shows as much: how far the
thing's middle is from there is not known, but stays what it is (`Showing`).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge.geolocation.box_errors import BESIDE_CUT_SHARE, CUT_SHARE, LOOSE_SHARE, NO_EDGE_FREE

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
IndexArray = npt.NDArray[np.intp]
SideArray = npt.NDArray[np.int8]

MEMORY_COLUMNS = 7
"""Of a track: logarithms of both sides when last seen; the same when last seen whole, or of the most seen
so far; mean squares of how its edges move between whole looks, in halves of a side; whether it was ever
seen whole."""

SHOWING_COLUMNS = 9
"""Of a track that was never seen whole: which edges stand free across and down; from the middle of its box to
its free edge when the showing began, east and north; logarithms of both sides then; the covariance of where
its middle is (ee, en, nn), for the image's edge cuts the rest."""

_KEEP = 0.8
_MIN_SIDE_M = 1e-3
_SIDE_VARIANCE = 0.2**2
_MAX_CHANGE = 3.0
_SAME_SHOWING = 0.25
"""So much, in its logarithm, the side beside the cut may change while what is shown is still the same."""
_LOOSE = 2.0 * (2.0 * LOOSE_SHARE) ** 2
"""So much do edges move, squared, by the looseness of boxes that is in the error of every look."""


@dataclass(frozen=True, slots=True, eq=False)
class Boxes:
    """The boxes of M measurements on the ground.

    Attributes:
        half_m: (M, 2, 2), columns: where half the box's width, to the right, and half its height, downward,
            takes the place, east and north in metres.
        log_side: (M, 2), logarithms of width and height in metres across the line of sight.
        free: (M, 2), which edges stand free (`edge.geolocation.box_errors.free_edges`).
        is_whole: (M,), that no edge of the box lies on the image's.
    """

    half_m: FloatArray
    log_side: FloatArray
    free: SideArray
    is_whole: BoolArray

    def taken(self, rows: IndexArray) -> "Boxes":
        """Only these rows."""
        return Boxes(self.half_m[rows], self.log_side[rows], self.free[rows], self.is_whole[rows])

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Of the columns, in their order."""
        return self.half_m.shape, self.log_side.shape, self.free.shape, self.is_whole.shape

    @property
    def to_free_edge_m(self) -> FloatArray:
        """(M, 2), east and north, from the middles to the edges that alone stand free."""
        way = np.where(self.free == NO_EDGE_FREE, 0, self.free)
        return (self.half_m @ way[:, :, None])[:, :, 0]

    @property
    def cut_m2(self) -> FloatArray:
        """(3, M): ee, en, nn of what `edge.geolocation.box_sigma_px` states for what is cut."""
        is_cut = self.free != 0
        share = np.where(is_cut, CUT_SHARE, BESIDE_CUT_SHARE * is_cut[:, ::-1])
        share = share * 2.0 * np.exp(self.log_side.max(axis=1, keepdims=True) - self.log_side)
        root = self.half_m * share[:, None, :]
        east, north = root[:, 0], root[:, 1]
        found: FloatArray = np.stack([(east * east).sum(1), (east * north).sum(1), (north * north).sum(1)])
        return found


def boxes_on_ground(
    by_angle: FloatArray, half_rad: FloatArray, slant_m: FloatArray, free: SideArray
) -> Boxes:
    """From where angles take places (M, 2, 2: metres per radian about the camera's right and down axes), half
    the boxes' sides as angles (M, 2: across, down), slant ranges (M,) and free edges (M, 2)."""
    sides = np.maximum(2.0 * half_rad * slant_m[:, None], _MIN_SIDE_M)
    half_m = by_angle[:, :, ::-1] * half_rad[:, None, :]
    half_m[
        :, :, 1
    ] *= -1.0  # a turn about the down axis moves the ray to the right, one about the right axis up
    is_whole: BoolArray = (free == 0).all(axis=1)
    return Boxes(half_m, np.log(sides), free, is_whole)


def first_looks(boxes: Boxes) -> FloatArray:
    """What tracks (N, `MEMORY_COLUMNS`) remember of the boxes (N,) that begin them."""
    sides = boxes.log_side
    return np.concatenate([sides, sides, np.zeros_like(sides), boxes.is_whole[:, None]], axis=1)


def first_showings(boxes: Boxes) -> FloatArray:
    """What tracks (N, `SHOWING_COLUMNS`) that were never seen whole remember of the boxes (N,) that begin a
    showing."""
    return np.concatenate([boxes.free, boxes.to_free_edge_m, boxes.log_side, boxes.cut_m2.T], axis=1)


def is_same_showing(showing: FloatArray, boxes: Boxes) -> BoolArray:
    """Which boxes (M,) show as much of their things as the showings (M, `SHOWING_COLUMNS`) began with: the
    same edge alone stands free, and the side beside it is as long as it was.

    Of a corner neither edge is sure: the farthest point of what is seen need not be that of the thing.
    """
    is_cut = boxes.free != 0
    same = (showing[:, :2] == boxes.free).all(axis=1) & (is_cut.sum(axis=1) == 1)
    same &= (boxes.free != NO_EDGE_FREE).all(axis=1)
    beside = np.where(is_cut, 0.0, boxes.log_side - showing[:, 4:6])
    found: BoolArray = same & (np.abs(beside) < _SAME_SHOWING).all(axis=1)
    return found


def remember_showings(showing: FloatArray, boxes: Boxes) -> tuple[FloatArray, FloatArray]:
    """Take looks (M,) at the same showings into their memory (M, `SHOWING_COLUMNS`).

    Answers with how much farther their free edges are from their middles than in the beginning (M, 2), in
    metres east and north; and with the variances of their middles (M, 2), in squares of half a side, beside
    the cut: for what these sides have changed meanwhile, and because what lies along the image's edge may
    show another stretch of itself each time.
    """
    farther: FloatArray = boxes.to_free_edge_m - showing[:, 2:4]
    showing[:, 6:] = boxes.cut_m2.T
    change = np.expm1(showing[:, 4:6] - boxes.log_side)
    stretch = 2.0 * LOOSE_SHARE * np.exp(boxes.log_side.max(axis=1, keepdims=True) - boxes.log_side)
    return farther, np.where(boxes.free != 0, 0.0, change * change + stretch * stretch)


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
