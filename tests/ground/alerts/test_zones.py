"""Probabilities inside are those of the covariance, on either side of 180 degrees too."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ground.alerts.zones import Zone, ZoneShape, check_zone
from skywarden.errors import InputError
from skywarden.messages import Position
from tests.ground.alerts.made import border, square
from tests.ground.scenes import METRE_DEG, position


def test_a_border_halves_the_probability() -> None:
    shape = ZoneShape(square(half_m=500.0))
    assert shape.probability(position(500.0, 0.0, 20.0)) == pytest.approx(0.5, abs=0.03)
    assert shape.probability(position(0.0, 0.0, 20.0)) == 1.0
    assert shape.probability(position(700.0, 0.0, 20.0)) == 0.0


@settings(max_examples=40, deadline=None)
@given(st.floats(-3.0, 3.0), st.floats(5.0, 200.0), st.floats(0.05, 1.0), st.floats(0.0, math.pi))
def test_the_probability_is_that_of_the_gaussian(
    sigmas: float, major_m: float, ratio: float, turn: float
) -> None:
    """Against the closed form for a half plane: a zone whose other sides are far away."""
    axes = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    covariance = axes @ np.diag([major_m**2, (ratio * major_m) ** 2]) @ axes.T
    sigma_n = math.sqrt(covariance[1, 1])
    zone = square(half_m=20_000.0, north_m=-20_000.0)  # everything south of the equator
    ee, en, nn = covariance[0, 0], covariance[0, 1], covariance[1, 1]
    base = position(-sigmas * sigma_n, 0.0)
    place = Position(
        latitude_deg=base.latitude_deg,
        longitude_deg=base.longitude_deg,
        alt_hae_m=0.0,
        covariance_enu_m2=(ee, en, 0.0, nn, 0.0, 1.0),
        ce90_m=1.0,
        le90_m=1.0,
        surface="sea",
    )
    expected = 0.5 * (1.0 + math.erf(sigmas / math.sqrt(2.0)))
    assert ZoneShape(zone).probability(place) == pytest.approx(expected, abs=0.03)


def test_a_zone_across_180_degrees() -> None:
    ring = ((-1.0, 179.5), (-1.0, -179.5), (1.0, -179.5), (1.0, 179.5))
    shape = ZoneShape(check_zone(Zone(zone_id="date", name="Date line", kind="area", polygons=((ring,),))))
    for longitude, expected in ((179.9, 1.0), (-179.9, 1.0), (179.0, 0.0), (0.0, 0.0)):
        base = position()
        place = Position(
            latitude_deg=0.0,
            longitude_deg=longitude,
            alt_hae_m=0.0,
            covariance_enu_m2=base.covariance_enu_m2,
            ce90_m=10.0,
            le90_m=5.0,
            surface="sea",
        )
        assert shape.probability(place) == expected


def test_a_hole_is_outside() -> None:
    outer, hole = square(half_m=500.0).polygons[0][0], square(half_m=100.0).polygons[0][0]
    shape = ZoneShape(Zone(zone_id="ring", name="Ring", kind="area", polygons=((outer, hole),)))
    assert shape.probability(position(0.0, 0.0, 5.0)) == 0.0
    assert shape.probability(position(300.0, 0.0, 5.0)) == 1.0


def test_a_corridor_is_as_wide_as_it_says() -> None:
    line = border().lines
    shape = ZoneShape(Zone(zone_id="lane", name="Lane", kind="corridor", lines=line, width_m=200.0))
    assert shape.probability(position(60.0, 0.0, 5.0)) == 1.0
    assert shape.probability(position(140.0, 0.0, 5.0)) == 0.0


def test_the_side_of_a_line_and_how_surely() -> None:
    shape = ZoneShape(border())
    distance_m, probability = shape.side(position(10.0, 100.0, 10.0))
    assert distance_m == pytest.approx(10.0, abs=0.2)
    assert probability == pytest.approx(0.8413, abs=0.005)
    assert shape.side(position(-10.0, 100.0, 10.0))[0] == pytest.approx(-10.0, abs=0.2)
    assert shape.crossed(position(-10.0), position(10.0))
    assert not shape.crossed(position(-10.0, 3_000.0), position(10.0, 3_000.0))


@pytest.mark.parametrize(
    ("zone", "words"),
    [
        (Zone(zone_id="a", name="A", kind="area"), "rings"),
        (Zone(zone_id="a", name="A", kind="area", polygons=((((0.0, 0.0), (0.0, 1e-3)),),)), "rings"),
        (Zone(zone_id="a", name="A", kind="line", polygons=square().polygons), "lines"),
        (Zone(zone_id="a", name="A", kind="corridor", lines=border().lines), "width"),
        (
            Zone(zone_id="a", name="A", kind="area", polygons=((((0.0, 0.0), (0.0, 30.0), (9.0, 3.0)),),)),
            "across",
        ),
        (
            Zone(
                zone_id="a",
                name="A",
                kind="area",
                polygons=((((0.0, 0.0), (0.0, METRE_DEG), (0.0, 2 * METRE_DEG)),),),
            ),
            "nothing",
        ),
    ],
)
def test_what_is_no_zone_is_refused_with_the_reason(zone: Zone, words: str) -> None:
    with pytest.raises(InputError, match=words):
        check_zone(zone)
