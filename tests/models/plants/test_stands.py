"""Plants in rows become one stand with a count; scattered ones, few ones and a lone one do not."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.description import StandDescription
from models.detection import DetectionBatch, MaskShape, make_batch
from models.plants.stands import Stand, batch_of_stands, stands_of

RULES = StandDescription(label="plantation")
SIZE = (1000, 800)


def plants(centres: npt.NDArray[np.float64], side: float = 30.0) -> DetectionBatch:
    boxes = np.concatenate([centres - side / 2, centres + side / 2], axis=1)
    count = len(centres)
    return make_batch(boxes, np.full(count, 0.8), np.zeros(count, dtype=np.uint8), ("plant",), SIZE)


def rows(
    columns: int, lines: int, spacing: float, left: float = 60.0, top: float = 60.0
) -> npt.NDArray[np.float64]:
    x, y = np.meshgrid(np.arange(columns), np.arange(lines))
    wobble = np.random.default_rng(1).normal(0.0, 0.06 * spacing, (columns * lines, 2))
    return np.column_stack([x.ravel(), y.ravel()]) * spacing + (left, top) + wobble


def area_px2(stand: Stand) -> float:
    return float(np.asarray(stand.mask.values).sum() * stand.mask.step_px[0] * stand.mask.step_px[1])


def test_a_grid_is_one_stand_with_its_count_spacing_and_ground() -> None:
    (stand,) = stands_of(plants(rows(10, 6, 40.0)), RULES)
    assert stand.count == 60
    assert stand.spacing_px == pytest.approx(40.0, rel=0.12)
    assert stand.irregularity < 0.2
    assert area_px2(stand) == pytest.approx(10 * 6 * 40.0**2, rel=0.12)


def test_two_blocks_with_a_road_between_them_are_two_stands() -> None:
    both = np.concatenate([rows(8, 5, 40.0), rows(5, 5, 40.0, left=60 + 8 * 40 + 60)])
    assert [stand.count for stand in stands_of(plants(both), RULES)] == [40, 25]


def test_a_clearing_in_a_plantation_is_not_its_ground() -> None:
    grid = rows(14, 12, 40.0)
    middle = (60 + 6.5 * 40, 60 + 5.5 * 40)
    kept = grid[np.abs(grid - middle).max(axis=1) > 120.0]
    (stand,) = stands_of(plants(kept), RULES)
    at = ((np.array(middle) - stand.mask.left_top_px) / stand.mask.step_px).round().astype(int)
    assert not np.asarray(stand.mask.values)[at[1], at[0]]
    assert area_px2(stand) == pytest.approx(len(kept) * 40.0**2, rel=0.15)


def test_scattered_trees_a_handful_and_one_alone_are_no_stand() -> None:
    chance = np.random.default_rng(2).random((60, 2)) * (900, 700) + 40
    assert stands_of(plants(chance), RULES) == []
    assert stands_of(plants(rows(3, 3, 40.0)), RULES) == []
    assert stands_of(plants(rows(1, 1, 40.0)), RULES) == []
    assert stands_of(plants(np.zeros((0, 2))), RULES) == []


def test_a_tree_far_off_does_not_join_or_change_the_stand() -> None:
    grid = rows(10, 6, 40.0)
    with_lone = np.concatenate([grid, [[900.0, 700.0]]])
    (stand,) = stands_of(plants(with_lone), RULES)
    assert stand.count == 60


def test_stands_go_out_as_masks_under_their_own_name() -> None:
    batch = batch_of_stands(plants(rows(10, 6, 40.0)), RULES, SIZE, "plantation:0123456789abcdef")
    assert batch.labels == ("plantation",)
    assert batch.model_id.startswith("plantation:")
    assert len(batch) == 1
    assert isinstance(batch.shapes[0], MaskShape)
    assert batch.score[0] == pytest.approx(0.8)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.floats(-50, 1100), st.floats(-50, 900)), max_size=60), st.floats(1.1, 5.0))
def test_whatever_is_found_every_plant_is_in_one_stand_at_most(
    centres: list[tuple[float, float]], reach: float
) -> None:
    rules = StandDescription(label="plantation", least_count=3, reach=reach, irregularity=1.0)
    batch = plants(np.array(centres, dtype=np.float64).reshape(-1, 2))
    found = stands_of(batch, rules)
    members = [int(one) for stand in found for one in stand.members]
    assert len(members) == len(set(members)) <= len(batch)
    for stand in found:
        values = np.asarray(stand.mask.values)
        assert values.any()
        assert values.size < 4_000_000


@pytest.mark.real_data
@pytest.mark.slow
def test_palms_of_a_real_tile_are_a_plantation(real_data: Path) -> None:
    from models.catalogue import load_detector
    from models.evaluation.pictures import read_image
    from models.plants.stands import StandDetector
    from models.training.plants.palms import read_palms

    detector = StandDetector(load_detector("plantation"))
    sample = read_palms(real_data / "imagery" / "plants-oilpalm")[1][3]
    image = read_image(sample.path)
    batch = detector.detect(image)
    assert batch.labels == ("plantation",)
    stands = stands_of(detector.network.detect(image), RULES)
    assert stands[0].count == pytest.approx(len(sample.boxes), rel=0.35)
    assert area_px2(stands[0]) > 0.5 * image.shape[0] * image.shape[1]
