"""Detections that carry a shape become plots through the whole chain; boxes stay boxes."""

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from edge.plots.node import PlotSettings
from edge.vision.pipeline import Outcome, VisionNode
from models.detection import DetectionBatch, MaskShape, PolygonShape, Shape, make_batch
from models.detector import Inference
from skywarden import wire
from skywarden.errors import InputError
from skywarden.messages import Plot, Sighting
from tests.edge.eyes import (
    CAMERA,
    HEIGHT,
    IDS,
    WIDTH,
    ScriptedDetector,
    box,
    fly,
    frame,
    settings,
)

GSD_M = 100.0 / CAMERA.fx
EVERY_FRAME = PlotSettings(interval_s=0.0)


class ShapeDetector(ScriptedDetector):
    """Answers every image with the same boxes, each with a shape."""

    labels = ("plot", "vessel")

    def __init__(self, shapes: Sequence[Shape | None], label: int = 0) -> None:
        super().__init__(
            lambda _: [box(320.0, 240.0, size=160.0 - k, label=label) for k in range(len(shapes))]
        )
        self._shapes = shapes

    def read(self, inference: Inference) -> DetectionBatch:
        return replace(super().read(inference), shapes=tuple(self._shapes))


def _eyes(shapes: Sequence[Shape | None], *, label: int = 0, plots: PlotSettings | None = None) -> VisionNode:
    given = settings(plots=plots or EVERY_FRAME)
    return VisionNode(IDS, given, ShapeDetector(shapes, label))


def _told(outcomes: Sequence[Outcome]) -> list[Plot]:
    return [message for outcome in outcomes for message in outcome.messages if isinstance(message, Plot)]


def _mask(*, hole: bool = False, track: bool = False) -> MaskShape:
    """140 x 100 px of the image's middle on cells of 4 px."""
    cells = np.zeros((40, 40), np.float32)
    cells[8:33, 2:37] = 1.0
    if hole:
        cells[18:23, 17:22] = 0.0
    if track:
        cells[:, 19:21] = 0.0
    return MaskShape(values=cells, left_top_px=(243.5, 161.5), step_px=(4.0, 4.0))


def test_a_mask_becomes_a_plot_with_its_polygon_and_areas_told_once_it_is_confirmed() -> None:
    eyes = _eyes([_mask()])
    outcomes = fly(eyes, [frame(number) for number in range(6)])
    told = _told(outcomes)
    assert [len(_told([outcome])) for outcome in outcomes] == [0, 1, 0, 0, 0, 0]
    (plot,) = told
    assert plot.plot_id == f"{IDS.prefix}.p1"
    assert plot.look_count == 2
    assert plot.is_complete
    assert plot.label == "plot"
    expected = 140 * 100 * GSD_M**2
    value, low, high = plot.area_m2
    assert value == pytest.approx(expected, rel=0.02)
    assert low < expected < high
    assert plot.surface_area_m2[0] == pytest.approx(value, rel=1e-3)
    (ring,) = plot.rings_deg
    assert 4 <= len(ring) <= 12
    assert plot.position.ce90_m > 1.0
    assert wire.decode("plot", wire.encode(plot)) == plot
    assert len(wire.encode(plot)) < 600


@pytest.mark.slow
def test_a_plot_is_told_again_when_it_is_surer_and_never_every_frame() -> None:
    outcomes = fly(_eyes([_mask()]), [frame(number, at_s=number * 1.0) for number in range(70)])
    times = [(plot.time_ns - _told(outcomes)[0].time_ns) / 1e9 for plot in _told(outcomes)]
    assert 3 <= len(times) <= 6
    assert all(after - before >= 5.0 for before, after in itertools.pairwise(times))
    assert times[-1] >= 30.0


def test_parts_divided_by_a_track_are_two_plots_and_a_hole_stays_a_hole() -> None:
    outcomes = fly(_eyes([_mask(track=True)]), [frame(number) for number in range(3)])
    assert sorted(plot.plot_id[-2:] for plot in _told(outcomes)) == ["p1", "p2"]
    (holed,) = _told(fly(_eyes([_mask(hole=True)]), [frame(number) for number in range(3)]))
    assert len(holed.rings_e7_i32) == 2
    assert holed.area_m2[0] == pytest.approx((140 * 100 - 20 * 20) * GSD_M**2, rel=0.03)


