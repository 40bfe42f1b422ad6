"""Counting: errors of single images do not cancel, their sum does, empty images count for nothing."""

import numpy as np
import pytest

from models.evaluation.areas import AreaTally
from models.evaluation.counts import count_figures
from models.evaluation.dataset import Truth
from models.evaluation.matching import Found


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


def test_an_empty_tally_of_areas_has_no_figures() -> None:
    assert AreaTally().figures()["field_iou"] is None
