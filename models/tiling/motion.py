"""What moves against the ground: the last frame laid over this one, and where they still differ."""

import cv2
import numpy as np
import numpy.typing as npt

from models.tiling.grid import Tile

WIDTH_PX = 320
_LEAST_RESPONSE = 0.05
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
        the poses; without it a shift is found from the pictures (phase correlation), and none is trusted when
        it does not stand out.
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
        change = np.asarray(cv2.blur(np.abs(grey - laid), (3, 3)), dtype=np.float32)
        change[~seen] = 0.0
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
        window = np.asarray(cv2.createHanningWindow(grey.shape[::-1], cv2.CV_32F), dtype=np.float32)
        (x, y), response = cv2.phaseCorrelate(before, grey, window)
        if response < _LEAST_RESPONSE:
            return None
        return np.array([[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]])


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