def test_a_polygon_does_as_well_as_a_mask() -> None:
    corners = np.array([[250.0, 190.0], [390.0, 190.0], [390.0, 290.0], [250.0, 290.0]])
    (plot,) = _told(fly(_eyes([PolygonShape(exterior=corners)]), [frame(number) for number in range(3)]))
    assert plot.area_m2[0] == pytest.approx(140 * 100 * GSD_M**2, rel=0.01)


def test_frames_that_follow_a_look_too_closely_are_passed_over() -> None:
    eyes = _eyes([_mask()], plots=PlotSettings(interval_s=0.5))
    outcomes = fly(eyes, [frame(number) for number in range(11)])
    taken = [bool(outcome.plots and outcome.plots.numbers) for outcome in outcomes]
    assert [number for number, is_taken in enumerate(taken) if is_taken] == [0, 5, 10]


def test_boxes_and_vessels_are_no_plots_and_go_on_as_they_were() -> None:
    for eyes in (_eyes([None]), _eyes([_mask()], label=1)):
        outcomes = fly(eyes, [frame(number) for number in range(5)])
        assert _told(outcomes) == []
        assert any(isinstance(message, Sighting) for each in outcomes for message in each.messages)
    wanted = _eyes([_mask()], label=1, plots=PlotSettings(labels=("vessel",), interval_s=0.0))
    assert len(_told(fly(wanted, [frame(number) for number in range(5)]))) == 1


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        (MaskShape(values=np.zeros((5, 5), bool)), "empty mask"),
        (MaskShape(values=np.full((5, 5), np.nan)), "not finite"),
        (MaskShape(values=np.ones((HEIGHT, WIDTH), bool), left_top_px=(50.0, 0.0)), "larger than the image"),
        (MaskShape(values=np.ones((5, 5), bool), step_px=(0.0, 1.0)), "expected 0.001"),
        (PolygonShape(exterior=np.array([[0.0, 0], [10, 10], [10, 0], [0, 10]])), "Self-intersection"),
        (PolygonShape(exterior=np.zeros((1_000_000, 2))), "over the limit"),
    ],
)
def test_a_detector_s_nonsense_costs_its_plot_and_nothing_else(shape: Shape, words: str) -> None:
    outcomes = fly(_eyes([shape, _mask()]), [frame(number) for number in range(5)])
    assert len(_told(outcomes)) == 1
    assert outcomes[-1].plots is not None
    bad = outcomes[-1].plots.looks[0, 0]
    assert getattr(bad, "reason", None) == "bad_shape"
    assert words in getattr(bad, "detail", "")


def test_a_plot_on_the_horizon_has_no_ground_and_a_reason() -> None:
    outcomes = fly(_eyes([_mask()]), [frame(number) for number in range(3)], elevation_deg=10.0)
    assert _told(outcomes) == []
    assert outcomes[0].plots is not None
    assert getattr(outcomes[0].plots.looks[0, 0], "reason", None) == "above_horizon"


def test_a_clock_that_was_set_back_begins_new_plots_with_other_ids() -> None:
    eyes = _eyes([_mask()])
    before = fly(eyes, [frame(number) for number in range(100, 103)])
    after = fly(eyes, [frame(number) for number in range(3)])
    ids = [plot.plot_id for plot in _told([*before, *after])]
    assert ids == [f"{IDS.prefix}.p1", f"{IDS.prefix}.c1.p1"]


def test_shapes_follow_their_boxes_when_a_batch_is_sorted_and_cut() -> None:
    low, high = _mask(), _mask(hole=True)
    batch = make_batch(
        np.array([[0, 0, 10, 10], [np.nan, 0, 1, 1], [5, 5, 20, 20]]),
        np.array([0.2, 0.9, 0.8]),
        np.array([0, 0, 0]),
        ("plot",),
        (WIDTH, HEIGHT),
        [low, None, high],
    )
    assert batch.shapes == (high, low)
    with pytest.raises(InputError, match="2 shapes for 1 boxes"):
        make_batch(np.zeros((1, 4)), np.ones(1), np.zeros(1, int), ("plot",), (WIDTH, HEIGHT), [low, high])
    with pytest.raises(InputError, match="1 shapes for 2 boxes"):
        replace(batch, shapes=(low,))


def test_a_chain_without_shapes_makes_no_plots_at_all() -> None:
    eyes = VisionNode(IDS, settings(), ScriptedDetector(lambda _: [box(320.0, 140.0)]))
    outcomes = fly(eyes, [frame(number) for number in range(4)])
    assert all(outcome.plots is None for outcome in outcomes)
    assert eyes.plots() == []
