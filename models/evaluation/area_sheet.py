"""One picture of areas found and labelled: the worst images first, outlines over them."""

import cv2
import numpy as np
import numpy.typing as npt

from models.detection import DetectionBatch, PolygonShape
from models.evaluation.areas import AreaTally
from models.evaluation.dataset import Truth
from models.evaluation.pictures import read_image
from models.evaluation.run import Looked

U8 = npt.NDArray[np.uint8]

CELL_PX = 480
COLUMNS = 2
MOST = 6
_FOUND, _LABELLED = (60, 230, 250), (60, 60, 240)  # yellow, red


def area_sheet(looked: Looked) -> U8:
    """The picture (H, W, 3) BGR: up to six images, worst AP first; yellow found, red labelled."""
    order = []
    for at, (batch, truth, size) in enumerate(
        zip(looked.batches, looked.truth, looked.sizes_px, strict=True)
    ):
        tally = AreaTally()
        tally.add(batch, truth, size)
        figures = tally.figures()
        order.append((figures["instance_ap50"] or 0.0, figures["field_iou"] or 0.0, at))
    cells = [
        _cell(
            read_image(looked.paths[at]),
            looked.batches[at],
            looked.truth[at],
            f"AP50 {instance:.2f} IoU {iou:.2f} {looked.paths[at].stem}",
        )
        for instance, iou, at in sorted(order)[:MOST]
    ]
    while len(cells) % COLUMNS:
        cells.append(np.full((CELL_PX, CELL_PX, 3), 24, dtype=np.uint8))
    rows = [np.concatenate(cells[at : at + COLUMNS], axis=1) for at in range(0, len(cells), COLUMNS)]
    return np.concatenate(rows)


def _cell(image: U8, batch: DetectionBatch, truth: Truth, text: str) -> U8:
    scale = CELL_PX / max(image.shape[:2])
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    cell = np.full((CELL_PX, CELL_PX, 3), 24, dtype=np.uint8)
    cell[: size[1], : size[0]] = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    for rings in truth.rings:
        _draw(cell, [ring - 0.5 for ring in rings], scale, _LABELLED)
    for shape in batch.shapes:
        if isinstance(shape, PolygonShape):
            _draw(cell, [shape.exterior, *shape.holes], scale, _FOUND)
    cv2.rectangle(cell, (0, CELL_PX - 16), (CELL_PX, CELL_PX), (24, 24, 24), -1)
    written = text.encode("ascii", "replace").decode()[:72]
    cv2.putText(
        cell, written, (3, CELL_PX - 5), cv2.FONT_HERSHEY_SIMPLEX, 0.36, (235, 235, 235), 1, cv2.LINE_AA
    )
    return cell


def _draw(cell: U8, rings: list[npt.NDArray[np.float64]], scale: float, colour: tuple[int, int, int]) -> None:
    fixed = [np.round((np.clip(ring, -1e4, 1e5) + 0.5) * scale - 0.5).astype(np.int32) for ring in rings]
    cv2.polylines(cell, fixed, True, colour, 1, cv2.LINE_AA)
