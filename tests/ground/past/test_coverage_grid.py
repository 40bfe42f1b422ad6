"""Where cameras looked: cells agree with an independent point-in-polygon, also across 180 degrees."""

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from ground.past.coverage import MAX_CELLS, CoverageGrid
from ground.past.notes import NotedFootprint, gsd_of
from skywarden.errors import InputError


def _print(
    ring: tuple[tuple[float, float], ...], time_ns: int = 1, gsd_m: float | None = 0.1
) -> NotedFootprint:
    return NotedFootprint(
        platform_id="p", sortie_id="s", sensor_id="eo", time_ns=time_ns, ring=ring, gsd_m=gsd_m
    )


@given(
    st.lists(st.tuples(st.floats(36.69, 36.72), st.floats(-3.44, -3.40)), min_size=3, max_size=6, unique=True)
)
def test_a_cell_is_seen_exactly_when_its_centre_lies_in_the_footprint(
    ring: list[tuple[float, float]],
) -> None:
    polygon = shapely.Polygon([(longitude, latitude) for latitude, longitude in ring])
    grid = CoverageGrid((-3.43, 36.70, -3.41, 36.71), 50.0)
    grid.add([_print(tuple(ring))])
    seen = grid.seen()
    found = set(zip(seen.row.tolist(), seen.column.tolist(), strict=True))
    rows, columns = grid.shape
    if not polygon.is_valid:  # even-odd and shapely differ where a ring crosses itself
        return
    for row in range(rows):
        for column in range(columns):
            centre = shapely.Point(
                seen.west + (column + 0.5) * seen.step_lon_deg, seen.south + (row + 0.5) * seen.step_lat_deg
            )
            if polygon.boundary.distance(centre) > 1e-9:
                assert ((row, column) in found) == polygon.contains(centre)


def test_the_newest_look_and_the_sharpest_stay() -> None:
    ring = ((0.0, 0.0), (0.0, 1.0), (1.0, 1.0), (1.0, 0.0))
    grid = CoverageGrid((0.0, 0.0, 1.0, 1.0), 30_000.0)
    grid.add([_print(ring, 20, 0.5), _print(ring, 10, 0.2), _print(ring, 15, None)])
    seen = grid.seen()
    assert set(seen.last_ns.tolist()) == {20}
    assert set(seen.gsd_m.tolist()) == {0.2}
    assert set(seen.looks.tolist()) == {3}


def test_a_footprint_across_180_degrees_marks_both_sides() -> None:
    ring = ((-1.0, 179.5), (-1.0, -179.5), (1.0, -179.5), (1.0, 179.5))
    grid = CoverageGrid((179.0, -2.0, -179.0, 2.0), 20_000.0)
    grid.add([_print(ring)])
    seen = grid.seen()
    east = seen.column * seen.step_lon_deg
    assert len(seen.row) > 0
    assert float(east.min()) == pytest.approx(0.5, abs=0.2)
    assert float(east.max()) == pytest.approx(1.4, abs=0.2)


def test_a_grid_never_has_more_cells_than_it_may() -> None:
    rows, columns = CoverageGrid((-180.0, -90.0, 180.0, 90.0), 1.0).shape
    assert rows * columns <= MAX_CELLS
    with pytest.raises(InputError):
        CoverageGrid((0.0, 1.0, 1.0, 1.0), 10.0)


def test_gsd_is_the_width_of_the_footprint_over_the_pixels() -> None:
    side = 100.0 / 111_195.0
    ring = ((side, 0.0), (side, side), (0.0, side), (0.0, 0.0))
    assert gsd_of(ring, 1000) == pytest.approx(0.1, rel=1e-3)
    assert gsd_of(ring[:3], 1000) is None
    assert gsd_of(ring, 0) is None
    assert np.isnan(CoverageGrid((0, 0, 1, 1), 9_000.0).seen().gsd_m).all()
