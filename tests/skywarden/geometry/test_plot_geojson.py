"""Plots as GeoJSON: closed rings by the right-hand rule, cut at the antimeridian, nothing lost."""

import msgspec
import numpy as np
import pytest
import shapely

from skywarden import wire
from skywarden.errors import WireError
from skywarden.geometry.plot_geojson import plot_feature, polygon_geometry
from skywarden.messages import Plot
from tests.samples import EVERY

_SAMPLE = EVERY["plot"]
assert isinstance(_SAMPLE, Plot)
PLOT: Plot = _SAMPLE


def test_a_feature_has_the_polygon_and_the_areas_with_their_intervals() -> None:
    feature = plot_feature(PLOT)
    shape = shapely.geometry.shape(feature["geometry"])
    assert shape.is_valid
    assert shape.exterior.is_ccw
    assert not shape.interiors[0].is_ccw
    assert feature["geometry"]["coordinates"][0][0] == feature["geometry"]["coordinates"][0][-1]
    assert feature["geometry"]["coordinates"][0][0] == [149.1641, -35.3632]
    assert feature["properties"]["area_90_m2"] == [1901.5, 2016.2]
    assert feature["properties"]["review"] == "unreviewed"
    assert msgspec.json.decode(msgspec.json.encode(feature)) == feature


@pytest.mark.parametrize("first_deg", [179.9999, -179.9999])
def test_a_plot_on_the_antimeridian_is_cut_in_two(first_deg: float) -> None:
    other = -np.sign(first_deg) * 179.9998
    ring = np.array([[1.0, first_deg], [1.0, other], [1.0002, other], [1.0002, first_deg]])
    geometry = polygon_geometry((ring,))
    assert geometry["type"] == "MultiPolygon"
    shape = shapely.geometry.shape(geometry)
    assert shape.is_valid
    assert shape.area == pytest.approx(0.0002 * 0.0003, rel=1e-6)
    assert sorted(part.bounds[0] < 0 for part in shape.geoms) == [False, True]
    assert all(part.exterior.is_ccw for part in shape.geoms)


@pytest.mark.parametrize(
    "change",
    [
        {"rings_e7_i32": (b"1" * 25,)},
        {"rings_e7_i32": (b"1" * 16,)},
        {"rings_e7_i32": ()},
        {"rings_e7_i32": (np.full((3, 2), 2_000_000_000, dtype="<i4").tobytes(),)},
        {"rings_e7_i32": (np.zeros((400, 2), dtype="<i4").tobytes(),) * 3},
        {"area_m2": (100.0, 200.0, 300.0)},
        {"area_m2": (float("nan"), 1.0, 2.0)},
        {"surface_area_m2": (-5.0, -6.0, 1.0)},
        {"slope_deg": 120.0},
    ],
)
def test_a_plot_that_cannot_be_is_refused_on_the_wire(change: dict[str, object]) -> None:
    values = {name: getattr(PLOT, name) for name in PLOT.__struct_fields__} | change
    body = bytes([wire.WIRE_VERSION]) + msgspec.msgpack.encode(list(values.values()))
    with pytest.raises(WireError, match="a plot message does not validate"):
        wire.decode("plot", body)
