"""The figures for plots, in small: the goal near nadir, honest intervals, and plots of the scenario."""

import numpy as np
import pytest

from sim.accuracy.plots import AREA_M2, SETS, merged_passes, plot_shape, single_looks
from sim.accuracy.truth.plot_flights import flown_plots
from sim.scenario.description import load_scenario


def test_plots_drawn_for_the_figures_are_all_as_large_as_they_say() -> None:
    rng = np.random.default_rng(1)
    for number in range(12):
        shape = plot_shape(rng, number)
        assert shape.is_valid
        assert shape.area == pytest.approx(AREA_M2)
        assert abs(shape.centroid.x) + abs(shape.centroid.y) < 1e-6


@pytest.mark.slow
def test_a_calibrated_look_from_300_m_is_within_two_and_a_half_percent_and_says_so() -> None:
    found = single_looks(SETS[1], 300.0, 0.0, 24)
    error, stated = np.sqrt(np.mean(found[:, :2] ** 2, axis=0))
    assert error < 0.03  # of 24; the figure of docs/accuracy.md has more
    assert stated < 0.025
    assert found[:, 2].sum() >= 18


@pytest.mark.slow
def test_many_looks_make_the_shape_and_the_place_better() -> None:
    found = merged_passes(SETS[0], 4, (1, 8))
    off, overlap = np.sqrt(np.mean(found[:, :, 3] ** 2, axis=0)), found[:, :, 5].mean(axis=0)
    assert off[1] < 0.8 * off[0]
    assert overlap[1] > overlap[0]


@pytest.mark.slow
def test_plots_of_the_scenario_come_out_whole_and_once_through_the_real_chain() -> None:
    (flown,) = flown_plots(load_scenario("coast-and-hill"), "hill-1", flights=1)
    assert flown.extra == 0
    assert len(flown.plots) >= 3
    for plot in flown.plots:
        assert plot.found_m2 == pytest.approx(plot.truth_m2, rel=0.06)
        assert plot.overlap > 0.95
        assert plot.off_m < 2.0 * plot.ce90_m
