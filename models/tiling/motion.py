"""What moves against the ground: the last frame laid over this one, and where they still differ."""

import cv2
import numpy as np
import numpy.typing as npt

from models.tiling.grid import Tile

WIDTH_PX = 320
_REACH = 0.2
_LAID_WITHIN_PX = 0.7
_LEAST_LIKENESS = 0.5
_LEAST_DEVIATION = 2.0
_SIGMAS = 6.0


class MotionCue:
    """Keeps one small grey picture of the last frame. Same frames in, same answers out."""

    def __init__(self) -> None:
        self._before: npt.NDArray[np.float32] | None = None

    def look(
        self,
        image_bgr_u8: npt.NDArray[np.uint8],
        tiles: tuple[Tile, ...],
        now_from_before: npt.NDArray[np.float64] | None = None,
    ) -> list[float]:
        """How strongly something moves in each tile, 0 to 1; all 0 for a first frame or a new size.

        `now_from_before` is the homography (3, 3) in pixels that carries the last frame onto this one, from
        the poses; without it a shift of up to a fifth of the picture is found by likeness, and where nothing
        is like enough nothing is said to move.
        """
        height, width = image_bgr_u8.shape[:2]
        factor = WIDTH_PX / width
        size = (WIDTH_PX, max(8, round(height * factor)))
        small = cv2.resize(image_bgr_u8, size, interpolation=cv2.INTER_AREA)
        grey = np.asarray(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY), dtype=np.float32)
        before, self._before = self._before, grey
        if before is None or before.shape != grey.shape:
            return [0.0] * len(tiles)
        turn = self._turn(before, grey, now_from_before, factor)
        if turn is None:
            return [0.0] * len(tiles)
        ones = np.ones_like(before)
        laid = np.asarray(cv2.warpPerspective(before, turn, size), dtype=np.float32)
        seen = np.asarray(cv2.warpPerspective(ones, turn, size), dtype=np.float32) > 0.999
        # The pictures lie over each other to a fraction of a pixel: what a slope makes of that is no motion.
        slope = np.hypot(*(cv2.Sobel(grey, cv2.CV_32F, *way, scale=0.125) for way in ((1, 0), (0, 1))))
        excess = np.maximum(np.abs(grey - laid) - np.float32(_LAID_WITHIN_PX) * slope, 0.0)
        excess[~seen] = 0.0
        change = np.asarray(cv2.blur(excess, (3, 3)), dtype=np.float32)
        return _by_tile(change, seen, tiles, factor)

    def _turn(
        self,
        before: npt.NDArray[np.float32],
        grey: npt.NDArray[np.float32],
        homography: npt.NDArray[np.float64] | None,
        factor: float,
    ) -> npt.NDArray[np.float64] | None:
        if homography is not None:
            shrink = np.diag([factor, factor, 1.0])
            return np.asarray(shrink @ homography @ np.linalg.inv(shrink), dtype=np.float64)
        shift = _shift(before, grey)
        if shift is None:
            return None
        return np.array([[1.0, 0.0, shift[0]], [0.0, 1.0, shift[1]], [0.0, 0.0, 1.0]])


def _shift(before: npt.NDArray[np.float32], grey: npt.NDArray[np.float32]) -> tuple[float, float] | None:
    """How far the middle of the last picture has moved, to a fraction of a pixel; `None` when unlike any."""
    rows, columns = round(before.shape[0] * _REACH), round(before.shape[1] * _REACH)
    middle = before[rows : before.shape[0] - rows, columns : before.shape[1] - columns]
    if float(middle.std()) < _LEAST_DEVIATION:
        return None
    likeness = np.asarray(cv2.matchTemplate(grey, middle, cv2.TM_CCOEFF_NORMED), dtype=np.float64)
    row, column = divmod(int(np.argmax(likeness)), likeness.shape[1])
    if likeness[row, column] < _LEAST_LIKENESS:
        return None
    x = column + _top(likeness[row], column)
    y = row + _top(likeness[:, column], row)
    return x - columns, y - rows


def _top(values: npt.NDArray[np.float64], at: int) -> float:
    """Where a parabola through the greatest of the values and its neighbours has its top, beside `at`."""
    if not 0 < at < len(values) - 1:
        return 0.0
    left, middle, right = values[at - 1 : at + 2].tolist()
    bend = left - 2.0 * middle + right
    return 0.0 if bend >= -1e-12 else 0.5 * (left - right) / bend


def _by_tile(
    change: npt.NDArray[np.float32], seen: npt.NDArray[np.bool_], tiles: tuple[Tile, ...], factor: float
) -> list[float]:
    """The greatest change in each tile, set against what is usual in the frame: 1 at twelve deviations."""
    known = change[seen]
    if known.size < 100:
        return [0.0] * len(tiles)
    usual = float(np.median(known))
    spread = 1.4826 * float(np.median(np.abs(known - usual))) + 1.0
    strength = np.clip((change - usual) / (2.0 * _SIGMAS * spread), 0.0, 1.0)
    strength[strength < 0.5] = 0.0
    out = []
    for tile in tiles:
        left, top = int(tile.x0 * factor), int(tile.y0 * factor)
        right, bottom = max(left + 1, round(tile.x1 * factor)), max(top + 1, round(tile.y1 * factor))
        out.append(float(strength[top:bottom, left:right].max(initial=0.0)))
    return out
