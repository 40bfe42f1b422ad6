"""What stands before hides what stands behind, in masks and in what is said to be visible."""

import math

from sim.scenario.occlusion import cut_at_overlaps
from sim.scenario.seen import ObjectTruth


def _thing(
    name: str, range_m: float, box: tuple[float, float, float, float], mask: bool = True
) -> ObjectTruth:
    x0, y0, x1, y1 = box
    return ObjectTruth(
        id=name,
        label="vessel",
        box_px=box,
        visibility=0.8,
        latitude_deg=0.0,
        longitude_deg=0.0,
        alt_hae_m=0.0,
        range_m=range_m,
        mask_px=((x0, y0), (x1, y0), (x1, y1), (x0, y1)) if mask else (),
    )


def _area(ring: tuple[tuple[float, float], ...]) -> float:
    pairs = zip(ring, (*ring[1:], ring[0]), strict=True)
    return abs(sum(a[0] * b[1] - b[0] * a[1] for a, b in pairs)) / 2.0


def test_the_nearer_of_two_keeps_its_mask_and_the_farther_loses_what_is_covered() -> None:
    far, near = _thing("far", 900.0, (0.0, 0.0, 10.0, 10.0)), _thing("near", 300.0, (4.0, 0.0, 20.0, 10.0))
    found = cut_at_overlaps([far, near])
    assert [one.id for one in found] == ["far", "near"]
    assert found[1] == near
    assert _area(found[0].mask_px) == 40.0
    assert math.isclose(found[0].visibility, 0.8 * 0.4)
    assert found[0].box_px == far.box_px


def test_what_is_wholly_covered_is_not_there_and_what_only_touches_stays() -> None:
    hidden, cover = (
        _thing("hidden", 900.0, (2.0, 2.0, 4.0, 4.0)),
        _thing("cover", 300.0, (0.0, 0.0, 9.0, 9.0)),
    )
    beside = _thing("beside", 100.0, (9.0, 0.0, 12.0, 9.0))
    plot = _thing("plot", 50.0, (0.0, 0.0, 9.0, 9.0), mask=False)
    assert cut_at_overlaps([hidden, cover, beside, plot]) == [cover, beside, plot]


def test_of_a_thing_cut_in_two_the_larger_piece_is_its_mask() -> None:
    far, pole = _thing("far", 900.0, (0.0, 0.0, 30.0, 10.0)), _thing("pole", 300.0, (10.0, 0.0, 12.0, 10.0))
    (cut, _) = cut_at_overlaps([far, pole])
    assert _area(cut.mask_px) == 180.0
    assert math.isclose(cut.visibility, 0.8 * 28.0 / 30.0)
