"""CE90, LE90 and ellipses against sampling and against numbers from the literature."""

import numpy as np
import pytest

from skywarden.geometry import uncertainty


def test_round_and_flat_errors_have_the_textbook_factors() -> None:
    assert uncertainty.ce90_m(np.eye(2) * 9.0) == pytest.approx(3 * 2.145966, rel=1e-6)
    assert uncertainty.ce90_m(np.diag([9.0, 0.0])) == pytest.approx(3 * 1.644854, rel=1e-6)
    assert uncertainty.ce90_m(np.zeros((2, 2))) == 0.0
    assert uncertainty.le90_m(4.0) == pytest.approx(2 * 1.644854, rel=1e-6)


@pytest.mark.parametrize("ratio", [0.003, 0.02, 0.1, 0.35, 0.6, 0.9])
def test_the_circle_holds_ninety_percent_of_the_mass(ratio: float) -> None:
    radius = float(uncertainty.ce90_m(np.diag([1.0, ratio**2])))
    # The mass inside by integrating over the narrow axis: an independent form of the same integral.
    edges = np.linspace(-1.0, 1.0, 400_001) * min(radius, 8 * ratio)
    y = (edges[1:] + edges[:-1]) / 2
    half_width = np.sqrt(np.maximum(radius**2 - y**2, 0.0))
    inner = np.array([_central_mass(w) for w in half_width[::200]])
    weight = np.exp(-0.5 * (y / ratio) ** 2) / (ratio * np.sqrt(2 * np.pi)) * (edges[1] - edges[0])
    mass = float(np.sum(weight * np.interp(y, y[::200], inner)))
    assert mass == pytest.approx(0.9, abs=2e-5)


def _central_mass(width: float) -> float:
    from math import erf, sqrt

    return erf(width / sqrt(2))


def test_it_turns_with_the_axes_and_takes_batches_and_larger_matrices() -> None:
    angle = 0.7
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    straight = np.diag([25.0, 4.0])
    turned = turn @ straight @ turn.T
    assert uncertainty.ce90_m(turned) == pytest.approx(float(uncertainty.ce90_m(straight)))
    whole = np.zeros((5, 3, 3))
    whole[:, :2, :2] = turned
    assert uncertainty.ce90_m(whole).shape == (5,)
    whole[2] = np.nan
    assert np.isnan(uncertainty.ce90_m(whole)[2])


def test_the_ellipse_points_where_the_error_is_and_holds_ninety_percent() -> None:
    major, minor, azimuth = uncertainty.ellipse_90(np.diag([100.0, 1.0]))  # east is uncertain
    assert azimuth == pytest.approx(90.0)
    assert (major, minor) == (pytest.approx(10 * 2.145966, rel=1e-5), pytest.approx(2.145966, rel=1e-5))
    northeast = np.array([[5.0, 4.0], [4.0, 5.0]])
    assert uncertainty.ellipse_90(northeast)[2] == pytest.approx(45.0)
