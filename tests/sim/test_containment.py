"""Stated uncertainty against what is really missed, through real MAVLink bytes."""

import numpy as np
import pytest

from edge.mavlink_port import MavlinkConfig
from edge.pose.telemetry import TelemetryNode
from sim.accuracy.containment import GEOMETRIES, SEED, fly, honesty_of
from sim.accuracy.truth.short_flight import (
    SENSINGS,
    SET_A,
    SET_B,
    ErrorSet,
    LookResult,
    Sensing,
    ShortFlight,
    rolling_hills,
)


def _flight(sensing: Sensing, seed: int = 1) -> ShortFlight:
    return ShortFlight(
        np.random.default_rng(seed), SET_A, agl_m=300.0, off_nadir_deg=45.0, is_sea=True, sensing=sensing
    )


@pytest.mark.parametrize("sensing", SENSINGS)
def test_every_convention_of_the_short_flights_is_understood_without_a_complaint(sensing: Sensing) -> None:
    node = TelemetryNode(MavlinkConfig())
    for arrived_ns, raw in _flight(sensing).telemetry():
        node.handle(arrived_ns, raw)
    assert dict(node.counts) == {"frames": node.counts["frames"]}
    assert [look.status for look in _flight(sensing).looks(3)] == ["ok", "ok", "ok"]


@pytest.mark.slow
def test_the_same_seed_gives_the_same_flights() -> None:
    one, again = (fly(SET_B, is_sea=True, geometry=4, flights=5, seed=SEED) for _ in range(2))
    assert one.flights == again.flights
    assert one.flights != fly(SET_B, is_sea=True, geometry=4, flights=5, seed=SEED + 1).flights


def test_a_count_of_what_is_inside_is_what_it_says() -> None:
    looks = [
        LookResult(
            is_centred=True,
            status="ok",
            east_m=east,
            north_m=0.0,
            up_m=0.0,
            nees_2d=east**2,
            ce90_m=2.0,
            le90_m=0.0,
        )
        for east in (0.0, 1.0, 2.1, 3.0)
    ]
    found = honesty_of(looks)
    assert (found.count, found.ellipse, found.circle, found.height) == (4, 0.75, 0.5, 1.0)
    assert found.anees == pytest.approx((1.0 + 2.1**2 + 9.0) / 8.0)


@pytest.mark.slow
@pytest.mark.parametrize("errors", [SET_A, SET_B], ids=["A", "B"])
def test_what_is_said_to_hold_nine_tenths_holds_nine_tenths(errors: ErrorSet) -> None:
    """270 flights: two of a hundred honest programs would fall outside of these bounds."""
    samples = [
        fly(errors, is_sea=bool(geometry % 2), geometry=geometry, flights=30, looks=2)
        for geometry in range(len(GEOMETRIES))
    ]
    along_axis = honesty_of([look for sample in samples for look in sample.flights])
    elsewhere = honesty_of([look for sample in samples for look in sample.elsewhere])
    for found in (along_axis, elsewhere):
        assert 0.86 <= found.ellipse <= 0.94
        assert 0.86 <= found.circle <= 0.94
        assert 0.86 <= found.height <= 0.94
        assert 0.85 <= found.anees <= 1.15
    for sample in samples:
        stated_m = float(np.median([look.ce90_m for look in sample.flights]))
        assert stated_m == pytest.approx(sample.table_m, rel=0.06)


@pytest.mark.slow
def test_slopes_are_in_the_ellipse_too() -> None:
    """Looks across rolling hills, where a raised ray meets another hillside."""
    relief = rolling_hills(2)
    samples = [
        fly(SET_B, is_sea=False, geometry=geometry, flights=25, looks=1, relief=relief)
        for geometry in (3, 4, 5)
    ]
    found = honesty_of([look for sample in samples for look in sample.flights])
    assert found.count >= 70
    assert 0.8 <= found.ellipse <= 0.99
    assert 0.65 <= found.anees <= 1.4
