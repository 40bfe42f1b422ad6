"""One picture of what went right and wrong: misses, false alarms and some hits, cut out and named."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from models.evaluation.matching import match_image, overlaps
from models.evaluation.pictures import read_image
from models.evaluation.run import Looked

U8 = npt.NDArray[np.uint8]

CELL_PX = 128
COLUMNS = 8
ROWS_EACH = 2
_HEADING_PX = 26
_CONTEXT = 2.5
_LEAST_CUT_PX = 48.0
_HIT, _MISS, _FALSE = (90, 200, 60), (40, 200, 250), (60, 60, 240)  # blue, green, red


@dataclass(frozen=True, kw_only=True, slots=True)
class _Case:
    """One box worth a look: its image, its edges, its score where a detection, what to write below it."""

    path: Path
    box: tuple[float, float, float, float]
    score: float
    text: str


def contact_sheet(looked: Looked, threshold: float) -> U8:
    """The picture (H, W, 3) BGR: two rows each of misses (large ones first), false alarms (surest first) and
    hits (least sure first), at the model's threshold and an overlap of 0.5."""
    hits, misses, false_alarms = _cases(looked, threshold)
    count = COLUMNS * ROWS_EACH
    strips = [
        _strip(f"missed: {len(misses)}", sorted(misses, key=lambda c: -_side(c))[:count], _MISS),
        _strip(
            f"false alarms: {len(false_alarms)}",
            sorted(false_alarms, key=lambda c: -c.score)[:count],
            _FALSE,
        ),
        _strip(f"found: {len(hits)}", sorted(hits, key=lambda c: c.score)[:count], _HIT),
    ]
    return np.concatenate(strips)


def _cases(looked: Looked, threshold: float) -> tuple[list[_Case], list[_Case], list[_Case]]:
    hits: list[_Case] = []
    misses: list[_Case] = []
    false_alarms: list[_Case] = []
    for path, found, truth in zip(looked.paths, looked.found, looked.truth, strict=True):
        sure = np.flatnonzero(found.score >= threshold)
        sure = sure[np.argsort(-found.score[sure], kind="stable")]
        iou = overlaps(found.box[sure], truth.box, truth.is_ignored)
        match, ignored = match_image(iou, truth.is_ignored, truth.is_ignored, 0.5)
        for at, taken, skipped in zip(sure.tolist(), match.tolist(), ignored.tolist(), strict=True):
            if skipped:
                continue
            score = float(found.score[at])
            case = _Case(path=path, box=_box(found.box[at]), score=score, text=f"{score:.2f} {path.stem}")
            (hits if taken >= 0 else false_alarms).append(case)
        for at in sorted(set(range(len(truth.box))) - set(match.tolist())):
            if not truth.is_ignored[at]:
                misses.append(_Case(path=path, box=_box(truth.box[at]), score=0.0, text=path.stem))
    return hits, misses, false_alarms


def _strip(title: str, cases: Sequence[_Case], colour: tuple[int, int, int]) -> U8:
    rows = max(1, -(-len(cases) // COLUMNS))
    sheet = np.full((_HEADING_PX + rows * CELL_PX, COLUMNS * CELL_PX, 3), 24, dtype=np.uint8)
    font = cv2.FONT_HERSHEY_SIMPLEX
    cv2.putText(sheet, title, (8, 18), font, 0.5, (235, 235, 235), 1, cv2.LINE_AA)
    for place, case in enumerate(cases):
        x = place % COLUMNS * CELL_PX
        y = _HEADING_PX + place // COLUMNS * CELL_PX
        sheet[y : y + CELL_PX - 2, x : x + CELL_PX - 2] = _cell(case, colour)
    return sheet


def _cell(case: _Case, colour: tuple[int, int, int]) -> U8:
    image = read_image(case.path)
    x0, y0, x1, y1 = case.box
    half = max(_LEAST_CUT_PX, _CONTEXT * _side(case)) / 2.0
    centre = ((x0 + x1) / 2.0, (y0 + y1) / 2.0)
    side = CELL_PX - 2
    scale = side / (2.0 * half)
    turn = np.array(
        [[scale, 0.0, side / 2.0 - scale * centre[0]], [0.0, scale, side / 2.0 - scale * centre[1]]]
    )
    cut = np.asarray(cv2.warpAffine(image, turn, (side, side), borderValue=(24, 24, 24)), dtype=np.uint8)
    corners = [
        (round(x * scale + turn[0, 2]), round(y * scale + turn[1, 2])) for x, y in ((x0, y0), (x1, y1))
    ]
    cv2.rectangle(cut, corners[0], corners[1], colour, 1)
    cv2.rectangle(cut, (0, side - 14), (side, side), (24, 24, 24), -1)
    text = case.text.encode("ascii", "replace").decode()[:22]
    cv2.putText(cut, text, (2, side - 4), cv2.FONT_HERSHEY_SIMPLEX, 0.32, (235, 235, 235), 1, cv2.LINE_AA)
    return cut


def _box(edges: npt.NDArray[np.float64]) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = edges.tolist()
    return x0, y0, x1, y1


def _side(case: _Case) -> float:
    return max(case.box[2] - case.box[0], case.box[3] - case.box[1])
