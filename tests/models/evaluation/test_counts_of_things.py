"""Counting: errors of single images do not cancel, their sum does, empty images count for nothing."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from models.detection import PolygonShape, make_batch
from models.evaluation.area_sheet import CELL_PX, area_sheet
from models.evaluation.areas import AreaTally
from models.evaluation.counts import count_figures
from models.evaluation.dataset import Dataset, Truth
from models.evaluation.matching import Found
from models.evaluation.run import Looked


def found(scores: list[float]) -> Found:
    box = np.tile(np.array([0.0, 0.0, 5.0, 5.0]), (len(scores), 1))
    return Found(box=box, score=np.array(scores), label_index=np.zeros(len(scores), dtype=np.intp))


def labelled(count: int, ignored: int = 0) -> Truth:
    every = count + ignored
    return Truth(
        box=np.zeros((every, 4)),
        label_index=np.zeros(every, dtype=np.intp),
        is_ignored=np.arange(every) >= count,
        rings=((),) * every,
    )


def test_too_many_here_and_too_few_there_are_both_errors() -> None:
    tree = count_figures(
        [found([0.9] * 12 + [0.1] * 5), found([0.9] * 8)], [labelled(10), labelled(10, 3)], 0.5
    )
    assert tree["count_error"] == pytest.approx(0.2)
    assert tree["count_bias"] == 0.0
    assert tree["count_error_interval"] == [0.2, 0.2]


def test_images_without_objects_say_nothing_about_counting() -> None:
    assert count_figures([found([0.9])], [labelled(0)], 0.5)["count_error"] is None
    assert count_figures([found([0.9]), found([0.9])], [labelled(0), labelled(2)], 0.5)["count_error"] == 0.5


def test_a_sheet_shows_found_and_labelled_outlines_worst_image_first(tmp_path: Path) -> None:
    assert cv2.imwrite(str(tmp_path / "a.png"), np.full((100, 60, 3), 90, dtype=np.uint8))
    ring = np.array([[10.0, 10.0], [50.0, 10.0], [50.0, 70.0], [10.0, 70.0]])
    truth = Truth(
        box=np.array([[10.0, 10.0, 50.0, 70.0]]),
        label_index=np.zeros(1, dtype=np.intp),
        is_ignored=np.zeros(1, dtype=bool),
        rings=((ring,),),
    )
    box, zero = np.array([[9.5, 9.5, 49.5, 69.5]]), np.zeros(1, dtype=np.uint8)
    shape = PolygonShape(exterior=ring - 0.5)
    looked = Looked(dataset=Dataset(folder=tmp_path, kind="made", labels=(), images=()), labels=("parcel",))
    for shapes in ([shape], []):
        count = len(shapes)
        looked.batches.append(
            make_batch(box[:count], np.ones(count), zero[:count], ("parcel",), (60, 100), shapes)
        )
        looked.truth.append(truth)
        looked.sizes_px.append((60, 100))
        looked.paths.append(tmp_path / "a.png")
    picture = area_sheet(looked)
    assert picture.shape == (CELL_PX, 2 * CELL_PX, 3)
    yellow = (picture[..., 0] < 110) & (picture[..., 1] > 180) & (picture[..., 2] > 180)
    assert not yellow[:, :CELL_PX].any()
    assert yellow[:, CELL_PX:].any()


def test_an_empty_tally_of_areas_has_no_figures() -> None:
    assert AreaTally().figures()["field_iou"] is None
